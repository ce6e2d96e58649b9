//! A source that reads and keeps what comes and answers nothing, until it is released.
//!
//! Shared by the process, which keeps, and the world, which stalls and releases. Knows nothing of
//! requests and responses but their bytes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use crate::source::Armed;
use seam::lock;

/// What a stalled source has, in the order in which it came by it.
pub enum Kept {
    /// A request that it has read.
    Request(Vec<u8>),
    /// The response to one that it has carried out.
    Response(Vec<u8>),
}

/// Whether one process of a source is stalled.
#[derive(Clone, Default)]
pub struct Stall(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    phase: Phase,
    armed: Option<Armed>,
    kept: VecDeque<Kept>,
    /// Of the process, which waits for a request.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Serving,
    Stalled,
    /// Released, with something left that was kept.
    Releasing,
}

impl Stall {
    /// Stalls the source from now on. Returns whether it did not yet.
    pub fn begin(&self) -> bool {
        let mut inner = lock(&self.0);
        inner.armed = None;
        let is_new = inner.phase == Phase::Serving;
        inner.phase = Phase::Stalled;
        is_new
    }

    /// Lets it stall at a coming request, unless it is stalled.
    pub fn arm(&self, armed: Armed) {
        let mut inner = lock(&self.0);
        if inner.phase == Phase::Serving {
            inner.armed = Some(armed);
        }
    }

    /// Lets the process go on, and takes away what was armed. Returns whether it was stalled.
    pub fn release(&self) -> bool {
        let mut inner = lock(&self.0);
        inner.armed = None;
        if inner.phase != Phase::Stalled {
            return false;
        }
        inner.phase = Phase::Releasing;
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
        true
    }

    /// Whether nothing that was kept is left, and nothing is kept.
    pub fn is_serving(&self) -> bool {
        lock(&self.0).phase == Phase::Serving
    }

    /// Whether nothing may be answered.
    pub fn is_stalled(&self) -> bool {
        lock(&self.0).phase == Phase::Stalled
    }

    /// Counts a request towards an armed stall; says whether it begins with it, and whether the
    /// request is carried out then.
    pub fn count(&self) -> Option<bool> {
        let mut inner = lock(&self.0);
        let stall = inner.armed.as_mut()?;
        stall.requests_left = stall.requests_left.saturating_sub(1);
        if stall.requests_left > 0 {
            return None;
        }
        inner.phase = Phase::Stalled;
        inner.armed.take().map(|stall| stall.executed)
    }

    /// Keeps something.
    pub fn keep(&self, kept: Kept) {
        lock(&self.0).kept.push_back(kept);
    }

    /// The first request that was kept, if the source is stalled.
    pub fn first_request(&self) -> Option<Vec<u8>> {
        let inner = lock(&self.0);
        inner.kept.iter().find_map(|kept| match kept {
            Kept::Request(bytes) => Some(bytes.clone()),
            Kept::Response(_) => None,
        })
    }

    /// What was kept first, of a source that is released; with the last of it the source serves again.
    pub fn take(&self) -> Option<Kept> {
        let mut inner = lock(&self.0);
        if inner.phase != Phase::Releasing {
            return None;
        }
        let next = inner.kept.pop_front();
        if next.is_none() {
            inner.phase = Phase::Serving;
        }
        next
    }

    /// Waits until the source is released.
    pub async fn released(&self) {
        poll_fn(|context| {
            let mut inner = lock(&self.0);
            if inner.phase == Phase::Releasing {
                return Poll::Ready(());
            }
            inner.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
