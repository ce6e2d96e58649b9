//! Which audit ACEs match an open.
//!
//! States PSD-004 §10.9 ("Access auditing") and `EvaluateSACL` of §10.10, as far as the flags of
//! LCS_KEY_OPEN_AUDIT need it (PSD-005 §3.1). Alarm ACEs are for later operations and report no
//! open.

use super::Sid;
use super::acl::{
    Ace, AceBody, AceKind, Acl, Effect,
    ace_flags::{FAILED_ACCESS, INHERIT_ONLY, SUCCESSFUL_ACCESS},
};
use super::conditions::is_open;
use super::evaluation::Request;
use super::identity::{Identity, Polarity};
use super::rights::map_generic_bits;
use crate::coverage::{Covered, covers};

/// An ACE that audits success matched.
pub const SUCCESS_AUDIT: u32 = 0x1;
/// An ACE that audits failure matched.
pub const FAILURE_AUDIT: u32 = 0x2;

/// The bits of `sacl_match_flags`. `conditions_hold` is what is taken for conditions that are not
/// evaluated.
pub(super) fn match_flags(
    sacl: Option<&Acl>,
    identity: &Identity<'_>,
    request: &Request,
    allowed: bool,
    conditions_hold: bool,
    covered: &mut Covered,
) -> u32 {
    let mut flags = 0;
    let mut matching = 0;
    for ace in sacl.into_iter().flat_map(|acl| &acl.aces) {
        let Some(rule) = audit_rule(ace, covered) else { continue };
        // Deny-only SIDs count (AUD-49). A condition that is UNKNOWN for certain does not keep
        // the event back (§3.8).
        let concerns = identity.matches(rule.sid, Polarity::Deny, covered)
            && (conditions_hold || !rule.condition.is_some_and(is_open));
        if !concerns {
            continue;
        }
        covers!(covered, "AUD-49");
        if rule.mask & request.desired == 0 {
            covers!(covered, "AUD-50");
            if request.desired == 0 {
                covers!(covered, "AUD-56");
            }
            continue;
        }
        let fired = fired(ace, allowed, covered);
        matching += u32::from(fired != 0);
        flags |= fired;
    }
    if matching > 1 {
        covers!(covered, "AUD-57");
    }
    flags
}

/// What an ACE that matches reports of this outcome.
fn fired(ace: &Ace, allowed: bool, covered: &mut Covered) -> u32 {
    let (success, failure) = (ace.has_flags(SUCCESSFUL_ACCESS), ace.has_flags(FAILED_ACCESS));
    match (success, failure) {
        (true, true) => covers!(covered, "AUD-53"),
        (true, false) => covers!(covered, "AUD-51"),
        (false, true) => covers!(covered, "AUD-52"),
        (false, false) => covers!(covered, "AUD-54"),
    }
    match allowed {
        true if success => SUCCESS_AUDIT,
        false if failure => FAILURE_AUDIT,
        _ => 0,
    }
}

struct AuditRule<'a> {
    mask: u32,
    sid: &'a Sid,
    condition: Option<&'a [u8]>,
}

/// The audit rule in `ace`, if it is one that is not for children alone.
fn audit_rule<'a>(ace: &'a Ace, covered: &mut Covered) -> Option<AuditRule<'a>> {
    let AceBody::Recognised {
        kind: AceKind::Rule { effect: Effect::Audit, condition, .. },
        mask,
        sid,
    } = &ace.body
    else {
        return None;
    };
    if ace.has_flags(INHERIT_ONLY) {
        covers!(covered, "AUD-55");
        return None;
    }
    Some(AuditRule { mask: map_generic_bits(*mask), sid, condition: condition.as_deref() })
}

#[cfg(test)]
#[path = "auditing_tests.rs"]
mod tests;
