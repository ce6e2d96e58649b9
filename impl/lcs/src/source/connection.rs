//! The kernel's end of a connection: requests with deadlines, and the fate of each of them.
//!
//! PSD-005 §7.1 (file-operation semantics, timed-out request records), §7.3, §10.1; D-90, D-93.
//! A call ends in a response, a timeout, malformed data, or the connection's end. What a response
//! does is done as it arrives, one response after the other; where the caller has gone before it
//! comes, its effect gets the response instead.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use abi::Errno;
use futures::channel::oneshot;
use futures::future::{Either, select};
use rsi::{
    FrameError, Request, RequestId, Response, ResponseError, TransactionId, decode_response,
    decode_response_header,
};

use super::dispatch::{Call, Delivery, Dispatch, Inquiry, Record, Ticket};
use super::effect::AnyEffect;
use super::validation::{Malformed, MalformedResponse, validate};
use crate::env::Env;

/// The kernel, as a connection sees it. All of it is called with no lock of the connection held.
pub trait Supervisor: Send + Sync + 'static {
    /// The next sequence number that the kernel will give out; no entry may have it or a higher
    /// one (PSD-005 §7.3).
    fn next_sequence(&self) -> u64;

    /// The connection has ended. Called once, before any of its callers learns of it.
    fn connection_down(&self, reason: DownReason);

    /// A response was refused for its content; the request is over and the source stays.
    fn response_malformed(&self, response: MalformedResponse);
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// The source closed its device, or died.
    Disconnected,
    /// The source broke the protocol: framing, an id it was not asked under, another operation.
    Protocol(ProtocolError),
    /// The kernel gave up on it: effects of a mutation cannot be applied safely (§10.1, D-93).
    KernelDecision,
}

/// How a source broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A response that cannot be read to its end, or answers another operation.
    Frame(FrameError),
    /// A response to a request that the source was not given, or has answered.
    UnknownRequest(RequestId),
}

/// Why a request has no response. A failed status is a response: [`Response::Failed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The deadline passed.
    TimedOut {
        /// Whether the request had been sent, so that it may yet take effect.
        dispatched: bool,
    },
    /// The connection has ended; whether the request took effect is unknown.
    Down,
    /// The response's content was refused.
    Malformed(Malformed),
}

impl RequestError {
    /// What the caller of the operation gets (PSD-005 §10.1).
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::TimedOut { .. } => Errno::ETIMEDOUT,
            Self::Down | Self::Malformed(_) => Errno::EIO,
        }
    }
}

/// One incarnation of a source slot, from registration to its end. Clones are the same connection.
pub struct Connection<E> {
    shared: Arc<Shared<E>>,
}

struct Shared<E> {
    env: E,
    supervisor: Arc<dyn Supervisor>,
    state: Mutex<State>,
    /// Held while a response is taken in, so that each one's effect comes before the next one. The
    /// outermost lock: no effect may write to the connection.
    arrivals: Mutex<()>,
}

struct State {
    dispatch: Dispatch,
    down: Option<DownReason>,
    readers: BTreeMap<u64, Waker>,
    next_reader: u64,
}

impl<E: Env> Connection<E> {
    /// A connection with no request on it. `in_flight_limit` is MaxConcurrentRSIRequests; 0 counts
    /// as 1.
    #[must_use]
    pub fn new(env: E, in_flight_limit: usize, supervisor: Arc<dyn Supervisor>) -> Self {
        let state = State {
            dispatch: Dispatch::new(in_flight_limit),
            down: None,
            readers: BTreeMap::new(),
            next_reader: 0,
        };
        let (state, arrivals) = (Mutex::new(state), Mutex::default());
        Self { shared: Arc::new(Shared { env, supervisor, state, arrivals }) }
    }

    /// Sends `request` and waits for its response until `deadline` (Unix nanoseconds), which
    /// covers the wait for a slot as well.
    ///
    /// # Errors
    /// [`RequestError`]. A status other than RSI_OK is `Ok(Response::Failed)`.
    pub async fn request(
        &self,
        deadline: u64,
        transaction: Option<TransactionId>,
        request: Request,
    ) -> Result<Response, RequestError> {
        self.request_with_effect(deadline, transaction, request, None).await
    }

    /// As [`Connection::request`], with what the response does when it arrives. When the deadline
    /// passes after dispatch, or the returned future is dropped, the record stays in flight, and
    /// `effect` gets the response when it comes (PSD-005 §10.1, D-93).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn request_with_effect(
        &self,
        deadline: u64,
        transaction: Option<TransactionId>,
        request: Request,
        effect: Option<AnyEffect>,
    ) -> Result<Response, RequestError> {
        let call = Call { effect, ..Call::new(transaction, request) };
        self.wait_for(deadline, call).await
    }

    /// As [`Connection::request_with_effect`], for a question about a key. Where the reader judges
    /// descriptors itself, a malformed one does not fail the request (P-75).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn inquire(
        &self,
        deadline: u64,
        transaction: Option<TransactionId>,
        request: Request,
        inquiry: Inquiry,
        effect: Option<AnyEffect>,
    ) -> Result<Response, RequestError> {
        self.wait_for(deadline, Call { inquiry, effect, ..Call::new(transaction, request) }).await
    }

    /// As [`Connection::inquire`], but the request takes its place in the line now, whenever its
    /// answer is looked at.
    pub fn start(
        &self,
        deadline: u64,
        transaction: Option<TransactionId>,
        request: Request,
        inquiry: Inquiry,
    ) -> impl Future<Output = Result<Response, RequestError>> + Send + use<E> {
        self.wait_for(deadline, Call { inquiry, ..Call::new(transaction, request) })
    }

    /// As [`Connection::start`] for several requests, of which the source is told at once.
    pub fn start_all(
        &self,
        deadline: u64,
        transaction: Option<TransactionId>,
        requests: Vec<Request>,
        inquiry: Inquiry,
    ) -> Vec<impl Future<Output = Result<Response, RequestError>> + Send + use<E>> {
        let call = |request| Call { inquiry, ..Call::new(transaction, request) };
        let (calls, receivers): (Vec<_>, Vec<_>) =
            requests.into_iter().map(|request| with_caller(deadline, call(request))).unzip();
        let tickets = self.shared.enqueue_all(calls);
        let wait = |(index, receiver)| {
            let ticket = tickets.as_ref().map_err(|error| *error).map(|tickets| tickets[index]);
            self.answer_to(deadline, ticket, receiver)
        };
        receivers.into_iter().enumerate().map(wait).collect()
    }

    fn wait_for(
        &self,
        deadline: u64,
        call: Call,
    ) -> impl Future<Output = Result<Response, RequestError>> + Send + use<E> {
        let (call, receiver) = with_caller(deadline, call);
        self.answer_to(deadline, self.shared.enqueue(call), receiver)
    }

    fn answer_to(
        &self,
        deadline: u64,
        ticket: Result<Ticket, RequestError>,
        receiver: oneshot::Receiver<Delivery>,
    ) -> impl Future<Output = Result<Response, RequestError>> + Send + use<E> {
        let shared = Arc::clone(&self.shared);
        let wait = ticket.map(|ticket| Wait { shared, ticket, receiver, is_over: false });
        async move {
            let mut wait = wait?;
            let timer = pin!(wait.shared.env.sleep_until(deadline));
            // The receiver is polled first: a response that is there wins over its deadline.
            match select(&mut wait.receiver, timer).await {
                Either::Left((delivered, _)) => {
                    wait.is_over = true;
                    delivered.map_or(Err(RequestError::Down), |delivery| delivery.outcome)
                }
                Either::Right(_) => wait.give_up(),
            }
        }
    }

    /// Sends `request` with nobody waiting: clean-up that has to reach the source in its turn.
    /// It has no deadline. On an ended connection nothing happens.
    pub fn send(
        &self,
        transaction: Option<TransactionId>,
        request: Request,
        effect: Option<AnyEffect>,
    ) {
        let call = Call { effect, ..Call::new(transaction, request) };
        // The only error is Down, and then the source's own recovery replaces the clean-up.
        let _ = self.shared.enqueue(call);
    }

    /// Ends the connection: every request on it completes with [`RequestError::Down`].
    pub fn take_down(&self, reason: DownReason) {
        self.shared.take_down(reason);
    }

    /// Why the connection has ended, if it has.
    #[must_use]
    pub fn down_reason(&self) -> Option<DownReason> {
        self.shared.lock().down
    }

    /// Requests sent and not answered, timed-out ones included.
    #[must_use]
    pub fn in_flight_count(&self) -> usize {
        self.shared.lock().dispatch.in_flight_count()
    }

    /// Changes MaxConcurrentRSIRequests. Requests in flight above a lower limit stay.
    pub fn set_in_flight_limit(&self, in_flight_limit: usize) {
        let mut state = self.shared.lock();
        state.dispatch.set_limit(in_flight_limit);
        self.shared.advance(state);
    }

    /// Takes the next request for the source, if it fits `capacity`.
    pub(super) fn read(&self, capacity: usize) -> Result<Vec<u8>, Errno> {
        self.shared.lock().read(capacity)
    }

    /// As [`Connection::read`], but leaves `waker` to be woken where there is nothing to read.
    pub(super) fn read_or_register(
        &self,
        reader: &mut Option<u64>,
        waker: &Waker,
        capacity: usize,
    ) -> Result<Vec<u8>, Errno> {
        let mut state = self.shared.lock();
        let result = state.read(capacity);
        if result != Err(Errno::EAGAIN) {
            return result;
        }
        let id = *reader.get_or_insert(state.next_reader);
        state.next_reader = state.next_reader.max(id + 1);
        let replaced = state.readers.insert(id, waker.clone());
        drop(state);
        drop(replaced);
        result
    }

    pub(super) fn forget_reader(&self, reader: u64) {
        let forgotten = self.shared.lock().readers.remove(&reader);
        drop(forgotten);
    }

    pub(super) fn has_unread(&self) -> bool {
        self.shared.lock().dispatch.unread().is_some()
    }

    /// Takes one whole response from the source.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), Errno> {
        let _arrival = self.shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        match self.shared.accept(bytes) {
            Ok((id, record, response)) => {
                self.deliver(id, record, response);
                Ok(())
            }
            Err(error) => {
                self.shared.take_down(DownReason::Protocol(error));
                Err(Errno::EINVAL)
            }
        }
    }

    /// Hands a response that could be read to its end to whoever it is for.
    fn deliver(&self, id: RequestId, record: Record, response: Result<Response, Malformed>) {
        let Record { request, caller, mut effect, inquiry } = record;
        let checked = response.and_then(|response| {
            let next_sequence = self.shared.supervisor.next_sequence();
            validate(&request, &response, inquiry, next_sequence).map(|()| response)
        });
        let outcome = match checked {
            Ok(response) => Ok(response),
            Err(malformed) => {
                let report = MalformedResponse::new(id, &request, inquiry.hive_index, malformed);
                self.shared.supervisor.response_malformed(report);
                Err(RequestError::Malformed(malformed))
            }
        };
        let begun = match (&request, &outcome) {
            (Request::BeginTransaction { transaction, .. }, Ok(Response::Done)) => {
                Some(TransactionId(*transaction))
            }
            (Request::BeginTransaction { transaction, .. }, Err(_)) => {
                // Nobody will use it, if it has begun (P-262).
                self.shared.abort(TransactionId(*transaction));
                None
            }
            _ => None,
        };
        if let (Ok(response), Some(effect)) = (&outcome, &mut effect) {
            effect.arrive(response, caller.as_ref().is_some_and(|caller| !caller.is_canceled()));
        }
        let delivery = Delivery { outcome, effect, begun };
        let untaken = match caller {
            Some(caller) => caller.send(delivery).err(),
            None => Some(delivery),
        };
        if let Some(delivery) = untaken {
            self.shared.apply_late(delivery);
        }
    }
}

impl<E: Env> Shared<E> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, call: Call) -> Result<Ticket, RequestError> {
        let mut state = self.lock();
        if state.down.is_some() {
            return Err(RequestError::Down);
        }
        let ticket = state.dispatch.enqueue(call);
        self.advance(state);
        Ok(ticket)
    }

    /// One ticket for each.
    fn enqueue_all(&self, calls: Vec<Call>) -> Result<Vec<Ticket>, RequestError> {
        let mut state = self.lock();
        if state.down.is_some() {
            return Err(RequestError::Down);
        }
        let tickets = calls.into_iter().map(|call| state.dispatch.enqueue(call)).collect();
        self.advance(state);
        Ok(tickets)
    }

    /// Fills free slots and wakes the readers; the lock is released before anybody is told.
    fn advance(&self, mut state: MutexGuard<'_, State>) {
        let expired = state.dispatch.advance(self.env.now());
        let readers = match state.dispatch.unread() {
            Some(_) => std::mem::take(&mut state.readers),
            None => BTreeMap::new(),
        };
        drop(state);
        readers.into_values().for_each(Waker::wake);
        for call in expired {
            answer(call.caller, RequestError::TimedOut { dispatched: false });
        }
    }

    /// Reads a response as far as its frame goes and releases its record, which frees its slot.
    fn accept(
        &self,
        bytes: &[u8],
    ) -> Result<(RequestId, Record, Result<Response, Malformed>), ProtocolError> {
        let header = decode_response_header(bytes).map_err(ProtocolError::Frame)?;
        let unknown = ProtocolError::UnknownRequest(header.id);
        let operation = self.lock().dispatch.awaited(header.id).ok_or(unknown)?;
        // Long responses take a while to read: others send requests meanwhile.
        let response = match decode_response(bytes, operation) {
            Ok(frame) => Ok(frame.response),
            Err(ResponseError::Payload(error)) => Err(Malformed::Payload(error)),
            Err(ResponseError::Frame(error)) => return Err(ProtocolError::Frame(error)),
        };
        let mut state = self.lock();
        let record = state.dispatch.release(header.id).ok_or(unknown)?;
        self.advance(state);
        Ok((header.id, record, response))
    }

    fn take_down(&self, reason: DownReason) {
        let mut state = self.lock();
        if state.down.is_some() {
            return;
        }
        state.down = Some(reason);
        let (in_flight, waiting) = state.dispatch.drain();
        let readers = std::mem::take(&mut state.readers);
        drop(state);
        self.supervisor.connection_down(reason);
        for record in in_flight {
            answer(record.caller, RequestError::Down);
        }
        for call in waiting {
            answer(call.caller, RequestError::Down);
        }
        readers.into_values().for_each(Waker::wake);
    }

    fn abort(&self, id: TransactionId) {
        let abort = Call::new(Some(id), Request::AbortTransaction { transaction: id.0 });
        // The only error is Down, which ends the source's transactions by itself.
        let _ = self.enqueue(abort);
    }

    /// What a response does for which nobody waits (PSD-005 §10.1): its own effect, and the end of
    /// a transaction that it leaves at the source without an owner.
    fn apply_late(&self, delivery: Delivery) {
        if let Some(begun) = delivery.begun {
            self.abort(begun);
        }
        if let (Ok(response), Some(effect)) = (delivery.outcome, delivery.effect) {
            effect.untaken(response);
        }
    }
}

impl State {
    fn read(&mut self, capacity: usize) -> Result<Vec<u8>, Errno> {
        if self.down.is_some() {
            return Err(Errno::EIO);
        }
        match self.dispatch.unread() {
            Some(frame) if frame.len() > capacity => Err(Errno::EMSGSIZE),
            _ => self.dispatch.read().ok_or(Errno::EAGAIN),
        }
    }
}

/// A call with somebody who waits for its answer.
fn with_caller(deadline: u64, call: Call) -> (Call, oneshot::Receiver<Delivery>) {
    let (sender, receiver) = oneshot::channel();
    (Call { deadline: Some(deadline), caller: Some(sender), ..call }, receiver)
}

fn answer(caller: Option<oneshot::Sender<Delivery>>, error: RequestError) {
    if let Some(caller) = caller {
        // A caller that has gone needs no answer.
        let _ = caller.send(Delivery::failure(error));
    }
}

/// A caller's wait, which leaves nothing behind when it is given up at any point.
struct Wait<E: Env> {
    shared: Arc<Shared<E>>,
    ticket: Ticket,
    receiver: oneshot::Receiver<Delivery>,
    /// Whether the answer has been taken.
    is_over: bool,
}

impl<E: Env> Wait<E> {
    fn give_up(&mut self) -> Result<Response, RequestError> {
        let withdrawn = self.shared.lock().dispatch.withdraw(self.ticket);
        if withdrawn.is_some() {
            return Err(RequestError::TimedOut { dispatched: false });
        }
        // From here the response finds the receiver closed, so that it is late.
        self.receiver.close();
        match self.receiver.try_recv() {
            Ok(Some(delivery)) => delivery.outcome,
            Ok(None) | Err(oneshot::Canceled) => Err(RequestError::TimedOut { dispatched: true }),
        }
    }
}

impl<E: Env> Drop for Wait<E> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let withdrawn = self.shared.lock().dispatch.withdraw(self.ticket);
        drop(withdrawn);
        self.receiver.close();
        // A response that arrived and was never looked at is as late as one still to come.
        if let Ok(Some(delivery)) = self.receiver.try_recv() {
            self.shared.apply_late(delivery);
        }
    }
}

impl<E> Clone for Connection<E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<E> fmt::Debug for Connection<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connection").finish_non_exhaustive()
    }
}
