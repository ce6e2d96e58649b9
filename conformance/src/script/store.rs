//! Scripts of a client of one source, `*.rsi`: requests and the answers that someone expects.
//!
//! The lexical rules, the header comments and the `  -> ...` lines are those of plans ([`super`]).
//! It knows plans and answers as text; it runs nothing.
//!
//! # The language
//!
//! ```text
//! hives Machine Users                            before the first step; these two without it
//! lookup KEY NAME                                enum-children KEY
//! create-entry KEY NAME CHILD [in LAYER] at SEQUENCE
//! hide-entry KEY NAME [in LAYER] at SEQUENCE     delete-entry KEY NAME [in LAYER]
//! create-key KEY PARENT NAME [sd SD] [volatile] [symlink]
//! read-key KEY                                   drop-key KEY
//! write-key KEY [sd SD] [time NANOSECONDS] [mask BITS]
//! query-values KEY NAME                          query-values KEY *
//! set-value KEY NAME TYPE DATA [in LAYER] at SEQUENCE [if SEQUENCE]
//! delete-value KEY NAME [in LAYER]
//! set-blanket KEY [in LAYER] at SEQUENCE         clear-blanket KEY [in LAYER] [at SEQUENCE]
//! begin TRANSACTION read-write|read-only|N       commit TRANSACTION    abort TRANSACTION
//! flush HIVE                                     delete-layer LAYER
//! raw OPCODE [hex:PAYLOAD]                       a payload that need not fit its code
//! r1: set-value ...                              sent without waiting for the answer
//! await r1                                       the answer of r1, or `waits`
//! pass 25s                                       time goes by (s, ms, us, ns)
//! kill      stop      start                      of the source; start says what it registers
//! compare                                        every entry is read and compared
//! ```
//!
//! A request may end in `by TRANSACTION`, the transaction of its header, and `extra hex:BYTES`,
//! bytes after its last field. A layer that is left out is `base`.
//!
//! KEY is the name of a hive and means its root, a name such as `k1` that means the same GUID
//! wherever it stands, `nil`, or `guid:` and 32 digits. TRANSACTION is a name such as `t1`, or
//! a number. SD is a SID, which means the smallest descriptor with that owner, or `hex:` and bytes;
//! without one it is `S-1-5-18`. Types and data are written as in plans. A value named `*` stands
//! in quotes.
//!
//! # Answers
//!
//! | answer | lines |
//! | --- | --- |
//! | success without more | `ok` |
//! | a failure | its status without `RSI_`, such as `NOT_FOUND` |
//! | a lookup | `entry base k1 at 5` or `entry gpo HIDDEN at 6`, sorted; then `key` lines |
//! | children | `child NAME`, sorted, each with its `entry` lines; then `key` lines |
//! | a key | `key k1 sd S-1-5-18 [volatile] [symlink] time clock`; `read-key` adds `name` and `parent` |
//! | values | `value NAME dword 1 in base at 7`, sorted; then `blanket gpo at 8` |
//! | orphans | `orphan k1`, sorted |
//! | nothing of all that | `(empty)` |
//! | a request that still waits | `waits` |
//! | a start | `hive NAME` each, sorted, and `max-sequence N` |
//!
//! `time clock` is a time that the source's clock showed while the script ran; any other time is
//! a number.

pub mod answer;
mod descriptor;
mod parse;
mod print;
mod statement;
#[cfg(test)]
mod tests;

pub(crate) use descriptor::of_owner_word as descriptor_of;
pub use parse::parse;
pub use print::print;
pub(crate) use print::{request_words, step_words};

use super::StepLines;
use super::expectation::{are_same, replace, said};
use crate::store_client::plan::{StorePlan, StoreStep};

/// What a difference shows as expected where a step says nothing.
const SUCCESS: &str = "(success)";
/// The extension of these files.
pub const EXTENSION: &str = "rsi";

/// A parsed script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreScript {
    /// The ids of its header, in order.
    pub requirements: Vec<String>,
    /// The seed of the store that it was found in, if its header names one.
    pub seed: Option<u64>,
    /// Whether a person wrote the expectations.
    pub by_hand: bool,
    /// What it does.
    pub plan: StorePlan,
    /// The expected answer of each step, line by line; empty where it says nothing.
    pub expectations: Vec<Vec<String>>,
    /// Where each step stands.
    pub lines: Vec<StepLines>,
}

/// A step that did not answer what the script expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreDifference {
    /// The step's line in the file, from 1.
    pub line: usize,
    /// The expected lines; `(success)` where the step says nothing and failed.
    pub expected: Vec<String>,
    /// The lines it answered; none if the step was not reached.
    pub got: Vec<String>,
}

/// The steps that answered otherwise than the script expects, in order. In a script that expects
/// anything, a step that says nothing must succeed.
pub fn compare(script: &StoreScript, answers: &[Vec<String>]) -> Vec<StoreDifference> {
    let is_vector = script.expectations.iter().any(|expected| !expected.is_empty());
    let mut differences = Vec::new();
    for (step, expected) in script.expectations.iter().enumerate() {
        let got = answers.get(step).map_or(&[][..], Vec::as_slice);
        let fails = is_vector && expected.is_empty() && answer::is_failure(got);
        if fails || (!expected.is_empty() && !are_same(expected, got)) {
            let expected =
                if expected.is_empty() { vec![SUCCESS.to_owned()] } else { expected.clone() };
            let line = script.lines.get(step).map_or(0, |lines| lines.step);
            differences.push(StoreDifference { line, expected, got: got.to_vec() });
        }
    }
    differences
}

/// The text of a script with its expectations replaced by `answers`; everything else stays. A step
/// that had none gets one if it reads something or did not answer `ok`.
///
/// A script by hand comes back as it was.
pub fn bless(text: &str, script: &StoreScript, answers: &[Vec<String>]) -> String {
    if script.by_hand {
        return text.to_owned();
    }
    let mut lines: Vec<Option<String>> = text.split('\n').map(|l| Some(l.to_owned())).collect();
    let steps = script.plan.steps.iter().zip(&script.expectations).zip(&script.lines);
    for (((step, expected), places), answer) in steps.zip(answers) {
        let worth = is_read(step) || answer.as_slice() != ["ok"];
        if !answer.is_empty() && (worth || !expected.is_empty()) {
            replace(&mut lines, places.step, &places.expectations, &said("->", answer));
        }
    }
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// Whether a step answers with more than a status.
fn is_read(step: &StoreStep) -> bool {
    match step {
        StoreStep::Send { label: None, request } => request.operation.is_read(),
        StoreStep::Await { .. } | StoreStep::Start => true,
        _ => false,
    }
}

/// Whether a step answers anything at all.
fn answers(step: &StoreStep) -> bool {
    matches!(step, StoreStep::Send { label: None, .. } | StoreStep::Await { .. } | StoreStep::Start)
}
