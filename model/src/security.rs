//! Tokens, security descriptors and the access check, as far as registry opens need them.
//!
//! States PSD-004 §2.1 (SIDs), §3.1 to §3.6 (descriptors, inheritance) and §10 (AccessCheck), and
//! PSD-005 §3.1. Knows nothing of keys and paths.
//!
//! Not decided here yet: mandatory integrity and process trust labels, restricted and confined
//! tokens, user SIDs marked deny-only, dead logon sessions and Identification level, central
//! access policies, conditions of callback ACEs, resource attributes, and auditing. ACEs that
//! belong to those are parsed and kept.

mod access_check;
mod acl;
mod defaults;
mod descriptor;
mod inheritance;
mod malformed;
pub mod rights;
mod sid;
mod token;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use access_check::{access_check, check_desired_access};
pub use acl::{Ace, AceBody, AceKind, Acl, Effect, ObjectTypes, ace_flags};
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
}

impl Privilege {
    /// Every privilege.
    pub const ALL: [Privilege; 5] = [
        Privilege::Tcb,
        Privilege::Security,
        Privilege::TakeOwnership,
        Privilege::Backup,
        Privilege::Restore,
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
}
