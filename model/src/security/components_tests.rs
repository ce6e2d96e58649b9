//! Tests of reading and replacing components.

use proptest::prelude::*;

use super::*;
use crate::security::fixtures::{any_descriptor, integrity};
use crate::security::rights::{KEY_NOTIFY, KEY_READ};
use crate::security::well_known::{ADMINISTRATORS, EVERYONE, SYSTEM};
use crate::security::{Ace, Acl};

const ALL: u32 = 0xF;

fn stored() -> SecurityDescriptor {
    SecurityDescriptor {
        resource_manager_control: 7,
        other_control: control::RM_CONTROL_VALID
            | control::OWNER_DEFAULTED
            | control::DACL_AUTO_INHERITED
            | control::SACL_PROTECTED,
        owner: Some(SYSTEM.clone()),
        group: Some(EVERYONE.clone()),
        sacl: Some(Acl::of_rules(vec![integrity(4096, 2, 0)])),
        dacl: Some(Acl::of_rules(vec![Ace::allow(KEY_READ, &EVERYONE, 0)])),
    }
}

fn new() -> SecurityDescriptor {
    SecurityDescriptor {
        resource_manager_control: 9,
        other_control: control::GROUP_DEFAULTED | control::DACL_PROTECTED,
        owner: Some(ADMINISTRATORS.clone()),
        group: None,
        sacl: None,
        dacl: Some(Acl::of_rules(vec![Ace::deny(KEY_NOTIFY, &SYSTEM, 0)])),
    }
}

#[test]
fn a_selection_of_the_owner_has_these_bytes() {
    let expected = [
        0x01, 0x07, 0x01,
        0xC0, // revision 1, the reserved byte, owner defaulted, self-relative
        0x14, 0x00, 0x00, 0x00, // owner at 20
        0x00, 0x00, 0x00, 0x00, // no group
        0x00, 0x00, 0x00, 0x00, // no SACL
        0x00, 0x00, 0x00, 0x00, // no DACL
        0x01, 0x01, 0, 0, 0, 0, 0, 0x05, 0x12, 0x00, 0x00, 0x00, // S-1-5-18
    ];
    assert_eq!(stored().select(OWNER_SECURITY_INFORMATION).unwrap(), expected);
}

#[test]
fn what_is_absent_leaves_a_bare_header() {
    let bytes = new().select(GROUP_SECURITY_INFORMATION | SACL_SECURITY_INFORMATION).unwrap();
    assert_eq!(bytes.len(), 20);
    assert_eq!(bytes[2..], [[0x02, 0x80].to_vec(), vec![0; 16]].concat());
}

#[test]
fn a_selection_tells_nothing_of_the_other_components() {
    let parsed = |info| SecurityDescriptor::parse(&stored().select(info).unwrap()).unwrap();
    let dacl = parsed(DACL_SECURITY_INFORMATION);
    assert_eq!(dacl.control(), 0xC404);
    assert_eq!((dacl.owner, dacl.group, dacl.sacl), (None, None, None));
    assert_eq!(parsed(SACL_SECURITY_INFORMATION).control(), 0xE010);
}

#[test]
fn a_merge_takes_what_is_named_and_nothing_else() {
    let merged = |info| stored().merge(&new(), info).unwrap();
    let owner = merged(OWNER_SECURITY_INFORMATION);
    let control = stored().other_control & !control::OWNER_DEFAULTED;
    let expected = SecurityDescriptor { owner: new().owner, other_control: control, ..stored() };
    assert_eq!(owner, expected);
    let dacl = merged(DACL_SECURITY_INFORMATION);
    let control = stored().other_control & !control::DACL_AUTO_INHERITED | control::DACL_PROTECTED;
    let expected = SecurityDescriptor { dacl: new().dacl, other_control: control, ..stored() };
    assert_eq!(dacl, expected);
}

#[test]
fn a_component_that_is_named_and_absent_is_removed() {
    let merged = |info| stored().merge(&new(), info).unwrap();
    assert_eq!(merged(GROUP_SECURITY_INFORMATION).group, None);
    assert_eq!(merged(SACL_SECURITY_INFORMATION).sacl, None);
    let null = SecurityDescriptor { dacl: None, ..new() };
    let merged = stored().merge(&null, DACL_SECURITY_INFORMATION).unwrap();
    assert_eq!((merged.dacl.clone(), merged.control() & control::DACL_PRESENT), (None, 0));
}

#[test]
fn the_result_has_an_owner() {
    let ownerless = SecurityDescriptor { owner: None, ..new() };
    let refused = Err(MalformedDescriptor::NoOwner);
    assert_eq!(stored().merge(&ownerless, OWNER_SECURITY_INFORMATION), refused);
    assert!(stored().merge(&ownerless, DACL_SECURITY_INFORMATION).is_ok());
    let without = SecurityDescriptor { owner: None, ..stored() };
    assert_eq!(without.merge(&new(), DACL_SECURITY_INFORMATION), refused);
    assert!(without.merge(&new(), OWNER_SECURITY_INFORMATION).is_ok());
}

#[test]
fn the_result_is_at_most_65535_bytes_long() {
    let aces = vec![Ace::allow(KEY_READ, &EVERYONE, 0); 2000];
    let long = Some(Acl::of_rules(aces));
    let with_sacl = SecurityDescriptor { sacl: long.clone(), ..stored() };
    let with_dacl = SecurityDescriptor { dacl: long, ..new() };
    let refused = Err(MalformedDescriptor::TooLong);
    assert_eq!(with_sacl.merge(&with_dacl, DACL_SECURITY_INFORMATION), refused);
    assert!(stored().merge(&with_dacl, DACL_SECURITY_INFORMATION).is_ok());
}

proptest! {
    #[test]
    fn all_components_are_the_whole_descriptor(descriptor in any_descriptor()) {
        prop_assert_eq!(descriptor.select(ALL).unwrap(), descriptor.to_bytes().unwrap());
    }

    #[test]
    fn setting_what_was_read_changes_nothing(descriptor in any_descriptor(), info in 1_u32..16) {
        let descriptor = SecurityDescriptor { owner: Some(SYSTEM.clone()), ..descriptor };
        let read = SecurityDescriptor::parse(&descriptor.select(info).unwrap()).unwrap();
        prop_assert_eq!(descriptor.merge(&read, info), Ok(descriptor));
    }

    #[test]
    fn what_was_set_is_read_again(
        old in any_descriptor(),
        new in any_descriptor(),
        info in 1_u32..16,
    ) {
        let old = SecurityDescriptor { owner: Some(SYSTEM.clone()), ..old };
        let header = SecurityDescriptor {
            resource_manager_control: old.resource_manager_control,
            other_control: new.other_control & control_of(ALL)
                | old.other_control & !control_of(ALL),
            owner: new.owner.clone().or(Some(SYSTEM.clone())),
            ..new
        };
        let merged = old.merge(&header, info).unwrap();
        prop_assert_eq!(merged.select(info).unwrap(), header.select(info).unwrap());
        prop_assert_eq!(merged.select(!info & ALL).unwrap(), old.select(!info & ALL).unwrap());
    }
}
