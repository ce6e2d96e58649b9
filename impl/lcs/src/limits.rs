//! Limits of our own, that no parameter names (PSD-005 §11.4 has the others).

/// Hive entries that a registration is read for at all: the ceiling of MaxHivesPerSource.
pub const HIVE_ENTRIES_READ_MAX: usize = 1024;
/// Bytes that a path is read for at all: more than the ceiling of MaxTotalPathLength. A longer one
/// is too long whatever follows.
pub const PATH_BYTES_READ_MAX: usize = 65_536;
/// Bytes of the longest name that MaxPathComponentLength can allow.
pub const NAME_LENGTH_CEILING: usize = 1024;
/// Open descriptors of one process.
pub const DESCRIPTORS_MAX: usize = 1 << 20;
/// How often an operation starts again because the layer table changed under it.
pub const TABLE_RETRIES_MAX: usize = 16;
/// Mutations of one transaction (D-83).
pub const MUTATIONS_PER_TRANSACTION_MAX: usize = 4096;
