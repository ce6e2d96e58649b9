//! The run: a plan executed on a target with the model beside it, to a verdict.
//!
//! `seed -> Plan -> World -> History -> Verdict` ends here; reports begin with `Run`.

use registry_model::State;
use registry_model::input::{Input, ProcessId};
use registry_model::observation::Observation;
use registry_model::security::Token;

use crate::address_space::AddressSpace;
use crate::divergence::{Divergence, Stop};
use crate::execution::Execution;
use crate::plan::{Plan, Step};
use crate::script::answer::StepAnswer;
use crate::statistics::Statistics;
use crate::target::{RawCall, Target};

/// How to run a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Compare the views after every step, not only where the plan says so and at the end.
    pub views_after_each_step: bool,
    /// Stop after this many steps, without the comparison at the end.
    pub steps_max: Option<usize>,
    /// Keep what happened in `Run::history`.
    pub record: bool,
    /// Keep what the kernel sends in `Run::requests`, and what it audits in `Run::audits`.
    pub record_requests: bool,
}

/// One thing that happened in a run, with all that is needed to do it again.
#[derive(Clone, Debug)]
pub struct Happening {
    /// What the model was told.
    pub input: Input,
    /// What the target answered; `None` for an environment input.
    pub observation: Option<Observation>,
    /// The call as it reached the target.
    pub raw: Option<RawHappening>,
}

/// A call as it reached the target.
#[derive(Clone, Debug)]
pub struct RawHappening {
    /// The calling process.
    pub process: ProcessId,
    /// The token of the calling thread.
    pub token: Token,
    /// The call.
    pub call: RawCall,
    /// The memory it points into.
    pub memory: AddressSpace,
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
    /// An answer depended on something that this edition does not judge; on what. Everything before
    /// it conforms.
    Outside(String),
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
    /// The requests that each of these steps sent, as `script` has them, if they were to be kept.
    pub requests: Vec<Vec<String>>,
    /// The audit events of each of these steps, as `script` has them, if they were to be kept.
    pub audits: Vec<Vec<String>>,
    /// The token that each actor's calls were made with last.
    pub tokens: Vec<Token>,
    /// The states that agree with everything seen.
    pub states: Vec<State>,
    /// What happened, if it was to be recorded. View dumps are not in it.
    pub history: Vec<Happening>,
    /// Who went on at each choice of each block of overlapping calls, as a schedule that is replayed has it.
    pub schedules: Vec<Vec<u32>>,
}

/// Runs a plan on a target that has just been made.
pub async fn run(plan: &Plan, target: &mut dyn Target, options: Options) -> Run {
    run_watched(plan, target, options, &mut |_| ()).await
}

/// As [`run`]; `watch` is told the position of every step before it is taken.
pub async fn run_watched(
    plan: &Plan,
    target: &mut dyn Target,
    options: Options,
    watch: &mut dyn FnMut(usize),
) -> Run {
    let plan = plan.with_defaults();
    let mut taken = Taken::default();
    let mut execution = match Execution::start(&plan, target, options).await {
        Ok(execution) => execution,
        Err(stop) => return Run::stopped(verdict_of(Err(stop))),
    };
    // Nobody asked for what starting the target sent.
    execution.take_requests();
    execution.take_audits();
    let result = run_steps(&plan, &mut execution, options, &mut taken, watch).await;
    let tokens = (0..plan.actors.len()).map(|actor| execution.tokens.of(actor).clone()).collect();
    let schedules = std::mem::take(&mut execution.schedules);
    let (statistics, trace, states, history) = execution.finish();
    let Taken { answers, requests, audits } = taken;
    let verdict = verdict_of(result);
    Run {
        verdict,
        statistics,
        trace,
        answers,
        requests,
        audits,
        tokens,
        states,
        history,
        schedules,
    }
}

impl Run {
    /// A run that ended before its first step.
    pub fn stopped(verdict: Verdict) -> Run {
        Run {
            verdict,
            statistics: Statistics::default(),
            trace: 0,
            answers: Vec::new(),
            requests: Vec::new(),
            audits: Vec::new(),
            tokens: Vec::new(),
            states: vec![State::new()],
            history: Vec::new(),
            schedules: Vec::new(),
        }
    }
}

/// What the steps answered and caused.
#[derive(Default)]
struct Taken {
    answers: Vec<StepAnswer>,
    requests: Vec<Vec<String>>,
    audits: Vec<Vec<String>>,
}

impl Taken {
    fn step(&mut self, answer: StepAnswer, execution: &mut Execution<'_>, options: Options) {
        self.answers.push(answer);
        let (requests, audits) = (execution.take_requests(), execution.take_audits());
        if options.record_requests {
            self.requests.push(requests);
            self.audits.push(audits);
        }
    }
}

/// Makes the calls of a recorded history on a target that has just been made, and checks nothing.
/// The history must be free of faults.
///
/// # Errors
/// Why the target did not come up, in words.
pub async fn repeat_unchecked(
    plan: &Plan,
    history: &[Happening],
    target: &mut dyn Target,
) -> Result<(), String> {
    let plan = plan.with_defaults();
    target.start(&plan.sources).await?;
    for _ in &plan.actors {
        target.new_process();
    }
    for raw in history.iter().filter_map(|happening| happening.raw.as_ref()) {
        let RawHappening { process, token, call, memory } = raw;
        target.call(*process, token, call.clone(), memory.clone()).await;
        target.take_frames();
    }
    Ok(())
}

/// Steps the model alone through a recorded history. Returns whether it allows all of it.
pub fn repeat_in_model(history: &[Happening]) -> bool {
    let mut state = State::new();
    for happening in history {
        let next = state.step(&happening.input).into_iter().find_map(|step| {
            match &happening.observation {
                Some(observation) => step.accept(observation).ok(),
                None => Some(step.next().clone()),
            }
        });
        match next {
            Some(next) => state = next,
            None => return false,
        }
    }
    true
}

fn verdict_of(result: Result<(), Stop>) -> Verdict {
    match result {
        Ok(()) => Verdict::Conforms,
        Err(Stop::Divergence(divergence)) => Verdict::Diverges(divergence),
        Err(Stop::Indeterminate(reason)) => Verdict::Indeterminate(reason),
        Err(Stop::Outside(what)) => Verdict::Outside(what),
        Err(Stop::HarnessFault(fault)) => Verdict::HarnessFault(fault),
    }
}

async fn run_steps(
    plan: &Plan,
    execution: &mut Execution<'_>,
    options: Options,
    taken: &mut Taken,
    watch: &mut dyn FnMut(usize),
) -> Result<(), Stop> {
    for (position, step) in plan.steps.iter().enumerate() {
        watch(position);
        if options.steps_max.is_some_and(|steps_max| position >= steps_max) {
            return Ok(());
        }
        execution.step = position;
        let answer = match take_step(execution, step).await {
            Err(Stop::Outside(what)) => {
                taken.step(StepAnswer::Outside(what.clone()), execution, options);
                return Err(Stop::Outside(what));
            }
            other => other?,
        };
        taken.step(answer, execution, options);
        if options.views_after_each_step {
            execution.compare_views().await?;
        }
    }
    execution.step = plan.steps.len();
    execution.compare_views().await
}

async fn take_step(execution: &mut Execution<'_>, step: &Step) -> Result<StepAnswer, Stop> {
    match step {
        Step::Act { actor, action } => execution.act(*actor, action).await,
        Step::Parallel(parallel) => execution.parallel(parallel).await,
        Step::Fault(fault) => execution.fault(fault).await,
        Step::CompareViews => {
            execution.compare_views().await?;
            Ok(StepAnswer::Nothing)
        }
    }
}
