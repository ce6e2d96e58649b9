//! Commits whose answer comes after the transaction's end.

use super::*;

/// A commit that the source lies on, and that ends the transaction by its lifetime.
fn stalled(machine: &Machine) -> (Client, i32, i32) {
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    within.set(key, "v", 1, "").unwrap();
    machine.source.store().stalled.insert(Operation::CommitTransaction);
    assert_eq!(client.commit(transaction), Err(Errno::ETIMEDOUT));
    assert_eq!(state(&client, transaction), REG_TXN_TIMED_OUT);
    (client, key, transaction)
}

#[test]
fn a_lifetime_that_ends_during_a_commit_sends_no_abort() {
    let machine = Machine::new();
    let (client, _, transaction) = stalled(&machine);
    client.close(transaction).unwrap();
    assert_eq!(machine.source.count(Operation::AbortTransaction), 0);
}

#[test]
fn a_late_success_has_all_its_effects_and_leaves_the_transaction_timed_out() {
    let machine = Machine::new();
    let (client, key, transaction) = stalled(&machine);
    let before = client.generation("Machine");
    machine.source.answer_late();
    machine.settle();
    assert_eq!(client.get(key, "v"), Ok((1, "base".to_owned())));
    assert_eq!(client.generation("Machine"), before + 1);
    assert_eq!(state(&client, transaction), REG_TXN_TIMED_OUT);
    assert_eq!(client.commit(transaction), Err(Errno::ETIMEDOUT));
    assert_eq!(machine.source.count(Operation::AbortTransaction), 0);
}

#[test]
fn a_late_success_has_its_effects_after_the_fd_is_closed() {
    let machine = Machine::new();
    let (client, key, transaction) = stalled(&machine);
    let before = client.generation("Machine");
    client.close(transaction).unwrap();
    machine.source.answer_late();
    machine.settle();
    assert_eq!(client.get(key, "v"), Ok((1, "base".to_owned())));
    assert_eq!(client.generation("Machine"), before + 1);
}

#[test]
fn a_late_refusal_has_the_source_abort() {
    let machine = Machine::new();
    let (client, key, _) = stalled(&machine);
    let before = client.generation("Machine");
    machine.source.store().refusals.insert(Operation::CommitTransaction, Status::StorageError);
    machine.source.answer_late();
    machine.settle();
    machine.world.run_until_stalled();
    assert_eq!(client.generation("Machine"), before);
    assert!(machine.source.store().transactions.is_empty());
    assert_eq!(client.get(key, "v"), Err(Errno::ENOENT));
}

#[test]
fn a_connection_that_ends_before_the_answer_leaves_no_effects() {
    let mut machine = Machine::new();
    let (client, key, transaction) = stalled(&machine);
    let before = client.generation("Machine");
    machine.restart();
    assert_eq!(client.get(key, "v"), Err(Errno::ENOENT));
    assert_eq!(client.generation("Machine"), before);
    assert_eq!(state(&client, transaction), REG_TXN_TIMED_OUT);
}
