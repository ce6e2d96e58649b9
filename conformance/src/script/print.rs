//! Writing a plan as a script, in the one canonical way.

use super::actor::actor_words;
use super::data::typed_words;
use super::device::device_words;
use super::parallel::words as parallel_words;
use super::raw::raw_words;
use super::security;
use super::source::hive_word;
use super::store_entry::store_entry_words;
use super::stream;
use super::token::word;
use super::vocabulary::{CREATE_LINK, CREATE_VOLATILE, OPEN_LINK, access_word};
use super::watch;
use crate::plan::{Action, Fault, Handle, KeyReference, Plan, Step, Text};
use registry_model::input::CommitRefusal;

/// The script of a plan: reading it gives the same plan.
///
/// Actors must have distinct names, and every step an actor of the plan.
pub fn print(plan: &Plan) -> String {
    let mut text = String::new();
    for actor in &plan.actors {
        text.push_str(&actor_words(actor));
        text.push('\n');
    }
    for hives in &plan.sources {
        text.push_str("source");
        for hive in hives {
            text.push(' ');
            text.push_str(&hive_word(hive));
        }
        text.push('\n');
    }
    for step in &plan.steps {
        text.push_str(&step_words(plan, step));
        text.push('\n');
    }
    text
}

/// The line of one step.
pub(super) fn step_words(plan: &Plan, step: &Step) -> String {
    match step {
        Step::Act { actor: 0, action } => action_words(action),
        Step::Act { actor, action } => {
            let name = plan.actors.get(*actor).map_or("?", |actor| actor.name.as_str());
            let is_plain = !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            let name =
                if is_plain { name.to_owned() } else { super::token::quoted(name.as_bytes()) };
            format!("{name}: {}", action_words(action))
        }
        Step::Parallel(parallel) => parallel_words(plan, parallel),
        Step::Fault(fault) => fault_words(fault),
        Step::CompareViews => "compare views".to_owned(),
    }
}

fn fault_words(fault: &Fault) -> String {
    match fault {
        Fault::KillSource { source } => format!("kill source {source}"),
        Fault::KillSourceAt { source, request, executed } => {
            format!("kill source {source} {}", at_request(*request, *executed))
        }
        Fault::BreakProtocol { source, breach } => {
            format!("break source {source} {}", breach.word())
        }
        Fault::BreakProtocolAt { source, breach, request, executed } => {
            let when = at_request(*request, *executed);
            format!("break source {source} {} {when}", breach.word())
        }
        Fault::StallSource { source } => format!("stall source {source}"),
        Fault::StallSourceAt { source, request, executed } => {
            format!("stall source {source} {}", at_request(*request, *executed))
        }
        Fault::ReleaseSource { source } => format!("release source {source}"),
        Fault::RestartSource { source } => format!("restart source {source}"),
        Fault::RestartSourceAs { source, hives } => {
            let hives: String = hives.iter().map(|hive| format!(" {}", hive_word(hive))).collect();
            format!("restart source {source} as{hives}")
        }
        Fault::Reboot => "reboot".to_owned(),
        Fault::Wait { duration_ms } if duration_ms % 1000 == 0 => {
            format!("wait {}s", duration_ms / 1000)
        }
        Fault::Wait { duration_ms } => format!("wait {duration_ms}ms"),
        Fault::StoreEntry(entry) => store_entry_words(entry),
        Fault::RefuseCommit { source, refusal } => {
            let how = match refusal {
                CommitRefusal::Busy => "busy",
                CommitRefusal::Failed => "failed",
            };
            format!("refuse commit source {source} {how}")
        }
        Fault::TransactionSupport { source, is_supported } => {
            format!("transactions source {source} {}", if *is_supported { "on" } else { "off" })
        }
        Fault::SnapshotSupport { source, is_supported } => {
            format!("snapshots source {source} {}", if *is_supported { "on" } else { "off" })
        }
        Fault::FalseMaximum { source, max_sequence } => {
            format!("store maximum source {source} {max_sequence}")
        }
    }
}

/// When something befalls a source.
fn at_request(request: u32, executed: bool) -> String {
    let executed = if executed { "executed" } else { "unexecuted" };
    format!("at request {request} {executed}")
}

/// The words of an action, without its actor.
pub(super) fn action_words(action: &Action) -> String {
    match action {
        Action::Open { .. } | Action::Create { .. } => open_words(action),
        Action::Set { key, name, value_type, data, layer, expected_sequence } => {
            let line = Line::new("set").key(key).text(&name.0);
            let line = line.raw(&typed_words(*value_type, data)).layer(layer);
            if *expected_sequence == 0 {
                line.0
            } else {
                line.raw(&format!("if {expected_sequence}")).0
            }
        }
        Action::Update { key, name, value_type, data } => {
            let line = Line::new("update").key(key).text(&name.0);
            line.raw(&typed_words(*value_type, data)).0
        }
        Action::Get { key, name, data_capacity, layer_capacity } => {
            let line = Line::new("get").key(key).text(&name.0);
            line.number("data", *data_capacity).number("layer", *layer_capacity).0
        }
        Action::Unset { key, name, layer } => {
            Line::new("unset").key(key).text(&name.0).layer(layer).0
        }
        Action::Blanket { key, layer, set } => match set {
            0 => Line::new("unblanket").key(key).layer(layer).0,
            1 => Line::new("blanket").key(key).layer(layer).0,
            _ => Line::new("blanket").key(key).layer(layer).number("set", Some(u32::from(*set))).0,
        },
        Action::Batch { key, capacity } => {
            Line::new("batch").key(key).number("buffer", *capacity).0
        }
        Action::EnumerateValue { key, index, name_capacity, data_capacity } => {
            let line = Line::new("value").key(key).raw(&index.to_string());
            line.number("name", *name_capacity).number("data", *data_capacity).0
        }
        Action::EnumerateSubkey { key, index, name_capacity } => {
            let line = Line::new("subkey").key(key).raw(&index.to_string());
            line.number("name", *name_capacity).0
        }
        Action::List { key } => Line::new("list").key(key).0,
        Action::Info { key, name_capacity } => {
            Line::new("info").key(key).number("name", *name_capacity).0
        }
        Action::Changes { key } => Line::new("changes").key(key).0,
        Action::Delete { key, layer } => Line::new("delete").key(key).layer(layer).0,
        Action::Hide { key, layer } => Line::new("hide").key(key).layer(layer).0,
        Action::Flush { key } => Line::new("flush").key(key).0,
        Action::GetSecurity { .. }
        | Action::SetSecurity { .. }
        | Action::Pass { .. }
        | Action::Become { .. }
        | Action::Revert => security::words(action),
        Action::Close { handle } => Line::new("close").text(handle.0.as_bytes()).0,
        Action::Begin { .. }
        | Action::Commit { .. }
        | Action::TransactionStatus { .. }
        | Action::Within { .. }
        | Action::Watch { .. }
        | Action::Events { .. }
        | Action::Poll { .. } => watch::words(action),
        Action::Backup { .. }
        | Action::Restore { .. }
        | Action::Record { .. }
        | Action::Damage { .. }
        | Action::Records { .. } => stream::words(action),
        Action::LayerCreate { name, precedence, enabled } => {
            let line = Line::new("layer create").text(&name.0);
            line.number("precedence", *precedence).number("enabled", *enabled).0
        }
        Action::LayerSet { name, precedence, enabled } => {
            let line = Line::new("layer set").text(&name.0);
            line.number("precedence", *precedence).number("enabled", *enabled).0
        }
        Action::LayerDelete { name } => Line::new("layer delete").text(&name.0).0,
        Action::View { path } => Line::new("view").text(&path.0).0,
        Action::Raw { .. } | Action::Ioctl { .. } | Action::Syscall { .. } => raw_words(action),
        Action::OpenDevice { .. }
        | Action::Register { .. }
        | Action::ReadDevice { .. }
        | Action::WriteDevice { .. }
        | Action::PollDevice { .. } => device_words(action),
    }
}

/// The line of an open or a creation; of any other action, nothing.
fn open_words(action: &Action) -> String {
    match action {
        Action::Open { handle, parent, path, access, flags } => {
            let line = Line::new("open").text(handle.0.as_bytes()).raw("=");
            let line = line.parent(parent.as_ref()).text(&path.0).raw(&access_option(*access));
            line.flags(*flags, &[("link", OPEN_LINK)]).0
        }
        Action::Create { handle, parent, path, access, flags, layer } => {
            let line = Line::new("create");
            let line = match handle {
                Some(handle) => line.text(handle.0.as_bytes()).raw("="),
                None => line,
            };
            let line = line.parent(parent.as_ref()).text(&path.0).raw(&access_option(*access));
            let line = line.flags(*flags, &[("volatile", CREATE_VOLATILE), ("link", CREATE_LINK)]);
            match layer {
                Some(layer) => line.raw("in").text(&layer.0).0,
                None => line.0,
            }
        }
        _ => String::new(),
    }
}

fn access_option(access: u32) -> String {
    format!("access={}", access_word(access))
}

/// A handle where something else could stand.
pub(super) fn handle_word(handle: &Handle) -> String {
    format!("@{}", word(handle.0.as_bytes()))
}

/// A line that grows word by word.
pub(super) struct Line(String);

impl Line {
    pub(super) fn new(verb: &str) -> Line {
        Line(verb.to_owned())
    }

    pub(super) fn raw(mut self, words: &str) -> Line {
        self.0.push(' ');
        self.0.push_str(words);
        self
    }

    pub(super) fn text(self, bytes: &[u8]) -> Line {
        let word = word(bytes);
        self.raw(&word)
    }

    pub(super) fn end(self) -> String {
        self.0
    }

    fn handle(self, handle: &Handle) -> Line {
        self.raw(&handle_word(handle))
    }

    fn parent(self, parent: Option<&Handle>) -> Line {
        match parent {
            Some(parent) => self.handle(parent),
            None => self,
        }
    }

    pub(super) fn key(self, key: &KeyReference) -> Line {
        match key {
            KeyReference::Handle(handle) => self.handle(handle),
            KeyReference::Path(path) => self.text(&path.0),
        }
    }

    fn layer(self, layer: &Text) -> Line {
        if layer.0.is_empty() { self } else { self.raw("in").text(&layer.0) }
    }

    pub(super) fn number(self, name: &str, number: Option<u32>) -> Line {
        match number {
            Some(number) => self.raw(&format!("{name}={number}")),
            None => self,
        }
    }

    /// Words for the bits that have one; all as a number if some bit has none.
    fn flags(self, flags: u32, words: &[(&str, u32)]) -> Line {
        let known = words.iter().fold(0, |mask, (_, bit)| mask | bit);
        if flags & !known != 0 {
            return self.raw(&format!("flags={flags:#x}"));
        }
        let set = words.iter().filter(|(_, bit)| flags & bit != 0);
        set.fold(self, |line, (word, _)| line.raw(word))
    }
}
