//! One plan under execution: the target and the model side by side, call by call.
//!
//! Keeps the set of beliefs that agree with everything observed so far. It has one member unless a
//! call was interrupted by the death of a source. Knows nothing of actions (`expand`), of why a plan
//! was made, and of what audit events say (`audited`).

mod counting;

use std::collections::{BTreeMap, BTreeSet};

use registry_model::coverage::Covered;
use registry_model::errno::Errno;
use registry_model::input::{Call, Caller, Environment, Fd, Input, ProcessId, SourceId};
use registry_model::observation::Observation;
use registry_model::security::Token;
use registry_model::{Outcome, State, Step as ModelStep};

pub(crate) use self::counting::count_contest;
use crate::alias;
use crate::belief::Belief;
use crate::describe;
use crate::divergence::{Divergence, Kind, Stop};
use crate::lockstep::{Happening, Options, RawHappening};
use crate::plan::{ActorIndex, Fault, Handle, KeyReference, Plan};
use crate::power::{self, Power};
use crate::registrations::Devices;
use crate::script::answer::StepAnswer;
use crate::situations::Surroundings;
use crate::statistics::Statistics;
use crate::streams::Streams;
use crate::target::{Frame, RawCall, Target, WorldEvent};
use crate::tokens::Tokens;
use crate::trace::Trace;
use crate::typed;
use crate::wire::{Transcript, Violation, WireMonitor};

/// Beyond this many states that agree with what was seen, the verdict is "indeterminate".
const STATES_MAX: usize = 16_384;

/// What was seen of a key when someone looked for changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// The last write time, in nanoseconds since the Unix epoch.
    pub(crate) written: u64,
    /// The generation of the hive.
    pub(crate) generation: u64,
}

/// A plan, its target, and what is believed of the target.
pub struct Execution<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) target: &'a mut dyn Target,
    /// Everything that agrees with the observations. Never empty.
    pub(crate) beliefs: Vec<Belief>,
    /// The tokens of the actors.
    pub(crate) tokens: Tokens,
    pub(crate) statistics: Statistics,
    pub(crate) trace: Trace,
    /// Position in the plan, for reports.
    pub(crate) step: usize,
    pub(crate) handles: Vec<BTreeMap<Handle, Fd>>,
    /// What each actor saw of a key when it last looked for changes.
    pub(crate) looks: Vec<BTreeMap<KeyReference, Look>>,
    /// Whether an SD may have come from anywhere but inheritance.
    pub(crate) is_secured: bool,
    /// What calls are counted by, if they are.
    surroundings: Option<Surroundings>,
    /// Sources of the plan that are dead now.
    pub(crate) down: BTreeSet<SourceId>,
    pub(crate) devices: Devices,
    pub(crate) streams: Streams,
    pub(crate) power: Power,
    processes: Vec<ProcessId>,
    pub(crate) monitor: WireMonitor,
    /// What the model has marked in the last step that was allowed.
    pub(crate) applied: Covered,
    /// The audit events of the step so far, in words.
    pub(crate) audits: Vec<String>,
    /// What happened so far, if it is recorded.
    pub(crate) history: Option<Vec<Happening>>,
    /// What the kernel sends, if it is recorded.
    pub(crate) transcript: Option<Transcript>,
    /// Who went on at each choice of each block.
    pub(crate) schedules: Vec<Vec<u32>>,
}

/// What an execution leaves.
pub(crate) struct Finished {
    pub(crate) statistics: Statistics,
    pub(crate) trace: Trace,
    /// Those that agree with everything seen.
    pub(crate) states: Vec<State>,
    /// What happened, if it was recorded.
    pub(crate) history: Vec<Happening>,
}

impl<'a> Execution<'a> {
    /// Brings the target up and the model to the same point.
    ///
    /// # Errors
    /// A divergence on the wire while the sources register.
    pub async fn start(
        plan: &'a Plan,
        target: &'a mut dyn Target,
        options: Options,
    ) -> Result<Execution<'a>, Stop> {
        let mut execution = Execution {
            plan,
            target,
            beliefs: vec![Belief::at_first()],
            tokens: Tokens::of_actors(&plan.actors),
            statistics: Statistics::default(),
            trace: if options.record_trace { Trace::keeping_events() } else { Trace::default() },
            step: 0,
            handles: vec![BTreeMap::new(); plan.actors.len()],
            looks: vec![BTreeMap::new(); plan.actors.len()],
            is_secured: false,
            surroundings: options.record_situations.then(Surroundings::default),
            down: BTreeSet::new(),
            devices: Devices::default(),
            streams: Streams::new(),
            power: Power::default(),
            processes: Vec::new(),
            monitor: WireMonitor::new(),
            applied: Covered::new(),
            audits: Vec::new(),
            history: options.record.then(Vec::new),
            transcript: options.record_requests.then(|| Transcript::new(plan.sources.len())),
            schedules: Vec::new(),
        };
        if power::may_fail(plan) {
            execution.step_environment(Environment::PowerMayFail)?;
        }
        let events = execution.target.start(&plan.sources).await.map_err(Stop::HarnessFault)?;
        execution.environment(events)?;
        execution.processes = plan.actors.iter().map(|_| execution.target.new_process()).collect();
        Ok(execution)
    }

    /// Makes a call and checks its answer.
    ///
    /// # Errors
    /// The divergence, if no model state allows the answer.
    pub async fn call(&mut self, actor: ActorIndex, call: Call) -> Result<Observation, Stop> {
        self.monitor.time(self.target.now());
        self.monitor.call_began_as(&call);
        let (answer, began) = self.unchecked_call(actor, &call).await;
        let ended = self.target.now();
        let observation =
            answer.map_err(|fault| self.malformed(actor, describe::call(&call), fault))?;
        let raw = self.history.is_some().then(|| self.raw_happening(actor, &call));
        self.judge(actor, observation, raw, |caller, interrupted| Input::Call {
            caller,
            call,
            began,
            ended,
            interrupted,
        })
    }

    /// Checks the answer of a call that was just made. `input` makes the model's input of the
    /// caller and of whether a source died during the call.
    pub(crate) fn judge(
        &mut self,
        actor: ActorIndex,
        observation: Observation,
        raw: Option<RawHappening>,
        input: impl FnOnce(Caller, bool) -> Input,
    ) -> Result<Observation, Stop> {
        let events = self.target.take_events();
        self.judge_broken_frames(&events)?;
        self.foretell_stalls(&events)?;
        // What a disk refuses fails what its source was asked for, and changes nothing (P-453).
        let interrupted = events
            .iter()
            .any(|event| matches!(event, WorldEvent::SourceDown(_) | WorldEvent::DiskFailed(_)));
        let input = input(self.caller(actor), interrupted);
        if let Some(history) = &mut self.history {
            let observation = Some(observation.clone());
            history.push(Happening { input: input.clone(), observation, raw });
        }
        self.note_call(actor, &input, &observation, interrupted);
        self.check(Some(actor), &input, &observation)?;
        self.check_frames()?;
        // A call that times out has not asked for all that it needed.
        let is_cut_off = observation == Observation::Failed(Errno::ETIMEDOUT);
        if is_cut_off {
            self.monitor.gave_up();
        }
        let is_stalling = events.iter().any(|event| matches!(event, WorldEvent::SourceStalled(_)));
        let is_cut_off = interrupted || is_cut_off || is_stalling;
        self.check_call(actor, &input, &observation, is_cut_off)?;
        self.settle_audits(Some(actor), || describe::input(&input))?;
        self.environment(events)?;
        Ok(observation)
    }

    /// Checks what the call sent; its frames have been seen.
    fn check_call(
        &mut self,
        actor: ActorIndex,
        input: &Input,
        observation: &Observation,
        interrupted: bool,
    ) -> Result<(), Stop> {
        let process = self.processes[actor];
        self.monitor.time(self.target.now());
        let Input::Call { call, caller, .. } = input else {
            let closed = match input {
                Input::RawCall { call: RawCall::Close { fd }, .. } => Some(*fd),
                _ => None,
            };
            self.monitor.raw_call_ended(process, closed, observation);
            return Ok(());
        };
        let expanded = alias::expanded(call, &caller.token);
        self.monitor
            .call_ended(process, expanded.as_ref().unwrap_or(call), observation, interrupted)
            .map_err(|violation| self.violated(&violation, describe::call(call)))
    }

    /// Makes a call that the model is not asked about. Returns the answer and when it began.
    pub(crate) async fn unchecked_call(
        &mut self,
        actor: ActorIndex,
        call: &Call,
    ) -> (Result<Observation, typed::Malformed>, u64) {
        let mut encoded = typed::encode(call);
        let memory = std::mem::take(&mut encoded.memory);
        let began = self.target.now();
        let token = self.tokens.of(actor);
        let process = self.processes[actor];
        let (result, memory) = self.target.call(process, token, encoded.call.clone(), memory).await;
        let answer = encoded.decode(result, &memory);
        let ended = self.target.now();
        self.trace.record_value("call", began, call);
        self.trace.record_value("answer", ended, &answer);
        (answer, began)
    }

    /// Makes a fault happen. A source that starts again answers as its registration is answered;
    /// a record says whether it could be stored.
    ///
    /// # Errors
    /// A divergence of a registration or on the wire, or a fault that the target cannot make.
    pub async fn fault(&mut self, fault: &Fault) -> Result<StepAnswer, Stop> {
        self.statistics.faults += 1;
        let now = self.target.now();
        self.trace.record_value("fault", now, fault);
        let mut events = self.target.fault(fault).await.map_err(Stop::HarnessFault)?;
        if matches!(fault, Fault::ReleaseSource { .. }) {
            // It may have died over what the kernel asked then, or another.
            events.extend(self.target.take_events());
        }
        self.power.faulted(fault);
        let answer = match fault {
            Fault::StoreEntry(_) if events.is_empty() => StepAnswer::NotStored,
            Fault::RestartSource { .. } | Fault::RestartSourceAs { .. } => events
                .iter()
                .find_map(answer_of_start)
                .map_or(StepAnswer::Nothing, StepAnswer::Observation),
            _ => StepAnswer::Nothing,
        };
        self.environment(events)?;
        Ok(answer)
    }

    /// Tells the model of stalls that began during the call which it is about to be told of.
    fn foretell_stalls(&mut self, events: &[WorldEvent]) -> Result<(), Stop> {
        for event in events {
            if let WorldEvent::SourceStalled(source) = event {
                self.step_environment(Environment::SourceStalls { source: *source })?;
            }
        }
        Ok(())
    }

    /// Tells the model what happened to the world.
    pub(crate) fn environment(&mut self, events: Vec<WorldEvent>) -> Result<(), Stop> {
        let at = self.target.now();
        self.judge_broken_frames(&events)?;
        for event in &events {
            if let WorldEvent::SourceDidNotStart { source, problem } = event {
                return Err(self.did_not_start(*source, problem));
            }
        }
        let is_power_lost = events.contains(&WorldEvent::PowerLost);
        let dying: BTreeSet<SourceId> = events
            .iter()
            .filter_map(|event| match event {
                WorldEvent::SourceDown(source) => Some(*source),
                _ => None,
            })
            .collect();
        let mut loss = if is_power_lost { Some(self.power_lost(&events)?) } else { None };
        for event in events {
            self.witnessed(&event)?;
            let environment = match event {
                WorldEvent::ProtocolBroken(_)
                | WorldEvent::PowerFailed(_)
                | WorldEvent::DiskFailed(_)
                | WorldEvent::SourceDidNotStart { .. } => continue,
                WorldEvent::SourceDown(source) => Environment::SourceDown { source },
                WorldEvent::SourceStalled(source) => Environment::SourceStalled { source },
                WorldEvent::SourceReleased(source) => {
                    Environment::SourceReleased { source, at, dying: dying.clone() }
                }
                WorldEvent::Rebooted => Environment::Reboot,
                WorldEvent::PowerLost => loss.take().unwrap_or(Environment::Reboot),
                WorldEvent::EntryStored { entry, .. } => Environment::StoreEntry(entry),
                WorldEvent::MaximumFalsified { source, max_sequence } => {
                    Environment::FalseMaximum { source, max_sequence }
                }
                WorldEvent::CommitRefused { source, refusal } => {
                    Environment::RefusedCommit { source, refusal }
                }
                WorldEvent::TransactionsChanged { source, is_supported } => {
                    Environment::TransactionSupport { source, is_supported }
                }
                WorldEvent::SnapshotsChanged { source, is_supported } => {
                    Environment::SnapshotSupport { source, is_supported }
                }
                WorldEvent::SourceStarted(started) => {
                    self.source_started(&started)?;
                    continue;
                }
            };
            self.step_environment(environment)?;
        }
        if self.beliefs.iter().any(|belief| belief.state.awaits_answers()) {
            self.step_environment(Environment::TimePasses { at: self.target.now() })?;
        }
        self.check_frames()?;
        self.settle_audits(None, || "what happened to the world".to_owned())
    }

    /// Takes every belief through something that happened to the world.
    fn step_environment(&mut self, environment: Environment) -> Result<(), Stop> {
        let is_boot = matches!(environment, Environment::Reboot | Environment::PowerLoss { .. });
        let input = Input::Environment(environment);
        if let Some(history) = &mut self.history {
            history.push(Happening { input: input.clone(), observation: None, raw: None });
        }
        let mut next = Vec::new();
        for belief in &self.beliefs {
            for step in belief.state.step(&input) {
                if let Outcome::Outside(what) = &step.outcome {
                    return Err(Stop::Outside((*what).to_owned()));
                }
                if next.is_empty() {
                    self.applied = step.covered;
                }
                let mut after = belief.after(&step, step.next().clone());
                if is_boot {
                    after.names = after.names.after_reboot();
                }
                next.push(after);
            }
        }
        self.replace_beliefs(next, "an environment step")
    }

    /// Tells everybody but the model of an event.
    pub(crate) fn witnessed(&mut self, event: &WorldEvent) -> Result<(), Stop> {
        self.trace.record_value("event", self.target.now(), event);
        self.note(event)
    }

    /// Tells the bookkeeping and the wire monitor of an event.
    fn note(&mut self, event: &WorldEvent) -> Result<(), Stop> {
        if let Some(surroundings) = &mut self.surroundings {
            surroundings.note(event);
        }
        match event {
            WorldEvent::SourceDown(source) => {
                // What crossed before the death belongs to the old connection.
                self.check_frames()?;
                self.monitor.connection_closed(*source);
                self.down.insert(*source);
            }
            WorldEvent::SourceStarted(started) => {
                if started.refused.is_none() {
                    self.down.remove(&started.source);
                }
            }
            WorldEvent::EntryStored { source, entry } => {
                self.is_secured = true;
                self.monitor.stored(*source, &entry.record);
            }
            WorldEvent::MaximumFalsified { source, .. } => self.monitor.falsified(*source),
            WorldEvent::SourceStalled(source) => self.monitor.stalled(*source),
            WorldEvent::SourceReleased(source) => {
                self.check_frames()?;
                self.monitor.gave_up();
                self.monitor.time(self.target.now());
                self.monitor.released(*source);
            }
            WorldEvent::CommitRefused { .. }
            | WorldEvent::ProtocolBroken(_)
            | WorldEvent::SourceDidNotStart { .. }
            | WorldEvent::TransactionsChanged { .. }
            | WorldEvent::SnapshotsChanged { .. } => {}
            WorldEvent::PowerFailed(_) => {
                self.power.failed();
                self.statistics.power_losses_within += 1;
            }
            WorldEvent::DiskFailed(_) => self.statistics.disk_failures += 1,
            WorldEvent::Rebooted | WorldEvent::PowerLost => {
                self.power.is_back();
                self.monitor.rebooted();
                self.down.clear();
                self.devices.rebooted();
                self.tokens.rebooted();
                for handles in &mut self.handles {
                    handles.clear();
                }
                self.processes =
                    self.plan.actors.iter().map(|_| self.target.new_process()).collect();
            }
        }
        Ok(())
    }

    /// Keeps the beliefs that allow the observation.
    pub(crate) fn check(
        &mut self,
        actor: Option<ActorIndex>,
        input: &Input,
        observation: &Observation,
    ) -> Result<(), Stop> {
        let mut next = Vec::new();
        let mut refused: Vec<ModelStep> = Vec::new();
        for belief in &self.beliefs {
            for step in belief.state.step(input) {
                if let Outcome::Outside(what) = &step.outcome {
                    return Err(Stop::Outside((*what).to_owned()));
                }
                match step.accept(observation) {
                    Ok(state) => {
                        if next.is_empty() {
                            self.applied = step.covered;
                            count_contest(&mut self.statistics, input, step.contest);
                        }
                        next.push(belief.after(&step, state));
                    }
                    Err(_) => refused.push(step),
                }
            }
        }
        if !next.is_empty() {
            return self.replace_beliefs(next, "a call");
        }
        let requirements: BTreeSet<&'static str> =
            refused.iter().flat_map(|step| step.covered.iter()).collect();
        let mut expected: Vec<String> =
            refused.iter().map(|step| describe::outcome(&step.outcome)).collect();
        expected.dedup();
        Err(self.diverged(
            Kind::Answer,
            actor,
            describe::input(input),
            &requirements.into_iter().collect::<Vec<_>>(),
            expected.join("\nor "),
            describe::observation(observation),
        ))
    }

    pub(crate) fn replace_beliefs(
        &mut self,
        mut next: Vec<Belief>,
        what: &str,
    ) -> Result<(), Stop> {
        if next.is_empty() {
            return Err(Stop::HarnessFault(format!("the model has no step for {what}")));
        }
        if next.len() > 1 {
            let mut alike: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
            let mut distinct: Vec<Belief> = Vec::new();
            for belief in next {
                if distinct.len() > STATES_MAX {
                    break;
                }
                let known = alike.entry(belief.state.fingerprint()).or_default();
                if known.iter().all(|other| distinct[*other] != belief) {
                    known.push(distinct.len());
                    distinct.push(belief);
                }
            }
            next = distinct;
        }
        if next.len() > STATES_MAX {
            return Err(Stop::Indeterminate(format!(
                "more than {STATES_MAX} states agree with what was seen at step {}",
                self.step
            )));
        }
        self.beliefs = next;
        Ok(())
    }

    pub(crate) fn check_frames(&mut self) -> Result<(), Stop> {
        self.checked_frames().map(drop)
    }

    /// Checks the frames since the last time, and returns them.
    pub(crate) fn checked_frames(&mut self) -> Result<Vec<Frame>, Stop> {
        let now = self.target.now();
        let frames = self.target.take_frames();
        for frame in &frames {
            self.trace.record("frame", now, &frame.bytes);
            if let Some(transcript) = &mut self.transcript {
                transcript.observe(frame);
            }
            if let Err(violation) = self.monitor.observe(frame) {
                return Err(self.violated(&violation, describe::text(&frame.bytes)));
            }
        }
        self.judge_source_calls()?;
        Ok(frames)
    }

    /// The requests that the kernel sent since the last time of asking, if they are recorded.
    pub(crate) fn take_requests(&mut self) -> Vec<String> {
        self.transcript.as_mut().map(Transcript::take).unwrap_or_default()
    }

    /// Checks that every request that had to be sent by now was sent.
    pub(crate) fn check_quiescence(&mut self) -> Result<(), Stop> {
        self.check_frames()?;
        self.monitor.time(self.target.now());
        match self.monitor.quiescent() {
            Ok(()) => Ok(()),
            Err(violation) => Err(self.violated(&violation, "no such message".to_owned())),
        }
    }

    pub(crate) fn violated(&self, violation: &Violation, got: String) -> Stop {
        let requirements: Vec<&'static str> = violation.requirements().collect();
        let what = format!("a message on the wire, {violation}");
        let expected = "a message that keeps the rule".to_owned();
        self.diverged(Kind::Wire, None, what, &requirements, expected, got)
    }

    /// An answer whose parts contradict each other.
    pub(crate) fn malformed(
        &self,
        actor: ActorIndex,
        what: String,
        malformed: typed::Malformed,
    ) -> Stop {
        let expected = "an answer whose parts fit together".to_owned();
        self.diverged(Kind::Malformed, Some(actor), what, &[], expected, malformed.0)
    }

    /// A divergence here and now.
    pub(crate) fn diverged(
        &self,
        kind: Kind,
        actor: Option<ActorIndex>,
        what: String,
        requirements: &[&'static str],
        expected: String,
        got: String,
    ) -> Stop {
        Stop::Divergence(Box::new(Divergence {
            kind,
            step: self.step,
            call_number: self.statistics.calls,
            actor: actor.map_or_else(String::new, |actor| self.plan.actors[actor].name.clone()),
            what,
            requirements: requirements.to_vec(),
            expected,
            got,
            split_at_step: None,
        }))
    }

    /// What is left of it, the statistics with the wire monitor's marks.
    pub(crate) fn finish(self) -> Finished {
        let mut statistics = self.statistics;
        let covered = self.beliefs.first().map(|belief| belief.covered).unwrap_or_default();
        statistics.marked_by_model.add(&covered);
        statistics.marked_by_monitor.extend(self.monitor.covered());
        let states = self.beliefs.into_iter().map(|belief| belief.state).collect();
        let history = self.history.unwrap_or_default();
        Finished { statistics, trace: self.trace, states, history }
    }

    /// Whether what happens is kept.
    pub(crate) fn is_recorded(&self) -> bool {
        self.history.is_some()
    }

    pub(crate) fn process(&self, actor: ActorIndex) -> ProcessId {
        self.processes[actor]
    }

    fn raw_happening(&self, actor: ActorIndex, call: &Call) -> RawHappening {
        let typed::Encoded { call, memory, .. } = typed::encode(call);
        RawHappening { process: self.processes[actor], token: self.token(actor), call, memory }
    }

    /// The token that an actor's calls are made with.
    pub(crate) fn token(&self, actor: ActorIndex) -> Token {
        self.tokens.of(actor).clone()
    }

    pub(crate) fn caller(&self, actor: ActorIndex) -> Caller {
        Caller { process: self.processes[actor], token: self.token(actor) }
    }
}

/// What a source that started was answered.
fn answer_of_start(event: &WorldEvent) -> Option<Observation> {
    match event {
        WorldEvent::SourceStarted(started) => {
            Some(started.refused.map_or(Observation::Done, Observation::Failed))
        }
        _ => None,
    }
}
