//! Calls that time out: what becomes of their numbers and of the slots that they waited for.

use super::*;

fn lookup() -> Payload {
    payload().guid(ROOT).bytes("a")
}

#[test]
fn the_number_of_a_request_that_timed_out_is_not_given_out_again() {
    let mut wire = Wire::new();
    wire.send(0x21, set_value(101)).unwrap();
    wire.monitor.gave_up();
    wire.covers_none_of(&["SEQ-09"]);
    assert_eq!(wire.clone().send(0x21, set_value(101)), Err(Rule::SequenceOrder));
    wire.send(0x21, set_value(102)).unwrap();
    wire.covers(&["SEQ-09"]);
}

#[test]
fn an_unnumbered_request_that_timed_out_shows_nothing_of_numbers() {
    let mut wire = Wire::new();
    wire.send(0x01, lookup()).unwrap();
    wire.monitor.gave_up();
    wire.send(0x21, set_value(101)).unwrap();
    wire.covers_none_of(&["SEQ-09"]);
}

/// Takes every slot, lets calls time out, answers all and takes every slot again.
fn filled_twice(calls_without_a_slot: usize) -> Wire {
    let mut wire = Wire::new();
    for _ in 0..256 {
        wire.send(0x01, lookup()).unwrap();
    }
    for _ in 0..1 + calls_without_a_slot {
        wire.monitor.gave_up();
    }
    for id in 1..=256 {
        let answer = message(id, 0x8001, None, &payload().u32(1).0);
        wire.frame(SOURCE, false, answer).unwrap();
    }
    for _ in 0..256 {
        wire.send(0x01, lookup()).unwrap();
    }
    wire
}

#[test]
fn calls_that_waited_for_a_slot_in_vain_have_taken_none() {
    filled_twice(1).covers(&["RSI-31"]);
    filled_twice(0).covers_none_of(&["RSI-31"]);
}
