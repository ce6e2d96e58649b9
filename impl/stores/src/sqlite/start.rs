//! Start-up: from paths to hives that can be served (PSD-006 §2.1, steps 1 to 7).
//!
//! A file is looked at before anything in it is changed, so that a foreign database stays as it
//! was. Creation of the schema and of the root is one transaction, and so is the cleaning up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use rsi::Guid;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::SqliteConfig;
use super::hive::Hive;
use super::problem::{OpenError, Problem};
use super::row;
use super::snapshot::Origin;
use crate::fold::fold;
use crate::{HiveInfo, RandomSource, root};

/// The only version of the schema so far.
pub(super) const SCHEMA_VERSION: i64 = 1;

/// The tables of data.
pub(super) const TABLES: [&str; 4] = ["keys", "path_entries", "values", "blanket_tombstones"];

/// The columns of each table (LORE-045 to LORE-049).
const COLUMNS: [(&str, &[&str]); 5] = [
    ("schema_version", &["version"]),
    (
        "keys",
        &[
            "guid",
            "name",
            "name_folded",
            "parent_guid",
            "sd",
            "volatile",
            "symlink",
            "last_write_time",
        ],
    ),
    (
        "path_entries",
        &[
            "parent_guid",
            "child_name",
            "child_name_folded",
            "layer",
            "target_type",
            "target_guid",
            "sequence",
        ],
    ),
    ("values", &["key_guid", "name", "name_folded", "layer", "type", "data", "sequence"]),
    ("blanket_tombstones", &["key_guid", "layer", "sequence"]),
];

/// A hive that is ready.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) info: HiveInfo,
    pub(super) hive: Hive,
    pub(super) max_sequence: u64,
}

/// Opens every hive of a configuration. No file is touched before all of it has been checked.
pub(super) fn open(config: SqliteConfig) -> Result<Vec<Opened>, OpenError> {
    let SqliteConfig { hives, vfs, incarnation, mut random, now } = config;
    check(&hives)?;
    let mut opened = Vec::new();
    for (name, path) in hives {
        let volatile_uri = volatile_uri(&name, &incarnation);
        let origin = Origin { path: path.clone(), vfs: vfs.clone(), volatile_uri };
        let hive = open_hive(&name, origin, &mut random, now).map_err(|problem| OpenError {
            hive: name,
            path,
            problem,
        })?;
        opened.push(hive);
    }
    Ok(opened)
}

/// LORE-003, LORE-008, LORE-009, P-78.
pub(super) fn check(hives: &[(String, PathBuf)]) -> Result<(), OpenError> {
    if hives.is_empty() {
        let (hive, path) = (String::new(), PathBuf::new());
        return Err(OpenError { hive, path, problem: Problem::NoHives });
    }
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (name, path) in hives {
        let problem = if !names.insert(fold(name)) {
            Problem::DuplicateHive
        } else if !path.is_absolute() {
            Problem::RelativePath
        } else if !paths.insert(path) {
            Problem::SharedDatabase
        } else {
            continue;
        };
        return Err(OpenError { hive: name.clone(), path: path.clone(), problem });
    }
    Ok(())
}

/// LORE-015, with the incarnation, if there is one, in the name: what a dead process of a simulation
/// left is not found.
fn volatile_uri(hive: &str, incarnation: &str) -> String {
    let mut uri = String::from("file:");
    let separator = if incarnation.is_empty() { "" } else { "_" };
    let name = [hive, "_volatile", separator, incarnation].concat();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            uri.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push_str("?mode=memory&cache=shared");
    uri
}

fn open_hive(
    name: &str,
    origin: Origin,
    random: &mut RandomSource,
    now: u64,
) -> Result<Opened, Problem> {
    let writer = origin.connect().map_err(cannot_open)?;
    let is_new = examine(&writer)?;
    use_write_ahead_log(&writer)?;
    Origin::prepare(&writer, &origin.volatile_uri).map_err(problem)?;
    let (root, max_sequence) = atomically(&writer, || {
        if is_new {
            create_tables(&writer, "main").map_err(problem)?;
            record_version(&writer).map_err(problem)?;
            return Ok((create_root(&writer, name, random, now).map_err(problem)?, 0));
        }
        let root = match find_root(&writer)? {
            Some(root) => root,
            None => create_root(&writer, name, random, now).map_err(problem)?,
        };
        clean_up(&writer).map_err(problem)?;
        Ok((root, max_sequence(&writer).map_err(problem)?))
    })?;
    let info = HiveInfo { name: name.to_owned(), root };
    Ok(Opened { info, hive: Hive::new(origin, writer), max_sequence })
}

/// Whether the database is empty; an error unless it is empty or a hive of this version.
fn examine(connection: &Connection) -> Result<bool, Problem> {
    let objects: i64 = connection
        .query_row("SELECT count(*) FROM main.sqlite_schema", [], |found| found.get(0))
        .map_err(problem)?;
    if objects == 0 {
        return Ok(true);
    }
    let tables = columns_of_tables(connection).map_err(problem)?;
    for (table, columns) in COLUMNS {
        let Some(found) = tables.get(table) else {
            return Err(Problem::ForeignDatabase(format!("it has no table {table}")));
        };
        // A newer version may have other tables and columns: the version is judged first.
        if table == "schema_version" {
            check_version(connection)?;
        }
        if found != columns {
            return Err(Problem::ForeignDatabase(format!("table {table} has other columns")));
        }
    }
    Ok(false)
}

fn columns_of_tables(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Vec<String>>> {
    let mut statement = connection.prepare(
        "SELECT object.name, column.name
         FROM main.sqlite_schema AS object JOIN pragma_table_info(object.name, 'main') AS column
         WHERE object.type = 'table' ORDER BY object.name, column.cid",
    )?;
    let mut rows = statement.query([])?;
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while let Some(found) = rows.next()? {
        tables.entry(found.get(0)?).or_default().push(found.get(1)?);
    }
    Ok(tables)
}

/// LORE-019, LORE-020. Version 1 is the first, so that there is nothing to migrate.
fn check_version(connection: &Connection) -> Result<(), Problem> {
    let version: Option<i64> = connection
        .query_row("SELECT max(version) FROM main.schema_version", [], |found| found.get(0))
        .map_err(|_| Problem::ForeignDatabase("its schema_version holds no number".to_owned()))?;
    match version {
        None => Err(Problem::ForeignDatabase("its schema_version is empty".to_owned())),
        Some(SCHEMA_VERSION) => Ok(()),
        Some(newer) if newer > SCHEMA_VERSION => Err(Problem::NewerSchema(newer)),
        Some(other) => Err(Problem::UnknownSchema(other)),
    }
}

fn use_write_ahead_log(connection: &Connection) -> Result<(), Problem> {
    let mode: String = connection
        .query_row("PRAGMA main.journal_mode = wal", [], |found| found.get(0))
        .map_err(problem)?;
    if mode == "wal" { Ok(()) } else { Err(Problem::NoWriteAheadLog(mode)) }
}

/// Makes the tables of data in a schema that has none.
pub(super) fn create_tables(connection: &Connection, schema: &str) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "CREATE TABLE {schema}.keys (
            guid BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL, name_folded TEXT NOT NULL,
            parent_guid BLOB, sd BLOB NOT NULL, volatile INTEGER NOT NULL DEFAULT 0,
            symlink INTEGER NOT NULL DEFAULT 0, last_write_time INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE {schema}.path_entries (
            parent_guid BLOB NOT NULL, child_name TEXT NOT NULL, child_name_folded TEXT NOT NULL,
            layer TEXT NOT NULL, target_type INTEGER NOT NULL, target_guid BLOB,
            sequence INTEGER NOT NULL, PRIMARY KEY (parent_guid, child_name_folded, layer)
        ) WITHOUT ROWID;
        CREATE INDEX {schema}.idx_path_entries_target
            ON path_entries (target_guid) WHERE target_type = 0;
        CREATE TABLE {schema}.\"values\" (
            key_guid BLOB NOT NULL, name TEXT NOT NULL, name_folded TEXT NOT NULL,
            layer TEXT NOT NULL, type INTEGER NOT NULL, data BLOB, sequence INTEGER NOT NULL,
            PRIMARY KEY (key_guid, name_folded, layer)
        ) WITHOUT ROWID;
        CREATE TABLE {schema}.blanket_tombstones (
            key_guid BLOB NOT NULL, layer TEXT NOT NULL, sequence INTEGER NOT NULL,
            PRIMARY KEY (key_guid, layer)
        ) WITHOUT ROWID;"
    ))
}

fn record_version(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("CREATE TABLE main.schema_version (version INTEGER NOT NULL)")?;
    connection.execute("INSERT INTO main.schema_version VALUES (?1)", [SCHEMA_VERSION])?;
    Ok(())
}

fn find_root(connection: &Connection) -> Result<Option<Guid>, Problem> {
    let roots: i64 = connection
        .query_row("SELECT count(*) FROM main.keys WHERE parent_guid IS NULL", [], |found| {
            found.get(0)
        })
        .map_err(problem)?;
    if roots > 1 {
        return Err(Problem::BadRoot(format!("has {roots} root keys instead of one")));
    }
    let root: Option<Vec<u8>> = connection
        .query_row("SELECT guid FROM main.keys WHERE parent_guid IS NULL", [], |found| found.get(0))
        .optional()
        .map_err(|_| Problem::BadRoot("has a root key whose GUID is no blob".to_owned()))?;
    let Some(root) = root else { return Ok(None) };
    match <[u8; 16]>::try_from(root) {
        Ok(bytes) if bytes != [0; 16] => Ok(Some(Guid(bytes))),
        _ => Err(Problem::BadRoot("has a root key without a proper GUID".to_owned())),
    }
}

/// LORE-021 to LORE-023.
fn create_root(
    connection: &Connection,
    name: &str,
    random: &mut RandomSource,
    now: u64,
) -> rusqlite::Result<Guid> {
    let guid = root::random_guid(random.as_mut());
    connection.execute(
        "INSERT INTO main.keys
         (guid, name, name_folded, parent_guid, sd, volatile, symlink, last_write_time)
         VALUES (?1, ?2, ?3, NULL, ?4, 0, 0, ?5)",
        params![&guid.0[..], name, fold(name), root::default_sd(), row::stored(now)],
    )?;
    Ok(guid)
}

/// Removes entries whose key is missing (D-29), then keys that no entry names, the root excepted,
/// with all that is theirs (LORE-025 to LORE-028).
fn clean_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "DELETE FROM main.path_entries WHERE target_type = 0
             AND NOT EXISTS (SELECT 1 FROM main.keys WHERE guid = target_guid);
         CREATE TEMP TABLE orphans AS SELECT guid FROM main.keys AS key
             WHERE parent_guid IS NOT NULL AND NOT EXISTS (SELECT 1 FROM main.path_entries
                 WHERE target_guid = key.guid AND target_type = 0);
         DELETE FROM main.\"values\" WHERE key_guid IN (SELECT guid FROM temp.orphans);
         DELETE FROM main.blanket_tombstones WHERE key_guid IN (SELECT guid FROM temp.orphans);
         DELETE FROM main.keys WHERE guid IN (SELECT guid FROM temp.orphans);
         DROP TABLE temp.orphans;",
    )
}

/// LORE-031. Numbers from 2^63 on are negative in SQLite; the greatest of those, if there is one,
/// is the greatest of all.
fn max_sequence(connection: &Connection) -> rusqlite::Result<u64> {
    let mut found = 0;
    for table in ["path_entries", "values", "blanket_tombstones"] {
        for range in ["sequence >= 0", "sequence < 0"] {
            let sql = format!("SELECT max(sequence) FROM main.\"{table}\" WHERE {range}");
            let max: Option<i64> = connection.query_row(&sql, [], |row| row.get(0))?;
            found = found.max(max.map_or(0, i64::cast_unsigned));
        }
    }
    Ok(found)
}

/// Does all of `work` or none of it. A new file counts as none if it stays empty.
fn atomically<T>(
    connection: &Connection,
    work: impl FnOnce() -> Result<T, Problem>,
) -> Result<T, Problem> {
    connection.execute_batch("BEGIN IMMEDIATE").map_err(problem)?;
    let done = work().and_then(|done| {
        connection.execute_batch("COMMIT").map_err(problem)?;
        Ok(done)
    });
    if done.is_err() {
        // The file is given up in any case, and closing it rolls back as well.
        let _ = connection.execute_batch("ROLLBACK");
    }
    done
}

fn problem(error: rusqlite::Error) -> Problem {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Problem::NotADatabase,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Problem::InUse,
        Some(ErrorCode::CannotOpen) => Problem::CannotOpen(error),
        _ => Problem::Damaged(error),
    }
}

fn cannot_open(error: rusqlite::Error) -> Problem {
    match problem(error) {
        Problem::Damaged(error) => Problem::CannotOpen(error),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::{Origin, TABLES, create_tables, volatile_uri};

    #[test]
    fn a_volatile_store_is_named_after_its_hive() {
        let uri = volatile_uri("Machine", "");
        assert_eq!(uri, "file:Machine_volatile?mode=memory&cache=shared");
        let uri = volatile_uri("a?b c", "7");
        assert_eq!(uri, "file:a%3fb%20c_volatile_7?mode=memory&cache=shared");
    }

    #[test]
    fn a_volatile_store_has_the_tables_and_the_index_of_a_database() {
        let connection = Connection::open_in_memory().expect("a connection");
        Origin::prepare(&connection, ":memory:").expect("prepared");
        let mut objects = ["main", "volatile"].map(|schema| {
            create_tables(&connection, schema).expect("tables");
            let sql = format!("SELECT type || ' ' || name FROM {schema}.sqlite_schema ORDER BY 1");
            let mut statement = connection.prepare(&sql).expect("a statement");
            let names = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
            names.collect::<Result<Vec<_>, _>>().expect("names")
        });
        assert_eq!(objects[0], objects[1]);
        objects[0].retain(|name| name.starts_with("table "));
        assert_eq!(objects[0].len(), TABLES.len());
    }

    #[test]
    fn a_connection_enforces_foreign_keys_and_syncs_every_commit() {
        let connection = Connection::open_in_memory().expect("a connection");
        Origin::prepare(&connection, ":memory:").expect("prepared");
        let setting = |name: &str| {
            connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect("a number")
        };
        assert_eq!((setting("foreign_keys"), setting("synchronous")), (1, 2));
    }
}
