//! Ioctl request codes (PSD-005 §1.3, §11.1; `CONV-06`, `CONST-02`..`CONST-22`).

use crate::layout;

/// The type byte of every registry ioctl.
pub const TYPE: u8 = b'R';

const NONE: u32 = 0;
const WRITE: u32 = 1;
const READ: u32 = 2;

/// Linux's `_IOC(direction, 'R', number, size)`.
const fn code(direction: u32, number: u8, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | (TYPE as u32) << 8 | number as u32
}

/// Registers hives; on a source device.
pub const REG_SRC_REGISTER: u32 = code(WRITE, 0, layout::SourceRegisterArgs::SIZE);
/// Reads an effective value.
pub const REG_IOC_QUERY_VALUE: u32 = code(READ | WRITE, 0, layout::QueryValueArgs::SIZE);
/// Writes a layer's entry of a value.
pub const REG_IOC_SET_VALUE: u32 = code(WRITE, 1, layout::SetValueArgs::SIZE);
/// Removes a layer's entry of a value.
pub const REG_IOC_DELETE_VALUE: u32 = code(WRITE, 2, layout::DeleteValueArgs::SIZE);
/// Sets or removes a blanket tombstone.
pub const REG_IOC_BLANKET_TOMBSTONE: u32 = code(WRITE, 3, layout::BlanketTombstoneArgs::SIZE);
/// Reads all effective values.
pub const REG_IOC_QUERY_VALUES_BATCH: u32 =
    code(READ | WRITE, 4, layout::QueryValuesBatchArgs::SIZE);
/// Reads the effective value at an index.
pub const REG_IOC_ENUM_VALUES: u32 = code(READ | WRITE, 5, layout::EnumValueArgs::SIZE);
/// Reads the visible subkey at an index.
pub const REG_IOC_ENUM_SUBKEYS: u32 = code(READ | WRITE, 6, layout::EnumSubkeyArgs::SIZE);
/// Reads a key's metadata.
pub const REG_IOC_QUERY_KEY_INFO: u32 = code(READ, 7, layout::QueryKeyInfoArgs::SIZE);
/// Removes a layer's path entry of a key.
pub const REG_IOC_DELETE_KEY: u32 = code(WRITE, 8, layout::DeleteKeyArgs::SIZE);
/// Makes a layer's path entry of a key HIDDEN.
pub const REG_IOC_HIDE_KEY: u32 = code(WRITE, 9, layout::HideKeyArgs::SIZE);
/// Reads a key's security descriptor.
pub const REG_IOC_GET_SECURITY: u32 = code(READ | WRITE, 10, layout::GetSecurityArgs::SIZE);
/// Changes a key's security descriptor.
pub const REG_IOC_SET_SECURITY: u32 = code(WRITE, 11, layout::SetSecurityArgs::SIZE);
/// Arms a watch.
pub const REG_IOC_NOTIFY: u32 = code(WRITE, 12, layout::NotifyArgs::SIZE);
/// Makes a hive durable.
pub const REG_IOC_FLUSH: u32 = code(NONE, 13, 0);
/// Exports a subtree.
pub const REG_IOC_BACKUP: u32 = code(WRITE, 14, layout::BackupArgs::SIZE);
/// Imports a subtree.
pub const REG_IOC_RESTORE: u32 = code(WRITE, 15, layout::RestoreArgs::SIZE);
/// Commits a transaction; on a transaction fd.
pub const REG_IOC_COMMIT: u32 = code(NONE, 16, 0);
/// Reads a transaction's state; on a transaction fd.
pub const REG_IOC_TXN_STATUS: u32 = code(READ, 17, layout::TransactionStatusArgs::SIZE);

// The encoded numbers as a C caller would see them.
const _: () = {
    assert!(REG_SRC_REGISTER == 0x4018_5200);
    assert!(REG_IOC_QUERY_VALUE == 0xC040_5200);
    assert!(REG_IOC_SET_VALUE == 0x4040_5201);
    assert!(REG_IOC_DELETE_VALUE == 0x4028_5202);
    assert!(REG_IOC_BLANKET_TOMBSTONE == 0x4018_5203);
    assert!(REG_IOC_QUERY_VALUES_BATCH == 0xC018_5204);
    assert!(REG_IOC_ENUM_VALUES == 0xC028_5205);
    assert!(REG_IOC_ENUM_SUBKEYS == 0xC028_5206);
    assert!(REG_IOC_QUERY_KEY_INFO == 0x8040_5207);
    assert!(REG_IOC_DELETE_KEY == 0x4018_5208);
    assert!(REG_IOC_HIDE_KEY == 0x4018_5209);
    assert!(REG_IOC_GET_SECURITY == 0xC010_520A);
    assert!(REG_IOC_SET_SECURITY == 0x4018_520B);
    assert!(REG_IOC_NOTIFY == 0x4008_520C);
    assert!(REG_IOC_FLUSH == 0x0000_520D);
    assert!(REG_IOC_BACKUP == 0x4004_520E);
    assert!(REG_IOC_RESTORE == 0x4004_520F);
    assert!(REG_IOC_COMMIT == 0x0000_5210);
    assert!(REG_IOC_TXN_STATUS == 0x8008_5211);
};
