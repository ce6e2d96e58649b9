//! One connection: its request ids and what is in flight on it (PSD-005 §7.1).

use super::frame::{Guid, Operation};
use super::late::Next;
use super::records::{Flags, Moment};
use super::rules::{Failure, Held, Rule};
use super::statuses::Answerable;

/// A request that waits for its answer, and what a success of it means.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) operation: Operation,
    pub(super) effect: Effect,
    /// Whether it carried a sequence number.
    pub(super) is_numbered: bool,
    /// What comes after it.
    pub(super) next: Option<Next>,
    /// The transaction of its header; 0 for none.
    pub(super) transaction: u64,
    pub(super) answerable: Answerable,
    /// When it was sent, as what a source says of its keys is dated.
    pub(super) moment: Moment,
    /// When it was sent, Unix nanoseconds, if the time is told.
    pub(super) sent_at: Option<u64>,
}

impl Sent {
    /// Whether it may take path entries away.
    fn is_removal(&self) -> bool {
        matches!(
            self.operation,
            Operation::HideEntry
                | Operation::DeleteEntry
                | Operation::DropKey
                | Operation::DeleteLayer
        )
    }
}

/// What the monitor learns from a response to a request, beside its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// A path entry outside of transactions.
    EntryCreated {
        parent: Guid,
        name: Vec<u8>,
        layer: Vec<u8>,
        child: Guid,
        /// Whether a request that removes entries was in flight at the same time: it may have been carried
        /// out later.
        may_be_gone: bool,
    },
    /// A path entry inside a transaction: only its failure counts.
    EntryEnlisted {
        child: Guid,
    },
    /// A value or SD is to change, in this transaction or outside; the rule asks for a last write
    /// time.
    Touched {
        transaction: u64,
        guid: Guid,
        rule: Rule,
    },
    /// An entry is to go, and leave this key without a name.
    EntryRemoved {
        transaction: u64,
        parent: Guid,
        orphan: Option<Guid>,
    },
    /// The record of a key outside of transactions.
    KeyCreated {
        guid: Guid,
        flags: Flags,
        parent: Guid,
        name: Vec<u8>,
    },
    /// The drop of a key outside of transactions.
    KeyDropped {
        guid: Guid,
    },
    /// Children of a key were asked for: the one of this name, or all.
    Children {
        parent: Guid,
        name: Option<Vec<u8>>,
    },
    /// Values of a key were asked for: those of this name, or all.
    Queried {
        guid: Guid,
        name: Option<Vec<u8>>,
    },
    KeyRead {
        guid: Guid,
    },
    Began {
        transaction: u64,
    },
    Committed {
        transaction: u64,
    },
    Aborted {
        transaction: u64,
    },
}

/// The state of one connection, which begins when a source opens the device.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection {
    pub(super) is_registered: bool,
    /// Whether the source had registered before.
    pub(super) is_resumed: bool,
    /// Whether a response had a status other than success.
    pub(super) has_failed: bool,
    /// Whether the world keeps the source from answering.
    is_stalled: bool,
    /// When it was last let go on, Unix nanoseconds, if the time is told.
    released_at: Option<u64>,
    /// Whether every slot was taken when a call timed out, and none was free since.
    is_full: bool,
    /// Whether another call has timed out then, which had no slot.
    has_kept_waiting: bool,
    /// Whether a call has given up on a request of this connection.
    has_timed_out: bool,
    last_id: Option<u64>,
    /// By request id. Seldom more than a few.
    in_flight: Vec<(u64, Sent)>,
}

impl Connection {
    /// Checks a new request id before the request is looked at.
    pub(super) fn accept_id(&mut self, held: &mut Held, id: u64) -> Result<(), Failure> {
        let grows = self.last_id.is_none_or(|last| id > last);
        let (is_first, last) = (self.last_id.is_none(), self.last_id.unwrap_or_default());
        if grows {
            self.last_id = Some(id);
        }
        if !grows {
            return Err(Failure::new(Rule::RequestIdGrows, format!("id {id} after id {last}")));
        }
        // The first of a connection shows nothing.
        if !is_first {
            held.mark(Rule::RequestIdGrows);
        }
        if self.has_timed_out {
            held.mark(Rule::RequestIdAfterTimeout);
        }
        Ok(())
    }

    /// Puts a request in flight.
    pub(super) fn sent(
        &mut self,
        held: &mut Held,
        id: u64,
        sent: Sent,
        in_flight_max: usize,
    ) -> Result<(), Failure> {
        self.put(id, sent);
        if self.has_failed {
            held.mark(Rule::SurvivesFailure);
        }
        if self.is_resumed {
            held.mark(Rule::ResumedTraffic);
        }
        let count = self.in_flight.len();
        if count > 1 {
            held.mark(Rule::Multiplexed);
        }
        if self.has_kept_waiting && count == in_flight_max {
            held.mark(Rule::WaitersTakeNoSlot);
        }
        if count > in_flight_max {
            let message = format!("{count} are in flight, of at most {in_flight_max}");
            return Err(Failure::new(Rule::InFlight, message));
        }
        // Whether another would have to wait shows if a call has waited (§7.1).
        if self.has_kept_waiting && count == in_flight_max {
            held.mark(Rule::InFlight);
        }
        Ok(())
    }

    /// Puts a request in flight whose id is not to be judged.
    pub(super) fn unjudged(&mut self, held: &mut Held, id: u64, sent: Sent) {
        self.last_id = self.last_id.max(Some(id));
        self.put(id, sent);
        if self.has_failed {
            held.mark(Rule::SurvivesFailure);
        }
        if self.in_flight.len() > 1 {
            held.mark(Rule::Multiplexed);
        }
    }

    /// Takes the request out of flight that a response answers.
    pub(super) fn answered(&mut self, held: &mut Held, id: u64) -> Result<Sent, Failure> {
        let Some(place) = self.in_flight.iter().position(|(of, _)| *of == id) else {
            let was_sent = self.last_id.is_some_and(|last| id <= last);
            let rule = if was_sent { Rule::ResponseOnce } else { Rule::ResponseKnown };
            return Err(Failure::new(rule, format!("no request {id} is in flight")));
        };
        let (_, sent) = self.in_flight.remove(place);
        self.is_full = false;
        held.mark(Rule::ResponseKnown);
        held.mark(Rule::ResponseOnce);
        if self.in_flight.iter().any(|(of, _)| *of < id) {
            held.mark(Rule::Reordered);
        }
        Ok(sent)
    }

    fn put(&mut self, id: u64, mut sent: Sent) {
        self.in_flight.retain(|(of, _)| *of != id);
        let is_removal = sent.is_removal();
        for (_, other) in &mut self.in_flight {
            if let Effect::EntryCreated { may_be_gone, .. } = &mut other.effect {
                *may_be_gone |= is_removal;
            }
        }
        if let Effect::EntryCreated { may_be_gone, .. } = &mut sent.effect {
            *may_be_gone = self.in_flight.iter().any(|(_, other)| other.is_removal());
        }
        self.in_flight.push((id, sent));
    }

    /// A call has given up. Whether it, or one before it, has left a request behind that carried a number.
    pub(super) fn gave_up(&mut self, in_flight_max: usize) -> bool {
        let is_full = self.in_flight.len() >= in_flight_max;
        self.has_kept_waiting |= self.is_full && is_full;
        self.is_full = is_full;
        self.has_timed_out |= !self.in_flight.is_empty();
        self.in_flight.iter().any(|(_, sent)| sent.is_numbered)
    }

    /// Whether it may have no slot to spare.
    pub(super) fn may_be_full(&self, in_flight_min: usize) -> bool {
        self.in_flight.len() >= in_flight_min
    }

    /// Whether a request was ever sent on it.
    pub(super) fn was_used(&self) -> bool {
        self.last_id.is_some()
    }

    /// The world keeps the source from answering.
    pub(super) fn stalled(&mut self) {
        self.is_stalled = true;
    }

    /// The source may answer again.
    pub(super) fn released(&mut self, now: Option<u64>) {
        (self.is_stalled, self.released_at) = (false, now);
    }

    /// Since when the source has owed an answer, if it does and that is known.
    pub(super) fn waits_since(&self) -> Option<u64> {
        if self.is_stalled {
            return None;
        }
        let since = self.in_flight.iter().filter_map(|(_, sent)| sent.sent_at).min()?;
        Some(since.max(self.released_at.unwrap_or_default()))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }
}
