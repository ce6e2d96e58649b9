//! `lockstep shrink`: the simplest script found that shows the divergence of another, and that it does so
//! every time.

use std::path::Path;
use std::time::Instant;

use conformance::campaign::Runner;
use conformance::divergence::Finding;
use conformance::lockstep::{Options, Verdict};
use reports::json::{self, Shrunk};
use reports::terminal;

use super::run::{DEFAULT_REPORT, save_as, shrink_finding};
use super::{CommandResult, Exit, read_script, replay, runner, store_option};
use crate::{Format, ShrinkArguments};

/// How often what comes out is replayed.
const REPLAYS: u32 = 100;

/// Shrinks the divergence of a script.
pub fn shrink(arguments: &ShrinkArguments) -> CommandResult {
    let runner = runner(arguments.store);
    let (_, script) = read_script(&arguments.file)?;
    let run = runner.run(&script.plan, script.seed.unwrap_or(0), Options::default());
    let Verdict::Diverges(divergence) = run.verdict else {
        if matches!(run.verdict, Verdict::Conforms) {
            println!("conforms to the model: there is no divergence to shrink");
        }
        return Ok(replay::undiverged(&run.verdict));
    };
    let finding = Finding { seed: script.seed, plan: script.plan, divergence: *divergence };
    let began = Instant::now();
    let shrunk = shrink_finding(&finding, &runner);
    let elapsed = began.elapsed();
    let replays_alike = replays_alike(&shrunk, &runner);
    let folder = arguments.report.as_deref().unwrap_or(Path::new(DEFAULT_REPORT));
    let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy();
    let file = save_as(folder, &format!("{stem}-shrunk.lcs"), &shrunk)?;
    let report = Shrunk {
        steps_before: finding.plan.steps.len(),
        steps: shrunk.plan.steps.len(),
        calls: shrunk.divergence.call_number,
        elapsed,
        replays: REPLAYS,
        replays_alike,
        file: file.display().to_string(),
    };
    match arguments.format {
        Format::Human => {
            let store = store_option(arguments.store);
            let command = format!("lockstep replay {}{store}", file.display());
            print!("{}", terminal::finding(&shrunk, &command));
            println!("{}", terminal::shrunk(&report));
        }
        Format::Json => println!("{}", json::shrunk(&report)),
    }
    Ok(if replays_alike == REPLAYS { Exit::Divergence } else { Exit::HarnessFault })
}

/// How many of the replays show the divergence where it was, by one trace.
fn replays_alike(finding: &Finding, runner: &(dyn Runner + Sync)) -> u32 {
    let seed = finding.seed.unwrap_or(0);
    let trace = |_: u32| {
        // Libraries draw hash seeds once a thread.
        let thread = std::thread::scope(|scope| {
            scope.spawn(|| runner.run(&finding.plan, seed, Options::default())).join()
        });
        let run = thread.ok()?;
        let Verdict::Diverges(divergence) = run.verdict else { return None };
        let is_same = (divergence.kind, divergence.step)
            == (finding.divergence.kind, finding.divergence.step);
        is_same.then_some(run.trace)
    };
    let Some(first) = trace(0) else { return 0 };
    1 + (1..REPLAYS).filter(|number| trace(*number) == Some(first)).count() as u32
}
