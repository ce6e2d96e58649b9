//! What a restore does: teardown, rebuild and commit in one transaction, and what follows from it.
//!
//! States PSD-005 §9.1 ("Restore semantics", "Sequence remapping") behind the START event, the generation step
//! of §6.3, §2.8 for descendants that are open, §8.1 rules 2 and 3, and §10.1 for a source that dies meanwhile,
//! with D-76, D-81, D-105, D-110 and P-205 to P-213.

use std::collections::BTreeSet;

use super::prologue::{Checks, Prologue};
use super::rebuilding::Rebuilding;
use super::snapshot::subtree;
use super::streams::{self, Position, StreamId};
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId};
use crate::errno::Errno;
use crate::input::CommitRefusal;
use crate::layer_commit::committed_transaction;
use crate::layers::{Touched, machine};
use crate::names::FoldedName;
use crate::outcome::Outcome;
use crate::resolution::Viewer;
use crate::responses::Malformed;
use crate::security::Privilege;
use crate::state::{OpenKey, State};
use crate::step::Work;
use crate::transactions::enlistment;
use crate::transactions::take_refusal;
use crate::watches;

/// The work of a restore.
pub(super) fn restore(
    work: &mut Work<'_>,
    open: &OpenKey,
    stream: StreamId,
) -> Result<Outcome, Errno> {
    let (hive, target) = (open.hive(), open.key());
    let Some(record) = work.state.database(hive).keys.get(&target).cloned() else {
        covers!(work.covered, "CONV-35", "ERR-12");
        return Err(Errno::ENOENT);
    };
    let Some(bytes) = streams::rest_of(&work.state, stream) else {
        work.outside = Some("a restore from the middle of a stream");
        return Ok(Outcome::Nothing);
    };
    streams::was_read(&mut work.state, stream, Position::Somewhere);
    work.may_have_ended_uncounted_in(work.state.clone());
    let has_tcb_privilege = work.caller.token.has_privilege(Privilege::Tcb);
    let (limits, layers) = (work.state.limits, work.state.layers.clone());
    let checks = Checks { target: &record, limits: &limits, layers: &layers, has_tcb_privilege };
    let prologue = Prologue::read(&bytes, &checks, &mut work.covered)?;
    enlistment::lock(work, hive)?;
    check_teardown(&work.state, open).map_err(|malformed| work.rejected.by(hive, malformed))?;
    let (state, removed) = torn_down(&work.state, open, &mut work.covered);
    let (mut rebuilding, reader) =
        Rebuilding::begin(state, open, has_tcb_privilege, removed.clone(), prologue);
    let result = rebuilding.read(reader);
    work.covered.add(&rebuilding.covered);
    numbers_sent(work, hive, &rebuilding.highest);
    let refusal = result.and_then(|()| refused(work, hive));
    if let Err(errno) = refusal {
        covers!(work.covered, "RST-48", "RST-78", "IOC-165");
        return Err(errno);
    }
    commit(work, open, stream, rebuilding, &removed);
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
fn torn_down(state: &State, open: &OpenKey, covered: &mut Covered) -> (State, BTreeSet<Guid>) {
    covers!(covered, "RST-01", "RST-26", "RST-27", "RST-28", "RST-29", "RST-30", "IOC-160");
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

/// `next_sequence` when the transaction is over, however it ends. A death of the source may have come after
/// each of the numbers, and each may be the last that was sent when an answer is missed.
fn numbers_sent(work: &mut Work<'_>, hive: HiveId, highest: &[u64]) {
    for number in highest {
        work.state.next_sequence = number.saturating_add(1);
        covers!(work.covered, "RST-71", "RST-77");
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
fn commit(
    work: &mut Work<'_>,
    open: &OpenKey,
    stream: StreamId,
    rebuilding: Rebuilding,
    removed: &BTreeSet<Guid>,
) {
    covers!(work.covered, "BAK-03", "BAK-09", "RST-05", "RST-08", "RST-53", "IOC-085");
    let (hive, before) = (open.hive(), work.state.clone());
    let Rebuilding { state: rebuilt, created, .. } = rebuilding;
    let state = &mut work.state;
    state.databases.insert_mut(hive, rebuilt.database(hive).clone());
    state.guids = rebuilt.guids.clone();
    state.next_guid = rebuilt.next_guid;
    streams::was_read(state, stream, Position::End);
    // The source died when it had committed, and before the kernel knew (D-110).
    work.may_have_ended_uncounted_in(work.state.clone());
    work.fails_as = Outcome::Done;
    let state = &mut work.state;
    if removed.difference(&created).any(|key| state.is_open(hive, *key)) {
        // Whoever has it open finds nothing (D-105, P-210).
        covers!(work.covered, "KEY-07");
    }
    for key in &created {
        state.orphans.remove_mut(&(hive, *key));
    }
    let changed: BTreeSet<Guid> = removed.union(&created).copied().collect();
    watches::restored(state, &open.place, &changed, &mut work.covered);
    mark_latent(work, open, &created);
    let names = names_below(&before, &work.state, open, &changed);
    let touched = touched(&work.state, open, &changed, &names);
    if machine(&work.state) == Some(hive) {
        covers!(work.covered, "BOOT-22", "BOOT-23", "RST-64", "BAK-30", "LAYER-25");
    }
    committed_transaction(work, &before, &touched);
}

/// Entries of layers that the table does not have.
fn mark_latent(work: &mut Work<'_>, open: &OpenKey, created: &BTreeSet<Guid>) {
    let database = work.state.database(open.hive());
    let target = open.key();
    let values = created.iter().chain([&target]).flat_map(|key| database.value_names(*key));
    let mut entries = values.flat_map(|(_, entries)| entries.keys());
    if entries.any(|layer| !work.state.layers.contains_key(layer)) {
        covers!(work.covered, "RST-63", "RES-29");
    }
}

/// The names of children below the target and everything that was or is below it.
fn names_below(
    before: &State,
    after: &State,
    open: &OpenKey,
    changed: &BTreeSet<Guid>,
) -> BTreeSet<(Guid, FoldedName)> {
    let parents = || changed.iter().copied().chain([open.key()]);
    let of = |state: &State| -> Vec<(Guid, FoldedName)> {
        let database = state.database(open.hive());
        let names = parents()
            .flat_map(|key| database.children(key).map(move |(name, _)| (key, name.clone())));
        names.collect()
    };
    of(before).into_iter().chain(of(after)).collect()
}

/// Everything that a restore has changed, for the refresh of layers and parameters that it brings.
fn touched<'a>(
    state: &State,
    open: &OpenKey,
    changed: &BTreeSet<Guid>,
    names: &'a BTreeSet<(Guid, FoldedName)>,
) -> Vec<Touched<'a>> {
    let (hive, target) = (open.hive(), open.key());
    let mut touched = vec![Touched::Values(hive, target), Touched::Descriptor(hive, target)];
    if machine(state) == Some(hive) {
        let keys = changed.iter().copied();
        touched.extend(
            keys.flat_map(|key| [Touched::Values(hive, key), Touched::Descriptor(hive, key)]),
        );
        touched.extend(names.iter().map(|(key, name)| Touched::Child(hive, *key, name)));
    }
    touched
}
