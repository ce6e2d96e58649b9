//! Round robin: the next task after the one that went on last, by their numbers.

use super::{Scheduler, TaskId};

#[derive(Default)]
pub(super) struct RoundRobin {
    last: Option<TaskId>,
}

impl Scheduler for RoundRobin {
    fn choose(&mut self, runnable: &[TaskId]) -> usize {
        let next = runnable.iter().position(|task| Some(*task) > self.last).unwrap_or(0);
        self.last = runnable.get(next).copied();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_before_anybody_has_two() {
        let runnable = [TaskId(0), TaskId(4), TaskId(6)];
        let mut scheduler = RoundRobin::default();
        let picks: Vec<usize> = (0..6).map(|_| scheduler.choose(&runnable)).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_task_that_cannot_go_on_is_passed_over() {
        let mut scheduler = RoundRobin::default();
        assert_eq!(scheduler.choose(&[TaskId(0), TaskId(1)]), 0);
        assert_eq!(scheduler.choose(&[TaskId(0), TaskId(2)]), 1);
    }
}
