//! Who may go when: transactions, the one writer of each hive, and waiting in Env time.
//!
//! States PSD-006 §4.1 and the transaction rules of PSD-005 §7.2 for any `Backend`. A mutation
//! that meets another transaction on its hive waits at most 25 seconds and is then RSI_TXN_BUSY
//! (LORE-081, LORE-082, LORE-083); those that wait go in order of arrival, and later mutations of
//! the same hive queue behind them. Queries never wait for a writer, except where the backend's
//! own locks make them (LORE-066, LORE-070).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rsi::{Request, RequestFrame, Response, ResponseFrame, Status, TransactionId};

use crate::backend::{Backend, Outcome, Refusal, View};
use crate::fold;
use crate::task::{self, Read, Task, Write};
use crate::{BUSY_TIMEOUT_NS, FatalError, HiveInfo, Store};

/// The most requests that wait at once; one more is RSI_TXN_BUSY. LCS has 256 in flight by
/// default.
const WAITING_MAX: usize = 4096;

/// The most transactions open at once. LCS binds 16 to a source by default.
const TRANSACTIONS_MAX: usize = 256;

/// The most mutations remembered of a transaction: LCS has a limit of 4096 (D-83), and sends up to
/// four requests for one of them. A restore has no limit, and is never committed twice (P-227, P-231).
const LOG_MAX: usize = 4 * 4096;

/// How soon to try again when the backend's own locks are held, in nanoseconds.
const RETRY_NS: u64 = 50_000_000;

/// A store made of a backend.
#[derive(Debug)]
pub(crate) struct Scheduler<B> {
    pub(crate) backend: B,
    transactions: BTreeMap<TransactionId, Transaction>,
    /// The transaction that has each hive's write connection.
    holders: Vec<Option<TransactionId>>,
    waiting: VecDeque<Waiting>,
    /// A transaction has ended since the waiting requests were last tried.
    released: bool,
    /// When to try them again though none has.
    retry_at: Option<u64>,
    ready: VecDeque<ResponseFrame>,
    fatal: Option<FatalError>,
}

#[derive(Debug)]
enum Transaction {
    /// Read-write, before its first mutation (LORE-127).
    Unbound,
    /// Read-write, with the write connection of a hive.
    Bound(Bound),
    /// Read-only.
    Snapshot,
}

#[derive(Debug)]
struct Bound {
    hive: usize,
    /// The mutations that succeeded, and when, to do them again should the backend lose the
    /// transaction in a failed commit (LORE-130, D-81). None of one that is too long for that.
    log: Option<Vec<(Request, u64)>>,
}

impl Bound {
    fn remember(&mut self, request: &Request, now: u64) {
        if let Some(log) = &mut self.log {
            log.push((request.clone(), now));
        }
        if self.log.as_ref().is_some_and(|log| log.len() > LOG_MAX) {
            self.log = None;
        }
    }
}

#[derive(Debug)]
struct Waiting {
    frame: RequestFrame,
    deadline: u64,
    blocked: Blocked,
}

/// The hives whose write connection a request that has to wait keeps from those behind it: none
/// for a query, and never one that is free, so that a slow request holds up no other (SRC-09).
type Blocked = BTreeSet<usize>;

/// What became of a request.
enum Attempt {
    Answered(Response),
    Waits(Blocked),
    Fails(FatalError),
}

impl<B: Backend> Scheduler<B> {
    pub(crate) fn new(backend: B) -> Scheduler<B> {
        let holders = vec![None; backend.hives().len()];
        Scheduler {
            backend,
            transactions: BTreeMap::new(),
            holders,
            waiting: VecDeque::new(),
            released: false,
            retry_at: None,
            ready: VecDeque::new(),
            fatal: None,
        }
    }

    fn attempt(&mut self, frame: &RequestFrame, queue: &Blocked, now: u64) -> Attempt {
        let header = frame.transaction;
        let task = match task::understand(header, &frame.request) {
            Ok(task) => task,
            Err(status) => return Attempt::Answered(Response::Failed(status)),
        };
        match task {
            Task::Begin { transaction, read_only } => self.begin(transaction, read_only, now),
            Task::Commit { transaction } => answered(self.commit(transaction)),
            Task::Abort { transaction } => answered(self.abort(transaction)),
            Task::Read(read) => self.read(header, read, now),
            Task::Write(write) => match header {
                None => self.write_alone(write, queue, now),
                Some(id) => self.write_within(id, write, &frame.request, queue, now),
            },
            // No layer and no hive is deleted or flushed within a transaction.
            Task::DeleteLayer { .. } | Task::Flush { .. } if header.is_some() => {
                answered(Err(Refusal::Status(Status::Invalid)))
            }
            Task::DeleteLayer { layer } => self.delete_layer(layer, queue, now),
            Task::Flush { hive_name } => self.flush(hive_name, queue, now),
        }
    }

    fn begin(&mut self, id: TransactionId, read_only: bool, now: u64) -> Attempt {
        if self.transactions.contains_key(&id) {
            return answered(Err(Refusal::Status(Status::Invalid)));
        }
        if self.transactions.len() >= TRANSACTIONS_MAX {
            return answered(Err(Refusal::Status(Status::TransactionBusy)));
        }
        let transaction = if read_only {
            match self.backend.take_snapshot(id) {
                Ok(()) => Transaction::Snapshot,
                Err(refusal) => return self.refused(refusal, Blocked::new(), now),
            }
        } else {
            Transaction::Unbound
        };
        self.transactions.insert(id, transaction);
        Attempt::Answered(Response::Done)
    }

    fn commit(&mut self, id: TransactionId) -> Outcome {
        match self.transactions.get(&id) {
            None | Some(Transaction::Snapshot) => return Err(Status::Invalid.into()),
            Some(Transaction::Unbound) => {}
            Some(Transaction::Bound(bound)) => {
                let hive = bound.hive;
                restore(&mut self.backend, bound)?;
                // A lock held elsewhere is RSI_TXN_BUSY at once: LCS may ask again (D-81).
                self.backend.commit(hive).map_err(|refusal| match refusal {
                    Refusal::Locked => Refusal::Status(Status::TransactionBusy),
                    status => status,
                })?;
                self.release(hive);
            }
        }
        self.transactions.remove(&id);
        self.refuse_waiting(id);
        Ok(Response::Done)
    }

    /// Refuses what waits in a transaction that has ended: it has not got the lock, and is no part of a
    /// later one of the same id (P-65, P-71).
    fn refuse_waiting(&mut self, id: TransactionId) {
        let waiting = std::mem::take(&mut self.waiting);
        // A read waits for no lock of its own, and reads what is committed then.
        let is_read = |request: &Request| {
            matches!(
                request,
                Request::Lookup { .. }
                    | Request::EnumChildren { .. }
                    | Request::ReadKey { .. }
                    | Request::QueryValues { .. }
            )
        };
        let is_its = |waiting: &Waiting| {
            waiting.frame.transaction == Some(id) && !is_read(&waiting.frame.request)
        };
        let (its, others): (VecDeque<_>, VecDeque<_>) = waiting.into_iter().partition(is_its);
        self.waiting = others;
        for Waiting { frame, .. } in its {
            self.answer(&frame, Response::Failed(Status::TransactionBusy));
            // Those behind it may no longer be blocked.
            self.released = true;
        }
    }

    /// Always succeeds (LORE-131).
    fn abort(&mut self, id: TransactionId) -> Outcome {
        let ended = self.transactions.remove(&id);
        if ended.is_some() {
            self.refuse_waiting(id);
        }
        match ended {
            None | Some(Transaction::Unbound) => {}
            Some(Transaction::Snapshot) => self.backend.release_snapshot(id),
            Some(Transaction::Bound(bound)) => {
                self.backend.rollback(bound.hive);
                self.release(bound.hive);
            }
        }
        Ok(Response::Done)
    }

    fn release(&mut self, hive: usize) {
        self.holders[hive] = None;
        self.released = true;
    }

    fn read(&mut self, header: Option<TransactionId>, read: Read<'_>, now: u64) -> Attempt {
        let outcome = match header.map(|id| (id, self.transactions.get(&id))) {
            None | Some((_, Some(Transaction::Unbound))) => self.read_committed(read),
            Some((_, None)) => Err(Status::Invalid.into()),
            Some((id, Some(Transaction::Snapshot))) => self.read_snapshot(id, read),
            Some((_, Some(Transaction::Bound(bound)))) => {
                let hive = bound.hive;
                restore(&mut self.backend, bound)
                    .and_then(|()| self.backend.read(hive, View::Writer, read))
            }
        };
        match outcome {
            Ok(response) => Attempt::Answered(response),
            Err(refusal) => self.refused(refusal, Blocked::new(), now),
        }
    }

    fn read_committed(&mut self, read: Read<'_>) -> Outcome {
        match self.backend.locate(read.key())? {
            Some(hive) => self.backend.read(hive, View::Committed, read),
            None => Err(Status::NotFound.into()),
        }
    }

    /// The key's hive is not looked up: the key may be gone from the committed state.
    fn read_snapshot(&mut self, id: TransactionId, read: Read<'_>) -> Outcome {
        for hive in 0..self.holders.len() {
            match self.backend.read(hive, View::Snapshot(id), read) {
                Err(Refusal::Status(Status::NotFound)) => {}
                outcome => return outcome,
            }
        }
        Err(Status::NotFound.into())
    }

    fn write_alone(&mut self, write: Write<'_>, queue: &Blocked, now: u64) -> Attempt {
        let hive = match self.backend.locate(write.key()) {
            Ok(Some(hive)) => hive,
            Ok(None) if write.is_idempotent_removal() => return self.remove(write, queue, now),
            Ok(None) => return answered(Err(Status::NotFound.into())),
            Err(refusal) => return self.refused(refusal, Blocked::new(), now),
        };
        if self.holders[hive].is_some() || queue.contains(&hive) {
            return Attempt::Waits(Blocked::from([hive]));
        }
        match self.backend.write(hive, View::Committed, write, now) {
            Ok(response) => Attempt::Answered(response),
            Err(refusal) => self.refused(refusal, Blocked::from([hive]), now),
        }
    }

    /// A removal for a key of which no hive has a record: path entries may be there all the same (P-330).
    fn remove(&mut self, write: Write<'_>, queue: &Blocked, now: u64) -> Attempt {
        let hives = match self.hives_with_entries_of(write) {
            Ok(hives) => hives,
            Err(refusal) => return self.refused(refusal, Blocked::new(), now),
        };
        if let Some(waits) = self.waits_for(&hives, queue) {
            return waits;
        }
        for hive in hives {
            if let Err(refusal) = self.backend.write(hive, View::Committed, write, now) {
                return self.refused(refusal, Blocked::new(), now);
            }
        }
        Attempt::Answered(Response::Done)
    }

    fn hives_with_entries_of(&mut self, removal: Write<'_>) -> Result<BTreeSet<usize>, Refusal> {
        let mut hives = BTreeSet::new();
        for hive in 0..self.holders.len() {
            if self.backend.has_entries_of(hive, removal)? {
                hives.insert(hive);
            }
        }
        Ok(hives)
    }

    fn write_within(
        &mut self,
        id: TransactionId,
        write: Write<'_>,
        request: &Request,
        queue: &Blocked,
        now: u64,
    ) -> Attempt {
        let hive = match self.transactions.get(&id) {
            None | Some(Transaction::Snapshot) => return answered(Err(Status::Invalid.into())),
            Some(Transaction::Bound(bound)) => {
                if let Err(refusal) = restore(&mut self.backend, bound) {
                    return answered(Err(refusal));
                }
                bound.hive
            }
            Some(Transaction::Unbound) => match self.bind(id, write, queue, now) {
                Ok(hive) => hive,
                Err(attempt) => return attempt,
            },
        };
        if let Write::CreateKey(key) = write {
            match self.backend.locate(key.guid) {
                Ok(Some(other)) if other != hive => {
                    return answered(Err(Status::AlreadyExists.into()));
                }
                Ok(_) => {}
                Err(refusal) => return self.refused(refusal, Blocked::new(), now),
            }
        }
        match self.backend.write(hive, View::Writer, write, now) {
            Ok(response) => {
                if let Some(Transaction::Bound(bound)) = self.transactions.get_mut(&id) {
                    bound.remember(request, now);
                }
                Attempt::Answered(response)
            }
            Err(refusal) => answered(Err(refusal)),
        }
    }

    /// Gives a transaction the write connection of its first mutation's hive (LORE-075).
    fn bind(
        &mut self,
        id: TransactionId,
        write: Write<'_>,
        queue: &Blocked,
        now: u64,
    ) -> Result<usize, Attempt> {
        let located = match self.backend.locate(write.key()) {
            // Entries of one hive: a transaction names keys of no other (P-70).
            Ok(None) if write.is_idempotent_removal() => {
                self.hives_with_entries_of(write).map(|hives| hives.first().copied())
            }
            located => located,
        };
        let hive = match located {
            Ok(Some(hive)) => hive,
            Ok(None) if write.is_idempotent_removal() => {
                return Err(Attempt::Answered(Response::Done));
            }
            Ok(None) => return Err(answered(Err(Status::NotFound.into()))),
            Err(refusal) => return Err(self.refused(refusal, Blocked::new(), now)),
        };
        if self.holders[hive].is_some() || queue.contains(&hive) {
            return Err(Attempt::Waits(Blocked::from([hive])));
        }
        if let Err(refusal) = self.backend.begin(hive) {
            return Err(self.refused(refusal, Blocked::from([hive]), now));
        }
        self.holders[hive] = Some(id);
        self.transactions.insert(id, Transaction::Bound(Bound { hive, log: Some(Vec::new()) }));
        Ok(hive)
    }

    fn delete_layer(&mut self, layer: &str, queue: &Blocked, now: u64) -> Attempt {
        let hives = (0..self.holders.len()).collect();
        if let Some(waits) = self.waits_for(&hives, queue) {
            return waits;
        }
        match self.backend.delete_layer(layer) {
            Ok(response) => Attempt::Answered(response),
            Err(refusal) => self.refused(refusal, Blocked::new(), now),
        }
    }

    fn flush(&mut self, hive_name: &str, queue: &Blocked, now: u64) -> Attempt {
        let found = self.backend.hives().iter().position(|hive| fold::same(&hive.name, hive_name));
        let Some(hive) = found else {
            return answered(Err(Status::Invalid.into()));
        };
        if self.holders[hive].is_some() || queue.contains(&hive) {
            return Attempt::Waits(Blocked::from([hive]));
        }
        match self.backend.flush(hive) {
            Ok(response) => Attempt::Answered(response),
            Err(refusal) => self.refused(refusal, Blocked::from([hive]), now),
        }
    }

    /// What a request waits for that needs the write connections of several hives at once. It does not
    /// keep those that are free meanwhile.
    fn waits_for(&self, hives: &BTreeSet<usize>, queue: &Blocked) -> Option<Attempt> {
        let busy = |hive: &usize| self.holders[*hive].is_some() || queue.contains(hive);
        let blocked: Blocked = hives.iter().copied().filter(busy).collect();
        (!blocked.is_empty()).then_some(Attempt::Waits(blocked))
    }

    /// Turns a refusal into an answer or a wait.
    fn refused(&mut self, refusal: Refusal, blocked: Blocked, now: u64) -> Attempt {
        match refusal {
            Refusal::Status(status) => Attempt::Answered(Response::Failed(status)),
            Refusal::Locked => {
                // The holder may be another process, whose end nobody tells us.
                self.retry_at = Some(now.saturating_add(RETRY_NS));
                Attempt::Waits(blocked)
            }
            Refusal::Fatal(error) => Attempt::Fails(error),
        }
    }

    fn answer(&mut self, frame: &RequestFrame, response: Response) {
        let operation = frame.request.operation();
        self.ready.push_back(ResponseFrame { id: frame.id, operation, response });
    }

    /// Answers a request that need not wait; what it waits for otherwise.
    fn conclude(&mut self, frame: &RequestFrame, attempt: Attempt) -> Option<Blocked> {
        match attempt {
            Attempt::Answered(response) => self.answer(frame, response),
            Attempt::Fails(error) => {
                self.fatal.get_or_insert(error);
                self.answer(frame, Response::Failed(Status::StorageError));
            }
            Attempt::Waits(blocked) => return Some(blocked),
        }
        None
    }

    /// Gives up on what has waited too long and, where something has changed, tries the rest.
    fn attend(&mut self, now: u64) {
        while self.waiting.front().is_some_and(|waiting| waiting.deadline <= now) {
            if let Some(Waiting { frame, .. }) = self.waiting.pop_front() {
                self.answer(&frame, Response::Failed(Status::TransactionBusy));
            }
            // Those behind it may no longer be blocked.
            self.released = true;
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.released = true;
        }
        // Each round either answers a request or is the last.
        for _ in 0..=self.waiting.len() {
            if !std::mem::take(&mut self.released) {
                return;
            }
            self.try_waiting(now);
        }
    }

    /// One round over the waiting requests, in order of arrival.
    fn try_waiting(&mut self, now: u64) {
        let mut queue = Blocked::new();
        for mut waiting in std::mem::take(&mut self.waiting) {
            let attempt = self.attempt(&waiting.frame, &queue, now);
            if let Some(blocked) = self.conclude(&waiting.frame, attempt) {
                queue.extend(&blocked);
                waiting.blocked = blocked;
                self.waiting.push_back(waiting);
            }
        }
    }
}

impl<B: Backend> Store for Scheduler<B> {
    fn submit(&mut self, frame: RequestFrame, now: u64) {
        let queue = self.waiting.iter().flat_map(|waiting| &waiting.blocked).copied().collect();
        let attempt = self.attempt(&frame, &queue, now);
        let Some(blocked) = self.conclude(&frame, attempt) else { return };
        if self.waiting.len() >= WAITING_MAX {
            self.answer(&frame, Response::Failed(Status::TransactionBusy));
        } else {
            let deadline = now.saturating_add(BUSY_TIMEOUT_NS);
            self.waiting.push_back(Waiting { frame, deadline, blocked });
        }
    }

    fn poll(&mut self, now: u64) -> Option<ResponseFrame> {
        if !self.waiting.is_empty() {
            self.attend(now);
        }
        self.ready.pop_front()
    }

    fn next_wake(&self) -> Option<u64> {
        let deadline = self.waiting.front().map(|waiting| waiting.deadline);
        [deadline, self.retry_at].into_iter().flatten().min()
    }

    fn hives(&self) -> &[HiveInfo] {
        self.backend.hives()
    }

    fn max_sequence(&self) -> u64 {
        self.backend.max_sequence()
    }

    fn fatal_error(&self) -> Option<FatalError> {
        self.fatal
    }
}

fn answered(outcome: Outcome) -> Attempt {
    match outcome {
        Ok(response) => Attempt::Answered(response),
        Err(Refusal::Status(status)) => Attempt::Answered(Response::Failed(status)),
        Err(Refusal::Locked) => Attempt::Answered(Response::Failed(Status::TransactionBusy)),
        Err(Refusal::Fatal(error)) => Attempt::Fails(error),
    }
}

/// Does a transaction's mutations again if the backend has lost it.
fn restore(backend: &mut impl Backend, bound: &Bound) -> Result<(), Refusal> {
    if backend.is_open(bound.hive) {
        return Ok(());
    }
    let lost = |refusal| match refusal {
        Refusal::Fatal(_) => refusal,
        Refusal::Status(_) | Refusal::Locked => Refusal::Status(Status::StorageError),
    };
    let log = bound.log.as_ref().ok_or(Refusal::Status(Status::StorageError))?;
    backend.begin(bound.hive).map_err(lost)?;
    for (request, now) in log {
        let done = match task::understand(None, request) {
            Ok(Task::Write(write)) => backend.write(bound.hive, View::Writer, write, *now),
            _ => Err(Status::StorageError.into()),
        };
        if let Err(refusal) = done {
            backend.rollback(bound.hive);
            return Err(lost(refusal));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
