//! What changes and reads send beside themselves.

use super::*;

/// An fd of `Users\alice`, whose key is `USER`.
const ALICE: Fd = 7;
const USERS: [u8; 16] = [5; 16];
const USER: [u8; 16] = [6; 16];

/// Beside `with_fds`, an fd in a hive without settings.
fn with_user() -> Wire {
    let mut wire = with_fds();
    wire.monitor.registered(SOURCE, 100, &[served(USERS)]);
    let find = |wire: &mut Wire| wire.find(USERS, "alice", USER);
    wire.judge(&open(-1, b"Users\\alice"), &opened(ALICE), find).unwrap();
    wire
}

fn on_user(mut call: Call) -> Call {
    match &mut call {
        Call::SetValue { fd, .. } => *fd = ALICE,
        _ => unreachable!("no call of these tests"),
    }
    call
}

fn write(wire: &mut Wire) {
    wire.ask(USER, "v", 0);
    let write = payload().guid(USER).bytes("v").bytes("base").u32(1).bytes("data");
    wire.done(0x21, write.u64(101).u64(0));
    wire.done(0x12, write_time(USER));
}

#[test]
fn a_read_changes_nothing() {
    let read = Call::QueryKeyInfo { fd: ALICE, name_capacity: 9 };
    let writes = |wire: &mut Wire| wire.done(0x12, write_time(USER));
    let judged = with_user().judge(&read, &Observation::Failed(Errno::EIO), writes);
    assert_eq!(judged, Err(Rule::ReadChangesNothing));
}

#[test]
fn arming_a_watch_changes_nothing() {
    let arm = Call::Notify { fd: ALICE, filter: 7, subtree: 1 };
    assert_eq!(with_user().judge(&arm, &DONE, |wire| wire.ask(USER, "", 1)), Ok(()));
    let writes = |wire: &mut Wire| wire.done(0x12, write_time(USER));
    assert_eq!(with_user().judge(&arm, &DONE, writes), Err(Rule::ArmingChangesNothing));
}

#[test]
fn a_write_looks_at_its_own_key_and_changes_nothing_else() {
    let set = on_user(set(b"v", 1, b"data", b"", 0));
    let after = |more: fn(&mut Wire)| {
        with_user().judge(&set, &DONE, |wire| {
            write(wire);
            more(wire);
        })
    };
    assert_eq!(after(|wire| wire.ask(USER, "v", 0)), Ok(()));
    assert_eq!(after(|wire| wire.ask(NEW, "v", 0)), Err(Rule::KeyLooks));
    assert_eq!(after(|wire| wire.find(USERS, "alice", USER)), Err(Rule::KeyLooks));
    let many = |wire: &mut Wire| (0..30).for_each(|_| wire.ask(USER, "v", 0));
    assert_eq!(after(many), Err(Rule::KeyLooks));
    let other = |wire: &mut Wire| {
        let removal = payload().guid(USER).bytes("w").bytes("base");
        wire.done(0x22, removal);
        wire.done(0x12, write_time(USER));
    };
    assert_eq!(after(other), Err(Rule::ChangesAsAsked));
    let layer = |wire: &mut Wire| {
        wire.send(0x50, payload().bytes("role")).unwrap();
        wire.answer(0x50, payload().u32(0).u32(0)).unwrap();
    };
    assert_eq!(after(layer), Err(Rule::ChangesAsAsked));
}

#[test]
fn a_change_in_the_machine_hive_may_look_for_the_settings() {
    let set = set(b"v", 1, b"data", b"", 0);
    let judged = |name: &'static str| {
        with_fds().judge(&set, &DONE, |wire| {
            wire.write("base", 1, "data", 101, 0);
            wire.miss(name);
        })
    };
    assert_eq!(judged("System"), Ok(()));
    assert_eq!(judged("Other"), Err(Rule::KeyLooks));
}

#[test]
fn a_deletion_looks_at_its_own_place() {
    let delete = delete(NAME, "");
    let judged = |more: fn(&mut Wire)| {
        with_fds().judge(&delete, &DONE, |wire| {
            wire.find(ROOT, "Name", NEW);
            wire.done(0x04, payload().guid(ROOT).bytes("Name").bytes("base"));
            wire.done(0x12, write_time(ROOT));
            more(wire);
        })
    };
    assert_eq!(judged(|wire| wire.miss("name")), Ok(()));
    assert_eq!(judged(|wire| wire.miss("Other")), Err(Rule::PlaceLooks));
    assert_eq!(judged(|wire| wire.ask(NEW, "", 1)), Err(Rule::PlaceLooks));
}
