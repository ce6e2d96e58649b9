//! Requests that break one rule each, and what right ones cover.

use super::*;

fn lookup(name: impl AsRef<[u8]>) -> Payload {
    payload().guid(ROOT).bytes(name)
}

#[test]
fn nothing_goes_to_a_source_before_it_has_registered() {
    let mut wire = Wire::new();
    let to_other = |wire: &mut Wire| wire.send_to(OTHER, 0x01, 0, lookup("a"));
    assert_eq!(to_other(&mut wire), Err(Rule::Registered));
    wire.monitor.connection_opened(OTHER);
    assert_eq!(to_other(&mut wire), Err(Rule::Registered));
    wire.monitor.registered(OTHER, 0, &[served(ROOT)]);
    assert_eq!(to_other(&mut wire), Ok(()));
    wire.monitor.connection_closed(OTHER);
    assert_eq!(to_other(&mut wire), Err(Rule::Registered));
}

#[test]
fn a_request_shorter_than_its_header_breaks_the_header() {
    assert_eq!(Wire::new().frame(SOURCE, true, vec![0; 21]), Err(Rule::RequestHeader));
}

#[test]
fn total_len_is_exact() {
    let mut bytes = message(1, 0x01, Some(0), &lookup("a").0);
    bytes.push(0);
    assert_eq!(Wire::new().frame(SOURCE, true, bytes.clone()), Err(Rule::TotalLength));
    bytes.truncate(bytes.len() - 2);
    assert_eq!(Wire::new().frame(SOURCE, true, bytes), Err(Rule::TotalLength));
}

#[test]
fn an_unknown_op_code_is_refused() {
    assert_eq!(Wire::new().send(0x06, payload()), Err(Rule::KnownOpCode));
    assert_eq!(Wire::new().send(0x8001, lookup("a")), Err(Rule::KnownOpCode));
}

#[test]
fn request_ids_only_grow_on_one_connection() {
    let mut wire = Wire::new();
    wire.last_id = 8;
    wire.send(0x01, lookup("a")).unwrap();
    wire.covers_none_of(&["RSI-03", "RSI-04", "RSI-05"]);
    wire.last_id = 8;
    assert_eq!(wire.send(0x01, lookup("a")), Err(Rule::RequestIdGrows));
    wire.send(0x01, lookup("a")).unwrap();
    wire.covers(&["RSI-03", "RSI-04"]);
    wire.covers_none_of(&["RSI-05"]);
    wire.monitor.gave_up();
    wire.send(0x01, lookup("a")).unwrap();
    wire.covers(&["RSI-05"]);
    wire.monitor.connection_opened(SOURCE);
    wire.monitor.registered(SOURCE, 100, &[served(ROOT)]);
    wire.last_id = 0;
    assert_eq!(wire.send(0x01, lookup("a")), Ok(()));
}

#[test]
fn at_most_256_requests_are_in_flight() {
    let mut wire = Wire::new();
    for _ in 0..256 {
        wire.send(0x01, lookup("a")).unwrap();
    }
    assert_eq!(wire.send(0x01, lookup("a")), Err(Rule::InFlight));
}

#[test]
fn a_payload_has_the_fields_of_its_table_and_no_others() {
    assert_eq!(Wire::new().send(0x01, lookup("a").u8(0)), Err(Rule::LookupRequest));
    assert_eq!(Wire::new().send(0x01, payload().guid(ROOT).u32(3)), Err(Rule::LookupRequest));
    let query_all_with_name = payload().guid(ROOT).bytes("v").u8(1);
    assert_eq!(Wire::new().send(0x20, query_all_with_name), Err(Rule::QueryValuesRequest));
    let flag_of_two = payload().guid(ROOT).bytes("").u8(2);
    assert_eq!(Wire::new().send(0x20, flag_of_two), Err(Rule::QueryValuesRequest));
    let unknown_mode = payload().u64(1).u32(2);
    let sent = Wire::new().send_to(SOURCE, 0x30, 1, unknown_mode);
    assert_eq!(sent, Err(Rule::BeginTransactionRequest));
}

#[test]
fn key_names_are_single_components() {
    for name in [&b""[..], b"a\\b", b"a/b", b"a\0", b"\xff"] {
        assert_eq!(Wire::new().send(0x01, lookup(name)), Err(Rule::KeyName), "{name:?}");
    }
    let mut wire = Wire::new();
    wire.covers_none_of(&["CONV-28"]);
    assert_eq!(wire.send(0x01, lookup("a b\u{e9}")), Ok(()));
    wire.covers(&["CONV-28"]);
}

#[test]
fn value_names_may_have_separators_and_no_nul() {
    let query = |name: &[u8]| payload().guid(ROOT).bytes(name).u8(0);
    assert_eq!(Wire::new().send(0x20, query(b"a\\b/c")), Ok(()));
    assert_eq!(Wire::new().send(0x20, query(b"")), Ok(()));
    assert_eq!(Wire::new().send(0x20, query(b"\0")), Err(Rule::ValueName));
    assert_eq!(Wire::new().send(0x20, query(b"\xc0")), Err(Rule::ValueName));
}

#[test]
fn layer_names_are_never_empty() {
    for name in ["", "a\\b"] {
        let sent = Wire::new().send(0x50, payload().bytes(name));
        assert_eq!(sent, Err(Rule::LayerName), "{name:?}");
    }
}

#[test]
fn the_base_layer_is_never_deleted_in_any_spelling() {
    for name in ["base", "BASE", "ba\u{17f}e"] {
        assert_eq!(Wire::new().send(0x50, payload().bytes(name)), Err(Rule::BaseLayer), "{name:?}");
    }
}

#[test]
fn types_are_known_and_tombstones_empty() {
    let set = |value_type, data: &str| {
        payload().guid(ROOT).bytes("v").bytes("base").u32(value_type).bytes(data).u64(101).u64(0)
    };
    assert_eq!(Wire::new().send(0x21, set(11, "x")), Ok(()));
    assert_eq!(Wire::new().send(0x21, set(12, "x")), Err(Rule::ValueType));
    assert_eq!(Wire::new().send(0x21, set(0xFFFF, "")), Ok(()));
    assert_eq!(Wire::new().send(0x21, set(0xFFFF, "x")), Err(Rule::Tombstone));
}

#[test]
fn a_new_security_descriptor_is_self_relative() {
    let mut bytes = security_descriptor();
    bytes[3] = 0;
    let write = payload().guid(ROOT).u32(1).bytes(bytes);
    assert_eq!(Wire::new().send(0x12, write), Err(Rule::SecurityDescriptor));
}

#[test]
fn write_key_names_no_immutable_field() {
    let write = payload().guid(ROOT).u32(4).u8(1);
    assert_eq!(Wire::new().send(0x12, write), Err(Rule::WriteKeyMask));
}

#[test]
fn sequence_numbers_go_up_over_all_sources() {
    let mut wire = Wire::new();
    wire.monitor.connection_opened(OTHER);
    wire.monitor.registered(OTHER, 50, &[served(ROOT)]);
    wire.send(0x21, set_value(101)).unwrap();
    wire.covers_none_of(&["SEQ-01", "SEQ-06"]);
    wire.send_to(OTHER, 0x21, 0, set_value(103)).unwrap();
    wire.covers(&["SEQ-01", "SEQ-03", "SEQ-06", "SEQ-13"]);
    assert_eq!(wire.send(0x21, set_value(103)), Err(Rule::SequenceOrder));
    assert_eq!(wire.send(0x21, set_value(102)), Err(Rule::SequenceOrder));
}

#[test]
fn concurrent_calls_may_send_numbers_out_of_order_but_once() {
    let mut wire = Wire::of(WireMonitor::for_concurrent_calls());
    wire.send(0x21, set_value(102)).unwrap();
    wire.send(0x21, set_value(101)).unwrap();
    wire.send(0x21, set_value(103)).unwrap();
    assert_eq!(wire.send(0x21, set_value(102)), Err(Rule::SequenceUnique));
}

#[test]
fn calls_that_overlap_send_numbers_out_of_order_but_above_those_before_them() {
    let mut wire = Wire::new();
    wire.send(0x21, set_value(105)).unwrap();
    wire.monitor.overlap_began();
    wire.send(0x21, set_value(108)).unwrap();
    wire.send(0x21, set_value(107)).unwrap();
    assert_eq!(wire.send(0x21, set_value(108)), Err(Rule::SequenceUnique));
    assert_eq!(wire.send(0x21, set_value(104)), Err(Rule::SequenceOrder));
    wire.monitor.overlap_ended();
    assert_eq!(wire.send(0x21, set_value(106)), Err(Rule::SequenceOrder));
    wire.send(0x21, set_value(109)).unwrap();
}

#[test]
fn sequence_numbers_are_above_what_sources_reported() {
    assert_eq!(Wire::new().send(0x21, set_value(100)), Err(Rule::SequenceAboveStored));
    let mut wire = Wire::new();
    wire.send(0x21, set_value(101)).unwrap();
    wire.monitor.connection_opened(OTHER);
    wire.monitor.registered(OTHER, 500, &[]);
    assert_eq!(wire.send(0x21, set_value(102)), Err(Rule::SequenceAboveStored));
    wire.covers_none_of(&["SEQ-15"]);
    wire.send(0x21, set_value(501)).unwrap();
    wire.covers(&["SEQ-15"]);
}

#[test]
fn a_reboot_begins_above_the_stored_numbers_again() {
    let mut wire = Wire::new();
    wire.send(0x21, set_value(110)).unwrap();
    wire.monitor.rebooted();
    assert_eq!(wire.send(0x21, set_value(111)), Err(Rule::Registered));
    wire.monitor.connection_opened(SOURCE);
    wire.monitor.registered(SOURCE, 105, &[served(ROOT)]);
    assert_eq!(wire.send(0x21, set_value(105)), Err(Rule::SequenceAboveStored));
    wire.covers_none_of(&["SEQ-14"]);
    wire.send(0x21, set_value(106)).unwrap();
    wire.covers(&["SEQ-14"]);
}

#[test]
fn the_number_of_a_refused_request_is_not_used_again() {
    let mut wire = Wire::new();
    wire.exchange(0x21, set_value(101), 3).unwrap();
    wire.covers_none_of(&["SEQ-08"]);
    assert_eq!(wire.send(0x21, set_value(101)), Err(Rule::SequenceOrder));
    wire.send(0x21, set_value(102)).unwrap();
    wire.covers(&["SEQ-08"]);
}

#[test]
fn no_layered_entry_is_written_under_number_0() {
    let hide = payload().guid(ROOT).bytes("Name").bytes("base").u64(0);
    assert_eq!(Wire::new().send(0x02, create_entry(NEW, 0)), Err(Rule::EntrySequence));
    assert_eq!(Wire::new().send(0x03, hide), Err(Rule::HideSequence));
    assert_eq!(Wire::new().send(0x21, set_value(0)), Err(Rule::ValueSequence));
    assert_eq!(Wire::new().send(0x23, set_blanket(1, 0)), Err(Rule::BlanketSequence));
}

#[test]
fn removing_a_blanket_tombstone_sends_no_number() {
    assert_eq!(Wire::new().send(0x23, set_blanket(0, 0)), Ok(()));
    assert_eq!(Wire::new().send(0x23, set_blanket(0, 101)), Err(Rule::BlanketRemoval));
}

#[test]
fn a_creation_is_an_entry_and_then_its_key_record() {
    let mut wire = Wire::new();
    wire.exchange(0x02, create_entry(NEW, 101), 0).unwrap();
    wire.covers_none_of(&["OP-12", "SYS-76"]);
    wire.exchange(0x10, create_key(NEW), 0).unwrap();
    wire.covers(&["OP-12", "SYS-76", "SYS-77", "PATH-11"]);
    assert_eq!(wire.monitor.quiescent(), Ok(()));
}

#[test]
fn a_key_record_may_come_before_its_entry_in_a_transaction() {
    let mut wire = Wire::new();
    begin(&mut wire, 9, 0).unwrap();
    wire.send_to(SOURCE, 0x10, 9, create_key(NEW)).unwrap();
    wire.send_to(SOURCE, 0x02, 9, create_entry(NEW, 101)).unwrap();
    wire.covers(&["OP-12"]);
    wire.covers_none_of(&["SYS-76"]);
}

#[test]
fn an_entry_without_a_key_record_is_missed_when_all_is_quiet() {
    let mut wire = Wire::new();
    wire.send(0x02, create_entry(NEW, 101)).unwrap();
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    wire.answer(0x02, payload().u32(0)).unwrap();
    assert_eq!(wire.monitor.quiescent().unwrap_err().rule, Rule::EntryWithKey);
    assert_eq!(wire.monitor.quiescent(), Ok(()));
}

#[test]
fn a_refused_entry_needs_no_key_record() {
    let mut wire = Wire::new();
    wire.exchange(0x02, create_entry(NEW, 101), 2).unwrap();
    assert_eq!(wire.monitor.quiescent(), Ok(()));
}

#[test]
fn a_source_that_dies_between_entry_and_record_leaves_no_debt() {
    let mut wire = Wire::new();
    wire.exchange(0x02, create_entry(NEW, 101), 0).unwrap();
    wire.monitor.connection_closed(SOURCE);
    assert_eq!(wire.monitor.quiescent(), Ok(()));
}

#[test]
fn the_record_repeats_parent_and_name_of_the_entry() {
    let mut wire = Wire::new();
    wire.send(0x02, create_entry(NEW, 101)).unwrap();
    let elsewhere = create_key_below([9; 16], NEW, 0);
    assert_eq!(wire.send(0x10, elsewhere), Err(Rule::KeyRecord));
}

#[test]
fn a_new_key_has_a_guid_never_seen_before() {
    let mut wire = Wire::new();
    assert_eq!(wire.send(0x02, create_entry(ROOT, 101)), Err(Rule::FreshGuid));
    assert_eq!(wire.send(0x02, create_entry([0; 16], 102)), Err(Rule::FreshGuid));
    wire.exchange(0x02, create_entry(NEW, 103), 2).unwrap();
    assert_eq!(wire.send(0x02, create_entry(NEW, 104)), Err(Rule::FreshGuid));
    let entry = payload().u32(0).u32(1).bytes("base").u8(0).guid([7; 16]).u64(1).u32(1);
    wire.send(0x01, lookup("a")).unwrap();
    wire.answer(0x01, metadata(entry, [7; 16])).unwrap();
    assert_eq!(wire.send(0x02, create_entry([7; 16], 105)), Err(Rule::FreshGuid));
}

#[test]
fn a_guid_is_not_fresh_again_after_a_reboot() {
    let mut wire = Wire::new();
    wire.send(0x02, create_entry(NEW, 101)).unwrap();
    wire.monitor.rebooted();
    wire.monitor.connection_opened(SOURCE);
    wire.monitor.registered(SOURCE, 101, &[served(ROOT)]);
    assert_eq!(wire.send(0x02, create_entry(NEW, 102)), Err(Rule::FreshGuid));
}

#[test]
fn a_child_of_a_volatile_key_is_volatile() {
    let mut wire = Wire::new();
    wire.send(0x02, create_entry(NEW, 101)).unwrap();
    wire.send(0x10, create_key_below(ROOT, NEW, 1)).unwrap();
    assert_eq!(wire.send(0x10, create_key_below(NEW, [3; 16], 0)), Err(Rule::VolatileChild));
    let below = payload().guid(NEW).bytes("Name").bytes("base").guid([4; 16]).u64(102);
    wire.send(0x02, below).unwrap();
    assert_eq!(wire.send(0x10, create_key_below(NEW, [4; 16], 1)), Ok(()));
}

#[test]
fn a_guid_may_be_volatile_in_one_source_alone() {
    let (mut keys, mut held) = (Keys::default(), Held::default());
    keys.returned(SOURCE, NEW, true);
    keys.returned(OTHER, NEW, false);
    let mut restored = |source: SourceId, guid: [u8; 16], volatile_key: bool| {
        let restored = keys.key_restored(&mut held, (source, guid), NEW, volatile_key);
        restored.map_err(|failure| failure.rule)
    };
    assert_eq!(restored(SOURCE, [3; 16], false), Err(Rule::VolatileChild));
    assert_eq!(restored(SOURCE, [3; 16], true), Ok(()));
    assert_eq!(restored(OTHER, [3; 16], false), Ok(()));
}

#[test]
fn a_hive_root_is_not_dropped() {
    assert_eq!(Wire::new().send(0x13, payload().guid(ROOT)), Err(Rule::DropRoot));
}

#[test]
fn a_key_is_dropped_only_when_nothing_names_it() {
    let delete = |name: &str, layer: &str| payload().guid(ROOT).bytes(name).bytes(layer);
    for (remove, expected) in [
        (None, Err(Rule::DropNamed)),
        (Some((0x04, delete("Name", "other"))), Err(Rule::DropNamed)),
        (Some((0x04, delete("elsewhere", "base"))), Err(Rule::DropNamed)),
        (Some((0x04, delete("NAME", "BASE"))), Ok(())),
        (Some((0x04, delete("\u{17f}", "base"))), Ok(())),
        (Some((0x03, delete("Name", "base").u64(102))), Ok(())),
        (Some((0x50, payload().bytes("other"))), Err(Rule::DropNamed)),
    ] {
        let mut wire = Wire::new();
        wire.exchange(0x02, create_entry(NEW, 101), 0).unwrap();
        wire.exchange(0x10, create_key(NEW), 0).unwrap();
        if let Some((op_code, payload)) = remove {
            wire.send(op_code, payload).unwrap();
        }
        assert_eq!(wire.send(0x13, payload().guid(NEW)), expected);
    }
}

#[test]
fn a_layer_deletion_may_orphan_its_keys() {
    let mut wire = Wire::new();
    let entry = payload().guid(ROOT).bytes("Name").bytes("role").guid(NEW).u64(101);
    wire.exchange(0x02, entry, 0).unwrap();
    wire.send(0x50, payload().bytes("Role")).unwrap();
    assert_eq!(wire.send(0x13, payload().guid(NEW)), Ok(()));
}

#[test]
fn values_of_a_dropped_key_are_not_touched() {
    let query = || payload().guid(NEW).bytes("").u8(1);
    let mut wire = Wire::new();
    wire.send(0x13, payload().guid(NEW)).unwrap();
    assert_eq!(wire.send(0x20, query()), Err(Rule::DroppedKey));
    let mut wire = Wire::of(WireMonitor::for_concurrent_calls());
    wire.send(0x13, payload().guid(NEW)).unwrap();
    assert_eq!(wire.send(0x20, query()), Ok(()));
}

#[test]
fn a_value_change_is_followed_by_the_last_write_time() {
    let delete_value = || payload().guid(ROOT).bytes("v").bytes("base");
    let set_security = || payload().guid(ROOT).u32(1).bytes(security_descriptor());
    for (op_code, change, rule, id) in [
        (0x21, set_value(101), Rule::SetTouchesKey, "KEY-27"),
        (0x22, delete_value(), Rule::DeleteTouchesKey, "KEY-28"),
        (0x12, set_security(), Rule::SecurityTouchesKey, "KEY-29"),
    ] {
        let mut wire = Wire::new();
        wire.exchange(op_code, change, 0).unwrap();
        let mut without = wire.monitor.clone();
        assert_eq!(without.quiescent().unwrap_err().rule, rule);
        wire.covers_none_of(&[id]);
        wire.exchange(0x12, write_time(ROOT), 0).unwrap();
        assert_eq!(wire.monitor.quiescent(), Ok(()));
        wire.covers(&[id]);
    }
}

#[test]
fn a_refused_value_change_leaves_the_last_write_time() {
    let mut wire = Wire::new();
    wire.exchange(0x21, set_value(101), 6).unwrap();
    assert_eq!(wire.monitor.quiescent(), Ok(()));
}

#[test]
fn a_layer_deletion_goes_to_every_registered_source() {
    let mut wire = Wire::new();
    wire.monitor.connection_opened(OTHER);
    wire.monitor.registered(OTHER, 0, &[]);
    wire.monitor.quiescent().unwrap();
    let no_orphans = || payload().u32(0).u32(0);
    wire.send(0x50, payload().bytes("role")).unwrap();
    wire.answer(0x50, no_orphans()).unwrap();
    let mut without = wire.monitor.clone();
    let violation = without.quiescent().unwrap_err();
    assert_eq!((violation.rule, violation.source), (Rule::LayerEverywhere, OTHER));
    wire.send_to(OTHER, 0x50, 0, payload().bytes("role")).unwrap();
    let bytes = message(wire.last_id, 0x8050, None, &no_orphans().0);
    wire.frame(OTHER, false, bytes).unwrap();
    assert_eq!(wire.monitor.quiescent(), Ok(()));
    wire.covers(&["LAYER-56", "DEL-12"]);
}

#[test]
fn a_source_that_had_no_slot_in_time_gets_no_deletion() {
    let delete = |wire: &mut Wire, layer: &str| {
        wire.send(0x50, payload().bytes(layer)).unwrap();
        wire.answer(0x50, payload().u32(0).u32(0)).unwrap();
    };
    let deleted = |in_flight: u64, layers: &[&str]| {
        let mut wire = Wire::new();
        wire.monitor.connection_opened(OTHER);
        wire.monitor.registered(OTHER, 0, &[]);
        wire.monitor.quiescent().unwrap();
        for _ in 0..in_flight {
            let elsewhere = payload().guid([9; 16]).bytes("a");
            wire.send_to(OTHER, 0x01, 0, elsewhere).unwrap();
        }
        delete(&mut wire, layers[0]);
        wire.monitor.gave_up();
        for id in 1..=in_flight {
            wire.frame(OTHER, false, message(id, 0x8001, None, &payload().u32(1).0)).unwrap();
        }
        layers[1..].iter().for_each(|layer| delete(&mut wire, layer));
        wire.monitor.quiescent().map_err(|violation| violation.rule)
    };
    assert_eq!(deleted(256, &["role"]), Ok(()));
    assert_eq!(deleted(255, &["role"]), Err(Rule::LayerEverywhere));
    // The next finds a slot.
    assert_eq!(deleted(256, &["role", "other"]), Err(Rule::LayerEverywhere));
}

#[test]
fn a_source_that_resumes_may_get_a_deletion_alone() {
    let mut wire = Wire::new();
    let deletion = |wire: &mut Wire| {
        wire.send(0x50, payload().bytes("role")).unwrap();
        wire.answer(0x50, payload().u32(0).u32(0)).unwrap();
        wire.monitor.quiescent().map_err(|violation| violation.rule)
    };
    wire.monitor.connection_opened(OTHER);
    wire.monitor.quiescent().unwrap();
    wire.monitor.registered(OTHER, 0, &[]);
    assert_eq!(deletion(&mut wire), Ok(()));
    assert_eq!(deletion(&mut wire), Err(Rule::LayerEverywhere));
}

#[test]
fn a_key_is_dropped_whose_layer_was_deleted_before_its_entry_was_told_of() {
    let entry = || payload().guid(ROOT).bytes("Name").bytes("role").guid(NEW).u64(101);
    let created = |wire: &mut Wire| {
        wire.send(0x02, entry()).unwrap();
        wire.last_id
    };
    let deleted = |wire: &mut Wire| {
        wire.send(0x50, payload().bytes("role")).unwrap();
        wire.last_id
    };
    let answer = |wire: &mut Wire, id: u64, op_code: u16| {
        let response = if op_code == 0x50 { payload().u32(0).u32(0) } else { payload().u32(0) };
        wire.frame(SOURCE, false, message(id, op_code | 0x8000, None, &response.0)).unwrap();
    };
    let drop = |wire: &mut Wire| {
        wire.exchange(0x10, create_key(NEW), 0).unwrap();
        wire.send(0x13, payload().guid(NEW))
    };
    let mut wire = Wire::new();
    let (entry_id, layer_id) = (created(&mut wire), deleted(&mut wire));
    answer(&mut wire, entry_id, 0x02);
    answer(&mut wire, layer_id, 0x50);
    assert_eq!(drop(&mut wire), Ok(()));
    let mut wire = Wire::new();
    let (layer_id, entry_id) = (deleted(&mut wire), created(&mut wire));
    answer(&mut wire, layer_id, 0x50);
    answer(&mut wire, entry_id, 0x02);
    assert_eq!(drop(&mut wire), Ok(()));
    let mut wire = Wire::new();
    let layer_id = deleted(&mut wire);
    answer(&mut wire, layer_id, 0x50);
    let entry_id = created(&mut wire);
    answer(&mut wire, entry_id, 0x02);
    assert_eq!(drop(&mut wire), Err(Rule::DropNamed));
}

fn begin(wire: &mut Wire, id: u64, mode: u32) -> Result<(), Rule> {
    wire.send_to(SOURCE, 0x30, id, payload().u64(id).u32(mode))?;
    wire.answer(0x30, payload().u32(0))
}

#[test]
fn a_transaction_id_is_used_between_begin_and_end() {
    let mut wire = Wire::new();
    let enlisted = |wire: &mut Wire| wire.send_to(SOURCE, 0x01, 9, lookup("a"));
    assert_eq!(enlisted(&mut wire), Err(Rule::TransactionOpen));
    begin(&mut wire, 9, 0).unwrap();
    assert_eq!(enlisted(&mut wire), Ok(()));
    wire.send_to(SOURCE, 0x31, 9, payload().u64(9)).unwrap();
    wire.answer(0x31, payload().u32(6)).unwrap();
    assert_eq!(enlisted(&mut wire), Ok(()));
    wire.send_to(SOURCE, 0x31, 9, payload().u64(9)).unwrap();
    wire.answer(0x31, payload().u32(0)).unwrap();
    assert_eq!(enlisted(&mut wire), Err(Rule::TransactionOpen));
    assert_eq!(begin(&mut wire, 9, 0), Err(Rule::TransactionId));
}

#[test]
fn a_refused_begin_leaves_the_id_free() {
    let mut wire = Wire::new();
    wire.send_to(SOURCE, 0x30, 9, payload().u64(9).u32(0)).unwrap();
    wire.answer(0x30, payload().u32(6)).unwrap();
    assert_eq!(begin(&mut wire, 9, 0), Ok(()));
}

#[test]
fn the_header_repeats_the_transaction_of_the_payload() {
    let sent = Wire::new().send_to(SOURCE, 0x30, 8, payload().u64(9).u32(0));
    assert_eq!(sent, Err(Rule::TransactionHeader));
    let sent = Wire::new().send_to(SOURCE, 0x30, 0, payload().u64(0).u32(0));
    assert_eq!(sent, Err(Rule::TransactionHeader));
}

#[test]
fn a_read_only_transaction_mutates_nothing_and_is_aborted() {
    let mut wire = Wire::new();
    begin(&mut wire, 9, 1).unwrap();
    let mutation = wire.send_to(SOURCE, 0x21, 9, set_value(101));
    assert_eq!(mutation, Err(Rule::ReadOnlyMutation));
    assert_eq!(wire.send_to(SOURCE, 0x01, 9, lookup("a")), Ok(()));
    assert_eq!(wire.send_to(SOURCE, 0x31, 9, payload().u64(9)), Err(Rule::ReadOnlyEnd));
    assert_eq!(wire.send_to(SOURCE, 0x32, 9, payload().u64(9)), Ok(()));
    wire.covers(&["OP-59"]);
}

#[test]
fn the_end_of_a_connection_ends_its_transactions() {
    let mut wire = Wire::new();
    begin(&mut wire, 9, 0).unwrap();
    wire.monitor.connection_opened(SOURCE);
    wire.monitor.registered(SOURCE, 100, &[served(ROOT)]);
    assert_eq!(wire.send_to(SOURCE, 0x32, 9, payload().u64(9)), Err(Rule::TransactionOpen));
}

#[test]
fn a_resumed_source_gets_requests_on_its_new_connection() {
    let mut wire = Wire::new();
    wire.send(0x01, lookup("a")).unwrap();
    wire.covers_none_of(&["REG-41"]);
    wire.monitor.connection_closed(SOURCE);
    wire.monitor.connection_opened(SOURCE);
    wire.monitor.registered(SOURCE, 100, &[served(ROOT)]);
    wire.send(0x01, lookup("a")).unwrap();
    wire.covers(&["REG-41"]);
}

#[test]
fn numbers_that_follow_each_other_show_the_step() {
    let mut wire = Wire::new();
    wire.send(0x21, set_value(101)).unwrap();
    wire.send(0x21, set_value(103)).unwrap();
    wire.covers_none_of(&["SEQ-07"]);
    wire.send(0x21, set_value(104)).unwrap();
    wire.covers(&["SEQ-07"]);
}

#[test]
fn what_a_layer_deletion_orphaned_is_dropped() {
    let mut wire = Wire::new();
    wire.send(0x13, payload().guid([3; 16])).unwrap();
    wire.send(0x50, payload().bytes("role")).unwrap();
    wire.answer(0x50, payload().u32(0).u32(1).guid(NEW)).unwrap();
    wire.covers_none_of(&["OP-76"]);
    wire.send(0x13, payload().guid(NEW)).unwrap();
    wire.covers(&["OP-76"]);
}

#[test]
fn fresh_keys_and_mutations_show_what_they_lack() {
    let mut wire = Wire::new();
    wire.covers_none_of(&["PATH-14", "KEY-25", "IOC-092"]);
    wire.exchange(0x02, create_entry(NEW, 101), 0).unwrap();
    wire.exchange(0x10, create_key(NEW), 0).unwrap();
    wire.covers(&["PATH-14", "PATH-15", "KEY-25", "IOC-092", "SEQ-25"]);
}
