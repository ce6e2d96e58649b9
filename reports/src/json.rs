//! What a program reads: one JSON document a campaign, with a versioned schema.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::campaign::Summary;
use conformance::generate::on_threads::LeftOut;
use conformance::script;
use conformance::situations::blind_spots;
use serde::Serialize;

use crate::confidence::seeds_for_confidence;

/// Rises when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// A campaign.
#[derive(Serialize)]
struct Document {
    schema: u32,
    seeds: u64,
    calls: u64,
    elapsed_ms: u128,
    /// None where no two runs of a plan are alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    cancelled: bool,
    /// Where the next campaign goes on, if this one has not run all of its seeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_seed: Option<u64>,
    /// How many seeds without a divergence make it 95 % likely that what diverged is mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds_for_confidence: Option<u64>,
    statistics: Counts,
    divergences: Vec<DivergenceDocument>,
    faults: Vec<FaultDocument>,
    indeterminate: Vec<FaultDocument>,
    vacuous: Vec<String>,
    /// What only the simulator can do, and how often the plans would have had it.
    #[serde(skip_serializing_if = "LeftOut::is_empty")]
    left_out: LeftOut,
}

#[derive(Serialize)]
struct Counts {
    succeeded: u64,
    errnos: BTreeMap<String, u64>,
    reads: u64,
    contested: u64,
    contested_at_equal_precedence: u64,
    interrupted: u64,
    faults: u64,
    power_losses: u64,
    changes_lost: u64,
    events: u64,
    overflows: u64,
    transactions: u64,
    commits: u64,
    expiries: u64,
    blocks: u64,
    overlaps: u64,
    views: u64,
    requirements: Vec<&'static str>,
    /// What was never made, in words, if situations were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    blind_spots: Option<String>,
}

#[derive(Serialize)]
struct DivergenceDocument {
    seed: Option<u64>,
    kind: &'static str,
    step: usize,
    call_number: u64,
    actor: String,
    what: String,
    requirements: Vec<&'static str>,
    expected: String,
    got: String,
    split_at_step: Option<usize>,
    script: String,
}

#[derive(Serialize)]
struct FaultDocument {
    seed: u64,
    what: String,
}

/// What shrinking came to.
#[derive(Clone, Debug, Serialize)]
pub struct Shrunk {
    /// Steps of the plan that was shrunk.
    pub steps_before: usize,
    /// Steps of what came out.
    pub steps: usize,
    /// Calls that these make, up to the divergence.
    pub calls: u64,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "milliseconds")]
    pub elapsed: Duration,
    /// How often it was replayed.
    pub replays: u32,
    /// How many of the replays showed the divergence by one trace.
    pub replays_alike: u32,
    /// The file that it was saved in.
    pub file: String,
}

fn milliseconds<S: serde::Serializer>(
    elapsed: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(elapsed.as_millis())
}

/// The document of a shrunk divergence.
///
/// # Panics
/// Never: the document holds nothing that JSON cannot say.
pub fn shrunk(shrunk: &Shrunk) -> String {
    serde_json::to_string_pretty(shrunk).expect("strings and numbers are JSON")
}

/// The document of a campaign. `vacuous` are the reasons why it proves nothing, if any, and `left_out` is what
/// only the simulator could have done.
///
/// # Panics
/// Never: the document holds nothing that JSON cannot say.
pub fn document(
    summary: &Summary,
    elapsed: Duration,
    vacuous: &[String],
    left_out: &LeftOut,
) -> String {
    let statistics = &summary.statistics;
    let document = Document {
        schema: SCHEMA_VERSION,
        seeds: summary.seeds,
        calls: statistics.calls,
        elapsed_ms: elapsed.as_millis(),
        trace: summary.trace.map(|trace| format!("{trace:032x}")),
        cancelled: summary.cancelled,
        next_seed: summary.next_seed,
        seeds_for_confidence: seeds_for_confidence(summary.findings.len() as u64, summary.seeds),
        statistics: Counts {
            succeeded: statistics.succeeded,
            errnos: statistics
                .errnos
                .iter()
                .map(|(errno, count)| (errno.to_string(), *count))
                .collect(),
            reads: statistics.reads,
            contested: statistics.contested,
            contested_at_equal_precedence: statistics.contested_at_equal_precedence,
            interrupted: statistics.interrupted,
            faults: statistics.faults,
            power_losses: statistics.power_losses,
            changes_lost: statistics.changes_lost,
            events: statistics.events,
            overflows: statistics.overflows,
            transactions: statistics.transactions,
            commits: statistics.commits,
            expiries: statistics.expiries,
            blocks: statistics.blocks,
            overlaps: statistics.overlaps,
            views: statistics.views,
            requirements: statistics.covered().into_iter().collect(),
            blind_spots: (!statistics.situations.is_empty())
                .then(|| blind_spots(&statistics.situations)),
        },
        divergences: divergences(summary),
        faults: faults(&summary.faults),
        indeterminate: faults(&summary.indeterminate),
        vacuous: vacuous.to_vec(),
        left_out: left_out.clone(),
    };
    serde_json::to_string_pretty(&document).expect("strings and numbers are JSON")
}

fn divergences(summary: &Summary) -> Vec<DivergenceDocument> {
    summary
        .findings
        .iter()
        .map(|finding| {
            let divergence = finding.divergence.clone();
            DivergenceDocument {
                seed: finding.seed,
                kind: divergence.kind.name(),
                step: divergence.step,
                call_number: divergence.call_number,
                actor: divergence.actor,
                what: divergence.what,
                requirements: divergence.requirements,
                expected: divergence.expected,
                got: divergence.got,
                split_at_step: divergence.split_at_step,
                script: script::print(&finding.plan),
            }
        })
        .collect()
}

fn faults(faults: &[conformance::campaign::SeedFault]) -> Vec<FaultDocument> {
    faults
        .iter()
        .map(|fault| FaultDocument { seed: fault.seed, what: fault.what.clone() })
        .collect()
}
