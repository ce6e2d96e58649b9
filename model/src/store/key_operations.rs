//! Key records: creating, reading, changing and dropping them.
//!
//! States the key operations of PSD-005 §7.2 and, for what is its own, PSD-006 §5.1. A security
//! descriptor is bytes here: a store does not look into it.

use std::sync::Arc;

use super::database::{Database, KeyRecord, Name, Target, remove_where};
use super::message::{Guid, Status};
use super::outcome::{Answer, KeyPattern, Outcome};
use super::work::{Work, flag, has_key, not_found};
use crate::coverage::{Covered, covers};
use crate::database::Time;

impl Work<'_> {
    /// RSI_CREATE_KEY; `flags` are volatile and symlink.
    pub(super) fn create_key(
        &mut self,
        guid: Guid,
        name: &[u8],
        parent: Guid,
        security_descriptor: &[u8],
        flags: (u8, u8),
    ) -> Result<Vec<Answer>, Status> {
        let record = KeyRecord {
            name: Name::parse(name)?.spelling,
            parent: Some(parent),
            security_descriptor: security_descriptor.into(),
            volatile_key: flag(flags.0)?,
            symlink: flag(flags.1)?,
            last_write_time: self.time(),
        };
        if guid == Guid::ZERO {
            return Err(Status::Invalid);
        }
        let taken = self.is_taken(guid)?;
        self.write(has_key(parent), not_found, |database, covered| {
            if taken {
                covers!(covered, "LORE-097");
                return Err(Status::AlreadyExists);
            }
            create_key(database, guid, record.clone(), covered)
        })
    }

    /// RSI_READ_KEY.
    pub(super) fn read_key(&mut self, guid: Guid) -> Result<Vec<Answer>, Status> {
        let result = self.read(guid, |database, covered| {
            let record = database.keys.get(&guid);
            record
                .map_or(Outcome::Failed(Status::NotFound), |record| read_key(guid, record, covered))
        });
        result.inspect_err(|status| {
            if *status == Status::NotFound {
                covers!(self.covered, "LORE-099");
            }
        })
    }

    /// RSI_WRITE_KEY.
    pub(super) fn write_key(
        &mut self,
        guid: Guid,
        security_descriptor: Option<&[u8]>,
        last_write_time: Option<u64>,
        undefined_mask_bits: u32,
    ) -> Result<Vec<Answer>, Status> {
        if undefined_mask_bits != 0 {
            covers!(self.covered, "OP-26", "SRC-30", "LORE-103");
            return Err(Status::Invalid);
        }
        let in_transaction = self.transaction != 0;
        self.write(has_key(guid), not_found, |database, covered| {
            if in_transaction {
                covers!(covered, "LORE-102");
            }
            write_key(database, guid, security_descriptor, last_write_time, covered)
        })
    }

    /// RSI_DROP_KEY.
    pub(super) fn drop_key(&mut self, guid: Guid) -> Result<Vec<Answer>, Status> {
        let is_named = |database: &Database| database.named().any(|(named, _)| named == guid);
        let absent = |covered: &mut Covered| {
            covers!(covered, "OP-32", "LORE-109");
            Ok(Outcome::Done)
        };
        let change =
            |database: &mut Database, covered: &mut Covered| drop_key(database, guid, covered);
        self.remove(guid, is_named, is_named, absent, change)
    }
}

/// RSI_CREATE_KEY under a parent that is there. Whoever calls has seen that the GUID is not taken.
fn create_key(
    database: &mut Database,
    guid: Guid,
    record: KeyRecord,
    covered: &mut Covered,
) -> Result<Outcome, Status> {
    covers!(covered, "OP-20", "LORE-096", "LORE-073", "KEY-17", "KEY-21", "KEY-30", "SRC-08");
    if record.volatile_key {
        covers!(covered, "KEY-31");
    }
    database.keys.insert_mut(guid, record);
    Ok(Outcome::Done)
}

/// RSI_READ_KEY of a key that is there.
fn read_key(guid: Guid, record: &KeyRecord, covered: &mut Covered) -> Outcome {
    covers!(covered, "OP-23", "LORE-098", "KEY-17", "KEY-23");
    if record.parent.is_none() {
        covers!(covered, "KEY-24");
    }
    Outcome::Key {
        name: record.name.as_bytes().to_vec(),
        parent: record.parent.unwrap_or(Guid::ZERO),
        metadata: pattern(guid, record),
    }
}

/// RSI_WRITE_KEY of a key that is there, with a mask that has no undefined bits.
fn write_key(
    database: &mut Database,
    guid: Guid,
    security_descriptor: Option<&[u8]>,
    last_write_time: Option<u64>,
    covered: &mut Covered,
) -> Result<Outcome, Status> {
    covers!(covered, "OP-24", "LORE-100", "LORE-104");
    let mut record = database.keys.get(&guid).ok_or(Status::NotFound)?.clone();
    if security_descriptor.is_some() && last_write_time.is_some() {
        covers!(covered, "LORE-101");
    }
    if let Some(bytes) = security_descriptor {
        record.security_descriptor = bytes.into();
    }
    if let Some(time) = last_write_time {
        covers!(covered, "KEY-30");
        record.last_write_time = Time::At(time);
    }
    database.keys.insert_mut(guid, record);
    Ok(Outcome::Done)
}

/// RSI_DROP_KEY: the record, the values, the blanket tombstones and the path entries that name the
/// key. Path entries below it stay (P-14), and a hive root is no exception (P-68).
fn drop_key(database: &mut Database, guid: Guid, covered: &mut Covered) -> Result<Outcome, Status> {
    covers!(covered, "OP-27", "DEL-45", "LORE-105");
    if database.values_of(guid).next().is_some() {
        covers!(covered, "OP-28", "DEL-46", "LORE-107");
    }
    if database.blankets_of(guid).next().is_some() {
        covers!(covered, "OP-30", "LORE-108");
    }
    if database.named().any(|(named, _)| named == guid) {
        covers!(covered, "OP-29", "DEL-47", "LORE-106");
    }
    database.purge(guid);
    remove_where(&mut database.path_entries, |_, entry| entry.target == Target::Key(guid));
    Ok(Outcome::Done)
}

/// What responses say of a key.
pub(super) fn pattern(guid: Guid, record: &KeyRecord) -> KeyPattern {
    KeyPattern {
        guid,
        security_descriptor: Arc::clone(&record.security_descriptor),
        volatile_key: record.volatile_key,
        symlink: record.symlink,
        last_write_time: record.last_write_time,
    }
}
