//! Frames written by hand from the layouts of PSD-005 §11.3, one or more for each shape.

use rsi::{
    BlanketEntry, Guid, KeyMetadata, Operation, PathEntry, Request, RequestFrame, RequestId,
    Response, ResponseFrame, Status, TransactionId, ValueEntry, decode_request, decode_response,
    encode_request, encode_response,
};

const PARENT: Guid = Guid(*b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F\x10");
const CHILD: Guid = Guid([0xCC; 16]);

/// Joins the parts of a frame.
fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[track_caller]
fn check_request(transaction: Option<u64>, request: Request, golden: &[u8]) {
    let transaction = transaction.map(TransactionId);
    let frame = RequestFrame { id: RequestId(0x0807_0605_0403_0201), transaction, request };
    assert_eq!(encode_request(&frame), golden);
    assert_eq!(decode_request(golden), Ok(frame));
}

#[track_caller]
fn check_response(operation: Operation, response: Response, golden: &[u8]) {
    let frame = ResponseFrame { id: RequestId(9), operation, response };
    assert_eq!(encode_response(&frame), golden);
    assert_eq!(decode_response(golden, operation), Ok(frame));
}

const ID: &[u8] = b"\x01\x02\x03\x04\x05\x06\x07\x08";
const NO_TRANSACTION: &[u8] = b"\0\0\0\0\0\0\0\0";
const RESPONSE_ID: &[u8] = b"\x09\0\0\0\0\0\0\0";
const OK: &[u8] = b"\0\0\0\0";

#[test]
fn lookup() {
    check_request(
        Some(0x11),
        Request::Lookup { parent: PARENT, child_name: b"Ab".to_vec() },
        &bytes(&[
            b"\x2C\0\0\0",
            ID,
            b"\x01\x00",
            b"\x11\0\0\0\0\0\0\0",
            &PARENT.0,
            b"\x02\0\0\0Ab",
        ]),
    );
    check_response(
        Operation::Lookup,
        Response::Lookup {
            entries: vec![
                PathEntry { layer: b"base".to_vec(), target: Some(CHILD), sequence: 5 },
                PathEntry { layer: b"g".to_vec(), target: None, sequence: 0x0600 },
            ],
            metadata: vec![KeyMetadata {
                guid: CHILD,
                sd: b"SD!".to_vec(),
                volatile_key: true,
                symlink: false,
                last_write_time: 0x0A,
            }],
        },
        &bytes(&[
            b"\x7A\0\0\0",
            RESPONSE_ID,
            b"\x01\x80",
            OK,
            b"\x02\0\0\0",
            b"\x04\0\0\0base",
            b"\0",
            &CHILD.0,
            b"\x05\0\0\0\0\0\0\0",
            b"\x01\0\0\0g",
            b"\x01",
            &[0; 16],
            b"\0\x06\0\0\0\0\0\0",
            b"\x01\0\0\0",
            &CHILD.0,
            b"\x03\0\0\0SD!",
            b"\x01",
            b"\0",
            b"\x0A\0\0\0\0\0\0\0",
        ]),
    );
}

#[test]
fn create_entry() {
    check_request(
        None,
        Request::CreateEntry {
            parent: PARENT,
            child_name: b"c".to_vec(),
            layer: b"base".to_vec(),
            child: CHILD,
            sequence: 0x0102,
        },
        &bytes(&[
            b"\x4B\0\0\0",
            ID,
            b"\x02\0",
            NO_TRANSACTION,
            &PARENT.0,
            b"\x01\0\0\0c",
            b"\x04\0\0\0base",
            &CHILD.0,
            b"\x02\x01\0\0\0\0\0\0",
        ]),
    );
    check_response(
        Operation::CreateEntry,
        Response::Done,
        &bytes(&[b"\x12\0\0\0", RESPONSE_ID, b"\x02\x80", OK]),
    );
}

#[test]
fn hide_and_delete_entry() {
    check_request(
        None,
        Request::HideEntry {
            parent: PARENT,
            child_name: b"c".to_vec(),
            layer: b"l".to_vec(),
            sequence: 3,
        },
        &bytes(&[
            b"\x38\0\0\0",
            ID,
            b"\x03\0",
            NO_TRANSACTION,
            &PARENT.0,
            b"\x01\0\0\0c",
            b"\x01\0\0\0l",
            b"\x03\0\0\0\0\0\0\0",
        ]),
    );
    check_request(
        None,
        Request::DeleteEntry { parent: PARENT, child_name: b"c".to_vec(), layer: b"l".to_vec() },
        &bytes(&[
            b"\x30\0\0\0",
            ID,
            b"\x04\0",
            NO_TRANSACTION,
            &PARENT.0,
            b"\x01\0\0\0c",
            b"\x01\0\0\0l",
        ]),
    );
}

#[test]
fn enum_children() {
    check_request(
        None,
        Request::EnumChildren { parent: PARENT },
        &bytes(&[b"\x26\0\0\0", ID, b"\x05\0", NO_TRANSACTION, &PARENT.0]),
    );
    let hidden = PathEntry { layer: b"g".to_vec(), target: None, sequence: 2 };
    check_response(
        Operation::EnumChildren,
        Response::EnumChildren {
            children: vec![(b"x".to_vec(), vec![hidden]), (b"yy".to_vec(), vec![])],
            metadata: vec![],
        },
        &bytes(&[
            b"\x4B\0\0\0",
            RESPONSE_ID,
            b"\x05\x80",
            OK,
            b"\x02\0\0\0",
            b"\x01\0\0\0x",
            b"\x01\0\0\0",
            b"\x01\0\0\0g",
            b"\x01",
            &[0; 16],
            b"\x02\0\0\0\0\0\0\0",
            b"\x02\0\0\0yy",
            b"\0\0\0\0",
            b"\0\0\0\0",
        ]),
    );
}

#[test]
fn create_key() {
    check_request(
        None,
        Request::CreateKey {
            guid: CHILD,
            name: b"k".to_vec(),
            parent: PARENT,
            sd: b"sd".to_vec(),
            volatile_key: false,
            symlink: true,
        },
        &bytes(&[
            b"\x43\0\0\0",
            ID,
            b"\x10\0",
            NO_TRANSACTION,
            &CHILD.0,
            b"\x01\0\0\0k",
            &PARENT.0,
            b"\x02\0\0\0sd",
            b"\0\x01",
        ]),
    );
}

#[test]
fn read_key() {
    check_request(
        None,
        Request::ReadKey { guid: CHILD },
        &bytes(&[b"\x26\0\0\0", ID, b"\x11\0", NO_TRANSACTION, &CHILD.0]),
    );
    check_response(
        Operation::ReadKey,
        Response::ReadKey {
            name: b"k".to_vec(),
            parent: PARENT,
            sd: b"sd".to_vec(),
            volatile_key: true,
            symlink: true,
            last_write_time: 0x0100,
        },
        &bytes(&[
            b"\x37\0\0\0",
            RESPONSE_ID,
            b"\x11\x80",
            OK,
            b"\x01\0\0\0k",
            &PARENT.0,
            b"\x02\0\0\0sd",
            b"\x01\x01",
            b"\0\x01\0\0\0\0\0\0",
        ]),
    );
}

#[test]
fn write_key_carries_only_the_fields_of_its_mask() {
    let write = |sd: Option<&[u8]>, last_write_time, undefined_fields| Request::WriteKey {
        guid: CHILD,
        sd: sd.map(<[u8]>::to_vec),
        last_write_time,
        undefined_fields,
    };
    let head = |length: &[u8]| bytes(&[length, ID, b"\x12\0", NO_TRANSACTION, &CHILD.0]);
    check_request(
        None,
        write(Some(b"s"), Some(7), 0),
        &bytes(&[&head(b"\x37\0\0\0"), b"\x03\0\0\0", b"\x01\0\0\0s", b"\x07\0\0\0\0\0\0\0"]),
    );
    check_request(
        None,
        write(None, Some(7), 0),
        &bytes(&[&head(b"\x32\0\0\0"), b"\x02\0\0\0", b"\x07\0\0\0\0\0\0\0"]),
    );
    check_request(None, write(None, None, 4), &bytes(&[&head(b"\x2A\0\0\0"), b"\x04\0\0\0"]));
}

#[test]
fn query_values() {
    check_request(
        None,
        Request::QueryValues { guid: CHILD, value_name: vec![], query_all: true },
        &bytes(&[b"\x2B\0\0\0", ID, b"\x20\0", NO_TRANSACTION, &CHILD.0, b"\0\0\0\0", b"\x01"]),
    );
    check_response(
        Operation::QueryValues,
        Response::QueryValues {
            entries: vec![ValueEntry {
                name: b"n".to_vec(),
                layer: b"l".to_vec(),
                value_type: 4,
                data: b"\x2A\0\0\0".to_vec(),
                sequence: 8,
            }],
            blankets: vec![BlanketEntry { layer: b"l".to_vec(), sequence: 9 }],
        },
        &bytes(&[
            b"\x45\0\0\0",
            RESPONSE_ID,
            b"\x20\x80",
            OK,
            b"\x01\0\0\0",
            b"\x01\0\0\0n",
            b"\x01\0\0\0l",
            b"\x04\0\0\0",
            b"\x04\0\0\0\x2A\0\0\0",
            b"\x08\0\0\0\0\0\0\0",
            b"\x01\0\0\0",
            b"\x01\0\0\0l",
            b"\x09\0\0\0\0\0\0\0",
        ]),
    );
}

#[test]
fn set_and_delete_value() {
    check_request(
        None,
        Request::SetValue {
            guid: CHILD,
            value_name: b"n".to_vec(),
            layer: b"l".to_vec(),
            value_type: 1,
            data: b"hi".to_vec(),
            sequence: 2,
            expected_sequence: 1,
        },
        &bytes(&[
            b"\x4A\0\0\0",
            ID,
            b"\x21\0",
            NO_TRANSACTION,
            &CHILD.0,
            b"\x01\0\0\0n",
            b"\x01\0\0\0l",
            b"\x01\0\0\0",
            b"\x02\0\0\0hi",
            b"\x02\0\0\0\0\0\0\0",
            b"\x01\0\0\0\0\0\0\0",
        ]),
    );
    check_request(
        None,
        Request::DeleteValueEntry { guid: CHILD, value_name: b"n".to_vec(), layer: b"l".to_vec() },
        &bytes(&[
            b"\x30\0\0\0",
            ID,
            b"\x22\0",
            NO_TRANSACTION,
            &CHILD.0,
            b"\x01\0\0\0n",
            b"\x01\0\0\0l",
        ]),
    );
}

#[test]
fn set_blanket_tombstone() {
    check_request(
        None,
        Request::SetBlanketTombstone { guid: CHILD, layer: b"l".to_vec(), set: true, sequence: 6 },
        &bytes(&[
            b"\x34\0\0\0",
            ID,
            b"\x23\0",
            NO_TRANSACTION,
            &CHILD.0,
            b"\x01\0\0\0l",
            b"\x01",
            b"\x06\0\0\0\0\0\0\0",
        ]),
    );
}

#[test]
fn transactions() {
    let number: &[u8] = b"\x21\0\0\0\0\0\0\0";
    check_request(
        Some(0x21),
        Request::BeginTransaction { transaction: 0x21, mode: 1 },
        &bytes(&[b"\x22\0\0\0", ID, b"\x30\0", number, number, b"\x01\0\0\0"]),
    );
    check_request(
        Some(0x21),
        Request::CommitTransaction { transaction: 0x21 },
        &bytes(&[b"\x1E\0\0\0", ID, b"\x31\0", number, number]),
    );
    check_request(
        Some(0x21),
        Request::AbortTransaction { transaction: 0x21 },
        &bytes(&[b"\x1E\0\0\0", ID, b"\x32\0", number, number]),
    );
}

#[test]
fn delete_layer_and_flush() {
    check_request(
        None,
        Request::DeleteLayer { layer: b"gpo".to_vec() },
        &bytes(&[b"\x1D\0\0\0", ID, b"\x50\0", NO_TRANSACTION, b"\x03\0\0\0gpo"]),
    );
    check_response(
        Operation::DeleteLayer,
        Response::DeleteLayer { orphaned: vec![CHILD] },
        &bytes(&[b"\x26\0\0\0", RESPONSE_ID, b"\x50\x80", OK, b"\x01\0\0\0", &CHILD.0]),
    );
    check_request(
        None,
        Request::Flush { hive_name: b"Machine".to_vec() },
        &bytes(&[b"\x21\0\0\0", ID, b"\x40\0", NO_TRANSACTION, b"\x07\0\0\0Machine"]),
    );
}

#[test]
fn drop_key_and_a_failed_status() {
    check_request(
        None,
        Request::DropKey { guid: CHILD },
        &bytes(&[b"\x26\0\0\0", ID, b"\x13\0", NO_TRANSACTION, &CHILD.0]),
    );
    check_response(
        Operation::SetValue,
        Response::Failed(Status::ConditionFailed),
        &bytes(&[b"\x12\0\0\0", RESPONSE_ID, b"\x21\x80", b"\x08\0\0\0"]),
    );
}
