//! Reading the answer of a call out of its result and its memory.
//!
//! States the output fields of PSD-005 §11.2, and which bytes of the caller's memory an answer may
//! change (P-33).

use registry_model::errno::Errno;
use registry_model::input::Fd;
use registry_model::observation::{KeyInfo, NamedValue, Observation, PollEvents, Sizes};

use super::{
    DIRECTION_BOTH, DIRECTION_READ, SYSCALL_BEGIN_TRANSACTION, SYSCALL_CREATE_KEY,
    SYSCALL_OPEN_KEY, ioctl_code,
};
use crate::address_space::AddressSpace;
use crate::target::RawCall;

const QUERY_VALUE: u32 = ioctl_code(DIRECTION_BOTH, 0, 64);
const QUERY_VALUES_BATCH: u32 = ioctl_code(DIRECTION_BOTH, 4, 24);
const ENUM_VALUES: u32 = ioctl_code(DIRECTION_BOTH, 5, 40);
const ENUM_SUBKEYS: u32 = ioctl_code(DIRECTION_BOTH, 6, 40);
const QUERY_KEY_INFO: u32 = ioctl_code(DIRECTION_READ, 7, 64);
/// POLLIN of Linux.
const POLLIN: i64 = 0x01;
/// POLLERR and POLLHUP of Linux.
const POLL_TERMINAL: i64 = 0x08 | 0x10;
const TXN_STATUS: u32 = ioctl_code(DIRECTION_READ, 17, 8);
const GET_SECURITY: u32 = ioctl_code(DIRECTION_BOTH, 10, 16);

/// Where the outputs of a call lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Of `reg_open_key`: nowhere but in the result.
    Open,
    /// Of `reg_create_key`.
    Create {
        /// Address of the disposition; 0 for none.
        disposition: u64,
    },
    /// Of a call without outputs, and of one that does not exist.
    Done,
    /// Of `REG_IOC_QUERY_VALUE`.
    Value {
        /// Address of the argument structure.
        arguments: u64,
        /// The data buffer.
        data: Buffer,
        /// The layer name buffer.
        layer: Buffer,
    },
    /// Of `REG_IOC_QUERY_VALUES_BATCH`.
    Batch {
        /// Address of the argument structure.
        arguments: u64,
        /// The buffer.
        buffer: Buffer,
    },
    /// Of `REG_IOC_ENUM_VALUES`.
    EnumeratedValue {
        /// Address of the argument structure.
        arguments: u64,
        /// The name buffer.
        name: Buffer,
        /// The data buffer.
        data: Buffer,
    },
    /// Of `REG_IOC_ENUM_SUBKEYS`.
    EnumeratedSubkey {
        /// Address of the argument structure.
        arguments: u64,
        /// The name buffer.
        name: Buffer,
    },
    /// Of `REG_IOC_QUERY_KEY_INFO`.
    KeyInfo {
        /// Address of the argument structure.
        arguments: u64,
        /// The name buffer.
        name: Buffer,
    },
    /// Of `REG_IOC_GET_SECURITY`.
    Security {
        /// Address of the argument structure.
        arguments: u64,
        /// The buffer for the SD.
        buffer: Buffer,
    },
    /// Of passing an fd: nowhere but in the result.
    Pass,
    /// Of `read(2)`: the result says how many bytes.
    Events {
        /// The buffer.
        buffer: Buffer,
    },
    /// Of opening a stream: nowhere but in the result.
    OpenStream,
    /// Of taking what was written to a stream: the result says how many bytes there were.
    Stream {
        /// The buffer.
        buffer: Buffer,
    },
    /// Of `poll(2)`: nowhere but in the result, which is the bits of the events.
    Poll,
    /// Of `reg_begin_transaction`: nowhere but in the result.
    Begin,
    /// Of `REG_IOC_TXN_STATUS`.
    Status {
        /// Address of the argument structure.
        arguments: u64,
    },
}

/// An output buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Its address.
    pub address: u64,
    /// Its length in bytes.
    pub capacity: u32,
}

/// An answer that no conforming target can give: its parts contradict each other, or it wrote
/// where it must not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Malformed(pub String);

impl Reply {
    /// Where the outputs of a call lie that comes as numbers and bytes.
    pub fn of(call: &RawCall, memory: &AddressSpace) -> Reply {
        let reader = Reader(memory);
        match *call {
            RawCall::Syscall { number: SYSCALL_OPEN_KEY, .. } => Reply::Open,
            RawCall::Syscall { number: SYSCALL_CREATE_KEY, arguments } => Reply::Create {
                disposition: reader.u64(arguments[0].saturating_add(40)).unwrap_or(0),
            },
            RawCall::Ioctl { request, argument, .. } => {
                Reply::of_ioctl(request, argument, &reader).unwrap_or(Reply::Done)
            }
            RawCall::Pass { .. } => Reply::Pass,
            RawCall::Read { buffer, length, .. } => {
                let capacity = u32::try_from(length).unwrap_or(u32::MAX);
                Reply::Events { buffer: Buffer { address: buffer, capacity } }
            }
            RawCall::Poll { .. } => Reply::Poll,
            RawCall::OpenStream { .. } => Reply::OpenStream,
            RawCall::TakeStream { buffer, length, .. } => {
                let capacity = u32::try_from(length).unwrap_or(u32::MAX);
                Reply::Stream { buffer: Buffer { address: buffer, capacity } }
            }
            RawCall::Syscall { number: SYSCALL_BEGIN_TRANSACTION, .. } => Reply::Begin,
            RawCall::Syscall { .. } | RawCall::Close { .. } => Reply::Done,
        }
    }

    fn of_ioctl(request: u32, arguments: u64, reader: &Reader<'_>) -> Result<Reply, Malformed> {
        let buffer = |length: u64, address: u64| -> Result<Buffer, Malformed> {
            let capacity = reader.u32(arguments.saturating_add(length))?;
            let address = reader.u64(arguments.saturating_add(address))?;
            Ok(Buffer { address, capacity })
        };
        Ok(match request {
            QUERY_VALUE => {
                Reply::Value { arguments, data: buffer(20, 32)?, layer: buffer(28, 56)? }
            }
            QUERY_VALUES_BATCH => Reply::Batch { arguments, buffer: buffer(0, 8)? },
            ENUM_VALUES => {
                Reply::EnumeratedValue { arguments, name: buffer(4, 8)?, data: buffer(20, 24)? }
            }
            ENUM_SUBKEYS => Reply::EnumeratedSubkey { arguments, name: buffer(4, 8)? },
            QUERY_KEY_INFO => Reply::KeyInfo { arguments, name: buffer(0, 8)? },
            TXN_STATUS => Reply::Status { arguments },
            GET_SECURITY => Reply::Security { arguments, buffer: buffer(4, 8)? },
            _ => Reply::Done,
        })
    }

    /// Checks that an answer changed nothing but its outputs (P-33).
    ///
    /// # Errors
    /// `Malformed` names the first range that changed though it must not.
    pub fn check_changes(
        &self,
        answer: &Observation,
        before: &AddressSpace,
        after: &AddressSpace,
    ) -> Result<(), Malformed> {
        let changes = before
            .changes(after)
            .ok_or_else(|| Malformed("the memory came back mapped in another way".to_owned()))?;
        let outputs = self.outputs(answer);
        let is_output = |address: u64| {
            outputs.iter().any(|(start, length)| address.wrapping_sub(*start) < *length)
        };
        // Padding is zeroed wherever its structure is copied out (ABI-13).
        let is_zeroed = |address: u64| {
            self.is_output_padding(address, answer) && after.read(address, 1) == Ok(&[0][..])
        };
        let is_allowed = |address: u64| is_output(address) || is_zeroed(address);
        for (start, length) in changes {
            if let Some(stray) = (start..start + length).find(|address| !is_allowed(*address)) {
                let place = self.place_of(stray);
                return Err(Malformed(format!("{answer}, and memory is changed {place}")));
            }
        }
        Ok(())
    }

    /// Whether this is a byte of padding that is only written, in a structure that ERANGE copies out.
    /// Only that of `REG_IOC_QUERY_KEY_INFO` has any (§11.2).
    fn is_output_padding(&self, address: u64, answer: &Observation) -> bool {
        match (self, answer) {
            (Reply::KeyInfo { arguments, .. }, Observation::TooSmall(_)) => {
                (50..56).contains(&address.wrapping_sub(*arguments))
            }
            _ => false,
        }
    }

    /// The ranges, as address and length, that a call answered like this may change.
    fn outputs(&self, answer: &Observation) -> Vec<(u64, u64)> {
        let filled = |buffer: &Buffer, length: usize| (buffer.address, length as u64);
        match (self, answer) {
            (Reply::Create { disposition }, Observation::Opened { .. }) => vec![(*disposition, 4)],
            (Reply::Value { arguments, .. }, Observation::TooSmall(_)) => {
                vec![(arguments + 20, 4), (arguments + 48, 4)]
            }
            (
                Reply::Value { arguments, data, layer },
                Observation::Value { data: bytes, layer: name, .. },
            ) => vec![
                (arguments + 16, 8),
                (arguments + 40, 12),
                filled(data, bytes.len()),
                filled(layer, name.len()),
            ],
            (Reply::Batch { arguments, .. }, Observation::TooSmall(_)) => vec![(*arguments, 4)],
            (Reply::Batch { arguments, buffer }, Observation::Values(values)) => {
                let length =
                    values.iter().map(|value| 12 + value.name.len() + value.data.len()).sum();
                vec![(*arguments, 8), filled(buffer, length)]
            }
            (Reply::EnumeratedValue { arguments, .. }, Observation::TooSmall(_)) => {
                vec![(arguments + 4, 4), (arguments + 20, 4)]
            }
            (
                Reply::EnumeratedValue { arguments, name, data },
                Observation::EnumeratedValue(value),
            ) => vec![
                (arguments + 4, 4),
                (arguments + 16, 8),
                filled(name, value.name.len()),
                filled(data, value.data.len()),
            ],
            (Reply::EnumeratedSubkey { arguments, .. }, Observation::TooSmall(_)) => {
                vec![(arguments + 4, 4)]
            }
            (
                Reply::EnumeratedSubkey { arguments, name },
                Observation::EnumeratedSubkey { name: bytes, .. },
            ) => vec![(arguments + 4, 4), (arguments + 16, 16), filled(name, bytes.len())],
            (Reply::KeyInfo { arguments, .. }, Observation::TooSmall(_)) => vec![(*arguments, 4)],
            (Reply::KeyInfo { arguments, name }, Observation::KeyInfo(info)) => {
                vec![(*arguments, 4), (arguments + 16, 48), filled(name, info.name.len())]
            }
            (Reply::Security { arguments, .. }, Observation::TooSmall(_)) => {
                vec![(arguments + 4, 4)]
            }
            (Reply::Security { arguments, buffer }, Observation::Security(bytes)) => {
                vec![(arguments + 4, 4), filled(buffer, bytes.len())]
            }
            (Reply::Events { buffer }, Observation::Events(bytes)) => {
                vec![filled(buffer, bytes.len())]
            }
            (Reply::Stream { buffer }, Observation::Stream(bytes)) => {
                vec![filled(buffer, bytes.len())]
            }
            (Reply::Status { arguments }, Observation::TransactionStatus { .. }) => {
                vec![(*arguments, 8)]
            }
            _ => Vec::new(),
        }
    }

    /// An address in words.
    fn place_of(&self, address: u64) -> String {
        let (arguments, buffers): (u64, Vec<(&str, Buffer)>) = match *self {
            Reply::Value { arguments, data, layer } => {
                (arguments, vec![("data", data), ("layer", layer)])
            }
            Reply::Batch { arguments, buffer } => (arguments, vec![("batch", buffer)]),
            Reply::EnumeratedValue { arguments, name, data } => {
                (arguments, vec![("name", name), ("data", data)])
            }
            Reply::EnumeratedSubkey { arguments, name } | Reply::KeyInfo { arguments, name } => {
                (arguments, vec![("name", name)])
            }
            Reply::Security { arguments, buffer } => (arguments, vec![("SD", buffer)]),
            Reply::Events { buffer } => (u64::MAX, vec![("event", buffer)]),
            Reply::Stream { buffer } => (u64::MAX, vec![("stream", buffer)]),
            Reply::Status { arguments } => (arguments, Vec::new()),
            Reply::Open
            | Reply::Create { .. }
            | Reply::Pass
            | Reply::Done
            | Reply::Poll
            | Reply::OpenStream
            | Reply::Begin => (u64::MAX, Vec::new()),
        };
        for (name, buffer) in buffers {
            let offset = address.wrapping_sub(buffer.address);
            if offset < u64::from(buffer.capacity) {
                return format!("at byte {offset} of the {name} buffer");
            }
        }
        match address.checked_sub(arguments) {
            Some(offset) if offset < 64 => format!("at byte {offset} of the argument structure"),
            _ => format!("at {address:#x}"),
        }
    }

    /// Reads the answer out of the result and the memory that came back.
    ///
    /// # Errors
    /// `Malformed` when lengths exceed their buffers, padding is not zero, or the like.
    pub fn decode(&self, result: i64, memory: &AddressSpace) -> Result<Observation, Malformed> {
        let reader = Reader(memory);
        if result < 0 {
            let number = i32::try_from(-result)
                .map_err(|_| Malformed(format!("the result {result} is no errno")))?;
            return self.decode_failure(Errno::from_number(number), &reader);
        }
        let returns_value = matches!(
            self,
            Reply::Open
                | Reply::Create { .. }
                | Reply::Pass
                | Reply::Begin
                | Reply::Poll
                | Reply::Events { .. }
                | Reply::OpenStream
                | Reply::Stream { .. }
        );
        if !returns_value && result != 0 {
            return Err(Malformed(format!("success is 0, not {result}")));
        }
        self.decode_success(result, &reader)
    }

    fn decode_failure(&self, errno: Errno, reader: &Reader) -> Result<Observation, Malformed> {
        if errno != Errno::ERANGE {
            return Ok(Observation::Failed(errno));
        }
        let sizes = match self {
            Reply::Value { arguments, .. } => Sizes {
                data: Some(reader.u32(arguments + 20)?),
                layer: Some(reader.u32(arguments + 48)?),
                ..Sizes::default()
            },
            Reply::Batch { arguments, .. } => {
                Sizes { buffer: Some(reader.u32(*arguments)?), ..Sizes::default() }
            }
            Reply::EnumeratedValue { arguments, .. } => Sizes {
                name: Some(reader.u32(arguments + 4)?),
                data: Some(reader.u32(arguments + 20)?),
                ..Sizes::default()
            },
            Reply::EnumeratedSubkey { arguments, .. } => {
                Sizes { name: Some(reader.u32(arguments + 4)?), ..Sizes::default() }
            }
            Reply::KeyInfo { arguments, .. } => {
                Sizes { name: Some(reader.u32(*arguments)?), ..Sizes::default() }
            }
            Reply::Security { arguments, .. } => {
                Sizes { security: Some(reader.u32(arguments + 4)?), ..Sizes::default() }
            }
            Reply::Open
            | Reply::Create { .. }
            | Reply::Pass
            | Reply::Done
            | Reply::Events { .. }
            | Reply::OpenStream
            | Reply::Stream { .. }
            | Reply::Poll
            | Reply::Begin
            | Reply::Status { .. } => {
                return Ok(Observation::Failed(errno));
            }
        };
        Ok(Observation::TooSmall(sizes))
    }

    fn decode_success(&self, result: i64, reader: &Reader) -> Result<Observation, Malformed> {
        match self {
            Reply::Done => Ok(Observation::Done),
            Reply::Begin => Ok(Observation::Begun { fd: fd_of(result)? }),
            Reply::Poll => Ok(Observation::Polled(poll_events(result)?)),
            Reply::Events { buffer } => {
                let length = u32::try_from(result)
                    .map_err(|_| Malformed(format!("read cannot return {result}")))?;
                let bytes = reader.buffer(*buffer, length, "the result of read")?;
                super::events(&bytes)?;
                Ok(Observation::Events(bytes))
            }
            Reply::OpenStream => Ok(Observation::StreamOpened { fd: fd_of(result)? }),
            Reply::Stream { buffer } => {
                let length = u32::try_from(result)
                    .map_err(|_| Malformed(format!("a stream cannot hold {result} bytes")))?;
                reader.buffer(*buffer, length, "the stream").map(Observation::Stream)
            }
            Reply::Status { arguments } => Ok(Observation::TransactionStatus {
                state: reader.u32(*arguments)?,
                terminal_errno: reader.u32(arguments + 4)?,
            }),
            Reply::Open => Ok(Observation::Opened { fd: fd_of(result)?, disposition: None }),
            Reply::Create { disposition } => {
                let disposition = match disposition {
                    0 => None,
                    address => Some(reader.u32(*address)?),
                };
                Ok(Observation::Opened { fd: fd_of(result)?, disposition })
            }
            Reply::Value { arguments, data, layer } => {
                reader.zeros(arguments + 4, 4)?;
                reader.zeros(arguments + 52, 4)?;
                Ok(Observation::Value {
                    value_type: reader.u32(arguments + 16)?,
                    data: reader.buffer(*data, reader.u32(arguments + 20)?, "data_len")?,
                    sequence: reader.u64(arguments + 40)?,
                    layer: reader.buffer(*layer, reader.u32(arguments + 48)?, "layer_len")?,
                })
            }
            Reply::Batch { arguments, buffer } => {
                reader.zeros(arguments + 20, 4)?;
                let bytes = reader.buffer(*buffer, reader.u32(*arguments)?, "buf_len")?;
                decode_batch(&bytes, reader.u32(arguments + 4)?).map(Observation::Values)
            }
            Reply::EnumeratedValue { arguments, name, data } => {
                reader.zeros(arguments + 36, 4)?;
                Ok(Observation::EnumeratedValue(NamedValue {
                    name: reader.buffer(*name, reader.u32(arguments + 4)?, "name_len")?,
                    value_type: reader.u32(arguments + 16)?,
                    data: reader.buffer(*data, reader.u32(arguments + 20)?, "data_len")?,
                }))
            }
            Reply::EnumeratedSubkey { arguments, name } => {
                reader.zeros(arguments + 36, 4)?;
                Ok(Observation::EnumeratedSubkey {
                    name: reader.buffer(*name, reader.u32(arguments + 4)?, "name_len")?,
                    last_write_time: reader.u64(arguments + 16)?,
                    subkey_count: reader.u32(arguments + 24)?,
                    value_count: reader.u32(arguments + 28)?,
                })
            }
            Reply::KeyInfo { arguments, name } => decode_key_info(reader, *arguments, *name),
            Reply::Security { arguments, buffer } => {
                let length = reader.u32(arguments + 4)?;
                reader.buffer(*buffer, length, "sd_len").map(Observation::Security)
            }
            Reply::Pass => Ok(Observation::Passed { fd: fd_of(result)? }),
        }
    }
}

fn decode_key_info(reader: &Reader, at: u64, name: Buffer) -> Result<Observation, Malformed> {
    reader.zeros(at + 4, 4)?;
    reader.zeros(at + 50, 6)?;
    Ok(Observation::KeyInfo(KeyInfo {
        name: reader.buffer(name, reader.u32(at)?, "name_len")?,
        last_write_time: reader.u64(at + 16)?,
        subkey_count: reader.u32(at + 24)?,
        value_count: reader.u32(at + 28)?,
        max_subkey_name_len: reader.u32(at + 32)?,
        max_value_name_len: reader.u32(at + 36)?,
        max_value_data_size: reader.u32(at + 40)?,
        sd_size: reader.u32(at + 44)?,
        volatile_key: reader.bytes::<1>(at + 48)?[0],
        symlink: reader.bytes::<1>(at + 49)?[0],
        hive_generation: reader.u64(at + 56)?,
    }))
}

/// The events of a `poll(2)` on a key fd or a transaction fd; its terminal states have POLLERR and
/// POLLHUP together (§5.1).
fn poll_events(result: i64) -> Result<PollEvents, Malformed> {
    let (readable, terminal) = (result & POLLIN != 0, result & POLL_TERMINAL != 0);
    let said = if readable { POLLIN } else { 0 } | if terminal { POLL_TERMINAL } else { 0 };
    if result != said {
        return Err(Malformed(format!("poll gives {result:#x}")));
    }
    Ok(PollEvents { readable, terminal })
}

fn fd_of(result: i64) -> Result<Fd, Malformed> {
    Fd::try_from(result).map_err(|_| Malformed(format!("the result {result} is no fd")))
}

/// The packed records of a batch read (§11.2). They must fill the bytes exactly.
fn decode_batch(bytes: &[u8], count: u32) -> Result<Vec<NamedValue>, Malformed> {
    let mut rest = bytes;
    let mut values = Vec::new();
    while !rest.is_empty() {
        let name = take_counted(&mut rest)?;
        let value_type = take_u32(&mut rest)?;
        let data = take_counted(&mut rest)?;
        values.push(NamedValue { name, value_type, data });
    }
    if values.len() != count as usize {
        return Err(Malformed(format!("count is {count}, but the buffer holds {}", values.len())));
    }
    Ok(values)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, Malformed> {
    let (head, tail) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| Malformed("a record of the batch ends early".to_owned()))?;
    *rest = tail;
    Ok(u32::from_le_bytes(*head))
}

fn take_counted(rest: &mut &[u8]) -> Result<Vec<u8>, Malformed> {
    let length = take_u32(rest)? as usize;
    let (head, tail) = rest.split_at_checked(length).ok_or_else(|| {
        Malformed("a length in the batch passes the end of the buffer".to_owned())
    })?;
    *rest = tail;
    Ok(head.to_vec())
}

struct Reader<'a>(&'a AddressSpace);

impl Reader<'_> {
    fn bytes<const N: usize>(&self, address: u64) -> Result<[u8; N], Malformed> {
        self.0
            .read(address, N as u64)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| Malformed(format!("nothing is mapped at {address:#x}")))
    }
    fn u32(&self, address: u64) -> Result<u32, Malformed> {
        self.bytes(address).map(u32::from_le_bytes)
    }
    fn u64(&self, address: u64) -> Result<u64, Malformed> {
        self.bytes(address).map(u64::from_le_bytes)
    }
    fn zeros(&self, address: u64, count: u64) -> Result<(), Malformed> {
        match self.0.read(address, count) {
            Ok(bytes) if bytes.iter().all(|byte| *byte == 0) => Ok(()),
            _ => Err(Malformed("a reserved field of the answer is not zero".to_owned())),
        }
    }
    fn buffer(&self, buffer: Buffer, length: u32, field: &str) -> Result<Vec<u8>, Malformed> {
        if length > buffer.capacity {
            let capacity = buffer.capacity;
            return Err(Malformed(format!("{field} is {length} in a buffer of {capacity}")));
        }
        if length == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.0.read(buffer.address, u64::from(length));
        bytes.map(<[u8]>::to_vec).map_err(|_| Malformed(format!("{field} is not mapped")))
    }
}

#[cfg(test)]
mod tests {
    use registry_model::input::Call;

    use super::*;

    #[test]
    fn a_batch_that_ends_early_is_malformed() {
        assert!(decode_batch(&[1, 0, 0, 0, b'a', 4, 0, 0, 0, 2, 0, 0, 0, 7], 1).is_err());
        let whole = [1, 0, 0, 0, b'a', 4, 0, 0, 0, 1, 0, 0, 0, 7];
        assert_eq!(decode_batch(&whole, 1).map(|values| values.len()), Ok(1));
        assert!(decode_batch(&whole, 2).is_err());
    }

    fn probe() -> (Reply, AddressSpace) {
        let name = b"x".to_vec();
        let call =
            Call::QueryValue { fd: 3, name, transaction: -1, data_capacity: 8, layer_capacity: 8 };
        let encoded = super::super::encode(&call);
        (encoded.reply, encoded.memory)
    }

    fn stray(answer: &Observation, at: impl FnOnce(u64, Buffer) -> u64) -> Option<String> {
        let (reply, before) = probe();
        let Reply::Value { arguments, data, .. } = reply else { panic!("{reply:?}") };
        let mut after = before.clone();
        after.patch(at(arguments, data), &[1]);
        reply.check_changes(answer, &before, &after).err().map(|malformed| malformed.0)
    }

    #[test]
    fn a_change_beside_the_outputs_is_found() {
        let layer = b"base".to_vec();
        let value = Observation::Value { value_type: 3, data: vec![1; 4], sequence: 1, layer };
        assert_eq!(stray(&value, |_, data| data.address + 3), None);
        assert!(stray(&value, |_, data| data.address + 4).unwrap().ends_with("the data buffer"));
        assert_eq!(stray(&value, |arguments, _| arguments + 16), None);
        assert!(stray(&value, |arguments, _| arguments + 24).is_some());
    }

    #[test]
    fn a_descriptor_fills_its_buffer_no_further_than_its_length() {
        let call = Call::GetSecurity { fd: 3, security_info: 7, capacity: 8 };
        let encoded = super::super::encode(&call);
        let Reply::Security { arguments, buffer } = encoded.reply else { panic!() };
        let mut after = encoded.memory.clone();
        after.patch(arguments + 4, &5u32.to_le_bytes());
        after.patch(buffer.address, &[1, 2, 3, 4, 5]);
        let answer = encoded.decode(0, &after).unwrap();
        assert_eq!(answer, Observation::Security(vec![1, 2, 3, 4, 5]));
        assert_eq!(encoded.reply.check_changes(&answer, &encoded.memory, &after), Ok(()));
        let too_small = encoded.decode(-34, &after).unwrap();
        assert_eq!(too_small.to_string(), "ERANGE security=5");
        assert!(encoded.reply.check_changes(&too_small, &encoded.memory, &after).is_err());
        after.patch(buffer.address + 5, &[6]);
        assert!(encoded.reply.check_changes(&answer, &encoded.memory, &after).is_err());
        after.patch(arguments + 4, &9u32.to_le_bytes());
        assert!(encoded.decode(0, &after).is_err());
    }

    #[test]
    fn a_failure_changes_nothing_and_sizes_change_only_their_fields() {
        let failed = Observation::Failed(Errno::ENOENT);
        assert!(stray(&failed, |arguments, _| arguments + 20).is_some());
        let sizes = Observation::TooSmall(Sizes::default());
        assert_eq!(stray(&sizes, |arguments, _| arguments + 20), None);
        assert!(stray(&sizes, |arguments, _| arguments + 16).is_some());
        assert!(stray(&sizes, |_, data| data.address).is_some());
    }
}
