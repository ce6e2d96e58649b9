//! What happens to the registry without a call: sources come, die and return; the machine boots.
//!
//! States PSD-005 §7.1 (source slots, life cycle), §7.3 (hive root creation, crash recovery),
//! §8.1 and §10.1 (source crash), with D-55, D-111, P-01, P-07 and P-11.

use std::sync::Arc;

use crate::coverage::{Covered, covers};
use crate::database::{Database, HiveId, KeyRecord, Map, Set, Time};
use crate::input::{Environment, SourceId, UnixTime};
use crate::layers;
use crate::names::KeyName;
use crate::outcome::Outcome;
use crate::security::{SecurityDescriptor, default_root_sd};
use crate::state::{Generation, Hive, Source, State};
use crate::step::Step;
use crate::store_entry;
use crate::values::length;

/// The one step of an environment input; none where it names a place that is not there.
pub(crate) fn environment(state: &State, environment: &Environment) -> Option<Step> {
    let mut next = state.clone();
    next.enumerations = Map::new_sync();
    let mut covered = Covered::new();
    match environment {
        Environment::SourceRegistered { source, hives, at } => {
            registered(state, &mut next, *source, hives, *at, &mut covered);
        }
        Environment::SourceDown { source } => down(&mut next, *source, &mut covered),
        Environment::SourceResumed { source, at: _ } => {
            resumed(state, &mut next, *source, &mut covered);
        }
        Environment::Reboot => next = reboot(state),
        Environment::FalseMaximum { source, max_sequence } => {
            next.false_maxima.insert_mut(*source, *max_sequence);
        }
        Environment::StoreEntry(entry) => next = store_entry::store(state, entry)?,
    }
    Some(Step { outcome: Outcome::Nothing, covered, contest: None, next })
}

/// A first registration since boot.
fn registered(
    before: &State,
    state: &mut State,
    source: SourceId,
    names: &[String],
    at: UnixTime,
    covered: &mut Covered,
) {
    covers!(covered, "HIVE-23", "REG-06", "SEQ-13", "SEQ-15");
    let slot = Source { active: true, pending_layer_deletions: Vec::new() };
    state.sources.insert_mut(source, slot);
    if names.len() > 1 {
        covers!(covered, "HIVE-05");
    }
    let mut hives = Vec::new();
    // A name that §7.1 forbids cannot have been registered.
    let limits = state.limits;
    for name in names.iter().filter_map(|name| KeyName::parse(name.as_bytes(), &limits).ok()) {
        let id = stored_hive(state, source, &name, at);
        restart(state.database_mut(id), covered);
        state.routes.insert_mut(name.folded().clone(), id);
        let hive = Hive { name, source, generation: Generation::AtLeast(0) };
        state.hives.insert_mut(id, hive);
        hives.push(id);
    }
    report_maximum(state, source, &hives);
    layers::load(before, state, &hives);
}

/// What the source does to a hive before it registers.
fn restart(database: &mut Database, covered: &mut Covered) {
    if database.keys.keys().any(|key| database.is_orphan(*key)) {
        covers!(covered, "DEL-50", "DEL-59", "DEL-60");
    }
    if database.keys.values().any(|key| key.volatile_key) {
        covers!(covered, "KEY-31", "KEY-32");
    }
    database.restart();
}

/// The database of a hive, which the source makes at its first boot (§7.3, "Hive root creation").
fn stored_hive(state: &mut State, source: SourceId, name: &KeyName, at: UnixTime) -> HiveId {
    let stored = state
        .databases
        .iter()
        .find(|(_, database)| database.source == source && database.name == *name.folded());
    if let Some((id, _)) = stored {
        return *id;
    }
    let id = HiveId(u32::try_from(state.databases.size()).unwrap_or(u32::MAX));
    let root = state.fresh_guid();
    let bytes = default_root_sd();
    let descriptor =
        SecurityDescriptor::parse(&bytes).expect("the compiled-in descriptor is well formed");
    let record = KeyRecord {
        name: name.clone(),
        parent: None,
        sd_size: length(bytes.len()),
        descriptor: Ok(Arc::new(descriptor)),
        // The source makes its roots at some time before it registers.
        last_write_time: Time::Within(0, at),
        volatile_key: false,
        symlink: false,
    };
    state.databases.insert_mut(id, Database::new(source, root, record));
    id
}

fn down(state: &mut State, source: SourceId, covered: &mut Covered) {
    if let Some(slot) = state.sources.get_mut(&source) {
        covers!(covered, "HIVE-24", "REG-17", "FAIL-03");
        slot.active = false;
    }
}

/// The slot is resumed with the same hives: what the restart of the source has changed, then the
/// layer deletions it missed (D-55), then the layer table (P-07).
fn resumed(before: &State, state: &mut State, source: SourceId, covered: &mut Covered) {
    let Some(slot) = state.sources.get_mut(&source) else { return };
    covers!(covered, "REG-18", "REG-41", "FAIL-11", "SRC-28");
    slot.active = true;
    let missed = std::mem::take(&mut slot.pending_layer_deletions);
    let hives: Vec<HiveId> =
        state.hives.iter().filter(|(_, hive)| hive.source == source).map(|(id, _)| *id).collect();
    for hive in &hives {
        restart(state.database_mut(*hive), covered);
    }
    report_maximum(state, source, &hives);
    // The source has purged orphans, open ones included (D-111); the kernel still knows them.
    for layer in missed {
        layers::delete_at_source(state, source, &layer, covered);
    }
    layers::reload(before, state, &hives);
}

/// The source reports the highest number that it has stored, or should (SEQ-12), and the counter is
/// above it from now on (SEQ-13, SEQ-15).
fn report_maximum(state: &mut State, source: SourceId, hives: &[HiveId]) {
    let stored = hives.iter().map(|hive| state.database(*hive).max_sequence()).max().unwrap_or(0);
    let reported = state.false_maxima.get(&source).copied().unwrap_or(stored);
    state.false_maxima.remove_mut(&source);
    state.next_sequence = state.next_sequence.max(reported.saturating_add(1));
    if reported < stored {
        for hive in hives {
            state.database_mut(*hive).seeded = true;
        }
    }
}

/// What sources have stored is all that is left. What is in volatile keys goes when the source
/// registers again.
fn reboot(state: &State) -> State {
    State {
        databases: state.databases.clone(),
        next_guid: state.next_guid,
        false_maxima: state.false_maxima.clone(),
        orphans: Set::new_sync(),
        ..State::new()
    }
}
