//! Shrinking: the shortest and simplest plan whose divergence is of the same class.
//!
//! Greedy, along the axes of a plan, each a file: `calls` (fewer steps and actors), `faults` (earlier, and
//! without counting), `layers` (fewer, of equal precedence), `overlaps` (calls that overlap one after
//! another, fewer of them, and fewer switches between them), `keys` (paths in place of handles, shorter paths) and
//! `arguments` (less in a call). What is tried is run; what keeps the class of the divergence
//! (`class`) is where the next trial begins. The passes are repeated until none of them changes anything, or
//! until the budget is spent.
//!
//! Knows nothing of why a plan was made, nor of a target but that a [`Runner`] runs plans on it.

mod arguments;
mod attempts;
mod calls;
mod class;
mod faults;
mod fields;
mod keys;
mod layers;
mod overlaps;
#[cfg(test)]
mod tests;

use crate::campaign::Runner;
use crate::divergence::Finding;
use crate::lockstep::{Options, Verdict};
use crate::plan::Plan;

use attempts::Attempts;

/// How often all passes are repeated.
const ROUNDS_MAX: usize = 8;

/// One way of making a plan shorter or simpler.
type Pass = fn(&mut Attempts<'_>);

/// Every pass, in the order of what it saves.
const PASSES: [Pass; 10] = [
    calls::remove_steps,
    overlaps::simplify,
    faults::simplify,
    calls::unwrap_actions,
    keys::name_by_path,
    layers::simplify,
    calls::join_actors,
    keys::shorten_paths,
    arguments::simplify,
    calls::remove_pairs,
];

/// The simplest plan found whose divergence is of the class of `finding`, with that divergence.
pub fn shrink(finding: &Finding, runner: &dyn Runner) -> Finding {
    let mut attempts = Attempts::new(finding, runner);
    calls::cut_behind_the_divergence(&mut attempts);
    for _ in 0..ROUNDS_MAX {
        let before = attempts.taken();
        for pass in PASSES {
            pass(&mut attempts);
        }
        if attempts.taken() == before || attempts.is_spent() {
            break;
        }
    }
    attempts.into_best()
}

/// For a divergence of views: the first step after which the views differed already.
pub fn first_split(plan: &Plan, seed: u64, runner: &dyn Runner) -> Option<usize> {
    let options = Options { views_after_each_step: true, ..Options::default() };
    match runner.run(plan, seed, options).verdict {
        Verdict::Diverges(divergence) => Some(divergence.step),
        _ => None,
    }
}
