//! Watches: arming a key fd, and reading and polling what it was told.
//!
//! States PSD-005 §4.1, §4.2 and REG_IOC_NOTIFY of §6.3, in the order of D-11, with D-64, D-71 to D-77
//! and P-140 to P-149. A watch belongs to an open file description, whoever holds an fd of it. How an
//! event is written is in `records`, how a queue overflows in `queue`, what a change is in `difference`,
//! and who is told of it in `dispatch`. Knows nothing of what a call changes, nor why.

mod causes;
mod difference;
mod dispatch;
mod marks;
mod pool;
mod queue;
mod records;
#[cfg(test)]
mod tests;
mod unanswered;

use crate::abi;
use crate::coverage::covers;
use crate::database::{Guid, HiveId};
use crate::errno::Errno;
use crate::front_door::OutputBuffer;
use crate::input::Fd;
use crate::observation::PollEvents;
use crate::outcome::Outcome;
use crate::security::rights;
use crate::state::{DescriptionId, State, Witness};
use crate::step::Work;
pub(crate) use difference::resolve_alike;
pub(crate) use dispatch::{
    Batch, Died, changed, changed_somehow, is_unknown, layers_changed, orphaned_late,
    possible_after_death, restored, resumed, unknown,
};
pub use queue::QueuedEvents;
use queue::{Next, Queue};
pub(crate) use records::describe;
use records::split;
pub(crate) use unanswered::possible_unanswered;

/// `REG_NOTIFY_VALUE`.
pub const REG_NOTIFY_VALUE: u32 = 0x01;
/// `REG_NOTIFY_SUBKEY`.
pub const REG_NOTIFY_SUBKEY: u32 = 0x02;
/// `REG_NOTIFY_SD`.
pub const REG_NOTIFY_SD: u32 = 0x04;
/// `REG_NOTIFY_ALL`.
pub const REG_NOTIFY_ALL: u32 = REG_NOTIFY_VALUE | REG_NOTIFY_SUBKEY | REG_NOTIFY_SD;

/// The watch of an open file description (SYS-03).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    hive: HiveId,
    /// The key object that it stays with (DISP-01).
    key: Guid,
    /// `REG_NOTIFY_*` bits, at least one.
    filter: u32,
    subtree: bool,
    queue: Queue,
    since_armed: Witness<SinceArmed>,
}

/// What has happened since a watch was armed.
#[derive(Clone, Copy, Debug, Default)]
struct SinceArmed {
    /// Events were read.
    is_read: bool,
    /// Its source has come back.
    is_resumed: bool,
    /// It was told of a change.
    is_told: bool,
    /// How often it was told that its key is out of view, also before it was armed anew.
    times_lost: u64,
    /// How often it was told of a change, also before it was armed anew.
    times_told: u64,
}

/// `REG_IOC_NOTIFY`. It asks nothing of a source (P-145).
pub(crate) fn notify(
    work: &mut Work<'_>,
    fd: Fd,
    filter: u32,
    subtree: u8,
) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    if filter & !REG_NOTIFY_ALL != 0 || subtree > 1 {
        return Err(Errno::EINVAL);
    }
    covers!(work.covered, "CONST-40", "ABI-31");
    abi::granted(work, &open, rights::KEY_NOTIFY)
        .inspect_err(|_| covers!(work.covered, "IOC-136", "SEC-50"))?;
    let armed = work.state.watches.get(&open.description).cloned();
    let is_orphaned = work.state.is_orphaned(&open);
    if filter == 0 {
        if let Some(armed) = armed {
            covers!(work.covered, "WATCH-03", "DISP-14", "IOC-140");
            if !armed.queue.is_empty() {
                covers!(work.covered, "DISP-15");
            }
        }
        if work.state.watches.remove_mut(&open.description) {
            work.state.forget_ends(open.description);
            work.state.disarmed.0.insert_mut(open.description);
            work.state.untold.0.remove_mut(&open.description);
        }
        return Ok(Outcome::Done);
    }
    if armed.is_none() && is_orphaned {
        covers!(work.covered, "DEL-44", "IOC-142", "ERR-12");
        return Err(Errno::ENOENT);
    }
    let former = armed.as_ref().map(|armed| armed.since_armed.0).unwrap_or_default();
    let since_armed =
        Witness(SinceArmed { is_read: false, is_resumed: false, is_told: false, ..former });
    let queue = match armed {
        // What is queued stays (D-72).
        Some(armed) => {
            covers!(work.covered, "DISP-10", "IOC-139");
            if armed.filter != filter {
                covers!(work.covered, "DISP-11");
            }
            if armed.subtree != (subtree == 1) {
                covers!(work.covered, "DISP-12");
            }
            if is_orphaned {
                covers!(work.covered, "DEL-40", "IOC-143");
            }
            armed.queue
        }
        None => Queue::default(),
    };
    let (hive, key) = (open.hive(), open.key());
    let watch = Watch { hive, key, filter, subtree: subtree == 1, queue, since_armed };
    work.state.watches.insert_mut(open.description, watch);
    if !work.state.disarmed.0.is_empty() {
        work.state.disarmed.0.remove_mut(&open.description);
    }
    Ok(Outcome::Done)
}

/// `read(2)` on a key fd: as many whole events as there is room for (WATCH-49). It needs no right and no
/// source (P-145, P-149).
pub(crate) fn read(work: &mut Work<'_>, fd: Fd, buffer: OutputBuffer) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    abi::outputs(work, &[buffer])?;
    let watch = work.state.watches.get(&open.description).cloned();
    let Some(watch) = watch.filter(|watch| !watch.queue.is_empty()) else {
        if work.state.untold.0.remove_mut(&open.description) {
            covers!(work.covered, "TXN-54", "DISP-46", "WATCH-11");
        }
        // An fd that is not armed is one that nothing comes in on (D-77).
        return Err(Errno::EAGAIN);
    };
    let capacity = buffer.capacity as usize;
    let fits = watch.queue.next_fits(capacity);
    if fits == Next::TooLong {
        covers!(work.covered, "WATCH-50");
        return Err(Errno::EINVAL);
    }
    if fits == Next::Either {
        work.alternatives.push(Outcome::Failed(Errno::EINVAL));
    }
    let events = QueuedEvents::new(open.description, watch.queue.clone(), capacity);
    covers!(work.if_done, "WATCH-05", "WATCH-49", "DISP-28", "IOC-138");
    covers!(work.if_done, "ABI-04", "ABI-14", "ABI-37", "CONST-39", "WATCH-15", "WATCH-52");
    let example = events.example();
    if watch.queue.shows_order(split(&example).map_or(0, |read| read.len())) {
        covers!(work.if_done, "WATCH-04");
    }
    if watch.queue.length_in_bytes() > capacity {
        covers!(work.if_done, "WATCH-51");
    } else if work.state.untold.0.remove_mut(&open.description) && !watch.queue.has_overflow() {
        // All that was told is read, and nothing of it was lost.
        covers!(work.if_done, "TXN-54", "DISP-46", "WATCH-11");
    }
    records::mark(&example, &mut work.if_done);
    Ok(Outcome::Events(events))
}

/// `poll(2)` on a key fd, which is readable while there are events (DISP-26).
pub(crate) fn poll(work: &mut Work<'_>, fd: Fd) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    let watch = work.state.watches.get(&open.description);
    let readable = watch.is_some_and(|watch| !watch.queue.is_empty());
    match (watch, readable) {
        (Some(_), true) => covers!(work.covered, "DISP-26", "IOC-137", "SYS-06"),
        (Some(_), false) => covers!(work.covered, "DISP-26", "DISP-27", "SYS-06"),
        (None, _) => {}
    }
    Ok(Outcome::Polled(PollEvents { readable, terminal: false }))
}

/// The last fd of an open file description is closed (WATCH-03).
pub(crate) fn closed(work: &mut Work<'_>, description: DescriptionId) {
    let is_idle = work.state.watches.is_empty() && work.state.disarmed.0.is_empty();
    if is_idle || work.state.is_description_open(description) {
        return;
    }
    work.state.disarmed.0.remove_mut(&description);
    work.state.untold.0.remove_mut(&description);
    if work.state.watches.remove_mut(&description) {
        covers!(work.covered, "WATCH-03");
    }
}

impl State {
    /// Whether there is a watch in this hive that has not overflowed, for marks.
    pub(crate) fn may_overflow_in(&self, hive: HiveId) -> bool {
        self.watches.values().any(|watch| watch.hive == hive && !watch.queue.has_overflow())
    }

    /// What is left in the queue of a watch after it was read.
    pub(crate) fn was_read(&mut self, description: DescriptionId, rest: Queue) {
        if let Some(watch) = self.watches.get(&description) {
            let mut watch = Watch { queue: rest, ..watch.clone() };
            watch.since_armed.0.is_read = true;
            self.watches.insert_mut(description, watch);
        }
    }
}
