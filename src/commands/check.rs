//! `lockstep check`: scripts against text, model and target.

use std::fs;
use std::path::{Path, PathBuf};

use conformance::campaign::Runner;
use conformance::coverage::{Coverage, ScriptMarks};
use conformance::divergence::Finding;
use conformance::lockstep::{Options, Run, Verdict};
use conformance::plan::Plan;
use conformance::script::store::StoreScript;
use conformance::script::{self, Script, answer};
use rayon::prelude::*;
use reports::side_by_side::side_by_side;
use reports::terminal;

use super::check_store::{self, is_store_script};
use super::{CommandResult, Exit, read_script, runner, store_option};
use crate::CheckArguments;

/// The share of the visible requirements that the scripts must show, in tenths of a percent.
const COVERED_PER_MILLE_MIN: usize = 950;

/// How deep folders are searched for scripts.
const FOLDER_DEPTH_MAX: usize = 16;

/// Runs every script.
pub fn check(arguments: &CheckArguments) -> CommandResult {
    let mut files = Vec::new();
    for path in &arguments.paths {
        collect(path, 0, &mut files)?;
    }
    files.sort();
    if files.is_empty() {
        return Err("there is no *.lcs or *.rsi file in what was given".to_owned());
    }
    let scripts = read_scripts(&files)?;
    // They know nothing of each other; what they say is printed in their order.
    let all: Vec<_> = scripts.par_iter().map(|script| check_script(script, arguments)).collect();
    let mut failed = 0;
    let mut undecided = 0;
    let mut marks = Vec::new();
    for checked in all {
        let checked = checked?;
        print!("{}", checked.text);
        marks.push(checked.marks);
        match checked.exit {
            Exit::Conforms => {}
            Exit::Indeterminate => undecided += 1,
            Exit::HarnessFault => return Ok(Exit::HarnessFault),
            _ => failed += 1,
        }
    }
    let passed = scripts.len() - failed - undecided;
    println!("{} scripts, {passed} pass, {failed} fail, {undecided} undecided", scripts.len());
    let covers_enough = !arguments.coverage || report_coverage(&Coverage::of(&marks));
    Ok(match (failed, undecided) {
        (0, 0) if covers_enough => Exit::Conforms,
        (0, 0) => Exit::Vacuous,
        (0, _) => Exit::Indeterminate,
        _ => Exit::Divergence,
    })
}

/// A script, the file that it is in and its text.
struct ScriptFile<'a> {
    file: &'a Path,
    text: String,
    script: AnyScript,
}

/// A script of either language.
enum AnyScript {
    /// Of calls, `*.lcs`.
    Calls(Box<Script>),
    /// Of requests, `*.rsi`.
    Requests(StoreScript),
}

fn read_any(file: &Path) -> Result<(String, AnyScript), String> {
    if is_store_script(file) {
        return check_store::read(file).map(|(text, script)| (text, AnyScript::Requests(script)));
    }
    read_script(file).map(|(text, script)| (text, AnyScript::Calls(Box::new(script))))
}

/// Reads all of them before any runs, so that every malformed one is named at once.
fn read_scripts(files: &[PathBuf]) -> Result<Vec<ScriptFile<'_>>, String> {
    let mut scripts = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        match read_any(file) {
            Ok((text, script)) => scripts.push(ScriptFile { file, text, script }),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(scripts) } else { Err(problems.join("\n")) }
}

/// Prints the account and says whether it is good enough.
fn report_coverage(coverage: &Coverage) -> bool {
    print!("{}", terminal::coverage(coverage));
    coverage.per_mille() >= COVERED_PER_MILLE_MIN
        && coverage.excluded_but_shown.is_empty()
        && coverage.claimed_in_vain.is_empty()
}

/// Adds the scripts at a path.
pub(super) fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), String> {
    if depth > FOLDER_DEPTH_MAX {
        return Err(format!("{}: the folders are nested too deep", path.display()));
    }
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries = fs::read_dir(path)
        .map_err(|error| format!("failed to read the folder {}: {error}", path.display()))?;
    for entry in entries {
        let entry = entry
            .map_err(|error| format!("failed to read the folder {}: {error}", path.display()))?;
        let path = entry.path();
        if path.is_dir()
            || is_store_script(&path)
            || path.extension().is_some_and(|extension| extension == "lcs")
        {
            collect(&path, depth + 1, files)?;
        }
    }
    Ok(())
}

/// What came of a script.
pub(super) struct Checked {
    /// How it ended.
    pub exit: Exit,
    /// What there is to say of it, in whole lines.
    pub text: String,
    /// What it claims and what its run has marked.
    pub marks: ScriptMarks,
}

fn check_script(
    ScriptFile { file, text, script }: &ScriptFile<'_>,
    arguments: &CheckArguments,
) -> Result<Checked, String> {
    match script {
        AnyScript::Calls(script) => check_calls(file, text, script, arguments),
        AnyScript::Requests(script) => check_store::check_script(file, text, script, arguments),
    }
}

fn check_calls(
    file: &Path,
    text: &str,
    script: &Script,
    arguments: &CheckArguments,
) -> Result<Checked, String> {
    let runner = runner(arguments.store);
    let run = runner.run(&script.plan, script.seed.unwrap_or(0), options_of(script));
    let marks = ScriptMarks {
        name: file.display().to_string(),
        asserted: script.requirements.iter().cloned().collect(),
        marked: run.statistics.covered(),
    };
    let (exit, text) = match unfinished(file, script, &run, store_option(arguments.store)) {
        Some(end) => end,
        None => {
            let answers = answer_lines(&script.plan, &run);
            if arguments.bless {
                bless(file, text, script, &answers, &run)?
            } else {
                compare(file, script, &answers, &run)
            }
        }
    };
    Ok(Checked { exit, text, marks })
}

/// How a run ended, if its answers are not to be compared with what the script expects; and what to say of it.
fn unfinished(file: &Path, script: &Script, run: &Run, store: &str) -> Option<(Exit, String)> {
    let file = file.display();
    let (exit, what) = match &run.verdict {
        Verdict::Conforms => return None,
        // What the script says of the step is compared.
        Verdict::Outside(_) if expects_its_end(script, run) => return None,
        Verdict::Outside(what) => (Exit::Indeterminate, format!("outside this edition: {what}")),
        Verdict::Indeterminate(reason) => (Exit::Indeterminate, format!("undecided: {reason}")),
        Verdict::HarnessFault(fault) => (Exit::HarnessFault, format!("harness fault: {fault}")),
        Verdict::Diverges(divergence) => {
            let finding = Finding {
                seed: None,
                plan: script.plan.clone(),
                divergence: (**divergence).clone(),
            };
            let command = format!("lockstep replay {file}{store}");
            (Exit::Divergence, terminal::finding(&finding, &command))
        }
    };
    Some((exit, format!("{file}: {what}\n")))
}

/// What has to be recorded to compare a run with what the script expects.
pub(super) fn options_of(script: &Script) -> Options {
    let is_recorded = script.sends.iter().chain(&script.audits).any(|lines| !lines.is_empty());
    Options { record_requests: is_recorded, ..Options::default() }
}

/// Whether a script says what the last step answers that was taken.
pub(super) fn expects_its_end(script: &Script, run: &Run) -> bool {
    let last = run.answers.len().checked_sub(1);
    last.and_then(|step| script.expectations.get(step)).is_some_and(|lines| !lines.is_empty())
}

/// Compares a run with what the script expects, and says what differs.
pub(super) fn compare(
    file: &Path,
    script: &Script,
    answers: &[Vec<String>],
    run: &Run,
) -> (Exit, String) {
    let answered = script::compare(script, answers);
    let sent = script::compare_requests(script, &run.requests);
    let audited = script::compare_audits(script, &run.audits);
    let all = [
        (&answered, "model and target agree, the script expects something else"),
        (&sent, "the target sends something else than the script expects"),
        (&audited, "the target audits something else than the script expects"),
    ];
    let mut text = String::new();
    for (differences, what) in all {
        for difference in differences {
            let (expected, got) = (difference.expected.join("\n"), difference.got.join("\n"));
            text += &format!("{}:{}: {what}\n", file.display(), difference.line);
            text += &side_by_side(&expected, &got);
        }
    }
    let is_same = all.iter().all(|(differences, _)| differences.is_empty());
    (if is_same { Exit::Conforms } else { Exit::Divergence }, text)
}

/// A text whose lines end as those of the other do: all in one way, or in LF.
fn with_line_ends_of(text: &str, blessed: String) -> String {
    let is_windows = text.contains("\r\n");
    if is_windows { blessed.replace("\r\n", "\n").replace('\n', "\r\n") } else { blessed }
}

fn bless(
    file: &Path,
    text: &str,
    script: &Script,
    answers: &[Vec<String>],
    run: &Run,
) -> Result<(Exit, String), String> {
    if script.by_hand {
        // A story by hand is checked as ever; only its text stays.
        return Ok(compare(file, script, answers, run));
    }
    let blessed = script::bless(text, script, answers, &run.requests, &run.audits)
        .map_err(|refused| format!("{}: {refused}", file.display()))?;
    let blessed = with_line_ends_of(text, blessed);
    if blessed == text {
        return Ok((Exit::Conforms, String::new()));
    }
    fs::write(file, blessed)
        .map_err(|error| format!("failed to write {}: {error}", file.display()))?;
    Ok((Exit::Conforms, format!("{}: blessed\n", file.display())))
}

/// The answers of a run as the lines that scripts expect.
pub fn answer_lines(plan: &Plan, run: &Run) -> Vec<Vec<String>> {
    plan.steps
        .iter()
        .zip(&run.answers)
        .map(|(step, answer)| answer::step_lines(step, answer))
        .collect()
}
