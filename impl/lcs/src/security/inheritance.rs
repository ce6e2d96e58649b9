//! The descriptor of a new key, from its parent's and its creator's token (PSD-004 §3.6,
//! PSD-005 §3.1, D-28).
//!
//! A registry call never brings a descriptor for the new key, so only that case is here.

use std::error::Error;
use std::fmt;

use super::acl::{Ace, AceBody, Acl, ace_flag, ace_type};
use super::descriptor::{SECURITY_DESCRIPTOR_LENGTH_MAX, SecurityDescriptor, control};
use super::rights::map_generic;
use super::sid::Sid;
use super::token::Token;

/// The computed descriptor would exceed 65,535 bytes, so that the creation must fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorTooLong;

/// The descriptor of a key that `token` creates below a key with descriptor `parent`.
///
/// # Errors
/// [`DescriptorTooLong`].
pub fn inherit(
    parent: &SecurityDescriptor,
    token: &Token,
) -> Result<SecurityDescriptor, DescriptorTooLong> {
    // Owner and group always come from the token here: a default source.
    let mut flags = control::OWNER_DEFAULTED | control::GROUP_DEFAULTED;
    let dacl = match inherited(parent.dacl.as_ref(), token) {
        Some(acl) => {
            flags |= control::DACL_AUTO_INHERITED;
            Some(acl)
        }
        None => {
            flags |= if token.default_dacl.is_some() { control::DACL_DEFAULTED } else { 0 };
            token.default_dacl.as_ref().map(|acl| default_dacl(acl, token))
        }
    };
    let sacl = inherited(parent.sacl.as_ref(), token);
    flags |= if sacl.is_some() { control::SACL_AUTO_INHERITED } else { 0 };
    let descriptor = SecurityDescriptor {
        reserved: 0,
        control: flags,
        owner: Some(token.owner),
        group: Some(token.primary_group),
        sacl,
        dacl,
    };
    if descriptor.to_bytes().len() > SECURITY_DESCRIPTOR_LENGTH_MAX {
        return Err(DescriptorTooLong);
    }
    Ok(descriptor)
}

/// What a new key takes of one of its parent's lists; `None` when nothing in it is inheritable.
fn inherited(parent: Option<&Acl>, token: &Token) -> Option<Acl> {
    let parent = parent?;
    let aces: Vec<Ace> = parent
        .aces
        .iter()
        .filter(|ace| ace.flags & ace_flag::CONTAINER_INHERIT != 0 && !is_bound_to_its_object(ace))
        .map(|ace| inherited_ace(ace, token))
        .collect();
    if aces.is_empty() {
        return None;
    }
    Some(Acl::derived(aces, parent))
}

fn inherited_ace(ace: &Ace, token: &Token) -> Ace {
    use ace_flag::{
        CONTAINER_INHERIT, INHERIT_ONLY, INHERITED, NO_PROPAGATE_INHERIT, OBJECT_INHERIT,
    };
    let mut copy = resolved(ace, token);
    copy.flags &= !INHERIT_ONLY;
    if copy.flags & NO_PROPAGATE_INHERIT != 0 {
        copy.flags &= !(OBJECT_INHERIT | CONTAINER_INHERIT | NO_PROPAGATE_INHERIT);
    }
    copy.flags |= INHERITED;
    copy
}

fn default_dacl(acl: &Acl, token: &Token) -> Acl {
    Acl::derived(acl.aces.iter().map(|ace| resolved(ace, token)).collect(), acl)
}

/// A copy with creators put in for their placeholders and generic rights mapped. Application data
/// stays as it is.
fn resolved(ace: &Ace, token: &Token) -> Ace {
    let mut copy = ace.clone();
    if let AceBody::Entry(entry) = &mut copy.body {
        // Of every ACE, though not every mask is one of access rights (INH-26, P-121).
        entry.mask = map_generic(entry.mask);
        if entry.sid == Sid::CREATOR_OWNER {
            entry.sid = token.owner;
        } else if entry.sid == Sid::CREATOR_GROUP {
            entry.sid = token.primary_group;
        }
    }
    copy
}

/// A resource attribute whose claim says that it is not inheritable.
fn is_bound_to_its_object(ace: &Ace) -> bool {
    const CLAIM_FLAGS_OFFSET: usize = 8;
    const NON_INHERITABLE: u8 = 0x01;
    match &ace.body {
        AceBody::Entry(entry) if ace.kind == ace_type::RESOURCE_ATTRIBUTE => {
            entry.data.get(CLAIM_FLAGS_OFFSET).is_some_and(|flags| flags & NON_INHERITABLE != 0)
        }
        _ => false,
    }
}

impl fmt::Display for DescriptorTooLong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the computed security descriptor exceeds 65,535 bytes")
    }
}

impl Error for DescriptorTooLong {}
