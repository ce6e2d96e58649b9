//! Files, pipes and sockets of a process, as far as backups and restores need them (PSD-005 §6.3;
//! `BAK-02`, `BAK-03`). What is behind one is for whoever installed it.

use abi::Errno;
use futures::future::BoxFuture;

/// An open file of a process that is no part of the registry.
pub trait Stream: Send + Sync {
    /// Whether it was opened for reading.
    fn is_readable(&self) -> bool;

    /// Whether it was opened for writing.
    fn is_writable(&self) -> bool;

    /// Reads some bytes into `buffer`, waiting where there are none yet; 0 is the end.
    fn read<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, Result<usize, Errno>>;

    /// Writes some of the bytes, waiting where there is no room.
    fn write<'a>(&'a self, bytes: &'a [u8]) -> BoxFuture<'a, Result<usize, Errno>>;
}
