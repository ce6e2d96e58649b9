//! The audit events of calls that overlap: those that an order of the calls gives rise to, in whatever
//! order they came.

use crate::audit::{self, AuditRecord, Names, TooManyWays};
use crate::belief::Belief;
use crate::divergence::Stop;
use crate::execution::Execution;

impl Execution<'_> {
    /// Compares what was emitted while calls overlapped with what was due.
    ///
    /// # Errors
    /// The divergence, if no belief allows these events in any order; or that they are too many.
    pub(super) fn settle_audits_in_any_order(&mut self) -> Result<(), Stop> {
        let records = self.target.take_audit_events();
        self.note_audits(&records);
        let mut agreeing: Vec<Belief> = Vec::new();
        for belief in self.beliefs.clone() {
            let names = admitted(&belief, &records).map_err(|TooManyWays| {
                let count = records.len();
                let why = format!("no telling which of {count} audit events are which calls'");
                Stop::Indeterminate(why)
            })?;
            agreeing.extend(names.map(|names| belief.audited(names)));
        }
        if agreeing.is_empty() {
            return Err(self.audited_otherwise(None, "calls that overlap".to_owned(), &records));
        }
        self.replace_beliefs(agreeing, "audit events")
    }
}

/// The names as they are known after these events, if these are what was due.
fn admitted(belief: &Belief, records: &[AuditRecord]) -> Result<Option<Names>, TooManyWays> {
    let names = belief.names.with_known(&belief.due, |key| belief.state.real_guid(key));
    names.map_or(Ok(None), |names| audit::admits_in_any_order(&belief.due, records, &names))
}
