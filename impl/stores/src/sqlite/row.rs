//! From a row's columns to our types, and from SQLite's errors to answers.
//!
//! A column of the wrong type or length is RSI_STORAGE_ERROR, never a panic: the damage is in one
//! row, and SQLite can still be relied on. What SQLite itself calls corrupt, or a full disk, ends the
//! source (LORE-038).

use rsi::{Guid, Status};
use rusqlite::types::ValueRef;
use rusqlite::{ErrorCode, Row};

use crate::FatalError;
use crate::backend::Refusal;

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Refusal {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Refusal::Locked,
            Some(ErrorCode::TooBig) => Refusal::Status(Status::TooLarge),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Refusal::Fatal(FatalError::Corrupt)
            }
            Some(ErrorCode::DiskFull) => Refusal::Fatal(FatalError::DiskFull),
            _ => Refusal::Status(Status::StorageError),
        }
    }
}

const DAMAGED: Refusal = Refusal::Status(Status::StorageError);

pub(super) fn guid(row: &Row<'_>, column: usize) -> Result<Guid, Refusal> {
    optional_guid(row, column)?.ok_or(DAMAGED)
}

pub(super) fn optional_guid(row: &Row<'_>, column: usize) -> Result<Option<Guid>, Refusal> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Blob(bytes) => {
            bytes.try_into().map(|bytes| Some(Guid(bytes))).map_err(|_| DAMAGED)
        }
        _ => Err(DAMAGED),
    }
}

pub(super) fn text(row: &Row<'_>, column: usize) -> Result<String, Refusal> {
    let bytes = name(row, column)?;
    String::from_utf8(bytes).map_err(|_| DAMAGED)
}

/// A name as the bytes of a response.
pub(super) fn name(row: &Row<'_>, column: usize) -> Result<Vec<u8>, Refusal> {
    match row.get_ref(column)? {
        ValueRef::Text(bytes) => Ok(bytes.to_vec()),
        _ => Err(DAMAGED),
    }
}

/// A blob; NULL is the empty one, as a tombstone's data (LORE-055).
pub(super) fn bytes(row: &Row<'_>, column: usize) -> Result<Vec<u8>, Refusal> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(Vec::new()),
        ValueRef::Blob(bytes) => Ok(bytes.to_vec()),
        _ => Err(DAMAGED),
    }
}

/// A number that was stored by [`stored`].
pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64, Refusal> {
    match row.get_ref(column)? {
        ValueRef::Integer(number) => Ok(number.cast_unsigned()),
        _ => Err(DAMAGED),
    }
}

pub(super) fn type_code(row: &Row<'_>, column: usize) -> Result<u32, Refusal> {
    u32::try_from(number(row, column)?).map_err(|_| DAMAGED)
}

pub(super) fn flag(row: &Row<'_>, column: usize) -> Result<bool, Refusal> {
    Ok(number(row, column)? != 0)
}

/// The target of a path entry from its type and GUID; `None` is HIDDEN (LORE-056).
pub(super) fn target(
    row: &Row<'_>,
    type_column: usize,
    guid_column: usize,
) -> Result<Option<Guid>, Refusal> {
    match number(row, type_column)? {
        0 => guid(row, guid_column).map(Some),
        1 => Ok(None),
        _ => Err(DAMAGED),
    }
}

/// A `u64` for SQLite, which has signed integers only: the same bits.
pub(super) fn stored(number: u64) -> i64 {
    number.cast_signed()
}

/// What stands in the column `target_type`.
pub(super) fn target_type(target: Option<Guid>) -> i64 {
    i64::from(target.is_none())
}

#[cfg(test)]
mod tests {
    use rsi::Status;
    use rusqlite::Error;
    use rusqlite::ffi::{self, SQLITE_CORRUPT, SQLITE_FULL, SQLITE_IOERR, SQLITE_NOTADB};

    use super::Refusal;
    use crate::FatalError;

    fn refusal(code: i32) -> Refusal {
        Refusal::from(Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn corruption_and_a_full_disk_are_fatal_and_a_failed_read_or_write_is_not() {
        assert_eq!(refusal(SQLITE_CORRUPT), Refusal::Fatal(FatalError::Corrupt));
        assert_eq!(refusal(SQLITE_NOTADB), Refusal::Fatal(FatalError::Corrupt));
        assert_eq!(refusal(SQLITE_FULL), Refusal::Fatal(FatalError::DiskFull));
        assert_eq!(refusal(SQLITE_IOERR), Refusal::Status(Status::StorageError));
    }
}
