//! The layer table as a machine finds it that has just come up over these stores.
//!
//! States PSD-005 §2.6 (layer metadata) and D-57. It is a reading from scratch: after a history
//! of layer operations a table may differ from it, since each refresh reads through the table of
//! its own time.

use std::collections::{BTreeMap, BTreeSet};

use registry_model::view::{KeyView, ValueView};

use super::{Fold, Layer, LayerTable, Malformed, RawHive, Validation, Viewer, effective_view};

const REG_BINARY: u32 = 3;
const REG_DWORD: u32 = 4;
/// Where layer metadata lives.
const LAYERS_PATH: [&str; 4] = ["Machine", "System", "Registry", "Layers"];

/// Reads the layer table out of the raw entries, round by round: the first sees what base shows,
/// each later one reads the names that the layers published before it brought to light. A name is
/// read once; metadata of a wrong type, length or range publishes nothing (D-52).
///
/// # Errors
/// `Malformed` if a round meets entries that have no effective view.
pub fn layer_table_from(hives: &[RawHive], fold: Fold) -> Result<LayerTable, Malformed> {
    let mut table = LayerTable::new(fold);
    let mut read_names = BTreeSet::new();
    loop {
        let view =
            effective_view(hives, &table, Validation::of_sound_entries(), Viewer::default())?.view;
        let metadata = view.iter().filter_map(|(path, key)| {
            let (name, parents) = path.split_last()?;
            let is_metadata = parents.len() == LAYERS_PATH.len()
                && parents.iter().zip(LAYERS_PATH).all(|(part, of)| fold(part) == fold(of));
            Some((name, key.as_ref()?)).filter(|_| is_metadata)
        });
        let dirty: Vec<_> =
            metadata.filter(|(name, _)| !read_names.contains(&fold(name))).collect();
        if dirty.is_empty() {
            return Ok(table);
        }
        for (name, key) in dirty {
            read_names.insert(fold(name));
            if let Some(layer) = layer_of(name, key, fold) {
                table.publish(layer);
            }
        }
    }
}

fn layer_of(name: &str, key: &KeyView, fold: Fold) -> Option<Layer> {
    let values: BTreeMap<String, &ValueView> =
        key.values.iter().map(|(name, value)| (fold(name), value)).collect();
    let value = |name: &str| values.get(&fold(name)).copied();
    let precedence = value("Precedence").map_or(Some(0), dword)?;
    let enabled = match value("Enabled").map_or(Some(1), dword)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    value("Owner").is_none_or(is_sid).then_some(())?;
    Some(Layer { name: name.to_owned(), precedence, enabled })
}

fn dword(value: &ValueView) -> Option<u32> {
    let bytes = <[u8; 4]>::try_from(value.data.as_slice()).ok()?;
    (value.value_type == REG_DWORD).then(|| u32::from_le_bytes(bytes))
}

/// Whether a value holds one SID (PSD-004 §2.1).
fn is_sid(value: &ValueView) -> bool {
    let [revision, count, ..] = value.data[..] else { return false };
    let length = 8 + 4 * usize::from(count);
    value.value_type == REG_BINARY && revision == 1 && count <= 15 && value.data.len() == length
}
