//! The laws that need no model, from many states on both stores; and that each law can fail.

use std::sync::atomic::{AtomicUsize, Ordering};

use conformance::campaign::Runner;
use conformance::laws::{self, Law, Outcome};
use conformance::lockstep::{Options, Run};
use conformance::plan::Plan;
use conformance::script::answer::StepAnswer;
use registry_model::Observation;
use registry_model::errno::Errno;
use sim::{SimRunner, StoreKind};

const MEMORY: SimRunner = SimRunner { store: StoreKind::Memory };
const SQLITE: SimRunner = SimRunner { store: StoreKind::Sqlite };

/// Tries a law on seeds of both stores; on half of them it must have had something to
/// break.
fn holds(law: Law, on_memory: u64, on_sqlite: u64) {
    let memory = (0..on_memory).map(|seed| (&MEMORY, seed));
    let sqlite = (1000..1000 + on_sqlite).map(|seed| (&SQLITE, seed));
    let mut held = 0;
    for (runner, seed) in memory.chain(sqlite) {
        match law(runner, seed) {
            Ok(Outcome::Held) => held += 1,
            Ok(Outcome::Vacuous) => {}
            Err(broken) => panic!("{runner:?}, seed {seed}: {broken}"),
        }
    }
    let tried = on_memory + on_sqlite;
    assert!(held * 2 >= tried, "only {held} of {tried} seeds had something to break");
}

#[test]
fn a_layer_comes_and_goes() {
    holds(laws::layer_comes_and_goes, 16, 3);
}

#[test]
fn disjoint_writes_commute() {
    holds(laws::disjoint_writes_commute, 16, 3);
}

#[test]
fn a_source_restart_keeps_keys() {
    holds(laws::source_restart_keeps_keys, 16, 5);
}

#[test]
fn flattening_keeps_the_view() {
    holds(laws::flattening_keeps_the_view, 16, 3);
}

#[test]
fn case_variants_are_one_name() {
    holds(laws::case_variants_are_one_name, 16, 3);
}

#[test]
fn a_refused_call_changes_nothing() {
    holds(laws::refused_call_changes_nothing, 16, 3);
}

#[test]
fn a_restore_reproduces_the_view() {
    holds(laws::restore_reproduces_the_view, 16, 5);
}

#[test]
fn another_allow_ace_takes_nothing() {
    holds(laws::another_allow_ace_takes_nothing, 32, 3);
}

#[test]
fn neighbours_of_one_kind_commute() {
    holds(laws::neighbours_of_one_kind_commute, 32, 3);
}

#[test]
fn nobody_gets_what_everyone_gets() {
    holds(laws::nobody_gets_what_everyone_gets, 32, 3);
}

#[test]
fn maximum_is_the_union() {
    holds(laws::maximum_is_the_union, 32, 3);
}

/// Takes every third open for denied.
struct Forbidding;

impl Runner for Forbidding {
    fn run(&self, plan: &Plan, seed: u64, options: Options) -> Run {
        let mut run = MEMORY.run(plan, seed, options);
        for answer in run.answers.iter_mut().skip(seed as usize % 3).step_by(3) {
            if matches!(answer, StepAnswer::Observation(Observation::Opened { .. })) {
                *answer = StepAnswer::Observation(Observation::Failed(Errno::EACCES));
            }
        }
        run
    }
}

/// How many of the laws compare views; the others compare what is granted.
const LAWS_OF_VIEWS: usize = 7;

#[test]
fn every_law_of_security_notices_an_open_that_is_denied() {
    for (name, law) in &laws::LAWS[LAWS_OF_VIEWS..] {
        let noticed = (0..20).filter(|seed| law(&Forbidding, *seed).is_err()).count();
        assert!(noticed >= 3, "{name}: {noticed}");
    }
}

#[test]
fn every_law_of_the_list_is_tried() {
    let text = include_str!("laws.rs");
    let tried = text.lines().filter(|line| line.trim_start().starts_with("holds(laws::"));
    assert_eq!(
        tried.count(),
        laws::LAWS.len(),
        "a law without its test, or a test without its law"
    );
}

/// Loses a value out of the last view of the second run, or of the only run.
struct Forgetful {
    runs_left: AtomicUsize,
}

impl Runner for Forgetful {
    fn run(&self, plan: &Plan, seed: u64, options: Options) -> Run {
        let mut run = MEMORY.run(plan, seed, options);
        if self.runs_left.fetch_sub(1, Ordering::Relaxed) == 1 {
            lose_a_value(&mut run);
        }
        run
    }
}

fn lose_a_value(run: &mut Run) {
    let last = run.answers.iter_mut().rev().find_map(|answer| match answer {
        StepAnswer::View(view) => Some(view),
        _ => None,
    });
    let keys = last.into_iter().flatten().filter(|(path, _)| !path.contains(&"System".to_owned()));
    for key in keys.filter_map(|(_, key)| key.as_mut()) {
        if key.values.pop_first().is_some() {
            return;
        }
    }
}

#[test]
fn every_law_of_views_notices_a_lost_value() {
    for (name, law) in &laws::LAWS[..LAWS_OF_VIEWS] {
        let noticed = (0..6).filter(|seed| {
            let runs = if *name == "a refused call changes nothing" { 1 } else { 2 };
            let broken = law(&Forgetful { runs_left: AtomicUsize::new(runs) }, *seed);
            broken.is_err_and(|broken| !broken.contains("does not conform"))
        });
        assert!(noticed.count() >= 3, "{name}");
    }
}
