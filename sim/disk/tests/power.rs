//! The real SQLite on a disk that loses power.

use rusqlite::{Connection, OpenFlags};
use simulated_disk::{Disk, Keep, PowerLoss};

fn open(disk: &Disk, synchronous: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::default();
    let connection =
        Connection::open_with_flags_and_vfs(disk.path("test.db"), flags, disk.vfs_name())?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.query_row("PRAGMA journal_mode = wal", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    Ok(connection)
}

/// The rows, which are 1, 2, 3 and so on, and whose order of insertion that is.
fn rows(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    connection.query_row("PRAGMA integrity_check", [], |row| {
        assert_eq!(row.get::<_, String>(0)?, "ok");
        Ok(())
    })?;
    let mut statement = connection.prepare("SELECT x FROM t ORDER BY x")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}

fn loss(keep: Keep, seed: u64) -> PowerLoss {
    PowerLoss { keep, torn: seed % 2 == 1, seed }
}

const KEEPS: [Keep; 4] = [Keep::Nothing, Keep::Prefix, Keep::Some, Keep::Everything];

/// Inserts rows until the power fails at a change. Returns how many were acknowledged, and how many there were
/// afterwards.
fn insert_until(disk: &Disk, synchronous: &str, change: u64, loss: PowerLoss) -> (usize, usize) {
    let connection = open(disk, synchronous).unwrap();
    connection.execute_batch("CREATE TABLE IF NOT EXISTS t (x, filler)").unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    disk.fail_at(change);
    let mut acknowledged = 0;
    for row in 1..=60 {
        let inserted = connection.execute("INSERT INTO t VALUES (?1, zeroblob(1500))", [row]);
        let flushed = row % 7 != 0
            || connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).is_ok();
        if inserted.is_ok() {
            acknowledged += 1;
        }
        if inserted.is_err() || !flushed || disk.has_failed() {
            break;
        }
    }
    disk.lose_power(loss);
    drop(connection);
    let rows = rows(&open(disk, synchronous).unwrap()).unwrap();
    let expected: Vec<i64> = (1..=rows.len() as i64).collect();
    assert_eq!(rows, expected, "no prefix");
    (acknowledged, rows.len())
}

#[test]
fn what_is_synced_with_every_commit_survives_a_power_loss_at_any_change() {
    for seed in 0..160 {
        let disk = Disk::new(1000 + seed);
        let keep = KEEPS[seed as usize % 4];
        let (acknowledged, there) = insert_until(&disk, "FULL", 1 + seed % 90, loss(keep, seed));
        assert!(there >= acknowledged, "seed {seed}: {there} of {acknowledged} rows");
        assert!(there <= acknowledged + 1, "seed {seed}: {there} of {acknowledged} rows");
    }
}

#[test]
fn what_is_synced_with_checkpoints_only_is_a_prefix_and_may_be_a_shorter_one() {
    let mut is_shorter = false;
    for seed in 0..160 {
        let disk = Disk::new(2000 + seed);
        let keep = KEEPS[seed as usize % 4];
        let (acknowledged, there) = insert_until(&disk, "NORMAL", 1 + seed % 90, loss(keep, seed));
        is_shorter |= there < acknowledged;
    }
    assert!(is_shorter);
}

#[test]
fn a_disk_that_lies_loses_what_it_said_was_synced() {
    let disk = Disk::new(3000);
    disk.lie_about_syncs(true);
    let connection = open(&disk, "FULL").unwrap();
    connection.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    disk.lose_power(loss(Keep::Nothing, 0));
    assert_eq!(disk.files(), []);
    assert!(rows(&open(&disk, "FULL").unwrap()).is_err());
}

#[test]
fn a_full_disk_refuses_what_would_grow_and_an_error_one_change() {
    let disk = Disk::new(3002);
    let connection = open(&disk, "FULL").unwrap();
    connection.execute_batch("CREATE TABLE t (x, filler)").unwrap();
    let insert = |row: i64| connection.execute("INSERT INTO t VALUES (?1, zeroblob(9000))", [row]);
    disk.fill(true);
    let code = insert(1).unwrap_err().sqlite_error_code();
    assert_eq!(code, Some(rusqlite::ErrorCode::DiskFull));
    disk.fill(false);
    disk.err_at(1);
    let code = insert(1).unwrap_err().sqlite_error_code();
    assert_eq!(code, Some(rusqlite::ErrorCode::SystemIoFailure));
    assert!(disk.take_error() && !disk.take_error());
    insert(1).unwrap();
    assert_eq!(rows(&connection).unwrap(), [1]);
}

#[test]
fn a_file_that_was_never_synced_may_be_gone_and_a_synced_one_is_not() {
    let disk = Disk::new(3001);
    let connection = open(&disk, "FULL").unwrap();
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    disk.write_file("other", b"durable");
    disk.lose_power(loss(Keep::Nothing, 0));
    let names: Vec<String> = disk.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["other", "test.db", "test.db-wal"]);
    assert_eq!(disk.read_file("other").as_deref(), Some(&b"durable"[..]));
}

#[test]
fn a_power_loss_with_one_seed_is_the_same_twice() {
    let left = [4000, 4001].map(|id| {
        let disk = Disk::new(id);
        let connection = open(&disk, "OFF").unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        disk.lose_power(PowerLoss { keep: Keep::Some, torn: true, seed: 5 });
        disk.files()
    });
    assert_eq!(left[0], left[1]);
}
