//! The disks of this process, and the files of each.
//!
//! One global map leads from a world's id to its files. It is read when a file is opened, deleted
//! or looked for, and by nothing else, so that worlds on several threads do not meet.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::image::Image;
use crate::locks::{FileLocks, SharedMemory};
use crate::power::{PowerLoss, Undone};

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
    /// What was done to the directory and is not durable yet, in order.
    directory: Mutex<Vec<(u64, DirectoryChange)>>,
    /// The next change's.
    stamp: AtomicU64,
    /// How many more changes and syncs there will be before the power fails in the middle of the last;
    /// 0 if it will not.
    fuse: AtomicU64,
    has_blown: AtomicBool,
    /// Whether a sync only says that it has been done.
    lies: AtomicBool,
    /// Whether no file may grow.
    is_full: AtomicBool,
    /// How many more changes of files there will be before one fails; 0 if none will.
    error_fuse: AtomicU64,
    has_erred: AtomicBool,
}

/// A change of the directory that a power loss may take back.
#[derive(Debug)]
enum DirectoryChange {
    Created(String, Arc<File>),
    Deleted(String, Arc<File>),
}

impl Default for World {
    fn default() -> World {
        World {
            incarnation: AtomicU64::new(1),
            files: Mutex::default(),
            directory: Mutex::default(),
            stamp: AtomicU64::new(0),
            fuse: AtomicU64::new(0),
            has_blown: AtomicBool::new(false),
            lies: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            error_fuse: AtomicU64::new(0),
            has_erred: AtomicBool::new(false),
        }
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
        for file in self.files().values() {
            file.forget_handles();
        }
        next
    }

    /// Lets the power fail at the change or sync after so many more (1 for the next), or not at all (0).
    pub(crate) fn arm(&self, changes_left: u64) {
        self.fuse.store(changes_left, Ordering::Release);
        self.has_blown.store(false, Ordering::Release);
    }

    /// Whether the power has failed since that was armed.
    pub(crate) fn has_blown(&self) -> bool {
        self.has_blown.load(Ordering::Acquire)
    }

    /// Lets every sync be a lie from now on, or none.
    pub(crate) fn lie(&self, lies: bool) {
        self.lies.store(lies, Ordering::Release);
    }

    /// Lets no file grow from now on, or any.
    pub(crate) fn fill(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Release);
    }

    /// Whether no file may grow.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }

    /// Lets the change of a file after so many more (1 for the next) fail, or none (0).
    pub(crate) fn arm_error(&self, changes_left: u64) {
        self.error_fuse.store(changes_left, Ordering::Release);
        self.has_erred.store(false, Ordering::Release);
    }

    /// Whether one has failed since that was last asked.
    pub(crate) fn take_error(&self) -> bool {
        self.has_erred.swap(false, Ordering::AcqRel)
    }

    /// A file is to be changed. Whether that fails.
    pub(crate) fn errs_now(&self) -> bool {
        let errs = burns_down(&self.error_fuse);
        if errs {
            self.has_erred.store(true, Ordering::Release);
        }
        errs
    }

    /// A change or a sync is to be made. Whether the power fails in the middle of it.
    pub(crate) fn fails_now(&self) -> bool {
        let fails = burns_down(&self.fuse);
        if fails {
            self.has_blown.store(true, Ordering::Release);
        }
        fails
    }

    /// The stamp of a change that is made now.
    pub(crate) fn next_stamp(&self) -> u64 {
        self.stamp.fetch_add(1, Ordering::AcqRel)
    }

    /// What was written to a file is durable, and so is its name.
    pub(crate) fn sync(&self, file: &Arc<File>) {
        if self.lies.load(Ordering::Acquire) {
            return;
        }
        file.with_image(Image::sync);
        let mut directory = self.directory();
        let is_creation = |change: &(u64, DirectoryChange)| matches!(&change.1, DirectoryChange::Created(_, created) if Arc::ptr_eq(created, file));
        if let Some(last) = directory.iter().rposition(is_creation) {
            directory.drain(..=last);
        }
    }

    /// The power fails: ends an incarnation, and leaves of the unsynced changes what `loss` says. Returns
    /// the next incarnation.
    pub(crate) fn lose_power(&self, loss: PowerLoss) -> u64 {
        let next = self.kill();
        self.arm(0);
        for change in loss.survivors(self.rewind()) {
            match change {
                Undone::Created(name, file) => {
                    self.files().insert(name, file);
                }
                Undone::Deleted(name) => {
                    self.files().remove(&name);
                }
                Undone::Changed(file, change) => file.with_image(|image| image.apply(&change)),
            }
        }
        next
    }

    /// Goes back to what is durable. Returns what was not, in the order in which it was done.
    fn rewind(&self) -> Vec<Undone> {
        let mut files: Vec<Arc<File>> = self.files().values().map(Arc::clone).collect();
        let mut undone = Vec::new();
        for (stamp, change) in std::mem::take(&mut *self.directory()).into_iter().rev() {
            undone.push((
                stamp,
                match change {
                    DirectoryChange::Created(name, file) => {
                        self.files().remove(&name);
                        Undone::Created(name, file)
                    }
                    DirectoryChange::Deleted(name, file) => {
                        files.push(Arc::clone(&file));
                        self.files().insert(name.clone(), file);
                        Undone::Deleted(name)
                    }
                },
            ));
        }
        for file in files {
            let changes = file.with_image(Image::rewind);
            let changed = |(stamp, change)| (stamp, Undone::Changed(Arc::clone(&file), change));
            undone.extend(changes.into_iter().map(changed));
        }
        undone.sort_by_key(|(stamp, _)| *stamp);
        undone.into_iter().map(|(_, change)| change).collect()
    }

    /// Ends the last incarnation and frees every file.
    pub(crate) fn end(&self) {
        self.incarnation.store(ENDED, Ordering::Release);
        self.files().clear();
        self.directory().clear();
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<File>> {
        self.files().get(name).map(Arc::clone)
    }

    pub(crate) fn find_or_create(&self, name: &str) -> Arc<File> {
        let mut files = self.files();
        if let Some(file) = files.get(name) {
            return Arc::clone(file);
        }
        let file = Arc::<File>::default();
        files.insert(name.to_owned(), Arc::clone(&file));
        let change = DirectoryChange::Created(name.to_owned(), Arc::clone(&file));
        self.directory().push((self.next_stamp(), change));
        file
    }

    /// Unlinks a file, for good if `is_synced`; open handles keep its bytes. False if there is none.
    pub(crate) fn delete(&self, name: &str, is_synced: bool) -> bool {
        let Some(file) = self.files().remove(name) else { return false };
        let mut directory = self.directory();
        if is_synced && !self.lies.load(Ordering::Acquire) {
            directory.clear();
        } else {
            directory.push((self.next_stamp(), DirectoryChange::Deleted(name.to_owned(), file)));
        }
        true
    }

    pub(crate) fn list(&self) -> Vec<(String, usize)> {
        self.files()
            .iter()
            .map(|(name, file)| (name.clone(), file.with_image(|image| image.bytes().len())))
            .collect()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Arc<File>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory(&self) -> MutexGuard<'_, Vec<(u64, DirectoryChange)>> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one towards zero. Whether that was the last; nothing is counted at zero.
fn burns_down(fuse: &AtomicU64) -> bool {
    let left = fuse.load(Ordering::Acquire);
    if left > 0 {
        fuse.store(left - 1, Ordering::Release);
    }
    left == 1
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
