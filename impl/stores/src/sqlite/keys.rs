//! Key records (PSD-006 §5.1: CREATE_KEY, READ_KEY, WRITE_KEY, DROP_KEY).

use rsi::{Guid, KeyMetadata, Response, Status};
use rusqlite::params;

use super::row;
use super::session::{Place, Session};
use super::sql;
use crate::backend::{Outcome, Refusal};
use crate::fold::fold;
use crate::task::NewKey;

/// Which store has a record of the key, if either has.
pub(super) fn place(session: Session<'_>, guid: Guid) -> Result<Option<Place>, Refusal> {
    let mut statement = session.query(&sql::KEY_PLACE)?;
    let mut rows = statement.query([&guid.0[..]])?;
    match rows.next()? {
        Some(found) => Ok(Some(Place::of(row::flag(found, 0)?))),
        None => Ok(None),
    }
}

/// What a lookup says of a key, if there is a record of it.
pub(super) fn metadata(session: Session<'_>, guid: Guid) -> Result<Option<KeyMetadata>, Refusal> {
    let mut statement = session.query(&sql::KEY_METADATA)?;
    let mut rows = statement.query([&guid.0[..]])?;
    let Some(found) = rows.next()? else { return Ok(None) };
    Ok(Some(KeyMetadata {
        guid,
        sd: row::bytes(found, 0)?,
        volatile_key: row::flag(found, 1)?,
        symlink: row::flag(found, 2)?,
        last_write_time: row::number(found, 3)?,
    }))
}

/// LORE-098, LORE-099.
pub(super) fn read(session: Session<'_>, guid: Guid) -> Outcome {
    let mut statement = session.query(&sql::KEY_RECORD)?;
    let mut rows = statement.query([&guid.0[..]])?;
    let Some(found) = rows.next()? else { return Err(Status::NotFound.into()) };
    Ok(Response::ReadKey {
        name: row::name(found, 0)?,
        parent: row::optional_guid(found, 1)?.unwrap_or(Guid::NULL),
        sd: row::bytes(found, 2)?,
        volatile_key: row::flag(found, 3)?,
        symlink: row::flag(found, 4)?,
        last_write_time: row::number(found, 5)?,
    })
}

/// Makes a record that neither store has. Entries that led to it already follow it into the
/// volatile store (D-96).
pub(super) fn create(session: Session<'_>, place: Place, key: NewKey<'_>, now: u64) -> Outcome {
    let guid = &key.guid.0[..];
    let insert = || {
        session.run(
            &sql::KEY_INSERT,
            place,
            params![
                guid,
                key.name,
                fold(key.name),
                &key.parent.0[..],
                key.sd,
                key.volatile_key,
                key.symlink,
                row::stored(now)
            ],
        )
    };
    match place {
        Place::Main => {
            insert()?;
        }
        Place::Volatile => session.atomically(|| {
            insert()?;
            session.connection.prepare_cached(sql::ENTRY_COPY_TO_VOLATILE)?.execute([guid])?;
            session.run(&sql::ENTRY_DELETE_TARGET.statement, Place::Main, [guid])?;
            Ok(())
        })?,
    }
    Ok(Response::Done)
}

/// LORE-100, LORE-101. The record exists.
pub(super) fn write(
    session: Session<'_>,
    place: Place,
    guid: Guid,
    sd: Option<&[u8]>,
    last_write_time: Option<u64>,
) -> Outcome {
    let time = last_write_time.map(row::stored);
    session.run(&sql::KEY_UPDATE, place, params![&guid.0[..], sd, time])?;
    Ok(Response::Done)
}

/// LORE-105 to LORE-109.
pub(super) fn drop(session: Session<'_>, guid: Guid) -> Outcome {
    session.atomically(|| {
        for statement in [
            &sql::KEY_DELETE,
            &sql::ENTRY_DELETE_TARGET,
            &sql::VALUE_DELETE_KEY,
            &sql::BLANKET_DELETE_KEY,
        ] {
            session.run_everywhere(statement, [&guid.0[..]])?;
        }
        Ok(Response::Done)
    })
}
