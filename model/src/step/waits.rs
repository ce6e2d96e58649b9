//! What a call may wait for beside an answer: the write locks that transactions have.
//!
//! States PSD-005 §5.1 ("Conflict handling") and PSD-006 §4.1 from the side of the call, with P-65, P-72, P-74, P-152 and
//! P-370: a source waits for 25 seconds, and then answers RSI_TXN_BUSY.

use super::{NANOSECONDS_PER_MILLISECOND, Work};
use crate::database::{Database, Guid, HiveId};
use crate::errno::Errno;
use crate::input::UnixTime;
use crate::layer_commit::Telling;
use crate::outcome::Outcome;
use crate::state::State;
use crate::store::BUSY_TIMEOUT_MS;
use crate::transactions::TransactionId;

impl State {
    /// The other hives of the source of this one.
    pub(crate) fn hives_beside(&self, hive: HiveId) -> Vec<HiveId> {
        let slot = self.hives.get(&hive).map(|hive| hive.slot);
        let hives = slot.into_iter().flat_map(|slot| self.hives_of(slot));
        hives.map(|(other, _)| other).filter(|other| *other != hive).collect()
    }

    /// Whether a transaction has the write lock of a hive that holds volatile data: then readers wait as well (P-65,
    /// P-332).
    pub(crate) fn is_locked_for_readers(&self, hive: HiveId) -> bool {
        let holder = self.lock_holder(hive);
        let on_the_way = self.contents_on_the_way(hive);
        holder.is_some()
            && (self.database(hive).holds_volatile_data()
                || self.contents(holder, hive).holds_volatile_data()
                || on_the_way.is_some_and(Database::holds_volatile_data))
    }

    /// The hive whose readers may have waited for this transaction, in a call that took this time, until they were
    /// refused, if its lifetime ended behind that (P-614). Only who watches that hive would know.
    pub(crate) fn refused_before_the_end_of(
        &self,
        id: TransactionId,
        (began, ended): (UnixTime, UnixTime),
    ) -> Option<HiveId> {
        let refused = began.saturating_add(BUSY_TIMEOUT_NS);
        let transaction = self.transactions.get(&id)?;
        let hive = transaction.bound()?.hive;
        let is_watched = self.watches.values().any(|watch| watch.is_in(hive));
        let is_late = refused <= ended && refused <= transaction.deadline.latest;
        let has_lock = self.lock_holder(hive) == Some(id) && self.is_locked_for_readers(hive);
        (is_watched && is_late && has_lock).then_some(hive)
    }
}

/// How long a source waits for a write lock, nanoseconds (P-65).
const BUSY_TIMEOUT_NS: u64 = BUSY_TIMEOUT_MS * NANOSECONDS_PER_MILLISECOND;

impl Work<'_> {
    /// Whether the call took so long that a source may have waited for a write lock and given up
    /// (P-65).
    fn has_waited(&self) -> bool {
        let (began, ended) = self.span();
        ended.saturating_sub(began) >= BUSY_TIMEOUT_NS
    }

    /// How a change in the hive is told of for which nothing was asked but to tell of it: a question that was refused
    /// fails no call (P-614).
    pub(crate) fn telling(&self, hive: HiveId) -> Telling {
        if self.unread.contains(&hive) { Telling::Unknown } else { Telling::Exact }
    }

    /// The call ends as it does only after such a wait.
    pub(crate) fn must_have_waited(&mut self) {
        self.waits |= !self.has_waited();
    }

    /// Tries what is another ending of the call. Says whether that would have to wait for longer than the call took;
    /// the call itself need not.
    pub(crate) fn try_beside<T>(&mut self, attempt: impl FnOnce(&mut Self) -> T) -> (T, bool) {
        let waits = std::mem::take(&mut self.waits);
        let tried = attempt(self);
        (tried, std::mem::replace(&mut self.waits, waits))
    }

    /// A request that may wait for the write lock of a hive, and may not (P-65).
    pub(crate) fn may_be_busy(&mut self, hive: HiveId) {
        let holder = self.state.lock_holder(hive);
        let is_own = holder == self.transaction || holder == self.committing;
        if holder.is_some() && !is_own && self.has_waited() {
            self.otherwise.push((Outcome::Failed(Errno::EBUSY), self.state.clone()));
        }
    }

    /// A read waits only for a transaction whose hive holds volatile data (P-65, P-332).
    pub(crate) fn may_be_busy_for_volatile_data(&mut self, hive: HiveId) {
        if self.has_waited() && self.state.is_locked_for_readers(hive) {
            self.may_be_busy(hive);
        }
    }

    /// A request about a key. Unless that is a root, its source may look for it in every hive that it has, as a read does
    /// (P-370).
    pub(crate) fn may_look_for(&mut self, hive: HiveId, key: Guid) {
        if !self.has_waited() {
            return;
        }
        let others = self.state.hives_beside(hive);
        let is_root = |hive: &HiveId| self.state.database(*hive).root == key;
        if others.iter().chain([&hive]).any(is_root) {
            return;
        }
        for other in others {
            self.may_be_busy_for_volatile_data(other);
        }
    }

    /// A change of what is nowhere waits for whoever may be about to make it (P-74).
    pub(crate) fn may_wait_to_change_nothing(&mut self, hive: HiveId) {
        for other in self.state.hives_beside(hive).into_iter().chain([hive]) {
            self.may_be_busy(other);
        }
    }
}
