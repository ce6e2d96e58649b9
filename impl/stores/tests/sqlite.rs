//! What only the SQLite store has: files, their versions and faults, several hives, its locks.

mod support;

use expect_test::{Expect, expect};
use rsi::{Guid, Request, Response, Status};
use rusqlite::{Connection, OpenFlags};
use simulated_disk::Disk;
use stores::{FatalError, SqliteConfig, SqliteStore, Store};
use support::*;

fn two_hives() -> Driver {
    Driver::new(sqlite(&["Machine", "Users"]))
}

fn roots(driver: &mut Driver) -> (Guid, Guid) {
    let hives = driver.store().hives();
    (hives[0].root, hives[1].root)
}

#[test]
fn each_hive_has_its_own_root_and_data() {
    let mut driver = two_hives();
    let (machine, users) = roots(&mut driver);
    assert_ne!(machine, users);
    driver.ok(set_value(machine, "v", "base", "m", 1));
    driver.ok(set_value(users, "v", "base", "u", 2));
    driver.key(users, "a", guid(1), 3, false);
    driver.restart();
    assert_eq!(roots(&mut driver), (machine, users));
    assert_eq!(driver.store().max_sequence(), 3);
    driver.ok(set_value(guid(1), "v", "base", "x", 4));
    let raw = driver.raw();
    assert_eq!((raw[0].values.len(), raw[1].values.len()), (1, 2));
    let elsewhere = create_key(guid(1), "a", machine, false);
    assert_eq!(driver.call(elsewhere), failed(Status::AlreadyExists));
}

#[test]
fn a_transaction_holds_up_its_own_hive_only() {
    let mut driver = two_hives();
    let (machine, users) = roots(&mut driver);
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(machine, "v", "base", "x", 1));
    driver.ok(set_value(users, "v", "base", "x", 2));
    driver.ok(flush("Users"));
    let other = driver.within(5, set_value(users, "v", "base", "x", 3));
    assert_eq!(other, failed(Status::NotFound));
    let layer = driver.submit(0, delete_layer("base"));
    assert_eq!(driver.drain(), []);
    driver.submit(5, commit(5));
    let orphaned = vec![];
    assert_eq!(driver.drain()[1], (layer, Response::DeleteLayer { orphaned }));
    assert!(driver.raw().iter().all(|hive| hive.values.is_empty()));
}

#[test]
fn volatile_stores_of_two_hives_are_apart() {
    let mut driver = two_hives();
    let (machine, users) = roots(&mut driver);
    driver.key(machine, "a", guid(1), 1, true);
    driver.key(users, "a", guid(2), 2, true);
    let raw = driver.raw();
    assert_eq!((raw[0].keys.len(), raw[1].keys.len()), (2, 2));
    driver.ok(delete_entry(guid(50), "a", "base"));
    let orphaned = vec![guid(1), guid(2)];
    assert_eq!(driver.call(delete_layer("base")), Response::DeleteLayer { orphaned });
}

#[test]
fn a_read_waits_while_a_transaction_has_written_volatile_keys() {
    let mut driver = Driver::new(sqlite(&["Machine"]));
    let root = driver.root();
    driver.key(root, "a", guid(1), 1, true);
    driver.ok_within(5, begin(5));
    driver.ok_within(5, set_value(guid(1), "v", "base", "x", 2));
    let reading = driver.submit(0, query(guid(1), "v"));
    assert_eq!(driver.drain(), []);
    let aborting = driver.submit(5, abort(5));
    let answers = driver.drain();
    assert_eq!(answers[0], (aborting, Response::Done));
    assert_eq!(answers[1].0, reading);
    assert!(values_of(&answers[1].1).is_empty());
}

#[test]
fn flushing_empties_the_write_ahead_log() {
    let mut shelf = sqlite(&["Machine"]);
    let mut store = SqliteStore::open(shelf.config()).unwrap();
    let root = store.hives()[0].root;
    let mut call = |id, request| {
        let id = rsi::RequestId(id);
        store.submit(rsi::RequestFrame { id, transaction: None, request }, START);
        store.poll(START).unwrap().response
    };
    let length = || {
        let files = shelf.disk().files();
        files.into_iter().find(|(name, _)| name.ends_with("-wal")).map(|(_, length)| length)
    };
    call(1, set_value(root, "v", "base", "x", 1));
    assert!(length().unwrap() > 0);
    assert_eq!(call(2, flush("machine")), Response::Done);
    assert_eq!(length(), Some(0));
}

#[test]
fn nothing_volatile_reaches_the_files() {
    let mut shelf = sqlite(&["Machine"]);
    let mut store = SqliteStore::open(shelf.config()).unwrap();
    let root = store.hives()[0].root;
    let requests = [
        create_key(guid(1), "unmistakable", root, true),
        set_value(guid(1), "unmistakable", "base", "unmistakable", 1),
        create_entry(root, "unmistakable", "base", guid(1), 2),
    ];
    for (id, request) in (1..).zip(requests) {
        let id = rsi::RequestId(id);
        store.submit(rsi::RequestFrame { id, transaction: None, request }, START);
        assert_eq!(store.poll(START).unwrap().response, Response::Done);
    }
    for (name, _) in shelf.disk().files() {
        let bytes = shelf.disk().read_file(&name).unwrap();
        assert!(!bytes.windows(12).any(|window| window == b"unmistakable"), "{name}");
    }
}

/// A file that `sql` made, and the error it gives, with the disk's own number taken out.
fn refusal_of(sql: &str, expected: &Expect) {
    let disk = Disk::new(fresh_world());
    let flags = OpenFlags::default();
    let path = disk.path("hive.db");
    Connection::open_with_flags_and_vfs(path, flags, disk.vfs_name())
        .unwrap()
        .execute_batch(sql)
        .unwrap();
    let before = disk.read_file("hive.db");
    expected.assert_eq(&refusal(&disk));
    assert_eq!(disk.read_file("hive.db"), before, "a refused file is left alone");
}

fn refusal(disk: &Disk) -> String {
    let path = disk.path("hive.db");
    let error = SqliteStore::open(SqliteConfig {
        hives: vec![("Machine".into(), path.clone())],
        vfs: Some(disk.vfs_name().to_owned()),
        incarnation: format!("{}", path.display()),
        random: Box::new(|bytes| bytes.fill(1)),
        now: START,
    })
    .unwrap_err();
    error.to_string().replace(&path.display().to_string(), "/hive.db")
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let disk = Disk::new(fresh_world());
    disk.write_file("hive.db", &b"not a database at all".repeat(100));
    expect!["hive Machine: /hive.db: is not an SQLite database; give another path, or move the file away to begin an empty hive"]
        .assert_eq(&refusal(&disk));
}

#[test]
fn a_database_of_something_else_is_refused() {
    refusal_of(
        "CREATE TABLE bookmarks (url TEXT)",
        &expect![
            "hive Machine: /hive.db: is an SQLite database but not a registry hive (it has no table schema_version); give another path"
        ],
    );
}

#[test]
fn a_newer_schema_is_refused() {
    refusal_of(
        "CREATE TABLE schema_version (version INTEGER NOT NULL); INSERT INTO schema_version VALUES (2)",
        &expect![
            "hive Machine: /hive.db: has schema version 2, and this source knows up to 1; use the newer source that wrote it"
        ],
    );
}

#[test]
fn a_schema_that_never_was_is_refused() {
    refusal_of(
        "CREATE TABLE schema_version (version INTEGER NOT NULL); INSERT INTO schema_version VALUES (-1)",
        &expect![
            "hive Machine: /hive.db: has schema version -1, which never existed; restore it from a backup"
        ],
    );
}

#[test]
fn a_table_with_other_columns_is_refused() {
    refusal_of(
        "CREATE TABLE schema_version (version INTEGER NOT NULL);
         INSERT INTO schema_version VALUES (1); CREATE TABLE keys (guid BLOB)",
        &expect![
            "hive Machine: /hive.db: is an SQLite database but not a registry hive (table keys has other columns); give another path"
        ],
    );
}

#[test]
fn a_truncated_database_is_refused_without_a_panic() {
    let disk = Disk::new(fresh_world());
    let flags = OpenFlags::default();
    Connection::open_with_flags_and_vfs(disk.path("hive.db"), flags, disk.vfs_name())
        .unwrap()
        .execute_batch("CREATE TABLE a (x); CREATE TABLE b (x)")
        .unwrap();
    let bytes = disk.read_file("hive.db").unwrap();
    disk.write_file("hive.db", &bytes[..5000]);
    let error = refusal(&disk);
    assert!(error.starts_with("hive Machine: /hive.db: "), "{error}");
}

#[test]
fn a_configuration_is_checked_before_any_file_is_made() {
    let disk = Disk::new(fresh_world());
    let open = |hives: &[(&str, &str)]| {
        let hives = hives.iter().map(|(name, path)| ((*name).to_owned(), path.into())).collect();
        let error = SqliteStore::open(SqliteConfig {
            hives,
            vfs: Some(disk.vfs_name().to_owned()),
            incarnation: "configuration".into(),
            random: Box::new(|bytes| bytes.fill(1)),
            now: START,
        })
        .unwrap_err();
        error.to_string()
    };
    expect!["a source needs at least one hive; name one and its database"].assert_eq(&open(&[]));
    expect!["hive Machine: machine.db: the path is relative; give an absolute one"]
        .assert_eq(&open(&[("Machine", "machine.db")]));
    let path = disk.path("a.db").display().to_string();
    let error = open(&[("Machine", &path), ("MACHINE", &path)]);
    expect!["another hive has this name, letter case aside; give each its own"]
        .assert_eq(error.rsplit(": ").next().unwrap());
    let error = open(&[("Machine", &path), ("Users", &path)]);
    assert!(error.ends_with("another hive has this database; give each its own"), "{error}");
    assert!(disk.files().is_empty());
    let error = open(&[("Machine", "/no/such/disk/a.db")]);
    assert!(error.contains("cannot be opened or created"), "{error}");
}

#[test]
fn a_damaged_row_is_a_storage_error() {
    let mut shelf = sqlite(&["Machine"]);
    let mut store = SqliteStore::open(shelf.config()).unwrap();
    let connection = Connection::open_with_flags_and_vfs(
        shelf.disk().path("Machine.regdb"),
        OpenFlags::default(),
        shelf.disk().vfs_name(),
    )
    .unwrap();
    connection
        .execute_batch(
            "INSERT INTO \"values\" SELECT guid, 'v', 'v', 'base', 1, 'text', 'word' FROM keys",
        )
        .unwrap();
    let request = query(store.hives()[0].root, "v");
    let id = rsi::RequestId(1);
    store.submit(rsi::RequestFrame { id, transaction: None, request }, START);
    assert_eq!(store.poll(START).unwrap().response, Response::Failed(Status::StorageError));
    drop(store);
    let error = SqliteStore::open(shelf.config()).unwrap_err().to_string();
    assert!(error.ends_with("; restore it from a backup"), "{error}");
}

#[test]
fn a_corrupt_database_is_fatal() {
    let mut shelf = sqlite(&["Machine"]);
    let mut store = SqliteStore::open(shelf.config()).unwrap();
    let root = store.hives()[0].root;
    assert_eq!(store.fatal_error(), None);
    Connection::open_with_flags_and_vfs(
        shelf.disk().path("Machine.regdb"),
        OpenFlags::default(),
        shelf.disk().vfs_name(),
    )
    .unwrap()
    .execute_batch(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET rootpage = 9999 WHERE name = 'values';
         PRAGMA schema_version = 99;",
    )
    .unwrap();
    let id = rsi::RequestId(1);
    let request = set_value(root, "v", "base", "x", 1);
    store.submit(rsi::RequestFrame { id, transaction: None, request }, START);
    assert_eq!(store.poll(START).unwrap().response, Response::Failed(Status::StorageError));
    assert_eq!(store.fatal_error(), Some(FatalError::Corrupt));
}

#[test]
fn a_dead_disk_gives_storage_errors() {
    let mut shelf = sqlite(&["Machine"]);
    let mut store = SqliteStore::open(shelf.config()).unwrap();
    let root = store.hives()[0].root;
    shelf.disk().kill();
    for (id, request) in (1..).zip([
        set_value(root, "v", "base", "x", 1),
        Request::DropKey { guid: guid(3) },
        delete_layer("base"),
        flush("Machine"),
    ]) {
        let id = rsi::RequestId(id);
        store.submit(rsi::RequestFrame { id, transaction: None, request }, START);
        assert_eq!(store.poll(START).unwrap().response, Response::Failed(Status::StorageError));
    }
}

#[test]
fn another_process_that_writes_makes_a_write_wait() {
    let mut shelf = sqlite(&["Machine"]);
    let mut store = SqliteStore::open(shelf.config()).unwrap();
    let root = store.hives()[0].root;
    let other = Connection::open_with_flags_and_vfs(
        shelf.disk().path("Machine.regdb"),
        OpenFlags::default(),
        shelf.disk().vfs_name(),
    )
    .unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let request = set_value(root, "v", "base", "x", 1);
    let id = rsi::RequestId(1);
    store.submit(rsi::RequestFrame { id, transaction: None, request }, START);
    assert_eq!(store.poll(START), None);
    let wake = store.next_wake().unwrap();
    assert_eq!(store.poll(wake), None);
    other.execute_batch("COMMIT").unwrap();
    let wake = store.next_wake().unwrap();
    assert_eq!(store.poll(wake).unwrap().response, Response::Done);
    assert_eq!(store.next_wake(), None);
}
