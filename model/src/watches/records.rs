//! Watch events: what kinds there are, and the bytes of each.
//!
//! States PSD-005 §4.1 ("Event types", "Event format") and §11.2 ("Watch event structures"), with D-75.
//! Does not know who is told of an event.

use std::fmt::Write;
use std::sync::Arc;

use super::{REG_NOTIFY_SD, REG_NOTIFY_SUBKEY, REG_NOTIFY_VALUE};
use crate::coverage::{Covered, covers};
use crate::names::KeyName;
use crate::text::Name;

/// What kind of change an event tells of (WATCH-15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    ValueSet = 1,
    ValueDeleted = 2,
    SubkeyCreated = 3,
    SubkeyDeleted = 4,
    SdChanged = 5,
    KeyDeleted = 6,
}

/// The code of OVERFLOW, which tells of no change.
const OVERFLOW: u16 = 7;

/// Length of what every event begins with.
const HEADER_LENGTH: usize = 8;

/// An event as it is read: its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record(Arc<[u8]>);

impl Kind {
    /// The filter bit that lets the event through; `None` where nothing keeps it out.
    pub(crate) fn category(self) -> Option<u32> {
        match self {
            Kind::ValueSet | Kind::ValueDeleted => Some(REG_NOTIFY_VALUE),
            Kind::SubkeyCreated | Kind::SubkeyDeleted => Some(REG_NOTIFY_SUBKEY),
            Kind::SdChanged => Some(REG_NOTIFY_SD),
            Kind::KeyDeleted => None,
        }
    }
}

impl Record {
    /// The record of an event. A subtree watch has the path from its key down to the changed one, which
    /// is empty if they are one.
    ///
    /// `None` if a length does not fit its field (WATCH-61, WATCH-62).
    pub(crate) fn of(kind: Kind, name: &str, path: Option<&[KeyName]>) -> Option<Record> {
        let mut rest = Vec::new();
        rest.extend(name.as_bytes());
        if let Some(path) = path {
            rest.extend(u16::try_from(path.len()).ok()?.to_le_bytes());
            for component in path {
                let component = component.spelling();
                rest.extend(u16::try_from(component.len()).ok()?.to_le_bytes());
                rest.extend(component.as_bytes());
            }
        }
        let name_length = u16::try_from(name.len()).ok()?;
        let total = u32::try_from(HEADER_LENGTH + rest.len()).ok()?;
        let header = total.to_le_bytes().into_iter();
        let header = header.chain((kind as u16).to_le_bytes()).chain(name_length.to_le_bytes());
        Some(Record(header.chain(rest).collect()))
    }

    /// OVERFLOW, which is the same on every watch (D-75).
    pub(crate) fn overflow() -> Record {
        let total = (HEADER_LENGTH as u32).to_le_bytes();
        Record(total.into_iter().chain(OVERFLOW.to_le_bytes()).chain([0, 0]).collect())
    }

    /// Whether it tells a watch of the loss of its own key: KEY_DELETED without a path, or with an empty one.
    pub(crate) fn is_of_own_loss(&self) -> bool {
        let kind = (Kind::KeyDeleted as u16).to_le_bytes();
        self.0.get(4..6) == Some(&kind[..]) && self.0[HEADER_LENGTH..].iter().all(|byte| *byte == 0)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn length(&self) -> usize {
        self.0.len()
    }
}

/// The records that bytes consist of (WATCH-54); `None` if they do not.
pub(crate) fn split(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let total = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        if total < HEADER_LENGTH || total > bytes.len() {
            return None;
        }
        let (record, rest) = bytes.split_at(total);
        records.push(record);
        bytes = rest;
    }
    Some(records)
}

/// Events in words, one after another; bytes that are none in hexadecimal.
pub(crate) fn describe(bytes: &[u8]) -> String {
    let events: Option<Vec<String>> =
        split(bytes).and_then(|records| records.into_iter().map(in_words).collect());
    events.map_or_else(
        || bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
        |events| events.join(", "),
    )
}

fn in_words(record: &[u8]) -> Option<String> {
    const KINDS: [&str; 7] = [
        "VALUE_SET",
        "VALUE_DELETED",
        "SUBKEY_CREATED",
        "SUBKEY_DELETED",
        "SD_CHANGED",
        "KEY_DELETED",
        "OVERFLOW",
    ];
    let code = u16_at(record, 4)?;
    let mut text = match usize::from(code).checked_sub(1).and_then(|index| KINDS.get(index)) {
        Some(kind) => (*kind).to_owned(),
        None => format!("event {code}"),
    };
    let name_end = HEADER_LENGTH + usize::from(u16_at(record, 6)?);
    let name = record.get(HEADER_LENGTH..name_end)?;
    // The name of the default value is empty, and a name nevertheless.
    if !name.is_empty() || code < 5 {
        write!(text, " {}", Name(name)).ok()?;
    }
    if record.len() > name_end {
        text.push_str(" at ");
        let path = path_in_words(record, name_end)?;
        text.push_str(if path.is_empty() { "." } else { &path });
    }
    Some(text)
}

fn path_in_words(record: &[u8], start: usize) -> Option<String> {
    let depth = u16_at(record, start)?;
    let (mut at, mut components) = (start + 2, Vec::new());
    for _ in 0..depth {
        let end = at + 2 + usize::from(u16_at(record, at)?);
        components.push(Name(record.get(at + 2..end)?).to_string());
        at = end;
    }
    let rest = record.get(at..)?;
    let more = if rest.is_empty() { String::new() } else { format!(" +{} bytes", rest.len()) };
    Some(components.join(" ") + &more)
}

fn u16_at(record: &[u8], at: usize) -> Option<u16> {
    record.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// What the form of the events shows that are read.
pub(crate) fn mark(bytes: &[u8], covered: &mut Covered) {
    let (mut has_direct, mut has_subtree) = (false, false);
    for record in split(bytes).unwrap_or_default() {
        let (Some(code), Some(name_length)) = (u16_at(record, 4), u16_at(record, 6)) else {
            continue;
        };
        let name_end = HEADER_LENGTH + usize::from(name_length);
        covers!(covered, "WATCH-54");
        match code {
            1 | 2 => covers!(covered, "WATCH-56"),
            3 | 4 => covers!(covered, "WATCH-56"),
            5 => covers!(covered, "WATCH-32", "WATCH-55"),
            6 => covers!(covered, "WATCH-35", "WATCH-55"),
            _ => covers!(covered, "WATCH-37", "WATCH-55"),
        }
        if code <= 2 && record[HEADER_LENGTH..name_end].contains(&b'\\') {
            covers!(covered, "WATCH-65");
        }
        if !record[HEADER_LENGTH..].is_ascii() {
            covers!(covered, "WATCH-60");
        }
        if record.len() == HEADER_LENGTH {
            covers!(covered, "ABI-38");
        }
        let depth = u16_at(record, name_end);
        has_direct |= depth.is_none();
        let Some(depth) = depth else { continue };
        has_subtree = true;
        covers!(covered, "WATCH-53", "ABI-39");
        match depth {
            0 => covers!(covered, "WATCH-58", "ABI-40", "DISP-35"),
            _ => covers!(covered, "WATCH-57", "WATCH-59"),
        }
    }
    if has_direct && has_subtree {
        // Nothing else tells them apart.
        covers!(covered, "ABI-41");
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn path(components: &[&str]) -> Vec<KeyName> {
        components.iter().map(|component| KeyName::stored(component)).collect()
    }

    #[test]
    fn a_direct_event_is_a_header_and_a_name() {
        let record = Record::of(Kind::ValueDeleted, "é", None).unwrap();
        assert_eq!(record.bytes(), [10, 0, 0, 0, 2, 0, 2, 0, 0xC3, 0xA9]);
    }

    #[test]
    fn a_subtree_event_has_the_path_after_the_name() {
        let record = Record::of(Kind::SubkeyCreated, "n", Some(&path(&["ab", "c"]))).unwrap();
        let expected = [18, 0, 0, 0, 3, 0, 1, 0, b'n', 2, 0, 2, 0, b'a', b'b', 1, 0, b'c'];
        assert_eq!(record.bytes(), expected);
    }

    #[test]
    fn a_change_of_the_watched_key_itself_has_depth_0() {
        let record = Record::of(Kind::SdChanged, "", Some(&[])).unwrap();
        assert_eq!(record.bytes(), [10, 0, 0, 0, 5, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn overflow_is_the_bare_header() {
        assert_eq!(Record::overflow().bytes(), [8, 0, 0, 0, 7, 0, 0, 0]);
    }

    #[test]
    fn lengths_that_do_not_fit_make_no_record() {
        let long = "x".repeat(0x1_0000);
        assert!(Record::of(Kind::ValueSet, &long, None).is_none());
        assert!(Record::of(Kind::ValueSet, &long[1..], None).is_some());
        assert!(Record::of(Kind::ValueSet, "", Some(&path(&[&long]))).is_none());
        assert!(Record::of(Kind::ValueSet, "", Some(&path(&[&long[1..]]))).is_some());
        assert!(Record::of(Kind::ValueSet, "", Some(&path(&["x"; 0x1_0000]))).is_none());
    }

    #[test]
    fn only_deletion_of_the_key_passes_every_filter() {
        assert_eq!(Kind::ValueSet.category(), Some(0x01));
        assert_eq!(Kind::ValueDeleted.category(), Some(0x01));
        assert_eq!(Kind::SubkeyCreated.category(), Some(0x02));
        assert_eq!(Kind::SubkeyDeleted.category(), Some(0x02));
        assert_eq!(Kind::SdChanged.category(), Some(0x04));
        assert_eq!(Kind::KeyDeleted.category(), None);
    }

    #[test]
    fn events_are_shown_in_words() {
        let mut bytes = Vec::new();
        let below = path(&["a b", "c"]);
        for (kind, name, path) in [
            (Kind::ValueSet, "x\\y", None),
            (Kind::ValueDeleted, "", Some(&[][..])),
            (Kind::KeyDeleted, "", None),
            (Kind::SubkeyDeleted, "k", Some(&below[..])),
        ] {
            bytes.extend(Record::of(kind, name, path).unwrap().bytes());
        }
        bytes.extend(Record::overflow().bytes());
        let shown = describe(&bytes);
        expect![[r#"VALUE_SET "x\\y", VALUE_DELETED "" at ., KEY_DELETED, SUBKEY_DELETED "k" at "a b" "c", OVERFLOW"#]]
            .assert_eq(&shown);
        bytes.pop();
        assert!(describe(&bytes).starts_with("0b000000"));
    }
}
