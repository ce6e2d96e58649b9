//! What a restore makes of its target, and who may make one.

use abi::{Errno, REG_OPTION_VOLATILE};
use lcs::security::{Privileges, Token};
use rsi::{Operation, Status};

use super::bytes::{Bytes, in_words};
use super::guid;
use super::pipe::Pipe;
use super::writing::prepared;
use crate::client::Machine;

/// A stream's words without its sequence numbers, but with their order.
fn ranked(stream: &[u8]) -> Vec<String> {
    let words = in_words(stream);
    let number = |words: &String| words.rsplit_once('#').map(|(_, n)| n.parse::<u64>().unwrap());
    let mut numbers: Vec<u64> = words.iter().filter_map(number).collect();
    numbers.sort_unstable();
    let rank = |number| numbers.binary_search(&number).unwrap();
    words
        .iter()
        .map(|words| match (words.rsplit_once('#'), number(words)) {
            (Some((start, _)), Some(number)) => format!("{start}rank {}", rank(number)),
            _ => words.clone(),
        })
        .collect()
}

#[test]
fn a_restore_into_the_same_key_brings_everything_back() {
    let (machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    let b = client.open("Machine\\A\\B").unwrap();
    client.set(fd, "later", 1, "").unwrap();
    client.unset(b, "v", "").unwrap();
    client.make("Machine\\A\\Other\\Deep");
    client.blanket(fd, "", true).unwrap();
    let newest = machine.source.store().max_sequence();
    client.restore(fd, &stream).unwrap();
    let again = client.backup(fd).unwrap();
    assert_eq!(ranked(&again), ranked(&stream));
    let store = machine.source.store();
    let entries = store.entries.iter().filter(|((parent, ..), _)| parent.0[0] >= 0xA0);
    assert!(entries.map(|(_, (_, entry))| entry.sequence).all(|number| number > newest));
    assert!(store.values.values().all(|entry| entry.sequence > newest));
    assert!(store.blankets.values().all(|entry| entry.sequence > newest));
    // Only what the source knows of the target's own name is as it was.
    let (_, entry) = &store.entries[&(guid(1), "a".to_owned(), "base".to_owned())];
    assert_eq!((entry.target, entry.sequence), (Some(guid(0xA0)), 1));
    assert_eq!(store.keys.keys().filter(|guid| guid.0[0] > 2).count(), 3);
}

#[test]
fn the_next_number_is_behind_all_that_were_sent() {
    let (machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    client.restore(fd, &stream).unwrap();
    let highest = machine.source.store().max_sequence();
    client.set(fd, "v", 1, "").unwrap();
    assert_eq!(client.value(fd, "v").unwrap().sequence, highest + 1);
}

#[test]
fn a_restore_into_another_key_keeps_what_that_key_is() {
    let (machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    for (name, layer) in [("B", ""), ("Other", "")] {
        client.create(&format!("Machine\\Target\\{name}"), layer).err();
    }
    let target = client.make("Machine\\Target");
    client.make("Machine\\Target\\Gone\\Below");
    client.set(target, "gone", 1, "").unwrap();
    // The keys of the stream are in use as long as they are there.
    assert_eq!(client.restore(target, &stream), Err(Errno::EEXIST));
    client.get(target, "gone").unwrap();
    let empty = Bytes::of(9).key(9).end();
    client.restore(fd, &empty).unwrap();
    assert_eq!(client.subkeys(fd), [""; 0]);
    client.restore(target, &stream).unwrap();
    assert_eq!(client.subkeys(target), ["B"]);
    assert_eq!(client.get(target, "gone"), Err(Errno::ENOENT));
    assert_eq!(client.value(target, "").unwrap().data, b"top");
    assert_eq!(client.info(target).unwrap().0, "Target");
    assert_eq!(client.open("Machine\\Target\\Gone"), Err(Errno::ENOENT));
    assert_eq!(client.info(target).unwrap().1.last_write_time, 77);
    let other = client.open("Other").unwrap();
    let stream = client.backup(target).unwrap();
    assert_eq!(client.restore(other, &stream), Ok(()));
    assert_eq!(client.subkeys(other), ["B"]);
    drop(machine);
}

#[test]
fn everything_is_asked_of_the_source_in_one_transaction() {
    let (machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    machine.source.store().log.clear();
    machine.source.store().within.clear();
    client.restore(fd, &stream).unwrap();
    let store = machine.source.store();
    assert_eq!(store.log.first(), Some(&Operation::BeginTransaction));
    assert_eq!(store.log.last(), Some(&Operation::CommitTransaction));
    let transaction = store.within[0];
    assert!(transaction != 0 && store.within.iter().all(|within| *within == transaction));
    // The target's own record is written once, behind all that goes and before all that comes.
    let place = |operation| store.log.iter().position(|logged| *logged == operation).unwrap();
    let last_drop = store.log.iter().rposition(|logged| *logged == Operation::DropKey).unwrap();
    let write = place(Operation::WriteKey);
    assert!(last_drop < write && write < place(Operation::SetValue));
    let create = place(Operation::CreateKey);
    assert_eq!(store.log[create + 1], Operation::WriteKey);
    assert_eq!(store.log[create + 2], Operation::CreateEntry);
    assert_eq!(store.log.iter().filter(|logged| **logged == Operation::DropKey).count(), 2);
}

#[test]
fn who_may_restore_and_where_from() {
    let (mut machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    let input = client.stream(&Pipe::to_read(&stream));
    let output = client.stream(&Pipe::to_write());
    let mut token = Token::system();
    token.privileges = Privileges::BACKUP | Privileges::TCB;
    assert_eq!(client.with_token(token.clone()).restore_from(fd, 99), Err(Errno::EPERM));
    for wrong in [99, output, fd] {
        assert_eq!(client.restore_from(fd, wrong), Err(Errno::EBADF));
    }
    let doomed = client.make("Machine\\Doomed");
    client.delete(doomed, "").unwrap();
    assert_eq!(client.restore_from(doomed, input), Err(Errno::ENOENT));
    machine.source.store().no_transactions = true;
    assert_eq!(client.restore_from(fd, input), Err(Errno::ENOTSUP));
    machine.source.store().no_transactions = false;
    // Nobody has read of it so far, and no right on the key is needed.
    token.privileges = Privileges::RESTORE;
    let other = client.with_token(token);
    let weak = client.go(|me| async move { me.open_at(-1, "Machine\\A", abi::KEY_READ, 0).await });
    let both = client.stream(&Pipe::both(&stream));
    assert_eq!(other.restore_from(weak.unwrap(), both), Ok(()));
    machine.source.kill();
    assert_eq!(client.restore_from(fd, input), Err(Errno::EIO));
}

#[test]
fn a_restore_is_one_of_the_bound_transactions() {
    let (_machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    let registry = client.make("Machine\\System\\Registry");
    client.set(registry, "MaxBoundTransactionsPerSource", 1, "").unwrap();
    let users = client.open("Users").unwrap();
    let transaction = client.begin().unwrap();
    client.within(transaction).set(users, "v", 1, "").unwrap();
    assert_eq!(client.restore(fd, &stream), Err(Errno::EBUSY));
    client.close(transaction).unwrap();
    client.restore(fd, &stream).unwrap();
    let transaction = client.begin().unwrap();
    client.within(transaction).set(users, "v", 1, "").unwrap();
}

#[test]
fn every_restore_is_recorded_with_its_result() {
    let (machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    machine.world.env.take_audit();
    client.restore(fd, &stream).unwrap();
    let events = machine.world.env.take_audit();
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["LCS_RESTORE_START", "LCS_RESTORE_COMPLETE"]);
    assert!(events[1].1.ends_with(b"\xACresult_errno\0"));
    assert_eq!(client.restore(fd, b"nothing"), Err(Errno::EINVAL));
    let events = machine.world.env.take_audit();
    assert!(events[1].1.ends_with(b"\xACresult_errno\x16"));
    let before = machine.source.store().dump();
    machine.world.env.refuse_audit(true);
    assert_eq!(client.restore(fd, &stream), Err(Errno::EIO));
    assert_eq!(machine.source.store().dump(), before);
    assert!(machine.source.store().transactions.is_empty());
}

#[test]
fn what_the_source_refuses_rolls_everything_back() {
    let refusals = [
        (Operation::EnumChildren, Status::StorageError, Errno::EIO),
        (Operation::DeleteEntry, Status::StorageError, Errno::EIO),
        (Operation::DropKey, Status::NotEmpty, Errno::ENOTEMPTY),
        (Operation::WriteKey, Status::StorageError, Errno::EIO),
        (Operation::CreateKey, Status::AlreadyExists, Errno::EEXIST),
        (Operation::CreateEntry, Status::AlreadyExists, Errno::EINVAL),
        (Operation::SetValue, Status::TooLarge, Errno::ENOSPC),
        (Operation::SetBlanketTombstone, Status::TransactionBusy, Errno::EBUSY),
        (Operation::CommitTransaction, Status::TransactionBusy, Errno::EBUSY),
        (Operation::CommitTransaction, Status::Invalid, Errno::EIO),
    ];
    for (operation, status, errno) in refusals {
        let (machine, client, fd) = prepared();
        let stream = client.backup(fd).unwrap();
        let before = machine.source.store().dump();
        let generation = client.generation("Machine");
        machine.source.store().refusals.insert(operation, status);
        assert_eq!(client.restore(fd, &stream), Err(errno), "{operation:?}");
        machine.source.store().refusals.clear();
        assert_eq!(machine.source.store().dump(), before, "{operation:?}");
        assert!(machine.source.store().transactions.is_empty());
        assert_eq!(client.generation("Machine"), generation);
        client.restore(fd, &stream).unwrap();
    }
}

#[test]
fn a_malformed_descriptor_of_what_goes_is_no_obstacle() {
    let (machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    machine.source.store().keys.get_mut(&guid(0xB0)).unwrap().sd = b"?".to_vec();
    assert_eq!(client.backup(fd), Err(Errno::EIO));
    client.restore(fd, &stream).unwrap();
    client.open("Machine\\A\\B").unwrap();
}

#[test]
fn a_volatile_root_is_restored_into_a_volatile_key_only() {
    let machine = Machine::new();
    let client = machine.client();
    let mut args = client.create_args("Machine\\V", "");
    args.flags = REG_OPTION_VOLATILE;
    let fd = client.go(|me| async move { me.create_with(args).await }).unwrap().0;
    let sd = crate::source::root_descriptor();
    let child = |flags| {
        let stream = Bytes::of(9).layer("base", 0).key_with(9, 1, &sd).key_with(8, flags, &sd);
        stream.entry(9, "C", 8, "base", 1).end()
    };
    assert_eq!(client.restore(fd, &child(0)), Err(Errno::EINVAL));
    client.restore(fd, &child(1)).unwrap();
    assert_eq!(client.subkeys(fd), ["C"]);
    let lasting = client.make("Machine\\L");
    assert_eq!(client.restore(lasting, &child(1)), Err(Errno::EINVAL));
}
