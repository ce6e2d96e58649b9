//! Who is told of a change: the watches of the key and of its ancestors.
//!
//! States PSD-005 §4.2 ("Dispatch algorithm", "Transaction batching", "Source restart behaviour"), with
//! D-70, D-73 to D-78, P-140 to P-149. What differs is found in `difference`. Costs nothing while no watch
//! is armed.

use std::collections::{BTreeMap, BTreeSet};

use super::difference::{Difference, Event, Unread, Views};
use super::marks;
use super::pool::Strand;
use super::records::Record;
use super::unanswered::may_be_told_by_layers;
use super::{REG_NOTIFY_SD, REG_NOTIFY_SUBKEY, REG_NOTIFY_VALUE, Watch};
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId, Map};
use crate::layers::Touched;
use crate::limits::Limits;
use crate::names::KeyName;
use crate::resolution::Viewer;
use crate::state::{DescriptionId, Place, SlotId, State};

/// Queues the events of one change that a call has made between two states.
///
/// `place` is that of the key that the call is about, as its fd or its walk has captured it: of the key
/// whose values or SD are changed, or of the child whose path entries are.
pub(crate) fn changed(
    before: &State,
    after: &mut State,
    touched: Touched<'_>,
    place: &Place,
    covered: &mut Covered,
) {
    let mut batch = Batch::new();
    batch.changed(before, after, touched, place, covered);
    batch.queue(after, None, covered);
}

/// Queues what can be told of one change if nobody knows what there was before it: OVERFLOW to those who may
/// be concerned, and the end of a key that has lost its last name (P-135, P-242). The arguments are those of
/// [`changed`].
pub(crate) fn changed_somehow(
    before: &State,
    after: &mut State,
    touched: Touched<'_>,
    place: &Place,
    covered: &mut Covered,
) {
    let mut batch = Batch::new();
    batch.changed_somehow(before, after, touched, place, covered);
    batch.queue(after, None, covered);
}

/// Whether what one change has to tell cannot be read. The arguments are those of [`changed`].
pub(crate) fn is_unknown(
    before: &State,
    after: &State,
    touched: Touched<'_>,
    place: &Place,
) -> bool {
    let viewer = Viewer::global();
    let views = Views::of(before, after, place.hive, &viewer);
    let told = differences(&views, touched, place);
    let mut differences = told.into_iter().flat_map(|(differences, _)| differences);
    differences.any(|difference| matches!(difference, Difference::Unknown(_)))
}

/// What is different by one change, with the place of the key that it is different with.
fn differences(
    views: &Views<'_>,
    touched: Touched<'_>,
    place: &Place,
) -> Option<(Vec<Difference>, Place)> {
    Some(match touched {
        Touched::Value(_, key, name) => (views.value(key, name), place.clone()),
        Touched::Values(_, key) => (views.all_values(key), place.clone()),
        Touched::Descriptor(_, key) => (views.descriptor(key).into_iter().collect(), place.clone()),
        Touched::Child(_, parent, name) => {
            (views.one_child(parent, name, place.name()), place.above()?)
        }
    })
}

/// Queues the events of a layer operation between two states, in those hives that `is_told` names and whose
/// sources are there to be asked (D-76, D-78).
pub(crate) fn layers_changed(
    before: &State,
    after: &mut State,
    is_told: impl Fn(HiveId) -> bool,
    covered: &mut Covered,
) {
    if after.watches.is_empty() {
        return;
    }
    let mut batch = Batch::new();
    let watched: BTreeSet<HiveId> = after.watches.values().map(|watch| watch.hive).collect();
    for hive in watched {
        if is_told(hive) && before.is_active(hive) && after.is_active(hive) {
            batch.layers_changed(before, after, hive, covered);
        }
    }
    if batch.queue(after, None, covered) {
        covers!(covered, "WATCH-46");
    }
}

/// Queues OVERFLOW on every watch in hives whose source has come back (FAIL-13, DISP-48).
pub(crate) fn resumed(state: &mut State, hives: &[HiveId], covered: &mut Covered) {
    on_all(state, hives, |watch, limit| {
        covers!(covered, "DISP-48", "DISP-49", "FAIL-10", "FAIL-13");
        covers!(covered, "DISP-22", "IOC-141", "REG-40", "REG-42");
        watch.since_armed.0.is_resumed = true;
        watch.queue.overflow(limit, covered);
    });
}

/// Queues OVERFLOW on every watch that a layer operation may concern in hives of which nobody can tell what it has
/// changed there (P-242, P-264, P-541).
pub(crate) fn unknown(before: &State, after: &mut State, hives: &[HiveId]) {
    on_all(after, hives, |watch, limit| {
        if may_be_told_by_layers(before, watch) {
            watch.queue.overflow(limit, &mut Covered::new());
        }
    });
}

/// Tells of the keys that the late answer to a layer deletion names as orphans: their own watches hear of it, but
/// for those which that deletion has told so before (P-264, P-570).
pub(crate) fn orphaned_late(
    before: &State,
    after: &mut State,
    hives: &[HiveId],
    were_told: &BTreeSet<DescriptionId>,
    covered: &mut Covered,
) {
    let mut batch = Batch::new();
    let (state, viewer) = (after.clone(), Viewer::global());
    let new = state.orphans.iter().filter(|(hive, _)| hives.contains(hive));
    for (hive, key) in new.filter(|orphan| !before.orphans.contains(orphan)) {
        let views = Views::of(before, &state, *hive, &viewer);
        let place = ancestry(&views, (*hive, *key), &state, &mut Covered::new()).alone();
        let mut told = Told::of((before, &state), true);
        told.tell(&place, &[Difference::of_own_loss()], covered);
        told.of_watches.retain(|id, _| !were_told.contains(id));
        batch.add(told);
    }
    batch.queue(after, None, covered);
}

/// Does something to every watch in these hives, which is given the limit of its queue.
fn on_all(state: &mut State, hives: &[HiveId], mut change: impl FnMut(&mut Watch, usize)) {
    let limit = queue_limit(&state.limits);
    let watches = state.watches.iter().filter(|(_, watch)| hives.contains(&watch.hive));
    let watches: Vec<(DescriptionId, Watch)> =
        watches.map(|(id, watch)| (*id, watch.clone())).collect();
    for (id, mut watch) in watches {
        change(&mut watch, limit);
        state.watches.insert_mut(id, watch);
    }
}

/// Queues OVERFLOW on every watch that a restore of the key at `place` concerns, which has removed or made
/// these keys below it (P-209).
pub(crate) fn restored(
    state: &mut State,
    place: &Place,
    keys: &BTreeSet<Guid>,
    covered: &mut Covered,
) {
    let limits = state.limits;
    let concerned = |watch: &Watch| {
        watch.hive == place.hive
            && (keys.contains(&watch.key) || below(watch, place, &limits).is_some())
    };
    let watches: Vec<(DescriptionId, Watch)> = state
        .watches
        .iter()
        .filter(|(_, watch)| concerned(watch))
        .map(|(id, watch)| (*id, watch.clone()))
        .collect();
    for (id, mut watch) in watches {
        covers!(covered, "DISP-22", "IOC-141");
        watch.queue.overflow(queue_limit(&limits), covered);
        state.watches.insert_mut(id, watch);
    }
}

/// Whether a call was answered under which a source died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Died {
    /// What it did has been done, whatever became of the source afterwards.
    Afterwards,
    /// It failed with EIO.
    InTheMiddle,
}

/// The queues that a call may leave during which a source died: those `before` the call, after its
/// `own` change, and after the layer operation that has led to `state`, with or without the hives of
/// each of these sources (P-146).
///
/// Each of these slots doubles the ways; there is one but where several sources died (P-615).
pub(crate) fn possible_after_death(
    before: &State,
    own: &State,
    state: &State,
    (slots, died): (&[SlotId], Died),
) -> Vec<Map<DescriptionId, Watch>> {
    if state.watches.is_empty() {
        return vec![state.watches.clone()];
    }
    let after = |is_told: &dyn Fn(HiveId) -> bool| {
        let mut told = State { watches: own.watches.clone(), ..state.clone() };
        layers_changed(own, &mut told, is_told, &mut Covered::new());
        told.watches
    };
    let mut possible = vec![after(&|_| true)];
    // Every choice of those whose hives were told of nothing.
    let mut silent: Vec<Vec<HiveId>> = vec![Vec::new()];
    for slot in slots {
        let hives: Vec<HiveId> = state.hives_of(*slot).map(|(hive, _)| hive).collect();
        let more: Vec<_> = silent.iter().map(|dead| [&**dead, &*hives].concat()).collect();
        possible.extend(more.iter().map(|dead| after(&|hive| !dead.contains(&hive))));
        silent.extend(more);
    }
    if died == Died::InTheMiddle {
        possible.extend([own.watches.clone(), before.watches.clone()]);
    }
    let mut distinct: Vec<Map<DescriptionId, Watch>> = Vec::new();
    for queues in possible {
        if !distinct.contains(&queues) {
            distinct.push(queues);
        }
    }
    distinct
}

/// The events of several changes that reach each watch together, in the order of the changes (DISP-41 to
/// DISP-43).
#[derive(Clone)]
pub(crate) struct Batch {
    arrivals: BTreeMap<DescriptionId, Vec<Arrival>>,
}

/// What one change brings to one watch.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Events in any order but that of each strand (P-143).
    Events(Vec<Strand>),
    /// What cannot be told.
    Overflow,
}

impl Batch {
    /// Nothing so far.
    pub(crate) fn new() -> Batch {
        Batch { arrivals: BTreeMap::new() }
    }

    /// Whom it tells something.
    pub(crate) fn watches(&self) -> impl Iterator<Item = DescriptionId> {
        self.arrivals.keys().copied()
    }

    /// Adds the events of one change. The arguments are those of [`changed`]; nothing is queued yet.
    pub(crate) fn changed(
        &mut self,
        before: &State,
        after: &State,
        touched: Touched<'_>,
        place: &Place,
        covered: &mut Covered,
    ) {
        if after.watches.is_empty() {
            return;
        }
        let viewer = Viewer::global();
        let views = Views::of(before, after, place.hive, &viewer);
        let Some((differences, place)) = differences(&views, touched, place) else { return };
        if differences.is_empty() {
            if after.watches.values().any(|watch| watch.is_on(place.hive, place.key())) {
                covers!(covered, "KEY-10");
            }
            marks::unhidden(before, after, touched, covered);
            return;
        }
        if differences.iter().any(|difference| !matches!(difference, Difference::Unseen(_))) {
            marks::disarmed(after, &place, covered);
        }
        let mut told = Told::of((before, after), false);
        told.tell(&place, &differences, covered);
        self.add(told);
    }

    /// Adds what can be told of one change if nobody knows what there was before it. The arguments are those of
    /// [`changed_somehow`]; nothing is queued yet.
    pub(crate) fn changed_somehow(
        &mut self,
        before: &State,
        after: &State,
        touched: Touched<'_>,
        place: &Place,
        covered: &mut Covered,
    ) {
        if after.watches.is_empty() {
            return;
        }
        let viewer = Viewer::global();
        let views = Views::of(before, after, place.hive, &viewer);
        let (differences, place) = match touched {
            Touched::Value(..) | Touched::Values(..) => {
                (vec![Difference::Unknown(Unread::Values)], place.clone())
            }
            Touched::Descriptor(..) => {
                (vec![Difference::Unknown(Unread::Descriptor)], place.clone())
            }
            Touched::Child(_, parent, name) => {
                let Some(above) = place.above() else { return };
                (views.unknown_child(parent, name, place.name()), above)
            }
        };
        let mut told = Told::of((before, after), false);
        told.tell(&place, &differences, covered);
        self.add(told);
    }

    /// Adds the events of a layer operation in one hive.
    fn layers_changed(
        &mut self,
        before: &State,
        after: &State,
        hive: HiveId,
        covered: &mut Covered,
    ) {
        let viewer = Viewer::global();
        let views = Views::of(before, after, hive, &viewer);
        let mut told = Told::of((before, after), true);
        for key in views.keys() {
            let mut differences = views.values_by_layers(key);
            differences.extend(views.children_by_layers(key));
            if !differences.is_empty() {
                let place = ancestry(&views, (hive, key), after, covered);
                told.tell(&place, &differences, covered);
            }
        }
        for (parent, orphans) in views.orphans_below_dropped() {
            let place = ancestry(&views, (hive, parent), after, covered);
            told.tell(&place, &[orphans], covered);
        }
        self.add(told);
    }

    /// Whether nobody is told of anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    fn add(&mut self, told: Told<'_>) {
        for (id, heard) in told.of_watches {
            let arrivals = self.arrivals.entry(id).or_default();
            let Heard { mut strands, mut of_orphans, is_uncertain } = heard;
            if !is_uncertain {
                strands.append(&mut of_orphans);
            }
            if !strands.is_empty() {
                arrivals.push(Arrival::Events(strands));
            }
            if is_uncertain {
                arrivals.push(Arrival::Overflow);
            }
            if !of_orphans.is_empty() {
                arrivals.push(Arrival::Events(of_orphans));
            }
        }
    }

    /// Queues what one commit has gathered: a watch that would get more events than
    /// `MaxTransactionWatchEventBurst` gets OVERFLOW and none of them (D-73).
    ///
    /// `at_first` are the watches as they were at the first operation of the transaction.
    pub(crate) fn commit(
        self,
        state: &mut State,
        at_first: &Map<DescriptionId, Watch>,
        covered: &mut Covered,
    ) {
        if !self.is_empty() {
            covers!(covered, "WATCH-10", "DISP-44", "TXN-30", "IOC-185");
        }
        let burst_max = state.limits.max_transaction_watch_event_burst as usize;
        for (id, arrivals) in &self.arrivals {
            let count: usize = arrivals.iter().map(Arrival::count).sum();
            if count <= burst_max {
                let (first, now) = (at_first.get(id), state.watches.get(id));
                marks::batch(arrivals, first.zip(now), covered);
            }
        }
        self.queue(state, Some(burst_max), covered);
    }

    /// Says whether a queue has overflowed that had not before, by the number of events alone.
    fn queue(self, state: &mut State, burst_max: Option<usize>, covered: &mut Covered) -> bool {
        let limit = queue_limit(&state.limits);
        let mut overflowed = false;
        for (id, arrivals) in self.arrivals {
            let Some(mut watch) = state.watches.get(&id).cloned() else { continue };
            let count: usize = arrivals.iter().map(Arrival::count).sum();
            let had_overflow = watch.queue.has_overflow();
            let is_counted = arrivals.iter().all(|arrival| *arrival != Arrival::Overflow);
            let is_burst = burst_max.is_some_and(|max| count > max);
            if is_burst {
                covers!(covered, "DISP-45", "DISP-22", "IOC-141", "CONF-20");
                watch.queue.overflow(limit, covered);
            } else {
                arrivals.into_iter().for_each(|arrival| watch.arrive(arrival, limit, covered));
            }
            let has_overflown = watch.queue.has_overflow() && !had_overflow;
            let default = queue_limit(&Limits::default());
            let is_by_limit = is_counted && !is_burst;
            let decides = has_overflown && is_by_limit && watch.queue.length() == limit;
            if limit != default && (decides || watch.queue.length() > default) {
                covers!(covered, "DISP-57", "CONF-04");
            }
            overflowed |= has_overflown && is_counted;
            state.watches.insert_mut(id, watch);
        }
        overflowed
    }
}

impl Arrival {
    fn count(&self) -> usize {
        match self {
            Arrival::Events(strands) => strands.iter().map(Vec::len).sum(),
            Arrival::Overflow => 1,
        }
    }
}

impl State {
    /// The watches that were told since `before` that their own keys are out of view.
    pub(crate) fn told_of_ends(&self, before: &State) -> BTreeSet<DescriptionId> {
        let times = |watch: &Watch| watch.since_armed.0.times_lost;
        let is_told = |(id, watch): &(&DescriptionId, &Watch)| {
            before.watches.get(id).is_some_and(|former| times(former) < times(watch))
        };
        self.watches.iter().filter(is_told).map(|(id, _)| *id).collect()
    }
}

impl Watch {
    /// Whether it is a watch on this key.
    pub(crate) fn is_on(&self, hive: HiveId, key: Guid) -> bool {
        self.hive == hive && self.key == key
    }

    /// How many events are queued, OVERFLOW included.
    pub(crate) fn queued(&self) -> usize {
        self.queue.length()
    }

    /// Whether it looks at what is below its key as well.
    pub(crate) fn is_of_subtree(&self) -> bool {
        self.subtree
    }

    fn arrive(&mut self, arrival: Arrival, limit: usize, covered: &mut Covered) {
        let (had_overflow, is_overflow) = (self.queue.has_overflow(), arrival == Arrival::Overflow);
        self.since_armed.0.times_told += 1;
        self.since_armed.0.is_told = true;
        if let Arrival::Events(strands) = &arrival {
            let is_lost = strands.iter().flatten().any(Record::is_of_own_loss);
            self.since_armed.0.times_lost += u64::from(is_lost);
        }
        match arrival {
            Arrival::Events(strands) => self.queue.arrive(strands, limit, covered),
            Arrival::Overflow => self.queue.overflow(limit, covered),
        }
        if is_overflow || self.queue.has_overflow() && !had_overflow {
            covers!(covered, "DISP-22", "IOC-141");
        }
    }
}

/// What each watch hears of one change.
struct Told<'a> {
    before: &'a State,
    state: &'a State,
    /// Whether it is a layer operation, which no fd is the way of (D-78).
    is_by_layers: bool,
    of_watches: BTreeMap<DescriptionId, Heard>,
}

#[derive(Default)]
struct Heard {
    strands: Vec<Strand>,
    /// Of orphans that nothing effective named, which a source's answer to the deletion names (P-183).
    of_orphans: Vec<Strand>,
    /// Whether there was something that cannot be told.
    is_uncertain: bool,
}

impl<'a> Told<'a> {
    /// Nothing so far of what has led from the first state to the second.
    fn of((before, state): (&'a State, &'a State), is_by_layers: bool) -> Told<'a> {
        Told { before, state, is_by_layers, of_watches: BTreeMap::new() }
    }
}

impl Told<'_> {
    /// Tells of what is different with the key at `place`.
    fn tell(&mut self, place: &Place, differences: &[Difference], covered: &mut Covered) {
        for (id, watch) in self.state.watches.iter().filter(|(_, w)| w.hive == place.hive) {
            let mut heard = Heard::default();
            for difference in differences {
                match difference {
                    Difference::Events(events) => {
                        self.hear((*id, watch), place, events, &mut heard, covered);
                    }
                    Difference::Unknown(unread) => {
                        heard.is_uncertain |= self.concerns(watch, place, unread);
                    }
                    Difference::Unseen(shows) => {
                        let concerns = watch.filter & REG_NOTIFY_VALUE != 0;
                        if concerns && below(watch, place, &self.state.limits).is_some() {
                            covered.add(shows);
                        }
                    }
                }
            }
            let is_told = !heard.strands.is_empty() || !heard.of_orphans.is_empty();
            if is_told || heard.is_uncertain {
                let all = self.of_watches.entry(*id).or_default();
                all.strands.extend(heard.strands);
                all.of_orphans.extend(heard.of_orphans);
                all.is_uncertain |= heard.is_uncertain;
            }
        }
    }

    /// What a watch hears of the events of one difference, which keep their order.
    fn hear(
        &self,
        watch: (DescriptionId, &Watch),
        place: &Place,
        events: &[Event],
        heard: &mut Heard,
        covered: &mut Covered,
    ) {
        let (mut strand, mut of_orphans) = (Strand::new(), Strand::new());
        for event in events {
            let Some(record) = self.record(watch, place, event, covered) else { continue };
            heard.is_uncertain |= record.is_none();
            if event.is_known_by_answer {
                of_orphans.extend(record);
            } else {
                strand.extend(record);
            }
        }
        heard.strands.extend((!strand.is_empty()).then_some(strand));
        heard.of_orphans.extend((!of_orphans.is_empty()).then_some(of_orphans));
    }

    /// Whether a watch might have been told of what cannot be read of the key at `place` (P-142, P-183).
    fn concerns(&self, watch: &Watch, place: &Place, unread: &Unread) -> bool {
        let limits = &self.state.limits;
        let filter = match unread {
            Unread::Values => REG_NOTIFY_VALUE,
            Unread::Descriptor => REG_NOTIFY_SD,
            Unread::Name(lost) if lost.iter().any(|key| watch.is_on(place.hive, *key)) => {
                return true;
            }
            Unread::Name(_) | Unread::Names { .. } => REG_NOTIFY_SUBKEY,
            Unread::NameOf(child) => return watch.is_on(place.hive, *child),
        };
        let Some(path) = below(watch, place, limits) else { return false };
        let descends = watch.subtree && is_reached(path.len() + 1, limits);
        watch.filter & filter != 0
            || match unread {
                // KEY_DELETED is for every filter.
                Unread::Name(lost) => descends && !lost.is_empty(),
                Unread::Names { of_orphan } => descends && !of_orphan,
                _ => false,
            }
    }

    /// The record of an event for a watch; nothing if it is not for it, and `Some(None)` if no record can
    /// hold it.
    fn record(
        &self,
        (id, watch): (DescriptionId, &Watch),
        place: &Place,
        event: &Event,
        covered: &mut Covered,
    ) -> Option<Option<Record>> {
        let of_child = event.child.as_ref().map(|(key, name)| {
            let place = place.with(*key, name);
            if event.is_for_child_alone { place.alone() } else { place }
        });
        let place = of_child.as_ref().unwrap_or(place);
        let path = below(watch, place, &self.state.limits);
        let concerns = event.kind.category().is_none_or(|bit| watch.filter & bit != 0);
        match (path, concerns) {
            (Some(path), true) => {
                marks::told((self.before, self.state), watch, place, event, covered);
                if !self.is_by_layers {
                    marks::told_by_an_fd((self.before, self.state), watch, place, covered);
                }
                if watch.subtree {
                    marks::unchecked(self.state, id, place, event, covered);
                }
                Some(Record::of(event.kind, &event.name, watch.subtree.then_some(path)))
            }
            (Some(path), false) => {
                marks::filtered(self.state, path.is_empty(), watch, event, covered);
                None
            }
            (None, true) => {
                marks::untold(self.state, watch, place, event, covered);
                None
            }
            (None, false) => None,
        }
    }
}

/// What one reading brings to a watch in a layer operation: the values of a key are read at once, and so are its
/// children (P-183).
pub(super) struct Reading {
    /// The keys from the watched one down to the one that is read; empty where the watch is not on that way.
    pub(super) way: Vec<Guid>,
    /// Whether it is the children.
    pub(super) of_children: bool,
    pub(super) strands: Vec<Strand>,
    /// The end of the watched key itself, which the source's answer to the deletion tells of if this cannot be read.
    pub(super) of_own_loss: Vec<Strand>,
    /// What nothing but that answer tells of.
    pub(super) of_orphans: Vec<Strand>,
}

/// What each watch in a hive is told of the layer operation between two states, by what has to be read for it.
pub(super) fn readings(
    before: &State,
    after: &State,
    hive: HiveId,
) -> BTreeMap<DescriptionId, Vec<Reading>> {
    let mut readings: BTreeMap<DescriptionId, Vec<Reading>> = BTreeMap::new();
    if !before.is_active(hive) || !after.is_active(hive) {
        return readings;
    }
    let (viewer, ignored) = (Viewer::global(), &mut Covered::new());
    let views = Views::of(before, after, hive, &viewer);
    let mut of_keys: Vec<(Guid, bool, Vec<Difference>)> = Vec::new();
    for key in views.keys() {
        of_keys.push((key, false, views.values_by_layers(key)));
        of_keys.push((key, true, views.children_by_layers(key)));
    }
    let below_dropped = views.orphans_below_dropped().into_iter();
    of_keys.extend(below_dropped.map(|(parent, orphans)| (parent, true, vec![orphans])));
    for (key, of_children, differences) in of_keys {
        if differences.is_empty() {
            continue;
        }
        let place = ancestry(&views, (hive, key), after, ignored);
        let mut told = Told::of((before, after), true);
        told.tell(&place, &differences, ignored);
        for (id, Heard { strands, of_orphans, .. }) in told.of_watches {
            let watched = after.watches.get(&id).map(|watch| watch.key);
            let at = place.chain.iter().position(|key| Some(*key) == watched);
            let way = at.map_or(Vec::new(), |at| place.chain[at..].to_vec());
            let is_orphan = watched.is_some_and(|key| views.is_orphaned(key));
            let of_own_loss =
                if way.is_empty() && is_orphan { strands.clone() } else { Vec::new() };
            let reading = Reading { way, of_children, strands, of_own_loss, of_orphans };
            readings.entry(id).or_default().push(reading);
        }
    }
    readings
}

/// The path from a watched key down to the one at `place`, if a change of that is the watch's business:
/// empty on the key itself, and as far below it as subtree watches reach.
fn below<'a>(watch: &Watch, place: &'a Place, limits: &Limits) -> Option<&'a [KeyName]> {
    let index = place.chain.iter().position(|key| *key == watch.key)?;
    let path = &place.path[index + 1..];
    (path.is_empty() || watch.subtree && is_reached(path.len(), limits)).then_some(path)
}

/// Whether subtree watches look so many levels down (DISP-36).
fn is_reached(depth: usize, limits: &Limits) -> bool {
    let depth_max = limits.max_subtree_watch_depth as usize;
    depth_max == 0 || depth <= depth_max
}

/// The canonical ancestry of a key: as far up as path entries are effective, which does not lead through
/// an orphan (D-78, P-147).
fn ancestry(
    views: &Views<'_>,
    (hive, key): (HiveId, Guid),
    state: &State,
    covered: &mut Covered,
) -> Place {
    let (mut chain, mut path) = (vec![key], Vec::new());
    let mut lowest = key;
    while let Some((parent, name)) = views.effective_place(lowest) {
        path.push(name);
        if views.was_orphan(parent) {
            if state.watches.values().any(|watch| watch.subtree && watch.is_on(hive, parent)) {
                covers!(covered, "DEL-43");
            }
            break;
        }
        // Nothing leads down through children that cannot be read (P-183).
        if chain.contains(&parent) || !views.lists_children(parent) {
            break;
        }
        chain.push(parent);
        lowest = parent;
    }
    if path.len() < chain.len() {
        // The topmost name is in no path of an event.
        path.push(views.name_of(lowest).unwrap_or_else(|| KeyName::stored("")));
    }
    chain.reverse();
    path.reverse();
    Place { hive, chain, path }
}

pub(super) fn queue_limit(limits: &Limits) -> usize {
    limits.notification_queue_size as usize
}

impl Place {
    /// The place of the parent; `None` for a hive root.
    fn above(&self) -> Option<Place> {
        let length = self.chain.len().checked_sub(1).filter(|length| *length > 0)?;
        let (chain, path) = (self.chain[..length].to_vec(), self.path[..length].to_vec());
        Some(Place { hive: self.hive, chain, path })
    }

    /// The same key without what lies above it.
    fn alone(mut self) -> Place {
        let above = self.chain.len().saturating_sub(1);
        self.chain.drain(..above);
        self.path.drain(..above.min(self.path.len()));
        self
    }

    /// The place of a child.
    fn with(&self, child: Guid, name: &KeyName) -> Place {
        let mut place = self.clone();
        place.chain.push(child);
        place.path.push(name.clone());
        place
    }
}
