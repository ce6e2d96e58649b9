//! The oracle: a third reading of resolution, PSD-005 §2.7 transliterated over raw entries.
//!
//! It starts from what a store holds and from a layer table, and says what one caller must see.
//! It shares no code with the model or an implementation and keeps nothing between calls; even
//! case folding is the caller's. Reading the layer table itself is in `boot`.
//!
//! Symlinks are shown as the link keys they are and never followed.

mod boot;
mod layers;
mod raw;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use registry_model::view::{KeyView, ValueView, View};

pub use boot::layer_table_from;
pub use layers::{Fold, Layer, LayerTable};
pub use raw::{Guid, Malformed, RawBlanket, RawHive, RawKey, RawPathEntry, RawValue};

/// `REG_TOMBSTONE`.
const TOMBSTONE: u32 = 0xFFFF;

/// Every key that a caller with these private layers reaches in these hives, each with its
/// effective values. Names are spelled as the winning entry spells them (D-06). A path that must
/// not open is absent.
///
/// # Errors
/// `Malformed` where two candidates tie for the win (SEQ-19), where a winner names a key that has
/// no record, and where path entries form a circle.
pub fn effective_view(
    hives: &[RawHive],
    layers: &LayerTable,
    private_layers: &[String],
) -> Result<View, Malformed> {
    let private_layers = private_layers.iter().map(|name| layers.fold(name)).collect();
    let thread = Thread { layers, private_layers };
    let mut view = View::new();
    for hive in hives {
        let contents = Contents::of(hive, layers);
        let mut reached = vec![(vec![hive.name.clone()], hive.root)];
        while let Some((path, guid)) = reached.pop() {
            let fail = |problem: String| Malformed { path: path.clone(), problem };
            if path.len() > hive.keys.len() {
                return Err(fail("path entries form a circle, or key records are missing".into()));
            }
            let key = contents.keys.get(&guid);
            let key =
                key.ok_or_else(|| fail("a path entry names a key without a record".into()))?;
            let children = contents.enumerate_subkeys(&thread, guid).map_err(fail)?;
            let key_view = KeyView {
                values: contents.enumerate_values(&thread, guid).map_err(fail)?,
                subkeys: children.iter().map(|(name, _)| name.clone()).collect(),
                volatile_key: key.volatile_key,
                symlink: key.symlink,
                sd_size: key.sd_size,
            };
            for (name, child) in children {
                reached.push((path.iter().cloned().chain([name]).collect(), child));
            }
            view.insert(path, Some(key_view));
        }
    }
    Ok(view)
}

/// Whose view it is.
struct Thread<'a> {
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
    /// A candidate, unless its layer is unknown or inactive (RES-02, RES-03, RES-11 to RES-15).
    fn candidate<T>(&self, layer: &str, sequence: u64, item: T) -> Option<Candidate<'a, T>> {
        let layer = self.layers.get(layer)?;
        let active = layer.enabled || self.private_layers.contains(&self.layers.fold(&layer.name));
        active.then_some(Candidate { precedence: layer.precedence, sequence, layer, item })
    }
}

/// The candidate of the highest precedence and, within it, of the highest sequence (RES-10).
fn winner<'a, T>(
    candidates: impl Iterator<Item = Candidate<'a, T>>,
) -> Result<Option<Candidate<'a, T>>, String> {
    let mut candidates: Vec<_> = candidates.collect();
    candidates.sort_by_key(|candidate| (candidate.precedence, candidate.sequence));
    let Some(best) = candidates.pop() else { return Ok(None) };
    match candidates.last() {
        Some(next) if (next.precedence, next.sequence) == (best.precedence, best.sequence) => {
            Err(format!("two candidates tie at {:?}", (best.precedence, best.sequence)))
        }
        _ => Ok(Some(best)),
    }
}

/// The entries of a hive, grouped by key and folded name.
#[derive(Default)]
struct Contents<'a> {
    keys: BTreeMap<Guid, &'a RawKey>,
    path_entries: BTreeMap<Guid, BTreeMap<String, Vec<&'a RawPathEntry>>>,
    values: BTreeMap<Guid, BTreeMap<String, Vec<&'a RawValue>>>,
    blankets: BTreeMap<Guid, Vec<&'a RawBlanket>>,
}

impl<'a> Contents<'a> {
    fn of(hive: &'a RawHive, layers: &LayerTable) -> Contents<'a> {
        let mut contents = Contents::default();
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
        contents.keys = hive.keys.iter().map(|key| (key.guid, key)).collect();
        contents
    }

    /// The visible children (RES-05 to RES-09, RES-22, RES-33 to RES-36).
    fn enumerate_subkeys(
        &self,
        thread: &Thread<'_>,
        parent: Guid,
    ) -> Result<Vec<(String, Guid)>, String> {
        let mut visible = Vec::new();
        for entries in self.path_entries.get(&parent).into_iter().flat_map(BTreeMap::values) {
            let candidates =
                entries.iter().filter_map(|e| thread.candidate(&e.layer, e.sequence, *e));
            let Some(winner) = winner(candidates)? else { continue };
            if let Some(guid) = winner.item.target {
                visible.push((winner.item.child_name.clone(), guid));
            }
        }
        Ok(visible)
    }

    /// The effective values (RES-16 to RES-21, RES-23 to RES-26); a blanket tombstone is a
    /// candidate without an entry.
    fn enumerate_values(
        &self,
        thread: &Thread<'_>,
        key: Guid,
    ) -> Result<BTreeMap<String, ValueView>, String> {
        let mut effective = BTreeMap::new();
        let blankets = self.blankets.get(&key).map_or(&[][..], Vec::as_slice);
        for entries in self.values.get(&key).into_iter().flat_map(BTreeMap::values) {
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
