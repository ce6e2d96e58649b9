//! Everything that a store holds, as it holds it: the input of an oracle that trusts no store, and
//! a way in for records that no request can make.
//!
//! Order is not part of it, except that hives come as configured.

use rsi::{Guid, Status};

/// A store whose content can be looked at from outside.
pub trait Inspect {
    /// Every record of every hive, as committed.
    ///
    /// # Errors
    /// `StorageError` when the content cannot be read or is damaged, `TransactionBusy` while an
    /// open transaction keeps part of it locked.
    fn raw(&mut self) -> Result<Vec<RawHive>, Status>;
}

/// A store into which records can be put as they are, for whoever tests what reads them.
pub trait Seed {
    /// Puts a record in, in place of the one with the same identity. Nothing is validated, and no
    /// other record changes; what does not fit together, a restart may clean up.
    ///
    /// # Errors
    /// `NotFound` when the store has no hive with this root, or no record of the key that a value
    /// or blanket tombstone belongs to. `TransactionBusy` while a transaction is open,
    /// `StorageError` when the record cannot be written.
    fn seed(&mut self, root: Guid, record: RawRecord) -> Result<(), Status>;
}

/// One record of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawRecord {
    /// A key record; its identity is its GUID.
    Key(RawKey),
    /// A path entry; its identity is the parent, the folded name and the folded layer.
    PathEntry(RawPathEntry),
    /// A value entry; its identity is the key, the folded name and the folded layer. It goes where
    /// its key is, whatever `stored_volatile` says.
    Value(RawValue),
    /// A blanket tombstone; its identity is the key and the folded layer. It goes where its key is.
    Blanket(RawBlanket),
    /// The record of this key is to go, with its values and blanket tombstones. Path entries that
    /// name it stay.
    LostKey(Guid),
}

/// The records of one hive, persistent and volatile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawHive {
    /// The hive's name as configured.
    pub name: String,
    /// Its root key.
    pub root: Guid,
    /// Key records.
    pub keys: Vec<RawKey>,
    /// Path entries.
    pub path_entries: Vec<RawPathEntry>,
    /// Value entries.
    pub values: Vec<RawValue>,
    /// Blanket tombstones.
    pub blankets: Vec<RawBlanket>,
}

/// A key record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawKey {
    /// Identity.
    pub guid: Guid,
    /// Name as spelled at creation.
    pub name: String,
    /// The parent, or `None` for a hive root.
    pub parent: Option<Guid>,
    /// Security descriptor.
    pub sd: Vec<u8>,
    /// Whether it is kept in the volatile store.
    pub volatile_key: bool,
    /// Symlink flag.
    pub symlink: bool,
    /// Unix nanoseconds.
    pub last_write_time: u64,
}

/// A path entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawPathEntry {
    /// The key below which it names something.
    pub parent: Guid,
    /// The name as spelled in this entry.
    pub child_name: String,
    /// The layer as spelled in this entry.
    pub layer: String,
    /// The key named, or `None` for HIDDEN.
    pub target: Option<Guid>,
    /// Sequence number.
    pub sequence: u64,
    /// Whether it is kept in the volatile store.
    pub stored_volatile: bool,
}

/// A value entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawValue {
    /// The key it belongs to.
    pub key: Guid,
    /// The value's name as spelled in this entry.
    pub name: String,
    /// The layer as spelled in this entry.
    pub layer: String,
    /// Type code, REG_TOMBSTONE included.
    pub value_type: u32,
    /// Data; empty for a tombstone.
    pub data: Vec<u8>,
    /// Sequence number.
    pub sequence: u64,
    /// Whether it is kept in the volatile store.
    pub stored_volatile: bool,
}

/// A blanket tombstone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawBlanket {
    /// The key it lies on.
    pub key: Guid,
    /// The layer as spelled in this entry.
    pub layer: String,
    /// Sequence number.
    pub sequence: u64,
    /// Whether it is kept in the volatile store.
    pub stored_volatile: bool,
}
