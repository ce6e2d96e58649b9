//! The wire monitor: a passive checker of every frame between the kernel and its sources.
//!
//! It reads frames by itself from the tables of PSD-005 §11.3 and knows no codec, no model and no
//! store. It checks what only the source interface shows: request ids, responses, names, fresh
//! GUIDs, sequence numbers over all sources, transaction ids (§2.3 to §2.8, §7.1, §7.2), and, where
//! it is told of calls, what a call may send (§6.2, §6.3). What it cannot know it leaves alone, so
//! that every violation is one.

mod calls;
pub mod codec;
mod connection;
mod fields;
mod frame;
mod hives;
mod keys;
mod late;
mod obligations;
mod parameters;
mod records;
mod requests;
mod responses;
mod roots;
mod rules;
mod seeded;
mod sequences;
mod settings;
mod statuses;
#[cfg(test)]
mod tests;
mod transactions;
mod transcript;
mod transfers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use registry_model::errno::Errno;
use registry_model::input::{Call, Fd, ProcessId, SourceId};
use registry_model::observation::Observation;
use registry_model::store_entry::StoredRecord;

use crate::target::Frame;
use calls::{Around, CallRules};
use connection::Connection;
use frame::Guid;
use hives::Hives;
use keys::Keys;
use late::Late;
use obligations::Obligations;
use parameters::Parameters;
use records::Records;
use roots::Roots;
pub use roots::ServedRoot;
pub use rules::Rule;
use rules::{Failure, Held};
use seeded::Seeded;
use sequences::{Calls, Sequences};
use settings::Settings;
use transactions::Transactions;
pub use transcript::Transcript;
use transfers::Transfers;

/// How long a source that was started may take for an answer, nanoseconds. A write may wait for
/// another's transaction (P-65).
const PATIENCE_NS: u64 = 120_000_000_000;

/// Who sent what breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The kernel half.
    Kernel,
    /// The source.
    Source,
}

/// A frame, or a missing one, that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Who is at fault.
    pub by: Party,
    /// The source at the other or at this end of the connection.
    pub source: SourceId,
    /// The rule.
    pub rule: Rule,
    /// What happened, in words.
    pub message: String,
}

impl Violation {
    /// The requirements and decisions behind the rule.
    pub fn requirements(&self) -> impl Iterator<Item = &'static str> {
        self.rule.covers().iter().chain(self.rule.cites()).copied()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            Party::Kernel => "the kernel, to",
            Party::Source => "by",
        };
        let requirements: Vec<_> = self.requirements().collect();
        write!(f, "{by} source {}: {}: {}", self.source.0, self.rule.text(), self.message)?;
        write!(f, " [{}]", requirements.join(", "))
    }
}

impl std::error::Error for Violation {}

/// Watches all connections of one run.
///
/// Tell it of connections, registrations and reboots in the order in which the frames around
/// them crossed the wire.
#[derive(Clone, Debug)]
pub struct WireMonitor {
    calls: Calls,
    connections: BTreeMap<SourceId, Connection>,
    sequences: Sequences,
    transactions: Transactions,
    transfers: Transfers,
    keys: Keys,
    roots: Roots,
    obligations: Obligations,
    late: Late,
    call_rules: CallRules,
    hives: Hives,
    settings: Settings,
    parameters: Parameters,
    records: Records,
    /// The time, Unix nanoseconds, if it is told.
    now: Option<u64>,
    /// Whether it is told when calls begin and end.
    is_told_of_calls: bool,
    /// What a call that has begun since found missing.
    overdue: Option<Violation>,
    seeded: Seeded,
    held: Held,
}

impl Default for WireMonitor {
    fn default() -> WireMonitor {
        WireMonitor::new()
    }
}

impl WireMonitor {
    /// A monitor of a run in which one call ends before the next begins.
    pub fn new() -> WireMonitor {
        WireMonitor::watching(Calls::OneAtATime)
    }

    /// A monitor of a run in which calls overlap: sequence numbers need not arrive in order.
    pub fn for_concurrent_calls() -> WireMonitor {
        WireMonitor::watching(Calls::Concurrent)
    }

    fn watching(calls: Calls) -> WireMonitor {
        WireMonitor {
            calls,
            connections: BTreeMap::new(),
            sequences: Sequences::new(calls),
            transactions: Transactions::default(),
            transfers: Transfers::default(),
            keys: Keys::default(),
            roots: Roots::default(),
            obligations: Obligations::default(),
            late: Late::default(),
            call_rules: CallRules::default(),
            hives: Hives::default(),
            settings: Settings::default(),
            parameters: Parameters::default(),
            records: Records::default(),
            now: None,
            is_told_of_calls: false,
            overdue: None,
            seeded: Seeded::default(),
            held: Held::default(),
        }
    }

    /// Tells the time, Unix nanoseconds, which only goes forward. Without it no lifetime ends here.
    pub fn time(&mut self, now: u64) {
        self.now = self.now.max(Some(now));
    }

    /// A source opened the device: request ids begin anew.
    pub fn connection_opened(&mut self, source: SourceId) {
        self.connection_closed(source);
        self.connections.insert(source, Connection::default());
    }

    /// A source registered or resumed these hives on its open connection. `max_sequence` is the number
    /// that it reported.
    pub fn registered(&mut self, source: SourceId, max_sequence: u64, hives: &[ServedRoot]) {
        let is_resumed = self.roots.is_resumed(hives);
        let roots: Vec<Guid> = hives.iter().map(ServedRoot::root).collect();
        let connection = self.connections.entry(source).or_default();
        connection.is_registered = true;
        connection.is_resumed = is_resumed;
        self.call_rules.registered(source, &roots);
        self.sequences.registered(source, max_sequence);
        for root in roots {
            self.keys.add_root(root);
            self.hives.add_root(source, root);
        }
        self.roots.registered(source, hives);
        self.obligations.connection_changed(source);
    }

    /// The world keeps a source from answering.
    pub fn stalled(&mut self, source: SourceId) {
        if let Some(connection) = self.connections.get_mut(&source) {
            connection.stalled();
        }
    }

    /// A source that was kept from answering may answer again.
    pub fn released(&mut self, source: SourceId) {
        if let Some(connection) = self.connections.get_mut(&source) {
            connection.released(self.now);
        }
    }

    /// A source has registered the global Machine hive with this root.
    pub fn settings_registered(&mut self, source: SourceId, root: [u8; 16]) {
        self.settings.registered(source, root);
    }

    /// A source that keeps its hives on a disk has registered these, by name and root GUID.
    ///
    /// # Errors
    /// A hive that it registered by another root GUID before, or with the root of another hive.
    pub fn kept_roots(
        &mut self,
        source: SourceId,
        hives: &[(String, [u8; 16])],
    ) -> Result<(), Violation> {
        let kept = self.roots.kept(&mut self.held, source, hives);
        kept.map_err(|failure| violation(Party::Source, source, failure))
    }

    /// A record was put into a source's store, which the source now returns as it is.
    pub fn stored(&mut self, source: SourceId, record: &StoredRecord) {
        self.seeded.stored(source, record);
    }

    /// A source was made to report a lower maximum than it has stored.
    pub fn falsified(&mut self, source: SourceId) {
        self.seeded.falsified(source);
    }

    /// A source's connection is gone, with all that was in flight on it.
    pub fn connection_closed(&mut self, source: SourceId) {
        let in_flight = self.connections.remove(&source).is_some_and(|gone| !gone.is_idle());
        if in_flight {
            self.sequences.failed();
        }
        self.roots.disconnected(source);
        self.settings.disconnected(source);
        self.transactions.disconnected(source);
        self.keys.disconnected(source);
        self.records.disconnected(source);
        self.call_rules.disconnected(source);
        self.obligations.connection_changed(source);
        self.late.disconnected(source);
    }

    /// The machine went down and came up. Every connection is gone; GUIDs stay known.
    pub fn rebooted(&mut self) {
        for source in self.connections.keys().copied().collect::<Vec<_>>() {
            self.connection_closed(source);
        }
        self.transactions = Transactions::default();
        self.transfers = Transfers::default();
        self.roots.rebooted();
        self.settings.rebooted();
        self.parameters = Parameters::default();
        self.sequences.rebooted();
        self.call_rules.rebooted();
    }

    /// A call begins; no other is under way. Frames until [`WireMonitor::call_ended`] are its own.
    pub fn call_began(&mut self) {
        self.is_told_of_calls = true;
        self.settings_settled();
        let idle = self.idle();
        self.parameters.settled(idle.len() == self.connections.len());
        self.call_rules.began(&mut self.held, &self.transactions, self.now, idle);
    }

    /// As [`WireMonitor::call_began`], where it is known what is called.
    pub fn call_began_as(&mut self, call: &Call) {
        self.call_began();
        self.transfers.began(call);
    }

    /// A call has ended, and every frame of it was observed.
    ///
    /// # Errors
    /// A rule that what it sent breaks.
    pub fn call_ended(
        &mut self,
        process: ProcessId,
        call: &Call,
        observation: &Observation,
        was_interrupted: bool,
    ) -> Result<(), Violation> {
        let called = (process, call);
        if let (Call::Commit { fd }, Observation::Failed(Errno::ETIMEDOUT)) = (call, observation)
            && let Some(transaction) = self.call_rules.transaction_of((process, *fd))
            && self.transactions.owes_abort(transaction)
        {
            self.late.cut_off(transaction);
        }
        let idle = self.idle();
        if idle.len() < self.connections.len() || self.calls == Calls::Concurrent {
            self.parameters.unsettled();
        }
        let around = Around {
            transactions: &self.transactions,
            now: self.now,
            lifetimes_ms: self.parameters.lifetimes_ms(),
            idle,
            full: self.full(),
        };
        let judged = self
            .call_rules
            .ended(&mut self.held, &around, called, observation, was_interrupted)
            .map_err(|(source, failure)| violation(Party::Kernel, source, failure));
        let transferred = if was_interrupted {
            self.transfers.passed_over();
            Ok(())
        } else {
            self.transfers.ended(&mut self.held, &self.transactions, observation)
        };
        let transferred =
            transferred.map_err(|failure| violation(Party::Kernel, SourceId(0), failure));
        let judged = judged.and(transferred);
        self.overdue.take().map_or(judged, Err)
    }

    /// Calls begin that overlap; no other is under way. Frames until [`WireMonitor::overlap_ended`] are
    /// theirs.
    pub fn overlap_began(&mut self) {
        self.call_began();
        self.calls = Calls::Concurrent;
        self.sequences.overlap_began();
    }

    /// One of the calls that overlap has ended, and every frame of all of them was observed. What it sent is
    /// not judged.
    ///
    /// # Errors
    /// A rule that was broken before.
    pub fn overlapping_call(
        &mut self,
        process: ProcessId,
        call: &Call,
        observation: &Observation,
    ) -> Result<(), Violation> {
        // What they have sent is nobody's for certain.
        self.call_rules.log.stop();
        self.call_ended(process, call, observation, true)
    }

    /// The last of the calls that overlap has ended.
    pub fn overlap_ended(&mut self) {
        self.calls = Calls::OneAtATime;
        self.sequences.overlap_ended();
    }

    /// A call has timed out, or what calls had in flight that had timed out has been answered: nobody goes
    /// on with it.
    pub fn gave_up(&mut self) {
        self.transactions.gave_up();
        let full = self.full();
        self.obligations.gave_up(&full);
        let in_flight_max = self.parameters.in_flight_max();
        for connection in self.connections.values_mut() {
            if connection.gave_up(in_flight_max) {
                self.sequences.timed_out();
            }
        }
    }

    /// A call made of raw numbers and bytes has ended; `closed` is the fd that it may have closed.
    /// What it asked for is not known here, so what it sent is not judged, and what it opened is not
    /// known.
    pub fn raw_call_ended(
        &mut self,
        process: ProcessId,
        closed: Option<Fd>,
        observation: &Observation,
    ) {
        self.transfers.passed_over();
        self.call_rules.passed_over(process, closed, observation);
    }

    /// Checks the next frame.
    ///
    /// # Errors
    /// The first rule that the frame breaks. The monitor can go on after it, without what the
    /// frame would have told.
    pub fn observe(&mut self, frame: &Frame) -> Result<(), Violation> {
        let (by, checked) = if frame.is_request {
            (Party::Kernel, self.request(frame.source, &frame.bytes))
        } else {
            (Party::Source, self.response(frame.source, &frame.bytes))
        };
        checked.map_err(|failure| violation(by, frame.source, failure))
    }

    /// Takes note of a request that no kernel sent, but a client that talks to a source by itself.
    /// It may break every rule for the kernel; what comes back is checked as ever.
    pub fn client_request(&mut self, source: SourceId, bytes: &[u8]) {
        self.unjudged_request(source, bytes);
    }

    /// Checks what must have been sent by now. To be called when no call is under way and none
    /// timed out since the last time; while a request is unanswered nothing is judged.
    ///
    /// # Errors
    /// A request of the kernel that is missing.
    pub fn quiescent(&mut self) -> Result<(), Violation> {
        self.unanswered()?;
        if !self.connections.values().all(Connection::is_idle) {
            return Ok(());
        }
        self.late.quiescent();
        if let Some((source, message)) = self.keys.unpaired() {
            self.keys.disconnected(source);
            let failure = Failure::new(Rule::EntryWithKey, message);
            return Err(violation(Party::Kernel, source, failure));
        }
        if self.connections.values().any(Connection::was_used) {
            self.held.mark(Rule::AllAnswered);
        }
        self.call_rules.expire(&mut self.held, &self.transactions, self.now);
        if let Some((id, rule)) = self.call_rules.unaborted(&self.transactions) {
            let source = self.transactions.source(id).unwrap_or(SourceId(0));
            let failure = Failure::new(rule, format!("transaction {id} is open"));
            return Err(violation(Party::Kernel, source, failure));
        }
        if let Some(id) = self.call_rules.ownerless(&self.transactions)
            && self.is_told_of_calls
        {
            let source = self.transactions.source(id).unwrap_or(SourceId(0));
            let failure = Failure::new(Rule::TransactionOwned, format!("transaction {id} is open"));
            return Err(violation(Party::Kernel, source, failure));
        }
        if let Some((source, key)) = self.call_rules.orphans.undropped()
            && self.is_told_of_calls
        {
            let message = format!("{} has no name and no fd", keys::shown(key));
            let failure = Failure::new(Rule::OrphanDropped, message);
            return Err(violation(Party::Kernel, source, failure));
        }
        self.settings_settled();
        self.overdue.take().map_or(Ok(()), Err)?;
        let connections = self.connections.iter();
        let registered = connections.filter(|(_, c)| c.is_registered).map(|(id, _)| *id).collect();
        let settled = self.obligations.settle(&mut self.held, &registered);
        settled.map_err(|(source, failure)| violation(Party::Kernel, source, failure))
    }

    /// Checks what a registration of the Machine hive had to read; what was put into its store
    /// may have ended that early.
    fn settings_settled(&mut self) {
        if let Err((source, failure)) = self.settings.settle()
            && !self.seeded.has(source)
        {
            self.overdue = Some(violation(Party::Kernel, source, failure));
        }
    }

    /// Checks that no source which was started has left a request without an answer.
    fn unanswered(&self) -> Result<(), Violation> {
        let Some(now) = self.now else { return Ok(()) };
        let is_silent = |connection: &Connection| {
            let since = connection.waits_since();
            since.is_some_and(|since| since.saturating_add(PATIENCE_NS) < now)
        };
        let silent = self
            .connections
            .iter()
            .find(|(source, connection)| self.roots.is_keeper(**source) && is_silent(connection));
        let Some((source, _)) = silent else { return Ok(()) };
        let failure = Failure::new(Rule::AllAnswered, "a request waits for its answer");
        Err(violation(Party::Source, *source, failure))
    }

    /// The sources that may have no slot to spare.
    fn full(&self) -> BTreeSet<SourceId> {
        let in_flight_min = self.parameters.in_flight_min();
        let full = self.connections.iter().filter(|(_, of)| of.may_be_full(in_flight_min));
        full.map(|(source, _)| *source).collect()
    }

    /// The sources that have answered everything.
    fn idle(&self) -> BTreeSet<SourceId> {
        let idle = self.connections.iter().filter(|(_, connection)| connection.is_idle());
        idle.map(|(source, _)| *source).collect()
    }

    /// The requirements that frames have shown to hold.
    pub fn covered(&self) -> BTreeSet<&'static str> {
        self.held.covered()
    }

    fn registered_connection(&mut self, source: SourceId) -> Result<&mut Connection, Failure> {
        let connection = self.connections.get_mut(&source).filter(|found| found.is_registered);
        let connection = connection
            .ok_or_else(|| Failure::new(Rule::Registered, "the source has not registered"))?;
        self.held.mark(Rule::Registered);
        Ok(connection)
    }
}

fn violation(by: Party, source: SourceId, Failure { rule, message }: Failure) -> Violation {
    Violation { by, source, rule, message }
}
