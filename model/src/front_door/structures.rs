//! The argument structures, field by field.
//!
//! States PSD-005 §11.2 with the sizes, directions and numbers of §11.1: which ioctl has which
//! structure, where its fields are, and which bytes of it have to be zero. Fields that are only
//! written are not looked at.

use super::{Operation, OutputBuffer, REG_CREATE_KEY, RawCall, Results, SystemCall, UserBytes};
use crate::coverage::{Covered, covers};
use crate::errno::Errno;
use crate::input::Fd;
use crate::memory::AddressSpace;

/// What the kernel does with the argument structure, in the terms of `_IOC`: the bits above the
/// size (§1.3, CONV-06).
#[derive(Clone, Copy)]
enum Direction {
    None = 0,
    Write = 1,
    Read = 2,
    Both = 3,
}

/// `_IOC(direction, 'R', number, size)`.
const fn code(direction: Direction, number: u32, size: u32) -> u32 {
    (direction as u32) << 30 | size << 16 | 0x52 << 8 | number
}

const QUERY_VALUE: u32 = code(Direction::Both, 0, 64);
const SET_VALUE: u32 = code(Direction::Write, 1, 64);
const DELETE_VALUE: u32 = code(Direction::Write, 2, 40);
const BLANKET_TOMBSTONE: u32 = code(Direction::Write, 3, 24);
const QUERY_VALUES_BATCH: u32 = code(Direction::Both, 4, 24);
const ENUM_VALUES: u32 = code(Direction::Both, 5, 40);
const ENUM_SUBKEYS: u32 = code(Direction::Both, 6, 40);
const QUERY_KEY_INFO: u32 = code(Direction::Read, 7, 64);
const DELETE_KEY: u32 = code(Direction::Write, 8, 24);
const HIDE_KEY: u32 = code(Direction::Write, 9, 24);
const GET_SECURITY: u32 = code(Direction::Both, 10, 16);
const SET_SECURITY: u32 = code(Direction::Write, 11, 24);
const NOTIFY: u32 = code(Direction::Write, 12, 8);
const FLUSH: u32 = code(Direction::None, 13, 0);
const BACKUP: u32 = code(Direction::Write, 14, 4);
const RESTORE: u32 = code(Direction::Write, 15, 4);
const COMMIT: u32 = code(Direction::None, 16, 0);
const TXN_STATUS: u32 = code(Direction::Read, 17, 8);
/// Of the device of sources, which shares numbers with the other fds.
const REG_SRC_REGISTER: u32 = code(Direction::Write, 0, 24);

/// An argument structure in a caller's memory.
struct Structure<'m> {
    fd: Fd,
    /// Whose it is: an ioctl's, or `reg_create_key`'s.
    request: Option<u32>,
    bytes: &'m [u8],
    memory: &'m AddressSpace,
}

/// The ioctl that a request code stands for, with its arguments.
///
/// # Errors
///
/// Those of [`super::decode`].
pub(super) fn ioctl<'m>(
    fd: Fd,
    request: u32,
    argument: u64,
    memory: &'m AddressSpace,
    covered: &mut Covered,
) -> Result<SystemCall<'m>, Errno> {
    covers!(covered, "CONV-06", "CONST-02");
    if request == FLUSH {
        covers!(covered, "CONST-18");
        return Ok(SystemCall::without_results(Operation::Flush { fd }));
    }
    if request == COMMIT {
        covers!(covered, "CONST-21");
        return Ok(SystemCall::without_results(Operation::Commit { fd }));
    }
    let size = u64::from(request >> 16 & 0x3FFF);
    let read =
        |covered: &mut Covered| Structure::read(fd, Some(request), argument, size, memory, covered);
    let probes = &mut Covered::new();
    let operation = match request {
        QUERY_VALUE => query_value(&read(covered)?, probes, covered)?,
        SET_VALUE => set_value(&read(covered)?, covered)?,
        DELETE_VALUE => delete_value(&read(covered)?, covered)?,
        BLANKET_TOMBSTONE => blanket_tombstone(&read(covered)?, covered)?,
        QUERY_VALUES_BATCH => query_values_batch(&read(covered)?, probes, covered)?,
        ENUM_VALUES => enum_values(&read(covered)?, probes, covered)?,
        ENUM_SUBKEYS => enum_subkeys(&read(covered)?, probes, covered)?,
        QUERY_KEY_INFO => query_key_info(&read(covered)?, probes, covered)?,
        DELETE_KEY => delete_key(&read(covered)?, covered)?,
        HIDE_KEY => hide_key(&read(covered)?, covered)?,
        GET_SECURITY => get_security(&read(covered)?, probes, covered),
        SET_SECURITY => set_security(&read(covered)?, covered)?,
        TXN_STATUS => {
            // All of it is only written.
            covers!(covered, "CONST-22", "ABI-34");
            Operation::TransactionStatus { fd }
        }
        NOTIFY => notify(&read(covered)?, covered)?,
        BACKUP => {
            covers!(covered, "CONST-19", "ABI-32");
            Operation::Backup { fd, output: read(covered)?.i32(0) }
        }
        RESTORE => {
            covers!(covered, "CONST-20", "ABI-33");
            Operation::Restore { fd, input: read(covered)?.i32(0) }
        }
        REG_SRC_REGISTER => {
            covers!(covered, "CONST-03");
            return Err(Errno::ENOTTY);
        }
        _ => return Err(Errno::ENOTTY),
    };
    let is_read = is_read(request);
    let results = if is_read && !memory.is_writable(argument, size) {
        Results::Faulting
    } else {
        Results::Writable
    };
    Ok(SystemCall { operation, results, probes: *probes })
}

/// Whether the kernel writes to the argument structure.
fn is_read(request: u32) -> bool {
    request >> 30 & Direction::Read as u32 != 0
}

/// The transaction argument of a call that changes something, as far as its structure can be read.
pub(super) fn transaction_named(raw: &RawCall, memory: &AddressSpace) -> Option<Fd> {
    let (structure, offset) = match *raw {
        RawCall::Syscall { number: REG_CREATE_KEY, arguments } => (arguments[0], 32),
        RawCall::Ioctl { request, argument, .. } => match request {
            SET_VALUE => (argument, 48),
            DELETE_VALUE => (argument, 32),
            BLANKET_TOMBSTONE => (argument, 20),
            DELETE_KEY | HIDE_KEY | SET_SECURITY => (argument, 16),
            _ => return None,
        },
        _ => return None,
    };
    let field = memory.read(structure.checked_add(offset)?, 4).ok()?;
    Some(i32::from_le_bytes(field.try_into().ok()?))
}

/// The structure of `reg_create_key`, 48 bytes (D-20).
///
/// # Errors
///
/// EFAULT if it cannot be read, EINVAL for padding that is not zero.
pub(super) fn create_key<'m>(
    argument: u64,
    memory: &'m AddressSpace,
    covered: &mut Covered,
) -> Result<SystemCall<'m>, Errno> {
    let structure = Structure::read(0, None, argument, 48, memory, covered)?;
    structure.zero(4, 4, covered)?;
    structure.zero(36, 4, covered)?;
    let layer = match structure.u64(24) {
        0 => None,
        address => Some(memory.read_terminated(address)),
    };
    let operation = Operation::CreateKey {
        parent: structure.i32(0),
        path: memory.read_terminated(structure.u64(8)),
        desired_access: structure.u32(16),
        flags: structure.u32(20),
        layer,
        transaction: structure.i32(32),
    };
    let results = match structure.u64(40) {
        0 => Results::Unwanted,
        address if memory.is_writable(address, 4) => Results::Writable,
        _ => Results::Faulting,
    };
    Ok(SystemCall { operation, results, probes: Covered::new() })
}

/// `reg_query_value_args`, 64 bytes. Written only: type at 16, sequence at 40, layer_len at 48.
fn query_value<'m>(
    structure: &Structure<'m>,
    probes: &mut Covered,
    covered: &mut Covered,
) -> Result<Operation<'m>, Errno> {
    covers!(covered, "CONST-05", "ABI-16");
    structure.zero(4, 4, covered)?;
    structure.zero(52, 4, covered)?;
    Ok(Operation::QueryValue {
        fd: structure.fd,
        name: structure.input(0, 8),
        transaction: structure.i32(24),
        data: structure.output(20, 32, probes),
        layer: structure.output(28, 56, probes),
    })
}

/// `reg_set_value_args`, 64 bytes.
fn set_value<'m>(structure: &Structure<'m>, covered: &mut Covered) -> Result<Operation<'m>, Errno> {
    covers!(covered, "CONST-06", "ABI-18");
    structure.zero(4, 4, covered)?;
    structure.zero(36, 4, covered)?;
    structure.zero(52, 4, covered)?;
    Ok(Operation::SetValue {
        fd: structure.fd,
        name: structure.input(0, 8),
        value_type: structure.u32(16),
        data: structure.input(20, 24),
        layer: structure.input(32, 40),
        transaction: structure.i32(48),
        expected_sequence: structure.u64(56),
    })
}

/// `reg_delete_value_args`, 40 bytes.
fn delete_value<'m>(
    structure: &Structure<'m>,
    covered: &mut Covered,
) -> Result<Operation<'m>, Errno> {
    covers!(covered, "CONST-07", "ABI-20");
    structure.zero(4, 4, covered)?;
    structure.zero(20, 4, covered)?;
    structure.zero(36, 4, covered)?;
    Ok(Operation::DeleteValue {
        fd: structure.fd,
        name: structure.input(0, 8),
        layer: structure.input(16, 24),
        transaction: structure.i32(32),
    })
}

/// `reg_blanket_tombstone_args`, 24 bytes.
fn blanket_tombstone<'m>(
    structure: &Structure<'m>,
    covered: &mut Covered,
) -> Result<Operation<'m>, Errno> {
    covers!(covered, "CONST-08", "ABI-21");
    structure.zero(4, 4, covered)?;
    structure.zero(17, 3, covered)?;
    Ok(Operation::BlanketTombstone {
        fd: structure.fd,
        layer: structure.input(0, 8),
        set: structure.bytes[16],
        transaction: structure.i32(20),
    })
}

/// `reg_query_values_batch_args`, 24 bytes. Written only: count at 4.
fn query_values_batch<'m>(
    structure: &Structure<'m>,
    probes: &mut Covered,
    covered: &mut Covered,
) -> Result<Operation<'m>, Errno> {
    covers!(covered, "CONST-09", "ABI-22");
    structure.zero(20, 4, covered)?;
    Ok(Operation::QueryValuesBatch {
        fd: structure.fd,
        buffer: structure.output(0, 8, probes),
        transaction: structure.i32(16),
    })
}

/// `reg_enum_value_args`, 40 bytes. Written only: type at 16.
fn enum_values<'m>(
    structure: &Structure<'m>,
    probes: &mut Covered,
    covered: &mut Covered,
) -> Result<Operation<'m>, Errno> {
    covers!(covered, "CONST-10", "ABI-24");
    structure.zero(36, 4, covered)?;
    Ok(Operation::EnumValues {
        fd: structure.fd,
        index: structure.u32(0),
        name: structure.output(4, 8, probes),
        data: structure.output(20, 24, probes),
        transaction: structure.i32(32),
    })
}

/// `reg_enum_subkey_args`, 40 bytes. Written only: last_write_time at 16, subkey_count at 24,
/// value_count at 28.
fn enum_subkeys<'m>(
    structure: &Structure<'m>,
    probes: &mut Covered,
    covered: &mut Covered,
) -> Result<Operation<'m>, Errno> {
    covers!(covered, "CONST-11", "ABI-25");
    structure.zero(36, 4, covered)?;
    Ok(Operation::EnumSubkeys {
        fd: structure.fd,
        index: structure.u32(0),
        name: structure.output(4, 8, probes),
        transaction: structure.i32(32),
    })
}

/// `reg_query_key_info_args`, 64 bytes. Written only: everything from 16 on, the padding at 50
/// included.
fn query_key_info<'m>(
    structure: &Structure<'m>,
    probes: &mut Covered,
    covered: &mut Covered,
) -> Result<Operation<'m>, Errno> {
    covers!(covered, "CONST-12", "ABI-26");
    structure.zero(4, 4, covered)?;
    Ok(Operation::QueryKeyInfo { fd: structure.fd, name: structure.output(0, 8, probes) })
}

/// `reg_delete_key_args`, 24 bytes.
fn delete_key<'m>(
    structure: &Structure<'m>,
    covered: &mut Covered,
) -> Result<Operation<'m>, Errno> {
    covers!(covered, "CONST-13", "ABI-27");
    let (fd, layer, transaction) = structure.layer_and_transaction(covered)?;
    Ok(Operation::DeleteKey { fd, layer, transaction })
}

/// `reg_hide_key_args`, 24 bytes.
fn hide_key<'m>(structure: &Structure<'m>, covered: &mut Covered) -> Result<Operation<'m>, Errno> {
    covers!(covered, "CONST-14", "ABI-28");
    let (fd, layer, transaction) = structure.layer_and_transaction(covered)?;
    Ok(Operation::HideKey { fd, layer, transaction })
}

/// `reg_get_security_args`, 16 bytes.
fn get_security<'m>(
    structure: &Structure<'m>,
    probes: &mut Covered,
    covered: &mut Covered,
) -> Operation<'m> {
    covers!(covered, "CONST-15", "ABI-29");
    Operation::GetSecurity {
        fd: structure.fd,
        security_info: structure.u32(0),
        buffer: structure.output(4, 8, probes),
    }
}

/// `reg_set_security_args`, 24 bytes.
fn set_security<'m>(
    structure: &Structure<'m>,
    covered: &mut Covered,
) -> Result<Operation<'m>, Errno> {
    covers!(covered, "CONST-16", "ABI-30");
    structure.zero(20, 4, covered)?;
    Ok(Operation::SetSecurity {
        fd: structure.fd,
        security_info: structure.u32(0),
        descriptor: structure.input(4, 8),
        transaction: structure.i32(16),
    })
}

/// `reg_notify_args`, 8 bytes.
fn notify<'m>(structure: &Structure<'m>, covered: &mut Covered) -> Result<Operation<'m>, Errno> {
    covers!(covered, "CONST-17", "ABI-31");
    structure.zero(5, 3, covered)?;
    Ok(Operation::Notify {
        fd: structure.fd,
        filter: structure.u32(0),
        subtree: structure.bytes[4],
    })
}

impl<'m> Structure<'m> {
    fn read(
        fd: Fd,
        request: Option<u32>,
        argument: u64,
        size: u64,
        memory: &'m AddressSpace,
        covered: &mut Covered,
    ) -> Result<Structure<'m>, Errno> {
        match memory.read(argument, size) {
            Ok(bytes) => {
                covers!(covered, "ABI-02", "CONV-07");
                Ok(Structure { fd, request, bytes, memory })
            }
            Err(_) => {
                covers!(covered, "ERR-17");
                if request.is_some() {
                    covers!(covered, "BUF-11", "ERR-02");
                }
                Err(Errno::EFAULT)
            }
        }
    }

    /// What `reg_delete_key_args` and `reg_hide_key_args` hold.
    fn layer_and_transaction(
        &self,
        covered: &mut Covered,
    ) -> Result<(Fd, UserBytes<'m>, Fd), Errno> {
        self.zero(4, 4, covered)?;
        self.zero(20, 4, covered)?;
        Ok((self.fd, self.input(0, 8), self.i32(16)))
    }

    /// Padding that a caller has to leave zero (§11.2, "Reserved and padding fields").
    fn zero(&self, offset: usize, size: usize, covered: &mut Covered) -> Result<(), Errno> {
        if self.bytes[offset..offset + size].iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        covers!(covered, "ABI-01", "ABI-07", "ABI-08", "ABI-09", "ERR-14");
        if self.takes_number() {
            covers!(covered, "ABI-11");
        }
        if self.request.is_none_or(is_read) {
            covers!(covered, "ABI-12");
        }
        Err(Errno::EINVAL)
    }

    /// Whether the call would be given a sequence number (D-31).
    fn takes_number(&self) -> bool {
        match self.request {
            None | Some(SET_VALUE | HIDE_KEY) => true,
            Some(BLANKET_TOMBSTONE) => self.bytes[16] == 1,
            Some(_) => false,
        }
    }

    /// Bytes that the caller passes, by the offsets of their length and of their address. None
    /// are never faulting (P-32).
    fn input(&self, length: usize, address: usize) -> UserBytes<'m> {
        let (length, address) = (self.u32(length), self.u64(address));
        if length == 0 {
            return UserBytes::Readable(&[]);
        }
        match self.memory.read(address, u64::from(length)) {
            Ok(bytes) => UserBytes::Readable(bytes),
            Err(_) => UserBytes::Faulting { length },
        }
    }

    /// A buffer that the kernel writes to, by the offsets of its length and of its address.
    fn output(&self, length: usize, address: usize, probes: &mut Covered) -> OutputBuffer {
        let (capacity, address) = (self.u32(length), self.u64(address));
        if capacity == 0 {
            covers!(probes, "ERR-18");
            match address {
                0 => covers!(probes, "BUF-02"),
                _ => covers!(probes, "BUF-03"),
            }
            return OutputBuffer { capacity, is_writable: true };
        }
        let is_writable = self.memory.is_writable(address, u64::from(capacity));
        OutputBuffer { capacity, is_writable }
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.field(offset))
    }

    fn i32(&self, offset: usize) -> i32 {
        i32::from_le_bytes(self.field(offset))
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.field(offset))
    }

    fn field<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[offset..offset + N]);
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_codes_are_those_of_the_kernels_macro() {
        let codes = [
            (QUERY_VALUE, 0xC040_5200),
            (SET_VALUE, 0x4040_5201),
            (DELETE_VALUE, 0x4028_5202),
            (BLANKET_TOMBSTONE, 0x4018_5203),
            (QUERY_VALUES_BATCH, 0xC018_5204),
            (ENUM_VALUES, 0xC028_5205),
            (ENUM_SUBKEYS, 0xC028_5206),
            (QUERY_KEY_INFO, 0x8040_5207),
            (DELETE_KEY, 0x4018_5208),
            (HIDE_KEY, 0x4018_5209),
            (GET_SECURITY, 0xC010_520A),
            (SET_SECURITY, 0x4018_520B),
            (NOTIFY, 0x4008_520C),
            (FLUSH, 0x0000_520D),
            (COMMIT, 0x0000_5210),
            (TXN_STATUS, 0x8008_5211),
        ];
        for (code, expected) in codes {
            assert_eq!(code, expected, "{code:#x}");
        }
    }
}
