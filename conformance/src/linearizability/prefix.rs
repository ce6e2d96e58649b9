//! The longest prefix of a history that is linearizable, and the operation by whose return it ends.
//!
//! A search of the whole history knows every answer, also of what is under way where it ends. A prefix does
//! not: what is under way at its end may yet answer anything. So the search's end is where to begin to
//! look, and no prefix that ends before it needs a look.

use super::history::History;
use super::search::{Ending, Search, Stuck};
use super::{Budget, Decision, EndStates, Operation, Prefix, SequentialSpecification};

/// Steps for each prefix that is tried.
const STEPS_MAX: u64 = 1_000_000;
/// Prefixes that are tried; beyond that, the one that the whole history has led to stands.
const PREFIXES_MAX: usize = 64;

/// The decision on a history that a search has found no order for, in so many steps.
pub(super) fn longest<S: SequentialSpecification>(
    specification: &S,
    initial: &[S::State],
    operations: &[Operation<S::Operation>],
    whole: &History,
    (found, mut explored): (Stuck<S::State>, u64),
) -> Decision<S::State> {
    let prefix = Prefix::Longest;
    let budget = Budget { steps_max: STEPS_MAX, end_states: EndStates::One, prefix };
    let Some(first) = found.operation else { return furthest(found, explored) };
    let mut longest_prefix = found.order.clone();
    for operation in whole.returning_from(first).take(PREFIXES_MAX) {
        let prefix = whole.until(operation);
        let mut search = Search::new(specification, operations, &prefix, budget);
        let ending = search.run(initial);
        explored += search.steps();
        match ending {
            Ending::Found { order, .. } => longest_prefix = order,
            Ending::Stuck(Stuck { states, .. }) => {
                return Decision::NotLinearizable {
                    longest_prefix,
                    cannot_be_placed: operation,
                    states,
                    explored,
                };
            }
            Ending::OutOfBudget => break,
        }
    }
    furthest(found, explored)
}

/// The decision on a history of which no more is known than how far a search came, in so many steps.
pub(super) fn furthest<State>(found: Stuck<State>, explored: u64) -> Decision<State> {
    let Stuck { order: longest_prefix, operation, states } = found;
    match operation {
        Some(cannot_be_placed) => {
            Decision::NotLinearizable { longest_prefix, cannot_be_placed, states, explored }
        }
        // Nothing was tried: there is no state to begin in.
        None => Decision::Undecided { explored },
    }
}
