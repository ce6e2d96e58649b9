//! What late responses bring: the effects that the kernel has kept for them.
//!
//! States PSD-005 §10.1 ("Request timeout") and §5.1 ("Isolation", what becomes of a retained log), with D-55,
//! D-81, D-93, P-174, P-240 to P-249 and P-260 to P-269. How a request comes to be late is in `stalls`. Late
//! responses come in the order of their requests, but for those that wait for the write lock that a commit in
//! flight has.

use std::sync::Arc;

use crate::audit::AuditPattern;
use crate::audit_events::looked_at;
use crate::backup::restored::Restored;
use crate::coverage::{Covered, covers};
use crate::database::{Database, Guid, HiveId, KeyRecord, Map, Target, Time};
use crate::deletion::name_lost;
use crate::input::{Caller, ProcessId, SourceId, UnixTime};
use crate::layer_commit::{Telling, committed_late};
use crate::layer_effects;
use crate::layers::{Touched, machine};
use crate::names::FoldedName;
use crate::outcome::Outcome;
use crate::security::Token;
use crate::slots;
use crate::stalls::Sent;
use crate::state::{Generation, Place, State};
use crate::step::{Step, Work};
use crate::transactions::{Bound, Logged, Mutation, TransactionId, arrived, carried_out};
use crate::watches;

/// A request in flight whose caller is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Late {
    pub(crate) hive: HiveId,
    pub(crate) change: Change,
    /// What the kernel asks for when that has been answered.
    pub(crate) rest: Rest,
    /// What follows in the kernel.
    pub(crate) effect: Option<Effect>,
}

/// The requests of a mutation that come after the one which is late (P-260, P-261).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    created: Option<(Guid, KeyRecord)>,
    written: Option<(Guid, Time)>,
}

/// What the source does when it carries the request out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing: it was a question, or something without a trace.
    None,
    /// The hive is like this then. Nothing else changes it before.
    Contents(Box<Database>),
    /// A mutation outside transactions, without its last write time.
    Mutation(Mutation),
    /// The transaction is like this then.
    Transaction(TransactionId, Box<Bound>),
    /// One more mutation in the transaction.
    Logged(TransactionId, Logged),
    /// A transaction is committed that was like this, with mutations in it that are not answered either.
    Commit(Box<Bound>, Vec<Logged>),
    /// A restore is committed.
    Restore(Box<Restored>),
    /// A layer is deleted in all hives of the source, if the request has a slot.
    Layer(FoldedName, Sent),
}

/// The effects of a mutation in the kernel (FAIL-21 to FAIL-24).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    /// The hive before the mutation; what it is when the response comes, if that is not known before.
    pub(crate) since: Option<Box<Database>>,
    pub(crate) about: About,
    pub(crate) place: Arc<Place>,
}

/// What a mutation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Value(Guid, FoldedName),
    Values(Guid),
    Descriptor(Guid),
    Child(Guid, FoldedName),
}

impl About {
    pub(crate) fn of(touched: Touched<'_>) -> About {
        match touched {
            Touched::Value(_, key, name) => About::Value(key, name.clone()),
            Touched::Values(_, key) => About::Values(key),
            Touched::Descriptor(_, key) => About::Descriptor(key),
            Touched::Child(_, parent, name) => About::Child(parent, name.clone()),
        }
    }

    fn touched(&self, hive: HiveId) -> Touched<'_> {
        match self {
            About::Value(key, name) => Touched::Value(hive, *key, name),
            About::Values(key) => Touched::Values(hive, *key),
            About::Descriptor(key) => Touched::Descriptor(hive, *key),
            About::Child(parent, name) => Touched::Child(hive, *parent, name),
        }
    }
}

impl Rest {
    /// That of a mutation of which nothing has been answered.
    pub(crate) fn of(mutation: &Mutation) -> Rest {
        Rest { created: None, written: mutation.time().or_else(|| mutation.made()) }
    }

    /// What leads from a hive with a part of a mutation to the same with all of it.
    pub(crate) fn between(part: &Database, all: &Database) -> Rest {
        let created = all.keys.iter().find(|(key, _)| !part.keys.contains_key(key));
        let is_written = |key: &Guid, time: Time| {
            part.keys.get(key).is_some_and(|former| former.last_write_time != time)
        };
        let mut times = all.keys.iter().map(|(key, record)| (*key, record.last_write_time));
        Rest {
            created: created.map(|(key, record)| (*key, record.clone())),
            written: times.find(|(key, time)| is_written(key, *time)),
        }
    }

    fn carry_out(&self, database: &mut Database, at: UnixTime) {
        if let Some((key, record)) = &self.created {
            database.create_key(*key, record.clone());
        }
        if let Some((key, time)) = self.written {
            database.write_time(key, until(time, at));
        }
    }
}

impl Effect {
    /// That of a mutation of which nothing has been answered.
    pub(crate) fn of(mutation: &Mutation, place: &Arc<Place>) -> Effect {
        let about = About::of(mutation.touched(place.hive));
        Effect { since: None, about, place: place.clone() }
    }

    /// The state before, as far as it matters for what is to be told.
    fn before(&self, state: &State, hive: HiveId) -> State {
        let mut before = state.clone();
        if let Some(since) = &self.since {
            *before.database_mut(hive) = (**since).clone();
        }
        before
    }

    /// Finds out which keys have lost their last name (FAIL-24).
    fn track_orphans(
        &self,
        before: &State,
        state: &mut State,
        hive: HiveId,
        covered: &mut Covered,
    ) {
        let About::Child(parent, name) = &self.about else { return };
        let Some(entries) = before.database(hive).lookup(*parent, name.as_str()) else { return };
        let known = |state: &State| (state.orphans.size(), state.database(hive).keys.size());
        let former = known(state);
        for entry in entries.values() {
            name_lost(state, hive, entry.target, covered);
        }
        if known(state) != former {
            covers!(covered, "FAIL-24");
        }
    }
}

/// The states in which a mutation has been told of and counted, but for layers and parameters: to each watch
/// as it was, or as something unknown (P-242).
pub(crate) fn told(state: &State, hive: HiveId, effect: &Effect) -> Vec<State> {
    let covered = &mut Covered::new();
    let before = effect.before(state, hive);
    let mut counted = state.clone();
    effect.track_orphans(&before, &mut counted, hive, covered);
    counted.change_generation(hive, Generation::step);
    if machine(state) == Some(hive) {
        // What it concerns is not read before the next change (P-241).
        counted.layers_unanswered |= effect.about.touched(hive).concerns_layers(&before);
        counted.configuration_unread = true;
    }
    let touched = effect.about.touched(hive);
    let mut exact = counted.clone();
    watches::changed(&before, &mut exact, touched, &effect.place, covered);
    let mut unknown = counted;
    watches::changed_somehow(&before, &mut unknown, touched, &effect.place, covered);
    if exact == unknown { vec![exact] } else { vec![exact, unknown] }
}

/// A state on the way through the late responses, with what was emitted and shown by then.
struct Arriving {
    state: State,
    covered: Covered,
    audit: Vec<AuditPattern>,
}

/// The source has carried out all that it kept, and has answered it (P-241 to P-247).
pub(crate) fn released(state: &State, source: SourceId, at: UnixTime) -> Vec<Step> {
    let mut first = state.clone();
    first.pass_time(at);
    first.enumerations = Map::new_sync();
    let Some(stall) = first.stalls.get(&source).cloned() else { return vec![step_of(first)] };
    first.stalls.remove_mut(&source);
    let mut covered = Covered::new();
    if stall.has_requests() {
        covers!(covered, "RSI-40", "RSI-44", "SRC-04", "SRC-05");
        if stall.late.is_empty() {
            covers!(covered, "FAIL-20");
        } else {
            covers!(covered, "RSI-41");
        }
    }
    // Questions are among what is answered, and their answers are looked at as ever (P-390).
    let reported = if stall.may_have_requests() { looked_at(&first) } else { None };
    if reported.is_some() {
        covers!(covered, "FAIL-29");
    }
    let audit = reported.into_iter().collect();
    let mut arriving = vec![Arriving { state: first, covered, audit }];
    let ordered = in_order(&stall.late);
    for (index, late) in ordered.iter().enumerate() {
        if late.is_never_there(&ordered[index + 1..]) {
            continue;
        }
        let mut next = Vec::new();
        for one in arriving {
            let Ok(all) = late.arrive(one, at) else { return vec![outside(state)] };
            next.extend(all);
        }
        arriving = distinct(next);
    }
    for late in ordered.iter().filter(|late| late.creation().is_some()) {
        let told = arriving.into_iter().flat_map(|one| late.tell_of_creation(one, at));
        arriving = distinct(told.collect());
    }
    let outcome = || Outcome::Nothing;
    let steps = arriving.into_iter().map(|Arriving { state: next, covered, audit }| Step {
        outcome: outcome(),
        covered,
        contest: None,
        audit,
        next,
    });
    steps.collect()
}

fn distinct(all: Vec<Arriving>) -> Vec<Arriving> {
    let mut distinct: Vec<Arriving> = Vec::new();
    for one in all {
        if !distinct.iter().any(|other| other.state == one.state) {
            distinct.push(one);
        }
    }
    distinct
}

fn step_of(next: State) -> Step {
    let (covered, audit) = (Covered::new(), Vec::new());
    Step { outcome: Outcome::Nothing, covered, contest: None, audit, next }
}

/// A change that waits for a transaction which nobody has ended: how long it waits is not followed.
fn outside(state: &State) -> Step {
    let words = "a late change that waits for the write lock of an open transaction";
    Step { outcome: Outcome::Outside(words), ..step_of(state.clone()) }
}

/// The requests in the order in which they are carried out: a commit frees the write lock for which those wait
/// that were sent before it.
fn in_order(late: &rpds::VectorSync<Late>) -> Vec<Late> {
    let mut ordered: Vec<Late> = Vec::new();
    for one in late.iter() {
        let is_commit = matches!(one.change, Change::Commit(..) | Change::Restore(_));
        let waits = |other: &Late| {
            is_commit
                && match other.change {
                    Change::Contents(_)
                    | Change::Mutation(_)
                    | Change::Transaction(..)
                    | Change::Logged(..) => other.hive == one.hive,
                    // It waits for the locks of all hives of its source (P-65).
                    Change::Layer(..) => true,
                    Change::None | Change::Commit(..) | Change::Restore(_) => false,
                }
        };
        let place = ordered.iter().position(waits).unwrap_or(ordered.len());
        ordered.insert(place, one.clone());
    }
    ordered
}

impl Late {
    /// Whether it waits for a write lock that a transaction has (P-65, P-152).
    fn waits(&self, state: &State) -> bool {
        let holder = state.lock_holder(self.hive);
        match &self.change {
            Change::Contents(_) | Change::Mutation(_) => holder.is_some(),
            Change::Transaction(id, bound) => {
                let is_free = holder.is_none_or(|holder| holder == *id);
                !is_free && bound.contents.is_some() && state.bound(*id).is_some()
            }
            Change::Logged(id, _) => {
                holder.is_some_and(|holder| holder != *id) && state.bound(*id).is_some()
            }
            Change::Layer(_, sent) => {
                let slot = state.hives.get(&self.hive).map(|hive| hive.slot);
                *sent != Sent::Never && slot.is_some_and(|slot| state.is_any_locked(slot))
            }
            Change::None | Change::Commit(..) | Change::Restore(_) => false,
        }
    }

    /// The same where the hives are given something besides.
    pub(crate) fn over(&self, given: impl Fn(HiveId, &Database) -> Database) -> Late {
        let mut late = self.clone();
        if let Change::Contents(contents) = &mut late.change {
            **contents = given(self.hive, contents);
        }
        if let Some(since) = late.effect.as_mut().and_then(|effect| effect.since.as_mut()) {
            **since = given(self.hive, since);
        }
        late
    }

    /// The response comes.
    ///
    /// # Errors
    ///
    /// If the request waits for a lock that a transaction may have which is still open.
    fn arrive(&self, arriving: Arriving, at: UnixTime) -> Result<Vec<Arriving>, ()> {
        let Arriving { mut state, mut covered, audit } = arriving;
        if self.waits(&state) {
            return Err(());
        }
        let found = state.clone();
        match &self.change {
            Change::None => {}
            Change::Contents(_) | Change::Mutation(_) => {
                carry_out(&self.change, Some(&self.rest), &mut state, self.hive, at);
            }
            Change::Transaction(id, bound) => state.replace_bound(*id, bound, at),
            Change::Logged(id, logged) => state.take_late(*id, logged, at),
            Change::Commit(bound, unanswered) => {
                let arrived = |work: &mut Work<'_>| arrived(work, bound, unanswered);
                return Ok(by_the_kernel(state, covered, audit, at, arrived));
            }
            Change::Restore(restored) => {
                let arrived = |work: &mut Work<'_>| restored.arrived(work);
                return Ok(by_the_kernel(state, covered, audit, at, arrived));
            }
            Change::Layer(name, sent) => {
                let owed = || {
                    let mut state = state.clone();
                    layer_effects::owe_in(&mut state, self.hive, name);
                    Arriving { state, covered, audit: audit.clone() }
                };
                let mut all = Vec::from_iter((*sent != Sent::Surely).then(owed));
                if *sent != Sent::Never {
                    all.extend(self.delete_layer(name, state, covered, audit));
                }
                return Ok(all);
            }
        }
        state.enumerations = Map::new_sync();
        let Some(effect) = &self.effect else {
            return Ok(vec![Arriving { state, covered, audit }]);
        };
        let is_known = |key: Guid| found.database(self.hive).keys.contains_key(&key);
        let is_refused = match &self.change {
            Change::Mutation(Mutation::CreateKey { parent, .. }) => !is_known(*parent),
            Change::Mutation(_) => !is_known(effect.place.key()),
            _ => false,
        };
        if is_refused {
            // A refusal has no effects.
            covers!(covered, "FAIL-18", "FAIL-19");
            let mut all = vec![Arriving { state: found.clone(), covered, audit: audit.clone() }];
            if matches!(self.change, Change::Mutation(Mutation::DeleteValue { .. })) {
                // A source may have nothing against the removal (P-09, P-46).
                let mut state = found;
                state.change_generation(self.hive, Generation::step);
                all.push(Arriving { state, covered, audit });
            }
            return Ok(all);
        }
        let arriving = Arriving { state, covered, audit };
        if self.creation().is_some() {
            return Ok(vec![arriving]);
        }
        let before = effect.before(&found, self.hive);
        Ok(self.follow(effect, &before, arriving, at))
    }

    /// The record of a late creation is there, as the last of all that was in flight (P-380).
    fn tell_of_creation(&self, mut arriving: Arriving, at: UnixTime) -> Vec<Arriving> {
        let (Some(effect), Some(creation)) = (&self.effect, self.creation()) else {
            return vec![arriving];
        };
        if !creation.is_named(&arriving.state) {
            creation.drop(&mut arriving.state);
            return vec![arriving];
        }
        let before = creation.without(&arriving.state);
        self.follow(effect, &before, arriving, at)
    }

    /// The effects of a mutation that is done.
    fn follow(
        &self,
        effect: &Effect,
        before: &State,
        arriving: Arriving,
        at: UnixTime,
    ) -> Vec<Arriving> {
        let mut shows = Covered::new();
        covers!(shows, "FAIL-21");
        if effect.about.touched(self.hive).concerns_layers(before) {
            covers!(shows, "FAIL-23");
        }
        let tellings = if arriving.state.watches.is_empty() {
            vec![Telling::Exact]
        } else {
            vec![Telling::Exact, Telling::Unknown]
        };
        let (touched, place) = (effect.about.touched(self.hive), &effect.place);
        let mut all = Vec::new();
        for telling in tellings {
            let Arriving { state, covered, audit } = &arriving;
            all.extend(by_the_kernel(state.clone(), *covered, audit.clone(), at, |work| {
                let mut covered = work.covered;
                effect.track_orphans(before, &mut work.state, self.hive, &mut covered);
                work.covered = covered;
                committed_late(work, before, touched, place, telling);
            }));
        }
        for told in &mut all {
            told.covered.add(&shows);
            if told.state.watches != arriving.state.watches {
                covers!(told.covered, "FAIL-22");
            }
        }
        all
    }

    fn delete_layer(
        &self,
        name: &FoldedName,
        mut state: State,
        mut covered: Covered,
        audit: Vec<AuditPattern>,
    ) -> Vec<Arriving> {
        let before = state.clone();
        let Some(slot) = state.hives.get(&self.hive).map(|hive| hive.slot) else { return vec![] };
        let hives: Vec<HiveId> = state.hives_of(slot).map(|(hive, _)| hive).collect();
        layer_effects::delete_at_source(&mut state, slot, name, &mut covered);
        for hive in &hives {
            state.change_generation(*hive, Generation::uncertain);
        }
        state.enumerations = Map::new_sync();
        let mut exact = state.clone();
        watches::layers_changed(&before, &mut exact, |hive| hives.contains(&hive), &mut covered);
        let mut unknown = state;
        watches::unknown(&mut unknown, &hives);
        let mut states = vec![exact];
        if unknown != states[0] {
            states.push(unknown);
        }
        let arriving = |state| Arriving { state, covered, audit: audit.clone() };
        states.into_iter().map(arriving).collect()
    }
}

/// Does what the source is asked for, with what comes after it if that is asked for as well, and nothing that
/// the kernel does then.
fn carry_out(change: &Change, rest: Option<&Rest>, state: &mut State, hive: HiveId, at: UnixTime) {
    match change {
        Change::Contents(contents) => {
            let former = state.database(hive).clone();
            let mut contents = (**contents).clone();
            rest.iter().for_each(|rest| rest.carry_out(&mut contents, at));
            stamp(&mut contents, &former, at);
            *state.database_mut(hive) = contents;
        }
        Change::Mutation(mutation) => {
            let database = state.database_mut(hive);
            mutation.change(database);
            rest.iter().for_each(|rest| rest.carry_out(database, at));
        }
        Change::Commit(bound, unanswered) => carried_out(state, bound, unanswered),
        Change::Restore(restored) => restored.carry_out(state),
        Change::Layer(name, sent) => {
            if *sent == Sent::Never {
                return;
            }
            let Some(slot) = state.hives.get(&hive).map(|hive| hive.slot) else { return };
            let hives: Vec<HiveId> = state.hives_of(slot).map(|(hive, _)| hive).collect();
            for hive in hives {
                state.database_mut(hive).delete_layer(name);
            }
        }
        Change::None | Change::Transaction(..) | Change::Logged(..) => {}
    }
}

/// A time of a request that may be sent as late as that.
pub(crate) fn until(time: Time, at: UnixTime) -> Time {
    let (Time::Within(began, _) | Time::At(began)) = time;
    Time::Within(began, at)
}

/// The source's clock says when a key was made (D-25). An entry whose key was not made has none (P-243).
fn stamp(contents: &mut Database, former: &Database, at: UnixTime) {
    let made: Vec<(Guid, Time)> = contents
        .keys
        .iter()
        .filter(|(key, _)| !former.keys.contains_key(key))
        .map(|(key, record)| (*key, record.last_write_time))
        .collect();
    for (key, time) in made {
        contents.write_time(key, until(time, at));
    }
    let leads_nowhere =
        contents.path_entries.values().flat_map(|names| names.values()).any(|layers| {
            layers.values().any(|entry| match entry.target {
                Target::Key(key) => {
                    !contents.keys.contains_key(&key) && !former.keys.contains_key(&key)
                }
                Target::Hidden => false,
            })
        });
    contents.seeded |= leads_nowhere;
}

/// Something that the kernel does for nobody.
fn by_the_kernel(
    state: State,
    covered: Covered,
    audit: Vec<AuditPattern>,
    at: UnixTime,
    action: impl FnOnce(&mut Work<'_>),
) -> Vec<Arriving> {
    let nobody = Caller { process: ProcessId(u32::MAX), token: Token::system() };
    let mut work = Work::of_the_kernel(&state, &nobody, at);
    action(&mut work);
    let steps = work.into_steps(Ok(Outcome::Nothing));
    steps
        .into_iter()
        .map(|step| {
            let mut covered = covered;
            covered.add(&step.covered);
            let audit = audit.iter().cloned().chain(step.audit).collect();
            Arriving { state: step.next, covered, audit }
        })
        .collect()
}

/// The states in which the end of a source may leave what it had kept: the first few requests carried out,
/// with no effects in the kernel (P-249).
pub(crate) fn forgotten(state: &State, source: SourceId, at: UnixTime) -> Vec<State> {
    let Some(stall) = state.stalls.get(&source).cloned() else { return vec![state.clone()] };
    let mut now = state.clone();
    now.stalls.remove_mut(&source);
    let mut states = vec![now.clone()];
    for late in in_order(&stall.late) {
        carry_out(&late.change, None, &mut now, late.hive, at);
        if !states.contains(&now) {
            states.push(now.clone());
        }
    }
    states
}

/// The source of these hives is gone: the slot goes Down.
pub(crate) fn died(state: &State, source: SourceId) -> Vec<State> {
    let mut states = forgotten(state, source, UnixTime::MAX);
    for after in &mut states {
        for late in state.stalls.get(&source).iter().flat_map(|stall| stall.late.iter()) {
            if let Change::Layer(name, _) = &late.change {
                // Not answered, carried out or not (P-264).
                layer_effects::owe_in(after, late.hive, name);
            }
        }
        slots::disconnect(after, source);
    }
    states
}
