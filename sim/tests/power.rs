//! Power losses against the real SQLite: an honest disk conforms, one that lies is found (D-110).

use conformance::campaign::Runner;
use conformance::divergence::Kind;
use conformance::generate::{Profile, plan_of_seed};
use conformance::lockstep::{Options, Run, Verdict};
use conformance::plan::{DiskFault, Fault, Plan, Step};
use conformance::script::parse;
use conformance::statistics::Statistics;
use sim::{SimRunner, StoreKind};

const RUNNER: SimRunner = SimRunner { store: StoreKind::Sqlite };
/// A plan on a disk that lies is found within so many seeds.
const SEEDS: std::ops::Range<u64> = 0..12;
const CALLS: usize = 60;
/// A call of the scripts below makes fewer changes and syncs than this.
const IO_MAX: u32 = 60;

fn run(plan: &Plan, seed: u64) -> Run {
    RUNNER.run(plan, seed, Options::default())
}

fn run_script(text: &str) -> Run {
    run(&parse(text, "a script").expect("a script").plan, 1)
}

fn conforms(text: &str) -> Statistics {
    let run = run_script(text);
    assert!(matches!(run.verdict, Verdict::Conforms), "{text}\n{:?}", run.verdict);
    run.statistics
}

fn is_found(run: &Run) -> bool {
    matches!(run.verdict, Verdict::Diverges(_))
}

/// The plan with every disk lying from the beginning.
fn lying(plan: &Plan) -> Plan {
    let sources = plan.sources.len().max(1);
    let lies = |source| Step::Fault(Fault::Disk { source, fault: DiskFault::Lies });
    let steps = (0..sources).map(lies).chain(plan.steps.iter().cloned()).collect();
    Plan { steps, ..plan.clone() }
}

#[test]
fn an_honest_disk_conforms_and_keeps_every_answered_change() {
    let (mut total, mut lost) = (Statistics::default(), 0);
    for seed in SEEDS {
        let run = run(&plan_of_seed(seed, Profile::Crash, CALLS), seed);
        assert!(!is_found(&run), "seed {seed}: {:?}", run.verdict);
        // A layer deletion that was under way may be there in one hive and not in the other.
        if run.statistics.power_losses_within == 0 {
            lost += run.statistics.changes_lost;
        }
        total.add(&run.statistics);
    }
    assert!(total.power_losses > 0 && total.power_losses_within > 0);
    assert_eq!(lost, 0, "SQLite syncs what it has answered");
}

#[test]
fn a_disk_that_lies_is_found() {
    let found = SEEDS
        .filter(|seed| is_found(&run(&lying(&plan_of_seed(*seed, Profile::Crash, CALLS)), *seed)));
    assert!(found.count() > 0);
}

/// Runs a script once for every change or sync at which the power may fail in its line `!`, which stands for that
/// fault, until it does not fail any more. Returns how often it failed.
fn at_every_change(text: &str) -> u64 {
    let mut within = 0;
    for io in 1..IO_MAX {
        let before = within;
        for keep in ["keep=none", "keep=prefix torn", "keep=some torn", "keep=all"] {
            let fault = format!("power-loss source 0 at io {io} {keep} chance={io}");
            within += conforms(&text.replace('!', &fault)).power_losses_within;
        }
        if within == before {
            return within;
        }
    }
    panic!("a call makes {IO_MAX} changes or more");
}

#[test]
fn a_write_and_its_time_survive_a_power_loss_at_any_change() {
    let failed =
        at_every_change("set Machine\\Key x dword 1\n!\nset Machine\\Key x dword 2\ncompare views");
    assert!(failed > 8, "{failed}");
}

#[test]
fn a_creation_is_there_in_part_or_not() {
    let failed = at_every_change("!\ncreate Machine\\Key\ncompare views\ncreate Machine\\Key");
    assert!(failed > 8, "{failed}");
}

#[test]
fn a_commit_is_there_as_a_whole_or_not() {
    let failed = at_every_change(
        "open h = Machine\n\
         begin t\n\
         set @h x dword 1 within t\n\
         set @h y dword 1 within t\n\
         !\n\
         commit t\n\
         compare views",
    );
    assert!(failed > 4, "{failed}");
}

#[test]
fn a_layer_deletion_is_there_as_a_whole_or_not_in_each_hive() {
    let failed = at_every_change(
        "layer create gpo precedence=1\n\
         set Machine\\Key x dword 1 in gpo\n\
         set Users\\Key x dword 1 in gpo\n\
         create Machine\\Own in gpo\n\
         !\n\
         layer delete gpo\n\
         compare views\n\
         layer create gpo precedence=1\n\
         compare views",
    );
    assert!(failed > 8, "{failed}");
}

#[test]
fn a_restore_is_there_as_a_whole_or_not() {
    let failed = at_every_change(
        "set Machine\\Key\\Below x dword 1\n\
         backup Machine\\Key to saved\n\
         set Machine\\Key\\Below x dword 2\n\
         !\n\
         restore Machine\\Key from saved\n\
         compare views",
    );
    assert!(failed > 4, "{failed}");
}

#[test]
fn a_flush_and_a_deletion_survive_a_power_loss_at_any_change() {
    let failed = at_every_change(
        "set Machine\\Key x dword 1\n!\nflush Machine\ndelete Machine\\Key\ncompare views",
    );
    assert!(failed > 8, "{failed}");
}

#[test]
fn what_nobody_has_flushed_may_be_lost() {
    let lost = conforms(
        "set Machine\\Key x dword 1\n\
         disk source 0 lies\n\
         set Machine\\Key x dword 2\n\
         set Machine\\Key y dword 2\n\
         power-loss keep=none\n\
         get Machine\\Key x\n  -> dword 1 from base",
    );
    assert!(lost.changes_lost > 0);
}

#[test]
fn what_was_flushed_or_committed_may_not_be_lost() {
    for promise in
        ["flush Machine", "open h = Machine\nbegin t\nset @h z dword 1 within t\ncommit t"]
    {
        let run = run_script(&format!(
            "set Machine\\Key x dword 1\n\
             disk source 0 lies\n\
             set Machine\\Key x dword 2\n\
             {promise}\n\
             power-loss keep=none"
        ));
        let Verdict::Diverges(divergence) = run.verdict else { panic!("{:?}", run.verdict) };
        assert_eq!(divergence.kind, Kind::Recovery);
    }
}

#[test]
fn a_change_that_the_disk_refuses_fails_its_call_and_has_no_effect() {
    for io in 1..8 {
        let statistics = conforms(&format!(
            "set Machine\\Key x dword 1\n\
             disk source 0 fails at io {io}\n\
             set Machine\\Key x dword 2\n\
             compare views\n\
             set Machine\\Key x dword 3\n\
             compare views"
        ));
        assert_eq!(statistics.disk_failures, 1, "io {io}");
    }
}

#[test]
fn a_source_whose_disk_is_full_ends() {
    conforms(
        "set Machine\\Key x dword 1\n\
         disk source 0 full\n\
         flush Machine\n\
         create Machine\\Other\n\
         get Machine\\Key x\n\
         restart source 0\n\
         get Machine\\Key x\n\
         create Machine\\Other",
    );
}

#[test]
fn a_slow_source_answers_in_the_end() {
    let statistics = conforms(
        "slow source 0 by 900ms\n\
         set Machine\\Key x dword 1\n\
         layer create gpo precedence=1\n\
         set Machine\\Key x dword 2 in gpo\n\
         get Machine\\Key x",
    );
    assert!(!statistics.errnos.contains_key(&registry_model::errno::Errno::ETIMEDOUT));
}
