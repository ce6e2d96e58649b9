//! What PSD-005 §7.2 and PSD-006 §4.1 ask of a source about transactions and about waiting, asked
//! of each of our stores.

#[macro_use]
#[path = "support/behaviours.rs"]
mod behaviours;
mod support;

use rsi::{Request, Response, Status};
use support::*;

behaviours!(
    a_transaction_is_seen_by_itself_until_it_commits,
    an_aborted_transaction_leaves_nothing,
    a_killed_source_forgets_its_transaction,
    a_write_waits_for_the_transaction_that_is_open,
    a_write_that_waits_too_long_is_busy,
    waiting_writes_go_in_order,
    a_new_write_does_not_overtake_those_that_wait,
    a_key_dropped_in_a_transaction_is_gone_after_it,
    an_entry_below_a_dropped_key_is_deleted_in_a_transaction,
    a_removal_of_what_is_nowhere_waits_for_nobody,
    a_second_transaction_waits_at_its_first_mutation,
    a_failed_mutation_leaves_the_transaction_bound,
    reads_go_on_while_a_transaction_is_open,
    a_snapshot_stays_as_it_was,
    a_snapshot_sees_volatile_keys_as_they_were,
    a_snapshot_outlives_the_first_volatile_key,
    a_snapshot_refuses_mutations_and_commits,
    a_write_whose_time_is_up_is_busy_though_the_lock_is_free_now,
    an_id_that_has_ended_may_be_begun_again,
    a_request_that_waits_is_no_part_of_a_later_transaction_of_its_id,
    a_snapshot_is_taken_while_a_transaction_has_the_lock,
    transaction_ids_are_checked,
    a_transaction_holds_all_that_the_kernel_sends_in_one,
    a_transaction_holds_a_whole_restore,
);

fn a_transaction_is_seen_by_itself_until_it_commits(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(root, "v", "base", "x", 1));
    driver.ok_within(5, create_entry(root, "a", "base", guid(1), 2));
    driver.ok_within(5, create_key(guid(1), "a", root, false));
    driver.ok_within(5, set_value(guid(1), "w", "base", "y", 3));
    assert_eq!(values_of(&driver.within(5, query(root, "v"))), ["v=x@1 in base"]);
    assert_eq!(values_of(&driver.within(5, query(guid(1), "w"))), ["w=y@3 in base"]);
    assert!(values_of(&driver.call(query(root, "v"))).is_empty());
    assert_eq!(driver.call(query(guid(1), "w")), failed(Status::NotFound));
    driver.ok_within(5, commit(5));
    assert_eq!(values_of(&driver.call(query(guid(1), "w"))), ["w=y@3 in base"]);
    driver.kill();
    assert_eq!(values_of(&driver.call(query(root, "v"))), ["v=x@1 in base"]);
}

fn an_aborted_transaction_leaves_nothing(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    let before = driver.raw();
    driver.ok_within(5, begin(5));
    driver.ok_within(5, Request::DropKey { guid: guid(1) });
    driver.ok_within(5, create_entry(root, "b", "base", guid(2), 2));
    driver.ok_within(5, create_key(guid(2), "b", root, true));
    driver.ok_within(5, abort(5));
    assert_eq!(driver.raw(), before);
    assert_eq!(driver.call(query_all(guid(2))), failed(Status::NotFound));
    driver.ok(set_value(guid(1), "v", "base", "x", 3));
}

fn a_killed_source_forgets_its_transaction(mut driver: Driver) {
    let root = driver.root();
    let before = driver.raw();
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(root, "v", "base", "x", 1));
    driver.kill();
    assert_eq!(driver.raw(), before);
    assert_eq!(driver.within(5, query(root, "v")), failed(Status::Invalid));
    driver.ok_within(5, begin(5));
}

fn a_write_waits_for_the_transaction_that_is_open(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(root, "v", "base", "x", 1));
    let waiting = driver.submit(0, set_value(root, "v", "base", "y", 2));
    assert_eq!(driver.drain(), []);
    driver.now += stores::BUSY_TIMEOUT_NS - 1;
    assert_eq!(driver.drain(), []);
    let committing = driver.submit(5, commit(5));
    assert_eq!(driver.drain(), [(committing, Response::Done), (waiting, Response::Done)]);
    assert_eq!(values_of(&driver.call(query(root, "v"))), ["v=y@2 in base"]);
}

fn a_write_that_waits_too_long_is_busy(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(root, "v", "base", "x", 1));
    let write = driver.submit(0, set_value(root, "v", "base", "y", 2));
    driver.now += 1;
    let flushing = driver.submit(0, flush("Machine"));
    let layer = driver.submit(0, delete_layer("gpo"));
    assert_eq!(driver.drain(), []);
    assert_eq!(driver.store().next_wake(), Some(START + stores::BUSY_TIMEOUT_NS));
    driver.now = START + stores::BUSY_TIMEOUT_NS;
    assert_eq!(driver.drain(), [(write, failed(Status::TransactionBusy))]);
    driver.now += 1;
    let busy = failed(Status::TransactionBusy);
    assert_eq!(driver.drain(), [(flushing, busy.clone()), (layer, busy)]);
    assert_eq!(driver.store().next_wake(), None);
    driver.ok_within(5, abort(5));
    assert_eq!(driver.drain(), []);
    assert!(values_of(&driver.call(query(root, "v"))).is_empty());
}

fn a_write_whose_time_is_up_is_busy_though_the_lock_is_free_now(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(root, "v", "base", "x", 1));
    let write = driver.submit(0, set_value(root, "v", "base", "y", 2));
    driver.now += stores::BUSY_TIMEOUT_NS;
    let committing = driver.submit(5, commit(5));
    let busy = failed(Status::TransactionBusy);
    assert_eq!(driver.drain(), [(committing, Response::Done), (write, busy)]);
    assert_eq!(values_of(&driver.call(query(root, "v"))), ["v=x@1 in base"]);
}

fn an_id_that_has_ended_may_be_begun_again(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(root, "v", "base", "x", 1));
    driver.ok_within(5, abort(5));
    driver.ok_within(5, begin_snapshot(5));
    assert!(values_of(&driver.within(5, query(root, "v"))).is_empty());
    assert_eq!(driver.within(5, begin(5)), failed(Status::Invalid));
    driver.ok_within(5, abort(5));
    driver.ok_within(5, begin(5));
    assert_eq!(driver.within(5, begin_snapshot(5)), failed(Status::Invalid));
    driver.ok_within(5, set_value(root, "v", "base", "y", 2));
    driver.ok_within(5, commit(5));
    assert_eq!(values_of(&driver.call(query(root, "v"))), ["v=y@2 in base"]);
}

fn a_request_that_waits_is_no_part_of_a_later_transaction_of_its_id(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(root, "v", "base", "x", 1));
    driver.ok_within(6, begin(6));
    let waiting = driver.submit(6, set_value(root, "w", "base", "y", 2));
    driver.submit(6, abort(6));
    driver.submit(6, begin(6));
    driver.submit(5, commit(5));
    let answers = driver.drain();
    assert!(answers.contains(&(waiting, failed(Status::TransactionBusy))), "{answers:?}");
    driver.ok_within(6, commit(6));
    assert_eq!(values_of(&driver.call(query_all(root))), ["v=x@1 in base"]);
}

fn a_snapshot_is_taken_while_a_transaction_has_the_lock(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(root, "v", "base", "x", 1));
    driver.ok_within(6, begin_snapshot(6));
    driver.ok_within(5, commit(5));
    assert!(values_of(&driver.within(6, query(root, "v"))).is_empty());
    driver.ok_within(6, abort(6));
}

fn waiting_writes_go_in_order(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(root, "v", "base", "x", 1));
    let first = driver.submit(0, set_value(root, "v", "base", "one", 2));
    let layer = driver.submit(0, delete_layer("base"));
    let second = driver.submit(0, set_value(root, "v", "base", "two", 3));
    let aborting = driver.submit(5, abort(5));
    let ids: Vec<u64> = driver.drain().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [aborting, first, layer, second]);
    assert_eq!(values_of(&driver.call(query(root, "v"))), ["v=two@3 in base"]);
}

fn a_new_write_does_not_overtake_those_that_wait(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(root, "v", "base", "x", 1));
    let first = driver.submit(0, set_value(root, "v", "base", "one", 2));
    let committing = driver.submit(5, commit(5));
    let second = driver.submit(0, set_value(root, "v", "base", "two", 3));
    let ids: Vec<u64> = driver.drain().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [committing, first, second]);
    assert_eq!(values_of(&driver.call(query(root, "v"))), ["v=two@3 in base"]);
}

fn a_key_dropped_in_a_transaction_is_gone_after_it(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    driver.ok_within(5, begin(5));
    driver.ok_within(5, Request::DropKey { guid: guid(1) });
    assert!(values_of(&driver.call(query_all(guid(1)))).is_empty());
    driver.ok_within(5, commit(5));
    assert_eq!(driver.call(query_all(guid(1))), failed(Status::NotFound));
}

fn an_entry_below_a_dropped_key_is_deleted_in_a_transaction(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    driver.ok(create_entry(guid(1), "b", "base", guid(2), 2));
    driver.ok(Request::DropKey { guid: guid(1) });
    let before = driver.raw();
    driver.ok_within(5, begin(5));
    driver.ok_within(5, delete_entry(guid(1), "b", "base"));
    let waiting = driver.submit(0, set_value(root, "v", "base", "x", 3));
    assert_eq!(driver.drain(), []);
    assert_eq!(driver.raw(), before);
    driver.submit(5, commit(5));
    assert!(driver.drain().contains(&(waiting, Response::Done)));
    assert!(driver.raw()[0].path_entries.is_empty());
}

fn a_removal_of_what_is_nowhere_waits_for_nobody(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(root, "v", "base", "x", 1));
    driver.ok_within(6, begin(6));
    driver.ok_within(6, delete_entry(guid(1), "b", "base"));
    driver.ok(delete_entry(guid(1), "b", "base"));
    driver.ok(Request::DropKey { guid: guid(1) });
}

fn a_second_transaction_waits_at_its_first_mutation(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    driver.ok_within(6, begin(6));
    driver.ok_within(6, commit(6));
    driver.ok_within(6, begin(6));
    driver.ok_within(5, set_value(root, "v", "base", "five", 1));
    assert!(values_of(&driver.within(6, query(root, "v"))).is_empty());
    let bind = driver.submit(6, set_value(root, "w", "base", "six", 2));
    let alone = driver.submit(0, set_value(root, "x", "base", "alone", 3));
    assert_eq!(driver.drain(), []);
    let committing = driver.submit(5, commit(5));
    assert_eq!(driver.drain(), [(committing, Response::Done), (bind, Response::Done)]);
    assert_eq!(values_of(&driver.within(6, query(root, "v"))), ["v=five@1 in base"]);
    let committing = driver.submit(6, commit(6));
    assert_eq!(driver.drain(), [(committing, Response::Done), (alone, Response::Done)]);
}

fn a_failed_mutation_leaves_the_transaction_bound(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    let absent = set_value_if(root, "v", "base", "x", 2, 1);
    assert_eq!(driver.within(5, absent), failed(Status::ConditionFailed));
    let waiting = driver.submit(0, set_value(root, "v", "base", "y", 3));
    assert_eq!(driver.drain(), []);
    driver.ok_within(5, set_value(root, "w", "base", "z", 4));
    let committing = driver.submit(5, commit(5));
    assert_eq!(driver.drain(), [(committing, Response::Done), (waiting, Response::Done)]);
    assert_eq!(values_of(&driver.call(query_all(root))), ["v=y@3 in base", "w=z@4 in base"]);
}

fn reads_go_on_while_a_transaction_is_open(mut driver: Driver) {
    let root = driver.root();
    driver.ok(set_value(root, "v", "base", "old", 1));
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(root, "v", "base", "new", 2));
    driver.submit(0, set_value(root, "v", "base", "later", 3));
    assert_eq!(values_of(&driver.call(query(root, "v"))), ["v=old@1 in base"]);
    driver.ok_within(5, delete_entry(root, "a", "base"));
}

fn a_snapshot_stays_as_it_was(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, false);
    driver.ok(set_value(guid(1), "v", "base", "old", 2));
    driver.ok_within(5, begin_snapshot(5));
    driver.ok(set_value(guid(1), "v", "base", "new", 3));
    driver.ok(delete_entry(root, "a", "base"));
    driver.ok(Request::DropKey { guid: guid(1) });
    driver.ok(flush("Machine"));
    assert_eq!(values_of(&driver.within(5, query(guid(1), "v"))), ["v=old@2 in base"]);
    assert_eq!(entries_of(&driver.within(5, lookup(root, "a"))), ["base@1 -> 01", "metadata 01"]);
    driver.ok_within(5, abort(5));
    assert_eq!(driver.within(5, query(root, "v")), failed(Status::Invalid));
}

fn a_snapshot_sees_volatile_keys_as_they_were(mut driver: Driver) {
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, true);
    driver.ok(set_value(guid(1), "v", "base", "old", 2));
    driver.ok_within(5, begin_snapshot(5));
    driver.ok(set_value(guid(1), "v", "base", "new", 3));
    driver.key(root, "b", guid(2), 4, true);
    assert_eq!(values_of(&driver.within(5, query(guid(1), "v"))), ["v=old@2 in base"]);
    assert!(entries_of(&driver.within(5, lookup(root, "b"))).is_empty());
    assert_eq!(values_of(&driver.call(query(guid(1), "v"))), ["v=new@3 in base"]);
}

fn a_snapshot_outlives_the_first_volatile_key(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin_snapshot(5));
    driver.key(root, "a", guid(1), 1, true);
    assert_eq!(driver.within(5, query_all(guid(1))), failed(Status::NotFound));
    assert!(entries_of(&driver.within(5, lookup(root, "a"))).is_empty());
}

fn a_snapshot_refuses_mutations_and_commits(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin_snapshot(5));
    let before = driver.raw();
    let write = set_value(root, "v", "base", "x", 1);
    assert_eq!(driver.within(5, write), failed(Status::Invalid));
    assert_eq!(driver.within(5, commit(5)), failed(Status::Invalid));
    assert_eq!(driver.raw(), before);
    driver.ok_within(5, abort(5));
    driver.ok_within(5, abort(5));
}

fn transaction_ids_are_checked(mut driver: Driver) {
    let root = driver.root();
    let invalid = failed(Status::Invalid);
    assert_eq!(driver.within(5, begin(6)), invalid);
    assert_eq!(driver.within(0, begin(5)), invalid);
    assert_eq!(driver.within(5, Request::BeginTransaction { transaction: 5, mode: 2 }), invalid);
    assert_eq!(driver.within(5, commit(5)), invalid);
    assert_eq!(driver.within(5, set_value(root, "v", "base", "x", 1)), invalid);
    driver.ok_within(5, begin(5));
    assert_eq!(driver.within(5, begin(5)), invalid);
    assert_eq!(driver.within(5, delete_layer("gpo")), invalid);
    assert_eq!(driver.within(5, flush("Machine")), invalid);
}

fn a_transaction_holds_all_that_the_kernel_sends_in_one(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    // A mutation of the kernel's is a write and a last write time, of a creation's entry and key.
    for sequence in 1..=4096 {
        driver.ok_within(5, set_value(root, "v", "base", "x", sequence));
        driver.ok_within(5, set_value(root, "w", "base", "x", sequence));
        driver.ok_within(5, set_value(root, "x", "base", "x", sequence));
    }
    driver.ok_within(5, commit(5));
    assert_eq!(values_of(&driver.call(query(root, "x"))), ["x=x@4096 in base"]);
}

fn a_transaction_holds_a_whole_restore(mut driver: Driver) {
    let root = driver.root();
    driver.ok_within(5, begin(5));
    for sequence in 1..=20_000 {
        driver.ok_within(5, set_value(root, "v", "base", "x", sequence));
    }
    driver.ok_within(5, commit(5));
    assert_eq!(values_of(&driver.call(query(root, "v"))), ["v=x@20000 in base"]);
}
