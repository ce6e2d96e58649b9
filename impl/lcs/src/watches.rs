//! Watches: who is told of which change, and how it is read (PSD-005 §4, §6.3, §11.2; `WATCH-*`,
//! `DISP-*`, D-11, D-64, D-70..D-78).
//!
//! A mutation's before is looked at in the mutation's own turns, its events are queued in the
//! moment in which it is published ([`publication`]), and a layer operation does the same for all
//! that is watched ([`layer_events`]). The map of watches is plain data ([`map`]).

mod knowledge;
mod known;
pub mod layer_events;
mod map;
mod publication;
mod queue;
mod record;
#[cfg(test)]
mod tests;

use abi::layout::NotifyArgs;
use abi::{Errno, KEY_NOTIFY, REG_NOTIFY_ALL};

use crate::env::{Env, UserMemory};
use crate::ioctls::Call;
use crate::kernel::Kernel;
use crate::key_file::KeyFile;
use crate::user;
pub use crate::watches::knowledge::{Knowledge, Question, UnderWay};
pub use crate::watches::known::Known;
pub use crate::watches::map::{Arming, WatchId, WatchMap};
pub use crate::watches::publication::{Overtaken, Publication, Scale};

/// POLLIN of Linux.
const POLLIN: i64 = 0x01;

impl<E: Env> Kernel<E> {
    /// `REG_IOC_NOTIFY`. No source is asked, so it works while one is Down.
    pub(crate) fn ioctl_notify(&self, call: Call<'_, E>) -> Result<(), Errno> {
        let Call { file, argument, memory, .. } = call;
        let args: NotifyArgs = user::read(memory, argument)?;
        if args.pad != [0; 3] || args.subtree > 1 || args.filter & !REG_NOTIFY_ALL != 0 {
            return Err(Errno::EINVAL);
        }
        file.require(KEY_NOTIFY)?;
        let mut state = self.state();
        let armed = file.watch().filter(|id| state.watches.is_armed(*id));
        if args.filter == 0 {
            if let Some(id) = armed {
                state.watches.disarm(id);
            }
            return Ok(());
        }
        if armed.is_none() && state.is_orphaned(file.key()) {
            return Err(Errno::ENOENT);
        }
        let id = file.watch_or_insert_with(|| state.watches.new_id());
        state.watches.arm(id, &file.position, args.filter, args.subtree == 1);
        Ok(())
    }

    /// `read(2)` of a key fd: as many whole records as fit. A read that is refused takes nothing out
    /// (P-149).
    ///
    /// # Errors
    /// EFAULT for a buffer that is not writable throughout, EAGAIN when there is nothing to read,
    /// EINVAL when the first record does not fit.
    pub fn read_events(
        &self,
        file: &KeyFile<E>,
        buffer: u64,
        length: u64,
        memory: &dyn UserMemory,
    ) -> Result<i64, Errno> {
        if length > 0 && !memory.is_writable(buffer, length) {
            return Err(Errno::EFAULT);
        }
        let id = file.watch().ok_or(Errno::EAGAIN)?;
        let capacity = usize::try_from(length).unwrap_or(usize::MAX);
        let mut state = self.state();
        let (bytes, count) = state.watches.peek(id, capacity)?;
        memory.write(buffer, &bytes)?;
        state.watches.remove(id, count);
        i64::try_from(bytes.len()).map_err(|_| Errno::EINVAL)
    }

    /// `poll(2)` of a key fd.
    pub fn poll_events(&self, file: &KeyFile<E>) -> i64 {
        let readable = file.watch().is_some_and(|id| self.state().watches.is_readable(id));
        if readable { POLLIN } else { 0 }
    }
}
