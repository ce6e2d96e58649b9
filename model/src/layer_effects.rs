//! What a change of the layer table does to the hives: entries that go, views that change.
//!
//! States PSD-005 §2.6 ("Deletion"), §2.8, §10.1 ("Layer deletion effects") and the generation steps of
//! layer operations of §6.3, with D-55, P-02, P-24, P-42, P-49 and P-187.

use std::ops::Range;

use crate::coverage::{Covered, covers};
use crate::database::{DeletedLayer, Guid, HiveId, Target};
use crate::deletion::{dropped, orphaned};
use crate::late::{Change, Late};
use crate::late_kept::Rest;
use crate::layer_refresh::{Death, Deaths};
use crate::layers::{BASE, machine};
use crate::names::FoldedName;
use crate::resolution::{Resolver, Viewer};
use crate::responses::Malformed;
use crate::security::base_layer_default_sd;
use crate::state::{Generation, Slot, SlotId, State};
use crate::watches::resolve_alike;

/// Takes a layer out of the table and its entries out of every source (§2.6 "Deletion", §2.8).
/// Says whether it can be deleted; base cannot.
pub(crate) fn delete(
    state: &mut State,
    name: &FoldedName,
    deaths: &mut Deaths,
    covered: &mut Covered,
) -> bool {
    if name.as_str() == BASE {
        base_left(state, covered);
        return false;
    }
    state.abort_writers(name, covered);
    // The metadata key may have been there without the layer: with bad metadata, or in a full
    // table. Its entries go all the same (P-24).
    if state.layers.remove_mut(name) {
        covers!(covered, "LAYER-55");
    }
    covers!(covered, "LAYER-52", "CONF-50");
    let mut is_everywhere = true;
    let slots: Vec<_> = state.slots.keys().copied().collect();
    for slot in slots {
        let death = deaths.each.iter_mut().find(|death| death.slot == slot);
        let told = death.map_or(Told::Answered, Death::strikes);
        // A source that waits for a write lock and gives up refuses (D-55, P-152).
        let refuses = state.is_any_locked(slot);
        let is_reached = state.is_slot_active(slot) && !state.is_slot_stalled(slot);
        is_everywhere &= is_reached && told == Told::Answered && !refuses;
        if state.is_slot_stalled(slot) {
            // Its late success deletes (P-264). Without a slot nothing is sent.
            let hive = state.hives_of(slot).next().map(|(hive, _)| hive);
            if let Some(hive) = hive {
                state.ask_stalled();
                let sent = state.take_slots(hive, 1);
                let (name, told) = (name.clone(), None);
                let change = Change::Layer { name, sent, is_forgiven: false, told };
                state.will_arrive(Late::new(hive, change, Rest::default(), None));
            }
        } else if !state.is_slot_active(slot) || told == Told::No || refuses {
            owe(state, slot, name);
        } else if told == Told::Answered {
            delete_at_source(state, slot, name, covered);
            is_owed_no_more(state, slot, name);
        } else {
            // The answer is what names the orphans (§7.2).
            let hives: Vec<HiveId> = state.hives_of(slot).map(|(id, _)| id).collect();
            for hive in hives {
                state.database_mut(hive).delete_layer(name);
            }
            owe(state, slot, name);
        }
    }
    if is_everywhere {
        covers!(covered, "DEL-11", "DEL-12", "LAYER-56", "IOC-088", "IOC-089");
    }
    true
}

/// How far RSI_DELETE_LAYER comes with one source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It is not carried out.
    No,
    /// It is carried out, and the source dies before it has answered.
    Unanswered,
    /// It is carried out and answered.
    Answered,
}

impl Death {
    /// After how many rounds the source may have been found Down, so that it is not forgiven what it owes
    /// (P-314). That of the metadata was there to be read in the last round.
    pub(crate) fn found_down_after(
        &self,
        state: &State,
        of_metadata: Option<SlotId>,
        rounds_max: usize,
    ) -> Range<usize> {
        let slot = state.slots.get(&self.slot);
        let owes = slot.is_some_and(|slot| !slot.pending_layer_deletions.is_empty());
        let is_of_metadata = Some(self.slot) == of_metadata;
        let first = if is_of_metadata { rounds_max.saturating_sub(1) } else { 0 };
        first..if owes { rounds_max } else { first }
    }

    /// What becomes of the next deletion.
    fn strikes(&mut self) -> Told {
        if let Some(left) = self.answered.checked_sub(1) {
            self.answered = left;
            Told::Answered
        } else if std::mem::take(&mut self.carries_out_one_more) {
            Told::Unanswered
        } else {
            Told::No
        }
    }
}

/// The deletion is replayed when the source resumes (D-55).
fn owe(state: &mut State, slot: SlotId, name: &FoldedName) {
    if let Some(slot) = state.slots.get_mut(&slot) {
        slot.pending_layer_deletions.push(name.clone());
    }
}

/// The same for the slot of a hive.
pub(crate) fn owe_in(state: &mut State, hive: HiveId, name: &FoldedName) {
    if let Some(slot) = state.hives.get(&hive).map(|hive| hive.slot) {
        owe(state, slot, name);
    }
}

/// A layer of this name is published: sources that refused to delete an earlier one and have stayed
/// Active since are not asked again. What they have kept is the new layer's (P-187). One that is `gone` has
/// been found Down before, and is told at its return (P-314).
pub(crate) fn forgive(state: &mut State, name: &FoldedName, gone: &[SlotId]) {
    let mut slots: Vec<SlotId> = state.slots.keys().copied().collect();
    slots.retain(|slot| state.is_slot_active(*slot) && !gone.contains(slot));
    for slot in slots {
        is_owed_no_more(state, slot, name);
        state.forgive_unsent(slot, name);
    }
}

/// What a source owed of deletions of a layer is settled (P-187).
pub(crate) fn is_owed_no_more(state: &mut State, slot: SlotId, name: &FoldedName) {
    let is_owed = |slot: &Slot| slot.pending_layer_deletions.contains(name);
    if state.slots.get(&slot).is_some_and(is_owed)
        && let Some(slot) = state.slots.get_mut(&slot)
    {
        slot.pending_layer_deletions.retain(|owed| owed != name);
    }
}

/// The metadata key of base is out of view, which is no deletion of a layer. Which SD decides about
/// writes from now on is open (P-28).
fn base_left(state: &mut State, covered: &mut Covered) {
    let entries = machine(state)
        .zip(state.layers_key)
        .and_then(|(hive, key)| state.database(hive).lookup(key, BASE));
    if entries.is_some_and(|entries| entries.values().any(|entry| entry.target == Target::Hidden)) {
        covers!(covered, "LAYER-18");
    } else {
        covers!(covered, "LAYER-11", "LAYER-17");
    }
    let kept = state.layers.get(BASE).map(|base| &base.descriptor);
    state.base_may_be_default = kept.is_some_and(|kept| **kept != base_layer_default_sd());
}

/// What the end of a layer shows in one hive beside what it brings back to light (`removal_marks`). Keys
/// keep what is theirs (KEY-08).
fn mark_deleted(deleted: &DeletedLayer, covered: &mut Covered) {
    if deleted.named_keys {
        covers!(covered, "PATH-02", "PATH-22", "PATH-23");
    }
    if deleted.values {
        covers!(covered, "KEY-01", "KEY-08");
    }
}

/// Keys that have values in a layer which is to go, and whose SD was set: that stays (FAIL-48).
fn mark_secured(state: &State, hive: HiveId, name: &FoldedName, covered: &mut Covered) {
    let database = state.database(hive);
    let has_values =
        |key: Guid| database.value_names(key).any(|(_, entries)| entries.get(name).is_some());
    let loses_values = |(of, key): &(HiveId, Guid)| *of == hive && has_values(*key);
    if state.secured.0.iter().any(loses_values) {
        covers!(covered, "FAIL-48", "KEY-02", "KEY-03");
    }
    if state.secured_within.0.iter().any(loses_values) {
        covers!(covered, "IOC-135");
    }
}

/// RSI_DELETE_LAYER to one source, and the keys it orphans.
pub(crate) fn delete_at_source(
    state: &mut State,
    slot: SlotId,
    name: &FoldedName,
    covered: &mut Covered,
) {
    for (hive, key) in orphaned_at_source(state, slot, name, covered) {
        dropped(state, hive, key, covered);
    }
}

/// The first half of it. Returns the orphans that nobody has open, which are to be dropped.
pub(crate) fn orphaned_at_source(
    state: &mut State,
    slot: SlotId,
    name: &FoldedName,
    covered: &mut Covered,
) -> Vec<(HiveId, Guid)> {
    let mut unopened = Vec::new();
    let hives: Vec<HiveId> = state.hives_of(slot).map(|(id, _)| id).collect();
    for hive in hives {
        mark_secured(state, hive, name, covered);
        let deleted = state.database_mut(hive).delete_layer(name);
        mark_deleted(&deleted, covered);
        for key in deleted.orphans {
            covers!(covered, "DEL-13", "FAIL-43");
            let dropped = orphaned(state, hive, Target::Key(key), covered);
            unopened.extend(dropped.map(|key| (hive, key)));
            if state.orphans.contains(&(hive, key)) {
                state.layer_orphans.0.insert_mut((hive, key));
            }
        }
    }
    unopened
}

/// One step of the generation for each other Active hive whose global effective view has changed
/// (P-02).
pub(crate) fn step_affected(
    before: &State,
    state: &mut State,
    other: impl Fn(HiveId) -> bool,
    covered: &mut Covered,
) {
    // What was shown before is asked for when the change has taken its number (P-591).
    let before = &before.looked_at_as(state);
    let hives: Vec<HiveId> = state.hives.keys().copied().collect();
    for hive in hives {
        if !other(hive) || !state.is_active(hive) || !before.is_active(hive) {
            continue;
        }
        match same_view(before, state, hive) {
            // Nobody can ask a source that does not answer (P-247), nor need anybody where no layer ranks otherwise.
            Ok(_) if state.is_stalled(hive) && !resolve_alike(before, state) => {
                state.change_generation(hive, Generation::uncertain);
            }
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
/// If something in the hive cannot be read in one of them, in view or not (P-42).
pub(crate) fn same_view(before: &State, after: &State, hive: HiveId) -> Result<bool, Malformed> {
    let viewer = Viewer::global();
    // No SD has a part in it (P-75).
    let (old, new) = (before.kernel_resolver(hive, &viewer), after.kernel_resolver(hive, &viewer));
    check_all(old)?;
    check_all(new)?;
    same_in_view(old, new)
}

/// Reads everything that a hive holds.
fn check_all(resolver: Resolver<'_>) -> Result<(), Malformed> {
    let ignored = &mut Covered::new();
    let keys = resolver.database.keys.keys().filter(|_| !resolver.is_trusted);
    for key in keys {
        resolver.values(*key, ignored)?;
        resolver.subkeys(*key, ignored)?;
    }
    Ok(())
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
