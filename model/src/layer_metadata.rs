//! What the registry says about one layer.
//!
//! States PSD-005 §2.6, "Layer metadata storage" and the defaults of "Enforcement", with D-51,
//! D-52 and P-75. Reads what the global effective view shows under the table of the state it is given.

use std::sync::Arc;

use crate::coverage::{Covered, covers};
use crate::database::Guid;
use crate::layers::machine;
use crate::names::{FoldedName, LayerName};
use crate::resolution::{Contest, EffectiveValue, Viewer};
use crate::security::{MalformedDescriptor, SecurityDescriptor, Sid};
use crate::state::State;
use crate::values::{REG_BINARY, REG_DWORD};

/// A response that is malformed in whatever way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// An effective value as (type, data), if the source's answer is not malformed.
type Value = Result<Option<(u32, Arc<[u8]>)>, Unreadable>;

/// The visible metadata key of a layer. Two are equal when nothing effective differs (D-51).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    key: Guid,
    pub(crate) name: LayerName,
    pub(crate) descriptor: Result<Arc<SecurityDescriptor>, MalformedDescriptor>,
    precedence: Value,
    enabled: Value,
    owner: Value,
}

/// What the source shows of a layer: `Err` if not even whether the metadata key is there.
pub(crate) type Reading = Result<Metadata, Unreadable>;

/// The metadata of the layer with this folded name, if its key is visible below the Layers key.
pub(crate) fn metadata(state: &State, name: &FoldedName) -> Option<Reading> {
    let hive = machine(state).filter(|hive| state.is_active(*hive))?;
    let viewer = Viewer::global();
    let resolver = state.kernel_resolver(hive, &viewer);
    let ignored = &mut Covered::new();
    let child = match resolver.child(state.layers_key?, name.as_str(), ignored) {
        Ok((child, _)) => child?,
        Err(_) => return Some(Err(Unreadable)),
    };
    let record = resolver.database.keys.get(&child.key)?;
    let mut value = |name| {
        let (value, _) = resolver.value(child.key, name, ignored).map_err(|_| Unreadable)?;
        Ok(value.map(|value| (value.entry.value_type, value.entry.data.clone())))
    };
    Some(Ok(Metadata {
        key: child.key,
        name: LayerName::from(child.entry.name.clone()),
        descriptor: record.descriptor.clone(),
        precedence: value("precedence"),
        enabled: value("enabled"),
        owner: value("owner"),
    }))
}

impl Metadata {
    /// The precedence, 0 where none is given (LAYER-44). `None` if it is malformed.
    pub(crate) fn precedence(&self) -> Option<u32> {
        self.precedence.as_ref().ok()?.as_ref().map_or(Some(0), dword)
    }

    /// Whether the layer is enabled, true where nothing is said (LAYER-45). `None` if it is
    /// malformed.
    pub(crate) fn enabled(&self) -> Option<bool> {
        match self.enabled.as_ref().ok()?.as_ref().map_or(Some(1), dword)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Marks the values that are not there, an owner, which decides nothing, and a precedence
    /// that another layer of higher precedence has overridden.
    pub(crate) fn mark(&self, state: &State, covered: &mut Covered) {
        if let Some(hive) = machine(state) {
            let viewer = Viewer::global();
            let resolver = state.resolver(hive, &viewer);
            let value = resolver.value(self.key, "precedence", &mut Covered::new());
            let is_overridden = |(value, contest): (Option<EffectiveValue<'_>>, Contest)| {
                contest.active > contest.top
                    && value.is_some_and(|value| value.layer.name.folded() != self.name.folded())
            };
            if value.is_ok_and(is_overridden) {
                covers!(covered, "LAYER-32");
            }
        }
        if self.precedence == Ok(None) {
            covers!(covered, "LAYER-44");
        }
        if self.enabled == Ok(None) {
            covers!(covered, "LAYER-45");
        }
        if self.owner.as_ref().is_ok_and(Option::is_some) {
            covers!(covered, "LAYER-09", "LAYER-22");
        }
    }

    /// Whether something of it cannot be read, so that nobody can tell whether it has changed.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.descriptor.is_err()
            || [&self.precedence, &self.enabled, &self.owner].iter().any(|value| value.is_err())
    }

    /// The metadata key, if its SD is all of it that cannot be read.
    pub(crate) fn key_of_bad_descriptor(&self) -> Option<Guid> {
        let values = [&self.precedence, &self.enabled, &self.owner];
        let others_are_good = values.iter().all(|value| value.is_ok());
        (self.descriptor.is_err() && others_are_good).then_some(self.key)
    }

    /// The owner that is given, if nothing of the metadata is malformed.
    pub(crate) fn owner(&self) -> Option<Vec<u8>> {
        let is_good = self.descriptor.is_ok()
            && self.precedence().is_some()
            && self.enabled().is_some()
            && self.has_good_owner();
        let (_, owner) = self.owner.as_ref().ok()?.as_ref()?;
        is_good.then(|| owner.to_vec())
    }

    /// Whether the owner, if one is given, is a SID.
    pub(crate) fn has_good_owner(&self) -> bool {
        let Ok(owner) = &self.owner else { return false };
        owner.as_ref().is_none_or(|(value_type, data)| {
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
