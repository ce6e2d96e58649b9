//! Calls that overlap: the schedule decides all of it, and nothing else decides anything.

use std::collections::BTreeSet;

use conformance::campaign::Runner;
use conformance::lockstep::{Options, Run, Verdict};
use conformance::plan::{Plan, Step};
use conformance::schedule::Schedule;
use conformance::script;
use sim::{SimRunner, StoreKind};

/// Three threads at one value, one of them in a transaction.
const RACE: &str = r"
set Machine\App Mode dword 0
create a = Machine\App
create b = Machine\App
create c = Machine\App
parallel random 0
  strand
    update @a Mode dword 1
    get @a Mode
    poll a
  strand
    update @b Mode dword 2
    batch @b
    set @b Mode dword 3
  strand
    begin t
    set @c Mode dword 4 within t
    get @c Mode within t
    commit t
    close t
end
";

fn race(schedule: Schedule) -> Plan {
    let mut plan = script::parse(RACE, "race.lcs").expect("a script").plan;
    for step in &mut plan.steps {
        if let Step::Parallel(parallel) = step {
            parallel.schedule = schedule.clone();
        }
    }
    plan
}

fn run_on(store: StoreKind, schedule: Schedule, seed: u64) -> Run {
    let run = SimRunner { store }.run(&race(schedule), seed, Options::default());
    assert!(matches!(run.verdict, Verdict::Conforms), "{:?}", run.verdict);
    run
}

fn run(schedule: Schedule) -> Run {
    run_on(StoreKind::Memory, schedule, 1)
}

#[test]
fn a_recorded_schedule_gives_the_same_trace() {
    for store in [StoreKind::Memory, StoreKind::Sqlite] {
        for seed in 0..10 {
            let recorded = run_on(store, Schedule::Pct { depth: 3, seed }, 1);
            let picks = recorded.schedules[0].clone();
            let replayed = run_on(store, Schedule::Replay { picks }, 1);
            assert_eq!(recorded.trace, replayed.trace);
            assert_eq!(recorded.schedules, replayed.schedules);
        }
    }
}

#[test]
fn what_the_simulator_picks_decides_nothing() {
    let answers = |seed| {
        let run = run_on(StoreKind::Memory, Schedule::Random { seed: 7 }, seed);
        (run.answers, run.schedules)
    };
    let first = answers(1);
    assert!((2..20).all(|seed| answers(seed) == first));
}

#[test]
fn other_seeds_give_other_interleavings() {
    let distinct = |schedule: &dyn Fn(u64) -> Schedule| {
        (0..40).map(|seed| run(schedule(seed)).schedules).collect::<BTreeSet<_>>().len()
    };
    let random = distinct(&|seed| Schedule::Random { seed });
    let pct = distinct(&|seed| Schedule::Pct { depth: 3, seed });
    assert!(random >= 39 && pct >= 20, "{random} by random, {pct} by priorities");
}

#[test]
fn a_schedule_that_is_cut_short_runs_on() {
    let whole = run(Schedule::Random { seed: 5 }).schedules.remove(0);
    for length in [0, 1, whole.len() / 2] {
        run(Schedule::Replay { picks: whole[..length].to_vec() });
    }
}
