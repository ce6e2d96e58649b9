//! What the kernel half needs of the world around it: time, tasks, randomness, audit, user
//! memory.
//!
//! It may not know whether it runs in a simulation or on real threads; an `Env` is all it sees of
//! either. Futures are `Send`, so that one build serves both.

use std::future::Future;
use std::pin::Pin;

/// A task handed to `Env::spawn`.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Clock, timers, tasks, randomness and the audit trail.
pub trait Env: Clone + Send + Sync + 'static {
    /// Nanoseconds since the Unix epoch. Never goes back.
    fn now(&self) -> u64;

    /// Completes when `now` has reached `deadline` (Unix nanoseconds), at once if it has passed.
    fn sleep_until(&self, deadline: u64) -> impl Future<Output = ()> + Send + 'static;

    /// Runs a task to its end beside its caller.
    fn spawn(&self, task: Task);

    /// Fills `bytes` with random bytes.
    fn random(&self, bytes: &mut [u8]);

    /// A place between two steps of an operation where another task may run. `label` names the
    /// place in a schedule.
    fn yield_point(&self, label: &'static str) -> impl Future<Output = ()> + Send;

    /// Hands an audit event over to whoever keeps them: its name, and its payload of one msgpack
    /// map (PSD-005 §3.1). The event is kept when this returns.
    ///
    /// # Errors
    /// `AuditUnavailable` when it cannot be kept.
    fn emit_audit(&self, event: &str, payload: &[u8]) -> Result<(), AuditUnavailable>;
}

/// An audit event that could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditUnavailable;

/// The address space of a calling process.
pub trait UserMemory: Send + Sync {
    /// Copies from `address` into `buffer`.
    ///
    /// # Errors
    /// `Fault` when any byte of the range cannot be read.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Fault>;

    /// Copies `bytes` to `address`.
    ///
    /// # Errors
    /// `Fault` when any byte of the range cannot be written; a prefix may have been.
    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Fault>;

    /// Whether every byte of the range can be written, without writing.
    fn is_writable(&self, address: u64, length: u64) -> bool;
}

/// An access to memory that is not there or does not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;
