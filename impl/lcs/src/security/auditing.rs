//! Which audit ACEs an access decision matches (PSD-004 §10.9, §10.10 step 15).
//!
//! It never changes the decision. Alarm ACEs configure auditing of later operations, which the
//! registry does not have; what a token's own audit policy forces has no event of the registry's
//! (P-128).

use super::access::Object;
use super::acl::{Ace, ace_flag, ace_type};
use super::rights::map_generic;
use super::sid::Sid;
use super::token::Token;

/// How a decision was matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditMatch {
    /// Access was granted, and an ACE asks for the record of that.
    Success,
    /// Access was denied, and an ACE asks for the record of that.
    Failure,
}

impl AuditMatch {
    /// `sacl_match_flags` of PSD-005 §3.1.
    #[must_use]
    pub const fn flags(self) -> u32 {
        match self {
            Self::Success => 1,
            Self::Failure => 2,
        }
    }

    const fn ace_flag(self) -> u8 {
        match self {
            Self::Success => ace_flag::SUCCESSFUL_ACCESS,
            Self::Failure => ace_flag::FAILED_ACCESS,
        }
    }
}

/// How the SACL matches a decision about `rights`: the mapped request without MAXIMUM_ALLOWED.
pub(super) fn audit_match(
    token: &Token,
    object: Object<'_>,
    rights: u32,
    granted: bool,
) -> Option<AuditMatch> {
    let outcome = if granted { AuditMatch::Success } else { AuditMatch::Failure };
    let mut aces = object.sacl.iter().flat_map(|acl| &acl.aces);
    let matches = aces.any(|ace| {
        is_audit_ace(ace)
            && !ace.is_inherit_only()
            && ace.flags & outcome.ace_flag() != 0
            && ace.entry().is_some_and(|entry| {
                map_generic(entry.mask) & rights != 0 && concerns(&entry.sid, token, object.owner)
            })
    });
    matches.then_some(outcome)
}

/// A condition that is not evaluated is undeterminable, and then the event comes.
const fn is_audit_ace(ace: &Ace) -> bool {
    matches!(
        ace.kind,
        ace_type::AUDIT
            | ace_type::AUDIT_OBJECT
            | ace_type::AUDIT_CALLBACK
            | ace_type::AUDIT_CALLBACK_OBJECT
    )
}

/// Audit ACEs see the token in its widest form: as a deny ACE does.
fn concerns(sid: &Sid, token: &Token, owner: &Sid) -> bool {
    token.matches_deny(sid) || *sid == Sid::OWNER_RIGHTS && token.matches_allow(owner)
}
