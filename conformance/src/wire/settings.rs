//! The kernel's own settings: their path, what is read of them at a registration, and what may
//! cross the wire while no call is under way (PSD-005 §8.1, §8.2).
//!
//! What is visible below the path is not known here, so that only a path of keys that base alone
//! names is followed.

use registry_model::input::SourceId;

use super::fields;
use super::frame::{Guid, PathEntry, Request};
use super::rules::{Failure, Held, Rule};

/// The names on the way from the root of the Machine hive to the layers.
const NAMES: [&[u8]; 3] = [b"System", b"Registry", b"Layers"];
/// How many of them lead to the parameters.
const PARAMETERS: usize = 2;

/// Whether a change at the path, the hive first, may be one of the settings or of the way to them.
pub(super) fn may_hold(path: &[Vec<u8>]) -> bool {
    let Some((hive, below)) = path.split_first() else { return true };
    let way = below.iter().zip(&NAMES[..PARAMETERS]);
    fields::may_be_same(hive, b"Machine") && way.clone().all(|(part, name)| may_be(part, name))
}

/// Whether a component may be on the way to the settings.
pub(super) fn may_lead_to(name: &[u8]) -> bool {
    NAMES.iter().any(|known| may_be(name, known))
}

fn may_be(name: &[u8], known: &[u8]) -> bool {
    fields::may_be_same(name, known)
}

/// What is due of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    /// The child of this key by the name at this position.
    Lookup(Guid, usize),
    /// The values of the parameters.
    Values(Guid),
    /// The layers below this key.
    Layers(Guid),
    /// The values of the parameters once more, with the layers known (D-106).
    ValuesAgain(Guid),
}

/// What is known of the reading at a registration of the Machine hive.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// The source that serves the settings, and what it has not been asked for yet.
    due: Option<(SourceId, Vec<Due>)>,
    /// Lookups that wait for their answers.
    asked: Option<(Guid, usize)>,
    /// The key of the parameters, if the way led to one.
    parameters: Option<Guid>,
    /// Whether the layers were asked for before the parameters.
    is_early: bool,
}

impl Settings {
    /// A source has registered the global Machine hive with this root.
    pub(super) fn registered(&mut self, source: SourceId, root: Guid) {
        let due = Some((source, vec![Due::Lookup(root, 0)]));
        *self = Settings { due, ..Settings::default() };
    }

    pub(super) fn rebooted(&mut self) {
        *self = Settings::default();
    }

    /// The connection is gone, and the reading with it.
    pub(super) fn disconnected(&mut self, source: SourceId) {
        if self.due.as_ref().is_some_and(|(of, _)| *of == source) {
            *self = Settings::default();
        }
    }

    /// A request was sent.
    pub(super) fn sent(&mut self, held: &mut Held, source: SourceId, request: &Request<'_>) {
        let Some((of, due)) = &mut self.due else { return };
        if *of != source {
            return;
        }
        if let Request::Lookup { .. } = request {
            // One that was asked before has had its answer: nothing was found.
            self.asked = None;
        }
        let Some(position) = due.iter().position(|due| is_met(due, request)) else { return };
        match due.remove(position) {
            Due::Lookup(key, name) => self.asked = Some((key, name)),
            Due::Values(_) => held.mark(Rule::ParametersRead),
            Due::Layers(_) => {
                self.is_early |= due.iter().any(|due| matches!(due, Due::Values(_)));
                due.extend(self.parameters.map(Due::ValuesAgain));
            }
            Due::ValuesAgain(_) => held.mark(Rule::LayersRead),
        }
    }

    /// A lookup below a key was answered.
    pub(super) fn found(&mut self, parent: Guid, entries: &[PathEntry<'_>]) {
        let Some((asked, name)) = self.asked else { return };
        let (Some((_, due)), [entry]) = (&mut self.due, entries) else { return };
        if asked != parent || entry.target == [0; 16] || entry.layer != b"base" {
            return;
        }
        self.asked = None;
        match name + 1 {
            PARAMETERS => {
                self.parameters = Some(entry.target);
                due.extend([Due::Values(entry.target), Due::Lookup(entry.target, PARAMETERS)]);
            }
            next if next < NAMES.len() => due.push(Due::Lookup(entry.target, next)),
            _ => due.push(Due::Layers(entry.target)),
        }
    }

    /// Judges what was sent by the time that all is quiet after a registration.
    pub(super) fn settle(&mut self) -> Result<(), (SourceId, Failure)> {
        let Settings { due, is_early, .. } = std::mem::take(self);
        let Some((source, due)) = due else { return Ok(()) };
        if is_early {
            let message = "a registration asked for the layers before the parameters";
            return Err((source, Failure::new(Rule::LayersRead, message)));
        }
        let Some(missed) = due.first() else { return Ok(()) };
        let (rule, what) = match missed {
            Due::Lookup(_, name) => (Rule::ParametersRead, NAMES[*name].escape_ascii().to_string()),
            Due::Values(_) => (Rule::ParametersRead, "the parameters".to_owned()),
            Due::Layers(_) => (Rule::LayersRead, "the layers".to_owned()),
            Due::ValuesAgain(_) => (Rule::LayersRead, "the parameters after the layers".to_owned()),
        };
        Err((source, Failure::new(rule, format!("a registration did not ask for {what}"))))
    }
}

fn is_met(due: &Due, request: &Request<'_>) -> bool {
    match (due, request) {
        (Due::Lookup(key, name), Request::Lookup { parent, child_name }) => {
            key == parent && may_be(child_name, NAMES[*name])
        }
        (Due::Values(key) | Due::ValuesAgain(key), Request::QueryValues { guid, .. }) => {
            key == guid
        }
        (Due::Layers(key), Request::EnumChildren { parent }) => key == parent,
        _ => false,
    }
}

/// Whether a request may be sent while no call is under way: what reads, what ends a transaction
/// at its deadline, and what a registration catches up with.
pub(super) fn may_come_between_calls(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::Lookup { .. }
            | Request::EnumChildren { .. }
            | Request::ReadKey { .. }
            | Request::QueryValues { .. }
            | Request::AbortTransaction { .. }
            | Request::DeleteLayer { .. }
            | Request::DropKey { .. }
    )
}
