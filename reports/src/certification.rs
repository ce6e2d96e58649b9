//! What a certification of a store came to: a table of verdicts for people, a document for
//! programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use conformance::requirements;
use conformance::script::store as script;
use conformance::store_client::certify::{Certification, ScriptOutcome};
use conformance::store_client::lockstep::StoreDivergence;
use conformance::store_client::shrink::StoreFinding;
use serde::Serialize;

use crate::side_by_side::side_by_side;

/// Rises when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// The table of verdicts.
pub fn table(certification: &Certification, store: &str) -> String {
    let mut out = String::new();
    let passed = passed(certification);
    let scripts = certification.scripts.len();
    let diverged = certification.findings.len() as u64;
    let undecided = (certification.indeterminate.len() + certification.faults.len()) as u64;
    let conform = certification.plans - diverged - undecided;
    let statistics = &certification.statistics;
    let _ = writeln!(out, "{store}: {passed} of {scripts} scripts pass");
    let _ = writeln!(
        out,
        "{store}: {conform} of {} random plans conform; {} requests, {} of them to compare, \
         {} waits, {} ends of the source",
        certification.plans,
        statistics.requests,
        statistics.compared,
        statistics.waits,
        statistics.endings
    );
    let _ = writeln!(out, "\n{:<12} {:>9} {:>9}", "prefix", "held", "broken");
    for (prefix, tally) in certification.tallies() {
        let _ = writeln!(out, "{prefix:<12} {:>9} {:>9}", tally.held, tally.broken);
    }
    out
}

/// A failed script.
pub fn script_failure(name: &str, outcome: &ScriptOutcome) -> String {
    match outcome {
        ScriptOutcome::Passes => String::new(),
        ScriptOutcome::Differs(differences) => differences
            .iter()
            .map(|difference| {
                let both =
                    side_by_side(&difference.expected.join("\n"), &difference.got.join("\n"));
                let line = difference.line;
                format!("{name}:{line}: model and source agree, the script expects something else\n{both}")
            })
            .collect(),
        ScriptOutcome::Diverges(divergence) => format!("{name}: {}", divergence_text(divergence)),
        ScriptOutcome::Indeterminate(reason) => format!("{name}: undecided: {reason}\n"),
        ScriptOutcome::HarnessFault(fault) => format!("{name}: harness fault: {fault}\n"),
    }
}

/// A random plan that diverged, with the command that shows it again.
pub fn finding(finding: &StoreFinding, reproduce: &str) -> String {
    let mut out = format!("seed {}: {}", finding.seed, divergence_text(&finding.divergence));
    let _ = writeln!(out, "\nscript:");
    for line in script::print(&finding.plan).lines() {
        let _ = writeln!(out, "    {line}");
    }
    let _ = writeln!(out, "\nreproduce: {reproduce}");
    out
}

fn divergence_text(divergence: &StoreDivergence) -> String {
    let (kind, step) = (divergence.kind.name(), divergence.step + 1);
    let mut out = format!("divergence ({kind}) at step {step}:\n  {}\n", divergence.what);
    for id in &divergence.requirements {
        let text = requirements::describe(id).map_or("", |requirement| requirement.text.as_str());
        let _ = writeln!(out, "  {id}: {}", text.trim());
    }
    out.push('\n');
    out.push_str(&side_by_side(&divergence.expected, &divergence.got));
    out
}

fn passed(certification: &Certification) -> usize {
    let outcomes = certification.scripts.iter().map(|(_, _, outcome)| outcome);
    outcomes.filter(|outcome| **outcome == ScriptOutcome::Passes).count()
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    store: &'a str,
    scripts: usize,
    scripts_passed: usize,
    scripts_failed: Vec<&'a str>,
    plans: u64,
    requests: u64,
    statuses: &'a BTreeMap<&'static str, u64>,
    requirements_held: usize,
    requirements_broken: usize,
    divergences: Vec<DivergenceDocument>,
    indeterminate: &'a [(u64, String)],
    faults: &'a [(u64, String)],
    vacuous: &'a [String],
}

#[derive(Serialize)]
struct DivergenceDocument {
    seed: u64,
    kind: &'static str,
    what: String,
    requirements: Vec<&'static str>,
    expected: String,
    got: String,
    script: String,
}

/// The document of a certification. `vacuous` are the reasons why it proves nothing, if any.
///
/// # Panics
/// Never: the document holds nothing that JSON cannot say.
pub fn document(certification: &Certification, store: &str, vacuous: &[String]) -> String {
    let tallies = certification.tallies();
    let failed = certification.scripts.iter().filter(|script| script.2 != ScriptOutcome::Passes);
    let document = Document {
        schema: SCHEMA_VERSION,
        store,
        scripts: certification.scripts.len(),
        scripts_passed: passed(certification),
        scripts_failed: failed.map(|script| script.0.as_str()).collect(),
        plans: certification.plans,
        requests: certification.statistics.requests,
        statuses: &certification.statistics.statuses,
        requirements_held: tallies.values().map(|tally| tally.held).sum(),
        requirements_broken: tallies.values().map(|tally| tally.broken).sum(),
        divergences: certification.findings.iter().map(divergence_document).collect(),
        indeterminate: &certification.indeterminate,
        faults: &certification.faults,
        vacuous,
    };
    serde_json::to_string_pretty(&document).expect("strings and numbers only")
}

fn divergence_document(finding: &StoreFinding) -> DivergenceDocument {
    let divergence = &finding.divergence;
    DivergenceDocument {
        seed: finding.seed,
        kind: divergence.kind.name(),
        what: divergence.what.clone(),
        requirements: divergence.requirements.clone(),
        expected: divergence.expected.clone(),
        got: divergence.got.clone(),
        script: script::print(&finding.plan),
    }
}
