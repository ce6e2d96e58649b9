//! Requests as lines.

use expect_test::expect;

use super::*;

fn frame(is_request: bool, bytes: Vec<u8>) -> Frame {
    Frame { source: SOURCE, is_request, bytes }
}

fn transcript(sources: usize) -> Transcript {
    let mut transcript = Transcript::new(sources);
    transcript.registered(&["Machine".to_owned()], &[ROOT]);
    transcript
}

fn lines(requests: Vec<(u16, Payload)>) -> String {
    let mut transcript = transcript(1);
    for (id, (op_code, payload)) in (1..).zip(requests) {
        let bytes = message(id, op_code, Some(0), &payload.0);
        transcript.observe(&frame(true, bytes));
    }
    transcript.take().join("\n")
}

#[test]
fn each_operation_has_a_line() {
    let requests = vec![
        (0x01, payload().guid(ROOT).bytes("Program Files")),
        (0x02, create_entry(NEW, 7)),
        (0x03, payload().guid(ROOT).bytes("Name").bytes("gpo").u64(8)),
        (0x04, payload().guid(ROOT).bytes("Name").bytes("base")),
        (0x05, payload().guid(NEW)),
        (0x10, create_key(NEW)),
        (0x11, payload().guid(ROOT)),
        (0x12, write_time(NEW)),
        (0x12, payload().guid(NEW).u32(3).bytes(security_descriptor()).u64(7)),
        (0x13, payload().guid(NEW)),
        (0x20, payload().guid(NEW).bytes("").u8(0)),
        (0x20, payload().guid(NEW).bytes("").u8(1)),
        (0x21, set_value(9)),
        (0x22, payload().guid([7; 16]).bytes("v").bytes("base")),
        (0x23, set_blanket(1, 10)),
        (0x23, set_blanket(0, 0)),
        (0x40, payload().bytes("Machine")),
        (0x50, payload().bytes("gpo")),
        (0x06, payload()),
    ];
    expect![[r#"
        lookup <Machine> "Program Files"
        create_entry <Machine> Name = <Machine\Name> in base sequence=7
        hide_entry <Machine> Name in gpo sequence=8
        delete_entry <Machine> Name in base
        enum_children <Machine\Name>
        create_key <Machine\Name> = <Machine> Name sd=20
        read_key <Machine>
        write_key <Machine\Name> last_write_time
        write_key <Machine\Name> sd=20 last_write_time
        drop_key <Machine\Name>
        query_values <Machine\Name> name=""
        query_values <Machine\Name> all
        set_value <Machine> v sz "data" in base sequence=9
        delete_value_entry <?> v in base
        set_blanket_tombstone <Machine> in base sequence=10
        set_blanket_tombstone <Machine> in base removed sequence=0
        flush Machine
        delete_layer gpo
        unreadable, 22 bytes"#]]
    .assert_eq(&lines(requests));
}

#[test]
fn a_key_is_named_by_the_answer_that_shows_it_first() {
    let mut transcript = transcript(1);
    let asked = message(1, 0x01, Some(0), &payload().guid(ROOT).bytes("a").0);
    transcript.observe(&frame(true, asked));
    // The later entry comes first in the answer; the older key has the plain name all the same.
    let entries = payload().u32(0).u32(2);
    let entries = entries.bytes("gpo").u8(0).guid([8; 16]).u64(5);
    let entries = entries.bytes("base").u8(0).guid(NEW).u64(4).u32(0);
    transcript.observe(&frame(false, message(1, 0x8001, None, &entries.0)));
    for (id, guid) in [(2, NEW), (3, [8; 16])] {
        let bytes = message(id, 0x11, Some(0), &payload().guid(guid).0);
        transcript.observe(&frame(true, bytes));
    }
    expect![[r#"
        lookup <Machine> a
        read_key <Machine\a>
        read_key <Machine\a#2>"#]]
    .assert_eq(&transcript.take().join("\n"));
    assert!(transcript.take().is_empty());
}

#[test]
fn transactions_and_sources_stand_at_the_end() {
    let mut transcript = transcript(2);
    let begin = message(1, 0x30, Some(9), &payload().u64(9).u32(0).0);
    let write = message(2, 0x11, Some(9), &payload().guid(ROOT).0);
    transcript.observe(&frame(true, begin));
    transcript.observe(&frame(true, write));
    expect![[r#"
        begin_transaction 1 read_write at source 0
        read_key <Machine> transaction=1 at source 0"#]]
    .assert_eq(&transcript.take().join("\n"));
}
