//! The turnstile: who of the tasks of a world goes on, while calls overlap.
//!
//! Every task of the kernel and of the sources is wrapped ([`Turnstile::task`]), and so is every strand of
//! calls. While the turnstile is open they run as the simulator has them run. While it is closed a task
//! that could go on waits here instead, and is let through for one poll at a time, when the driver of the
//! overlapping calls says so: at every yield point of the kernel half, when a lock or an answer comes that
//! it waits for, before a source carries a request out and before the kernel half gets a response. So the
//! simulator's own pick decides nothing, and the driver's picks decide everything (design §4).
//!
//! Knows no schedule: it says who could go on, and lets one through.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use conformance::plan::STRANDS_MAX;
use conformance::schedule::TaskId;

use seam::lock;

/// A turnstile. Clones are the same one.
#[derive(Clone, Default)]
pub struct Turnstile(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_closed: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Tasks so far. The first numbers are those of strands.
    tasks: u32,
    /// Who could go on, and how the simulator is told that it may. Strands are no tasks of the
    /// simulator's, and a task that has just begun goes on by itself.
    waiting: BTreeMap<TaskId, Option<Waker>>,
    /// Who has been let through and has not gone on yet.
    admitted: Option<TaskId>,
    driver: Option<Waker>,
}

impl Turnstile {
    /// The task, which goes through the turnstile from now on.
    pub fn task<F>(&self, future: F) -> Passing<F> {
        let id = {
            let mut inner = lock(&self.0.inner);
            inner.tasks += 1;
            TaskId(STRANDS_MAX as u32 + inner.tasks)
        };
        if self.is_closed() {
            self.0.arrive(id, None);
        }
        let gate = Arc::new(Gate::new(&self.0, id));
        Passing { waker: Waker::from(Arc::clone(&gate)), gate, future: Box::pin(future) }
    }

    /// A strand, which could go on from now on, until its place is dropped. It is polled by the driver.
    pub fn strand(&self, id: TaskId) -> StrandPlace {
        self.0.arrive(id, None);
        let gate = Arc::new(Gate::new(&self.0, id));
        StrandPlace { waker: Waker::from(Arc::clone(&gate)), gate }
    }

    /// A place where others may go on: no place at all while the turnstile is open.
    pub fn yield_point(&self) -> YieldPoint {
        YieldPoint { is_ahead: self.is_closed() }
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed.load(Ordering::Relaxed)
    }

    /// Closes it. No task may be running, or about to.
    pub fn close(&self) {
        self.0.is_closed.store(true, Ordering::Relaxed);
    }

    /// Opens it: whoever waits goes on.
    pub fn open(&self) {
        self.0.is_closed.store(false, Ordering::Relaxed);
        let waiting = {
            let mut inner = lock(&self.0.inner);
            (inner.admitted, inner.driver) = (None, None);
            std::mem::take(&mut inner.waiting)
        };
        waiting.into_values().flatten().for_each(Waker::wake);
    }

    /// Who could go on, in ascending order.
    pub fn runnable(&self) -> Vec<TaskId> {
        lock(&self.0.inner).waiting.keys().copied().collect()
    }

    /// Takes a strand from among those that could go on, to be polled.
    pub fn take_strand(&self, id: TaskId) {
        lock(&self.0.inner).waiting.remove(&id);
    }

    /// Lets a task through and waits until it has gone on as far as it can.
    pub async fn let_through(&self, id: TaskId) {
        let waker = {
            let mut inner = lock(&self.0.inner);
            inner.admitted = Some(id);
            inner.waiting.remove(&id).flatten()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        self.until(|inner| inner.admitted.is_none()).await;
    }

    /// Waits until somebody could go on.
    pub async fn arrival(&self) {
        self.until(|inner| !inner.waiting.is_empty()).await;
    }

    /// Waits in the driver.
    async fn until(&self, is_so: impl Fn(&Inner) -> bool) {
        poll_fn(|context| {
            let mut inner = lock(&self.0.inner);
            if is_so(&inner) {
                return Poll::Ready(());
            }
            inner.driver = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Shared {
    /// A task could go on.
    fn arrive(&self, id: TaskId, waker: Option<Waker>) {
        self.change(|inner| {
            let known = inner.waiting.entry(id).or_default();
            *known = waker.or(known.take());
        });
    }

    /// A task that was let through has gone on.
    fn went_on(&self, id: TaskId) {
        self.change(|inner| {
            if inner.admitted == Some(id) {
                inner.admitted = None;
            }
        });
    }

    /// A task is gone.
    fn leave(&self, id: TaskId) {
        self.change(|inner| {
            inner.waiting.remove(&id);
            if inner.admitted == Some(id) {
                inner.admitted = None;
            }
        });
    }

    /// Changes something, which the driver then looks at.
    fn change(&self, how: impl FnOnce(&mut Inner)) {
        let driver = {
            let mut inner = lock(&self.inner);
            how(&mut inner);
            inner.driver.take()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

/// A task's way through the turnstile: what wakes the task comes here.
struct Gate {
    shared: Arc<Shared>,
    id: TaskId,
    /// The simulator's own way to wake it.
    outer: Mutex<Option<Waker>>,
    /// Whether the task is at its end. Who holds a waker may wake it even then.
    is_gone: AtomicBool,
}

impl Gate {
    fn new(shared: &Arc<Shared>, id: TaskId) -> Gate {
        let (outer, is_gone) = (Mutex::default(), AtomicBool::new(false));
        Gate { shared: Arc::clone(shared), id, outer, is_gone }
    }

    fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::Relaxed)
    }

    /// Whose it is could not go on any more, whoever wakes it.
    fn end(&self) {
        self.is_gone.store(true, Ordering::Relaxed);
        if self.is_closed() {
            self.shared.leave(self.id);
        }
    }
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_gone.load(Ordering::Relaxed) {
            return;
        }
        let outer = lock(&self.outer).clone();
        if self.is_closed() {
            self.shared.arrive(self.id, outer);
        } else if let Some(outer) = outer {
            outer.wake();
        }
    }
}

/// The place of a strand in the turnstile. Strands of later blocks have the same numbers.
pub struct StrandPlace {
    gate: Arc<Gate>,
    waker: Waker,
}

impl StrandPlace {
    /// What the strand is polled with.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }
}

impl Drop for StrandPlace {
    fn drop(&mut self) {
        self.gate.end();
    }
}

/// A task that goes through the turnstile.
pub struct Passing<F> {
    gate: Arc<Gate>,
    waker: Waker,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Passing<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Passing { gate, waker, future } = self.get_mut();
        {
            let mut outer = lock(&gate.outer);
            if !outer.as_ref().is_some_and(|outer| outer.will_wake(context.waker())) {
                *outer = Some(context.waker().clone());
            }
        }
        if gate.is_closed() && lock(&gate.shared.inner).admitted != Some(gate.id) {
            gate.shared.arrive(gate.id, Some(context.waker().clone()));
            return Poll::Pending;
        }
        let polled = future.as_mut().poll(&mut Context::from_waker(waker));
        if gate.is_closed() {
            gate.shared.went_on(gate.id);
        }
        polled
    }
}

impl<F> Drop for Passing<F> {
    fn drop(&mut self) {
        self.gate.end();
    }
}

/// A place where others may go on.
pub struct YieldPoint {
    is_ahead: bool,
}

impl Future for YieldPoint {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !std::mem::take(&mut self.is_ahead) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_woken_at_its_end_could_not_go_on() {
        let turnstile = Turnstile::default();
        let kept = Arc::new(Mutex::new(None));
        let keeper = Arc::clone(&kept);
        let mut task = turnstile.task(poll_fn(move |context| {
            *lock(&keeper) = Some(context.waker().clone());
            Poll::Ready(())
        }));
        let polled = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_ready());
        drop(task);
        turnstile.close();
        lock(&kept).take().expect("the task was polled").wake();
        assert_eq!(turnstile.runnable(), []);
    }

    #[test]
    fn a_strand_of_a_former_block_is_nobody_in_the_next() {
        let turnstile = Turnstile::default();
        turnstile.close();
        let place = turnstile.strand(TaskId(2));
        let kept = place.waker().clone();
        assert_eq!(turnstile.runnable(), [TaskId(2)]);
        drop(place);
        turnstile.open();
        turnstile.close();
        kept.wake();
        assert_eq!(turnstile.runnable(), []);
    }
}
