//! What is believed of a target: one state of the model that agrees with everything observed, and
//! what audit events tell of it.

use registry_model::audit::AuditPattern;
use registry_model::{State, Step as ModelStep};

use crate::audit::Names;

/// A state that is possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Belief {
    pub(crate) state: State,
    /// How events have named the keys of the state.
    pub(crate) names: Names,
    /// The events that were due since events were last looked at.
    pub(crate) due: Vec<AuditPattern>,
}

impl Belief {
    /// The registry at the first boot of all.
    pub(crate) fn at_first() -> Belief {
        Belief { state: State::new(), names: Names::default(), due: Vec::new() }
    }

    /// What is believed after a step that led to `state`.
    pub(crate) fn after(&self, step: &ModelStep, state: State) -> Belief {
        let due = self.due.iter().chain(&step.audit).cloned().collect();
        Belief { state, names: self.names.clone(), due }
    }
}
