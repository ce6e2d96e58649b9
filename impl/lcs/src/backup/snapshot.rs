//! Read-only transactions, from the request that begins one to the abort that releases it (PSD-005
//! §6.3, §7.2; `TXN-*`, D-15, P-234).

use std::sync::Arc;

use abi::Errno;
use futures::channel::oneshot;
use rsi::{Request, Response, TransactionId};

use super::channel::Channel;
use crate::env::Env;
use crate::kernel::{Kernel, answered};
use crate::source::AnyEffect;
use crate::state::{HiveId, SlotId};
use crate::turns::{Place, Share};

/// The mode of a transaction that only reads (PSD-005 §7.2).
const READ_ONLY: u32 = 1;

/// A snapshot at a source. Dropping it releases it too, with nobody waiting.
pub struct Snapshot<E: Env> {
    /// To ask within it.
    pub channel: Channel<E>,
    is_released: bool,
    _place: SnapshotPlace<E>,
}

/// One of a source's places for snapshots.
struct SnapshotPlace<E: Env> {
    kernel: Arc<Kernel<E>>,
    slot: SlotId,
}

impl<E: Env> Kernel<E> {
    /// Begins a read-only transaction.
    ///
    /// # Errors
    /// EIO for a source that is Down, EBUSY for one snapshot too many, ENOTSUP where the source has
    /// none, and those of a request.
    pub async fn take_snapshot(self: &Arc<Self>, hive: HiveId) -> Result<Snapshot<E>, Errno> {
        let slot = hive.slot;
        let (place, transaction) = {
            let mut state = self.state();
            if !state.is_active(slot) {
                return Err(Errno::EIO);
            }
            let snapshots_max = self.parameters.read_only_transactions_max();
            let transaction = state.transactions.begin_snapshot(slot, snapshots_max)?;
            (SnapshotPlace { kernel: Arc::clone(self), slot }, transaction)
        };
        self.wait_for_resumption(slot).await;
        let whole = self.turns.take(Place::Whole(hive), Share::Read).await;
        let channel = Channel {
            kernel: Arc::clone(self),
            connection: self.connection(slot),
            transaction,
            hive,
        };
        let request = Request::BeginTransaction { transaction: transaction.0, mode: READ_ONLY };
        let begun = channel.connection.request(self.request_deadline(), Some(transaction), request);
        answered(begun.await)?;
        drop(whole);
        Ok(Snapshot { channel, is_released: false, _place: place })
    }
}

impl<E: Env> Snapshot<E> {
    /// Releases it and waits until the source has done so, but no longer than for any request.
    pub async fn release(mut self) {
        self.is_released = true;
        let (sender, receiver) = oneshot::channel::<()>();
        // The abort goes out whenever there is a slot for it, also after the wait.
        let answered = Box::new(move |_: Response| drop(sender));
        self.send_abort(Some(answered));
        self.channel.kernel.within_request_timeout(receiver).await;
    }

    fn send_abort(&self, answered: Option<AnyEffect>) {
        let Channel { connection, transaction, .. } = &self.channel;
        let TransactionId(id) = *transaction;
        let request = Request::AbortTransaction { transaction: id };
        connection.send(Some(*transaction), request, answered);
    }
}

impl<E: Env> Drop for Snapshot<E> {
    fn drop(&mut self) {
        if !self.is_released {
            self.send_abort(None);
        }
    }
}

impl<E: Env> Drop for SnapshotPlace<E> {
    fn drop(&mut self) {
        self.kernel.state().transactions.end_snapshot(self.slot);
    }
}
