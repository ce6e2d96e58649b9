//! What a restore does: teardown, rebuild and commit in one transaction, and what follows from it.
//!
//! States PSD-005 §9.1 ("Restore semantics", "Sequence remapping") behind the START event, and §10.1 for a source
//! that dies or does not answer meanwhile, with D-81, D-110, P-205 to P-208, P-213, P-231 and P-340 to P-342. What
//! follows from the commit is in `restored`.

use std::collections::BTreeSet;

use super::is_any_denied;
use super::prologue::{Checks, Marks, Prologue};
use super::rebuilding::Rebuilding;
use super::restored::Restored;
use super::snapshot::subtree;
use super::streams::{self, Position, StreamId};
use crate::audit_events::looked_at;
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId};
use crate::errno::Errno;
use crate::input::CommitRefusal;
use crate::outcome::Outcome;
use crate::resolution::Viewer;
use crate::responses::Malformed;
use crate::security::{Privilege, rights};
use crate::state::{OpenKey, State};
use crate::step::Work;
use crate::transactions::enlistment;
use crate::transactions::take_refusal;

/// The work of a restore.
pub(super) fn restore(
    work: &mut Work<'_>,
    open: &OpenKey,
    stream: StreamId,
) -> Result<Outcome, Errno> {
    let (hive, target) = (open.hive(), open.key());
    let rest = streams::rest_of(&work.state, stream);
    work.request(hive)?;
    work.may_look_for(hive, target);
    // Something may have been read before the key is looked for, or nothing (P-340, P-500).
    let unread = work.state.clone();
    streams::was_read(&mut work.state, stream, Position::Somewhere);
    work.may_look_for(hive, target);
    work.may_have_ended_uncounted_in(work.state.clone());
    work.may_stall_at(hive);
    let Some(record) = work.state.database(hive).keys.get(&target).cloned() else {
        covers!(work.covered, "CONV-35", "ERR-12");
        work.otherwise.push((Outcome::Failed(Errno::ENOENT), unread));
        return Err(Errno::ENOENT);
    };
    let Some(bytes) = rest else {
        work.outside = Some("a restore from the middle of a stream");
        return Ok(Outcome::Nothing);
    };
    let has_tcb_privilege = work.caller.token.has_privilege(Privilege::Tcb);
    let (limits, layers) = (work.state.limits, work.state.layers.clone());
    let checks = Checks { target: &record, limits: &limits, layers: &layers, has_tcb_privilege };
    let mut marks = Marks::default();
    let prologue = Prologue::read(&bytes, &checks, &mut marks);
    work.covered.add(&marks.refused);
    let prologue = prologue?;
    enlistment::lock(work, hive)?;
    // Bad SDs are in nobody's way, and may be reported (P-112, P-208).
    work.audit.extend(looked_at(&work.state));
    check_teardown(&work.state, open).map_err(|malformed| work.rejected.by(hive, malformed))?;
    let (state, removed) = torn_down(&work.state, open);
    let (mut rebuilding, reader) =
        Rebuilding::begin(state, open, has_tcb_privilege, removed, (prologue, marks));
    let result = rebuilding.read(reader);
    work.covered.add(&rebuilding.marks.refused);
    let (mut done, has_numbers) = (rebuilding.marks.done, !rebuilding.highest.is_empty());
    collisions(work, &rebuilding);
    numbers_sent(work, hive, &rebuilding.highest);
    let result = result.and_then(|()| {
        let restored = Restored::of(open, rebuilding);
        restored.commit_may_stall(work);
        refused(work, hive)?;
        Ok(restored)
    });
    if has_numbers {
        match result {
            Ok(_) => covers!(done, "RST-70", "RST-71", "RST-77"),
            Err(_) => covers!(work.covered, "RST-78"),
        }
    }
    let restored = result?;
    work.covered.add(&done);
    commit(work, stream, &restored);
    Ok(Outcome::Done)
}

/// What the source answers while the teardown finds out what there is.
///
/// # Errors
///
/// If anything but an SD is malformed (P-208).
fn check_teardown(state: &State, open: &OpenKey) -> Result<(), Malformed> {
    let viewer = Viewer::global();
    let resolver = state.kernel_resolver(open.hive(), &viewer);
    let ignored = &mut Covered::new();
    let mut found: Option<Malformed> = None;
    for key in subtree(resolver.database, open.key()) {
        for result in
            [resolver.check_children(key, ignored), resolver.check_all_values(key, ignored)]
        {
            if let Err(malformed) = result {
                found = Some(found.map_or(malformed, |former| former.and(malformed)));
            }
        }
    }
    found.map_or(Ok(()), Err)
}

/// The registry without the contents and the descendants of a key, and which these were.
fn torn_down(state: &State, open: &OpenKey) -> (State, BTreeSet<Guid>) {
    let mut state = state.clone();
    let database = state.database_mut(open.hive());
    let keys = subtree(database, open.key());
    for key in &keys {
        database.path_entries.remove_mut(key);
        database.values.remove_mut(key);
        database.blankets.remove_mut(key);
        if *key != open.key() {
            database.keys.remove_mut(key);
        }
    }
    (state, keys.into_iter().filter(|key| *key != open.key()).collect())
}

/// Where the GUID of a dropped orphan came, its record may still have been there (P-342).
fn collisions(work: &mut Work<'_>, rebuilding: &Rebuilding) {
    for sent in &rebuilding.collisions {
        let mut state = work.state.clone();
        if let Some(number) = rebuilding.highest[..*sent].last() {
            state.next_sequence = number.saturating_add(1);
        }
        work.otherwise.push((Outcome::Failed(Errno::EEXIST), state));
    }
}

/// `next_sequence` when the transaction is over, however it ends. A death of the source may have come after
/// each of the numbers, and each may be the last that was sent when an answer is missed.
fn numbers_sent(work: &mut Work<'_>, hive: HiveId, highest: &[u64]) {
    for number in highest {
        work.state.next_sequence = number.saturating_add(1);
        if work.is_interrupted() {
            covers!(work.covered, "RST-79");
        }
        work.may_have_ended_uncounted_in(work.state.clone());
        work.may_stall_at(hive);
    }
}

/// The commit may be refused (P-207).
fn refused(work: &mut Work<'_>, hive: HiveId) -> Result<(), Errno> {
    match take_refusal(&mut work.state, hive) {
        None => Ok(()),
        Some(CommitRefusal::Busy) => Err(Errno::EBUSY),
        Some(CommitRefusal::Failed) => Err(Errno::EIO),
    }
}

/// The commit, and what follows before the call returns.
fn commit(work: &mut Work<'_>, stream: StreamId, restored: &Restored) {
    covers!(work.covered, "BAK-03", "BAK-09", "RST-05", "IOC-163", "RST-19");
    let (hive, target) = (restored.hive(), restored.target());
    let keys = subtree(work.state.database(hive), target);
    if is_any_denied(work, hive, &keys, rights::KEY_WRITE) {
        covers!(work.covered, "IOC-161");
    }
    let may_not_write = is_any_denied(work, hive, &[target], rights::WRITE_DAC);
    let before = work.state.clone();
    restored.carry_out(&mut work.state);
    restored.mark_removed(&before, &work.state, &mut work.covered);
    let descriptor = |state: &State| {
        state.database(hive).keys.get(&target).map(|record| record.descriptor.clone())
    };
    if may_not_write && descriptor(&before) != descriptor(&work.state) {
        covers!(work.covered, "SRC-58");
    }
    streams::was_read(&mut work.state, stream, Position::End);
    // The source died when it had committed, and before the kernel knew (D-110).
    work.may_have_ended_uncounted_in(work.state.clone());
    work.state.is_durable(restored.hive());
    work.fails_as = Outcome::Done;
    restored.follow(work, &before);
}
