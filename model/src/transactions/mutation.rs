//! What one mutation does to the contents of a hive.
//!
//! States the entries of the mutation log of PSD-005 §5.1 ("Isolation") by the requests of §7.2 that they
//! stand for, each with the last write time that goes with it (§6.3). Decides nothing.

use std::sync::Arc;

use crate::database::{Database, Guid, HiveId, KeyRecord, PathEntry, Target, Time, ValueEntry};
use crate::input::UnixTime;
use crate::late_kept::until;
use crate::layers::Touched;
use crate::names::{FoldedName, KeyName, LayerName, ValueName};
use crate::security::SecurityDescriptor;

/// A mutation whose checks have been passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// RSI_SET_VALUE.
    SetValue { key: Guid, entry: ValueEntry, time: Time },
    /// RSI_DELETE_VALUE_ENTRY.
    DeleteValue { key: Guid, name: ValueName, layer: LayerName, time: Time },
    /// RSI_SET_BLANKET_TOMBSTONE; without a number it is removed.
    SetBlanket { key: Guid, layer: LayerName, sequence: Option<u64>, time: Time },
    /// RSI_CREATE_ENTRY and RSI_CREATE_KEY.
    CreateKey { parent: Guid, entry: PathEntry, key: Guid, record: KeyRecord },
    /// RSI_DELETE_ENTRY.
    DeleteEntry { parent: Guid, name: KeyName, layer: LayerName, time: Time },
    /// RSI_DELETE_ENTRY of a HIDDEN entry, to make room for a new key that has not come yet (D-24, P-267).
    Uncover { parent: Guid, name: KeyName, layer: LayerName },
    /// RSI_HIDE_ENTRY.
    HideEntry { parent: Guid, entry: PathEntry },
    /// RSI_WRITE_KEY of a security descriptor, with its size in bytes.
    WriteDescriptor { key: Guid, descriptor: Arc<SecurityDescriptor>, size: u32, time: Time },
}

impl Mutation {
    /// Carries all of it out. Returns what a path entry that is gone by it pointed to.
    pub(crate) fn apply(&self, database: &mut Database) -> Option<Target> {
        let lost = self.change(database);
        self.write_time(database);
        lost
    }

    /// Carries it out but for the last write time, which has a request of its own (P-08).
    pub(crate) fn change(&self, database: &mut Database) -> Option<Target> {
        match self {
            Mutation::SetValue { key, entry, .. } => database.put_value(*key, entry.clone()),
            Mutation::DeleteValue { key, name, layer, .. } => {
                database.delete_value(*key, name.folded(), layer.folded());
            }
            Mutation::SetBlanket { key, layer, sequence, .. } => {
                database.set_blanket(*key, layer, *sequence);
            }
            Mutation::CreateKey { parent, entry, key, record } => {
                database.delete_entry(*parent, entry.name.folded(), entry.layer.folded());
                database.put_entry(*parent, entry.clone());
                database.create_key(*key, record.clone());
            }
            Mutation::DeleteEntry { parent, name, layer, .. } => {
                let removed = database.delete_entry(*parent, name.folded(), layer.folded());
                return removed.map(|entry| entry.target);
            }
            Mutation::Uncover { parent, name, layer } => {
                database.delete_entry(*parent, name.folded(), layer.folded());
            }
            Mutation::HideEntry { parent, entry } => {
                let (name, layer) = (entry.name.folded(), entry.layer.folded());
                let replaced = database.delete_entry(*parent, name, layer);
                database.put_entry(*parent, entry.clone());
                return replaced.map(|entry| entry.target);
            }
            Mutation::WriteDescriptor { key, descriptor, size, .. } => {
                database.write_descriptor(*key, descriptor.clone(), *size);
            }
        }
        None
    }

    /// The last write time that it brings, if it brings one (D-25).
    pub(crate) fn write_time(&self, database: &mut Database) {
        if let Some((key, time)) = self.time() {
            database.write_time(key, time);
        }
    }

    /// The same where it is asked for as late as that (P-260).
    pub(crate) fn write_time_by(&self, database: &mut Database, at: UnixTime) {
        if let Some((key, time)) = self.time().or_else(|| self.made()) {
            database.write_time(key, until(time, at));
        }
    }

    /// The second request of a creation alone, if its entry is there.
    pub(crate) fn record_key(&self, database: &mut Database) {
        let Mutation::CreateKey { parent, entry, key, record } = self else { return };
        let entries = database.lookup(*parent, entry.name.folded().as_str());
        let own = entries.and_then(|entries| entries.get(entry.layer.folded()));
        if own.is_some_and(|own| own.target == entry.target) {
            database.create_key(*key, record.clone());
        }
    }

    /// The key that it makes, and when.
    pub(crate) fn made(&self) -> Option<(Guid, Time)> {
        match self {
            Mutation::CreateKey { key, record, .. } => Some((*key, record.last_write_time)),
            _ => None,
        }
    }

    /// The same as the key and its time.
    pub(crate) fn time(&self) -> Option<(Guid, Time)> {
        match self {
            Mutation::SetValue { key, time, .. }
            | Mutation::DeleteValue { key, time, .. }
            | Mutation::SetBlanket { key, time, .. }
            | Mutation::WriteDescriptor { key, time, .. }
            | Mutation::DeleteEntry { parent: key, time, .. } => Some((*key, *time)),
            Mutation::CreateKey { .. } | Mutation::Uncover { .. } | Mutation::HideEntry { .. } => {
                None
            }
        }
    }

    /// What a creation takes away first: the HIDDEN entry that its layer has at the place (D-24).
    pub(crate) fn uncovers(&self, database: &Database) -> Option<Mutation> {
        let Mutation::CreateKey { parent, entry, .. } = self else { return None };
        let entries = database.lookup(*parent, entry.name.folded().as_str())?;
        entries.contains_key(entry.layer.folded()).then(|| Mutation::Uncover {
            parent: *parent,
            name: entry.name.clone(),
            layer: entry.layer.clone(),
        })
    }

    /// Whether a sequence number is allocated for it (D-31).
    pub(crate) fn takes_number(&self) -> bool {
        match self {
            Mutation::SetValue { .. } | Mutation::CreateKey { .. } | Mutation::HideEntry { .. } => {
                true
            }
            Mutation::SetBlanket { sequence, .. } => sequence.is_some(),
            Mutation::DeleteValue { .. }
            | Mutation::DeleteEntry { .. }
            | Mutation::Uncover { .. }
            | Mutation::WriteDescriptor { .. } => false,
        }
    }

    /// The layer that it writes into, if it is of one.
    pub(crate) fn layer(&self) -> Option<&FoldedName> {
        match self {
            Mutation::SetValue { entry, .. } => Some(entry.layer.folded()),
            Mutation::DeleteValue { layer, .. }
            | Mutation::SetBlanket { layer, .. }
            | Mutation::Uncover { layer, .. }
            | Mutation::DeleteEntry { layer, .. } => Some(layer.folded()),
            Mutation::CreateKey { entry, .. } | Mutation::HideEntry { entry, .. } => {
                Some(entry.layer.folded())
            }
            Mutation::WriteDescriptor { .. } => None,
        }
    }

    /// The key whose record it writes, a new one included.
    pub(crate) fn written_key(&self) -> Option<Guid> {
        match self {
            Mutation::SetValue { key, .. }
            | Mutation::DeleteValue { key, .. }
            | Mutation::SetBlanket { key, .. }
            | Mutation::CreateKey { key, .. }
            | Mutation::WriteDescriptor { key, .. } => Some(*key),
            Mutation::DeleteEntry { parent, .. } => Some(*parent),
            Mutation::Uncover { .. } | Mutation::HideEntry { .. } => None,
        }
    }

    /// The key whose record has to be there for the source to carry it out (P-09). The removal of an entry needs
    /// none (P-68).
    pub(crate) fn needed_key(&self) -> Option<Guid> {
        match self {
            Mutation::SetValue { key, .. }
            | Mutation::DeleteValue { key, .. }
            | Mutation::SetBlanket { key, .. }
            | Mutation::WriteDescriptor { key, .. } => Some(*key),
            Mutation::CreateKey { parent, .. } | Mutation::HideEntry { parent, .. } => {
                Some(*parent)
            }
            Mutation::DeleteEntry { .. } | Mutation::Uncover { .. } => None,
        }
    }

    /// Whether the record is there that it needs.
    pub(crate) fn finds_its_key(&self, database: &Database) -> bool {
        self.needed_key().is_none_or(|key| database.keys.contains_key(&key))
    }

    /// What it has changed once it is committed.
    pub(crate) fn touched(&self, hive: HiveId) -> Touched<'_> {
        match self {
            Mutation::SetValue { key, entry, .. } => {
                Touched::Value(hive, *key, entry.name.folded())
            }
            Mutation::DeleteValue { key, name, .. } => Touched::Value(hive, *key, name.folded()),
            Mutation::SetBlanket { key, .. } => Touched::Values(hive, *key),
            Mutation::WriteDescriptor { key, .. } => Touched::Descriptor(hive, *key),
            Mutation::CreateKey { parent, entry, .. } | Mutation::HideEntry { parent, entry } => {
                Touched::Child(hive, *parent, entry.name.folded())
            }
            Mutation::DeleteEntry { parent, name, .. } | Mutation::Uncover { parent, name, .. } => {
                Touched::Child(hive, *parent, name.folded())
            }
        }
    }
}
