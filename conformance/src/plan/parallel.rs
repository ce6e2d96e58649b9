//! Calls that overlap: strands of actions, each one call, under a schedule.

use super::{Action, ActorIndex, KeyReference};
use crate::schedule::Schedule;

/// Most strands of a block.
pub const STRANDS_MAX: usize = 16;

/// Strands of calls that overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parallel {
    /// Who does what. Each does one thing after another; nobody waits for another strand.
    pub strands: Vec<Strand>,
    /// Who goes on, where several could.
    pub schedule: Schedule,
}

/// What a thread of an actor's process does. Threads of one actor share its handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strand {
    /// Whose thread it is.
    pub actor: ActorIndex,
    /// What it does.
    pub actions: Vec<Action>,
}

impl Action {
    /// Whether the action is a single call through handles, or a few of them, which others may overlap
    /// with.
    pub fn may_overlap(&self) -> bool {
        match self {
            Action::Within { action, .. } => action.takes_transaction() && action.may_overlap(),
            Action::Get { key, .. }
            | Action::Set { key, .. }
            | Action::Update { key, .. }
            | Action::Unset { key, .. }
            | Action::Blanket { key, .. }
            | Action::Batch { key, .. }
            | Action::GetSecurity { key, .. }
            | Action::SetSecurity { key, .. }
            | Action::Delete { key, .. }
            | Action::Hide { key, .. } => matches!(key, KeyReference::Handle(_)),
            Action::Create { handle: Some(_), .. }
            | Action::Open { .. }
            | Action::Begin { .. }
            | Action::Commit { .. }
            | Action::TransactionStatus { .. }
            | Action::Watch { .. }
            | Action::Events { .. }
            | Action::Poll { .. }
            | Action::Close { .. } => true,
            _ => false,
        }
    }
}
