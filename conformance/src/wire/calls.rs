//! What one call may send: a call and its answer beside the requests that it caused (PSD-005
//! §2.3, §2.8, §6.2, §6.3, §7.2).
//!
//! Knows what callers see and what crosses the wire, and nothing of the state between: no layer
//! table, no view. Judges calls that overlap no other and that no death interrupted. What an fd
//! stands for it learns from the walk that opened it, or from the first request about it.

mod asked;
mod keys;
mod log;
mod paths;
mod security;

use std::collections::{BTreeMap, BTreeSet};

use registry_model::errno::Errno;
use registry_model::input::{Call, Fd, ProcessId, SourceId};
use registry_model::observation::Observation;

use super::fields;
use super::frame::{Guid, Operation};
use super::rules::{Failure, Held, Rule};
use asked::{Asked, KeyOperation};
use log::{Log, Logged};

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
}

/// A call under judgement: what it answered and what it sent.
struct Ended<'a> {
    observation: &'a Observation,
    requests: &'a [Logged],
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
        self.requests.iter().take_while(|request| {
            !matches!(request.operation, Operation::CreateEntry | Operation::DeleteEntry)
        })
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

    pub(super) fn rebooted(&mut self) {
        self.open_keys.clear();
        self.walked.clear();
    }

    pub(super) fn began(&mut self) {
        self.log.begin();
    }

    /// Judges a call that has ended, all its frames having been observed.
    pub(super) fn ended(
        &mut self,
        held: &mut Held,
        process: ProcessId,
        call: &Call,
        observation: &Observation,
        was_interrupted: bool,
    ) -> Result<(), (SourceId, Failure)> {
        let requests = self.log.end();
        let requests = requests.filter(|_| !was_interrupted);
        let asked = asked::asked(call);
        let Some(requests) = requests else {
            self.skip(process, asked, observation);
            return Ok(());
        };
        let source = requests.first().map_or(SourceId(0), |request| request.source);
        let ended = Ended { observation, requests: &requests };
        let judged = match asked {
            None => Ok(()),
            Some(Asked::Path { parent, path, access, creation }) => {
                let parent = (parent >= 0).then_some((process, parent));
                self.path_call(held, &ended, (process, parent), (path, access), creation)
            }
            Some(Asked::Key { fd, operation }) => {
                self.key_call(held, &ended, (process, fd), &operation)
            }
        };
        judged.map_err(|failure| (source, failure))
    }

    /// Forgets what a call that is not judged has opened.
    pub(super) fn passed_over(&mut self, process: ProcessId, observation: &Observation) {
        self.skip(process, None, observation);
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
