//! What an access check cannot know here, and what is taken for it.
//!
//! Names the points of PSD-004 §3.8, §10.6, §10.7 and §10.8 that this edition does not evaluate.
//! What each does is in the step that asks.

use std::collections::BTreeSet;

use super::Token;
use super::acl::{Ace, AceBody, AceKind, Acl, Effect, ace_flags::INHERIT_ONLY};
use super::conditions::is_open;
use super::descriptor::SecurityDescriptor;
use super::evaluation::may_lose_ownership;
use super::mandatory::trust_label;

/// Something that may go for the caller or against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unknown {
    /// Whether the calling process has the trust that a label asks for.
    ProcessTrust,
    /// Whether the condition of an allow ACE holds, or that of a deny ACE does not.
    Condition,
    /// The same where WRITE_OWNER alone is concerned, of a token for which less from the DACL may come to
    /// more: what goes for it with the other rights may go against it with this one.
    OwnershipCondition,
    /// The same before the restricting SIDs of the token, of which memberships ask then.
    RestrictedCondition,
    /// What the confinement SIDs of the token are granted.
    Confinement,
    /// What central policies leave.
    Policy,
    /// Whether the condition of an audit ACE holds.
    AuditCondition,
}

impl Unknown {
    /// What is unknown about this token and descriptor, in the order of the pipeline.
    pub(super) fn of(token: &Token, sd: &SecurityDescriptor) -> Vec<Unknown> {
        let label = trust_label(sd.sacl.as_ref());
        let asks_for_trust = matches!(label, Ok(Some(label)) if label.asks());
        let is_policy = |ace: &Ace| match &ace.body {
            AceBody::Recognised { kind, .. } => *kind == AceKind::ScopedPolicy,
            AceBody::Unrecognised { .. } => false,
        };
        let conditional = any(sd.dacl.as_ref(), |ace| is_open_rule(ace, is_access));
        let candidates = [
            (Unknown::ProcessTrust, asks_for_trust),
            (Unknown::Condition, conditional),
            (Unknown::OwnershipCondition, conditional && may_lose_ownership(token)),
            (Unknown::RestrictedCondition, conditional && !token.0.restricted_sids.is_empty()),
            (Unknown::Confinement, token.0.confined),
            (Unknown::Policy, any(sd.sacl.as_ref(), is_policy)),
            (Unknown::AuditCondition, any(sd.sacl.as_ref(), |ace| is_open_rule(ace, is_audit))),
        ];
        candidates.into_iter().filter(|(_, present)| *present).map(|(unknown, _)| unknown).collect()
    }

    /// The unknown in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Unknown::ProcessTrust => "the decision hangs on a process trust label",
            Unknown::Condition | Unknown::OwnershipCondition | Unknown::RestrictedCondition => {
                "the decision hangs on the condition of a callback ACE"
            }
            Unknown::Confinement => "the decision hangs on the confinement of the token",
            Unknown::Policy => "the decision hangs on a central access policy",
            Unknown::AuditCondition => "auditing hangs on the condition of a callback ACE",
        }
    }
}

/// Which unknowns are taken to go against the caller; the others go for it.
pub(super) struct Assumptions(BTreeSet<Unknown>);

impl Assumptions {
    /// Everything goes for the caller.
    pub(super) fn in_favour() -> Assumptions {
        Assumptions(BTreeSet::new())
    }

    /// Every other way that these can go, each with the last of those that go against the caller:
    /// all ways without that one came before.
    pub(super) fn others(unknowns: &[Unknown]) -> impl Iterator<Item = (Assumptions, Unknown)> {
        (1_u32..1 << unknowns.len()).map(|chosen| {
            let numbered = unknowns.iter().enumerate();
            let against = numbered.filter(|(index, _)| chosen >> index & 1 == 1);
            let last = unknowns[chosen.ilog2() as usize];
            (Assumptions(against.map(|(_, unknown)| *unknown).collect()), last)
        })
    }

    /// Whether this goes for the caller.
    pub(super) fn favour(&self, unknown: Unknown) -> bool {
        !self.0.contains(&unknown)
    }
}

/// Whether an ACE that applies to the object itself is like that.
fn any(acl: Option<&Acl>, is: impl Fn(&Ace) -> bool) -> bool {
    let mut aces = acl.into_iter().flat_map(|acl| &acl.aces);
    aces.any(|ace| !ace.has_flags(INHERIT_ONLY) && is(ace))
}

fn is_open_rule(ace: &Ace, concerns: impl Fn(Effect) -> bool) -> bool {
    match &ace.body {
        AceBody::Recognised {
            kind: AceKind::Rule { effect, condition: Some(condition), .. },
            ..
        } => concerns(*effect) && is_open(condition),
        _ => false,
    }
}

fn is_access(effect: Effect) -> bool {
    matches!(effect, Effect::Allow | Effect::Deny)
}

fn is_audit(effect: Effect) -> bool {
    effect == Effect::Audit
}
