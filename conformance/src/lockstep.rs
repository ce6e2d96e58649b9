//! The run: a plan executed on a target with the model beside it, to a verdict.
//!
//! `seed -> Plan -> World -> History -> Verdict` ends here; reports begin with `Run`.

use registry_model::State;

use crate::divergence::{Divergence, Stop};
use crate::execution::Execution;
use crate::plan::{Plan, Step};
use crate::script::answer::StepAnswer;
use crate::statistics::Statistics;
use crate::target::Target;

/// How to run a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Compare the views after every step, not only where the plan says so and at the end.
    pub views_after_each_step: bool,
    /// Stop after this many steps, without the comparison at the end.
    pub steps_max: Option<usize>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Everything observed conforms.
    Conforms,
    /// The target diverged.
    Diverges(Box<Divergence>),
    /// The checker could not decide; the reason.
    Indeterminate(String),
    /// The harness or the world failed; how.
    HarnessFault(String),
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Run {
    /// How it ended.
    pub verdict: Verdict,
    /// What it exercised.
    pub statistics: Statistics,
    /// The trace.
    pub trace: u128,
    /// The answer of every step that was taken, in order.
    pub answers: Vec<StepAnswer>,
    /// The states that agree with everything seen.
    pub states: Vec<State>,
}

/// Runs a plan on a target that has just been made.
pub async fn run(plan: &Plan, target: &mut dyn Target, options: Options) -> Run {
    let plan = plan.with_defaults();
    let mut answers = Vec::new();
    let mut execution = match Execution::start(&plan, target).await {
        Ok(execution) => execution,
        Err(stop) => {
            let statistics = Statistics::default();
            let verdict = verdict_of(Err(stop));
            return Run { verdict, statistics, trace: 0, answers, states: vec![State::new()] };
        }
    };
    let result = run_steps(&plan, &mut execution, options, &mut answers).await;
    let (statistics, trace, states) = execution.finish();
    Run { verdict: verdict_of(result), statistics, trace, answers, states }
}

fn verdict_of(result: Result<(), Stop>) -> Verdict {
    match result {
        Ok(()) => Verdict::Conforms,
        Err(Stop::Divergence(divergence)) => Verdict::Diverges(divergence),
        Err(Stop::Indeterminate(reason)) => Verdict::Indeterminate(reason),
        Err(Stop::HarnessFault(fault)) => Verdict::HarnessFault(fault),
    }
}

async fn run_steps(
    plan: &Plan,
    execution: &mut Execution<'_>,
    options: Options,
    answers: &mut Vec<StepAnswer>,
) -> Result<(), Stop> {
    for (position, step) in plan.steps.iter().enumerate() {
        if options.steps_max.is_some_and(|steps_max| position >= steps_max) {
            return Ok(());
        }
        execution.step = position;
        let answer = match step {
            Step::Act { actor, action } => execution.act(*actor, action).await?,
            Step::Fault(fault) => {
                execution.fault(fault).await?;
                StepAnswer::Nothing
            }
            Step::CompareViews => {
                execution.compare_views().await?;
                StepAnswer::Nothing
            }
        };
        answers.push(answer);
        if options.views_after_each_step {
            execution.compare_views().await?;
        }
    }
    execution.step = plan.steps.len();
    execution.compare_views().await
}
