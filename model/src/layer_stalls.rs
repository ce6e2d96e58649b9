//! What is told of a layer operation, and what becomes of one that meets a source that does not answer.
//!
//! States PSD-005 §2.6, §4.1 ("Layer operation events") and §10.1 ("Request timeout"), with D-76, P-142, P-183,
//! P-242, P-247, P-264 and P-614. What a change asks the layers for is in `layer_commit`.

use crate::coverage::Covered;
use crate::database::HiveId;
use crate::errno::Errno;
use crate::layer_commit::{Change, Start, owes_more};
use crate::layer_effects::step_affected;
use crate::layer_refresh::{Deaths, refresh};
use crate::outcome::Outcome;
use crate::state::State;
use crate::step::Work;
use crate::watches::{self, layers_changed, possible_unanswered, resolve_alike};

/// Tells of the layer operation that leads from one state to the other. What it changes in the hives of a
/// source that does not answer nobody can tell (P-242).
pub(crate) fn tell_layers(
    work: &mut Work<'_>,
    change: &Change<'_>,
    (before, state): (&State, &mut State),
    has_failed: bool,
    covered: &mut Covered,
) {
    let stalled: Vec<HiveId> =
        state.hives.keys().copied().filter(|hive| state.is_stalled(*hive)).collect();
    let is_unanswered = state.late_count() > before.late_count();
    let result = match (is_unanswered, has_failed || owes_more(before, state)) {
        (true, _) => Err(Errno::ETIMEDOUT),
        (false, true) => Err(Errno::EIO),
        (false, false) => Ok(()),
    };
    state.ask_stalled();
    let untold = state.clone();
    layers_changed(before, state, |_| true, covered);
    telling_may_stall(work, change, (before, &untold, state), result);
    telling_may_be_refused(work, change, (before, &untold, state), result);
    state.note_ends(before);
    // Where no layer ranks otherwise, nothing is unknown (P-183, P-318).
    if stalled.is_empty() || resolve_alike(before, state) {
        return;
    }
    let exact = std::mem::replace(state, untold);
    layers_changed(before, state, |hive| !stalled.contains(&hive), &mut Covered::new());
    watches::unknown(before, state, &stalled);
    state.note_ends(before);
    if exact != *state {
        work.otherwise.push((change.outcome_of(result), exact));
    }
}

/// A source may stop answering when it is asked what the operation changes. That fails no call.
fn telling_may_stall(
    work: &mut Work<'_>,
    change: &Change<'_>,
    (before, untold, exact): (&State, &State, &State),
    result: Result<(), Errno>,
) {
    if may_stall(exact).is_empty() || resolve_alike(before, exact) {
        return;
    }
    let hives = unanswering(exact);
    for watches in possible_unanswered(before, untold, exact, &hives) {
        let mut state = State { watches, ..exact.clone() };
        state.note_ends(before);
        leave_uncounted(work, change, &mut state, &hives);
        work.stalled_in(change.outcome_of(result), state);
    }
}

/// What the operation changes may be asked in vain where a transaction has a write lock. That fails no call (P-614).
fn telling_may_be_refused(
    work: &mut Work<'_>,
    change: &Change<'_>,
    (before, untold, exact): (&State, &State, &State),
    result: Result<(), Errno>,
) {
    let mut hives = work.may_refuse_readers(change.hive());
    let is_early = result == Err(Errno::ETIMEDOUT) && !work.has_timed_out();
    if hives.is_empty() || is_early || resolve_alike(before, exact) {
        return;
    }
    let stalled = exact.hives.keys().copied().filter(|hive| exact.is_stalled(*hive));
    hives.extend(stalled.filter(|hive| !hives.contains(hive)).collect::<Vec<HiveId>>());
    for watches in possible_unanswered(before, untold, exact, &hives) {
        let mut state = State { watches, ..exact.clone() };
        state.note_ends(before);
        leave_uncounted(work, change, &mut state, &hives);
        work.otherwise.push((change.outcome_of(result), state));
    }
}

/// A source may stop answering when it is to delete a layer, or before that, when it is asked what there is to
/// tell (P-264).
pub(crate) fn deletion_may_stall(work: &mut Work<'_>, change: &Change<'_>, start: &Start<'_>) {
    let Some(mut untold) = start.state.as_stalled() else { return };
    let ignored = &mut Covered::new();
    let from = untold.clone();
    let hives = unanswering(start.state);
    refresh(&mut untold, start.first.clone(), start.reach, Deaths::none(), ignored);
    step_affected(change.before, &mut untold, |hive| change.is_other(hive), ignored);
    let mut exact = untold.clone();
    layers_changed(&from, &mut exact, |_| true, ignored);
    let outcome = || -> Outcome { change.outcome_of(Err(Errno::ETIMEDOUT)) };
    let possible = match resolve_alike(&from, &exact) {
        true => vec![exact.watches.clone()],
        false => possible_unanswered(&from, &untold, &exact, &hives),
    };
    for watches in possible {
        let mut state = State { watches, ..exact.clone() };
        state.note_ends(&from);
        work.stalled_in(outcome(), state.as_stalling(start.state));
    }
}

/// The hives whose source may stop answering.
fn may_stall(state: &State) -> Vec<HiveId> {
    state.hives.keys().copied().filter(|hive| state.may_stall(*hive)).collect()
}

/// The same and those whose source has stopped before.
fn unanswering(state: &State) -> Vec<HiveId> {
    let is_one = |hive: &HiveId| state.may_stall(*hive) || state.is_stalled(*hive);
    state.hives.keys().copied().filter(is_one).collect()
}

/// Whether the operation affects a hive whose source does not answer is open (P-247).
fn leave_uncounted(work: &Work<'_>, change: &Change<'_>, state: &mut State, hives: &[HiveId]) {
    for hive in hives.iter().filter(|hive| change.is_other(**hive)) {
        work.leave_uncounted(state, *hive);
    }
}
