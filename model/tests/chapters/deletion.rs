//! Deleting and hiding keys, and orphans.

use expect_test::expect;

use crate::world::check;

#[test]
fn a_key_with_visible_children_stays() {
    check(
        "create Machine\\a
         create Machine\\a\\b
         delete Machine\\a
         delete Machine\\a\\b
         delete Machine\\a
         open Machine\\a",
        expect![[r#"
            create Machine\a
              -> created
            create Machine\a\b
              -> created
            delete Machine\a
              -> ENOTEMPTY
            delete Machine\a\b
              -> ok
            delete Machine\a
              -> ok
            open Machine\a
              -> ENOENT
        "#]],
    );
}

#[test]
fn a_hive_root_is_neither_deleted_nor_hidden() {
    check(
        "delete Machine\nhide Users",
        expect![[r#"
        delete Machine
          -> EINVAL
        hide Users
          -> EINVAL
    "#]],
    );
}

#[test]
fn an_orphan_keeps_its_values_and_loses_its_place() {
    check(
        "create k Machine\\k
         set $k v x
         delete $k
         get $k v
         info $k
         set $k v y
         flush $k
         blanket $k on
         open $k\\a
         create $k\\a
         delete $k
         hide $k
         create Machine\\k
         get Machine\\k v
         close $k",
        expect![[r#"
            create k Machine\k
              -> created
            set $k v x
              -> ok
            delete $k
              -> ok
            get $k v
              -> sz "x" from base, sequence 5
            info $k
              -> key "k": 0 subkeys, 1 values, longest subkey name 0, longest value name 1, largest value 1, SD 120 bytes, volatile 0, symlink 0, written 1085, generation 6
            set $k v y
              -> ok
            flush $k
              -> ok
            blanket $k on
              -> ok
            open $k\a
              -> ENOENT
            create $k\a
              -> ENOENT
            delete $k
              -> ENOENT
            hide $k
              -> ENOENT
            create Machine\k
              -> created
            get Machine\k v
              -> ENOENT
            close $k
              -> ok
        "#]],
    );
}

#[test]
fn deleting_removes_one_layers_entry_only() {
    check(
        "layer a 1
         create Machine\\k
         open k Machine\\k
         delete $k in a
         open Machine\\k
         hide $k in a
         open Machine\\k
         delete $k in a
         open Machine\\k
         view Machine\\k",
        expect![[r#"
            layer a 1
              -> created, ok
            create Machine\k
              -> created
            open k Machine\k
              -> opened
            delete $k in a
              -> ok
            open Machine\k
              -> opened
            hide $k in a
              -> ok
            open Machine\k
              -> ENOENT
            delete $k in a
              -> ok
            open Machine\k
              -> opened
            view Machine\k
              -> 
                 Machine\k
        "#]],
    );
}

#[test]
fn hiding_in_the_keys_own_layer_orphans_it() {
    check(
        "create k Machine\\k
         hide $k
         delete $k
         get $k v
         create Machine\\k
         view Machine\\k",
        expect![[r#"
            create k Machine\k
              -> created
            hide $k
              -> ok
            delete $k
              -> ENOENT
            get $k v
              -> ENOENT
            create Machine\k
              -> created
            view Machine\k
              -> 
                 Machine\k
        "#]],
    );
}

#[test]
fn a_child_of_a_dropped_parent_lives_on_unreachable() {
    check(
        "layer a 1
         create Machine\\p in a
         create c Machine\\p\\c
         set $c v x
         delete Machine\\System\\Registry\\Layers\\a
         get $c v
         create $c\\d
         delete $c
         open $c\\d",
        expect![[r#"
            layer a 1
              -> created, ok
            create Machine\p in a
              -> created
            create c Machine\p\c
              -> created
            set $c v x
              -> ok
            delete Machine\System\Registry\Layers\a
              -> ok
            get $c v
              -> sz "x" from base, sequence 8
            create $c\d
              -> created
            delete $c
              -> ENOENT
            open $c\d
              -> opened
        "#]],
    );
}
