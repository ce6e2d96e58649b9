//! What is believed of a target: one state of the model that agrees with everything observed, and
//! what audit events tell of it.

use registry_model::audit::AuditPattern;
use registry_model::coverage::Covered;
use registry_model::{State, Step as ModelStep};

use crate::audit::Names;
use crate::linearizability::registry::Noted;

/// A state that is possible.
#[derive(Clone, Debug)]
pub(crate) struct Belief {
    pub(crate) state: State,
    /// How events have named the keys of the state.
    pub(crate) names: Names,
    /// The events that were due since events were last looked at.
    pub(crate) due: Vec<AuditPattern>,
    /// The requirements that were applied on the way here, if things are so. What was applied on a way
    /// that has turned out not to be the one is not counted.
    pub(crate) covered: Covered,
}

/// The way here makes no difference to what may happen next.
impl PartialEq for Belief {
    fn eq(&self, other: &Belief) -> bool {
        (&self.state, &self.names, &self.due) == (&other.state, &other.names, &other.due)
    }
}

impl Belief {
    /// The registry at the first boot of all.
    pub(crate) fn at_first() -> Belief {
        let covered = Covered::new();
        Belief { state: State::new(), names: Names::default(), due: Vec::new(), covered }
    }

    /// What is believed after a step that led to `state`.
    pub(crate) fn after(&self, step: &ModelStep, state: State) -> Belief {
        let due = self.due.iter().chain(&step.audit).cloned().collect();
        let mut covered = self.covered;
        covered.add(&step.covered);
        Belief { state, names: self.names.clone(), due, covered }
    }

    /// What is believed after calls that overlapped, which led to `state`.
    pub(crate) fn after_block(&self, noted: &Noted, state: State) -> Belief {
        let due = self.due.iter().chain(&noted.audit).cloned().collect();
        let mut covered = self.covered;
        covered.add(&noted.covered);
        Belief { state, names: self.names.clone(), due, covered }
    }

    /// What is believed once the events that were due have come, which have told these names.
    pub(crate) fn audited(&self, names: Names) -> Belief {
        let (state, covered) = (self.state.clone(), self.covered);
        Belief { state, names, due: Vec::new(), covered }
    }
}
