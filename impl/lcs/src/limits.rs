//! The compiled-in defaults of the operational parameters (PSD-005 §11.4), and limits of our own
//! that no parameter names.

/// Nanoseconds that one request to a source may take, slot reservation included.
pub const REQUEST_TIMEOUT_NS: u64 = 30_000 * 1_000_000;
/// Components of a path, the hive's included.
pub const KEY_DEPTH_MAX: usize = 512;
/// Bytes of one component, value name or layer name.
pub const COMPONENT_LENGTH_MAX: usize = 255;
/// Bytes of a whole path, separators included.
pub const PATH_LENGTH_MAX: usize = 16_383;
/// Symlinks followed in one resolution.
pub const SYMLINK_DEPTH_MAX: usize = 16;
/// Bytes of one value's data.
pub const VALUE_SIZE_MAX: u32 = 1_048_576;
/// Layers with an entry for one value name of one key.
pub const LAYERS_PER_VALUE_MAX: usize = 128;
/// Layers in the table, base included (D-53).
pub const LAYERS_MAX: usize = 1024;
/// Disabled layers that one token carries.
pub const PRIVATE_LAYERS_PER_TOKEN_MAX: usize = 16;
/// Scopes that one token carries.
pub const SCOPES_PER_TOKEN_MAX: usize = 8;
/// Source slots, Down ones included.
pub const SOURCES_MAX: usize = 32;
/// Hives of one source.
pub const HIVES_PER_SOURCE_MAX: usize = 64;

/// Hive entries that a registration is read for at all: the ceiling of the parameter behind
/// [`HIVES_PER_SOURCE_MAX`].
pub const HIVE_ENTRIES_READ_MAX: usize = 1024;
/// Bytes that a path is read for at all: the ceiling of the parameter behind
/// [`PATH_LENGTH_MAX`]. A longer one is too long whatever follows.
pub const PATH_BYTES_READ_MAX: usize = 65_536;
/// Open descriptors of one process.
pub const DESCRIPTORS_MAX: usize = 1 << 20;
/// How often an operation starts again because the layer table changed under it.
pub const TABLE_RETRIES_MAX: usize = 16;
/// Requests that one source has in flight.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 256;
