//! The descriptor of a new key.
//!
//! States PSD-004 §3.6 for an object without a creator SD, PSD-005 §3.1 (SD inheritance) and
//! D-28. Does not look at ACEs again later: inheritance happens once (INH-03).

use super::acl::{Ace, AceBody, AceKind, Acl, ace_flags};
use super::claim;
use super::descriptor::{SecurityDescriptor, control};
use super::malformed::MalformedDescriptor;
use super::rights::map_generic_bits;
use super::sid::well_known::{CREATOR_GROUP, CREATOR_OWNER};
use super::{Sid, Token};
use crate::coverage::{Covered, covers};
use crate::errno::Errno;

/// The descriptor of a key that `token` creates below a key that has `parent`.
///
/// # Errors
///
/// EINVAL if the result would be longer than 65,535 bytes (INH-34), or if the token's default
/// DACL is needed and is none that a key may have (P-95).
pub fn inherit(
    parent: &SecurityDescriptor,
    token: &Token,
    covered: &mut Covered,
) -> Result<SecurityDescriptor, Errno> {
    covers!(covered, "INH-01", "INH-08", "INH-19", "INH-20", "SD-19");
    let creator = Creator { owner: &token.0.owner, group: &token.0.primary_group };
    // The two come from the token, which is a default source (INH-19, INH-20, SD-19).
    let defaulted = control::OWNER_DEFAULTED | control::GROUP_DEFAULTED;
    let (dacl, dacl_control) = dacl(parent, token, &creator, covered)?;
    let (sacl, sacl_control) = sacl(parent, &creator, covered);
    let descriptor = SecurityDescriptor {
        resource_manager_control: 0,
        other_control: defaulted | dacl_control | sacl_control,
        owner: Some(creator.owner.clone()),
        group: Some(creator.group.clone()),
        sacl,
        dacl,
    };
    match descriptor.check() {
        Ok(()) => Ok(descriptor),
        Err(malformed) => {
            if malformed == MalformedDescriptor::TooLong {
                covers!(covered, "INH-34", "SD-14");
            }
            Err(Errno::EINVAL)
        }
    }
}

/// The new DACL with the control bits that go with it: what is inherited (INH-21), else the token's
/// default DACL (INH-22), else the null DACL (INH-23).
fn dacl(
    parent: &SecurityDescriptor,
    token: &Token,
    creator: &Creator<'_>,
    covered: &mut Covered,
) -> Result<(Option<Acl>, u16), Errno> {
    let inherited = parent.dacl.as_ref().and_then(|acl| inherited(acl, creator, covered));
    if let Some(acl) = inherited {
        covers!(covered, "INH-21", "INH-24");
        return Ok((Some(acl), control::DACL_AUTO_INHERITED));
    }
    covers!(covered, "INH-07");
    let Some(bytes) = &token.0.default_dacl else {
        covers!(covered, "INH-23", "SD-21");
        return Ok((None, 0));
    };
    covers!(covered, "INH-22");
    let source = Acl::parse(bytes).map_err(|_| Errno::EINVAL)?;
    let aces = source.aces.iter().map(|ace| resolved(ace, creator, covered)).collect();
    Ok((Some(Acl::rewritten_from(&source, aces)), control::DACL_DEFAULTED))
}

/// The new SACL with the control bits that go with it. No token has a default one (INH-29).
fn sacl(
    parent: &SecurityDescriptor,
    creator: &Creator<'_>,
    covered: &mut Covered,
) -> (Option<Acl>, u16) {
    let Some(acl) = parent.sacl.as_ref().and_then(|acl| inherited(acl, creator, covered)) else {
        covers!(covered, "INH-29");
        return (None, 0);
    };
    covers!(covered, "INH-25", "INH-28");
    (Some(acl), control::SACL_AUTO_INHERITED)
}

/// Who CREATOR OWNER and CREATOR GROUP stand for.
struct Creator<'a> {
    owner: &'a Sid,
    group: &'a Sid,
}

/// The ACEs of `parent` that a new key gets, in their order there, or `None` if there are none.
fn inherited(parent: &Acl, creator: &Creator<'_>, covered: &mut Covered) -> Option<Acl> {
    let mut aces = Vec::new();
    for ace in &parent.aces {
        if is_inheritable(ace, covered) {
            aces.push(resolved(&inherited_copy(ace, covered), creator, covered));
        }
    }
    if aces.len() > 1 {
        covers!(covered, "INH-27");
    }
    if aces.is_empty() {
        return None;
    }
    let made = Acl::rewritten_from(parent, aces);
    if made.revision != parent.revision {
        covers!(covered, "SD-38");
    }
    Some(made)
}

/// Keys are containers, so that only CONTAINER_INHERIT counts (INH-05, D-28). Without a class of
/// the new key, the object types of an ACE keep it from nobody (§3.6).
fn is_inheritable(ace: &Ace, covered: &mut Covered) -> bool {
    use ace_flags::{CONTAINER_INHERIT, NO_PROPAGATE_INHERIT, OBJECT_INHERIT};
    if ace.has_flags(CONTAINER_INHERIT) {
        return !is_non_inheritable_attribute(ace);
    }
    if ace.has_flags(OBJECT_INHERIT | NO_PROPAGATE_INHERIT) {
        covers!(covered, "INH-13", "INH-05");
    } else if ace.has_flags(OBJECT_INHERIT) {
        covers!(covered, "INH-12", "INH-05");
    } else {
        covers!(covered, "INH-14");
    }
    false
}

/// Resource attributes can say by themselves that they stay where they are (§3.6, §3.9).
fn is_non_inheritable_attribute(ace: &Ace) -> bool {
    match &ace.body {
        AceBody::Recognised { kind: AceKind::ResourceAttribute { claim }, .. } => {
            claim::is_non_inheritable(claim)
        }
        _ => false,
    }
}

/// The copy applies to the new key whether or not the original applied to the parent, and is
/// inherited further unless NO_PROPAGATE_INHERIT says otherwise.
fn inherited_copy(ace: &Ace, covered: &mut Covered) -> Ace {
    use ace_flags::{
        CONTAINER_INHERIT, INHERIT_ONLY, INHERITED, NO_PROPAGATE_INHERIT, OBJECT_INHERIT,
    };
    covers!(covered, "INH-15");
    let mut copy = ace.clone();
    if ace.has_flags(INHERIT_ONLY) {
        covers!(covered, "INH-11");
        copy.flags &= !INHERIT_ONLY;
    }
    if ace.has_flags(NO_PROPAGATE_INHERIT) {
        covers!(covered, "INH-10");
        copy.flags &= !(OBJECT_INHERIT | CONTAINER_INHERIT | NO_PROPAGATE_INHERIT);
    } else {
        covers!(covered, "INH-09");
    }
    copy.flags |= INHERITED;
    copy
}

/// Puts the creator in place of placeholders and concrete rights in place of generic ones, in the
/// mask and the principal alone: application data is left as it is.
fn resolved(ace: &Ace, creator: &Creator<'_>, covered: &mut Covered) -> Ace {
    let mut copy = ace.clone();
    let AceBody::Recognised { mask, sid, .. } = &mut copy.body else {
        covers!(covered, "SD-35", "SD-39");
        return copy;
    };
    let mapped = map_generic_bits(*mask);
    if mapped != *mask {
        covers!(covered, "INH-26");
        *mask = mapped;
    }
    if *sid == *CREATOR_OWNER {
        covers!(covered, "INH-16", "SD-08");
        *sid = creator.owner.clone();
    } else if *sid == *CREATOR_GROUP {
        covers!(covered, "INH-17");
        *sid = creator.group.clone();
    }
    copy
}

#[cfg(test)]
#[path = "inheritance_tests.rs"]
mod tests;
