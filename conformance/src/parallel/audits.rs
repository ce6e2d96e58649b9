//! The audit events of calls that overlap: those that an order of the calls gives rise to, in whatever
//! order they came.

use crate::audit::{self, AuditRecord, Names};
use crate::belief::Belief;
use crate::divergence::Stop;
use crate::execution::Execution;

/// Most events of a block that are put into every order.
const RECORDS_MAX: usize = 8;

impl Execution<'_> {
    /// Compares what was emitted while calls overlapped with what was due.
    ///
    /// # Errors
    /// The divergence, if no belief allows these events in any order; or that they are too many.
    pub(super) fn settle_audits_in_any_order(&mut self) -> Result<(), Stop> {
        let records = self.target.take_audit_events();
        self.note_audits(&records);
        if records.len() > RECORDS_MAX {
            let why = format!("more than {RECORDS_MAX} audit events came while calls overlapped");
            return Err(Stop::Indeterminate(why));
        }
        let agreeing: Vec<Belief> = self
            .beliefs
            .iter()
            .filter_map(|belief| Some(belief.audited(admitted(belief, &records)?)))
            .collect();
        if agreeing.is_empty() {
            return Err(self.audited_otherwise(None, "calls that overlap".to_owned(), &records));
        }
        self.replace_beliefs(agreeing, "audit events")
    }
}

/// The names as they are known after these events, in an order in which they were due.
fn admitted(belief: &Belief, records: &[AuditRecord]) -> Option<Names> {
    let names = belief.names.with_known(&belief.due, |key| belief.state.real_guid(key))?;
    let mut left: Vec<AuditRecord> = records.to_vec();
    let mut ordered = Vec::with_capacity(left.len());
    in_some_order(&mut ordered, &mut left, &mut |records| {
        audit::admits(&belief.due, records, &names)
    })
}

/// What `found` finds first in any order of what is left behind what is ordered.
fn in_some_order<T>(
    ordered: &mut Vec<AuditRecord>,
    left: &mut Vec<AuditRecord>,
    found: &mut impl FnMut(&[AuditRecord]) -> Option<T>,
) -> Option<T> {
    if left.is_empty() {
        return found(ordered);
    }
    for place in 0..left.len() {
        ordered.push(left.remove(place));
        let result = in_some_order(ordered, left, found);
        if let Some(record) = ordered.pop() {
            left.insert(place, record);
        }
        if result.is_some() {
            return result;
        }
    }
    None
}
