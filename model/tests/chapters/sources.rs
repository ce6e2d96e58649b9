//! Sources that come, die and return, and the machine that boots.

use expect_test::expect;
use registry_model::Environment;

use crate::world::{OTHER_SOURCE, World, check};

#[test]
fn before_any_source_there_is_no_hive() {
    let mut world = World::booted();
    world.environment(Environment::Reboot);
    expect![[r#"
        open Machine
          -> ENOENT
    "#]]
    .assert_eq(&world.transcript("open Machine"));
}

#[test]
fn a_down_source_is_noticed_by_the_first_request() {
    check(
        "create k Machine\\k
         down
         open Machine
         get $k v
         set $k v x in nobody
         set $k v x
         delete $k
         blanket $k on
         flush $k
         close $k
         resume
         create Machine\\k",
        expect![[r#"
            create k Machine\k
              -> created
            down
              -> ok
            open Machine
              -> EIO
            get $k v
              -> EIO
            set $k v x in nobody
              -> ENOENT
            set $k v x
              -> EIO
            delete $k
              -> EIO
            blanket $k on
              -> EIO
            flush $k
              -> EIO
            close $k
              -> ok
            resume
              -> ok
            create Machine\k
              -> opened
        "#]],
    );
}

#[test]
fn volatile_keys_do_not_survive_their_source() {
    check(
        "volatile Machine\\v
         volatile Machine\\v\\w
         open v Machine\\v
         create k Machine\\k
         set $v x y
         down
         get $v x
         resume
         get $v x
         flush $v
         open $v\\w
         set $k x y
         open Machine\\v",
        expect![[r#"
            volatile Machine\v
              -> created
            volatile Machine\v\w
              -> created
            open v Machine\v
              -> opened
            create k Machine\k
              -> created
            set $v x y
              -> ok
            down
              -> ok
            get $v x
              -> EIO
            resume
              -> ok
            get $v x
              -> ENOENT
            flush $v
              -> ok
            open $v\w
              -> ENOENT
            set $k x y
              -> ok
            open Machine\v
              -> ENOENT
        "#]],
    );
}

#[test]
fn orphans_are_purged_when_their_source_restarts() {
    check(
        "create k Machine\\k
         delete $k
         set $k v x
         down
         create $k\\a
         set $k v x
         resume
         get $k v
         create $k\\a
         close $k",
        expect![[r#"
            create k Machine\k
              -> created
            delete $k
              -> ok
            set $k v x
              -> ok
            down
              -> ok
            create $k\a
              -> ENOENT
            set $k v x
              -> EIO
            resume
              -> ok
            get $k v
              -> ENOENT
            create $k\a
              -> ENOENT
            close $k
              -> ok
        "#]],
    );
}

#[test]
fn a_reboot_keeps_what_was_stored() {
    check(
        "layer a 3
         create Machine\\k in a
         set Machine\\k v x in a
         volatile Machine\\v
         reboot
         layers
         get Machine\\k v
         open Machine\\v
         set Machine\\k v y
         batch Machine\\k",
        expect![[r#"
            layer a 3
              -> created, ok
            create Machine\k in a
              -> created
            set Machine\k v x in a
              -> ok
            volatile Machine\v
              -> created
            reboot
              -> ok
            layers
              -> a 3, base 0
            get Machine\k v
              -> sz "x" from a, sequence 7
            open Machine\v
              -> ENOENT
            set Machine\k v y
              -> ok
            batch Machine\k
              -> 1 values: "v" = sz "x"
        "#]],
    );
}

#[test]
fn numbers_above_the_highest_surviving_entry_come_again_after_a_reboot() {
    let mut world = World::with_layers();
    world.transcript("volatile Machine\\v\nset Machine\\v a b\nunset Machine\\v a");
    let highest = world.state.next_sequence();
    world.transcript("reboot");
    assert_eq!(world.state.next_sequence(), highest - 2);
    world.transcript("down\nresume");
    assert_eq!(world.state.next_sequence(), highest - 2);
}

#[test]
fn a_layer_deletion_reaches_a_source_that_was_down_when_it_returns() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Roles"]);
    world.transcript("layer a 1\ncreate Roles\\r\nset Roles\\r v low\nset Roles\\r v high in a");
    world.environment(Environment::SourceDown { source: OTHER_SOURCE });
    world.transcript("delete Machine\\System\\Registry\\Layers\\a\nlayer a 1");
    world.resume(OTHER_SOURCE, &["Roles"]);
    expect![[r#"
        get Roles\r v
          -> sz "low" from base, sequence 7
    "#]]
    .assert_eq(&world.transcript("get Roles\\r v"));
}

#[test]
fn latent_entries_count_once_their_layer_is_known() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Roles"]);
    world.transcript("layer a 1\ncreate Roles\\r\nset Roles\\r v low\nset Roles\\r v high in a");
    // The other source is not registered in the boot in which the layer is deleted.
    world.transcript("reboot\ndelete Machine\\System\\Registry\\Layers\\a");
    world.register(OTHER_SOURCE, &["Roles"]);
    expect![[r#"
        get Roles\r v
          -> sz "low" from base, sequence 7
        layer A 1
          -> created, ok
        get Roles\r v
          -> sz "high" from A, sequence 8
    "#]]
    .assert_eq(&world.transcript("get Roles\\r v\nlayer A 1\nget Roles\\r v"));
}

#[test]
fn volatile_layers_go_with_their_source() {
    check(
        "volatile Machine\\System\\Registry\\Layers\\a
         create Machine\\k
         set Machine\\k v low
         set Machine\\k v high in a
         get Machine\\k v
         down
         layers
         resume
         layers
         get Machine\\k v",
        expect![[r#"
            volatile Machine\System\Registry\Layers\a
              -> created
            create Machine\k
              -> created
            set Machine\k v low
              -> ok
            set Machine\k v high in a
              -> ok
            get Machine\k v
              -> sz "high" from a, sequence 7
            down
              -> ok
            layers
              -> a 0, base 0
            resume
              -> ok
            layers
              -> base 0
            get Machine\k v
              -> sz "low" from base, sequence 6
        "#]],
    );
}

#[test]
fn nothing_is_found_through_a_key_that_its_source_has_purged() {
    check(
        "layer a 1
         create p Machine\\p in a
         create c $p\\c
         delete Machine\\System\\Registry\\Layers\\a
         down
         resume
         open $p\\c
         create $p\\c
         create $p\\d
         get $c v
         create $c\\d
         hide $c",
        expect![[r#"
            layer a 1
              -> created, ok
            create p Machine\p in a
              -> created
            create c $p\c
              -> created
            delete Machine\System\Registry\Layers\a
              -> ok
            down
              -> ok
            resume
              -> ok
            open $p\c
              -> ENOENT
            create $p\c
              -> ENOENT
            create $p\d
              -> ENOENT
            get $c v
              -> ENOENT
            create $c\d
              -> created
            hide $c
              -> ENOENT
        "#]],
    );
}
