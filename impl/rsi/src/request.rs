//! Payloads of requests, both directions (PSD-005 §11.3).

use crate::bytes::{Reader, Writer};
use crate::error::FrameError;
use crate::message::{Operation, Request};

const FIELD_SD: u32 = 1 << 0;
const FIELD_LAST_WRITE_TIME: u32 = 1 << 1;

/// Writes the payload of `request`.
pub fn encode(writer: &mut Writer, request: &Request) {
    match request {
        Request::Lookup { .. }
        | Request::CreateEntry { .. }
        | Request::HideEntry { .. }
        | Request::DeleteEntry { .. }
        | Request::EnumChildren { .. } => encode_path(writer, request),
        Request::CreateKey { .. }
        | Request::ReadKey { .. }
        | Request::WriteKey { .. }
        | Request::DropKey { .. } => encode_key(writer, request),
        Request::QueryValues { .. }
        | Request::SetValue { .. }
        | Request::DeleteValueEntry { .. }
        | Request::SetBlanketTombstone { .. } => encode_value(writer, request),
        Request::BeginTransaction { transaction, mode } => {
            writer.u64(*transaction);
            writer.u32(*mode);
        }
        Request::CommitTransaction { transaction } | Request::AbortTransaction { transaction } => {
            writer.u64(*transaction);
        }
        Request::DeleteLayer { layer } => writer.prefixed(layer),
        Request::Flush { hive_name } => writer.prefixed(hive_name),
    }
}

/// Reads the payload of a request for `operation`; what follows its last field stays unread.
pub fn decode(reader: &mut Reader<'_>, operation: Operation) -> Result<Request, FrameError> {
    match operation {
        Operation::Lookup
        | Operation::CreateEntry
        | Operation::HideEntry
        | Operation::DeleteEntry
        | Operation::EnumChildren => decode_path(reader, operation),
        Operation::CreateKey => Ok(Request::CreateKey {
            guid: reader.guid()?,
            name: reader.prefixed()?,
            parent: reader.guid()?,
            sd: reader.prefixed()?,
            volatile_key: boolean(reader)?,
            symlink: boolean(reader)?,
        }),
        Operation::ReadKey => Ok(Request::ReadKey { guid: reader.guid()? }),
        Operation::WriteKey => decode_write_key(reader),
        Operation::DropKey => Ok(Request::DropKey { guid: reader.guid()? }),
        Operation::QueryValues
        | Operation::SetValue
        | Operation::DeleteValueEntry
        | Operation::SetBlanketTombstone => decode_value(reader, operation),
        Operation::BeginTransaction => {
            Ok(Request::BeginTransaction { transaction: reader.u64()?, mode: reader.u32()? })
        }
        Operation::CommitTransaction => {
            Ok(Request::CommitTransaction { transaction: reader.u64()? })
        }
        Operation::AbortTransaction => Ok(Request::AbortTransaction { transaction: reader.u64()? }),
        Operation::Flush => Ok(Request::Flush { hive_name: reader.prefixed()? }),
        Operation::DeleteLayer => Ok(Request::DeleteLayer { layer: reader.prefixed()? }),
    }
}

fn encode_path(writer: &mut Writer, request: &Request) {
    match request {
        Request::Lookup { parent, child_name } => {
            writer.guid(*parent);
            writer.prefixed(child_name);
        }
        Request::CreateEntry { parent, child_name, layer, child, sequence } => {
            writer.guid(*parent);
            writer.prefixed(child_name);
            writer.prefixed(layer);
            writer.guid(*child);
            writer.u64(*sequence);
        }
        Request::HideEntry { parent, child_name, layer, sequence } => {
            writer.guid(*parent);
            writer.prefixed(child_name);
            writer.prefixed(layer);
            writer.u64(*sequence);
        }
        Request::DeleteEntry { parent, child_name, layer } => {
            writer.guid(*parent);
            writer.prefixed(child_name);
            writer.prefixed(layer);
        }
        Request::EnumChildren { parent } => writer.guid(*parent),
        _ => {}
    }
}

fn encode_key(writer: &mut Writer, request: &Request) {
    match request {
        Request::CreateKey { guid, name, parent, sd, volatile_key, symlink } => {
            writer.guid(*guid);
            writer.prefixed(name);
            writer.guid(*parent);
            writer.prefixed(sd);
            writer.boolean(*volatile_key);
            writer.boolean(*symlink);
        }
        Request::WriteKey { guid, sd, last_write_time, undefined_fields } => {
            let mut mask = undefined_fields & !(FIELD_SD | FIELD_LAST_WRITE_TIME);
            mask |= if sd.is_some() { FIELD_SD } else { 0 };
            mask |= if last_write_time.is_some() { FIELD_LAST_WRITE_TIME } else { 0 };
            writer.guid(*guid);
            writer.u32(mask);
            if let Some(sd) = sd {
                writer.prefixed(sd);
            }
            if let Some(last_write_time) = last_write_time {
                writer.u64(*last_write_time);
            }
        }
        Request::ReadKey { guid } | Request::DropKey { guid } => writer.guid(*guid),
        _ => {}
    }
}

fn encode_value(writer: &mut Writer, request: &Request) {
    match request {
        Request::QueryValues { guid, value_name, query_all } => {
            writer.guid(*guid);
            writer.prefixed(value_name);
            writer.boolean(*query_all);
        }
        Request::SetValue {
            guid,
            value_name,
            layer,
            value_type,
            data,
            sequence,
            expected_sequence,
        } => {
            writer.guid(*guid);
            writer.prefixed(value_name);
            writer.prefixed(layer);
            writer.u32(*value_type);
            writer.prefixed(data);
            writer.u64(*sequence);
            writer.u64(*expected_sequence);
        }
        Request::DeleteValueEntry { guid, value_name, layer } => {
            writer.guid(*guid);
            writer.prefixed(value_name);
            writer.prefixed(layer);
        }
        Request::SetBlanketTombstone { guid, layer, set, sequence } => {
            writer.guid(*guid);
            writer.prefixed(layer);
            writer.boolean(*set);
            writer.u64(*sequence);
        }
        _ => {}
    }
}

fn decode_path(reader: &mut Reader<'_>, operation: Operation) -> Result<Request, FrameError> {
    let parent = reader.guid()?;
    if operation == Operation::EnumChildren {
        return Ok(Request::EnumChildren { parent });
    }
    let child_name = reader.prefixed()?;
    if operation == Operation::Lookup {
        return Ok(Request::Lookup { parent, child_name });
    }
    let layer = reader.prefixed()?;
    match operation {
        Operation::CreateEntry => {
            let child = reader.guid()?;
            let sequence = reader.u64()?;
            Ok(Request::CreateEntry { parent, child_name, layer, child, sequence })
        }
        Operation::HideEntry => {
            Ok(Request::HideEntry { parent, child_name, layer, sequence: reader.u64()? })
        }
        _ => Ok(Request::DeleteEntry { parent, child_name, layer }),
    }
}

fn decode_write_key(reader: &mut Reader<'_>) -> Result<Request, FrameError> {
    let guid = reader.guid()?;
    let mask = reader.u32()?;
    let sd = if mask & FIELD_SD == 0 { None } else { Some(reader.prefixed()?) };
    let last_write_time =
        if mask & FIELD_LAST_WRITE_TIME == 0 { None } else { Some(reader.u64()?) };
    let undefined_fields = mask & !(FIELD_SD | FIELD_LAST_WRITE_TIME);
    Ok(Request::WriteKey { guid, sd, last_write_time, undefined_fields })
}

fn decode_value(reader: &mut Reader<'_>, operation: Operation) -> Result<Request, FrameError> {
    let guid = reader.guid()?;
    if operation == Operation::SetBlanketTombstone {
        return Ok(Request::SetBlanketTombstone {
            guid,
            layer: reader.prefixed()?,
            set: boolean(reader)?,
            sequence: reader.u64()?,
        });
    }
    let value_name = reader.prefixed()?;
    match operation {
        Operation::QueryValues => {
            Ok(Request::QueryValues { guid, value_name, query_all: boolean(reader)? })
        }
        Operation::SetValue => Ok(Request::SetValue {
            guid,
            value_name,
            layer: reader.prefixed()?,
            value_type: reader.u32()?,
            data: reader.prefixed()?,
            sequence: reader.u64()?,
            expected_sequence: reader.u64()?,
        }),
        _ => Ok(Request::DeleteValueEntry { guid, value_name, layer: reader.prefixed()? }),
    }
}

fn boolean(reader: &mut Reader<'_>) -> Result<bool, FrameError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        byte => Err(FrameError::RequestNotBoolean { byte }),
    }
}
