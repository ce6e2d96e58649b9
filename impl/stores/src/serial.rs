//! An adapter for stores that answer each request on the spot.
//!
//! It knows nothing of what a request means; order of answers is order of requests.

use std::collections::VecDeque;

use rsi::{Request, RequestFrame, Response, ResponseFrame, TransactionId};

use crate::{HiveInfo, Store};

/// A store of one function.
pub trait SerialStore: Send {
    /// Carries a request out. `transaction` is that of the frame's header; `now` is Unix
    /// nanoseconds.
    fn execute(
        &mut self,
        transaction: Option<TransactionId>,
        request: &Request,
        now: u64,
    ) -> Response;

    /// See [`Store::hives`].
    fn hives(&self) -> &[HiveInfo];

    /// See [`Store::max_sequence`].
    fn max_sequence(&self) -> u64;
}

/// Makes a [`Store`] of a [`SerialStore`].
#[derive(Debug)]
pub struct Serial<S> {
    store: S,
    ready: VecDeque<ResponseFrame>,
}

impl<S: SerialStore> Serial<S> {
    /// Wraps a store that has no request in it yet.
    pub fn new(store: S) -> Serial<S> {
        Serial { store, ready: VecDeque::new() }
    }
}

impl<S: SerialStore> Store for Serial<S> {
    fn submit(&mut self, frame: RequestFrame, now: u64) {
        let response = self.store.execute(frame.transaction, &frame.request, now);
        let operation = frame.request.operation();
        self.ready.push_back(ResponseFrame { id: frame.id, operation, response });
    }

    fn poll(&mut self, _now: u64) -> Option<ResponseFrame> {
        self.ready.pop_front()
    }

    fn next_wake(&self) -> Option<u64> {
        None
    }

    fn hives(&self) -> &[HiveInfo] {
        self.store.hives()
    }

    fn max_sequence(&self) -> u64 {
        self.store.max_sequence()
    }
}

#[cfg(test)]
mod tests {
    use rsi::{Guid, Operation, Request, RequestFrame, RequestId, Response, Status, TransactionId};

    use super::{Serial, SerialStore};
    use crate::{HiveInfo, Store};

    struct Refuser;

    impl SerialStore for Refuser {
        fn execute(&mut self, _: Option<TransactionId>, _: &Request, _: u64) -> Response {
            Response::Failed(Status::StorageError)
        }

        fn hives(&self) -> &[HiveInfo] {
            &[]
        }

        fn max_sequence(&self) -> u64 {
            0
        }
    }

    #[test]
    fn a_serial_store_answers_in_order_under_the_request_id() {
        let mut store = Serial::new(Refuser);
        for id in [7, 9] {
            let request = Request::ReadKey { guid: Guid::NULL };
            store.submit(RequestFrame { id: RequestId(id), transaction: None, request }, 0);
        }
        let ids: Vec<_> = std::iter::from_fn(|| store.poll(0))
            .map(|frame| (frame.id.0, frame.operation))
            .collect();
        assert_eq!(ids, [(7, Operation::ReadKey), (9, Operation::ReadKey)]);
    }
}
