//! How many requests a source that does not answer has in flight, so far as it can be told from the calls.
//!
//! States MaxConcurrentRSIRequests of PSD-005 §7.1 ("Communication channel", "Timed-out request records"), with P-182,
//! P-361, P-362 and P-478. What a call asks is the kernel's own business, so there are a least and a most.

use crate::database::HiveId;
use crate::front_door::Operation;
use crate::input::SourceId;
use crate::state::{Slot, SlotId, State};

/// How many requests one call may have in flight at once at most (P-362). What it asks only to tell of a change may
/// be left there before it asks for the rest (P-361).
const REQUESTS_OF_A_CALL_MAX: u64 = 16;

/// How many requests are in flight, so far as it can be told from the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InFlight {
    least: u64,
    most: u64,
}

/// Whether a request to a source that does not answer has a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Never,
    /// It depends on how many requests the calls before it have in flight.
    Perhaps,
    Surely,
}

/// What a call is to the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It asks, and changes nothing.
    Reads,
    /// It changes something that there may be to tell of.
    Changes,
    Other,
}

impl Kind {
    pub(crate) fn of(operation: &Operation<'_>) -> Kind {
        match operation {
            Operation::OpenKey { .. }
            | Operation::QueryValue { .. }
            | Operation::QueryValuesBatch { .. }
            | Operation::EnumValues { .. }
            | Operation::EnumSubkeys { .. }
            | Operation::QueryKeyInfo { .. }
            | Operation::GetSecurity { .. } => Kind::Reads,
            Operation::CreateKey { .. }
            | Operation::SetValue { .. }
            | Operation::DeleteValue { .. }
            | Operation::BlanketTombstone { .. }
            | Operation::DeleteKey { .. }
            | Operation::HideKey { .. }
            | Operation::SetSecurity { .. }
            | Operation::Commit { .. } => Kind::Changes,
            _ => Kind::Other,
        }
    }
}

impl InFlight {
    /// So many more, from the first number to the second.
    pub(crate) fn and(self, least: u64, most: u64) -> InFlight {
        let InFlight { least: former, most: highest } = self;
        InFlight { least: former + least, most: highest.saturating_add(most) }
    }

    pub(crate) fn is_any(self) -> bool {
        self.least > 0
    }

    pub(crate) fn may_be_any(self) -> bool {
        self.most > 0
    }
}

impl State {
    /// What the source of this slot may have in flight beside requests of calls, once it answers nothing: the
    /// aborts of its transactions, and the drops of its orphans.
    pub(crate) fn unasked(&self, source: SourceId) -> u64 {
        let of_source = |(_, slot): &(&SlotId, &Slot)| slot.connection == Some(source);
        let Some((slot, _)) = self.slots.iter().find(of_source) else { return 0 };
        let is_own = |hive: &HiveId| self.hives.get(hive).is_some_and(|hive| hive.slot == *slot);
        let orphans = self.orphans.iter().filter(|(hive, _)| is_own(hive)).count();
        (self.bound_to(*slot).len() + orphans) as u64
    }

    /// How many requests one call may leave in flight at a source at most.
    pub(crate) fn requests_max(&self) -> u64 {
        REQUESTS_OF_A_CALL_MAX * (1 + u64::from(!self.watches.is_empty()))
    }

    /// A layer operation asks sources that do not answer what it changes in their hives (P-247).
    pub(crate) fn ask_stalled(&mut self) {
        for source in self.stalls.clone().keys() {
            if let Some(stall) = self.stalls.get_mut(source).filter(|stall| !stall.begins) {
                stall.in_flight = stall.in_flight.and(0, REQUESTS_OF_A_CALL_MAX);
            }
        }
    }

    /// Whether one more request to a source has a slot (§7.1).
    pub(crate) fn has_slot(&self, hive: HiveId) -> Sent {
        let limit = u64::from(self.limits.max_concurrent_rsi_requests);
        match self.stall_of(hive).map(|stall| stall.in_flight) {
            Some(InFlight { least, .. }) if least >= limit => Sent::Never,
            Some(InFlight { most, .. }) if most >= limit => Sent::Perhaps,
            _ => Sent::Surely,
        }
    }

    /// Whether there is a slot left for more when a call has asked a source, which answers nothing from now on, all
    /// that it may at once (P-362).
    pub(crate) fn has_slot_after_questions(&self, hive: HiveId) -> bool {
        let most = self.stall_of(hive).map_or(0, |stall| stall.in_flight.most);
        let limit = u64::from(self.limits.max_concurrent_rsi_requests);
        most.saturating_add(REQUESTS_OF_A_CALL_MAX) < limit
    }

    /// A call sends so many requests at most to a source that does not answer.
    pub(crate) fn take_slots(&mut self, hive: HiveId, requests_max: u64) -> Sent {
        let limit = u64::from(self.limits.max_concurrent_rsi_requests);
        let stall = self.source_of(hive).and_then(|(_, source)| self.stalls.get_mut(&source));
        let Some(stall) = stall else { return Sent::Surely };
        // What waits for a change before it asks has nothing in flight (P-266).
        let may_wait = stall.has_changes();
        if stall.in_flight.least >= limit {
            return Sent::Never;
        }
        stall.in_flight = stall.in_flight.and(u64::from(!may_wait), requests_max);
        if stall.in_flight.most <= limit { Sent::Surely } else { Sent::Perhaps }
    }
}
