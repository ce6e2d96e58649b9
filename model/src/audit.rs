//! Audit events, as what must be emitted in the course of a step.
//!
//! States the payloads of PSD-005 §3.1 ("LCS audit events"). A payload is one msgpack map with string
//! keys; what the text leaves open of a field is a pattern. Knows nothing of how events are stored.

use crate::database::Guid;

/// An event that a step emits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPattern {
    /// The event's name, `LCS_KEY_OPEN_AUDIT` for one.
    pub event: &'static str,
    /// The fields in the order of the text's table, which is the order of emission (AUD-20).
    pub fields: Vec<(&'static str, FieldPattern)>,
    /// Whether the event may be absent (D-95).
    pub optional: bool,
}

/// What a field of an event holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldPattern {
    /// A map, in this order.
    Map(Vec<(&'static str, FieldPattern)>),
    /// An unsigned number.
    Unsigned(u64),
    /// `bin` with these bytes.
    Bytes(Vec<u8>),
    /// `str`.
    Text(String),
    /// `nil`.
    Nil,
    /// `bin(16)`: the GUID of a key of the model, the same one whenever the key is named.
    Key(Guid),
    /// An unsigned number or `nil`: the kernel may know it or not.
    UnsignedOrNil,
    /// `bin(16)` or `nil`.
    GuidOrNil,
    /// Any of these.
    OneOf(Vec<FieldPattern>),
}
