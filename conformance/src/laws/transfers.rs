//! The law of backup and restore: what a backup has of a key comes back by a restore into the same key.
//!
//! Compares what callers see, through the syscalls alone.

use registry_model::input::StreamAccess;
use registry_model::observation::Observation;

use super::plans::{self, act};
use super::views::{self, difference, seen};
use super::{Outcome, conforming, held_if, start};
use crate::campaign::Runner;
use crate::lockstep::Run;
use crate::plan::{Action, Handle, KeyReference, Step, Text};
use crate::script::answer::StepAnswer;

/// Writes between the backup and the restore.
const WRITES: usize = 10;

/// While layers are unchanged, backup and restore into the same key reproduce what every caller saw,
/// whatever was written meanwhile (PSD-005 §9.1).
///
/// # Errors
/// What is not reproduced, or that a run did not conform.
pub fn restore_reproduces_the_view(runner: &dyn Runner, seed: u64) -> Result<Outcome, String> {
    let (mut plan, before) = start(runner, seed)?;
    let before = seen(&before);
    let mut rng = plans::rng(seed, 7);
    let path = plans::pick_key(&mut rng, &before);
    let key = KeyReference::Path(Text::from(path.join("\\").as_str()));
    let stream = "law".to_owned();
    let below: views::Seen =
        before.into_iter().filter(|(other, _)| other.starts_with(&path)).collect();
    let changes: Vec<Step> =
        (0..WRITES).flat_map(|_| change_below(&mut rng, &plan, &below)).map(act).collect();
    let callers = plan.actors.len();
    let look = |actor| Step::Act { actor, action: Action::View { path: Text::default() } };
    let begin = plan.steps.len();
    plan.steps.extend((0..callers).map(look));
    let (from, access) = (stream.clone(), StreamAccess::Write);
    plan.steps.push(act(Action::Backup { key: key.clone(), stream: from, access }));
    plan.steps.extend(changes);
    let during = plan.steps.len();
    plan.steps.extend((0..callers).map(look));
    plan.steps.push(act(Action::Restore { key, stream, access: StreamAccess::Read }));
    plan.steps.extend((0..callers).map(look));
    let run = conforming(runner, &plan, seed)?;
    let is_done =
        |step: usize| run.answers.get(step) == Some(&StepAnswer::Observation(Observation::Done));
    if !is_done(begin + callers) {
        return Ok(Outcome::Vacuous);
    }
    let restored = during + callers;
    if !is_done(restored) {
        return Err(format!("the restore answers {:?}", run.answers.get(restored)));
    }
    let mut has_changed = false;
    for caller in 0..callers {
        let was = view_at(&run, begin + caller)?;
        let is = view_at(&run, restored + 1 + caller)?;
        difference(&was, &is).map_or(Ok(()), Err)?;
        has_changed |= difference(&was, &view_at(&run, during + caller)?).is_some();
    }
    Ok(held_if(has_changed))
}

fn view_at(run: &Run, step: usize) -> Result<views::Seen, String> {
    match run.answers.get(step) {
        Some(StepAnswer::View(view)) => Ok(seen(view)),
        _ => Err(views::too_few_views()),
    }
}

/// A write into a key of these, or a new key below one. No key goes: one that is open then would keep
/// its GUID in use.
fn change_below(
    rng: &mut proptest::test_runner::TestRng,
    plan: &crate::plan::Plan,
    below: &views::Seen,
) -> Vec<Action> {
    let handle = Handle("law".to_owned());
    let path = plans::pick_key(rng, below);
    let name = plans::pick_name(rng);
    let write = plans::value_write(rng, plan, handle.clone(), Text::from(name));
    if plans::is_one_in(rng, 4) {
        let path = Text::from(format!("{}\\law", path.join("\\")).as_str());
        let create = Action::Create {
            handle: Some(handle),
            parent: None,
            path,
            access: plans::ACCESS_ALL,
            flags: 0,
            layer: None,
        };
        return vec![create, write];
    }
    vec![plans::open(handle, &path, plans::ACCESS_ALL), write]
}
