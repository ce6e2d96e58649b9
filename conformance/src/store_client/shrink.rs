//! Shrinking a plan of requests: fewer steps with a divergence of the same kind.
//!
//! As for plans of calls (`crate::shrink`): chunks are removed from the back to the front, halving
//! until single steps.

use super::lockstep::{StoreDivergence, StoreVerdict, run};
use super::plan::{StorePlan, StoreStep};
use super::target::StoreMachine;

/// Runs that shrinking may spend.
const RUNS_MAX: usize = 1_000;

/// A plan together with the divergence that it shows.
#[derive(Clone, Debug)]
pub struct StoreFinding {
    /// The seed of its source.
    pub seed: u64,
    /// The plan.
    pub plan: StorePlan,
    /// The divergence.
    pub divergence: StoreDivergence,
}

/// The shortest plan found whose divergence is of the kind of `finding`.
pub fn shrink(finding: &StoreFinding, machine: &dyn StoreMachine) -> StoreFinding {
    let mut best = finding.clone();
    let mut runs = 0;
    // Nothing after the divergence can matter.
    let end = finding.divergence.step.saturating_add(1).min(best.plan.steps.len());
    let steps = best.plan.steps[..end].to_vec();
    try_steps(&mut best, steps, machine, &mut runs);
    let mut chunk = best.plan.steps.len().div_ceil(2).max(1);
    loop {
        let removed = remove_chunks(&mut best, chunk, machine, &mut runs);
        if runs >= RUNS_MAX || (chunk == 1 && !removed) {
            return best;
        }
        chunk = if chunk > 1 { chunk.div_ceil(2) } else { 1 };
    }
}

fn remove_chunks(
    best: &mut StoreFinding,
    chunk: usize,
    machine: &dyn StoreMachine,
    runs: &mut usize,
) -> bool {
    let mut removed = false;
    let mut end = best.plan.steps.len();
    while end > 0 && *runs < RUNS_MAX {
        let start = end.saturating_sub(chunk);
        let mut steps = best.plan.steps.clone();
        steps.drain(start..end);
        removed |= try_steps(best, steps, machine, runs);
        end = start.min(best.plan.steps.len());
    }
    removed
}

/// Takes these steps if they show a divergence of the same kind.
fn try_steps(
    best: &mut StoreFinding,
    mut steps: Vec<StoreStep>,
    machine: &dyn StoreMachine,
    runs: &mut usize,
) -> bool {
    *runs += 1;
    let plan = StorePlan { hives: best.plan.hives.clone(), steps: steps.clone() };
    let StoreVerdict::Diverges(divergence) = run(&plan, machine, best.seed).verdict else {
        return false;
    };
    if divergence.kind != best.divergence.kind {
        return false;
    }
    steps.truncate(divergence.step.saturating_add(1));
    best.plan.steps = steps;
    best.divergence = *divergence;
    true
}
