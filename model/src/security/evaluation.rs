//! The pipeline of an access check, for one set of assumptions.
//!
//! States PSD-004 §10.10 step by step for registry keys: no object type list, no principal of the
//! object, no local claims, no backup or restore intent. Step 0 is absent, since tokens do not name
//! logon sessions; so are the events of step 14, which are not of the registry.

use super::access_check::{Check, Verdict};
use super::acl::Acl;
use super::assumptions::{Assumptions, Unknown};
use super::auditing::match_flags;
use super::dacl::{Pass, widest_grant};
use super::descriptor::{SecurityDescriptor, control};
use super::identity::Identity;
use super::mandatory;
use super::rights::{
    ACCESS_SYSTEM_SECURITY, DELETE, KEY_ALL_ACCESS, KEY_READ, KEY_WRITE, MAXIMUM_ALLOWED,
    WRITE_DAC, WRITE_OWNER, holds,
};
use super::sid::well_known::ADMINISTRATORS;
use super::{Privilege, Sid, Token, TokenLevel};
use crate::coverage::{Covered, covers};

/// The bits that say where a component came from; they decide nothing.
const DEFAULTED: u16 = control::OWNER_DEFAULTED
    | control::GROUP_DEFAULTED
    | control::DACL_DEFAULTED
    | control::SACL_DEFAULTED;

/// What an access check is for. It decides nothing: an open shows more than a mere decision.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An fd gets the mask, and the open may be audited.
    Open,
    /// Nothing but the verdict is seen.
    Verdict,
}

/// `requested` is mapped already.
pub(super) fn evaluate(
    token: &Token,
    sd: &SecurityDescriptor,
    requested: u32,
    assumptions: &Assumptions,
    (purpose, covered): (Purpose, &mut Covered),
) -> Check {
    let undecided = |verdict| Check { verdict, requested, granted: 0, sacl_match_flags: 0 };

    // Step 1. An error of the evaluation, so that nothing is audited (P-93).
    match token.0.level {
        TokenLevel::Identification => {
            covers!(covered, "ACC-03", "ACC-01");
            return undecided(Verdict::Denied);
        }
        TokenLevel::Anonymous => covers!(covered, "ACC-04"),
        TokenLevel::Primary | TokenLevel::Impersonation | TokenLevel::Delegation => {}
    }

    // Step 2.
    let Some(owner) = &sd.owner else {
        covers!(covered, "SD-15");
        return undecided(Verdict::Malformed);
    };
    if sd.group.is_none() {
        covers!(covered, "SD-16");
    }
    if sd.other_control & DEFAULTED != 0 {
        covers!(covered, "SD-18");
    }

    // Step 3.
    let request = Request {
        desired: requested & !MAXIMUM_ALLOWED,
        maximum_allowed: holds(requested, MAXIMUM_ALLOWED),
    };

    // Steps 4 to 6.
    let mut access = privilege_grants(token, sd.dacl.as_ref(), &request, covered);
    let trusted = assumptions.favour(Unknown::ProcessTrust);
    let label = mandatory::Labels { sacl: sd.sacl.as_ref(), trusted };
    if mandatory::enforce(token, label, &request, &mut access, covered).is_err() {
        return undecided(Verdict::Malformed);
    }

    // Steps 7, 9 and 10.
    let pass = Pass {
        identity: Identity::of_token(token, owner),
        conditions_favour: assumptions.favour(Unknown::Condition),
    };
    let before = access;
    pass.walk(sd.dacl.as_ref(), &mut access, covered);
    if may_lose_ownership(token) {
        let conditions_favour = assumptions.favour(Unknown::OwnershipCondition);
        let other = Pass { identity: Identity::of_token(token, owner), conditions_favour };
        let mut alone = before;
        other.walk(sd.dacl.as_ref(), &mut alone, &mut Covered::new());
        access.take_over(WRITE_OWNER, &alone);
    }
    take_ownership(token, &request, &mut access, covered);

    // Steps 11 to 13.
    restrict(token, owner, sd, assumptions, &mut access, covered);
    confine(token, sd, assumptions, &mut access);
    if !assumptions.favour(Unknown::Policy) {
        access.granted &= least_by_policy(token, &access);
    }

    // Steps 15 and 16.
    let allowed = holds(access.granted, request.desired);
    let conditions_hold = assumptions.favour(Unknown::AuditCondition);
    let (ignored, sacl) = (&mut Covered::new(), sd.sacl.as_ref());
    let audited = if purpose == Purpose::Open { &mut *covered } else { ignored };
    let sacl_match_flags =
        match_flags(sacl, &pass.identity, &request, allowed, conditions_hold, audited);
    mark_result(&request, allowed, covered);
    mark_privileges_without_effect(token, &request, &access, covered);
    if purpose == Purpose::Open {
        mark_open(&request, &access, allowed, covered);
    }
    if !allowed {
        return Check { sacl_match_flags, ..undecided(Verdict::Denied) };
    }
    let granted = if request.maximum_allowed { access.granted } else { request.desired };
    Check { verdict: Verdict::Allowed, requested, granted, sacl_match_flags }
}

/// Whether WRITE_OWNER that the DACL grants may be lost to the restricting SIDs, and is not where the DACL
/// refuses it and a privilege grants it (§10.10 steps 10 and 11).
pub(super) fn may_lose_ownership(token: &Token) -> bool {
    let is_restricted = !token.0.restricted_sids.is_empty() && !token.0.write_restricted;
    is_restricted && token.has_privilege(Privilege::TakeOwnership)
}

/// What every policy leaves at least (§10.8). A rule is evaluated with the privileges, too: with a DACL
/// that grants WRITE_OWNER it may lose that to the restricting SIDs, and everything to confinement.
fn least_by_policy(token: &Token, access: &Access) -> u32 {
    if token.0.confined {
        0
    } else if may_lose_ownership(token) {
        access.privilege_granted & !WRITE_OWNER
    } else {
        access.privilege_granted
    }
}

/// What a caller asks for.
pub(super) struct Request {
    /// Concrete rights.
    pub(super) desired: u32,
    /// Whether whatever can be granted is wanted as well.
    pub(super) maximum_allowed: bool,
}

/// Which bits have been decided, and which of them with yes. The first decision stands (ACC-15).
#[derive(Clone, Copy, Default)]
pub(super) struct Access {
    pub(super) decided: u32,
    pub(super) granted: u32,
    /// What privileges granted, whatever the DACL says.
    pub(super) privilege_granted: u32,
    /// What integrity and process trust refused before the DACL.
    pub(super) mandatory_decided: u32,
}

impl Access {
    /// Grants what is still undecided.
    pub(super) fn grant(&mut self, mask: u32) {
        self.granted |= mask & !self.decided;
        self.decided |= mask;
    }

    /// Refuses what is still undecided.
    pub(super) fn deny(&mut self, mask: u32) {
        self.decided |= mask;
    }

    /// Takes over what another walk says of these bits.
    fn take_over(&mut self, mask: u32, other: &Access) {
        self.decided = self.decided & !mask | other.decided & mask;
        self.granted = self.granted & !mask | other.granted & mask;
    }

    /// Grants by a privilege, whatever was decided before.
    fn grant_by_privilege(&mut self, mask: u32) {
        self.decided |= mask;
        self.granted |= mask;
        self.privilege_granted |= mask;
    }
}

/// Steps 4 and 5. SeBackup and SeRestore count for nothing without an intent, which opening a key
/// never states.
fn privilege_grants(
    token: &Token,
    dacl: Option<&Acl>,
    request: &Request,
    covered: &mut Covered,
) -> Access {
    let mut access = Access::default();
    let is_asked = request.maximum_allowed || holds(request.desired, ACCESS_SYSTEM_SECURITY);
    if token.has_privilege(Privilege::Security) {
        if is_asked {
            covers!(covered, "ACC-09", "ACC-50");
        }
        access.grant_by_privilege(ACCESS_SYSTEM_SECURITY);
        return access;
    }
    if is_asked {
        covers!(covered, "ACC-10");
        if dacl.is_some_and(|dacl| holds(widest_grant(dacl), ACCESS_SYSTEM_SECURITY)) {
            covers!(covered, "ACC-08");
        }
        if token.is_member_of(&ADMINISTRATORS) {
            covers!(covered, "ACC-52");
        }
    }
    access.deny(ACCESS_SYSTEM_SECURITY);
    access
}

/// Privileges that a caller has, and that do not bring what is refused.
fn mark_privileges_without_effect(
    token: &Token,
    request: &Request,
    access: &Access,
    covered: &mut Covered,
) {
    let every = KEY_ALL_ACCESS | ACCESS_SYSTEM_SECURITY;
    let asked = if request.maximum_allowed { every } else { request.desired };
    let refused = asked & !access.granted;
    if token.has_privilege(Privilege::Backup) && refused & KEY_READ != 0 {
        covers!(covered, "ACC-11");
    }
    let restored = KEY_WRITE | WRITE_DAC | WRITE_OWNER | DELETE | ACCESS_SYSTEM_SECURITY;
    if token.has_privilege(Privilege::Restore) && refused & restored != 0 {
        covers!(covered, "ACC-12");
    }
    if token.has_privilege(Privilege::Tcb) && refused != 0 {
        covers!(covered, "ACC-51");
    }
}

/// Step 10.
fn take_ownership(token: &Token, request: &Request, access: &mut Access, covered: &mut Covered) {
    let wanted = request.maximum_allowed || holds(request.desired, WRITE_OWNER);
    if !wanted || !token.has_privilege(Privilege::TakeOwnership) {
        return;
    }
    if holds(access.mandatory_decided, WRITE_OWNER) {
        covers!(covered, "ACC-47", "ACC-01");
    } else if !holds(access.granted, WRITE_OWNER) {
        covers!(covered, "ACC-46", "ACC-50");
        access.grant_by_privilege(WRITE_OWNER);
    }
}

/// Step 11: what a restricted token has, its restricting SIDs must be granted as well (§10.4).
fn restrict(
    token: &Token,
    owner: &Sid,
    sd: &SecurityDescriptor,
    assumptions: &Assumptions,
    access: &mut Access,
    covered: &mut Covered,
) {
    let restricting = &token.0.restricted_sids;
    if restricting.is_empty() {
        return;
    }
    covers!(covered, "ACC-73", "ACC-74");
    let mut second = Access::default();
    let identity = Identity::of_restricting_sids(restricting, owner);
    let conditions_favour = assumptions.favour(Unknown::RestrictedCondition);
    let ignored = &mut Covered::new();
    if identity.is_owner() {
        covers!(covered, "ACC-78", "ACC-79");
    }
    Pass { identity, conditions_favour }.walk(sd.dacl.as_ref(), &mut second, ignored);
    if sd.dacl.is_none() {
        covers!(covered, "ACC-80");
    }
    if token.0.write_restricted {
        covers!(covered, "ACC-76");
        access.granted &= second.granted | !KEY_WRITE;
    } else {
        access.granted &= second.granted;
    }
    if access.privilege_granted & !access.granted != 0 {
        covers!(covered, "ACC-77", "ACC-01");
    }
    access.granted |= access.privilege_granted;
}

/// Step 12. Which confinement SIDs the token has is not known here: they are granted nothing, or
/// all that the DACL allows anyone. A null DACL grants them what it grants everyone. §10.6 has
/// ACCESS_SYSTEM_SECURITY out of their reach, and §10.10 in that of an ACE which grants it: then it is open.
fn confine(token: &Token, sd: &SecurityDescriptor, assumptions: &Assumptions, access: &mut Access) {
    if !token.0.confined {
        return;
    }
    access.granted &= match &sd.dacl {
        None => KEY_ALL_ACCESS,
        Some(dacl) if assumptions.favour(Unknown::Confinement) => widest_grant(dacl),
        Some(_) => 0,
    };
}

fn mark_result(request: &Request, allowed: bool, covered: &mut Covered) {
    match (request.desired, request.maximum_allowed) {
        (0, true) => covers!(covered, "ACC-07", "ACC-37"),
        (0, false) => covers!(covered, "ACC-07"),
        (_, true) if !allowed => covers!(covered, "ACC-36", "ACC-06"),
        _ => covers!(covered, "ACC-06"),
    }
    if allowed && request.maximum_allowed {
        covers!(covered, "ACC-34", "ACC-35");
    }
}

/// What an fd gets of what could be granted.
fn mark_open(request: &Request, access: &Access, allowed: bool, covered: &mut Covered) {
    if !allowed && access.granted & request.desired != 0 {
        covers!(covered, "SEC-08", "SEC-09");
    }
    if allowed && !request.maximum_allowed && access.granted & !request.desired != 0 {
        covers!(covered, "SEC-10");
    }
}

#[cfg(test)]
#[path = "evaluation_tests.rs"]
mod tests;
