//! A source on a thread of its own: requests from its device into a store, responses back
//! (PSD-006 §2.1, steps 8 to 10 and the exit behaviour; LORE-033 to LORE-040).

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use abi::Errno;
use futures::future::{Either, FutureExt, select};
use lcs::env::Env;
use lcs::security::Token;
use lcs::{Device, HiveRegistration, Lcs, Registration};
use rsi::{
    Guid, Response, ResponseFrame, Status, decode_request, decode_request_header, encode_response,
};
use stores::{FatalError, Store};

use crate::env::ThreadEnv;
use crate::waiting::block_on;

/// Fills `bytes` from the operating system's generator.
///
/// # Panics
/// If the system has no randomness to give: nothing safe can be done without.
pub fn operating_system_random(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        panic!("the operating system gives no random bytes: {error}");
    }
}

/// What a store registers: its hives as global ones, and its highest sequence number.
#[must_use]
pub fn registration(store: &dyn Store) -> Registration {
    let hives = store
        .hives()
        .iter()
        .map(|hive| HiveRegistration {
            name: hive.name.clone().into_bytes(),
            root: hive.root,
            flags: 0,
            scope: Guid::NULL,
        })
        .collect();
    Registration { hives, max_sequence: store.max_sequence() }
}

/// Why a source stopped serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its device was closed, by either side.
    Closed,
    /// The kernel half would not take a response.
    ResponseRefused(Errno),
    /// A request came that is none.
    BadRequest,
    /// The store cannot go on (LORE-038).
    StoreFailed(FatalError),
    /// The thread panicked.
    Panicked,
}

/// Requests that are taken before any of them is answered, where so many are there. Many at a time, so
/// that neither side wakes the other for each of them.
const REQUESTS_AT_ONCE_MAX: usize = 64;

/// Serves a registered device until it is closed. Blocks the calling thread.
pub fn serve(device: &Device<ThreadEnv>, env: &ThreadEnv, store: &mut dyn Store) -> End {
    block_on(async {
        loop {
            while let Some(frame) = store.poll(env.now()) {
                if let Err(errno) = device.write(&encode_response(&frame)) {
                    return ended_by(errno);
                }
            }
            if let Some(error) = store.fatal_error() {
                return End::StoreFailed(error);
            }
            let wake = store.next_wake().unwrap_or(u64::MAX);
            let read = match select(pin!(device.read()), pin!(env.sleep_until(wake))).await {
                Either::Left((read, _)) => read,
                Either::Right(_) => continue,
            };
            let Ok(bytes) = read else { return End::Closed };
            if let Err(end) = take_all(device, env, store, bytes) {
                return end;
            }
        }
    })
}

/// Gives a request to the store, and those behind it that are there already.
fn take_all(
    device: &Device<ThreadEnv>,
    env: &ThreadEnv,
    store: &mut dyn Store,
    first: Vec<u8>,
) -> Result<(), End> {
    let mut bytes = first;
    for _ in 1..REQUESTS_AT_ONCE_MAX {
        take(device, env, store, &bytes)?;
        bytes = match device.read().now_or_never() {
            Some(Ok(next)) => next,
            Some(Err(_)) => return Err(End::Closed),
            None => return Ok(()),
        };
    }
    take(device, env, store, &bytes)
}

/// Gives a request to the store, or refuses it where its payload cannot be read.
fn take(
    device: &Device<ThreadEnv>,
    env: &ThreadEnv,
    store: &mut dyn Store,
    bytes: &[u8],
) -> Result<(), End> {
    if let Ok(frame) = decode_request(bytes) {
        store.submit(frame, env.now());
        return Ok(());
    }
    let header = decode_request_header(bytes).map_err(|_| End::BadRequest)?;
    let response = Response::Failed(Status::Invalid);
    let frame = ResponseFrame { id: header.id, operation: header.operation, response };
    device.write(&encode_response(&frame)).map(|_| ()).map_err(ended_by)
}

/// EIO is what a device that was closed meanwhile answers.
fn ended_by(errno: Errno) -> End {
    if errno == Errno::EIO { End::Closed } else { End::ResponseRefused(errno) }
}

/// A source that is being served. Dropping it stops it.
pub struct Source {
    device: Arc<Device<ThreadEnv>>,
    thread: Option<JoinHandle<End>>,
}

impl Source {
    /// Opens the device as `token`, registers the store's hives, and serves them on a thread.
    ///
    /// # Errors
    /// If the kernel half refuses the device or the registration, or the system gives no thread.
    pub fn start(
        lcs: &Lcs<ThreadEnv>,
        env: &ThreadEnv,
        token: &Arc<Token>,
        mut store: Box<dyn Store>,
    ) -> Result<Source, StartError> {
        let device = Arc::new(lcs.open_device(token).map_err(StartError::Device)?);
        device.register(&registration(store.as_ref())).map_err(StartError::Registration)?;
        let (served, env) = (Arc::clone(&device), env.clone());
        let thread = thread::Builder::new()
            .name("source".to_owned())
            .spawn(move || {
                let closing = CloseAtEnd(&served);
                let end = serve(closing.0, &env, store.as_mut());
                // The store is closed before the kernel half hears of the end.
                drop(store);
                end
            })
            .map_err(StartError::Thread)?;
        Ok(Source { device, thread: Some(thread) })
    }

    /// Closes the device, waits for the thread to end, and says how it did. The store is closed
    /// by then.
    pub fn stop(mut self) -> End {
        self.end()
    }

    fn end(&mut self) -> End {
        self.device.close();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(end)) => end,
            Some(Err(_)) => End::Panicked,
            None => End::Closed,
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.end();
    }
}

/// Closes a device when its thread ends, however that comes about: nobody would answer on it.
struct CloseAtEnd<'a>(&'a Device<ThreadEnv>);

impl Drop for CloseAtEnd<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Why a source did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The device could not be opened (LORE-033).
    Device(Errno),
    /// The hives could not be registered.
    Registration(Errno),
    /// The system gave no thread.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Device(errno) => {
                write!(out, "the registry device cannot be opened: {errno:?}")
            }
            StartError::Registration(errno) => {
                write!(out, "the registry refuses the hives: {errno:?}")
            }
            StartError::Thread(error) => write!(out, "no thread for the source: {error}"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StartError::Thread(error) => Some(error),
            _ => None,
        }
    }
}
