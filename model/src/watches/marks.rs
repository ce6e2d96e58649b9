//! Which requirements a change shows by who is told of it and who is not.
//!
//! Marks the rules of PSD-005 §4.2 on the key of a watch, on what stands in its place by now, and on the
//! ways by which the changed key was opened. Decides nothing.

use super::difference::Event;
use super::dispatch::Arrival;
use super::records::Kind;
use super::{REG_NOTIFY_SUBKEY, Watch};
use crate::access;
use crate::coverage::{Covered, covers};
use crate::database::{Guid, Target};
use crate::layers::Touched;
use crate::names::FoldedName;
use crate::resolution::Viewer;
use crate::security::rights;
use crate::state::{DescriptionId, OpenKey, Place, State};

/// A change that an fd would be told of that is disarmed, and another is that is armed on the same key.
pub(super) fn disarmed(state: &State, place: &Place, covered: &mut Covered) {
    if state.disarmed.0.is_empty() {
        return;
    }
    let is_disarmed = |open: &&OpenKey| state.disarmed.0.contains(&open.description);
    let mut disarmed = state.open_keys.values().filter(is_disarmed);
    let is_watched = || state.watches.values().any(|watch| watch.is_on(place.hive, place.key()));
    if disarmed.any(|open| (open.hive(), open.key()) == (place.hive, place.key())) && is_watched() {
        covers!(covered, "DISP-16");
    }
}

/// The removal of a HIDDEN entry below which no key has surfaced.
pub(super) fn unhidden(before: &State, after: &State, touched: Touched<'_>, covered: &mut Covered) {
    let Touched::Child(hive, parent, name) = touched else { return };
    let hidden = |state: &State| {
        let entries = state.database(hive).lookup(parent, name.as_str());
        let entries = entries.into_iter().flat_map(|entries| entries.values());
        entries.filter(|entry| entry.target == Target::Hidden).count()
    };
    let watches = || after.watches.values().filter(|watch| watch.is_on(hive, parent));
    if hidden(after) < hidden(before) && watches().any(|w| w.filter & REG_NOTIFY_SUBKEY != 0) {
        covers!(covered, "PATH-06");
    }
}

/// What a told event shows about its watch.
pub(super) fn told(
    (before, after): (&State, &State),
    watch: &Watch,
    place: &Place,
    event: &Event,
    covered: &mut Covered,
) {
    covered.add(&event.shows);
    covers!(covered, "DISP-01", "DISP-20", "DISP-29");
    if watch.since_armed.0.is_told {
        covers!(covered, "WATCH-01");
    }
    if event.kind == Kind::KeyDeleted {
        covers!(covered, "DISP-21", "IOC-141");
    }
    if watch.since_armed.0.is_read {
        covers!(covered, "CONV-36", "WATCH-02");
    }
    if watch.since_armed.0.is_resumed {
        covers!(covered, "DISP-51");
    }
    let was_orphan = before.orphans.contains(&(watch.hive, watch.key));
    let now = now_in_place_of(after, watch);
    if matches!(now, Some(Some(other)) if other != watch.key) {
        covers!(covered, "DISP-02", "KEY-11");
    }
    if place.key() == watch.key {
        covered.add(&event.shows_on_its_own);
        let is_back = now == Some(Some(watch.key));
        if event.kind != Kind::KeyDeleted && watch.since_armed.0.times_lost > 0 && is_back {
            covers!(covered, "DISP-17");
        }
        if watch.subtree {
            covers!(covered, "DISP-24", "DISP-35", "DISP-37");
        } else {
            covers!(covered, "DISP-23");
        }
        if was_orphan && event.child.is_none() {
            covers!(covered, "DEL-40", "DEL-42", "WATCH-36");
        }
        return;
    }
    covers!(covered, "DISP-24", "DISP-31", "DISP-36", "DISP-39");
    if was_orphan {
        covers!(covered, "DISP-07");
    }
}

/// The same of a change that was made through an fd, whose way decides.
pub(super) fn told_by_an_fd(
    (before, after): (&State, &State),
    watch: &Watch,
    place: &Place,
    covered: &mut Covered,
) {
    let leads_elsewhere = |state: &State| match now_in_place_of(state, watch) {
        Some(found) => found != Some(watch.key),
        None => false,
    };
    if leads_elsewhere(before) && leads_elsewhere(after) {
        covers!(covered, "DISP-05");
    }
    if place.key() == watch.key {
        return;
    }
    covers!(covered, "DISP-04");
    match now_in_place_of(after, watch) {
        // That of an orphan is DISP-07.
        Some(None) if after.orphans.contains(&(watch.hive, watch.key)) => {}
        Some(None) => covers!(covered, "DISP-06"),
        Some(Some(other)) if other != watch.key => covers!(covered, "DISP-08"),
        _ => {}
    }
    way(after, watch, place, covered);
}

/// The way by which the key was opened that has changed shows which ancestors were recorded.
fn way(state: &State, watch: &Watch, place: &Place, covered: &mut Covered) {
    let position = |key: Guid| place.chain.iter().position(|known| *known == key);
    for open in state.open_keys.values().filter(|open| *open.place == *place) {
        let origin = &*open.origin.0;
        if origin.link.is_some() {
            covers!(covered, "DISP-32");
        }
        if origin.start.is_some_and(|start| position(watch.key) < position(start)) {
            covers!(covered, "DISP-34");
        }
    }
}

/// What one commit brings to a watch, which was and is as the second says.
pub(super) fn batch(arrivals: &[Arrival], watch: Option<(&Watch, &Watch)>, covered: &mut Covered) {
    if arrivals.len() < 2 {
        return;
    }
    covers!(covered, "DISP-41");
    if arrivals.windows(2).any(|pair| pair[0] != pair[1]) {
        covers!(covered, "DISP-42");
    }
    let times_told = |watch: &Watch| watch.since_armed.0.times_told;
    if watch.is_some_and(|(first, now)| times_told(first) < times_told(now)) {
        // Others were told of between the operations.
        covers!(covered, "DISP-43");
    }
}

/// What an event shows that the filter of a watch keeps out, which is about the watched key itself or not.
pub(super) fn filtered(
    state: &State,
    is_of_own_key: bool,
    watch: &Watch,
    event: &Event,
    covered: &mut Covered,
) {
    covers!(covered, "DISP-19");
    if !is_of_own_key {
        covers!(covered, "DISP-40");
        return;
    }
    // Another watch on the key lets it through.
    let mut others = state.watches.values().filter(|other| other.is_on(watch.hive, watch.key));
    if others.any(|other| event.kind.category().is_some_and(|bit| other.filter & bit != 0)) {
        covers!(covered, "DISP-13");
    }
}

/// What an event that a watch does not get shows about it.
pub(super) fn untold(
    state: &State,
    watch: &Watch,
    place: &Place,
    event: &Event,
    covered: &mut Covered,
) {
    if place.chain.contains(&watch.key) {
        if watch.subtree {
            covers!(covered, "DISP-25", "CONF-19");
        } else {
            covers!(covered, "DISP-23", "DISP-38");
        }
        return;
    }
    let opened = state.open_keys.values().filter(|open| *open.place == *place);
    let mut links = opened.filter_map(|open| open.origin.0.link);
    if watch.subtree && links.any(|(hive, link)| hive == watch.hive && is_above(state, watch, link))
    {
        covers!(covered, "DISP-33");
    }
    let Some(record) = state.database(watch.hive).keys.get(&watch.key) else { return };
    let is_in_place = now_in_place_of(state, watch) == Some(Some(watch.key));
    if event.kind == Kind::SubkeyCreated
        && record.parent == Some(place.key())
        && *record.name.folded() == FoldedName::of(&event.name)
        && is_in_place
    {
        covers!(covered, "DISP-18");
    }
    let ancestors = place.chain.windows(2);
    let is_successor = ancestors.zip(&place.path[1..]).any(|(pair, name)| {
        record.parent == Some(pair[0]) && record.name.folded() == name.folded()
    });
    if watch.subtree && is_successor && is_in_place {
        covers!(covered, "DISP-09");
    }
}

/// A subtree watch is told of the coming or going of a key that whoever has it could not open, or of
/// what is below such a key.
pub(super) fn unchecked(
    state: &State,
    id: DescriptionId,
    place: &Place,
    event: &Event,
    covered: &mut Covered,
) {
    let is_of_name = matches!(event.kind, Kind::SubkeyCreated | Kind::SubkeyDeleted);
    let fd = state.open_keys.values().find(|open| open.description == id);
    let Some(open) = fd.filter(|_| is_of_name) else { return };
    let database = state.database(place.hive);
    let named = database.lookup(place.key(), FoldedName::of(&event.name).as_str());
    let targets = named.into_iter().flat_map(|entries| entries.values());
    let keys = targets.map(|entry| entry.target).chain([Target::Key(place.key())]);
    let is_closed = |target: Target| {
        let Target::Key(key) = target else { return false };
        let record = database.keys.get(&key).filter(|_| key != open.key());
        let Some(Ok(descriptor)) = record.map(|record| &record.descriptor) else {
            return false;
        };
        access::would_deny(&open.origin.0.token, descriptor, rights::KEY_ENUMERATE_SUB_KEYS)
    };
    if keys.into_iter().any(is_closed) {
        covers!(covered, "SEC-51");
    }
}

/// Whether a key was created below the key of a watch.
fn is_above(state: &State, watch: &Watch, key: Guid) -> bool {
    let keys = &state.database(watch.hive).keys;
    let parent = |key: &Guid| keys.get(key).and_then(|record| record.parent);
    std::iter::successors(parent(&key), parent).take(keys.size()).any(|above| above == watch.key)
}

/// What the path of a watched key leads to, where it can be told.
fn now_in_place_of(state: &State, watch: &Watch) -> Option<Option<Guid>> {
    let record = state.database(watch.hive).keys.get(&watch.key)?;
    let viewer = Viewer::global();
    let resolver = state.kernel_resolver(watch.hive, &viewer);
    let name = record.name.folded().as_str();
    let (child, _) = resolver.child(record.parent?, name, &mut Covered::new()).ok()?;
    Some(child.map(|child| child.key))
}
