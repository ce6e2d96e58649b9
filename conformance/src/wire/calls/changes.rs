//! What a change may send beside itself: looks for its watch events and its settings, and nothing
//! that it was not asked for (PSD-005 §4.2, §8.2).

use super::asked::KeyOperation;
use super::log::Logged;
use super::{Ended, OpenKey};
use crate::wire::fields;
use crate::wire::frame::Operation;
use crate::wire::rules::{Failure, Held, Rule};
use crate::wire::settings;

/// Reads that a change of one key or one place needs at most, with what was before and what is
/// after.
const LOOKS_MAX: usize = 24;

/// Judges what an operation on a key sent, as far as its kind decides it.
pub(super) fn judge(
    held: &mut Held,
    ended: &Ended<'_>,
    open: &OpenKey,
    operation: &KeyOperation<'_>,
) -> Result<(), Failure> {
    let Some(own) = own_changes(operation) else { return reads_only(held, ended, operation) };
    let has_effects = settings::may_hold(&open.path) || looks_at_settings(ended);
    let is_allowed = |request: &Logged| {
        let is_effect = matches!(request.operation, Operation::DeleteLayer | Operation::DropKey);
        request.is_read() || own.contains(&request.operation) || (has_effects && is_effect)
    };
    let stray = ended.requests.iter().find(|request| !is_allowed(request));
    held.require(Rule::ChangesAsAsked, stray.is_none(), || {
        format!("{} was sent", stray.map_or("", |request| request.operation.name()))
    })?;
    if has_effects {
        return Ok(());
    }
    looks(held, ended, open, operation)
}

/// What changes at a source in the operation; `None` for one that changes nothing.
fn own_changes(operation: &KeyOperation<'_>) -> Option<&'static [Operation]> {
    Some(match operation {
        KeyOperation::Set(_) => &[Operation::SetValue, Operation::WriteKey],
        KeyOperation::Unset { .. } => &[Operation::DeleteValueEntry, Operation::WriteKey],
        KeyOperation::Blanket { .. } => &[Operation::SetBlanketTombstone, Operation::WriteKey],
        KeyOperation::Delete { .. } => {
            &[Operation::DeleteEntry, Operation::WriteKey, Operation::DropKey]
        }
        KeyOperation::Hide { .. } => {
            &[Operation::HideEntry, Operation::WriteKey, Operation::DropKey]
        }
        KeyOperation::SetSecurity { .. } => &[Operation::WriteKey],
        KeyOperation::Flush => &[Operation::Flush],
        KeyOperation::Close => &[Operation::DropKey],
        _ => return None,
    })
}

fn reads_only(
    held: &mut Held,
    ended: &Ended<'_>,
    operation: &KeyOperation<'_>,
) -> Result<(), Failure> {
    let rule = match operation {
        KeyOperation::Notify => Rule::ArmingChangesNothing,
        _ => Rule::ReadChangesNothing,
    };
    let agrees = ended.requests.iter().all(Logged::is_read);
    held.require(rule, agrees, || "something was changed".to_owned())
}

/// In a hive without settings, and elsewhere below it, nothing is refreshed: a change looks at its
/// own key or its own place alone.
fn looks(
    held: &mut Held,
    ended: &Ended<'_>,
    open: &OpenKey,
    operation: &KeyOperation<'_>,
) -> Result<(), Failure> {
    let mut looks = ended.requests.iter().filter(|request| request.is_read());
    let count = looks.clone().count();
    let (rule, stray) = match operation {
        KeyOperation::Set(_)
        | KeyOperation::Unset { .. }
        | KeyOperation::Blanket { .. }
        | KeyOperation::SetSecurity { .. } => {
            let is_own = |request: &Logged| {
                request.operation != Operation::Lookup
                    && open.key.is_none_or(|key| key == request.key)
            };
            (Rule::KeyLooks, looks.find(|request| !is_own(request)))
        }
        KeyOperation::Delete { .. } | KeyOperation::Hide { .. } => {
            let is_own = |request: &Logged| match request.operation {
                Operation::Lookup => fields::may_be_same(&request.name, open.name()),
                operation => operation != Operation::QueryValues,
            };
            (Rule::PlaceLooks, looks.find(|request| !is_own(request)))
        }
        _ => return Ok(()),
    };
    if let Some(stray) = stray {
        let message = format!("{} asks about something else", stray.operation.name());
        return Err(Failure::new(rule, message));
    }
    if !ended.is_done() {
        return Ok(());
    }
    held.require(rule, count <= LOOKS_MAX, || format!("{count} questions were asked"))
}

/// Whether a call looked for the settings, which a change anywhere in the Machine hive may be the
/// occasion for while they are absent (BOOT-20).
fn looks_at_settings(ended: &Ended<'_>) -> bool {
    ended.requests.iter().any(|request| {
        request.operation == Operation::Lookup && settings::may_lead_to(&request.name)
    })
}
