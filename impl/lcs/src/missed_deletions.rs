//! The layer deletions that a source owes: it was away, has refused, or has not answered yet.
//!
//! What it owes is asked of it again when it resumes (D-55), and so must not be when a layer of that name may have been
//! written to since, with the source knowing: P-187, P-264, P-306. Knows of no request but its number.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::FoldedName;

/// Which request for the deletion of a layer; the later has the higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeletionId(u64);

/// What one source owes.
#[derive(Debug, Default)]
pub struct MissedDeletions {
    owed: BTreeMap<FoldedName, Missed>,
    requests: u64,
}

#[derive(Debug)]
struct Missed {
    spelling: String,
    /// Requests that the source may yet carry out.
    in_flight: BTreeSet<DeletionId>,
}

impl MissedDeletions {
    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// What is owed, by identity, with a spelling.
    pub fn all(&self) -> Vec<(FoldedName, String)> {
        self.owed.iter().map(|(name, missed)| (name.clone(), missed.spelling.clone())).collect()
    }

    /// The source cannot be asked.
    pub fn owe(&mut self, name: &FoldedName, spelling: &str) -> &mut BTreeSet<DeletionId> {
        let in_flight = BTreeSet::new();
        let missed = Missed { spelling: spelling.to_owned(), in_flight };
        &mut self.owed.entry(name.clone()).or_insert(missed).in_flight
    }

    /// The source is about to be asked.
    pub fn ask(&mut self, name: &FoldedName, spelling: &str) -> DeletionId {
        self.requests += 1;
        let id = DeletionId(self.requests);
        self.owe(name, spelling).insert(id);
        id
    }

    /// The source has carried out a request, and whatever it was asked before. It owes what was asked later and
    /// may yet be carried out.
    pub fn carried_out(&mut self, name: &FoldedName, id: DeletionId) {
        if let Some(missed) = self.owed.get_mut(name) {
            missed.in_flight.retain(|other| *other > id);
            if missed.in_flight.is_empty() {
                self.owed.remove(name);
            }
        }
    }

    /// The source will not carry out a request. That is owed, but where there `is_layer` of that name by now: a
    /// later request would hit what is written from now on (P-187).
    pub fn not_carried_out(&mut self, name: &FoldedName, id: DeletionId, is_layer: bool) {
        if let Some(missed) = self.owed.get_mut(name) {
            missed.in_flight.remove(&id);
            if is_layer && missed.in_flight.is_empty() {
                self.owed.remove(name);
            }
        }
    }

    /// There are layers of these names again: what was refused is not owed any more.
    pub fn forget_refused(&mut self, layers: &[FoldedName]) {
        self.owed.retain(|name, missed| !missed.in_flight.is_empty() || !layers.contains(name));
    }

    /// The source has a new connection, on which nothing is in flight.
    pub fn reconnected(&mut self) {
        self.owed.values_mut().for_each(|missed| missed.in_flight.clear());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> FoldedName {
        FoldedName::new("gpo")
    }

    #[test]
    fn what_is_in_flight_is_owed_to_a_layer_that_is_back() {
        let mut missed = MissedDeletions::default();
        let id = missed.ask(&name(), "GPO");
        missed.forget_refused(&[name()]);
        assert_eq!(missed.all(), [(name(), "GPO".to_owned())]);
        missed.not_carried_out(&name(), id, true);
        assert!(missed.is_empty(), "it was refused, and there is a layer of that name");
    }

    #[test]
    fn what_was_refused_is_owed_until_there_is_a_layer_again() {
        let mut missed = MissedDeletions::default();
        let id = missed.ask(&name(), "gpo");
        missed.not_carried_out(&name(), id, false);
        assert!(!missed.is_empty());
        missed.forget_refused(&[name()]);
        assert!(missed.is_empty());
    }

    #[test]
    fn a_success_settles_what_was_asked_before_and_nothing_later() {
        let mut missed = MissedDeletions::default();
        let ids = [(); 3].map(|()| missed.ask(&name(), "gpo"));
        missed.carried_out(&name(), ids[1]);
        missed.not_carried_out(&name(), ids[0], false);
        assert!(!missed.is_empty());
        missed.carried_out(&name(), ids[2]);
        assert!(missed.is_empty());
    }

    #[test]
    fn nothing_is_in_flight_on_a_new_connection() {
        let mut missed = MissedDeletions::default();
        missed.ask(&name(), "gpo");
        missed.reconnected();
        assert!(!missed.is_empty());
        missed.forget_refused(&[name()]);
        assert!(missed.is_empty());
    }
}
