//! Layers whose sources do not answer in time: late changes, late deletions, and refreshes that are made up for.

use std::collections::BTreeSet;

use expect_test::expect;
use registry_model::input::{DeviceCall, SourceId};
use registry_model::observation::KeyInfo;
use registry_model::store_entry::{
    StoreEntry, StoredKey, StoredRecord, StoredSequence, StoredTarget,
};
use registry_model::{Call, Environment, Input, Observation, Outcome, Step};

use crate::stalls::*;
use crate::world::{OTHER_SOURCE, SOURCE, World, write};

#[test]
fn a_layer_that_changes_late_is_published_late() {
    let mut world = World::with_layers();
    world.transcript("layer a 1\ncreate k Machine\\k\nset $k v b\nset $k v a in a");
    world.transcript("open l Machine\\System\\Registry\\Layers\\a");
    let fd = world.handle("l");
    let call = write(fd, "Enabled", 4, &0u32.to_le_bytes(), b"");
    let worlds = released(&timed_out_in_its_course(&world, &call));
    let mut layers: Vec<String> = worlds
        .iter()
        .map(|world| {
            let stored = world.clone().transcript("get $l Enabled").contains("ENOENT");
            let layers = world.clone().transcript("layers");
            format!("{}: {}", if stored { "not stored" } else { "stored" }, layers.trim())
        })
        .collect();
    layers.sort();
    layers.dedup();
    expect![[r#"
        not stored: layers
          -> a 1, base 0
        stored: layers
          -> a 1 disabled, base 0
        stored: layers
          -> a 1, base 0"#]]
    .assert_eq(&layers.join("\n"));
}

#[test]
fn a_layer_deletion_that_one_source_does_not_answer_is_carried_out_late() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other"]);
    world.transcript(
        "layer a 1\ncreate k Other\\k\nset $k v b\nset $k v a in a\n\
         open l Machine\\System\\Registry\\Layers\\a",
    );
    world.environment(Environment::SourceStalled { source: OTHER_SOURCE });
    let (fd, layer) = (world.handle("l"), Vec::new());
    let worlds = timed_out(&world, &Call::DeleteKey { fd, layer, transaction: -1 });
    check_each(&worlds, "layers", expect!["base 0"]);
    // A layer of the same name does not find the entries again.
    check_each(
        &released_with_deaths(&worlds, OTHER_SOURCE, &[]),
        "get $k v\nlayer a 1\nget $k v",
        expect![[r#"sz "b" from base, sequence 7; created, ok; sz "b" from base, sequence 7"#]],
    );
}

#[test]
fn the_late_deletion_of_a_layer_waits_for_the_locks_of_all_hives_of_its_source() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other", "More"]);
    world.transcript(
        "layer a 1\ncreate k More\\k\nopen l Machine\\System\\Registry\\Layers\\a\n\
         dword Machine\\System\\Registry TransactionTimeoutMs 600000\n\
         begin t\nset $k v x with t",
    );
    world.environment(Environment::SourceStalled { source: OTHER_SOURCE });
    let (fd, layer) = (world.handle("l"), Vec::new());
    let worlds = timed_out(&world, &Call::DeleteKey { fd, layer, transaction: -1 });
    let (source, at) = (OTHER_SOURCE, world.now + 30 * SECOND);
    let release =
        Input::Environment(Environment::SourceReleased { source, at, dying: Default::default() });
    let is_outside =
        |world: &World| matches!(world.state.step(&release)[0].outcome, Outcome::Outside(_));
    assert!(!worlds.is_empty() && worlds.iter().all(is_outside));
}

#[test]
fn bad_metadata_that_a_refresh_is_made_up_for_need_not_fail_a_call_about_another_layer() {
    let mut world = with_key();
    world.transcript(
        "layer a 1\nlayer b 2\nopen a Machine\\System\\Registry\\Layers\\a
         open b Machine\\System\\Registry\\Layers\\b",
    );
    let (sz, dword) = (1, 4);
    let bad = write(world.handle("b"), "Precedence", sz, b"", b"");
    let good = write(world.handle("a"), "Precedence", dword, &[0; 4], b"");
    let bad_itself = write(world.handle("a"), "Precedence", sz, b"", b"");
    let worlds = released(&timed_out_in_its_course(&world, &bad));
    let mut shown: Vec<[Vec<String>; 2]> = worlds
        .iter()
        .map(|world| [outcomes(world, &good, 5), outcomes(world, &bad_itself, 5)])
        .collect();
    shown.sort();
    shown.dedup();
    expect![[r#"
        [
            [
                [
                    "EIO",
                    "ok",
                ],
                [
                    "EIO",
                ],
            ],
            [
                [
                    "ok",
                ],
                [
                    "EIO",
                ],
            ],
        ]
    "#]]
    .assert_debug_eq(&shown);
}

/// What may be answered to a call, and the layers that each answer leaves.
fn layers_after(world: &World, call: &Call) -> Vec<String> {
    let steps = world.steps(call, false);
    let after = |step: &Step| {
        let layers = world.in_state(step.next(), 0).transcript("layers");
        format!("{}: {}", step.outcome, layers.lines().last().unwrap_or_default().trim())
    };
    let mut after: Vec<String> = steps.iter().map(after).collect();
    after.sort();
    after.dedup();
    after
}

#[test]
fn a_refresh_that_is_made_up_for_and_has_no_round_keeps_that_of_the_call_from_its_layer_or_not() {
    let mut world = with_key();
    let layers = "Machine\\System\\Registry\\Layers";
    world.transcript(&format!("layer a 1\nlayer b 2\nopen a {layers}\\a\nopen b {layers}\\b"));
    let precedence = |world: &World, name: &str, number: u32| {
        write(world.handle(name), "Precedence", 4, &number.to_le_bytes(), b"")
    };
    let worlds = released(&timed_out_in_its_course(&world, &precedence(&world, "b", 1)));
    let record = StoredRecord::Child {
        name: "no/name".to_owned(),
        layer: "base".to_owned(),
        target: StoredTarget::Hidden,
        sequence: StoredSequence::Number(1),
    };
    let path = layers.split('\\').map(str::to_owned).collect();
    let entry = StoreEntry { key: StoredKey { path, through: None }, record };
    let (mut direct, mut committed) = (Vec::new(), Vec::new());
    for mut world in worlds {
        if !world.transcript("get $b Precedence").contains("dword 1") {
            continue;
        }
        if world.transcript("layers").contains("b 1") {
            continue;
        }
        world.environment(Environment::StoreEntry(entry.clone()));
        let call = precedence(&world, "a", 0);
        direct.push(layers_after(&world, &call));
        world.transcript("begin t");
        world.call_within("t", call);
        committed.push(layers_after(&world, &Call::Commit { fd: world.handle("t") }));
    }
    assert!(!direct.is_empty());
    for (direct, committed) in direct.iter().zip(&committed) {
        assert_eq!(direct[..], ["EIO: -> a 1, b 2, base 0", "ok: -> a 0, b 2, base 0"]);
        assert_eq!(committed[..], ["ok: -> a 0, b 2, base 0", "ok: -> a 1, b 2, base 0"]);
    }
}

#[test]
fn what_a_registration_changes_at_a_stalled_source_is_told_under_the_first_reading() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other"]);
    let registry = "Machine\\System\\Registry";
    world.transcript(&format!(
        "layer role 5\ncreate Other\\a\ncreate Other\\a\\b\nset Other\\a\\b v x in role\nopen k Other
         dword {registry} MaxSubtreeWatchDepth 1\ndword {registry} MaxSubtreeWatchDepth 0 in role"
    ));
    watched(&mut world);
    let record = StoredRecord::Value {
        name: "Enabled".to_owned(),
        layer: "base".to_owned(),
        value_type: 4,
        data: vec![0; 4],
        sequence: StoredSequence::Number(1),
    };
    let path = format!("{registry}\\Layers\\role").split('\\').map(str::to_owned).collect();
    let entry = StoreEntry { key: StoredKey { path, through: None }, record };
    world.environment(Environment::StoreEntry(entry));
    world.environment(Environment::SourceStalled { source: OTHER_SOURCE });
    world.transcript("down");
    world.device(SOURCE, DeviceCall::Open);
    let steps = world.registrations(SOURCE, &["Machine", "Users"]);
    let worlds: Vec<World> = steps.iter().map(|step| world.in_state(step.next(), 0)).collect();
    assert!(worlds.iter().all(|world| world.state.limits().max_subtree_watch_depth == 1));
    // OVERFLOW, VALUE_DELETED two levels down, and both.
    assert_eq!(lengths_of_events(&worlds), [8, 17, 25]);
}

#[test]
fn a_late_success_is_counted_once_though_its_source_dies_over_the_refresh() {
    let mut world = World::with_layers();
    world.transcript(
        "layer a 1\nopen l Machine\\System\\Registry\\Layers\\a\nopen m Machine\ninfo $m",
    );
    let call = write(world.handle("l"), "Enabled", 4, &0u32.to_le_bytes(), b"");
    let generations = |worlds: &[World]| {
        let mut world = worlds[0].clone();
        let info = Call::QueryKeyInfo { fd: world.handle("m"), name_capacity: 100 };
        let Observation::KeyInfo(least) = world.call(info.clone()).0 else { panic!("no key info") };
        let admitted = (0..4).map(|more| least.hive_generation + more).filter(|generation| {
            let seen =
                Observation::KeyInfo(KeyInfo { hive_generation: *generation, ..least.clone() });
            let steps = worlds.iter().flat_map(|world| world.steps(&info, false));
            steps.into_iter().any(|step| step.accept(&seen).is_ok())
        });
        admitted.collect::<Vec<u64>>()
    };
    let late = timed_out_in_its_course(&world, &call);
    assert_eq!(
        generations(&released_with_deaths(&late, SOURCE, &[SOURCE])),
        generations(&released(&late))
    );
}

#[test]
fn a_source_is_asked_to_delete_a_layer_though_another_dies_over_the_refresh() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other"]);
    world.transcript(
        "layer a 1\ncreate k Other\\k\nset $k v b\nset $k v a in a\n\
         open l Machine\\System\\Registry\\Layers\\a",
    );
    let (fd, layer) = (world.handle("l"), Vec::new());
    let late = timed_out_in_its_course(&world, &Call::DeleteKey { fd, layer, transaction: -1 });
    check_each(
        &restarted(&released_with_deaths(&late, SOURCE, &[SOURCE])),
        "layers\nlayer a 1\nget $k v",
        expect![[r#"
        base 0; created, ok; sz "b" from base, sequence 7
        a 1, base 0; opened, ok; sz "a" from a, sequence 8"#]],
    );
}

#[test]
fn of_two_sources_that_die_over_the_refresh_both_may_owe_the_deletion() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other"]);
    world.transcript(
        "layer a 1\ncreate k Other\\k\nset $k v b\nset $k v a in a\n\
         create n Machine\\n\nset $n v b\nset $n v a in a\n\
         open l Machine\\System\\Registry\\Layers\\a",
    );
    let (fd, layer) = (world.handle("l"), Vec::new());
    let late = timed_out_in_its_course(&world, &Call::DeleteKey { fd, layer, transaction: -1 });
    // A boot forgets what is owed, and shows who was reached.
    let booted = |world: &World| {
        let mut world = world.clone();
        world.environment(Environment::Reboot);
        world.register(SOURCE, &["Machine", "Users"]);
        world.register(OTHER_SOURCE, &["Other"]);
        world
    };
    let both = [SOURCE, OTHER_SOURCE];
    let worlds: Vec<World> =
        released_with_deaths(&late, SOURCE, &both).iter().map(booted).collect();
    check_each(
        &worlds,
        "layers\nlayer a 1\nopen k Other\\k\nget $k v\nopen n Machine\\n\nget $n v",
        expect![[r#"
            base 0; created, ok; opened; sz "b" from base, sequence 7; opened; sz "b" from base, sequence 10
            a 1, base 0; opened, ok; opened; sz "a" from a, sequence 8; opened; sz "a" from a, sequence 11
            base 0; created, ok; opened; sz "a" from a, sequence 8; opened; sz "a" from a, sequence 11
            base 0; created, ok; opened; sz "b" from base, sequence 7; opened; sz "a" from a, sequence 11
            base 0; created, ok; opened; sz "a" from a, sequence 8; opened; sz "b" from base, sequence 10"#]],
    );
}

#[test]
fn the_parameters_are_read_though_another_source_dies_over_the_refresh() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other"]);
    world.transcript("open p Machine\\System\\Registry");
    let call = write(world.handle("p"), "MaxValueSize", 4, &5000u32.to_le_bytes(), b"");
    let late = timed_out_in_its_course(&world, &call);
    let in_force = |dying: &[SourceId]| {
        let sizes = late.iter().map(|world| {
            let worlds = released_with_deaths(std::slice::from_ref(world), SOURCE, dying);
            worlds.iter().map(|world| world.state.limits().max_value_size).collect()
        });
        sizes.collect::<Vec<BTreeSet<u32>>>()
    };
    assert_eq!(in_force(&[OTHER_SOURCE]), in_force(&[]));
    assert_ne!(in_force(&[SOURCE]), in_force(&[]));
}
