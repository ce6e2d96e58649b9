//! `lockstep replay`: one seed or script again, with its divergence shown. What a script expects is
//! compared as `lockstep check` does.

use std::path::Path;

use conformance::campaign::Runner;
use conformance::divergence::{Finding, Kind};
use conformance::generate::plan_of_seed;
use conformance::lockstep::{Options, Run, Verdict};
use conformance::script::Script;
use conformance::shrink;
use reports::terminal;

use super::{CommandResult, Exit, check, profile, read_script, runner, seed, store_option};
use crate::ReplayArguments;

/// Runs the seed or script.
pub fn replay(arguments: &ReplayArguments) -> CommandResult {
    let runner = runner(arguments.store);
    let is_file = Path::new(&arguments.what).exists() || arguments.what.ends_with(".lcs");
    let mut script = None;
    let (seed, plan) = if is_file {
        let (_, read) = read_script(Path::new(&arguments.what))?;
        let read = script.insert(read);
        (read.seed, read.plan.clone())
    } else {
        let seed = seed(&arguments.what)
            .map_err(|message| format!("{message}; and no file has that name either"))?;
        let plan = plan_of_seed(seed, profile(&arguments.profile)?, arguments.calls as usize);
        (Some(seed), plan)
    };
    let options = script.as_ref().map_or(Options::default(), check::options_of);
    let run = runner.run(&plan, seed.unwrap_or(0), options);
    let expects_its_end =
        script.as_ref().is_some_and(|script| check::expects_its_end(script, &run));
    let exit = match &run.verdict {
        Verdict::Conforms => as_expected(arguments, script.as_ref(), &run),
        // What the script says of the step is compared.
        Verdict::Outside(_) if expects_its_end => as_expected(arguments, script.as_ref(), &run),
        Verdict::Diverges(divergence) => {
            show(Finding { seed, plan, divergence: (**divergence).clone() }, arguments, &runner);
            Exit::Divergence
        }
        other => {
            let exit = undiverged(other);
            if script.is_none() {
                // Whoever wants to know why has nothing else to look at.
                print!("script:\n{}", conformance::script::print(&plan));
            }
            exit
        }
    };
    println!("{} calls checked, trace {:032x}", run.statistics.calls, run.trace);
    Ok(exit)
}

/// Says why a run ended without a divergence, unless it conforms.
pub(super) fn undiverged(verdict: &Verdict) -> Exit {
    match verdict {
        Verdict::Conforms => Exit::Conforms,
        Verdict::Diverges(_) => Exit::Divergence,
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
    }
}

/// Shows a divergence, by a shorter plan if that is wanted.
fn show(mut finding: Finding, arguments: &ReplayArguments, runner: &dyn Runner) {
    let seed = finding.seed.unwrap_or(0);
    if !arguments.no_shrink {
        finding = shrink::shrink(&finding, runner);
    }
    if finding.divergence.kind == Kind::View {
        finding.divergence.split_at_step = shrink::first_split(&finding.plan, seed, runner);
    }
    let command = format!("lockstep replay {}{}", arguments.what, store_option(arguments.store));
    print!("{}", terminal::finding(&finding, &command));
}

/// A run that conforms, beside what the script expects of it.
fn as_expected(arguments: &ReplayArguments, script: Option<&Script>, run: &Run) -> Exit {
    let exit = script.map_or(Exit::Conforms, |script| {
        let answers = check::answer_lines(&script.plan, run);
        let (exit, text) = check::compare(Path::new(&arguments.what), script, &answers, run);
        print!("{text}");
        exit
    });
    if exit == Exit::Conforms {
        println!("conforms");
    }
    exit
}
