//! The transactions of a kernel: in which state each is, what it is bound to, what it has done.
//!
//! Plain data under the lock of the state; it sends nothing and waits for nobody. States PSD-005
//! §5.1 and §6.3 (states of REG_IOC_TXN_STATUS); `TXN-27`, `TXN-85`..`TXN-89`, D-80..D-83.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use abi::layout::TransactionStatusArgs;
use abi::{
    Errno, REG_TXN_ABORTED, REG_TXN_ACTIVE_BOUND, REG_TXN_ACTIVE_UNBOUND, REG_TXN_COMMITTED,
    REG_TXN_SOURCE_DOWN, REG_TXN_TIMED_OUT,
};
use futures::channel::oneshot;
use rsi::{Guid, TransactionId};

use super::late::{Fate, Within};
use super::log::Logged;
use crate::change::AcceptedChange;
use crate::limits::MUTATIONS_PER_TRANSACTION_MAX;
use crate::name::FoldedName;
use crate::state::{HiveId, SlotId};
use crate::watches::{Knowledge, Known};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its commit has completed.
    Committed,
    /// By its owner, or for the deletion of a layer that it has written into.
    Aborted,
    /// Its lifetime ran out, or its commit was sent and not answered in time.
    TimedOut,
    /// Its source went Down.
    SourceDown,
}

impl End {
    /// What an operation in the transaction gets from then on.
    pub const fn errno(self) -> Errno {
        match self {
            Self::Committed | Self::Aborted => Errno::EINVAL,
            Self::TimedOut => Errno::ETIMEDOUT,
            Self::SourceDown => Errno::EIO,
        }
    }

    const fn status(self) -> TransactionStatusArgs {
        let (state, terminal_errno) = match self {
            Self::Committed => (REG_TXN_COMMITTED, 0),
            Self::Aborted => (REG_TXN_ABORTED, Errno::EINVAL as u32),
            Self::TimedOut => (REG_TXN_TIMED_OUT, Errno::ETIMEDOUT as u32),
            Self::SourceDown => (REG_TXN_SOURCE_DOWN, Errno::EIO as u32),
        };
        TransactionStatusArgs { state, terminal_errno }
    }
}

/// What a transaction is bound to (D-80), and on which connection of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The hive, and with it the source.
    pub hive: HiveId,
    /// The source's connection, counted as in its slot.
    pub incarnation: u64,
    /// What the source knows it by.
    pub id_at_source: TransactionId,
}

/// What ends with a transaction.
pub struct Ended {
    /// What it was bound to.
    pub binding: Option<Binding>,
    /// Whether its commit is on the way, so that the source decides how it ends there.
    pub commit_in_flight: bool,
    /// Whoever waits for the end. They learn of it as this is dropped.
    _waiting: Vec<oneshot::Sender<()>>,
}

/// What a commit is of.
pub struct Content {
    /// What it is bound to.
    pub binding: Binding,
    /// What it has done.
    pub log: Arc<Vec<Logged>>,
    /// How what it has changed was before.
    pub known: Arc<Knowledge>,
    /// What becomes of it.
    pub fate: Arc<Fate>,
}

/// See the module.
#[derive(Default)]
pub struct Transactions {
    records: BTreeMap<TransactionId, Record>,
    /// How many snapshots of each source are open.
    snapshots: BTreeMap<SlotId, usize>,
    last: u64,
}

struct Record {
    deadline: u64,
    /// What the source knows it by, or will.
    id_at_source: TransactionId,
    phase: Phase,
    waiting: Vec<oneshot::Sender<()>>,
}

enum Phase {
    /// With the source that it is being bound to, whose place is taken already.
    Unbound(Option<SlotId>),
    Bound {
        binding: Binding,
        log: Arc<Vec<Logged>>,
        /// What is committed of what it has changed.
        known: Arc<Knowledge>,
        fate: Arc<Fate>,
        /// Layers that it may have written into beside those of the log: of mutations of which it is
        /// not known whether the source has done them, and of a restore.
        layers: BTreeSet<FoldedName>,
        /// Alive while a commit is waiting for its slot or its answer.
        commit: Weak<()>,
    },
    Over(End),
}

impl Transactions {
    /// A new one, bound to nothing, that lives until `deadline` (Unix nanoseconds).
    pub fn begin(&mut self, deadline: u64) -> TransactionId {
        // The counter is as wide as the request header's field and never comes to its end.
        self.last += 1;
        let id = TransactionId(self.last);
        let phase = Phase::Unbound(None);
        let record = Record { deadline, id_at_source: id, phase, waiting: Vec::new() };
        self.records.insert(id, record);
        id
    }

    /// Begins a snapshot of a source, under an id like that of any transaction.
    ///
    /// # Errors
    /// EBUSY when `snapshots_max` are open.
    pub fn begin_snapshot(
        &mut self,
        slot: SlotId,
        snapshots_max: usize,
    ) -> Result<TransactionId, Errno> {
        let open = self.snapshots.entry(slot).or_default();
        if *open >= snapshots_max {
            return Err(Errno::EBUSY);
        }
        *open += 1;
        self.last += 1;
        Ok(TransactionId(self.last))
    }

    /// One snapshot of a source fewer.
    pub fn end_snapshot(&mut self, slot: SlotId) {
        if let Some(open) = self.snapshots.get_mut(&slot) {
            *open = open.saturating_sub(1);
        }
    }

    /// What its source knows it by, bound or not.
    pub fn id_at_source(&self, id: TransactionId) -> TransactionId {
        self.records.get(&id).map_or(id, |record| record.id_at_source)
    }

    /// Gives it another id for its next binding: the source may have a transaction under the one that
    /// it had, which is to be aborted there (P-262).
    pub fn renew_id(&mut self, id: TransactionId) {
        if let Some(record) = self.records.get_mut(&id) {
            self.last += 1;
            record.id_at_source = TransactionId(self.last);
        }
    }

    /// A bound one at its source, and what becomes of it.
    ///
    /// # Errors
    /// EINVAL when it is not bound, and as [`Transactions::check_active`].
    pub fn at_source(&self, id: TransactionId) -> Result<(Within, Arc<Fate>), Errno> {
        self.check_active(id)?;
        match self.phase(id)? {
            Phase::Bound { binding, fate, .. } => {
                Ok((Within { id, id_at_source: binding.id_at_source }, Arc::clone(fate)))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Forgets one that no fd stands for any more.
    pub fn forget(&mut self, id: TransactionId) {
        self.records.remove(&id);
    }

    /// What REG_IOC_TXN_STATUS says.
    pub fn status(&self, id: TransactionId) -> TransactionStatusArgs {
        let active = |state| TransactionStatusArgs { state, terminal_errno: 0 };
        match self.phase(id) {
            Ok(Phase::Unbound(_)) => active(REG_TXN_ACTIVE_UNBOUND),
            Ok(Phase::Bound { .. }) => active(REG_TXN_ACTIVE_BOUND),
            Ok(Phase::Over(end)) => end.status(),
            Err(_) => End::Aborted.status(),
        }
    }

    /// Whether it has not ended.
    ///
    /// # Errors
    /// What its end makes of every use.
    pub fn check_active(&self, id: TransactionId) -> Result<(), Errno> {
        match self.phase(id)? {
            Phase::Over(end) => Err(end.errno()),
            Phase::Unbound(_) | Phase::Bound { .. } => Ok(()),
        }
    }

    /// Whether it can be used in a hive (D-80).
    ///
    /// # Errors
    /// As [`Transactions::check_active`], and EXDEV when it is bound to another hive.
    pub fn check_usable(&self, id: TransactionId, hive: HiveId) -> Result<(), Errno> {
        self.check_active(id)?;
        match self.binding(id) {
            Some(binding) if binding.hive != hive => Err(Errno::EXDEV),
            _ => Ok(()),
        }
    }

    /// What it is bound to.
    pub fn binding(&self, id: TransactionId) -> Option<Binding> {
        self.phase(id).ok().and_then(Phase::binding)
    }

    /// Whether there is room for another mutation (D-83).
    ///
    /// # Errors
    /// ENOMEM.
    pub fn check_room(&self, id: TransactionId) -> Result<(), Errno> {
        match self.phase(id)? {
            Phase::Bound { log, .. } if log.len() >= MUTATIONS_PER_TRANSACTION_MAX => {
                Err(Errno::ENOMEM)
            }
            _ => Ok(()),
        }
    }

    /// Takes one of a source's places for bound transactions.
    ///
    /// # Errors
    /// EBUSY when `bound_max` are taken.
    pub fn reserve(
        &mut self,
        id: TransactionId,
        slot: SlotId,
        bound_max: usize,
    ) -> Result<(), Errno> {
        let bound = self.records.values().filter(|record| record.phase.slot() == Some(slot));
        if bound.count() >= bound_max {
            return Err(Errno::EBUSY);
        }
        if let Some(Record { phase: Phase::Unbound(reserved), .. }) = self.records.get_mut(&id) {
            *reserved = Some(slot);
        }
        Ok(())
    }

    /// Gives the place back: binding has failed.
    pub fn give_back(&mut self, id: TransactionId) {
        if let Some(Record { phase: Phase::Unbound(reserved), .. }) = self.records.get_mut(&id) {
            *reserved = None;
        }
    }

    /// Binds it, unless it has ended meanwhile.
    ///
    /// # Errors
    /// As [`Transactions::check_active`].
    pub fn bind(
        &mut self,
        id: TransactionId,
        binding: Binding,
        known: Arc<Knowledge>,
    ) -> Result<(), Errno> {
        self.check_active(id)?;
        if let Some(record) = self.records.get_mut(&id) {
            record.phase = Phase::Bound {
                binding,
                log: Arc::default(),
                known,
                fate: Arc::default(),
                layers: BTreeSet::new(),
                commit: Weak::new(),
            };
        }
        Ok(())
    }

    /// Remembers a mutation that the source has accepted.
    pub fn log(&mut self, id: TransactionId, logged: Logged) {
        if let Some(Record { phase: Phase::Bound { log, .. }, .. }) = self.records.get_mut(&id) {
            Arc::make_mut(log).push(logged);
        }
    }

    /// Whether it is known how what a mutation changes was before the transaction.
    pub fn knows(&self, id: TransactionId, change: &AcceptedChange) -> bool {
        match self.phase(id) {
            Ok(Phase::Bound { known, .. }) => {
                known.lock().as_ref().is_some_and(|known| known.covers(change))
            }
            _ => false,
        }
    }

    /// Takes in what was read for a mutation, within the transaction and before the mutation.
    pub fn learn(&self, id: TransactionId, change: &AcceptedChange, read: Known) {
        if let Ok(Phase::Bound { known, .. }) = self.phase(id)
            && let Some(known) = known.lock().as_mut()
        {
            known.complete(change.position.key(), read);
        }
    }

    /// Notes that it writes into a layer, or may yet, though nothing of that is logged.
    pub fn write_into(&mut self, id: TransactionId, layer: Option<FoldedName>) {
        if let Some(Record { phase: Phase::Bound { layers, .. }, .. }) = self.records.get_mut(&id) {
            layers.extend(layer);
        }
    }

    /// Whether it created this key.
    pub fn created(&self, id: TransactionId, guid: Guid) -> bool {
        match self.phase(id) {
            Ok(Phase::Bound { log, .. }) => {
                log.iter().any(|logged| logged.change.created_key() == Some(guid))
            }
            _ => false,
        }
    }

    /// What there is to be committed.
    ///
    /// # Errors
    /// EINVAL when it is not bound, and as [`Transactions::check_active`].
    pub fn content(&self, id: TransactionId) -> Result<Content, Errno> {
        self.check_active(id)?;
        match self.phase(id)? {
            Phase::Bound { binding, log, known, fate, .. } => Ok(Content {
                binding: *binding,
                log: Arc::clone(log),
                known: Arc::clone(known),
                fate: Arc::clone(fate),
            }),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Begins a commit, which is in flight as long as `token` lives. The receiver is that of
    /// [`Transactions::end_of`].
    ///
    /// # Errors
    /// As [`Transactions::check_active`].
    pub fn begin_commit(
        &mut self,
        id: TransactionId,
        token: &Arc<()>,
    ) -> Result<oneshot::Receiver<()>, Errno> {
        self.check_active(id)?;
        if let Some(Record { phase: Phase::Bound { commit, .. }, .. }) = self.records.get_mut(&id) {
            *commit = Arc::downgrade(token);
        }
        Ok(self.end_of(id))
    }

    /// Whether a commit is on the way.
    pub fn is_committing(&self, id: TransactionId) -> bool {
        self.phase(id).is_ok_and(Phase::is_committing)
    }

    /// Ends it; none when it has ended before.
    pub fn end(&mut self, id: TransactionId, end: End) -> Option<Ended> {
        self.check_active(id).ok()?;
        let record = self.records.get_mut(&id)?;
        let waiting = std::mem::take(&mut record.waiting);
        let phase = std::mem::replace(&mut record.phase, Phase::Over(end));
        let commit_in_flight = phase.is_committing();
        let binding = match phase {
            Phase::Bound { binding, fate, .. } => {
                if end != End::Committed {
                    fate.end(commit_in_flight);
                }
                Some(binding)
            }
            Phase::Unbound(_) | Phase::Over(_) => None,
        };
        Some(Ended { binding, commit_in_flight, _waiting: waiting })
    }

    /// Its source had committed it before it went Down, though nobody had looked at the answer yet: the
    /// transaction is committed, and not one whose source is Down (P-420).
    pub fn commit_of_lost_source(&mut self, id: TransactionId) -> bool {
        let record = self.records.get_mut(&id);
        let lost = record.filter(|record| matches!(record.phase, Phase::Over(End::SourceDown)));
        let Some(record) = lost else { return false };
        record.phase = Phase::Over(End::Committed);
        true
    }

    /// Completes, with an error, when it ends; at once if it has.
    pub fn end_of(&mut self, id: TransactionId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        if self.check_active(id).is_ok()
            && let Some(record) = self.records.get_mut(&id)
        {
            record.waiting.retain(|waiting| !waiting.is_canceled());
            record.waiting.push(sender);
        }
        receiver
    }

    /// Whether its lifetime has run out by `now`.
    pub fn is_due(&self, id: TransactionId, now: u64) -> bool {
        self.records.get(&id).is_some_and(|record| record.deadline <= now)
    }

    /// Those that are bound on one connection of a source.
    pub fn bound_on(&self, slot: SlotId, incarnation: u64) -> Vec<TransactionId> {
        self.chosen(|phase| match phase {
            Phase::Bound { binding, .. } => {
                binding.hive.slot == slot && binding.incarnation == incarnation
            }
            Phase::Unbound(_) | Phase::Over(_) => false,
        })
    }

    /// Whether any is bound to a hive, and may have its write lock.
    pub fn has_bound(&self, hive: HiveId) -> bool {
        let bound = self.chosen(|phase| match phase {
            Phase::Bound { binding, .. } => binding.hive == hive,
            Phase::Unbound(_) | Phase::Over(_) => false,
        });
        !bound.is_empty()
    }

    /// Those that are bound and have written into a layer, or may have (`DEL-16`, `DEL-19`).
    pub fn writers_of(&self, layer: &FoldedName) -> Vec<TransactionId> {
        self.chosen(|phase| match phase {
            Phase::Bound { log, layers, .. } => {
                layers.contains(layer)
                    || log.iter().any(|logged| logged.layer.as_ref() == Some(layer))
            }
            Phase::Unbound(_) | Phase::Over(_) => false,
        })
    }

    fn chosen(&self, is_meant: impl Fn(&Phase) -> bool) -> Vec<TransactionId> {
        let meant = self.records.iter().filter(|(_, record)| is_meant(&record.phase));
        meant.map(|(id, _)| *id).collect()
    }

    /// One that no fd stands for any more is as good as aborted.
    fn phase(&self, id: TransactionId) -> Result<&Phase, Errno> {
        self.records.get(&id).map(|record| &record.phase).ok_or(End::Aborted.errno())
    }
}

impl Phase {
    const fn binding(&self) -> Option<Binding> {
        match self {
            Self::Bound { binding, .. } => Some(*binding),
            Self::Unbound(_) | Self::Over(_) => None,
        }
    }

    /// The source that it counts for; one that has ended counts for none (`TXN-89`).
    fn slot(&self) -> Option<SlotId> {
        match self {
            Self::Unbound(reserved) => *reserved,
            Self::Bound { binding, .. } => Some(binding.hive.slot),
            Self::Over(_) => None,
        }
    }

    fn is_committing(&self) -> bool {
        matches!(self, Self::Bound { commit, .. } if commit.strong_count() > 0)
    }
}
