//! An in-memory disk under the real SQLite: a `sqlite3_vfs` whose files live in this process.
//!
//! A [`Disk`] belongs to one source process of one simulated world. It outlives the death of that
//! process: [`Disk::kill`] starts a new incarnation, after which every handle of the old one
//! answers `SQLITE_IOERR`, however late its connection is dropped, and no byte moves any more.
//!
//! It may not know what a registry is. What is written stays written (there is no power loss
//! yet); every change of a file's bytes goes through `image`, which is where unsynced writes will
//! be kept apart.
//!
//! The disk claims `SQLITE_IOCAP_POWERSAFE_OVERWRITE`, as the Unix VFS does by default: a write
//! never harms bytes outside its own range. It claims nothing else.
#![expect(unsafe_code, reason = "a sqlite3_vfs is a table of C functions over raw pointers")]

mod file;
mod image;
mod locks;
mod vfs;
mod world;

use std::path::PathBuf;
use std::sync::Arc;

use world::World;

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

    /// Replaces the file `name`, creating it if need be.
    pub fn write_file(&self, name: &str, bytes: &[u8]) {
        self.world.find_or_create(name).with_image(|image| {
            image.truncate(0);
            image.write(0, bytes);
            image.sync();
        });
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
