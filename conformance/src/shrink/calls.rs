//! Fewer steps, fewer actors, and actions without what wraps them.

use registry_model::security::Token;

use crate::plan::{Action, Plan, Step};

use super::attempts::Attempts;
use super::fields;

/// Plans of more steps are not searched for two that can only go together.
const STEPS_OF_PAIRS_MAX: usize = 16;

/// Leaves out what comes after the divergence.
pub(super) fn cut_behind_the_divergence(attempts: &mut Attempts<'_>) {
    let end = attempts.divergence().step.saturating_add(1);
    attempts.try_change(|plan| plan.steps.truncate(end));
}

/// Leaves out steps.
pub(super) fn remove_steps(attempts: &mut Attempts<'_>) {
    let leave_out = |plan: &mut Plan, part: std::ops::Range<usize>| {
        plan.steps.drain(part);
    };
    attempts.shorten(|plan| plan.steps.len(), leave_out);
}

/// Leaves out two steps at a time, such as a layer's coming and going.
pub(super) fn remove_pairs(attempts: &mut Attempts<'_>) {
    if attempts.plan().steps.len() > STEPS_OF_PAIRS_MAX {
        return;
    }
    let mut later = attempts.plan().steps.len();
    while later > 1 {
        later = (later - 1).min(attempts.plan().steps.len().saturating_sub(1));
        for earlier in (0..later).rev() {
            let is_taken = attempts.try_change(|plan| {
                plan.steps.remove(later);
                plan.steps.remove(earlier);
            });
            if is_taken {
                break;
            }
        }
    }
}

/// Takes the changes of bytes off calls, one by one, and calls out of their transactions.
pub(super) fn unwrap_actions(attempts: &mut Attempts<'_>) {
    for position in 0..attempts.plan().steps.len() {
        while unwrap_one(attempts, position) {}
    }
}

fn unwrap_one(attempts: &mut Attempts<'_>, position: usize) -> bool {
    let Some(Step::Act { action, .. }) = attempts.plan().steps.get(position) else { return false };
    match action {
        Action::Within { action, .. } => {
            let inner = (**action).clone();
            attempts.try_change(|plan| fields::replace(plan, position, inner))
        }
        Action::Raw { twists, action } => {
            let inner = (**action).clone();
            let fewer: Vec<Action> = (0..twists.len())
                .map(|index| {
                    let mut twists = twists.clone();
                    twists.remove(index);
                    Action::Raw { twists, action: Box::new(inner.clone()) }
                })
                .collect();
            attempts.try_change(|plan| fields::replace(plan, position, inner))
                || fewer.into_iter().any(|action| {
                    attempts.try_change(|plan| fields::replace(plan, position, action))
                })
        }
        _ => false,
    }
}

/// Lets one actor do what another did, gives actors the token of SYSTEM, and leaves out sources.
pub(super) fn join_actors(attempts: &mut Attempts<'_>) {
    for leaving in (1..attempts.plan().actors.len()).rev() {
        for staying in 0..leaving {
            if attempts.try_change(|plan| join(plan, leaving, staying)) {
                break;
            }
        }
    }
    // One who does nothing may come first.
    if attempts.plan().actors.len() == 2 {
        attempts.try_change(|plan| {
            plan.actors.swap(0, 1);
            join(plan, 1, 0);
        });
    }
    for actor in 0..attempts.plan().actors.len() {
        attempts.try_change(|plan| plan.actors[actor].token = Token::system());
    }
    attempts.try_change(|plan| {
        if plan.actors.len() == 1 {
            plan.actors.clear();
        }
    });
    attempts.try_change(|plan| plan.sources.clear());
    attempts.shorten(
        |plan| plan.sources.len(),
        |plan, part| {
            plan.sources.drain(part);
        },
    );
}

fn join(plan: &mut Plan, leaving: usize, staying: usize) {
    let name = plan.actors.remove(leaving).name;
    let new_name = plan.actors[staying].name.clone();
    for actor in fields::actors(plan) {
        if *actor == leaving {
            *actor = staying;
        } else if *actor > leaving {
            *actor -= 1;
        }
    }
    for action in fields::hearts(plan) {
        if let Action::Pass { to: Some(to), .. } = action
            && *to == name
        {
            to.clone_from(&new_name);
        }
    }
}
