//! Layer resolution: from the entries of all layers to the one that counts (PSD-005 §2.7;
//! `RES-*`, `SEQ-19`..`SEQ-21`, D-30, D-34).
//!
//! Pure functions over what a source said. They may not ask anything of anyone.

use std::collections::BTreeMap;

use abi::value_type::REG_TOMBSTONE;
use rsi::{BlanketEntry, Guid, PathEntry, ValueEntry};

use crate::layers::View;
use crate::name::FoldedName;

/// Bytes that validation has found to be text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Identity of a name that came from a source.
pub fn folded(bytes: &[u8]) -> FoldedName {
    FoldedName::new(&String::from_utf8_lossy(bytes))
}

/// Whether a name that came from a source is this one.
pub fn is_of(name: &[u8], identity: &FoldedName) -> bool {
    folded(name) == *identity
}

/// A child's name as stored, and the entries under it.
pub type ChildGroup = (Vec<u8>, Vec<PathEntry>);

/// What a source holds of one or all values of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Entries of every layer.
    pub entries: Vec<ValueEntry>,
    /// Blanket tombstones of every layer.
    pub blankets: Vec<BlanketEntry>,
}

/// A value as a reader gets it.
#[derive(Clone, Copy, Debug)]
pub struct EffectiveValue<'a> {
    /// The entry that won.
    pub entry: &'a ValueEntry,
}

impl<'a> EffectiveValue<'a> {
    /// Name as stored.
    pub fn name(&self) -> &'a [u8] {
        &self.entry.name
    }

    /// Type and data, which is all that makes an effective value (D-70).
    pub fn content(&self) -> (u32, &'a [u8]) {
        (self.entry.value_type, &self.entry.data)
    }
}

/// Two entries with one sequence number that would both win: malformed data (D-34).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie;

/// Picks the highest (precedence, sequence); `Err` when two tie for it.
fn winner<T>(candidates: impl Iterator<Item = (u32, u64, T)>) -> Result<Option<T>, Tie> {
    let mut best: Option<(u32, u64, T)> = None;
    let mut tied = false;
    for candidate in candidates {
        let rank = (candidate.0, candidate.1);
        match &best {
            Some(current) if rank < (current.0, current.1) => {}
            Some(current) if rank == (current.0, current.1) => tied = true,
            _ => {
                tied = false;
                best = Some(candidate);
            }
        }
    }
    if tied { Err(Tie) } else { Ok(best.map(|(_, _, item)| item)) }
}

impl View {
    /// The key that is visible by these entries of one name.
    ///
    /// # Errors
    /// A tie of two entries for the winner.
    pub fn resolve_path<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a PathEntry>,
    ) -> Result<Option<Guid>, Tie> {
        let active = entries.into_iter().filter_map(|entry| {
            Some((self.precedence(&entry.layer)?, entry.sequence, entry.target))
        });
        Ok(winner(active)?.flatten())
    }

    /// The value that is effective by these entries of one name, and the key's blankets.
    ///
    /// # Errors
    /// A tie of two candidates for the winner.
    pub fn resolve_value<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a ValueEntry>,
        blankets: &'a [BlanketEntry],
    ) -> Result<Option<EffectiveValue<'a>>, Tie> {
        let entries = entries.into_iter().filter_map(|entry| {
            let item = (entry.value_type != REG_TOMBSTONE).then_some(EffectiveValue { entry });
            Some((self.precedence(&entry.layer)?, entry.sequence, item))
        });
        let blankets = blankets
            .iter()
            .filter_map(|blanket| Some((self.precedence(&blanket.layer)?, blanket.sequence, None)));
        Ok(winner(entries.chain(blankets))?.flatten())
    }

    /// Every effective value of a key, by name.
    ///
    /// # Errors
    /// A tie of two candidates of any name for its winner.
    pub fn effective_values<'a>(
        &self,
        values: &'a Values,
    ) -> Result<BTreeMap<FoldedName, EffectiveValue<'a>>, Tie> {
        let mut names: BTreeMap<FoldedName, Vec<&ValueEntry>> = BTreeMap::new();
        for entry in &values.entries {
            names.entry(folded(&entry.name)).or_default().push(entry);
        }
        let mut effective = BTreeMap::new();
        for (name, entries) in names {
            if let Some(value) = self.resolve_value(entries, &values.blankets)? {
                effective.insert(name, value);
            }
        }
        Ok(effective)
    }

    /// Every visible child of a key, by name. Groups whose names fold equal are one child, spelled
    /// as in the group of the winning entry (D-06).
    ///
    /// # Errors
    /// A tie of two entries of any name for its winner.
    pub fn visible_children(
        &self,
        groups: &[ChildGroup],
    ) -> Result<BTreeMap<FoldedName, VisibleChild>, Tie> {
        let mut names: BTreeMap<FoldedName, Vec<(&[u8], &PathEntry)>> = BTreeMap::new();
        for (spelling, entries) in groups {
            let group = names.entry(folded(spelling)).or_default();
            group.extend(entries.iter().map(|entry| (spelling.as_slice(), entry)));
        }
        let mut visible = BTreeMap::new();
        for (name, entries) in names {
            let active = entries.into_iter().filter_map(|(spelling, entry)| {
                Some((self.precedence(&entry.layer)?, entry.sequence, (spelling, entry.target)))
            });
            if let Some((spelling, Some(guid))) = winner(active)? {
                visible.insert(name, VisibleChild { name: text(spelling), guid });
            }
        }
        Ok(visible)
    }
}

/// A child that a thread sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisibleChild {
    /// Name as the winning entry spells it.
    pub name: String,
    /// The key.
    pub guid: Guid,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use abi::value_type::REG_DWORD;

    use super::*;
    use crate::layers::{Layer, LayerTable};
    use crate::security::default_base_layer_sd;

    fn view(layers: &[(&str, u32, bool)]) -> View {
        let mut table = LayerTable::new();
        for (name, precedence, enabled) in layers {
            let layer = Layer {
                name: (*name).to_owned(),
                precedence: *precedence,
                enabled: *enabled,
                owner: None,
                metadata_key: None,
                descriptor: default_base_layer_sd(),
            };
            table.publish(FoldedName::new(name), layer, 16).expect("room");
        }
        View::global(Arc::new(table))
    }

    fn path(layer: &str, key: Option<u8>, sequence: u64) -> PathEntry {
        PathEntry { layer: layer.into(), target: key.map(|byte| Guid([byte; 16])), sequence }
    }

    fn value(layer: &str, data: u8, sequence: u64) -> ValueEntry {
        ValueEntry {
            name: b"v".to_vec(),
            layer: layer.into(),
            value_type: REG_DWORD,
            data: vec![data],
            sequence,
        }
    }

    fn blanket(layer: &str, sequence: u64) -> BlanketEntry {
        BlanketEntry { layer: layer.into(), sequence }
    }

    #[test]
    fn precedence_beats_sequence_and_sequence_breaks_the_tier() {
        let view = view(&[("gpo", 5, true), ("role", 0, true)]);
        let entries = [path("base", Some(1), 9), path("GPO", Some(2), 1), path("role", Some(3), 8)];
        assert_eq!(view.resolve_path(&entries), Ok(Some(Guid([2; 16]))));
        assert_eq!(view.resolve_path([&entries[0], &entries[2]]), Ok(Some(Guid([1; 16]))));
    }

    #[test]
    fn a_hidden_winner_hides_and_latent_or_disabled_layers_do_not_count() {
        let view = view(&[("off", 9, false)]);
        assert_eq!(view.resolve_path(&[path("base", Some(1), 1), path("base", None, 2)]), Ok(None));
        let entries = [path("base", Some(1), 1), path("off", None, 2), path("latent", None, 3)];
        assert_eq!(view.resolve_path(&entries), Ok(Some(Guid([1; 16]))));
    }

    #[test]
    fn equal_sequences_are_malformed_only_where_they_tie_for_the_winner() {
        let view = view(&[("a", 0, true), ("b", 0, true), ("gpo", 5, true)]);
        let tie = [path("a", Some(1), 4), path("b", Some(2), 4)];
        assert_eq!(view.resolve_path(&tie), Err(Tie));
        let above = [path("a", Some(1), 4), path("b", Some(2), 4), path("gpo", Some(3), 1)];
        assert_eq!(view.resolve_path(&above), Ok(Some(Guid([3; 16]))));
        let below = [path("gpo", Some(3), 1), path("a", Some(1), 4), path("b", Some(2), 4)];
        assert_eq!(view.resolve_path(&below), Ok(Some(Guid([3; 16]))));
        let values = [value("a", 1, 4)];
        assert!(view.resolve_value(&values, &[blanket("b", 4)]).is_err());
    }

    #[test]
    fn a_blanket_masks_what_ranks_below_it_only() {
        let view = view(&[("gpo", 5, true)]);
        let values = [value("base", 1, 3)];
        let shown = |blankets: &[BlanketEntry]| {
            view.resolve_value(&values, blankets).map(|value| value.is_some())
        };
        assert_eq!(shown(&[blanket("base", 2)]), Ok(true));
        assert_eq!(shown(&[blanket("base", 4)]), Ok(false));
        assert_eq!(shown(&[blanket("gpo", 1)]), Ok(false));
    }

    #[test]
    fn children_whose_names_fold_equal_are_one_with_the_winners_spelling() {
        let view = view(&[("gpo", 5, true)]);
        let groups = vec![
            (b"KEY".to_vec(), vec![path("gpo", Some(2), 1)]),
            (b"Key".to_vec(), vec![path("base", Some(1), 2)]),
        ];
        let visible = view.visible_children(&groups).expect("no tie");
        let child = VisibleChild { name: "KEY".to_owned(), guid: Guid([2; 16]) };
        assert_eq!(visible.into_values().collect::<Vec<_>>(), [child]);
    }
}
