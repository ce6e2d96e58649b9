//! Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi and Nagarakatte, "A Randomized
//! Scheduler with Probabilistic Guarantees of Finding Bugs", 2010).
//!
//! Every task has a priority, and the task with the highest goes on. At `depth - 1` steps that are
//! drawn beforehand the one that would go on falls below all others. A defect that `depth` ordered
//! steps uncover is found with a probability of at least 1/(n k^(depth-1)), of n tasks and k steps.
//!
//! Two deviations: tasks come up in the course of a run, so that each gets its priority as it is
//! first seen and not before the run; and k is not known but taken to be [`STEPS_EXPECTED`].

use std::collections::{BTreeMap, BTreeSet};

use super::mixing::Numbers;
use super::{Scheduler, TaskId};

/// About as many picks as calls that overlap give rise to.
const STEPS_EXPECTED: usize = 120;

/// A higher one goes first. Whoever has fallen is below everybody who has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Priority {
    /// Who falls later is lower.
    Fallen {
        left: usize,
    },
    Drawn(u64),
}

pub(super) struct Pct {
    numbers: Numbers,
    priorities: BTreeMap<TaskId, Priority>,
    /// The steps at which somebody falls, from 0.
    changes: BTreeSet<usize>,
    step: usize,
}

impl Pct {
    pub(super) fn new(depth: u32, seed: u64) -> Pct {
        let mut numbers = Numbers::of_seed(seed);
        let count = (depth.max(1) as usize - 1).min(STEPS_EXPECTED);
        let mut changes = BTreeSet::new();
        while changes.len() < count {
            changes.insert(numbers.below(STEPS_EXPECTED));
        }
        Pct { numbers, priorities: BTreeMap::new(), changes, step: 0 }
    }

    fn first(&self, runnable: &[TaskId]) -> usize {
        let positions = 0..runnable.len();
        positions.max_by_key(|position| self.priorities.get(&runnable[*position])).unwrap_or(0)
    }
}

impl Scheduler for Pct {
    fn choose(&mut self, runnable: &[TaskId]) -> usize {
        for task in runnable {
            let drawn = Priority::Drawn(self.numbers.next());
            self.priorities.entry(*task).or_insert(drawn);
        }
        if self.changes.remove(&self.step) {
            let falls = runnable[self.first(runnable)];
            self.priorities.insert(falls, Priority::Fallen { left: self.changes.len() });
        }
        self.step += 1;
        self.first(runnable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes_of_mind(depth: u32, seed: u64) -> usize {
        let runnable = [TaskId(0), TaskId(1), TaskId(2), TaskId(3)];
        let mut scheduler = Pct::new(depth, seed);
        let picks: Vec<usize> = (0..STEPS_EXPECTED).map(|_| scheduler.choose(&runnable)).collect();
        picks.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    #[test]
    fn one_task_goes_on_until_it_falls() {
        for seed in 0..50 {
            assert_eq!(changes_of_mind(1, seed), 0);
            // The first step may be one of them, and then nobody was seen before.
            assert!((2..=3).contains(&changes_of_mind(4, seed)), "{seed}");
        }
    }

    #[test]
    fn whoever_falls_later_is_lower() {
        assert!(Priority::Fallen { left: 0 } < Priority::Fallen { left: 1 });
        assert!(Priority::Fallen { left: 9 } < Priority::Drawn(0));
    }
}
