//! The command line from outside: exit statuses, messages for bad input, and what every command
//! promises of its output. Runs the built binary, each test in a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use conformance::generate::{Profile, plan_of_seed};
use conformance::script;
use expect_test::{Expect, expect};
use serde_json::Value;

/// A folder of one test, which its commands run in.
struct Folder(PathBuf);

/// What a command came to.
struct Finished {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Folder {
    /// An empty folder. `test` must be unused by other tests.
    fn new(test: &str) -> Folder {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli").join(test);
        // It is there if an earlier run of the test made it.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }

    fn with(test: &str, file: &str, text: &str) -> Folder {
        let folder = Folder::new(test);
        folder.write(file, text.as_bytes());
        folder
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        fs::write(self.0.join(file), bytes).expect("a file of the test");
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).expect("a file of the test")
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.args(line.split_whitespace()).current_dir(&self.0).env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs `lockstep` with the words of `line`.
    fn run(&self, line: &str) -> Finished {
        Finished::of(self.command(line).output().expect("lockstep starts"))
    }
}

impl Finished {
    fn of(output: Output) -> Finished {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Finished {
            status: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Fails unless the exit status is this one; shows all output then.
    #[track_caller]
    fn exits(self, status: i32) -> Finished {
        assert_eq!(self.status, Some(status), "\nstdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Fails unless the command was refused with this message and did nothing.
    #[track_caller]
    fn refuses_with(self, message: Expect) {
        let finished = self.exits(2);
        message.assert_eq(&finished.err);
        assert_eq!(finished.out, "");
    }

    /// The trace in the last line.
    #[track_caller]
    fn trace(&self) -> String {
        let last = self.out.lines().last().expect("a last line");
        let (_, trace) = last.split_once("trace ").expect("a trace in the last line");
        assert!(trace.len() == 32 && trace.chars().all(|c| c.is_ascii_hexdigit()), "{trace}");
        trace.to_owned()
    }
}

// Bad input.

#[test]
fn a_malformed_script_is_shown_at_its_place() {
    let folder = Folder::with("malformed", "bad.lcs", "# one\nset Machine\\A x dwrd 1\n");
    let message = || {
        expect![[r#"
            lockstep: bad.lcs:2:17: no value type is called `dwrd`
             2 | set Machine\A x dwrd 1
               |                 ^^^^
               = write one of none, sz, expand_sz, binary, dword, dword_be, link, multi_sz, resource_list, full_resource_descriptor, resource_requirements_list, qword, tombstone or type=N
        "#]]
    };
    folder.run("check bad.lcs").refuses_with(message());
    folder.run("replay bad.lcs").refuses_with(message());
    folder.run("explain bad.lcs").refuses_with(message());
}

#[test]
fn a_fault_of_a_source_that_is_not_there_is_a_mistake_of_the_script() {
    let folder = Folder::with("no-source", "bad.lcs", "kill source 3\n");
    folder.run("check bad.lcs").refuses_with(expect![[r#"
        lockstep: bad.lcs:1:13: there is no source 3
         1 | kill source 3
           |             ^
           = the script has 1 of them, counted from 0; declare more above
    "#]]);
}

#[test]
fn every_malformed_script_is_named_before_any_runs() {
    let folder = Folder::with("two-bad", "a.lcs", "kill source 3\n");
    folder.write("b.lcs", b"wobble\n");
    let finished = folder.run("check .").exits(2);
    assert!(finished.err.contains("a.lcs:1:13:"), "{}", finished.err);
    assert!(finished.err.contains("b.lcs:1:1:"), "{}", finished.err);
}

#[test]
fn a_script_that_is_missing_is_named() {
    let folder = Folder::new("missing");
    let message = || {
        expect![[r#"
            lockstep: failed to read the script gone.lcs: No such file or directory (os error 2)
        "#]]
    };
    folder.run("check gone.lcs").refuses_with(message());
    folder.run("replay gone.lcs").refuses_with(message());
    folder.run("explain gone.lcs").refuses_with(message());
}

#[test]
fn a_folder_without_scripts_is_no_pass() {
    let folder = Folder::with("no-scripts", "note.txt", "nothing");
    folder.run("check .").refuses_with(expect![[r#"
        lockstep: there is no *.lcs or *.rsi file in what was given
    "#]]);
}

#[test]
fn a_script_that_is_not_utf_8_is_refused() {
    let folder = Folder::new("not-utf-8");
    folder.write("bad.lcs", b"view \xFF\n");
    folder.run("check bad.lcs").refuses_with(expect![[r#"
        lockstep: bad.lcs: the script is not UTF-8: invalid utf-8 sequence of 1 bytes from index 5
    "#]]);
}

#[test]
fn a_bad_range_of_seeds_is_refused() {
    let folder = Folder::new("bad-seeds");
    folder.run("run --seeds 7").refuses_with(expect![[r#"
        lockstep: "7" is no range of seeds; write FIRST..END, as in 0..200
    "#]]);
    folder.run("run --seeds 7..7").refuses_with(expect![[r#"
        lockstep: the range of seeds 7..7 is empty; END must be above FIRST
    "#]]);
    folder.run("run --seeds=-1..7").refuses_with(expect![[r#"
        lockstep: "-1" is no seed; a seed is a whole number from 0 to 18446744073709551615
    "#]]);
}

#[test]
fn an_unknown_profile_is_refused() {
    let folder = Folder::new("bad-profile");
    let message = || {
        expect![[r#"
            lockstep: there is no profile "wild"; the profiles are default, calm, crash, security, lifecycle, chaos
        "#]]
    };
    folder.run("run --seeds 0..1 --profile wild").refuses_with(message());
    folder.run("replay 1 --profile wild").refuses_with(message());
}

#[test]
fn a_bad_option_is_refused() {
    let folder = Folder::new("bad-option");
    for (line, message) in [
        ("run --sedes 0..4", "unexpected argument '--sedes'"),
        ("run --jobs 0", "invalid value '0' for '--jobs <JOBS>'"),
        ("run --calls 0", "invalid value '0' for '--calls <CALLS>'"),
        ("run --store tape", "[possible values: sqlite, memory]"),
        ("check", "<PATHS>..."),
        ("walk", "unrecognized subcommand 'walk'"),
        ("", "Usage: lockstep <COMMAND>"),
    ] {
        let finished = folder.run(line).exits(2);
        assert!(finished.err.contains(message), "{line}: {}", finished.err);
    }
}

#[test]
fn a_replay_of_neither_seed_nor_file_is_refused() {
    let folder = Folder::new("bad-replay");
    folder.run("replay seventeen").refuses_with(expect![[r#"
        lockstep: "seventeen" is no seed; a seed is a whole number from 0 to 18446744073709551615; and no file has that name either
    "#]]);
}

#[test]
fn an_explanation_past_the_end_is_refused() {
    let folder = Folder::with("past-the-end", "two.lcs", "view Machine\nreboot\n");
    folder.run("explain two.lcs --at 3").refuses_with(expect![[r#"
        lockstep: the script has 2 steps; --at 3 is past its end
    "#]]);
}

#[test]
fn a_report_folder_that_cannot_be_made_is_told_before_anything_runs() {
    let folder = Folder::with("report-is-a-file", "out", "a file");
    folder.run("run --seeds 0..1 --report out").refuses_with(expect![[r#"
        lockstep: failed to make the folder out: File exists (os error 17); name another with --report
    "#]]);
}

// Campaigns.

#[test]
fn a_campaign_has_the_same_trace_again_and_with_any_jobs() {
    let folder = Folder::new("traces");
    let run = |jobs| {
        let line = format!("run --seeds 0..4 --calls 60 --store memory --jobs {jobs}");
        folder.run(&line).exits(0).trace()
    };
    let first = run(1);
    assert_eq!(first, run(1), "the second time");
    assert_eq!(first, run(2), "with two jobs");
}

#[test]
fn a_campaign_ends_in_a_line_that_sums_up() {
    let folder = Folder::new("summary");
    let finished = folder.run("run --seeds 0..2 --calls 40 --store memory --jobs 1").exits(0);
    let last = finished.out.lines().last().expect("a last line");
    assert!(last.starts_with("2 seeds, "), "{last}");
    assert!(last.contains(" calls checked, 0 divergences, "), "{last}");
}

#[test]
fn a_campaign_whose_time_is_over_passes_and_says_how_to_go_on() {
    let folder = Folder::new("time");
    let line = "run --time 1s --calls 1000 --store memory --jobs 1";
    let finished = folder.run(line).exits(0);
    let ended = finished.out.lines().find(|line| line.starts_with("time is over: "));
    let seeds: u64 = ended
        .and_then(|line| line.split(' ').nth(3))
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or_else(|| panic!("{}", finished.out));
    assert!(ended.is_some_and(|line| line.ends_with(&format!("--seeds {seeds}.. goes on"))));
}

#[test]
fn the_document_of_a_campaign_whose_time_is_over_says_where_to_go_on() {
    let folder = Folder::new("time-in-json");
    let line = "run --time 1s --calls 1000 --store memory --jobs 1 --format json";
    let finished = folder.run(line).exits(0);
    let number = |name: &str| {
        let line = finished.out.lines().find(|line| line.starts_with(&format!("  \"{name}\": ")));
        line.unwrap_or_else(|| panic!("{}", finished.out)).split_once(": ").map(|(_, value)| value)
    };
    assert_eq!(number("next_seed"), number("seeds"));
}

#[test]
fn the_shards_of_a_range_share_its_seeds() {
    let folder = Folder::new("shards");
    for (shard, seeds) in [("1/3", 2), ("2/3", 2), ("3/3", 1)] {
        let line = format!("run --seeds 0..5 --shard {shard} --calls 20 --store memory");
        let finished = folder.run(&line).exits(0);
        let last = finished.out.lines().last().expect("a last line").to_owned();
        assert!(last.starts_with(&format!("{seeds} seeds, ")), "{shard}: {last}");
    }
    folder.run("run --seeds 0..5 --shard 4/3").refuses_with(expect![[r#"
        lockstep: "4/3" is no shard; write I/N with I from 1 to N, as in 2/4
    "#]]);
}

#[test]
fn the_json_report_is_one_document_of_schema_1() {
    let folder = Folder::new("json");
    let line = "run --seeds 0..2 --calls 40 --store memory --format json --report out";
    let finished = folder.run(line).exits(0);
    let document: Value = serde_json::from_str(&finished.out).expect("a JSON document");
    assert_eq!(document["schema"], 1);
    assert_eq!(document["seeds"], 2);
    assert_eq!(document["cancelled"], false);
    assert_eq!(document["divergences"], Value::Array(Vec::new()));
    assert!(document["calls"].as_u64().is_some_and(|calls| calls > 40), "{document}");
    let saved: Value = serde_json::from_str(&folder.read("out/summary.json")).expect("JSON");
    assert_eq!(saved, document, "the file says the same");
}

#[test]
fn a_campaign_that_exercises_too_little_is_vacuous() {
    let folder = Folder::new("vacuous");
    let line = "run --seeds 0..100 --calls 1 --profile calm --store memory";
    let finished = folder.run(line).exits(4);
    assert!(finished.out.contains("vacuous: no call failed with"), "{}", finished.out);
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_campaign_sums_up_what_it_has() {
    let folder = Folder::new("interrupted");
    let line = "run --seeds 0..1000000 --calls 20 --profile calm --store memory --jobs 1";
    let mut child = folder
        .command(line)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lockstep starts");
    let id = child.id();
    let listened = wait_until(|| catches_interrupts(id));
    let sent = Command::new("kill").args(["-INT", &id.to_string()]).status().expect("kill runs");
    let ended = wait_until(|| child.try_wait().expect("a child of this process").is_some());
    if !ended {
        child.kill().expect("a child of this process");
    }
    let finished = Finished::of(child.wait_with_output().expect("lockstep ends"));
    assert!(listened && sent.success() && ended, "listened: {listened}, ended: {ended}");
    let finished = finished.exits(5);
    assert!(finished.out.contains("interrupted: "), "{}", finished.out);
    finished.trace();
}

/// Whether a process handles SIGINT: bit 1 of the caught signals that the system shows.
#[cfg(target_os = "linux")]
fn catches_interrupts(process: u32) -> bool {
    const INTERRUPT: u64 = 1 << 1;
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap_or(0) & INTERRUPT != 0)
}

/// Looks every 10 ms for up to 10 s.
#[cfg(target_os = "linux")]
fn wait_until(mut is_so: impl FnMut() -> bool) -> bool {
    (0..1_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        is_so()
    })
}

// Scripts.

const CONTEST: &str = "\
layer create gpo precedence=10
set Machine\\A x dword 1
set Machine\\A x dword 2 in gpo
get Machine\\A x
";

#[test]
fn a_script_that_expects_what_happens_passes() {
    let text = format!("{CONTEST}  -> dword 2 from gpo\n");
    let folder = Folder::with("passes", "contest.lcs", &text);
    let finished = folder.run("check . --store memory").exits(0);
    assert_eq!(finished.out, "1 scripts, 1 pass, 0 fail, 0 undecided\n");
    folder.run("check contest.lcs").exits(0);
}

#[test]
fn a_wrong_expectation_is_shown_beside_the_answer() {
    let text = format!("{CONTEST}  -> dword 1 from base\n");
    let folder = Folder::with("wrong", "contest.lcs", &text);
    let finished = folder.run("check contest.lcs --store memory").exits(1);
    expect![[r#"
        contest.lcs:4: model and target agree, the script expects something else
          expected                                                     got
          dword 1 from base                                          | dword 2 from gpo
        1 scripts, 0 pass, 1 fail, 0 undecided
    "#]]
    .assert_eq(&finished.out);
}

#[test]
fn a_wrong_request_is_shown_beside_what_was_sent() {
    let text = format!("{CONTEST}  sends lookup <Machine> A\n  sends nothing\n");
    let folder = Folder::with("wrong-request", "contest.lcs", &text);
    let finished = folder.run("check contest.lcs --store memory").exits(1);
    expect![[r#"
        contest.lcs:4: the target sends something else than the script expects
          expected                                                     got
          lookup <Machine> A                                           lookup <Machine> A
          nothing                                                    | query_values <Machine\A> name=x
        1 scripts, 0 pass, 1 fail, 0 undecided
    "#]].assert_eq(&finished.out);
}

#[test]
fn scripts_that_show_too_little_are_vacuous_as_a_set() {
    let text = format!("# requirements: RES-10, RES-05\n{CONTEST}  -> dword 2 from gpo\n");
    let folder = Folder::with("coverage", "contest.lcs", &text);
    let finished = folder.run("check contest.lcs --coverage --store memory").exits(4);
    let lines: Vec<&str> = finished.out.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("RES ")), "{}", finished.out);
    assert!(lines.last().is_some_and(|line| line.starts_with("1 of ")), "{}", finished.out);
}

#[test]
fn blessing_writes_the_answers_in() {
    let folder = Folder::with("bless", "contest.lcs", CONTEST);
    let finished = folder.run("check --bless contest.lcs --store memory").exits(0);
    assert!(finished.out.starts_with("contest.lcs: blessed\n"), "{}", finished.out);
    assert_eq!(folder.read("contest.lcs"), format!("{CONTEST}  -> dword 2 from gpo\n"));
    let again = folder.run("check --bless contest.lcs --store memory").exits(0);
    assert!(!again.out.contains("blessed"), "{}", again.out);
}

#[test]
fn blessing_keeps_what_was_written_by_hand() {
    let text = format!("# by hand\n{CONTEST}  -> dword 1 from base\n");
    let folder = Folder::with("by-hand", "contest.lcs", &text);
    let finished = folder.run("check --bless contest.lcs --store memory").exits(1);
    assert!(finished.out.contains("| dword 2 from gpo"), "{}", finished.out);
    assert_eq!(folder.read("contest.lcs"), text);
}

#[test]
fn a_script_of_requests_is_checked_against_the_store() {
    let script = "flush Machine\n  -> ok\nlookup Machine App\n  -> (empty)\n";
    let folder = Folder::with("requests", "a.rsi", script);
    let finished = folder.run("check --store memory .").exits(0);
    assert_eq!(finished.out, "1 scripts, 1 pass, 0 fail, 0 undecided\n");
}

#[test]
fn a_wrong_expectation_of_a_request_is_shown_beside_the_answer() {
    let folder = Folder::with("requests-wrong", "a.rsi", "flush Nobody\n  -> ok\n");
    let finished = folder.run("check --store memory a.rsi").exits(1);
    assert!(finished.out.contains("a.rsi:1: model and source agree"), "{}", finished.out);
}

#[test]
fn a_certification_tells_what_holds() {
    let script = "# requirements: LORE-135\nflush Nobody\n  -> INVALID\n";
    let folder = Folder::with("certify", "a.rsi", script);
    let line = "certify --store memory --one-hive --scripts . --report out";
    let finished = folder.run(line).exits(0);
    assert!(finished.out.contains("memory: 1 of 1 scripts pass\n"), "{}", finished.out);
    assert!(finished.out.contains("LORE                 1         0\n"), "{}", finished.out);
    let document: serde_json::Value =
        serde_json::from_str(&folder.read("out/certification.json")).expect("JSON");
    assert_eq!(document["requirements_held"], 1);
}

#[test]
fn a_certification_needs_scripts() {
    let folder = Folder::with("certify-none", "a.lcs", "");
    let finished = folder.run("certify --scripts .").exits(2);
    assert!(finished.err.contains("there is no *.rsi file in ."), "{}", finished.err);
}

#[test]
fn an_explanation_tells_the_contest() {
    let folder = Folder::with("explain", "contest.lcs", CONTEST);
    let explain = |options: &str| {
        folder.run(&format!("explain contest.lcs {options} --store memory")).exits(0).out
    };
    expect![[r#"
        after step 2, layers:
          base precedence 0
          gpo precedence 10
        as system sees it

        step 2 sent:
          lookup <Machine> A
          lookup <Machine> A
          read_key <Machine>
          create_entry <Machine> A = <Machine\A> in base sequence=6
          create_key <Machine\A> = <Machine> A sd=120
          query_values <Machine\A> name=x
          set_value <Machine\A> x dword 1 in base sequence=7
          write_key <Machine\A> last_write_time

        Machine\A value "x"
        * base: precedence 0, sequence 7: dword 1
    "#]]
    .assert_eq(&explain("--at 2 Machine\\A x"));
    expect![[r#"
        after step 4, layers:
          base precedence 0
          gpo precedence 10
        as system sees it

        step 4 sent:
          lookup <Machine> A
          query_values <Machine\A> name=x

        Machine\A value "x"
        * gpo: precedence 10, sequence 8: dword 2
          base: precedence 0, sequence 7: dword 1
    "#]]
    .assert_eq(&explain("Machine\\A x"));
}

#[test]
fn an_explanation_without_a_path_shows_the_whole_view() {
    let folder = Folder::with("explain-view", "contest.lcs", CONTEST);
    let finished = folder.run("explain contest.lcs --store memory").exits(0);
    assert!(finished.out.contains("\nMachine\\A\n  \"x\" = type 4 "), "{}", finished.out);
}

#[test]
fn an_output_that_nobody_reads_is_no_fault_of_the_harness() {
    let folder = Folder::with("closed-output", "contest.lcs", CONTEST);
    let mut command = folder.command("explain contest.lcs --store memory");
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("lockstep starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("lockstep ends");
    let finished = Finished::of(output).exits(2);
    assert!(finished.err.starts_with("lockstep: failed to write the output"), "{}", finished.err);
}

// Replays.

#[test]
fn a_seed_replays_to_one_trace() {
    let folder = Folder::new("replay-seed");
    let line = "replay 17 --calls 60 --store memory";
    let first = folder.run(line).exits(0);
    assert!(first.out.starts_with("conforms\n"), "{}", first.out);
    assert_eq!(first.trace(), folder.run(line).exits(0).trace());
}

#[test]
fn a_printed_plan_replays_like_its_seed() {
    let plan = plan_of_seed(0, Profile::Default, 60);
    let folder = Folder::with("replay-file", "seed-0.lcs", &script::print(&plan));
    let of_seed = folder.run("replay 0 --calls 60 --store memory").exits(0);
    let of_file = folder.run("replay seed-0.lcs --store memory").exits(0);
    assert_eq!(of_seed.out, of_file.out);
}

#[test]
fn a_replay_compares_what_a_script_expects() {
    let folder =
        Folder::with("replay-wrong", "wrong.lcs", &format!("{CONTEST}  -> dword 1 from base\n"));
    let finished = folder.run("replay wrong.lcs --store memory").exits(1);
    assert!(finished.out.starts_with("wrong.lcs:4: model and target agree"), "{}", finished.out);
    folder.write("right.lcs", format!("{CONTEST}  -> dword 2 from gpo\n").as_bytes());
    let finished = folder.run("replay right.lcs --store memory").exits(0);
    assert!(finished.out.starts_with("conforms\n"), "{}", finished.out);
}

#[test]
fn a_script_that_conforms_has_nothing_to_shrink() {
    let folder = Folder::with("shrink-nothing", "fine.lcs", CONTEST);
    let finished = folder.run("shrink fine.lcs --store memory").exits(0);
    assert!(finished.out.starts_with("conforms to the model"), "{}", finished.out);
    assert!(!folder.0.join("out").exists(), "there is nothing to save");
    folder.run("shrink gone.lcs").exits(2);
}

// What else a command says.

#[test]
fn the_doctor_finds_this_build_healthy() {
    let finished = Folder::new("doctor").run("doctor").exits(0);
    assert!(!finished.out.contains("wrong"), "{}", finished.out);
    assert!(finished.out.lines().count() >= 6, "{}", finished.out);
}

#[test]
fn the_doctor_names_every_program_that_is_missing() {
    let mut command = Folder::new("doctor-alone").command("doctor");
    let output = command.env("PATH", "").output().expect("lockstep starts");
    let finished = Finished::of(output).exits(0);
    for program in ["git", "cargo", "timeout"] {
        let note = format!("note  {program} is missing: `lockstep planted` will not work\n");
        assert!(finished.out.contains(&note), "{}", finished.out);
    }
}

#[test]
fn every_command_has_help() {
    let folder = Folder::new("help");
    let help = folder.run("--help").exits(0).out;
    let (_, commands) = help.split_once("Commands:\n").expect("a list of commands");
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let commands: Vec<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.starts_with(&["run", "replay", "shrink", "check"]), "{commands:?}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        let finished = folder.run(&format!("{command} --help")).exits(0);
        assert!(finished.out.contains(&format!("Usage: lockstep {command}")), "{}", finished.out);
    }
}

#[test]
fn the_help_names_the_exit_statuses() {
    let finished = Folder::new("help-exit").run("--help").exits(0);
    let words = finished.out.split_whitespace().collect::<Vec<_>>().join(" ");
    let statuses = "Exit status: 0 conforms; 1 divergence; 2 usage or environment; \
                    3 fault or nondeterminism of the harness itself; 4 vacuous; 5 indeterminate.";
    assert!(words.contains(statuses), "{}", finished.out);
}
