//! Fds beside the calls that make them: passing one on, and closing it.
//!
//! States PSD-005 §6.1 ("Key fds", "Fd delegation") and the end of an orphan of §2.8. What a key fd
//! holds is in `state`.

use crate::abi;
use crate::backup::streams;
use crate::coverage::covers;
use crate::database::{Guid, HiveId};
use crate::errno::Errno;
use crate::in_flight::Sent;
use crate::input::{Fd, ProcessId};
use crate::late::{Change, Late};
use crate::late_kept::Rest;
use crate::outcome::{Opened, Outcome};
use crate::step::Work;
use crate::transactions::calls;
use crate::watches;

/// A key fd goes to a process, which may be the caller's own: the same open key, with the mask that
/// its opener was granted, whoever gets it.
pub(crate) fn pass(work: &mut Work<'_>, fd: Fd, to: ProcessId) -> Result<Outcome, Errno> {
    if let Some(transaction) = work.state.transaction_of(work.caller.process, fd) {
        return Ok(calls::pass(transaction, to));
    }
    if let Some(stream) = streams::stream_of(work, fd) {
        return Ok(streams::pass(stream, to));
    }
    let key = abi::key_fd(work, fd)?;
    if to != work.caller.process {
        covers!(work.covered, "SYS-07");
    }
    Ok(Outcome::Passed(Opened { process: to, key, disposition: None }))
}

/// `close(2)`.
pub(crate) fn close(work: &mut Work<'_>, fd: Fd) -> Result<Outcome, Errno> {
    if let Some(transaction) = work.state.transaction_of(work.caller.process, fd) {
        return Ok(calls::close(work, fd, transaction));
    }
    if let Some(stream) = streams::stream_of(work, fd) {
        return Ok(streams::close(work, fd, stream));
    }
    let open = abi::key_fd(work, fd)?;
    covers!(work.covered, "SYS-04");
    work.state.open_keys.remove_mut(&(work.caller.process, fd));
    watches::closed(work, open.description);
    let (hive, key) = (open.hive(), open.key());
    if work.state.orphans.contains(&(hive, key)) && !work.state.is_open(hive, key) {
        work.state.orphans.remove_mut(&(hive, key));
        drop_orphan(work, hive, key);
    }
    Ok(Outcome::Done)
}

/// The last close of an orphan. RSI_DROP_KEY waits for the write lock and for a slot, and may be given up: nothing
/// leads to the record then (P-156, P-342, P-365).
fn drop_orphan(work: &mut Work<'_>, hive: HiveId, key: Guid) {
    if work.state.lock_holder(hive).is_some() {
        covers!(work.covered, "DEL-51");
        work.state.undropped.insert_mut((hive, key));
        return;
    }
    if !work.state.is_active(hive) {
        covers!(work.covered, "DEL-49");
        return;
    }
    covers!(work.covered, "DEL-33");
    if work.state.layer_orphans.0.contains(&(hive, key)) {
        covers!(work.covered, "FAIL-45");
    }
    if work.state.is_stalled(hive) {
        work.state.undropped.insert_mut((hive, key));
        drop_late(work, hive, key);
    } else {
        covers!(work.if_done, "DEL-23");
        work.state.database_mut(hive).drop_key(key);
    }
}

/// The drop of an orphan by a source that does not answer comes behind what that has kept, if it gets a slot (P-365).
fn drop_late(work: &mut Work<'_>, hive: HiveId, key: Guid) {
    let sent = work.state.has_slot(hive);
    let unsent = work.state.clone();
    if sent != Sent::Never {
        work.state.will_arrive(Late::new(hive, Change::Drop(key), Rest::default(), None));
    }
    if sent == Sent::Perhaps {
        work.otherwise.push((Outcome::Done, unsent));
    }
}
