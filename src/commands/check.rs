//! `lockstep check`: scripts against text, model and target.

use std::fs;
use std::path::{Path, PathBuf};

use conformance::campaign::Runner;
use conformance::divergence::Finding;
use conformance::lockstep::{Options, Run, Verdict};
use conformance::plan::{Plan, Step};
use conformance::script::{self, Script, answer};
use reports::side_by_side::side_by_side;
use reports::terminal;

use super::check_store::{self, is_store_script};
use super::{CommandResult, Exit, read_script, runner, store_option};
use crate::CheckArguments;

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
    let mut failed = 0;
    let mut undecided = 0;
    for file in &files {
        let checked = if is_store_script(file) {
            check_store::check_file(file, arguments)?
        } else {
            check_file(file, arguments)?
        };
        match checked {
            Exit::Conforms => {}
            Exit::Indeterminate => undecided += 1,
            Exit::HarnessFault => return Ok(Exit::HarnessFault),
            _ => failed += 1,
        }
    }
    let passed = files.len() - failed - undecided;
    println!("{} scripts, {passed} pass, {failed} fail, {undecided} undecided", files.len());
    Ok(match (failed, undecided) {
        (0, 0) => Exit::Conforms,
        (0, _) => Exit::Indeterminate,
        _ => Exit::Divergence,
    })
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

fn check_file(file: &Path, arguments: &CheckArguments) -> CommandResult {
    let (text, script) = read_script(file)?;
    let run =
        runner(arguments.store).run(&script.plan, script.seed.unwrap_or(0), Options::default());
    let store = store_option(arguments.store);
    match &run.verdict {
        Verdict::Conforms => {}
        Verdict::Indeterminate(reason) => {
            println!("{}: undecided: {reason}", file.display());
            return Ok(Exit::Indeterminate);
        }
        Verdict::HarnessFault(fault) => {
            println!("{}: harness fault: {fault}", file.display());
            return Ok(Exit::HarnessFault);
        }
        Verdict::Diverges(divergence) => {
            let finding = Finding {
                seed: None,
                plan: script.plan.clone(),
                divergence: (**divergence).clone(),
            };
            let command = format!("lockstep replay {}{store}", file.display());
            println!("{}: {}", file.display(), terminal::finding(&finding, &command));
            return Ok(Exit::Divergence);
        }
    }
    let answers = answer_lines(&script.plan, &run);
    if arguments.bless {
        return bless(file, &text, &script, &answers);
    }
    Ok(compare(file, &script, &answers))
}

fn compare(file: &Path, script: &Script, answers: &[Vec<String>]) -> Exit {
    let differences = script::compare(script, answers);
    for difference in &differences {
        println!(
            "{}:{}: model and target agree, the script expects something else",
            file.display(),
            difference.line
        );
        print!("{}", side_by_side(&difference.expected.join("\n"), &difference.got.join("\n")));
    }
    if differences.is_empty() { Exit::Conforms } else { Exit::Divergence }
}

fn bless(file: &Path, text: &str, script: &Script, answers: &[Vec<String>]) -> CommandResult {
    if script.by_hand {
        // A story by hand is checked as ever; only its text stays.
        return Ok(compare(file, script, answers));
    }
    let blessed = script::bless(text, script, answers)
        .map_err(|refused| format!("{}: {refused}", file.display()))?;
    if blessed != text {
        fs::write(file, blessed)
            .map_err(|error| format!("failed to write {}: {error}", file.display()))?;
        println!("{}: blessed", file.display());
    }
    Ok(Exit::Conforms)
}

/// The answers of a run as the lines that scripts expect.
pub fn answer_lines(plan: &Plan, run: &Run) -> Vec<Vec<String>> {
    plan.steps
        .iter()
        .zip(&run.answers)
        .map(|(step, answer)| match step {
            Step::Act { action, .. } => answer::lines(action, answer),
            Step::Fault(_) | Step::CompareViews => Vec::new(),
        })
        .collect()
}
