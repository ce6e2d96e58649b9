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

/// What a row is measured in.
#[derive(Clone, Copy)]
pub enum World {
    /// The simulator, with deaths and power losses.
    Crashes,
    /// Real threads, and nothing fails.
    Threads,
    /// Real threads, and source processes are killed.
    ThreadsWithKills,
}

/// The rows.
pub const ROWS: [(super::Named, World); 3] = [
    (("checked with crashes, SQLite", "calls/s", 4e3, 10e3), World::Crashes),
    (("checked on real threads", "calls/s", 500.0, 2e3), World::Threads),
    (("checked on real threads with kill -9", "calls/s", 200.0, 1e3), World::ThreadsWithKills),
];

/// Calls checked a second.
///
/// # Errors
/// What a plan came to that did not conform.
pub fn speed(world: World, simulated: SimRunner, time: Duration) -> Result<f64, String> {
    let crash = |seed| plan_of_seed(seed, Profile::Crash, PLAN_CALLS);
    let calm = |seed| plan_of_seed(seed, Profile::Calm, PLAN_CALLS);
    match world {
        World::Crashes => speed_of(&simulated, &crash, time),
        World::Threads => speed_of(&on_real_threads(), &calm, time),
        World::ThreadsWithKills => {
            speed_of(&on_real_threads(), &|seed| on_threads(&crash(seed)).0, time)
        }
    }
}

fn speed_of(
    runner: &dyn Runner,
    plan: &dyn Fn(u64) -> Plan,
    time: Duration,
) -> Result<f64, String> {
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
