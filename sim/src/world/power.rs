//! The power of the machine: what every disk has when it is back.

use conformance::plan::{DiskFault, Keep, PowerLoss};
use conformance::target::WorldEvent;

use simulated_disk::Disk;

use super::World;

impl World {
    /// The machine goes down by a power loss and comes up.
    pub(super) async fn lose_power(&mut self, loss: PowerLoss) -> Result<Vec<WorldEvent>, String> {
        self.go_down().await;
        for (index, source) in self.sources.iter().enumerate() {
            if let Some(disk) = source.storage.disk() {
                disk.lose_power(for_disk(loss, index));
            }
        }
        let mut events = vec![WorldEvent::PowerLost];
        for index in 0..self.sources.len() {
            let hives = self.sources[index].hives.clone();
            let source = self.sources[index].id;
            events.push(match self.start_source(index, &hives).await {
                Ok(started) => WorldEvent::SourceStarted(started),
                Err(problem) => WorldEvent::SourceDidNotStart { source, problem },
            });
        }
        Ok(events)
    }
}

/// Lets something be wrong with a disk, or nothing any more.
pub(super) fn break_disk(disk: &Disk, fault: DiskFault) {
    match fault {
        DiskFault::Lies => disk.lie_about_syncs(true),
        DiskFault::Full => disk.fill(true),
        DiskFault::FailsAt { io } => disk.err_at(u64::from(io)),
        DiskFault::Heals => {
            disk.lie_about_syncs(false);
            disk.fill(false);
            disk.err_at(0);
        }
    }
}

/// The same loss with a chance of the disk's own.
fn for_disk(loss: PowerLoss, index: usize) -> simulated_disk::PowerLoss {
    let PowerLoss { keep, torn, chance } = loss;
    let keep = match keep {
        Keep::Nothing => simulated_disk::Keep::Nothing,
        Keep::Prefix => simulated_disk::Keep::Prefix,
        Keep::Some => simulated_disk::Keep::Some,
        Keep::Everything => simulated_disk::Keep::Everything,
    };
    simulated_disk::PowerLoss { keep, torn, seed: u64::from(chance) << 16 | index as u64 }
}
