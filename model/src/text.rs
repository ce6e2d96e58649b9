//! Answers, expected and observed, in the words of a report.
//!
//! Says nothing that `observation` and `outcome` do not say; only how it reads.

use std::fmt::{self, Display, Formatter};

use crate::abi::{REG_CREATED_NEW, REG_OPENED_EXISTING};
use crate::database::Time;
use crate::observation::{KeyInfo, NamedValue, Observation, PollEvents, Readiness, Sizes};
use crate::outcome::{KeyInfoPattern, Mismatch, Outcome, Selected};
use crate::state::Generation;
use crate::watches::describe;

/// How many bytes of data a report shows.
const SHOWN_BYTES_MAX: usize = 48;

/// A name in quotes, malformed bytes escaped.
pub(crate) struct Name<'a>(pub(crate) &'a [u8]);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) => write!(f, "{text:?}"),
            Err(_) => write!(f, "\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// A value as its type and data.
pub(crate) struct Typed<'a>(pub(crate) u32, pub(crate) &'a [u8]);

impl Display for Typed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Typed(value_type, data) = *self;
        match value_type {
            4 if data.len() == 4 => return write!(f, "dword {}", little_endian(data)),
            11 if data.len() == 8 => return write!(f, "qword {}", little_endian(data)),
            1 | 2 | 6 if std::str::from_utf8(data).is_ok() && data.len() <= SHOWN_BYTES_MAX => {
                return write!(f, "{} {}", type_name(value_type), Name(data));
            }
            _ => {}
        }
        write!(f, "{} ", type_name(value_type))?;
        if data.is_empty() {
            return f.write_str("(empty)");
        }
        for byte in data.iter().take(SHOWN_BYTES_MAX) {
            write!(f, "{byte:02x}")?;
        }
        if data.len() > SHOWN_BYTES_MAX {
            write!(f, "... ({} bytes)", data.len())?;
        }
        Ok(())
    }
}

fn little_endian(data: &[u8]) -> u64 {
    data.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn type_name(value_type: u32) -> String {
    const NAMES: [&str; 12] = [
        "none",
        "sz",
        "expand_sz",
        "binary",
        "dword",
        "dword_big_endian",
        "link",
        "multi_sz",
        "resource_list",
        "full_resource_descriptor",
        "resource_requirements_list",
        "qword",
    ];
    match value_type {
        0xFFFF => "tombstone".to_owned(),
        other => NAMES.get(other as usize).map_or(format!("type {other}"), |&n| n.to_owned()),
    }
}

impl Display for NamedValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", Name(&self.name), Typed(self.value_type, &self.data))
    }
}

impl Display for Sizes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("ERANGE")?;
        let fields = [
            ("name", self.name),
            ("data", self.data),
            ("layer", self.layer),
            ("buffer", self.buffer),
            ("security", self.security),
        ];
        for (field, size) in fields {
            if let Some(size) = size {
                write!(f, " {field}={size}")?;
            }
        }
        Ok(())
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Time::Within(first, last) => write!(f, "within {first}..={last}"),
            Time::At(time) => write!(f, "{time}"),
        }
    }
}

impl Display for Generation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Generation::AtLeast(lowest) => write!(f, "at least {lowest}"),
            Generation::Exactly(exact) => write!(f, "{exact}"),
            Generation::Between(lowest, highest) => write!(f, "{lowest}..={highest}"),
        }
    }
}

/// A security descriptor, byte by byte.
struct Descriptor<'a>(&'a [u8]);

impl Display for Descriptor<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SD ")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, items: &[T], between: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

fn values(f: &mut Formatter<'_>, values: &[NamedValue], order: &str) -> fmt::Result {
    write!(f, "{} values{order}", values.len())?;
    if !values.is_empty() {
        f.write_str(": ")?;
    }
    list(f, values, ", ")
}

struct Subkey<'a>(&'a [u8], &'a dyn Display, u32, u32);

impl Display for Subkey<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Subkey(name, time, subkeys, values) = *self;
        write!(f, "subkey {} ({subkeys} subkeys, {values} values, written {time})", Name(name))
    }
}

fn disposition(f: &mut Formatter<'_>, disposition: Option<u32>) -> fmt::Result {
    match disposition {
        None => Ok(()),
        Some(REG_CREATED_NEW) => f.write_str(", created"),
        Some(REG_OPENED_EXISTING) => f.write_str(", existing"),
        Some(other) => write!(f, ", disposition {other}"),
    }
}

impl Display for Readiness {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let said =
            [(self.readable, "readable"), (self.writable, "writable"), (self.hung_up, "hung up")];
        let said: Vec<&str> = said.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        f.write_str(if said.is_empty() { "not ready" } else { "" })?;
        f.write_str(&said.join(", "))
    }
}

impl Display for PollEvents {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.readable, self.terminal) {
            (false, false) => "nothing",
            (true, false) => "readable",
            (false, true) => "terminal",
            (true, true) => "readable, terminal",
        })
    }
}

impl Display for Observation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Observation::Failed(errno) => write!(f, "{errno}"),
            Observation::TooSmall(sizes) => write!(f, "{sizes}"),
            Observation::Opened { fd, disposition: d } => {
                write!(f, "fd {fd}")?;
                disposition(f, *d)
            }
            Observation::Done => f.write_str("ok"),
            Observation::Value { value_type, data, sequence, layer } => {
                let layer = String::from_utf8_lossy(layer);
                write!(f, "{} from {layer}, sequence {sequence}", Typed(*value_type, data))
            }
            Observation::Values(all) => values(f, all, ""),
            Observation::EnumeratedValue(value) => write!(f, "value {value}"),
            Observation::EnumeratedSubkey { name, last_write_time, subkey_count, value_count } => {
                write!(f, "{}", Subkey(name, last_write_time, *subkey_count, *value_count))
            }
            Observation::KeyInfo(info) => write!(f, "{info}"),
            Observation::Security(bytes) => write!(f, "{}", Descriptor(bytes)),
            Observation::Passed { fd } => write!(f, "passed as fd {fd}"),
            Observation::Events(bytes) => write!(f, "events {}", describe(bytes)),
            Observation::Polled(events) => write!(f, "{events}"),
            Observation::Begun { fd } => write!(f, "transaction fd {fd}"),
            Observation::TransactionStatus { state, terminal_errno } => {
                write!(f, "transaction state {state}, errno {terminal_errno}")
            }
            Observation::StreamOpened { fd } => write!(f, "stream fd {fd}"),
            Observation::Stream(bytes) => write!(f, "{} bytes of a stream", bytes.len()),
            Observation::Ready(readiness) => write!(f, "{readiness}"),
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Failed(errno) => write!(f, "{errno}"),
            Outcome::TooSmall(sizes) => write!(f, "{sizes}"),
            Outcome::Done => f.write_str("ok"),
            Outcome::Opened(opened) => {
                f.write_str("a new fd")?;
                disposition(f, opened.disposition)
            }
            Outcome::Value { value_type, data, sequence, layer } => {
                write!(f, "{} from {layer}, sequence {sequence}", Typed(*value_type, data))
            }
            Outcome::Values(all) => values(f, all, " in any order"),
            Outcome::OneOf(one) => {
                if one.choices.len() > 1 {
                    f.write_str("one of: ")?;
                }
                let choices: Vec<_> = one.choices.iter().map(|choice| &choice.selected).collect();
                list(f, &choices, "; ")
            }
            Outcome::KeyInfo(pattern) => write!(f, "{pattern}"),
            Outcome::Security(bytes) => write!(f, "{}", Descriptor(bytes)),
            Outcome::Passed(_) | Outcome::TransactionPassed(_) => f.write_str("passed as a new fd"),
            Outcome::Begun(_) => f.write_str("a new transaction fd"),
            Outcome::StreamOpened(_) => f.write_str("a new stream fd"),
            Outcome::StreamPassed(_) => f.write_str("passed as a new fd"),
            Outcome::Stream(written) => write!(f, "{written}"),
            Outcome::Waits => f.write_str("no answer yet: the write lock is taken"),
            Outcome::Outside(what) => write!(f, "outside this edition: {what}"),
            Outcome::Events(events) => {
                write!(f, "events {}", describe(&events.example()))?;
                f.write_str(if events.is_open() { ", or in another order" } else { "" })
            }
            Outcome::Polled(events) => write!(f, "{events}"),
            Outcome::TransactionStatus { state, terminal_errno } => {
                write!(f, "transaction state {state}, errno {terminal_errno}")
            }
            Outcome::Ready(readiness) => write!(f, "{readiness}"),
            Outcome::Nothing => f.write_str("no answer"),
        }
    }
}

impl Display for Selected {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Selected::TooSmall(sizes) => write!(f, "{sizes}"),
            Selected::Failed(errno) => write!(f, "{errno}"),
            Selected::Value(value) => write!(f, "value {value}"),
            Selected::Subkey { name, last_write_time, subkey_count, value_count, .. } => {
                write!(f, "{}", Subkey(name, last_write_time, *subkey_count, *value_count))
            }
        }
    }
}

/// Writes key info, whose observed and expected forms have the same fields.
macro_rules! write_key_info {
    ($f:expr, $info:expr, $volatile:expr, $symlink:expr, $generation:expr) => {{
        let (f, info) = ($f, $info);
        write!(f, "key {}: ", Name(&info.name))?;
        write!(f, "{} subkeys, {} values, ", info.subkey_count, info.value_count)?;
        write!(f, "longest subkey name {}, ", info.max_subkey_name_len)?;
        write!(f, "longest value name {}, ", info.max_value_name_len)?;
        write!(f, "largest value {}, ", info.max_value_data_size)?;
        write!(f, "SD {} bytes, volatile {}, symlink {}, ", info.sd_size, $volatile, $symlink)?;
        write!(f, "written {}, generation {}", info.last_write_time, $generation)
    }};
}

impl Display for KeyInfo {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_key_info!(f, self, self.volatile_key, self.symlink, self.hive_generation)
    }
}

impl Display for KeyInfoPattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (volatile_key, symlink) = (u8::from(self.volatile_key), u8::from(self.symlink));
        write_key_info!(f, self, volatile_key, symlink, self.generation)
    }
}

impl Display for Mismatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "expected: {}", self.expected)?;
        write!(f, "got:      {}", self.got)
    }
}
