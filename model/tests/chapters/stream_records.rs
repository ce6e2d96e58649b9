//! Streams as lists of records, and in words.

use std::collections::BTreeMap;

use registry_model::backup::stream::{HIDDEN, Reader, Record, Writer};
use registry_model::input::WireGuid;

/// The records of a stream, up to its end or its first damage.
pub fn records(bytes: &[u8]) -> Vec<Record> {
    let mut reader = Reader::new(bytes);
    let mut records = Vec::new();
    while let Ok(Some(record)) = reader.read_record() {
        records.push(record);
    }
    records
}

/// A stream of these records.
pub fn stream(records: &[Record]) -> Vec<u8> {
    let mut writer = Writer::default();
    records.iter().for_each(|record| writer.write(record));
    writer.into_bytes()
}

/// The stream with each record changed.
pub fn changed(bytes: &[u8], mut change: impl FnMut(&mut Record)) -> Vec<u8> {
    let mut all = records(bytes);
    all.iter_mut().for_each(&mut change);
    stream(&all)
}

/// A stream in words: GUIDs are letters in the order of their appearance.
pub fn words(bytes: &[u8]) -> String {
    let mut letters = BTreeMap::new();
    let mut letter = move |guid: &WireGuid| -> char {
        if *guid == HIDDEN {
            return '-';
        }
        let next = char::from(b'A' + letters.len() as u8);
        *letters.entry(*guid).or_insert(next)
    };
    let lines = records(bytes).into_iter().map(|record| match record {
        Record::Header(header) => {
            format!("HEADER {} of {}", letter(&header.root), header.hive_name)
        }
        Record::Layer(line) => {
            let owner = line.owner.iter().map(|byte| format!("{byte:x}")).collect::<String>();
            format!("LAYER {} {} enabled={} {owner}", line.name, line.precedence, line.enabled)
        }
        Record::Key(key) => format!("KEY {} flags={}", letter(&key.guid), key.flags),
        Record::PathEntry(line) => {
            let (parent, child) = (letter(&line.parent), letter(&line.child));
            format!("  {parent}\\{} -> {child} in {} @{}", line.name, line.layer, line.sequence)
        }
        Record::Value(line) => {
            let data = String::from_utf8_lossy(&line.data).into_owned();
            let (key, layer) = (letter(&line.key), &line.layer);
            let named = format!("{}={:x}:{data}", line.name, line.value_type);
            format!("  {key}: {named} in {layer} @{}", line.sequence)
        }
        Record::Blanket(line) => {
            format!("  {}: blanket in {} @{}", letter(&line.key), line.layer, line.sequence)
        }
        Record::Trailer => "TRAILER".to_owned(),
        Record::Unknown { record_type, .. } => format!("record {record_type:#x}"),
    });
    lines.map(|line| line + "\n").collect()
}
