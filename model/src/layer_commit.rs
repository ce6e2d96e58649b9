//! What follows a committed mutation before its call returns.
//!
//! States PSD-005 §2.6 ("Enforcement", the refresh of the affected layers), the generation steps of §6.3 and
//! the audit events of a refresh (§3.1), with D-51, D-52, D-57, P-02, P-15, P-25, P-41, P-112, P-241 and P-590. It has
//! several ways where a store was given something unseen. What a death makes of it is in `layer_deaths`.

use std::collections::BTreeSet;

use crate::audit_events::{bad_metadata, looked_at};
use crate::configuration;
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId, Map};
use crate::errno::Errno;
use crate::layer_deaths::{deaths, uncounted};
use crate::layer_effects::{delete_at_source, is_owed_no_more, step_affected};
use crate::layer_metadata::{Reading, metadata};
use crate::layer_refresh::{
    Death, Deaths, Reach, Refreshed, differing_names, refresh, resolve_layers_key,
    visible_metadata, waiting_names,
};
use crate::layer_stalls::{deletion_may_stall, tell_layers};
use crate::layers::{Touched, machine};
use crate::names::FoldedName;
use crate::outcome::Outcome;
use crate::removal_marks;
use crate::responses::Malformed;
use crate::state::{Generation, Place, SlotId, State};
use crate::step::{Asked, Work};
use crate::watches::{changed, changed_somehow, layers_changed};

/// What follows a committed mutation before its call returns: the generation step of its hive
/// (IOC-085), its watch events, and the refresh of the layers it concerns (LAYER-38). `place` is that
/// of the key that the call is about. The call has asked the hive for itself before, and is done then.
///
/// # Errors
///
/// EIO if metadata that the refresh read is malformed (D-52).
pub(crate) fn committed(
    work: &mut Work<'_>,
    before: &State,
    touched: Touched<'_>,
    place: &Place,
) -> Result<(), Errno> {
    let asked = if let Touched::Descriptor(..) = touched { Asked::Nothing } else { Asked::Again };
    let telling = work.telling(touched.hive(), asked);
    committed_as(work, before, touched, place, &Outcome::Done, telling)
}

/// What follows the commit of a transaction before its call returns: one step for all of it, none if it
/// changed nothing, and a single refresh of the layers it concerns (LAYER-39). The commit has taken place:
/// bad metadata does not fail it (D-52).
pub(crate) fn committed_transaction(work: &mut Work<'_>, before: &State, touched: &[Touched<'_>]) {
    if let Some(first) = touched.first() {
        let change = Change::of(before, touched, &Outcome::Done, true);
        work.state.change_generation(first.hive(), Generation::step);
        unread(work, &change);
        let _ = follow(work, &change, first.hive());
    }
}

/// A source that stops answering after a commit, or in a refresh that is made up for, fails no call, though
/// the layers and parameters are not read (P-154, P-241).
fn unread(work: &mut Work<'_>, change: &Change<'_>) {
    let hive = change.hive();
    if !work.state.may_stall(hive) || machine(&work.state) != Some(hive) {
        return;
    }
    let mut state = work.state.clone();
    state.layers_unanswered |= change.concerns_layers();
    let is_read_for =
        |touched: &Touched<'_>| configuration::is_read_for(change.before, *touched, &work.state);
    state.configuration_unread |= change.touched.iter().any(is_read_for);
    work.stalled_in(change.outcome.clone(), state);
}

/// What follows a committed mutation, as of [`committed`], in a call that comes to `outcome` unless the refresh fails.
///
/// # Errors
///
/// EIO if metadata that the refresh read is malformed (D-52).
pub(crate) fn committed_as(
    work: &mut Work<'_>,
    before: &State,
    touched: Touched<'_>,
    place: &Place,
    outcome: &Outcome,
    telling: Telling,
) -> Result<(), Errno> {
    work.stall_endings_concern(before, touched, place);
    unknown_events(work, before, touched, place, outcome);
    queue_events(work, before, touched, place, telling);
    let change = Change::of(before, std::slice::from_ref(&touched), outcome, false);
    work.state.change_generation(touched.hive(), Generation::step);
    follow(work, &change, touched.hive())
}

/// How a change is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// With its events.
    Exact,
    /// With OVERFLOW, as the state before it is not known.
    Unknown,
}

impl Telling {
    fn tell(
        self,
        before: &State,
        after: &mut State,
        touched: Touched<'_>,
        place: &Place,
        covered: &mut Covered,
    ) {
        match self {
            Telling::Exact => changed(before, after, touched, place, covered),
            Telling::Unknown => changed_somehow(before, after, touched, place, covered),
        }
    }
}

/// What a mutation brings at once whose response comes late (FAIL-21, FAIL-22, P-242, P-260).
pub(crate) fn committed_late(
    work: &mut Work<'_>,
    before: &State,
    touched: Touched<'_>,
    place: &Place,
    telling: Telling,
) {
    let hive = touched.hive();
    telling.tell(before, &mut work.state, touched, place, &mut work.covered);
    work.state.change_generation(hive, Generation::step);
}

/// What is asked for then (FAIL-23).
pub(crate) fn followed_late(
    work: &mut Work<'_>,
    before: &State,
    touched: &[Touched<'_>],
    is_transaction: bool,
) {
    let Some(hive) = touched.first().map(|first| first.hive()) else { return };
    let change = Change::of(before, touched, &Outcome::Nothing, is_transaction);
    let change = Change { is_told: true, ..change };
    // Nobody is there to hear of bad metadata.
    let _ = follow(work, &change, hive);
}

/// A source that stops answering when it is asked what there is to tell fails no call by that (P-242). What
/// follows is not answered either (P-241, P-260).
fn unknown_events(
    work: &mut Work<'_>,
    before: &State,
    touched: Touched<'_>,
    place: &Place,
    outcome: &Outcome,
) {
    if work.state.watches.is_empty() || !work.state.may_stall(touched.hive()) {
        return;
    }
    let mut other = work.state.clone();
    changed_somehow(before, &mut other, touched, place, &mut Covered::new());
    other.change_generation(touched.hive(), Generation::step);
    let change = Change::of(before, std::slice::from_ref(&touched), outcome, false);
    let concerns_layers = change.concerns_layers();
    other.layers_unanswered |= concerns_layers;
    other.configuration_unread |= configuration::is_read_for(before, touched, &other);
    let result = if concerns_layers { Err(Errno::ETIMEDOUT) } else { Ok(()) };
    work.stalled_in(change.outcome_of(result), other);
}

/// The refresh of the layers and the reading of the parameters for a change.
///
/// # Errors
///
/// EIO if the refresh met what fails a direct call.
fn follow(work: &mut Work<'_>, change: &Change<'_>, hive: HiveId) -> Result<(), Errno> {
    work.state.enumerations = Map::new_sync();
    let (makes_up, concerns_layers) = (change.makes_up(&work.state), change.concerns_layers());
    if makes_up && !concerns_layers {
        unread(work, change);
    }
    let since = work.endings();
    let is_of_layers = concerns_layers || makes_up;
    let result = if is_of_layers { refresh_layers(work, change, hive) } else { Ok(()) };
    // The parameters are read under the table as it has become, whatever became of it (P-169).
    let (outcome, is_required) = (&change.outcome_of(result), change.requires_refresh());
    let Change { before, touched, .. } = *change;
    let change = configuration::Change { before, touched, is_of_layers, result, outcome, since };
    configuration::follow(work, &change);
    if !is_required {
        work.report_rejected();
        return Ok(());
    }
    result
}

/// The refresh of the layers that a change concerns.
///
/// # Errors
///
/// EIO if metadata that the refresh read is malformed (D-52).
fn refresh_layers(work: &mut Work<'_>, change: &Change<'_>, hive: HiveId) -> Result<(), Errno> {
    let slots: Vec<SlotId> = work.state.slots.keys().copied().collect();
    for slot in slots {
        // Which of them the deletion of a layer aborts, and which have a write lock.
        work.state.bound_to(slot).into_iter().for_each(|id| work.settle(id));
    }
    let mut ways = ways(&work.state, change).into_iter();
    let Some(way) = ways.next() else { return Ok(()) };
    let mut covered = work.covered;
    let main = take(work, change, way, &mut covered);
    work.covered = covered;
    report(work, hive, &main);
    let mut distinct = vec![(main.state.clone(), main.result)];
    for way in ways {
        let is_forgiven = way.is_forgiven && way.then.is_none();
        let change = Change { is_forgiven, ..*change };
        let attempt = |work: &mut Work<'_>| take_all(work, &change, way, &mut Covered::new());
        let (other, has_to_wait) = work.try_beside(attempt);
        let result = if is_forgiven { Ok(()) } else { other.result };
        let other = (other.state, result);
        if !has_to_wait && !distinct.contains(&other) {
            distinct.push(other.clone());
            work.otherwise.push((change.outcome_of(result), other.0));
        }
    }
    let may_succeed = distinct.iter().any(|(_, result)| result.is_ok());
    mark_refreshed(work, change, &main);
    if !may_succeed && !main.bad_descriptors.is_empty() && change.requires_refresh() {
        covers!(work.if_refused, "LAYER-51");
    }
    work.state = main.state;
    main.result
}

/// What the refresh of a change shows that has changed the table by itself, if its call succeeds.
fn mark_refreshed(work: &mut Work<'_>, change: &Change<'_>, main: &Taken) {
    let layers = change.touched.iter().filter(|touched| touched.layer(&main.state).is_some());
    if main.result.is_ok() && layers.count() > work.state.limits.notification_queue_size as usize {
        covers!(work.covered, "CONF-51");
    }
    let is_late = matches!(change.outcome, Outcome::Nothing);
    let is_its_own = change.concerns_layers() && !change.makes_up(&work.state) && !is_late;
    if main.result.is_err() || !is_its_own || main.state.layers == work.state.layers {
        return;
    }
    covers!(work.if_done, "LAYER-23", "LAYER-30", "LAYER-38");
    if work.committing.is_some() {
        covers!(work.if_done, "LAYER-39", "LAYER-40");
    }
}

/// Queues the events of the mutation. Where a source may have died on the way, what it had carried out by
/// then may have been told or not (P-146).
fn queue_events(
    work: &mut Work<'_>,
    before: &State,
    touched: Touched<'_>,
    place: &Place,
    telling: Telling,
) {
    if work.state.watches.is_empty() {
        return;
    }
    // Who looks for what to tell may report what cannot be read (P-112).
    work.audit.extend(looked_at(&work.state));
    let told = work.prefixes().iter().filter_map(|(answer, prefix)| {
        let mut told = prefix.clone();
        telling.tell(before, &mut told, touched, place, &mut Covered::new());
        (told.watches != prefix.watches).then(|| (answer.clone(), told))
    });
    let told: Vec<(Outcome, State)> = told.collect();
    work.prefixes().extend(told);
    telling.tell(before, &mut work.state, touched, place, &mut work.covered);
}

/// The audit events of a refresh: for a response that let it have no round, for SDs of metadata keys that
/// it has surely met, and for whatever else it meets (LAYER-49, P-112).
fn report(work: &mut Work<'_>, hive: HiveId, taken: &Taken) {
    if let Some(malformed) = taken.rejected {
        work.rejected.by(hive, malformed);
        return;
    }
    let others = looked_at(&taken.state);
    work.audit.extend(others.clone());
    if !taken.bad_descriptors.is_empty() {
        let keys = &taken.bad_descriptors;
        let event = bad_metadata(&taken.state, hive, keys, &mut work.covered);
        work.audit.push(event);
        work.audit.extend(others);
    }
}

/// A committed change that concerns the layers.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) before: &'a State,
    /// Everything that it is about, in one hive; never empty.
    touched: &'a [Touched<'a>],
    /// What its call comes to unless the refresh fails.
    outcome: &'a Outcome,
    /// Whether a refresh that fails leaves the call a success.
    pub(crate) is_transaction: bool,
    /// Whether it was counted and told of before, by the answer to a commit or by a late success.
    pub(crate) is_told: bool,
    /// Whether what fails the refresh is in what it makes up for alone (P-241).
    is_forgiven: bool,
}

impl<'a> Change<'a> {
    fn of(
        before: &'a State,
        touched: &'a [Touched<'a>],
        outcome: &'a Outcome,
        is_transaction: bool,
    ) -> Change<'a> {
        Change {
            before,
            touched,
            outcome,
            is_transaction,
            is_told: is_transaction,
            is_forgiven: false,
        }
    }
}

impl Change<'_> {
    pub(crate) fn outcome_of(&self, result: Result<(), Errno>) -> Outcome {
        match result {
            Err(errno) if self.requires_refresh() => Outcome::Failed(errno),
            _ => self.outcome.clone(),
        }
    }

    /// Whether its call needs the refresh (§2.6), so that it fails if that does.
    fn requires_refresh(&self) -> bool {
        !self.is_transaction && !self.is_forgiven && self.concerns_layers()
    }

    /// Whether it is the occasion for a refresh that was not answered in time (P-241).
    fn makes_up(&self, state: &State) -> bool {
        state.layers_unanswered && machine(state) == Some(self.hive())
    }

    /// Notes a state in which a death of the source may have left the call. A commit that has come so far
    /// was answered, and is counted; so is a late success.
    pub(crate) fn may_have_ended_in(&self, work: &mut Work<'_>, state: State) {
        if self.is_told {
            work.may_have_ended_uncounted_in(state);
        } else {
            work.may_have_ended_in(state, self.hive());
        }
    }

    pub(crate) fn hive(&self) -> HiveId {
        self.touched[0].hive()
    }

    pub(crate) fn is_other(&self, hive: HiveId) -> bool {
        hive != self.hive()
    }

    fn is_seeded(&self, state: &State) -> bool {
        state.may_be_malformed(self.hive())
    }

    fn concerns_layers(&self) -> bool {
        self.touched.iter().any(|touched| touched.concerns_layers(self.before))
    }

    fn is_on_the_way(&self) -> bool {
        self.touched.iter().any(|touched| touched.is_on_the_way(self.before))
    }

    /// The layers that the change is about, of which the metadata is no longer what it was or what was last
    /// read of it, or cannot be read, so that nobody can tell (D-51, LAYER-51).
    fn affected(&self, state: &State) -> BTreeSet<FoldedName> {
        let is_affected = |name: &FoldedName| {
            let seen = state.layers_seen.as_ref().and_then(|(_, seen)| seen.get(name));
            let now = metadata(state, name);
            let before = State { layers_key: state.layers_key, ..self.before.clone() };
            now.as_ref() != seen
                || now != metadata(&before, name)
                || now.is_some_and(|now| is_unreadable(&now))
        };
        let layers = self.touched.iter().filter_map(|touched| touched.layer(state));
        let layers: BTreeSet<FoldedName> = layers.collect();
        layers.into_iter().filter(is_affected).collect()
    }

    /// These and the names that wait for the next refresh (P-184).
    fn affected_or_waiting(&self, state: &State) -> BTreeSet<FoldedName> {
        self.affected(state).into_iter().chain(waiting_names(state)).collect()
    }
}

/// One way in which a refresh may begin.
#[derive(Clone)]
struct Way {
    /// The state with the Layers key as it was found.
    state: State,
    /// The names of the first round; `Err` if the source's answers let it have none.
    first: Result<BTreeSet<FoldedName>, Malformed>,
    reach: Reach,
    /// Whether what the call needs has been refreshed by itself, so that nothing else fails it (P-241).
    is_forgiven: bool,
    /// What the other refresh asks for that follows, if they are two (P-590).
    then: Option<Reach>,
}

/// The ways in which the refresh after a change may begin: it looks at what is affected, or at
/// everything (P-25). In a store that was given nothing they are one, unless one that was not answered is made up
/// for: that is a refresh of its own, or one with that of the call (P-241, P-590).
fn ways(state: &State, change: &Change<'_>) -> Vec<Way> {
    let (known, is_on_the_way) = (state.layers_key, change.is_on_the_way());
    let mut asked = state.clone();
    let mut first = differing_names(&mut asked);
    match &mut first {
        Ok(names) => names.extend(change.affected(&asked)),
        // Where the path leads is to be asked again (P-26).
        Err(_) if is_on_the_way && resolve_layers_key(state).is_err() => asked.layers_key = None,
        Err(_) => {}
    }
    let everything = Way::of(asked, first, Reach::Everything);
    let is_found = !is_on_the_way || resolve_layers_key(state) == Ok(known);
    if known.is_none() || state.layers_unread || !is_found {
        return vec![everything];
    }
    let first = change.affected_or_waiting(state);
    let affected = Way::of(state.clone(), Ok(first), Reach::Affected);
    match state.layers_unanswered {
        false if change.is_seeded(state) => vec![affected, everything],
        // As two, that of the call leaves the table as it makes it, and the other has no round (P-590).
        true if change.concerns_layers() && everything.first.is_err() => vec![everything, affected],
        true if change.concerns_layers() => {
            let forgives = change.requires_refresh() && affected.succeeds();
            let forgiven = Way { is_forgiven: true, ..everything.clone() };
            let before = Way { then: Some(Reach::Affected), ..forgiven.clone() };
            let behind = Way { then: Some(Reach::Everything), ..affected };
            let forgiven = forgives.then_some(forgiven);
            [Some(everything), forgiven, Some(before), Some(behind)].into_iter().flatten().collect()
        }
        _ => vec![everything],
    }
}

impl Way {
    fn of(state: State, first: Result<BTreeSet<FoldedName>, Malformed>, reach: Reach) -> Way {
        Way { state, first, reach, is_forgiven: false, then: None }
    }

    /// Whether nothing fails a call whose refresh goes this way.
    fn succeeds(&self) -> bool {
        let Ok(first) = &self.first else { return false };
        let mut state = self.state.clone();
        let refreshed =
            refresh(&mut state, first.clone(), self.reach, Deaths::none(), &mut Covered::new());
        let is_answered = state.late_count() == self.state.late_count();
        is_answered && !refreshed.failed && !owes_more(&self.state, &state)
    }
}

/// What a refresh in one way comes to.
struct Taken {
    state: State,
    result: Result<(), Errno>,
    /// The response for which it had no round.
    rejected: Option<Malformed>,
    /// The metadata keys that it has read, of which nothing but the SD is bad.
    bad_descriptors: Vec<Guid>,
}

/// The refresh in one way, and the other behind it if they are two. What is made up for fails no call (P-590).
fn take_all(work: &mut Work<'_>, change: &Change<'_>, way: Way, covered: &mut Covered) -> Taken {
    let (then, hives) = (way.then, way.state.hives.clone());
    let of_first = Change { is_forgiven: way.is_forgiven, ..*change };
    let one = take(work, &of_first, way, covered);
    let Some(reach) = then else { return one };
    let mut state = one.state.clone();
    let first = match reach {
        Reach::Everything => differing_names(&mut state),
        Reach::Affected => Ok(change.affected_or_waiting(&state)),
    };
    let Some(first) = first.ok().filter(|first| !first.is_empty()) else {
        let result = if reach == Reach::Affected { Ok(()) } else { one.result };
        return Taken { state, result, ..one };
    };
    // Both are counted together (P-02).
    state.hives = hives;
    let outcome = &change.outcome_of(one.result);
    let way = Way::of(state, Ok(first), reach);
    if reach == Reach::Affected {
        return take(work, change, way, covered);
    }
    let change = Change { outcome, is_forgiven: true, ..*change };
    Taken { result: one.result, ..take(work, &change, way, covered) }
}

/// The refresh in one way, with all that may come of it beside.
fn take(work: &mut Work<'_>, change: &Change<'_>, way: Way, covered: &mut Covered) -> Taken {
    let first = match way.first {
        Ok(first) => first,
        Err(malformed) => {
            // A Layers key that cannot be found or enumerated is refreshed by nobody (P-75).
            change.may_have_ended_in(work, work.state.clone());
            let (result, rejected) = (Err(Errno::EIO), Some(malformed));
            return Taken { state: way.state, result, rejected, bad_descriptors: Vec::new() };
        }
    };
    let mut state = way.state.clone();
    let refreshed = refresh(&mut state, first.clone(), way.reach, Deaths::none(), covered);
    let start = Start { state: &way.state, first: &first, reach: way.reach };
    if work.is_interrupted() {
        deaths(work, change, &start, &refreshed);
    }
    if refreshed.published {
        removal_marks::layers_deleted(&way.state, &state, covered);
        removal_marks::layers_moved(&way.state, &state, covered);
        removal_marks::layers_switched(&way.state, &state, covered);
        step_affected(change.before, &mut state, |hive| change.is_other(hive), covered);
        tell_layers(work, change, (&way.state, &mut state), refreshed.failed, covered);
        if work.is_interrupted() {
            uncounted(work, change, &start, &state, refreshed.failed);
            change.may_have_ended_in(work, state.clone());
        }
    }
    let is_refused = owes_more(&way.state, &state);
    if is_refused {
        work.must_have_waited();
    }
    let is_unanswered = state.late_count() > way.state.late_count();
    if is_unanswered && !change.is_transaction {
        work.must_have_timed_out();
    }
    let result = match (is_unanswered, refreshed.failed || is_refused) {
        (true, _) => Err(Errno::ETIMEDOUT),
        (false, true) => Err(Errno::EIO),
        (false, false) => Ok(()),
    };
    if refreshed.deleted > 0 {
        deletion_may_stall(work, change, &start);
    }
    if result.is_ok() && change.is_seeded(&state) {
        if refreshed.deleted > 0 {
            read_before_deletions(work, change, &start, &refreshed);
        }
        if way.reach == Reach::Everything && any_unreadable(&way.state) {
            // Who looks at everything may meet it again, though it has been read before (P-41).
            work.otherwise.push((change.outcome_of(Err(Errno::EIO)), state.clone()));
        }
    }
    Taken { state, result, rejected: None, bad_descriptors: refreshed.bad_descriptors }
}

/// Whether an Active source has refused a layer deletion, which it owes now (D-55).
pub(crate) fn owes_more(before: &State, after: &State) -> bool {
    let mut active = after.slots.keys().filter(|id| after.is_slot_active(**id));
    active.any(|id| !newly_owed(before, after, *id).is_empty())
}

/// The layers of which a slot has come to owe the deletion, once more if it owed that before.
fn newly_owed(before: &State, after: &State, slot: SlotId) -> BTreeSet<FoldedName> {
    let owed = |state: &State| {
        state.slots.get(&slot).map(|slot| slot.pending_layer_deletions.clone()).unwrap_or_default()
    };
    let (former, mut owed) = (owed(before), owed(after));
    for layer in former {
        if let Some(at) = owed.iter().position(|owed| *owed == layer) {
            owed.remove(at);
        }
    }
    owed.into_iter().collect()
}

/// Where a refresh begins.
pub(crate) struct Start<'a> {
    pub(crate) state: &'a State,
    pub(crate) first: &'a BTreeSet<FoldedName>,
    pub(crate) reach: Reach,
}

impl Start<'_> {
    /// The refresh as these deaths let it go.
    pub(crate) fn refresh(&self, change: &Change<'_>, deaths: Deaths) -> (State, Refreshed) {
        let mut state = self.state.clone();
        let ignored = &mut Covered::new();
        let refreshed = refresh(&mut state, self.first.clone(), self.reach, deaths, ignored);
        step_affected(change.before, &mut state, |hive| change.is_other(hive), ignored);
        (state, refreshed)
    }
}

/// The other order that a refresh may have over malformed data: every round reads what was there
/// before the deletions that the refresh itself causes are carried out (P-48).
fn read_before_deletions(
    work: &mut Work<'_>,
    change: &Change<'_>,
    start: &Start<'_>,
    refreshed: &Refreshed,
) {
    let slot = start.state.hives.get(&change.hive()).map(|hive| hive.slot);
    let Some(slot) = slot else { return };
    let rounds_max = refreshed.rounds;
    let death = Death { slot, answered: 0, carries_out_one_more: false, rounds_alive: rounds_max };
    let (mut state, read_once) = start.refresh(change, Deaths { each: vec![death], rounds_max });
    for layer in newly_owed(start.state, &state, slot) {
        delete_at_source(&mut state, slot, &layer, &mut Covered::new());
        is_owed_no_more(&mut state, slot, &layer);
    }
    layers_changed(start.state, &mut state, |_| true, &mut Covered::new());
    state.note_ends(start.state);
    let result = if read_once.failed { Err(Errno::EIO) } else { Ok(()) };
    work.otherwise.push((change.outcome_of(result), state));
}

/// Whether the metadata of some layer in view cannot be read.
fn any_unreadable(state: &State) -> bool {
    let (Some(machine), Some(key)) = (machine(state), state.layers_key) else { return false };
    visible_metadata(state, machine, key).is_ok_and(|visible| visible.values().any(is_unreadable))
}

fn is_unreadable(reading: &Reading) -> bool {
    reading.as_ref().map_or(true, |metadata| metadata.is_unreadable())
}
