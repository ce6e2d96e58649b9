//! What labels in a SACL refuse before the DACL is looked at.
//!
//! States PSD-004 §10.3 (mandatory integrity, with D-38) and §10.7 (process trust). Which trust the
//! calling process has is not known here.

use super::acl::{Ace, AceBody, AceKind, Acl, ace_flags::INHERIT_ONLY};
use super::evaluation::{Access, Request};
use super::malformed::MalformedDescriptor;
use super::rights::{
    ACCESS_SYSTEM_SECURITY, KEY_ALL_ACCESS, KEY_READ, KEY_WRITE, READ_CONTROL, WRITE_OWNER, holds,
    map_generic_bits,
};
use super::{GROUP_INTEGRITY, INTEGRITY_MEDIUM, Privilege, Sid, Token};
use crate::coverage::{Covered, covers};

/// `SYSTEM_MANDATORY_LABEL_NO_READ_UP`.
pub(super) const NO_READ_UP: u32 = 0x1;
/// `SYSTEM_MANDATORY_LABEL_NO_WRITE_UP`.
pub(super) const NO_WRITE_UP: u32 = 0x2;
/// `SYSTEM_MANDATORY_LABEL_NO_EXECUTE_UP`.
pub(super) const NO_EXECUTE_UP: u32 = 0x4;

/// What `GENERIC_EXECUTE` maps to on keys.
const KEY_EXECUTE: u32 = 0;
/// Never a right of keys; named because the text names it.
const SYNCHRONIZE: u32 = 0x0010_0000;

/// Where the labels of an object are.
pub(super) struct Labels<'a> {
    pub(super) sacl: Option<&'a Acl>,
    /// Whether the process is taken to have whatever trust a label asks for.
    pub(super) trusted: bool,
}

/// Both kinds of labels. What is requested decides nothing here.
///
/// # Errors
///
/// If a label's SID is none (ACC-69).
pub(super) fn enforce(
    token: &Token,
    Labels { sacl, trusted }: Labels<'_>,
    request: &Request,
    access: &mut Access,
    covered: &mut Covered,
) -> Result<(), MalformedDescriptor> {
    let label = integrity_label(sacl, covered)?;
    enforce_integrity(token, &label, request, access, covered);
    if let Some(label) = trust_label(sacl)?
        && label.asks()
        && !trusted
    {
        label.enforce(access);
    }
    Ok(())
}

struct IntegrityLabel {
    level: u32,
    policy: u32,
    /// Whether the object has none, and this stands in for it.
    is_absent: bool,
}

/// The level that a mandatory label's SID stands for: S-1-16-level (ACC-69, ACC-70).
pub(super) fn integrity_level(sid: &Sid) -> Option<u32> {
    match sid.sub_authorities_of(16)?[..] {
        [level] => Some(level),
        _ => None,
    }
}

fn integrity_label(
    sacl: Option<&Acl>,
    covered: &mut Covered,
) -> Result<IntegrityLabel, MalformedDescriptor> {
    let all = sacl.into_iter().flat_map(|acl| &acl.aces);
    let mut labels = all.filter(|ace| is(ace, &AceKind::MandatoryLabel));
    let Some((mask, sid)) = first_applying(sacl, &AceKind::MandatoryLabel) else {
        if labels.next().is_some() {
            covers!(covered, "ACC-67");
        }
        let (level, policy) = (INTEGRITY_MEDIUM, NO_WRITE_UP);
        return Ok(IntegrityLabel { level, policy, is_absent: true });
    };
    if labels.count() > 1 {
        covers!(covered, "ACC-66");
    }
    covers!(covered, "ACC-70");
    let level = integrity_level(sid).ok_or(MalformedDescriptor::Label)?;
    Ok(IntegrityLabel { level, policy: mask, is_absent: false })
}

/// `EnforceMIC`.
fn enforce_integrity(
    token: &Token,
    label: &IntegrityLabel,
    request: &Request,
    access: &mut Access,
    covered: &mut Covered,
) {
    let is_wanted = |mask| request.maximum_allowed || request.desired & mask != 0;
    let mut allowed = KEY_READ | KEY_EXECUTE | READ_CONTROL | SYNCHRONIZE;
    for (bit, rights) in
        [(NO_READ_UP, KEY_READ), (NO_WRITE_UP, KEY_WRITE), (NO_EXECUTE_UP, KEY_EXECUTE)]
    {
        if holds(label.policy, bit) {
            allowed &= !rights;
        }
    }
    // Whether it matters to this request that the label does not limit, or does.
    let limited = KEY_ALL_ACCESS & !allowed & !access.decided;
    let is_limiting = limited != 0 && is_wanted(limited);
    if !token.0.no_write_up {
        if is_limiting && token.0.integrity_level < label.level {
            covers!(covered, "ACC-62");
        }
        return;
    }
    if is_limiting && token.0.groups.iter().any(|group| group.attributes & GROUP_INTEGRITY != 0) {
        covers!(covered, "ACC-72");
    }
    if token.0.integrity_level >= label.level {
        if is_limiting {
            covers!(covered, "ACC-56", "ACC-71");
        }
        return;
    }
    mark_limits(label, is_limiting, is_wanted, covered);
    if token.has_privilege(Privilege::Relabel) {
        if is_wanted(WRITE_OWNER) {
            covers!(covered, "ACC-65", "ACC-50");
        }
        allowed |= WRITE_OWNER;
    }
    if access.privilege_granted != 0 && is_wanted(access.privilege_granted) {
        covers!(covered, "ACC-64");
    }
    access.deny(KEY_ALL_ACCESS & !allowed);
    access.mandatory_decided |= KEY_ALL_ACCESS & !allowed;
}

/// What the label of a key shows by what it takes from a caller who wants it.
fn mark_limits(
    label: &IntegrityLabel,
    is_limiting: bool,
    is_wanted: impl Fn(u32) -> bool,
    covered: &mut Covered,
) {
    if is_limiting {
        covers!(covered, "ACC-57", "ACC-71");
        if label.is_absent {
            covers!(covered, "ACC-55");
        }
    }
    if holds(label.policy, NO_READ_UP) && is_wanted(KEY_READ) {
        covers!(covered, "ACC-59");
    }
    if holds(label.policy, NO_WRITE_UP) && is_wanted(KEY_WRITE) {
        covers!(covered, "ACC-58");
    }
    // What GENERIC_EXECUTE maps to is nothing, so that reading is left (PSD-005 §3.1).
    let is_left = holds(label.policy, NO_EXECUTE_UP) && !holds(label.policy, NO_READ_UP);
    if is_left && is_wanted(KEY_READ & !KEY_EXECUTE) {
        covers!(covered, "ACC-60");
    }
    if label.policy & !(NO_READ_UP | NO_WRITE_UP | NO_EXECUTE_UP) != 0 {
        covers!(covered, "ACC-61");
    }
}

/// The trust that an object asks of processes, and what the others may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TrustLabel {
    trust: [u32; 2],
    mask: u32,
}

impl TrustLabel {
    /// Whether this asks for anything: every process has type 0 and trust 0.
    pub(super) const fn asks(self) -> bool {
        self.trust[0] != 0 || self.trust[1] != 0
    }

    /// `EnforcePIP` for a process that does not have it: privileges do not help.
    fn enforce(self, access: &mut Access) {
        let refused = (KEY_ALL_ACCESS | ACCESS_SYSTEM_SECURITY) & !map_generic_bits(self.mask);
        access.deny(refused);
        access.mandatory_decided |= refused;
        access.granted &= !refused;
        access.privilege_granted &= !refused;
    }
}

/// Type and trust that a process trust label's SID stands for: S-1-19-type-trust (§10.7).
pub(super) fn process_trust(sid: &Sid) -> Option<[u32; 2]> {
    match sid.sub_authorities_of(19)?[..] {
        [process_type, trust] => Some([process_type, trust]),
        _ => None,
    }
}

/// The trust label that applies to the object itself.
pub(super) fn trust_label(sacl: Option<&Acl>) -> Result<Option<TrustLabel>, MalformedDescriptor> {
    let Some((mask, sid)) = first_applying(sacl, &AceKind::ProcessTrustLabel) else {
        return Ok(None);
    };
    let trust = process_trust(sid).ok_or(MalformedDescriptor::Label)?;
    Ok(Some(TrustLabel { trust, mask }))
}

fn is(ace: &Ace, wanted: &AceKind) -> bool {
    matches!(&ace.body, AceBody::Recognised { kind, .. } if kind == wanted)
}

/// Mask and SID of the first ACE of this kind that is not for children alone.
fn first_applying<'a>(sacl: Option<&'a Acl>, wanted: &AceKind) -> Option<(u32, &'a Sid)> {
    let mut aces = sacl.into_iter().flat_map(|acl| &acl.aces);
    let ace = aces.find(|ace| is(ace, wanted) && !ace.has_flags(INHERIT_ONLY))?;
    match &ace.body {
        AceBody::Recognised { mask, sid, .. } => Some((*mask, sid)),
        AceBody::Unrecognised { .. } => None,
    }
}
