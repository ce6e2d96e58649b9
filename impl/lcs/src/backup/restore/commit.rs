//! The end of a restore: the commit, and what follows from it, whenever its answer comes (PSD-005
//! §2.6, §4.2, §6.3, §8.2, §9.1, §10.1; `RST-71`, `RST-77`..`RST-79`, D-76, D-105, P-207, P-209, P-210, P-231).

use std::collections::BTreeSet;
use std::sync::Arc;

use abi::Errno;
use futures::channel::oneshot;
use rsi::{Guid, Request, Response, Status, TransactionId};

use super::RestoreTransaction;
use crate::backup::channel::Channel;
use crate::env::Env;
use crate::kernel::{Failure, Kernel};
use crate::key_file::Position;
use crate::metadata::LAYERS_PATH;
use crate::mutation::{Bearing, Scope};
use crate::name::FoldedName;
use crate::security::Sid;
use crate::sequence_gate::HeldGate;
use crate::source::{RequestError, ResponseEffect};
use crate::state::KeyId;
use crate::transactions::End;
use crate::turns::{Place, Share};

/// What a restore has done, which is what there is to follow from its commit.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The key that was restored, and the way to it.
    pub target: Position,
    /// Keys that were below it.
    pub removed: BTreeSet<Guid>,
    /// Keys that are below it.
    pub made: BTreeSet<Guid>,
    /// Whether the layers or the parameters may depend on it.
    pub concerns_metadata: bool,
    /// Whose layers are those that have no owner.
    pub creator: Sid,
}

impl Restored {
    /// Whether a key was or is below the target.
    pub fn concerns(&self, key: KeyId) -> bool {
        let is_in_subtree = self.removed.contains(&key.guid) || self.made.contains(&key.guid);
        key.slot == self.target.hive().slot && is_in_subtree
    }
}

/// A commit that has been sent. Dropped without a success, it has the source abort what it may have
/// kept open (D-81), once nobody else will.
struct Sent<E: Env> {
    channel: Channel<E>,
    restored: Restored,
    is_entered: bool,
    _in_flight: Arc<()>,
}

impl<E: Env> Kernel<E> {
    /// Commits a restore. What follows goes on when the caller has gone away.
    ///
    /// # Errors
    /// EBUSY and EIO where the source refuses, ETIMEDOUT, and that of a transaction that has ended.
    pub(super) async fn commit_restore(
        self: &Arc<Self>,
        transaction: RestoreTransaction<E>,
        restored: Restored,
        gate: Option<HeldGate<E>>,
    ) -> Result<(), Errno> {
        let (sender, receiver) = oneshot::channel();
        let kernel = Arc::clone(self);
        self.spawn(async move {
            let committed = kernel.commit_and_follow(transaction, restored, gate).await;
            // A caller that has gone waits for nothing.
            let _ = sender.send(committed);
        });
        receiver.await.unwrap_or(Err(Errno::EIO))
    }

    async fn commit_and_follow(
        self: &Arc<Self>,
        transaction: RestoreTransaction<E>,
        restored: Restored,
        gate: Option<HeldGate<E>>,
    ) -> Result<(), Errno> {
        let channel = transaction.channel.clone();
        let id = channel.transaction;
        // Whoever deletes a layer waits for a commit on its way.
        let turn = self.turns.take(Place::Transaction(id), Share::Alone).await;
        let in_flight = Arc::new(());
        drop(self.state().transactions.begin_commit(id, &in_flight)?);
        let sent = Sent {
            channel: channel.clone(),
            restored: restored.clone(),
            is_entered: false,
            _in_flight: in_flight,
        };
        let result = match channel.commit(Box::new(sent)).await {
            Ok(()) => Ok(()),
            Err(Failure::Unanswered(RequestError::TimedOut { dispatched: true })) => {
                drop(self.end_transaction(id, End::TimedOut));
                Err(Errno::ETIMEDOUT)
            }
            Err(failure) => {
                let ended = self.state().transactions.check_active(id);
                transaction.abort().await;
                ended.and(Err(match failure {
                    Failure::Refused(Status::TransactionBusy) => Errno::EBUSY,
                    Failure::Refused(_) => Errno::EIO,
                    failure => failure.errno(),
                }))
            }
        };
        drop(gate);
        // What follows may wait for the layers, and their deletion for this transaction.
        drop(turn);
        if result.is_ok() {
            self.follow_restore(restored).await;
        }
        result
    }

    /// What a committed restore changes in the state at once: who has its keys open, and who hears of
    /// it (D-76, D-105).
    fn enter_restore(&self, restored: &Restored) {
        let mut state = self.state();
        let hive = restored.target.hive();
        let seen = state.slot(hive.slot).incarnation;
        for (key, open) in &mut state.open_keys {
            if key.slot != hive.slot {
                continue;
            }
            if restored.made.contains(&key.guid) {
                open.orphaned = false;
                open.created_in = None;
                open.seen = seen;
            } else if restored.removed.contains(&key.guid) {
                // No incarnation has shown it, so that it is asked for and found gone (P-06).
                open.seen = 0;
            }
        }
        state.under_way.forget(hive);
        let limits = self.parameters.watch_limits();
        state.watches.overflow_restored(restored, limits);
    }

    /// One step of the generation, and the layers and parameters where they may have changed. What is
    /// wrong with them is no fault of the restore (D-52, P-154).
    async fn follow_restore(self: &Arc<Self>, restored: Restored) {
        let hive = restored.target.hive();
        let scope = Scope::of_key(&restored.target);
        let is_occasion = !self.bearing(hive, &scope).is_none();
        if !restored.concerns_metadata && !is_occasion {
            self.state().step_generation(hive);
            return;
        }
        let layers = self.turns.take(Place::Layers, Share::Alone).await;
        let effective = self.turns.take(Place::Effective(hive), Share::Alone).await;
        let scopes = self.scopes_of_way();
        let bearing = Bearing { layers: Some(false), configuration: true };
        let creator = Some(restored.creator);
        let _ = self.refresh_metadata(hive, creator, &scopes, bearing).await;
        drop((layers, effective));
    }

    /// Every name on the way to the layers.
    fn scopes_of_way(&self) -> Vec<Scope> {
        let state = self.state();
        let way = state.metadata.chain.iter().zip(LAYERS_PATH);
        way.map(|(parent, name)| Scope::Name { parent: *parent, name: FoldedName::new(name) })
            .collect()
    }
}

impl<E: Env> ResponseEffect for Sent<E> {
    fn arrive(&mut self, response: &Response, _awaited: bool) {
        if *response == Response::Done {
            self.is_entered = true;
            let Channel { kernel, transaction, .. } = &self.channel;
            kernel.enter_restore(&self.restored);
            // One that is over for its owner has ended otherwise.
            drop(kernel.end_transaction(*transaction, End::Committed));
        }
    }

    fn untaken(self: Box<Self>, _response: Response) {
        if self.is_entered {
            let (kernel, restored) = (Arc::clone(&self.channel.kernel), self.restored.clone());
            let task_kernel = Arc::clone(&kernel);
            kernel.spawn(async move { task_kernel.follow_restore(restored).await });
        }
    }
}

impl<E: Env> Drop for Sent<E> {
    fn drop(&mut self) {
        let Channel { kernel, connection, transaction, .. } = &self.channel;
        let is_over = kernel.state().transactions.check_active(*transaction).is_err();
        if !self.is_entered && is_over {
            let TransactionId(id) = *transaction;
            connection.send(
                Some(*transaction),
                Request::AbortTransaction { transaction: id },
                None,
            );
        }
    }
}
