//! `lockstep replay`: one seed or script again, with its divergence shown.

use std::path::Path;

use conformance::campaign::Runner;
use conformance::divergence::{Finding, Kind};
use conformance::generate::plan_of_seed;
use conformance::lockstep::{Options, Verdict};
use conformance::shrink;
use reports::terminal;

use super::{CommandResult, Exit, profile, read_script, runner, seed, store_option};
use crate::ReplayArguments;

/// Runs the seed or script.
pub fn replay(arguments: &ReplayArguments) -> CommandResult {
    let runner = runner(arguments.store);
    let is_file = Path::new(&arguments.what).exists() || arguments.what.ends_with(".lcs");
    let (seed, plan) = if is_file {
        let (_, script) = read_script(Path::new(&arguments.what))?;
        (script.seed, script.plan)
    } else {
        let seed = seed(&arguments.what)
            .map_err(|message| format!("{message}; and no file has that name either"))?;
        let plan = plan_of_seed(seed, profile(&arguments.profile)?, arguments.calls as usize);
        (Some(seed), plan)
    };
    let run = runner.run(&plan, seed.unwrap_or(0), Options::default());
    let exit = match run.verdict {
        Verdict::Conforms => {
            println!("conforms");
            Exit::Conforms
        }
        Verdict::Indeterminate(reason) => {
            println!("undecided: {reason}");
            Exit::Indeterminate
        }
        Verdict::Outside(what) => {
            println!("outside this edition: {what}");
            Exit::Indeterminate
        }
        Verdict::HarnessFault(fault) => {
            println!("harness fault: {fault}");
            Exit::HarnessFault
        }
        Verdict::Diverges(divergence) => {
            let mut finding = Finding { seed, plan, divergence: *divergence };
            if !arguments.no_shrink {
                finding = shrink::shrink(&finding, &runner);
            }
            if finding.divergence.kind == Kind::View {
                let seed = seed.unwrap_or(0);
                finding.divergence.split_at_step =
                    shrink::first_split(&finding.plan, seed, &runner);
            }
            let command =
                format!("lockstep replay {}{}", arguments.what, store_option(arguments.store));
            print!("{}", terminal::finding(&finding, &command));
            Exit::Divergence
        }
    };
    println!("{} calls checked, trace {:032x}", run.statistics.calls, run.trace);
    Ok(exit)
}
