//! The reference store: how a source answers every request, and what that changes.
//!
//! States PSD-005 §7.2 and §7.3 and, for what is the reference source's own, PSD-006 §2.1, §4.1 and
//! §5.1. A [`Store`] is one source process with the databases of its hives. [`Store::answer`] takes
//! a request and says how it may be answered at this moment; [`Answer::accept`] takes a response
//! and says whether it conforms and what store follows.
//!
//! Requests may be worked on in any order (SRC-10). Whoever has several in flight tries the moments
//! at which each may have been carried out: an empty list of answers says that the source cannot
//! answer the request now, since it waits for the write lock.
//!
//! Knows nothing of bytes, of layers' precedences, of the kernel half's checks, or of power losses.
//! Not stated: a request that names keys of two hives, which the kernel never sends.

mod database;
mod key_operations;
mod maintenance;
mod message;
mod outcome;
mod path_operations;
mod start;
mod text;
mod transactions;
mod value_operations;
mod work;

use crate::coverage::{Covered, covers};
use crate::input::UnixTime;
use crate::names::FoldedName;
use database::{Database, Map};
pub use message::{
    Blanket, Child, Guid, KeyMetadata, Operation, PathEntry, Payload, RegisteredHive, Registration,
    Request, Response, Status, TARGET_GUID, TARGET_HIDDEN, TXN_READ_ONLY, TXN_READ_WRITE,
    ValueEntry,
};
pub use outcome::{Answer, KeyPattern, Outcome};
pub use start::{Description, Start};
pub use transactions::BUSY_TIMEOUT_MS;
use transactions::{Bound, Ended, Transaction};
use work::Work;

/// A source process that has registered, with its databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    description: Description,
    /// What is committed, by hive.
    hives: Map<FoldedName, Database>,
    /// The open transactions.
    transactions: Map<u64, Transaction>,
    /// When a transaction last gave a hive's write lock back, at the latest.
    lock_released_at: Map<FoldedName, UnixTime>,
    /// When a request outside transactions last changed a hive, at the latest.
    written_at: Map<FoldedName, UnixTime>,
    /// The read-write transactions that have ended.
    ended_transactions: Map<u64, Ended>,
    /// Whether the backing store may fail.
    storage_fails: bool,
}

impl Store {
    /// Everything that may be answered to `request`, which was sent at `began` and whose response
    /// came at `ended`, if it is carried out now.
    ///
    /// Empty if it cannot be carried out now: it waits for a write lock that a transaction holds.
    pub fn answer(&self, request: &Request, began: UnixTime, ended: UnixTime) -> Vec<Answer> {
        let transaction = request.transaction;
        let covered = Covered::new();
        let mut work = Work { store: self, transaction, began, ended, covered };
        let result = work.carry_out(&request.operation);
        let mut answers = result.unwrap_or_else(|status| vec![work.refused(status)]);
        let is_success = |answer: &&mut Answer| !matches!(answer.outcome, Outcome::Failed(_));
        for answer in answers.iter_mut().filter(is_success) {
            mark_message(request, &mut answer.covered);
        }
        if work.may_have_looked_in_every_hive(&request.operation, &answers) {
            answers.push(work.refused_instead(Status::TxnBusy));
        }
        if work.may_have_outlived_its_transaction(&request.operation) {
            // It waited for the lock while its transaction ended (P-71).
            answers.push(work.refused_instead(Status::TxnBusy));
        }
        if self.storage_fails {
            let mut failures: Vec<Answer> = answers
                .iter()
                .flat_map(|answer| work.storage_failures(&request.operation, answer))
                .collect();
            if answers.is_empty() {
                // It looked before it was to wait for the lock (P-372).
                failures.push(work.refused_instead(Status::StorageError));
            }
            answers.extend(failures);
        }
        answers
    }

    /// The same store, over a backing store that may fail from now on, or does not any more
    /// (RSI_STORAGE_ERROR).
    pub fn with_storage_failing(&self, fails: bool) -> Store {
        Store { storage_fails: fails, ..self.clone() }
    }

    /// What the source was told when it was started.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The GUIDs of all committed keys, roots included.
    pub fn keys(&self) -> Vec<Guid> {
        self.hives.values().flat_map(|database| database.keys.keys().copied()).collect()
    }

    /// The root keys, each with its hive's name as it was registered.
    pub fn roots(&self) -> impl Iterator<Item = (&str, Guid)> {
        self.description.hives().filter_map(|name| {
            self.hives.get(&FoldedName::of(name)).map(|database| (name, database.root))
        })
    }

    /// The ids of the open transactions.
    pub fn open_transactions(&self) -> impl Iterator<Item = u64> {
        self.transactions.keys().copied()
    }

    /// Changes every database, committed or as a transaction has it.
    fn update_databases(&mut self, change: impl Fn(&mut Database)) {
        let changed = |databases: &Map<FoldedName, Database>| -> Map<FoldedName, Database> {
            databases
                .iter()
                .map(|(hive, database)| {
                    let mut database = database.clone();
                    change(&mut database);
                    (hive.clone(), database)
                })
                .collect()
        };
        self.hives = changed(&self.hives);
        self.transactions = self
            .transactions
            .iter()
            .map(|(id, transaction)| {
                let mut transaction = transaction.clone();
                match &mut transaction {
                    Transaction::ReadOnly(snapshot) => *snapshot = changed(snapshot),
                    Transaction::ReadWrite(Some(bound)) => change(&mut bound.database),
                    Transaction::ReadWrite(None) => {}
                }
                (*id, transaction)
            })
            .collect();
    }
}

impl Work<'_> {
    /// What is malformed is refused before anything else (P-61); then each operation has its own
    /// way.
    fn carry_out(&mut self, operation: &Operation) -> Result<Vec<Answer>, Status> {
        match operation {
            Operation::Lookup { parent, child_name } => self.lookup(*parent, child_name),
            Operation::CreateEntry { parent, child_name, layer, child, sequence } => {
                self.create_entry(*parent, (child_name, layer), *child, *sequence)
            }
            Operation::HideEntry { parent, child_name, layer, sequence } => {
                self.hide_entry(*parent, (child_name, layer), *sequence)
            }
            Operation::DeleteEntry { parent, child_name, layer } => {
                self.delete_entry(*parent, (child_name, layer))
            }
            Operation::EnumChildren { parent } => self.enum_children(*parent),
            Operation::CreateKey {
                guid,
                name,
                parent,
                security_descriptor,
                volatile_key,
                symlink,
            } => {
                let flags = (*volatile_key, *symlink);
                self.create_key(*guid, name, *parent, security_descriptor, flags)
            }
            Operation::ReadKey { guid } => self.read_key(*guid),
            Operation::WriteKey {
                guid,
                security_descriptor,
                last_write_time,
                undefined_mask_bits,
            } => {
                let descriptor = security_descriptor.as_deref();
                self.write_key(*guid, descriptor, *last_write_time, *undefined_mask_bits)
            }
            Operation::DropKey { guid } => self.drop_key(*guid),
            Operation::QueryValues { guid, name, query_all } => {
                self.query_values(*guid, name, *query_all)
            }
            Operation::SetValue {
                guid,
                name,
                layer,
                value_type,
                data,
                sequence,
                expected_sequence,
            } => {
                let value = (*value_type, &data[..]);
                self.set_value(*guid, (name, layer), value, *sequence, *expected_sequence)
            }
            Operation::DeleteValueEntry { guid, name, layer } => {
                self.delete_value_entry(*guid, (name, layer))
            }
            Operation::SetBlanketTombstone { guid, layer, set, sequence } => {
                self.set_blanket_tombstone(*guid, layer, *set, *sequence)
            }
            Operation::BeginTransaction { transaction, mode } => self.begin(*transaction, *mode),
            Operation::CommitTransaction { transaction } => self.commit(*transaction),
            Operation::AbortTransaction { transaction } => self.abort(*transaction),
            Operation::Flush { hive_name } => self.flush(hive_name),
            Operation::DeleteLayer { layer } => self.delete_layer(layer),
            Operation::Malformed { .. } => {
                covers!(self.covered, "SRC-01");
                Err(Status::Invalid)
            }
        }
    }
}

impl Work<'_> {
    /// Whether the request is a well-formed change that may have waited for a write lock while its
    /// transaction, which could have had that lock, ended.
    fn may_have_outlived_its_transaction(&self, operation: &Operation) -> bool {
        let store = self.store;
        let (Some(key), Some(ended)) =
            (changed_key(operation), store.ended_transactions.get(&self.transaction))
        else {
            return false;
        };
        if !self.has_waited() || ended.at < self.began {
            return false;
        }
        let holds = |hive: &FoldedName| {
            store.hives.get(hive).is_some_and(|database| database.keys.contains_key(&key))
        };
        let is_nowhere = !store.hives.keys().any(holds);
        let was_locked = |hive: &FoldedName| {
            let released = store.lock_released_at.get(hive);
            store.is_locked(hive, self.transaction)
                || released.is_some_and(|released| *released >= self.began)
        };
        // Of a key that is nowhere, any hive may have been asked (P-74).
        let may_have_waited = store.hives.keys().any(|hive| {
            let concerns = is_nowhere || holds(hive);
            concerns && ended.bound.as_ref().is_none_or(|bound| bound == hive) && was_locked(hive)
        });
        may_have_waited && !self.is_malformed(operation)
    }

    /// Whether a request about a key is refused before anything is looked at. Outside transactions only
    /// what is malformed is RSI_INVALID (P-61).
    fn is_malformed(&self, operation: &Operation) -> bool {
        let mut outside = Work { transaction: 0, covered: Covered::new(), ..*self };
        matches!(outside.carry_out(operation), Err(Status::Invalid))
    }

    /// Whether the source may have looked in every hive for the key that a request names, and waited where
    /// a transaction has volatile data (P-72, P-370). It knows of which hive its roots are.
    fn may_have_looked_in_every_hive(&self, operation: &Operation, answers: &[Answer]) -> bool {
        let is_answered =
            |status| answers.iter().any(|answer| answer.outcome == Outcome::Failed(status));
        let is_nowhere = is_answered(Status::NotFound) && is_read(operation);
        let databases = || self.store.hives.values();
        let is_found = named_key(operation).is_some_and(|key| {
            databases().any(|database| database.keys.contains_key(&key))
                && databases().all(|database| database.root != key)
        });
        let may_look = is_nowhere || (is_found && !is_answered(Status::Invalid));
        may_look && !is_answered(Status::TxnBusy) && self.may_wait_for_any_volatile_data()
    }

    /// Whether a request is refused since its transaction is bound to another hive than its key's (P-66),
    /// which takes a look for the key (P-372).
    fn is_refused_for_its_hive(&self, operation: &Operation) -> bool {
        let transaction = self.store.transactions.get(&self.transaction);
        matches!(transaction, Some(Transaction::ReadWrite(Some(_))))
            && named_key(operation).is_some()
            && !self.is_malformed(operation)
    }

    /// What may be answered in place of `answer` when the backing store fails: nothing else to what
    /// is refused without a look at it. A first mutation may have taken the lock before (P-65).
    fn storage_failures(&self, operation: &Operation, answer: &Answer) -> Vec<Answer> {
        let is_refused_without_a_look = [Status::Invalid, Status::TxnNotSupported]
            .map(Outcome::Failed)
            .contains(&answer.outcome);
        let is_refused_without_a_look =
            is_refused_without_a_look && !self.is_refused_for_its_hive(operation);
        if is_refused_without_a_look || !touches_storage(operation) {
            return Vec::new();
        }
        let mut failures = vec![self.refused_instead(Status::StorageError)];
        let id = self.transaction;
        let before = self.store.transactions.get(&id);
        if let (Some(Transaction::ReadWrite(None)), Some(Transaction::ReadWrite(Some(bound)))) =
            (before, answer.next.transactions.get(&id))
            && let Some(database) = self.store.hives.get(&bound.hive)
        {
            let bound = Bound { hive: bound.hive.clone(), database: database.clone() };
            let mut next = self.store.clone();
            next.transactions.insert_mut(id, Transaction::ReadWrite(Some(bound)));
            failures.push(Answer { next, ..self.refused_instead(Status::StorageError) });
        }
        failures
    }
}

/// The key of which, or below which, a request changes something.
fn changed_key(operation: &Operation) -> Option<Guid> {
    match operation {
        Operation::CreateEntry { parent, .. }
        | Operation::HideEntry { parent, .. }
        | Operation::DeleteEntry { parent, .. }
        | Operation::CreateKey { parent, .. } => Some(*parent),
        Operation::WriteKey { guid, .. }
        | Operation::DropKey { guid }
        | Operation::SetValue { guid, .. }
        | Operation::DeleteValueEntry { guid, .. }
        | Operation::SetBlanketTombstone { guid, .. } => Some(*guid),
        _ => None,
    }
}

/// The key that a request names, or below which it looks or changes something.
fn named_key(operation: &Operation) -> Option<Guid> {
    match operation {
        Operation::Lookup { parent, .. } | Operation::EnumChildren { parent } => Some(*parent),
        Operation::ReadKey { guid } | Operation::QueryValues { guid, .. } => Some(*guid),
        _ => changed_key(operation),
    }
}

/// Whether a request only looks at a key.
fn is_read(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Lookup { .. }
            | Operation::EnumChildren { .. }
            | Operation::ReadKey { .. }
            | Operation::QueryValues { .. }
    )
}

/// Whether a failure of the backing store can strike. A commit says so by itself; a snapshot is
/// read as it begins (P-64).
fn touches_storage(operation: &Operation) -> bool {
    match operation {
        Operation::BeginTransaction { mode, .. } => *mode == TXN_READ_ONLY,
        Operation::CommitTransaction { .. }
        | Operation::AbortTransaction { .. }
        | Operation::Malformed { .. } => false,
        _ => true,
    }
}

/// Marks the op code and the layouts of a request that is carried out, and of its response.
fn mark_message(request: &Request, covered: &mut Covered) {
    if !request.trailing.is_empty() {
        covers!(covered, "SRC-59", "SRC-60");
    }
    match &request.operation {
        Operation::Lookup { .. } => {
            covers!(covered, "WIRE-09", "WIRE-10", "WIRE-07", "WIRE-08", "CONST-41");
        }
        Operation::CreateEntry { .. } => covers!(covered, "WIRE-11", "WIRE-12", "CONST-41"),
        Operation::HideEntry { .. } => covers!(covered, "WIRE-13", "WIRE-14", "CONST-41"),
        Operation::DeleteEntry { .. } => covers!(covered, "WIRE-15", "WIRE-16", "CONST-41"),
        Operation::EnumChildren { .. } => {
            covers!(covered, "WIRE-17", "WIRE-18", "WIRE-07", "WIRE-08", "CONST-41");
        }
        Operation::CreateKey { .. } => covers!(covered, "WIRE-19", "WIRE-20", "CONST-42"),
        Operation::ReadKey { .. } => covers!(covered, "WIRE-21", "WIRE-22", "CONST-42"),
        Operation::WriteKey { .. } => covers!(covered, "WIRE-23", "WIRE-24", "CONST-42"),
        Operation::DropKey { .. } => covers!(covered, "WIRE-25", "WIRE-26", "CONST-42"),
        Operation::QueryValues { .. } => covers!(covered, "WIRE-27", "WIRE-28", "CONST-43"),
        Operation::SetValue { .. } => covers!(covered, "WIRE-29", "WIRE-30", "CONST-43"),
        Operation::DeleteValueEntry { .. } => covers!(covered, "WIRE-31", "WIRE-32", "CONST-43"),
        Operation::SetBlanketTombstone { .. } => {
            covers!(covered, "WIRE-33", "WIRE-34", "CONST-43");
        }
        Operation::BeginTransaction { .. } => covers!(covered, "WIRE-35", "WIRE-36", "CONST-44"),
        Operation::CommitTransaction { .. } => covers!(covered, "WIRE-37", "WIRE-38", "CONST-44"),
        Operation::AbortTransaction { .. } => covers!(covered, "WIRE-39", "WIRE-40", "CONST-44"),
        Operation::DeleteLayer { .. } => covers!(covered, "WIRE-41", "WIRE-42", "CONST-45"),
        Operation::Flush { .. } => covers!(covered, "WIRE-43", "WIRE-44", "CONST-45"),
        Operation::Malformed { .. } => {}
    }
}
