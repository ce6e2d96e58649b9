//! The driver of calls that overlap: strands beside the tasks of the kernel and the sources, one step of
//! one of them at a time, as a scheduler says.
//!
//! A strand is a future of the driver's own, and no task of the simulator's. What is going on between two
//! steps is what waits in the turnstile, so that a schedule is a list of picks among that.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use conformance::schedule::{Scheduler, TaskId};
use conformance::target::Overlapping;
use seam::CallMemory;

use crate::turnstile::Turnstile;
use crate::world::World;

/// Most steps that overlapping calls may take.
const STEPS_MAX: u32 = 1_000_000;

/// A strand: nothing once it is at its end.
type Strand<'a> = Option<Pin<Box<dyn Future<Output = ()> + 'a>>>;

/// Makes the calls of all strands, to the end of everything that they cause.
///
/// # Errors
/// In words, if that does not end.
pub async fn call_all(
    world: &mut World,
    calls: &mut dyn Overlapping,
    scheduler: &mut dyn Scheduler,
) -> Result<(), String> {
    // Whatever the simulator was about to let run runs before.
    madsim::time::sleep(Duration::from_millis(1)).await;
    let callers: Vec<_> = calls
        .callers()
        .into_iter()
        .map(|(process, token)| (process, world.token(&token)))
        .collect();
    let turnstile = world.turnstile().clone();
    let (world, calls) = (&*world, RefCell::new(calls));
    let strand = |(index, (process, token))| -> Strand<'_> {
        let (calls, turnstile) = (&calls, &turnstile);
        Some(Box::pin(async move {
            loop {
                turnstile.yield_point().await;
                let begun = calls.borrow_mut().begin(index, world.time());
                let Some((call, memory)) = begun else { return };
                let memory = CallMemory::new(memory);
                let result = world.plain_call(process, &token, call, &memory).await;
                calls.borrow_mut().end(index, world.time(), result, memory.into_inner());
            }
        }))
    };
    turnstile.close();
    let mut driver = Driver {
        strands: callers.into_iter().enumerate().map(strand).collect(),
        wakers: Vec::new(),
        turnstile: &turnstile,
    };
    let driven = driver.drive(scheduler).await;
    drop(driver);
    turnstile.open();
    world.settled().await;
    driven
}

struct Driver<'a> {
    strands: Vec<Strand<'a>>,
    wakers: Vec<Waker>,
    turnstile: &'a Turnstile,
}

impl Driver<'_> {
    async fn drive(&mut self, scheduler: &mut dyn Scheduler) -> Result<(), String> {
        let ids = (0..self.strands.len() as u32).map(TaskId);
        self.wakers = ids.map(|id| self.turnstile.strand(id)).collect();
        for _ in 0..STEPS_MAX {
            let runnable = self.turnstile.runnable();
            let next = match runnable[..] {
                [] if self.strands.iter().all(Option::is_none) => return Ok(()),
                [] => {
                    self.turnstile.arrival().await;
                    continue;
                }
                [only] => only,
                _ => runnable[scheduler.choose(&runnable).min(runnable.len() - 1)],
            };
            self.step(next).await;
        }
        Err(format!("calls that overlap have not ended after {STEPS_MAX} steps"))
    }

    /// Has somebody go on as far as it can.
    async fn step(&mut self, id: TaskId) {
        let Some(strand) = self.strands.get_mut(id.0 as usize) else {
            return self.turnstile.let_through(id).await;
        };
        self.turnstile.take_strand(id);
        let Some(future) = strand else { return };
        let waker = &self.wakers[id.0 as usize];
        if let Poll::Ready(()) = future.as_mut().poll(&mut Context::from_waker(waker)) {
            *strand = None;
        }
    }
}
