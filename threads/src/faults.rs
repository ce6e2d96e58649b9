//! The faults of a machine: what can happen to its source processes.

use conformance::plan::{Fault, SourceHive};
use conformance::target::WorldEvent;
use seam::lock;

use crate::connection::Armed;
use crate::machine::Machine;
use crate::source::Source;

impl Machine {
    /// Makes a fault happen, up to its immediate consequences.
    pub(crate) async fn make_fault(&mut self, fault: &Fault) -> Result<Vec<WorldEvent>, String> {
        match fault {
            Fault::Reboot => self.reboot().await,
            Fault::KillSource { source } => {
                let source = self.source(*source)?;
                let (id, killed) = (source.id, source.kill());
                self.at_rest().await;
                Ok(killed.then_some(WorldEvent::SourceDown(id)).into_iter().collect())
            }
            Fault::KillSourceAt { source, request, executed } => {
                let armed = Armed { requests_left: *request, executed: *executed };
                *lock(&self.source(*source)?.orders.armed) = Some(armed);
                Ok(Vec::new())
            }
            Fault::RestartSource { source } => self.restart(*source, None).await,
            Fault::RestartSourceAs { source, hives } => self.restart(*source, Some(hives)).await,
            // Nothing stalls here.
            Fault::ReleaseSource { .. } => Ok(Vec::new()),
            Fault::RefuseCommit { source, refusal } => {
                let source = self.source(*source)?;
                if !source.is_running() {
                    return Ok(Vec::new());
                }
                lock(&source.orders.refusals).commit = Some(*refusal);
                Ok(vec![WorldEvent::CommitRefused { source: source.id, refusal: *refusal }])
            }
            Fault::TransactionSupport { source, is_supported } => {
                let source = self.source(*source)?;
                lock(&source.orders.refusals).transactions = !is_supported;
                let (source, is_supported) = (source.id, *is_supported);
                Ok(vec![WorldEvent::TransactionsChanged { source, is_supported }])
            }
            Fault::SnapshotSupport { source, is_supported } => {
                let source = self.source(*source)?;
                lock(&source.orders.refusals).snapshots = !is_supported;
                let (source, is_supported) = (source.id, *is_supported);
                Ok(vec![WorldEvent::SnapshotsChanged { source, is_supported }])
            }
            Fault::FalseMaximum { source, max_sequence } => {
                let source = self.source(*source)?;
                source.false_maximum = Some(*max_sequence);
                let (source, max_sequence) = (source.id, *max_sequence);
                Ok(vec![WorldEvent::MaximumFalsified { source, max_sequence }])
            }
            Fault::PowerLoss(_)
            | Fault::PowerLossAt { .. }
            | Fault::Disk { .. }
            | Fault::SlowSource { .. }
            | Fault::StoreEntry(_)
            | Fault::Wait { .. }
            | Fault::BreakProtocol { .. }
            | Fault::BreakProtocolAt { .. }
            | Fault::StallSource { .. }
            | Fault::StallSourceAt { .. } => {
                Err("the plan has a fault that only the simulator can make".to_owned())
            }
        }
    }

    async fn restart(
        &mut self,
        index: usize,
        hives: Option<&[SourceHive]>,
    ) -> Result<Vec<WorldEvent>, String> {
        let source = self.source(index)?;
        *lock(&source.orders.armed) = None;
        if source.is_running() {
            return Ok(Vec::new());
        }
        Ok(vec![self.start_source(index, hives).await?])
    }

    fn source(&mut self, index: usize) -> Result<&mut Source, String> {
        let count = self.sources.len();
        self.sources
            .get_mut(index)
            .ok_or_else(|| format!("the plan has {count} sources; there is no source {index}"))
    }
}
