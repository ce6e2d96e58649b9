//! One hive's connections: its writer, its reader, and one for each snapshot (PSD-006 §4.1).
//!
//! One thread serves a store, so that one read connection is enough. While no transaction is
//! open, queries use the writer's connection too: it sees the same, and its page cache is warm.

use std::collections::BTreeMap;

use rsi::{Response, Status, TransactionId};
use rusqlite::Connection;

use super::session::{Place, Session};
use super::snapshot::{self, Origin};
use crate::backend::{Outcome, Refusal, View};

/// A hive that has been opened.
#[derive(Debug)]
pub(super) struct Hive {
    pub(super) writer: Connection,
    pub(super) reader: Connection,
    pub(super) origin: Origin,
    pub(super) snapshots: BTreeMap<TransactionId, Connection>,
    pub(super) volatile_used: bool,
}

impl Hive {
    /// The connection that shows a view.
    pub(super) fn session(&self, view: View) -> Result<Session<'_>, Refusal> {
        let connection = match view {
            View::Writer => &self.writer,
            View::Committed if self.writer.is_autocommit() => &self.writer,
            View::Committed => &self.reader,
            View::Snapshot(id) => {
                self.snapshots.get(&id).ok_or(Refusal::Status(Status::Invalid))?
            }
        };
        Ok(Session { connection, volatile_used: self.volatile_used })
    }

    /// The write connection, for a mutation that goes to `place`.
    pub(super) fn writing(&mut self, place: Place) -> Session<'_> {
        self.volatile_used |= place == Place::Volatile;
        self.current_writer()
    }

    /// The write connection, for a mutation of what is there already.
    pub(super) fn current_writer(&self) -> Session<'_> {
        Session { connection: &self.writer, volatile_used: self.volatile_used }
    }

    pub(super) fn begin(&mut self) -> Result<(), Refusal> {
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
        let connection = snapshot::take(&self.origin, self.volatile_used)?;
        self.snapshots.insert(id, connection);
        Ok(())
    }

    pub(super) fn release_snapshot(&mut self, id: TransactionId) {
        self.snapshots.remove(&id);
    }
}
