//! What a call may wait for beside an answer: the write locks that transactions have.
//!
//! States PSD-005 §5.1 ("Conflict handling") and PSD-006 §4.1 from the side of the call, with P-65, P-72, P-74, P-152,
//! P-370 and P-614: a source waits for 25 seconds, and then answers RSI_TXN_BUSY.

use std::collections::{BTreeMap, BTreeSet};

use super::{NANOSECONDS_PER_MILLISECOND, Work};
use crate::database::{Database, Guid, HiveId};
use crate::errno::Errno;
use crate::input::UnixTime;
use crate::layer_commit::Telling;
use crate::layers::Touched;
use crate::outcome::Outcome;
use crate::state::State;
use crate::store::BUSY_TIMEOUT_MS;
use crate::transactions::{Bound, Mutation};

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

    /// Notes the write locks that are free since another state, by this moment at the latest, if readers may have been
    /// refused for them by then.
    pub(crate) fn note_freed(&mut self, since: &State, by: UnixTime) {
        for (id, transaction) in since.transactions.iter() {
            let Some(Bound { hive, locked: Some(taken), .. }) = transaction.bound() else {
                continue;
            };
            let until = by.min(transaction.deadline.latest);
            let is_free =
                since.lock_holder(*hive) == Some(*id) && self.lock_holder(*hive) != Some(*id);
            let is_late = taken.0.saturating_add(BUSY_TIMEOUT_NS) <= until;
            if is_free && is_late && since.is_locked_for_readers(*hive) {
                self.former_locks.insert_mut(*hive, FormerLock { taken: *taken, until });
            }
        }
    }

    /// The hives whose readers may have been refused within a call that took this time, for locks that are free by now.
    /// Only who watches a hive of that source would know (P-614, P-370).
    pub(crate) fn refused_within(
        &self,
        (began, ended): (UnixTime, UnixTime),
    ) -> BTreeMap<HiveId, Refusal> {
        let refused = |lock: &FormerLock| {
            let refused = began.max(lock.taken.0).saturating_add(BUSY_TIMEOUT_NS);
            let was_taken_within = began <= lock.taken.1;
            let refusal = if was_taken_within { Refusal::OfAny } else { Refusal::OfTheFirst };
            (refused <= ended.min(lock.until)).then_some(refusal)
        };
        let is_watched = |hive| self.watches.values().any(|watch| watch.is_in(hive));
        let is_known =
            |hive| is_watched(hive) || self.hives_beside(hive).into_iter().any(is_watched);
        let locks = self.former_locks.iter().filter(|(hive, _)| is_known(**hive));
        locks.filter_map(|(hive, lock)| Some((*hive, refused(lock)?))).collect()
    }
}

/// A write lock for which readers have waited as well, and which is free by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FormerLock {
    /// When it was taken, at the first and at the last.
    taken: (UnixTime, UnixTime),
    /// When it was free at the last.
    until: UnixTime,
}

/// Which question of a call may have been refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its first alone: the lock was taken before the call began, so that no question was answered before that.
    OfTheFirst,
    /// Any: the lock may have been taken when others were answered.
    OfAny,
}

/// What a call asks a hive to tell of a change there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It has asked nothing else before.
    First,
    /// It has asked for itself before, and is EBUSY if that was refused.
    Again,
}

impl Asked {
    /// What this mutation asks for.
    pub(crate) fn of(mutation: &Mutation) -> Asked {
        match mutation {
            Mutation::DeleteValue { .. } | Mutation::SetBlanket { .. } => Asked::First,
            // What the value has is asked for the cap (P-44), and what a child has on the way to it.
            Mutation::SetValue { .. }
            | Mutation::CreateKey { .. }
            | Mutation::DeleteEntry { .. }
            | Mutation::Uncover { .. }
            | Mutation::HideEntry { .. }
            | Mutation::WriteDescriptor { .. } => Asked::Again,
        }
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

    /// How a change is told of: a question that was refused which is asked only for that fails no call (P-614). Unless it
    /// is about a root, it may have been for the lock of another hive of the source (P-370).
    pub(crate) fn telling(&self, touched: Touched<'_>, asked: Asked) -> Telling {
        let hive = touched.hive();
        let is_root = self.state.database(hive).root == touched.asked();
        let beside = if is_root { Vec::new() } else { self.state.hives_beside(hive) };
        let mut refusals = beside.iter().chain([&hive]).filter_map(|hive| self.unread.get(hive));
        let is_refused = |refusal: &Refusal| *refusal == Refusal::OfAny || asked == Asked::First;
        if refusals.any(is_refused) { Telling::Unknown } else { Telling::Exact }
    }

    /// The hives in which what is asked only to tell of a layer operation may be refused in the course of the call, with
    /// those in which a source may look for the same keys (P-370, P-614).
    pub(crate) fn may_refuse_readers(&self) -> Vec<HiveId> {
        let is_own = |holder| Some(holder) == self.transaction || Some(holder) == self.committing;
        let has_refused = |hive: &HiveId| {
            let holder = self.state.lock_holder(*hive).filter(|holder| !is_own(*holder));
            let may_wait = holder.is_some() && self.state.is_locked_for_readers(*hive);
            self.has_waited() && may_wait || self.unread.contains_key(hive)
        };
        let refusing = self.state.hives.keys().filter(|hive| has_refused(hive));
        let looked_in = refusing.flat_map(|hive| [vec![*hive], self.state.hives_beside(*hive)]);
        let hives: BTreeSet<HiveId> = looked_in.flatten().collect();
        hives.into_iter().collect()
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
