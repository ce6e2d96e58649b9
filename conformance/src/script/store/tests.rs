//! The language of requests: what it reads, what it refuses and how, and how it blesses.

use expect_test::{Expect, expect};

use super::{bless, compare, parse, print};

#[track_caller]
fn prints_as(text: &str, expected: Expect) {
    let script = parse(text, "a.rsi").unwrap_or_else(|error| panic!("{error}"));
    expected.assert_eq(&print(&script.plan));
}

#[track_caller]
fn refuses(text: &str, expected: Expect) {
    let error = parse(text, "a.rsi").expect_err("a faulty script");
    expected.assert_eq(&format!("{error}\n"));
}

#[test]
fn every_statement_prints_as_it_is_written() {
    let text = r#"hives Machine "My Hive"
lookup Machine "Program Files"
create-entry "My Hive" App k1 in gpo at 1
hide-entry k1 App at 2 by t1
delete-entry k1 App in gpo
enum-children nil
create-key k1 Machine App sd S-1-5-32-544 volatile symlink
create-key k1 Machine App
read-key guid:000102030405060708090a0b0c0d0e0f
write-key k1 sd hex:0102 time 7 mask 0x4
write-key k1
drop-key k1
query-values k1 *
query-values k1 "*"
query-values k1 ""
set-value k1 Mode dword 1 in gpo at 3 if 2
set-value k1 Mode tombstone at 4 extra hex:00ff
delete-value k1 Mode
set-blanket k1 in gpo at 5
clear-blanket k1 in gpo
begin t1 read-write
begin 7 read-only
begin t2 2
commit t1
abort 7
flush Machine
delete-layer gpo
raw 0x007f hex:00
r1: lookup Machine App
await r1
pass 25s
pass 1500ms
kill
stop
start
compare
"#;
    let script = parse(text, "a.rsi").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(print(&script.plan), text);
}

#[test]
fn a_layer_that_is_left_out_is_base() {
    prints_as(
        "set-blanket Machine in base at 5",
        expect![[r#"
            set-blanket Machine at 5
        "#]],
    );
}

#[test]
fn a_sequence_number_must_be_given() {
    refuses(
        "set-value k1 Mode dword 1 in gpo",
        expect![[r#"
            a.rsi:1:33: `at SEQUENCE` is missing
             1 | set-value k1 Mode dword 1 in gpo
               |                                 ^
               = write `set-value KEY NAME TYPE DATA [in LAYER] at SEQUENCE [if SEQUENCE]`
        "#]],
    );
}

#[test]
fn an_option_of_another_statement_is_refused() {
    refuses(
        "delete-entry Machine App at 5",
        expect![[r#"
            a.rsi:1:26: `at` cannot stand here
             1 | delete-entry Machine App at 5
               |                          ^^
               = write `delete-entry KEY NAME [in LAYER]`
        "#]],
    );
}

#[test]
fn an_answer_of_something_that_was_not_sent_is_refused() {
    refuses(
        "await r1",
        expect![[r#"
            a.rsi:1:1: no request is called `r1`
             1 | await r1
               | ^^^^^
               = label a request above: NAME: REQUEST
        "#]],
    );
}

#[test]
fn a_labelled_request_answers_at_its_await() {
    refuses(
        "r1: flush Machine\n  -> ok",
        expect![[r#"
            a.rsi:2:3: an expectation of something that answers nothing
             2 |   -> ok
               |   ^^^^^
               = write `-> ANSWER` below a request without a label, `await` or `start`; nothing else answers
        "#]],
    );
}

#[test]
fn a_time_has_a_unit() {
    refuses(
        "pass 25",
        expect![[r#"
            a.rsi:1:6: a time without a unit
             1 | pass 25
               |      ^^
               = write `pass TIME, such as 25s or 10ms`
        "#]],
    );
}

const SCRIPT: &str = "# requirements: OP-10, D-06\n\nlookup Machine App\nflush Machine\n";

#[test]
fn the_header_names_requirements() {
    let script = parse(SCRIPT, "a.rsi").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(script.requirements, ["OP-10", "D-06"]);
    assert!(!script.by_hand);
}

#[test]
fn blessing_writes_what_is_worth_saying() {
    let script = parse(SCRIPT, "a.rsi").unwrap_or_else(|error| panic!("{error}"));
    let answers = [vec!["(empty)".to_owned()], vec!["ok".to_owned()]];
    let blessed = bless(SCRIPT, &script, &answers);
    let expected = SCRIPT.replace("App\n", "App\n  -> (empty)\n");
    assert_eq!(blessed, expected);
}

#[test]
fn a_script_by_hand_is_not_blessed() {
    let text = format!("# by hand\n{SCRIPT}");
    let script = parse(&text, "a.rsi").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(bless(&text, &script, &[vec!["x".to_owned()], vec![]]), text);
}

#[test]
fn a_step_that_says_nothing_must_succeed_where_others_say_something() {
    let text = SCRIPT.replace("App\n", "App\n  -> (empty)\n");
    let script = parse(&text, "a.rsi").unwrap_or_else(|error| panic!("{error}"));
    let answers = |second: &str| [vec!["(empty)".to_owned()], vec![second.to_owned()]];
    assert!(compare(&script, &answers("ok")).is_empty());
    assert_eq!(compare(&script, &answers("INVALID"))[0].line, 5);
    assert_eq!(compare(&script, &answers("waits"))[0].line, 5);
}
