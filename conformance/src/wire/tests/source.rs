//! Responses that break one rule each.

use super::*;

fn lookup(wire: &mut Wire) {
    wire.send(0x01, payload().guid(ROOT).bytes("a")).unwrap();
}

/// The start of a LOOKUP or ENUM_CHILDREN entry.
fn entry(payload: Payload, target_type: u8, guid: [u8; 16], sequence: u64) -> Payload {
    payload.bytes("base").u8(target_type).guid(guid).u64(sequence)
}

fn lookup_answer(response: Payload) -> Result<(), Rule> {
    let mut wire = Wire::new();
    lookup(&mut wire);
    wire.answer(0x01, response)
}

#[test]
fn a_response_shorter_than_its_header_breaks_the_header() {
    assert_eq!(Wire::new().frame(SOURCE, false, vec![0; 13]), Err(Rule::ResponseHeader));
}

#[test]
fn a_response_answers_a_request_of_its_connection() {
    let mut wire = Wire::new();
    lookup(&mut wire);
    wire.last_id = 7;
    assert_eq!(wire.answer(0x01, payload().u32(1)), Err(Rule::ResponseKnown));
    wire.last_id = 1;
    wire.monitor.connection_opened(SOURCE);
    wire.monitor.registered(SOURCE, 100, &[served(ROOT)]);
    assert_eq!(wire.answer(0x01, payload().u32(1)), Err(Rule::ResponseKnown));
}

#[test]
fn a_request_is_answered_once() {
    let mut wire = Wire::new();
    lookup(&mut wire);
    wire.answer(0x01, payload().u32(1)).unwrap();
    assert_eq!(wire.answer(0x01, payload().u32(1)), Err(Rule::ResponseOnce));
}

#[test]
fn responses_may_come_in_another_order() {
    let mut wire = Wire::new();
    lookup(&mut wire);
    lookup(&mut wire);
    wire.covers_none_of(&["RSI-08"]);
    wire.answer(0x01, payload().u32(1)).unwrap();
    wire.covers(&["RSI-06", "RSI-08"]);
    wire.last_id = 1;
    wire.answer(0x01, payload().u32(1)).unwrap();
}

#[test]
fn a_response_has_the_op_code_of_its_request() {
    let mut wire = Wire::new();
    lookup(&mut wire);
    assert_eq!(wire.answer(0x05, payload().u32(1)), Err(Rule::ResponseOpCode));
}

#[test]
fn a_status_is_of_the_vocabulary_and_a_failure_has_nothing_else() {
    assert_eq!(lookup_answer(payload().u32(7)), Ok(()));
    assert_eq!(lookup_answer(payload().u32(10)), Err(Rule::Status));
    assert_eq!(lookup_answer(payload().u32(1).u8(0)), Err(Rule::LookupResponse));
}

#[test]
fn a_response_has_the_fields_of_its_table() {
    assert_eq!(lookup_answer(payload().u32(0).u32(0).u32(0)), Ok(()));
    assert_eq!(lookup_answer(payload().u32(0).u32(0)), Err(Rule::LookupResponse));
    assert_eq!(lookup_answer(payload().u32(0).u32(u32::MAX)), Err(Rule::LookupResponse));
}

#[test]
fn a_hidden_entry_has_a_zero_guid_and_another_has_not() {
    let answer = |target_type, guid| entry(payload().u32(0).u32(1), target_type, guid, 1).u32(0);
    assert_eq!(lookup_answer(answer(1, [0; 16])), Ok(()));
    for (target_type, guid) in [(1, NEW), (0, [0; 16]), (2, NEW)] {
        assert_eq!(lookup_answer(answer(target_type, guid)), Err(Rule::PathEntry));
    }
}

#[test]
fn metadata_describes_each_key_once() {
    let named = || entry(payload().u32(0).u32(1), 0, NEW, 1);
    assert_eq!(lookup_answer(metadata(named().u32(1), NEW)), Ok(()));
    assert_eq!(lookup_answer(named().u32(0)), Err(Rule::LookupMetadata));
    assert_eq!(lookup_answer(metadata(named().u32(1), ROOT)), Err(Rule::LookupMetadata));
    let twice = metadata(metadata(named().u32(2), NEW), NEW);
    assert_eq!(lookup_answer(twice), Err(Rule::LookupMetadata));

    let mut wire = Wire::new();
    wire.send(0x05, payload().guid(ROOT)).unwrap();
    let children = entry(payload().u32(0).u32(1).bytes("c").u32(1), 0, NEW, 1).u32(0);
    assert_eq!(wire.answer(0x05, children), Err(Rule::ChildrenMetadata));
}

#[test]
fn a_stored_sequence_number_was_given_out_before() {
    let answer = |sequence| entry(payload().u32(0).u32(1), 1, [0; 16], sequence).u32(0);
    assert_eq!(lookup_answer(answer(100)), Ok(()));
    assert_eq!(lookup_answer(answer(101)), Err(Rule::StoredSequence));
    let mut wire = Wire::new();
    wire.send(0x21, set_value(105)).unwrap();
    lookup(&mut wire);
    assert_eq!(wire.answer(0x01, answer(105)), Ok(()));
}

#[test]
fn a_child_or_layer_without_a_name_is_malformed() {
    let mut wire = Wire::new();
    wire.send(0x05, payload().guid(ROOT)).unwrap();
    let children = payload().u32(0).u32(1).bytes("").u32(0).u32(0);
    assert_eq!(wire.answer(0x05, children), Err(Rule::KeyName));
    let nameless = payload().u32(0).u32(1).bytes("").u8(1).guid([0; 16]).u64(1).u32(0);
    assert_eq!(lookup_answer(nameless), Err(Rule::LayerName));
}

#[test]
fn a_query_for_one_value_returns_no_other() {
    let answer_to = |asked: &str, got: &str| {
        let mut wire = Wire::new();
        wire.send(0x20, payload().guid(ROOT).bytes(asked).u8(0)).unwrap();
        let entries = payload().u32(0).u32(1).bytes(got).bytes("base").u32(1).bytes("").u64(1);
        wire.answer(0x20, entries.u32(0))
    };
    assert_eq!(answer_to("v", "V"), Ok(()));
    assert_eq!(answer_to("", ""), Ok(()));
    assert_eq!(answer_to("v", "w"), Err(Rule::QueriedName));
    assert_eq!(answer_to("", "w"), Err(Rule::QueriedName));
    assert_eq!(answer_to("\u{e9}", "\u{c9}"), Ok(()));
}

#[test]
fn a_hive_root_has_no_parent() {
    let mut wire = Wire::new();
    wire.send(0x11, payload().guid(ROOT)).unwrap();
    let record = payload().u32(0).bytes("Machine").guid(NEW).bytes(security_descriptor());
    assert_eq!(wire.answer(0x11, record.u8(0).u8(0).u64(1)), Err(Rule::RootParent));
}

#[test]
fn an_orphan_list_names_each_key_once() {
    for orphans in [&[NEW, NEW][..], &[ROOT], &[[0; 16]]] {
        let mut wire = Wire::new();
        wire.send(0x50, payload().bytes("role")).unwrap();
        let answer = payload().u32(0).u32(orphans.len() as u32);
        let answer = orphans.iter().fold(answer, |answer, guid| answer.guid(*guid));
        assert_eq!(wire.answer(0x50, answer), Err(Rule::Orphans));
    }
}

#[test]
fn a_wrong_request_may_still_be_answered() {
    let mut wire = Wire::new();
    assert_eq!(wire.send(0x01, payload().guid(ROOT).bytes("")), Err(Rule::KeyName));
    assert_eq!(wire.answer(0x01, payload().u32(7)), Ok(()));
}

#[test]
fn a_connection_goes_on_after_a_failure() {
    let mut wire = Wire::new();
    wire.exchange(0x11, payload().guid(ROOT), 3).unwrap();
    wire.covers_none_of(&["RSI-27"]);
    wire.send(0x11, payload().guid(ROOT)).unwrap();
    wire.covers(&["RSI-27", "CONST-47"]);
}

#[test]
fn what_several_layers_have_comes_unresolved() {
    let mut wire = Wire::new();
    lookup(&mut wire);
    let entries = entry(payload().u32(0).u32(1), 1, [0; 16], 1).u32(0);
    wire.answer(0x01, entries).unwrap();
    wire.covers_none_of(&["OP-02", "OP-10"]);
    lookup(&mut wire);
    let entries = entry(payload().u32(0).u32(2), 1, [0; 16], 1);
    wire.answer(0x01, entries.bytes("gpo").u8(1).guid([0; 16]).u64(2).u32(0)).unwrap();
    wire.covers(&["OP-02", "WIRE-05"]);
    lookup(&mut wire);
    wire.answer(0x01, payload().u32(0).u32(0).u32(0)).unwrap();
    wire.covers(&["OP-10"]);
}

#[test]
fn requests_are_answered_by_the_time_that_all_is_quiet() {
    let mut wire = Wire::new();
    wire.monitor.quiescent().unwrap();
    lookup(&mut wire);
    wire.monitor.quiescent().unwrap();
    wire.covers_none_of(&["SRC-01"]);
    wire.answer(0x01, payload().u32(1)).unwrap();
    wire.monitor.quiescent().unwrap();
    wire.covers(&["SRC-01"]);
}

#[test]
fn a_source_that_was_started_and_never_answers_is_noticed() {
    let waiting = |is_kept: bool| {
        let mut wire = Wire::new();
        if is_kept {
            wire.monitor.kept_roots(SOURCE, &[("Machine".to_owned(), ROOT)]).unwrap();
        }
        wire.monitor.time(1);
        lookup(&mut wire);
        wire.monitor.time(30_000_000_000);
        assert_eq!(wire.monitor.quiescent(), Ok(()));
        wire.monitor.time(200_000_000_000);
        wire.monitor.quiescent().map_err(|violation| violation.rule)
    };
    assert_eq!(waiting(true), Err(Rule::AllAnswered));
    assert_eq!(waiting(false), Ok(()), "a caller plays it");
}

#[test]
fn a_source_owes_nothing_while_it_is_kept_from_answering() {
    let mut wire = Wire::new();
    wire.monitor.kept_roots(SOURCE, &[("Machine".to_owned(), ROOT)]).unwrap();
    wire.monitor.time(1);
    lookup(&mut wire);
    wire.monitor.stalled(SOURCE);
    let mut quiescent_at = |time: u64, is_released: bool| {
        wire.monitor.time(time);
        if is_released {
            wire.monitor.released(SOURCE);
        }
        wire.monitor.quiescent().map_err(|violation| violation.rule)
    };
    assert_eq!(quiescent_at(200_000_000_000, false), Ok(()));
    assert_eq!(quiescent_at(210_000_000_000, true), Ok(()));
    assert_eq!(quiescent_at(340_000_000_000, false), Err(Rule::AllAnswered));
}

#[test]
fn what_was_put_into_a_store_excuses_its_source_and_no_other_rule() {
    use registry_model::store_entry::{StoredRecord, StoredSequence};
    let future = |wire: &mut Wire| {
        lookup(wire);
        let answer = entry(payload().u32(0).u32(1), 1, [0; 16], u64::MAX).u32(0);
        wire.answer(0x01, answer)
    };
    let mut wire = Wire::new();
    assert_eq!(future(&mut wire), Err(Rule::StoredSequence));
    let (layer, sequence) = ("base".to_owned(), StoredSequence::Number(u64::MAX));
    wire.monitor.stored(SOURCE, &StoredRecord::Blanket { layer, sequence });
    assert_eq!(future(&mut wire), Ok(()));
    lookup(&mut wire);
    let hidden_with_guid = entry(payload().u32(0).u32(1), 1, [9; 16], 1).u32(0);
    assert_eq!(wire.answer(0x01, hidden_with_guid), Err(Rule::PathEntry));
}
