//! Calls that overlap: each strand on a thread of its own, from one moment on.
//!
//! Who goes on is the system's business here and no scheduler's, so that nothing of it is recorded. Threads pause
//! at random where the kernel half lets others run: without that the order is nearly always the same.

use std::sync::{Barrier, Mutex};
use std::thread;

use conformance::target::Overlapping;
use futures::executor::block_on;
use seam::{CallMemory, lock};

use crate::machine::Machine;

/// Makes the calls of all strands, to the end of everything that they cause.
///
/// # Errors
/// In words, if the system gives no threads or one of them panics.
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
                    let Some((call, memory)) = begun else { return };
                    let memory = CallMemory::new(memory);
                    let result = block_on(machine.plain_call(process, &token, call, &memory));
                    lock(calls).end(index, machine.time(), result, memory.into_inner());
                }
            }
        };
        let threads: Vec<_> =
            callers.into_iter().enumerate().map(strand).map(|run| scope.spawn(run)).collect();
        let ended = threads.into_iter().map(thread::ScopedJoinHandle::join);
        let panicked = ended.filter(Result::is_err).count();
        if panicked > 0 { Err(format!("{panicked} overlapping calls panicked")) } else { Ok(()) }
    });
    machine.settled().await;
    machine.set_jitter(false);
    made
}
