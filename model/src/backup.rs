//! Backup and restore.
//!
//! States REG_IOC_BACKUP and REG_IOC_RESTORE of PSD-005 §6.3 up to the START event, with D-15 and P-201.
//! The format is in `stream`, what a backup holds in `snapshot`, how an observed stream is compared with that
//! in `comparison`; how a stream is read for a restore is in `prologue` and `rebuilding`, and what a restore
//! brings in `restoring` and `restored`.

mod comparison;
mod guids;
mod prologue;
mod rebuilding;
pub(crate) mod restored;
mod restoring;
mod snapshot;
pub mod stream;
pub(crate) mod streams;

use std::sync::Arc;

use self::snapshot::{Snapshot, subtree};
use self::streams::{StreamId, Written};
use crate::abi;
use crate::audit_events::{Transfer, transfer_completed, transfer_started};
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId};
use crate::errno::Errno;
use crate::input::Fd;
use crate::outcome::Outcome;
use crate::security::{Privilege, SecurityDescriptor, Verdict, rights, verdict};
use crate::state::OpenKey;
use crate::step::Work;
use crate::transactions::enlistment;

/// `REG_IOC_BACKUP`.
pub(crate) fn backup(work: &mut Work<'_>, fd: Fd, output: Fd) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    if !work.caller.token.has_privilege(Privilege::Backup) {
        covers!(work.covered, "IOC-147", "ERR-27", "CONV-05");
        return Err(Errno::EPERM);
    }
    let stream = streams::of_mode(work, output, |access| access.is_writable())
        .inspect_err(|_| mark_wrong_fd(work, output, Transfer::Backup))?;
    not_orphaned(work, &open).inspect_err(|_| covers!(work.covered, "IOC-156", "DEL-39"))?;
    begin_snapshot(work, open.hive())?;
    if !enlistment::has_snapshots(&work.state, open.hive()) {
        covers!(work.covered, "IOC-157", "SRC-18", "SRC-40", "ERR-35");
        return Err(Errno::ENOTSUP);
    }
    covers!(work.covered, "IOC-150", "IOC-154", "AUD-09", "AUD-11", "CONST-19");
    start(work, Transfer::Backup, (open.key(), output));
    let result = take(work, &open, stream);
    complete(work, Transfer::Backup, open.key());
    covers!(work.covered, "AUD-12");
    result
}

/// RSI_BEGIN_TRANSACTION of a snapshot, which has the volatile data of every hive of the source (P-72).
///
/// # Errors
///
/// As of [`Work::request`].
fn begin_snapshot(work: &mut Work<'_>, hive: HiveId) -> Result<(), Errno> {
    work.request(hive)?;
    for other in work.state.hives_beside(hive) {
        work.may_be_busy_for_volatile_data(other);
    }
    Ok(())
}

/// The reading of the subtree, in a transaction that sees one moment of it.
fn take(work: &mut Work<'_>, open: &OpenKey, stream: StreamId) -> Result<Outcome, Errno> {
    let snapshot = Arc::new(Snapshot::of(work, open));
    // However it ends from here on, something may have been written by then (P-208, P-340). What is asked in the
    // snapshot waits for nobody (P-64).
    streams::written(&mut work.state, stream, Written::Beginning(snapshot.clone()));
    work.request_without_lock(open.hive())?;
    if !work.state.database(open.hive()).keys.contains_key(&open.key()) {
        covers!(work.covered, "CONV-35", "ERR-12");
        return Err(Errno::ENOENT);
    }
    let mut covered = work.covered;
    snapshot
        .check(&work.state, &mut covered)
        .map_err(|malformed| work.rejected.by(open.hive(), malformed))?;
    work.covered = covered;
    covers!(work.covered, "IOC-153", "IOC-155", "BAK-01", "BAK-02");
    let keys = subtree(work.state.database(open.hive()), open.key());
    if is_any_denied(work, open.hive(), &keys, rights::KEY_READ) {
        covers!(work.covered, "IOC-148");
    }
    if !enlistment::has_transactions(&work.state, open.hive()) {
        covers!(work.covered, "SRC-19");
    }
    streams::unwritten(&mut work.state, stream);
    streams::written(&mut work.state, stream, Written::Whole(snapshot));
    Ok(Outcome::Done)
}

/// `REG_IOC_RESTORE`.
pub(crate) fn restore(work: &mut Work<'_>, fd: Fd, input: Fd) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    if !work.caller.token.has_privilege(Privilege::Restore) {
        covers!(work.covered, "IOC-159", "ERR-27");
        return Err(Errno::EPERM);
    }
    let stream = streams::of_mode(work, input, |access| access.is_readable())
        .inspect_err(|_| mark_wrong_fd(work, input, Transfer::Restore))?;
    not_orphaned(work, &open)?;
    work.reach(open.hive())?;
    enlistment::check_limit(work, open.hive())?;
    work.request_without_lock(open.hive())?;
    if !enlistment::has_transactions(&work.state, open.hive()) {
        covers!(work.covered, "IOC-164", "RST-06", "ERR-35");
        return Err(Errno::ENOTSUP);
    }
    covers!(work.covered, "IOC-166", "AUD-09", "AUD-13", "CONST-20");
    start(work, Transfer::Restore, (open.key(), input));
    let result = restoring::restore(work, &open, stream);
    complete(work, Transfer::Restore, open.key());
    covers!(work.covered, "AUD-14");
    result
}

/// An fd is open and of no use for a transfer.
fn mark_wrong_fd(work: &mut Work<'_>, fd: Fd, transfer: Transfer) {
    covers!(work.covered, "ERR-36");
    if streams::stream_of(work, fd).is_some() {
        match transfer {
            Transfer::Backup => covers!(work.covered, "IOC-149"),
            Transfer::Restore => covers!(work.covered, "IOC-162"),
        }
    }
}

/// Whether a descriptor would deny the caller these rights at any of the keys, for marks.
fn is_any_denied(work: &Work<'_>, hive: HiveId, keys: &[Guid], desired: u32) -> bool {
    let (records, token) = (&work.state.database(hive).keys, &work.caller.token);
    let is_denied = |descriptor: &SecurityDescriptor| {
        verdict(token, descriptor, desired, &mut Covered::new()) == Verdict::Denied
    };
    let mut descriptors = keys.iter().filter_map(|key| records.get(key)?.descriptor.as_ref().ok());
    descriptors.any(|descriptor| is_denied(descriptor))
}

/// A key that is known to be no subtree root any more (D-64).
fn not_orphaned(work: &mut Work<'_>, open: &OpenKey) -> Result<(), Errno> {
    if work.state.is_orphaned(open) {
        covers!(work.covered, "ERR-12");
        return Err(Errno::ENOENT);
    }
    Ok(())
}

fn start(work: &mut Work<'_>, transfer: Transfer, (key, fd): (Guid, Fd)) {
    let token = &work.caller.token;
    let event = transfer_started(transfer, token, (key, fd), &mut work.covered);
    work.transfer_starts(event);
}

/// The end of what has started, behind whatever was rejected on the way.
fn complete(work: &mut Work<'_>, transfer: Transfer, key: Guid) {
    work.report_rejected();
    let event = transfer_completed(transfer, &work.caller.token, key, &mut work.covered);
    work.audit.push(event);
}
