//! Frames of every operation, byte for byte as the tables of §11.3 have them.

use super::*;

/// Bytes from hexadecimal digits; blanks separate fields.
fn bytes(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// A request and its answer are right and cover these requirements; either is wrong by its table
/// when a byte is missing at its end or too many.
#[track_caller]
fn golden(request: &str, response: &str, ids: &[&str]) {
    golden_after(Wire::new(), request, response, ids);
}

/// The same after other frames.
#[track_caller]
fn golden_after(mut wire: Wire, request: &str, response: &str, ids: &[&str]) {
    let (request, response) = (bytes(request), bytes(response));
    codec_agrees(&request, &response);
    wire.covers_none_of(ids);
    for (is_request, bytes) in [(true, &request), (false, &response)] {
        let op_code = u16::from_le_bytes([bytes[12], bytes[13]]) & 0x7FFF;
        let operation = frame::Operation::from_code(op_code).unwrap();
        let table = if is_request { operation.request_rule() } else { operation.response_rule() };
        let one_more = [bytes.as_slice(), &[0]].concat();
        for wrong in [&bytes[..bytes.len() - 1], &one_more] {
            let mut other = Wire { monitor: wire.monitor.clone(), last_id: 0 };
            assert_eq!(other.frame(SOURCE, is_request, with_total_length(wrong)), Err(table));
        }
        assert_eq!(wire.frame(SOURCE, is_request, bytes.clone()), Ok(()));
    }
    wire.covers(ids);
}

/// The codec reads both messages and writes them again as they were.
#[track_caller]
fn codec_agrees(request: &[u8], response: &[u8]) {
    let (id, decoded) = codec::decode_request(request).unwrap();
    assert!(!codec::is_malformed(&decoded) && decoded.trailing.is_empty());
    assert_eq!(codec::encode_request(id, &decoded), request);
    let answer = codec::decode_response(&decoded, response).unwrap();
    assert_eq!(codec::response_id(response), Ok(id));
    assert_eq!(codec::encode_response(id, decoded.op_code(), &answer), response);
}

fn with_total_length(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes(), &bytes[4..]].concat()
}

const ROOT_GUID: &str = "01010101010101010101010101010101";
const NEW_GUID: &str = "02020202020202020202020202020202";
const BARE_SD: &str = "14000000 0100008000000000000000000000000000000000";

#[test]
fn lookup() {
    golden(
        &format!("2c000000 0500000000000000 0100 0000000000000000 {ROOT_GUID} 02000000 6869"),
        &format!(
            "8b000000 0500000000000000 0180 00000000
             02000000
             04000000 62617365 00 {NEW_GUID} 0900000000000000
             01000000 70 01 00000000000000000000000000000000 0a00000000000000
             01000000 {NEW_GUID} {BARE_SD} 00 01 0700000000000000"
        ),
        &[
            "WIRE-01", "WIRE-02", "WIRE-03", "WIRE-07", "WIRE-08", "WIRE-09", "WIRE-10", "OP-06",
            "RSI-49",
        ],
    );
}

#[test]
fn create_entry() {
    golden(
        &format!(
            "4c000000 0100000000000000 0200 0000000000000000
             {ROOT_GUID} 02000000 6869 04000000 62617365 {NEW_GUID} 6500000000000000"
        ),
        "12000000 0100000000000000 0280 00000000",
        &["WIRE-11", "WIRE-12", "SEQ-02", "KEY-20", "SEQ-13"],
    );
}

#[test]
fn hide_entry() {
    golden(
        &format!(
            "3c000000 0100000000000000 0300 0000000000000000
             {ROOT_GUID} 02000000 6869 04000000 62617365 6500000000000000"
        ),
        "12000000 0100000000000000 0380 00000000",
        &["WIRE-13", "WIRE-14", "SEQ-04"],
    );
}

#[test]
fn delete_entry() {
    golden(
        &format!(
            "34000000 0100000000000000 0400 0000000000000000
             {ROOT_GUID} 02000000 6869 04000000 62617365"
        ),
        "12000000 0100000000000000 0480 01000000",
        &["WIRE-15"],
    );
}

#[test]
fn enum_children() {
    golden(
        &format!("26000000 0100000000000000 0500 0000000000000000 {ROOT_GUID}"),
        &format!(
            "77000000 0100000000000000 0580 00000000
             01000000 02000000 6869
             01000000 04000000 62617365 00 {NEW_GUID} 0900000000000000
             01000000 {NEW_GUID} {BARE_SD} 01 00 0700000000000000"
        ),
        &["WIRE-17", "WIRE-18", "OP-17"],
    );
}

#[test]
fn create_key() {
    let mut wire = Wire::new();
    let entry = payload().guid(ROOT).bytes("hi").bytes("base").guid(NEW).u64(101);
    wire.exchange(0x02, entry, 0).unwrap();
    golden_after(
        wire,
        &format!(
            "56000000 0200000000000000 1000 0000000000000000
             {NEW_GUID} 02000000 6869 {ROOT_GUID} {BARE_SD} 00 00"
        ),
        "12000000 0200000000000000 1080 00000000",
        &["WIRE-19", "WIRE-20", "SD-13", "SYS-76"],
    );
}

#[test]
fn read_key() {
    golden(
        &format!("26000000 0100000000000000 1100 0000000000000000 {ROOT_GUID}"),
        &format!(
            "4a000000 0100000000000000 1180 00000000
             02000000 6869 00000000000000000000000000000000 {BARE_SD} 00 00 0700000000000000"
        ),
        &["WIRE-21", "WIRE-22", "KEY-24"],
    );
}

#[test]
fn write_key() {
    golden(
        &format!(
            "4a000000 0100000000000000 1200 0000000000000000
             {ROOT_GUID} 03000000 {BARE_SD} 0700000000000000"
        ),
        "12000000 0100000000000000 1280 00000000",
        &["WIRE-23", "WIRE-24", "OP-25", "KEY-29"],
    );
}

#[test]
fn drop_key() {
    golden(
        &format!("26000000 0100000000000000 1300 0000000000000000 {NEW_GUID}"),
        "12000000 0100000000000000 1380 00000000",
        &["WIRE-25", "WIRE-26"],
    );
}

#[test]
fn query_values() {
    golden(
        &format!("2b000000 0100000000000000 2000 0000000000000000 {ROOT_GUID} 00000000 01"),
        "5c000000 0100000000000000 2080 00000000
         02000000
         01000000 76 01000000 70 04000000 02000000 dead 0900000000000000
         00000000 01000000 70 ffff0000 00000000 0a00000000000000
         01000000 01000000 71 0b00000000000000",
        &["WIRE-27", "WIRE-28", "VAL-44", "SEQ-24"],
    );
}

#[test]
fn set_value() {
    golden(
        &format!(
            "4a000000 0100000000000000 2100 0000000000000000
             {ROOT_GUID} 01000000 76 01000000 70 03000000 02000000 dead
             6500000000000000 6400000000000000"
        ),
        "12000000 0100000000000000 2180 08000000",
        &["WIRE-29", "SEQ-03", "VAL-02", "RSI-58"],
    );
}

#[test]
fn delete_value_entry() {
    golden(
        &format!(
            "30000000 0100000000000000 2200 0000000000000000 {ROOT_GUID} 01000000 76 01000000 70"
        ),
        "12000000 0100000000000000 2280 00000000",
        &["WIRE-31", "WIRE-32"],
    );
}

#[test]
fn set_blanket_tombstone() {
    golden(
        &format!(
            "34000000 0100000000000000 2300 0000000000000000 {ROOT_GUID}
             01000000 70 01 6500000000000000"
        ),
        "12000000 0100000000000000 2380 00000000",
        &["WIRE-33", "WIRE-34", "SEQ-05"],
    );
}

#[test]
fn transactions() {
    let mut wire = Wire::new();
    for (request, response) in [
        (
            "22000000 0100000000000000 3000 0900000000000000 0900000000000000 01000000",
            "12000000 0100000000000000 3080 00000000",
        ),
        (
            "1e000000 0200000000000000 3200 0900000000000000 0900000000000000",
            "12000000 0200000000000000 3280 00000000",
        ),
        (
            "22000000 0300000000000000 3000 0a00000000000000 0a00000000000000 00000000",
            "12000000 0300000000000000 3080 00000000",
        ),
        (
            "1e000000 0400000000000000 3100 0a00000000000000 0a00000000000000",
            "12000000 0400000000000000 3180 00000000",
        ),
    ] {
        assert_eq!(wire.frame(SOURCE, true, bytes(request)), Ok(()));
        assert_eq!(wire.frame(SOURCE, false, bytes(response)), Ok(()));
    }
    wire.covers(&["WIRE-35", "WIRE-36", "WIRE-37", "WIRE-38", "WIRE-39", "WIRE-40"]);
    wire.covers(&["CONST-44", "CONST-48", "OP-59"]);
}

#[test]
fn flush() {
    golden(
        "21000000 0100000000000000 4000 0000000000000000 07000000 4d616368696e65",
        "12000000 0100000000000000 4080 00000000",
        &["WIRE-43", "WIRE-44"],
    );
}

#[test]
fn delete_layer() {
    golden(
        "1e000000 0100000000000000 5000 0000000000000000 04000000 726f6c65",
        &format!("26000000 0100000000000000 5080 00000000 01000000 {NEW_GUID}"),
        &["WIRE-41", "WIRE-42"],
    );
}
