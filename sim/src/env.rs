//! Time, tasks and randomness of the simulated machine.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lcs::env::{AuditUnavailable, Env, Task};
use madsim::runtime::NodeHandle;
use madsim::time::{TimeHandle, sleep};

use crate::turnstile::Turnstile;

/// When every world begins: 2026-01-01, in Unix nanoseconds.
pub(crate) const EPOCH: u64 = 1_767_225_600_000_000_000;

/// The virtual clock of a world.
#[derive(Clone)]
pub struct Clock {
    /// The simulator's own; asking it through the interposed libc costs several times as much.
    time: TimeHandle,
    started: Duration,
}

impl Clock {
    /// A clock that reads the epoch now.
    pub fn start() -> Clock {
        let time = TimeHandle::current();
        let started = time.elapsed();
        Clock { time, started }
    }

    /// Unix nanoseconds.
    pub fn now(&self) -> u64 {
        EPOCH + (self.time.elapsed() - self.started).as_nanos() as u64
    }
}

/// Random bytes that follow from a seed (SplitMix64; Steele, Lea and Flood 2014).
#[derive(Clone)]
pub struct Randomness(Arc<Mutex<u64>>);

impl Randomness {
    /// The stream of a seed.
    pub fn of_seed(seed: u64) -> Randomness {
        Randomness(Arc::new(Mutex::new(seed)))
    }

    /// Fills `bytes`.
    pub fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = *state;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// An audit event: its name, and its payload of one msgpack map.
pub type AuditRecord = (String, Vec<u8>);

/// The audit events of a machine that nobody has looked at yet.
#[derive(Clone, Default)]
pub struct AuditLog(Arc<Mutex<Vec<AuditRecord>>>);

impl AuditLog {
    /// Takes them out, in the order of their emission.
    pub fn take(&self) -> Vec<AuditRecord> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, event: &str, payload: &[u8]) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.push((event.to_owned(), payload.to_vec()));
    }
}

/// The `Env` of a kernel on a node of the simulator.
#[derive(Clone)]
pub struct SimEnv {
    clock: Clock,
    randomness: Randomness,
    node: NodeHandle,
    audit: AuditLog,
    turnstile: Turnstile,
}

impl SimEnv {
    /// The environment of the kernel on `node`.
    pub fn new(clock: Clock, randomness: Randomness, node: NodeHandle) -> SimEnv {
        let (audit, turnstile) = (AuditLog::default(), Turnstile::default());
        SimEnv { clock, randomness, node, audit, turnstile }
    }

    /// The environment with this log in place of its own.
    #[must_use]
    pub fn with_audit(self, audit: AuditLog) -> SimEnv {
        SimEnv { audit, ..self }
    }

    /// The environment with this turnstile in place of its own.
    #[must_use]
    pub(crate) fn with_turnstile(self, turnstile: Turnstile) -> SimEnv {
        SimEnv { turnstile, ..self }
    }
}

impl Env for SimEnv {
    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: u64) -> impl Future<Output = ()> + Send + 'static {
        let left = Duration::from_nanos(deadline.saturating_sub(self.clock.now()));
        async move {
            if !left.is_zero() {
                sleep(left).await;
            }
        }
    }

    fn spawn(&self, task: Task) {
        drop(self.node.spawn(self.turnstile.task(task)));
    }

    fn random(&self, bytes: &mut [u8]) {
        self.randomness.fill(bytes);
    }

    fn yield_point(&self, _label: &'static str) -> impl Future<Output = ()> + Send {
        self.turnstile.yield_point()
    }

    fn emit_audit(&self, event: &str, payload: &[u8]) -> Result<(), AuditUnavailable> {
        self.audit.push(event, payload);
        Ok(())
    }
}
