//! Streams by hand, from the tables of PSD-005 §9.1, and back again into words.

use lcs::security::Sid;
use rsi::Guid;
use sha2::{Digest, Sha256};

use super::guid;
use crate::source::root_descriptor;

/// A stream under construction.
#[derive(Clone, Default)]
pub struct Bytes {
    records: Vec<Vec<u8>>,
}

pub fn prefixed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
}

impl Bytes {
    pub fn record(mut self, kind: u16, payload: &[&[u8]]) -> Self {
        let payload = payload.concat();
        let length = (payload.len() + 6) as u32;
        self.records.push([&kind.to_le_bytes()[..], &length.to_le_bytes(), &payload].concat());
        self
    }

    /// HEADER for a root.
    pub fn of(root: u8) -> Self {
        Self::with_version(root, 21)
    }

    pub fn with_version(root: u8, min_reader_version: u32) -> Self {
        Self::default().header(root, min_reader_version)
    }

    pub fn header(self, root: u8, min_reader_version: u32) -> Self {
        let versions = [21_u32.to_le_bytes(), min_reader_version.to_le_bytes()].concat();
        let time = 5_i64.to_le_bytes();
        self.record(1, &[b"PEIOSREG", &versions, &time, &guid(root).0, &prefixed(b"Machine")])
    }

    pub fn layer(self, name: &str, precedence: u32) -> Self {
        self.layer_with(name, precedence, 1, Sid::SYSTEM.as_bytes())
    }

    pub fn layer_with(self, name: &str, precedence: u32, enabled: u8, owner: &[u8]) -> Self {
        let name = prefixed(name.as_bytes());
        self.record(2, &[&name, &precedence.to_le_bytes(), &[enabled], &prefixed(owner)])
    }

    pub fn key(self, key: u8) -> Self {
        self.key_with(key, 0, &root_descriptor())
    }

    pub fn key_with(self, key: u8, flags: u32, sd: &[u8]) -> Self {
        let time = 99_i64.to_le_bytes();
        self.record(3, &[&guid(key).0, &flags.to_le_bytes(), &prefixed(sd), &time])
    }

    /// The null GUID is HIDDEN.
    pub fn entry(self, parent: u8, name: &str, child: u8, layer: &str, sequence: u64) -> Self {
        self.entry_of(guid(parent), name, child, layer, sequence)
    }

    pub fn entry_of(self, parent: Guid, name: &str, child: u8, layer: &str, sequence: u64) -> Self {
        let (name, layer) = (prefixed(name.as_bytes()), prefixed(layer.as_bytes()));
        self.record(4, &[&parent.0, &name, &guid(child).0, &layer, &sequence.to_le_bytes()])
    }

    pub fn value(self, key: u8, name: &str, layer: &str, data: &[u8], sequence: u64) -> Self {
        self.value_with(key, name, layer, abi::value_type::REG_BINARY, data, sequence)
    }

    pub fn value_with(
        self,
        key: u8,
        name: &str,
        layer: &str,
        kind: u32,
        data: &[u8],
        sequence: u64,
    ) -> Self {
        let (name, layer) = (prefixed(name.as_bytes()), prefixed(layer.as_bytes()));
        let (kind, sequence) = (kind.to_le_bytes(), sequence.to_le_bytes());
        self.record(5, &[&guid(key).0, &name, &kind, &prefixed(data), &layer, &sequence])
    }

    pub fn blanket(self, key: u8, layer: &str, sequence: u64) -> Self {
        let layer = prefixed(layer.as_bytes());
        self.record(6, &[&guid(key).0, &layer, &sequence.to_le_bytes()])
    }

    /// The whole stream.
    pub fn end(self) -> Vec<u8> {
        let count = self.records.len() as u64 + 1;
        self.end_with_count(count)
    }

    pub fn end_with_count(self, count: u64) -> Vec<u8> {
        let mut bytes = self.records.concat();
        bytes.extend_from_slice(&0xFF_u16.to_le_bytes());
        bytes.extend_from_slice(&46_u32.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        let checksum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// Records in another order: the one at `from` comes to `to`.
    pub fn moved(mut self, from: usize, to: usize) -> Self {
        let record = self.records.remove(from);
        self.records.insert(to, record);
        self
    }

    /// Where each record ends.
    pub fn ends(&self) -> Vec<usize> {
        let mut end = 0;
        let lengths = self.records.iter().map(Vec::len);
        lengths
            .map(|length| {
                end += length;
                end
            })
            .collect()
    }
}

/// The records of a stream in words, GUIDs by their first byte. The trailer is checked.
pub fn in_words(stream: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        let kind = u16::from_le_bytes(stream[at..at + 2].try_into().unwrap());
        let length = u32::from_le_bytes(stream[at + 2..at + 6].try_into().unwrap()) as usize;
        let mut payload = Payload(&stream[at + 6..at + length]);
        words.push(match kind {
            1 => payload.header(),
            2 => {
                let (name, precedence) = (payload.text(), payload.number());
                let enabled = payload.take(1)[0];
                let owner = Sid::parse(payload.bytes()).unwrap();
                format!("layer {name} {precedence} {enabled} {owner}")
            }
            3 => {
                let (key, flags) = (payload.guid(), payload.number());
                let (sd, time) = (payload.bytes().len(), payload.long());
                format!("key {key} {flags} sd={sd} time={time}")
            }
            4 => {
                let (parent, name, child) = (payload.guid(), payload.text(), payload.guid());
                format!(
                    "entry {parent} {name} -> {child} in {} #{}",
                    payload.text(),
                    payload.long()
                )
            }
            5 => {
                let (key, name, kind) = (payload.guid(), payload.text(), payload.number());
                let data = payload.bytes().to_vec();
                let (layer, sequence) = (payload.text(), payload.long());
                format!("value {key} {name:?} {kind} {data:?} in {layer} #{sequence}")
            }
            6 => format!("blanket {} in {} #{}", payload.guid(), payload.text(), payload.long()),
            0xFF => {
                assert_eq!(payload.long() as usize, words.len() + 1);
                assert_eq!(payload.0, Sha256::digest(&stream[..at + 14]).as_slice());
                payload.0 = &[];
                assert_eq!(at + length, stream.len());
                "trailer".to_owned()
            }
            kind => panic!("record type {kind}"),
        });
        assert!(payload.0.is_empty(), "{words:?}");
        at += length;
    }
    words
}

struct Payload<'a>(&'a [u8]);

impl<'a> Payload<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(length);
        self.0 = rest;
        head
    }

    fn number(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn long(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn guid(&mut self) -> u8 {
        self.take(16)[0]
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = self.number() as usize;
        self.take(length)
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn header(&mut self) -> String {
        assert_eq!(self.take(8), b"PEIOSREG");
        let versions = (self.number(), self.number());
        let time = self.long();
        assert!(time > 0);
        format!("header {versions:?} {} {}", self.guid(), self.text())
    }
}
