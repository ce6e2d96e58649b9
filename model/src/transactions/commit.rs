//! The commit of a transaction.
//!
//! States REG_IOC_COMMIT of PSD-005 §6.3 and §5.1 ("Lifetime", "Conflict handling", "Watch interaction"), the
//! generation step of §6.3 and the refresh of the layers of §2.6, with D-52, D-70, D-81, P-154 and P-155; and
//! what a death of the source or the end of the lifetime makes of a commit in flight (§10.1).

use std::sync::Arc;

use super::{Bound, Logged, Mutation, Phase, Transaction, TransactionId, marks};
use crate::abi;
use crate::audit_events::looked_at;
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId, Map};
use crate::deletion::{dropped_in_call, mark_deleted, orphaned};
use crate::errno::Errno;
use crate::input::{CommitRefusal, Fd, UnixTime};
use crate::late::{Change, Effect, Late};
use crate::late_follow::{Due, IsTransaction, logged_in_vain};
use crate::late_kept::{Rest, carry_out};
use crate::layer_commit::{Telling, committed_late, committed_transaction};
use crate::outcome::Outcome;
use crate::state::{DescriptionId, Generation, Place, State};
use crate::step::Work;
use crate::watches::{Batch, Watch};

/// `REG_IOC_COMMIT`.
pub(crate) fn commit(work: &mut Work<'_>, fd: Fd) -> Result<Outcome, Errno> {
    let id = abi::transaction_fd(work, fd)?;
    covers!(work.covered, "IOC-196");
    let bound = bound(work, id)?;
    work.committing = Some(id);
    // It names its transaction, and waits for no other's lock, be there nothing in it (P-150, P-550).
    work.request_without_lock(bound.hive).inspect_err(|errno| {
        if *errno == Errno::ETIMEDOUT {
            work.commit_unanswered(id, &bound);
        }
    })?;
    work.commit_may_stall(id, &bound);
    if !work.state.watches.is_empty() {
        // Who looks for what to tell may report what cannot be read (P-112), be the commit refused then.
        work.audit.extend(looked_at(&work.state));
    }
    if let Some(refusal) = take_refusal(&mut work.state, bound.hive) {
        if marks::would_be_told(&work.state, bound.hive, bound.log.iter()) {
            covers!(work.if_refused, "IOC-190", "TXN-62");
        }
        if let Some(bound) = work.state.bound_mut(id) {
            bound.refused_at.0 = Some(bound.log.len());
        }
        if work.is_doubtful(id) {
            // The refusal came too late for the caller (P-158).
            timed_out(work, id);
        }
        return Err(match refusal {
            CommitRefusal::Busy => {
                covers!(work.if_refused, "TXN-59", "IOC-186");
                Errno::EBUSY
            }
            CommitRefusal::Failed => {
                covers!(work.if_refused, "TXN-60", "IOC-187");
                Errno::EIO
            }
        });
    }
    if work.is_interrupted() {
        died_before_the_answer(work, id, &bound);
    }
    work.may_be_on_the_way(id, &bound);
    let before = work.state.clone();
    work.state.set_phase(id, Phase::Committed);
    // What a commit shows is shown where it succeeds.
    let Applied { unopened, as_answered } = apply(&mut work.state, &bound, &mut work.if_done);
    let told = work.state.watches.clone();
    for key in unopened {
        dropped_in_call(work, bound.hive, key);
    }
    // The source has answered: whatever happens now, the transaction is committed (P-155).
    work.fails_as = Outcome::Done;
    let touched: Vec<_> =
        bound.log.iter().map(|logged| logged.mutation.touched(bound.hive)).collect();
    committed_transaction(work, &before, &touched);
    marks::keep_precedence(&before, &mut work.state, &bound);
    tell_as_answered(work, as_answered, &told, Outcome::Done);
    covers!(work.if_done, "TXN-31");
    mark_committed(work, &before, &bound);
    mark_rewritten(work, &before, id, &bound);
    if work.is_doubtful(id) {
        // The caller is told that the lifetime has ended, and what the source has carried out stands (§10.1,
        // "Transaction timeout").
        timed_out(work, id);
    }
    Ok(Outcome::Done)
}

/// A commit has been answered late: its log has the effects that it would have had in time (TXN-67, TXN-68).
/// Mutations that were in flight as well follow it, each by itself (P-263).
pub(crate) fn arrived(
    work: &mut Work<'_>,
    id: TransactionId,
    bound: &Bound,
    unanswered: &[Logged],
) -> Vec<Due> {
    if take_refusal(&mut work.state, bound.hive).is_some() {
        covers!(work.covered, "FAIL-18");
        if marks::would_be_told(&work.state, bound.hive, bound.log.iter()) {
            covers!(work.covered, "TXN-56", "TXN-69", "FAIL-19");
        }
        return Vec::new();
    }
    let before = work.state.clone();
    let mut due = logged_in_vain(&before, bound.hive, bound.log.iter().chain(unanswered));
    let Applied { unopened, as_answered } = apply(&mut work.state, bound, &mut work.covered);
    let told = work.state.watches.clone();
    let is_outlived = before.transactions.get(&id).map(Transaction::has_outlived_its_time);
    match is_outlived.filter(|_| !bound.log.is_empty()) {
        Some(true) => covers!(work.covered, "FAIL-34", "TXN-67"),
        Some(false) => covers!(work.covered, "FAIL-25", "TXN-66", "TXN-67"),
        None => {}
    }
    if work.state.watches != before.watches {
        covers!(work.covered, "TXN-68");
        if is_outlived == Some(true) {
            covers!(work.covered, "FAIL-35");
        }
    }
    let touched: Vec<_> =
        bound.log.iter().map(|logged| logged.mutation.touched(bound.hive)).collect();
    due.extend(unopened.into_iter().map(|key| Due::Drop(bound.hive, key)));
    if !touched.is_empty() {
        work.state.change_generation(bound.hive, Generation::step);
        due.push(Due::refresh(&before, &touched, IsTransaction::Yes));
    }
    let (_, at) = work.span();
    let mut committed = Vec::new();
    for logged in unanswered {
        let Logged { mutation, origin, .. } = logged;
        let before = work.state.clone();
        if !mutation.finds_its_key(before.database(bound.hive)) {
            // A source may have nothing against a removal (P-09, P-46).
            if let Mutation::DeleteValue { .. } = mutation {
                work.state.change_generation(bound.hive, Generation::uncertain);
            }
            continue;
        }
        committed.push(logged);
        if let Mutation::CreateKey { .. } = mutation {
            let entry = Change::Mutation(mutation.clone());
            carry_out(&entry, None, &mut work.state, bound.hive, at);
            continue;
        }
        let lost = mutation.change(work.state.database_mut(bound.hive));
        let unopened = lost
            .and_then(|target| orphaned(&mut work.state, bound.hive, target, &mut work.covered));
        due.extend(unopened.map(|key| Due::Drop(bound.hive, key)));
        let touched = mutation.touched(bound.hive);
        committed_late(work, &before, touched, origin, Telling::Unknown);
        due.push(Due::refresh(&before, &[touched], IsTransaction::No));
    }
    if !committed.is_empty() {
        // The commit makes durable what was in flight with it, and not what is asked for after it (P-451).
        work.state.is_durable(bound.hive);
    }
    for Logged { mutation, origin, .. } in committed {
        match mutation {
            Mutation::CreateKey { .. } => due.push(created(&mut work.state, mutation, origin, at)),
            _ => due.extend(Rest::of(mutation).time(bound.hive)),
        }
    }
    tell_as_answered(work, as_answered, &told, Outcome::Nothing);
    due
}

/// The record of a creation is there whose entry was in flight as its transaction was committed: from then on it is a
/// late creation as any (P-261, P-263, P-380).
fn created(state: &mut State, mutation: &Mutation, origin: &Arc<Place>, at: UnixTime) -> Due {
    let hive = origin.hive;
    let (rest, effect) = (Rest::of(mutation), Effect::of(mutation, origin));
    let late = Late::new(hive, Change::Mutation(mutation.clone()), rest, Some(effect));
    carry_out(&late.change, Some(&late.rest), state, hive, at);
    Due::Creation(Box::new(late))
}

/// The source has carried a commit out, and the kernel knows nothing of it.
pub(crate) fn carried_out(state: &mut State, bound: &Bound, unanswered: &[Logged]) {
    state.change_at_once(bound.hive, |state| {
        for logged in bound.log.iter() {
            logged.mutation.apply(state.database_mut(bound.hive));
        }
        for Logged { mutation, .. } in unanswered {
            // Nobody has asked for what comes next: the last write time, or a key's record (P-243).
            if mutation.finds_its_key(state.database(bound.hive)) {
                let change = Change::Mutation(mutation.clone());
                carry_out(&change, None, state, bound.hive, UnixTime::MAX);
            }
        }
        keep_times(state, bound);
    });
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
            covers!(work.covered, "IOC-195", "ERR-21");
            if let Some(transaction) = work.state.transactions.get(&id) {
                if transaction.has_outlived_its_time() {
                    covers!(work.covered, "SYS-93");
                }
                marks::lifetime(transaction, work.span().0, &mut work.covered);
            }
            return Err(Errno::ETIMEDOUT);
        }
        Some(Phase::SourceDown(_)) => {
            covers!(work.covered, "FAIL-09", "TXN-17");
            return Err(Errno::EIO);
        }
        None => {}
    }
    Err(Errno::EINVAL)
}

/// The refusal that the source has ready for its next commit.
pub(crate) fn take_refusal(state: &mut State, hive: HiveId) -> Option<CommitRefusal> {
    let slot = state.hives.get(&hive).map(|hive| hive.slot)?;
    let source = state.slots.get(&slot)?.connection?;
    let refusal = state.commit_refusals.get(&source).copied();
    state.commit_refusals.remove_mut(&source);
    refusal
}

/// What the log of a transaction leaves besides the state.
struct Applied {
    /// The keys that nobody has open and nothing names any more, which are dropped when all of it is done: the
    /// source has committed the log as one before it can be asked for that (§5.1).
    unopened: Vec<Guid>,
    /// The watches as they are if what could not be read within the transaction is OVERFLOW (P-592).
    as_answered: Option<Map<DescriptionId, Watch>>,
}

/// The watches may be as the answers within the transaction have it, unless more has been told since.
fn tell_as_answered(
    work: &mut Work<'_>,
    as_answered: Option<Map<DescriptionId, Watch>>,
    told: &Map<DescriptionId, Watch>,
    outcome: Outcome,
) {
    if let Some(watches) = as_answered.filter(|_| work.state.watches == *told) {
        work.otherwise.push((outcome, State { watches, ..work.state.clone() }));
    }
}

/// Carries out what was taken into the transaction, operation by operation, over what is committed (D-70).
fn apply(state: &mut State, bound: &Bound, covered: &mut Covered) -> Applied {
    let Replayed { batch, as_answered, unopened } =
        replayed(state, bound.hive, bound.log.iter(), covered);
    let as_answered = as_answered.map(|batch| {
        let mut told = state.clone();
        batch.commit(&mut told, &bound.watches.0, &mut Covered::new());
        told.watches
    });
    batch.commit(state, &bound.watches.0, covered);
    keep_times(state, bound);
    if !bound.log.is_empty() {
        // The source has answered (P-451). Of a transaction with nothing in it, it need not know the hive (P-580).
        state.is_durable(bound.hive);
    }
    state.enumerations = Map::new_sync();
    let as_answered = as_answered.filter(|watches| *watches != state.watches);
    Applied { unopened, as_answered }
}

/// What a log comes to.
pub(super) struct Replayed {
    /// Its events.
    pub(super) batch: Batch,
    /// The same with OVERFLOW for what could not be read within the transaction, if there was such (P-592).
    as_answered: Option<Batch>,
    /// The keys that it orphaned and nobody has open.
    unopened: Vec<Guid>,
}

/// Carries out a log.
pub(super) fn replayed<'a>(
    state: &mut State,
    hive: HiveId,
    log: impl Iterator<Item = &'a Logged>,
    covered: &mut Covered,
) -> Replayed {
    let (mut batch, mut as_answered) = (Batch::new(), None);
    let mut unopened = Vec::new();
    for logged in log {
        let before = state.clone();
        let lost = logged.mutation.apply(state.database_mut(hive));
        unopened.extend(lost.and_then(|target| orphaned(state, hive, target, covered)));
        if let (Mutation::DeleteEntry { .. }, Some(target)) = (&logged.mutation, lost) {
            mark_deleted(state, hive, target, covered);
        }
        let (touched, origin) = (logged.mutation.touched(hive), &*logged.origin);
        if logged.was_unreadable && as_answered.is_none() {
            as_answered = Some(batch.clone());
        }
        match &mut as_answered {
            Some(batch) if logged.was_unreadable => {
                batch.changed_somehow(&before, state, touched, origin, &mut Covered::new());
            }
            Some(batch) => batch.changed(&before, state, touched, origin, &mut Covered::new()),
            None => {}
        }
        batch.changed(&before, state, touched, origin, covered);
    }
    Replayed { batch, as_answered, unopened }
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
/// the transaction is as it was. Otherwise the write lock is free at the source, and what overlaps the commit may
/// have had it before the death (P-442).
fn died_before_the_answer(work: &mut Work<'_>, id: TransactionId, bound: &Bound) {
    if bound.log.len() > 1 {
        covers!(work.covered, "TXN-77");
    }
    let mut state = work.state.clone();
    carried_out(&mut state, bound, &[]);
    if let Some(bound) = state.bound_mut(id) {
        bound.contents = None;
    }
    work.may_have_ended_uncounted_in(state);
}

/// The lifetime may have ended before the answer came that has brought the registry to where it is.
fn timed_out(work: &mut Work<'_>, id: TransactionId) {
    let mut state = work.state.clone();
    state.set_phase(id, Phase::TimedOut);
    work.otherwise.push((Outcome::Failed(Errno::ETIMEDOUT), state));
}

/// Another transaction has committed the same value since this one was created, and that is no conflict: the
/// last one has the say (§5.1, "Conflict handling").
fn mark_rewritten(work: &mut Work<'_>, before: &State, id: TransactionId, bound: &Bound) {
    let Some(own) = work.state.transactions.get_mut(&id) else { return };
    own.history.0.committed = bound.log.clone();
    let began_at = own.history.0.began_at;
    let others = before.transactions.iter().filter(|(other, _)| **other != id);
    let mut theirs = others.flat_map(|(_, other)| other.history.0.committed.iter());
    let is_rewritten = theirs.any(|logged| {
        let Mutation::SetValue { key, entry, .. } = &logged.mutation else { return false };
        let stored = before.database(bound.hive).value(*key, entry.name.folded().as_str());
        let own_of_layer = stored.and_then(|entries| entries.get(entry.layer.folded()));
        let is_written = |own: &Logged| match &own.mutation {
            Mutation::SetValue { key: own_key, entry: own, .. } => {
                own_key == key
                    && own.name.folded() == entry.name.folded()
                    && own.layer.folded() == entry.layer.folded()
            }
            _ => false,
        };
        entry.sequence >= began_at
            && own_of_layer.is_some_and(|stored| stored.sequence == entry.sequence)
            && bound.log.iter().any(is_written)
    });
    if is_rewritten {
        covers!(work.if_done, "TXN-74", "TXN-75");
    }
}

fn mark_committed(work: &mut Work<'_>, before: &State, bound: &Bound) {
    if bound.log.is_empty() {
        return;
    }
    covers!(work.if_done, "IOC-086", "TXN-29", "IOC-182", "OP-54");
    if marks::would_be_told(before, bound.hive, bound.log.iter()) {
        covers!(work.if_done, "TXN-58");
    }
    for logged in bound.log.iter() {
        if let Mutation::WriteDescriptor { key, .. } = &logged.mutation {
            work.state.secured.0.insert_mut((bound.hive, *key));
            work.state.secured_within.0.insert_mut((bound.hive, *key));
        }
    }
    if bound.log.len() > 1 {
        // That all of them were carried out is nothing that a single one could show.
        covers!(work.if_done, "TXN-01", "TXN-28", "TXN-77", "TXN-78", "IOC-181", "SRC-12");
        if bound.log.iter().any(|logged| logged.mutation.layer().is_none()) {
            covers!(work.if_done, "IOC-133");
        }
    }
    if let Some(length) = bound.refused_at.0 {
        covers!(work.if_done, "TXN-64", "IOC-192");
        if marks::would_be_told(before, bound.hive, bound.log.iter().take(length)) {
            covers!(work.if_done, "TXN-61", "IOC-189");
        }
    }
}
