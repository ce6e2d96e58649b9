//! Which raw entries a kernel rejects (PSD-005 §7.3, §10.1; §2.7 for sequence numbers; §3.1 for
//! security descriptors; D-34, D-35, D-90).
//!
//! One malformed entry spoils the response that holds it, whatever its layer.

use super::TOMBSTONE;
use super::raw::{RawBlanket, RawKey, RawPathEntry, RawValue};

/// `REG_QWORD`, the highest type code but for tombstones.
const MAX_TYPE: u32 = 11;

/// What the kernel that reads the entries goes by.
#[derive(Clone, Copy, Debug)]
pub struct Validation {
    /// The number that it will give out next (SEQ-18).
    pub next_sequence: u64,
    /// Whether bytes are a registry SD. Like case folding, this is the caller's.
    pub is_descriptor: fn(&[u8]) -> bool,
    /// Whether a registry SD has an owner, without which nobody gets in (SD-15).
    pub has_owner: fn(&[u8]) -> bool,
    /// The longest name, in bytes of UTF-8.
    pub name_length_max: usize,
}

impl Validation {
    /// For entries of which none is malformed.
    pub fn of_sound_entries() -> Validation {
        let is_descriptor = |_: &[u8]| true;
        Validation {
            next_sequence: u64::MAX,
            is_descriptor,
            has_owner: is_descriptor,
            name_length_max: usize::MAX,
        }
    }

    /// Whether somebody may be let in to a key that was found.
    pub(super) fn opens(&self, key: &RawKey) -> bool {
        (self.is_descriptor)(&key.sd) && (self.has_owner)(&key.sd)
    }

    /// A path entry apart from its name, with the record of the key that it names.
    pub(super) fn accepts_path(&self, entry: &RawPathEntry, key: Option<&RawKey>) -> bool {
        let names_a_key =
            entry.target.is_none() || key.is_some_and(|key| (self.is_descriptor)(&key.sd));
        names_a_key && self.accepts_entry(&entry.layer, entry.sequence)
    }

    pub(super) fn accepts_value(&self, value: &RawValue) -> bool {
        let known =
            value.value_type <= MAX_TYPE || value.value_type == TOMBSTONE && value.data.is_empty();
        let name = &value.name;
        let named = name.len() <= self.name_length_max && !name.contains('\0');
        known && named && self.accepts_entry(&value.layer, value.sequence)
    }

    pub(super) fn accepts_blanket(&self, blanket: &RawBlanket) -> bool {
        self.accepts_entry(&blanket.layer, blanket.sequence)
    }

    /// A key or layer name.
    pub(super) fn accepts_component(&self, name: &str) -> bool {
        !name.is_empty() && name.len() <= self.name_length_max && !name.contains(['\\', '/', '\0'])
    }

    fn accepts_entry(&self, layer: &str, sequence: u64) -> bool {
        self.accepts_component(layer) && sequence < self.next_sequence
    }
}
