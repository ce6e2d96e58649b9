//! Every statement about data. The schema is that of PSD-006 §3.1.
//!
//! A layer is compared by `fold(layer)`, a function of ours on each connection (D-06), after the
//! primary key has led to the few rows of one name. GUIDs are blobs of 16 bytes; sequence numbers
//! and times are the bits of a `u64` in SQLite's signed integer, and never compared in SQL.

/// A query over the database file, and over it and the volatile store together.
pub(super) struct Query {
    pub(super) main: &'static str,
    pub(super) merged: &'static str,
}

/// A mutation of the database file, and the same of the volatile store.
pub(super) struct Statement {
    pub(super) main: &'static str,
    pub(super) volatile: &'static str,
}

/// A removal from both, with a query for what it would remove from the volatile store: a statement that
/// removes nothing would lock its table all the same (PSD-006 §4.1, `LORE-070`).
pub(super) struct Removal {
    pub(super) statement: Statement,
    pub(super) volatile_rows: &'static str,
}

macro_rules! query {
    ($columns:literal, $rest:literal) => {
        Query {
            main: concat!("SELECT ", $columns, " FROM main.", $rest),
            merged: concat!(
                "SELECT ",
                $columns,
                " FROM main.",
                $rest,
                " UNION ALL SELECT ",
                $columns,
                " FROM volatile.",
                $rest
            ),
        }
    };
}

macro_rules! statement {
    ($verb:literal, $rest:literal) => {
        Statement {
            main: concat!($verb, " main.", $rest),
            volatile: concat!($verb, " volatile.", $rest),
        }
    };
}

macro_rules! removal {
    ($rest:literal) => {
        Removal {
            statement: statement!("DELETE FROM", $rest),
            volatile_rows: concat!("SELECT 1 FROM volatile.", $rest),
        }
    };
}

pub(super) const KEY_PLACE: Query = query!("volatile", "keys WHERE guid = ?1");

pub(super) const KEY_METADATA: Query =
    query!("sd, volatile, symlink, last_write_time", "keys WHERE guid = ?1");

pub(super) const KEY_RECORD: Query =
    query!("name, parent_guid, sd, volatile, symlink, last_write_time", "keys WHERE guid = ?1");

pub(super) const KEY_INSERT: Statement = statement!(
    "INSERT INTO",
    "keys (guid, name, name_folded, parent_guid, sd, volatile, symlink, last_write_time)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
);

pub(super) const KEY_UPDATE: Statement = statement!(
    "UPDATE",
    "keys SET sd = coalesce(?2, sd), last_write_time = coalesce(?3, last_write_time)
     WHERE guid = ?1"
);

pub(super) const KEY_DELETE: Removal = removal!("keys WHERE guid = ?1");

pub(super) const ENTRY_LOOKUP: Query = query!(
    "layer, target_type, target_guid, sequence",
    "path_entries WHERE parent_guid = ?1 AND child_name_folded = ?2"
);

pub(super) const ENTRY_ENUMERATE: Query = query!(
    "layer, target_type, target_guid, sequence, child_name, child_name_folded",
    "path_entries WHERE parent_guid = ?1"
);

pub(super) const ENTRY_EXISTS: Query = query!(
    "1",
    "path_entries WHERE parent_guid = ?1 AND child_name_folded = ?2 AND fold(layer) = ?3"
);

pub(super) const ENTRY_NAMES: Query =
    query!("1", "path_entries WHERE target_guid = ?1 AND target_type = 0");

pub(super) const ENTRY_INSERT: Statement = statement!(
    "INSERT INTO",
    "path_entries
     (parent_guid, child_name, child_name_folded, layer, target_type, target_guid, sequence)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
);

pub(super) const ENTRY_DELETE: Removal =
    removal!("path_entries WHERE parent_guid = ?1 AND child_name_folded = ?2 AND fold(layer) = ?3");

pub(super) const ENTRY_DELETE_TARGET: Removal =
    removal!("path_entries WHERE target_guid = ?1 AND target_type = 0");

/// Copies a key's entries from the database file; `ENTRY_DELETE_TARGET` then removes them there.
pub(super) const ENTRY_COPY_TO_VOLATILE: &str = "INSERT INTO volatile.path_entries
     SELECT * FROM main.path_entries WHERE target_guid = ?1 AND target_type = 0";

pub(super) const VALUE_ONE: Query = query!(
    "name, layer, type, data, sequence",
    "\"values\" WHERE key_guid = ?1 AND name_folded = ?2"
);

pub(super) const VALUE_ALL: Query =
    query!("name, layer, type, data, sequence", "\"values\" WHERE key_guid = ?1");

pub(super) const VALUE_STORED: Statement = statement!(
    "SELECT layer, sequence FROM",
    "\"values\" WHERE key_guid = ?1 AND name_folded = ?2 AND fold(layer) = ?3"
);

pub(super) const VALUE_REPLACE: Statement = statement!(
    "INSERT OR REPLACE INTO",
    "\"values\" (key_guid, name, name_folded, layer, type, data, sequence)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
);

pub(super) const VALUE_DELETE: Removal =
    removal!("\"values\" WHERE key_guid = ?1 AND name_folded = ?2 AND fold(layer) = ?3");

pub(super) const VALUE_DELETE_KEY: Removal = removal!("\"values\" WHERE key_guid = ?1");

pub(super) const BLANKET_ALL: Query =
    query!("layer, sequence", "blanket_tombstones WHERE key_guid = ?1");

pub(super) const BLANKET_INSERT: Statement =
    statement!("INSERT INTO", "blanket_tombstones (key_guid, layer, sequence) VALUES (?1, ?2, ?3)");

pub(super) const BLANKET_DELETE: Removal =
    removal!("blanket_tombstones WHERE key_guid = ?1 AND fold(layer) = ?2");

pub(super) const BLANKET_DELETE_KEY: Removal = removal!("blanket_tombstones WHERE key_guid = ?1");

pub(super) const LAYER_DELETE_ENTRIES: Removal = removal!("path_entries WHERE fold(layer) = ?1");

pub(super) const LAYER_DELETE_VALUES: Removal = removal!("\"values\" WHERE fold(layer) = ?1");

pub(super) const LAYER_DELETE_BLANKETS: Removal =
    removal!("blanket_tombstones WHERE fold(layer) = ?1");

/// The keys whose every path entry is in the layer, each once (LORE-124, LORE-125).
pub(super) const LAYER_ORPHANS: Query = Query {
    main: "SELECT DISTINCT gone.target_guid FROM main.path_entries AS gone
           WHERE gone.target_type = 0 AND fold(gone.layer) = ?1
           AND NOT EXISTS (SELECT 1 FROM main.path_entries AS kept
               WHERE kept.target_guid = gone.target_guid AND kept.target_type = 0
               AND fold(kept.layer) <> ?1)
           ORDER BY 1",
    merged: "SELECT DISTINCT gone.target_guid FROM (
               SELECT target_guid FROM main.path_entries
                   WHERE target_type = 0 AND fold(layer) = ?1
               UNION ALL SELECT target_guid FROM volatile.path_entries
                   WHERE target_type = 0 AND fold(layer) = ?1) AS gone
           WHERE NOT EXISTS (SELECT 1 FROM main.path_entries AS kept
               WHERE kept.target_guid = gone.target_guid AND kept.target_type = 0
               AND fold(kept.layer) <> ?1)
           AND NOT EXISTS (SELECT 1 FROM volatile.path_entries AS kept
               WHERE kept.target_guid = gone.target_guid AND kept.target_type = 0
               AND fold(kept.layer) <> ?1)
           ORDER BY 1",
};
