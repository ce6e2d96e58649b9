//! The world outside the kernel half, as an operating system gives it.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread;

use lcs::env::{Env, Task};

use crate::clock::Clock;
use crate::executor::Executor;
use crate::source::operating_system_random;
use crate::timers::Timers;

/// Real time, real threads, real randomness. Clones share their threads, which end with the last
/// clone; tasks that have not ended by then are not run any further.
#[derive(Clone, Debug)]
pub struct ThreadEnv {
    threads: Arc<Threads>,
    clock: Clock,
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
        Ok(ThreadEnv { threads: Arc::new(Threads { timers, executor }), clock })
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

    /// Other threads run in any case; this one lets them go first.
    async fn yield_point(&self, _label: &'static str) {
        thread::yield_now();
    }
}
