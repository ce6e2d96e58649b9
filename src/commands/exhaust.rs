//! `lockstep exhaust`: every crash point of every short sequence of actions.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use conformance::campaign::Campaign;
use conformance::exhaustive::Exhaustive;
use conformance::lockstep::Options;
use conformance::seeds::Seeds;
use reports::terminal;

use super::run::{DEFAULT_REPORT, PRINTED_MAX, Progress, exit_of, jobs_of, save, shrink_finding};
use super::{CommandResult, runner, store_option};
use crate::ExhaustArguments;

/// Counts the cases, runs them all and reports.
pub fn exhaust(arguments: &ExhaustArguments) -> CommandResult {
    let runner = runner(arguments.store);
    let jobs = jobs_of(arguments.jobs);
    let began = Instant::now();
    let all = Exhaustive::new(usize::from(arguments.length), &runner, jobs)?;
    let campaign = Campaign {
        seeds: Seeds::from(0..all.cases()),
        jobs,
        twice_one_in: Some(arguments.twice_one_in),
        options: Options::default(),
        plan: &|case| all.plan(case),
        runner: &runner,
        cancelled: &AtomicBool::new(false),
        is_time_over: &|| false,
    };
    let progress = Progress::new(all.cases(), None);
    let summary = campaign.run(&|event| progress.tell(&event));
    progress.clear();
    let folder = arguments.report.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_REPORT));
    for finding in summary.findings.iter().take(PRINTED_MAX) {
        let shrunk = shrink_finding(finding, &runner);
        let file = save(&folder, "case", &shrunk)?;
        let store = store_option(arguments.store);
        let command = format!("lockstep replay {}{store}", file.display());
        println!("{}", terminal::finding(&shrunk, &command));
    }
    for fault in &summary.faults {
        println!("harness fault in case {}: {}", fault.seed, fault.what);
    }
    for undecided in &summary.indeterminate {
        println!("undecided in case {}: {}", undecided.seed, undecided.what);
    }
    println!(
        "{} sequences of up to {} actions, {} cases, {} calls checked, {} divergences, {:.0} s{}",
        all.sequences(),
        arguments.length,
        summary.seeds,
        summary.statistics.calls,
        summary.findings.len(),
        began.elapsed().as_secs_f64(),
        terminal::trace(&summary)
    );
    Ok(exit_of(&summary, &[]))
}
