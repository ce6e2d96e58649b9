//! First boot, restart and registration of the reference store (PSD-005 §7.3, PSD-006 §2.1).

use expect_test::expect;
use registry_model::Errno;
use registry_model::store::{Description, Guid, Store};

use crate::source::*;

#[test]
fn at_first_boot_each_hive_gets_a_root_of_its_own() {
    let description = Description::new(&["Machine", "Users"]).unwrap();
    let start = Store::first_boot(&description, 0, 10);
    expect![
        "max sequence 0; hive \"Machine\" root (fresh) flags 0; hive \"Users\" root (fresh) flags 0"
    ]
    .assert_eq(&start.to_string());
    assert!(register(&start, &[key(1), key(2)]).is_ok());
    assert!(register(&start, &[key(1), key(1)]).is_err());
    assert!(register(&start, &[key(1), Guid::ZERO]).is_err());
}

#[test]
fn a_registration_says_exactly_what_is_stored() {
    let mut source = Source::new(&["Machine", "Users"]);
    source.create(key(1), ROOT, "One", 40);
    source.ask(set(key(1), "v", "base", "x", 42));
    source.ask(blanket(OTHER_ROOT, "base", true, 41));
    let start = source.start();
    assert_eq!(start.max_sequence(), 42);
    let good = registration(&start, &[key(8), key(9)]);
    assert!(start.register(&good).is_ok());
    let mut reordered = good.clone();
    reordered.hives.reverse();
    assert!(start.register(&reordered).is_ok());
    let mut bad = good.clone();
    bad.max_sequence = 43;
    assert!(start.register(&bad).is_err());
    let mut bad = good.clone();
    bad.hives[0].root = key(8);
    assert!(start.register(&bad).is_err());
    let mut bad = good.clone();
    bad.hives[0].name = b"MACHINE".to_vec();
    assert!(start.register(&bad).is_err());
    let mut bad = good.clone();
    bad.hives[0].flags = 1;
    assert!(start.register(&bad).is_err());
    let mut bad = good.clone();
    bad.hives.pop();
    assert!(start.register(&bad).is_err());
    let mut bad = good;
    bad.hives[1] = bad.hives[0].clone();
    assert!(start.register(&bad).is_err());
}

#[test]
fn hive_names_are_distinct_and_well_formed() {
    for hives in [&[][..], &["Machine", "mACHINE"], &[""], &["a\\b"]] {
        assert_eq!(Description::new(hives).err(), Some(Errno::EINVAL), "{hives:?}");
    }
}

#[test]
fn a_root_has_the_default_descriptor_and_the_time_of_the_start() {
    let mut source = Source::new(&["Machine"]);
    let answer = source.ask(read_key(ROOT));
    let descriptor = registry_model::security::default_root_sd();
    assert!(answer.contains(&descriptor.escape_ascii().to_string()));
    assert!(answer.ends_with("volatile 0 symlink 0 last written 10"));
    assert_eq!(source.ask(enum_children(ROOT)), "ok");
}

#[test]
fn a_restart_loses_volatile_keys_with_all_that_is_theirs() {
    let mut source = Source::new(&["Machine"]);
    source.ask(create_entry(ROOT, "One", "base", key(1), 1));
    source.ask(create_volatile_key(key(1), "One", ROOT));
    source.ask(hide_entry(ROOT, "One", "lab", 2));
    source.ask(create_entry(key(1), "Two", "base", key(2), 3));
    source.ask(create_volatile_key(key(2), "Two", key(1)));
    source.ask(set(key(1), "v", "base", "x", 4));
    source.ask(hide_entry(key(1), "Three", "base", 5));
    assert_eq!(source.start().max_sequence(), 2);
    source.restart();
    expect![[r#"ok; child "One"; entry layer "lab" hidden sequence 2"#]]
        .assert_eq(&source.ask(enum_children(ROOT)));
    assert_eq!(source.ask(read_key(key(1))), "NOT_FOUND");
    assert_eq!(source.ask(read_key(key(2))), "NOT_FOUND");
    source.create(key(1), ROOT, "One", 6);
    assert_eq!(source.ask(enum_children(key(1))), "ok");
    assert_eq!(source.ask(query_all(key(1))), "ok");
}

#[test]
fn a_volatile_entry_is_lost_although_its_parent_was_dropped_before() {
    let mut source = Source::new(&["Machine"]);
    source.ask(create_entry(ROOT, "One", "base", key(1), 1));
    source.ask(create_volatile_key(key(1), "One", ROOT));
    source.ask(hide_entry(key(1), "Two", "base", 9));
    source.ask(drop_key(key(1)));
    assert_eq!(source.start().max_sequence(), 0);
}

#[test]
fn a_restart_purges_orphans_and_nothing_below_them() {
    let mut source = Source::new(&["Machine"]);
    source.create(key(1), ROOT, "One", 1);
    source.create(key(2), key(1), "Two", 2);
    source.ask(set(key(1), "v", "base", "x", 3));
    source.ask(delete_entry(ROOT, "One", "base"));
    assert_ne!(source.ask(read_key(key(1))), "NOT_FOUND");
    assert_eq!(source.start().max_sequence(), 2);
    source.restart();
    assert_eq!(source.ask(read_key(key(1))), "NOT_FOUND");
    assert_ne!(source.ask(read_key(key(2))), "NOT_FOUND");
    assert!(source.covered.contains("SRC-28"));
}

#[test]
fn a_restart_removes_entries_whose_key_was_never_made() {
    let mut source = Source::new(&["Machine"]);
    source.ask(create_entry(ROOT, "One", "base", key(1), 9));
    assert_eq!(source.start().max_sequence(), 0);
    source.restart();
    assert_eq!(source.ask(lookup(ROOT, "One")), "ok");
}

#[test]
fn open_transactions_end_with_the_process() {
    let mut source = Source::new(&["Machine"]);
    source.ask_in(7, begin(7));
    source.ask_in(7, set(ROOT, "v", "base", "x", 1));
    source.restart();
    assert_eq!(source.ask(query_all(ROOT)), "ok");
    assert_eq!(source.ask_in(7, commit(7)), "INVALID");
    assert!(source.covered.contains("LORE-030"));
}

#[test]
fn a_dropped_root_is_made_anew() {
    let mut source = Source::new(&["Machine"]);
    source.ask(drop_key(ROOT));
    assert_eq!(source.ask(enum_children(ROOT)), "NOT_FOUND");
    source.restart();
    assert_eq!(source.store.roots().collect::<Vec<_>>(), [("Machine", key(0xB1))]);
    assert_eq!(source.ask(enum_children(key(0xB1))), "ok");
}

#[test]
fn a_key_with_the_guid_of_a_dropped_root_is_no_root() {
    let mut source = Source::new(&["Machine"]);
    source.create(key(1), ROOT, "One", 1);
    source.ask(drop_key(ROOT));
    assert_eq!(source.ask(create_key(ROOT, "Two", key(1))), "ok");
    source.restart();
    assert_eq!(source.store.roots().collect::<Vec<_>>(), [("Machine", key(0xB1))]);
    assert_eq!(source.ask(read_key(ROOT)), "NOT_FOUND");
}

#[test]
fn a_source_whose_store_fails_registers_without_orphans_or_not_at_all() {
    let mut source = Source::new(&["Machine"]);
    source.create(key(1), ROOT, "One", 1);
    source.ask(delete_entry(ROOT, "One", "base"));
    assert!(!source.start().may_stay_away());
    source.store = source.store.with_storage_failing(true);
    assert!(source.start().may_stay_away());
    source.restart();
    source.store = source.store.with_storage_failing(false);
    assert_eq!(source.ask(read_key(key(1))), "NOT_FOUND");
}
