//! What the language promises, example by example, and its laws.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};
use proptest::prelude::*;
use registry_model::errno::Errno;
use registry_model::observation::{KeyInfo, NamedValue, Observation, Sizes};
use registry_model::view::{KeyView, Part, ValueView, View};

use super::answer::{Changes, StepAnswer, lines};
use super::strategies::{actions, plans};
use super::{Refused, Script, bless, compare, parse, print};
use crate::plan::{Action, Handle, KeyReference, Step, Text};

fn script(text: &str) -> Script {
    parse(text, "test.lcs").unwrap_or_else(|error| panic!("{error}"))
}

fn check_print(text: &str, canonical: Expect) {
    canonical.assert_eq(&print(&script(text).plan));
}

fn check_error(text: &str, message: Expect) {
    message.assert_eq(&parse(text, "test.lcs").expect_err("an error").to_string());
}

fn action(text: &str) -> Action {
    match script(text).plan.steps.into_iter().next() {
        Some(Step::Act { action, .. }) => action,
        other => panic!("no action: {other:?}"),
    }
}

fn answer_lines(text: &str, answer: StepAnswer) -> String {
    lines(&action(text), &answer).join("\n")
}

#[test]
fn a_repetition_is_one_step_for_each_number() {
    let text = "times 9..11 layer create l{n}\n";
    check_print(
        text,
        expect![[r#"
            layer create l9
            layer create l10
            layer create l11
        "#]],
    );
    let lines: Vec<usize> = script(text).lines.iter().map(|lines| lines.step).collect();
    assert_eq!(lines, [1, 1, 1]);
}

#[test]
fn a_repetition_that_is_none_is_refused() {
    for text in ["times 3..1 flush A", "times 1..2001 flush A", "times 1 flush A", "times 1..2"] {
        let error = parse(text, "test.lcs").expect_err("an error");
        assert_eq!((error.column, error.length), (1, text.len()), "{text}");
    }
    check_error(
        "times 1..2 flush A\n  -> ok\n",
        expect![[r#"
            test.lcs:2:3: an expectation below `times`, whose steps must succeed
             2 |   -> ok
               |   ^^^^^
               = write `-> ANSWER` below an action or a restart; what else happens to the world answers nothing"#]],
    );
}

#[test]
fn blessing_leaves_a_repetition_alone() {
    let text = "times 1..2 get A {n}\nget A x\n";
    let answers = vec![vec!["ENOENT".to_owned()]; 3];
    let blessed = bless(text, &script(text), &answers, &[], &[]).expect("a script to bless");
    assert_eq!(blessed, "times 1..2 get A {n}\nget A x\n  -> ENOENT\n");
}

#[test]
fn changes_are_told_from_the_look_before() {
    let answer = |changes| answer_lines("changes A", StepAnswer::Changes(changes));
    assert_eq!(answer(None), "noted");
    let changes = Changes { written: true, generation: 1 };
    assert_eq!(answer(Some(changes)), "written generation=+1");
    let changes = Changes { written: false, generation: -3 };
    assert_eq!(answer(Some(changes)), "unwritten generation=-3");
    check_print("changes @h", expect![["changes @h\n"]]);
}

#[test]
fn every_statement_has_a_canonical_form() {
    check_print(
        r#"
        actor admin   user=S-1-5-18 groups=S-1-5-32-544,S-1-5-11:0x10 privileges=SeTcbPrivilege
        actor "al ice" user=S-1-5-21-7 owner=S-1-5-18 private "my layer"
        source Machine Users
        source Other
        layer create gpo precedence=10 enabled=0    # a comment
        layer set gpo precedence=0x5
        layer delete gpo
        set Machine\System\KMES MaxEventSize dword 65536 in gpo if 7
        set Machine\A "" sz text
        set Machine\A list multi_sz "a" "b c" in gpo
        set "Machine\\Program Files" x tombstone
        set @h x type=77 hex:00ff
        set @h x none in gpo
        "al ice": get @h x data=8 layer=0
        unset @h x
        blanket Machine\A in gpo
        unblanket Machine\A
        batch Machine\A buffer=16
        value Machine\A 0 name=1 data=2
        subkey Machine\A 0
        list Machine\A
        info @h name=0
        delete Machine\A in gpo
        hide @h
        flush @h
        create Machine\A volatile in gpo
        create h = @p A/B access=query+set link
        open @h = Machine\A access=read
        open h = @p A link flags=0x10
        close @h
        view Machine
        kill source
        kill source 1 at request 3 executed
        stall source 1 at request 2 unexecuted
        break source second-response
        break source 1 ends-early at request 2 executed
        snapshots source 1 off
        release source 1
        store entry Machine\A value x dword 7 in gpo sequence=9 through GPO
        store entry Machine/A value "" tombstone hex:00 like base
        store entry Machine\A blanket sequence=0x10
        store entry Machine child "a\\b" of base in "" like base
        store entry Machine child A missing
        store entry Machine\A descriptor bytes:65536*01
        store entry Machine\A lost
        store maximum source 1 7
        store maximum 7
        restart source
        reboot
        compare views
        "#,
        expect![[r#"
            actor admin user=S-1-5-18 groups=S-1-5-32-544,S-1-5-11:0x10 privileges=SeTcb
            actor "al ice" user=S-1-5-21-7 owner=S-1-5-18 private "my layer"
            source Machine Users
            source Other
            layer create gpo precedence=10 enabled=0
            layer set gpo precedence=5
            layer delete gpo
            set Machine\System\KMES MaxEventSize dword 65536 in gpo if 7
            set Machine\A "" sz "text"
            set Machine\A list multi_sz "a" "b c" in gpo
            set "Machine\\Program Files" x tombstone
            set @h x type=77 hex:00ff
            set @h x none in gpo
            "al ice": get @h x data=8 layer=0
            unset @h x
            blanket Machine\A in gpo
            unblanket Machine\A
            batch Machine\A buffer=16
            value Machine\A 0 name=1 data=2
            subkey Machine\A 0
            list Machine\A
            info @h name=0
            delete Machine\A in gpo
            hide @h
            flush @h
            create Machine\A access=all volatile in gpo
            create h = @p A/B access=query+set link
            open h = Machine\A access=read
            open h = @p A access=all flags=0x11
            close h
            view Machine
            kill source 0
            kill source 1 at request 3 executed
            stall source 1 at request 2 unexecuted
            break source 0 second-response
            break source 1 ends-early at request 2 executed
            snapshots source 1 off
            release source 1
            store entry Machine\A value x dword 7 in gpo sequence=9 through GPO
            store entry Machine\A value "" tombstone hex:00 like base
            store entry Machine\A blanket sequence=16
            store entry Machine child a\b of base in "" like base
            store entry Machine child A missing sequence=0
            store entry Machine\A descriptor bytes:65536*01
            store entry Machine\A lost
            store maximum source 1 7
            store maximum source 0 7
            restart source 0
            reboot
            compare views
        "#]],
    );
}

#[test]
fn malformed_bytes_are_escaped_in_quotes() {
    let path = Text(b"Machine\\\xff\0e\xcc\x81".to_vec());
    assert_eq!(action(r#"view "Machine\\\xff\0e\xcc\x81""#), Action::View { path: path.clone() });
    let plan = crate::plan::Plan {
        steps: vec![Step::Act { actor: 0, action: Action::View { path } }],
        ..Default::default()
    };
    assert_eq!(print(&plan), "view \"Machine\\\\\\xff\\0e\\xcc\\x81\"\n");
}

#[test]
fn a_quoted_word_that_begins_with_an_at_sign_is_a_path() {
    let path = KeyReference::Path(Text::from("@h"));
    assert_eq!(action(r#"list "@h""#), Action::List { key: path });
    assert_eq!(
        action("list @h"),
        Action::List { key: KeyReference::Handle(Handle("h".to_owned())) }
    );
}

#[test]
fn header_comments_name_requirements_and_the_hand() {
    let script = script("# requirements: RES-03, D-52\n# by hand\n# seed: 17\n# other\n");
    assert_eq!(script.seed, Some(17));
    assert_eq!(script.requirements, ["RES-03", "D-52"]);
    assert!(script.by_hand);
}

#[test]
fn expectations_belong_to_the_step_above() {
    let script = script("get A b\n  -> ENOENT\nbatch A\n\n  -> b = none\n  # why\n  -> c = none\n");
    assert_eq!(script.expectations, [vec!["ENOENT"], vec!["b = none", "c = none"]]);
    assert_eq!(script.lines[1].step, 3);
    assert_eq!(script.lines[1].expectations, [5, 7]);
}

#[test]
fn errors_show_the_place_and_the_remedy() {
    check_error(
        "\n  gett Machine\\A x\n",
        expect![[r#"
            test.lcs:2:3: no statement is called `gett`
             2 |   gett Machine\A x
               |   ^^^^
               = write `get` if that is what is meant"#]],
    );
    check_error(
        "set Machine\\A x dwrod 5",
        expect![[r#"
            test.lcs:1:17: no value type is called `dwrod`
             1 | set Machine\A x dwrod 5
               |                 ^^^^^
               = write one of none, sz, expand_sz, binary, dword, dword_be, link, multi_sz, resource_list, full_resource_descriptor, resource_requirements_list, qword, tombstone or type=N"#]],
    );
    check_error(
        "open h Machine\\A",
        expect![[r#"
            test.lcs:1:8: `=` must stand here instead of `Machine\A`
             1 | open h Machine\A
               |        ^^^^^^^^^
               = write `open HANDLE = [@PARENT] PATH [access=RIGHTS] [link] [flags=N]`"#]],
    );
    check_error(
        "get Machine\\A",
        expect![[r#"
            test.lcs:1:14: a value name is missing
             1 | get Machine\A
               |              ^
               = write `get KEY NAME [data=BYTES] [layer=BYTES]`"#]],
    );
}

#[test]
fn errors_in_words_show_the_place_and_the_remedy() {
    check_error(
        r#"view "Machine\System""#,
        expect![[r#"
            test.lcs:1:14: an unknown escape in quotes
             1 | view "Machine\System"
               |              ^^
               = write one of \\ \" \n \r \t \0 \xNN; paths in quotes double each \"#]],
    );
    check_error(
        "set A x dword 4294967296",
        expect![[r#"
            test.lcs:1:15: a number that is too large
             1 | set A x dword 4294967296
               |               ^^^^^^^^^^
               = write a smaller one"#]],
    );
    check_error(
        "bob: list A",
        expect![[r#"
            test.lcs:1:1: no actor is called `bob`
             1 | bob: list A
               | ^^^^
               = declare the actor before the first step: actor NAME user=SID"#]],
    );
    check_error(
        "reboot\n  -> ok",
        expect![[r#"
            test.lcs:2:3: an expectation of something that answers nothing
             2 |   -> ok
               |   ^^^^^
               = write `-> ANSWER` below an action or a restart; what else happens to the world answers nothing"#]],
    );
}

#[test]
fn a_fault_of_a_source_that_is_not_there_is_shown_at_its_place() {
    check_error(
        "source Machine\nsource Users\nkill source 2 at request 1 executed",
        expect![[r#"
            test.lcs:3:13: there is no source 2
             3 | kill source 2 at request 1 executed
               |             ^
               = the script has 2 of them, counted from 0; declare more above"#]],
    );
    check_error(
        "restart source 1",
        expect![[r#"
            test.lcs:1:16: there is no source 1
             1 | restart source 1
               |                ^
               = the script has 1 of them, counted from 0; declare more above"#]],
    );
}

#[test]
fn a_stored_entry_may_answer_and_says_what_it_can_be() {
    let script = script("store entry Machine\\A lost\n  -> not stored");
    assert_eq!(script.expectations, [["not stored"]]);
    check_error(
        "store entry Machine\\A found",
        expect![[r#"
            test.lcs:1:23: `found` cannot stand here
             1 | store entry Machine\A found
               |                       ^^^^^
               = write `store entry PATH WHAT [in LAYER] [sequence=N | like LAYER] [through LAYER]`, where WHAT is `value NAME TYPE DATA`, `blanket`, `child NAME hidden|key|link|missing|of LAYER`, `descriptor SDDL|hex:...` or `lost`, or `store maximum [source N] SEQUENCE`"#]],
    );
}

#[test]
fn a_view_shows_what_cannot_be_read() {
    let path = |path: &str| path.split('\\').map(str::to_owned).collect::<Vec<_>>();
    let key = |parts: &[Part]| {
        Some(KeyView { unreadable: parts.iter().copied().collect(), ..KeyView::default() })
    };
    let view = View::from([
        (path("Machine\\A"), key(&[Part::Values, Part::SomeSubkeys, Part::Information])),
        (path("Machine\\A\\B"), key(&[Part::Key])),
        (path("Machine\\A\\C"), key(&[Part::Subkeys, Part::Information])),
    ]);
    let shown = answer_lines("view Machine\\A", StepAnswer::View(view));
    let expected =
        ["values: EIO", "subkey: EIO", "info: EIO", "[B] EIO", "[C]", "subkeys: EIO", "info: EIO"];
    assert_eq!(shown, expected.join("\n"));
    let alone = View::from([(path("Machine\\A"), key(&[Part::Key]))]);
    assert_eq!(answer_lines("view Machine\\A", StepAnswer::View(alone)), "EIO");
}

#[test]
fn no_death_is_at_request_0() {
    check_error(
        "kill source at request 0 executed",
        expect![[r#"
            test.lcs:1:24: requests are counted from 1
             1 | kill source at request 0 executed
               |                        ^
               = write 1 for the next request"#]],
    );
}

#[test]
fn a_fault_far_along_a_line_is_shown_near_the_caret() {
    let error = parse(&format!("view {} extra", "a".repeat(1000)), "t").expect_err("an error");
    assert_eq!(error.column, 1007);
    assert!(error.to_string().lines().all(|line| line.len() < 200));
    let error = parse(&format!("view A extra {}", "a".repeat(1000)), "t").expect_err("an error");
    assert!(error.to_string().lines().all(|line| line.len() < 200));
}

#[test]
fn a_path_that_is_an_equals_sign_defines_no_handle() {
    let steps = script(r#"create @p "=""#).plan.steps;
    let plan = crate::plan::Plan { steps, ..Default::default() };
    assert_eq!(print(&plan), "create @p \"=\" access=all\n");
    assert_eq!(script(&print(&plan)).plan, plan);
}

#[test]
fn data_is_bounded() {
    assert!(parse("set A x binary bytes:99999999*00", "t").is_err());
    let many = "set A x binary bytes:2097152*00\n".repeat(33);
    assert!(parse(&many, "t").expect_err("an error").problem.contains("bytes of data"));
}

#[test]
fn answers_of_single_calls_are_one_line() {
    let value = Observation::Value {
        value_type: 4,
        data: 1024u32.to_le_bytes().to_vec(),
        sequence: 9,
        layer: b"gpo".to_vec(),
    };
    assert_eq!(answer_lines("get A x", StepAnswer::Observation(value)), "dword 1024 from gpo");
    let sizes = Sizes { data: Some(4), layer: Some(4), ..Sizes::default() };
    let too_small = StepAnswer::Observation(Observation::TooSmall(sizes));
    assert_eq!(answer_lines("get A x", too_small), "ERANGE data=4 layer=4");
    let failed = StepAnswer::Observation(Observation::Failed(Errno::ENOENT));
    assert_eq!(answer_lines("get A x", failed), "ENOENT");
    for (disposition, line) in [(None, "opened"), (Some(1), "created"), (Some(2), "opened")] {
        let opened = StepAnswer::Observation(Observation::Opened { fd: 3, disposition });
        assert_eq!(answer_lines("create A", opened), line);
    }
    assert_eq!(answer_lines("flush A", StepAnswer::Observation(Observation::Done)), "ok");
    let subkey = Observation::EnumeratedSubkey {
        name: b"Sub".to_vec(),
        last_write_time: 5,
        subkey_count: 1,
        value_count: 2,
    };
    let subkey = StepAnswer::Observation(subkey);
    assert_eq!(answer_lines("subkey A 0", subkey), "Sub subkeys=1 values=2");
}

#[test]
fn key_info_is_one_line_without_times() {
    let info = Observation::KeyInfo(KeyInfo {
        name: b"My Key".to_vec(),
        last_write_time: 1,
        subkey_count: 2,
        value_count: 3,
        max_subkey_name_len: 4,
        max_value_name_len: 5,
        max_value_data_size: 6,
        sd_size: 116,
        volatile_key: 1,
        symlink: 0,
        hive_generation: 9,
    });
    assert_eq!(
        answer_lines("info A", StepAnswer::Observation(info)),
        "name=\"My Key\" subkeys=2 values=3 max_subkey_name=4 max_value_name=5 max_value_data=6 \
         sd=116 volatile=1 symlink=0"
    );
}

#[test]
fn lists_are_sorted_and_say_that_they_are_empty() {
    let names = StepAnswer::List(vec![b"b".to_vec(), b"ENOENT".to_vec(), b"a b".to_vec()]);
    assert_eq!(answer_lines("list A", names), "\"ENOENT\"\n\"a b\"\nb");
    assert_eq!(answer_lines("list A", StepAnswer::List(Vec::new())), "(empty)");
    let value = |name: &[u8]| NamedValue { name: name.to_vec(), value_type: 0, data: Vec::new() };
    let values = StepAnswer::Observation(Observation::Values(vec![value(b"b"), value(b"")]));
    assert_eq!(answer_lines("batch A", values), "\"\" = none\nb = none");
}

#[test]
fn a_view_shows_keys_below_their_headers() {
    let value = |layer: &str| ValueView {
        value_type: 4,
        data: vec![1, 0, 0, 0],
        layer: layer.to_owned(),
        sequence: 3,
    };
    let path = |text: &str| text.split('\\').map(str::to_owned).collect::<Vec<_>>();
    let root = KeyView {
        values: BTreeMap::from([("x".to_owned(), value("base"))]),
        subkeys: BTreeSet::from(["Gone".to_owned(), "Sub".to_owned()]),
        ..KeyView::default()
    };
    let below = KeyView {
        values: BTreeMap::from([(String::new(), value("gpo"))]),
        volatile_key: true,
        ..KeyView::default()
    };
    let view = View::from([
        (path("Machine\\A"), Some(root)),
        (path("Machine\\A\\Hidden"), None),
        (path("Machine\\A\\Sub"), Some(below)),
        (path("Machine\\A\\Sub\\Two Words"), Some(KeyView::default())),
    ]);
    expect![[r#"
        x = dword 1 from base
        [Gone] unopened
        [Sub] volatile
        "" = dword 1 from gpo
        ["Sub\\Two Words"]"#]]
    .assert_eq(&answer_lines("view Machine\\A", StepAnswer::View(view)));
    assert_eq!(answer_lines("view Machine\\A", StepAnswer::View(View::new())), "ENOENT");
    let alone = View::from([(path("Machine\\A"), Some(KeyView::default()))]);
    assert_eq!(answer_lines("view Machine\\A", StepAnswer::View(alone)), "(empty)");
}

fn answers(lines: &[&[&str]]) -> Vec<Vec<String>> {
    lines.iter().map(|answer| answer.iter().map(|line| (*line).to_owned()).collect()).collect()
}

#[test]
fn a_difference_shows_both_answers_at_the_line() {
    let script = script("set A x dword 1\n# comment\nget A x\n  -> dword  1   from base\n");
    assert_eq!(compare(&script, &answers(&[&["ok"], &["dword 1 from base"]])), []);
    let differences = compare(&script, &answers(&[&["ok"], &["ENOENT"]]));
    assert_eq!(differences.len(), 1);
    assert_eq!((differences[0].step, differences[0].line), (1, 3));
    assert_eq!(differences[0].got, ["ENOENT"]);
}

#[test]
fn a_step_without_expectation_must_succeed_where_anything_is_expected() {
    let vector = script("set A x dword 1\nget A x\n  -> ENOENT\n");
    let failing = answers(&[&["EIO"], &["ENOENT"]]);
    assert_eq!(compare(&vector, &failing)[0].expected, ["(success)"]);
    assert_eq!(compare(&script("set A x dword 1\nget A x\n"), &failing), []);
}

#[test]
fn blanks_in_quotes_count() {
    let script = script("get A x\n  -> sz \"a  b\" from base\n");
    assert_eq!(compare(&script, &answers(&[&["sz \"a b\" from base"]])).len(), 1);
}

#[test]
fn blessing_replaces_expectations_and_keeps_the_rest() {
    let text = "# top\nset A x dword 1\nbatch A\n  -> old\n  # why\n  -> older\ncreate A\n\
                get A x  # last\nreboot";
    let answers = answers(&[&["ok"], &["x = dword 1"], &["opened"], &["EIO"], &[]]);
    let blessed = bless(text, &script(text), &answers, &[], &[]).expect("blessed");
    expect![[r#"
        # top
        set A x dword 1
        batch A
          -> x = dword 1
          # why
        create A
          -> opened
        get A x  # last
          -> EIO
        reboot"#]]
    .assert_eq(&blessed);
    assert_eq!(compare(&script(&blessed), &answers), []);
}

#[test]
fn blessing_refuses_what_a_person_wrote() {
    let text = "# by hand\nreboot\n";
    assert_eq!(bless(text, &script(text), &answers(&[&[]]), &[], &[]), Err(Refused::ByHand));
}

#[test]
fn blessing_needs_an_answer_for_each_step() {
    let refused = Refused::AnswerCount { steps: 1, answers: 0 };
    assert_eq!(bless("reboot\n", &script("reboot\n"), &[], &[], &[]), Err(refused));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_plan_reads_back_as_itself(plan in plans()) {
        let text = print(&plan);
        let read = parse(&text, "printed").map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(read.plan, plan, "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        let _ = parse(&text, "any").map_err(|error| error.to_string());
        let _ = parse(&String::from_utf8_lossy(&bytes), "any").map_err(|error| error.to_string());
    }

    #[test]
    fn near_misses_are_read_or_refused(
        plan in plans(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, any::<char>()), 1..4),
    ) {
        let mut text: Vec<char> = print(&plan).chars().collect();
        for (place, kind, character) in edits {
            let place = place.index(text.len() + 1);
            match kind {
                0 => text.insert(place, character),
                1 if place < text.len() => text[place] = character,
                _ => text.truncate(place.max(text.len() / 2)),
            }
        }
        let text: String = text.into_iter().collect();
        if let Ok(script) = parse(&text, "near miss") {
            prop_assert_eq!(parse(&print(&script.plan), "again").map(|s| s.plan), Ok(script.plan));
        }
    }

    #[test]
    fn an_answer_stays_on_its_lines(action in actions(), names in prop::collection::vec(any::<Vec<u8>>(), 0..4)) {
        for line in lines(&action, &StepAnswer::List(names)) {
            prop_assert!(!line.contains('\n') && line.trim() == line, "{:?}", line);
        }
    }
}

#[test]
fn a_seed_that_is_no_number_is_refused_at_its_place() {
    let error = parse("# seed: soon\n", "file.lcs").expect_err("no number").to_string();
    assert!(error.starts_with("file.lcs:1:"), "{error}");
    assert!(error.contains("`soon` is no seed"), "{error}");
}

#[test]
fn what_no_world_can_make_is_refused_at_its_line() {
    let many_layers = format!("actor a user=S-1-5-18{}", " private gpo".repeat(17));
    let many_scopes = format!("actor a user=S-1-5-18{}", " scope=1".repeat(9));
    for (text, problem) in [
        ("actor a user=S-1-5-18 default_dacl=hex:00", "no access control list"),
        (many_layers.as_str(), "a token has at most 16 of these"),
        (many_scopes.as_str(), "a token has at most 8 of these"),
        ("get Machine x data=4294967295", "a buffer of more than 67108864 bytes"),
        ("events h buffer=67108865", "a buffer of more than 67108864 bytes"),
    ] {
        let error = parse(text, "test.lcs").expect_err(text).to_string();
        assert!(error.starts_with("test.lcs:1:") && error.contains(problem), "{error}");
    }
}
