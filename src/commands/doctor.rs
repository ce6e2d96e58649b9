//! `lockstep doctor`: whether this machine and this build can do their work.

use std::process::Command;
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
/// The programs that `lockstep planted` starts.
const OF_PLANTED: [&str; 3] = ["git", "cargo", "timeout"];

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
    for program in OF_PLANTED {
        match version(program) {
            Some(version) => println!("ok    {version}, for `lockstep planted`"),
            None => println!("note  {program} is missing: `lockstep planted` will not work"),
        }
    }
    Ok(if healthy { Exit::Conforms } else { Exit::HarnessFault })
}

/// What a program says of its version, if it can be started.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or(program);
    output.status.success().then(|| line.to_owned())
}
