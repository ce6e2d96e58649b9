//! Starting a source: first boot, restart, and what it registers.
//!
//! States "Hive root creation" and "Crash recovery" of PSD-005 §7.3, the registration of §7.1 as a
//! source fills it in, and the startup sequence of PSD-006 §2.1 from the missing root key on.

use std::collections::BTreeSet;

use super::Store;
use super::database::{Database, KeyRecord, Map, Target, remove_where};
use super::message::{Guid, Registration};
use crate::coverage::{Covered, covers};
use crate::database::Time;
use crate::errno::Errno;
use crate::input::UnixTime;
use crate::limits::Limits;
use crate::names::{FoldedName, KeyName};
use crate::outcome::Mismatch;
use crate::security::default_root_sd;

/// What a source is told when it is started, and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    hives: Vec<KeyName>,
    /// Whether it has read-write transactions (SRC-14).
    pub read_write_transactions: bool,
    /// Whether it has read-only snapshots (SRC-17).
    pub read_only_transactions: bool,
}

impl Description {
    /// A source that serves these hives and has transactions of both kinds.
    ///
    /// # Errors
    ///
    /// EINVAL for a hive name that no registration may have (D-05, the alias of §2.2 included), for no
    /// hive at all and for two of one name (LORE-009).
    pub fn new(hives: &[&str]) -> Result<Description, Errno> {
        let limits = Limits::default();
        let names: Result<Vec<KeyName>, Errno> =
            hives.iter().map(|name| KeyName::parse(name.as_bytes(), &limits)).collect();
        let names = names.map_err(|_| Errno::EINVAL)?;
        let alias = FoldedName::of("CurrentUser");
        let repeated = names
            .iter()
            .enumerate()
            .any(|(at, name)| names[..at].iter().any(|earlier| earlier.folded() == name.folded()));
        if names.is_empty() || repeated || names.iter().any(|name| *name.folded() == alias) {
            return Err(Errno::EINVAL);
        }
        Ok(Description {
            hives: names,
            read_write_transactions: true,
            read_only_transactions: true,
        })
    }

    /// The names of the hives, as they were given.
    pub fn hives(&self) -> impl Iterator<Item = &str> {
        self.hives.iter().map(KeyName::spelling)
    }

    /// The requirements that any registration of it follows.
    fn registered(&self) -> Covered {
        let mut covered = Covered::new();
        covers!(covered, "SRC-27", "LORE-005", "LORE-006", "LORE-034", "LORE-035", "REG-03");
        covers!(covered, "SEQ-12", "LORE-031");
        if self.hives.len() > 1 {
            covers!(covered, "HIVE-05", "LORE-032");
        }
        covered
    }

    pub(super) fn serves(&self, hive: &FoldedName) -> bool {
        self.hives.iter().any(|name| name.folded() == hive)
    }
}

/// A source that has put its stores in order and has not registered yet.
#[derive(Clone, Debug)]
pub struct Start {
    /// The requirements that decided what is registered.
    pub covered: Covered,
    description: Description,
    /// The stores as far as they are known: a hive whose root key is missing may be in it without.
    databases: Map<FoldedName, Database>,
    /// The GUIDs that were there before the clean-up.
    used: BTreeSet<Guid>,
    /// When the source was starting.
    time: Time,
    /// Whether the backing store may fail.
    storage_fails: bool,
}

impl Store {
    /// A source that is started over empty stores, at some moment from `began` to `ended`.
    pub fn first_boot(description: &Description, began: UnixTime, ended: UnixTime) -> Start {
        let mut covered = description.registered();
        covers!(covered, "SRC-23", "SRC-24", "SRC-25", "LORE-023");
        Start {
            covered,
            description: description.clone(),
            databases: Map::new_sync(),
            used: BTreeSet::new(),
            time: Time::Within(began, ended),
            storage_fails: false,
        }
    }

    /// The source after its process has ended and was started again, at some moment from `began`
    /// to `ended`. What no response had confirmed is as this store has it.
    pub fn restart(&self, began: UnixTime, ended: UnixTime) -> Start {
        let mut covered = self.description.registered();
        covers!(covered, "SRC-26", "LORE-024");
        if !self.transactions.is_empty() {
            covers!(covered, "LORE-030");
        }
        if self.ended_transactions.values().any(|ended| ended.has_changed) {
            covers!(covered, "OP-62");
        }
        let used = self.hives.values().flat_map(Database::guids).collect();
        let databases = self.hives.iter().map(|(name, database)| {
            let mut database = database.clone();
            recover(&mut database, &mut covered);
            (name.clone(), database)
        });
        let databases = databases.collect();
        let description = self.description.clone();
        let (time, storage_fails) = (Time::Within(began, ended), self.storage_fails);
        Start { covered, description, databases, used, time, storage_fails }
    }
}

/// Volatile data is gone (KEY-32), path entries whose key record is missing are removed (D-29),
/// orphans are purged (SRC-28). Nothing else changes (D-111).
fn recover(database: &mut Database, covered: &mut Covered) {
    let volatile: Vec<Guid> = database
        .keys
        .iter()
        .filter(|(_, record)| record.volatile_key)
        .map(|(guid, _)| *guid)
        .collect();
    if !volatile.is_empty() {
        covers!(covered, "KEY-32", "LORE-041");
    }
    for guid in volatile {
        database.purge(guid);
    }
    let keys = database.keys.clone();
    remove_where(&mut database.path_entries, |_, entry| {
        entry.below_volatile_key
            || matches!(entry.target, Target::Key(guid) if !keys.contains_key(&guid))
    });
    let orphans = database.orphans();
    if !orphans.is_empty() {
        covers!(covered, "SRC-28", "DEL-50", "DEL-59", "LORE-029");
    }
    for guid in orphans {
        database.purge(guid);
    }
}

impl Start {
    /// Whether the source may end without having registered: a store that fails keeps it from putting
    /// itself in order. Whoever registers has finished that, the clean-up of orphans included (SRC-29).
    pub fn may_stay_away(&self) -> bool {
        self.storage_fails
    }

    /// The highest sequence number over all hives, which is what is registered (LORE-032, P-69).
    pub fn max_sequence(&self) -> u64 {
        self.databases.values().map(Database::max_sequence).max().unwrap_or(0)
    }

    /// The hives as they are registered, in any order: the name, and the root if it is there
    /// already. A root that is made now has a fresh GUID.
    pub fn hives(&self) -> impl Iterator<Item = (&str, Option<Guid>)> {
        self.description.hives.iter().map(|name| (name.spelling(), self.root(name)))
    }

    /// The source in its request loop, after it has registered with this.
    ///
    /// # Errors
    ///
    /// A [`Mismatch`] if a hive, a root, a flag or the highest sequence number is not as it should.
    pub fn register(&self, registration: &Registration) -> Result<Store, Mismatch> {
        if !self.admits(registration) {
            return Err(Mismatch { expected: self.to_string(), got: registration.to_string() });
        }
        let mut hives = Map::new_sync();
        for hive in &registration.hives {
            let name =
                self.description.hives.iter().find(|name| name.spelling().as_bytes() == hive.name);
            if let Some(name) = name {
                let folded = name.folded();
                hives.insert_mut(folded.clone(), self.with_root(name, hive.root));
            }
        }
        Ok(Store {
            description: self.description.clone(),
            hives,
            transactions: Map::new_sync(),
            lock_released_at: Map::new_sync(),
            written_at: Map::new_sync(),
            ended_transactions: Map::new_sync(),
            storage_fails: self.storage_fails,
        })
    }

    fn root(&self, name: &KeyName) -> Option<Guid> {
        let database = self.databases.get(name.folded())?;
        database.is_root(database.root).then_some(database.root)
    }

    fn admits(&self, registration: &Registration) -> bool {
        let hives = &registration.hives;
        let each_root_once = hives
            .iter()
            .enumerate()
            .all(|(at, hive)| hives[..at].iter().all(|earlier| earlier.root != hive.root));
        let every_hive = self.description.hives.iter().all(|name| {
            hives.iter().any(|hive| {
                hive.name == name.spelling().as_bytes()
                    && hive.flags == 0
                    && match self.root(name) {
                        Some(root) => hive.root == root,
                        None => self.is_fresh(hive.root),
                    }
            })
        });
        hives.len() == self.description.hives.len()
            && every_hive
            && each_root_once
            && registration.max_sequence == self.max_sequence()
    }

    /// Whether no key has, or had as far as is known, this GUID (§2.3).
    fn is_fresh(&self, guid: Guid) -> bool {
        guid != Guid::ZERO && !self.used.contains(&guid)
    }

    /// The store of a hive, with its root key made if there is none (P-01).
    fn with_root(&self, name: &KeyName, root: Guid) -> Database {
        let record = || KeyRecord {
            name: name.spelling().into(),
            parent: None,
            security_descriptor: default_root_sd().into(),
            volatile_key: false,
            symlink: false,
            last_write_time: self.time,
        };
        match self.databases.get(name.folded()) {
            None => Database::new(root, record()),
            Some(database) if database.is_root(root) => database.clone(),
            Some(database) => {
                let keys = database.keys.insert(root, record());
                Database { root, keys, ..database.clone() }
            }
        }
    }
}
