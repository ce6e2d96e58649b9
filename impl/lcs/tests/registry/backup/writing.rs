//! What a backup writes, for whom, and how it ends.

use std::sync::Arc;

use abi::{Errno, KEY_READ, ioctl};
use expect_test::expect;
use lcs::Caller;
use lcs::security::{Privileges, Token};
use rsi::{Operation, Status};
use sha2::{Digest, Sha256};

use super::bytes::{in_words, prefixed};
use super::guid;
use super::pipe::Pipe;
use crate::client::{Machine, answer};
use crate::source::root_descriptor;

/// A subtree of every kind of record, whose root is `Machine\\A`.
pub fn prepared() -> (Machine, crate::client::Client, i32) {
    let mut machine = Machine::new();
    {
        let mut store = machine.source.store();
        store.put_key(0xA0, 1, "A", "base", 1);
        store.put_key(0xB0, 0xA0, "B", "base", 2);
        store.put_entry(None, 0xA0, "B", "Ghost", 3);
        store.put_entry(None, 0xA0, "Nothing", "base", 4);
        store.put_key(0xC0, 0xB0, "C", "ghost", 5);
        store.put_value(0xA0, "", "base", b"top", 6);
        store.put_value(0xB0, "v", "base", b"", 7);
        store.put_value(0xB0, "V", "GHOST", b"x", 9);
        store.put_blanket(0xB0, "base", 8);
        store.put_blanket(0xC0, "ghost", 10);
        store.keys.get_mut(&guid(0xC0)).unwrap().last_write_time = 1234;
    }
    machine.restart();
    let client = machine.client();
    let fd = client.open("Machine\\A").unwrap();
    (machine, client, fd)
}

#[test]
fn every_record_of_every_layer_comes_once_and_in_order() {
    let (_machine, client, fd) = prepared();
    expect![[r#"
        header (21, 21) 160 Machine
        layer base 0 1 S-1-5-18
        layer Ghost 0 0 S-1-5-18
        key 160 0 sd=116 time=77
        entry 160 B -> 0 in Ghost #3
        entry 160 Nothing -> 0 in base #4
        value 160 "" 3 [116, 111, 112] in base #6
        key 176 0 sd=116 time=77
        entry 160 B -> 176 in base #2
        value 176 "v" 3 [] in base #7
        value 176 "V" 3 [120] in GHOST #9
        blanket 176 in base #8
        key 192 0 sd=116 time=1234
        entry 176 C -> 192 in ghost #5
        blanket 192 in ghost #10
        trailer
    "#]]
    .assert_eq(&(in_words(&client.backup(fd).unwrap()).join("\n") + "\n"));
}

#[test]
fn the_bytes_are_those_of_the_tables() {
    let mut machine = Machine::new();
    machine.source.store().put_key(0xA0, 1, "A", "base", 1);
    machine.source.store().put_value(0xA0, "n", "base", &[7, 8], 2);
    machine.restart();
    let client = machine.client();
    let fd = client.open("Machine\\A").unwrap();
    let stream = client.backup(fd).unwrap();
    let mut expected = Vec::new();
    // HEADER: magic, versions, the time as it is there, root, hive.
    expected.extend_from_slice(&[0x01, 0, 57, 0, 0, 0]);
    expected.extend_from_slice(&[0x50, 0x45, 0x49, 0x4F, 0x53, 0x52, 0x45, 0x47]);
    expected.extend_from_slice(&[21, 0, 0, 0, 21, 0, 0, 0]);
    expected.extend_from_slice(&stream[22..30]);
    expected.extend_from_slice(&[0xA0; 16]);
    expected.extend_from_slice(b"\x07\0\0\0Machine");
    // LAYER: base, precedence 0, enabled, S-1-5-18.
    expected.extend_from_slice(&[0x02, 0, 35, 0, 0, 0, 4, 0, 0, 0, b'b', b'a', b's', b'e']);
    expected.extend_from_slice(&[0, 0, 0, 0, 1, 12, 0, 0, 0]);
    expected.extend_from_slice(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]);
    // KEY: no flags, the descriptor, the last write time.
    let sd = root_descriptor();
    expected.extend_from_slice(&[0x03, 0]);
    expected.extend_from_slice(&(38 + sd.len() as u32).to_le_bytes());
    expected.extend_from_slice(&[0xA0; 16]);
    expected.extend_from_slice(&[0, 0, 0, 0]);
    expected.extend_from_slice(&prefixed(&sd));
    expected.extend_from_slice(&[77, 0, 0, 0, 0, 0, 0, 0]);
    // VALUE: key, name, type, data, layer, sequence.
    expected.extend_from_slice(&[0x05, 0, 53, 0, 0, 0]);
    expected.extend_from_slice(&[0xA0; 16]);
    expected.extend_from_slice(&[1, 0, 0, 0, b'n', 3, 0, 0, 0, 2, 0, 0, 0, 7, 8]);
    expected.extend_from_slice(&[4, 0, 0, 0, b'b', b'a', b's', b'e', 2, 0, 0, 0, 0, 0, 0, 0]);
    // TRAILER: five records, and the hash of everything before it.
    expected.extend_from_slice(&[0xFF, 0, 46, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    let checksum = Sha256::digest(&expected);
    expected.extend_from_slice(&checksum);
    assert_eq!(stream, expected);
}

#[test]
fn who_may_back_up_and_where_to() {
    let (mut machine, client, fd) = prepared();
    let output = client.stream(&Pipe::to_write());
    let input = client.stream(&Pipe::to_read(b""));
    let mut token = Token::system();
    token.privileges = Privileges::RESTORE | Privileges::TCB;
    let other = client.with_token(token);
    // The privilege comes before everything else.
    assert_eq!(other.backup_to(fd, 99), Err(Errno::EPERM));
    let transaction = client.begin().unwrap();
    for wrong in [99, -1, input, fd, transaction] {
        assert_eq!(client.backup_to(fd, wrong), Err(Errno::EBADF));
    }
    assert_eq!(client.backup_to(output, output), Err(Errno::ENOTTY));
    assert_eq!(client.backup_to(transaction, output), Err(Errno::ENOTTY));
    let address = crate::world::UNMAPPED;
    let unmapped =
        other.go(move |me| async move { me.ioctl_at(fd, ioctl::REG_IOC_BACKUP, address).await });
    assert_eq!(unmapped, Err(Errno::EFAULT));
    // The mode of the fd comes before the key, and no right on the key is needed.
    let doomed = client.make("Machine\\Doomed");
    client.delete(doomed, "").unwrap();
    assert_eq!(client.backup_to(doomed, input), Err(Errno::EBADF));
    assert_eq!(client.backup_to(doomed, output), Err(Errno::ENOENT));
    let weak = client.go(|me| async move { me.open_at(-1, "Machine\\A", KEY_READ, 0).await });
    assert_eq!(client.backup_to(weak.unwrap(), output), Ok(()));
    let both = client.stream(&Pipe::both(b""));
    assert_eq!(client.backup_to(fd, both), Ok(()));
    machine.source.kill();
    assert_eq!(client.backup_to(fd, output), Err(Errno::EIO));
}

#[test]
fn a_stream_is_an_fd_like_any_other_but_for_what_the_registry_does() {
    let (_machine, client, fd) = prepared();
    let pipe = Pipe::to_write();
    let output = client.stream(&pipe);
    let other = client.with_token(Token::system());
    let passed = client.pass(output, &other).unwrap();
    let caller = Caller { process: &client.process, token: &client.token };
    assert_eq!(answer(client.lcs.poll(caller, output)), Err(Errno::EBADF));
    assert_eq!(client.read(output, 16), Err(Errno::EBADF));
    assert_eq!(client.flush(output), Err(Errno::ENOTTY));
    assert_eq!(client.commit(output), Err(Errno::ENOTTY));
    assert_eq!(client.within(output).set(fd, "v", 1, ""), Err(Errno::EBADF));
    let relative = client.go(move |me| async move { me.open_at(output, "B", KEY_READ, 0).await });
    assert_eq!(relative, Err(Errno::EBADF));
    client.close(output).unwrap();
    assert_eq!(client.backup_to(fd, output), Err(Errno::EBADF));
    assert_eq!(client.backup_to(fd, passed), Ok(()));
    assert!(!pipe.take().is_empty());
    let same = client.lcs.stream(&client.process, passed).unwrap();
    assert!(same.is_writable() && Arc::strong_count(&same) > 1);
    assert!(client.lcs.stream(&client.process, fd).is_err());
}

#[test]
fn the_snapshot_is_read_only_and_aborted_however_the_backup_ends() {
    let (machine, client, fd) = prepared();
    client.backup(fd).unwrap();
    let broken = Pipe::with_room(20);
    broken.break_with(Errno::EPERM);
    let output = client.stream(&broken);
    assert_eq!(client.backup_to(fd, output), Err(Errno::EPERM));
    machine.world.env.refuse_audit(true);
    assert_eq!(client.backup(fd), Err(Errno::EIO));
    machine.world.env.refuse_audit(false);
    machine.source.store().refusals.insert(Operation::QueryValues, Status::StorageError);
    assert_eq!(client.backup(fd), Err(Errno::EIO));
    let store = machine.source.store();
    assert!(store.snapshots.is_empty());
    assert!(store.committed.is_empty());
    drop(store);
    assert_eq!(machine.source.count(Operation::BeginTransaction), 4);
    assert_eq!(machine.source.count(Operation::AbortTransaction), 4);
}

#[test]
fn a_caller_that_goes_away_leaves_no_snapshot() {
    let (machine, client, fd) = prepared();
    let output = client.stream(&Pipe::with_room(0));
    let work = {
        let me = client.clone();
        async move { me.backup_now(fd, output).await }
    };
    let (work, handle) = futures::future::abortable(work);
    machine.world.spawn(async move {
        let _ = work.await;
    });
    machine.world.run_until_stalled();
    assert_eq!(machine.source.store().snapshots.len(), 1);
    handle.abort();
    machine.world.run_until_stalled();
    assert!(machine.source.store().snapshots.is_empty());
    let events = machine.world.env.take_audit();
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["LCS_BACKUP_START", "LCS_BACKUP_COMPLETE"]);
}

#[test]
fn a_stream_that_takes_nothing_is_not_asked_for_ever() {
    let (_machine, client, fd) = prepared();
    let full = Pipe::with_room(10);
    // Zero bytes, in the pipe's own way of saying it.
    full.break_with(Errno::EAGAIN);
    let output = client.stream(&full);
    assert_eq!(client.backup_to(fd, output), Err(Errno::EIO));
}

#[test]
fn every_backup_is_recorded_with_its_result() {
    let (machine, client, fd) = prepared();
    machine.world.env.take_audit();
    let output = client.stream(&Pipe::to_write());
    client.backup_to(fd, output).unwrap();
    let events = machine.world.env.take_audit();
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["LCS_BACKUP_START", "LCS_BACKUP_COMPLETE"]);
    let key = [&b"\xA8key_guid\xC4\x10"[..], &[0xA0; 16]].concat();
    let fields = [&key[..], b"\xA2fd", &[output as u8]].concat();
    assert!(events[0].1.starts_with(b"\x83\xA6caller\x89") && events[0].1.ends_with(&fields));
    assert!(events[1].1.ends_with(&[&key[..], b"\xACresult_errno\0"].concat()));
    machine.source.store().refusals.insert(Operation::EnumChildren, Status::StorageError);
    assert_eq!(client.backup_to(fd, output), Err(Errno::EIO));
    let events = machine.world.env.take_audit();
    assert!(events[1].1.ends_with(b"\xACresult_errno\x05"));
    // What the source does not begin does not begin.
    machine.source.store().refusals.clear();
    machine.source.store().no_snapshots = true;
    assert_eq!(client.backup_to(fd, output), Err(Errno::ENOTSUP));
    assert!(machine.world.env.take_audit().is_empty());
}

#[test]
fn what_changes_meanwhile_is_not_in_the_stream_and_waits_for_nothing() {
    let (machine, client, fd) = prepared();
    let before = in_words(&client.backup(fd).unwrap());
    let pipe = Pipe::with_room(100);
    let output = client.stream(&pipe);
    let backup = client.start(move |me| async move { me.backup_now(fd, output).await });
    assert!(backup.borrow().is_none());
    client.set(fd, "late", 1, "").unwrap();
    let b = client.open("Machine\\A\\B").unwrap();
    client.unset(b, "v", "").unwrap();
    client.make("Machine\\A\\New");
    let doomed = client.make("Machine\\A\\B\\D");
    client.delete(doomed, "").unwrap();
    pipe.open();
    machine.world.run_until_stalled();
    assert_eq!(*backup.borrow(), Some(Ok(())));
    assert_eq!(in_words(&pipe.take()), before);
}

#[test]
fn so_many_backups_of_one_source_at_a_time() {
    let (machine, client, fd) = prepared();
    let registry = client.make("Machine\\System\\Registry");
    client.set(registry, "MaxReadOnlyTransactionsPerSource", 1, "").unwrap();
    let pipe = Pipe::with_room(0);
    let output = client.stream(&pipe);
    let backup = client.start(move |me| async move { me.backup_now(fd, output).await });
    assert_eq!(client.backup(fd), Err(Errno::EBUSY));
    let other = client.open("Other").unwrap();
    client.backup(other).unwrap();
    pipe.open();
    machine.world.run_until_stalled();
    assert_eq!(*backup.borrow(), Some(Ok(())));
    client.backup(fd).unwrap();
    // Transactions that write are no snapshots.
    client.within(client.begin().unwrap()).set(fd, "v", 1, "").unwrap();
    client.backup(fd).unwrap();
}

#[test]
fn a_source_that_dies_in_the_middle_fails_the_backup() {
    let (mut machine, client, fd) = prepared();
    machine.source.store().dies_at = Some(Operation::QueryValues);
    assert_eq!(client.backup(fd), Err(Errno::EIO));
    machine.source.store().dies_at = None;
    machine.source.start(&machine.world, &machine.lcs).unwrap();
    machine.settle();
    client.backup(fd).unwrap();
}

#[test]
fn a_snapshot_is_not_taken_in_the_middle_of_a_creation() {
    let (machine, client, fd) = prepared();
    machine.source.store().stalled.insert(Operation::CreateKey);
    let args = client.create_args("Machine\\A\\New", "");
    let creation = client.start(move |me| async move { me.create_with(args).await });
    let pipe = Pipe::to_write();
    let output = client.stream(&pipe);
    let backup = client.start(move |me| async move { me.backup_now(fd, output).await });
    assert!(creation.borrow().is_none() && backup.borrow().is_none());
    machine.source.answer_late();
    machine.world.run_until_stalled();
    assert!(matches!(*creation.borrow(), Some(Ok(_))));
    assert_eq!(*backup.borrow(), Some(Ok(())));
    assert!(in_words(&pipe.take()).iter().any(|words| words.starts_with("entry 160 New")));
}

#[test]
fn a_key_with_several_names_has_one_section_behind_all_its_parents() {
    let (mut machine, client, _) = prepared();
    {
        let mut store = machine.source.store();
        // D is below A, B and E, and E is a later child of A; C leads back to A and to itself.
        store.put_key(0xD0, 0xA0, "AA", "base", 11);
        store.put_entry(Some(0xD0), 0xA0, "Alias", "base", 12);
        store.put_entry(Some(0xD0), 0xB0, "D", "base", 13);
        store.put_key(0xE0, 0xA0, "E", "base", 14);
        store.put_entry(Some(0xD0), 0xE0, "D", "ghost", 15);
        store.put_entry(Some(0xA0), 0xC0, "Up", "base", 16);
        store.put_entry(Some(0xC0), 0xC0, "Self", "base", 17);
        store.put_key(0xF0, 0xD0, "F", "base", 18);
    }
    machine.restart();
    let fd = client.open("Machine\\A").unwrap();
    let stream = client.backup(fd).unwrap();
    let words = in_words(&stream);
    let place = |start: &str| {
        let places: Vec<usize> =
            (0..words.len()).filter(|at| words[*at].starts_with(start)).collect();
        assert_eq!(places.len(), 1, "{start}: {words:#?}");
        places[0]
    };
    let order = ["key 160", "key 176", "key 192", "key 224", "key 208", "key 240"].map(place);
    assert!(order.is_sorted(), "{words:#?}");
    for name in ["160 AA", "160 Alias", "176 D", "224 D"] {
        let at = place(&format!("entry {name} -> 208"));
        assert!(order[4] < at && at < order[5]);
    }
    assert!(!words.iter().any(|words| words.contains("Up") || words.contains("Self")));
    // All entries of a restored key are at one place (P-204).
    let target = client.make("Machine\\Target");
    machine.source.store().keys.retain(|guid, _| guid.0[0] < 0xA0 || guid.0[0] != guid.0[1]);
    machine.source.store().entries.retain(|(parent, ..), _| parent.0[0] < 0xA0);
    assert_eq!(client.restore(target, &stream), Err(Errno::EINVAL));
}

#[test]
fn a_tree_of_many_keys_is_written_in_chunks_and_with_its_layers() {
    let mut machine = Machine::new();
    {
        let mut store = machine.source.store();
        for byte in 0x10..=0xF0 {
            let parent = if byte % 16 == 0 { 1 } else { byte - 1 };
            store.put_key(byte, parent, &format!("K{byte}"), "base", byte.into());
            for layer in ["base", "one", "two", "three"] {
                store.put_value(byte, "v", layer, &[byte; 500], 1_000 + u64::from(byte));
            }
        }
    }
    machine.restart();
    let client = machine.client();
    let fd = client.open("Machine").unwrap();
    let stream = client.backup(fd).unwrap();
    assert!(stream.len() > 400_000);
    let words = in_words(&stream);
    // Everything is asked for once, since little of it is there.
    assert_eq!(words.iter().filter(|words| words.starts_with("key")).count(), 226);
    assert_eq!(words.iter().filter(|words| words.starts_with("value")).count(), 225 * 4);
    assert_eq!(words.iter().filter(|words| words.starts_with("layer")).count(), 4);
}
