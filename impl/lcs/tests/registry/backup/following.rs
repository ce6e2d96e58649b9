//! What follows from a restore: watches, generations, layers, parameters, and fds that were open.

use abi::value_type::{REG_DWORD, REG_SZ};
use abi::{Errno, REG_NOTIFY_ALL};

use super::bytes::Bytes;
use super::writing::prepared;
use crate::client::Machine;

#[test]
fn a_restore_is_one_step_of_its_hives_generation() {
    let (_machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    let (before, users) = (client.generation("Machine"), client.generation("Users"));
    client.restore(fd, &stream).unwrap();
    assert_eq!(client.generation("Machine"), before + 1);
    assert_eq!(client.generation("Users"), users);
    let root = client.open("Machine").unwrap();
    client.restore(root, &Bytes::of(9).key(9).end()).unwrap();
    assert_eq!(client.generation("Machine"), before + 2);
}

#[test]
fn whoever_may_be_concerned_hears_that_anything_may_have_changed() {
    let (_machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    let watched = |path: &str, subtree| {
        let fd = client.open(path).unwrap();
        client.notify(fd, REG_NOTIFY_ALL, subtree).unwrap();
        fd
    };
    let beside = client.make("Machine\\Beside");
    client.notify(beside, REG_NOTIFY_ALL, true).unwrap();
    let concerned =
        [watched("Machine\\A", false), watched("Machine\\A\\B", false), watched("Machine", true)];
    let others = [watched("Machine", false), watched("Users", true), beside];
    client.restore(fd, &stream).unwrap();
    for fd in concerned {
        assert_eq!(client.events(fd), ["OVERFLOW"]);
    }
    for fd in others {
        assert_eq!(client.events(fd), [""; 0]);
    }
    assert_eq!(client.restore(fd, b""), Err(Errno::EINVAL));
    assert_eq!(client.events(concerned[0]), [""; 0]);
    client.set(fd, "v", 1, "").unwrap();
    assert_eq!(client.events(concerned[0]), ["VALUE_SET v"]);
    assert_eq!(client.events(concerned[2]), ["VALUE_SET v @A"]);
}

#[test]
fn fds_go_on_where_the_key_is_there_again_and_not_otherwise() {
    let (machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    let b = client.open("Machine\\A\\B").unwrap();
    let new = client.make("Machine\\A\\New");
    client.set(new, "v", 1, "").unwrap();
    client.restore(fd, &stream).unwrap();
    client.set(b, "again", 1, "").unwrap();
    assert_eq!(client.get(b, "again").unwrap().0, 1);
    let next = machine.source.store().max_sequence() + 1;
    assert_eq!(client.get(new, "v"), Err(Errno::ENOENT));
    assert_eq!(client.set(new, "v", 1, ""), Err(Errno::ENOENT));
    assert_eq!(client.blanket(new, "", true), Err(Errno::ENOENT));
    assert_eq!(client.hide(new, ""), Err(Errno::ENOENT));
    assert_eq!(client.info(new).map(|_| ()), Err(Errno::ENOENT));
    assert_eq!(client.restore(new, &stream), Err(Errno::ENOENT));
    assert_eq!(client.backup(new), Err(Errno::ENOENT));
    client.close(new).unwrap();
    client.set(fd, "v", 1, "").unwrap();
    assert_eq!(client.value(fd, "v").unwrap().sequence, next);
}

#[test]
fn layers_that_a_stream_brings_are_read_and_those_that_it_lacks_are_deleted() {
    let machine = Machine::new();
    let client = machine.client();
    let a = client.make("Machine\\A");
    client.layer("old", 3);
    client.set(a, "v", 1, "").unwrap();
    client.set(a, "v", 2, "old").unwrap();
    let layers = client.open("Machine\\System\\Registry\\Layers").unwrap();
    let saved = client.backup(layers).unwrap();
    let seven = 7_u32.to_le_bytes();
    let stream = Bytes::of(9).layer("base", 0).key(9).key(8).entry(9, "new", 8, "base", 1);
    let stream = stream.value_with(8, "Precedence", "base", REG_DWORD, &seven, 2).end();
    client.restore(layers, &stream).unwrap();
    // The layer has gone with all that was in it.
    assert_eq!(client.get(a, "v").unwrap(), (1, "base".to_owned()));
    assert_eq!(client.set(a, "v", 2, "old"), Err(Errno::ENOENT));
    client.set(a, "v", 4, "new").unwrap();
    assert_eq!(client.get(a, "v").unwrap(), (4, "new".to_owned()));
    client.restore(layers, &saved).unwrap();
    assert_eq!(client.get(a, "v").unwrap(), (1, "base".to_owned()));
    client.set(a, "v", 5, "old").unwrap();
    assert_eq!(client.get(a, "v").unwrap(), (5, "old".to_owned()));
}

#[test]
fn a_seed_brings_layers_and_parameters() {
    let machine = Machine::new();
    let client = machine.client();
    let root = client.open("Machine").unwrap();
    let number = 4096_u32.to_le_bytes();
    let stream = Bytes::of(9).layer("base", 0).layer("gpo", 0).key(9);
    let stream = stream.key(20).entry(9, "System", 20, "base", 1);
    let stream = stream.key(21).entry(20, "Registry", 21, "base", 2);
    let stream = stream.value_with(21, "MaxValueSize", "base", REG_DWORD, &number, 3);
    let stream = stream.key(22).entry(21, "Layers", 22, "base", 4);
    let stream = stream.key(23).entry(22, "gpo", 23, "base", 5);
    let stream = stream.value_with(23, "Precedence", "base", REG_DWORD, &[5, 0, 0, 0], 6);
    let stream = stream.key(24).entry(9, "A", 24, "base", 7);
    let stream = stream.value_with(24, "v", "gpo", REG_SZ, b"policy", 8);
    client.restore(root, &stream.end()).unwrap();
    let a = client.open("Machine\\A").unwrap();
    assert_eq!(client.value(a, "v").unwrap().layer, "gpo");
    let large = client.set_args("w", REG_SZ, &[0; 5000], "");
    assert_eq!(client.set_with(a, large), Err(Errno::ENOSPC));
}

#[test]
fn entries_of_an_unknown_layer_wait_for_it() {
    let (_machine, client, fd) = prepared();
    let stream = Bytes::of(9).layer("latent", 0).key(9).value(9, "v", "latent", b"1", 1).end();
    client.restore(fd, &stream).unwrap();
    assert_eq!(client.value(fd, "v"), Err(Errno::ENOENT));
    client.layer("latent", 1);
    assert_eq!(client.value(fd, "v").unwrap().layer, "latent");
}
