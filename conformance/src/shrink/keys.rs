//! Paths in place of handles, and shorter paths.

use std::collections::BTreeSet;

use registry_model::names::fold;

use crate::plan::{Action, ActorIndex, Handle, KeyReference, Plan, Step, Text};

use super::attempts::Attempts;
use super::fields;

/// Below this the kernel looks for its own: what is there has no other place.
const SETTINGS: &str = "machine\\system\\registry";

/// Names the keys of handles by path, handle by handle, so that what opened them can go.
pub(super) fn name_by_path(attempts: &mut Attempts<'_>) {
    let mut position = 0;
    while position < attempts.plan().steps.len() {
        let named = named_by_path(attempts.plan(), position);
        let is_taken = named.is_some_and(|plan| attempts.try_plan(plan));
        // The step that opened it is gone.
        position += usize::from(!is_taken);
    }
}

/// The plan in which the handle that a step opens is not opened, and its key is named by path.
fn named_by_path(plan: &Plan, position: usize) -> Option<Plan> {
    let mut plan = plan.clone();
    let Step::Act { actor, action } = plan.steps.get(position)?.clone() else { return None };
    let (handle, path) = match action {
        Action::Open { handle, parent: None, path, .. }
        | Action::Create { handle: Some(handle), parent: None, path, .. } => (handle, path),
        _ => return None,
    };
    if let Step::Act { action: Action::Create { handle, .. }, .. } = &mut plan.steps[position] {
        *handle = None;
    } else {
        plan.steps.remove(position);
    }
    let mut later = position;
    while later < plan.steps.len() && !opens(&plan.steps[later], actor, &handle) {
        if closes(&plan.steps[later], actor, &handle) {
            plan.steps.remove(later);
            break;
        }
        use_path(&mut plan.steps[later], actor, &handle, &path);
        later += 1;
    }
    Some(plan)
}

fn opens(step: &Step, by: ActorIndex, wanted: &Handle) -> bool {
    let Step::Act { actor, action } = step else { return false };
    let opened = match action {
        Action::Open { handle, .. } | Action::Create { handle: Some(handle), .. } => handle,
        _ => return false,
    };
    *actor == by && opened == wanted
}

fn closes(step: &Step, by: ActorIndex, wanted: &Handle) -> bool {
    matches!(step, Step::Act { actor, action: Action::Close { handle } } if *actor == by && handle == wanted)
}

fn use_path(step: &mut Step, by: ActorIndex, wanted: &Handle, path: &Text) {
    let Step::Act { actor, action } = step else { return };
    if *actor != by {
        return;
    }
    let action = fields::heart(action);
    if let Some(key) = fields::key(action)
        && *key == KeyReference::Handle(wanted.clone())
    {
        *key = KeyReference::Path(path.clone());
    }
    if let Some((parent, relative)) = fields::parent(action)
        && parent.as_ref() == Some(wanted)
    {
        *parent = None;
        *relative = Text([&path.0[..], b"\\", &relative.0[..]].concat());
    }
}

/// Leaves out components, and gives short names to those that are left.
pub(super) fn shorten_paths(attempts: &mut Attempts<'_>) {
    let mut done = BTreeSet::new();
    while let Some(path) = next_path(attempts.plan(), &done) {
        let (parent, name) = path.rsplit_once('\\').unwrap_or(("", &path));
        let is_taken = attempts.try_change(|plan| rename(plan, &path, parent));
        if !is_taken && (name.len() > 1 || !name.is_ascii()) {
            for short in ["a", "b", "c", "d"] {
                let renamed = format!("{parent}\\{short}");
                if !all_paths(attempts.plan()).contains(&renamed)
                    && attempts.try_change(|plan| rename(plan, &path, &renamed))
                {
                    done.insert(renamed);
                    break;
                }
            }
        }
        done.insert(path);
    }
}

/// A key below a hive that was not tried.
fn next_path(plan: &Plan, done: &BTreeSet<String>) -> Option<String> {
    let is_own = |path: &String| {
        let settings = format!("{SETTINGS}\\");
        path.contains('\\')
            && !settings.starts_with(&format!("{path}\\"))
            && !path.starts_with(&settings)
    };
    all_paths(plan).into_iter().rev().find(|path| is_own(path) && !done.contains(path))
}

/// Every path of a plan and those that lead to it, folded.
fn all_paths(plan: &Plan) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for action in fields::hearts(&mut plan.clone()) {
        let Some(path) = fields::path(action) else { continue };
        let folded = fold(&String::from_utf8_lossy(&path.0));
        let ends = folded.match_indices('\\').map(|(end, _)| end).chain([folded.len()]);
        paths.extend(ends.map(|end| folded[..end].to_owned()));
    }
    paths
}

/// Puts a path in place of another wherever it, or what is below it, is named.
fn rename(plan: &mut Plan, from: &str, to: &str) {
    for action in fields::hearts(plan) {
        let Some(path) = fields::path(action) else { continue };
        let Ok(text) = std::str::from_utf8(&path.0) else { continue };
        let count = from.matches('\\').count() + 1;
        let components: Vec<&str> = text.split('\\').collect();
        if components.len() < count || fold(&components[..count].join("\\")) != from {
            continue;
        }
        // The names in front are left in their spelling.
        let kept = to.matches('\\').count() + 1;
        let mut renamed: Vec<&str> = components[..kept.min(count - 1)].to_vec();
        if kept == count {
            renamed.extend(to.rsplit('\\').next());
        }
        renamed.extend(&components[count..]);
        *path = Text::from(renamed.join("\\").as_str());
    }
}
