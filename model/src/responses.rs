//! What the kernel takes from a source, and what it rejects as malformed data.
//!
//! States PSD-005 §7.3 ("Data validation by LCS") and §10.1 for the content of well-formed
//! responses, the sequence and layer name rules of §2.7, and §3.1 for security descriptors, with
//! D-34, D-35, D-90, P-40 and P-75. Resolves nothing. What a kernel has stored itself is never
//! malformed, so only a hive that holds records of another origin is looked at.

use std::sync::Arc;

use crate::coverage::{Covered, covers};
use crate::database::{BlanketTombstone, Guid, KeyRecord, Layered, PathEntry, Target, ValueEntry};
use crate::errno::Errno;
use crate::names::{KeyName, LayerName, ValueName};
use crate::resolution::{Purpose, Resolver};
use crate::security::SecurityDescriptor;
use crate::values::{REG_QWORD, REG_TOMBSTONE};

/// A response whose form is good and whose content is not. The request fails with EIO, and the
/// source stays (§7.3, SRC-41, SRC-43).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(());

impl Malformed {
    /// The rejection of a response.
    pub(crate) fn of_source(covered: &mut Covered) -> Malformed {
        covers!(covered, "SRC-41", "SRC-43");
        Malformed(())
    }
}

impl From<Malformed> for Errno {
    fn from(_: Malformed) -> Errno {
        Errno::EIO
    }
}

/// The SD of a key for an access check or for inheritance (§3.1).
///
/// # Errors
///
/// If what is stored is no SD of a registry key.
pub(crate) fn descriptor_of(
    record: &KeyRecord,
    covered: &mut Covered,
) -> Result<Arc<SecurityDescriptor>, Malformed> {
    record.descriptor.clone().map_err(|_| Malformed::of_source(covered))
}

impl Resolver<'_> {
    /// RSI_LOOKUP: every layer's entry for one name, and the metadata of each key among them.
    pub(crate) fn check_lookup(
        &self,
        entries: Option<&Layered<PathEntry>>,
        covered: &mut Covered,
    ) -> Result<(), Malformed> {
        if !self.database.seeded {
            return Ok(());
        }
        for entry in entries.into_iter().flat_map(|entries| entries.values()) {
            self.check_entry(&entry.layer, entry.sequence, covered)?;
            if let Target::Key(key) = entry.target {
                self.check_metadata(key, covered)?;
            }
        }
        Ok(())
    }

    /// RSI_ENUM_CHILDREN: the same for every name below a key.
    pub(crate) fn check_children(
        &self,
        parent: Guid,
        covered: &mut Covered,
    ) -> Result<(), Malformed> {
        if !self.database.seeded {
            return Ok(());
        }
        for (_, entries) in self.database.children(parent) {
            for entry in entries.values() {
                require(KeyName::parse(entry.name.spelling().as_bytes(), self.limits), covered)?;
            }
            self.check_lookup(Some(entries), covered)?;
        }
        Ok(())
    }

    /// RSI_QUERY_VALUES for one name: every layer's entry, and the key's blanket tombstones.
    pub(crate) fn check_values(
        &self,
        entries: Option<&Layered<ValueEntry>>,
        blankets: Option<&Layered<BlanketTombstone>>,
        covered: &mut Covered,
    ) -> Result<(), Malformed> {
        if !self.database.seeded {
            return Ok(());
        }
        for entry in entries.into_iter().flat_map(|entries| entries.values()) {
            require(ValueName::parse(entry.name.spelling().as_bytes(), self.limits), covered)?;
            self.check_entry(&entry.layer, entry.sequence, covered)?;
            let known = entry.value_type <= REG_QWORD
                || entry.value_type == REG_TOMBSTONE && entry.data.is_empty();
            require(known.then_some(()).ok_or(()), covered)?;
        }
        for blanket in blankets.into_iter().flat_map(|blankets| blankets.values()) {
            self.check_entry(&blanket.layer, blanket.sequence, covered)?;
        }
        Ok(())
    }

    /// RSI_QUERY_VALUES for all names of a key.
    pub(crate) fn check_all_values(
        &self,
        key: Guid,
        covered: &mut Covered,
    ) -> Result<(), Malformed> {
        if !self.database.seeded {
            return Ok(());
        }
        let blankets = self.database.blankets.get(&key);
        for (_, entries) in self.database.value_names(key) {
            self.check_values(Some(entries), blankets, covered)?;
        }
        self.check_values(None, blankets, covered)?;
        if self.repeats_a_sequence(key) {
            covers!(covered, "SEQ-20");
        }
        Ok(())
    }

    /// Whether entries for two names of a key have one sequence number.
    fn repeats_a_sequence(&self, key: Guid) -> bool {
        let sequences = self.database.value_names(key).flat_map(|(name, entries)| {
            entries.values().map(move |entry| (entry.sequence, name.clone()))
        });
        let sequences: std::collections::BTreeSet<_> = sequences.collect();
        sequences.iter().zip(sequences.iter().skip(1)).any(|(one, next)| one.0 == next.0)
    }

    /// What every layer-qualified entry is asked, whatever its layer (D-34).
    fn check_entry(
        &self,
        layer: &LayerName,
        sequence: u64,
        covered: &mut Covered,
    ) -> Result<(), Malformed> {
        if LayerName::parse(layer.spelling().as_bytes(), self.limits).is_err() {
            covers!(covered, "RES-32");
            return Err(Malformed::of_source(covered));
        }
        if self.layers.get(layer.folded()).is_some_and(|known| known.name != *layer) {
            covers!(covered, "LAYER-27");
        }
        if sequence < self.next_sequence {
            return Ok(());
        }
        covers!(covered, "SEQ-18");
        if sequence == self.next_sequence {
            covers!(covered, "SRC-44");
        } else {
            covers!(covered, "SRC-45");
        }
        Err(Malformed::of_source(covered))
    }

    /// The metadata that goes with an entry: it must be there, and its SD must be one (P-75).
    fn check_metadata(&self, key: Guid, covered: &mut Covered) -> Result<(), Malformed> {
        let record = self.database.keys.get(&key).ok_or(());
        let record = record.map_err(|()| Malformed::of_source(covered))?;
        if self.purpose == Purpose::Call {
            descriptor_of(record, covered)?;
        }
        Ok(())
    }
}

fn require<T, E>(good: Result<T, E>, covered: &mut Covered) -> Result<(), Malformed> {
    good.map(|_| ()).map_err(|_| Malformed::of_source(covered))
}
