//! A request as our stores understand it: names are text, and what is malformed is gone.
//!
//! PSD-005 §7.2 and §7.3. Whatever cannot be turned into a [`Task`] is RSI_INVALID.

use std::str;

use rsi::{Guid, Request, Status, TransactionId};

/// The REG_TOMBSTONE type code.
pub(crate) const TOMBSTONE: u32 = 0xFFFF;

/// One thing to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task<'a> {
    Read(Read<'a>),
    Write(Write<'a>),
    DeleteLayer { layer: &'a str },
    Flush { hive_name: &'a str },
    Begin { transaction: TransactionId, read_only: bool },
    Commit { transaction: TransactionId },
    Abort { transaction: TransactionId },
}

/// A query of one key. It changes nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read<'a> {
    Lookup {
        parent: Guid,
        child_name: &'a str,
    },
    EnumChildren {
        parent: Guid,
    },
    Key {
        guid: Guid,
    },
    /// `value_name` is `None` for every value of the key.
    QueryValues {
        guid: Guid,
        value_name: Option<&'a str>,
    },
}

/// A mutation of one hive.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write<'a> {
    CreateEntry { at: EntryName<'a>, child: Guid, sequence: u64 },
    HideEntry { at: EntryName<'a>, sequence: u64 },
    DeleteEntry { at: EntryName<'a> },
    CreateKey(NewKey<'a>),
    UpdateKey { guid: Guid, sd: Option<&'a [u8]>, last_write_time: Option<u64> },
    DropKey { guid: Guid },
    SetValue { at: ValueName<'a>, value: NewValue<'a>, expected_sequence: Option<u64> },
    DeleteValueEntry { at: ValueName<'a> },
    SetBlanket { guid: Guid, layer: &'a str, sequence: u64 },
    RemoveBlanket { guid: Guid, layer: &'a str },
}

/// Where a path entry lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryName<'a> {
    pub(crate) parent: Guid,
    pub(crate) child_name: &'a str,
    pub(crate) layer: &'a str,
}

/// Where a value entry lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValueName<'a> {
    pub(crate) guid: Guid,
    pub(crate) value_name: &'a str,
    pub(crate) layer: &'a str,
}

/// What a value entry says. A tombstone has no data (OP-41).
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewValue<'a> {
    pub(crate) value_type: u32,
    pub(crate) data: &'a [u8],
    pub(crate) sequence: u64,
}

/// A key record to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewKey<'a> {
    pub(crate) guid: Guid,
    pub(crate) name: &'a str,
    pub(crate) parent: Guid,
    pub(crate) sd: &'a [u8],
    pub(crate) volatile_key: bool,
    pub(crate) symlink: bool,
}

impl Read<'_> {
    /// The key that must exist (P-09).
    pub(crate) fn key(&self) -> Guid {
        match *self {
            Read::Lookup { parent, .. } | Read::EnumChildren { parent } => parent,
            Read::Key { guid } | Read::QueryValues { guid, .. } => guid,
        }
    }
}

impl Write<'_> {
    /// The key that leads to the hive (LORE-071).
    pub(crate) fn key(&self) -> Guid {
        match *self {
            Write::CreateEntry { at, .. }
            | Write::HideEntry { at, .. }
            | Write::DeleteEntry { at } => at.parent,
            Write::CreateKey(NewKey { parent, .. }) => parent,
            Write::UpdateKey { guid, .. }
            | Write::DropKey { guid }
            | Write::SetBlanket { guid, .. }
            | Write::RemoveBlanket { guid, .. } => guid,
            Write::SetValue { at, .. } | Write::DeleteValueEntry { at } => at.guid,
        }
    }

    /// Whether it succeeds though that key has no record (P-09).
    pub(crate) fn is_idempotent_removal(&self) -> bool {
        matches!(
            self,
            Write::DeleteEntry { .. } | Write::DropKey { .. } | Write::DeleteValueEntry { .. }
        )
    }
}

/// Understands a request.
///
/// # Errors
/// `Invalid` where a name is not UTF-8, a transaction mode or ID is none, RSI_WRITE_KEY names an
/// immutable or unknown field, a new key or an entry's child is the null GUID, or a transaction
/// operation's header and payload differ (D-94, P-61).
pub(crate) fn understand(
    header: Option<TransactionId>,
    request: &Request,
) -> Result<Task<'_>, Status> {
    Ok(match request {
        Request::Lookup { parent, child_name } => {
            Task::Read(Read::Lookup { parent: *parent, child_name: text(child_name)? })
        }
        Request::EnumChildren { parent } => Task::Read(Read::EnumChildren { parent: *parent }),
        Request::ReadKey { guid } => Task::Read(Read::Key { guid: *guid }),
        Request::QueryValues { guid, value_name, query_all } => {
            let value_name = if *query_all { None } else { Some(text(value_name)?) };
            Task::Read(Read::QueryValues { guid: *guid, value_name })
        }
        Request::DeleteLayer { layer } => Task::DeleteLayer { layer: text(layer)? },
        Request::Flush { hive_name } => Task::Flush { hive_name: text(hive_name)? },
        Request::BeginTransaction { transaction, mode } => {
            let transaction = named(header, *transaction)?;
            let read_only = match mode {
                0 => false,
                1 => true,
                _ => return Err(Status::Invalid),
            };
            Task::Begin { transaction, read_only }
        }
        Request::CommitTransaction { transaction } => {
            Task::Commit { transaction: named(header, *transaction)? }
        }
        Request::AbortTransaction { transaction } => {
            Task::Abort { transaction: named(header, *transaction)? }
        }
        mutation => Task::Write(understand_write(mutation)?),
    })
}

fn understand_write(request: &Request) -> Result<Write<'_>, Status> {
    Ok(match request {
        Request::CreateEntry { child: Guid::NULL, .. }
        | Request::CreateKey { guid: Guid::NULL, .. } => return Err(Status::Invalid),
        Request::CreateEntry { parent, child_name, layer, child, sequence } => Write::CreateEntry {
            at: entry_name(*parent, child_name, layer)?,
            child: *child,
            sequence: *sequence,
        },
        Request::HideEntry { parent, child_name, layer, sequence } => {
            Write::HideEntry { at: entry_name(*parent, child_name, layer)?, sequence: *sequence }
        }
        Request::DeleteEntry { parent, child_name, layer } => {
            Write::DeleteEntry { at: entry_name(*parent, child_name, layer)? }
        }
        Request::CreateKey { guid, name, parent, sd, volatile_key, symlink } => {
            Write::CreateKey(NewKey {
                guid: *guid,
                name: text(name)?,
                parent: *parent,
                sd,
                volatile_key: *volatile_key,
                symlink: *symlink,
            })
        }
        Request::WriteKey { undefined_fields, .. } if *undefined_fields != 0 => {
            return Err(Status::Invalid);
        }
        Request::WriteKey { guid, sd, last_write_time, .. } => {
            Write::UpdateKey { guid: *guid, sd: sd.as_deref(), last_write_time: *last_write_time }
        }
        Request::DropKey { guid } => Write::DropKey { guid: *guid },
        Request::SetValue {
            guid,
            value_name,
            layer,
            value_type,
            data,
            sequence,
            expected_sequence,
        } => {
            let data = if *value_type == TOMBSTONE { &[][..] } else { data };
            Write::SetValue {
                at: value_name_of(*guid, value_name, layer)?,
                value: NewValue { value_type: *value_type, data, sequence: *sequence },
                expected_sequence: Some(*expected_sequence).filter(|expected| *expected != 0),
            }
        }
        Request::DeleteValueEntry { guid, value_name, layer } => {
            Write::DeleteValueEntry { at: value_name_of(*guid, value_name, layer)? }
        }
        Request::SetBlanketTombstone { guid, layer, set: true, sequence } => {
            Write::SetBlanket { guid: *guid, layer: text(layer)?, sequence: *sequence }
        }
        Request::SetBlanketTombstone { guid, layer, set: false, .. } => {
            Write::RemoveBlanket { guid: *guid, layer: text(layer)? }
        }
        _ => return Err(Status::Invalid),
    })
}

fn entry_name<'a>(
    parent: Guid,
    child_name: &'a [u8],
    layer: &'a [u8],
) -> Result<EntryName<'a>, Status> {
    Ok(EntryName { parent, child_name: text(child_name)?, layer: text(layer)? })
}

fn value_name_of<'a>(
    guid: Guid,
    value_name: &'a [u8],
    layer: &'a [u8],
) -> Result<ValueName<'a>, Status> {
    Ok(ValueName { guid, value_name: text(value_name)?, layer: text(layer)? })
}

fn text(bytes: &[u8]) -> Result<&str, Status> {
    str::from_utf8(bytes).map_err(|_| Status::Invalid)
}

/// The transaction that header and payload agree on.
fn named(header: Option<TransactionId>, payload: u64) -> Result<TransactionId, Status> {
    header.filter(|id| id.0 == payload && payload != 0).ok_or(Status::Invalid)
}
