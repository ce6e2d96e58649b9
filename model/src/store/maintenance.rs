//! Deleting a layer, and flushing: the operations that name no key.
//!
//! States the layer and maintenance operations of PSD-005 §7.2 and, for what is its own, PSD-006
//! §5.1. Both concern what is committed, and belong to no transaction (P-66).

use std::collections::BTreeSet;

use super::database::{Database, Name, remove_where};
use super::message::{Guid, Status};
use super::outcome::{Answer, Outcome};
use super::transactions::Transaction;
use super::work::Work;
use crate::coverage::{Covered, covers};

impl Work<'_> {
    /// RSI_DELETE_LAYER, in every hive of the source at once.
    pub(super) fn delete_layer(&mut self, layer: &[u8]) -> Result<Vec<Answer>, Status> {
        let layer = Name::parse(layer)?;
        if self.transaction != 0 {
            if let Some(Transaction::ReadOnly(_)) = self.store.transactions.get(&self.transaction) {
                covers!(self.covered, "OP-57", "OP-58");
            }
            return Err(Status::Invalid);
        }
        if self.store.is_any_locked(self.transaction) {
            return Ok(self.refused_for_lock());
        }
        let mut next = self.store.clone();
        let mut orphans = BTreeSet::new();
        let mut covered = Covered::new();
        next.hives = self
            .store
            .hives
            .iter()
            .map(|(hive, database)| {
                let mut database = database.clone();
                orphans.extend(delete_layer(&mut database, &layer, &mut covered));
                (hive.clone(), database)
            })
            .collect();
        self.covered.add(&covered);
        if next.hives == self.store.hives {
            covers!(self.covered, "OP-77");
        } else {
            covers!(self.covered, "OP-73", "LAYER-57", "LORE-123");
        }
        Ok(vec![self.answered(Outcome::Orphans(orphans.into_iter().collect()), next)])
    }

    /// RSI_FLUSH. What a transaction has not committed is not pending yet, so a flush may be
    /// answered while one holds the write lock; it may as well wait for that, and for a snapshot
    /// that is still read (P-65).
    pub(super) fn flush(&mut self, hive_name: &[u8]) -> Result<Vec<Answer>, Status> {
        let hive = Name::parse(hive_name)?;
        if !self.store.description.serves(&hive.folded) {
            covers!(self.covered, "LORE-135");
            return Err(Status::Invalid);
        }
        if self.transaction != 0 {
            return Err(Status::Invalid);
        }
        covers!(self.covered, "OP-78", "OP-79", "OP-81", "LORE-134");
        if self.store.description.hives().all(|name| *name != *hive.spelling) {
            covers!(self.covered, "LORE-007");
        }
        let mut answers = vec![self.answered(Outcome::Done, self.store.clone())];
        let is_read = self
            .store
            .transactions
            .values()
            .any(|transaction| matches!(transaction, Transaction::ReadOnly(_)));
        let may_wait = is_read || self.store.is_locked(&hive.folded, self.transaction);
        if may_wait && self.has_waited() {
            answers.push(self.refused_instead(Status::TxnBusy));
        }
        Ok(answers)
    }
}

/// Removes all entries of a layer and says which keys lost their last path entry by it. Key
/// records stay, orphaned or not.
fn delete_layer(database: &mut Database, layer: &Name, covered: &mut Covered) -> BTreeSet<Guid> {
    let layer = &layer.folded;
    let named_by_it: BTreeSet<Guid> =
        database.named().filter(|(_, by)| *by == layer).map(|(guid, _)| guid).collect();
    let named_by_others: BTreeSet<Guid> =
        database.named().filter(|(_, by)| *by != layer).map(|(guid, _)| guid).collect();
    let before = database.clone();
    remove_where(&mut database.path_entries, |(_, _, of), _| of == layer);
    remove_where(&mut database.values, |(_, _, of), _| of == layer);
    remove_where(&mut database.blankets, |(_, of), _| of == layer);
    if database.path_entries != before.path_entries {
        covers!(covered, "OP-70", "DEL-54");
    }
    if database.values != before.values {
        covers!(covered, "OP-71", "DEL-55");
    }
    if database.blankets != before.blankets {
        covers!(covered, "OP-72", "DEL-56");
    }
    let orphans: BTreeSet<Guid> = named_by_it.difference(&named_by_others).copied().collect();
    if !orphans.is_empty() {
        covers!(covered, "OP-74", "OP-75", "DEL-57", "DEL-58", "LORE-124", "LORE-126");
    }
    if orphans.len() < named_by_it.len() {
        covers!(covered, "LORE-125");
    }
    orphans
}
