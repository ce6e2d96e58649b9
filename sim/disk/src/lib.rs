//! An in-memory disk under the real SQLite: a `sqlite3_vfs` whose files live in this process.
//!
//! A [`Disk`] belongs to one source process of one simulated world. It outlives the death of that
//! process: [`Disk::kill`] starts a new incarnation, after which every handle of the old one
//! answers `SQLITE_IOERR`, however late its connection is dropped, and no byte moves any more.
//!
//! A death of the process leaves what was written; [`Disk::lose_power`] takes back what was not synced,
//! as far as [`PowerLoss`] says. [`Disk::fail_at`] lets the power fail in the middle of a coming change.
//!
//! It may not know what a registry is.
//!
//! The disk claims `SQLITE_IOCAP_POWERSAFE_OVERWRITE`, as the Unix VFS does by default: a write
//! never harms bytes outside its own range. It claims nothing else.
#![expect(unsafe_code, reason = "a sqlite3_vfs is a table of C functions over raw pointers")]

mod file;
mod image;
mod locks;
mod power;
mod vfs;
mod world;

use std::path::PathBuf;
use std::sync::Arc;

use world::World;

pub use power::{Keep, PowerLoss};
pub use vfs::set_thread_environment;

/// One process's disk. Dropping it frees its files; handles still open then answer errors.
#[derive(Debug)]
pub struct Disk {
    world_id: u64,
    world: Arc<World>,
}

impl Disk {
    /// An empty disk. `world_id` tells it from the other disks of this process.
    ///
    /// # Panics
    /// If another disk of the same id is alive, or SQLite refuses the VFS: both are faults of the
    /// harness.
    #[must_use]
    pub fn new(world_id: u64) -> Disk {
        vfs::register();
        let world = Arc::new(World::default());
        assert!(world::enter(world_id, Arc::clone(&world)), "disk {world_id} exists already");
        Disk { world_id, world }
    }

    /// The name under which SQLite knows this file system, the same for every disk.
    #[must_use]
    pub fn vfs_name(&self) -> &'static str {
        vfs::NAME
    }

    /// The absolute path by which the current incarnation opens the file `name`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/{}/{}/{name}", self.world_id, self.world.incarnation()))
    }

    /// Ends the process: its locks and shared memory are gone, its handles answer
    /// `SQLITE_IOERR`, and its files stay as they were written. Returns the new incarnation.
    pub fn kill(&self) -> u64 {
        self.world.kill()
    }

    /// The power fails: the process ends as by [`Disk::kill`], and of what was not synced as much stays as
    /// `loss` says. Returns the new incarnation.
    pub fn lose_power(&self, loss: PowerLoss) -> u64 {
        self.world.lose_power(loss)
    }

    /// Lets the process end in the middle of a coming write, truncation, deletion or sync: 1 for the next; 0
    /// for never. What was not synced by then is there until [`Disk::lose_power`].
    pub fn fail_at(&self, change: u64) {
        self.world.arm(change);
    }

    /// Whether that has happened.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.world.has_blown()
    }

    /// Lets no file grow from now on (`SQLITE_FULL`), or lets them again.
    pub fn fill(&self, is_full: bool) {
        self.world.fill(is_full);
    }

    /// Lets a coming write or truncation fail and change nothing: 1 for the next; 0 for none.
    pub fn err_at(&self, change: u64) {
        self.world.arm_error(change);
    }

    /// Whether one has failed since that was last asked.
    #[must_use]
    pub fn take_error(&self) -> bool {
        self.world.take_error()
    }

    /// Whether syncs are answered from now on without making anything durable.
    pub fn lie_about_syncs(&self, lies: bool) {
        self.world.lie(lies);
    }

    /// The current incarnation, counted from one.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.world.incarnation()
    }

    /// The bytes of the file `name`, or `None` if there is no such file.
    #[must_use]
    pub fn read_file(&self, name: &str) -> Option<Vec<u8>> {
        self.world.find(name).map(|file| file.with_image(|image| image.bytes().to_vec()))
    }

    /// Replaces the file `name`, creating it if need be, for good.
    pub fn write_file(&self, name: &str, bytes: &[u8]) {
        let file = self.world.find_or_create(name);
        file.with_image(|image| {
            image.truncate(0, self.world.next_stamp());
            image.write(0, bytes, self.world.next_stamp());
        });
        self.world.sync(&file);
    }

    /// The names and lengths (bytes) of all files, in order of name.
    #[must_use]
    pub fn files(&self) -> Vec<(String, usize)> {
        self.world.list()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        world::leave(self.world_id);
        self.world.end();
    }
}
