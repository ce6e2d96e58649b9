//! One step of the model: what may be answered to an input, and what state follows.
//!
//! Dispatches a call to the chapter that states it. A call whose source may have died under it
//! has several steps: one as if nothing had happened, and EIO after each prefix of its requests
//! (P-08). A call whose decision depends on what this edition does not judge has one, without an
//! answer.

use crate::abi;
use crate::audit::AuditPattern;
use crate::audit_events::rejection;
use crate::coverage::{Covered, covers};
use crate::database::{HiveId, Map, Time};
use crate::errno::Errno;
use crate::front_door::{self, Operation, Results};
use crate::input::{Caller, Input};
use crate::outcome::Outcome;
use crate::resolution::{Contest, Purpose, Resolver, Viewer};
use crate::responses::Rejected;
use crate::state::{Hive, State};
use crate::{deletion, device, enumeration, key_fds, key_security, keys, sources, values};

/// One thing that may happen on an input.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which answers conform.
    pub outcome: Outcome,
    /// The requirements that decided it.
    pub covered: Covered,
    /// How contested the most contested resolution was, for calls that resolve a path or values.
    pub contest: Option<Contest>,
    /// The audit events that are emitted in its course, in order (§3.1).
    pub audit: Vec<AuditPattern>,
    pub(crate) next: State,
}

impl Step {
    /// The state after this step before anything is learnt from an answer. It is the whole result
    /// of an environment input, which has no answer.
    pub fn next(&self) -> &State {
        &self.next
    }
}

/// A call at work: the state as far as it has come, and what it has left behind.
pub(crate) struct Work<'a> {
    pub(crate) state: State,
    pub(crate) caller: &'a Caller,
    pub(crate) viewer: Viewer,
    /// When the call takes effect.
    pub(crate) time: Time,
    pub(crate) covered: Covered,
    pub(crate) contest: Option<Contest>,
    /// The audit events so far.
    pub(crate) audit: Vec<AuditPattern>,
    /// The response that ended the call, if a malformed one did.
    pub(crate) rejected: Rejected,
    /// Why this edition cannot say how the call ends, if it cannot.
    pub(crate) outside: Option<&'static str>,
    /// Where the answer goes, of a call that came as numbers and bytes.
    pub(crate) results: Results,
    /// Other answers that the text allows, which leave the state as it is.
    pub(crate) alternatives: Vec<Outcome>,
    /// Other answers that the text allows, with the state that goes with each.
    pub(crate) otherwise: Vec<(Outcome, State)>,
    interrupted: bool,
    /// The hives as the call found them.
    hives_before: Map<HiveId, Hive>,
    /// The states in which a death of the source may have left the call.
    prefixes: Vec<State>,
}

impl<'a> Work<'a> {
    fn new(state: &State, caller: &'a Caller, time: Time, interrupted: bool) -> Work<'a> {
        Work {
            state: state.clone(),
            caller,
            viewer: Viewer::of(&caller.token),
            time,
            covered: Covered::new(),
            contest: None,
            audit: Vec::new(),
            rejected: Rejected::default(),
            outside: None,
            results: Results::Writable,
            alternatives: Vec::new(),
            otherwise: Vec::new(),
            interrupted,
            hives_before: state.hives.clone(),
            prefixes: Vec::new(),
        }
    }

    /// Work that only looks, at no particular time.
    pub(crate) fn looking(state: &State, caller: &'a Caller) -> Work<'a> {
        Work::new(state, caller, Time::Within(0, 0), false)
    }

    /// Marks the point of a request to the hive's source.
    ///
    /// # Errors
    ///
    /// EIO if the source is Down (P-05).
    pub(crate) fn request(&mut self, hive: HiveId) -> Result<(), Errno> {
        if !self.state.is_active(hive) {
            covers!(self.covered, "ERR-03", "ERR-22", "FAIL-01", "REG-39");
            return Err(Errno::EIO);
        }
        if self.interrupted && self.prefixes.is_empty() {
            self.prefixes.push(self.state.clone());
        }
        Ok(())
    }

    /// Marks the point after a request that changed something in the hive, or after the
    /// allocation of a number for it.
    pub(crate) fn requested(&mut self, hive: HiveId) {
        if self.interrupted {
            self.may_have_ended_in(self.state.clone(), hive);
        }
    }

    /// Whether a source may have died during the call.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Notes a state in which a death of the source may have left the call, which changed
    /// something in the hive.
    pub(crate) fn may_have_ended_in(&mut self, mut state: State, hive: HiveId) {
        self.leave_uncounted(&mut state, hive);
        self.prefixes.push(state);
    }

    /// Leaves open whether the kernel still counted what the call did to a hive.
    pub(crate) fn leave_uncounted(&self, state: &mut State, hive: HiveId) {
        if let Some(before) = self.hives_before.get(&hive) {
            state.change_generation(hive, |_| before.generation.uncertain());
        }
    }

    /// Notes a resolution that the call depends on.
    pub(crate) fn contested(&mut self, contest: Contest) {
        self.contest = Some(self.contest.unwrap_or_default().max(contest));
    }

    /// Allocates a sequence number (§2.7).
    ///
    /// # Errors
    ///
    /// EOVERFLOW if none is left.
    pub(crate) fn allocate_sequence(&mut self) -> Result<u64, Errno> {
        let sequence = self.state.next_sequence;
        self.state.next_sequence = sequence.checked_add(1).ok_or(Errno::EOVERFLOW)?;
        Ok(sequence)
    }
}

impl State {
    /// Everything that may happen on `input`: one step where the outcome is determined.
    ///
    /// A [`Step`] of a call says by [`Step::accept`] whether an answer conforms and what state
    /// follows from it.
    pub fn step(&self, input: &Input) -> Vec<Step> {
        match input {
            Input::Environment(environment) => {
                sources::environment(self, environment).into_iter().collect()
            }
            Input::Device { source, token, call, at } => {
                vec![device::step(self, *source, token, call, *at)]
            }
            Input::Call { caller, call, began, ended, interrupted } => {
                let time = Time::Within(*began, *ended);
                let mut work = Work::new(self, caller, time, *interrupted);
                let result = perform(&mut work, &Operation::from(call));
                work.into_steps(result)
            }
            Input::RawCall { caller, call, memory, began, ended, interrupted } => {
                let time = Time::Within(*began, *ended);
                let mut work = Work::new(self, caller, time, *interrupted);
                let result = front_door::perform(&mut work, call, memory, perform);
                work.into_steps(result)
            }
        }
    }

    /// What resolution in one hive looks at.
    pub(crate) fn resolver<'a>(&'a self, hive: HiveId, viewer: &'a Viewer) -> Resolver<'a> {
        Resolver {
            database: self.database(hive),
            layers: &self.layers,
            viewer,
            next_sequence: self.next_sequence,
            limits: &self.limits,
            purpose: Purpose::Call,
        }
    }

    /// The same where the kernel looks for itself.
    pub(crate) fn kernel_resolver<'a>(&'a self, hive: HiveId, viewer: &'a Viewer) -> Resolver<'a> {
        Resolver { purpose: Purpose::Kernel, ..self.resolver(hive, viewer) }
    }
}

impl Work<'_> {
    fn into_steps(mut self, result: Result<Outcome, Errno>) -> Vec<Step> {
        if let (Err(Errno::EIO), Some((hive, malformed))) = (&result, self.rejected.0) {
            let event = rejection(&self.state, hive, malformed, &mut self.covered);
            self.audit.push(event);
        }
        let Work { state, covered, contest, audit, alternatives, otherwise, prefixes, .. } = self;
        let step = |outcome, audit, next| Step { outcome, covered, contest, audit, next };
        if let Some(words) = self.outside {
            return vec![step(Outcome::Outside(words), audit, state)];
        }
        // Where the call ended in another way, it may have come as far as its events or not.
        let mut possible = audit.clone();
        possible.iter_mut().for_each(|event| event.optional = true);
        let outcome = result.unwrap_or_else(Outcome::Failed);
        let mut steps = Vec::with_capacity(1 + alternatives.len() + prefixes.len());
        for alternative in alternatives {
            steps.push(step(alternative, possible.clone(), state.clone()));
        }
        for (outcome, next) in otherwise {
            steps.push(step(outcome, possible.clone(), next));
        }
        steps.insert(0, step(outcome, audit, state));
        for prefix in prefixes {
            let mut step = step(Outcome::Failed(Errno::EIO), possible.clone(), prefix);
            covers!(step.covered, "FAIL-02");
            step.next.enumerations = Map::new_sync();
            steps.push(step);
        }
        steps
    }
}

fn perform(work: &mut Work<'_>, operation: &Operation<'_>) -> Result<Outcome, Errno> {
    match *operation {
        Operation::OpenKey { parent, path, desired_access, flags } => {
            keys::open(work, parent, path, desired_access, flags)
        }
        Operation::CreateKey { parent, path, desired_access, flags, layer, transaction } => {
            abi::transaction_field(transaction)?;
            let create = keys::Create { desired_access, flags, layer, transaction };
            keys::create(work, parent, path, &create)
        }
        Operation::QueryValue { fd, name, transaction, data, layer } => {
            values::query(work, fd, name, transaction, data, layer)
        }
        Operation::SetValue {
            fd,
            name,
            value_type,
            data,
            layer,
            transaction,
            expected_sequence,
        } => {
            let write =
                values::Write { name, value_type, data, layer, transaction, expected_sequence };
            values::set(work, fd, &write)
        }
        Operation::DeleteValue { fd, name, layer, transaction } => {
            values::delete(work, fd, name, layer, transaction)
        }
        Operation::BlanketTombstone { fd, layer, set, transaction } => {
            values::blanket(work, fd, layer, set, transaction)
        }
        Operation::QueryValuesBatch { fd, buffer, transaction } => {
            enumeration::batch(work, fd, buffer, transaction)
        }
        Operation::EnumValues { fd, index, name, data, transaction } => {
            enumeration::values(work, fd, index, name, data, transaction)
        }
        Operation::EnumSubkeys { fd, index, name, transaction } => {
            enumeration::subkeys(work, fd, index, name, transaction)
        }
        Operation::QueryKeyInfo { fd, name } => enumeration::key_info(work, fd, name),
        Operation::DeleteKey { fd, layer, transaction } => {
            deletion::delete_key(work, fd, layer, transaction)
        }
        Operation::HideKey { fd, layer, transaction } => {
            deletion::hide_key(work, fd, layer, transaction)
        }
        Operation::GetSecurity { fd, security_info, buffer } => {
            key_security::get(work, fd, security_info, buffer)
        }
        Operation::SetSecurity { fd, security_info, descriptor, transaction } => {
            key_security::set(work, fd, security_info, descriptor, transaction)
        }
        Operation::Pass { fd, to } => key_fds::pass(work, fd, to),
        Operation::Flush { fd } => values::flush(work, fd),
        Operation::Close { fd } => key_fds::close(work, fd),
    }
}
