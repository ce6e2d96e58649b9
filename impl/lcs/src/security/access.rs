//! The access evaluation: which rights a token has on a key (PSD-004 §10, PSD-005 §3.1).
//!
//! Steps 3 to 12 of §10.10 without confinement and object trees. No caller of a registry
//! operation states backup or restore intent, so those privileges have no part in it. Ownership
//! is that of PSD-004 §3.7, for the implicit rights and for OWNER RIGHTS alike: the owner's SID is
//! anywhere on the token.

use abi::{
    ACCESS_SYSTEM_SECURITY, Errno, GENERIC_EXECUTE, KEY_ALL_ACCESS, KEY_READ, KEY_WRITE,
    MAXIMUM_ALLOWED, READ_CONTROL, REG_VALID_DESIRED_ACCESS_MASK, WRITE_DAC, WRITE_OWNER,
};

use super::acl::{Ace, AceBody, AceEntry, Acl, ace_type};
use super::descriptor::SecurityDescriptor;
use super::privileges::Privileges;
use super::rights::map_generic;
use super::sid::Sid;
use super::token::Token;

const LABEL_NO_READ_UP: u32 = 1;
const LABEL_NO_WRITE_UP: u32 = 2;
const LABEL_NO_EXECUTE_UP: u32 = 4;

/// Checks what a caller asks for, before any path is walked (PSD-005 §3.1).
///
/// # Errors
/// EINVAL for 0 and for any bit that is no right of a key.
pub const fn validate_desired_access(desired: u32) -> Result<(), Errno> {
    if desired == 0 || desired & !REG_VALID_DESIRED_ACCESS_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Decides `desired` for `token` on the object of `descriptor`, and says what is granted: with
/// MAXIMUM_ALLOWED all that may be, else exactly what was asked, generic bits mapped (D-26).
///
/// # Errors
/// EACCES when any right asked for, MAXIMUM_ALLOWED aside, is not granted.
pub fn access_check(
    token: &Token,
    descriptor: &SecurityDescriptor,
    desired: u32,
) -> Result<u32, Errno> {
    let maximum = desired & MAXIMUM_ALLOWED != 0;
    let desired = map_generic(desired & !MAXIMUM_ALLOWED);
    let granted = evaluate(token, descriptor, desired, maximum);
    if granted & desired != desired {
        Err(Errno::EACCES)
    } else if maximum {
        Ok(granted)
    } else {
        Ok(desired)
    }
}

/// Bits settled so far, and those of them settled in the caller's favour.
#[derive(Clone, Copy, Default)]
struct Verdict {
    decided: u32,
    granted: u32,
}

impl Verdict {
    fn grant(&mut self, mask: u32) {
        self.granted |= mask & !self.decided;
        self.decided |= mask;
    }

    fn deny(&mut self, mask: u32) {
        self.decided |= mask;
    }
}

fn evaluate(token: &Token, descriptor: &SecurityDescriptor, desired: u32, maximum: bool) -> u32 {
    let mut verdict = Verdict::default();
    let mut by_privilege = 0;
    if token.has_privilege(Privileges::SECURITY) {
        by_privilege |= ACCESS_SYSTEM_SECURITY;
    }
    verdict.grant(by_privilege);
    verdict.deny(ACCESS_SYSTEM_SECURITY);

    let mandatory = mandatory_refusal(token, descriptor.sacl.as_ref());
    verdict.deny(mandatory);

    walk(&Identity::Token(token), descriptor, &mut verdict);

    if (desired & WRITE_OWNER != 0 || maximum)
        && token.has_privilege(Privileges::TAKE_OWNERSHIP)
        && mandatory & WRITE_OWNER == 0
        && verdict.granted & WRITE_OWNER == 0
    {
        by_privilege |= WRITE_OWNER;
        verdict.granted |= WRITE_OWNER;
    }

    if !token.restricted_sids.is_empty() {
        let mut restricted = Verdict::default();
        walk(&Identity::Restricting(&token.restricted_sids), descriptor, &mut restricted);
        let exempt = if token.write_restricted { !KEY_WRITE } else { 0 };
        verdict.granted &= restricted.granted | exempt | by_privilege;
    }
    verdict.granted
}

/// The rights that the object's label keeps the DACL from granting (PSD-004 §10.3, D-38).
fn mandatory_refusal(token: &Token, sacl: Option<&Acl>) -> u32 {
    let (level, policy) = label(sacl);
    if !token.no_write_up || token.integrity_level >= level {
        return 0;
    }
    let mut allowed = KEY_READ | map_generic(GENERIC_EXECUTE) | READ_CONTROL;
    if policy & LABEL_NO_READ_UP != 0 {
        allowed &= !KEY_READ;
    }
    if policy & LABEL_NO_WRITE_UP != 0 {
        allowed &= !KEY_WRITE;
    }
    if policy & LABEL_NO_EXECUTE_UP != 0 {
        allowed &= !map_generic(GENERIC_EXECUTE);
    }
    if token.has_privilege(Privileges::RELABEL) {
        allowed |= WRITE_OWNER;
    }
    KEY_ALL_ACCESS & !allowed
}

/// Level and policy of the first label that is not inherit-only, or of an unlabelled object.
fn label(sacl: Option<&Acl>) -> (u32, u32) {
    sacl.into_iter()
        .flat_map(|acl| &acl.aces)
        .filter(|ace| ace.kind == ace_type::MANDATORY_LABEL && !ace.is_inherit_only())
        .find_map(|ace| {
            let entry = entry(ace)?;
            Some((entry.sid.integrity_level()?, entry.mask))
        })
        .unwrap_or((Token::INTEGRITY_MEDIUM, LABEL_NO_WRITE_UP))
}

/// Whose SIDs a walk matches against.
enum Identity<'a> {
    Token(&'a Token),
    Restricting(&'a [Sid]),
}

impl Identity<'_> {
    fn owns(&self, owner: &Sid) -> bool {
        match self {
            Self::Token(token) => token.carries(owner),
            Self::Restricting(sids) => sids.contains(owner),
        }
    }

    fn matches(&self, sid: &Sid, effect: Effect) -> bool {
        match (self, effect) {
            (Self::Token(token), Effect::Allow) => token.matches_allow(sid),
            (Self::Token(token), Effect::Deny) => token.matches_deny(sid),
            (Self::Restricting(sids), _) => sids.contains(sid),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// Owner's implicit rights and the DACL, first writer wins (PSD-004 §10.2).
fn walk(identity: &Identity<'_>, descriptor: &SecurityDescriptor, verdict: &mut Verdict) {
    let is_owner = identity.owns(&descriptor.owner);
    let names_owner_rights = descriptor.dacl.iter().flat_map(|acl| &acl.aces).any(|ace| {
        is_access_ace(ace)
            && !ace.is_inherit_only()
            && entry(ace).is_some_and(|entry| entry.sid == Sid::OWNER_RIGHTS)
    });
    if is_owner && !names_owner_rights {
        verdict.grant(READ_CONTROL | WRITE_DAC);
    }
    let Some(dacl) = &descriptor.dacl else {
        verdict.grant(KEY_ALL_ACCESS);
        return;
    };
    for ace in dacl.aces.iter().filter(|ace| !ace.is_inherit_only()) {
        let (Some(effect), Some(entry)) = (effect(ace), entry(ace)) else {
            continue;
        };
        let matches = if entry.sid == Sid::OWNER_RIGHTS && is_owner {
            true
        } else {
            identity.matches(&entry.sid, effect)
        };
        if matches {
            let mask = map_generic(entry.mask);
            match effect {
                Effect::Allow => verdict.grant(mask),
                Effect::Deny => verdict.deny(mask),
            }
        }
    }
}

/// What an ACE of a DACL does; `None` for what is passed over. A condition that is not evaluated
/// counts as undeterminable: it denies, and it does not allow.
const fn effect(ace: &Ace) -> Option<Effect> {
    match ace.kind {
        ace_type::ALLOWED | ace_type::ALLOWED_OBJECT => Some(Effect::Allow),
        ace_type::DENIED
        | ace_type::DENIED_OBJECT
        | ace_type::DENIED_CALLBACK
        | ace_type::DENIED_CALLBACK_OBJECT => Some(Effect::Deny),
        _ => None,
    }
}

const fn is_access_ace(ace: &Ace) -> bool {
    effect(ace).is_some()
        || matches!(ace.kind, ace_type::ALLOWED_CALLBACK | ace_type::ALLOWED_CALLBACK_OBJECT)
}

const fn entry(ace: &Ace) -> Option<&AceEntry> {
    match &ace.body {
        AceBody::Entry(entry) => Some(entry),
        AceBody::Opaque(_) => None,
    }
}
