//! Transaction ids on the wire (PSD-005 §5.1, §7.2, D-94).

use std::collections::BTreeMap;

use registry_model::input::SourceId;

use super::fields;
use super::frame::{Guid, Request};
use super::keys::shown;
use super::rules::{Failure, Held, Rule};

/// Mode RSI_TXN_READ_ONLY.
pub(super) const READ_ONLY: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Beginning,
    Open,
    /// A commit is unanswered.
    Committing,
    Ended,
}

#[derive(Clone, Debug)]
struct Transaction {
    source: SourceId,
    is_read_only: bool,
    state: State,
    /// The root of the hive that its requests were about.
    hive: Option<Guid>,
    /// Keys whose last write time is due by the commit, with the rule that asks for it.
    touched: BTreeMap<Guid, Rule>,
    has_failed_to_commit: bool,
    /// Whether an abort was sent.
    was_aborted: bool,
    /// The entry that the last mutation removed, and whether that alone asks for the last write time
    /// of its parent. An entry that is created there next replaces it (D-24).
    last_removal: Option<(Guid, Vec<u8>, bool)>,
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
        let message = || format!("transaction {id} is read-only");
        if allowed { Ok(()) } else { Err(Failure::new(Rule::ReadOnlyMutation, message())) }
    }

    /// Checks the hive of a request inside a transaction: the one of those before it.
    pub(super) fn in_hive(&mut self, held: &mut Held, id: u64, root: Guid) -> Result<(), Failure> {
        let Some(transaction) = self.known.get_mut(&id).filter(|known| !known.is_read_only) else {
            return Ok(());
        };
        let hive = *transaction.hive.get_or_insert(root);
        held.require(Rule::OneHive, hive == root, || {
            format!("transaction {id} is in {} and goes to {}", shown(hive), shown(root))
        })
    }

    /// A request is sent inside a transaction that a last write time goes with.
    pub(super) fn touched(&mut self, id: u64, key: Guid, rule: Rule) {
        if let Some(transaction) = self.known.get_mut(&id) {
            transaction.touched.insert(key, rule);
        }
    }

    /// A mutation is sent inside a transaction.
    pub(super) fn mutated(&mut self, id: u64, request: &Request<'_>) {
        let Some(transaction) = self.known.get_mut(&id) else { return };
        let before = transaction.last_removal.take();
        match (request, before) {
            (Request::DeleteEntry { parent, child_name, .. }, _) => {
                let rule = Rule::DeletionTouchesParent;
                let is_first = transaction.touched.insert(*parent, rule).is_none();
                transaction.last_removal = Some((*parent, child_name.to_vec(), is_first));
            }
            (Request::CreateEntry { parent, child_name, .. }, Some((key, name, true)))
                if key == *parent && fields::may_be_same(&name, child_name) =>
            {
                transaction.touched.remove(parent);
            }
            _ => {}
        }
    }

    /// Such a request failed, or the last write time was sent.
    pub(super) fn untouched(&mut self, id: u64, key: Guid) {
        if let Some(transaction) = self.known.get_mut(&id) {
            transaction.touched.remove(&key);
        }
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
        let begun = Transaction {
            source,
            is_read_only: mode == READ_ONLY,
            state: State::Beginning,
            hive: None,
            touched: BTreeMap::new(),
            has_failed_to_commit: false,
            was_aborted: false,
            last_removal: None,
        };
        self.known.insert(id, begun);
        Ok(())
    }

    /// A call has timed out: what it would have asked for next is not due.
    pub(super) fn gave_up(&mut self) {
        for transaction in self.known.values_mut() {
            transaction.touched.clear();
        }
    }

    /// The answer to a begin. A refused one leaves the id free for another attempt (D-80).
    pub(super) fn began(&mut self, id: u64, succeeded: bool) {
        if !succeeded {
            self.known.remove(&id);
        } else if let Some(transaction) = self.known.get_mut(&id) {
            transaction.state = State::Open;
        }
    }

    pub(super) fn commit(
        &mut self,
        held: &mut Held,
        source: SourceId,
        id: u64,
    ) -> Result<(), Failure> {
        let transaction = self.open(source, id)?;
        held.mark(Rule::TransactionOpen);
        if transaction.is_read_only {
            let message = format!("transaction {id} is read-only and is committed");
            return Err(Failure::new(Rule::ReadOnlyEnd, message));
        }
        if transaction.has_failed_to_commit {
            held.mark(Rule::CommitRetried);
        }
        let due = transaction.touched.first_key_value().map(|(key, rule)| (*key, *rule));
        if let Some(transaction) = self.known.get_mut(&id) {
            transaction.state = State::Committing;
        }
        let Some((key, rule)) = due else { return Ok(()) };
        let message =
            format!("transaction {id} has not sent the last write time of {}", shown(key));
        Err(Failure::new(rule, message))
    }

    /// The answer to a commit. A failed one leaves the transaction open (D-81).
    pub(super) fn committed(&mut self, id: u64, succeeded: bool) {
        let Some(transaction) = self.known.get_mut(&id) else { return };
        transaction.state = if succeeded { State::Ended } else { State::Open };
        transaction.has_failed_to_commit |= !succeeded;
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
        if let Some(transaction) = self.known.get_mut(&id) {
            (transaction.state, transaction.was_aborted) = (State::Ended, true);
        }
        Ok(())
    }

    /// The end of a connection ends its transactions.
    pub(super) fn disconnected(&mut self, source: SourceId) {
        for transaction in self.known.values_mut().filter(|t| t.source == source) {
            transaction.state = State::Ended;
        }
    }

    /// Whether a source has a transaction open that an abort would end; a commit in flight is waited
    /// for.
    pub(super) fn owes_abort(&self, id: u64) -> bool {
        let is_owed = |known: &Transaction| matches!(known.state, State::Beginning | State::Open);
        self.known.get(&id).is_some_and(is_owed)
    }

    /// Whether a source has the transaction open.
    pub(super) fn is_open(&self, id: u64) -> bool {
        self.known.get(&id).is_some_and(|known| known.state != State::Ended)
    }

    /// Whether it was ended by an abort.
    pub(super) fn was_aborted(&self, id: u64) -> bool {
        self.known.get(&id).is_some_and(|known| known.was_aborted)
    }

    /// The source of a transaction.
    pub(super) fn source(&self, id: u64) -> Option<SourceId> {
        self.known.get(&id).map(|known| known.source)
    }

    /// The read-write transactions that sources have open.
    pub(super) fn all_open(&self) -> impl Iterator<Item = u64> {
        let open = |known: &Transaction| known.state != State::Ended && !known.is_read_only;
        self.known.iter().filter(move |(_, known)| open(known)).map(|(id, _)| *id)
    }

    fn open(&self, source: SourceId, id: u64) -> Result<&Transaction, Failure> {
        match self.known.get(&id) {
            Some(known) if known.source == source && known.state == State::Open => Ok(known),
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
