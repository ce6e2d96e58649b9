//! Events as readable lines: `EVENT field=value ...`, a field of a map after its map's name.

use registry_model::Guid;
use registry_model::audit::{AuditPattern, FieldPattern};
use registry_model::security::Sid;

use super::AuditRecord;
use super::matching::Names;
use super::msgpack::{self, Value};
use crate::script::{access_word, word};

/// An event in one line. `path_of` knows the paths of keys by their GUIDs.
pub(crate) fn record_words(
    record: &AuditRecord,
    path_of: &dyn Fn([u8; 16]) -> Option<String>,
) -> String {
    match msgpack::decode(&record.payload) {
        Ok(fields) => line(&record.event, &value_words("", &Value::Map(fields), path_of)),
        Err(problem) => {
            let payload = hex(&record.payload);
            format!("{} hex:{payload} (malformed: {problem})", record.event)
        }
    }
}

/// What an event must be, in one line.
pub(crate) fn pattern_words(
    pattern: &AuditPattern,
    names: &Names,
    path_of: &dyn Fn([u8; 16]) -> Option<String>,
) -> String {
    let fields = FieldPattern::Map(pattern.fields.clone());
    let words = field_words("", &fields, names, path_of);
    let optional = if pattern.optional { " (may be absent)" } else { "" };
    format!("{}{optional}", line(pattern.event, &words))
}

fn line(event: &str, words: &[(String, String)]) -> String {
    let words = words.iter().map(|(name, value)| format!(" {name}={value}"));
    format!("{event}{}", words.collect::<String>())
}

type PathOf<'a> = &'a dyn Fn([u8; 16]) -> Option<String>;

fn value_words(name: &str, value: &Value, path_of: PathOf<'_>) -> Vec<(String, String)> {
    let said = match value {
        Value::Map(fields) => {
            let fields = fields.iter();
            return fields
                .flat_map(|(field, value)| value_words(&inner(name, field), value, path_of))
                .collect();
        }
        Value::Nil => "nil".to_owned(),
        Value::Unsigned(number) => number_word(name, *number),
        Value::Text(text) => word(text.as_bytes()),
        Value::Bytes(bytes) => bytes_word(name, bytes, path_of),
    };
    vec![(name.to_owned(), said)]
}

fn field_words(
    name: &str,
    pattern: &FieldPattern,
    names: &Names,
    path_of: PathOf<'_>,
) -> Vec<(String, String)> {
    let said = match pattern {
        FieldPattern::Map(fields) => {
            let fields = fields.iter();
            return fields
                .flat_map(|(field, pattern)| {
                    field_words(&inner(name, field), pattern, names, path_of)
                })
                .collect();
        }
        FieldPattern::Nil => "nil".to_owned(),
        FieldPattern::Unsigned(number) => number_word(name, *number),
        FieldPattern::Text(text) => word(text.as_bytes()),
        FieldPattern::Bytes(bytes) => bytes_word(name, bytes, path_of),
        FieldPattern::Key(key) => match names.key(*key) {
            Some(guid) => bytes_word(name, &guid, path_of),
            None => format!("(key #{}, which no event has named)", key.0),
        },
        FieldPattern::Slot(slot) => match names.slot(*slot) {
            Some(number) => number_word(name, number),
            None => format!("(slot #{slot}, which no event has named)"),
        },
        FieldPattern::UnsignedOrNil => "(a number or nil)".to_owned(),
        FieldPattern::GuidOrNil => "(a GUID or nil)".to_owned(),
        FieldPattern::EachOf(keys) => {
            let said = |key: &Guid| {
                let fields = field_words(name, &FieldPattern::Key(*key), names, path_of);
                fields.into_iter().map(|(_, words)| words).collect::<String>()
            };
            let said: Vec<String> = keys.iter().map(said).collect();
            format!("(each of {}, or nil)", said.join(", "))
        }
        FieldPattern::OneOf(patterns) => {
            let said = patterns.iter().flat_map(|one| field_words(name, one, names, path_of));
            let said: Vec<String> = said.map(|(_, words)| words).collect();
            format!("({})", said.join(" or "))
        }
    };
    vec![(name.to_owned(), said)]
}

fn inner(map: &str, field: &str) -> String {
    if map.is_empty() { field.to_owned() } else { format!("{map}.{field}") }
}

fn number_word(name: &str, number: u64) -> String {
    match u32::try_from(number) {
        Ok(mask) if name.ends_with("_access") => access_word(mask),
        Ok(flags) if name.ends_with("_flags") => format!("{flags:#x}"),
        _ => number.to_string(),
    }
}

/// A SID as its text, the GUID of a key as its path if it is known.
fn bytes_word(name: &str, bytes: &[u8], path_of: PathOf<'_>) -> String {
    if name.ends_with("_sid") {
        let sid = Sid(bytes.to_vec());
        if Sid::at_start_of(bytes).as_ref() == Some(&sid) {
            return sid.to_string();
        }
    }
    let guid = <[u8; 16]>::try_from(bytes).ok().filter(|_| name == "key_guid");
    guid.and_then(path_of).map_or_else(|| hex(bytes), |path| format!("<{path}>"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use registry_model::security::well_known::SYSTEM;

    use super::*;

    fn caller() -> FieldPattern {
        FieldPattern::Map(vec![
            ("user_sid", FieldPattern::Bytes(SYSTEM.0.clone())),
            ("token_id", FieldPattern::Unsigned(9)),
        ])
    }

    fn pattern(optional: bool) -> AuditPattern {
        let fields = vec![
            ("caller", caller()),
            ("key_guid", FieldPattern::Key(Guid(4))),
            ("granted_access", FieldPattern::Unsigned(0x2_0019)),
            (
                "sacl_match_flags",
                FieldPattern::OneOf(vec![FieldPattern::Unsigned(1), FieldPattern::Unsigned(3)]),
            ),
        ];
        AuditPattern { event: "LCS_KEY_OPEN_AUDIT", fields, optional, repeats: false }
    }

    #[test]
    fn what_is_expected_reads_like_what_comes() {
        let words = pattern_words(&pattern(true), &Names::default(), &|_| None);
        expect_test::expect!["LCS_KEY_OPEN_AUDIT caller.user_sid=S-1-5-18 caller.token_id=9 key_guid=(key #4, which no event has named) granted_access=read sacl_match_flags=(0x1 or 0x3) (may be absent)"]
            .assert_eq(&words);
    }

    #[test]
    fn a_key_is_shown_by_its_path() {
        let payload = [&[0x81, 0xA8][..], b"key_guid", &[0xC4, 16], &[7; 16]].concat();
        let record = AuditRecord { event: "E".to_owned(), payload };
        let path = |guid: [u8; 16]| (guid == [7; 16]).then(|| "Machine\\App".to_owned());
        assert_eq!(record_words(&record, &path), "E key_guid=<Machine\\App>");
        assert_eq!(record_words(&record, &|_| None), format!("E key_guid={}", "07".repeat(16)));
    }

    #[test]
    fn a_malformed_payload_is_shown_byte_by_byte() {
        let record = AuditRecord { event: "E".to_owned(), payload: vec![0xC0] };
        let words = record_words(&record, &|_| None);
        assert_eq!(words, "E hex:c0 (malformed: the payload is no map)");
    }
}
