//! Panics as text: a harness that panics says so in its verdict instead of dying of it.
//!
//! Knows nothing of plans or targets but that a [`Runner`] runs the ones on the others.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

use crate::campaign::Runner;
use crate::lockstep::{Options, Run, Verdict};
use crate::plan::Plan;

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes panics be remembered with their places instead of printed, from here on. Whoever calls
/// it has to end in [`caught`] everything that may panic, or the panic is silent.
pub fn remember() {
    panic::set_hook(Box::new(|info| {
        LAST_PANIC.with(|last| *last.borrow_mut() = info.to_string().replace('\n', " "));
    }));
}

/// Does something that may panic.
///
/// # Errors
/// The message of the panic; its place too if [`remember`] was called before.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let remembered = LAST_PANIC.with(|last| last.take());
        if remembered.is_empty() { format!("panicked: {}", message(&*payload)) } else { remembered }
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

/// A runner whose panics are verdicts: faults of the harness.
#[derive(Clone, Copy, Debug)]
pub struct Guarded<R>(pub R);

impl<R: Runner> Runner for Guarded<R> {
    fn run(&self, plan: &Plan, seed: u64, options: Options) -> Run {
        caught(|| self.0.run(plan, seed, options))
            .unwrap_or_else(|panic| Run::stopped(Verdict::HarnessFault(panic)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(caught(|| 1), Ok(1));
        let formatted = caught(|| panic!("nobody expects {}", 7));
        assert_eq!(formatted, Err::<(), _>("panicked: nobody expects 7".to_owned()));
        assert_eq!(caught(|| panic!("plain")), Err::<(), _>("panicked: plain".to_owned()));
    }

    #[test]
    fn a_guarded_runner_panics_into_its_verdict() {
        struct Panics;
        impl Runner for Panics {
            fn run(&self, _: &Plan, seed: u64, _: Options) -> Run {
                panic!("seed {seed} is cursed")
            }
        }
        let run = Guarded(Panics).run(&Plan::default(), 3, Options::default());
        let Verdict::HarnessFault(fault) = run.verdict else { panic!("{:?}", run.verdict) };
        assert_eq!(fault, "panicked: seed 3 is cursed");
    }
}
