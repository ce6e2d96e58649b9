//! The script language: plans, and the answers that someone expects, as text.
//!
//! A script is the one format for test vectors, shrunk reproductions and examples. It knows plans
//! and answers as text; it runs nothing and decides nothing about conformance.
//!
//! # The language
//!
//! One statement a line. A line that begins with `#` is a comment, and ` # ...` after a statement
//! is one too. Three comments are read: `# requirements: RES-03, D-52` names what the script is
//! about, `# by hand` says that a person wrote the expectations, so that blessing leaves the file
//! alone, and `# seed: 17` is the seed of the world (0 without it), which decides what the plan
//! leaves open: GUIDs and the order of tasks.
//!
//! A word is bare (`Machine\System`), or quoted (`"Program Files"`). In quotes a backslash escapes:
//! `\\`, `\"`, `\n`, `\r`, `\t`, `\0` and `\xNN` for any byte, so a quoted path doubles its
//! backslashes. A word is quoted when it holds spaces or quotes, is empty, is a lone `=`, or begins
//! with `#`, `@` or `->`. Handles are written `@h`; where only a handle can stand, the `@` may go.
//!
//! ```text
//! actor alice user=S-1-5-21-7 groups=S-1-5-32-544 privileges=SeTcb   the first acts by default
//! actor admin system                         the token that the kernel makes at boot
//! source Machine Users                       one line a source; without any: Machine and Users
//! alice: get PATH NAME                       done by alice
//! open h = PATH [access=read] [link]         open h = @parent sub\key
//! create h = PATH [access=all] [volatile] [link] [in LAYER]      create PATH ...
//! set KEY NAME TYPE DATA [in LAYER] [if SEQUENCE]                KEY is PATH or @h
//! unset KEY NAME [in LAYER]
//! blanket KEY [in LAYER]                     unblanket KEY [in LAYER]
//! get KEY NAME [data=BYTES] [layer=BYTES]
//! batch KEY [buffer=BYTES]
//! value KEY INDEX [name=BYTES] [data=BYTES]  subkey KEY INDEX [name=BYTES]
//! list KEY                                   info KEY [name=BYTES]
//! delete KEY [in LAYER]                      hide KEY [in LAYER]
//! flush KEY                                  close h
//! layer create NAME [precedence=N] [enabled=N]    layer set NAME ...    layer delete NAME
//! view PATH
//! kill source [N] [at request N executed|unexecuted]    restart source [N]
//! reboot                                     compare views
//! ```
//!
//! Types are `none sz expand_sz binary dword dword_be link multi_sz resource_list
//! full_resource_descriptor resource_requirements_list qword tombstone`, or `type=N` for any code.
//! Data is `hex:0a0b`, `bytes:LENGTH*HH` for one byte repeated, a number for the integer types,
//! or text: exactly its bytes, without a terminator, except that `multi_sz "a" "b"` ends each
//! string and the list with a null.
//!
//! Lines `  -> ...` below a step say what it answers (see [`answer`]). In a script that expects
//! anything, a step that says nothing must succeed.

mod actor;
pub mod answer;
mod data;
mod error;
mod expectation;
mod parse;
mod parse_action;
mod print;
mod sid;
pub mod store;
mod token;
mod vocabulary;
mod words;

#[cfg(test)]
mod script_files_tests;
#[cfg(test)]
mod strategies;
#[cfg(test)]
mod tests;

pub use error::ScriptError;
pub use expectation::{ExpectationDifference, Refused, bless, compare};
pub use parse::parse;
pub use print::print;

use crate::plan::Plan;

/// A parsed script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The ids of its header, in order.
    pub requirements: Vec<String>,
    /// The seed of the world that it was found in, if its header names one.
    pub seed: Option<u64>,
    /// Whether a person wrote the expectations.
    pub by_hand: bool,
    /// What it does.
    pub plan: Plan,
    /// The expected answer of each step of the plan, line by line; empty where it says nothing.
    pub expectations: Vec<Vec<String>>,
    /// Where each step of the plan stands.
    pub lines: Vec<StepLines>,
}

/// Where a step and its expectations stand in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepLines {
    /// The step's line, from 1.
    pub step: usize,
    /// The lines of its expectations, from 1.
    pub expectations: Vec<usize>,
}
