//! One step of the model: what may be answered to an input, and what state follows.
//!
//! Dispatches a call to the chapter that states it. A call whose source may have died under it
//! has several steps: one as if nothing had happened, and EIO after each prefix of its requests
//! (P-08). A call whose decision depends on what this edition does not judge has one, without an
//! answer.

mod endings;
mod waits;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::endings::Endings;
use self::endings::Unstarted;
use self::waits::Refusal;
pub(crate) use self::waits::{Asked, FormerLock, Locked};
use crate::abi;
use crate::audit::AuditPattern;
use crate::audit_events::rejection;
use crate::backup::{self, streams};
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId, Map, Time};
use crate::errno::Errno;
use crate::front_door::{self, Operation, Results};
use crate::in_flight::{Kind, Sent};
use crate::input::{Caller, Environment, Fd, Input, UnixTime};
use crate::outcome::Outcome;
use crate::resolution::{Contest, Purpose, Resolver, Viewer};
use crate::responses::Rejected;
use crate::stalls::StallEnding;
use crate::state::{Hive, State};
use crate::transactions::{TransactionId, calls, marks};
use crate::{
    deletion, device, down_marks, enumeration, key_fds, key_security, keys, sources, values,
    watches,
};

/// One thing that may happen on an input.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which answers conform.
    pub outcome: Outcome,
    /// The requirements that decided it.
    pub covered: Covered,
    /// How contested the most contested resolution was, for calls that resolve a path or values.
    pub contest: Option<Contest>,
    /// The audit events that are emitted in its course, in order but for those of one reading of the
    /// parameters (§3.1, P-163).
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
    /// What the call has shown as well if it succeeds.
    pub(crate) if_done: Covered,
    /// The same if it fails as it would, with no time-out in its way.
    pub(crate) if_refused: Covered,
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
    /// The transaction that the call names, once that has been looked at. Requests are sent in it if it
    /// is bound.
    pub(crate) transaction: Option<TransactionId>,
    /// What the call is to the sources.
    pub(crate) kind: Kind,
    /// The transaction that the call commits.
    pub(crate) committing: Option<TransactionId>,
    /// Whether the call has bound its transaction, for marks.
    pub(crate) is_binding: bool,
    /// The last symbolic link that the walk has followed.
    pub(crate) followed_link: Option<(HiveId, Guid)>,
    /// The key of the parent fd that the path begins at.
    pub(crate) walk_start: Option<Guid>,
    /// What a call comes to whose source dies from now on.
    pub(crate) fails_as: Outcome,
    /// Whether the call has to wait for longer than it took.
    waits: bool,
    /// Transactions whose lifetime may have ended by the time that this call looked at them, and which
    /// were taken to be alive.
    doubts: Vec<TransactionId>,
    /// Those that are taken to be alive from the beginning.
    alive: BTreeSet<TransactionId>,
    /// The hives in which what is asked only to tell of a change was refused, or a part of it (P-614).
    unread: BTreeMap<HiveId, Refusal>,
    interrupted: bool,
    /// How long a request of the call waits at most: as it was when the call began (P-169, P-240).
    pub(crate) request_timeout_ms: u64,
    /// The hives as the call found them.
    hives_before: Map<HiveId, Hive>,
    /// The numbering as the call found it.
    numbering_before: (u64, Option<u64>),
    /// The states in which a death of the source may have left the call.
    prefixes: Vec<(Outcome, State)>,
    /// The endings of a transfer that have none of its events.
    unstarted: Unstarted,
    /// The points at which a source may have stopped answering.
    pub(crate) stall_endings: Vec<StallEnding>,
    /// Whether its requests have had a slot, if it has met a source that does not answer.
    pub(crate) sent: Option<Sent>,
    /// The state before the last request, if a source may stop answering.
    pub(crate) before_request: Option<State>,
}

pub(crate) const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

impl<'a> Work<'a> {
    fn new(state: &State, caller: &'a Caller, time: Time, interrupted: bool) -> Work<'a> {
        Work {
            state: state.clone(),
            caller,
            viewer: Viewer::of(&caller.token),
            time,
            covered: Covered::new(),
            if_done: Covered::new(),
            if_refused: Covered::new(),
            contest: None,
            audit: Vec::new(),
            rejected: Rejected::default(),
            outside: None,
            results: Results::Writable,
            alternatives: Vec::new(),
            otherwise: Vec::new(),
            transaction: None,
            kind: Kind::Other,
            committing: None,
            is_binding: false,
            followed_link: None,
            walk_start: None,
            fails_as: Outcome::Failed(Errno::EIO),
            waits: false,
            doubts: Vec::new(),
            alive: BTreeSet::new(),
            unread: BTreeMap::new(),
            interrupted,
            request_timeout_ms: u64::from(state.limits.request_timeout_ms),
            hives_before: state.hives.clone(),
            numbering_before: state.numbering(),
            prefixes: Vec::new(),
            unstarted: Unstarted::default(),
            stall_endings: Vec::new(),
            sent: None,
            before_request: None,
        }
    }

    /// Work that the kernel does for nobody, at one moment.
    pub(crate) fn of_the_kernel(state: &State, nobody: &'a Caller, at: UnixTime) -> Work<'a> {
        Work::new(state, nobody, Time::At(at), !state.dying.is_empty())
    }

    /// Work that only looks, at no particular time.
    pub(crate) fn looking(state: &State, caller: &'a Caller) -> Work<'a> {
        Work::new(state, caller, Time::Within(0, 0), false)
    }

    /// Marks the point at which the call needs the hive's source, before it asks that for anything.
    ///
    /// # Errors
    ///
    /// EIO if the source is Down (P-05).
    pub(crate) fn reach(&mut self, hive: HiveId) -> Result<(), Errno> {
        if !self.state.is_active(hive) {
            covers!(self.covered, "ERR-03", "ERR-22", "FAIL-01", "REG-39");
            return Err(Errno::EIO);
        }
        if self.interrupted && self.prefixes.is_empty() && !self.state.is_stalled(hive) {
            self.prefixes.push((self.fails_as.clone(), self.state.clone()));
        }
        Ok(())
    }

    /// Marks the point of a request to the hive's source.
    ///
    /// # Errors
    ///
    /// EIO if the source is Down (P-05), ETIMEDOUT if it does not answer. Where it may go while the call waits,
    /// EIO is another end of it.
    pub(crate) fn request(&mut self, hive: HiveId) -> Result<(), Errno> {
        self.request_without_lock(hive)?;
        self.may_be_busy_for_volatile_data(hive);
        Ok(())
    }

    /// The same of a request that waits for no write lock whatever the hive holds.
    ///
    /// # Errors
    ///
    /// As of [`Work::request`].
    pub(crate) fn request_without_lock(&mut self, hive: HiveId) -> Result<(), Errno> {
        self.reach(hive)?;
        if self.state.is_stalled(hive) {
            return Err(self.unanswered(hive));
        }
        if self.state.slot_of(hive).is_some_and(|slot| slot.has_timed_out.0) {
            covers!(self.covered, "SRC-03");
        }
        self.may_stall_at(hive);
        Ok(())
    }

    /// From when to when the call took.
    pub(crate) fn span(&self) -> (UnixTime, UnixTime) {
        match self.time {
            Time::Within(began, ended) => (began, ended),
            Time::At(at) => (at, at),
        }
    }

    /// No call ends as this one does when it did.
    pub(crate) fn ends_at_no_such_time(&mut self) {
        self.waits = true;
    }

    /// The transaction of the call, if it has contents of its own in this hive.
    pub(crate) fn own_contents(&self, hive: HiveId) -> Option<TransactionId> {
        self.transaction.filter(|id| self.state.lock_holder(hive) == Some(*id))
    }

    /// The call depends on whether a transaction is alive. Where its lifetime may have ended it is taken
    /// to be alive here, and to have expired in a step of its own.
    pub(crate) fn settle(&mut self, id: TransactionId) {
        let (began, ended) = self.span();
        let Some(transaction) = self.state.transactions.get_mut(&id) else { return };
        if transaction.may_have_expired(ended) {
            transaction.outlives(began);
            if self.alive.insert(id) {
                self.doubts.push(id);
            }
        }
    }

    /// Whether the lifetime of a transaction may end during the call.
    pub(crate) fn is_doubtful(&self, id: TransactionId) -> bool {
        self.alive.contains(&id)
    }

    /// Marks the point after a request that changed something in the hive.
    pub(crate) fn requested(&mut self, hive: HiveId) {
        self.may_stall_after(hive);
        if !self.interrupted {
            return;
        }
        if self.transaction.is_some() {
            // Nothing of the hive has changed.
            self.may_have_ended_uncounted_in(self.state.clone());
        } else {
            self.may_have_ended_in(self.state.clone(), hive);
        }
    }

    /// Whether a source may have died during the call.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Whether the source of this hive may have: over what the kernel does of its own it is known whose does (P-615).
    pub(crate) fn may_lose(&self, hive: HiveId) -> bool {
        self.interrupted && (self.state.dying.is_empty() || self.state.is_dying(hive))
    }

    /// Reports the malformed response that ended the call, if one did.
    pub(crate) fn report_rejected(&mut self) {
        if let Some((hive, malformed)) = self.rejected.0.take() {
            let event = rejection(&self.state, hive, malformed, &mut self.covered);
            self.audit.push(event);
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
        self.state.allocate_sequence()
    }
}

impl State {
    /// Everything that may happen on `input`: one step where the outcome is determined.
    ///
    /// A [`Step`] of a call says by [`Step::accept`] whether an answer conforms and what state
    /// follows from it.
    pub fn step(&self, input: &Input) -> Vec<Step> {
        if !self.awaits_answers() {
            return self.step_now(input);
        }
        let answered = self.before(input);
        let steps =
            answered.iter().flat_map(|arriving| arriving.then(arriving.state.step_now(input)));
        without_waits(steps.collect())
    }

    /// The same where all is answered by now that will be.
    fn step_now(&self, input: &Input) -> Vec<Step> {
        match input {
            Input::Environment(environment) => {
                let mut steps = sources::environment(self, environment);
                if let Environment::SourceReleased { at, .. } = environment {
                    steps.iter_mut().for_each(|step| step.next.note_freed(self, (0, *at)));
                }
                steps
            }
            Input::Device { source, token, call, at } => {
                let mut now = self.clone();
                now.pass_time(*at);
                let mut steps = device::step(&now, *source, token, call, *at);
                // What a registration tells, the layers have changed.
                for Step { next, .. } in &mut steps {
                    next.note_ends(self);
                    next.note_freed(self, (0, *at));
                }
                steps
            }
            Input::Call { caller, call, began, ended, interrupted } => {
                let time = Time::Within(*began, *ended);
                self.steps_in_time((*began, *ended), |Start { state, alive, unread }| {
                    let mut work = Work::new(state, caller, time, *interrupted);
                    (work.alive, work.unread) = (alive.clone(), unread.clone());
                    let result = perform(&mut work, &Operation::from(call));
                    let doubts = std::mem::take(&mut work.doubts);
                    (doubts, state.with_drops_left(work.into_steps(result), *interrupted))
                })
            }
            Input::RawCall { caller, call, memory, began, ended, interrupted } => {
                let time = Time::Within(*began, *ended);
                self.steps_in_time((*began, *ended), |Start { state, alive, unread }| {
                    let mut work = Work::new(state, caller, time, *interrupted);
                    (work.alive, work.unread) = (alive.clone(), unread.clone());
                    let result = front_door::perform(&mut work, call, memory, perform);
                    let doubts = std::mem::take(&mut work.doubts);
                    (doubts, state.with_drops_left(work.into_steps(result), *interrupted))
                })
            }
        }
    }

    /// The steps of a call that took this time: with every transaction alive that it depends on and that may
    /// be, and with each of these expired, as it began or while something waited for it. Every further run has one
    /// transaction less to doubt, so this ends.
    fn steps_in_time(
        &self,
        span: (UnixTime, UnixTime),
        run: impl Fn(&Start) -> (Vec<TransactionId>, Vec<Step>),
    ) -> Vec<Step> {
        let mut first =
            Start { state: self.clone(), alive: BTreeSet::new(), unread: BTreeMap::new() };
        if self.transactions.is_empty() && self.former_locks.is_empty() {
            return run(&first).1;
        }
        first.state.forget_locks(span.0);
        first.state.pass_time(span.0);
        marks::expired(self, &mut first.state);
        first.state.note_freed(self, span);
        let mut steps = Vec::new();
        let mut pending = first.with_refusals(span);
        while let Some(start) = pending.pop() {
            let (doubts, mut more) = run(&start);
            more.iter_mut().for_each(|step| step.next.note_freed(&start.state, span));
            steps.extend(more);
            if !start.unread.is_empty() {
                // Where nothing was refused the same lifetimes are in doubt.
                continue;
            }
            let Start { state, mut alive, .. } = start;
            for id in doubts {
                let mut expired = state.clone();
                expired.expire(id);
                marks::expired(&state, &mut expired);
                expired.note_freed(&state, span);
                let expired =
                    Start { state: expired, alive: alive.clone(), unread: BTreeMap::new() };
                pending.extend(expired.with_refusals(span));
                alive.insert(id);
            }
        }
        without_waits(steps)
    }

    /// What resolution in one hive looks at.
    pub(crate) fn resolver<'a>(&'a self, hive: HiveId, viewer: &'a Viewer) -> Resolver<'a> {
        self.resolver_in(None, hive, viewer)
    }

    /// The same where the kernel looks for itself.
    pub(crate) fn kernel_resolver<'a>(&'a self, hive: HiveId, viewer: &'a Viewer) -> Resolver<'a> {
        Resolver { purpose: Purpose::Kernel, ..self.resolver(hive, viewer) }
    }
}

/// What a run of a call begins with.
struct Start {
    state: State,
    /// The transactions that are taken to be alive.
    alive: BTreeSet<TransactionId>,
    /// As of [`Work`].
    unread: BTreeMap<HiveId, Refusal>,
}

impl Start {
    /// This, and the same where what is asked only to tell of a change was refused for locks that are free by now
    /// (P-614): in all hives where it may have been, in one of them, and in all but one.
    fn with_refusals(self, span: (UnixTime, UnixTime)) -> Vec<Start> {
        let all = self.state.refused_within(span);
        let mut ways = vec![BTreeMap::new(), all.clone()];
        for (hive, refusal) in &all {
            let mut others = all.clone();
            others.remove(hive);
            ways.extend([BTreeMap::from([(*hive, *refusal)]), others]);
        }
        ways.sort_unstable();
        ways.dedup();
        let start = |unread| Start { state: self.state.clone(), alive: self.alive.clone(), unread };
        ways.into_iter().map(start).collect()
    }
}

/// A call that ends ends in one of the ways in which it does.
fn without_waits(mut steps: Vec<Step>) -> Vec<Step> {
    let waits = |step: &Step| matches!(step.outcome, Outcome::Waits);
    if !steps.iter().all(waits) {
        steps.retain(|step| !waits(step));
    }
    steps
}

fn transaction_of(work: &Work<'_>, fd: Fd) -> Option<TransactionId> {
    work.state.transaction_of(work.caller.process, fd)
}

fn perform(work: &mut Work<'_>, operation: &Operation<'_>) -> Result<Outcome, Errno> {
    work.kind = Kind::of(operation);
    let result = dispatch(work, operation);
    if let Err(Errno::EIO) = result {
        down_marks::refused(work, operation);
    }
    result
}

fn dispatch(work: &mut Work<'_>, operation: &Operation<'_>) -> Result<Outcome, Errno> {
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
        Operation::Notify { fd, filter, subtree } => watches::notify(work, fd, filter, subtree),
        Operation::Poll { fd } if transaction_of(work, fd).is_some() => {
            let transaction = transaction_of(work, fd).ok_or(Errno::EBADF)?;
            Ok(calls::poll(work, transaction))
        }
        // There is nothing to be read from a transaction (P-157).
        Operation::ReadEvents { fd, .. } if transaction_of(work, fd).is_some() => {
            Err(Errno::EINVAL)
        }
        // Their reads and polls are no business of the registry's.
        Operation::ReadEvents { fd, .. } | Operation::Poll { fd }
            if streams::stream_of(work, fd).is_some() =>
        {
            Err(Errno::EBADF)
        }
        Operation::ReadEvents { fd, buffer } => watches::read(work, fd, buffer),
        Operation::Poll { fd } => watches::poll(work, fd),
        Operation::BeginTransaction => Ok(calls::begin(work)),
        Operation::Commit { fd } => calls::commit(work, fd),
        Operation::TransactionStatus { fd } => calls::status(work, fd),
        Operation::Pass { fd, to } => key_fds::pass(work, fd, to),
        Operation::Flush { fd } => values::flush(work, fd),
        Operation::Close { fd } => key_fds::close(work, fd),
        Operation::OpenStream { access, contents } => Ok(streams::open(work, access, contents)),
        Operation::TakeStream { fd } => streams::take(work, fd),
        Operation::Backup { fd, output } => backup::backup(work, fd, output),
        Operation::Restore { fd, input } => backup::restore(work, fd, input),
    }
}
