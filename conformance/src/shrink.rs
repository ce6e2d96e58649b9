//! Shrinking: fewer steps with a divergence of the same kind.
//!
//! Delta debugging over the steps of a plan (Zeller and Hildebrandt, "Simplifying and Isolating
//! Failure-Inducing Input", 2002), without the complement phase: chunks are removed from the back
//! to the front, halving until single steps; then twists are taken off the calls that are left, and
//! calls are taken out of their transactions. The other axes of a plan are left alone.

use crate::campaign::Runner;
use crate::divergence::{Divergence, Finding};
use crate::lockstep::{Options, Verdict};
use crate::plan::{Action, Plan, Step};

/// Runs that shrinking may spend.
const RUNS_MAX: usize = 2_000;

/// The shortest plan found whose divergence is of the kind of `finding`, with that divergence.
pub fn shrink(finding: &Finding, runner: &dyn Runner) -> Finding {
    let mut best = finding.clone();
    let seed = finding.seed.unwrap_or(0);
    // Nothing after the divergence can matter.
    best.plan.steps.truncate(finding.divergence.step + 1);
    match divergence_of(&best.plan, seed, runner) {
        Some(divergence) if divergence.kind == finding.divergence.kind => {
            best.divergence = divergence;
        }
        _ => best.plan = finding.plan.clone(),
    }
    let mut runs = 0;
    let mut chunk = best.plan.steps.len().div_ceil(2).max(1);
    loop {
        let removed = remove_chunks(&mut best, chunk, seed, runner, &mut runs);
        if runs >= RUNS_MAX || (chunk == 1 && !removed) {
            remove_twists(&mut best, seed, runner, &mut runs);
            remove_transactions(&mut best, seed, runner, &mut runs);
            return best;
        }
        chunk = if chunk > 1 { chunk.div_ceil(2) } else { 1 };
    }
}

fn remove_chunks(
    best: &mut Finding,
    chunk: usize,
    seed: u64,
    runner: &dyn Runner,
    runs: &mut usize,
) -> bool {
    let mut removed = false;
    let mut end = best.plan.steps.len();
    while end > 0 && *runs < RUNS_MAX {
        let start = end.saturating_sub(chunk);
        let mut plan = best.plan.clone();
        plan.steps.drain(start..end);
        *runs += 1;
        if let Some(divergence) = divergence_of(&plan, seed, runner)
            && divergence.kind == best.divergence.kind
        {
            plan.steps.truncate(divergence.step + 1);
            best.plan = plan;
            best.divergence = divergence;
            removed = true;
            end = start.min(best.plan.steps.len());
        } else {
            end = start;
        }
    }
    removed
}

fn remove_twists(best: &mut Finding, seed: u64, runner: &dyn Runner, runs: &mut usize) {
    for position in 0..best.plan.steps.len() {
        let mut index = 0;
        while *runs < RUNS_MAX {
            let mut plan = best.plan.clone();
            let Some(Step::Act { action: Action::Raw { twists, .. }, .. }) =
                plan.steps.get_mut(position)
            else {
                break;
            };
            if index >= twists.len() {
                break;
            }
            twists.remove(index);
            *runs += 1;
            match divergence_of(&plan, seed, runner) {
                Some(divergence) if divergence.kind == best.divergence.kind => {
                    best.plan = plan;
                    best.divergence = divergence;
                }
                _ => index += 1,
            }
        }
    }
}

fn remove_transactions(best: &mut Finding, seed: u64, runner: &dyn Runner, runs: &mut usize) {
    for position in 0..best.plan.steps.len() {
        let mut plan = best.plan.clone();
        let Some(Step::Act { action, .. }) = plan.steps.get_mut(position) else { continue };
        let Action::Within { action: inner, .. } = action else { continue };
        *action = (**inner).clone();
        if *runs >= RUNS_MAX {
            return;
        }
        *runs += 1;
        if let Some(divergence) = divergence_of(&plan, seed, runner)
            && divergence.kind == best.divergence.kind
        {
            best.plan = plan;
            best.divergence = divergence;
        }
    }
}

fn divergence_of(plan: &Plan, seed: u64, runner: &dyn Runner) -> Option<Divergence> {
    match runner.run(plan, seed, Options::default()).verdict {
        Verdict::Diverges(divergence) => Some(*divergence),
        _ => None,
    }
}

/// For a divergence of views: the first step after which the views differed already.
pub fn first_split(plan: &Plan, seed: u64, runner: &dyn Runner) -> Option<usize> {
    let options = Options { views_after_each_step: true, ..Options::default() };
    match runner.run(plan, seed, options).verdict {
        Verdict::Diverges(divergence) => Some(divergence.step),
        _ => None,
    }
}
