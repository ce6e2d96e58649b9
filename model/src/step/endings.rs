//! The other ways in which a call may have ended than the one that it has come to.
//!
//! States P-08: a source that dies in the course of a call leaves any prefix of its requests done, and the call
//! EIO. Of the events of a backup or restore both come or neither (PSD-005 §3.1, P-230, P-500). Where a source
//! stops answering is in `stalls`.

use super::{Step, Work};
use crate::audit::AuditPattern;
use crate::audit_events::{completed_with, is_of_transfer};
use crate::coverage::{Covered, covers};
use crate::database::{HiveId, Map};
use crate::errno::Errno;
use crate::outcome::Outcome;
use crate::state::State;

/// A point in the course of a call, by the endings that had been noted: those of
/// `Work::otherwise`, and those in which a death of the source may have left it.
#[derive(Clone, Copy)]
pub(crate) struct Endings {
    otherwise: usize,
    prefixes: usize,
}

/// The endings of a transfer that were noted before its START event, and what had been shown by then.
#[derive(Default)]
pub(super) struct Unstarted {
    otherwise: Vec<(Outcome, State)>,
    prefixes: Vec<(Outcome, State)>,
    covered: Covered,
}

impl Work<'_> {
    /// Notes a state in which a death of the source, if there was one, may have left the call, which the
    /// kernel has counted as no change of a hive.
    pub(crate) fn may_have_ended_uncounted_in(&mut self, state: State) {
        if self.interrupted {
            self.prefixes.push((self.fails_as.clone(), state));
        }
    }

    /// Notes a state in which a death of the source, if there was one, may have left the call, which
    /// changed something in the hive.
    pub(crate) fn may_have_ended_in(&mut self, mut state: State, hive: HiveId) {
        if !self.interrupted {
            return;
        }
        self.leave_uncounted(&mut state, hive);
        self.prefixes.push((self.fails_as.clone(), state));
    }

    /// Leaves open whether the kernel still counted what the call did to a hive.
    pub(crate) fn leave_uncounted(&self, state: &mut State, hive: HiveId) {
        if let Some(before) = self.hives_before.get(&hive) {
            state.change_generation(hive, |_| before.generation.uncertain());
        }
    }

    /// The states in which a death of the source may have left the call so far, with its answer in each.
    pub(crate) fn prefixes(&mut self) -> &mut Vec<(Outcome, State)> {
        &mut self.prefixes
    }

    /// How many endings have been noted.
    pub(crate) fn endings(&self) -> Endings {
        Endings { otherwise: self.otherwise.len(), prefixes: self.prefixes.len() }
    }

    /// Lets every ending that was noted since become several, with the answer that goes with it.
    pub(crate) fn change_endings(
        &mut self,
        since: Endings,
        mut become_: impl FnMut(&State) -> Vec<State>,
    ) {
        for (outcome, state) in self.otherwise.split_off(since.otherwise) {
            let states = become_(&state).into_iter();
            self.otherwise.extend(states.map(|state| (outcome.clone(), state)));
        }
        for (outcome, state) in self.prefixes.split_off(since.prefixes) {
            let states = become_(&state).into_iter();
            self.prefixes.extend(states.map(|state| (outcome.clone(), state)));
        }
    }

    /// The START event of a transfer. What was noted until now has ended before it, and has no event; whatever
    /// comes has this one and COMPLETE (P-230).
    pub(crate) fn transfer_starts(&mut self, event: AuditPattern) {
        let unanswered = self.take_stall_endings();
        self.otherwise.extend(unanswered);
        self.unstarted = Unstarted {
            otherwise: std::mem::take(&mut self.otherwise),
            prefixes: std::mem::take(&mut self.prefixes),
            covered: self.covered,
        };
        self.audit.push(event);
    }

    /// The operation has failed, with a number allocated. The lifetime of its transaction may have ended
    /// before that failure was answered (P-158).
    fn may_have_expired_in_flight(&mut self) {
        let doubtful = self.transaction.filter(|id| self.is_doubtful(*id));
        let has_number = self.state.numbering() != self.numbering_before;
        if let Some(id) = doubtful.filter(|_| has_number) {
            let mut expired = self.state.clone();
            expired.expire(id);
            expired.note_freed(&self.state, self.span());
            self.otherwise.push((Outcome::Failed(Errno::ETIMEDOUT), expired));
        }
    }

    pub(crate) fn into_steps(mut self, result: Result<Outcome, Errno>) -> Vec<Step> {
        if let Err(Errno::EIO) = result {
            self.report_rejected();
        }
        // What it has shown if it comes to what it would: no other ending does.
        let mut shown = self.covered;
        match result {
            Err(_) => {
                shown.add(&self.if_refused);
                self.may_have_expired_in_flight();
            }
            Ok(Outcome::TooSmall(_)) => {}
            Ok(_) if !self.waits => shown.add(&self.if_done),
            Ok(_) => {}
        }
        let unanswered = self.take_stall_endings();
        self.otherwise.extend(unanswered);
        let Work { state, covered, contest, audit, alternatives, otherwise, prefixes, .. } = self;
        let step = |outcome: Outcome, mut audit: Vec<AuditPattern>, next| {
            let errno = if let Outcome::Failed(errno) = &outcome { Some(*errno) } else { None };
            audit.iter_mut().for_each(|event| completed_with(event, errno));
            Step { outcome, covered, contest, audit, next }
        };
        if let Some(words) = self.outside {
            return vec![step(Outcome::Outside(words), audit, state)];
        }
        // Where the call ended in another way, it may have come as far as its events or not; a transfer that
        // has started has both of its own.
        let mut possible = audit.clone();
        possible.iter_mut().for_each(|event| event.optional |= !is_of_transfer(event));
        let outcome = match result {
            _ if self.waits => Outcome::Waits,
            Ok(outcome) => outcome,
            Err(errno) => Outcome::Failed(errno),
        };
        let mut steps = vec![Step { covered: shown, ..step(outcome, audit, state.clone()) }];
        for outcome in alternatives {
            let is_done = !matches!(outcome, Outcome::Failed(_) | Outcome::TooSmall(_));
            let alternative = step(outcome, possible.clone(), state.clone());
            let covered = if is_done { shown } else { covered };
            steps.push(Step { covered, ..alternative });
        }
        for (outcome, next) in otherwise {
            steps.push(step(outcome, possible.clone(), next));
        }
        for (outcome, prefix) in prefixes {
            steps.push(died(step(outcome, possible.clone(), prefix)));
        }
        let Unstarted { otherwise, prefixes, covered } = self.unstarted;
        let unstarted = |outcome, next| Step { covered, ..step(outcome, Vec::new(), next) };
        steps.extend(otherwise.into_iter().map(|(outcome, next)| unstarted(outcome, next)));
        steps.extend(prefixes.into_iter().map(|(outcome, next)| died(unstarted(outcome, next))));
        steps
    }
}

/// The source has died, and nothing is left of enumerations.
fn died(mut step: Step) -> Step {
    covers!(step.covered, "FAIL-02");
    step.next.enumerations = Map::new_sync();
    step
}
