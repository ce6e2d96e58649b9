//! Transactions and the write lock.
//!
//! States the transaction operations of PSD-005 §7.2, "Transaction support" of §7.3, and what
//! PSD-006 §4.1 and §5.1 have of binding, of the write lock and of waiting for it.

use super::database::{Database, Map};
use super::message::{Status, TXN_READ_ONLY, TXN_READ_WRITE};
use super::outcome::{Answer, Outcome};
use super::work::Work;
use super::{Store, UnixTime};
use crate::coverage::covers;
use crate::names::FoldedName;

/// How long a write waits for the write lock before it is RSI_TXN_BUSY, milliseconds (PSD-006
/// §4.1).
pub const BUSY_TIMEOUT_MS: u64 = 25_000;

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// An open transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transaction {
    /// Read-write, and what its first mutation bound it to.
    ReadWrite(Option<Bound>),
    /// Read-only: every hive as it was when the transaction began (P-64).
    ReadOnly(Map<FoldedName, Database>),
}

/// What a read-write transaction holds: the write lock of one hive, and the hive as the
/// transaction has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) hive: FoldedName,
    pub(super) database: Database,
}

/// What is known of a read-write transaction that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// When, at the latest.
    pub(super) at: UnixTime,
    /// The hive that it was bound to.
    pub(super) bound: Option<FoldedName>,
    /// Whether it was committed and bound.
    pub(super) has_changed: bool,
}

impl Store {
    /// Ends a transaction, not later than this.
    fn end(&mut self, id: u64, is_commit: bool, at: UnixTime) {
        if let Some(Transaction::ReadWrite(bound)) = self.transactions.get(&id) {
            let bound = bound.as_ref().map(|bound| bound.hive.clone());
            if let Some(hive) = &bound {
                self.lock_released_at.insert_mut(hive.clone(), at);
            }
            let has_changed = is_commit && bound.is_some();
            self.ended_transactions.insert_mut(id, Ended { at, bound, has_changed });
        }
        self.transactions.remove_mut(&id);
    }

    /// Whether a transaction other than `asking` holds the write lock of a hive.
    pub(super) fn is_locked(&self, hive: &FoldedName, asking: u64) -> bool {
        self.transactions.iter().any(|(id, transaction)| {
            *id != asking
                && matches!(transaction, Transaction::ReadWrite(Some(bound)) if bound.hive == *hive)
        })
    }

    /// Whether a transaction other than `asking` holds any write lock.
    pub(super) fn is_any_locked(&self, asking: u64) -> bool {
        self.hives.keys().any(|hive| self.is_locked(hive, asking))
    }
}

impl Work<'_> {
    /// Whether the request has been there long enough to be refused for the lock.
    pub(super) fn has_waited(&self) -> bool {
        let waited: UnixTime = self.ended.saturating_sub(self.began);
        waited >= BUSY_TIMEOUT_MS * NANOSECONDS_PER_MILLISECOND
    }

    /// What a request that finds the write lock taken may be answered at this moment: nothing yet,
    /// or RSI_TXN_BUSY after the whole timeout. A transaction's first mutation may be refused at
    /// once (P-65).
    pub(super) fn refused_for_lock(&mut self) -> Vec<Answer> {
        if self.transaction != 0 {
            covers!(self.covered, "LORE-076");
            return vec![self.refused(Status::TxnBusy)];
        }
        if self.has_waited() {
            covers!(self.covered, "LORE-082", "LORE-083");
            return vec![self.refused(Status::TxnBusy)];
        }
        Vec::new()
    }

    /// RSI_BEGIN_TRANSACTION.
    pub(super) fn begin(&mut self, id: u64, mode: u32) -> Result<Vec<Answer>, Status> {
        self.check_id(id)?;
        let description = &self.store.description;
        let (supported, transaction) = match mode {
            TXN_READ_WRITE => (description.read_write_transactions, Transaction::ReadWrite(None)),
            TXN_READ_ONLY => {
                let snapshot = self.store.hives.clone();
                (description.read_only_transactions, Transaction::ReadOnly(snapshot))
            }
            _ => return Err(Status::Invalid),
        };
        covers!(self.covered, "SRC-11", "CONST-48");
        if id == 0 || self.store.transactions.contains_key(&id) {
            return Err(Status::Invalid);
        }
        if !supported {
            match mode {
                TXN_READ_WRITE => covers!(self.covered, "SRC-14"),
                _ => covers!(self.covered, "SRC-17"),
            }
            return Err(Status::TxnNotSupported);
        }
        if mode == TXN_READ_ONLY && !description.read_write_transactions {
            covers!(self.covered, "SRC-19");
        }
        covers!(self.covered, "OP-50", "OP-52", "LORE-074");
        let mut next = self.store.clone();
        next.transactions.insert_mut(id, transaction);
        let mut answers = vec![self.answered(Outcome::Done, next)];
        if mode == TXN_READ_ONLY && self.may_wait_for_any_volatile_data() {
            // The snapshot has the volatile data too (P-64, P-72).
            answers.push(self.refused_instead(Status::TxnBusy));
        }
        Ok(answers)
    }

    /// RSI_COMMIT_TRANSACTION.
    pub(super) fn commit(&mut self, id: u64) -> Result<Vec<Answer>, Status> {
        self.check_id(id)?;
        covers!(self.covered, "SRC-11");
        let bound = match self.store.transactions.get(&id) {
            Some(Transaction::ReadWrite(bound)) => bound,
            Some(Transaction::ReadOnly(_)) | None => return Err(Status::Invalid),
        };
        let mut next = self.store.clone();
        next.end(id, true, self.ended);
        covers!(self.covered, "OP-61", "LORE-128");
        if let Some(bound) = bound {
            covers!(self.covered, "OP-54", "SRC-12");
            // Another commit was under way when this one was asked for.
            let mut others = self.store.ended_transactions.values();
            if others.any(|other| other.has_changed && other.at > self.began) {
                covers!(self.covered, "SRC-13", "TXN-76");
            }
            next.hives.insert_mut(bound.hive.clone(), bound.database.clone());
        }
        let mut answers = vec![self.answered(Outcome::Done, next)];
        if self.store.storage_fails && bound.is_some() {
            // The transaction stays open for another commit or an abort.
            let mut refused = self.refused_instead(Status::StorageError);
            covers!(refused.covered, "OP-63", "LORE-129", "LORE-130");
            answers.push(refused);
        }
        Ok(answers)
    }

    /// RSI_ABORT_TRANSACTION, which succeeds whatever the id stands for (P-63).
    pub(super) fn abort(&mut self, id: u64) -> Result<Vec<Answer>, Status> {
        self.check_id(id)?;
        covers!(self.covered, "SRC-11", "LORE-131");
        let mut next = self.store.clone();
        match self.store.transactions.get(&id) {
            Some(Transaction::ReadWrite(Some(_))) => {
                covers!(self.covered, "OP-64", "LORE-132");
            }
            Some(Transaction::ReadOnly(_)) => covers!(self.covered, "OP-59"),
            Some(Transaction::ReadWrite(None)) | None => {}
        }
        next.end(id, false, self.ended);
        Ok(vec![self.answered(Outcome::Done, next)])
    }

    /// The id of the payload is that of the header (D-94).
    fn check_id(&self, id: u64) -> Result<(), Status> {
        if id == self.transaction { Ok(()) } else { Err(Status::Invalid) }
    }
}
