//! `lockstep certify`: a backing store against the source interface's requirements.

use std::fs;
use std::path::{Path, PathBuf};

use conformance::script::store as script;
use conformance::store_client::certify::{
    Certification, Level, ScriptOutcome, certify as run_certification,
};
use conformance::store_client::generate::Features;
use reports::certification;

use super::{CommandResult, Exit, check, check_store, store_machine};
use crate::{CertifyArguments, Format, LevelName, Store};

/// Findings that are printed; the others are only counted.
const PRINTED_MAX: usize = 3;
/// Where reproductions go without `--report`.
const DEFAULT_REPORT: &str = "out";

/// Runs the certification.
pub fn certify(arguments: &CertifyArguments) -> CommandResult {
    let mut files = Vec::new();
    check::collect(&arguments.scripts, 0, &mut files)?;
    files.retain(|file| check_store::is_store_script(file));
    files.sort();
    if files.is_empty() {
        return Err(format!(
            "there is no *.{} file in {}; name the folder with --scripts",
            script::EXTENSION,
            arguments.scripts.display()
        ));
    }
    let mut scripts = Vec::new();
    for file in &files {
        scripts.push((file.display().to_string(), check_store::read(file)?.1));
    }
    let features =
        Features { second_hive: !arguments.one_hive, volatile_keys: !arguments.no_volatile_keys };
    let level = match arguments.level {
        LevelName::Smoke => Level { features, ..Level::SMOKE },
        LevelName::Full => Level { features, ..Level::FULL },
    };
    let store = match arguments.store {
        Store::Sqlite => "sqlite",
        Store::Memory => "memory",
    };
    let machine = store_machine(arguments.store);
    let result = run_certification(&machine, &scripts, level, arguments.first_seed);
    let vacuous = result.vacuous();
    let report = arguments.report.clone();
    let folder = report.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_REPORT));
    let document = certification::document(&result, store, &vacuous);
    if report.is_some() {
        write(&folder, "certification.json", &document)?;
    }
    let mut printed = String::new();
    for finding in result.findings.iter().take(PRINTED_MAX) {
        let name = format!("{store}-seed-{}.{}", finding.seed, script::EXTENSION);
        let what = finding.divergence.what.replace('\n', " ");
        let (kind, seed) = (finding.divergence.kind.name(), finding.seed);
        let plan = script::print(&finding.plan);
        let path = write(&folder, &name, &format!("# {kind}: {what}\n# seed: {seed}\n{plan}"))?;
        let command =
            format!("lockstep check {}{}", path.display(), super::store_option(arguments.store));
        printed.push_str(&certification::finding(finding, &command));
    }
    match arguments.format {
        Format::Json => println!("{document}"),
        Format::Human => {
            for (name, _, outcome) in &result.scripts {
                print!("{}", certification::script_failure(name, outcome));
            }
            print!("{printed}");
            for (seed, what) in result.indeterminate.iter().chain(&result.faults) {
                println!("seed {seed}: {what}");
            }
            for reason in &vacuous {
                println!("vacuous: {reason}");
            }
            print!("{}", certification::table(&result, store));
        }
    }
    Ok(exit_of(&result, &vacuous))
}

/// What a certification comes to.
fn exit_of(result: &Certification, vacuous: &[String]) -> Exit {
    let has = |wanted: fn(&ScriptOutcome) -> bool| {
        result.scripts.iter().any(|(_, _, outcome)| wanted(outcome))
    };
    let diverges =
        has(|outcome| matches!(outcome, ScriptOutcome::Diverges(_) | ScriptOutcome::Differs(_)));
    if diverges || !result.findings.is_empty() {
        Exit::Divergence
    } else if !result.faults.is_empty() || has(|o| matches!(o, ScriptOutcome::HarnessFault(_))) {
        Exit::HarnessFault
    } else if !result.indeterminate.is_empty()
        || has(|outcome| matches!(outcome, ScriptOutcome::Indeterminate(_)))
    {
        Exit::Indeterminate
    } else if !vacuous.is_empty() {
        Exit::Vacuous
    } else {
        Exit::Conforms
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf, String> {
    fs::create_dir_all(folder).map_err(|error| {
        format!(
            "failed to make the folder {}: {error}; name another with --report",
            folder.display()
        )
    })?;
    let path = folder.join(name);
    fs::write(&path, text)
        .map_err(|error| format!("failed to write {}: {error}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_script(outcome: ScriptOutcome) -> Certification {
        let scripts = vec![("one".to_owned(), Vec::new(), outcome)];
        Certification { scripts, ..Certification::default() }
    }

    #[test]
    fn a_script_that_differs_is_a_divergence() {
        let result = with_script(ScriptOutcome::Differs(Vec::new()));
        assert_eq!(exit_of(&result, &["thin".to_owned()]), Exit::Divergence);
    }

    #[test]
    fn an_undecided_script_is_no_pass() {
        let result = with_script(ScriptOutcome::Indeterminate("why".to_owned()));
        assert_eq!(exit_of(&result, &[]), Exit::Indeterminate);
    }

    #[test]
    fn plans_that_are_too_thin_are_vacuous() {
        let result = with_script(ScriptOutcome::Passes);
        assert_eq!(exit_of(&result, &["thin".to_owned()]), Exit::Vacuous);
        assert_eq!(exit_of(&result, &[]), Exit::Conforms);
    }
}
