//! Audit events as the text that a script expects: the lines after `audits`.
//!
//! An event is `EVENT field=value ...`: a field of the caller as `caller.user_sid=S-1-5-18`, an
//! access mask in the words of `access=`, the GUID of a key as `<PATH>` like in `sends`, or in
//! hexadecimal where no frame has named it. A line says what it is about: an event may have
//! fields that it leaves out, which the model judges anyway.

use super::Script;
use super::expectation::{ExpectationDifference, differing_lines};

/// Fields by which an event tells callers apart. A blessed line leaves them out.
const IDENTITY: [&str; 5] = [
    "caller.effective_token_guid=",
    "caller.true_token_guid=",
    "caller.process_guid=",
    "caller.authentication_id=",
    "caller.token_id=",
];

/// The steps that audited otherwise than the script expects, in order. Steps without `audits` are
/// not compared. `audits` are the lines of each step, from the run.
pub fn compare_audits(script: &Script, audits: &[Vec<String>]) -> Vec<ExpectationDifference> {
    differing_lines(script, &script.audits, audits, matches)
}

/// Whether events are the expected ones, in order.
pub(super) fn matches(expected: &[String], got: &[String]) -> bool {
    expected.len() == got.len() && expected.iter().zip(got).all(|(said, got)| says(said, got))
}

/// Whether each word of a line stands in the event's, the name of the event first.
fn says(said: &str, got: &str) -> bool {
    let (said, got) = (words(said), words(got));
    said.first() == got.first() && said.iter().all(|word| got.contains(word))
}

/// An event without what changes from run to run.
pub(super) fn short(line: &str) -> String {
    let is_kept = |word: &&str| !IDENTITY.iter().any(|field| word.starts_with(field));
    words(line).into_iter().filter(is_kept).collect::<Vec<_>>().join(" ")
}

/// The words of a line; blanks in quotes and within `<PATH>` part none.
fn words(line: &str) -> Vec<&str> {
    let (mut is_quoted, mut is_path) = (false, false);
    line.split(|character| {
        match character {
            '"' => is_quoted = !is_quoted,
            '<' => is_path = true,
            '>' => is_path = false,
            _ => {}
        }
        matches!(character, ' ' | '\t') && !is_quoted && !is_path
    })
    .filter(|word| !word.is_empty())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{bless, parse};

    const EVENT: &str =
        "E caller.user_sid=S-1-5-18 caller.token_id=7 key_guid=<Machine\\a b> decision=allowed";

    fn script(text: &str) -> Script {
        parse(text, "test.lcs").unwrap_or_else(|error| panic!("{error}"))
    }

    fn differs(text: &str, audits: &[&str]) -> bool {
        let audits = vec![audits.iter().map(|line| (*line).to_owned()).collect()];
        !compare_audits(&script(&format!("flush Machine\n{text}")), &audits).is_empty()
    }

    #[test]
    fn a_line_names_what_an_event_must_have() {
        for said in ["E", "E  decision=allowed", "E key_guid=<Machine\\a b> caller.token_id=7"] {
            assert!(!differs(&format!("  audits {said}\n"), &[EVENT]), "{said}");
        }
        for said in ["F", "E decision=denied", "E b>", "decision=allowed", "nothing"] {
            assert!(differs(&format!("  audits {said}\n"), &[EVENT]), "{said}");
        }
    }

    #[test]
    fn events_are_compared_in_number_and_order() {
        assert!(!differs("  audits nothing\n", &[]));
        assert!(differs("  audits E\n", &[]));
        assert!(differs("  audits E\n", &[EVENT, EVENT]));
        assert!(!differs("  audits E\n  audits F\n", &[EVENT, "F"]));
        assert!(differs("  audits F\n  audits E\n", &[EVENT, "F"]));
        assert!(!differs("", &[EVENT]));
    }

    #[test]
    fn only_steps_with_events_get_them_when_blessed_and_without_identities() {
        let text = "flush Machine\n  audits F\nflush Machine\n";
        let answers = vec![vec!["ok".to_owned()]; 2];
        let audits = vec![vec![EVENT.to_owned()]; 2];
        let blessed = bless(text, &script(text), &answers, &[], &audits).expect("blessed");
        let line = "  audits E caller.user_sid=S-1-5-18 key_guid=<Machine\\a b> decision=allowed";
        assert_eq!(blessed, format!("flush Machine\n{line}\nflush Machine\n"));
        assert_eq!(bless(&blessed, &script(&blessed), &answers, &[], &audits), Ok(blessed));
    }

    #[test]
    fn an_event_needs_words_and_a_step() {
        for text in ["audits nothing\n", "flush Machine\n  audits\n"] {
            let error = parse(text, "test.lcs").expect_err("no script");
            assert!(error.advice.contains("audits nothing"), "{error}");
        }
    }
}
