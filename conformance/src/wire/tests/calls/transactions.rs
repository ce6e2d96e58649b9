//! Calls on transactions and within them: requests that break one rule each.

use registry_model::observation::PollEvents;

use super::*;

/// The fd of a transaction.
pub(super) const TXN: Fd = 20;
/// The id that it is begun under.
pub(super) const ID: u64 = 9;
pub(super) const BEGIN: u16 = 0x30;
const COMMIT: u16 = 0x31;
pub(super) const ABORT: u16 = 0x32;

pub(super) fn change() -> Call {
    set(b"v", 1, b"data", b"", 0).within(TXN)
}

fn read() -> Call {
    query(b"v").within(TXN)
}

pub(super) fn commit() -> Call {
    Call::Commit { fd: TXN }
}

pub(super) fn close() -> Call {
    Call::Close { fd: TXN }
}

pub(super) fn failed(errno: Errno) -> Observation {
    Observation::Failed(errno)
}

impl Wire {
    pub(super) fn begin(&mut self, fd: Fd) {
        self.judge(&Call::BeginTransaction, &Observation::Begun { fd }, |_| ()).unwrap();
    }

    /// A request in a transaction, answered with a status.
    pub(super) fn tell(&mut self, transaction: u64, op_code: u16, fields: Payload, status: u32) {
        self.send_to(SOURCE, op_code, transaction, fields).unwrap();
        self.answer(op_code, payload().u32(status)).unwrap();
    }

    /// The question for the layer cap in a transaction.
    pub(super) fn ask_in(&mut self, transaction: u64, key: [u8; 16]) {
        let question = payload().guid(key).bytes("v").u8(0);
        self.send_to(SOURCE, 0x20, transaction, question).unwrap();
        self.answer(0x20, payload().u32(0).u32(0).u32(0)).unwrap();
    }

    pub(super) fn bind(&mut self, id: u64, mode: u32, status: u32) {
        self.tell(id, BEGIN, payload().u64(id).u32(mode), status);
    }

    pub(super) fn end(&mut self, op_code: u16, id: u64, status: u32) {
        self.tell(id, op_code, payload().u64(id), status);
    }

    /// A write and its time.
    pub(super) fn write_in(&mut self, transaction: u64, sequence: u64) {
        let write = payload().guid(NEW).bytes("v").bytes("base").u32(1).bytes("data");
        self.tell(transaction, 0x21, write.u64(sequence).u64(0), 0);
        self.tell(transaction, 0x12, write_time(NEW), 0);
    }

    /// A write that binds.
    pub(super) fn bind_by_write(&mut self) -> Result<(), Rule> {
        self.judge(&change(), &DONE, |wire| {
            wire.ask(NEW, "v", 0);
            wire.bind(ID, 0, 0);
            wire.write_in(ID, 101);
        })
    }
}

/// With the transaction `TXN`, unbound.
fn unbound() -> Wire {
    let mut wire = with_fds();
    wire.begin(TXN);
    wire
}

/// With the transaction `TXN`, bound by a write to `NAME`.
pub(super) fn bound() -> Wire {
    let mut wire = unbound();
    wire.bind_by_write().unwrap();
    wire
}

#[test]
fn beginning_polling_reading_events_and_asking_for_a_state_send_nothing() {
    let status = Observation::TransactionStatus { state: 0, terminal_errno: 0 };
    let polled = Observation::Polled(PollEvents::default());
    let cases = [
        (Call::BeginTransaction, Observation::Begun { fd: 30 }, Rule::BeginSilent),
        (Call::TransactionStatus { fd: TXN }, status, Rule::StatusSilent),
        (Call::Poll { fd: NAME }, polled, Rule::StatusSilent),
        (Call::ReadEvents { fd: NAME, capacity: 9 }, failed(Errno::EAGAIN), Rule::StatusSilent),
    ];
    for (call, answer, rule) in cases {
        assert_eq!(unbound().judge(&call, &answer, |_| ()), Ok(()));
        let asked = unbound().judge(&call, &answer, |wire| wire.ask(NEW, "v", 0));
        assert_eq!(asked, Err(rule));
    }
}

#[test]
fn the_first_change_begins_its_transaction() {
    let mut wire = unbound();
    wire.bind_by_write().unwrap();
    wire.covers(&["OP-50", "IOC-002", "SYS-92"]);
    wire.covers_none_of(&["SYS-91"]);
    let outside = unbound().judge(&change(), &DONE, |wire| {
        wire.ask(NEW, "v", 0);
        wire.write_in(0, 101);
    });
    assert_eq!(outside, Err(Rule::BindingFirst));
    let late = unbound().judge(&change(), &DONE, |wire| {
        wire.ask(NEW, "v", 0);
        wire.write_in(0, 101);
        wire.bind(ID, 0, 0);
    });
    assert_eq!(late, Err(Rule::BindingFirst));
    let read_only = unbound().judge(&change(), &DONE, |wire| wire.bind(ID, 1, 0));
    assert_eq!(read_only, Err(Rule::BindingFirst));
    let twice = unbound().judge(&change(), &DONE, |wire| {
        wire.bind(ID, 0, 0);
        wire.bind(ID + 1, 0, 0);
    });
    assert_eq!(twice, Err(Rule::BoundOnce));
    let again = bound().judge(&change(), &DONE, |wire| wire.bind(ID + 1, 0, 0));
    assert_eq!(again, Err(Rule::BoundOnce));
}

#[test]
fn what_follows_the_begin_carries_its_id() {
    let mut wire = unbound();
    let judged = wire.judge(&change(), &DONE, |wire| {
        wire.ask(NEW, "v", 0);
        wire.bind(ID, 0, 0);
        wire.write_in(0, 101);
    });
    assert_eq!(judged, Err(Rule::BoundChange));
    let judged = bound().judge(&change(), &DONE, |wire| {
        wire.ask(NEW, "v", 0);
        wire.write_in(ID, 102);
    });
    assert_eq!(judged, Err(Rule::BoundChange));
    let judged = bound().judge(&change(), &DONE, |wire| {
        wire.ask_in(ID, NEW);
        wire.write_in(ID, 102);
    });
    assert_eq!(judged, Ok(()));
}

#[test]
fn nothing_follows_a_begin_that_is_refused() {
    for (status, errno) in [(6, Errno::EBUSY), (9, Errno::ENOTSUP), (3, Errno::EIO)] {
        let mut wire = unbound();
        let refused = wire.judge(&change(), &failed(errno), |wire| wire.bind(ID, 0, status));
        assert_eq!(refused, Ok(()));
        assert_eq!(wire.bind_by_write(), Ok(()), "it is unbound still");
    }
    let other = unbound().judge(&change(), &failed(Errno::EIO), |wire| wire.bind(ID, 0, 9));
    assert_eq!(other, Err(Rule::BindingRefused));
    let goes_on = unbound().judge(&change(), &failed(Errno::EBUSY), |wire| {
        wire.bind(ID, 0, 6);
        wire.ask(NEW, "v", 0);
    });
    assert_eq!(goes_on, Err(Rule::BindingRefused));
}

#[test]
fn a_read_goes_where_its_transaction_is() {
    let answer = failed(Errno::ENOENT);
    let plain = |wire: &mut Wire| wire.ask(NEW, "v", 0);
    let inside = |wire: &mut Wire| wire.ask_in(ID, NEW);
    assert_eq!(unbound().judge(&read(), &answer, plain), Ok(()));
    let binds = unbound().judge(&read(), &answer, |wire| wire.bind(ID, 0, 0));
    assert_eq!(binds, Err(Rule::UnboundRead));
    assert_eq!(bound().judge(&read(), &answer, plain), Err(Rule::BoundRead));
    let mut wire = bound();
    assert_eq!(wire.judge(&read(), &answer, inside), Ok(()));
    wire.covers(&["TXN-19", "IOC-026"]);
    let outside = bound().judge(&query(b"v"), &answer, inside);
    assert_eq!(outside, Err(Rule::OutsideTransactions));
}

#[test]
fn ids_go_up_in_the_order_of_creation() {
    const LATER: Fd = 21;
    let bind_later = |id: u64| {
        let mut wire = bound();
        wire.begin(LATER);
        let change = set(b"v", 1, b"data", b"", 0).within(LATER);
        wire.judge(&change, &DONE, |wire| {
            wire.ask(NEW, "v", 0);
            wire.bind(id, 0, 0);
            wire.write_in(id, 102);
        })?;
        wire.covers(&["SYS-91"]);
        Ok(())
    };
    assert_eq!(bind_later(ID + 1), Ok(()));
    assert_eq!(bind_later(ID - 1), Err(Rule::TransactionOrder));
}

#[test]
fn a_transaction_stays_in_one_hive() {
    const USERS: [u8; 16] = [5; 16];
    const USER: [u8; 16] = [6; 16];
    let mut wire = Wire::new();
    wire.monitor.registered(SOURCE, 100, &[served(USERS)]);
    wire.find(ROOT, "Name", NEW);
    wire.find(USERS, "alice", USER);
    wire.bind(ID, 0, 0);
    let question = |key: [u8; 16]| payload().guid(key).bytes("v").u8(0);
    assert_eq!(wire.send_to(SOURCE, 0x20, ID, question(NEW)), Ok(()));
    assert_eq!(wire.send_to(SOURCE, 0x20, ID, question(ROOT)), Ok(()));
    assert_eq!(wire.send_to(SOURCE, 0x20, ID, question(USER)), Err(Rule::OneHive));
}

#[test]
fn what_is_of_another_hive_sends_nothing() {
    let exdev = failed(Errno::EXDEV);
    let asks = |wire: &mut Wire| wire.ask_in(ID, NEW);
    for call in [change(), read(), delete(NAME, "").within(TXN), hide(NAME, "").within(TXN)] {
        let mut wire = bound();
        assert_eq!(wire.judge(&call, &exdev, |_| ()), Ok(()));
        wire.covers(&["TXN-11"]);
        assert_eq!(bound().judge(&call, &exdev, asks), Err(Rule::OtherHiveSilent));
    }
    let walk = |wire: &mut Wire| wire.miss("Name");
    let create = create(0, None).within(TXN);
    assert_eq!(bound().judge(&create, &exdev, walk), Ok(()));
    assert_eq!(bound().judge(&create, &exdev, asks), Err(Rule::OtherHiveSilent));
}

#[test]
fn a_creation_walks_outside_and_changes_inside() {
    let answer = Observation::Opened { fd: 40, disposition: Some(1) };
    let create = create(0, None).within(TXN);
    let key = [7; 16];
    let creation = |at: u64| {
        bound().judge(&create, &answer, |wire| {
            wire.miss("Name");
            wire.tell(at, 0x02, create_entry(key, 102), 0);
            wire.tell(at, 0x10, create_key(key), 0);
        })
    };
    assert_eq!(creation(ID), Ok(()));
    assert_eq!(creation(0), Err(Rule::BoundChange));
}

#[test]
fn a_commit_sends_one_commit_and_tells_how_it_went() {
    let cases = [
        (0, DONE, Ok(())),
        (6, failed(Errno::EBUSY), Ok(())),
        (3, failed(Errno::EIO), Ok(())),
        (7, failed(Errno::EIO), Ok(())),
        (0, failed(Errno::EIO), Err(Rule::CommitSent)),
        (6, DONE, Err(Rule::CommitBusy)),
        (6, failed(Errno::EIO), Err(Rule::CommitBusy)),
        (3, failed(Errno::EBUSY), Err(Rule::CommitFailed)),
    ];
    for (status, answer, judged) in cases {
        let got = bound().judge(&commit(), &answer, |wire| wire.end(COMMIT, ID, status));
        assert_eq!(got, judged, "{status} and {answer:?}");
    }
    assert_eq!(bound().judge(&commit(), &DONE, |_| ()), Err(Rule::CommitSent));
    let twice = bound().judge(&commit(), &failed(Errno::EBUSY), |wire| {
        wire.end(COMMIT, ID, 6);
        wire.end(COMMIT, ID, 6);
    });
    assert_eq!(twice, Err(Rule::CommitSent));
}

#[test]
fn a_commit_that_failed_can_be_sent_again() {
    let mut wire = bound();
    let busy = |wire: &mut Wire| wire.end(COMMIT, ID, 6);
    wire.judge(&commit(), &failed(Errno::EBUSY), busy).unwrap();
    wire.covers_none_of(&["TXN-64"]);
    wire.judge(&commit(), &DONE, |wire| wire.end(COMMIT, ID, 0)).unwrap();
    wire.covers(&["TXN-64", "IOC-192", "IOC-186", "IOC-181"]);
}

#[test]
fn a_commit_of_nothing_sends_nothing() {
    let sends = |wire: &mut Wire| wire.end(ABORT, ID, 0);
    let asks = |wire: &mut Wire| wire.ask(NEW, "v", 0);
    let invalid = failed(Errno::EINVAL);
    assert_eq!(unbound().judge(&commit(), &invalid, |_| ()), Ok(()));
    assert_eq!(unbound().judge(&commit(), &invalid, asks), Err(Rule::CommitNothing));
    let mut wire = bound();
    wire.judge(&commit(), &DONE, |wire| wire.end(COMMIT, ID, 0)).unwrap();
    assert_eq!(wire.judge(&commit(), &invalid, |_| ()), Ok(()));
    assert_eq!(wire.judge(&commit(), &invalid, asks), Err(Rule::CommitNothing));
    // A deadline that passes meanwhile is its own occasion.
    assert_eq!(bound().judge(&commit(), &failed(Errno::ETIMEDOUT), sends), Ok(()));
}

#[test]
fn a_commit_changes_nothing_by_itself_and_looks_at_what_was_changed() {
    let commits = |before: u64, after: fn(&mut Wire)| {
        bound().judge(&commit(), &DONE, |wire| {
            wire.ask_in(before, NEW);
            wire.end(COMMIT, ID, 0);
            after(wire);
        })
    };
    assert_eq!(commits(0, |wire| wire.ask(NEW, "v", 0)), Ok(()));
    assert_eq!(commits(ID, |wire| wire.ask(NEW, "", 1)), Ok(()));
    assert_eq!(commits(0, |wire| wire.write_in(0, 102)), Err(Rule::CommitAlone));
    assert_eq!(commits(0, |wire| wire.ask([7; 16], "v", 0)), Err(Rule::CommitLooks));
    let drops = |wire: &mut Wire| wire.tell(0, 0x13, payload().guid([7; 16]), 0);
    assert_eq!(commits(0, drops), Ok(()));
    let early = bound().judge(&commit(), &DONE, |wire| {
        wire.write_in(ID, 102);
        wire.end(COMMIT, ID, 0);
    });
    assert_eq!(early, Err(Rule::CommitAlone));
}

#[test]
fn last_write_times_are_sent_before_the_commit() {
    let mut wire = Wire::new();
    wire.bind(ID, 0, 0);
    let write = payload().guid(NEW).bytes("v").bytes("base").u32(1).bytes("data");
    wire.tell(ID, 0x21, write.u64(101).u64(0), 0);
    let mut without = wire.monitor.clone();
    let bytes = message(90, COMMIT, Some(ID), &payload().u64(ID).0);
    let frame = Frame { source: SOURCE, is_request: true, bytes };
    assert_eq!(without.observe(&frame).unwrap_err().rule, Rule::SetTouchesKey);
    wire.tell(ID, 0x12, write_time(NEW), 0);
    wire.end(COMMIT, ID, 0);
}

#[test]
fn nothing_carries_the_id_of_an_unanswered_commit() {
    let mut wire = Wire::new();
    wire.bind(ID, 0, 0);
    wire.send_to(SOURCE, COMMIT, ID, payload().u64(ID)).unwrap();
    let abort = wire.send_to(SOURCE, ABORT, ID, payload().u64(ID));
    assert_eq!(abort, Err(Rule::TransactionOpen));
}

#[test]
fn the_last_close_aborts_what_is_bound() {
    let mut wire = bound();
    assert_eq!(wire.judge(&close(), &DONE, |wire| wire.end(ABORT, ID, 0)), Ok(()));
    wire.covers(&["OP-65"]);
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    let more = bound().judge(&close(), &DONE, |wire| {
        wire.end(ABORT, ID, 0);
        wire.ask(NEW, "v", 0);
    });
    assert_eq!(more, Err(Rule::CloseSilent));
    assert_eq!(unbound().judge(&close(), &DONE, |_| ()), Ok(()));
    let asks = unbound().judge(&close(), &DONE, |wire| wire.ask(NEW, "v", 0));
    assert_eq!(asks, Err(Rule::CloseSilent));
}

/// With the transaction closed, and no abort read by the source yet.
fn closed() -> Wire {
    let mut wire = bound();
    wire.judge(&close(), &DONE, |_| ()).unwrap();
    wire
}

#[test]
fn a_source_reads_the_abort_of_a_closed_transaction_before_what_is_sent_later() {
    let answer = failed(Errno::ENOENT);
    let mut wire = closed();
    let next = wire.judge(&query(b"v"), &answer, |wire| {
        wire.end(ABORT, ID, 0);
        wire.ask(NEW, "v", 0);
    });
    assert_eq!(next, Ok(()));
    wire.covers(&["OP-65"]);
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    let mut wire = closed();
    assert_eq!(wire.judge(&Call::BeginTransaction, &Observation::Begun { fd: 30 }, |_| ()), Ok(()));
    let next = wire.judge(&query(b"v"), &answer, |wire| wire.ask(NEW, "v", 0));
    assert_eq!(next, Err(Rule::AbortAtClose));
    assert_eq!(closed().monitor.quiescent().unwrap_err().rule, Rule::AbortAtClose);
}

#[test]
fn a_transaction_that_has_ended_is_not_aborted_again() {
    let mut wire = bound();
    wire.judge(&commit(), &DONE, |wire| wire.end(COMMIT, ID, 0)).unwrap();
    assert_eq!(wire.judge(&close(), &DONE, |_| ()), Ok(()));
    let mut wire = bound();
    wire.monitor.connection_closed(SOURCE);
    assert_eq!(wire.judge(&close(), &DONE, |_| ()), Ok(()));
}

#[test]
fn what_names_a_transaction_that_has_ended_sends_nothing() {
    let committed = || {
        let mut wire = bound();
        wire.judge(&commit(), &DONE, |wire| wire.end(COMMIT, ID, 0)).unwrap();
        wire
    };
    let asks = |wire: &mut Wire| wire.ask(NEW, "v", 0);
    for call in [change(), read()] {
        let invalid = failed(Errno::EINVAL);
        assert_eq!(committed().judge(&call, &invalid, |_| ()), Ok(()));
        assert_eq!(committed().judge(&call, &invalid, asks), Err(Rule::EndedSilent));
    }
}

#[test]
fn a_passed_transaction_lives_until_its_last_close() {
    const FRIEND: ProcessId = ProcessId(2);
    let mut wire = bound();
    let pass = Call::Pass { fd: TXN, to: FRIEND };
    wire.judge(&pass, &Observation::Passed { fd: 5 }, |_| ()).unwrap();
    let mut early = wire.monitor.clone();
    assert_eq!(wire.judge(&close(), &DONE, |_| ()), Ok(()));
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    wire.monitor.call_began();
    let judged = wire.monitor.call_ended(FRIEND, &Call::Close { fd: 5 }, &DONE, false);
    assert_eq!(judged, Ok(()));
    assert_eq!(wire.monitor.quiescent().unwrap_err().rule, Rule::AbortAtClose);
    early.call_began();
    let bytes = message(90, ABORT, Some(ID), &payload().u64(ID).0);
    early.observe(&Frame { source: SOURCE, is_request: true, bytes }).unwrap();
    let judged = early.call_ended(PROCESS, &close(), &DONE, false);
    assert_eq!(judged.unwrap_err().rule, Rule::CloseSilent);
}

#[test]
fn what_timed_out_was_aborted() {
    let status = Call::TransactionStatus { fd: TXN };
    let over = Observation::TransactionStatus { state: 4, terminal_errno: 110 };
    let terminal = Observation::Polled(PollEvents { readable: false, terminal: true });
    let poll = Call::Poll { fd: TXN };
    for (call, answer) in [(&status, &over), (&poll, &terminal)] {
        let mut wire = bound();
        assert_eq!(wire.judge(call, answer, |_| ()), Ok(()));
        assert_eq!(wire.monitor.quiescent().unwrap_err().rule, Rule::AbortAtExpiry);
        let asks = |wire: &mut Wire| wire.ask(NEW, "v", 0);
        let next = wire.judge(&query(b"v"), &failed(Errno::ENOENT), asks);
        assert_eq!(next, Err(Rule::AbortAtExpiry));
    }
    let mut wire = bound();
    wire.end(ABORT, ID, 0);
    assert_eq!(wire.judge(&status, &over, |_| ()), Ok(()));
    assert_eq!(wire.judge(&poll, &terminal, |_| ()), Ok(()));
    wire.covers(&["OP-66", "TXN-45"]);
    assert_eq!(unbound().judge(&status, &over, |_| ()), Ok(()));
}

#[test]
fn a_transaction_that_nobody_can_end_is_noticed() {
    let mut wire = bound();
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    let call = set(b"v", 1, b"data", b"", 0);
    wire.judge(&call, &failed(Errno::EIO), |wire| wire.bind(ID + 1, 0, 0)).unwrap();
    assert_eq!(wire.monitor.quiescent().unwrap_err().rule, Rule::TransactionOwned);
}

#[test]
fn a_raw_call_may_bind_any_transaction() {
    let mut wire = unbound();
    wire.monitor.call_began();
    wire.bind(ID, 0, 0);
    wire.monitor.raw_call_ended(PROCESS, None, &DONE);
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    assert_eq!(wire.judge(&read(), &DONE, |wire| wire.ask_in(ID, NEW)), Ok(()));
}

#[test]
fn an_interrupted_call_may_have_bound_its_transaction() {
    let mut wire = unbound();
    wire.monitor.call_began();
    wire.ask(NEW, "v", 0);
    wire.bind(ID, 0, 0);
    wire.monitor.call_ended(PROCESS, &change(), &failed(Errno::EIO), true).unwrap();
    assert_eq!(wire.judge(&close(), &DONE, |_| ()), Ok(()));
    assert_eq!(wire.monitor.quiescent().unwrap_err().rule, Rule::AbortAtClose);
}

#[test]
fn what_a_call_sent_before_the_deadline_of_its_transaction_stands() {
    let over = failed(Errno::ETIMEDOUT);
    let create = create(0, None).within(TXN);
    let mut wire = bound();
    let cut_off = wire.judge(&create, &over, |wire| {
        wire.miss("Name");
        wire.tell(ID, 0x02, create_entry([5; 16], 102), 0);
        wire.end(ABORT, ID, 0);
    });
    assert_eq!(cut_off, Ok(()));
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    let outside = bound().judge(&change(), &over, |wire| {
        wire.ask(NEW, "v", 0);
        wire.end(ABORT, ID, 0);
    });
    assert_eq!(outside, Err(Rule::BoundChange));
}

#[test]
fn a_commit_is_cut_off_by_its_deadline_before_or_after_it_is_sent() {
    let over = failed(Errno::ETIMEDOUT);
    let before = bound().judge(&commit(), &over, |wire| {
        wire.ask_in(ID, NEW);
        wire.end(ABORT, ID, 0);
    });
    assert_eq!(before, Ok(()));
    let after = bound().judge(&commit(), &over, |wire| wire.end(COMMIT, ID, 0));
    assert_eq!(after, Ok(()));
    let twice = bound().judge(&commit(), &over, |wire| {
        wire.end(COMMIT, ID, 0);
        let abort = wire.send_to(SOURCE, ABORT, ID, payload().u64(ID));
        assert_eq!(abort, Err(Rule::TransactionOpen));
    });
    assert_eq!(twice, Ok(()));
}
