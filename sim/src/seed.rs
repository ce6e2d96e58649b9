//! Records that a plan puts into a store: finds the place among the raw records, and resolves
//! nothing.

use registry_model::store_entry::{
    StoreEntry, StoredKey, StoredRecord, StoredSequence, StoredTarget,
};
use rsi::Guid;
use stores::{RawBlanket, RawHive, RawKey, RawPathEntry, RawRecord, RawValue, fold};

use crate::env::Randomness;
use crate::source::OpenStore;
use seam::lock;

/// Puts a record in. Returns whether its place is there.
///
/// # Errors
/// The store's own, in words.
pub fn store(
    store: &OpenStore,
    entry: &StoreEntry,
    randomness: &Randomness,
) -> Result<bool, String> {
    let mut store = lock(store);
    let hives = store.raw().map_err(|status| format!("{status:?}"))?;
    let place = entry.key.path.split_first().and_then(|(name, below)| {
        let hive = hives.iter().find(|hive| fold(&hive.name) == fold(name))?;
        Some((hive, find(hive, below, &entry.key)?))
    });
    let records = place.and_then(|(hive, key)| records(hive, key, &entry.record, randomness));
    let (Some((hive, _)), Some(records)) = (place, records) else { return Ok(false) };
    for record in records {
        store.seed(hive.root, record).map_err(|status| format!("{status:?}"))?;
    }
    Ok(true)
}

/// The key that the path leads to, by the layers that [`StoredKey`] prefers.
fn find<'a>(hive: &'a RawHive, below: &[String], key: &StoredKey) -> Option<&'a RawKey> {
    let mut found = hive.root;
    for name in below {
        let rank = |entry: &&RawPathEntry| {
            let layer = fold(&entry.layer).into_owned();
            let is_wanted = key.through.as_ref().is_some_and(|through| fold(through) == layer);
            (!is_wanted, layer != "base", layer)
        };
        found = entries(hive, found, name)
            .filter(|entry| entry.target.is_some())
            .min_by_key(rank)?
            .target?;
    }
    hive.keys.iter().find(|key| key.guid == found)
}

fn entries<'a>(
    hive: &'a RawHive,
    parent: Guid,
    name: &str,
) -> impl Iterator<Item = &'a RawPathEntry> {
    hive.path_entries
        .iter()
        .filter(move |entry| entry.parent == parent && fold(&entry.child_name) == fold(name))
}

/// What has to be stored; `None` if the place is not there.
fn records(
    hive: &RawHive,
    key: &RawKey,
    record: &StoredRecord,
    randomness: &Randomness,
) -> Option<Vec<RawRecord>> {
    let stored_volatile = key.volatile_key;
    Some(match record {
        StoredRecord::Value { name, layer, value_type, data, sequence } => {
            let held = hive
                .values
                .iter()
                .filter(|value| value.key == key.guid && fold(&value.name) == fold(name));
            let sequence = number(sequence, held.map(|value| (&*value.layer, value.sequence)))?;
            vec![RawRecord::Value(RawValue {
                key: key.guid,
                name: name.clone(),
                layer: layer.clone(),
                value_type: *value_type,
                data: data.clone(),
                sequence,
                stored_volatile,
            })]
        }
        StoredRecord::Blanket { layer, sequence } => {
            let held = hive.blankets.iter().filter(|blanket| blanket.key == key.guid);
            let sequence = number(sequence, held.map(|held| (&*held.layer, held.sequence)))?;
            let (key, layer) = (key.guid, layer.clone());
            vec![RawRecord::Blanket(RawBlanket { key, layer, sequence, stored_volatile })]
        }
        StoredRecord::Child { name, layer, target, sequence } => {
            let held = || entries(hive, key.guid, name);
            if held().any(|entry| fold(&entry.layer) == fold(layer)) {
                return None;
            }
            let sequence = number(sequence, held().map(|held| (&*held.layer, held.sequence)))?;
            let of = |layer: &str| held().find(|held| fold(&held.layer) == fold(layer))?.target;
            let (target, new_key) = match target {
                StoredTarget::Hidden => (None, None),
                StoredTarget::Of(layer) => (Some(of(layer)?), None),
                StoredTarget::Missing => (Some(fresh_guid(randomness)), None),
                StoredTarget::Key { symlink } => {
                    let new = child_of(key, name, *symlink, randomness);
                    (Some(new.guid), Some(RawRecord::Key(new)))
                }
            };
            let entry = RawPathEntry {
                parent: key.guid,
                child_name: name.clone(),
                layer: layer.clone(),
                target,
                sequence,
                stored_volatile,
            };
            new_key.into_iter().chain([RawRecord::PathEntry(entry)]).collect()
        }
        StoredRecord::Descriptor { bytes } => {
            vec![RawRecord::Key(RawKey { sd: bytes.clone(), ..key.clone() })]
        }
        StoredRecord::Lost if key.guid == hive.root => return None,
        StoredRecord::Lost => vec![RawRecord::LostKey(key.guid)],
    })
}

/// The number that is meant, among the layers that hold something at the place.
fn number<'a>(
    sequence: &StoredSequence,
    mut held: impl Iterator<Item = (&'a str, u64)>,
) -> Option<u64> {
    match sequence {
        StoredSequence::Number(number) => Some(*number),
        StoredSequence::Of(of) => {
            held.find(|(layer, _)| fold(layer) == fold(of)).map(|(_, sequence)| sequence)
        }
    }
}

fn child_of(parent: &RawKey, name: &str, symlink: bool, randomness: &Randomness) -> RawKey {
    RawKey {
        guid: fresh_guid(randomness),
        name: name.to_owned(),
        parent: Some(parent.guid),
        symlink,
        last_write_time: 0,
        ..parent.clone()
    }
}

fn fresh_guid(randomness: &Randomness) -> Guid {
    let mut guid = Guid::NULL;
    randomness.clone().fill(&mut guid.0);
    guid
}
