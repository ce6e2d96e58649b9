//! Transaction ids on the wire (PSD-005 §5.1, §7.2, D-94).

use std::collections::BTreeMap;

use registry_model::input::SourceId;

use super::rules::{Failure, Held, Rule};

/// Mode RSI_TXN_READ_ONLY.
const READ_ONLY: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Beginning,
    Open,
    Ended,
}

#[derive(Clone, Copy, Debug)]
struct Transaction {
    source: SourceId,
    is_read_only: bool,
    state: State,
}

/// Every transaction id seen since the last reboot.
#[derive(Clone, Debug, Default)]
pub(super) struct Transactions {
    known: BTreeMap<u64, Transaction>,
}

impl Transactions {
    /// Checks the header of an operation other than begin, commit and abort.
    pub(super) fn enlisted(
        &self,
        held: &mut Held,
        source: SourceId,
        id: u64,
        is_mutation: bool,
    ) -> Result<(), Failure> {
        if id == 0 {
            held.mark(Rule::NoTransaction);
            return Ok(());
        }
        let transaction = self.open(source, id)?;
        held.mark(Rule::TransactionOpen);
        let allowed = !(transaction.is_read_only && is_mutation);
        held.require(Rule::ReadOnlyMutation, allowed, || format!("transaction {id} is read-only"))
    }

    pub(super) fn begin(
        &mut self,
        held: &mut Held,
        source: SourceId,
        id: u64,
        mode: u32,
    ) -> Result<(), Failure> {
        held.require(Rule::TransactionHeader, id != 0, || "the transaction id is 0".to_owned())?;
        let is_new = !self.known.contains_key(&id);
        held.require(Rule::TransactionId, is_new, || format!("transaction {id} exists already"))?;
        let is_read_only = mode == READ_ONLY;
        self.known.insert(id, Transaction { source, is_read_only, state: State::Beginning });
        Ok(())
    }

    /// The answer to a begin. A refused one leaves the id free for another attempt (D-80).
    pub(super) fn began(&mut self, id: u64, succeeded: bool) {
        if !succeeded {
            self.known.remove(&id);
        } else if let Some(transaction) = self.known.get_mut(&id) {
            transaction.state = State::Open;
        }
    }

    pub(super) fn commit(&self, held: &mut Held, source: SourceId, id: u64) -> Result<(), Failure> {
        let transaction = self.open(source, id)?;
        held.mark(Rule::TransactionOpen);
        if transaction.is_read_only {
            let message = format!("transaction {id} is read-only and is committed");
            return Err(Failure::new(Rule::ReadOnlyEnd, message));
        }
        Ok(())
    }

    /// The answer to a commit. A failed one leaves the transaction open (D-81).
    pub(super) fn committed(&mut self, id: u64, succeeded: bool) {
        if succeeded && let Some(transaction) = self.known.get_mut(&id) {
            transaction.state = State::Ended;
        }
    }

    pub(super) fn abort(
        &mut self,
        held: &mut Held,
        source: SourceId,
        id: u64,
    ) -> Result<(), Failure> {
        let transaction = self.open(source, id)?;
        held.mark(Rule::TransactionOpen);
        if transaction.is_read_only {
            held.mark(Rule::ReadOnlyEnd);
        }
        self.known.insert(id, Transaction { state: State::Ended, ..transaction });
        Ok(())
    }

    /// The end of a connection ends its transactions.
    pub(super) fn disconnected(&mut self, source: SourceId) {
        for transaction in self.known.values_mut().filter(|t| t.source == source) {
            transaction.state = State::Ended;
        }
    }

    fn open(&self, source: SourceId, id: u64) -> Result<Transaction, Failure> {
        match self.known.get(&id) {
            Some(known) if known.source == source && known.state == State::Open => Ok(*known),
            Some(known) => {
                let message =
                    format!("transaction {id} is {:?} at source {}", known.state, known.source.0);
                Err(Failure::new(Rule::TransactionOpen, message))
            }
            None => {
                Err(Failure::new(Rule::TransactionOpen, format!("transaction {id} has not begun")))
            }
        }
    }
}
