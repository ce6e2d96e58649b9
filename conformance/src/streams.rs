//! Streams of a plan: the bytes that backups have written and restores will read, by name.
//!
//! A stream can be made by hand, record by record, and damaged. Knows the format of PSD-005 §9.1 from
//! the model, and nothing of calls (`expand::streams`).

use std::collections::BTreeMap;

use registry_model::backup::stream::{
    BlanketLine, FORMAT_VERSION, HIDDEN, Header, KeyObject, LayerLine, MAGIC, PathLine, Reader,
    Record, ValueLine, Writer,
};
use registry_model::input::WireGuid;
use registry_model::security::Sid;
use sha2::{Digest, Sha256};

use crate::plan::Text;

/// The bytes of each stream.
pub(crate) type Streams = BTreeMap<String, Vec<u8>>;

/// Length of what stands before the payload of a record.
const FRAMING_LENGTH: usize = 6;
/// The type of a TRAILER.
const TRAILER: u16 = 0xFF;
/// Length of a TRAILER with its framing.
const TRAILER_LENGTH: u32 = 46;

/// A key in a stream that is made by hand: a number that stands for a GUID, 0 for the one that is all
/// zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedGuid(pub u8);

impl PlannedGuid {
    fn bytes(self) -> WireGuid {
        [self.0; 16]
    }
}

/// A record that is put behind a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedRecord {
    /// HEADER.
    Header {
        /// The key that the backup was taken of.
        root: PlannedGuid,
        /// MinReaderVersion.
        reader: u32,
        /// Whether the magic is right.
        is_magic: bool,
    },
    /// LAYER.
    Layer {
        /// Its name.
        name: Text,
        /// Its precedence.
        precedence: u32,
        /// Whether it is enabled: 0 or 1 where it is sound.
        enabled: u8,
        /// Its owner; `None` for bytes that are no SID.
        owner: Option<Sid>,
    },
    /// KEY.
    Key {
        /// The key.
        key: PlannedGuid,
        /// Its flags.
        flags: u32,
        /// Its SD.
        descriptor: Vec<u8>,
        /// Its last write time in nanoseconds since the Unix epoch.
        last_write_time: u64,
    },
    /// PATH_ENTRY.
    Path {
        /// The parent.
        parent: PlannedGuid,
        /// The name.
        name: Text,
        /// The key, 0 for HIDDEN.
        child: PlannedGuid,
        /// The layer.
        layer: Text,
        /// The sequence number.
        sequence: u64,
    },
    /// VALUE.
    Value {
        /// The key.
        key: PlannedGuid,
        /// The name.
        name: Text,
        /// The type code.
        value_type: u32,
        /// The data.
        data: Vec<u8>,
        /// The layer.
        layer: Text,
        /// The sequence number.
        sequence: u64,
    },
    /// BLANKET_TOMBSTONE.
    Blanket {
        /// The key.
        key: PlannedGuid,
        /// The layer.
        layer: Text,
        /// The sequence number.
        sequence: u64,
    },
    /// A record of any type.
    Other {
        /// The type.
        record_type: u16,
        /// The payload.
        payload: Vec<u8>,
    },
    /// TRAILER, with the count and the checksum of what is there.
    Trailer,
}

/// What is done to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// So many bytes are lost at its end.
    Drop(u32),
    /// The byte at this place, counted round and round, has its bits turned over.
    Flip(u32),
    /// Bytes come behind it.
    Add(Vec<u8>),
    /// The record at this place, counted round and round, is not there.
    Remove(u32),
    /// The record is there twice.
    Repeat(u32),
    /// Two records have each other's places.
    Swap(u32, u32),
}

/// Puts a record behind a stream.
pub(crate) fn append(stream: &mut Vec<u8>, record: &PlannedRecord) {
    if *record == PlannedRecord::Trailer {
        return seal(stream);
    }
    let mut writer = Writer::default();
    writer.write(&wire_record(record));
    stream.extend(writer.into_bytes());
}

fn wire_record(record: &PlannedRecord) -> Record {
    let text = |text: &Text| String::from_utf8_lossy(&text.0).into_owned();
    match record {
        PlannedRecord::Header { root, reader, is_magic } => Record::Header(Header {
            magic: if *is_magic { MAGIC } else { [0; 8] },
            format_version: FORMAT_VERSION,
            min_reader_version: *reader,
            timestamp: 0,
            root: root.bytes(),
            hive_name: "Machine".to_owned(),
        }),
        PlannedRecord::Layer { name, precedence, enabled, owner } => Record::Layer(LayerLine {
            name: text(name),
            precedence: *precedence,
            enabled: *enabled,
            owner: owner.as_ref().map_or_else(|| vec![0xFF; 4], |owner| owner.0.clone()),
        }),
        PlannedRecord::Key { key, flags, descriptor, last_write_time } => Record::Key(KeyObject {
            guid: key.bytes(),
            flags: *flags,
            descriptor: descriptor.clone(),
            last_write_time: i64::from_le_bytes(last_write_time.to_le_bytes()),
        }),
        PlannedRecord::Path { parent, name, child, layer, sequence } => {
            Record::PathEntry(PathLine {
                parent: parent.bytes(),
                name: text(name),
                child: child.bytes(),
                layer: text(layer),
                sequence: *sequence,
            })
        }
        PlannedRecord::Value { key, name, value_type, data, layer, sequence } => {
            Record::Value(ValueLine {
                key: key.bytes(),
                name: text(name),
                value_type: *value_type,
                data: data.clone(),
                layer: text(layer),
                sequence: *sequence,
            })
        }
        PlannedRecord::Blanket { key, layer, sequence } => Record::Blanket(BlanketLine {
            key: key.bytes(),
            layer: text(layer),
            sequence: *sequence,
        }),
        PlannedRecord::Other { record_type, payload } => {
            Record::Unknown { record_type: *record_type, payload: payload.clone() }
        }
        PlannedRecord::Trailer => Record::Trailer,
    }
}

/// Damages a stream. Sealed, it has a TRAILER that fits what is there then.
pub(crate) fn damage(stream: &mut Vec<u8>, damage: &Damage, is_sealed: bool) {
    let mut records = split(stream);
    let place = |index: u32, count: usize| (count > 0).then(|| index as usize % count.max(1));
    match damage {
        Damage::Drop(count) => {
            let kept = stream.len().saturating_sub(*count as usize);
            stream.truncate(kept);
        }
        Damage::Flip(offset) => {
            if let Some(place) = place(*offset, stream.len()) {
                stream[place] ^= 0xFF;
            }
        }
        Damage::Add(bytes) => stream.extend(bytes),
        Damage::Remove(index) => {
            if let Some(place) = place(*index, records.len()) {
                records.remove(place);
            }
            *stream = records.concat();
        }
        Damage::Repeat(index) => {
            if let Some(place) = place(*index, records.len()) {
                records.insert(place, records[place].clone());
            }
            *stream = records.concat();
        }
        Damage::Swap(left, right) => {
            let places = (place(*left, records.len()), place(*right, records.len()));
            if let (Some(left), Some(right)) = places {
                records.swap(left, right);
            }
            *stream = records.concat();
        }
    }
    if is_sealed {
        let mut records = split(stream);
        records.retain(|record| record.get(..2) != Some(&TRAILER.to_le_bytes()[..]));
        *stream = records.concat();
        seal(stream);
    }
}

/// Puts a TRAILER behind a stream that fits it.
fn seal(stream: &mut Vec<u8>) {
    let count = split(stream).len() as u64 + 1;
    stream.extend(TRAILER.to_le_bytes());
    stream.extend(TRAILER_LENGTH.to_le_bytes());
    stream.extend(count.to_le_bytes());
    let checksum = Sha256::digest(&*stream);
    stream.extend(&checksum[..]);
}

/// The records of a stream as they are framed; what is framed wrongly is one piece.
fn split(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let length = rest
            .get(2..FRAMING_LENGTH)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_le_bytes) as usize;
        let is_whole = length >= FRAMING_LENGTH && length <= rest.len();
        let (record, behind) = rest.split_at(if is_whole { length } else { rest.len() });
        records.push(record.to_vec());
        rest = behind;
    }
    records
}

/// The records of a stream in words, one a line. Keys have numbers in the order in which they are named;
/// times and sequence numbers stay out.
pub fn lines(stream: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(stream);
    let mut names = Names::default();
    let mut lines = Vec::new();
    // Every record takes some bytes, so the loop ends with them.
    loop {
        match reader.read_record() {
            Ok(Some(record)) => lines.push(names.line(&record)),
            Ok(None) => return lines,
            Err(damage) => {
                lines.push(format!("{damage:?} at {}", reader.position()));
                return lines;
            }
        }
    }
}

/// The numbers of keys.
#[derive(Default)]
struct Names(BTreeMap<WireGuid, usize>);

impl Names {
    fn of(&mut self, guid: WireGuid) -> usize {
        if guid == HIDDEN {
            return 0;
        }
        let next = self.0.len() + 1;
        *self.0.entry(guid).or_insert(next)
    }

    fn line(&mut self, record: &Record) -> String {
        let word = |text: &str| crate::script::word(text.as_bytes());
        match record {
            Record::Header(header) => {
                format!("header {} {}", self.of(header.root), word(&header.hive_name))
            }
            Record::Layer(layer) => {
                let (name, precedence, enabled) = (&layer.name, layer.precedence, layer.enabled);
                format!("layer {} precedence={precedence} enabled={enabled}", word(name))
            }
            Record::Key(key) => format!("key {} flags={}", self.of(key.guid), key.flags),
            Record::PathEntry(line) => {
                let (parent, child) = (self.of(line.parent), self.of(line.child));
                format!("path {parent} {} {child} in {}", word(&line.name), word(&line.layer))
            }
            Record::Value(line) => {
                let data = crate::script::typed_words(line.value_type, &line.data);
                let key = self.of(line.key);
                format!("value {key} {} {data} in {}", word(&line.name), word(&line.layer))
            }
            Record::Blanket(line) => {
                format!("blanket {} in {}", self.of(line.key), word(&line.layer))
            }
            Record::Unknown { record_type, payload } => {
                format!("other {record_type:#x} of {} bytes", payload.len())
            }
            Record::Trailer => "trailer".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(records: &[PlannedRecord]) -> Vec<u8> {
        let mut stream = Vec::new();
        records.iter().for_each(|record| append(&mut stream, record));
        stream
    }

    fn sound() -> Vec<u8> {
        made(&[
            PlannedRecord::Header { root: PlannedGuid(1), reader: 21, is_magic: true },
            PlannedRecord::Key {
                key: PlannedGuid(1),
                flags: 0,
                descriptor: Vec::new(),
                last_write_time: 0,
            },
            PlannedRecord::Other { record_type: 0x77, payload: vec![1, 2] },
            PlannedRecord::Trailer,
        ])
    }

    #[test]
    fn a_stream_by_hand_is_read_back() {
        assert_eq!(
            lines(&sound()),
            ["header 1 Machine", "key 1 flags=0", "other 0x77 of 2 bytes", "trailer"]
        );
    }

    #[test]
    fn a_damaged_stream_shows_where() {
        let mut stream = sound();
        damage(&mut stream, &Damage::Flip(30), false);
        assert!(lines(&stream).last().unwrap().starts_with("Checksum at"), "{:?}", lines(&stream));
        let mut stream = sound();
        damage(&mut stream, &Damage::Drop(3), false);
        assert!(lines(&stream).last().unwrap().starts_with("Cut at"), "{:?}", lines(&stream));
    }

    #[test]
    fn a_sealed_stream_is_sound_in_form_whatever_it_has() {
        for harm in [Damage::Remove(1), Damage::Repeat(1), Damage::Swap(1, 2)] {
            let mut stream = sound();
            damage(&mut stream, &harm, true);
            assert_eq!(lines(&stream).last().unwrap(), "trailer", "{harm:?}");
        }
    }
}
