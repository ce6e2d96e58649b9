//! Path entries: looking them up, enumerating, creating, hiding and deleting them.
//!
//! States the path operations of PSD-005 §7.2 and, for what is its own, PSD-006 §5.1. Decides
//! nothing about layers: every layer's entry is returned (OP-02).

use std::collections::{BTreeMap, BTreeSet};

use super::database::{Database, Name, PathRecord, Target};
use super::key_operations::pattern;
use super::message::{Guid, PathEntry, Status, TARGET_GUID, TARGET_HIDDEN};
use super::outcome::{Answer, KeyPattern, Outcome};
use super::work::{Work, has_key, not_found};
use crate::coverage::{Covered, covers};

/// The bytes of a child name and of a layer name.
type NameBytes<'a> = (&'a [u8], &'a [u8]);

impl Work<'_> {
    /// RSI_LOOKUP.
    pub(super) fn lookup(&mut self, parent: Guid, name: &[u8]) -> Result<Vec<Answer>, Status> {
        let name = Name::parse(name)?;
        self.read(parent, |database, covered| lookup(database, parent, &name, covered))
    }

    /// RSI_ENUM_CHILDREN.
    pub(super) fn enum_children(&mut self, parent: Guid) -> Result<Vec<Answer>, Status> {
        self.read(parent, |database, covered| enum_children(database, parent, covered))
    }

    /// RSI_CREATE_ENTRY.
    pub(super) fn create_entry(
        &mut self,
        parent: Guid,
        names: NameBytes<'_>,
        child: Guid,
        sequence: u64,
    ) -> Result<Vec<Answer>, Status> {
        let (name, layer) = (Name::parse(names.0)?, Name::parse(names.1)?);
        if child == Guid::ZERO {
            return Err(Status::Invalid);
        }
        self.write(has_key(parent), not_found, |database, covered| {
            create_entry(database, parent, (&name, &layer), child, sequence, covered)
        })
    }

    /// RSI_HIDE_ENTRY.
    pub(super) fn hide_entry(
        &mut self,
        parent: Guid,
        names: NameBytes<'_>,
        sequence: u64,
    ) -> Result<Vec<Answer>, Status> {
        let (name, layer) = (Name::parse(names.0)?, Name::parse(names.1)?);
        self.write(has_key(parent), not_found, |database, covered| {
            hide_entry(database, parent, (&name, &layer), sequence, covered)
        })
    }

    /// RSI_DELETE_ENTRY. Entries stay below a key that was dropped, and can still be removed
    /// (P-68).
    pub(super) fn delete_entry(
        &mut self,
        parent: Guid,
        names: NameBytes<'_>,
    ) -> Result<Vec<Answer>, Status> {
        let (name, layer) = (Name::parse(names.0)?, Name::parse(names.1)?);
        let key = (parent, name.folded.clone(), layer.folded.clone());
        let has_any = |database: &Database| database.entries_below(parent).next().is_some();
        let has_this = |database: &Database| database.path_entries.contains_key(&key);
        let absent = |covered: &mut Covered| {
            covers!(covered, "LORE-094");
            Ok(Outcome::Done)
        };
        self.remove(parent, has_any, has_this, absent, |database, covered| {
            delete_entry(database, parent, (&name, &layer), covered)
        })
    }
}

/// RSI_LOOKUP of a parent that is there.
fn lookup(database: &Database, parent: Guid, child: &Name, covered: &mut Covered) -> Outcome {
    covers!(covered, "OP-03", "OP-05", "PATH-08", "LORE-087");
    let of_child: Vec<&PathRecord> = database
        .entries_below(parent)
        .filter(|((_, name, _), _)| *name == child.folded)
        .map(|(_, entry)| entry)
        .collect();
    if of_child.is_empty() {
        covers!(covered, "OP-10");
    }
    if of_child.iter().any(|entry| entry.name != child.spelling) {
        covers!(covered, "LORE-053");
    }
    let metadata = metadata(database, &of_child, covered);
    if !metadata.is_empty() {
        covers!(covered, "OP-06", "LORE-088");
    }
    if of_child.iter().any(|entry| entry.target == Target::Hidden) {
        covers!(covered, "OP-07");
    }
    if in_both_stores(&metadata, database, parent) {
        covers!(covered, "LORE-061");
    }
    Outcome::Entries { entries: sorted(&of_child), metadata }
}

/// RSI_ENUM_CHILDREN of a parent that is there.
fn enum_children(database: &Database, parent: Guid, covered: &mut Covered) -> Outcome {
    covers!(covered, "OP-16", "LORE-095");
    let below: Vec<&PathRecord> = database.entries_below(parent).map(|(_, entry)| entry).collect();
    let mut by_name: BTreeMap<Vec<u8>, Vec<&PathRecord>> = BTreeMap::new();
    for entry in &below {
        by_name.entry(entry.name.as_bytes().to_vec()).or_default().push(entry);
    }
    if !by_name.is_empty() {
        covers!(covered, "LORE-051");
    }
    let metadata = metadata(database, &below, covered);
    if !metadata.is_empty() {
        covers!(covered, "OP-17");
    }
    if below.iter().any(|entry| entry.target == Target::Hidden) {
        covers!(covered, "OP-18");
    }
    if in_both_stores(&metadata, database, parent) {
        covers!(covered, "LORE-062");
    }
    let children = by_name.into_iter().map(|(name, entries)| (name, sorted(&entries))).collect();
    Outcome::Children { children, metadata }
}

/// RSI_CREATE_ENTRY below a parent that is there. The record of the child may come later (D-29).
///
/// # Errors
///
/// RSI_ALREADY_EXISTS if the layer has an entry of either kind there.
fn create_entry(
    database: &mut Database,
    parent: Guid,
    names: (&Name, &Name),
    child: Guid,
    sequence: u64,
    covered: &mut Covered,
) -> Result<Outcome, Status> {
    let (name, layer) = names;
    let key = (parent, name.folded.clone(), layer.folded.clone());
    if let Some(taken) = database.path_entries.get(&key) {
        covers!(covered, "LORE-090");
        if taken.layer != layer.spelling {
            covers!(covered, "LORE-057");
        }
        return Err(Status::AlreadyExists);
    }
    covers!(covered, "OP-11", "PATH-07", "REG-35", "SRC-08", "SEQ-24");
    if database.keys.get(&child).is_some_and(|key| key.volatile_key) {
        covers!(covered, "LORE-089");
    }
    put(database, parent, names, Target::Key(child), sequence);
    Ok(Outcome::Done)
}

/// RSI_HIDE_ENTRY below a parent that is there, in place of whatever the layer has.
fn hide_entry(
    database: &mut Database,
    parent: Guid,
    names: (&Name, &Name),
    sequence: u64,
    covered: &mut Covered,
) -> Result<Outcome, Status> {
    covers!(covered, "OP-13");
    if put(database, parent, names, Target::Hidden, sequence) {
        covers!(covered, "LORE-091");
    }
    if database.keys.get(&parent).is_some_and(|key| key.volatile_key) {
        covers!(covered, "LORE-092");
    }
    Ok(Outcome::Done)
}

/// RSI_DELETE_ENTRY. The key that the entry named stays as it is.
fn delete_entry(
    database: &mut Database,
    parent: Guid,
    names: (&Name, &Name),
    covered: &mut Covered,
) -> Result<Outcome, Status> {
    let (name, layer) = names;
    let key = (parent, name.folded.clone(), layer.folded.clone());
    let removed = database.path_entries.get(&key);
    match removed.map(|entry| entry.target) {
        Some(Target::Key(_)) => covers!(covered, "OP-14", "DEL-53", "LORE-093"),
        Some(Target::Hidden) => covers!(covered, "OP-15", "LORE-093"),
        None => covers!(covered, "LORE-094"),
    }
    if removed.is_some_and(|entry| entry.layer != layer.spelling) {
        covers!(covered, "LORE-057");
    }
    database.path_entries.remove_mut(&key);
    Ok(Outcome::Done)
}

/// Stores an entry and says whether it took the place of another.
fn put(
    database: &mut Database,
    parent: Guid,
    (name, layer): (&Name, &Name),
    target: Target,
    sequence: u64,
) -> bool {
    let key = (parent, name.folded.clone(), layer.folded.clone());
    let replaces = database.path_entries.contains_key(&key);
    let below_volatile_key = database.keys.get(&parent).is_some_and(|key| key.volatile_key);
    let entry = PathRecord {
        name: name.spelling.clone(),
        layer: layer.spelling.clone(),
        target,
        sequence,
        below_volatile_key,
    };
    database.path_entries.insert_mut(key, entry);
    replaces
}

/// One record for each key that the entries name and that has one (P-62), by GUID.
fn metadata(
    database: &Database,
    entries: &[&PathRecord],
    covered: &mut Covered,
) -> Vec<KeyPattern> {
    if entries.len() > 1 {
        covers!(covered, "OP-01", "OP-02", "SRC-07", "RES-01");
    }
    let named: BTreeSet<Guid> = entries
        .iter()
        .filter_map(|entry| match entry.target {
            Target::Key(guid) => Some(guid),
            Target::Hidden => None,
        })
        .collect();
    named
        .into_iter()
        .filter_map(|guid| database.keys.get(&guid).map(|record| pattern(guid, record)))
        .collect()
}

/// Whether keys of both stores are among these, or the parent is in one and a child in the other.
fn in_both_stores(metadata: &[KeyPattern], database: &Database, parent: Guid) -> bool {
    let parent = database.keys.get(&parent).is_some_and(|key| key.volatile_key);
    metadata.iter().any(|key| key.volatile_key != parent)
}

fn sorted(entries: &[&PathRecord]) -> Vec<PathEntry> {
    let mut shown: Vec<PathEntry> = entries
        .iter()
        .map(|entry| {
            let (target_type, target) = match entry.target {
                Target::Key(guid) => (TARGET_GUID, guid),
                Target::Hidden => (TARGET_HIDDEN, Guid::ZERO),
            };
            let (layer, sequence) = (entry.layer.as_bytes().to_vec(), entry.sequence);
            PathEntry { layer, target_type, target, sequence }
        })
        .collect();
    shown.sort();
    shown
}
