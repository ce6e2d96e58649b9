//! What one hive stores: key records, path entries, values and blanket tombstones.
//!
//! States the records of PSD-005 §2.3 to §2.5 and the operations of §7.2, with the obligations
//! of §7.3, as far as they change or yield stored data. A database decides nothing: it knows no
//! layer table, no caller and no fd, and resolves nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::input::{SourceId, UnixTime};
use crate::names::{FoldedName, KeyName, LayerName, ValueName};
use crate::registration::Namespace;
use crate::security::{MalformedDescriptor, SecurityDescriptor};
use crate::values::REG_TOMBSTONE;

/// A persistent ordered map.
pub(crate) type Map<K, V> = rpds::RedBlackTreeMapSync<K, V>;
/// A persistent ordered set.
pub(crate) type Set<K> = rpds::RedBlackTreeSetSync<K>;
/// The entries that several layers hold for one thing, by layer.
pub(crate) type Layered<T> = Map<FoldedName, T>;

/// The identity of a key (§2.3). The model's numbers are its own: no call shows a GUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub u64);

/// One registered hive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HiveId(pub(crate) u32);

/// A moment that the model knows exactly or within bounds, in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Not observed yet: some moment from the first to the second, both included.
    Within(UnixTime, UnixTime),
    /// Observed.
    At(UnixTime),
}

impl Time {
    /// The latest moment that this may be.
    pub(crate) fn latest(self) -> UnixTime {
        match self {
            Time::Within(_, time) | Time::At(time) => time,
        }
    }

    /// Whether this may be the moment `time`.
    pub fn admits(self, time: UnixTime) -> bool {
        match self {
            Time::Within(first, last) => (first..=last).contains(&time),
            Time::At(at) => at == time,
        }
    }
}

/// A key record (KEY-17). Its GUID is the key of the map that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRecord {
    pub(crate) name: KeyName,
    /// `None` for a hive root (KEY-24).
    pub(crate) parent: Option<Guid>,
    /// The SD, if the bytes that are stored are one.
    pub(crate) descriptor: Result<Arc<SecurityDescriptor>, MalformedDescriptor>,
    /// The size of the SD as stored, in bytes.
    pub(crate) sd_size: u32,
    pub(crate) last_write_time: Time,
    pub(crate) volatile_key: bool,
    pub(crate) symlink: bool,
}

/// A hive that a process keeps, by the hive's name and what that is unique in.
pub(crate) type Kept = (SourceId, FoldedName, Namespace);

/// What a path entry points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Key(Guid),
    Hidden,
}

/// A path entry (PATH-07) of one layer at one (parent, child name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathEntry {
    pub(crate) name: KeyName,
    pub(crate) layer: LayerName,
    pub(crate) target: Target,
    pub(crate) sequence: u64,
    /// Whether it is kept in the volatile store (D-96).
    pub(crate) volatile_store: bool,
}

/// A value entry (VAL-12) of one layer at one (key, value name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValueEntry {
    pub(crate) name: ValueName,
    pub(crate) layer: LayerName,
    pub(crate) value_type: u32,
    pub(crate) data: Arc<[u8]>,
    pub(crate) sequence: u64,
}

/// A blanket tombstone (VAL-27) of one layer on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlanketTombstone {
    pub(crate) layer: LayerName,
    pub(crate) sequence: u64,
}

/// What a layer had in a hive when it was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeletedLayer {
    /// The keys that lost their last path entry.
    pub(crate) orphans: Vec<Guid>,
    /// Whether it named keys.
    pub(crate) named_keys: bool,
    /// Whether it had values.
    pub(crate) values: bool,
}

/// The stored contents of one hive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Database {
    /// Whose disk it is on; `None` if it goes with the process that serves it.
    pub(crate) keeper: Option<SourceId>,
    /// The hive's name.
    pub(crate) name: FoldedName,
    /// What the name is unique in.
    pub(crate) namespace: Namespace,
    /// The hive's root key.
    pub(crate) root: Guid,
    pub(crate) keys: Map<Guid, KeyRecord>,
    pub(crate) path_entries: Map<Guid, Map<FoldedName, Layered<PathEntry>>>,
    pub(crate) values: Map<Guid, Map<FoldedName, Layered<ValueEntry>>>,
    pub(crate) blankets: Map<Guid, Layered<BlanketTombstone>>,
    /// Whether it may hold anything that the kernel did not store. Without that nothing in it is
    /// malformed.
    pub(crate) seeded: bool,
}

impl Database {
    /// An empty hive with its root key (§7.3, "Hive root creation").
    pub(crate) fn new(
        keeper: Option<SourceId>,
        namespace: Namespace,
        root: Guid,
        record: KeyRecord,
    ) -> Database {
        let name = record.name.folded().clone();
        let keys = Map::new_sync().insert(root, record);
        let (path_entries, values, blankets) = (Map::new_sync(), Map::new_sync(), Map::new_sync());
        let seeded = false;
        Database { keeper, name, namespace, root, keys, path_entries, values, blankets, seeded }
    }

    /// Where it is kept, if a process keeps it.
    pub(crate) fn kept(&self) -> Option<Kept> {
        self.keeper.map(|keeper| (keeper, self.name.clone(), self.namespace))
    }

    /// All layers' entries for one child name (RSI_LOOKUP).
    pub(crate) fn lookup(&self, parent: Guid, child: &str) -> Option<&Layered<PathEntry>> {
        self.path_entries.get(&parent)?.get(child)
    }

    /// All layers' entries for all child names (RSI_ENUM_CHILDREN).
    pub(crate) fn children(
        &self,
        parent: Guid,
    ) -> impl Iterator<Item = (&FoldedName, &Layered<PathEntry>)> {
        self.path_entries.get(&parent).into_iter().flat_map(|names| names.iter())
    }

    /// All layers' entries for all value names (RSI_QUERY_VALUES).
    pub(crate) fn value_names(
        &self,
        key: Guid,
    ) -> impl Iterator<Item = (&FoldedName, &Layered<ValueEntry>)> {
        self.values.get(&key).into_iter().flat_map(|names| names.iter())
    }

    /// All layers' entries for one value name (RSI_QUERY_VALUES).
    pub(crate) fn value(&self, key: Guid, name: &str) -> Option<&Layered<ValueEntry>> {
        self.values.get(&key)?.get(name)
    }

    /// Stores a path entry in place of the layer's former one (RSI_CREATE_ENTRY, RSI_HIDE_ENTRY).
    pub(crate) fn put_entry(&mut self, parent: Guid, mut entry: PathEntry) {
        entry.volatile_store |= self.keys.get(&parent).is_some_and(|key| key.volatile_key);
        let (child, layer) = (entry.name.folded().clone(), entry.layer.folded().clone());
        put(&mut self.path_entries, parent, child, layer, entry);
    }

    /// Removes a layer's path entry and returns it (RSI_DELETE_ENTRY).
    pub(crate) fn delete_entry(
        &mut self,
        parent: Guid,
        child: &FoldedName,
        layer: &FoldedName,
    ) -> Option<PathEntry> {
        take(&mut self.path_entries, parent, child, layer)
    }

    /// Stores a key record (RSI_CREATE_KEY).
    pub(crate) fn create_key(&mut self, guid: Guid, record: KeyRecord) {
        self.keys.insert_mut(guid, record);
    }

    /// Stores a key's last write time (RSI_WRITE_KEY).
    pub(crate) fn write_time(&mut self, key: Guid, time: Time) {
        if let Some(record) = self.keys.get(&key) {
            let record = KeyRecord { last_write_time: time, ..record.clone() };
            self.keys.insert_mut(key, record);
        }
    }

    /// Stores a key's SD, of so many bytes (RSI_WRITE_KEY).
    pub(crate) fn write_descriptor(
        &mut self,
        key: Guid,
        descriptor: Arc<SecurityDescriptor>,
        sd_size: u32,
    ) {
        if let Some(record) = self.keys.get(&key) {
            let record = KeyRecord { descriptor: Ok(descriptor), sd_size, ..record.clone() };
            self.keys.insert_mut(key, record);
        }
    }

    /// Purges all data of a key (RSI_DROP_KEY). Entries below it stay.
    pub(crate) fn drop_key(&mut self, key: Guid) {
        self.keys.remove_mut(&key);
        self.values.remove_mut(&key);
        self.blankets.remove_mut(&key);
    }

    /// Stores a value entry in place of the layer's former one (RSI_SET_VALUE).
    pub(crate) fn put_value(&mut self, key: Guid, entry: ValueEntry) {
        let (name, layer) = (entry.name.folded().clone(), entry.layer.folded().clone());
        put(&mut self.values, key, name, layer, entry);
    }

    /// Removes a layer's value entry (RSI_DELETE_VALUE_ENTRY).
    pub(crate) fn delete_value(&mut self, key: Guid, name: &FoldedName, layer: &FoldedName) {
        take(&mut self.values, key, name, layer);
    }

    /// Stores or removes a layer's blanket tombstone (RSI_SET_BLANKET_TOMBSTONE).
    pub(crate) fn set_blanket(&mut self, key: Guid, layer: &LayerName, sequence: Option<u64>) {
        let mut blankets = self.blankets.get(&key).cloned().unwrap_or_else(Map::new_sync);
        let folded = layer.folded().clone();
        match sequence {
            Some(sequence) => {
                blankets.insert_mut(folded, BlanketTombstone { layer: layer.clone(), sequence })
            }
            None => {
                blankets.remove_mut(&folded);
            }
        }
        put_or_remove(&mut self.blankets, key, blankets);
    }

    /// Removes everything tagged with a layer and says what it was (RSI_DELETE_LAYER).
    pub(crate) fn delete_layer(&mut self, layer: &FoldedName) -> DeletedLayer {
        let mut deleted = DeletedLayer::default();
        let mut targets = BTreeSet::new();
        for (parent, names) in self.path_entries.clone().iter() {
            for (child, entries) in names.iter() {
                if !entries.contains_key(layer) {
                    continue;
                }
                let target = self.delete_entry(*parent, child, layer).map(|entry| entry.target);
                if let Some(Target::Key(guid)) = target {
                    targets.insert(guid);
                }
            }
        }
        for (key, names) in self.values.clone().iter() {
            for (name, entries) in names.iter() {
                if let Some(entry) = entries.get(layer) {
                    deleted.values |= entry.value_type != REG_TOMBSTONE;
                    self.delete_value(*key, name, layer);
                }
            }
        }
        for (key, blankets) in self.blankets.clone().iter() {
            if blankets.contains_key(layer) {
                put_or_remove(&mut self.blankets, *key, blankets.remove(layer));
            }
        }
        deleted.named_keys = !targets.is_empty();
        deleted.orphans = targets.into_iter().filter(|guid| self.is_orphan(*guid)).collect();
        deleted
    }

    /// Whether anything is tagged with a layer.
    pub(crate) fn has_entries_of(&self, layer: &FoldedName) -> bool {
        let is_named = |names: &Map<FoldedName, Layered<PathEntry>>| {
            names.values().any(|entries| entries.contains_key(layer))
        };
        let is_valued = |names: &Map<FoldedName, Layered<ValueEntry>>| {
            names.values().any(|entries| entries.contains_key(layer))
        };
        self.path_entries.values().any(is_named)
            || self.values.values().any(is_valued)
            || self.blankets.values().any(|blankets| blankets.contains_key(layer))
    }

    /// Whether a key record is there that no layer names and that is no hive root (DEL-20, D-61).
    pub(crate) fn is_orphan(&self, key: Guid) -> bool {
        self.keys.contains_key(&key) && key != self.root && !self.is_named(key)
    }

    /// Whether some layer, known or not, names the key. The namespace is a tree (PATH-14): only
    /// the place at which the key was created can name it.
    fn is_named(&self, key: Guid) -> bool {
        let Some(record) = self.keys.get(&key) else { return false };
        let Some(parent) = record.parent else { return true };
        self.lookup(parent, record.name.folded().as_str())
            .is_some_and(|entries| entries.values().any(|entry| entry.target == Target::Key(key)))
    }

    /// Whether anything is in the volatile store: keys, or entries that were made below a volatile one (P-332).
    pub(crate) fn holds_volatile_data(&self) -> bool {
        let mut entries = self
            .path_entries
            .values()
            .flat_map(|names| names.values())
            .flat_map(|all| all.values());
        self.keys.values().any(|key| key.volatile_key) || entries.any(|entry| entry.volatile_store)
    }

    /// What a source does before it registers: volatile data is gone (KEY-32), entries whose key
    /// record is missing are removed (D-29), orphans are purged (SRC-28). It may change nothing
    /// else (D-111).
    pub(crate) fn restart(&mut self) {
        let gone: Vec<Guid> =
            self.keys.iter().filter(|(_, key)| key.volatile_key).map(|(guid, _)| *guid).collect();
        for guid in gone {
            self.drop_key(guid);
        }
        for (parent, names) in self.path_entries.clone().iter() {
            for (child, entries) in names.iter() {
                for (layer, entry) in entries.iter() {
                    let lost = match entry.target {
                        Target::Key(guid) => !self.keys.contains_key(&guid),
                        Target::Hidden => entry.volatile_store,
                    };
                    if lost {
                        self.delete_entry(*parent, child, layer);
                    }
                }
            }
        }
        let orphans: Vec<Guid> =
            self.keys.keys().copied().filter(|guid| self.is_orphan(*guid)).collect();
        for guid in orphans {
            self.drop_key(guid);
        }
    }

    /// How many layers at most have written to one value.
    pub(crate) fn layers_of_any_value(&self) -> usize {
        let names = self.values.values().flat_map(|names| names.values());
        names.map(Layered::size).max().unwrap_or(0)
    }

    /// All entries under a value name, of whatever key and layer.
    pub(crate) fn all_values(&self, name: &str) -> impl Iterator<Item = &ValueEntry> {
        let layered = self.values.values().filter_map(move |names| names.get(name));
        layered.flat_map(|entries| entries.values())
    }

    /// The highest sequence number stored (SEQ-12), 0 if there is none.
    pub(crate) fn max_sequence(&self) -> u64 {
        self.sequences().max().unwrap_or(0)
    }

    /// The sequence number of every entry.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = u64> {
        let paths = self
            .path_entries
            .values()
            .flat_map(|names| names.values())
            .flat_map(|entries| entries.values())
            .map(|entry| entry.sequence);
        let values = self
            .values
            .values()
            .flat_map(|names| names.values())
            .flat_map(|entries| entries.values())
            .map(|entry| entry.sequence);
        let blankets =
            self.blankets.values().flat_map(|layers| layers.values()).map(|entry| entry.sequence);
        paths.chain(values).chain(blankets)
    }
}

/// Puts `entry` at (key, name, layer).
fn put<T: Clone>(
    map: &mut Map<Guid, Map<FoldedName, Layered<T>>>,
    key: Guid,
    name: FoldedName,
    layer: FoldedName,
    entry: T,
) {
    let mut names = map.get(&key).cloned().unwrap_or_else(Map::new_sync);
    let mut entries = names.get(&name).cloned().unwrap_or_else(Map::new_sync);
    entries.insert_mut(layer, entry);
    names.insert_mut(name, entries);
    map.insert_mut(key, names);
}

/// Takes the entry at (key, name, layer) away, and with it whatever it leaves empty.
fn take<T: Clone>(
    map: &mut Map<Guid, Map<FoldedName, Layered<T>>>,
    key: Guid,
    name: &FoldedName,
    layer: &FoldedName,
) -> Option<T> {
    let mut names = map.get(&key)?.clone();
    let mut entries = names.get(name)?.clone();
    let entry = entries.get(layer)?.clone();
    entries.remove_mut(layer);
    put_or_remove(&mut names, name.clone(), entries);
    put_or_remove(map, key, names);
    Some(entry)
}

fn put_or_remove<K: Ord + Clone, A: Ord + Clone, B: Clone>(
    map: &mut Map<K, Map<A, B>>,
    key: K,
    inner: Map<A, B>,
) {
    if inner.is_empty() {
        map.remove_mut(&key);
    } else {
        map.insert_mut(key, inner);
    }
}
