//! One hive's connections: its writer, its reader, and one for each snapshot (PSD-006 §4.1).
//!
//! One thread serves a store, so that one read connection is enough, and while no transaction is
//! open queries use the writer's: it sees the same, and its page cache is warm. The reader is
//! opened at the first transaction, and the tables of the volatile store are made when first
//! needed: most hives of a simulation want neither.

use std::collections::{BTreeMap, BTreeSet};

use rsi::{Guid, Response, Status, TransactionId};
use rusqlite::Connection;

use super::keys;
use super::session::{Place, Session};
use super::snapshot::{Origin, Snapshot};
use super::start;
use crate::backend::{Outcome, Refusal, View};

/// A hive that has been opened.
#[derive(Debug)]
pub(super) struct Hive {
    origin: Origin,
    writer: Connection,
    reader: Option<Connection>,
    snapshots: BTreeMap<TransactionId, Snapshot>,
    volatile: Volatile,
    uncommitted: Uncommitted,
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

/// What the open transaction has done to the volatile store's keys.
#[derive(Debug, Default)]
struct Uncommitted {
    created: BTreeSet<Guid>,
    /// Committed keys that it has dropped.
    dropped: BTreeSet<Guid>,
}

impl Hive {
    /// A hive whose writer has been prepared.
    pub(super) fn new(origin: Origin, writer: Connection) -> Hive {
        let snapshots = BTreeMap::new();
        Hive {
            origin,
            writer,
            reader: None,
            snapshots,
            volatile: Volatile::Attached,
            uncommitted: Uncommitted::default(),
        }
    }

    /// The connection that shows a view.
    pub(super) fn session(&self, view: View) -> Result<Session<'_>, Refusal> {
        let connection = match view {
            View::Writer => &self.writer,
            View::Committed if self.writer.is_autocommit() => &self.writer,
            View::Committed => self.reader.as_ref().ok_or(Refusal::Status(Status::StorageError))?,
            View::Snapshot(id) => {
                let snapshot = self.snapshots.get(&id);
                return Ok(snapshot.ok_or(Refusal::Status(Status::Invalid))?.session());
            }
        };
        Ok(self.over(connection))
    }

    /// Which store has a committed record of the key.
    ///
    /// The volatile store would lock its reader out while a transaction writes there, and with it
    /// whoever looks for a key of another hive (LORE-066, LORE-070). The writer is never locked
    /// out; what it sees beyond what is committed is known.
    pub(super) fn committed_place(&self, guid: Guid) -> Result<Option<Place>, Refusal> {
        let committed = self.session(View::Committed)?;
        if !self.is_open() || !committed.volatile_used {
            return keys::place(committed, guid);
        }
        let main = keys::place(committed.over_main(), guid)?;
        if main.is_some() || self.uncommitted.created.contains(&guid) {
            return Ok(main);
        }
        if self.uncommitted.dropped.contains(&guid) {
            return Ok(Some(Place::Volatile));
        }
        let seen = keys::place(self.current_writer(), guid)?;
        Ok(seen.filter(|place| *place == Place::Volatile))
    }

    /// Remembers a volatile key that was made, if a transaction is open.
    pub(super) fn note_created(&mut self, guid: Guid) {
        if self.is_open() && !self.uncommitted.dropped.contains(&guid) {
            self.uncommitted.created.insert(guid);
        }
    }

    /// Remembers a volatile key that was dropped, if a transaction is open.
    pub(super) fn note_dropped(&mut self, guid: Guid) {
        if self.is_open() && !self.uncommitted.created.remove(&guid) {
            self.uncommitted.dropped.insert(guid);
        }
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
        self.uncommitted = Uncommitted::default();
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
        let snapshot = Snapshot::take(&self.origin, self.volatile == Volatile::Used)?;
        self.snapshots.insert(id, snapshot);
        Ok(())
    }

    pub(super) fn release_snapshot(&mut self, id: TransactionId) {
        self.snapshots.remove(&id);
    }
}
