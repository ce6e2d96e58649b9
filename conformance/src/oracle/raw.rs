//! Raw entries of a store, as a target lays them open.
//!
//! They say what is stored, layer by layer, and nothing of what is effective (PSD-005 §2.3 to
//! §2.5). The sequence numbers are the stored ones.

use std::fmt;

use registry_model::view::Path;

/// A 128-bit identifier in wire order.
pub type Guid = [u8; 16];

/// Everything that a store holds of one hive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawHive {
    /// The name as registered.
    pub name: String,
    /// The scope GUID of a private hive.
    pub scope: Option<Guid>,
    /// The GUID of the root key, which has a record in `keys`.
    pub root: Guid,
    /// The path entries of all layers.
    pub path_entries: Vec<RawPathEntry>,
    /// The key records.
    pub keys: Vec<RawKey>,
    /// The value entries of all layers.
    pub values: Vec<RawValue>,
    /// The blanket tombstones of all layers.
    pub blankets: Vec<RawBlanket>,
}

impl RawHive {
    /// The highest sequence number stored; 0 if nothing carries one.
    pub fn max_sequence(&self) -> u64 {
        let entries = self.path_entries.iter().map(|entry| entry.sequence);
        let values = self.values.iter().map(|value| value.sequence);
        let blankets = self.blankets.iter().map(|blanket| blanket.sequence);
        entries.chain(values).chain(blankets).max().unwrap_or(0)
    }
}

/// A path entry (§2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPathEntry {
    /// The parent key.
    pub parent: Guid,
    /// The name as stored.
    pub child_name: String,
    /// The layer as stored.
    pub layer: String,
    /// The key, or `None` for HIDDEN.
    pub target: Option<Guid>,
    /// The sequence number.
    pub sequence: u64,
}

/// A key record (§2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawKey {
    /// The key.
    pub guid: Guid,
    /// The volatile flag.
    pub volatile_key: bool,
    /// The symlink flag.
    pub symlink: bool,
    /// The bytes of the SD.
    pub sd: Vec<u8>,
    /// The last write time, in Unix nanoseconds.
    pub last_write_time: u64,
}

/// A value entry, or a tombstone (§2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawValue {
    /// The key.
    pub key: Guid,
    /// The name as stored.
    pub name: String,
    /// The layer as stored.
    pub layer: String,
    /// The type code; 0xFFFF for a tombstone.
    pub value_type: u32,
    /// The data.
    pub data: Vec<u8>,
    /// The sequence number.
    pub sequence: u64,
}

/// A blanket tombstone (§2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBlanket {
    /// The key.
    pub key: Guid,
    /// The layer as stored.
    pub layer: String,
    /// The sequence number.
    pub sequence: u64,
}

/// Raw entries that have no effective view: a source that returns them is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The key at fault.
    pub path: Path,
    /// What is wrong, in words.
    pub problem: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.join("\\"), self.problem)
    }
}

impl std::error::Error for Malformed {}
