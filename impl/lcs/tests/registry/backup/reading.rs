//! Streams that are read, and streams that are refused whatever their checksum says.

use abi::Errno;
use abi::value_type::{REG_DWORD, REG_TOMBSTONE};
use lcs::security::{Privileges, Sid, Token};

use super::bytes::Bytes;
use super::guid;
use super::writing::prepared;
use crate::client::{Client, Machine};
use crate::source::root_descriptor;

/// The head that most streams share, as far as the root's KEY.
fn head() -> Bytes {
    Bytes::of(9).layer("base", 0).layer("Extra", 0).key(9)
}

/// A child of the root.
fn with_child(stream: Bytes) -> Bytes {
    stream.key(8).entry(9, "Child", 8, "base", 5)
}

fn target() -> (Machine, Client, i32) {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\T");
    client.set(fd, "before", 1, "").unwrap();
    client.make("Machine\\T\\Before");
    (machine, client, fd)
}

fn assert_refused(streams: &[(&str, Vec<u8>)], errno: Errno) {
    let (machine, client, fd) = target();
    let before = machine.source.store().dump();
    for (what, stream) in streams {
        assert_eq!(client.restore(fd, stream), Err(errno), "{what}");
        assert_eq!(machine.source.store().dump(), before, "{what}");
        assert!(machine.source.store().transactions.is_empty(), "{what}");
    }
}

#[test]
fn the_head_and_a_child_are_a_stream() {
    let (_machine, client, fd) = target();
    client.restore(fd, &with_child(head()).end()).unwrap();
    assert_eq!(client.subkeys(fd), ["Child"]);
}

#[test]
fn headers_that_are_refused() {
    let bad_magic = {
        let mut stream = head().end();
        stream[6] ^= 1;
        stream
    };
    let no_text = Bytes::default().record(
        1,
        &[b"PEIOSREG", &[21, 0, 0, 0, 21, 0, 0, 0], &[0; 8], &[9; 16], &[1, 0, 0, 0], &[0xFF]],
    );
    assert_refused(
        &[
            ("nothing", Vec::new()),
            ("no header", Bytes::default().key(9).end()),
            ("a trailer alone", Bytes::default().end()),
            ("another magic", bad_magic),
            ("a later reader", Bytes::with_version(9, 22).key(9).end()),
            ("a null root", Bytes::of(0).key(0).end()),
            ("a hive whose name is no text", no_text.key(9).end()),
            ("a second header", head().header(9, 21).end()),
            (
                "an extension before the header",
                Bytes::default().record(7, &[]).header(9, 21).key(9).end(),
            ),
        ],
        Errno::EINVAL,
    );
}

#[test]
fn manifests_that_are_refused() {
    let layer = |name: &str| Bytes::of(9).layer(name, 0).key(9).end();
    let system = Sid::SYSTEM;
    let owner = |owner: &[u8]| Bytes::of(9).layer_with("x", 0, 1, owner).key(9).end();
    assert_refused(
        &[
            ("no name", layer("")),
            ("a separator", layer("a\\b")),
            ("a null byte", layer("a\0")),
            ("a long name", layer(&"x".repeat(256))),
            ("one name twice", Bytes::of(9).layer("x", 0).layer("X", 0).key(9).end()),
            ("enabled 2", Bytes::of(9).layer_with("x", 0, 2, system.as_bytes()).key(9).end()),
            ("no owner", owner(b"")),
            ("more than an owner", owner(&[system.as_bytes(), &[0]].concat())),
            ("behind the root", head().layer("late", 0).end()),
        ],
        Errno::EINVAL,
    );
}

#[test]
fn roots_that_are_refused() {
    let sd = root_descriptor();
    assert_refused(
        &[
            ("none", Bytes::of(9).end()),
            ("two", head().key(9).end()),
            ("another key first", Bytes::of(9).key(8).key(9).end()),
            (
                "an entry first",
                Bytes::of(9).layer("base", 0).entry(9, "x", 0, "base", 1).key(9).end(),
            ),
            ("volatile", Bytes::of(9).key_with(9, 1, &sd).end()),
            ("a symlink", Bytes::of(9).key_with(9, 2, &sd).end()),
            ("an unknown flag", Bytes::of(9).key_with(9, 4, &sd).end()),
            ("no descriptor", Bytes::of(9).key_with(9, 0, b"").end()),
        ],
        Errno::EINVAL,
    );
}

#[test]
fn path_entries_that_are_refused() {
    let child = || head().key(8);
    let named = || with_child(head());
    assert_refused(
        &[
            ("none", child().end()),
            ("none but values", child().value(8, "v", "base", b"", 1).end()),
            ("of another key", child().entry(9, "x", 7, "base", 1).end()),
            ("of another key too", named().entry(9, "x", 7, "base", 1).end()),
            ("below a key to come", child().entry(7, "x", 8, "base", 1).end()),
            ("below itself", child().entry(8, "x", 8, "base", 1).end()),
            ("below a key that is elsewhere", child().entry_of(guid(1), "x", 8, "base", 1).end()),
            ("of no layer", child().entry(9, "x", 8, "unknown", 1).end()),
            ("of no layer at the root", head().entry(9, "x", 9, "unknown", 1).end()),
            ("without a name", child().entry(9, "", 8, "base", 1).end()),
            ("with a separator", child().entry(9, "a/b", 8, "base", 1).end()),
            ("with a long name", child().entry(9, &"x".repeat(256), 8, "base", 1).end()),
            ("twice", named().entry(9, "CHILD", 8, "BASE", 2).end()),
            ("at another place as well", named().entry(9, "other", 8, "Extra", 2).end()),
            ("at a place that is taken", named().key(7).entry(9, "child", 7, "base", 6).end()),
            (
                "where it is hidden",
                head().entry(9, "Child", 0, "base", 1).key(8).entry(9, "child", 8, "base", 2).end(),
            ),
            ("hidden elsewhere", named().entry(9, "x", 0, "base", 1).end()),
            ("hidden elsewhere at the root", head().entry(8, "x", 0, "base", 1).end()),
            ("hidden twice", head().entry(9, "x", 0, "base", 1).entry(9, "X", 0, "Base", 2).end()),
            ("hidden and nothing else", child().entry(8, "x", 0, "base", 1).end()),
            (
                "behind a value",
                named().value(8, "v", "base", b"", 1).entry(9, "x", 8, "base", 1).end(),
            ),
        ],
        Errno::EINVAL,
    );
}

#[test]
fn keys_that_are_refused() {
    let sd = root_descriptor();
    let null = head().key(0).entry(9, "x", 8, "base", 1);
    assert_refused(
        &[
            ("null", null.end()),
            ("twice", with_child(with_child(head())).end()),
            (
                "with a bad descriptor",
                head().key_with(8, 0, &sd[1..]).entry(9, "x", 8, "base", 1).end(),
            ),
            ("with an unknown flag", head().key_with(8, 8, &sd).entry(9, "x", 8, "base", 1).end()),
        ],
        Errno::EINVAL,
    );
}

#[test]
fn values_and_blankets_that_are_refused() {
    let value = |kind: u32, data: &[u8]| head().value_with(9, "v", "base", kind, data, 1).end();
    let long_name = "x".repeat(256);
    assert_refused(
        &[
            ("of an unknown type", value(99, b"")),
            ("a tombstone with data", value(REG_TOMBSTONE, b"x")),
            ("of another key", with_child(head()).value(9, "v", "base", b"", 1).end()),
            ("of a key to come", head().value(8, "v", "base", b"", 1).end()),
            ("of no layer", head().value(9, "v", "unknown", b"", 1).end()),
            ("with a null byte", head().value(9, "a\0", "base", b"", 1).end()),
            ("with a long name", head().value(9, &long_name, "base", b"", 1).end()),
            ("twice", head().value(9, "v", "base", b"", 1).value(9, "V", "BASE", b"", 2).end()),
            ("behind a blanket", head().blanket(9, "base", 1).value(9, "v", "base", b"", 1).end()),
            ("a blanket of another key", with_child(head()).blanket(9, "base", 1).end()),
            ("a blanket of no layer", head().blanket(9, "unknown", 1).end()),
            ("two blankets", head().blanket(9, "base", 1).blanket(9, "Base", 2).end()),
        ],
        Errno::EINVAL,
    );
}

#[test]
fn framing_that_is_refused() {
    let with_length = |kind: u16, length: u32| {
        let mut stream = head().end();
        stream.truncate(stream.len() - 46);
        stream.extend_from_slice(&kind.to_le_bytes());
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&[0; 64]);
        stream
    };
    let trailing = [head().end(), vec![0]].concat();
    let twice = [head().end(), Bytes::of(9).key(9).end()].concat();
    assert_refused(
        &[
            ("a short record", with_length(3, 5)),
            ("a short record of an unknown type", with_length(70, 0)),
            ("an unknown record that ends early", with_length(70, 80)),
            ("a huge record", with_length(5, u32::MAX)),
            ("a huge unknown record", with_length(70, u32::MAX)),
            (
                "a record longer than its fields",
                head().record(6, &[&[9; 16], b"\x04\0\0\0base", &[0; 9]]).end(),
            ),
            (
                "a record shorter than its fields",
                head().record(6, &[&[9; 16], b"\x04\0\0\0base", &[0; 7]]).end(),
            ),
            (
                "a string longer than its record",
                head().record(6, &[&[9; 16], b"\xFF\xFF\xFF\xFFbase", &[0; 8]]).end(),
            ),
            ("another count", head().end_with_count(4)),
            ("a byte behind the trailer", trailing),
            ("records behind the trailer", twice),
        ],
        Errno::EINVAL,
    );
}

#[test]
fn records_out_of_order_are_refused() {
    let (_machine, client, fd) = target();
    let stream = || {
        let child = with_child(head().value(9, "v", "base", b"", 1).blanket(9, "base", 2));
        child.value(8, "v", "Extra", b"", 3).blanket(8, "Extra", 4)
    };
    client.restore(fd, &stream().end()).unwrap();
    let count = stream().ends().len();
    // The two LAYER records may change places, and nothing else may.
    for from in 0..count {
        for to in
            (0..count).filter(|to| *to != from && (from, *to) != (1, 2) && (from, *to) != (2, 1))
        {
            let moved = client.restore(fd, &stream().moved(from, to).end());
            assert_eq!(moved, Err(Errno::EINVAL), "{from} to {to}");
        }
    }
    client.restore(fd, &stream().moved(1, 2).end()).unwrap();
}

#[test]
fn records_of_unknown_types_are_skipped_wherever_they_stand() {
    let (_machine, client, fd) = target();
    let extension = |stream: Bytes| stream.record(0x40, &[&[1; 100_000]]).record(0, &[]);
    let stream = extension(Bytes::with_version(9, 3)).layer("base", 0);
    let stream = extension(extension(stream).key(9)).value(9, "v", "base", b"1", 1);
    let stream = extension(stream).key(8);
    let stream = extension(stream).entry(9, "C", 8, "base", 2);
    client.restore(fd, &extension(stream).end()).unwrap();
    assert_eq!(client.subkeys(fd), ["C"]);
    assert_eq!(client.value(fd, "v").unwrap().data, b"1");
}

#[test]
fn the_roots_own_names_are_skipped_and_its_hidden_ones_are_not() {
    let (machine, client, fd) = target();
    let stream = head().entry(1, "Elsewhere", 9, "Extra", 7).entry(9, "H", 0, "Extra", 8);
    client.restore(fd, &stream.end()).unwrap();
    client.open("Machine\\T").unwrap();
    assert_eq!(client.open("Machine\\Elsewhere"), Err(Errno::ENOENT));
    let store = machine.source.store();
    let hidden = store.entries.values().find(|(_, entry)| entry.target.is_none()).unwrap();
    assert_eq!(hidden.0, b"H");
}

#[test]
fn a_guid_that_is_in_use_elsewhere_is_a_collision() {
    let (machine, client, fd) = target();
    let other =
        machine.source.store().entries[&(guid(1), "t".to_owned(), "base".to_owned())].1.target;
    let target_guid = other.unwrap();
    let collide = |key: rsi::Guid| {
        let mut stream = head();
        let sd = root_descriptor();
        let sd = [&(sd.len() as u32).to_le_bytes()[..], &sd].concat();
        stream = stream.record(3, &[&key.0, &[0; 4], &sd, &[0; 8]]);
        let layer = b"\x04\0\0\0base";
        stream.record(4, &[&guid(9).0, b"\x01\0\0\0x", &key.0, layer, &[0; 8]]).end()
    };
    let before = machine.source.store().dump();
    // A hive root of the same source, and the target itself.
    assert_eq!(client.restore(fd, &collide(guid(2))), Err(Errno::EEXIST));
    assert_eq!(client.restore(fd, &collide(target_guid)), Err(Errno::EEXIST));
    assert_eq!(machine.source.store().dump(), before);
    // What another source has is nobody's business.
    client.restore(fd, &collide(guid(3))).unwrap();
    // And what is replaced may come again.
    client.restore(fd, &collide(guid(3))).unwrap();
}

#[test]
fn numbers_keep_their_order_and_may_not_overflow() {
    let (machine, client, fd) = target();
    let next = machine.source.store().max_sequence() + 1;
    let stream = head().value(9, "a", "base", b"", 40).value(9, "b", "base", b"", 0);
    let stream = stream.value(9, "c", "Extra", b"", 7).blanket(9, "Extra", 41);
    client.restore(fd, &stream.end()).unwrap();
    let mut numbers: Vec<u64> =
        machine.source.store().values.values().map(|value| value.sequence).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [next, next + 7, next + 40]);
    assert_eq!(machine.source.store().blankets.values().next().unwrap().sequence, next + 41);
    let before = machine.source.store().dump();
    let next = next + 42;
    for sequence in [u64::MAX, u64::MAX - next + 1, u64::MAX - next] {
        let stream = head().value(9, "a", "base", b"", sequence).end();
        assert_eq!(client.restore(fd, &stream), Err(Errno::EOVERFLOW));
    }
    assert_eq!(machine.source.store().dump(), before);
    client.set(fd, "v", 1, "").unwrap();
    assert_eq!(client.value(fd, "v").unwrap().sequence, next);
}

#[test]
fn a_layer_above_precedence_zero_needs_a_privilege() {
    let (machine, client, fd) = target();
    client.layer("gpo", 5);
    let mut token = Token::system();
    token.privileges = Privileges::RESTORE;
    let weak = client.with_token(token);
    let before = machine.source.store().dump();
    let declared = Bytes::of(9).layer("new", 1).key(9).end();
    let cached = Bytes::of(9).layer("GPO", 0).key(9).end();
    for stream in [&declared, &cached] {
        machine.source.store().log.clear();
        assert_eq!(weak.restore(fd, stream), Err(Errno::EPERM));
        assert_eq!(machine.source.store().dump(), before);
        assert_eq!(machine.source.store().log.len(), 2, "begun and aborted");
    }
    // All of the manifest is judged first, and nothing behind it.
    let malformed = Bytes::of(9).layer("new", 1).layer("", 0).key(9).end();
    assert_eq!(weak.restore(fd, &malformed), Err(Errno::EINVAL));
    let behind = Bytes::of(9).layer("new", 1).key(8).end();
    assert_eq!(weak.restore(fd, &behind), Err(Errno::EPERM));
    for stream in [&declared, &cached] {
        client.restore(fd, stream).unwrap();
    }
}

#[test]
fn restored_metadata_above_precedence_zero_needs_it_too() {
    let (machine, client, _) = prepared();
    let layers = client.make("Machine\\System\\Registry\\Layers");
    let gpo = client.layer("gpo", 0);
    let mut token = Token::system();
    token.privileges = Privileges::RESTORE;
    let weak = client.with_token(token);
    let number = |stream: Bytes, key: u8, value: u32| {
        stream.value_with(key, "PRECEDENCE", "base", REG_DWORD, &value.to_le_bytes(), 9).end()
    };
    let path = |names: &[&str]| {
        let mut stream = Bytes::of(9).layer("base", 0).key(9);
        for (index, name) in names.iter().enumerate() {
            let index = index as u8;
            stream = stream.key(20 + index).entry(
                if index == 0 { 9 } else { 19 + index },
                name,
                20 + index,
                "base",
                1,
            );
        }
        stream
    };
    let machine_root = client.open("Machine").unwrap();
    let system = client.open("Machine\\System").unwrap();
    let elsewhere = client.make("Machine\\Elsewhere");
    let whole = ["System", "Registry", "Layers", "new"];
    let before = machine.source.store().dump();
    assert_eq!(weak.restore(machine_root, &number(path(&whole), 23, 1)), Err(Errno::EPERM));
    assert_eq!(
        weak.restore(system, &number(path(&["REGISTRY", "layers", "n"]), 22, 1)),
        Err(Errno::EPERM)
    );
    assert_eq!(weak.restore(layers, &number(path(&["n"]), 20, 1)), Err(Errno::EPERM));
    assert_eq!(weak.restore(gpo, &number(path(&[]), 9, 1)), Err(Errno::EPERM));
    assert_eq!(machine.source.store().dump(), before);
    weak.restore(elsewhere, &number(path(&whole), 23, 1)).unwrap();
    weak.restore(elsewhere, &number(path(&[]), 9, 1)).unwrap();
    weak.restore(gpo, &number(path(&[]), 9, 0)).unwrap();
    weak.restore(layers, &number(path(&["n"]), 20, 0)).unwrap();
    client.restore(layers, &number(path(&["n"]), 20, 1)).unwrap();
}
