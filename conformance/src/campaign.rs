//! Many seeds over all cores: each in a fresh thread, its panics caught, a sample of them twice.
//!
//! One event type feeds every reporter. Nothing here depends on the order in which seeds finish.

use std::cell::RefCell;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use crate::divergence::{Divergence, Finding};
use crate::lockstep::{Options, Run, Verdict};
use crate::plan::Plan;
use crate::statistics::Statistics;
use crate::trace;

/// Runs one plan in a fresh world.
pub trait Runner: Sync {
    /// Runs the plan to its verdict. `seed` decides whatever the world has to choose.
    fn run(&self, plan: &Plan, seed: u64, options: Options) -> Run;
}

/// What to run.
pub struct Campaign<'a> {
    /// The seeds.
    pub seeds: Range<u64>,
    /// Threads.
    pub jobs: usize,
    /// One seed in this many runs a second time, on another thread, to compare traces.
    pub twice_one_in: u64,
    /// Makes the plan of a seed.
    pub plan: &'a (dyn Fn(u64) -> Plan + Sync),
    /// Makes a world and runs a plan in it.
    pub runner: &'a dyn Runner,
    /// Set by whoever wants the campaign to end early.
    pub cancelled: &'a AtomicBool,
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
    /// The combined trace, in seed order.
    pub trace: u128,
    /// Whether it ended early.
    pub cancelled: bool,
}

struct SeedResult {
    seed: u64,
    statistics: Statistics,
    trace: u128,
    ending: Ending,
}

enum Ending {
    Conforms,
    Diverges(Box<Divergence>),
    Indeterminate(String),
    Fault(String),
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes panics of seeds be remembered instead of printed. Call once, before a campaign.
pub fn remember_panics() {
    panic::set_hook(Box::new(|info| {
        LAST_PANIC.with(|last| *last.borrow_mut() = info.to_string().replace('\n', " "));
    }));
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
        pool.install(|| {
            self.seeds.clone().into_par_iter().for_each(|seed| {
                if self.cancelled.load(Ordering::Relaxed) {
                    return;
                }
                let result = self.run_seed(seed);
                self.tell(&result, sink);
                results.lock().expect("no panic holds this lock").push(result);
            });
        });
        let mut results = results.into_inner().expect("no panic holds this lock");
        results.sort_by_key(|result| result.seed);
        self.summarise(results)
    }

    fn run_seed(&self, seed: u64) -> SeedResult {
        let first = in_fresh_thread(|| self.run_once(seed));
        if !seed.is_multiple_of(self.twice_one_in.max(1)) {
            return first;
        }
        let second = in_fresh_thread(|| self.run_once(seed));
        if first.trace == second.trace {
            return first;
        }
        let what = format!(
            "two runs of one plan differ: trace {:032x}, then {:032x}",
            first.trace, second.trace
        );
        SeedResult { ending: Ending::Fault(what), ..first }
    }

    fn run_once(&self, seed: u64) -> SeedResult {
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            let plan = (self.plan)(seed);
            self.runner.run(&plan, seed, Options::default())
        }));
        match outcome {
            Ok(run) => SeedResult {
                seed,
                statistics: run.statistics,
                trace: run.trace,
                ending: match run.verdict {
                    Verdict::Conforms => Ending::Conforms,
                    Verdict::Diverges(divergence) => Ending::Diverges(divergence),
                    Verdict::Indeterminate(reason) => Ending::Indeterminate(reason),
                    Verdict::HarnessFault(fault) => Ending::Fault(fault),
                },
            },
            Err(_) => SeedResult {
                seed,
                statistics: Statistics::default(),
                trace: 0,
                ending: Ending::Fault(LAST_PANIC.with(|last| last.borrow().clone())),
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
            trace: trace::combine(results.iter().map(|result| result.trace)),
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
fn in_fresh_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(16 << 20).spawn_scoped(scope, work);
        let result = thread.expect("a thread for a seed").join();
        result.expect("panics of a seed are caught inside")
    })
}
