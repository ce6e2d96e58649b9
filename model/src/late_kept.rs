//! What a source does with what it has kept: late, or as its last.
//!
//! States PSD-005 §7.1 ("Timed-out request records") and §10.1 ("Source crash") from the side of the source, with
//! D-25, P-187, P-243, P-249, P-260, P-264 and P-366. Nothing here has an effect in the kernel; those are in `late`.

use crate::database::{Database, Guid, HiveId, KeyRecord, Target, Time};
use crate::in_flight::Sent;
use crate::input::{SourceId, UnixTime};
use crate::late::{Change, in_order};
use crate::late_follow::Due;
use crate::layer_effects;
use crate::slots;
use crate::state::{Gone, State};
use crate::transactions::{Logged, Mutation, TransactionId, carried_out};

/// The requests of a mutation that come after the one which is late (P-260, P-261).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    created: Option<(Guid, KeyRecord)>,
    written: Option<(Guid, Time)>,
}

impl Rest {
    /// That of a mutation of which nothing has been answered.
    pub(crate) fn of(mutation: &Mutation) -> Rest {
        let created = match mutation {
            Mutation::CreateKey { key, record, .. } => Some((*key, record.clone())),
            _ => None,
        };
        Rest { created, written: mutation.time() }
    }

    /// What leads from a hive with a part of a mutation to the same with all of it.
    pub(crate) fn between(part: &Database, all: &Database) -> Rest {
        let created = all.keys.iter().find(|(key, _)| !part.keys.contains_key(key));
        let is_written = |key: &Guid, time: Time| {
            part.keys.get(key).is_some_and(|former| former.last_write_time != time)
        };
        let mut times = all.keys.iter().map(|(key, record)| (*key, record.last_write_time));
        Rest {
            created: created.map(|(key, record)| (*key, record.clone())),
            written: times.find(|(key, time)| is_written(key, *time)),
        }
    }

    /// The record of a creation.
    fn record(&self, database: &mut Database, at: UnixTime) {
        if let Some((key, record)) = &self.created {
            let last_write_time = until(record.last_write_time, at);
            database.create_key(*key, KeyRecord { last_write_time, ..record.clone() });
        }
    }

    /// The last write time, which is asked for when everything has come that was in flight.
    pub(crate) fn time(&self, hive: HiveId) -> Option<Due> {
        self.written.map(|(key, time)| Due::Time(hive, key, time))
    }
}

/// Does what the source is asked for, with the record of a creation if that is asked for as well, and nothing that
/// the kernel does then. The record is a change of its own: power may fail between the two (P-451).
pub(crate) fn carry_out(
    change: &Change,
    rest: Option<&Rest>,
    state: &mut State,
    hive: HiveId,
    at: UnixTime,
) {
    let rest = rest.filter(|rest| rest.created.is_some());
    match change {
        Change::Contents(contents) => {
            let former = state.database(hive).clone();
            for rest in std::iter::once(None).chain(rest.map(Some)) {
                let mut contents = (**contents).clone();
                rest.iter().for_each(|rest| rest.record(&mut contents, at));
                stamp(&mut contents, &former, at);
                *state.database_mut(hive) = contents;
            }
        }
        Change::Mutation(mutation) => {
            let database = state.database_mut(hive);
            if let Mutation::CreateKey { parent, entry, .. } = mutation {
                // The key's record is asked for when there is its entry (P-243).
                database.delete_entry(*parent, entry.name.folded(), entry.layer.folded());
                database.put_entry(*parent, entry.clone());
            } else {
                mutation.change(database);
            }
            if let Some(rest) = rest {
                rest.record(state.database_mut(hive), at);
            }
        }
        Change::Commit(_, bound, unanswered) => carried_out(state, bound, unanswered),
        Change::Restore(restored) => restored.carry_out(state),
        Change::Drop(key) => {
            // It may be left for the source's next start (P-551).
            if !state.may_not_drop(hive) {
                state.database_mut(hive).drop_key(*key);
                state.undropped.remove_mut(&(hive, *key));
            }
        }
        Change::Layer { name, sent, .. } => {
            if *sent == Sent::Never {
                return;
            }
            let Some(slot) = state.hives.get(&hive).map(|hive| hive.slot) else { return };
            let hives: Vec<HiveId> = state.hives_of(slot).map(|(hive, _)| hive).collect();
            for hive in hives {
                state.database_mut(hive).delete_layer(name);
            }
        }
        Change::None | Change::Lock(_) | Change::Logged(..) | Change::Flush => {}
    }
}

/// A time of a request that may be sent as late as that.
pub(crate) fn until(time: Time, at: UnixTime) -> Time {
    let (Time::Within(began, _) | Time::At(began)) = time;
    Time::Within(began, at)
}

/// The source's clock says when a key was made (D-25). An entry whose key was not made has none (P-243).
fn stamp(contents: &mut Database, former: &Database, at: UnixTime) {
    let made: Vec<(Guid, Time)> = contents
        .keys
        .iter()
        .filter(|(key, _)| !former.keys.contains_key(key))
        .map(|(key, record)| (*key, record.last_write_time))
        .collect();
    for (key, time) in made {
        contents.write_time(key, until(time, at));
    }
    let leads_nowhere =
        contents.path_entries.values().flat_map(|names| names.values()).any(|layers| {
            layers.values().any(|entry| match entry.target {
                Target::Key(key) => {
                    !contents.keys.contains_key(&key) && !former.keys.contains_key(&key)
                }
                Target::Hidden => false,
            })
        });
    contents.seeded |= leads_nowhere;
}

/// The states in which the end of a source may leave what it had kept: the first few requests carried out, but
/// for those that wait for a write lock, with no effects in the kernel (P-249).
pub(crate) fn forgotten(state: &State, source: SourceId, at: UnixTime) -> Vec<State> {
    let cut_off = state.forgotten_on_the_way(source, at);
    let mut states: Vec<State> = Vec::new();
    for after in cut_off.iter().flat_map(|state| forgotten_of_stall(state, source, at)) {
        if !states.contains(&after) {
            states.push(after);
        }
    }
    states
}

fn forgotten_of_stall(state: &State, source: SourceId, at: UnixTime) -> Vec<State> {
    let Some(stall) = state.stalls.get(&source).cloned() else { return vec![state.clone()] };
    let mut now = state.clone();
    now.stalls.remove_mut(&source);
    let mut states = vec![now.clone()];
    let mut committed: Vec<TransactionId> = Vec::new();
    let mut ends = vec![now];
    for late in in_order(&stall.late) {
        let is_open = |id: &TransactionId| ends[0].bound(*id).is_some() && !committed.contains(id);
        if late.behind.iter().any(is_open) {
            continue;
        }
        for end in &mut ends {
            carry_out(&late.change, None, end, late.hive, at);
        }
        if let Change::Commit(id, _, unanswered) = &late.change {
            committed.push(*id);
            let mut recorded: Vec<State> =
                ends.iter().map(|end| with_records(end, late.hive, unanswered)).collect();
            recorded.retain(|recorded| !ends.contains(recorded));
            ends.extend(recorded);
        }
        for end in &ends {
            if !states.contains(end) {
                states.push(end.clone());
            }
        }
    }
    states
}

/// Of a creation that was in flight as its transaction was committed it may have been the record that was.
fn with_records(end: &State, hive: HiveId, unanswered: &[Logged]) -> State {
    let mut recorded = end.clone();
    for logged in unanswered.iter().filter(|logged| logged.mutation.made().is_some()) {
        logged.mutation.record_key(recorded.database_mut(hive));
    }
    recorded
}

/// The source of these hives is gone: the slot goes Down.
pub(crate) fn died(state: &State, source: SourceId, gone: Gone) -> Vec<State> {
    let mut states = forgotten(state, source, UnixTime::MAX);
    for late in state.stalls.get(&source).iter().flat_map(|stall| stall.late.iter()) {
        let Change::Layer { name, is_forgiven, .. } = &late.change else { continue };
        // One that had no slot is not owed any more; it may have had one (P-187, P-366).
        let unsent = if *is_forgiven { states.clone() } else { Vec::new() };
        for after in &mut states {
            // Not answered, carried out or not (P-264).
            layer_effects::owe_in(after, late.hive, name);
        }
        states.extend(unsent);
    }
    for after in &mut states {
        slots::disconnect(after, source, gone);
    }
    states
}
