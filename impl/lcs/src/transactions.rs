//! Transactions: several mutations of one hive that a source carries out together, or not at all.
//!
//! The source keeps what is not committed yet and shows it to the transaction alone; the kernel
//! keeps a log of what it will have to do at the commit, and until then changes nothing else of
//! what it knows. One operation of a transaction runs at a time; in a bound transaction it waits
//! for no turn that a write outside may hold, since that write may be waiting, at the source, for
//! this transaction's end. States PSD-005 §5.1, §6.2 (reg_begin_transaction) and §10.1 (transaction
//! timeout); `TXN-*`, D-12, D-13, D-20, D-23, D-80..D-83.

mod commit;
mod file;
mod late;
mod log;
mod mutation;
mod table;

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use abi::layout::TransactionStatusArgs;
use abi::{Errno, POLLERR, POLLHUP};
use futures::channel::oneshot;
use futures::future::{Either, select};
use rsi::{Request, Response, TransactionId};

pub use self::file::TransactionFile;
pub use self::late::Within;
pub use self::log::Logged;
use self::table::{Binding, Ended};
pub use self::table::{End, Transactions};
use crate::env::{Env, UserMemory};
use crate::kernel::{Failure, Kernel};
use crate::name::FoldedName;
use crate::process::Process;
use crate::read_ioctls::validate_writable;
use crate::source::{AnyEffect, RequestError};
use crate::state::{HiveId, KeyId, SlotId};
use crate::turns::{Place, Share, Turn};
use crate::user;
use crate::watches::{Knowledge, Known};

/// The mode of a transaction that writes (PSD-005 §7.2).
const READ_WRITE: u32 = 0;
/// The transaction fd of none.
const NO_FD: i32 = -1;

/// A call's part in a transaction: while it lasts, no mutation of another call comes between, and
/// the transaction's fd may be closed without ending it.
pub struct Enlisted<E: Env>(Option<(Arc<TransactionFile<E>>, Turn)>);

impl<E: Env> Enlisted<E> {
    /// The transaction, if there is one.
    pub fn transaction(&self) -> Option<TransactionId> {
        self.0.as_ref().map(|(file, _)| file.id)
    }
}

/// Beginning and ending.
impl<E: Env> Kernel<E> {
    /// `reg_begin_transaction`. No source hears of it (`SYS-92`, `SYS-95`).
    pub fn begin_transaction(self: &Arc<Self>) -> Arc<TransactionFile<E>> {
        let deadline = self.env.now().saturating_add(self.parameters.transaction_timeout_ns());
        let (id, ended) = {
            let transactions = &mut self.state().transactions;
            let id = transactions.begin(deadline);
            (id, transactions.end_of(id))
        };
        // No task that anybody waits for: most of them run out with their transactions.
        let (kernel, timer) = (self.downgrade(), self.env.sleep_until(deadline));
        self.env.spawn(Box::pin(async move {
            if let Either::Right(_) = select(ended, pin!(timer)).await
                && let Some(core) = kernel.upgrade()
            {
                drop(core.begin_operation().end_transaction(id, End::TimedOut));
            }
        }));
        Arc::new(TransactionFile::new(Arc::clone(self), id))
    }

    /// Ends a transaction that has not ended, and has its source abort it where the source does not
    /// know yet (`TXN-45`..`TXN-47`). A loss or an abort after its lifetime comes too late, though its timer
    /// has not come to run (§5.1, P-158). Completes when the source has answered.
    pub fn end_transaction(&self, id: TransactionId, end: End) -> Option<oneshot::Receiver<()>> {
        let is_over = self.state().transactions.is_due(id, self.env.now());
        let end = match end {
            End::Aborted | End::SourceDown if is_over => End::TimedOut,
            end => end,
        };
        let ended = self.state().transactions.end(id, end);
        let Ended { binding, commit_in_flight, .. } = ended?;
        match end {
            End::Aborted | End::TimedOut if !commit_in_flight => self.send_abort(binding?),
            _ => None,
        }
    }

    /// `RSI_ABORT_TRANSACTION`, which goes out whenever there is a slot for it. A connection that
    /// has ended took the source's side of the transaction with it.
    fn send_abort(&self, binding: Binding) -> Option<oneshot::Receiver<()>> {
        let Binding { id_at_source, .. } = binding;
        let slot = binding.hive.slot;
        let connection = {
            let state = self.state();
            let slot = state.slot(slot);
            (slot.incarnation == binding.incarnation).then(|| slot.connection.clone())?
        };
        let (sender, receiver) = oneshot::channel();
        let answered = Box::new(move |_: Response| drop(sender));
        let request = Request::AbortTransaction { transaction: id_at_source.0 };
        connection.send(Some(id_at_source), request, Some(answered));
        Some(receiver)
    }

    /// Ends a transaction whose time is up, though its timer has not come to run.
    fn expire_if_due(&self, id: TransactionId) {
        if self.state().transactions.is_due(id, self.env.now()) {
            drop(self.end_transaction(id, End::TimedOut));
        }
    }

    /// A connection has ended, and every transaction that was bound on it (`TXN-17`).
    pub fn lose_transactions(&self, slot: SlotId, incarnation: u64) {
        let bound = self.state().transactions.bound_on(slot, incarnation);
        for id in bound {
            drop(self.end_transaction(id, End::SourceDown));
        }
    }

    /// Aborts the transactions that have written into layers which are about to be deleted, and
    /// waits for commits that are past that (`DEL-16`..`DEL-19`).
    pub async fn abort_writers_of(&self, layers: impl Iterator<Item = &FoldedName>) {
        let writers: Vec<TransactionId> = {
            let transactions = &self.state().transactions;
            layers.flat_map(|layer| transactions.writers_of(layer)).collect()
        };
        for id in writers {
            if self.state().transactions.is_committing(id) {
                drop(self.turns.take(Place::Transaction(id), Share::Alone).await);
            }
            if let Some(aborted) = self.end_transaction(id, End::Aborted) {
                self.within_request_timeout(aborted).await;
            }
        }
    }

    /// What `poll(2)` reports of a transaction fd (`TXN-41`).
    pub fn poll_transaction(&self, file: &TransactionFile<E>) -> i64 {
        self.expire_if_due(file.id);
        match self.state().transactions.check_active(file.id) {
            Ok(()) => 0,
            Err(_) => POLLERR | POLLHUP,
        }
    }

    /// `REG_IOC_TXN_STATUS`.
    ///
    /// # Errors
    /// EFAULT.
    pub fn transaction_status(
        &self,
        file: &TransactionFile<E>,
        argument: u64,
        memory: &dyn UserMemory,
    ) -> Result<(), Errno> {
        validate_writable::<TransactionStatusArgs>(memory, argument)?;
        self.expire_if_due(file.id);
        let status = self.state().transactions.status(file.id);
        user::write(memory, argument, &status)
    }
}

/// Taking part.
impl<E: Env> Kernel<E> {
    /// Makes a call part of the transaction that it names, if it names one. A call that only reads
    /// shares its turn with others that do.
    ///
    /// # Errors
    /// EBADF for no transaction's fd, EINVAL, ETIMEDOUT and EIO for one that has ended, EXDEV for
    /// one that is bound to another hive.
    pub async fn enlist(
        &self,
        process: &Process<E>,
        txn_fd: i32,
        share: Share,
        hive: HiveId,
    ) -> Result<Enlisted<E>, Errno> {
        let enlisted = self.enlist_unchecked(process, txn_fd, share).await?;
        if let Some(id) = enlisted.transaction() {
            self.state().transactions.check_usable(id, hive)?;
        }
        Ok(enlisted)
    }

    /// As [`Kernel::enlist`], of a transaction in whatever state and hive: a creation asks for that
    /// when it has found that there is a key to be made (D-23).
    ///
    /// # Errors
    /// EBADF.
    pub async fn enlist_unchecked(
        &self,
        process: &Process<E>,
        txn_fd: i32,
        share: Share,
    ) -> Result<Enlisted<E>, Errno> {
        if txn_fd == NO_FD {
            return Ok(Enlisted(None));
        }
        let file = process.transaction(txn_fd)?;
        let turn = self.turns.take(Place::Transaction(file.id), share).await;
        self.expire_if_due(file.id);
        Ok(Enlisted(Some((file, turn))))
    }

    /// A key as a transaction sees it: once that is bound, questions about the key are asked in it,
    /// before they are ordinary ones (`TXN-18`, `TXN-19`).
    pub fn key_within(&self, transaction: Option<TransactionId>, key: KeyId) -> KeyId {
        let is_bound = |id: &TransactionId| self.state().transactions.binding(*id).is_some();
        KeyId { transaction: transaction.filter(is_bound), ..key }
    }

    /// A turn that readers or writers outside transactions take, which an operation of a bound
    /// transaction goes without.
    pub async fn turn_outside(&self, key: KeyId, place: Place, share: Share) -> Option<Turn> {
        match key.transaction {
            Some(_) => None,
            None => Some(self.turns.take(place, share).await),
        }
    }

    /// As [`Kernel::turn_outside`], for an operation that only reads. It waits no longer than a request
    /// may take: whatever changes the place, readers go on (P-266).
    pub async fn turn_to_read(&self, key: KeyId, place: Place) -> Option<Turn> {
        let mut turn = pin!(self.turn_outside(key, place, Share::Read));
        if let Poll::Ready(turn) = futures::poll!(turn.as_mut()) {
            return turn;
        }
        let timer = pin!(self.env.sleep_until(self.request_deadline()));
        match select(turn, timer).await {
            Either::Left((turn, _)) => turn,
            Either::Right(_) => None,
        }
    }

    /// Accepts a mutation into a transaction, as far as that can be done before it is sent: there is
    /// room for it in the log, and the transaction is bound to the hive from now on (D-12, D-80).
    ///
    /// # Errors
    /// ENOMEM, EIO for a source that is Down, EBUSY for one transaction too many on the source, ENOTSUP where the source has none,
    /// and those of a request. A transaction that could not be bound is as before; one whose source has gone since it
    /// was bound has ended.
    pub async fn join(
        &self,
        transaction: Option<TransactionId>,
        hive: HiveId,
    ) -> Result<(), Errno> {
        let Some(id) = transaction else { return Ok(()) };
        let incarnation = {
            let mut state = self.state();
            state.transactions.check_usable(id, hive)?;
            state.transactions.check_room(id)?;
            if state.transactions.binding(id).is_some() {
                return Ok(());
            }
            if !state.is_active(hive.slot) {
                return Err(Errno::EIO);
            }
            let bound_max = self.parameters.bound_transactions_max();
            state.transactions.reserve(id, hive.slot, bound_max)?;
            state.slot(hive.slot).incarnation
        };
        let mut reservation = Reservation { kernel: self, id, is_settled: false };
        self.env.yield_point("bind a transaction").await;
        let id_at_source = self.state().transactions.id_at_source(id);
        let request = Request::BeginTransaction { transaction: id_at_source.0, mode: READ_WRITE };
        let begun = self.ask_unchecked(Some(id), hive.slot, request, None).await;
        reservation.is_settled = !matches!(
            begun,
            Err(Failure::Unanswered(
                RequestError::TimedOut { dispatched: true } | RequestError::Malformed(_)
            ))
        );
        begun?;
        let binding = Binding { hive, incarnation, id_at_source };
        let (bound, is_lost) = {
            let mut state = self.state();
            let known = Knowledge::under_way(Known::nothing(), &mut state.under_way);
            let bound = state.transactions.bind(id, binding, known);
            let is_same = state.slot(hive.slot).incarnation == incarnation;
            (bound, !(is_same && state.is_active(hive.slot)))
        };
        drop(reservation);
        if is_lost {
            // The connection ended behind its answer, and the transaction with it (P-401).
            drop(self.end_transaction(id, End::SourceDown));
            return self.state().transactions.check_active(id).and(Err(Errno::EIO));
        }
        if bound.is_err() {
            drop(self.send_abort(binding));
        }
        bound
    }

    /// Sends a request of a transaction, or of none, and waits for its answer. Nothing is sent in a
    /// transaction that has ended, and its end tells more than what the source says of it then.
    pub async fn ask_in(
        &self,
        transaction: Option<TransactionId>,
        slot: SlotId,
        request: Request,
        effect: Option<AnyEffect>,
    ) -> Result<Response, Failure> {
        self.check_not_over(transaction)?;
        let answer = self.ask_unchecked(transaction, slot, request, effect).await;
        self.check_not_over(transaction)?;
        answer
    }

    /// What a source knows a transaction by.
    pub fn id_at_source(&self, transaction: Option<TransactionId>) -> Option<TransactionId> {
        transaction.map(|id| self.state().transactions.id_at_source(id))
    }

    /// Whether a transaction, if there is one, goes on.
    ///
    /// # Errors
    /// What its end makes of every use.
    pub fn check_not_over(&self, transaction: Option<TransactionId>) -> Result<(), Failure> {
        let Some(id) = transaction else { return Ok(()) };
        self.state().transactions.check_active(id).map_err(Failure::TransactionOver)
    }
}

/// A place among the bound transactions of a source, given back unless the binding succeeds, even
/// if the caller goes away meanwhile.
struct Reservation<'a, E: Env> {
    kernel: &'a Kernel<E>,
    id: TransactionId,
    /// Whether it is known if the source has begun it.
    is_settled: bool,
}

impl<E: Env> Drop for Reservation<'_, E> {
    fn drop(&mut self) {
        let transactions = &mut self.kernel.state().transactions;
        transactions.give_back(self.id);
        if !self.is_settled {
            transactions.renew_id(self.id);
        }
    }
}
