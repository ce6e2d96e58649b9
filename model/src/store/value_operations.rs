//! Values and blanket tombstones: querying, setting and deleting them.
//!
//! States the value operations of PSD-005 §7.2, the conditional write of §7.3 and, for what is its
//! own, PSD-006 §5.1. Types and data are opaque, but for the tombstone, which has no data.

use super::database::{BlanketRecord, Database, Name, ValueRecord};
use super::message::{Blanket, Guid, Status, ValueEntry};
use super::outcome::{Answer, Outcome};
use super::work::{Work, flag, has_key, not_found};
use crate::coverage::{Covered, covers};
use crate::limits::Limits;
use crate::values::REG_TOMBSTONE;

/// The bytes of a value name and of a layer name.
type NameBytes<'a> = (&'a [u8], &'a [u8]);

impl Work<'_> {
    /// RSI_QUERY_VALUES.
    pub(super) fn query_values(
        &mut self,
        guid: Guid,
        name: &[u8],
        query_all: u8,
    ) -> Result<Vec<Answer>, Status> {
        let (name, all) = (Name::parse(name)?, flag(query_all)?);
        let asked = (!all).then_some(&name);
        let answers =
            self.read(guid, |database, covered| query_values(database, guid, asked, covered));
        if !all || name.spelling.is_empty() {
            return answers;
        }
        // Flag and name contradict each other: the flag may decide, or the request is malformed
        // (P-69).
        let mut answers = answers.unwrap_or_else(|status| vec![self.refused(status)]);
        answers.push(self.refused_instead(Status::Invalid));
        Ok(answers)
    }

    /// RSI_SET_VALUE; `value` is type and data.
    pub(super) fn set_value(
        &mut self,
        guid: Guid,
        names: NameBytes<'_>,
        value: (u32, &[u8]),
        sequence: u64,
        expected_sequence: u64,
    ) -> Result<Vec<Answer>, Status> {
        let (name, layer) = (Name::parse(names.0)?, Name::parse(names.1)?);
        let (value_type, data) = value;
        let record = ValueRecord {
            name: name.spelling.clone(),
            layer: layer.spelling.clone(),
            value_type,
            data: data.into(),
            sequence,
        };
        let absent = |covered: &mut Covered| {
            covers!(covered, "LORE-116");
            Err(Status::NotFound)
        };
        let mut answers = self.write(has_key(guid), absent, |database, covered| {
            let (record, names) = (record.clone(), (&name, &layer));
            set_value(database, guid, record, names, expected_sequence, covered)
        })?;
        if data.len() > Limits::default().max_value_size as usize {
            // A source may have a maximum of its own, above what the kernel sends by default: the
            // refusal of a write that could have been carried out otherwise (P-73).
            let refused = self.write(has_key(guid), absent, |_, _| Err(Status::TooLarge))?;
            let too_large = Outcome::Failed(Status::TooLarge);
            answers.extend(refused.into_iter().filter(|answer| answer.outcome == too_large));
        }
        Ok(answers)
    }

    /// RSI_DELETE_VALUE_ENTRY.
    pub(super) fn delete_value_entry(
        &mut self,
        guid: Guid,
        names: NameBytes<'_>,
    ) -> Result<Vec<Answer>, Status> {
        let (name, layer) = (Name::parse(names.0)?, Name::parse(names.1)?);
        let absent = |covered: &mut Covered| {
            covers!(covered, "OP-47", "LORE-119");
            Ok(Outcome::Done)
        };
        self.write(has_key(guid), absent, |database, covered| {
            delete_value_entry(database, guid, (&name, &layer), covered)
        })
    }

    /// RSI_SET_BLANKET_TOMBSTONE.
    pub(super) fn set_blanket_tombstone(
        &mut self,
        guid: Guid,
        layer: &[u8],
        set: u8,
        sequence: u64,
    ) -> Result<Vec<Answer>, Status> {
        let (layer, set) = (Name::parse(layer)?, flag(set)?);
        let sequence = set.then_some(sequence);
        self.write(has_key(guid), not_found, |database, covered| {
            set_blanket_tombstone(database, guid, &layer, sequence, covered)
        })
    }
}

/// RSI_QUERY_VALUES of a key that is there: of one name, or of all.
fn query_values(
    database: &Database,
    guid: Guid,
    name: Option<&Name>,
    covered: &mut Covered,
) -> Outcome {
    let found: Vec<&ValueRecord> = database
        .values_of(guid)
        .filter(|((_, value, _), _)| name.is_none_or(|name| *value == name.folded))
        .map(|(_, entry)| entry)
        .collect();
    match name {
        None => covers!(covered, "OP-34", "LORE-111"),
        Some(name) => {
            covers!(covered, "OP-33", "LORE-110");
            if name.spelling.is_empty() {
                covers!(covered, "OP-35");
            }
            if found.iter().any(|entry| entry.name != name.spelling) {
                covers!(covered, "LORE-053", "LORE-051");
            }
        }
    }
    if !found.is_empty() {
        covers!(covered, "OP-36");
    }
    if found.len() > 1 {
        covers!(covered, "OP-01", "SRC-06", "RES-01", "VAL-19");
    }
    if found.iter().any(|entry| entry.value_type == REG_TOMBSTONE) {
        covers!(covered, "OP-37", "VAL-23");
    }
    let mut entries: Vec<ValueEntry> = found.into_iter().map(shown).collect();
    entries.sort();
    let mut blankets: Vec<Blanket> = database
        .blankets_of(guid)
        .map(|blanket| Blanket {
            layer: blanket.layer.as_bytes().to_vec(),
            sequence: blanket.sequence,
        })
        .collect();
    blankets.sort();
    if !blankets.is_empty() {
        covers!(covered, "OP-38", "LORE-112", "VAL-27");
    }
    Outcome::Values { entries, blankets }
}

/// RSI_SET_VALUE on a key that is there.
///
/// # Errors
///
/// RSI_CAS_FAILED if the layer's own entry does not have the sequence number that is expected, or
/// is not there.
fn set_value(
    database: &mut Database,
    guid: Guid,
    record: ValueRecord,
    names: (&Name, &Name),
    expected_sequence: u64,
    covered: &mut Covered,
) -> Result<Outcome, Status> {
    let key = (guid, names.0.folded.clone(), names.1.folded.clone());
    let own = database.values.get(&key);
    if own.is_some_and(|entry| entry.layer != names.1.spelling) {
        covers!(covered, "LORE-057");
    }
    let own = own.map(|entry| entry.sequence);
    if expected_sequence == 0 {
        covers!(covered, "OP-42");
    } else {
        covers!(covered, "SRC-20", "SRC-21", "IOC-038");
        if own != Some(expected_sequence) {
            covers!(covered, "SRC-22", "LORE-114");
            match own {
                Some(_) => covers!(covered, "OP-44"),
                None => covers!(covered, "OP-45"),
            }
            return Err(Status::CasFailed);
        }
        covers!(covered, "OP-43");
    }
    covers!(covered, "OP-39", "VAL-12", "REG-35", "SEQ-24");
    if own.is_some() {
        covers!(covered, "OP-40", "LORE-113");
    }
    let record = if record.value_type == REG_TOMBSTONE {
        covers!(covered, "OP-41", "VAL-44");
        ValueRecord { data: [].into(), ..record }
    } else {
        record
    };
    if database.keys.get(&guid).is_some_and(|key| key.volatile_key) {
        covers!(covered, "LORE-117");
    }
    database.values.insert_mut(key, record);
    Ok(Outcome::Done)
}

/// RSI_DELETE_VALUE_ENTRY.
fn delete_value_entry(
    database: &mut Database,
    guid: Guid,
    (name, layer): (&Name, &Name),
    covered: &mut Covered,
) -> Result<Outcome, Status> {
    let key = (guid, name.folded.clone(), layer.folded.clone());
    if database.values.contains_key(&key) {
        covers!(covered, "OP-46", "LORE-118");
    } else {
        covers!(covered, "OP-47", "LORE-119");
    }
    database.values.remove_mut(&key);
    Ok(Outcome::Done)
}

/// RSI_SET_BLANKET_TOMBSTONE on a key that is there; `None` removes.
fn set_blanket_tombstone(
    database: &mut Database,
    guid: Guid,
    layer: &Name,
    sequence: Option<u64>,
    covered: &mut Covered,
) -> Result<Outcome, Status> {
    let key = (guid, layer.folded.clone());
    if database.keys.get(&guid).is_some_and(|key| key.volatile_key) {
        covers!(covered, "LORE-122");
    }
    match sequence {
        Some(sequence) => {
            covers!(covered, "OP-48", "VAL-27", "SEQ-24");
            if database.blankets.contains_key(&key) {
                covers!(covered, "LORE-120");
            }
            let blanket = BlanketRecord { layer: layer.spelling.clone(), sequence };
            database.blankets.insert_mut(key, blanket);
        }
        None => {
            covers!(covered, "OP-49", "LORE-121");
            database.blankets.remove_mut(&key);
        }
    }
    Ok(Outcome::Done)
}

fn shown(record: &ValueRecord) -> ValueEntry {
    ValueEntry {
        name: record.name.as_bytes().to_vec(),
        layer: record.layer.as_bytes().to_vec(),
        value_type: record.value_type,
        data: record.data.to_vec(),
        sequence: record.sequence,
    }
}
