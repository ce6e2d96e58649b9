//! PSD-005 §2.7, transliterated: candidates are collected, and the greatest wins.

use std::collections::{BTreeMap, BTreeSet};

use registry_model::view::ValueView;

use super::{
    Guid, Layer, LayerTable, RawBlanket, RawHive, RawKey, RawPathEntry, RawValue, TOMBSTONE,
    Validation,
};

/// A response that a kernel rejects.
pub(super) struct Rejected;

/// Whose view it is.
pub(super) struct Thread<'a> {
    layers: &'a LayerTable,
    private_layers: BTreeSet<String>,
}

/// `(precedence, sequence, item)`, with the layer that it comes from.
struct Candidate<'a, T> {
    precedence: u32,
    sequence: u64,
    layer: &'a Layer,
    item: T,
}

impl<'a> Thread<'a> {
    pub(super) fn new(layers: &'a LayerTable, private_layers: &[String]) -> Thread<'a> {
        let private_layers = private_layers.iter().map(|name| layers.fold(name)).collect();
        Thread { layers, private_layers }
    }

    /// A candidate, unless its layer is unknown or inactive (RES-02, RES-03, RES-11 to RES-15).
    fn candidate<T>(&self, layer: &str, sequence: u64, item: T) -> Option<Candidate<'a, T>> {
        let layer = self.layers.get(layer)?;
        let active = layer.enabled || self.private_layers.contains(&self.layers.fold(&layer.name));
        active.then_some(Candidate { precedence: layer.precedence, sequence, layer, item })
    }
}

/// The candidate of the highest precedence and, within it, of the highest sequence (RES-10). Two
/// that tie for the win are malformed (SEQ-19).
fn winner<'a, T>(
    candidates: impl Iterator<Item = Candidate<'a, T>>,
) -> Result<Option<Candidate<'a, T>>, Rejected> {
    let mut candidates: Vec<_> = candidates.collect();
    candidates.sort_by_key(|candidate| (candidate.precedence, candidate.sequence));
    let Some(best) = candidates.pop() else { return Ok(None) };
    match candidates.last() {
        Some(next) if (next.precedence, next.sequence) == (best.precedence, best.sequence) => {
            Err(Rejected)
        }
        _ => Ok(Some(best)),
    }
}

/// The entries of a hive, grouped by key and folded name.
pub(super) struct Contents<'a> {
    validation: Validation,
    keys: BTreeMap<Guid, &'a RawKey>,
    path_entries: BTreeMap<Guid, BTreeMap<String, Vec<&'a RawPathEntry>>>,
    values: BTreeMap<Guid, BTreeMap<String, Vec<&'a RawValue>>>,
    blankets: BTreeMap<Guid, Vec<&'a RawBlanket>>,
}

impl<'a> Contents<'a> {
    pub(super) fn of(
        hive: &'a RawHive,
        layers: &LayerTable,
        validation: Validation,
    ) -> Contents<'a> {
        let keys = hive.keys.iter().map(|key| (key.guid, key)).collect();
        let (path_entries, values, blankets) = Default::default();
        let mut contents = Contents { validation, keys, path_entries, values, blankets };
        for entry in &hive.path_entries {
            let children = contents.path_entries.entry(entry.parent).or_default();
            children.entry(layers.fold(&entry.child_name)).or_default().push(entry);
        }
        for value in &hive.values {
            let values = contents.values.entry(value.key).or_default();
            values.entry(layers.fold(&value.name)).or_default().push(value);
        }
        for blanket in &hive.blankets {
            contents.blankets.entry(blanket.key).or_default().push(blanket);
        }
        contents
    }

    pub(super) fn key(&self, guid: Guid) -> Option<&'a RawKey> {
        self.keys.get(&guid).copied()
    }

    /// The visible child at each name that a path can say (RES-05 to RES-09, RES-22).
    pub(super) fn subkeys(
        &self,
        thread: &Thread<'_>,
        parent: Guid,
    ) -> Vec<(String, Result<Option<Guid>, Rejected>)> {
        let names = self.path_entries.get(&parent).into_iter().flatten();
        names
            .filter(|(name, _)| self.validation.accepts_component(name))
            .map(|(name, entries)| match self.resolve_path(thread, entries) {
                Ok(Some((name, child))) => (name, Ok(Some(child))),
                Ok(None) => (name.clone(), Ok(None)),
                Err(rejected) => (name.clone(), Err(rejected)),
            })
            .collect()
    }

    fn resolve_path(
        &self,
        thread: &Thread<'_>,
        entries: &[&RawPathEntry],
    ) -> Result<Option<(String, Guid)>, Rejected> {
        let key = |entry: &RawPathEntry| self.key(entry.target?);
        if !entries.iter().all(|entry| self.validation.accepts_path(entry, key(entry))) {
            return Err(Rejected);
        }
        let candidates = entries.iter().filter_map(|e| thread.candidate(&e.layer, e.sequence, *e));
        let winner = winner(candidates)?.map(|winner| winner.item);
        Ok(winner.and_then(|entry| Some((entry.child_name.clone(), entry.target?))))
    }

    /// The visible children, in one response (RES-33 to RES-36).
    pub(super) fn enumerate_subkeys(
        &self,
        thread: &Thread<'_>,
        parent: Guid,
    ) -> Result<Vec<(String, Guid)>, Rejected> {
        let mut visible = Vec::new();
        for entries in self.path_entries.get(&parent).into_iter().flat_map(BTreeMap::values) {
            if !entries.iter().all(|entry| self.validation.accepts_component(&entry.child_name)) {
                return Err(Rejected);
            }
            visible.extend(self.resolve_path(thread, entries)?);
        }
        Ok(visible)
    }

    /// The effective values (RES-16 to RES-21, RES-23 to RES-26); a blanket tombstone is a
    /// candidate without an entry.
    pub(super) fn enumerate_values(
        &self,
        thread: &Thread<'_>,
        key: Guid,
    ) -> Result<BTreeMap<String, ValueView>, Rejected> {
        let mut effective = BTreeMap::new();
        let blankets = self.blankets.get(&key).map_or(&[][..], Vec::as_slice);
        if !blankets.iter().all(|blanket| self.validation.accepts_blanket(blanket)) {
            return Err(Rejected);
        }
        for entries in self.values.get(&key).into_iter().flat_map(BTreeMap::values) {
            if !entries.iter().all(|entry| self.validation.accepts_value(entry)) {
                return Err(Rejected);
            }
            let entries =
                entries.iter().filter_map(|e| thread.candidate(&e.layer, e.sequence, Some(*e)));
            let blankets =
                blankets.iter().filter_map(|b| thread.candidate(&b.layer, b.sequence, None));
            let Some(Candidate { layer, item: Some(entry), .. }) = winner(entries.chain(blankets))?
            else {
                continue;
            };
            if entry.value_type != TOMBSTONE {
                let (layer, data) = (layer.name.clone(), entry.data.clone());
                let (value_type, sequence) = (entry.value_type, entry.sequence);
                effective
                    .insert(entry.name.clone(), ValueView { value_type, data, layer, sequence });
            }
        }
        Ok(effective)
    }
}
