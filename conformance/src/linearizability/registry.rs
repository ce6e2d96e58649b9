//! The registry as a sequential specification: the model, and what an order of overlapping calls leaves to
//! be tried beside the order.
//!
//! Sequence numbers are observations (PSD-005 §2.7, P-440). A call takes one at a moment of its own, so the
//! order of the numbers need not be that in which the calls took effect: a call that returned before another
//! began has the lower number, no two have the same, and none is left out if every call was answered. What the
//! wire has shown of a call's number narrows this down, and makes the check much shorter. What is stored is judged
//! by the counter, which those that are under way may have raised already.
//!
//! A creation that finds a key which came after it had looked has taken a number for nothing (§6.2, P-560).
//!
//! A write looks at the entries of its value before it takes its number (§2.6, P-530), so that it has two moments.
//! The first is looked for only where it matters.
//!
//! Knows nothing of how calls were made to overlap. Audit events and messages on the wire are judged elsewhere.

mod deaths;
mod input;
mod judgement;
mod notes;

use std::collections::{BTreeMap, BTreeSet};

use registry_model::input::{Call, Input};
use registry_model::{Outcome, State, Step};

pub use self::input::{Number, RegistryInput};
pub use self::judgement::{Judgement, Linearized, Noted, Obstacle};

use super::{Budget, Decision, EndStates, Operation, Prefix, SequentialSpecification, check};
use crate::describe;

/// Symbols that one input may give to what it makes.
const SYMBOLS_EACH: u64 = 1 << 20;

/// Judges a history that began in one of these states.
pub fn judge(
    initial: &[State],
    history: &[Operation<RegistryInput>],
    steps_max: u64,
    prefix: Prefix,
) -> Judgement {
    let registry = Registry::new(initial, history);
    let roots: Vec<Possible> = initial.iter().map(|state| registry.root(state)).collect();
    let places: Vec<Operation<usize>> = history
        .iter()
        .enumerate()
        .map(|(place, Operation { process, invoked, returned, .. })| Operation {
            process: *process,
            invoked: *invoked,
            returned: *returned,
            operation: place,
        })
        .collect();
    let budget = Budget { steps_max, end_states: EndStates::All, prefix };
    match check(&registry, roots.clone(), &places, budget) {
        Decision::Linearizable { order, states, are_all: true, explored } => {
            registry.linearizable(&roots, order, states, explored)
        }
        Decision::Linearizable { explored, .. } => Judgement::Undecided { explored },
        Decision::NotLinearizable { longest_prefix, cannot_be_placed, states, explored } => {
            let (expected, requirements) = registry.possible_answers(cannot_be_placed, &states);
            let observation = &history[cannot_be_placed].operation.observation;
            let got = observation.as_ref().map_or_else(String::new, describe::observation);
            Judgement::NotLinearizable(Box::new(Obstacle {
                longest_prefix,
                cannot_be_placed,
                expected,
                got,
                requirements,
                explored,
            }))
        }
        Decision::Undecided { explored } => Judgement::Undecided { explored },
    }
}

/// What the registry may be in the course of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Possible {
    Known(Box<Known>),
    /// Nothing can be said of what follows.
    Outside(&'static str),
}

/// A state, with the numbers that inputs have taken.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    state: State,
    /// The lowest number that was free.
    first: u64,
    /// Which input has taken which number.
    taken: BTreeMap<u64, usize>,
    /// How many inputs have taken effect.
    placed: usize,
    /// The calls under way that have looked at what is stored and found nothing against them.
    admitted: BTreeSet<usize>,
}

impl Known {
    /// The lowest number above all that were taken.
    fn next(&self) -> u64 {
        let last = self.taken.last_key_value();
        last.map_or(self.first, |(number, _)| number.saturating_add(1))
    }

    /// How many lower numbers others must have taken.
    fn gaps(&self) -> u64 {
        (self.next() - self.first).saturating_sub(self.taken.len() as u64)
    }
}

/// The specification of one history.
struct Registry<'a> {
    history: &'a [Operation<RegistryInput>],
    /// For each input, how many overlap with it, itself included.
    overlapping: Vec<usize>,
    /// How many numbers an input may take.
    numbers_each_max: u64,
    /// The first symbol that no initial state has given out.
    first_symbol: u64,
    /// How many inputs may change something.
    changing: usize,
    /// How many calls may have taken numbers that were never sent, as their source has died: what these were is the
    /// same to everybody.
    cut_off: u64,
    /// The numbers that were sent, as far as that is known.
    sent: BTreeSet<u64>,
    /// The highest number that is stored and that no initial state has given out.
    from_the_future: Option<u64>,
    /// Whether a write may be refused for what is stored, so that it matters when it looks.
    may_refuse: bool,
}

/// What one step is tried with.
#[derive(Clone, Copy)]
struct Attempt {
    /// The next number by which what is stored is judged.
    counter: u64,
    /// The number that the call takes, if it takes one.
    number: u64,
    /// Whether the call has looked at what is stored before.
    is_admitted: bool,
}

impl SequentialSpecification for Registry<'_> {
    type State = Possible;
    type Operation = usize;

    fn step(&self, possible: &Possible, place: &usize) -> Vec<Possible> {
        self.marked_steps(possible, *place, true).into_iter().map(|(_, after)| after).collect()
    }

    fn step_unanswered(&self, possible: &Possible, place: &usize) -> Vec<Possible> {
        self.marked_steps(possible, *place, false).into_iter().map(|(_, after)| after).collect()
    }

    fn is_read(&self, place: &usize) -> bool {
        self.fails_for_want_of_a_source(*place)
    }

    fn noticed(
        &self,
        possible: &Possible,
        under_way: &mut dyn Iterator<Item = &usize>,
    ) -> Option<Possible> {
        let Possible::Known(known) = possible else { return None };
        let is_new =
            |place: &&usize| self.looks_before(**place) && !known.admitted.contains(*place);
        let admitted: BTreeSet<usize> =
            under_way.filter(is_new).filter(|place| self.admits(known, **place)).copied().collect();
        if admitted.is_empty() {
            return None;
        }
        let mut known = known.clone();
        known.admitted.extend(admitted);
        Some(Possible::Known(known))
    }

    fn fingerprint(&self, possible: &Possible) -> u64 {
        let Possible::Known(known) = possible else { return 0 };
        let mix = |sum: u64, (number, place): (&u64, &usize)| {
            (sum ^ number ^ (*place as u64).rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        };
        let of_state = known.state.fingerprint();
        known.taken.iter().fold(known.first ^ of_state, mix)
    }
}

impl<'a> Registry<'a> {
    fn new(initial: &[State], history: &'a [Operation<RegistryInput>]) -> Registry<'a> {
        let overlaps = |one: &Operation<RegistryInput>, other: &Operation<RegistryInput>| {
            !is_before(one, other) && !is_before(other, one)
        };
        let count = |one| history.iter().filter(|other| overlaps(one, other)).count();
        let inputs = history.iter().map(|operation| &operation.operation.input);
        let seen = history.iter().flat_map(|operation| operation.operation.number.seen());
        let registry = Registry {
            history,
            overlapping: history.iter().map(count).collect(),
            numbers_each_max: history.iter().map(numbers_max).max().unwrap_or_default(),
            first_symbol: initial.iter().map(State::next_symbol).max().unwrap_or_default(),
            sent: seen.copied().collect(),
            from_the_future: initial.iter().filter_map(State::highest_from_the_future).max(),
            may_refuse: initial.iter().any(|state| state.may_refuse_writes(inputs.clone())),
            changing: 0,
            cut_off: 0,
        };
        let count = |is_so: &dyn Fn(usize) -> bool| {
            (0..history.len()).filter(|place| is_so(*place)).count()
        };
        let changing = count(&|place| !registry.fails_for_want_of_a_source(place));
        let cut_off = count(&|place| registry.is_cut_off(place)) as u64;
        Registry { changing, cut_off, ..registry }
    }

    fn root(&self, state: &State) -> Possible {
        Possible::Known(Box::new(Known {
            state: state.with_symbols_from(self.symbols_of(self.history.len())),
            first: state.next_sequence(),
            taken: BTreeMap::new(),
            placed: 0,
            admitted: BTreeSet::new(),
        }))
    }

    /// The first symbol of what an input makes. It does not depend on the order, so that states which
    /// several orders lead to are equal.
    fn symbols_of(&self, place: usize) -> u64 {
        self.first_symbol + place as u64 * SYMBOLS_EACH
    }

    /// What may follow an input, with what is noted.
    fn marked_steps(
        &self,
        possible: &Possible,
        place: usize,
        is_answered: bool,
    ) -> Vec<(Noted, Possible)> {
        let Possible::Known(known) = possible else {
            return vec![(Noted::default(), possible.clone())];
        };
        if self.is_environment(place) {
            let state = known.state.with_symbols_from(self.symbols_of(place));
            let steps = state.step(&self.history[place].operation.input).into_iter();
            let follow = steps.filter_map(|step| {
                let state = self.answered(&step, place, is_answered)?;
                let state = self.with_time_of_death(place, state);
                let after = self.after_environment(known, state);
                Some((Noted::of(place, &step), after)).filter(|(_, known)| self.may_be(known))
            });
            return follow
                .map(|(noted, known)| (noted, Possible::Known(Box::new(known))))
                .collect();
        }
        let mut all: Vec<(Noted, Possible)> = Vec::new();
        for is_admitted in self.ways_to_look(known, place) {
            for counter in self.counters(known, place, u64::MAX) {
                if !self.add_steps(known, place, is_answered, (counter, is_admitted), &mut all) {
                    return all;
                }
            }
        }
        all
    }

    /// Adds what may follow a call that meets this counter; false if nothing can be said of it.
    fn add_steps(
        &self,
        known: &Known,
        place: usize,
        is_answered: bool,
        (counter, is_admitted): (u64, bool),
        all: &mut Vec<(Noted, Possible)>,
    ) -> bool {
        let mut takes_numbers = false;
        let next = known.next();
        for number in std::iter::once(next).chain(self.numbers(known, place)) {
            // What a call that nobody has read comes to says nothing of one that somebody has.
            takes_numbers |= self.is_unread_with(number, place);
            for step in self.steps(known, place, Attempt { counter, number, is_admitted }) {
                if let Outcome::Outside(what) = step.outcome {
                    *all = vec![(Noted::of(place, &step), Possible::Outside(what))];
                    return false;
                }
                let Some(state) = self.answered(&step, place, is_answered) else { continue };
                let has_number = !state.has_number();
                if has_number
                    && self.stores_what_was_not_sent(place, number, (&known.state, &state))
                {
                    continue;
                }
                // What gets as far as its number has looked before.
                if self.looks_before(place) && has_number != is_admitted {
                    continue;
                }
                let is_taken = has_number || state.next_sequence() != counter;
                takes_numbers |= is_taken;
                // Without a number to take, the first turn has said it all.
                if !is_taken && number != next {
                    continue;
                }
                if !is_taken {
                    self.add_with_lost_numbers(known, place, (&step, &state), all);
                }
                let mut taken: BTreeSet<u64> = (counter..state.next_sequence()).collect();
                if has_number {
                    taken =
                        (counter.max(number.saturating_add(1))..state.next_sequence()).collect();
                    taken.insert(number);
                }
                if self.is_cut_off(place) {
                    taken.retain(|number| self.sent.contains(number));
                }
                let after = self.after_call(known, place, taken, state);
                let after = after.filter(|known| self.may_be(known));
                let Some(after) = after.map(|known| Possible::Known(Box::new(known))) else {
                    continue;
                };
                if all.iter().all(|(_, other)| *other != after) {
                    all.push((Noted::of(place, &step), after));
                }
            }
            if !takes_numbers {
                break;
            }
        }
        true
    }

    /// Adds what may follow a creation that found the key there only after it had taken its number: the source
    /// has refused the entry, and the number is nobody's (§6.2, P-560).
    fn add_with_lost_numbers(
        &self,
        known: &Known,
        place: usize,
        (step, state): (&Step, &State),
        all: &mut Vec<(Noted, Possible)>,
    ) {
        let seen = self.history[place].operation.number.seen().iter();
        let is_free = |number: &&u64| **number >= known.first && !known.taken.contains_key(*number);
        if !self.races_for_a_key(place) {
            return;
        }
        for number in seen.filter(is_free) {
            let after = self.after_call(known, place, BTreeSet::from([*number]), state.clone());
            let after = after.filter(|known| self.may_be(known));
            let after = after.map(|known| Possible::Known(Box::new(known)));
            all.extend(after.map(|after| (Noted::of(place, step), after)));
        }
    }

    /// Whether a creation overlaps another.
    fn races_for_a_key(&self, place: usize) -> bool {
        let is_creation = |one: &Operation<RegistryInput>| {
            matches!(one.operation.input, Input::Call { call: Call::CreateKey { .. }, .. })
        };
        let own = &self.history[place];
        let overlaps = |other| !is_before(own, other) && !is_before(other, own);
        let mut others = self.history.iter().enumerate().filter(|(index, _)| *index != place);
        is_creation(own) && others.any(|(_, other)| is_creation(other) && overlaps(other))
    }

    fn steps(&self, known: &Known, place: usize, attempt: Attempt) -> Vec<Step> {
        let Attempt { counter, number, is_admitted } = attempt;
        let state = known.state.with_symbols_from(self.symbols_of(place));
        let mut state = state.with_next_sequence(counter).with_number(number);
        if is_admitted {
            state = state.with_admission();
        }
        state.step(&self.input_with_number(place, number))
    }

    /// Whether a call looks at what is stored before it takes its number, and it matters when. One that came as
    /// numbers and bytes may be a write; of any other it says no more than that it could take its number before.
    fn looks_before(&self, place: usize) -> bool {
        let RegistryInput { input, .. } = &self.history[place].operation;
        let may_write = matches!(
            input,
            Input::Call { call: Call::SetValue { .. }, .. } | Input::RawCall { .. }
        );
        self.may_refuse && may_write
    }

    /// Whether to try a call as one that looks now, and as one that has looked before.
    fn ways_to_look(&self, known: &Known, place: usize) -> Vec<bool> {
        let has_looked = self.looks_before(place) && known.admitted.contains(&place);
        if has_looked { vec![false, true] } else { vec![false] }
    }

    /// Whether a call finds nothing against it if it looks now: by a counter that is not above its number, as it
    /// looks before that is taken.
    fn admits(&self, known: &Known, place: usize) -> bool {
        let highest = match &self.history[place].operation.number {
            Number::Sent(numbers) => numbers.last().copied().unwrap_or(u64::MAX),
            Number::Unsent(_) => u64::MAX,
        };
        self.counters(known, place, highest).into_iter().any(|counter| {
            let attempt = Attempt { counter, number: counter, is_admitted: false };
            self.steps(known, place, attempt).iter().any(|step| !step.next().has_number())
        })
    }

    /// The counters that a call may meet: those that are under way may have raised it. Others than the lowest
    /// make a difference only where something is stored from the future.
    fn counters(&self, known: &Known, place: usize, highest: u64) -> Vec<u64> {
        let next = known.next();
        let last = self.from_the_future.map_or(next, |number| number.saturating_add(1).max(next));
        let may_be_taken = |number: &u64| self.may_be_taken_by_others(place, *number);
        let raised = (next..last).take_while(may_be_taken).map(|number| number + 1);
        let all = std::iter::once(next).chain(raised.take(self.overlapping[place]));
        all.take_while(|counter| *counter <= highest).collect()
    }

    /// Whether a call that overlaps with this one may take a number.
    fn may_be_taken_by_others(&self, place: usize, number: u64) -> bool {
        let own = &self.history[place];
        self.history.iter().enumerate().any(|(index, other)| {
            let overlaps = !is_before(own, other) && !is_before(other, own);
            index != place && overlaps && self.may_have(index, number)
        })
    }

    fn answered(&self, step: &Step, place: usize, is_answered: bool) -> Option<State> {
        match &self.history[place].operation.observation {
            Some(observation) if is_answered => step.accept(observation).ok(),
            // What waits has not taken effect.
            _ => Some(step.next().clone()).filter(|_| !matches!(step.outcome, Outcome::Waits)),
        }
    }

    /// The numbers beside the next one that a call may take.
    fn numbers(&self, known: &Known, place: usize) -> Vec<u64> {
        let next = known.next();
        // What is below the counter was taken before, if the counter is what this state says.
        let is_free = |number: &u64| {
            *number >= known.first && *number != next && !known.taken.contains_key(number)
        };
        let number = &self.history[place].operation.number;
        let seen = number.seen().iter().copied();
        let unsent = match number {
            Number::Sent(_) => 0,
            // Whichever it was, nobody has it.
            Number::Unsent(_) if self.is_cut_off(place) => 1,
            // So many others may have the lower ones.
            Number::Unsent(_) => self.overlapping[place],
        };
        let is_unsent =
            |number: &u64| !known.taken.contains_key(number) && !self.sent.contains(number);
        let unsent = (known.first..).filter(is_unsent).take(unsent);
        seen.chain(unsent).filter(is_free).collect()
    }

    /// Whether a number may be that of an input, for what is known of it.
    fn may_have(&self, place: usize, number: u64) -> bool {
        let known = &self.history[place].operation.number;
        let may_be_unsent = matches!(known, Number::Unsent(_)) && !self.sent.contains(&number);
        may_be_unsent || known.seen().contains(&number)
    }

    /// What is known after a call that took these numbers; `None` if it cannot have taken them.
    fn after_call(
        &self,
        known: &Known,
        place: usize,
        numbers: BTreeSet<u64>,
        state: State,
    ) -> Option<Known> {
        let mut taken = known.taken.clone();
        for number in numbers {
            let may_take = self.may_take(known, place, number);
            if !may_take || taken.insert(number, place).is_some() {
                return None;
            }
        }
        let mut admitted = known.admitted.clone();
        admitted.remove(&place);
        let placed = known.placed + usize::from(!self.fails_for_want_of_a_source(place));
        let after = Known { taken, placed, admitted, ..known.clone() };
        Some(self.at_rest(after, state))
    }

    /// What is known after something that may have set the counter.
    fn after_environment(&self, known: &Known, state: State) -> Known {
        let is_set = state.next_sequence() != known.next();
        let placed = known.placed + 1;
        let after = if is_set {
            Known { first: state.next_sequence(), taken: BTreeMap::new(), placed, ..known.clone() }
        } else {
            Known { placed, ..known.clone() }
        };
        self.at_rest(after, state)
    }

    /// The state between inputs: its counter is above every number that was taken.
    fn at_rest(&self, known: Known, state: State) -> Known {
        let state = state.with_symbols_from(self.symbols_of(self.history.len()));
        Known { state: state.with_next_sequence(known.next()), ..known }
    }

    fn may_take(&self, known: &Known, place: usize, number: u64) -> bool {
        let operation = &self.history[place];
        let above = known.taken.range(number..);
        self.may_have(place, number)
            && above.into_iter().all(|(_, other)| !is_before(&self.history[*other], operation))
    }

    /// Whether what has not taken effect is enough to take the numbers that were left out.
    fn may_be(&self, known: &Known) -> bool {
        let left = (self.changing - known.placed) as u64;
        known.gaps() <= left.saturating_mul(self.numbers_each_max).saturating_add(self.cut_off)
    }

    fn is_environment(&self, place: usize) -> bool {
        matches!(self.history[place].operation.input, Input::Environment(_) | Input::Device { .. })
    }

    fn linearizable(
        &self,
        roots: &[Possible],
        order: Vec<usize>,
        ends: Vec<Possible>,
        explored: u64,
    ) -> Judgement {
        let mut states: Vec<State> = Vec::new();
        for end in ends {
            match end {
                Possible::Outside(what) => return Judgement::Outside(what.to_owned()),
                Possible::Known(known) => {
                    // Numbers may have been lost above all that were sent.
                    let lost_max = self.cut_off.saturating_sub(known.gaps());
                    let ends = (0..=lost_max)
                        .map(|lost| known.state.with_next_sequence(known.next() + lost));
                    states.extend(ends.filter(|state| !states.contains(state)).collect::<Vec<_>>());
                }
            }
        }
        let noted = self.noted(roots, &order);
        Judgement::Linearizable(Box::new(Linearized { order, states, noted, explored }))
    }

    /// The same with a call that has looked before, in some order that was found.
    fn admitted(&self, possible: &Possible, place: usize) -> Possible {
        let mut possible = possible.clone();
        if let Possible::Known(known) = &mut possible
            && self.looks_before(place)
        {
            known.admitted.insert(place);
        }
        possible
    }

    /// What an input might have answered in these states, one thing a line, and what the model applies to it.
    fn possible_answers(&self, place: usize, states: &[Possible]) -> (String, Vec<&'static str>) {
        let mut expected = BTreeSet::new();
        let mut requirements = BTreeSet::new();
        for possible in states {
            let Possible::Known(known) = possible else { continue };
            let (counter, number) = (known.next(), known.next());
            let attempt = Attempt { counter, number, is_admitted: false };
            for step in self.steps(known, place, attempt) {
                expected.insert(describe::outcome(&step.outcome));
                requirements.extend(step.covered.iter());
            }
        }
        let expected = expected.into_iter().collect::<Vec<_>>().join("\nor ");
        (expected, requirements.into_iter().collect())
    }
}

/// How many numbers an input may take: a restore takes one for each entry.
fn numbers_max(operation: &Operation<RegistryInput>) -> u64 {
    match &operation.operation.input {
        Input::RawCall { .. } | Input::Call { call: Call::Restore { .. }, .. } => u64::MAX,
        Input::Call { call, .. } => u64::from(matches!(
            call,
            Call::SetValue { .. }
                | Call::CreateKey { .. }
                | Call::HideKey { .. }
                | Call::BlanketTombstone { set: 1, .. }
        )),
        Input::Device { .. } | Input::Environment(_) => 0,
    }
}

/// Whether one has returned before the other began.
fn is_before<O>(one: &Operation<O>, other: &Operation<O>) -> bool {
    one.returned.is_some_and(|returned| returned < other.invoked)
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
