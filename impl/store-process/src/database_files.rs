//! The database files as this process's own: locked against a second source, and watched for being
//! taken away (LORE-038, P-78).
//!
//! SQLite lets several processes write one database and goes on with a file that has lost its name.
//! A source may do neither: another one's start-up would remove what is being created here, and
//! what goes into a nameless file is lost. The locks are `flock`'s, which are none of SQLite's.

use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The files, open and locked until this is dropped. No connection of SQLite's to one of them may
/// outlive it: closing a file ends SQLite's own locks on it.
#[derive(Debug)]
pub struct DatabaseFiles(Vec<DatabaseFile>);

#[derive(Debug)]
struct DatabaseFile {
    path: PathBuf,
    identity: Identity,
    /// Holds the lock.
    _file: File,
}

/// Device and inode.
type Identity = (u64, u64);

/// Why a file could not be taken.
#[derive(Debug)]
pub enum LockError {
    /// It cannot be opened, created or locked.
    Unusable(PathBuf, io::Error),
    /// Another process has it.
    InUse(PathBuf),
}

impl DatabaseFiles {
    /// Opens every file, creating those that are missing, and locks them.
    ///
    /// # Errors
    /// [`LockError`] with the first file that cannot be had.
    pub fn lock<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<DatabaseFiles, LockError> {
        paths.map(DatabaseFile::lock).collect::<Result<_, _>>().map(DatabaseFiles)
    }

    /// A path that no longer leads to the file that was opened by it.
    pub fn missing(&self) -> Option<&Path> {
        self.0.iter().find(|file| !file.is_there()).map(|file| file.path.as_path())
    }
}

impl DatabaseFile {
    fn lock(path: &Path) -> Result<DatabaseFile, LockError> {
        let unusable = |error| LockError::Unusable(path.to_owned(), error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let identity = identity(&file.metadata().map_err(unusable)?);
        Ok(DatabaseFile { path: path.to_owned(), identity, _file: file })
    }

    fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| identity(&metadata) == self.identity)
    }
}

fn identity(metadata: &fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

impl fmt::Display for LockError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Unusable(path, error) => write!(
                out,
                "{}: cannot be opened or created ({error}); see that its directory exists and may \
                 be written",
                path.display()
            ),
            LockError::InUse(path) => {
                write!(out, "{}: another source serves it; stop that one first", path.display())
            }
        }
    }
}

impl Error for LockError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_moved_or_replaced_is_missing() {
        let directory = tempfile::tempdir().expect("a directory");
        let (here, there) = (directory.path().join("a"), directory.path().join("b"));
        let files = DatabaseFiles::lock([here.as_path()].into_iter()).expect("locked");
        assert_eq!(files.missing(), None);
        fs::rename(&here, &there).expect("renamed");
        assert_eq!(files.missing(), Some(here.as_path()));
        fs::write(&here, "").expect("another file");
        assert_eq!(files.missing(), Some(here.as_path()));
        fs::rename(&there, &here).expect("renamed back");
        assert_eq!(files.missing(), None);
    }
}
