//! What no DACL may grant: mandatory integrity and process trust (PSD-004 §10.3, §10.7, D-38).

use abi::{
    ACCESS_SYSTEM_SECURITY, GENERIC_EXECUTE, KEY_ALL_ACCESS, KEY_READ, KEY_WRITE, READ_CONTROL,
    WRITE_OWNER,
};

use super::acl::{AceEntry, Acl, ace_type};
use super::privileges::Privileges;
use super::rights::map_generic;
use super::token::Token;

const LABEL_NO_READ_UP: u32 = 1;
const LABEL_NO_WRITE_UP: u32 = 2;
const LABEL_NO_EXECUTE_UP: u32 = 4;

/// Type and trust of a process that nobody has vouched for, which is every one here.
const PROCESS_TRUST_NONE: (u32, u32) = (0, 0);

/// The rights that the object's label keeps from a caller below it.
pub(super) fn integrity_refusal(token: &Token, sacl: Option<&Acl>) -> u32 {
    let (level, policy) = label(sacl);
    if !token.no_write_up || token.integrity_level >= level {
        return 0;
    }
    let mut allowed = KEY_READ | map_generic(GENERIC_EXECUTE) | READ_CONTROL;
    if policy & LABEL_NO_READ_UP != 0 {
        allowed &= !KEY_READ;
    }
    if policy & LABEL_NO_WRITE_UP != 0 {
        allowed &= !KEY_WRITE;
    }
    if policy & LABEL_NO_EXECUTE_UP != 0 {
        allowed &= !map_generic(GENERIC_EXECUTE);
    }
    if token.has_privilege(Privileges::RELABEL) {
        allowed |= WRITE_OWNER;
    }
    KEY_ALL_ACCESS & !allowed
}

/// The rights that the object's trust label keeps from everybody here, privileges or not.
pub(super) fn trust_refusal(sacl: Option<&Acl>) -> u32 {
    let Some(entry) = first_label(sacl, ace_type::PROCESS_TRUST_LABEL) else {
        return 0;
    };
    let (process_type, trust) = PROCESS_TRUST_NONE;
    match entry.sid.process_trust() {
        Some((needed_type, needed)) if process_type >= needed_type && trust >= needed => 0,
        _ => (KEY_ALL_ACCESS | ACCESS_SYSTEM_SECURITY) & !map_generic(entry.mask),
    }
}

/// Level and policy of the object's label, or of an object without one.
fn label(sacl: Option<&Acl>) -> (u32, u32) {
    first_label(sacl, ace_type::MANDATORY_LABEL)
        .and_then(|entry| Some((entry.sid.integrity_level()?, entry.mask)))
        .unwrap_or((Token::INTEGRITY_MEDIUM, LABEL_NO_WRITE_UP))
}

/// The one label of a kind that counts: the first that is not inherit-only.
fn first_label(sacl: Option<&Acl>, kind: u8) -> Option<&AceEntry> {
    let mut aces = sacl.into_iter().flat_map(|acl| &acl.aces);
    aces.find(|ace| ace.kind == kind && !ace.is_inherit_only())?.entry()
}
