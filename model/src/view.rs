//! Effective views: what one caller sees of the whole registry at one moment.
//!
//! The common form in which the model's belief and a target's dump are compared. A view is keyed
//! by the canonical path as the model spells it; it says of each value which layer and sequence
//! number won, so that a difference can be traced to its contest.

use std::collections::BTreeMap;

/// A path from the hive on, component by component, in the spelling that opens it.
pub type Path = Vec<String>;

/// What a caller sees: a key record for every path that opens, and `None` for every path that
/// the model knows of (through any layer, active or not) but that must not open.
pub type View = BTreeMap<Path, Option<KeyView>>;

/// One key as a caller sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyView {
    /// Effective values by their stored spelling.
    pub values: BTreeMap<String, ValueView>,
    /// Names of visible subkeys, in their stored spelling.
    pub subkeys: std::collections::BTreeSet<String>,
    /// The volatile flag.
    pub volatile_key: bool,
    /// The symlink flag.
    pub symlink: bool,
    /// Size of the SD in bytes.
    pub sd_size: u32,
    /// What cannot be read, since the source answers with malformed data. What would be read there
    /// is empty, false or 0 above.
    pub unreadable: std::collections::BTreeSet<Part>,
}

/// A part of a key that takes requests of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The key itself: it cannot be opened, and nothing of it read.
    Key,
    /// Its values.
    Values,
    /// Its subkeys.
    Subkeys,
    /// What enumeration says of one subkey or more. They are not listed.
    SomeSubkeys,
    /// Its key info: the flags and the size of the SD.
    Information,
}

/// One effective value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueView {
    /// The type code.
    pub value_type: u32,
    /// The data.
    pub data: Vec<u8>,
    /// The layer whose entry won, in the layer table's spelling.
    pub layer: String,
    /// The sequence number of that entry.
    pub sequence: u64,
}
