//! Transaction fds: what they are good for, and their close.

use super::*;

#[test]
fn what_is_no_transaction_is_ebadf() {
    let machine = Machine::new();
    let client = machine.client();
    let key = client.make("Machine\\A");
    for fd in [key, 99] {
        assert_eq!(client.within(fd).set(key, "v", 1, ""), Err(Errno::EBADF));
        assert_eq!(client.within(fd).get(key, "v"), Err(Errno::EBADF));
        let created = client.within(fd).create("Machine\\B", "");
        assert_eq!(created.map(|_| ()), Err(Errno::EBADF));
    }
}

#[test]
fn ioctls_of_the_other_kind_of_fd_are_enotty() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, _) = prepared(&client);
    assert_eq!(client.set(transaction, "v", 1, ""), Err(Errno::ENOTTY));
    assert_eq!(client.flush(transaction), Err(Errno::ENOTTY));
    assert_eq!(client.commit(key), Err(Errno::ENOTTY));
    assert_eq!(client.status(key), Err(Errno::ENOTTY));
}

#[test]
fn a_transaction_is_no_parent() {
    let machine = Machine::new();
    let client = machine.client();
    let transaction = client.begin().unwrap();
    let open = client.go(|me| async move { me.open_at(transaction, "A", 1, 0).await });
    assert_eq!(open, Err(Errno::EBADF));
}

#[test]
fn the_close_of_the_last_fd_aborts() {
    let machine = Machine::new();
    let client = machine.client();
    let other = machine.client();
    let (key, transaction, within) = prepared(&client);
    let passed = client.pass(transaction, &other).unwrap();
    within.set(key, "v", 1, "").unwrap();
    client.close(transaction).unwrap();
    assert_eq!(machine.source.count(Operation::AbortTransaction), 0);
    assert_eq!(state(&other, passed), REG_TXN_ACTIVE_BOUND);
    other.close(passed).unwrap();
    assert_eq!(machine.source.count(Operation::AbortTransaction), 1);
    assert!(machine.source.store().transactions.is_empty());
    assert_eq!(client.get(key, "v"), Err(Errno::ENOENT));
}

#[test]
fn an_unbound_transaction_ends_without_a_request() {
    let machine = Machine::new();
    let client = machine.client();
    let (_, transaction, _) = prepared(&client);
    let requests = machine.source.store().log.len();
    client.close(transaction).unwrap();
    assert_eq!(machine.source.store().log.len(), requests);
}

#[test]
fn the_exit_of_a_process_aborts_its_transactions() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, _, within) = prepared(&client);
    within.set(key, "v", 1, "").unwrap();
    drop((client, within));
    machine.settle();
    assert!(machine.source.store().transactions.is_empty());
}

#[test]
fn a_status_that_cannot_be_written_is_efault() {
    let machine = Machine::new();
    let client = machine.client();
    let transaction = client.begin().unwrap();
    let asked = client.go(|me| async move {
        let address = crate::world::UNMAPPED;
        me.ioctl_at(transaction, ioctl::REG_IOC_TXN_STATUS, address).await
    });
    assert_eq!(asked, Err(Errno::EFAULT));
}
