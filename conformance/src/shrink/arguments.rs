//! Less in a call: shorter data, short names, buffers that are large enough, no conditions and flags.

use std::collections::BTreeSet;

use crate::plan::{Action, Plan, Step, Text};

use super::attempts::Attempts;
use super::fields;

/// The type code of what is tried in place of other data.
const REG_DWORD: u32 = 4;
/// The type code of what is no data.
const REG_TOMBSTONE: u32 = 0xFFFF;

/// Simplifies what calls carry.
pub(super) fn simplify(attempts: &mut Attempts<'_>) {
    shorten_value_names(attempts);
    for position in 0..attempts.plan().steps.len() {
        // Each candidate that is taken has fewer of its own.
        while simplify_one(attempts, position) {}
    }
}

fn simplify_one(attempts: &mut Attempts<'_>, position: usize) -> bool {
    let Some(Step::Act { action, .. }) = attempts.plan().steps.get(position) else { return false };
    let mut wrapped = action.clone();
    let heart = fields::heart(&mut wrapped).clone();
    candidates(&heart).into_iter().any(|simpler| {
        let mut wrapped = wrapped.clone();
        *fields::heart(&mut wrapped) = simpler;
        attempts.try_change(|plan| fields::replace(plan, position, wrapped))
    })
}

/// Simpler actions in place of one. None is as it was, so that simplifying ends.
fn candidates(action: &Action) -> Vec<Action> {
    let changes: [fn(&mut Action); 8] = [
        plain_data,
        half_the_data,
        no_condition,
        base_unsaid,
        no_flags,
        first_index,
        large_buffers,
        no_handle,
    ];
    let changed = changes.iter().map(|change| {
        let mut changed = action.clone();
        change(&mut changed);
        changed
    });
    changed.filter(|changed| changed != action).collect()
}

fn plain_data(action: &mut Action) {
    if let Action::Set { value_type, data, .. } = action
        && *value_type != REG_TOMBSTONE
        && !(*value_type == REG_DWORD && data.len() == 4 && data[1..] == [0; 3])
    {
        *value_type = REG_DWORD;
        // Values that differed may go on to do so.
        *data = vec![data.iter().fold(1, |sum: u8, byte| sum.wrapping_add(*byte)), 0, 0, 0];
    }
}

fn half_the_data(action: &mut Action) {
    if let Action::Set { data, .. } = action
        && data.len() > 4
    {
        data.truncate(data.len() / 2);
    }
}

fn no_condition(action: &mut Action) {
    if let Action::Set { expected_sequence, .. } = action {
        *expected_sequence = 0;
    }
}

/// A write without a layer goes to base.
fn base_unsaid(action: &mut Action) {
    if let Action::Create { layer, .. } = action {
        *layer = layer.take().filter(|name| name.0 != b"base");
    } else if let Some(layer) = fields::layer(action)
        && layer.0 == b"base"
    {
        *layer = Text::default();
    }
}

fn no_flags(action: &mut Action) {
    if let Action::Open { flags, .. } | Action::Create { flags, .. } = action {
        *flags = 0;
    }
}

fn first_index(action: &mut Action) {
    if let Action::EnumerateValue { index, .. } | Action::EnumerateSubkey { index, .. } = action {
        *index = 0;
    }
}

fn large_buffers(action: &mut Action) {
    match action {
        Action::Get { data_capacity, layer_capacity, .. } => {
            (*data_capacity, *layer_capacity) = (None, None);
        }
        Action::Batch { capacity, .. }
        | Action::GetSecurity { capacity, .. }
        | Action::Events { capacity, .. } => *capacity = None,
        Action::EnumerateValue { name_capacity, data_capacity, .. } => {
            (*name_capacity, *data_capacity) = (None, None);
        }
        Action::EnumerateSubkey { name_capacity, .. } | Action::Info { name_capacity, .. } => {
            *name_capacity = None;
        }
        _ => {}
    }
}

fn no_handle(action: &mut Action) {
    if let Action::Create { handle, .. } = action {
        *handle = None;
    }
}

/// Gives each value a short name, one after another.
fn shorten_value_names(attempts: &mut Attempts<'_>) {
    let settings = |name: &Text| name.0.len() > 1 || !name.0.is_ascii();
    for name in value_names(attempts.plan()).into_iter().filter(settings) {
        for short in ["v", "w", "x", "y", ""] {
            let short = Text::from(short);
            if !value_names(attempts.plan()).contains(&short)
                && attempts.try_change(|plan| rename_value(plan, &name, &short))
            {
                break;
            }
        }
    }
}

fn value_names(plan: &Plan) -> BTreeSet<Text> {
    let mut plan = plan.clone();
    fields::hearts(&mut plan).filter_map(fields::value_name).map(|name| name.clone()).collect()
}

fn rename_value(plan: &mut Plan, from: &Text, to: &Text) {
    for name in fields::hearts(plan).filter_map(fields::value_name) {
        if name == from {
            name.clone_from(to);
        }
    }
}
