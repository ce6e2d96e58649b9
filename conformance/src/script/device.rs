//! The statements on the source device, read and written: `device ...` and `register ...`.

use super::data;
use super::error::Complaint;
use super::token::word;
use super::words::{Words, parse_number};
use crate::plan::{Action, PlannedHive, PlannedRegistration, PlannedRoot};

/// How registrations are written.
pub(super) const REGISTER_USAGE: &str = "register DEVICE [max_sequence=N] [count=N] [pad=N] \
    [request=N] [unmapped] {hive NAME root=GUID|root of HIVE [private] [flags=N] [scope=GUID] \
    [pad0=N] [pad1=N] [unmapped]}";
/// How the other statements are written.
pub(super) const DEVICE_USAGE: &str =
    "device open|read|poll DEVICE, or device write DEVICE hex:BYTES";

/// `RSI_HIVE_PRIVATE`.
const PRIVATE: u32 = 1;
/// The version and variant bits of a GUID that a source makes.
const VERSION_4: u128 = 0x4000_8000_0000_0000_0000;
/// The null GUID.
const NULL: [u8; 16] = [0; 16];

/// Takes the words after `device`.
pub(super) fn parse_device(words: &mut Words<'_>) -> Result<Action, Complaint> {
    let (verb, span) = words.bare("`open`, `read`, `write` or `poll`")?;
    let device = words.handle_name()?;
    match verb {
        "open" => Ok(Action::OpenDevice { device }),
        "read" => Ok(Action::ReadDevice { device }),
        "poll" => Ok(Action::PollDevice { device }),
        "write" => {
            let (text, span) = words.bare("the bytes")?;
            let digits = text
                .strip_prefix("hex:")
                .ok_or_else(|| Complaint::new(span, "the bytes must stand here", ""))?;
            Ok(Action::WriteDevice { device, bytes: data::parse_hex(digits, span)? })
        }
        _ => Err(Complaint::new(span, format!("`{verb}` cannot stand here"), "")),
    }
}

/// Takes the words after `register`.
pub(super) fn parse_register(words: &mut Words<'_>) -> Result<Action, Complaint> {
    let device = words.handle_name()?;
    let mut registration = PlannedRegistration::default();
    while words.peek().is_some() && words.peek_bare() != Some("hive") {
        let (text, span) = words.bare("an option")?;
        match text.split_once('=') {
            None if text == "unmapped" => registration.is_unmapped = true,
            Some(("max_sequence", number)) => {
                registration.max_sequence = parse_number(number, span, "a number")?;
            }
            Some(("count", number)) => {
                registration.hive_count = Some(parse_number(number, span, "a number")?);
            }
            Some(("pad", number)) => registration.padding = parse_number(number, span, "a number")?,
            Some(("request", number)) => {
                registration.request = Some(parse_number(number, span, "a request code")?);
            }
            _ => return Err(Complaint::new(span, format!("`{text}` cannot stand here"), "")),
        }
    }
    while words.peek().is_some() {
        words.expect("hive")?;
        registration.hives.push(parse_hive(words)?);
    }
    Ok(Action::Register { device, registration })
}

fn parse_hive(words: &mut Words<'_>) -> Result<PlannedHive, Complaint> {
    let name = words.text("a hive")?;
    let mut root = None;
    let mut hive = PlannedHive { name, ..PlannedHive::global("", PlannedRoot::Guid(NULL)) };
    while words.peek().is_some() && words.peek_bare() != Some("hive") {
        let (text, span) = words.bare("an option")?;
        match text.split_once('=') {
            None if text == "root" => {
                words.expect("of")?;
                root = Some(PlannedRoot::Of(words.string("a hive")?));
            }
            None if text == "private" => hive.flags |= PRIVATE,
            None if text == "unmapped" => hive.is_name_unmapped = true,
            Some(("root", guid)) => root = Some(PlannedRoot::Guid(parse_guid(guid, span)?)),
            Some(("scope", guid)) => hive.scope = parse_guid(guid, span)?,
            Some(("flags", number)) => hive.flags |= parse_number::<u32>(number, span, "flags")?,
            Some(("pad0", number)) => hive.padding[0] = parse_number(number, span, "a number")?,
            Some(("pad1", number)) => hive.padding[1] = parse_number(number, span, "a number")?,
            _ => return Err(Complaint::new(span, format!("`{text}` cannot stand here"), "")),
        }
    }
    hive.root = root.ok_or_else(|| words.missing("`root=GUID` or `root of HIVE`"))?;
    Ok(hive)
}

/// 32 hexadecimal digits, or a number, which stands for a random-looking GUID (RFC 9562, version 4)
/// that has it at its end, the most significant byte first.
pub(super) fn parse_guid(text: &str, span: (usize, usize)) -> Result<[u8; 16], Complaint> {
    if text.len() == 32 {
        let bytes = data::parse_hex(text, span)?;
        return bytes.try_into().map_err(|_| Complaint::new(span, "no GUID", ""));
    }
    let number: u32 = parse_number(text, span, "a GUID")?;
    Ok(guid_of(number))
}

/// The GUID that a number stands for in a script.
pub fn guid_of(number: u32) -> [u8; 16] {
    (VERSION_4 | u128::from(number)).to_be_bytes()
}

/// A GUID as a word.
pub(super) fn guid_word(guid: &[u8; 16]) -> String {
    match u32::try_from(u128::from_be_bytes(*guid) ^ VERSION_4) {
        Ok(number) => number.to_string(),
        Err(_) => data::hex(guid),
    }
}

/// The line of an action on a device; of any other action, nothing.
pub(super) fn device_words(action: &Action) -> String {
    match action {
        Action::OpenDevice { device } => format!("device open {}", word(device.0.as_bytes())),
        Action::ReadDevice { device } => format!("device read {}", word(device.0.as_bytes())),
        Action::PollDevice { device } => format!("device poll {}", word(device.0.as_bytes())),
        Action::WriteDevice { device, bytes } => {
            format!("device write {} hex:{}", word(device.0.as_bytes()), data::hex(bytes))
        }
        Action::Register { device, registration } => {
            let mut line = format!("register {}", word(device.0.as_bytes()));
            line.push_str(&registration_words(registration));
            registration.hives.iter().for_each(|hive| line.push_str(&hive_words(hive)));
            line
        }
        _ => String::new(),
    }
}

fn registration_words(registration: &PlannedRegistration) -> String {
    let mut words = String::new();
    let mut say = |name: &str, number: u64| words.push_str(&format!(" {name}={number}"));
    if registration.max_sequence != 0 {
        say("max_sequence", registration.max_sequence);
    }
    if let Some(count) = registration.hive_count {
        say("count", u64::from(count));
    }
    if registration.padding != 0 {
        say("pad", u64::from(registration.padding));
    }
    if let Some(request) = registration.request {
        words.push_str(&format!(" request={request:#x}"));
    }
    if registration.is_unmapped {
        words.push_str(" unmapped");
    }
    words
}

fn hive_words(hive: &PlannedHive) -> String {
    let mut words = format!(" hive {}", word(&hive.name.0));
    match &hive.root {
        PlannedRoot::Guid(guid) => words.push_str(&format!(" root={}", guid_word(guid))),
        PlannedRoot::Of(name) => words.push_str(&format!(" root of {}", word(name.as_bytes()))),
    }
    match hive.flags {
        0 => {}
        PRIVATE => words.push_str(" private"),
        flags => words.push_str(&format!(" flags={flags:#x}")),
    }
    if hive.scope != NULL {
        words.push_str(&format!(" scope={}", guid_word(&hive.scope)));
    }
    for (name, padding) in ["pad0", "pad1"].iter().zip(hive.padding) {
        if padding != 0 {
            words.push_str(&format!(" {name}={padding}"));
        }
    }
    if hive.is_name_unmapped {
        words.push_str(" unmapped");
    }
    words
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::script::{parse, print};

    #[test]
    fn registrations_have_a_canonical_form() {
        let text = r#"
            source Machine
            source Users
            device open @d
            register d hive Extra root=7 hive "a b" root of Machine private scope=9 pad0=1
            register @d max_sequence=5 count=3 pad=1 request=0x40185201 unmapped
            register d hive x root=000102030405060708090a0b0c0d0e0f flags=3 unmapped
            device poll d
            device read d
            device write d hex:00ff
            restart source as Machine
            restart source 1 as Other "a b"
        "#;
        let script = parse(text, "test.lcs").unwrap_or_else(|error| panic!("{error}"));
        expect![[r#"
            source Machine
            source Users
            device open d
            register d hive Extra root=7 hive "a b" root of Machine private scope=9 pad0=1
            register d max_sequence=5 count=3 pad=1 request=0x40185201 unmapped
            register d hive x root=000102030405060708090a0b0c0d0e0f flags=0x3 unmapped
            device poll d
            device read d
            device write d hex:00ff
            restart source 0 as Machine
            restart source 1 as Other "a b"
        "#]]
        .assert_eq(&print(&script.plan));
    }

    #[test]
    fn a_hive_without_a_root_is_refused_at_its_place() {
        let error = parse("register d hive Extra private", "test.lcs").expect_err("an error");
        assert_eq!(error.problem, "`root=GUID` or `root of HIVE` is missing");
        assert!(error.advice.starts_with("write `register DEVICE"), "{}", error.advice);
    }
}
