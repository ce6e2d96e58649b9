//! Enumerations, batch reads and key info.

use abi::layout::{EnumValueArgs, QueryKeyInfoArgs};
use abi::{Errno, ioctl};

use crate::client::Machine;

#[test]
fn subkeys_come_once_each_in_the_winners_spelling() {
    let client = Machine::new().client();
    client.layer("gpo", 5);
    let fd = client.make("Machine\\P");
    client.make("Machine\\P\\beta");
    let hidden = client.make("Machine\\P\\Gone");
    client.make("Machine\\P\\alpha\\x");
    client.hide(hidden, "gpo").unwrap();
    assert_eq!(client.subkeys(fd), ["alpha", "beta"]);
    let alpha = client.open("Machine\\P\\alpha").unwrap();
    client.set(alpha, "v", 1, "").unwrap();
    let (_, args) = client.subkey(fd, 0).unwrap();
    assert_eq!((args.subkey_count, args.value_count), (1, 1));
    assert_eq!(args.last_write_time, client.info(alpha).unwrap().1.last_write_time);
    assert_eq!(client.subkey(fd, 2).map(|_| ()), Err(Errno::ENOENT));
}

#[test]
fn values_are_enumerated_by_index_and_masked_ones_take_none() {
    let client = Machine::new().client();
    client.layer("gpo", 5);
    let fd = client.make("Machine\\A");
    client.set(fd, "one", 1, "").unwrap();
    client.set(fd, "Two", 2, "").unwrap();
    client.set(fd, "two", 22, "gpo").unwrap();
    client.set(fd, "masked", 3, "").unwrap();
    client.bury(fd, "masked", "gpo").unwrap();
    let at = |index, room: u32| {
        let args = EnumValueArgs {
            index,
            name_len: room,
            name_ptr: client.memory.room(64),
            data_len: room,
            data_ptr: client.memory.room(64),
            txn_fd: -1,
            ..EnumValueArgs::default()
        };
        client.go(|me| async move { me.ioctl(fd, ioctl::REG_IOC_ENUM_VALUES, args).await })
    };
    let (result, args) = at(1, 64);
    assert_eq!(result, Ok(0));
    assert_eq!(client.memory.peek(args.name_ptr, args.name_len as usize), b"two");
    assert_eq!(client.memory.peek(args.data_ptr, args.data_len as usize), 22u32.to_le_bytes());
    let (result, args) = at(0, 2);
    assert_eq!((result, args.name_len, args.data_len), (Err(Errno::ERANGE), 3, 4));
    assert_eq!(at(2, 64).0, Err(Errno::ENOENT));
}

#[test]
fn a_batch_packs_every_effective_value() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    assert_eq!(client.batch(fd), Ok((0, vec![])));
    client.set(fd, "b", 2, "").unwrap();
    client.set(fd, "", 1, "").unwrap();
    let (count, bytes) = client.batch(fd).unwrap();
    let expected = [
        &[0, 0, 0, 0][..],
        &[4, 0, 0, 0],
        &[4, 0, 0, 0],
        &[1, 0, 0, 0],
        &[1, 0, 0, 0],
        b"b",
        &[4, 0, 0, 0],
        &[4, 0, 0, 0],
        &[2, 0, 0, 0],
    ];
    assert_eq!((count, bytes), (2, expected.concat()));
}

#[test]
fn key_info_counts_what_is_seen() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\Key");
    client.make("Machine\\Key\\child");
    client.make("Machine\\Key\\longer child");
    client.set(fd, "name", 1, "").unwrap();
    let (name, info) = client.info(fd).unwrap();
    assert_eq!(name, "Key");
    assert_eq!((info.subkey_count, info.value_count), (2, 1));
    assert_eq!((info.max_subkey_name_len, info.max_value_name_len), (12, 4));
    assert_eq!((info.max_value_data_size, info.volatile_key, info.symlink), (4, 0, 0));
    assert!(info.sd_size > 20);
}

#[test]
fn a_probe_of_key_info_learns_the_length_of_the_name() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\Key");
    let probe = QueryKeyInfoArgs { name_ptr: 1, ..QueryKeyInfoArgs::default() };
    let (result, args) =
        client.go(|me| async move { me.ioctl(fd, ioctl::REG_IOC_QUERY_KEY_INFO, probe).await });
    assert_eq!((result, args.name_len, args.sd_size), (Err(Errno::ERANGE), 3, 0));
}
