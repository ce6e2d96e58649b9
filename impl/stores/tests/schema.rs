//! What stands in a database file: its tables, and its rows after some requests (PSD-006 §3.1;
//! `LORE-013`, `LORE-018`, `LORE-044`..`LORE-059`).

mod support;

use expect_test::expect;
use rsi::{Request, Response};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use simulated_disk::Disk;
use stores::{SqliteStore, Store};
use support::*;

fn file(disk: &Disk, name: &str) -> Connection {
    Connection::open_with_flags_and_vfs(disk.path(name), OpenFlags::default(), disk.vfs_name())
        .unwrap()
}

/// The rows of a query, one a line.
fn rows(connection: &Connection, query: &str) -> String {
    let mut statement = connection.prepare(query).unwrap();
    let count = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut lines = String::new();
    while let Some(row) = rows.next().unwrap() {
        let cells: Vec<String> = (0..count).map(|cell| show(row.get_ref(cell).unwrap())).collect();
        lines += &format!("{}\n", cells.join(" "));
    }
    lines
}

fn show(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
        // The roots and keys of these tests are told apart by their first bytes.
        ValueRef::Blob(bytes) if bytes.len() == 16 => format!("{:02x}{:02x}..", bytes[0], bytes[1]),
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
    }
}

#[test]
fn a_new_database_has_the_tables_of_the_text() {
    let mut shelf = sqlite(&["Machine"]);
    let _store = SqliteStore::open(shelf.config()).unwrap();
    let connection = file(shelf.disk(), "Machine.regdb");
    expect![[r#"
        "wal"
    "#]]
    .assert_eq(&rows(&connection, "PRAGMA journal_mode"));
    expect![[r#"
        1
    "#]]
    .assert_eq(&rows(&connection, "SELECT version FROM schema_version"));
    expect![[r#"
        "blanket_tombstones" "key_guid" "BLOB" 1 NULL 1
        "blanket_tombstones" "layer" "TEXT" 1 NULL 2
        "blanket_tombstones" "sequence" "INTEGER" 1 NULL 0
        "keys" "guid" "BLOB" 1 NULL 1
        "keys" "name" "TEXT" 1 NULL 0
        "keys" "name_folded" "TEXT" 1 NULL 0
        "keys" "parent_guid" "BLOB" 0 NULL 0
        "keys" "sd" "BLOB" 1 NULL 0
        "keys" "volatile" "INTEGER" 1 "0" 0
        "keys" "symlink" "INTEGER" 1 "0" 0
        "keys" "last_write_time" "INTEGER" 1 NULL 0
        "path_entries" "parent_guid" "BLOB" 1 NULL 1
        "path_entries" "child_name" "TEXT" 1 NULL 0
        "path_entries" "child_name_folded" "TEXT" 1 NULL 2
        "path_entries" "layer" "TEXT" 1 NULL 3
        "path_entries" "target_type" "INTEGER" 1 NULL 0
        "path_entries" "target_guid" "BLOB" 0 NULL 0
        "path_entries" "sequence" "INTEGER" 1 NULL 0
        "schema_version" "version" "INTEGER" 1 NULL 0
        "values" "key_guid" "BLOB" 1 NULL 1
        "values" "name" "TEXT" 1 NULL 0
        "values" "name_folded" "TEXT" 1 NULL 2
        "values" "layer" "TEXT" 1 NULL 3
        "values" "type" "INTEGER" 1 NULL 0
        "values" "data" "BLOB" 0 NULL 0
        "values" "sequence" "INTEGER" 1 NULL 0
    "#]]
    .assert_eq(&rows(
        &connection,
        "SELECT object.name, column.name, column.type, column.\"notnull\", column.dflt_value,
             column.pk
         FROM sqlite_schema AS object JOIN pragma_table_info(object.name) AS column
         WHERE object.type = 'table' ORDER BY object.name, column.cid",
    ));
    expect![[r#"
        "idx_path_entries_target" "path_entries" "target_guid" 1
    "#]]
    .assert_eq(&rows(
        &connection,
        "SELECT object.name, object.tbl_name, column.name, object.sql LIKE '%target_type = 0'
         FROM sqlite_schema AS object JOIN pragma_index_info(object.name) AS column
         WHERE object.type = 'index' AND object.sql IS NOT NULL",
    ));
}

#[test]
fn rows_hold_spellings_folded_forms_and_markers() {
    let mut shelf = sqlite(&["Machine"]);
    let mut store = SqliteStore::open(shelf.config()).unwrap();
    let root = store.hives()[0].root;
    let tombstone = Request::SetValue {
        guid: guid(1),
        value_name: b"Gone".to_vec(),
        layer: b"base".to_vec(),
        value_type: 0xFFFF,
        data: b"ignored".to_vec(),
        sequence: 13,
        expected_sequence: 0,
    };
    let requests = [
        create_entry(root, "Größe", "Base", guid(1), 10),
        create_key(guid(1), "Größe", root, false),
        hide_entry(root, "ΣΑΣ", "gpo", 11),
        set_value(guid(1), "", "base", "default", 12),
        tombstone,
        blanket(guid(1), "gpo", true, 14),
        create_entry(root, "Passing", "base", guid(2), 15),
        create_key(guid(2), "Passing", root, true),
        set_value(guid(2), "v", "base", "x", 16),
        blanket(guid(2), "base", true, 17),
        hide_entry(guid(2), "below", "base", 18),
    ];
    for (id, request) in (1..).zip(requests) {
        let id = rsi::RequestId(id);
        store.submit(rsi::RequestFrame { id, transaction: None, request }, START);
        assert_eq!(store.poll(START).unwrap().response, Response::Done);
    }
    let connection = file(shelf.disk(), "Machine.regdb");
    expect![[r#"
        0101.. "Größe" "größe" ee01.. 13 bytes 0 0 1700000000000000000
        ee01.. "Machine" "machine" NULL 116 bytes 0 0 1700000000000000000
    "#]]
    .assert_eq(&rows(&connection, "SELECT * FROM keys"));
    expect![[r#"
        ee01.. "Größe" "größe" "Base" 0 0101.. 10
        ee01.. "ΣΑΣ" "σασ" "gpo" 1 NULL 11
    "#]]
    .assert_eq(&rows(&connection, "SELECT * FROM path_entries"));
    expect![[r#"
        0101.. "" "" "base" 1 7 bytes 12
        0101.. "Gone" "gone" "base" 65535 NULL 13
    "#]]
    .assert_eq(&rows(&connection, "SELECT * FROM \"values\""));
    expect![[r#"
        0101.. "gpo" 14
    "#]]
    .assert_eq(&rows(&connection, "SELECT * FROM blanket_tombstones"));
}
