//! Access rights and the masks that validate them (PSD-005 §3.1, §11.1; `CONST-27`..`CONST-37`).

/// Read values.
pub const KEY_QUERY_VALUE: u32 = 0x0001;
/// Write and delete values.
pub const KEY_SET_VALUE: u32 = 0x0002;
/// Create child keys.
pub const KEY_CREATE_SUB_KEY: u32 = 0x0004;
/// Enumerate child keys.
pub const KEY_ENUMERATE_SUB_KEYS: u32 = 0x0008;
/// Subscribe to watches.
pub const KEY_NOTIFY: u32 = 0x0010;
/// Create symlink keys.
pub const KEY_CREATE_LINK: u32 = 0x0020;
/// Delete or hide the key.
pub const DELETE: u32 = 0x0001_0000;
/// Read the owner, group and DACL, and the key's metadata.
pub const READ_CONTROL: u32 = 0x0002_0000;
/// Modify the DACL.
pub const WRITE_DAC: u32 = 0x0004_0000;
/// Change the owner.
pub const WRITE_OWNER: u32 = 0x0008_0000;
/// Read or modify the SACL.
pub const ACCESS_SYSTEM_SECURITY: u32 = 0x0100_0000;
/// Asks for everything the descriptor grants.
pub const MAXIMUM_ALLOWED: u32 = 0x0200_0000;
/// Maps to [`KEY_ALL_ACCESS`].
pub const GENERIC_ALL: u32 = 0x1000_0000;
/// Maps to nothing.
pub const GENERIC_EXECUTE: u32 = 0x2000_0000;
/// Maps to [`KEY_WRITE`].
pub const GENERIC_WRITE: u32 = 0x4000_0000;
/// Maps to [`KEY_READ`].
pub const GENERIC_READ: u32 = 0x8000_0000;

/// What a reader needs.
pub const KEY_READ: u32 = KEY_QUERY_VALUE | KEY_ENUMERATE_SUB_KEYS | KEY_NOTIFY | READ_CONTROL;
/// What a writer needs.
pub const KEY_WRITE: u32 = KEY_SET_VALUE | KEY_CREATE_SUB_KEY | READ_CONTROL;
/// Every specific and every standard right.
pub const KEY_ALL_ACCESS: u32 = 0x000F_003F;

/// Bits a caller may ask for, before generic mapping.
pub const REG_VALID_DESIRED_ACCESS_MASK: u32 = 0xF30F_003F;
/// Bits that are rights once generic bits are mapped.
pub const REG_VALID_MAPPED_ACCESS_MASK: u32 = 0x010F_003F;
/// Bits an access control entry may hold, before generic mapping.
pub const REG_VALID_ACE_ACCESS_MASK: u32 = 0xF10F_003F;

const _: () = {
    assert!(KEY_READ == 0x0002_0019);
    assert!(KEY_WRITE == 0x0002_0006);
    assert!(REG_VALID_DESIRED_ACCESS_MASK == REG_VALID_ACE_ACCESS_MASK | MAXIMUM_ALLOWED);
    assert!(REG_VALID_MAPPED_ACCESS_MASK == KEY_ALL_ACCESS | ACCESS_SYSTEM_SECURITY);
};
