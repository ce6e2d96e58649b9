//! Replay of recorded picks. A pick that is too high, as shrinking may leave one, counts from the
//! beginning again. Behind the last pick whoever went on last goes on, as long as it can, and else the
//! first: so a schedule that is cut short has few switches.

use super::{Scheduler, TaskId};

pub(super) struct Replay {
    picks: std::vec::IntoIter<u32>,
    last: Option<TaskId>,
}

impl Replay {
    pub(super) fn new(picks: Vec<u32>) -> Replay {
        Replay { picks: picks.into_iter(), last: None }
    }
}

impl Scheduler for Replay {
    fn choose(&mut self, runnable: &[TaskId]) -> usize {
        let chosen = match self.picks.next() {
            Some(pick) => pick as usize % runnable.len().max(1),
            None => runnable.iter().position(|task| Some(*task) == self.last).unwrap_or(0),
        };
        self.last = runnable.get(chosen).copied();
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_the_last_pick_the_same_task_goes_on() {
        let mut scheduler = Replay::new(vec![1]);
        let runnable = [TaskId(0), TaskId(3), TaskId(8)];
        assert_eq!(scheduler.choose(&runnable), 1);
        assert_eq!(scheduler.choose(&runnable), 1);
        assert_eq!(scheduler.choose(&[TaskId(0), TaskId(8)]), 0);
        assert_eq!(scheduler.choose(&runnable), 0);
    }
}
