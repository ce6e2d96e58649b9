//! The trace of a run: a 128-bit hash over all that happened, in order, with its time.
//!
//! Two runs of one plan on one build must have the same trace; anything else is a fault of the
//! harness. Nothing may enter the hash that a process-wide counter, an address or a hash seed
//! could change.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::Xxh3;

/// Of what an event says in words, this many characters are kept.
const WORDS_LENGTH_MAX: usize = 400;

/// The hash so far.
pub struct Trace {
    hash: Xxh3,
    /// The events themselves, if they are kept.
    events: Option<Vec<TraceEvent>>,
}

/// One event of a trace whose events are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// What kind it is.
    pub kind: String,
    /// When it was, in Unix nanoseconds.
    pub at: u64,
    /// What it was, in words that may be cut short.
    pub what: String,
    /// The hash of the trace up to and with it.
    pub digest: u128,
}

impl Default for Trace {
    fn default() -> Trace {
        Trace { hash: Xxh3::new(), events: None }
    }
}

impl Trace {
    /// A trace that keeps its events.
    pub fn keeping_events() -> Trace {
        Trace { events: Some(Vec::new()), ..Trace::default() }
    }

    /// Adds one event: what kind, when, and its bytes.
    pub fn record(&mut self, kind: &str, at: u64, bytes: &[u8]) {
        self.hash.update(kind.as_bytes());
        self.hash.update(&at.to_le_bytes());
        self.hash.update(&(bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
        self.keep(kind, at, || bytes.escape_ascii().to_string());
    }

    /// Adds one event whose content is a value, field by field.
    pub fn record_value(&mut self, kind: &str, at: u64, value: &(impl Hash + Debug)) {
        self.hash.update(kind.as_bytes());
        self.hash.update(&at.to_le_bytes());
        value.hash(&mut Fields(&mut self.hash));
        self.keep(kind, at, || format!("{value:?}"));
    }

    fn keep(&mut self, kind: &str, at: u64, words: impl FnOnce() -> String) {
        let digest = match &self.events {
            Some(_) => self.digest(),
            None => return,
        };
        let what = words().chars().take(WORDS_LENGTH_MAX).collect();
        let events = self.events.get_or_insert_default();
        events.push(TraceEvent { kind: kind.to_owned(), at, what, digest });
    }

    /// The hash of everything recorded so far.
    pub fn digest(&self) -> u128 {
        self.hash.digest128()
    }

    /// The events, if they were kept.
    pub fn into_events(self) -> Vec<TraceEvent> {
        self.events.unwrap_or_default()
    }
}

/// The first event in which two traces of one plan differ, in words; `None` if they do not.
pub fn first_difference(one: &[TraceEvent], other: &[TraceEvent]) -> Option<String> {
    let in_words = |event: Option<&TraceEvent>| match event {
        Some(TraceEvent { kind, at, what, .. }) => format!("{kind} at {at} ns: {what}"),
        None => "the end".to_owned(),
    };
    let count = one.len().max(other.len());
    let (place, one, other) = (0..count)
        .map(|place| (place, one.get(place), other.get(place)))
        .find(|(_, one, other)| one != other)?;
    Some(format!("event {} is\n  {}\nand then\n  {}", place + 1, in_words(one), in_words(other)))
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
    fn the_first_event_that_differs_is_told_with_its_place_and_time() {
        let events = |last: &[u8]| {
            let mut trace = Trace::keeping_events();
            trace.record("frame", 1, b"ab");
            trace.record_value("answer", 2, &last);
            trace.record("frame", 3, b"c");
            trace.into_events()
        };
        assert_eq!(first_difference(&events(b"x"), &events(b"x")), None);
        let said = first_difference(&events(b"x"), &events(b"y")).expect("they differ");
        expect_test::expect![[r#"
            event 2 is
              answer at 2 ns: [120]
            and then
              answer at 2 ns: [121]"#]]
        .assert_eq(&said);
        let said = first_difference(&events(b"x")[..2], &events(b"x")).expect("one ends");
        assert!(said.contains("event 3 is\n  the end"), "{said}");
    }

    #[test]
    fn events_that_are_kept_leave_the_hash_as_it_is() {
        let digest = |mut trace: Trace| {
            trace.record_value("call", 1, &"ab");
            trace.digest()
        };
        assert_eq!(digest(Trace::default()), digest(Trace::keeping_events()));
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
