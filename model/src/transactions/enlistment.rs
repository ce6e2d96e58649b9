//! How an operation gets into a transaction: the checks, the binding, the write lock, the log.
//!
//! States PSD-005 §5.1 ("Scope", "Isolation", "Constraints") and the transaction part of §6.3, in the order
//! of D-11 to D-13, D-23, P-150 and P-151, with D-80, D-83; and what anybody's mutation makes of a write
//! lock that a transaction holds (§5.1, "Conflict handling", P-152).

use std::sync::Arc;

use super::{Bound, Logged, MUTATIONS_MAX, Mutation, Phase, Transaction, TransactionId, marks};
use crate::abi::NO_FD;
use crate::audit_events::looked_at;
use crate::coverage::covers;
use crate::database::{HiveId, Map};
use crate::errno::Errno;
use crate::input::{Fd, SourceId};
use crate::layer_commit::Telling;
use crate::outcome::Outcome;
use crate::state::{Place, State, Witness};
use crate::step::{Asked, Work};
use crate::watches::is_unknown;

/// What an operation is to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Mutation,
}

/// Looks at the transaction argument of an operation on a key of this hive, when it is its turn. From
/// then on the requests of the call are sent in the transaction, if it is bound.
///
/// # Errors
///
/// EBADF if it is no transaction fd; EINVAL, ETIMEDOUT or EIO if the transaction has ended; EXDEV if it
/// is bound to another hive.
pub(crate) fn name(work: &mut Work<'_>, fd: Fd, hive: HiveId, access: Access) -> Result<(), Errno> {
    if fd == NO_FD {
        if access == Access::Mutation {
            covers!(work.covered, "IOC-001");
        }
        return Ok(());
    }
    let Some(id) = work.state.transaction_of(work.caller.process, fd) else {
        covers!(work.covered, "IOC-206", "ERR-36");
        return Err(Errno::EBADF);
    };
    work.settle(id);
    let Some(transaction) = work.state.transactions.get(&id) else { return Err(Errno::EBADF) };
    if let Some(errno) = transaction.terminal_errno() {
        let phase = transaction.phase.clone();
        marks::lifetime(transaction, work.span().0, &mut work.covered);
        if transaction.has_outlived_its_time() {
            covers!(work.covered, "SYS-93");
        }
        mark_ended(work, &phase, access);
        return Err(errno);
    }
    match transaction.bound().map(|bound| bound.hive) {
        Some(other) if other != hive => {
            mark_other_hive(work, other, hive, access);
            return Err(Errno::EXDEV);
        }
        _ if access == Access::Read => covers!(work.covered, "IOC-006"),
        None if !work.state.is_active(hive) => covers!(work.covered, "TXN-15", "TXN-16"),
        _ => {}
    }
    work.transaction = Some(id);
    Ok(())
}

/// A read has been to the source, and has bound nothing.
pub(crate) fn mark_read(work: &mut Work<'_>) {
    if work.transaction.is_some_and(|id| work.state.bound(id).is_none()) {
        covers!(work.covered, "IOC-008", "IOC-009", "TXN-08", "TXN-18");
    }
}

/// Whether an fd is that of an open transaction which nothing has bound yet, for marks.
pub(crate) fn is_unbound(work: &Work<'_>, fd: Fd) -> bool {
    let id = work.state.transaction_of(work.caller.process, fd);
    let transaction = id.and_then(|id| work.state.transactions.get(&id));
    transaction.is_some_and(|transaction| transaction.phase == Phase::Unbound)
}

/// The transaction in which a path is walked that starts at a key which this transaction has made, and
/// nobody else sees (D-20, P-153).
pub(crate) fn walk_within(work: &mut Work<'_>, start: &Place, fd: Fd) {
    let Some(id) = work.state.transaction_of(work.caller.process, fd) else { return };
    let is_stored = work.state.database(start.hive).keys.contains_key(&start.key());
    let is_own =
        |state: &State| state.contents(Some(id), start.hive).keys.contains_key(&start.key());
    if is_stored || !is_own(&work.state) {
        return;
    }
    work.settle(id);
    if is_own(&work.state) {
        work.transaction = Some(id);
    }
}

/// Room in the log for one more mutation, and the binding by the first one (§5.1, "Scope").
///
/// # Errors
///
/// ENOMEM if the log is full. EIO if the source is Down, EBUSY if as many transactions are bound to it as
/// may be, ENOTSUP if it has no transactions: all of these leave the transaction unbound.
pub(crate) fn bind(work: &mut Work<'_>, hive: HiveId) -> Result<(), Errno> {
    let Some(id) = work.transaction else { return Ok(()) };
    if let Some(bound) = work.state.bound(id) {
        if bound.log.len() >= MUTATIONS_MAX {
            covers!(work.covered, "TXN-50", "TXN-52", "ERR-23");
            return Err(Errno::ENOMEM);
        }
        return Ok(());
    }
    work.reach(hive)?;
    check_limit(work, hive)?;
    // It waits for no lock: that is for the first mutation (PSD-006 §5.1, P-550).
    work.request_without_lock(hive)?;
    if !has_transactions(&work.state, hive) {
        covers!(work.covered, "TXN-12", "TXN-13", "TXN-14", "IOC-004", "IOC-005", "SRC-15");
        covers!(work.covered, "ERR-35", "SRC-40", "SYS-95");
        return Err(Errno::ENOTSUP);
    }
    covers!(work.covered, "SYS-11");
    let log = rpds::VectorSync::new_sync();
    let (refused_at, watches) = (Witness(None), Witness(Map::new_sync()));
    let bound = Bound { hive, contents: None, locked: None, log, refused_at, watches };
    work.state.set_phase(id, Phase::Bound(bound));
    let (began, _) = work.span();
    if let Some(transaction) = work.state.transactions.get_mut(&id) {
        let history = &mut transaction.history.0;
        (history.bound_to, history.bound_at) = (Some(hive), Some(began));
    }
    work.is_binding = true;
    work.requested(hive);
    Ok(())
}

/// MaxBoundTransactionsPerSource (§5.1, "Constraints").
///
/// # Errors
///
/// EBUSY if as many transactions are bound to the source of the hive as may be.
pub(crate) fn check_limit(work: &mut Work<'_>, hive: HiveId) -> Result<(), Errno> {
    let Some(slot) = work.state.hives.get(&hive).map(|hive| hive.slot) else {
        return Err(Errno::EIO);
    };
    let bound = work.state.bound_to(slot);
    if bound.len() < work.state.limits.max_bound_transactions_per_source as usize {
        let limit = work.state.limits.max_bound_transactions_per_source as usize;
        let transactions = || work.state.transactions.values();
        let is_of_slot = |hive| work.state.hives.get(&hive).is_some_and(|hive| hive.slot == slot);
        let was_bound = |t: &Transaction| t.history.0.bound_to.is_some_and(is_of_slot);
        let ended = transactions().filter(|t| t.terminal_errno().is_some() && was_bound(t)).count();
        if bound.len() + ended >= limit {
            covers!(work.covered, "TXN-89");
        }
        // That which is to be bound is none that might have been counted.
        let unbound = transactions().filter(|t| t.phase == Phase::Unbound).count();
        if bound.len() + unbound > limit {
            covers!(work.covered, "TXN-86");
        }
        let others = work.state.slots.keys().filter(|other| **other != slot);
        let mut bound_to_others = others.map(|other| work.state.bound_to(*other).len());
        if bound_to_others.any(|count| count >= limit) {
            covers!(work.covered, "TXN-87");
        }
        return Ok(());
    }
    for id in bound {
        work.settle(id);
    }
    covers!(work.covered, "TXN-85", "ERR-31");
    covers!(work.covered, "CONF-11");
    Err(Errno::EBUSY)
}

/// Whether the source of a hive answers to RSI_BEGIN_TRANSACTION for reading and writing.
pub(crate) fn has_transactions(state: &State, hive: HiveId) -> bool {
    let source = connection(state, hive);
    source.is_some_and(|source| !state.without_transactions.contains(&source))
}

/// Whether it answers to one that only reads.
pub(crate) fn has_snapshots(state: &State, hive: HiveId) -> bool {
    let source = connection(state, hive);
    source.is_some_and(|source| !state.without_snapshots.contains(&source))
}

fn connection(state: &State, hive: HiveId) -> Option<SourceId> {
    let slot = state.hives.get(&hive).and_then(|hive| state.slots.get(&hive.slot));
    slot.and_then(|slot| slot.connection)
}

/// The write lock of a hive, for a mutation in the transaction of the call or in none. A transaction
/// that has it keeps it until it ends.
///
/// # Errors
///
/// EBUSY if another transaction has it, and still has it when the source waits no longer (P-65, P-152).
pub(crate) fn lock(work: &mut Work<'_>, hive: HiveId) -> Result<(), Errno> {
    let own = work.transaction;
    match work.state.lock_holder(hive) {
        Some(holder) if Some(holder) != own => {
            work.settle(holder);
            covers!(work.covered, "ERR-30", "SRC-37");
            if own.is_none() {
                work.must_have_waited();
            }
            Err(Errno::EBUSY)
        }
        holder => {
            let (began, ended) = work.span();
            let has_just_ended = |t: &Transaction| {
                let history = &t.history.0;
                let had_lock = history.had_lock && history.bound_to == Some(hive);
                had_lock && t.phase == Phase::TimedOut && t.deadline.latest >= began
            };
            if holder.is_none() && work.state.transactions.values().any(has_just_ended) {
                covers!(work.covered, "TXN-80");
            }
            let stored = work.state.database(hive).clone();
            let locked = work.state.locked_at(hive, (began, ended));
            if let Some(bound) = own.and_then(|id| work.state.bound_mut(id))
                && bound.contents.is_none()
            {
                bound.contents = Some(stored);
                bound.locked = Some(locked);
                if let Some(own) = own.and_then(|id| work.state.transactions.get_mut(&id)) {
                    own.history.0.had_lock = true;
                }
            }
            Ok(())
        }
    }
}

/// The same for this mutation of what is at a place.
///
/// # Errors
///
/// As of [`lock`]. Its request may be in flight then, if its source has stopped answering.
pub(crate) fn lock_for(
    work: &mut Work<'_>,
    place: &Arc<Place>,
    mutation: impl FnOnce() -> Mutation,
) -> Result<(), Errno> {
    let locked = lock(work, place.hive);
    if locked.is_err() {
        work.may_be_kept(place, mutation());
    }
    locked
}

/// The write lock for a mutation that the source refuses then. In a transaction it takes the lock all the same, be it
/// answered late (P-65).
///
/// # Errors
///
/// As of [`lock`].
pub(crate) fn lock_for_refusal(work: &mut Work<'_>, hive: HiveId) -> Result<(), Errno> {
    lock(work, hive)?;
    refused(work, hive);
    Ok(())
}

/// The source refuses a mutation for which it has taken the lock.
pub(crate) fn refused(work: &mut Work<'_>, hive: HiveId) {
    if work.transaction.is_some() {
        work.requested(hive);
    }
}

/// Takes a mutation into the transaction of the call, with the write lock already had. False if the
/// call has no transaction: then it is carried out at once.
pub(crate) fn enlist(work: &mut Work<'_>, origin: &Arc<Place>, mutation: Mutation) -> bool {
    let Some(id) = work.transaction else { return false };
    mark_enlisted(work, &mutation);
    if !work.state.watches.is_empty() {
        // Who looks already now for what to tell then may report what cannot be read (P-112).
        work.audit.extend(looked_at(&work.state));
    }
    let is_refused = work.telling(origin.hive, Asked::of(&mutation)) == Telling::Unknown;
    let was_unreadable = is_refused || is_unreadable(&work.state, id, &mutation, origin);
    let logged = Logged { mutation, origin: origin.clone(), was_unreadable };
    let bound = work.state.bound(id);
    if bound.is_some_and(|bound| marks::would_be_told_of_next(&work.state, bound, &logged)) {
        // Nobody is told of it before the commit.
        covers!(work.if_done, "TXN-81", "WATCH-09");
    }
    uncover(work, id, &logged);
    log(&mut work.state, id, logged);
    work.state.enumerations = Map::new_sync();
    work.requested(origin.hive);
    if work.is_doubtful(id) {
        // The lifetime ended when the number had been allocated, and before there was an answer.
        let mut expired = work.state.clone();
        expired.expire(id);
        expired.note_freed(&work.state, work.span());
        work.otherwise.push((Outcome::Failed(Errno::ETIMEDOUT), expired));
    }
    true
}

/// Whether what a mutation will have to tell cannot be read within its transaction, before it has taken its number or
/// after that (P-176, P-354).
fn is_unreadable(state: &State, id: TransactionId, mutation: &Mutation, origin: &Place) -> bool {
    let hive = origin.hive;
    if !state.may_be_malformed(hive) {
        return false;
    }
    let own = u64::from(mutation.takes_number());
    let mut before =
        State { next_sequence: state.next_sequence.saturating_sub(own), ..state.clone() };
    before.databases.insert_mut(hive, state.contents(Some(id), hive).clone());
    let mut after = before.looked_at_as(state);
    mutation.apply(after.database_mut(hive));
    is_unknown(&before, &after, mutation.touched(hive), origin)
}

/// A creation takes the HIDDEN entry of its layer away first, by a request of its own (D-24). Answered late that is a
/// change of its own (P-267); answered in time it may have been told of before the creation is, or not (P-174).
fn uncover(work: &mut Work<'_>, id: TransactionId, creation: &Logged) {
    let hive = creation.origin.hive;
    if !work.state.may_stall(hive) {
        return;
    }
    let contents = work.state.contents(Some(id), hive);
    let Some(mutation) = creation.mutation.uncovers(contents) else { return };
    let former = work.state.bound(id).map(|bound| bound.log.clone()).unwrap_or_default();
    log(&mut work.state, id, Logged::new(mutation, creation.origin.clone()));
    work.requested(hive);
    let told = work.state.clone();
    if let Some(bound) = work.state.bound_mut(id) {
        bound.log = former;
    }
    let mut done = told.clone();
    log(&mut done, id, creation.clone());
    work.may_stall_between(hive, told, &done);
}

/// A mutation is in the transaction, and at the end of its log.
fn log(state: &mut State, id: TransactionId, logged: Logged) {
    let watches = state.watches.clone();
    if let Some(bound) = state.bound_mut(id) {
        if bound.log.is_empty() {
            bound.watches.0 = watches;
        }
        if let Some(contents) = &mut bound.contents {
            logged.mutation.apply(contents);
        }
        bound.log.push_back_mut(logged);
    }
}

fn mark_enlisted(work: &mut Work<'_>, mutation: &Mutation) {
    covers!(work.if_done, "IOC-002", "TXN-50", "IOC-087");
    if mutation.takes_number() {
        covers!(work.if_done, "SEQ-11");
    }
    if !work.is_binding {
        return;
    }
    match mutation {
        Mutation::SetValue { .. } => covers!(work.if_done, "TXN-02"),
        Mutation::DeleteValue { .. } | Mutation::Uncover { .. } => {}
        Mutation::SetBlanket { .. } => covers!(work.if_done, "TXN-07"),
        Mutation::CreateKey { .. } => covers!(work.if_done, "TXN-03"),
        Mutation::DeleteEntry { .. } => covers!(work.if_done, "TXN-04"),
        Mutation::HideEntry { .. } => covers!(work.if_done, "TXN-05"),
        Mutation::WriteDescriptor { .. } => covers!(work.if_done, "TXN-06"),
    }
}

fn mark_ended(work: &mut Work<'_>, phase: &Phase, access: Access) {
    let is_read = access == Access::Read;
    covers!(work.covered, "TXN-27");
    match phase {
        Phase::Committed if is_read => covers!(work.covered, "TXN-22", "IOC-011", "IOC-184"),
        Phase::Committed => covers!(work.covered, "TXN-32", "IOC-184"),
        Phase::Aborted if is_read => covers!(work.covered, "TXN-23", "IOC-011", "DEL-17"),
        Phase::Aborted => covers!(work.covered, "DEL-17"),
        Phase::TimedOut if is_read => covers!(work.covered, "TXN-24", "IOC-012"),
        Phase::TimedOut => covers!(work.covered, "TXN-39"),
        Phase::SourceDown(_) if is_read => covers!(work.covered, "TXN-25", "IOC-013"),
        _ => {}
    }
    match phase {
        Phase::Committed | Phase::Aborted => covers!(work.covered, "ERR-15"),
        Phase::TimedOut => {
            covers!(work.covered, "ERR-07", "ERR-21", "TXN-38");
        }
        Phase::SourceDown(_) => {
            covers!(work.covered, "ERR-05", "ERR-22", "FAIL-07", "FAIL-09", "TXN-17");
        }
        Phase::Unbound | Phase::Bound(_) => {}
    }
}

fn mark_other_hive(work: &mut Work<'_>, bound: HiveId, asked: HiveId, access: Access) {
    covers!(work.covered, "ERR-09", "ERR-26", "HIVE-06");
    match access {
        Access::Read => covers!(work.covered, "IOC-010", "TXN-21"),
        Access::Mutation => covers!(work.covered, "IOC-003", "TXN-09", "TXN-11"),
    }
    let slot = |hive| work.state.hives.get(&hive).map(|hive| hive.slot);
    if slot(bound) == slot(asked) && access == Access::Mutation {
        covers!(work.covered, "TXN-10");
    }
    if slot(bound) != slot(asked) {
        covers!(work.covered, "TXN-83");
    }
}
