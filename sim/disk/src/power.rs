//! Power loss: which of the changes that nobody has synced are on the disk afterwards.
//!
//! A sync makes the file's own changes durable, and the creation of the file with all that was done to the
//! directory before it, as `fsync` of a new file and of its directory do. A deletion is durable at once if
//! SQLite asks for that, otherwise with the next thing that syncs the directory.

use std::sync::Arc;

use crate::image::Change;
use crate::world::File;

/// What a disk keeps or loses as a whole.
const SECTOR_LENGTH: usize = 512;

/// Which unsynced changes a power loss leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keep {
    /// None.
    Nothing,
    /// The first ones, as many as chance has it.
    Prefix,
    /// Each or not, by chance: in any order, so to speak.
    Some,
    /// All.
    Everything,
}

/// How power is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerLoss {
    /// Which unsynced changes stay.
    pub keep: Keep,
    /// Whether writes may stay in part, sector by sector.
    pub torn: bool,
    /// What chance follows from.
    pub seed: u64,
}

/// A change of a disk that was taken back.
pub(crate) enum Undone {
    /// A file came to be.
    Created(String, Arc<File>),
    /// A file went.
    Deleted(String),
    /// A file changed.
    Changed(Arc<File>, Change),
}

impl PowerLoss {
    /// What stays of all that was taken back, in order.
    pub(crate) fn survivors(self, undone: Vec<Undone>) -> Vec<Undone> {
        let mut chance = Chance(self.seed);
        match self.keep {
            Keep::Nothing => Vec::new(),
            Keep::Everything => undone,
            Keep::Prefix => {
                let kept = chance.below(undone.len() + 1);
                let mut undone = undone;
                let mut cut_off = undone.drain(kept..).next();
                if self.torn
                    && let Some(Undone::Changed(file, change)) = cut_off.take()
                {
                    let mut is_kept = true;
                    let torn = tear(change, || {
                        is_kept &= chance.flips();
                        is_kept
                    });
                    undone.extend(torn.into_iter().map(|part| Undone::Changed(file.clone(), part)));
                }
                undone
            }
            Keep::Some => undone
                .into_iter()
                .flat_map(|change| match change {
                    _ if chance.flips() => Vec::new(),
                    Undone::Changed(file, change) if self.torn && chance.flips() => {
                        let torn = tear(change, || chance.flips());
                        torn.into_iter().map(|part| Undone::Changed(file.clone(), part)).collect()
                    }
                    whole => vec![whole],
                })
                .collect(),
        }
    }
}

/// The sectors of a write that are kept; of another change nothing is.
fn tear(change: Change, mut is_kept: impl FnMut() -> bool) -> Vec<Change> {
    let Change::Write { offset, bytes } = change else { return Vec::new() };
    let mut parts = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let to_boundary = SECTOR_LENGTH - (offset + at) % SECTOR_LENGTH;
        let end = (at + to_boundary).min(bytes.len());
        if is_kept() {
            parts.push(Change::Write { offset: offset + at, bytes: bytes[at..end].to_vec() });
        }
        at = end;
    }
    parts
}

/// The SplitMix64 generator (Steele, Lea, Flood 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    fn flips(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, tear};

    #[test]
    fn a_write_is_torn_at_the_sectors_of_the_file() {
        let torn = tear(Change::Write { offset: 500, bytes: vec![7; 1100] }, || true);
        let parts: Vec<(usize, usize)> = torn
            .iter()
            .map(|part| match part {
                Change::Write { offset, bytes } => (*offset, bytes.len()),
                Change::Resize { length } => (*length, 0),
            })
            .collect();
        assert_eq!(parts, [(500, 12), (512, 512), (1024, 512), (1536, 64)]);
    }
}
