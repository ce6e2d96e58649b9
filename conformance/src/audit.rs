//! Audit events as a target emits them: read, compared with the model's patterns, and in words.
//!
//! States the encoding of PSD-005 §3.1 ("LCS audit events"): one msgpack map with string keys,
//! fields in the order of the text's tables (AUD-18 to AUD-21). What decides whether an event is due
//! is the model's.

mod matching;
mod msgpack;
mod words;

pub(crate) use matching::{Names, TooManyWays, admits, admits_in_any_order};
pub(crate) use words::{pattern_words, record_words};

/// An event as the target emitted it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuditRecord {
    /// The event's name.
    pub event: String,
    /// The payload.
    pub payload: Vec<u8>,
}
