//! What a restore leaves in its hive, and what follows from that.
//!
//! States the end of a restore of PSD-005 §9.1, the generation step of §6.3, §2.8 for descendants that are open,
//! §8.1 rules 2 and 3, and the late success of its commit of §10.1, with D-76, D-105, P-209, P-210 and P-231. Knows
//! nothing of streams.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::rebuilding::Rebuilding;
use crate::coverage::{Covered, covers};
use crate::database::{Database, Guid, HiveId, Map};
use crate::input::WireGuid;
use crate::late::{Change, Late};
use crate::late_follow::{Due, IsTransaction};
use crate::late_kept::Rest;
use crate::layer_commit::committed_transaction;
use crate::layers::{Touched, machine};
use crate::names::FoldedName;
use crate::state::{Generation, OpenKey, Place, State};
use crate::step::Work;
use crate::transactions::take_refusal;
use crate::watches;

/// A restore that is ready to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Restored {
    place: Arc<Place>,
    /// The hive with it.
    database: Database,
    /// The keys that it removes.
    removed: BTreeSet<Guid>,
    /// The keys that it makes.
    created: BTreeSet<Guid>,
    /// The GUIDs of these.
    guids: Vec<(Guid, WireGuid)>,
    next_guid: u64,
    /// Records of the same GUIDs that had been dropped, as is known if it succeeds (P-342).
    dropped: Vec<(HiveId, Guid)>,
}

impl Restored {
    pub(super) fn of(open: &OpenKey, rebuilding: Rebuilding) -> Restored {
        let has_ties = rebuilding.has_ties();
        let Rebuilding { state, removed, created, dropped, .. } = rebuilding;
        let mut database = state.database(open.hive()).clone();
        database.seeded |= has_ties;
        let guids = created.iter().filter_map(|key| Some((*key, *state.guids.get(key)?)));
        let (guids, next_guid, place) = (guids.collect(), state.next_guid, open.place.clone());
        Restored { place, database, removed, created, guids, next_guid, dropped }
    }

    pub(super) fn hive(&self) -> HiveId {
        self.place.hive
    }

    pub(super) fn target(&self) -> Guid {
        self.place.key()
    }

    /// The keys below the target that were there before or are there now.
    fn changed(&self) -> BTreeSet<Guid> {
        self.removed.union(&self.created).copied().collect()
    }

    /// The source commits.
    pub(crate) fn carry_out(&self, state: &mut State) {
        for (hive, key) in &self.dropped {
            state.undropped.remove_mut(&(*hive, *key));
            state.database_mut(*hive).drop_key(*key);
        }
        let (mut changed, now) = (self.changed(), &self.database);
        changed.insert(self.target());
        let database = state.database_mut(self.hive());
        for key in &changed {
            replace(&mut database.keys, *key, &now.keys);
            replace(&mut database.path_entries, *key, &now.path_entries);
            replace(&mut database.values, *key, &now.values);
            replace(&mut database.blankets, *key, &now.blankets);
        }
        database.seeded |= now.seeded;
        // The stream has given each its SD.
        for key in changed.iter().filter(|key| now.keys.contains_key(key)) {
            state.secured.0.insert_mut((self.hive(), *key));
            state.secured_within.0.remove_mut(&(self.hive(), *key));
        }
        for (key, real) in &self.guids {
            state.guids.insert_mut(*key, *real);
        }
        state.next_guid = state.next_guid.max(self.next_guid);
    }

    /// The source may stop answering with the commit (P-231).
    pub(super) fn commit_may_stall(&self, work: &mut Work<'_>) {
        let hive = self.hive();
        if !work.state.may_stall(hive) {
            return;
        }
        let mut state = work.state.clone();
        // The numbers of its keys are taken.
        state.next_guid = self.next_guid;
        let change = Change::Restore(Box::new(self.clone()));
        state.will_arrive(Late::new(hive, change, Rest::default(), None));
        work.timed_out_in(state);
    }

    /// The commit has been answered late.
    pub(crate) fn arrived(&self, work: &mut Work<'_>) -> Vec<Due> {
        if take_refusal(&mut work.state, self.hive()).is_some() {
            return Vec::new();
        }
        let before = work.state.clone();
        self.carry_out(&mut work.state);
        work.state.is_durable(self.hive());
        self.tell(work);
        work.state.change_generation(self.hive(), Generation::step);
        let changed = self.changed();
        let names = self.names_below(&before, &work.state, &changed);
        let touched = self.touched(&work.state, &changed, &names);
        vec![Due::refresh(&before, &touched, IsTransaction::Yes)]
    }

    /// What follows a commit.
    pub(super) fn follow(&self, work: &mut Work<'_>, before: &State) {
        self.tell(work);
        let changed = self.changed();
        let names = self.names_below(before, &work.state, &changed);
        let touched = self.touched(&work.state, &changed, &names);
        committed_transaction(work, before, &touched);
        if work.state.limits != before.limits {
            covers!(work.covered, "BOOT-22");
        }
        if work.state.layers != before.layers {
            covers!(work.covered, "BOOT-23", "RST-64", "BAK-30", "LAYER-25");
        }
    }

    /// What it tells, and what becomes of keys that are open.
    fn tell(&self, work: &mut Work<'_>) {
        let hive = self.hive();
        let state = &mut work.state;
        for key in &self.created {
            state.orphans.remove_mut(&(hive, *key));
        }
        watches::restored(state, &self.place, &self.changed(), &mut work.covered);
        self.mark_latent(work);
    }

    /// What was there and would show if it were not gone: the teardown has removed it, and nothing is merged.
    pub(super) fn mark_removed(&self, before: &State, after: &State, covered: &mut Covered) {
        let (before, after) = (before.database(self.hive()), after.database(self.hive()));
        let is_there = |key: &Guid| after.keys.contains_key(key);
        let was_dropped = |key: &Guid| self.dropped.contains(&(self.hive(), *key));
        if self.removed.iter().any(|key| !is_there(key) && !was_dropped(key)) {
            covers!(covered, "RST-01", "RST-29", "IOC-160");
        }
        for key in self.removed.iter().chain([&self.target()]).filter(|key| is_there(key)) {
            let mut children = before.children(*key);
            if children.any(|(name, entries)| is_less(entries, after.lookup(*key, name.as_str()))) {
                covers!(covered, "RST-01", "RST-26", "IOC-160");
            }
            let mut values = before.value_names(*key);
            if values.any(|(name, entries)| is_less(entries, after.value(*key, name.as_str()))) {
                covers!(covered, "RST-01", "RST-27", "IOC-160");
            }
            let blankets = before.blankets.get(key);
            if blankets.is_some_and(|layers| is_less(layers, after.blankets.get(key))) {
                covers!(covered, "RST-01", "RST-28", "IOC-160");
            }
        }
    }

    /// Entries of layers that the table does not have.
    fn mark_latent(&self, work: &mut Work<'_>) {
        let database = work.state.database(self.hive());
        let target = self.target();
        let values =
            self.created.iter().chain([&target]).flat_map(|key| database.value_names(*key));
        let mut entries = values.flat_map(|(_, entries)| entries.keys());
        if entries.any(|layer| !work.state.layers.contains_key(layer)) {
            covers!(work.covered, "RST-63", "RES-29");
        }
    }

    /// The names of children below the target and everything that was or is below it.
    fn names_below(
        &self,
        before: &State,
        after: &State,
        changed: &BTreeSet<Guid>,
    ) -> BTreeSet<(Guid, FoldedName)> {
        let parents = || changed.iter().copied().chain([self.target()]);
        let of = |state: &State| -> Vec<(Guid, FoldedName)> {
            let database = state.database(self.hive());
            let names = parents()
                .flat_map(|key| database.children(key).map(move |(name, _)| (key, name.clone())));
            names.collect()
        };
        of(before).into_iter().chain(of(after)).collect()
    }

    /// Everything that it has changed, for the refresh of layers and parameters that it brings.
    fn touched<'a>(
        &self,
        state: &State,
        changed: &BTreeSet<Guid>,
        names: &'a BTreeSet<(Guid, FoldedName)>,
    ) -> Vec<Touched<'a>> {
        let (hive, target) = (self.hive(), self.target());
        let mut touched = vec![Touched::Values(hive, target), Touched::Descriptor(hive, target)];
        if machine(state) == Some(hive) {
            let keys = changed.iter().copied();
            touched.extend(
                keys.flat_map(|key| [Touched::Values(hive, key), Touched::Descriptor(hive, key)]),
            );
            touched.extend(names.iter().map(|(key, name)| Touched::Child(hive, *key, name)));
        }
        touched
    }
}

/// Whether a layer that had an entry has none now.
fn is_less<T>(before: &Map<FoldedName, T>, now: Option<&Map<FoldedName, T>>) -> bool {
    before.keys().any(|layer| !now.is_some_and(|now| now.contains_key(layer)))
}

/// What is at a key in one map is as in the other.
fn replace<T: Clone>(map: &mut Map<Guid, T>, key: Guid, from: &Map<Guid, T>) {
    match from.get(&key) {
        Some(entry) => map.insert_mut(key, entry.clone()),
        None => {
            map.remove_mut(&key);
        }
    }
}
