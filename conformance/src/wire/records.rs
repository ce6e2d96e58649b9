//! What a source says of a key that never changes: its flags, its name and its parent (PSD-005 §2.3,
//! §7.2, §7.3).
//!
//! Learns from what was created and returned outside of transactions alone, since an abort takes the
//! rest away.

use std::collections::{BTreeMap, BTreeSet};

use registry_model::input::SourceId;

use super::frame::Guid;
use super::keys::shown;
use super::rules::{Failure, Held, Rule};

/// The volatile and the symlink flag.
pub(super) type Flags = (u8, u8);

/// What each source has said of its keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    flags: BTreeMap<(SourceId, Guid), Flags>,
    names: BTreeMap<(SourceId, Guid), (Guid, Vec<u8>)>,
    /// The keys that a source has returned on its connection and that were not dropped since.
    present: BTreeSet<(SourceId, Guid)>,
}

impl Records {
    /// A key was created outside of transactions.
    pub(super) fn created(
        &mut self,
        place: (SourceId, Guid),
        flags: Flags,
        (parent, name): (Guid, &[u8]),
    ) {
        self.flags.insert(place, flags);
        self.names.insert(place, (parent, name.to_vec()));
        self.present.insert(place);
    }

    /// A key is dropped. Its GUID may come again with a restored key.
    pub(super) fn dropped(&mut self, place: (SourceId, Guid)) {
        self.flags.remove(&place);
        self.names.remove(&place);
        self.present.remove(&place);
    }

    /// What a source has lost is not known.
    pub(super) fn disconnected(&mut self, source: SourceId) {
        self.present.retain(|(of, _)| *of != source);
    }

    pub(super) fn is_present(&self, place: (SourceId, Guid)) -> bool {
        self.present.contains(&place)
    }

    /// A source returned the flags of a key outside of transactions.
    pub(super) fn returned(
        &mut self,
        held: &mut Held,
        place: (SourceId, Guid),
        flags: Flags,
    ) -> Result<(), Failure> {
        self.present.insert(place);
        let Some(known) = self.flags.insert(place, flags) else { return Ok(()) };
        held.require(Rule::ImmutableFields, known == flags, || {
            format!("the volatile and symlink flags of {} were {known:?}", shown(place.1))
        })
    }

    /// A source returned the record of a key, hive roots apart.
    pub(super) fn read(
        &mut self,
        held: &mut Held,
        place: (SourceId, Guid),
        (parent, name): (Guid, &[u8]),
    ) -> Result<(), Failure> {
        let Some(known) = self.names.insert(place, (parent, name.to_vec())) else { return Ok(()) };
        held.require(Rule::ImmutableFields, known == (parent, name.to_vec()), || {
            let (parent, name) = (shown(known.0), known.1.escape_ascii());
            format!("{} was {name} below {parent}", shown(place.1))
        })
    }
}
