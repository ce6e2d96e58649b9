//! Access rights of registry keys, and the generic mapping.
//!
//! States PSD-005 §3.1 and the masks of §11.1; PSD-004 §3.3.

/// Read values.
pub const KEY_QUERY_VALUE: u32 = 0x0001;
/// Write and delete values.
pub const KEY_SET_VALUE: u32 = 0x0002;
/// Create child keys.
pub const KEY_CREATE_SUB_KEY: u32 = 0x0004;
/// Enumerate child keys.
pub const KEY_ENUMERATE_SUB_KEYS: u32 = 0x0008;
/// Watch the key.
pub const KEY_NOTIFY: u32 = 0x0010;
/// Create symlink keys.
pub const KEY_CREATE_LINK: u32 = 0x0020;

/// Delete or hide the key.
pub const DELETE: u32 = 0x0001_0000;
/// Read the SD without its SACL, and the key's metadata.
pub const READ_CONTROL: u32 = 0x0002_0000;
/// Change the DACL.
pub const WRITE_DAC: u32 = 0x0004_0000;
/// Change the owner.
pub const WRITE_OWNER: u32 = 0x0008_0000;

/// Read or change the SACL.
pub const ACCESS_SYSTEM_SECURITY: u32 = 0x0100_0000;
/// Asks for whatever can be granted; no right itself.
pub const MAXIMUM_ALLOWED: u32 = 0x0200_0000;

/// Stands for [`KEY_ALL_ACCESS`].
pub const GENERIC_ALL: u32 = 0x1000_0000;
/// Stands for nothing on keys.
pub const GENERIC_EXECUTE: u32 = 0x2000_0000;
/// Stands for [`KEY_WRITE`].
pub const GENERIC_WRITE: u32 = 0x4000_0000;
/// Stands for [`KEY_READ`].
pub const GENERIC_READ: u32 = 0x8000_0000;

/// What `GENERIC_READ` maps to.
pub const KEY_READ: u32 = KEY_QUERY_VALUE | KEY_ENUMERATE_SUB_KEYS | KEY_NOTIFY | READ_CONTROL;
/// What `GENERIC_WRITE` maps to.
pub const KEY_WRITE: u32 = KEY_SET_VALUE | KEY_CREATE_SUB_KEY | READ_CONTROL;
/// What `GENERIC_ALL` maps to: all specific and all standard rights.
pub const KEY_ALL_ACCESS: u32 = KEY_QUERY_VALUE
    | KEY_SET_VALUE
    | KEY_CREATE_SUB_KEY
    | KEY_ENUMERATE_SUB_KEYS
    | KEY_NOTIFY
    | KEY_CREATE_LINK
    | DELETE
    | READ_CONTROL
    | WRITE_DAC
    | WRITE_OWNER;

const GENERIC_BITS: u32 = GENERIC_ALL | GENERIC_EXECUTE | GENERIC_WRITE | GENERIC_READ;

/// The bits of an access mask after generic mapping.
pub const REG_VALID_MAPPED_ACCESS_MASK: u32 = KEY_ALL_ACCESS | ACCESS_SYSTEM_SECURITY;
/// The bits of an ACE's mask before generic mapping.
pub const REG_VALID_ACE_ACCESS_MASK: u32 = REG_VALID_MAPPED_ACCESS_MASK | GENERIC_BITS;
/// The bits of a caller's `desired_access`.
pub const REG_VALID_DESIRED_ACCESS_MASK: u32 = REG_VALID_ACE_ACCESS_MASK | MAXIMUM_ALLOWED;

/// Whether `mask` holds every bit of `right` (CONV-05).
pub fn holds(mask: u32, right: u32) -> bool {
    mask & right == right
}

/// Replaces generic bits by what they map to on keys (PSD-004 §10.10, `MapGenericBits`).
pub fn map_generic_bits(mask: u32) -> u32 {
    let mapping =
        [(GENERIC_READ, KEY_READ), (GENERIC_WRITE, KEY_WRITE), (GENERIC_ALL, KEY_ALL_ACCESS)];
    let concrete = mask & !GENERIC_BITS;
    mapping
        .iter()
        .filter(|(generic, _)| holds(mask, *generic))
        .fold(concrete, |mapped, (_, rights)| mapped | rights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_the_numbers_of_the_table() {
        assert_eq!(KEY_READ, 0x0002_0019);
        assert_eq!(KEY_WRITE, 0x0002_0006);
        assert_eq!(KEY_ALL_ACCESS, 0x000F_003F);
        assert_eq!(REG_VALID_DESIRED_ACCESS_MASK, 0xF30F_003F);
        assert_eq!(REG_VALID_MAPPED_ACCESS_MASK, 0x010F_003F);
        assert_eq!(REG_VALID_ACE_ACCESS_MASK, 0xF10F_003F);
    }

    #[test]
    fn generic_bits_become_concrete_rights() {
        assert_eq!(map_generic_bits(GENERIC_READ), KEY_READ);
        assert_eq!(map_generic_bits(GENERIC_WRITE | DELETE), KEY_WRITE | DELETE);
        assert_eq!(map_generic_bits(GENERIC_ALL), KEY_ALL_ACCESS);
        assert_eq!(map_generic_bits(GENERIC_EXECUTE), 0);
        assert_eq!(map_generic_bits(MAXIMUM_ALLOWED), MAXIMUM_ALLOWED);
    }
}
