//! The layer table and how it follows its metadata.

use expect_test::expect;

use crate::world::{OTHER_SOURCE, World, check, open};

#[test]
fn a_layer_is_published_before_the_call_returns() {
    check(
        "layers
         create Machine\\System\\Registry\\Layers\\Role
         layers
         dword Machine\\System\\Registry\\Layers\\role precedence 7
         layers
         dword Machine\\System\\Registry\\Layers\\role Enabled 0
         layers
         delete Machine\\System\\Registry\\Layers\\role
         layers",
        expect![[r#"
            layers
              -> base 0
            create Machine\System\Registry\Layers\Role
              -> created
            layers
              -> base 0, Role 0
            dword Machine\System\Registry\Layers\role precedence 7
              -> ok
            layers
              -> base 0, Role 7
            dword Machine\System\Registry\Layers\role Enabled 0
              -> ok
            layers
              -> base 0, Role 7 disabled
            delete Machine\System\Registry\Layers\role
              -> ok
            layers
              -> base 0
        "#]],
    );
}

#[test]
fn malformed_metadata_is_stored_and_not_published() {
    check(
        "layer role 3
         set Machine\\System\\Registry\\Layers\\role Precedence seven
         layers
         dword Machine\\System\\Registry\\Layers\\role Enabled 0
         layers
         dword Machine\\System\\Registry\\Layers\\role Precedence 4
         layers
         dword Machine\\System\\Registry\\Layers\\role Enabled 2
         get Machine\\System\\Registry\\Layers\\role Enabled",
        expect![[r#"
            layer role 3
              -> created, ok
            set Machine\System\Registry\Layers\role Precedence seven
              -> EIO
            layers
              -> base 0, role 3
            dword Machine\System\Registry\Layers\role Enabled 0
              -> EIO
            layers
              -> base 0, role 3
            dword Machine\System\Registry\Layers\role Precedence 4
              -> ok
            layers
              -> base 0, role 4 disabled
            dword Machine\System\Registry\Layers\role Enabled 2
              -> EIO
            get Machine\System\Registry\Layers\role Enabled
              -> dword 2 from base, sequence 9
        "#]],
    );
}

#[test]
fn base_cannot_be_changed_or_deleted() {
    check(
        "layer base 9
         dword Machine\\System\\Registry\\Layers\\base Enabled 0
         set Machine\\System\\Registry\\Layers\\base Precedence x
         layers
         delete Machine\\System\\Registry\\Layers\\base
         layers",
        expect![[r#"
            layer base 9
              -> created, ok
            dword Machine\System\Registry\Layers\base Enabled 0
              -> ok
            set Machine\System\Registry\Layers\base Precedence x
              -> ok
            layers
              -> base 0
            delete Machine\System\Registry\Layers\base
              -> ok
            layers
              -> base 0
        "#]],
    );
}

#[test]
fn hiding_a_metadata_key_deletes_the_layer_and_hiding_an_ancestor_does_not() {
    check(
        "layer a 1
         layer b 1
         create Machine\\k
         set Machine\\k v x in a
         hide Machine\\System\\Registry\\Layers\\b in a
         layers
         open r Machine\\System\\Registry
         hide $r in a
         layers
         get Machine\\k v",
        expect![[r#"
            layer a 1
              -> created, ok
            layer b 1
              -> created, ok
            create Machine\k
              -> created
            set Machine\k v x in a
              -> ok
            hide Machine\System\Registry\Layers\b in a
              -> ok
            layers
              -> a 1, base 0
            open r Machine\System\Registry
              -> opened
            hide $r in a
              -> ok
            layers
              -> a 1, base 0
            get Machine\k v
              -> sz "x" from a, sequence 9
        "#]],
    );
}

#[test]
fn one_layer_may_override_the_metadata_of_another() {
    check(
        "layer a 1
         layer gpo 10
         dword Machine\\System\\Registry\\Layers\\a Precedence 5 in gpo
         layers
         delete Machine\\System\\Registry\\Layers\\gpo
         layers",
        expect![[r#"
            layer a 1
              -> created, ok
            layer gpo 10
              -> created, ok
            dword Machine\System\Registry\Layers\a Precedence 5 in gpo
              -> ok
            layers
              -> a 5, base 0, gpo 10
            delete Machine\System\Registry\Layers\gpo
              -> ok
            layers
              -> a 1, base 0
        "#]],
    );
}

#[test]
fn deleting_a_layer_that_hides_another_publishes_the_other() {
    check(
        "layer a 1
         layer b 2
         create Machine\\k
         set Machine\\k v x in b
         hide Machine\\System\\Registry\\Layers\\b in a
         layers
         delete Machine\\System\\Registry\\Layers\\a
         layers
         get Machine\\k v",
        expect![[r#"
            layer a 1
              -> created, ok
            layer b 2
              -> created, ok
            create Machine\k
              -> created
            set Machine\k v x in b
              -> ok
            hide Machine\System\Registry\Layers\b in a
              -> ok
            layers
              -> a 1, base 0
            delete Machine\System\Registry\Layers\a
              -> ok
            layers
              -> b 2, base 0
            get Machine\k v
              -> ENOENT
        "#]],
    );
}

#[test]
fn a_private_layer_is_seen_by_its_thread_only() {
    check(
        "layer mine 5
         create Machine\\k
         set Machine\\k v everybody
         dword Machine\\System\\Registry\\Layers\\mine Enabled 0
         set Machine\\k v me in mine
         get Machine\\k v
         private MINE
         get Machine\\k v",
        expect![[r#"
            layer mine 5
              -> created, ok
            create Machine\k
              -> created
            set Machine\k v everybody
              -> ok
            dword Machine\System\Registry\Layers\mine Enabled 0
              -> ok
            set Machine\k v me in mine
              -> ok
            get Machine\k v
              -> sz "everybody" from base, sequence 7
            private MINE
              -> ok
            get Machine\k v
              -> sz "me" from mine, sequence 9
        "#]],
    );
}

#[test]
fn keys_that_only_a_deleted_layer_named_are_orphaned() {
    check(
        "layer a 1
         create k Machine\\k in a
         create Machine\\k\\child
         delete Machine\\System\\Registry\\Layers\\a
         open Machine\\k
         set $k v x
         get $k v
         create $k\\other
         close $k
         create Machine\\k
         open Machine\\k\\child",
        expect![[r#"
            layer a 1
              -> created, ok
            create k Machine\k in a
              -> created
            create Machine\k\child
              -> created
            delete Machine\System\Registry\Layers\a
              -> ok
            open Machine\k
              -> ENOENT
            set $k v x
              -> ok
            get $k v
              -> sz "x" from base, sequence 8
            create $k\other
              -> ENOENT
            close $k
              -> ok
            create Machine\k
              -> created
            open Machine\k\child
              -> ENOENT
        "#]],
    );
}

#[test]
fn the_table_has_room_for_a_number_of_layers() {
    let mut world = World::with_layers();
    for number in 0..1023 {
        let path = format!("create Machine\\System\\Registry\\Layers\\l{number}");
        world.transcript(&path);
    }
    let more = world.transcript("create Machine\\System\\Registry\\Layers\\more");
    assert!(more.contains("ENOSPC"), "{more}");
    let below = world.transcript("create Machine\\System\\Registry\\Layers\\l1\\x");
    assert!(below.contains("created"), "{below}");
}

#[test]
fn each_affected_hive_takes_one_generation_step() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Roles"]);
    world.transcript("layer a 1\ncreate Users\\u in a\ncreate Roles\\r");
    let generations = |world: &mut World| -> Vec<u64> {
        ["Machine", "Users", "Roles"]
            .iter()
            .map(|hive| {
                let text = world.transcript(&format!("info {hive}"));
                text.trim().rsplit(' ').next().unwrap().parse().unwrap()
            })
            .collect()
    };
    let before = generations(&mut world);
    world.transcript("delete Machine\\System\\Registry\\Layers\\a");
    let after = generations(&mut world);
    assert_eq!(after, [before[0] + 1, before[1] + 1, before[2]]);
    world.call(open("Machine"));
}
