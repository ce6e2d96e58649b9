//! What a call brings to the moment at which it takes effect, set from outside: for whoever tries several orders
//! of calls that overlapped.
//!
//! A sequence number is taken at a moment of its own (PSD-005 §2.7), so that of two calls that overlap the one
//! that takes effect first may have the higher one (P-440). A write looks at what is stored before it takes its
//! number, and others may come between (P-530). Symbols are the model's own numbers of keys, open file
//! descriptions, transactions and streams; they mean nothing but "another one".

use crate::database::{Database, HiveId};
use crate::errno::Errno;
use crate::state::State;

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

    /// Whether any write into a value may be refused for what is stored of it, if so many come at once: for
    /// malformed entries or for MaxLayersPerValue (§2.6).
    pub fn may_refuse_writes(&self, writes: usize) -> bool {
        let limit = self.limits.max_layers_per_value as usize;
        let is_close = |database: &Database| database.layers_of_any_value() + writes >= limit;
        let may_refuse =
            |hive: &HiveId| self.may_be_malformed(*hive) || is_close(self.database(*hive));
        self.hives.keys().any(may_refuse)
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
