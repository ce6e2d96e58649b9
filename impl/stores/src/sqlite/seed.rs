//! Records put into a hive's tables as they are, for tests of what reads them.
//!
//! Validates nothing; keeps the folded columns in step, since those are no part of a record.

use rsi::{Guid, Status};
use rusqlite::params;

use super::hive::Hive;
use super::keys;
use super::row;
use super::session::{Place, Session};
use super::sql;
use crate::backend::{Refusal, View};
use crate::fold::fold;
use crate::{RawBlanket, RawKey, RawPathEntry, RawRecord, RawValue};

/// Puts a record in, in place of the one with the same identity. The hive has no open transaction.
pub(super) fn put(hive: &mut Hive, record: RawRecord) -> Result<(), Refusal> {
    let place = match &record {
        RawRecord::Key(key) => Place::of(key.volatile_key),
        RawRecord::PathEntry(entry) => Place::of(entry.stored_volatile),
        RawRecord::Value(value) => place_of(hive, value.key)?,
        RawRecord::Blanket(blanket) => place_of(hive, blanket.key)?,
        RawRecord::LostKey(_) => Place::Main,
    };
    let session = hive.writing(place)?;
    session.atomically(|| match &record {
        RawRecord::Key(record) => key(session, place, record),
        RawRecord::PathEntry(entry) => path_entry(session, place, entry),
        RawRecord::Value(record) => value(session, place, record),
        RawRecord::Blanket(record) => blanket(session, place, record),
        RawRecord::LostKey(guid) => {
            [&sql::KEY_DELETE, &sql::VALUE_DELETE_KEY, &sql::BLANKET_DELETE_KEY]
                .into_iter()
                .try_for_each(|statement| session.run_everywhere(statement, [&guid.0[..]]))
        }
    })
}

fn place_of(hive: &Hive, guid: Guid) -> Result<Place, Refusal> {
    keys::place(hive.session(View::Committed)?, guid)?.ok_or(Refusal::Status(Status::NotFound))
}

fn key(session: Session<'_>, place: Place, key: &RawKey) -> Result<(), Refusal> {
    session.run_everywhere(&sql::KEY_DELETE, [&key.guid.0[..]])?;
    let parameters = params![
        &key.guid.0[..],
        key.name,
        fold(&key.name),
        key.parent.as_ref().map(|parent| &parent.0[..]),
        key.sd,
        key.volatile_key,
        key.symlink,
        row::stored(key.last_write_time)
    ];
    session.run(&sql::KEY_INSERT, place, parameters).map(|_| ())
}

fn path_entry(session: Session<'_>, place: Place, entry: &RawPathEntry) -> Result<(), Refusal> {
    let name = fold(&entry.child_name);
    let identity = params![&entry.parent.0[..], name, fold(&entry.layer)];
    session.run_everywhere(&sql::ENTRY_DELETE, identity)?;
    let parameters = params![
        &entry.parent.0[..],
        entry.child_name,
        name,
        entry.layer,
        row::target_type(entry.target),
        entry.target.as_ref().map(|guid| &guid.0[..]),
        row::stored(entry.sequence)
    ];
    session.run(&sql::ENTRY_INSERT, place, parameters).map(|_| ())
}

fn value(session: Session<'_>, place: Place, value: &RawValue) -> Result<(), Refusal> {
    let name = fold(&value.name);
    let identity = params![&value.key.0[..], name, fold(&value.layer)];
    session.run(&sql::VALUE_DELETE.statement, place, identity)?;
    let parameters = params![
        &value.key.0[..],
        value.name,
        name,
        value.layer,
        value.value_type,
        value.data,
        row::stored(value.sequence)
    ];
    session.run(&sql::VALUE_REPLACE, place, parameters).map(|_| ())
}

fn blanket(session: Session<'_>, place: Place, blanket: &RawBlanket) -> Result<(), Refusal> {
    let identity = params![&blanket.key.0[..], fold(&blanket.layer)];
    session.run(&sql::BLANKET_DELETE.statement, place, identity)?;
    let parameters = params![&blanket.key.0[..], blanket.layer, row::stored(blanket.sequence)];
    session.run(&sql::BLANKET_INSERT, place, parameters).map(|_| ())
}
