//! The numbers that the next step will give out, set from outside: for whoever tries several orders of calls
//! that overlapped.
//!
//! A sequence number is taken at a moment of its own (PSD-005 §2.7), so that of two calls that overlap the one
//! that takes effect first may have the higher one (P-440). Symbols are the model's own numbers of keys, open
//! file descriptions, transactions and streams; they mean nothing but "another one".

use crate::state::State;

impl State {
    /// The same state, whose next allocation takes this sequence number.
    pub fn with_next_sequence(&self, next_sequence: u64) -> State {
        State { next_sequence, ..self.clone() }
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
