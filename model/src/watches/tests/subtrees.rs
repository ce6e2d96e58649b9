//! Subtree watches: captured chains, paths and depths (§4.2).

use super::*;

#[test]
fn descendants_are_told_with_the_path_below_the_watched_key() {
    let mut world = World::new();
    let top = world.create("Users\\k");
    world.watch_subtree(top);
    let child = world.create("Users\\k\\C");
    let deep = world.create("Users\\k\\c\\D");
    world.set(deep, "v", 1);
    world.set(top, "w", 1);
    world.delete_key(deep, "");
    let expected = [
        r#"SUBKEY_CREATED "C" at ."#,
        r#"SUBKEY_CREATED "D" at "c""#,
        r#"VALUE_SET "v" at "c" "D""#,
        r#"VALUE_SET "w" at ."#,
        r#"SUBKEY_DELETED "D" at "c""#,
        r#"KEY_DELETED at "c" "D""#,
    ];
    assert_eq!(world.events(top), expected.join(", "));
    world.delete_key(child, "");
    assert_eq!(world.events(top), r#"SUBKEY_DELETED "C" at ., KEY_DELETED at "C""#);
}

#[test]
fn a_direct_watch_hears_nothing_from_below() {
    let mut world = World::new();
    let top = world.watched("Users\\k");
    let child = world.create("Users\\k\\c");
    world.events(top);
    world.set(child, "v", 1);
    assert_eq!(world.events(top), "nothing");
}

#[test]
fn the_filter_holds_for_descendants() {
    let mut world = World::new();
    let top = world.create("Users\\k");
    let child = world.create("Users\\k\\c");
    world.notify(top, 2, 1);
    world.set(child, "v", 1);
    world.create("Users\\k\\c\\d");
    assert_eq!(world.events(top), r#"SUBKEY_CREATED "d" at "c""#);
}

#[test]
fn levels_beyond_the_limit_are_not_told() {
    let mut world = World::with_limits(|limits| limits.max_subtree_watch_depth = 1);
    let top = world.create("Users\\k");
    world.watch_subtree(top);
    let one = world.create("Users\\k\\1");
    let two = world.create("Users\\k\\1\\2");
    world.set(one, "v", 1);
    world.set(two, "v", 1);
    world.delete_key(two, "");
    let expected = [
        r#"SUBKEY_CREATED "1" at ."#,
        r#"SUBKEY_CREATED "2" at "1""#,
        r#"VALUE_SET "v" at "1""#,
        r#"SUBKEY_DELETED "2" at "1""#,
    ];
    assert_eq!(world.events(top), expected.join(", "));
}

#[test]
fn ancestors_are_those_that_the_fd_was_opened_through() {
    let mut world = World::new();
    world.layer("high", 5);
    world.layer("higher", 6);
    let old = world.create("Users\\k");
    let child = world.create("Users\\k\\c");
    world.watch_subtree(old);
    world.hide_key(old, "high");
    world.events(old);
    world.set(child, "v", 1);
    assert_eq!(world.events(old), r#"VALUE_SET "v" at "c""#);
    let new = world.create_in("Users\\k", "higher");
    world.watch_subtree(new);
    world.set(child, "v", 2);
    assert_eq!(world.events(old), r#"VALUE_SET "v" at "c""#);
    assert_eq!(world.events(new), "nothing");
}

#[test]
fn an_orphaned_ancestor_still_hears_of_what_was_opened_through_it() {
    let mut world = World::new();
    let top = world.create("Users\\k");
    let child = world.create("Users\\k\\c");
    world.watch_subtree(top);
    world.hide_key(top, "");
    assert_eq!(world.events(top), "KEY_DELETED at .");
    world.set(child, "v", 1);
    assert_eq!(world.events(top), r#"VALUE_SET "v" at "c""#);
}

#[test]
fn a_relative_open_extends_the_chain_of_its_parent() {
    let mut world = World::new();
    let root = world.open("Users");
    world.create("Users\\k\\".trim_end_matches('\\'));
    let top = world.open_below(root, "K");
    world.create("Users\\k\\c");
    let child = world.open_below(top, "C");
    world.watch_subtree(root);
    world.set(child, "v", 1);
    assert_eq!(world.events(root), r#"VALUE_SET "v" at "K" "C""#);
}

#[test]
fn one_change_is_one_event_for_a_subtree_watch_on_the_changed_key() {
    let mut world = World::new();
    let key = world.create("Users\\k");
    world.watch_subtree(key);
    world.set(key, "v", 1);
    assert_eq!(world.events(key), r#"VALUE_SET "v" at ."#);
}
