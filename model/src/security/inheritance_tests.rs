//! Tests of inheritance: what ACEs, flags and control bits a new key gets.

use std::sync::Arc;

use super::*;
use crate::security::ace_flags::{
    CONTAINER_INHERIT as CI, INHERIT_ONLY as IO, INHERITED as ID, NO_PROPAGATE_INHERIT as NP,
    OBJECT_INHERIT as OI,
};
use crate::security::fixtures::claim_of_nothing;
use crate::security::rights::{DELETE, GENERIC_ALL, GENERIC_READ, KEY_ALL_ACCESS, KEY_READ};
use crate::security::well_known::{ADMINISTRATORS, EVERYONE, SYSTEM};
use crate::security::{Effect, default_root_sd};

fn root() -> SecurityDescriptor {
    SecurityDescriptor::parse(&default_root_sd()).unwrap()
}

fn with_aces(aces: Vec<Ace>) -> SecurityDescriptor {
    SecurityDescriptor { dacl: Some(Acl::of_rules(aces)), ..root() }
}

fn inherit_by(token: &Token, parent: &SecurityDescriptor) -> Result<SecurityDescriptor, Errno> {
    inherit(parent, token, &mut Covered::new())
}

fn child_of(parent: &SecurityDescriptor) -> SecurityDescriptor {
    inherit_by(&Token::system(), parent).unwrap()
}

fn aces_of(parent: Vec<Ace>) -> Vec<Ace> {
    child_of(&with_aces(parent)).dacl.unwrap().aces
}

/// The flags on the child of an ACE with these flags, if it is inherited.
fn flags_of(flags: u8) -> Option<u8> {
    let other = Ace::allow(KEY_READ, &EVERYONE, CI);
    let aces = aces_of(vec![other, Ace::allow(KEY_READ, &SYSTEM, flags)]);
    aces.get(1).map(|ace| ace.flags)
}

fn token_with(default_dacl: Option<Vec<u8>>) -> Token {
    let mut fields = (*Token::system().0).clone();
    fields.default_dacl = default_dacl;
    Token(Arc::new(fields))
}

#[test]
fn a_key_below_a_default_root_has_these_bytes() {
    let expected = [
        0x01, 0x00, 0x07, 0x84, // DACL present, owner and group defaulted, auto-inherited
        0x14, 0x00, 0x00, 0x00, // owner at 20
        0x20, 0x00, 0x00, 0x00, // group at 32
        0x00, 0x00, 0x00, 0x00, // no SACL
        0x30, 0x00, 0x00, 0x00, // DACL at 48
        0x01, 0x01, 0, 0, 0, 0, 0, 0x05, 0x12, 0x00, 0x00, 0x00, // S-1-5-18
        0x01, 0x02, 0, 0, 0, 0, 0, 0x05, 0x20, 0, 0, 0, 0x20, 0x02, 0, 0, // S-1-5-32-544
        0x02, 0x00, 0x48, 0x00, 0x03, 0x00, 0x00, 0x00, // revision 2, 72 bytes, three ACEs
        0x00, 0x12, 0x14, 0x00, 0x3F, 0x00, 0x0F, 0x00, // allow, inherit, inherited
        0x01, 0x01, 0, 0, 0, 0, 0, 0x05, 0x12, 0x00, 0x00, 0x00, // S-1-5-18
        0x00, 0x12, 0x18, 0x00, 0x3F, 0x00, 0x0F, 0x00, // allow, inherit, inherited
        0x01, 0x02, 0, 0, 0, 0, 0, 0x05, 0x20, 0, 0, 0, 0x20, 0x02, 0, 0, // S-1-5-32-544
        0x00, 0x12, 0x14, 0x00, 0x19, 0x00, 0x02, 0x00, // allow, inherit, inherited
        0x01, 0x01, 0, 0, 0, 0, 0, 0x05, 0x0B, 0x00, 0x00, 0x00, // S-1-5-11
    ];
    assert_eq!(child_of(&root()).to_bytes().as_deref(), Ok(&expected[..]));
}

#[test]
fn a_grandchild_inherits_the_same_again() {
    let child = child_of(&root());
    assert_eq!(child_of(&child), child);
}

#[test]
fn flags_decide_what_is_inherited_and_how() {
    assert_eq!(flags_of(0), None);
    assert_eq!(flags_of(OI), None);
    assert_eq!(flags_of(OI | NP), None);
    assert_eq!(flags_of(CI), Some(CI | ID));
    assert_eq!(flags_of(CI | OI), Some(CI | OI | ID));
    assert_eq!(flags_of(CI | IO), Some(CI | ID));
    assert_eq!(flags_of(CI | NP), Some(ID));
    assert_eq!(flags_of(CI | OI | NP | IO), Some(ID));
    assert_eq!(flags_of(CI | ID), Some(CI | ID));
}

#[test]
fn placeholders_become_owner_and_primary_group() {
    let aces = aces_of(vec![
        Ace::allow(KEY_READ, &CREATOR_OWNER, CI | IO),
        Ace::deny(DELETE, &CREATOR_GROUP, CI),
    ]);
    let expected =
        vec![Ace::allow(KEY_READ, &SYSTEM, CI | ID), Ace::deny(DELETE, &ADMINISTRATORS, CI | ID)];
    assert_eq!(aces, expected);
}

#[test]
fn generic_rights_become_concrete() {
    let aces = aces_of(vec![Ace::allow(GENERIC_READ, &EVERYONE, CI)]);
    assert_eq!(aces, [Ace::allow(KEY_READ, &EVERYONE, CI | ID)]);
}

#[test]
fn without_inheritable_aces_the_default_dacl_serves() {
    let child = child_of(&with_aces(vec![Ace::allow(KEY_READ, &EVERYONE, OI)]));
    let expected = vec![
        Ace::allow(KEY_ALL_ACCESS, &SYSTEM, 0),
        Ace::allow(KEY_ALL_ACCESS, &ADMINISTRATORS, 0),
    ];
    assert_eq!(child.dacl.as_ref().unwrap().aces, expected);
    assert_eq!(child.control(), 0x8000 | 0x0001 | 0x0002 | 0x0004 | 0x0008);
    let below_null = child_of(&SecurityDescriptor { dacl: None, ..root() });
    assert_eq!(below_null, child);
}

#[test]
fn without_a_default_dacl_the_dacl_is_null() {
    let child = inherit_by(&token_with(None), &with_aces(Vec::new())).unwrap();
    assert_eq!((child.dacl.clone(), child.control()), (None, 0x8000 | 0x0001 | 0x0002));
    assert_eq!(child.to_bytes().unwrap()[16..20], [0; 4]);
}

#[test]
fn a_malformed_default_dacl_matters_only_when_it_is_needed() {
    let token = token_with(Some(vec![2, 0, 9, 0, 0, 0, 0, 0]));
    assert!(inherit_by(&token, &root()).is_ok());
    assert_eq!(inherit_by(&token, &with_aces(Vec::new())), Err(Errno::EINVAL));
}

#[test]
fn audit_aces_are_inherited_in_the_sacl() {
    let audit = |flags| Ace::plain(Effect::Audit, GENERIC_ALL, &EVERYONE, flags);
    let sacl = Some(Acl::of_rules(vec![audit(0x40), audit(0x80 | CI)]));
    let child = child_of(&SecurityDescriptor { sacl, ..root() });
    let expected = Ace::plain(Effect::Audit, KEY_ALL_ACCESS, &EVERYONE, 0x80 | CI | ID);
    assert_eq!(child.sacl.as_ref().unwrap().aces, [expected]);
    assert_eq!(child.control(), 0x8C17);
}

#[test]
fn a_sacl_without_inheritable_aces_is_not_inherited() {
    let sacl = Some(Acl::of_rules(vec![Ace::plain(Effect::Audit, 1, &EVERYONE, 0x40)]));
    assert_eq!(child_of(&SecurityDescriptor { sacl, ..root() }).sacl, None);
}

#[test]
fn a_resource_attribute_may_refuse_to_be_inherited() {
    let attribute = |flag| {
        let mut claim = claim_of_nothing();
        claim[8] = flag;
        let kind = AceKind::ResourceAttribute { claim };
        let body = AceBody::Recognised { kind, mask: 0, sid: EVERYONE.clone() };
        Acl::of_rules(vec![Ace { flags: CI, body }])
    };
    let child = |flag| child_of(&SecurityDescriptor { sacl: Some(attribute(flag)), ..root() });
    assert!(child(0).sacl.is_some());
    assert!(child(1).sacl.is_none());
}

#[test]
fn an_unrecognised_ace_is_inherited_unread() {
    let body = AceBody::Unrecognised { ace_type: 0x7F, bytes: vec![1, 2, 3, 4] };
    let aces = aces_of(vec![Ace { flags: CI, body: body.clone() }]);
    assert_eq!(aces, [Ace { flags: CI | ID, body }]);
}

#[test]
fn a_result_above_65535_bytes_is_refused() {
    let long_owner = Sid::from_parts(5, &[1; 15]);
    let parent = with_aces(vec![Ace::allow(KEY_READ, &CREATOR_OWNER, CI); 2000]);
    assert!(inherit_by(&Token::system(), &parent).is_ok());
    let mut fields = (*Token::system().0).clone();
    fields.owner = long_owner;
    assert_eq!(inherit_by(&Token(Arc::new(fields)), &parent), Err(Errno::EINVAL));
}

#[test]
fn placeholders_in_a_default_dacl_are_resolved_too() {
    let source = Acl::of_rules(vec![
        Ace::allow(GENERIC_READ, &CREATOR_OWNER, CI | IO),
        Ace::allow(DELETE, &CREATOR_GROUP, 0),
    ]);
    let child = inherit_by(&token_with(Some(source.to_bytes())), &with_aces(Vec::new())).unwrap();
    let expected = [Ace::allow(KEY_READ, &SYSTEM, CI | IO), Ace::allow(DELETE, &ADMINISTRATORS, 0)];
    assert_eq!(child.dacl.unwrap().aces, expected);
}

#[test]
fn a_default_dacl_must_suit_a_key() {
    let with_mask = |mask| {
        let source = Acl::of_rules(vec![Ace::allow(mask, &EVERYONE, 0)]);
        inherit_by(&token_with(Some(source.to_bytes())), &with_aces(Vec::new())).map(|_| ())
    };
    assert_eq!(with_mask(GENERIC_ALL), Ok(()));
    assert_eq!(with_mask(0x0010_0000), Err(Errno::EINVAL));
    assert_eq!(with_mask(0x0200_0000), Err(Errno::EINVAL));
}

#[test]
fn inherited_aces_keep_their_order_and_leave_the_others_out() {
    let sids = [&*SYSTEM, &*EVERYONE, &*ADMINISTRATORS];
    let aces = aces_of(vec![
        Ace::allow(1, sids[0], CI),
        Ace::deny(2, sids[1], 0),
        Ace::deny(4, sids[2], CI | NP),
        Ace::allow(8, sids[1], OI),
        Ace::allow(8, sids[1], CI | IO),
    ]);
    let expected = [
        Ace::allow(1, sids[0], CI | ID),
        Ace::deny(4, sids[2], ID),
        Ace::allow(8, sids[1], CI | ID),
    ];
    assert_eq!(aces, expected);
}

#[test]
fn conditions_and_object_types_are_inherited_as_they_are() {
    let kind = AceKind::Rule {
        effect: Effect::Allow,
        object: Some(crate::security::ObjectTypes {
            other_flags: 0,
            object_type: Some([1; 16]),
            inherited_object_type: Some([2; 16]),
        }),
        // A SID literal for CREATOR OWNER in the expression is not a principal.
        condition: Some([b"artx\x51\x0c\0\0\0".to_vec(), CREATOR_OWNER.0.clone()].concat()),
    };
    let body = |mask, sid: &Sid| AceBody::Recognised { kind: kind.clone(), mask, sid: sid.clone() };
    let aces = aces_of(vec![Ace { flags: CI, body: body(GENERIC_READ, &CREATOR_OWNER) }]);
    assert_eq!(aces, [Ace { flags: CI | ID, body: body(KEY_READ, &SYSTEM) }]);
}

#[test]
fn a_label_is_inherited_like_other_entries() {
    let label = |flags| {
        let sid = Sid::from_parts(16, &[12288]);
        let body = AceBody::Recognised { kind: AceKind::MandatoryLabel, mask: 2, sid };
        Ace { flags, body }
    };
    let sacl = |aces| SecurityDescriptor { sacl: Some(Acl::of_rules(aces)), ..root() };
    assert_eq!(child_of(&sacl(vec![label(0)])).sacl, None);
    assert_eq!(child_of(&sacl(vec![label(CI)])).sacl.unwrap().aces, [label(CI | ID)]);
}

#[test]
fn the_branches_that_decide_are_marked() {
    let mut covered = Covered::new();
    let parent = with_aces(vec![Ace::allow(GENERIC_READ, &CREATOR_OWNER, CI | NP | IO)]);
    inherit(&parent, &Token::system(), &mut covered).unwrap();
    for id in ["INH-10", "INH-11", "INH-15", "INH-16", "INH-21", "INH-24", "INH-26", "INH-29"] {
        assert!(covered.contains(id), "{id}");
    }
    assert!(!covered.contains("INH-22"));
}
