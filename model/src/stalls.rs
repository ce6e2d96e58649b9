//! Sources that do not answer in time: the calls that time out, and what they leave in flight.
//!
//! States PSD-005 §7.1 ("File-operation semantics", "Timed-out request records") and §10.1 ("Request
//! timeout") from the side of the call, with D-81, D-83, P-240, P-244 to P-246, P-248 and P-260 to P-263. What a late response
//! brings is in `late`. A call that meets a stalled source ends at its first request; one in whose course a
//! source stalls may end at each.

use std::sync::Arc;

use crate::coverage::covers;
use crate::database::{Database, Guid, HiveId, Target};
use crate::errno::Errno;
use crate::in_flight::{InFlight, Kind, Sent};
use crate::input::SourceId;
use crate::late::{self as arrival, About, Change, Effect, Ends, Late};
use crate::late_kept::Rest;
use crate::layers::Touched;
use crate::limits::Limits;
use crate::names::FoldedName;
use crate::outcome::Outcome;
use crate::state::{DescriptionId, Place, SlotId, State, Witness};
use crate::step::{NANOSECONDS_PER_MILLISECOND, Work};
use crate::transactions::{Bound, Logged, Mutation, Phase, TransactionId};

/// How long after its deadline a call has surely ended.
const SLACK_MS: u64 = 1_000;

/// A source that reads and keeps what comes, and answers nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stall {
    /// Whether it begins in the course of the call that comes, or has begun since the last one.
    pub(crate) begins: bool,
    /// How many of its slots are taken.
    pub(crate) in_flight: InFlight,
    /// What is in flight, and has effects when it is answered, in the order in which it was sent.
    pub(crate) late: rpds::VectorSync<Late>,
    /// Whether a request of a call that only reads is surely in flight.
    pub(crate) has_read: Witness<bool>,
    /// The values that were surely asked for by name.
    pub(crate) values_read: Witness<Vec<(HiveId, Guid, FoldedName)>>,
}

/// A point in a call at which its source may have stopped answering.
pub(crate) struct StallEnding {
    hive: HiveId,
    /// What the kernel knew by then.
    state: State,
    /// What the request brings that is not answered.
    change: Change,
    /// What the requests are for, if some of it has begun.
    purpose: Option<Purpose>,
}

/// A mutation outside transactions, as its call would have completed it.
struct Purpose {
    /// The hive with all of it done.
    done: Database,
    effect: Effect,
    /// The hive before it.
    since: Database,
    /// Whether the first of its requests that change something has been answered.
    is_answered: bool,
}

impl Stall {
    /// The source answers nothing from here on; of a call in whose course it has stopped a request is in
    /// flight, and so many may be; beside it others may.
    pub(crate) fn begun(self, requests_max: u64, unasked: u64) -> Stall {
        let of_call = u64::from(self.begins);
        let most = (of_call * requests_max).saturating_add(unasked);
        Stall { begins: false, in_flight: self.in_flight.and(of_call, most), ..self }
    }

    /// Whether any request may be in flight.
    pub(crate) fn has_requests(&self) -> bool {
        self.in_flight.is_any()
    }

    /// Whether a request may be in flight, be it that of a call in whose course the source has stopped.
    pub(crate) fn may_have_requests(&self) -> bool {
        self.begins || self.in_flight.may_be_any()
    }

    /// Whether a change is in flight of what somebody can name.
    pub(crate) fn has_changes(&self) -> bool {
        self.late.iter().any(Late::is_change)
    }

    /// The mutations in flight of a transaction.
    pub(crate) fn of_transaction(&self, id: TransactionId) -> Vec<Logged> {
        let mutation = |late: &Late| match &late.change {
            Change::Logged(of, logged) if *of == id => Some(logged.clone()),
            _ => None,
        };
        self.late.iter().filter_map(mutation).collect()
    }
}

impl State {
    /// The source of a slot that is Active.
    pub(crate) fn source_of(&self, hive: HiveId) -> Option<(SlotId, SourceId)> {
        let slot = self.hives.get(&hive)?.slot;
        Some((slot, self.slots.get(&slot)?.connection?))
    }

    /// Whether the source of a hive dies in the course of what the kernel does of its own (P-615).
    pub(crate) fn is_dying(&self, hive: HiveId) -> bool {
        self.source_of(hive).is_some_and(|(_, source)| self.dying.contains(&source))
    }

    pub(crate) fn stall_of(&self, hive: HiveId) -> Option<&Stall> {
        self.stalls.get(&self.source_of(hive)?.1)
    }

    /// Whether the source of a hive answers nothing.
    pub(crate) fn is_stalled(&self, hive: HiveId) -> bool {
        self.stall_of(hive).is_some_and(|stall| !stall.begins)
    }

    /// The same of a slot.
    pub(crate) fn is_slot_stalled(&self, slot: SlotId) -> bool {
        self.hives_of(slot).any(|(hive, _)| self.is_stalled(hive))
    }

    /// How many requests are in flight that have effects.
    pub(crate) fn late_count(&self) -> usize {
        let late = self.stalls.values().flat_map(|stall| stall.late.iter());
        late.filter(|late| late.is_change()).count()
    }

    /// The state with those sources stalled that may stop answering, if there are any.
    pub(crate) fn as_stalled(&self) -> Option<State> {
        let begins = |stall: &Stall| stall.begins;
        self.stalls.values().any(begins).then(|| self.with_stalls(|_| false))
    }

    /// The opposite of it: those may stop answering that might in this state.
    pub(crate) fn as_stalling(&self, former: &State) -> State {
        self.with_stalls(|source| former.stalls.get(&source).is_some_and(|stall| stall.begins))
    }

    fn with_stalls(&self, begins: impl Fn(SourceId) -> bool) -> State {
        let mut state = self.clone();
        for source in self.stalls.keys() {
            if let Some(stall) = state.stalls.get_mut(source) {
                stall.begins = begins(*source);
            }
        }
        state
    }

    /// Whether the source of a hive may stop answering in the course of the call.
    pub(crate) fn may_stall(&self, hive: HiveId) -> bool {
        self.stall_of(hive).is_some_and(|stall| stall.begins)
    }

    /// Whether a hive of this source may hold malformed data.
    pub(crate) fn is_any_seeded(&self, source: SourceId) -> bool {
        let mut own = self.hives.keys().filter(|hive| {
            self.source_of(**hive).is_some_and(|(_, connected)| connected == source)
        });
        own.any(|hive| self.may_be_malformed(*hive))
    }

    /// A request is surely in flight, of a call that only reads or of another.
    fn note_read(&mut self, hive: HiveId, kind: Kind) {
        let source = self.source_of(hive).map(|(_, source)| source);
        if let Some(stall) = source.and_then(|source| self.stalls.get_mut(&source)) {
            stall.has_read.0 |= kind == Kind::Reads;
        }
    }

    /// The reading of a value has timed out.
    pub(crate) fn note_value_read(&mut self, hive: HiveId, key: Guid, name: &FoldedName) {
        let source = self.source_of(hive).map(|(_, source)| source);
        if let Some(stall) = source.and_then(|source| self.stalls.get_mut(&source)) {
            stall.values_read.0.push((hive, key, name.clone()));
        }
    }

    /// Layer deletions that were not answered have told whom they could, since `before`, in which the change that they
    /// follow has been told of: the late answer does not tell those again whose own keys they have said to be out of
    /// view (P-570).
    pub(crate) fn note_ends(&mut self, before: &State) {
        if self.stalls.is_empty() {
            return;
        }
        let told = Arc::new(self.told_of_ends(before));
        self.change_ends(|ends| ends.is_none().then(|| told.clone()));
    }

    /// A watch is there no more, and whoever arms one anew has been told nothing by it (P-570).
    pub(crate) fn forget_ends(&mut self, watch: DescriptionId) {
        self.change_ends(|ends| {
            let told = ends.as_ref().filter(|told| told.contains(&watch))?;
            Some(Arc::new(told.iter().copied().filter(|other| *other != watch).collect()))
        });
    }

    fn change_ends(&mut self, changed: impl Fn(&Ends) -> Ends) {
        let sources: Vec<SourceId> = self.stalls.keys().copied().collect();
        for stalled in sources {
            let Some(stall) = self.stalls.get(&stalled) else { continue };
            let of_late = |late: &Late| match &late.change {
                Change::Layer { told, .. } => changed(told),
                _ => None,
            };
            let all: Vec<Ends> = stall.late.iter().map(of_late).collect();
            for (index, ends) in all.into_iter().enumerate().filter(|(_, ends)| ends.is_some()) {
                if let Some(stall) = self.stalls.get_mut(&stalled)
                    && let Some(late) = stall.late.get_mut(index)
                    && let Change::Layer { told, .. } = &mut late.change
                {
                    *told = ends;
                }
            }
        }
    }

    /// Notes what will be answered late, and what it waits for.
    pub(crate) fn will_arrive(&mut self, late: Late) {
        let behind = late.holders(self);
        if let Some(Effect { about: About::Descriptor(key), .. }) = &late.effect {
            // No commit was the last to set it, for marks.
            self.secured_within.0.remove_mut(&(late.hive, *key));
        }
        if let Some((_, source)) = self.source_of(late.hive)
            && let Some(stall) = self.stalls.get_mut(&source)
        {
            stall.late.push_back_mut(Late { behind, ..late });
        }
    }

    /// The deletion of a layer that had no slot is owed no more, since there is one of that name again (P-187).
    pub(crate) fn forgive_unsent(&mut self, slot: SlotId, layer: &FoldedName) {
        let source = self.slots.get(&slot).and_then(|slot| slot.connection);
        let Some(stall) = source.and_then(|source| self.stalls.get_mut(&source)) else { return };
        for index in 0..stall.late.len() {
            let Some(mut late) = stall.late.get(index).cloned() else { continue };
            match &mut late.change {
                Change::Layer { name, sent: Sent::Never, .. } if name == layer => {
                    late.change = Change::None;
                }
                Change::Layer { name, sent: Sent::Perhaps, is_forgiven, .. } if name == layer => {
                    *is_forgiven = true;
                }
                _ => continue,
            }
            stall.late.set_mut(index, late);
        }
    }
}

impl Work<'_> {
    /// Whether the call took as long as a request that is not answered.
    pub(crate) fn has_timed_out(&self) -> bool {
        // The end of a lifetime ends what is in flight in its transaction (P-158, P-175).
        let within = self.committing.or(self.transaction);
        let is_over = within.is_some_and(|id| self.is_doubtful(id));
        self.has_lasted_a_request() || is_over
    }

    /// Whether it took that long, whatever has ended it.
    fn has_lasted_a_request(&self) -> bool {
        let (began, ended) = self.span();
        ended.saturating_sub(began) >= self.request_timeout_ms * NANOSECONDS_PER_MILLISECOND
    }

    /// The call ends as it does only when a request of it has timed out.
    pub(crate) fn must_have_timed_out(&mut self) {
        if !self.has_timed_out() {
            self.ends_at_no_such_time();
        }
    }

    /// Whether the call ended when its first request had been in vain.
    fn has_ended_in_time(&self, hive: HiveId) -> bool {
        let (began, ended) = self.span();
        // A call may wait for changes that are in flight before it asks (P-266, P-364), and one that changes
        // something may ask first what there is to tell (P-361).
        let waits = u64::from(self.state.stall_of(hive).is_some_and(Stall::has_changes));
        let tells = u64::from(self.kind == Kind::Changes && !self.state.watches.is_empty());
        let latest = self.request_timeout_ms * (1 + waits + tells) + SLACK_MS;
        ended.saturating_sub(began) <= latest * NANOSECONDS_PER_MILLISECOND
    }

    /// A request to a stalled source: it is not answered, or not even sent.
    pub(crate) fn unanswered(&mut self, hive: HiveId) -> Errno {
        covers!(self.covered, "FAIL-32", "ERR-21");
        if self.has_lasted_a_request() {
            covers!(self.covered, "FAIL-16", "FAIL-17", "SRC-02");
            if let Some(slot) = self.state.slot_of_mut(hive) {
                slot.has_timed_out.0 = true;
            }
            if self.request_timeout_ms != u64::from(Limits::default().request_timeout_ms) {
                covers!(self.covered, "CONF-02");
            }
        }
        if !self.has_timed_out() || !self.has_ended_in_time(hive) {
            self.ends_at_no_such_time();
        }
        if self.sent.is_none() {
            // Where nobody watches, a commit asks for nothing before it.
            let is_alone = self.committing.is_some() && self.state.watches.is_empty();
            let requests_max = if is_alone { 1 } else { self.state.requests_max() };
            self.sent = Some(self.state.take_slots(hive, requests_max));
        }
        if self.sent == Some(Sent::Surely) {
            covers!(self.covered, "RSI-39");
            self.state.note_read(hive, self.kind);
        }
        // The source may also go while the call waits for it (§10.1, "Source crash").
        self.may_have_ended_uncounted_in(self.state.clone());
        if !self.may_be_sent() {
            covers!(
                self.covered,
                "RSI-09",
                "RSI-10",
                "RSI-33",
                "RSI-34",
                "RSI-36",
                "RSI-37",
                "RSI-38",
                "RSI-42",
                "RSI-43"
            );
            if self.state.limits.differ(|limits| limits.max_concurrent_rsi_requests) {
                covers!(self.covered, "CONF-16");
            }
        }
        Errno::ETIMEDOUT
    }

    /// Whether the call that has just timed out may have had a slot: those before it have one each.
    fn may_be_sent(&self) -> bool {
        self.sent != Some(Sent::Never)
    }

    /// The change waits for a write lock, and its source may have stopped answering: the change may still be in
    /// flight when the call has timed out.
    pub(crate) fn may_be_kept(&mut self, place: &Arc<Place>, mutation: Mutation) {
        if self.state.may_stall(place.hive) {
            self.may_arrive(place, mutation);
        }
    }

    /// The call has timed out at its first request, which may have been this change (P-245).
    pub(crate) fn may_arrive(&mut self, place: &Arc<Place>, mutation: Mutation) {
        let hive = place.hive;
        if !self.may_be_sent() {
            return;
        }
        let late = match self.transaction {
            None => {
                let (rest, effect) = (Rest::of(&mutation), Effect::of(&mutation, place));
                Late::new(hive, Change::Mutation(mutation), rest, Some(effect))
            }
            Some(id) if self.state.bound(id).is_some() => {
                let logged = Logged::new(mutation, place.clone());
                Late::new(hive, Change::Logged(id, logged), Rest::default(), None)
            }
            // The transaction would have been bound first.
            Some(_) => return,
        };
        let mut state = self.state.clone();
        state.will_arrive(late);
        self.unanswered_in(state);
    }

    /// Another state in which the call may have timed out, or have met the end of a source that did not answer.
    pub(crate) fn unanswered_in(&mut self, state: State) {
        if self.sent.is_some() {
            self.may_have_ended_uncounted_in(state.clone());
        }
        self.timed_out_in(state);
    }

    /// Another state in which the call may have timed out.
    pub(crate) fn timed_out_in(&mut self, state: State) {
        if self.has_timed_out() {
            self.otherwise.push((Outcome::Failed(Errno::ETIMEDOUT), state));
        }
    }

    /// Another way for the call to end, if a source has stopped answering in its course.
    pub(crate) fn stalled_in(&mut self, outcome: Outcome, state: State) {
        if self.has_timed_out() {
            self.otherwise.push((outcome, state));
        }
    }

    /// The call has timed out at the commit of a transaction (D-81, P-246).
    pub(crate) fn commit_unanswered(&mut self, id: TransactionId, bound: &Bound) {
        if !self.may_be_sent() {
            return;
        }
        let active = self.state.clone();
        let mut dying = active.clone();
        will_be_committed(&mut dying, id, bound);
        // The transaction ends with its source, which has committed it or not (P-155, P-249).
        self.may_have_ended_uncounted_in(dying);
        let is_unanswered = self.has_lasted_a_request();
        in_flight(&mut self.state, id, bound, is_unanswered);
        if self.sent != Some(Sent::Surely) {
            self.timed_out_in(active);
        } else if !is_unanswered {
            // The lifetime was over before the request's own time.
            covers!(self.covered, "FAIL-36", "TXN-46");
        }
    }

    /// The source may stop answering with the commit that comes.
    pub(crate) fn commit_may_stall(&mut self, id: TransactionId, bound: &Bound) {
        if self.state.may_stall(bound.hive) {
            let active = self.state.clone();
            let mut state = active.clone();
            in_flight(&mut state, id, bound, self.has_lasted_a_request());
            self.stall_endings.clear();
            self.timed_out_in(state);
            // The commit is the first request of its call where nobody watches. The questions for what there is to
            // tell may leave it no slot (D-81, P-552).
            if !active.watches.is_empty() && !active.has_slot_after_questions(bound.hive) {
                self.timed_out_in(active);
            }
        }
    }

    /// A request may be the one that is not answered. So far it is one that changes nothing.
    pub(crate) fn may_stall_at(&mut self, hive: HiveId) {
        if self.state.may_stall(hive) {
            let state = self.state.clone();
            self.before_request = Some(state.clone());
            let change = Change::None;
            self.stall_endings.push(StallEnding { hive, state, change, purpose: None });
        }
    }

    /// A request has changed something: it may not have been answered, or the next may not be.
    pub(crate) fn may_stall_after(&mut self, hive: HiveId) {
        if !self.state.may_stall(hive) {
            return;
        }
        if let Some(before) = self.before_request.take() {
            let change = self.change_since(&before, hive);
            let ending = StallEnding { hive, state: before, change, purpose: None };
            self.stall_endings.push(ending);
        }
        self.may_stall_at(hive);
    }

    /// The request that follows in a transaction may not be answered: not only with the state as it is before it, but
    /// also with this one, from which it leads to the other.
    pub(crate) fn may_stall_between(&mut self, hive: HiveId, state: State, done: &State) {
        let change = self.transaction.map_or(Change::None, |id| within(id, &state, done));
        self.stall_endings.push(StallEnding { hive, state, change, purpose: None });
        self.before_request = Some(self.state.clone());
    }

    /// Marks the point after the allocation of a number for a change of the hive. Nothing of it has changed, if its
    /// source goes now (P-425).
    pub(crate) fn allocated(&mut self, hive: HiveId) {
        self.may_stall_after(hive);
        self.may_have_ended_uncounted_in(self.state.clone());
    }

    /// What the last request has brought.
    fn change_since(&self, before: &State, hive: HiveId) -> Change {
        if let Some(id) = self.transaction {
            return within(id, before, &self.state);
        }
        let (former, database) = (before.database(hive), self.state.database(hive));
        // A mutation that changes nothing is one all the same (P-85, P-88), the allocation of a number is none.
        let is_request = before.numbering() == self.state.numbering();
        if former != database || is_request {
            Change::Contents(Box::new(database.clone()))
        } else {
            Change::None
        }
    }

    /// What the requests so far were for: whatever of it has been carried out, or will be, is to be told.
    pub(crate) fn stall_endings_concern(
        &mut self,
        before: &State,
        touched: Touched<'_>,
        place: &Place,
    ) {
        let hive = touched.hive();
        let since = before.database(hive);
        // The mutation has been answered in all that come after the one at which it was in flight.
        let mut is_answered = false;
        for ending in self.stall_endings.iter_mut().filter(|ending| ending.hive == hive) {
            let is_in_flight = ending.change != Change::None;
            if is_in_flight || is_answered {
                let (about, place) = (About::of(touched), Arc::new(place.clone()));
                let effect = Effect { since: Some(Box::new(since.clone())), about, place };
                let done = self.state.database(hive).clone();
                ending.purpose = Some(Purpose { done, effect, since: since.clone(), is_answered });
            }
            is_answered |= is_in_flight;
        }
    }

    /// The ways in which the call may have timed out in its course.
    pub(crate) fn take_stall_endings(&mut self) -> Vec<(Outcome, State)> {
        let endings = std::mem::take(&mut self.stall_endings);
        if !self.has_timed_out() {
            return Vec::new();
        }
        let mut distinct: Vec<State> = Vec::new();
        for ending in endings {
            for state in ending.states() {
                if !distinct.contains(&state) {
                    distinct.push(state);
                }
            }
        }
        distinct.into_iter().map(|state| (Outcome::Failed(Errno::ETIMEDOUT), state)).collect()
    }
}

impl StallEnding {
    /// What it may leave.
    fn states(self) -> Vec<State> {
        let StallEnding { hive, state, change, purpose } = self;
        let Some(purpose) = purpose else {
            let mut after = state;
            if change != Change::None {
                after.will_arrive(Late::new(hive, change, Rest::default(), None));
            }
            return vec![after];
        };
        match purpose.created() {
            Some(key) => purpose.creation(key, hive, &state, &change),
            None => purpose.other(hive, &state, change),
        }
    }
}

impl Purpose {
    /// The key that it makes.
    fn created(&self) -> Option<Guid> {
        self.done.keys.keys().find(|key| !self.since.keys.contains_key(key)).copied()
    }

    /// Whether an entry names the key that it makes.
    fn names(&self, key: Guid, database: &Database) -> bool {
        let record = self.done.keys.get(&key);
        let place = record.and_then(|record| Some((record.parent?, record.name.folded())));
        let entries = place.and_then(|(parent, name)| database.lookup(parent, name.as_str()));
        entries.is_some_and(|all| all.values().any(|entry| entry.target == Target::Key(key)))
    }

    /// Whether a HIDDEN entry of the place that it is about has gone.
    fn has_uncovered(&self, now: &Database) -> bool {
        let About::Child(parent, name) = &self.effect.about else { return false };
        let Some(former) = self.since.lookup(*parent, name.as_str()) else { return false };
        let entries = now.lookup(*parent, name.as_str());
        let is_hidden = |layer| {
            let entry = entries.and_then(|entries| entries.get(layer));
            entry.is_some_and(|entry| entry.target == Target::Hidden)
        };
        former.iter().any(|(layer, entry)| entry.target == Target::Hidden && !is_hidden(layer))
    }

    /// A creation: nobody is told of the key before its record is there, which is asked for late if need be
    /// (P-261).
    fn creation(self, key: Guid, hive: HiveId, state: &State, change: &Change) -> Vec<State> {
        let (now, effect) = (state.database(hive), &self.effect);
        if now.keys.contains_key(&key) {
            return self.told(hive, state, change.clone());
        }
        let is_named = |database: &Database| self.names(key, database);
        let Change::Contents(next) = change else {
            // The record follows the entry, with no question between them.
            let has_failed = !is_named(now);
            return if has_failed { self.told(hive, state, Change::None) } else { Vec::new() };
        };
        let late = |effect: Effect| {
            let rest = Rest::between(next, &self.done);
            // A removal of a HIDDEN entry is a change of its own (P-267).
            let rest = if is_named(next) { rest } else { Rest::default() };
            Late::new(hive, change.clone(), rest, Some(effect))
        };
        let mut untold = state.clone();
        untold.will_arrive(late(effect.clone()));
        let mut states = vec![untold];
        if self.has_uncovered(now) {
            // What the removal of the HIDDEN entry has shown may be told of at once (P-174).
            let effect = Effect { since: Some(Box::new(now.clone())), ..effect.clone() };
            for mut told in arrival::told(state, hive, &self.effect) {
                told.will_arrive(late(effect.clone()));
                states.push(told);
            }
        }
        states
    }

    /// Another mutation: what has been answered by then is told of, and the rest has no effect (P-260).
    fn other(self, hive: HiveId, state: &State, change: Change) -> Vec<State> {
        let Change::Contents(next) = &change else { return self.told(hive, state, change) };
        if self.is_answered {
            return self.told(hive, state, change);
        }
        let rest = Rest::between(next, &self.done);
        let mut after = state.clone();
        after.will_arrive(Late::new(hive, change, rest, Some(self.effect)));
        vec![after]
    }

    /// The mutation has had its effects, and what else it asks for may come late.
    fn told(self, hive: HiveId, state: &State, change: Change) -> Vec<State> {
        let mut states = arrival::told(state, hive, &self.effect);
        if change != Change::None {
            let late = Late::new(hive, change, Rest::default(), None);
            states.iter_mut().for_each(|state| state.will_arrive(late.clone()));
        }
        states
    }
}

/// What a request in a transaction has brought, which leads from one state to the next.
fn within(id: TransactionId, before: &State, after: &State) -> Change {
    let (Some(former), Some(bound)) = (before.bound(id), after.bound(id)) else {
        return Change::None;
    };
    match bound.log.last() {
        Some(logged) if bound.log.len() > former.log.len() => Change::Logged(id, logged.clone()),
        // It was refused, with the lock.
        _ if bound.contents.is_some() && former.contents.is_none() => Change::Lock(id),
        _ => Change::None,
    }
}

/// The commit of a transaction is in flight, and its caller is gone.
fn in_flight(state: &mut State, id: TransactionId, bound: &Bound, is_unanswered: bool) {
    state.set_phase(id, Phase::TimedOut);
    if let Some(transaction) = state.transactions.get_mut(&id) {
        transaction.history.0.is_unanswered = is_unanswered;
    }
    will_be_committed(state, id, bound);
}

fn will_be_committed(state: &mut State, id: TransactionId, bound: &Bound) {
    let hive = bound.hive;
    let unanswered = state.stall_of(hive).map_or(Vec::new(), |stall| stall.of_transaction(id));
    let change = Change::Commit(id, Box::new(bound.clone()), unanswered);
    state.will_arrive(Late::new(hive, change, Rest::default(), None));
}
