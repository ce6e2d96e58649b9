//! Watch events as they are packed into the buffer of a read (PSD-005 §11.2).
//!
//! Reads records by themselves: whether a record is one of a subtree watch shows in its own
//! lengths, so that nothing has to be known of the watch.

use super::Malformed;

/// Length of a record without a name: its own length, the kind and the length of the name.
const HEADER_LENGTH: usize = 8;

/// What an event says that has happened (§11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the event type that the text has under this name")]
pub enum EventKind {
    ValueSet,
    ValueDeleted,
    SubkeyCreated,
    SubkeyDeleted,
    SdChanged,
    KeyDeleted,
    Overflow,
}

impl EventKind {
    /// Every kind with its code and its name in the text.
    const ALL: [(u16, EventKind, &str); 7] = [
        (1, EventKind::ValueSet, "VALUE_SET"),
        (2, EventKind::ValueDeleted, "VALUE_DELETED"),
        (3, EventKind::SubkeyCreated, "SUBKEY_CREATED"),
        (4, EventKind::SubkeyDeleted, "SUBKEY_DELETED"),
        (5, EventKind::SdChanged, "SD_CHANGED"),
        (6, EventKind::KeyDeleted, "KEY_DELETED"),
        (7, EventKind::Overflow, "OVERFLOW"),
    ];

    fn of(code: u16) -> Option<EventKind> {
        EventKind::ALL.iter().find(|(known, ..)| *known == code).map(|(_, kind, _)| *kind)
    }

    /// Its name in the text, without its prefix.
    pub fn name(self) -> &'static str {
        EventKind::ALL.iter().find(|(_, kind, _)| *kind == self).map_or("?", |(.., name)| name)
    }

    /// Whether events of this kind name a value or a subkey (WATCH-55).
    pub fn has_name(self) -> bool {
        !matches!(self, EventKind::SdChanged | EventKind::KeyDeleted | EventKind::Overflow)
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// What has happened.
    pub kind: EventKind,
    /// The value or the subkey; empty where the kind has none.
    pub name: Vec<u8>,
    /// The components from below the watched key to the changed one; `None` in the record of a
    /// direct watch.
    pub path: Option<Vec<Vec<u8>>>,
}

/// The events of a buffer, which they fill.
///
/// # Errors
/// `Malformed` says which record is not what the text has.
pub fn events(bytes: &[u8]) -> Result<Vec<WatchEvent>, Malformed> {
    let mut rest = bytes;
    let mut events = Vec::new();
    while !rest.is_empty() {
        let number = events.len() + 1;
        let (event, after) = event(rest)
            .ok_or_else(|| Malformed(format!("event {number} ends early: {}", shown(rest))))?
            .map_err(|problem| Malformed(format!("event {number} {problem}: {}", shown(rest))))?;
        events.push(event);
        rest = after;
    }
    Ok(events)
}

/// Takes the first record; `None` if its lengths pass the end of what there is.
fn event(bytes: &[u8]) -> Option<Result<(WatchEvent, &[u8]), String>> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    if length < HEADER_LENGTH {
        return Some(Err(format!("says that it is {length} bytes long")));
    }
    let (record, after) = bytes.split_at_checked(length)?;
    let mut rest = record.get(4..)?;
    let code = take_u16(&mut rest)?;
    let name = take_counted(&mut rest)?;
    let Some(kind) = EventKind::of(code) else {
        return Some(Err(format!("is of the unknown kind {code}")));
    };
    if !kind.has_name() && !name.is_empty() {
        return Some(Err(format!("is {} with a name", kind.name())));
    }
    let path = if rest.is_empty() { None } else { Some(path(&mut rest)?) };
    if !rest.is_empty() {
        return Some(Err(format!("has {} bytes after its last field", rest.len())));
    }
    Some(Ok((WatchEvent { kind, name, path }, after)))
}

fn path(rest: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    let depth = take_u16(rest)?;
    (0..depth).map(|_| take_counted(rest)).collect()
}

fn take_u16(rest: &mut &[u8]) -> Option<u16> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u16::from_le_bytes(*head))
}

fn take_counted(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let length = take_u16(rest)?;
    let (head, tail) = rest.split_at_checked(usize::from(length))?;
    *rest = tail;
    Some(head.to_vec())
}

fn shown(bytes: &[u8]) -> String {
    const LENGTH_MAX: usize = 64;
    let hex: String = bytes.iter().take(LENGTH_MAX).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > LENGTH_MAX { format!("{hex}..") } else { hex }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as §11.2 lays it out.
    fn record(code: u16, name: &[u8], path: Option<&[&[u8]]>) -> Vec<u8> {
        let mut tail = code.to_le_bytes().to_vec();
        let mut counted = |bytes: &[u8]| {
            tail.extend((bytes.len() as u16).to_le_bytes());
            tail.extend(bytes);
        };
        counted(name);
        if let Some(path) = path {
            tail.extend((path.len() as u16).to_le_bytes());
            for part in path {
                tail.extend((part.len() as u16).to_le_bytes());
                tail.extend(*part);
            }
        }
        let mut record = (tail.len() as u32 + 4).to_le_bytes().to_vec();
        record.extend(tail);
        record
    }

    fn problem(bytes: &[u8]) -> String {
        events(bytes).expect_err("malformed events").0
    }

    #[test]
    fn records_follow_one_another_without_gaps() {
        let bytes = [
            record(1, b"Color", None),
            record(4, b"a", Some(&[b"b", b"c d"])),
            record(5, b"", Some(&[])),
            record(7, b"", None),
        ];
        let read = events(&bytes.concat()).expect("events");
        let shown: Vec<_> =
            read.iter().map(|e| (e.kind.name(), e.name.clone(), e.path.clone())).collect();
        assert_eq!(
            shown,
            [
                ("VALUE_SET", b"Color".to_vec(), None),
                ("SUBKEY_DELETED", b"a".to_vec(), Some(vec![b"b".to_vec(), b"c d".to_vec()])),
                ("SD_CHANGED", vec![], Some(vec![])),
                ("OVERFLOW", vec![], None),
            ]
        );
    }

    #[test]
    fn a_record_that_passes_the_end_is_malformed() {
        let whole = record(3, b"key", Some(&[b"a"]));
        for length in 1..whole.len() {
            assert!(problem(&whole[..length]).contains("event 1"), "{length}");
        }
    }

    #[test]
    fn lengths_within_a_record_agree() {
        let mut short = record(1, b"name", None);
        short[0] = 9;
        assert!(problem(&short).contains("ends early"));
        let mut none = record(1, b"name", None);
        none[0] = 7;
        assert!(problem(&none).contains("7 bytes long"));
        let mut long = record(1, b"name", Some(&[b"a"]));
        long.extend([0, 0]);
        long[0] += 2;
        assert!(problem(&long).contains("2 bytes after its last field"));
    }

    #[test]
    fn an_unknown_kind_is_malformed() {
        assert!(problem(&record(8, b"", None)).contains("unknown kind 8"));
        assert!(problem(&record(0, b"", None)).contains("unknown kind 0"));
    }

    #[test]
    fn only_values_and_subkeys_are_named() {
        for code in 5..=7 {
            assert!(problem(&record(code, b"x", None)).contains("with a name"), "{code}");
        }
    }
}
