//! What a run exercised, and whether that was worth anything: the vacuity rule.
//!
//! A campaign that conforms because it did next to nothing must not count as a pass (design §4).

use std::collections::{BTreeMap, BTreeSet};

use registry_model::coverage::Covered;
use registry_model::errno::Errno;

use crate::situations::Situations;

/// Mutations of one key that overlap in a block, on the average of all blocks.
const OVERLAPS_MEAN_MIN: u64 = 3;

/// Counts over one run or many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Calls made and checked.
    pub calls: u64,
    /// Calls that succeeded.
    pub succeeded: u64,
    /// Failures by errno.
    pub errnos: BTreeMap<Errno, u64>,
    /// Calls that read values or subkeys and got as far as resolving them.
    pub reads: u64,
    /// Reads with two or more active candidates.
    pub contested: u64,
    /// Contested reads with two or more candidates at the top precedence.
    pub contested_at_equal_precedence: u64,
    /// Calls during which a source died.
    pub interrupted: u64,
    /// Faults that happened.
    pub faults: u64,
    /// Power losses among these.
    pub power_losses: u64,
    /// Those of them that came in the middle of what a source wrote.
    pub power_losses_within: u64,
    /// Calls during which a disk refused a change.
    pub disk_failures: u64,
    /// Changes that had been answered, or were under way, and that power losses have taken back.
    pub changes_lost: u64,
    /// Watch events read.
    pub events: u64,
    /// Watch events read that tell of lost ones.
    pub overflows: u64,
    /// Transactions begun.
    pub transactions: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Answers that tell of a transaction whose lifetime ran out.
    pub expiries: u64,
    /// Blocks of calls that overlapped.
    pub blocks: u64,
    /// Summed over these: the largest number of mutations of one key that were under way at once.
    pub overlaps: u64,
    /// Views dumped and compared.
    pub views: u64,
    /// In which situations calls were made, if that was to be counted.
    pub situations: Situations,
    /// Requirement ids marked by the model.
    pub marked_by_model: Covered,
    /// Requirement ids marked by what watches the target.
    pub marked_by_monitor: BTreeSet<&'static str>,
}

impl Statistics {
    /// Requirement ids marked by either.
    pub fn covered(&self) -> BTreeSet<&'static str> {
        self.marked_by_model.iter().chain(self.marked_by_monitor.iter().copied()).collect()
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Statistics) {
        self.calls += other.calls;
        self.succeeded += other.succeeded;
        for (errno, count) in &other.errnos {
            *self.errnos.entry(*errno).or_default() += count;
        }
        self.reads += other.reads;
        self.contested += other.contested;
        self.contested_at_equal_precedence += other.contested_at_equal_precedence;
        self.interrupted += other.interrupted;
        self.faults += other.faults;
        self.power_losses += other.power_losses;
        self.power_losses_within += other.power_losses_within;
        self.disk_failures += other.disk_failures;
        self.changes_lost += other.changes_lost;
        self.events += other.events;
        self.overflows += other.overflows;
        self.transactions += other.transactions;
        self.commits += other.commits;
        self.expiries += other.expiries;
        self.blocks += other.blocks;
        self.overlaps += other.overlaps;
        self.views += other.views;
        for (situation, count) in &other.situations {
            *self.situations.entry(*situation).or_default() += count;
        }
        self.marked_by_model.add(&other.marked_by_model);
        self.marked_by_monitor.extend(&other.marked_by_monitor);
    }

    /// What makes these counts too thin to conclude anything from, one reason each. Empty if
    /// they are worth something. `reachable` are the errnos and `sights` the things that the
    /// profile can reach.
    pub fn vacuous(&self, reachable: &[Errno], sights: &[Sight]) -> Vec<String> {
        let mut reasons = Vec::new();
        let percent = |part: u64, whole: u64| (part * 100).checked_div(whole).unwrap_or(0);
        if percent(self.succeeded, self.calls) < 60 {
            reasons.push(format!(
                "{} % of the calls succeeded; 60 % must",
                percent(self.succeeded, self.calls)
            ));
        }
        for errno in reachable.iter().filter(|errno| !self.errnos.contains_key(errno)) {
            reasons.push(format!("no call failed with {errno}, which this profile can reach"));
        }
        for sight in sights.iter().filter(|sight| self.seen(**sight) == 0) {
            reasons.push(format!("{}, which this profile can reach", sight.missing()));
        }
        if percent(self.contested, self.reads) < 20 {
            reasons.push(format!(
                "{} % of the reads resolved two or more candidates; 20 % must",
                percent(self.contested, self.reads)
            ));
        }
        if percent(self.contested_at_equal_precedence, self.contested) < 50 {
            reasons.push(format!(
                "{} % of the contested reads were at equal precedence; 50 % must",
                percent(self.contested_at_equal_precedence, self.contested)
            ));
        }
        reasons
    }

    fn seen(&self, sight: Sight) -> u64 {
        match sight {
            Sight::Event => self.events,
            Sight::Overflow => self.overflows,
            Sight::Commit => self.commits,
            Sight::Expiry => self.expiries,
            Sight::Overlap => u64::from(self.overlaps >= OVERLAPS_MEAN_MIN * self.blocks.max(1)),
        }
    }
}

/// Something that a profile may have to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// A watch event.
    Event,
    /// A watch event that tells of lost ones.
    Overflow,
    /// A transaction that was committed.
    Commit,
    /// A transaction whose lifetime ran out.
    Expiry,
    /// Blocks in which three mutations of one key overlap on the average.
    Overlap,
}

impl Sight {
    /// Every one.
    pub const ALL: &[Sight] =
        &[Sight::Event, Sight::Overflow, Sight::Commit, Sight::Expiry, Sight::Overlap];
    /// What calls show that do not overlap.
    pub const OF_LIFE: &[Sight] = &[Sight::Event, Sight::Overflow, Sight::Commit, Sight::Expiry];

    fn missing(self) -> &'static str {
        match self {
            Sight::Event => "no watch event was read",
            Sight::Overflow => "no watch overflowed",
            Sight::Commit => "no transaction was committed",
            Sight::Expiry => "no transaction outlived its time",
            Sight::Overlap => "fewer than three mutations of one key overlapped on the average",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rich() -> Statistics {
        Statistics {
            calls: 100,
            succeeded: 80,
            errnos: BTreeMap::from([(Errno::ENOENT, 20)]),
            reads: 50,
            contested: 20,
            contested_at_equal_precedence: 12,
            ..Statistics::default()
        }
    }

    #[test]
    fn a_rich_campaign_is_not_vacuous() {
        assert_eq!(rich().vacuous(&[Errno::ENOENT], &[]), Vec::<String>::new());
    }

    #[test]
    fn what_was_never_seen_is_named() {
        assert_eq!(rich().vacuous(&[], Sight::ALL).len(), 5);
        let seen = Statistics {
            events: 1,
            overflows: 1,
            commits: 1,
            expiries: 1,
            blocks: 2,
            overlaps: 6,
            ..rich()
        };
        assert_eq!(seen.vacuous(&[], Sight::ALL), Vec::<String>::new());
        let thin = Statistics { overlaps: 5, ..seen.clone() };
        assert_eq!(thin.vacuous(&[], Sight::ALL).len(), 1);
        let reasons = Statistics { commits: 0, ..seen }.vacuous(&[], Sight::ALL);
        assert_eq!(reasons, ["no transaction was committed, which this profile can reach"]);
    }

    #[test]
    fn each_thin_count_is_named() {
        assert_eq!(Statistics { succeeded: 59, ..rich() }.vacuous(&[], &[]).len(), 1);
        assert_eq!(rich().vacuous(&[Errno::EACCES], &[]).len(), 1);
        assert_eq!(Statistics { contested: 9, ..rich() }.vacuous(&[], &[]).len(), 1);
        assert_eq!(
            Statistics { contested_at_equal_precedence: 9, ..rich() }.vacuous(&[], &[]).len(),
            1
        );
        assert_eq!(Statistics::default().vacuous(&[], &[]).len(), 3);
    }
}
