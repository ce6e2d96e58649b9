//! What the death of a source makes of calls that overlap it (P-442), as far as the search can make use of that:
//! which calls have changed nothing, and which may have taken a sequence number for nothing.
//!
//! A call whose request nobody has read has failed as if the source had been Down, and may have taken its number
//! before. Which number that was makes no difference to anybody; how many there were does.

use std::borrow::Cow;

use registry_model::errno::Errno;
use registry_model::input::{Call, Environment, Input};
use registry_model::observation::Observation;

use super::{Number, Registry, RegistryInput, is_before, numbers_max};
use crate::linearizability::Operation;

impl Registry<'_> {
    /// Whether a call that is part of no transaction has found a source Down, and has left everything as it was.
    pub(super) fn fails_for_want_of_a_source(&self, place: usize) -> bool {
        let RegistryInput { input, observation, number } = &self.history[place].operation;
        let Input::Call { call, interrupted: false, .. } = input else { return false };
        let asks_about_a_key = matches!(
            call,
            Call::OpenKey { .. }
                | Call::CreateKey { .. }
                | Call::QueryValue { .. }
                | Call::QueryValuesBatch { .. }
                | Call::SetValue { .. }
                | Call::DeleteValue { .. }
                | Call::BlanketTombstone { .. }
                | Call::DeleteKey { .. }
                | Call::HideKey { .. }
                | Call::GetSecurity { .. }
                | Call::SetSecurity { .. }
        );
        asks_about_a_key
            && call.transaction() == -1
            && *observation == Some(Observation::Failed(Errno::EIO))
            && *number == Number::any()
    }

    /// The input as one that takes this number, if it takes one. What was cut off and has sent no number was not read
    /// by anybody; but before it a transaction may have been bound.
    pub(super) fn input_with_number(&self, place: usize, number: u64) -> Cow<'_, Input> {
        let input = &self.history[place].operation.input;
        let is_unread = matches!(input, Input::Call { call, .. } if call.transaction() == -1)
            && !self.sent.contains(&number)
            && self.is_cut_off(place);
        if !is_unread {
            return Cow::Borrowed(input);
        }
        let mut unread = input.clone();
        if let Input::Call { interrupted, .. } = &mut unread {
            *interrupted = false;
        }
        Cow::Owned(unread)
    }

    /// Whether a call that takes numbers was under way as a source died, and has sent none.
    pub(super) fn is_cut_off(&self, place: usize) -> bool {
        let own = &self.history[place];
        let is_unsent = matches!(own.operation.number, Number::Unsent(_));
        let has_failed = own.operation.observation == Some(Observation::Failed(Errno::EIO));
        let is_death = |other: &Operation<RegistryInput>| {
            matches!(other.operation.input, Input::Environment(Environment::SourceDown { .. }))
        };
        let mut deaths = self.history.iter().filter(|other| is_death(other));
        is_unsent
            && has_failed
            && numbers_max(own) > 0
            && deaths.any(|death| {
                !is_before(own, death) && (death.invoked == 0 || own.invoked < death.invoked)
            })
    }
}
