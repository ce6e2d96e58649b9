//! Laws of the registry that need no model to state: they hold between runs, or between two
//! moments of one run, and so test the model as well as the target.
//!
//! A law sees a target only through a [`Runner`] and judges by what its calls answered. Effective
//! views compare as (path, folded name, type, data), outside `Machine\System\Registry`, where a
//! layer's own metadata would show.

mod plans;
mod security;
mod transfers;
mod views;

use proptest::prelude::RngExt;
use registry_model::errno::Errno;
use registry_model::observation::Observation;
use registry_model::view::View;

use crate::campaign::Runner;
use crate::divergence::Divergence;
use crate::generate::{Profile, plan_of_seed};
use crate::lockstep::{Options, Run, Verdict};
use crate::plan::{Action, Fault, Handle, Plan, Step, Text};
use crate::script::{self, answer, answer::StepAnswer};

pub use security::{
    another_allow_ace_takes_nothing, maximum_is_the_union, neighbours_of_one_kind_commute,
    nobody_gets_what_everyone_gets,
};

pub use transfers::restore_reproduces_the_view;

use plans::{FRESH_LAYER, act, view_all};
use views::{difference, lost, opened, seen};

/// What a law comes to on one seed, unless it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It held where it could have been broken.
    Held,
    /// The seed gave it nothing to break.
    Vacuous,
}

/// A law, tried from a state that follows from a seed. An error says how it is broken, or that a
/// run did not conform.
pub type Law = fn(&dyn Runner, u64) -> Result<Outcome, String>;

/// Every law with its name, those that compare views first.
pub const LAWS: &[(&str, Law)] = &[
    ("a layer comes and goes", layer_comes_and_goes),
    ("disjoint writes commute", disjoint_writes_commute),
    ("a source restart keeps keys", source_restart_keeps_keys),
    ("flattening keeps the view", flattening_keeps_the_view),
    ("case variants are one name", case_variants_are_one_name),
    ("a refused call changes nothing", refused_call_changes_nothing),
    ("a restore reproduces the view", restore_reproduces_the_view),
    ("another allow ACE takes nothing", another_allow_ace_takes_nothing),
    ("neighbours of one kind commute", neighbours_of_one_kind_commute),
    ("nobody gets what everyone gets", nobody_gets_what_everyone_gets),
    ("maximum is the union", maximum_is_the_union),
];

/// Adding a layer, writing into it alone and deleting it restores the view of every key that was
/// there before (PSD-005 §2.6, §2.7).
///
/// # Errors
/// What is not restored, or that a run did not conform.
pub fn layer_comes_and_goes(runner: &dyn Runner, seed: u64) -> Result<Outcome, String> {
    let (mut plan, before) = start(runner, seed)?;
    let before = seen(&before);
    let mut rng = plans::rng(seed, 1);
    let precedence = Some(rng.random_range(0..8));
    let name = Text::from(FRESH_LAYER);
    plan.steps.push(act(Action::LayerCreate { name: name.clone(), precedence, enabled: None }));
    for _ in 0..12 {
        plan.steps.extend(plans::write_into_fresh_layer(&mut rng, &before).into_iter().map(act));
    }
    plan.steps.extend([view_all(), act(Action::LayerDelete { name }), view_all()]);
    let run = conforming(runner, &plan, seed)?;
    let [during, after] = &views::seen_views(&run)[..] else { return Err(views::too_few_views()) };
    let deleted = &run.answers[run.answers.len() - 2];
    if *deleted != StepAnswer::Observation(Observation::Done) {
        return Err(format!("the layer cannot be deleted: {deleted:?}"));
    }
    lost(&before, after).map_or(Ok(()), Err)?;
    Ok(held_if(lost(&before, during).is_some()))
}

/// Writes of disjoint names through open fds to ordinary keys commute: both orders give the same
/// answers and the same view (PSD-005 §2.5, §2.7).
///
/// # Errors
/// How the orders differ, or that a run did not conform.
pub fn disjoint_writes_commute(runner: &dyn Runner, seed: u64) -> Result<Outcome, String> {
    let (mut plan, before) = start(runner, seed)?;
    let before = seen(&before);
    let mut rng = plans::rng(seed, 2);
    let mut writes = Vec::new();
    for (number, (path, name)) in plans::disjoint_names(&mut rng, &before).into_iter().enumerate() {
        let handle = Handle(format!("law-{number}"));
        let actor = rng.random_range(0..plan.actors.len());
        let write = plans::value_write(&mut rng, &plan, handle.clone(), Text::from(name));
        plan.steps.push(Step::Act { actor, action: plans::open(handle, &path, plans::ACCESS_ALL) });
        writes.push(Step::Act { actor, action: write });
    }
    // Reversal swaps every two writes.
    let backward: Vec<Step> = writes.iter().rev().cloned().collect();
    let one_way = plans::with_steps(&plan, &writes);
    let other_way = plans::with_steps(&plan, &backward);
    let one = conforming(runner, &one_way, seed)?;
    let other = conforming(runner, &other_way, seed)?;
    let begin = plan.steps.len();
    let answers = |run: &Run| run.answers[begin..begin + writes.len()].to_vec();
    let (forward, mut backward) = (answers(&one), answers(&other));
    backward.reverse();
    if forward != backward {
        return Err(format!("one order answers {forward:?}, the other {backward:?}"));
    }
    let (one, other) = (views::last_view(&one)?, views::last_view(&other)?);
    difference(&one, &other).map_or(Ok(()), Err)?;
    Ok(held_if(difference(&before, &one).is_some()))
}

/// The restart of every source keeps each reachable key that is not volatile, and its values
/// (PSD-005 §10.1).
///
/// # Errors
/// What is lost, or that a run did not conform.
pub fn source_restart_keeps_keys(runner: &dyn Runner, seed: u64) -> Result<Outcome, String> {
    let (mut plan, _) = start(runner, seed)?;
    let sources = 0..plan.sources.len();
    plan.steps.push(view_all());
    plan.steps.extend(sources.clone().map(|source| Step::Fault(Fault::KillSource { source })));
    plan.steps.extend(sources.rev().map(|source| Step::Fault(Fault::RestartSource { source })));
    plan.steps.push(view_all());
    let run = conforming(runner, &plan, seed)?;
    let [before, after] = &views::views(&run)[..] else { return Err(views::too_few_views()) };
    // A layer whose metadata is volatile is gone after the restart, and so are its entries.
    if opened(before).any(|(path, key)| key.volatile_key && views::is_system(path)) {
        return Ok(Outcome::Vacuous);
    }
    let mut kept = View::new();
    for (path, key) in opened(before).filter(|(_, key)| !key.volatile_key) {
        kept.insert(path.clone(), Some(key.clone()));
    }
    let kept = seen(&kept);
    lost(&kept, &seen(after)).map_or(Ok(()), Err)?;
    Ok(held_if(views::has_values(&kept)))
}

/// Copying what one caller sees into the base layer of a fresh world gives that caller the same
/// view (PSD-005 §2.7).
///
/// # Errors
/// How the views differ, or that a run did not conform.
pub fn flattening_keeps_the_view(runner: &dyn Runner, seed: u64) -> Result<Outcome, String> {
    let (plan, original) = start(runner, seed)?;
    let mut copy = Plan { steps: Vec::new(), ..plan };
    for (path, key) in opened(&original).filter(|(path, _)| !views::is_registry(path)) {
        copy.steps.extend(plans::copy_of_key(path, key).into_iter().map(act));
    }
    copy.steps.push(view_all());
    let run = conforming(runner, &copy, seed)?;
    for (step, answer) in copy.steps.iter().zip(&run.answers) {
        if let StepAnswer::Observation(observation) = answer
            && is_refusal(observation)
        {
            return Err(format!("the copy cannot be made: {}", in_words(step, answer)));
        }
    }
    let original = seen(&original);
    difference(&original, &views::last_view(&run)?).map_or(Ok(()), Err)?;
    Ok(held_if(views::has_values(&original)))
}

/// The same plan with every path, value name and layer name in another letter case gives the
/// same answers but for spelling (PSD-005 §2.3).
///
/// # Errors
/// The first answer that differs, or that a run did not conform.
pub fn case_variants_are_one_name(runner: &dyn Runner, seed: u64) -> Result<Outcome, String> {
    let mut plan = plan_of_seed(seed, Profile::Calm, CALLS);
    plan.steps.push(view_all());
    let mut rng = plans::rng(seed, 5);
    let mut variant = plan.clone();
    for step in &mut variant.steps {
        let Step::Act { action, .. } = step else { continue };
        for text in plans::names_in(action) {
            *text = plans::in_another_case(&mut rng, text);
        }
    }
    let one = conforming(runner, &plan, seed)?;
    let other = conforming(runner, &variant, seed)?;
    let steps = plan.steps.iter().zip(&variant.steps);
    for ((one_step, other_step), (one, other)) in steps.zip(one.answers.iter().zip(&other.answers))
    {
        let (one, other) = (views::without_spelling(one), views::without_spelling(other));
        if one != other {
            let (one, other) = (in_words(one_step, &one), in_words(other_step, &other));
            return Err(format!("{one}\n{other}"));
        }
    }
    Ok(held_if(plan != variant))
}

/// A call that is refused leaves the view as it was, down to layers and sequence numbers
/// (PSD-005 §6.4). EIO is no refusal: it says that nothing is known. Nor is EACCES of a creation,
/// which may have created the key.
///
/// # Errors
/// The call that changed something, or that a run did not conform.
pub fn refused_call_changes_nothing(runner: &dyn Runner, seed: u64) -> Result<Outcome, String> {
    let plan = plan_of_seed(seed, Profile::Calm, CALLS / 2);
    let wrong = plans::wrong_calls().into_iter().map(act);
    let mut watched = Plan { steps: vec![view_all()], ..plan.clone() };
    for step in plan.steps.into_iter().flat_map(plans::single_calls).chain(wrong) {
        watched.steps.extend([step, view_all()]);
    }
    let run = conforming(runner, &watched, seed)?;
    let mut refusals = 0;
    for (step, answers) in watched.steps.windows(3).zip(run.answers.windows(3)) {
        let (Step::Act { action, .. }, [before, answer, after]) = (&step[1], answers) else {
            continue;
        };
        let (StepAnswer::View(before), StepAnswer::View(after)) = (before, after) else { continue };
        if !is_refused_call(action, answer) {
            continue;
        }
        refusals += 1;
        if !opened(before).eq(opened(after)) {
            let what = difference(&seen(before), &seen(after)).unwrap_or_default();
            return Err(format!("{}, yet: {what}", in_words(&step[1], answer)));
        }
    }
    Ok(held_if(refusals > 0))
}

/// About how many calls lead to the state that a law starts from.
const CALLS: usize = 100;

/// A calm plan whose layers come and go by base entries alone, and what is seen at its end. Layer
/// metadata that hides or masks itself may be read otherwise at the next occasion (P-21), which
/// is no breach of any law.
fn start(runner: &dyn Runner, seed: u64) -> Result<(Plan, View), String> {
    let mut plan = plan_of_seed(seed, Profile::Calm, CALLS).with_defaults();
    plan.steps.retain(|step| !plans::mentions_system(step));
    let run = conforming(runner, &plans::with_steps(&plan, &[]), seed)?;
    let view = views::last_raw_view(&run)?;
    Ok((plan, view))
}

fn conforming(runner: &dyn Runner, plan: &Plan, seed: u64) -> Result<Run, String> {
    let run = runner.run(plan, seed, Options::default());
    match run.verdict {
        Verdict::Conforms => Ok(run),
        Verdict::Diverges(divergence) => {
            let Divergence { what, expected, got, .. } = *divergence;
            Err(format!("a run does not conform: {what}\nexpected {expected}\ngot {got}"))
        }
        verdict => Err(format!("a run does not conform: {verdict:?}")),
    }
}

/// A step and its answer as a script says them.
fn in_words(step: &Step, answer: &StepAnswer) -> String {
    let Step::Act { action, .. } = step else { return format!("{step:?}") };
    let plan = Plan { steps: vec![act(action.clone())], ..Plan::default() };
    let answer = answer::lines(action, answer).join("; ");
    format!("`{}` gives `{answer}`", script::print(&plan).trim())
}

fn is_refused_call(action: &Action, answer: &StepAnswer) -> bool {
    let StepAnswer::Observation(observation) = answer else { return false };
    match (action, observation) {
        (_, Observation::Failed(Errno::EIO)) | (Action::LayerCreate { .. }, _) => false,
        (Action::Create { .. }, Observation::Failed(Errno::EACCES)) => false,
        _ => is_refusal(observation),
    }
}

fn is_refusal(observation: &Observation) -> bool {
    matches!(observation, Observation::Failed(_) | Observation::TooSmall(_))
}

fn held_if(condition: bool) -> Outcome {
    if condition { Outcome::Held } else { Outcome::Vacuous }
}
