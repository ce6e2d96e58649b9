//! Backups and restores: what each sends, and in what order (PSD-005 §6.3, §7.2, §9.1; P-207, P-227).
//!
//! Judges requests one by one as they are sent. A transaction that is begun while a transfer is under way
//! is that transfer's. The stream is not known here, so that what is sent is not held against it.

use std::collections::{BTreeMap, BTreeSet};

use registry_model::input::Call;
use registry_model::observation::Observation;

use super::frame::{Guid, Request};
use super::keys::shown;
use super::rules::{Failure, Held, Rule};
use super::transactions::{READ_ONLY, Transactions};

/// A call that moves a whole subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transfer {
    Backup,
    Restore,
}

/// What is known of backups and restores since the last reboot.
#[derive(Clone, Debug, Default)]
pub(super) struct Transfers {
    /// The one under way, with its transaction once that was begun.
    current: Option<(Transfer, Option<u64>)>,
    /// Restores by their transactions.
    restores: BTreeMap<u64, Restore>,
}

/// How far a restore has come.
#[derive(Clone, Debug)]
struct Restore {
    /// The highest number that was given out before.
    floor: u64,
    /// The key that it replaces the content of, once its fields have been written.
    target: Option<Guid>,
    created: BTreeSet<Guid>,
    dropped: BTreeSet<Guid>,
    /// The key that was created last, if its last write time has not been written.
    untimed: Option<Guid>,
    is_committed: bool,
}

/// What a request is to a restore.
enum Part {
    Read,
    Teardown,
    Rebuild,
}

fn part(request: &Request<'_>) -> Part {
    match request {
        Request::DeleteEntry { .. }
        | Request::DeleteValueEntry { .. }
        | Request::DropKey { .. }
        | Request::SetBlanketTombstone { set: 0, .. } => Part::Teardown,
        Request::CreateEntry { .. }
        | Request::HideEntry { .. }
        | Request::CreateKey { .. }
        | Request::WriteKey { .. }
        | Request::SetValue { .. }
        | Request::SetBlanketTombstone { .. } => Part::Rebuild,
        _ => Part::Read,
    }
}

impl Transfers {
    /// A call begins.
    pub(super) fn began(&mut self, call: &Call) {
        self.current = match call {
            Call::Backup { .. } => Some((Transfer::Backup, None)),
            Call::Restore { .. } => Some((Transfer::Restore, None)),
            _ => None,
        };
    }

    /// The call has ended, which no death of a source interrupted.
    pub(super) fn ended(
        &mut self,
        held: &mut Held,
        transactions: &Transactions,
        observation: &Observation,
    ) -> Result<(), Failure> {
        let Some((transfer, Some(id))) = self.current.take() else { return Ok(()) };
        let is_over = !transactions.is_open(id);
        let is_done = *observation == Observation::Done;
        match transfer {
            Transfer::Backup => {
                let rule = if is_done { Rule::BackupReleased } else { Rule::BackupFailed };
                if !is_over {
                    return Err(Failure::new(rule, format!("transaction {id} is open")));
                }
                // One that was never begun, or went with its source, is released by nobody.
                if transactions.was_aborted(id) {
                    held.mark(rule);
                }
                Ok(())
            }
            Transfer::Restore => {
                let is_committed = self.restores.get(&id).is_some_and(|of| of.is_committed);
                held.require(Rule::RestoreEnded, is_over && (is_committed || !is_done), || {
                    format!("transaction {id} has not ended as the call did")
                })
            }
        }
    }

    /// The call has ended, and what became of its transaction is not judged.
    pub(super) fn passed_over(&mut self) {
        self.current = None;
    }

    /// Whether a transaction is that of a restore.
    pub(super) fn is_restore(&self, transaction: u64) -> bool {
        self.restores.contains_key(&transaction)
    }

    /// A request is sent. `highest` is the highest number that was given out by now.
    pub(super) fn sent(
        &mut self,
        held: &mut Held,
        transaction: u64,
        request: &Request<'_>,
        highest: u64,
    ) -> Result<(), Failure> {
        if let Request::BeginTransaction { transaction: id, mode } = *request {
            return self.begun(held, id, mode, highest);
        }
        if let Request::CommitTransaction { transaction: id } = *request {
            return self.committed(held, id);
        }
        if matches!(request, Request::AbortTransaction { .. } | Request::DeleteLayer { .. }) {
            // The end of some transaction, and what is owed to a source.
            return Ok(());
        }
        if let Some(restore) = self.restores.get_mut(&transaction) {
            return restore.sent(held, request);
        }
        self.outside(held, transaction, request)
    }

    fn begun(&mut self, held: &mut Held, id: u64, mode: u32, highest: u64) -> Result<(), Failure> {
        let Some((transfer, transaction)) = &mut self.current else { return Ok(()) };
        let (rule, is_backup) = match transfer {
            Transfer::Backup => (Rule::BackupBegun, true),
            Transfer::Restore => (Rule::RestoreBegun, false),
        };
        let is_right = transaction.is_none() && (mode == READ_ONLY) == is_backup;
        held.require(rule, is_right, || format!("transaction {id} is begun in mode {mode}"))?;
        *transaction = Some(id);
        if !is_backup {
            self.restores.insert(id, Restore::new(highest));
        }
        Ok(())
    }

    fn committed(&mut self, held: &mut Held, id: u64) -> Result<(), Failure> {
        let Some(restore) = self.restores.get_mut(&id) else { return Ok(()) };
        restore.is_committed = true;
        let is_whole = restore.target.is_some() && restore.untimed.is_none();
        held.require(Rule::RestoreTime, is_whole, || "a commit in the middle".to_owned())
    }

    /// A request that is in no restore's transaction.
    fn outside(
        &self,
        held: &mut Held,
        transaction: u64,
        request: &Request<'_>,
    ) -> Result<(), Failure> {
        match self.current {
            Some((Transfer::Backup, id)) => {
                let is_within = id == Some(transaction);
                held.require(Rule::BackupBegun, is_within, || {
                    format!("a request of a backup is in transaction {transaction}")
                })
            }
            Some((Transfer::Restore, None)) => {
                Err(Failure::new(Rule::RestoreBegun, "the restore has not begun a transaction"))
            }
            Some((Transfer::Restore, Some(id))) => {
                // A key may be looked for before, and layers are read behind the commit.
                let reads = matches!(part(request), Part::Read | Part::Teardown);
                let is_over = self.restores.get(&id).is_some_and(|restore| restore.is_committed);
                let is_allowed = matches!(part(request), Part::Read) || is_over && reads;
                held.require(Rule::RestoreWithin, is_allowed, || {
                    format!("a change is in transaction {transaction}, and the restore in {id}")
                })
            }
            None => Ok(()),
        }
    }
}

impl Restore {
    fn new(floor: u64) -> Restore {
        Restore {
            floor,
            target: None,
            created: BTreeSet::new(),
            dropped: BTreeSet::new(),
            untimed: None,
            is_committed: false,
        }
    }

    fn sent(&mut self, held: &mut Held, request: &Request<'_>) -> Result<(), Failure> {
        match part(request) {
            Part::Read => Ok(()),
            Part::Teardown => self.removes(held, request),
            Part::Rebuild => self.writes(held, request),
        }
    }

    fn removes(&mut self, held: &mut Held, request: &Request<'_>) -> Result<(), Failure> {
        held.mark(Rule::RestoreWithin);
        if let Request::DropKey { guid } = *request {
            self.dropped.insert(guid);
        }
        held.require(Rule::RestoreTeardown, self.target.is_none(), || {
            "something is removed when the rebuild has begun".to_owned()
        })
    }

    fn writes(&mut self, held: &mut Held, request: &Request<'_>) -> Result<(), Failure> {
        held.mark(Rule::RestoreWithin);
        if self.target.is_none() {
            return self.fields_of_target(held, request);
        }
        if let Some(key) = self.untimed.take() {
            let is_time = matches!(*request, Request::WriteKey {
                guid, last_write_time: Some(_), security_descriptor: None, ..
            } if guid == key);
            return held.require(Rule::RestoreTime, is_time, || {
                format!("no last write time comes behind the creation of {}", shown(key))
            });
        }
        match *request {
            Request::CreateKey { guid, parent, .. } => {
                self.untimed = Some(guid);
                self.created.insert(guid);
                held.require(Rule::RestoreRoot, self.target != Some(guid), || {
                    format!("the target {} is created", shown(guid))
                })?;
                self.below(held, parent)
            }
            Request::CreateEntry { parent, child, .. } => {
                let is_created = self.created.contains(&child);
                held.require(Rule::RestoreBelow, is_created, || {
                    format!("an entry of {}, which was not created", shown(child))
                })?;
                self.below(held, parent)
            }
            Request::HideEntry { parent, .. } => self.below(held, parent),
            Request::SetValue { guid, .. } | Request::SetBlanketTombstone { guid, .. } => {
                self.below(held, guid)
            }
            _ => Err(Failure::new(Rule::RestoreTime, "a last write time of no new key")),
        }
    }

    /// The first thing that is written.
    fn fields_of_target(&mut self, held: &mut Held, request: &Request<'_>) -> Result<(), Failure> {
        let target = match *request {
            Request::WriteKey {
                guid,
                last_write_time: Some(_),
                security_descriptor: Some(_),
                ..
            } => Some(guid),
            _ => None,
        };
        self.target = target;
        held.require(Rule::RestoreTeardown, target.is_some(), || {
            "the fields of the target are not what is written first".to_owned()
        })?;
        let is_kept = target.is_none_or(|target| !self.dropped.contains(&target));
        held.require(Rule::RestoreRoot, is_kept, || "the target was dropped".to_owned())
    }

    /// What is written is of the target or of a key that was created before.
    fn below(&self, held: &mut Held, key: Guid) -> Result<(), Failure> {
        let is_below =
            self.target == Some(key) || self.created.contains(&key) && self.untimed != Some(key);
        held.require(Rule::RestoreBelow, is_below, || {
            format!("{} is neither the target nor created before", shown(key))
        })
    }
}

/// What a number of a restore has to be above.
impl Transfers {
    /// `None` for a transaction that is no restore's.
    pub(super) fn floor(&self, transaction: u64) -> Option<u64> {
        self.restores.get(&transaction).map(|restore| restore.floor)
    }
}
