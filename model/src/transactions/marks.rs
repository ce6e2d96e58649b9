//! What the events show that a transaction has not caused, or not yet, and what its lifetime shows.
//!
//! Marks the rules of PSD-005 §4.2 ("Transaction batching") and §5.1 ("Lifetime", "Timeout", "Isolation", "Watch
//! interaction") where some watch would have been told of what is in a transaction, had it been committed. Decides
//! nothing.

use super::commit::replayed;
use super::{Bound, Logged, Mutation, NANOSECONDS_PER_MILLISECOND, Phase, Transaction};
use crate::coverage::{Covered, covers};
use crate::database::{HiveId, Map};
use crate::input::UnixTime;
use crate::layers::{self, Layer};
use crate::limits::Limits;
use crate::names::FoldedName;
use crate::state::State;

/// Whether some watch would be told of these mutations if they were committed now.
pub(crate) fn would_be_told<'a>(
    state: &State,
    hive: HiveId,
    log: impl Iterator<Item = &'a Logged>,
) -> bool {
    if state.watches.is_empty() {
        return false;
    }
    !replayed(&mut state.clone(), hive, log, &mut Covered::new()).batch.is_empty()
}

/// The same of one more mutation of a transaction, over what is in it.
pub(super) fn would_be_told_of_next(state: &State, bound: &Bound, next: &Logged) -> bool {
    if state.watches.is_empty() {
        return false;
    }
    let mut own = state.clone();
    if let Some(contents) = &bound.contents {
        *own.knowledge_mut(bound.hive) = contents.clone();
    }
    would_be_told(&own, bound.hive, [next].into_iter())
}

/// Notes whom transactions have told nothing that have outlived their lifetime: they would have been told of a commit.
pub(crate) fn expired(before: &State, after: &mut State) {
    for (id, transaction) in before.transactions.iter().filter(|(_, t)| t.is_active()) {
        let is_over = |now: &Transaction| now.phase == Phase::TimedOut;
        let bound = transaction.bound().filter(|bound| !bound.log.is_empty());
        let bound = bound.filter(|_| after.transactions.get(id).is_some_and(is_over));
        if let Some(bound) = bound.filter(|_| !before.watches.is_empty()) {
            let log = bound.log.iter();
            let told = replayed(&mut before.clone(), bound.hive, log, &mut Covered::new());
            told.batch.watches().for_each(|watch| after.untold.0.insert_mut(watch));
        }
    }
}

/// A transaction is over by now, or goes on, as it would not with the lifetime that is the default.
pub(super) fn lifetime(transaction: &Transaction, now: UnixTime, covered: &mut Covered) {
    let nanoseconds = |lifetime_ms: u64| lifetime_ms * NANOSECONDS_PER_MILLISECOND;
    let began = transaction
        .deadline
        .earliest
        .saturating_sub(nanoseconds(transaction.history.0.lifetime_ms));
    let default = nanoseconds(u64::from(Limits::default().transaction_timeout_ms));
    let is_over = transaction.has_outlived_its_time();
    let bound_at = transaction.history.0.bound_at;
    let lifetime = nanoseconds(transaction.history.0.lifetime_ms);
    if is_over && bound_at.is_none_or(|bound_at| bound_at.saturating_add(lifetime) > now) {
        // Had its time run from the bind, it would go on.
        covers!(covered, "TXN-43");
    }
    if (is_over || transaction.is_active()) && is_over != (began.saturating_add(default) <= now) {
        covers!(covered, "CONF-03", "BOOT-10", "CONF-25");
    }
}

/// The layer table with the precedence that a transaction would give its layers; `None` if it gives none.
pub(crate) fn table_to_come(state: &State, bound: &Bound) -> Option<Map<FoldedName, Layer>> {
    let (mut table, mut is_other) = (state.layers.clone(), false);
    for logged in bound.log.iter() {
        let Mutation::SetValue { key, entry, .. } = &logged.mutation else { continue };
        let is_precedence = entry.name.folded().as_str() == "precedence"
            && layers::is_metadata_key(state, bound.hive, *key);
        let record = state.database(bound.hive).keys.get(key).filter(|_| is_precedence);
        let layer = record.and_then(|record| table.get_mut(record.name.folded()));
        if let (Some(layer), Ok(number)) = (layer, <[u8; 4]>::try_from(&*entry.data)) {
            layer.precedence = u32::from_le_bytes(number);
            is_other = true;
        }
    }
    is_other.then_some(table)
}

/// The precedence of the layers that a commit has moved.
pub(super) fn keep_precedence(before: &State, state: &mut State, bound: &Bound) {
    if table_to_come(before, bound).is_none() {
        return;
    }
    let mut moved = Map::new_sync();
    for (name, old) in before.layers.iter() {
        let new = state.layers.get(name).filter(|new| new.precedence != old.precedence);
        if let Some(new) = new {
            moved.insert_mut(name.clone(), (old.precedence, new.precedence));
        }
    }
    state.committed_precedence.0 = moved;
}

/// The layer table as if the last commit that has moved layers had not; `None` if there was none.
pub(crate) fn table_without_commit(state: &State) -> Option<Map<FoldedName, Layer>> {
    let (mut table, mut is_other) = (state.layers.clone(), false);
    for (name, (old, new)) in state.committed_precedence.0.iter() {
        if let Some(layer) = table.get_mut(name).filter(|layer| layer.precedence == *new) {
            layer.precedence = *old;
            is_other = true;
        }
    }
    is_other.then_some(table)
}
