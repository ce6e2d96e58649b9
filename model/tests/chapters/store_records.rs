//! Path entries, key records and values of the reference store (PSD-005 §7.2).

use expect_test::{Expect, expect};
use registry_model::store::{Operation, Request};

use crate::source::*;

/// Asks for each of these in turn and compares all the responses.
fn check(source: &mut Source, operations: Vec<Operation>, expected: Expect) {
    let responses: Vec<String> =
        operations.into_iter().map(|operation| source.ask(operation)).collect();
    expected.assert_eq(&responses.join("\n"));
}

fn with_keys() -> Source {
    let mut source = Source::new(&["Machine"]);
    source.create(key(1), ROOT, "One", 1);
    source.create(key(2), ROOT, "Two", 2);
    source.now = 2 * SECOND;
    source
}

#[test]
fn a_lookup_returns_every_layers_entry_and_each_key_once() {
    check(
        &mut with_keys(),
        vec![
            create_entry(ROOT, "ONE", "policy", key(1), 3),
            hide_entry(ROOT, "one", "lab", 4),
            lookup(ROOT, "oNe"),
            lookup(ROOT, "absent"),
            lookup(key(9), "absent"),
        ],
        expect![[r#"
            ok
            ok
            ok; entry layer "base" guid k1 sequence 1; entry layer "lab" hidden sequence 4; entry layer "policy" guid k1 sequence 3; key k1 sd "sd" volatile 0 symlink 0 last written 1000000000
            ok
            NOT_FOUND"#]],
    );
}

#[test]
fn an_enumeration_has_a_child_for_each_spelling() {
    check(
        &mut with_keys(),
        vec![
            create_entry(ROOT, "ONE", "policy", key(1), 3),
            hide_entry(ROOT, "One", "lab", 4),
            enum_children(ROOT),
        ],
        expect![[r#"
            ok
            ok
            ok; child "ONE"; entry layer "policy" guid k1 sequence 3; child "One"; entry layer "base" guid k1 sequence 1; entry layer "lab" hidden sequence 4; child "Two"; entry layer "base" guid k2 sequence 2; key k1 sd "sd" volatile 0 symlink 0 last written 1000000000; key k2 sd "sd" volatile 0 symlink 0 last written 1000000000"#]],
    );
}

#[test]
fn an_entry_comes_before_the_record_of_its_key() {
    check(
        &mut with_keys(),
        vec![
            create_entry(ROOT, "Three", "base", key(3), 3),
            lookup(ROOT, "Three"),
            create_key(key(3), "Three", ROOT),
            lookup(ROOT, "Three"),
        ],
        expect![[r#"
            ok
            ok; entry layer "base" guid k3 sequence 3
            ok
            ok; entry layer "base" guid k3 sequence 3; key k3 sd "sd" volatile 0 symlink 0 last written 2000000000"#]],
    );
}

#[test]
fn only_a_hidden_entry_takes_the_place_of_another() {
    check(
        &mut with_keys(),
        vec![
            create_entry(ROOT, "one", "BASE", key(3), 3),
            hide_entry(ROOT, "one", "Base", 4),
            create_entry(ROOT, "one", "base", key(3), 5),
            lookup(ROOT, "one"),
        ],
        expect![[r#"
            ALREADY_EXISTS
            ok
            ALREADY_EXISTS
            ok; entry layer "Base" hidden sequence 4"#]],
    );
}

#[test]
fn deleting_an_entry_keeps_the_key_and_can_be_repeated() {
    check(
        &mut with_keys(),
        vec![
            delete_entry(ROOT, "oNE", "Base"),
            delete_entry(ROOT, "One", "base"),
            delete_entry(key(9), "One", "base"),
            lookup(ROOT, "One"),
            read_key(key(1)),
        ],
        expect![[r#"
            ok
            ok
            ok
            ok
            ok; name "One" parent root; key k1 sd "sd" volatile 0 symlink 0 last written 1000000000"#]],
    );
}

#[test]
fn entries_need_their_parent() {
    let absent = key(9);
    check(
        &mut with_keys(),
        vec![
            create_entry(absent, "x", "base", key(3), 3),
            hide_entry(absent, "x", "base", 3),
            enum_children(absent),
            create_key(key(3), "x", absent),
        ],
        expect![[r#"
            NOT_FOUND
            NOT_FOUND
            NOT_FOUND
            NOT_FOUND"#]],
    );
}

#[test]
fn a_key_is_created_once() {
    check(
        &mut with_keys(),
        vec![create_key(key(1), "Again", ROOT), read_key(key(1)), read_key(key(9))],
        expect![[r#"
            ALREADY_EXISTS
            ok; name "One" parent root; key k1 sd "sd" volatile 0 symlink 0 last written 1000000000
            NOT_FOUND"#]],
    );
}

#[test]
fn a_hive_root_has_the_zero_guid_for_a_parent() {
    let answer = Source::new(&["Machine"]).ask(read_key(ROOT));
    assert!(answer.starts_with("ok; name \"Machine\" parent zero; key root sd "), "{answer}");
}

#[test]
fn a_write_changes_what_its_mask_names() {
    let write = |descriptor: Option<&str>, time, bits| Operation::WriteKey {
        guid: key(1),
        security_descriptor: descriptor.map(|text| text.as_bytes().to_vec()),
        last_write_time: time,
        undefined_mask_bits: bits,
    };
    check(
        &mut with_keys(),
        vec![
            write(None, None, 0),
            write(Some("new"), None, 0),
            read_key(key(1)),
            write(Some("newer"), Some(7), 0),
            read_key(key(1)),
            write(Some("refused"), Some(8), 4),
            read_key(key(1)),
            write_time(key(9), 7),
        ],
        expect![[r#"
            ok
            ok
            ok; name "One" parent root; key k1 sd "new" volatile 0 symlink 0 last written 1000000000
            ok
            ok; name "One" parent root; key k1 sd "newer" volatile 0 symlink 0 last written 7
            INVALID
            ok; name "One" parent root; key k1 sd "newer" volatile 0 symlink 0 last written 7
            NOT_FOUND"#]],
    );
}

#[test]
fn dropping_a_key_purges_all_that_is_its_own() {
    let mut source = with_keys();
    source.create(key(3), key(1), "Below", 3);
    check(
        &mut source,
        vec![
            set(key(1), "v", "base", "x", 4),
            blanket(key(1), "base", true, 5),
            hide_entry(ROOT, "One", "lab", 6),
            drop_key(key(1)),
            drop_key(key(1)),
            lookup(ROOT, "One"),
            query_all(key(1)),
            read_key(key(1)),
            read_key(key(3)),
            create_key(key(1), "One", ROOT),
            query_all(key(1)),
            enum_children(key(1)),
        ],
        expect![[r#"
            ok
            ok
            ok
            ok
            ok
            ok; entry layer "lab" hidden sequence 6
            NOT_FOUND
            NOT_FOUND
            ok; name "Below" parent k1; key k3 sd "sd" volatile 0 symlink 0 last written 2000000000
            ok
            ok
            ok; child "Below"; entry layer "base" guid k3 sequence 3; key k3 sd "sd" volatile 0 symlink 0 last written 2000000000"#]],
    );
}

#[test]
fn a_value_has_an_entry_for_each_layer() {
    check(
        &mut with_keys(),
        vec![
            set(key(1), "Name", "base", "low", 3),
            set(key(1), "NAME", "policy", "high", 4),
            set(key(1), "", "base", "default", 5),
            set(key(1), "name", "Base", "later", 6),
            query(key(1), "nAme"),
            query(key(1), ""),
            query_all(key(1)),
            query(key(2), "Name"),
            query(key(9), "Name"),
        ],
        expect![[r#"
            ok
            ok
            ok
            ok
            ok; value "NAME" layer "policy" = sz "high" sequence 4; value "name" layer "Base" = sz "later" sequence 6
            ok; value "" layer "base" = sz "default" sequence 5
            ok; value "" layer "base" = sz "default" sequence 5; value "NAME" layer "policy" = sz "high" sequence 4; value "name" layer "Base" = sz "later" sequence 6
            ok
            NOT_FOUND"#]],
    );
}

#[test]
fn a_tombstone_is_an_entry_without_data() {
    check(
        &mut with_keys(),
        vec![
            set(key(1), "v", "base", "x", 3),
            tombstone(key(1), "v", "base", 4),
            query(key(1), "v"),
            delete_value(key(1), "V", "BASE"),
            delete_value(key(1), "v", "base"),
            delete_value(key(9), "v", "base"),
            query(key(1), "v"),
        ],
        expect![[r#"
            ok
            ok
            ok; value "v" layer "base" = tombstone (empty) sequence 4
            ok
            ok
            ok
            ok"#]],
    );
}

#[test]
fn a_conditional_write_looks_at_the_same_layers_entry() {
    check(
        &mut with_keys(),
        vec![
            set_if(key(1), "v", "base", "x", 3, 2),
            query(key(1), "v"),
            set(key(1), "v", "base", "x", 3),
            set_if(key(1), "v", "policy", "y", 4, 3),
            set_if(key(1), "v", "base", "y", 4, 2),
            set_if(key(1), "V", "Base", "z", 5, 3),
            query(key(1), "v"),
            set_if(key(9), "v", "base", "x", 6, 3),
        ],
        expect![[r#"
            CAS_FAILED
            ok
            ok
            CAS_FAILED
            CAS_FAILED
            ok
            ok; value "V" layer "Base" = sz "z" sequence 5
            NOT_FOUND"#]],
    );
}

#[test]
fn blanket_tombstones_go_with_every_query_of_their_key() {
    check(
        &mut with_keys(),
        vec![
            blanket(key(1), "policy", true, 3),
            blanket(key(1), "Policy", true, 4),
            blanket(key(1), "base", true, 5),
            query(key(1), "v"),
            blanket(key(1), "POLICY", false, 0),
            blanket(key(1), "policy", false, 0),
            query_all(key(1)),
            blanket(key(9), "base", true, 6),
            blanket(key(9), "base", false, 0),
        ],
        expect![[r#"
            ok
            ok
            ok
            ok; blanket layer "Policy" sequence 4; blanket layer "base" sequence 5
            ok
            ok
            ok; blanket layer "base" sequence 5
            NOT_FOUND
            NOT_FOUND"#]],
    );
}

#[test]
fn deleting_a_layer_names_the_keys_that_it_orphaned() {
    let mut source = with_keys();
    check(
        &mut source,
        vec![
            create_entry(ROOT, "Three", "lab", key(3), 3),
            create_key(key(3), "Three", ROOT),
            create_entry(ROOT, "one", "lab", key(1), 4),
            hide_entry(ROOT, "Two", "lab", 5),
            set(key(1), "v", "lab", "x", 6),
            blanket(key(1), "lab", true, 7),
            delete_layer("LAB"),
            delete_layer("lab"),
            enum_children(ROOT),
            query_all(key(1)),
            read_key(key(3)),
        ],
        expect![[r#"
            ok
            ok
            ok
            ok
            ok
            ok
            ok; orphan k3
            ok
            ok; child "One"; entry layer "base" guid k1 sequence 1; child "Two"; entry layer "base" guid k2 sequence 2; key k1 sd "sd" volatile 0 symlink 0 last written 1000000000; key k2 sd "sd" volatile 0 symlink 0 last written 1000000000
            ok
            ok; name "Three" parent root; key k3 sd "sd" volatile 0 symlink 0 last written 2000000000"#]],
    );
}

#[test]
fn a_flush_names_a_hive_of_the_source() {
    check(
        &mut with_keys(),
        vec![flush("Machine"), flush("mACHINE"), flush("Users")],
        expect![[r#"
            ok
            ok
            INVALID"#]],
    );
}

#[test]
fn malformed_requests_are_invalid_and_change_nothing() {
    let source = with_keys();
    let bad_flag = Operation::CreateKey {
        guid: key(3),
        name: b"x".to_vec(),
        parent: ROOT,
        security_descriptor: Vec::new(),
        volatile_key: 2,
        symlink: 0,
    };
    let bad_name = Operation::Lookup { parent: key(9), child_name: b"\xFF".to_vec() };
    let unknown = Operation::Malformed { op_code: 0x77, payload: vec![1, 2, 3] };
    let begin_of_another = Operation::BeginTransaction { transaction: 5, mode: 0 };
    let zero = create_entry(ROOT, "x", "base", registry_model::store::Guid::ZERO, 3);
    for operation in [bad_flag, bad_name, unknown, begin_of_another, zero] {
        let answers = source.answers(&Request::new(operation.clone()), 0);
        let [answer] = &answers[..] else { panic!("{operation:?}") };
        assert_eq!(shown(&answer.outcome.example()), "INVALID", "{operation:?}");
        assert_eq!(*answer.next(), source.store, "{operation:?}");
    }
}

#[test]
fn bytes_after_the_last_field_are_passed_over() {
    let mut source = with_keys();
    let mut request = Request::new(lookup(ROOT, "One"));
    let answer = source.request(&request);
    request.trailing = vec![1, 2, 3];
    assert_eq!(source.request(&request), answer);
    assert!(source.covered.contains("SRC-60"));
}
