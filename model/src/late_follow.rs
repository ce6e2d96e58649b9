//! What the kernel asks for when late responses have come.
//!
//! States PSD-005 §10.1 ("Request timeout", the refresh that a late success brings) and §2.8 for what was written into
//! a layer that is gone, with P-152, P-264, P-363, P-422 and P-615. A source that is released answers what it has kept
//! before anything else, so this comes after all other effects of it.

use crate::coverage::covers;
use crate::database::{Database, Guid, HiveId, Layered, Target, Time};
use crate::deletion::name_lost;
use crate::input::UnixTime;
use crate::late::{About, Arriving, Change, Late, by_the_kernel};
use crate::late_kept::until;
use crate::layer_commit::{Telling, followed_late, owes_more};
use crate::layer_effects;
use crate::layers::Touched;
use crate::names::FoldedName;
use crate::state::State;
use crate::transactions::{Logged, Mutation};
use crate::watches;

/// Something that is to be asked of sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// What a change asks the layers and the parameters for.
    Refresh {
        hive: HiveId,
        /// The hive before the change.
        former: Box<Database>,
        about: Vec<About>,
        is_transaction: IsTransaction,
    },
    /// The last write time of a key that a mutation has changed (P-260, P-611).
    Time(HiveId, Guid, Time),
    /// A key that has lost its last name and that nobody has open is dropped (P-260).
    Drop(HiveId, Guid),
    /// The record of a creation that was in flight as its transaction was committed, and the look at its name (P-380).
    Creation(Box<Late>),
    /// The deletion of a layer, once more, since something was written into it when it was gone (P-264).
    Deletion(HiveId, FoldedName),
}

/// Whether it is a transaction that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsTransaction {
    Yes,
    No,
}

impl Due {
    /// That of a change; of several in a transaction all are of one hive.
    pub(crate) fn refresh(
        before: &State,
        touched: &[Touched<'_>],
        is_transaction: IsTransaction,
    ) -> Due {
        let hive = touched[0].hive();
        let former = Box::new(before.database(hive).clone());
        let about = touched.iter().map(|touched| About::of(*touched)).collect();
        Due::Refresh { hive, former, about, is_transaction }
    }

    fn ask(&self, arriving: Arriving, at: UnixTime) -> Vec<Arriving> {
        let found = arriving.state.clone();
        let mut all = self.ask_now(arriving.clone(), at);
        if all.iter().any(|after| owes_more(&found, &after.state)) {
            // The lifetime of who had the write lock may have ended before the source gave up (P-152).
            let unlocked = found.unlocked_by(at, 0);
            let unlocked = unlocked.map(|state| Arriving { state, ..arriving });
            all.extend(unlocked.into_iter().flat_map(|one| self.ask_now(one, at)));
        }
        all
    }

    fn ask_now(&self, arriving: Arriving, at: UnixTime) -> Vec<Arriving> {
        let Arriving { state, mut covered, audit, .. } = arriving;
        match self {
            Due::Refresh { hive, former, about, is_transaction } => {
                let mut before = state.clone();
                *before.database_mut(*hive) = (**former).clone();
                let touched: Vec<_> = about.iter().map(|about| about.touched(*hive)).collect();
                if touched.iter().any(|touched| touched.concerns_layers(&before)) {
                    covers!(covered, "FAIL-23");
                }
                let is_transaction = *is_transaction == IsTransaction::Yes;
                by_the_kernel(state, covered, audit, at, |work| {
                    followed_late(work, &before, &touched, is_transaction);
                })
            }
            Due::Time(hive, key, time) => {
                // It waits for write locks, for which the source may give up (P-611).
                let may_not_be = state.lock_holder(*hive).is_some() || state.is_dying(*hive);
                let untimed = may_not_be.then(|| state.clone());
                let mut timed = state;
                timed.database_mut(*hive).write_time(*key, until(*time, at));
                let ways = [Some(timed), untimed].into_iter().flatten();
                ways.map(|state| Arriving { state, audit: audit.clone(), covered, due: Vec::new() })
                    .collect()
            }
            Due::Drop(hive, key) => {
                let undropped = state.is_dying(*hive).then(|| state.clone());
                let mut after = state;
                // It waits for write locks, and may be left for the source's next start (P-156, P-370).
                if after.lock_holder(*hive).is_none() && !after.may_not_drop(*hive) {
                    name_lost(&mut after, *hive, Target::Key(*key), &mut covered);
                } else {
                    after.undropped.insert_mut((*hive, *key));
                }
                let ways = [Some(after), undropped].into_iter().flatten();
                ways.map(|state| Arriving { state, audit: audit.clone(), covered, due: Vec::new() })
                    .collect()
            }
            Due::Creation(late) => {
                let arriving = Arriving { state, covered, audit, due: Vec::new() };
                let untold = arriving.state.is_dying(late.hive).then(|| arriving.clone());
                let told = late.tell_of_creation(arriving, &[Telling::Unknown], at);
                told.into_iter().flat_map(|one| one.ask(at)).chain(untold).collect()
            }
            Due::Deletion(hive, name) => {
                let Some(slot) = state.hives.get(hive).map(|hive| hive.slot) else { return vec![] };
                let mut ways = Vec::new();
                if state.is_any_locked(slot) || state.is_dying(*hive) {
                    let mut after = state.clone();
                    layer_effects::owe_in(&mut after, *hive, name);
                    ways.push(after);
                }
                // A commit that is on its way may be answered before the source gives up (P-152, P-540).
                if state.lock_holders(slot).is_empty() {
                    let mut after = state.clone();
                    layer_effects::delete_at_source(&mut after, slot, name, &mut covered);
                    layer_effects::is_owed_no_more(&mut after, slot, name);
                    // No view changes by it, but keys may have lost their last name.
                    watches::layers_changed(&state, &mut after, |_| true, &mut covered);
                    let hives: Vec<HiveId> = after.hives_of(slot).map(|(hive, _)| hive).collect();
                    for hive in hives.into_iter().filter(|hive| state.may_not_drop(*hive)) {
                        after.leave_drops(&state, hive);
                    }
                    ways.push(after);
                }
                let after =
                    |state| Arriving { state, covered, audit: audit.clone(), due: Vec::new() };
                ways.into_iter().map(after).collect()
            }
        }
    }
}

impl Arriving {
    /// Everything is asked, in the order in which it has come to be due; creations are told of last.
    pub(crate) fn ask(mut self, at: UnixTime) -> Vec<Arriving> {
        let mut due = std::mem::take(&mut self.due);
        due.sort_by_key(|one| matches!(one, Due::Creation(_)));
        let mut all = vec![self];
        for one in due {
            all = all.into_iter().flat_map(|arriving| one.ask(arriving, at)).collect();
        }
        all
    }
}

impl Late {
    /// What it has written into layers that are gone by now is to be deleted (P-264).
    pub(crate) fn written_in_vain(&self, found: &State) -> Vec<Due> {
        let written: Vec<FoldedName> = match &self.change {
            Change::Mutation(mutation) => written_by(mutation).into_iter().collect(),
            Change::Contents(contents) => {
                let about = self.effect.as_ref().map(|effect| &effect.about);
                let former = found.database(self.hive);
                about.map(|about| about.written(former, contents)).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        deletions(found, self.hive, written)
    }
}

/// The same of the log of a transaction that was committed late.
pub(crate) fn logged_in_vain<'a>(
    found: &State,
    hive: HiveId,
    log: impl Iterator<Item = &'a Logged>,
) -> Vec<Due> {
    deletions(found, hive, log.filter_map(|logged| written_by(&logged.mutation)).collect())
}

/// The deletions of those of the layers that are gone.
fn deletions(found: &State, hive: HiveId, mut written: Vec<FoldedName>) -> Vec<Due> {
    written.sort();
    written.dedup();
    written.retain(|layer| !found.layers.contains_key(layer));
    written.into_iter().map(|layer| Due::Deletion(hive, layer)).collect()
}

/// The layer that has an entry by the mutation.
fn written_by(mutation: &Mutation) -> Option<FoldedName> {
    match mutation {
        Mutation::SetValue { .. }
        | Mutation::SetBlanket { sequence: Some(_), .. }
        | Mutation::CreateKey { .. }
        | Mutation::HideEntry { .. } => mutation.layer().cloned(),
        Mutation::SetBlanket { sequence: None, .. }
        | Mutation::DeleteValue { .. }
        | Mutation::DeleteEntry { .. }
        | Mutation::Uncover { .. }
        | Mutation::WriteDescriptor { .. } => None,
    }
}

impl About {
    /// The layers that have another entry in the later one.
    fn written(&self, former: &Database, next: &Database) -> Vec<FoldedName> {
        match self {
            About::Value(key, name) => {
                let of = |database: &Database| database.value(*key, name.as_str()).cloned();
                differing(of(former), of(next))
            }
            About::Values(key) => {
                let of = |database: &Database| database.blankets.get(key).cloned();
                differing(of(former), of(next))
            }
            About::Child(parent, name) => {
                let of = |database: &Database| database.lookup(*parent, name.as_str()).cloned();
                differing(of(former), of(next))
            }
            About::Descriptor(_) => Vec::new(),
        }
    }
}

fn differing<T: PartialEq>(
    former: Option<Layered<T>>,
    next: Option<Layered<T>>,
) -> Vec<FoldedName> {
    let former = former.as_ref();
    let is_other = |layer: &FoldedName, entry: &T| {
        former.and_then(|former| former.get(layer)).is_none_or(|old| old != entry)
    };
    let entries = next.iter().flat_map(|next| next.iter());
    let other = entries.filter(|(layer, entry)| is_other(layer, entry));
    other.map(|(layer, _)| layer.clone()).collect()
}
