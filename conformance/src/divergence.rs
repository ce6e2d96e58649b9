//! A divergence: the place where a target and the model part, with what a reader needs to see.

use crate::plan::Plan;

/// What kind of disagreement it is; shrinking keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A call's answer.
    Answer,
    /// The answers of calls that overlap: no order of the calls gives them.
    Order,
    /// Calls that overlap and never return.
    Hang,
    /// An answer whose parts contradict each other.
    Malformed,
    /// An effective view dumped through calls.
    View,
    /// The store's raw entries, resolved by the oracle, against the view dumped through calls.
    Oracle,
    /// A frame on the wire.
    Wire,
    /// The audit events of a call.
    Audit,
    /// What a power loss has left.
    Recovery,
    /// The expectation of a script.
    Expectation,
}

impl Kind {
    /// One word or two for reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Answer => "answer",
            Kind::Order => "order of overlapping calls",
            Kind::Hang => "calls that never return",
            Kind::Malformed => "malformed answer",
            Kind::View => "effective view",
            Kind::Oracle => "oracle",
            Kind::Wire => "wire",
            Kind::Audit => "audit",
            Kind::Recovery => "recovery",
            Kind::Expectation => "expectation",
        }
    }
}

/// Where and how a target and the model part.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The kind.
    pub kind: Kind,
    /// Position in `Plan::steps`; the number of steps for the comparison at the end.
    pub step: usize,
    /// Number of calls made before this one.
    pub call_number: u64,
    /// The actor's name, empty if no actor is involved.
    pub actor: String,
    /// The call or comparison in words.
    pub what: String,
    /// Requirement ids that the model applied.
    pub requirements: Vec<&'static str>,
    /// What conforms, one thing a line.
    pub expected: String,
    /// What the target gave, one thing a line.
    pub got: String,
    /// For views: the first step after which the views differed already, if it was looked for.
    pub split_at_step: Option<usize>,
}

/// Why a run ended before its plan did.
#[derive(Clone, Debug)]
pub enum Stop {
    /// The target diverged.
    Divergence(Box<Divergence>),
    /// The checker could not decide within its bounds.
    Indeterminate(String),
    /// An answer depends on something that this edition does not judge.
    Outside(String),
    /// The harness or the world failed.
    HarnessFault(String),
}

/// A divergence together with the plan that shows it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The seed, if a seed made the plan.
    pub seed: Option<u64>,
    /// The plan.
    pub plan: Plan,
    /// The divergence.
    pub divergence: Divergence,
}
