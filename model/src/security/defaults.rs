//! The descriptors that nobody wrote: those of hive roots, and that of base before it has one.
//!
//! States PSD-005 §3.1 (hive root SDs) with P-01, and the compiled-in default of §6.2.

use super::acl::{Ace, Acl, ace_flags::CONTAINER_INHERIT};
use super::descriptor::SecurityDescriptor;
use super::rights::{KEY_ALL_ACCESS, KEY_READ};
use super::sid::well_known::{ADMINISTRATORS, AUTHENTICATED_USERS, SYSTEM};

/// What a source gives a hive root at first boot, in binary form: SYSTEM and Administrators may
/// do everything, Authenticated Users may read, and all of it is inherited (SEC-43, P-01).
pub fn default_root_sd() -> Vec<u8> {
    let descriptor = owned_by_system(vec![
        Ace::allow(KEY_ALL_ACCESS, &SYSTEM, CONTAINER_INHERIT),
        Ace::allow(KEY_ALL_ACCESS, &ADMINISTRATORS, CONTAINER_INHERIT),
        Ace::allow(KEY_READ, &AUTHENTICATED_USERS, CONTAINER_INHERIT),
    ]);
    descriptor.to_bytes().unwrap_or_default()
}

/// What a write into base is checked against while base has no metadata key (PSD-005 §6.2):
/// SYSTEM and Administrators may do everything. Nobody can read it.
pub fn base_layer_default_sd() -> SecurityDescriptor {
    owned_by_system(vec![
        Ace::allow(KEY_ALL_ACCESS, &SYSTEM, 0),
        Ace::allow(KEY_ALL_ACCESS, &ADMINISTRATORS, 0),
    ])
}

fn owned_by_system(aces: Vec<Ace>) -> SecurityDescriptor {
    SecurityDescriptor {
        resource_manager_control: 0,
        other_control: 0,
        owner: Some(SYSTEM.clone()),
        group: Some(SYSTEM.clone()),
        sacl: None,
        dacl: Some(Acl::of_rules(aces)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hive_root_has_these_bytes() {
        let expected = [
            0x01, 0x00, 0x04, 0x80, // revision 1, DACL present, self-relative
            0x14, 0x00, 0x00, 0x00, // owner at 20
            0x20, 0x00, 0x00, 0x00, // group at 32
            0x00, 0x00, 0x00, 0x00, // no SACL
            0x2C, 0x00, 0x00, 0x00, // DACL at 44
            0x01, 0x01, 0, 0, 0, 0, 0, 0x05, 0x12, 0x00, 0x00, 0x00, // S-1-5-18
            0x01, 0x01, 0, 0, 0, 0, 0, 0x05, 0x12, 0x00, 0x00, 0x00, // S-1-5-18
            0x02, 0x00, 0x48, 0x00, 0x03, 0x00, 0x00,
            0x00, // revision 2, 72 bytes, three ACEs
            0x00, 0x02, 0x14, 0x00, 0x3F, 0x00, 0x0F, 0x00, // allow, inherit, KEY_ALL_ACCESS
            0x01, 0x01, 0, 0, 0, 0, 0, 0x05, 0x12, 0x00, 0x00, 0x00, // S-1-5-18
            0x00, 0x02, 0x18, 0x00, 0x3F, 0x00, 0x0F, 0x00, // allow, inherit, KEY_ALL_ACCESS
            0x01, 0x02, 0, 0, 0, 0, 0, 0x05, 0x20, 0, 0, 0, 0x20, 0x02, 0, 0, // S-1-5-32-544
            0x00, 0x02, 0x14, 0x00, 0x19, 0x00, 0x02, 0x00, // allow, inherit, KEY_READ
            0x01, 0x01, 0, 0, 0, 0, 0, 0x05, 0x0B, 0x00, 0x00, 0x00, // S-1-5-11
        ];
        assert_eq!(default_root_sd(), expected);
    }

    #[test]
    fn a_hive_root_is_a_valid_registry_sd() {
        assert!(SecurityDescriptor::parse(&default_root_sd()).is_ok());
    }
}
