//! The backup format: records as values, and as bytes on their way out (PSD-005 §9.1, §11.1;
//! `BAK-18`..`BAK-45`, D-101, D-102). Reading them back is in [`super::reader`].

use rsi::{BlanketEntry, Guid, KeyMetadata, PathEntry, ValueEntry};
use sha2::{Digest, Sha256};

/// First bytes of every backup.
pub const MAGIC: [u8; 8] = *b"PEIOSREG";
/// The version that is written, and the highest that is read.
pub const VERSION: u32 = 21;
/// Bytes of the framing: type and length.
pub const FRAME_LENGTH: usize = 6;
/// Bytes of the checksum.
pub const CHECKSUM_LENGTH: usize = 32;

/// Flags of a KEY record.
pub mod key_flag {
    /// The key is volatile.
    pub const VOLATILE: u32 = 1 << 0;
    /// The key is a symlink.
    pub const SYMLINK: u32 = 1 << 1;
}

/// Record types.
pub mod record_type {
    /// What the backup is of.
    pub const HEADER: u16 = 0x01;
    /// A line of the manifest.
    pub const LAYER: u16 = 0x02;
    /// A key.
    pub const KEY: u16 = 0x03;
    /// A path entry.
    pub const PATH_ENTRY: u16 = 0x04;
    /// A value entry.
    pub const VALUE: u16 = 0x05;
    /// A blanket tombstone.
    pub const BLANKET_TOMBSTONE: u16 = 0x06;
    /// Count and checksum.
    pub const TRAILER: u16 = 0xFF;
}

/// HEADER, as far as anybody reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The lowest version that can read the stream.
    pub min_reader_version: u32,
    /// What the stream calls its root.
    pub root: Guid,
}

/// LAYER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRecord {
    /// Name.
    pub name: Vec<u8>,
    /// Precedence when the backup was taken.
    pub precedence: u32,
    /// 0 or 1 in a stream that is well-formed.
    pub enabled: u8,
    /// A binary SID.
    pub owner: Vec<u8>,
}

/// PATH_ENTRY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRecord {
    /// The key above.
    pub parent: Guid,
    /// Name.
    pub name: Vec<u8>,
    /// Layer, key and sequence number.
    pub entry: PathEntry,
}

/// KEY, as it stands in a stream: nothing of it is judged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The key.
    pub guid: Guid,
    /// `key_flag`s, and perhaps others.
    pub flags: u32,
    /// Its descriptor.
    pub sd: Vec<u8>,
    /// Its last write time, Unix nanoseconds.
    pub last_write_time: u64,
}

/// A record that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// HEADER.
    Header(Header),
    /// LAYER.
    Layer(LayerRecord),
    /// KEY.
    Key(KeyRecord),
    /// PATH_ENTRY.
    PathEntry(PathRecord),
    /// VALUE, with its key.
    Value(Guid, ValueEntry),
    /// BLANKET_TOMBSTONE, with its key.
    Blanket(Guid, BlanketEntry),
    /// TRAILER. Count and checksum are right.
    Trailer,
}

/// Records on their way out: the bytes that nobody has taken yet, and what the trailer will say.
#[derive(Default)]
pub struct Encoder {
    bytes: Vec<u8>,
    hash: Sha256,
    records: u64,
}

impl Encoder {
    /// Bytes that wait to be written.
    pub fn pending(&self) -> &[u8] {
        &self.bytes
    }

    /// They have been written.
    pub fn clear(&mut self) {
        self.hash.update(&self.bytes);
        self.bytes.clear();
    }

    /// HEADER, first of all. `timestamp` is in Unix nanoseconds.
    pub fn header(&mut self, timestamp: u64, root: Guid, hive_name: &str) {
        self.record(record_type::HEADER, |out| {
            out.extend_from_slice(&MAGIC);
            number(out, VERSION);
            number(out, VERSION);
            out.extend_from_slice(&timestamp.to_le_bytes());
            out.extend_from_slice(&root.0);
            prefixed(out, hive_name.as_bytes());
        });
    }

    /// LAYER.
    pub fn layer(&mut self, layer: &LayerRecord) {
        self.record(record_type::LAYER, |out| {
            prefixed(out, &layer.name);
            number(out, layer.precedence);
            out.push(layer.enabled);
            prefixed(out, &layer.owner);
        });
    }

    /// KEY.
    pub fn key(&mut self, key: &KeyMetadata) {
        self.record(record_type::KEY, |out| {
            let volatile = if key.volatile_key { key_flag::VOLATILE } else { 0 };
            let symlink = if key.symlink { key_flag::SYMLINK } else { 0 };
            out.extend_from_slice(&key.guid.0);
            number(out, volatile | symlink);
            prefixed(out, &key.sd);
            out.extend_from_slice(&key.last_write_time.to_le_bytes());
        });
    }

    /// PATH_ENTRY; HIDDEN is the null GUID.
    pub fn path_entry(&mut self, parent: Guid, name: &[u8], entry: &PathEntry) {
        self.record(record_type::PATH_ENTRY, |out| {
            out.extend_from_slice(&parent.0);
            prefixed(out, name);
            out.extend_from_slice(&entry.target.unwrap_or(Guid::NULL).0);
            prefixed(out, &entry.layer);
            out.extend_from_slice(&entry.sequence.to_le_bytes());
        });
    }

    /// VALUE.
    pub fn value(&mut self, key: Guid, entry: &ValueEntry) {
        self.record(record_type::VALUE, |out| {
            out.extend_from_slice(&key.0);
            prefixed(out, &entry.name);
            number(out, entry.value_type);
            prefixed(out, &entry.data);
            prefixed(out, &entry.layer);
            out.extend_from_slice(&entry.sequence.to_le_bytes());
        });
    }

    /// BLANKET_TOMBSTONE.
    pub fn blanket(&mut self, key: Guid, entry: &BlanketEntry) {
        self.record(record_type::BLANKET_TOMBSTONE, |out| {
            out.extend_from_slice(&key.0);
            prefixed(out, &entry.layer);
            out.extend_from_slice(&entry.sequence.to_le_bytes());
        });
    }

    /// TRAILER, behind everything. Its own count is hashed, its checksum is not.
    pub fn trailer(&mut self) {
        let records = self.records + 1;
        self.record(record_type::TRAILER, |out| {
            out.extend_from_slice(&records.to_le_bytes());
            out.extend_from_slice(&[0; CHECKSUM_LENGTH]);
        });
        let end = self.bytes.len() - CHECKSUM_LENGTH;
        self.bytes.truncate(end);
        self.hash.update(&self.bytes);
        let checksum = std::mem::take(&mut self.hash).finalize();
        self.bytes.extend_from_slice(&checksum);
    }

    fn record(&mut self, kind: u16, payload: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        self.bytes.extend_from_slice(&[0; FRAME_LENGTH - 2]);
        payload(&mut self.bytes);
        // No response can hold what would not fit: its own length has 32 bits too.
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[start + 2..start + FRAME_LENGTH].copy_from_slice(&length.to_le_bytes());
        self.records += 1;
    }
}

fn number(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
}
