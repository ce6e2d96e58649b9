//! Calls that overlap: one after another where that shows it too, fewer of them, and under a schedule with
//! few switches.

use crate::lockstep::Options;
use crate::plan::{Parallel, Plan, Step};
use crate::schedule::Schedule;

use super::attempts::Attempts;

/// Simplifies every block of calls that overlap.
pub(super) fn simplify(attempts: &mut Attempts<'_>) {
    let mut position = 0;
    while position < attempts.plan().steps.len() {
        if block(attempts.plan(), position).is_some() {
            let is_flat = attempts.try_change(|plan| one_after_another(plan, position));
            if !is_flat {
                fewer_calls(attempts, position);
                fewer_switches(attempts, position);
            }
        }
        position += 1;
    }
}

fn block(plan: &Plan, position: usize) -> Option<&Parallel> {
    match plan.steps.get(position)? {
        Step::Parallel(block) => Some(block),
        _ => None,
    }
}

fn change(plan: &mut Plan, position: usize, change: impl FnOnce(&mut Parallel)) {
    if let Some(Step::Parallel(block)) = plan.steps.get_mut(position) {
        change(block);
    }
}

/// Has the calls of a block made one at a time, strand by strand.
fn one_after_another(plan: &mut Plan, position: usize) {
    let Some(block) = block(plan, position).cloned() else { return };
    let steps = block.strands.into_iter().flat_map(|strand| {
        let actor = strand.actor;
        strand.actions.into_iter().map(move |action| Step::Act { actor, action })
    });
    let steps: Vec<Step> = steps.collect();
    plan.steps.splice(position..=position, steps);
}

/// Leaves out strands, and calls of those that are left.
fn fewer_calls(attempts: &mut Attempts<'_>, position: usize) {
    let strands = |plan: &Plan| block(plan, position).map_or(0, |block| block.strands.len());
    attempts.shorten(strands, |plan, part| {
        change(plan, position, |block| {
            // A block has a strand, and a strand has an action.
            if part.len() < block.strands.len() {
                block.strands.drain(part);
            }
        });
    });
    for strand in 0..strands(attempts.plan()) {
        let actions = |plan: &Plan| {
            let strand = block(plan, position).and_then(|block| block.strands.get(strand));
            strand.map_or(0, |strand| strand.actions.len())
        };
        attempts.shorten(actions, |plan, part| {
            change(plan, position, |block| {
                let actions = &mut block.strands[strand].actions;
                if part.len() < actions.len() {
                    actions.drain(part);
                }
            });
        });
    }
}

/// Replays the choices that were made, and leaves out of them what does not matter: where there are no
/// more, whoever runs goes on.
fn fewer_switches(attempts: &mut Attempts<'_>, position: usize) {
    let plan = attempts.plan().clone();
    let before = plan.steps[..position].iter().filter(|step| matches!(step, Step::Parallel(_)));
    let number = before.count();
    let Some(picks) = attempts.run(&plan, Options::default()).schedules.into_iter().nth(number)
    else {
        return;
    };
    attempts.try_change(|plan| {
        change(plan, position, |block| block.schedule = Schedule::Replay { picks });
    });
    let length = |plan: &Plan| picks_of(plan, position).map_or(0, <[u32]>::len);
    while length(attempts.plan()) > 0 {
        let half = length(attempts.plan()) / 2;
        if !attempts.try_change(|plan| cut(plan, position, half)) {
            break;
        }
    }
    attempts.shorten(length, |plan, part| {
        change(plan, position, |block| {
            if let Schedule::Replay { picks } = &mut block.schedule {
                picks.drain(part);
            }
        });
    });
}

fn picks_of(plan: &Plan, position: usize) -> Option<&[u32]> {
    match &block(plan, position)?.schedule {
        Schedule::Replay { picks } => Some(picks),
        _ => None,
    }
}

fn cut(plan: &mut Plan, position: usize, length: usize) {
    change(plan, position, |block| {
        if let Schedule::Replay { picks } = &mut block.schedule {
            picks.truncate(length);
        }
    });
}
