//! The layer table that the oracle resolves with (PSD-005 §2.6). It is given, never derived here.

use std::collections::BTreeMap;

/// Maps a name to its caseless identity (§2.3).
pub type Fold = fn(&str) -> String;

/// One layer, as far as resolution looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The name in the layer table's spelling.
    pub name: String,
    /// Higher wins.
    pub precedence: u32,
    /// Whether it is active for everyone.
    pub enabled: bool,
}

/// The layers that exist, by folded name. The base layer is always among them.
#[derive(Clone, Debug)]
pub struct LayerTable {
    fold: Fold,
    layers: BTreeMap<String, Layer>,
}

impl LayerTable {
    /// The table that holds `base` alone (LAYER-10).
    pub fn new(fold: Fold) -> LayerTable {
        let base = Layer { name: "base".to_owned(), precedence: 0, enabled: true };
        LayerTable { fold, layers: BTreeMap::from([("base".to_owned(), base)]) }
    }

    /// Publishes a layer in place of one of the same folded name. Does nothing to base
    /// (LAYER-12, LAYER-13).
    pub fn publish(&mut self, layer: Layer) {
        let identity = self.fold(&layer.name);
        if identity != "base" {
            self.layers.insert(identity, layer);
        }
    }

    /// What maps names to their identities.
    pub(super) fn folding(&self) -> Fold {
        self.fold
    }

    /// The caseless identity of a name.
    pub(super) fn fold(&self, name: &str) -> String {
        (self.fold)(name)
    }

    /// The layers in the order of their folded names.
    pub fn iter(&self) -> impl Iterator<Item = &Layer> {
        self.layers.values()
    }

    /// The layer of this name in any spelling.
    pub fn get(&self, name: &str) -> Option<&Layer> {
        self.layers.get(&self.fold(name))
    }
}
