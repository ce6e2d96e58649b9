//! Streams of the simulated processes: what a backup writes and a restore reads.
//!
//! A stream is a file in memory that takes and gives a few kilobytes at a time, so that neither side can
//! count on its whole buffer's going through at once. Knows nothing of the format.

use std::sync::{Arc, Mutex};

use abi::Errno;
use futures::future::{BoxFuture, FutureExt};
use lcs::Stream;
use registry_model::input::StreamAccess;

use crate::source::lock;

/// As much as goes through at once, in bytes.
const PIECE_LENGTH_MAX: usize = 4096;

/// A stream.
pub(crate) struct MemoryStream {
    access: StreamAccess,
    contents: Arc<[u8]>,
    ends: Mutex<Ends>,
}

#[derive(Default)]
struct Ends {
    /// How much of the contents has been read.
    position: usize,
    written: Vec<u8>,
}

impl MemoryStream {
    pub(crate) fn new(access: StreamAccess, contents: Arc<[u8]>) -> MemoryStream {
        MemoryStream { access, contents, ends: Mutex::default() }
    }

    /// What was written since it was last taken.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.ends).written)
    }

    /// Whether this is what an fd stands for.
    pub(crate) fn is(&self, stream: &Arc<dyn Stream>) -> bool {
        std::ptr::addr_eq(self, Arc::as_ptr(stream))
    }
}

impl Stream for MemoryStream {
    fn is_readable(&self) -> bool {
        self.access != StreamAccess::Write
    }

    fn is_writable(&self) -> bool {
        self.access != StreamAccess::Read
    }

    fn read<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, Result<usize, Errno>> {
        async move {
            let mut ends = lock(&self.ends);
            let rest = &self.contents[ends.position..];
            let length = rest.len().min(buffer.len()).min(PIECE_LENGTH_MAX);
            buffer[..length].copy_from_slice(&rest[..length]);
            ends.position += length;
            Ok(length)
        }
        .boxed()
    }

    fn write<'a>(&'a self, bytes: &'a [u8]) -> BoxFuture<'a, Result<usize, Errno>> {
        async move {
            let length = bytes.len().min(PIECE_LENGTH_MAX);
            lock(&self.ends).written.extend(&bytes[..length]);
            Ok(length)
        }
        .boxed()
    }
}
