//! The source's end of a connection: what an open `/dev/pkm_registry` does (PSD-005 §7.1).
//!
//! A device starts unregistered; registration attaches a connection to it, once. It may not know
//! who reads or writes it, nor whether that is a process or a task of the simulator.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use abi::Errno;

use super::connection::{Connection, DownReason};
use crate::env::Env;

/// An open source device. Dropping it is the source's disconnection.
///
/// Before registration and after the end of its connection, reads and writes fail: EINVAL while
/// nothing is attached; afterwards EIO for a read, and EINVAL for a write, which can only answer a
/// request that is unknown by then. (The text leaves these open.)
pub struct Device<E: Env> {
    connection: OnceLock<Connection<E>>,
}

/// What poll() says of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// POLLIN: a whole request waits.
    pub readable: bool,
    /// POLLOUT: responses are taken.
    pub writable: bool,
    /// POLLHUP and POLLERR: the connection has ended.
    pub hung_up: bool,
}

impl<E: Env> Device<E> {
    /// A device that has not registered.
    #[must_use]
    pub const fn new() -> Self {
        Self { connection: OnceLock::new() }
    }

    /// Makes this the device of `connection`.
    ///
    /// # Errors
    /// EINVAL when the device has a connection already, ended or not (D-91).
    pub fn attach(&self, connection: Connection<E>) -> Result<(), Errno> {
        self.connection.set(connection).map_err(|_| Errno::EINVAL)
    }

    /// Whether a connection has been attached, ended or not.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.connection.get().is_some()
    }

    /// Waits for the next request and returns all of it.
    ///
    /// # Errors
    /// EINVAL before registration, EIO once the connection has ended.
    pub async fn read(&self) -> Result<Vec<u8>, Errno> {
        self.read_with_capacity(usize::MAX).await
    }

    /// As [`Device::read`] into a buffer of `capacity` bytes.
    ///
    /// # Errors
    /// Also EMSGSIZE when the next request is longer; it stays the next.
    pub async fn read_with_capacity(&self, capacity: usize) -> Result<Vec<u8>, Errno> {
        let connection = self.connection()?;
        Read { connection, reader: None, capacity }.await
    }

    /// Returns the next request if there is one.
    ///
    /// # Errors
    /// EAGAIN when there is none; EINVAL before registration, EIO once the connection has ended.
    pub fn try_read(&self) -> Result<Vec<u8>, Errno> {
        self.try_read_with_capacity(usize::MAX)
    }

    /// As [`Device::try_read`] into a buffer of `capacity` bytes.
    ///
    /// # Errors
    /// Also EMSGSIZE when the next request is longer; it stays the next.
    pub fn try_read_with_capacity(&self, capacity: usize) -> Result<Vec<u8>, Errno> {
        self.connection()?.read(capacity)
    }

    /// Takes `frame`, one whole response.
    ///
    /// # Errors
    /// EINVAL for what is no response to an unanswered request read from this device; the
    /// connection ends then (D-90). EINVAL before registration too.
    pub fn write(&self, frame: &[u8]) -> Result<(), Errno> {
        self.connection()?.write(frame)
    }

    /// What poll() reports. An unregistered device is ready for nothing.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        match self.connection.get() {
            None => Readiness::default(),
            Some(connection) if connection.down_reason().is_some() => {
                Readiness { readable: false, writable: false, hung_up: true }
            }
            Some(connection) => {
                Readiness { readable: connection.has_unread(), writable: true, hung_up: false }
            }
        }
    }

    /// Disconnects, as closing the last descriptor does. Ends a waiting read.
    pub fn close(&self) {
        if let Some(connection) = self.connection.get() {
            connection.take_down(DownReason::Disconnected);
        }
    }

    fn connection(&self) -> Result<&Connection<E>, Errno> {
        self.connection.get().ok_or(Errno::EINVAL)
    }
}

impl<E: Env> Default for Device<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Env> Drop for Device<E> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<E: Env> fmt::Debug for Device<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Device").field("attached", &self.is_attached()).finish()
    }
}

/// A blocking read; its place among the readers goes with it.
struct Read<'a, E: Env> {
    connection: &'a Connection<E>,
    reader: Option<u64>,
    capacity: usize,
}

impl<E: Env> Future for Read<'_, E> {
    type Output = Result<Vec<u8>, Errno>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.connection.read_or_register(&mut this.reader, context.waker(), this.capacity) {
            Err(Errno::EAGAIN) => Poll::Pending,
            result => Poll::Ready(result),
        }
    }
}

impl<E: Env> Drop for Read<'_, E> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader {
            self.connection.forget_reader(reader);
        }
    }
}
