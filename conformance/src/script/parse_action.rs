//! Reading what an actor does.

use super::device::{DEVICE_USAGE, REGISTER_USAGE, parse_device, parse_register};
use super::error::Complaint;
use super::vocabulary::{ALL_ACCESS, CREATE_LINK, CREATE_VOLATILE, OPEN_LINK, parse_value_type};
use super::words::{OptionKind, Words};
use super::{data, raw, security, stream, watch};
use crate::plan::{Action, Handle, Text};

/// Every verb and how it is written.
const USAGES: &[(&str, &str)] = &[
    ("open", "open HANDLE = [@PARENT] PATH [access=RIGHTS] [link] [flags=N]"),
    (
        "create",
        "create [HANDLE =] [@PARENT] PATH [access=RIGHTS] [volatile] [link] [flags=N] [in LAYER]",
    ),
    ("get", "get KEY NAME [data=BYTES] [layer=BYTES]"),
    ("set", "set KEY NAME TYPE DATA [in LAYER] [if SEQUENCE]"),
    ("update", "update KEY NAME TYPE DATA"),
    ("unset", "unset KEY NAME [in LAYER]"),
    ("blanket", "blanket KEY [in LAYER] [set=N]"),
    ("unblanket", "unblanket KEY [in LAYER]"),
    ("batch", "batch KEY [buffer=BYTES]"),
    ("value", "value KEY INDEX [name=BYTES] [data=BYTES]"),
    ("subkey", "subkey KEY INDEX [name=BYTES]"),
    ("list", "list KEY"),
    ("info", "info KEY [name=BYTES]"),
    ("changes", "changes KEY"),
    ("delete", "delete KEY [in LAYER]"),
    ("hide", "hide KEY [in LAYER]"),
    ("flush", "flush KEY"),
    ("close", "close HANDLE"),
    ("layer", "layer create|set NAME [precedence=N] [enabled=N], or layer delete NAME"),
    ("view", "view PATH"),
    ("raw", "raw TWISTS : ACTION, with twists such as bytes=OFFSET:HEX or data=unmapped"),
    ("ioctl", "ioctl FD REQUEST [hex:BYTES]"),
    ("syscall", "syscall NUMBER ARGUMENT..., with numbers, @handles, hex:BYTES and \"strings\""),
    ("device", DEVICE_USAGE),
    ("register", REGISTER_USAGE),
    // The rest stands in `parse`; it is here for suggestions.
    ("kill", ""),
    ("stall", ""),
    ("break", ""),
    ("release", ""),
    ("restart", ""),
    ("reboot", ""),
    ("wait", ""),
    ("refuse", ""),
    ("transactions", ""),
    ("snapshots", ""),
    ("times", ""),
    ("parallel", ""),
    ("strand", ""),
    ("end", ""),
    ("store", ""),
    ("compare", ""),
    ("actor", ""),
    ("source", ""),
];

/// Those of this file, and those of statements on security, on watches and on transactions.
fn usages() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    USAGES.iter().chain(security::USAGES).chain(watch::USAGES).chain(stream::USAGES)
}

/// Takes the words after an action's verb.
pub(super) fn parse_action(
    verb: &str,
    span: (usize, usize),
    words: &mut Words<'_>,
) -> Result<Action, Complaint> {
    let usage = usages().find(|(known, usage)| *known == verb && !usage.is_empty());
    let Some((_, usage)) = usage else {
        return Err(Complaint::new(
            span,
            format!("no statement is called `{verb}`"),
            closest(verb),
        ));
    };
    let action = match verb {
        "open" => open(words),
        "create" => create(words),
        "get" | "set" | "update" | "unset" | "blanket" | "unblanket" => value_action(verb, words),
        "layer" => layer(words),
        "raw" => raw::parse_raw(words),
        "ioctl" => raw::parse_ioctl(words),
        "syscall" => raw::parse_syscall(words),
        "device" => parse_device(words),
        "register" => parse_register(words),
        _ if security::USAGES.iter().any(|(known, _)| *known == verb) => {
            security::parse(verb, words)
        }
        _ if watch::USAGES.iter().any(|(known, _)| *known == verb) => watch::parse(verb, words),
        _ if stream::USAGES.iter().any(|(known, _)| *known == verb) => stream::parse(verb, words),
        _ => key_action(verb, words),
    };
    let action = action.and_then(|action| watch::parse_within(verb, action, words));
    let action = action.and_then(|action| words.end().map(|()| action));
    action.map_err(|complaint| complaint.or_advise(&format!("write `{usage}`")))
}

fn open(words: &mut Words<'_>) -> Result<Action, Complaint> {
    let handle = words.handle_name()?;
    words.expect("=")?;
    let parent = words.handle_reference();
    let path = words.text("a path")?;
    let options = words.options(&[
        OptionKind::Access,
        OptionKind::Flag("link", OPEN_LINK),
        OptionKind::Number("flags"),
    ])?;
    Ok(Action::Open {
        handle,
        parent,
        path,
        access: options.access.unwrap_or(ALL_ACCESS),
        flags: options.flags | options.number("flags").unwrap_or(0),
    })
}

fn create(words: &mut Words<'_>) -> Result<Action, Complaint> {
    let handle = match words.peek_second_bare() {
        Some("=") => {
            let handle = words.handle_name()?;
            words.expect("=")?;
            Some(handle)
        }
        _ => None,
    };
    let parent: Option<Handle> = words.handle_reference();
    let path = words.text("a path")?;
    let options = words.options(&[
        OptionKind::Access,
        OptionKind::Flag("volatile", CREATE_VOLATILE),
        OptionKind::Flag("link", CREATE_LINK),
        OptionKind::Number("flags"),
        OptionKind::Layer,
    ])?;
    Ok(Action::Create {
        handle,
        parent,
        path,
        access: options.access.unwrap_or(ALL_ACCESS),
        flags: options.flags | options.number("flags").unwrap_or(0),
        layer: options.layer,
    })
}

fn value_action(verb: &str, words: &mut Words<'_>) -> Result<Action, Complaint> {
    let key = words.key()?;
    Ok(match verb {
        "get" => {
            let name = words.text("a value name")?;
            let options =
                words.options(&[OptionKind::Number("data"), OptionKind::Number("layer")])?;
            let data_capacity = options.number("data");
            Action::Get { key, name, data_capacity, layer_capacity: options.number("layer") }
        }
        "set" => {
            let name = words.text("a value name")?;
            let (type_word, span) = words.bare("a value type")?;
            let value_type = parse_value_type(type_word, span)?;
            let data = data::parse_data(value_type, words)?;
            let mut options = words.options(&[OptionKind::Layer, OptionKind::Condition])?;
            let expected_sequence = options.condition.unwrap_or(0);
            let layer = options.layer_or_base();
            Action::Set { key, name, value_type, data, layer, expected_sequence }
        }
        "update" => {
            let name = words.text("a value name")?;
            let (type_word, span) = words.bare("a value type")?;
            let value_type = parse_value_type(type_word, span)?;
            let data = data::parse_data(value_type, words)?;
            Action::Update { key, name, value_type, data }
        }
        "unset" => {
            let name = words.text("a value name")?;
            Action::Unset { key, name, layer: layer_option(words)? }
        }
        "unblanket" => Action::Blanket { key, layer: layer_option(words)?, set: 0 },
        _ => {
            let mut options = words.options(&[OptionKind::Layer, OptionKind::Byte("set")])?;
            let set = options.number("set").and_then(|set| u8::try_from(set).ok()).unwrap_or(1);
            Action::Blanket { key, layer: options.layer_or_base(), set }
        }
    })
}

/// Actions on a key that are not about one value, and `close` and `view`.
fn key_action(verb: &str, words: &mut Words<'_>) -> Result<Action, Complaint> {
    match verb {
        "close" => return Ok(Action::Close { handle: words.handle_name()? }),
        "view" => return Ok(Action::View { path: words.text("a path")? }),
        _ => {}
    }
    let key = words.key()?;
    Ok(match verb {
        "batch" => {
            let options = words.options(&[OptionKind::Number("buffer")])?;
            Action::Batch { key, capacity: options.number("buffer") }
        }
        "value" => {
            let index = words.number("an index")?;
            let options =
                words.options(&[OptionKind::Number("name"), OptionKind::Number("data")])?;
            let (name_capacity, data_capacity) = (options.number("name"), options.number("data"));
            Action::EnumerateValue { key, index, name_capacity, data_capacity }
        }
        "subkey" => {
            let index = words.number("an index")?;
            let options = words.options(&[OptionKind::Number("name")])?;
            Action::EnumerateSubkey { key, index, name_capacity: options.number("name") }
        }
        "info" => {
            let options = words.options(&[OptionKind::Number("name")])?;
            Action::Info { key, name_capacity: options.number("name") }
        }
        "list" => Action::List { key },
        "changes" => Action::Changes { key },
        "flush" => Action::Flush { key },
        "hide" => Action::Hide { key, layer: layer_option(words)? },
        _ => Action::Delete { key, layer: layer_option(words)? },
    })
}

fn layer(words: &mut Words<'_>) -> Result<Action, Complaint> {
    let (what, span) = words.bare("`create`, `set` or `delete`")?;
    let name = words.text("a layer")?;
    if what == "delete" {
        return Ok(Action::LayerDelete { name });
    }
    let options =
        words.options(&[OptionKind::Number("precedence"), OptionKind::Number("enabled")])?;
    let (precedence, enabled) = (options.number("precedence"), options.number("enabled"));
    match what {
        "create" => Ok(Action::LayerCreate { name, precedence, enabled }),
        "set" => Ok(Action::LayerSet { name, precedence, enabled }),
        _ => Err(Complaint::new(span, format!("`{what}` cannot stand here"), "")),
    }
}

/// Takes `[in LAYER]`.
fn layer_option(words: &mut Words<'_>) -> Result<Text, Complaint> {
    Ok(words.options(&[OptionKind::Layer])?.layer_or_base())
}

/// Advice that names the verb that was probably meant.
fn closest(verb: &str) -> String {
    const DISTANCE_MAX: usize = 2;
    const VERB_LENGTH_MAX: usize = 20;
    let near = (verb.len() <= VERB_LENGTH_MAX)
        .then(|| usages().map(|(known, _)| (distance(verb, known), *known)).min())
        .flatten();
    match near {
        Some((distance, known)) if distance <= DISTANCE_MAX => {
            format!("write `{known}` if that is what is meant")
        }
        _ => {
            let verbs: Vec<&str> = usages().map(|(known, _)| *known).collect();
            format!("write one of {}", verbs.join(", "))
        }
    }
}

/// How many letters have to change (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
