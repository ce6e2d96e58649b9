//! Timers: one thread that sleeps until the next deadline, on a condition variable.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::clock::Clock;

/// The longest single sleep; a later deadline takes several.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// The deadlines that tasks wait for.
#[derive(Debug)]
pub(crate) struct Timers {
    clock: Clock,
    next_timer: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By deadline, then by timer.
    waiting: BTreeMap<(u64, u64), Waker>,
    /// When the thread looks again by itself; 0 while it is awake.
    next_look: u64,
    stopped: bool,
}

impl Timers {
    /// Starts the timer thread. It ends with `stop`.
    pub(crate) fn start(clock: Clock) -> io::Result<Arc<Timers>> {
        let timers = Timers {
            clock,
            next_timer: AtomicU64::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        let timers = Arc::new(timers);
        let running = Arc::clone(&timers);
        thread::Builder::new().name("timers".to_owned()).spawn(move || running.run())?;
        Ok(timers)
    }

    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Completes at `deadline`, in Unix nanoseconds.
    pub(crate) fn sleep_until(self: &Arc<Timers>, deadline: u64) -> Sleep {
        let timer = self.next_timer.fetch_add(1, Ordering::Relaxed);
        Sleep { key: (deadline, timer), timers: Arc::clone(self), is_waiting: false }
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.stopped {
            let now = self.clock.now();
            let later = state.waiting.split_off(&(now, u64::MAX));
            let due = std::mem::replace(&mut state.waiting, later);
            if due.is_empty() {
                let next = state.waiting.keys().next().map_or(u64::MAX, |(deadline, _)| *deadline);
                let pause = Duration::from_nanos(next.saturating_sub(now)).min(SLEEP_MAX);
                state.next_look = next;
                state = self
                    .changed
                    .wait_timeout(state, pause)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                state.next_look = 0;
            } else {
                drop(state);
                due.into_values().for_each(Waker::wake);
                state = self.lock();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait for a deadline.
#[derive(Debug)]
pub(crate) struct Sleep {
    key: (u64, u64),
    timers: Arc<Timers>,
    /// Whether the thread may know of it. Most are never waited for: what they are the deadline of is
    /// there already.
    is_waiting: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.is_waiting = true;
        let mut state = self.timers.lock();
        // Asked under the lock: a deadline that passes now is found by the thread.
        if self.timers.clock.now() >= self.key.0 {
            state.waiting.remove(&self.key);
            return Poll::Ready(());
        }
        state.waiting.insert(self.key, context.waker().clone());
        // Most deadlines are never reached: the thread is not woken to hear of a later one than it waits
        // for, even where that one is gone by now.
        let is_earlier = self.key.0 < state.next_look;
        drop(state);
        if is_earlier {
            self.timers.changed.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if self.is_waiting {
            self.timers.lock().waiting.remove(&self.key);
        }
    }
}
