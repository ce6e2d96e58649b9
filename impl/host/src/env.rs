//! The world outside the kernel half, as an operating system gives it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lcs::env::{AuditUnavailable, Env, Task};

use crate::clock::Clock;
use crate::executor::Executor;
use crate::jitter::Jitter;
use crate::source::operating_system_random;
use crate::timers::Timers;

/// Audit events kept for a reader; beyond that the oldest is lost.
const AUDIT_RECORDS_MAX: usize = 4096;

/// Real time, real threads, real randomness. Clones share their threads, which end with the last
/// clone; tasks that have not ended by then are not run any further.
#[derive(Clone, Debug)]
pub struct ThreadEnv {
    threads: Arc<Threads>,
    clock: Clock,
    audit: Arc<Mutex<AuditTrail>>,
    jitter: Arc<Jitter>,
}

/// Audit events on their way to a reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditTrail {
    /// Names and payloads, the oldest first.
    pub records: VecDeque<(String, Vec<u8>)>,
    /// How many older ones nobody has read in time.
    pub lost_count: u64,
}

#[derive(Debug)]
struct Threads {
    timers: Arc<Timers>,
    executor: Arc<Executor>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.timers.stop();
        self.executor.stop();
    }
}

impl ThreadEnv {
    /// An environment with `workers` threads for tasks (at least one) and one for timers.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(workers: usize) -> io::Result<ThreadEnv> {
        let clock = Clock::new();
        let executor = Executor::start(workers.max(1))?;
        let timers = Timers::start(clock).inspect_err(|_| executor.stop())?;
        let threads = Arc::new(Threads { timers, executor });
        Ok(ThreadEnv { threads, clock, audit: Arc::default(), jitter: Arc::default() })
    }

    /// From now on threads stop now and then where the kernel half lets others run, or, with `false`, no
    /// longer: the order that a system gives by itself hardly ever changes.
    pub fn set_jitter(&self, is_on: bool) {
        self.jitter.set(is_on);
    }

    /// The audit events since the last time of asking.
    #[must_use]
    pub fn take_audit(&self) -> AuditTrail {
        std::mem::take(&mut *self.trail())
    }

    fn trail(&self) -> MutexGuard<'_, AuditTrail> {
        self.audit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Env for ThreadEnv {
    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: u64) -> impl Future<Output = ()> + Send + 'static {
        self.threads.timers.sleep_until(deadline)
    }

    fn spawn(&self, task: Task) {
        self.threads.executor.spawn(task);
    }

    fn random(&self, bytes: &mut [u8]) {
        operating_system_random(bytes);
    }

    /// Other threads run in any case. With jitter this one waits for them now and then.
    async fn yield_point(&self, _label: &'static str) {
        self.jitter.pause();
    }

    fn emit_audit(&self, event: &str, payload: &[u8]) -> Result<(), AuditUnavailable> {
        let mut trail = self.trail();
        if trail.records.len() >= AUDIT_RECORDS_MAX {
            trail.records.pop_front();
            trail.lost_count += 1;
        }
        trail.records.push_back((event.to_owned(), payload.to_vec()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_audit_events_are_lost_and_counted_when_nobody_reads_them() {
        let env = ThreadEnv::new(1).expect("threads");
        for number in 0..=AUDIT_RECORDS_MAX {
            assert_eq!(env.emit_audit(&number.to_string(), &[]), Ok(()));
        }
        let trail = env.take_audit();
        assert_eq!((trail.records.len(), trail.lost_count), (AUDIT_RECORDS_MAX, 1));
        assert_eq!(trail.records.front().map(|(name, _)| name.as_str()), Some("1"));
        assert_eq!(env.take_audit(), AuditTrail::default());
    }
}
