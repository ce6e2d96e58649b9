//! A calling process, as far as the registry goes: its table of fds, of keys, of transactions and of
//! the streams that backups go to and restores come from.
//!
//! States PSD-005 §6.1 (fd semantics) and §10.1 (fd lifecycle; `SYS-04`, `SYS-07`, `FAIL-39`,
//! `FAIL-40`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abi::Errno;

use crate::env::Env;
use crate::key_file::KeyFile;
use crate::limits::DESCRIPTORS_MAX;
use crate::security::Token;
use crate::stream::Stream;
use crate::transactions::TransactionFile;

/// The lowest number that a table gives out; those below are the standard streams.
const FIRST_DESCRIPTOR: i32 = 3;

/// A process. Dropping it is its exit.
pub struct Process<E: Env> {
    table: Mutex<BTreeMap<i32, File<E>>>,
}

/// What an fd stands for. Fds that were passed on or duplicated stand for the same description.
pub enum File<E: Env> {
    /// An open key.
    Key(Arc<KeyFile<E>>),
    /// A transaction.
    Transaction(Arc<TransactionFile<E>>),
    /// Something that is no part of the registry.
    Stream(Arc<dyn Stream>),
}

impl<E: Env> Clone for File<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Key(file) => Self::Key(Arc::clone(file)),
            Self::Transaction(file) => Self::Transaction(Arc::clone(file)),
            Self::Stream(stream) => Self::Stream(Arc::clone(stream)),
        }
    }
}

/// A thread making a call: its process, and its effective token (PSD-005 §3.1).
pub struct Caller<'a, E: Env> {
    /// Whose fds the call's numbers mean.
    pub process: &'a Process<E>,
    /// The token captured at the call.
    pub token: &'a Arc<Token>,
}

impl<E: Env> Clone for Caller<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: Env> Copy for Caller<'_, E> {}

impl<E: Env> Process<E> {
    pub(crate) fn new() -> Self {
        Self { table: Mutex::default() }
    }

    /// Closes every fd. Keys that are to be dropped for it are, in tasks of the kernel's own.
    pub fn exit(self) {
        drop(self);
    }

    /// Open fds, in order.
    pub fn descriptors(&self) -> Vec<i32> {
        self.table().keys().copied().collect()
    }

    pub(crate) fn get(&self, fd: i32) -> Result<File<E>, Errno> {
        self.table().get(&fd).cloned().ok_or(Errno::EBADF)
    }

    /// The key of an fd that has to be a key's.
    pub(crate) fn key(&self, fd: i32) -> Result<Arc<KeyFile<E>>, Errno> {
        match self.get(fd)? {
            File::Key(file) => Ok(file),
            File::Transaction(_) | File::Stream(_) => Err(Errno::EBADF),
        }
    }

    /// The transaction of an fd that has to be a transaction's (`IOC-206`).
    pub(crate) fn transaction(&self, fd: i32) -> Result<Arc<TransactionFile<E>>, Errno> {
        match self.get(fd)? {
            File::Transaction(file) => Ok(file),
            File::Key(_) | File::Stream(_) => Err(Errno::EBADF),
        }
    }

    /// The stream of an fd that has to be a stream's (P-236).
    pub(crate) fn stream(&self, fd: i32) -> Result<Arc<dyn Stream>, Errno> {
        match self.get(fd)? {
            File::Stream(stream) => Ok(stream),
            File::Key(_) | File::Transaction(_) => Err(Errno::EBADF),
        }
    }

    pub(crate) fn install(&self, file: File<E>) -> Result<i32, Errno> {
        let mut table = self.table();
        if table.len() >= DESCRIPTORS_MAX {
            // The file is closed by its caller's reference, after the table is unlocked.
            return Err(Errno::EMFILE);
        }
        let mut fd = FIRST_DESCRIPTOR;
        for taken in table.keys() {
            if *taken != fd {
                break;
            }
            fd += 1;
        }
        table.insert(fd, file);
        Ok(fd)
    }

    pub(crate) fn take(&self, fd: i32) -> Result<File<E>, Errno> {
        self.table().remove(&fd).ok_or(Errno::EBADF)
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<i32, File<E>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
