//! Changes of a watched key itself, made through fds (§4.1).

use super::*;
use crate::layers::Touched;
use crate::security::well_known::ADMINISTRATORS;
use crate::watches::changed_somehow;

#[test]
fn writes_that_change_something_are_told_as_long_as_the_fd_is_open() {
    let mut world = World::new();
    let key = world.watched("Users\\k");
    world.set(key, "a", 1);
    world.set(key, "a", 2);
    assert_eq!(world.events(key), r#"VALUE_SET "a", VALUE_SET "a""#);
    world.set(key, "a", 2);
    assert_eq!(world.events(key), "nothing");
    world.delete_value(key, "A", "");
    assert_eq!(world.events(key), r#"VALUE_DELETED "a""#);
    world.delete_value(key, "a", "");
    assert_eq!(world.events(key), "nothing");
}

#[test]
fn a_write_that_loses_resolution_is_not_told() {
    let mut world = World::new();
    world.layer("high", 5);
    let key = world.watched("Users\\k");
    world.set_in(key, "a", 1, "high");
    world.set(key, "a", 2);
    assert_eq!(world.events(key), r#"VALUE_SET "a""#);
    world.delete_value(key, "a", "high");
    assert_eq!(world.events(key), r#"VALUE_SET "a""#);
}

#[test]
fn the_same_value_from_another_layer_is_no_change() {
    let mut world = World::new();
    world.layer("high", 5);
    let key = world.watched("Users\\k");
    world.set(key, "a", 1);
    world.set_in(key, "a", 1, "high");
    assert_eq!(world.events(key), r#"VALUE_SET "a""#);
}

#[test]
fn a_tombstone_hides_a_value_and_its_removal_shows_it() {
    let mut world = World::new();
    world.layer("high", 5);
    let key = world.watched("Users\\k");
    world.set(key, "a", 1);
    world.tombstone(key, "a", "high");
    world.delete_value(key, "a", "high");
    assert_eq!(world.events(key), r#"VALUE_SET "a", VALUE_DELETED "a", VALUE_SET "a""#);
    world.tombstone(key, "b", "high");
    assert_eq!(world.events(key), "nothing");
}

#[test]
fn a_blanket_tombstone_is_told_value_by_value() {
    let mut world = World::new();
    world.layer("high", 5);
    world.layer("higher", 6);
    let key = world.create("Users\\k");
    world.set(key, "a", 1);
    world.set(key, "b", 1);
    world.set_in(key, "c", 1, "higher");
    world.tombstone(key, "d", "");
    world.watch(key);
    world.blanket(key, "high", 1);
    assert_eq!(world.events(key), r#"VALUE_DELETED "a", VALUE_DELETED "b""#);
    world.blanket(key, "high", 1);
    assert_eq!(world.events(key), "nothing");
    world.blanket(key, "high", 0);
    assert_eq!(world.events(key), r#"VALUE_SET "a", VALUE_SET "b""#);
}

#[test]
fn a_descriptor_is_told_if_it_changes() {
    let mut world = World::new();
    let key = world.watched("Users\\k");
    world.set_owner(key, &ADMINISTRATORS);
    assert_eq!(world.events(key), "SD_CHANGED");
    world.set_owner(key, &ADMINISTRATORS);
    assert_eq!(world.events(key), "nothing");
}

#[test]
fn children_come_and_go() {
    let mut world = World::new();
    let parent = world.watched("Users\\k");
    let child = world.create("Users\\k\\Child");
    world.watch(child);
    let same = world.open("Users\\K\\CHILD");
    world.delete_key(same, "");
    assert_eq!(world.events(parent), r#"SUBKEY_CREATED "Child", SUBKEY_DELETED "CHILD""#);
    assert_eq!(world.events(child), "KEY_DELETED");
}

#[test]
fn a_hidden_key_is_lost_and_comes_back_without_a_word() {
    let mut world = World::new();
    world.layer("high", 5);
    let parent = world.watched("Users\\k");
    let child = world.watched("Users\\k\\c");
    world.hide_key(child, "high");
    assert_eq!(world.events(child), "KEY_DELETED");
    world.delete_key(child, "high");
    world.set(child, "a", 1);
    assert_eq!(world.events(child), r#"VALUE_SET "a""#);
    let expected = r#"SUBKEY_CREATED "c", SUBKEY_DELETED "c", SUBKEY_CREATED "c""#;
    assert_eq!(world.events(parent), expected);
}

#[test]
fn a_watch_stays_with_its_object_when_another_surfaces() {
    let mut world = World::new();
    world.layer("high", 5);
    world.layer("higher", 6);
    let parent = world.watched("Users\\k");
    let below = world.watched("Users\\k\\c");
    world.hide_key(below, "high");
    let above = world.create_in("Users\\k\\c", "higher");
    world.watch(above);
    world.events(below);
    world.events(parent);
    world.delete_key(below, "high");
    world.delete_key(above, "higher");
    let expected = r#"SUBKEY_DELETED "c", SUBKEY_CREATED "c""#;
    assert_eq!(world.events(parent), expected);
    assert_eq!(world.events(above), "KEY_DELETED");
    assert_eq!(world.events(below), "nothing");
    world.set(above, "a", 1);
    assert_eq!(world.events(below), "nothing");
    assert_eq!(world.events(above), r#"VALUE_SET "a""#);
}

#[test]
fn a_key_that_is_orphaned_out_of_view_is_told() {
    let mut world = World::new();
    world.layer("high", 5);
    let key = world.watched("Users\\k");
    world.hide_key(key, "high");
    assert_eq!(world.events(key), "KEY_DELETED");
    world.delete_key(key, "");
    assert_eq!(world.events(key), "KEY_DELETED");
    world.set(key, "a", 1);
    assert_eq!(world.events(key), r#"VALUE_SET "a""#);
}

#[test]
fn what_only_private_layers_show_is_not_told() {
    let mut world = World::new();
    let layer = world.layer("own", 5);
    world.set(layer, "Enabled", 0);
    let key = world.watched("Users\\k");
    world.set_in(key, "a", 1, "own");
    world.hide_key(key, "own");
    assert_eq!(world.events(key), "nothing");
}

#[test]
fn the_filter_keeps_categories_out_but_not_the_loss_of_the_key() {
    let mut world = World::new();
    let all = ["VALUE_SET \"a\"", "SUBKEY_CREATED \"c\"", "SD_CHANGED"];
    for (filter, expected) in [(1, all[0]), (2, all[1]), (4, all[2])] {
        let key = world.create("Users\\k");
        world.notify(key, filter, 0);
        world.set(key, "a", 1);
        let child = world.create("Users\\k\\c");
        world.delete_key(child, "");
        world.set_owner(key, &ADMINISTRATORS);
        world.delete_key(key, "");
        let deleted = if filter == 2 { ", SUBKEY_DELETED \"c\"" } else { "" };
        assert_eq!(world.events(key), format!("{expected}{deleted}, KEY_DELETED"));
        world.close(key);
    }
}

#[test]
fn where_nobody_knows_what_a_name_was_its_keys_are_concerned_and_no_others() {
    let mut world = World::new();
    world.layer("above", 5);
    world.create("Users\\k");
    let (key, other) = (world.watched("Users\\k\\c"), world.watched("Users\\k\\d"));
    let parent = world.open("Users\\k");
    world.notify(parent, 1, 0);
    let hive = world.open("Users");
    world.notify(hive, 1, 1);
    let (before, watches) = (world.state.clone(), world.state.watches.clone());
    world.hide_key(key, "above");
    let place = before.open_keys.get(&(ALICE, key)).unwrap().place.clone();
    let touched = Touched::Child(place.hive, place.parent().unwrap(), place.name().folded());
    world.state.watches = watches;
    changed_somehow(&before, &mut world.state, touched, &place, &mut Default::default());
    let told = [key, other, parent, hive].map(|fd| world.events(fd));
    assert_eq!(told, ["OVERFLOW", "nothing", "nothing", "OVERFLOW"]);
}
