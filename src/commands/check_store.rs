//! `lockstep check` of scripts of requests: text, reference store and source.

use std::fs;
use std::path::Path;

use conformance::coverage::ScriptMarks;
use conformance::script::store as language;
use conformance::script::store::StoreScript;
use conformance::store_client::certify::{ScriptOutcome, script_outcome};
use conformance::store_client::lockstep::{StoreVerdict, run};
use reports::certification;

use super::check::Checked;
use super::{Exit, store_machine};
use crate::CheckArguments;

/// Whether a file is a script of requests.
pub fn is_store_script(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == language::EXTENSION)
}

/// Reads a script of requests.
pub fn read(file: &Path) -> Result<(String, StoreScript), String> {
    let bytes = fs::read(file)
        .map_err(|error| format!("failed to read the script {}: {error}", file.display()))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| format!("{}: the script is not UTF-8: {error}", file.display()))?;
    let parsed = language::parse(&text, &file.display().to_string()).map_err(|e| e.to_string())?;
    parsed.plan.check_hives().map_err(|problem| format!("{}: {problem}", file.display()))?;
    Ok((text, parsed))
}

/// Runs one script.
pub(super) fn check_script(
    file: &Path,
    text: &str,
    script: &StoreScript,
    arguments: &CheckArguments,
) -> Result<Checked, String> {
    let machine = store_machine(arguments.store);
    let run = run(&script.plan, &machine, script.seed.unwrap_or(0));
    let marks = ScriptMarks {
        name: file.display().to_string(),
        asserted: script.requirements.iter().cloned().collect(),
        marked: run.statistics.covered.clone(),
    };
    if arguments.bless && run.verdict == StoreVerdict::Conforms && !script.by_hand {
        let blessed = language::bless(text, script, &run.answers);
        let mut said = String::new();
        if blessed != text {
            fs::write(file, blessed)
                .map_err(|error| format!("failed to write {}: {error}", file.display()))?;
            said = format!("{}: blessed\n", file.display());
        }
        return Ok(Checked { exit: Exit::Conforms, text: said, marks });
    }
    let outcome = script_outcome(script, &run);
    let text = certification::script_failure(&file.display().to_string(), &outcome);
    let exit = match outcome {
        ScriptOutcome::Passes => Exit::Conforms,
        ScriptOutcome::Differs(_) | ScriptOutcome::Diverges(_) => Exit::Divergence,
        ScriptOutcome::Indeterminate(_) => Exit::Indeterminate,
        ScriptOutcome::HarnessFault(_) => Exit::HarnessFault,
    };
    Ok(Checked { exit, text, marks })
}
