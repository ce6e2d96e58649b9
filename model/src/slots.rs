//! Source slots: what an accepted registration brings, and what a lost connection leaves.
//!
//! States PSD-005 §7.1 ("Source slots and re-registration", "Source lifecycle"), the routing table
//! of §2.2, the counter at registration of §2.7, the obligations of a source before it registers
//! of §7.3 and what the kernel does after it of §8.1, with D-55, D-111, P-01, P-07 and P-11.

use std::sync::Arc;

use crate::configuration_reading::Manner;
use crate::coverage::{Covered, covers};
use crate::database::{Database, Guid, HiveId, KeyRecord, Time};
use crate::input::{Contents, SourceId, UnixTime, WireGuid};
use crate::layers::machine;
use crate::names::FoldedName;
use crate::registration::AskedHive;
use crate::security::{SecurityDescriptor, default_root_sd};
use crate::state::{Generation, Gone, Hive, Slot, SlotId, State, Witness};
use crate::values::length;
use crate::{configuration, layer_effects, layer_refresh, watches};

/// The process behind a registration.
#[derive(Clone, Copy)]
pub(crate) struct Process {
    pub(crate) source: SourceId,
    pub(crate) contents: Contents,
    /// When it registered.
    pub(crate) at: UnixTime,
    /// How it is asked for the parameters.
    pub(crate) manner: Manner,
}

/// A slot that is taken up again.
#[derive(Clone, Copy)]
pub(crate) struct Resumed {
    pub(crate) slot: SlotId,
    pub(crate) max_sequence: u64,
}

/// A new slot (Closed to Active).
pub(crate) fn occupy(
    before: &State,
    state: &mut State,
    asked: &[AskedHive],
    process: Process,
    max_sequence: u64,
    covered: &mut Covered,
) -> SlotId {
    covers!(covered, "HIVE-23");
    let id = SlotId(u32::try_from(state.slots.size()).unwrap_or(u32::MAX));
    let slot = Slot {
        connection: Some(process.source),
        pending_layer_deletions: Vec::new(),
        resumptions: Witness(0),
        gone: Witness(None),
        has_timed_out: Witness(false),
    };
    state.slots.insert_mut(id, slot);
    if asked.len() > 1 {
        covers!(covered, "HIVE-05");
    }
    let mut hives = Vec::new();
    for asked in asked {
        let hive = HiveId(u32::try_from(state.hives.size()).unwrap_or(u32::MAX));
        attach(state, hive, asked, process, covered);
        match asked.namespace {
            None => {
                covers!(covered, "HIVE-25", "HIVE-26");
                state.routes.insert_mut(asked.name.folded().clone(), hive);
            }
            Some(_) => mark_private(state, asked, covered),
        }
        let (name, namespace, root) = (asked.name.clone(), asked.namespace, asked.root);
        let generation = Generation::AtLeast(0);
        let told = Witness(None);
        state.hives.insert_mut(hive, Hive { name, namespace, root, slot: id, generation, told });
        hives.push(hive);
    }
    raise_counter(state, max_sequence, &hives, covered);
    configuration::read_before_layers(state, &hives, process.manner);
    layer_refresh::load(before, state, &hives);
    let is_read = machine(state).is_some_and(|machine| hives.contains(&machine));
    if is_read && state.layers.values().any(|layer| layer.precedence > 0 || !layer.enabled) {
        // Whoever has written that.
        covers!(covered, "SRC-56");
    }
    id
}

/// A private hive is reserved in its scope and takes no part in global routing.
fn mark_private(state: &State, asked: &AskedHive, covered: &mut Covered) {
    covers!(covered, "REG-04", "CONST-49");
    let same_name = |hive: &Hive| hive.name.folded() == asked.name.folded();
    if state.hives.values().any(|hive| same_name(hive) && hive.namespace != asked.namespace) {
        covers!(covered, "REG-10", "HIVE-03");
    }
}

/// The slot is resumed with the same hives (Down to Active): what the new process holds, then the
/// layer deletions that the slot missed (D-55), then the parameters and the layer table (D-106, P-07).
pub(crate) fn resume(
    before: &State,
    state: &mut State,
    asked: &[AskedHive],
    process: Process,
    resumed: Resumed,
    covered: &mut Covered,
) {
    covers!(covered, "REG-18", "REG-27", "FAIL-11");
    let ids: Vec<(HiveId, Hive)> =
        state.hives_of(resumed.slot).map(|(id, hive)| (id, hive.clone())).collect();
    for (id, hive) in &ids {
        let same = |asked: &&AskedHive| {
            asked.name.folded() == hive.name.folded() && asked.namespace == hive.namespace
        };
        let Some(asked) = asked.iter().find(same) else { continue };
        if asked.name.spelling() != hive.name.spelling() {
            covers!(covered, "REG-19");
        }
        attach(state, *id, asked, process, covered);
        state.hives.insert_mut(*id, Hive { name: asked.name.clone(), ..hive.clone() });
    }
    let Some(slot) = state.slots.get_mut(&resumed.slot) else { return };
    slot.connection = Some(process.source);
    slot.resumptions.0 += 1;
    let missed = std::mem::take(&mut slot.pending_layer_deletions);
    let hives: Vec<HiveId> = ids.iter().map(|(id, _)| *id).collect();
    raise_counter(state, resumed.max_sequence, &hives, covered);
    for layer in missed {
        layer_effects::delete_at_source(state, resumed.slot, &layer, covered);
    }
    watches::resumed(state, &hives, covered);
    configuration::read_before_layers(state, &hives, process.manner);
    layer_refresh::reload(before, state, &hives);
}

/// `next_sequence` rises above what the source says it has stored, and never falls (§2.7).
fn raise_counter(state: &mut State, max_sequence: u64, hives: &[HiveId], covered: &mut Covered) {
    covers!(covered, "SEQ-12", "BOOT-12");
    let first_free = max_sequence.saturating_add(1);
    if first_free > state.next_sequence && state.slots.size() > 1 {
        covers!(covered, "SEQ-15");
    }
    state.next_sequence = state.next_sequence.max(first_free);
    let stored = hives.iter().map(|hive| state.database(*hive).max_sequence()).max();
    if stored >= Some(state.next_sequence) {
        for hive in hives {
            state.knowledge_mut(*hive).seeded = true;
        }
    }
}

/// The process of this source is gone, or may not go on: its slot goes Down (Active to Down).
pub(crate) fn disconnect(state: &mut State, source: SourceId, gone: Gone) {
    let served = state.slots.iter().find(|(_, slot)| slot.connection == Some(source));
    if let Some(id) = served.map(|(id, _)| *id)
        && let Some(slot) = state.slots.get_mut(&id)
    {
        slot.connection = None;
        (slot.gone.0, slot.has_timed_out.0) = (Some(gone), false);
        state.cancel_bound(id);
        state.commit_refusals.remove_mut(&source);
        state.stalls.remove_mut(&source);
    }
}

/// Puts the contents that the process holds behind a hive. What another process keeps on its own
/// disk is put on the shelf.
fn attach(
    state: &mut State,
    hive: HiveId,
    asked: &AskedHive,
    process: Process,
    covered: &mut Covered,
) {
    let former = state.databases.get(&hive).cloned();
    let (mine, others) = match former {
        Some(former) if former.keeper == Some(process.source) => (Some(former), None),
        former => (None, former),
    };
    if let Some(other) = others
        && let Some(kept) = other.kept()
    {
        state.shelf.insert_mut(kept, other);
    }
    let root = root_guid(state, asked.root);
    let database = match process.contents {
        Contents::Empty => {
            mark_root(asked, covered);
            made(None, root, asked, process.at)
        }
        Contents::Kept => {
            let place = (process.source, asked.name.folded().clone(), asked.namespace);
            let kept = mine.or_else(|| state.shelf.get(&place).cloned());
            state.shelf.remove_mut(&place);
            if kept.as_ref().is_some_and(|kept| kept.root == root) {
                covers!(covered, "BOOT-17");
            }
            let mut database = kept.unwrap_or_else(|| {
                covers!(covered, "SRC-23", "SRC-25", "BOOT-15", "BOOT-18");
                mark_root(asked, covered);
                made(Some(process.source), root, asked, process.at)
            });
            restart(&mut database, covered);
            database
        }
    };
    state.databases.insert_mut(hive, database);
    // It has purged them, or another has what there is now.
    let others = state.undropped.iter().filter(|(of, _)| *of != hive);
    state.undropped = others.copied().collect();
}

/// A source makes a hive's root with the SD that the text gives for that hive.
fn mark_root(asked: &AskedHive, covered: &mut Covered) {
    covers!(covered, "SEC-42");
    if asked.is_machine() {
        covers!(covered, "SEC-43", "BOOT-16");
    }
}

/// What a source does to a hive that it kept before it registers (SRC-28).
fn restart(database: &mut Database, covered: &mut Covered) {
    if database.keys.keys().any(|key| database.is_orphan(*key)) {
        covers!(covered, "SRC-28", "DEL-50", "DEL-59", "DEL-60");
    }
    if database.keys.values().any(|key| key.volatile_key) {
        covers!(covered, "KEY-31", "KEY-32");
    }
    database.restart();
}

/// A hive that its source makes (§7.3, "Hive root creation").
fn made(keeper: Option<SourceId>, root: Guid, asked: &AskedHive, at: UnixTime) -> Database {
    let bytes = default_root_sd();
    let descriptor =
        SecurityDescriptor::parse(&bytes).expect("the compiled-in descriptor is well formed");
    let record = KeyRecord {
        name: asked.name.clone(),
        parent: None,
        sd_size: length(bytes.len()),
        descriptor: Ok(Arc::new(descriptor)),
        // The source makes its roots at some time before it registers.
        last_write_time: Time::Within(0, at),
        volatile_key: false,
        symlink: false,
    };
    Database::new(keeper, asked.namespace, root, record)
}

/// The model's number for the root key that sources call by this GUID.
fn root_guid(state: &mut State, root: WireGuid) -> Guid {
    if let Some(known) = state.roots.get(&root) {
        return *known;
    }
    let guid = state.fresh_guid();
    state.roots.insert_mut(root, guid);
    guid
}

impl State {
    /// What a source reports next as the highest sequence number that it has stored in the hives of
    /// these names, private ones included (SEQ-12), once it has cleaned up as it must before it registers (SRC-28); 0 if there is none.
    pub fn stored_maximum<'a>(
        &self,
        source: SourceId,
        hives: impl IntoIterator<Item = &'a str>,
    ) -> u64 {
        if let Some(falsely) = self.false_maxima.get(&source) {
            return *falsely;
        }
        let names: Vec<FoldedName> = hives.into_iter().map(FoldedName::of).collect();
        self.databases
            .values()
            .chain(self.shelf.values())
            .filter(|database| database.keeper == Some(source) && names.contains(&database.name))
            .map(|database| {
                let mut database = database.clone();
                database.restart();
                database.max_sequence()
            })
            .max()
            .unwrap_or(0)
    }
}
