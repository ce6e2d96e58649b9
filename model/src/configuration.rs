//! Self-configuration: when the parameters are read, and from which key.
//!
//! States PSD-005 §8.1 ("Bootstrap rules", "LCS boot sequence") and §8.2 ("Self-watch mechanism",
//! "Bootstrap interaction"), with D-100, D-106, P-160, P-161, P-164 to P-166 and P-181. What the values say is
//! in `configuration_reading`. The parameters in force are `State::limits`: whoever needs one takes it
//! from there when a call begins, and a call that changes one ends under the old one (§8.1 rule 3).

use crate::audit::AuditPattern;
use crate::audit_events::looked_at;
use crate::configuration_reading::{
    Manner, Reach, Readings, Taken, is_known, is_refused, read, take,
};
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId, ValueEntry};
use crate::errno::Errno;
use crate::layer_refresh::resolve;
use crate::layers::{Touched, machine};
use crate::limits::Limits;
use crate::names::FoldedName;
use crate::outcome::Outcome;
use crate::responses::Malformed;
use crate::state::State;
use crate::step::{Endings, Work};
use crate::values::REG_TOMBSTONE;

/// The key whose values are the parameters: that to which `Machine\System\Registry` leads in the
/// global effective view (P-160).
///
/// # Errors
///
/// If what the source answers on the way is malformed.
fn resolve_key(state: &State) -> Result<Option<Guid>, Malformed> {
    resolve(state, &["system", "registry"])
}

/// Whether this is the key whose values are the parameters.
pub(crate) fn is_configuration_key(state: &State, key: Guid) -> bool {
    state.configuration_key == Some(key)
}

/// The first of the two readings when the Machine hive has become available: before the layers, and
/// told to nobody (D-106).
pub(crate) fn read_before_layers(state: &mut State, hives: &[HiveId], manner: Manner) {
    start(state, hives, manner, &mut Covered::new());
}

/// The second: under the table that has been loaded. Returns the events of what it refuses.
pub(crate) fn read_after_layers(
    state: &mut State,
    hives: &[HiveId],
    manner: Manner,
    covered: &mut Covered,
) -> Vec<AuditPattern> {
    let events = start(state, hives, manner, covered);
    interleave(state, events)
}

/// Reads everything, as nobody knows what the source that has just registered holds (P-166).
fn start(
    state: &mut State,
    hives: &[HiveId],
    manner: Manner,
    covered: &mut Covered,
) -> Vec<AuditPattern> {
    if !machine(state).is_some_and(|machine| hives.contains(&machine)) {
        return Vec::new();
    }
    covers!(covered, "BOOT-03");
    let resolved = resolve_key(state);
    // Where the way could not be made out, the next change of the hive has it tried again (P-181).
    state.configuration_unread = resolved.is_err();
    state.configuration_key = resolved.unwrap_or(None);
    let Some(key) = state.configuration_key else {
        if !state.configuration_unread && state.limits == Limits::default() {
            covers!(covered, "BOOT-19", "BOOT-21", "BOOT-29", "CONF-54");
        }
        return Vec::new();
    };
    covers!(covered, "BOOT-29");
    let is_first = state.slots.values().all(|slot| slot.resumptions.0 == 0);
    if is_first {
        covers!(covered, "CONF-41");
    }
    if state.layers_key.is_some() {
        covers!(covered, "BOOT-07", "BOOT-13");
    }
    let readings = read(state, key, manner);
    let taken = take(state.limits, &readings, None, Reach::Everything, covered);
    if taken.limits != state.limits {
        covers!(covered, "BOOT-06");
    }
    put_in_force(state, taken.limits, covered);
    taken.events
}

/// From now on, calls go by these.
fn put_in_force(state: &mut State, limits: Limits, covered: &mut Covered) {
    if state.limits != limits && !state.watches.is_empty() {
        covers!(covered, "BOOT-08");
    }
    state.limits = limits;
    state.name_length_max = state.name_length_max.max(limits.max_path_component_length);
}

/// The events with room between them for what the kernel may say of malformed data that it meets
/// (P-112).
fn interleave(state: &State, events: Vec<AuditPattern>) -> Vec<AuditPattern> {
    let Some(others) = looked_at(state) else { return events };
    let pairs = events.into_iter().flat_map(|event| [event, others.clone()]);
    std::iter::once(others.clone()).chain(pairs).collect()
}

/// A committed change whose call may have to read the parameters before it returns.
pub(crate) struct Change<'a> {
    pub(crate) before: &'a State,
    pub(crate) touched: &'a [Touched<'a>],
    /// Whether the layers were refreshed for it.
    pub(crate) is_of_layers: bool,
    /// Whether the refresh has met what fails a direct call.
    pub(crate) result: Result<(), Errno>,
    /// What its call comes to, refresh and all.
    pub(crate) outcome: &'a Outcome,
    /// The endings that the call had noted when the change was committed.
    pub(crate) since: Endings,
}

/// How a change may concern the parameters. Of several, the greatest says what is looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Concern {
    /// It may have changed the layer table.
    Layers,
    /// It is at a key to which the path may lead by now without the kernel's having looked (P-164).
    Unnoticed,
    /// It is one of the values of their key, or of its blanket tombstones.
    Values,
    /// It may have changed where the path leads.
    Path,
}

/// Whether the parameters are read for such a change, whatever becomes of the layers.
pub(crate) fn is_read_for(before: &State, touched: Touched<'_>, after: &State) -> bool {
    concern_of(touched, before, after).is_some()
}

fn concern_of(touched: Touched<'_>, before: &State, after: &State) -> Option<Concern> {
    match touched {
        Touched::Descriptor(..) => None,
        Touched::Value(_, key, _) | Touched::Values(_, key)
            if is_configuration_key(before, key) =>
        {
            Some(Concern::Values)
        }
        Touched::Value(hive, key, _) | Touched::Values(hive, key) => {
            let is_doubtful = after.may_be_malformed(hive) && machine(after) == Some(hive);
            let leads_there = is_doubtful && resolve_key(after) == Ok(Some(key));
            leads_there.then_some(Concern::Unnoticed)
        }
        Touched::Child(hive, _, name) => {
            let is_named = matches!(name.as_str(), "system" | "registry");
            let is_path = is_named && machine(after) == Some(hive) && touched.is_on_the_way(before);
            is_path.then_some(Concern::Path)
        }
    }
}

impl Change<'_> {
    fn concern(&self, after: &State) -> Option<Concern> {
        let is_of_machine = self.touched.iter().any(|t| machine(after) == Some(t.hive()));
        if after.configuration_unread && is_of_machine {
            return Some(Concern::Path);
        }
        let concern_of = |touched: &Touched<'_>| concern_of(*touched, self.before, after);
        let concerns = self.touched.iter().filter_map(concern_of);
        concerns.max().or_else(|| self.is_of_layers.then_some(Concern::Layers))
    }

    /// The looks that the kernel may take at the parameters in this state: several where it can meet
    /// malformed data (P-164).
    fn looks(&self, state: &State, concern: Concern, covered: &mut Covered) -> Vec<Look> {
        let is_doubtful = machine(state).is_some_and(|hive| state.may_be_malformed(hive));
        if concern == Concern::Layers && state.layers == self.before.layers {
            return vec![Look::none(state)];
        }
        let mut looks: Vec<Look> = Vec::new();
        for manner in [Manner::ByName, Manner::Whole] {
            let known = self.known_key(state, concern);
            if let Some(key) = known {
                let former = Some(self.former(state, key, manner));
                looks.push(Look::at(state, key, (former, true), (Reach::Changed, manner), covered));
                self.mark_unknown_name(covered);
            }
            if known.is_none() || is_doubtful {
                looks.push(self.look_at_everything(state, manner, covered));
            }
            if !is_doubtful {
                break;
            }
        }
        if concern == Concern::Unnoticed {
            looks.push(Look::none(state));
        }
        looks
    }

    /// The key of the parameters that is known, if the change is of its values and the path leads there still.
    fn known_key(&self, state: &State, concern: Concern) -> Option<Guid> {
        let key = state.configuration_key.filter(|_| concern == Concern::Values);
        key.filter(|key| self.still_leads_to(state, *key))
    }

    /// What there was to read of this key before the change.
    fn former(&self, state: &State, key: Guid, manner: Manner) -> Readings {
        read(&self.before.looked_at_as(state), key, manner)
    }

    fn look_at_everything(&self, state: &State, manner: Manner, covered: &mut Covered) -> Look {
        match resolve_key(state) {
            Err(_) => Look { is_unread: true, ..Look::none(state) },
            Ok(None) => Look { key: None, is_unread: false, ..Look::none(state) },
            Ok(Some(key)) => {
                let is_known = state.configuration_key == Some(key);
                if state.configuration_key.is_none() {
                    // Whoever watches neither key hears of them from the root (BOOT-20).
                    covers!(covered, "BOOT-20", "CONF-43");
                }
                if !is_known {
                    covers!(covered, "CONF-44");
                }
                let former = is_known.then(|| self.former(state, key, manner));
                // Where a value of the key was set, what it says may be reported again (P-161).
                let is_anew = state.configuration_unread || self.is_of_values();
                Look::at(state, key, (former, is_anew), (Reach::Everything, manner), covered)
            }
        }
    }

    /// Whether a value or a blanket tombstone of the parameters' key was set or removed.
    fn is_of_values(&self) -> bool {
        self.touched.iter().any(|touched| match touched {
            Touched::Value(_, key, _) | Touched::Values(_, key) => {
                is_configuration_key(self.before, *key)
            }
            Touched::Child(..) | Touched::Descriptor(..) => false,
        })
    }

    /// A value of the parameters' key was set that no parameter has for its name.
    fn mark_unknown_name(&self, covered: &mut Covered) {
        if self.touched.iter().any(|t| matches!(t, Touched::Value(_, _, name) if !is_known(name))) {
            covers!(covered, "CONF-21");
        }
    }

    /// A value was stored that its parameter may not have. Nobody hears of it that the write succeeds if that is
    /// known late.
    fn mark_unusable(&self, after: &State, covered: &mut Covered) {
        let is_unusable = |touched: &Touched<'_>| {
            let Touched::Value(hive, key, name) = *touched else { return false };
            let former = self.before.database(hive).value(key, name.as_str());
            let is_new = |layer: &FoldedName, entry: &ValueEntry| {
                former.and_then(|former| former.get(layer)) != Some(entry)
            };
            let entries = after.database(hive).value(key, name.as_str());
            let mut entries = entries.into_iter().flat_map(|entries| entries.iter());
            entries.any(|(layer, entry)| {
                is_new(layer, entry)
                    && entry.value_type != REG_TOMBSTONE
                    && is_refused(&entry.name, entry.value_type, &entry.data)
            })
        };
        if self.touched.iter().any(is_unusable) {
            covers!(covered, "CONF-34");
            if !matches!(self.outcome, Outcome::Nothing) {
                covers!(covered, "CONF-32");
            }
        }
    }

    /// Whether the path leads to this key, where the same change has touched the layer table and so may
    /// have changed that (P-160). What cannot be resolved leaves the key that is known.
    fn still_leads_to(&self, state: &State, key: Guid) -> bool {
        state.layers == self.before.layers
            || resolve_key(state).map_or(true, |found| found == Some(key))
    }
}

/// One look at the parameters.
struct Look {
    /// Where the path led.
    key: Option<Guid>,
    /// Whether another has to be taken at the next change of the hive (P-181).
    is_unread: bool,
    taken: Taken,
}

impl Look {
    /// None was taken.
    fn none(state: &State) -> Look {
        let (limits, key) = (state.limits, state.configuration_key);
        let taken = Taken { stages: Vec::new(), limits, events: Vec::new() };
        Look { key, is_unread: state.configuration_unread, taken }
    }

    fn at(
        state: &State,
        key: Guid,
        (former, is_known_anew): (Option<Readings>, bool),
        (reach, manner): (Reach, Manner),
        covered: &mut Covered,
    ) -> Look {
        let readings = read(state, key, manner);
        let mut taken = take(state.limits, &readings, former.as_ref(), reach, covered);
        let nothing_changed = former.is_some_and(|former| former == readings);
        if nothing_changed && reach == Reach::Everything && !is_known_anew {
            // The key was nothing but looked for, and what it says is known (P-161).
            taken.events.clear();
        }
        Look { key: Some(key), is_unread: false, taken }
    }

    fn is_as(&self, other: &Look) -> bool {
        let of = |look: &Look| (look.key, look.is_unread, look.taken.limits);
        of(self) == of(other)
    }

    /// The state after it.
    fn after(&self, state: &State, covered: &mut Covered) -> State {
        let (configuration_key, configuration_unread) = (self.key, self.is_unread);
        let mut after = State { configuration_key, configuration_unread, ..state.clone() };
        put_in_force(&mut after, self.taken.limits, covered);
        after
    }
}

/// The states that looks may leave: all of each, and less where the source may have died meanwhile
/// (P-165).
fn endings(state: &State, looks: &[Look], is_interrupted: bool) -> Vec<State> {
    let ignored = &mut Covered::new();
    let mut all: Vec<Limits> = Vec::new();
    let mut endings = Vec::new();
    for (index, look) in looks.iter().enumerate() {
        if !looks[..index].iter().any(|former| former.is_as(look)) {
            endings.push(look.after(state, ignored));
            all.push(look.taken.limits);
        }
    }
    let stages = looks.iter().flat_map(|look| &look.taken.stages);
    for limits in stages.filter(|_| is_interrupted) {
        if !all.contains(limits) {
            let mut ending = state.clone();
            put_in_force(&mut ending, *limits, ignored);
            endings.push(ending);
            all.push(*limits);
        }
    }
    endings
}

/// Reads what a committed change concerns, before its call returns (§8.2). Nothing of it fails the
/// call.
pub(crate) fn follow(work: &mut Work<'_>, change: &Change<'_>) {
    let Some(concern) = change.concern(&work.state) else { return };
    let is_interrupted = may_be_lost(work);
    let mut covered = work.covered;
    let looks = change.looks(&work.state, concern, &mut covered);
    work.covered = covered;
    if change.known_key(&work.state, concern).is_some() {
        change.mark_unusable(&work.state, &mut work.if_done);
    }
    let mut elsewhere: Vec<AuditPattern> = Vec::new();
    let is_unanswered = may_be_unanswered(work);
    work.change_endings(change.since, |state| {
        let looks = change.looks(state, concern, &mut Covered::new());
        elsewhere.extend(looks.iter().flat_map(|look| look.taken.events.clone()));
        let mut endings = endings(state, &looks, is_interrupted);
        endings.extend(is_unanswered.then(|| unanswered(state, &looks)).into_iter().flatten());
        endings
    });
    if is_unanswered {
        for state in unanswered(&work.state, &looks) {
            work.stalled_in(change.outcome.clone(), state);
        }
    }
    let Some(main) = looks.first() else { return };
    report(work, change, &looks, elsewhere);
    let state = work.state.clone();
    let mut others = endings(&state, &looks, is_interrupted).into_iter();
    if main.taken.limits != state.limits {
        covers!(work.covered, "CONF-38");
        if state.layers_key.is_some() {
            covers!(work.covered, "BOOT-14", "CONF-42");
        }
        if !work.state.watches.is_empty() {
            // The call has an fd itself, but no watch.
            covers!(work.covered, "BOOT-08");
        }
        if concern != Concern::Values {
            covers!(work.covered, "CONF-39");
        }
    }
    // The first of them is that of the first look.
    if let Some(after) = others.next() {
        work.state = after;
    }
    work.otherwise.extend(others.map(|other| (change.outcome.clone(), other)));
}

/// Whether the source may have died before or while it was asked for the parameters (P-165).
fn may_be_lost(work: &Work<'_>) -> bool {
    machine(&work.state).is_some_and(|hive| work.may_lose(hive))
}

/// Whether the source may have stopped answering when it was asked for the parameters.
fn may_be_unanswered(work: &Work<'_>) -> bool {
    let may_stall = machine(&work.state).is_some_and(|hive| work.state.may_stall(hive));
    may_stall && work.has_timed_out()
}

/// The states that a look leaves which was not answered to its end: any first part of the parameters was read
/// (P-165, P-510), and all are read at the next change of the Machine hive (P-241).
fn unanswered(state: &State, looks: &[Look]) -> Vec<State> {
    let mut all = vec![state.limits];
    for look in looks {
        for limits in look.taken.stages.iter().chain([&look.taken.limits]) {
            if !all.contains(limits) {
                all.push(*limits);
            }
        }
    }
    let unread = State { configuration_unread: true, ..state.clone() };
    let with = |limits: Limits| {
        let mut ending = unread.clone();
        put_in_force(&mut ending, limits, &mut Covered::new());
        ending
    };
    all.into_iter().map(with).collect()
}

/// The events of the looks. Where they differ, or the source may have died before it was asked (P-165), none of
/// them must come.
fn report(work: &mut Work<'_>, change: &Change<'_>, looks: &[Look], elsewhere: Vec<AuditPattern>) {
    let Some((main, others)) = looks.split_first() else { return };
    let mut events = main.taken.events.clone();
    let is_same = |look: &Look| look.taken.events == main.taken.events;
    if may_be_lost(work) || !others.iter().all(is_same) {
        events.iter_mut().for_each(|event| event.optional = true);
    }
    let more = others.iter().flat_map(|look| look.taken.events.clone()).chain(elsewhere);
    for event in more {
        let is_known = events.iter().any(|known| known.fields == event.fields);
        if !is_known {
            events.push(AuditPattern { optional: true, ..event });
        }
    }
    if change.result == Err(Errno::EIO) {
        work.report_rejected();
    }
    let events = interleave(&work.state, events);
    // What a refresh of the layers may have said last need not be said again.
    let is_said = work.audit.last().is_some_and(|last| events.first() == Some(last));
    work.audit.extend(events.into_iter().skip(usize::from(is_said)));
}
