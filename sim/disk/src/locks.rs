//! The locks of one file: the five levels of a database file, and the eight of a WAL index.
//!
//! The rules are those that SQLite documents for `xLock` and `xShmLock`. A lock never waits:
//! SQLite asks again.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

/// The number of locks of a WAL index (`SQLITE_SHM_NLOCK`).
const SHM_LOCKS: usize = 8;

/// How far a handle has locked a file; the values are SQLite's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Not at all.
    #[default]
    None = 0,
    /// Reading.
    Shared = 1,
    /// Going to write; others may read.
    Reserved = 2,
    /// Waiting for the readers to leave.
    Pending = 3,
    /// Writing, alone.
    Exclusive = 4,
}

impl Level {
    /// The level of SQLite's number for it.
    pub(crate) fn from_code(code: i32) -> Option<Level> {
        [Level::None, Level::Shared, Level::Reserved, Level::Pending, Level::Exclusive]
            .into_iter()
            .find(|level| *level as i32 == code)
    }
}

/// Who holds what on a database file.
#[derive(Debug, Default)]
pub(crate) struct FileLocks {
    shared: u32,
    /// The level of the one handle above `Shared`, if there is one.
    writer: Level,
}

impl FileLocks {
    /// Raises a handle from `held` to `wanted` and returns the level it has then, which is lower
    /// than `wanted` when others are in the way.
    pub(crate) fn raise(&mut self, held: Level, wanted: Level) -> Level {
        if wanted <= held {
            return held;
        }
        if held == Level::None {
            if self.writer >= Level::Pending {
                return held;
            }
            self.shared += 1;
            // SQLite always passes through Shared; a higher request is answered by the next call.
            return Level::Shared;
        }
        if held == Level::Shared && self.writer > Level::Shared {
            return held;
        }
        let alone = self.shared == 1;
        self.writer = match wanted {
            Level::Exclusive if alone => Level::Exclusive,
            Level::Exclusive | Level::Pending => Level::Pending,
            _ => Level::Reserved,
        };
        self.writer
    }

    /// Lowers a handle from `held` to `wanted`, which is `Shared` or `None`.
    pub(crate) fn lower(&mut self, held: Level, wanted: Level) {
        if held > Level::Shared {
            self.writer = Level::None;
        }
        if held >= Level::Shared && wanted == Level::None {
            self.shared = self.shared.saturating_sub(1);
        }
    }

    /// Whether any handle is going to write.
    pub(crate) fn is_reserved(&self) -> bool {
        self.writer >= Level::Reserved
    }
}

/// The shared memory and the locks of one WAL index.
#[derive(Debug, Default)]
pub(crate) struct SharedMemory {
    /// Regions never move and never shrink while anyone holds this object. SQLite reads and
    /// writes them through raw pointers; atomics make that a change through a shared reference.
    regions: Mutex<Vec<Box<[AtomicU64]>>>,
    slots: Mutex<[Slot; SHM_LOCKS]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    shared: u32,
    exclusive: bool,
}

/// What one handle holds of a WAL index's locks, a bit for each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ShmHeld {
    shared: u8,
    exclusive: u8,
}

impl SharedMemory {
    /// The address of a region of `size` bytes, or `None` if it is not there and not to be made.
    pub(crate) fn region(&self, index: usize, size: usize, extend: bool) -> Option<*mut u64> {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        if extend {
            while regions.len() <= index {
                regions.push((0..size.div_ceil(8)).map(|_| AtomicU64::new(0)).collect());
            }
        }
        regions.get(index).map(|region| region.as_ptr().cast_mut().cast())
    }

    /// Takes the locks `first..first + count` together or none of them.
    pub(crate) fn lock(
        &self,
        held: &mut ShmHeld,
        first: usize,
        count: usize,
        exclusive: bool,
    ) -> bool {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let range = first..(first + count).min(SHM_LOCKS);
        let free = range.clone().all(|index| {
            let (slot, bit) = (slots[index], 1_u8 << index);
            let own_shared = u32::from(held.shared & bit != 0);
            let own_exclusive = held.exclusive & bit != 0;
            if exclusive {
                slot.shared == own_shared && (!slot.exclusive || own_exclusive)
            } else {
                !slot.exclusive || own_exclusive
            }
        });
        if !free {
            return false;
        }
        for index in range {
            let bit = 1_u8 << index;
            if exclusive {
                slots[index].exclusive = true;
                held.exclusive |= bit;
            } else if held.shared & bit == 0 {
                slots[index].shared += 1;
                held.shared |= bit;
            }
        }
        true
    }

    /// Lets go of whatever `held` has of the locks `first..first + count`.
    pub(crate) fn unlock(&self, held: &mut ShmHeld, first: usize, count: usize) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for index in first..(first + count).min(SHM_LOCKS) {
            let bit = 1_u8 << index;
            if held.exclusive & bit != 0 {
                slots[index].exclusive = false;
            }
            if held.shared & bit != 0 {
                slots[index].shared = slots[index].shared.saturating_sub(1);
            }
            held.exclusive &= !bit;
            held.shared &= !bit;
        }
    }

    /// Lets go of everything that `held` has.
    pub(crate) fn unlock_all(&self, held: &mut ShmHeld) {
        self.unlock(held, 0, SHM_LOCKS);
    }
}

#[cfg(test)]
mod tests {
    use super::{FileLocks, Level, SharedMemory, ShmHeld};

    #[test]
    fn a_second_writer_is_refused_and_a_reader_is_not() {
        let mut locks = FileLocks::default();
        assert_eq!(locks.raise(Level::None, Level::Shared), Level::Shared);
        assert_eq!(locks.raise(Level::Shared, Level::Reserved), Level::Reserved);
        assert_eq!(locks.raise(Level::None, Level::Shared), Level::Shared);
        assert_eq!(locks.raise(Level::Shared, Level::Reserved), Level::Shared);
    }

    #[test]
    fn exclusive_waits_for_readers_as_pending_and_keeps_new_ones_out() {
        let mut locks = FileLocks::default();
        locks.raise(Level::None, Level::Shared);
        locks.raise(Level::None, Level::Shared);
        assert_eq!(locks.raise(Level::Shared, Level::Exclusive), Level::Pending);
        assert_eq!(locks.raise(Level::None, Level::Shared), Level::None);
        locks.lower(Level::Shared, Level::None);
        assert_eq!(locks.raise(Level::Pending, Level::Exclusive), Level::Exclusive);
    }

    #[test]
    fn wal_index_locks_exclude_each_other() {
        let memory = SharedMemory::default();
        let (mut a, mut b) = (ShmHeld::default(), ShmHeld::default());
        assert!(memory.lock(&mut a, 3, 1, false));
        assert!(memory.lock(&mut b, 3, 1, false));
        assert!(!memory.lock(&mut b, 2, 2, true));
        memory.unlock_all(&mut a);
        memory.unlock(&mut b, 3, 1);
        assert!(memory.lock(&mut b, 2, 2, true));
        assert!(!memory.lock(&mut a, 3, 1, false));
    }
}
