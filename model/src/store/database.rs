//! What one hive of a store holds: key records, path entries, values and blanket tombstones.
//!
//! States the records of PSD-005 §2.3 to §2.5 and the tables of PSD-006 §3.1 with their primary
//! keys. Which of the two stores a record is in, the database file or the volatile one, is kept
//! only as far as a restart can tell (D-96). Knows no request and no transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::message::{Guid, Status};
use crate::database::Time;
use crate::names::FoldedName;

/// A persistent ordered map.
pub(super) type Map<K, V> = rpds::RedBlackTreeMapSync<K, V>;

/// A name of any kind: as it was spelled, and what it is compared by. A store asks no more of a
/// name than that it is UTF-8 (P-61).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) spelling: Arc<str>,
    pub(super) folded: FoldedName,
}

impl Name {
    /// The name in `bytes`.
    ///
    /// # Errors
    ///
    /// RSI_INVALID for ill-formed UTF-8.
    pub(super) fn parse(bytes: &[u8]) -> Result<Name, Status> {
        let text = std::str::from_utf8(bytes).map_err(|_| Status::Invalid)?;
        Ok(Name { spelling: text.into(), folded: FoldedName::of(text) })
    }
}

/// A key record (KEY-17). Its GUID is the key of the map that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyRecord {
    pub(super) name: Arc<str>,
    /// `None` for a hive root (KEY-24).
    pub(super) parent: Option<Guid>,
    pub(super) security_descriptor: Arc<[u8]>,
    pub(super) volatile_key: bool,
    pub(super) symlink: bool,
    pub(super) last_write_time: Time,
}

/// What a path entry points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Key(Guid),
    Hidden,
}

/// A path entry (PATH-07).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathRecord {
    pub(super) name: Arc<str>,
    pub(super) layer: Arc<str>,
    pub(super) target: Target,
    pub(super) sequence: u64,
    /// Whether it is in the volatile store because its parent is. One that names a volatile key is
    /// there too, and is lost with the record of that key (D-96).
    pub(super) below_volatile_key: bool,
}

/// A value entry (VAL-12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ValueRecord {
    pub(super) name: Arc<str>,
    pub(super) layer: Arc<str>,
    pub(super) value_type: u32,
    pub(super) data: Arc<[u8]>,
    pub(super) sequence: u64,
}

/// A blanket tombstone (VAL-27).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlanketRecord {
    pub(super) layer: Arc<str>,
    pub(super) sequence: u64,
}

/// (parent or key, child or value name, layer).
pub(super) type EntryKey = (Guid, FoldedName, FoldedName);

/// The stored contents of one hive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Database {
    pub(super) root: Guid,
    pub(super) keys: Map<Guid, KeyRecord>,
    pub(super) path_entries: Map<EntryKey, PathRecord>,
    pub(super) values: Map<EntryKey, ValueRecord>,
    pub(super) blankets: Map<(Guid, FoldedName), BlanketRecord>,
}

impl Database {
    /// A hive that holds only its root (§7.3, "Hive root creation").
    pub(super) fn new(root: Guid, record: KeyRecord) -> Database {
        Database {
            root,
            keys: Map::new_sync().insert(root, record),
            path_entries: Map::new_sync(),
            values: Map::new_sync(),
            blankets: Map::new_sync(),
        }
    }

    /// The path entries below a key.
    pub(super) fn entries_below(
        &self,
        parent: Guid,
    ) -> impl Iterator<Item = (&EntryKey, &PathRecord)> {
        self.path_entries.range(first_of(parent)..).take_while(move |(key, _)| key.0 == parent)
    }

    /// The value entries of a key.
    pub(super) fn values_of(&self, guid: Guid) -> impl Iterator<Item = (&EntryKey, &ValueRecord)> {
        self.values.range(first_of(guid)..).take_while(move |(key, _)| key.0 == guid)
    }

    /// The blanket tombstones of a key.
    pub(super) fn blankets_of(&self, guid: Guid) -> impl Iterator<Item = &BlanketRecord> {
        let first = (guid, FoldedName::of(""));
        let blankets = self.blankets.range(first..).take_while(move |(key, _)| key.0 == guid);
        blankets.map(|(_, blanket)| blanket)
    }

    /// The keys that path entries name, HIDDEN entries apart, each with the layer of an entry.
    pub(super) fn named(&self) -> impl Iterator<Item = (Guid, &FoldedName)> {
        self.path_entries.iter().filter_map(|((_, _, layer), entry)| match entry.target {
            Target::Key(guid) => Some((guid, layer)),
            Target::Hidden => None,
        })
    }

    /// The key records, hive root apart, that no path entry of any layer names (DEL-59).
    pub(super) fn orphans(&self) -> Vec<Guid> {
        let named: BTreeSet<Guid> = self.named().map(|(guid, _)| guid).collect();
        let keys = self.keys.keys().copied();
        keys.filter(|guid| !self.is_root(*guid) && !named.contains(guid)).collect()
    }

    /// Whether the key with this GUID is there and a hive root: it has no parent (KEY-24, P-371).
    pub(super) fn is_root(&self, guid: Guid) -> bool {
        self.keys.get(&guid).is_some_and(|record| record.parent.is_none())
    }

    /// Removes the record, the values and the blanket tombstones of a key.
    pub(super) fn purge(&mut self, guid: Guid) {
        self.keys.remove_mut(&guid);
        remove_where(&mut self.values, |key, _| key.0 == guid);
        remove_where(&mut self.blankets, |key, _| key.0 == guid);
    }

    /// The highest sequence number of any path entry, value or blanket tombstone, 0 if there is
    /// none (LORE-031).
    pub(super) fn max_sequence(&self) -> u64 {
        let paths = self.path_entries.values().map(|entry| entry.sequence);
        let values = self.values.values().map(|entry| entry.sequence);
        let blankets = self.blankets.values().map(|blanket| blanket.sequence);
        paths.chain(values).chain(blankets).max().unwrap_or(0)
    }

    /// Every GUID in it: of keys, of what path entries lead to and of what they are below, and of
    /// the root, whether or not it has a record.
    pub(super) fn guids(&self) -> BTreeSet<Guid> {
        let above = self.path_entries.keys().map(|(parent, _, _)| *parent);
        let below = self.named().map(|(guid, _)| guid);
        self.keys.keys().copied().chain(above).chain(below).chain([self.root]).collect()
    }

    /// Whether anything is in the volatile store. Entries below a volatile key stay there when it is
    /// dropped (P-332).
    pub(super) fn holds_volatile_data(&self) -> bool {
        self.keys.values().any(|key| key.volatile_key)
            || self.path_entries.values().any(|entry| entry.below_volatile_key)
    }
}

/// Where the entries of a key begin.
fn first_of(guid: Guid) -> EntryKey {
    (guid, FoldedName::of(""), FoldedName::of(""))
}

/// Removes all entries that `doomed` holds of.
pub(super) fn remove_where<K: Ord + Clone, V>(
    map: &mut Map<K, V>,
    doomed: impl Fn(&K, &V) -> bool,
) {
    let keys: Vec<K> =
        map.iter().filter(|(key, value)| doomed(key, value)).map(|(key, _)| key.clone()).collect();
    for key in keys {
        map.remove_mut(&key);
    }
}
