//! One hive's records, and what concerns all of them: recovery, layers, the dump.
//!
//! Names are kept under their folded form, layers too (D-06); a record keeps the spelling of its
//! last writer. `named_by` is the reverse of the path entries and holds nothing else.

use std::collections::{BTreeMap, BTreeSet};

use rsi::Guid;

use crate::fold::fold;
use crate::{RawBlanket, RawHive, RawKey, RawPathEntry, RawValue, root};

/// A folded name.
pub(super) type Folded = Box<str>;

/// Records by folded name, and by folded layer below that.
pub(super) type Layered<T> = BTreeMap<Folded, BTreeMap<Folded, T>>;

/// A hive.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) root: Guid,
    pub(super) keys: BTreeMap<Guid, Key>,
    /// Path entries by parent; they may outlive the parent's record.
    pub(super) children: BTreeMap<Guid, Layered<PathRecord>>,
    /// Where the entries that lead to a key are.
    pub(super) named_by: BTreeMap<Guid, BTreeSet<(Guid, Folded, Folded)>>,
}

/// A key with what belongs to it alone.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) parent: Option<Guid>,
    pub(super) sd: Vec<u8>,
    pub(super) volatile: bool,
    pub(super) symlink: bool,
    pub(super) last_write_time: u64,
    pub(super) values: Layered<ValueRecord>,
    pub(super) blankets: BTreeMap<Folded, BlanketRecord>,
}

#[derive(Clone, Debug)]
pub(super) struct PathRecord {
    pub(super) name: String,
    pub(super) layer: String,
    pub(super) target: Option<Guid>,
    pub(super) sequence: u64,
    pub(super) volatile: bool,
}

#[derive(Clone, Debug)]
pub(super) struct ValueRecord {
    pub(super) name: String,
    pub(super) layer: String,
    pub(super) value_type: u32,
    pub(super) data: Vec<u8>,
    pub(super) sequence: u64,
}

#[derive(Clone, Debug)]
pub(super) struct BlanketRecord {
    pub(super) layer: String,
    pub(super) sequence: u64,
}

/// A name in the form it is kept under.
pub(super) fn folded(name: &str) -> Folded {
    fold(name).into()
}

impl Content {
    /// A hive with its root and nothing else.
    pub(super) fn new(root: Guid, name: &str, now: u64) -> Content {
        let key = Key {
            name: name.to_owned(),
            parent: None,
            sd: root::default_sd(),
            volatile: false,
            symlink: false,
            last_write_time: now,
            values: BTreeMap::new(),
            blankets: BTreeMap::new(),
        };
        Content {
            root,
            keys: BTreeMap::from([(root, key)]),
            children: BTreeMap::new(),
            named_by: BTreeMap::new(),
        }
    }

    /// The same with another hive's root in the place of its own, which is gone.
    pub(super) fn with_root_of(mut self, other: &Content) -> Content {
        self.root = other.root;
        self.keys.extend(other.keys.get(&other.root).map(|key| (other.root, key.clone())));
        self
    }

    /// Whether the root is there. A key with a parent that has got its GUID is none (P-371).
    pub(super) fn has_root(&self) -> bool {
        self.keys.get(&self.root).is_some_and(|key| key.parent.is_none())
    }

    pub(super) fn has_key(&self, guid: Guid) -> bool {
        self.keys.contains_key(&guid)
    }

    /// What a restart does: volatile records are gone, entries without a key are removed (D-29),
    /// and so are keys without an entry, the root excepted (SRC-28).
    pub(super) fn recover(&mut self) {
        self.keys.retain(|_, key| !key.volatile);
        let keys = &self.keys;
        retain_entries(&mut self.children, |record| {
            !record.volatile && record.target.is_none_or(|target| keys.contains_key(&target))
        });
        self.index();
        let (root, named_by) = (self.root, &self.named_by);
        self.keys.retain(|guid, _| *guid == root || named_by.contains_key(guid));
    }

    /// Removes the layer's records; returns the keys that lost their last entry by that, each
    /// once and in order (LORE-123 to LORE-126).
    pub(super) fn delete_layer(&mut self, layer: &str) -> Vec<Guid> {
        let layer = folded(layer);
        let before: BTreeSet<Guid> = self.named_by.keys().copied().collect();
        for names in self.children.values_mut() {
            drop_layer(names, &layer);
        }
        self.children.retain(|_, names| !names.is_empty());
        for key in self.keys.values_mut() {
            drop_layer(&mut key.values, &layer);
            key.blankets.remove(&layer);
        }
        self.index();
        before.into_iter().filter(|guid| !self.named_by.contains_key(guid)).collect()
    }

    /// Builds `named_by` anew.
    fn index(&mut self) {
        self.named_by.clear();
        for (parent, names) in &self.children {
            for (name, layers) in names {
                for (layer, record) in layers {
                    if let Some(target) = record.target {
                        let place = (*parent, name.clone(), layer.clone());
                        self.named_by.entry(target).or_default().insert(place);
                    }
                }
            }
        }
    }

    pub(super) fn max_sequence(&self) -> u64 {
        let dump = self.dump("");
        let entries = dump.path_entries.iter().map(|entry| entry.sequence);
        let values = dump.values.iter().map(|value| value.sequence);
        let blankets = dump.blankets.iter().map(|blanket| blanket.sequence);
        entries.chain(values).chain(blankets).max().unwrap_or(0)
    }

    /// Every record.
    pub(super) fn dump(&self, name: &str) -> RawHive {
        let mut dump = RawHive { name: name.to_owned(), root: self.root, ..RawHive::default() };
        for (guid, key) in &self.keys {
            dump.keys.push(RawKey {
                guid: *guid,
                name: key.name.clone(),
                parent: key.parent,
                sd: key.sd.clone(),
                volatile_key: key.volatile,
                symlink: key.symlink,
                last_write_time: key.last_write_time,
            });
            let values = key.values.values().flat_map(BTreeMap::values);
            dump.values.extend(values.map(|record| RawValue {
                key: *guid,
                name: record.name.clone(),
                layer: record.layer.clone(),
                value_type: record.value_type,
                data: record.data.clone(),
                sequence: record.sequence,
                stored_volatile: key.volatile,
            }));
            dump.blankets.extend(key.blankets.values().map(|record| RawBlanket {
                key: *guid,
                layer: record.layer.clone(),
                sequence: record.sequence,
                stored_volatile: key.volatile,
            }));
        }
        for (parent, names) in &self.children {
            let records = names.values().flat_map(BTreeMap::values);
            dump.path_entries.extend(records.map(|record| RawPathEntry {
                parent: *parent,
                child_name: record.name.clone(),
                layer: record.layer.clone(),
                target: record.target,
                sequence: record.sequence,
                stored_volatile: record.volatile,
            }));
        }
        dump
    }
}

fn retain_entries(
    children: &mut BTreeMap<Guid, Layered<PathRecord>>,
    mut keep: impl FnMut(&PathRecord) -> bool,
) {
    children.retain(|_, names| {
        names.retain(|_, layers| {
            layers.retain(|_, record| keep(record));
            !layers.is_empty()
        });
        !names.is_empty()
    });
}

fn drop_layer<T>(names: &mut Layered<T>, layer: &str) {
    names.retain(|_, layers| {
        layers.remove(layer);
        !layers.is_empty()
    });
}
