//! Lifetimes of transactions by the clock, and the aborts that go with their ends.

use super::transactions::{ABORT, BEGIN, ID, TXN, bound, change, close, commit, failed};
use super::*;

const SECOND: u64 = 1_000_000_000;
/// When everything begins.
const BEGIN_AT: u64 = 5 * SECOND;
/// After the compiled-in lifetime.
const OVER_AT: u64 = BEGIN_AT + 31 * SECOND;

/// With a transaction that was bound at once.
fn bound_in_time() -> Wire {
    let mut wire = with_fds();
    wire.monitor.time(BEGIN_AT);
    wire.begin(TXN);
    wire.bind_by_write().unwrap();
    wire
}

fn ask(wire: &mut Wire) -> Result<(), Rule> {
    wire.judge(&query(b"v"), &failed(Errno::ENOENT), |wire| wire.ask(NEW, "v", 0))
}

#[test]
fn an_abort_is_due_when_the_lifetime_is_over() {
    let mut wire = bound_in_time();
    wire.monitor.time(BEGIN_AT + 29 * SECOND);
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    assert_eq!(ask(&mut wire), Ok(()));
    wire.monitor.time(OVER_AT);
    assert_eq!(wire.monitor.quiescent().unwrap_err().rule, Rule::AbortAtExpiry);
}

#[test]
fn the_abort_of_an_expired_transaction_comes_before_the_next_requests() {
    let late = || {
        let mut wire = bound_in_time();
        wire.monitor.time(OVER_AT);
        wire
    };
    assert_eq!(ask(&mut late()), Err(Rule::AbortAtExpiry));
    let judge = |abort_first: bool| {
        late().judge(&query(b"v"), &failed(Errno::ENOENT), |wire| {
            if abort_first {
                wire.end(ABORT, ID, 0);
            }
            wire.ask(NEW, "v", 0);
            if !abort_first {
                wire.end(ABORT, ID, 0);
            }
        })
    };
    assert_eq!(judge(true), Ok(()));
    assert_eq!(judge(false), Err(Rule::AbortAtExpiry));
}

#[test]
fn what_is_refused_as_too_late_before_anything_is_sent_has_expired() {
    for call in [change(), commit()] {
        let mut wire = bound();
        assert_eq!(wire.judge(&call, &failed(Errno::ETIMEDOUT), |_| ()), Ok(()));
        assert_eq!(wire.monitor.quiescent().unwrap_err().rule, Rule::AbortAtExpiry);
    }
    let mut waiting = bound();
    waiting.send(0x11, payload().guid(ROOT)).unwrap();
    assert_eq!(waiting.judge(&commit(), &failed(Errno::ETIMEDOUT), |_| ()), Ok(()));
    waiting.answer(0x11, payload().u32(3)).unwrap();
    assert_eq!(waiting.monitor.quiescent(), Ok(()), "it may have waited for a slot");
}

#[test]
fn a_commit_that_its_lifetime_cuts_off_may_be_on_the_way() {
    let cut_off = || {
        let mut wire = bound_in_time();
        wire.monitor.time(OVER_AT);
        wire.judge(&commit(), &failed(Errno::ETIMEDOUT), |_| ()).unwrap();
        wire
    };
    let send = |wire: &mut Wire| wire.send_to(SOURCE, 0x31, ID, payload().u64(ID));
    let mut wire = cut_off();
    assert_eq!(send(&mut wire), Ok(()));
    wire.answer(0x31, payload().u32(0)).unwrap();
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    assert_eq!(send(&mut bound_in_time()), Err(Rule::BetweenCalls));
    let mut wire = cut_off();
    let read = |wire: &mut Wire| {
        send(wire).unwrap();
        wire.answer(0x31, payload().u32(0)).unwrap();
        wire.ask(NEW, "v", 0);
    };
    assert_eq!(wire.judge(&query(b"v"), &failed(Errno::ENOENT), read), Ok(()));
    let mut wire = cut_off();
    let _ = wire.monitor.quiescent();
    assert_eq!(send(&mut wire), Err(Rule::BetweenCalls));
}

#[test]
fn a_lifetime_is_what_was_in_force_at_the_beginning() {
    const REGISTRY: [u8; 16] = [9; 16];
    let read = |wire: &mut Wire, lifetime_ms: u32| {
        wire.send(0x20, payload().guid(REGISTRY).bytes("").u8(1)).unwrap();
        let values = payload().u32(0).u32(1).bytes("transactiontimeoutms").bytes("base").u32(4);
        let values = values.bytes(lifetime_ms.to_le_bytes()).u64(1).u32(0);
        wire.answer(0x20, values).unwrap();
    };
    let mut wire = with_fds();
    wire.monitor.time(BEGIN_AT);
    wire.find(ROOT, "System", [8; 16]);
    wire.find([8; 16], "Registry", REGISTRY);
    read(&mut wire, 2_000);
    wire.begin(TXN);
    wire.bind_by_write().unwrap();
    read(&mut wire, 9_000);
    wire.monitor.time(BEGIN_AT + SECOND);
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    wire.monitor.time(BEGIN_AT + 3 * SECOND);
    assert_eq!(wire.monitor.quiescent().unwrap_err().rule, Rule::AbortAtExpiry);
}

#[test]
fn a_deadline_during_the_close_of_another_fd_is_not_the_closes_own() {
    const FRIEND: ProcessId = ProcessId(2);
    let shared = || {
        let mut wire = bound_in_time();
        let pass = Call::Pass { fd: TXN, to: FRIEND };
        wire.judge(&pass, &Observation::Passed { fd: 5 }, |_| ()).unwrap();
        wire
    };
    let mut wire = shared();
    wire.monitor.time(BEGIN_AT + 29 * SECOND);
    let early = wire.judge(&close(), &DONE, |wire| wire.end(ABORT, ID, 0));
    assert_eq!(early, Err(Rule::CloseSilent));
    let mut wire = shared();
    wire.monitor.time(BEGIN_AT + 29 * SECOND);
    let during = wire.judge(&close(), &DONE, |wire| {
        wire.end(ABORT, ID, 0);
        wire.monitor.time(OVER_AT);
    });
    assert_eq!(during, Ok(()));
}

#[test]
fn only_a_change_may_be_wrapped_in_a_transaction_of_the_kernels_own() {
    let wrapped = |mode| {
        move |wire: &mut Wire| {
            wire.bind(ID, mode, 0);
            wire.ask_in(ID, NEW);
        }
    };
    let read = judged(&query(b"v"), &DONE, wrapped(0));
    assert_eq!(read, Err(Rule::OutsideTransactions));
    let snapshot = judged(&query(b"v"), &DONE, wrapped(1));
    assert_eq!(snapshot, Err(Rule::OutsideTransactions));
    let write = set(b"v", 1, b"data", b"", 0);
    assert_eq!(judged(&write, &DONE, wrapped(1)), Err(Rule::OutsideTransactions));
    let write = judged(&write, &DONE, |wire| {
        wire.bind(ID, 0, 0);
        wire.ask_in(ID, NEW);
        wire.write_in(ID, 101);
    });
    assert_eq!(write, Ok(()));
}

#[test]
fn what_a_call_sends_beside_a_refused_begin_is_judged() {
    let mut wire = with_fds();
    wire.begin(TXN);
    let refused = wire.judge(&change(), &failed(Errno::EBUSY), |wire| {
        wire.miss("Elsewhere");
        wire.bind(ID, 0, 6);
    });
    assert_eq!(refused, Err(Rule::KeyLooks));
}

#[test]
fn a_deletion_in_a_transaction_owes_the_parents_last_write_time() {
    let removal = || payload().guid(ROOT).bytes("Name").bytes("base");
    let deleted = |touches: bool| {
        let mut wire = bound();
        let call = delete(NAME, "").within(TXN);
        wire.judge(&call, &DONE, |wire| {
            wire.tell(ID, 0x04, removal(), 0);
            if touches {
                wire.tell(ID, 0x12, write_time(ROOT), 0);
            }
        })
        .unwrap();
        wire.monitor.call_began();
        wire.send_to(SOURCE, 0x31, ID, payload().u64(ID))
    };
    assert_eq!(deleted(true), Ok(()));
    assert_eq!(deleted(false), Err(Rule::DeletionTouchesParent));
    let mut wire = bound();
    wire.monitor.call_began();
    wire.tell(ID, 0x04, removal(), 0);
    wire.tell(ID, 0x02, create_entry([7; 16], 102), 0);
    wire.tell(ID, 0x10, create_key([7; 16]), 0);
    let replaced = wire.send_to(SOURCE, 0x31, ID, payload().u64(ID));
    assert_eq!(replaced, Ok(()), "the entry was replaced");
}

#[test]
fn drops_layer_deletions_and_flushes_are_of_no_transaction() {
    for (op_code, fields) in [
        (0x13, payload().guid([7; 16])),
        (0x50, payload().bytes("role")),
        (0x40, payload().bytes("Machine")),
    ] {
        let mut wire = bound();
        wire.monitor.call_began();
        assert_eq!(wire.send_to(SOURCE, op_code, ID, fields), Err(Rule::NeverEnlisted));
    }
}

#[test]
fn the_end_of_an_unbound_transaction_shows_when_it_is_over() {
    let mut wire = with_fds();
    wire.monitor.time(BEGIN_AT);
    wire.begin(TXN);
    wire.monitor.time(BEGIN_AT + 29 * SECOND);
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    wire.covers_none_of(&["TXN-47"]);
    wire.monitor.time(OVER_AT);
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    wire.covers(&["TXN-47"]);
    let abort = payload().u64(ID);
    assert_eq!(wire.send_to(SOURCE, ABORT, ID, abort), Err(Rule::TransactionOpen));
}

#[test]
fn what_was_begun_for_nobody_shows_by_its_abort() {
    let mut wire = with_fds();
    wire.begin(TXN);
    wire.monitor.call_began();
    wire.ask(NEW, "v", 0);
    wire.send_to(SOURCE, BEGIN, ID, payload().u64(ID).u32(0)).unwrap();
    let timed_out = failed(Errno::ETIMEDOUT);
    wire.monitor.call_ended(PROCESS, &change(), &timed_out, true).unwrap();
    wire.answer(BEGIN, payload().u32(0)).unwrap();
    wire.covers_none_of(&["FAIL-26", "FAIL-27"]);
    wire.end(ABORT, ID, 0);
    wire.covers(&["FAIL-26", "FAIL-27"]);
}
