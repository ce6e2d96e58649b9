//! Which responses conform, and what is learnt from one that does.
//!
//! An outcome is a pattern: what the text leaves to the source (the order of a list, the moment of
//! a creation) is a symbol, and accepting a response binds it in the store that follows. There is
//! no tolerance beside that.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Store;
use super::database::Database;
use super::message::{
    Blanket, Child, Guid, KeyMetadata, PathEntry, Payload, Response, Status, ValueEntry,
};
use crate::coverage::Covered;
use crate::database::Time;
use crate::outcome::Mismatch;

/// One way in which a request may be answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Which responses conform.
    pub outcome: Outcome,
    /// The requirements that decided it.
    pub covered: Covered,
    pub(super) next: Store,
}

/// Which responses conform. Lists are sorted here and in any order there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request is refused.
    Failed(Status),
    /// Success without anything after the status.
    Done,
    /// Of RSI_LOOKUP.
    Entries {
        /// The layers' entries.
        entries: Vec<PathEntry>,
        /// What is said of each key that an entry names.
        metadata: Vec<KeyPattern>,
    },
    /// Of RSI_ENUM_CHILDREN.
    Children {
        /// The entries of each child name, by its exact spelling (P-67).
        children: BTreeMap<Vec<u8>, Vec<PathEntry>>,
        /// What is said of each key that an entry names.
        metadata: Vec<KeyPattern>,
    },
    /// Of RSI_READ_KEY.
    Key {
        /// The name.
        name: Vec<u8>,
        /// The parent; [`Guid::ZERO`] for a hive root (P-60).
        parent: Guid,
        /// The rest.
        metadata: KeyPattern,
    },
    /// Of RSI_QUERY_VALUES.
    Values {
        /// The layers' entries.
        entries: Vec<ValueEntry>,
        /// The blanket tombstones.
        blankets: Vec<Blanket>,
    },
    /// Of RSI_DELETE_LAYER.
    Orphans(Vec<Guid>),
}

/// What a response says of a key, of which the last write time may not be known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    /// The key.
    pub guid: Guid,
    /// Its security descriptor.
    pub security_descriptor: Arc<[u8]>,
    /// Whether it is volatile.
    pub volatile_key: bool,
    /// Whether it is a symbolic link.
    pub symlink: bool,
    /// When it was last written.
    pub last_write_time: Time,
}

impl Answer {
    /// The store after this answer before anything is learnt from a response. It is what follows
    /// when a source dies after it has done its work and before it has answered.
    pub fn next(&self) -> &Store {
        &self.next
    }

    /// The store after this answer came as `response`.
    ///
    /// # Errors
    ///
    /// A [`Mismatch`] if the response does not conform to the outcome.
    pub fn accept(&self, response: &Response) -> Result<Store, Mismatch> {
        let learnt = self.outcome.matches(response).ok_or_else(|| Mismatch {
            expected: self.outcome.to_string(),
            got: response.to_string(),
        })?;
        let mut next = self.next.clone();
        for (key, time) in learnt {
            next.learn_time(key, time);
        }
        Ok(next)
    }
}

/// When keys were last written, as far as a response says.
type Learnt<'a> = Vec<(&'a KeyPattern, u64)>;

impl Outcome {
    /// One response that conforms, for whoever has no source at hand.
    pub fn example(&self) -> Response {
        let metadata = |patterns: &[KeyPattern]| patterns.iter().map(KeyPattern::example).collect();
        Response::Ok(match self {
            Outcome::Failed(status) => return Response::Failed(*status),
            Outcome::Done => Payload::StatusOnly,
            Outcome::Entries { entries, metadata: patterns } => {
                Payload::Entries { entries: entries.clone(), metadata: metadata(patterns) }
            }
            Outcome::Children { children, metadata: patterns } => Payload::Children {
                children: children
                    .iter()
                    .map(|(name, entries)| Child { name: name.clone(), entries: entries.clone() })
                    .collect(),
                metadata: metadata(patterns),
            },
            Outcome::Key { name, parent, metadata } => {
                Payload::Key { name: name.clone(), parent: *parent, metadata: metadata.example() }
            }
            Outcome::Values { entries, blankets } => {
                Payload::Values { entries: entries.clone(), blankets: blankets.clone() }
            }
            Outcome::Orphans(guids) => Payload::Orphans(guids.clone()),
        })
    }

    /// What is learnt from the response, if it conforms.
    fn matches(&self, response: &Response) -> Option<Learnt<'_>> {
        let payload = match (self, response) {
            (Outcome::Failed(expected), Response::Failed(got)) if expected == got => {
                return Some(Vec::new());
            }
            (_, Response::Failed(_)) => return None,
            (_, Response::Ok(payload)) => payload,
        };
        let nothing = |conforms: bool| conforms.then(Vec::new);
        match (self, payload) {
            (Outcome::Done, Payload::StatusOnly) => Some(Vec::new()),
            (
                Outcome::Entries { entries, metadata },
                Payload::Entries { entries: got, metadata: got_metadata },
            ) => {
                nothing(same(entries, got))?;
                metadata_matches(metadata, got_metadata)
            }
            (
                Outcome::Children { children, metadata },
                Payload::Children { children: got, metadata: got_metadata },
            ) => {
                nothing(children_match(children, got))?;
                metadata_matches(metadata, got_metadata)
            }
            (
                Outcome::Key { name, parent, metadata },
                Payload::Key { name: got_name, parent: got_parent, metadata: got },
            ) => {
                nothing(name == got_name && parent == got_parent)?;
                metadata_matches(std::slice::from_ref(metadata), std::slice::from_ref(got))
            }
            (
                Outcome::Values { entries, blankets },
                Payload::Values { entries: got, blankets: got_blankets },
            ) => nothing(same(entries, got) && same(blankets, got_blankets)),
            (Outcome::Orphans(guids), Payload::Orphans(got)) => nothing(same(guids, got)),
            _ => None,
        }
    }
}

/// Whether `got` is the sorted list `expected` in some order.
fn same<T: Ord + Clone>(expected: &[T], got: &[T]) -> bool {
    let mut got = got.to_vec();
    got.sort();
    expected == got
}

/// Each child name appears once, with its entries in some order.
fn children_match(expected: &BTreeMap<Vec<u8>, Vec<PathEntry>>, got: &[Child]) -> bool {
    let by_name: BTreeMap<&[u8], &[PathEntry]> =
        got.iter().map(|child| (&child.name[..], &child.entries[..])).collect();
    got.len() == expected.len()
        && by_name.len() == expected.len()
        && expected.iter().all(|(name, entries)| {
            by_name.get(&name[..]).is_some_and(|got_entries| same(entries, got_entries))
        })
}

fn metadata_matches<'a>(expected: &'a [KeyPattern], got: &[KeyMetadata]) -> Option<Learnt<'a>> {
    let mut got: Vec<&KeyMetadata> = got.iter().collect();
    got.sort();
    let pairs = expected.iter().zip(&got);
    let conforms = expected.len() == got.len()
        && pairs.clone().all(|(pattern, metadata)| pattern.admits(metadata));
    conforms.then(|| pairs.map(|(pattern, metadata)| (pattern, metadata.last_write_time)).collect())
}

impl KeyPattern {
    fn example(&self) -> KeyMetadata {
        self.at(self.last_write_time.latest())
    }

    fn at(&self, last_write_time: u64) -> KeyMetadata {
        KeyMetadata {
            guid: self.guid,
            security_descriptor: self.security_descriptor.to_vec(),
            volatile_key: u8::from(self.volatile_key),
            symlink: u8::from(self.symlink),
            last_write_time,
        }
    }

    fn admits(&self, got: &KeyMetadata) -> bool {
        self.last_write_time.admits(got.last_write_time) && self.at(got.last_write_time) == *got
    }
}

impl Store {
    /// Binds the time of a key that a response showed, wherever this very time stands.
    fn learn_time(&mut self, shown: &KeyPattern, time: u64) {
        if shown.last_write_time == Time::At(time) {
            return;
        }
        self.update_databases(|database: &mut Database| {
            if let Some(record) = database.keys.get(&shown.guid)
                && record.last_write_time == shown.last_write_time
            {
                let mut record = record.clone();
                record.last_write_time = Time::At(time);
                database.keys.insert_mut(shown.guid, record);
            }
        });
    }
}
