//! The stored entries as they are, for a reader that resolves them by itself.
//!
//! Shows the records of PSD-005 §2.3 to §2.6 without applying any rule to them.

use crate::database::{Guid, HiveId, Target};
use crate::security::Token;
use crate::state::{Hive, State};
use crate::view::Path;

/// The number by which the model tells keys apart. It means nothing outside one state.
pub type KeyNumber = u64;

/// A stored record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RawEntry {
    /// The root key of a registered hive.
    Root {
        /// The hive's registered name.
        hive: String,
        /// Its root.
        key: KeyNumber,
    },
    /// A path entry.
    Path {
        /// The parent.
        parent: KeyNumber,
        /// The path at which the parent was created.
        parent_path: Path,
        /// The child's name as the entry spells it.
        name: String,
        /// The layer as the entry spells it.
        layer: String,
        /// The key, or `None` for HIDDEN.
        target: Option<KeyNumber>,
        /// The sequence number.
        sequence: u64,
    },
    /// A value entry.
    Value {
        /// The key.
        key: KeyNumber,
        /// The path at which the key was created.
        key_path: Path,
        /// The value's name as the entry spells it.
        name: String,
        /// The layer as the entry spells it.
        layer: String,
        /// The type code, 0xFFFF for a tombstone.
        value_type: u32,
        /// The data.
        data: Vec<u8>,
        /// The sequence number.
        sequence: u64,
    },
    /// A blanket tombstone.
    Blanket {
        /// The key.
        key: KeyNumber,
        /// The path at which the key was created.
        key_path: Path,
        /// The layer as the entry spells it.
        layer: String,
        /// The sequence number.
        sequence: u64,
    },
}

/// A layer of the layer table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawLayer {
    /// Its name.
    pub name: String,
    /// Its precedence.
    pub precedence: u32,
    /// Whether it is enabled.
    pub enabled: bool,
}

impl State {
    /// Every stored record of the registered global hives.
    pub fn raw(&self) -> impl Iterator<Item = RawEntry> + '_ {
        self.raw_of(self.global_hives().collect())
    }

    /// Every stored record of the hives that a thread with this token can name.
    pub fn raw_for(&self, token: &Token) -> impl Iterator<Item = RawEntry> + '_ {
        self.raw_of(self.hives_for(token))
    }

    fn raw_of<'a>(&'a self, hives: Vec<(HiveId, &'a Hive)>) -> impl Iterator<Item = RawEntry> + 'a {
        hives.into_iter().flat_map(move |(id, hive)| {
            let database = self.database(id);
            let path = move |key: Guid| self.created_at(id, key);
            let root =
                RawEntry::Root { hive: hive.name.spelling().to_owned(), key: database.root.0 };
            let paths = database.path_entries.iter().flat_map(move |(parent, names)| {
                names.values().flat_map(|entries| entries.values()).map(move |entry| {
                    RawEntry::Path {
                        parent: parent.0,
                        parent_path: path(*parent),
                        name: entry.name.spelling().to_owned(),
                        layer: entry.layer.spelling().to_owned(),
                        target: match entry.target {
                            Target::Key(key) => Some(key.0),
                            Target::Hidden => None,
                        },
                        sequence: entry.sequence,
                    }
                })
            });
            let values = database.values.iter().flat_map(move |(key, names)| {
                names.values().flat_map(|entries| entries.values()).map(move |entry| {
                    RawEntry::Value {
                        key: key.0,
                        key_path: path(*key),
                        name: entry.name.spelling().to_owned(),
                        layer: entry.layer.spelling().to_owned(),
                        value_type: entry.value_type,
                        data: entry.data.to_vec(),
                        sequence: entry.sequence,
                    }
                })
            });
            let blankets = database.blankets.iter().flat_map(move |(key, layers)| {
                layers.values().map(move |blanket| RawEntry::Blanket {
                    key: key.0,
                    key_path: path(*key),
                    layer: blanket.layer.spelling().to_owned(),
                    sequence: blanket.sequence,
                })
            });
            std::iter::once(root).chain(paths).chain(values).chain(blankets)
        })
    }

    /// The layer table.
    pub fn layers(&self) -> Vec<RawLayer> {
        let layers = self.layers.values().map(|layer| RawLayer {
            name: layer.name.spelling().to_owned(),
            precedence: layer.precedence,
            enabled: layer.enabled,
        });
        layers.collect()
    }

    /// The sequence number that the next allocation will use.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The path at which a key was created, as far up as its ancestors still have records.
    fn created_at(&self, hive: HiveId, key: Guid) -> Path {
        let keys = &self.database(hive).keys;
        let mut path = Vec::new();
        let mut record = keys.get(&key);
        while let Some(found) = record {
            path.push(found.name.spelling().to_owned());
            record = found.parent.and_then(|parent| keys.get(&parent));
        }
        path.reverse();
        path
    }
}
