//! What the tests of this chapter share: tokens, descriptors and strategies for them.

use std::sync::Arc;

use proptest::prelude::*;

use super::access_check::{Verdict, check};
use super::acl::{Ace, AceBody, AceKind, Acl, Effect, ObjectTypes};
use super::control::{DACL_PRESENT, SACL_PRESENT, SELF_RELATIVE};
use super::rights::REG_VALID_ACE_ACCESS_MASK;
use super::well_known::{AUTHENTICATED_USERS, EVERYONE};
use super::{
    GROUP_ENABLED, Group, INTEGRITY_MEDIUM, Privilege, SecurityDescriptor, Sid, Token, TokenFields,
};
use crate::coverage::Covered;
use crate::errno::Errno;

pub(super) fn user() -> Sid {
    Sid::parse("S-1-5-21-1-2-3-1000").unwrap()
}

pub(super) fn staff() -> Sid {
    Sid::parse("S-1-5-21-1-2-3-2000").unwrap()
}

/// The granted mask, or why there is none.
pub(super) fn access_check(
    token: &Token,
    sd: &SecurityDescriptor,
    desired: u32,
) -> Result<u32, Errno> {
    let check = check(token, sd, desired, &mut Covered::new());
    match check.verdict {
        Verdict::Allowed => Ok(check.granted),
        Verdict::Denied => Err(Errno::EACCES),
        Verdict::Malformed => Err(Errno::EIO),
        Verdict::Outside(what) => panic!("outside this edition: {what}"),
    }
}

/// A user of Medium integrity without privileges, member of `staff` with these attributes.
pub(super) fn token_with(attributes: u32, privileges: &[Privilege]) -> Token {
    let mut fields = (*Token::system().0).clone();
    fields.user = user();
    fields.owner = user();
    fields.integrity_level = INTEGRITY_MEDIUM;
    fields.groups = vec![
        Group { sid: EVERYONE.clone(), attributes: GROUP_ENABLED },
        Group { sid: AUTHENTICATED_USERS.clone(), attributes: GROUP_ENABLED },
        Group { sid: staff(), attributes },
    ];
    fields.privileges = privileges.iter().copied().collect();
    Token(Arc::new(fields))
}

pub(super) fn token() -> Token {
    token_with(GROUP_ENABLED, &[])
}

/// The same token with something changed.
pub(super) fn changed(token: &Token, change: impl FnOnce(&mut TokenFields)) -> Token {
    let mut fields = (*token.0).clone();
    change(&mut fields);
    Token(Arc::new(fields))
}

pub(super) fn sd(owner: &Sid, dacl: Option<Vec<Ace>>) -> SecurityDescriptor {
    SecurityDescriptor {
        resource_manager_control: 0,
        other_control: 0,
        owner: Some(owner.clone()),
        group: None,
        sacl: None,
        dacl: dacl.map(Acl::of_rules),
    }
}

/// A rule with a condition.
pub(super) fn conditional(effect: Effect, mask: u32, sid: &Sid, flags: u8, code: &[u8]) -> Ace {
    let kind = AceKind::Rule { effect, object: None, condition: Some(code.to_vec()) };
    Ace { flags, body: AceBody::Recognised { kind, mask, sid: sid.clone() } }
}

/// A condition that only an evaluation could settle.
pub(super) const CONDITION: &[u8] = b"artx\x04\x01\0\0\0\0\0\0\0\x03\x02\0";

/// An ACE of a kind that has nothing but a mask and a SID.
pub(super) fn label(kind: AceKind, mask: u32, sid: &Sid, flags: u8) -> Ace {
    Ace { flags, body: AceBody::Recognised { kind, mask, sid: sid.clone() } }
}

/// A mandatory label of this level.
pub(super) fn integrity(level: u32, policy: u32, flags: u8) -> Ace {
    label(AceKind::MandatoryLabel, policy, &Sid::from_parts(16, &[level]), flags)
}

/// A claim entry: an INT64 attribute with the name "a" and no value.
pub(super) fn claim_of_nothing() -> Vec<u8> {
    let mut claim = vec![16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    claim.extend([b'a', 0, 0, 0]);
    claim
}

fn any_sid() -> impl Strategy<Value = Sid> {
    (0_u64..1 << 48, prop::collection::vec(any::<u32>(), 0..=15))
        .prop_map(|(authority, parts)| Sid::from_parts(authority, &parts))
}

fn any_words() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<[u8; 4]>(), 0..4).prop_map(|words| words.concat())
}

fn any_rule() -> impl Strategy<Value = AceKind> {
    let effect =
        prop::sample::select(vec![Effect::Allow, Effect::Deny, Effect::Audit, Effect::Alarm]);
    let guid = || prop::option::of(any::<[u8; 16]>());
    let object = (any::<u32>(), guid(), guid()).prop_map(|(flags, object_type, inherited)| {
        ObjectTypes { other_flags: flags & !3, object_type, inherited_object_type: inherited }
    });
    (effect, prop::option::of(object), prop::option::of(any_words()))
        .prop_map(|(effect, object, condition)| AceKind::Rule { effect, object, condition })
}

/// A kind with a SID that it may have.
fn any_kind_and_sid() -> impl Strategy<Value = (AceKind, Sid)> {
    let claim = AceKind::ResourceAttribute { claim: claim_of_nothing() };
    prop_oneof![
        5 => (any_rule(), any_sid()),
        1 => (Just(AceKind::ScopedPolicy), any_sid()),
        1 => any::<u32>()
            .prop_map(|level| (AceKind::MandatoryLabel, Sid::from_parts(16, &[level]))),
        1 => any::<[u32; 2]>()
            .prop_map(|trust| (AceKind::ProcessTrustLabel, Sid::from_parts(19, &trust))),
        1 => Just((claim, EVERYONE.clone())),
    ]
}

fn any_ace() -> impl Strategy<Value = Ace> {
    let recognised = (any_kind_and_sid(), any::<u32>()).prop_map(|((kind, sid), mask)| {
        AceBody::Recognised { kind, mask: mask & REG_VALID_ACE_ACCESS_MASK, sid }
    });
    let unrecognised = (0x15..=u8::MAX, any_words())
        .prop_map(|(ace_type, bytes)| AceBody::Unrecognised { ace_type, bytes });
    (any::<u8>(), prop_oneof![6 => recognised, 1 => unrecognised])
        .prop_map(|(flags, body)| Ace { flags, body })
}

fn any_acl() -> impl Strategy<Value = Acl> {
    (any::<u8>(), any::<u8>(), any::<u16>(), prop::collection::vec(any_ace(), 0..6))
        .prop_map(|(revision, sbz1, sbz2, aces)| Acl { revision, sbz1, sbz2, aces })
}

/// Any descriptor that a key may have, without owner too.
pub(super) fn any_descriptor() -> impl Strategy<Value = SecurityDescriptor> {
    let sid = || prop::option::of(any_sid());
    let acl = || prop::option::of(any_acl());
    (any::<u8>(), any::<u16>(), sid(), sid(), acl(), acl()).prop_map(
        |(resource_manager_control, control, owner, group, sacl, dacl)| SecurityDescriptor {
            resource_manager_control,
            other_control: control & !(SELF_RELATIVE | DACL_PRESENT | SACL_PRESENT),
            owner,
            group,
            sacl,
            dacl,
        },
    )
}
