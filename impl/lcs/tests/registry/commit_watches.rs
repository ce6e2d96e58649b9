//! What watches are told of a commit.

use abi::{DACL_SECURITY_INFORMATION, Errno, REG_NOTIFY_ALL, REG_NOTIFY_SUBKEY, REG_NOTIFY_VALUE};
use rsi::Operation;

use crate::client::{Client, Machine};

/// A watched key, and a client whose calls are part of a transaction.
fn prepared(client: &Client, filter: u32, subtree: bool) -> (i32, i32, Client) {
    let fd = client.make("Machine\\A");
    client.notify(fd, filter, subtree).unwrap();
    let transaction = client.begin().unwrap();
    (fd, transaction, client.within(transaction))
}

#[test]
fn nothing_is_told_before_the_commit_and_everything_in_order_at_it() {
    let client = Machine::new().client();
    let (fd, transaction, within) = prepared(&client, REG_NOTIFY_ALL, true);
    within.set(fd, "v", 1, "").unwrap();
    let (child, _) = within.create("Machine\\A\\B", "").unwrap();
    within.set(child, "w", 1, "").unwrap();
    within.unset(fd, "v", "").unwrap();
    let mut sd = client.security(fd, DACL_SECURITY_INFORMATION).unwrap();
    sd[3] ^= 0x10;
    within.set_security(fd, DACL_SECURITY_INFORMATION, &sd).unwrap();
    assert_eq!(client.events(fd), [""; 0]);
    client.commit(transaction).unwrap();
    assert_eq!(
        client.events(fd),
        [
            "VALUE_SET v @",
            "SUBKEY_CREATED B @",
            "VALUE_SET w @B",
            "VALUE_DELETED v @",
            "SD_CHANGED @"
        ]
    );
}

#[test]
fn an_abort_tells_nothing() {
    let client = Machine::new().client();
    let (fd, transaction, within) = prepared(&client, REG_NOTIFY_ALL, true);
    within.set(fd, "v", 1, "").unwrap();
    client.close(transaction).unwrap();
    assert_eq!(client.events(fd), [""; 0]);
}

#[test]
fn each_operation_has_its_own_difference_to_what_was_committed() {
    let client = Machine::new().client();
    let (fd, transaction, within) = prepared(&client, REG_NOTIFY_VALUE, false);
    client.set(fd, "same", 1, "").unwrap();
    client.set(fd, "masked", 1, "").unwrap();
    client.events(fd);
    within.set(fd, "same", 1, "").unwrap();
    within.set(fd, "same", 2, "").unwrap();
    within.set(fd, "same", 2, "").unwrap();
    within.blanket(fd, "", true).unwrap();
    within.blanket(fd, "", false).unwrap();
    client.commit(transaction).unwrap();
    assert_eq!(
        client.events(fd),
        [
            "VALUE_SET same",
            "VALUE_DELETED masked",
            "VALUE_DELETED same",
            "VALUE_SET masked",
            "VALUE_SET same",
        ]
    );
}

#[test]
fn a_key_made_and_deleted_in_a_transaction_comes_and_goes() {
    let client = Machine::new().client();
    let (fd, transaction, within) = prepared(&client, REG_NOTIFY_SUBKEY, true);
    let (child, _) = within.create("Machine\\A\\B", "").unwrap();
    client.notify(child, REG_NOTIFY_VALUE, false).unwrap();
    within.delete(child, "").unwrap();
    client.commit(transaction).unwrap();
    assert_eq!(client.events(fd), ["SUBKEY_CREATED B @", "SUBKEY_DELETED B @", "KEY_DELETED @B"]);
    assert_eq!(client.events(child), ["KEY_DELETED"]);
}

#[test]
fn the_layers_that_a_commit_changes_come_after_it() {
    let client = Machine::new().client();
    let role = client.layer("role", 0);
    let (fd, transaction, within) = prepared(&client, REG_NOTIFY_VALUE, false);
    client.set(fd, "v", 1, "role").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    client.events(fd);
    within.set(role, "Precedence", 5, "").unwrap();
    within.set(fd, "w", 1, "").unwrap();
    client.commit(transaction).unwrap();
    assert_eq!(client.events(fd), ["VALUE_SET w", "VALUE_SET v"]);
}

#[test]
fn a_burst_that_is_too_much_for_a_watch_is_one_overflow() {
    let client = Machine::new().client();
    let (fd, transaction, within) = prepared(&client, REG_NOTIFY_VALUE, false);
    let few = client.make("Machine\\B");
    client.notify(few, REG_NOTIFY_VALUE, false).unwrap();
    client.set(fd, "before", 1, "").unwrap();
    for value in 0..64 {
        within.set(fd, &format!("v{value}"), value, "").unwrap();
    }
    // Each of these is as many events as there are values.
    for turn in 0..64 {
        within.blanket(fd, "", turn % 2 == 0).unwrap();
    }
    within.set(few, "v", 1, "").unwrap();
    client.commit(transaction).unwrap();
    assert_eq!(client.events(fd), ["VALUE_SET before", "OVERFLOW"]);
    assert_eq!(client.events(few), ["VALUE_SET v"]);
}

#[test]
fn a_commit_of_what_nobody_watches_asks_nothing() {
    let machine = Machine::new();
    let client = machine.client();
    let (_, transaction, within) = prepared(&client, REG_NOTIFY_ALL, false);
    let other = client.make("Machine\\B");
    within.unset(other, "v", "").unwrap();
    let requests = machine.source.store().log.len();
    client.commit(transaction).unwrap();
    assert_eq!(machine.source.store().log[requests..], [Operation::CommitTransaction]);
}

#[test]
fn a_late_commit_is_told_when_it_is_heard_of() {
    let machine = Machine::new();
    let client = machine.client();
    let (fd, transaction, within) = prepared(&client, REG_NOTIFY_VALUE, false);
    within.set(fd, "v", 1, "").unwrap();
    machine.source.store().stalled.insert(Operation::CommitTransaction);
    assert_eq!(client.commit(transaction), Err(Errno::ETIMEDOUT));
    assert_eq!(client.events(fd), [""; 0]);
    machine.source.answer_late();
    machine.settle();
    assert_eq!(client.events(fd), ["VALUE_SET v"]);
}
