//! Blocks of calls that overlap, in words.
//!
//! `parallel SCHEDULE` begins one, `strand ACTOR` each of its strands, and `end` ends it.

use super::error::Complaint;
use super::print::action_words;
use super::token::word;
use super::words::{Words, parse_number};
use crate::plan::{Parallel, Plan, STRANDS_MAX, Strand};
use crate::schedule::Schedule;

/// How a block begins.
pub(super) const USAGE: &str = "write `parallel random SEED`, `parallel pct DEPTH SEED`, `parallel round-robin` or `parallel replay PICK ...`";
/// What stands in a block.
pub(super) const BLOCK_USAGE: &str =
    "write `strand ACTOR`, below it calls through handles, and `end`";

/// Takes what follows `parallel`.
pub(super) fn parse_block(words: &mut Words<'_>) -> Result<Parallel, Complaint> {
    let (kind, span) = words.bare("a schedule")?;
    let schedule = match kind {
        "random" => Schedule::Random { seed: number(words, "a seed")? },
        "pct" => Schedule::Pct { depth: number(words, "a depth")?, seed: number(words, "a seed")? },
        "round-robin" => Schedule::RoundRobin,
        "replay" => {
            let mut picks = Vec::new();
            while words.peek().is_some() {
                picks.push(number(words, "a pick")?);
            }
            Schedule::Replay { picks }
        }
        other => {
            return Err(Complaint::new(span, format!("no schedule is called `{other}`"), USAGE));
        }
    };
    words.end()?;
    Ok(Parallel { strands: Vec::new(), schedule })
}

/// Takes what follows `strand`; the actor's name, or nothing for the first one.
pub(super) fn parse_strand(words: &mut Words<'_>) -> Result<Option<String>, Complaint> {
    let name = match words.peek() {
        Some(_) => Some(words.string("an actor")?),
        None => None,
    };
    words.end()?;
    Ok(name)
}

/// Refuses a strand too many.
pub(super) fn check_room(block: &Parallel, span: (usize, usize)) -> Result<(), Complaint> {
    if block.strands.len() < STRANDS_MAX {
        return Ok(());
    }
    Err(Complaint::new(span, format!("more than {STRANDS_MAX} strands"), "begin another block"))
}

fn number<T: TryFrom<u64>>(words: &mut Words<'_>, what: &str) -> Result<T, Complaint> {
    let (text, span) = words.bare(what)?;
    parse_number(text, span, what)
}

/// The lines of a block.
pub(super) fn words(plan: &Plan, parallel: &Parallel) -> String {
    let mut lines = vec![format!("parallel {}", schedule_words(&parallel.schedule))];
    for Strand { actor, actions } in &parallel.strands {
        lines.push(match (actor, plan.actors.get(*actor)) {
            (0, _) | (_, None) => "  strand".to_owned(),
            (_, Some(actor)) => format!("  strand {}", word(actor.name.as_bytes())),
        });
        lines.extend(actions.iter().map(|action| format!("    {}", action_words(action))));
    }
    lines.push("end".to_owned());
    lines.join("\n")
}

/// A schedule, as it stands behind `parallel`.
fn schedule_words(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Random { seed } => format!("random {seed}"),
        Schedule::Pct { depth, seed } => format!("pct {depth} {seed}"),
        Schedule::RoundRobin => "round-robin".to_owned(),
        Schedule::Replay { picks } => {
            let picks: String = picks.iter().map(|pick| format!(" {pick}")).collect();
            format!("replay{picks}")
        }
    }
}
