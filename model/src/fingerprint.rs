//! A number that equal states share, so that of many states few have to be compared.
//!
//! It looks at what mostly differs between the states that one plan leads to: what hives hold, and what is in
//! flight or under way. States that differ may share it. Nothing in it is looked at by the rules.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;

use crate::database::{Database, Layered, PathEntry, Time, ValueEntry};
use crate::late::{Change, Late};
use crate::state::{Generation, State};
use crate::transactions::{Bound, Phase, Transaction};

impl State {
    /// A number that equal states share. The same in every run.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.next_sequence.hash(&mut hasher);
        (self.layers.size(), self.open_keys.size(), self.orphans.size()).hash(&mut hasher);
        (self.enumerations.size(), self.on_the_way.len()).hash(&mut hasher);
        for (id, database) in self.databases.iter() {
            id.hash(&mut hasher);
            of_database(database, &mut hasher);
        }
        for hive in self.hives.values() {
            of_generation(hive.generation, &mut hasher);
        }
        for transaction in self.transactions.values() {
            of_transaction(transaction, &mut hasher);
        }
        for late in self.stalls.values().flat_map(|stall| stall.late.iter()) {
            of_late(late, &mut hasher);
        }
        for watch in self.watches.values() {
            watch.queued().hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn of_database(database: &Database, hasher: &mut impl Hasher) {
    for (key, record) in database.keys.iter() {
        let (first, last) = match record.last_write_time {
            Time::Within(first, last) => (first, last),
            Time::At(time) => (time, time),
        };
        (key, first, last, record.sd_size).hash(hasher);
    }
    let entry = |entry: &PathEntry, hasher: &mut _| entry.sequence.hash(hasher);
    database.path_entries.values().flat_map(|names| names.values()).for_each(|entries| {
        of_entries(entries, hasher, entry);
    });
    let entry = |entry: &ValueEntry, hasher: &mut _| (entry.sequence, &entry.data).hash(hasher);
    database.values.values().flat_map(|names| names.values()).for_each(|entries| {
        of_entries(entries, hasher, entry);
    });
    for blanket in database.blankets.values().flat_map(|layers| layers.values()) {
        blanket.sequence.hash(hasher);
    }
}

fn of_entries<T, H: Hasher>(entries: &Layered<T>, hasher: &mut H, of_entry: impl Fn(&T, &mut H)) {
    entries.size().hash(hasher);
    entries.values().for_each(|entry| of_entry(entry, hasher));
}

fn of_generation(generation: Generation, hasher: &mut impl Hasher) {
    match generation {
        Generation::AtLeast(number) => (number, u64::MAX),
        Generation::Exactly(number) => (number, number),
        Generation::Between(lowest, highest) => (lowest, highest),
    }
    .hash(hasher);
}

fn of_transaction(transaction: &Transaction, hasher: &mut impl Hasher) {
    (transaction.deadline.earliest, transaction.deadline.latest).hash(hasher);
    discriminant(&transaction.phase).hash(hasher);
    if let Phase::Bound(bound) = &transaction.phase {
        of_bound(bound, hasher);
    }
}

fn of_bound(bound: &Bound, hasher: &mut impl Hasher) {
    bound.log.len().hash(hasher);
    if let Some(contents) = &bound.contents {
        of_database(contents, hasher);
    }
}

fn of_late(late: &Late, hasher: &mut impl Hasher) {
    late.behind.len().hash(hasher);
    discriminant(&late.change).hash(hasher);
    match &late.change {
        Change::Contents(contents) => of_database(contents, hasher),
        Change::Commit(_, bound, _) => of_bound(bound, hasher),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::state::State;

    #[test]
    fn equal_states_share_it_and_others_need_not() {
        let state = State::new().with_next_sequence(7);
        assert_eq!(state.fingerprint(), State::new().with_next_sequence(7).fingerprint());
        assert_ne!(state.fingerprint(), State::new().fingerprint());
    }
}
