//! The real SQLite on the simulated disk.

use rusqlite::{Connection, OpenFlags};
use simulated_disk::Disk;

fn open(disk: &Disk) -> Connection {
    let flags = OpenFlags::default();
    let connection =
        Connection::open_with_flags_and_vfs(disk.path("test.db"), flags, disk.vfs_name()).unwrap();
    connection.busy_timeout(std::time::Duration::ZERO).unwrap();
    let mode: String =
        connection.query_row("PRAGMA journal_mode = wal", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    connection
}

fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))
}

#[test]
fn readers_and_a_writer_share_a_wal() {
    let disk = Disk::new(1);
    let (writer, reader) = (open(&disk), open(&disk));
    writer.execute_batch("CREATE TABLE t (x); BEGIN; INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(count(&reader), Ok(0));
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&reader), Ok(1));
    assert!(open(&disk).execute_batch("BEGIN IMMEDIATE").is_ok());
}

#[test]
fn a_second_writer_is_busy_at_once() {
    let disk = Disk::new(2);
    let (first, second) = (open(&disk), open(&disk));
    first.execute_batch("CREATE TABLE t (x); BEGIN IMMEDIATE").unwrap();
    let error = second.execute_batch("BEGIN IMMEDIATE").unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
}

#[test]
fn a_killed_process_keeps_what_it_committed_and_nothing_else() {
    let disk = Disk::new(3);
    let old = open(&disk);
    old.execute_batch(
        "CREATE TABLE t (x); INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2)",
    )
    .unwrap();
    disk.kill();
    let new = open(&disk);
    assert_eq!(count(&new), Ok(1));
    assert!(old.execute_batch("COMMIT").is_err());
    drop(old);
    assert_eq!(count(&new), Ok(1));
    new.execute_batch("INSERT INTO t VALUES (3)").unwrap();
    assert_eq!(count(&new), Ok(2));
}

#[test]
fn a_killed_process_cannot_open_files_by_its_old_path() {
    let disk = Disk::new(4);
    let path = disk.path("test.db");
    disk.kill();
    let flags = OpenFlags::default();
    assert!(Connection::open_with_flags_and_vfs(path, flags, disk.vfs_name()).is_err());
}

#[test]
fn a_clean_close_leaves_the_database_file_alone() {
    let disk = Disk::new(5);
    let connection = open(&disk);
    connection.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    drop(connection);
    let names: Vec<String> = disk.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["test.db"]);
    assert_eq!(count(&open(&disk)), Ok(1));
}

#[test]
fn a_rollback_journal_works_as_well() {
    let disk = Disk::new(6);
    let flags = OpenFlags::default();
    let connection =
        Connection::open_with_flags_and_vfs(disk.path("test.db"), flags, disk.vfs_name()).unwrap();
    connection
        .execute_batch("CREATE TABLE t (x); BEGIN; INSERT INTO t VALUES (1); ROLLBACK")
        .unwrap();
    assert_eq!(count(&connection), Ok(0));
    disk.kill();
    assert!(count(&connection).is_err() || count(&open(&disk)) == Ok(0));
}

#[test]
fn a_dropped_disk_leaves_handles_that_fail() {
    let disk = Disk::new(7);
    let connection = open(&disk);
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(disk);
    assert!(connection.execute_batch("INSERT INTO t VALUES (1)").is_err());
    assert!(Disk::new(7).files().is_empty());
}

#[test]
fn worlds_on_two_threads_do_not_meet() {
    let threads = [100, 200].map(|base| {
        std::thread::spawn(move || {
            for world in base..base + 20 {
                let disk = Disk::new(world);
                let connection = open(&disk);
                connection.execute_batch("CREATE TABLE t (x)").unwrap();
                for _ in 0..20 {
                    connection.execute("INSERT INTO t VALUES (zeroblob(3000))", []).unwrap();
                }
                assert_eq!(count(&connection), Ok(20));
            }
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
}
