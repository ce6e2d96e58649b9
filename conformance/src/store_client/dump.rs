//! Everything that a source holds, read back by requests.
//!
//! Each answer is judged like any other, so that comparing is nothing but asking: for every key
//! that the plan names or that an enumeration leads to, its record and, where it has one, its
//! values, its children, and each child by its name.

use std::collections::BTreeSet;

use registry_model::store::{Guid, Payload, Response};

use super::execution::Execution;
use super::lockstep::{Stop, StoreKind};
use super::plan::PlannedOperation;
use crate::plan::Text;

/// Most keys that are read back.
const KEYS_MAX: usize = 10_000;

/// Reads everything back that does not have to wait. The source must be running.
pub(super) fn compare(execution: &mut Execution<'_>) -> Result<(), Stop> {
    let kind = std::mem::replace(&mut execution.kind, StoreKind::Entries);
    let requests = execution.statistics.requests;
    let compared = compare_all(execution);
    execution.statistics.compared += execution.statistics.requests - requests;
    execution.kind = kind;
    compared
}

fn compare_all(execution: &mut Execution<'_>) -> Result<(), Stop> {
    let mut waiting: Vec<Guid> = execution.names.known_keys().collect();
    let mut seen: BTreeSet<Guid> = waiting.iter().copied().collect();
    while let Some(guid) = waiting.pop() {
        let key = execution.names.key(guid);
        let read = PlannedOperation::ReadKey { key: key.clone() };
        if !matches!(execution.exchange(read)?, Some(Response::Ok(_))) {
            continue;
        }
        let query = PlannedOperation::QueryValues { key: key.clone(), name: None };
        execution.exchange(query)?;
        let children = PlannedOperation::EnumChildren { parent: key.clone() };
        let answer = execution.exchange(children)?;
        let Some(Response::Ok(Payload::Children { children, metadata })) = answer else {
            continue;
        };
        for child in children {
            let (parent, name) = (key.clone(), Text(child.name));
            execution.exchange(PlannedOperation::Lookup { parent, name })?;
        }
        for key in metadata {
            if seen.insert(key.guid) {
                waiting.push(key.guid);
            }
        }
        if seen.len() > KEYS_MAX {
            return Err(Stop::Indeterminate(format!("more than {KEYS_MAX} keys")));
        }
    }
    Ok(())
}
