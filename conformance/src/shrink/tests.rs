//! Shrinking with targets that are made up: what diverges is said by a look at the plan.

use std::sync::atomic::{AtomicUsize, Ordering};

use expect_test::{Expect, expect};

use super::*;
use crate::divergence::{Divergence, Kind};
use crate::lockstep::Run;
use crate::plan::{Action, Fault, KeyReference, Step, Text};
use crate::schedule::Schedule;
use crate::script;

/// Diverges where it is told to: at a step, with an answer.
struct Told<F> {
    diverges: F,
    runs: AtomicUsize,
}

impl<F: Fn(&Plan) -> Option<(usize, &'static str)> + Sync> Runner for Told<F> {
    fn run(&self, plan: &Plan, _: u64, options: Options) -> Run {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let found = (self.diverges)(plan).map(|(step, got)| divergence(step, got));
        let verdict = found.map_or(Verdict::Conforms, |found| Verdict::Diverges(Box::new(found)));
        let mut run = Run::stopped(verdict);
        let blocks = plan.steps.iter().filter_map(|step| match step {
            Step::Parallel(block) => Some(&block.schedule),
            _ => None,
        });
        // Any other schedule comes to these choices.
        let picks = blocks.map(|schedule| match schedule {
            Schedule::Replay { picks } => picks.clone(),
            _ => vec![0, 0, 1, 0, 2, 0, 0, 0, 0],
        });
        run.schedules = picks.collect();
        if options.record_requests {
            // Every call sends one.
            let requests = |step: &Step| match step {
                Step::Act { .. } => vec!["flush".to_owned()],
                _ => Vec::new(),
            };
            run.requests = plan.steps.iter().map(requests).collect();
        }
        run
    }
}

fn divergence(step: usize, got: &str) -> Divergence {
    Divergence {
        kind: Kind::Answer,
        step,
        call_number: 0,
        actor: String::new(),
        what: "made up".to_owned(),
        requirements: Vec::new(),
        expected: "ok".to_owned(),
        got: got.to_owned(),
        split_at_step: None,
    }
}

fn shrunk(
    text: &str,
    diverges: impl Fn(&Plan) -> Option<(usize, &'static str)> + Sync,
) -> (Finding, usize) {
    let plan = script::parse(text, "test").expect("a script").plan;
    let (step, got) = diverges(&plan).expect("a divergence to begin with");
    let finding = Finding { seed: None, plan, divergence: divergence(step, got) };
    let runner = Told { diverges, runs: AtomicUsize::new(0) };
    let finding = shrink(&finding, &runner);
    (finding, runner.runs.into_inner())
}

fn check(
    text: &str,
    diverges: impl Fn(&Plan) -> Option<(usize, &'static str)> + Sync,
    expected: Expect,
) {
    expected.assert_eq(&script::print(&shrunk(text, diverges).0.plan));
}

/// The first step whose action is such.
fn position(plan: &Plan, is_such: impl Fn(&Action) -> bool) -> Option<usize> {
    let is_wanted = |step: &Step| matches!(step, Step::Act { action, .. } if is_such(fields::heart(&mut action.clone())));
    plan.steps.iter().position(is_wanted)
}

fn is_set(action: &Action) -> bool {
    matches!(action, Action::Set { .. })
}

fn is_get(action: &Action) -> bool {
    matches!(action, Action::Get { .. })
}

fn is_open(action: &Action) -> bool {
    matches!(action, Action::Open { .. })
}

fn is_flush(action: &Action) -> bool {
    matches!(action, Action::Flush { .. })
}

#[test]
fn steps_that_matter_are_left() {
    let text = "set Machine\\App a dword 1\nflush Machine\\App\nview Machine\n\
                set Machine\\App b dword 1\nget Machine\\App a\nget Machine\\App b\nflush Machine\\App\n";
    let diverges = |plan: &Plan| {
        let (set, get) = (position(plan, is_set)?, position(plan, is_get)?);
        (set < get).then_some((get, "EIO"))
    };
    check(
        text,
        diverges,
        expect![[r#"
        set Machine b dword 1
        get Machine a
    "#]],
    );
}

#[test]
fn steps_go_in_pairs_if_one_cannot_go_without_the_other() {
    let text = "set Machine\\App a dword 1\nflush Machine\\App\nunset Machine\\App a\nget Machine\\App a\n";
    let diverges = |plan: &Plan| {
        let unset = position(plan, |action| matches!(action, Action::Unset { .. }));
        let is_balanced = position(plan, is_set).is_some() == unset.is_some();
        position(plan, is_get).filter(|_| is_balanced).map(|get| (get, "EIO"))
    };
    check(
        text,
        diverges,
        expect![[r#"
        get Machine a
    "#]],
    );
}

#[test]
fn another_answer_is_not_taken_for_it() {
    let text = "set Machine\\App a dword 1\nflush Machine\\App\n";
    let diverges = |plan: &Plan| {
        let flush = position(plan, is_flush)?;
        Some((flush, if position(plan, is_set).is_some() { "EIO" } else { "EBADF" }))
    };
    check(
        text,
        diverges,
        expect![[r#"
        set Machine a dword 1
        flush Machine
    "#]],
    );
}

#[test]
fn keys_are_named_by_path_and_need_no_handle() {
    let text =
        "open h = Machine\\Software\\App\nset @h value dword 77 if 12\nclose h\nflush Machine\n";
    let by_path =
        |action: &Action| matches!(action, Action::Set { key: KeyReference::Path(_), .. });
    let diverges = |plan: &Plan| {
        let set = position(plan, is_set)?;
        let is_opened = position(plan, is_open).is_some_and(|open| open < set);
        (position(plan, by_path).is_some() || is_opened).then_some((set, "EIO"))
    };
    check(
        text,
        diverges,
        expect![[r#"
        set Machine v dword 77
    "#]],
    );
}

#[test]
fn a_handle_stays_if_it_matters() {
    let text = "open h = Machine\\Software\\App\nset @h value dword 77\n";
    let by_handle =
        |action: &Action| matches!(action, Action::Set { key: KeyReference::Handle(_), .. });
    let diverges = |plan: &Plan| {
        let (open, set) = (position(plan, is_open)?, position(plan, by_handle)?);
        (open < set).then_some((set, "EIO"))
    };
    check(
        text,
        diverges,
        expect![[r#"
        open h = Machine access=all
        set @h v dword 77
    "#]],
    );
}

#[test]
fn layers_become_base_or_one_another() {
    let text = "layer create first precedence=10\nlayer create second precedence=900 enabled=1\n\
                layer create third\nset Machine a dword 1 in first\nset Machine a dword 2 in second\n\
                set Machine a dword 3 in third\n";
    let layer = |action: &Action| match action {
        Action::Set { layer, .. } => Some(layer.clone()),
        _ => None,
    };
    let diverges = |plan: &Plan| {
        let mut plan = plan.clone();
        let layers: Vec<Text> = fields::hearts(&mut plan).filter_map(|a| layer(a)).collect();
        let is_one = layers.len() == 3 && layers[1] == layers[2] && layers[0] != layers[1];
        let are_all = layers.len() == 3 && layers[0] != layers[1] && layers[1] != layers[2];
        (is_one || are_all).then_some((plan.steps.len() - 1, "EIO"))
    };
    check(
        text,
        diverges,
        expect![[r#"
        set Machine a dword 1
        set Machine a dword 2 in third
        set Machine a dword 3 in third
    "#]],
    );
}

#[test]
fn actors_that_nobody_needs_leave() {
    let text = "actor alice user=S-1-5-21-1-2-3-1001\nactor bob user=S-1-5-21-1-2-3-1002\n\
                alice: flush Machine\nbob: set Machine a dword 1\n";
    let diverges = |plan: &Plan| position(plan, is_set).map(|set| (set, "EIO"));
    check(
        text,
        diverges,
        expect![[r#"
        set Machine a dword 1
    "#]],
    );
}

#[test]
fn a_fault_that_counts_strikes_where_it_struck() {
    let text = "kill source at request 4 unexecuted\nset Machine a dword 1\nset Machine a dword 2\n\
                flush Machine\nget Machine a\n";
    // It strikes at the read.
    let diverges = |plan: &Plan| {
        let get = position(plan, is_get)?;
        let mut left = None;
        for step in &plan.steps[..=get] {
            match step {
                Step::Fault(Fault::KillSourceAt { request, .. }) => left = Some(*request),
                Step::Act { .. } => left = left.map(|left| left.saturating_sub(1)),
                _ => {}
            }
        }
        (left == Some(0)).then_some((get, "EIO"))
    };
    check(
        text,
        diverges,
        expect![[r#"
        kill source 0 at request 1 unexecuted
        get Machine a
    "#]],
    );
}

#[test]
fn of_calls_that_overlap_those_are_left_that_matter_with_the_switches_that_do() {
    let text = "open h = Machine\nparallel random 17\nstrand\nset @h a dword 1\nget @h a\n\
                strand\npoll h\nset @h b dword 2\nstrand\nget @h b\nend\n";
    let diverges = |plan: &Plan| {
        let blocks = plan.steps.iter().enumerate();
        let (position, block) = blocks
            .filter_map(|(position, step)| match step {
                Step::Parallel(block) => Some((position, block)),
                _ => None,
            })
            .next()?;
        let setting = block.strands.iter().filter(|strand| strand.actions.iter().any(is_set));
        let is_switched = match &block.schedule {
            Schedule::Replay { picks } => picks.contains(&1),
            _ => true,
        };
        (setting.count() == 2 && is_switched).then_some((position, "EIO"))
    };
    check(
        text,
        diverges,
        expect![[r#"
        parallel replay 1
          strand
            set @h a dword 1
          strand
            set @h b dword 2
        end
    "#]],
    );
}

#[test]
fn calls_that_need_not_overlap_come_one_after_another() {
    let text = "open h = Machine\nparallel random 17\nstrand\nset @h a dword 1\n\
                strand\nget @h b\nend\n";
    let diverges = |plan: &Plan| {
        let mut plan = plan.clone();
        let is_there = fields::hearts(&mut plan).any(|action| is_set(action));
        is_there.then(|| (plan.steps.len() - 1, "EIO"))
    };
    check(
        text,
        diverges,
        expect![[r#"
        set @h a dword 1
    "#]],
    );
}

#[test]
fn what_shows_nothing_any_more_is_given_back_as_it_was() {
    let plan = script::parse("flush Machine\nflush Users\n", "test").expect("a script").plan;
    let finding = Finding { seed: None, plan, divergence: divergence(1, "EIO") };
    let runner = Told { diverges: |_: &Plan| None, runs: AtomicUsize::new(0) };
    assert_eq!(shrink(&finding, &runner).plan, finding.plan);
}

#[test]
fn trials_are_bounded() {
    let text = "flush Machine\n".repeat(1_500);
    // As nothing can go, everything is tried.
    let diverges = |plan: &Plan| (plan.steps.len() == 1_500).then_some((1_499, "EIO"));
    let (finding, runs) = shrunk(&text, diverges);
    assert_eq!(finding.plan.steps.len(), 1_500);
    assert!(runs < 4_100, "{runs} runs");
}
