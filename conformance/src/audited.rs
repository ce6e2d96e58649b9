//! Audit events under execution: what was emitted beside what was due (PSD-005 §3.1).

use std::collections::BTreeSet;

use crate::audit::{self, AuditRecord};
use crate::belief::Belief;
use crate::divergence::{Kind, Stop};
use crate::execution::Execution;
use crate::plan::ActorIndex;
use crate::wire::Transcript;

/// What stands for no event at all.
const NOTHING: &str = "nothing";

impl Execution<'_> {
    /// Compares what was emitted since the last time with what was due, and keeps the beliefs by
    /// which it was. `actor` made the call `what`; nobody, if something happened to the world.
    ///
    /// # Errors
    /// The divergence, if no belief allows these events.
    pub(crate) fn settle_audits(
        &mut self,
        actor: Option<ActorIndex>,
        what: impl FnOnce() -> String,
    ) -> Result<(), Stop> {
        let records = self.target.take_audit_events();
        self.note_audits(&records);
        if records.is_empty() && self.beliefs.iter().all(|belief| belief.due.is_empty()) {
            return Ok(());
        }
        let agreeing: Vec<Belief> = self
            .beliefs
            .iter()
            .filter_map(|belief| {
                let known = |key| belief.state.real_guid(key);
                let names = belief.names.with_known(&belief.due, known)?;
                let names = audit::admits(&belief.due, &records, &names)?;
                Some(belief.audited(names))
            })
            .collect();
        if !agreeing.is_empty() {
            return self.replace_beliefs(agreeing, "audit events");
        }
        Err(self.audited_otherwise(actor, what(), &records))
    }

    /// Keeps events for the trace and for whoever asks what a step has caused.
    pub(crate) fn note_audits(&mut self, records: &[AuditRecord]) {
        let now = self.target.now();
        for record in records {
            self.trace.record_value("audit", now, record);
            let line = audit::record_words(record, &|guid| path_of(self.transcript.as_ref(), guid));
            self.audits.push(line);
        }
    }

    /// The divergence of events that no belief allows.
    pub(crate) fn audited_otherwise(
        &self,
        actor: Option<ActorIndex>,
        what: String,
        records: &[AuditRecord],
    ) -> Stop {
        let path = |guid| path_of(self.transcript.as_ref(), guid);
        let expected: BTreeSet<String> = self
            .beliefs
            .iter()
            .map(|belief| {
                let due = belief.due.iter();
                in_lines(due.map(|due| audit::pattern_words(due, &belief.names, &path)))
            })
            .collect();
        let expected = expected.into_iter().collect::<Vec<_>>().join("\nor\n");
        let got = in_lines(records.iter().map(|record| audit::record_words(record, &path)));
        let what = format!("the audit events of {what}");
        let ids: Vec<&'static str> =
            self.applied.iter().filter(|id| id.starts_with("AUD-")).collect();
        self.diverged(Kind::Audit, actor, what, &ids, expected, got)
    }

    /// Forgets what was emitted since the last time: it belongs to calls that nobody judges.
    pub(crate) fn ignore_audits(&mut self) {
        self.target.take_audit_events();
    }

    /// The events of the step so far, line by line.
    pub(crate) fn take_audits(&mut self) -> Vec<String> {
        std::mem::take(&mut self.audits)
    }
}

fn in_lines(lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { NOTHING.to_owned() } else { lines.join("\n") }
}

fn path_of(transcript: Option<&Transcript>, guid: [u8; 16]) -> Option<String> {
    transcript?.path_of(guid)
}
