//! Which keys of a restore lie on the way to the layers, and which are layer metadata, by whatever
//! layer's entries (PSD-005 §6.3, §9.1; D-50, P-27, P-212).

use std::borrow::Borrow;
use std::collections::BTreeMap;

use abi::value_type::REG_DWORD;
use rsi::{Guid, ValueEntry};

use crate::env::Env;
use crate::key_file::Position;
use crate::metadata::{LAYERS_PATH, PRECEDENCE, double_word};
use crate::name::FoldedName;
use crate::resolve::is_of;
use crate::state::State;

/// How far down the way a key lies: 0 for the hive root, 3 for the Layers key, 4 for layer metadata. A
/// key may lie at several places; a bit stands for each.
type Places = u8;

/// The Layers key.
const LAYERS_KEY: usize = LAYERS_PATH.len();
/// A key below it.
const METADATA: usize = LAYERS_KEY + 1;

/// See the module.
#[derive(Debug, Default)]
pub struct MetadataWay(BTreeMap<Guid, Places>);

impl MetadataWay {
    /// What is known of the target of a restore.
    pub fn of_target<E: Env>(state: &State<E>, target: &Position) -> Self {
        let mut way = Self::default();
        if state.machine != Some(target.hive()) {
            return way;
        }
        let guid = target.key().guid;
        if let Some(place) = place_of_path(target) {
            way.add(guid, place);
        }
        let chain = state.metadata.chain.iter().take(LAYERS_KEY).enumerate();
        for (place, _) in chain.filter(|(_, key)| **key == guid) {
            way.add(guid, place);
        }
        if state.metadata.layers_key == Some(guid) {
            way.add(guid, LAYERS_KEY);
        }
        let above = target.parent().map(|key| key.guid);
        if above.is_some() && state.metadata.layers_key == above {
            way.add(guid, METADATA);
        }
        way
    }

    /// Whether what becomes of the target can bear on the layers or the parameters.
    pub fn is_concerned(&self) -> bool {
        !self.0.is_empty()
    }

    /// Notes a name of a key.
    pub fn name(&mut self, parent: Guid, name: &FoldedName, child: Guid) {
        let Some(places) = self.0.get(&parent).copied() else { return };
        for (place, component) in LAYERS_PATH.iter().enumerate() {
            if places & (1 << place) != 0 && *name == FoldedName::new(component) {
                self.add(child, place + 1);
            }
        }
        if places & (1 << LAYERS_KEY) != 0 {
            self.add(child, METADATA);
        }
    }

    /// Whether a value is one that raises a layer's precedence above 0.
    pub fn raises_precedence(&self, key: Guid, entry: &ValueEntry) -> bool {
        let is_metadata = self.0.get(&key).is_some_and(|places| places & (1 << METADATA) != 0);
        is_metadata
            && entry.value_type == REG_DWORD
            && is_of(&entry.name, &FoldedName::new(PRECEDENCE))
            && double_word(&(entry.value_type, entry.data.clone())).is_ok_and(|value| value > 0)
    }

    fn add(&mut self, guid: Guid, place: usize) {
        *self.0.entry(guid).or_default() |= 1 << place;
    }
}

/// The place by the path that a key was opened by.
fn place_of_path(target: &Position) -> Option<usize> {
    let place = target.depth() - 1;
    let names: Vec<FoldedName> = target.last_names(place).map(FoldedName::new).collect();
    let is_on_way = |(name, component): (&FoldedName, &&str)| {
        let name: &str = name.borrow();
        FoldedName::new(component) == FoldedName::new(name)
    };
    (place <= METADATA && names.iter().zip(&LAYERS_PATH).all(is_on_way)).then_some(place)
}
