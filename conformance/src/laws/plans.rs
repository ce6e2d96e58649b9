//! The plans of laws: small strategies for writes, copies, wrong calls and letter cases.
//!
//! Draws from a random source of its own, so that a change in `generate` leaves the law's own steps
//! alone. Knows nothing of answers.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};
use registry_model::names::fold;
use registry_model::view::KeyView;

use super::views::{Seen, is_system};
use crate::plan::{Action, Handle, KeyReference, Plan, RawArgument, Step, Text};

/// A layer name that no generated plan has.
pub(super) const FRESH_LAYER: &str = "law-fresh";
pub(super) const ACCESS_ALL: u32 = 0x000F_003F;
pub(super) const KEY_QUERY_VALUE: u32 = 0x0001;
pub(super) const KEY_SET_VALUE: u32 = 0x0002;
pub(super) const REG_BINARY: u32 = 3;
pub(super) const REG_TOMBSTONE: u32 = 0xFFFF;
/// Value names that differ when folded.
pub(super) const VALUE_NAMES: &[&str] = &["Mode", "", "Größe", "a\\b", "law"];

pub(super) fn rng(seed: u64, law: u8) -> TestRng {
    let mut bytes = [law; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

pub(super) fn act(action: Action) -> Step {
    Step::Act { actor: 0, action }
}

pub(super) fn view_all() -> Step {
    act(Action::View { path: Text::default() })
}

pub(super) fn with_steps(plan: &Plan, steps: &[Step]) -> Plan {
    let mut plan = plan.clone();
    plan.steps.extend_from_slice(steps);
    plan.steps.push(view_all());
    plan
}

pub(super) fn open(handle: Handle, path: &[String], access: u32) -> Action {
    let path = Text::from(path.join("\\").as_str());
    Action::Open { handle, parent: None, path, access, flags: 0 }
}

/// Whether a step names a key called `System`, below which the layers' metadata is.
pub(super) fn mentions_system(step: &Step) -> bool {
    let Step::Act { action, .. } = step else { return false };
    names_in(&mut action.clone()).iter().any(|text| {
        let text = fold(&String::from_utf8_lossy(&text.0));
        text.split(['\\', '/']).any(|part| part == "system")
    })
}

/// A key that was seen, other than `Machine\System`, in which layers live.
pub(super) fn pick_key(rng: &mut TestRng, seen: &Seen) -> Vec<String> {
    let keys: Vec<_> = seen.keys().filter(|path| !is_system(path)).collect();
    keys[rng.random_range(0..keys.len())].clone()
}

/// One of the value names.
pub(super) fn pick_name(rng: &mut TestRng) -> &'static str {
    VALUE_NAMES[rng.random_range(0..VALUE_NAMES.len())]
}

/// Whether a chance of one in so many comes.
pub(super) fn is_one_in(rng: &mut TestRng, count: u32) -> bool {
    rng.random_range(0..count) == 0
}

/// Actions that write into the fresh layer and nowhere else, whatever happened before them.
pub(super) fn write_into_fresh_layer(rng: &mut TestRng, before: &Seen) -> Vec<Action> {
    let path = pick_key(rng, before);
    let handle = Handle("law".to_owned());
    let key = KeyReference::Handle(handle.clone());
    let layer = Text::from(FRESH_LAYER);
    let name = Text::from(VALUE_NAMES[rng.random_range(0..VALUE_NAMES.len())]);
    let create = |path: Text, layer| Action::Create {
        handle: Some(handle.clone()),
        parent: None,
        path,
        access: ACCESS_ALL,
        flags: 0,
        layer: Some(layer),
    };
    let set = |value_type, data| Action::Set {
        key: key.clone(),
        name,
        value_type,
        data,
        layer: layer.clone(),
        expected_sequence: 0,
    };
    let spelled = path.join("\\");
    let mut actions = vec![open(handle.clone(), &path, ACCESS_ALL)];
    match rng.random_range(0..10) {
        0..=3 => actions.push(set(REG_BINARY, vec![rng.random_range(0..=255)])),
        4 | 5 => actions.push(set(REG_TOMBSTONE, Vec::new())),
        6 => actions.push(Action::Blanket { key: key.clone(), layer: layer.clone(), set: 1 }),
        // A hive root cannot be hidden; the call is refused.
        7 => actions.push(Action::Hide { key: key.clone(), layer: layer.clone() }),
        // The key that comes after a hidden one is another key.
        8 => actions.extend([
            Action::Hide { key: key.clone(), layer: layer.clone() },
            create(Text::from(spelled.as_str()), layer.clone()),
            set(REG_BINARY, b"second".to_vec()),
        ]),
        _ => actions.extend([
            create(Text::from(format!("{spelled}\\law").as_str()), layer.clone()),
            set(REG_BINARY, b"new".to_vec()),
        ]),
    }
    actions
}

pub(super) fn disjoint_names(rng: &mut TestRng, before: &Seen) -> Vec<(Vec<String>, &'static str)> {
    let mut names: Vec<(Vec<String>, &'static str)> = Vec::new();
    for _ in 0..8 {
        let pair = (pick_key(rng, before), VALUE_NAMES[rng.random_range(0..VALUE_NAMES.len())]);
        if !names.contains(&pair) {
            names.push(pair);
        }
    }
    names
}

/// A write of one name into base or into a layer that the plan once created.
pub(super) fn value_write(rng: &mut TestRng, plan: &Plan, handle: Handle, name: Text) -> Action {
    let mut layers = vec![Text::default()];
    for step in &plan.steps {
        if let Step::Act { action: Action::LayerCreate { name, .. }, .. } = step {
            layers.push(name.clone());
        }
    }
    let layer = layers.swap_remove(rng.random_range(0..layers.len()));
    let key = KeyReference::Handle(handle);
    let set = |name, value_type, data, layer| Action::Set {
        key: key.clone(),
        name,
        value_type,
        data,
        layer,
        expected_sequence: 0,
    };
    match rng.random_range(0..5) {
        0 => set(name, REG_TOMBSTONE, Vec::new(), layer),
        1 => Action::Unset { key, name, layer },
        _ => set(name, REG_BINARY, vec![rng.random_range(0..=255)], layer),
    }
}

/// Creates a key in base, if it is no hive root, and sets its values there.
pub(super) fn copy_of_key(path: &[String], key: &KeyView) -> Vec<Action> {
    let handle = Handle("copy".to_owned());
    let mut actions = vec![if path.len() == 1 {
        open(handle.clone(), path, ACCESS_ALL)
    } else {
        Action::Create {
            handle: Some(handle.clone()),
            parent: None,
            path: Text::from(path.join("\\").as_str()),
            access: ACCESS_ALL,
            flags: u32::from(key.volatile_key),
            layer: None,
        }
    }];
    actions.extend(key.values.iter().map(|(name, value)| Action::Set {
        key: KeyReference::Handle(handle.clone()),
        name: Text::from(name.as_str()),
        value_type: value.value_type,
        data: value.data.clone(),
        layer: Text::default(),
        expected_sequence: 0,
    }));
    actions
}

/// A write by path, which may create the path first, as two steps of one call each.
pub(super) fn single_calls(step: Step) -> Vec<Step> {
    let Step::Act { actor, action: Action::Set { key: KeyReference::Path(path), .. } } = &step
    else {
        return vec![step];
    };
    let (actor, handle) = (*actor, Handle("law".to_owned()));
    let create = Action::Create {
        handle: Some(handle.clone()),
        parent: None,
        path: path.clone(),
        access: KEY_SET_VALUE,
        flags: 0,
        layer: None,
    };
    let Step::Act { mut action, .. } = step else { return Vec::new() };
    if let Action::Set { key, .. } = &mut action {
        *key = KeyReference::Handle(handle);
    }
    vec![Step::Act { actor, action: create }, Step::Act { actor, action }]
}

/// A small tree, and mutations of it that must be refused, each for a reason of its own.
pub(super) fn wrong_calls() -> Vec<Action> {
    let key = || KeyReference::Path(Text::from("Machine\\law"));
    let read_only = Handle("law-read".to_owned());
    let create = |path: &str, flags, layer: Option<&str>| Action::Create {
        handle: None,
        parent: None,
        path: Text::from(path),
        access: KEY_QUERY_VALUE,
        flags,
        layer: layer.map(Text::from),
    };
    let set = |key, value_type, data: &[u8], layer: &str, expected_sequence| Action::Set {
        key,
        name: Text::from("Mode"),
        value_type,
        data: data.to_vec(),
        layer: Text::from(layer),
        expected_sequence,
    };
    let (base, missing) = (Text::default(), Text::from("law-missing"));
    let root = || KeyReference::Path(Text::from("Machine"));
    let path = ["Machine".to_owned(), "law".to_owned()];
    let through = || KeyReference::Handle(read_only.clone());
    vec![
        create("Machine\\law", 0, None),
        create("Machine\\law\\volatile", 1, None),
        set(key(), REG_BINARY, b"kept", "", 0),
        open(read_only.clone(), &path, KEY_QUERY_VALUE),
        // From here on everything is wrong.
        set(key(), 12, b"lost", "", 0),
        set(key(), REG_TOMBSTONE, b"lost", "", 0),
        set(key(), REG_BINARY, b"lost", "law-missing", 0),
        set(key(), REG_BINARY, b"lost", "", 1),
        set(through(), REG_BINARY, b"lost", "", 0),
        Action::Unset { key: through(), name: Text::from("Mode"), layer: base.clone() },
        Action::Blanket { key: through(), layer: base.clone(), set: 1 },
        Action::Delete { key: through(), layer: base.clone() },
        Action::Hide { key: through(), layer: base.clone() },
        Action::Delete { key: key(), layer: base.clone() },
        Action::Delete { key: root(), layer: base.clone() },
        Action::Hide { key: root(), layer: base.clone() },
        Action::Hide { key: key(), layer: missing.clone() },
        Action::Blanket { key: key(), layer: missing, set: 1 },
        Action::Blanket { key: key(), layer: base, set: 2 },
        create("Machine\\law\\missing\\deep", 0, None),
        create("Machine\\law\\new", 0, Some("law-missing")),
        create("Machine\\law\\new", 0x80, None),
        create("Machine\\law\\volatile\\new", 0, None),
        create(&format!("Machine\\law\\{}", "n".repeat(256)), 0, None),
        Action::LayerDelete { name: Text::from("law-missing") },
    ]
}

/// Every path, value name and layer name of an action.
pub(super) fn names_in(action: &mut Action) -> Vec<&mut Text> {
    let (key, mut names): (Option<&mut KeyReference>, Vec<&mut Text>) = match action {
        Action::Open { path, .. } | Action::View { path } => (None, vec![path]),
        Action::Create { path, layer, .. } => (None, layer.iter_mut().chain([path]).collect()),
        Action::Get { key, name, .. } | Action::Update { key, name, .. } => (Some(key), vec![name]),
        Action::Set { key, name, layer, .. } | Action::Unset { key, name, layer } => {
            (Some(key), vec![name, layer])
        }
        Action::Blanket { key, layer, .. }
        | Action::Delete { key, layer }
        | Action::Hide { key, layer } => (Some(key), vec![layer]),
        Action::Batch { key, .. }
        | Action::EnumerateValue { key, .. }
        | Action::EnumerateSubkey { key, .. }
        | Action::List { key }
        | Action::Info { key, .. }
        | Action::Changes { key }
        | Action::GetSecurity { key, .. }
        | Action::SetSecurity { key, .. }
        | Action::Backup { key, .. }
        | Action::Restore { key, .. }
        | Action::Flush { key } => (Some(key), Vec::new()),
        Action::LayerCreate { name, .. }
        | Action::LayerSet { name, .. }
        | Action::LayerDelete { name } => (None, vec![name]),
        Action::Raw { action, .. } | Action::Within { action, .. } => return names_in(action),
        Action::Syscall { arguments, .. } => {
            let strings = arguments.iter_mut().filter_map(|argument| match argument {
                RawArgument::String(text) => Some(text),
                _ => None,
            });
            (None, strings.collect())
        }
        Action::Register { registration, .. } => {
            (None, registration.hives.iter_mut().map(|hive| &mut hive.name).collect())
        }
        Action::Close { .. }
        | Action::Pass { .. }
        | Action::Begin { .. }
        | Action::Commit { .. }
        | Action::TransactionStatus { .. }
        | Action::Watch { .. }
        | Action::Events { .. }
        | Action::Poll { .. }
        | Action::Record { .. }
        | Action::Damage { .. }
        | Action::Records { .. }
        | Action::Become { .. }
        | Action::Revert
        | Action::Ioctl { .. }
        | Action::OpenDevice { .. }
        | Action::ReadDevice { .. }
        | Action::WriteDevice { .. }
        | Action::PollDevice { .. } => (None, Vec::new()),
    };
    if let Some(KeyReference::Path(path)) = key {
        names.push(path);
    }
    names
}

/// A case variant of the same length in bytes, so that required sizes stay the same.
pub(super) fn in_another_case(rng: &mut TestRng, text: &Text) -> Text {
    let Ok(text) = std::str::from_utf8(&text.0) else { return text.clone() };
    let text: String = text.chars().map(|letter| other_case(rng, letter)).collect();
    Text::from(text.as_str())
}

pub(super) fn other_case(rng: &mut TestRng, letter: char) -> char {
    let single = |mut letters: Vec<char>| if letters.len() == 1 { letters.pop() } else { None };
    let upper = single(letter.to_uppercase().collect()).unwrap_or(letter);
    let lower = single(letter.to_lowercase().collect()).unwrap_or(letter);
    let other = if upper == letter { lower } else { upper };
    let comes_back = single(other.to_lowercase().collect()) == Some(lower);
    if comes_back && other.len_utf8() == letter.len_utf8() && rng.random_range(0..3) > 0 {
        other
    } else {
        letter
    }
}
