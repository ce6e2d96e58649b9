//! Self-configuration: the kernel half follows its own parameters below `Machine\System\Registry`
//! (PSD-005 §8.1, §8.2, §11.4; `BOOT-*`, `CONF-*`, D-100, D-106, P-160..P-169).
//!
//! The watch on its own keys is part of the mutations themselves: whoever changes what the
//! parameters are made from holds the turns of [`Place::Layers`](crate::turns::Place::Layers) from
//! before the change to after the swap, as for the layers. What is read is taken as a whole and
//! swapped at once; operations under way keep what they began with.

mod cache;
mod parameters;

use std::collections::BTreeMap;
use std::sync::Arc;

use abi::Errno;
use rsi::{Guid, Operation};

pub use self::cache::CONFIGURATION_PARENT;
pub use self::cache::ConfigurationCache;
use self::cache::{CONFIGURATION_PATH, Content, Reading, ReadingExtent};
pub use self::parameters::{
    AttachmentLimits, Definition, Invalid, Parameter, Parameters, WatchLimits,
};
use crate::env::Env;
use crate::hive_content::absent_is_empty;
use crate::kernel::Kernel;
use crate::layers::{LayerTable, View};
use crate::mutation::Scope;
use crate::name::FoldedName;
use crate::resolve::{Values, is_of};
use crate::source::Connection;
use crate::state::{HiveId, KeyId, State};

/// Which of the two readings that go with a registration it is (D-106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Under the layers at hand; nobody is told of what is invalid.
    BeforeLayers,
    /// Under the layers that were read.
    AfterLayers,
}

impl<E: Env> Kernel<E> {
    /// Reads what mutations of `scopes`, or the layers as they are now, have made of the
    /// parameters. Fails nothing (P-165). The caller holds the turns of a change of the layers.
    pub async fn follow_configuration(&self, scopes: &[Scope]) {
        let (machine, table, known_way) = {
            let state = self.state();
            let cache = &state.configuration;
            let Some(machine) = state.machine else { return };
            if !cache.is_due(scopes, &state.layers) {
                return;
            }
            (machine, Arc::clone(&state.layers), cache.known_way(scopes, &state.layers))
        };
        self.read_configuration(machine, &table, known_way, ReadingExtent::Changes).await;
    }

    /// Reads everything, as at boot (P-166). The caller holds the turns of a change of the layers.
    pub async fn load_configuration(&self, load: Load) {
        let (machine, table) = {
            let mut state = self.state();
            if load == Load::AfterLayers && !state.configuration.end_load() {
                // The source has registered again meanwhile.
                return;
            }
            (state.machine, Arc::clone(&state.layers))
        };
        if let Some(machine) = machine {
            self.read_configuration(machine, &table, None, ReadingExtent::Everything).await;
        }
    }

    async fn read_configuration(
        &self,
        machine: HiveId,
        table: &Arc<LayerTable>,
        known_way: Option<Vec<Guid>>,
        extent: ReadingExtent,
    ) {
        let way = match known_way {
            Some(way) => Some(way),
            None => self.find_configuration(machine, table).await,
        };
        let Some(chain) = way else {
            let mut state = self.state();
            state.configuration.miss();
            if extent == ReadingExtent::Everything {
                state.configuration.forget();
            }
            return;
        };
        let mut missed = false;
        let mut contents = None;
        if let Some(guid) = chain.get(CONFIGURATION_PATH.len()) {
            self.env.yield_point("read the parameters").await;
            let key = KeyId::in_hive(machine, *guid);
            match self.query_values(key, None).await {
                Ok(values) => contents = Some(self.contents(key, table, &values)),
                // What is malformed stays so until something changes below the key (P-26), and what
                // a source holds that is Down is read when it returns.
                Err(errno) => missed = errno != Errno::EIO,
            }
        }
        self.swap_parameters(Reading { chain, contents }, extent, table, missed);
    }

    /// The keys on the way to the parameters, from the hive root as far as the path resolves; none
    /// if a source's answer cannot be used.
    async fn find_configuration(
        &self,
        machine: HiveId,
        table: &Arc<LayerTable>,
    ) -> Option<Vec<Guid>> {
        let view = View::global(Arc::clone(table));
        let mut guid = self.state().hive(machine).root;
        let mut chain = vec![guid];
        for name in CONFIGURATION_PATH {
            self.env.yield_point("read the way to the parameters").await;
            let parent = KeyId::in_hive(machine, guid);
            let entries = absent_is_empty(self.lookup_entries(parent, name, None).await).ok()?;
            let resolved = view.resolve_path(&entries);
            match self.unless_tied(parent, Operation::Lookup, resolved).ok()? {
                Some(next) => guid = next,
                None => break,
            }
            chain.push(guid);
        }
        Some(chain)
    }

    /// What is effective for each parameter. One whose entries tie is left out (P-164).
    fn contents(
        &self,
        key: KeyId,
        table: &Arc<LayerTable>,
        values: &Values,
    ) -> BTreeMap<Parameter, Content> {
        let view = View::global(Arc::clone(table));
        let effective = |parameter: Parameter| {
            let name = FoldedName::new(parameter.definition().name);
            let entries = values.entries.iter().filter(|entry| is_of(&entry.name, &name));
            let value = view.resolve_value(entries, &values.blankets);
            let value = self.unless_tied(key, Operation::QueryValues, value).ok()?;
            let content = value.map(|value| value.content());
            Some((parameter, content.map(|(value_type, data)| (value_type, data.to_vec()))))
        };
        Parameter::ALL.into_iter().filter_map(effective).collect()
    }

    /// Puts what is good of a reading in force, in one moment, and reports what is not.
    fn swap_parameters(
        &self,
        reading: Reading,
        extent: ReadingExtent,
        table: &Arc<LayerTable>,
        missed: bool,
    ) {
        let mut connections = Vec::new();
        let (rejected, parameters) = {
            let mut state = self.state();
            let mut next = Parameters::clone(&state.parameters);
            let rejected = state.configuration.take(reading, extent, table, &mut next);
            if missed {
                state.configuration.miss();
                if extent == ReadingExtent::Everything {
                    state.configuration.forget();
                }
            }
            if next != *state.parameters {
                connections = limited_connections(&state, &next);
                state.parameters = Arc::new(next);
            }
            // Of what is read before the layers nobody is told: it is read again (D-106).
            let is_silent = state.configuration.loads_pending > 0;
            let rejected = if is_silent { Vec::new() } else { rejected };
            (rejected, Arc::clone(&state.parameters))
        };
        for connection in connections {
            connection.set_in_flight_limit(parameters.requests_in_flight_max());
        }
        for (parameter, invalid) in rejected {
            self.audit_configuration(parameter, invalid, parameters.get(parameter));
        }
    }
}

/// The connections for which another limit of requests comes into force.
fn limited_connections<E: Env>(state: &State<E>, next: &Parameters) -> Vec<Connection<E>> {
    let changes = next.requests_in_flight_max() != state.parameters.requests_in_flight_max();
    state.slots.iter().filter(|_| changes).map(|slot| slot.connection.clone()).collect()
}
