//! Statuses that an operation cannot have (PSD-005 §7.2, §7.3).

use registry_model::input::SourceId;

use super::frame::{Guid, Operation, Request};
use super::records::{Moment, Records};
use super::rules::{Failure, Held, Rule};
use super::transactions::Transactions;

const NOT_FOUND: u32 = 1;
const STORAGE_ERROR: u32 = 3;
const NOT_EMPTY: u32 = 4;
const CONDITION_FAILED: u32 = 8;
const NOT_SUPPORTED: u32 = 9;

/// What a request has that decides which statuses its answer may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answerable {
    /// A write whose condition may fail.
    is_conditional: bool,
    /// A removal of a value of this key, which was there when it was sent.
    removes_from: Option<(SourceId, Guid)>,
    /// An abort of this transaction, which its source has open.
    aborts_open: bool,
}

impl Answerable {
    /// Of a request that is about to be sent.
    pub(super) fn of(
        request: &Request<'_>,
        source: SourceId,
        transactions: &Transactions,
        records: &Records,
    ) -> Answerable {
        let mut of = Answerable::default();
        match *request {
            Request::SetValue { expected_sequence, .. } => {
                of.is_conditional = expected_sequence != 0
            }
            Request::DeleteValueEntry { guid, .. } => {
                of.removes_from = Some((source, guid)).filter(|place| records.is_present(*place));
            }
            Request::AbortTransaction { transaction } => {
                of.aborts_open = transactions.owes_abort(transaction)
                    && transactions.source(transaction) == Some(source);
            }
            _ => {}
        }
        of
    }
}

/// Requires that the operation can be answered so.
pub(super) fn judge(
    held: &mut Held,
    records: &Records,
    (operation, of, asked): (Operation, Answerable, Moment),
    status: u32,
) -> Result<(), Failure> {
    let is_allowed = match status {
        NOT_FOUND => match operation {
            Operation::DropKey | Operation::DeleteLayer => false,
            Operation::DeleteValueEntry => {
                !of.removes_from.is_some_and(|place| records.is_present_since(place, asked))
            }
            _ => true,
        },
        NOT_EMPTY => operation == Operation::DropKey,
        CONDITION_FAILED => of.is_conditional,
        NOT_SUPPORTED => operation == Operation::BeginTransaction,
        _ => true,
    };
    let is_aborted = !of.aborts_open || matches!(status, 0 | STORAGE_ERROR);
    let message = || format!("{} was answered {status}", operation.name());
    if !(is_allowed && is_aborted) {
        return Err(Failure::new(Rule::StatusOfOperation, message()));
    }
    if status == CONDITION_FAILED {
        held.mark(Rule::StatusOfOperation);
    }
    Ok(())
}
