//! What a call brings to the moment at which it takes effect, set from outside: for whoever tries several orders
//! of calls that overlapped.
//!
//! A sequence number is taken at a moment of its own (PSD-005 §2.7), so that of two calls that overlap the one
//! that takes effect first may have the higher one (P-440). A write looks at what is stored before it takes its
//! number, and others may come between (P-530). Symbols are the model's own numbers of keys, open file
//! descriptions, transactions and streams; they mean nothing but "another one".

use crate::database::Database;
use crate::errno::Errno;
use crate::input::{Call, Input};
use crate::names;
use crate::state::State;
use crate::transactions::Transaction;

/// What a call that overlaps others brings from an earlier moment of its own. Nothing, of a call that overlaps
/// no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beforehand {
    /// The number that the next allocation takes, whatever was taken since.
    number: Option<u64>,
    /// Whether the write has looked at the entries of its value and found nothing against it.
    pub(crate) is_admitted: bool,
}

impl State {
    /// The same state with another counter: by it what is stored is judged, and the next allocation takes it.
    pub fn with_next_sequence(&self, next_sequence: u64) -> State {
        State { next_sequence, beforehand: Beforehand::default(), ..self.clone() }
    }

    /// The same state, whose next allocation takes this number, whatever the counter is by now.
    pub fn with_number(&self, number: u64) -> State {
        let beforehand = Beforehand { number: Some(number), ..self.beforehand };
        State { beforehand, ..self.clone() }
    }

    /// The same state for a write that has looked at what is stored before.
    pub fn with_admission(&self) -> State {
        let beforehand = Beforehand { is_admitted: true, ..self.beforehand };
        State { beforehand, ..self.clone() }
    }

    /// Whether a number that was set waits for an allocation.
    pub fn has_number(&self) -> bool {
        self.beforehand.number.is_some()
    }

    /// Takes a sequence number (§2.7).
    ///
    /// # Errors
    ///
    /// EOVERFLOW if none is left.
    pub(crate) fn allocate_sequence(&mut self) -> Result<u64, Errno> {
        let sequence = self.beforehand.number.unwrap_or(self.next_sequence);
        let above = sequence.checked_add(1).ok_or(Errno::EOVERFLOW)?;
        self.beforehand.number = None;
        self.next_sequence = self.next_sequence.max(above);
        Ok(sequence)
    }

    /// What changes whenever a number is taken.
    pub(crate) fn numbering(&self) -> (u64, Option<u64>) {
        (self.next_sequence, self.beforehand.number)
    }

    /// The highest number that is stored and that nobody was given yet (§2.7), if there is one.
    pub fn highest_from_the_future(&self) -> Option<u64> {
        let stored = self.databases.values().map(Database::max_sequence).max();
        stored.filter(|number| *number >= self.next_sequence)
    }

    /// Whether an entry of any hive has this number.
    pub fn stores(&self, number: u64) -> bool {
        let mut stored = self.databases.values().flat_map(Database::sequences);
        stored.any(|other| other == number)
    }

    /// Whether any write into a value may be refused for what is stored of it, or for what an open transaction has
    /// made of that, while all of these take effect: for malformed entries or for MaxLayersPerValue (§2.6), as it is
    /// or as they may leave it.
    pub fn may_refuse_writes<'a>(&self, inputs: impl Iterator<Item = &'a Input> + Clone) -> bool {
        let limits = &self.limits;
        let lowest = |name, in_force| self.lowest_limit(name, in_force, inputs.clone());
        if lowest("MaxPathComponentLength", limits.max_path_component_length)
            < self.name_length_max as usize
        {
            return true;
        }
        let limit = lowest("MaxLayersPerValue", limits.max_layers_per_value);
        let writes = inputs.clone().count();
        let is_close = |database: &Database| database.layers_of_any_value() + writes >= limit;
        self.hives.keys().any(|hive| self.may_be_malformed(*hive))
            || self.databases_and_drafts().any(is_close)
    }

    /// The lowest number that a parameter may come to have: the one in force, one that is stored under its name in
    /// whatever layer, or one that is written under it.
    fn lowest_limit<'a>(
        &self,
        name: &str,
        in_force: u32,
        inputs: impl Iterator<Item = &'a Input>,
    ) -> usize {
        let folded = names::fold(name);
        let stored = self.databases_and_drafts().flat_map(|database| database.all_values(&folded));
        let written = inputs.filter_map(|input| match input {
            Input::Call { call: Call::SetValue { name, data, .. }, .. } => {
                let is_named = str::from_utf8(name).is_ok_and(|name| names::fold(name) == folded);
                is_named.then_some(&data[..])
            }
            // What it writes is not looked at.
            Input::RawCall { .. } => Some(&[1, 0, 0, 0][..]),
            _ => None,
        });
        let numbers = stored.map(|entry| &entry.data[..]).chain(written);
        let numbers = numbers.filter_map(|data| Some(u32::from_le_bytes(data.try_into().ok()?)));
        let lowest = numbers.filter(|number| *number > 0).min();
        lowest.unwrap_or(in_force).min(in_force) as usize
    }

    /// What the hives hold, and what open transactions have made of it.
    fn databases_and_drafts(&self) -> impl Iterator<Item = &Database> {
        let bound = self.transactions.values().filter_map(Transaction::bound);
        let drafts = bound.filter_map(|bound| bound.contents.as_ref());
        self.hives.keys().map(|hive| self.database(*hive)).chain(drafts)
    }

    /// The same state, in which whatever is made next has symbols from `first` on. None of them may have
    /// been given out.
    pub fn with_symbols_from(&self, first: u64) -> State {
        State {
            next_guid: first,
            next_description: first,
            next_transaction: first,
            next_stream: first,
            ..self.clone()
        }
    }

    /// A symbol above all that were given out.
    pub fn next_symbol(&self) -> u64 {
        let numbers =
            [self.next_guid, self.next_description, self.next_transaction, self.next_stream];
        numbers.into_iter().max().unwrap_or_default()
    }
}
