//! Power loss: which contents a hive may have when the machine is up again.
//!
//! States D-110 with P-450, P-451 and P-610, for what PSD-005 §6.3 (REG_IOC_FLUSH), §7.2 (RSI_COMMIT_TRANSACTION,
//! RSI_FLUSH) and PSD-006 §5.1 promise to be durable. What a source then does to what it finds is in `slots`.
//! Knows nothing of disks.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::database::{Database, Guid, HiveId, Kept, KeyRecord, Target};
use crate::in_flight::Sent;
use crate::input::{SourceId, UnixTime, WireGuid};
use crate::late::{Change, Late};
use crate::late_kept::Rest;
use crate::names::FoldedName;
use crate::security::SecurityDescriptor;
use crate::state::State;
use crate::step::Work;

/// What a hive was before each change that is not durable yet, oldest first. It is as long as a plan makes it.
pub(crate) type Past = rpds::VectorSync<Former>;

/// What a hive was.
#[derive(Clone, Debug, Eq)]
pub(crate) struct Former(Arc<Database>);

/// States that parted lately have most of their past in common.
impl PartialEq for Former {
    fn eq(&self, other: &Former) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

/// What a source holds of a hive after a power loss, once it has cleaned up as it must before it registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredHive {
    /// The source that keeps it.
    pub source: SourceId,
    /// Its name.
    pub name: String,
    /// The scope, of a private hive.
    pub scope: Option<WireGuid>,
    /// Its root key.
    pub root: WireGuid,
    /// The key records.
    pub keys: BTreeMap<WireGuid, RecoveredKey>,
    /// The path entries.
    pub entries: Vec<RecoveredEntry>,
    /// The value entries.
    pub values: Vec<RecoveredValue>,
    /// The blanket tombstones.
    pub blankets: Vec<RecoveredBlanket>,
}

/// A key record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredKey {
    /// The symlink flag.
    pub symlink: bool,
    /// The bytes of the SD.
    pub sd: Vec<u8>,
    /// The last write time.
    pub last_write_time: UnixTime,
}

/// A path entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredEntry {
    /// The parent.
    pub parent: WireGuid,
    /// The child's name, in any case.
    pub name: String,
    /// The layer, in any case.
    pub layer: String,
    /// The key; `None` for HIDDEN.
    pub target: Option<WireGuid>,
    /// The sequence number.
    pub sequence: u64,
}

/// A value entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredValue {
    /// The key.
    pub key: WireGuid,
    /// The name, in any case.
    pub name: String,
    /// The layer, in any case.
    pub layer: String,
    /// The type code.
    pub value_type: u32,
    /// The data.
    pub data: Vec<u8>,
    /// The sequence number.
    pub sequence: u64,
}

/// A blanket tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredBlanket {
    /// The key.
    pub key: WireGuid,
    /// The layer, in any case.
    pub layer: String,
    /// The sequence number.
    pub sequence: u64,
}

impl Work<'_> {
    /// A flush has timed out at a source that answers nothing.
    pub(crate) fn flush_unanswered(&mut self, hive: HiveId) {
        if self.sent == Some(Sent::Surely) {
            self.state.will_flush(hive);
        }
    }

    /// The source may stop answering with the flush that comes, the only request of its call.
    pub(crate) fn flush_may_stall(&mut self, hive: HiveId) {
        if self.state.may_stall(hive) {
            let mut state = self.state.clone();
            state.will_flush(hive);
            self.stall_endings.clear();
            self.timed_out_in(state);
        }
    }
}

impl State {
    /// A flush is in flight, and makes durable what it finds. What waits first for changes that are in flight need not
    /// have been sent (P-266, P-610).
    fn will_flush(&mut self, hive: HiveId) {
        if self.stall_of(hive).is_some_and(|stall| !stall.has_changes()) {
            self.will_arrive(Late::new(hive, Change::Flush, Rest::default(), None));
        }
    }

    /// From now on what is not durable is kept in mind.
    pub(crate) fn fear_power_loss(&mut self) {
        self.past.get_or_insert_with(crate::database::Map::new_sync);
    }

    /// The hive is about to change.
    pub(crate) fn keep_past(&mut self, hive: HiveId) {
        let Some(past) = &mut self.past else { return };
        let Some(database) = self.databases.get(&hive) else { return };
        let Some(kept) = database.kept() else { return };
        let former = past.get(&kept).cloned().unwrap_or_default();
        past.insert_mut(kept, former.push_back(Former(Arc::new(database.clone()))));
    }

    /// Makes several changes of a hive that are there all together or not at all.
    pub(crate) fn change_at_once(&mut self, hive: HiveId, change: impl FnOnce(&mut State)) {
        self.keep_past(hive);
        let past = self.past.take();
        change(self);
        self.past = past;
    }

    /// Everything that the hive is now is durable.
    pub(crate) fn is_durable(&mut self, hive: HiveId) {
        let Some(past) = &mut self.past else { return };
        if let Some(kept) = self.databases.get(&hive).and_then(Database::kept) {
            past.remove_mut(&kept);
        }
    }

    /// How many changes the power loss has taken back at least that left these hives, if it can have left them.
    pub fn changes_lost(&self, recovered: &[RecoveredHive]) -> Option<usize> {
        let fewest = |hive: &RecoveredHive| {
            let possible = self.possible(hive);
            possible.map_or(Some(0), |possible| possible.into_iter().map(|(lost, _)| lost).min())
        };
        recovered.iter().map(fewest).sum()
    }

    /// The states in which a power loss may leave what is on the disks, given what has been seen of it. A hive that
    /// nobody has looked into may be anything that its past allows.
    pub(crate) fn without_power(&self, recovered: &[RecoveredHive]) -> Vec<State> {
        let mut states = vec![State { past: None, ..self.clone() }];
        for (kept, current) in self.shelf.iter() {
            let seen = recovered.iter().find(|hive| hive.kept() == *kept);
            let possible = match seen {
                Some(seen) => self.possible(seen).unwrap_or_default(),
                None => self.candidates(kept, current),
            };
            let with = |state: &State, database: &Database| {
                let mut next = state.clone();
                next.shelf.insert_mut(kept.clone(), database.clone());
                next
            };
            states = states
                .iter()
                .flat_map(|state| possible.iter().map(|(_, database)| with(state, database)))
                .collect();
        }
        for state in &mut states {
            state.past = self.past.as_ref().map(|_| crate::database::Map::new_sync());
        }
        states
    }

    /// The contents that a hive may have after a power loss, each with the number of changes that are lost.
    fn candidates(&self, kept: &Kept, current: &Database) -> Vec<(usize, Database)> {
        let past = self.past.as_ref().and_then(|past| past.get(kept));
        let mut found: Vec<(usize, Database)> = vec![(0, current.clone())];
        let former = past.into_iter().flat_map(|past| past.iter().rev());
        for (index, Former(database)) in former.enumerate() {
            // What came into it behind the kernel's back may do so for good.
            let database = Database { seeded: current.seeded, ..(**database).clone() };
            if found.last().is_none_or(|(_, later)| *later != database) {
                found.push((index + 1, database));
            }
        }
        found
    }

    /// What a hive holds that a source keeps.
    fn current(&self, kept: &Kept) -> Option<&Database> {
        let is_it = |database: &&Database| database.kept().as_ref() == Some(kept);
        self.databases.values().find(is_it).or_else(|| self.shelf.get(kept))
    }

    /// Those of the candidates that look like this; `None` of a hive that is not known.
    fn possible(&self, recovered: &RecoveredHive) -> Option<Vec<(usize, Database)>> {
        let kept = recovered.kept();
        let current = self.current(&kept)?;
        let looks_like = |database: &Database| {
            let mut restarted = database.clone();
            restarted.restart();
            Comparison::new(&restarted, recovered).finds_no_difference()
        };
        let candidates = self.candidates(&kept, current).into_iter();
        Some(candidates.filter(|(_, database)| looks_like(database)).collect())
    }
}

impl State {
    /// What the hive would hold if nothing were lost, in the words of [`RecoveredHive::lines`]; nothing of a hive
    /// that is not known.
    pub fn lines_of(&self, recovered: &RecoveredHive) -> Vec<String> {
        let Some(current) = self.current(&recovered.kept()) else { return Vec::new() };
        let mut database = current.clone();
        database.restart();
        let mut lines = Vec::new();
        for entry in database.path_entries.values().flat_map(|names| names.values()) {
            lines.extend(entry.values().map(|entry| {
                let is_hidden = entry.target == Target::Hidden;
                entry_line(entry.name.folded(), entry.layer.folded(), entry.sequence, is_hidden)
            }));
        }
        for value in database.values.values().flat_map(|names| names.values()) {
            lines.extend(value.values().map(|value| {
                let what = (value.value_type, value.data.len());
                value_line(value.name.folded(), value.layer.folded(), value.sequence, what)
            }));
        }
        for blankets in database.blankets.values() {
            lines.extend(blankets.iter().map(|(layer, set)| blanket_line(layer, set.sequence)));
        }
        with_heading(&recovered.name, database.keys.size(), lines)
    }
}

fn with_heading(hive: &str, keys: usize, mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines.insert(0, format!("{hive}: {keys} keys"));
    lines
}

fn entry_line(name: &FoldedName, layer: &FoldedName, sequence: u64, is_hidden: bool) -> String {
    let hidden = if is_hidden { ", hidden" } else { "" };
    format!("  {sequence:>4} key {name} in {layer}{hidden}")
}

fn value_line(
    name: &FoldedName,
    layer: &FoldedName,
    sequence: u64,
    (value_type, length): (u32, usize),
) -> String {
    format!("  {sequence:>4} value {name} in {layer}, type {value_type}, {length} bytes")
}

fn blanket_line(layer: &FoldedName, sequence: u64) -> String {
    format!("  {sequence:>4} blanket tombstone in {layer}")
}

impl RecoveredHive {
    /// What was found, a line for each entry, in the order of the sequence numbers.
    pub fn lines(&self) -> Vec<String> {
        let folded = FoldedName::of;
        let entries = self.entries.iter().map(|entry| {
            let is_hidden = entry.target.is_none();
            entry_line(&folded(&entry.name), &folded(&entry.layer), entry.sequence, is_hidden)
        });
        let values = self.values.iter().map(|value| {
            let what = (value.value_type, value.data.len());
            value_line(&folded(&value.name), &folded(&value.layer), value.sequence, what)
        });
        let blankets = self.blankets.iter();
        let blankets = blankets.map(|set| blanket_line(&folded(&set.layer), set.sequence));
        let lines = entries.chain(values).chain(blankets).collect();
        with_heading(&self.name, self.keys.len(), lines)
    }

    fn kept(&self) -> Kept {
        (self.source, FoldedName::of(&self.name), self.scope)
    }
}

/// A comparison of what a hive should hold with what it does. Keys are the same where the same names lead.
struct Comparison<'a> {
    database: &'a Database,
    recovered: &'a RecoveredHive,
    entries: BTreeMap<(WireGuid, FoldedName, FoldedName), &'a RecoveredEntry>,
    values: BTreeMap<(WireGuid, FoldedName, FoldedName), &'a RecoveredValue>,
    blankets: BTreeMap<(WireGuid, FoldedName), &'a RecoveredBlanket>,
    twins: BTreeMap<Guid, WireGuid>,
}

impl<'a> Comparison<'a> {
    fn new(database: &'a Database, recovered: &'a RecoveredHive) -> Comparison<'a> {
        let folded = FoldedName::of;
        let entries = recovered.entries.iter();
        let values = recovered.values.iter();
        let blankets = recovered.blankets.iter();
        Comparison {
            database,
            recovered,
            entries: entries
                .map(|entry| ((entry.parent, folded(&entry.name), folded(&entry.layer)), entry))
                .collect(),
            values: values
                .map(|value| ((value.key, folded(&value.name), folded(&value.layer)), value))
                .collect(),
            blankets: blankets.map(|set| ((set.key, folded(&set.layer)), set)).collect(),
            twins: BTreeMap::from([(database.root, recovered.root)]),
        }
    }

    fn finds_no_difference(mut self) -> bool {
        let mut pending = vec![self.database.root];
        // Every key is pushed once, when it gets its twin.
        while let Some(key) = pending.pop() {
            let twin = self.twins[&key];
            let is_same = self.has_record(key, twin) && self.has_values(key, twin);
            match self.children(key, twin) {
                Some(children) if is_same => pending.extend(children),
                _ => return false,
            }
        }
        let (database, seen) = (self.database, self.recovered);
        let entries = database.path_entries.values().flat_map(|names| names.values());
        let values = database.values.values().flat_map(|names| names.values());
        database.keys.size() == seen.keys.len()
            && entries.map(|layers| layers.size()).sum::<usize>() == seen.entries.len()
            && values.map(|layers| layers.size()).sum::<usize>() == seen.values.len()
            && database.blankets.values().map(|layers| layers.size()).sum::<usize>()
                == seen.blankets.len()
    }

    fn has_record(&self, key: Guid, twin: WireGuid) -> bool {
        let is_same = |record: &KeyRecord, seen: &RecoveredKey| {
            let descriptor = SecurityDescriptor::parse(&seen.sd);
            record.symlink == seen.symlink
                && record.last_write_time.admits(seen.last_write_time)
                && match (&record.descriptor, &descriptor) {
                    (Ok(record), Ok(seen)) => **record == *seen,
                    (Err(_), Err(_)) => record.sd_size as usize == seen.sd.len(),
                    _ => false,
                }
        };
        match (self.database.keys.get(&key), self.recovered.keys.get(&twin)) {
            (Some(record), Some(seen)) => is_same(record, seen),
            (None, None) => true,
            _ => false,
        }
    }

    /// The keys below one that have not been met, if its entries are the same.
    fn children(&mut self, key: Guid, twin: WireGuid) -> Option<Vec<Guid>> {
        let mut met = Vec::new();
        for (name, layers) in self.database.children(key) {
            for (layer, entry) in layers.iter() {
                let seen = self.entries.get(&(twin, name.clone(), layer.clone()))?;
                if seen.sequence != entry.sequence {
                    return None;
                }
                match (entry.target, seen.target) {
                    (Target::Hidden, None) => {}
                    (Target::Key(child), Some(other)) => {
                        let is_new = !self.twins.contains_key(&child);
                        if *self.twins.entry(child).or_insert(other) != other {
                            return None;
                        }
                        met.extend(is_new.then_some(child));
                    }
                    _ => return None,
                }
            }
        }
        Some(met)
    }

    fn has_values(&self, key: Guid, twin: WireGuid) -> bool {
        let has_values = self.database.value_names(key).all(|(name, layers)| {
            layers.iter().all(|(layer, entry)| {
                let seen = self.values.get(&(twin, name.clone(), layer.clone()));
                seen.is_some_and(|seen| {
                    (seen.value_type, &seen.data[..], seen.sequence)
                        == (entry.value_type, &entry.data[..], entry.sequence)
                })
            })
        });
        let mut blankets = self.database.blankets.get(&key).into_iter().flat_map(|set| set.iter());
        has_values
            && blankets.all(|(layer, blanket)| {
                let seen = self.blankets.get(&(twin, layer.clone()));
                seen.is_some_and(|seen| seen.sequence == blanket.sequence)
            })
    }
}
