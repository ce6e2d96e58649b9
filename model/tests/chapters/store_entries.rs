//! Records put into a store behind the kernel's back, and what a reader makes of them.

use registry_model::input::{Environment, Input};
use registry_model::security::{Token, default_root_sd};
use registry_model::store_entry::{
    StoreEntry, StoredKey, StoredRecord, StoredSequence, StoredTarget,
};
use registry_model::view::Part;

use crate::world::{SOURCE, World};

fn entry(path: &str, record: StoredRecord) -> StoreEntry {
    let path = path.split('\\').map(str::to_owned).collect();
    StoreEntry { key: StoredKey { path, through: None }, record }
}

fn put(world: &mut World, path: &str, record: StoredRecord) {
    world.environment(Environment::StoreEntry(entry(path, record)));
}

fn value(name: &str, layer: &str, sequence: u64) -> StoredRecord {
    StoredRecord::Value {
        name: name.to_owned(),
        layer: layer.to_owned(),
        value_type: 1,
        data: b"stored".to_vec(),
        sequence: StoredSequence::Number(sequence),
    }
}

fn child(name: &str, layer: &str, target: StoredTarget, sequence: u64) -> StoredRecord {
    let (name, layer) = (name.to_owned(), layer.to_owned());
    StoredRecord::Child { name, layer, target, sequence: StoredSequence::Number(sequence) }
}

/// A world with the value `x` of Machine\a, after `record` was put at Machine\a.
fn after(record: StoredRecord) -> World {
    let mut world = World::with_layers();
    world.transcript("create Machine\\a\nset Machine\\a x text");
    put(&mut world, "Machine\\A", record);
    world
}

/// The one answer of a line.
fn answer(world: &mut World, line: &str) -> String {
    world.transcript(line).split_once("-> ").unwrap().1.trim().to_owned()
}

/// The parts of Machine\a that cannot be read.
fn unreadable(world: &World) -> Vec<Part> {
    let view = world.state.view(&Token::system());
    let path = ["Machine", "a"].map(str::to_owned);
    let key = view[&path.to_vec()].as_ref().unwrap();
    key.unreadable.iter().copied().collect()
}

#[test]
fn the_next_number_is_of_the_future_and_the_last_is_not() {
    let next = after(value("x", "base", 0)).state.next_sequence();
    assert_eq!(answer(&mut after(value("x", "base", next)), "get Machine\\a x"), "EIO");
    let answer = answer(&mut after(value("x", "base", next - 1)), "get Machine\\a x");
    assert!(answer.contains("stored"), "{answer}");
}

#[test]
fn a_malformed_entry_spoils_what_it_comes_with_whatever_its_layer() {
    let parts = [Part::Values, Part::Information];
    for layer in ["base", "unknown", "", "a\\b"] {
        assert_eq!(unreadable(&after(value("y", layer, u64::MAX))), parts, "{layer:?}");
    }
    let long = "n".repeat(256);
    assert_eq!(unreadable(&after(value("y", &long, 0))), parts);
    assert_eq!(unreadable(&after(value(&long, "base", 0))), parts);
    assert_eq!(unreadable(&after(value("y", "unknown", 0))), []);
}

#[test]
fn a_malformed_path_entry_spoils_the_subkeys() {
    let parts = [Part::Subkeys, Part::Information];
    let spoiling = [
        child("c", "unknown", StoredTarget::Hidden, u64::MAX),
        child("c", "unknown", StoredTarget::Missing, 0),
        child("c\\d", "unknown", StoredTarget::Hidden, 0),
        child("", "base", StoredTarget::Key { symlink: false }, 0),
    ];
    for record in spoiling {
        assert_eq!(unreadable(&after(record.clone())), parts, "{record:?}");
    }
}

#[test]
fn equal_numbers_are_malformed_only_if_they_tie_for_the_win() {
    let mut world = World::with_layers();
    world.transcript(
        "layer a 0\nlayer b 0\nlayer top 1\ncreate Machine\\k\nset Machine\\k x text in a",
    );
    let StoredRecord::Value { name, layer, value_type, data, .. } = value("x", "b", 0) else {
        unreachable!("a value is a value")
    };
    let sequence = StoredSequence::Of("A".to_owned());
    let record = StoredRecord::Value { name, layer, value_type, data, sequence };
    put(&mut world, "Machine\\k", record);
    assert_eq!(answer(&mut world, "get Machine\\k x"), "EIO");
    let top = answer(&mut world, "set Machine\\k x top in top\nget Machine\\k x");
    assert!(top.contains("ok"), "{top}");
    assert!(answer(&mut world, "get Machine\\k x").contains("from top"));
}

#[test]
fn a_place_that_is_not_there_has_no_step() {
    let world = World::with_layers();
    let nowhere = [
        entry("Machine\\none", value("x", "base", 0)),
        entry("Nowhere", value("x", "base", 0)),
        entry("Machine", StoredRecord::Lost),
        entry("Machine", child("System", "BASE", StoredTarget::Hidden, 0)),
        entry("Machine", child("c", "a", StoredTarget::Of("base".to_owned()), 0)),
        entry(
            "Machine",
            StoredRecord::Blanket {
                layer: "a".to_owned(),
                sequence: StoredSequence::Of("base".to_owned()),
            },
        ),
    ];
    for entry in nowhere {
        let input = Input::Environment(Environment::StoreEntry(entry.clone()));
        assert!(world.state.step(&input).is_empty(), "{entry:?}");
    }
}

#[test]
fn a_key_that_two_layers_name_stays_when_one_lets_go() {
    let mut world = World::with_layers();
    world.transcript("layer a 0\ncreate Machine\\k\nset Machine\\k x text");
    let record = child("K", "a", StoredTarget::Of("base".to_owned()), 1);
    put(&mut world, "Machine", record);
    world.transcript("delete Machine\\k");
    assert!(answer(&mut world, "get Machine\\k x").contains("text"));
    world.transcript("delete Machine\\k in a");
    assert!(answer(&mut world, "get Machine\\k x").ends_with("ENOENT"));
}

#[test]
fn the_path_of_a_record_follows_the_layer_that_is_asked_for() {
    let mut world = World::with_layers();
    world.transcript("layer a 1\ncreate Machine\\k\ncreate Machine\\k in a");
    let mut through = entry("Machine\\k", value("x", "base", 0));
    put(&mut world, "Machine", child("k", "a", StoredTarget::Key { symlink: false }, 1));
    through.key.through = Some("A".to_owned());
    world.environment(Environment::StoreEntry(through));
    assert!(answer(&mut world, "get Machine\\k x").contains("stored"));
    put(&mut world, "Machine\\k", value("y", "base", 0));
    assert!(answer(&mut world, "get Machine\\k y").ends_with("ENOENT"));
}

#[test]
fn a_malformed_descriptor_closes_the_key_until_it_is_sound_again() {
    let mut world = after(StoredRecord::Descriptor { bytes: vec![1] });
    assert_eq!(unreadable(&world), [Part::Key]);
    put(&mut world, "Machine\\a", StoredRecord::Descriptor { bytes: default_root_sd() });
    assert_eq!(unreadable(&world), []);
}

#[test]
fn a_false_maximum_makes_entries_of_the_future_until_the_next_start() {
    let mut world = after(value("y", "base", 1_000));
    world.environment(Environment::FalseMaximum { source: SOURCE, max_sequence: 999 });
    world.environment(Environment::SourceDown { source: SOURCE });
    world.resume(SOURCE, &["Machine", "Users"]);
    assert_eq!(answer(&mut world, "get Machine\\a y"), "EIO");
    world.environment(Environment::SourceDown { source: SOURCE });
    world.resume(SOURCE, &["Machine", "Users"]);
    assert!(answer(&mut world, "get Machine\\a y").contains("stored"));
}

#[test]
fn what_a_stopped_store_is_given_counts_for_its_maximum() {
    let mut world = after(value("y", "base", 1));
    world.environment(Environment::SourceDown { source: SOURCE });
    put(&mut world, "Machine\\a", value("y", "base", 1_000));
    world.resume(SOURCE, &["Machine", "Users"]);
    assert_eq!(world.state.next_sequence(), 1_001);
    assert!(answer(&mut world, "get Machine\\a y").contains("stored"));
}
