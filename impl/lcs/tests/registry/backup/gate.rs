//! The gate of sequence numbers, and everybody else while a restore lasts.

use abi::Errno;
use rsi::Operation;

use super::bytes::{Bytes, in_words};
use super::pipe::Pipe;
use super::writing::prepared;
use crate::client::{Client, Machine};

/// A restore that waits for the rest of its stream, behind some of its values.
struct Waiting {
    machine: Machine,
    client: Client,
    fd: i32,
    pipe: std::sync::Arc<Pipe>,
    restore: super::Outcome<crate::client::Answer<()>>,
}

fn waiting_at(records: usize) -> Waiting {
    let (machine, client, fd) = prepared();
    let stream = Bytes::of(9).layer("base", 0).key(9);
    let stream = stream.value(9, "one", "base", b"1", 100).value(9, "two", "base", b"2", 50);
    let available = stream.ends()[records - 1];
    let pipe = Pipe::with_available(&stream.end(), available);
    let restore = client.start_restore(fd, &pipe);
    assert!(restore.borrow().is_none());
    Waiting { machine, client, fd, pipe, restore }
}

#[test]
fn mutations_that_need_a_number_wait_and_reads_do_not() {
    let Waiting { machine, client, fd, pipe, restore } = waiting_at(4);
    let other = client.open("Other").unwrap();
    let next = machine.source.store().max_sequence() + 1;
    let mut waiting = Vec::new();
    let args = client.set_args("v", 3, b"x", "");
    waiting.push(client.start(move |me| async move {
        me.ioctl(other, abi::ioctl::REG_IOC_SET_VALUE, args).await.0.map(|_| ())
    }));
    let blanket = client.memory.put(b"base");
    waiting.push(client.start(move |me| async move {
        let args = abi::layout::BlanketTombstoneArgs {
            layer_len: 4,
            layer_ptr: blanket,
            set: 1,
            txn_fd: -1,
            ..Default::default()
        };
        me.ioctl(other, abi::ioctl::REG_IOC_BLANKET_TOMBSTONE, args).await.0.map(|_| ())
    }));
    let args = client.create_args("Other\\New", "");
    waiting.push(client.start(move |me| async move { me.create_with(args).await.map(|_| ()) }));
    let b = client.open("Machine\\A\\B").unwrap();
    waiting.push(client.start(move |me| async move {
        let args = abi::layout::DeleteKeyArgs { txn_fd: -1, ..Default::default() };
        me.ioctl(b, abi::ioctl::REG_IOC_HIDE_KEY, args).await.0.map(|_| ())
    }));
    assert!(waiting.iter().all(|waiting| waiting.borrow().is_none()));
    // Readers of the very same keys go on, and see what is committed.
    assert_eq!(client.value(other, "v"), Err(Errno::ENOENT));
    assert_eq!(client.subkeys(other), [""; 0]);
    assert_eq!(client.value(fd, "").unwrap().data, b"top");
    assert_eq!(client.subkeys(fd), ["B"]);
    assert_eq!(client.value(fd, "one"), Err(Errno::ENOENT));
    client.open("Machine\\A\\B\\C").unwrap_err();
    // So does what needs no number, in hives that the restore is not about.
    client.unset(other, "v", "").unwrap();
    client.blanket(other, "", false).unwrap();
    pipe.open();
    machine.settle();
    machine.world.run_until_stalled();
    assert_eq!(*restore.borrow(), Some(Ok(())));
    let done: Vec<_> = waiting.iter().map(|waiting| *waiting.borrow()).collect();
    // The key that was to be hidden has gone.
    assert_eq!(done, [Some(Ok(())), Some(Ok(())), Some(Ok(())), Some(Err(Errno::ENOENT))]);
    assert_eq!(client.value(fd, "one").unwrap().sequence, next + 100);
    assert!(client.value(other, "v").is_err());
    let store = machine.other.store();
    assert!(store.values.values().all(|value| value.sequence > next + 100));
    assert!(store.blankets.values().all(|blanket| blanket.sequence > next + 100));
}

#[test]
fn a_restore_that_fails_leaves_a_gap_behind_what_it_has_sent() {
    let Waiting { machine, client, fd, pipe, restore } = waiting_at(4);
    let next = machine.source.store().max_sequence() + 1;
    let other = client.open("Other").unwrap();
    let args = client.set_args("v", 3, b"x", "");
    let waiting = client.start(move |me| async move {
        me.ioctl(other, abi::ioctl::REG_IOC_SET_VALUE, args).await.0.map(|_| ())
    });
    pipe.break_with(Errno::EIO);
    machine.world.run_until_stalled();
    assert_eq!(*restore.borrow(), Some(Err(Errno::EIO)));
    assert_eq!(*waiting.borrow(), Some(Ok(())));
    assert_eq!(client.value(other, "v").unwrap().sequence, next + 101);
    assert_eq!(client.value(fd, "").unwrap().data, b"top");
}

#[test]
fn a_restore_without_entries_sent_so_far_takes_no_numbers() {
    let Waiting { machine, client, pipe, restore, .. } = waiting_at(3);
    let next = machine.source.store().max_sequence() + 1;
    let other = client.open("Other").unwrap();
    client.set(other, "v", 1, "").unwrap();
    assert_eq!(client.value(other, "v").unwrap().sequence, next);
    pipe.open();
    machine.world.run_until_stalled();
    assert_eq!(*restore.borrow(), Some(Ok(())));
    assert_eq!(machine.source.store().max_sequence(), next + 1 + 100);
}

#[test]
fn a_caller_that_goes_away_opens_the_gate() {
    let (machine, client, fd) = prepared();
    let stream = Bytes::of(9).layer("base", 0).key(9).value(9, "one", "base", b"1", 100);
    let pipe = Pipe::with_available(&stream.clone().end(), stream.ends()[3]);
    let input = client.stream(&pipe);
    let work = {
        let me = client.clone();
        async move { me.restore_now(fd, input).await }
    };
    let (work, handle) = futures::future::abortable(work);
    machine.world.spawn(async move {
        let _ = work.await;
    });
    machine.world.run_until_stalled();
    let next = machine.source.store().max_sequence() + 1;
    assert_eq!(machine.source.store().transactions.len(), 1);
    handle.abort();
    machine.world.run_until_stalled();
    assert!(machine.source.store().transactions.is_empty());
    client.set(fd, "v", 1, "").unwrap();
    assert_eq!(client.value(fd, "v").unwrap().sequence, next + 101);
}

#[test]
fn a_source_that_dies_ends_the_restore_at_once() {
    let Waiting { mut machine, client, fd, restore, .. } = waiting_at(4);
    let next = machine.source.store().max_sequence() + 1;
    let other = client.open("Other").unwrap();
    machine.source.kill();
    machine.world.run_until_stalled();
    assert_eq!(*restore.borrow(), Some(Err(Errno::EIO)));
    client.set(other, "v", 1, "").unwrap();
    assert_eq!(client.value(other, "v").unwrap().sequence, next + 101);
    machine.restart();
    assert_eq!(client.value(fd, "").unwrap().data, b"top");
    client.set(fd, "v", 1, "").unwrap();
}

#[test]
fn a_source_that_dies_at_any_request_leaves_all_or_nothing() {
    for operation in [
        Operation::BeginTransaction,
        Operation::SetBlanketTombstone,
        Operation::EnumChildren,
        Operation::DeleteEntry,
        Operation::DropKey,
        Operation::WriteKey,
        Operation::CreateKey,
        Operation::CreateEntry,
        Operation::SetValue,
        Operation::CommitTransaction,
    ] {
        let (mut machine, client, fd) = prepared();
        let stream = client.backup(fd).unwrap();
        let before = machine.source.store().dump();
        machine.source.store().dies_at = Some(operation);
        assert_eq!(client.restore(fd, &stream), Err(Errno::EIO), "{operation:?}");
        machine.source.store().dies_at = None;
        machine.restart();
        assert_eq!(machine.source.store().dump(), before, "{operation:?}");
        client.restore(fd, &stream).unwrap();
    }
}

#[test]
fn two_restores_of_different_hives_go_one_after_the_other() {
    let Waiting { machine, client, pipe, restore, .. } = waiting_at(4);
    let other = client.open("Other").unwrap();
    let stream = Bytes::of(9).layer("base", 0).key(9).value(9, "one", "base", b"1", 1).end();
    let second = client.start_restore(other, &Pipe::to_read(&stream));
    assert!(second.borrow().is_none());
    pipe.open();
    machine.world.run_until_stalled();
    assert_eq!((*restore.borrow(), *second.borrow()), (Some(Ok(())), Some(Ok(()))));
    let (first, second) =
        (machine.source.store().max_sequence(), machine.other.store().max_sequence());
    assert!(second > first);
}

#[test]
fn a_backup_meanwhile_has_what_was_there_before() {
    let Waiting { machine, client, fd, pipe, restore } = waiting_at(4);
    let words = in_words(&client.backup(fd).unwrap());
    assert!(words.iter().any(|words| words.starts_with("key 192")));
    pipe.open();
    machine.world.run_until_stalled();
    assert_eq!(*restore.borrow(), Some(Ok(())));
    assert_eq!(in_words(&client.backup(fd).unwrap()).len(), 6);
}

#[test]
fn a_write_into_the_restored_hive_is_busy_at_the_source_or_waits() {
    let Waiting { machine, client, fd, pipe, .. } = waiting_at(4);
    // What needs no number comes to the source, which has its lock in other hands.
    assert_eq!(client.unset(fd, "", ""), Err(Errno::EBUSY));
    pipe.open();
    machine.world.run_until_stalled();
    client.unset(fd, "one", "").unwrap();
}

#[test]
fn the_deletion_of_a_declared_layer_aborts_the_restore() {
    let (machine, client, fd) = prepared();
    let gone = client.layer("gone", 0);
    let stream = Bytes::of(9).layer("base", 0).layer("gone", 0).key(9);
    let other = client.open("Other").unwrap();
    let pipe = Pipe::with_available(&stream.clone().end(), stream.ends()[3]);
    let restore = client.start_restore(other, &pipe);
    assert!(restore.borrow().is_none());
    client.delete(gone, "").unwrap();
    machine.world.run_until_stalled();
    assert_eq!(*restore.borrow(), Some(Err(Errno::EINVAL)));
    assert!(machine.other.store().transactions.is_empty());
    client.set(fd, "v", 1, "").unwrap();
}

#[test]
fn a_commit_that_is_answered_late_has_its_effects() {
    let (machine, client, fd) = prepared();
    let stream = Bytes::of(9).layer("base", 0).key(9).value(9, "one", "base", b"1", 1).end();
    let generation = client.generation("Machine");
    machine.source.store().stalled.insert(Operation::CommitTransaction);
    assert_eq!(client.restore(fd, &stream), Err(Errno::ETIMEDOUT));
    client.set(client.open("Other").unwrap(), "v", 1, "").unwrap();
    machine.source.answer_late();
    machine.settle();
    assert_eq!(client.value(fd, "one").unwrap().data, b"1");
    assert_eq!(client.generation("Machine"), generation + 1);
    assert!(machine.source.store().transactions.is_empty());
}
