//! What the reference store says: the states that agree with everything seen.
//!
//! Requests that were answered together are judged in every order in which they can have been
//! carried out, since a source chooses it (SRC-10).

use std::collections::BTreeSet;

use registry_model::coverage::Covered;
use registry_model::Mismatch;
use registry_model::store::{
    BUSY_TIMEOUT_MS, Description, Outcome, Registration, Request, Response, Start, Status, Store,
};

/// Most states that are kept; beyond them nothing is decided.
const STATES_MAX: usize = 256;
/// Most requests that are judged in every order.
const TOGETHER_MAX: usize = 6;

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

    /// Judges what the source registers as it starts, between these times.
    pub(super) fn start(
        &mut self,
        hives: &[String],
        registration: &Registration,
        (began, ended): (u64, u64),
    ) -> Result<(), StartRefusal> {
        let starts: Vec<Start> = if self.states.is_empty() {
            let hives: Vec<&str> = hives.iter().map(String::as_str).collect();
            let description = Description::new(&hives)
                .map_err(|errno| StartRefusal::Hives(errno.to_string()))?;
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
                    states.push(state);
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
            let may_wait = answers
                .iter()
                .any(|answer| answer.outcome == Outcome::Failed(Status::TxnBusy));
            expected.extend(answers.iter().map(|answer| answer.outcome.example()));
            may_wait
        });
        if self.states.is_empty() { Err(expected) } else { Ok(()) }
    }

    /// The process ended between the sending of a request and its answer: it was carried out, or
    /// it was not.
    pub(super) fn interrupted(
        &mut self,
        request: &Request,
        began: u64,
        ended: u64,
    ) -> Result<(), Refusal> {
        let mut carried_out = Vec::new();
        for state in &self.states {
            let answers = state.answer(request, began, ended);
            carried_out.extend(answers.iter().map(|answer| answer.next().clone()));
        }
        self.states.extend(carried_out);
        if self.states.len() > STATES_MAX { Err(Refusal::TooMany) } else { Ok(()) }
    }

    /// Judges what was answered together.
    pub(super) fn settle(&mut self, exchanges: &[Exchange]) -> Result<(), Refusal> {
        let mut found = Vec::new();
        let mut covered = self.covered;
        let in_order: Vec<usize> = (0..exchanges.len()).collect();
        if exchanges.len() > TOGETHER_MAX {
            return Err(Refusal::TooMany);
        }
        let mut refusal = None;
        for order in orders(&in_order) {
            match self.in_order(exchanges, &order, &mut covered) {
                Ok(states) => found.extend(states),
                Err(refused) => refusal = refusal.or(Some(refused)),
            }
            if found.len() > STATES_MAX {
                return Err(Refusal::TooMany);
            }
        }
        match refusal {
            Some(refusal) if found.is_empty() => Err(refusal),
            _ => {
                self.states = found;
                self.covered = covered;
                Ok(())
            }
        }
    }

    /// The states after these exchanges were carried out in this order.
    fn in_order(
        &self,
        exchanges: &[Exchange],
        order: &[usize],
        covered: &mut Covered,
    ) -> Result<Vec<Store>, Refusal> {
        let mut states = self.states.clone();
        for position in order {
            let exchange = &exchanges[*position];
            let mut next = Vec::new();
            let mut expected = Vec::new();
            let mut requirements: BTreeSet<&'static str> = BTreeSet::new();
            for state in &states {
                for answer in state.answer(&exchange.request, exchange.began, exchange.ended) {
                    match answer.accept(&exchange.response) {
                        Ok(state) => {
                            covered.add(&answer.covered);
                            next.push(state);
                        }
                        Err(_) => {
                            expected.push(answer.outcome.example());
                            requirements.extend(answer.covered.iter());
                        }
                    }
                }
            }
            if next.is_empty() {
                return Err(Refusal::Response {
                    position: *position,
                    expected,
                    requirements: requirements.into_iter().collect(),
                });
            }
            states = next;
        }
        Ok(states)
    }
}

/// All orders of some positions, the given one first.
fn orders(positions: &[usize]) -> Vec<Vec<usize>> {
    if positions.len() <= 1 {
        return vec![positions.to_vec()];
    }
    let mut all = Vec::new();
    for index in 0..positions.len() {
        let mut rest = positions.to_vec();
        let first = rest.remove(index);
        for mut order in orders(&rest) {
            order.insert(0, first);
            all.push(order);
        }
    }
    all
}
