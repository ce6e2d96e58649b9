//! Comparing answers with what a script expects, and writing them into it.

use std::fmt;

use super::Script;
use super::answer::is_failure;
use super::audits;
use super::requests::{matches, or_nothing};
use crate::plan::{Action, Step};

/// What a difference shows as expected where a step says nothing.
const SUCCESS: &str = "(success)";

/// A step that did not answer what the script expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectationDifference {
    /// Position of the step in the plan.
    pub step: usize,
    /// The step's line in the file, from 1.
    pub line: usize,
    /// The expected lines; `(success)` where the step says nothing and failed.
    pub expected: Vec<String>,
    /// The lines it answered; none if the step was not reached.
    pub got: Vec<String>,
}

/// Why a script was not blessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A person wrote the expectations (`# by hand`).
    ByHand,
    /// There is not one answer for each step.
    AnswerCount {
        /// Steps of the plan.
        steps: usize,
        /// Answers given.
        answers: usize,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::ByHand => f.write_str(
                "the script is marked `# by hand`: correct it by hand, from the specification",
            ),
            Refused::AnswerCount { steps, answers } => {
                write!(f, "the run answered {answers} of {steps} steps")
            }
        }
    }
}

impl std::error::Error for Refused {}

/// The steps that answered otherwise than the script expects, in order.
///
/// `answers` are the lines of each step, from `answer::lines`. Runs of spaces count as one. In a
/// script that expects anything at all, a step that says nothing must not fail; a script without
/// expectations expects nothing.
pub fn compare(script: &Script, answers: &[Vec<String>]) -> Vec<ExpectationDifference> {
    let says = |lines: &Vec<Vec<String>>| lines.iter().any(|expected| !expected.is_empty());
    let is_vector = says(&script.expectations) || says(&script.sends) || says(&script.audits);
    let mut differences = Vec::new();
    for (step, expected) in script.expectations.iter().enumerate() {
        let got = answers.get(step).map_or(&[][..], Vec::as_slice);
        let fails_unexpectedly = is_vector && expected.is_empty() && is_failure(got);
        let differs = !expected.is_empty() && !are_same(expected, got);
        if differs || fails_unexpectedly {
            let expected =
                if expected.is_empty() { vec![SUCCESS.to_owned()] } else { expected.clone() };
            let line = script.lines.get(step).map_or(0, |lines| lines.step);
            differences.push(ExpectationDifference { step, line, expected, got: got.to_vec() });
        }
    }
    differences
}

/// The text of a script with its expectations replaced by `answers`; everything else stays.
///
/// Lines `sends` and `audits` are written only where the script has some for the step already. A step that had
/// no expectation gets one if it reads something, or did not answer what a step of
/// its kind usually does (`ok`, `opened`, for a creation `created`).
///
/// # Errors
/// `Refused` for a script written by hand, and unless there is one answer for each step.
pub fn bless(
    text: &str,
    script: &Script,
    answers: &[Vec<String>],
    requests: &[Vec<String>],
    audits: &[Vec<String>],
) -> Result<String, Refused> {
    if script.by_hand {
        return Err(Refused::ByHand);
    }
    let steps = script.plan.steps.len();
    if answers.len() != steps {
        return Err(Refused::AnswerCount { steps, answers: answers.len() });
    }
    let mut lines: Vec<Option<String>> = text.split('\n').map(|l| Some(l.to_owned())).collect();
    for (index, step) in script.plan.steps.iter().enumerate() {
        let had_any = script.expectations.get(index).is_some_and(|lines| !lines.is_empty());
        // A line that stands for several steps has no place for the answer of one of them.
        let line = |index: usize| script.lines.get(index).map(|lines| lines.step);
        if line(index) == line(index + 1) || index > 0 && line(index) == line(index - 1) {
            continue;
        }
        let is_said = had_any || is_worth_saying(step, &answers[index]);
        let Some(places) = script.lines.get(index) else { continue };
        if is_said {
            replace(&mut lines, places.step, &places.expectations, &said("->", &answers[index]));
        }
        let sent = or_nothing(requests.get(index).map_or(&[][..], Vec::as_slice));
        if !places.sends.is_empty() && !matches(&script.sends[index], &sent) {
            replace(&mut lines, places.step, &places.sends, &said("sends", &sent));
        }
        let events = or_nothing(audits.get(index).map_or(&[][..], Vec::as_slice));
        if !places.audits.is_empty() && !audits::matches(&script.audits[index], &events) {
            let events: Vec<String> = events.iter().map(|event| audits::short(event)).collect();
            replace(&mut lines, places.step, &places.audits, &said("audits", &events));
        }
    }
    Ok(lines.into_iter().flatten().collect::<Vec<_>>().join("\n"))
}

/// The lines of an answer or of requests, each behind its mark.
pub(super) fn said(mark: &str, lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {mark} {line}")).collect::<Vec<_>>().join("\n")
}

/// Puts text where the first of some lines stood, or else below the step.
pub(super) fn replace(lines: &mut [Option<String>], step: usize, places: &[usize], text: &str) {
    let mut slots = places.iter().filter_map(|number| number.checked_sub(1));
    match slots.next() {
        Some(first) => {
            set(lines, first, (!text.is_empty()).then(|| text.to_owned()));
            slots.for_each(|slot| set(lines, slot, None));
        }
        None if text.is_empty() => {}
        None => {
            let slot = step.saturating_sub(1);
            if let Some(Some(step)) = lines.get_mut(slot) {
                step.push('\n');
                step.push_str(text);
            }
        }
    }
}

fn set(lines: &mut [Option<String>], slot: usize, text: Option<String>) {
    if let Some(line) = lines.get_mut(slot) {
        *line = text;
    }
}

fn is_worth_saying(step: &Step, answer: &[String]) -> bool {
    let Step::Act { action, .. } = step else { return !answer.is_empty() && answer != ["ok"] };
    let action = match action {
        Action::Within { action, .. } => action,
        action => action,
    };
    let usual = match action {
        Action::Open { .. } => "opened",
        Action::Create { .. } => "created",
        Action::Pass { .. } => "passed",
        Action::Begin { .. } => "begun",
        Action::Become { .. } | Action::Revert | Action::Record { .. } | Action::Damage { .. } => {
            return false;
        }
        Action::Set { .. }
        | Action::SetSecurity { .. }
        | Action::Update { .. }
        | Action::Unset { .. }
        | Action::Blanket { .. }
        | Action::Delete { .. }
        | Action::Hide { .. }
        | Action::Flush { .. }
        | Action::Close { .. }
        | Action::Commit { .. }
        | Action::Watch { .. }
        | Action::LayerCreate { .. }
        | Action::LayerSet { .. }
        | Action::LayerDelete { .. }
        | Action::Backup { .. }
        | Action::Restore { .. }
        | Action::OpenDevice { .. }
        | Action::Register { .. } => "ok",
        Action::Get { .. }
        | Action::GetSecurity { .. }
        | Action::Batch { .. }
        | Action::EnumerateValue { .. }
        | Action::EnumerateSubkey { .. }
        | Action::List { .. }
        | Action::Info { .. }
        | Action::Changes { .. }
        | Action::TransactionStatus { .. }
        | Action::Events { .. }
        | Action::Poll { .. }
        | Action::Within { .. }
        | Action::Raw { .. }
        | Action::Ioctl { .. }
        | Action::Syscall { .. }
        | Action::ReadDevice { .. }
        | Action::WriteDevice { .. }
        | Action::PollDevice { .. }
        | Action::Records { .. }
        | Action::View { .. } => return true,
    };
    answer != [usual]
}

/// The steps of which the script expects other lines than there are, in order; a step of which it
/// says nothing is passed over. `expected` and `got` are lines by step.
pub(super) fn differing_lines(
    script: &Script,
    expected: &[Vec<String>],
    got: &[Vec<String>],
    matches: impl Fn(&[String], &[String]) -> bool,
) -> Vec<ExpectationDifference> {
    let mut differences = Vec::new();
    for (step, expected) in expected.iter().enumerate() {
        let got = or_nothing(got.get(step).map_or(&[][..], Vec::as_slice));
        if !expected.is_empty() && !matches(expected, &got) {
            let line = script.lines.get(step).map_or(0, |lines| lines.step);
            let expected = expected.clone();
            differences.push(ExpectationDifference { step, line, expected, got });
        }
    }
    differences
}

pub(super) fn are_same(expected: &[String], got: &[String]) -> bool {
    expected.len() == got.len()
        && expected.iter().zip(got).all(|(left, right)| squeezed(left) == squeezed(right))
}

/// A line with its blanks outside quotes reduced to single spaces.
fn squeezed(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let (mut is_quoted, mut is_escaped) = (false, false);
    for character in line.trim().chars() {
        let is_blank = !is_quoted && (character == ' ' || character == '\t');
        if is_blank {
            if !text.ends_with(' ') {
                text.push(' ');
            }
            continue;
        }
        if character == '"' && !is_escaped {
            is_quoted = !is_quoted;
        }
        is_escaped = is_quoted && character == '\\' && !is_escaped;
        text.push(character);
    }
    text
}
