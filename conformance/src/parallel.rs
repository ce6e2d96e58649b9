//! Calls that overlap, under execution: made by the target under a schedule, and then judged together.
//!
//! Between its invocation and its return each call takes effect at one moment; some order of these moments
//! has to give every answer (linearizability, design §4). What crosses the wire meanwhile is judged frame by
//! frame, since no frame belongs to one call for certain (P-445); audit events are compared with those of
//! the order that was found, in whatever order they came (P-446).

mod audits;
mod block;
mod order;
mod overlaps;

use registry_model::State;
use registry_model::input::Input;

use crate::alias;
use crate::describe;
use crate::divergence::{Kind, Stop};
use crate::execution::Execution;
use crate::lockstep::Happening;
use crate::plan::{Action, Parallel, STRANDS_MAX};
use crate::schedule::Recorder;
use crate::script::answer::StepAnswer;
use crate::target::WorldEvent;
use block::{Block, Made};
use order::{Operation, Ordered};

impl Execution<'_> {
    /// Makes the calls of a block and judges them.
    ///
    /// # Errors
    /// The divergence, if no order of the calls gives their answers.
    pub(crate) async fn parallel(&mut self, parallel: &Parallel) -> Result<StepAnswer, Stop> {
        check(parallel)?;
        self.check_frames()?;
        self.monitor.time(self.target.now());
        self.monitor.overlap_began();
        let handles = std::mem::take(&mut self.handles);
        let callers =
            (0..self.plan.actors.len()).map(|actor| (self.process(actor), self.token(actor)));
        let mut block = Block::new(parallel, callers.collect(), handles);
        let mut recorder = Recorder::new(parallel.schedule.scheduler());
        let called = self.target.call_all(&mut block, &mut recorder).await;
        let picks = recorder.into_picks();
        let (made, handles) = block.into_parts();
        self.handles = handles;
        called.map_err(Stop::HarnessFault)?;
        self.trace.record_value("schedule", self.target.now(), &picks);
        self.schedules.push(picks);
        let operations = self.operations(made)?;
        self.judge_overlapping(&operations)?;
        Ok(StepAnswer::Nothing)
    }

    /// The calls as operations, noted in the trace and in the statistics.
    fn operations(&mut self, made: Vec<Made>) -> Result<Vec<Operation>, Stop> {
        self.statistics.blocks += 1;
        self.statistics.overlaps += overlaps::of_most_mutated(&made, |actor, fd| {
            let state = &self.beliefs.first()?.state;
            state.key_of_fd(self.process(actor), fd)
        });
        let mut operations = Vec::new();
        for made in made {
            self.trace.record_value("call", made.began, &(made.strand, &made.call));
            self.trace.record_value("answer", made.ended, &made.answer);
            let what = || describe::call(&made.call);
            let observation =
                made.answer.map_err(|fault| self.malformed(made.actor, what(), fault))?;
            let (caller, call) = (self.caller(made.actor), made.call);
            let (began, ended) = (made.began, made.ended);
            let input = Input::Call { caller, call, began, ended, interrupted: false };
            self.note_call(made.actor, &input, &observation, false);
            let (actor, strand) = (made.actor, made.strand);
            let (invoked, returned) = (made.invoked, made.returned);
            operations.push(Operation { strand, actor, input, observation, invoked, returned });
        }
        Ok(operations)
    }

    fn judge_overlapping(&mut self, operations: &[Operation]) -> Result<(), Stop> {
        let events = self.target.take_events();
        if events.iter().any(is_disturbance) {
            let why = "a source died or stalled while calls overlapped";
            return Err(Stop::Indeterminate(why.to_owned()));
        }
        let (mut ends, mut longest) = (Vec::new(), Vec::new());
        for belief in self.beliefs.clone() {
            match order::search(&belief, operations)? {
                Ordered::Found { order, ends: more } => {
                    if ends.is_empty() {
                        self.note_order(belief.state.clone(), operations, &order);
                    }
                    ends.extend(more);
                }
                Ordered::None { prefix } if prefix.len() >= longest.len() => longest = prefix,
                Ordered::None { .. } => {}
            }
        }
        if ends.is_empty() {
            return Err(self.not_linearizable(operations, &longest));
        }
        self.replace_beliefs(ends, "calls that overlapped")?;
        self.tell_monitor(operations)?;
        self.settle_audits_in_any_order()?;
        self.environment(events)
    }

    /// What the wire monitor learns of the calls, whose frames it has judged by then.
    fn tell_monitor(&mut self, operations: &[Operation]) -> Result<(), Stop> {
        self.check_frames()?;
        self.monitor.time(self.target.now());
        for operation in operations {
            let Input::Call { call, caller, .. } = &operation.input else { continue };
            let expanded = alias::expanded(call, &caller.token);
            let call = expanded.as_ref().unwrap_or(call);
            self.monitor
                .overlapping_call(self.process(operation.actor), call, &operation.observation)
                .map_err(|violation| self.violated(&violation, describe::call(call)))?;
        }
        self.monitor.overlap_ended();
        Ok(())
    }

    /// Takes note of the calls in the order that was found for them.
    fn note_order(&mut self, mut state: State, operations: &[Operation], order: &[usize]) {
        for operation in order.iter().map(|place| &operations[*place]) {
            let Operation { input, observation, .. } = operation;
            let steps = state.step(input);
            let Some((step, next)) =
                steps.iter().find_map(|step| Some((step, step.accept(observation).ok()?)))
            else {
                return;
            };
            self.note_step(input, step);
            if let Some(history) = &mut self.history {
                let (input, observation) = (input.clone(), Some(observation.clone()));
                history.push(Happening { input, observation, raw: None });
            }
            state = next;
        }
    }

    /// Calls whose answers no order gives: the longest order of some of them, and the rest.
    fn not_linearizable(&self, operations: &[Operation], longest: &[usize]) -> Stop {
        let line = |place: usize| {
            let Operation { strand, actor, input, observation, invoked, returned } =
                &operations[place];
            let name = &self.plan.actors[*actor].name;
            let call = describe::input(input);
            format!("{name}.{strand} [{invoked}..{returned}] {call} -> {observation}")
        };
        let left = (0..operations.len()).filter(|place| !longest.contains(place));
        let got: Vec<String> = left.map(line).collect();
        let expected: Vec<String> = longest.iter().map(|place| line(*place)).collect();
        let expected = format!("{}\nand then one of the rest", expected.join("\n"));
        let what = "calls that overlap: no order of them gives their answers".to_owned();
        self.diverged(Kind::Order, None, what, &[], expected, got.join("\n"))
    }
}

/// Refuses a block that cannot be carried out, whoever made it.
fn check(parallel: &Parallel) -> Result<(), Stop> {
    let fault = |problem: &str| Err(Stop::HarnessFault(problem.to_owned()));
    if parallel.strands.len() > STRANDS_MAX {
        return fault("the plan has a block of too many strands");
    }
    let mut actions = parallel.strands.iter().flat_map(|strand| &strand.actions);
    if actions.all(Action::may_overlap) {
        return Ok(());
    }
    fault("the plan has something in a block that cannot overlap with anything")
}

fn is_disturbance(event: &WorldEvent) -> bool {
    matches!(
        event,
        WorldEvent::SourceDown(_) | WorldEvent::SourceStalled(_) | WorldEvent::ProtocolBroken(_)
    )
}
