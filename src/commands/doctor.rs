//! `lockstep doctor`: whether this machine and this build can do their work.

use std::time::Instant;

use conformance::campaign::Runner;
use conformance::generate::{Profile, plan_of_seed};
use conformance::lockstep::{Options, Verdict};
use conformance::panics::Guarded;
use sim::{SimRunner, StoreKind};

use super::{CommandResult, Exit};

/// The plan that the doctor runs.
const SEED: u64 = 1;
const CALLS: usize = 100;

/// Looks at what the commands need, one line each.
pub fn doctor() -> CommandResult {
    let mut healthy = true;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("ok    {cores} cores");
    let profile =
        if cfg!(debug_assertions) { "debug; use --release to measure" } else { "release" };
    println!("ok    built as {profile}");
    for (name, store) in [("SQLite", StoreKind::Sqlite), ("memory", StoreKind::Memory)] {
        let runner = Guarded(SimRunner { store });
        let plan = plan_of_seed(SEED, Profile::Default, CALLS);
        let began = Instant::now();
        let first = runner.run(&plan, SEED, Options::default());
        let elapsed_ms = began.elapsed().as_millis();
        let second = runner.run(&plan, SEED, Options::default());
        match first.verdict {
            Verdict::Conforms => println!(
                "ok    a plan of {} calls conforms on the {name} store in {elapsed_ms} ms",
                first.statistics.calls
            ),
            other => {
                healthy = false;
                println!("wrong a plan on the {name} store does not conform: {other:?}");
            }
        }
        if first.trace == second.trace {
            println!("ok    the same plan has the same trace twice on the {name} store");
        } else {
            healthy = false;
            println!("wrong the same plan has two traces on the {name} store");
        }
    }
    match std::process::Command::new("git").arg("--version").output() {
        Ok(output) if output.status.success() => println!("ok    git, for `lockstep planted`"),
        _ => println!("note  git is missing: `lockstep planted` will not work"),
    }
    Ok(if healthy { Exit::Conforms } else { Exit::HarnessFault })
}
