//! What happens to the registry without a call: sources die, the machine boots.
//!
//! States PSD-005 §10.1 (source crash) and §8.1. What a source does to come back is a call on its
//! device (`device`).

use crate::coverage::{Covered, covers};
use crate::database::Map;
use crate::input::{Environment, SourceId, UnixTime};
use crate::late;
use crate::late_kept;
use crate::outcome::Outcome;
use crate::stalls::Stall;
use crate::state::{Gone, Hive, State};
use crate::step::Step;
use crate::store_entry::{self, StoreEntry};
use crate::transactions::marks;

/// The steps of an environment input: one, several where requests were in flight, and none where it names a
/// place that is not there.
pub(crate) fn environment(state: &State, environment: &Environment) -> Vec<Step> {
    let mut covered = Covered::new();
    let next = match environment {
        Environment::SourceDown { source } => died(state, *source, &mut covered),
        Environment::Reboot => reboots(state),
        Environment::PowerLoss { recovered } => {
            reboots(state).iter().flat_map(|state| state.without_power(recovered)).collect()
        }
        Environment::SourceReleased { source, at, dying } => {
            let begun = State { dying: dying.clone(), ..state.clone() };
            return late::released(&begun, *source, *at);
        }
        other => simple(state, other).into_iter().collect(),
    };
    let step =
        |next| Step { outcome: Outcome::Nothing, covered, contest: None, audit: Vec::new(), next };
    next.into_iter().map(step).collect()
}

/// What one of those leaves that concern no request.
fn simple(state: &State, environment: &Environment) -> Option<State> {
    Some(match environment {
        Environment::SourceStalls { source } => {
            let mut next = state.clone();
            if !next.stalls.contains_key(source) {
                next.stalls.insert_mut(*source, Stall { begins: true, ..Stall::default() });
            }
            next
        }
        Environment::SourceStalled { source } => stalled(state, *source),
        Environment::TimePasses { at } => {
            let mut next = state.clone();
            next.pass_time(*at);
            next
        }
        Environment::PowerMayFail => {
            let mut next = state.clone();
            next.fear_power_loss();
            next
        }
        Environment::FalseMaximum { source, max_sequence } => {
            let mut next = state.clone();
            next.false_maxima.insert_mut(*source, *max_sequence);
            next
        }
        Environment::StoreEntry(entry) => stored(state, entry)?,
        Environment::SourceDown { .. }
        | Environment::Reboot
        | Environment::PowerLoss { .. }
        | Environment::SourceReleased { .. } => return None,
        Environment::TransactionSupport { source, is_supported } => {
            let mut next = state.clone();
            if *is_supported {
                next.without_transactions.remove_mut(source);
            } else {
                next.without_transactions.insert_mut(*source);
            }
            next
        }
        Environment::SnapshotSupport { source, is_supported } => {
            let mut next = state.clone();
            if *is_supported {
                next.without_snapshots.remove_mut(source);
            } else {
                next.without_snapshots.insert_mut(*source);
            }
            next
        }
        Environment::RefusedCommit { source, refusal } => {
            let mut next = state.clone();
            next.commit_refusals.insert_mut(*source, *refusal);
            next
        }
    })
}

/// A store was given a record, which is there also when what is in flight has come.
fn stored(state: &State, entry: &StoreEntry) -> Option<State> {
    let mut next = store_entry::store(state, entry)?;
    let sources: Vec<SourceId> = state.stalls.keys().copied().collect();
    for source in sources {
        if let Some(stall) = next.stalls.get_mut(&source) {
            let late = stall.late.iter().map(|late| {
                late.over(|hive, contents| {
                    let mut other = state.clone();
                    *other.database_mut(hive) = contents.clone();
                    let other = store_entry::store(&other, entry);
                    other.map_or(contents.clone(), |other| other.database(hive).clone())
                })
            });
            stall.late = late.collect();
        }
    }
    Some(next)
}

/// The source answers nothing from here on. If it has stopped in the course of a call, a request of that is in
/// flight.
fn stalled(state: &State, source: SourceId) -> State {
    let mut next = state.clone();
    next.enumerations = Map::new_sync();
    let former = next.stalls.get(&source).cloned();
    let is_new = former.as_ref().is_none_or(|stall| stall.begins);
    let unasked = if is_new { state.unasked(source) } else { 0 };
    next.stalls.insert_mut(source, former.unwrap_or_default().begun(state.requests_max(), unasked));
    next.keep_on_the_way(source);
    next
}

/// The kernel closes the device of a process that died.
fn died(state: &State, source: SourceId, covered: &mut Covered) -> Vec<State> {
    let mut next = state.clone();
    next.enumerations = Map::new_sync();
    if next.devices.remove_mut(&source) {
        covers!(covered, "HIVE-24");
        mark_cancelled(&next, source, covered);
        mark_untold(&next, source, covered);
    }
    let is_committing = |late: &late::Late| match &late.change {
        late::Change::Commit(_, bound, _) => {
            marks::would_be_told(state, bound.hive, bound.log.iter())
        }
        _ => false,
    };
    if next.stalls.get(&source).is_some_and(|stall| stall.late.iter().any(is_committing)) {
        covers!(covered, "TXN-57");
    }
    late_kept::died(&next, source, Gone::Died)
}

/// What a boot leaves of each state in which the ends of the sources may leave what they had kept.
fn reboots(state: &State) -> Vec<State> {
    let mut states = vec![state.clone()];
    let sources: Vec<SourceId> = state.devices.keys().copied().collect();
    for source in sources {
        let forgotten = |state: &State| late_kept::forgotten(state, source, UnixTime::MAX);
        states = states.iter().flat_map(forgotten).collect();
    }
    states.iter().map(reboot).collect()
}

/// What the death of a source shows about the transactions bound to it.
fn mark_cancelled(state: &State, source: SourceId, covered: &mut Covered) {
    let served = state.slots.iter().filter(|(_, slot)| slot.connection == Some(source));
    let bound = served.flat_map(|(id, _)| state.bound_to(*id));
    for bound in bound.filter_map(|id| state.bound(id)) {
        covers!(covered, "FAIL-07", "TXN-17");
        if marks::would_be_told(state, bound.hive, bound.log.iter()) {
            covers!(covered, "TXN-55");
        }
    }
}

/// A watch in a hive of a source that dies, which OVERFLOW could reach.
fn mark_untold(state: &State, source: SourceId, covered: &mut Covered) {
    let is_served = |hive: &Hive| {
        state.slots.get(&hive.slot).is_some_and(|slot| slot.connection == Some(source))
    };
    let served = state.hives.iter().filter(|(_, hive)| is_served(hive));
    if served.into_iter().any(|(hive, _)| state.may_overflow_in(*hive)) {
        covers!(covered, "DISP-47");
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
        guids: state.guids.clone(),
        next_guid: state.next_guid,
        false_maxima: state.false_maxima.clone(),
        past: state.past.clone(),
        without_transactions: state.without_transactions.clone(),
        without_snapshots: state.without_snapshots.clone(),
        name_length_max: state.name_length_max,
        ..State::new()
    }
}
