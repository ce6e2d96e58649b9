//! Registry sources: what keeps a hive's keys and values (PSD-005 §7, PSD-006).
//!
//! A [`Store`] takes requests and gives responses in Env time: whoever drives it says what time it
//! is and asks when it wants to be asked again. It may not know the kernel half, the bytes of the
//! wire, tokens or layer precedence: it returns everything it has, and LCS decides (SRC-06).
//!
//! [`SqliteStore`] is the reference source of PSD-006; [`MemoryStore`] keeps the same promises in
//! ordered maps. Both answer through one `scheduler`, which holds the rules about transactions
//! and waiting; what a request does to the data is written twice.

mod backend;
mod fold;
mod memory;
mod raw;
mod root;
mod scheduler;
mod serial;
mod sqlite;
mod task;

use std::fmt;

use rsi::{Guid, RequestFrame, ResponseFrame};

pub use fold::fold;
pub use memory::{MemoryConfig, MemoryDisk, MemoryStore};
pub use raw::{Inspect, RawBlanket, RawHive, RawKey, RawPathEntry, RawRecord, RawValue, Seed};
pub use serial::{Serial, SerialStore};
pub use sqlite::{OpenError, Problem, SqliteConfig, SqliteStore};

/// How long a write may wait for another transaction's write connection, in nanoseconds
/// (PSD-006 §4.1, LORE-083).
pub const BUSY_TIMEOUT_NS: u64 = 25_000_000_000;

/// Where a store takes the bytes of new root GUIDs from.
pub type RandomSource = Box<dyn FnMut(&mut [u8]) + Send>;

/// A registry source without its device.
///
/// Every request that was submitted is answered exactly once (SRC-05), in any order. Times are
/// Unix nanoseconds and never go back.
pub trait Store: Send {
    /// Takes a request in. Its response may be ready at once; `poll` hands it out.
    fn submit(&mut self, frame: RequestFrame, now: u64);

    /// The next response that is ready at `now`, if there is one.
    fn poll(&mut self, now: u64) -> Option<ResponseFrame>;

    /// When `poll` should be called again though nothing has been submitted, once it has answered
    /// `None`. `None`: nothing waits for time to pass.
    fn next_wake(&self) -> Option<u64>;

    /// The hives that the source registers.
    fn hives(&self) -> &[HiveInfo];

    /// The highest sequence number stored in any hive when the store was opened (LORE-031).
    fn max_sequence(&self) -> u64;

    /// What has made the store unable to go on, if anything has. The requests that met it are
    /// answered; whoever drives the store hands those answers out and ends (LORE-038).
    fn fatal_error(&self) -> Option<FatalError> {
        None
    }
}

/// A fault of the database that a source does not go on with (PSD-006 §2.1, LORE-038). Any other,
/// such as a failed read or write, costs the request that meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatalError {
    /// SQLite finds the database corrupt, or no database any more.
    Corrupt,
    /// There is no room left on the disk.
    DiskFull,
}

impl fmt::Display for FatalError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FatalError::Corrupt => write!(out, "a database is corrupt; restore it from a backup"),
            FatalError::DiskFull => {
                write!(out, "the disk is full; make room before the next start")
            }
        }
    }
}

/// A hive as a source registers it (PSD-005 §7.1). Our sources' hives are all global (LORE-035).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiveInfo {
    /// Its name, as the configuration spells it (LORE-006).
    pub name: String,
    /// The identity of its root key.
    pub root: Guid,
}
