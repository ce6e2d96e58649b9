//! Tasks on a few worker threads.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Wake, Waker};
use std::thread;

use lcs::env::Task;

/// The jobs that are ready to go on.
#[derive(Debug, Default)]
pub(crate) struct Executor {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    ready: VecDeque<Arc<Job>>,
    stopped: bool,
}

/// A task and whether it is in the queue. One that waits is kept by whoever will wake it.
struct Job {
    task: Mutex<Option<Task>>,
    queued: AtomicBool,
    executor: Weak<Executor>,
}

impl fmt::Debug for Job {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Job").field("queued", &self.queued).finish_non_exhaustive()
    }
}

impl Executor {
    /// Starts `workers` threads. They end with `stop`.
    pub(crate) fn start(workers: usize) -> io::Result<Arc<Executor>> {
        let executor = Arc::new(Executor::default());
        for number in 0..workers {
            let running = Arc::clone(&executor);
            let name = format!("worker {number}");
            let started = thread::Builder::new().name(name).spawn(move || running.run());
            if let Err(error) = started {
                executor.stop();
                return Err(error);
            }
        }
        Ok(executor)
    }

    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    pub(crate) fn spawn(self: &Arc<Executor>, task: Task) {
        let job = Job {
            task: Mutex::new(Some(task)),
            queued: AtomicBool::new(true),
            executor: Arc::downgrade(self),
        };
        self.push(Arc::new(job));
    }

    fn push(&self, job: Arc<Job>) {
        self.lock().ready.push_back(job);
        self.changed.notify_one();
    }

    fn run(&self) {
        while let Some(job) = self.next() {
            // A task that panics is over; its message has been printed, and the worker goes on.
            let _ = catch_unwind(AssertUnwindSafe(|| job.advance()));
        }
    }

    fn next(&self) -> Option<Arc<Job>> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return None;
            }
            if let Some(job) = queue.ready.pop_front() {
                return Some(job);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn advance(self: &Arc<Job>) {
        // From here on a wake puts the job into the queue again, and another worker then waits
        // for this one at the lock.
        self.queued.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(self));
        let mut slot = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out while it runs: a task that panics is not polled again.
        if let Some(mut task) = slot.take()
            && task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        {
            *slot = Some(task);
        }
    }
}

impl Wake for Job {
    fn wake(self: Arc<Job>) {
        if let Some(executor) = self.executor.upgrade()
            && !self.queued.swap(true, Ordering::AcqRel)
        {
            executor.push(self);
        }
    }
}
