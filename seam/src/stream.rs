//! Streams of processes: what a backup writes and a restore reads.
//!
//! A stream is a file in memory that takes and gives a few kilobytes at a time, so that neither side can
//! count on its whole buffer's going through at once. Knows nothing of the format.

use std::sync::{Arc, Mutex};

use abi::Errno;
use conformance::target::RawCall;
use futures::future::{BoxFuture, FutureExt};
use lcs::env::{Env, UserMemory};
use lcs::{Lcs, Process, Stream};
use registry_model::input::StreamAccess;

use crate::lock;
use crate::memory::CallMemory;

/// As much as goes through at once, in bytes.
const PIECE_LENGTH_MAX: usize = 4096;

/// The streams that processes have fds of.
#[derive(Default)]
pub struct Streams(Vec<Arc<MemoryStream>>);

impl Streams {
    /// Makes a call about streams; `None` for any other.
    pub fn call<E: Env>(
        &mut self,
        kernel: &Lcs<E>,
        process: &Process<E>,
        call: &RawCall,
        memory: &CallMemory,
    ) -> Option<i64> {
        match call {
            RawCall::OpenStream { access, contents } => {
                self.0.retain(|stream| Arc::strong_count(stream) > 1);
                let stream = Arc::new(MemoryStream::new(*access, Arc::clone(contents)));
                self.0.push(Arc::clone(&stream));
                let installed = kernel.install_stream(process, stream);
                Some(installed.map_or_else(Errno::returned, i64::from))
            }
            RawCall::TakeStream { fd, buffer, length } => {
                let stream = kernel.stream(process, *fd).ok();
                Some(self.take(stream, (*buffer, *length), memory))
            }
            _ => None,
        }
    }

    /// Copies what was written to a stream, as far as there is room; the result is how much there was.
    fn take(
        &self,
        stream: Option<Arc<dyn Stream>>,
        (buffer, length): (u64, u64),
        memory: &CallMemory,
    ) -> i64 {
        let stream = stream.and_then(|stream| self.0.iter().find(|known| known.is(&stream)));
        let Some(stream) = stream else { return Errno::EBADF.returned() };
        let bytes = stream.take();
        let copied = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        match memory.write(buffer, &bytes[..copied]) {
            Ok(()) => bytes.len() as i64,
            Err(_) => Errno::EFAULT.returned(),
        }
    }
}

/// A stream.
pub struct MemoryStream {
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
    fn new(access: StreamAccess, contents: Arc<[u8]>) -> MemoryStream {
        MemoryStream { access, contents, ends: Mutex::default() }
    }

    /// What was written since it was last taken.
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.ends).written)
    }

    /// Whether this is what an fd stands for.
    fn is(&self, stream: &Arc<dyn Stream>) -> bool {
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
