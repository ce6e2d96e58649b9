//! What PSD-005 §7.2 and PSD-006 §5.1 ask of a source, asked of each of our stores.

#[macro_use]
#[path = "support/behaviours.rs"]
mod behaviours;
mod support;

use rsi::{Guid, Request, Response, Status};
use support::*;

behaviours!(
    a_new_hive_has_a_root_with_the_default_sd,
    the_root_survives_restarts_with_its_guid,
    a_lookup_of_nothing_is_empty,
    a_key_below_the_root_is_found_in_any_case,
    every_layer_has_its_own_entry,
    an_entry_that_is_taken_already_exists,
    hiding_replaces_the_entry_of_the_layer,
    deleting_an_entry_is_idempotent,
    children_come_in_groups_of_one_spelling,
    a_key_that_exists_already_exists,
    a_key_needs_a_parent,
    a_new_key_has_the_time_of_its_creation,
    writing_a_key_changes_only_what_is_named,
    writing_an_unknown_field_is_invalid,
    dropping_a_key_takes_all_that_is_its_own,
    a_root_that_is_dropped_is_made_anew_at_the_start,
    requests_for_a_missing_key_are_not_found,
    a_value_is_replaced_with_its_spelling_and_the_layers,
    all_values_come_with_the_blankets,
    the_default_value_is_not_all_values,
    a_tombstone_keeps_no_data,
    a_conditional_write_needs_the_stored_sequence,
    a_conditional_write_compares_layers_folded,
    a_blanket_is_set_anew_and_removed,
    sequence_numbers_keep_all_their_bits,
    deleting_a_layer_reports_orphans_and_keeps_keys,
    a_root_that_loses_its_last_entry_is_reported_like_any_key,
    deleting_an_unknown_layer_reports_nothing,
    names_that_are_not_text_are_invalid,
    flushing_an_unknown_hive_is_invalid,
    volatile_keys_die_with_the_source,
    an_entry_follows_its_volatile_key,
    a_volatile_key_has_its_values_with_it,
    orphans_are_purged_at_the_start,
    entries_without_a_key_are_purged_at_the_start,
);

fn a_new_hive_has_a_root_with_the_default_sd(mut driver: Driver) {
    let root = driver.root();
    let Response::ReadKey { name, parent, sd, volatile_key, symlink, last_write_time } =
        driver.call(Request::ReadKey { guid: root })
    else {
        panic!("no root");
    };
    assert_eq!((name, parent), (b"Machine".to_vec(), Guid::NULL));
    assert_eq!((sd.len(), &sd[..4]), (116, &[1, 0, 4, 0x80][..]));
    assert_eq!((volatile_key, symlink, last_write_time), (false, false, START));
    assert_eq!(driver.store().max_sequence(), 0);
}

fn the_root_survives_restarts_with_its_guid(mut driver: Driver) {
    let root = driver.root();
    driver.restart();
    assert_eq!(driver.root(), root);
    driver.kill();
    assert_eq!(driver.root(), root);
}

fn a_lookup_of_nothing_is_empty(mut driver: Driver) {
    let root = driver.root();
    let empty = Response::Lookup { entries: vec![], metadata: vec![] };
    assert_eq!(driver.call(lookup(root, "a")), empty);
    let none = Response::EnumChildren { children: vec![], metadata: vec![] };
    assert_eq!(driver.call(Request::EnumChildren { parent: root }), none);
}

fn a_key_below_the_root_is_found_in_any_case(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "Größe", guid(1), 1, false);
    let found = driver.call(lookup(root, "GRÖßE"));
    assert_eq!(entries_of(&found), ["base@1 -> 01", "metadata 01"]);
}

fn every_layer_has_its_own_entry(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    driver.ok(create_entry(root, "A", "gpo", guid(1), 2));
    driver.ok(hide_entry(root, "a", "role", 3));
    let found = driver.call(lookup(root, "a"));
    assert_eq!(
        entries_of(&found),
        ["base@1 -> 01", "gpo@2 -> 01", "metadata 01", "role@3 -> HIDDEN"]
    );
}

fn an_entry_that_is_taken_already_exists(mut driver: Driver) {
    let root = driver.root();
    driver.ok(hide_entry(root, "c", "GPO", 1));
    let again = create_entry(root, "C", "gpo", guid(2), 2);
    assert_eq!(driver.call(again), failed(Status::AlreadyExists));
    driver.key(root, "a", guid(1), 1, false);
    let again = create_entry(root, "A", "BASE", guid(2), 2);
    assert_eq!(driver.call(again), failed(Status::AlreadyExists));
    driver.ok(hide_entry(root, "b", "base", 3));
    let again = create_entry(root, "b", "Base", guid(2), 4);
    assert_eq!(driver.call(again), failed(Status::AlreadyExists));
}

fn hiding_replaces_the_entry_of_the_layer(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    driver.ok(hide_entry(root, "A", "Base", 2));
    assert_eq!(entries_of(&driver.call(lookup(root, "a"))), ["Base@2 -> HIDDEN"]);
    driver.ok(Request::DropKey { guid: guid(1) });
    assert_eq!(entries_of(&driver.call(lookup(root, "a"))), ["Base@2 -> HIDDEN"]);
}

fn deleting_an_entry_is_idempotent(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    driver.ok(delete_entry(root, "A", "BASE"));
    driver.ok(delete_entry(root, "a", "base"));
    driver.ok(delete_entry(guid(77), "a", "base"));
    assert!(entries_of(&driver.call(lookup(root, "a"))).is_empty());
}

fn children_come_in_groups_of_one_spelling(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "b", guid(2), 1, false);
    driver.key(root, "A", guid(1), 2, false);
    driver.ok(create_entry(root, "a", "gpo", guid(1), 3));
    let Response::EnumChildren { children, metadata } =
        driver.call(Request::EnumChildren { parent: root })
    else {
        panic!("no children");
    };
    let names: Vec<_> = children.iter().map(|(name, entries)| (&name[..], entries.len())).collect();
    assert_eq!(names, [(&b"A"[..], 1), (b"a", 1), (b"b", 1)]);
    assert_eq!(metadata.iter().map(|key| key.guid).collect::<Vec<_>>(), [guid(1), guid(2)]);
}

fn a_key_that_exists_already_exists(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    let again = create_key(guid(1), "a", root, false);
    assert_eq!(driver.call(again), failed(Status::AlreadyExists));
    let volatile = create_key(guid(1), "a", root, true);
    assert_eq!(driver.call(volatile), failed(Status::AlreadyExists));
}

fn a_key_needs_a_parent(mut driver: Driver) {
    let orphan = create_key(guid(1), "a", guid(9), false);
    assert_eq!(driver.call(orphan), failed(Status::NotFound));
    let second_root = create_key(guid(1), "a", Guid::NULL, false);
    assert_eq!(driver.call(second_root), failed(Status::NotFound));
}

fn a_new_key_has_the_time_of_its_creation(mut driver: Driver) {
    let root = driver.root();
    driver.now += 5;
    driver.ok(create_key(guid(1), "a", root, false));
    let Response::ReadKey { last_write_time, parent, .. } =
        driver.call(Request::ReadKey { guid: guid(1) })
    else {
        panic!("no key");
    };
    assert_eq!((last_write_time, parent), (START + 5, root));
}

fn writing_a_key_changes_only_what_is_named(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    let write = |sd: Option<&str>, last_write_time| Request::WriteKey {
        guid: guid(1),
        sd: sd.map(Into::into),
        last_write_time,
        undefined_fields: 0,
    };
    let mut read = |write: Request| {
        driver.ok(write);
        match driver.call(Request::ReadKey { guid: guid(1) }) {
            Response::ReadKey { sd, last_write_time, .. } => {
                (String::from_utf8(sd).unwrap(), last_write_time)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read(write(None, None)), ("sd of a".into(), START));
    assert_eq!(read(write(Some("x"), None)), ("x".into(), START));
    assert_eq!(read(write(None, Some(u64::MAX))), ("x".into(), u64::MAX));
    assert_eq!(read(write(Some(""), Some(0))), (String::new(), 0));
}

fn writing_an_unknown_field_is_invalid(mut driver: Driver) {
    let guid = driver.root();
    let write =
        Request::WriteKey { guid, sd: Some(vec![1]), last_write_time: None, undefined_fields: 4 };
    let before = driver.raw();
    assert_eq!(driver.call(write), failed(Status::Invalid));
    assert_eq!(driver.raw(), before);
}

fn dropping_a_key_takes_all_that_is_its_own(mut driver: Driver) {
    let root = driver.root();
    let before = driver.raw();
    for (number, volatile) in [(1, false), (2, true)] {
        driver.key(root, "a", guid(number), 1, volatile);
        driver.ok(create_entry(root, "b", "gpo", guid(number), 2));
        driver.ok(set_value(guid(number), "v", "base", "data", 3));
        driver.ok(blanket(guid(number), "gpo", true, 4));
        driver.ok(Request::DropKey { guid: guid(number) });
        driver.ok(Request::DropKey { guid: guid(number) });
        assert_eq!(driver.raw(), before);
    }
}

fn a_root_that_is_dropped_is_made_anew_at_the_start(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    driver.ok(set_value(root, "v", "base", "x", 2));
    driver.ok(Request::DropKey { guid: root });
    assert_eq!(driver.call(Request::ReadKey { guid: root }), failed(Status::NotFound));
    assert_eq!(driver.call(query_all(root)), failed(Status::NotFound));
    driver.restart();
    let anew = driver.root();
    assert!(values_of(&driver.call(query_all(anew))).is_empty());
    driver.ok(set_value(anew, "v", "base", "y", 3));
    driver.restart();
    assert_eq!(driver.root(), anew);
    assert_eq!(values_of(&driver.call(query_all(anew))), ["v=y@3 in base"]);
}

fn requests_for_a_missing_key_are_not_found(mut driver: Driver) {
    let (gone, root) = (guid(9), driver.root());
    let write =
        Request::WriteKey { guid: gone, sd: None, last_write_time: None, undefined_fields: 0 };
    for request in [
        lookup(gone, "a"),
        Request::EnumChildren { parent: gone },
        Request::ReadKey { guid: gone },
        query(gone, "v"),
        query_all(gone),
        create_entry(gone, "a", "base", guid(1), 1),
        hide_entry(gone, "a", "base", 1),
        write,
        set_value(gone, "v", "base", "x", 1),
        blanket(gone, "base", true, 1),
        blanket(gone, "base", false, 0),
    ] {
        assert_eq!(driver.call(request.clone()), failed(Status::NotFound), "{request:?}");
    }
    driver.ok(delete_value(gone, "v", "base"));
    // An entry may come before its key.
    driver.ok(create_entry(root, "a", "base", gone, 1));
    assert_eq!(entries_of(&driver.call(lookup(root, "a"))), ["base@1 -> 09"]);
}

fn a_value_is_replaced_with_its_spelling_and_the_layers(mut driver: Driver) {
    let root = driver.root();
    driver.ok(set_value(root, "Name", "Base", "old", 1));
    driver.ok(set_value(root, "Name", "gpo", "other", 2));
    driver.ok(set_value(root, "NAME", "Base", "new", 3));
    assert_eq!(
        values_of(&driver.call(query(root, "name"))),
        ["NAME=new@3 in Base", "Name=other@2 in gpo"]
    );
    driver.ok(set_value(root, "naMe", "BASE", "newer", 4));
    assert_eq!(
        values_of(&driver.call(query(root, "name"))),
        ["Name=other@2 in gpo", "naMe=newer@4 in BASE"]
    );
    driver.ok(delete_value(root, "nAME", "bASE"));
    assert_eq!(values_of(&driver.call(query(root, "name"))), ["Name=other@2 in gpo"]);
}

fn all_values_come_with_the_blankets(mut driver: Driver) {
    let root = driver.root();
    driver.ok(set_value(root, "a", "base", "1", 1));
    driver.ok(set_value(root, "b", "base", "2", 2));
    driver.ok(blanket(root, "gpo", true, 3));
    assert_eq!(
        values_of(&driver.call(query_all(root))),
        ["a=1@1 in base", "b=2@2 in base", "blanket@3 in gpo"]
    );
    assert_eq!(values_of(&driver.call(query(root, "b"))), ["b=2@2 in base", "blanket@3 in gpo"]);
}

fn the_default_value_is_not_all_values(mut driver: Driver) {
    let root = driver.root();
    driver.ok(set_value(root, "", "base", "default", 1));
    driver.ok(set_value(root, "b", "base", "2", 2));
    assert_eq!(values_of(&driver.call(query(root, ""))), ["=default@1 in base"]);
}

fn a_tombstone_keeps_no_data(mut driver: Driver) {
    let root = driver.root();
    driver.ok(Request::SetValue {
        guid: root,
        value_name: b"v".to_vec(),
        layer: b"gpo".to_vec(),
        value_type: 0xFFFF,
        data: b"junk".to_vec(),
        sequence: 1,
        expected_sequence: 0,
    });
    driver.ok(set_value(root, "empty", "gpo", "", 2));
    let found = driver.call(query_all(root));
    assert_eq!(values_of(&found), ["empty=@2 in gpo", "v=tombstone@1 in gpo"]);
    let Response::QueryValues { entries, .. } = found else { panic!("no values") };
    assert!(entries.iter().all(|entry| entry.data.is_empty()));
}

fn a_conditional_write_needs_the_stored_sequence(mut driver: Driver) {
    let root = driver.root();
    let absent = set_value_if(root, "v", "base", "x", 2, 1);
    assert_eq!(driver.call(absent), failed(Status::ConditionFailed));
    driver.ok(set_value(root, "v", "base", "one", 3));
    let stale = set_value_if(root, "v", "base", "x", 4, 2);
    assert_eq!(driver.call(stale), failed(Status::ConditionFailed));
    let elsewhere = set_value_if(root, "v", "gpo", "x", 4, 3);
    assert_eq!(driver.call(elsewhere), failed(Status::ConditionFailed));
    assert_eq!(values_of(&driver.call(query(root, "v"))), ["v=one@3 in base"]);
    driver.ok(set_value_if(root, "v", "base", "two", 4, 3));
    assert_eq!(values_of(&driver.call(query(root, "v"))), ["v=two@4 in base"]);
}

fn a_conditional_write_compares_layers_folded(mut driver: Driver) {
    let root = driver.root();
    driver.ok(set_value(root, "v", "base", "one", 3));
    driver.ok(set_value_if(root, "V", "BASE", "two", 4, 3));
    assert_eq!(values_of(&driver.call(query(root, "v"))), ["V=two@4 in BASE"]);
}

fn a_blanket_is_set_anew_and_removed(mut driver: Driver) {
    let root = driver.root();
    driver.ok(blanket(root, "gpo", true, 1));
    driver.ok(blanket(root, "GPO", true, 2));
    assert_eq!(values_of(&driver.call(query_all(root))), ["blanket@2 in GPO"]);
    driver.ok(blanket(root, "gpo", false, 0));
    driver.ok(blanket(root, "gpo", false, 0));
    assert!(values_of(&driver.call(query_all(root))).is_empty());
}

fn sequence_numbers_keep_all_their_bits(mut driver: Driver) {
    let root = driver.root();
    for (name, sequence) in [("a", 1), ("b", u64::MAX - 1), ("c", 1 << 63), ("d", (1 << 63) - 1)] {
        driver.ok(set_value(root, name, "base", "", sequence));
    }
    assert_eq!(
        values_of(&driver.call(query_all(root))),
        [
            "a=@1 in base",
            "b=@18446744073709551614 in base",
            "c=@9223372036854775808 in base",
            "d=@9223372036854775807 in base"
        ]
    );
    let high = set_value_if(root, "b", "base", "", 2, u64::MAX - 1);
    driver.restart();
    assert_eq!(driver.store().max_sequence(), u64::MAX - 1);
    driver.ok(high);
    driver.restart();
    assert_eq!(driver.store().max_sequence(), 1 << 63);
}

fn deleting_a_layer_reports_orphans_and_keeps_keys(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    driver.ok(create_entry(root, "a", "gpo", guid(1), 2));
    driver.ok(create_entry(root, "b", "GPO", guid(2), 3));
    driver.ok(create_key(guid(2), "b", root, false));
    driver.ok(create_entry(root, "c", "Gpo", guid(3), 4));
    driver.ok(create_key(guid(3), "c", root, true));
    driver.ok(set_value(root, "v", "gpo", "x", 5));
    driver.ok(set_value(guid(3), "v", "gpo", "x", 6));
    driver.ok(set_value(root, "v", "base", "y", 7));
    driver.ok(blanket(root, "gPO", true, 8));
    let orphaned = vec![guid(2), guid(3)];
    assert_eq!(driver.call(delete_layer("gpo")), Response::DeleteLayer { orphaned });
    assert_eq!(values_of(&driver.call(query_all(root))), ["v=y@7 in base"]);
    assert!(values_of(&driver.call(query_all(guid(3)))).is_empty());
    assert_eq!(entries_of(&driver.call(lookup(root, "a"))), ["base@1 -> 01", "metadata 01"]);
    assert!(entries_of(&driver.call(lookup(root, "b"))).is_empty());
}

fn a_root_that_loses_its_last_entry_is_reported_like_any_key(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    driver.ok(create_entry(guid(1), "b", "gpo", root, 2));
    let orphaned = vec![root];
    assert_eq!(driver.call(delete_layer("gpo")), Response::DeleteLayer { orphaned });
    assert!(matches!(driver.call(Request::ReadKey { guid: root }), Response::ReadKey { .. }));
}

fn deleting_an_unknown_layer_reports_nothing(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    let before = driver.raw();
    assert_eq!(driver.call(delete_layer("gpo")), Response::DeleteLayer { orphaned: vec![] });
    assert_eq!(driver.raw(), before);
}

fn names_that_are_not_text_are_invalid(mut driver: Driver) {
    let root = driver.root();
    let name = Request::Lookup { parent: root, child_name: vec![0xff] };
    assert_eq!(driver.call(name), failed(Status::Invalid));
    assert_eq!(driver.call(Request::DeleteLayer { layer: vec![0xc0] }), failed(Status::Invalid));
}

fn flushing_an_unknown_hive_is_invalid(mut driver: Driver) {
    driver.ok(flush("MACHINE"));
    assert_eq!(driver.call(flush("Users")), failed(Status::Invalid));
}

fn volatile_keys_die_with_the_source(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "kept", guid(1), 1, false);
    let before = driver.raw();
    driver.key(root, "lost", guid(2), 2, true);
    driver.key(guid(2), "below", guid(3), 3, true);
    driver.ok(hide_entry(guid(2), "hidden", "gpo", 4));
    driver.ok(set_value(guid(3), "v", "base", "x", 5));
    driver.ok(blanket(guid(2), "gpo", true, 6));
    driver.restart();
    assert_eq!(driver.raw(), before);
    assert_eq!(driver.store().max_sequence(), 1);
}

fn an_entry_follows_its_volatile_key(mut driver: Driver) {
    let root = driver.root();
    driver.ok(create_entry(root, "a", "base", guid(1), 1));
    assert!(!driver.raw()[0].path_entries[0].stored_volatile);
    driver.ok(create_key(guid(1), "a", root, true));
    assert!(driver.raw()[0].path_entries[0].stored_volatile);
    driver.ok(create_entry(root, "b", "base", guid(1), 2));
    assert!(driver.raw()[0].path_entries.iter().all(|entry| entry.stored_volatile));
    let again = create_entry(root, "A", "base", guid(2), 3);
    assert_eq!(driver.call(again), failed(Status::AlreadyExists));
    driver.ok(hide_entry(root, "a", "base", 4));
    assert_eq!(entries_of(&driver.call(lookup(root, "a"))), ["base@4 -> HIDDEN"]);
}

fn a_volatile_key_has_its_values_with_it(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, true);
    driver.ok(set_value(guid(1), "v", "base", "one", 2));
    driver.ok(set_value_if(guid(1), "v", "base", "two", 3, 2));
    driver.ok(blanket(guid(1), "gpo", true, 4));
    assert_eq!(
        values_of(&driver.call(query(guid(1), "V"))),
        ["blanket@4 in gpo", "v=two@3 in base"]
    );
    let raw = driver.raw();
    assert!(raw[0].values[0].stored_volatile && raw[0].blankets[0].stored_volatile);
    driver.ok(delete_value(guid(1), "v", "base"));
    assert_eq!(values_of(&driver.call(query(guid(1), "V"))), ["blanket@4 in gpo"]);
}

fn orphans_are_purged_at_the_start(mut driver: Driver) {
    let root = driver.root();
    let before = driver.raw();
    driver.key(root, "a", guid(1), 1, false);
    driver.ok(set_value(guid(1), "v", "base", "x", 2));
    driver.ok(blanket(guid(1), "base", true, 3));
    driver.ok(delete_entry(root, "a", "base"));
    driver.kill();
    assert_eq!(driver.raw(), before);
}

fn entries_without_a_key_are_purged_at_the_start(mut driver: Driver) {
    let root = driver.root();
    driver.ok(hide_entry(root, "b", "gpo", 1));
    let before = driver.raw();
    driver.ok(create_entry(root, "a", "base", guid(1), 2));
    driver.kill();
    assert_eq!(driver.raw(), before);
}
