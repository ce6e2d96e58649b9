//! Answers of a source as the text that a script expects; the table is in [`super`].

use std::ops::RangeInclusive;

use registry_model::store::{
    Guid, KeyMetadata, PathEntry, Payload, Registration, Response, Status, TARGET_GUID,
    TARGET_HIDDEN,
};

use super::descriptor::descriptor_word;
use super::print::key_word;
use crate::script::data::typed_words;
use crate::script::token::{quoted, word};
use crate::store_client::names::Names;

/// A request that has no answer yet.
pub const WAITS: &str = "waits";
/// A request whose source went away before it answered.
pub const GONE: &str = "gone";
/// A success that has lists, all of them empty.
const EMPTY: &str = "(empty)";

/// The lines of a response. Times within `clock` are the source's own.
pub fn lines(response: &Response, names: &Names, clock: &RangeInclusive<u64>) -> Vec<String> {
    let printer = Printer { names, clock };
    let lines = match response {
        Response::Failed(status) => vec![status.name().to_owned()],
        Response::Ok(payload) => printer.payload(payload),
    };
    if lines.is_empty() { vec![EMPTY.to_owned()] } else { lines }
}

/// The lines of a start.
pub fn registration_lines(registration: &Registration) -> Vec<String> {
    let hives = registration.hives.iter().map(|hive| format!("hive {}", word(&hive.name)));
    sorted(hives)
        .into_iter()
        .chain([format!("max-sequence {}", registration.max_sequence)])
        .collect()
}

/// Whether an answer is a failure of any kind, or none at all.
pub fn is_failure(lines: &[String]) -> bool {
    let first = lines.first().map_or("", String::as_str);
    first == WAITS || first == GONE || Status::ALL.iter().any(|status| status.name() == first)
}

struct Printer<'a> {
    names: &'a Names,
    clock: &'a RangeInclusive<u64>,
}

impl Printer<'_> {
    fn payload(&self, payload: &Payload) -> Vec<String> {
        match payload {
            Payload::StatusOnly => vec!["ok".to_owned()],
            Payload::Entries { entries, metadata } => {
                let mut lines = self.entries(entries);
                lines.extend(self.keys(metadata));
                lines
            }
            Payload::Children { children, metadata } => {
                let mut children: Vec<_> = children.iter().collect();
                children.sort();
                let mut lines = Vec::new();
                for child in children {
                    lines.push(format!("child {}", word(&child.name)));
                    lines.extend(self.entries(&child.entries));
                }
                lines.extend(self.keys(metadata));
                lines
            }
            Payload::Key { name, parent, metadata } => {
                let record = self.record(metadata);
                let parent = self.key(*parent);
                vec![record, format!("name {}", word(name)), format!("parent {parent}")]
            }
            Payload::Values { entries, blankets } => {
                let values = entries.iter().map(|entry| {
                    let name = value_name(&entry.name);
                    let typed = typed_words(entry.value_type, &entry.data);
                    let (layer, sequence) = (word(&entry.layer), entry.sequence);
                    format!("value {name} {typed} in {layer} at {sequence}")
                });
                let blankets = blankets.iter().map(|blanket| {
                    format!("blanket {} at {}", word(&blanket.layer), blanket.sequence)
                });
                sorted(values).into_iter().chain(sorted(blankets)).collect()
            }
            Payload::Orphans(guids) => {
                sorted(guids.iter().map(|guid| format!("orphan {}", self.key(*guid))))
            }
        }
    }

    fn entries(&self, entries: &[PathEntry]) -> Vec<String> {
        sorted(entries.iter().map(|entry| {
            let target = match entry.target_type {
                TARGET_GUID => self.key(entry.target),
                TARGET_HIDDEN if entry.target == Guid::ZERO => "HIDDEN".to_owned(),
                other => format!("type={other} {}", self.key(entry.target)),
            };
            format!("entry {} {target} at {}", word(&entry.layer), entry.sequence)
        }))
    }

    fn keys(&self, metadata: &[KeyMetadata]) -> Vec<String> {
        sorted(metadata.iter().map(|key| self.record(key)))
    }

    fn record(&self, key: &KeyMetadata) -> String {
        let mut line = format!("key {}", self.key(key.guid));
        line.push_str(&format!(" sd {}", descriptor_word(&key.security_descriptor)));
        for (flag, name) in [(key.volatile_key, "volatile"), (key.symlink, "symlink")] {
            match flag {
                0 => {}
                1 => line.push_str(&format!(" {name}")),
                other => line.push_str(&format!(" {name}={other}")),
            }
        }
        if self.clock.contains(&key.last_write_time) {
            line.push_str(" time clock");
        } else {
            line.push_str(&format!(" time {}", key.last_write_time));
        }
        line
    }

    fn key(&self, guid: Guid) -> String {
        key_word(&self.names.key(guid), self.names.hives())
    }
}

/// A value's name; in quotes if it is the word for all values.
fn value_name(name: &[u8]) -> String {
    if name == b"*" { quoted(name) } else { word(name) }
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}
