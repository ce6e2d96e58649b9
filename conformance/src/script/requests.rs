//! Requests as the text that a script expects: the lines after `sends`.
//!
//! | request | line |
//! | --- | --- |
//! | RSI_LOOKUP | `lookup <Machine> System` |
//! | RSI_CREATE_ENTRY | `create_entry <Machine> App = <Machine\App> in base sequence=1` |
//! | RSI_HIDE_ENTRY | `hide_entry <Machine> App in gpo sequence=2` |
//! | RSI_DELETE_ENTRY | `delete_entry <Machine> App in base` |
//! | RSI_ENUM_CHILDREN | `enum_children <Machine>` |
//! | RSI_CREATE_KEY | `create_key <Machine\App> = <Machine> App sd=116`, `volatile`, `link` |
//! | RSI_READ_KEY | `read_key <Machine\App>` |
//! | RSI_WRITE_KEY | `write_key <Machine\App> sd=116 last_write_time`: the fields that it has |
//! | RSI_DROP_KEY | `drop_key <Machine\App>` |
//! | RSI_QUERY_VALUES | `query_values <Machine\App> name=Color`, `query_values <Machine\App> all` |
//! | RSI_SET_VALUE | `set_value <Machine\App> Color dword 7 in base sequence=3 if 2` |
//! | RSI_DELETE_VALUE_ENTRY | `delete_value_entry <Machine\App> Color in base` |
//! | RSI_SET_BLANKET_TOMBSTONE | `set_blanket_tombstone <Machine\App> in gpo [removed] sequence=4` |
//! | RSI_BEGIN_TRANSACTION | `begin_transaction 1 read_write` |
//! | RSI_COMMIT_TRANSACTION, RSI_ABORT_TRANSACTION | `commit_transaction 1`, `abort_transaction 1` |
//! | RSI_FLUSH | `flush Machine` |
//! | RSI_DELETE_LAYER | `delete_layer gpo` |
//!
//! A GUID is shown as `<PATH>`, by the path under which a frame first gave it a name; the second
//! key of a path is `<PATH#2>`, and a GUID that no frame has named is `<?>`. An SD is shown by its
//! length in bytes, a time not at all. `...` alone stands for any requests, none included: what a
//! kernel may ask for as it likes. A request inside a transaction ends in `transaction=N`;
//! transactions are numbered from 1 as frames first name them. In a script of several sources each
//! request ends in `at source N`.

use super::Script;
use super::expectation::{ExpectationDifference, are_same, differing_lines};

/// What stands for any requests.
const ANY: &str = "...";
/// What stands after `sends` where nothing is sent.
const NOTHING: &str = "nothing";

/// The steps that sent other requests than the script expects, in order. Steps without `sends`
/// are not compared. `requests` are the lines of each step, from the run.
pub fn compare_requests(script: &Script, requests: &[Vec<String>]) -> Vec<ExpectationDifference> {
    differing_lines(script, &script.sends, requests, matches)
}

/// Whether requests are the expected ones, in order.
pub(super) fn matches(expected: &[String], got: &[String]) -> bool {
    let Some(position) = expected.iter().position(|line| line == ANY) else {
        return are_same(expected, got);
    };
    let (before, after) = (&expected[..position], &expected[position + 1..]);
    // The lines between this and the next `...` are matched at the first place where they fit.
    let rest = got.get(before.len()..).filter(|_| are_same(before, &got[..before.len()]));
    rest.is_some_and(|rest| (0..=rest.len()).any(|start| matches(after, &rest[start..])))
}

/// The lines that say what was sent.
pub(super) fn or_nothing(requests: &[String]) -> Vec<String> {
    if requests.is_empty() { vec![NOTHING.to_owned()] } else { requests.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{bless, parse};

    fn script(text: &str) -> Script {
        parse(text, "test.lcs").expect("a script")
    }

    fn lines(steps: &[&[&str]]) -> Vec<Vec<String>> {
        steps.iter().map(|step| step.iter().map(|line| (*line).to_owned()).collect()).collect()
    }

    #[test]
    fn requests_belong_to_the_step_above() {
        let script = script(
            "create Machine\\App\n  sends lookup  <Machine> App\n  sends drop_key <Machine#2>\nreboot\n  sends nothing\nflush Machine\n",
        );
        let expected: &[&[&str]] =
            &[&["lookup  <Machine> App", "drop_key <Machine#2>"], &["nothing"], &[]];
        assert_eq!(script.sends, lines(expected));
        assert_eq!(script.lines[0].sends, [2, 3]);
        assert!(script.expectations.iter().all(Vec::is_empty));
    }

    #[test]
    fn what_a_step_sends_is_compared_in_order_and_without_regard_to_blanks() {
        let script = script("flush Machine\n  sends flush  Machine\n  sends read_key <Machine>\n");
        let same = lines(&[&["flush Machine", "read_key <Machine>"]]);
        assert_eq!(compare_requests(&script, &same), []);
        for other in [&["read_key <Machine>", "flush Machine"][..], &["flush Machine"], &[]] {
            let differences = compare_requests(&script, &lines(&[other]));
            assert_eq!((differences[0].step, differences[0].line), (0, 1));
        }
    }

    #[test]
    fn nothing_is_the_absence_of_requests() {
        let script = script("flush Machine\n  sends nothing\nflush Machine\n");
        assert_eq!(compare_requests(&script, &lines(&[&[], &["flush Machine"]])), []);
        let differences = compare_requests(&script, &lines(&[&["flush Machine"], &[]]));
        assert_eq!(differences[0].expected, ["nothing"]);
    }

    #[test]
    fn dots_stand_for_any_requests() {
        let script = script("flush Machine\n  sends a\n  sends ...\n  sends b\n");
        for sent in [&["a", "b"][..], &["a", "x", "b"], &["a", "b", "x", "b"]] {
            assert_eq!(compare_requests(&script, &lines(&[sent])), [], "{sent:?}");
        }
        for sent in [&["x", "a", "b"][..], &["a"], &["a", "b", "x"], &[]] {
            assert_eq!(compare_requests(&script, &lines(&[sent])).len(), 1, "{sent:?}");
        }
    }

    #[test]
    fn requests_that_fit_are_left_as_they_stand_when_blessed() {
        let text = "flush Machine\n  -> ok\n  sends ...\n  sends b\n";
        let answers = lines(&[&["ok"]]);
        let blessed = bless(text, &script(text), &answers, &lines(&[&["a", "b"]]), &[]);
        assert_eq!(blessed.as_deref(), Ok(text));
    }

    #[test]
    fn only_steps_with_requests_get_them_when_blessed() {
        let text = "flush Machine\n  sends a\n  sends b\nget Machine x\n  -> ok\n  sends c\nflush Machine\n";
        let answers = lines(&[&["ok"], &["ENOENT"], &["ok"]]);
        let requests = lines(&[&["flush Machine"], &[], &["flush Machine"]]);
        let blessed = bless(text, &script(text), &answers, &requests, &[]).expect("blessed");
        let expected = "flush Machine\n  sends flush Machine\nget Machine x\n  -> ENOENT\n  sends nothing\nflush Machine\n";
        assert_eq!(blessed, expected);
    }

    #[test]
    fn a_request_needs_words_and_a_step() {
        for text in ["sends nothing\n", "flush Machine\n  sends\n"] {
            let error = parse(text, "test.lcs").expect_err("no script");
            assert!(error.advice.contains("sends nothing"), "{error}");
        }
    }
}
