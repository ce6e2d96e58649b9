//! The disks of this process, and the files of each.
//!
//! One global map leads from a world's id to its files. It is read when a file is opened, deleted
//! or looked for, and by nothing else, so that worlds on several threads do not meet.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::image::Image;
use crate::locks::{FileLocks, SharedMemory};

static WORLDS: RwLock<BTreeMap<u64, Arc<World>>> = RwLock::new(BTreeMap::new());

/// The incarnation of a disk that has been dropped; no handle has it.
const ENDED: u64 = u64::MAX;

/// Makes a world known. False if there is one of that id.
pub(crate) fn enter(world_id: u64, world: Arc<World>) -> bool {
    let mut worlds = WORLDS.write().unwrap_or_else(PoisonError::into_inner);
    if worlds.contains_key(&world_id) {
        return false;
    }
    worlds.insert(world_id, world);
    true
}

/// Forgets a world.
pub(crate) fn leave(world_id: u64) {
    WORLDS.write().unwrap_or_else(PoisonError::into_inner).remove(&world_id);
}

/// A path taken apart: the world, the incarnation that speaks, and the file's name.
pub(crate) struct Located<'a> {
    pub(crate) world: Arc<World>,
    pub(crate) incarnation: u64,
    pub(crate) name: &'a str,
}

/// Takes `/<world id>/<incarnation>/<name>` apart. `None` if it is no such path, if there is no
/// such world, or if the incarnation is over.
pub(crate) fn locate(path: &str) -> Option<Located<'_>> {
    let (world_id, rest) = path.strip_prefix('/')?.split_once('/')?;
    let (incarnation, name) = rest.split_once('/')?;
    let (world_id, incarnation) = (world_id.parse::<u64>().ok()?, incarnation.parse().ok()?);
    let worlds = WORLDS.read().unwrap_or_else(PoisonError::into_inner);
    let world = Arc::clone(worlds.get(&world_id)?);
    (world.incarnation() == incarnation).then_some(Located { world, incarnation, name })
}

/// The files of one disk.
#[derive(Debug)]
pub(crate) struct World {
    incarnation: AtomicU64,
    files: Mutex<BTreeMap<String, Arc<File>>>,
}

impl Default for World {
    fn default() -> World {
        World { incarnation: AtomicU64::new(1), files: Mutex::default() }
    }
}

impl World {
    /// The incarnation whose handles work.
    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation.load(Ordering::Acquire)
    }

    /// Ends an incarnation: its locks and shared memory are gone. Returns the next.
    pub(crate) fn kill(&self) -> u64 {
        let next = self.incarnation.fetch_add(1, Ordering::AcqRel) + 1;
        for file in self.files.lock().unwrap_or_else(PoisonError::into_inner).values() {
            file.forget_handles();
        }
        next
    }

    /// Ends the last incarnation and frees every file.
    pub(crate) fn end(&self) {
        self.incarnation.store(ENDED, Ordering::Release);
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).get(name).map(Arc::clone)
    }

    pub(crate) fn find_or_create(&self, name: &str) -> Arc<File> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(files.entry(name.to_owned()).or_default())
    }

    /// Unlinks a file; open handles keep its bytes. False if there is none.
    pub(crate) fn delete(&self, name: &str) -> bool {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }

    pub(crate) fn list(&self) -> Vec<(String, usize)> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files
            .iter()
            .map(|(name, file)| (name.clone(), file.with_image(|image| image.bytes().len())))
            .collect()
    }
}

/// One file: its bytes and who has locked it.
#[derive(Debug, Default)]
pub(crate) struct File {
    image: Mutex<Image>,
    locks: Mutex<FileLocks>,
    shared_memory: Mutex<Arc<SharedMemory>>,
}

impl File {
    pub(crate) fn with_image<T>(&self, work: impl FnOnce(&mut Image) -> T) -> T {
        work(&mut self.image.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn with_locks<T>(&self, work: impl FnOnce(&mut FileLocks) -> T) -> T {
        work(&mut self.locks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The WAL index of the handles that live now.
    pub(crate) fn shared_memory(&self) -> Arc<SharedMemory> {
        Arc::clone(&self.shared_memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Throws the WAL index away if nobody but the caller has it mapped.
    pub(crate) fn release_shared_memory(&self, mine: &Arc<SharedMemory>) {
        let mut current = self.shared_memory.lock().unwrap_or_else(PoisonError::into_inner);
        // Two references: the file's and the caller's.
        if Arc::ptr_eq(&current, mine) && Arc::strong_count(&current) <= 2 {
            *current = Arc::default();
        }
    }

    /// The process that held locks and shared memory has died.
    fn forget_handles(&self) {
        self.with_locks(|locks| *locks = FileLocks::default());
        *self.shared_memory.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }
}
