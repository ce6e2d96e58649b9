//! Whether an observed stream is a backup of a subtree.
//!
//! Holds a stream against the order of PSD-005 §9.1 ("Stream ordering") and against a snapshot, record by
//! record, with P-202, P-203 and P-208. The order within each kind of record and of siblings is the target's.
//! What is learnt are the real GUIDs of keys, and the times that were known within bounds only.

use std::collections::BTreeMap;

use super::snapshot::{Line, Snapshot, flags};
use super::stream::{
    BlanketLine, Damage, FORMAT_VERSION, HIDDEN, Header, KeyObject, LayerLine, MAGIC, PathLine,
    Reader, Record, ValueLine,
};
use crate::database::{Guid, PathEntry, Target};
use crate::input::WireGuid;
use crate::names::FoldedName;
use crate::security::{SecurityDescriptor, Sid};
use crate::state::State;
use crate::values::length;

/// How much of a stream there has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything, and perhaps more behind it.
    Whole,
    /// Some beginning, and nothing else.
    Beginning,
}

/// Holds bytes against a snapshot. Returns what is known then, and how many bytes it took; `None` if they
/// are no such backup.
pub(super) fn compare(
    state: &State,
    snapshot: &Snapshot,
    bytes: &[u8],
    extent: Extent,
) -> Option<(State, usize)> {
    let mut comparison = Comparison {
        state: state.clone(),
        snapshot,
        manifest: snapshot.manifest(),
        keys: BTreeMap::new(),
        above: Vec::new(),
        section: None,
    };
    let mut reader = Reader::new(bytes);
    let mut is_first = true;
    loop {
        match reader.read_record() {
            Ok(Some(Record::Trailer)) if extent == Extent::Whole => {
                comparison.end()?;
                return Some((comparison.state, reader.position()));
            }
            Ok(Some(Record::Header(header))) if is_first => comparison.header(&header)?,
            Ok(Some(record)) if !is_first => comparison.record(record)?,
            Ok(None) | Err(Damage::Cut) if extent == Extent::Beginning => {
                let is_it = !is_first || begins(bytes);
                return is_it.then_some((comparison.state, bytes.len()));
            }
            Ok(_) | Err(_) => return None,
        }
        is_first = false;
    }
}

/// Whether this is some beginning of a HEADER, as far as it is always the same.
fn begins(bytes: &[u8]) -> bool {
    let start = [0x01, 0x00];
    let magic = bytes.get(6..).unwrap_or_default();
    bytes.iter().zip(start).all(|(byte, expected)| *byte == expected)
        && magic.iter().zip(MAGIC).all(|(byte, expected)| *byte == expected)
}

/// A stream and a snapshot side by side.
struct Comparison<'a> {
    state: State,
    snapshot: &'a Snapshot,
    /// The lines that have not come.
    manifest: BTreeMap<FoldedName, Line>,
    /// The keys whose KEY records have come.
    keys: BTreeMap<WireGuid, Guid>,
    /// The last key and its ancestors, from the root on.
    above: Vec<WireGuid>,
    section: Option<Section>,
}

/// A KEY with the records that follow it.
struct Section {
    object: KeyObject,
    entries: Vec<PathLine>,
    values: Vec<ValueLine>,
    blankets: Vec<BlanketLine>,
}

impl Comparison<'_> {
    fn header(&mut self, header: &Header) -> Option<()> {
        let (began, ended) = self.snapshot.span;
        let taken = u64::try_from(header.timestamp).ok()?;
        let is_it = header.magic == MAGIC
            && header.format_version == FORMAT_VERSION
            && header.min_reader_version == FORMAT_VERSION
            && (began..=ended).contains(&taken)
            && header.hive_name == self.snapshot.hive_name;
        (is_it && self.state.learn_guid(self.snapshot.root, header.root)).then_some(())
    }

    fn record(&mut self, record: Record) -> Option<()> {
        match record {
            Record::Header(_) | Record::Trailer => None,
            Record::Layer(line) => self.layer(&line),
            Record::Key(object) => {
                self.section_ends()?;
                let (entries, values, blankets) = (Vec::new(), Vec::new(), Vec::new());
                self.section = Some(Section { object, entries, values, blankets });
                Some(())
            }
            Record::PathEntry(line) => {
                let section = self.section.as_mut()?;
                let is_in_order = section.values.is_empty() && section.blankets.is_empty();
                section.entries.push(line);
                is_in_order.then_some(())
            }
            Record::Value(line) => {
                let section = self.section.as_mut()?;
                section.values.push(line);
                section.blankets.is_empty().then_some(())
            }
            Record::Blanket(line) => {
                self.section.as_mut()?.blankets.push(line);
                Some(())
            }
            Record::Unknown { .. } => Some(()),
        }
    }

    fn layer(&mut self, line: &LayerLine) -> Option<()> {
        if self.section.is_some() || !self.keys.is_empty() {
            return None;
        }
        let expected = self.manifest.remove(&FoldedName::of(&line.name))?;
        let is_it = expected.spellings.contains(&line.name)
            && line.precedence == expected.precedence
            && line.enabled == u8::from(expected.is_enabled)
            && Sid::at_start_of(&line.owner).is_some_and(|sid| sid.0 == line.owner)
            && expected.owner.is_none_or(|owner| owner == line.owner);
        is_it.then_some(())
    }

    /// A section is held against the key that it is of.
    fn section_ends(&mut self) -> Option<()> {
        let Some(section) = self.section.take() else {
            // The manifest has ended.
            return self.manifest.is_empty().then_some(());
        };
        let key =
            if self.keys.is_empty() { self.snapshot.root } else { self.place(&section.entries)? };
        let guid = section.object.guid;
        if !self.state.learn_guid(key, guid) || self.keys.insert(guid, key).is_some() {
            return None;
        }
        self.above.push(guid);
        let is_it = self.is_object(key, &section.object)?
            && self.are_entries(key, guid, section.entries)
            && self.are_values(key, guid, section.values)
            && self.are_blankets(key, guid, section.blankets);
        is_it.then_some(())
    }

    /// The key to which the entries of a section lead; its parent is the last key or above that.
    fn place(&mut self, entries: &[PathLine]) -> Option<Guid> {
        let anchor = entries.iter().find(|line| line.child != HIDDEN)?;
        while self.above.last()? != &anchor.parent {
            self.above.pop();
        }
        let parent = *self.keys.get(&anchor.parent)?;
        let name = FoldedName::of(&anchor.name);
        let entries = self.snapshot.database.lookup(parent, name.as_str())?;
        match entries.get(&FoldedName::of(&anchor.layer))?.target {
            Target::Key(key) => Some(key),
            Target::Hidden => None,
        }
    }

    /// Whether a KEY record is that of a key. Learns the time.
    fn is_object(&mut self, key: Guid, object: &KeyObject) -> Option<bool> {
        let record = self.snapshot.database.keys.get(&key)?;
        let time = u64::try_from(object.last_write_time).ok()?;
        let descriptor = SecurityDescriptor::parse(&object.descriptor).ok()?;
        let is_it = object.flags == flags(record)
            && length(object.descriptor.len()) == record.sd_size
            && record.descriptor.as_ref().is_ok_and(|known| **known == descriptor)
            && record.last_write_time.admits(time);
        let now = self.state.database(self.snapshot.hive).keys.get(&key);
        if is_it && now.is_some_and(|now| now.last_write_time == record.last_write_time) {
            self.state.bind_time(self.snapshot.hive, key, time);
        }
        Some(is_it)
    }

    fn are_entries(&self, key: Guid, guid: WireGuid, lines: Vec<PathLine>) -> bool {
        let line = |parent: WireGuid, child: WireGuid, entry: &PathEntry| PathLine {
            parent,
            name: entry.name.spelling().to_owned(),
            child,
            layer: entry.layer.spelling().to_owned(),
            sequence: entry.sequence,
        };
        let to = self.snapshot.entries_to(key).into_iter().map(|(parent, entry)| {
            line(self.state.real_guid(parent).unwrap_or(HIDDEN), guid, entry)
        });
        let hidden = self.snapshot.hidden_below(key).into_iter();
        same(lines, to.chain(hidden.map(|entry| line(guid, HIDDEN, entry))), |line| {
            (line.name.clone(), line.layer.clone(), line.child, line.sequence)
        })
    }

    fn are_values(&self, key: Guid, guid: WireGuid, lines: Vec<ValueLine>) -> bool {
        let expected = self.snapshot.values(key).into_iter().map(|entry| ValueLine {
            key: guid,
            name: entry.name.spelling().to_owned(),
            value_type: entry.value_type,
            data: entry.data.to_vec(),
            layer: entry.layer.spelling().to_owned(),
            sequence: entry.sequence,
        });
        same(lines, expected, |line| (line.name.clone(), line.layer.clone(), line.sequence))
    }

    fn are_blankets(&self, key: Guid, guid: WireGuid, lines: Vec<BlanketLine>) -> bool {
        let expected = self.snapshot.blankets(key).into_iter().map(|blanket| BlanketLine {
            key: guid,
            layer: blanket.layer.spelling().to_owned(),
            sequence: blanket.sequence,
        });
        same(lines, expected, |line| (line.layer.clone(), line.sequence))
    }

    /// TRAILER: every key has come.
    fn end(&mut self) -> Option<()> {
        self.section.as_ref()?;
        self.section_ends()?;
        (self.keys.len() == self.snapshot.keys().len()).then_some(())
    }
}

/// Whether both are the same lines in some order.
fn same<T: PartialEq, K: Ord>(
    mut lines: Vec<T>,
    expected: impl Iterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> bool {
    let mut expected: Vec<T> = expected.collect();
    lines.sort_by_key(&key);
    expected.sort_by_key(&key);
    lines == expected
}
