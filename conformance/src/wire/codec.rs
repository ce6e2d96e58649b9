//! Messages as bytes and back, for a client of a source (PSD-005 §7.1, §11.3).
//!
//! The typed messages are the model's. Encoding is written from the tables; decoding goes through
//! [`super::frame`], which the monitor reads frames by. Knows no implementation's codec.

use registry_model::store::{
    Blanket, Child, Guid, KeyMetadata, Operation, PathEntry, Payload, Request, Response, Status,
    ValueEntry,
};

use super::frame::{self, RESPONSE_BIT, Success};

/// Length of a response's header in bytes.
const RESPONSE_HEADER_LENGTH: usize = 14;

/// A frame that cannot be read, in words.
pub type Unreadable = String;

/// A request as one message.
pub fn encode_request(request_id: u64, request: &Request) -> Vec<u8> {
    let mut writer = Writer(vec![0; 4]);
    writer.u64(request_id);
    writer.u16(request.op_code());
    writer.u64(request.transaction);
    writer.operation(&request.operation);
    writer.0.extend_from_slice(&request.trailing);
    writer.finish()
}

/// A response as one message. `op_code` is the request's.
pub fn encode_response(request_id: u64, op_code: u16, response: &Response) -> Vec<u8> {
    let mut writer = Writer(vec![0; 4]);
    writer.u64(request_id);
    writer.u16(op_code | RESPONSE_BIT);
    match response {
        Response::Failed(status) => writer.u32(status.code()),
        Response::Ok(payload) => {
            writer.u32(0);
            writer.payload(payload);
        }
    }
    writer.finish()
}

/// The request that a message carries, with its id. A payload that does not fit its op code is
/// [`Operation::Malformed`].
///
/// # Errors
/// A message whose header cannot be read or does not state its length.
pub fn decode_request(bytes: &[u8]) -> Result<(u64, Request), Unreadable> {
    let (header, payload) = frame::split_header(bytes, true)
        .ok_or_else(|| format!("a request of {} bytes", bytes.len()))?;
    require_length(header.total_length, bytes)?;
    let transaction = header.transaction;
    let known = frame::Operation::from_code(header.op_code);
    let parsed = known.and_then(|known| frame::parse_request_and_rest(known, payload).ok());
    let request = match parsed {
        Some((parsed, rest)) => {
            Request { transaction, operation: operation(&parsed), trailing: rest.to_vec() }
        }
        None => {
            let (op_code, payload) = (header.op_code, payload.to_vec());
            Request::within(transaction, Operation::Malformed { op_code, payload })
        }
    };
    Ok((header.request_id, request))
}

/// Whether a request's payload has no table to be read by, or does not fit it.
pub fn is_malformed(request: &Request) -> bool {
    matches!(request.operation, Operation::Malformed { .. })
}

/// The id of the request that a response answers.
///
/// # Errors
/// A message without the header of a response.
pub fn response_id(bytes: &[u8]) -> Result<u64, Unreadable> {
    let header = frame::split_header(bytes, false);
    header.map(|(header, _)| header.request_id).ok_or_else(|| short_response(bytes))
}

/// The response to `request` that a message carries.
///
/// # Errors
/// A message that is no response to it, in words.
pub fn decode_response(request: &Request, bytes: &[u8]) -> Result<Response, Unreadable> {
    let (header, payload) =
        frame::split_header(bytes, false).ok_or_else(|| short_response(bytes))?;
    require_length(header.total_length, bytes)?;
    let expected = request.op_code() | RESPONSE_BIT;
    if header.op_code != expected {
        return Err(format!("op code {:#06x} instead of {expected:#06x}", header.op_code));
    }
    let Some(known) = frame::Operation::from_code(request.op_code()) else {
        return failure_only(payload);
    };
    match frame::parse_response(known, payload)? {
        (_, Some(success)) => Ok(Response::Ok(payload_of(&request.operation, &success))),
        (status, None) => failed(status),
    }
}

/// The response to an op code that has no table: a status that is no success, and nothing else.
fn failure_only(payload: &[u8]) -> Result<Response, Unreadable> {
    match payload.try_into().map(u32::from_le_bytes) {
        Ok(status) => failed(status),
        Err(_) => Err(format!("{} bytes instead of a status", payload.len())),
    }
}

fn failed(status: u32) -> Result<Response, Unreadable> {
    let known = Status::from_code(status).ok_or_else(|| format!("the status {status}"))?;
    Ok(Response::Failed(known))
}

fn short_response(bytes: &[u8]) -> Unreadable {
    format!("a response of {} bytes; a header has {RESPONSE_HEADER_LENGTH}", bytes.len())
}

fn require_length(stated: u32, bytes: &[u8]) -> Result<(), Unreadable> {
    if stated as usize == bytes.len() {
        return Ok(());
    }
    Err(format!("total_len is {stated}, and there are {} bytes", bytes.len()))
}

/// Writes fields one after another.
struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    fn u16(&mut self, number: u16) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn guid(&mut self, guid: Guid) {
        self.0.extend_from_slice(&guid.0);
    }

    /// A string or byte array after its length.
    fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
    }

    /// An array of structures after its count.
    fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Writer, &T)) {
        self.u32(items.len() as u32);
        items.iter().for_each(|one| item(self, one));
    }

    fn finish(mut self) -> Vec<u8> {
        let length = (self.0.len() as u32).to_le_bytes();
        self.0[..4].copy_from_slice(&length);
        self.0
    }

    fn operation(&mut self, operation: &Operation) {
        match operation {
            Operation::Lookup { .. }
            | Operation::CreateEntry { .. }
            | Operation::HideEntry { .. }
            | Operation::DeleteEntry { .. }
            | Operation::EnumChildren { .. } => self.path_operation(operation),
            Operation::CreateKey { .. }
            | Operation::ReadKey { .. }
            | Operation::WriteKey { .. }
            | Operation::DropKey { .. } => self.key_operation(operation),
            Operation::QueryValues { .. }
            | Operation::SetValue { .. }
            | Operation::DeleteValueEntry { .. }
            | Operation::SetBlanketTombstone { .. } => self.value_operation(operation),
            Operation::BeginTransaction { transaction, mode } => {
                self.u64(*transaction);
                self.u32(*mode);
            }
            Operation::CommitTransaction { transaction }
            | Operation::AbortTransaction { transaction } => self.u64(*transaction),
            Operation::Flush { hive_name } => self.bytes(hive_name),
            Operation::DeleteLayer { layer } => self.bytes(layer),
            Operation::Malformed { payload, .. } => self.0.extend_from_slice(payload),
        }
    }

    fn path_operation(&mut self, operation: &Operation) {
        match operation {
            Operation::Lookup { parent, child_name } => {
                self.guid(*parent);
                self.bytes(child_name);
            }
            Operation::CreateEntry { parent, child_name, layer, child, sequence } => {
                self.guid(*parent);
                self.bytes(child_name);
                self.bytes(layer);
                self.guid(*child);
                self.u64(*sequence);
            }
            Operation::HideEntry { parent, child_name, layer, sequence } => {
                self.guid(*parent);
                self.bytes(child_name);
                self.bytes(layer);
                self.u64(*sequence);
            }
            Operation::DeleteEntry { parent, child_name, layer } => {
                self.guid(*parent);
                self.bytes(child_name);
                self.bytes(layer);
            }
            Operation::EnumChildren { parent } => self.guid(*parent),
            _ => {}
        }
    }

    fn key_operation(&mut self, operation: &Operation) {
        match operation {
            Operation::CreateKey {
                guid,
                name,
                parent,
                security_descriptor,
                volatile_key,
                symlink,
            } => {
                self.guid(*guid);
                self.bytes(name);
                self.guid(*parent);
                self.bytes(security_descriptor);
                self.u8(*volatile_key);
                self.u8(*symlink);
            }
            Operation::ReadKey { guid } | Operation::DropKey { guid } => self.guid(*guid),
            Operation::WriteKey {
                guid,
                security_descriptor,
                last_write_time,
                undefined_mask_bits,
            } => {
                let bits = u32::from(security_descriptor.is_some())
                    | u32::from(last_write_time.is_some()) << 1;
                self.guid(*guid);
                self.u32(undefined_mask_bits | bits);
                if let Some(bytes) = security_descriptor {
                    self.bytes(bytes);
                }
                if let Some(time) = last_write_time {
                    self.u64(*time);
                }
            }
            _ => {}
        }
    }

    fn value_operation(&mut self, operation: &Operation) {
        match operation {
            Operation::QueryValues { guid, name, query_all } => {
                self.guid(*guid);
                self.bytes(name);
                self.u8(*query_all);
            }
            Operation::SetValue {
                guid,
                name,
                layer,
                value_type,
                data,
                sequence,
                expected_sequence,
            } => {
                self.guid(*guid);
                self.bytes(name);
                self.bytes(layer);
                self.u32(*value_type);
                self.bytes(data);
                self.u64(*sequence);
                self.u64(*expected_sequence);
            }
            Operation::DeleteValueEntry { guid, name, layer } => {
                self.guid(*guid);
                self.bytes(name);
                self.bytes(layer);
            }
            Operation::SetBlanketTombstone { guid, layer, set, sequence } => {
                self.guid(*guid);
                self.bytes(layer);
                self.u8(*set);
                self.u64(*sequence);
            }
            _ => {}
        }
    }

    fn payload(&mut self, payload: &Payload) {
        match payload {
            Payload::StatusOnly => {}
            Payload::Entries { entries, metadata } => {
                self.list(entries, Writer::path_entry);
                self.list(metadata, Writer::key_metadata);
            }
            Payload::Children { children, metadata } => {
                self.list(children, |writer, child| {
                    writer.bytes(&child.name);
                    writer.list(&child.entries, Writer::path_entry);
                });
                self.list(metadata, Writer::key_metadata);
            }
            Payload::Key { name, parent, metadata } => {
                self.bytes(name);
                self.guid(*parent);
                self.key_record(metadata);
            }
            Payload::Values { entries, blankets } => {
                self.list(entries, |writer, entry| {
                    writer.bytes(&entry.name);
                    writer.bytes(&entry.layer);
                    writer.u32(entry.value_type);
                    writer.bytes(&entry.data);
                    writer.u64(entry.sequence);
                });
                self.list(blankets, |writer, blanket| {
                    writer.bytes(&blanket.layer);
                    writer.u64(blanket.sequence);
                });
            }
            Payload::Orphans(guids) => self.list(guids, |writer, guid| writer.guid(*guid)),
        }
    }

    fn path_entry(&mut self, entry: &PathEntry) {
        self.bytes(&entry.layer);
        self.u8(entry.target_type);
        self.guid(entry.target);
        self.u64(entry.sequence);
    }

    fn key_metadata(&mut self, metadata: &KeyMetadata) {
        self.guid(metadata.guid);
        self.key_record(metadata);
    }

    fn key_record(&mut self, metadata: &KeyMetadata) {
        self.bytes(&metadata.security_descriptor);
        self.u8(metadata.volatile_key);
        self.u8(metadata.symlink);
        self.u64(metadata.last_write_time);
    }
}

/// A parsed request in the model's terms.
fn operation(request: &frame::Request<'_>) -> Operation {
    use frame::Request as Parsed;
    match *request {
        Parsed::Lookup { parent, child_name } => {
            Operation::Lookup { parent: Guid(parent), child_name: child_name.to_vec() }
        }
        Parsed::CreateEntry { parent, child_name, layer, child, sequence } => {
            Operation::CreateEntry {
                parent: Guid(parent),
                child_name: child_name.to_vec(),
                layer: layer.to_vec(),
                child: Guid(child),
                sequence,
            }
        }
        Parsed::HideEntry { parent, child_name, layer, sequence } => Operation::HideEntry {
            parent: Guid(parent),
            child_name: child_name.to_vec(),
            layer: layer.to_vec(),
            sequence,
        },
        Parsed::DeleteEntry { parent, child_name, layer } => Operation::DeleteEntry {
            parent: Guid(parent),
            child_name: child_name.to_vec(),
            layer: layer.to_vec(),
        },
        Parsed::EnumChildren { parent } => Operation::EnumChildren { parent: Guid(parent) },
        Parsed::CreateKey { guid, name, parent, security_descriptor, volatile_key, symlink } => {
            Operation::CreateKey {
                guid: Guid(guid),
                name: name.to_vec(),
                parent: Guid(parent),
                security_descriptor: security_descriptor.to_vec(),
                volatile_key,
                symlink,
            }
        }
        Parsed::ReadKey { guid } => Operation::ReadKey { guid: Guid(guid) },
        Parsed::WriteKey { guid, field_mask, security_descriptor, last_write_time } => {
            Operation::WriteKey {
                guid: Guid(guid),
                security_descriptor: security_descriptor.map(<[u8]>::to_vec),
                last_write_time,
                undefined_mask_bits: field_mask & !3,
            }
        }
        Parsed::DropKey { guid } => Operation::DropKey { guid: Guid(guid) },
        Parsed::Flush { hive_name } => Operation::Flush { hive_name: hive_name.to_vec() },
        Parsed::DeleteLayer { layer } => Operation::DeleteLayer { layer: layer.to_vec() },
        Parsed::BeginTransaction { transaction, mode } => {
            Operation::BeginTransaction { transaction, mode }
        }
        Parsed::CommitTransaction { transaction } => Operation::CommitTransaction { transaction },
        Parsed::AbortTransaction { transaction } => Operation::AbortTransaction { transaction },
        _ => value_operation(request),
    }
}

fn value_operation(request: &frame::Request<'_>) -> Operation {
    use frame::Request as Parsed;
    match *request {
        Parsed::SetValue { guid, name, layer, value_type, data, sequence, expected_sequence } => {
            Operation::SetValue {
                guid: Guid(guid),
                name: name.to_vec(),
                layer: layer.to_vec(),
                value_type,
                data: data.to_vec(),
                sequence,
                expected_sequence,
            }
        }
        Parsed::DeleteValueEntry { guid, name, layer } => Operation::DeleteValueEntry {
            guid: Guid(guid),
            name: name.to_vec(),
            layer: layer.to_vec(),
        },
        Parsed::SetBlanketTombstone { guid, layer, set, sequence } => {
            Operation::SetBlanketTombstone {
                guid: Guid(guid),
                layer: layer.to_vec(),
                set,
                sequence,
            }
        }
        Parsed::QueryValues { guid, name, query_all } => {
            Operation::QueryValues { guid: Guid(guid), name: name.to_vec(), query_all }
        }
        _ => unreachable!("every other request is in `operation`"),
    }
}

/// A parsed success in the model's terms.
fn payload_of(operation: &Operation, success: &Success<'_>) -> Payload {
    match success {
        Success::StatusOnly => Payload::StatusOnly,
        Success::Entries { entries, metadata } => Payload::Entries {
            entries: entries.iter().map(path_entry).collect(),
            metadata: metadata.iter().map(key_metadata).collect(),
        },
        Success::Children { children, metadata } => Payload::Children {
            children: children
                .iter()
                .map(|(name, entries)| Child {
                    name: name.to_vec(),
                    entries: entries.iter().map(path_entry).collect(),
                })
                .collect(),
            metadata: metadata.iter().map(key_metadata).collect(),
        },
        Success::Key { name, parent, metadata } => {
            let guid = match operation {
                Operation::ReadKey { guid } => *guid,
                _ => Guid::ZERO,
            };
            let metadata = KeyMetadata { guid, ..key_metadata(metadata) };
            Payload::Key { name: name.to_vec(), parent: Guid(*parent), metadata }
        }
        Success::Values { entries, blankets } => Payload::Values {
            entries: entries
                .iter()
                .map(|entry| ValueEntry {
                    name: entry.name.to_vec(),
                    layer: entry.layer.to_vec(),
                    value_type: entry.value_type,
                    data: entry.data.to_vec(),
                    sequence: entry.sequence,
                })
                .collect(),
            blankets: blankets
                .iter()
                .map(|(layer, sequence)| Blanket { layer: layer.to_vec(), sequence: *sequence })
                .collect(),
        },
        Success::Orphans(guids) => Payload::Orphans(guids.iter().copied().map(Guid).collect()),
    }
}

fn path_entry(entry: &frame::PathEntry<'_>) -> PathEntry {
    PathEntry {
        layer: entry.layer.to_vec(),
        target_type: entry.target_type,
        target: Guid(entry.target),
        sequence: entry.sequence,
    }
}

fn key_metadata(metadata: &frame::KeyMetadata<'_>) -> KeyMetadata {
    KeyMetadata {
        guid: Guid(metadata.guid),
        security_descriptor: metadata.security_descriptor.to_vec(),
        volatile_key: metadata.volatile_key,
        symlink: metadata.symlink,
        last_write_time: metadata.last_write_time,
    }
}
