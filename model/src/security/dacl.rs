//! The walk over a DACL.
//!
//! States PSD-004 §10.2 with the owner's implicit rights of §3.7, for one identity of the caller.
//! Without an object type list an object ACE is like a basic one (§10.5).

use super::Sid;
use super::acl::{Ace, AceBody, AceKind, Acl, Effect, ace_flags::INHERIT_ONLY};
use super::conditions::is_open;
use super::evaluation::Access;
use super::identity::{Identity, Polarity};
use super::rights::{KEY_ALL_ACCESS, READ_CONTROL, WRITE_DAC, map_generic_bits};
use super::sid::well_known::OWNER_RIGHTS;
use crate::coverage::{Covered, covers};

/// One walk (`EvaluateDACL`).
pub(super) struct Pass<'a> {
    /// Whom ACEs must name.
    pub(super) identity: Identity<'a>,
    /// Whether conditions that are not evaluated are taken to go for the caller.
    pub(super) conditions_favour: bool,
}

impl Pass<'_> {
    /// Decides what is still undecided. `None` is the null DACL.
    pub(super) fn walk(&self, dacl: Option<&Acl>, access: &mut Access, covered: &mut Covered) {
        let Some(dacl) = dacl else {
            self.grant_implicit_rights(access, covered);
            if KEY_ALL_ACCESS & !access.decided != 0 {
                covers!(covered, "ACC-30", "ACC-31", "SD-20", "SD-21");
            }
            access.grant(KEY_ALL_ACCESS);
            return;
        };
        if dacl.aces.is_empty() {
            covers!(covered, "ACC-32", "SD-20");
        }
        let rules: Vec<Rule<'_>> =
            dacl.aces.iter().filter_map(|ace| applying(ace, covered)).collect();
        // Presence is enough: whether a condition holds is not asked (§3.7).
        let replaced = rules.iter().any(|rule| *rule.sid == *OWNER_RIGHTS);
        if replaced {
            covers!(covered, "SD-08");
        } else {
            self.grant_implicit_rights(access, covered);
        }
        if self.identity.is_owner() {
            mark_owner_rights(dacl, replaced, covered);
        }
        let mut by_rules = ByRules::default();
        for rule in &rules {
            self.apply(rule, access, &mut by_rules, covered);
        }
        if replaced && self.identity.is_owner() && by_rules.granted_by_others != 0 {
            covers!(covered, "ACC-45");
        }
    }

    fn grant_implicit_rights(&self, access: &mut Access, covered: &mut Covered) {
        if self.identity.is_owner() {
            if (READ_CONTROL | WRITE_DAC) & !access.decided != 0 {
                covers!(covered, "ACC-38", "ACC-39");
                if self.identity.is_owner_deny_only() {
                    covers!(covered, "ACC-40");
                }
            }
            access.grant(READ_CONTROL | WRITE_DAC);
        }
    }

    /// `by_rules` gathers what ACEs have decided.
    fn apply(
        &self,
        rule: &Rule<'_>,
        access: &mut Access,
        by_rules: &mut ByRules,
        covered: &mut Covered,
    ) {
        if !self.identity.matches(rule.sid, rule.polarity, covered) || !self.takes_effect(rule) {
            return;
        }
        let open = rule.mask & !access.decided;
        if open != rule.mask {
            covers!(covered, "ACC-15");
        }
        match rule.polarity {
            Polarity::Allow => {
                covers!(covered, "ACC-16");
                if rule.mask & by_rules.refused != 0 {
                    covers!(covered, "ACC-19");
                }
                if rule.mask & access.mandatory_decided != 0 {
                    covers!(covered, "ACC-63");
                }
                by_rules.granted |= open;
                if *rule.sid != *OWNER_RIGHTS {
                    by_rules.granted_by_others |= open;
                }
                access.grant(rule.mask);
            }
            Polarity::Deny => {
                covers!(covered, "ACC-17");
                if rule.mask & by_rules.granted != 0 {
                    covers!(covered, "ACC-18", "SD-46");
                }
                by_rules.refused |= open;
                access.deny(rule.mask);
            }
        }
    }

    /// A condition that is UNKNOWN for certain keeps an allow ACE from its effect, and no deny
    /// ACE (§3.8).
    fn takes_effect(&self, rule: &Rule<'_>) -> bool {
        match (rule.condition, rule.polarity) {
            (None, _) => true,
            (Some(condition), polarity) if !is_open(condition) => polarity == Polarity::Deny,
            (Some(_), Polarity::Allow) => self.conditions_favour,
            (Some(_), Polarity::Deny) => !self.conditions_favour,
        }
    }
}

/// What the ACEs of a walk have decided, and not what comes before them.
#[derive(Default)]
struct ByRules {
    granted: u32,
    /// What ACEs have granted that name other SIDs than OWNER RIGHTS.
    granted_by_others: u32,
    refused: u32,
}

/// What ACEs for OWNER RIGHTS make of the implicit rights of an owner.
fn mark_owner_rights(dacl: &Acl, replaced: bool, covered: &mut Covered) {
    let is_for_owner = |ace: &Ace| match &ace.body {
        AceBody::Recognised { sid, .. } => *sid == *OWNER_RIGHTS,
        AceBody::Unrecognised { .. } => false,
    };
    if replaced {
        covers!(covered, "ACC-41");
    } else if dacl.aces.iter().any(|ace| is_for_owner(ace) && ace.has_flags(INHERIT_ONLY)) {
        covers!(covered, "ACC-42");
    }
}

/// The most that a DACL grants any set of SIDs, implicit rights of owners aside.
pub(super) fn widest_grant(dacl: &Acl) -> u32 {
    let rules = dacl.aces.iter().filter_map(|ace| applying(ace, &mut Covered::new()));
    let allowing = rules.filter(|rule| rule.polarity == Polarity::Allow);
    allowing.fold(0, |mask, rule| mask | rule.mask)
}

/// An ACE that takes part in the walk.
struct Rule<'a> {
    polarity: Polarity,
    mask: u32,
    sid: &'a Sid,
    condition: Option<&'a [u8]>,
}

/// The rule in `ace`, if it allows or denies and is not for children alone.
fn applying<'a>(ace: &'a Ace, covered: &mut Covered) -> Option<Rule<'a>> {
    let (kind, mask, sid) = match &ace.body {
        AceBody::Recognised { kind, mask, sid } => (kind, mask, sid),
        AceBody::Unrecognised { .. } => {
            covers!(covered, "SD-34");
            return None;
        }
    };
    let AceKind::Rule { effect, condition, .. } = kind else { return None };
    let polarity = match effect {
        Effect::Allow => Polarity::Allow,
        Effect::Deny => Polarity::Deny,
        Effect::Audit | Effect::Alarm => return None,
    };
    if ace.has_flags(INHERIT_ONLY) {
        covers!(covered, "ACC-27", "SD-33");
        return None;
    }
    let mapped = map_generic_bits(*mask);
    if mapped != *mask {
        covers!(covered, "ACC-29", "SEC-26", "SEC-37");
    }
    Some(Rule { polarity, mask: mapped, sid, condition: condition.as_deref() })
}
