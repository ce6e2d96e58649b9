//! Records put into a hive as they are, for tests of what reads them.
//!
//! Validates nothing; keeps the folded names and the reverse index in step, since those are no
//! part of a record.

use std::collections::BTreeMap;

use rsi::Status;

use super::content::{BlanketRecord, Content, Key, PathRecord, ValueRecord, folded};
use super::mutation::remove_entry_at;
use crate::{RawKey, RawPathEntry, RawRecord};

/// Puts a record in, in place of the one with the same identity.
pub(super) fn put(content: &mut Content, record: RawRecord) -> Result<(), Status> {
    match record {
        RawRecord::Key(key) => put_key(content, key),
        RawRecord::PathEntry(entry) => put_entry(content, entry),
        RawRecord::Value(value) => {
            let key = content.keys.get_mut(&value.key).ok_or(Status::NotFound)?;
            let (name, layer) = (folded(&value.name), folded(&value.layer));
            let record = ValueRecord {
                name: value.name,
                layer: value.layer,
                value_type: value.value_type,
                data: value.data,
                sequence: value.sequence,
            };
            key.values.entry(name).or_default().insert(layer, record);
        }
        RawRecord::Blanket(blanket) => {
            let key = content.keys.get_mut(&blanket.key).ok_or(Status::NotFound)?;
            let record = BlanketRecord { layer: blanket.layer.clone(), sequence: blanket.sequence };
            key.blankets.insert(folded(&blanket.layer), record);
        }
        RawRecord::LostKey(guid) => {
            content.keys.remove(&guid);
        }
    }
    Ok(())
}

fn put_key(content: &mut Content, key: RawKey) {
    let (values, blankets) = match content.keys.remove(&key.guid) {
        Some(former) => (former.values, former.blankets),
        None => (BTreeMap::new(), BTreeMap::new()),
    };
    let record = Key {
        name: key.name,
        parent: key.parent,
        sd: key.sd,
        volatile: key.volatile_key,
        symlink: key.symlink,
        last_write_time: key.last_write_time,
        values,
        blankets,
    };
    content.keys.insert(key.guid, record);
}

fn put_entry(content: &mut Content, entry: RawPathEntry) {
    let (name, layer) = (folded(&entry.child_name), folded(&entry.layer));
    remove_entry_at(content, entry.parent, &name, &layer);
    if let Some(target) = entry.target {
        let place = (entry.parent, name.clone(), layer.clone());
        content.named_by.entry(target).or_default().insert(place);
    }
    let record = PathRecord {
        name: entry.child_name,
        layer: entry.layer,
        target: entry.target,
        sequence: entry.sequence,
        volatile: entry.stored_volatile,
    };
    content
        .children
        .entry(entry.parent)
        .or_default()
        .entry(name)
        .or_default()
        .insert(layer, record);
}
