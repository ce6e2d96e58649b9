//! What happens to the registry without a call: sources die, the machine boots.
//!
//! States PSD-005 §10.1 (source crash) and §8.1. What a source does to come back is a call on its
//! device (`device`).

use crate::coverage::{Covered, covers};
use crate::database::{Map, Set};
use crate::input::{Environment, SourceId};
use crate::outcome::Outcome;
use crate::slots;
use crate::state::State;
use crate::step::Step;
use crate::store_entry;

/// The one step of an environment input; none where it names a place that is not there.
pub(crate) fn environment(state: &State, environment: &Environment) -> Option<Step> {
    let mut covered = Covered::new();
    let next = match environment {
        Environment::SourceDown { source } => died(state, *source, &mut covered),
        Environment::Reboot => reboot(state),
        Environment::FalseMaximum { source, max_sequence } => {
            let mut next = state.clone();
            next.false_maxima.insert_mut(*source, *max_sequence);
            next
        }
        Environment::StoreEntry(entry) => store_entry::store(state, entry)?,
        Environment::TransactionSupport { source, is_supported } => {
            let mut next = state.clone();
            if *is_supported {
                next.without_transactions.remove_mut(source);
            } else {
                next.without_transactions.insert_mut(*source);
            }
            next
        }
        Environment::RefusedCommit { source, refusal } => {
            let mut next = state.clone();
            next.commit_refusals.insert_mut(*source, *refusal);
            next
        }
    };
    Some(Step { outcome: Outcome::Nothing, covered, contest: None, audit: Vec::new(), next })
}

/// The kernel closes the device of a process that died.
fn died(state: &State, source: SourceId, covered: &mut Covered) -> State {
    let mut next = state.clone();
    next.enumerations = Map::new_sync();
    if next.devices.remove_mut(&source) {
        covers!(covered, "HIVE-24", "REG-17", "FAIL-03");
        mark_cancelled(&next, source, covered);
    }
    slots::disconnect(&mut next, source);
    next
}

/// What the death of a source shows about the transactions bound to it.
fn mark_cancelled(state: &State, source: SourceId, covered: &mut Covered) {
    let served = state.slots.iter().filter(|(_, slot)| slot.connection == Some(source));
    if served.into_iter().any(|(id, _)| !state.bound_to(*id).is_empty()) {
        covers!(covered, "FAIL-07", "TXN-17", "TXN-55");
    }
}

/// What sources have stored is all that is left. What is in volatile keys goes when the source
/// registers again.
fn reboot(state: &State) -> State {
    let mut shelf = state.shelf.clone();
    for database in state.databases.values() {
        if let Some(kept) = database.kept() {
            shelf.insert_mut(kept, database.clone());
        }
    }
    State {
        shelf,
        roots: state.roots.clone(),
        next_guid: state.next_guid,
        false_maxima: state.false_maxima.clone(),
        without_transactions: state.without_transactions.clone(),
        orphans: Set::new_sync(),
        name_length_max: state.name_length_max,
        ..State::new()
    }
}
