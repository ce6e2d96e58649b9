//! Bytes in and out: structures, buffers, faults and the order of checks.

use abi::layout::{BlanketTombstoneArgs, CreateKeyArgs, QueryValueArgs, SetValueArgs};
use abi::{Errno, KEY_READ, Structure, ioctl};

use crate::client::{Client, Machine};
use crate::world::{READ_ONLY, UNMAPPED};

fn query(client: &Client, fd: i32, args: QueryValueArgs) -> (Result<i64, Errno>, QueryValueArgs) {
    client.go(|me| async move { me.ioctl(fd, ioctl::REG_IOC_QUERY_VALUE, args).await })
}

#[test]
fn an_unserved_number_is_enosys_and_an_unserved_ioctl_enotty() {
    let client = Machine::new().client();
    let fd = client.open("Machine").unwrap();
    let call = |number| client.go(move |me| async move { me.syscall(number, [0; 6]).await });
    assert_eq!(call(abi::REG_BEGIN_TRANSACTION + 1), Err(Errno::ENOSYS));
    assert_eq!(call(1), Err(Errno::ENOSYS));
    let ask = |fd, code| client.go(move |me| async move { me.ioctl_at(fd, code, 0).await });
    assert_eq!(ask(fd, ioctl::REG_IOC_COMMIT), Err(Errno::ENOTTY));
    assert_eq!(ask(fd, ioctl::REG_SRC_REGISTER), Err(Errno::ENOTTY));
    assert_eq!(ask(fd, ioctl::REG_IOC_SET_VALUE + (1 << 16)), Err(Errno::ENOTTY));
    assert_eq!(ask(77, ioctl::REG_IOC_COMMIT), Err(Errno::EBADF));
}

#[test]
fn reserved_fields_come_before_the_mask_and_the_mask_before_the_rest() {
    let client = Machine::new().client();
    client.make("Machine\\A");
    let reader =
        client.go(|me| async move { me.open_at(-1, "Machine\\A", KEY_READ, 0).await }).unwrap();
    let bad_layer = client.set_args("v", 99, b"", "none");
    let padded = SetValueArgs { pad2: 1, ..bad_layer };
    assert_eq!(client.set_with(reader, padded), Err(Errno::EINVAL));
    let below = SetValueArgs { txn_fd: -2, ..bad_layer };
    assert_eq!(client.set_with(reader, below), Err(Errno::EINVAL));
    assert_eq!(client.set_with(reader, bad_layer), Err(Errno::EACCES));
    let args = BlanketTombstoneArgs { set: 2, txn_fd: -1, ..BlanketTombstoneArgs::default() };
    let (result, _) = client
        .go(|me| async move { me.ioctl(reader, ioctl::REG_IOC_BLANKET_TOMBSTONE, args).await });
    assert_eq!(result, Err(Errno::EINVAL));
}

#[test]
fn any_transaction_fd_is_bad() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    let args = SetValueArgs { txn_fd: fd, ..client.set_args("v", 1, b"", "") };
    assert_eq!(client.set_with(fd, args), Err(Errno::EBADF));
    let args = QueryValueArgs { txn_fd: 50, ..client.query_args("v") };
    assert_eq!(query(&client, fd, args).0, Err(Errno::EBADF));
    let args = CreateKeyArgs { txn_fd: fd, ..client.create_args("Machine\\B", "") };
    assert_eq!(client.go(|me| async move { me.create_with(args).await }), Err(Errno::EBADF));
    assert_eq!(client.open("Machine\\B"), Err(Errno::ENOENT));
}

#[test]
fn a_creation_that_opens_an_existing_key_does_not_look_at_its_transaction() {
    let client = Machine::new().client();
    client.make("Machine\\A");
    let create = |txn_fd| {
        let args = CreateKeyArgs { txn_fd, ..client.create_args("Machine\\A", "none") };
        client
            .go(|me| async move { me.create_with(args).await })
            .map(|(_, disposition)| disposition)
    };
    assert_eq!(create(77), Ok(abi::REG_OPENED_EXISTING));
    assert_eq!(create(-2), Err(Errno::EINVAL));
}

#[test]
fn the_layer_of_a_creation_is_judged_before_its_transaction() {
    let client = Machine::new().client();
    let args = CreateKeyArgs { txn_fd: 77, ..client.create_args("Machine\\A", "none") };
    assert_eq!(client.go(|me| async move { me.create_with(args).await }), Err(Errno::ENOENT));
}

#[test]
fn a_probe_learns_both_sizes_and_a_short_buffer_stays_untouched() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 7, "").unwrap();
    let args = client.query_args("v");
    let probe =
        QueryValueArgs { data_len: 0, data_ptr: 0, layer_buf_len: 0, layer_ptr: UNMAPPED, ..args };
    let (result, got) = query(&client, fd, probe);
    assert_eq!((result, got.data_len, got.layer_len), (Err(Errno::ERANGE), 4, 4));
    assert_eq!((got.value_type, got.sequence), (0, 0));
    let short = QueryValueArgs { layer_buf_len: 3, ..args };
    let (result, got) = query(&client, fd, short);
    assert_eq!((result, got.data_len, got.layer_len), (Err(Errno::ERANGE), 4, 4));
    assert_eq!(client.memory.peek(args.data_ptr, 4), [0; 4]);
}

#[test]
fn an_output_buffer_must_be_writable_throughout() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 7, "").unwrap();
    let args = client.query_args("v");
    let requests = machine.source.store().log.len();
    for data_ptr in [0, UNMAPPED, READ_ONLY - 8, u64::MAX] {
        let bad = QueryValueArgs { data_ptr, ..args };
        assert_eq!(query(&client, fd, bad).0, Err(Errno::EFAULT));
    }
    client.memory.poke(READ_ONLY, &args.to_bytes());
    let at = client
        .go(move |me| async move { me.ioctl_at(fd, ioctl::REG_IOC_QUERY_VALUE, READ_ONLY).await });
    assert_eq!(at, Err(Errno::EFAULT));
    assert_eq!(machine.source.store().log.len(), requests);
}

#[test]
fn input_pointers_that_cannot_be_read_are_faults() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    let args = client.set_args("v", 1, b"data", "base");
    for bad in [
        SetValueArgs { name_ptr: UNMAPPED, ..args },
        SetValueArgs { data_ptr: UNMAPPED - 2, ..args },
        SetValueArgs { layer_ptr: 0, ..args },
    ] {
        assert_eq!(client.set_with(fd, bad), Err(Errno::EFAULT));
    }
    // Of an empty string the address does not matter.
    client.set_with(fd, SetValueArgs { name_len: 0, name_ptr: UNMAPPED, ..args }).unwrap();
    let call = |address| {
        client.go(move |me| async move {
            me.syscall(abi::REG_OPEN_KEY, [u64::MAX, address, KEY_READ.into(), 0, 0, 0]).await
        })
    };
    assert_eq!(call(UNMAPPED), Err(Errno::EFAULT));
    client.memory.poke(UNMAPPED - 3, b"abc");
    assert_eq!(call(UNMAPPED - 3), Err(Errno::EFAULT));
    client.memory.poke(UNMAPPED - 8, b"Machine\0");
    assert!(call(UNMAPPED - 8).is_ok());
}

#[test]
fn faults_of_a_path_come_before_its_parent_and_its_hive() {
    let client = Machine::new().client();
    let open = |from: i32, path: &str, flags| {
        let path = path.to_owned();
        client.go(move |me| async move { me.open_at(from, &path, KEY_READ, flags).await })
    };
    assert_eq!(open(99, "a\\", 0), Err(Errno::EINVAL));
    assert_eq!(open(99, "a", 0), Err(Errno::EBADF));
    assert_eq!(open(-2, "a", 0), Err(Errno::EBADF));
    assert_eq!(open(-1, "", 0), Err(Errno::EINVAL));
    assert_eq!(open(-1, &"x".repeat(256), 0), Err(Errno::ENAMETOOLONG));
    assert_eq!(open(-1, &"é\\".repeat(30_000), 0), Err(Errno::ENAMETOOLONG));
    assert_eq!(open(-1, "a", 2), Err(Errno::EINVAL));
}

#[test]
fn a_creation_checks_its_structure_first() {
    let client = Machine::new().client();
    let args = client.create_args("Machine\\A", "");
    for bad in [
        CreateKeyArgs { pad0: 1, ..args },
        CreateKeyArgs { pad1: 1, ..args },
        CreateKeyArgs { flags: 4, ..args },
        CreateKeyArgs { desired_access: 0, ..args },
        CreateKeyArgs { txn_fd: -2, ..args },
    ] {
        assert_eq!(client.go(|me| async move { me.create_with(bad).await }), Err(Errno::EINVAL));
    }
    let bad = CreateKeyArgs { disposition_ptr: READ_ONLY, ..args };
    let address = client.memory.put(&bad.to_bytes());
    let call = client.go(move |me| async move {
        me.syscall(abi::REG_CREATE_KEY, [address, 0, 0, 0, 0, 0]).await
    });
    assert_eq!(call, Err(Errno::EFAULT));
    assert_eq!(client.open("Machine\\A"), Err(Errno::ENOENT));
    let bad = CreateKeyArgs { layer_ptr: UNMAPPED, ..args };
    assert_eq!(client.go(|me| async move { me.create_with(bad).await }), Err(Errno::EFAULT));
    assert_eq!(client.create("Machine\\A", "none"), Err(Errno::ENOENT));
    assert_eq!(client.create("Machine\\A", "a/b"), Err(Errno::EINVAL));
    let long = "l".repeat(256);
    assert_eq!(client.create("Machine\\A", &long), Err(Errno::ENAMETOOLONG));
}
