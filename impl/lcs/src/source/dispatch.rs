//! The book of one connection: who waits for a slot, what the source has not read, what it has
//! not answered.
//!
//! Plain state without time, tasks or locks. A call waits, in order of arrival, until fewer
//! requests than the limit are in flight; then it gets its request ID and joins the queue that
//! the source reads. From there only a response or the connection's end removes it (PSD-005 §7.1).

use std::collections::{BTreeMap, VecDeque};

use futures::channel::oneshot;
use rsi::{Operation, Request, RequestFrame, RequestId, Response, TransactionId, encode_request};

use super::connection::RequestError;
use super::effect::AnyEffect;
use super::validation::Descriptors;
use crate::limits::NAME_LENGTH_CEILING;

/// A place in the line for an in-flight slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What a caller gets: the response, and what is to be done if nobody takes it.
pub struct Delivery {
    pub outcome: Result<Response, RequestError>,
    pub effect: Option<AnyEffect>,
    /// The transaction that a successful begin has left at the source.
    pub begun: Option<TransactionId>,
}

impl Delivery {
    /// The news that there will be no response.
    pub const fn failure(error: RequestError) -> Self {
        Self { outcome: Err(error), effect: None, begun: None }
    }
}

/// What is to be done with the content of an answer, and said of it if it is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// Which of the source's hives the question is about, where that is known.
    pub hive_index: Option<usize>,
    /// Who judges descriptors.
    pub descriptors: Descriptors,
    /// Bytes that a name in the answer may have (P-40, P-167).
    pub name_length_max: usize,
}

/// A request that has no slot yet.
pub struct Call {
    pub transaction: Option<TransactionId>,
    pub request: Request,
    /// Unix nanoseconds; none for a request that nobody waits for.
    pub deadline: Option<u64>,
    pub caller: Option<oneshot::Sender<Delivery>>,
    pub effect: Option<AnyEffect>,
    pub inquiry: Inquiry,
}

impl Call {
    /// A request that nobody waits for.
    pub const fn new(transaction: Option<TransactionId>, request: Request) -> Self {
        let descriptors = Descriptors::Checked;
        let inquiry =
            Inquiry { hive_index: None, descriptors, name_length_max: NAME_LENGTH_CEILING };
        Self { transaction, request, deadline: None, caller: None, effect: None, inquiry }
    }
}

/// A request in flight.
pub struct Record {
    pub request: Request,
    pub caller: Option<oneshot::Sender<Delivery>>,
    pub effect: Option<AnyEffect>,
    pub inquiry: Inquiry,
}

/// The state of one connection.
pub struct Dispatch {
    limit: usize,
    next_id: u64,
    next_ticket: u64,
    last_read: Option<RequestId>,
    waiting: BTreeMap<Ticket, Call>,
    unread: VecDeque<(RequestId, Vec<u8>)>,
    in_flight: BTreeMap<RequestId, Record>,
}

impl Dispatch {
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            next_id: 1,
            next_ticket: 0,
            last_read: None,
            waiting: BTreeMap::new(),
            unread: VecDeque::new(),
            in_flight: BTreeMap::new(),
        }
    }

    /// Puts a call at the end of the line. [`Dispatch::advance`] moves it on.
    pub fn enqueue(&mut self, call: Call) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(ticket, call);
        ticket
    }

    /// Takes a call out of the line; none when it has a slot or never comes to one.
    pub fn withdraw(&mut self, ticket: Ticket) -> Option<Call> {
        self.waiting.remove(&ticket)
    }

    /// Fills free slots from the head of the line. Calls whose deadline has passed get none and
    /// are handed back.
    pub fn advance(&mut self, now: u64) -> Vec<Call> {
        let mut expired = Vec::new();
        while self.in_flight.len() < self.limit {
            let Some((_, call)) = self.waiting.pop_first() else {
                break;
            };
            if call.deadline.is_some_and(|deadline| deadline <= now) {
                expired.push(call);
            } else {
                self.dispatch(call);
            }
        }
        expired
    }

    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.max(1);
    }

    /// The next request that the source has not read.
    pub fn unread(&self) -> Option<&[u8]> {
        self.unread.front().map(|(_, frame)| frame.as_slice())
    }

    /// Hands the next unread request out.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        let (id, frame) = self.unread.pop_front()?;
        self.last_read = Some(id);
        Some(frame)
    }

    /// The operation of a request that the source has read and not answered. A request still in
    /// the queue is unknown to the source, so a response to it can only be made up.
    pub fn awaited(&self, id: RequestId) -> Option<Operation> {
        let record = self.in_flight.get(&id).filter(|_| Some(id) <= self.last_read)?;
        Some(record.request.operation())
    }

    /// Ends a request's flight.
    pub fn release(&mut self, id: RequestId) -> Option<Record> {
        self.in_flight.remove(&id)
    }

    pub fn in_flight_count(&self) -> usize {
        self.in_flight.len()
    }

    /// Everything that waits, once the connection has ended: requests in flight, then the line.
    pub fn drain(&mut self) -> (Vec<Record>, Vec<Call>) {
        self.unread.clear();
        let in_flight = std::mem::take(&mut self.in_flight).into_values().collect();
        let waiting = std::mem::take(&mut self.waiting).into_values().collect();
        (in_flight, waiting)
    }

    fn dispatch(&mut self, call: Call) {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let Call { transaction, request, caller, effect, inquiry, .. } = call;
        let frame = RequestFrame { id, transaction, request };
        self.unread.push_back((id, encode_request(&frame)));
        let record = Record { request: frame.request, caller, effect, inquiry };
        self.in_flight.insert(id, record);
    }
}
