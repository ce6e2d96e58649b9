//! Restores: everything below a key is replaced by what a stream holds, in one transaction of the
//! source (PSD-005 §6.3, §9.1; `RST-*`, D-83, D-102..D-105, P-201..P-231).
//!
//! The transaction is one like those that have fds, but nobody else's, and without a lifetime. While
//! it lasts its source keeps others from changing the hive, and the closed gate keeps everybody from
//! getting sequence numbers from the first restored entry on. Reads go on.

mod commit;
mod judge;
mod manifest;
mod metadata_way;
mod pipeline;
mod rebuild;
mod section;
mod teardown;

use std::pin::pin;
use std::sync::Arc;

use abi::Errno;
use futures::future::{Either, select};
use rsi::TransactionId;

pub use self::commit::Restored;
use self::rebuild::Rebuild;
use super::channel::Channel;
use crate::env::Env;
use crate::kernel::Kernel;
use crate::key_file::KeyFile;
use crate::security::Token;
use crate::sequence_gate::HeldGate;
use crate::state::HiveId;
use crate::stream::Stream;
use crate::transactions::End;

/// The transaction of a restore. Dropping it aborts it, unless it has ended.
pub struct RestoreTransaction<E: Env> {
    /// To ask within it.
    channel: Channel<E>,
}

/// A transaction that nobody has begun at a source yet.
struct Unbegun<'a, E: Env> {
    kernel: &'a Kernel<E>,
    id: TransactionId,
    is_begun: bool,
}

impl<E: Env> Kernel<E> {
    /// Begins a restore's transaction; it counts as bound (D-15).
    ///
    /// # Errors
    /// EIO for a source that is Down, EBUSY for one transaction too many, ENOTSUP where the source has
    /// none, and those of a request.
    pub(super) async fn begin_restore(
        self: &Arc<Self>,
        hive: HiveId,
    ) -> Result<RestoreTransaction<E>, Errno> {
        let id = self.state().transactions.begin(u64::MAX);
        let mut unbegun = Unbegun { kernel: self, id, is_begun: false };
        let connection = self.connection(hive.slot);
        self.join(Some(id), hive).await?;
        unbegun.is_begun = true;
        let kernel = Arc::clone(self);
        Ok(RestoreTransaction { channel: Channel { kernel, connection, transaction: id, hive } })
    }

    /// Carries a restore out. The transaction has ended when this returns, and the gate is open.
    pub(super) async fn restore(
        self: &Arc<Self>,
        transaction: RestoreTransaction<E>,
        file: &KeyFile<E>,
        token: &Token,
        input: &dyn Stream,
    ) -> Result<(), Errno> {
        // Opens last of all, behind the end of the transaction (`RST-71`).
        let mut gate = None;
        let transaction = transaction;
        match self.rebuild(&transaction, file, token, input, &mut gate).await {
            Ok(restored) => self.commit_restore(transaction, restored, gate).await,
            Err(errno) => {
                transaction.abort().await;
                Err(errno)
            }
        }
    }

    /// All but the commit. A transaction that ends meanwhile is waited for no longer, be it that the
    /// stream has nothing to read.
    async fn rebuild(
        self: &Arc<Self>,
        transaction: &RestoreTransaction<E>,
        file: &KeyFile<E>,
        token: &Token,
        input: &dyn Stream,
        gate: &mut Option<HeldGate<E>>,
    ) -> Result<Restored, Errno> {
        let id = transaction.channel.transaction;
        let ended = self.state().transactions.end_of(id);
        let rebuilt = {
            let rebuild = Rebuild::run(&transaction.channel, file, token, input, gate);
            match select(pin!(rebuild), ended).await {
                Either::Left((rebuilt, _)) => rebuilt,
                Either::Right(_) => Err(Errno::EIO),
            }
        };
        // The end says more than what came of it.
        self.state().transactions.check_active(id)?;
        rebuilt
    }
}

impl<E: Env> RestoreTransaction<E> {
    /// Aborts it and waits for the source's answer, no longer than for any request.
    async fn abort(self) {
        let kernel = &self.channel.kernel;
        if let Some(aborted) = kernel.end_transaction(self.channel.transaction, End::Aborted) {
            kernel.within_request_timeout(aborted).await;
        }
    }
}

impl<E: Env> Drop for RestoreTransaction<E> {
    fn drop(&mut self) {
        let Channel { kernel, transaction, .. } = &self.channel;
        drop(kernel.end_transaction(*transaction, End::Aborted));
        kernel.state().transactions.forget(*transaction);
    }
}

impl<E: Env> Drop for Unbegun<'_, E> {
    fn drop(&mut self) {
        if !self.is_begun {
            self.kernel.state().transactions.forget(self.id);
        }
    }
}
