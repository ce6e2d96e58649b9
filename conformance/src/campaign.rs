//! Many seeds over all cores, in ascending order: each in a fresh thread, its panics caught, a sample of
//! them twice. What ends early has run all seeds up to one, and can go on from there.
//!
//! One event type feeds every reporter. Nothing here depends on the order in which seeds finish.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::divergence::{Divergence, Finding};
use crate::lockstep::{Options, Run, Verdict};
use crate::panics;
use crate::plan::Plan;
use crate::seeds::Seeds;
use crate::statistics::Statistics;
use crate::trace::{self, first_difference};

/// Runs one plan in a fresh world.
pub trait Runner: Sync {
    /// Runs the plan to its verdict. `seed` decides whatever the world has to choose.
    fn run(&self, plan: &Plan, seed: u64, options: Options) -> Run;
}

/// What to run.
pub struct Campaign<'a> {
    /// The seeds.
    pub seeds: Seeds,
    /// Threads.
    pub jobs: usize,
    /// One seed in this many, by its place among them, runs a second time, on another thread, to compare traces;
    /// `None` where no two runs of a plan are alike.
    pub twice_one_in: Option<u64>,
    /// How each plan is run.
    pub options: Options,
    /// Makes the plan of a seed.
    pub plan: &'a (dyn Fn(u64) -> Plan + Sync),
    /// Makes a world and runs a plan in it.
    pub runner: &'a dyn Runner,
    /// Set by whoever wants the campaign to end early.
    pub cancelled: &'a AtomicBool,
    /// Whether the time that the campaign was given is over; no seed is begun after that.
    pub is_time_over: &'a (dyn Fn() -> bool + Sync),
}

/// What happens in a campaign, for reporters.
#[derive(Clone, Debug)]
pub enum Event {
    /// A seed is done.
    SeedDone {
        /// Calls checked in it.
        calls: u64,
    },
    /// A seed diverged.
    Found(Box<Finding>),
    /// A seed showed a fault of the harness.
    Faulty(SeedFault),
}

/// A seed that tells of a fault of the harness, or of an undecided check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedFault {
    /// The seed.
    pub seed: u64,
    /// What happened.
    pub what: String,
}

/// What a campaign came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds that ran.
    pub seeds: u64,
    /// Counts over all of them.
    pub statistics: Statistics,
    /// Divergences, by seed.
    pub findings: Vec<Finding>,
    /// Panics, failures of the world and nondeterminism, by seed.
    pub faults: Vec<SeedFault>,
    /// Checks that could not be decided, by seed.
    pub indeterminate: Vec<SeedFault>,
    /// The combined trace, in seed order, where two runs of a plan are alike.
    pub trace: Option<u128>,
    /// Whether it was made to end early.
    pub cancelled: bool,
    /// The first seed that did not run any more, if not all did.
    pub next_seed: Option<u64>,
}

struct SeedResult {
    seed: u64,
    statistics: Statistics,
    trace: u128,
    ending: Ending,
}

impl SeedResult {
    fn in_words(&self) -> String {
        match &self.ending {
            Ending::Fault(what) => format!("trace {:032x} ({what})", self.trace),
            _ => format!("trace {:032x}", self.trace),
        }
    }
}

enum Ending {
    Conforms,
    Diverges(Box<Divergence>),
    Indeterminate(String),
    Fault(String),
}

impl Campaign<'_> {
    /// Runs every seed. Events come from several threads, in no particular order.
    ///
    /// # Panics
    /// When the thread pool cannot be made.
    pub fn run(&self, sink: &(dyn Fn(Event) + Sync)) -> Summary {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.jobs)
            .build()
            .expect("threads for the campaign");
        let results = Mutex::new(Vec::new());
        let next = AtomicU64::new(0);
        pool.broadcast(|_| {
            while !self.ends_early() {
                let position = next.fetch_add(1, Ordering::Relaxed);
                let Some(seed) = self.seeds.at(position) else { break };
                let result = self.run_seed(seed, position);
                self.tell(&result, sink);
                results.lock().expect("no panic holds this lock").push(result);
            }
        });
        let mut results = results.into_inner().expect("no panic holds this lock");
        results.sort_by_key(|result| result.seed);
        let next_seed = self.seeds.at(results.len() as u64);
        Summary { next_seed, ..self.summarise(results) }
    }

    fn ends_early(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || (self.is_time_over)()
    }

    fn run_seed(&self, seed: u64, position: u64) -> SeedResult {
        let first = in_fresh_thread(|| self.run_once(seed));
        let is_repeated = |one_in: u64| position.is_multiple_of(one_in.max(1));
        if !self.twice_one_in.is_some_and(is_repeated) {
            return first;
        }
        let second = in_fresh_thread(|| self.run_once(seed));
        if first.trace == second.trace {
            return first;
        }
        let what = format!(
            "two runs of one plan differ: {}, then {}; {}",
            first.in_words(),
            second.in_words(),
            self.where_runs_differ(seed)
        );
        SeedResult { ending: Ending::Fault(what), ..first }
    }

    /// The first event in which two more runs of a seed differ.
    fn where_runs_differ(&self, seed: u64) -> String {
        let events = || {
            in_fresh_thread(|| {
                let options = Options { record_trace: true, ..self.options };
                let run = panics::caught(|| self.runner.run(&(self.plan)(seed), seed, options));
                run.map_or(Vec::new(), |run| run.events)
            })
        };
        let (one, other) = (events(), events());
        first_difference(&one, &other)
            .unwrap_or_else(|| "two more runs, whose events were kept, were alike".to_owned())
    }

    fn run_once(&self, seed: u64) -> SeedResult {
        let outcome = panics::caught(|| {
            let plan = (self.plan)(seed);
            self.runner.run(&plan, seed, self.options)
        });
        match outcome {
            Ok(run) => SeedResult {
                seed,
                statistics: run.statistics,
                trace: run.trace,
                ending: match run.verdict {
                    Verdict::Conforms => Ending::Conforms,
                    Verdict::Diverges(divergence) => Ending::Diverges(divergence),
                    Verdict::Indeterminate(reason) => Ending::Indeterminate(reason),
                    // The generator must not make such plans.
                    Verdict::Outside(what) => {
                        Ending::Fault(format!("the plan is outside this edition: {what}"))
                    }
                    Verdict::HarnessFault(fault) => Ending::Fault(fault),
                },
            },
            Err(panic) => SeedResult {
                seed,
                statistics: Statistics::default(),
                trace: 0,
                ending: Ending::Fault(panic),
            },
        }
    }

    fn tell(&self, result: &SeedResult, sink: &(dyn Fn(Event) + Sync)) {
        match &result.ending {
            Ending::Diverges(divergence) => {
                sink(Event::Found(Box::new(self.finding(result.seed, divergence))));
            }
            Ending::Fault(what) | Ending::Indeterminate(what) => {
                sink(Event::Faulty(SeedFault { seed: result.seed, what: what.clone() }));
            }
            Ending::Conforms => {}
        }
        sink(Event::SeedDone { calls: result.statistics.calls });
    }

    fn finding(&self, seed: u64, divergence: &Divergence) -> Finding {
        Finding { seed: Some(seed), plan: (self.plan)(seed), divergence: divergence.clone() }
    }

    fn summarise(&self, results: Vec<SeedResult>) -> Summary {
        let mut summary = Summary {
            seeds: results.len() as u64,
            trace: self
                .twice_one_in
                .map(|_| trace::combine(results.iter().map(|result| result.trace))),
            cancelled: self.cancelled.load(Ordering::Relaxed),
            ..Summary::default()
        };
        for result in results {
            summary.statistics.add(&result.statistics);
            let seed = result.seed;
            match result.ending {
                Ending::Conforms => {}
                Ending::Diverges(divergence) => {
                    summary.findings.push(self.finding(seed, &divergence));
                }
                Ending::Indeterminate(what) => {
                    summary.indeterminate.push(SeedFault { seed, what });
                }
                Ending::Fault(what) => summary.faults.push(SeedFault { seed, what }),
            }
        }
        summary
    }
}

/// Runs something in a thread of its own: hash seeds that libraries draw once a thread then
/// repeat.
pub(crate) fn in_fresh_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(16 << 20).spawn_scoped(scope, work);
        let result = thread.expect("a thread for a seed").join();
        result.expect("panics of a seed are caught inside")
    })
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::divergence::Kind;

    /// A runner that does what it is told to.
    struct Told<F>(F);

    impl<F: Fn(u64) -> Run + Sync> Runner for Told<F> {
        fn run(&self, _: &Plan, seed: u64, _: Options) -> Run {
            self.0(seed)
        }
    }

    fn conforming(trace: u128) -> Run {
        let statistics = Statistics { calls: 10, ..Statistics::default() };
        Run { statistics, trace, ..Run::stopped(Verdict::Conforms) }
    }

    fn diverging() -> Run {
        let divergence = Divergence {
            kind: Kind::Answer,
            step: 0,
            call_number: 0,
            actor: String::new(),
            what: "close(3)".to_owned(),
            requirements: Vec::new(),
            expected: "ok".to_owned(),
            got: "EBADF".to_owned(),
            split_at_step: None,
        };
        Run { verdict: Verdict::Diverges(Box::new(divergence)), ..conforming(1) }
    }

    fn run(
        seeds: Range<u64>,
        twice_one_in: u64,
        runner: &dyn Runner,
        cancelled: &AtomicBool,
        sink: &(dyn Fn(Event) + Sync),
    ) -> Summary {
        let plan = &|_| Plan::default();
        let is_time_over = &|| false;
        let seeds = seeds.into();
        let options = Options::default();
        let twice_one_in = Some(twice_one_in);
        Campaign { seeds, jobs: 2, twice_one_in, options, plan, runner, cancelled, is_time_over }
            .run(sink)
    }

    fn run_all(seeds: Range<u64>, twice_one_in: u64, runner: &dyn Runner) -> Summary {
        run(seeds, twice_one_in, runner, &AtomicBool::new(false), &|_| {})
    }

    #[test]
    fn a_panic_is_a_fault_of_its_seed_and_the_others_go_on() {
        let runner = Told(|seed: u64| {
            assert_ne!(seed, 3, "the world ends");
            conforming(seed.into())
        });
        let summary = run_all(0..8, 100, &runner);
        assert_eq!((summary.seeds, summary.statistics.calls), (8, 70));
        assert_eq!(summary.faults.len(), 1, "{:?}", summary.faults);
        assert_eq!(summary.faults[0].seed, 3);
        assert!(summary.faults[0].what.contains("the world ends"), "{:?}", summary.faults);
        assert!(summary.findings.is_empty() && !summary.cancelled);
    }

    #[test]
    fn a_panic_in_both_runs_of_a_seed_is_told_as_a_panic() {
        let summary = run_all(0..1, 1, &Told(|_| panic!("the world ends")));
        assert!(summary.faults[0].what.contains("the world ends"), "{:?}", summary.faults);
        assert!(!summary.faults[0].what.contains("two runs"), "{:?}", summary.faults);
    }

    #[test]
    fn a_plan_outside_this_edition_is_a_fault_of_the_generator() {
        let outside = || Verdict::Outside("a condition".to_owned());
        let summary = run_all(0..1, 100, &Told(|_| Run { verdict: outside(), ..conforming(1) }));
        let what = "the plan is outside this edition: a condition".to_owned();
        assert_eq!(summary.faults, [SeedFault { seed: 0, what }]);
    }

    #[test]
    fn two_traces_of_one_seed_are_a_fault() {
        let runs = AtomicU64::new(0);
        let runner = Told(|_| conforming(runs.fetch_add(1, Ordering::Relaxed).into()));
        let summary = run_all(5..6, 1, &runner);
        let what = "two runs of one plan differ: trace 00000000000000000000000000000000, \
                    then trace 00000000000000000000000000000001; \
                    two more runs, whose events were kept, were alike";
        assert_eq!(summary.faults, [SeedFault { seed: 5, what: what.to_owned() }]);
    }

    #[test]
    fn the_first_event_that_differs_is_told() {
        let runs = AtomicU64::new(0);
        let runner = Told(|_| {
            let mut trace = trace::Trace::keeping_events();
            trace.record("call", 1, b"open");
            let run = runs.fetch_add(1, Ordering::Relaxed);
            trace.record("frame", 2, &run.to_le_bytes());
            Run { events: trace.into_events(), ..conforming(run.into()) }
        });
        let summary = run_all(5..6, 1, &runner);
        let [fault] = &summary.faults[..] else { panic!("{:?}", summary.faults) };
        assert!(fault.what.contains("event 2 is\n  frame at 2 ns"), "{}", fault.what);
        assert!(summary.findings.is_empty());
    }

    #[test]
    fn a_panic_in_one_of_two_runs_is_told_with_the_two_traces() {
        let runs = AtomicU64::new(0);
        let runner = Told(|_| {
            assert_eq!(runs.fetch_add(1, Ordering::Relaxed), 0, "only once");
            conforming(7)
        });
        let what = &run_all(0..1, 1, &runner).faults[0].what;
        assert!(what.contains("two runs of one plan differ"), "{what}");
        assert!(what.contains("only once"), "{what}");
    }

    #[test]
    fn seeds_run_twice_only_as_often_as_asked() {
        let runs = AtomicU64::new(0);
        let runner = Told(|seed: u64| {
            runs.fetch_add(1, Ordering::Relaxed);
            conforming(seed.into())
        });
        run_all(0..10, 5, &runner);
        assert_eq!(runs.into_inner(), 12, "the first and the sixth twice");
    }

    #[test]
    fn findings_come_in_the_order_of_their_seeds() {
        let runner =
            Told(|seed: u64| if seed.is_multiple_of(3) { diverging() } else { conforming(1) });
        let summary = run_all(0..10, 100, &runner);
        let seeds: Vec<_> = summary.findings.iter().map(|finding| finding.seed).collect();
        assert_eq!(seeds, [Some(0), Some(3), Some(6), Some(9)]);
    }

    #[test]
    fn a_cancelled_campaign_keeps_what_it_has_and_says_so() {
        let cancelled = AtomicBool::new(false);
        let runner = Told(|seed: u64| conforming(seed.into()));
        let summary = run(0..100_000, 0, &runner, &cancelled, &|event| {
            if matches!(event, Event::SeedDone { .. }) {
                cancelled.store(true, Ordering::Relaxed);
            }
        });
        assert!(summary.cancelled);
        assert!((1..100_000).contains(&summary.seeds), "{} seeds", summary.seeds);
        assert_eq!(summary.statistics.calls, summary.seeds * 10);
        assert_eq!(summary.next_seed, Some(summary.seeds), "all below it ran");
    }

    #[test]
    fn a_campaign_whose_time_is_over_can_go_on_where_it_ended() {
        let done = AtomicU64::new(0);
        let runner = Told(|seed: u64| {
            done.fetch_add(1, Ordering::Relaxed);
            conforming(seed.into())
        });
        let summary = Campaign {
            seeds: (5..100_000).into(),
            jobs: 1,
            twice_one_in: Some(1_000_000),
            options: Options::default(),
            plan: &|_| Plan::default(),
            runner: &runner,
            cancelled: &AtomicBool::new(false),
            // The first seed runs twice.
            is_time_over: &|| done.load(Ordering::Relaxed) > 4,
        }
        .run(&|_| {});
        assert!(!summary.cancelled);
        assert_eq!((summary.seeds, summary.next_seed), (4, Some(9)));
    }

    #[test]
    fn the_trace_of_a_campaign_does_not_depend_on_who_finishes_first() {
        let trace = |slow, seeds| {
            let runner = Told(|seed: u64| {
                if seed == slow {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                conforming(u128::from(seed) << 64)
            });
            run_all(seeds, 100, &runner).trace
        };
        assert_eq!(trace(0, 0..4), trace(3, 0..4));
        assert_ne!(trace(0, 0..4), trace(0, 0..5));
    }
}
