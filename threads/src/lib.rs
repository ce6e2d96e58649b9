//! The world on real threads: a kernel half in `impl/host`, sources that are processes on real files,
//! and calls that really overlap, as a target for plans.
//!
//! It shows what awaits hide: here a task is preempted anywhere, and a source dies in the middle of what it
//! writes. In return a run cannot be replayed, time is real, and disks and power do what they do: which
//! faults of a plan can happen here, `conformance::generate::on_threads` says.

mod connection;
mod devices;
mod faults;
mod machine;
mod overlap;
mod program;
mod registration;
mod source;

pub use machine::Machine;
pub use program::SourceProgram;

use conformance::campaign::Runner;
use conformance::lockstep::{self, Options, Run, Verdict};
use conformance::plan::Plan;
use futures::executor::block_on;

/// Runs plans on machines of their own.
#[derive(Clone, Debug)]
pub struct ThreadsRunner {
    /// What a source runs.
    pub program: SourceProgram,
}

impl Runner for ThreadsRunner {
    fn run(&self, plan: &Plan, _seed: u64, options: Options) -> Run {
        let mut machine = match Machine::new(self.program.clone()) {
            Ok(machine) => machine,
            Err(problem) => return Run::stopped(Verdict::HarnessFault(problem)),
        };
        let mut run = block_on(lockstep::run(plan, &mut machine, options));
        if let Some(problem) = machine.shut_down() {
            // Whatever came of it tells nothing of the registry.
            run.verdict = Verdict::HarnessFault(problem);
        }
        run
    }
}
