//! What the registry says about the parameters, and what is taken of it.
//!
//! States PSD-005 §8.2, "Configuration keys" and "Validation", with D-100, P-160 to P-164. Reads what
//! the global effective view shows under the table and the limits of the state it is given. When it is
//! read is said in `configuration`.

use std::sync::Arc;

use crate::audit::AuditPattern;
use crate::audit_events::{Refused, self_config_invalid};
use crate::coverage::{Covered, covers};
use crate::database::Guid;
use crate::layers::machine;
use crate::limits::Limits;
use crate::names::{FoldedName, ValueName, fold};
use crate::parameters::{PARAMETERS, Parameter};
use crate::resolution::{Resolver, Viewer};
use crate::state::State;
use crate::values::REG_DWORD;

/// How the source is asked for the values (P-164).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Each by its name: malformed data spoils the one that it is of.
    ByName,
    /// All at once: it spoils them all.
    Whole,
}

/// What the source shows of one parameter.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    /// Nothing effective.
    Missing,
    /// An effective value.
    Value {
        value_type: u32,
        data: Arc<[u8]>,
        /// Whether a layer of a precedence above 0 had to win for it.
        overrides: bool,
    },
    /// Malformed data.
    Unreadable,
}

/// Two are equal when nothing effective differs (D-70).
impl PartialEq for Reading {
    fn eq(&self, other: &Reading) -> bool {
        match (self, other) {
            (Reading::Missing, Reading::Missing) | (Reading::Unreadable, Reading::Unreadable) => {
                true
            }
            (
                Reading::Value { value_type, data, .. },
                Reading::Value { value_type: other_type, data: other_data, .. },
            ) => (value_type, data) == (other_type, other_data),
            _ => false,
        }
    }
}

/// What the source shows of all parameters, in their order.
pub(crate) type Readings = [Reading; PARAMETERS.len()];

/// Reads the values of this key.
pub(crate) fn read(state: &State, key: Guid, manner: Manner) -> Readings {
    let viewer = Viewer::global();
    let Some(hive) = machine(state).filter(|hive| state.is_active(*hive)) else {
        return std::array::from_fn(|_| Reading::Unreadable);
    };
    let resolver = state.kernel_resolver(hive, &viewer);
    let ignored = &mut Covered::new();
    if manner == Manner::Whole && resolver.check_all_values(key, ignored).is_err() {
        return std::array::from_fn(|_| Reading::Unreadable);
    }
    std::array::from_fn(|index| read_one(resolver, key, &PARAMETERS[index]))
}

fn read_one(resolver: Resolver<'_>, key: Guid, parameter: &Parameter) -> Reading {
    match resolver.value(key, &fold(parameter.name), &mut Covered::new()) {
        Err(_) => Reading::Unreadable,
        Ok((None, _)) => Reading::Missing,
        Ok((Some(value), contest)) => Reading::Value {
            value_type: value.entry.value_type,
            data: value.entry.data.clone(),
            overrides: contest.active > contest.top && value.layer.precedence > 0,
        },
    }
}

/// What a parameter makes of a reading.
enum Judged {
    Good(u32),
    Refused(Refused),
    /// Nobody knows what it says: it is no value that could be valid or not (P-164).
    Unknown,
}

/// Whether a parameter has this name.
pub(crate) fn is_known(name: &FoldedName) -> bool {
    PARAMETERS.iter().any(|parameter| parameter.name.eq_ignore_ascii_case(name.as_str()))
}

/// Whether a value of the configuration key is one that its parameter may not have.
pub(crate) fn is_refused(name: &ValueName, value_type: u32, data: &Arc<[u8]>) -> bool {
    let parameter = PARAMETERS
        .iter()
        .find(|parameter| parameter.name.eq_ignore_ascii_case(name.folded().as_str()));
    let reading = Reading::Value { value_type, data: data.clone(), overrides: false };
    parameter.is_some_and(|parameter| matches!(judge(parameter, &reading), Judged::Refused(_)))
}

fn judge(parameter: &Parameter, reading: &Reading) -> Judged {
    let (value_type, data) = match reading {
        Reading::Missing => return Judged::Refused(Refused::Missing),
        Reading::Unreadable => return Judged::Unknown,
        Reading::Value { value_type, data, .. } => (*value_type, data),
    };
    let number = <[u8; 4]>::try_from(&data[..]).ok().map(u32::from_le_bytes);
    let Some(number) = number.filter(|_| value_type == REG_DWORD) else {
        // One of another length is none (P-162).
        return Judged::Refused(Refused::WrongType(value_type));
    };
    if (parameter.minimum..=parameter.maximum).contains(&number) {
        Judged::Good(number)
    } else {
        Judged::Refused(Refused::OutOfRange(number))
    }
}

/// What was taken of readings.
pub(crate) struct Taken {
    /// The limits as they were before each number that changed them, in order.
    pub(crate) stages: Vec<Limits>,
    /// The limits in force after it.
    pub(crate) limits: Limits,
    /// The events of the numbers that were refused, in no order (P-163).
    pub(crate) events: Vec<AuditPattern>,
}

/// Takes every valid number, and keeps the number in force for every other (§8.2 "Validation").
/// A refusal has to be reported if the parameter has changed from what `former` has; another may
/// be (P-161).
pub(crate) fn take(
    limits: Limits,
    readings: &Readings,
    former: Option<&Readings>,
    reach: Reach,
    covered: &mut Covered,
) -> Taken {
    let mut taken = Taken { stages: Vec::new(), limits, events: Vec::new() };
    for (index, parameter) in PARAMETERS.iter().enumerate() {
        let reading = &readings[index];
        let has_changed = former.is_none_or(|former| former[index] != *reading);
        if has_changed && matches!(reading, Reading::Value { overrides: true, .. }) {
            covers!(covered, "CONF-37");
        }
        match judge(parameter, reading) {
            Judged::Good(number) if has_changed || reach == Reach::Everything => {
                if number != parameter.of(&taken.limits) {
                    mark_good(parameter, number, covered);
                    if former.is_some() {
                        covers!(covered, "CONF-45", "CONF-53");
                    }
                    taken.stages.push(taken.limits);
                    taken.limits = parameter.put(taken.limits, number);
                }
            }
            Judged::Refused(refused) => {
                let retained = parameter.of(&taken.limits);
                let ignored = &mut Covered::new();
                let covered = if has_changed { &mut *covered } else { ignored };
                let event = self_config_invalid(parameter, refused, retained, covered);
                taken.events.push(AuditPattern { optional: !has_changed, ..event });
            }
            Judged::Good(_) | Judged::Unknown => {}
        }
    }
    taken
}

/// Which parameters are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those that the change at hand has changed.
    Changed,
    /// All.
    Everything,
}

fn mark_good(parameter: &Parameter, number: u32, covered: &mut Covered) {
    covers!(covered, "CONF-01", "CONF-22", "BOOT-28");
    if number == parameter.minimum {
        covers!(covered, "CONF-23");
    }
    if number == parameter.maximum {
        covers!(covered, "CONF-24");
    }
}
