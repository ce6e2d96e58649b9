//! Tests of the binary form of security descriptors.

use proptest::prelude::*;

use super::*;
use crate::security::acl::Ace;
use crate::security::components::EVERY_COMPONENT;
use crate::security::fixtures::any_descriptor;
use crate::security::rights::{GENERIC_ALL, KEY_READ, MAXIMUM_ALLOWED};
use crate::security::well_known::{EVERYONE, SYSTEM};

/// Owner SYSTEM, group Everyone, no SACL, a DACL that lets Everyone read. Written by hand.
const GOLDEN: &[u8] = &[
    0x01, 0x00, 0x04, 0x84, // revision 1, DACL present, auto-inherited, self-relative
    0x14, 0x00, 0x00, 0x00, // owner at 20
    0x20, 0x00, 0x00, 0x00, // group at 32
    0x00, 0x00, 0x00, 0x00, // no SACL
    0x2C, 0x00, 0x00, 0x00, // DACL at 44
    0x01, 0x01, 0, 0, 0, 0, 0, 0x05, 0x12, 0x00, 0x00, 0x00, // S-1-5-18
    0x01, 0x01, 0, 0, 0, 0, 0, 0x01, 0x00, 0x00, 0x00, 0x00, // S-1-1-0
    0x02, 0x00, 0x1C, 0x00, 0x01, 0x00, 0x00, 0x00, // revision 2, 28 bytes, one ACE
    0x00, 0x02, 0x14, 0x00, 0x19, 0x00, 0x02, 0x00, // allow, container-inherit, KEY_READ
    0x01, 0x01, 0, 0, 0, 0, 0, 0x01, 0x00, 0x00, 0x00, 0x00, // S-1-1-0
];

fn golden() -> SecurityDescriptor {
    SecurityDescriptor {
        resource_manager_control: 0,
        other_control: control::DACL_AUTO_INHERITED,
        owner: Some(SYSTEM.clone()),
        group: Some(EVERYONE.clone()),
        sacl: None,
        dacl: Some(Acl::of_rules(vec![Ace::allow(KEY_READ, &EVERYONE, 0x02)])),
    }
}

/// How the golden bytes are refused once `bytes` stand at `offset`.
fn refusal_of(offset: usize, bytes: &[u8]) -> Option<MalformedDescriptor> {
    let mut changed = GOLDEN.to_vec();
    changed[offset..offset + bytes.len()].copy_from_slice(bytes);
    SecurityDescriptor::parse(&changed).err()
}

#[test]
fn the_golden_bytes_are_this_descriptor() {
    assert_eq!(SecurityDescriptor::parse(GOLDEN), Ok(golden()));
    assert_eq!(golden().to_bytes().as_deref(), Ok(GOLDEN));
}

#[test]
fn the_header_is_checked() {
    assert_eq!(refusal_of(0, &[2]), Some(MalformedDescriptor::Revision));
    assert_eq!(refusal_of(3, &[0x04]), Some(MalformedDescriptor::NotSelfRelative));
    let short = SecurityDescriptor::parse(&GOLDEN[..19]);
    assert_eq!(short, Err(MalformedDescriptor::Truncated));
}

#[test]
fn offsets_lead_into_the_body() {
    assert_eq!(refusal_of(4, &[19]), Some(MalformedDescriptor::Offset));
    assert_eq!(refusal_of(8, &[0xFF, 0xFF, 0xFF, 0xFF]), Some(MalformedDescriptor::Offset));
    assert_eq!(refusal_of(4, &[GOLDEN.len() as u8]), Some(MalformedDescriptor::Sid));
    assert_eq!(refusal_of(4, &[0x14]), None);
}

#[test]
fn present_bits_agree_with_offsets() {
    assert_eq!(refusal_of(2, &[0x00]), Some(MalformedDescriptor::Presence));
    assert_eq!(refusal_of(2, &[0x14]), Some(MalformedDescriptor::Presence));
    assert_eq!(refusal_of(16, &[0x00]), Some(MalformedDescriptor::Presence));
}

#[test]
fn a_null_dacl_and_an_empty_one_differ() {
    let null = SecurityDescriptor { dacl: None, ..golden() };
    let empty = SecurityDescriptor { dacl: Some(Acl::of_rules(Vec::new())), ..golden() };
    assert_eq!(null.control() & DACL_PRESENT, 0);
    assert_eq!(empty.control() & DACL_PRESENT, DACL_PRESENT);
    for descriptor in [null, empty] {
        let bytes = descriptor.to_bytes().unwrap();
        assert_eq!(SecurityDescriptor::parse(&bytes), Ok(descriptor));
    }
}

#[test]
fn owner_and_group_may_be_absent() {
    let descriptor = SecurityDescriptor { owner: None, group: None, ..golden() };
    let bytes = descriptor.to_bytes().unwrap();
    assert_eq!(bytes.len(), GOLDEN.len() - 24);
    assert_eq!(SecurityDescriptor::parse(&bytes), Ok(descriptor));
}

#[test]
fn an_ace_mask_holds_registry_rights_and_generic_bits_only() {
    let with_mask = |mask: u32| refusal_of(56, &mask.to_le_bytes());
    assert_eq!(with_mask(GENERIC_ALL | 0xE000_0000 | 0x010F_003F), None);
    assert_eq!(with_mask(MAXIMUM_ALLOWED), Some(MalformedDescriptor::MaximumAllowed));
    assert_eq!(with_mask(0x0010_0000), Some(MalformedDescriptor::AccessMask));
    assert_eq!(with_mask(0x0000_0040), Some(MalformedDescriptor::AccessMask));
    assert_eq!(with_mask(0x0400_0000), Some(MalformedDescriptor::AccessMask));
}

#[test]
fn the_limit_of_65535_bytes_holds_for_both_forms() {
    let with_aces = |count: usize| SecurityDescriptor {
        dacl: Some(Acl::of_rules(vec![Ace::allow(KEY_READ, &EVERYONE, 0); count])),
        ..golden()
    };
    // 52 bytes without ACEs, 20 for each.
    let largest = with_aces(3274).to_bytes().unwrap();
    assert_eq!(largest.len(), 65_532);
    assert!(SecurityDescriptor::parse(&largest).is_ok());
    assert_eq!(with_aces(3275).to_bytes(), Err(Errno::EINVAL));
    let mut padded = GOLDEN.to_vec();
    padded.resize(65_535, 0);
    assert!(SecurityDescriptor::parse(&padded).is_ok());
    padded.push(0);
    assert_eq!(SecurityDescriptor::parse(&padded), Err(MalformedDescriptor::TooLong));
}

#[test]
fn components_that_share_bytes_are_too_long_only_when_written_again() {
    let full = SecurityDescriptor {
        dacl: Some(Acl::of_rules(vec![Ace::allow(1, &EVERYONE, 0); 3000])),
        ..golden()
    };
    let mut bytes = full.to_bytes().unwrap();
    bytes[2] |= SACL_PRESENT as u8;
    let dacl_offset = [bytes[16], bytes[17]];
    bytes[12..14].copy_from_slice(&dacl_offset);
    let shared = SecurityDescriptor::parse(&bytes).unwrap();
    assert_eq!((&shared.sacl, &shared.dacl), (&full.dacl, &full.dacl));
    assert_eq!(shared.to_bytes(), Err(Errno::EINVAL));
    let dacl = crate::security::DACL_SECURITY_INFORMATION;
    let sacl = crate::security::SACL_SECURITY_INFORMATION;
    assert!(shared.select(dacl).is_ok());
    assert_eq!(shared.select(dacl | sacl), Err(MalformedDescriptor::TooLong));
    assert_eq!(shared.merge(&full, dacl), Err(MalformedDescriptor::TooLong));
}

#[test]
fn a_malformed_descriptor_is_einval_to_a_caller() {
    let mut covered = Covered::new();
    let short = &GOLDEN[..19];
    let from_caller = |bytes, covered: &mut Covered| {
        SecurityDescriptor::from_caller(bytes, EVERY_COMPONENT, covered)
    };
    assert_eq!(from_caller(short, &mut covered), Err(Errno::EINVAL));
    assert_eq!(from_caller(GOLDEN, &mut covered), Ok(golden()));
}

proptest! {
    #[test]
    fn a_descriptor_comes_back_from_its_bytes(descriptor in any_descriptor()) {
        let bytes = descriptor.to_bytes().unwrap();
        prop_assert_eq!(SecurityDescriptor::parse(&bytes), Ok(descriptor));
    }

    #[test]
    fn any_bytes_parse_or_fail_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let _ = SecurityDescriptor::parse(&bytes);
        let _ = Acl::parse(&bytes);
    }

    #[test]
    fn one_changed_byte_parses_or_fails_without_panic(
        descriptor in any_descriptor(),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = descriptor.to_bytes().unwrap();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        if let Ok(parsed) = SecurityDescriptor::parse(&bytes) {
            let again = parsed.to_bytes().unwrap();
            prop_assert_eq!(SecurityDescriptor::parse(&again), Ok(parsed));
        }
    }
}
