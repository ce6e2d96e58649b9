//! Calls that overlap, under execution: made by the target under a schedule, and then judged together.
//!
//! Between its invocation and its return each call takes effect at one moment; some order of these moments
//! has to give every answer (linearizability, design §4). What crosses the wire meanwhile is judged frame by
//! frame, since no frame belongs to one call for certain (P-445); audit events are compared with those of
//! the order that was found, in whatever order they came (P-446).

mod audits;
mod block;
mod deaths;
mod numbers;
mod overlaps;
mod tellings;

use registry_model::State;
use registry_model::input::Input;

use crate::alias;
use crate::belief::Belief;
use crate::describe;
use crate::divergence::{Kind, Stop};
use crate::execution::{Execution, count_contest};
use crate::linearizability;
use crate::linearizability::Prefix;
use crate::linearizability::registry::{Judgement, Linearized, Obstacle, RegistryInput, judge};
use crate::lockstep::Happening;
use crate::plan::{Action, ActorIndex, Parallel, STRANDS_MAX};
use crate::schedule::Recorder;
use crate::script::answer::StepAnswer;
use crate::target::WorldEvent;
use block::{Block, Deaths, Made};
use numbers::Requests;

/// Steps of the model that one block may take for each state that it may begin in.
const STEPS_MAX: u64 = 500_000;
/// The same for all states together.
const STEPS_OF_ALL_MAX: u64 = 1_000_000;

/// A call of a block; its process is the strand.
type Operation = linearizability::Operation<RegistryInput>;

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
        let hanging = self.hanging(&block);
        let (made, handles, deaths) = block.into_parts();
        self.handles = handles;
        called.map_err(Stop::HarnessFault)?;
        self.trace.record_value("schedule", self.target.now(), &picks);
        self.schedules.push(picks);
        if let Some(hanging) = hanging {
            return Err(hanging);
        }
        let mut events = self.target.take_events();
        if events.iter().any(is_disturbance) {
            let why = "a source stalled or broke the protocol while calls overlapped";
            return Err(Stop::Indeterminate(why.to_owned()));
        }
        let deaths = deaths::of_block(&events, &deaths);
        let requests = Requests::of(&self.checked_frames()?);
        let actors: Vec<ActorIndex> = made.iter().map(|made| made.actor).collect();
        let operations = self.operations(made, &requests, &deaths)?;
        if let Err(stop) = self.judge_overlapping(&operations) {
            self.keep_undecided(&operations);
            return Err(stop);
        }
        self.tell_monitor(&operations, &actors)?;
        self.settle_audits_in_any_order()?;
        for death in events.extract_if(.., |event| matches!(event, WorldEvent::SourceDown(_))) {
            self.witnessed(&death)?;
        }
        self.environment(events)?;
        Ok(StepAnswer::Nothing)
    }

    /// The divergence of calls that have not returned when nothing goes on any more.
    fn hanging(&self, block: &Block<'_>) -> Option<Stop> {
        let calls: Vec<String> = block
            .under_way()
            .map(|(strand, actor, call)| {
                let actor = &self.plan.actors[actor].name;
                format!("{strand} by {actor}: {}", describe::call(call))
            })
            .collect();
        if calls.is_empty() {
            return None;
        }
        let what = format!("calls of the block never returned:\n{}", calls.join("\n"));
        let (expected, got) = ("that each returns".to_owned(), "nothing".to_owned());
        Some(self.diverged(Kind::Hang, None, what, &[], expected, got))
    }

    /// The calls as operations, noted in the trace and in the statistics.
    fn operations(
        &mut self,
        made: Vec<Made>,
        requests: &Requests,
        deaths: &Deaths,
    ) -> Result<Vec<Operation>, Stop> {
        self.statistics.blocks += 1;
        self.statistics.overlaps += overlaps::of_most_mutated(&made, |actor, fd| {
            let state = &self.beliefs.first()?.state;
            state.key_of_fd(self.process(actor), fd)
        });
        let known: Vec<_> = made
            .iter()
            .map(|one| (tellings::invoked(one, &made), requests.number_of_call(one, &made)))
            .collect();
        let last = made.iter().map(|one| one.returned).max().unwrap_or_default();
        let mut operations = Vec::new();
        for (made, (invoked, number)) in made.into_iter().zip(known) {
            let may_be_cut_off = deaths::may_interrupt(deaths, &made, |fd| {
                self.beliefs.first()?.state.source_of_fd(self.process(made.actor), fd)
            });
            // What nobody has read was cut off before it changed anything, as if the source had been Down already.
            let interrupted = may_be_cut_off && requests.may_have_changed(&made.call);
            let Made { strand, actor, call, answer, returned, began, ended, .. } = made;
            self.trace.record_value("call", began, &(strand, &call));
            self.trace.record_value("answer", ended, &answer);
            let observation =
                answer.map_err(|fault| self.malformed(actor, describe::call(&call), fault))?;
            let caller = self.caller(actor);
            let input = Input::Call { caller, call, began, ended, interrupted };
            self.note_call(actor, &input, &observation, interrupted);
            let (observation, meets_death) = (Some(observation), may_be_cut_off);
            let operation = RegistryInput { input, observation, number, meets_death };
            let (process, returned) = (strand as u32, Some(returned));
            operations.push(linearizability::Operation { process, invoked, returned, operation });
        }
        operations.extend(deaths::operations(deaths, last));
        Ok(operations)
    }

    /// Keeps what may be believed after these calls in any order that gives their answers.
    fn judge_overlapping(&mut self, operations: &[Operation]) -> Result<(), Stop> {
        let (mut ends, mut farthest) = (Vec::new(), None::<(usize, Belief)>);
        let mut steps_left = STEPS_OF_ALL_MAX;
        for belief in self.beliefs.clone() {
            let initial = std::slice::from_ref(&belief.state);
            match judge(initial, operations, STEPS_MAX.min(steps_left), Prefix::Furthest) {
                Judgement::Linearizable(linearized) => {
                    if ends.is_empty() {
                        self.note_order(operations, &linearized);
                    }
                    let Linearized { states, noted, explored, .. } = *linearized;
                    steps_left = steps_left.saturating_sub(explored);
                    ends.extend(states.into_iter().map(|state| belief.after_block(&noted, state)));
                }
                Judgement::NotLinearizable(obstacle) => {
                    steps_left = steps_left.saturating_sub(obstacle.explored);
                    let length = obstacle.longest_prefix.len();
                    if farthest.as_ref().is_none_or(|(other, _)| length > *other) {
                        farthest = Some((length, belief));
                    }
                }
                Judgement::Undecided { explored } => {
                    let why = format!("no order of overlapping calls in {explored} steps");
                    return Err(Stop::Indeterminate(why));
                }
                Judgement::Outside(what) => return Err(Stop::Outside(what)),
            }
        }
        match farthest {
            Some((_, belief)) if ends.is_empty() => {
                Err(self.not_linearizable(operations, &belief.state))
            }
            _ => self.replace_beliefs(ends, "calls that overlapped"),
        }
    }

    /// What the wire monitor learns of the calls, whose frames it has judged by then.
    fn tell_monitor(
        &mut self,
        operations: &[Operation],
        actors: &[ActorIndex],
    ) -> Result<(), Stop> {
        self.monitor.time(self.target.now());
        for (operation, actor) in operations.iter().zip(actors) {
            let RegistryInput { input, observation, .. } = &operation.operation;
            let (Input::Call { call, caller, .. }, Some(observation)) = (input, observation) else {
                continue;
            };
            let expanded = alias::expanded(call, &caller.token);
            self.monitor
                .overlapping_call(
                    self.process(*actor),
                    expanded.as_ref().unwrap_or(call),
                    observation,
                )
                .map_err(|violation| self.violated(&violation, describe::call(call)))?;
        }
        self.monitor.overlap_ended();
        Ok(())
    }

    /// Takes note of an order that was found.
    fn note_order(&mut self, operations: &[Operation], linearized: &Linearized) {
        self.applied = linearized.noted.covered;
        for (place, contest) in &linearized.noted.contests {
            let input = &operations[*place].operation.input;
            count_contest(&mut self.statistics, input, Some(*contest));
        }
        if let Some(history) = &mut self.history {
            history.extend(linearized.order.iter().map(|place| {
                let RegistryInput { input, observation, .. } = operations[*place].operation.clone();
                Happening { input, observation, raw: None }
            }));
        }
    }

    /// Keeps calls for which no order was found, as they returned.
    fn keep_undecided(&mut self, operations: &[Operation]) {
        let Some(history) = &mut self.history else { return };
        history.extend(operations.iter().map(|operation| {
            let RegistryInput { input, observation, .. } = operation.operation.clone();
            Happening { input, observation, raw: None }
        }));
    }

    /// Calls whose answers no order gives: the longest order of some of them, and the one that does not
    /// come after it.
    fn not_linearizable(&self, operations: &[Operation], initial: &State) -> Stop {
        let initial = std::slice::from_ref(initial);
        let judgement = judge(initial, operations, STEPS_MAX, Prefix::Longest);
        let Judgement::NotLinearizable(obstacle) = judgement else {
            return Stop::HarnessFault(
                "calls that were refused have an order after all".to_owned(),
            );
        };
        let line = |place: usize| {
            let linearizability::Operation { process, invoked, returned, operation } =
                &operations[place];
            let returned = returned.map_or_else(String::new, |returned| returned.to_string());
            let (call, answer) = (describe::input(&operation.input), &operation.observation);
            let answer = answer.as_ref().map_or_else(String::new, describe::observation);
            format!("{process} from {invoked} to {returned}: {call} -> {answer}")
        };
        let Obstacle { longest_prefix, cannot_be_placed, expected, got, requirements, .. } =
            *obstacle;
        let order: Vec<String> = longest_prefix.iter().map(|place| line(*place)).collect();
        let what = format!(
            "calls that overlap, of which the last has no place behind the others:\n{}\n{}",
            order.join("\n"),
            line(cannot_be_placed)
        );
        self.diverged(Kind::Order, None, what, &requirements, expected, got)
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
    matches!(event, WorldEvent::SourceStalled(_) | WorldEvent::ProtocolBroken(_))
}
