//! The cases of the exhaustive mode against the simulated machine: each death happens where it was meant to.

use conformance::campaign::Runner;
use conformance::exhaustive::Exhaustive;
use conformance::lockstep::{Options, Verdict};
use conformance::plan::{Fault, Step};
use registry_model::input::{Environment, Input};
use sim::{SimRunner, StoreKind};

#[test]
fn the_source_dies_once_in_every_case_that_has_a_crash_point() {
    let runner = SimRunner { store: StoreKind::Memory };
    let all = Exhaustive::new(1, &runner, 2).expect("an alphabet");
    for case in 0..all.cases() {
        let plan = all.plan(case);
        let is_armed = |step: &Step| matches!(step, Step::Fault(Fault::KillSourceAt { .. }));
        let armed = plan.steps.iter().filter(|step| is_armed(step)).count();
        let run = runner.run(&plan, case, Options { record: true, ..Options::default() });
        assert!(matches!(run.verdict, Verdict::Conforms), "case {case}: {:?}", run.verdict);
        let died = run.history.iter().filter(|happening| {
            matches!(happening.input, Input::Environment(Environment::SourceDown { .. }))
        });
        assert_eq!(died.count(), armed, "case {case}");
    }
}
