//! Small histories of the registry, made by hand.

use registry_model::errno::Errno;
use registry_model::input::{
    Call, Caller, Contents, DeviceCall, Environment, Fd, ProcessId, Registration, SourceId,
};
use registry_model::observation::Observation;
use registry_model::security::Token;
use registry_model::store_entry::{StoreEntry, StoredKey, StoredRecord, StoredSequence};

use super::*;

const SOURCE: SourceId = SourceId(0);
const KEY_ALL_ACCESS: u32 = 0x000F_003F;
const REG_DWORD: u32 = 4;
/// The fd that every process has of the key of the tests.
const KEY: Fd = 3;
const STEPS_MAX: u64 = 100_000;

fn input(process: u32, call: Call) -> Input {
    let caller = Caller { process: ProcessId(process), token: Token::system() };
    Input::Call { caller, call, began: 100, ended: 200, interrupted: false }
}

/// Takes a state through an input that is answered as the model expects.
fn expected(state: &State, input: &Input) -> State {
    let step = state.step(input).swap_remove(0);
    let answer = step.outcome.example(KEY).expect("an answer");
    assert!(!matches!(answer, Observation::Failed(_)), "{input:?}: {answer}");
    step.accept(&answer).expect("an example conforms")
}

/// A source with a key that the processes 0 to 2 have open.
fn booted() -> State {
    let device = |call| Input::Device { source: SOURCE, token: Token::system(), call, at: 0 };
    let registration = Some(Registration::of_global_hives([("Machine", [1; 16])], 0));
    let register = DeviceCall::Register { registration, contents: Contents::Kept };
    let mut state = expected(&State::new(), &device(DeviceCall::Open));
    state = expected(&state, &device(register));
    for process in 0..3 {
        state = expected(&state, &input(process, create(-1, "Machine\\k")));
    }
    state
}

fn create(parent: Fd, path: &str) -> Call {
    Call::CreateKey {
        parent,
        path: path.as_bytes().to_vec(),
        desired_access: KEY_ALL_ACCESS,
        flags: 0,
        layer: None,
        transaction: -1,
    }
}

fn open(parent: Fd, path: &str) -> Call {
    let (path, desired_access) = (path.as_bytes().to_vec(), KEY_ALL_ACCESS);
    Call::OpenKey { parent, path, desired_access, flags: 0 }
}

fn set(data: u8) -> Call {
    set_if(data, 0)
}

fn set_if(data: u8, expected_sequence: u64) -> Call {
    set_in("", data, expected_sequence)
}

fn set_in(layer: &str, data: u8, expected_sequence: u64) -> Call {
    Call::SetValue {
        fd: KEY,
        name: b"v".to_vec(),
        value_type: REG_DWORD,
        data: vec![data; 4],
        layer: layer.as_bytes().to_vec(),
        transaction: -1,
        expected_sequence,
    }
}

/// The same, with a blanket tombstone of this number at the key, which nobody has given out.
fn with_a_number_from_the_future(state: &State, number: u64) -> State {
    let key = StoredKey { path: vec!["Machine".to_owned(), "k".to_owned()], through: None };
    let (layer, sequence) = ("GHOST".to_owned(), StoredSequence::Number(number));
    let record = StoredRecord::Blanket { layer, sequence };
    let entry = Environment::StoreEntry(StoreEntry { key, record });
    state.step(&Input::Environment(entry)).swap_remove(0).next().clone()
}

const REGISTRY: &str = "Machine\\System\\Registry";

/// The same, with layers A to D, and a key for the parameters that process 11 has open.
fn with_layers(state: &State) -> State {
    let layers = format!("{REGISTRY}\\Layers");
    let made = ["Machine\\System", REGISTRY, &layers].map(str::to_owned);
    let named = ["A", "B", "C", "D"].map(|name| format!("{layers}\\{name}"));
    let mut state = state.clone();
    for (process, path) in (10..).zip(made.iter().chain(&named)) {
        state = expected(&state, &input(process, create(-1, path)));
    }
    state
}

/// Sets how many layers a value may have.
fn limit(layers: u32) -> Call {
    Call::SetValue {
        fd: KEY,
        name: b"MaxLayersPerValue".to_vec(),
        value_type: REG_DWORD,
        data: layers.to_le_bytes().to_vec(),
        layer: Vec::new(),
        transaction: -1,
        expected_sequence: 0,
    }
}

/// The same, with a layer A, and one layer at most for each value.
fn with_one_layer_for_each_value(state: &State) -> State {
    expected(&with_layers(state), &input(11, limit(1)))
}

fn get() -> Call {
    let name = b"v".to_vec();
    Call::QueryValue { fd: KEY, name, transaction: -1, data_capacity: 64, layer_capacity: 64 }
}

fn value(data: u8, sequence: u64) -> Observation {
    let (data, layer) = (vec![data; 4], b"base".to_vec());
    Observation::Value { value_type: REG_DWORD, data, sequence, layer }
}

fn call(
    process: u32,
    (invoked, returned): (u64, u64),
    call: Call,
    observation: Observation,
) -> Operation<RegistryInput> {
    let (input, observation) = (input(process, call), Some(observation));
    let number = Number::any();
    let operation = RegistryInput { input, observation, number, meets_death: true };
    Operation { process, invoked, returned: Some(returned), operation }
}

/// The source dies at this moment, or later.
fn death(invoked: u64) -> Operation<RegistryInput> {
    let input = Input::Environment(Environment::SourceDown { source: SOURCE });
    let operation =
        RegistryInput { input, observation: None, number: Number::any(), meets_death: false };
    Operation { process: 9, invoked, returned: Some(20), operation }
}

fn with_number(mut operation: Operation<RegistryInput>, number: u64) -> Operation<RegistryInput> {
    operation.operation.number = Number::Sent(BTreeSet::from([number]));
    operation
}

fn states(history: &[Operation<RegistryInput>]) -> Vec<State> {
    states_from(booted(), history)
}

fn states_from(initial: State, history: &[Operation<RegistryInput>]) -> Vec<State> {
    match judge(&[initial], history, STEPS_MAX, Prefix::Longest) {
        Judgement::Linearizable(linearized) => linearized.states,
        other => panic!("{other:?}"),
    }
}

fn obstacle(history: &[Operation<RegistryInput>]) -> Obstacle {
    obstacle_from(booted(), history)
}

fn obstacle_from(initial: State, history: &[Operation<RegistryInput>]) -> Obstacle {
    match judge(&[initial], history, STEPS_MAX, Prefix::Longest) {
        Judgement::NotLinearizable(obstacle) => *obstacle,
        other => panic!("{other:?}"),
    }
}

#[test]
fn writes_that_overlap_have_either_order_and_either_order_of_numbers() {
    let writes =
        [call(0, (0, 9), set(1), Observation::Done), call(1, (1, 8), set(2), Observation::Done)];
    assert_eq!(states(&writes).len(), 4);
}

#[test]
fn a_number_below_the_counter_was_taken_before() {
    let write = with_number(call(0, (0, 1), set(1), Observation::Done), 1);
    assert_eq!(obstacle(&[write]).cannot_be_placed, 0);
}

#[test]
fn writes_that_do_not_overlap_have_rising_numbers() {
    let next = booted().next_sequence();
    let writes =
        [call(0, (0, 1), set(1), Observation::Done), call(1, (2, 3), set(2), Observation::Done)];
    let [state] = &states(&writes)[..] else { panic!("one order, and one order of numbers") };
    assert_eq!(state.next_sequence(), next + 2);
    let read = |sequence| call(0, (4, 5), get(), value(2, sequence));
    assert_eq!(states(&[&writes[..], &[read(next + 1)]].concat()).len(), 1);
    let [first, second] = writes;
    let swapped = [with_number(first, next + 1), with_number(second, next)];
    assert_eq!(obstacle(&swapped).cannot_be_placed, 1);
}

#[test]
fn a_read_decides_the_order_and_the_numbers() {
    let next = booted().next_sequence();
    let history = |data, sequence| {
        [
            call(0, (0, 9), set(1), Observation::Done),
            call(1, (1, 8), set(2), Observation::Done),
            call(2, (10, 11), get(), value(data, sequence)),
        ]
    };
    for (data, sequence) in [(1, next), (1, next + 1), (2, next), (2, next + 1)] {
        assert_eq!(states(&history(data, sequence)).len(), 1, "{data} numbered {sequence}");
    }
    assert_eq!(obstacle(&history(1, next + 2)).cannot_be_placed, 2);
}

#[test]
fn what_the_wire_has_shown_of_a_number_is_kept_to() {
    let next = booted().next_sequence();
    let writes = [
        with_number(call(0, (0, 9), set(1), Observation::Done), next + 1),
        with_number(call(1, (1, 8), set(2), Observation::Done), next),
    ];
    assert_eq!(states(&writes).len(), 2, "the order of the numbers is not that of the effects");
}

#[test]
fn a_read_of_what_was_overwritten_cannot_be_placed() {
    let next = booted().next_sequence();
    let history = [
        call(0, (0, 1), set(1), Observation::Done),
        call(1, (2, 3), set(2), Observation::Done),
        call(2, (4, 5), get(), value(1, next)),
    ];
    let obstacle = obstacle(&history);
    assert_eq!((obstacle.longest_prefix, obstacle.cannot_be_placed), (vec![0, 1], 2));
    assert!(obstacle.expected.contains(&format!("{}", next + 1)), "{}", obstacle.expected);
    assert_ne!(obstacle.expected, obstacle.got);
    assert!(!obstacle.requirements.is_empty());
}

#[test]
fn one_of_two_conditional_writes_has_to_fail() {
    let next = booted().next_sequence();
    let history = |second: Observation| {
        [
            call(0, (0, 1), set(1), Observation::Done),
            call(0, (2, 9), set_if(2, next), Observation::Done),
            call(1, (3, 8), set_if(3, next), second),
        ]
    };
    assert!(!states(&history(Observation::Failed(Errno::EAGAIN))).is_empty());
    obstacle(&history(Observation::Done));
}

#[test]
fn keys_that_were_created_at_once_are_the_same_keys_in_either_order() {
    let next = booted().next_sequence();
    let opened = |fd| Observation::Opened { fd, disposition: Some(1) };
    let history = [
        with_number(call(0, (0, 9), create(KEY, "a"), opened(7)), next),
        with_number(call(1, (1, 8), create(KEY, "b"), opened(7)), next + 1),
    ];
    assert_eq!(states(&history).len(), 1);
}

#[test]
fn a_call_without_an_answer_has_taken_effect_or_not() {
    let mut write = call(0, (0, 9), set(1), Observation::Done);
    (write.returned, write.operation.observation) = (None, None);
    let read = call(1, (1, 2), get(), Observation::Failed(Errno::ENOENT));
    assert_eq!(states(&[write, read]).len(), 2);
}

/// What is stored after a write that a death has cut off and that may have been read, if it has sent this number.
fn stored_after_a_cut_off_write(number: Number) -> Vec<State> {
    let mut write = call(0, (0, 9), set(1), Observation::Failed(Errno::EIO));
    let Input::Call { interrupted, .. } = &mut write.operation.input else { panic!("a call") };
    *interrupted = true;
    write.operation.number = number;
    let read = call(1, (10, 11), get(), Observation::Failed(Errno::EIO));
    let ends = states(&[write, death(5), read]).into_iter();
    let mut stored = Vec::new();
    for state in ends.map(|state| state.with_next_sequence(1000)) {
        if !stored.contains(&state) {
            stored.push(state);
        }
    }
    stored
}

#[test]
fn a_call_that_overlaps_with_the_death_of_its_source_may_have_come_before_it() {
    let sent = Number::Unsent(BTreeSet::from([booted().next_sequence()]));
    assert!(stored_after_a_cut_off_write(sent).len() > 1);
}

#[test]
fn a_cut_off_write_that_has_sent_no_number_has_changed_nothing() {
    assert_eq!(stored_after_a_cut_off_write(Number::any()).len(), 1);
}

#[test]
fn numbers_that_a_death_has_cut_off_may_be_lost() {
    let next = booted().next_sequence();
    let cut_off = |process| call(process, (0, 9), set(1), Observation::Failed(Errno::EIO));
    let ends = states(&[cut_off(0), cut_off(1), death(5)]);
    let numbers: BTreeSet<u64> = ends.iter().map(State::next_sequence).collect();
    assert_eq!(numbers, (next..=next + 2).collect());
    let sent = with_number(call(2, (0, 4), set(2), Observation::Done), next + 1);
    let ends = states(&[cut_off(0), sent, death(5)]);
    let numbers: BTreeSet<u64> = ends.iter().map(State::next_sequence).collect();
    assert_eq!(numbers, BTreeSet::from([next + 2]), "the one that is missing was lost");
}

#[test]
fn a_creation_that_has_sent_no_number_has_made_room_at_most() {
    let hide = Call::HideKey { fd: KEY, layer: Vec::new(), transaction: -1 };
    let hidden = expected(&booted(), &input(0, hide));
    let mut creation = call(0, (0, 9), create(-1, "Machine\\k"), Observation::Failed(Errno::EIO));
    let Input::Call { interrupted, .. } = &mut creation.operation.input else { panic!("a call") };
    *interrupted = true;
    let mut ends: Vec<State> = Vec::new();
    for state in states_from(hidden.clone(), &[creation, death(5)]) {
        let state = state.with_next_sequence(1000);
        assert!(!(hidden.next_sequence()..1000).any(|number| state.stores(number)));
        if !ends.contains(&state) {
            ends.push(state);
        }
    }
    assert_eq!(ends.len(), 2, "hidden still, or not");
}

#[test]
fn only_a_call_that_meets_a_death_may_have_lost_a_number() {
    let counters = |meets_death: bool| {
        let mut write = call(0, (0, 9), set(1), Observation::Failed(Errno::EIO));
        write.operation.meets_death = meets_death;
        let ends = states(&[write, death(5)]).into_iter();
        ends.map(|state| state.next_sequence()).collect::<BTreeSet<u64>>().len()
    };
    assert_eq!((counters(true), counters(false)), (2, 1));
}

#[test]
fn what_fails_beside_a_death_may_be_told_of_though_it_comes_after_it() {
    let initial = with_a_number_from_the_future(&booted(), booted().next_sequence() + 90);
    let noted = |began: u64| {
        let mut write = call(0, (began, 9), set(1), Observation::Failed(Errno::EIO));
        let Input::Call { interrupted, .. } = &mut write.operation.input else { panic!("a call") };
        (*interrupted, write.operation.meets_death) = (began < 5, began < 5);
        let mut death = death(5);
        death.returned = Some(5);
        let history = [write, death];
        match judge(std::slice::from_ref(&initial), &history, STEPS_MAX, Prefix::Longest) {
            Judgement::Linearizable(linearized) => linearized.noted.audit,
            other => panic!("{other:?}"),
        }
    };
    let beside = noted(0);
    assert!(!beside.is_empty() && beside.iter().all(|due| due.optional), "{beside:?}");
    assert_eq!(noted(6), []);
}

#[test]
fn a_death_does_not_undo_what_was_answered_before() {
    let write = call(0, (0, 3), set(1), Observation::Done);
    let read = call(1, (4, 9), get(), Observation::Failed(Errno::ENOENT));
    assert_eq!(obstacle(&[write, read, death(5)]).cannot_be_placed, 1);
}

#[test]
fn marks_are_those_of_the_order_that_was_found() {
    let write = call(0, (0, 9), set(1), Observation::Done);
    let read = call(1, (10, 11), get(), value(1, booted().next_sequence()));
    let Judgement::Linearizable(linearized) =
        judge(&[booted()], &[write, read], STEPS_MAX, Prefix::Longest)
    else {
        panic!("a write and a read of it");
    };
    assert_eq!(linearized.order, [0, 1]);
    assert!(linearized.noted.covered.iter().count() > 5, "{:?}", linearized.noted.covered);
}

#[test]
fn what_the_budget_does_not_suffice_for_is_undecided() {
    let writes: Vec<_> =
        (0..3).map(|process| call(process, (0, 9), set(1), Observation::Done)).collect();
    assert!(matches!(
        judge(&[booted()], &writes, 10, Prefix::Longest),
        Judgement::Undecided { .. }
    ));
}

#[test]
fn a_number_that_others_took_before_is_none_from_the_future() {
    let next = booted().next_sequence();
    let initial = with_a_number_from_the_future(&booted(), next + 90);
    let query = |fd, process, range| {
        let name = b"other".to_vec();
        let get =
            Call::QueryValue { fd, name, transaction: -1, data_capacity: 64, layer_capacity: 64 };
        call(process, range, get, Observation::Failed(Errno::EIO))
    };
    // The blanket makes every read of the key malformed, and the model knows that entries may be.
    assert_eq!(states_from(initial, &[query(KEY, 0, (0, 1))]).len(), 1);
    // The creation finds what was hidden with a higher number than its own: before that it would have opened the key.
    let initial = with_a_number_from_the_future(&booted(), next - 1);
    let hide = Call::HideKey { fd: KEY, layer: Vec::new(), transaction: -1 };
    let created = Observation::Opened { fd: 7, disposition: Some(1) };
    let history = [
        with_number(call(0, (0, 9), create(-1, "Machine\\k"), created), next),
        with_number(call(1, (1, 3), hide, Observation::Done), next + 1),
    ];
    assert_eq!(states_from(initial, &history).len(), 1);
}

#[test]
fn what_is_under_way_may_have_raised_the_counter() {
    let next = booted().next_sequence();
    let initial = || with_a_number_from_the_future(&booted(), next);
    let missing = || Observation::Failed(Errno::ENOENT);
    let malformed = || Observation::Failed(Errno::EIO);
    // The write looks before it takes its number.
    let other = || create(KEY, "a");
    let opened = || Observation::Opened { fd: 7, disposition: Some(1) };
    let history = |answer| [call(0, (0, 9), other(), opened()), call(1, (1, 2), get(), answer)];
    assert!(!states_from(initial(), &history(missing())).is_empty());
    assert!(!states_from(initial(), &history(malformed())).is_empty());
    // What it is to make is not there yet when the read has found nothing from the future.
    let unmade = call(2, (3, 4), open(KEY, "a"), missing());
    let [making, reading] = history(missing());
    assert!(!states_from(initial(), &[making, reading, unmade]).is_empty());
    let alone = |answer| [call(1, (1, 2), get(), answer), call(0, (3, 9), other(), opened())];
    assert!(!states_from(initial(), &alone(malformed())).is_empty());
    assert_eq!(obstacle_from(initial(), &alone(missing())).cannot_be_placed, 0);
    assert!(!states_from(initial(), &[call(0, (0, 1), set(1), malformed())]).is_empty());
    assert_eq!(
        obstacle_from(initial(), &[call(0, (0, 1), set(1), Observation::Done)]).cannot_be_placed,
        0
    );
}

#[test]
fn writers_that_overlap_may_all_find_room_for_another_layer() {
    let initial = || with_one_layer_for_each_value(&booted());
    let history = |second: (u64, u64), answer| {
        [call(0, (0, 3), set(1), Observation::Done), call(1, second, set_in("A", 2, 0), answer)]
    };
    let full = || Observation::Failed(Errno::ENOSPC);
    assert!(!states_from(initial(), &history((1, 9), Observation::Done)).is_empty());
    assert!(!states_from(initial(), &history((1, 9), full())).is_empty());
    assert!(!states_from(initial(), &history((4, 9), full())).is_empty());
    assert_eq!(obstacle_from(initial(), &history((4, 9), Observation::Done)).cannot_be_placed, 1);
}

#[test]
fn writers_in_one_transaction_may_all_find_room_for_another_layer() {
    const TRANSACTION: Fd = 9;
    let within = |layer| {
        let mut write = set_in(layer, 1, 0);
        if let Call::SetValue { transaction, .. } = &mut write {
            *transaction = TRANSACTION;
        }
        write
    };
    let begin = input(0, Call::BeginTransaction);
    let mut initial = expected(&with_layers(&booted()), &input(11, limit(4)));
    let step = initial.step(&begin).swap_remove(0);
    initial = step.accept(&Observation::Begun { fd: TRANSACTION }).expect("a transaction");
    for layer in ["", "A", "B"] {
        initial = expected(&initial, &input(0, within(layer)));
    }
    let write = |strand, range, layer| {
        let mut write = call(0, range, within(layer), Observation::Done);
        write.process = strand;
        write
    };
    let history = [write(0, (0, 3), "C"), write(1, (1, 9), "D")];
    assert!(!states_from(initial.clone(), &history).is_empty());
    let history = [write(0, (0, 3), "C"), write(1, (4, 9), "D")];
    assert_eq!(obstacle_from(initial, &history).cannot_be_placed, 1);
}

#[test]
fn a_writer_may_have_found_room_before_the_limit_was_lowered() {
    let initial = || expected(&with_layers(&booted()), &input(0, set(1)));
    let sequence = initial().next_sequence() - 1;
    let history = |invoked| {
        [
            call(11, (1, 2), limit(1), Observation::Done),
            call(2, (3, 4), get(), value(1, sequence)),
            call(1, (invoked, 9), set_in("A", 2, 0), Observation::Done),
        ]
    };
    assert!(!states_from(initial(), &history(0)).is_empty());
    assert_eq!(obstacle_from(initial(), &history(5)).cannot_be_placed, 2);
}

/// Two creations of a key, of which the one that finds it may have taken the first of two numbers for nothing, and
/// a write after both.
fn creations(second_began: u64) -> [Operation<RegistryInput>; 3] {
    let next = booted().next_sequence();
    let opened = |fd, disposition| Observation::Opened { fd, disposition: Some(disposition) };
    let mut history = [
        call(0, (0, 5), create(KEY, "child"), opened(7, 1)),
        call(1, (second_began, 8), create(KEY, "child"), opened(8, 2)),
        with_number(call(2, (10, 11), set(1), Observation::Done), next + 2),
    ];
    for creation in &mut history[..2] {
        creation.operation.number = Number::Sent(BTreeSet::from([next, next + 1]));
    }
    history
}

#[test]
fn a_creation_that_another_has_forestalled_may_have_taken_a_number() {
    let next = booted().next_sequence();
    let states = states(&creations(1));
    assert!(!states.is_empty() && states.iter().all(|state| state.next_sequence() == next + 3));
}

#[test]
fn a_creation_of_a_key_that_was_there_takes_no_number() {
    assert_eq!(obstacle(&creations(6)).cannot_be_placed, 2);
}
