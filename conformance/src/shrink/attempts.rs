//! Trials: plans that may show the divergence too, within a budget.

use std::ops::Range;

use crate::campaign::Runner;
use crate::divergence::{Divergence, Finding};
use crate::lockstep::{Options, Run, Verdict};
use crate::plan::Plan;

use super::class::Class;

/// Runs that shrinking may spend.
const RUNS_MAX: usize = 4_000;
/// Calls that these may make together.
const CALLS_MAX: u64 = 400_000;

/// The best plan so far, and how to find a better one.
pub(super) struct Attempts<'a> {
    best: Finding,
    class: Class,
    runner: &'a dyn Runner,
    seed: u64,
    runs: usize,
    calls: u64,
    taken: usize,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(finding: &Finding, runner: &'a dyn Runner) -> Attempts<'a> {
        Attempts {
            best: finding.clone(),
            class: Class::of(&finding.divergence),
            runner,
            seed: finding.seed.unwrap_or(0),
            runs: 0,
            calls: 0,
            taken: 0,
        }
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.best.plan
    }

    pub(super) fn divergence(&self) -> &Divergence {
        &self.best.divergence
    }

    /// How many trials were taken.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Whether nothing more is tried.
    pub(super) fn is_spent(&self) -> bool {
        self.runs >= RUNS_MAX || self.calls >= CALLS_MAX
    }

    pub(super) fn into_best(self) -> Finding {
        self.best
    }

    /// Takes the plan with this change, if it shows a divergence of the class.
    pub(super) fn try_change(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut plan = self.best.plan.clone();
        change(&mut plan);
        self.try_plan(plan)
    }

    /// Takes the plan if it is another one and shows a divergence of the class.
    pub(super) fn try_plan(&mut self, mut plan: Plan) -> bool {
        if self.is_spent() || plan == self.best.plan || plan.check_sources().is_err() {
            return false;
        }
        let run = self.run(&plan, Options::default());
        let Verdict::Diverges(divergence) = run.verdict else { return false };
        if !self.class.has(&divergence) {
            return false;
        }
        // Nothing after the divergence can matter.
        plan.steps.truncate(divergence.step.saturating_add(1));
        // What conforms beside what is expected must not come back.
        self.class = Class::of(&divergence);
        self.best.plan = plan;
        self.best.divergence = *divergence;
        self.taken += 1;
        true
    }

    pub(super) fn run(&mut self, plan: &Plan, options: Options) -> Run {
        let run = self.runner.run(plan, self.seed, options);
        self.runs += 1;
        self.calls += run.statistics.calls;
        run
    }

    /// Leaves out parts of a list in the plan: halves, then quarters, from the back to the front, down to
    /// single items, until none can go. This is delta debugging (Zeller and Hildebrandt, "Simplifying and
    /// Isolating Failure-Inducing Input", 2002) without the trials that keep one part alone.
    pub(super) fn shorten(
        &mut self,
        length: impl Fn(&Plan) -> usize,
        leave_out: impl Fn(&mut Plan, Range<usize>),
    ) {
        let mut chunk = length(self.plan()).div_ceil(2).max(1);
        loop {
            let before = self.taken;
            let mut end = length(self.plan());
            while end > 0 && !self.is_spent() {
                let start = end.saturating_sub(chunk);
                self.try_change(|plan| leave_out(plan, start..end));
                end = start.min(length(self.plan()));
            }
            if self.is_spent() || (chunk == 1 && self.taken == before) {
                return;
            }
            chunk = if chunk > 1 { chunk.div_ceil(2) } else { 1 };
        }
    }
}
