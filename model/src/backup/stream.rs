//! The backup format: a stream read record by record, and written.
//!
//! States PSD-005 §9.1 ("Record types") with the codes and the magic of §11.1, and P-202. Checks the form of
//! each record, the count and the checksum; in which order records may stand is not its business.

use sha2::{Digest, Sha256};

use crate::input::WireGuid;

/// The magic of a HEADER.
pub const MAGIC: [u8; 8] = *b"PEIOSREG";
/// FormatVersion and MinReaderVersion of what is written, and the highest MinReaderVersion that is read
/// (D-101).
pub const FORMAT_VERSION: u32 = 21;
/// Bit 0 of the flags of a KEY.
pub const KEY_VOLATILE: u32 = 0x01;
/// Bit 1 of the flags of a KEY.
pub const KEY_SYMLINK: u32 = 0x02;
/// The ChildGUID of a HIDDEN entry.
pub const HIDDEN: WireGuid = [0; 16];

const HEADER: u16 = 0x01;
const LAYER: u16 = 0x02;
const KEY: u16 = 0x03;
const PATH_ENTRY: u16 = 0x04;
const VALUE: u16 = 0x05;
const BLANKET_TOMBSTONE: u16 = 0x06;
const TRAILER: u16 = 0xFF;

const FRAMING_LENGTH: usize = 6;
const CHECKSUM_LENGTH: usize = 32;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// HEADER.
    Header(Header),
    /// A line of the LAYER manifest.
    Layer(LayerLine),
    /// KEY.
    Key(KeyObject),
    /// PATH_ENTRY.
    PathEntry(PathLine),
    /// VALUE.
    Value(ValueLine),
    /// BLANKET_TOMBSTONE.
    Blanket(BlanketLine),
    /// TRAILER, whose count and checksum are right.
    Trailer,
    /// A record of a type that v0.21 does not have.
    Unknown {
        /// Its type.
        record_type: u16,
        /// Its payload.
        payload: Vec<u8>,
    },
}

/// HEADER.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as in the table of §9.1")]
pub struct Header {
    pub magic: [u8; 8],
    pub format_version: u32,
    pub min_reader_version: u32,
    pub timestamp: i64,
    pub root: WireGuid,
    pub hive_name: String,
}

/// LAYER.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as in the table of §9.1")]
pub struct LayerLine {
    pub name: String,
    pub precedence: u32,
    pub enabled: u8,
    pub owner: Vec<u8>,
}

/// KEY.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as in the table of §9.1")]
pub struct KeyObject {
    pub guid: WireGuid,
    pub flags: u32,
    pub descriptor: Vec<u8>,
    pub last_write_time: i64,
}

/// PATH_ENTRY.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as in the table of §9.1")]
pub struct PathLine {
    pub parent: WireGuid,
    pub name: String,
    pub child: WireGuid,
    pub layer: String,
    pub sequence: u64,
}

/// VALUE.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as in the table of §9.1")]
pub struct ValueLine {
    pub key: WireGuid,
    pub name: String,
    pub value_type: u32,
    pub data: Vec<u8>,
    pub layer: String,
    pub sequence: u64,
}

/// BLANKET_TOMBSTONE.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as in the table of §9.1")]
pub struct BlanketLine {
    pub key: WireGuid,
    pub layer: String,
    pub sequence: u64,
}

/// Why no further record can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The input ends within a record.
    Cut,
    /// A record says that it is shorter than its framing.
    Framing,
    /// A record is not of the form of its type.
    Malformed,
    /// RecordCount is wrong.
    Count,
    /// The checksum is wrong.
    Checksum,
}

/// A stream as it is read, in one pass.
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    count: u64,
    is_at_unknown: bool,
}

impl<'a> Reader<'a> {
    /// A stream from its first byte.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, position: 0, count: 0, is_at_unknown: false }
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Whether the last record, good or damaged, is of a type that v0.21 does not have.
    pub fn is_at_unknown(&self) -> bool {
        self.is_at_unknown
    }

    /// The next record; `None` at the end of the input.
    ///
    /// # Errors
    ///
    /// If the input ends within the record, or the record is malformed.
    pub fn read_record(&mut self) -> Result<Option<Record>, Damage> {
        let rest = &self.bytes[self.position..];
        if rest.is_empty() {
            return Ok(None);
        }
        let mut framing = Fields(rest);
        let record_type = framing.u16().ok_or(Damage::Cut)?;
        let length = framing.u32().ok_or(Damage::Cut)? as usize;
        self.is_at_unknown = !matches!(record_type, HEADER..=BLANKET_TOMBSTONE | TRAILER);
        if length < FRAMING_LENGTH {
            return Err(Damage::Framing);
        }
        let payload = rest.get(FRAMING_LENGTH..length).ok_or(Damage::Cut)?;
        self.position += length;
        self.count += 1;
        if record_type == TRAILER {
            return self.trailer(payload).map(Some);
        }
        record(record_type, payload).map(Some).ok_or(Damage::Malformed)
    }

    /// TRAILER, which has just been passed.
    fn trailer(&self, payload: &[u8]) -> Result<Record, Damage> {
        let mut fields = Fields(payload);
        let count = fields.u64().ok_or(Damage::Malformed)?;
        let checksum = fields.bytes(CHECKSUM_LENGTH).ok_or(Damage::Malformed)?;
        let covered = &self.bytes[..self.position - CHECKSUM_LENGTH];
        if !fields.is_empty() {
            return Err(Damage::Malformed);
        }
        if count != self.count {
            return Err(Damage::Count);
        }
        let is_right = checksum == &Sha256::digest(covered)[..];
        if is_right { Ok(Record::Trailer) } else { Err(Damage::Checksum) }
    }
}

/// A record of a type other than TRAILER.
fn record(record_type: u16, payload: &[u8]) -> Option<Record> {
    let mut fields = Fields(payload);
    let record = match record_type {
        HEADER => Record::Header(Header {
            magic: fields.array()?,
            format_version: fields.u32()?,
            min_reader_version: fields.u32()?,
            timestamp: fields.i64()?,
            root: fields.array()?,
            hive_name: fields.text()?,
        }),
        LAYER => Record::Layer(LayerLine {
            name: fields.text()?,
            precedence: fields.u32()?,
            enabled: fields.array::<1>()?[0],
            owner: fields.counted()?.to_vec(),
        }),
        KEY => Record::Key(KeyObject {
            guid: fields.array()?,
            flags: fields.u32()?,
            descriptor: fields.counted()?.to_vec(),
            last_write_time: fields.i64()?,
        }),
        PATH_ENTRY => Record::PathEntry(PathLine {
            parent: fields.array()?,
            name: fields.text()?,
            child: fields.array()?,
            layer: fields.text()?,
            sequence: fields.u64()?,
        }),
        VALUE => Record::Value(ValueLine {
            key: fields.array()?,
            name: fields.text()?,
            value_type: fields.u32()?,
            data: fields.counted()?.to_vec(),
            layer: fields.text()?,
            sequence: fields.u64()?,
        }),
        BLANKET_TOMBSTONE => Record::Blanket(BlanketLine {
            key: fields.array()?,
            layer: fields.text()?,
            sequence: fields.u64()?,
        }),
        _ => return Some(Record::Unknown { record_type, payload: payload.to_vec() }),
    };
    fields.is_empty().then_some(record)
}

/// The fields of a record that have not been read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        self.bytes(LENGTH)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// Bytes behind their length.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.bytes(length as usize)
    }

    fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.counted()?).ok().map(str::to_owned)
    }
}

/// A stream as it is written.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
    count: u64,
}

impl Writer {
    /// Writes a record. TRAILER says what has been written so far.
    pub fn write(&mut self, record: &Record) {
        let mut payload = Payload::default();
        let record_type = match record {
            Record::Header(header) => {
                payload.bytes(&header.magic).u32(header.format_version);
                payload.u32(header.min_reader_version).bytes(&header.timestamp.to_le_bytes());
                payload.bytes(&header.root).counted(header.hive_name.as_bytes());
                HEADER
            }
            Record::Layer(line) => {
                payload.counted(line.name.as_bytes()).u32(line.precedence);
                payload.bytes(&[line.enabled]).counted(&line.owner);
                LAYER
            }
            Record::Key(key) => {
                payload.bytes(&key.guid).u32(key.flags).counted(&key.descriptor);
                payload.bytes(&key.last_write_time.to_le_bytes());
                KEY
            }
            Record::PathEntry(line) => {
                payload.bytes(&line.parent).counted(line.name.as_bytes()).bytes(&line.child);
                payload.counted(line.layer.as_bytes()).u64(line.sequence);
                PATH_ENTRY
            }
            Record::Value(line) => {
                payload.bytes(&line.key).counted(line.name.as_bytes()).u32(line.value_type);
                payload.counted(&line.data).counted(line.layer.as_bytes()).u64(line.sequence);
                VALUE
            }
            Record::Blanket(line) => {
                payload.bytes(&line.key).counted(line.layer.as_bytes()).u64(line.sequence);
                BLANKET_TOMBSTONE
            }
            Record::Trailer => return self.trailer(),
            Record::Unknown { record_type, payload: bytes } => {
                payload.bytes(bytes);
                *record_type
            }
        };
        self.framing(record_type, payload.0.len());
        self.bytes.extend(payload.0);
    }

    /// The bytes so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn trailer(&mut self) {
        self.framing(TRAILER, 8 + CHECKSUM_LENGTH);
        self.bytes.extend(self.count.to_le_bytes());
        let checksum = Sha256::digest(&self.bytes);
        self.bytes.extend(&checksum[..]);
    }

    fn framing(&mut self, record_type: u16, payload_length: usize) {
        let length = u32::try_from(FRAMING_LENGTH + payload_length).unwrap_or(u32::MAX);
        self.bytes.extend(record_type.to_le_bytes());
        self.bytes.extend(length.to_le_bytes());
        self.count += 1;
    }
}

/// The payload of a record under construction.
#[derive(Default)]
struct Payload(Vec<u8>);

impl Payload {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Payload {
        self.0.extend(bytes);
        self
    }

    fn u32(&mut self, number: u32) -> &mut Payload {
        self.bytes(&number.to_le_bytes())
    }

    fn u64(&mut self, number: u64) -> &mut Payload {
        self.bytes(&number.to_le_bytes())
    }

    fn counted(&mut self, bytes: &[u8]) -> &mut Payload {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).bytes(bytes)
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
