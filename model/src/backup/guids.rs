//! The real GUIDs of keys, as far as streams have shown them.
//!
//! The model's numbers for keys are its own; a GUID of PSD-005 §2.3 appears in a registration, in the stream
//! of a backup, and in what a restore reads. A key has one for good; the kernel gives one to no two keys, and
//! restores may bring one into the hives of several sources.

use crate::database::Guid;
use crate::input::WireGuid;
use crate::state::State;

impl State {
    /// The GUID of a key, if a registration or a stream has shown it.
    #[must_use]
    pub fn real_guid(&self, key: Guid) -> Option<WireGuid> {
        let of_root = || self.roots.iter().find(|(_, root)| **root == key).map(|(real, _)| *real);
        self.guids.get(&key).copied().or_else(of_root)
    }

    /// The keys that have this GUID, there or not.
    pub(crate) fn keys_with_guid(&self, real: WireGuid) -> impl Iterator<Item = Guid> + '_ {
        let root = self.roots.get(&real).copied();
        let others = self.guids.iter().filter(move |(_, guid)| **guid == real);
        root.into_iter().chain(others.map(|(key, _)| *key))
    }

    /// A key that the kernel or a source has made has been seen under this GUID. False if it is known under
    /// another, or if another key is known under this one.
    pub(crate) fn learn_guid(&mut self, key: Guid, real: WireGuid) -> bool {
        match self.real_guid(key) {
            Some(known) => known == real,
            None => {
                let is_free = real != [0; 16] && self.keys_with_guid(real).next().is_none();
                if is_free {
                    self.guids.insert_mut(key, real);
                }
                is_free
            }
        }
    }
}
