//! The layer table: which layers there are, how they rank, and who may write into them.
//!
//! A value, replaced as a whole when layers change; whoever resolves holds one table throughout
//! (PSD-005 §2.6; `LAYER-*`, `LAUTH-*`). It does not know where its content comes from.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use abi::{Errno, KEY_SET_VALUE};
use rsi::Guid;

use crate::name::{FoldedName, is_folded};
use crate::security::{SecurityDescriptor, Sid, Token, access_check, default_base_layer_sd};

/// The name of the layer that always exists.
pub const BASE: &str = "base";

/// One layer. Its entry appears complete or not at all (`LAYER-35`, `LAYER-36`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Spelling of the metadata key; of base, the literal name (D-06).
    pub name: String,
    /// Rank; the higher wins.
    pub precedence: u32,
    /// Whether it takes part for every thread.
    pub enabled: bool,
    /// Who made it. Informational.
    pub owner: Option<Sid>,
    /// The metadata key; none only for a base layer that has no such key.
    pub metadata_key: Option<Guid>,
    /// Guards writes into the layer: the metadata key's descriptor.
    pub descriptor: SecurityDescriptor,
}

impl Layer {
    fn base() -> Self {
        Self {
            name: BASE.to_owned(),
            precedence: 0,
            enabled: true,
            owner: None,
            metadata_key: None,
            descriptor: default_base_layer_sd(),
        }
    }

    /// Whether entries rank the same under both.
    fn ranks_like(&self, other: &Self) -> bool {
        self.precedence == other.precedence && self.enabled == other.enabled
    }
}

/// All layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerTable {
    layers: BTreeMap<FoldedName, Arc<Layer>>,
    base: FoldedName,
}

impl LayerTable {
    /// The table of a kernel that has read nothing: base alone (`LAYER-10`).
    pub fn new() -> Self {
        let base = FoldedName::new(BASE);
        Self { layers: BTreeMap::from([(base.clone(), Arc::new(Layer::base()))]), base }
    }

    /// Identity of the base layer.
    pub fn base(&self) -> &FoldedName {
        &self.base
    }

    /// A layer by identity.
    pub fn get(&self, name: &FoldedName) -> Option<&Arc<Layer>> {
        self.layers.get(name)
    }

    /// Whether no further layer can be added where there may be `layers_max` (D-53).
    pub fn is_full(&self, layers_max: usize) -> bool {
        self.layers.len() >= layers_max
    }

    /// Adds or replaces a layer; of base only the metadata key and its descriptor are taken.
    ///
    /// # Errors
    /// ENOSPC when it is new and the table is full.
    pub fn publish(
        &mut self,
        name: FoldedName,
        layer: Layer,
        layers_max: usize,
    ) -> Result<(), Errno> {
        if name == self.base {
            let Layer { metadata_key, descriptor, .. } = layer;
            self.layers.insert(name, Arc::new(Layer { metadata_key, descriptor, ..Layer::base() }));
        } else if self.is_full(layers_max) && !self.layers.contains_key(&name) {
            return Err(Errno::ENOSPC);
        } else {
            self.layers.insert(name, Arc::new(layer));
        }
        Ok(())
    }

    /// Takes a layer out and returns it. That base's metadata key is gone or hidden is ignored: its
    /// entry stays as it was, with the descriptor that guards it (P-131).
    pub fn remove(&mut self, name: &FoldedName) -> Option<Arc<Layer>> {
        if *name == self.base { None } else { self.layers.remove(name) }
    }

    /// Whether every entry resolves the same under both tables for every thread.
    pub fn resolves_like(&self, other: &Self) -> bool {
        self.layers.len() == other.layers.len()
            && self.layers.iter().zip(&other.layers).all(|((name, layer), (other_name, other))| {
                name == other_name && layer.ranks_like(other)
            })
    }

    /// Names of the layers that the other table does not have.
    pub fn missing_from(&self, other: &Self) -> Vec<FoldedName> {
        self.layers.keys().filter(|name| !other.layers.contains_key(*name)).cloned().collect()
    }

    /// Layer write authorisation (`LAUTH-17`..`LAUTH-28`, D-27).
    ///
    /// # Errors
    /// ENOENT when the layer is not in the table, EACCES when the token may not write into it,
    /// EIO when its descriptor has no owner.
    pub fn authorize_write(&self, name: &FoldedName, token: &Token) -> Result<(), Errno> {
        let layer = self.get(name).ok_or(Errno::ENOENT)?;
        access_check(token, &layer.descriptor, KEY_SET_VALUE).map(|_| ())
    }
}

/// One thread's way of seeing: a table, and the disabled layers that count as enabled for it.
#[derive(Clone, Debug)]
pub struct View {
    table: Arc<LayerTable>,
    private: Vec<FoldedName>,
}

impl View {
    /// What everybody sees.
    pub fn global(table: Arc<LayerTable>) -> Self {
        Self { table, private: Vec::new() }
    }

    /// What the bearer of `token` sees.
    pub fn of(table: Arc<LayerTable>, token: &Token) -> Self {
        let private = token.private_layers.iter().map(|name| FoldedName::new(name)).collect();
        Self { table, private }
    }

    /// The table seen.
    pub fn table(&self) -> &Arc<LayerTable> {
        &self.table
    }

    /// Precedence of an active layer; `None` for an unknown or inactive one (`RES-02`..`RES-04`).
    pub fn precedence(&self, layer: &[u8]) -> Option<u32> {
        match std::str::from_utf8(layer) {
            Ok(folded) if is_folded(layer) => self.precedence_of(folded),
            Ok(layer) => self.precedence_of(FoldedName::new(layer).borrow()),
            Err(_) => None,
        }
    }

    fn precedence_of(&self, folded: &str) -> Option<u32> {
        let found = self.table.layers.get(folded)?;
        let is_own = || self.private.iter().any(|name| Borrow::<str>::borrow(name) == folded);
        (found.enabled || is_own()).then_some(found.precedence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, precedence: u32) -> Layer {
        Layer { name: name.to_owned(), precedence, ..Layer::base() }
    }

    #[test]
    fn base_keeps_its_properties_and_cannot_be_removed() {
        let mut table = LayerTable::new();
        let base = table.base().clone();
        let key = Some(Guid([7; 16]));
        let odd = Layer { enabled: false, metadata_key: key, ..layer("BASE", 9) };
        table.publish(base.clone(), odd, 1).expect("base is there");
        let found = table.get(&base).expect("base");
        assert_eq!((found.precedence, found.enabled, found.name.as_str()), (0, true, "base"));
        assert_eq!(found.metadata_key, key);
        assert_eq!(table.remove(&base), None);
        assert_eq!(table.get(&base).expect("base").metadata_key, key);
    }

    #[test]
    fn a_full_table_takes_no_new_layer_and_replaces_old_ones() {
        let mut table = LayerTable::new();
        let mut publish = |name: &str| table.publish(FoldedName::new(name), layer(name, 4), 3);
        assert_eq!([publish("l1"), publish("l2")], [Ok(()); 2]);
        assert_eq!(publish("more"), Err(Errno::ENOSPC));
        assert_eq!(publish("l1"), Ok(()));
    }

    #[test]
    fn a_disabled_layer_is_active_for_a_thread_that_carries_it() {
        let mut table = LayerTable::new();
        let name = FoldedName::new("test");
        table.publish(name, Layer { enabled: false, ..layer("Test", 3) }, 2).expect("room");
        let table = Arc::new(table);
        let mut token = Token::system();
        assert_eq!(View::of(Arc::clone(&table), &token).precedence(b"test"), None);
        token.private_layers.push("TEST".to_owned());
        assert_eq!(View::of(table, &token).precedence(b"TesT"), Some(3));
    }
}
