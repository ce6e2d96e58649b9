//! Calls as numbers and bytes. The structures are written out here from the tables of §11.2.

use std::sync::Arc;

use registry_model::errno::Errno;
use registry_model::memory::{AddressSpace, Protection};
use registry_model::{Call, Covered, Input, Observation, RawCall};

use crate::world::{World, open, write};

const QUERY_VALUE: u32 = 0xC040_5200;
const FLUSH: u32 = 0x0000_520D;

/// A world with the key `Machine\a`, which holds `x`, under the handle `h`.
fn world() -> World {
    let mut world = World::booted();
    world.transcript("create h Machine\\a\nset $h x text");
    world
}

/// The structure of a query of `x`, whose buffers are `capacity` bytes long.
struct Query {
    memory: AddressSpace,
    argument: u64,
    data: u64,
}

fn query(capacity: u32) -> Query {
    let mut memory = AddressSpace::new();
    let name = memory.map(b"x".to_vec(), Protection::ReadOnly);
    let data = memory.map(vec![0; capacity as usize], Protection::ReadWrite);
    let layer = memory.map(vec![0; capacity as usize], Protection::ReadWrite);
    let mut bytes = vec![0; 64];
    bytes[0] = 1;
    bytes[8..16].copy_from_slice(&name.to_le_bytes());
    bytes[20..24].copy_from_slice(&capacity.to_le_bytes());
    bytes[24..28].copy_from_slice(&[0xFF; 4]);
    bytes[28..32].copy_from_slice(&capacity.to_le_bytes());
    bytes[32..40].copy_from_slice(&data.to_le_bytes());
    bytes[56..64].copy_from_slice(&layer.to_le_bytes());
    let argument = memory.map(bytes, Protection::ReadWrite);
    Query { memory, argument, data }
}

fn raw(world: &mut World, call: RawCall, memory: &AddressSpace) -> (Observation, Covered) {
    let input = Input::RawCall {
        caller: world.caller.clone(),
        call,
        memory: Arc::new(memory.clone()),
        began: 5_000,
        ended: 5_000,
        interrupted: false,
    };
    let step = world.state.step(&input).swap_remove(0);
    let answer = step.outcome.example(99).expect("a call has an answer");
    world.state = step.accept(&answer).expect("an example conforms");
    (answer, step.covered)
}

fn ioctl(world: &mut World, request: u32, query: &Query) -> Observation {
    let call = RawCall::Ioctl { fd: world.handle("h"), request, argument: query.argument };
    raw(world, call, &query.memory).0
}

fn failed(errno: Errno) -> Observation {
    Observation::Failed(errno)
}

#[test]
fn a_query_in_bytes_is_a_query() {
    let answer = ioctl(&mut world(), QUERY_VALUE, &query(16));
    assert!(matches!(answer, Observation::Value { data, .. } if data == b"text"));
}

#[test]
fn padding_that_is_not_zero_is_refused_and_fields_for_output_are_not_looked_at() {
    for offset in 0..64 {
        let mut query = query(16);
        query.memory.patch(query.argument + offset, &[1]);
        let is_padding = matches!(offset, 4..8 | 52..56);
        let is_output = matches!(offset, 16..20 | 40..52);
        let answer = ioctl(&mut world(), QUERY_VALUE, &query);
        assert!(!is_padding || answer == failed(Errno::EINVAL), "{offset}: {answer}");
        assert!(!is_output || matches!(answer, Observation::Value { .. }), "{offset}: {answer}");
    }
}

#[test]
fn a_wrong_request_comes_after_a_closed_fd_and_before_a_bad_structure() {
    let mut world = world();
    let query = query(16);
    let nowhere = Query { argument: 0, ..query };
    assert_eq!(ioctl(&mut world, QUERY_VALUE | 0x80_0000, &nowhere), failed(Errno::ENOTTY));
    assert_eq!(ioctl(&mut world, QUERY_VALUE, &nowhere), failed(Errno::EFAULT));
    let closed = RawCall::Ioctl { fd: 1_000, request: 0, argument: 0 };
    let (answer, covered) = raw(&mut world, closed, &nowhere.memory);
    assert_eq!(answer, failed(Errno::EBADF));
    assert!(!covered.contains("CONST-03"));
}

#[test]
fn a_flush_does_not_look_at_its_argument() {
    let nowhere = Query { argument: 1, ..query(0) };
    assert_eq!(ioctl(&mut world(), FLUSH, &nowhere), Observation::Done);
}

#[test]
fn a_buffer_has_to_be_writable_whatever_it_would_be_given() {
    let mut query = query(16);
    query.memory.make_read_only(query.data);
    let mut world = world();
    assert_eq!(ioctl(&mut world, QUERY_VALUE, &query), failed(Errno::EFAULT));
    world.transcript("unset $h x");
    assert_eq!(ioctl(&mut world, QUERY_VALUE, &query), failed(Errno::EFAULT));
}

#[test]
fn a_structure_that_is_written_to_has_to_be_writable() {
    let mut query = query(1);
    query.memory.make_read_only(query.argument);
    let mut world = world();
    assert_eq!(ioctl(&mut world, QUERY_VALUE, &query), failed(Errno::EFAULT));
    world.transcript("unset $h x");
    assert_eq!(ioctl(&mut world, QUERY_VALUE, &query), failed(Errno::EFAULT));
}

#[test]
fn nothing_is_created_when_the_disposition_cannot_be_written() {
    let mut world = world();
    let mut memory = AddressSpace::new();
    let path = memory.map(b"Machine\\new\0".to_vec(), Protection::ReadOnly);
    let mut bytes = vec![0; 48];
    bytes[0..4].copy_from_slice(&[0xFF; 4]);
    bytes[8..16].copy_from_slice(&path.to_le_bytes());
    bytes[16] = 1;
    bytes[32..36].copy_from_slice(&[0xFF; 4]);
    bytes[40] = 1;
    let structure = memory.map(bytes, Protection::ReadOnly);
    let call = RawCall::Syscall { number: 1101, arguments: [structure, 0, 0, 0, 0, 0] };
    assert_eq!(raw(&mut world, call.clone(), &memory).0, failed(Errno::EFAULT));
    assert_eq!(world.call(open("Machine\\new")).0, failed(Errno::ENOENT));
    // A null pointer asks for no disposition.
    memory.patch(structure + 40, &[0]);
    let (answer, _) = raw(&mut world, call, &memory);
    assert!(matches!(answer, Observation::Opened { disposition: None, .. }));
}

#[test]
fn arguments_of_32_bits_are_the_low_halves_of_registers() {
    let mut memory = AddressSpace::new();
    let path = memory.map(b"Machine\\a\0".to_vec(), Protection::ReadOnly);
    let arguments = [0x7_FFFF_FFFF, path, 0x7_0000_0001, 1 << 32, 9, 9];
    let call = RawCall::Syscall { number: 1100, arguments };
    let (answer, _) = raw(&mut world(), call, &memory);
    assert!(matches!(answer, Observation::Opened { .. }), "{answer}");
}

#[test]
fn a_path_without_an_end_faults_and_one_with_a_null_byte_ends_there() {
    let mut memory = AddressSpace::new();
    let path = memory.map(b"Machine".to_vec(), Protection::ReadOnly);
    let call = RawCall::Syscall { number: 1100, arguments: [u64::MAX, path, 1, 0, 0, 0] };
    assert_eq!(raw(&mut world(), call, &memory).0, failed(Errno::EFAULT));
    let (answer, _) = world().call(open("Machine\0\\nothing"));
    assert!(matches!(answer, Observation::Opened { .. }));
}

#[test]
fn the_length_of_a_name_comes_before_its_bytes() {
    let mut query = query(16);
    query.memory.patch(query.argument, &256u32.to_le_bytes());
    assert_eq!(ioctl(&mut world(), QUERY_VALUE, &query), failed(Errno::ENAMETOOLONG));
    query.memory.patch(query.argument, &255u32.to_le_bytes());
    assert_eq!(ioctl(&mut world(), QUERY_VALUE, &query), failed(Errno::EFAULT));
}

#[test]
fn a_transaction_in_numbers_is_a_transaction() {
    const COMMIT: u32 = 0x0000_5210;
    const TXN_STATUS: u32 = 0x8008_5211;
    let mut world = world();
    let mut memory = AddressSpace::new();
    let status = memory.map(vec![0xFF; 8], Protection::ReadWrite);
    let nowhere = AddressSpace::new();
    let begin = RawCall::Syscall { number: 1102, arguments: [9; 6] };
    assert_eq!(raw(&mut world, begin, &nowhere).0, Observation::Begun { fd: 99 });
    let key = world.handle("h");
    let mut ioctl = |fd, request, argument, memory| {
        let (answer, covered) = raw(&mut world, RawCall::Ioctl { fd, request, argument }, memory);
        (answer, covered.contains("CONST-03"))
    };
    let unbound = Observation::TransactionStatus { state: 0, terminal_errno: 0 };
    assert_eq!(ioctl(99, TXN_STATUS, status, &memory).0, unbound);
    assert_eq!(ioctl(99, TXN_STATUS, status, &nowhere).0, failed(Errno::EFAULT));
    assert_eq!(ioctl(99, COMMIT, 1, &nowhere).0, failed(Errno::EINVAL));
    // The wrong type of fd comes before a structure that cannot be read.
    assert_eq!(ioctl(key, TXN_STATUS, status, &nowhere), (failed(Errno::ENOTTY), true));
    assert_eq!(ioctl(key, COMMIT, 0, &nowhere), (failed(Errno::ENOTTY), true));
    assert_eq!(ioctl(99, QUERY_VALUE, status, &nowhere), (failed(Errno::ENOTTY), true));
    assert_eq!(ioctl(99, FLUSH, 0, &nowhere), (failed(Errno::ENOTTY), true));
}

#[test]
fn unknown_syscalls_are_not_there() {
    let call = RawCall::Syscall { number: 1103, arguments: [0; 6] };
    assert_eq!(raw(&mut world(), call, &AddressSpace::new()).0, failed(Errno::ENOSYS));
}

#[test]
fn a_refused_structure_uses_up_no_sequence_number() {
    let mut world = world();
    let before = world.state.next_sequence();
    let mut query = query(16);
    query.memory.patch(query.argument + 36, &[1]);
    assert_eq!(ioctl(&mut world, 0x4040_5201, &query), failed(Errno::EINVAL));
    assert_eq!(world.state.next_sequence(), before);
    let fd = world.handle("h");
    let call: Call = write(fd, "y", 1, b"", b"");
    assert_eq!(world.call(call).0, Observation::Done);
    assert_eq!(world.state.next_sequence(), before + 1);
}

#[test]
fn a_read_of_no_bytes_looks_at_no_address() {
    let mut world = world();
    let fd = world.handle("h");
    let mut read = |buffer, length| {
        raw(&mut world, RawCall::Read { fd, buffer, length }, &AddressSpace::new()).0
    };
    assert_eq!(read(0, 0), Observation::Failed(Errno::EAGAIN));
    assert_eq!(read(1, 0), Observation::Failed(Errno::EAGAIN));
    assert_eq!(read(1, 1), Observation::Failed(Errno::EFAULT));
}
