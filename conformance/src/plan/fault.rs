//! What may happen to the world of a plan (PSD-005 §7.1, §7.3, §8.1, §10.1).

use registry_model::input::CommitRefusal;
use registry_model::store_entry::StoreEntry;

use super::{DiskFault, PowerLoss, SourceHive};
use crate::source_device::Breach;

/// What may happen to the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The process of a source dies now.
    KillSource {
        /// Position in `Plan::sources`.
        source: usize,
    },
    /// The process of a source dies when it has read this many more requests.
    KillSourceAt {
        /// Position in `Plan::sources`.
        source: usize,
        /// 1 for the next request.
        request: u32,
        /// Whether the last request is carried out before the death; a stalled source carries out none.
        executed: bool,
    },
    /// A source breaks the protocol now, outside of any call, and is gone then. A stalled one does so by its
    /// answer to the first request that it has kept, any other with nothing to answer; what needs something to
    /// answer that is not there is an answer to an unknown request. Nothing happens to a dead one.
    BreakProtocol {
        /// Position in `Plan::sources`.
        source: usize,
        /// How.
        breach: Breach,
    },
    /// A source breaks the protocol by its answer to a coming request, and is gone then. It takes the place of an
    /// armed death, and an armed death takes its.
    BreakProtocolAt {
        /// Position in `Plan::sources`.
        source: usize,
        /// How.
        breach: Breach,
        /// 1 for the next request.
        request: u32,
        /// Whether the request is carried out before; a stalled source carries out none. One that
        /// is carried out is what a second response answers, otherwise the one before it.
        executed: bool,
    },
    /// A source stalls: from now on it reads and keeps what comes, and answers nothing. Nothing happens to
    /// a dead one, and a death ends it.
    StallSource {
        /// Position in `Plan::sources`.
        source: usize,
    },
    /// A source stalls when it has read this many more requests. Nothing happens to one that is stalled,
    /// and a death, another stall or a release takes it back.
    StallSourceAt {
        /// Position in `Plan::sources`.
        source: usize,
        /// 1 for the next request.
        request: u32,
        /// Whether the last request is carried out before the stall; its answer is kept.
        executed: bool,
    },
    /// A stalled source carries out what it has kept, in order, answers all of it, and goes on as before.
    /// Nothing happens to one that is not stalled.
    ReleaseSource {
        /// Position in `Plan::sources`.
        source: usize,
    },
    /// A dead source starts again and resumes its slot. Nothing happens to a live one.
    RestartSource {
        /// Position in `Plan::sources`.
        source: usize,
    },
    /// A dead source starts again with other hives than the plan gave it, and registers them; it
    /// dies again if they are refused. Nothing happens to a live one.
    RestartSourceAs {
        /// Position in `Plan::sources`.
        source: usize,
        /// The hives.
        hives: Vec<SourceHive>,
    },
    /// The machine goes down and comes up, and every source of the plan starts with its hives.
    Reboot,
    /// The machine loses power and comes up, as by a reboot.
    PowerLoss(PowerLoss),
    /// The power fails in the middle of a coming change or sync of a source's disk: the source is dead at that
    /// moment, and the machine goes down with the end of the step. A start or an end of the source, and a
    /// reboot, takes it back.
    PowerLossAt {
        /// Position in `Plan::sources`.
        source: usize,
        /// 1 for the next write, truncation, deletion or sync.
        io: u32,
        /// How power is lost.
        loss: PowerLoss,
    },
    /// Something is wrong with the disk of a source from now on.
    Disk {
        /// Position in `Plan::sources`.
        source: usize,
        /// What.
        fault: DiskFault,
    },
    /// A source is slow from now on: it takes so long before it carries a request out. A death ends it.
    SlowSource {
        /// Position in `Plan::sources`.
        source: usize,
        /// How long; 0 for not at all.
        delay_ms: u32,
    },
    /// A record is put into a store behind the kernel's back, whether or not its source lives.
    /// Nothing happens where its place is not there.
    StoreEntry(StoreEntry),
    /// Time passes, and what was due by then happens.
    Wait {
        /// How much.
        duration_ms: u32,
    },
    /// A source refuses the next commit and keeps its transaction open. Nothing happens to a dead one,
    /// and a death ends it.
    RefuseCommit {
        /// Position in `Plan::sources`.
        source: usize,
        /// How.
        refusal: CommitRefusal,
    },
    /// From now on a source has transactions for reading and writing, or has none.
    TransactionSupport {
        /// Position in `Plan::sources`.
        source: usize,
        /// Whether it has them.
        is_supported: bool,
    },
    /// From now on a source has snapshots, transactions for reading only, or has none.
    SnapshotSupport {
        /// Position in `Plan::sources`.
        source: usize,
        /// Whether it has them.
        is_supported: bool,
    },
    /// The next registration of a source reports this maximum instead of what it has stored.
    FalseMaximum {
        /// Position in `Plan::sources`.
        source: usize,
        /// The number.
        max_sequence: u64,
    },
}
