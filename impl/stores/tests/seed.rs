//! Records put into a store as they are: what was put in is what is held and answered.

#[macro_use]
#[path = "support/behaviours.rs"]
mod behaviours;
mod support;

use rsi::{Guid, Request, Response, Status};
use stores::{RawBlanket, RawKey, RawPathEntry, RawRecord, RawValue};
use support::*;

behaviours!(
    a_value_is_put_in_as_it_is,
    a_value_takes_the_place_of_its_identity,
    a_value_goes_where_its_key_is,
    a_blanket_takes_the_place_of_its_identity,
    an_entry_may_name_a_key_without_a_record,
    an_entry_may_have_any_name,
    two_entries_may_name_one_key,
    a_key_record_keeps_what_is_the_keys,
    a_lost_key_leaves_its_entries,
    a_value_of_no_key_is_not_found,
    an_unknown_hive_is_not_found,
    an_open_transaction_is_in_the_way,
);

fn seed(driver: &mut Driver, record: RawRecord) {
    let root = driver.root();
    driver.store().seed(root, record).unwrap();
}

fn value(key: Guid, name: &str, layer: &str, sequence: u64) -> RawValue {
    RawValue {
        key,
        name: name.into(),
        layer: layer.into(),
        value_type: 0xFFFF,
        data: b"data".to_vec(),
        sequence,
        stored_volatile: false,
    }
}

fn entry(parent: Guid, name: &str, layer: &str, target: Option<Guid>) -> RawPathEntry {
    RawPathEntry {
        parent,
        child_name: name.into(),
        layer: layer.into(),
        target,
        sequence: u64::MAX,
        stored_volatile: false,
    }
}

fn a_value_is_put_in_as_it_is(mut driver: Driver) {
    let root = driver.root();
    let odd = RawValue { value_type: u32::MAX, ..value(root, "a\0\\b", "", u64::MAX) };
    seed(&mut driver, RawRecord::Value(odd.clone()));
    assert_eq!(driver.raw()[0].values, [odd]);
    let Response::QueryValues { entries, .. } = driver.call(query_all(root)) else {
        panic!("the source answers")
    };
    assert_eq!((entries[0].value_type, &entries[0].data[..]), (u32::MAX, &b"data"[..]));
}

fn a_value_takes_the_place_of_its_identity(mut driver: Driver) {
    let root = driver.root();
    driver.ok(set_value(root, "Größe", "gpo", "x", 1));
    let odd = value(root, "GRÖßE", "GPO", 0);
    seed(&mut driver, RawRecord::Value(odd.clone()));
    assert_eq!(driver.raw()[0].values, [odd]);
}

fn a_value_goes_where_its_key_is(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "v", guid(1), 1, true);
    seed(&mut driver, RawRecord::Value(value(guid(1), "x", "base", 2)));
    assert!(driver.raw()[0].values[0].stored_volatile);
    driver.restart();
    assert_eq!(driver.raw()[0].values, []);
}

fn a_blanket_takes_the_place_of_its_identity(mut driver: Driver) {
    let root = driver.root();
    driver.ok(blanket(root, "gpo", true, 1));
    let odd =
        RawBlanket { key: root, layer: "GPO".into(), sequence: 1 << 63, stored_volatile: false };
    seed(&mut driver, RawRecord::Blanket(odd.clone()));
    assert_eq!(driver.raw()[0].blankets, [odd]);
}

fn an_entry_may_name_a_key_without_a_record(mut driver: Driver) {
    let root = driver.root();
    seed(&mut driver, RawRecord::PathEntry(entry(root, "a", "base", Some(guid(9)))));
    let answer = driver.call(lookup(root, "A"));
    assert_eq!(entries_of(&answer), [format!("base@{} -> 09", u64::MAX)]);
    driver.restart();
    assert_eq!(driver.raw()[0].path_entries, []);
}

fn an_entry_may_have_any_name(mut driver: Driver) {
    let root = driver.root();
    let long = "n".repeat(300);
    for name in ["", "a\\b", "n\0", long.as_str()] {
        let odd = entry(root, name, "a/b", None);
        seed(&mut driver, RawRecord::PathEntry(odd.clone()));
        assert!(driver.raw()[0].path_entries.contains(&odd), "{name:?}");
    }
}

fn two_entries_may_name_one_key(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    seed(&mut driver, RawRecord::PathEntry(entry(root, "a", "gpo", Some(guid(1)))));
    driver.ok(delete_entry(root, "a", "base"));
    driver.restart();
    assert!(driver.raw()[0].keys.iter().any(|key| key.guid == guid(1)));
    let Response::DeleteLayer { orphaned } = driver.call(delete_layer("GPO")) else {
        panic!("the source answers")
    };
    assert_eq!(orphaned, [guid(1)]);
}

fn a_key_record_keeps_what_is_the_keys(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    driver.ok(set_value(guid(1), "x", "base", "data", 2));
    let odd = RawKey {
        guid: guid(1),
        name: "b".into(),
        parent: Some(root),
        sd: vec![7; 70_000],
        volatile_key: false,
        symlink: true,
        last_write_time: u64::MAX,
    };
    seed(&mut driver, RawRecord::Key(odd.clone()));
    assert!(driver.raw()[0].keys.contains(&odd));
    assert_eq!(values_of(&driver.call(query_all(guid(1)))), ["x=data@2 in base"]);
}

fn a_lost_key_leaves_its_entries(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    driver.ok(set_value(guid(1), "x", "base", "data", 2));
    seed(&mut driver, RawRecord::LostKey(guid(1)));
    assert_eq!(driver.call(Request::ReadKey { guid: guid(1) }), failed(Status::NotFound));
    assert_eq!(entries_of(&driver.call(lookup(root, "a"))), ["base@1 -> 01"]);
    assert_eq!(driver.raw()[0].values, []);
}

fn a_value_of_no_key_is_not_found(mut driver: Driver) {
    let root = driver.root();
    let record = RawRecord::Value(value(guid(9), "x", "base", 1));
    assert_eq!(driver.store().seed(root, record), Err(Status::NotFound));
}

fn an_unknown_hive_is_not_found(mut driver: Driver) {
    let record = RawRecord::LostKey(guid(1));
    assert_eq!(driver.store().seed(guid(9), record), Err(Status::NotFound));
}

fn an_open_transaction_is_in_the_way(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(1, begin(1));
    driver.ok_within(1, set_value(root, "x", "base", "data", 1));
    let record = RawRecord::Value(value(root, "y", "base", 2));
    assert_eq!(driver.store().seed(root, record), Err(Status::TransactionBusy));
}
