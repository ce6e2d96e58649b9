//! Payloads of responses, both directions (PSD-005 §11.3), and what can be said of their content
//! from the message alone (§7.3, D-90).
//!
//! Names, descriptors, types and sequence numbers are for the receiver to judge.

use std::collections::BTreeSet;

use crate::bytes::{Reader, Writer};
use crate::error::{FrameError, PayloadError, ResponseError};
use crate::message::{
    BlanketEntry, Guid, KeyMetadata, Operation, PathEntry, Response, Status, ValueEntry,
};

const STATUS_OK: u32 = 0;
const TARGET_GUID: u8 = 0;
const TARGET_HIDDEN: u8 = 1;

// The least bytes of each element, all of its strings empty.
const PATH_ENTRY_LENGTH_MIN: usize = 4 + 1 + 16 + 8;
const CHILD_LENGTH_MIN: usize = 4 + 4;
const METADATA_LENGTH_MIN: usize = 16 + 4 + 1 + 1 + 8;
const VALUE_ENTRY_LENGTH_MIN: usize = 4 + 4 + 4 + 4 + 8;
const BLANKET_ENTRY_LENGTH_MIN: usize = 4 + 8;
const GUID_LENGTH: usize = 16;

/// Writes the status and what follows it.
pub fn encode(writer: &mut Writer, response: &Response) {
    if let Response::Failed(status) = response {
        writer.u32(status.code());
        return;
    }
    writer.u32(STATUS_OK);
    match response {
        Response::Failed(_) | Response::Done => {}
        Response::Lookup { entries, metadata } => {
            encode_path_entries(writer, entries);
            encode_metadata(writer, metadata);
        }
        Response::EnumChildren { children, metadata } => {
            writer.count(children.len());
            for (name, entries) in children {
                writer.prefixed(name);
                encode_path_entries(writer, entries);
            }
            encode_metadata(writer, metadata);
        }
        Response::ReadKey { name, parent, sd, volatile_key, symlink, last_write_time } => {
            writer.prefixed(name);
            writer.guid(*parent);
            writer.prefixed(sd);
            writer.boolean(*volatile_key);
            writer.boolean(*symlink);
            writer.u64(*last_write_time);
        }
        Response::QueryValues { entries, blankets } => encode_values(writer, entries, blankets),
        Response::DeleteLayer { orphaned } => {
            writer.count(orphaned.len());
            orphaned.iter().for_each(|guid| writer.guid(*guid));
        }
    }
}

/// Reads the whole payload of a response to `operation`.
pub fn decode(reader: &mut Reader<'_>, operation: Operation) -> Result<Response, ResponseError> {
    let code = reader.u32()?;
    if code != STATUS_OK {
        let status = Status::from_code(code).ok_or(PayloadError::UnknownStatus { code })?;
        return if reader.is_at_end() {
            Ok(Response::Failed(status))
        } else {
            Err(PayloadError::TrailingBytes.into())
        };
    }
    let mut judge = Judge::default();
    let response = decode_success(reader, operation, &mut judge)?;
    if !reader.is_at_end() {
        judge.refuse(PayloadError::TrailingBytes);
    }
    match judge.first {
        None => Ok(response),
        Some(error) => Err(error.into()),
    }
}

/// Holds the first fault of the content while the structure is still being read.
#[derive(Default)]
struct Judge {
    first: Option<PayloadError>,
}

impl Judge {
    fn refuse(&mut self, error: PayloadError) {
        self.first.get_or_insert(error);
    }

    fn boolean(&mut self, byte: u8) -> bool {
        if byte > 1 {
            self.refuse(PayloadError::NotBoolean { byte });
        }
        byte == 1
    }

    fn target(&mut self, kind: u8, guid: Guid) -> Option<Guid> {
        match kind {
            TARGET_GUID if guid == Guid::NULL => self.refuse(PayloadError::NullTarget),
            TARGET_GUID => return Some(guid),
            TARGET_HIDDEN if guid != Guid::NULL => self.refuse(PayloadError::HiddenWithGuid),
            TARGET_HIDDEN => {}
            byte => self.refuse(PayloadError::UnknownTargetType { byte }),
        }
        None
    }

    /// One metadata entry for each key that is named, and no other.
    fn metadata<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a PathEntry>,
        metadata: &[KeyMetadata],
    ) {
        let named: BTreeSet<Guid> = entries.filter_map(|entry| entry.target).collect();
        let described: BTreeSet<Guid> = metadata.iter().map(|metadata| metadata.guid).collect();
        if !named.is_subset(&described) {
            self.refuse(PayloadError::MissingMetadata);
        } else if metadata.len() != named.len() {
            self.refuse(PayloadError::SurplusMetadata);
        }
    }
}

fn decode_success(
    reader: &mut Reader<'_>,
    operation: Operation,
    judge: &mut Judge,
) -> Result<Response, FrameError> {
    match operation {
        Operation::Lookup => {
            let entries = decode_path_entries(reader, judge)?;
            let metadata = decode_metadata(reader, judge)?;
            judge.metadata(entries.iter(), &metadata);
            Ok(Response::Lookup { entries, metadata })
        }
        Operation::EnumChildren => {
            let children = reader.array_of(CHILD_LENGTH_MIN, |reader| {
                Ok((reader.prefixed()?, decode_path_entries(reader, judge)?))
            })?;
            let metadata = decode_metadata(reader, judge)?;
            judge.metadata(children.iter().flat_map(|(_, entries)| entries), &metadata);
            Ok(Response::EnumChildren { children, metadata })
        }
        Operation::ReadKey => Ok(Response::ReadKey {
            name: reader.prefixed()?,
            parent: reader.guid()?,
            sd: reader.prefixed()?,
            volatile_key: judge.boolean(reader.u8()?),
            symlink: judge.boolean(reader.u8()?),
            last_write_time: reader.u64()?,
        }),
        Operation::QueryValues => Ok(Response::QueryValues {
            entries: reader.array_of(VALUE_ENTRY_LENGTH_MIN, decode_value_entry)?,
            blankets: reader.array_of(BLANKET_ENTRY_LENGTH_MIN, |reader| {
                Ok(BlanketEntry { layer: reader.prefixed()?, sequence: reader.u64()? })
            })?,
        }),
        Operation::DeleteLayer => {
            Ok(Response::DeleteLayer { orphaned: reader.array_of(GUID_LENGTH, Reader::guid)? })
        }
        Operation::CreateEntry
        | Operation::HideEntry
        | Operation::DeleteEntry
        | Operation::CreateKey
        | Operation::WriteKey
        | Operation::DropKey
        | Operation::SetValue
        | Operation::DeleteValueEntry
        | Operation::SetBlanketTombstone
        | Operation::BeginTransaction
        | Operation::CommitTransaction
        | Operation::AbortTransaction
        | Operation::Flush => Ok(Response::Done),
    }
}

fn encode_path_entries(writer: &mut Writer, entries: &[PathEntry]) {
    writer.count(entries.len());
    for entry in entries {
        writer.prefixed(&entry.layer);
        writer.u8(if entry.target.is_some() { TARGET_GUID } else { TARGET_HIDDEN });
        writer.guid(entry.target.unwrap_or(Guid::NULL));
        writer.u64(entry.sequence);
    }
}

fn decode_path_entries(
    reader: &mut Reader<'_>,
    judge: &mut Judge,
) -> Result<Vec<PathEntry>, FrameError> {
    reader.array_of(PATH_ENTRY_LENGTH_MIN, |reader| {
        let layer = reader.prefixed()?;
        let kind = reader.u8()?;
        let guid = reader.guid()?;
        let sequence = reader.u64()?;
        Ok(PathEntry { layer, target: judge.target(kind, guid), sequence })
    })
}

fn encode_metadata(writer: &mut Writer, metadata: &[KeyMetadata]) {
    writer.count(metadata.len());
    for key in metadata {
        writer.guid(key.guid);
        writer.prefixed(&key.sd);
        writer.boolean(key.volatile_key);
        writer.boolean(key.symlink);
        writer.u64(key.last_write_time);
    }
}

fn decode_metadata(
    reader: &mut Reader<'_>,
    judge: &mut Judge,
) -> Result<Vec<KeyMetadata>, FrameError> {
    reader.array_of(METADATA_LENGTH_MIN, |reader| {
        Ok(KeyMetadata {
            guid: reader.guid()?,
            sd: reader.prefixed()?,
            volatile_key: judge.boolean(reader.u8()?),
            symlink: judge.boolean(reader.u8()?),
            last_write_time: reader.u64()?,
        })
    })
}

fn encode_values(writer: &mut Writer, entries: &[ValueEntry], blankets: &[BlanketEntry]) {
    writer.count(entries.len());
    for entry in entries {
        writer.prefixed(&entry.name);
        writer.prefixed(&entry.layer);
        writer.u32(entry.value_type);
        writer.prefixed(&entry.data);
        writer.u64(entry.sequence);
    }
    writer.count(blankets.len());
    for blanket in blankets {
        writer.prefixed(&blanket.layer);
        writer.u64(blanket.sequence);
    }
}

fn decode_value_entry(reader: &mut Reader<'_>) -> Result<ValueEntry, FrameError> {
    Ok(ValueEntry {
        name: reader.prefixed()?,
        layer: reader.prefixed()?,
        value_type: reader.u32()?,
        data: reader.prefixed()?,
        sequence: reader.u64()?,
    })
}
