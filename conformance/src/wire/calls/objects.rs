//! Transactions as callers see them: which fds stand for which, under what id each was begun at a
//! source, and when its lifetime ends (PSD-005 §5.1, §6.2).
//!
//! Knows of time only what it is told: without a clock no lifetime ends here.

use std::collections::{BTreeMap, BTreeSet};

use registry_model::input::{Call, Fd, ProcessId};
use registry_model::observation::Observation;

use super::log::Logged;
use super::transactions::begins;
use crate::wire::frame::{Guid, Operation};
use crate::wire::rules::{Failure, Held, Rule};
use crate::wire::transactions::Transactions;

/// How much later than the end of a lifetime a timer may fire, nanoseconds.
const TIMER_GRACE_NS: u64 = 10_000_000;

/// Where a transaction stands, as far as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    Unbound,
    /// Begun at a source under this id.
    Bound(u64),
    /// A call that cannot be judged may have bound it.
    Unknown,
}

/// When a lifetime ends, Unix nanoseconds. The creation was within its call, and the length may not
/// be known exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) struct Lifetime {
    pub(in crate::wire) earliest_end: u64,
    pub(in crate::wire) latest_end: u64,
}

/// A transaction, whichever fds stand for it.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) binding: Binding,
    /// Whether it may have changed the kernel's settings or layers.
    pub(super) may_change_settings: bool,
    /// The keys that its requests were about.
    pub(super) keys: BTreeSet<Guid>,
    /// `None` if the time is not told.
    lifetime: Option<Lifetime>,
}

/// The transactions of all processes since the last reboot, by the order of their creation.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    fds: BTreeMap<(ProcessId, Fd), u64>,
    known: BTreeMap<u64, Object>,
    /// The ids that they were begun under, closed ones included.
    ids: BTreeMap<u64, u64>,
    begun: u64,
    /// Ids of which it is not known whose they are.
    strays: BTreeSet<u64>,
    /// Ids that are over and whose abort has not been read by the source, with the rule that asks
    /// for it.
    unaborted: BTreeMap<u64, Rule>,
}

impl Objects {
    pub(super) fn has(&self, place: (ProcessId, Fd)) -> bool {
        self.fds.contains_key(&place)
    }

    pub(super) fn of(&self, place: (ProcessId, Fd)) -> Option<&Object> {
        self.known.get(self.fds.get(&place)?)
    }

    /// Whether no other fd stands for the transaction.
    pub(super) fn is_last(&self, place: (ProcessId, Fd)) -> bool {
        let Some(number) = self.fds.get(&place) else { return false };
        self.fds.values().filter(|other| *other == number).count() == 1
    }

    /// Whether the lifetime of a transaction may be over.
    pub(super) fn may_have_expired(&self, place: (ProcessId, Fd), now: Option<u64>) -> bool {
        let lifetime = self.of(place).and_then(|object| object.lifetime);
        lifetime.zip(now).is_some_and(|(lifetime, now)| lifetime.earliest_end <= now)
    }

    /// Takes note of the transactions that have timed out by now: their aborts are on the way. A
    /// commit in flight is waited for.
    pub(super) fn expire(
        &mut self,
        held: &mut Held,
        transactions: &Transactions,
        now: Option<u64>,
    ) {
        let Some(now) = now else { return };
        for object in self.known.values() {
            let Some(lifetime) = object.lifetime else { continue };
            let is_over = lifetime.latest_end.saturating_add(TIMER_GRACE_NS) < now;
            match object.binding {
                Binding::Bound(id) if is_over && transactions.owes_abort(id) => {
                    self.unaborted.entry(id).or_insert(Rule::AbortAtExpiry);
                }
                Binding::Unbound if is_over => held.mark(Rule::UnboundExpiry),
                Binding::Bound(_) | Binding::Unbound | Binding::Unknown => {}
            }
        }
    }

    /// The id under which a transaction was begun, as far as that is known.
    pub(super) fn id_of(&self, place: (ProcessId, Fd)) -> Option<u64> {
        match self.of(place)?.binding {
            Binding::Bound(id) => Some(id),
            Binding::Unbound | Binding::Unknown => None,
        }
    }

    /// A transaction is over. What aborts it is on the way: the source may read it later (§7.1).
    pub(super) fn over(
        &mut self,
        held: &mut Held,
        transactions: &Transactions,
        id: u64,
        rule: Rule,
    ) {
        if transactions.owes_abort(id) {
            self.unaborted.insert(id, rule);
        } else if !transactions.is_open(id) {
            held.mark(rule);
        }
    }

    /// Requires that a source which was given requests of this call had been given before them the
    /// aborts that were on the way before the call (P-283).
    pub(super) fn came_late(
        &mut self,
        held: &mut Held,
        transactions: &Transactions,
        requests: &[Logged],
    ) -> Result<(), Failure> {
        let was_given = |id: u64| {
            let source = transactions.source(id);
            let is_abort = |of: &&Logged| of.operation == Operation::AbortTransaction;
            let to_it = || requests.iter().filter(|request| Some(request.source) == source);
            match to_it().position(|of| is_abort(&of) && of.transaction_id() == Some(id)) {
                Some(position) => !to_it().take(position).all(|of| is_abort(&of)),
                None => transactions.owes_abort(id) && to_it().next().is_some(),
            }
        };
        let missing = self.unaborted.iter().find(|(id, _)| was_given(**id));
        if let Some((id, rule)) = missing.map(|(id, rule)| (*id, *rule)) {
            self.unaborted.remove(&id);
            return Err(not_told(id, rule));
        }
        self.unaborted.retain(|id, rule| {
            let is_open = transactions.is_open(*id);
            if !is_open {
                held.mark(*rule);
            }
            is_open
        });
        Ok(())
    }

    /// An abort that should have come by now.
    pub(super) fn unaborted(&self, transactions: &Transactions) -> Option<(u64, Rule)> {
        let missing = self.unaborted.iter().find(|(id, _)| transactions.owes_abort(**id));
        missing.map(|(id, rule)| (*id, *rule))
    }

    /// A transaction that a source has open and that nobody can end any more.
    pub(super) fn ownerless(&self, transactions: &Transactions) -> Option<u64> {
        if self.known.values().any(|object| object.binding == Binding::Unknown) {
            return None;
        }
        let is_owned = |id: &u64| {
            self.strays.contains(id)
                || self.known.values().any(|object| object.binding == Binding::Bound(*id))
        };
        transactions.all_open().find(|id| !is_owned(id))
    }

    /// Takes note of fds that a call made or closed.
    pub(super) fn follow(
        &mut self,
        process: ProcessId,
        call: &Call,
        observation: &Observation,
        lifetime: Option<Lifetime>,
    ) {
        match (call, observation) {
            (Call::Close { fd }, _) => {
                self.closed((process, *fd));
            }
            (Call::Pass { fd, to }, Observation::Passed { fd: received }) => {
                self.passed((process, *fd), (*to, *received));
            }
            _ => self.appeared(process, observation, lifetime),
        }
    }

    /// Takes note of an fd that an answer gives.
    pub(super) fn appeared(
        &mut self,
        process: ProcessId,
        observation: &Observation,
        lifetime: Option<Lifetime>,
    ) {
        let number = match observation {
            Observation::Begun { fd } | Observation::Opened { fd, .. } => *fd,
            _ => return,
        };
        self.closed((process, number));
        if matches!(observation, Observation::Begun { .. }) {
            let object = Object {
                binding: Binding::Unbound,
                may_change_settings: false,
                keys: BTreeSet::new(),
                lifetime,
            };
            self.known.insert(self.begun, object);
            self.fds.insert((process, number), self.begun);
            self.begun += 1;
        }
    }

    fn passed(&mut self, from: (ProcessId, Fd), to: (ProcessId, Fd)) {
        let object = self.fds.get(&from).copied();
        self.closed(to);
        if let Some(object) = object {
            self.fds.insert(to, object);
        }
    }

    /// Forgets an fd, and the transaction if it was its last one.
    fn closed(&mut self, place: (ProcessId, Fd)) {
        let Some(object) = self.fds.remove(&place) else { return };
        if !self.fds.values().any(|other| *other == object) {
            self.known.remove(&object);
        }
    }

    /// A call that is not judged closed the fd.
    pub(super) fn closed_unseen(&mut self, place: (ProcessId, Fd)) {
        if let Some(Object { binding: Binding::Bound(id), .. }) = self.of(place) {
            self.strays.insert(*id);
        }
        self.closed(place);
    }

    /// A call that is not judged may have bound any transaction.
    pub(super) fn unseen(&mut self, requests: Option<&[Logged]>) {
        let begins = requests.map(|requests| begins(requests).collect::<Vec<_>>());
        if begins.as_ref().is_some_and(Vec::is_empty) {
            return;
        }
        self.strays.extend(begins.into_iter().flatten().filter_map(|begin| begin.transaction_id()));
        for object in self.known.values_mut().filter(|of| of.binding == Binding::Unbound) {
            object.binding = Binding::Unknown;
        }
    }

    /// Learns what a call of an enlisted operation did to its transaction. `None` for requests that
    /// were not kept.
    pub(super) fn learn(
        &mut self,
        place: (ProcessId, Fd),
        requests: Option<&[Logged]>,
        may_change_settings: bool,
    ) {
        let Some(number) = self.fds.get(&place).copied() else { return };
        let Some(object) = self.known.get_mut(&number) else { return };
        object.may_change_settings |= may_change_settings;
        let Some(requests) = requests else {
            if object.binding == Binding::Unbound {
                object.binding = Binding::Unknown;
            }
            return;
        };
        if let Some(id) = begins(requests).find(|begin| begin.succeeded()) {
            let id = id.transaction_id().unwrap_or_default();
            object.binding = Binding::Bound(id);
            self.ids.insert(number, id);
        }
        for request in requests.iter().filter(|request| request.transaction != 0) {
            object.keys.insert(request.key);
            object.keys.extend(request.named_keys());
        }
    }

    /// Whether an id fits the order in which transactions were created. `None` if there is no other
    /// to compare it with.
    pub(super) fn is_in_order(&self, place: (ProcessId, Fd), id: u64) -> Option<bool> {
        let number = self.fds.get(&place)?;
        let before = self.ids.range(..number).next_back();
        let after = self.ids.range(number + 1..).next();
        before.or(after)?;
        let follows = before.is_none_or(|(_, other)| *other < id);
        Some(follows && after.is_none_or(|(_, other)| *other > id))
    }
}

fn not_told(id: u64, rule: Rule) -> Failure {
    Failure::new(rule, format!("transaction {id} is over and its source was not told first"))
}
