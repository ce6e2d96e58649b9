//! Descriptors that the kernel half has of its own.

use abi::KEY_ALL_ACCESS;

use super::acl::{Ace, Acl, ace_flag};
use super::descriptor::SecurityDescriptor;
use super::sid::Sid;

/// What guards writes into the base layer while no metadata key of it has been read: SYSTEM and
/// Administrators with KEY_ALL_ACCESS (PSD-005 §2.6).
#[must_use]
pub fn default_base_layer_sd() -> SecurityDescriptor {
    SecurityDescriptor {
        reserved: 0,
        control: 0,
        owner: Some(Sid::SYSTEM),
        group: Some(Sid::SYSTEM),
        sacl: None,
        dacl: Some(Acl::new(vec![
            Ace::allow(ace_flag::CONTAINER_INHERIT, KEY_ALL_ACCESS, Sid::SYSTEM),
            Ace::allow(ace_flag::CONTAINER_INHERIT, KEY_ALL_ACCESS, Sid::ADMINISTRATORS),
        ])),
    }
}
