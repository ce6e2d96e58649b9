//! The world on real threads, with this package's binary as the program of its sources: a small campaign of
//! each kind that passes, and what is told where something is wrong.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use conformance::campaign::Runner;
use conformance::generate::on_threads::on_threads;
use conformance::generate::{Profile, plan_of_seed};
use conformance::lockstep::{Options, Run, Verdict};
use conformance::script;
use threads::{SourceProgram, ThreadsRunner};

const BINARY: &str = env!("CARGO_BIN_EXE_lockstep");

/// Sources that are processes of the built binary.
fn sound() -> SourceProgram {
    SourceProgram { program: PathBuf::from(BINARY), arguments: vec![OsString::from("source")] }
}

/// Sources that are what a shell makes of a source's arguments.
fn shell(script: &str) -> SourceProgram {
    let arguments = ["-c", script, BINARY].map(OsString::from).to_vec();
    SourceProgram { program: PathBuf::from("sh"), arguments }
}

fn run_with(program: SourceProgram, text: &str) -> Run {
    let plan = script::parse(text, "test").expect("a script").plan;
    ThreadsRunner { program }.run(&plan, 0, Options::default())
}

#[track_caller]
fn conforms(text: &str) -> Run {
    let run = run_with(sound(), text);
    assert!(matches!(run.verdict, Verdict::Conforms), "{:?}", run.verdict);
    run
}

const BLOCK: &str = "\
set Machine\\App Count dword 0
create a = Machine\\App
create b = Machine\\App
create c = Machine\\App
parallel random 17
  strand
    update @a Count dword 1
    set @a Count dword 2
  strand
    update @b Count dword 3
    get @b Count
  strand
    update @c Count dword 4
    batch @c
end
get Machine\\App Count
";

#[test]
fn calls_a_block_and_a_death_conform() {
    let killed = format!("{BLOCK}kill source\nget @a Count\nrestart source\nget @a Count\n");
    let statistics = conforms(&killed).statistics;
    assert_eq!((statistics.blocks, statistics.faults), (1, 2));
}

#[test]
fn a_source_dies_in_the_middle_of_a_call() {
    for how in ["executed", "unexecuted"] {
        let death = format!(
            "set Machine\\App Count dword 0\nkill source at request 2 {how}\n\
             set Machine\\App Count dword 1\nrestart source\nget Machine\\App Count\n"
        );
        for _ in 0..5 {
            assert_eq!(conforms(&death).statistics.interrupted, 1);
        }
    }
}

#[test]
fn what_was_answered_survives_every_death_and_reboot() {
    let mut text = String::from("create h = Machine\\App\n");
    for number in 0..8 {
        let end = ["kill source\nrestart source", "reboot\nopen h = Machine\\App"][number % 2];
        text += &format!("set @h Count dword {number}\n{end}\nget @h Count\n");
    }
    conforms(&text);
}

/// Runs plans of a profile; how many blocks and calls in which a source died they had.
#[track_caller]
fn campaign(profile: Profile, seeds: std::ops::Range<u64>, calls: usize) -> (u64, u64) {
    let runner = ThreadsRunner { program: sound() };
    let (mut blocks, mut interrupted) = (0, 0);
    for seed in seeds {
        let (plan, _) = on_threads(&plan_of_seed(seed, profile, calls));
        let run = runner.run(&plan, seed, Options::default());
        assert!(matches!(run.verdict, Verdict::Conforms), "seed {seed}: {:#?}", run.verdict);
        blocks += run.statistics.blocks;
        interrupted += run.statistics.interrupted;
    }
    (blocks, interrupted)
}

#[test]
fn a_small_campaign_of_deaths_conforms() {
    let (_, interrupted) = campaign(Profile::Crash, 0..8, 100);
    assert!(interrupted > 0, "no source died in a call");
}

#[test]
fn a_small_campaign_of_callers_conforms() {
    campaign(Profile::Security, 0..4, 100);
}

#[test]
fn a_source_that_ends_by_itself_is_no_pass() {
    let run = run_with(shell("timeout 0.3 \"$0\" source \"$@\""), &BLOCK.repeat(60));
    let Verdict::HarnessFault(fault) = run.verdict else { panic!("{:?}", run.verdict) };
    assert!(fault.contains("source 0 has ended by itself"), "{fault}");
}

#[test]
fn a_source_that_does_not_start_is_told_with_its_last_words() {
    let run = run_with(shell("echo no luck >&2; exit 1"), "flush Machine\n");
    let Verdict::HarnessFault(fault) = run.verdict else { panic!("{:?}", run.verdict) };
    assert!(fault.contains("source 0 does not start"), "{fault}");
    assert!(fault.contains("no luck"), "{fault}");
}

#[test]
fn a_fault_that_only_the_simulator_can_make_is_no_pass() {
    let run = run_with(sound(), "stall source\n");
    let Verdict::HarnessFault(fault) = run.verdict else { panic!("{:?}", run.verdict) };
    assert!(fault.contains("only the simulator can make"), "{fault}");
}

/// Runs the built binary in a folder of its own; its exit status, standard output and standard error.
fn lockstep(test: &str, line: &str) -> (Option<i32>, String, String) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("threads").join(test);
    // It is there if an earlier run of the test made it.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder for the test");
    let mut command = Command::new(BINARY);
    command.args(line.split_whitespace()).current_dir(&folder).env_remove("RUST_BACKTRACE");
    let output = command.output().expect("lockstep starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_campaign_on_threads_says_what_was_left_out_and_has_no_trace() {
    let line = "run --world threads --seeds 0..3 --calls 80 --jobs 1 --profile lifecycle";
    let (status, out, err) = lockstep("campaign", line);
    assert_eq!(status, Some(0), "{out}\n{err}");
    assert!(out.contains("left out, since only the simulator can do it: "), "{out}");
    let last = out.lines().last().unwrap_or_default();
    assert!(last.starts_with("3 seeds, ") && !last.contains("trace"), "{last}");
}

#[test]
fn what_threads_cannot_do_is_refused() {
    for (option, message) in [
        ("--store memory", "the sources of real threads are processes"),
        ("--determinism", "no two runs on real threads are alike"),
        ("--twice-one-in 3", "no two runs on real threads are alike"),
    ] {
        let (status, _, err) = lockstep("refused", &format!("run --world threads {option}"));
        assert_eq!(status, Some(2), "{option}");
        assert!(err.contains(message), "{option}: {err}");
    }
}
