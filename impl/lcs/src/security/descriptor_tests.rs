//! Descriptors: binary form, and each reason for refusal.

use super::acl::AceEntry;
use super::*;

/// Owner SYSTEM, group Administrators, DACL of one ACE: written by hand from PSD-004 §3.
fn golden() -> Vec<u8> {
    vec![
        // header: revision, reserved, control, owner, group, SACL, DACL
        0x01, 0x00, 0x04, 0x80, 0x14, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0x30, 0, 0, 0,
        // S-1-5-18
        1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0, //
        // S-1-5-32-544
        1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 0x02, 0, 0, //
        // ACL: revision 2, 28 bytes, one ACE
        2, 0, 28, 0, 1, 0, 0, 0, //
        // allow, container-inherit, 20 bytes, KEY_ALL_ACCESS, S-1-5-18
        0, 2, 20, 0, 0x3F, 0, 0x0F, 0, 1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0,
    ]
}

const DACL: usize = 0x30;
const ACE: usize = DACL + 8;

fn refused(change: impl FnOnce(&mut Vec<u8>)) -> MalformedDescriptor {
    let mut bytes = golden();
    change(&mut bytes);
    SecurityDescriptor::parse(&bytes).expect_err("malformed")
}

#[test]
fn the_hand_made_descriptor_reads_and_writes() {
    let sd = SecurityDescriptor {
        reserved: 0,
        control: 0,
        owner: Sid::SYSTEM,
        group: Some(Sid::ADMINISTRATORS),
        sacl: None,
        dacl: Some(Acl::new(vec![Ace::allow(
            ace_flag::CONTAINER_INHERIT,
            abi::KEY_ALL_ACCESS,
            Sid::SYSTEM,
        )])),
    };
    assert_eq!(sd.to_bytes(), golden());
    assert_eq!(SecurityDescriptor::parse(&golden()), Ok(sd));
}

#[test]
fn no_prefix_of_a_descriptor_is_one() {
    let bytes = golden();
    for length in 0..bytes.len() {
        assert!(SecurityDescriptor::parse(&bytes[..length]).is_err(), "{length}");
    }
}

#[test]
fn headers_offsets_and_owners_are_checked() {
    use MalformedDescriptor::{Header, Offset, OwnerOrGroup, PresentBit, TooLong};
    assert_eq!(refused(|bytes| bytes[0] = 2), Header);
    assert_eq!(refused(|bytes| bytes[3] = 0), Header);
    assert_eq!(refused(|bytes| bytes[4] = 0), OwnerOrGroup);
    assert_eq!(refused(|bytes| bytes[4] = 4), Offset);
    assert_eq!(refused(|bytes| bytes[7] = 1), Offset);
    assert_eq!(refused(|bytes| bytes[0x20] = 2), OwnerOrGroup);
    assert_eq!(refused(|bytes| bytes[2] = 0), PresentBit);
    assert_eq!(refused(|bytes| bytes[2] = 0x14), PresentBit);
    assert_eq!(refused(|bytes| bytes.resize(65_536, 0)), TooLong);
}

#[test]
fn lists_and_entries_are_checked() {
    use MalformedDescriptor::{AceMask, AceSid, AceSize, AclLeftover, AclSize, LabelSid};
    assert_eq!(refused(|bytes| bytes[DACL + 2] = 7), AclSize);
    assert_eq!(refused(|bytes| bytes[DACL + 2] = 32), AclSize);
    assert_eq!(refused(|bytes| bytes[DACL + 4] = 0), AclLeftover);
    assert_eq!(refused(|bytes| bytes[DACL + 4] = 2), AceSize);
    assert_eq!(refused(|bytes| bytes[ACE + 2] = 19), AceSize);
    assert_eq!(refused(|bytes| bytes[ACE + 2] = 24), AceSize);
    assert_eq!(refused(|bytes| bytes[ACE + 2] = 16), AceSid);
    assert_eq!(refused(|bytes| bytes[ACE + 8] = 2), AceSid);
    assert_eq!(refused(|bytes| bytes[ACE + 6] = 0x1F), AceMask { mask: 0x001F_003F });
    assert_eq!(refused(|bytes| bytes[ACE + 7] = 2), AceMask { mask: 0x020F_003F });
    assert_eq!(refused(|bytes| bytes[ACE] = ace_type::MANDATORY_LABEL), LabelSid);
    assert_eq!(
        refused(|bytes| bytes[ACE] = ace_type::RESOURCE_ATTRIBUTE),
        MalformedDescriptor::AttributeSid
    );
}

#[test]
fn revision_reserved_bytes_and_kept_control_bits_survive() {
    let mut bytes = golden();
    bytes[1] = 9;
    bytes[2] |= 0x40;
    bytes[DACL] = 7;
    bytes[DACL + 1] = 8;
    bytes[DACL + 6] = 9;
    let sd = SecurityDescriptor::parse(&bytes).expect("well-formed");
    assert_eq!(sd.to_bytes(), bytes);
}

#[test]
fn an_ace_of_unknown_type_survives_and_is_not_evaluated() {
    let mut bytes = golden();
    bytes[ACE] = 0x7F;
    let sd = SecurityDescriptor::parse(&bytes).expect("well-formed");
    assert_eq!(sd.to_bytes(), bytes);
    assert_eq!(access_check(&Token::user(Sid::LOCAL), &sd, abi::MAXIMUM_ALLOWED), Ok(0));
}

#[test]
fn object_and_callback_aces_survive() {
    let entry = AceEntry {
        mask: abi::KEY_READ,
        object: Some(ObjectTypes {
            undefined_flags: 0x80,
            object_type: None,
            inherited_object_type: Some([7; 16]),
        }),
        sid: Sid::EVERYONE,
        data: b"artx".to_vec(),
    };
    let kind = ace_type::DENIED_CALLBACK_OBJECT;
    let ace = Ace { kind, flags: 0, body: AceBody::Entry(entry) };
    let sd = SecurityDescriptor { dacl: Some(Acl::new(vec![ace])), ..default_base_layer_sd() };
    assert_eq!(sd.dacl.as_ref().map(|acl| acl.revision), Some(4));
    assert_eq!(SecurityDescriptor::parse(&sd.to_bytes()), Ok(sd));
}

#[test]
fn a_null_dacl_and_an_empty_one_are_told_apart() {
    for dacl in [None, Some(Acl::new(vec![]))] {
        let sd = SecurityDescriptor { dacl, ..default_base_layer_sd() };
        assert_eq!(SecurityDescriptor::parse(&sd.to_bytes()), Ok(sd));
    }
}

#[test]
fn any_single_changed_byte_is_refused_or_read() {
    for index in 0..golden().len() {
        for value in 0..=u8::MAX {
            let mut bytes = golden();
            bytes[index] = value;
            if let Ok(sd) = SecurityDescriptor::parse(&bytes) {
                assert_eq!(SecurityDescriptor::parse(&sd.to_bytes()), Ok(sd));
            }
        }
    }
}
