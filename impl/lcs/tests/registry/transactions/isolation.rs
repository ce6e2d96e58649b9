//! Who sees what before the commit, and what is left after it or without it.

use abi::KEY_READ;
use abi::value_type::REG_DWORD;

use super::*;

#[test]
fn writes_are_seen_by_the_transaction_and_by_nobody_else_before_the_commit() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    client.set(key, "v", 1, "").unwrap();
    within.set(key, "v", 2, "").unwrap();
    within.set(key, "w", 3, "").unwrap();
    assert_eq!(within.get(key, "v"), Ok((2, "base".to_owned())));
    assert_eq!(within.batch(key).unwrap().0, 2);
    assert_eq!(client.get(key, "v"), Ok((1, "base".to_owned())));
    assert_eq!(client.batch(key).unwrap().0, 1);
    client.commit(transaction).unwrap();
    assert_eq!(client.get(key, "v"), Ok((2, "base".to_owned())));
    assert_eq!(client.get(key, "w"), Ok((3, "base".to_owned())));
}

#[test]
fn requests_of_a_bound_transaction_carry_its_id() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, _, within) = prepared(&client);
    within.set(key, "v", 1, "").unwrap();
    let before = machine.source.store().within.len();
    within.get(key, "v").unwrap();
    within.unset(key, "v", "").unwrap();
    within.delete(key, "").unwrap();
    assert!(machine.source.store().within[before..].iter().all(|id| *id == 1));
}

#[test]
fn a_key_created_in_a_transaction_works_through_its_own_fd_with_it_alone() {
    let machine = Machine::new();
    let client = machine.client();
    let (_, transaction, within) = prepared(&client);
    let (fd, _) = within.create("Machine\\A\\B", "").unwrap();
    within.set(fd, "v", 1, "").unwrap();
    assert_eq!(within.get(fd, "v"), Ok((1, "base".to_owned())));
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
    assert_eq!(client.unset(fd, "v", ""), Err(Errno::ENOENT));
    assert_eq!(client.open("Machine\\A\\B"), Err(Errno::ENOENT));
    assert_eq!(within.open("Machine\\A\\B"), Err(Errno::ENOENT));
    client.commit(transaction).unwrap();
    assert_eq!(client.get(fd, "v"), Ok((1, "base".to_owned())));
    assert!(client.open("Machine\\A\\B").is_ok());
}

#[test]
fn keys_can_be_created_below_a_key_that_the_transaction_created() {
    let machine = Machine::new();
    let client = machine.client();
    let (_, transaction, within) = prepared(&client);
    let (fd, _) = within.create("Machine\\A\\B", "").unwrap();
    let create = |client: &Client| -> Answer<i32> {
        let mut args = client.create_args("C", "");
        args.parent_fd = fd;
        client.go(|me| async move { me.create_with(args).await }).map(|(fd, _)| fd)
    };
    assert_eq!(create(&client), Err(Errno::ENOENT));
    assert!(create(&within).is_ok());
    assert_eq!(within.subkeys(fd), ["C"]);
    assert!(create(&within).is_ok(), "it is opened");
    assert_eq!(within.subkeys(fd), ["C"]);
    assert_eq!(within.delete(fd, ""), Err(Errno::ENOTEMPTY));
    client.commit(transaction).unwrap();
    assert!(client.open("Machine\\A\\B\\C").is_ok());
}

#[test]
fn an_aborted_creation_leaves_an_fd_of_nothing() {
    let machine = Machine::new();
    let client = machine.client();
    let (_, transaction, within) = prepared(&client);
    let (fd, _) = within.create("Machine\\A\\B", "").unwrap();
    client.close(transaction).unwrap();
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
    assert_eq!(client.hide(fd, ""), Err(Errno::ENOENT));
    assert_eq!(client.info(fd).map(|_| ()), Err(Errno::ENOENT));
    let requests = machine.source.store().log.len();
    client.close(fd).unwrap();
    assert_eq!(machine.source.store().log.len(), requests);
    assert_eq!(client.subkeys(client.open("Machine\\A").unwrap()), [""; 0]);
}

#[test]
fn a_creation_replaces_what_the_transaction_has_hidden() {
    let machine = Machine::new();
    let client = machine.client();
    let (_, transaction, within) = prepared(&client);
    let (fd, _) = within.create("Machine\\A\\B", "").unwrap();
    within.hide(fd, "").unwrap();
    within.create("Machine\\A\\B", "").unwrap();
    client.commit(transaction).unwrap();
    assert!(client.open("Machine\\A\\B").is_ok());
}

#[test]
fn a_deletion_is_seen_at_the_commit_and_drops_the_orphan_then() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    within.delete(key, "").unwrap();
    assert!(client.open("Machine\\A").is_ok());
    client.commit(transaction).unwrap();
    assert_eq!(client.open("Machine\\A"), Err(Errno::ENOENT));
    assert_eq!(client.hide(key, ""), Err(Errno::ENOENT));
    for fd in client.process.descriptors() {
        client.close(fd).unwrap();
    }
    assert_eq!(machine.source.count(Operation::DropKey), 1);
}

#[test]
fn an_orphan_that_nobody_has_open_is_dropped_after_the_commit() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    within.delete(key, "").unwrap();
    client.close(key).unwrap();
    assert_eq!(machine.source.count(Operation::DropKey), 0);
    client.commit(transaction).unwrap();
    assert_eq!(machine.source.count(Operation::DropKey), 1);
}

#[test]
fn an_aborted_deletion_orphans_nothing() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    within.delete(key, "").unwrap();
    client.close(transaction).unwrap();
    client.hide(key, "").unwrap();
}

#[test]
fn the_generation_takes_one_step_at_the_commit() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    let before = client.generation("Machine");
    within.set(key, "v", 1, "").unwrap();
    within.set(key, "w", 1, "").unwrap();
    assert_eq!(client.generation("Machine"), before);
    client.commit(transaction).unwrap();
    assert_eq!(client.generation("Machine"), before + 1);
}

#[test]
fn a_commit_of_nothing_leaves_the_generation() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    client.make("Machine\\A\\B");
    let before = client.generation("Machine");
    assert_eq!(within.delete(key, ""), Err(Errno::ENOTEMPTY));
    client.commit(transaction).unwrap();
    assert_eq!(client.generation("Machine"), before);
}

#[test]
fn a_descriptor_changes_at_the_commit_and_not_at_an_abort() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    let before = client.security(key, DACL_SECURITY_INFORMATION).unwrap();
    within.set_security(key, DACL_SECURITY_INFORMATION, &root_descriptor()).unwrap();
    assert_eq!(client.security(key, DACL_SECURITY_INFORMATION), Ok(before.clone()));
    client.close(transaction).unwrap();
    assert_eq!(client.security(key, DACL_SECURITY_INFORMATION), Ok(before.clone()));
    let transaction = client.begin().unwrap();
    let within = client.within(transaction);
    within.set_security(key, DACL_SECURITY_INFORMATION, &root_descriptor()).unwrap();
    client.commit(transaction).unwrap();
    assert_ne!(client.security(key, DACL_SECURITY_INFORMATION), Ok(before));
}

#[test]
fn sequence_numbers_are_given_out_as_operations_are_accepted_and_never_again() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    client.set(key, "v", 1, "").unwrap();
    let sequence = client.value(key, "v").unwrap().sequence;
    within.set(key, "v", 2, "").unwrap();
    assert_eq!(within.value(key, "v").unwrap().sequence, sequence + 1);
    client.close(transaction).unwrap();
    client.set(key, "v", 3, "").unwrap();
    assert_eq!(client.value(key, "v").unwrap().sequence, sequence + 2);
}

#[test]
fn a_walk_from_a_key_that_the_transaction_made_is_one_in_the_transaction() {
    let machine = Machine::new();
    let client = machine.client();
    let (_, transaction, within) = prepared(&client);
    let (fd, _) = within.create("Machine\\A\\B", "").unwrap();
    let create = |client: &Client, path: &str| {
        let mut args = client.create_args(path, "");
        args.parent_fd = fd;
        client.go(|me| async move { me.create_with(args).await })
    };
    create(&within, "C").unwrap();
    create(&within, "C\\D").unwrap();
    let (found, disposition) = create(&within, "c\\d").unwrap();
    assert_eq!(disposition, abi::REG_OPENED_EXISTING);
    within.set(found, "v", 1, "").unwrap();
    assert_eq!(client.unset(found, "v", ""), Err(Errno::ENOENT));
    assert_eq!(create(&client, "C").map(|_| ()), Err(Errno::ENOENT));
    let opened = client.go(|me| async move { me.open_at(fd, "C", KEY_READ, 0).await });
    assert_eq!(opened, Err(Errno::ENOENT));
    client.commit(transaction).unwrap();
    assert_eq!(client.get(found, "v"), Ok((1, "base".to_owned())));
    assert!(client.open("Machine\\A\\B\\C\\D").is_ok());
}

/// Has a write of this client stay at the source, and reads the key meanwhile, in no time.
fn read_during_a_write(machine: &Machine, writer: &Client, key: i32) -> Answer<(u32, String)> {
    let reader = writer.within(-1);
    machine.source.store().stalled.insert(Operation::SetValue);
    let (me, args) = (writer.clone(), writer.set_args("v", REG_DWORD, &[9, 0, 0, 0], ""));
    writer.world.spawn(async move {
        assert_eq!(me.ioctl(key, ioctl::REG_IOC_SET_VALUE, args).await.0, Ok(0));
    });
    writer.world.run_until_stalled();
    let started = writer.world.env.now();
    let read = reader.get(key, "v");
    reader.info(key).unwrap();
    assert!(writer.world.env.now() - started < 1_000_000);
    read
}

#[test]
fn nobody_waits_to_read_what_a_write_is_about_to_change_that_waits_for_a_transaction() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    client.set(key, "v", 1, "").unwrap();
    within.set(key, "v", 2, "").unwrap();
    assert_eq!(read_during_a_write(&machine, &client, key), Ok((1, "base".to_owned())));
    client.commit(transaction).unwrap();
    machine.source.answer_late();
    client.world.run_until_stalled();
    assert_eq!(client.get(key, "v"), Ok((9, "base".to_owned())));
}

#[test]
fn nobody_waits_to_read_what_a_transaction_is_about_to_change() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    client.set(key, "v", 1, "").unwrap();
    assert_eq!(read_during_a_write(&machine, &within, key), Ok((1, "base".to_owned())));
    machine.source.answer_late();
    client.world.run_until_stalled();
    client.commit(transaction).unwrap();
    assert_eq!(client.get(key, "v"), Ok((9, "base".to_owned())));
}
