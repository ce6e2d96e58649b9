//! Two hives of one source do not hold each other up (PSD-005 §7.3, PSD-006 §4.1), and a layer is
//! removed from both as from one (PSD-006 §5.1), asked of each of our stores.

#[macro_use]
#[path = "support/behaviours.rs"]
mod behaviours;
mod support;

use rsi::{Guid, Request, Response, Status};
use support::*;

behaviours!(
    over ["Machine", "Users"];
    a_layer_that_waits_for_a_hive_keeps_no_other,
    a_removal_of_an_unknown_key_that_waits_keeps_no_other_hive,
    a_removal_of_an_unknown_key_waits_for_the_hive_of_its_entries_alone,
    a_layer_that_waits_goes_before_later_writes_of_its_hive,
    volatile_writes_of_a_transaction_hold_up_no_other_hive,
    volatile_writes_of_a_transaction_hold_up_no_read_of_persistent_data,
    volatile_keys_of_a_transaction_are_committed_at_its_end,
    an_aborted_drop_of_a_volatile_key_leaves_it,
    a_key_that_two_hives_name_is_orphaned_once,
    a_key_that_another_hive_still_names_is_no_orphan,
    a_transaction_makes_no_key_that_another_hive_has,
);

/// The roots of Machine and Users.
fn roots(driver: &mut Driver) -> [Guid; 2] {
    [0, 1].map(|hive| driver.store().hives()[hive].root)
}

/// Opens transaction 5 over Machine, with one write.
fn hold_machine(driver: &mut Driver, machine: Guid) {
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(machine, "v", "base", "x", 1));
}

/// What Users does while `request` waits for Machine.
fn keeps_no_other(mut driver: Driver, request: Request) {
    let [machine, users] = roots(&mut driver);
    hold_machine(&mut driver, machine);
    let waiting = driver.submit(0, request);
    driver.ok(flush("Users"));
    driver.ok(set_value(users, "v", "base", "y", 2));
    driver.ok_within(6, begin(6));
    driver.ok_within(6, set_value(users, "v", "base", "z", 3));
    let committing = driver.submit(5, commit(5));
    assert_eq!(driver.drain(), [(committing, Response::Done)]);
    // It waits for Users now, and Machine is free.
    driver.ok(set_value(machine, "v", "base", "w", 4));
    driver.submit(6, commit(6));
    assert_eq!(driver.drain().last().map(|(id, _)| *id), Some(waiting));
}

fn a_layer_that_waits_for_a_hive_keeps_no_other(driver: Driver) {
    keeps_no_other(driver, delete_layer("gpo"));
}

fn a_removal_of_an_unknown_key_that_waits_keeps_no_other_hive(mut driver: Driver) {
    for root in roots(&mut driver) {
        driver.ok(create_entry(root, "n", "base", guid(9), 1));
    }
    keeps_no_other(driver, Request::DropKey { guid: guid(9) });
}

fn a_removal_of_an_unknown_key_waits_for_the_hive_of_its_entries_alone(mut driver: Driver) {
    let [machine, users] = roots(&mut driver);
    driver.ok(create_entry(users, "a", "base", guid(9), 1));
    hold_machine(&mut driver, machine);
    driver.ok(Request::DropKey { guid: guid(9) });
    driver.ok(create_entry(users, "a", "base", guid(9), 2));
    driver.ok_within(6, begin(6));
    driver.ok_within(6, set_value(users, "v", "base", "x", 3));
    let waiting = driver.submit(0, Request::DropKey { guid: guid(9) });
    assert_eq!(driver.drain(), []);
    driver.submit(6, commit(6));
    assert!(driver.drain().contains(&(waiting, Response::Done)));
    assert!(driver.raw()[1].path_entries.is_empty());
}

fn a_layer_that_waits_goes_before_later_writes_of_its_hive(mut driver: Driver) {
    let [machine, _] = roots(&mut driver);
    hold_machine(&mut driver, machine);
    let layer = driver.submit(0, delete_layer("gpo"));
    let write = driver.submit(0, set_value(machine, "v", "base", "y", 2));
    let committing = driver.submit(5, commit(5));
    let ids: Vec<u64> = driver.drain().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [committing, layer, write]);
}

/// Makes a volatile key in a transaction over Machine.
fn hold_volatile(driver: &mut Driver, machine: Guid) {
    driver.ok_within(5, begin(5));
    driver.ok_within(5, create_entry(machine, "a", "base", guid(1), 1));
    driver.ok_within(5, create_key(guid(1), "a", machine, true));
}

fn volatile_writes_of_a_transaction_hold_up_no_other_hive(mut driver: Driver) {
    let [machine, users] = roots(&mut driver);
    hold_volatile(&mut driver, machine);
    assert!(matches!(driver.call(Request::ReadKey { guid: users }), Response::ReadKey { .. }));
    driver.key(users, "b", guid(2), 2, false);
    driver.key(users, "c", guid(3), 3, true);
    driver.ok(set_value(guid(3), "v", "base", "x", 4));
    assert_eq!(entries_of(&driver.call(lookup(users, "b"))), ["base@2 -> 02", "metadata 02"]);
    assert_eq!(driver.call(query_all(guid(9))), failed(Status::NotFound));
    assert_eq!(driver.call(set_value(guid(9), "v", "base", "x", 5)), failed(Status::NotFound));
}

fn volatile_writes_of_a_transaction_hold_up_no_read_of_persistent_data(mut driver: Driver) {
    let [machine, _] = roots(&mut driver);
    driver.ok(set_value(machine, "v", "base", "x", 1));
    hold_volatile(&mut driver, machine);
    assert!(matches!(driver.call(Request::ReadKey { guid: machine }), Response::ReadKey { .. }));
    assert_eq!(values_of(&driver.call(query_all(machine))), ["v=x@1 in base"]);
}

fn volatile_keys_of_a_transaction_are_committed_at_its_end(mut driver: Driver) {
    let [machine, users] = roots(&mut driver);
    hold_volatile(&mut driver, machine);
    assert_eq!(driver.call(query_all(guid(1))), failed(Status::NotFound));
    driver.ok_within(5, commit(5));
    assert!(values_of(&driver.call(query_all(guid(1)))).is_empty());
    let taken = create_key(guid(1), "a", users, false);
    assert_eq!(driver.call(taken), failed(Status::AlreadyExists));
}

fn an_aborted_drop_of_a_volatile_key_leaves_it(mut driver: Driver) {
    let [machine, users] = roots(&mut driver);
    driver.key(machine, "a", guid(1), 1, true);
    driver.ok_within(5, begin(5));
    driver.ok_within(5, Request::DropKey { guid: guid(1) });
    let taken = create_key(guid(1), "a", users, false);
    assert_eq!(driver.call(taken), failed(Status::AlreadyExists));
    driver.ok_within(5, abort(5));
    assert!(values_of(&driver.call(query_all(guid(1)))).is_empty());
}

fn a_key_that_two_hives_name_is_orphaned_once(mut driver: Driver) {
    let [machine, users] = roots(&mut driver);
    driver.ok(create_entry(machine, "a", "gpo", guid(1), 1));
    driver.ok(create_entry(users, "a", "gpo", guid(1), 2));
    let response = Response::DeleteLayer { orphaned: vec![guid(1)] };
    assert_eq!(driver.call(delete_layer("gpo")), response);
}

fn a_key_that_another_hive_still_names_is_no_orphan(mut driver: Driver) {
    let [machine, users] = roots(&mut driver);
    driver.ok(create_entry(machine, "a", "gpo", guid(1), 1));
    driver.ok(create_entry(users, "a", "base", guid(1), 2));
    let response = Response::DeleteLayer { orphaned: vec![] };
    assert_eq!(driver.call(delete_layer("gpo")), response);
}

fn a_transaction_makes_no_key_that_another_hive_has(mut driver: Driver) {
    let (root, other) = (driver.root(), driver.store().hives()[1].root);
    driver.key(other, "there", guid(1), 1, false);
    driver.key(root, "here", guid(2), 2, false);
    driver.ok_within(5, begin(5));
    driver.ok_within(5, Request::DropKey { guid: guid(2) });
    let taken = create_key(guid(1), "a", root, false);
    assert_eq!(driver.within(5, taken), failed(Status::AlreadyExists));
    let other_root = create_key(other, "a", root, false);
    assert_eq!(driver.within(5, other_root), failed(Status::AlreadyExists));
    // What the transaction itself has removed may come again.
    driver.ok_within(5, create_key(guid(2), "here", root, false));
    driver.ok_within(5, commit(5));
}
