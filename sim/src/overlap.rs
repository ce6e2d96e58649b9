//! The driver of calls that overlap: strands beside the tasks of the kernel and the sources, one step of
//! one of them at a time, as a scheduler says.
//!
//! A strand is a future of the driver's own, and no task of the simulator's. What is going on between two
//! steps is what waits in the turnstile, so that a schedule is a list of picks among that.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use conformance::schedule::{Scheduler, TaskId};
use conformance::target::Overlapping;
use seam::CallMemory;

use crate::turnstile::{StrandPlace, Turnstile};
use crate::world::World;

/// Most steps that overlapping calls may take.
const STEPS_MAX: u32 = 1_000_000;
/// How long nobody goes on before nobody ever will: longer than whatever the kernel half may wait for.
pub(crate) const QUIET_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A strand: nothing once it is at its end.
type Strand<'a> = Option<Pin<Box<dyn Future<Output = ()> + 'a>>>;

/// Makes the calls of all strands, to the end of everything that they cause; or as far as they come, if some never
/// return.
///
/// # Errors
/// In words, if all return and what they have caused does not end.
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
    let (world, calls, deaths) = (&*world, RefCell::new(calls), Cell::new(world.deaths().len()));
    let strand = |(index, (process, token))| -> Strand<'_> {
        let (calls, turnstile, deaths) = (&calls, &turnstile, &deaths);
        Some(Box::pin(async move {
            loop {
                turnstile.yield_point().await;
                tell_deaths(world, &mut **calls.borrow_mut(), deaths);
                let begun = calls.borrow_mut().begin(index, world.time());
                let Some((call, memory)) = begun else { return };
                let memory = CallMemory::new(memory);
                let result = world.plain_call(process, &token, call, &memory).await;
                tell_deaths(world, &mut **calls.borrow_mut(), deaths);
                calls.borrow_mut().end(index, world.time(), result, memory.into_inner());
            }
        }))
    };
    turnstile.close();
    let mut driver = Driver {
        strands: callers.into_iter().enumerate().map(strand).collect(),
        places: Vec::new(),
        turnstile: &turnstile,
    };
    let have_ended = driver.drive(scheduler).await;
    let have_returned = driver.strands.iter().all(Option::is_none);
    drop(driver);
    tell_deaths(world, &mut **calls.borrow_mut(), &deaths);
    turnstile.open();
    match (have_ended, have_returned) {
        (true, _) => {
            world.settled().await;
            tell_deaths(world, &mut **calls.borrow_mut(), &deaths);
        }
        // What hangs may never be at rest.
        (false, false) => {}
        (false, true) => {
            return Err(format!(
                "what overlapping calls cause has not ended after {STEPS_MAX} steps"
            ));
        }
    }
    Ok(())
}

/// Tells of the sources that have died since the last time; `told` counts all of them.
fn tell_deaths(world: &World, calls: &mut dyn Overlapping, told: &Cell<usize>) {
    let deaths = world.deaths();
    deaths.iter().skip(told.replace(deaths.len())).for_each(|source| calls.died(*source));
}

struct Driver<'a> {
    strands: Vec<Strand<'a>>,
    places: Vec<StrandPlace>,
    turnstile: &'a Turnstile,
}

impl Driver<'_> {
    /// Has everybody go on. Returns whether the strands have come to their ends.
    async fn drive(&mut self, scheduler: &mut dyn Scheduler) -> bool {
        let ids = (0..self.strands.len() as u32).map(TaskId);
        self.places = ids.map(|id| self.turnstile.strand(id)).collect();
        for _ in 0..STEPS_MAX {
            let runnable = self.turnstile.runnable();
            let next = match runnable[..] {
                [] if self.strands.iter().all(Option::is_none) => return true,
                [] => match madsim::time::timeout(QUIET_MAX, self.turnstile.arrival()).await {
                    Ok(()) => continue,
                    Err(_) => return false,
                },
                [only] => only,
                _ => runnable[scheduler.choose(&runnable).min(runnable.len() - 1)],
            };
            self.step(next).await;
        }
        false
    }

    /// Has somebody go on as far as it can.
    async fn step(&mut self, id: TaskId) {
        let Some(strand) = self.strands.get_mut(id.0 as usize) else {
            return self.turnstile.let_through(id).await;
        };
        self.turnstile.take_strand(id);
        let Some(future) = strand else { return };
        let waker = self.places[id.0 as usize].waker();
        if let Poll::Ready(()) = future.as_mut().poll(&mut Context::from_waker(waker)) {
            *strand = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use conformance::schedule::Schedule;

    use super::*;

    /// Whether these strands come to their ends.
    fn have_ended(strands: Vec<Strand<'_>>) -> bool {
        madsim::runtime::Runtime::new().block_on(async {
            let turnstile = Turnstile::default();
            turnstile.close();
            let mut driver = Driver { strands, places: Vec::new(), turnstile: &turnstile };
            driver.drive(&mut *Schedule::RoundRobin.scheduler()).await
        })
    }

    fn strand<'a>(future: impl Future<Output = ()> + 'a) -> Strand<'a> {
        Some(Box::pin(future))
    }

    #[test]
    fn strands_that_wait_for_a_time_come_to_their_ends() {
        let waits = || strand(async { madsim::time::sleep(QUIET_MAX / 2).await });
        assert!(have_ended(vec![waits(), waits()]));
    }

    #[test]
    fn a_strand_that_nobody_wakes_is_given_up() {
        let ends = strand(std::future::ready(()));
        assert!(!have_ended(vec![ends, strand(std::future::pending())]));
    }
}
