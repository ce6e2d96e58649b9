//! Commits that the end of a lifetime has cut off, and that a source which is well has not answered yet.
//!
//! States PSD-005 §10.1 ("Transaction timeout": "the late commit response is processed through the normal pipeline")
//! with P-158 and P-540. What the response brings is in `late`, and so is that of a source which has stopped answering.

use crate::audit::AuditPattern;
use crate::audit_events::looked_at;
use crate::coverage::Covered;
use crate::database::{Database, HiveId};
use crate::errno::Errno;
use crate::input::{Environment, Input, SourceId, UnixTime};
use crate::late::{Arriving, Change, Late};
use crate::late_kept::{self, Rest};
use crate::outcome::Outcome;
use crate::state::{SlotId, State};
use crate::step::{NANOSECONDS_PER_MILLISECOND, Step, Work};
use crate::transactions::{Bound, Phase, TransactionId};

/// A commit that is on its way to its source, or whose answer is on its way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnTheWay {
    late: Late,
    /// When its caller was told.
    since: UnixTime,
    /// When its source, as it is well, has surely answered.
    until: UnixTime,
}

impl OnTheWay {
    /// The transaction, if it has the write lock of this hive until its commit is answered, and the hive as it is
    /// within that.
    fn locks(&self, hive: HiveId) -> Option<(TransactionId, &Database)> {
        match &self.late.change {
            Change::Commit(id, bound, _) if self.late.hive == hive => {
                bound.contents.as_ref().map(|contents| (*id, contents))
            }
            _ => None,
        }
    }
}

impl Work<'_> {
    /// The lifetime may have ended before a commit is answered, with all that follows from the answer to come.
    pub(crate) fn may_be_on_the_way(&mut self, id: TransactionId, bound: &Bound) {
        if !self.is_doubtful(id) || bound.log.is_empty() {
            return;
        }
        let mut state = self.state.clone();
        state.set_phase(id, Phase::TimedOut);
        let (_, since) = self.span();
        let until = since + self.request_timeout_ms * NANOSECONDS_PER_MILLISECOND;
        let change = Change::Commit(id, Box::new(bound.clone()), Vec::new());
        let late = Late::new(bound.hive, change, Rest::default(), None);
        state.on_the_way.push_back_mut(OnTheWay { late, since, until });
        self.otherwise.push((Outcome::Failed(Errno::ETIMEDOUT), state));
    }
}

impl State {
    /// Whether anything may have effects before the next call.
    pub fn awaits_answers(&self) -> bool {
        !self.on_the_way.is_empty()
    }

    /// The transaction that has the write lock of a hive until its commit is answered.
    pub(crate) fn locked_on_the_way(&self, hive: HiveId) -> Option<TransactionId> {
        self.on_the_way.iter().find_map(|one| one.locks(hive)).map(|(id, _)| id)
    }

    /// The hive as that transaction has made it.
    pub(crate) fn contents_on_the_way(&self, hive: HiveId) -> Option<&Database> {
        self.on_the_way.iter().find_map(|one| one.locks(hive)).map(|(_, contents)| contents)
    }

    /// The same of any hive of a source.
    pub(crate) fn is_locked_on_the_way(&self, slot: SlotId) -> bool {
        self.hives_of(slot).any(|(hive, _)| self.locked_on_the_way(hive).is_some())
    }

    fn source_on_the_way(&self, one: &OnTheWay) -> Option<SourceId> {
        self.source_of(one.late.hive).map(|(_, source)| source)
    }

    /// Takes those out that were sent to this source.
    fn take_on_the_way(&mut self, source: SourceId) -> Vec<OnTheWay> {
        let all: Vec<OnTheWay> = self.on_the_way.iter().cloned().collect();
        let is_own = |one: &OnTheWay| self.source_on_the_way(one) == Some(source);
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_own);
        self.on_the_way = others.into_iter().collect();
        own
    }

    /// The states in which the end of a source may leave them: carried out or not, with no effects in the kernel
    /// (P-249).
    pub(crate) fn forgotten_on_the_way(&self, source: SourceId, at: UnixTime) -> Vec<State> {
        let mut now = self.clone();
        let own = now.take_on_the_way(source);
        let mut states = vec![now];
        for OnTheWay { late, .. } in own {
            for mut after in states.clone() {
                late_kept::carry_out(&late.change, None, &mut after, late.hive, at);
                states.push(after);
            }
        }
        states
    }

    /// The source has stopped answering before it has answered them.
    pub(crate) fn keep_on_the_way(&mut self, source: SourceId) {
        for OnTheWay { late, .. } in self.take_on_the_way(source) {
            if let Some(stall) = self.stalls.get_mut(&source) {
                stall.in_flight = stall.in_flight.and(0, 1);
            }
            self.will_arrive(late);
        }
    }

    /// What may have come of them before this input: each was answered or not, and surely was when its time is over.
    pub(crate) fn before(&self, input: &Input) -> Vec<Arriving> {
        let (from, to) = when(input);
        let covered = Covered::new();
        let mut all = vec![Arriving::at(self.clone(), covered, Vec::new())];
        for one in self.on_the_way.iter() {
            let answered: Vec<Arriving> =
                all.iter().flat_map(|arriving| arriving.answered(one, to)).collect();
            if one.until < from {
                all.clear();
            }
            all.extend(answered);
        }
        all
    }
}

/// From when to when it is, where the input says so.
fn when(input: &Input) -> (UnixTime, UnixTime) {
    match input {
        Input::Call { began, ended, .. } | Input::RawCall { began, ended, .. } => (*began, *ended),
        Input::Device { at, .. }
        | Input::Environment(
            Environment::SourceReleased { at, .. } | Environment::TimePasses { at },
        ) => (*at, *at),
        Input::Environment(_) => (0, 0),
    }
}

impl Arriving {
    /// One of them is answered.
    fn answered(&self, one: &OnTheWay, by: UnixTime) -> Vec<Arriving> {
        let at = by.max(one.since);
        let mut arriving = self.clone();
        let others = arriving.state.on_the_way.iter().filter(|other| *other != one).cloned();
        arriving.state.on_the_way = others.collect();
        if !arriving.state.watches.is_empty() {
            // Who looks for what to tell may report what cannot be read (P-112).
            arriving.audit.extend(looked_at(&arriving.state));
        }
        // A commit waits for no lock.
        let arrived = one.late.arrive(arriving, at).unwrap_or_default();
        arrived.into_iter().flat_map(|arriving| arriving.ask(at)).collect()
    }

    /// What may happen on an input that comes now.
    pub(crate) fn then(&self, steps: Vec<Step>) -> Vec<Step> {
        let after = |step: Step| {
            let mut covered = self.covered;
            covered.add(&step.covered);
            let audit: Vec<AuditPattern> = self.audit.iter().cloned().chain(step.audit).collect();
            Step { covered, audit, ..step }
        };
        steps.into_iter().map(after).collect()
    }
}
