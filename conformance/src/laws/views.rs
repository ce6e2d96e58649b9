//! Answers and effective views in the form in which laws compare them.
//!
//! Takes them from a finished run alone; knows neither plans nor targets.

use std::collections::BTreeMap;

use registry_model::names::fold;
use registry_model::observation::{KeyInfo, Observation};
use registry_model::view::{KeyView, ValueView, View};

use crate::lockstep::Run;
use crate::script::answer::StepAnswer;

/// Type and data of each value, by its folded name.
pub(super) type Values = BTreeMap<String, (u32, Vec<u8>)>;
/// The keys that open outside `Machine\System\Registry`, by their folded paths.
pub(super) type Seen = BTreeMap<Vec<String>, Values>;

pub(super) fn seen(view: &View) -> Seen {
    let plain = |(name, value): (String, ValueView)| (name, (value.value_type, value.data));
    folded_view(view)
        .into_iter()
        .filter(|(path, _)| !is_registry(path))
        .filter_map(|(path, key)| Some((path, key?.values.into_iter().map(plain).collect())))
        .collect()
}

pub(super) fn opened(view: &View) -> impl Iterator<Item = (&Vec<String>, &KeyView)> {
    view.iter().filter_map(|(path, key)| Some((path, key.as_ref()?)))
}

/// Whether a path is `Machine\System\Registry` or below it.
pub(super) fn is_registry(path: &[String]) -> bool {
    is_system(path) && path.get(2).is_some_and(|part| fold(part) == "registry")
}

/// Whether a path is `Machine\System` or below it.
pub(super) fn is_system(path: &[String]) -> bool {
    path.len() >= 2 && fold(&path[0]) == "machine" && fold(&path[1]) == "system"
}

pub(super) fn has_values(seen: &Seen) -> bool {
    seen.values().any(|values| !values.is_empty())
}

/// The first key of `before` that is not the same in `after`, in words.
pub(super) fn lost(before: &Seen, after: &Seen) -> Option<String> {
    before.iter().find_map(|(path, values)| {
        let name = path.join("\\");
        match after.get(path) {
            None => Some(format!("{name} was there and is gone")),
            Some(other) if other != values => {
                Some(format!("the values of {name} were {values:?} and are {other:?}"))
            }
            Some(_) => None,
        }
    })
}

/// The first key that is not the same in both, in words.
pub(super) fn difference(before: &Seen, after: &Seen) -> Option<String> {
    let new = || after.keys().find(|path| !before.contains_key(*path));
    lost(before, after).or_else(|| Some(format!("{} is new", new()?.join("\\"))))
}

pub(super) fn views(run: &Run) -> Vec<View> {
    let view = |answer: &StepAnswer| match answer {
        StepAnswer::View(view) => Some(view.clone()),
        _ => None,
    };
    run.answers.iter().filter_map(view).collect()
}

pub(super) fn seen_views(run: &Run) -> Vec<Seen> {
    views(run).iter().map(seen).collect()
}

pub(super) fn last_raw_view(run: &Run) -> Result<View, String> {
    views(run).pop().ok_or_else(too_few_views)
}

pub(super) fn last_view(run: &Run) -> Result<Seen, String> {
    last_raw_view(run).map(|view| seen(&view))
}

pub(super) fn too_few_views() -> String {
    "a source died while its keys were viewed".to_owned()
}

/// An answer with folded names, without times and without what depends on the order of an
/// enumeration, which is the source's to choose.
pub(super) fn without_spelling(answer: &StepAnswer) -> StepAnswer {
    match answer {
        StepAnswer::Observation(observation) => {
            StepAnswer::Observation(observation_without_spelling(observation))
        }
        StepAnswer::List(names) => {
            let mut names: Vec<Vec<u8>> = names.iter().map(|name| fold_bytes(name)).collect();
            names.sort();
            StepAnswer::List(names)
        }
        StepAnswer::View(view) => StepAnswer::View(folded_view(view)),
        StepAnswer::Changes(changes) => StepAnswer::Changes(*changes),
        StepAnswer::NotStored => StepAnswer::NotStored,
        StepAnswer::Records(_) | StepAnswer::Outside(_) | StepAnswer::Nothing => answer.clone(),
    }
}

pub(super) fn observation_without_spelling(observation: &Observation) -> Observation {
    match observation.clone() {
        Observation::Value { value_type, data, sequence, layer } => {
            Observation::Value { value_type, data, sequence, layer: fold_bytes(&layer) }
        }
        Observation::Values(mut values) => {
            for value in &mut values {
                value.name = fold_bytes(&value.name);
            }
            values.sort();
            Observation::Values(values)
        }
        Observation::KeyInfo(info) => {
            let name = fold_bytes(&info.name);
            Observation::KeyInfo(KeyInfo { name, last_write_time: Default::default(), ..info })
        }
        Observation::EnumeratedValue(_)
        | Observation::EnumeratedSubkey { .. }
        | Observation::TooSmall(_) => Observation::Done,
        other => other,
    }
}

pub(super) fn fold_bytes(name: &[u8]) -> Vec<u8> {
    fold(&String::from_utf8_lossy(name)).into_bytes()
}

pub(super) fn folded_view(view: &View) -> View {
    let fold_value = |(name, value): (&String, &ValueView)| {
        (fold(name), ValueView { layer: fold(&value.layer), ..value.clone() })
    };
    opened(view)
        .map(|(path, key)| {
            let values = key.values.iter().map(fold_value).collect();
            let subkeys = key.subkeys.iter().map(|name| fold(name)).collect();
            let key = KeyView { values, subkeys, ..key.clone() };
            (path.iter().map(|part| fold(part)).collect(), Some(key))
        })
        .collect()
}
