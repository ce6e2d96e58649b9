//! What a watch reports, and the bytes of it (PSD-005 §4.1, §11.2; `WATCH-15`, `WATCH-52`..`WATCH-62`,
//! D-75).

use abi::{REG_NOTIFY_SD, REG_NOTIFY_SUBKEY, REG_NOTIFY_VALUE};

/// Bytes before the name.
const HEADER_LENGTH: usize = 8;
/// Type code of the record that stands for lost ones.
const OVERFLOW: u16 = 7;

/// Kinds of events, but for OVERFLOW, which no change of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A value became effective, or another one.
    ValueSet,
    /// A value is effective no more.
    ValueDeleted,
    /// A child became visible.
    SubkeyCreated,
    /// A child is visible no more.
    SubkeyDeleted,
    /// The descriptor changed.
    SecurityChanged,
    /// The key itself is visible no more.
    KeyDeleted,
}

impl EventKind {
    /// The filter bit that lets it pass; none for what always passes.
    pub const fn category(self) -> Option<u32> {
        match self {
            Self::ValueSet | Self::ValueDeleted => Some(REG_NOTIFY_VALUE),
            Self::SubkeyCreated | Self::SubkeyDeleted => Some(REG_NOTIFY_SUBKEY),
            Self::SecurityChanged => Some(REG_NOTIFY_SD),
            Self::KeyDeleted => None,
        }
    }

    /// Whether a filter lets it pass.
    pub fn passes(self, filter: u32) -> bool {
        self.category().is_none_or(|category| filter & category != 0)
    }

    const fn code(self) -> u16 {
        match self {
            Self::ValueSet => 1,
            Self::ValueDeleted => 2,
            Self::SubkeyCreated => 3,
            Self::SubkeyDeleted => 4,
            Self::SecurityChanged => 5,
            Self::KeyDeleted => 6,
        }
    }
}

/// A change of a key as its watchers are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What kind.
    pub kind: EventKind,
    /// The value or the child; empty for what concerns the key as a whole.
    pub name: Vec<u8>,
}

impl Event {
    /// Of a value or a child.
    pub fn named(kind: EventKind, name: &[u8]) -> Self {
        Self { kind, name: name.to_vec() }
    }

    /// Of the key as a whole.
    pub const fn of_key(kind: EventKind) -> Self {
        Self { kind, name: Vec::new() }
    }
}

/// A record for a direct watch, or for a subtree watch with the components from the watched key to
/// the changed one; none if some length does not fit its field.
pub fn encode<'a>(event: &Event, path: Option<impl Iterator<Item = &'a str>>) -> Option<Vec<u8>> {
    let name_length = u16::try_from(event.name.len()).ok()?;
    let mut record = vec![0; 4];
    record.extend(event.kind.code().to_le_bytes());
    record.extend(name_length.to_le_bytes());
    record.extend(&event.name);
    if let Some(components) = path {
        let depth_at = record.len();
        record.extend([0; 2]);
        let mut depth: u16 = 0;
        for component in components {
            depth = depth.checked_add(1)?;
            record.extend(u16::try_from(component.len()).ok()?.to_le_bytes());
            record.extend(component.as_bytes());
        }
        record[depth_at..depth_at + 2].copy_from_slice(&depth.to_le_bytes());
    }
    let total = u32::try_from(record.len()).ok()?;
    record[..4].copy_from_slice(&total.to_le_bytes());
    Some(record)
}

/// The record that stands for lost ones, on any watch.
pub fn overflow() -> Vec<u8> {
    let mut record = vec![HEADER_LENGTH as u8, 0, 0, 0];
    record.extend(OVERFLOW.to_le_bytes());
    record.extend([0; 2]);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(record: &[u8]) -> String {
        record.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_direct_record_is_a_header_and_a_name() {
        let event = Event::named(EventKind::ValueSet, "ä\\".as_bytes());
        let record = encode(&event, None::<std::iter::Empty<&str>>).expect("fits");
        assert_eq!(hex(&record), "0b 00 00 00 01 00 03 00 c3 a4 5c");
    }

    #[test]
    fn a_subtree_record_says_the_way_from_the_watched_key() {
        let event = Event::of_key(EventKind::KeyDeleted);
        let record = encode(&event, Some(["A", "bc"].into_iter())).expect("fits");
        assert_eq!(hex(&record), "11 00 00 00 06 00 00 00 02 00 01 00 41 02 00 62 63");
    }

    #[test]
    fn a_change_of_the_watched_key_has_depth_zero_on_a_subtree_watch() {
        let event = Event::of_key(EventKind::SecurityChanged);
        let record = encode(&event, Some(std::iter::empty())).expect("fits");
        assert_eq!(hex(&record), "0a 00 00 00 05 00 00 00 00 00");
    }

    #[test]
    fn an_overflow_is_eight_bytes() {
        assert_eq!(hex(&overflow()), "08 00 00 00 07 00 00 00");
    }

    #[test]
    fn a_length_that_does_not_fit_makes_no_record() {
        let long = Event::named(EventKind::ValueSet, &[b'v'; 0x1_0000]);
        assert_eq!(encode(&long, None::<std::iter::Empty<&str>>), None);
        let component = "k".repeat(0x1_0000);
        let event = Event::named(EventKind::ValueSet, b"v");
        assert_eq!(encode(&event, Some([component.as_str()].into_iter())), None);
    }
}
