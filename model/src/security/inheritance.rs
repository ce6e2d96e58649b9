//! The descriptor of a new key.
//!
//! States PSD-004 §3.6 for an object without a creator SD, PSD-005 §3.1 (SD inheritance) and
//! D-28. Does not look at ACEs again later: inheritance happens once (INH-03).

use super::acl::{Ace, AceBody, AceKind, Acl, ace_flags};
use super::descriptor::{SecurityDescriptor, control};
use super::rights::map_generic_bits;
use super::sid::well_known::{CREATOR_GROUP, CREATOR_OWNER};
use super::{Sid, Token};
use crate::errno::Errno;

/// The descriptor of a key that `token` creates below a key that has `parent`.
///
/// # Errors
///
/// EINVAL if the result would be longer than 65,535 bytes (INH-34), or if the token's default
/// DACL is needed and malformed.
pub fn inherit(parent: &SecurityDescriptor, token: &Token) -> Result<SecurityDescriptor, Errno> {
    let creator = Creator { owner: &token.0.owner, group: &token.0.primary_group };
    // The two come from the token, which is a default source (INH-19, INH-20, SD-19).
    let mut other_control = control::OWNER_DEFAULTED | control::GROUP_DEFAULTED;
    let mut dacl = parent.dacl.as_ref().and_then(|acl| inherited(acl, &creator));
    if dacl.is_some() {
        other_control |= control::DACL_AUTO_INHERITED;
    } else {
        dacl = default_dacl(token, &creator)?;
        if dacl.is_some() {
            other_control |= control::DACL_DEFAULTED;
        }
    }
    let sacl = parent.sacl.as_ref().and_then(|acl| inherited(acl, &creator));
    if sacl.is_some() {
        other_control |= control::SACL_AUTO_INHERITED;
    }
    let descriptor = SecurityDescriptor {
        resource_manager_control: 0,
        other_control,
        owner: Some(creator.owner.clone()),
        group: Some(creator.group.clone()),
        sacl,
        dacl,
    };
    descriptor.to_bytes()?;
    Ok(descriptor)
}

/// Who CREATOR OWNER and CREATOR GROUP stand for.
struct Creator<'a> {
    owner: &'a Sid,
    group: &'a Sid,
}

/// The ACEs of `parent` that a new key gets, or `None` if there are none (INH-21, INH-29).
fn inherited(parent: &Acl, creator: &Creator<'_>) -> Option<Acl> {
    let aces: Vec<Ace> = parent
        .aces
        .iter()
        .filter(|ace| is_inheritable(ace))
        .map(|ace| resolved(&inherited_copy(ace), creator))
        .collect();
    if aces.is_empty() { None } else { Some(Acl::rewritten_from(parent, aces)) }
}

/// The token's default DACL (INH-22); without one the DACL is null (INH-23).
fn default_dacl(token: &Token, creator: &Creator<'_>) -> Result<Option<Acl>, Errno> {
    let Some(bytes) = &token.0.default_dacl else { return Ok(None) };
    let source = Acl::parse(bytes).map_err(|_| Errno::EINVAL)?;
    let aces = source.aces.iter().map(|ace| resolved(ace, creator)).collect();
    Ok(Some(Acl::rewritten_from(&source, aces)))
}

/// Keys are containers, so that only CONTAINER_INHERIT counts (INH-05, INH-12, D-28).
fn is_inheritable(ace: &Ace) -> bool {
    ace.has_flags(ace_flags::CONTAINER_INHERIT) && !is_non_inheritable_attribute(ace)
}

/// Resource attributes can say by themselves that they stay where they are: bit 0 of the flags
/// at offset 8 of the claim (PSD-004 §3.6, §3.9).
fn is_non_inheritable_attribute(ace: &Ace) -> bool {
    match &ace.body {
        AceBody::Recognised { kind: AceKind::ResourceAttribute { claim }, .. } => {
            claim.get(8).is_some_and(|flags| flags & 1 != 0)
        }
        _ => false,
    }
}

/// The copy applies to the new key whether or not the original applied to the parent, and is
/// inherited further unless NO_PROPAGATE_INHERIT says otherwise (INH-09 to INH-11, INH-15).
fn inherited_copy(ace: &Ace) -> Ace {
    use ace_flags::{
        CONTAINER_INHERIT, INHERIT_ONLY, INHERITED, NO_PROPAGATE_INHERIT, OBJECT_INHERIT,
    };
    let mut copy = ace.clone();
    copy.flags &= !INHERIT_ONLY;
    if ace.has_flags(NO_PROPAGATE_INHERIT) {
        copy.flags &= !(OBJECT_INHERIT | CONTAINER_INHERIT | NO_PROPAGATE_INHERIT);
    }
    copy.flags |= INHERITED;
    copy
}

/// Puts the creator in place of placeholders and concrete rights in place of generic ones
/// (INH-16, INH-17, INH-26). Application data is left alone.
fn resolved(ace: &Ace, creator: &Creator<'_>) -> Ace {
    let mut copy = ace.clone();
    if let AceBody::Recognised { mask, sid, .. } = &mut copy.body {
        *mask = map_generic_bits(*mask);
        if *sid == *CREATOR_OWNER {
            *sid = creator.owner.clone();
        } else if *sid == *CREATOR_GROUP {
            *sid = creator.group.clone();
        }
    }
    copy
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::security::ace_flags::{
        CONTAINER_INHERIT as CI, INHERIT_ONLY as IO, INHERITED as ID, NO_PROPAGATE_INHERIT as NP,
        OBJECT_INHERIT as OI,
    };
    use crate::security::rights::{DELETE, GENERIC_ALL, GENERIC_READ, KEY_ALL_ACCESS, KEY_READ};
    use crate::security::well_known::{ADMINISTRATORS, EVERYONE, SYSTEM};
    use crate::security::{Effect, default_root_sd};

    fn root() -> SecurityDescriptor {
        SecurityDescriptor::parse(&default_root_sd()).unwrap()
    }

    fn with_aces(aces: Vec<Ace>) -> SecurityDescriptor {
        SecurityDescriptor { dacl: Some(Acl::of_rules(aces)), ..root() }
    }

    fn child_of(parent: &SecurityDescriptor) -> SecurityDescriptor {
        inherit(parent, &Token::system()).unwrap()
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
            0x02, 0x00, 0x48, 0x00, 0x03, 0x00, 0x00,
            0x00, // revision 2, 72 bytes, three ACEs
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
        let expected = vec![
            Ace::allow(KEY_READ, &SYSTEM, CI | ID),
            Ace::deny(DELETE, &ADMINISTRATORS, CI | ID),
        ];
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
        let child = inherit(&with_aces(Vec::new()), &token_with(None)).unwrap();
        assert_eq!((child.dacl.clone(), child.control()), (None, 0x8000 | 0x0001 | 0x0002));
        assert_eq!(child.to_bytes().unwrap()[16..20], [0; 4]);
    }

    #[test]
    fn a_malformed_default_dacl_matters_only_when_it_is_needed() {
        let token = token_with(Some(vec![2, 0, 9, 0, 0, 0, 0, 0]));
        assert!(inherit(&root(), &token).is_ok());
        assert_eq!(inherit(&with_aces(Vec::new()), &token), Err(Errno::EINVAL));
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
            let mut claim = vec![0; 16];
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
        assert!(inherit(&parent, &Token::system()).is_ok());
        let mut fields = (*Token::system().0).clone();
        fields.owner = long_owner;
        assert_eq!(inherit(&parent, &Token(Arc::new(fields))), Err(Errno::EINVAL));
    }
}
