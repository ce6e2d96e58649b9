//! Who acts in plans of the security profile, and with which tokens (PSD-004 §§4, 7, 9).
//!
//! Two users share most of what tokens can differ in: groups in common and apart, deny-only and
//! disabled ones, privileges, integrity, restricting SIDs, private layers and scopes. What a
//! decision of this edition cannot depend on, confinement, no token here has.

use std::sync::Arc;

use proptest::prelude::*;
use registry_model::security::{
    GROUP_DENY_ONLY, GROUP_ENABLED, GROUP_ENABLED_BY_DEFAULT, GROUP_INTEGRITY, GROUP_MANDATORY,
    GROUP_OWNER, GROUP_RESOURCE, Group, Privilege, Sid, Token, TokenFields, TokenLevel,
};

use super::super::Generator;
use super::descriptors::acl_of;
use crate::script::guid_of;

pub(super) const ALICE: &str = "S-1-5-21-7-1001";
pub(super) const BOB: &str = "S-1-5-21-7-1002";
/// A group of both.
pub(super) const TEAM: &str = "S-1-5-21-7-2001";
/// A group of alice.
pub(super) const STAFF: &str = "S-1-5-21-7-2002";
/// A group of bob.
pub(super) const GUESTS: &str = "S-1-5-21-7-2003";
const ADMINISTRATOR: &str = "S-1-5-21-7-500";
const EVERYONE: &str = "S-1-1-0";
const ANONYMOUS: &str = "S-1-5-7";
const AUTHENTICATED_USERS: &str = "S-1-5-11";
const RESTRICTED_CODE: &str = "S-1-5-12";
const ADMINISTRATORS: &str = "S-1-5-32-544";
const HIGH_LABEL: &str = "S-1-16-12288";

const LOW: u32 = 4096;
const HIGH: u32 = 12288;

/// Layers that tokens name; they are private while they are disabled.
pub(super) const PRIVATE_LAYERS: &[&str] = &["role-a", "role-b", "gpo"];

/// The scopes of private hives.
pub(super) fn scopes() -> [[u8; 16]; 2] {
    [guid_of(41), guid_of(42)]
}

/// A kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Principal {
    System,
    /// An administrator of high integrity without any privilege.
    Administrator,
    Alice,
    Bob,
    /// Alice with restricting SIDs.
    Restricted,
    /// Alice with restricting SIDs that limit writes only.
    WriteRestricted,
    /// Alice at low integrity or none.
    Low,
    /// Alice, whose user SID and whose group only deny.
    DenyOnly,
    /// Alice with private layers.
    Layered,
    /// Alice with SeTcbPrivilege.
    Trusted,
    /// Bob with SeSecurityPrivilege.
    Auditor,
    /// Bob with SeTakeOwnershipPrivilege.
    Taker,
    /// Bob with SeBackupPrivilege and SeRestorePrivilege.
    Restorer,
    /// Bob as an administrator with the scopes of private hives.
    Scoped,
    /// Nobody, at Anonymous level.
    Anonymous,
    /// Alice at Identification level.
    Identified,
}

impl Principal {
    /// Those that a process may run as, beside SYSTEM, alice and bob, with the actor's name.
    pub(super) const FURTHER: &[(&str, Principal)] = &[
        ("administrator", Principal::Administrator),
        ("administrator", Principal::Administrator),
        ("restricted", Principal::Restricted),
        ("write_restricted", Principal::WriteRestricted),
        ("low", Principal::Low),
        ("deny_only", Principal::DenyOnly),
        ("layered", Principal::Layered),
        ("layered", Principal::Layered),
        ("trusted", Principal::Trusted),
        ("auditor", Principal::Auditor),
        ("taker", Principal::Taker),
        ("restorer", Principal::Restorer),
        ("scoped", Principal::Scoped),
        ("scoped", Principal::Scoped),
    ];

    /// Those that a thread impersonates, often ones more than once.
    pub(super) const IMPERSONATED: &[Principal] = &[
        Principal::System,
        Principal::System,
        Principal::System,
        Principal::Administrator,
        Principal::Administrator,
        Principal::Alice,
        Principal::Alice,
        Principal::Bob,
        Principal::Restricted,
        Principal::WriteRestricted,
        Principal::Low,
        Principal::DenyOnly,
        Principal::Layered,
        Principal::Layered,
        Principal::Trusted,
        Principal::Auditor,
        Principal::Taker,
        Principal::Restorer,
        Principal::Scoped,
        Principal::Anonymous,
        Principal::Identified,
    ];

    /// Whether the usual SDs allow it everything.
    pub(super) fn is_strong(self) -> bool {
        matches!(self, Principal::System | Principal::Administrator | Principal::Scoped)
    }

    /// The user SID.
    pub(super) fn user(self) -> &'static str {
        match self {
            Principal::System => "S-1-5-18",
            Principal::Administrator => ADMINISTRATOR,
            Principal::Bob
            | Principal::Auditor
            | Principal::Taker
            | Principal::Restorer
            | Principal::Scoped => BOB,
            Principal::Anonymous => ANONYMOUS,
            _ => ALICE,
        }
    }

    fn level_when_impersonated(self) -> TokenLevel {
        match self {
            Principal::Anonymous => TokenLevel::Anonymous,
            Principal::Identified => TokenLevel::Identification,
            _ => TokenLevel::Impersonation,
        }
    }
}

fn sid(text: &str) -> Sid {
    Sid::parse(text).expect("the SIDs of this file are in string form")
}

fn enabled(text: &str) -> Group {
    Group { sid: sid(text), attributes: GROUP_ENABLED }
}

impl Generator {
    /// A primary token.
    pub(super) fn primary_token(&mut self, principal: Principal) -> Token {
        self.token(principal, TokenLevel::Primary)
    }

    /// A token to impersonate with.
    pub(super) fn impersonation_token(&mut self, principal: Principal) -> Token {
        let level = principal.level_when_impersonated();
        let is_delegated = level == TokenLevel::Impersonation && self.chance(8);
        self.token(principal, if is_delegated { TokenLevel::Delegation } else { level })
    }

    fn token(&mut self, principal: Principal, level: TokenLevel) -> Token {
        if principal == Principal::System {
            let fields = TokenFields::clone(&Token::system().0);
            return Token(Arc::new(TokenFields { level, ..fields }));
        }
        let usual = Token::of_user(sid(principal.user()));
        let mut fields = TokenFields { level, ..TokenFields::clone(&usual.0) };
        fields.groups = self.groups(principal);
        fields.default_dacl = self.default_dacl(principal);
        if self.chance(3) {
            fields.primary_group = sid(TEAM);
        }
        // What such a token creates belongs to the group.
        if let Some(group) = fields.groups.iter().find(|group| group.attributes & GROUP_OWNER != 0)
            && self.chance(2)
        {
            fields.owner = group.sid.clone();
        }
        self.distinguish(principal, &mut fields);
        Token(Arc::new(fields))
    }

    fn groups(&mut self, principal: Principal) -> Vec<Group> {
        let mut groups = vec![enabled(EVERYONE)];
        if principal == Principal::Anonymous {
            return groups;
        }
        groups.push(Group {
            sid: sid(AUTHENTICATED_USERS),
            attributes: GROUP_MANDATORY | GROUP_ENABLED_BY_DEFAULT | GROUP_ENABLED,
        });
        let of_team = match self.rng.random_range(0..8) {
            0 => GROUP_DENY_ONLY,
            1 => GROUP_ENABLED | GROUP_DENY_ONLY,
            // Neither enabled nor deny-only.
            2 => 0,
            3 | 4 => GROUP_ENABLED | GROUP_OWNER,
            5 => GROUP_ENABLED | GROUP_RESOURCE,
            _ => GROUP_ENABLED,
        };
        let of_team = if principal == Principal::DenyOnly { GROUP_DENY_ONLY } else { of_team };
        groups.push(Group { sid: sid(TEAM), attributes: of_team });
        match principal.user() {
            ALICE => groups.push(enabled(STAFF)),
            BOB => {
                let attributes = if self.chance(3) { 0 } else { GROUP_ENABLED };
                groups.push(Group { sid: sid(GUESTS), attributes });
            }
            _ => {}
        }
        if principal.is_strong() {
            let attributes = GROUP_ENABLED | GROUP_OWNER;
            groups.push(Group { sid: sid(ADMINISTRATORS), attributes });
        } else if self.chance(12) {
            // An administrator whose group only denies.
            groups.push(Group { sid: sid(ADMINISTRATORS), attributes: GROUP_DENY_ONLY });
        }
        if self.chance(10) {
            // Says nothing of the integrity that the token has.
            groups.push(Group { sid: sid(HIGH_LABEL), attributes: GROUP_INTEGRITY });
        }
        groups
    }

    fn default_dacl(&mut self, principal: Principal) -> Option<Vec<u8>> {
        let user = principal.user();
        let text = match self.rng.random_range(0..8) {
            0 | 1 => return None,
            2 => "D:".to_owned(),
            3 => format!("D:(A;CI;KR;;;WD)(D;;DC;;;{TEAM})(A;;GA;;;{user})"),
            4 => format!("D:(A;;GA;;;CO)(A;CIIO;KA;;;{user})(A;;KA;;;SY)"),
            _ => format!("D:(A;;GA;;;{user})(A;;GA;;;SY)(A;;GR;;;WD)"),
        };
        Some(acl_of(&text))
    }

    /// What makes a principal other than its user is.
    fn distinguish(&mut self, principal: Principal, fields: &mut TokenFields) {
        match principal {
            Principal::Administrator => fields.integrity_level = HIGH,
            Principal::Restricted | Principal::WriteRestricted => {
                fields.restricted_sids = self.restricting_sids();
                fields.write_restricted = principal == Principal::WriteRestricted;
                if self.chance(3) {
                    let privileges = [Privilege::Security, Privilege::TakeOwnership];
                    fields.privileges = privileges.into();
                }
            }
            Principal::Low => {
                fields.integrity_level = if self.chance(3) { 0 } else { LOW };
                fields.no_write_up = !self.chance(6);
            }
            Principal::DenyOnly => fields.user_deny_only = true,
            Principal::Layered => {
                let first = self.rng.random_range(0..PRIVATE_LAYERS.len());
                let last = self.rng.random_range(first..PRIVATE_LAYERS.len());
                let layers = PRIVATE_LAYERS[first..=last].iter();
                fields.private_layers = layers.map(|layer| (*layer).to_owned()).collect();
                if self.chance(4) {
                    fields.private_layers.push("Ghost".to_owned());
                }
            }
            Principal::Trusted => fields.privileges = [Privilege::Tcb].into(),
            Principal::Auditor => fields.privileges = [Privilege::Security].into(),
            Principal::Taker => {
                fields.privileges = [Privilege::TakeOwnership].into();
                if self.chance(3) {
                    fields.integrity_level = LOW;
                }
            }
            Principal::Restorer => {
                fields.privileges = [Privilege::Backup, Privilege::Restore].into();
            }
            Principal::Scoped => {
                let [one, other] = scopes();
                fields.scopes = if self.chance(2) { vec![one] } else { vec![other, one] };
                fields.integrity_level = HIGH;
            }
            _ if self.chance(12) => fields.scopes = vec![scopes()[0]],
            _ if self.chance(16) => fields.audit_policy = self.rng.random_range(1..16),
            _ => {}
        }
    }

    fn restricting_sids(&mut self) -> Vec<Sid> {
        let sids: &[&str] = match self.rng.random_range(0..6) {
            0 => &[EVERYONE],
            1 => &[TEAM],
            2 => &[TEAM, ALICE],
            3 => &[RESTRICTED_CODE],
            4 => &[AUTHENTICATED_USERS, STAFF],
            _ => &[EVERYONE, RESTRICTED_CODE],
        };
        sids.iter().map(|text| sid(text)).collect()
    }
}
