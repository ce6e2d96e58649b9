//! Layer resolution: which of several layers' entries is effective.
//!
//! States PSD-005 §2.7 from "Pseudocode conventions" on, and the resolution rules of §2.4 and
//! §2.5. Takes stored entries and a layer table and chooses; knows no call and changes nothing.

use crate::coverage::{Covered, covers};
use crate::database::{
    BlanketTombstone, Database, Guid, Layered, Map, PathEntry, Target, ValueEntry,
};
use crate::layers::{BASE, Layer};
use crate::limits::Limits;
use crate::names::FoldedName;
use crate::responses::{Fault, Malformed};
use crate::security::Token;
use crate::values::REG_TOMBSTONE;

/// Through which private layers resolution takes place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Viewer {
    private_layers: Vec<FoldedName>,
}

impl Viewer {
    /// Nobody in particular: the enabled layers alone.
    pub(crate) fn global() -> Viewer {
        Viewer::default()
    }

    /// A thread with this token.
    pub(crate) fn of(token: &Token) -> Viewer {
        let mut private_layers: Vec<FoldedName> =
            token.0.private_layers.iter().map(|name| FoldedName::of(name)).collect();
        private_layers.sort();
        Viewer { private_layers }
    }

    pub(crate) fn private_layers(&self) -> &[FoldedName] {
        &self.private_layers
    }

    /// Whether a layer is active for this viewer.
    pub(crate) fn is_active(&self, layer: &Layer) -> bool {
        layer.enabled || self.private_layers.contains(layer.name.folded())
    }
}

/// How contested a resolution was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contest {
    /// How many active candidates there were.
    pub active: u32,
    /// How many of them had the highest precedence.
    pub top: u32,
}

impl Contest {
    /// The more contested of the two.
    pub(crate) fn max(self, other: Contest) -> Contest {
        if (other.active, other.top) > (self.active, self.top) { other } else { self }
    }
}

/// Everything that resolution looks at.
#[derive(Clone, Copy)]
pub(crate) struct Resolver<'a> {
    pub(crate) database: &'a Database,
    pub(crate) layers: &'a Map<FoldedName, Layer>,
    pub(crate) viewer: &'a Viewer,
    pub(crate) next_sequence: u64,
    pub(crate) limits: &'a Limits,
    /// Whether nothing that the hive holds can be malformed.
    pub(crate) is_trusted: bool,
    pub(crate) purpose: Purpose,
}

/// What a request is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// What a caller asked.
    Call,
    /// What the kernel wants to know for itself: it judges SDs where it uses them (LAYER-50, P-75).
    Kernel,
}

/// One that competes: `(precedence, sequence, item)`.
struct Candidate<T> {
    precedence: u32,
    sequence: u64,
    item: T,
}

/// Collects candidates and keeps the greatest by precedence, then by sequence.
struct Selection<T> {
    winner: Option<Candidate<T>>,
    /// Whether another candidate equals the winner in both.
    tie: bool,
    contest: Contest,
}

impl<T> Selection<T> {
    fn new() -> Selection<T> {
        Selection { winner: None, tie: false, contest: Contest::default() }
    }

    fn add(&mut self, candidate: Candidate<T>, covered: &mut Covered) {
        self.contest.active += 1;
        let Some(winner) = &self.winner else {
            self.contest.top = 1;
            self.winner = Some(candidate);
            return;
        };
        if candidate.precedence != winner.precedence {
            covers!(covered, "RES-10", "LAYER-06", "REG-36");
        }
        if candidate.precedence > winner.precedence {
            if candidate.sequence < winner.sequence {
                covers!(covered, "LAYER-21");
            }
            self.contest.top = 1;
            self.tie = false;
            self.winner = Some(candidate);
        } else if candidate.precedence == winner.precedence {
            covers!(covered, "SEQ-21", "LAYER-20");
            self.contest.top += 1;
            self.tie = candidate.sequence == winner.sequence
                || self.tie && candidate.sequence < winner.sequence;
            if candidate.sequence > winner.sequence {
                self.winner = Some(candidate);
            }
        } else if candidate.sequence > winner.sequence {
            covers!(covered, "LAYER-21");
        }
    }

    /// The winner.
    ///
    /// # Errors
    ///
    /// If two candidates tie for the win (SEQ-19, D-34).
    fn finish(self, covered: &mut Covered) -> Result<Option<Candidate<T>>, Malformed> {
        if self.tie {
            covers!(covered, "SEQ-19", "SRC-47");
            return Err(Malformed::of(Fault::Tie, None, covered));
        }
        Ok(self.winner)
    }
}

/// An effective value with the entry it comes from.
pub(crate) struct EffectiveValue<'a> {
    pub(crate) entry: &'a ValueEntry,
    pub(crate) layer: &'a Layer,
}

/// What the contest for a value comes to.
pub(crate) enum Effective<'a> {
    /// A value.
    Value(EffectiveValue<'a>),
    /// A tombstone of this name.
    Tombstone,
    /// A blanket tombstone.
    Blanket {
        /// Whether there would be a value without one.
        masks: bool,
    },
    /// No layer has anything.
    Nothing,
}

impl<'a> Effective<'a> {
    /// What a caller sees.
    pub(crate) fn value(self) -> Option<EffectiveValue<'a>> {
        match self {
            Effective::Value(value) => Some(value),
            Effective::Tombstone | Effective::Blanket { .. } | Effective::Nothing => None,
        }
    }
}

/// An effective path entry with the key it leads to.
pub(crate) struct EffectiveChild<'a> {
    pub(crate) entry: &'a PathEntry,
    pub(crate) key: Guid,
}

impl<'a> Resolver<'a> {
    /// The layer of an entry, if it is known and active.
    fn active_layer(&self, name: &FoldedName) -> Result<&'a Layer, Passed> {
        let layer = self.layers.get(name).ok_or(Passed::Unknown)?;
        if self.viewer.is_active(layer) { Ok(layer) } else { Err(Passed::Inactive) }
    }

    /// What an active layer shows that only the viewer's token makes active.
    fn mark_private(&self, layer: &Layer, covered: &mut Covered) -> bool {
        if layer.enabled {
            return false;
        }
        covers!(covered, "PRIV-13", "PRIV-17", "PRIV-20", "PRIV-21");
        if self.viewer.private_layers.len() > 1 {
            covers!(covered, "PRIV-14");
        }
        true
    }

    /// The effective value at (key, value name): `resolve_value`.
    pub(crate) fn value(
        &self,
        key: Guid,
        name: &str,
        covered: &mut Covered,
    ) -> Result<(Option<EffectiveValue<'a>>, Contest), Malformed> {
        let (effective, contest) = self.effective(key, name, covered)?;
        Ok((effective.value(), contest))
    }

    /// What wins for a value name of a key, be it a tombstone.
    pub(crate) fn effective(
        &self,
        key: Guid,
        name: &str,
        covered: &mut Covered,
    ) -> Result<(Effective<'a>, Contest), Malformed> {
        let entries = self.database.value(key, name);
        let blankets = self.database.blankets.get(&key);
        self.check_values(entries, blankets, covered)?;
        self.resolve_value(entries, blankets, covered)
    }

    fn resolve_value(
        &self,
        entries: Option<&'a Layered<ValueEntry>>,
        blankets: Option<&'a Layered<BlanketTombstone>>,
        covered: &mut Covered,
    ) -> Result<(Effective<'a>, Contest), Malformed> {
        // Step 2: candidates from per-value entries. Step 3: blanket tombstones, each of which is
        // a tombstone for every name.
        let mut selection = Selection::new();
        for (layer, entry) in entries.into_iter().flat_map(|entries| entries.iter()) {
            match self.active_layer(layer) {
                Ok(layer) => {
                    if self.mark_private(layer, covered) {
                        covers!(covered, "PRIV-15");
                    }
                    selection.add(
                        Candidate {
                            precedence: layer.precedence,
                            sequence: entry.sequence,
                            item: Some((layer, entry)),
                        },
                        covered,
                    );
                }
                Err(Passed::Unknown) => covers!(covered, "RES-11", "RES-28"),
                Err(Passed::Inactive) => covers!(covered, "RES-02", "RES-12", "LAYER-08"),
            }
        }
        for (layer, blanket) in blankets.into_iter().flat_map(|blankets| blankets.iter()) {
            match self.active_layer(layer) {
                Ok(layer) => {
                    covers!(covered, "RES-13", "VAL-28");
                    selection.add(
                        Candidate {
                            precedence: layer.precedence,
                            sequence: blanket.sequence,
                            item: None,
                        },
                        covered,
                    );
                }
                Err(Passed::Unknown) => covers!(covered, "RES-14"),
                Err(Passed::Inactive) => covers!(covered, "RES-15"),
            }
        }
        // Steps 4 and 5.
        let contest = selection.contest;
        let effective = match selection.finish(covered)? {
            None => {
                covers!(covered, "RES-16");
                Effective::Nothing
            }
            Some(Candidate { item: None, sequence, .. }) => {
                let unmasked = self.resolve_value(entries, None, &mut Covered::new());
                let masks = unmasked.is_ok_and(|(other, _)| other.value().is_some());
                if masks {
                    covers!(covered, "RES-19", "VAL-29");
                }
                let mut entries = entries.into_iter().flat_map(|entries| entries.iter());
                if entries.any(|(layer, entry)| {
                    entry.sequence > sequence
                        && entry.value_type != REG_TOMBSTONE
                        && self.active_layer(layer).is_ok()
                }) {
                    covers!(covered, "VAL-26");
                }
                Effective::Blanket { masks }
            }
            Some(Candidate { item: Some((_, entry)), .. }) if entry.value_type == REG_TOMBSTONE => {
                covers!(covered, "RES-20", "VAL-04", "VAL-21");
                Effective::Tombstone
            }
            Some(Candidate { item: Some((layer, entry)), .. }) => {
                covers!(covered, "RES-21");
                if contest.active > 1 {
                    covers!(covered, "RES-17", "VAL-19", "VAL-20");
                }
                if contest.top > 1 {
                    covers!(covered, "RES-18");
                }
                let mut masking = blankets.into_iter().flat_map(|blankets| blankets.keys());
                if masking.any(|layer| self.active_layer(layer).is_ok()) {
                    covers!(covered, "VAL-30");
                }
                if blankets.is_some_and(|blankets| blankets.contains_key(layer.name.folded())) {
                    covers!(covered, "VAL-31");
                }
                let has_base = entries.is_some_and(|entries| entries.contains_key(BASE));
                if has_base && contest.active > 1 {
                    covers!(covered, "LAYER-14");
                }
                Effective::Value(EffectiveValue { entry, layer })
            }
        };
        Ok((effective, contest))
    }

    /// The key visible at (parent, child name): `resolve_path`.
    pub(crate) fn child(
        &self,
        parent: Guid,
        name: &str,
        covered: &mut Covered,
    ) -> Result<(Option<EffectiveChild<'a>>, Contest), Malformed> {
        let entries = self.database.lookup(parent, name);
        self.check_lookup(entries, covered)?;
        self.resolve_path(entries, covered)
    }

    fn resolve_path(
        &self,
        entries: Option<&'a Layered<PathEntry>>,
        covered: &mut Covered,
    ) -> Result<(Option<EffectiveChild<'a>>, Contest), Malformed> {
        let mut selection = Selection::new();
        for (layer, entry) in entries.into_iter().flat_map(|entries| entries.iter()) {
            match self.active_layer(layer) {
                Ok(layer) => {
                    if self.mark_private(layer, covered) {
                        covers!(covered, "PRIV-16");
                    }
                    selection.add(
                        Candidate {
                            precedence: layer.precedence,
                            sequence: entry.sequence,
                            item: entry,
                        },
                        covered,
                    );
                }
                Err(Passed::Unknown) => covers!(covered, "RES-22", "RES-28"),
                Err(Passed::Inactive) => covers!(covered, "RES-02", "RES-03", "LAYER-08"),
            }
        }
        let contest = selection.contest;
        let winner = selection.finish(covered)?;
        if contest.active > 1 {
            covers!(covered, "RES-05", "PATH-13");
            self.mark_contest(entries, winner.as_ref(), covered);
        }
        if contest.top > 1 {
            covers!(covered, "RES-06");
        }
        let child = match winner {
            None => {
                covers!(covered, "RES-09");
                None
            }
            Some(Candidate { item: PathEntry { target: Target::Hidden, .. }, .. }) => {
                let mut entries = entries.into_iter().flat_map(|entries| entries.iter());
                if entries.any(|(layer, entry)| {
                    entry.target != Target::Hidden && self.active_layer(layer).is_ok()
                }) {
                    covers!(covered, "RES-07", "PATH-16", "IOC-106");
                }
                None
            }
            Some(Candidate { item: entry, .. }) => match entry.target {
                Target::Hidden => None,
                Target::Key(key) => Some(EffectiveChild { entry, key }),
            },
        };
        Ok((child, contest))
    }

    /// What a contest between several active path entries shows about those that lost it.
    fn mark_contest(
        &self,
        entries: Option<&Layered<PathEntry>>,
        winner: Option<&Candidate<&PathEntry>>,
        covered: &mut Covered,
    ) {
        let Some(winner) = winner else { return };
        let is_key = |entry: &PathEntry| entry.target != Target::Hidden;
        for (layer, entry) in entries.into_iter().flat_map(|entries| entries.iter()) {
            let Ok(layer) = self.active_layer(layer) else { continue };
            if entry.sequence == winner.sequence {
                continue;
            }
            if is_key(winner.item) && is_key(entry) {
                covers!(covered, "PATH-01", "RES-08");
                if layer.precedence < winner.precedence {
                    covers!(covered, "PATH-20");
                }
            }
            if is_key(winner.item) != is_key(entry) && layer.precedence == winner.precedence {
                covers!(covered, "PATH-19");
            }
        }
    }

    /// All effective values of a key: `enumerate_values`.
    pub(crate) fn values(
        &self,
        key: Guid,
        covered: &mut Covered,
    ) -> Result<(Vec<EffectiveValue<'a>>, Contest), Malformed> {
        let blankets = self.database.blankets.get(&key);
        self.check_all_values(key, covered)?;
        let mut contest = Contest::default();
        let mut results = Vec::new();
        for (_, entries) in self.database.value_names(key) {
            let (value, this) = self.resolve_value(Some(entries), blankets, covered)?;
            contest = contest.max(this);
            match value {
                Effective::Value(value) => {
                    if entries.size() > 1 {
                        covers!(covered, "RES-23", "RES-24", "RES-27");
                    }
                    results.push(value);
                }
                Effective::Tombstone => {
                    covers!(covered, "RES-25");
                }
                Effective::Blanket { .. } => {
                    covers!(covered, "RES-26", "IOC-058");
                }
                Effective::Nothing => {}
            }
        }
        Ok((results, contest))
    }

    /// All visible children of a key: `enumerate_subkeys`.
    pub(crate) fn subkeys(
        &self,
        parent: Guid,
        covered: &mut Covered,
    ) -> Result<(Vec<EffectiveChild<'a>>, Contest), Malformed> {
        self.check_children(parent, covered)?;
        let mut contest = Contest::default();
        let mut results = Vec::new();
        for (_, entries) in self.database.children(parent) {
            let (child, this) = self.resolve_path(Some(entries), covered)?;
            contest = contest.max(this);
            match child {
                Some(child) => {
                    covers!(covered, "RES-34");
                    if entries.size() > 1 {
                        covers!(covered, "RES-36");
                    }
                    results.push(child);
                }
                None if this.active > 0 => covers!(covered, "RES-35"),
                None => {}
            }
        }
        Ok((results, contest))
    }
}

/// Why an entry does not compete.
enum Passed {
    Unknown,
    Inactive,
}
