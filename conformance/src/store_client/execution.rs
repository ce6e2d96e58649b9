//! One run under way: requests in flight, what came back, and who judges it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use registry_model::input::SourceId;
use registry_model::store::{Request, Response};

use super::dump;
use super::judge::{Exchange, Judge, Refusal, StartRefusal};
use super::lockstep::{Stop, StoreDivergence, StoreKind, StoreStatistics};
use super::names::Names;
use super::plan::{PlannedOperation, PlannedRequest, StorePlan, StoreStep, TransactionName};
use super::target::{Gone, StoreTarget};
use crate::script::store::{answer, request_words, step_words};
use crate::target::Frame;
use crate::trace::Trace;
use crate::wire::{Rule, ServedRoot, WireMonitor, codec};

/// The one source of a run.
const SOURCE: SourceId = SourceId(0);
/// How long a request may wait until it must be answered: above the busy timeout of 25 s, and
/// equal to the default RequestTimeoutMs (PSD-005 §7.3), in nanoseconds.
const PATIENCE: u64 = 30_000_000_000;
/// The first request id of a connection.
const FIRST_REQUEST_ID: u64 = 1;

/// Rules about what a source has from its client, who may send anything: malformed names and data,
/// entries whose records never come (P-62), and entries for hive roots (P-289). The model judges them.
const IS_OF_CLIENT: [Rule; 9] = [
    Rule::KeyName,
    Rule::ValueName,
    Rule::LayerName,
    Rule::ValueType,
    Rule::Tombstone,
    Rule::SecurityDescriptor,
    Rule::LookupMetadata,
    Rule::ChildrenMetadata,
    Rule::Orphans,
];

/// A request that was sent on this connection and whose answer has not been judged.
#[derive(Clone, Debug)]
struct InFlight {
    id: u64,
    request: Request,
    words: String,
    began: u64,
    /// The response, when it was seen, and its number among all responses.
    response: Option<(Response, u64, u64)>,
}

/// A run under way.
pub(super) struct Execution<'a> {
    target: &'a mut dyn StoreTarget,
    judge: Judge,
    monitor: WireMonitor,
    pub(super) names: Names,
    hives: Vec<String>,
    is_running: bool,
    next_request_id: u64,
    in_flight: Vec<InFlight>,
    /// Responses that were judged and that nobody has taken yet, by request id.
    answered: BTreeMap<u64, Response>,
    /// Responses that came so far.
    responses: u64,
    /// Request ids by label; `None` once the source went away under them.
    labels: BTreeMap<String, Option<u64>>,
    /// What divergences of answers are called now: `Entries` while everything is compared.
    pub(super) kind: StoreKind,
    step: usize,
    pub(super) statistics: StoreStatistics,
    trace: Trace,
    started_at: u64,
}

impl<'a> Execution<'a> {
    pub(super) fn new(plan: &StorePlan, target: &'a mut dyn StoreTarget) -> Execution<'a> {
        let hives = plan.hive_names();
        let started_at = target.now();
        Execution {
            target,
            judge: Judge::default(),
            monitor: WireMonitor::for_concurrent_calls(),
            names: Names::of(hives.clone(), &plan.steps),
            hives,
            is_running: false,
            next_request_id: FIRST_REQUEST_ID,
            in_flight: Vec::new(),
            answered: BTreeMap::new(),
            responses: 0,
            labels: BTreeMap::new(),
            kind: StoreKind::Answer,
            step: 0,
            statistics: StoreStatistics::default(),
            trace: Trace::default(),
            started_at,
        }
    }

    /// Starts the source, takes the steps, and compares everything at the end.
    pub(super) fn run(
        &mut self,
        steps: &[StoreStep],
        answers: &mut Vec<Vec<String>>,
    ) -> Result<(), Stop> {
        self.start()?;
        for (position, step) in steps.iter().enumerate() {
            self.step = position;
            answers.push(self.take(step)?);
        }
        self.step = steps.len();
        self.settle_down()?;
        if self.is_running {
            self.abort_all()?;
        } else {
            self.start()?;
        }
        dump::compare(self)
    }

    pub(super) fn finish(mut self) -> (StoreStatistics, u128) {
        self.target.stop();
        self.statistics.covered.extend(self.judge.covered());
        self.statistics.covered.extend(self.monitor.covered());
        (self.statistics, self.trace.digest())
    }

    fn take(&mut self, step: &StoreStep) -> Result<Vec<String>, Stop> {
        match step {
            StoreStep::Send { label, request } => {
                let words = step_words(step, &self.hives);
                let request = self.names.request(request);
                if !self.is_running {
                    return Ok(vec![answer::GONE.to_owned()]);
                }
                let id = self.send(request, words)?;
                let Some(label) = label else { return self.answer_of(id) };
                self.labels.insert(label.clone(), Some(id));
                Ok(Vec::new())
            }
            StoreStep::Await { label } => match self.labels.get(label) {
                Some(Some(id)) => self.answer_of(*id),
                _ => Ok(vec![answer::GONE.to_owned()]),
            },
            StoreStep::Pass { nanoseconds } => {
                self.target.pass(*nanoseconds);
                self.collect()?;
                Ok(Vec::new())
            }
            StoreStep::Kill | StoreStep::Stop => {
                self.end(*step == StoreStep::Kill)?;
                Ok(Vec::new())
            }
            StoreStep::Start => {
                self.end(false)?;
                self.start()
            }
            StoreStep::Compare => {
                if self.is_running {
                    dump::compare(self)?;
                }
                Ok(Vec::new())
            }
        }
    }

    /// Sends a request and returns its answer; `None` if it may wait, and does.
    pub(super) fn exchange(
        &mut self,
        operation: PlannedOperation,
    ) -> Result<Option<Response>, Stop> {
        let planned = PlannedRequest { operation, transaction: None, trailing: Vec::new() };
        let words = request_words(&planned, &self.hives);
        let id = self.send(self.names.request(&planned), words)?;
        self.answer_of(id)?;
        Ok(self.answered.remove(&id))
    }

    fn send(&mut self, request: Request, words: String) -> Result<u64, Stop> {
        let id = self.next_request_id;
        self.next_request_id += 1;
        let frame = codec::encode_request(id, &request);
        let began = self.target.now();
        self.trace.record("request", began, &frame);
        self.monitor.client_request(SOURCE, &frame);
        self.statistics.requests += 1;
        self.in_flight.push(InFlight { id, request, words, began, response: None });
        match self.target.send(&frame) {
            Ok(()) => Ok(id),
            Err(gone) => Err(self.died(&gone)),
        }
    }

    /// Takes what has come and has it judged.
    fn collect(&mut self) -> Result<(), Stop> {
        // Each request has one response; one more is enough to see a surplus one.
        for _ in 0..=self.in_flight.len() {
            let received = self.target.receive();
            let bytes = match received {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(gone) => return Err(self.died(&gone)),
            };
            self.receive(bytes)?;
        }
        self.settle()
    }

    fn receive(&mut self, bytes: Vec<u8>) -> Result<(), Stop> {
        let now = self.target.now();
        self.trace.record("response", now, &bytes);
        let id = codec::response_id(&bytes).ok();
        let position = self.in_flight.iter().position(|sent| Some(sent.id) == id);
        let words = position.map(|position| self.in_flight[position].words.clone());
        let words = words.unwrap_or_else(|| "a response".to_owned());
        let frame = Frame { source: SOURCE, is_request: false, bytes };
        let is_malformed =
            position.is_some_and(|position| codec::is_malformed(&self.in_flight[position].request));
        // The monitor knows the tables only; for an op code without one, `decode` says it all.
        let observed = self.monitor.observe(&frame);
        if let Err(violation) = observed
            && !is_malformed
            && !IS_OF_CLIENT.contains(&violation.rule)
        {
            let requirements = violation.requirements().collect();
            let (rule, message) = (violation.rule.text().to_owned(), violation.message);
            return Err(self.diverges(StoreKind::Wire, words, requirements, (rule, message)));
        }
        let Some(position) = position else {
            let wire = ("an answer to a request".to_owned(), format!("{id:?}"));
            return Err(self.diverges(StoreKind::Wire, words, vec!["RSI-50"], wire));
        };
        let sent = &mut self.in_flight[position];
        match codec::decode_response(&sent.request, &frame.bytes) {
            Ok(response) => {
                sent.response = Some((response, now, self.responses));
                self.responses += 1;
                Ok(())
            }
            Err(problem) => {
                let wire = ("the response of the table".to_owned(), problem);
                Err(self.diverges(StoreKind::Wire, words, vec!["RSI-48"], wire))
            }
        }
    }

    /// Has everything judged that was answered.
    fn settle(&mut self) -> Result<(), Stop> {
        let in_flight = std::mem::take(&mut self.in_flight);
        let (mut answered, waiting): (Vec<_>, Vec<_>) =
            in_flight.into_iter().partition(|sent| sent.response.is_some());
        self.in_flight = waiting;
        answered.sort_by_key(|sent| sent.response.as_ref().map(|(_, _, number)| *number));
        let mut exchanges: Vec<Exchange> = Vec::new();
        let mut sent: Vec<(u64, String)> = Vec::new();
        for InFlight { id, request, words, began, response } in answered {
            let Some((response, ended, _)) = response else { continue };
            sent.push((id, words));
            exchanges.push(Exchange { request, began, ended, response });
        }
        let settled = match self.target.answers_in_order() {
            true => self.judge.settle_in_order(&exchanges),
            false => self.judge.settle(&exchanges),
        };
        match settled {
            Ok(()) => {}
            Err(Refusal::TooMany) => return Err(undecided()),
            Err(Refusal::Response { position, expected, requirements }) => {
                let got = &exchanges[position].response;
                let both = self.in_words(&expected, got);
                let words = sent[position].1.clone();
                return Err(self.diverges(self.kind, words, requirements, both));
            }
        }
        for ((id, _), exchange) in sent.into_iter().zip(exchanges) {
            let status = match &exchange.response {
                Response::Ok(_) => "OK",
                Response::Failed(status) => status.name(),
            };
            *self.statistics.statuses.entry(status).or_default() += 1;
            self.answered.insert(id, exchange.response);
        }
        Ok(())
    }

    /// The answer of a request as lines; `waits` if it may have none yet.
    fn answer_of(&mut self, id: u64) -> Result<Vec<String>, Stop> {
        self.collect()?;
        if let Some(response) = self.answered.get(&id) {
            return Ok(answer::lines(response, &self.names, &self.clock()));
        }
        let Some(sent) = self.in_flight.iter().find(|sent| sent.id == id) else {
            return Ok(vec![answer::GONE.to_owned()]);
        };
        self.statistics.waits += 1;
        match self.judge.waits(&sent.request, sent.began) {
            Ok(()) => Ok(vec![answer::WAITS.to_owned()]),
            Err(expected) => Err(self.silence(id, &self.alternatives(&expected))),
        }
    }

    /// Lets every request that waits come to its end: each one has an answer (SRC-01).
    fn settle_down(&mut self) -> Result<(), Stop> {
        if !self.is_running {
            return Ok(());
        }
        self.collect()?;
        if !self.in_flight.is_empty() {
            self.target.pass(PATIENCE);
            self.collect()?;
        }
        if let Some(id) = self.in_flight.first().map(|sent| sent.id) {
            return Err(self.silence(id, "an answer within RequestTimeoutMs"));
        }
        // Nothing is in flight, and no kernel owes anything.
        let _ = self.monitor.quiescent();
        Ok(())
    }

    /// Aborts what is still open, so that nothing holds up the last comparison.
    fn abort_all(&mut self) -> Result<(), Stop> {
        for number in self.judge.open_transactions() {
            let transaction = TransactionName::Number(number);
            self.exchange(PlannedOperation::Abort { transaction })?;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<Vec<String>, Stop> {
        let began = self.target.now();
        let started = self.target.start(&self.hives);
        let registration = match started {
            Ok(registration) => registration,
            Err(problem) => {
                let wire = ("a registration".to_owned(), problem);
                return Err(self.diverges(StoreKind::Death, "start".to_owned(), vec![], wire));
            }
        };
        let ended = self.target.now();
        match self.judge.start(&self.hives, &registration, (began, ended)) {
            Ok(()) => {}
            Err(StartRefusal::Hives(errno)) => {
                let reason = format!("no source has such hives: {errno}");
                return Err(Stop::Indeterminate(reason));
            }
            Err(StartRefusal::Registration(mismatch, requirements)) => {
                let both = (mismatch.expected, mismatch.got);
                let what = "start".to_owned();
                return Err(self.diverges(StoreKind::Registration, what, requirements, both));
            }
        }
        self.names.registered(&registration);
        self.monitor.connection_opened(SOURCE);
        let served: Vec<ServedRoot> = registration
            .hives
            .iter()
            .map(|hive| ServedRoot::new(&String::from_utf8_lossy(&hive.name), None, hive.root.0))
            .collect();
        self.monitor.registered(SOURCE, registration.max_sequence, &served);
        self.next_request_id = FIRST_REQUEST_ID;
        self.is_running = true;
        self.trace.record("start", ended, &registration.max_sequence.to_le_bytes());
        Ok(answer::registration_lines(&registration))
    }

    /// Ends the process if it runs. What was in flight may have been carried out.
    fn end(&mut self, kill: bool) -> Result<(), Stop> {
        if !self.is_running {
            return Ok(());
        }
        if !kill {
            self.collect()?;
        }
        if self.interrupt().is_err() {
            // More could have happened than is kept: the source may answer what it can, and then ends.
            self.collect()?;
            self.interrupt().map_err(|_| undecided())?;
        }
        self.in_flight.clear();
        if kill {
            self.target.kill();
        } else {
            self.target.stop();
        }
        self.statistics.endings += 1;
        self.is_running = false;
        self.answered.clear();
        self.labels.values_mut().for_each(|id| *id = None);
        self.monitor.connection_closed(SOURCE);
        Ok(())
    }

    /// What is in flight may have been carried out or not.
    fn interrupt(&mut self) -> Result<(), Refusal> {
        let requests: Vec<_> =
            self.in_flight.iter().map(|sent| (sent.request.clone(), sent.began)).collect();
        self.judge.interrupted(&requests, self.target.now())
    }

    fn clock(&self) -> RangeInclusive<u64> {
        self.started_at..=self.target.now()
    }

    /// Responses that would conform, and the one that came. Where they look the same in a script,
    /// as the model shows them.
    fn in_words(&self, expected: &[Response], got: &Response) -> (String, String) {
        let both = (self.alternatives(expected), self.lines(got));
        if both.0 != both.1 {
            return both;
        }
        let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        (expected.join("\nor\n"), got.to_string())
    }

    fn alternatives(&self, responses: &[Response]) -> String {
        let mut shown: Vec<String> = responses.iter().map(|one| self.lines(one)).collect();
        shown.sort();
        shown.dedup();
        if shown.is_empty() { "no answer yet".to_owned() } else { shown.join("\nor\n") }
    }

    fn lines(&self, response: &Response) -> String {
        answer::lines(response, &self.names, &self.clock()).join("\n")
    }

    fn died(&self, gone: &Gone) -> Stop {
        let last = self.in_flight.last().map(|sent| sent.words.clone()).unwrap_or_default();
        let both = ("an answer".to_owned(), gone.0.clone());
        self.diverges(StoreKind::Death, last, vec!["SRC-01"], both)
    }

    fn silence(&self, id: u64, expected: &str) -> Stop {
        let sent = self.in_flight.iter().find(|sent| sent.id == id);
        let words = sent.map(|sent| sent.words.clone()).unwrap_or_default();
        let both = (expected.to_owned(), "nothing".to_owned());
        self.diverges(StoreKind::Silence, words, vec!["SRC-01", "SRC-09"], both)
    }

    fn diverges(
        &self,
        kind: StoreKind,
        what: String,
        requirements: Vec<&'static str>,
        (expected, got): (String, String),
    ) -> Stop {
        let step = self.step;
        let divergence = StoreDivergence { kind, step, what, requirements, expected, got };
        Stop::Divergence(Box::new(divergence))
    }
}

fn undecided() -> Stop {
    Stop::Indeterminate("more states are possible than are kept".to_owned())
}
