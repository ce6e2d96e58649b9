//! The faults of a world: what happens to its sources and to the machine.

use std::sync::atomic::Ordering;
use std::time::Duration;

use conformance::plan::{Fault, SourceHive};
use conformance::source_device::{Addressee, Breach};
use conformance::target::WorldEvent;
use seam::lock;

use super::{World, power};
use crate::breach::{self, Asked};
use crate::source::{self, Armed, ArmedEnd};

/// How often the world looks whether a released process has answered what it kept, a millisecond apart.
const RELEASE_LOOKS_MAX: u32 = 1_000;

impl World {
    /// Makes a fault happen, up to its immediate consequences.
    pub(super) async fn make_fault(&mut self, fault: &Fault) -> Result<Vec<WorldEvent>, String> {
        match fault {
            Fault::Reboot => self.reboot().await,
            Fault::PowerLoss(loss) => self.lose_power(*loss).await,
            Fault::PowerLossAt { source, io, .. } => {
                if let Some(disk) = self.source(*source)?.storage.disk() {
                    disk.fail_at(u64::from(*io));
                }
                Ok(Vec::new())
            }
            Fault::Disk { source, fault } => {
                if let Some(disk) = self.source(*source)?.storage.disk() {
                    power::break_disk(disk, *fault);
                }
                Ok(Vec::new())
            }
            Fault::SlowSource { source, delay_ms } => {
                self.source(*source)?.delay_ms.store(*delay_ms, Ordering::Relaxed);
                Ok(Vec::new())
            }
            Fault::StoreEntry(entry) => self.store_entry(entry),
            Fault::Wait { duration_ms } => {
                madsim::time::sleep(Duration::from_millis(u64::from(*duration_ms))).await;
                self.kernel.settled().await;
                Ok(Vec::new())
            }
            Fault::RefuseCommit { source, refusal } => {
                let source = self.source(*source)?;
                if source.running.is_none() {
                    return Ok(Vec::new());
                }
                lock(&source.refusals).commit = Some(*refusal);
                Ok(vec![WorldEvent::CommitRefused { source: source.id, refusal: *refusal }])
            }
            Fault::TransactionSupport { source, is_supported } => {
                let source = self.source(*source)?;
                lock(&source.refusals).transactions = !is_supported;
                let (source, is_supported) = (source.id, *is_supported);
                Ok(vec![WorldEvent::TransactionsChanged { source, is_supported }])
            }
            Fault::SnapshotSupport { source, is_supported } => {
                let source = self.source(*source)?;
                lock(&source.refusals).snapshots = !is_supported;
                let (source, is_supported) = (source.id, *is_supported);
                Ok(vec![WorldEvent::SnapshotsChanged { source, is_supported }])
            }
            Fault::FalseMaximum { source, max_sequence } => {
                self.source(*source)?;
                let source = &mut self.sources[*source];
                source.false_maximum = Some(*max_sequence);
                let (source, max_sequence) = (source.id, *max_sequence);
                Ok(vec![WorldEvent::MaximumFalsified { source, max_sequence }])
            }
            Fault::KillSource { source } => {
                let id = self.source(*source)?.id;
                let killed = self.kill(*source).await;
                Ok(if killed { vec![WorldEvent::SourceDown(id)] } else { Vec::new() })
            }
            Fault::KillSourceAt { source, request, executed } => {
                let at = Armed { requests_left: *request, executed: *executed };
                *lock(&self.source(*source)?.armed) = Some(ArmedEnd { at, breach: None });
                Ok(Vec::new())
            }
            Fault::BreakProtocol { source, breach } => self.break_protocol(*source, *breach).await,
            Fault::BreakProtocolAt { source, breach, request, executed } => {
                let at = Armed { requests_left: *request, executed: *executed };
                let armed = ArmedEnd { at, breach: Some(*breach) };
                *lock(&self.source(*source)?.armed) = Some(armed);
                Ok(Vec::new())
            }
            Fault::StallSource { source } => {
                let source = self.source(*source)?;
                let begun = source.running.is_some() && source.stall.begin();
                Ok(begun.then_some(WorldEvent::SourceStalled(source.id)).into_iter().collect())
            }
            Fault::StallSourceAt { source, request, executed } => {
                let armed = Armed { requests_left: *request, executed: *executed };
                self.source(*source)?.stall.arm(armed);
                Ok(Vec::new())
            }
            Fault::ReleaseSource { source } => self.release(*source).await,
            Fault::RestartSource { source } => self.restart(*source, None).await,
            Fault::RestartSourceAs { source, hives } => self.restart(*source, Some(hives)).await,
        }
    }

    async fn restart(
        &mut self,
        index: usize,
        hives: Option<&[SourceHive]>,
    ) -> Result<Vec<WorldEvent>, String> {
        let source = self.source(index)?;
        *lock(&source.armed) = None;
        if source.running.is_some() {
            return Ok(Vec::new());
        }
        let hives = hives.unwrap_or(&source.hives).to_vec();
        Ok(vec![WorldEvent::SourceStarted(self.start_source(index, &hives).await?)])
    }

    /// Lets a source break the protocol between calls. It is gone then.
    async fn break_protocol(
        &mut self,
        index: usize,
        breach: Breach,
    ) -> Result<Vec<WorldEvent>, String> {
        let source = self.source(index)?;
        let device = source.running.as_ref().and_then(|running| running.device.upgrade());
        let Some(device) = device else { return Ok(Vec::new()) };
        let kept = source.stall.first_request().as_deref().and_then(Asked::of);
        let addressee = kept.map_or(Addressee::Nobody, |_| Addressee::CallerGone);
        let id = source.id;
        let (breach, frame) = breach::frame(breach, id, (kept, None), &lock(&self.log).traffic);
        let broken = source::hand_in(&device, id, (breach, addressee), &frame);
        drop(device);
        self.kill(index).await;
        Ok(vec![WorldEvent::ProtocolBroken(broken), WorldEvent::SourceDown(id)])
    }

    /// Releases a source that is stalled, and waits until the kernel has seen what it had kept.
    async fn release(&mut self, index: usize) -> Result<Vec<WorldEvent>, String> {
        let (id, stall) = {
            let source = self.source(index)?;
            (source.id, source.stall.clone())
        };
        if !stall.release() {
            return Ok(Vec::new());
        }
        for _ in 0..RELEASE_LOOKS_MAX {
            if stall.is_serving() {
                break;
            }
            madsim::time::sleep(Duration::from_millis(1)).await;
        }
        self.kernel.settled().await;
        Ok(vec![WorldEvent::SourceReleased(id)])
    }
}
