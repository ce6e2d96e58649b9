//! What one call may send: a call and its answer beside the requests that it caused (PSD-005
//! §2.3, §2.8, §6.2, §6.3, §7.2).
//!
//! Knows what callers see and what crosses the wire, and nothing of the state between: no layer
//! table, no view. Judges calls that overlap no other and that no death interrupted. What an fd
//! stands for it learns from the walk that opened it, or from the first request about it.

mod asked;
mod changes;
mod keys;
mod log;
mod objects;
mod orphans;
mod paths;
mod security;
mod transactions;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use registry_model::errno::Errno;
use registry_model::input::{Call, Fd, ProcessId, SourceId};
use registry_model::observation::Observation;

use super::fields;
use super::frame::{Guid, Operation};
use super::rules::{Failure, Held, Rule};
use super::settings;
use super::transactions::Transactions;
use asked::{Asked, Enlisted, KeyOperation};
use log::{Log, Logged};
use objects::{Lifetime, Objects};
use orphans::Orphans;

const NANOSECONDS_PER_MS: u64 = 1_000_000;

/// What a key fd stands for.
#[derive(Clone, Debug)]
struct OpenKey {
    /// The components of its path, the hive first, as callers spelled them.
    path: Vec<Vec<u8>>,
    /// The access that was asked for when it was opened.
    access: u32,
    source: Option<SourceId>,
    key: Option<Guid>,
}

impl OpenKey {
    fn is_root(&self) -> bool {
        self.path.len() == 1
    }

    fn name(&self) -> &[u8] {
        self.path.last().map_or(&[], Vec::as_slice)
    }
}

/// What is known of calls.
#[derive(Clone, Debug, Default)]
pub(super) struct CallRules {
    pub(super) log: Log,
    open_keys: BTreeMap<(ProcessId, Fd), OpenKey>,
    /// Which source registered which root GUID.
    roots: BTreeSet<(Guid, SourceId)>,
    /// The roots that walks began at.
    walked: BTreeMap<Guid, SourceId>,
    objects: Objects,
    pub(super) orphans: Orphans,
    /// When the call under way began, Unix nanoseconds, if the time is told.
    began: Option<u64>,
    /// The sources that had answered everything when it began.
    idle_before: BTreeSet<SourceId>,
}

/// What is known around a call that has ended.
pub(super) struct Around<'a> {
    pub(super) transactions: &'a Transactions,
    /// The time, Unix nanoseconds, if it is told.
    pub(super) now: Option<u64>,
    /// The shortest and the longest TransactionTimeoutMs that may be in force.
    pub(super) lifetimes_ms: (u32, u32),
    /// The sources that have answered everything.
    pub(super) idle: BTreeSet<SourceId>,
    /// The sources that may have no slot to spare.
    pub(super) full: BTreeSet<SourceId>,
}

/// A call under judgement: what it answered and what it sent.
struct Ended<'a> {
    observation: &'a Observation,
    requests: &'a [Logged],
    /// Whether it names a transaction.
    is_enlisted: bool,
    /// The transactions of which deadlines passed meanwhile. The aborts are not among the requests.
    aborted: &'a BTreeSet<u64>,
    /// Whether its errno is that of a begin which the source refused.
    is_begin_refused: bool,
}

impl Ended<'_> {
    fn first(&self, operation: Operation) -> Option<&Logged> {
        self.requests.iter().find(|request| request.operation == operation)
    }

    fn count(&self, operation: Operation) -> usize {
        self.requests.iter().filter(|request| request.operation == operation).count()
    }

    /// The requests before anything is created.
    fn walk(&self) -> impl Iterator<Item = &Logged> {
        self.requests.iter().take_while(|request| !request.is_change())
    }

    /// Whether the lifetime of the transaction that it names may have ended it.
    fn may_be_cut_off(&self) -> bool {
        self.is_enlisted && self.failed() == Some(Errno::ETIMEDOUT)
    }

    /// Whether a symbolic link was read on the way: the walk went on elsewhere, and where it ended
    /// is not known.
    fn follows_links(&self) -> bool {
        self.walk().any(|request| request.operation == Operation::QueryValues)
    }

    fn failed(&self) -> Option<Errno> {
        match self.observation {
            Observation::Failed(errno) => Some(*errno),
            _ => None,
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.observation, Observation::Done)
    }

    /// Requires that nothing was sent.
    fn silent(&self, held: &mut Held, rule: Rule) -> Result<(), Failure> {
        held.require(rule, self.requests.is_empty(), || {
            let names: Vec<_> = self.requests.iter().map(|r| r.operation.name()).collect();
            format!("the call sent {}", names.join(", "))
        })
    }

    /// Requires that strings of the call which are not UTF-8 were noticed before anything was sent.
    fn encoding(&self, held: &mut Held, strings: &[&[u8]]) -> Result<(), Failure> {
        if strings.iter().all(|string| std::str::from_utf8(string).is_ok()) {
            return Ok(());
        }
        self.silent(held, Rule::EncodingBeforeSource)
    }
}

impl CallRules {
    pub(super) fn registered(&mut self, source: SourceId, roots: &[Guid]) {
        self.roots.extend(roots.iter().map(|root| (*root, source)));
    }

    /// A source is gone. Another process may resume its slot.
    pub(super) fn disconnected(&mut self, source: SourceId) {
        for open in self.open_keys.values_mut().filter(|open| open.source == Some(source)) {
            open.source = None;
        }
        self.orphans.disconnected(source);
    }

    pub(super) fn rebooted(&mut self) {
        self.open_keys.clear();
        self.walked.clear();
        self.objects = Objects::default();
        self.orphans.rebooted();
    }

    pub(super) fn began(
        &mut self,
        held: &mut Held,
        transactions: &Transactions,
        now: Option<u64>,
        idle: BTreeSet<SourceId>,
    ) {
        self.objects.expire(held, transactions, now);
        (self.began, self.idle_before) = (now, idle);
        self.log.begin();
    }

    /// Takes note of what has timed out by the time that all is quiet.
    pub(super) fn expire(
        &mut self,
        held: &mut Held,
        transactions: &Transactions,
        now: Option<u64>,
    ) {
        self.objects.expire(held, transactions, now);
    }

    /// Judges a call that has ended, all its frames having been observed.
    pub(super) fn ended(
        &mut self,
        held: &mut Held,
        around: &Around<'_>,
        (process, call): (ProcessId, &Call),
        observation: &Observation,
        was_interrupted: bool,
    ) -> Result<(), (SourceId, Failure)> {
        let requests = self.log.end();
        let judged = match &requests {
            Some(requests) if !was_interrupted => {
                self.judge(held, around, (process, call), observation, requests)
            }
            _ => {
                self.skip(process, asked::asked(call), observation);
                Ok(())
            }
        };
        if let Some((fd, kind)) = asked::enlisted(call)
            && kind != Enlisted::Read
        {
            let may_change = self.may_change_settings(process, call, observation);
            self.objects.learn((process, fd), requests.as_deref(), may_change);
        }
        let lifetime = self.lifetime(around);
        self.objects.follow(process, call, observation, lifetime);
        if let Call::Close { fd } = call {
            self.orphans.closed_at((process, *fd), &around.full);
        } else {
            self.orphans.follow(process, call, observation, requests.as_deref());
        }
        judged
    }

    /// When a transaction that this call created ends (§5.1 "Timeout").
    fn lifetime(&self, around: &Around<'_>) -> Option<Lifetime> {
        let (began, ended) = self.began.zip(around.now)?;
        let (shortest, longest) = around.lifetimes_ms;
        let after = |from: u64, timeout_ms: u32| {
            from.saturating_add(u64::from(timeout_ms) * NANOSECONDS_PER_MS)
        };
        let (earliest_end, latest_end) = (after(began, shortest), after(ended, longest));
        Some(Lifetime { earliest_end, latest_end })
    }

    fn judge(
        &mut self,
        held: &mut Held,
        around: &Around<'_>,
        (process, call): (ProcessId, &Call),
        observation: &Observation,
        requests: &[Logged],
    ) -> Result<(), (SourceId, Failure)> {
        let source = requests.first().map_or(SourceId(0), |request| request.source);
        let at_source = |failure| (source, failure);
        self.objects.came_late(held, around.transactions, requests).map_err(at_source)?;
        // A deadline may pass during any call; its abort is nobody's request. The close of an fd
        // that is not the last one aborts nothing.
        let is_close = matches!(call, Call::Close { fd } if self.objects.has((process, *fd)));
        let closed = match call {
            Call::Close { fd } => self.closed_by((process, *fd), around),
            _ => None,
        };
        let is_deadline = |request: &Logged| {
            request.operation == Operation::AbortTransaction && request.transaction_id() != closed
        };
        let deadlines = requests.iter().filter(|request| is_deadline(request));
        let aborted: BTreeSet<u64> = deadlines.filter_map(Logged::transaction_id).collect();
        let own = without(requests, is_deadline);
        let is_enlisted = asked::enlisted(call).is_some();
        let is_refused =
            |of: &Logged| of.operation == Operation::BeginTransaction && !of.succeeded();
        let is_begin_refused = own.iter().any(is_refused);
        let ended =
            Ended { observation, requests: &own, is_enlisted, aborted: &aborted, is_begin_refused };
        self.transaction_call(held, around, (process, call), &ended).map_err(at_source)?;
        if is_close {
            return Ok(());
        }
        // What begins or ends a transaction is judged; the rest is the operation's own.
        let rest = without(&own, Logged::is_transactional);
        let ended = Ended { requests: &rest, ..ended };
        let judged = match asked::asked(call) {
            None => Ok(()),
            Some(Asked::Path { parent, path, access, creation }) => {
                let parent = (parent >= 0).then_some((process, parent));
                self.path_call(held, &ended, (process, parent), (path, access), creation)
            }
            Some(Asked::Key { fd, operation }) => {
                self.key_call(held, &ended, (process, fd), &operation)
            }
        };
        judged.map_err(at_source)
    }

    /// The transaction whose abort is the request of this close.
    fn closed_by(&self, place: (ProcessId, Fd), around: &Around<'_>) -> Option<u64> {
        let may_be_deadline =
            !self.objects.is_last(place) && self.objects.may_have_expired(place, around.now);
        if may_be_deadline { None } else { self.objects.id_of(place) }
    }

    /// Whether a change may be one of the kernel's settings. Known keys elsewhere are none.
    fn may_change_settings(
        &self,
        process: ProcessId,
        call: &Call,
        observation: &Observation,
    ) -> bool {
        let fd = match (asked::asked(call), observation) {
            (Some(Asked::Key { fd, .. }), _) => fd,
            (Some(Asked::Path { .. }), Observation::Opened { fd, .. }) => *fd,
            _ => return true,
        };
        let open = self.open_keys.get(&(process, fd));
        open.is_none_or(|open| settings::may_hold(&open.path))
    }

    /// Forgets what a call that is not judged has opened or closed.
    pub(super) fn passed_over(
        &mut self,
        process: ProcessId,
        closed: Option<Fd>,
        observation: &Observation,
    ) {
        let requests = self.log.end();
        self.objects.unseen(requests.as_deref());
        if let Some(fd) = closed {
            self.open_keys.remove(&(process, fd));
            self.objects.closed_unseen((process, fd));
            self.orphans.closed((process, fd));
        }
        self.skip(process, None, observation);
        // How long it was under way is known as little as what it asked for.
        self.objects.appeared(process, observation, None);
        self.orphans.appeared(process, observation, requests.as_deref());
    }

    /// The id under which the transaction of an fd was begun, as far as that is known.
    pub(super) fn transaction_of(&self, place: (ProcessId, Fd)) -> Option<u64> {
        self.objects.id_of(place)
    }

    /// The rule that asks for an abort which has not come, and the transaction.
    pub(super) fn unaborted(&self, transactions: &Transactions) -> Option<(u64, Rule)> {
        self.objects.unaborted(transactions)
    }

    /// A transaction that a source has open and that no fd stands for.
    pub(super) fn ownerless(&self, transactions: &Transactions) -> Option<u64> {
        self.objects.ownerless(transactions)
    }

    /// A call that cannot be judged still closes its fd, and what it opens is not known.
    fn skip(&mut self, process: ProcessId, asked: Option<Asked<'_>>, observation: &Observation) {
        if let Some(Asked::Key { fd, operation: KeyOperation::Close }) = asked {
            self.open_keys.remove(&(process, fd));
        }
        if let Observation::Opened { fd, .. } = observation {
            self.open_keys.remove(&(process, *fd));
        }
        if let (
            Some(Asked::Key { operation: KeyOperation::Pass { to }, .. }),
            Observation::Passed { fd },
        ) = (asked, observation)
        {
            self.open_keys.remove(&(to, *fd));
        }
    }
}

/// The requests but those that are left out. Most calls leave out none.
fn without(requests: &[Logged], is_left_out: impl Fn(&Logged) -> bool) -> Cow<'_, [Logged]> {
    if requests.iter().any(&is_left_out) {
        Cow::Owned(requests.iter().filter(|request| !is_left_out(request)).cloned().collect())
    } else {
        Cow::Borrowed(requests)
    }
}

/// Whether a layer of a call and the layer of its request agree; a call without one means base.
fn layer_agrees(
    held: &mut Held,
    base: Rule,
    asked: &[u8],
    request: &Logged,
) -> Result<(), Failure> {
    let sent = &request.layer;
    let shown = || format!("{:?} was sent", sent.escape_ascii().to_string());
    if asked.is_empty() {
        return held.require(base, sent == b"base", shown);
    }
    held.require(Rule::LayerAsAsked, fields::may_be_same(asked, sent), shown)
}

/// The errno that goes with a status of a source (§7.3), and the rule that says so.
fn errno_of(status: u32) -> Option<(Rule, Errno)> {
    Some(match status {
        1 => (Rule::StatusNotFound, Errno::ENOENT),
        2 => (Rule::StatusAlreadyExists, Errno::EEXIST),
        3 => (Rule::StatusStorageError, Errno::EIO),
        4 => (Rule::StatusNotEmpty, Errno::ENOTEMPTY),
        5 => (Rule::StatusTooLarge, Errno::ENOSPC),
        6 => (Rule::StatusBusy, Errno::EBUSY),
        7 => (Rule::StatusInvalid, Errno::EINVAL),
        8 => (Rule::StatusConditionFailed, Errno::EAGAIN),
        9 => (Rule::StatusNotSupported, Errno::ENOTSUP),
        _ => return None,
    })
}
