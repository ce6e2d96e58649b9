//! What the death of a source makes of calls that overlap it (P-442), as far as the search can make use of that:
//! which calls have changed nothing, and which may have taken a sequence number for nothing.
//!
//! A call whose request nobody has read has failed as if the source had been Down, and may have taken its number
//! before. Which number that was makes no difference to anybody; how many there were does.

use std::borrow::Cow;

use registry_model::State;
use registry_model::errno::Errno;
use registry_model::input::{Call, Environment, Input, UnixTime};
use registry_model::observation::Observation;

use super::{Number, Registry, RegistryInput, is_before, numbers_max};
use crate::linearizability::Operation;

impl Registry<'_> {
    /// Whether a call that is part of no transaction has found a source Down, and has left everything as it was.
    pub(super) fn fails_for_want_of_a_source(&self, place: usize) -> bool {
        let RegistryInput { input, observation, number, .. } = &self.history[place].operation;
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

    /// Whether it is as well possible that a call has failed by a death that it overlaps with, and has met nothing of
    /// what is told of its failure (§3.1).
    pub(super) fn may_have_failed_by_a_death(&self, place: usize) -> bool {
        let own = &self.history[place].operation;
        own.meets_death && own.observation == Some(Observation::Failed(Errno::EIO))
    }

    /// The state after a source has died, which was before whatever began later. What comes next in an order of
    /// overlapping calls may have begun before.
    pub(super) fn with_time_of_death(&self, place: usize, state: State) -> State {
        let death = &self.history[place];
        if !is_death(death) {
            return state;
        }
        let spans = |is_counted: &dyn Fn(&Operation<RegistryInput>) -> bool| {
            let counted = self.history.iter().filter(|other| is_counted(other));
            counted.filter_map(|other| span(&other.operation.input)).collect::<Vec<_>>()
        };
        let later = spans(&|other| is_before(death, other));
        let first = later.iter().map(|(began, _)| *began).min();
        let last = spans(&|_| true).iter().map(|(_, ended)| *ended).max();
        match first.or(last) {
            Some(latest) => state.with_deaths_by(latest),
            None => state,
        }
    }

    /// Whether nobody has read an input that takes this number, if it takes one: what was cut off and has sent no
    /// number. But before it a transaction may have been bound, or a creation have made room for itself.
    pub(super) fn is_unread_with(&self, number: u64, place: usize) -> bool {
        let sends_one_request =
            |call: &Call| call.transaction() == -1 && !matches!(call, Call::CreateKey { .. });
        let input = &self.history[place].operation.input;
        matches!(input, Input::Call { call, .. } if sends_one_request(call))
            && !self.sent.contains(&number)
            && self.is_cut_off(place)
    }

    /// The input as one that takes this number, if it takes one.
    pub(super) fn input_with_number(&self, place: usize, number: u64) -> Cow<'_, Input> {
        let input = &self.history[place].operation.input;
        if !self.is_unread_with(number, place) {
            return Cow::Borrowed(input);
        }
        let mut unread = input.clone();
        if let Input::Call { interrupted, .. } = &mut unread {
            *interrupted = false;
        }
        Cow::Owned(unread)
    }

    /// Whether what a call has come to cannot be, as its entry is there, by a request that nobody has read.
    pub(super) fn stores_what_was_not_sent(
        &self,
        place: usize,
        number: u64,
        (before, after): (&State, &State),
    ) -> bool {
        self.is_cut_off(place)
            && !self.sent.contains(&number)
            && after.stores(number)
            && !before.stores(number)
    }

    /// Whether a call that takes numbers was under way as a source died, and has sent none.
    pub(super) fn is_cut_off(&self, place: usize) -> bool {
        let own = &self.history[place];
        let is_unsent = matches!(own.operation.number, Number::Unsent(_));
        is_unsent && numbers_max(own) > 0 && self.may_have_failed_by_a_death(place)
    }
}

pub(super) fn is_death(operation: &Operation<RegistryInput>) -> bool {
    matches!(operation.operation.input, Input::Environment(Environment::SourceDown { .. }))
}

/// When a call began and ended.
fn span(input: &Input) -> Option<(UnixTime, UnixTime)> {
    match input {
        Input::Call { began, ended, .. } | Input::RawCall { began, ended, .. } => {
            Some((*began, *ended))
        }
        Input::Device { .. } | Input::Environment(_) => None,
    }
}
