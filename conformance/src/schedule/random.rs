//! The random scheduler: at every step each task that can go on is as likely as any other.

use super::mixing::Numbers;
use super::{Scheduler, TaskId};

pub(super) struct Random(Numbers);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(Numbers::of_seed(seed))
    }
}

impl Scheduler for Random {
    fn choose(&mut self, runnable: &[TaskId]) -> usize {
        self.0.below(runnable.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_gets_a_turn() {
        let runnable = [TaskId(0), TaskId(5), TaskId(9)];
        let mut scheduler = Random::new(1);
        let mut counts = [0; 3];
        (0..300).for_each(|_| counts[scheduler.choose(&runnable)] += 1);
        assert!(counts.iter().all(|count| *count > 60), "{counts:?}");
    }
}
