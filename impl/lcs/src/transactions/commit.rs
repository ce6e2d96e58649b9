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
use crate::arrival::Handover;
use crate::env::Env;
use crate::kernel::{Failure, Kernel};
use crate::mutation::{Bearing, Scope};
use crate::source::{RequestError, ResponseEffect};
use crate::state::{HiveId, KeyId, State};
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
    /// What its success has left to be done.
    entered: Handover<Entered>,
}

/// What is left of a commit that is in effect.
struct Entered {
    /// What its caller gets.
    was_active: Result<(), Errno>,
    /// Orphans that nobody has open.
    unopened: Vec<KeyId>,
    /// What of the kernel's own it bears on.
    bearing: Bearing,
}

/// The answer to a commit. Dropped with a request that was never sent, or that was refused, it has the
/// source abort a transaction that has ended meanwhile.
struct CommitDone<E: Env> {
    kernel: Arc<Kernel<E>>,
    commit: Commit,
    /// Whether it is in effect.
    is_entered: bool,
    /// Alive while the caller waits, and sees to a failure itself.
    caller: Weak<()>,
    _token: Arc<()>,
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
        let told = self.foresee(changes, &known).await;
        let token = Arc::new(());
        let ended = self.state().transactions.begin_commit(id, &token)?;
        let entered = Handover::default();
        let commit = Commit { transaction: id, binding, log, fate, told, entered };
        match self.ask_to_commit(&commit, token, ended).await? {
            Ok(entered) => {
                let done = self.follow_commit(&commit, entered);
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
    /// is no reason to wait longer (`IOC-195`), and leaves the answer to be heard of late. The end may
    /// be that of the commit itself, which is in effect before its answer is here.
    async fn ask_to_commit(
        self: &Arc<Self>,
        commit: &Commit,
        token: Arc<()>,
        ended: oneshot::Receiver<()>,
    ) -> Result<Result<Entered, Failure>, Errno> {
        let id = commit.transaction;
        let request = Request::CommitTransaction { transaction: commit.binding.id_at_source.0 };
        let caller = Arc::new(());
        let effect = Box::new(CommitDone {
            kernel: Arc::clone(self),
            commit: commit.clone(),
            is_entered: false,
            caller: Arc::downgrade(&caller),
            _token: token,
        });
        let slot = commit.binding.hive.slot;
        let answer = {
            let asked = pin!(self.ask_unchecked(Some(id), slot, request, Some(effect)));
            // Gone before the request is given up, which is left to the effect then.
            let _caller = caller;
            let answer = match select(asked, ended).await {
                Either::Left((answer, _)) => Some(answer),
                Either::Right(_) => None,
            };
            // As long as the answer has somebody to go to.
            (commit.entered.take(), answer)
        };
        match answer {
            (Some(entered), _) => Ok(Ok(entered)),
            (None, Some(answer)) => {
                self.clean_up_after(commit, &answer);
                Ok(answer.and(Err(Failure::Unanswered(RequestError::Down))))
            }
            (None, None) => {
                let end = self.state().transactions.check_active(id);
                Err(end.err().unwrap_or(Errno::EIO))
            }
        }
    }

    /// What a caller that was there for the answer sees to. A commit that took place is over at the
    /// source, and one whose answer is still to come is left to its effect.
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

    /// The source has committed: in this moment watchers are told of it, under the layers as they are,
    /// the transaction ends, and what it has done is what the kernel knows (§5.1, `TXN-59`). So it is with
    /// what the source had accepted for it since it was over for its owner: a response that comes next tells of
    /// what was done later.
    fn enter_commit(self: &Arc<Self>, commit: &Commit, awaited: bool) {
        let hive = commit.binding.hive;
        let (ended, accepted_since) = {
            let mut state = self.state();
            match awaited {
                true => self.publish_in(&mut state, &commit.told, Scale::Commit),
                false => self.publish_late_in(&mut state, &commit.told, Scale::Commit),
            }
            let was_active = match state.transactions.commit_of_lost_source(commit.transaction) {
                true => Ok(()),
                false => state.transactions.check_active(commit.transaction),
            };
            let bearing = state.bearing_of(hive, &commit.log);
            let unopened = state.enter_log(hive, &commit.log);
            if bearing.is_none() && !commit.log.is_empty() {
                state.step_generation(hive);
            }
            let accepted_since = commit.fate.commit();
            commit.entered.leave(Entered { was_active, unopened, bearing });
            (state.transactions.end(commit.transaction, End::Committed), accepted_since)
        };
        for accepted in accepted_since {
            Arc::clone(self).take_effect_after_commit(accepted);
        }
        // Whoever waits for the end learns of it here.
        drop(ended);
    }

    /// What follows a commit that is in effect, in a task that outlives the caller. Completes when
    /// that is done; what goes wrong with it is no fault of the commit (D-52).
    ///
    /// # Errors
    /// That of a transaction that had ended before, otherwise than with a source that has gone since it
    /// answered (P-420).
    fn follow_commit(
        self: &Arc<Self>,
        commit: &Commit,
        entered: Entered,
    ) -> impl Future<Output = Result<(), Errno>> + Send + use<E> {
        let Entered { was_active, unopened, bearing } = entered;
        let (sender, receiver) = oneshot::channel();
        let kernel = Arc::clone(self);
        let (hive, log) = (commit.binding.hive, Arc::clone(&commit.log));
        self.spawn(async move {
            if !bearing.is_none() {
                kernel.refresh_after_commit(hive, &log, bearing).await;
            }
            for key in unopened {
                kernel.drop_key(key).await;
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

    /// The layers and the parameters, and with them the step of the generation.
    async fn refresh_after_commit(
        self: &Arc<Self>,
        hive: HiveId,
        log: &[Logged],
        bearing: Bearing,
    ) {
        let layers = self.turns.take(Place::Layers, Share::Alone).await;
        let effective = self.turns.take(Place::Effective(hive), Share::Alone).await;
        if self.state().machine == Some(hive) {
            let visible = log.iter().filter(|logged| logged.was_visible);
            visible.for_each(|logged| self.state().metadata.note_visible(&logged.scope));
        }
        let scopes: Vec<Scope> = log.iter().map(|logged| logged.scope.clone()).collect();
        let creator = log.iter().find_map(|logged| logged.creator);
        // The commit stands whatever metadata it leaves behind (D-52).
        let _ = self.refresh_metadata(hive, creator, &scopes, bearing).await;
        drop((layers, effective));
    }
}

impl<E: Env> State<E> {
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

    /// What a log changes of open keys at once; the orphans that nobody has open.
    fn enter_log(&mut self, hive: HiveId, log: &[Logged]) -> Vec<KeyId> {
        let mut unopened = Vec::new();
        for logged in log {
            if let Some(guid) = logged.change.created_key() {
                self.commit_key(KeyId::in_hive(hive, guid));
            }
            let orphan = logged.orphan.map(|guid| KeyId::in_hive(hive, guid));
            unopened.extend(orphan.filter(|key| self.orphan_key(*key)));
        }
        unopened
    }
}

impl<E: Env> ResponseEffect for CommitDone<E> {
    fn arrive(&mut self, response: &Response, awaited: bool) {
        if *response == Response::Done {
            self.is_entered = true;
            let kernel =
                if awaited { Arc::clone(&self.kernel) } else { self.kernel.begin_operation() };
            kernel.enter_commit(&self.commit, awaited);
        }
    }

    fn untaken(self: Box<Self>, _response: Response) {
        if let Some(entered) = self.commit.entered.take() {
            // Nobody waits for what follows.
            drop(self.kernel.begin_operation().follow_commit(&self.commit, entered));
        }
    }
}

impl<E: Env> Drop for CommitDone<E> {
    fn drop(&mut self) {
        if !self.is_entered && self.caller.strong_count() == 0 {
            self.kernel.clean_up(&self.commit);
        }
    }
}
