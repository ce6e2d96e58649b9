//! Refreshes of the layer table that the text lets come about in several ways, and deaths within them.

use registry_model::errno::Errno;
use registry_model::input::Fd;
use registry_model::security::{Token, default_root_sd};
use registry_model::store_entry::{
    StoreEntry, StoredKey, StoredRecord, StoredSequence, StoredTarget,
};
use registry_model::{
    Call, Environment, Generation, KeyInfoPattern, Observation, Outcome, State, Time,
};

use crate::world::{OTHER_SOURCE, SOURCE, World, create, open, write};

const LAYERS: &str = "Machine\\System\\Registry\\Layers";
const ROLE: &str = "Machine\\System\\Registry\\Layers\\role";

fn put(world: &mut World, path: &str, record: StoredRecord) {
    let path = path.split('\\').map(str::to_owned).collect();
    let entry = StoreEntry { key: StoredKey { path, through: None }, record };
    world.environment(Environment::StoreEntry(entry));
}

fn stored_precedence(value_type: u32, data: &[u8]) -> StoredRecord {
    StoredRecord::Value {
        name: "Precedence".to_owned(),
        layer: "base".to_owned(),
        value_type,
        data: data.to_vec(),
        sequence: StoredSequence::Number(1),
    }
}

fn hidden(name: &str, layer: &str, sequence: u64) -> StoredRecord {
    StoredRecord::Child {
        name: name.to_owned(),
        layer: layer.to_owned(),
        target: StoredTarget::Hidden,
        sequence: StoredSequence::Number(sequence),
    }
}

fn fd(world: &mut World, path: &str) -> Fd {
    match world.call(open(path)).0 {
        Observation::Opened { fd, .. } => fd,
        other => panic!("{other}"),
    }
}

fn delete(fd: Fd) -> Call {
    Call::DeleteKey { fd, layer: Vec::new(), transaction: -1 }
}

/// What may be answered to a call and what state each answer leaves.
fn endings(world: &World, call: &Call, interrupted: bool) -> Vec<(String, State)> {
    let steps = world.steps(call, interrupted);
    let ending = |step: &registry_model::Step| {
        let answer = step.outcome.example(50).unwrap();
        (answer.to_string(), step.accept(&answer).unwrap())
    };
    steps.iter().map(ending).collect()
}

fn answers(world: &World, call: &Call) -> Vec<String> {
    let mut answers: Vec<String> =
        endings(world, call, false).into_iter().map(|(answer, _)| answer).collect();
    answers.sort();
    answers.dedup();
    answers
}

fn precedence(state: &State, name: &str) -> Option<u32> {
    state.layers().into_iter().find(|layer| layer.name == name).map(|layer| layer.precedence)
}

/// The world in which the registry is in this state.
fn at(state: &State) -> World {
    let mut world = World::booted();
    world.state = state.clone();
    world
}

fn info(world: &World, fd: Fd) -> KeyInfoPattern {
    let mut steps = world.steps(&Call::QueryKeyInfo { fd, name_capacity: 100 }, false);
    match steps.swap_remove(0).outcome {
        Outcome::KeyInfo(info) => info,
        other => panic!("{other}"),
    }
}

fn generation(world: &World, fd: Fd) -> Generation {
    info(world, fd).generation
}

/// Looks at the generation, so that it is known from now on.
fn look(world: &mut World, fd: Fd) -> u64 {
    match world.call(Call::QueryKeyInfo { fd, name_capacity: 100 }).0 {
        Observation::KeyInfo(info) => info.hive_generation,
        other => panic!("{other}"),
    }
}

#[test]
fn another_layers_refresh_takes_up_what_was_stored_or_not() {
    let mut world = World::with_layers();
    world.transcript("layer role 1");
    put(&mut world, ROLE, stored_precedence(4, &5u32.to_le_bytes()));
    let endings = endings(&world, &create(&format!("{LAYERS}\\other")), false);
    let seen: Vec<Option<u32>> =
        endings.iter().map(|(_, state)| precedence(state, "role")).collect();
    assert_eq!(seen, [Some(1), Some(5)]);
    assert!(endings.iter().all(|(_, state)| precedence(state, "other") == Some(0)));
}

#[test]
fn another_layers_refresh_meets_stored_metadata_of_a_wrong_type_or_not() {
    let mut world = World::with_layers();
    world.transcript("layer role 1");
    put(&mut world, ROLE, stored_precedence(1, b"high"));
    let call = create(&format!("{LAYERS}\\other"));
    let answers = answers(&world, &call);
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert!(answers.contains(&"EIO".to_owned()), "{answers:?}");
}

#[test]
fn a_refresh_looks_along_the_way_to_the_layers_key_or_not() {
    let mut world = World::with_layers();
    world.transcript("layer role 1");
    let role = fd(&mut world, ROLE);
    put(&mut world, "Machine", hidden("System", "ghost", 1_000_000));
    let call = write(role, "Precedence", 4, &5u32.to_le_bytes(), b"");
    assert_eq!(answers(&world, &call), ["EIO", "ok"]);
    for (answer, state) in endings(&world, &call, false) {
        let expected = if answer == "ok" { 5 } else { 1 };
        assert_eq!(precedence(&state, "role"), Some(expected), "{answer}");
    }
}

#[test]
fn a_refresh_looks_at_the_siblings_of_a_layer_or_not() {
    let mut world = World::with_layers();
    world.transcript("layer role 1\nlayer other 1");
    let role = fd(&mut world, ROLE);
    put(&mut world, LAYERS, hidden("other", "ghost", 1_000_000));
    for (answer, state) in endings(&world, &delete(role), false) {
        assert_eq!(precedence(&state, "role").is_none(), answer == "ok", "{answer}");
    }
    assert_eq!(answers(&world, &delete(role)), ["EIO", "ok"]);
}

#[test]
fn base_without_its_metadata_key_keeps_its_sd_or_has_the_compiled_in_one() {
    let mut world = World::with_layers();
    world.transcript(&format!("create Machine\\k\nlayer base 0\nopen base {LAYERS}\\base"));
    let key = fd(&mut world, "Machine\\k");
    // What a hive root has denies nothing to members of Everyone but for the write.
    let mut lax = default_root_sd();
    let authenticated = lax.windows(8).rposition(|window| window[..2] == [1, 1]).unwrap();
    lax[authenticated - 4..authenticated].copy_from_slice(&0x000F_003F_u32.to_le_bytes());
    put(&mut world, &format!("{LAYERS}\\base"), StoredRecord::Descriptor { bytes: lax });
    world.transcript("down\nresume");
    let mut user = (*Token::system().0).clone();
    user.user = "S-1-5-21-9".parse().unwrap();
    user.groups.retain(|group| group.sid.to_string() == "S-1-5-11");
    user.privileges.clear();
    let system = world.caller.token.clone();
    let user = Token(user.into());
    let call = write(key, "x", 1, b"text", b"");
    world.caller.token = user.clone();
    assert_eq!(answers(&world, &call), ["ok"]);
    world.caller.token = system.clone();
    world.transcript("delete $base");
    world.caller.token = user.clone();
    assert_eq!(answers(&world, &call), ["EACCES", "ok"]);
    // One answer settles it, for good.
    for (answer, state) in endings(&world, &call, false) {
        world.state = state;
        assert_eq!(answers(&world, &call), [&answer[..]]);
        world.caller.token = system.clone();
        world.transcript("down\nresume");
        world.caller.token = user.clone();
        assert_eq!(answers(&world, &call), [answer]);
    }
}

#[test]
fn a_resumption_reads_again_what_it_has_changed() {
    let mut world = World::with_layers();
    world.transcript(&format!(
        "layer gpo 5\nlayer role 1\ndword {ROLE} Precedence 9 in gpo\nopen gpo {LAYERS}\\gpo"
    ));
    assert_eq!(precedence(&world.state, "role"), Some(9));
    let disabled = StoredRecord::Value {
        name: "Enabled".into(),
        layer: "base".into(),
        value_type: 4,
        data: vec![0; 4],
        sequence: StoredSequence::Number(1),
    };
    put(&mut world, &format!("{LAYERS}\\gpo"), disabled);
    world.transcript("down\nresume");
    assert_eq!(precedence(&world.state, "role"), Some(1));
}

#[test]
fn a_write_through_an_orphan_is_no_change_of_the_layer_that_has_its_name_now() {
    let mut world = World::with_layers();
    world.transcript(&format!("layer role 1\nopen role {ROLE}\ndelete $role\nlayer role 2"));
    put(&mut world, ROLE, stored_precedence(4, &5u32.to_le_bytes()));
    world.transcript("set $role Comment text");
    assert_eq!(precedence(&world.state, "role"), Some(2));
}

#[test]
fn an_enumeration_that_failed_at_a_resumption_is_asked_again() {
    let mut world = World::with_layers();
    world.transcript("layer role 1");
    put(&mut world, LAYERS, hidden("no/name", "base", 1));
    world.transcript("down\nresume");
    let role = fd(&mut world, ROLE);
    assert_eq!(answers(&world, &write(role, "x", 1, b"text", b"")), ["EIO"]);
}

#[test]
fn layers_below_another_layers_key_stay_when_the_first_one_is_back() {
    let mut world = World::with_layers();
    world.transcript("layer role 1\ndown");
    world.resume(OTHER_SOURCE, &["Machine", "Users"]);
    world.transcript(&format!(
        "create Machine\\System\ncreate Machine\\System\\Registry\ncreate {LAYERS}\nlayer zed 1"
    ));
    world.environment(Environment::SourceDown { source: OTHER_SOURCE });
    world.transcript("resume");
    assert_eq!(precedence(&world.state, "zed"), Some(1));
    assert_eq!(precedence(&world.state, "role"), Some(1));
}

#[test]
fn whether_a_hive_with_something_unreadable_is_affected_is_open_whatever_can_be_read() {
    let mut world = World::with_layers();
    world.transcript("layer role 1\ncreate Users\\a in role\ncreate Users\\b");
    let users = fd(&mut world, "Users");
    let role = fd(&mut world, ROLE);
    let before = look(&mut world, users);
    put(&mut world, "Users\\b", hidden("c", "ghost", 1_000_000));
    let (_, state) = endings(&world, &delete(role), false).swap_remove(0);
    assert_eq!(generation(&at(&state), users), Generation::Between(before, before + 1));
}

#[test]
fn a_call_whose_source_died_takes_one_step_or_none() {
    let mut world = World::with_layers();
    let machine = fd(&mut world, "Machine");
    let before = look(&mut world, machine);
    for (answer, state) in endings(&world, &write(machine, "x", 1, b"text", b""), true) {
        let generation = generation(&at(&state), machine);
        assert_eq!(generation.admits(before), answer == "EIO", "{answer}");
        assert!(!generation.admits(before + 2), "{answer}");
    }
}

/// A layer with the only name of an open key of another hive.
fn with_a_key_of_a_layer() -> (World, Fd, Fd) {
    let mut world = World::with_layers();
    world.transcript("layer role 1\ncreate Users\\a in role");
    let key = fd(&mut world, "Users\\a");
    let role = fd(&mut world, ROLE);
    (world, key, role)
}

/// What a relative open answers once the source is found dead: ENOENT below an orphan (DEL-35).
fn below(state: &State, key: Fd) -> Observation {
    let mut world = at(state);
    world.environment(Environment::SourceDown { source: SOURCE });
    world.call(Call::OpenKey {
        parent: key,
        path: b"x".to_vec(),
        desired_access: 0x0002_0000,
        flags: 0,
    });
    let call =
        Call::OpenKey { parent: key, path: b"x".to_vec(), desired_access: 0x0002_0000, flags: 0 };
    world.steps(&call, false)[0].outcome.example(60).unwrap()
}

#[test]
fn a_deletion_that_was_not_answered_names_no_orphans_and_is_owed() {
    let (world, key, role) = with_a_key_of_a_layer();
    // A source that carried it out reports no number of the layer's when it is back.
    let carried_out = endings(&world, &delete(role), true).into_iter().filter(|(answer, state)| {
        answer == "EIO"
            && below(state, key) == Observation::Failed(Errno::EIO)
            && state.stored_maximum(SOURCE, ["Users"]) == 0
    });
    assert!(carried_out.count() > 0);
}

#[test]
fn a_source_found_down_before_a_deletion_is_sent_does_not_fail_the_call() {
    let (world, key, role) = with_a_key_of_a_layer();
    let endings = endings(&world, &delete(role), true);
    let unknown = endings.iter().filter(|(answer, state)| {
        answer == "ok" && below(state, key) == Observation::Failed(Errno::EIO)
    });
    assert!(unknown.count() > 0);
}

#[test]
fn an_orphan_is_known_once_its_deletion_is_answered() {
    let mut world = World::with_layers();
    world.transcript("create Users\\a");
    let key = fd(&mut world, "Users\\a");
    let users = fd(&mut world, "Users");
    let failed: Vec<State> = endings(&world, &delete(key), true)
        .into_iter()
        .filter_map(|(answer, state)| (answer == "EIO").then_some(state))
        .collect();
    let known = |state: &&State| below(state, key) == Observation::Failed(Errno::ENOENT);
    assert!(failed.iter().any(|state| !known(&state)));
    // Before the last write time of the parent is stored, and after.
    let mut times: Vec<Time> =
        failed.iter().filter(known).map(|state| info(&at(state), users).last_write_time).collect();
    times.dedup();
    assert_eq!(times.len(), 2, "{times:?}");
}

#[test]
fn a_hive_whose_source_died_may_miss_the_step_of_a_layer_operation() {
    let (mut world, _, role) = with_a_key_of_a_layer();
    let users = fd(&mut world, "Users");
    let before = look(&mut world, users);
    let admitted = |number: u64| {
        endings(&world, &delete(role), true)
            .iter()
            .any(|(answer, state)| answer == "ok" && generation(&at(state), users).admits(number))
    };
    assert!(admitted(before));
    assert!(admitted(before + 1));
    assert!(!admitted(before + 2));
}

#[test]
fn a_change_below_a_metadata_key_has_everything_of_its_layer_read() {
    let mut world = World::with_layers();
    world.transcript("layer role 1");
    put(&mut world, ROLE, stored_precedence(4, &5u32.to_le_bytes()));
    world.transcript(&format!("set {ROLE} Comment text"));
    assert_eq!(precedence(&world.state, "role"), Some(5));
}

#[test]
fn a_deletion_and_a_resumption_meet_a_metadata_key_that_was_hidden_in_the_store() {
    for lines in ["delete $role", "down\nresume"] {
        let mut world = World::with_layers();
        world.transcript(&format!("layer gpo 5\nlayer role 1\nopen role {ROLE}"));
        put(&mut world, LAYERS, hidden("role", "gpo", 1));
        world.transcript(lines);
        assert_eq!(precedence(&world.state, "role"), None, "{lines}");
    }
}

/// Layer `b` has been hidden by what its own refresh has enabled, after it was read.
fn with_a_layer_hidden_after_its_turn() -> World {
    let mut world = World::with_layers();
    world.transcript(&format!(
        "layer a 1\nlayer b 2\nopen ma {LAYERS}\\a\nopen mb {LAYERS}\\b\ndword $ma Enabled 0
         hide $mb in a\nbegin t\ndword $ma Enabled 1 with t\ndword $mb Precedence 3 with t
         commit $t"
    ));
    assert_eq!(precedence(&world.state, "b"), Some(3));
    world
}

#[test]
fn a_name_that_changed_after_its_turn_is_dirty_in_the_next_refresh() {
    for lines in ["layer c 1", "dword $ma Precedence 4", "down\nresume"] {
        let mut world = with_a_layer_hidden_after_its_turn();
        world.transcript(lines);
        assert_eq!(precedence(&world.state, "b"), None, "{lines}");
    }
}

#[test]
fn a_name_that_waits_is_read_by_a_refresh_that_reads_little_too() {
    let mut world = with_a_layer_hidden_after_its_turn();
    put(&mut world, "Machine\\System", hidden("nothing", "base", 1));
    for (answer, state) in endings(&world, &create(&format!("{LAYERS}\\c")), false) {
        assert_eq!(precedence(&state, "b"), None, "{answer}");
        assert_eq!(precedence(&state, "c"), Some(0), "{answer}");
    }
}

#[test]
fn a_layer_that_hid_itself_comes_back_by_the_second_resumption() {
    let mut world = World::with_layers();
    world.transcript("layer b 1");
    put(&mut world, LAYERS, hidden("b", "b", 1));
    world.transcript("down\nresume");
    assert_eq!(precedence(&world.state, "b"), None);
    // What is known after the passes of a resumption is how the last table shows it (P-184).
    world.transcript("layer c 1");
    assert_eq!(precedence(&world.state, "b"), None);
    world.transcript("down\nresume");
    assert_eq!(precedence(&world.state, "b"), Some(1));
}

#[test]
fn what_the_number_of_a_call_makes_readable_hides_nothing_of_its_layer_operation() {
    let mut world = World::with_layers();
    world.transcript("layer role 1\ncreate Users\\a\nset Users\\a v x in role\ncreate Users\\b");
    let users = fd(&mut world, "Users");
    let role = fd(&mut world, ROLE);
    let before = look(&mut world, users);
    let next = world.state.next_sequence();
    for (number, expected) in [
        (next, Generation::Exactly(before + 1)),
        // One more than the write takes.
        (next + 1, Generation::Between(before, before + 1)),
    ] {
        let mut world = world.clone();
        put(&mut world, "Users\\b", hidden("c", "base", number));
        let disable = write(role, "Enabled", 4, &[0; 4], b"");
        let (answer, state) = endings(&world, &disable, false).swap_remove(0);
        assert_eq!((answer.as_str(), generation(&at(&state), users)), ("ok", expected));
    }
}
