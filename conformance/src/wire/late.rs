//! What late responses let the kernel ask while no call is under way (PSD-005 §10.1, P-260, P-261).
//!
//! A response between calls is late: a call's own responses come while it lasts.

use std::collections::{BTreeMap, BTreeSet};

use registry_model::input::SourceId;

use super::frame::{Guid, Operation, Request};
use super::rules::{Held, Rule};

/// A request that comes after another one of the same mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Next {
    /// The last write time of a key.
    Time(Guid),
    /// The record of a new key.
    Record(Guid),
}

impl Next {
    /// What comes after a request.
    pub(super) fn after(request: &Request<'_>) -> Option<Next> {
        match *request {
            Request::SetValue { guid, .. }
            | Request::DeleteValueEntry { guid, .. }
            | Request::SetBlanketTombstone { guid, .. }
            | Request::DeleteEntry { parent: guid, .. } => Some(Next::Time(guid)),
            Request::CreateEntry { child, .. } => Some(Next::Record(child)),
            _ => None,
        }
    }

    fn of(request: &Request<'_>) -> Option<Next> {
        match *request {
            Request::WriteKey { guid, security_descriptor: None, .. } => Some(Next::Time(guid)),
            Request::CreateKey { guid, .. } => Some(Next::Record(guid)),
            _ => None,
        }
    }
}

/// The requests that late responses let the kernel send, each of them once.
#[derive(Clone, Debug, Default)]
pub(super) struct Late {
    /// How many times each may still be sent; never 0.
    allowed: BTreeMap<(SourceId, Next), usize>,
    /// Transactions that were begun for nobody.
    begun: BTreeSet<u64>,
    /// The transaction whose commit was under way as its lifetime ended.
    committing: Option<u64>,
}

impl Late {
    /// A request has succeeded that nobody waits for.
    pub(super) fn succeeded(&mut self, source: SourceId, next: Option<Next>) {
        if let Some(next) = next {
            *self.allowed.entry((source, next)).or_default() += 1;
        }
    }

    /// The same of a request by what it was: what it shows that nothing follows from it.
    pub(super) fn answered(&mut self, held: &mut Held, operation: Operation, transaction: u64) {
        match operation {
            Operation::BeginTransaction => {
                self.begun.insert(transaction);
            }
            Operation::AbortTransaction => held.mark(Rule::LateAbort),
            Operation::Flush => held.mark(Rule::LateFlush),
            _ => {}
        }
    }

    /// A commit was cut off by the end of its transaction's lifetime. It may be on the way (P-158): the
    /// source may read it after other calls that take no time.
    pub(super) fn cut_off(&mut self, transaction: u64) {
        self.committing = Some(transaction);
    }

    /// Whether a request is the commit that was cut off.
    pub(super) fn takes_commit(&mut self, request: &Request<'_>) -> bool {
        let Request::CommitTransaction { transaction } = *request else { return false };
        let is_it = self.committing == Some(transaction);
        if is_it {
            self.committing = None;
        }
        is_it
    }

    /// All is quiet: what was on the way has come.
    pub(super) fn quiescent(&mut self) {
        self.committing = None;
    }

    /// A transaction is aborted.
    pub(super) fn aborted(&mut self, held: &mut Held, transaction: u64) {
        if self.begun.remove(&transaction) {
            held.mark(Rule::LateBeginAborted);
        }
    }

    /// Whether a request is one of these.
    pub(super) fn takes(&mut self, source: SourceId, request: &Request<'_>) -> bool {
        let Some(next) = Next::of(request) else { return false };
        let Some(left) = self.allowed.remove(&(source, next)) else { return false };
        if left > 1 {
            self.allowed.insert((source, next), left - 1);
        }
        true
    }

    /// The connection is gone, and what it had to be asked.
    pub(super) fn disconnected(&mut self, source: SourceId) {
        self.allowed.retain(|(of, _), _| *of != source);
        self.begun.clear();
        self.committing = None;
    }
}
