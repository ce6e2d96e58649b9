//! Where the harness's calls meet the kernel half: the same for every world that has one in its own
//! process, whatever runs it.
//!
//! May not know whether that is a simulator or real threads.

mod calls;
mod devices;
mod memory;
mod refusals;
mod stream;
mod tokens;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use calls::{Processes, plain_call};
pub use devices::{Devices, Serving, empty_store};
pub use memory::CallMemory;
pub use refusals::Refusals;
pub use stream::{MemoryStream, Streams};
pub use tokens::Tokens;

/// Locks; a panic elsewhere is reported by whoever catches it.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
