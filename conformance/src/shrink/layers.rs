//! Fewer layers: base in place of one, one in place of two, and precedences that do not differ.

use std::collections::BTreeSet;

use registry_model::names::fold;

use crate::plan::{Action, Plan, Step, Text};

use super::attempts::Attempts;
use super::fields;

/// Simplifies the layer stack.
pub(super) fn simplify(attempts: &mut Attempts<'_>) {
    for layer in layers(attempts.plan()) {
        let is_taken = attempts.try_change(|plan| without(plan, &layer, &Text::default()));
        let others = layers(attempts.plan()).into_iter().filter(|other| *other != layer);
        for other in others.collect::<Vec<_>>() {
            if is_taken
                || attempts.try_change(|plan| without(plan, &layer, &Text::from(other.as_str())))
            {
                break;
            }
        }
    }
    for position in 0..attempts.plan().steps.len() {
        simplify_values(attempts, position);
    }
}

/// Every layer but base that the plan names, folded.
fn layers(plan: &Plan) -> BTreeSet<String> {
    let mut layers = BTreeSet::new();
    for action in fields::hearts(&mut plan.clone()) {
        layers.extend(fields::layer_itself(action).map(folded));
        layers.extend(fields::layer(action).map(|layer| folded(layer)));
    }
    layers.retain(|layer| !layer.is_empty() && layer != "base");
    layers
}

fn folded(name: &Text) -> String {
    fold(&String::from_utf8_lossy(&name.0))
}

/// Has writes go to another layer, and leaves out what makes, changes and deletes the one.
fn without(plan: &mut Plan, layer: &str, other: &Text) {
    plan.steps.retain(|step| match step {
        Step::Act { action, .. } => {
            fields::layer_itself(action).is_none_or(|name| folded(name) != layer)
        }
        _ => true,
    });
    for action in fields::hearts(plan) {
        if let Some(name) = fields::layer(action)
            && folded(name) == layer
        {
            name.clone_from(other);
        }
        // Without a name, the layer of a new key is base.
        if let Action::Create { layer, .. } = action
            && layer.as_ref().is_some_and(|name| name.0.is_empty())
        {
            *layer = None;
        }
    }
}

/// A layer without its values, or with a low precedence.
fn simplify_values(attempts: &mut Attempts<'_>, position: usize) {
    let Some(Step::Act { action, .. }) = attempts.plan().steps.get(position) else { return };
    let simpler = |precedence: Option<u32>, enabled: Option<u32>| match action {
        Action::LayerCreate { name, .. } => {
            Some(Action::LayerCreate { name: name.clone(), precedence, enabled })
        }
        Action::LayerSet { name, .. } => {
            Some(Action::LayerSet { name: name.clone(), precedence, enabled })
        }
        _ => None,
    };
    let (Action::LayerCreate { precedence, enabled, .. }
    | Action::LayerSet { precedence, enabled, .. }) = action
    else {
        return;
    };
    let lower = precedence.filter(|precedence| *precedence > 1);
    let candidates = [
        simpler(None, None),
        simpler(None, *enabled),
        simpler(*precedence, None),
        lower.and_then(|_| simpler(Some(0), *enabled)),
        lower.and_then(|_| simpler(Some(1), *enabled)),
    ];
    for candidate in candidates.into_iter().flatten() {
        if attempts.try_change(|plan| fields::replace(plan, position, candidate)) {
            return;
        }
    }
}
