//! A mutation in a transaction: what the source is told at once, and what is kept for the commit.
//! What follows outside a transaction at once, follows there; the last write time and the record of
//! a new key go with the mutation (PSD-005 §5.1, §6.3; `TXN-50`..`TXN-52`, P-08).

use std::sync::Arc;

use abi::Errno;
use rsi::{Request, Response, Status, TransactionId};

use super::log::Logged;
use crate::change::AcceptedChange;
use crate::env::Env;
use crate::kernel::{Failure, Kernel};
use crate::mutation::{Change, FollowUp, NewKey, Scope, Told};
use crate::security::Sid;
use crate::source::{LateEffect, RequestError};
use crate::state::{KeyId, SlotId};
use crate::turns::Turn;
use crate::watches::Known;

/// What remains to be done of a mutation that the source has accepted.
#[derive(Clone)]
struct Accepted {
    transaction: TransactionId,
    slot: SlotId,
    logged: Logged,
    new_key: Option<NewKey>,
    /// The key whose last write time is set, and whether it may be gone.
    write_time: Option<(KeyId, bool)>,
}

impl<E: Env> Kernel<E> {
    /// As [`Kernel::mutate`], in a transaction that [`Kernel::join`] has bound.
    #[expect(clippy::too_many_arguments, reason = "all that there is to say of a mutation")]
    pub async fn mutate_within(
        self: &Arc<Self>,
        transaction: TransactionId,
        change: &Change,
        layer: Option<Turn>,
        request: Request,
        follow_up: FollowUp,
        creator: Option<Sid>,
        told: Told,
    ) -> Result<Result<(), Errno>, Failure> {
        let hive = change.hive;
        self.learn_within(transaction, &told.change, told.known).await;
        let is_path = matches!(change.scope, Scope::Name { .. });
        let logged = Logged::of(told.change, &change.scope, &follow_up, creator);
        let write_time = follow_up.write_time.map(|guid| {
            let key = KeyId { transaction: Some(transaction), ..KeyId::in_hive(hive, guid) };
            (key, is_path)
        });
        let new_key = follow_up.create_key;
        let accepted = Accepted { transaction, slot: hive.slot, logged, new_key, write_time };
        let late = self.late_acceptance(&accepted);
        self.ask_in(Some(transaction), hive.slot, request, Some(late)).await?;
        let finished = self.finish_within(accepted).await;
        drop(layer);
        Ok(finished)
    }

    /// Remembers how what a mutation changes is before the transaction changes it, as far as the
    /// transaction has not changed it yet. That is asked within the transaction: from outside, a
    /// source may only be able to tell when the transaction is over.
    async fn learn_within(&self, transaction: TransactionId, change: &AcceptedChange, read: Known) {
        let is_known = self.state().transactions.knows(transaction, change);
        if !is_known {
            let read = self.look_within(transaction, change, read).await;
            self.state().transactions.learn(transaction, change, read);
        }
    }

    /// Stores the record of a new key, remembers the mutation, and sets the last write time.
    async fn finish_within(self: &Arc<Self>, accepted: Accepted) -> Result<(), Errno> {
        let Accepted { transaction, slot, logged, new_key, write_time } = accepted;
        if let Some(new_key) = new_key {
            self.env.yield_point("create the key record").await;
            self.create_record_within(transaction, slot, new_key, &logged).await?;
        }
        self.state().transactions.log(transaction, logged);
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
        transaction: TransactionId,
        slot: SlotId,
        new_key: NewKey,
        logged: &Logged,
    ) -> Result<(), Errno> {
        let NewKey { create, take_back } = new_key;
        let created =
            Accepted { transaction, slot, logged: logged.clone(), new_key: None, write_time: None };
        let late = self.late_acceptance(&created);
        let within = Some(transaction);
        match self.ask_in(within, slot, create.clone(), Some(late)).await {
            Ok(_) => Ok(()),
            Err(Failure::Refused(status)) => {
                self.env.yield_point("take the path entry back").await;
                let _ = self.ask_in(within, slot, take_back, None).await;
                // D-92: a key record that is there already is the source's fault.
                match Failure::Refused(status).errno() {
                    Errno::EEXIST => Err(Errno::EIO),
                    errno => Err(errno),
                }
            }
            Err(Failure::Unanswered(RequestError::TimedOut { dispatched: false })) => {
                // The entry stands, so its record has to follow whenever there is a slot.
                let late = self.late_acceptance(&created);
                self.connection(slot).send(within, create, Some(late));
                Err(Errno::ETIMEDOUT)
            }
            Err(failure) => Err(failure.errno()),
        }
    }

    /// What happens when a mutation's success comes after its caller has gone.
    fn late_acceptance(self: &Arc<Self>, accepted: &Accepted) -> LateEffect {
        let (kernel, accepted) = (Arc::clone(self), accepted.clone());
        Box::new(move |response| {
            if response == Response::Done {
                let task_kernel = Arc::clone(&kernel);
                kernel.spawn(async move {
                    // Nobody is left to be told of a failure.
                    let _ = task_kernel.finish_within(accepted).await;
                });
            }
        })
    }
}
