//! Removal of a layer (PSD-006 §5.1: DELETE_LAYER; LORE-123 to LORE-126).
//!
//! Each hive has a database of its own, so that no commit covers them all. Every hive is changed
//! before the first is committed: a failure until then leaves nothing behind.

use std::collections::BTreeSet;

use rsi::{Guid, Response};

use super::hive::Hive;
use super::paths;
use super::row;
use super::session::Session;
use super::sql;
use crate::backend::{Outcome, Refusal};
use crate::fold::fold;

/// Removes the layer's entries from every hive. No transaction is open on any of them.
pub(super) fn delete(hives: &[Hive], layer: &str) -> Outcome {
    let layer = fold(layer);
    let removed = remove_uncommitted(hives, &layer);
    let committed = removed.and_then(|orphaned| {
        for hive in hives {
            hive.current_writer().execute("COMMIT")?;
        }
        Ok(Response::DeleteLayer { orphaned })
    });
    if committed.is_err() {
        for hive in hives.iter().filter(|hive| hive.is_open()) {
            // What SQLite has rolled back by itself needs no more.
            let _ = hive.current_writer().execute("ROLLBACK");
        }
    }
    committed
}

/// The keys that have lost their last path entry, each once: entries of several hives may name one.
fn remove_uncommitted(hives: &[Hive], layer: &str) -> Result<Vec<Guid>, Refusal> {
    let mut candidates = BTreeSet::new();
    for hive in hives {
        let session = hive.current_writer();
        session.execute("BEGIN IMMEDIATE")?;
        candidates.extend(orphans(session, layer)?);
        for statement in
            [&sql::LAYER_DELETE_ENTRIES, &sql::LAYER_DELETE_VALUES, &sql::LAYER_DELETE_BLANKETS]
        {
            session.run_everywhere(statement, [layer])?;
        }
    }
    let mut orphaned = Vec::new();
    for guid in candidates {
        if !is_named_in_any(hives, guid)? {
            orphaned.push(guid);
        }
    }
    Ok(orphaned)
}

fn is_named_in_any(hives: &[Hive], guid: Guid) -> Result<bool, Refusal> {
    for hive in hives {
        if paths::is_named(hive.current_writer(), guid)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn orphans(session: Session<'_>, layer: &str) -> Result<Vec<Guid>, Refusal> {
    let mut statement = session.query(&sql::LAYER_ORPHANS)?;
    let mut rows = statement.query([layer])?;
    let mut orphaned = Vec::new();
    while let Some(found) = rows.next()? {
        orphaned.push(row::guid(found, 0)?);
    }
    Ok(orphaned)
}
