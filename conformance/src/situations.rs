//! Blind spots: in which situations calls were made, and in which a campaign has made none.
//!
//! A situation is a combination of the call, of what the layer table was like, of what had happened to the
//! sources, and of how far the call came. Not every combination can occur; the report is for whoever
//! writes the generator, and decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use registry_model::State;
use registry_model::input::{Call, Fd, Input, SourceId};
use registry_model::observation::Observation;

use crate::target::WorldEvent;

/// No transaction, as `txn_fd` (PSD-005 §6.2).
const NO_TRANSACTION: Fd = -1;

/// How often each situation occurred.
pub type Situations = BTreeMap<Situation, u64>;

/// The circumstances of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Situation {
    /// The call.
    pub call: &'static str,
    /// What had happened to the sources.
    pub sources: Sources,
    /// The layer table.
    pub layers: Layers,
    /// How far the call came.
    pub phase: Phase,
}

/// What had happened to the sources when a call was made; of several, the first in this order that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sources {
    /// One died in the course of the call.
    Dying,
    /// One does not answer.
    Stalled,
    /// One is dead.
    Dead,
    /// One has come back, or the machine has booted again.
    Returned,
    /// Nothing.
    Unharmed,
}

/// What the layer table was like; of several, the first in this order that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layers {
    /// Base alone.
    BaseAlone,
    /// Some layer is disabled.
    SomeDisabled,
    /// Two enabled ones have one precedence.
    EqualPrecedence,
    /// All have precedences of their own.
    Ordered,
}

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It was done, outside a transaction.
    Done,
    /// It was refused, outside a transaction.
    Refused,
    /// It was done in a transaction.
    DoneWithin,
    /// It was refused in a transaction.
    RefusedWithin,
}

/// Every state of the sources.
const SOURCES: [(Sources, &str); 5] = [
    (Sources::Unharmed, "unharmed"),
    (Sources::Dying, "dying"),
    (Sources::Dead, "dead"),
    (Sources::Stalled, "stalled"),
    (Sources::Returned, "returned"),
];

/// Every kind of layer table.
const LAYERS: [(Layers, &str); 4] = [
    (Layers::BaseAlone, "base alone"),
    (Layers::Ordered, "ordered"),
    (Layers::EqualPrecedence, "equal precedence"),
    (Layers::SomeDisabled, "some disabled"),
];

/// The phases that every call has.
const PHASES: [(Phase, &str); 2] = [(Phase::Done, "done"), (Phase::Refused, "refused")];
/// The phases of calls that can be in a transaction.
const PHASES_WITHIN: [(Phase, &str); 2] =
    [(Phase::DoneWithin, "done within"), (Phase::RefusedWithin, "refused within")];

/// Every call, and whether it can be made in a transaction.
const CALLS: [(&str, bool); 27] = [
    ("open key", false),
    ("create key", true),
    ("query value", true),
    ("set value", true),
    ("delete value", true),
    ("blanket tombstone", true),
    ("query values batch", true),
    ("enumerate values", true),
    ("enumerate subkeys", true),
    ("query key info", false),
    ("delete key", true),
    ("hide key", true),
    ("get security", false),
    ("set security", true),
    ("flush", false),
    ("notify", false),
    ("read events", false),
    ("poll", false),
    ("begin transaction", false),
    ("commit", false),
    ("transaction status", false),
    ("pass", false),
    ("close", false),
    ("open stream", false),
    ("take stream", false),
    ("backup", false),
    ("restore", false),
];

/// What has happened to the sources so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    dead: BTreeSet<SourceId>,
    stalled: BTreeSet<SourceId>,
    has_returned: bool,
}

impl Surroundings {
    /// Takes in what happened.
    pub(crate) fn note(&mut self, event: &WorldEvent) {
        match event {
            WorldEvent::SourceDown(source) => {
                self.stalled.remove(source);
                self.dead.insert(*source);
            }
            WorldEvent::SourceStarted(started) if started.refused.is_none() => {
                self.has_returned |= self.dead.remove(&started.source);
            }
            WorldEvent::SourceStalled(source) => {
                self.stalled.insert(*source);
            }
            WorldEvent::SourceReleased(source) => {
                self.stalled.remove(source);
            }
            WorldEvent::Rebooted => {
                *self = Surroundings { has_returned: true, ..Surroundings::default() };
            }
            _ => {}
        }
    }

    /// The situation of a call that began in `state`; none of what is no call.
    pub(crate) fn situation(
        &self,
        input: &Input,
        state: &State,
        observation: &Observation,
        is_interrupted: bool,
    ) -> Option<Situation> {
        let Input::Call { call, .. } = input else { return None };
        let (name, transaction) = call_of(call);
        let refused = matches!(observation, Observation::Failed(_) | Observation::TooSmall(_));
        let is_within = transaction.is_some_and(|fd| fd != NO_TRANSACTION);
        let phase = match (is_within, refused) {
            (false, false) => Phase::Done,
            (false, true) => Phase::Refused,
            (true, false) => Phase::DoneWithin,
            (true, true) => Phase::RefusedWithin,
        };
        let sources = self.sources(is_interrupted);
        Some(Situation { call: name, sources, layers: layers_of(state), phase })
    }

    fn sources(&self, is_interrupted: bool) -> Sources {
        if is_interrupted {
            Sources::Dying
        } else if !self.stalled.is_empty() {
            Sources::Stalled
        } else if !self.dead.is_empty() {
            Sources::Dead
        } else if self.has_returned {
            Sources::Returned
        } else {
            Sources::Unharmed
        }
    }
}

fn layers_of(state: &State) -> Layers {
    let layers = state.layers();
    let mut precedences = BTreeSet::new();
    if layers.len() == 1 {
        Layers::BaseAlone
    } else if layers.iter().any(|layer| !layer.enabled) {
        Layers::SomeDisabled
    } else if layers.iter().all(|layer| precedences.insert(layer.precedence)) {
        Layers::Ordered
    } else {
        Layers::EqualPrecedence
    }
}

/// The name of a call, and the transaction that it names, if it can.
fn call_of(call: &Call) -> (&'static str, Option<Fd>) {
    match call {
        Call::OpenKey { .. } => ("open key", None),
        Call::CreateKey { transaction, .. } => ("create key", Some(*transaction)),
        Call::QueryValue { transaction, .. } => ("query value", Some(*transaction)),
        Call::SetValue { transaction, .. } => ("set value", Some(*transaction)),
        Call::DeleteValue { transaction, .. } => ("delete value", Some(*transaction)),
        Call::BlanketTombstone { transaction, .. } => ("blanket tombstone", Some(*transaction)),
        Call::QueryValuesBatch { transaction, .. } => ("query values batch", Some(*transaction)),
        Call::EnumValues { transaction, .. } => ("enumerate values", Some(*transaction)),
        Call::EnumSubkeys { transaction, .. } => ("enumerate subkeys", Some(*transaction)),
        Call::QueryKeyInfo { .. } => ("query key info", None),
        Call::DeleteKey { transaction, .. } => ("delete key", Some(*transaction)),
        Call::HideKey { transaction, .. } => ("hide key", Some(*transaction)),
        Call::GetSecurity { .. } => ("get security", None),
        Call::SetSecurity { transaction, .. } => ("set security", Some(*transaction)),
        Call::Flush { .. } => ("flush", None),
        Call::Notify { .. } => ("notify", None),
        Call::ReadEvents { .. } => ("read events", None),
        Call::Poll { .. } => ("poll", None),
        Call::BeginTransaction => ("begin transaction", None),
        Call::Commit { .. } => ("commit", None),
        Call::TransactionStatus { .. } => ("transaction status", None),
        Call::Pass { .. } => ("pass", None),
        Call::Close { .. } => ("close", None),
        Call::OpenStream { .. } => ("open stream", None),
        Call::TakeStream { .. } => ("take stream", None),
        Call::Backup { .. } => ("backup", None),
        Call::Restore { .. } => ("restore", None),
    }
}

/// Every situation that there is a name for.
fn all() -> impl Iterator<Item = Situation> {
    CALLS.into_iter().flat_map(|(call, can_be_within)| {
        SOURCES.into_iter().flat_map(move |(sources, _)| {
            LAYERS.into_iter().flat_map(move |(layers, _)| {
                phases(can_be_within).map(move |(phase, _)| Situation {
                    call,
                    sources,
                    layers,
                    phase,
                })
            })
        })
    })
}

fn phases(can_be_within: bool) -> impl Iterator<Item = (Phase, &'static str)> {
    PHASES.into_iter().chain(PHASES_WITHIN.into_iter().filter(move |_| can_be_within))
}

/// What a campaign has never made, in words: a line for each call and state of the sources, and the count first.
pub fn blind_spots(made: &Situations) -> String {
    let missing: BTreeSet<Situation> = all().filter(|one| !made.contains_key(one)).collect();
    let all = all().count();
    let mut out = format!("{} of {all} situations made; never made:\n", all - missing.len());
    for (call, can_be_within) in CALLS {
        for (sources, sources_name) in SOURCES {
            let lines: Vec<String> = LAYERS
                .into_iter()
                .filter_map(|(layers, layers_name)| {
                    let phases = phases(can_be_within);
                    let is_missing = |phase: &(Phase, &str)| {
                        missing.contains(&Situation { call, sources, layers, phase: phase.0 })
                    };
                    let phases: Vec<&str> =
                        phases.filter(is_missing).map(|(_, name)| name).collect();
                    (!phases.is_empty()).then(|| format!("{layers_name} ({})", phases.join(", ")))
                })
                .collect();
            if !lines.is_empty() {
                let _ = writeln!(out, "  {call}, sources {sources_name}: {}", lines.join("; "));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(call: &'static str, sources: Sources, layers: Layers, phase: Phase) -> Situation {
        Situation { call, sources, layers, phase }
    }

    #[test]
    fn what_was_never_made_is_listed_by_call_and_sources() {
        let kept = |one: &Situation| {
            one.call != "commit"
                || one.layers != Layers::Ordered
                || one.sources != Sources::Dying
                || one.phase != Phase::Refused
        };
        let made: Situations = all().filter(kept).map(|one| (one, 1)).collect();
        let all = all().count();
        let expected = format!(
            "{} of {all} situations made; never made:\n  commit, sources dying: ordered (refused)\n",
            all - 1
        );
        assert_eq!(blind_spots(&made), expected);
    }

    #[test]
    fn a_campaign_that_made_nothing_is_blind_everywhere() {
        let said = blind_spots(&Situations::new());
        assert_eq!(said.lines().count(), 1 + CALLS.len() * SOURCES.len());
    }

    #[test]
    fn a_source_that_has_come_back_is_seen_until_another_fault() {
        let mut surroundings = Surroundings::default();
        assert_eq!(surroundings.sources(false), Sources::Unharmed);
        surroundings.note(&WorldEvent::SourceStalled(SourceId(0)));
        assert_eq!(surroundings.sources(false), Sources::Stalled);
        assert_eq!(surroundings.sources(true), Sources::Dying);
        surroundings.note(&WorldEvent::SourceDown(SourceId(0)));
        assert_eq!(surroundings.sources(false), Sources::Dead);
        surroundings.note(&WorldEvent::Rebooted);
        assert_eq!(surroundings.sources(false), Sources::Returned);
    }

    #[test]
    fn the_first_table_is_base_alone() {
        assert_eq!(layers_of(&State::new()), Layers::BaseAlone);
        let commit = of("commit", Sources::Unharmed, Layers::BaseAlone, Phase::Done);
        assert!(all().any(|one| one == commit));
    }
}
