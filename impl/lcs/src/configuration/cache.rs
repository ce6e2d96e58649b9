//! What the parameters in force were last made from, and when that is to be read again (PSD-005
//! §8.2; D-100, P-160, P-161). Plain data; it asks nothing of a source.

use std::collections::BTreeMap;
use std::sync::Arc;

use rsi::Guid;

use super::parameters::{Invalid, Parameter, Parameters};
use crate::layers::LayerTable;
use crate::mutation::Scope;
use crate::name::FoldedName;

/// Where the parameters are kept, below the root of the global Machine hive.
pub const CONFIGURATION_PATH: [&str; 2] = ["System", "Registry"];

/// The whole path, as the specification spells it.
pub const CONFIGURATION_PARENT: &str = "Machine\\System\\Registry";

/// An effective value, as type and data; none where there is no value.
pub type Content = Option<(u32, Vec<u8>)>;

/// What one reading has found.
#[derive(Debug)]
pub struct Reading {
    /// Keys of the path, from the hive root as far as it resolved.
    pub chain: Vec<Guid>,
    /// What is effective for each parameter of which the source's answer could be used; none where
    /// the path resolves to nothing, or the values could not be read.
    pub contents: Option<BTreeMap<Parameter, Content>>,
}

/// Which parameters a reading takes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadingExtent {
    /// Those whose effective value has changed; all if the key is another one, or is there again.
    Changes,
    /// All of them, as at boot.
    Everything,
}

/// See the module.
#[derive(Debug, Default)]
pub struct ConfigurationCache {
    /// Registrations of the Machine hive after which everything has still to be read.
    pub loads_pending: usize,
    /// The way to the parameters, or they themselves, could not be asked for since they may have
    /// changed: every mutation of the hive is an occasion.
    stale: bool,
    /// Keys of the path, from the hive root as far as it resolved.
    chain: Vec<Guid>,
    /// What was last found for each parameter below the present key.
    seen: BTreeMap<Parameter, Content>,
    /// The layers under which that is effective.
    table: Option<Arc<LayerTable>>,
}

impl ConfigurationCache {
    /// Whether a mutation of this can bear on the parameters.
    fn concerns(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Key { guid, .. } => self.key() == Some(*guid),
            Scope::Name { .. } => self.concerns_way(scope),
        }
    }

    fn concerns_way(&self, scope: &Scope) -> bool {
        let Scope::Name { parent, name } = scope else { return false };
        self.chain
            .iter()
            .zip(CONFIGURATION_PATH)
            .any(|(key, component)| key == parent && *name == FoldedName::new(component))
    }

    /// Whether a mutation of this is an occasion to read.
    pub fn is_occasion(&self, scope: &Scope) -> bool {
        self.is_stale() || self.concerns(scope)
    }

    /// Whether every mutation of the hive is one.
    pub const fn is_stale(&self) -> bool {
        self.stale || self.loads_pending > 0
    }

    /// The key that the path led to.
    fn key(&self) -> Option<Guid> {
        self.chain.get(CONFIGURATION_PATH.len()).copied()
    }

    /// The way to the key, if neither mutations of `scopes` nor the layers can have changed it.
    pub fn known_way(&self, scopes: &[Scope], table: &Arc<LayerTable>) -> Option<Vec<Guid>> {
        let is_known = !self.is_stale()
            && self.is_under(table)
            && !scopes.iter().any(|scope| self.concerns_way(scope));
        is_known.then(|| self.chain.clone())
    }

    /// Whether there may be anything to read after mutations of `scopes`, under the present layers.
    pub fn is_due(&self, scopes: &[Scope], table: &Arc<LayerTable>) -> bool {
        !self.is_under(table) || scopes.iter().any(|scope| self.is_occasion(scope))
    }

    fn is_under(&self, table: &Arc<LayerTable>) -> bool {
        self.table.as_ref().is_some_and(|known| known.resolves_like(table))
    }

    /// Notes that nobody can tell what there is.
    pub const fn miss(&mut self) {
        self.stale = true;
    }

    /// Takes in a reading made under `table`: changes what is good of it in `parameters`, and
    /// returns what is not.
    pub fn take(
        &mut self,
        reading: Reading,
        extent: ReadingExtent,
        table: &Arc<LayerTable>,
        parameters: &mut Parameters,
    ) -> Vec<(Parameter, Invalid)> {
        let former = self.key();
        self.stale = false;
        self.table = Some(Arc::clone(table));
        self.chain = reading.chain;
        if self.key() != former {
            self.seen.clear();
        }
        let mut rejected = Vec::new();
        for (parameter, content) in reading.contents.into_iter().flatten() {
            let is_meant =
                extent == ReadingExtent::Everything || self.seen.get(&parameter) != Some(&content);
            if is_meant {
                let value = content.as_ref().map(|(value_type, data)| (*value_type, &**data));
                match parameter.judge(value) {
                    Ok(number) => parameters.set(parameter, number),
                    Err(invalid) => rejected.push((parameter, invalid)),
                }
            }
            self.seen.insert(parameter, content);
        }
        rejected
    }

    /// One registration's reading is over. Returns whether it was the last that had been due.
    pub const fn end_load(&mut self) -> bool {
        self.loads_pending = self.loads_pending.saturating_sub(1);
        self.loads_pending == 0
    }

    /// Forgets what was found, so that all of it is taken up by the next reading.
    pub fn forget(&mut self) {
        self.seen.clear();
    }
}
