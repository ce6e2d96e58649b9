//! Which SIDs an ACE may name to concern a caller, in one pass of an access check.
//!
//! States PSD-004 §10.2 ("SID matching"), §10.4 (restricting SIDs), §3.7 (ownership) and the
//! virtual group OWNER RIGHTS of §10.10. Keys have no principal, so PRINCIPAL_SELF stands for
//! nobody (ACC-28).

use super::sid::well_known::{OWNER_RIGHTS, PRINCIPAL_SELF};
use super::{GROUP_DENY_ONLY, GROUP_ENABLED, GROUP_RESOURCE, Group, Sid, Token};
use crate::coverage::{Covered, covers};

/// Whether an ACE that gives something is matched, or one that takes or reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Polarity {
    /// Deny-only SIDs do not count.
    Allow,
    /// Deny-only SIDs count too. Audit ACEs are matched like this (§10.9).
    Deny,
}

/// The caller as one pass sees it.
pub(super) struct Identity<'a> {
    sids: Sids<'a>,
    owner: &'a Sid,
}

enum Sids<'a> {
    Token(&'a Token),
    Restricting(&'a [Sid]),
}

impl<'a> Identity<'a> {
    /// User and groups of the token, before an object of this owner.
    pub(super) fn of_token(token: &'a Token, owner: &'a Sid) -> Identity<'a> {
        Identity { sids: Sids::Token(token), owner }
    }

    /// The restricting SIDs alone, each of which counts by its presence.
    pub(super) fn of_restricting_sids(sids: &'a [Sid], owner: &'a Sid) -> Identity<'a> {
        Identity { sids: Sids::Restricting(sids), owner }
    }

    /// Whether the owner's implicit rights are the caller's: the SID is there, whatever its
    /// attributes say (ACC-39, ACC-40).
    pub(super) fn is_owner(&self) -> bool {
        match self.sids {
            Sids::Token(token) => token.is_owner(self.owner),
            Sids::Restricting(sids) => sids.contains(self.owner),
        }
    }

    /// Whether the token has the owner's SID, and only to be denied by it.
    pub(super) fn is_owner_deny_only(&self) -> bool {
        let Sids::Token(token) = self.sids else { return false };
        let is_group =
            |group: &Group| group.sid == *self.owner && group.attributes & GROUP_DENY_ONLY != 0;
        token.0.user == *self.owner && token.0.user_deny_only || token.0.groups.iter().any(is_group)
    }

    /// Whether OWNER RIGHTS is among the caller's SIDs: allow matching decides it, for both
    /// polarities (§10.10, `EnrichToken`; P-94).
    pub(super) fn has_owner_rights(&self) -> bool {
        self.has(self.owner, Polarity::Allow)
    }

    /// Whether an ACE for `sid` concerns the caller.
    pub(super) fn matches(&self, sid: &Sid, polarity: Polarity, covered: &mut Covered) -> bool {
        if *sid == *OWNER_RIGHTS {
            if self.has_owner_rights() {
                covers!(covered, "ACC-43");
                return true;
            }
            covers!(covered, "ACC-44");
        }
        self.mark(sid, polarity, covered);
        let has = self.has(sid, polarity);
        if let Sids::Token(token) = &self.sids
            && !has
            && is_near_one_of(token, sid)
        {
            covers!(covered, "CONV-04");
        }
        has
    }

    fn has(&self, sid: &Sid, polarity: Polarity) -> bool {
        match (&self.sids, polarity) {
            (Sids::Token(token), Polarity::Allow) => token.matches_allow(sid),
            (Sids::Token(token), Polarity::Deny) => token.matches_deny(sid),
            (Sids::Restricting(sids), _) => sids.contains(sid),
        }
    }

    fn mark(&self, sid: &Sid, polarity: Polarity, covered: &mut Covered) {
        let Sids::Token(token) = self.sids else { return };
        if *sid == *PRINCIPAL_SELF {
            covers!(covered, "ACC-28");
        }
        if token.0.user == *sid {
            covers!(covered, "ACC-20", "SD-05");
            if token.0.user_deny_only {
                covers!(covered, "ACC-25");
            }
        }
        for group in token.0.groups.iter().filter(|group| group.sid == *sid) {
            mark_group(group, polarity, covered);
        }
    }
}

fn mark_group(group: &Group, polarity: Polarity, covered: &mut Covered) {
    let has = |attribute| group.attributes & attribute != 0;
    match (has(GROUP_ENABLED), has(GROUP_DENY_ONLY), polarity) {
        (_, true, Polarity::Deny) => covers!(covered, "ACC-20", "ACC-22", "SD-07"),
        (_, true, Polarity::Allow) => covers!(covered, "ACC-23", "SD-07"),
        (true, false, _) => covers!(covered, "ACC-20", "ACC-21"),
        (false, false, _) => covers!(covered, "ACC-24", "SD-07"),
    }
    if has(GROUP_RESOURCE) {
        covers!(covered, "ACC-26");
    }
}

/// Whether the user of a token, or a group, is nearly this SID.
fn is_near_one_of(token: &Token, sid: &Sid) -> bool {
    let groups = token.0.groups.iter().map(|group| &group.sid);
    groups.chain([&token.0.user]).any(|own| differs_in_its_end_alone(own, sid))
}

/// Whether two SIDs are not the same and differ in nothing but their last sub-authority.
fn differs_in_its_end_alone(one: &Sid, other: &Sid) -> bool {
    let prefix_length = one.0.len().saturating_sub(4);
    one != other
        && one.0.len() == other.0.len()
        && one.0[..prefix_length] == other.0[..prefix_length]
}
