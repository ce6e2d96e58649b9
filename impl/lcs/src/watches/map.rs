//! Who watches what: the watch map and the subtree set, and dispatch through them (PSD-005 §4.2;
//! `DISP-*`, D-73, D-75).
//!
//! Plain data. It knows nothing of sources and of layers.

use std::collections::{BTreeMap, BTreeSet};

use abi::Errno;

use crate::backup::Restored;
use crate::change::{AcceptedChange, Effect};
use crate::configuration::WatchLimits;
use crate::key_file::Position;
use crate::name::FoldedName;
use crate::state::{KeyId, SlotId};
use crate::watches::known::Occurrence;
use crate::watches::queue::EventQueue;
use crate::watches::record::{self, Event, EventKind};

/// An open file description as the watch map knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchId(u64);

/// One watch from the moment in which it is armed until it is disarmed, also where its filter changes between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arming(u64);

/// An armed watch.
#[derive(Debug)]
pub struct Watch {
    /// The watched key and the way by which it was opened.
    pub position: Position,
    /// Categories that are reported.
    pub filter: u32,
    /// Whether descendants count.
    pub subtree: bool,
    queue: EventQueue,
    arming: Arming,
}

/// All armed watches.
#[derive(Debug, Default)]
pub struct WatchMap {
    armed: BTreeMap<WatchId, Watch>,
    by_key: BTreeMap<KeyId, BTreeSet<WatchId>>,
    last_arming: u64,
    /// How many subtree watches each key has.
    subtrees: BTreeMap<KeyId, usize>,
    /// How many watches are on children of each key.
    parents: BTreeMap<KeyId, usize>,
    last_id: u64,
}

/// What one event, or the want of one, comes to for a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Notice {
    Record(Vec<u8>),
    Overflow,
}

/// Notices that are to be queued in one moment.
#[derive(Debug, Default)]
pub struct Batch {
    notices: BTreeMap<WatchId, Vec<Notice>>,
}

/// Arming and reading.
impl WatchMap {
    /// A name for an open file description that is armed for the first time.
    pub fn new_id(&mut self) -> WatchId {
        self.last_id += 1;
        WatchId(self.last_id)
    }

    /// Whether nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }

    /// Whether a description's watch is armed.
    pub fn is_armed(&self, id: WatchId) -> bool {
        self.armed.contains_key(&id)
    }

    /// Arms a watch, or gives an armed one another filter and extent; what is queued stays (D-72).
    pub fn arm(&mut self, id: WatchId, position: &Position, filter: u32, subtree: bool) {
        let arming = self.arming_of(id);
        let queue = self.take(id).map(|watch| watch.queue).unwrap_or_default();
        let key = position.key();
        self.by_key.entry(key).or_default().insert(id);
        if subtree {
            *self.subtrees.entry(key).or_default() += 1;
        }
        if let Some(parent) = position.parent() {
            *self.parents.entry(parent).or_default() += 1;
        }
        self.armed.insert(id, Watch { position: position.clone(), filter, subtree, queue, arming });
    }

    /// That of an armed watch, or a new one.
    fn arming_of(&mut self, id: WatchId) -> Arming {
        self.armed.get(&id).map(|watch| watch.arming).unwrap_or_else(|| {
            self.last_arming += 1;
            Arming(self.last_arming)
        })
    }

    /// The watches that there are on a key alone.
    pub fn armings_on(&self, key: KeyId) -> impl Iterator<Item = Arming> {
        let ids = self.by_key.get(&key).into_iter().flatten();
        ids.filter_map(|id| Some(self.armed.get(id)?.arming))
    }

    /// Ends a watch; what is queued goes with it.
    pub fn disarm(&mut self, id: WatchId) {
        drop(self.take(id));
    }

    fn take(&mut self, id: WatchId) -> Option<Watch> {
        let watch = self.armed.remove(&id)?;
        let key = watch.position.key();
        if let Some(ids) = self.by_key.get_mut(&key) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_key.remove(&key);
            }
        }
        if watch.subtree {
            decrement(&mut self.subtrees, key);
        }
        if let Some(parent) = watch.position.parent() {
            decrement(&mut self.parents, parent);
        }
        Some(watch)
    }

    /// Every watch, by description.
    pub fn iter(&self) -> impl Iterator<Item = (WatchId, &Watch)> {
        self.armed.iter().map(|(id, watch)| (*id, watch))
    }

    /// Whether a description has records to read.
    pub fn is_readable(&self, id: WatchId) -> bool {
        self.armed.get(&id).is_some_and(|watch| !watch.queue.is_empty())
    }

    /// The whole records of a description that `capacity` bytes hold, and how many they are.
    ///
    /// # Errors
    /// EAGAIN when there is none, armed or not, and EINVAL when the first does not fit.
    pub fn peek(&self, id: WatchId, capacity: usize) -> Result<(Vec<u8>, usize), Errno> {
        self.armed.get(&id).ok_or(Errno::EAGAIN)?.queue.peek(capacity)
    }

    /// Takes records away that have been read.
    pub fn remove(&mut self, id: WatchId, count: usize) {
        if let Some(watch) = self.armed.get_mut(&id) {
            watch.queue.remove(count);
        }
    }
}

fn decrement(counts: &mut BTreeMap<KeyId, usize>, key: KeyId) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// Dispatch.
impl WatchMap {
    /// Notes an event for each watch that it concerns: on the changed key, and subtree watches on
    /// the keys above it on the way that was captured.
    pub fn note(&self, occurrence: &Occurrence, limits: WatchLimits, batch: &mut Batch) {
        let Occurrence { position, event, .. } = occurrence;
        self.concerned(position, limits, |id, watch, depth| {
            if event.kind.passes(watch.filter) {
                batch.add(id, watch, event, position.last_names(depth));
            }
        });
    }

    /// Notes an event for the watches on a key alone, but for those that have been told.
    pub fn note_at(&self, key: KeyId, event: &Event, told: &BTreeSet<Arming>, batch: &mut Batch) {
        for id in self.by_key.get(&key).into_iter().flatten() {
            if let Some(watch) = self.armed.get(id)
                && event.kind.passes(watch.filter)
                && !told.contains(&watch.arming)
            {
                batch.add(*id, watch, event, std::iter::empty());
            }
        }
    }

    /// Notes for each watch that a change may concern that something happened which cannot be told
    /// (D-93).
    pub fn note_unclear(&self, change: &AcceptedChange, limits: WatchLimits, batch: &mut Batch) {
        self.concerned_by(change, limits, |id| batch.push(id, Notice::Overflow));
    }

    /// Whether any watch may be concerned by a change.
    pub fn may_see(&self, change: &AcceptedChange, limits: WatchLimits) -> bool {
        let mut sees = false;
        if !self.is_empty() {
            self.concerned_by(change, limits, |_| sees = true);
        }
        sees
    }

    fn concerned_by(
        &self,
        change: &AcceptedChange,
        limits: WatchLimits,
        mut note: impl FnMut(WatchId),
    ) {
        let kind = match change.effect {
            Effect::ValueSet(_)
            | Effect::ValueRemoved { .. }
            | Effect::BlanketSet(_)
            | Effect::BlanketRemoved { .. } => EventKind::ValueSet,
            Effect::SecuritySet { .. } => EventKind::SecurityChanged,
            Effect::KeyCreated { .. } | Effect::PathHidden { .. } | Effect::PathRemoved { .. } => {
                EventKind::SubkeyDeleted
            }
        };
        let lost_name = match &change.effect {
            Effect::KeyCreated { name, .. }
            | Effect::PathHidden { name, .. }
            | Effect::PathRemoved { name, .. } => Some(FoldedName::new(name)),
            _ => None,
        };
        let is_path = lost_name.is_some();
        self.concerned(&change.position, limits, |id, watch, _| {
            // A subtree watch is told of a key that is lost whatever its filter.
            if kind.passes(watch.filter) || is_path && watch.subtree {
                note(id);
            }
        });
        let parent = change.position.key();
        // The key that has gone may be one that was opened by this name (P-315).
        if let Some(lost_name) = lost_name.filter(|_| self.parents.contains_key(&parent)) {
            for (id, watch) in self.iter() {
                let is_below = watch.position.parent() == Some(parent);
                let mut own_name = watch.position.last_names(1);
                if is_below && own_name.any(|name| FoldedName::new(name) == lost_name) {
                    note(id);
                }
            }
        }
    }

    /// Visits the watches on a key, and the subtree watches above it that reach so deep.
    fn concerned(
        &self,
        position: &Position,
        limits: WatchLimits,
        mut visit: impl FnMut(WatchId, &Watch, usize),
    ) {
        let key = position.key();
        let watches = |key: KeyId| {
            let ids = self.by_key.get(&key).into_iter().flatten();
            ids.filter_map(|id| Some((*id, self.armed.get(id)?)))
        };
        for (id, watch) in watches(key) {
            visit(id, watch, 0);
        }
        let mut met = BTreeSet::from([key]);
        for (ancestor, depth) in position.ancestors() {
            if !limits.reaches(depth) {
                break;
            }
            if !self.subtrees.contains_key(&ancestor) || !met.insert(ancestor) {
                continue;
            }
            for (id, watch) in watches(ancestor).filter(|(_, watch)| watch.subtree) {
                visit(id, watch, depth);
            }
        }
    }

    /// Queues a batch. A watch that would get more than `burst` of its notices gets one OVERFLOW
    /// instead (D-73).
    pub fn deliver(&mut self, batch: Batch, limits: WatchLimits, burst: Option<usize>) {
        for (id, notices) in batch.notices {
            let Some(watch) = self.armed.get_mut(&id) else { continue };
            if burst.is_some_and(|burst| notices.len() > burst) {
                watch.queue.overflow(limits.queue_size);
                continue;
            }
            for notice in notices {
                match notice {
                    Notice::Record(record) => watch.queue.push(record, limits.queue_size),
                    Notice::Overflow => watch.queue.overflow(limits.queue_size),
                }
            }
        }
    }

    /// Tells every watch that may be concerned by a restore that anything may have changed: on the
    /// target, on keys that were or are below it, and on subtrees that it is in (D-76, P-209).
    pub fn overflow_restored(&mut self, restored: &Restored, limits: WatchLimits) {
        let target = restored.target.key();
        let reached_from: BTreeSet<KeyId> = restored
            .target
            .ancestors()
            .filter(|(_, depth)| limits.reaches(*depth))
            .map(|(key, _)| key)
            .collect();
        for watch in self.armed.values_mut() {
            let key = watch.position.key();
            let is_concerned = key == target
                || restored.concerns(key)
                || watch.subtree && reached_from.contains(&key);
            if is_concerned {
                watch.queue.overflow(limits.queue_size);
            }
        }
    }

    /// Tells every watch on keys of a slot that anything may have changed.
    pub fn overflow_slot(&mut self, slot: SlotId, limits: WatchLimits) {
        for watch in self.armed.values_mut() {
            if watch.position.hive().slot == slot {
                watch.queue.overflow(limits.queue_size);
            }
        }
    }
}

impl Batch {
    /// Adds an event for a watch, at the end of a way from its key. What no record can hold is an
    /// OVERFLOW.
    pub fn add<'a>(
        &mut self,
        id: WatchId,
        watch: &Watch,
        event: &Event,
        path: impl Iterator<Item = &'a str>,
    ) {
        let record = record::encode(event, watch.subtree.then_some(path));
        self.push(id, record.map_or(Notice::Overflow, Notice::Record));
    }

    /// Adds that something cannot be told.
    pub fn add_overflow(&mut self, id: WatchId) {
        self.push(id, Notice::Overflow);
    }

    fn push(&mut self, id: WatchId, notice: Notice) {
        self.notices.entry(id).or_default().push(notice);
    }
}
