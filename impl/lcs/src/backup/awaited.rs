//! Answers that come in the order in which they were asked for, so that whoever needs the first of
//! several can wait for a later one: then it is woken once for all of them.

use std::pin::Pin;

use abi::Errno;
use futures::future::{BoxFuture, FutureExt, MaybeDone, maybe_done};

/// An answer that is to come, or has come and not been taken.
pub struct Awaited<T>(MaybeDone<BoxFuture<'static, Result<T, Errno>>>);

impl<T> Awaited<T> {
    /// What `answer` comes to.
    pub fn new(answer: impl Future<Output = Result<T, Errno>> + Send + 'static) -> Self {
        Self(maybe_done(answer.boxed()))
    }

    /// Whether it is there.
    pub fn has_come(&mut self) -> bool {
        (&mut self.0).now_or_never().is_some()
    }

    /// Waits for it, and leaves it there.
    pub async fn come(&mut self) {
        (&mut self.0).await;
    }

    /// Waits for it.
    ///
    /// # Errors
    /// Its own.
    pub async fn take(mut self) -> Result<T, Errno> {
        self.come().await;
        // Nobody else takes it: this takes the whole.
        Pin::new(&mut self.0).take_output().unwrap_or(Err(Errno::EIO))
    }
}
