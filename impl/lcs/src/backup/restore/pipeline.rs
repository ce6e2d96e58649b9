//! Mutations of a restore on their way to the source: sent in order, several at a time, and answered
//! for in that order too (`RST-80`, P-224).

use std::collections::VecDeque;

use crate::backup::awaited::Awaited;
use crate::limits::RESTORE_REQUESTS_MAX;
use abi::Errno;

/// An answer that is to come.
pub type Pending = Awaited<()>;

/// See the module.
pub struct Pipeline {
    pending: VecDeque<Pending>,
    pending_max: usize,
}

impl Pipeline {
    /// One of a source that takes `in_flight_max` requests at a time, of which it uses a part.
    pub fn new(in_flight_max: usize) -> Self {
        let pending_max = (in_flight_max / 4).clamp(1, RESTORE_REQUESTS_MAX);
        Self { pending: VecDeque::new(), pending_max }
    }

    /// Adds a request that has been sent, and waits for the older half if they are too many: for many at
    /// a time, so that neither side wakes the other for each request.
    ///
    /// # Errors
    /// That of the first one that failed.
    pub async fn push(&mut self, pending: Pending) -> Result<(), Errno> {
        self.pending.push_back(pending);
        if self.pending.len() <= self.pending_max {
            return Ok(());
        }
        self.wait_until(self.pending_max / 2).await
    }

    /// Waits for all.
    ///
    /// # Errors
    /// As [`Pipeline::push`].
    pub async fn drain(&mut self) -> Result<(), Errno> {
        self.wait_until(0).await
    }

    async fn wait_until(&mut self, left: usize) -> Result<(), Errno> {
        let newest = self.pending.len().checked_sub(left + 1);
        if let Some(newest) = newest.and_then(|newest| self.pending.get_mut(newest)) {
            newest.come().await;
        }
        while self.pending.len() > left {
            if let Some(oldest) = self.pending.pop_front()
                && let Err(errno) = oldest.take().await
            {
                self.pending.clear();
                return Err(errno);
            }
        }
        Ok(())
    }
}
