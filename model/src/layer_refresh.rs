//! How the layer table follows its metadata: at boot, when a source comes back, and when it changes.
//!
//! States PSD-005 §2.6 ("Circularity", "Enforcement", "Layer lifecycle mechanism"), with D-51 to D-57,
//! P-03, P-07, P-20, P-25, P-26, P-184 and P-187. A refresh reads metadata as resolution shows it under the table at
//! hand, publishes, and goes on with whatever that changed. What the metadata of one layer says is read
//! in `layer_metadata`; what a change of the table does to everything else is in `layer_effects`.

use std::collections::BTreeSet;

use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId, Map, Set};
use crate::layer_effects::{delete, forgive, same_view, step_affected};
use crate::layer_metadata::{Metadata, Reading, metadata};
use crate::layers::{BASE, Layer, initial_table, machine};
use crate::names::{FoldedName, LayerName};
use crate::resolution::Viewer;
use crate::responses::Malformed;
use crate::security::control;
use crate::state::{Generation, SlotId, State};
use crate::watches::layers_changed;

/// Passes over the metadata at boot (P-20) and at a resumption (P-07).
const PASSES_MAX: usize = 8;

/// The table as it is read at the first registration since boot: from base alone, pass by pass,
/// until a pass changes nothing (P-20), or until something on the way to the names cannot be read
/// (P-26).
pub(crate) fn load(before: &State, state: &mut State, hives: &[HiveId]) {
    let Some(machine) = machine(state).filter(|machine| hives.contains(machine)) else { return };
    for _ in 0..PASSES_MAX {
        state.layers_key = resolve_layers_key(state).unwrap_or(None);
        let Some(key) = state.layers_key else { break };
        found(state, key);
        let Ok(visible) = visible_metadata(state, machine, key) else {
            state.layers_unread = true;
            break;
        };
        state.layers_seen = Some((key, visible.clone()));
        let mut next = State { layers: initial_table(), ..state.clone() };
        for name in visible.keys().cloned().collect::<BTreeSet<FoldedName>>().iter() {
            let good = visible.get(name).is_some_and(|reading| {
                publish(&mut next, name, reading.clone(), &[], &mut Covered::new())
            });
            let room = next.layers.contains_key(name)
                || next.layers.size() < next.limits.max_total_layers as usize;
            if let (false, true, Some(former)) = (good, room, state.layers.get(name)) {
                next.layers.insert_mut(name.clone(), former.clone());
            }
        }
        if next.layers == state.layers {
            break;
        }
        state.layers = next.layers;
    }
    state.layers_key = resolve_layers_key(state).unwrap_or(None);
    state.layers_unread |= take_as_last_shown(state, machine).is_err();
    tell_others(before, state, hives);
}

/// The refresh when the source of the Machine hive has resumed (P-07). What cannot be read leaves the
/// table as it is (P-26).
pub(crate) fn reload(before: &State, state: &mut State, hives: &[HiveId]) {
    let Some(machine) = machine(state).filter(|machine| hives.contains(machine)) else { return };
    let unrefreshed = state.clone();
    if reload_passes(state, machine) {
        tell_others(before, state, hives);
        for hive in hives.iter().filter(|hive| machine != **hive) {
            if same_view(&unrefreshed, state, *hive) != Ok(true) {
                // A layer operation, but one of a resumption (P-47).
                state.change_generation(*hive, Generation::uncertain);
            }
        }
    }
}

/// What the table that a registration has brought changes in hives which are not its own. The counter has risen and
/// the parameters are in force by then (§8.1), and what was shown before is judged by them as well (P-139, P-531).
fn tell_others(before: &State, state: &mut State, hives: &[HiveId]) {
    step_affected(before, state, |hive| !hives.contains(&hive), &mut Covered::new());
    layers_changed(
        &before.looked_at_as(state),
        state,
        |hive| !hives.contains(&hive),
        &mut Covered::new(),
    );
}

/// Every name is read as at boot, pass by pass, under the table that there is; what was there when it was
/// last read may have left. A name that was deleted has had its turn (P-21). Says whether there was a pass.
fn reload_passes(state: &mut State, machine: HiveId) -> bool {
    let mut refreshed = Refreshed::new();
    let mut deleted = BTreeSet::new();
    state.layers_unread = false;
    state.layers_unanswered = false;
    for _ in 0..PASSES_MAX {
        let names = differing_names(state).and_then(|mut names| {
            let Some(key) = state.layers_key else { return Ok(None) };
            let visible = visible_metadata(state, machine, key)?;
            names.extend(visible.keys().cloned());
            names.retain(|name| !deleted.contains(name));
            deleted.extend(names.iter().filter(|name| visible.get(*name).is_none()).cloned());
            Ok(Some(names))
        });
        match names {
            Ok(Some(names)) if !names.is_empty() => {
                let (former, gone) = (state.layers.clone(), refreshed.deleted);
                round(state, &names, &mut Deaths::none(), &mut refreshed, &mut Covered::new());
                if state.layers == former && refreshed.deleted == gone {
                    break;
                }
            }
            Ok(_) => break,
            Err(_) => {
                state.layers_unread = true;
                return refreshed.published;
            }
        }
    }
    // What is known after passes is how the last table shows it, the Layers key too (P-184). Nobody asks what is
    // below the key once more before a name is to be read.
    state.layers_key = resolve_layers_key(state).unwrap_or(state.layers_key);
    let _ = take_as_last_shown(state, machine);
    refreshed.published
}

/// After passes, what was last read of each name is what the last table shows of it, and none waits (P-184).
///
/// # Errors
///
/// If the source's enumeration of the Layers key is malformed, so that no name is known.
fn take_as_last_shown(state: &mut State, machine: HiveId) -> Result<(), Malformed> {
    state.layers_waiting = Set::new_sync();
    let Some(key) = state.layers_key else { return Ok(()) };
    found(state, key);
    let now = visible_metadata(state, machine, key)?;
    state.layers_seen = Some((key, now));
    Ok(())
}

/// The key that `Machine\System\Registry\Layers` resolves to in the global effective view (P-03).
///
/// # Errors
///
/// If what the source answers on the way is malformed.
pub(crate) fn resolve_layers_key(state: &State) -> Result<Option<Guid>, Malformed> {
    resolve(state, &["system", "registry", "layers"])
}

/// The key to which these folded names lead from the root of Machine in the global effective view. No
/// symbolic link is followed (P-22).
///
/// # Errors
///
/// If what the source answers on the way is malformed.
pub(crate) fn resolve(state: &State, names: &[&str]) -> Result<Option<Guid>, Malformed> {
    let Some(hive) = machine(state).filter(|hive| state.is_active(*hive)) else { return Ok(None) };
    let viewer = Viewer::global();
    let resolver = state.kernel_resolver(hive, &viewer);
    let mut key = resolver.database.root;
    for name in names {
        let (child, _) = resolver.child(key, name, &mut Covered::new())?;
        let Some(child) = child else { return Ok(None) };
        key = child.key;
    }
    Ok(Some(key))
}

/// What a refresh asks for beside the layers that are known to be affected (P-25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nothing: neither the way to the Layers key nor the other names below it.
    Affected,
    /// All of it.
    Everything,
}

/// What a refresh did.
pub(crate) struct Refreshed {
    /// Whether the table may have changed.
    pub(crate) published: bool,
    /// Whether it met bad metadata.
    pub(crate) failed: bool,
    /// The metadata keys of which nothing but the SD is bad.
    pub(crate) bad_descriptors: Vec<Guid>,
    /// Layers that were deleted.
    pub(crate) deleted: usize,
    /// Rounds that were published.
    pub(crate) rounds: usize,
}

impl Refreshed {
    fn new() -> Refreshed {
        Refreshed {
            published: false,
            failed: false,
            bad_descriptors: Vec::new(),
            deleted: 0,
            rounds: 0,
        }
    }
}

/// A source that dies while it is told of layer deletions.
#[derive(Clone, Copy)]
pub(crate) struct Death {
    pub(crate) slot: SlotId,
    /// Deletions that it still carries out and answers.
    pub(crate) answered: usize,
    /// Whether it carries out the one that follows, and dies before it has answered.
    pub(crate) carries_out_one_more: bool,
    /// Rounds that are published before it is found Down; what it owed of a layer that a later one publishes
    /// is not forgiven (P-314).
    pub(crate) rounds_alive: usize,
}

/// The sources that die in the course of one refresh.
#[derive(Clone)]
pub(crate) struct Deaths {
    /// At most one of each slot.
    pub(crate) each: Vec<Death>,
    /// Rounds that are still published.
    pub(crate) rounds_max: usize,
}

impl Deaths {
    /// No source dies.
    pub(crate) fn none() -> Deaths {
        Deaths { each: Vec::new(), rounds_max: usize::MAX }
    }

    /// The slots that have been found Down when so many rounds are published.
    fn found_down(&self, rounds: usize) -> Vec<SlotId> {
        let gone = self.each.iter().filter(|death| rounds >= death.rounds_alive);
        gone.map(|death| death.slot).collect()
    }
}

/// The rounds of a refresh (D-57). Each name takes part at most once, which bounds them.
pub(crate) fn refresh(
    state: &mut State,
    first: BTreeSet<FoldedName>,
    reach: Reach,
    mut deaths: Deaths,
    covered: &mut Covered,
) -> Refreshed {
    let mut refreshed = Refreshed::new();
    state.layers_waiting = Set::new_sync();
    let mut done: BTreeSet<FoldedName> = BTreeSet::new();
    let mut dirty = first;
    while !dirty.is_empty() && refreshed.rounds < deaths.rounds_max {
        if refreshed.published {
            covers!(covered, "LAYER-29", "LAYER-31");
        }
        let began = round(state, &dirty, &mut deaths, &mut refreshed, covered);
        done.extend(dirty);
        let next = match reach {
            Reach::Everything => differing_names(state),
            Reach::Affected => affected_names(&began, state),
        };
        dirty = next.unwrap_or_else(|_| {
            refreshed.failed = true;
            BTreeSet::new()
        });
        // A name that has had its turn waits for the next refresh: what its turn has read is what was
        // last read of it (P-21, P-184).
        for name in dirty.intersection(&done) {
            state.layers_waiting.insert_mut(name.clone());
        }
        dirty.retain(|name| !done.contains(name));
    }
    refreshed
}

/// One round: these names are read under the table as the round began, and published together. Returns
/// the state as it began.
fn round(
    state: &mut State,
    names: &BTreeSet<FoldedName>,
    deaths: &mut Deaths,
    refreshed: &mut Refreshed,
    covered: &mut Covered,
) -> State {
    let began = state.clone();
    let gone = deaths.found_down(refreshed.rounds);
    for name in names {
        let read = metadata(&began, name);
        was_read(state, name, read.clone());
        match read {
            None => refreshed.deleted += usize::from(delete(state, name, deaths, covered)),
            Some(reading) => {
                refreshed.bad_descriptors.extend(bad_descriptor(&reading));
                let good = publish(state, name, reading, &gone, covered);
                refreshed.failed |= !good;
            }
        }
    }
    refreshed.published = true;
    refreshed.rounds += 1;
    began
}

/// The layers whose metadata effectively differs from what was last read of it, after the Layers
/// key has been found again (P-03, P-15).
///
/// # Errors
///
/// If the source answers with malformed data on the way to the Layers key, or when it is asked what
/// is below it. Nothing has changed then but the Layers key, if it was found.
pub(crate) fn differing_names(state: &mut State) -> Result<BTreeSet<FoldedName>, Malformed> {
    state.layers_key = resolve_layers_key(state)?;
    let (Some(machine), Some(key)) = (machine(state), state.layers_key) else {
        return Ok(BTreeSet::new());
    };
    let seen = found(state, key);
    let now = visible_metadata(state, machine, key)?;
    state.layers_unread = false;
    state.layers_unanswered = false;
    Ok(differing(&seen, &now))
}

/// The names of which two readings of what is below the Layers key differ.
fn differing(
    seen: &Map<FoldedName, Reading>,
    now: &Map<FoldedName, Reading>,
) -> BTreeSet<FoldedName> {
    let names: BTreeSet<FoldedName> = now.keys().chain(seen.keys()).cloned().collect();
    names.into_iter().filter(|name| seen.get(name) != now.get(name)).collect()
}

/// The names that wait for the refresh that begins (P-184), if they still are not what their turn in an
/// earlier one has read.
pub(crate) fn waiting_names(state: &State) -> BTreeSet<FoldedName> {
    let Some((_, seen)) = &state.layers_seen else { return BTreeSet::new() };
    let is_dirty = |name: &&FoldedName| seen.get(*name) != metadata(state, name).as_ref();
    state.layers_waiting.iter().filter(is_dirty).cloned().collect()
}

/// The layers whose metadata a round of a refresh has changed, and effectively differs from what was
/// last read of it; all that differ if the round has changed where the Layers key is.
///
/// # Errors
///
/// If the Layers key has to be found again and cannot.
fn affected_names(round: &State, state: &mut State) -> Result<BTreeSet<FoldedName>, Malformed> {
    let is_where_it_was = resolve_layers_key(round).ok() == resolve_layers_key(state).ok();
    let (true, Some(machine), Some(key)) = (is_where_it_was, machine(state), state.layers_key)
    else {
        return differing_names(state);
    };
    let seen = found(state, key);
    let names = round.database(machine).children(key).map(|(name, _)| name);
    let affected = names.filter(|&name| {
        let now = metadata(state, name);
        now != metadata(round, name) && seen.get(name) != now.as_ref()
    });
    Ok(affected.cloned().collect())
}

/// The path has led to this key. Returns what was last read below it; of what is only below another
/// key nothing is known any more (P-03), but that a metadata key of base was in view there: if none is here,
/// that one has left, whenever this can be read (P-192).
fn found(state: &mut State, key: Guid) -> Map<FoldedName, Reading> {
    let seen = match state.layers_seen.take() {
        Some((seen_key, seen)) if seen_key == key => seen,
        former => {
            state.layers_waiting = Set::new_sync();
            let mut seen = Map::new_sync();
            if let Some((name, base)) =
                former.as_ref().and_then(|(_, seen)| seen.get_key_value(BASE))
            {
                seen.insert_mut(name.clone(), base.clone());
            }
            seen
        }
    };
    state.layers_seen = Some((key, seen.clone()));
    seen
}

/// This is what was last read of a name.
fn was_read(state: &mut State, name: &FoldedName, reading: Option<Reading>) {
    if let Some((_, seen)) = &mut state.layers_seen {
        match reading {
            Some(reading) => seen.insert_mut(name.clone(), reading),
            None => {
                seen.remove_mut(name);
            }
        }
    }
}

/// What is visible below the Layers key, by name.
///
/// # Errors
///
/// If the source's enumeration of it is malformed, so that no name is known.
pub(crate) fn visible_metadata(
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

/// The metadata key, if its SD is all that is malformed.
fn bad_descriptor(reading: &Reading) -> Option<Guid> {
    reading.as_ref().ok().and_then(Metadata::key_of_bad_descriptor)
}

/// The metadata keys that the registration of a slot makes the kernel read, and of which nothing but the
/// SD is bad (LAYER-49): all that are visible, if the slot has the Machine hive (P-07, P-20) and the
/// kernel finds the Layers key (P-26).
pub(crate) fn bad_at_registration(state: &State, slot: SlotId) -> Option<(HiveId, Vec<Guid>)> {
    let machine = machine(state)?;
    let is_served = state.hives.get(&machine).is_some_and(|hive| hive.slot == slot);
    let key = resolve_layers_key(state).ok()?.filter(|_| is_served)?;
    let visible = visible_metadata(state, machine, key).ok()?;
    let keys: Vec<Guid> = visible.values().filter_map(bad_descriptor).collect();
    (!keys.is_empty()).then_some((machine, keys))
}

/// Puts a layer into the table, in one piece (LAYER-41). False if its metadata is malformed, so
/// that the former entry stays (LAYER-50, D-52).
fn publish(
    state: &mut State,
    name: &FoldedName,
    reading: Reading,
    gone: &[SlotId],
    covered: &mut Covered,
) -> bool {
    let Ok(metadata) = reading else { return false };
    let Ok(descriptor) = metadata.descriptor.clone() else {
        match state.layers.contains_key(name) {
            true => covers!(covered, "LAYER-50", "SRC-49"),
            false => covers!(covered, "LAYER-36"),
        }
        return false;
    };
    if name.as_str() == BASE {
        // Nothing of base can be changed but who may write into it (LAYER-16, IOC-020).
        covers!(covered, "LAYER-15");
        if descriptor.other_control & control::DACL_AUTO_INHERITED != 0 {
            covers!(covered, "LAUTH-27");
        } else {
            covers!(covered, "IOC-020");
        }
        if metadata.enabled() != Some(true) {
            covers!(covered, "LAYER-12", "LAYER-16", "BOOT-26");
        }
        if metadata.precedence() != Some(0) {
            covers!(covered, "LAYER-13", "LAYER-16", "BOOT-26");
        }
        let layer = Layer { name: LayerName::base(), precedence: 0, enabled: true, descriptor };
        state.layers.insert_mut(name.clone(), layer);
        state.base_may_be_default = false;
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
            covers!(covered, "LAYER-01", "LAYER-22", "LAYER-35", "LAYER-52", "LAYER-53");
            covers!(covered, "CONF-49", "CONF-52");
            if state.databases.values().any(|database| database.has_entries_of(name)) {
                covers!(covered, "RES-29");
            }
        }
        Some(former) => {
            if former.precedence != precedence {
                covers!(covered, "LAYER-22", "CONF-46");
            }
            if former.enabled != enabled {
                covers!(covered, "LAYER-22", "CONF-47");
            }
            if former.descriptor != descriptor {
                covers!(covered, "LAUTH-08", "LAUTH-26", "IOC-018", "CONF-48");
            }
        }
    }
    let layer = Layer { name: metadata.name, precedence, enabled, descriptor };
    state.layers.insert_mut(name.clone(), layer);
    forgive(state, name, gone);
    true
}
