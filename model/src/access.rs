//! Where a call asks for an access decision, and what it makes of it.
//!
//! States PSD-005 §3.1, steps 1, 3 and 4 of "Access control flow" and "SACL evaluation and audit". The
//! decision itself is in `security`; what is decided on, and when, is said by the chapters.

use crate::audit_events::{KeyOpen, key_open};
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId};
use crate::errno::Errno;
use crate::layers;
use crate::names::FoldedName;
use crate::responses::{Fault, Malformed};
use crate::security::{
    Check, SecurityDescriptor, Token, TokenLevel, Verdict, check, rights, verdict,
};
use crate::step::Work;

/// The decision of an open: the mask that its fd is granted, audited where the SACL says so
/// (AUD-06, P-102).
///
/// # Errors
///
/// EACCES if it is denied, EIO if the SD serves no decision (SD-15).
pub(crate) fn open(
    work: &mut Work<'_>,
    (hive, key): (HiveId, Guid),
    descriptor: &SecurityDescriptor,
    desired: u32,
) -> Result<u32, Errno> {
    mark_captured(work);
    let decision = check(&work.caller.token, descriptor, desired, &mut work.covered);
    conclude(work, decision.verdict, |work| {
        let malformed = Malformed::of(Fault::Descriptor, Some(key), &mut work.covered);
        work.rejected.by(hive, malformed)
    })?;
    let granted = (decision.verdict == Verdict::Allowed).then_some(decision.granted);
    if decision.sacl_match_flags != 0 {
        let Check { requested, sacl_match_flags, .. } = decision;
        let open = KeyOpen { key, requested, granted, sacl_match_flags };
        let event = key_open(&work.caller.token, &open, &mut work.covered);
        work.audit.push(event);
    }
    mark_decided(work, desired, granted);
    granted.ok_or(Errno::EACCES)
}

/// How an open would be decided, without any of what comes with a decision.
///
/// # Errors
///
/// Those of [`open`]. Of a decision that hangs on what this edition does not judge, nobody sees what is
/// said here.
pub(crate) fn foreseen(
    work: &Work<'_>,
    descriptor: &SecurityDescriptor,
    desired: u32,
) -> Result<u32, Errno> {
    let decision = check(&work.caller.token, descriptor, desired, &mut Covered::new());
    match decision.verdict {
        Verdict::Allowed => Ok(decision.granted),
        Verdict::Malformed => Err(Errno::EIO),
        Verdict::Denied | Verdict::Outside(_) => Err(Errno::EACCES),
    }
}

/// A decision that opens nothing and is not audited: on the parent of a new key (P-102).
///
/// # Errors
///
/// Those of [`open`].
pub(crate) fn to_key(
    work: &mut Work<'_>,
    (hive, key): (HiveId, Guid),
    descriptor: &SecurityDescriptor,
    right: u32,
) -> Result<(), Errno> {
    let decision = verdict(&work.caller.token, descriptor, right, &mut work.covered);
    let allowed = conclude(work, decision, |work| {
        let malformed = Malformed::of(Fault::Descriptor, Some(key), &mut work.covered);
        work.rejected.by(hive, malformed)
    })?;
    if allowed { Ok(()) } else { Err(Errno::EACCES) }
}

/// The decision of layer write authorization, by the cached SD of the layer's metadata key (§2.6).
///
/// # Errors
///
/// Those of [`open`].
pub(crate) fn to_layer(work: &mut Work<'_>, descriptor: &SecurityDescriptor) -> Result<(), Errno> {
    let right = rights::KEY_SET_VALUE;
    let decision = verdict(&work.caller.token, descriptor, right, &mut work.covered);
    let allowed = conclude(work, decision, |work| {
        let Some(hive) = layers::machine(&work.state) else { return Errno::EIO };
        let malformed = Malformed::of(Fault::Other, None, &mut work.covered);
        work.rejected.by(hive, malformed)
    })?;
    if allowed { Ok(()) } else { Err(Errno::EACCES) }
}

/// Whether a token would be allowed this by an SD, for marks.
pub(crate) fn would_allow(token: &Token, descriptor: &SecurityDescriptor, desired: u32) -> bool {
    verdict(token, descriptor, desired, &mut Covered::new()) == Verdict::Allowed
}

/// Whether a token would be denied this by an SD, for marks.
pub(crate) fn would_deny(token: &Token, descriptor: &SecurityDescriptor, desired: u32) -> bool {
    verdict(token, descriptor, desired, &mut Covered::new()) == Verdict::Denied
}

/// How many layers [`may_write_another_layer`] looks at.
const LAYERS_COMPARED_MAX: usize = 8;

/// Whether the caller, who may not write one layer, may write another of the first few.
pub(crate) fn may_write_another_layer(work: &Work<'_>, refused: &FoldedName) -> bool {
    let others = work.state.layers.iter().filter(|(name, _)| *name != refused);
    others
        .take(LAYERS_COMPARED_MAX)
        .any(|(_, layer)| would_allow(&work.caller.token, &layer.descriptor, rights::KEY_SET_VALUE))
}

/// What a decision says if it is yes or no.
fn conclude(
    work: &mut Work<'_>,
    decision: Verdict,
    malformed: impl FnOnce(&mut Work<'_>) -> Errno,
) -> Result<bool, Errno> {
    match decision {
        Verdict::Allowed => Ok(true),
        Verdict::Denied => Ok(false),
        Verdict::Malformed => Err(malformed(work)),
        Verdict::Outside(words) => {
            work.outside = Some(words);
            // Nobody sees this number: the call has no outcome in this edition.
            Err(Errno::EACCES)
        }
    }
}

/// Whose token decides (§3.1, step 1).
fn mark_captured(work: &mut Work<'_>) {
    match work.caller.token.0.level {
        TokenLevel::Primary => covers!(work.covered, "SEC-01", "SEC-07"),
        _ => covers!(work.covered, "SEC-02", "SEC-07", "CONV-42"),
    }
}

/// What the decision of an open shows (§3.1, steps 3 and 4).
fn mark_decided(work: &mut Work<'_>, desired: u32, granted: Option<u32>) {
    let asked = desired & !rights::MAXIMUM_ALLOWED;
    let for_maximum = desired & rights::MAXIMUM_ALLOWED != 0;
    let Some(granted) = granted else { return };
    match (for_maximum, asked) {
        (true, 0) => covers!(work.if_done, "SEC-11", "SEC-34"),
        (true, _) => covers!(work.if_done, "SEC-11", "SEC-35"),
        (false, _) => {}
    }
    if granted & asked & rights::ACCESS_SYSTEM_SECURITY != 0 {
        covers!(work.if_done, "SEC-18");
    }
}
