//! Hive roots: which source has registered them, and what a source says of them again (PSD-005
//! §7.1, §7.3).

use std::collections::{BTreeMap, BTreeSet};

use registry_model::input::SourceId;

use super::frame::Guid;
use super::keys::shown;
use super::rules::{Failure, Held, Rule};

/// A hive that a source has registered: which one, and its root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServedRoot {
    /// The name in lower case.
    name: String,
    /// The scope of a private hive.
    scope: Option<[u8; 16]>,
    root: Guid,
}

impl ServedRoot {
    /// The hive of this name, global without a scope, and its root GUID.
    pub fn new(name: &str, scope: Option<[u8; 16]>, root: [u8; 16]) -> ServedRoot {
        ServedRoot { name: name.to_lowercase(), scope, root }
    }

    pub(super) fn root(&self) -> Guid {
        self.root
    }
}

/// What is known of roots.
#[derive(Clone, Debug, Default)]
pub(super) struct Roots {
    /// Whose live connection serves a root. Several, if sources registered one GUID for several
    /// hives.
    homes: BTreeMap<Guid, BTreeSet<SourceId>>,
    /// What each live connection serves.
    served: BTreeMap<SourceId, Vec<ServedRoot>>,
    /// Hives of this boot that have lost a connection.
    once_lost: BTreeSet<ServedRoot>,
    /// Roots of hives that were registered again, with the connection that serves them.
    resumed: BTreeSet<(Guid, SourceId)>,
    /// The root GUID of each hive on a source's disk, by source and name in lower case.
    kept: BTreeMap<(SourceId, String), Guid>,
}

impl Roots {
    /// A source has registered or resumed hives with these roots.
    pub(super) fn registered(&mut self, source: SourceId, hives: &[ServedRoot]) {
        for hive in hives {
            self.homes.entry(hive.root).or_default().insert(source);
            if self.once_lost.contains(hive) {
                self.resumed.insert((hive.root, source));
            }
        }
        self.served.entry(source).or_default().extend_from_slice(hives);
    }

    /// A connection is gone.
    pub(super) fn disconnected(&mut self, source: SourceId) {
        for homes in self.homes.values_mut() {
            homes.remove(&source);
        }
        self.homes.retain(|_, homes| !homes.is_empty());
        self.once_lost.extend(self.served.remove(&source).unwrap_or_default());
        self.resumed.retain(|(_, of)| *of != source);
    }

    /// The machine went down.
    pub(super) fn rebooted(&mut self) {
        self.homes.clear();
        self.served.clear();
        self.once_lost.clear();
        self.resumed.clear();
    }

    /// Checks that a request about a root goes to a source that has registered it.
    pub(super) fn asked(
        &self,
        held: &mut Held,
        source: SourceId,
        key: Guid,
    ) -> Result<(), Failure> {
        let Some(homes) = self.homes.get(&key) else { return Ok(()) };
        if !homes.contains(&source) {
            let message = format!("{} is the root of another source's hive", shown(key));
            return Err(Failure::new(Rule::RootAtHome, message));
        }
        let sources: BTreeSet<&SourceId> = self.homes.values().flatten().collect();
        if sources.len() > 1 {
            held.mark(Rule::RootAtHome);
        }
        if self.resumed.contains(&(key, source)) {
            held.mark(Rule::RootResumed);
        }
        Ok(())
    }

    /// Checks that a request about a key below a root goes to a source that has registered the root.
    pub(super) fn asked_below(
        &self,
        held: &mut Held,
        source: SourceId,
        (root, key): (Guid, Guid),
    ) -> Result<(), Failure> {
        let Some(homes) = self.homes.get(&root) else { return Ok(()) };
        held.require(Rule::KeyAtHome, homes.contains(&source), || {
            format!("{} is a key of another source's hive", shown(key))
        })
    }

    /// Whether any of these hives has lost a connection since the machine came up: a slot that is
    /// registered again. A hive of another slot may have the same root GUID (P-50).
    pub(super) fn is_resumed(&self, hives: &[ServedRoot]) -> bool {
        hives.iter().any(|hive| self.once_lost.contains(hive))
    }

    /// Whether a source keeps hives on a disk: one of those that were started, and not one that a
    /// caller plays.
    pub(super) fn is_keeper(&self, source: SourceId) -> bool {
        self.kept.keys().any(|(of, _)| *of == source)
    }

    /// Checks the roots of hives that a source keeps on its disk.
    pub(super) fn kept(
        &mut self,
        held: &mut Held,
        source: SourceId,
        hives: &[(String, Guid)],
    ) -> Result<(), Failure> {
        for (name, root) in hives {
            let place = (source, name.to_lowercase());
            let is_own = self.kept.iter().all(|(other, kept)| *other == place || kept != root);
            if !is_own {
                return Err(Failure::new(Rule::RootOwn, format!("{} is another's", shown(*root))));
            }
            if self.kept.keys().any(|other| *other != place) {
                held.mark(Rule::RootOwn);
            }
            match self.kept.insert(place, *root) {
                None => {}
                Some(before) => held.require(Rule::RootReported, before == *root, || {
                    format!("{name} had {} and has {}", shown(before), shown(*root))
                })?,
            }
        }
        Ok(())
    }
}
