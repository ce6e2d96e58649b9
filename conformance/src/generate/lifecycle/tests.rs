//! The plans of the lifecycle profile: what they have in them.

use std::collections::BTreeSet;

use crate::generate::{Profile, plan_of_seed};
use crate::plan::{Action, Fault, Plan, Step, Text};
use crate::script::{parse, print};
use crate::source_device::Breach;

const SEEDS: u64 = 300;

fn plans() -> impl Iterator<Item = Plan> {
    (0..SEEDS).map(|seed| plan_of_seed(seed, Profile::Lifecycle, 200))
}

fn text() -> String {
    plans().map(|plan| print(&plan)).collect()
}

fn actions(plan: &Plan) -> impl Iterator<Item = &Action> {
    plan.steps.iter().filter_map(|step| match step {
        Step::Act { action: Action::Raw { action, .. }, .. } => Some(&**action),
        Step::Act { action, .. } => Some(action),
        _ => None,
    })
}

#[test]
fn a_seed_gives_the_same_watched_plan_twice() {
    let plan = |seed| plan_of_seed(seed, Profile::Lifecycle, 200);
    assert_eq!(plan(3), plan(3));
    assert_ne!(plan(3), plan(4));
}

#[test]
fn a_watched_plan_prints_and_parses_back_to_itself() {
    for seed in 0..60 {
        let plan = plan_of_seed(seed, Profile::Lifecycle, 150);
        let text = print(&plan);
        let read = parse(&text, "plan").unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(read.plan, plan, "seed {seed}");
    }
}

/// Whether an action is of a kind.
type IsKind = fn(&Action) -> bool;

/// Every kind of action that takes part, by name.
const KINDS: &[(&str, IsKind)] = &[
    ("begin", |action| matches!(action, Action::Begin { .. })),
    ("commit", |action| matches!(action, Action::Commit { .. })),
    ("status", |action| matches!(action, Action::TransactionStatus { .. })),
    ("poll", |action| matches!(action, Action::Poll { .. })),
    ("direct watch", |action| matches!(action, Action::Watch { subtree: 0, .. })),
    ("subtree watch", |action| matches!(action, Action::Watch { subtree: 1, .. })),
    ("no reach", |action| matches!(action, Action::Watch { subtree: 2.., .. })),
    ("no filter", |action| matches!(action, Action::Watch { filter: 8.., .. })),
    ("disarmed", |action| matches!(action, Action::Watch { filter: 0, .. })),
    ("events", |action| matches!(action, Action::Events { capacity: None, .. })),
    ("few events", |action| matches!(action, Action::Events { capacity: Some(8..), .. })),
    ("no room", |action| matches!(action, Action::Events { capacity: Some(..8), .. })),
    ("pass", |action| matches!(action, Action::Pass { .. })),
    ("layer set", |action| matches!(action, Action::LayerSet { .. })),
    ("layer delete", |action| matches!(action, Action::LayerDelete { .. })),
    ("SD", |action| matches!(action, Action::SetSecurity { .. })),
    ("hide", |action| matches!(action, Action::Hide { .. })),
    ("delete", |action| matches!(action, Action::Delete { .. })),
];

/// Every kind that takes part inside a transaction, by name.
const KINDS_INSIDE: &[(&str, IsKind)] = &[
    ("get", |action| matches!(action, Action::Get { .. })),
    ("batch", |action| matches!(action, Action::Batch { .. })),
    ("list", |action| matches!(action, Action::List { .. })),
    ("set", |action| matches!(action, Action::Set { expected_sequence: 0, .. })),
    ("conditional set", |action| matches!(action, Action::Set { expected_sequence: 1.., .. })),
    ("tombstone", |action| matches!(action, Action::Set { value_type: 0xFFFF, .. })),
    ("unset", |action| matches!(action, Action::Unset { .. })),
    ("blanket", |action| matches!(action, Action::Blanket { .. })),
    ("create", |action| matches!(action, Action::Create { .. })),
    ("delete", |action| matches!(action, Action::Delete { .. })),
    ("hide", |action| matches!(action, Action::Hide { .. })),
    ("SD", |action| matches!(action, Action::SetSecurity { .. })),
];

/// Plans in which the action that something is put into is of a kind.
fn count(is: impl Fn(&Action) -> bool) -> usize {
    plans().filter(|plan| actions(plan).any(&is)).count()
}

#[test]
fn every_kind_of_action_occurs() {
    for (name, is_kind) in KINDS {
        let count = count(is_kind);
        assert!(count > 5, "{name} occurs in {count} plans");
    }
}

#[test]
fn every_kind_of_action_occurs_inside() {
    for (name, is_kind) in KINDS_INSIDE {
        let count =
            count(|action| matches!(action, Action::Within { action, .. } if is_kind(action)));
        assert!(count > 5, "{name} occurs inside in {count} plans");
    }
}

#[test]
fn watchers_carry_private_layers_at_times_and_disable_them() {
    let carries = |plan: &Plan| {
        let layers = || plan.actors.iter().flat_map(|actor| &actor.token.0.private_layers);
        layers().next().is_some()
            && actions(plan).any(|action| match action {
                Action::LayerSet { name, enabled: Some(0), .. }
                | Action::LayerCreate { name, enabled: Some(0), .. } => {
                    layers().any(|layer| *name == Text::from(layer.as_str()))
                }
                _ => false,
            })
    };
    let count = plans().filter(carries).count();
    assert!(count > 20 && count < 150, "{count} plans");
}

#[test]
fn every_parameter_is_set() {
    let text = text();
    for (name, ..) in super::settings::PARAMETERS {
        assert!(text.contains(name), "{name} is never set");
    }
}

#[test]
fn deadlines_pass_and_sources_die_around_commits() {
    let mut waits = BTreeSet::new();
    let mut deaths = 0;
    for plan in plans() {
        let mut is_armed = false;
        for step in &plan.steps {
            match step {
                Step::Fault(Fault::Wait { duration_ms }) => {
                    waits.insert(*duration_ms);
                }
                Step::Fault(Fault::KillSourceAt { .. }) => is_armed = true,
                Step::Act { action: Action::Commit { .. }, .. } if is_armed => deaths += 1,
                Step::Fault(_) => is_armed = false,
                _ => {}
            }
        }
    }
    assert!(waits.len() > 3, "{waits:?}");
    assert!(deaths > 20, "{deaths} deaths around commits");
}

/// Whether a fault is of a kind.
type IsFault = fn(&Fault) -> bool;

#[test]
fn sources_stall_before_and_in_the_course_of_calls_and_end_in_both_ways() {
    let count = |is: IsFault| {
        let has = |plan: &Plan| {
            plan.steps.iter().any(|step| matches!(step, Step::Fault(fault) if is(fault)))
        };
        plans().filter(has).count()
    };
    let kinds: [(&str, IsFault); 4] = [
        ("at once", |fault| matches!(fault, Fault::StallSource { .. })),
        ("executed", |fault| matches!(fault, Fault::StallSourceAt { executed: true, .. })),
        ("unexecuted", |fault| matches!(fault, Fault::StallSourceAt { executed: false, .. })),
        ("released", |fault| matches!(fault, Fault::ReleaseSource { .. })),
    ];
    for (name, is) in kinds {
        let count = count(is);
        assert!(count > 10, "{name} occurs in {count} plans");
    }
}

#[test]
fn sources_break_the_protocol_in_calls_and_late() {
    let text = text();
    for breach in Breach::ALL {
        let broken = |line: &&str| line.starts_with("break ") && line.contains(breach.word());
        let count = text.lines().filter(broken).count();
        assert!(count > 2, "{} occurs {count} times", breach.word());
    }
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(" source ")).collect();
    let late = |pair: &&[&str]| {
        let is_at_once = !pair[1].contains("at request");
        pair[0].starts_with("stall ") && pair[1].starts_with("break ") && is_at_once
    };
    assert!(lines.windows(2).any(|pair| late(&pair)), "no stalled source breaks the protocol");
}

#[test]
fn layers_and_parameters_change_inside() {
    let text = text();
    let inside =
        |what: &str| text.lines().any(|line| line.contains(what) && line.contains("within"));
    assert!(inside("Layers\\"), "no layer changes inside");
    assert!(inside("Precedence"), "no precedence changes inside");
}

#[test]
fn commits_are_refused_and_tried_again() {
    let mut again = 0;
    for plan in plans() {
        let mut is_refused = false;
        for step in &plan.steps {
            match step {
                Step::Fault(Fault::RefuseCommit { .. }) => is_refused = true,
                Step::Act { action: Action::Commit { .. }, .. } if is_refused => {
                    again += 1;
                    is_refused = false;
                }
                _ => {}
            }
        }
    }
    assert!(again > 20, "{again} refused commits");
    assert!(text().contains("transactions source 0 off"), "no source is without transactions");
}

#[test]
fn watches_are_disarmed_with_something_unread() {
    let lines = text();
    let lines: Vec<&str> = lines.lines().collect();
    let unread = |pair: &&[&str]| pair[0].contains("set ") && pair[1].ends_with(" off");
    let count = lines.windows(2).filter(unread).count();
    assert!(count > 20, "{count} watches disarmed unread");
}

#[test]
fn transfers_meet_sources_that_stall() {
    let is_stall = |step: &Step| {
        matches!(step, Step::Fault(Fault::StallSource { .. } | Fault::StallSourceAt { .. }))
    };
    let meets = |step: &Step, is_kind: IsKind| match step {
        Step::Act { action, .. } => is_kind(action),
        _ => false,
    };
    let kinds: [IsKind; 2] = [
        |action| matches!(action, Action::Backup { .. }),
        |action| matches!(action, Action::Restore { .. }),
    ];
    for is_kind in kinds {
        let count: usize = plans()
            .map(|plan| {
                let pairs = plan.steps.windows(2);
                pairs.filter(|pair| is_stall(&pair[0]) && meets(&pair[1], is_kind)).count()
            })
            .sum();
        assert!(count > 10, "{count}");
    }
}

#[test]
fn removals_are_kept_behind_what_takes_names_and_locks() {
    let is_removal: IsKind =
        |action| matches!(action, Action::Unset { .. } | Action::Blanket { .. });
    let first: [IsKind; 2] = [
        |action| matches!(action, Action::Delete { .. }),
        |action| matches!(action, Action::Within { .. }),
    ];
    for is_first in first {
        let mut count = 0;
        for plan in plans() {
            let act = |step: &Step, is: IsKind| match step {
                Step::Act { action, .. } => is(action),
                _ => false,
            };
            let is_stalled = |step: &Step| matches!(step, Step::Fault(Fault::StallSourceAt { .. }));
            let kept = plan.steps.windows(3).filter(|steps| {
                is_stalled(&steps[0]) && act(&steps[1], is_first) && act(&steps[2], is_removal)
            });
            count += kept.count();
        }
        assert!(count > 10, "{count}");
    }
}
