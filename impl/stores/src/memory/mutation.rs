//! Mutations of one hive's content (PSD-005 §7.2). Each checks first and then changes, so that a
//! refusal changes nothing.

use std::collections::BTreeMap;

use rsi::{Guid, Response, Status};

use super::content::{BlanketRecord, Content, Key, PathRecord, ValueRecord, folded};
use crate::task::{EntryName, NewKey, NewValue, ValueName, Write};

type Done = Result<(), Status>;

/// Carries a mutation out. `now` is Unix nanoseconds.
pub(super) fn apply(content: &mut Content, write: Write<'_>, now: u64) -> Result<Response, Status> {
    if !content.has_key(write.key()) && !write.is_idempotent_removal() {
        return Err(Status::NotFound);
    }
    match write {
        Write::CreateEntry { at, child, sequence } => create_entry(content, at, child, sequence)?,
        Write::HideEntry { at, sequence } => hide_entry(content, at, sequence),
        Write::DeleteEntry { at } => remove_entry(content, at),
        Write::CreateKey(key) => create_key(content, key, now)?,
        Write::UpdateKey { guid, sd, last_write_time } => {
            let key = key(content, guid)?;
            key.sd = sd.map_or_else(|| std::mem::take(&mut key.sd), <[u8]>::to_vec);
            key.last_write_time = last_write_time.unwrap_or(key.last_write_time);
        }
        Write::DropKey { guid } => drop_key(content, guid),
        Write::SetValue { at, value, expected_sequence } => {
            set_value(content, at, value, expected_sequence)?;
        }
        Write::DeleteValueEntry { at } => delete_value(content, at),
        Write::SetBlanket { guid, layer, sequence } => {
            let record = BlanketRecord { layer: layer.to_owned(), sequence };
            key(content, guid)?.blankets.insert(folded(layer), record);
        }
        Write::RemoveBlanket { guid, layer } => {
            key(content, guid)?.blankets.remove(&folded(layer));
        }
    }
    Ok(Response::Done)
}

/// Whether there are path entries that a removal takes which needs no record of its key (P-330).
pub(super) fn has_entries_of(content: &Content, removal: Write<'_>) -> bool {
    match removal {
        Write::DeleteEntry { at } => has_entry(content, at),
        Write::DropKey { guid } => content.named_by.contains_key(&guid),
        _ => false,
    }
}

fn has_entry(content: &Content, at: EntryName<'_>) -> bool {
    content
        .children
        .get(&at.parent)
        .and_then(|names| names.get(&folded(at.child_name)))
        .is_some_and(|layers| layers.contains_key(&folded(at.layer)))
}

fn key(content: &mut Content, guid: Guid) -> Result<&mut Key, Status> {
    content.keys.get_mut(&guid).ok_or(Status::NotFound)
}

/// The entry is volatile when its parent is, or its key already is (D-96).
fn create_entry(content: &mut Content, at: EntryName<'_>, child: Guid, sequence: u64) -> Done {
    if has_entry(content, at) {
        return Err(Status::AlreadyExists);
    }
    let volatile = [at.parent, child]
        .iter()
        .any(|guid| content.keys.get(guid).is_some_and(|key| key.volatile));
    insert_entry(content, at, Some(child), sequence, volatile);
    Ok(())
}

fn hide_entry(content: &mut Content, at: EntryName<'_>, sequence: u64) {
    let volatile = content.keys.get(&at.parent).is_some_and(|key| key.volatile);
    remove_entry(content, at);
    insert_entry(content, at, None, sequence, volatile);
}

fn insert_entry(
    content: &mut Content,
    at: EntryName<'_>,
    target: Option<Guid>,
    sequence: u64,
    volatile: bool,
) {
    let (name, layer) = (folded(at.child_name), folded(at.layer));
    if let Some(target) = target {
        let place = (at.parent, name.clone(), layer.clone());
        content.named_by.entry(target).or_default().insert(place);
    }
    let record = PathRecord {
        name: at.child_name.to_owned(),
        layer: at.layer.to_owned(),
        target,
        sequence,
        volatile,
    };
    let names = content.children.entry(at.parent).or_default();
    names.entry(name).or_default().insert(layer, record);
}

fn remove_entry(content: &mut Content, at: EntryName<'_>) {
    remove_entry_at(content, at.parent, &folded(at.child_name), &folded(at.layer));
}

pub(super) fn remove_entry_at(content: &mut Content, parent: Guid, name: &str, layer: &str) {
    let Some(names) = content.children.get_mut(&parent) else { return };
    let Some(layers) = names.get_mut(name) else { return };
    let removed = layers.remove(layer);
    if layers.is_empty() {
        names.remove(name);
    }
    if names.is_empty() {
        content.children.remove(&parent);
    }
    if let Some(target) = removed.and_then(|record| record.target)
        && let Some(places) = content.named_by.get_mut(&target)
    {
        places.remove(&(parent, name.into(), layer.into()));
        if places.is_empty() {
            content.named_by.remove(&target);
        }
    }
}

/// A volatile key takes the entries that lead to it along (D-96).
fn create_key(content: &mut Content, new: NewKey<'_>, now: u64) -> Done {
    if content.has_key(new.guid) {
        return Err(Status::AlreadyExists);
    }
    let key = Key {
        name: new.name.to_owned(),
        parent: Some(new.parent),
        sd: new.sd.to_vec(),
        volatile: new.volatile_key,
        symlink: new.symlink,
        last_write_time: now,
        values: BTreeMap::new(),
        blankets: BTreeMap::new(),
    };
    content.keys.insert(new.guid, key);
    if new.volatile_key {
        for (parent, name, layer) in content.named_by.get(&new.guid).into_iter().flatten() {
            let record = content
                .children
                .get_mut(parent)
                .and_then(|names| names.get_mut(name))
                .and_then(|layers| layers.get_mut(layer));
            if let Some(record) = record {
                record.volatile = true;
            }
        }
    }
    Ok(())
}

/// Entries below the key stay: they name other keys. A root is a key like any other (P-68).
fn drop_key(content: &mut Content, guid: Guid) {
    content.keys.remove(&guid);
    for (parent, name, layer) in content.named_by.remove(&guid).unwrap_or_default() {
        remove_entry_at(content, parent, &name, &layer);
    }
}

fn set_value(
    content: &mut Content,
    at: ValueName<'_>,
    value: NewValue<'_>,
    expected_sequence: Option<u64>,
) -> Done {
    let (name, layer) = (folded(at.value_name), folded(at.layer));
    let key = key(content, at.guid)?;
    if let Some(expected) = expected_sequence {
        let current = key.values.get(&name).and_then(|layers| layers.get(&layer));
        if current.is_none_or(|record| record.sequence != expected) {
            return Err(Status::ConditionFailed);
        }
    }
    let record = ValueRecord {
        name: at.value_name.to_owned(),
        layer: at.layer.to_owned(),
        value_type: value.value_type,
        data: value.data.to_vec(),
        sequence: value.sequence,
    };
    key.values.entry(name).or_default().insert(layer, record);
    Ok(())
}

fn delete_value(content: &mut Content, at: ValueName<'_>) {
    let Some(key) = content.keys.get_mut(&at.guid) else { return };
    let name = folded(at.value_name);
    if let Some(layers) = key.values.get_mut(&name) {
        layers.remove(&folded(at.layer));
        if layers.is_empty() {
            key.values.remove(&name);
        }
    }
}
