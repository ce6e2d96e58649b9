//! The typed layer over a raw target: a model call out to numbers and bytes, and the answer back.
//!
//! States the numbers and layouts of PSD-005 §11.1 and §11.2 once more, on the harness's own
//! account; it may not use `impl/abi`, since a wrong offset shared by both sides would not show.
//! `reply` reads answers.

mod events;
mod reply;

use registry_model::input::{Call, Fd};
use registry_model::observation::Observation;

pub use self::events::{EventKind, WatchEvent, events};
use self::reply::Buffer;
pub use self::reply::{Malformed, Reply};
use crate::address_space::{AddressSpace, Protection};
use crate::target::RawCall;

const SYSCALL_OPEN_KEY: u64 = 1100;
const SYSCALL_CREATE_KEY: u64 = 1101;
const SYSCALL_BEGIN_TRANSACTION: u64 = 1102;

/// As much as is taken from a stream at once.
const STREAM_CAPACITY: u32 = 1 << 20;

const DIRECTION_NONE: u32 = 0;
const DIRECTION_WRITE: u32 = 1;
const DIRECTION_READ: u32 = 2;
const DIRECTION_BOTH: u32 = 3;

/// `_IOC` of Linux with the registry's type byte (§1.3, "Ioctl encoding").
const fn ioctl_code(direction: u32, number: u32, size: u32) -> u32 {
    (direction << 30) | (size << 16) | (0x52 << 8) | number
}

/// A call ready for a target, and what is needed to read its answer.
pub struct Encoded {
    /// The raw call.
    pub call: RawCall,
    /// The memory it points into.
    pub memory: AddressSpace,
    /// Where its answer will be.
    pub reply: Reply,
}

impl Encoded {
    /// Reads the answer out of the result and the memory that came back.
    ///
    /// # Errors
    /// Those of [`Reply::decode`].
    pub fn decode(&self, result: i64, memory: &AddressSpace) -> Result<Observation, Malformed> {
        self.reply.decode(result, memory)
    }
}

/// An argument structure under construction: fields are appended in the order of §11.2.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }
    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }
    fn i32(self, value: i32) -> Self {
        self.u32(value.cast_unsigned())
    }
    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }
    fn zeros(mut self, count: usize) -> Self {
        self.0.extend(std::iter::repeat_n(0, count));
        self
    }
}

fn map_string(memory: &mut AddressSpace, bytes: &[u8]) -> u64 {
    if bytes.is_empty() { 0 } else { memory.map(bytes.to_vec(), Protection::ReadOnly) }
}

fn map_c_string(memory: &mut AddressSpace, bytes: &[u8]) -> u64 {
    memory.map([bytes, &[0]].concat(), Protection::ReadOnly)
}

/// A buffer of `capacity` bytes; a size probe has a null pointer.
fn map_buffer(memory: &mut AddressSpace, capacity: u32) -> Buffer {
    let address = if capacity == 0 {
        0
    } else {
        memory.map(vec![0xAA; capacity as usize], Protection::ReadWrite)
    };
    Buffer { address, capacity }
}

fn ioctl(
    fd: Fd,
    direction: u32,
    number: u32,
    fields: Fields,
    memory: &mut AddressSpace,
) -> RawCall {
    let size = fields.0.len() as u32;
    let argument = if size == 0 {
        0
    } else {
        let writable = direction & DIRECTION_READ != 0;
        let protection = if writable { Protection::ReadWrite } else { Protection::ReadOnly };
        memory.map(fields.0, protection)
    };
    RawCall::Ioctl { fd, request: ioctl_code(direction, number, size), argument }
}

fn argument_address(call: &RawCall) -> u64 {
    match call {
        RawCall::Ioctl { argument, .. } => *argument,
        RawCall::Read { buffer, .. } | RawCall::TakeStream { buffer, .. } => *buffer,
        RawCall::Syscall { .. }
        | RawCall::OpenStream { .. }
        | RawCall::Poll { .. }
        | RawCall::Close { .. }
        | RawCall::Pass { .. } => 0,
    }
}

/// Lays out a call for a target.
pub fn encode(call: &Call) -> Encoded {
    let mut memory = AddressSpace::new();
    match call {
        Call::OpenKey { .. } | Call::CreateKey { .. } => encode_open(call, memory),
        Call::QueryValue { .. }
        | Call::QueryValuesBatch { .. }
        | Call::EnumValues { .. }
        | Call::EnumSubkeys { .. }
        | Call::QueryKeyInfo { .. } => encode_read(call, memory),
        Call::GetSecurity { fd, security_info, capacity } => {
            encode_get_security(*fd, *security_info, *capacity, memory)
        }
        Call::ReadEvents { fd, capacity } => {
            let buffer = map_buffer(&mut memory, *capacity);
            let length = u64::from(*capacity);
            let call = RawCall::Read { fd: *fd, buffer: buffer.address, length };
            Encoded { call, memory, reply: Reply::Events { buffer } }
        }
        Call::Poll { fd } => {
            Encoded { call: RawCall::Poll { fd: *fd }, memory, reply: Reply::Poll }
        }
        Call::BeginTransaction => {
            let call = RawCall::Syscall { number: SYSCALL_BEGIN_TRANSACTION, arguments: [0; 6] };
            Encoded { call, memory, reply: Reply::Begin }
        }
        Call::TransactionStatus { fd } => {
            let call = ioctl(*fd, DIRECTION_READ, 17, Fields::default().zeros(8), &mut memory);
            let arguments = argument_address(&call);
            Encoded { call, memory, reply: Reply::Status { arguments } }
        }
        Call::Pass { fd, to } => {
            let call = RawCall::Pass { fd: *fd, to: *to };
            Encoded { call, memory, reply: Reply::Pass }
        }
        Call::OpenStream { access, contents } => {
            let call = RawCall::OpenStream { access: *access, contents: contents.clone() };
            Encoded { call, memory, reply: Reply::OpenStream }
        }
        Call::TakeStream { fd } => {
            let buffer = map_buffer(&mut memory, STREAM_CAPACITY);
            let length = u64::from(STREAM_CAPACITY);
            let call = RawCall::TakeStream { fd: *fd, buffer: buffer.address, length };
            Encoded { call, memory, reply: Reply::Stream { buffer } }
        }
        Call::Close { fd } => {
            Encoded { call: RawCall::Close { fd: *fd }, memory, reply: Reply::Done }
        }
        _ => {
            let call = encode_mutation(call, &mut memory);
            Encoded { call, memory, reply: Reply::Done }
        }
    }
}

fn encode_open(call: &Call, mut memory: AddressSpace) -> Encoded {
    match call {
        Call::OpenKey { parent, path, desired_access, flags } => {
            let path = map_c_string(&mut memory, path);
            let arguments = [
                i64::from(*parent).cast_unsigned(),
                path,
                u64::from(*desired_access),
                u64::from(*flags),
                0,
                0,
            ];
            let call = RawCall::Syscall { number: SYSCALL_OPEN_KEY, arguments };
            Encoded { call, memory, reply: Reply::Open }
        }
        Call::CreateKey { parent, path, desired_access, flags, layer, transaction } => {
            let path = map_c_string(&mut memory, path);
            let layer = layer.as_ref().map_or(0, |layer| map_c_string(&mut memory, layer));
            let disposition = memory.map(vec![0xAA; 4], Protection::ReadWrite);
            let fields = Fields::default()
                .i32(*parent)
                .zeros(4)
                .u64(path)
                .u32(*desired_access)
                .u32(*flags)
                .u64(layer)
                .i32(*transaction)
                .zeros(4)
                .u64(disposition);
            let structure = memory.map(fields.0, Protection::ReadOnly);
            let arguments = [structure, 0, 0, 0, 0, 0];
            let call = RawCall::Syscall { number: SYSCALL_CREATE_KEY, arguments };
            Encoded { call, memory, reply: Reply::Create { disposition } }
        }
        _ => unreachable!("only opens are encoded here"),
    }
}

fn encode_read(call: &Call, mut memory: AddressSpace) -> Encoded {
    match call {
        Call::QueryValue { fd, name, transaction, data_capacity, layer_capacity } => {
            let name_address = map_string(&mut memory, name);
            let data = map_buffer(&mut memory, *data_capacity);
            let layer = map_buffer(&mut memory, *layer_capacity);
            let fields = Fields::default()
                .u32(name.len() as u32)
                .zeros(4)
                .u64(name_address)
                .u32(0)
                .u32(data.capacity)
                .i32(*transaction)
                .u32(layer.capacity)
                .u64(data.address)
                .u64(0)
                .u32(0)
                .zeros(4)
                .u64(layer.address);
            let call = ioctl(*fd, DIRECTION_BOTH, 0, fields, &mut memory);
            let arguments = argument_address(&call);
            Encoded { call, memory, reply: Reply::Value { arguments, data, layer } }
        }
        Call::QueryValuesBatch { fd, capacity, transaction } => {
            let buffer = map_buffer(&mut memory, *capacity);
            let fields = Fields::default()
                .u32(buffer.capacity)
                .u32(0)
                .u64(buffer.address)
                .i32(*transaction)
                .zeros(4);
            let call = ioctl(*fd, DIRECTION_BOTH, 4, fields, &mut memory);
            let arguments = argument_address(&call);
            Encoded { call, memory, reply: Reply::Batch { arguments, buffer } }
        }
        Call::EnumValues { fd, index, name_capacity, data_capacity, transaction } => {
            let name = map_buffer(&mut memory, *name_capacity);
            let data = map_buffer(&mut memory, *data_capacity);
            let fields = Fields::default()
                .u32(*index)
                .u32(name.capacity)
                .u64(name.address)
                .u32(0)
                .u32(data.capacity)
                .u64(data.address)
                .i32(*transaction)
                .zeros(4);
            let call = ioctl(*fd, DIRECTION_BOTH, 5, fields, &mut memory);
            let arguments = argument_address(&call);
            Encoded { call, memory, reply: Reply::EnumeratedValue { arguments, name, data } }
        }
        Call::EnumSubkeys { fd, index, name_capacity, transaction } => {
            let name = map_buffer(&mut memory, *name_capacity);
            let fields = Fields::default()
                .u32(*index)
                .u32(name.capacity)
                .u64(name.address)
                .u64(0)
                .u32(0)
                .u32(0)
                .i32(*transaction)
                .zeros(4);
            let call = ioctl(*fd, DIRECTION_BOTH, 6, fields, &mut memory);
            let arguments = argument_address(&call);
            Encoded { call, memory, reply: Reply::EnumeratedSubkey { arguments, name } }
        }
        Call::QueryKeyInfo { fd, name_capacity } => {
            let name = map_buffer(&mut memory, *name_capacity);
            let fields = Fields::default().u32(name.capacity).zeros(4).u64(name.address).zeros(48);
            let call = ioctl(*fd, DIRECTION_READ, 7, fields, &mut memory);
            let arguments = argument_address(&call);
            Encoded { call, memory, reply: Reply::KeyInfo { arguments, name } }
        }
        _ => unreachable!("only reads are encoded here"),
    }
}

fn encode_get_security(
    fd: Fd,
    security_info: u32,
    capacity: u32,
    mut memory: AddressSpace,
) -> Encoded {
    let buffer = map_buffer(&mut memory, capacity);
    let fields = Fields::default().u32(security_info).u32(buffer.capacity).u64(buffer.address);
    let call = ioctl(fd, DIRECTION_BOTH, 10, fields, &mut memory);
    let arguments = argument_address(&call);
    Encoded { call, memory, reply: Reply::Security { arguments, buffer } }
}

fn encode_mutation(call: &Call, memory: &mut AddressSpace) -> RawCall {
    match call {
        Call::SetValue { fd, name, value_type, data, layer, transaction, expected_sequence } => {
            let name_address = map_string(memory, name);
            let data_address = map_string(memory, data);
            let layer_address = map_string(memory, layer);
            let fields = Fields::default()
                .u32(name.len() as u32)
                .zeros(4)
                .u64(name_address)
                .u32(*value_type)
                .u32(data.len() as u32)
                .u64(data_address)
                .u32(layer.len() as u32)
                .zeros(4)
                .u64(layer_address)
                .i32(*transaction)
                .zeros(4)
                .u64(*expected_sequence);
            ioctl(*fd, DIRECTION_WRITE, 1, fields, memory)
        }
        Call::DeleteValue { fd, name, layer, transaction } => {
            let name_address = map_string(memory, name);
            let layer_address = map_string(memory, layer);
            let fields = Fields::default()
                .u32(name.len() as u32)
                .zeros(4)
                .u64(name_address)
                .u32(layer.len() as u32)
                .zeros(4)
                .u64(layer_address)
                .i32(*transaction)
                .zeros(4);
            ioctl(*fd, DIRECTION_WRITE, 2, fields, memory)
        }
        Call::BlanketTombstone { fd, layer, set, transaction } => {
            let layer_address = map_string(memory, layer);
            let fields = Fields::default()
                .u32(layer.len() as u32)
                .zeros(4)
                .u64(layer_address)
                .u8(*set)
                .zeros(3)
                .i32(*transaction);
            ioctl(*fd, DIRECTION_WRITE, 3, fields, memory)
        }
        Call::DeleteKey { fd, layer, transaction } | Call::HideKey { fd, layer, transaction } => {
            let layer_address = map_string(memory, layer);
            let fields = Fields::default()
                .u32(layer.len() as u32)
                .zeros(4)
                .u64(layer_address)
                .i32(*transaction)
                .zeros(4);
            let number = if matches!(call, Call::DeleteKey { .. }) { 8 } else { 9 };
            ioctl(*fd, DIRECTION_WRITE, number, fields, memory)
        }
        Call::SetSecurity { fd, security_info, descriptor, transaction } => {
            let address = map_string(memory, descriptor);
            let fields = Fields::default()
                .u32(*security_info)
                .u32(descriptor.len() as u32)
                .u64(address)
                .i32(*transaction)
                .zeros(4);
            ioctl(*fd, DIRECTION_WRITE, 11, fields, memory)
        }
        Call::Notify { fd, filter, subtree } => {
            let fields = Fields::default().u32(*filter).u8(*subtree).zeros(3);
            ioctl(*fd, DIRECTION_WRITE, 12, fields, memory)
        }
        Call::Backup { fd, output } => {
            ioctl(*fd, DIRECTION_WRITE, 14, Fields::default().i32(*output), memory)
        }
        Call::Restore { fd, input } => {
            ioctl(*fd, DIRECTION_WRITE, 15, Fields::default().i32(*input), memory)
        }
        Call::Commit { fd } => ioctl(*fd, DIRECTION_NONE, 16, Fields::default(), memory),
        Call::Flush { fd } => ioctl(*fd, DIRECTION_NONE, 13, Fields::default(), memory),
        _ => unreachable!("only mutations are encoded here"),
    }
}

#[cfg(test)]
mod laws;

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_request(call: &Call) -> u32 {
        match encode(call).call {
            RawCall::Ioctl { request, .. } => (request >> 16) & 0x3FFF,
            other => panic!("not an ioctl: {other:?}"),
        }
    }

    #[test]
    fn argument_structures_have_the_sizes_of_the_appendix() {
        let query = Call::QueryValue {
            fd: 3,
            name: b"v".to_vec(),
            transaction: -1,
            data_capacity: 8,
            layer_capacity: 8,
        };
        let set = Call::SetValue {
            fd: 3,
            name: b"v".to_vec(),
            value_type: 4,
            data: vec![1; 4],
            layer: Vec::new(),
            transaction: -1,
            expected_sequence: 0,
        };
        let delete =
            Call::DeleteValue { fd: 3, name: Vec::new(), layer: Vec::new(), transaction: -1 };
        let blanket = Call::BlanketTombstone { fd: 3, layer: Vec::new(), set: 1, transaction: -1 };
        let batch = Call::QueryValuesBatch { fd: 3, capacity: 16, transaction: -1 };
        let values = Call::EnumValues {
            fd: 3,
            index: 0,
            name_capacity: 8,
            data_capacity: 8,
            transaction: -1,
        };
        let subkeys = Call::EnumSubkeys { fd: 3, index: 0, name_capacity: 8, transaction: -1 };
        let info = Call::QueryKeyInfo { fd: 3, name_capacity: 8 };
        let delete_key = Call::DeleteKey { fd: 3, layer: Vec::new(), transaction: -1 };
        let get_security = Call::GetSecurity { fd: 3, security_info: 7, capacity: 8 };
        let descriptor = vec![1; 20];
        let set_security =
            Call::SetSecurity { fd: 3, security_info: 4, descriptor, transaction: -1 };
        let calls = [query, set, delete, blanket, batch, values, subkeys, info, delete_key];
        assert_eq!(calls.each_ref().map(size_of_request), [64, 64, 40, 24, 24, 40, 40, 64, 24]);
        assert_eq!([get_security, set_security].each_ref().map(size_of_request), [16, 24]);
        assert_eq!(size_of_request(&Call::Flush { fd: 3 }), 0);
        assert_eq!(size_of_request(&Call::Backup { fd: 3, output: 4 }), 4);
        assert_eq!(size_of_request(&Call::Restore { fd: 3, input: 4 }), 4);
    }
}
