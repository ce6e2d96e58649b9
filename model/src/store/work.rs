//! A request at work: which database it concerns, what of it it sees, and when it may change it.
//!
//! States the request dispatch and write serialisation of PSD-006 §4.1 and the transaction routing
//! of its §5.1, with the isolation that PSD-005 §7.1 asks of `txn_id`. Does not know what the
//! operations do to a database.

use super::database::{Database, Map};
use super::message::{Guid, Status};
use super::outcome::{Answer, Outcome};
use super::transactions::{Bound, Transaction};
use super::{Store, UnixTime};
use crate::coverage::{Covered, covers};
use crate::database::Time;
use crate::names::FoldedName;

/// A request at work on a store.
pub(super) struct Work<'a> {
    pub(super) store: &'a Store,
    /// `txn_id` of the header.
    pub(super) transaction: u64,
    pub(super) began: UnixTime,
    pub(super) ended: UnixTime,
    pub(super) covered: Covered,
}

/// The hives as one request sees them.
struct Visible {
    databases: Map<FoldedName, Database>,
    /// The hive to which the request's transaction is bound.
    bound: Option<FoldedName>,
}

impl Visible {
    /// The hive that holds what a request names.
    fn hive(&self, holds: impl Fn(&Database) -> bool) -> Result<FoldedName, Status> {
        let mut hives = self.databases.iter().filter(|(_, database)| holds(database));
        let (hive, _) = hives.next().ok_or(Status::NotFound)?;
        match &self.bound {
            Some(bound) if bound != hive => Err(Status::Invalid),
            _ => Ok(hive.clone()),
        }
    }
}

impl Work<'_> {
    /// When the request takes effect.
    pub(super) fn time(&self) -> Time {
        if self.began == self.ended {
            Time::At(self.began)
        } else {
            Time::Within(self.began, self.ended)
        }
    }

    /// An answer after which the store is `next`.
    pub(super) fn answered(&self, outcome: Outcome, next: Store) -> Answer {
        Answer { outcome, covered: self.covered, next }
    }

    /// A refusal, which changes nothing.
    pub(super) fn refused(&self, status: Status) -> Answer {
        let mut refused = self.answered(Outcome::Failed(status), self.store.clone());
        covers!(refused.covered, "CONST-47", "RSI-58");
        refused
    }

    /// A refusal in place of what is answered otherwise, of which it shows nothing.
    pub(super) fn refused_instead(&self, status: Status) -> Answer {
        Work { covered: Covered::new(), ..*self }.refused(status)
    }

    /// Whether any key that the request sees has this GUID.
    pub(super) fn is_taken(&self, guid: Guid) -> Result<bool, Status> {
        let databases = self.visible()?.databases;
        Ok(databases.values().any(|database| database.keys.contains_key(&guid)))
    }

    /// A request that only looks, at a key that has to be there.
    pub(super) fn read(
        &mut self,
        guid: Guid,
        query: impl Fn(&Database, &mut Covered) -> Outcome,
    ) -> Result<Vec<Answer>, Status> {
        let visible = self.visible()?;
        self.mark_read();
        let hive = visible.hive(has_key(guid))?;
        let database = visible.databases.get(&hive).ok_or(Status::NotFound)?;
        self.mark_hive(database, guid);
        let mut answers = Vec::new();
        if self.store.is_locked(&hive, self.transaction) {
            covers!(self.covered, "LORE-066", "LORE-067", "LORE-068");
            if self.may_wait_for_volatile_data(&hive) {
                answers.push(self.refused_instead(Status::TxnBusy));
            }
        }
        let outcome = query(database, &mut self.covered);
        answers.push(self.answered(outcome, self.store.clone()));
        Ok(answers)
    }

    /// A request that changes the database that `holds` what it names. Where none does, it is
    /// answered with `absent`.
    pub(super) fn write(
        &mut self,
        holds: impl Fn(&Database) -> bool,
        absent: impl Fn(&mut Covered) -> Result<Outcome, Status>,
        change: impl Fn(&mut Database, &mut Covered) -> Result<Outcome, Status>,
    ) -> Result<Vec<Answer>, Status> {
        if let Some(Transaction::ReadOnly(_)) = self.store.transactions.get(&self.transaction) {
            covers!(self.covered, "OP-57", "OP-58");
            return Err(Status::Invalid);
        }
        let visible = self.visible()?;
        let hive = match visible.hive(holds) {
            Ok(hive) => hive,
            Err(Status::NotFound) => {
                let outcome = absent(&mut self.covered).unwrap_or_else(Outcome::Failed);
                return Ok(self.absent(outcome));
            }
            Err(status) => return Err(status),
        };
        if self.store.is_locked(&hive, self.transaction) {
            return Ok(self.refused_for_lock());
        }
        let before = visible.databases.get(&hive).ok_or(Status::NotFound)?;
        self.mark_write(&hive);
        let mut after = before.clone();
        let (outcome, database) = match change(&mut after, &mut self.covered) {
            Ok(outcome) => (outcome, after),
            Err(status) => (Outcome::Failed(status), before.clone()),
        };
        let mut next = self.store.clone();
        if self.transaction == 0 {
            next.written_at.insert_mut(hive.clone(), self.ended);
            next.hives.insert_mut(hive, database);
        } else {
            // A first mutation takes the lock even if it is refused then (P-65).
            let transaction = Transaction::ReadWrite(Some(Bound { hive, database }));
            next.transactions.insert_mut(self.transaction, transaction);
        }
        Ok(vec![self.answered(outcome, next)])
    }

    /// A removal of what needs no record of `key`. Without one, it changes a database that it `concerns`
    /// (P-330). Where none has what it `removes`, it may take no lock (P-331).
    pub(super) fn remove(
        &mut self,
        key: Guid,
        concerns: impl Fn(&Database) -> bool,
        removes: impl Fn(&Database) -> bool,
        absent: impl Fn(&mut Covered) -> Result<Outcome, Status>,
        change: impl Fn(&mut Database, &mut Covered) -> Result<Outcome, Status>,
    ) -> Result<Vec<Answer>, Status> {
        if self.is_taken(key)? {
            return self.write(has_key(key), absent, change);
        }
        let databases = self.visible()?.databases;
        let is_anywhere = |what: &dyn Fn(&Database) -> bool| databases.values().any(what);
        let mut answers = self.write(&concerns, &absent, change)?;
        if is_anywhere(&removes) {
            answers.extend(self.refused_for_any_lock());
        } else if is_anywhere(&concerns) {
            let outcome = absent(&mut self.covered).unwrap_or_else(Outcome::Failed);
            answers.extend(self.absent(outcome));
        }
        Ok(answers)
    }

    /// The answers to a change of what is not there.
    fn absent(&self, outcome: Outcome) -> Vec<Answer> {
        let mut answers = vec![self.answered(outcome, self.store.clone())];
        answers.extend(self.refused_for_any_lock());
        answers
    }

    /// The refusal of a change of what is nowhere. While some lock is taken it may be that what holds
    /// the lock is about to make it: then the source may have waited (P-74).
    fn refused_for_any_lock(&self) -> Option<Answer> {
        let may_be_refused = match self.store.transactions.get(&self.transaction) {
            None => self.has_waited(),
            Some(Transaction::ReadWrite(None)) => true,
            // It has its lock, and looks at the other hives as a reader does.
            Some(Transaction::ReadWrite(Some(_))) => self.may_wait_for_any_volatile_data(),
            Some(Transaction::ReadOnly(_)) => false,
        };
        let is_refused = may_be_refused && self.store.is_any_locked(self.transaction);
        is_refused.then(|| self.refused_instead(Status::TxnBusy))
    }

    /// What the request sees.
    ///
    /// # Errors
    ///
    /// RSI_INVALID for an id that no open transaction has (P-63).
    fn visible(&self) -> Result<Visible, Status> {
        let committed = || self.store.hives.clone();
        if self.transaction == 0 {
            return Ok(Visible { databases: committed(), bound: None });
        }
        let transaction = self.store.transactions.get(&self.transaction).ok_or(Status::Invalid)?;
        Ok(match transaction {
            Transaction::ReadOnly(snapshot) => Visible { databases: snapshot.clone(), bound: None },
            Transaction::ReadWrite(None) => Visible { databases: committed(), bound: None },
            Transaction::ReadWrite(Some(bound)) => Visible {
                databases: committed().insert(bound.hive.clone(), bound.database.clone()),
                bound: Some(bound.hive.clone()),
            },
        })
    }

    /// A transaction that changes volatile data holds up readers of it, since the volatile store
    /// locks whole tables (PSD-006 §4.1).
    fn may_wait_for_volatile_data(&self, hive: &FoldedName) -> bool {
        // The transaction may have dropped the last of it.
        let is_committed = self.store.hives.get(hive).is_some_and(Database::holds_volatile_data);
        let transactions = self.store.transactions.values();
        let holds_volatile_data = transactions.into_iter().any(|transaction| {
            matches!(transaction, Transaction::ReadWrite(Some(bound))
                if bound.hive == *hive && (is_committed || bound.database.holds_volatile_data()))
        });
        self.has_waited() && holds_volatile_data
    }

    /// Whether a transaction has made volatile data of some hive wait for it long enough.
    pub(super) fn may_wait_for_any_volatile_data(&self) -> bool {
        self.store.hives.keys().any(|hive| {
            self.store.is_locked(hive, self.transaction) && self.may_wait_for_volatile_data(hive)
        })
    }

    fn mark_read(&mut self) {
        match self.store.transactions.get(&self.transaction) {
            None => covers!(self.covered, "LORE-086", "RSI-52"),
            Some(Transaction::ReadOnly(_)) => covers!(self.covered, "OP-55", "OP-51", "RSI-53"),
            Some(Transaction::ReadWrite(None)) => {}
            Some(Transaction::ReadWrite(Some(_))) => {
                covers!(self.covered, "OP-53", "OP-51", "RSI-53", "LORE-077", "LORE-078");
            }
        }
    }

    fn mark_hive(&mut self, database: &Database, guid: Guid) {
        let volatile_key = database.keys.get(&guid).is_some_and(|key| key.volatile_key);
        if volatile_key {
            covers!(self.covered, "LORE-016");
        }
        if self.store.hives.size() > 1 {
            covers!(self.covered, "LORE-036", "LORE-071");
            if volatile_key {
                covers!(self.covered, "LORE-017");
            }
        }
    }

    fn mark_write(&mut self, hive: &FoldedName) {
        covers!(self.covered, "LORE-064");
        match self.store.transactions.get(&self.transaction) {
            Some(Transaction::ReadWrite(None)) => {
                covers!(self.covered, "OP-51", "RSI-53", "LORE-075");
            }
            Some(_) => covers!(self.covered, "OP-51", "RSI-53", "LORE-077"),
            None => covers!(self.covered, "LORE-079", "LORE-086", "RSI-52"),
        }
        let released = self.store.lock_released_at.get(hive);
        if self.transaction == 0 && released.is_some_and(|released| self.began <= *released) {
            covers!(self.covered, "LORE-081");
        }
        let written = self.store.written_at.get(hive);
        if self.transaction == 0 && written.is_some_and(|written| self.began < *written) {
            covers!(self.covered, "LORE-080");
        }
        let unbound_is_open = self
            .store
            .transactions
            .iter()
            .any(|(id, open)| *id != self.transaction && *open == Transaction::ReadWrite(None));
        if unbound_is_open {
            covers!(self.covered, "LORE-127");
        }
    }
}

/// Whether a database has a key: what most requests ask of the database that they concern.
pub(super) fn has_key(guid: Guid) -> impl Fn(&Database) -> bool {
    move |database| database.keys.contains_key(&guid)
}

/// The answer to a request that concerns a key which is not there (P-09).
pub(super) fn not_found(_: &mut Covered) -> Result<Outcome, Status> {
    Err(Status::NotFound)
}

/// A boolean field.
///
/// # Errors
///
/// RSI_INVALID for anything but 0 and 1.
pub(super) fn flag(byte: u8) -> Result<bool, Status> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Status::Invalid),
    }
}
