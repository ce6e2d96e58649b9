//! A calling process, as far as the registry goes: its table of fds.
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

/// The lowest number that a table gives out; those below are the standard streams.
const FIRST_DESCRIPTOR: i32 = 3;

/// A process. Dropping it is its exit.
pub struct Process<E: Env> {
    table: Mutex<BTreeMap<i32, Arc<KeyFile<E>>>>,
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

    pub(crate) fn get(&self, fd: i32) -> Result<Arc<KeyFile<E>>, Errno> {
        self.table().get(&fd).cloned().ok_or(Errno::EBADF)
    }

    pub(crate) fn install(&self, file: Arc<KeyFile<E>>) -> Result<i32, Errno> {
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

    pub(crate) fn take(&self, fd: i32) -> Result<Arc<KeyFile<E>>, Errno> {
        self.table().remove(&fd).ok_or(Errno::EBADF)
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<i32, Arc<KeyFile<E>>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
