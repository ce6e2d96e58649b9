//! The access evaluation: which rights a token has on a key (PSD-004 §10, PSD-005 §3.1).
//!
//! The steps of §10.10 in their order, without object trees. No caller of a registry operation
//! states backup or restore intent, so those privileges have no part in it. The implicit rights are
//! those of §3.7: the owner's SID is anywhere on the token. Whom an ACE for OWNER RIGHTS matches is
//! said by §10.10: whoever an allow ACE for the owner would match (P-94).

use abi::{
    ACCESS_SYSTEM_SECURITY, Errno, GENERIC_ALL, KEY_ALL_ACCESS, KEY_WRITE, MAXIMUM_ALLOWED,
    READ_CONTROL, REG_VALID_DESIRED_ACCESS_MASK, WRITE_DAC, WRITE_OWNER,
};

use super::acl::{Ace, Acl, ace_type};
use super::auditing::{AuditMatch, audit_match};
use super::descriptor::SecurityDescriptor;
use super::mandatory::{integrity_refusal, trust_refusal};
use super::privileges::Privileges;
use super::rights::map_generic;
use super::sid::Sid;
use super::token::{Token, TokenLevel};

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

/// What an evaluation comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What was asked for, generic bits mapped; MAXIMUM_ALLOWED is kept (D-95).
    pub requested: u32,
    /// With MAXIMUM_ALLOWED all that may be, else exactly what was asked (D-26); EACCES when any
    /// right asked for is not granted.
    pub granted: Result<u32, Errno>,
    /// Which audit ACEs of the object match it, if any do.
    pub audit: Option<AuditMatch>,
}

/// An access evaluation that is refused: its descriptor has no owner (PSD-004 §10.10 step 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerMissing;

/// Decides `desired` for `token` on the object of `descriptor`.
///
/// # Errors
/// [`OwnerMissing`], which whoever keeps the descriptor has to answer for (`SD-15`).
pub fn decide(
    token: &Token,
    descriptor: &SecurityDescriptor,
    desired: u32,
) -> Result<Decision, OwnerMissing> {
    let requested = map_generic(desired);
    if token.level == TokenLevel::Identification {
        // Step 1 ends before the descriptor is looked at.
        return Ok(Decision { requested, granted: Err(Errno::EACCES), audit: None });
    }
    let object = Object::of(descriptor)?;
    let maximum = requested & MAXIMUM_ALLOWED != 0;
    let rights = requested & !MAXIMUM_ALLOWED;
    let all = evaluate(token, object, rights, maximum);
    let granted = if all & rights != rights {
        Err(Errno::EACCES)
    } else if maximum {
        Ok(all)
    } else {
        Ok(rights)
    };
    let audit = audit_match(token, object, rights, granted.is_ok());
    Ok(Decision { requested, granted, audit })
}

/// The mask of [`decide`], where nobody audits.
///
/// # Errors
/// EACCES when any right asked for, MAXIMUM_ALLOWED aside, is not granted; EIO for a descriptor
/// without an owner.
pub fn access_check(
    token: &Token,
    descriptor: &SecurityDescriptor,
    desired: u32,
) -> Result<u32, Errno> {
    decide(token, descriptor, desired).map_err(|OwnerMissing| Errno::EIO)?.granted
}

/// What a descriptor that can be evaluated says.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    pub owner: &'a Sid,
    pub sacl: Option<&'a Acl>,
    pub dacl: Option<&'a Acl>,
}

impl<'a> Object<'a> {
    fn of(descriptor: &'a SecurityDescriptor) -> Result<Self, OwnerMissing> {
        let SecurityDescriptor { owner, sacl, dacl, .. } = descriptor;
        let owner = owner.as_ref().ok_or(OwnerMissing)?;
        Ok(Self { owner, sacl: sacl.as_ref(), dacl: dacl.as_ref() })
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

/// Steps 3 to 13: one descriptor, and what central policies leave of it.
fn evaluate(token: &Token, object: Object<'_>, desired: u32, maximum: bool) -> u32 {
    let granted = evaluate_object(token, object, desired, maximum);
    if !names_policy(object) {
        return granted;
    }
    // Nobody hands policies to this kernel, so every one that is named is missing (§10.8).
    let dacl = recovery_dacl();
    let recovery = Object { dacl: Some(&dacl), ..object };
    granted & evaluate_object(token, recovery, desired, maximum)
}

fn evaluate_object(token: &Token, object: Object<'_>, desired: u32, maximum: bool) -> u32 {
    let mut verdict = Verdict::default();
    let mut by_privilege = 0;
    if token.has_privilege(Privileges::SECURITY) {
        by_privilege |= ACCESS_SYSTEM_SECURITY;
    }
    verdict.grant(by_privilege);
    verdict.deny(ACCESS_SYSTEM_SECURITY);

    let untrusted = trust_refusal(object.sacl);
    let mandatory = integrity_refusal(token, object.sacl) | untrusted;
    verdict.deny(mandatory);
    // Integrity leaves alone what a privilege has granted; process trust does not.
    verdict.granted &= !untrusted;

    walk(&Identity::Token(token), object, &mut verdict);

    if (desired & WRITE_OWNER != 0 || maximum)
        && token.has_privilege(Privileges::TAKE_OWNERSHIP)
        && mandatory & WRITE_OWNER == 0
        && verdict.granted & WRITE_OWNER == 0
    {
        by_privilege |= WRITE_OWNER;
        verdict.granted |= WRITE_OWNER;
    }

    if !token.restricted_sids.is_empty() {
        let restricted = granted_to(&token.restricted_sids, object);
        let exempt = if token.write_restricted { !KEY_WRITE } else { 0 };
        verdict.granted &= restricted | exempt | by_privilege;
    }
    if token.confined {
        // No SID stands for the sandbox, so that only a null DACL opens it (§10.6).
        verdict.granted &= granted_to(&[], object);
    }
    verdict.granted
}

fn granted_to(sids: &[Sid], object: Object<'_>) -> u32 {
    let mut verdict = Verdict::default();
    walk(&Identity::Sids(sids), object, &mut verdict);
    verdict.granted
}

fn names_policy(object: Object<'_>) -> bool {
    let mut aces = object.sacl.iter().flat_map(|acl| &acl.aces);
    aces.any(|ace| ace.kind == ace_type::SCOPED_POLICY_ID && !ace.is_inherit_only())
}

/// The rules in place of a policy that is not there (PSD-004 §10.8).
fn recovery_dacl() -> Acl {
    let allow = |sid| Ace::allow(0, GENERIC_ALL, sid);
    Acl::new([Sid::ADMINISTRATORS, Sid::SYSTEM, Sid::OWNER_RIGHTS].map(allow).to_vec())
}

/// Whose SIDs a walk matches against.
enum Identity<'a> {
    Token(&'a Token),
    /// Restricting SIDs, which count by presence.
    Sids(&'a [Sid]),
}

impl Identity<'_> {
    fn owns(&self, owner: &Sid) -> bool {
        match self {
            Self::Token(token) => token.carries(owner),
            Self::Sids(sids) => sids.contains(owner),
        }
    }

    /// Whether ACEs for OWNER RIGHTS match, of either effect (§10.10, `EnrichToken`).
    fn has_owner_rights(&self, owner: &Sid) -> bool {
        self.matches(owner, Effect::Allow)
    }

    fn matches(&self, sid: &Sid, effect: Effect) -> bool {
        match (self, effect) {
            (Self::Token(token), Effect::Allow) => token.matches_allow(sid),
            (Self::Token(token), Effect::Deny) => token.matches_deny(sid),
            (Self::Sids(sids), _) => sids.contains(sid),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// Owner's implicit rights and the DACL, first writer wins (PSD-004 §10.2).
fn walk(identity: &Identity<'_>, object: Object<'_>, verdict: &mut Verdict) {
    let has_owner_rights = identity.has_owner_rights(object.owner);
    let names_owner_rights = object.dacl.iter().flat_map(|acl| &acl.aces).any(|ace| {
        is_access_ace(ace)
            && !ace.is_inherit_only()
            && ace.entry().is_some_and(|entry| entry.sid == Sid::OWNER_RIGHTS)
    });
    if identity.owns(object.owner) && !names_owner_rights {
        verdict.grant(READ_CONTROL | WRITE_DAC);
    }
    let Some(dacl) = object.dacl else {
        verdict.grant(KEY_ALL_ACCESS);
        return;
    };
    for ace in dacl.aces.iter().filter(|ace| !ace.is_inherit_only()) {
        let (Some(effect), Some(entry)) = (effect(ace), ace.entry()) else {
            continue;
        };
        let is_owners = entry.sid == Sid::OWNER_RIGHTS && has_owner_rights;
        if is_owners || identity.matches(&entry.sid, effect) {
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
