//! Looks on behalf of watches, which fail no call (P-142, P-312).

use super::*;

const BUSY: u32 = 6;

/// A look at a value, or at all of them, that the source refuses.
fn look_in_vain(wire: &mut Wire, name: &str, query_all: u8) {
    wire.exchange(0x20, payload().guid(NEW).bytes(name).u8(query_all), BUSY).unwrap();
}

#[test]
fn a_look_before_a_removal_may_be_refused() {
    let removal = |status: u32| {
        move |wire: &mut Wire| {
            look_in_vain(wire, "v", 0);
            wire.exchange(0x22, payload().guid(NEW).bytes("v").bytes("base"), status).unwrap();
            if status == 0 {
                wire.done(0x12, write_time(NEW));
            }
        }
    };
    assert_eq!(judged(&unset(""), &DONE, removal(0)), Ok(()));
    assert_eq!(refused(&unset(""), Errno::EINVAL, removal(7)), Ok(()));
    assert_eq!(refused(&unset(""), Errno::EIO, removal(7)), Err(Rule::StatusInvalid));
    let look = |wire: &mut Wire| look_in_vain(wire, "v", 0);
    assert_eq!(refused(&unset(""), Errno::ETIMEDOUT, look), Ok(()), "the removal got no slot");
}

#[test]
fn a_look_before_a_blanket_tombstone_may_be_refused() {
    for set in [0, 1] {
        let sent = |wire: &mut Wire| {
            look_in_vain(wire, "", 1);
            let number = u64::from(set) * 101;
            wire.done(0x23, payload().guid(NEW).bytes("base").u8(set).u64(number));
            wire.done(0x12, write_time(NEW));
        };
        assert_eq!(judged(&blanket("", set), &DONE, sent), Ok(()));
    }
}

#[test]
fn only_the_first_look_of_a_write_is_its_own() {
    let call = set(b"v", 1, b"data", b"", 0);
    let write = |wire: &mut Wire| {
        let write = payload().guid(NEW).bytes("v").bytes("base").u32(1).bytes("data");
        wire.done(0x21, write.u64(101).u64(0));
        wire.done(0x12, write_time(NEW));
    };
    let second = |wire: &mut Wire| {
        wire.ask(NEW, "v", 0);
        look_in_vain(wire, "v", 0);
        write(wire);
    };
    assert_eq!(judged(&call, &DONE, second), Ok(()));
    let first = |wire: &mut Wire| {
        look_in_vain(wire, "v", 0);
        write(wire);
    };
    assert_eq!(judged(&call, &DONE, first), Err(Rule::StatusBusy));
}
