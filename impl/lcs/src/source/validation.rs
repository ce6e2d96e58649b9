//! What the kernel checks of every response before it is used (PSD-005 §7.3, §3.1; D-34, D-35,
//! D-90).
//!
//! Only the response and its request are looked at, and how long names may be for whoever asked
//! (P-40). Equal sequences that tie for a winner are for whoever resolves. A malformed descriptor fails the operation of a caller that gets
//! it; where the kernel reads for itself, it counts only for the key that it is of (§2.6, P-75).

use abi::value_type::{REG_TOMBSTONE, is_user_visible};
use rsi::{Guid, Operation, PathEntry, PayloadError, Request, RequestId, Response, ValueEntry};

use super::dispatch::Inquiry;
use crate::audit::ValidationClass;
use crate::name::FoldedName;
use crate::security::{MalformedDescriptor, SecurityDescriptor};

/// Content of a response that no honest source sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The codec found it.
    Payload(PayloadError),
    /// A child's or key's name that no key can have.
    KeyName,
    /// A layer's name that no layer can have.
    LayerName,
    /// A value's name that no value can have, or that was not asked for.
    ValueName,
    /// An unknown type code.
    ValueType,
    /// A tombstone with data.
    TombstoneData,
    /// A descriptor that may not be used.
    SecurityDescriptor {
        /// The key it is of.
        guid: Guid,
        /// What is wrong with it.
        error: MalformedDescriptor,
    },
    /// A sequence number that has not been given out.
    FutureSequence {
        /// The number.
        sequence: u64,
    },
    /// An orphan without identity.
    NullOrphan,
}

/// What becomes of a descriptor that may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descriptors {
    /// It makes the whole response malformed: for an operation of a caller (PSD-005 §7.3).
    Checked,
    /// It is handed out: to a reader that judges those that it uses, one by one (`LAYER-50`, P-75).
    LeftToReader,
}

/// A refused response, for the audit record (PSD-005 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedResponse {
    /// The request it answers.
    pub id: RequestId,
    /// What was asked.
    pub operation: Operation,
    /// The key concerned, where the request or the fault names one.
    pub key: Option<Guid>,
    /// Which of the source's hives that key is in, where the asker knows it.
    pub hive_index: Option<usize>,
    /// What is wrong.
    pub malformed: Malformed,
}

impl Malformed {
    /// The class that an audit record names; none for what §3.1 has no class for (D-95).
    #[must_use]
    pub const fn validation_class(&self) -> Option<ValidationClass> {
        match self {
            Self::SecurityDescriptor { .. } => Some(ValidationClass::SecurityDescriptor),
            Self::FutureSequence { .. } => Some(ValidationClass::FutureSequence),
            _ => None,
        }
    }
}

impl MalformedResponse {
    pub(super) fn new(
        id: RequestId,
        request: &Request,
        hive_index: Option<usize>,
        malformed: Malformed,
    ) -> Self {
        let key = match malformed {
            Malformed::SecurityDescriptor { guid, .. } => Some(guid),
            _ => key_of(request),
        };
        Self { id, operation: request.operation(), key, hive_index, malformed }
    }
}

/// What names and sequence numbers are held against.
#[derive(Clone, Copy)]
struct Limits {
    next_sequence: u64,
    name_length_max: usize,
}

/// Checks the content of `response` to `request`, where `next_sequence` has not been given out.
pub(super) fn validate(
    request: &Request,
    response: &Response,
    inquiry: Inquiry,
    next_sequence: u64,
) -> Result<(), Malformed> {
    let limits = Limits { next_sequence, name_length_max: inquiry.name_length_max };
    check_but_descriptors(request, response, limits)?;
    match inquiry.descriptors {
        Descriptors::Checked => check_descriptors(request, response),
        Descriptors::LeftToReader => Ok(()),
    }
}

fn check_descriptors(request: &Request, response: &Response) -> Result<(), Malformed> {
    match response {
        Response::Lookup { metadata, .. } | Response::EnumChildren { metadata, .. } => {
            metadata.iter().try_for_each(|key| check_descriptor(key.guid, &key.sd))
        }
        Response::ReadKey { sd, .. } => check_descriptor(key_of(request).unwrap_or_default(), sd),
        Response::Failed(_)
        | Response::Done
        | Response::QueryValues { .. }
        | Response::DeleteLayer { .. } => Ok(()),
    }
}

fn check_but_descriptors(
    request: &Request,
    response: &Response,
    limits: Limits,
) -> Result<(), Malformed> {
    match response {
        Response::Failed(_) | Response::Done => Ok(()),
        Response::Lookup { entries, .. } => check_entries(entries, limits),
        Response::EnumChildren { children, .. } => {
            children.iter().try_for_each(|(name, entries)| {
                check_key_name(name, limits)?;
                check_entries(entries, limits)
            })
        }
        // The name of a record informs; the path entry has the one that counts (KEY-23, P-40).
        Response::ReadKey { .. } => Ok(()),
        Response::QueryValues { entries, blankets } => {
            for entry in entries {
                check_value(request, entry, limits)?;
            }
            blankets.iter().try_for_each(|blanket| {
                check_layer_name(&blanket.layer, limits)?;
                check_sequence(blanket.sequence, limits)
            })
        }
        Response::DeleteLayer { orphaned } if orphaned.contains(&Guid::NULL) => {
            Err(Malformed::NullOrphan)
        }
        Response::DeleteLayer { .. } => Ok(()),
    }
}

fn check_entries(entries: &[PathEntry], limits: Limits) -> Result<(), Malformed> {
    entries.iter().try_for_each(|entry| {
        check_layer_name(&entry.layer, limits)?;
        check_sequence(entry.sequence, limits)
    })
}

fn check_value(request: &Request, entry: &ValueEntry, limits: Limits) -> Result<(), Malformed> {
    let name = check_value_name(&entry.name, limits)?;
    if let Request::QueryValues { value_name, query_all: false, .. } = request
        && entry.name != *value_name
        && FoldedName::new(name) != FoldedName::new(&String::from_utf8_lossy(value_name))
    {
        return Err(Malformed::ValueName);
    }
    check_layer_name(&entry.layer, limits)?;
    match entry.value_type {
        REG_TOMBSTONE if !entry.data.is_empty() => return Err(Malformed::TombstoneData),
        REG_TOMBSTONE => {}
        code if is_user_visible(code) => {}
        _ => return Err(Malformed::ValueType),
    }
    check_sequence(entry.sequence, limits)
}

fn check_descriptor(guid: Guid, sd: &[u8]) -> Result<(), Malformed> {
    SecurityDescriptor::parse(sd)
        .map(|_| ())
        .map_err(|error| Malformed::SecurityDescriptor { guid, error })
}

const fn check_sequence(sequence: u64, limits: Limits) -> Result<(), Malformed> {
    if sequence < limits.next_sequence {
        Ok(())
    } else {
        Err(Malformed::FutureSequence { sequence })
    }
}

fn check_key_name(name: &[u8], limits: Limits) -> Result<(), Malformed> {
    if is_component(name, limits) { Ok(()) } else { Err(Malformed::KeyName) }
}

fn check_layer_name(name: &[u8], limits: Limits) -> Result<(), Malformed> {
    if is_component(name, limits) { Ok(()) } else { Err(Malformed::LayerName) }
}

/// A value's name may be empty and may hold separators (PSD-005 §2.5).
fn check_value_name(name: &[u8], limits: Limits) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(name).map_err(|_| Malformed::ValueName)?;
    if name.contains(&0) || name.len() > limits.name_length_max {
        return Err(Malformed::ValueName);
    }
    Ok(text)
}

/// Whether these bytes can be one component of a path (PSD-005 §2.3, D-05).
fn is_component(name: &[u8], limits: Limits) -> bool {
    (1..=limits.name_length_max).contains(&name.len())
        && !name.iter().any(|byte| matches!(byte, 0 | b'\\' | b'/'))
        && std::str::from_utf8(name).is_ok()
}

const fn key_of(request: &Request) -> Option<Guid> {
    match request {
        Request::Lookup { parent: guid, .. }
        | Request::CreateEntry { parent: guid, .. }
        | Request::HideEntry { parent: guid, .. }
        | Request::DeleteEntry { parent: guid, .. }
        | Request::EnumChildren { parent: guid }
        | Request::CreateKey { guid, .. }
        | Request::ReadKey { guid }
        | Request::WriteKey { guid, .. }
        | Request::DropKey { guid }
        | Request::QueryValues { guid, .. }
        | Request::SetValue { guid, .. }
        | Request::DeleteValueEntry { guid, .. }
        | Request::SetBlanketTombstone { guid, .. } => Some(*guid),
        Request::BeginTransaction { .. }
        | Request::CommitTransaction { .. }
        | Request::AbortTransaction { .. }
        | Request::DeleteLayer { .. }
        | Request::Flush { .. } => None,
    }
}
