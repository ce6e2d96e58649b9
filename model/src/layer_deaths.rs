//! What the death of a source makes of a refresh of the layers.
//!
//! States PSD-005 §10.1 for sources that go Down while the layers of a committed change are refreshed (§2.6), with
//! D-55, P-02, P-08, P-49, P-87, P-146 and P-314. The refresh itself is in `layer_commit`.

use crate::database::{HiveId, Map};
use crate::errno::Errno;
use crate::layer_commit::{Change, Start};
use crate::layer_refresh::{Death, Refreshed};
use crate::state::{DescriptionId, Slot, SlotId, State};
use crate::step::Work;
use crate::watches::{Died, Watch, possible_after_death};

/// The states in which a death of a source within a refresh may leave the registry: so many rounds
/// are published (all of them unless the source is that of the metadata, which cannot be read any
/// more), and the source has carried out so many of the layer deletions and owes the others, one that
/// it has not answered among them (D-55, P-08).
pub(crate) fn deaths(
    work: &mut Work<'_>,
    change: &Change<'_>,
    start: &Start<'_>,
    refreshed: &Refreshed,
) {
    let of_metadata = start.state.hives.get(&change.hive()).map(|hive| hive.slot);
    for slot in may_die(start.state) {
        let rounds_min = if Some(slot) == of_metadata { 0 } else { refreshed.rounds };
        for rounds_max in rounds_min..=refreshed.rounds {
            for (answered, carries_out_one_more) in
                (0..=refreshed.deleted).flat_map(|answered| [(answered, false), (answered, true)])
            {
                let (rounds_alive, is_complete) = (rounds_max, rounds_max == refreshed.rounds);
                let death =
                    Death { slot, answered, carries_out_one_more, rounds_max, rounds_alive };
                died(work, change, start, death, is_complete);
                for rounds_alive in death.found_down_after(start.state, of_metadata) {
                    died(work, change, start, Death { rounds_alive, ..death }, is_complete);
                }
            }
        }
    }
}

/// The slots whose sources may die: in the course of a call nobody says whose did (P-615 for what the kernel does of its
/// own).
fn may_die(state: &State) -> Vec<SlotId> {
    let is_dying =
        |slot: &Slot| slot.connection.is_some_and(|source| state.dying.contains(&source));
    let slots = state.slots.iter().filter(|(_, slot)| state.dying.is_empty() || is_dying(slot));
    slots.map(|(id, _)| *id).collect()
}

/// The states in which one death may leave the registry.
fn died(
    work: &mut Work<'_>,
    change: &Change<'_>,
    start: &Start<'_>,
    death: Death,
    is_complete: bool,
) {
    let (mut state, refreshed) = start.refresh(change, death);
    let told = death.answered + usize::from(death.carries_out_one_more);
    if told > refreshed.deleted {
        return;
    }
    leave_hives_uncounted(work, change, &mut state, death.slot);
    let possible = |died| {
        let queues = possible_after_death(change.before, start.state, &state, (death.slot, died));
        queues.into_iter().map(|watches| with_queues(&state, watches, start.state))
    };
    let is_found_down = told < refreshed.deleted || death.rounds_alive < death.rounds_max;
    if is_complete && !death.carries_out_one_more && is_found_down {
        // Found Down before the next deletion was sent, or before the table was published, it owes that
        // deletion still, and no request of this call has failed (P-49, P-314).
        let result = if refreshed.failed { Err(Errno::EIO) } else { Ok(()) };
        for state in possible(Died::Afterwards) {
            work.otherwise.push((change.outcome_of(result), state));
        }
    }
    // A commit or a late success was answered before: it has told its own change (P-146).
    let died = if change.is_told { Died::Afterwards } else { Died::InTheMiddle };
    for state in possible(died) {
        change.may_have_ended_in(work, state);
    }
}

/// Where a source dies that has answered everything, the kernel may find it Down when it counts the
/// layer operation in its hives (P-02, P-87).
pub(crate) fn uncounted(
    work: &mut Work<'_>,
    change: &Change<'_>,
    start: &Start<'_>,
    state: &State,
    failed: bool,
) {
    for slot in may_die(state) {
        let mut other = state.clone();
        leave_hives_uncounted(work, change, &mut other, slot);
        let died = (slot, Died::Afterwards);
        for watches in possible_after_death(change.before, start.state, &other, died) {
            let other = with_queues(&other, watches, start.state);
            if other != *state {
                let result = if failed { Err(Errno::EIO) } else { Ok(()) };
                work.otherwise.push((change.outcome_of(result), other));
            }
        }
    }
}

/// The state with these queues, which have told this of the layer operation that began there.
fn with_queues(state: &State, watches: Map<DescriptionId, Watch>, began: &State) -> State {
    let mut state = State { watches, ..state.clone() };
    state.note_ends(began);
    state
}

/// The other hives of a slot that a layer operation has affected may have taken their step or not.
fn leave_hives_uncounted(work: &Work<'_>, change: &Change<'_>, state: &mut State, slot: SlotId) {
    let generation = |state: &State, hive| state.hives.get(&hive).map(|hive| hive.generation);
    let hives: Vec<HiveId> = state.hives_of(slot).map(|(hive, _)| hive).collect();
    for hive in hives.into_iter().filter(|hive| change.is_other(*hive)) {
        if generation(state, hive) != generation(change.before, hive) {
            work.leave_uncounted(state, hive);
        }
    }
}
