//! The trace of a run: a 128-bit hash over all that happened, in order, with its time.
//!
//! Two runs of one plan on one build must have the same trace; anything else is a fault of the
//! harness. Nothing may enter the hash that a process-wide counter, an address or a hash seed
//! could change.

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

    /// The hash of everything recorded so far.
    pub fn digest(&self) -> u128 {
        self.0.digest128()
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
