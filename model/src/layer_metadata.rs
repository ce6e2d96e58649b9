//! What the registry says about one layer.
//!
//! States PSD-005 §2.6, "Layer metadata storage" and the defaults of "Enforcement", with D-51 and
//! D-52. Reads what the global effective view shows under the table of the state it is given.

use std::sync::Arc;

use crate::coverage::{Covered, covers};
use crate::database::Guid;
use crate::layers::machine;
use crate::names::{FoldedName, LayerName};
use crate::resolution::Viewer;
use crate::security::{SecurityDescriptor, Sid};
use crate::state::State;
use crate::values::{REG_BINARY, REG_DWORD};

/// An effective value as (type, data).
type Value = Option<(u32, Arc<[u8]>)>;

/// The visible metadata key of a layer. Two are equal when nothing effective differs (D-51).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    key: Guid,
    pub(crate) name: LayerName,
    pub(crate) descriptor: Arc<SecurityDescriptor>,
    precedence: Value,
    enabled: Value,
    owner: Value,
}

/// The metadata of the layer with this folded name, if its key is visible below the Layers key.
pub(crate) fn metadata(state: &State, name: &FoldedName) -> Option<Metadata> {
    let hive = machine(state).filter(|hive| state.is_active(*hive))?;
    let viewer = Viewer::global();
    let resolver = state.resolver(hive, &viewer);
    let ignored = &mut Covered::new();
    let child = resolver.child(state.layers_key?, name.as_str(), ignored).0?;
    let record = resolver.database.keys.get(&child.key)?;
    let mut value = |name| {
        let (value, _) = resolver.value(child.key, name, ignored);
        value.map(|value| (value.entry.value_type, value.entry.data.clone()))
    };
    Some(Metadata {
        key: child.key,
        name: LayerName::from(child.entry.name.clone()),
        descriptor: record.descriptor.clone(),
        precedence: value("precedence"),
        enabled: value("enabled"),
        owner: value("owner"),
    })
}

impl Metadata {
    /// The precedence, 0 where none is given (LAYER-44). `None` if it is malformed.
    pub(crate) fn precedence(&self) -> Option<u32> {
        self.precedence.as_ref().map_or(Some(0), dword)
    }

    /// Whether the layer is enabled, true where nothing is said (LAYER-45). `None` if it is
    /// malformed.
    pub(crate) fn enabled(&self) -> Option<bool> {
        match self.enabled.as_ref().map_or(Some(1), dword)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Marks the values that are not there, an owner, which decides nothing, and a precedence of
    /// which several layers have an opinion.
    pub(crate) fn mark(&self, state: &State, covered: &mut Covered) {
        if let Some(hive) = machine(state) {
            let viewer = Viewer::global();
            let resolver = state.resolver(hive, &viewer);
            let (_, contest) = resolver.value(self.key, "precedence", &mut Covered::new());
            if contest.active > 1 {
                covers!(covered, "LAYER-32");
            }
        }
        if self.precedence.is_none() {
            covers!(covered, "LAYER-44");
        }
        if self.enabled.is_none() {
            covers!(covered, "LAYER-45");
        }
        if self.owner.is_some() {
            covers!(covered, "LAYER-09", "LAYER-22");
        }
    }

    /// Whether the owner, if one is given, is a SID.
    pub(crate) fn has_good_owner(&self) -> bool {
        self.owner.as_ref().is_none_or(|(value_type, data)| {
            *value_type == REG_BINARY
                && Sid::at_start_of(data).is_some_and(|sid| sid.0.len() == data.len())
        })
    }
}

fn dword((value_type, data): &(u32, Arc<[u8]>)) -> Option<u32> {
    if *value_type != REG_DWORD {
        return None;
    }
    <[u8; 4]>::try_from(&data[..]).ok().map(u32::from_le_bytes)
}
