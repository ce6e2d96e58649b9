//! Linearizability: whether overlapping operations can have taken effect one at a time, each between
//! its invocation and its return (Herlihy and Wing, "Linearizability", 1990).
//!
//! The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with the memory
//! of Lowe ("Testing for Linearizability", 2017): no pair of operations that have taken effect and state is
//! looked at twice. It goes from return to return and lets nothing take effect before a return needs it,
//! which is Lowe's just-in-time variant. Beside that, it finds every end state and not only one order,
//! since a run goes on from there; and it keeps states by equality, with a fingerprint in front where a
//! specification has one, as a state of the registry has an order and a hash for nobody else.
//!
//! Knows of no object: what is checked is a [`SequentialSpecification`]. `registry` makes one of the model,
//! `register` is one to measure on.

mod bits;
mod history;
mod prefix;
pub mod register;
pub mod registry;
mod search;
#[cfg(test)]
mod tests;

use history::History;
use search::{Ending, Search};

/// What an object does if nothing overlaps.
///
/// An operation carries the response that was observed.
pub trait SequentialSpecification {
    /// What the object is at one moment.
    type State: Clone + Eq;
    /// A call with its response.
    type Operation;

    /// Every state that may follow if the operation is carried out in `state` and answers as it did.
    /// None, if it cannot have answered so.
    fn step(&self, state: &Self::State, operation: &Self::Operation) -> Vec<Self::State>;

    /// The same of an operation whose response nobody has seen: any would do. That it is not carried out
    /// at all is none of these.
    fn step_unanswered(&self, state: &Self::State, operation: &Self::Operation)
    -> Vec<Self::State>;

    /// Whether the operation leaves every state as it is. Then it takes effect as early as it can, and
    /// nothing else is tried.
    fn is_read(&self, _operation: &Self::Operation) -> bool {
        false
    }

    /// The state with what operations that are under way in it, and have yet to take effect, notice of it; `None` if
    /// they notice nothing. It may only add to what they can do.
    fn noticed(
        &self,
        _state: &Self::State,
        _under_way: &mut dyn Iterator<Item = &Self::Operation>,
    ) -> Option<Self::State> {
        None
    }

    /// A number that equal states share, so that fewer are compared.
    fn fingerprint(&self, _state: &Self::State) -> u64 {
        0
    }
}

/// A moment of a history. Of two moments the earlier has the lower number; what begins at the moment at
/// which something else ends overlaps with it.
pub type Position = u64;

/// One operation of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<O> {
    /// Who carried it out, for reports.
    pub process: u32,
    /// When it was invoked.
    pub invoked: Position,
    /// When it returned; `None` if it never did. Before its invocation nothing returns: such an operation
    /// takes no time.
    pub returned: Option<Position>,
    /// The call with its response.
    pub operation: O,
}

/// How much a check may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Steps of the specification. Memory grows with them.
    pub steps_max: u64,
    /// When the check has seen enough.
    pub end_states: EndStates,
    /// What is wanted of a history that is not linearizable.
    pub prefix: Prefix,
}

/// What is wanted of a history that is not linearizable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// How far the search came: an order of a prefix that is linearizable, which need not be the longest.
    Furthest,
    /// The longest prefix that is linearizable, for a report: more searches.
    Longest,
}

/// Which end states are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndStates {
    /// The first one that is found.
    One,
    /// All, for whoever goes on from there.
    All,
}

/// What a check comes to. Operations are named by their places in the history that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<State> {
    /// The operations can have taken effect one at a time.
    Linearizable {
        /// In this order, for example. Operations without a return may be missing.
        order: Vec<usize>,
        /// The distinct states that may follow.
        states: Vec<State>,
        /// Whether these are all, and not only those that the budget sufficed for.
        are_all: bool,
        /// Steps of the specification that were taken.
        explored: u64,
    },
    /// They cannot.
    NotLinearizable {
        /// An order for the longest prefix of the history that is linearizable, if that was wanted: all that
        /// returned before `cannot_be_placed` did, and some of what was under way by then.
        longest_prefix: Vec<usize>,
        /// The operation by whose return the history is linearizable no more.
        cannot_be_placed: usize,
        /// Some of the states that it was tried in.
        states: Vec<State>,
        /// Steps of the specification that were taken.
        explored: u64,
    },
    /// The budget did not suffice.
    Undecided {
        /// Steps of the specification that were taken.
        explored: u64,
    },
}

/// Checks a history that begins in any of the `initial` states.
pub fn check<S: SequentialSpecification>(
    specification: &S,
    initial: Vec<S::State>,
    history: &[Operation<S::Operation>],
    budget: Budget,
) -> Decision<S::State> {
    let whole = History::new(history);
    let mut search = Search::new(specification, history, &whole, budget);
    match search.run(&initial) {
        Ending::Found { order, are_all } => {
            let explored = search.steps();
            Decision::Linearizable { order, states: search.into_end_states(), are_all, explored }
        }
        Ending::OutOfBudget => Decision::Undecided { explored: search.steps() },
        Ending::Stuck(stuck) => {
            let explored = search.steps();
            match budget.prefix {
                Prefix::Longest => {
                    prefix::longest(specification, &initial, history, &whole, (stuck, explored))
                }
                Prefix::Furthest => prefix::furthest(stuck, explored),
            }
        }
    }
}
