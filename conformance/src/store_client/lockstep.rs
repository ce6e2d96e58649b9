//! A plan against a source with the reference store beside it, to a verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::execution::Execution;
use super::plan::StorePlan;
use super::target::StoreMachine;
use crate::panics;

/// What kind of disagreement it is; shrinking keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreKind {
    /// The answer to a request.
    Answer,
    /// An answer when everything is read back and compared.
    Entries,
    /// An answer that should have come and did not.
    Silence,
    /// A frame that breaks a rule of the wire.
    Wire,
    /// What the source registers.
    Registration,
    /// A death by itself, or a start that failed.
    Death,
}

impl StoreKind {
    /// One word or two for reports.
    pub fn name(self) -> &'static str {
        match self {
            StoreKind::Answer => "answer",
            StoreKind::Entries => "stored entries",
            StoreKind::Silence => "no answer",
            StoreKind::Wire => "wire",
            StoreKind::Registration => "registration",
            StoreKind::Death => "death",
        }
    }
}

/// Where and how a source and the reference store part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreDivergence {
    /// The kind.
    pub kind: StoreKind,
    /// Position in `StorePlan::steps`; the number of steps for the comparison at the end.
    pub step: usize,
    /// The request or comparison in words.
    pub what: String,
    /// Requirement ids that the model applied, or that stand behind the rule.
    pub requirements: Vec<&'static str>,
    /// What conforms, one thing a line.
    pub expected: String,
    /// What the source gave, one thing a line.
    pub got: String,
}

impl fmt::Display for StoreDivergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} [{}]", self.kind.name(), self.what, self.requirements.join(", "))?;
        writeln!(f, "expected:\n{}", self.expected)?;
        write!(f, "got:\n{}", self.got)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreVerdict {
    /// Everything observed conforms.
    Conforms,
    /// The source diverged.
    Diverges(Box<StoreDivergence>),
    /// The checker could not decide; the reason.
    Indeterminate(String),
    /// The harness failed; how.
    HarnessFault(String),
}

/// Counts over one run or many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStatistics {
    /// Requests sent and judged.
    pub requests: u64,
    /// Answers by status; `OK` is one of them.
    pub statuses: BTreeMap<&'static str, u64>,
    /// Requests that had to wait for another transaction.
    pub waits: u64,
    /// Deaths and stops.
    pub endings: u64,
    /// Requests of comparisons, which are in `requests` too.
    pub compared: u64,
    /// Requirement ids marked by the model or the wire monitor.
    pub covered: BTreeSet<&'static str>,
}

impl StoreStatistics {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &StoreStatistics) {
        self.requests += other.requests;
        for (status, count) in &other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.waits += other.waits;
        self.endings += other.endings;
        self.compared += other.compared;
        self.covered.extend(&other.covered);
    }
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct StoreRun {
    /// How it ended.
    pub verdict: StoreVerdict,
    /// What it exercised.
    pub statistics: StoreStatistics,
    /// The answer of every step that was taken, as the lines of a script.
    pub answers: Vec<Vec<String>>,
    /// A hash over all frames, with their times.
    pub trace: u128,
}

/// Why a run ended before its plan did.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    Divergence(Box<StoreDivergence>),
    Indeterminate(String),
}

/// Runs a plan on a fresh source of the machine. A panic is a fault of the harness.
pub fn run(plan: &StorePlan, machine: &dyn StoreMachine, seed: u64) -> StoreRun {
    let fault = |what: String| StoreRun {
        verdict: StoreVerdict::HarnessFault(what),
        statistics: StoreStatistics::default(),
        answers: Vec::new(),
        trace: 0,
    };
    panics::caught(|| match machine.target(seed) {
        Ok(mut target) => run_on(plan, &mut *target),
        Err(problem) => fault(format!("there is no source: {problem}")),
    })
    .unwrap_or_else(fault)
}

fn run_on(plan: &StorePlan, target: &mut dyn super::target::StoreTarget) -> StoreRun {
    let mut execution = Execution::new(plan, target);
    let mut answers = Vec::new();
    let verdict = match execution.run(&plan.steps, &mut answers) {
        Ok(()) => StoreVerdict::Conforms,
        Err(Stop::Divergence(divergence)) => StoreVerdict::Diverges(divergence),
        Err(Stop::Indeterminate(reason)) => StoreVerdict::Indeterminate(reason),
    };
    let (statistics, trace) = execution.finish();
    StoreRun { verdict, statistics, answers, trace }
}
