//! The layers that a stream declares: only these may its entries be of (PSD-005 §9.1; `RST-21`..`RST-24`,
//! `RST-54`..`RST-63`).

use std::collections::BTreeMap;

use abi::Errno;

use super::judge;
use crate::backup::format::LayerRecord;
use crate::layers::LayerTable;
use crate::name::FoldedName;
use crate::security::{Privileges, Sid, Token};

/// See the module.
#[derive(Default)]
pub struct Manifest {
    /// Layers, with the precedence that the stream states.
    layers: BTreeMap<FoldedName, u32>,
    /// Spellings of them that have been met, so as not to fold each one again.
    spellings: BTreeMap<Vec<u8>, FoldedName>,
}

impl Manifest {
    /// Takes a line in.
    ///
    /// # Errors
    /// EINVAL for one that is malformed, or whose layer is there already.
    pub fn add(&mut self, line: LayerRecord, name_length_max: usize) -> Result<(), Errno> {
        let layer = judge::component(&line.name, name_length_max)?;
        if line.enabled > 1 || Sid::parse(&line.owner).is_err() {
            return Err(Errno::EINVAL);
        }
        self.spellings.insert(line.name, layer.clone());
        match self.layers.insert(layer, line.precedence) {
            None => Ok(()),
            Some(_) => Err(Errno::EINVAL),
        }
    }

    /// The layers.
    pub fn layers(&self) -> impl Iterator<Item = &FoldedName> {
        self.layers.keys()
    }

    /// Whether the caller may restore entries of all these layers, by what the stream says of them and
    /// by what they are.
    ///
    /// # Errors
    /// EPERM without SeTcbPrivilege where one has a precedence above 0.
    pub fn authorize(&self, table: &LayerTable, token: &Token) -> Result<(), Errno> {
        let is_high = |(layer, precedence): (&FoldedName, &u32)| {
            *precedence > 0 || table.get(layer).is_some_and(|layer| layer.precedence > 0)
        };
        if self.layers.iter().any(is_high) && !token.has_privilege(Privileges::TCB) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// The layer of an entry.
    ///
    /// # Errors
    /// EINVAL for one that is not declared.
    pub fn layer(&mut self, name: &[u8], name_length_max: usize) -> Result<FoldedName, Errno> {
        if let Some(layer) = self.spellings.get(name) {
            return Ok(layer.clone());
        }
        let layer = judge::component(name, name_length_max)?;
        if !self.layers.contains_key(&layer) {
            return Err(Errno::EINVAL);
        }
        if self.spellings.len() < 2 * self.layers.len() {
            self.spellings.insert(name.to_vec(), layer.clone());
        }
        Ok(layer)
    }
}
