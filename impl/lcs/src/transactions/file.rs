//! What a transaction fd is: a transaction, which its last reference aborts unless it has ended
//! (PSD-005 §5.1, §6.1; `SYS-10`..`SYS-12`, `TXN-33`, `TXN-36`). It does not know numbers or tables
//! of fds.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::channel::oneshot;
use futures::future::select;
use rsi::TransactionId;

use super::table::End;
use crate::env::Env;
use crate::kernel::Kernel;

/// An open file description of a transaction.
pub struct TransactionFile<E: Env> {
    kernel: Arc<Kernel<E>>,
    /// The transaction.
    pub id: TransactionId,
    closed: AtomicBool,
}

impl<E: Env> TransactionFile<E> {
    /// The description of a transaction that has just begun.
    pub fn new(kernel: Arc<Kernel<E>>, id: TransactionId) -> Self {
        Self { kernel, id, closed: AtomicBool::new(false) }
    }

    /// Closes the description and waits until the source has aborted the transaction.
    pub async fn close(self) {
        if let Some(abort) = self.release() {
            abort.await;
        }
    }

    fn release(&self) -> Option<impl Future<Output = ()> + Send + 'static + use<E>> {
        if self.closed.swap(true, Ordering::Relaxed) {
            return None;
        }
        let aborted = self.kernel.end_transaction(self.id, End::Aborted);
        self.kernel.state().transactions.forget(self.id);
        let kernel = self.kernel.begin_operation();
        aborted.map(|aborted| async move { kernel.within_request_timeout(aborted).await })
    }
}

impl<E: Env> Drop for TransactionFile<E> {
    fn drop(&mut self) {
        if let Some(abort) = self.release() {
            self.kernel.spawn(abort);
        }
    }
}

impl<E: Env> Kernel<E> {
    /// Waits for an answer no longer than a request may take. What was sent stays sent.
    pub async fn within_request_timeout(&self, answered: oneshot::Receiver<()>) {
        let timer = pin!(self.env.sleep_until(self.request_deadline()));
        select(answered, timer).await;
    }
}
