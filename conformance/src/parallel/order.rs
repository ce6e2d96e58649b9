//! An order in which overlapping calls can have taken effect, one at a time, each between its invocation
//! and its return.

use std::collections::BTreeMap;

use registry_model::input::Input;
use registry_model::observation::Observation;
use registry_model::{Outcome, State};

use crate::belief::Belief;
use crate::divergence::Stop;
use crate::plan::ActorIndex;

/// Steps of the model for one block.
const STEPS_MAX: u32 = 200_000;
/// Most calls of a block.
const OPERATIONS_MAX: usize = 64;

/// A call with its answer.
pub(super) struct Operation {
    pub(super) strand: usize,
    pub(super) actor: ActorIndex,
    pub(super) input: Input,
    pub(super) observation: Observation,
    pub(super) invoked: u64,
    pub(super) returned: u64,
}

/// What a search comes to. Calls are named by their places.
pub(super) enum Ordered {
    /// An order, and what may be believed after it or any other.
    Found { order: Vec<usize>, ends: Vec<Belief> },
    /// There is none; the longest beginning of one.
    None { prefix: Vec<usize> },
}

/// Looks for all that may be believed after these calls.
///
/// # Errors
/// That it cannot be decided within the bounds, or is outside this edition.
pub(super) fn search(belief: &Belief, operations: &[Operation]) -> Result<Ordered, Stop> {
    if operations.len() > OPERATIONS_MAX {
        let why = format!("more than {OPERATIONS_MAX} calls overlap");
        return Err(Stop::Indeterminate(why));
    }
    let mut search = Search {
        operations,
        steps: 0,
        placed: Vec::new(),
        seen: BTreeMap::new(),
        longest: Vec::new(),
        first: None,
        ends: Vec::new(),
    };
    search.from(belief, 0)?;
    Ok(match search.first {
        Some(order) => Ordered::Found { order, ends: search.ends },
        None => Ordered::None { prefix: search.longest },
    })
}

struct Search<'a> {
    operations: &'a [Operation],
    steps: u32,
    placed: Vec<usize>,
    /// What was looked at, by the set of calls that had taken effect.
    seen: BTreeMap<u64, Vec<State>>,
    longest: Vec<usize>,
    first: Option<Vec<usize>>,
    ends: Vec<Belief>,
}

impl Search<'_> {
    fn from(&mut self, belief: &Belief, done: u64) -> Result<(), Stop> {
        let seen = self.seen.entry(done).or_default();
        if seen.contains(&belief.state) {
            return Ok(());
        }
        seen.push(belief.state.clone());
        if self.placed.len() > self.longest.len() {
            self.longest.clone_from(&self.placed);
        }
        if self.placed.len() == self.operations.len() {
            self.first.get_or_insert_with(|| self.placed.clone());
            self.ends.push(belief.clone());
            return Ok(());
        }
        for next in self.candidates(done) {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                let why = format!("no order of the calls was found in {STEPS_MAX} steps");
                return Err(Stop::Indeterminate(why));
            }
            let Operation { input, observation, .. } = &self.operations[next];
            for step in belief.state.step(input) {
                if let Outcome::Outside(what) = &step.outcome {
                    return Err(Stop::Outside((*what).to_owned()));
                }
                if let Ok(state) = step.accept(observation) {
                    self.placed.push(next);
                    self.from(&belief.after(&step, state), done | 1 << next)?;
                    self.placed.pop();
                }
            }
        }
        Ok(())
    }

    /// What can take effect next: what was invoked before anything that is left has returned.
    fn candidates(&self, done: u64) -> Vec<usize> {
        let left = (0..self.operations.len()).filter(|place| done >> place & 1 == 0);
        let first_return = left.clone().map(|place| self.operations[place].returned).min();
        let may_be = |place: &usize| Some(self.operations[*place].invoked) < first_return;
        left.filter(may_be).collect()
    }
}
