//! One hive's connections: its writer, its reader, and one for each snapshot (PSD-006 §4.1).
//!
//! One thread serves a store, so that one read connection is enough, and while no transaction is
//! open queries use the writer's: it sees the same, and its page cache is warm. The reader is
//! opened at the first transaction, and the tables of the volatile store are made when first
//! needed: most hives of a simulation want neither.

use std::collections::BTreeMap;

use rsi::{Response, Status, TransactionId};
use rusqlite::Connection;

use super::session::{Place, Session};
use super::snapshot::{self, Origin};
use super::start;
use crate::backend::{Outcome, Refusal, View};

/// A hive that has been opened.
#[derive(Debug)]
pub(super) struct Hive {
    origin: Origin,
    writer: Connection,
    reader: Option<Connection>,
    snapshots: BTreeMap<TransactionId, Connection>,
    volatile: Volatile,
}

/// How far a volatile store has come. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Volatile {
    /// Attached, and without tables.
    Attached,
    /// It has its tables, and nothing was ever in them.
    Empty,
    /// Something may be in it.
    Used,
}

impl Hive {
    /// A hive whose writer has been prepared.
    pub(super) fn new(origin: Origin, writer: Connection) -> Hive {
        let snapshots = BTreeMap::new();
        Hive { origin, writer, reader: None, snapshots, volatile: Volatile::Attached }
    }

    /// The connection that shows a view.
    pub(super) fn session(&self, view: View) -> Result<Session<'_>, Refusal> {
        let connection = match view {
            View::Writer => &self.writer,
            View::Committed if self.writer.is_autocommit() => &self.writer,
            View::Committed => self.reader.as_ref().ok_or(Refusal::Status(Status::StorageError))?,
            View::Snapshot(id) => {
                self.snapshots.get(&id).ok_or(Refusal::Status(Status::Invalid))?
            }
        };
        Ok(self.over(connection))
    }

    /// The write connection, for a mutation that goes to `place`.
    pub(super) fn writing(&mut self, place: Place) -> Result<Session<'_>, Refusal> {
        if place == Place::Volatile {
            self.make_volatile_tables()?;
            self.volatile = Volatile::Used;
        }
        Ok(self.current_writer())
    }

    /// The write connection, for a mutation of what is there already.
    pub(super) fn current_writer(&self) -> Session<'_> {
        self.over(&self.writer)
    }

    fn over<'a>(&self, connection: &'a Connection) -> Session<'a> {
        Session { connection, volatile_used: self.volatile == Volatile::Used }
    }

    /// Never within a transaction, which might take the tables away again: `begin` comes first.
    fn make_volatile_tables(&mut self) -> Result<(), Refusal> {
        if self.volatile == Volatile::Attached {
            let session = self.current_writer();
            session.atomically(|| Ok(start::create_tables(session.connection, "volatile")?))?;
            self.volatile = Volatile::Empty;
        }
        Ok(())
    }

    pub(super) fn begin(&mut self) -> Result<(), Refusal> {
        self.make_volatile_tables()?;
        if self.reader.is_none() {
            let reader = self.origin.connect()?;
            Origin::prepare(&reader, &self.origin.volatile_uri)?;
            self.reader = Some(reader);
        }
        self.current_writer().execute("BEGIN IMMEDIATE")
    }

    pub(super) fn is_open(&self) -> bool {
        !self.writer.is_autocommit()
    }

    pub(super) fn commit(&mut self) -> Result<(), Refusal> {
        self.current_writer().execute("COMMIT")
    }

    pub(super) fn rollback(&mut self) {
        if self.is_open() {
            // A rollback that fails leaves the connection unusable, which the next request finds.
            let _ = self.current_writer().execute("ROLLBACK");
        }
    }

    /// LORE-133. Every commit is durable already (synchronous=FULL), so a snapshot that keeps the
    /// log from being emptied takes nothing away from the answer.
    pub(super) fn flush(&mut self) -> Outcome {
        let mut statement = self.writer.prepare_cached("PRAGMA main.wal_checkpoint(TRUNCATE)")?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(Response::Done)
    }

    pub(super) fn take_snapshot(&mut self, id: TransactionId) -> Result<(), Refusal> {
        let connection = snapshot::take(&self.origin, self.volatile == Volatile::Used)?;
        self.snapshots.insert(id, connection);
        Ok(())
    }

    pub(super) fn release_snapshot(&mut self, id: TransactionId) {
        self.snapshots.remove(&id);
    }
}
