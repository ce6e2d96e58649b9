//! Deleting and hiding keys, and what becomes of orphans.

use abi::{Errno, KEY_READ};
use rsi::Operation;

use crate::client::Machine;

#[test]
fn a_deleted_key_is_gone_by_path_and_works_through_its_fd_until_closed() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "").unwrap();
    client.delete(fd, "").unwrap();
    assert_eq!(client.open("Machine\\A"), Err(Errno::ENOENT));
    assert_eq!(client.get(fd, "v"), Ok((1, "base".to_owned())));
    client.set(fd, "w", 2, "").unwrap();
    client.blanket(fd, "", true).unwrap();
    client.flush(fd).unwrap();
    assert_eq!(client.info(fd).unwrap().0, "A");
    assert_eq!(client.delete(fd, ""), Err(Errno::ENOENT));
    assert_eq!(client.hide(fd, ""), Err(Errno::ENOENT));
    let open = client.go(|me| async move { me.open_at(fd, "B", KEY_READ, 0).await });
    assert_eq!(open, Err(Errno::ENOENT));
    let mut args = client.create_args("B", "");
    args.parent_fd = fd;
    assert_eq!(client.go(|me| async move { me.create_with(args).await }), Err(Errno::ENOENT));
    assert_eq!(machine.source.count(Operation::DropKey), 0);
    client.close(fd).unwrap();
    assert_eq!(machine.source.count(Operation::DropKey), 1);
}

#[test]
fn the_last_of_several_descriptions_drops_the_orphan() {
    let machine = Machine::new();
    let (client, other) = (machine.client(), machine.client());
    let fd = client.make("Machine\\A");
    other.open("Machine\\A").unwrap();
    client.delete(fd, "").unwrap();
    client.close(fd).unwrap();
    assert_eq!(machine.source.count(Operation::DropKey), 0);
    drop(other);
    machine.settle();
    assert_eq!(machine.source.count(Operation::DropKey), 1);
}

#[test]
fn a_key_with_visible_children_is_not_deleted() {
    let client = Machine::new().client();
    let child = client.make("Machine\\A\\B");
    let fd = client.open("Machine\\A").unwrap();
    assert_eq!(client.delete(fd, ""), Err(Errno::ENOTEMPTY));
    client.delete(child, "").unwrap();
    client.delete(fd, "").unwrap();
}

#[test]
fn a_hive_root_is_neither_deleted_nor_hidden() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.open("Machine").unwrap();
    let requests = machine.source.store().log.len();
    assert_eq!(client.delete(fd, ""), Err(Errno::EINVAL));
    assert_eq!(client.hide(fd, "none"), Err(Errno::EINVAL));
    assert_eq!(machine.source.store().log.len(), requests);
}

#[test]
fn hiding_masks_lower_layers_and_deleting_the_entry_unmasks_them() {
    let client = Machine::new().client();
    client.layer("gpo", 5);
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "").unwrap();
    client.hide(fd, "gpo").unwrap();
    assert_eq!(client.open("Machine\\A"), Err(Errno::ENOENT));
    assert_eq!(client.get(fd, "v"), Ok((1, "base".to_owned())));
    client.delete(fd, "gpo").unwrap();
    assert!(client.open("Machine\\A").is_ok());
}

#[test]
fn hiding_in_the_layer_that_holds_the_only_entry_orphans_the_key() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    client.hide(fd, "").unwrap();
    assert_eq!(client.delete(fd, ""), Err(Errno::ENOENT));
    client.close(fd).unwrap();
    assert_eq!(machine.source.count(Operation::DropKey), 1);
    assert_eq!(client.open("Machine\\A"), Err(Errno::ENOENT));
    client.make("Machine\\A");
}

#[test]
fn deletion_removes_whatever_entry_the_layer_holds() {
    let machine = Machine::new();
    let client = machine.client();
    client.layer("gpo", 5);
    let lower = client.make("Machine\\A");
    client.hide(lower, "gpo").unwrap();
    let (upper, _) = client.create("Machine\\A", "gpo").unwrap();
    client.close(upper).unwrap();
    // Through the lower key's fd the upper key loses its only entry and is dropped at once.
    client.delete(lower, "gpo").unwrap();
    assert_eq!(machine.source.count(Operation::DropKey), 1);
    let again = client.open("Machine\\A").unwrap();
    client.set(again, "v", 4, "").unwrap();
    assert_eq!(client.get(lower, "v"), Ok((4, "base".to_owned())));
}

#[test]
fn deletion_sets_the_parents_last_write_time_and_hiding_does_not() {
    let client = Machine::new().client();
    client.layer("gpo", 5);
    let parent = client.make("Machine\\P");
    let child = client.make("Machine\\P\\C");
    let time = || client.info(parent).unwrap().1.last_write_time;
    let created = time();
    client.hide(child, "gpo").unwrap();
    assert_eq!(time(), created);
    client.delete(child, "gpo").unwrap();
    assert!(time() > created);
}

#[test]
fn a_new_key_at_an_old_path_is_another_key() {
    let client = Machine::new().client();
    let old = client.make("Machine\\A");
    client.set(old, "v", 1, "").unwrap();
    client.delete(old, "").unwrap();
    let new = client.make("Machine\\A");
    assert_eq!(client.get(new, "v"), Err(Errno::ENOENT));
    client.set(new, "v", 2, "").unwrap();
    assert_eq!(client.get(old, "v"), Ok((1, "base".to_owned())));
}

#[test]
fn a_down_source_takes_no_drop() {
    let mut machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    client.delete(fd, "").unwrap();
    machine.source.kill();
    assert_eq!(client.close(fd), Ok(0));
    machine.restart();
    assert_eq!(machine.source.count(Operation::DropKey), 0);
}

#[test]
fn a_key_whose_parent_is_gone_is_neither_deleted_nor_hidden() {
    let machine = Machine::new();
    let client = machine.client();
    let child = client.make("Machine\\P\\C");
    let parent = client.make("Machine\\P");
    client.close(3).unwrap();
    client.hide(parent, "").unwrap();
    for fd in client.process.descriptors() {
        if fd != child {
            client.close(fd).unwrap();
        }
    }
    assert_eq!(machine.source.count(Operation::DropKey), 1);
    client.set(child, "v", 1, "").unwrap();
    let sequence = client.value(child, "v").unwrap().sequence;
    assert_eq!(client.delete(child, ""), Err(Errno::ENOENT));
    assert_eq!(client.hide(child, ""), Err(Errno::ENOENT));
    client.set(child, "v", 1, "").unwrap();
    assert_eq!(client.value(child, "v").unwrap().sequence, sequence + 1);
}
