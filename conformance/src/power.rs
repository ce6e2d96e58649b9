//! Power losses under execution: what sources have found on their disks, judged (D-110).
//!
//! A loss in the middle of a call is the death of the source that was writing. The machine goes down when the
//! step is over.

use registry_model::input::{Environment, SourceId};
use registry_model::power::{
    RecoveredBlanket, RecoveredEntry, RecoveredHive, RecoveredKey, RecoveredValue,
};

use crate::divergence::{Kind, Stop};
use crate::execution::Execution;
use crate::oracle::RawHive;
use crate::plan::{Fault, Plan, PowerLoss, Step};
use crate::target::{Started, WorldEvent};

/// What must have been durable.
const REQUIREMENTS: [&str; 3] = ["OP-62", "OP-78", "OP-81"];

/// Whether the power may fail in a plan.
pub(crate) fn may_fail(plan: &Plan) -> bool {
    let fails =
        |step: &Step| matches!(step, Step::Fault(Fault::PowerLoss(_) | Fault::PowerLossAt { .. }));
    plan.steps.iter().any(fails)
}

/// Whether the power has failed, or will.
#[derive(Debug, Default)]
pub(crate) struct Power {
    /// What happens when it fails in the middle of a call.
    armed: Option<PowerLoss>,
    has_failed: bool,
}

impl Power {
    /// A fault has been made.
    pub(crate) fn faulted(&mut self, fault: &Fault) {
        if let Fault::PowerLossAt { loss, .. } = fault {
            self.armed = Some(*loss);
        }
    }

    /// It has failed under a source.
    pub(crate) fn failed(&mut self) {
        self.has_failed = true;
    }

    /// The machine is up again.
    pub(crate) fn is_back(&mut self) {
        *self = Power::default();
    }
}

impl Execution<'_> {
    /// Ends the machine if its power has failed in the course of the step.
    ///
    /// # Errors
    /// The divergence, if what is left cannot be left.
    pub(crate) async fn finish_power_loss(&mut self) -> Result<(), Stop> {
        match (self.power.has_failed, self.power.armed) {
            (true, Some(loss)) => self.fault(&Fault::PowerLoss(loss)).await.map(|_| ()),
            _ => Ok(()),
        }
    }

    /// What the model is told of a power loss. `events` are those that came with it.
    ///
    /// # Errors
    /// The divergence, if a store is damaged, or no contents that the text allows look like those that were found.
    pub(crate) fn power_lost(&mut self, events: &[WorldEvent]) -> Result<Environment, Stop> {
        self.statistics.power_losses += 1;
        let found = self.target.raw_entries().map_err(|problem| self.damaged(problem))?;
        let recovered = recovered(found.unwrap_or_default(), events);
        let losses = self.beliefs.iter().map(|belief| belief.state.changes_lost(&recovered));
        let Some(fewest) = losses.flatten().min() else {
            return Err(self.unlikely(&recovered));
        };
        self.statistics.changes_lost += fewest as u64;
        self.statistics.marked_by_monitor.extend(REQUIREMENTS);
        Ok(Environment::PowerLoss { recovered })
    }

    /// What was found cannot have been left. Shows it beside what would be there if nothing were lost.
    fn unlikely(&self, recovered: &[RecoveredHive]) -> Stop {
        let state = &self.beliefs[0].state;
        let wrong = recovered.iter().filter(|hive| {
            let one = std::slice::from_ref(*hive);
            self.beliefs.iter().all(|belief| belief.state.changes_lost(one).is_none())
        });
        let (expected, got): (Vec<_>, Vec<_>) =
            wrong.map(|hive| (state.lines_of(hive).join("\n"), hive.lines().join("\n"))).unzip();
        let what = "what is on the disks after a power loss: everything, or what was there before \
                    the last changes if those were neither committed nor flushed";
        let (expected, got) = (expected.join("\n"), got.join("\n"));
        self.diverged(Kind::Recovery, None, what.to_owned(), &REQUIREMENTS, expected, got)
    }

    /// A source did not start with what it has found on its disk.
    pub(crate) fn did_not_start(&self, source: SourceId, problem: &str) -> Stop {
        self.damaged(format!("source {}: {problem}", source.0))
    }

    fn damaged(&self, problem: String) -> Stop {
        let what = "how sources start after a power loss".to_owned();
        let expected = "every source starts and can be read".to_owned();
        self.diverged(Kind::Recovery, None, what, &REQUIREMENTS, expected, problem)
    }
}

/// What was found, as the model takes it.
fn recovered(found: Vec<RawHive>, events: &[WorldEvent]) -> Vec<RecoveredHive> {
    let started = |event: &WorldEvent| match event {
        WorldEvent::SourceStarted(started) if started.refused.is_none() => Some(started.clone()),
        _ => None,
    };
    let started: Vec<Started> = events.iter().filter_map(started).collect();
    let holds = |started: &Started, hive: &RawHive| {
        let same = |root: &[u8; 16]| *root == hive.root;
        started.hives.iter().any(|(_, root)| same(root))
    };
    let keeper = |hive: &RawHive| {
        started.iter().find(|started| holds(started, hive)).map(|started| started.source)
    };
    found.into_iter().filter_map(|hive| Some(recovered_hive(keeper(&hive)?, hive))).collect()
}

fn recovered_hive(source: SourceId, hive: RawHive) -> RecoveredHive {
    let keys = hive.keys.into_iter().map(|key| {
        let (symlink, sd, last_write_time) = (key.symlink, key.sd, key.last_write_time);
        (key.guid, RecoveredKey { symlink, sd, last_write_time })
    });
    let entries = hive.path_entries.into_iter().map(|entry| RecoveredEntry {
        parent: entry.parent,
        name: entry.child_name,
        layer: entry.layer,
        target: entry.target,
        sequence: entry.sequence,
    });
    let values = hive.values.into_iter().map(|value| RecoveredValue {
        key: value.key,
        name: value.name,
        layer: value.layer,
        value_type: value.value_type,
        data: value.data,
        sequence: value.sequence,
    });
    let blankets = hive.blankets.into_iter().map(|blanket| RecoveredBlanket {
        key: blanket.key,
        layer: blanket.layer,
        sequence: blanket.sequence,
    });
    RecoveredHive {
        source,
        name: hive.name,
        scope: hive.scope,
        root: hive.root,
        keys: keys.collect(),
        entries: entries.collect(),
        values: values.collect(),
        blankets: blankets.collect(),
    }
}
