//! What a call carries of its caller (PSD-004 §4, as far as PSD-005 §2.2, §2.6 and §3.1 look).

use std::error::Error;
use std::fmt;

use abi::GENERIC_ALL;
use rsi::Guid;

use super::acl::{Ace, Acl};
use super::privileges::Privileges;
use super::sid::Sid;
use crate::configuration::AttachmentLimits;

/// Attributes of a group on a token (PSD-004 §2.1).
pub mod group_attribute {
    /// Cannot be disabled.
    pub const MANDATORY: u32 = 0x0000_0001;
    /// Enabled when the token is made.
    pub const ENABLED_BY_DEFAULT: u32 = 0x0000_0002;
    /// Matches ACEs.
    pub const ENABLED: u32 = 0x0000_0004;
    /// May own objects.
    pub const OWNER: u32 = 0x0000_0008;
    /// Matches deny ACEs, enabled or not, and no allow ACE.
    pub const USE_FOR_DENY_ONLY: u32 = 0x0000_0010;
    /// The logon SID.
    pub const LOGON_ID: u32 = 0xC000_0000;
}

/// A caller's effective identity. The kernel takes it once for each call (PSD-005 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The user.
    pub user: Sid,
    /// The user matches deny ACEs only.
    pub user_deny_only: bool,
    /// Owner of what the caller creates: the user, or one of the groups.
    pub owner: Sid,
    /// Group of what the caller creates.
    pub primary_group: Sid,
    /// Groups, in order.
    pub groups: Vec<Group>,
    /// Privileges present and enabled.
    pub privileges: Privileges,
    /// DACL of what the caller creates where nothing is inherited.
    pub default_dacl: Option<Acl>,
    /// Mandatory integrity level, S-1-16-level.
    pub integrity_level: u32,
    /// Whether mandatory labels limit the caller (the policy bit NO_WRITE_UP).
    pub no_write_up: bool,
    /// Restricting SIDs; empty for an unrestricted token.
    pub restricted_sids: Vec<Sid>,
    /// The restriction covers only the rights of GENERIC_WRITE.
    pub write_restricted: bool,
    /// Disabled layers that count as enabled for the caller (PSD-005 §2.6), by name.
    pub private_layers: Vec<String>,
    /// Scopes whose private hives the caller sees (PSD-005 §2.2), in order.
    pub scopes: Vec<Guid>,
    /// Whether the token is confined. Its sandbox has no SID here, so that only a null DACL opens
    /// anything to it (PSD-004 §10.6).
    pub confined: bool,
    /// Primary, or impersonation with its level.
    pub level: TokenLevel,
    /// What is audited whatever a SACL says (PSD-004 §4.2). The events are not the registry's.
    pub audit_policy: u32,
    /// What an audit event names the caller by.
    pub identity: TokenIdentity,
}

/// Token type and impersonation level in one (PSD-004 §4.2, §9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenLevel {
    /// A primary token.
    #[default]
    Primary,
    /// Impersonation without an identity.
    Anonymous,
    /// Impersonation that only tells who the client is; no access is evaluated for it.
    Identification,
    /// Impersonation on this machine.
    Impersonation,
    /// Impersonation that other machines accept.
    Delegation,
}

impl TokenLevel {
    /// The token type's number (PSD-004 §13.7).
    #[must_use]
    pub const fn token_type(self) -> u32 {
        match self {
            Self::Primary => 1,
            Self::Anonymous | Self::Identification | Self::Impersonation | Self::Delegation => 2,
        }
    }

    /// The impersonation level's number; that of a primary token is Anonymous.
    #[must_use]
    pub const fn impersonation_level(self) -> u32 {
        match self {
            Self::Primary | Self::Anonymous => 0,
            Self::Identification => 1,
            Self::Impersonation => 2,
            Self::Delegation => 3,
        }
    }
}

/// The numbers by which an audit event names a caller (PSD-005 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenIdentity {
    /// This token.
    pub token_guid: Guid,
    /// The primary token of the process.
    pub true_token_guid: Guid,
    /// The process.
    pub process_guid: Guid,
    /// The logon session.
    pub authentication_id: u64,
    /// The token's own number.
    pub token_id: u64,
}

impl TokenIdentity {
    /// All numbers zero.
    pub const NONE: Self = Self {
        token_guid: Guid::NULL,
        true_token_guid: Guid::NULL,
        process_guid: Guid::NULL,
        authentication_id: 0,
        token_id: 0,
    };
}

/// A token with more scopes or private layers than one may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTooLarge;

/// A group on a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The group.
    pub sid: Sid,
    /// How it takes part; see [`group_attribute`].
    pub attributes: u32,
}

impl Group {
    /// A group that is mandatory, enabled by default and enabled.
    #[must_use]
    pub const fn enabled(sid: Sid) -> Self {
        use group_attribute::{ENABLED, ENABLED_BY_DEFAULT, MANDATORY};
        Self { sid, attributes: MANDATORY | ENABLED_BY_DEFAULT | ENABLED }
    }

    const fn has(&self, attribute: u32) -> bool {
        self.attributes & attribute == attribute
    }
}

impl Token {
    /// Integrity level of an ordinary caller, and of an object without a label.
    pub const INTEGRITY_MEDIUM: u32 = 8192;
    /// Integrity level of the system.
    pub const INTEGRITY_SYSTEM: u32 = 16384;

    /// The token of the operating system itself (PSD-004 §13.6).
    #[must_use]
    pub fn system() -> Self {
        let mut administrators = Group::enabled(Sid::ADMINISTRATORS);
        administrators.attributes |= group_attribute::OWNER;
        let mut logon = Group::enabled(Sid::logon(0, 0));
        logon.attributes |= group_attribute::LOGON_ID;
        Self {
            primary_group: Sid::ADMINISTRATORS,
            groups: vec![
                administrators,
                Group::enabled(Sid::EVERYONE),
                Group::enabled(Sid::AUTHENTICATED_USERS),
                Group::enabled(Sid::LOCAL),
                logon,
            ],
            privileges: Privileges::ALL,
            default_dacl: Some(Acl::new(vec![
                Ace::allow(0, GENERIC_ALL, Sid::SYSTEM),
                Ace::allow(0, GENERIC_ALL, Sid::ADMINISTRATORS),
            ])),
            integrity_level: Self::INTEGRITY_SYSTEM,
            ..Self::user(Sid::SYSTEM)
        }
    }

    /// A token of this user alone: Medium integrity, no group, no privilege, no default DACL.
    #[must_use]
    pub const fn user(user: Sid) -> Self {
        Self {
            user,
            user_deny_only: false,
            owner: user,
            primary_group: user,
            groups: Vec::new(),
            privileges: Privileges::NONE,
            default_dacl: None,
            integrity_level: Self::INTEGRITY_MEDIUM,
            no_write_up: true,
            restricted_sids: Vec::new(),
            write_restricted: false,
            private_layers: Vec::new(),
            scopes: Vec::new(),
            confined: false,
            level: TokenLevel::Primary,
            audit_policy: 0,
            identity: TokenIdentity::NONE,
        }
    }

    /// Checks what was attached to the token (`PRIV-08`, `PRIV-22`). Whoever makes a token asks
    /// this before the token makes calls, with the limits of that moment (P-133).
    ///
    /// # Errors
    /// Too many scopes or private layers.
    pub const fn check_attachments(&self, limits: AttachmentLimits) -> Result<(), TokenTooLarge> {
        if self.scopes.len() > limits.scopes_max
            || self.private_layers.len() > limits.private_layers_max
        {
            return Err(TokenTooLarge);
        }
        Ok(())
    }

    /// Whether `privilege` is present and enabled.
    #[must_use]
    pub const fn has_privilege(&self, privilege: Privileges) -> bool {
        self.privileges.contains(privilege)
    }

    /// Whether the caller is a member of `sid` as an allow ACE for it would see it.
    #[must_use]
    pub fn is_member(&self, sid: &Sid) -> bool {
        self.matches_allow(sid)
    }

    pub(super) fn matches_allow(&self, sid: &Sid) -> bool {
        use group_attribute::{ENABLED, USE_FOR_DENY_ONLY};
        if self.user == *sid {
            // What the groups say of the user's own SID comes to nothing (PSD-004 §10.10).
            return !self.user_deny_only;
        }
        self.groups
            .iter()
            .any(|group| group.has(ENABLED) && !group.has(USE_FOR_DENY_ONLY) && group.sid == *sid)
    }

    pub(super) fn matches_deny(&self, sid: &Sid) -> bool {
        use group_attribute::{ENABLED, USE_FOR_DENY_ONLY};
        self.user == *sid
            || self.groups.iter().any(|group| {
                (group.has(ENABLED) || group.has(USE_FOR_DENY_ONLY)) && group.sid == *sid
            })
    }

    /// Whether the caller may make `sid` the owner of an object: it is the user, or a group that
    /// may own, enabled or not; a privilege allows any (PSD-004 §3.7, `ACC-48`).
    #[must_use]
    pub fn may_assign_owner(&self, sid: &Sid) -> bool {
        self.user == *sid
            || self
                .groups
                .iter()
                .any(|group| group.has(group_attribute::OWNER) && group.sid == *sid)
            || self.has_privilege(Privileges::RESTORE)
    }

    /// The ownership relation, which deny-only does not end (PSD-004 §3.7).
    pub(super) fn carries(&self, sid: &Sid) -> bool {
        self.user == *sid || self.groups.iter().any(|group| group.sid == *sid)
    }
}

impl fmt::Display for TokenTooLarge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a token carries more scopes or private layers than it may")
    }
}

impl Error for TokenTooLarge {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_default_dacl_has_the_published_bytes() {
        let acl = Token::system().default_dacl.expect("it has one");
        let expected = [
            0x02, 0x00, 0x34, 0x00, 0x02, 0x00, 0x00, 0x00, //
            0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x10, //
            0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x12, 0x00, 0x00, 0x00, //
            0x00, 0x00, 0x18, 0x00, 0x00, 0x00, 0x00, 0x10, //
            0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x20, 0x00, 0x00, 0x00, 0x20, 0x02,
            0x00, 0x00,
        ];
        assert_eq!(acl.to_bytes(), expected);
    }

    #[test]
    fn a_disabled_group_matches_nothing_and_a_deny_only_one_denies_only() {
        let mut token = Token::user(Sid::LOCAL);
        token.groups = vec![
            Group { sid: Sid::EVERYONE, attributes: 0 },
            Group { sid: Sid::SYSTEM, attributes: group_attribute::USE_FOR_DENY_ONLY },
        ];
        assert!(!token.matches_allow(&Sid::EVERYONE) && !token.matches_deny(&Sid::EVERYONE));
        assert!(!token.matches_allow(&Sid::SYSTEM) && token.matches_deny(&Sid::SYSTEM));
    }

    #[test]
    fn a_deny_only_user_matches_no_allow_ace() {
        let mut token = Token::user(Sid::LOCAL);
        token.user_deny_only = true;
        assert!(!token.matches_allow(&Sid::LOCAL) && token.matches_deny(&Sid::LOCAL));
    }

    #[test]
    fn a_deny_only_user_is_not_allowed_as_a_group_either() {
        let mut token = Token::user(Sid::LOCAL);
        token.user_deny_only = true;
        token.groups = vec![Group::enabled(Sid::LOCAL)];
        assert!(!token.matches_allow(&Sid::LOCAL) && token.matches_deny(&Sid::LOCAL));
    }

    #[test]
    fn attachments_are_limited() {
        let mut token = Token::user(Sid::LOCAL);
        token.scopes = vec![Guid::NULL; 8];
        token.private_layers = vec![String::new(); 16];
        assert_eq!(token.check_attachments(AttachmentLimits::default()), Ok(()));
        token.private_layers.push(String::new());
        assert_eq!(token.check_attachments(AttachmentLimits::default()), Err(TokenTooLarge));
        token.private_layers.clear();
        token.scopes.push(Guid::NULL);
        assert_eq!(token.check_attachments(AttachmentLimits::default()), Err(TokenTooLarge));
    }

    #[test]
    fn an_owner_is_the_user_or_a_group_that_may_own_or_anybody_by_privilege() {
        let mut token = Token::user(Sid::LOCAL);
        let attributes = group_attribute::USE_FOR_DENY_ONLY | group_attribute::OWNER;
        token.groups = vec![Group { sid: Sid::SYSTEM, attributes }, Group::enabled(Sid::EVERYONE)];
        let may = |token: &Token| {
            [Sid::LOCAL, Sid::SYSTEM, Sid::EVERYONE].map(|sid| token.may_assign_owner(&sid))
        };
        assert_eq!(may(&token), [true, true, false]);
        token.privileges = Privileges::TAKE_OWNERSHIP;
        assert_eq!(may(&token), [true, true, false]);
        token.privileges = Privileges::RESTORE;
        assert_eq!(may(&token), [true, true, true]);
    }
}
