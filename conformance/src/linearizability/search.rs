//! The search: depth first over what has taken effect and the state that it has led to, with a memory of
//! what was looked at. It is iterative, and its steps are counted.

use std::collections::BTreeMap;

use super::bits::BitSet;
use super::history::{History, Stop};
use super::{Budget, EndStates, Operation, SequentialSpecification};

/// Comparisons of states that count as a step.
const COMPARISONS_OF_A_STEP: u64 = 8;
/// States that are told of an operation that cannot be placed.
const STATES_TOLD_MAX: usize = 16;

/// How a search ended.
pub(super) enum Ending<State> {
    /// The operations can have taken effect in this order.
    Found {
        order: Vec<usize>,
        /// Whether all end states were found, if all were wanted.
        are_all: bool,
    },
    /// They cannot have taken effect in any.
    Stuck(Stuck<State>),
    /// There were not enough steps.
    OutOfBudget,
}

/// The furthest that a search came.
pub(super) struct Stuck<State> {
    /// An order as far as it came.
    pub(super) order: Vec<usize>,
    /// The operation whose return it did not come past; `None` if there was no state to begin in.
    pub(super) operation: Option<usize>,
    /// Some of the states that it was in then.
    pub(super) states: Vec<State>,
}

/// A place of the search.
#[derive(Clone)]
struct Node<State> {
    /// The stop that it has come to.
    stop: usize,
    /// The slots of what is under way there and has taken effect.
    placed: BitSet,
    state: State,
    path: Option<PathId>,
}

/// What led to a node: the last operation that took effect, and what led there.
#[derive(Clone, Copy)]
struct PathId(usize);

/// A node whose ways on are being tried.
struct Frame<State> {
    node: Node<State>,
    /// How many of the pending operations have been tried.
    tried: usize,
    /// The last of these, and states to which it leads that were not looked at.
    operation: usize,
    successors: Vec<State>,
}

/// The states that were looked at: by the stop, what had taken effect, and the fingerprint.
type Memory<State> = BTreeMap<(usize, BitSet, u64), Vec<State>>;

/// A search under way.
pub(super) struct Search<'a, S: SequentialSpecification> {
    specification: &'a S,
    operations: &'a [Operation<S::Operation>],
    history: &'a History,
    budget: Budget,
    steps: u64,
    memory: Memory<S::State>,
    paths: Vec<(usize, Option<PathId>)>,
    end_states: BTreeMap<u64, Vec<S::State>>,
    /// The path to the first end state.
    first: Option<Option<PathId>>,
    /// The stop that was come furthest to, and the first path to it.
    furthest: (usize, Option<PathId>),
}

impl<'a, S: SequentialSpecification> Search<'a, S> {
    pub(super) fn new(
        specification: &'a S,
        operations: &'a [Operation<S::Operation>],
        history: &'a History,
        budget: Budget,
    ) -> Search<'a, S> {
        Search {
            specification,
            operations,
            history,
            budget,
            steps: 0,
            memory: BTreeMap::new(),
            paths: Vec::new(),
            end_states: BTreeMap::new(),
            first: None,
            furthest: (0, None),
        }
    }

    /// Searches from every one of these states.
    pub(super) fn run(&mut self, initial: &[S::State]) -> Ending<S::State> {
        for state in initial {
            let node =
                Node { stop: 0, placed: BitSet::default(), state: state.clone(), path: None };
            if !self.run_from(node) {
                return match self.first {
                    Some(path) => Ending::Found { order: self.order(path), are_all: false },
                    None => Ending::OutOfBudget,
                };
            }
            if self.has_enough() {
                break;
            }
        }
        match self.first {
            Some(path) => Ending::Found { order: self.order(path), are_all: !self.has_enough() },
            None => Ending::Stuck(self.stuck()),
        }
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    pub(super) fn into_end_states(self) -> Vec<S::State> {
        self.end_states.into_values().flatten().collect()
    }

    /// Searches from a node. Returns whether the budget sufficed.
    fn run_from(&mut self, node: Node<S::State>) -> bool {
        let mut stack = Vec::new();
        stack.extend(self.enter(node));
        while let Some(frame) = stack.last_mut() {
            if self.has_enough() {
                return true;
            }
            if let Some(state) = frame.successors.pop() {
                let (node, operation) = (&frame.node, frame.operation);
                let placed = self.with(&node.placed, operation);
                let path = self.path(operation, node.path);
                let node = Node { stop: node.stop, placed, state, path };
                stack.extend(self.enter(node));
                continue;
            }
            let Some(operation) = self.history.stops()[frame.node.stop].pending.get(frame.tried)
            else {
                stack.pop();
                continue;
            };
            frame.tried += 1;
            if frame.node.placed.contains(self.history.slot(*operation)) {
                continue;
            }
            if self.steps >= self.budget.steps_max {
                return false;
            }
            frame.operation = *operation;
            frame.successors = self.step(&frame.node.state, *operation);
            frame.successors.reverse();
        }
        true
    }

    fn has_enough(&self) -> bool {
        self.first.is_some() && self.budget.end_states == EndStates::One
    }

    /// Goes on to the next stop at which something has to take effect. There is nothing to be tried there
    /// if it was looked at before.
    fn enter(&mut self, mut node: Node<S::State>) -> Option<Frame<S::State>> {
        loop {
            let Stop { returns, .. } = &self.history.stops()[node.stop];
            let Some(slot) = returns.map(|operation| self.history.slot(operation)) else { break };
            if !node.placed.contains(slot) {
                self.place_reads(&mut node);
            }
            if !node.placed.contains(slot) {
                break;
            }
            node.placed.remove(slot);
            node.stop += 1;
        }
        if node.stop > self.furthest.0 {
            self.furthest = (node.stop, node.path);
        }
        if let Some(state) = self.noticed(&node) {
            node.state = state;
        }
        if !self.remember(&node) {
            return None;
        }
        if node.stop + 1 == self.history.stops().len() {
            self.reached_the_end(&node);
        }
        Some(Frame { node, tried: 0, operation: 0, successors: Vec::new() })
    }

    /// The state of a node with what is noticed of it.
    fn noticed(&self, node: &Node<S::State>) -> Option<S::State> {
        let pending = self.history.stops()[node.stop].pending.iter();
        let is_under_way =
            |operation: &&usize| !node.placed.contains(self.history.slot(**operation));
        let mut under_way =
            pending.filter(is_under_way).map(|operation| &self.operations[*operation].operation);
        self.specification.noticed(&node.state, &mut under_way)
    }

    /// Lets reads that agree with the state take effect: whatever comes, they can as well come before it.
    fn place_reads(&mut self, node: &mut Node<S::State>) {
        for operation in &self.history.stops()[node.stop].pending {
            let is_read = self.specification.is_read(&self.operations[*operation].operation);
            if !is_read
                || !self.history.has_returned(*operation)
                || node.placed.contains(self.history.slot(*operation))
            {
                continue;
            }
            let steps = self.step(&node.state, *operation);
            if !steps.is_empty() && steps.iter().all(|state| *state == node.state) {
                node.placed.insert(self.history.slot(*operation));
                node.path = self.path(*operation, node.path);
            }
        }
    }

    fn step(&mut self, state: &S::State, operation: usize) -> Vec<S::State> {
        self.steps += 1;
        let Operation { operation: what, .. } = &self.operations[operation];
        if self.history.has_returned(operation) {
            self.specification.step(state, what)
        } else {
            self.specification.step_unanswered(state, what)
        }
    }

    /// Whether the node is new.
    fn remember(&mut self, node: &Node<S::State>) -> bool {
        let fingerprint = self.specification.fingerprint(&node.state);
        let key = (node.stop, node.placed.clone(), fingerprint);
        let known = self.memory.entry(key).or_default();
        self.steps += known.len() as u64 / COMPARISONS_OF_A_STEP;
        is_new(known, &node.state)
    }

    fn reached_the_end(&mut self, node: &Node<S::State>) {
        let fingerprint = self.specification.fingerprint(&node.state);
        is_new(self.end_states.entry(fingerprint).or_default(), &node.state);
        self.first.get_or_insert(node.path);
    }

    fn with(&self, placed: &BitSet, operation: usize) -> BitSet {
        let mut placed = placed.clone();
        placed.insert(self.history.slot(operation));
        placed
    }

    fn path(&mut self, operation: usize, before: Option<PathId>) -> Option<PathId> {
        self.paths.push((operation, before));
        Some(PathId(self.paths.len() - 1))
    }

    fn order(&self, mut path: Option<PathId>) -> Vec<usize> {
        let mut order = Vec::new();
        while let Some(PathId(id)) = path {
            let (operation, before) = self.paths[id];
            order.push(operation);
            path = before;
        }
        order.reverse();
        order
    }

    fn stuck(&self) -> Stuck<S::State> {
        let (stop, path) = self.furthest;
        let here = (stop, BitSet::default(), 0)..;
        let states = self.memory.range(here).flat_map(|(_, states)| states.iter().cloned());
        Stuck {
            order: self.order(path),
            operation: self.history.stops()[stop].returns.filter(|_| !self.memory.is_empty()),
            states: states.take(STATES_TOLD_MAX).collect(),
        }
    }
}

fn is_new<State: Clone + Eq>(known: &mut Vec<State>, state: &State) -> bool {
    let is_new = !known.contains(state);
    if is_new {
        known.push(state.clone());
    }
    is_new
}
