//! A plan and a seed are the whole of a run: the same trace on every thread, at the same time or
//! one after the other. The two stores may differ in their traces, but not in what is answered.

use conformance::campaign::Runner;
use conformance::generate::{Profile, plan_of_seed};
use conformance::lockstep::{Options, Run, Verdict};
use conformance::plan::Plan;
use conformance::script::answer;
use conformance::trace::first_difference;
use sim::{SimRunner, StoreKind};

const STORES: [StoreKind; 2] = [StoreKind::Sqlite, StoreKind::Memory];

fn run(plan: &Plan, seed: u64, store: StoreKind) -> Run {
    let run = SimRunner { store }.run(plan, seed, Options::default());
    assert!(matches!(run.verdict, Verdict::Conforms), "{store:?}, seed {seed}: {:?}", run.verdict);
    run
}

#[test]
fn two_threads_at_once_have_the_same_trace() {
    for store in STORES {
        for seed in [1, 2, 3] {
            let plan = plan_of_seed(seed, Profile::Crash, 80);
            let traces = std::thread::scope(|scope| {
                let threads = [(); 2].map(|()| scope.spawn(|| run(&plan, seed, store).trace));
                threads.map(|thread| thread.join().expect("the run ends"))
            });
            assert_eq!(traces[0], traces[1], "{store:?}, seed {seed}");
        }
    }
}

#[test]
fn one_thread_has_the_same_trace_again() {
    for store in STORES {
        let plan = plan_of_seed(4, Profile::Default, 80);
        assert_eq!(run(&plan, 4, store).trace, run(&plan, 4, store).trace, "{store:?}");
    }
}

#[test]
fn a_trace_depends_on_the_plan_and_on_the_seed() {
    let plan = plan_of_seed(5, Profile::Calm, 40);
    let trace = run(&plan, 5, StoreKind::Memory).trace;
    let other_plan = plan_of_seed(6, Profile::Calm, 40);
    assert_ne!(trace, run(&other_plan, 5, StoreKind::Memory).trace);
    // The seed decides the GUIDs, which cross the wire.
    assert_ne!(trace, run(&plan, 6, StoreKind::Memory).trace);
}

#[test]
fn the_first_event_that_differs_is_one_that_the_seed_decides() {
    let plan = plan_of_seed(5, Profile::Calm, 40);
    let events = |seed| {
        let options = Options { record_trace: true, ..Options::default() };
        SimRunner { store: StoreKind::Memory }.run(&plan, seed, options).events
    };
    assert_eq!(first_difference(&events(5), &events(5)), None);
    let said = first_difference(&events(5), &events(6)).expect("the GUIDs differ");
    // The sources register their hives before the first call, and the GUIDs of the roots are of the seed.
    assert!(said.starts_with("event 1 is\n  event at "), "{said}");
}

#[test]
fn both_stores_answer_the_same() {
    // Without deaths: where one strikes depends on a store's requests no less than on the plan.
    let plan = plan_of_seed(7, Profile::Calm, 120);
    let [sqlite, memory] = STORES.map(|store| answers(&plan, &run(&plan, 7, store)));
    assert_eq!(sqlite, memory);
}

/// What the steps answered, in the words of a script: without sequence numbers and times.
fn answers(plan: &Plan, run: &Run) -> Vec<Vec<String>> {
    let steps = plan.steps.iter().zip(&run.answers);
    let lines = steps.map(|(step, answer)| answer::step_lines(step, answer));
    lines.collect()
}
