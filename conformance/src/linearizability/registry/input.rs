//! The operations of a history of the registry: inputs of the model, with what was seen of them.

use std::collections::BTreeSet;

use registry_model::input::Input;
use registry_model::observation::Observation;

/// An input of the model, with what was seen of it.
#[derive(Clone, Debug)]
pub struct RegistryInput {
    /// What happened. The times of a call that was never answered end with the history.
    pub input: Input,
    /// The answer. None for what has no answer, and for a call without one.
    pub observation: Option<Observation>,
    /// What is known of the sequence number that the call took, if it took any.
    pub number: Number,
    /// Whether the death of a source that it may need came while it was under way.
    pub meets_death: bool,
}

/// What is known of the sequence number of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Number {
    /// It was sent, and is one of these.
    Sent(BTreeSet<u64>),
    /// It was never sent, so that it is none that another call has sent; or it is one of these.
    Unsent(BTreeSet<u64>),
}

impl Number {
    /// What is known of a number of which nothing is known.
    pub fn any() -> Number {
        Number::Unsent(BTreeSet::new())
    }

    /// The numbers that were seen and may be it.
    pub(super) fn seen(&self) -> &BTreeSet<u64> {
        let (Number::Sent(seen) | Number::Unsent(seen)) = self;
        seen
    }
}
