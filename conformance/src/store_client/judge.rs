//! What the reference store says: the states that agree with everything seen.
//!
//! Requests that were answered together are judged in every order in which they can have been
//! carried out, since a source chooses it (SRC-10).

use std::collections::{BTreeMap, BTreeSet};

use registry_model::Mismatch;
use registry_model::coverage::Covered;
use registry_model::store::{
    Answer, BUSY_TIMEOUT_MS, Description, Operation, Outcome, Registration, Request, Response,
    Start, Status, Store,
};

/// Most states that are kept; beyond them nothing is decided.
const STATES_MAX: usize = 2_048;
/// Most requests that are judged in every order.
const TOGETHER_MAX: usize = 12;
/// Most requests that a death may interrupt; a set of them has as many bits.
const INTERRUPTED_MAX: usize = 128;

/// A request and its response, with the time between which it was carried out.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) request: Request,
    /// When it was sent, Unix nanoseconds.
    pub(super) began: u64,
    /// When the response was seen.
    pub(super) ended: u64,
    pub(super) response: Response,
}

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// Why nothing conforms.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// The response of the exchange at this position; other ones that would conform.
    Response { position: usize, expected: Vec<Response>, requirements: Vec<&'static str> },
    /// More states than are kept.
    TooMany,
}

/// Why a start does not conform.
#[derive(Clone, Debug)]
pub(super) enum StartRefusal {
    /// No source can serve such hives.
    Hives(String),
    /// The registration is not as it should be.
    Registration(Mismatch, Vec<&'static str>),
}

/// The states that agree with everything seen; empty before the first boot.
#[derive(Clone, Debug, Default)]
pub(super) struct Judge {
    states: Vec<Store>,
    covered: Covered,
}

impl Judge {
    /// The requirements that the states applied.
    pub(super) fn covered(&self) -> BTreeSet<&'static str> {
        self.covered.iter().collect()
    }

    /// The transactions that may be open.
    pub(super) fn open_transactions(&self) -> BTreeSet<u64> {
        self.states.iter().flat_map(Store::open_transactions).collect()
    }

    /// Judges what the source registers as it starts, between these times.
    pub(super) fn start(
        &mut self,
        hives: &[String],
        registration: &Registration,
        (began, ended): (u64, u64),
    ) -> Result<(), StartRefusal> {
        let starts: Vec<Start> = if self.states.is_empty() {
            let hives: Vec<&str> = hives.iter().map(String::as_str).collect();
            let description =
                Description::new(&hives).map_err(|errno| StartRefusal::Hives(errno.to_string()))?;
            vec![Store::first_boot(&description, began, ended)]
        } else {
            self.states.iter().map(|state| state.restart(began, ended)).collect()
        };
        let mut states = Vec::new();
        let mut refusal = None;
        for start in starts {
            match start.register(registration) {
                Ok(state) => {
                    self.covered.add(&start.covered);
                    add_new(&mut states, vec![state]);
                }
                Err(mismatch) => refusal = refusal.or(Some((mismatch, start.covered))),
            }
        }
        match refusal {
            Some((mismatch, covered)) if states.is_empty() => {
                Err(StartRefusal::Registration(mismatch, covered.iter().collect()))
            }
            _ => {
                self.states = states;
                Ok(())
            }
        }
    }

    /// A request that was sent at `began` has no answer: only the states stay in which it may wait
    /// for a write lock, which is where it could be refused for that after the busy timeout.
    /// Returns what it should have been answered if there is none.
    pub(super) fn waits(&mut self, request: &Request, began: u64) -> Result<(), Vec<Response>> {
        let refused_at = began.saturating_add(BUSY_TIMEOUT_MS * NANOSECONDS_PER_MILLISECOND);
        let mut expected = Vec::new();
        self.states.retain(|state| {
            let answers = state.answer(request, began, refused_at);
            let may_wait =
                answers.iter().any(|answer| answer.outcome == Outcome::Failed(Status::TxnBusy));
            expected.extend(answers.iter().map(|answer| answer.outcome.example()));
            may_wait
        });
        if self.states.is_empty() { Err(expected) } else { Ok(()) }
    }

    /// The process ended between the sending of these requests, each with the time, and their answers:
    /// any of them were carried out, in any order, and the others were not. One that waited may have gone
    /// on when another ended its transaction.
    pub(super) fn interrupted(
        &mut self,
        requests: &[(Request, u64)],
        ended: u64,
    ) -> Result<(), Refusal> {
        if requests.len() > INTERRUPTED_MAX {
            return Err(Refusal::TooMany);
        }
        let requests: Vec<&(Request, u64)> =
            requests.iter().filter(|(request, _)| may_last(request, requests)).collect();
        let mut possible = self.states.clone();
        let mut by_set = BTreeMap::from([(0u128, self.states.clone())]);
        while !by_set.is_empty() {
            let mut larger: BTreeMap<u128, Vec<Store>> = BTreeMap::new();
            for (set, states) in &by_set {
                for (position, (request, began)) in requests.iter().enumerate() {
                    if set >> position & 1 == 0 {
                        let next = changed(states, request, (*began, ended));
                        add_new(larger.entry(set | 1 << position).or_default(), next);
                    }
                }
            }
            larger.retain(|_, states| !states.is_empty());
            for states in larger.values() {
                add_new(&mut possible, states.clone());
            }
            let count: usize = larger.values().map(Vec::len).sum();
            if possible.len().max(count) > STATES_MAX {
                return Err(Refusal::TooMany);
            }
            by_set = larger;
        }
        self.states = possible;
        Ok(())
    }

    /// Judges what was answered together, exchanges in the order of their responses.
    ///
    /// Goes through all orders at once: after each number of exchanges it keeps, for each set of
    /// them, the states that any order of that set leads to (Lowe, "Testing for linearizability",
    /// 2017, without the links of its lists).
    pub(super) fn settle(&mut self, exchanges: &[Exchange]) -> Result<(), Refusal> {
        if exchanges.len() > TOGETHER_MAX {
            return Err(Refusal::TooMany);
        }
        let mut covered = self.covered;
        let mut by_set = BTreeMap::from([(0u32, self.states.clone())]);
        for _ in exchanges {
            let mut larger: BTreeMap<u32, Vec<Store>> = BTreeMap::new();
            for (set, states) in &by_set {
                for (position, exchange) in exchanges.iter().enumerate() {
                    if set >> position & 1 == 0 {
                        let next = after(states, exchange, &mut covered);
                        add_new(larger.entry(set | 1 << position).or_default(), next);
                    }
                }
            }
            larger.retain(|_, states| !states.is_empty());
            if larger.values().map(Vec::len).sum::<usize>() > STATES_MAX {
                return Err(Refusal::TooMany);
            }
            by_set = larger;
        }
        match by_set.into_values().next() {
            Some(states) => {
                self.states = states;
                self.covered = covered;
                Ok(())
            }
            None => self.settle_in_order(exchanges),
        }
    }

    /// Judges what was carried out in the order of its responses.
    pub(super) fn settle_in_order(&mut self, exchanges: &[Exchange]) -> Result<(), Refusal> {
        let mut covered = self.covered;
        let mut states = self.states.clone();
        for (position, exchange) in exchanges.iter().enumerate() {
            let next = after(&states, exchange, &mut covered);
            if next.is_empty() {
                let answers = states.iter().flat_map(|state| exchange.answers(state));
                let answers: Vec<Answer> = answers.collect();
                let expected = answers.iter().map(|answer| answer.outcome.example()).collect();
                let requirements: BTreeSet<&'static str> =
                    answers.iter().flat_map(|answer| answer.covered.iter()).collect();
                let requirements = requirements.into_iter().collect();
                return Err(Refusal::Response { position, expected, requirements });
            }
            states = next;
        }
        self.states = states;
        self.covered = covered;
        Ok(())
    }
}

impl Exchange {
    fn answers(&self, state: &Store) -> Vec<Answer> {
        state.answer(&self.request, self.began, self.ended)
    }
}

/// The states after an exchange was carried out next.
fn after(states: &[Store], exchange: &Exchange, covered: &mut Covered) -> Vec<Store> {
    let mut next = Vec::new();
    for answer in states.iter().flat_map(|state| exchange.answers(state)) {
        if let Ok(state) = answer.accept(&exchange.response) {
            covered.add(&answer.covered);
            add_new(&mut next, vec![state]);
        }
    }
    next
}

/// Whether a request can leave something behind when the process ends: one of a transaction can only if
/// that is committed, and otherwise holds up others. An abort lets others go on.
fn may_last(request: &Request, requests: &[(Request, u64)]) -> bool {
    let commit = Operation::CommitTransaction { transaction: request.transaction };
    request.transaction == 0
        || matches!(request.operation, Operation::AbortTransaction { .. })
        || requests.iter().any(|(other, _)| other.operation == commit)
}

/// The states after a request was carried out next, as far as it has changed them.
fn changed(states: &[Store], request: &Request, (began, ended): (u64, u64)) -> Vec<Store> {
    let mut next = Vec::new();
    for state in states {
        let answers = state.answer(request, began, ended);
        let changed = answers.iter().map(Answer::next).filter(|after| *after != state);
        next.extend(changed.cloned());
    }
    next
}

/// Adds the states that are not there yet.
fn add_new(states: &mut Vec<Store>, more: Vec<Store>) {
    for state in more {
        if !states.contains(&state) {
            states.push(state);
        }
    }
}
