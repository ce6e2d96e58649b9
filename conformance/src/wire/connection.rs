//! One connection: its request ids and what is in flight on it (PSD-005 §7.1).

use super::frame::{Guid, Operation};
use super::late::Next;
use super::records::Flags;
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
    /// When it was sent, Unix nanoseconds, if the time is told.
    pub(super) sent_at: Option<u64>,
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
    /// The record of a key in a transaction.
    KeyEnlisted {
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
}

/// The state of one connection, which begins when a source opens the device.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection {
    pub(super) is_registered: bool,
    /// Whether the source had registered before.
    pub(super) is_resumed: bool,
    /// Whether a response had a status other than success.
    pub(super) has_failed: bool,
    last_id: Option<u64>,
    /// By request id. Seldom more than a few.
    in_flight: Vec<(u64, Sent)>,
}

impl Connection {
    /// Checks a new request id before the request is looked at.
    pub(super) fn accept_id(&mut self, held: &mut Held, id: u64) -> Result<(), Failure> {
        let grows = self.last_id.is_none_or(|last| id > last);
        let last = self.last_id.unwrap_or_default();
        if grows {
            self.last_id = Some(id);
        }
        held.require(Rule::RequestIdGrows, grows, || format!("id {id} after id {last}"))
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
        held.require(Rule::InFlight, count <= in_flight_max, || {
            format!("{count} are in flight, of at most {in_flight_max}")
        })
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
        held.mark(Rule::ResponseKnown);
        held.mark(Rule::ResponseOnce);
        if self.in_flight.iter().any(|(of, _)| *of < id) {
            held.mark(Rule::Reordered);
        }
        Ok(sent)
    }

    fn put(&mut self, id: u64, sent: Sent) {
        self.in_flight.retain(|(of, _)| *of != id);
        self.in_flight.push((id, sent));
    }

    /// Whether a request was ever sent on it.
    pub(super) fn was_used(&self) -> bool {
        self.last_id.is_some()
    }

    /// When the first request was sent that waits for its answer, if that is known.
    pub(super) fn waits_since(&self) -> Option<u64> {
        self.in_flight.iter().filter_map(|(_, sent)| sent.sent_at).min()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }
}
