//! Layers: the layer table, who may write into a layer, and how the table follows its metadata.
//!
//! States PSD-005 §2.6, with D-50 to D-57, P-02, P-03, P-07 and P-20. A refresh reads metadata as
//! resolution shows it under the table at hand, publishes, and goes on with whatever that
//! changed. What the metadata of one layer says is read in `layer_metadata`.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::coverage::{Covered, covers};
use crate::database::{DeletedLayer, Guid, HiveId, Map, Target};
use crate::errno::Errno;
use crate::layer_metadata::{Reading, metadata};
use crate::name_marks;
use crate::names::{FoldedName, KeyName, LayerName};
use crate::outcome::Outcome;
use crate::resolution::{Resolver, Viewer};
use crate::responses::Malformed;
use crate::security::{
    SecurityDescriptor, access_check, base_layer_default_sd, rights, well_known,
};
use crate::state::{Generation, Place, SlotId, State};
use crate::step::Work;

/// The folded name of the base layer.
pub(crate) const BASE: &str = "base";

/// Passes over the metadata at boot (P-20).
const BOOT_PASSES_MAX: usize = 8;

/// An entry of the layer table (LAYER-01). It has no owner: that field decides nothing and no
/// call shows it (LAYER-09).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// The name as the metadata key spells it.
    pub(crate) name: LayerName,
    pub(crate) precedence: u32,
    pub(crate) enabled: bool,
    /// The SD of the metadata key (LAYER-35).
    pub(crate) descriptor: Arc<SecurityDescriptor>,
}

/// The table before any metadata has been read: base alone (BOOT-04, SYS-71).
pub(crate) fn initial_table() -> Map<FoldedName, Layer> {
    let name = LayerName::base();
    let descriptor = Arc::new(base_layer_default_sd());
    Map::new_sync()
        .insert(name.folded().clone(), Layer { name, precedence: 0, enabled: true, descriptor })
}

/// Layer write authorization (§2.6, "Writing into a layer"), with the calling thread's token
/// (D-27).
///
/// # Errors
///
/// ENOENT if the table has no such layer, EACCES if its metadata key's SD denies KEY_SET_VALUE.
pub(crate) fn check_write(work: &mut Work<'_>, name: &LayerName) -> Result<(), Errno> {
    let Some(layer) = work.state.layers.get(name.folded()) else {
        covers!(work.covered, "RES-30", "RES-31", "IOC-017", "ERR-10");
        return Err(Errno::ENOENT);
    };
    if layer.name.spelling() != name.spelling() {
        covers!(work.covered, "LAYER-02", "LAYER-03", "LAYER-26", "LAYER-27");
        name_marks::spellings_matched(layer.name.spelling(), name.spelling(), &mut work.covered);
    }
    if name.folded().as_str() == BASE && work.caller.token.0.user != *well_known::SYSTEM {
        covers!(work.covered, "IOC-019", "CONV-02");
    }
    if name.folded().as_str() == BASE && work.state.layers_key.is_none() {
        covers!(work.covered, "LAYER-10");
    }
    access_check(&work.caller.token, &layer.descriptor, rights::KEY_SET_VALUE)
        .map(|_| ())
        .inspect_err(|_| covers!(work.covered, "LAUTH-04", "IOC-014"))
}

/// Whether there is room for one more layer, if the creation of `name` would make one.
///
/// # Errors
///
/// ENOSPC if the table is full (LAYER-59).
pub(crate) fn check_total(
    work: &mut Work<'_>,
    parent: &Place,
    name: &KeyName,
) -> Result<(), Errno> {
    let full = work.state.layers.size() >= work.state.limits.max_total_layers as usize;
    let below_layers =
        machine(&work.state) == Some(parent.hive) && work.state.layers_key == Some(parent.key());
    if full && below_layers && !work.state.layers.contains_key(name.folded()) {
        covers!(work.covered, "LAYER-59", "LAYER-60");
        return Err(Errno::ENOSPC);
    }
    Ok(())
}

/// Whether a key is a direct child of the Layers key (D-50), the one that the path to it last
/// resolved to. An orphan is nobody's child.
pub(crate) fn is_metadata_key(state: &State, hive: HiveId, key: Guid) -> bool {
    let layers_key = state.layers_seen.as_ref().map(|(key, _)| *key);
    layers_key.is_some()
        && machine(state) == Some(hive)
        && !state.orphans.contains(&(hive, key))
        && state.database(hive).keys.get(&key).is_some_and(|key| key.parent == layers_key)
}

/// The global hive that holds the layers (D-100).
pub(crate) fn machine(state: &State) -> Option<HiveId> {
    state.routes.get("machine").copied()
}

/// The key that `Machine\System\Registry\Layers` resolves to in the global effective view (P-03).
pub(crate) fn resolve_layers_key(state: &State) -> Option<Guid> {
    let hive = machine(state).filter(|hive| state.is_active(*hive))?;
    let viewer = Viewer::global();
    let resolver = state.kernel_resolver(hive, &viewer);
    let mut key = resolver.database.root;
    for name in ["system", "registry", "layers"] {
        key = resolver.child(key, name, &mut Covered::new()).ok()?.0?.key;
    }
    Some(key)
}

/// What a committed call has changed.
#[derive(Clone, Copy)]
pub(crate) enum Touched<'a> {
    /// Values or blanket tombstones of a key.
    Values(HiveId, Guid),
    /// Path entries of a child of a key.
    Child(HiveId, Guid, &'a FoldedName),
}

impl Touched<'_> {
    fn hive(self) -> HiveId {
        match self {
            Touched::Values(hive, _) | Touched::Child(hive, _, _) => hive,
        }
    }

    /// The layer that this is about, if its metadata cannot be read: the refresh of that layer is
    /// required, whatever can be told of the change (LAYER-51, P-75).
    fn unreadable(self, state: &State) -> Option<FoldedName> {
        let (_, seen) = state.layers_seen.as_ref()?;
        let name = match self {
            Touched::Child(_, parent, name) if state.layers_key == Some(parent) => name.clone(),
            Touched::Child(..) => return None,
            Touched::Values(hive, key) => {
                state.database(hive).keys.get(&key)?.name.folded().clone()
            }
        };
        let unreadable = match seen.get(&name)? {
            Ok(metadata) => metadata.is_unreadable(),
            Err(_) => true,
        };
        unreadable.then_some(name)
    }

    /// Whether this can have changed layer metadata or where it is found.
    fn concerns_layers(self, state: &State) -> bool {
        machine(state) == Some(self.hive())
            && match self {
                Touched::Values(hive, key) => is_metadata_key(state, hive, key),
                Touched::Child(hive, parent, name) => {
                    state.layers_key == Some(parent) || is_on_the_way(state, hive, parent, name)
                }
            }
    }
}

/// Whether a child of this name below this key may be a part of the path to the Layers key.
fn is_on_the_way(state: &State, hive: HiveId, parent: Guid, name: &FoldedName) -> bool {
    let database = state.database(hive);
    let is_called = |key: Guid, name: &str| {
        database.keys.get(&key).filter(|record| record.name.folded().as_str() == name)
    };
    let is_system = |key: Guid| {
        is_called(key, "system").is_some_and(|record| record.parent == Some(database.root))
    };
    match name.as_str() {
        "system" => parent == database.root,
        "registry" => is_system(parent),
        "layers" => {
            is_called(parent, "registry").is_some_and(|record| record.parent.is_some_and(is_system))
        }
        _ => false,
    }
}

/// What follows a committed mutation before its call returns: the generation step of its hive
/// (IOC-085), and the refresh of the layers it concerns (LAYER-38).
///
/// # Errors
///
/// EIO if metadata that the refresh read is malformed (D-52).
pub(crate) fn committed(
    work: &mut Work<'_>,
    before: &State,
    touched: Touched<'_>,
) -> Result<(), Errno> {
    work.state.change_generation(touched.hive(), Generation::step);
    work.state.enumerations = Map::new_sync();
    if !touched.concerns_layers(before) {
        return Ok(());
    }
    // A Layers key that cannot be enumerated is refreshed by nobody (P-75).
    let mut first = dirty_names(&mut work.state)?;
    first.extend(touched.unreadable(&work.state));
    let unrefreshed = work.state.clone();
    let refreshed = refresh(&mut work.state, first.clone(), None, &mut work.covered);
    if work.is_interrupted() {
        deaths_in_refresh(work, before, touched, &unrefreshed, &first, &refreshed);
    }
    if refreshed.published {
        covers!(work.covered, "LAYER-23", "LAYER-30", "LAYER-38");
        let other = |hive| hive != touched.hive();
        step_affected(before, &mut work.state, other, &mut work.covered);
        work.requested(touched.hive());
    }
    if refreshed.failed {
        return Err(Errno::EIO);
    }
    if work.state.database(touched.hive()).seeded && refreshed.deleted > 0 {
        read_before_deletions(work, before, touched, unrefreshed.clone(), first, &refreshed);
    }
    if work.state.database(touched.hive()).seeded && any_unreadable(&unrefreshed) {
        // It may have come behind the kernel's back, and be met by this refresh or not (P-41).
        work.otherwise.push((Outcome::Failed(Errno::EIO), work.state.clone()));
    }
    Ok(())
}

/// The other order that a refresh may have over malformed data: every round reads what was there
/// before the deletions that the refresh itself causes are carried out (P-48).
fn read_before_deletions(
    work: &mut Work<'_>,
    before: &State,
    touched: Touched<'_>,
    mut state: State,
    first: BTreeSet<FoldedName>,
    refreshed: &Refreshed,
) {
    let Some(slot) = state.hives.get(&touched.hive()).map(|hive| hive.slot) else { return };
    let death = Some(Death { slot, carried_out: 0, rounds_max: refreshed.rounds });
    let read_once = refresh(&mut state, first, death, &mut Covered::new());
    step_affected(before, &mut state, |hive| hive != touched.hive(), &mut Covered::new());
    let owed =
        state.slots.get_mut(&slot).map(|slot| std::mem::take(&mut slot.pending_layer_deletions));
    for layer in owed.unwrap_or_default() {
        delete_at_source(&mut state, slot, &layer, &mut Covered::new());
    }
    let outcome = if read_once.failed { Outcome::Failed(Errno::EIO) } else { Outcome::Done };
    work.otherwise.push((outcome, state));
}

/// Whether the metadata of some layer in view cannot be read.
fn any_unreadable(state: &State) -> bool {
    let seen = state.layers_seen.as_ref();
    seen.is_some_and(|(_, seen)| {
        seen.values().any(|reading| reading.as_ref().map_or(true, |read| read.is_unreadable()))
    })
}

/// The states in which a death of a source within a refresh may leave the registry: so many rounds
/// are published (all of them unless the source is that of the metadata, which cannot be read any
/// more), and the source has carried out so many of the layer deletions and owes the others (D-55,
/// P-08).
fn deaths_in_refresh(
    work: &mut Work<'_>,
    before: &State,
    touched: Touched<'_>,
    unrefreshed: &State,
    first: &BTreeSet<FoldedName>,
    refreshed: &Refreshed,
) {
    let of_metadata = work.state.hives.get(&touched.hive()).map(|hive| hive.slot);
    let slots: Vec<SlotId> = work.state.slots.keys().copied().collect();
    for slot in slots {
        let rounds_min = if Some(slot) == of_metadata { 1 } else { refreshed.rounds };
        for rounds_max in rounds_min..=refreshed.rounds {
            for carried_out in 0..=refreshed.deleted {
                let mut state = unrefreshed.clone();
                let death = Some(Death { slot, carried_out, rounds_max });
                refresh(&mut state, first.clone(), death, &mut Covered::new());
                let other = |hive| hive != touched.hive();
                step_affected(before, &mut state, other, &mut Covered::new());
                if Some(slot) != of_metadata && carried_out < refreshed.deleted {
                    // Found Down before the next deletion was sent, it owes that one (D-55), and
                    // no request of this call has failed.
                    let mut found_down = state.clone();
                    for hive in state.hives.iter().filter(|(_, hive)| hive.slot == slot) {
                        found_down.change_generation(*hive.0, Generation::uncertain);
                    }
                    work.otherwise.push((Outcome::Done, found_down));
                }
                work.may_have_ended_in(state, touched.hive());
            }
        }
    }
}

/// The table as it is read at the first registration since boot: from base alone, pass by pass,
/// until a pass changes nothing (P-20).
pub(crate) fn load(before: &State, state: &mut State, hives: &[HiveId]) {
    let Some(machine) = machine(state).filter(|machine| hives.contains(machine)) else { return };
    for _ in 0..BOOT_PASSES_MAX {
        state.layers_key = resolve_layers_key(state);
        let Some(key) = state.layers_key else { break };
        let Ok(visible) = visible_metadata(state, machine, key) else { break };
        state.layers_seen = Some((key, visible.clone()));
        let mut next = State { layers: initial_table(), ..state.clone() };
        for name in visible.keys().cloned().collect::<BTreeSet<FoldedName>>().iter() {
            let good = visible.get(name).is_some_and(|reading| {
                publish(&mut next, name, reading.clone(), &mut Covered::new())
            });
            let room = next.layers.size() < next.limits.max_total_layers as usize;
            if let (false, true, Some(former)) = (good, room, state.layers.get(name)) {
                next.layers.insert_mut(name.clone(), former.clone());
            }
        }
        if next.layers == state.layers {
            break;
        }
        state.layers = next.layers;
    }
    // What has been seen is what the last table shows, if it can be seen.
    let _ = dirty_names(state);
    step_affected(before, state, |hive| !hives.contains(&hive), &mut Covered::new());
}

/// The refresh when the source of the Machine hive has resumed (P-07).
pub(crate) fn reload(before: &State, state: &mut State, hives: &[HiveId]) {
    if machine(state).is_none_or(|machine| !hives.contains(&machine)) {
        return;
    }
    // Every name is read as at boot; what was there when it was last read may have left.
    let Ok(mut names) = dirty_names(state) else { return };
    let (Some(_), Some((_, visible))) = (state.layers_key, &state.layers_seen) else { return };
    names.extend(visible.keys().cloned());
    let unrefreshed = state.clone();
    if refresh(state, names, None, &mut Covered::new()).published {
        step_affected(before, state, |hive| !hives.contains(&hive), &mut Covered::new());
        let machine = machine(state);
        for hive in hives.iter().filter(|hive| machine != Some(**hive)) {
            if same_view(&unrefreshed, state, *hive) != Ok(true) {
                // A layer operation, but one of a resumption (P-47).
                state.change_generation(*hive, Generation::uncertain);
            }
        }
    }
}

/// One step of the generation for each other Active hive whose global effective view has changed
/// (P-02).
fn step_affected(
    before: &State,
    state: &mut State,
    other: impl Fn(HiveId) -> bool,
    covered: &mut Covered,
) {
    let hives: Vec<HiveId> = state.hives.keys().copied().collect();
    for hive in hives {
        if !other(hive) || !state.is_active(hive) || !before.is_active(hive) {
            continue;
        }
        match same_view(before, state, hive) {
            Ok(true) => {}
            Ok(false) => {
                covers!(covered, "LAYER-33", "IOC-090");
                state.change_generation(hive, Generation::step);
            }
            // Nobody can tell what a source's malformed data hides (P-42).
            Err(_) => state.change_generation(hive, Generation::uncertain),
        }
    }
}

/// Whether a hive shows the same keys and the same effective values as (type, data) in two worlds.
///
/// # Errors
///
/// If something in the hive cannot be read, in view or not, and what can be read is the same.
fn same_view(before: &State, after: &State, hive: HiveId) -> Result<bool, Malformed> {
    let viewer = Viewer::global();
    // No SD has a part in it (P-75).
    let (old, new) = (before.kernel_resolver(hive, &viewer), after.kernel_resolver(hive, &viewer));
    if !same_in_view(old, new)? {
        return Ok(false);
    }
    let ignored = &mut Covered::new();
    for key in new.database.keys.keys() {
        new.values(*key, ignored)?;
        new.subkeys(*key, ignored)?;
    }
    Ok(true)
}

fn same_in_view(old: Resolver<'_>, new: Resolver<'_>) -> Result<bool, Malformed> {
    let ignored = &mut Covered::new();
    let mut keys = vec![old.database.root];
    while let Some(key) = keys.pop() {
        let (old_values, new_values) = (old.values(key, ignored)?.0, new.values(key, ignored)?.0);
        let same_values = old_values.len() == new_values.len()
            && old_values.iter().zip(&new_values).all(|(old, new)| {
                old.entry.name.folded() == new.entry.name.folded()
                    && old.entry.value_type == new.entry.value_type
                    && old.entry.data == new.entry.data
            });
        let (old_keys, new_keys) = (old.subkeys(key, ignored)?.0, new.subkeys(key, ignored)?.0);
        let same_keys = old_keys.len() == new_keys.len()
            && old_keys.iter().zip(&new_keys).all(|(old, new)| {
                old.key == new.key && old.entry.name.folded() == new.entry.name.folded()
            });
        if !same_values || !same_keys {
            return Ok(false);
        }
        keys.extend(new_keys.iter().map(|child| child.key));
    }
    Ok(true)
}

struct Refreshed {
    published: bool,
    failed: bool,
    /// Layers that were deleted.
    deleted: usize,
    /// Rounds that were published.
    rounds: usize,
}

/// A source that dies while it is told of layer deletions.
#[derive(Clone, Copy)]
struct Death {
    slot: SlotId,
    /// Deletions that it still carries out.
    carried_out: usize,
    /// Rounds that are still published.
    rounds_max: usize,
}

/// The rounds of a refresh (D-57). Each name takes part at most once, which bounds them.
fn refresh(
    state: &mut State,
    first: BTreeSet<FoldedName>,
    mut death: Option<Death>,
    covered: &mut Covered,
) -> Refreshed {
    let rounds_max = death.map_or(usize::MAX, |death| death.rounds_max);
    let mut refreshed = Refreshed { published: false, failed: false, deleted: 0, rounds: 0 };
    let mut done: BTreeSet<FoldedName> = BTreeSet::new();
    let mut dirty = first;
    while !dirty.is_empty() && refreshed.rounds < rounds_max {
        if refreshed.published {
            covers!(covered, "LAYER-29", "LAYER-31", "LAYER-32");
        }
        let round = state.clone();
        for name in &dirty {
            let read = metadata(&round, name);
            match read {
                None => {
                    refreshed.deleted += usize::from(delete(state, name, &mut death, covered));
                }
                Some(reading) => {
                    let good = publish(state, name, reading, covered);
                    refreshed.failed |= !good;
                }
            }
        }
        refreshed.published = true;
        refreshed.rounds += 1;
        done.extend(dirty);
        dirty = dirty_names(state).unwrap_or_else(|_| {
            refreshed.failed = true;
            BTreeSet::new()
        });
        dirty.retain(|name| !done.contains(name));
    }
    refreshed
}

/// The layers whose metadata effectively differs from what was last read of it, after the Layers
/// key has been found again (P-03, P-15). What is read now is what was last read from now on.
///
/// # Errors
///
/// If the source's enumeration of the Layers key is malformed.
fn dirty_names(state: &mut State) -> Result<BTreeSet<FoldedName>, Malformed> {
    state.layers_key = resolve_layers_key(state);
    let (Some(machine), Some(key)) = (machine(state), state.layers_key) else {
        return Ok(BTreeSet::new());
    };
    let now = visible_metadata(state, machine, key)?;
    let visible: BTreeSet<FoldedName> = now.keys().cloned().collect();
    let seen = state.layers_seen.replace((key, now.clone()));
    let Some((_, seen)) = seen.filter(|(seen_key, _)| *seen_key == key) else {
        return Ok(visible);
    };
    let mut names = visible;
    names.extend(seen.keys().cloned());
    names.retain(|name| seen.get(name) != now.get(name));
    Ok(names)
}

/// What is visible below the Layers key, by name.
///
/// # Errors
///
/// If the source's enumeration of it is malformed, so that no name is known.
fn visible_metadata(
    state: &State,
    machine: HiveId,
    key: Guid,
) -> Result<Map<FoldedName, Reading>, Malformed> {
    let viewer = Viewer::global();
    let resolver = state.kernel_resolver(machine, &viewer);
    let (children, _) = resolver.subkeys(key, &mut Covered::new())?;
    let names = children.iter().map(|child| child.entry.name.folded());
    Ok(names.filter_map(|name| Some((name.clone(), metadata(state, name)?))).collect())
}

/// What was put into a store behind the kernel's back makes no layer dirty: what it would read now
/// is what it last read (P-41).
pub(crate) fn unnoticed(state: &mut State) {
    let (Some(machine), Some(key)) = (machine(state), state.layers_key) else { return };
    if state.is_active(machine)
        && let Ok(now) = visible_metadata(state, machine, key)
    {
        state.layers_seen = Some((key, now));
    }
}

/// Puts a layer into the table, in one piece (LAYER-41). False if its metadata is malformed, so
/// that the former entry stays (LAYER-50, D-52).
fn publish(state: &mut State, name: &FoldedName, reading: Reading, covered: &mut Covered) -> bool {
    let Some((metadata, descriptor)) =
        reading.ok().and_then(|metadata| Some((metadata.clone(), metadata.descriptor.ok()?)))
    else {
        covers!(covered, "LAYER-36", "LAYER-50", "LAYER-51", "SRC-49");
        return false;
    };
    if name.as_str() == BASE {
        // Nothing of base can be changed but who may write into it (LAYER-16, IOC-020).
        covers!(covered, "LAYER-12", "LAYER-13", "LAYER-15", "LAYER-16");
        let layer = Layer { name: LayerName::base(), precedence: 0, enabled: true, descriptor };
        state.layers.insert_mut(name.clone(), layer);
        return true;
    }
    let Some((precedence, enabled)) =
        metadata.precedence().zip(metadata.enabled()).filter(|_| metadata.has_good_owner())
    else {
        // Nothing of it is taken, the good parts neither.
        covers!(covered, "LAYER-41", "LAYER-42");
        return false;
    };
    metadata.mark(state, covered);
    match state.layers.get(name) {
        None => {
            if state.layers.size() >= state.limits.max_total_layers as usize {
                return true;
            }
            covers!(covered, "LAYER-01", "LAYER-22", "LAYER-35", "LAYER-52", "LAYER-53", "RES-29");
        }
        Some(former) => {
            if former.precedence != precedence {
                covers!(covered, "LAYER-07", "LAYER-22", "RES-04", "IOC-091");
            }
            if former.enabled != enabled {
                covers!(covered, "LAYER-08", "LAYER-22", "RES-02");
            }
        }
    }
    let layer = Layer { name: metadata.name, precedence, enabled, descriptor };
    state.layers.insert_mut(name.clone(), layer);
    true
}

/// Takes a layer out of the table and its entries out of every source (§2.6 "Deletion", §2.8).
/// Says whether it can be deleted; base cannot.
fn delete(
    state: &mut State,
    name: &FoldedName,
    death: &mut Option<Death>,
    covered: &mut Covered,
) -> bool {
    if name.as_str() == BASE {
        covers!(covered, "LAYER-11", "LAYER-17", "LAYER-18");
        return false;
    }
    // The metadata key may have been there without the layer: with bad metadata, or in a full
    // table. Its entries go all the same (P-24).
    state.layers.remove_mut(name);
    covers!(covered, "LAYER-52", "LAYER-55", "LAYER-56", "DEL-11", "DEL-12");
    covers!(covered, "IOC-088", "IOC-089");
    let slots: Vec<_> = state.slots.keys().copied().collect();
    for slot in slots {
        let active = state.is_slot_active(slot);
        let alive = match death {
            Some(death) if death.slot == slot => {
                let alive = death.carried_out > 0;
                death.carried_out = death.carried_out.saturating_sub(1);
                alive
            }
            _ => true,
        };
        if active && alive {
            delete_at_source(state, slot, name, covered);
        } else if let Some(slot) = state.slots.get_mut(&slot) {
            // Replayed when it resumes (D-55).
            slot.pending_layer_deletions.push(name.clone());
        }
    }
    true
}

/// What the end of a layer shows in one hive. Nobody rewrites anything, and keys keep what is theirs
/// (RES-37, KEY-08).
fn mark_deleted(deleted: &DeletedLayer, covered: &mut Covered) {
    if deleted.named_keys {
        covers!(covered, "PATH-02", "PATH-22", "PATH-23");
    }
    if deleted.replacements {
        covers!(covered, "PATH-21", "RES-37");
    }
    if deleted.hidden {
        covers!(covered, "PATH-17", "IOC-108");
    }
    if deleted.values {
        covers!(covered, "VAL-03", "DEL-14", "RES-37", "KEY-01", "KEY-08");
    }
    if deleted.tombstones {
        covers!(covered, "VAL-11", "VAL-22");
    }
    if deleted.blankets {
        covers!(covered, "VAL-11", "VAL-33", "DEL-15");
    }
}

/// RSI_DELETE_LAYER to one source, and the keys it orphans.
pub(crate) fn delete_at_source(
    state: &mut State,
    slot: SlotId,
    name: &FoldedName,
    covered: &mut Covered,
) {
    let hives: Vec<HiveId> = state.hives_of(slot).map(|(id, _)| id).collect();
    for hive in hives {
        let deleted = state.database_mut(hive).delete_layer(name);
        mark_deleted(&deleted, covered);
        for key in deleted.orphans {
            covers!(covered, "DEL-13", "FAIL-43");
            crate::deletion::name_lost(state, hive, Target::Key(key), covered);
        }
    }
}
