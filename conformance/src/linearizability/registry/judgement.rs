//! What a history of the registry comes to.

use registry_model::audit::AuditPattern;
use registry_model::coverage::Covered;
use registry_model::{Contest, State, Step};

/// What a history of the registry comes to. Inputs are named by their places in the history that was given.
#[derive(Clone, Debug)]
pub enum Judgement {
    /// It is linearizable.
    Linearizable(Box<Linearized>),
    /// It is not.
    NotLinearizable(Box<Obstacle>),
    /// The budget did not suffice for an order, or for all states.
    Undecided {
        /// Steps that were taken.
        explored: u64,
    },
    /// What was answered depends on something that the model does not judge; on what.
    Outside(String),
}

/// How a history of the registry is linearizable.
#[derive(Clone, Debug)]
pub struct Linearized {
    /// In this order, for example. Calls without an answer may be missing.
    pub order: Vec<usize>,
    /// All states that agree with what was seen.
    pub states: Vec<State>,
    /// What the model notes on the way, in that order.
    pub noted: Noted,
    /// Steps that were taken.
    pub explored: u64,
}

/// What the model notes of inputs, in the order in which they took effect.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// The requirements that were applied.
    pub covered: Covered,
    /// The audit events that are due.
    pub audit: Vec<AuditPattern>,
    /// How contested the most contested resolution of an input was, with its place.
    pub contests: Vec<(usize, Contest)>,
}

impl Noted {
    /// What is noted of one step.
    pub(super) fn of(place: usize, step: &Step) -> Noted {
        let contests = step.contest.map(|contest| (place, contest)).into_iter().collect();
        Noted { covered: step.covered, audit: step.audit.clone(), contests }
    }

    /// Adds what is noted after it.
    pub(super) fn add(&mut self, after: Noted) {
        self.covered.add(&after.covered);
        self.audit.extend(after.audit);
        self.contests.extend(after.contests);
    }
}

/// Where a history of the registry ceases to be linearizable.
#[derive(Clone, Debug)]
pub struct Obstacle {
    /// An order for the longest prefix that is linearizable.
    pub longest_prefix: Vec<usize>,
    /// The call that cannot be placed after it.
    pub cannot_be_placed: usize,
    /// What it might have answered, one thing a line.
    pub expected: String,
    /// What it has.
    pub got: String,
    /// The requirements that the model applied.
    pub requirements: Vec<&'static str>,
    /// Steps that were taken.
    pub explored: u64,
}
