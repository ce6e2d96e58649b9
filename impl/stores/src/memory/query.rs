//! Queries of one hive's content (PSD-005 §7.2). Every layer's entry is returned (SRC-06, SRC-07).

use std::collections::{BTreeMap, BTreeSet};

use rsi::{BlanketEntry, Guid, KeyMetadata, PathEntry, Response, Status, ValueEntry};

use super::content::{Content, Key, PathRecord, ValueRecord};
use crate::fold::fold;
use crate::task::Read;

/// Answers a query; a key without a record is `NotFound` (P-09).
pub(super) fn answer(content: &Content, read: Read<'_>) -> Result<Response, Status> {
    let key = content.keys.get(&read.key()).ok_or(Status::NotFound)?;
    Ok(match read {
        Read::Lookup { parent, child_name } => lookup(content, parent, child_name),
        Read::EnumChildren { parent } => enumerate(content, parent),
        Read::Key { .. } => record(key),
        Read::QueryValues { value_name, .. } => values(key, value_name),
    })
}

fn lookup(content: &Content, parent: Guid, child_name: &str) -> Response {
    let layers = content
        .children
        .get(&parent)
        .and_then(|names| names.get(&*fold(child_name)))
        .into_iter()
        .flat_map(BTreeMap::values);
    let entries: Vec<_> = layers.map(entry).collect();
    let metadata = metadata(content, &entries);
    Response::Lookup { entries, metadata }
}

/// A group for each spelling, as D-06 needs it.
fn enumerate(content: &Content, parent: Guid) -> Response {
    let names = content.children.get(&parent).into_iter().flatten();
    let mut groups: BTreeMap<(&str, &str), Vec<PathEntry>> = BTreeMap::new();
    for (folded, layers) in names {
        for record in layers.values() {
            groups.entry((folded, &record.name)).or_default().push(entry(record));
        }
    }
    let children: Vec<(Vec<u8>, Vec<PathEntry>)> = groups
        .into_iter()
        .map(|((_, name), entries)| (name.as_bytes().to_vec(), entries))
        .collect();
    let metadata = metadata(content, children.iter().flat_map(|(_, entries)| entries));
    Response::EnumChildren { children, metadata }
}

fn entry(record: &PathRecord) -> PathEntry {
    PathEntry {
        layer: record.layer.clone().into_bytes(),
        target: record.target,
        sequence: record.sequence,
    }
}

/// The metadata of every key that the entries name, once each.
fn metadata<'a>(
    content: &Content,
    entries: impl IntoIterator<Item = &'a PathEntry>,
) -> Vec<KeyMetadata> {
    let mut seen = BTreeSet::new();
    entries
        .into_iter()
        .filter_map(|entry| entry.target)
        .filter(|target| seen.insert(*target))
        .filter_map(|guid| content.keys.get(&guid).map(|key| (guid, key)))
        .map(|(guid, key)| KeyMetadata {
            guid,
            sd: key.sd.clone(),
            volatile_key: key.volatile,
            symlink: key.symlink,
            last_write_time: key.last_write_time,
        })
        .collect()
}

fn record(key: &Key) -> Response {
    Response::ReadKey {
        name: key.name.clone().into_bytes(),
        parent: key.parent.unwrap_or(Guid::NULL),
        sd: key.sd.clone(),
        volatile_key: key.volatile,
        symlink: key.symlink,
        last_write_time: key.last_write_time,
    }
}

fn values(key: &Key, value_name: Option<&str>) -> Response {
    let entries = match value_name {
        Some(name) => key
            .values
            .get(&*fold(name))
            .into_iter()
            .flatten()
            .map(|(_, record)| value(record))
            .collect(),
        None => key.values.values().flatten().map(|(_, record)| value(record)).collect(),
    };
    let blankets = key
        .blankets
        .values()
        .map(|record| BlanketEntry {
            layer: record.layer.clone().into_bytes(),
            sequence: record.sequence,
        })
        .collect();
    Response::QueryValues { entries, blankets }
}

fn value(record: &ValueRecord) -> ValueEntry {
    ValueEntry {
        name: record.name.clone().into_bytes(),
        layer: record.layer.clone().into_bytes(),
        value_type: record.value_type,
        data: record.data.clone(),
        sequence: record.sequence,
    }
}
