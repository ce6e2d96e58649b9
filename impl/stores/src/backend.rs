//! What the scheduler needs of a place where hives are kept.
//!
//! A backend knows data and nothing of queues, deadlines, or who may go first: the scheduler asks
//! for a thing only when it is that thing's turn. Hives go by their index in `hives`.

use rsi::{Guid, Response, Status, TransactionId};

use crate::task::{Read, Write};
use crate::{FatalError, HiveInfo};

/// Through whose eyes a request sees a hive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// What is committed; a write through it commits by itself.
    Committed,
    /// The hive's open read-write transaction, its own writes included.
    Writer,
    /// The state when that read-only transaction began.
    Snapshot(TransactionId),
}

/// Why a backend did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The answer is this status.
    Status(Status),
    /// Somebody holds a lock that it needs; nothing was changed, and it may be tried again.
    Locked,
    /// The place where hives are kept can no longer be relied on.
    Fatal(FatalError),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Refusal {
        Refusal::Status(status)
    }
}

/// What a backend makes of a request.
pub(crate) type Outcome = Result<Response, Refusal>;

/// Hives and what can be done to them.
pub(crate) trait Backend: Send {
    /// The hives, in order of index.
    fn hives(&self) -> &[HiveInfo];

    /// The highest sequence number found when the backend was opened.
    fn max_sequence(&self) -> u64;

    /// The hive whose committed state has a record of the key.
    fn locate(&mut self, guid: Guid) -> Result<Option<usize>, Refusal>;

    /// Whether the hive has committed path entries that a removal takes which needs no record of its
    /// key (P-330).
    fn has_entries_of(&mut self, hive: usize, removal: Write<'_>) -> Result<bool, Refusal>;

    /// Answers a query; a key without a record is `NotFound` (P-09).
    fn read(&mut self, hive: usize, view: View, read: Read<'_>) -> Outcome;

    /// Carries a mutation out, wholly or not at all; a key without a record is `NotFound`, unless
    /// the mutation is an idempotent removal (P-09). `now` is Unix nanoseconds.
    fn write(&mut self, hive: usize, view: View, write: Write<'_>, now: u64) -> Outcome;

    /// Removes a layer's entries from every hive, wholly or not at all.
    fn delete_layer(&mut self, layer: &str) -> Outcome;

    /// Makes everything committed in the hive durable.
    fn flush(&mut self, hive: usize) -> Outcome;

    /// Opens the hive's read-write transaction; it has none.
    fn begin(&mut self, hive: usize) -> Result<(), Refusal>;

    /// Whether the hive's read-write transaction still stands. A failed write or commit may have
    /// taken it away; then nothing of it is applied.
    fn is_open(&self, hive: usize) -> bool;

    /// Applies the hive's read-write transaction and ends it.
    fn commit(&mut self, hive: usize) -> Result<(), Refusal>;

    /// Undoes the hive's read-write transaction, if it still stands, and ends it.
    fn rollback(&mut self, hive: usize);

    /// Keeps the committed state of every hive as it is now.
    fn take_snapshot(&mut self, id: TransactionId) -> Result<(), Refusal>;

    /// Lets go of what `take_snapshot` kept.
    fn release_snapshot(&mut self, id: TransactionId);
}
