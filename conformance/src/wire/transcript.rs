//! Requests as readable lines, for scripts that say what a call sends.
//!
//! Reads frames as the monitor does and judges nothing. A GUID is shown as the path under which a
//! frame first gave it a name: a root by its hive, any other key by the entry that names it. The
//! text of each operation of PSD-005 §7.2 is that of the table in `script`.

use std::collections::BTreeMap;

use registry_model::input::SourceId;

use super::frame::{self, Guid, Header, Operation, PathEntry, Request, Success};
use crate::describe;
use crate::script::{typed_words, word};
use crate::target::Frame;

/// A request whose answer may name keys.
#[derive(Clone, Debug)]
struct Asked {
    operation: Operation,
    parent: Guid,
    /// The child that was looked up; empty for an enumeration, whose answer has the names.
    child_name: Vec<u8>,
}

/// Transactions by the order in which frames first named them: how a kernel counts is its own affair.
#[derive(Clone, Debug, Default)]
struct Numbering {
    numbers: BTreeMap<u64, u64>,
    last: u64,
}

impl Numbering {
    fn of(&mut self, id: u64) -> u64 {
        let last = &mut self.last;
        *self.numbers.entry(id).or_insert_with(|| {
            *last += 1;
            *last
        })
    }

    /// A kernel that has booted may begin with the same ids again.
    fn ended(&mut self, id: u64) {
        self.numbers.remove(&id);
    }
}

/// The requests of a run, line by line.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    has_several_sources: bool,
    paths: BTreeMap<Guid, String>,
    /// How many keys were named by each path.
    counts: BTreeMap<String, usize>,
    in_flight: BTreeMap<(SourceId, u64), Asked>,
    transactions: Numbering,
    lines: Vec<String>,
}

impl Transcript {
    /// Nothing yet, of a run with so many sources.
    pub fn new(sources: usize) -> Transcript {
        Transcript { has_several_sources: sources > 1, ..Transcript::default() }
    }

    /// A source registered these hives with these root GUIDs.
    pub fn registered(&mut self, hives: &[String], roots: &[[u8; 16]]) {
        for (hive, root) in hives.iter().zip(roots) {
            self.name(*root, hive.clone());
        }
    }

    /// Takes the next frame.
    pub fn observe(&mut self, frame: &Frame) {
        let Some((header, payload)) = frame::split_header(&frame.bytes, frame.is_request) else {
            return self.lines.push(unreadable(frame));
        };
        if !frame.is_request {
            return self.response(frame.source, header.request_id, payload);
        }
        let parsed = Operation::from_code(header.op_code).and_then(|operation| {
            Some((operation, frame::parse_request(operation, payload).ok()?))
        });
        match parsed {
            Some((operation, request)) => self.request(frame.source, &header, operation, &request),
            None => self.lines.push(unreadable(frame)),
        }
    }

    /// The lines since the last time of asking.
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    fn request(
        &mut self,
        source: SourceId,
        header: &Header,
        operation: Operation,
        request: &Request<'_>,
    ) {
        match *request {
            Request::CreateEntry { parent, child_name, child, .. } => {
                self.name_child(parent, child_name, child);
            }
            Request::CreateKey { guid, name, parent, .. } => self.name_child(parent, name, guid),
            Request::Lookup { parent, child_name } => {
                let asked = Asked { operation, parent, child_name: child_name.to_vec() };
                self.in_flight.insert((source, header.request_id), asked);
            }
            Request::EnumChildren { parent } => {
                let asked = Asked { operation, parent, child_name: Vec::new() };
                self.in_flight.insert((source, header.request_id), asked);
            }
            _ => {}
        }
        let number = match header.transaction {
            0 => 0,
            id => self.transactions.of(id),
        };
        let mut line = self.words(request, number);
        if number != 0 && !is_end_or_begin(request) {
            line.push_str(&format!(" transaction={number}"));
        }
        if let Request::AbortTransaction { transaction } = request {
            self.transactions.ended(*transaction);
        }
        if self.has_several_sources {
            line.push_str(&format!(" at source {}", source.0));
        }
        self.lines.push(line);
    }

    fn response(&mut self, source: SourceId, request_id: u64, payload: &[u8]) {
        let Some(asked) = self.in_flight.remove(&(source, request_id)) else { return };
        match frame::parse_response(asked.operation, payload) {
            Ok((_, Some(Success::Entries { entries, .. }))) => {
                self.name_entries(asked.parent, &asked.child_name, &entries);
            }
            Ok((_, Some(Success::Children { children, .. }))) => {
                for (name, entries) in &children {
                    self.name_entries(asked.parent, name, entries);
                }
            }
            _ => {}
        }
    }

    /// Older entries first, so that the order of an answer does not matter.
    fn name_entries(&mut self, parent: Guid, name: &[u8], entries: &[PathEntry<'_>]) {
        let mut named: Vec<(u64, Guid)> = entries
            .iter()
            .filter(|entry| entry.target != [0; 16])
            .map(|entry| (entry.sequence, entry.target))
            .collect();
        named.sort_unstable();
        for (_, guid) in named {
            self.name_child(parent, name, guid);
        }
    }

    fn name_child(&mut self, parent: Guid, name: &[u8], guid: Guid) {
        let path = format!("{}\\{}", self.path(parent), describe::text(name));
        self.name(guid, path);
    }

    /// Gives a key its name unless it has one; another key of the same path gets a number.
    fn name(&mut self, guid: Guid, path: String) {
        if self.paths.contains_key(&guid) {
            return;
        }
        let count = self.counts.entry(path.clone()).or_default();
        *count += 1;
        let path = if *count == 1 { path } else { format!("{path}#{count}") };
        self.paths.insert(guid, path);
    }

    /// The path that a key is shown by, if a frame has named it.
    pub fn path_of(&self, guid: [u8; 16]) -> Option<String> {
        self.paths.get(&guid).cloned()
    }

    fn path(&self, guid: Guid) -> String {
        self.path_of(guid).unwrap_or_else(|| "?".to_owned())
    }

    fn key(&self, guid: Guid) -> String {
        format!("<{}>", self.path(guid))
    }

    /// The line of a request in the transaction of this number.
    fn words(&self, request: &Request<'_>, number: u64) -> String {
        match *request {
            Request::Lookup { parent, child_name } => {
                format!("lookup {} {}", self.key(parent), word(child_name))
            }
            Request::CreateEntry { parent, child_name, layer, child, sequence } => format!(
                "create_entry {} {} = {}{} sequence={sequence}",
                self.key(parent),
                word(child_name),
                self.key(child),
                in_layer(layer),
            ),
            Request::HideEntry { parent, child_name, layer, sequence } => {
                let (key, layer) = (self.key(parent), in_layer(layer));
                format!("hide_entry {key} {}{layer} sequence={sequence}", word(child_name))
            }
            Request::DeleteEntry { parent, child_name, layer } => {
                format!("delete_entry {} {}{}", self.key(parent), word(child_name), in_layer(layer))
            }
            Request::EnumChildren { parent } => format!("enum_children {}", self.key(parent)),
            Request::CreateKey { .. } | Request::WriteKey { .. } => self.record_words(request),
            Request::ReadKey { guid } => format!("read_key {}", self.key(guid)),
            Request::DropKey { guid } => format!("drop_key {}", self.key(guid)),
            Request::QueryValues { .. }
            | Request::SetValue { .. }
            | Request::DeleteValueEntry { .. }
            | Request::SetBlanketTombstone { .. } => self.value_words(request),
            Request::BeginTransaction { mode, .. } => {
                let mode = if mode == 0 { "read_write" } else { "read_only" };
                format!("begin_transaction {number} {mode}")
            }
            Request::CommitTransaction { .. } => format!("commit_transaction {number}"),
            Request::AbortTransaction { .. } => format!("abort_transaction {number}"),
            Request::Flush { hive_name } => format!("flush {}", word(hive_name)),
            Request::DeleteLayer { layer } => format!("delete_layer {}", word(layer)),
        }
    }

    /// Requests that carry fields of a key record. Times are not shown.
    fn record_words(&self, request: &Request<'_>) -> String {
        match *request {
            Request::CreateKey {
                guid,
                name,
                parent,
                security_descriptor,
                volatile_key,
                symlink,
            } => {
                let volatile_key = if volatile_key == 1 { " volatile" } else { "" };
                let symlink = if symlink == 1 { " link" } else { "" };
                format!(
                    "create_key {} = {} {} sd={}{volatile_key}{symlink}",
                    self.key(guid),
                    self.key(parent),
                    word(name),
                    security_descriptor.len(),
                )
            }
            Request::WriteKey { guid, security_descriptor, last_write_time, .. } => {
                let mut line = format!("write_key {}", self.key(guid));
                if let Some(security_descriptor) = security_descriptor {
                    line.push_str(&format!(" sd={}", security_descriptor.len()));
                }
                if last_write_time.is_some() {
                    line.push_str(" last_write_time");
                }
                line
            }
            _ => String::new(),
        }
    }

    fn value_words(&self, request: &Request<'_>) -> String {
        match *request {
            Request::QueryValues { guid, query_all: 1, .. } => {
                format!("query_values {} all", self.key(guid))
            }
            Request::QueryValues { guid, name, .. } => {
                format!("query_values {} name={}", self.key(guid), word(name))
            }
            Request::SetValue {
                guid,
                name,
                layer,
                value_type,
                data,
                sequence,
                expected_sequence,
            } => {
                let (key, layer) = (self.key(guid), in_layer(layer));
                let typed = typed_words(value_type, data);
                let mut line =
                    format!("set_value {key} {} {typed}{layer} sequence={sequence}", word(name));
                if expected_sequence != 0 {
                    line.push_str(&format!(" if {expected_sequence}"));
                }
                line
            }
            Request::DeleteValueEntry { guid, name, layer } => {
                format!("delete_value_entry {} {}{}", self.key(guid), word(name), in_layer(layer))
            }
            Request::SetBlanketTombstone { guid, layer, set, sequence } => {
                let (key, layer) = (self.key(guid), in_layer(layer));
                let removed = if set == 1 { "" } else { " removed" };
                format!("set_blanket_tombstone {key}{layer}{removed} sequence={sequence}")
            }
            _ => String::new(),
        }
    }
}

fn in_layer(layer: &[u8]) -> String {
    format!(" in {}", word(layer))
}

/// Requests whose words have the transaction already (D-94).
fn is_end_or_begin(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::BeginTransaction { .. }
            | Request::CommitTransaction { .. }
            | Request::AbortTransaction { .. }
    )
}

fn unreadable(frame: &Frame) -> String {
    format!("unreadable, {} bytes", frame.bytes.len())
}
