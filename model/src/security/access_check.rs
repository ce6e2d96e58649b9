//! The decision whether a token may have the access it asks for.
//!
//! States PSD-005 §3.1 (access mask validation, what a key open learns from its access check) and
//! PSD-004 §10.1. The pipeline itself is in `evaluation`. Where the answer hangs on something that
//! is not evaluated here, the answer says so.

use super::Token;
use super::assumptions::{Assumptions, Unknown};
use super::descriptor::SecurityDescriptor;
use super::evaluation::{Purpose, evaluate};
use super::rights::{
    GENERIC_ALL, GENERIC_EXECUTE, GENERIC_READ, GENERIC_WRITE, MAXIMUM_ALLOWED,
    REG_VALID_DESIRED_ACCESS_MASK, holds, map_generic_bits,
};
use crate::coverage::{Covered, covers};
use crate::errno::Errno;

/// Whether a caller may ask for `desired` at all.
///
/// # Errors
///
/// EINVAL for zero and for any bit outside `REG_VALID_DESIRED_ACCESS_MASK` (SEC-28 to SEC-31).
pub fn check_desired_access(desired: u32) -> Result<(), Errno> {
    if desired == 0 || desired & !REG_VALID_DESIRED_ACCESS_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// What an access check says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// The decision.
    pub verdict: Verdict,
    /// The request after generic mapping; `MAXIMUM_ALLOWED` stays in it (D-95).
    pub requested: u32,
    /// The mask of the fd: with `MAXIMUM_ALLOWED` all that the token can have, otherwise exactly
    /// the mapped request (SEC-10, SEC-11, D-26). It may be empty, and is unless allowed.
    pub granted: u32,
    /// Which audit ACEs matched: 0x1 one for success, 0x2 one for failure; 0 for none (AUD-30).
    pub sacl_match_flags: u32,
}

/// How an access check ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every requested right is granted.
    Allowed,
    /// A requested right is not granted: EACCES.
    Denied,
    /// The descriptor serves no access check; malformed data of its source: EIO.
    Malformed,
    /// Hangs on what this edition does not evaluate, in words.
    Outside(&'static str),
}

/// The access check of a key with this descriptor, for whoever opens it.
///
/// What cannot be known here (a condition, the trust of a process, ...) is taken to go for the caller
/// and to go against it, in every combination. There are at most seven such points, of which few
/// descriptors have any. If all answers agree, that is the answer whatever is true.
pub fn check(token: &Token, sd: &SecurityDescriptor, desired: u32, covered: &mut Covered) -> Check {
    agreed(token, sd, desired, &Unknown::of(token, sd), |check| *check, (Purpose::Open, covered))
}

/// The decision alone, where no fd gets the mask and nothing is audited (P-102, P-127).
pub fn verdict(
    token: &Token,
    sd: &SecurityDescriptor,
    desired: u32,
    covered: &mut Covered,
) -> Verdict {
    let mut unknowns = Unknown::of(token, sd);
    unknowns.retain(|unknown| *unknown != Unknown::AuditCondition);
    let covered = (Purpose::Verdict, covered);
    agreed(token, sd, desired, &unknowns, |check| check.verdict, covered).verdict
}

/// The answer in which all agree, as far as `matters`.
fn agreed<T: PartialEq>(
    token: &Token,
    sd: &SecurityDescriptor,
    desired: u32,
    unknowns: &[Unknown],
    matters: impl Fn(&Check) -> T,
    (purpose, covered): (Purpose, &mut Covered),
) -> Check {
    let requested = map_generic_bits(desired);
    let mut marks = Covered::new();
    mark_request(desired, &mut marks);
    let answer = {
        let marks = (purpose, &mut marks);
        evaluate(token, sd, requested, &Assumptions::in_favour(), marks)
    };
    for (assumptions, last) in Assumptions::others(unknowns) {
        let other = {
            let ignored = (purpose, &mut Covered::new());
            evaluate(token, sd, requested, &assumptions, ignored)
        };
        if matters(&other) != matters(&answer) {
            let verdict = Verdict::Outside(last.words());
            return Check { verdict, requested, granted: 0, sacl_match_flags: 0 };
        }
    }
    covered.add(&marks);
    answer
}

fn mark_request(desired: u32, covered: &mut Covered) {
    if holds(desired, GENERIC_READ) {
        covers!(covered, "SEC-20", "SEC-25", "SEC-27", "ACC-05");
    }
    if holds(desired, GENERIC_WRITE) {
        covers!(covered, "SEC-21", "SEC-25", "SEC-27", "ACC-05");
    }
    if holds(desired, GENERIC_ALL) {
        covers!(covered, "SEC-22", "SEC-25", "SEC-27", "ACC-05");
    }
    if holds(desired, GENERIC_EXECUTE) {
        covers!(covered, "SEC-23", "SEC-25", "SEC-27", "ACC-05");
    }
    if desired == MAXIMUM_ALLOWED {
        covers!(covered, "SEC-34");
    } else if holds(desired, MAXIMUM_ALLOWED) {
        covers!(covered, "SEC-35");
    }
}

#[cfg(test)]
#[path = "access_check_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "outside_tests.rs"]
mod outside_tests;
