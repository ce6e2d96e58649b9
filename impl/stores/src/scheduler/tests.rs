//! A backend that loses its transaction at the first commit, as SQLite does on an I/O error.

use rsi::{Guid, Request, RequestFrame, RequestId, Response, Status, TransactionId};

use super::Scheduler;
use crate::backend::{Backend, Outcome, Refusal, View};
use crate::task::{Read, Write};
use crate::{HiveInfo, Store};

const KEY: Guid = Guid([7; 16]);

#[derive(Default)]
struct Forgetful {
    infos: Vec<HiveInfo>,
    /// Drops written in the open transaction.
    open: Option<u32>,
    committed: u32,
    failures_left: u32,
    begins_refused: bool,
}

impl Backend for Forgetful {
    fn hives(&self) -> &[HiveInfo] {
        &self.infos
    }

    fn max_sequence(&self) -> u64 {
        0
    }

    fn locate(&mut self, _: Guid) -> Result<Option<usize>, Refusal> {
        Ok(Some(0))
    }

    fn has_entries_of(&mut self, _: usize, _: Write<'_>) -> Result<bool, Refusal> {
        Ok(false)
    }

    fn read(&mut self, _: usize, _: View, _: Read<'_>) -> Outcome {
        Ok(Response::Done)
    }

    fn write(&mut self, _: usize, view: View, _: Write<'_>, _: u64) -> Outcome {
        match (view, &mut self.open) {
            (View::Writer, Some(writes)) => *writes += 1,
            _ => self.committed += 1,
        }
        Ok(Response::Done)
    }

    fn delete_layer(&mut self, _: &str) -> Outcome {
        Ok(Response::Done)
    }

    fn flush(&mut self, _: usize) -> Outcome {
        Ok(Response::Done)
    }

    fn begin(&mut self, _: usize) -> Result<(), Refusal> {
        if self.begins_refused {
            return Err(Status::StorageError.into());
        }
        self.open = Some(0);
        Ok(())
    }

    fn is_open(&self, _: usize) -> bool {
        self.open.is_some()
    }

    fn commit(&mut self, _: usize) -> Result<(), Refusal> {
        let writes = self.open.take();
        if self.failures_left > 0 {
            self.failures_left -= 1;
            return Err(Status::StorageError.into());
        }
        self.committed += writes.unwrap_or(0);
        Ok(())
    }

    fn rollback(&mut self, _: usize) {
        self.open = None;
    }

    fn take_snapshot(&mut self, _: TransactionId) -> Result<(), Refusal> {
        Ok(())
    }

    fn release_snapshot(&mut self, _: TransactionId) {}
}

/// A scheduler with transaction 5 bound by two mutations, whose commits will fail so many times.
fn bound(failures_left: u32) -> Scheduler<Forgetful> {
    let infos = vec![HiveInfo { name: "Machine".to_owned(), root: Guid([1; 16]) }];
    let mut scheduler = Scheduler::new(Forgetful { infos, failures_left, ..Forgetful::default() });
    let drop_key = Request::DropKey { guid: KEY };
    for request in
        [Request::BeginTransaction { transaction: 5, mode: 0 }, drop_key.clone(), drop_key]
    {
        assert_eq!(within(&mut scheduler, request), Response::Done);
    }
    scheduler
}

fn within(scheduler: &mut Scheduler<Forgetful>, request: Request) -> Response {
    let transaction = Some(TransactionId(5));
    scheduler.submit(RequestFrame { id: RequestId(1), transaction, request }, 0);
    scheduler.poll(0).expect("an answer").response
}

const COMMIT: Request = Request::CommitTransaction { transaction: 5 };

#[test]
fn a_failed_commit_applies_nothing_and_can_be_asked_again() {
    let mut scheduler = bound(2);
    for _ in 0..2 {
        assert_eq!(within(&mut scheduler, COMMIT), Response::Failed(Status::StorageError));
        assert_eq!(scheduler.backend.committed, 0);
    }
    assert_eq!(within(&mut scheduler, COMMIT), Response::Done);
    assert_eq!(scheduler.backend.committed, 2);
}

#[test]
fn a_transaction_goes_on_after_a_failed_commit() {
    let mut scheduler = bound(1);
    assert_eq!(within(&mut scheduler, COMMIT), Response::Failed(Status::StorageError));
    assert_eq!(within(&mut scheduler, Request::DropKey { guid: KEY }), Response::Done);
    assert_eq!(within(&mut scheduler, COMMIT), Response::Done);
    assert_eq!(scheduler.backend.committed, 3);
}

#[test]
fn an_abort_after_a_failed_commit_leaves_nothing() {
    let mut scheduler = bound(1);
    assert_eq!(within(&mut scheduler, COMMIT), Response::Failed(Status::StorageError));
    let abort = Request::AbortTransaction { transaction: 5 };
    assert_eq!(within(&mut scheduler, abort), Response::Done);
    assert_eq!(within(&mut scheduler, COMMIT), Response::Failed(Status::Invalid));
    assert_eq!(scheduler.backend.committed, 0);
}

#[test]
fn a_transaction_that_cannot_be_brought_back_is_a_storage_error() {
    let mut scheduler = bound(1);
    within(&mut scheduler, COMMIT);
    scheduler.backend.begins_refused = true;
    let read = Request::ReadKey { guid: KEY };
    assert_eq!(within(&mut scheduler, read), Response::Failed(Status::StorageError));
    assert_eq!(within(&mut scheduler, COMMIT), Response::Failed(Status::StorageError));
    scheduler.backend.begins_refused = false;
    assert_eq!(within(&mut scheduler, COMMIT), Response::Done);
    assert_eq!(scheduler.backend.committed, 2);
}
