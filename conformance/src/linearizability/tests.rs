//! The checker beside the definition: every order of small histories, on registers and a queue.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::register::{Access, Contents, Registers, linearizable_history};
use super::*;

const ALL: Budget =
    Budget { steps_max: 1_000_000, end_states: EndStates::All, prefix: Prefix::Longest };

/// A queue of numbers. It may forget what it holds whenever something is put in, so that a step leads to
/// several states.
struct ForgetfulQueue;

#[derive(Clone, Debug, PartialEq)]
enum QueueCall {
    Put(u8),
    Take(Option<u8>),
}

impl SequentialSpecification for ForgetfulQueue {
    type State = VecDeque<u8>;
    type Operation = QueueCall;

    fn step(&self, state: &VecDeque<u8>, call: &QueueCall) -> Vec<VecDeque<u8>> {
        let mut next = state.clone();
        match call {
            QueueCall::Put(value) => {
                next.push_back(*value);
                vec![next, VecDeque::from([*value])]
            }
            QueueCall::Take(taken) => {
                if next.pop_front() == *taken {
                    vec![next]
                } else {
                    Vec::new()
                }
            }
        }
    }

    fn step_unanswered(&self, state: &VecDeque<u8>, call: &QueueCall) -> Vec<VecDeque<u8>> {
        match call {
            QueueCall::Put(_) => self.step(state, call),
            QueueCall::Take(_) => self.step(state, &QueueCall::Take(state.front().copied())),
        }
    }
}

/// The end states of every order of every choice of operations that the definition allows.
fn by_definition<S: SequentialSpecification>(
    specification: &S,
    initial: &[S::State],
    history: &[Operation<S::Operation>],
) -> Vec<S::State> {
    let mut ends = Vec::new();
    for chosen in 0..1_usize << history.len() {
        let chosen: Vec<usize> = (0..history.len()).filter(|at| chosen >> at & 1 == 1).collect();
        let is_in = |at: usize| history[at].returned.is_none() || chosen.contains(&at);
        if (0..history.len()).all(is_in) {
            every_order(&mut chosen.clone(), 0, &mut |order| {
                for state in states_of(specification, initial, history, order) {
                    if !ends.contains(&state) {
                        ends.push(state);
                    }
                }
            });
        }
    }
    ends
}

fn every_order(items: &mut [usize], fixed: usize, visit: &mut dyn FnMut(&[usize])) {
    if fixed == items.len() {
        return visit(items);
    }
    for next in fixed..items.len() {
        items.swap(fixed, next);
        every_order(items, fixed + 1, visit);
        items.swap(fixed, next);
    }
}

/// The states that this order leads to; none if it goes against the times or the responses.
fn states_of<S: SequentialSpecification>(
    specification: &S,
    initial: &[S::State],
    history: &[Operation<S::Operation>],
    order: &[usize],
) -> Vec<S::State> {
    let is_before = |one: usize, other: usize| {
        history[one].returned.is_some_and(|returned| returned < history[other].invoked)
    };
    for (place, later) in order.iter().enumerate() {
        if order[..place].iter().any(|earlier| is_before(*later, *earlier)) {
            return Vec::new();
        }
    }
    let mut states = initial.to_vec();
    for operation in order.iter().map(|index| &history[*index]) {
        let step = |state: &S::State| match operation.returned {
            Some(_) => specification.step(state, &operation.operation),
            None => specification.step_unanswered(state, &operation.operation),
        };
        states = states.iter().flat_map(step).collect();
    }
    states
}

/// What has happened just before, or just after, a position.
fn prefix<O: Clone>(
    history: &[Operation<O>],
    end: Position,
    is_included: bool,
) -> (Vec<usize>, Vec<Operation<O>>) {
    let is_over = |at: Position| at < end || is_included && at == end;
    let begun = history.iter().enumerate().filter(|(_, operation)| is_over(operation.invoked));
    begun
        .map(|(index, operation)| {
            let returned = operation.returned.filter(|returned| is_over(*returned));
            (index, Operation { returned, ..operation.clone() })
        })
        .unzip()
}

/// Compares the checker with the definition.
fn compare<S>(specification: &S, initial: &[S::State], history: &[Operation<S::Operation>])
where
    S: SequentialSpecification<State: std::fmt::Debug, Operation: Clone>,
{
    let ends = by_definition(specification, initial, history);
    match check(specification, initial.to_vec(), history, ALL) {
        Decision::Linearizable { order, states, are_all, .. } => {
            assert!(are_all);
            assert!(!states_of(specification, initial, history, &order).is_empty(), "{order:?}");
            assert_eq!(states.len(), ends.len(), "{states:?} but {ends:?}");
            assert!(ends.iter().all(|end| states.contains(end)), "{states:?} but {ends:?}");
        }
        Decision::NotLinearizable { longest_prefix, cannot_be_placed, states, .. } => {
            assert!(ends.is_empty(), "there is an order that leads to {ends:?}");
            assert!(!states.is_empty());
            let end = history[cannot_be_placed].returned.expect("what does not return can wait");
            let (_, with) = prefix(history, end, true);
            assert!(by_definition(specification, initial, &with).is_empty(), "too early");
            leads_to(specification, initial, history, (&longest_prefix, cannot_be_placed));
            compare_furthest(specification, initial, history, end);
        }
        Decision::Undecided { explored } => panic!("undecided after {explored} steps"),
    }
}

/// What is said of a history that is not linearizable where its longest prefix, which ends here, is not wanted.
fn compare_furthest<S>(
    specification: &S,
    initial: &[S::State],
    history: &[Operation<S::Operation>],
    longest_end: Position,
) where
    S: SequentialSpecification<State: std::fmt::Debug, Operation: Clone>,
{
    let budget = Budget { prefix: Prefix::Furthest, ..ALL };
    let decision = check(specification, initial.to_vec(), history, budget);
    let Decision::NotLinearizable { longest_prefix, cannot_be_placed, states, .. } = decision
    else {
        panic!("the same history, but {decision:?}");
    };
    assert!(!states.is_empty());
    assert!(history[cannot_be_placed].returned.is_some_and(|end| end <= longest_end));
    leads_to(specification, initial, history, (&longest_prefix, cannot_be_placed));
}

/// Asserts that an order of a prefix is one, and has all that returned before an operation did.
fn leads_to<S>(
    specification: &S,
    initial: &[S::State],
    history: &[Operation<S::Operation>],
    (order, cannot_be_placed): (&[usize], usize),
) where
    S: SequentialSpecification<Operation: Clone>,
{
    let end = history[cannot_be_placed].returned.expect("what does not return can wait");
    let (indices, without) = prefix(history, end, false);
    let renumbered: BTreeMap<usize, usize> =
        indices.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let order: Vec<usize> = order.iter().map(|old| renumbered[old]).collect();
    let returned = without.iter().enumerate().filter(|(_, o)| o.returned.is_some());
    assert!(returned.map(|(index, _)| index).all(|index| order.contains(&index)));
    assert!(!states_of(specification, initial, &without, &order).is_empty(), "{order:?}");
}

/// Intervals at positions of their own, one in a few without an end.
fn intervals(count: usize) -> impl Strategy<Value = Vec<(Position, Option<Position>)>> {
    let positions = Just((0..2 * count as u64).collect::<Vec<_>>()).prop_shuffle();
    (positions, prop::collection::vec(0_u8..5, count)).prop_map(move |(positions, endless)| {
        let pairs = positions.chunks(2).zip(endless);
        pairs
            .map(|(pair, endless)| {
                (pair[0].min(pair[1]), (endless > 0).then(|| pair[0].max(pair[1])))
            })
            .collect()
    })
}

fn history_of<O: Clone + std::fmt::Debug>(
    call: impl Strategy<Value = O> + Clone,
) -> impl Strategy<Value = Vec<Operation<O>>> {
    (1_usize..=5).prop_flat_map(move |count| {
        (intervals(count), prop::collection::vec(call.clone(), count)).prop_map(
            |(intervals, calls)| {
                let operations = intervals.into_iter().zip(calls).enumerate();
                operations
                    .map(|(index, ((invoked, returned), operation))| Operation {
                        process: index as u32,
                        invoked,
                        returned,
                        operation,
                    })
                    .collect()
            },
        )
    })
}

fn any_access() -> impl Strategy<Value = Access> + Clone {
    let value = || 0_u64..2;
    let seen = || prop::option::of(value());
    prop_oneof![
        (0_u32..2, value()).prop_map(|(key, value)| Access::Write { key, value }),
        (0_u32..2, seen()).prop_map(|(key, value)| Access::Read { key, value }),
        (0_u32..2, seen(), value(), any::<bool>()).prop_map(|(key, expected, value, done)| {
            Access::Exchange { key, expected, value, done }
        }),
    ]
}

fn any_queue_call() -> impl Strategy<Value = QueueCall> + Clone {
    prop_oneof![
        (0_u8..3).prop_map(QueueCall::Put),
        prop::option::of(0_u8..3).prop_map(QueueCall::Take),
    ]
}

/// Another response to one access of the history.
fn mutate(history: &mut [Operation<Access>], at: usize) {
    let length = history.len();
    match &mut history[at % length].operation {
        Access::Write { value, .. } => *value += 1,
        Access::Read { value, .. } => *value = Some(value.map_or(1, |value| value + 1)),
        Access::Exchange { done, .. } => *done = !*done,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn decisions_on_registers_are_those_of_the_definition(history in history_of(any_access())) {
        compare(&Registers, &[Contents::new()], &history);
    }

    #[test]
    fn decisions_on_a_queue_are_those_of_the_definition(history in history_of(any_queue_call())) {
        compare(&ForgetfulQueue, &[VecDeque::new(), VecDeque::from([2])], &history);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn another_response_is_judged_as_the_definition_has_it(seed: u64, at: usize) {
        let mut history = linearizable_history(seed, 6, 3);
        mutate(&mut history, at);
        compare(&Registers, &[Contents::new()], &history);
    }

    #[test]
    fn a_history_that_was_made_by_an_order_is_linearizable(
        seed: u64,
        operations in 1_usize..400,
        overlap in 1_u32..9,
    ) {
        let history = linearizable_history(seed, operations, overlap);
        let budget = Budget { end_states: EndStates::One, ..ALL };
        let decision = check(&Registers, vec![Contents::new()], &history, budget);
        let Decision::Linearizable { order, .. } = decision else { panic!("{decision:?}") };
        prop_assert_eq!(order.len(), operations);
        prop_assert!(!states_of(&Registers, &[Contents::new()], &history, &order).is_empty());
    }
}

fn write(invoked: Position, returned: Option<Position>, value: u64) -> Operation<Access> {
    let operation = Access::Write { key: 0, value };
    Operation { process: 0, invoked, returned, operation }
}

fn read(invoked: Position, returned: Position, value: Option<u64>) -> Operation<Access> {
    let operation = Access::Read { key: 0, value };
    Operation { process: 1, invoked, returned: Some(returned), operation }
}

fn check_registers(history: &[Operation<Access>], budget: Budget) -> Decision<Contents> {
    check(&Registers, vec![Contents::new()], history, budget)
}

#[test]
fn a_stale_read_cannot_be_placed() {
    let history =
        [write(0, Some(1), 7), write(2, Some(6), 8), read(3, 4, Some(8)), read(5, 7, Some(7))];
    let Decision::NotLinearizable { longest_prefix, cannot_be_placed, states, .. } =
        check_registers(&history, ALL)
    else {
        panic!("a read of what was overwritten before it began");
    };
    assert_eq!((longest_prefix, cannot_be_placed), (vec![0, 1, 2], 3));
    assert_eq!(states, [Contents::from([(0, 8)])]);
}

#[test]
fn a_prefix_does_not_know_how_what_is_under_way_will_answer() {
    let exchange = Operation {
        process: 0,
        invoked: 0,
        returned: Some(5),
        operation: Access::Exchange { key: 0, expected: None, value: 9, done: false },
    };
    // Until the exchange has said that it did nothing, it may be what was read.
    let history = [exchange, read(1, 2, Some(9))];
    let Decision::NotLinearizable { longest_prefix, cannot_be_placed, .. } =
        check_registers(&history, ALL)
    else {
        panic!("nobody wrote what was read");
    };
    assert_eq!((longest_prefix, cannot_be_placed), (vec![0, 1], 0));
}

#[test]
fn what_never_returned_may_have_taken_effect_or_not() {
    let Decision::Linearizable { states, are_all, .. } =
        check_registers(&[write(0, Some(1), 7), write(2, None, 8)], ALL)
    else {
        panic!("two writes");
    };
    assert!(are_all);
    assert_eq!(states.len(), 2, "{states:?}");
}

#[test]
fn what_the_budget_does_not_suffice_for_is_undecided() {
    let history: Vec<_> = (0..8).map(|value| write(0, Some(1), value)).collect();
    let decision = check_registers(&history, Budget { steps_max: 7, ..ALL });
    assert_eq!(decision, Decision::Undecided { explored: 7 });
}

#[test]
fn end_states_that_the_budget_does_not_suffice_for_are_said_to_be_missing() {
    let history: Vec<_> = (0..8).map(|value| write(0, Some(1), value)).collect();
    let decision = check_registers(&history, Budget { steps_max: 20, ..ALL });
    let Decision::Linearizable { states, are_all, .. } = decision else { panic!("{decision:?}") };
    assert!(!are_all && states.len() < 8);
}

#[test]
fn without_a_state_to_begin_in_nothing_is_decided() {
    let decision = check(&Registers, Vec::new(), &[read(0, 1, None)], ALL);
    assert_eq!(decision, Decision::Undecided { explored: 0 });
}
