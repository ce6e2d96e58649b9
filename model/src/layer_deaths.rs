//! What the deaths of sources make of a refresh of the layers.
//!
//! States PSD-005 §10.1 for sources that go Down while the layers of a committed change are refreshed (§2.6), with
//! D-55, P-02, P-08, P-49, P-87, P-146, P-314 and P-615. The refresh itself is in `layer_commit`.

use crate::database::{HiveId, Map};
use crate::errno::Errno;
use crate::layer_commit::{Change, Start};
use crate::layer_refresh::{Death, Deaths, Refreshed};
use crate::state::{DescriptionId, Slot, SlotId, State};
use crate::step::Work;
use crate::watches::{Died, Watch, possible_after_death};

/// The states in which the death of a source within a refresh may leave the registry: so many rounds
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
    for slots in may_die(start.state) {
        let reads_no_more = of_metadata.is_some_and(|slot| slots.contains(&slot));
        let rounds_min = if reads_no_more { 0 } else { refreshed.rounds };
        for rounds_max in rounds_min..=refreshed.rounds {
            let is_complete = rounds_max == refreshed.rounds;
            let of_slot = |slot: &SlotId| {
                ways_to_die(start.state, *slot, of_metadata, (refreshed.deleted, rounds_max))
            };
            for each in combinations(slots.iter().map(of_slot)) {
                died(work, change, start, Deaths { each, rounds_max }, is_complete);
            }
        }
    }
}

/// How far one source may have come with so many deletions and rounds.
fn ways_to_die(
    state: &State,
    slot: SlotId,
    of_metadata: Option<SlotId>,
    (deleted, rounds_max): (usize, usize),
) -> Vec<Death> {
    let told = (0..=deleted).flat_map(|answered| [(answered, false), (answered, true)]);
    let ways = told.flat_map(|(answered, carries_out_one_more)| {
        let death = Death { slot, answered, carries_out_one_more, rounds_alive: rounds_max };
        let down = death.found_down_after(state, of_metadata, rounds_max);
        let earlier = down.map(move |rounds_alive| Death { rounds_alive, ..death });
        std::iter::once(death).chain(earlier)
    });
    ways.collect()
}

/// Every choice of one of each.
fn combinations<T: Clone>(each: impl Iterator<Item = Vec<T>>) -> Vec<Vec<T>> {
    each.fold(vec![Vec::new()], |chosen, ways| {
        let with = |one: &Vec<T>| {
            let more = ways.iter().map(|way| one.iter().chain([way]).cloned().collect());
            more.collect::<Vec<Vec<T>>>()
        };
        chosen.iter().flat_map(with).collect()
    })
}

/// The slots whose sources may die together: in the course of a call one does, and nobody says whose; for what the
/// kernel does of its own it is known whose do (P-615).
fn may_die(state: &State) -> Vec<Vec<SlotId>> {
    if state.dying.is_empty() {
        return state.slots.keys().map(|slot| vec![*slot]).collect();
    }
    let is_dying =
        |slot: &Slot| slot.connection.is_some_and(|source| state.dying.contains(&source));
    let slots = state.slots.iter().filter(|(_, slot)| is_dying(slot));
    vec![slots.map(|(id, _)| *id).collect()]
}

/// The states in which these deaths may leave the registry.
fn died(
    work: &mut Work<'_>,
    change: &Change<'_>,
    start: &Start<'_>,
    deaths: Deaths,
    is_complete: bool,
) {
    let (mut state, refreshed) = start.refresh(change, deaths.clone());
    let told = |death: &Death| death.answered + usize::from(death.carries_out_one_more);
    if deaths.each.iter().any(|death| told(death) > refreshed.deleted) {
        return;
    }
    let slots: Vec<SlotId> = deaths.each.iter().map(|death| death.slot).collect();
    slots.iter().for_each(|slot| leave_hives_uncounted(work, change, &mut state, *slot));
    let possible = |died| {
        let queues = possible_after_death(change.before, start.state, &state, (&slots, died));
        queues.into_iter().map(|watches| with_queues(&state, watches, start.state))
    };
    let is_found_down =
        |death: &Death| told(death) < refreshed.deleted || death.rounds_alive < deaths.rounds_max;
    let is_unanswered = deaths.each.iter().any(|death| death.carries_out_one_more);
    if is_complete && !is_unanswered && deaths.each.iter().any(is_found_down) {
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
    for slots in may_die(start.state) {
        let mut other = state.clone();
        slots.iter().for_each(|slot| leave_hives_uncounted(work, change, &mut other, *slot));
        let died = (&*slots, Died::Afterwards);
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
