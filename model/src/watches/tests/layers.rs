//! Layer operations: exact events of everything that differs afterwards (§4.1).

use super::*;
use crate::store_entry::{StoreEntry, StoredKey, StoredRecord, StoredSequence, StoredTarget};

/// A watched key with a child `c` that only the layer `l` has, a child that it hides, and values that it
/// sets, changes and masks.
fn layered(world: &mut World) -> Fd {
    let layer = world.layer("l", 5);
    let top = world.create("Users\\k");
    world.set(top, "both", 1);
    world.set(top, "masked", 1);
    world.set(top, "same", 1);
    world.set_in(top, "both", 2, "l");
    world.set_in(top, "own", 1, "l");
    world.set_in(top, "same", 1, "l");
    world.tombstone(top, "masked", "l");
    let hidden = world.create("Users\\k\\hidden");
    world.hide_key(hidden, "l");
    world.create_in("Users\\k\\c", "l");
    world.watch(top);
    world.close(hidden);
    layer
}

const WITHOUT: &str = "SUBKEY_CREATED \"hidden\", SUBKEY_DELETED \"c\", VALUE_DELETED \"own\", \
    VALUE_SET \"both\", VALUE_SET \"masked\"";
const WITH: &str = "SUBKEY_CREATED \"c\", SUBKEY_DELETED \"hidden\", VALUE_DELETED \"masked\", \
    VALUE_SET \"both\", VALUE_SET \"own\"";

/// Events without their order, which is open.
fn sorted(events: &str) -> String {
    let mut events: Vec<&str> = events.split(", ").collect();
    events.sort_unstable();
    events.join(", ")
}

fn watcher(world: &mut World) -> Fd {
    let fds = world
        .state
        .open_keys
        .iter()
        .filter(|(_, open)| world.state.watches.contains_key(&open.description));
    let fds: Vec<Fd> = fds.map(|((_, fd), _)| *fd).collect();
    fds[0]
}

#[test]
fn the_end_of_a_layer_is_told_value_by_value_and_key_by_key() {
    let mut world = World::new();
    let layer = layered(&mut world);
    let top = watcher(&mut world);
    world.delete_key(layer, "");
    assert_eq!(sorted(&world.events(top)), WITHOUT);
}

#[test]
fn disabling_and_enabling_a_layer_is_told() {
    let mut world = World::new();
    let layer = layered(&mut world);
    let top = watcher(&mut world);
    world.set(layer, "Enabled", 0);
    assert_eq!(sorted(&world.events(top)), WITHOUT);
    world.set(layer, "Enabled", 1);
    assert_eq!(sorted(&world.events(top)), WITH);
}

#[test]
fn another_precedence_is_told_where_another_entry_wins() {
    let mut world = World::new();
    let (low, high) = (world.layer("low", 1), world.layer("high", 2));
    let key = world.create("Users\\k");
    world.set_in(key, "a", 1, "low");
    world.set_in(key, "a", 2, "high");
    world.set_in(key, "b", 1, "low");
    world.watch(key);
    world.set(low, "Precedence", 3);
    assert_eq!(world.events(key), r#"VALUE_SET "a""#);
    world.set(high, "Precedence", 1);
    assert_eq!(world.events(key), "nothing");
}

#[test]
fn a_change_of_metadata_is_told_as_any_other() {
    let mut world = World::new();
    let top = world.open("Machine\\System\\Registry\\Layers");
    world.watch_subtree(top);
    let layer = world.layer("L", 5);
    world.delete_key(layer, "");
    let expected = [
        r#"SUBKEY_CREATED "L" at ."#,
        r#"VALUE_SET "Precedence" at "L""#,
        r#"SUBKEY_DELETED "L" at ."#,
        r#"KEY_DELETED at "L""#,
    ];
    assert_eq!(world.events(top), expected.join(", "));
}

#[test]
fn the_path_of_a_layer_operation_is_the_canonical_one() {
    let mut world = World::new();
    let layer = world.layer("l", 5);
    let root = world.open("Users");
    world.create("Users\\Kay");
    world.create_in("Users\\kAY\\Child", "l");
    let deep = world.create_in("Users\\KAY\\CHILD\\Deep", "l");
    world.set_in(deep, "v", 1, "l");
    world.watch_subtree(root);
    world.delete_key(layer, "");
    let expected = [
        r#"KEY_DELETED at "Kay" "Child""#,
        r#"KEY_DELETED at "Kay" "Child" "Deep""#,
        r#"SUBKEY_DELETED "Child" at "Kay""#,
        r#"SUBKEY_DELETED "Deep" at "Kay" "Child""#,
        r#"VALUE_DELETED "v" at "Kay" "Child" "Deep""#,
    ];
    assert_eq!(sorted(&world.events(root)), expected.join(", "));
}

#[test]
fn a_layer_operation_below_a_hidden_key_is_not_told_above_it() {
    let mut world = World::new();
    let layer = world.layer("l", 5);
    world.layer("high", 6);
    let root = world.open("Users");
    let top = world.create("Users\\k");
    let child = world.create("Users\\k\\c");
    world.set_in(child, "v", 1, "l");
    world.hide_key(top, "high");
    world.watch_subtree(root);
    world.watch_subtree(top);
    world.delete_key(layer, "");
    assert_eq!(world.events(root), "nothing");
    assert_eq!(world.events(top), r#"VALUE_DELETED "v" at "c""#);
}

#[test]
fn a_layer_operation_does_not_reach_through_an_orphan() {
    let mut world = World::new();
    let layer = world.layer("l", 5);
    let top = world.create("Users\\k");
    let child = world.create("Users\\k\\c");
    world.set_in(child, "v", 1, "l");
    world.watch_subtree(top);
    world.watch(child);
    world.hide_key(top, "");
    world.events(top);
    world.delete_key(layer, "");
    assert_eq!(world.events(top), "nothing");
    assert_eq!(world.events(child), r#"VALUE_DELETED "v""#);
}

#[test]
fn a_layer_in_another_hive_of_another_source_is_told_there() {
    let mut world = World::new();
    let layer = world.layer("l", 5);
    let here = world.create("Machine\\k");
    let there = world.create("Users\\k");
    world.set_in(here, "v", 1, "l");
    world.set_in(there, "v", 1, "l");
    world.watch(here);
    world.watch(there);
    world.delete_key(layer, "");
    assert_eq!(world.events(here), r#"VALUE_DELETED "v""#);
    assert_eq!(world.events(there), r#"VALUE_DELETED "v""#);
}

#[test]
fn a_layer_operation_overflows_like_anything_else() {
    let mut world = World::with_limits(|limits| limits.notification_queue_size = 16);
    let layer = world.layer("l", 5);
    let key = world.create("Users\\k");
    for number in 0..17 {
        world.set_in(key, &number.to_string(), 1, "l");
    }
    world.watch(key);
    world.delete_key(layer, "");
    let events = world.events(key);
    assert_eq!(events.matches("VALUE_DELETED").count(), 15);
    assert!(events.ends_with("OVERFLOW"), "{events}");
}

#[test]
fn a_key_that_several_layers_led_to_is_told_of_once() {
    let mut world = World::new();
    let (upper, lower) = (world.layer("upper", 5), world.layer("lower", 4));
    world.layer("top", 6);
    let key = world.create_in("Users\\k", "upper");
    let path = vec!["Users".to_owned()];
    let record = StoredRecord::Child {
        name: "k".to_owned(),
        layer: "lower".to_owned(),
        target: StoredTarget::Of("upper".to_owned()),
        sequence: StoredSequence::Number(1),
    };
    let entry = StoreEntry { key: StoredKey { path, through: None }, record };
    let input = Input::Environment(Environment::StoreEntry(entry));
    world.state = world.state.step(&input).remove(0).next().clone();
    world.hide_key(key, "top");
    world.watch(key);
    let transaction = world.begin();
    for fd in [upper, lower] {
        world.done(Call::DeleteKey { fd, layer: Vec::new(), transaction });
    }
    world.done(Call::Commit { fd: transaction });
    assert_eq!(world.events(key), "KEY_DELETED");
}
