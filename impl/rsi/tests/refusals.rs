//! What each end refuses, and with which consequence (PSD-005 §7.1, §7.3, D-90).

use rsi::{
    FrameError, Guid, KeyMetadata, Operation, PathEntry, PayloadError, Request, RequestFrame,
    RequestId, Response, ResponseError, ResponseFrame, Status, decode_request,
    decode_request_header, decode_response, encode_refusal, encode_request, encode_response,
};

const GUID: Guid = Guid([5; 16]);

fn request(request: Request) -> Vec<u8> {
    encode_request(&RequestFrame { id: RequestId(1), transaction: None, request })
}

fn response(operation: Operation, response: Response) -> Vec<u8> {
    encode_response(&ResponseFrame { id: RequestId(1), operation, response })
}

/// Sets the length field to the length.
fn seal(mut frame: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(frame.len()).expect("short").to_le_bytes();
    frame[..4].copy_from_slice(&length);
    frame
}

fn entry(target: Option<Guid>) -> PathEntry {
    PathEntry { layer: b"base".to_vec(), target, sequence: 1 }
}

fn metadata(guid: Guid) -> KeyMetadata {
    KeyMetadata { guid, sd: vec![], volatile_key: false, symlink: false, last_write_time: 0 }
}

fn lookup(entries: Vec<PathEntry>, metadata: Vec<KeyMetadata>) -> Vec<u8> {
    response(Operation::Lookup, Response::Lookup { entries, metadata })
}

#[test]
fn a_request_that_cannot_be_decoded_is_refused_with_its_own_id_and_code() {
    let mut bytes = request(Request::ReadKey { guid: GUID });
    bytes.truncate(30);
    let short = seal(bytes);
    assert_eq!(decode_request(&short), Err(FrameError::PayloadEndsEarly));
    let refusal = response(Operation::ReadKey, Response::Failed(Status::Invalid));
    assert_eq!(encode_refusal(&short), Ok(refusal));

    let mut unknown = request(Request::ReadKey { guid: GUID });
    unknown[12..14].copy_from_slice(&[0x7f, 0]);
    assert_eq!(decode_request(&unknown), Err(FrameError::UnknownOperation { code: 0x7f }));
    let refusal = encode_refusal(&unknown).expect("a header");
    assert_eq!(refusal, [18, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0x80, 7, 0, 0, 0]);
}

#[test]
fn what_has_no_header_gets_no_refusal() {
    let length = 21;
    assert_eq!(encode_refusal(&[0; 21]), Err(FrameError::ShorterThanHeader { length }));
    let (declared, length) = (0, 22);
    assert_eq!(encode_refusal(&[0; 22]), Err(FrameError::LengthMismatch { declared, length }));
}

fn frame_error(bytes: &[u8], expected: Operation) -> FrameError {
    match decode_response(bytes, expected) {
        Err(ResponseError::Frame(error)) => error,
        other => panic!("no frame error: {other:?}"),
    }
}

fn payload_error(bytes: &[u8], expected: Operation) -> PayloadError {
    match decode_response(bytes, expected) {
        Err(ResponseError::Payload(error)) => error,
        other => panic!("no payload error: {other:?}"),
    }
}

#[test]
fn a_source_skips_unknown_fields_at_the_end_of_a_request() {
    let wanted = Request::Lookup { parent: GUID, child_name: b"a".to_vec() };
    let mut bytes = request(wanted.clone());
    bytes.extend_from_slice(b"later version");
    assert_eq!(decode_request(&seal(bytes)).map(|frame| frame.request), Ok(wanted));
}

#[test]
fn a_request_of_wrong_length_is_refused() {
    let bytes = request(Request::ReadKey { guid: GUID });
    assert_eq!(decode_request(&bytes[..21]), Err(FrameError::ShorterThanHeader { length: 21 }));
    assert_eq!(
        decode_request(&bytes[..30]),
        Err(FrameError::LengthMismatch { declared: 38, length: 30 })
    );
    assert_eq!(decode_request(&seal(bytes[..30].to_vec())), Err(FrameError::PayloadEndsEarly));
}

#[test]
fn an_unknown_operation_is_refused_in_both_directions() {
    let mut bytes = request(Request::ReadKey { guid: GUID });
    bytes[12] = 0x06;
    assert_eq!(decode_request(&bytes), Err(FrameError::UnknownOperation { code: 6 }));
    let answer = response(Operation::Flush, Response::Done);
    assert_eq!(
        decode_request(&seal([&answer[..], &[0; 8]].concat())),
        Err(FrameError::UnknownOperation { code: 0x8040 })
    );
    let mut bytes = answer;
    bytes[13] = 0;
    assert_eq!(frame_error(&bytes, Operation::Flush), FrameError::UnknownOperation { code: 0x40 });
}

#[test]
fn a_request_with_a_bad_boolean_still_has_a_header() {
    let mut bytes =
        request(Request::QueryValues { guid: GUID, value_name: vec![], query_all: true });
    *bytes.last_mut().expect("not empty") = 2;
    assert_eq!(decode_request(&bytes), Err(FrameError::RequestNotBoolean { byte: 2 }));
    assert_eq!(decode_request_header(&bytes).map(|header| header.id), Ok(RequestId(1)));
}

#[test]
fn a_response_to_another_operation_is_a_bad_frame() {
    let bytes = response(Operation::Flush, Response::Done);
    assert_eq!(
        frame_error(&bytes, Operation::DropKey),
        FrameError::WrongOperation { code: 0x8040 }
    );
}

#[test]
fn every_truncation_of_a_response_is_a_bad_frame() {
    let bytes = lookup(vec![entry(Some(GUID)), entry(None)], vec![metadata(GUID)]);
    for length in 0..bytes.len() {
        let part = &bytes[..length];
        let sealed = if length < 4 { part.to_vec() } else { seal(part.to_vec()) };
        frame_error(&sealed, Operation::Lookup);
        frame_error(part, Operation::Lookup);
    }
}

#[test]
fn a_count_that_the_message_cannot_hold_is_refused_without_being_believed() {
    let mut bytes = lookup(vec![], vec![]);
    bytes[18..22].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(frame_error(&bytes, Operation::Lookup), FrameError::PayloadEndsEarly);
}

#[test]
fn bytes_after_the_last_field_are_a_bad_payload() {
    for answer in [Response::Done, Response::Failed(Status::NotFound)] {
        let mut bytes = response(Operation::Flush, answer);
        bytes.push(0);
        assert_eq!(payload_error(&seal(bytes), Operation::Flush), PayloadError::TrailingBytes);
    }
}

#[test]
fn an_unknown_status_is_a_bad_payload() {
    let mut bytes = response(Operation::Flush, Response::Done);
    bytes[14] = 10;
    assert_eq!(payload_error(&bytes, Operation::Flush), PayloadError::UnknownStatus { code: 10 });
}

#[test]
fn entries_and_metadata_must_name_the_same_keys() {
    let cases = [
        (vec![entry(Some(GUID))], vec![], PayloadError::MissingMetadata),
        (vec![], vec![metadata(GUID)], PayloadError::SurplusMetadata),
        (vec![entry(None)], vec![metadata(GUID)], PayloadError::SurplusMetadata),
        (
            vec![entry(Some(GUID))],
            vec![metadata(GUID), metadata(GUID)],
            PayloadError::SurplusMetadata,
        ),
    ];
    for (entries, metadata, error) in cases {
        let children = vec![(b"a".to_vec(), entries.clone())];
        let enumerated = Response::EnumChildren { children, metadata: metadata.clone() };
        let enumerated = response(Operation::EnumChildren, enumerated);
        assert_eq!(payload_error(&lookup(entries, metadata), Operation::Lookup), error);
        assert_eq!(payload_error(&enumerated, Operation::EnumChildren), error);
    }
}

#[test]
fn one_metadata_entry_serves_every_layer_that_names_the_key() {
    let bytes = lookup(vec![entry(Some(GUID)), entry(Some(GUID))], vec![metadata(GUID)]);
    assert!(decode_response(&bytes, Operation::Lookup).is_ok());
}

#[test]
fn target_types_and_guids_must_agree() {
    let target = 14 + 4 + 4 + 4 + 4;
    let mut hidden_with_guid = lookup(vec![entry(None)], vec![]);
    hidden_with_guid[target + 1] = 1;
    let mut null_target = lookup(vec![entry(None)], vec![]);
    null_target[target] = 0;
    let mut unknown = lookup(vec![entry(None)], vec![]);
    unknown[target] = 2;
    let lookup = Operation::Lookup;
    assert_eq!(payload_error(&hidden_with_guid, lookup), PayloadError::HiddenWithGuid);
    assert_eq!(payload_error(&null_target, lookup), PayloadError::NullTarget);
    assert_eq!(payload_error(&unknown, lookup), PayloadError::UnknownTargetType { byte: 2 });
}

#[test]
fn a_boolean_of_a_response_is_zero_or_one() {
    let mut bytes = lookup(vec![entry(Some(GUID))], vec![metadata(GUID)]);
    let volatile = bytes.len() - 10;
    bytes[volatile] = 2;
    assert_eq!(payload_error(&bytes, Operation::Lookup), PayloadError::NotBoolean { byte: 2 });
}

#[test]
fn a_bad_frame_prevails_over_a_bad_payload() {
    let mut bytes = lookup(vec![entry(None)], vec![]);
    bytes[14 + 4 + 4 + 4 + 4] = 2;
    bytes.pop();
    assert_eq!(frame_error(&seal(bytes), Operation::Lookup), FrameError::PayloadEndsEarly);
}
