//! Value type codes (PSD-005 §2.5, §11.1; `VAL-34`, `VAL-44`).

/// No type.
pub const REG_NONE: u32 = 0;
/// A string.
pub const REG_SZ: u32 = 1;
/// A string with references to environment variables.
pub const REG_EXPAND_SZ: u32 = 2;
/// Bytes.
pub const REG_BINARY: u32 = 3;
/// A 32-bit integer, little-endian.
pub const REG_DWORD: u32 = 4;
/// A 32-bit integer, big-endian.
pub const REG_DWORD_BIG_ENDIAN: u32 = 5;
/// The target of a symlink.
pub const REG_LINK: u32 = 6;
/// Several strings.
pub const REG_MULTI_SZ: u32 = 7;
/// Opaque.
pub const REG_RESOURCE_LIST: u32 = 8;
/// Opaque.
pub const REG_FULL_RESOURCE_DESCRIPTOR: u32 = 9;
/// Opaque.
pub const REG_RESOURCE_REQUIREMENTS_LIST: u32 = 10;
/// A 64-bit integer, little-endian.
pub const REG_QWORD: u32 = 11;
/// A layer's statement that a value is not there. Never reaches a reader.
pub const REG_TOMBSTONE: u32 = 0xFFFF;

/// Whether the code is one of the twelve that callers may store and read.
pub const fn is_user_visible(value_type: u32) -> bool {
    value_type <= REG_QWORD
}
