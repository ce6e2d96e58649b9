//! The commit of a transaction.
//!
//! States REG_IOC_COMMIT of PSD-005 §6.3 and §5.1 ("Lifetime", "Conflict handling", "Watch interaction"), the
//! generation step of §6.3 and the refresh of the layers of §2.6, with D-52, D-70, D-81, P-154 and P-155; and
//! what a death of the source or the end of the lifetime makes of a commit in flight (§10.1).

use super::{Bound, Phase, TransactionId};
use crate::abi;
use crate::audit_events::{looked_at, rejection};
use crate::coverage::{Covered, covers};
use crate::database::{HiveId, Map};
use crate::deletion::{dropped, orphaned};
use crate::errno::Errno;
use crate::input::{CommitRefusal, Fd};
use crate::layer_commit::committed_transaction;
use crate::outcome::Outcome;
use crate::state::State;
use crate::step::Work;
use crate::watches::Batch;

/// `REG_IOC_COMMIT`.
pub(crate) fn commit(work: &mut Work<'_>, fd: Fd) -> Result<Outcome, Errno> {
    let id = abi::transaction_fd(work, fd)?;
    covers!(work.covered, "IOC-196");
    let bound = bound(work, id)?;
    work.request(bound.hive)?;
    if let Some(refusal) = take_refusal(&mut work.state, bound.hive) {
        covers!(work.covered, "IOC-188", "IOC-189", "IOC-190", "IOC-191", "IOC-192");
        covers!(work.covered, "TXN-61", "TXN-62", "TXN-63", "TXN-64", "TXN-65");
        if work.is_doubtful(id) {
            // The refusal came too late for the caller (P-158).
            timed_out(work, id);
        }
        return Err(match refusal {
            CommitRefusal::Busy => {
                covers!(work.covered, "TXN-59", "IOC-186");
                Errno::EBUSY
            }
            CommitRefusal::Failed => {
                covers!(work.covered, "TXN-60", "IOC-187");
                Errno::EIO
            }
        });
    }
    if work.is_interrupted() {
        died_before_the_answer(work, &bound);
    }
    let before = work.state.clone();
    work.state.set_phase(id, Phase::Committed);
    apply(&mut work.state, &bound, &mut work.covered);
    // The source has answered: whatever happens now, the transaction is committed (P-155).
    work.fails_as = Outcome::Done;
    let touched: Vec<_> =
        bound.log.iter().map(|logged| logged.mutation.touched(bound.hive)).collect();
    if !work.state.watches.is_empty() {
        // Who looks for what to tell may report what cannot be read (P-112).
        work.audit.extend(looked_at(&work.state));
    }
    committed_transaction(work, &before, &touched);
    if let Some((hive, malformed)) = work.rejected.0.take() {
        let event = rejection(&work.state, hive, malformed, &mut work.covered);
        work.audit.push(event);
    }
    covers!(work.covered, "TXN-01", "TXN-28", "IOC-181", "TXN-31", "TXN-77", "TXN-78", "SRC-12");
    mark_committed(work, &before, &bound);
    if work.is_doubtful(id) {
        late(work, id);
    }
    Ok(Outcome::Done)
}

/// What a commit finds to be committed.
///
/// # Errors
///
/// EINVAL if nothing is bound or it was committed or aborted, ETIMEDOUT or EIO if it ended otherwise.
fn bound(work: &mut Work<'_>, id: TransactionId) -> Result<Bound, Errno> {
    work.settle(id);
    let phase = work.state.transactions.get(&id).map(|transaction| transaction.phase.clone());
    match phase {
        Some(Phase::Bound(bound)) => return Ok(bound),
        Some(Phase::Unbound) => covers!(work.covered, "IOC-194"),
        Some(Phase::Committed) => covers!(work.covered, "IOC-193", "ERR-15"),
        Some(Phase::Aborted) => covers!(work.covered, "DEL-18", "ERR-15"),
        Some(Phase::TimedOut) => {
            covers!(work.covered, "IOC-195", "ERR-21", "TXN-54");
            return Err(Errno::ETIMEDOUT);
        }
        Some(Phase::SourceDown(_)) => {
            covers!(work.covered, "FAIL-09", "TXN-17", "TXN-55");
            return Err(Errno::EIO);
        }
        None => {}
    }
    Err(Errno::EINVAL)
}

/// The refusal that the source has ready for its next commit.
fn take_refusal(state: &mut State, hive: HiveId) -> Option<CommitRefusal> {
    let slot = state.hives.get(&hive).map(|hive| hive.slot)?;
    let source = state.slots.get(&slot)?.connection?;
    let refusal = state.commit_refusals.get(&source).copied();
    state.commit_refusals.remove_mut(&source);
    refusal
}

/// Carries out what was taken into the transaction, operation by operation, over what is committed
/// (D-70). A key that nobody has open is dropped when all of it is done: the source has committed the log
/// as one before it can be asked for that (§5.1).
fn apply(state: &mut State, bound: &Bound, covered: &mut Covered) {
    let mut batch = Batch::new();
    let mut unopened = Vec::new();
    for logged in bound.log.iter() {
        let before = state.clone();
        let lost = logged.mutation.apply(state.database_mut(bound.hive));
        unopened.extend(lost.and_then(|target| orphaned(state, bound.hive, target, covered)));
        let touched = logged.mutation.touched(bound.hive);
        batch.changed(&before, state, touched, &logged.origin, covered);
    }
    batch.commit(state, covered);
    keep_times(state, bound);
    for key in unopened {
        dropped(state, bound.hive, key, covered);
    }
    state.enumerations = Map::new_sync();
}

/// What reads in the transaction have told of the last write times stays known.
fn keep_times(state: &mut State, bound: &Bound) {
    let Some(contents) = &bound.contents else { return };
    for key in bound.log.iter().filter_map(|logged| logged.mutation.written_key()) {
        if let Some(record) = contents.keys.get(&key) {
            state.database_mut(bound.hive).write_time(key, record.last_write_time);
        }
    }
}

/// The source died when it had carried out the commit, and before the kernel knew. Where it has not,
/// the transaction is as it was.
fn died_before_the_answer(work: &mut Work<'_>, bound: &Bound) {
    let mut state = work.state.clone();
    for logged in bound.log.iter() {
        logged.mutation.apply(state.database_mut(bound.hive));
    }
    keep_times(&mut state, bound);
    work.may_have_ended_uncounted_in(state);
}

/// The lifetime may have ended while the commit was in flight. The caller is told so, and what the source
/// has carried out stands (§10.1, "Transaction timeout").
fn late(work: &mut Work<'_>, id: TransactionId) {
    covers!(work.covered, "FAIL-34", "FAIL-35", "FAIL-36", "TXN-46");
    timed_out(work, id);
}

/// The lifetime may have ended before the answer came that has brought the registry to where it is.
fn timed_out(work: &mut Work<'_>, id: TransactionId) {
    let mut state = work.state.clone();
    state.set_phase(id, Phase::TimedOut);
    work.otherwise.push((Outcome::Failed(Errno::ETIMEDOUT), state));
}

fn mark_committed(work: &mut Work<'_>, before: &State, bound: &Bound) {
    if bound.log.is_empty() {
        return;
    }
    covers!(work.covered, "IOC-086", "TXN-29", "IOC-182", "OP-54", "TXN-58");
    if bound.log.iter().any(|logged| logged.mutation.layer().is_none()) {
        covers!(work.covered, "IOC-133", "IOC-135");
    }
    let precedence = |state: &State| -> Vec<u32> {
        state.layers.values().map(|layer| layer.precedence).collect()
    };
    if precedence(before) != precedence(&work.state) {
        covers!(work.covered, "TXN-73");
    }
}
