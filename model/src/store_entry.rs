//! Records that are put into a store behind the kernel's back: states that no call can make.
//!
//! Says what is put where, in the terms of PSD-005 §2.3 to §2.5, and puts it there. Nothing is
//! validated: a name, a layer, a sequence number, a type or an SD may be anything. What the kernel
//! makes of it when it reads it is in `responses`; until then it notices nothing (P-41).

use std::sync::Arc;

use crate::database::{
    Database, Guid, HiveId, Kept, KeyRecord, PathEntry, Target, Time, ValueEntry,
};
use crate::layers;
use crate::names::{FoldedName, KeyName, LayerName, ValueName};
use crate::security::SecurityDescriptor;
use crate::state::State;
use crate::values::length;

/// A record and the key that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoreEntry {
    /// The key.
    pub key: StoredKey,
    /// What is stored of it or below it.
    pub record: StoredRecord,
}

/// A key as a store finds it, without resolving anything.
///
/// At each component it follows the path entry of the layer `through` if that one names a key,
/// else that of base, else that of the first layer, by folded name, that names one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredKey {
    /// The hive and the names below it, in any spelling.
    pub path: Vec<String>,
    /// The layer to follow.
    pub through: Option<String>,
}

/// What is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoredRecord {
    /// A value entry or a tombstone, in place of the layer's own of that name.
    Value {
        /// The value's name.
        name: String,
        /// The layer.
        layer: String,
        /// The type code, 0xFFFF for a tombstone; any number.
        value_type: u32,
        /// The data; a tombstone may have some here.
        data: Vec<u8>,
        /// The sequence number.
        sequence: StoredSequence,
    },
    /// A blanket tombstone, in place of the layer's own.
    Blanket {
        /// The layer.
        layer: String,
        /// The sequence number.
        sequence: StoredSequence,
    },
    /// A path entry below the key. Nothing happens where the layer has one already.
    Child {
        /// The child's name.
        name: String,
        /// The layer.
        layer: String,
        /// What it points to.
        target: StoredTarget,
        /// The sequence number.
        sequence: StoredSequence,
    },
    /// The bytes of the key's SD.
    Descriptor {
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The key's record with its values and blanket tombstones is gone, the entries that name it
    /// stay. Nothing happens to a hive root.
    Lost,
}

/// A sequence number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoredSequence {
    /// This one.
    Number(u64),
    /// That of this layer's entry at the same place. Nothing happens where there is none.
    Of(String),
}

/// What a path entry points to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoredTarget {
    /// HIDDEN.
    Hidden,
    /// A new key with the SD and the volatile flag of its parent, written at time 0.
    Key {
        /// The symlink flag.
        symlink: bool,
    },
    /// A key that has no record.
    Missing,
    /// The key that this layer's entry at the same place names. Nothing happens where it names
    /// none.
    Of(String),
}

/// The state after a store was given a record; `None` where the place is not there.
pub(crate) fn store(state: &State, entry: &StoreEntry) -> Option<State> {
    let mut next = state.clone();
    next.enumerations = crate::database::Map::new_sync();
    let fresh = next.fresh_guid();
    let place = place_of(&next, entry.key.path.first()?)?;
    let database = match &place {
        Place::Behind(hive) => {
            let is_active = next.is_active(*hive);
            let database = next.database_mut(*hive);
            if !is_active {
                // The store of a source that is not running is opened for it.
                database.restart();
            }
            database
        }
        Place::OnShelf(place) => {
            let database = next.shelf.get_mut(place)?;
            database.restart();
            database
        }
    };
    let key = find(database, &entry.key)?;
    put(database, key, &entry.record, fresh)?;
    database.seeded = true;
    if let Place::Behind(hive) = place {
        // A transaction that is open there sees it too.
        next.change_open_contents(hive, |contents| {
            put(contents, key, &entry.record, fresh);
            contents.seeded = true;
        });
    }
    Some(next)
}

/// Where a store is that some process keeps.
enum Place {
    /// Behind a registered hive.
    Behind(HiveId),
    /// With its process, while another one serves its hive or none does.
    OnShelf(Kept),
}

/// The hive of this name among all that sources keep, registered or not; a global one before a
/// private one.
fn place_of(state: &State, name: &str) -> Option<Place> {
    let name = FoldedName::of(name);
    find_place(state, |database| database.name == name && database.namespace.is_none())
        .or_else(|| find_place(state, |database| database.name == name))
}

fn find_place(state: &State, is_it: impl Fn(&Database) -> bool) -> Option<Place> {
    let is_kept = |database: &Database| database.keeper.is_some() && is_it(database);
    let behind = state.databases.iter().find(|(_, database)| is_kept(database));
    let shelved = || state.shelf.iter().find(|(_, database)| is_kept(database));
    behind
        .map(|(hive, _)| Place::Behind(*hive))
        .or_else(|| shelved().map(|(place, _)| Place::OnShelf(place.clone())))
}

fn find(database: &Database, key: &StoredKey) -> Option<Guid> {
    let through = key.through.as_deref().map(FoldedName::of);
    let wanted: Vec<FoldedName> =
        through.into_iter().chain([FoldedName::of(layers::BASE)]).collect();
    let mut found = database.root;
    for name in &key.path[1..] {
        let entries = database.lookup(found, FoldedName::of(name).as_str())?;
        let chosen = wanted.iter().filter_map(|layer| entries.get(layer)).chain(entries.values());
        found = chosen.filter_map(named_key).next()?;
    }
    database.keys.contains_key(&found).then_some(found)
}

fn named_key(entry: &PathEntry) -> Option<Guid> {
    match entry.target {
        Target::Key(key) => Some(key),
        Target::Hidden => None,
    }
}

fn put(database: &mut Database, key: Guid, record: &StoredRecord, fresh: Guid) -> Option<()> {
    match record {
        StoredRecord::Value { name, layer, value_type, data, sequence } => {
            let (name, layer) = (ValueName::stored(name), LayerName::stored(layer));
            let entries = database.value(key, name.folded().as_str());
            let sequence = number(sequence, |of| Some(entries?.get(of)?.sequence))?;
            let (value_type, data) = (*value_type, data.as_slice().into());
            database.put_value(key, ValueEntry { name, layer, value_type, data, sequence });
        }
        StoredRecord::Blanket { layer, sequence } => {
            let blankets = database.blankets.get(&key);
            let sequence = number(sequence, |of| Some(blankets?.get(of)?.sequence))?;
            database.set_blanket(key, &LayerName::stored(layer), Some(sequence));
        }
        StoredRecord::Child { name, layer, target, sequence } => {
            let (name, layer) = (KeyName::stored(name), LayerName::stored(layer));
            put_child(database, key, (name, layer), (target, sequence), fresh)?;
        }
        StoredRecord::Descriptor { bytes } => {
            let record = database.keys.get(&key)?;
            let descriptor = SecurityDescriptor::parse(bytes).map(Arc::new);
            let sd_size = length(bytes.len());
            let record = KeyRecord { descriptor, sd_size, ..record.clone() };
            database.create_key(key, record);
        }
        StoredRecord::Lost if key == database.root => return None,
        StoredRecord::Lost => database.drop_key(key),
    }
    Some(())
}

fn put_child(
    database: &mut Database,
    parent: Guid,
    (name, layer): (KeyName, LayerName),
    (target, sequence): (&StoredTarget, &StoredSequence),
    fresh: Guid,
) -> Option<()> {
    let entries = database.lookup(parent, name.folded().as_str());
    let held = |of: &FoldedName| entries.and_then(|entries| entries.get(of));
    if held(layer.folded()).is_some() {
        return None;
    }
    let sequence = number(sequence, |of| Some(held(of)?.sequence))?;
    let (target, symlink) = match target {
        StoredTarget::Hidden => (Target::Hidden, None),
        StoredTarget::Key { symlink } => (Target::Key(fresh), Some(*symlink)),
        StoredTarget::Missing => (Target::Key(fresh), None),
        StoredTarget::Of(of) => (Target::Key(named_key(held(&FoldedName::of(of))?)?), None),
    };
    if let Some(symlink) = symlink {
        let above = database.keys.get(&parent)?.clone();
        let record = KeyRecord {
            name: name.clone(),
            parent: Some(parent),
            last_write_time: Time::At(0),
            symlink,
            ..above
        };
        database.create_key(fresh, record);
    }
    let entry = PathEntry { name, layer, target, sequence, volatile_store: false };
    database.put_entry(parent, entry);
    Some(())
}

/// The number that is meant, `of` being that of a layer.
fn number(sequence: &StoredSequence, of: impl FnOnce(&FoldedName) -> Option<u64>) -> Option<u64> {
    match sequence {
        StoredSequence::Number(number) => Some(*number),
        StoredSequence::Of(layer) => of(&FoldedName::of(layer)),
    }
}
