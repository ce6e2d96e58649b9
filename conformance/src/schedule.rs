//! Who goes on, where several tasks of a world could: schedules as data, and the schedulers behind
//! them, one a file.
//!
//! Knows neither tasks nor worlds: a scheduler sees the numbers of those that can go on, and picks one.
//! Every pick is recorded, so that any schedule can be replayed (design §4).

mod mixing;
mod pct;
mod random;
mod replay;
mod round_robin;

use pct::Pct;
use random::Random;
use replay::Replay;
use round_robin::RoundRobin;

/// A task of a world, by a number that is its own as long as calls overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

/// Decides who goes on.
pub trait Scheduler {
    /// Which of these tasks goes on, by its position. There are two or more, in ascending order.
    fn choose(&mut self, runnable: &[TaskId]) -> usize;
}

/// How overlapping calls are ordered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Schedule {
    /// Every task that can go on is as likely as any other.
    Random {
        /// What the picks follow from.
        seed: u64,
    },
    /// By priorities that are drawn at random and change a few times.
    Pct {
        /// How many ordered steps a defect may take to show; one less than this are the changes.
        depth: u32,
        /// What priorities and changes follow from.
        seed: u64,
    },
    /// Everyone in turn, one step each.
    RoundRobin,
    /// The recorded picks, and after them the task that went on last, as long as it can.
    Replay {
        /// Positions among the tasks that could go on.
        picks: Vec<u32>,
    },
}

impl Schedule {
    /// Whoever decides by this schedule, from its beginning.
    pub fn scheduler(&self) -> Box<dyn Scheduler> {
        match self {
            Schedule::Random { seed } => Box::new(Random::new(*seed)),
            Schedule::Pct { depth, seed } => Box::new(Pct::new(*depth, *seed)),
            Schedule::RoundRobin => Box::new(RoundRobin::default()),
            Schedule::Replay { picks } => Box::new(Replay::new(picks.clone())),
        }
    }
}

/// A scheduler with a record of what it picked.
pub struct Recorder {
    scheduler: Box<dyn Scheduler>,
    picks: Vec<u32>,
}

impl Recorder {
    /// Records what this scheduler picks from now on.
    pub fn new(scheduler: Box<dyn Scheduler>) -> Recorder {
        Recorder { scheduler, picks: Vec::new() }
    }

    /// What was picked.
    pub fn into_picks(self) -> Vec<u32> {
        self.picks
    }
}

impl Scheduler for Recorder {
    fn choose(&mut self, runnable: &[TaskId]) -> usize {
        let pick = self.scheduler.choose(runnable);
        self.picks.push(u32::try_from(pick).unwrap_or(u32::MAX));
        pick
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who goes on in a world of three tasks, of which the second comes and goes.
    fn order(schedule: &Schedule) -> (Vec<u32>, Vec<u32>) {
        let mut recorder = Recorder::new(schedule.scheduler());
        let ran = (0..30).map(|step| {
            let runnable: &[u32] = if step % 4 == 3 { &[0, 7] } else { &[0, 3, 7] };
            let runnable: Vec<TaskId> = runnable.iter().map(|id| TaskId(*id)).collect();
            runnable[recorder.choose(&runnable)].0
        });
        let ran = ran.collect();
        (ran, recorder.into_picks())
    }

    #[test]
    fn what_was_recorded_is_replayed() {
        let schedules = [
            Schedule::Random { seed: 17 },
            Schedule::Pct { depth: 3, seed: 17 },
            Schedule::RoundRobin,
            Schedule::Replay { picks: vec![2, 0, 9] },
        ];
        for schedule in schedules {
            let (ran, picks) = order(&schedule);
            assert_eq!(order(&Schedule::Replay { picks }).0, ran, "{schedule:?}");
        }
    }

    #[test]
    fn seeds_decide_and_nothing_else() {
        let of_seed =
            |seed| [order(&Schedule::Random { seed }), order(&Schedule::Pct { depth: 3, seed })];
        assert_eq!(of_seed(1), of_seed(1));
        assert_ne!(of_seed(1), of_seed(2));
    }
}
