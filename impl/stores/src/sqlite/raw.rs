//! A dump of a hive's rows, from both stores.

use rusqlite::Row;

use super::row;
use super::session::Session;
use crate::backend::Refusal;
use crate::{HiveInfo, RawBlanket, RawHive, RawKey, RawPathEntry, RawValue};

/// Every row of a hive.
pub(super) fn dump(info: &HiveInfo, session: Session<'_>) -> Result<RawHive, Refusal> {
    let mut dump = RawHive { name: info.name.clone(), root: info.root, ..RawHive::default() };
    let schemas: &[_] = if session.volatile_used {
        &[("main", false), ("volatile", true)]
    } else {
        &[("main", false)]
    };
    for &(schema, stored_volatile) in schemas {
        dump.keys.extend(rows(session, &format!("SELECT * FROM {schema}.keys"), key)?);
        dump.path_entries.extend(rows(
            session,
            &format!(
                "SELECT parent_guid, child_name, layer, target_type, target_guid, sequence
                 FROM {schema}.path_entries"
            ),
            |found| path_entry(found, stored_volatile),
        )?);
        dump.values.extend(rows(
            session,
            &format!("SELECT key_guid, name, layer, type, data, sequence FROM {schema}.\"values\""),
            |found| value(found, stored_volatile),
        )?);
        dump.blankets.extend(rows(
            session,
            &format!("SELECT key_guid, layer, sequence FROM {schema}.blanket_tombstones"),
            |found| blanket(found, stored_volatile),
        )?);
    }
    Ok(dump)
}

fn rows<T>(
    session: Session<'_>,
    query: &str,
    read: impl Fn(&Row<'_>) -> Result<T, Refusal>,
) -> Result<Vec<T>, Refusal> {
    let mut statement = session.connection.prepare(query)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(next) = rows.next()? {
        found.push(read(next)?);
    }
    Ok(found)
}

fn key(found: &Row<'_>) -> Result<RawKey, Refusal> {
    Ok(RawKey {
        guid: row::guid(found, 0)?,
        name: row::text(found, 1)?,
        parent: row::optional_guid(found, 3)?,
        sd: row::bytes(found, 4)?,
        volatile_key: row::flag(found, 5)?,
        symlink: row::flag(found, 6)?,
        last_write_time: row::number(found, 7)?,
    })
}

fn path_entry(found: &Row<'_>, stored_volatile: bool) -> Result<RawPathEntry, Refusal> {
    Ok(RawPathEntry {
        parent: row::guid(found, 0)?,
        child_name: row::text(found, 1)?,
        layer: row::text(found, 2)?,
        target: row::target(found, 3, 4)?,
        sequence: row::number(found, 5)?,
        stored_volatile,
    })
}

fn value(found: &Row<'_>, stored_volatile: bool) -> Result<RawValue, Refusal> {
    Ok(RawValue {
        key: row::guid(found, 0)?,
        name: row::text(found, 1)?,
        layer: row::text(found, 2)?,
        value_type: row::type_code(found, 3)?,
        data: row::bytes(found, 4)?,
        sequence: row::number(found, 5)?,
        stored_volatile,
    })
}

fn blanket(found: &Row<'_>, stored_volatile: bool) -> Result<RawBlanket, Refusal> {
    Ok(RawBlanket {
        key: row::guid(found, 0)?,
        layer: row::text(found, 1)?,
        sequence: row::number(found, 2)?,
        stored_volatile,
    })
}
