//! The reference source: one SQLite database a hive (PSD-006).
//!
//! Four rooms: `start` opens and repairs, `sql` has every statement, the modules named after data
//! (`paths`, `keys`, `values`, `layers`) carry requests out, and this one leads a request to its
//! hive, its connection and its store.
//!
//! Where PSD-006 and PSD-005 differ, PSD-005 prevails (LORE-001): layer names are compared folded
//! (D-06), a path entry may lie in the volatile store before its key does (D-96), and a read-only
//! transaction has a real snapshot.

mod hive;
mod keys;
mod layers;
mod paths;
mod problem;
mod raw;
mod row;
mod seed;
mod session;
mod snapshot;
mod sql;
mod start;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rsi::{Guid, RequestFrame, Response, ResponseFrame, Status, TransactionId};

use crate::backend::{Backend, Outcome, Refusal, View};
use crate::scheduler::Scheduler;
use crate::task::{Read, Write};
use crate::{FatalError, HiveInfo, Inspect, RandomSource, RawHive, RawRecord, Seed, Store};
use hive::Hive;
use session::{Place, Session};

pub use problem::{OpenError, Problem};

/// The most keys whose hive is remembered; beyond it the memory begins afresh.
const KNOWN_MAX: usize = 1 << 16;

/// What an SQLite store needs to open.
pub struct SqliteConfig {
    /// Hive names, as they are to be registered, and the absolute paths of their databases.
    pub hives: Vec<(String, PathBuf)>,
    /// The `sqlite3_vfs` to use, or `None` for SQLite's own.
    pub vfs: Option<String>,
    /// Names the volatile stores. No other store that is open in this process, or leaked by a
    /// simulated death, may have the same. Empty in a process that serves one store only: then the
    /// names are exactly those of PSD-006 (LORE-015).
    pub incarnation: String,
    /// Where the GUIDs of new hive roots come from.
    pub random: RandomSource,
    /// The time now, in Unix nanoseconds.
    pub now: u64,
}

/// The SQLite source. See the module's sections of PSD-006.
#[derive(Debug)]
pub struct SqliteStore {
    scheduler: Scheduler<SqliteBackend>,
}

impl SqliteStore {
    /// Checks hive names and paths of a configuration, without touching a file: at least one hive,
    /// no name twice, no path twice, absolute paths (PSD-006 §2.1).
    ///
    /// # Errors
    /// [`OpenError`] with the first hive that will not do.
    pub fn check(hives: &[(String, PathBuf)]) -> Result<(), OpenError> {
        start::check(hives)
    }

    /// Opens or creates the hives' databases, repairs what a crash left, and makes missing roots.
    ///
    /// # Errors
    /// [`OpenError`] when the configuration or one of the files will not do. Nothing has been
    /// changed in a file that is no hive database.
    pub fn open(config: SqliteConfig) -> Result<SqliteStore, OpenError> {
        let hives = start::open(config)?;
        Ok(SqliteStore { scheduler: Scheduler::new(SqliteBackend::new(hives)) })
    }
}

impl Store for SqliteStore {
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

    fn fatal_error(&self) -> Option<FatalError> {
        self.scheduler.fatal_error()
    }
}

impl Inspect for SqliteStore {
    fn raw(&mut self) -> Result<Vec<RawHive>, Status> {
        let backend = &self.scheduler.backend;
        backend
            .hives
            .iter()
            .zip(&backend.infos)
            .map(|(hive, info)| raw::dump(info, hive.session(View::Committed)?))
            .collect::<Result<_, _>>()
            .map_err(status_of)
    }
}

impl Seed for SqliteStore {
    fn seed(&mut self, root: Guid, record: RawRecord) -> Result<(), Status> {
        let backend = &mut self.scheduler.backend;
        let found = backend.infos.iter().position(|info| info.root == root);
        let hive = &mut backend.hives[found.ok_or(Status::NotFound)?];
        if hive.is_open() {
            return Err(Status::TransactionBusy);
        }
        // A key may have come or gone behind its back.
        backend.known.clear();
        seed::put(hive, record).map_err(status_of)
    }
}

/// The status of a refusal that nobody waits for.
fn status_of(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Status(status) => status,
        Refusal::Locked => Status::TransactionBusy,
        Refusal::Fatal(_) => Status::StorageError,
    }
}

/// The hives, and where each key is.
#[derive(Debug)]
struct SqliteBackend {
    infos: Vec<HiveInfo>,
    hives: Vec<Hive>,
    max_sequence: u64,
    /// Where committed keys are (PSD-006 §4.1). An entry is true as long as it is there.
    known: BTreeMap<Guid, (usize, Place)>,
}

impl SqliteBackend {
    fn new(opened: Vec<start::Opened>) -> SqliteBackend {
        let max_sequence = opened.iter().map(|hive| hive.max_sequence).max().unwrap_or(0);
        let (infos, hives) = opened.into_iter().map(|opened| (opened.info, opened.hive)).unzip();
        SqliteBackend { infos, hives, max_sequence, known: BTreeMap::new() }
    }

    /// The hive and the store of a committed key.
    fn find(&mut self, guid: Guid) -> Result<Option<(usize, Place)>, Refusal> {
        if let Some(found) = self.known.get(&guid) {
            return Ok(Some(*found));
        }
        for index in 0..self.hives.len() {
            if let Some(place) = self.find_in(index, guid)? {
                return Ok(Some((index, place)));
            }
        }
        Ok(None)
    }

    /// The store of a key that is committed in this hive, and remembers it.
    fn find_in(&mut self, hive: usize, guid: Guid) -> Result<Option<Place>, Refusal> {
        let found = self.hives[hive].committed_place(guid)?;
        if let Some(place) = found {
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            self.known.insert(guid, (hive, place));
        }
        Ok(found)
    }

    /// The store of a key in one hive, if the view has a record of it.
    fn place(&mut self, hive: usize, view: View, guid: Guid) -> Result<Option<Place>, Refusal> {
        if view == View::Committed {
            return match self.known.get(&guid) {
                Some((index, place)) => Ok((*index == hive).then_some(*place)),
                None => self.find_in(hive, guid),
            };
        }
        keys::place(self.hives[hive].session(view)?, guid)
    }

    /// The connection for a mutation that goes to `place`.
    fn writing(&mut self, hive: usize, place: Place) -> Result<Session<'_>, Refusal> {
        self.hives[hive].writing(place)
    }

    fn create_key(
        &mut self,
        hive: usize,
        view: View,
        key: crate::task::NewKey<'_>,
        now: u64,
    ) -> Outcome {
        if self.place(hive, view, key.parent)?.is_none() {
            return Err(Status::NotFound.into());
        }
        // A key is unique among all hives, as far as the view reaches.
        let taken = match view {
            View::Committed => self.find(key.guid)?.is_some(),
            _ => self.place(hive, view, key.guid)?.is_some(),
        };
        if taken {
            return Err(Status::AlreadyExists.into());
        }
        let place = Place::of(key.volatile_key);
        let created = keys::create(self.writing(hive, place)?, place, key, now)?;
        if place == Place::Volatile {
            self.hives[hive].note_created(key.guid);
        }
        Ok(created)
    }

    fn create_entry(
        &mut self,
        hive: usize,
        view: View,
        at: crate::task::EntryName<'_>,
        (child, sequence): (Guid, u64),
    ) -> Outcome {
        let Some(parent) = self.place(hive, view, at.parent)? else {
            return Err(Status::NotFound.into());
        };
        let target = self.place(hive, view, child)?;
        let place = if target == Some(Place::Volatile) { Place::Volatile } else { parent };
        paths::create(self.writing(hive, place)?, place, at, child, sequence)
    }

    fn drop_key(&mut self, hive: usize, guid: Guid) -> Outcome {
        // Forgotten first: if the removal fails halfway, the next request asks the database.
        self.known.remove(&guid);
        let place = keys::place(self.hives[hive].current_writer(), guid)?;
        let dropped = keys::drop(self.writing(hive, Place::Main)?, guid)?;
        if place == Some(Place::Volatile) {
            self.hives[hive].note_dropped(guid);
        }
        Ok(dropped)
    }
}

impl Backend for SqliteBackend {
    fn hives(&self) -> &[HiveInfo] {
        &self.infos
    }

    fn max_sequence(&self) -> u64 {
        self.max_sequence
    }

    fn locate(&mut self, guid: Guid) -> Result<Option<usize>, Refusal> {
        Ok(self.find(guid)?.map(|(hive, _)| hive))
    }

    fn has_entries_of(&mut self, hive: usize, removal: Write<'_>) -> Result<bool, Refusal> {
        let committed = self.hives[hive].session(View::Committed)?;
        match removal {
            Write::DeleteEntry { at } => paths::exists(committed, at),
            Write::DropKey { guid } => paths::is_named(committed, guid),
            _ => Ok(false),
        }
    }

    fn read(&mut self, hive: usize, view: View, read: Read<'_>) -> Outcome {
        let Some(place) = self.place(hive, view, read.key())? else {
            return Err(Status::NotFound.into());
        };
        let both = self.hives[hive].session(view)?;
        // What belongs to a key alone lies where the key does; its entries may lie in either store.
        let session = if place == Place::Main { both.over_main() } else { both };
        match read {
            Read::Lookup { parent, child_name } => paths::lookup(both, parent, child_name),
            Read::EnumChildren { parent } => paths::enumerate(both, parent),
            Read::Key { guid } => keys::read(session, guid),
            Read::QueryValues { guid, value_name } => values::query(session, guid, value_name),
        }
    }

    fn write(&mut self, hive: usize, view: View, write: Write<'_>, now: u64) -> Outcome {
        match write {
            Write::CreateKey(key) => return self.create_key(hive, view, key, now),
            Write::CreateEntry { at, child, sequence } => {
                return self.create_entry(hive, view, at, (child, sequence));
            }
            Write::DropKey { guid } => return self.drop_key(hive, guid),
            Write::DeleteEntry { at } => {
                return paths::delete(self.writing(hive, Place::Main)?, at);
            }
            _ => {}
        }
        let Some(place) = self.place(hive, view, write.key())? else {
            let absent = if write.is_idempotent_removal() {
                Ok(Response::Done)
            } else {
                Err(Status::NotFound.into())
            };
            return absent;
        };
        let session = self.writing(hive, place)?;
        match write {
            Write::HideEntry { at, sequence } => paths::hide(session, place, at, sequence),
            Write::UpdateKey { guid, sd, last_write_time } => {
                keys::write(session, place, guid, sd, last_write_time)
            }
            Write::SetValue { at, value, expected_sequence } => {
                values::set(session, place, at, value, expected_sequence)
            }
            Write::DeleteValueEntry { at } => values::delete(session, place, at),
            Write::SetBlanket { guid, layer, sequence } => {
                values::set_blanket(session, place, guid, layer, sequence)
            }
            Write::RemoveBlanket { guid, layer } => {
                values::remove_blanket(session, place, guid, layer)
            }
            Write::CreateKey(_)
            | Write::CreateEntry { .. }
            | Write::DropKey { .. }
            | Write::DeleteEntry { .. } => Err(Status::Invalid.into()),
        }
    }

    fn delete_layer(&mut self, layer: &str) -> Outcome {
        layers::delete(&self.hives, layer)
    }

    fn flush(&mut self, hive: usize) -> Outcome {
        self.hives[hive].flush()
    }

    fn begin(&mut self, hive: usize) -> Result<(), Refusal> {
        self.hives[hive].begin()
    }

    fn is_open(&self, hive: usize) -> bool {
        self.hives[hive].is_open()
    }

    fn commit(&mut self, hive: usize) -> Result<(), Refusal> {
        self.hives[hive].commit()?;
        // It may have dropped keys that are known.
        self.known.clear();
        Ok(())
    }

    fn rollback(&mut self, hive: usize) {
        self.hives[hive].rollback();
    }

    fn take_snapshot(&mut self, id: TransactionId) -> Result<(), Refusal> {
        for index in 0..self.hives.len() {
            if let Err(refusal) = self.hives[index].take_snapshot(id) {
                self.release_snapshot(id);
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn release_snapshot(&mut self, id: TransactionId) {
        for hive in &mut self.hives {
            hive.release_snapshot(id);
        }
    }
}
