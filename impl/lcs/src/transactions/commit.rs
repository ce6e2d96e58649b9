//! Commits: what the source is asked, and what follows from its answer, whenever that comes
//! (PSD-005 §5.1, §6.3, §10.1; `IOC-181`..`IOC-195`, `TXN-59`..`TXN-69`, D-52, D-81).

use std::pin::pin;
use std::sync::{Arc, Weak};

use abi::Errno;
use futures::channel::oneshot;
use futures::future::{Either, select};
use rsi::{Request, Response, Status, TransactionId};

use super::file::TransactionFile;
use super::late::Fate;
use super::log::Logged;
use super::table::{Binding, Content, End};
use crate::env::Env;
use crate::kernel::{Failure, Kernel};
use crate::mutation::{Bearing, Scope};
use crate::source::{LateEffect, RequestError};
use crate::state::{HiveId, KeyId};
use crate::turns::{Place, Share};
use crate::watches::{Publication, Scale};

/// What a commit needs to go on when its answer comes, whatever has become of the transaction.
#[derive(Clone)]
struct Commit {
    transaction: TransactionId,
    binding: Binding,
    log: Arc<Vec<Logged>>,
    fate: Arc<Fate>,
    /// What watchers are told of it.
    told: Arc<Publication>,
}

impl<E: Env> Kernel<E> {
    /// `REG_IOC_COMMIT`.
    ///
    /// # Errors
    /// EINVAL for one that is not bound, EBUSY and EIO where the source refuses, both to be tried
    /// again; ETIMEDOUT, and those of a transaction that has ended.
    pub async fn commit(self: &Arc<Self>, file: &TransactionFile<E>) -> Result<(), Errno> {
        let id = file.id;
        let turn = self.turns.take(Place::Transaction(id), Share::Alone).await;
        self.expire_if_due(id);
        let content = self.state().transactions.content(id)?;
        let Content { binding, log, known, fate } = content;
        let changes = log.iter().map(|logged| logged.change.clone()).collect();
        let told = self.foresee(changes, known).await;
        let token = Arc::new(());
        let ended = self.state().transactions.begin_commit(id, &token)?;
        let commit = Commit { transaction: id, binding, log, fate, told };
        let answer = self.ask_to_commit(&commit, token, ended).await?;
        match answer {
            Ok(_) => {
                self.publish(&commit.told, Scale::Commit);
                let done = self.settle_commit(commit);
                // What follows may wait for the layers, and their deletion for this transaction.
                drop(turn);
                done.await
            }
            Err(Failure::Refused(Status::TransactionBusy)) => Err(Errno::EBUSY),
            Err(Failure::Unanswered(RequestError::TimedOut { dispatched })) => {
                if dispatched {
                    self.end_transaction(id, End::TimedOut);
                }
                Err(Errno::ETIMEDOUT)
            }
            Err(_) => {
                // An end meanwhile says more than the refusal that came of it.
                self.state().transactions.check_active(id)?;
                Err(Errno::EIO)
            }
        }
    }

    /// Sends the commit and waits for its answer, or for the transaction's end: that of its lifetime
    /// is no reason to wait longer (`IOC-195`), and leaves the answer to the late effect.
    async fn ask_to_commit(
        self: &Arc<Self>,
        commit: &Commit,
        token: Arc<()>,
        ended: oneshot::Receiver<()>,
    ) -> Result<Result<Response, Failure>, Errno> {
        let id = commit.transaction;
        let request = Request::CommitTransaction { transaction: commit.binding.id_at_source.0 };
        let caller = Arc::new(());
        let late = self.late_commit(commit.clone(), token, Arc::downgrade(&caller));
        let slot = commit.binding.hive.slot;
        let end = {
            let asked = pin!(self.ask_unchecked(Some(id), slot, request, Some(late)));
            // Gone before the request is given up, which is left to the late effect then.
            let _caller = caller;
            match select(asked, ended).await {
                Either::Left((answer, _)) => {
                    self.clean_up_after(commit, &answer);
                    return Ok(answer);
                }
                Either::Right(_) => self.state().transactions.check_active(id),
            }
        };
        Err(end.err().unwrap_or(Errno::EIO))
    }

    /// What happens when the answer comes after its caller has gone.
    fn late_commit(
        self: &Arc<Self>,
        commit: Commit,
        token: Arc<()>,
        caller: Weak<()>,
    ) -> LateEffect {
        let kernel = Arc::clone(self);
        let mut unanswered = Unanswered { kernel, commit: Some(commit), caller, _token: token };
        Box::new(move |response| {
            if response == Response::Done
                && let Some(commit) = unanswered.commit.take()
            {
                let kernel = unanswered.kernel.begin_operation();
                kernel.publish_late(&commit.told, Scale::Commit);
                // Nobody waits for what follows.
                drop(kernel.settle_commit(commit));
            }
        })
    }

    /// What a caller that was there for the answer sees to. A commit that took place is over at the
    /// source, and one whose answer is still to come is left to the late effect.
    fn clean_up_after(&self, commit: &Commit, answer: &Result<Response, Failure>) {
        let in_flight = RequestError::TimedOut { dispatched: true };
        match answer {
            Ok(_) => {}
            Err(Failure::Unanswered(error)) if *error == in_flight => {}
            Err(_) => self.clean_up(commit),
        }
    }

    /// Nothing at the source may outlast a transaction that has ended (D-81 keeps it open there).
    fn clean_up(&self, commit: &Commit) {
        if self.state().transactions.check_active(commit.transaction).is_err() {
            commit.fate.give_up();
            drop(self.send_abort(commit.binding));
        }
    }

    /// The source has committed, and watchers have been told of it, under the layers as they were:
    /// that is the transaction's end, and its other effects are applied by a task that outlives the
    /// caller. Completes when they are; what goes wrong with them is no
    /// fault of the commit (D-52).
    ///
    /// # Errors
    /// That of a transaction that had ended before, otherwise than with a source that has gone since it
    /// answered (P-420).
    fn settle_commit(
        self: &Arc<Self>,
        commit: Commit,
    ) -> impl Future<Output = Result<(), Errno>> + Send + use<E> {
        let was_active = {
            let transactions = &mut self.state().transactions;
            match transactions.commit_of_lost_source(commit.transaction) {
                true => Ok(()),
                false => transactions.check_active(commit.transaction),
            }
        };
        let accepted_since = commit.fate.commit();
        drop(self.end_transaction(commit.transaction, End::Committed));
        let (sender, receiver) = oneshot::channel();
        let kernel = Arc::clone(self);
        self.spawn(async move {
            kernel.apply_commit(commit.binding.hive, &commit.log).await;
            for accepted in accepted_since {
                Arc::clone(&kernel).take_effect_after_commit(accepted);
            }
            // A caller that has gone waits for nothing.
            let _ = sender.send(());
        });
        async move {
            // Only a kernel that is gone does not answer.
            let _ = receiver.await;
            was_active
        }
    }

    /// What a committed transaction means for the kernel: one step of the generation, the layers,
    /// the events, and the keys that nobody has any more.
    async fn apply_commit(self: &Arc<Self>, hive: HiveId, log: &[Logged]) {
        if log.is_empty() {
            return;
        }
        let bearing = self.bearing_of(hive, log);
        let turns = match bearing.is_none() {
            true => None,
            false => Some((
                self.turns.take(Place::Layers, Share::Alone).await,
                self.turns.take(Place::Effective(hive), Share::Alone).await,
            )),
        };
        let unopened = self.enter_log(hive, log);
        if turns.is_some() {
            let scopes: Vec<Scope> = log.iter().map(|logged| logged.scope.clone()).collect();
            let creator = log.iter().find_map(|logged| logged.creator);
            // The commit stands whatever metadata it leaves behind (D-52).
            let _ = self.refresh_metadata(hive, creator, &scopes, bearing).await;
        } else {
            self.state().step_generation(hive);
        }
        drop(turns);
        for key in unopened {
            self.drop_key(key).await;
        }
    }

    /// What all of a log bears on.
    fn bearing_of(&self, hive: HiveId, log: &[Logged]) -> Bearing {
        log.iter().fold(Bearing::default(), |all, logged| {
            let one = self.bearing(hive, &logged.scope);
            Bearing {
                layers: all.layers.max(one.layers),
                configuration: all.configuration || one.configuration,
            }
        })
    }

    /// What a log changes in the state at once; the orphans that nobody has open.
    fn enter_log(&self, hive: HiveId, log: &[Logged]) -> Vec<KeyId> {
        let mut state = self.state();
        let mut unopened = Vec::new();
        for logged in log {
            if let Some(guid) = logged.change.created_key() {
                state.commit_key(KeyId::in_hive(hive, guid));
            }
            if logged.was_visible && state.machine == Some(hive) {
                state.metadata.note_visible(&logged.scope);
            }
            let orphan = logged.orphan.map(|guid| KeyId::in_hive(hive, guid));
            unopened.extend(orphan.filter(|key| state.orphan_key(*key)));
        }
        unopened
    }
}

/// A commit whose answer has not come late. Dropped with a request that was never sent, or that was
/// refused as malformed, it has the source abort a transaction that has ended meanwhile.
struct Unanswered<E: Env> {
    kernel: Arc<Kernel<E>>,
    commit: Option<Commit>,
    /// Alive while the caller waits, and sees to the answer itself.
    caller: Weak<()>,
    _token: Arc<()>,
}

impl<E: Env> Drop for Unanswered<E> {
    fn drop(&mut self) {
        if self.caller.strong_count() == 0
            && let Some(commit) = self.commit.take()
        {
            self.kernel.clean_up(&commit);
        }
    }
}
