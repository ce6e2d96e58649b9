//! How streams are read and written: what each record has to be, and what makes a stream bad.

use proptest::prelude::*;

use super::*;

/// A stream written by hand from the tables of §9.1, one record a line.
const GOLDEN: &str = "
    0100 39000000 5045494F53524547 15000000 15000000 00CA9A3B00000000
        101112131415161718191A1B1C1D1E1F 07000000 4D616368696E65
    0200 23000000 04000000 62617365 02000000 01 0C000000 010100000000000512000000
    0300 29000000 101112131415161718191A1B1C1D1E1F 03000000 03000000 AABBCC FFFFFFFFFFFFFFFF
    0400 3B000000 101112131415161718191A1B1C1D1E1F 01000000 61 202122232425262728292A2B2C2D2E2F
        04000000 62617365 0807060504030201
    0500 35000000 202122232425262728292A2B2C2D2E2F 01000000 76 04000000 02000000 0102
        04000000 62617365 0900000000000000
    0600 26000000 202122232425262728292A2B2C2D2E2F 04000000 62617365 0A00000000000000
    FF00 2E000000 0700000000000000 6d2d42b45548d94730dca69e3802da286a31570351007b13be49449209bd31de";

fn golden() -> Vec<u8> {
    let digits: Vec<u8> = GOLDEN.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("two digits");
        u8::from_str_radix(pair, 16).expect("two digits")
    };
    digits.chunks_exact(2).map(byte).collect()
}

fn guid(first: u8) -> WireGuid {
    std::array::from_fn(|index| first + index as u8)
}

/// The same stream as records.
fn records() -> Vec<Record> {
    let (root, child, base) = (guid(0x10), guid(0x20), || "base".to_owned());
    vec![
        Record::Header(Header {
            magic: MAGIC,
            format_version: 21,
            min_reader_version: 21,
            timestamp: 1_000_000_000,
            root,
            hive_name: "Machine".to_owned(),
        }),
        Record::Layer(LayerLine {
            name: base(),
            precedence: 2,
            enabled: 1,
            owner: vec![1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0],
        }),
        Record::Key(KeyObject {
            guid: root,
            flags: KEY_VOLATILE | KEY_SYMLINK,
            descriptor: vec![0xAA, 0xBB, 0xCC],
            last_write_time: -1,
        }),
        Record::PathEntry(PathLine {
            parent: root,
            name: "a".to_owned(),
            child,
            layer: base(),
            sequence: 0x0102_0304_0506_0708,
        }),
        Record::Value(ValueLine {
            key: child,
            name: "v".to_owned(),
            value_type: 4,
            data: vec![1, 2],
            layer: base(),
            sequence: 9,
        }),
        Record::Blanket(BlanketLine { key: child, layer: base(), sequence: 10 }),
        Record::Trailer,
    ]
}

/// Everything up to the end or the first damage.
fn read(bytes: &[u8]) -> Result<Vec<Record>, Damage> {
    let mut reader = Reader::new(bytes);
    let mut records = Vec::new();
    while let Some(record) = reader.read_record()? {
        records.push(record);
    }
    Ok(records)
}

fn written(records: &[Record]) -> Vec<u8> {
    let mut writer = Writer::default();
    records.iter().for_each(|record| writer.write(record));
    writer.into_bytes()
}

#[test]
fn a_stream_is_written_as_the_tables_say() {
    assert_eq!(written(&records()), golden());
}

#[test]
fn a_stream_is_read_as_the_tables_say() {
    assert_eq!(read(&golden()), Ok(records()));
}

#[test]
fn a_stream_that_ends_early_is_cut() {
    let whole = golden();
    for end in 0..whole.len() {
        match read(&whole[..end]) {
            Ok(records) => assert!(!records.contains(&Record::Trailer), "{end}"),
            Err(damage) => assert_eq!(damage, Damage::Cut, "{end}"),
        }
    }
}

#[test]
fn a_changed_byte_is_found_by_the_checksum_if_by_nothing_else() {
    for index in 0..golden().len() {
        let mut bytes = golden();
        bytes[index] ^= 1;
        let intact = read(&bytes).is_ok_and(|records| records.contains(&Record::Trailer));
        assert!(!intact, "{index}");
    }
}

#[test]
fn the_trailer_counts_every_record() {
    let mut all = records();
    let unknown = Record::Unknown { record_type: 0x77, payload: vec![1, 2, 3] };
    all.insert(3, unknown);
    assert_eq!(read(&written(&all)), Ok(all.clone()));
    let whole = written(&all);
    let mut wrong = whole[..whole.len() - 40].to_vec();
    wrong.extend(7u64.to_le_bytes());
    let checksum = Sha256::digest(&wrong);
    wrong.extend(&checksum[..]);
    assert_eq!(read(&wrong), Err(Damage::Count));
    let mut other = whole;
    *other.last_mut().expect("a checksum") ^= 1;
    assert_eq!(read(&other), Err(Damage::Checksum));
}

#[test]
fn a_record_shorter_than_its_framing_is_malformed() {
    assert_eq!(read(&[0x77, 0, 5, 0, 0, 0]), Err(Damage::Framing));
    assert!(read(&[0x77, 0, 6, 0, 0, 0]).is_ok());
}

#[test]
fn fields_fill_their_record() {
    let blanket = [6, 0, 0x27, 0, 0, 0];
    let key = guid(0x20);
    let rest = [4, 0, 0, 0, b'b', b'a', b's', b'e', 1, 0, 0, 0, 0, 0, 0, 0, 0xEE];
    assert_eq!(read(&[&blanket[..], &key, &rest].concat()), Err(Damage::Malformed));
}

#[test]
fn strings_are_utf8() {
    let key = guid(0x20);
    let rest = [1, 0, 0, 0, 0xFF, 1, 0, 0, 0, 0, 0, 0, 0];
    let blanket = [&[6, 0, 35, 0, 0, 0][..], &key, &rest].concat();
    assert_eq!(read(&blanket), Err(Damage::Malformed));
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_some_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn what_is_written_is_read(
        name in ".{0,8}",
        data in prop::collection::vec(any::<u8>(), 0..20),
        (value_type, sequence) in any::<(u32, u64)>(),
    ) {
        let layer = name.clone();
        let value = ValueLine { key: guid(1), name, value_type, data, layer, sequence };
        let records = vec![Record::Value(value), Record::Trailer];
        prop_assert_eq!(read(&written(&records)), Ok(records));
    }
}
