//! The words of power losses and of disks that are not as they should be.

use super::error::Complaint;
use super::parse::numbered_source;
use super::words::{Words, parse_number};
use crate::plan::{DiskFault, Fault, Keep, PowerLoss};

/// How a power loss is written.
pub(super) const POWER_USAGE: &str =
    "write `power-loss [source N at io K] keep=none|prefix|some|all [torn] [chance=N]`";
/// How it is written what is wrong with a disk.
pub(super) const DISK_USAGE: &str =
    "write `disk source N lies|full|heals` or `disk source N fails at io K`";

/// What follows `power-loss`.
pub(super) fn parse_power_loss(words: &mut Words<'_>, sources: usize) -> Result<Fault, Complaint> {
    let mut at = None;
    if words.peek_bare() == Some("source") {
        let source = numbered_source(words, sources)?;
        at = Some((source, at_io(words)?));
    }
    let (word, span) = words.bare("what is kept")?;
    let keep = word.strip_prefix("keep=").and_then(Keep::of_word).ok_or_else(|| {
        Complaint::new(span, format!("`{word}` does not say what is kept"), POWER_USAGE)
    })?;
    let torn = words.peek_bare() == Some("torn");
    if torn {
        words.expect("torn")?;
    }
    let mut chance = 0;
    if words.peek().is_some() {
        let (word, span) = words.bare("`chance=N`")?;
        let number = word.strip_prefix("chance=").ok_or_else(|| {
            Complaint::new(span, format!("`{word}` cannot stand here"), POWER_USAGE)
        })?;
        chance = parse_number(number, span, "a number for chance")?;
    }
    let loss = PowerLoss { keep, torn, chance };
    Ok(match at {
        None => Fault::PowerLoss(loss),
        Some((source, io)) => Fault::PowerLossAt { source, io, loss },
    })
}

/// Takes `at io K`.
fn at_io(words: &mut Words<'_>) -> Result<u32, Complaint> {
    words.expect("at")?;
    words.expect("io")?;
    let what = "the number of a change or sync of the disk";
    let (number, span) = words.bare(what)?;
    match parse_number(number, span, what)? {
        0 => Err(Complaint::new(span, "they are counted from 1", "write 1 for the next one")),
        io => Ok(io),
    }
}

/// What follows `disk`.
pub(super) fn parse_disk(words: &mut Words<'_>, sources: usize) -> Result<Fault, Complaint> {
    let source = numbered_source(words, sources)?;
    let (word, span) = words.bare("what is wrong with it")?;
    let fault = match word {
        "lies" => DiskFault::Lies,
        "heals" => DiskFault::Heals,
        "full" => DiskFault::Full,
        "fails" => DiskFault::FailsAt { io: at_io(words)? },
        _ => return Err(Complaint::new(span, format!("no disk does `{word}`"), DISK_USAGE)),
    };
    Ok(Fault::Disk { source, fault })
}

/// How power is lost.
pub(super) fn power_loss_words(loss: &PowerLoss) -> String {
    let PowerLoss { keep, torn, chance } = loss;
    let torn = if *torn { " torn" } else { "" };
    let chance = if *chance == 0 { String::new() } else { format!(" chance={chance}") };
    format!("keep={}{torn}{chance}", keep.word())
}

/// What is wrong with a disk.
pub(super) fn disk_words(source: usize, fault: DiskFault) -> String {
    let fault = match fault {
        DiskFault::Lies => "lies".to_owned(),
        DiskFault::Full => "full".to_owned(),
        DiskFault::FailsAt { io } => format!("fails at io {io}"),
        DiskFault::Heals => "heals".to_owned(),
    };
    format!("disk source {source} {fault}")
}
