//! Where in a plan the things are that several passes change.

use crate::plan::{Action, ActorIndex, Handle, KeyReference, Plan, Step, Text};

/// The action inside of those that wrap it.
pub(super) fn heart(action: &mut Action) -> &mut Action {
    match action {
        Action::Within { action, .. } | Action::Raw { action, .. } => heart(action),
        other => other,
    }
}

/// Every action of a plan, without what wraps it.
pub(super) fn hearts(plan: &mut Plan) -> impl Iterator<Item = &mut Action> {
    plan.steps.iter_mut().flat_map(|step| match step {
        Step::Act { action, .. } => vec![heart(action)],
        Step::Parallel(block) => {
            let actions = block.strands.iter_mut().flat_map(|strand| &mut strand.actions);
            actions.map(heart).collect()
        }
        Step::Fault(_) | Step::CompareViews => Vec::new(),
    })
}

/// Every actor that does something.
pub(super) fn actors(plan: &mut Plan) -> impl Iterator<Item = &mut ActorIndex> {
    plan.steps.iter_mut().flat_map(|step| match step {
        Step::Act { actor, .. } => vec![actor],
        Step::Parallel(block) => block.strands.iter_mut().map(|strand| &mut strand.actor).collect(),
        Step::Fault(_) | Step::CompareViews => Vec::new(),
    })
}

/// Puts an action in place of another of the same actor.
pub(super) fn replace(plan: &mut Plan, position: usize, new: Action) {
    if let Some(Step::Act { action, .. }) = plan.steps.get_mut(position) {
        *action = new;
    }
}

/// The key that an action works on.
pub(super) fn key(action: &mut Action) -> Option<&mut KeyReference> {
    match action {
        Action::Get { key, .. }
        | Action::Set { key, .. }
        | Action::Update { key, .. }
        | Action::Unset { key, .. }
        | Action::Blanket { key, .. }
        | Action::Batch { key, .. }
        | Action::EnumerateValue { key, .. }
        | Action::EnumerateSubkey { key, .. }
        | Action::List { key }
        | Action::Info { key, .. }
        | Action::Changes { key }
        | Action::Delete { key, .. }
        | Action::Hide { key, .. }
        | Action::Flush { key }
        | Action::GetSecurity { key, .. }
        | Action::SetSecurity { key, .. }
        | Action::Backup { key, .. }
        | Action::Restore { key, .. } => Some(key),
        _ => None,
    }
}

/// The absolute path that an action has.
pub(super) fn path(action: &mut Action) -> Option<&mut Text> {
    match action {
        Action::Open { parent: None, path, .. }
        | Action::Create { parent: None, path, .. }
        | Action::View { path } => Some(path),
        other => match key(other) {
            Some(KeyReference::Path(path)) => Some(path),
            _ => None,
        },
    }
}

/// The layer that an action writes to. Empty means base.
pub(super) fn layer(action: &mut Action) -> Option<&mut Text> {
    match action {
        Action::Set { layer, .. }
        | Action::Unset { layer, .. }
        | Action::Blanket { layer, .. }
        | Action::Delete { layer, .. }
        | Action::Hide { layer, .. } => Some(layer),
        Action::Create { layer, .. } => layer.as_mut(),
        _ => None,
    }
}

/// The layer that an action makes, changes or deletes.
pub(super) fn layer_itself(action: &Action) -> Option<&Text> {
    match action {
        Action::LayerCreate { name, .. }
        | Action::LayerSet { name, .. }
        | Action::LayerDelete { name } => Some(name),
        _ => None,
    }
}

/// The name of the value that an action is about.
pub(super) fn value_name(action: &mut Action) -> Option<&mut Text> {
    match action {
        Action::Get { name, .. }
        | Action::Set { name, .. }
        | Action::Update { name, .. }
        | Action::Unset { name, .. } => Some(name),
        _ => None,
    }
}

/// The handle from which an action's path starts.
pub(super) fn parent(action: &mut Action) -> Option<(&mut Option<Handle>, &mut Text)> {
    match action {
        Action::Open { parent, path, .. } | Action::Create { parent, path, .. } => {
            Some((parent, path))
        }
        _ => None,
    }
}
