//! The rows about what is not calm: plans in which sources die, and plans on real threads, with source processes and
//! real files.

use std::time::Duration;

use conformance::campaign::Runner;
use conformance::generate::on_threads::on_threads;
use conformance::generate::{Profile, plan_of_seed};
use conformance::lockstep::{Options, Verdict};
use conformance::plan::Plan;
use sim::SimRunner;

use crate::commands::worlds::on_real_threads;

/// Calls of one plan.
const PLAN_CALLS: usize = 200;

/// Calls checked a second: with deaths and power losses in the simulator, and on real threads without and with
/// deaths. Each with its name, its floor and its goal.
///
/// # Errors
/// What a plan came to that did not conform.
pub fn speeds(
    simulated: SimRunner,
    time: Duration,
) -> Result<[(&'static str, f64, f64, f64); 3], String> {
    let crash = |seed| plan_of_seed(seed, Profile::Crash, PLAN_CALLS);
    let calm = |seed| plan_of_seed(seed, Profile::Calm, PLAN_CALLS);
    let threads = on_real_threads();
    let speed = |runner: &dyn Runner, plan: &dyn Fn(u64) -> Plan| speed(runner, plan, time);
    Ok([
        ("checked with crashes, SQLite", speed(&simulated, &crash)?, 4e3, 10e3),
        ("checked on real threads", speed(&threads, &calm)?, 500.0, 2e3),
        (
            "checked on real threads with kill -9",
            speed(&threads, &|seed| on_threads(&crash(seed)).0)?,
            200.0,
            1e3,
        ),
    ])
}

fn speed(runner: &dyn Runner, plan: &dyn Fn(u64) -> Plan, time: Duration) -> Result<f64, String> {
    let mut failed = None;
    let speed = super::rate(time, |seed| {
        let run = runner.run(&plan(seed), seed, Options::default());
        if !matches!(run.verdict, Verdict::Conforms) {
            failed = Some(format!("seed {seed} does not conform: {:?}", run.verdict));
        }
        run.statistics.calls
    });
    failed.map_or(Ok(speed), Err)
}
