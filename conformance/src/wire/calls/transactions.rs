//! Transactions as callers see them, beside what their calls send (PSD-005 §5.1, §6.2, §6.3).
//!
//! Which transaction an fd stands for, and when its lifetime ends, is in `objects`.

use std::collections::BTreeSet;

use registry_model::errno::Errno;
use registry_model::input::{Call, Fd, ProcessId};
use registry_model::observation::Observation;

use super::asked::{self, Enlisted};
use super::log::{Details, Logged};
use super::objects::{Binding, Object};
use super::{Around, CallRules, Ended, errno_of};
use crate::wire::frame::Operation;
use crate::wire::rules::{Failure, Held, Rule};
use crate::wire::settings;
use crate::wire::transactions::{READ_ONLY, Transactions};

/// `REG_TXN_TIMED_OUT`.
const TIMED_OUT: u32 = 4;
/// `RSI_TXN_BUSY`.
const BUSY: u32 = 6;

pub(super) fn begins(requests: &[Logged]) -> impl Iterator<Item = &Logged> {
    requests.iter().filter(|request| request.operation == Operation::BeginTransaction)
}

impl CallRules {
    /// Judges what calls on transaction fds and calls within transactions send, and that other
    /// calls stay outside.
    pub(super) fn transaction_call(
        &mut self,
        held: &mut Held,
        around: &Around<'_>,
        (process, call): (ProcessId, &Call),
        ended: &Ended<'_>,
    ) -> Result<(), Failure> {
        let transactions = around.transactions;
        self.timed_out(held, around, (process, call), ended);
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
                self.transaction_closed(held, around, (process, *fd), ended)
            }
            // These have a transaction of their own, which `transfers` judges.
            Call::Backup { .. } | Call::Restore { .. } => Ok(()),
            _ => match asked::enlisted(call) {
                Some((fd, kind)) => match self.objects.of((process, fd)) {
                    Some(object) => {
                        self.enlisted(held, transactions, (process, fd), (object, kind), ended)
                    }
                    None => Ok(()),
                },
                None => outside(held, call, ended),
            },
        }
    }

    /// What is refused as too late before anything was sent, to a source that has answered
    /// everything, names a transaction that has timed out.
    fn timed_out(
        &mut self,
        held: &mut Held,
        around: &Around<'_>,
        (process, call): (ProcessId, &Call),
        ended: &Ended<'_>,
    ) {
        let named = match call {
            Call::Commit { fd } => Some(*fd),
            _ => asked::enlisted(call).map(|(fd, _)| fd),
        };
        let Some(place) = named.map(|fd| (process, fd)) else { return };
        let source = self.objects.id_of(place).and_then(|id| around.transactions.source(id));
        let was_idle = source.is_some_and(|source| {
            around.idle.contains(&source) && self.idle_before.contains(&source)
        });
        let is_over = ended.failed() == Some(Errno::ETIMEDOUT) && ended.requests.is_empty();
        self.expired(held, around.transactions, place, is_over && was_idle);
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
        around: &Around<'_>,
        place: (ProcessId, Fd),
        ended: &Ended<'_>,
    ) -> Result<(), Failure> {
        let transactions = around.transactions;
        let Some(object) = self.objects.of(place) else { return Ok(()) };
        let is_last = self.objects.is_last(place);
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
        if let Some(is_in_order) = self.objects.is_in_order(place, id) {
            held.require(Rule::TransactionOrder, is_in_order, || {
                format!("{id} is out of the order in which transactions were created")
            })?;
        }
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

/// A call without a transaction sends requests without one; a kernel may wrap those of a change in
/// a read-write one of its own, which it begins in the call (P-189).
fn outside(held: &mut Held, call: &Call, ended: &Ended<'_>) -> Result<(), Failure> {
    let is_wrapped = |begin: &Logged| {
        asked::may_change(call) && !matches!(begin.details, Details::Begin { mode: READ_ONLY, .. })
    };
    if let Some(begin) = begins(ended.requests).find(|begin| !is_wrapped(begin)) {
        let id = begin.transaction_id().unwrap_or_default();
        let message = format!("{id} is begun, and the call changes nothing within a transaction");
        return Err(Failure::new(Rule::OutsideTransactions, message));
    }
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
        // Some statuses mean for a commit what they mean for any request (D-81).
        let general = commit.status().and_then(errno_of);
        if let Some((general, _)) = general.filter(|(_, errno)| ended.failed() == Some(*errno)) {
            held.mark(general);
        }
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
