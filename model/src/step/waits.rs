//! What a call may wait for beside an answer: the write locks that transactions have.
//!
//! States PSD-005 §5.1 ("Conflict handling") and PSD-006 §4.1 from the side of the call, with P-65, P-72, P-74, P-152,
//! P-370 and P-614: a source waits for 25 seconds, and then answers RSI_TXN_BUSY.

use std::collections::BTreeMap;

use super::{NANOSECONDS_PER_MILLISECOND, Work};
use crate::database::{Database, Guid, HiveId};
use crate::errno::Errno;
use crate::input::UnixTime;
use crate::layer_commit::Telling;
use crate::outcome::Outcome;
use crate::state::State;
use crate::store::BUSY_TIMEOUT_MS;
use crate::transactions::{Bound, Mutation, Phase};

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

    /// Notes the write locks that are free since another state, which a call or an answer has led from there in this
    /// time, if readers have waited for them (P-614).
    pub(crate) fn note_freed(&mut self, since: &State, (began, ended): Moments) {
        for (id, transaction) in since.transactions.iter() {
            let Some(Bound { hive, locked: Some(locked), .. }) = transaction.bound() else {
                continue;
            };
            let is_free =
                since.lock_holder(*hive) == Some(*id) && self.lock_holder(*hive) != Some(*id);
            if !is_free || !since.is_locked_for_readers(*hive) {
                continue;
            }
            let has_expired =
                self.transactions.get(id).is_some_and(|now| now.phase == Phase::TimedOut);
            let end = transaction.deadline;
            let (from, until) = match has_expired {
                true => (end.earliest, end.latest),
                false => (began, ended.min(end.latest)),
            };
            self.note_former(*hive, FormerLock { locked: locked.clone(), from, until });
        }
    }

    /// One that was taken before the one before it was surely free has all that this had.
    fn note_former(&mut self, hive: HiveId, lock: FormerLock) {
        let mut locks = self.former_locks.get(&hive).cloned().unwrap_or_default();
        locks.retain(|former| !lock.locked.turns.starts_with(&former.locked.turns));
        locks.push(lock);
        let surplus = locks.len().saturating_sub(FORMER_LOCKS_MAX);
        self.former_locks.insert_mut(hive, locks.split_off(surplus));
    }

    /// The write lock of a hive as it is taken at such a moment.
    pub(crate) fn locked_at(&self, hive: HiveId, taken: Moments) -> Locked {
        let former = self.former_locks.get(&hive).and_then(|locks| locks.last());
        let former = former.filter(|former| taken.0 <= former.until);
        let mut turns = former.map(|former| former.locked.turns.clone()).unwrap_or_default();
        if turns.len() >= TURNS_MAX {
            turns.remove(1);
        }
        // A call that waits for one lock has the next when that is free.
        let from = former.map_or(0, |former| former.from.min(taken.1));
        turns.push((taken.0.max(from), taken.1));
        Locked { turns }
    }

    /// Forgets the locks that were free before a call began and held for too short a time to refuse anybody.
    pub(crate) fn forget_locks(&mut self, began: UnixTime) {
        let is_over = |lock: &FormerLock| {
            lock.until < began
                && lock.locked.turns.iter().all(|turn| lock.until < refused(0, *turn))
        };
        let kept = self.former_locks.iter().map(|(hive, locks)| {
            let locks = locks.iter().filter(|lock| !is_over(lock)).cloned();
            (*hive, locks.collect::<Vec<FormerLock>>())
        });
        self.former_locks = kept.filter(|(_, locks)| !locks.is_empty()).collect();
    }

    /// The hives whose readers may have been refused within a call that took this time, for locks that are free by now.
    pub(crate) fn refused_within(
        &self,
        (began, ended): (UnixTime, UnixTime),
    ) -> BTreeMap<HiveId, Refusal> {
        let refusal = |lock: &FormerLock| {
            let by = ended.min(lock.until);
            let is_refused = |since: Moments| refused(began, since) <= by;
            let was_free = |since: Moments| began <= since.1 && is_refused(since);
            let turns = &lock.locked.turns;
            match turns.iter().any(|turn| was_free(*turn)) {
                true => Some(Refusal::OfAny),
                false => turns.iter().any(|turn| is_refused(*turn)).then_some(Refusal::OfTheFirst),
            }
        };
        let worst = |locks: &[FormerLock]| locks.iter().filter_map(refusal).max();
        let locks = self.former_locks.iter();
        locks.filter_map(|(hive, locks)| Some((*hive, worst(locks)?))).collect()
    }
}

/// When something was, at the first and at the last.
type Moments = (UnixTime, UnixTime);

/// When a source refuses at the first what was asked of it since a call began, where a hive is locked since then.
fn refused(began: UnixTime, since: Moments) -> UnixTime {
    began.max(since.0).saturating_add(BUSY_TIMEOUT_NS)
}

/// A write lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Locked {
    /// The time in which it was taken, and before that those in which others took it that had it in turn, the first of them
    /// first: never empty.
    turns: Vec<Moments>,
}

/// Of more that had a lock in turn, the second is forgotten.
const TURNS_MAX: usize = 8;
/// Of more locks of one hive that readers may have met, the first is forgotten.
const FORMER_LOCKS_MAX: usize = 4;

/// A write lock for which readers waited as well in the end, and which is free by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FormerLock {
    locked: Locked,
    /// When it was free at the first; where a commit has timed out, when its lifetime ended.
    from: UnixTime,
    /// When it was free at the last.
    until: UnixTime,
}

/// Which question of a call may have been refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    /// Its first alone: the hive was locked before the call began, so that no question was answered before that.
    OfTheFirst,
    /// Any: the hive may have been locked when others were answered.
    OfAny,
}

/// What a call asks a hive to tell of a change there (P-142).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing.
    Nothing,
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
            | Mutation::HideEntry { .. } => Asked::Again,
            Mutation::WriteDescriptor { .. } => Asked::Nothing,
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

    /// How a change in a hive is told of: a question that was refused which is asked only for that fails no call (P-614).
    pub(crate) fn telling(&self, hive: HiveId, asked: Asked) -> Telling {
        match (asked, self.unread.get(&hive)) {
            (Asked::First, Some(_)) | (Asked::Again, Some(Refusal::OfAny)) => Telling::Unknown,
            _ => Telling::Exact,
        }
    }

    /// The hives in which what is asked only to tell of a layer operation may be refused in the course of a call that
    /// changes this one. For what is locked there still it would be refused itself.
    pub(crate) fn may_refuse_readers(&self, own: HiveId) -> Vec<HiveId> {
        let (began, ended) = self.span();
        let is_refusing = |hive: HiveId| {
            let holder = self.state.lock_holder(hive).filter(|_| hive != own)?;
            let locked = self.state.bound(holder)?.locked.as_ref()?;
            let may_wait = self.state.is_locked_for_readers(hive);
            // Who has it after that as the call goes on is not known.
            let is_refused = locked.turns.iter().any(|turn| refused(began, *turn) <= ended);
            (may_wait && is_refused).then_some(())
        };
        let has_refused = |hive: HiveId| match self.unread.get(&hive) {
            Some(Refusal::OfTheFirst) => hive != own,
            Some(Refusal::OfAny) => true,
            None => is_refusing(hive).is_some(),
        };
        self.state.hives.keys().copied().filter(|hive| has_refused(*hive)).collect()
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
