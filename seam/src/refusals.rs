//! What a source refuses that it could do, since a plan says so.

use registry_model::input::CommitRefusal;
use rsi::{Request, Status};

/// `RSI_TXN_READ_WRITE` (PSD-005 §11.1).
const RSI_TXN_READ_WRITE: u32 = 0;

/// `RSI_TXN_READ_ONLY`.
const RSI_TXN_READ_ONLY: u32 = 1;

/// What a source refuses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refusals {
    /// Its next commit.
    pub commit: Option<CommitRefusal>,
    /// Transactions for reading and writing.
    pub transactions: bool,
    /// Those for reading only.
    pub snapshots: bool,
}

impl Refusals {
    /// The status to answer with instead of carrying a request out.
    pub fn of(&mut self, request: &Request) -> Option<Status> {
        match request {
            Request::CommitTransaction { .. } => self.commit.take().map(|refusal| match refusal {
                CommitRefusal::Busy => Status::TransactionBusy,
                CommitRefusal::Failed => Status::StorageError,
            }),
            Request::BeginTransaction { mode, .. } => {
                let is_refused = match *mode {
                    RSI_TXN_READ_WRITE => self.transactions,
                    RSI_TXN_READ_ONLY => self.snapshots,
                    _ => false,
                };
                is_refused.then_some(Status::TransactionNotSupported)
            }
            _ => None,
        }
    }
}
