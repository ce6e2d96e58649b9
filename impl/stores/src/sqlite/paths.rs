//! Path entries (PSD-006 §5.1: LOOKUP, CREATE_ENTRY, HIDE_ENTRY, DELETE_ENTRY, ENUM_CHILDREN).

use std::collections::{BTreeMap, BTreeSet};

use rsi::{Guid, KeyMetadata, PathEntry, Response, Status};
use rusqlite::{Row, params};

use super::keys;
use super::row;
use super::session::{Place, Session};
use super::sql;
use crate::backend::{Outcome, Refusal};
use crate::fold::fold;
use crate::task::EntryName;

/// LORE-061, LORE-087, LORE-088.
pub(super) fn lookup(session: Session<'_>, parent: Guid, child_name: &str) -> Outcome {
    let mut statement = session.query(&sql::ENTRY_LOOKUP)?;
    let mut rows = statement.query(params![&parent.0[..], fold(child_name)])?;
    let mut entries = Vec::new();
    while let Some(found) = rows.next()? {
        entries.push(entry(found)?);
    }
    let metadata = metadata(session, &entries)?;
    Ok(Response::Lookup { entries, metadata })
}

/// LORE-062, LORE-095. Entries that spell a name differently come in groups of their own, since
/// only the group has the spelling; the kernel joins groups that fold equal (D-06).
pub(super) fn enumerate(session: Session<'_>, parent: Guid) -> Outcome {
    let mut statement = session.query(&sql::ENTRY_ENUMERATE)?;
    let mut rows = statement.query([&parent.0[..]])?;
    let mut groups: BTreeMap<(Vec<u8>, Vec<u8>), Vec<PathEntry>> = BTreeMap::new();
    while let Some(found) = rows.next()? {
        let name = (row::name(found, 5)?, row::name(found, 4)?);
        groups.entry(name).or_default().push(entry(found)?);
    }
    let children: Vec<_> = groups.into_iter().map(|((_, name), entries)| (name, entries)).collect();
    let metadata = metadata(session, children.iter().flat_map(|(_, entries)| entries))?;
    Ok(Response::EnumChildren { children, metadata })
}

fn entry(found: &Row<'_>) -> Result<PathEntry, Refusal> {
    Ok(PathEntry {
        layer: row::name(found, 0)?,
        target: row::target(found, 1, 2)?,
        sequence: row::number(found, 3)?,
    })
}

/// The metadata of every key that the entries name, once each.
fn metadata<'a>(
    session: Session<'_>,
    entries: impl IntoIterator<Item = &'a PathEntry>,
) -> Result<Vec<KeyMetadata>, Refusal> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for target in entries.into_iter().filter_map(|entry| entry.target) {
        if seen.insert(target) {
            found.extend(keys::metadata(session, target)?);
        }
    }
    Ok(found)
}

/// Whether a layer has an entry of that name, of either kind.
pub(super) fn exists(session: Session<'_>, at: EntryName<'_>) -> Result<bool, Refusal> {
    let name = params![&at.parent.0[..], fold(at.child_name), fold(at.layer)];
    Ok(session.query(&sql::ENTRY_EXISTS)?.exists(name)?)
}

/// Whether any path entry names the key.
pub(super) fn is_named(session: Session<'_>, guid: Guid) -> Result<bool, Refusal> {
    Ok(session.query(&sql::ENTRY_NAMES)?.exists([&guid.0[..]])?)
}

/// LORE-089, LORE-090.
pub(super) fn create(
    session: Session<'_>,
    place: Place,
    at: EntryName<'_>,
    child: Guid,
    sequence: u64,
) -> Outcome {
    if exists(session, at)? {
        return Err(Status::AlreadyExists.into());
    }
    insert(session, place, at, Some(child), sequence)?;
    Ok(Response::Done)
}

/// LORE-091, LORE-092.
pub(super) fn hide(
    session: Session<'_>,
    place: Place,
    at: EntryName<'_>,
    sequence: u64,
) -> Outcome {
    session.atomically(|| {
        remove(session, at)?;
        insert(session, place, at, None, sequence)?;
        Ok(Response::Done)
    })
}

/// LORE-093, LORE-094.
pub(super) fn delete(session: Session<'_>, at: EntryName<'_>) -> Outcome {
    session.atomically(|| {
        remove(session, at)?;
        Ok(Response::Done)
    })
}

fn insert(
    session: Session<'_>,
    place: Place,
    at: EntryName<'_>,
    target: Option<Guid>,
    sequence: u64,
) -> Result<usize, Refusal> {
    session.run(
        &sql::ENTRY_INSERT,
        place,
        params![
            &at.parent.0[..],
            at.child_name,
            fold(at.child_name),
            at.layer,
            row::target_type(target),
            target.as_ref().map(|guid| &guid.0[..]),
            row::stored(sequence)
        ],
    )
}

fn remove(session: Session<'_>, at: EntryName<'_>) -> Result<(), Refusal> {
    session.run_everywhere(
        &sql::ENTRY_DELETE,
        params![&at.parent.0[..], fold(at.child_name), fold(at.layer)],
    )
}
