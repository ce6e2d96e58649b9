//! Why a source did not start: what, which file, and what to do about it.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use super::start::SCHEMA_VERSION;

/// A store that would not open.
#[derive(Debug)]
pub struct OpenError {
    /// The hive, or empty where the configuration as a whole is at fault.
    pub hive: String,
    /// The database file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a configuration or a database.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// No hive is configured (LORE-003).
    NoHives,
    /// Another hive of the configuration has the same folded name (LORE-009).
    DuplicateHive,
    /// The path is relative (LORE-008).
    RelativePath,
    /// Another hive of the configuration has the same database (LORE-044).
    SharedDatabase,
    /// The file cannot be opened or created.
    CannotOpen(rusqlite::Error),
    /// The file is no SQLite database.
    NotADatabase,
    /// It is an SQLite database of something else; the text says what is missing.
    ForeignDatabase(String),
    /// A newer version of the schema (LORE-020).
    NewerSchema(i64),
    /// A version of the schema that never was.
    UnknownSchema(i64),
    /// The hive's root records are not as they must be.
    BadRoot(String),
    /// Another process has the database.
    InUse,
    /// SQLite cannot keep a write-ahead log here; it offers this journal mode.
    NoWriteAheadLog(String),
    /// Reading or repairing it failed (SRC-29).
    Damaged(rusqlite::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OpenError { hive, path, problem } = self;
        if matches!(problem, Problem::NoHives) {
            return write!(out, "a source needs at least one hive; name one and its database");
        }
        write!(out, "hive {hive}: {}: {problem}", path.display())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NoHives => write!(out, "no hive is configured; name one and its database"),
            Problem::DuplicateHive => {
                write!(out, "another hive has this name, letter case aside; give each its own")
            }
            Problem::RelativePath => write!(out, "the path is relative; give an absolute one"),
            Problem::SharedDatabase => {
                write!(out, "another hive has this database; give each its own")
            }
            Problem::CannotOpen(error) => write!(
                out,
                "cannot be opened or created ({error}); see that its directory exists and may be \
                 written"
            ),
            Problem::NotADatabase => write!(
                out,
                "is not an SQLite database; give another path, or move the file away to begin an \
                 empty hive"
            ),
            Problem::ForeignDatabase(missing) => write!(
                out,
                "is an SQLite database but not a registry hive ({missing}); give another path"
            ),
            Problem::NewerSchema(version) => write!(
                out,
                "has schema version {version}, and this source knows up to {SCHEMA_VERSION}; use \
                 the newer source that wrote it"
            ),
            Problem::UnknownSchema(version) => write!(
                out,
                "has schema version {version}, which never existed; restore it from a backup"
            ),
            Problem::BadRoot(what) => {
                write!(out, "{what}; restore it from a backup")
            }
            Problem::InUse => {
                write!(out, "is locked by another process; stop that process first")
            }
            Problem::NoWriteAheadLog(mode) => write!(
                out,
                "cannot have a write-ahead log (journal mode stays {mode}); keep it on a local \
                 file system"
            ),
            Problem::Damaged(error) => {
                write!(out, "cannot be read ({error}); restore it from a backup")
            }
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            Problem::CannotOpen(error) | Problem::Damaged(error) => Some(error),
            _ => None,
        }
    }
}
