//! One connection as a request sees it: cached statements over the right stores.
//!
//! It may not know what a request means.

use rusqlite::{CachedStatement, Connection, Params};

use super::sql::{Query, Removal, Statement};
use crate::backend::Refusal;

/// Which of a hive's two stores something lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The database file.
    Main,
    /// The attached store in memory.
    Volatile,
}

impl Place {
    pub(super) fn of(volatile: bool) -> Place {
        if volatile { Place::Volatile } else { Place::Main }
    }
}

/// A connection for the length of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session<'a> {
    pub(super) connection: &'a Connection,
    /// Whether anything has been written to the volatile store since it was made. As long as
    /// nothing has, no statement needs to look there.
    pub(super) volatile_used: bool,
}

impl<'a> Session<'a> {
    /// The same over the database file alone.
    pub(super) fn over_main(self) -> Session<'a> {
        Session { volatile_used: false, ..self }
    }

    /// The statement of a query over all the stores that can hold something.
    pub(super) fn query(self, query: &Query) -> Result<CachedStatement<'a>, Refusal> {
        let text = if self.volatile_used { query.merged } else { query.main };
        Ok(self.connection.prepare_cached(text)?)
    }

    /// Runs a mutation on one store; returns how many rows it changed.
    pub(super) fn run(
        self,
        statement: &Statement,
        place: Place,
        parameters: impl Params,
    ) -> Result<usize, Refusal> {
        let text = match place {
            Place::Main => statement.main,
            Place::Volatile => statement.volatile,
        };
        Ok(self.connection.prepare_cached(text)?.execute(parameters)?)
    }

    /// Removes from every store that can hold something. The volatile store is left to its readers where
    /// it holds nothing of it.
    pub(super) fn run_everywhere(
        self,
        removal: &Removal,
        parameters: impl Params + Copy,
    ) -> Result<(), Refusal> {
        self.run(&removal.statement, Place::Main, parameters)?;
        let is_there = |text| self.connection.prepare_cached(text)?.exists(parameters);
        if self.volatile_used && is_there(removal.volatile_rows)? {
            self.run(&removal.statement, Place::Volatile, parameters)?;
        }
        Ok(())
    }

    /// Does all of `work` or none of it, inside the open transaction if there is one.
    pub(super) fn atomically<T>(
        self,
        work: impl FnOnce() -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let (begin, end, undo): (_, _, &[&str]) = if self.connection.is_autocommit() {
            ("BEGIN IMMEDIATE", "COMMIT", &["ROLLBACK"])
        } else {
            ("SAVEPOINT request", "RELEASE request", &["ROLLBACK TO request", "RELEASE request"])
        };
        self.execute(begin)?;
        let done = work().and_then(|done| self.execute(end).map(|()| done));
        if done.is_err() {
            for statement in undo {
                // SQLite may have rolled back by itself; then there is nothing to undo.
                let _ = self.execute(statement);
            }
        }
        done
    }

    pub(super) fn execute(self, statement: &str) -> Result<(), Refusal> {
        self.connection.prepare_cached(statement)?.execute([])?;
        Ok(())
    }
}
