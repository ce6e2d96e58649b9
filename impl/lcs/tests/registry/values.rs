//! Values: writing, masking, and the sequence numbers that come of it.

use abi::Errno;
use abi::value_type::{REG_BINARY, REG_NONE, REG_QWORD, REG_SZ};
use rsi::Operation;

use crate::client::Machine;

#[test]
fn every_type_comes_back_with_its_bytes() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    for kind in REG_NONE..=REG_QWORD {
        client.set_with(fd, client.set_args("v", kind, b"\xFF\x00z", "")).unwrap();
        let value = client.value(fd, "V").unwrap();
        assert_eq!((value.value_type, value.data), (kind, b"\xFF\x00z".to_vec()));
    }
    client.set_with(fd, client.set_args("", REG_SZ, b"", "")).unwrap();
    assert_eq!(client.value(fd, "").unwrap().data, b"");
}

#[test]
fn a_refused_write_takes_no_sequence_number() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "").unwrap();
    let before = client.value(fd, "v").unwrap().sequence;
    let try_set = |args| client.set_with(fd, args);
    assert_eq!(try_set(client.set_args("v", 12, b"", "")), Err(Errno::EINVAL));
    assert_eq!(try_set(client.set_args("v", 0xFFFF, b"x", "")), Err(Errno::EINVAL));
    assert_eq!(try_set(client.set_args("v", REG_SZ, b"", "none")), Err(Errno::ENOENT));
    assert_eq!(try_set(client.set_args("v", REG_SZ, b"", "a\\b")), Err(Errno::EINVAL));
    assert_eq!(try_set(client.set_args("v\0", REG_SZ, b"", "")), Err(Errno::EINVAL));
    let long = "x".repeat(256);
    assert_eq!(try_set(client.set_args(&long, REG_SZ, b"", "")), Err(Errno::ENAMETOOLONG));
    let large = vec![0; 1_048_577];
    assert_eq!(try_set(client.set_args("v", REG_BINARY, &large, "")), Err(Errno::ENOSPC));
    try_set(client.set_args("v", REG_BINARY, &large[1..], "")).unwrap();
    let args = client.query_args("v");
    let (result, args) =
        client.go(|me| async move { me.ioctl(fd, abi::ioctl::REG_IOC_QUERY_VALUE, args).await });
    assert_eq!((result, args.data_len), (Err(Errno::ERANGE), 1_048_576));
    client.set(fd, "v", 1, "").unwrap();
    assert_eq!(client.value(fd, "v").unwrap().sequence, before + 2);
}

#[test]
fn a_conditional_write_looks_at_the_layers_own_entry() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    client.layer("role", 0);
    client.set(fd, "v", 1, "").unwrap();
    let sequence = client.value(fd, "v").unwrap().sequence;
    client.set(fd, "v", 2, "role").unwrap();
    let conditional = |expected_seq, layer| {
        let args = client.set_args("v", REG_SZ, b"new", layer);
        client.set_with(fd, abi::layout::SetValueArgs { expected_seq, ..args })
    };
    assert_eq!(conditional(sequence + 1, ""), Err(Errno::EAGAIN));
    assert_eq!(conditional(sequence, ""), Ok(()));
    assert_eq!(conditional(sequence, ""), Err(Errno::EAGAIN));
}

#[test]
fn a_tombstone_masks_lower_layers_until_it_is_removed() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    client.layer("gpo", 5);
    client.set(fd, "v", 1, "").unwrap();
    client.bury(fd, "v", "gpo").unwrap();
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
    client.unset(fd, "V", "GPO").unwrap();
    assert_eq!(client.get(fd, "v"), Ok((1, "base".to_owned())));
    client.unset(fd, "v", "gpo").unwrap();
}

#[test]
fn a_blanket_masks_everything_below_it_and_its_layers_later_values_show() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    client.layer("gpo", 5);
    client.set(fd, "a", 1, "").unwrap();
    client.blanket(fd, "gpo", true).unwrap();
    client.set(fd, "b", 2, "gpo").unwrap();
    client.set(fd, "c", 3, "").unwrap();
    assert_eq!(client.get(fd, "a"), Err(Errno::ENOENT));
    assert_eq!(client.get(fd, "b"), Ok((2, "gpo".to_owned())));
    assert_eq!(client.get(fd, "c"), Err(Errno::ENOENT));
    client.blanket(fd, "gpo", false).unwrap();
    assert_eq!(client.get(fd, "c"), Ok((3, "base".to_owned())));
}

#[test]
fn a_value_takes_entries_of_so_many_layers() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "").unwrap();
    let layers = client.make("Machine\\System\\Registry\\Layers");
    client.close(layers).unwrap();
    for index in 0..128 {
        let layer = client.make(&format!("Machine\\System\\Registry\\Layers\\l{index}"));
        client.close(layer).unwrap();
        let expected = if index < 127 { Ok(()) } else { Err(Errno::ENOSPC) };
        assert_eq!(client.set(fd, "v", index, &format!("l{index}")), expected);
    }
    assert_eq!(client.set(fd, "v", 7, "L3"), Ok(()));
    assert_eq!(client.set(fd, "other", 7, "l127"), Ok(()));
}

#[test]
fn each_mutation_sets_the_last_write_time_and_steps_the_generation_once() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    let mut last = client.info(fd).unwrap().1;
    let mut stepped = |what: &str| {
        let info = client.info(fd).unwrap().1;
        assert_eq!(info.hive_generation, last.hive_generation + 1, "{what}");
        assert!(info.last_write_time > last.last_write_time, "{what}");
        last = info;
    };
    client.set(fd, "v", 1, "").unwrap();
    stepped("set");
    client.unset(fd, "nothing", "").unwrap();
    stepped("delete of nothing");
    client.blanket(fd, "", true).unwrap();
    stepped("blanket");
    client.blanket(fd, "", false).unwrap();
    stepped("no blanket");
    assert!(client.set(fd, "v", 1, "none").is_err());
    assert_eq!(client.info(fd).unwrap().1.hive_generation, last.hive_generation);
    assert_eq!(client.generation("Other"), client.generation("Other"));
}

#[test]
fn flush_reaches_the_source_and_needs_the_right_to_write() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    client.flush(fd).unwrap();
    assert_eq!(machine.source.count(Operation::Flush), 1);
    let reader = client
        .go(|me| async move { me.open_at(-1, "Machine\\A", abi::KEY_READ, 0).await })
        .unwrap();
    assert_eq!(client.flush(reader), Err(Errno::EACCES));
}
