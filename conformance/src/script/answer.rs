//! Answers as the text that a script expects: the lines after `->`.
//!
//! | answer | lines |
//! | --- | --- |
//! | success without output | `ok` |
//! | an opened key | `opened`; of a creation, `created` or `opened` |
//! | a failure | its errno; `ERANGE data=4 layer=4` with the required sizes |
//! | a value | `dword 1024 from gpo`, with the layer as it was returned |
//! | values, sorted by name | `NAME = dword 1024`, one a line |
//! | subkeys, sorted | their names, one a line |
//! | one subkey | `NAME subkeys=0 values=2` |
//! | key info | one line without last write time and generation |
//! | a security descriptor | SDDL in quotes, `hex:` and its bytes where that says too little |
//! | a passed fd | `passed` |
//! | what this edition does not judge | `outside this edition: ` and what the answer depends on |
//! | changes | `noted` at the first look, then `written generation=+1`, `unwritten generation=+0` |
//! | a view | `NAME = dword 1024 from gpo` for the values of the key, then `[Sub\Key]` and so on |
//! | the records of a stream | `key 1 flags=0` and so on, with keys numbered as they come |
//! | an empty list or view | `(empty)` |
//! | a transaction that begins | `begun` |
//! | the state of a transaction | `ACTIVE_BOUND`; a terminal one with its error, `TIMED_OUT errno=ETIMEDOUT` |
//! | watch events, in order | `VALUE_SET Color`, one a line; of a subtree watch `VALUE_SET Color at Sub\Key`, and `VALUE_SET Color here` of the watched key itself |
//! | a key or a transaction that is polled | what holds of `readable` and `terminal`; or `nothing` |
//! | a device that is polled | what holds of `readable`, `writable` and `hung up`; or `not ready` |
//! | a source that restarts | `ok`, or the errno of its registration |
//!
//! Sequence numbers, times and generations stay out: they depend on more than the script says, and
//! the model judges them anyway.

use registry_model::errno::Errno;
use registry_model::observation::{KeyInfo, NamedValue, Observation, Sizes};
use registry_model::view::{KeyView, Part, Path, View};

use super::data::typed_words;
use super::descriptor::descriptor_word;
use super::token::{quoted, word};
use crate::plan::{Action, Step};
use crate::typed::{self, WatchEvent};

/// What a step answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepAnswer {
    /// The one call of the action, the first of its calls that failed, or the last of them.
    Observation(Observation),
    /// The subkeys of `list`, in the order they came.
    List(Vec<Vec<u8>>),
    /// What `changes` found, `None` at the first look.
    Changes(Option<Changes>),
    /// The view of `view`, with the whole paths of its keys.
    View(View),
    /// The records of a stream, in words.
    Records(Vec<String>),
    /// A record that could not be put into a store, since its place is not there.
    NotStored,
    /// The answer depends on something that this edition does not judge; on what.
    Outside(String),
    /// Nothing: something happened to the world, or views were compared.
    Nothing,
}

/// How a key and its hive differ from a former look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Whether the last write time is another.
    pub written: bool,
    /// By how much the generation of the hive has grown; less than 0 only after a reboot.
    pub generation: i128,
}

/// The lines that say what a step of a plan answered; none for what answers nothing.
pub fn step_lines(step: &Step, answer: &StepAnswer) -> Vec<String> {
    match step {
        Step::Act { action, .. } => lines(action, answer),
        Step::Parallel(_) | Step::Fault(_) | Step::CompareViews => fault_lines(answer),
    }
}

/// The lines that say what an action answered.
pub fn lines(action: &Action, answer: &StepAnswer) -> Vec<String> {
    match answer {
        StepAnswer::Observation(observation) => observation_lines(observation),
        StepAnswer::List(names) => {
            let mut names = names.clone();
            names.sort();
            or_empty(names.iter().map(|name| word(name)).collect())
        }
        StepAnswer::Records(records) => or_empty(records.clone()),
        StepAnswer::Changes(changes) => vec![changes_line(*changes)],
        StepAnswer::View(view) => view_lines(action, view),
        StepAnswer::NotStored | StepAnswer::Outside(_) | StepAnswer::Nothing => fault_lines(answer),
    }
}

/// The lines that say what something answered that happened to the world.
fn fault_lines(answer: &StepAnswer) -> Vec<String> {
    match answer {
        StepAnswer::Observation(observation) => observation_lines(observation),
        StepAnswer::NotStored => vec![NOT_STORED.to_owned()],
        StepAnswer::Outside(what) => vec![format!("{OUTSIDE}{what}")],
        _ => Vec::new(),
    }
}

/// Whether an answer is a failure of any kind.
pub fn is_failure(lines: &[String]) -> bool {
    let first_word = lines.first().and_then(|line| line.split(' ').next()).unwrap_or("");
    lines == [NOT_STORED]
        || lines.first().is_some_and(|line| line.starts_with(OUTSIDE))
        || first_word == UNKNOWN_ERRNO
        || Errno::ALL.iter().any(|errno| errno.to_string() == first_word)
}

/// How an errno that the registry does not have begins (`Errno::Other`).
const UNKNOWN_ERRNO: &str = "errno";
/// What a record for a place that is not there answers.
const NOT_STORED: &str = "not stored";
/// How the answer begins of what this edition does not judge.
const OUTSIDE: &str = "outside this edition: ";
/// A list or a view without anything in it.
const EMPTY: &str = "(empty)";
/// `REG_CREATED_NEW`.
const CREATED_NEW: u32 = 1;
/// `REG_OPENED_EXISTING`.
const OPENED_EXISTING: u32 = 2;

fn or_empty(lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() { vec![EMPTY.to_owned()] } else { lines }
}

fn observation_lines(observation: &Observation) -> Vec<String> {
    let line = match observation {
        Observation::Failed(errno) => errno.to_string(),
        Observation::TooSmall(sizes) => sizes_line(sizes),
        Observation::Opened { disposition, .. } => match disposition {
            None | Some(OPENED_EXISTING) => "opened".to_owned(),
            Some(CREATED_NEW) => "created".to_owned(),
            Some(other) => format!("disposition {other}"),
        },
        Observation::Done => "ok".to_owned(),
        Observation::Value { value_type, data, layer, .. } => {
            format!("{} from {}", typed_words(*value_type, data), word(layer))
        }
        Observation::Values(values) => {
            let mut values: Vec<&NamedValue> = values.iter().collect();
            values.sort();
            return or_empty(values.into_iter().map(named_value_line).collect());
        }
        Observation::EnumeratedValue(value) => named_value_line(value),
        Observation::EnumeratedSubkey { name, subkey_count, value_count, .. } => {
            format!("{} subkeys={subkey_count} values={value_count}", word(name))
        }
        Observation::KeyInfo(info) => info_line(info),
        Observation::Security(descriptor) => descriptor_word(descriptor),
        Observation::Passed { .. } => "passed".to_owned(),
        Observation::Begun { .. } => "begun".to_owned(),
        Observation::Events(bytes) => match typed::events(bytes) {
            Ok(events) => return events.iter().map(event_line).collect(),
            Err(_) => observation.to_string(),
        },
        Observation::TransactionStatus { state, terminal_errno } => {
            status_line(*state, *terminal_errno)
        }
        Observation::Polled(events) => events.to_string(),
        Observation::StreamOpened { .. } => "stream opened".to_owned(),
        Observation::Stream(_) | Observation::Ready(_) => observation.to_string(),
    };
    vec![line]
}

/// The states of a transaction, in the order of their codes (PSD-005 §11.1).
const TRANSACTION_STATES: [&str; 6] =
    ["ACTIVE_UNBOUND", "ACTIVE_BOUND", "COMMITTED", "ABORTED", "TIMED_OUT", "SOURCE_DOWN"];

/// The line for the state of a transaction.
pub(crate) fn status_line(state: u32, terminal_errno: u32) -> String {
    let known = usize::try_from(state).ok().and_then(|state| TRANSACTION_STATES.get(state));
    let state = known.map_or_else(|| format!("state={state}"), |name| (*name).to_owned());
    match i32::try_from(terminal_errno) {
        Ok(0) => state,
        Ok(number) => format!("{state} errno={}", Errno::from_number(number)),
        Err(_) => format!("{state} errno={terminal_errno}"),
    }
}

/// The line for a watch event.
pub(crate) fn event_line(event: &WatchEvent) -> String {
    let mut line = event.kind.name().to_owned();
    if event.kind.has_name() {
        line.push(' ');
        line.push_str(&word(&event.name));
    }
    match event.path.as_deref() {
        None => {}
        Some([]) => line.push_str(" here"),
        Some(path) => {
            line.push_str(" at ");
            line.push_str(&word(&path.join(&b'\\')));
        }
    }
    line
}

fn sizes_line(sizes: &Sizes) -> String {
    let named = [
        ("name", sizes.name),
        ("data", sizes.data),
        ("layer", sizes.layer),
        ("buffer", sizes.buffer),
        ("security", sizes.security),
    ];
    let said = named.iter().filter_map(|(name, size)| size.map(|size| format!(" {name}={size}")));
    format!("{}{}", Errno::ERANGE, said.collect::<String>())
}

fn named_value_line(value: &NamedValue) -> String {
    format!("{} = {}", word(&value.name), typed_words(value.value_type, &value.data))
}

fn info_line(info: &KeyInfo) -> String {
    format!(
        "name={} subkeys={} values={} max_subkey_name={} max_value_name={} max_value_data={} \
         sd={} volatile={} symlink={}",
        word(&info.name),
        info.subkey_count,
        info.value_count,
        info.max_subkey_name_len,
        info.max_value_name_len,
        info.max_value_data_size,
        info.sd_size,
        info.volatile_key,
        info.symlink,
    )
}

fn changes_line(changes: Option<Changes>) -> String {
    let Some(Changes { written, generation }) = changes else { return "noted".to_owned() };
    let written = if written { "written" } else { "unwritten" };
    format!("{written} generation={generation:+}")
}

/// The keys of a view, each below its header `[relative path]`; the first key needs none. A view
/// in which no key opens says what opening its first key says.
fn view_lines(action: &Action, view: &View) -> Vec<String> {
    let depth = match action {
        Action::View { path } => path.0.split(|byte| b"\\/".contains(byte)).count(),
        _ => 0,
    };
    let opened = || view.iter().filter_map(|(path, key)| Some((path, key.as_ref()?)));
    if opened().next().is_none() {
        return vec![Errno::ENOENT.to_string()];
    }
    or_empty(opened().flat_map(|(path, key)| key_lines(view, depth, path, key)).collect())
}

fn key_lines(view: &View, depth: usize, path: &Path, key: &KeyView) -> Vec<String> {
    let below = path.get(depth..).unwrap_or(&[]);
    let mut lines = Vec::new();
    let flags = [(key.volatile_key, " volatile"), (key.symlink, " symlink")];
    let mut flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
    if key.unreadable.contains(&Part::Key) {
        let errno = Errno::EIO.to_string();
        if below.is_empty() {
            return vec![errno];
        }
        flags = format!(" {errno}");
    }
    if !below.is_empty() || !flags.is_empty() {
        lines.push(format!("{}{flags}", header(below)));
    }
    lines.extend(key.unreadable.iter().filter_map(|part| unreadable_line(*part)));
    for (name, value) in &key.values {
        let data = typed_words(value.value_type, &value.data);
        let (name, layer) = (word(name.as_bytes()), word(value.layer.as_bytes()));
        lines.push(format!("{name} = {data} from {layer}"));
    }
    for subkey in &key.subkeys {
        let child = |prefix: &[String]| [prefix, std::slice::from_ref(subkey)].concat();
        if !matches!(view.get(&child(path)), Some(Some(_))) {
            lines.push(format!("{} unopened", header(&child(below))));
        }
    }
    lines
}

/// The line for a part of an open key that cannot be read.
fn unreadable_line(part: Part) -> Option<String> {
    let part = match part {
        Part::Key => return None,
        Part::Values => "values",
        Part::Subkeys => "subkeys",
        Part::SomeSubkeys => "subkey",
        Part::Information => "info",
    };
    Some(format!("{part}: {}", Errno::EIO))
}

fn header(components: &[String]) -> String {
    let path = components.join("\\");
    let is_plain = !path.contains([']', ' ']) && word(path.as_bytes()) == path;
    if is_plain || path.is_empty() {
        format!("[{path}]")
    } else {
        format!("[{}]", quoted(path.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event_lines(bytes: &[u8]) -> Vec<String> {
        observation_lines(&Observation::Events(bytes.to_vec()))
    }

    #[test]
    fn each_event_is_a_line_with_its_name_and_its_path() {
        let direct = b"\x09\0\0\0\x01\0\x01\0X";
        let default_value = b"\x08\0\0\0\x02\0\0\0";
        let here = b"\x0a\0\0\0\x05\0\0\0\0\0";
        let below = b"\x12\0\0\0\x03\0\x01\0a\x02\0\x01\0b\x02\0c ";
        let overflow = b"\x08\0\0\0\x07\0\0\0";
        let bytes = [&direct[..], default_value, here, below, overflow].concat();
        let expected = [
            "VALUE_SET X",
            "VALUE_DELETED \"\"",
            "SD_CHANGED here",
            "SUBKEY_CREATED a at \"b\\\\c \"",
            "OVERFLOW",
        ];
        assert_eq!(event_lines(&bytes), expected);
    }

    #[test]
    fn a_state_of_a_transaction_is_a_word_with_its_error() {
        let line = |state, terminal_errno| {
            observation_lines(&Observation::TransactionStatus { state, terminal_errno })
        };
        assert_eq!(line(0, 0), ["ACTIVE_UNBOUND"]);
        assert_eq!(line(4, 110), ["TIMED_OUT errno=ETIMEDOUT"]);
        assert_eq!(line(5, 5), ["SOURCE_DOWN errno=EIO"]);
        assert_eq!(line(6, u32::MAX), ["state=6 errno=4294967295"]);
    }
}
