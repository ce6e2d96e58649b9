//! Values and blanket tombstones (PSD-006 §5.1: QUERY_VALUES, SET_VALUE, DELETE_VALUE_ENTRY,
//! SET_BLANKET_TOMBSTONE).

use rsi::{BlanketEntry, Guid, Response, Status, ValueEntry};
use rusqlite::{OptionalExtension, params};

use super::row;
use super::session::{Place, Session};
use super::sql::{self, Query};
use crate::backend::{Outcome, Refusal};
use crate::fold::fold;
use crate::task::{NewValue, TOMBSTONE, ValueName};

/// LORE-110 to LORE-112.
pub(super) fn query(session: Session<'_>, guid: Guid, value_name: Option<&str>) -> Outcome {
    let entries = match value_name {
        Some(name) => entries(session, &sql::VALUE_ONE, params![&guid.0[..], fold(name)])?,
        None => entries(session, &sql::VALUE_ALL, [&guid.0[..]])?,
    };
    let mut statement = session.query(&sql::BLANKET_ALL)?;
    let mut rows = statement.query([&guid.0[..]])?;
    let mut blankets = Vec::new();
    while let Some(found) = rows.next()? {
        blankets
            .push(BlanketEntry { layer: row::name(found, 0)?, sequence: row::number(found, 1)? });
    }
    Ok(Response::QueryValues { entries, blankets })
}

fn entries(
    session: Session<'_>,
    query: &Query,
    parameters: impl rusqlite::Params,
) -> Result<Vec<ValueEntry>, Refusal> {
    let mut statement = session.query(query)?;
    let mut rows = statement.query(parameters)?;
    let mut entries = Vec::new();
    while let Some(found) = rows.next()? {
        entries.push(ValueEntry {
            name: row::name(found, 0)?,
            layer: row::name(found, 1)?,
            value_type: row::type_code(found, 2)?,
            data: row::bytes(found, 3)?,
            sequence: row::number(found, 4)?,
        });
    }
    Ok(entries)
}

/// LORE-113 to LORE-117. Only this connection writes, so that what `stored` finds is still so when
/// the replacement is made; a condition, and a change of the layer's spelling, which is part of
/// the primary key, have a transaction of their own all the same.
pub(super) fn set(
    session: Session<'_>,
    place: Place,
    at: ValueName<'_>,
    value: NewValue<'_>,
    expected_sequence: Option<u64>,
) -> Outcome {
    let Some(expected) = expected_sequence else {
        match stored(session, place, at)? {
            Some((layer, _)) if layer != at.layer => session.atomically(|| {
                remove(session, place, at)?;
                replace(session, place, at, value)
            })?,
            _ => replace(session, place, at, value)?,
        };
        return Ok(Response::Done);
    };
    session.atomically(|| {
        let current = stored(session, place, at)?.map(|(_, sequence)| sequence);
        if current != Some(expected) {
            return Err(Status::ConditionFailed.into());
        }
        remove(session, place, at)?;
        replace(session, place, at, value)?;
        Ok(Response::Done)
    })
}

/// The layer's spelling and the sequence number of the entry there.
fn stored(
    session: Session<'_>,
    place: Place,
    at: ValueName<'_>,
) -> Result<Option<(String, u64)>, Refusal> {
    let text = match place {
        Place::Main => sql::VALUE_STORED.main,
        Place::Volatile => sql::VALUE_STORED.volatile,
    };
    let parameters = params![&at.guid.0[..], fold(at.value_name), fold(at.layer)];
    let found: Option<(String, i64)> = session
        .connection
        .prepare_cached(text)?
        .query_row(parameters, |found| Ok((found.get(0)?, found.get(1)?)))
        .optional()?;
    Ok(found.map(|(layer, sequence)| (layer, sequence.cast_unsigned())))
}

fn replace(
    session: Session<'_>,
    place: Place,
    at: ValueName<'_>,
    value: NewValue<'_>,
) -> Result<usize, Refusal> {
    let data = (value.value_type != TOMBSTONE).then_some(value.data);
    session.run(
        &sql::VALUE_REPLACE,
        place,
        params![
            &at.guid.0[..],
            at.value_name,
            fold(at.value_name),
            at.layer,
            value.value_type,
            data,
            row::stored(value.sequence)
        ],
    )
}

fn remove(session: Session<'_>, place: Place, at: ValueName<'_>) -> Result<usize, Refusal> {
    session.run(
        &sql::VALUE_DELETE.statement,
        place,
        params![&at.guid.0[..], fold(at.value_name), fold(at.layer)],
    )
}

/// LORE-118, LORE-119. A key's values all lie in the key's own store.
pub(super) fn delete(session: Session<'_>, place: Place, at: ValueName<'_>) -> Outcome {
    remove(session, place, at)?;
    Ok(Response::Done)
}

/// LORE-120, LORE-122.
pub(super) fn set_blanket(
    session: Session<'_>,
    place: Place,
    guid: Guid,
    layer: &str,
    sequence: u64,
) -> Outcome {
    session.atomically(|| {
        remove_blanket(session, place, guid, layer)?;
        let parameters = params![&guid.0[..], layer, row::stored(sequence)];
        session.run(&sql::BLANKET_INSERT, place, parameters)?;
        Ok(Response::Done)
    })
}

/// LORE-121, LORE-122.
pub(super) fn remove_blanket(
    session: Session<'_>,
    place: Place,
    guid: Guid,
    layer: &str,
) -> Outcome {
    session.run(&sql::BLANKET_DELETE.statement, place, params![&guid.0[..], fold(layer)])?;
    Ok(Response::Done)
}
