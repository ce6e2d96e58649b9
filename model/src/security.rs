//! Tokens, security descriptors and the access check, as far as the registry needs them.
//!
//! States PSD-004 §2.1 (SIDs), §3 (descriptors, inheritance), §10 (AccessCheck) and the merging of
//! §11.6, and PSD-005 §3.1. Knows nothing of keys and paths.
//!
//! Not evaluated here: conditions of callback ACEs, process trust, what confinement SIDs are
//! granted, and central access policies. Where an answer hangs on one of them, it is
//! [`Verdict::Outside`]. Tokens do not name logon sessions, so that none is dead, nor restricted
//! device groups, which would start a restricted pass by themselves (§10.10 step 11). Alarm ACEs, which are for the operations after an
//! open, are kept and have no effect. KACS's own audit events (forced by a token's policy, or of
//! privileges) are not the registry's.

mod access_check;
mod acl;
mod assumptions;
mod auditing;
mod claim;
mod components;
mod conditions;
mod dacl;
mod defaults;
mod descriptor;
mod evaluation;
#[cfg(test)]
mod fixtures;
mod identity;
mod inheritance;
mod malformed;
mod mandatory;
pub mod rights;
mod sid;
mod token;

#[cfg(test)]
mod laws_tests;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use access_check::{Check, Verdict, check, check_desired_access, verdict};
pub use acl::{Ace, AceBody, AceKind, Acl, Effect, ObjectTypes, ace_flags};
pub use auditing::{FAILURE_AUDIT, SUCCESS_AUDIT};
pub use components::{
    DACL_SECURITY_INFORMATION, GROUP_SECURITY_INFORMATION, OWNER_SECURITY_INFORMATION,
    SACL_SECURITY_INFORMATION,
};
pub use defaults::{base_layer_default_sd, default_root_sd};
pub use descriptor::{SecurityDescriptor, control};
pub use inheritance::inherit;
pub use malformed::MalformedDescriptor;
pub use sid::{InvalidSidText, well_known};

/// A security identifier in its binary form (PSD-004 §2.1). Equal only byte for byte (CONV-04).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(pub Vec<u8>);

/// A group of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The group's SID.
    pub sid: Sid,
    /// Whether it grants (enabled) and whether it only denies.
    pub attributes: u32,
}

/// `SE_GROUP_MANDATORY`.
pub const GROUP_MANDATORY: u32 = 0x1;
/// `SE_GROUP_ENABLED_BY_DEFAULT`.
pub const GROUP_ENABLED_BY_DEFAULT: u32 = 0x2;
/// `SE_GROUP_ENABLED`.
pub const GROUP_ENABLED: u32 = 0x4;
/// `SE_GROUP_OWNER`.
pub const GROUP_OWNER: u32 = 0x8;
/// `SE_GROUP_USE_FOR_DENY_ONLY`.
pub const GROUP_DENY_ONLY: u32 = 0x10;
/// `SE_GROUP_INTEGRITY`. A token's integrity is a field of its own, whatever groups say (ACC-72).
pub const GROUP_INTEGRITY: u32 = 0x20;
/// `SE_GROUP_RESOURCE`: a group like any other (ACC-26).
pub const GROUP_RESOURCE: u32 = 0x2000_0000;
/// `SE_GROUP_LOGON_ID`.
pub const GROUP_LOGON_ID: u32 = 0xC000_0000;

/// The privileges that registry calls look at (PSD-004 §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named as in PSD-004 §7.2 without its Se and Privilege")]
pub enum Privilege {
    Tcb,
    Security,
    TakeOwnership,
    Backup,
    Restore,
    Relabel,
}

impl Privilege {
    /// Every privilege.
    pub const ALL: [Privilege; 6] = [
        Privilege::Tcb,
        Privilege::Security,
        Privilege::TakeOwnership,
        Privilege::Backup,
        Privilege::Restore,
        Privilege::Relabel,
    ];
}

/// The effective token of a calling thread. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(pub Arc<TokenFields>);

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFields {
    /// User SID.
    pub user: Sid,
    /// The SID that owns what this token creates.
    pub owner: Sid,
    /// The primary group of what this token creates.
    pub primary_group: Sid,
    /// Groups with attributes.
    pub groups: Vec<Group>,
    /// Enabled privileges.
    pub privileges: BTreeSet<Privilege>,
    /// An ACL in binary form for objects that inherit nothing.
    pub default_dacl: Option<Vec<u8>>,
    /// Names of private layers (PSD-005 §2.6).
    pub private_layers: Vec<String>,
    /// Scope GUIDs of private hives in order (PSD-005 §2.2).
    pub scopes: Vec<[u8; 16]>,
    /// Whether the user SID matches deny ACEs only.
    pub user_deny_only: bool,
    /// The integrity level, S-1-16-level.
    pub integrity_level: u32,
    /// `NO_WRITE_UP` of the mandatory policy: labels limit the token.
    pub no_write_up: bool,
    /// Restricting SIDs; empty for an unrestricted token.
    pub restricted_sids: Vec<Sid>,
    /// Whether the restriction covers only what GENERIC_WRITE maps to.
    pub write_restricted: bool,
    /// Whether the token is confined, whatever its capabilities: outside this edition.
    pub confined: bool,
    /// Primary, or impersonation with its level.
    pub level: TokenLevel,
    /// `audit_policy` (PSD-004 §4.2).
    pub audit_policy: u32,
    /// What an audit event says of the caller beyond SIDs and levels.
    pub identity: TokenIdentity,
}

/// Token type and impersonation level in one (PSD-004 §4.2, §9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "an impersonation token's levels are named as in PSD-004 §9.1")]
pub enum TokenLevel {
    /// A primary token.
    #[default]
    Primary,
    Anonymous,
    Identification,
    Impersonation,
    Delegation,
}

/// The numbers by which an audit event names a caller (PSD-005 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenIdentity {
    /// GUID of this token.
    pub token_guid: [u8; 16],
    /// GUID of the primary token of the process.
    pub true_token_guid: [u8; 16],
    /// GUID of the process.
    pub process_guid: [u8; 16],
    /// The logon session.
    pub authentication_id: u64,
    /// The token's own number.
    pub token_id: u64,
}

/// Integrity level of an ordinary caller, and of an object without a label.
pub const INTEGRITY_MEDIUM: u32 = 8192;
/// Integrity level of the system.
pub const INTEGRITY_SYSTEM: u32 = 16384;
