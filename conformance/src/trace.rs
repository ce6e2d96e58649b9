//! The trace of a run: a 128-bit hash over all that happened, in order, with its time.
//!
//! Two runs of one plan on one build must have the same trace; anything else is a fault of the
//! harness. Nothing may enter the hash that a process-wide counter, an address or a hash seed
//! could change.

use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::Xxh3;

/// The hash so far.
pub struct Trace(Xxh3);

impl Default for Trace {
    fn default() -> Trace {
        Trace(Xxh3::new())
    }
}

impl Trace {
    /// Adds one event: what kind, when, and its bytes.
    pub fn record(&mut self, kind: &str, at: u64, bytes: &[u8]) {
        self.0.update(kind.as_bytes());
        self.0.update(&at.to_le_bytes());
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Adds one event whose content is a value, field by field.
    pub fn record_value(&mut self, kind: &str, at: u64, value: &impl Hash) {
        self.0.update(kind.as_bytes());
        self.0.update(&at.to_le_bytes());
        value.hash(&mut Fields(&mut self.0));
    }

    /// The hash of everything recorded so far.
    pub fn digest(&self) -> u128 {
        self.0.digest128()
    }
}

/// Passes the fields of a value on, integers in little-endian order on every machine.
struct Fields<'a>(&'a mut Xxh3);

impl Hasher for Fields<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn write_u16(&mut self, value: u16) {
        self.write(&value.to_le_bytes());
    }
    fn write_u32(&mut self, value: u32) {
        self.write(&value.to_le_bytes());
    }
    fn write_u64(&mut self, value: u64) {
        self.write(&value.to_le_bytes());
    }
    fn write_i32(&mut self, value: i32) {
        self.write(&value.to_le_bytes());
    }
    fn write_i64(&mut self, value: i64) {
        self.write(&value.to_le_bytes());
    }
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
    fn write_isize(&mut self, value: isize) {
        self.write_i64(value as i64);
    }
    fn finish(&self) -> u64 {
        self.0.digest()
    }
}

/// The hash of many traces, in the order of their seeds.
pub fn combine(traces: impl IntoIterator<Item = u128>) -> u128 {
    let mut all = Xxh3::new();
    for trace in traces {
        all.update(&trace.to_le_bytes());
    }
    all.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(events: &[(&str, u64, &[u8])]) -> u128 {
        let mut trace = Trace::default();
        for (kind, at, bytes) in events {
            trace.record_value(kind, *at, bytes);
        }
        trace.digest()
    }

    #[test]
    fn every_part_of_an_event_changes_the_hash() {
        let all = [
            digest(&[("call", 1, b"ab")]),
            digest(&[("call", 2, b"ab")]),
            digest(&[("answer", 1, b"ab")]),
            digest(&[("call", 1, b"ac")]),
            digest(&[("call", 1, b"a"), ("call", 1, b"b")]),
        ];
        let distinct: std::collections::BTreeSet<u128> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
