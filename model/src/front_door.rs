//! The front door: a call as numbers and bytes, and what they say.
//!
//! States PSD-005 §6.1 (which fds take which calls), the argument lists of §6.2 (with D-20), the
//! ioctl codes of §1.3 and §11.1, and the pointers of §6.3 ("Variable-size output buffers"). The
//! argument structures of §11.2 are in `structures`. What a call asks of the registry is the
//! chapters' business; they are told which of its pointers are bad, and say when that matters.

mod structures;

use std::sync::Arc;

use crate::coverage::{Covered, covers};
use crate::errno::Errno;
use crate::input::{Call, Fd, ProcessId, StreamAccess};
use crate::memory::{AddressSpace, Fault};
use crate::outcome::Outcome;
use crate::step::Work;
use crate::transactions::enlistment;

/// Number of `reg_open_key`.
pub const REG_OPEN_KEY: u64 = 1100;
/// Number of `reg_create_key`.
pub const REG_CREATE_KEY: u64 = 1101;
/// Number of `reg_begin_transaction`.
pub const REG_BEGIN_TRANSACTION: u64 = 1102;

/// A call as it reaches the kernel, or as the harness makes it beside the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawCall {
    /// `syscall(2)`.
    Syscall {
        /// The number.
        number: u64,
        /// The arguments, of which a call may use the first few.
        arguments: [u64; 6],
    },
    /// `ioctl(2)`.
    Ioctl {
        /// The fd.
        fd: Fd,
        /// The request code.
        request: u32,
        /// The third argument.
        argument: u64,
    },
    /// `read(2)` on an fd that does not block.
    Read {
        /// The fd.
        fd: Fd,
        /// Where to.
        buffer: u64,
        /// How many bytes at most.
        length: u64,
    },
    /// `poll(2)` without waiting, for every event there is.
    Poll {
        /// The fd.
        fd: Fd,
    },
    /// The passing of an fd to a process.
    Pass {
        /// The fd.
        fd: Fd,
        /// The process that gets one.
        to: ProcessId,
    },
    /// `close(2)`.
    Close {
        /// The fd.
        fd: Fd,
    },
    /// The opening of a stream by the harness.
    OpenStream {
        /// In which mode it is open.
        access: StreamAccess,
        /// What can be read from it.
        contents: Arc<[u8]>,
    },
    /// The taking of the bytes that were written to a stream: as many as fit are copied, and the result
    /// is how many there were.
    TakeStream {
        /// The stream.
        fd: Fd,
        /// Where to.
        buffer: u64,
        /// How many bytes at most.
        length: u64,
    },
}

/// A call whose numbers and argument structure have been read and are in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemCall<'a> {
    /// What it asks for.
    pub operation: Operation<'a>,
    /// Where its answer goes beside the fd and the buffers.
    pub results: Results,
    /// What its size probes show unless it fails.
    pub(crate) probes: Covered,
}

/// What a call asks for: a [`Call`] of which any pointer may be bad. The fields are those of
/// `Call`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "variants and fields are those of Call")]
pub enum Operation<'a> {
    OpenKey {
        parent: Fd,
        path: UserString<'a>,
        desired_access: u32,
        flags: u32,
    },
    CreateKey {
        parent: Fd,
        path: UserString<'a>,
        desired_access: u32,
        flags: u32,
        layer: Option<UserString<'a>>,
        transaction: Fd,
    },
    QueryValue {
        fd: Fd,
        name: UserBytes<'a>,
        transaction: Fd,
        data: OutputBuffer,
        layer: OutputBuffer,
    },
    SetValue {
        fd: Fd,
        name: UserBytes<'a>,
        value_type: u32,
        data: UserBytes<'a>,
        layer: UserBytes<'a>,
        transaction: Fd,
        expected_sequence: u64,
    },
    DeleteValue {
        fd: Fd,
        name: UserBytes<'a>,
        layer: UserBytes<'a>,
        transaction: Fd,
    },
    BlanketTombstone {
        fd: Fd,
        layer: UserBytes<'a>,
        set: u8,
        transaction: Fd,
    },
    QueryValuesBatch {
        fd: Fd,
        buffer: OutputBuffer,
        transaction: Fd,
    },
    EnumValues {
        fd: Fd,
        index: u32,
        name: OutputBuffer,
        data: OutputBuffer,
        transaction: Fd,
    },
    EnumSubkeys {
        fd: Fd,
        index: u32,
        name: OutputBuffer,
        transaction: Fd,
    },
    QueryKeyInfo {
        fd: Fd,
        name: OutputBuffer,
    },
    DeleteKey {
        fd: Fd,
        layer: UserBytes<'a>,
        transaction: Fd,
    },
    HideKey {
        fd: Fd,
        layer: UserBytes<'a>,
        transaction: Fd,
    },
    GetSecurity {
        fd: Fd,
        security_info: u32,
        buffer: OutputBuffer,
    },
    SetSecurity {
        fd: Fd,
        security_info: u32,
        descriptor: UserBytes<'a>,
        transaction: Fd,
    },
    Flush {
        fd: Fd,
    },
    Notify {
        fd: Fd,
        filter: u32,
        subtree: u8,
    },
    ReadEvents {
        fd: Fd,
        buffer: OutputBuffer,
    },
    Poll {
        fd: Fd,
    },
    BeginTransaction,
    Commit {
        fd: Fd,
    },
    TransactionStatus {
        fd: Fd,
    },
    Pass {
        fd: Fd,
        to: ProcessId,
    },
    Close {
        fd: Fd,
    },
    OpenStream {
        access: StreamAccess,
        contents: &'a Arc<[u8]>,
    },
    TakeStream {
        fd: Fd,
    },
    Backup {
        fd: Fd,
        output: Fd,
    },
    Restore {
        fd: Fd,
        input: Fd,
    },
}

/// A string that a syscall passes by address alone: its bytes without the null byte that ends it,
/// or the fault that comes before one (§1.3).
pub type UserString<'a> = Result<&'a [u8], Fault>;

/// Bytes that an ioctl passes by length and address (§11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserBytes<'a> {
    /// The bytes.
    Readable(&'a [u8]),
    /// Some of them cannot be read.
    Faulting {
        /// How many there should be.
        length: u32,
    },
}

impl<'a> UserBytes<'a> {
    /// The bytes, none if they cannot be read.
    pub fn readable(&self) -> &'a [u8] {
        match self {
            UserBytes::Readable(bytes) => bytes,
            UserBytes::Faulting { .. } => &[],
        }
    }

    /// How many bytes there should be.
    pub fn length(&self) -> usize {
        match self {
            UserBytes::Readable(bytes) => bytes.len(),
            UserBytes::Faulting { length } => *length as usize,
        }
    }
}

/// A buffer that an ioctl writes to (§6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputBuffer {
    /// Its length in bytes; 0 is a size probe.
    pub capacity: u32,
    /// Whether all of it can be written. So it is of a size probe, whatever its pointer.
    pub is_writable: bool,
}

/// Where a call's answer goes beside the fd and the buffers: the argument structure of an ioctl
/// that reads, the disposition of `reg_create_key`. They are checked like a buffer (P-31).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Results {
    /// They can be written, or the call has none.
    Writable,
    /// The caller does not want them: a disposition pointer that is null.
    Unwanted,
    /// They cannot be written.
    Faulting,
}

/// A call that fails whatever the state of the registry, once its fd is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The fd of an ioctl.
    pub fd: Option<Fd>,
    /// How it fails.
    pub errno: Errno,
}

/// Reads the numbers and the argument structure of a call.
///
/// # Errors
///
/// ENOSYS for a syscall that the registry does not have. For an ioctl, in this order (P-30): ENOTTY
/// for a request that neither key fds nor transaction fds have, EFAULT for an argument structure that cannot be read,
/// EINVAL for padding that is not zero.
pub fn decode<'m>(
    raw: &'m RawCall,
    memory: &'m AddressSpace,
    covered: &mut Covered,
) -> Result<SystemCall<'m>, Refused> {
    match *raw {
        RawCall::Syscall { number, arguments } => syscall(number, &arguments, memory, covered)
            .map_err(|errno| Refused { fd: None, errno }),
        RawCall::Ioctl { fd, request, argument } => {
            structures::ioctl(fd, request, argument, memory, covered)
                .map_err(|errno| Refused { fd: Some(fd), errno })
        }
        RawCall::Read { fd, buffer, length } => {
            let capacity = u32::try_from(length).unwrap_or(u32::MAX);
            // Nothing is written there (P-281).
            let is_writable = length == 0 || memory.is_writable(buffer, length);
            let buffer = OutputBuffer { capacity, is_writable };
            Ok(SystemCall::without_results(Operation::ReadEvents { fd, buffer }))
        }
        RawCall::Poll { fd } => Ok(SystemCall::without_results(Operation::Poll { fd })),
        RawCall::Pass { fd, to } => Ok(SystemCall::without_results(Operation::Pass { fd, to })),
        RawCall::Close { fd } => Ok(SystemCall::without_results(Operation::Close { fd })),
        RawCall::OpenStream { access, ref contents } => {
            Ok(SystemCall::without_results(Operation::OpenStream { access, contents }))
        }
        RawCall::TakeStream { fd, .. } => {
            Ok(SystemCall::without_results(Operation::TakeStream { fd }))
        }
    }
}

/// The arguments of a syscall. One of 32 bits is the low half of its register (P-30).
fn syscall<'m>(
    number: u64,
    arguments: &[u64; 6],
    memory: &'m AddressSpace,
    covered: &mut Covered,
) -> Result<SystemCall<'m>, Errno> {
    covers!(covered, "CONST-01");
    match number {
        REG_OPEN_KEY => {
            covers!(covered, "SYS-13", "SYS-14", "CONV-22");
            Ok(SystemCall::without_results(Operation::OpenKey {
                parent: low_half(arguments[0]).cast_signed(),
                path: memory.read_terminated(arguments[1]),
                desired_access: low_half(arguments[2]),
                flags: low_half(arguments[3]),
            }))
        }
        REG_CREATE_KEY => {
            covers!(covered, "SYS-50", "SYS-51", "SYS-52");
            structures::create_key(arguments[0], memory, covered)
        }
        REG_BEGIN_TRANSACTION => {
            covers!(covered, "SYS-89");
            Ok(SystemCall::without_results(Operation::BeginTransaction))
        }
        _ => Err(Errno::ENOSYS),
    }
}

fn low_half(register: u64) -> u32 {
    (register & u64::from(u32::MAX)) as u32
}

/// Makes a call that came as numbers and bytes.
pub(crate) fn perform(
    work: &mut Work<'_>,
    raw: &RawCall,
    memory: &AddressSpace,
    operate: impl FnOnce(&mut Work<'_>, &Operation<'_>) -> Result<Outcome, Errno>,
) -> Result<Outcome, Errno> {
    let mut covered = Covered::new();
    let decoded = decode(raw, memory, &mut covered);
    if let Err(Refused { fd: Some(fd), errno }) = &decoded {
        let is_number_of_none = *errno == Errno::ENOTTY && !covered.contains("CONST-03");
        if !is_number_of_none || !work.state.is_fd(work.caller.process, *fd) {
            crate::abi::key_fd(work, *fd)?;
        }
    }
    work.covered.add(&covered);
    mark_padding(work, raw, memory, &decoded);
    let result = decoded.map_err(|refused| refused.errno).and_then(|call| {
        work.results = call.results;
        let outcome = operate(work, &call.operation)?;
        work.covered.add(&call.probes);
        Ok(outcome)
    });
    match result.inspect_err(|_| covers!(work.covered, "ERR-11"))? {
        Outcome::Opened(mut opened) if work.results == Results::Unwanted => {
            covers!(work.covered, "SYS-56");
            opened.disposition = None;
            Ok(Outcome::Opened(opened))
        }
        outcome => Ok(outcome),
    }
}

/// Padding is looked at before the transaction that the call names.
fn mark_padding(
    work: &mut Work<'_>,
    raw: &RawCall,
    memory: &AddressSpace,
    decoded: &Result<SystemCall<'_>, Refused>,
) {
    if matches!(decoded, Err(Refused { errno: Errno::EINVAL, .. }))
        && structures::transaction_named(raw, memory)
            .is_some_and(|fd| enlistment::is_unbound(work, fd))
    {
        covers!(work.covered, "ABI-10");
    }
}

impl<'a> SystemCall<'a> {
    fn without_results(operation: Operation<'a>) -> SystemCall<'a> {
        SystemCall { operation, results: Results::Writable, probes: Covered::new() }
    }
}

impl<'a> From<&'a Call> for Operation<'a> {
    /// The call with all its pointers good.
    fn from(call: &'a Call) -> Operation<'a> {
        let string =
            |bytes: &'a Vec<u8>| Ok(bytes.split(|byte| *byte == 0).next().unwrap_or(bytes));
        let good = |bytes: &'a Vec<u8>| UserBytes::Readable(bytes);
        let room = |capacity: &u32| OutputBuffer { capacity: *capacity, is_writable: true };
        match call {
            Call::OpenKey { parent, path, desired_access, flags } => Operation::OpenKey {
                parent: *parent,
                path: string(path),
                desired_access: *desired_access,
                flags: *flags,
            },
            Call::CreateKey { parent, path, desired_access, flags, layer, transaction } => {
                Operation::CreateKey {
                    parent: *parent,
                    path: string(path),
                    desired_access: *desired_access,
                    flags: *flags,
                    layer: layer.as_ref().map(string),
                    transaction: *transaction,
                }
            }
            Call::QueryValue { fd, name, transaction, data_capacity, layer_capacity } => {
                Operation::QueryValue {
                    fd: *fd,
                    name: good(name),
                    transaction: *transaction,
                    data: room(data_capacity),
                    layer: room(layer_capacity),
                }
            }
            Call::SetValue {
                fd,
                name,
                value_type,
                data,
                layer,
                transaction,
                expected_sequence,
            } => Operation::SetValue {
                fd: *fd,
                name: good(name),
                value_type: *value_type,
                data: good(data),
                layer: good(layer),
                transaction: *transaction,
                expected_sequence: *expected_sequence,
            },
            Call::DeleteValue { fd, name, layer, transaction } => Operation::DeleteValue {
                fd: *fd,
                name: good(name),
                layer: good(layer),
                transaction: *transaction,
            },
            Call::BlanketTombstone { fd, layer, set, transaction } => Operation::BlanketTombstone {
                fd: *fd,
                layer: good(layer),
                set: *set,
                transaction: *transaction,
            },
            Call::QueryValuesBatch { fd, capacity, transaction } => Operation::QueryValuesBatch {
                fd: *fd,
                buffer: room(capacity),
                transaction: *transaction,
            },
            Call::EnumValues { fd, index, name_capacity, data_capacity, transaction } => {
                Operation::EnumValues {
                    fd: *fd,
                    index: *index,
                    name: room(name_capacity),
                    data: room(data_capacity),
                    transaction: *transaction,
                }
            }
            Call::EnumSubkeys { fd, index, name_capacity, transaction } => Operation::EnumSubkeys {
                fd: *fd,
                index: *index,
                name: room(name_capacity),
                transaction: *transaction,
            },
            Call::QueryKeyInfo { fd, name_capacity } => {
                Operation::QueryKeyInfo { fd: *fd, name: room(name_capacity) }
            }
            Call::DeleteKey { fd, layer, transaction } => {
                Operation::DeleteKey { fd: *fd, layer: good(layer), transaction: *transaction }
            }
            Call::HideKey { fd, layer, transaction } => {
                Operation::HideKey { fd: *fd, layer: good(layer), transaction: *transaction }
            }
            Call::GetSecurity { fd, security_info, capacity } => Operation::GetSecurity {
                fd: *fd,
                security_info: *security_info,
                buffer: room(capacity),
            },
            Call::SetSecurity { fd, security_info, descriptor, transaction } => {
                Operation::SetSecurity {
                    fd: *fd,
                    security_info: *security_info,
                    descriptor: good(descriptor),
                    transaction: *transaction,
                }
            }
            Call::Notify { fd, filter, subtree } => {
                Operation::Notify { fd: *fd, filter: *filter, subtree: *subtree }
            }
            Call::ReadEvents { fd, capacity } => {
                Operation::ReadEvents { fd: *fd, buffer: room(capacity) }
            }
            Call::Poll { fd } => Operation::Poll { fd: *fd },
            Call::BeginTransaction => Operation::BeginTransaction,
            Call::Commit { fd } => Operation::Commit { fd: *fd },
            Call::TransactionStatus { fd } => Operation::TransactionStatus { fd: *fd },
            Call::Pass { fd, to } => Operation::Pass { fd: *fd, to: *to },
            Call::Flush { fd } => Operation::Flush { fd: *fd },
            Call::Close { fd } => Operation::Close { fd: *fd },
            Call::OpenStream { access, contents } => {
                Operation::OpenStream { access: *access, contents }
            }
            Call::TakeStream { fd } => Operation::TakeStream { fd: *fd },
            Call::Backup { fd, output } => Operation::Backup { fd: *fd, output: *output },
            Call::Restore { fd, input } => Operation::Restore { fd: *fd, input: *input },
        }
    }
}
