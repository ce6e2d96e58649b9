//! Keys that have lost their last name, and the fds that may stand for them: what nothing stands for
//! any more is dropped (PSD-005 §2.8, §7.2).
//!
//! Which key an fd stands for is for layers to decide. So an fd counts for every key that the call
//! which opened it asked about or was told of.

use std::collections::{BTreeMap, BTreeSet};

use registry_model::input::{Call, Fd, ProcessId, SourceId};
use registry_model::observation::Observation;

use super::log::Logged;
use crate::wire::frame::Guid;

/// The keys that an fd may stand for; `None` for any key.
type Meant = Option<BTreeSet<Guid>>;

/// Orphans and fds since the last reboot.
#[derive(Clone, Debug, Default)]
pub(in crate::wire) struct Orphans {
    fds: BTreeMap<(ProcessId, Fd), Meant>,
    /// What is to be dropped when nothing stands for it, and by whom it is kept.
    owed: BTreeMap<Guid, SourceId>,
    /// What a transaction leaves without a name if it commits.
    enlisted: BTreeMap<u64, Vec<(SourceId, Guid)>>,
    /// Keys that have a name and no record, since the source has refused that.
    unmade: BTreeSet<Guid>,
    /// Whether an fd went to a process that is not known.
    is_adrift: bool,
}

impl Orphans {
    pub(in crate::wire) fn rebooted(&mut self) {
        *self = Orphans::default();
    }

    /// A key has lost its last name, in a transaction or outside of one (0).
    pub(in crate::wire) fn orphaned(&mut self, source: SourceId, transaction: u64, key: Guid) {
        if self.unmade.remove(&key) {
            return;
        }
        match transaction {
            0 => {
                self.owed.insert(key, source);
            }
            id => self.enlisted.entry(id).or_default().push((source, key)),
        }
    }

    /// A source has refused to make the record of a key. When its name goes, nothing is left to be dropped.
    pub(in crate::wire) fn was_not_made(&mut self, key: Guid) {
        self.unmade.insert(key);
    }

    /// A commit was answered.
    pub(in crate::wire) fn committed(&mut self, id: u64, succeeded: bool) {
        if !succeeded {
            return;
        }
        for (source, key) in self.enlisted.remove(&id).unwrap_or_default() {
            self.owed.insert(key, source);
        }
    }

    /// A drop is sent. Whether it was owed.
    pub(in crate::wire) fn dropped(&mut self, key: Guid) -> bool {
        self.owed.remove(&key).is_some()
    }

    /// The source is gone; before it registers again it purges what has no name.
    pub(in crate::wire) fn disconnected(&mut self, source: SourceId) {
        self.owed.retain(|_, of| *of != source);
        for keys in self.enlisted.values_mut() {
            keys.retain(|(of, _)| *of != source);
        }
    }

    /// The fds that a call opened and closed.
    pub(super) fn follow(
        &mut self,
        process: ProcessId,
        call: &Call,
        observation: &Observation,
        requests: Option<&[Logged]>,
    ) {
        match (call, observation) {
            (Call::Pass { fd, to }, Observation::Passed { fd: received }) => {
                let meant = self.fds.get(&(process, *fd)).cloned();
                self.fds.extend(meant.map(|meant| ((*to, *received), meant)));
            }
            _ => self.appeared(process, observation, requests),
        }
    }

    /// An fd that an answer gives. `requests` are those of its call, if all of them are known.
    pub(super) fn appeared(
        &mut self,
        process: ProcessId,
        observation: &Observation,
        requests: Option<&[Logged]>,
    ) {
        self.is_adrift |= matches!(observation, Observation::Passed { .. });
        let Observation::Opened { fd, .. } = observation else { return };
        let named = |request: &Logged| -> BTreeSet<Guid> {
            request.named_keys().chain([request.key]).collect()
        };
        let meant = requests.map(|requests| requests.iter().flat_map(named).collect());
        self.fds.insert((process, *fd), meant);
    }

    /// A close has ended, when these sources may have had no slot to spare: the drop of what nothing else stands
    /// for is not sent then (P-365).
    pub(super) fn closed_at(&mut self, place: (ProcessId, Fd), full: &BTreeSet<SourceId>) {
        let owed: Vec<Guid> = self.owed.keys().copied().collect();
        let held: Vec<Guid> = owed.into_iter().filter(|key| self.may_be_open(key)).collect();
        self.closed(place);
        for key in held {
            let is_at_full = self.owed.get(&key).is_some_and(|source| full.contains(source));
            if is_at_full && !self.may_be_open(&key) {
                self.owed.remove(&key);
            }
        }
    }

    /// Whether an fd may stand for a key.
    fn may_be_open(&self, key: &Guid) -> bool {
        self.fds.values().any(|meant| meant.as_ref().is_none_or(|keys| keys.contains(key)))
    }

    pub(super) fn closed(&mut self, place: (ProcessId, Fd)) {
        self.fds.remove(&place);
    }

    /// A key that should have been dropped by now, and its source. It is not named again.
    pub(in crate::wire) fn undropped(&mut self) -> Option<(SourceId, Guid)> {
        if self.is_adrift {
            return None;
        }
        let (key, source) = self.owed.iter().find(|(key, _)| !self.may_be_open(key))?;
        let (key, source) = (*key, *source);
        self.owed.remove(&key);
        Some((source, key))
    }
}
