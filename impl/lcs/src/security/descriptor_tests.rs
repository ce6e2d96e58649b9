//! Descriptors: binary form, and each reason for refusal.

use proptest::prelude::*;

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
        owner: Some(Sid::SYSTEM),
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
    assert_eq!(refused(|bytes| bytes[ACE] = ace_type::PROCESS_TRUST_LABEL), LabelSid);
    assert_eq!(
        refused(|bytes| bytes[ACE] = ace_type::RESOURCE_ATTRIBUTE),
        MalformedDescriptor::AttributeSid
    );
}

#[test]
fn the_masks_of_policies_are_judged_like_those_of_rights() {
    let policy = |mask| {
        refused(|bytes| {
            bytes[ACE] = ace_type::SCOPED_POLICY_ID;
            bytes[ACE + 4] = mask;
        })
    };
    assert_eq!(policy(0x7F), MalformedDescriptor::AceMask { mask: 0x000F_007F });
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

/// ACEs of every family with every field used, written by hand from PSD-004 §3.4.
fn every_family() -> Vec<u8> {
    const SYSTEM: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
    const EVERYONE: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    let mut aces: Vec<Vec<u8>> = Vec::new();
    let mut ace = |kind, flags, parts: &[&[u8]]| {
        let body = parts.concat();
        let length = u8::try_from(4 + body.len()).expect("short");
        aces.push([&[kind, flags, length, 0][..], &body].concat());
    };
    ace(ace_type::DENIED, 0x1F, &[&[1, 0, 0, 0], &SYSTEM]);
    ace(ace_type::ALLOWED_OBJECT, 0, &[&[1, 0, 0, 0, 3, 0, 0, 0x80], &[7; 32], &SYSTEM]);
    ace(ace_type::DENIED_OBJECT, 0, &[&[1, 0, 0, 0, 2, 0, 0, 0], &[8; 16], &SYSTEM]);
    ace(ace_type::ALLOWED_CALLBACK, 0, &[&[1, 0, 0, 0], &SYSTEM, b"artx"]);
    ace(ace_type::AUDIT_CALLBACK_OBJECT, 0xC0, &[&[1, 0, 0, 0, 0, 0, 0, 0], &SYSTEM, b"artx"]);
    ace(ace_type::RESOURCE_ATTRIBUTE, 0, &[&[0x3F, 0, 0x0F, 0xF1], &EVERYONE, &[0; 16]]);
    ace(ace_type::SCOPED_POLICY_ID, 0, &[&[0; 4], &SYSTEM]);
    let low = [1, 1, 0, 0, 0, 0, 0, 16, 0, 0x10, 0, 0];
    ace(ace_type::MANDATORY_LABEL, 0, &[&[0x3F, 0, 0, 0], &low]);
    let trust = [1, 2, 0, 0, 0, 0, 0, 19, 0, 2, 0, 0, 0, 4, 0, 0];
    ace(ace_type::PROCESS_TRUST_LABEL, 0, &[&[1, 0, 0, 0], &trust]);
    ace(0x04, 0xFF, &[]);
    ace(0xFE, 0, &[b"bytes that are no SID   "]);
    let body = aces.concat();
    let length = u16::to_le_bytes(u16::try_from(8 + body.len()).expect("short"));
    let count = u8::try_from(aces.len()).expect("few");
    [&[9, 1, length[0], length[1], count, 0, 2, 3], &*body].concat()
}

/// A descriptor with this list as SACL and as DACL.
fn with_lists(list: &[u8]) -> Vec<u8> {
    let mut bytes = golden();
    bytes.truncate(DACL);
    let dacl = u32::try_from(DACL + list.len()).expect("short");
    bytes[2..4].copy_from_slice(&0xFFFF_u16.to_le_bytes());
    bytes[12..16].copy_from_slice(&(DACL as u32).to_le_bytes());
    bytes[16..20].copy_from_slice(&dacl.to_le_bytes());
    [&bytes, list, list].concat()
}

#[test]
fn every_family_of_aces_comes_out_byte_for_byte() {
    let bytes = with_lists(&every_family());
    let sd = SecurityDescriptor::parse(&bytes).expect("well-formed");
    assert_eq!(sd.to_bytes(), bytes);
}

#[test]
fn the_longest_descriptor_is_read_and_written() {
    const ACE_LENGTH: u16 = 65_476;
    let [ace_low, ace_high] = ACE_LENGTH.to_le_bytes();
    let [list_low, list_high] = (8 + ACE_LENGTH).to_le_bytes();
    let mut bytes = golden();
    bytes.truncate(DACL);
    bytes.extend_from_slice(&[2, 0, list_low, list_high, 1, 0, 0, 0, 0xFE, 0, ace_low, ace_high]);
    bytes.resize(ACE + usize::from(ACE_LENGTH), 7);
    let sd = SecurityDescriptor::parse(&bytes).expect("well-formed");
    assert_eq!(sd.to_bytes(), bytes);
    bytes.resize(65_535, 0);
    assert_eq!(SecurityDescriptor::parse(&bytes), Ok(sd));
    bytes.push(0);
    assert_eq!(SecurityDescriptor::parse(&bytes), Err(MalformedDescriptor::TooLong));
}

fn judged(bytes: &[u8]) {
    if let Ok(sd) = SecurityDescriptor::parse(bytes) {
        assert_eq!(SecurityDescriptor::parse(&sd.to_bytes()).as_ref(), Ok(&sd));
        let _ = decide(&Token::system(), &sd, abi::MAXIMUM_ALLOWED);
        let _ = inherit(&sd, &Token::system());
    }
    for bits in 1..16 {
        let components = Components::from_bits(bits).expect("known bits");
        if let Ok(subset) = DescriptorSubset::parse(bytes, components) {
            let _ = subset.merge_into(default_base_layer_sd());
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        judged(&bytes);
    }

    #[test]
    fn any_changed_bytes_of_a_descriptor_are_refused_or_read(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = with_lists(&every_family());
        for (index, value) in changes {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        if is_cut {
            bytes.truncate(length.index(bytes.len()));
        }
        judged(&bytes);
    }
}
