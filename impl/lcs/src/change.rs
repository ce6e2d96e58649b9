//! One mutation that a source has accepted, as the kernel half remembers it until its effects are
//! published: at once outside a transaction, at the commit inside one (PSD-005 §5.1, mutation log).
//!
//! Plain data. It says what was stored and nothing of what that makes of the effective state.

use rsi::{BlanketEntry, Guid, PathEntry, ValueEntry};

use crate::key_file::Position;
use crate::name::FoldedName;
use crate::resolve::folded;

/// An accepted mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedChange {
    /// The key whose values, descriptor or child names changed, with the way by which whoever
    /// changed it reached it. For a path entry that is the key above the name.
    pub position: Position,
    /// What was done there.
    pub effect: Effect,
}

/// What an accepted mutation stored or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A layer's entry of a value was written, a tombstone included.
    ValueSet(ValueEntry),
    /// A layer's entry of a value was removed, if there was one.
    ValueRemoved {
        /// The value's name.
        name: Vec<u8>,
        /// The layer.
        layer: FoldedName,
    },
    /// A layer's blanket tombstone was written.
    BlanketSet(BlanketEntry),
    /// A layer's blanket tombstone was removed, if there was one.
    BlanketRemoved {
        /// The layer.
        layer: FoldedName,
    },
    /// A new key was stored, and a layer's path entry that names it.
    KeyCreated {
        /// The key's name below the position, as its creator spelled it.
        name: String,
        /// The layer's entry now; it names the new key.
        entry: PathEntry,
        /// The new key's descriptor.
        sd: Vec<u8>,
    },
    /// A layer's path entry became HIDDEN.
    PathHidden {
        /// The name below the position, as the fd's path spells it.
        name: String,
        /// The layer's entry now; it names no key.
        entry: PathEntry,
    },
    /// A layer's path entry was removed, if there was one.
    PathRemoved {
        /// The name below the position, as the fd's path spells it.
        name: String,
        /// The layer.
        layer: FoldedName,
    },
    /// The key's descriptor was replaced.
    SecuritySet {
        /// All of the descriptor that the key has now.
        sd: Vec<u8>,
    },
}

impl AcceptedChange {
    /// Of the key at a position, or of the names below it.
    pub fn of(position: &Position, effect: Effect) -> Self {
        Self { position: position.clone(), effect }
    }

    /// The path entries of one name that changed, if it was path entries.
    pub fn child_name(&self) -> Option<&str> {
        match &self.effect {
            Effect::KeyCreated { name, .. }
            | Effect::PathHidden { name, .. }
            | Effect::PathRemoved { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Whether it can take a key its last name.
    pub const fn takes_name(&self) -> bool {
        matches!(self.effect, Effect::PathHidden { .. } | Effect::PathRemoved { .. })
    }

    /// The key that was created, if one was.
    pub fn created_key(&self) -> Option<Guid> {
        match &self.effect {
            Effect::KeyCreated { entry, .. } => entry.target,
            _ => None,
        }
    }

    /// The layer written into, removals included; none for a descriptor.
    pub fn layer(&self) -> Option<FoldedName> {
        match &self.effect {
            Effect::ValueRemoved { layer, .. }
            | Effect::BlanketRemoved { layer }
            | Effect::PathRemoved { layer, .. } => Some(layer.clone()),
            _ => self.layer_of_entry(),
        }
    }

    /// The layer that has an entry by it.
    pub fn layer_of_entry(&self) -> Option<FoldedName> {
        match &self.effect {
            Effect::ValueSet(entry) => Some(folded(&entry.layer)),
            Effect::BlanketSet(entry) => Some(folded(&entry.layer)),
            Effect::KeyCreated { entry, .. } | Effect::PathHidden { entry, .. } => {
                Some(folded(&entry.layer))
            }
            _ => None,
        }
    }
}
