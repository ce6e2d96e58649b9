//! A stream as a test has it in hand: a pipe that may be short of bytes, or of room, or broken.

use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use abi::Errno;
use futures::future::{BoxFuture, FutureExt, poll_fn};
use lcs::Stream;

pub struct Pipe {
    readable: bool,
    writable: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What is read.
    bytes: Vec<u8>,
    position: usize,
    /// Up to where reading goes on at once.
    available: usize,
    /// What has been written.
    written: Vec<u8>,
    /// How much may be written.
    room: usize,
    /// What a read or a write fails with once it would have to wait.
    broken: Option<Errno>,
    /// The most bytes of one read or write.
    chunk: usize,
    waiting: Vec<Waker>,
}

impl Pipe {
    fn new(readable: bool, writable: bool, state: State) -> Arc<Self> {
        Arc::new(Self { readable, writable, state: Mutex::new(state) })
    }

    pub fn to_write() -> Arc<Self> {
        Self::with_room(usize::MAX)
    }

    /// One that takes so many bytes, in small pieces.
    pub fn with_room(room: usize) -> Arc<Self> {
        Self::new(false, true, State { room, chunk: 7_777, ..State::default() })
    }

    pub fn to_read(bytes: &[u8]) -> Arc<Self> {
        Self::with_available(bytes, bytes.len())
    }

    /// One that gives so many of its bytes, in small pieces, and keeps the others back.
    pub fn with_available(bytes: &[u8], available: usize) -> Arc<Self> {
        let bytes = bytes.to_vec();
        Self::new(true, false, State { bytes, available, chunk: 61, ..State::default() })
    }

    pub fn both(bytes: &[u8]) -> Arc<Self> {
        let (bytes, available) = (bytes.to_vec(), bytes.len());
        let state = State { bytes, available, room: usize::MAX, chunk: 100, ..State::default() };
        Self::new(true, true, state)
    }

    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.state.lock().unwrap().written)
    }

    /// Lets everything through.
    pub fn open(&self) {
        self.change(|state| {
            state.available = state.bytes.len();
            state.room = usize::MAX;
        });
    }

    pub fn break_with(&self, errno: Errno) {
        self.change(|state| state.broken = Some(errno));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap();
        change(&mut state);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Stream for Pipe {
    fn is_readable(&self) -> bool {
        self.readable
    }

    fn is_writable(&self) -> bool {
        self.writable
    }

    fn read<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, Result<usize, Errno>> {
        poll_fn(move |context| {
            let mut state = self.state.lock().unwrap();
            let State { position, available, chunk, .. } = *state;
            let length = (available - position).min(chunk).min(buffer.len());
            if length == 0 && available < state.bytes.len() {
                if let Some(errno) = state.broken {
                    return Poll::Ready(Err(errno));
                }
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            buffer[..length].copy_from_slice(&state.bytes[position..position + length]);
            state.position += length;
            Poll::Ready(Ok(length))
        })
        .boxed()
    }

    fn write<'a>(&'a self, bytes: &'a [u8]) -> BoxFuture<'a, Result<usize, Errno>> {
        poll_fn(move |context| {
            let mut state = self.state.lock().unwrap();
            let length = bytes.len().min(state.chunk).min(state.room);
            if length == 0 {
                if let Some(errno) = state.broken {
                    return Poll::Ready(if errno == Errno::EAGAIN { Ok(0) } else { Err(errno) });
                }
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            state.room -= length;
            state.written.extend_from_slice(&bytes[..length]);
            Poll::Ready(Ok(length))
        })
        .boxed()
    }
}
