//! What is told of layer operations that meet sources which do not answer.

use std::collections::BTreeSet;

use expect_test::expect;
use registry_model::errno::Errno;
use registry_model::store_entry::{StoreEntry, StoredKey, StoredRecord, StoredSequence};
use registry_model::{Call, DeviceCall, Environment, Observation};

use crate::stalls::{SECOND, released, stall};
use crate::world::{OTHER_SOURCE, SOURCE, World, write};

fn watch(world: &mut World, name: &str) {
    let fd = world.handle(name);
    assert_eq!(world.call(Call::Notify { fd, filter: 7, subtree: 0 }).0, Observation::Done);
}

/// Reads what the watch of a key has to tell, with nothing left of it.
fn events(world: &mut World, name: &str) -> String {
    let fd = world.handle(name);
    let mut told = Vec::new();
    loop {
        let steps = world.steps(&Call::ReadEvents { fd, capacity: 1_000 }, false);
        let outcome = steps[0].outcome.to_string();
        let answer = steps[0].outcome.example(0).expect("an answer");
        world.state = steps[0].accept(&answer).expect("an example conforms");
        if answer == Observation::Failed(Errno::EAGAIN) {
            return if told.is_empty() { "nothing".to_owned() } else { told.join(", ") };
        }
        told.push(outcome);
    }
}

/// The worlds in which a call may have been answered like this after thirty seconds, in whose course the source has
/// stopped answering.
fn answered_late(world: &World, call: &Call, answer: &Observation) -> Vec<World> {
    let mut world = world.clone();
    world.environment(Environment::SourceStalls { source: SOURCE });
    let steps = world.steps_within(call, 30 * SECOND, false);
    let next = steps.iter().filter_map(|step| step.accept(answer).ok());
    let mut worlds: Vec<World> = next.map(|state| world.in_state(&state, 30 * SECOND)).collect();
    worlds.iter_mut().for_each(stall);
    worlds
}

/// What the watch of `x` has to tell in each world, and again when its source has answered.
fn told_before_and_after(worlds: &[World]) -> String {
    let mut all: Vec<String> = Vec::new();
    for world in worlds {
        let mut world = world.clone();
        let before = events(&mut world, "x");
        for mut after in released(&[world]) {
            let line = format!("{before}; then {}", events(&mut after, "x"));
            if !all.contains(&line) {
                all.push(line);
            }
        }
    }
    all.sort();
    all.join("\n")
}

#[test]
fn what_a_commit_has_hidden_is_told_of_again_when_its_layer_has_gone_late() {
    let mut world = World::with_layers();
    world.transcript(
        "layer l 1\nlayer m 5\ncreate Machine\\X in l\nopen x Machine\\X\nbegin t
         hide $x in m with t\ndelete Machine\\System\\Registry\\Layers\\l with t",
    );
    watch(&mut world, "x");
    let commit = Call::Commit { fd: world.handle("t") };
    let worlds = answered_late(&world, &commit, &Observation::Done);
    // It is told of by the hiding and by the answer, but where the layers could not be read.
    expect![[r#"
        events KEY_DELETED, KEY_DELETED; then nothing
        events KEY_DELETED, OVERFLOW, KEY_DELETED; then nothing
        events KEY_DELETED, OVERFLOW; then events KEY_DELETED
        events KEY_DELETED; then events KEY_DELETED
        events KEY_DELETED; then nothing"#]]
    .assert_eq(&told_before_and_after(&worlds));
}

/// Machine, Users, and another hive whose source has stopped answering, with a watched key.
fn beside_a_stalled_source(lines: &str) -> World {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other"]);
    world.transcript(lines);
    world.transcript("create x Other\\x\nset $x v 1");
    watch(&mut world, "x");
    world.environment(Environment::SourceStalled { source: OTHER_SOURCE });
    world
}

/// What the watch of `x` may have to tell after a call, by its answers.
fn told_by(world: &World, call: &Call, duration: u64) -> String {
    let mut all: Vec<String> = Vec::new();
    for step in world.steps_within(call, duration, false) {
        let Some(answer) = step.outcome.example(100) else { continue };
        let mut next = world.in_state(&step.accept(&answer).expect("conforms"), duration);
        let line = format!("{answer}: {}", events(&mut next, "x"));
        if !all.contains(&line) {
            all.push(line);
        }
    }
    all.join("\n")
}

#[test]
fn a_layer_whose_descriptor_changes_concerns_no_watch() {
    let mut world = beside_a_stalled_source("layer role 1");
    world.transcript("open l Machine\\System\\Registry\\Layers\\role");
    let fd = world.handle("l");
    let set = write(fd, "Owner", 3, b"\x01\x01\0\0\0\0\0\x05\x12\0\0\0", b"");
    expect!["ok: nothing"].assert_eq(&told_by(&world, &set, 5));
}

#[test]
fn a_layer_that_was_never_in_the_table_concerns_no_watch_as_it_goes() {
    let world = beside_a_stalled_source(
        "begin t\ncreate l Machine\\System\\Registry\\Layers\\bad with t
         dword $l Enabled 7 with t\ncommit $t",
    );
    assert_eq!(world.layers(), "base 0");
    let (fd, layer) = (world.handle("l"), Vec::new());
    let delete = Call::DeleteKey { fd, layer, transaction: -1 };
    expect!["ETIMEDOUT: nothing"].assert_eq(&told_by(&world, &delete, 30 * SECOND));
}

#[test]
fn what_a_refresh_changes_that_is_made_up_for_comes_with_that_of_the_call_or_behind_it() {
    let mut world = World::with_layers();
    let key = "Machine\\System\\Registry\\Layers\\";
    world.transcript(&format!(
        "layer a 0\nlayer b 0\ndword {key}b Enabled 0 in a\ndword {key}b Enabled 1
         open b {key}b\nopen a {key}a",
    ));
    let precedence = |world: &World, name: &str, number: u32| {
        write(world.handle(name), "Precedence", 4, &number.to_le_bytes(), b"")
    };
    let late = Observation::Failed(Errno::ETIMEDOUT);
    let unread = released(&answered_late(&world, &precedence(&world, "b", 7), &late));
    let mut tables: BTreeSet<String> = BTreeSet::new();
    for mut world in unread {
        if !world.transcript("get $b Precedence").contains("dword 7")
            || !world.layers().contains("b 0")
        {
            continue;
        }
        for step in world.steps(&precedence(&world, "a", 5), false) {
            let state = step.accept(&Observation::Done).expect("it succeeds");
            tables.insert(world.in_state(&state, 5).layers());
        }
    }
    let tables: Vec<String> = tables.into_iter().collect();
    expect![[r#"
        a 5, b 7 disabled, base 0
        a 5, b 7, base 0"#]]
    .assert_eq(&tables.join("\n"));
}

fn stored(name: &str, value_type: u32, number: u32) -> StoredRecord {
    StoredRecord::Value {
        name: name.to_owned(),
        layer: "base".to_owned(),
        value_type,
        data: number.to_le_bytes().to_vec(),
        sequence: StoredSequence::Number(u64::from(value_type)),
    }
}

#[test]
fn what_a_registration_shows_elsewhere_may_be_unknown_however_the_parameters_are_read() {
    let mut world =
        beside_a_stalled_source("layer role 1\ncreate Other\\x\nset Other\\x v 2 in role");
    let entries = [
        ("Machine\\System\\Registry\\Layers\\role", stored("Enabled", 4, 0)),
        ("Machine\\System\\Registry", stored("MaxValueSize", 77, 5_000)),
        ("Machine\\System\\Registry", stored("MaxKeyDepth", 4, 40)),
    ];
    for (path, record) in entries {
        let path = path.split('\\').map(str::to_owned).collect();
        let key = StoredKey { path, through: None };
        world.environment(Environment::StoreEntry(StoreEntry { key, record }));
    }
    world.environment(Environment::SourceDown { source: SOURCE });
    world.device(SOURCE, DeviceCall::Open);
    let mut told: Vec<String> = Vec::new();
    for step in world.registrations(SOURCE, &["Machine", "Users"]) {
        let mut world = world.in_state(step.next(), 5);
        let depth = world.state.limits().max_key_depth;
        told.push(format!("depth {depth}, {}", events(&mut world, "x")));
    }
    told.sort();
    expect![[r#"
        depth 40, events OVERFLOW
        depth 40, events VALUE_SET "v"
        depth 40, events VALUE_SET "v", OVERFLOW
        depth 512, events OVERFLOW
        depth 512, events VALUE_SET "v"
        depth 512, events VALUE_SET "v", OVERFLOW"#]]
    .assert_eq(&told.join("\n"));
}
