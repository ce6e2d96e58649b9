//! The statements on backups, restores and their streams, read and written.

use registry_model::input::StreamAccess;

use super::data::{self, typed_words};
use super::descriptor::{descriptor_word, parse_descriptor};
use super::error::Complaint;
use super::print::Line;
use super::sid::{parse_sid, sid_word};
use super::vocabulary::parse_value_type;
use super::words::{OptionKind, Words};
use crate::plan::{Action, Text};
use crate::streams::{Damage, PlannedGuid, PlannedRecord};

/// How the statements are written.
pub(super) const USAGES: &[(&str, &str)] = &[
    ("backup", "backup KEY to STREAM [read|both]"),
    ("restore", "restore KEY from STREAM [write|both]"),
    (
        "record",
        "record STREAM header ROOT [reader=N] [bad], layer NAME [precedence=N] [enabled=N] [owner=SID], \
         key N SDDL [flags=N] [time=N], path N NAME N [in LAYER] [sequence=N], \
         value N NAME TYPE DATA [in LAYER] [sequence=N], blanket N [in LAYER] [sequence=N], \
         other TYPE hex:BYTES or trailer",
    ),
    ("damage", "damage STREAM drop=N|flip=N|add=HEX|remove=N|repeat=N|swap=N,N [sealed]"),
    ("records", "records STREAM"),
];

/// The type whose data is bytes.
const BINARY: u32 = 3;
/// The MinReaderVersion that every reader of v0.21 takes (D-101).
const READER: u32 = 21;

/// Takes the words after one of these verbs.
pub(super) fn parse(verb: &str, words: &mut Words<'_>) -> Result<Action, Complaint> {
    match verb {
        "backup" => {
            let (key, (), stream) = (words.key()?, words.expect("to")?, words.string("a stream")?);
            Ok(Action::Backup { key, stream, access: access(words, StreamAccess::Write)? })
        }
        "restore" => {
            let (key, (), stream) =
                (words.key()?, words.expect("from")?, words.string("a stream")?);
            Ok(Action::Restore { key, stream, access: access(words, StreamAccess::Read)? })
        }
        "record" => {
            let stream = words.string("a stream")?;
            Ok(Action::Record { stream, record: record(words)? })
        }
        "damage" => damage(words),
        _ => Ok(Action::Records { stream: words.string("a stream")? }),
    }
}

/// Takes the mode of a stream that is opened otherwise than it should be.
fn access(words: &mut Words<'_>, usual: StreamAccess) -> Result<StreamAccess, Complaint> {
    let Some(mode) = words.peek_bare() else { return Ok(usual) };
    let access = match mode {
        "read" => StreamAccess::Read,
        "write" => StreamAccess::Write,
        "both" => StreamAccess::ReadWrite,
        _ => return Ok(usual),
    };
    words.bare("a mode")?;
    Ok(access)
}

fn guid(words: &mut Words<'_>) -> Result<PlannedGuid, Complaint> {
    words.number("the number of a key").map(PlannedGuid)
}

fn record(words: &mut Words<'_>) -> Result<PlannedRecord, Complaint> {
    let (what, span) = words.bare("a kind of record")?;
    Ok(match what {
        "header" => {
            let root = guid(words)?;
            let options =
                words.options(&[OptionKind::Number("reader"), OptionKind::Flag("bad", 1)])?;
            let reader = options.number("reader").unwrap_or(READER);
            PlannedRecord::Header { root, reader, is_magic: options.flags == 0 }
        }
        "layer" => layer(words)?,
        "key" => {
            let key = guid(words)?;
            let descriptor = parse_descriptor(words)?;
            let options =
                words.options(&[OptionKind::Number("flags"), OptionKind::Number("time")])?;
            PlannedRecord::Key {
                key,
                flags: options.number("flags").unwrap_or(0),
                descriptor,
                last_write_time: u64::from(options.number("time").unwrap_or(0)),
            }
        }
        "path" => {
            let (parent, name, child) = (guid(words)?, words.text("a name")?, guid(words)?);
            let (layer, sequence) = tag(words)?;
            PlannedRecord::Path { parent, name, child, layer, sequence }
        }
        "value" => {
            let (key, name) = (guid(words)?, words.text("a value name")?);
            let (type_word, span) = words.bare("a value type")?;
            let value_type = parse_value_type(type_word, span)?;
            let data = data::parse_data(value_type, words)?;
            let (layer, sequence) = tag(words)?;
            PlannedRecord::Value { key, name, value_type, data, layer, sequence }
        }
        "blanket" => {
            let key = guid(words)?;
            let (layer, sequence) = tag(words)?;
            PlannedRecord::Blanket { key, layer, sequence }
        }
        "other" => {
            let record_type = words.number("a type")?;
            PlannedRecord::Other { record_type, payload: data::parse_data(BINARY, words)? }
        }
        "trailer" => PlannedRecord::Trailer,
        _ => return Err(Complaint::new(span, format!("`{what}` cannot stand here"), "")),
    })
}

fn layer(words: &mut Words<'_>) -> Result<PlannedRecord, Complaint> {
    let name = words.text("a layer")?;
    let owner = match words.peek_bare().and_then(|word| word.strip_prefix("owner=")) {
        Some(sid) => {
            let (_, span) = words.bare("an owner")?;
            if sid == "bad" { None } else { Some(parse_sid(sid, span)?) }
        }
        None => Some(parse_sid("S-1-5-18", (0, 0))?),
    };
    let options =
        words.options(&[OptionKind::Number("precedence"), OptionKind::Byte("enabled")])?;
    let enabled = options.number("enabled").and_then(|number| u8::try_from(number).ok());
    Ok(PlannedRecord::Layer {
        name,
        precedence: options.number("precedence").unwrap_or(0),
        enabled: enabled.unwrap_or(1),
        owner,
    })
}

/// Takes `[in LAYER] [sequence=N]`.
fn tag(words: &mut Words<'_>) -> Result<(Text, u64), Complaint> {
    let options = words.options(&[OptionKind::Layer, OptionKind::Sequence])?;
    let layer = options.layer.unwrap_or_else(|| Text::from("base"));
    Ok((layer, options.sequence.unwrap_or(1)))
}

fn damage(words: &mut Words<'_>) -> Result<Action, Complaint> {
    let stream = words.string("a stream")?;
    let (word, span) = words.bare("a damage")?;
    let wrong = || Complaint::new(span, format!("`{word}` cannot stand here"), "");
    let (what, value) = word.split_once('=').ok_or_else(wrong)?;
    let number = |text: &str| super::words::parse_number(text, span, "a number");
    let damage = match what {
        "drop" => Damage::Drop(number(value)?),
        "flip" => Damage::Flip(number(value)?),
        "remove" => Damage::Remove(number(value)?),
        "repeat" => Damage::Repeat(number(value)?),
        "swap" => {
            let (left, right) = value.split_once(',').ok_or_else(wrong)?;
            Damage::Swap(number(left)?, number(right)?)
        }
        "add" => Damage::Add(data::parse_hex(value, span)?),
        _ => return Err(wrong()),
    };
    let is_sealed = words.options(&[OptionKind::Flag("sealed", 1)])?.flags != 0;
    Ok(Action::Damage { stream, damage, is_sealed })
}

/// The line of such an action; of any other action, nothing.
pub(super) fn words(action: &Action) -> String {
    match action {
        Action::Backup { key, stream, access } => {
            let line = Line::new("backup").key(key).raw("to").text(stream.as_bytes());
            mode(line, *access, StreamAccess::Write)
        }
        Action::Restore { key, stream, access } => {
            let line = Line::new("restore").key(key).raw("from").text(stream.as_bytes());
            mode(line, *access, StreamAccess::Read)
        }
        Action::Record { stream, record } => {
            record_words(Line::new("record").text(stream.as_bytes()), record)
        }
        Action::Damage { stream, damage, is_sealed } => {
            let line = Line::new("damage").text(stream.as_bytes()).raw(&damage_word(damage));
            if *is_sealed { line.raw("sealed").end() } else { line.end() }
        }
        Action::Records { stream } => Line::new("records").text(stream.as_bytes()).end(),
        _ => String::new(),
    }
}

fn mode(line: Line, access: StreamAccess, usual: StreamAccess) -> String {
    let word = match access {
        _ if access == usual => return line.end(),
        StreamAccess::Read => "read",
        StreamAccess::Write => "write",
        StreamAccess::ReadWrite => "both",
    };
    line.raw(word).end()
}

fn record_words(line: Line, record: &PlannedRecord) -> String {
    let tagged = |line: Line, layer: &Text, sequence: u64| {
        line.raw("in").text(&layer.0).raw(&format!("sequence={sequence}")).end()
    };
    match record {
        PlannedRecord::Header { root, reader, is_magic } => {
            let line = line.raw(&format!("header {} reader={reader}", root.0));
            if *is_magic { line.end() } else { line.raw("bad").end() }
        }
        PlannedRecord::Layer { name, precedence, enabled, owner } => {
            let line = line.raw("layer").text(&name.0);
            let owner = owner.as_ref().map_or_else(|| "bad".to_owned(), sid_word);
            let line = line.raw(&format!("owner={owner}"));
            line.raw(&format!("precedence={precedence} enabled={enabled}")).end()
        }
        PlannedRecord::Key { key, flags, descriptor, last_write_time } => {
            let line = line.raw(&format!("key {}", key.0)).raw(&descriptor_word(descriptor));
            line.raw(&format!("flags={flags} time={last_write_time}")).end()
        }
        PlannedRecord::Path { parent, name, child, layer, sequence } => {
            let line = line.raw(&format!("path {}", parent.0)).text(&name.0);
            tagged(line.raw(&child.0.to_string()), layer, *sequence)
        }
        PlannedRecord::Value { key, name, value_type, data, layer, sequence } => {
            let line = line.raw(&format!("value {}", key.0)).text(&name.0);
            tagged(line.raw(&typed_words(*value_type, data)), layer, *sequence)
        }
        PlannedRecord::Blanket { key, layer, sequence } => {
            tagged(line.raw(&format!("blanket {}", key.0)), layer, *sequence)
        }
        PlannedRecord::Other { record_type, payload } => {
            let line = line.raw(&format!("other {record_type:#x}"));
            line.raw(&data::data_words(BINARY, payload)).end()
        }
        PlannedRecord::Trailer => line.raw("trailer").end(),
    }
}

fn damage_word(damage: &Damage) -> String {
    match damage {
        Damage::Drop(count) => format!("drop={count}"),
        Damage::Flip(offset) => format!("flip={offset}"),
        Damage::Add(bytes) => format!("add={}", data::hex(bytes)),
        Damage::Remove(index) => format!("remove={index}"),
        Damage::Repeat(index) => format!("repeat={index}"),
        Damage::Swap(left, right) => format!("swap={left},{right}"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::script::{parse, print};

    #[test]
    fn backups_and_restores_have_a_canonical_form() {
        let text = r#"
            backup @h to b
            backup Machine\A to b both
            restore Machine\A from b
            restore @h from b write
            record b header 1
            record b header 1 reader=22 bad
            record b layer gpo precedence=3 enabled=0
            record b key 1 "O:SYD:" flags=1
            record b path 1 Sub 2
            record b path 1 Sub 0 in gpo sequence=7
            record b value 2 x dword 5 in gpo sequence=8
            record b blanket 2
            record b other 0x77 hex:0102
            record b trailer
            damage b drop=3
            damage b swap=1,2 sealed
            damage b add=00ff
            records b
        "#;
        let script = parse(text, "test.lcs").unwrap_or_else(|error| panic!("{error}"));
        let printed = print(&script.plan);
        expect![[r#"
            backup @h to b
            backup Machine\A to b both
            restore Machine\A from b
            restore @h from b write
            record b header 1 reader=21
            record b header 1 reader=22 bad
            record b layer gpo owner=S-1-5-18 precedence=3 enabled=0
            record b key 1 "O:SYD:" flags=1 time=0
            record b path 1 Sub 2 in base sequence=1
            record b path 1 Sub 0 in gpo sequence=7
            record b value 2 x dword 5 in gpo sequence=8
            record b blanket 2 in base sequence=1
            record b other 0x77 hex:0102
            record b trailer
            damage b drop=3
            damage b swap=1,2 sealed
            damage b add=00ff
            records b
        "#]]
        .assert_eq(&printed);
        let again = parse(&printed, "test.lcs").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again.plan, script.plan);
    }
}
