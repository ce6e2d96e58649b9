//! Sources that are processes of their own, on a Unix socket in place of `/dev/pkm_registry`.
//!
//! Each connection is a device: its registration message is the ioctl, its frames are read and
//! written, its end is the closing of the device (PSD-005 §7.1; `abi::source_stream`). Two threads
//! serve a connection, one for each direction, so that a source that does not read its requests
//! can still answer. It may not know what a frame means.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use abi::source_stream::{ARGUMENT_OFFSET, FRAME_LENGTH_MAX, REGISTRATION_LENGTH_MAX};
use abi::{Errno, ioctl};
use lcs::env::{Fault, UserMemory};
use lcs::security::Token;
use lcs::{Device, Lcs};
use rsi::RESPONSE_HEADER_LENGTH;

use crate::env::ThreadEnv;
use crate::waiting::block_on;

/// The most connections at once; one more is closed on arrival. There are 32 sources by default.
const CONNECTIONS_MAX: usize = 64;

/// How long a registration message may take to arrive.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(5);

/// A device is closed by the time its process is gone; the end of a stream is noticed a moment
/// later. A source that comes back at once is not refused for its own predecessor: how long to wait
/// for that one's end, and how often.
const PREDECESSOR_PAUSE: Duration = Duration::from_millis(10);
const PREDECESSOR_PAUSES_MAX: usize = 20;

/// How long to wait when the system has no descriptor to give, before the next connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket at which source processes register. Dropping it ends every connection, and the file
/// goes.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    /// The listening socket again, as what can be shut down: that ends a wait for connections.
    socket: UnixStream,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    lcs: Lcs<ThreadEnv>,
    token: Arc<Token>,
    stopping: AtomicBool,
    connections: Mutex<Vec<Connection>>,
}

/// A connection that is being served.
#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    thread: JoinHandle<()>,
}

impl Listener {
    /// Listens at `path`, where no file may be yet. Whoever connects opens the device as `token`.
    ///
    /// # Errors
    /// If the socket cannot be made, or the system gives no thread.
    pub fn bind(lcs: &Lcs<ThreadEnv>, token: &Arc<Token>, path: &Path) -> io::Result<Listener> {
        let socket = UnixListener::bind(path)?;
        let again = UnixStream::from(OwnedFd::from(socket.try_clone()?));
        let shared = Arc::new(Shared {
            lcs: lcs.clone(),
            token: Arc::clone(token),
            stopping: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let mut listener = Listener {
            path: path.to_owned(),
            socket: again,
            shared: Arc::clone(&shared),
            thread: None,
        };
        let accepting = thread::Builder::new().name("sources".to_owned());
        listener.thread = Some(accepting.spawn(move || shared.accept(&socket))?);
        Ok(listener)
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // It cannot fail on a socket that listens.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            // A panic has been printed already.
            let _ = thread.join();
        }
        for Connection { stream, thread } in std::mem::take(&mut *self.shared.connections()) {
            // Fails where the other side has gone, and then the threads end by themselves.
            let _ = stream.shutdown(Shutdown::Both);
            let _ = thread.join();
        }
        // Somebody may have removed it.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("stopping", &self.stopping).finish_non_exhaustive()
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, socket: &UnixListener) {
        while !self.stopping.load(Ordering::Acquire) {
            match socket.accept() {
                Ok((stream, _)) => self.take_up(stream),
                Err(_) => thread::sleep(ACCEPT_PAUSE),
            }
        }
    }

    fn take_up(self: &Arc<Self>, stream: UnixStream) {
        let mut connections = self.connections();
        connections.retain(|connection| !connection.thread.is_finished());
        if connections.len() >= CONNECTIONS_MAX || self.stopping.load(Ordering::Acquire) {
            return;
        }
        let Ok(served) = stream.try_clone() else { return };
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().name("source responses".to_owned());
        // Without a thread the stream is dropped, which its source sees.
        if let Ok(thread) = thread.spawn(move || shared.serve(served)) {
            connections.push(Connection { stream, thread });
        }
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one connection from its registration to its end.
    fn serve(&self, mut stream: UnixStream) {
        // Whatever fails on a stream is its end, and its end is that of the source.
        if let Ok(Some(device)) = self.register(&mut stream) {
            let _ = pump(&device, &mut stream);
            device.close();
        }
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// Reads the registration and answers it; the device, if it is registered.
    fn register(&self, stream: &mut UnixStream) -> io::Result<Option<Arc<Device<ThreadEnv>>>> {
        stream.set_read_timeout(Some(REGISTRATION_TIMEOUT))?;
        let message = read_message(stream, ARGUMENT_OFFSET, REGISTRATION_LENGTH_MAX)?;
        stream.set_read_timeout(None)?;
        let registered = self.open(&message);
        let number = *registered.as_ref().err().unwrap_or(&0);
        stream.write_all(&number.to_le_bytes())?;
        Ok(registered.ok())
    }

    /// Opens a device and registers what the message says; an error number otherwise.
    fn open(&self, message: &[u8]) -> Result<Arc<Device<ThreadEnv>>, i32> {
        let device = self.lcs.open_device(&self.token).map_err(|errno| errno as i32)?;
        if message.get(4..ARGUMENT_OFFSET) != Some(&[0; 4]) {
            return Err(Errno::EINVAL as i32);
        }
        let (argument, memory) = (ARGUMENT_OFFSET as u64, Message(message));
        let register = || device.ioctl(&self.token, ioctl::REG_SRC_REGISTER, argument, &memory);
        let mut result = register();
        for _ in 0..PREDECESSOR_PAUSES_MAX {
            if result != Errno::EEXIST.returned() {
                break;
            }
            thread::sleep(PREDECESSOR_PAUSE);
            result = register();
        }
        match result {
            0 => Ok(Arc::new(device)),
            error => Err(i32::try_from(-error).unwrap_or(Errno::EIO as i32)),
        }
    }
}

/// Carries frames both ways until either side ends.
fn pump(device: &Arc<Device<ThreadEnv>>, stream: &mut UnixStream) -> io::Result<()> {
    let (sending, mut sink) = (Arc::clone(device), stream.try_clone()?);
    let thread = thread::Builder::new().name("source requests".to_owned());
    let sender = thread.spawn(move || {
        while let Ok(request) = block_on(sending.read()) {
            if sink.write_all(&request).is_err() {
                break;
            }
        }
        sending.close();
        // Ends the other direction too. Fails where that has happened already.
        let _ = sink.shutdown(Shutdown::Both);
    })?;
    while let Ok(response) = read_message(stream, RESPONSE_HEADER_LENGTH, FRAME_LENGTH_MAX) {
        if device.write(&response).is_err() {
            break;
        }
    }
    device.close();
    let _ = stream.shutdown(Shutdown::Both);
    // A panic has been printed already.
    let _ = sender.join();
    Ok(())
}

/// The next message, which begins with its length. Room is made as bytes come, not as they are
/// announced.
fn read_message(
    stream: &mut UnixStream,
    length_min: usize,
    length_max: usize,
) -> io::Result<Vec<u8>> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let length = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if !(length_min..=length_max).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = prefix.to_vec();
    let rest = (length - prefix.len()) as u64;
    stream.take(rest).read_to_end(&mut message)?;
    if message.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(message)
}

/// A registration message as the memory that its own pointers point into.
struct Message<'a>(&'a [u8]);

impl UserMemory for Message<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let start = usize::try_from(address).map_err(|_| Fault)?;
        let end = start.checked_add(buffer.len()).ok_or(Fault)?;
        buffer.copy_from_slice(self.0.get(start..end).ok_or(Fault)?);
        Ok(())
    }

    fn write(&self, _address: u64, _bytes: &[u8]) -> Result<(), Fault> {
        Err(Fault)
    }

    fn is_writable(&self, _address: u64, _length: u64) -> bool {
        false
    }
}
