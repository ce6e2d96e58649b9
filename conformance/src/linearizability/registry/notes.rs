//! What is noted of the calls of a history in the order that was found: coverage, contests, and the audit events that
//! are due, of which a death that a call overlaps with leaves open whether they came (P-442, §3.1).

use registry_model::audit::AuditPattern;

use super::deaths::is_death;
use super::{Noted, Possible, Registry};

impl Registry<'_> {
    /// What is noted in this order.
    pub(super) fn noted(&self, roots: &[Possible], order: &[usize]) -> Noted {
        let mut ways: Vec<(Noted, Possible)> =
            roots.iter().map(|root| (Noted::default(), root.clone())).collect();
        let mut told_before: Vec<(usize, AuditPattern)> = Vec::new();
        for (index, place) in order.iter().enumerate() {
            let possible: Vec<&Possible> = ways.iter().map(|(_, possible)| possible).collect();
            told_before.extend(self.told_before_death(*place, &order[index + 1..], &possible));
            let mut next: Vec<(Noted, Possible)> = Vec::new();
            for (before, possible) in &ways {
                let is_answered = self.history[*place].returned.is_some();
                let possible = self.admitted(possible, *place);
                for (mut noted, after) in self.marked_steps(&possible, *place, is_answered) {
                    if self.may_have_failed_by_a_death(*place) {
                        noted.audit.iter_mut().for_each(|due| due.optional = true);
                        let told = told_before.iter().filter(|(other, _)| other == place);
                        let told = told.map(|(_, due)| due.clone());
                        noted.audit.extend(
                            told.filter(|due| !noted.audit.contains(due)).collect::<Vec<_>>(),
                        );
                    }
                    if next.iter().all(|(_, known)| *known != after) {
                        let mut all = before.clone();
                        all.add(noted);
                        next.push((all, after));
                    }
                }
            }
            ways = next;
        }
        ways.into_iter().next().map(|(noted, _)| noted).unwrap_or_default()
    }

    /// What calls would be told of, each with its place, that come after a death in this order and have overlapped with
    /// it: they may as well have failed before. Here the order has come to the death.
    fn told_before_death(
        &self,
        death: usize,
        later: &[usize],
        possible: &[&Possible],
    ) -> Vec<(usize, AuditPattern)> {
        if !is_death(&self.history[death]) {
            return Vec::new();
        }
        let mut told = Vec::new();
        let later = later.iter().filter(|place| self.may_have_failed_by_a_death(**place));
        for (place, possible) in
            later.flat_map(|place| possible.iter().map(move |one| (*place, *one)))
        {
            let possible = self.admitted(possible, place);
            let steps = self.marked_steps(&possible, place, true).into_iter();
            for mut due in steps.flat_map(|(noted, _)| noted.audit) {
                due.optional = true;
                if !told.contains(&(place, due.clone())) {
                    told.push((place, due));
                }
            }
        }
        told
    }
}
