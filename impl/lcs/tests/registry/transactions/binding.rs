//! What binds a transaction, and what refuses to.

use super::*;

fn binds(mutate: impl Fn(&Client, i32)) {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    assert_eq!(client.status(transaction), Ok((REG_TXN_ACTIVE_UNBOUND, 0)));
    mutate(&within, key);
    assert_eq!(client.status(transaction), Ok((REG_TXN_ACTIVE_BOUND, 0)));
    assert_eq!(client.poll(transaction), Ok(0));
    assert_eq!(machine.source.count(Operation::BeginTransaction), 1);
}

#[test]
fn a_value_write_binds() {
    binds(|within, key| within.set(key, "v", 1, "").unwrap());
}

#[test]
fn a_value_deletion_binds() {
    binds(|within, key| within.unset(key, "v", "").unwrap());
}

#[test]
fn a_blanket_tombstone_binds() {
    binds(|within, key| within.blanket(key, "", true).unwrap());
}

#[test]
fn a_key_creation_binds() {
    binds(|within, _| assert!(within.create("Machine\\A\\B", "").is_ok()));
}

#[test]
fn a_key_deletion_binds() {
    binds(|within, key| within.delete(key, "").unwrap());
}

#[test]
fn a_key_hide_binds() {
    binds(|within, key| within.hide(key, "").unwrap());
}

#[test]
fn a_descriptor_change_binds() {
    binds(|within, key| {
        within.set_security(key, OWNER_SECURITY_INFORMATION, &root_descriptor()).unwrap();
    });
}

#[test]
fn beginning_asks_no_source() {
    let machine = Machine::new();
    let client = machine.client();
    let requests = machine.source.store().log.len();
    client.begin().unwrap();
    assert_eq!(machine.source.store().log.len(), requests);
}

#[test]
fn a_read_does_not_bind_and_is_an_ordinary_one() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    client.set(key, "v", 1, "").unwrap();
    assert_eq!(within.get(key, "v"), Ok((1, "base".to_owned())));
    assert_eq!(state(&client, transaction), REG_TXN_ACTIVE_UNBOUND);
    assert!(machine.source.store().within.iter().all(|id| *id == 0));
}

#[test]
fn another_hive_of_the_same_source_is_exdev_before_any_request() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, _, within) = prepared(&client);
    let (users, other) = (client.open("Users").unwrap(), client.open("Other").unwrap());
    within.set(key, "v", 1, "").unwrap();
    let requests = machine.source.store().log.len();
    assert_eq!(within.set(users, "v", 1, ""), Err(Errno::EXDEV));
    assert_eq!(within.get(users, "v"), Err(Errno::EXDEV));
    assert_eq!(within.set(other, "v", 1, ""), Err(Errno::EXDEV));
    assert_eq!(within.subkeys(other), [""; 0]);
    assert_eq!(machine.source.store().log.len(), requests);
}

#[test]
fn a_creation_in_another_hive_is_exdev() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, _, within) = prepared(&client);
    within.set(key, "v", 1, "").unwrap();
    assert_eq!(within.create("Users\\B", "").map(|_| ()), Err(Errno::EXDEV));
}

#[test]
fn a_source_without_transactions_is_enotsup_and_leaves_it_unbound() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    let other = client.open("Other").unwrap();
    machine.source.store().no_transactions = true;
    assert_eq!(within.set(key, "v", 1, ""), Err(Errno::ENOTSUP));
    assert_eq!(state(&client, transaction), REG_TXN_ACTIVE_UNBOUND);
    within.set(other, "v", 1, "").unwrap();
}

#[test]
fn a_source_that_is_down_is_eio_and_leaves_it_unbound() {
    let mut machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    machine.source.kill();
    assert_eq!(within.set(key, "v", 1, ""), Err(Errno::EIO));
    assert_eq!(within.delete(key, ""), Err(Errno::EIO));
    assert_eq!(state(&client, transaction), REG_TXN_ACTIVE_UNBOUND);
    machine.restart();
    within.set(key, "v", 1, "").unwrap();
}

#[test]
fn one_transaction_too_many_on_a_source_is_ebusy_and_ended_ones_do_not_count() {
    let machine = Machine::new();
    let client = machine.client();
    let key = client.make("Machine\\A");
    let other = client.open("Other").unwrap();
    let transactions: Vec<i32> = (0..16).map(|_| client.begin().unwrap()).collect();
    // The source holds all but the first up at their first mutation, and they stay bound.
    for transaction in &transactions {
        let set = client.within(*transaction).set(key, "v", 1, "");
        assert_eq!(set, if *transaction == transactions[0] { Ok(()) } else { Err(Errno::EBUSY) });
        assert_eq!(state(&client, *transaction), REG_TXN_ACTIVE_BOUND);
    }
    let next = client.begin().unwrap();
    let begun = machine.source.count(Operation::BeginTransaction);
    assert_eq!(client.within(next).set(key, "v", 1, ""), Err(Errno::EBUSY));
    assert_eq!(machine.source.count(Operation::BeginTransaction), begun);
    assert_eq!(state(&client, next), REG_TXN_ACTIVE_UNBOUND);
    client.within(next).set(other, "v", 1, "").unwrap();
    let last = client.begin().unwrap();
    client.commit(transactions[0]).unwrap();
    client.within(last).set(key, "v", 2, "").unwrap();
}

#[test]
fn a_mutation_refused_after_the_binding_leaves_it_bound() {
    let machine = Machine::new();
    let client = machine.client();
    let (_, transaction, within) = prepared(&client);
    client.make("Machine\\A\\B");
    let key = client.open("Machine\\A").unwrap();
    assert_eq!(within.delete(key, ""), Err(Errno::ENOTEMPTY));
    assert_eq!(state(&client, transaction), REG_TXN_ACTIVE_BOUND);
}

#[test]
fn a_hive_root_is_refused_before_the_binding() {
    let machine = Machine::new();
    let client = machine.client();
    let root = client.open("Machine").unwrap();
    let transaction = client.begin().unwrap();
    assert_eq!(client.within(transaction).delete(root, ""), Err(Errno::EINVAL));
    assert_eq!(state(&client, transaction), REG_TXN_ACTIVE_UNBOUND);
}

#[test]
fn of_the_reasons_for_a_failed_binding_a_source_that_is_down_comes_first() {
    let mut machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    let refused = |machine: &Machine, status| {
        machine.source.store().refusals.insert(Operation::BeginTransaction, status);
    };
    refused(&machine, Status::TransactionBusy);
    assert_eq!(within.set(key, "v", 1, ""), Err(Errno::EBUSY));
    machine.source.kill();
    assert_eq!(within.hide(key, ""), Err(Errno::EIO));
    assert_eq!(state(&client, transaction), REG_TXN_ACTIVE_UNBOUND);
}

#[test]
fn a_descriptor_change_binds_before_it_asks_anything() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    machine.source.store().refusals.insert(Operation::ReadKey, Status::StorageError);
    let set = within.set_security(key, DACL_SECURITY_INFORMATION, &root_descriptor());
    assert_eq!(set, Err(Errno::EIO));
    assert_eq!(state(&client, transaction), REG_TXN_ACTIVE_BOUND);
}
