//! Keys without a name: they are dropped when nothing stands for them.

use super::*;

const KEY: [u8; 16] = [5; 16];
const FD: Fd = 9;
const STORAGE_ERROR: u32 = 3;

/// With a key that was created, opened by `FD`.
fn created() -> Wire {
    let mut wire = with_fds();
    let made = Observation::Opened { fd: FD, disposition: Some(1) };
    wire.judge(&create(0, None), &made, |wire| {
        wire.miss("Name");
        wire.done(0x02, create_entry(KEY, 101));
        wire.done(0x10, create_key(KEY));
    })
    .unwrap();
    wire
}

fn deletion(wire: &mut Wire) {
    wire.done(0x04, payload().guid(ROOT).bytes("Name").bytes("base"));
    wire.done(0x12, write_time(ROOT));
}

fn undropped(wire: &mut Wire) -> Rule {
    wire.monitor.quiescent().unwrap_err().rule
}

#[test]
fn an_orphan_is_dropped_when_its_last_fd_is_closed() {
    let orphaned = || {
        let mut wire = created();
        wire.judge(&delete(FD, ""), &DONE, deletion).unwrap();
        assert_eq!(wire.monitor.quiescent(), Ok(()));
        wire
    };
    let close = Call::Close { fd: FD };
    let mut wire = orphaned();
    wire.judge(&close, &DONE, |wire| wire.done(0x13, payload().guid(KEY))).unwrap();
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    wire.covers(&["OP-31", "DEL-23"]);
    let mut wire = orphaned();
    wire.judge(&close, &DONE, |_| ()).unwrap();
    assert_eq!(undropped(&mut wire), Rule::OrphanDropped);
    assert_eq!(wire.monitor.quiescent(), Ok(()), "it is named once");
    let mut wire = orphaned();
    wire.judge(&close, &DONE, |_| ()).unwrap();
    wire.monitor.connection_closed(SOURCE);
    assert_eq!(wire.monitor.quiescent(), Ok(()), "the source purges it itself");
}

#[test]
fn a_close_that_finds_no_slot_drops_nothing() {
    let closed = |in_flight: u64| {
        let mut wire = created();
        wire.judge(&delete(FD, ""), &DONE, deletion).unwrap();
        let first = wire.last_id + 1;
        for _ in 0..in_flight {
            wire.send(0x01, payload().guid(ROOT).bytes("a")).unwrap();
        }
        wire.judge(&Call::Close { fd: FD }, &DONE, |_| ()).unwrap();
        for id in first..first + in_flight {
            wire.frame(SOURCE, false, message(id, 0x8001, None, &payload().u32(1).0)).unwrap();
        }
        wire.monitor.quiescent().map_err(|violation| violation.rule)
    };
    assert_eq!(closed(256), Ok(()));
    assert_eq!(closed(255), Err(Rule::OrphanDropped));
}

#[test]
fn what_hiding_or_a_layer_deletion_orphans_is_dropped_at_once() {
    let closed = || {
        let mut wire = created();
        wire.judge(&Call::Close { fd: FD }, &DONE, |_| ()).unwrap();
        wire.monitor.call_began();
        wire
    };
    let mut wire = closed();
    wire.done(0x03, payload().guid(ROOT).bytes("name").bytes("Base").u64(102));
    assert_eq!(undropped(&mut wire), Rule::OrphanDropped);
    let mut wire = closed();
    wire.done(0x03, payload().guid(ROOT).bytes("Name").bytes("gpo").u64(102));
    assert_eq!(wire.monitor.quiescent(), Ok(()), "another layer names it");
    let mut wire = closed();
    wire.send(0x50, payload().bytes("role")).unwrap();
    wire.answer(0x50, payload().u32(0).u32(1).guid([7; 16])).unwrap();
    assert_eq!(undropped(&mut wire), Rule::OrphanDropped);
}

#[test]
fn an_fd_that_may_stand_for_an_orphan_keeps_it() {
    const FRIEND: ProcessId = ProcessId(2);
    let mut wire = created();
    let pass = Call::Pass { fd: FD, to: FRIEND };
    wire.judge(&pass, &Observation::Passed { fd: 3 }, |_| ()).unwrap();
    wire.judge(&delete(FD, ""), &DONE, deletion).unwrap();
    wire.judge(&Call::Close { fd: FD }, &DONE, |_| ()).unwrap();
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    wire.monitor.call_began();
    wire.monitor.call_ended(FRIEND, &Call::Close { fd: 3 }, &DONE, false).unwrap();
    assert_eq!(undropped(&mut wire), Rule::OrphanDropped);
}

#[test]
fn what_a_transaction_deletes_is_an_orphan_when_it_has_committed() {
    let deleted = |status: u32| {
        let mut wire = created();
        wire.judge(&Call::Close { fd: FD }, &DONE, |_| ()).unwrap();
        wire.monitor.call_began();
        wire.bind(9, 0, 0);
        wire.tell(9, 0x04, payload().guid(ROOT).bytes("Name").bytes("base"), 0);
        wire.tell(9, 0x12, write_time(ROOT), 0);
        wire.end(0x31, 9, status);
        if status != 0 {
            wire.end(0x32, 9, 0);
        }
        wire.monitor.quiescent().map_err(|violation| violation.rule)
    };
    assert_eq!(deleted(0), Err(Rule::OrphanDropped));
    assert_eq!(deleted(3), Ok(()));
}

#[test]
fn a_key_whose_record_was_refused_is_not_dropped() {
    let mut wire = with_fds();
    let failed = Observation::Failed(Errno::EIO);
    wire.judge(&create(0, None), &failed, |wire| {
        wire.miss("Name");
        wire.done(0x02, create_entry(KEY, 101));
        wire.exchange(0x10, create_key(KEY), STORAGE_ERROR).unwrap();
        wire.done(0x04, payload().guid(ROOT).bytes("Name").bytes("base"));
    })
    .unwrap();
    assert_eq!(wire.monitor.quiescent(), Ok(()));
}
