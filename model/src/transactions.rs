//! Transactions: what one is, how long it lives, and what is left of one that has ended.
//!
//! States the transaction object of PSD-005 §5.1 ("Lifetime", "Timeout", "Isolation"), its states of
//! §6.3 (REG_IOC_TXN_STATUS) and §10.1 ("Transaction timeout", what a source's death cancels), with D-80, D-82
//! and D-83. A transaction is the mutations that it has taken so far and the contents of its hive with
//! these applied. What calls ask of one is in `calls`, how a mutation gets into one in `enlistment`, what
//! a mutation does in `mutation`, what a commit brings in `commit`.

pub(crate) mod calls;
mod commit;
pub(crate) mod enlistment;
pub(crate) mod marks;
mod mutation;

pub(crate) use commit::take_refusal;
pub(crate) use commit::{arrived, carried_out};
pub(crate) use mutation::Mutation;

use std::sync::Arc;

use crate::coverage::{Covered, covers};
use crate::database::{Database, Guid, HiveId, KeyRecord, Map};
use crate::errno::Errno;
use crate::input::{Fd, ProcessId, UnixTime};
use crate::late::Late;
use crate::limits::Limits;
use crate::names::FoldedName;
use crate::resolution::{Purpose, Resolver, Viewer};
use crate::state::{DescriptionId, Place, SlotId, State, Witness};
use crate::step::Locked;
use crate::watches::Watch;

/// `REG_TXN_ACTIVE_UNBOUND`.
pub const REG_TXN_ACTIVE_UNBOUND: u32 = 0;
/// `REG_TXN_ACTIVE_BOUND`.
pub const REG_TXN_ACTIVE_BOUND: u32 = 1;
/// `REG_TXN_COMMITTED`.
pub const REG_TXN_COMMITTED: u32 = 2;
/// `REG_TXN_ABORTED`.
pub const REG_TXN_ABORTED: u32 = 3;
/// `REG_TXN_TIMED_OUT`.
pub const REG_TXN_TIMED_OUT: u32 = 4;
/// `REG_TXN_SOURCE_DOWN`.
pub const REG_TXN_SOURCE_DOWN: u32 = 5;

/// How many mutations one transaction takes at most (D-83).
pub(crate) const MUTATIONS_MAX: usize = 4096;

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// The identity of a transaction. The model's numbers are its own: no call shows one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub(crate) u64);

/// A transaction object. It is there as long as some fd refers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) deadline: Deadline,
    pub(crate) phase: Phase,
    pub(crate) history: Witness<History>,
}

/// What marks ask of a transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The lifetime that it was given.
    pub(crate) lifetime_ms: u64,
    /// The next sequence number when it was created.
    pub(crate) began_at: u64,
    /// The hive that it was bound to, and when.
    pub(crate) bound_to: Option<HiveId>,
    pub(crate) bound_at: Option<UnixTime>,
    /// Whether it had the write lock there.
    pub(crate) had_lock: bool,
    /// Whether what ended it is that its commit was not answered in the time of a request (D-81).
    pub(crate) is_unanswered: bool,
    /// What it has committed.
    pub(crate) committed: rpds::VectorSync<Logged>,
}

/// When the lifetime ends: a moment from the first to the second, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    pub(crate) earliest: UnixTime,
    pub(crate) latest: UnixTime,
}

/// The states of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "few transactions are there at once, and most of them bound"
)]
pub(crate) enum Phase {
    Unbound,
    Bound(Bound),
    Committed,
    Aborted,
    TimedOut,
    /// The bound source went Down.
    SourceDown(Death),
}

/// When a source went Down, as against the end of a lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// At some moment; no call has been made since.
    Lately,
    /// At this moment at the latest.
    By(UnixTime),
    /// Before the lifetime ended.
    First,
}

/// What a transaction is bound to, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) hive: HiveId,
    /// The hive as the transaction has it; `None` while the source has not given it the write lock, so
    /// that it has changed nothing.
    pub(crate) contents: Option<Database>,
    /// Since when it has that.
    pub(crate) locked: Option<Locked>,
    /// The mutations in order (the mutation log of §5.1).
    pub(crate) log: rpds::VectorSync<Logged>,
    /// How long its log was when its source last refused to commit it, for marks.
    pub(crate) refused_at: Witness<Option<usize>>,
    /// The watches as they were at its first mutation, for marks.
    pub(crate) watches: Witness<Map<DescriptionId, Watch>>,
}

/// A mutation that a transaction has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) mutation: Mutation,
    /// Where the fd was opened that it was made through, or for a creation the new key.
    pub(crate) origin: Arc<Place>,
    /// Whether what there was to tell could not be read when it was made, or may not have been (P-612, P-614).
    pub(crate) was_unreadable: bool,
}

impl Logged {
    /// One of which everything could be read.
    pub(crate) fn new(mutation: Mutation, origin: Arc<Place>) -> Logged {
        Logged { mutation, origin, was_unreadable: false }
    }
}

impl Transaction {
    /// What mutations and reads fail with once it has ended (§6.3, D-82).
    pub(crate) fn terminal_errno(&self) -> Option<Errno> {
        match self.phase {
            Phase::Unbound | Phase::Bound(_) => None,
            Phase::Committed | Phase::Aborted => Some(Errno::EINVAL),
            Phase::TimedOut => Some(Errno::ETIMEDOUT),
            Phase::SourceDown(_) => Some(Errno::EIO),
        }
    }

    /// Whether its lifetime may have ended at this moment, so far as is known.
    pub(crate) fn may_have_expired(&self, by: UnixTime) -> bool {
        match self.phase {
            Phase::Unbound | Phase::Bound(_) => self.deadline.earliest <= by,
            // It expired first, or the source died first.
            Phase::SourceDown(Death::By(latest)) => self.deadline.earliest <= latest,
            Phase::SourceDown(Death::Lately) => self.deadline.earliest <= by,
            Phase::SourceDown(Death::First)
            | Phase::Committed
            | Phase::Aborted
            | Phase::TimedOut => false,
        }
    }

    /// Whether the lifetime that it was given makes it another than the one that is given now would, for
    /// marks.
    pub(crate) fn is_as_it_began(&self, limits: &Limits, now: UnixTime) -> bool {
        let is_over = self.has_outlived_its_time();
        if !is_over && !self.is_active()
            || self.history.0.lifetime_ms == limits.transaction_timeout_ms.into()
        {
            return false;
        }
        let given = self.history.0.lifetime_ms * NANOSECONDS_PER_MILLISECOND;
        let new = u64::from(limits.transaction_timeout_ms) * NANOSECONDS_PER_MILLISECOND;
        let end = self.deadline.latest.saturating_sub(given).saturating_add(new);
        is_over != (end < now)
    }

    /// Whether the end of its lifetime has ended it, for marks.
    pub(crate) fn has_outlived_its_time(&self) -> bool {
        self.phase == Phase::TimedOut && !self.history.0.is_unanswered
    }

    /// It is known not to have expired by this moment.
    pub(crate) fn outlives(&mut self, moment: UnixTime) {
        if self.is_active() {
            self.deadline.earliest = self.deadline.earliest.max(moment);
        } else if let Phase::SourceDown(death) = &mut self.phase {
            *death = Death::First;
        }
    }

    fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Unbound | Phase::Bound(_))
    }

    pub(crate) fn bound(&self) -> Option<&Bound> {
        match &self.phase {
            Phase::Bound(bound) => Some(bound),
            _ => None,
        }
    }
}

impl State {
    /// The transaction that an fd refers to.
    pub(crate) fn transaction_of(&self, process: ProcessId, fd: Fd) -> Option<TransactionId> {
        self.transaction_fds.get(&(process, fd)).copied()
    }

    /// What a transaction is bound to.
    pub(crate) fn bound(&self, transaction: TransactionId) -> Option<&Bound> {
        self.transactions.get(&transaction)?.bound()
    }

    fn bound_mut(&mut self, transaction: TransactionId) -> Option<&mut Bound> {
        match &mut self.transactions.get_mut(&transaction)?.phase {
            Phase::Bound(bound) => Some(bound),
            _ => None,
        }
    }

    pub(crate) fn set_phase(&mut self, transaction: TransactionId, phase: Phase) {
        if let Some(transaction) = self.transactions.get_mut(&transaction) {
            transaction.phase = phase;
        }
    }

    /// A mutation that was in flight is part of a transaction, if that is still active (P-263), with whatever is in it
    /// by then: at the end of the log, or refused. A source may have nothing against a removal (P-09, P-46).
    pub(crate) fn take_late(&self, id: TransactionId, logged: &Logged, at: UnixTime) -> Vec<State> {
        let Some(hive) = self.bound(id).map(|bound| bound.hive) else { return vec![self.clone()] };
        let mut taken = self.clone();
        let is_carried_out = logged.mutation.finds_its_key(self.contents(Some(id), hive));
        if is_carried_out {
            taken.take_lock(id, at);
        }
        let watches = self.watches.clone();
        if let Some(bound) = taken.bound_mut(id) {
            if bound.log.is_empty() {
                bound.watches.0 = watches;
            }
            if let Some(contents) = bound.contents.as_mut().filter(|_| is_carried_out) {
                logged.mutation.change(contents);
                logged.mutation.write_time_by(contents, at);
            }
            bound.log.push_back_mut(Logged { was_unreadable: true, ..logged.clone() });
        }
        match logged.mutation {
            _ if is_carried_out => vec![taken],
            Mutation::DeleteValue { .. } => vec![self.clone(), taken],
            _ => vec![self.clone()],
        }
    }

    /// An active transaction takes the write lock of its hive.
    pub(crate) fn take_lock(&mut self, id: TransactionId, at: UnixTime) {
        let Some(hive) = self.bound(id).map(|bound| bound.hive) else { return };
        let stored = self.database(hive).clone();
        let locked = self.locked_at(hive, (at, at));
        if let Some(bound) = self.bound_mut(id) {
            bound.contents.get_or_insert(stored);
            bound.locked.get_or_insert(locked);
        }
    }

    /// The contents of a hive as a request finds them that is sent in a transaction, or in none
    /// (§5.1, "Isolation").
    pub(crate) fn contents(&self, transaction: Option<TransactionId>, hive: HiveId) -> &Database {
        let bound = transaction.and_then(|id| self.bound(id)).filter(|bound| bound.hive == hive);
        let own = bound.and_then(|bound| bound.contents.as_ref());
        own.unwrap_or_else(|| self.database(hive))
    }

    /// What resolution looks at in a transaction, or in none. The layer table is the committed one
    /// in both.
    pub(crate) fn resolver_in<'a>(
        &'a self,
        transaction: Option<TransactionId>,
        hive: HiveId,
        viewer: &'a Viewer,
    ) -> Resolver<'a> {
        Resolver {
            database: self.contents(transaction, hive),
            is_trusted: !self.may_be_malformed(hive),
            layers: &self.layers,
            viewer,
            next_sequence: self.next_sequence,
            limits: &self.limits,
            purpose: Purpose::Call,
        }
    }

    /// Changes a hive as the transaction has it that holds its write lock, if one does.
    pub(crate) fn change_open_contents(
        &mut self,
        hive: HiveId,
        change: impl FnOnce(&mut Database),
    ) {
        let holder = self.lock_holder(hive);
        let bound = holder.and_then(|holder| self.bound_mut(holder));
        if let Some(contents) = bound.and_then(|bound| bound.contents.as_mut()) {
            change(contents);
        }
    }

    /// The record of a key that is stored, or made in some transaction.
    pub(crate) fn record_anywhere(&self, hive: HiveId, key: Guid) -> Option<&KeyRecord> {
        let made = || {
            let contents = self.transactions.values().filter_map(Transaction::bound);
            let contents = contents.filter(|bound| bound.hive == hive);
            contents.filter_map(|bound| bound.contents.as_ref()).find_map(|c| c.keys.get(&key))
        };
        self.database(hive).keys.get(&key).or_else(made)
    }

    /// The transaction that has the write lock of a hive.
    pub(crate) fn lock_holder(&self, hive: HiveId) -> Option<TransactionId> {
        let holds = |transaction: &Transaction| {
            transaction.bound().is_some_and(|bound| bound.hive == hive && bound.contents.is_some())
        };
        let holder = self.transactions.iter().find(|(_, transaction)| holds(transaction));
        holder.map(|(id, _)| *id).or_else(|| self.locked_on_the_way(hive))
    }

    /// The same, and those whose first mutations are in flight: they have it when it is the turn of what is asked
    /// from now on (P-65, P-263).
    pub(crate) fn lock_holders_in_turn(&self, hive: HiveId) -> Vec<TransactionId> {
        let late = self.stalls.values().flat_map(|stall| stall.late.iter());
        let locks = late.filter(|late| late.hive == hive).filter_map(Late::locks);
        let mut holders: Vec<TransactionId> = self.lock_holder(hive).into_iter().collect();
        for id in locks.filter(|id| self.bound(*id).is_some()) {
            if !holders.contains(&id) {
                holders.push(id);
            }
        }
        holders
    }

    /// The transactions whose write locks the mutations wait for that are in flight in this one.
    pub(crate) fn awaited_within(&self, id: TransactionId, hive: HiveId) -> Vec<TransactionId> {
        let late = self.stalls.values().flat_map(|stall| stall.late.iter());
        let own = late.filter(|late| late.hive == hive && late.locks() == Some(id));
        let mut awaited: Vec<TransactionId> = self.lock_holder(hive).into_iter().collect();
        awaited.extend(own.flat_map(|late| late.behind.iter().copied()));
        awaited.retain(|holder| *holder != id && self.bound(*holder).is_some());
        awaited
    }

    /// The transactions that are bound to a source, the first created first.
    pub(crate) fn bound_to(&self, slot: SlotId) -> Vec<TransactionId> {
        let is_of_slot =
            |bound: &Bound| self.hives.get(&bound.hive).is_some_and(|hive| hive.slot == slot);
        let bound = self.transactions.iter().filter(|(_, t)| t.bound().is_some_and(is_of_slot));
        bound.map(|(id, _)| *id).collect()
    }

    /// The transactions that have write locks of a source.
    pub(crate) fn lock_holders(&self, slot: SlotId) -> Vec<TransactionId> {
        let has_lock =
            |id: &TransactionId| self.bound(*id).is_some_and(|bound| bound.contents.is_some());
        self.bound_to(slot).into_iter().filter(has_lock).collect()
    }

    /// Whether a request that waits for the locks of all hives of a source waits (P-65).
    pub(crate) fn is_any_locked(&self, slot: SlotId) -> bool {
        !self.lock_holders(slot).is_empty() || self.is_locked_on_the_way(slot)
    }

    /// It is this late: whatever has surely expired has.
    pub(crate) fn pass_time(&mut self, now: UnixTime) {
        let due: Vec<TransactionId> = self
            .transactions
            .iter()
            .filter(|(_, t)| t.is_active() && t.deadline.latest < now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.set_phase(id, Phase::TimedOut);
        }
        self.date_deaths(now);
    }

    /// The same state after sources have died that were Down at this moment (P-442).
    pub fn with_deaths_by(&self, latest: UnixTime) -> State {
        let mut state = self.clone();
        state.date_deaths(latest);
        state
    }

    /// The sources that have died lately were Down at this moment.
    fn date_deaths(&mut self, latest: UnixTime) {
        let unknown = |phase: &Phase| matches!(phase, Phase::SourceDown(Death::Lately));
        let lost: Vec<TransactionId> = self
            .transactions
            .iter()
            .filter(|(_, t)| unknown(&t.phase))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            self.set_phase(id, Phase::SourceDown(Death::By(latest)));
        }
    }

    /// The lifetime of a transaction has ended, and of all that surely ended before it.
    pub(crate) fn expire(&mut self, transaction: TransactionId) {
        let Some(expired) = self.transactions.get(&transaction) else { return };
        let first = expired.deadline.earliest;
        let before = |t: &Transaction| t.is_active() && t.deadline.latest < first;
        let also: Vec<TransactionId> =
            self.transactions.iter().filter(|(_, t)| before(t)).map(|(id, _)| *id).collect();
        for id in also.into_iter().chain([transaction]) {
            self.set_phase(id, Phase::TimedOut);
        }
    }

    /// The registry whose write locks have become free by the end of a wait, because the lifetimes of the
    /// transactions ended that had them; `None` if none may have.
    pub(crate) fn unlocked_by(&self, began: UnixTime, waited_ms: u64) -> Option<State> {
        let by = began.saturating_add(waited_ms * NANOSECONDS_PER_MILLISECOND);
        let holders = self.hives.keys().filter_map(|hive| self.lock_holder(*hive));
        let due: Vec<TransactionId> = holders
            .filter(|id| self.transactions.get(id).is_some_and(|t| t.may_have_expired(by)))
            .collect();
        let mut unlocked = self.clone();
        for id in &due {
            unlocked.expire(*id);
        }
        (!due.is_empty()).then_some(unlocked)
    }

    /// The source of a slot is gone, and with it everything that was bound to it (§10.1).
    pub(crate) fn cancel_bound(&mut self, slot: SlotId) {
        for id in self.bound_to(slot) {
            self.set_phase(id, Phase::SourceDown(Death::Lately));
        }
    }

    /// A layer is about to be deleted: transactions that have written into it are aborted
    /// (§2.8, "Interaction with transactions").
    pub(crate) fn abort_writers(&mut self, layer: &FoldedName, covered: &mut Covered) {
        let writes = |logged: &Logged| logged.mutation.layer() == Some(layer);
        // One that is not answered counts (P-263).
        let may_write = |id: TransactionId| {
            self.stalls.values().any(|stall| stall.of_transaction(id).iter().any(writes))
        };
        let has_written =
            |id: TransactionId, bound: &Bound| bound.log.iter().any(writes) || may_write(id);
        let bound = self.transactions.iter().filter_map(|(id, t)| Some((*id, t.bound()?)));
        let (writers, others): (Vec<_>, Vec<_>) =
            bound.partition(|(id, bound)| has_written(*id, bound));
        if others.iter().any(|(_, bound)| !bound.log.is_empty()) {
            covers!(covered, "DEL-19");
        }
        let writers: Vec<TransactionId> = writers.into_iter().map(|(id, _)| id).collect();
        for id in writers {
            covers!(covered, "DEL-16");
            self.set_phase(id, Phase::Aborted);
        }
    }
}
