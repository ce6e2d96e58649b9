//! The laws of access decisions that need no model: what another ACE, another order or another way of
//! asking must not change (PSD-004 §10).
//!
//! Plans are made as script text. What a caller is granted is seen by asking for one right at a time;
//! no privilege and no integrity label takes part.

use std::collections::BTreeSet;

use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;
use registry_model::errno::Errno;
use registry_model::observation::Observation;

use super::{Outcome, conforming, held_if, plans};
use crate::campaign::Runner;
use crate::script::{self, answer::StepAnswer};

/// The rights of §3.1, in the words of `open`.
const RIGHTS: [&str; 10] =
    ["0x1", "0x2", "0x4", "0x8", "0x10", "0x20", "0x10000", "0x20000", "0x40000", "0x80000"];
/// Rights whose use shows whether an fd has them, each with a line that uses it and asks for nothing else.
const USES: [(&str, &str); 5] = [
    ("0x1", "get @h none"),
    ("0x8", "list @h"),
    ("0x10", "watch h value"),
    ("0x20000", "security @h dacl"),
    ("0x40000", "set-security @h \"D:(A;;KA;;;SY)\""),
];
const EVERYONE: &str = "WD";
const OWNER_RIGHTS: &str = "OW";
const USER: &str = "S-1-5-21-7-1001";
const SIDS: [&str; 5] = [EVERYONE, OWNER_RIGHTS, USER, "S-1-5-21-7-2001", "S-1-5-21-7-2002"];
const CALLERS: [&str; 4] = [
    "user=S-1-5-21-7-1001 groups=S-1-1-0,S-1-5-21-7-2001",
    "user=S-1-5-21-7-1001 groups=S-1-1-0,S-1-5-21-7-2001:0x10,S-1-5-21-7-2002",
    "user=S-1-5-21-7-1001 groups=S-1-1-0,S-1-5-21-7-2002 restricted=S-1-5-21-7-2001,S-1-5-21-7-1001",
    "user=S-1-5-21-7-1003 groups=S-1-1-0,S-1-5-21-7-2002:0x0",
];
/// The keys are made here, by SYSTEM, who alone may write below.
const KEY: &str = "Machine\\Law";

/// An ACE: whether it allows, for whom, and how it reads.
#[derive(Clone)]
struct Entry {
    allows: bool,
    sid: &'static str,
    flags: &'static str,
    mask: u32,
}

impl Entry {
    fn any(rng: &mut TestRng) -> Entry {
        let bits = (0..10).filter(|_| rng.random());
        let mask = bits.fold(0, |mask, bit| {
            mask | [1, 2, 4, 8, 16, 32, 1 << 16, 1 << 17, 1 << 18, 1 << 19][bit]
        });
        Entry {
            allows: rng.random_range(0..3) > 0,
            sid: SIDS[rng.random_range(0..SIDS.len())],
            flags: ["", "", "", "CI", "CIIO"][rng.random_range(0..5)],
            mask,
        }
    }
}

fn descriptor(owner: &str, entries: &[Entry]) -> String {
    let aces = entries.iter().map(|entry| {
        let kind = if entry.allows { "A" } else { "D" };
        format!("({kind};{};{:#x};;;{})", entry.flags, entry.mask, entry.sid)
    });
    format!("O:{owner}G:SYD:{}", aces.collect::<String>())
}

fn any_entries(rng: &mut TestRng) -> Vec<Entry> {
    (0..rng.random_range(1..7)).map(|_| Entry::any(rng)).collect()
}

fn any_caller(rng: &mut TestRng) -> &'static str {
    CALLERS[rng.random_range(0..CALLERS.len())]
}

fn any_owner(rng: &mut TestRng) -> &'static str {
    ["SY", USER][rng.random_range(0..2)]
}

/// An allow ACE more, wherever it stands, takes no right away; one for OWNER RIGHTS excepted, which
/// ends what an owner has by itself (PSD-004 §10.5).
///
/// # Errors
/// The right that is lost, or that a run did not conform.
pub fn another_allow_ace_takes_nothing(runner: &dyn Runner, seed: u64) -> Result<Outcome, String> {
    let mut rng = plans::rng(seed, 7);
    let (caller, owner, before) =
        (any_caller(&mut rng), any_owner(&mut rng), any_entries(&mut rng));
    let mut added = Entry { allows: true, ..Entry::any(&mut rng) };
    if added.sid == OWNER_RIGHTS {
        added.sid = EVERYONE;
    }
    let mut after = before.clone();
    after.insert(rng.random_range(0..=after.len()), added);
    let (before, after) = (descriptor(owner, &before), descriptor(owner, &after));
    let [had, has] = &granted(runner, seed, caller, &[&before, &after])?[..] else {
        return Err(super::views::too_few_views());
    };
    match had.difference(has).next() {
        Some(lost) => Err(format!("{caller}: {lost} is granted by {before} and not by {after}")),
        None => Ok(held_if(!had.is_empty())),
    }
}

/// ACEs of one kind that stand beside each other may stand in any order (PSD-004 §10.5).
///
/// # Errors
/// The right that differs, or that a run did not conform.
pub fn neighbours_of_one_kind_commute(runner: &dyn Runner, seed: u64) -> Result<Outcome, String> {
    let mut rng = plans::rng(seed, 8);
    let (caller, owner, before) =
        (any_caller(&mut rng), any_owner(&mut rng), any_entries(&mut rng));
    let mut after = Vec::new();
    for run in before.chunk_by(|one, next| one.allows == next.allows) {
        after.extend(run.iter().rev().cloned());
    }
    let (before, after) = (descriptor(owner, &before), descriptor(owner, &after));
    let [one, other] = &granted(runner, seed, caller, &[&before, &after])?[..] else {
        return Err(super::views::too_few_views());
    };
    match one.symmetric_difference(other).next() {
        Some(right) => Err(format!("{caller}: {right} differs between {before} and {after}")),
        None => Ok(held_if(before != after && !one.is_empty() && one.len() < RIGHTS.len())),
    }
}

/// A caller who is nobody but Everyone, and owns nothing, gets what the ACEs of Everyone give.
///
/// # Errors
/// The right that differs, or that a run did not conform.
pub fn nobody_gets_what_everyone_gets(runner: &dyn Runner, seed: u64) -> Result<Outcome, String> {
    let mut rng = plans::rng(seed, 9);
    let all = any_entries(&mut rng);
    let of_everyone: Vec<Entry> = all.iter().filter(|ace| ace.sid == EVERYONE).cloned().collect();
    let (before, after) = (descriptor("SY", &all), descriptor("SY", &of_everyone));
    let caller = "user=S-1-5-21-7-1999 groups=S-1-1-0";
    let [one, other] = &granted(runner, seed, caller, &[&before, &after])?[..] else {
        return Err(super::views::too_few_views());
    };
    match one.symmetric_difference(other).next() {
        Some(right) => Err(format!("{right} differs between {before} and {after}")),
        None => Ok(held_if(before != after)),
    }
}

/// What MAXIMUM_ALLOWED gets is what the single rights get, asked one by one (PSD-004 §10.1).
///
/// # Errors
/// The right that differs, or that a run did not conform.
pub fn maximum_is_the_union(runner: &dyn Runner, seed: u64) -> Result<Outcome, String> {
    let mut rng = plans::rng(seed, 10);
    let (caller, owner, entries) =
        (any_caller(&mut rng), any_owner(&mut rng), any_entries(&mut rng));
    let descriptor = descriptor(owner, &entries);
    let mut text = preamble(caller) + &secured(&descriptor);
    for right in USES.map(|(right, _)| right) {
        text += &format!("caller: open one = {KEY} access={right}\n");
    }
    text += &format!("caller: open h = {KEY} access=maximum\n");
    for line in USES.map(|(_, line)| line) {
        text += &format!("caller: {line}\n");
    }
    let answers = answers(runner, seed, &text)?;
    let uses = &answers[answers.len() - USES.len()..];
    let singles = &answers[answers.len() - 2 * USES.len() - 1..];
    let mut allowed = 0;
    for ((right, line), (one, used)) in USES.iter().zip(singles.iter().zip(uses)) {
        let (single, within) = (!is_denied(one), !is_denied(used));
        if single != within {
            return Err(format!(
                "{caller}, {descriptor}: {right} alone {single}, `{line}` {within}"
            ));
        }
        allowed += usize::from(single);
    }
    Ok(held_if(allowed > 0))
}

/// The rights that the caller is granted under each descriptor, asked one by one.
fn granted(
    runner: &dyn Runner,
    seed: u64,
    caller: &str,
    descriptors: &[&str],
) -> Result<Vec<BTreeSet<&'static str>>, String> {
    let mut text = preamble(caller);
    for descriptor in descriptors {
        text += &secured(descriptor);
        for right in RIGHTS {
            text += &format!("caller: open one = {KEY} access={right}\n");
        }
    }
    let answers = answers(runner, seed, &text)?;
    let opens = answers[1..].chunks(1 + RIGHTS.len()).map(|answers| {
        let opened = RIGHTS.iter().zip(&answers[1..]).filter(|(_, answer)| !is_denied(answer));
        opened.map(|(right, _)| *right).collect()
    });
    Ok(opens.collect())
}

fn preamble(caller: &str) -> String {
    format!("actor system system\nactor caller {caller}\ncreate k = {KEY} access=all\n")
}

fn secured(descriptor: &str) -> String {
    format!("set-security @k \"{descriptor}\"\n")
}

fn answers(runner: &dyn Runner, seed: u64, text: &str) -> Result<Vec<StepAnswer>, String> {
    let script = script::parse(text, "law").map_err(|error| format!("{error}\n{text}"))?;
    Ok(conforming(runner, &script.plan, seed)?.answers)
}

fn is_denied(answer: &StepAnswer) -> bool {
    *answer == StepAnswer::Observation(Observation::Failed(Errno::EACCES))
}
