//! Tests of the binary form of ACLs.

use super::*;
use crate::security::fixtures::claim_of_nothing;
use crate::security::well_known::SYSTEM;

/// An ACL of one ACE with these bytes.
fn acl_of(ace: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 8 + ace.len() as u8, 0, 1, 0, 0, 0];
    bytes.extend(ace);
    bytes
}

/// An ACE of this type: mask 1, SYSTEM or a SID that the type asks for, then `data`.
fn ace_of(ace_type: u8, data: &[u8]) -> Vec<u8> {
    let sid = sid_for(ace_type, &SYSTEM);
    let length = 8 + sid.0.len() + data.len();
    let mut bytes = vec![ace_type, 0, length as u8, 0, 1, 0, 0, 0];
    bytes.extend(&sid.0);
    bytes.extend(data);
    bytes
}

/// Labels do not take any SID.
fn sid_for(ace_type: u8, otherwise: &Sid) -> Sid {
    match ace_type {
        0x11 => Sid::from_parts(16, &[4096]),
        0x14 => Sid::from_parts(19, &[512, 1024]),
        _ => otherwise.clone(),
    }
}

fn refusal(bytes: &[u8]) -> MalformedDescriptor {
    Acl::parse(bytes).expect_err("malformed")
}

#[test]
fn an_empty_acl_is_its_header() {
    let acl = Acl::parse(&[2, 0, 8, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(acl, Acl::of_rules(Vec::new()));
}

#[test]
fn the_size_of_an_acl_must_fit() {
    let full = acl_of(&ace_of(0, &[]));
    assert!(Acl::parse(&full).is_ok());
    assert_eq!(refusal(&[2, 0, 7, 0, 0, 0, 0, 0]), MalformedDescriptor::AclTooShort);
    assert_eq!(refusal(&full[..7]), MalformedDescriptor::AclOverrun);
    assert_eq!(refusal(&full[..full.len() - 1]), MalformedDescriptor::AclOverrun);
    let mut fewer_aces = full.clone();
    fewer_aces[4] = 0;
    assert_eq!(refusal(&fewer_aces), MalformedDescriptor::AclLeftover);
    let mut more_aces = full;
    more_aces[4] = 2;
    assert_eq!(refusal(&more_aces), MalformedDescriptor::AceTruncated);
}

#[test]
fn the_size_of_an_ace_must_fit() {
    for (size, expected) in [
        (0, MalformedDescriptor::AceTruncated),
        (12, MalformedDescriptor::AceTooShort),
        (16, MalformedDescriptor::Sid),
        (18, MalformedDescriptor::AceUnaligned),
        (24, MalformedDescriptor::AceTruncated),
    ] {
        let mut bytes = acl_of(&ace_of(0, &[]));
        bytes[10] = size;
        assert_eq!(refusal(&bytes), expected, "{size}");
    }
}

#[test]
fn a_single_sid_ends_its_ace() {
    for ace_type in [0x00, 0x01, 0x02, 0x03, 0x11, 0x13, 0x14] {
        assert!(Acl::parse(&acl_of(&ace_of(ace_type, &[]))).is_ok(), "{ace_type:#x}");
        let with_data = acl_of(&ace_of(ace_type, &[0; 4]));
        assert_eq!(refusal(&with_data), MalformedDescriptor::SidEnd, "{ace_type:#x}");
    }
}

#[test]
fn every_type_comes_back_byte_for_byte() {
    for ace_type in 0..=u8::MAX {
        let object = [0x05, 0x06, 0x07, 0x08, 0x0B, 0x0C, 0x0F, 0x10].contains(&ace_type);
        let data = [0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x10, 0x12].contains(&ace_type);
        let mut ace = vec![ace_type, 0x42, 0, 0, 7, 0, 0, 0];
        if object {
            ace.extend([0x83, 0, 0, 0]);
            ace.extend([0xAA; 16]);
            ace.extend([0xBB; 16]);
        }
        ace.extend(sid_for(ace_type, &EVERYONE).0);
        if ace_type == 0x12 {
            ace.extend(claim_of_nothing());
        } else if data {
            ace.extend(*b"artx");
        }
        ace[2] = ace.len() as u8;
        let bytes = acl_of(&ace);
        let acl = Acl::parse(&bytes).unwrap();
        assert_eq!(acl.to_bytes(), bytes, "{ace_type:#x}");
        let recognised = matches!(acl.aces[0].body, AceBody::Recognised { .. });
        assert_eq!(recognised, ace_type <= 0x14 && ace_type != 0x04, "{ace_type:#x}");
    }
}

#[test]
fn an_unrecognised_ace_may_be_a_bare_header() {
    let bytes = acl_of(&[0x7F, 0, 4, 0]);
    assert_eq!(Acl::parse(&bytes).unwrap().to_bytes(), bytes);
}

#[test]
fn a_resource_attribute_is_for_everyone() {
    let bytes = acl_of(&ace_of(0x12, &claim_of_nothing()));
    assert_eq!(refusal(&bytes), MalformedDescriptor::ResourceAttribute);
}

#[test]
fn a_resource_attribute_holds_a_claim() {
    let attribute = |claim: &[u8]| {
        let mut ace = vec![0x12, 0, 20 + claim.len() as u8, 0, 0, 0, 0, 0];
        ace.extend(&EVERYONE.0);
        ace.extend(claim);
        Acl::parse(&acl_of(&ace)).map(|_| ())
    };
    assert_eq!(attribute(&claim_of_nothing()), Ok(()));
    assert_eq!(attribute(b"artx"), Err(MalformedDescriptor::ResourceAttribute));
    assert_eq!(attribute(&[]), Err(MalformedDescriptor::ResourceAttribute));
}

#[test]
fn labels_are_for_sids_of_their_authority() {
    let label = |ace_type, authority, parts: &[u32]| {
        let sid = Sid::from_parts(authority, parts);
        let mut ace = vec![ace_type, 0, 8 + sid.0.len() as u8, 0, 1, 0, 0, 0];
        ace.extend(sid.0);
        Acl::parse(&acl_of(&ace)).map(|_| ())
    };
    let refused = Err(MalformedDescriptor::Label);
    assert_eq!(label(0x11, 16, &[2048]), Ok(()));
    assert_eq!(label(0x11, 16, &[u32::MAX]), Ok(()));
    assert_eq!(label(0x11, 16, &[4096, 0]), refused);
    assert_eq!(label(0x11, 16, &[]), Err(MalformedDescriptor::Label));
    assert_eq!(label(0x11, 5, &[4096]), refused);
    assert_eq!(label(0x14, 19, &[7, 9]), Ok(()));
    assert_eq!(label(0x14, 19, &[512]), refused);
    assert_eq!(label(0x14, 19, &[512, 1, 1]), refused);
    assert_eq!(label(0x14, 16, &[512, 1]), refused);
}

#[test]
fn a_new_acl_has_the_lowest_revision_for_its_types() {
    let conditional =
        AceKind::Rule { effect: Effect::Allow, object: None, condition: Some(Vec::new()) };
    let body = AceBody::Recognised { kind: conditional, mask: 1, sid: SYSTEM.clone() };
    let plain = Ace::allow(1, &SYSTEM, 0);
    assert_eq!(Acl::of_rules(vec![plain.clone()]).revision, 2);
    assert_eq!(Acl::of_rules(vec![plain, Ace { flags: 0, body }]).revision, 4);
}

#[test]
fn a_rewritten_acl_keeps_a_higher_revision_for_unrecognised_types() {
    let source = Acl { revision: 4, ..Acl::of_rules(Vec::new()) };
    let unrecognised =
        Ace { flags: 0, body: AceBody::Unrecognised { ace_type: 0x7F, bytes: Vec::new() } };
    assert_eq!(Acl::rewritten_from(&source, vec![unrecognised]).revision, 4);
    assert_eq!(Acl::rewritten_from(&source, vec![Ace::allow(1, &SYSTEM, 0)]).revision, 2);
}
