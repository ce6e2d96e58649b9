//! Connections, and the frozen ones of read-only transactions (OP-55, D-96).
//!
//! WAL gives a stable view of the database file to whoever keeps a read transaction open. The
//! volatile store has no such thing: its readers would hold its writers up. A snapshot therefore
//! has a volatile store of its own, filled with a copy.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags};

use super::session::Session;
use super::start;
use crate::backend::Refusal;
use crate::fold::fold;

/// How many prepared statements a connection keeps; there are fewer in all.
const STATEMENTS_MAX: usize = 96;

/// How a hive's connections are made.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) path: PathBuf,
    pub(super) vfs: Option<String>,
    /// The URI of the shared volatile store.
    pub(super) volatile_uri: String,
}

impl Origin {
    /// A connection to the database file, which is created if it is missing. Nothing in the file
    /// is touched.
    pub(super) fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match &self.vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(&self.path, flags, vfs.as_str())?,
            None => Connection::open_with_flags(&self.path, flags)?,
        };
        // Waiting is the scheduler's work, in Env time.
        connection.busy_timeout(Duration::ZERO)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let deterministic = FunctionFlags::SQLITE_UTF8
            | FunctionFlags::SQLITE_DETERMINISTIC
            | FunctionFlags::SQLITE_INNOCUOUS;
        connection.create_scalar_function("fold", 1, deterministic, |context| {
            let name = context.get_raw(0).as_str()?;
            Ok(fold(name).into_owned())
        })?;
        Ok(connection)
    }

    /// Sets what every connection of an accepted hive has (LORE-013, LORE-014), and attaches a
    /// volatile store.
    pub(super) fn prepare(connection: &Connection, volatile_uri: &str) -> rusqlite::Result<()> {
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.execute("ATTACH ?1 AS volatile", [volatile_uri])?;
        Ok(())
    }
}

/// A connection that shows the hive as it was committed when it was made.
#[derive(Debug)]
pub(super) struct Snapshot {
    connection: Connection,
    /// Whether the volatile store had been used by then. What is written there later is none of
    /// the snapshot's.
    volatile_used: bool,
}

impl Snapshot {
    /// Keeps the hive as it is committed now.
    pub(super) fn take(origin: &Origin, volatile_used: bool) -> Result<Snapshot, Refusal> {
        let connection = origin.connect()?;
        Origin::prepare(&connection, ":memory:")?;
        if volatile_used {
            start::create_tables(&connection, "volatile")?;
            connection.execute("ATTACH ?1 AS shared", [&origin.volatile_uri])?;
            for table in start::TABLES {
                connection.execute_batch(&format!(
                    "INSERT INTO volatile.\"{table}\" SELECT * FROM shared.\"{table}\""
                ))?;
            }
            connection.execute_batch("DETACH shared")?;
        }
        // A deferred transaction begins at its first read.
        connection.execute_batch("BEGIN; SELECT 1 FROM main.schema_version")?;
        Ok(Snapshot { connection, volatile_used })
    }

    pub(super) fn session(&self) -> Session<'_> {
        Session { connection: &self.connection, volatile_used: self.volatile_used }
    }
}
