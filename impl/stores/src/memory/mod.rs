//! A store in ordered maps: the same promises as the SQLite source, without its machinery.
//!
//! What a restart keeps lies in a [`MemoryDisk`], which is handed to the next store; opening it
//! drops what is volatile and what is orphaned. A transaction works on a copy of its hive, which
//! costs time in proportion to the hive; everything else costs a few look-ups.

mod content;
mod disk;
mod mutation;
mod query;
mod seed;

use std::collections::{BTreeMap, BTreeSet};

use rsi::{Guid, RequestFrame, Response, ResponseFrame, Status, TransactionId};

use crate::backend::{Backend, Outcome, Refusal, View};
use crate::scheduler::Scheduler;
use crate::task::{Read, Write};
use crate::{HiveInfo, Inspect, RandomSource, RawHive, RawRecord, Seed, Store};
use content::Content;

pub use disk::MemoryDisk;

/// What a memory store needs to open.
pub struct MemoryConfig {
    /// Hive names, as they are to be registered.
    pub hives: Vec<String>,
    /// What earlier stores left. Opening it makes every earlier store of it answer
    /// RSI_STORAGE_ERROR.
    pub disk: MemoryDisk,
    /// Where the GUIDs of new hive roots come from.
    pub random: RandomSource,
    /// The time now, in Unix nanoseconds.
    pub now: u64,
}

/// The memory source.
#[derive(Debug)]
pub struct MemoryStore {
    scheduler: Scheduler<MemoryBackend>,
}

impl MemoryStore {
    /// Opens the disk for a new incarnation, making the roots that are missing. Of two hives of
    /// the same folded name the second is left out.
    #[must_use]
    pub fn open(config: MemoryConfig) -> MemoryStore {
        let MemoryConfig { hives, disk, mut random, now } = config;
        let (incarnation, infos) = disk.start(hives, random.as_mut(), now);
        let max_sequence = infos
            .iter()
            .filter_map(|info| disk.with(incarnation, info.root, |content| content.max_sequence()))
            .max()
            .unwrap_or(0);
        let backend = MemoryBackend {
            working: infos.iter().map(|_| None).collect(),
            infos,
            disk,
            incarnation,
            snapshots: BTreeMap::new(),
            max_sequence,
        };
        MemoryStore { scheduler: Scheduler::new(backend) }
    }
}

impl Store for MemoryStore {
    fn submit(&mut self, frame: RequestFrame, now: u64) {
        self.scheduler.submit(frame, now);
    }

    fn poll(&mut self, now: u64) -> Option<ResponseFrame> {
        self.scheduler.poll(now)
    }

    fn next_wake(&self) -> Option<u64> {
        self.scheduler.next_wake()
    }

    fn hives(&self) -> &[HiveInfo] {
        self.scheduler.hives()
    }

    fn max_sequence(&self) -> u64 {
        self.scheduler.max_sequence()
    }
}

impl Inspect for MemoryStore {
    fn raw(&mut self) -> Result<Vec<RawHive>, Status> {
        let backend = &self.scheduler.backend;
        let dump = |info: &HiveInfo| {
            backend.disk.with(backend.incarnation, info.root, |content| content.dump(&info.name))
        };
        backend.infos.iter().map(|info| dump(info).ok_or(Status::StorageError)).collect()
    }
}

impl Seed for MemoryStore {
    fn seed(&mut self, root: Guid, record: RawRecord) -> Result<(), Status> {
        let backend = &self.scheduler.backend;
        if backend.working.iter().any(Option::is_some) {
            return Err(Status::TransactionBusy);
        }
        let put = |content: &mut Content| seed::put(content, record);
        backend.disk.with(backend.incarnation, root, put).ok_or(Status::NotFound)?
    }
}

/// The hives of one incarnation.
#[derive(Debug)]
struct MemoryBackend {
    infos: Vec<HiveInfo>,
    disk: MemoryDisk,
    incarnation: u64,
    /// The copy that each hive's open transaction works on.
    working: Vec<Option<Content>>,
    /// Every hive as it was when a read-only transaction began.
    snapshots: BTreeMap<TransactionId, Vec<Content>>,
    max_sequence: u64,
}

impl MemoryBackend {
    /// Lends the content that a view shows.
    fn look<T>(
        &mut self,
        hive: usize,
        view: View,
        work: impl FnOnce(&mut Content) -> T,
    ) -> Result<T, Refusal> {
        let gone = Refusal::Status(Status::StorageError);
        match view {
            View::Committed => {
                self.disk.with(self.incarnation, self.infos[hive].root, work).ok_or(gone)
            }
            View::Writer => self.working[hive].as_mut().map(work).ok_or(gone),
            View::Snapshot(id) => {
                self.snapshots.get_mut(&id).map(|hives| work(&mut hives[hive])).ok_or(gone)
            }
        }
    }
}

impl Backend for MemoryBackend {
    fn hives(&self) -> &[HiveInfo] {
        &self.infos
    }

    fn max_sequence(&self) -> u64 {
        self.max_sequence
    }

    fn locate(&mut self, guid: Guid) -> Result<Option<usize>, Refusal> {
        for hive in 0..self.infos.len() {
            if self.look(hive, View::Committed, |content| content.has_key(guid))? {
                return Ok(Some(hive));
            }
        }
        Ok(None)
    }

    fn has_entries_of(&mut self, hive: usize, removal: Write<'_>) -> Result<bool, Refusal> {
        self.look(hive, View::Committed, |content| mutation::has_entries_of(content, removal))
    }

    fn read(&mut self, hive: usize, view: View, read: Read<'_>) -> Outcome {
        self.look(hive, view, |content| query::answer(content, read))?.map_err(Refusal::Status)
    }

    fn write(&mut self, hive: usize, view: View, write: Write<'_>, now: u64) -> Outcome {
        if let (View::Committed, Write::CreateKey(key)) = (view, &write)
            && self.locate(key.guid)?.is_some()
        {
            return Err(Status::AlreadyExists.into());
        }
        self.look(hive, view, |content| mutation::apply(content, write, now))?
            .map_err(Refusal::Status)
    }

    fn delete_layer(&mut self, layer: &str) -> Outcome {
        // Entries of several hives may name one key.
        let mut orphaned = BTreeSet::new();
        for hive in 0..self.infos.len() {
            orphaned
                .extend(self.look(hive, View::Committed, |content| content.delete_layer(layer))?);
        }
        for hive in 0..self.infos.len() {
            self.look(hive, View::Committed, |content| {
                orphaned.retain(|guid| !content.named_by.contains_key(guid));
            })?;
        }
        Ok(Response::DeleteLayer { orphaned: orphaned.into_iter().collect() })
    }

    fn flush(&mut self, hive: usize) -> Outcome {
        self.look(hive, View::Committed, |_| Response::Done)
    }

    fn begin(&mut self, hive: usize) -> Result<(), Refusal> {
        let copy = self.look(hive, View::Committed, |content| content.clone())?;
        self.working[hive] = Some(copy);
        Ok(())
    }

    fn is_open(&self, hive: usize) -> bool {
        self.working[hive].is_some()
    }

    fn commit(&mut self, hive: usize) -> Result<(), Refusal> {
        // Asked for before the copy is given up: an incarnation that is over keeps it to abort.
        self.look(hive, View::Committed, |_| ())?;
        if let Some(copy) = self.working[hive].take() {
            self.look(hive, View::Committed, |content| *content = copy)?;
        }
        Ok(())
    }

    fn rollback(&mut self, hive: usize) {
        self.working[hive] = None;
    }

    fn take_snapshot(&mut self, id: TransactionId) -> Result<(), Refusal> {
        let copies = (0..self.infos.len())
            .map(|hive| self.look(hive, View::Committed, |content| content.clone()))
            .collect::<Result<_, _>>()?;
        self.snapshots.insert(id, copies);
        Ok(())
    }

    fn release_snapshot(&mut self, id: TransactionId) {
        self.snapshots.remove(&id);
    }
}
