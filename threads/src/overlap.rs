//! Calls that overlap: each strand on a thread of its own, from one moment on.
//!
//! Who goes on is the system's business here and no scheduler's, so that nothing of it is recorded. Threads pause
//! at random where the kernel half lets others run: without that the order is nearly always the same.

use std::pin::pin;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use conformance::target::Overlapping;
use futures::executor::block_on;
use futures::future::{Either, select};
use lcs::env::Env;
use seam::{CallMemory, lock};

use crate::machine::Machine;

/// How long a call may take before it is taken to never return: longer than a request may be waited for
/// (PSD-005 §8.1), and than a plan takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// Makes the calls of all strands, to the end of everything that they cause; or as far as they come, if some never
/// return.
///
/// # Errors
/// In words, if the system gives no threads, if one of them panics, or if all calls return and what they have
/// caused does not end.
pub async fn call_all(machine: &mut Machine, calls: &mut dyn Overlapping) -> Result<(), String> {
    let callers: Vec<_> = calls
        .callers()
        .into_iter()
        .map(|(process, token)| (process, machine.token(&token)))
        .collect();
    machine.set_jitter(true);
    let (machine, barrier, calls) = (&*machine, Barrier::new(callers.len()), Mutex::new(calls));
    let made = thread::scope(|scope| {
        let strand = |(index, (process, token))| {
            let (barrier, calls) = (&barrier, &calls);
            move || {
                barrier.wait();
                loop {
                    let begun = lock(calls).begin(index, machine.time());
                    let Some((call, memory)) = begun else { return true };
                    let memory = CallMemory::new(memory);
                    let made = machine.plain_call(process, &token, call, &memory);
                    let made = block_on(in_time(machine.env(), PATIENCE, made));
                    let Some(result) = made else { return false };
                    lock(calls).end(index, machine.time(), result, memory.into_inner());
                }
            }
        };
        let threads: Vec<_> =
            callers.into_iter().enumerate().map(strand).map(|run| scope.spawn(run)).collect();
        let ended: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
        let panicked = ended.iter().filter(|ended| ended.is_err()).count();
        if panicked > 0 {
            return Err(format!("{panicked} overlapping calls panicked"));
        }
        Ok(ended.into_iter().flatten().all(|has_returned| has_returned))
    });
    let is_at_rest = in_time(machine.env(), PATIENCE, machine.settled()).await.is_some();
    machine.set_jitter(false);
    match (made?, is_at_rest) {
        (true, false) => {
            Err(format!("what overlapping calls cause has not ended after {PATIENCE:?}"))
        }
        // What hangs may never be at rest.
        _ => Ok(()),
    }
}

/// What a future comes to, unless it takes longer than this.
async fn in_time<T>(
    env: &impl Env,
    patience: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let deadline = env.now().saturating_add(u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX));
    match select(pin!(future), pin!(env.sleep_until(deadline))).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use host::ThreadEnv;

    use super::*;

    #[test]
    fn what_never_ends_is_given_up() {
        let env = ThreadEnv::new(1).expect("threads");
        let given_up = in_time(&env, Duration::from_millis(20), pending::<()>());
        assert_eq!(block_on(given_up), None);
    }

    #[test]
    fn what_ends_in_time_is_waited_for() {
        let env = ThreadEnv::new(1).expect("threads");
        let soon = env.sleep_until(env.now() + 20_000_000);
        assert_eq!(block_on(in_time(&env, PATIENCE, soon)), Some(()));
    }
}
