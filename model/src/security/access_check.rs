//! The decision whether a token may have the access it asks for.
//!
//! States PSD-005 §3.1 (access mask validation) and, step by step, PSD-004 §10.10 with the walk of
//! §10.2, for registry keys: no object type list, no principal of the object, no backup or
//! restore intent. Steps that concern what the header of `security.rs` lists as not decided yet
//! are absent.

use super::acl::{Ace, AceBody, AceKind, Acl, Effect, ace_flags::INHERIT_ONLY};
use super::descriptor::SecurityDescriptor;
use super::rights::{
    ACCESS_SYSTEM_SECURITY, KEY_ALL_ACCESS, MAXIMUM_ALLOWED, READ_CONTROL,
    REG_VALID_DESIRED_ACCESS_MASK, WRITE_DAC, WRITE_OWNER, holds, map_generic_bits,
};
use super::sid::well_known::OWNER_RIGHTS;
use super::{Privilege, Sid, Token};
use crate::errno::Errno;

/// Whether a caller may ask for `desired` at all.
///
/// # Errors
///
/// EINVAL for zero and for any bit outside `REG_VALID_DESIRED_ACCESS_MASK` (SEC-28 to SEC-31).
pub fn check_desired_access(desired: u32) -> Result<(), Errno> {
    if desired == 0 || desired & !REG_VALID_DESIRED_ACCESS_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// The granted mask of an open: with `MAXIMUM_ALLOWED` all that the token can have, otherwise
/// exactly the mapped request (SEC-10, SEC-11, D-26). It may be empty.
///
/// # Errors
///
/// EACCES if a requested right is not granted; EIO for a descriptor without owner, which is
/// malformed data of its source (SD-15).
pub fn access_check(token: &Token, sd: &SecurityDescriptor, desired: u32) -> Result<u32, Errno> {
    // Step 2.
    let owner = sd.owner.as_ref().ok_or(Errno::EIO)?;

    // Step 3.
    let desired = map_generic_bits(desired);
    let maximum_allowed = holds(desired, MAXIMUM_ALLOWED);
    let desired = desired & !MAXIMUM_ALLOWED;

    // Steps 4 and 5. SeBackup and SeRestore count for nothing without an intent, which opening a
    // key never states (ACC-11, ACC-12).
    let mut access = Access::default();
    if token.has_privilege(Privilege::Security) {
        access.grant(ACCESS_SYSTEM_SECURITY);
    } else {
        access.deny(ACCESS_SYSTEM_SECURITY);
    }

    // Steps 7 and 9.
    evaluate_dacl(token, owner, sd.dacl.as_ref(), &mut access);

    // Step 10.
    let wants_ownership = maximum_allowed || holds(desired, WRITE_OWNER);
    if wants_ownership && token.has_privilege(Privilege::TakeOwnership) {
        access.overrule(WRITE_OWNER);
    }

    // Step 16.
    if !holds(access.granted, desired) {
        return Err(Errno::EACCES);
    }
    Ok(if maximum_allowed { access.granted } else { desired })
}

/// Which bits have been decided, and which of them with yes. The first decision stands (ACC-15).
#[derive(Default)]
struct Access {
    decided: u32,
    granted: u32,
}

impl Access {
    fn grant(&mut self, mask: u32) {
        self.granted |= mask & !self.decided;
        self.decided |= mask;
    }

    fn deny(&mut self, mask: u32) {
        self.decided |= mask;
    }

    /// Grants whatever was decided before.
    fn overrule(&mut self, mask: u32) {
        self.granted |= mask;
        self.decided |= mask;
    }
}

/// `EvaluateDACL` of §10.2.
fn evaluate_dacl(token: &Token, owner: &Sid, dacl: Option<&Acl>, access: &mut Access) {
    let rules: Vec<Rule<'_>> = dacl.iter().flat_map(|acl| &acl.aces).filter_map(rule).collect();

    if token.is_owner(owner) && !rules.iter().any(|rule| *rule.sid == *OWNER_RIGHTS) {
        access.grant(READ_CONTROL | WRITE_DAC);
    }
    if dacl.is_none() {
        access.grant(KEY_ALL_ACCESS);
    }
    // Who is the owner in the walk is decided by allow matching, for denials too (§10.10,
    // EnrichToken); the implicit rights above ask only whether the SID is there (§3.7).
    let matches_owner = token.matches_allow(owner);
    for rule in rules {
        let is_owner_rule = matches_owner && *rule.sid == *OWNER_RIGHTS;
        let mask = map_generic_bits(rule.mask);
        match rule.effect {
            RuleEffect::Allow if is_owner_rule || token.matches_allow(rule.sid) => {
                access.grant(mask);
            }
            RuleEffect::Deny if is_owner_rule || token.matches_deny(rule.sid) => {
                access.deny(mask);
            }
            _ => {}
        }
    }
}

/// An ACE that takes part in the walk.
struct Rule<'a> {
    effect: RuleEffect,
    mask: u32,
    sid: &'a Sid,
}

enum RuleEffect {
    Allow,
    Deny,
    /// An allow ACE whose condition is not satisfied.
    Nothing,
}

/// The rule in `ace`, if it takes part: it allows or denies, and is not for children alone
/// (ACC-27). Without an object type list, an object ACE is like a basic one (PSD-004 §10.5).
///
/// Conditions are not evaluated yet, so that each is UNKNOWN: an allow ACE has no effect then,
/// and a deny ACE has all of it (PSD-004 §3.8).
fn rule(ace: &Ace) -> Option<Rule<'_>> {
    let AceBody::Recognised { kind: AceKind::Rule { effect, condition, .. }, mask, sid } =
        &ace.body
    else {
        return None;
    };
    if ace.has_flags(INHERIT_ONLY) {
        return None;
    }
    let effect = match (effect, condition) {
        (Effect::Allow, None) => RuleEffect::Allow,
        (Effect::Allow, Some(_)) => RuleEffect::Nothing,
        (Effect::Deny, _) => RuleEffect::Deny,
        (Effect::Audit | Effect::Alarm, _) => return None,
    };
    Some(Rule { effect, mask: *mask, sid })
}

#[cfg(test)]
#[path = "access_check_tests.rs"]
mod tests;
