//! What a token answers, and the token of SYSTEM.
//!
//! States PSD-004 §2.1 (group attributes), §7.1 (enabled privileges), §10.10 (`SidMatchesToken`)
//! and §13.6 (the token made at boot).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::acl::{Ace, Acl};
use super::rights::GENERIC_ALL;
use super::sid::well_known::{
    ADMINISTRATORS, AUTHENTICATED_USERS, EVERYONE, LOCAL, SYSTEM, SYSTEM_LOGON,
};
use super::{
    GROUP_DENY_ONLY, GROUP_ENABLED, GROUP_ENABLED_BY_DEFAULT, GROUP_LOGON_ID, GROUP_MANDATORY,
    GROUP_OWNER, Group, INTEGRITY_MEDIUM, INTEGRITY_SYSTEM, Privilege, Sid, Token, TokenFields,
    TokenIdentity, TokenLevel,
};

impl Token {
    /// The token that the kernel makes at boot (PSD-004 §13.6): owner SYSTEM, primary group
    /// Administrators, every privilege, no private layers and no scopes.
    pub fn system() -> Token {
        let group = |sid: &Sid, attributes| Group {
            sid: sid.clone(),
            attributes: GROUP_MANDATORY | GROUP_ENABLED_BY_DEFAULT | GROUP_ENABLED | attributes,
        };
        let default_dacl = Acl::of_rules(vec![
            Ace::allow(GENERIC_ALL, &SYSTEM, 0),
            Ace::allow(GENERIC_ALL, &ADMINISTRATORS, 0),
        ]);
        Token(Arc::new(TokenFields {
            user: SYSTEM.clone(),
            owner: SYSTEM.clone(),
            primary_group: ADMINISTRATORS.clone(),
            groups: vec![
                group(&ADMINISTRATORS, GROUP_OWNER),
                group(&EVERYONE, 0),
                group(&AUTHENTICATED_USERS, 0),
                group(&LOCAL, 0),
                group(&SYSTEM_LOGON, GROUP_LOGON_ID),
            ],
            privileges: Privilege::ALL.into(),
            default_dacl: Some(default_dacl.to_bytes()),
            private_layers: Vec::new(),
            scopes: Vec::new(),
            user_deny_only: false,
            integrity_level: INTEGRITY_SYSTEM,
            no_write_up: true,
            restricted_sids: Vec::new(),
            write_restricted: false,
            confined: false,
            level: TokenLevel::Primary,
            audit_policy: 0,
            identity: TokenIdentity::default(),
        }))
    }

    /// A token of this user alone (PSD-004 §4.2): primary, Medium integrity, no group, no
    /// privilege, no default DACL.
    pub fn of_user(user: Sid) -> Token {
        Token(Arc::new(TokenFields {
            owner: user.clone(),
            primary_group: user.clone(),
            user,
            groups: Vec::new(),
            privileges: BTreeSet::new(),
            default_dacl: None,
            integrity_level: INTEGRITY_MEDIUM,
            ..TokenFields::clone(&Token::system().0)
        }))
    }

    /// Whether the privilege is enabled.
    pub fn has_privilege(&self, privilege: Privilege) -> bool {
        self.0.privileges.contains(&privilege)
    }

    /// Whether the token may make `owner` the owner of something (ACC-48, PSD-004 §3.7): it is the
    /// user, or a group that may own, enabled or not. SeRestore lifts that limit.
    pub fn may_assign_owner(&self, owner: &Sid) -> bool {
        let owning = |group: &Group| group.sid == *owner && group.attributes & GROUP_OWNER != 0;
        self.0.user == *owner
            || self.0.groups.iter().any(owning)
            || self.has_privilege(Privilege::Restore)
    }

    /// Whether the token is a member of `group` where membership is what allows something
    /// (PSD-005 §6.2, creation of symlinks).
    pub fn is_member_of(&self, group: &Sid) -> bool {
        self.matches_allow(group)
    }

    /// Whether an allow ACE for `sid` concerns this token: it is the user, who is not deny-only, or
    /// a group that is enabled and not deny-only (ACC-20, ACC-21, ACC-25). A deny-only user is not
    /// matched as a group either (PSD-004 §10.10).
    pub(super) fn matches_allow(&self, sid: &Sid) -> bool {
        self.matches(sid, !self.0.user_deny_only, |attributes| {
            attributes & GROUP_ENABLED != 0 && attributes & GROUP_DENY_ONLY == 0
        })
    }

    /// Whether a deny ACE for `sid` concerns this token: it is the user, or a group that is
    /// enabled or deny-only (ACC-22, ACC-24).
    pub(super) fn matches_deny(&self, sid: &Sid) -> bool {
        self.matches(sid, true, |attributes| attributes & (GROUP_ENABLED | GROUP_DENY_ONLY) != 0)
    }

    /// Whether `owner` is on the token as user or group, whatever the attributes say (PSD-004 §3.7,
    /// ACC-39, ACC-40).
    pub(super) fn is_owner(&self, owner: &Sid) -> bool {
        self.matches(owner, true, |_| true)
    }

    fn matches(&self, sid: &Sid, user_counts: bool, group_counts: impl Fn(u32) -> bool) -> bool {
        let TokenFields { user, groups, .. } = &*self.0;
        if user == sid {
            return user_counts;
        }
        groups.iter().any(|g| g.sid == *sid && group_counts(g.attributes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_dacl_of_system_has_the_bytes_of_the_text() {
        let expected = [
            0x02, 0x00, 0x34, 0x00, 0x02, 0x00, 0x00, 0x00, // revision 2, 52 bytes, 2 ACEs
            0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x10, // allow GENERIC_ALL
            0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x12, 0x00, 0x00, 0x00, // SYSTEM
            0x00, 0x00, 0x18, 0x00, 0x00, 0x00, 0x00, 0x10, // allow GENERIC_ALL
            0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x20, 0x00, 0x00, 0x00, 0x20, 0x02,
            0x00, 0x00, // Administrators
        ];
        assert_eq!(Token::system().0.default_dacl.as_deref(), Some(&expected[..]));
    }

    #[test]
    fn a_deny_only_user_is_not_allowed_as_a_group_either() {
        let mut fields = (*Token::of_user(ADMINISTRATORS.clone()).0).clone();
        fields.user_deny_only = true;
        fields.groups = vec![Group { sid: ADMINISTRATORS.clone(), attributes: GROUP_ENABLED }];
        let token = Token(Arc::new(fields));
        assert!(!token.matches_allow(&ADMINISTRATORS));
        assert!(!token.is_member_of(&ADMINISTRATORS));
        assert!(token.matches_deny(&ADMINISTRATORS));
        assert!(token.is_owner(&ADMINISTRATORS));
    }

    #[test]
    fn attributes_decide_what_a_group_matches() {
        let with_attributes = |attributes| {
            let mut fields = (*Token::system().0).clone();
            fields.groups = vec![Group { sid: ADMINISTRATORS.clone(), attributes }];
            let token = Token(Arc::new(fields));
            [
                token.matches_allow(&ADMINISTRATORS),
                token.matches_deny(&ADMINISTRATORS),
                token.is_owner(&ADMINISTRATORS),
            ]
        };
        assert_eq!(with_attributes(GROUP_ENABLED), [true, true, true]);
        assert_eq!(with_attributes(GROUP_ENABLED | GROUP_DENY_ONLY), [false, true, true]);
        assert_eq!(with_attributes(GROUP_DENY_ONLY), [false, true, true]);
        assert_eq!(with_attributes(GROUP_MANDATORY), [false, false, true]);
    }
}
