//! Transactions and the write lock of the reference store (PSD-005 §7.2, PSD-006 §4.1).

use registry_model::store::{
    Description, Operation, Request, Response, Status, Store, TXN_READ_ONLY,
};

use crate::source::*;

fn with_value() -> Source {
    let mut source = Source::new(&["Machine", "Users"]);
    source.create(key(1), ROOT, "One", 1);
    source.create(key(2), OTHER_ROOT, "Two", 2);
    assert_eq!(source.ask(set(key(1), "v", "base", "old", 3)), "ok");
    source
}

const OLD: &str = "ok; value \"v\" layer \"base\" = sz \"old\" sequence 3";
const NEW: &str = "ok; value \"v\" layer \"base\" = sz \"new\" sequence 4";

fn with_open_transaction() -> Source {
    let mut source = with_value();
    assert_eq!(source.ask_in(7, begin(7)), "ok");
    assert_eq!(source.ask_in(7, set(key(1), "v", "base", "new", 4)), "ok");
    source
}

#[test]
fn a_transaction_reads_its_own_writes_and_others_do_not() {
    let mut source = with_open_transaction();
    assert_eq!(source.ask_in(7, query(key(1), "v")), NEW);
    assert_eq!(source.ask(query(key(1), "v")), OLD);
}

#[test]
fn a_commit_applies_all_and_an_abort_nothing() {
    let mut source = with_open_transaction();
    assert_eq!(source.ask_in(7, commit(7)), "ok");
    assert_eq!(source.ask(query(key(1), "v")), NEW);
    let mut source = with_open_transaction();
    assert_eq!(source.ask_in(7, abort(7)), "ok");
    assert_eq!(source.ask(query(key(1), "v")), OLD);
    assert_eq!(source.store.open_transactions().count(), 0);
}

#[test]
fn an_id_ends_with_its_transaction() {
    let mut source = with_value();
    assert_eq!(source.ask_in(7, query(key(1), "v")), "INVALID");
    assert_eq!(source.ask_in(7, commit(7)), "INVALID");
    assert_eq!(source.ask_in(7, abort(7)), "ok");
    assert_eq!(source.ask_in(7, begin(7)), "ok");
    assert_eq!(source.ask_in(7, begin(7)), "INVALID");
    assert_eq!(source.ask_in(7, commit(7)), "ok");
    assert_eq!(source.ask_in(7, set(key(1), "v", "base", "new", 4)), "INVALID");
    assert_eq!(source.ask_in(0, begin(0)), "INVALID");
}

#[test]
fn a_transaction_keeps_to_its_hive() {
    let mut source = with_open_transaction();
    assert_eq!(source.ask_in(7, set(key(2), "v", "base", "x", 5)), "INVALID");
    assert_eq!(source.ask_in(7, read_key(key(2))), "INVALID");
    assert_eq!(source.ask(set(key(2), "v", "base", "x", 5)), "ok");
}

#[test]
fn a_write_waits_for_the_lock_and_is_busy_after_the_timeout() {
    let source = with_open_transaction();
    let write = || set(key(1), "w", "base", "x", 5);
    assert_eq!(source.statuses(write(), 24), Vec::<String>::new());
    assert_eq!(source.statuses(write(), 25), ["TXN_BUSY"]);
    assert_eq!(source.statuses(delete_layer("lab"), 24), Vec::<String>::new());
    assert_eq!(source.statuses(delete_layer("lab"), 25), ["TXN_BUSY"]);
    assert_eq!(source.statuses(query(key(1), "v"), 25), [OLD]);
    assert_eq!(source.statuses(flush("Users"), 25), ["ok"]);
    assert_eq!(source.statuses(flush("Machine"), 25), ["ok", "TXN_BUSY"]);
}

#[test]
fn a_write_that_waited_succeeds_once_the_lock_is_free() {
    let mut source = with_open_transaction();
    let write = set(key(1), "w", "base", "x", 5);
    assert_eq!(source.ask(write.clone()), "waits");
    source.ask_in(7, abort(7));
    assert_eq!(source.ask(write), "ok");
    assert!(source.covered.contains("LORE-081"));
}

#[test]
fn an_unbound_transaction_holds_up_nobody() {
    let mut source = with_value();
    source.ask_in(7, begin(7));
    assert_eq!(source.ask_in(7, query(key(1), "v")), OLD);
    assert_eq!(source.ask(set(key(1), "v", "base", "new", 4)), "ok");
    assert_eq!(source.ask_in(7, query(key(1), "v")), NEW);
    assert!(source.covered.contains("LORE-127"));
}

#[test]
fn a_second_transaction_on_a_hive_is_busy_and_stays_unbound() {
    let mut source = with_open_transaction();
    source.ask_in(8, begin(8));
    assert_eq!(source.ask_in(8, set(key(1), "w", "base", "x", 5)), "TXN_BUSY");
    assert_eq!(source.ask_in(8, set(key(2), "w", "base", "x", 5)), "ok");
}

#[test]
fn a_refused_first_mutation_still_takes_the_lock() {
    let mut source = with_value();
    source.ask_in(7, begin(7));
    assert_eq!(source.ask_in(7, set_if(key(1), "v", "base", "x", 5, 99)), "CAS_FAILED");
    assert_eq!(source.ask(set(key(1), "v", "base", "x", 6)), "waits");
}

#[test]
fn a_mutation_of_what_is_not_there_takes_no_lock() {
    let mut source = with_value();
    source.ask_in(7, begin(7));
    assert_eq!(source.ask_in(7, set(key(9), "v", "base", "x", 5)), "NOT_FOUND");
    assert_eq!(source.ask(set(key(1), "v", "base", "x", 6)), "ok");
}

#[test]
fn a_read_only_transaction_sees_one_moment_and_changes_nothing() {
    let mut source = with_value();
    assert_eq!(source.ask_in(7, begin_read_only(7)), "ok");
    assert_eq!(source.ask(set(key(1), "v", "base", "new", 4)), "ok");
    assert_eq!(source.ask_in(7, query(key(1), "v")), OLD);
    let before = source.store.clone();
    assert_eq!(source.ask_in(7, set(key(1), "v", "base", "x", 5)), "INVALID");
    assert_eq!(source.ask_in(7, drop_key(key(9))), "INVALID");
    assert_eq!(source.ask_in(7, delete_layer("base")), "INVALID");
    assert_eq!(source.ask_in(7, commit(7)), "INVALID");
    assert_eq!(source.store, before);
    assert_eq!(source.ask_in(7, query(key(1), "v")), OLD);
    assert_eq!(source.ask_in(7, abort(7)), "ok");
    assert_eq!(source.ask(query(key(1), "v")), NEW);
}

#[test]
fn an_uncommitted_key_is_there_for_its_transaction_alone() {
    let mut source = with_open_transaction();
    assert_eq!(source.ask_in(7, create_entry(ROOT, "Three", "base", key(3), 5)), "ok");
    assert_eq!(source.ask_in(7, create_key(key(3), "Three", ROOT)), "ok");
    assert_eq!(source.ask(read_key(key(3))), "NOT_FOUND");
    assert_eq!(source.ask(lookup(ROOT, "Three")), "ok");
    assert_ne!(source.ask_in(7, read_key(key(3))), "NOT_FOUND");
}

#[test]
fn readers_wait_only_for_volatile_data() {
    let mut source = with_open_transaction();
    source.ask_in(7, create_volatile_key(key(3), "Three", ROOT));
    assert_eq!(source.statuses(query(key(1), "v"), 24), [OLD]);
    assert_eq!(source.statuses(query(key(1), "v"), 25), ["TXN_BUSY", OLD]);
}

#[test]
fn readers_wait_for_entries_that_a_volatile_key_left() {
    let mut source = with_value();
    source.ask(create_volatile_key(key(3), "Three", ROOT));
    source.ask(hide_entry(key(3), "Below", "base", 5));
    source.ask(Operation::DropKey { guid: key(3) });
    source.ask_in(7, begin(7));
    source.ask_in(7, set(key(1), "v", "base", "new", 6));
    assert_eq!(source.statuses(query(key(1), "v"), 24), [OLD]);
    assert_eq!(source.statuses(query(key(1), "v"), 25), ["TXN_BUSY", OLD]);
}

#[test]
fn whoever_looks_in_every_hive_waits_for_volatile_data_of_any() {
    let mut source = with_open_transaction();
    source.ask_in(7, create_volatile_key(key(3), "Three", ROOT));
    assert_eq!(source.statuses(query(key(9), "v"), 24), ["NOT_FOUND"]);
    assert_eq!(source.statuses(query(key(9), "v"), 25), ["NOT_FOUND", "TXN_BUSY"]);
    let begin = Operation::BeginTransaction { transaction: 8, mode: TXN_READ_ONLY };
    assert_eq!(statuses_in(&source, 8, begin.clone(), 24), ["ok"]);
    assert_eq!(statuses_in(&source, 8, begin, 25), ["ok", "TXN_BUSY"]);
}

#[test]
fn a_request_may_outlive_its_transaction() {
    let mut source = with_open_transaction();
    let write = || set(key(1), "w", "base", "x", 5);
    assert_eq!(source.ask_in(7, write()), "ok");
    source.ask_in(8, begin(8));
    source.ask_in(9, begin_read_only(9));
    for id in [8, 9] {
        assert_eq!(source.ask_in(id, abort(id)), "ok");
    }
    assert_eq!(statuses_in(&source, 8, write(), 24), ["INVALID"]);
    assert_eq!(statuses_in(&source, 8, write(), 25), ["INVALID", "TXN_BUSY"]);
    assert_eq!(statuses_in(&source, 8, query(key(1), "v"), 25), ["INVALID"]);
    // It was never one that could wait, and it had ended before the request was sent.
    assert_eq!(statuses_in(&source, 9, write(), 25), ["INVALID"]);
    assert_eq!(statuses_in(&source, 10, write(), 25), ["INVALID"]);
    source.now += 1;
    assert_eq!(statuses_in(&source, 8, write(), 25), ["INVALID"]);
}

#[test]
fn a_flag_that_contradicts_its_name_does_not_shorten_the_wait() {
    let mut source = with_open_transaction();
    source.ask_in(7, create_volatile_key(key(3), "Three", ROOT));
    let query = Operation::QueryValues { guid: key(9), name: b"v".to_vec(), query_all: 1 };
    assert_eq!(source.statuses(query, 25), ["NOT_FOUND", "INVALID", "TXN_BUSY"]);
}

#[test]
fn a_bound_transaction_looks_for_what_is_nowhere_as_a_reader_does() {
    let mut source = Source::new(&["Machine", "Users"]);
    source.ask_in(7, begin(7));
    assert_eq!(source.ask_in(7, set(ROOT, "v", "base", "x", 1)), "ok");
    let write = || set(key(9), "v", "base", "x", 2);
    let users = source.store.roots().last().unwrap().1;
    source.ask_in(8, begin(8));
    source.ask_in(8, set(users, "v", "base", "x", 2));
    assert_eq!(statuses_in(&source, 7, write(), 25), ["NOT_FOUND"]);
    source.ask_in(8, create_volatile_key(key(3), "Three", users));
    assert_eq!(statuses_in(&source, 7, write(), 24), ["NOT_FOUND"]);
    assert_eq!(statuses_in(&source, 7, write(), 25), ["NOT_FOUND", "TXN_BUSY"]);
}

#[test]
fn any_key_but_a_root_may_be_looked_for_in_every_hive() {
    let mut source = Source::new(&["Machine", "Users"]);
    source.create(key(1), ROOT, "One", 1);
    let write = || set(key(1), "v", "base", "x", 2);
    source.ask_in(8, begin(8));
    source.ask_in(8, set(OTHER_ROOT, "v", "base", "x", 3));
    assert_eq!(source.statuses(enum_children(key(1)), 25), ["ok"]);
    source.ask_in(8, create_volatile_key(key(3), "Three", OTHER_ROOT));
    assert_eq!(source.statuses(enum_children(key(1)), 24), ["ok"]);
    assert_eq!(source.statuses(enum_children(key(1)), 25), ["ok", "TXN_BUSY"]);
    assert_eq!(source.statuses(write(), 25), ["ok", "TXN_BUSY"]);
    source.ask_in(7, begin(7));
    assert_eq!(statuses_in(&source, 7, write(), 25), ["ok", "TXN_BUSY"]);
    assert_eq!(source.statuses(lookup(ROOT, "One"), 25).len(), 1);
}

#[test]
fn a_store_may_fail_before_the_lock_is_waited_for() {
    let mut source = with_open_transaction();
    let write = || set(key(1), "w", "base", "x", 5);
    assert!(source.statuses(write(), 0).is_empty());
    source.store = source.store.with_storage_failing(true);
    assert_eq!(source.statuses(write(), 0), ["STORAGE_ERROR"]);
}

#[test]
fn a_store_may_fail_where_a_key_of_another_hive_is_looked_for() {
    let mut source = Source::new(&["Machine", "Users"]);
    source.ask_in(7, begin(7));
    source.ask_in(7, set(ROOT, "v", "base", "x", 1));
    let write = || set(OTHER_ROOT, "v", "base", "x", 2);
    assert_eq!(statuses_in(&source, 7, write(), 0), ["INVALID"]);
    source.store = source.store.with_storage_failing(true);
    assert_eq!(statuses_in(&source, 7, write(), 0), ["INVALID", "STORAGE_ERROR"]);
    let malformed = Operation::QueryValues { guid: OTHER_ROOT, name: vec![], query_all: 2 };
    assert_eq!(statuses_in(&source, 7, malformed, 0), ["INVALID"]);
}

#[test]
fn a_drop_of_what_has_no_record_may_wait_for_any_hive() {
    let mut source = with_open_transaction();
    let drop = || Operation::DropKey { guid: key(9) };
    source.ask(create_entry(OTHER_ROOT, "Nine", "base", key(9), 5));
    assert_eq!(source.statuses(drop(), 24), ["ok"]);
    assert_eq!(source.statuses(drop(), 25), ["ok", "TXN_BUSY"]);
    source.ask_in(8, begin(8));
    assert_eq!(statuses_in(&source, 8, drop(), 0), ["ok", "TXN_BUSY"]);
    source.ask_in(8, set(key(2), "v", "base", "x", 6));
    assert_eq!(source.statuses(drop(), 24), Vec::<String>::new());
    assert!(source.statuses(drop(), 25).iter().all(|status| status == "TXN_BUSY"));
}

#[test]
fn a_deletion_below_a_dropped_key_takes_the_lock_if_it_removes_something() {
    let mut source = with_value();
    source.ask(create_entry(key(1), "Below", "base", key(3), 4));
    source.ask(Operation::DropKey { guid: key(1) });
    source.ask_in(7, begin(7));
    let states_after = |source: &Source, name: &str| -> Vec<Vec<String>> {
        let delete = Request::within(7, delete_entry(key(1), name, "base"));
        let answers = source.answers(&delete, 0).into_iter();
        let write = Request::new(set(ROOT, "v", "base", "x", 5));
        let next = answers.map(|answer| answer.accept(&answer.outcome.example()).unwrap());
        let answers = next.map(|next| next.answer(&write, source.now, source.now));
        answers
            .map(|all| all.iter().map(|answer| shown(&answer.outcome.example())).collect())
            .collect()
    };
    let (locked, free) = (Vec::<String>::new(), vec!["ok".to_owned()]);
    assert_eq!(states_after(&source, "below"), std::slice::from_ref(&locked));
    assert_eq!(states_after(&source, "Other"), [locked, free]);
}

#[test]
fn a_value_that_is_too_large_is_refused_where_it_could_be_written() {
    let large = "x".repeat(2 << 20);
    let write = |guid| set(guid, "w", "base", &large, 5);
    assert_eq!(statuses_in(&with_value(), 0, write(key(1)), 0), ["ok", "TOO_LARGE"]);
    assert_eq!(statuses_in(&with_value(), 0, write(key(9)), 0), ["NOT_FOUND"]);
    let locked = with_open_transaction();
    assert!(statuses_in(&locked, 0, write(key(1)), 0).is_empty());
}

#[test]
fn readers_wait_for_volatile_data_that_a_transaction_has_dropped() {
    let mut source = with_value();
    source.ask(create_volatile_key(key(3), "Three", ROOT));
    source.ask_in(7, begin(7));
    assert_eq!(source.ask_in(7, drop_key(key(3))), "ok");
    assert_eq!(source.statuses(query(key(1), "v"), 25), ["TXN_BUSY", OLD]);
}

fn statuses_in(source: &Source, id: u64, operation: Operation, waited_seconds: u64) -> Vec<String> {
    let answers = source.answers(&Request::within(id, operation), waited_seconds);
    answers.iter().map(|answer| shown(&answer.outcome.example())).collect()
}

#[test]
fn a_failed_commit_leaves_the_transaction_open() {
    let mut source = with_open_transaction();
    source.store = source.store.with_storage_failing(true);
    let request = Request::within(7, commit(7));
    let answers = source.answers(&request, 0);
    let failed = Response::Failed(Status::StorageError);
    let next = answers.iter().find_map(|answer| answer.accept(&failed).ok());
    source.store = next.unwrap().with_storage_failing(false);
    assert_eq!(source.ask(query(key(1), "v")), OLD);
    assert_eq!(source.ask_in(7, query(key(1), "v")), NEW);
    assert_eq!(source.ask_in(7, commit(7)), "ok");
    assert_eq!(source.ask(query(key(1), "v")), NEW);
}

#[test]
fn a_source_may_do_without_transactions_of_either_kind() {
    let mut description = Description::new(&["Machine"]).unwrap();
    description.read_write_transactions = false;
    let store = register(&Store::first_boot(&description, 0, 0), &[ROOT]).unwrap();
    let mut source = Source { store, now: 0, covered: registry_model::Covered::new() };
    assert_eq!(source.ask_in(7, begin(7)), "TXN_NOT_SUPPORTED");
    assert_eq!(source.ask_in(8, begin_read_only(8)), "ok");
}

#[test]
fn a_time_that_a_transaction_shows_is_the_time_for_everybody() {
    let mut source = Source::new(&["Machine"]);
    source.ask(create_entry(ROOT, "One", "base", key(1), 1));
    let request = Request::new(create_key(key(1), "One", ROOT));
    let [answer] = &source.answers(&request, 1)[..] else { panic!("one answer") };
    source.store = answer.next().clone();
    source.ask_in(7, begin_read_only(7));
    let [answer] = &source.answers(&Request::within(7, read_key(key(1))), 0)[..] else {
        panic!("one answer")
    };
    let response = answer.outcome.example();
    source.store = answer.accept(&response).unwrap();
    let mut other = response.clone();
    if let Response::Ok(registry_model::store::Payload::Key { metadata, .. }) = &mut other {
        metadata.last_write_time -= 1;
    }
    assert!(answer.accept(&other).is_ok());
    for request in [Request::new(read_key(key(1))), Request::within(7, read_key(key(1)))] {
        let [answer] = &source.answers(&request, 0)[..] else { panic!("one answer") };
        assert!(answer.accept(&response).is_ok());
        assert!(answer.accept(&other).is_err());
    }
}

#[test]
fn what_a_source_does_not_have_is_refused_without_a_look_at_the_store() {
    let mut description = Description::new(&["Machine"]).unwrap();
    description.read_only_transactions = false;
    let store = register(&Store::first_boot(&description, 0, 0), &[ROOT]).unwrap();
    let store = store.with_storage_failing(true);
    let source = Source { store, now: 0, covered: registry_model::Covered::new() };
    assert_eq!(statuses_in(&source, 7, begin_read_only(7), 0), ["TXN_NOT_SUPPORTED"]);
    let store = Store::first_boot(&Description::new(&["Machine"]).unwrap(), 0, 0);
    let store = register(&store, &[ROOT]).unwrap().with_storage_failing(true);
    let source = Source { store, ..source };
    assert_eq!(statuses_in(&source, 7, begin_read_only(7), 0), ["ok", "STORAGE_ERROR"]);
}
