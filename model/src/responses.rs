//! What the kernel takes from a source, and what it rejects as malformed data.
//!
//! States PSD-005 §7.3 ("Data validation by LCS") and §10.1 for what a source can have stored, the
//! sequence and layer name rules of §2.7, and §3.1 for security descriptors, with D-34, D-35, P-40, P-57
//! and P-75. What only the bytes of a response can get wrong (the status table of §7.3, the payloads
//! of D-90) is not stated here: the model has no bytes of responses. Resolves nothing. What a kernel has
//! stored itself is never malformed, unless a limit was
//! higher then (P-167), so only a hive that holds records of another origin or of such a time is looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::coverage::{Covered, covers};
use crate::database::{
    BlanketTombstone, Guid, HiveId, KeyRecord, Layered, PathEntry, Target, ValueEntry,
};
use crate::errno::Errno;
use crate::names::{KeyName, LayerName, ValueName};
use crate::resolution::{Purpose, Resolver};
use crate::security::SecurityDescriptor;
use crate::values::{REG_QWORD, REG_TOMBSTONE};

/// What may be wrong with the content of a response: the validation classes of §3.1, and the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The SD of a key.
    Descriptor = 1,
    /// A sequence number that was not allocated yet.
    FutureSequence = 2,
    /// Equal sequence numbers that would have to decide a winner.
    Tie = 4,
    /// The SD of a layer metadata key, where it is read for the layer table.
    MetadataDescriptor = 8,
    /// Anything that has no class (D-95).
    Other = 16,
}

/// A response whose form is good and whose content is not. The request fails with EIO, and the
/// source stays (§7.3, SRC-41, SRC-43).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Everything that is wrong, one bit each.
    faults: u8,
    /// The key whose SD is meant, if it is one.
    key: Option<Guid>,
    /// Whether it is wrong in more than one place.
    several: bool,
}

impl Malformed {
    /// The rejection of a response.
    pub(crate) fn of(fault: Fault, key: Option<Guid>, covered: &mut Covered) -> Malformed {
        covers!(covered, "SRC-41", "SRC-43", "FAIL-38");
        Malformed { faults: fault as u8, key, several: false }
    }

    /// Whether this is among what is wrong.
    pub(crate) fn has(self, fault: Fault) -> bool {
        self.faults & fault as u8 != 0
    }

    /// Whether it is wrong in more than one place.
    pub(crate) fn is_several(self) -> bool {
        self.several
    }

    /// The key whose SD is wrong, if nothing else is.
    pub(crate) fn key(self) -> Option<Guid> {
        self.key
    }

    /// Both together.
    pub(crate) fn and(self, other: Malformed) -> Malformed {
        let key = if self.key == other.key { self.key } else { None };
        Malformed { faults: self.faults | other.faults, key, several: true }
    }
}

/// Everything that is wrong with one response.
#[derive(Default)]
struct Faults(Option<Malformed>);

impl Faults {
    fn add(&mut self, result: Result<(), Malformed>) {
        if let Err(found) = result {
            self.0 = Some(self.0.map_or(found, |former| former.and(found)));
        }
    }

    fn result(self) -> Result<(), Malformed> {
        self.0.map_or(Ok(()), Err)
    }
}

/// The response that ended a call, if one did, and the hive that it is about.
#[derive(Default)]
pub(crate) struct Rejected(pub(crate) Option<(HiveId, Malformed)>);

impl Rejected {
    /// What a call fails with whose response is malformed.
    pub(crate) fn by(&mut self, hive: HiveId, malformed: Malformed) -> Errno {
        self.0 = Some((hive, malformed));
        Errno::EIO
    }
}

/// The SD of a key for an access check or for inheritance (§3.1).
///
/// # Errors
///
/// If what is stored is no SD of a registry key.
pub(crate) fn descriptor_of(
    key: Guid,
    record: &KeyRecord,
    covered: &mut Covered,
) -> Result<Arc<SecurityDescriptor>, Malformed> {
    covers!(covered, "SEC-36", "SEC-45");
    record.descriptor.clone().map_err(|malformed| {
        covers!(covered, "SEC-40");
        malformed.mark(covered);
        Malformed::of(Fault::Descriptor, Some(key), covered)
    })
}

impl Resolver<'_> {
    /// RSI_LOOKUP: every layer's entry for one name, and the metadata of each key among them.
    pub(crate) fn check_lookup(
        &self,
        entries: Option<&Layered<PathEntry>>,
        covered: &mut Covered,
    ) -> Result<(), Malformed> {
        if self.is_trusted {
            return Ok(());
        }
        let mut faults = Faults::default();
        let entries = entries.into_iter().flat_map(|entries| entries.values());
        self.check_path_entries(entries, &mut faults, covered);
        faults.result()
    }

    /// RSI_ENUM_CHILDREN: the same for every name below a key.
    pub(crate) fn check_children(
        &self,
        parent: Guid,
        covered: &mut Covered,
    ) -> Result<(), Malformed> {
        if self.is_trusted {
            return Ok(());
        }
        let mut faults = Faults::default();
        for (_, entries) in self.database.children(parent) {
            for entry in entries.values() {
                let name = KeyName::parse(entry.name.spelling().as_bytes(), self.limits);
                faults.add(require(name, covered));
            }
        }
        let entries = self.database.children(parent).flat_map(|(_, entries)| entries.values());
        self.check_path_entries(entries, &mut faults, covered);
        faults.result()
    }

    /// The path entries of one response, and the metadata of the keys that they name, which it has once
    /// for each key (§7.2).
    fn check_path_entries<'e>(
        &self,
        entries: impl Iterator<Item = &'e PathEntry>,
        faults: &mut Faults,
        covered: &mut Covered,
    ) {
        let mut named = BTreeSet::new();
        for entry in entries {
            self.check_entry(&entry.layer, entry.sequence, faults, covered);
            if let Target::Key(key) = entry.target {
                named.insert(key);
            }
        }
        for key in named {
            faults.add(self.check_metadata(key, covered));
        }
    }

    /// RSI_QUERY_VALUES for one name: every layer's entry, and the key's blanket tombstones.
    pub(crate) fn check_values(
        &self,
        entries: Option<&Layered<ValueEntry>>,
        blankets: Option<&Layered<BlanketTombstone>>,
        covered: &mut Covered,
    ) -> Result<(), Malformed> {
        if self.is_trusted {
            return Ok(());
        }
        let mut faults = Faults::default();
        self.check_value_entries(entries, &mut faults, covered);
        self.check_blankets(blankets, &mut faults, covered);
        faults.result()
    }

    fn check_value_entries(
        &self,
        entries: Option<&Layered<ValueEntry>>,
        faults: &mut Faults,
        covered: &mut Covered,
    ) {
        for entry in entries.into_iter().flat_map(|entries| entries.values()) {
            let name = ValueName::parse(entry.name.spelling().as_bytes(), self.limits);
            faults.add(require(name, covered));
            self.check_entry(&entry.layer, entry.sequence, faults, covered);
            let known = entry.value_type <= REG_QWORD
                || entry.value_type == REG_TOMBSTONE && entry.data.is_empty();
            faults.add(require(known.then_some(()).ok_or(()), covered));
        }
    }

    fn check_blankets(
        &self,
        blankets: Option<&Layered<BlanketTombstone>>,
        faults: &mut Faults,
        covered: &mut Covered,
    ) {
        for blanket in blankets.into_iter().flat_map(|blankets| blankets.values()) {
            self.check_entry(&blanket.layer, blanket.sequence, faults, covered);
        }
    }

    /// RSI_QUERY_VALUES for all names of a key.
    pub(crate) fn check_all_values(
        &self,
        key: Guid,
        covered: &mut Covered,
    ) -> Result<(), Malformed> {
        if self.is_trusted {
            return Ok(());
        }
        let blankets = self.database.blankets.get(&key);
        let mut faults = Faults::default();
        for (_, entries) in self.database.value_names(key) {
            self.check_value_entries(Some(entries), &mut faults, covered);
        }
        self.check_blankets(blankets, &mut faults, covered);
        faults.result()?;
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
        let sequences: BTreeSet<_> = sequences.collect();
        sequences.iter().zip(sequences.iter().skip(1)).any(|(one, next)| one.0 == next.0)
    }

    /// What every layer-qualified entry is asked, whatever its layer (D-34): each fault that it has counts
    /// (P-111).
    fn check_entry(
        &self,
        layer: &LayerName,
        sequence: u64,
        faults: &mut Faults,
        covered: &mut Covered,
    ) {
        if LayerName::parse(layer.spelling().as_bytes(), self.limits).is_err() {
            covers!(covered, "RES-32");
            faults.add(Err(Malformed::of(Fault::Other, None, covered)));
        }
        if self.layers.get(layer.folded()).is_some_and(|known| known.name != *layer) {
            covers!(covered, "LAYER-27");
        }
        if sequence < self.next_sequence {
            return;
        }
        covers!(covered, "SEQ-18");
        if sequence == self.next_sequence {
            covers!(covered, "SRC-44");
        } else {
            covers!(covered, "SRC-45");
        }
        faults.add(Err(Malformed::of(Fault::FutureSequence, None, covered)));
    }

    /// The metadata that goes with an entry: it must be there, and its SD must be one (P-75).
    fn check_metadata(&self, key: Guid, covered: &mut Covered) -> Result<(), Malformed> {
        let record = self.database.keys.get(&key).ok_or(());
        let record = record.map_err(|()| Malformed::of(Fault::Other, None, covered))?;
        if self.purpose == Purpose::Call {
            descriptor_of(key, record, covered)?;
        }
        Ok(())
    }
}

fn require<T, E>(good: Result<T, E>, covered: &mut Covered) -> Result<(), Malformed> {
    good.map(|_| ()).map_err(|_| Malformed::of(Fault::Other, None, covered))
}
