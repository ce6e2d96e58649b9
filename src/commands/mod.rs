//! The commands, one a file, and what they share: exit statuses and how options become things.

pub mod bench;
pub mod certify;
pub mod check;
pub mod check_store;
pub mod doctor;
pub mod exhaust;
pub mod explain;
pub mod planted;
pub mod replay;
pub mod run;
pub mod shrink;
pub mod worlds;

use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;

use conformance::generate::Profile;
use conformance::panics::Guarded;
use conformance::script::{self, Script};
use conformance::seeds::Shard;
use sim::{SimRunner, SimStoreMachine, StoreKind};

use crate::Store;

/// The exit statuses of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything conforms.
    Conforms,
    /// The target diverged.
    Divergence,
    /// The command cannot be carried out as it was given.
    Usage,
    /// The harness failed, or was not deterministic.
    HarnessFault,
    /// The campaign exercised too little to conclude anything.
    Vacuous,
    /// The check could not be decided.
    Indeterminate,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Conforms => 0,
            Exit::Divergence => 1,
            Exit::Usage => 2,
            Exit::HarnessFault => 3,
            Exit::Vacuous => 4,
            Exit::Indeterminate => 5,
        })
    }
}

/// What a command comes to: an exit status, or a message for exit status 2.
pub type CommandResult = Result<Exit, String>;

fn runner(store: Store) -> Guarded<SimRunner> {
    Guarded(SimRunner { store: store_kind(store) })
}

fn store_machine(store: Store) -> SimStoreMachine {
    SimStoreMachine { store: store_kind(store) }
}

fn store_kind(store: Store) -> StoreKind {
    match store {
        Store::Sqlite => StoreKind::Sqlite,
        Store::Memory => StoreKind::Memory,
    }
}

fn profile(name: &str) -> Result<Profile, String> {
    let known = Profile::ALL.iter().find(|(known, _)| *known == name);
    known.map(|(_, profile)| *profile).ok_or_else(|| {
        let names: Vec<&str> = Profile::ALL.iter().map(|(name, _)| *name).collect();
        format!("there is no profile {name:?}; the profiles are {}", names.join(", "))
    })
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is no seed; a seed is a whole number from 0 to {}", u64::MAX)
    })
}

/// `FIRST..END`, END excluded, or `FIRST..`.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text
        .split_once("..")
        .ok_or_else(|| format!("{text:?} is no range of seeds; write FIRST..END, as in 0..200"))?;
    let range = seed(first)?..if end.is_empty() { u64::MAX } else { seed(end)? };
    if range.is_empty() {
        return Err(format!("the range of seeds {text} is empty; END must be above FIRST"));
    }
    Ok(range)
}

/// `I/N`, or nothing for the whole.
fn shard(text: Option<&str>) -> Result<Shard, String> {
    let Some(text) = text else { return Ok(Shard::WHOLE) };
    let parts = text
        .split_once('/')
        .and_then(|(number, count)| Shard::new(number.parse().ok()?, count.parse().ok()?));
    parts.ok_or_else(|| format!("{text:?} is no shard; write I/N with I from 1 to N, as in 2/4"))
}

fn read_script(path: &Path) -> Result<(String, Script), String> {
    let bytes = std::fs::read(path)
        .map_err(|error| format!("failed to read the script {}: {error}", path.display()))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| format!("{}: the script is not UTF-8: {error}", path.display()))?;
    // Some editors put a mark in front that is no part of the text.
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    let script = script::parse(&text, &path.display().to_string()).map_err(|e| e.to_string())?;
    script.plan.check_sources().map_err(|problem| format!("{}: {problem}", path.display()))?;
    Ok((text, script))
}

fn store_option(store: Store) -> &'static str {
    match store {
        Store::Sqlite => "",
        Store::Memory => " --store memory",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_seeds_excludes_its_end() {
        assert_eq!(seeds("3..7"), Ok(3..7));
    }

    #[test]
    fn a_range_without_an_end_has_all_seeds_from_there() {
        assert_eq!(seeds("3.."), Ok(3..u64::MAX));
    }

    #[test]
    fn a_shard_is_one_of_its_number_of_shards() {
        assert_eq!(shard(None), Ok(Shard::WHOLE));
        assert_eq!(shard(Some("2/4")).ok(), Shard::new(2, 4));
        for bad in ["0/4", "5/4", "2", "2/", "a/b", "1/0"] {
            assert!(shard(Some(bad)).unwrap_err().contains("write I/N"), "{bad}");
        }
    }

    #[test]
    fn a_bad_range_says_how_to_write_one() {
        assert!(seeds("7").unwrap_err().contains("FIRST..END"));
        assert!(seeds("7..7").unwrap_err().contains("empty"));
        assert!(seeds("a..7").unwrap_err().contains("whole number"));
        assert!(seeds("0..18446744073709551616").unwrap_err().contains("whole number"));
    }
}
