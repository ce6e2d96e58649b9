//! A mutation in a transaction: what the source is told at once, and what is kept for the commit.
//! What follows outside a transaction at once, follows there; the last write time and the record of
//! a new key go with the mutation (PSD-005 §5.1, §6.3; `TXN-50`..`TXN-52`, P-08).

use std::sync::Arc;

use abi::Errno;
use rsi::{Request, Status, TransactionId};

use super::late::{Fate, Within};
use super::log::Logged;
use crate::change::AcceptedChange;
use crate::env::Env;
use crate::kernel::{Failure, Kernel};
use crate::mutation::{Change, FollowUp, NewKey, Scope};
use crate::security::Sid;
use crate::source::RequestError;
use crate::state::{KeyId, SlotId};
use crate::turns::Turn;
use crate::watches::Knowledge;

/// What remains to be done of a mutation that the source has accepted.
#[derive(Clone)]
pub struct Accepted {
    /// The transaction that it is part of.
    pub within: Within,
    /// What becomes of that.
    pub fate: Arc<Fate>,
    /// The source.
    pub slot: SlotId,
    /// What is remembered of it.
    pub logged: Logged,
    /// The record of a new key, if that is still to be stored.
    pub new_key: Option<NewKey>,
    /// The key whose last write time is set, and whether it may be gone.
    pub write_time: Option<(KeyId, bool)>,
}

impl<E: Env> Kernel<E> {
    /// As [`Kernel::mutate`], in a transaction that [`Kernel::join`] has bound.
    #[expect(clippy::too_many_arguments, reason = "all that there is to say of a mutation")]
    pub async fn mutate_within(
        self: &Arc<Self>,
        transaction: TransactionId,
        change: &Change,
        held: Vec<Turn>,
        request: Request,
        follow_up: FollowUp,
        creator: Option<Sid>,
        told: AcceptedChange,
    ) -> Result<Result<(), Errno>, Failure> {
        let hive = change.hive;
        self.learn_within(transaction, &told, &change.known).await;
        let is_path = matches!(change.scope, Scope::Name { .. });
        let logged = Logged::of(told, &change.scope, &follow_up, creator);
        let write_time = follow_up.write_time.map(|guid| {
            let key = KeyId { transaction: Some(transaction), ..KeyId::in_hive(hive, guid) };
            (key, is_path)
        });
        let new_key = follow_up.create_key;
        let accepted = Accepted { new_key, write_time, ..self.acceptance(change, logged)? };
        let late = self.late_acceptance(accepted.clone());
        let answer = self.ask_in(Some(transaction), hive.slot, request, Some(late)).await;
        if answer == Err(Failure::Unanswered(RequestError::TimedOut { dispatched: true })) {
            let layer = accepted.logged.layer.clone();
            self.state().transactions.write_into(transaction, layer);
        }
        answer?;
        let finished = self.finish_within(accepted).await;
        drop(held);
        Ok(finished)
    }

    /// A mutation in a transaction, of which nothing remains to be done but to remember it.
    ///
    /// # Errors
    /// What its end makes of every use of the transaction.
    pub fn acceptance(&self, change: &Change, logged: Logged) -> Result<Accepted, Failure> {
        let over = |errno| Failure::TransactionOver(errno);
        let id = change.transaction.ok_or(over(Errno::EINVAL))?;
        let (within, fate) = self.state().transactions.at_source(id).map_err(over)?;
        let slot = change.hive.slot;
        Ok(Accepted { within, fate, slot, logged, new_key: None, write_time: None })
    }

    /// Remembers how what a mutation changes is before the transaction changes it, as far as the
    /// transaction has not changed it yet. That is asked within the transaction: from outside, a
    /// source may only be able to tell when the transaction is over.
    async fn learn_within(
        &self,
        transaction: TransactionId,
        change: &AcceptedChange,
        read: &Arc<Knowledge>,
    ) {
        let is_known = self.state().transactions.knows(transaction, change);
        if !is_known {
            self.look_within(transaction, change, read).await;
            let state = self.state();
            if let Some(read) = read.take() {
                state.transactions.learn(transaction, change, read);
            }
        }
    }

    /// Stores the record of a new key, remembers the mutation, and sets the last write time.
    ///
    /// # Errors
    /// Those of the requests. The mutation is part of the transaction unless it was a creation whose
    /// key could not be stored.
    pub async fn finish_within(self: &Arc<Self>, accepted: Accepted) -> Result<(), Errno> {
        let mut accepted = accepted;
        let write_time = accepted.write_time.take();
        if let Some(new_key) = accepted.new_key.take() {
            self.env.yield_point("create the key record").await;
            self.create_record_within(&accepted, new_key).await?;
        }
        self.state().transactions.log(accepted.within.id, accepted.logged);
        if let Some((key, may_be_gone)) = write_time {
            self.env.yield_point("write the last write time").await;
            match self.write_time(key).await {
                Err(Failure::Refused(Status::NotFound)) if may_be_gone => {}
                written => written?,
            }
        }
        Ok(())
    }

    /// A path entry whose key was refused is taken back, so that the commit leaves none without.
    async fn create_record_within(
        self: &Arc<Self>,
        created: &Accepted,
        new_key: NewKey,
    ) -> Result<(), Errno> {
        let NewKey { create, take_back } = new_key;
        let Accepted { within, slot, .. } = *created;
        let late = || self.late_record_within(created.clone(), take_back.clone());
        match self.ask_in(Some(within.id), slot, create.clone(), Some(late())).await {
            Ok(_) => Ok(()),
            Err(Failure::Refused(status)) => {
                self.env.yield_point("take the path entry back").await;
                self.have_done(Some(within), slot, take_back).await;
                Err(Failure::Refused(status).creation_errno())
            }
            Err(failure) => {
                let unsent = RequestError::TimedOut { dispatched: false };
                if failure == Failure::Unanswered(unsent) {
                    // The entry stands, so its record has to follow whenever there is a slot.
                    self.connection(slot).send(Some(within.id_at_source), create, Some(late()));
                }
                Err(failure.errno())
            }
        }
    }
}
