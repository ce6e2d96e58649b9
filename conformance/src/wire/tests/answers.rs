//! Answers that no source can give: statuses by operation, entries that come twice, fields that
//! change, and limits that follow the settings.

use super::*;

fn answered(op_code: u16, fields: Payload, status: u32) -> Result<(), Rule> {
    Wire::new().exchange(op_code, fields, status)
}

#[test]
fn a_status_is_one_that_the_operation_can_have() {
    const FORBIDDEN: Result<(), Rule> = Err(Rule::StatusOfOperation);
    let removal = || payload().guid(ROOT).bytes("v").bytes("base");
    let write = |expected| {
        let write = payload().guid(ROOT).bytes("v").bytes("base").u32(1).bytes("data");
        write.u64(101).u64(expected)
    };
    assert_eq!(answered(0x13, payload().guid(NEW), 1), FORBIDDEN);
    assert_eq!(answered(0x13, payload().guid(NEW), 4), Ok(()));
    assert_eq!(answered(0x50, payload().bytes("role"), 1), FORBIDDEN);
    assert_eq!(answered(0x21, write(7), 8), Ok(()));
    assert_eq!(answered(0x21, write(0), 8), FORBIDDEN);
    assert_eq!(answered(0x22, removal(), 8), FORBIDDEN);
    assert_eq!(answered(0x22, removal(), 9), FORBIDDEN);
    assert_eq!(answered(0x22, removal(), 4), FORBIDDEN);
    let mut wire = Wire::new();
    assert_eq!(wire.exchange(0x22, removal(), 1), Ok(()), "it may have no such key");
    wire.send(0x11, payload().guid(ROOT)).unwrap();
    let record = payload().u32(0).bytes("Machine").guid([0; 16]).bytes(security_descriptor());
    wire.answer(0x11, record.u8(0).u8(0).u64(1)).unwrap();
    assert_eq!(wire.exchange(0x22, removal(), 1), FORBIDDEN);
}

#[test]
fn an_open_transaction_is_aborted_unless_the_store_fails() {
    let abort = |status: u32| {
        let mut wire = Wire::new();
        wire.send_to(SOURCE, 0x30, 9, payload().u64(9).u32(0)).unwrap();
        wire.answer(0x30, payload().u32(0)).unwrap();
        wire.send_to(SOURCE, 0x32, 9, payload().u64(9)).unwrap();
        wire.answer(0x32, payload().u32(status))
    };
    assert_eq!(abort(0), Ok(()));
    assert_eq!(abort(3), Ok(()));
    assert_eq!(abort(6), Err(Rule::StatusOfOperation));
    assert_eq!(abort(7), Err(Rule::StatusOfOperation));
}

fn hidden(payload: Payload, layer: &str) -> Payload {
    payload.bytes(layer).u8(1).guid([0; 16]).u64(1)
}

#[test]
fn no_entry_comes_twice() {
    let lookup = |layers: [&str; 2]| {
        let mut wire = Wire::new();
        wire.send(0x01, payload().guid(ROOT).bytes("a")).unwrap();
        let answer = layers.iter().fold(payload().u32(0).u32(2), |answer, of| hidden(answer, of));
        wire.answer(0x01, answer.u32(0))
    };
    assert_eq!(lookup(["gpo", "GPO"]), Err(Rule::LayerOnce));
    assert_eq!(lookup(["gpo", "role"]), Ok(()));
    let children = |names: [&str; 2], layer: &str| {
        let mut wire = Wire::new();
        wire.send(0x05, payload().guid(ROOT)).unwrap();
        let first = hidden(payload().u32(0).u32(2).bytes(names[0]).u32(1), "base");
        let second = hidden(first.bytes(names[1]).u32(1), layer);
        wire.answer(0x05, second.u32(0))
    };
    assert_eq!(children(["a", "b"], "base"), Ok(()));
    assert_eq!(children(["a", "A"], "gpo"), Ok(()), "a layer has its own spelling (P-67)");
    assert_eq!(children(["a", "A"], "base"), Err(Rule::LayerOnce));
    assert_eq!(children(["a", "a"], "gpo"), Err(Rule::ChildOnce));
    let values = |names: [&str; 2], blankets: [&str; 2]| {
        let mut wire = Wire::new();
        wire.send(0x20, payload().guid(ROOT).bytes("").u8(1)).unwrap();
        let value =
            |answer: Payload, name: &&str| answer.bytes(name).bytes("base").u32(1).bytes("").u64(1);
        let answer = names.iter().fold(payload().u32(0).u32(2), value).u32(2);
        let answer = blankets.iter().fold(answer, |answer, of| answer.bytes(of).u64(1));
        wire.answer(0x20, answer)
    };
    assert_eq!(values(["v", "V"], ["base", "gpo"]), Err(Rule::ValueOnce));
    assert_eq!(values(["v", "w"], ["base", "Base"]), Err(Rule::ValueOnce));
    assert_eq!(values(["v", "w"], ["base", "gpo"]), Ok(()));
}

#[test]
fn the_flags_the_name_and_the_parent_of_a_key_stay() {
    let created = || {
        let mut wire = Wire::new();
        wire.exchange(0x02, create_entry(NEW, 101), 0).unwrap();
        wire.exchange(0x10, create_key(NEW), 0).unwrap();
        wire
    };
    let read = |wire: &mut Wire, name: &str, parent: [u8; 16], flags: (u8, u8)| {
        wire.send(0x11, payload().guid(NEW)).unwrap();
        let record = payload().u32(0).bytes(name).guid(parent).bytes(security_descriptor());
        wire.answer(0x11, record.u8(flags.0).u8(flags.1).u64(1))
    };
    const CHANGED: Result<(), Rule> = Err(Rule::ImmutableFields);
    assert_eq!(read(&mut created(), "Name", ROOT, (0, 0)), Ok(()));
    assert_eq!(read(&mut created(), "name", ROOT, (0, 0)), CHANGED);
    assert_eq!(read(&mut created(), "Name", NEW, (0, 0)), CHANGED);
    assert_eq!(read(&mut created(), "Name", ROOT, (1, 0)), CHANGED);
    assert_eq!(read(&mut created(), "Name", ROOT, (0, 1)), CHANGED);
    let mut wire = Wire::new();
    assert_eq!(read(&mut wire, "Name", ROOT, (0, 1)), Ok(()), "the first time it is learned");
    wire.send(0x01, payload().guid(ROOT).bytes("Name")).unwrap();
    let entries = payload().u32(0).u32(1).bytes("base").u8(0).guid(NEW).u64(1).u32(1);
    assert_eq!(wire.answer(0x01, metadata(entries, NEW)), CHANGED);
}

#[test]
fn fields_have_their_sizes() {
    let long = "n".repeat(1_025);
    assert_eq!(Wire::new().send(0x01, payload().guid(ROOT).bytes(&long)), Err(Rule::KeyName));
    let question = payload().guid(ROOT).bytes(&long).u8(0);
    assert_eq!(Wire::new().send(0x20, question), Err(Rule::ValueName));
    assert_eq!(Wire::new().send(0x01, payload().guid(ROOT).bytes(&long[1..])), Ok(()));
    let descriptor = |size: usize| {
        let mut bytes = security_descriptor();
        bytes.resize(size, 0);
        Wire::new().send(0x12, payload().guid(ROOT).u32(1).bytes(bytes))
    };
    assert_eq!(descriptor(65_535), Ok(()));
    assert_eq!(descriptor(65_536), Err(Rule::SecurityDescriptor));
    assert_eq!(Wire::new().send(0x12, payload().guid(ROOT).u32(0)), Err(Rule::WriteKeyMask));
}

const REGISTRY: [u8; 16] = [9; 16];

/// With the key of the parameters known.
fn with_parameters() -> Wire {
    let mut wire = Wire::new();
    for (parent, name, found) in [(ROOT, "System", [8; 16]), ([8; 16], "Registry", REGISTRY)] {
        wire.send(0x01, payload().guid(parent).bytes(name)).unwrap();
        let entries = payload().u32(0).u32(1).bytes("base").u8(0).guid(found).u64(1).u32(1);
        wire.answer(0x01, metadata(entries, found)).unwrap();
    }
    wire
}

fn limit_to(wire: &mut Wire, number: u32, layer: &str) {
    wire.send(0x20, payload().guid(REGISTRY).bytes("").u8(1)).unwrap();
    let values = payload().u32(0).u32(1).bytes("MaxConcurrentRSIRequests").bytes(layer);
    let values = values.u32(4).bytes(number.to_le_bytes()).u64(1).u32(0);
    wire.answer(0x20, values).unwrap();
}

/// How many requests may wait for their answers.
fn in_flight(mut wire: Wire) -> u32 {
    let mut count = 0;
    while wire.send(0x11, payload().guid(ROOT)).is_ok() {
        count += 1;
    }
    count
}

#[test]
fn the_limit_of_requests_in_flight_follows_the_settings() {
    let limited = |number: u32, layer: &str| {
        let mut wire = with_parameters();
        limit_to(&mut wire, number, layer);
        in_flight(wire)
    };
    assert_eq!(in_flight(with_parameters()), 256);
    assert_eq!(limited(8, "base"), 256, "what goes with it may be asked for still");
    let in_force = |number: u32| {
        let mut wire = with_parameters();
        limit_to(&mut wire, number, "base");
        wire.monitor.call_began();
        in_flight(wire)
    };
    assert_eq!(in_force(8), 8);
    assert_eq!(limited(4_096, "base"), 4_096);
    assert_eq!(limited(4_097, "base"), 256, "it is out of range");
    assert_eq!(limited(8, "gpo"), 256, "the layer may have no effect");
    let mut wire = with_parameters();
    limit_to(&mut wire, 8, "base");
    wire.monitor.call_began();
    wire.monitor.rebooted();
    wire.monitor.connection_opened(SOURCE);
    wire.monitor.registered(SOURCE, 100, &[served(ROOT)]);
    assert_eq!(in_flight(wire), 256);
}
