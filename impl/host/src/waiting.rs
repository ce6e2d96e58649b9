//! Waiting for a future on the calling thread, looking for a while before the thread sleeps.
//!
//! Whoever asks one thing after another would else wake its partner for each, and be woken for each: on two
//! processors a wake takes longer than most answers do.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a thread looks before it sleeps: about twice what it takes to wake one.
const LOOK: Duration = Duration::from_micros(250);

/// Waits for `future` on the calling thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waiter = Arc::new(Waiter {
        thread: thread::current(),
        woken: AtomicBool::new(false),
        asleep: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&waiter));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        waiter.wait();
    }
}

/// A thread that waits, and whether it has to be woken.
struct Waiter {
    thread: Thread,
    woken: AtomicBool,
    asleep: AtomicBool,
}

impl Waiter {
    /// Returns once it was woken, and forgets that.
    fn wait(&self) {
        let began = Instant::now();
        while !self.woken.swap(false, Ordering::SeqCst) {
            if began.elapsed() < LOOK {
                thread::yield_now();
                continue;
            }
            // Said before the last look: whoever wakes it afterwards sees that it sleeps.
            self.asleep.store(true, Ordering::SeqCst);
            if !self.woken.load(Ordering::SeqCst) {
                thread::park();
            }
            self.asleep.store(false, Ordering::SeqCst);
        }
    }
}

impl Wake for Waiter {
    fn wake(self: Arc<Waiter>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Waiter>) {
        self.woken.store(true, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}
