//! Transactions as callers see them, beside what their calls send (PSD-005 §5.1, §6.2, §6.3).
//!
//! Knows which fds stand for which transaction and under what id each was begun at a source. A
//! deadline it sees only by the abort that goes with it, and by what callers are told.

use std::collections::{BTreeMap, BTreeSet};

use registry_model::errno::Errno;
use registry_model::input::{Call, Fd, ProcessId};
use registry_model::observation::Observation;

use super::asked::{self, Enlisted};
use super::log::{Details, Logged};
use super::{CallRules, Ended, errno_of};
use crate::wire::frame::{Guid, Operation};
use crate::wire::rules::{Failure, Held, Rule};
use crate::wire::settings;
use crate::wire::transactions::{READ_ONLY, Transactions};

/// `REG_TXN_TIMED_OUT`.
const TIMED_OUT: u32 = 4;
/// `RSI_TXN_BUSY`.
const BUSY: u32 = 6;

/// Where a transaction stands, as far as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    Unbound,
    /// Begun at a source under this id.
    Bound(u64),
    /// A call that cannot be judged may have bound it.
    Unknown,
}

/// A transaction, whichever fds stand for it.
#[derive(Clone, Debug)]
struct Object {
    binding: Binding,
    /// Whether it may have changed the kernel's settings or layers.
    may_change_settings: bool,
    /// The keys that its requests were about.
    keys: BTreeSet<Guid>,
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

    fn of(&self, place: (ProcessId, Fd)) -> Option<&Object> {
        self.known.get(self.fds.get(&place)?)
    }

    /// The id under which a transaction was begun, as far as that is known.
    pub(super) fn id_of(&self, place: (ProcessId, Fd)) -> Option<u64> {
        match self.of(place)?.binding {
            Binding::Bound(id) => Some(id),
            Binding::Unbound | Binding::Unknown => None,
        }
    }

    /// A transaction is over. What aborts it is on the way: the source may read it later (§7.1).
    fn over(&mut self, held: &mut Held, transactions: &Transactions, id: u64, rule: Rule) {
        if transactions.is_open(id) {
            self.unaborted.insert(id, rule);
        } else {
            held.mark(rule);
        }
    }

    /// Requires that a source which was given requests of this call had been given the aborts that
    /// were on the way before the call.
    pub(super) fn came_late(
        &mut self,
        held: &mut Held,
        transactions: &Transactions,
        requests: &[Logged],
    ) -> Result<(), Failure> {
        let was_given = |id: u64| {
            let source = transactions.source(id);
            requests.iter().any(|request| Some(request.source) == source)
        };
        let missing =
            self.unaborted.iter().find(|(id, _)| transactions.is_open(**id) && was_given(**id));
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
        let missing = self.unaborted.iter().find(|(id, _)| transactions.is_open(**id));
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
    pub(super) fn follow(&mut self, process: ProcessId, call: &Call, observation: &Observation) {
        match (call, observation) {
            (Call::Close { fd }, _) => {
                self.closed((process, *fd));
            }
            (Call::Pass { fd, to }, Observation::Passed { fd: received }) => {
                self.passed((process, *fd), (*to, *received));
            }
            _ => self.appeared(process, observation),
        }
    }

    /// Takes note of an fd that an answer gives.
    pub(super) fn appeared(&mut self, process: ProcessId, observation: &Observation) {
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

    /// Whether an id fits the order in which transactions were created.
    fn is_in_order(&self, place: (ProcessId, Fd), id: u64) -> bool {
        let Some(number) = self.fds.get(&place) else { return true };
        let before = self.ids.range(..number).next_back();
        let after = self.ids.range(number + 1..).next();
        before.is_none_or(|(_, other)| *other < id) && after.is_none_or(|(_, other)| *other > id)
    }
}

fn begins(requests: &[Logged]) -> impl Iterator<Item = &Logged> {
    requests.iter().filter(|request| request.operation == Operation::BeginTransaction)
}

impl CallRules {
    /// Judges what calls on transaction fds and calls within transactions send, and that other
    /// calls stay outside.
    pub(super) fn transaction_call(
        &mut self,
        held: &mut Held,
        transactions: &Transactions,
        (process, call): (ProcessId, &Call),
        ended: &Ended<'_>,
    ) -> Result<(), Failure> {
        match call {
            Call::BeginTransaction => ended.silent(held, Rule::BeginSilent),
            Call::TransactionStatus { fd } => {
                ended.silent(held, Rule::StatusSilent)?;
                let is_over = matches!(ended.observation, Observation::TransactionStatus { state, .. }
                        if *state == TIMED_OUT);
                self.expired(held, transactions, (process, *fd), is_over);
                Ok(())
            }
            Call::Poll { fd } => {
                ended.silent(held, Rule::StatusSilent)?;
                let is_over =
                    matches!(ended.observation, Observation::Polled(events) if events.terminal);
                self.expired(held, transactions, (process, *fd), is_over);
                Ok(())
            }
            Call::ReadEvents { .. } => ended.silent(held, Rule::StatusSilent),
            Call::Commit { fd } => match self.objects.of((process, *fd)) {
                Some(object) => committed(held, transactions, object, ended),
                None => Ok(()),
            },
            Call::Close { fd } if self.objects.has((process, *fd)) => {
                self.transaction_closed(held, transactions, (process, *fd), ended)
            }
            _ => match asked::enlisted(call) {
                Some((fd, kind)) => match self.objects.of((process, fd)) {
                    Some(object) => {
                        self.enlisted(held, transactions, (process, fd), (object, kind), ended)
                    }
                    None => Ok(()),
                },
                None => outside(held, ended),
            },
        }
    }

    /// A transaction that has timed out is aborted at its source (D-82).
    fn expired(
        &mut self,
        held: &mut Held,
        transactions: &Transactions,
        place: (ProcessId, Fd),
        is_over: bool,
    ) {
        if let Some(id) = self.objects.id_of(place).filter(|_| is_over) {
            self.objects.over(held, transactions, id, Rule::AbortAtExpiry);
        }
    }

    fn transaction_closed(
        &mut self,
        held: &mut Held,
        transactions: &Transactions,
        place: (ProcessId, Fd),
        ended: &Ended<'_>,
    ) -> Result<(), Failure> {
        let Some(object) = self.objects.of(place) else { return Ok(()) };
        let number = self.objects.fds.get(&place);
        let is_last = self.objects.fds.values().filter(|other| Some(*other) == number).count() == 1;
        let Binding::Bound(id) = object.binding else {
            return if object.binding == Binding::Unbound {
                ended.silent(held, Rule::CloseSilent)
            } else {
                Ok(())
            };
        };
        let is_abort = |request: &&Logged| request.transaction_id() == Some(id);
        let aborts = ended.requests.iter().filter(is_abort).count();
        if !is_last || aborts == 0 {
            ended.silent(held, Rule::CloseSilent)?;
        }
        if !is_last {
            return Ok(());
        }
        if aborts == 1 || transactions.is_open(id) {
            self.objects.over(held, transactions, id, Rule::AbortAtClose);
        }
        let is_alone = ended.requests.len() == aborts;
        held.require(Rule::CloseSilent, is_alone, || "more than the abort was sent".to_owned())
    }

    fn enlisted(
        &self,
        held: &mut Held,
        transactions: &Transactions,
        place: (ProcessId, Fd),
        (object, kind): (&Object, Enlisted),
        ended: &Ended<'_>,
    ) -> Result<(), Failure> {
        match object.binding {
            Binding::Unknown => Ok(()),
            Binding::Unbound if kind == Enlisted::Read => {
                let agrees = ended.requests.iter().all(|request| {
                    request.transaction == 0 && request.operation != Operation::BeginTransaction
                });
                if ended.requests.is_empty() {
                    return Ok(());
                }
                held.require(Rule::UnboundRead, agrees, || "the read is not an ordinary one".into())
            }
            Binding::Unbound => self.binding(held, place, kind, ended),
            // A deadline that passed ended it after what was sent.
            Binding::Bound(id) if transactions.is_open(id) || ended.aborted.contains(&id) => {
                bound(held, id, kind, ended)
            }
            // What is left of it takes part in nothing.
            Binding::Bound(_) if kind == Enlisted::Creation => {
                let changes = ended.requests.iter().any(Logged::is_change);
                held.require(Rule::EndedSilent, !changes, || "something was changed".to_owned())
            }
            Binding::Bound(_) => ended.silent(held, Rule::EndedSilent),
        }
    }

    /// A change through an unbound transaction begins it at the source first.
    fn binding(
        &self,
        held: &mut Held,
        place: (ProcessId, Fd),
        kind: Enlisted,
        ended: &Ended<'_>,
    ) -> Result<(), Failure> {
        let begins: Vec<&Logged> = begins(ended.requests).collect();
        let [begin] = begins[..] else {
            let changes = ended.requests.iter().any(Logged::is_change);
            let rule = if begins.is_empty() { Rule::BindingFirst } else { Rule::BoundOnce };
            let agrees = begins.is_empty() && !changes;
            let message = || Failure::new(rule, "a change was sent outside, or begun twice");
            return if agrees { Ok(()) } else { Err(message()) };
        };
        let id = begin.transaction_id().unwrap_or_default();
        let is_read_write = !matches!(begin.details, Details::Begin { mode: READ_ONLY, .. });
        let position = ended.requests.iter().position(|request| std::ptr::eq(request, begin));
        let (before, after) = ended.requests.split_at(position.unwrap_or_default());
        let agrees = is_read_write
            && before.iter().all(|request| request.transaction == 0 && !request.is_change());
        held.require(Rule::BindingFirst, agrees, || {
            "a read-write begin comes before any change".to_owned()
        })?;
        held.require(Rule::TransactionOrder, self.objects.is_in_order(place, id), || {
            format!("{id} is out of the order in which transactions were created")
        })?;
        if begin.succeeded() {
            return carried(held, Rule::BoundChange, id, kind, &after[1..]);
        }
        let refused = begin.status().and_then(errno_of);
        let agrees =
            after.len() == 1 && refused.is_none_or(|(_, errno)| ended.failed() == Some(errno));
        held.require(Rule::BindingRefused, agrees, || {
            format!("{:?} after a begin that was refused", ended.observation)
        })?;
        if let Some((rule, _)) = refused {
            held.mark(rule);
        }
        Ok(())
    }
}

/// What goes through a bound transaction carries its id; what is of another hive is not sent.
fn bound(held: &mut Held, id: u64, kind: Enlisted, ended: &Ended<'_>) -> Result<(), Failure> {
    if begins(ended.requests).next().is_some() {
        return Err(Failure::new(Rule::BoundOnce, format!("{id} is bound and was begun again")));
    }
    if ended.failed() == Some(Errno::EXDEV) {
        if kind != Enlisted::Creation {
            return ended.silent(held, Rule::OtherHiveSilent);
        }
        let is_outside = |request: &Logged| request.transaction == 0 && !request.is_change();
        let agrees = ended.requests.iter().all(is_outside);
        return held.require(Rule::OtherHiveSilent, agrees, || "something was sent".to_owned());
    }
    let rule = if kind == Enlisted::Read { Rule::BoundRead } else { Rule::BoundChange };
    carried(held, rule, id, kind, ended.requests)?;
    let is_query = |request: &Logged| matches!(request.details, Details::Query { query_all: 0 });
    if kind == Enlisted::Read && ended.requests.iter().any(is_query) {
        held.mark(Rule::BoundQuery);
    }
    Ok(())
}

/// Requires the id of every request; the walk of a creation may look outside (P-76).
fn carried(
    held: &mut Held,
    rule: Rule,
    id: u64,
    kind: Enlisted,
    requests: &[Logged],
) -> Result<(), Failure> {
    let agrees = |request: &Logged| {
        request.transaction == id
            || (kind == Enlisted::Creation && request.transaction == 0 && !request.is_change())
    };
    let stray = requests.iter().find(|request| !agrees(request));
    if let Some(stray) = stray {
        let (name, other) = (stray.operation.name(), stray.transaction);
        return Err(Failure::new(rule, format!("{name} carries {other} and not {id}")));
    }
    if !requests.is_empty() {
        held.mark(rule);
    }
    Ok(())
}

/// A call without a transaction sends requests without one; a kernel may wrap them in one of its
/// own, which it begins in the call.
fn outside(held: &mut Held, ended: &Ended<'_>) -> Result<(), Failure> {
    let own: BTreeSet<u64> = begins(ended.requests).filter_map(Logged::transaction_id).collect();
    let stray = ended.requests.iter().find(|request| {
        let id = request.transaction_id().unwrap_or(request.transaction);
        id != 0 && !own.contains(&id)
    });
    match stray {
        Some(stray) => {
            let (name, id) = (stray.operation.name(), stray.transaction);
            let message = format!("{name} carries {id} and the call has no transaction");
            Err(Failure::new(Rule::OutsideTransactions, message))
        }
        None if ended.requests.is_empty() => Ok(()),
        None => {
            held.mark(Rule::OutsideTransactions);
            Ok(())
        }
    }
}

fn not_told(id: u64, rule: Rule) -> Failure {
    Failure::new(rule, format!("transaction {id} is over and its source was not told"))
}

/// `REG_IOC_COMMIT`: one commit if there is something to commit, looks around it, and nothing that
/// changes anything but what the commit does to layers and orphans.
fn committed(
    held: &mut Held,
    transactions: &Transactions,
    object: &Object,
    ended: &Ended<'_>,
) -> Result<(), Failure> {
    let is_commit = |request: &&Logged| request.operation == Operation::CommitTransaction;
    let commits: Vec<&Logged> = ended.requests.iter().filter(is_commit).collect();
    let Binding::Bound(id) = object.binding else {
        return if object.binding == Binding::Unbound {
            ended.silent(held, Rule::CommitNothing)
        } else {
            Ok(())
        };
    };
    let [commit] = commits[..] else {
        if commits.is_empty() && ended.aborted.contains(&id) {
            return commit_looks(held, object, (id, false), (ended.requests, &[]));
        }
        if commits.is_empty() && !transactions.is_open(id) {
            return ended.silent(held, Rule::CommitNothing);
        }
        let is_early = matches!(ended.failed(), Some(Errno::ETIMEDOUT | Errno::ENOMEM));
        return if commits.is_empty() && is_early {
            Ok(())
        } else {
            Err(Failure::new(Rule::CommitSent, format!("{} commits were sent", commits.len())))
        };
    };
    let rule = match commit.status() {
        Some(0) => Rule::CommitSent,
        Some(BUSY) => Rule::CommitBusy,
        _ => Rule::CommitFailed,
    };
    let agrees = match rule {
        Rule::CommitSent => ended.is_done() && commit.transaction_id() == Some(id),
        Rule::CommitBusy => ended.failed() == Some(Errno::EBUSY),
        _ => ended.failed() == Some(Errno::EIO),
    };
    // A lifetime that ends as the commit is in flight says nothing of its answer (§10.1, P-158).
    if ended.failed() != Some(Errno::ETIMEDOUT) {
        held.require(rule, agrees, || {
            format!("the caller was told {:?} of {:?}", ended.observation, commit.status())
        })?;
    }
    let position = ended.requests.iter().position(|request| std::ptr::eq(request, commit));
    let (before, after) = ended.requests.split_at(position.unwrap_or_default());
    commit_looks(held, object, (id, commit.succeeded()), (before, &after[1..]))
}

fn commit_looks(
    held: &mut Held,
    object: &Object,
    (id, succeeded): (u64, bool),
    (before, after): (&[Logged], &[Logged]),
) -> Result<(), Failure> {
    let may_follow = |request: &Logged| {
        let is_effect = matches!(request.operation, Operation::DeleteLayer | Operation::DropKey);
        request.is_read() || (succeeded && is_effect)
    };
    let agrees = before.iter().all(|of| of.is_read() && [0, id].contains(&of.transaction))
        && after.iter().all(|of| may_follow(of) && (of.transaction == 0 || !succeeded));
    held.require(Rule::CommitAlone, agrees, || "something else was changed or asked".to_owned())?;
    let mut looks = before.iter().chain(after);
    let is_settings = |request: &Logged| {
        request.operation == Operation::Lookup && settings::may_lead_to(&request.name)
    };
    if object.may_change_settings || looks.clone().any(is_settings) {
        return Ok(());
    }
    let is_judged =
        |request: &Logged| matches!(request.operation, Operation::Lookup | Operation::QueryValues);
    let stray = looks.find(|request| is_judged(request) && !object.keys.contains(&request.key));
    held.require(Rule::CommitLooks, stray.is_none(), || {
        "a key was asked about that the transaction has not changed".to_owned()
    })
}
