//! The calls on transaction fds: begin, status, poll, passing one on, and close.
//!
//! States `reg_begin_transaction` of PSD-005 §6.2, REG_IOC_TXN_STATUS of §6.3, and the life of the fd of §5.1
//! ("Lifetime") and §6.1. The commit is in `commit`.

use super::{
    Deadline, History, NANOSECONDS_PER_MILLISECOND, Phase, REG_TXN_ABORTED, REG_TXN_ACTIVE_BOUND,
    REG_TXN_ACTIVE_UNBOUND, REG_TXN_COMMITTED, REG_TXN_SOURCE_DOWN, REG_TXN_TIMED_OUT, Transaction,
    TransactionId, marks,
};
use crate::abi;
use crate::coverage::covers;
use crate::errno::Errno;
use crate::input::{Fd, ProcessId};
use crate::observation::PollEvents;
use crate::outcome::{Begun, Outcome};
use crate::state::Witness;
use crate::step::Work;

pub(crate) use super::commit::commit;

/// `reg_begin_transaction`.
pub(crate) fn begin(work: &mut Work<'_>) -> Outcome {
    covers!(work.covered, "SYS-10", "SYS-89", "SYS-90", "SYS-91", "TXN-48");
    if !work.state.without_transactions.is_empty() {
        covers!(work.covered, "TXN-12");
        let mut served = work.state.slots.values().filter_map(|slot| slot.connection).peekable();
        if served.peek().is_some() && served.all(|of| work.state.without_transactions.contains(&of))
        {
            covers!(work.covered, "SRC-16");
        }
    }
    let process = work.caller.process;
    if work.state.transaction_fds.keys().any(|(holder, _)| *holder == process) {
        covers!(work.covered, "TXN-84");
    }
    let id = TransactionId(work.state.next_transaction);
    work.state.next_transaction += 1;
    let lifetime_ms = u64::from(work.state.limits.transaction_timeout_ms);
    let after = |moment: u64| moment.saturating_add(lifetime_ms * NANOSECONDS_PER_MILLISECOND);
    let (began, ended) = work.span();
    let deadline = Deadline { earliest: after(began), latest: after(ended) };
    if work.state.slots.is_empty() {
        covers!(work.covered, "BOOT-02", "SYS-95");
    }
    let began_at = work.state.next_sequence;
    let history = Witness(History { lifetime_ms, began_at, ..History::default() });
    let transaction = Transaction { deadline, phase: Phase::Unbound, history };
    work.state.transactions.insert_mut(id, transaction);
    Outcome::Begun(Begun { process: work.caller.process, transaction: id })
}

/// `REG_IOC_TXN_STATUS`.
pub(crate) fn status(work: &mut Work<'_>, fd: Fd) -> Result<Outcome, Errno> {
    let id = abi::transaction_fd(work, fd)?;
    abi::outputs(work, &[]).inspect_err(|_| covers!(work.covered, "IOC-205"))?;
    work.settle(id);
    let Some(transaction) = work.state.transactions.get(&id) else { return Err(Errno::EBADF) };
    let state = match transaction.phase {
        Phase::Unbound => REG_TXN_ACTIVE_UNBOUND,
        Phase::Bound(_) => REG_TXN_ACTIVE_BOUND,
        Phase::Committed => REG_TXN_COMMITTED,
        Phase::Aborted => REG_TXN_ABORTED,
        Phase::TimedOut => REG_TXN_TIMED_OUT,
        Phase::SourceDown(_) => REG_TXN_SOURCE_DOWN,
    };
    if transaction.is_as_it_began(&work.state.limits, work.span().0) {
        covers!(work.covered, "BOOT-09", "CONF-26");
    }
    marks::lifetime(transaction, work.span().0, &mut work.covered);
    let errno = transaction.terminal_errno().filter(|_| state != REG_TXN_COMMITTED);
    covers!(work.covered, "IOC-196", "IOC-197", "IOC-204", "CONST-23", "TXN-42");
    match state {
        REG_TXN_ACTIVE_UNBOUND => covers!(work.covered, "IOC-199", "SYS-92"),
        REG_TXN_ACTIVE_BOUND => {
            covers!(work.covered, "IOC-199");
            if transaction.bound().is_some_and(|bound| bound.refused_at.0.is_some()) {
                covers!(work.covered, "IOC-188");
            }
        }
        REG_TXN_COMMITTED => covers!(work.covered, "IOC-198", "IOC-200", "TXN-29", "IOC-182"),
        REG_TXN_ABORTED => covers!(work.covered, "IOC-198", "IOC-201"),
        REG_TXN_TIMED_OUT => {
            covers!(work.covered, "IOC-198", "IOC-202");
            if transaction.has_outlived_its_time() {
                covers!(work.covered, "TXN-37", "TXN-44", "SYS-93");
            }
        }
        _ => covers!(work.covered, "IOC-198", "IOC-203", "TXN-17", "FAIL-07"),
    }
    let terminal_errno = errno.map_or(0, |errno| errno.number().unsigned_abs());
    Ok(Outcome::TransactionStatus { state, terminal_errno })
}

/// `poll(2)` on a transaction fd.
pub(crate) fn poll(work: &mut Work<'_>, id: TransactionId) -> Outcome {
    work.settle(id);
    covers!(work.covered, "TXN-40");
    let transaction = work.state.transactions.get(&id);
    let phase = transaction.map(|transaction| transaction.phase.clone());
    let terminal = transaction.is_some_and(|t| t.terminal_errno().is_some());
    let is_outlived = transaction.is_some_and(Transaction::has_outlived_its_time);
    if let Some(transaction) = transaction {
        marks::lifetime(transaction, work.span().0, &mut work.covered);
    }
    if terminal {
        covers!(work.covered, "TXN-41");
    }
    match phase {
        Some(Phase::Committed) => covers!(work.covered, "IOC-183"),
        Some(Phase::TimedOut) if is_outlived => covers!(work.covered, "FAIL-33"),
        Some(Phase::SourceDown(_)) => covers!(work.covered, "FAIL-08"),
        Some(Phase::Bound(bound)) if bound.refused_at.0.is_some() => {
            covers!(work.covered, "IOC-191", "TXN-63");
        }
        _ => {}
    }
    Outcome::Polled(PollEvents { readable: false, terminal })
}

/// A transaction fd goes to a process: the same transaction.
pub(crate) fn pass(transaction: TransactionId, to: ProcessId) -> Outcome {
    Outcome::TransactionPassed(Begun { process: to, transaction })
}

/// `close(2)` of a transaction fd. With the last one the transaction ends, and whatever is in it that
/// was not committed is gone.
pub(crate) fn close(work: &mut Work<'_>, fd: Fd, id: TransactionId) -> Outcome {
    work.state.transaction_fds.remove_mut(&(work.caller.process, fd));
    if work.state.transaction_fds.values().any(|other| *other == id) {
        return Outcome::Done;
    }
    covers!(work.covered, "SYS-12");
    if let Some(bound) = work.state.bound(id) {
        covers!(work.covered, "TXN-34");
        if !bound.log.is_empty() {
            covers!(work.covered, "TXN-01", "TXN-33");
            if bound.log.iter().any(|logged| logged.mutation.takes_number()) {
                covers!(work.covered, "SEQ-10");
            }
            if marks::would_be_told(&work.state, bound.hive, bound.log.iter()) {
                covers!(work.covered, "DISP-46", "WATCH-11", "TXN-35", "TXN-53");
            }
        }
        if bound.refused_at.0.is_some() {
            covers!(work.covered, "TXN-65", "IOC-192");
        }
        let has_descriptor = bound.log.iter().any(|logged| logged.mutation.layer().is_none());
        if has_descriptor {
            covers!(work.covered, "IOC-134");
        }
    }
    work.state.transactions.remove_mut(&id);
    Outcome::Done
}
