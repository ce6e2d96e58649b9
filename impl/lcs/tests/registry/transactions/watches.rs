//! What watches hear of transactions.

use abi::{REG_NOTIFY_ALL, REG_NOTIFY_VALUE};

use super::*;

/// A watched key, a transaction, and a client whose calls are part of it.
fn watched(client: &Client) -> (i32, i32, Client) {
    let (key, transaction, within) = prepared(client);
    client.notify(key, REG_NOTIFY_ALL, true).unwrap();
    (key, transaction, within)
}

#[test]
fn events_come_at_the_commit_in_the_order_of_the_operations() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = watched(&client);
    within.set(key, "v", 1, "").unwrap();
    let (child, _) = within.create("Machine\\A\\B", "").unwrap();
    within.set(child, "w", 1, "").unwrap();
    within.set(key, "v", 2, "").unwrap();
    within.unset(key, "v", "").unwrap();
    within.delete(child, "").unwrap();
    assert_eq!(client.events(key), [""; 0]);
    client.commit(transaction).unwrap();
    let expected = [
        "VALUE_SET v @0",
        "SUBKEY_CREATED B @0",
        "VALUE_SET w @1 B",
        "VALUE_SET v @0",
        "VALUE_DELETED v @0",
        "SUBKEY_DELETED B @0",
        "KEY_DELETED @1 B",
    ];
    let events = client.events(key);
    assert_eq!(events.len(), expected.len(), "{events:?}");
    for (event, expected) in events.iter().zip(expected) {
        let kind = expected.split(' ').next().unwrap();
        assert!(event.starts_with(kind), "{events:?}");
    }
}

#[test]
fn what_the_transaction_takes_back_or_never_changes_is_told_as_it_went() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    client.set(key, "v", 1, "").unwrap();
    client.set(key, "w", 1, "").unwrap();
    client.notify(key, REG_NOTIFY_ALL, false).unwrap();
    within.set(key, "v", 1, "").unwrap();
    within.blanket(key, "", true).unwrap();
    within.set(key, "v", 3, "").unwrap();
    within.blanket(key, "", false).unwrap();
    client.commit(transaction).unwrap();
    let expected = ["VALUE_DELETED v", "VALUE_DELETED w", "VALUE_SET v", "VALUE_SET w"];
    assert_eq!(client.events(key), expected);
}

#[test]
fn nothing_is_asked_of_the_source_from_outside_between_the_binding_and_the_commit() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = watched(&client);
    within.set(key, "v", 1, "").unwrap();
    let before = machine.source.store().within.len();
    within.unset(key, "w", "").unwrap();
    within.blanket(key, "", true).unwrap();
    within.set_security(key, DACL_SECURITY_INFORMATION, &root_descriptor()).unwrap();
    within.create("Machine\\B", "").unwrap();
    client.commit(transaction).unwrap();
    let store = machine.source.store();
    let outside = store.within[before..].iter().zip(&store.log[before..]);
    let outside: Vec<Operation> =
        outside.filter(|(id, _)| **id == 0).map(|(_, operation)| *operation).collect();
    // The path to the new key is walked from outside.
    assert!(
        outside.iter().all(|operation| matches!(operation, Operation::Lookup | Operation::ReadKey))
    );
}

#[test]
fn an_abort_and_a_timeout_tell_nothing() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = watched(&client);
    within.set(key, "v", 1, "").unwrap();
    client.close(transaction).unwrap();
    let transaction = client.begin().unwrap();
    client.within(transaction).set(key, "v", 1, "").unwrap();
    sleep(&client, LIFETIME_NS);
    assert_eq!(client.events(key), [""; 0]);
}

#[test]
fn a_refused_commit_tells_nothing_and_the_next_one_everything() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    client.notify(key, REG_NOTIFY_VALUE, false).unwrap();
    within.set(key, "v", 1, "").unwrap();
    within.set(key, "w", 1, "").unwrap();
    machine.source.store().refusals.insert(Operation::CommitTransaction, Status::TransactionBusy);
    assert_eq!(client.commit(transaction), Err(Errno::EBUSY));
    assert_eq!(client.events(key), [""; 0]);
    machine.source.store().refusals.clear();
    client.commit(transaction).unwrap();
    assert_eq!(client.events(key), ["VALUE_SET v", "VALUE_SET w"]);
}

#[test]
fn a_late_commit_tells_what_one_in_time_would() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    client.notify(key, REG_NOTIFY_VALUE, false).unwrap();
    within.set(key, "v", 1, "").unwrap();
    machine.source.store().stalled.insert(Operation::CommitTransaction);
    assert_eq!(client.commit(transaction), Err(Errno::ETIMEDOUT));
    assert_eq!(client.events(key), [""; 0]);
    machine.source.answer_late();
    machine.settle();
    assert_eq!(client.events(key), ["VALUE_SET v"]);
}

#[test]
fn a_precedence_set_in_a_transaction_tells_of_what_surfaces_at_the_commit() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 0);
    let (key, transaction, within) = prepared(&client);
    client.set(key, "v", 1, "gpo").unwrap();
    client.set(key, "v", 2, "").unwrap();
    client.notify(key, REG_NOTIFY_VALUE, false).unwrap();
    within.set(key, "w", 1, "").unwrap();
    within.set(gpo, "Precedence", 5, "").unwrap();
    assert_eq!(client.events(key), [""; 0]);
    client.commit(transaction).unwrap();
    assert_eq!(client.events(key), ["VALUE_SET w", "VALUE_SET v"]);
}
