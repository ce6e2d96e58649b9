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
/// Bytes of a stream that are read or written at a time.
pub const STREAM_CHUNK_BYTES: usize = 65_536;
/// Bytes of a backup's longest value: the ceiling of MaxValueSize.
pub const VALUE_BYTES_CEILING: usize = 67_108_864;
/// Path entries of one key that a restore keeps until the key is made.
pub const SECTION_ENTRIES_MAX: usize = 65_536;
/// Bytes that a backup keeps of its first pass, so as not to ask for them again.
pub const SURVEY_BYTES_KEPT_MAX: usize = 16 << 20;
/// Keys that a walk asks for ahead of the one at hand.
pub const KEYS_AHEAD_MAX: usize = 32;
/// Keys whose content is waited for together, so that neither side wakes the other for each of them.
pub const KEYS_AT_ONCE: usize = 8;
/// Mutations of a restore that are on the way at once.
pub const RESTORE_REQUESTS_MAX: usize = 64;
