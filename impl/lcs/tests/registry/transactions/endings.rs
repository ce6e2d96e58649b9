//! How transactions end, and commits that are refused.

use super::*;

#[test]
fn a_committed_transaction_is_of_no_further_use() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    within.set(key, "v", 1, "").unwrap();
    client.commit(transaction).unwrap();
    assert_eq!(client.status(transaction), Ok((REG_TXN_COMMITTED, 0)));
    assert_eq!(client.poll(transaction), Ok(ENDED));
    assert_eq!(within.set(key, "v", 1, ""), Err(Errno::EINVAL));
    assert_eq!(within.get(key, "v"), Err(Errno::EINVAL));
    assert_eq!(within.create("Machine\\B", "").map(|_| ()), Err(Errno::EINVAL));
    assert_eq!(client.commit(transaction), Err(Errno::EINVAL));
    let requests = machine.source.store().log.len();
    client.close(transaction).unwrap();
    assert_eq!(machine.source.store().log.len(), requests);
}

#[test]
fn an_unbound_transaction_has_nothing_to_commit() {
    let machine = Machine::new();
    let client = machine.client();
    let transaction = client.begin().unwrap();
    assert_eq!(client.commit(transaction), Err(Errno::EINVAL));
    assert_eq!(state(&client, transaction), REG_TXN_ACTIVE_UNBOUND);
}

#[test]
fn a_lifetime_begins_with_the_fd_and_ends_in_an_abort() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    sleep(&client, LIFETIME_NS / 2);
    within.set(key, "v", 1, "").unwrap();
    sleep(&client, LIFETIME_NS / 2 - 1_000_000);
    assert_eq!(state(&client, transaction), REG_TXN_ACTIVE_BOUND);
    sleep(&client, 1_000_000);
    assert_eq!(client.status(transaction), Ok((REG_TXN_TIMED_OUT, Errno::ETIMEDOUT as u32)));
    assert_eq!(client.poll(transaction), Ok(ENDED));
    assert_eq!(machine.source.count(Operation::AbortTransaction), 1);
    assert_eq!(within.set(key, "v", 1, ""), Err(Errno::ETIMEDOUT));
    assert_eq!(within.get(key, "v"), Err(Errno::ETIMEDOUT));
    assert_eq!(client.commit(transaction), Err(Errno::ETIMEDOUT));
    client.close(transaction).unwrap();
    assert_eq!(machine.source.count(Operation::AbortTransaction), 1);
    assert_eq!(client.get(key, "v"), Err(Errno::ENOENT));
}

#[test]
fn an_unbound_transaction_times_out_without_a_request() {
    let machine = Machine::new();
    let client = machine.client();
    let (_, transaction, _) = prepared(&client);
    let requests = machine.source.store().log.len();
    sleep(&client, LIFETIME_NS);
    assert_eq!(state(&client, transaction), REG_TXN_TIMED_OUT);
    assert_eq!(machine.source.store().log.len(), requests);
}

#[test]
fn a_source_that_goes_down_ends_what_is_bound_to_it_for_good() {
    let mut machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    let unbound = client.begin().unwrap();
    within.set(key, "v", 1, "").unwrap();
    machine.source.kill();
    assert_eq!(client.status(transaction), Ok((REG_TXN_SOURCE_DOWN, Errno::EIO as u32)));
    assert_eq!(client.poll(transaction), Ok(ENDED));
    machine.restart();
    assert_eq!(within.set(key, "v", 1, ""), Err(Errno::EIO));
    assert_eq!(within.get(key, "v"), Err(Errno::EIO));
    assert_eq!(client.commit(transaction), Err(Errno::EIO));
    client.close(transaction).unwrap();
    assert_eq!(machine.source.count(Operation::AbortTransaction), 0);
    assert_eq!(client.get(key, "v"), Err(Errno::ENOENT));
    client.within(unbound).set(key, "v", 1, "").unwrap();
}

#[test]
fn a_source_that_dies_at_a_commit_ends_the_transaction() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    within.set(key, "v", 1, "").unwrap();
    machine.source.store().dies_at = Some(Operation::CommitTransaction);
    assert_eq!(client.commit(transaction), Err(Errno::EIO));
    assert_eq!(state(&client, transaction), REG_TXN_SOURCE_DOWN);
}

#[test]
fn a_refused_commit_can_be_tried_again() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    let before = client.generation("Machine");
    within.delete(key, "").unwrap();
    let refusals = [(Status::TransactionBusy, Errno::EBUSY), (Status::StorageError, Errno::EIO)];
    for (status, errno) in refusals {
        machine.source.store().refusals.insert(Operation::CommitTransaction, status);
        assert_eq!(client.commit(transaction), Err(errno));
        assert_eq!(client.status(transaction), Ok((REG_TXN_ACTIVE_BOUND, 0)));
        assert_eq!(client.poll(transaction), Ok(0));
    }
    machine.source.store().refusals.clear();
    assert_eq!(client.generation("Machine"), before);
    client.commit(transaction).unwrap();
    assert_eq!(client.generation("Machine"), before + 1);
    assert_eq!(client.hide(key, ""), Err(Errno::ENOENT));
}

#[test]
fn a_transaction_whose_commit_was_refused_can_be_aborted() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    within.set(key, "v", 1, "").unwrap();
    machine.source.store().refusals.insert(Operation::CommitTransaction, Status::TransactionBusy);
    assert_eq!(client.commit(transaction), Err(Errno::EBUSY));
    client.close(transaction).unwrap();
    assert!(machine.source.store().transactions.is_empty());
}

#[test]
fn mutations_above_the_limit_are_enomem_before_any_request() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    let timeout = machine.world.env.now() + LIFETIME_NS;
    for number in 0..4096 {
        within.set(key, "v", number, "").unwrap();
    }
    assert!(machine.world.env.now() < timeout);
    let written = machine.source.count(Operation::SetValue);
    assert_eq!(within.set(key, "v", 9, ""), Err(Errno::ENOMEM));
    assert_eq!(machine.source.count(Operation::SetValue), written);
    client.commit(transaction).unwrap();
    assert_eq!(client.get(key, "v"), Ok((4095, "base".to_owned())));
}
