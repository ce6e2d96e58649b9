//! Certification: scripts and random plans against one kind of store, to one result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use rayon::prelude::*;

use super::generate::{Features, plan_of_seed};
use super::lockstep::{StoreDivergence, StoreRun, StoreStatistics, StoreVerdict, run};
use super::shrink::{StoreFinding, shrink};
use super::target::StoreMachine;
use crate::script::store::{StoreDifference, StoreScript, compare};

/// Findings that are shrunk; the others are only counted.
const SHRUNK_MAX: usize = 3;
/// One random plan in this many runs twice, to compare traces.
const TWICE_ONE_IN: u64 = 20;

/// What a certification consists of beside the scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Random plans.
    pub plans: u64,
    /// About how many requests each has, those of comparisons apart.
    pub requests: usize,
    /// What the plans make use of.
    pub features: Features,
}

impl Level {
    /// In seconds.
    pub const SMOKE: Level = Level { plans: 200, requests: 60, features: Features::ALL };
    /// In minutes.
    pub const FULL: Level = Level { plans: 5_000, requests: 150, features: Features::ALL };
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptOutcome {
    /// Text, model and source agree.
    Passes,
    /// Model and source agree, the text expects something else.
    Differs(Vec<StoreDifference>),
    /// The source diverged.
    Diverges(Box<StoreDivergence>),
    /// The checker could not decide.
    Indeterminate(String),
    /// The harness failed.
    HarnessFault(String),
}

/// How a run of a script ended.
pub fn script_outcome(script: &StoreScript, run: &StoreRun) -> ScriptOutcome {
    match &run.verdict {
        StoreVerdict::Conforms => {
            let differences = compare(script, &run.answers);
            if differences.is_empty() {
                ScriptOutcome::Passes
            } else {
                ScriptOutcome::Differs(differences)
            }
        }
        StoreVerdict::Diverges(divergence) => ScriptOutcome::Diverges(divergence.clone()),
        StoreVerdict::Indeterminate(reason) => ScriptOutcome::Indeterminate(reason.clone()),
        StoreVerdict::HarnessFault(fault) => ScriptOutcome::HarnessFault(fault.clone()),
    }
}

/// What a certification came to.
#[derive(Clone, Debug, Default)]
pub struct Certification {
    /// Every script by its name, with the requirements that it asserts.
    pub scripts: Vec<(String, Vec<String>, ScriptOutcome)>,
    /// Random plans that ran.
    pub plans: u64,
    /// Plans that diverged, by seed; the first few are shrunk.
    pub findings: Vec<StoreFinding>,
    /// Plans that could not be decided, by seed.
    pub indeterminate: Vec<(u64, String)>,
    /// Plans that showed a fault of the harness, by seed.
    pub faults: Vec<(u64, String)>,
    /// What scripts and plans exercised together.
    pub statistics: StoreStatistics,
    /// What the plans alone exercised.
    pub of_plans: StoreStatistics,
}

/// How the requirements of one prefix came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Asserted by a script, and no script that asserts it fails.
    pub held: usize,
    /// Asserted by a script that fails.
    pub broken: usize,
}

impl Certification {
    /// The requirements that the scripts assert, by prefix.
    pub fn tallies(&self) -> BTreeMap<String, Tally> {
        let mut asserted: BTreeMap<&str, bool> = BTreeMap::new();
        for (_, requirements, outcome) in &self.scripts {
            for id in requirements.iter().filter(|id| is_requirement(id)) {
                *asserted.entry(id).or_insert(true) &= *outcome == ScriptOutcome::Passes;
            }
        }
        let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
        for (id, held) in asserted {
            let prefix = id.split('-').next().unwrap_or_default();
            let tally = tallies.entry(prefix.to_owned()).or_default();
            if held {
                tally.held += 1;
            } else {
                tally.broken += 1;
            }
        }
        tallies
    }

    /// What makes the random plans too thin to conclude anything from, one reason each.
    pub fn vacuous(&self) -> Vec<String> {
        let statuses = &self.of_plans.statuses;
        let reachable = ["OK", "NOT_FOUND", "ALREADY_EXISTS", "TXN_BUSY", "INVALID", "CAS_FAILED"];
        let missing = reachable.iter().filter(|status| !statuses.contains_key(*status));
        let mut reasons: Vec<String> =
            missing.map(|status| format!("no request was answered {status}")).collect();
        let succeeded = statuses.get("OK").copied().unwrap_or(0);
        let answered: u64 = statuses.values().sum();
        if succeeded * 2 < answered {
            reasons.push(format!("{succeeded} of {answered} requests succeeded; half must"));
        }
        if self.of_plans.endings == 0 {
            reasons.push("no plan ended the source".to_owned());
        }
        reasons
    }
}

/// Runs the scripts and then `level.plans` random plans from seed `first_seed` on.
pub fn certify(
    machine: &dyn StoreMachine,
    scripts: &[(String, StoreScript)],
    level: Level,
    first_seed: u64,
) -> Certification {
    let mut certification = Certification::default();
    for (name, script) in scripts {
        let run = run(&script.plan, machine, script.seed.unwrap_or(0));
        certification.statistics.add(&run.statistics);
        let outcome = script_outcome(script, &run);
        certification.scripts.push((name.clone(), script.requirements.clone(), outcome));
    }
    let results = Mutex::new(BTreeMap::new());
    (first_seed..first_seed.saturating_add(level.plans)).into_par_iter().for_each(|seed| {
        let run = run_seed(machine, level, seed);
        let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        results.insert(seed, run);
    });
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (seed, run) in results {
        certification.plans += 1;
        certification.of_plans.add(&run.statistics);
        match run.verdict {
            StoreVerdict::Conforms => {}
            StoreVerdict::Diverges(divergence) => {
                let plan = plan_of_seed(seed, level.requests, level.features);
                let finding = StoreFinding { seed, plan, divergence: *divergence };
                certification.findings.push(finding);
            }
            StoreVerdict::Indeterminate(reason) => certification.indeterminate.push((seed, reason)),
            StoreVerdict::HarnessFault(fault) => certification.faults.push((seed, fault)),
        }
    }
    for finding in certification.findings.iter_mut().take(SHRUNK_MAX) {
        *finding = shrink(finding, machine);
    }
    certification.statistics.add(&certification.of_plans);
    certification
}

/// Runs the plan of a seed; some of them twice, which must come to the same.
fn run_seed(machine: &dyn StoreMachine, level: Level, seed: u64) -> StoreRun {
    let plan = plan_of_seed(seed, level.requests, level.features);
    let mut first = run(&plan, machine, seed);
    if seed.is_multiple_of(TWICE_ONE_IN) {
        let second = run(&plan, machine, seed);
        if second.trace != first.trace {
            let what = format!("two runs differ: {:032x}, {:032x}", first.trace, second.trace);
            first.verdict = StoreVerdict::HarnessFault(what);
        }
    }
    first
}

/// The ids that a script's header names and that nothing marked while it ran, decisions apart.
pub fn unmarked<'a>(script: &'a StoreScript, covered: &BTreeSet<&str>) -> Vec<&'a str> {
    let ids = script.requirements.iter().map(String::as_str);
    ids.filter(|id| is_requirement(id) && !covered.contains(id)).collect()
}

/// Whether an id is of the catalogue and not that of a decision.
fn is_requirement(id: &str) -> bool {
    !id.starts_with("D-") && !id.starts_with("P-")
}
