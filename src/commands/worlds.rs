//! The worlds that a campaign runs its plans in: the simulator, or real threads.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use conformance::campaign::Runner;
use conformance::divergence::Finding;
use conformance::generate::on_threads::{self, LeftOut, on_threads};
use conformance::generate::{Profile, plan_of_seed};
use conformance::history;
use conformance::lockstep::{Options, Run, Verdict};
use conformance::panics::Guarded;
use conformance::plan::Plan;
use conformance::statistics::Sight;
use registry_model::errno::Errno;
use sim::SimRunner;
use threads::{SourceProgram, ThreadsRunner};

use super::{runner, store_option};
use crate::{Store, World as Named};

/// This very program, whatever has become of its file; its command `source` is a source process.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// What a campaign runs its plans in, and where these come from.
pub struct World {
    kind: Kind,
    store: Store,
    profile: Profile,
    calls: u32,
}

enum Kind {
    Sim(Guarded<SimRunner>),
    Threads(Recording),
}

impl World {
    /// The world of this name, with these stores.
    pub fn new(name: Named, store: Store, profile: Profile, calls: u32) -> Result<World, String> {
        let kind = match (name, store) {
            (Named::Sim, _) => Kind::Sim(runner(store)),
            (Named::Threads, Store::Sqlite) => Kind::Threads(Recording::new()),
            (Named::Threads, Store::Memory) => {
                return Err("the sources of real threads are processes, which have the store \
                            sqlite; leave --store out"
                    .to_owned());
            }
        };
        Ok(World { kind, store, profile, calls })
    }

    /// Whether two runs of a plan are alike.
    pub fn is_deterministic(&self) -> bool {
        matches!(self.kind, Kind::Sim(_))
    }

    /// What runs a plan.
    pub fn runner(&self) -> &dyn Runner {
        match &self.kind {
            Kind::Sim(runner) => runner,
            Kind::Threads(runner) => runner,
        }
    }

    /// The plan of a seed, as this world can carry it out.
    pub fn plan(&self, seed: u64) -> Plan {
        let plan = plan_of_seed(seed, self.profile, self.calls as usize);
        if self.is_deterministic() { plan } else { on_threads(&plan).0 }
    }

    /// The errnos that a campaign must have met.
    pub fn reachable_errnos(&self) -> Vec<Errno> {
        match &self.kind {
            Kind::Sim(_) => self.profile.reachable_errnos(),
            Kind::Threads(_) => on_threads::reachable_errnos(self.profile),
        }
    }

    /// What a campaign must have seen.
    pub fn sights(&self) -> Vec<Sight> {
        match &self.kind {
            Kind::Sim(_) => self.profile.sights().to_vec(),
            Kind::Threads(_) => on_threads::sights(self.profile),
        }
    }

    /// What was left out of the plans of these seeds.
    pub fn left_out(&self, seeds: impl Iterator<Item = u64>) -> LeftOut {
        let mut all = LeftOut::new();
        if self.is_deterministic() {
            return all;
        }
        for seed in seeds {
            let plan = plan_of_seed(seed, self.profile, self.calls as usize);
            for (what, count) in on_threads(&plan).1 {
                *all.entry(what).or_default() += count;
            }
        }
        all
    }

    /// How to see a finding again whose script is in a file. What cannot be replayed is saved with its history.
    pub fn how_to_see_again(&self, finding: &Finding, file: &Path) -> Result<String, String> {
        let Kind::Threads(recording) = &self.kind else {
            return Ok(format!("lockstep replay {}{}", file.display(), store_option(self.store)));
        };
        let path = file.with_extension("history");
        let seed = finding.seed.unwrap_or_default();
        fs::write(&path, recording.history(seed))
            .map_err(|error| format!("failed to write {}: {error}", path.display()))?;
        let (name, end) = (self.profile_name(), seed.saturating_add(1));
        Ok(format!(
            "perhaps by lockstep run --world threads --seeds {seed}..{end} --profile {name} --calls {}; \
             threads run otherwise each time, and what happened is in {}",
            self.calls,
            path.display()
        ))
    }

    fn profile_name(&self) -> &'static str {
        let named = Profile::ALL.iter().find(|(_, profile)| *profile == self.profile);
        named.map_or("default", |(name, _)| name)
    }
}

/// Runs plans on real threads, with this very program as that of its sources.
pub fn on_real_threads() -> ThreadsRunner {
    let (program, arguments) = (PathBuf::from(THIS_PROGRAM), vec![OsString::from("source")]);
    ThreadsRunner { program: SourceProgram { program, arguments } }
}

/// Runs on real threads that keep what happened where it did not conform.
struct Recording {
    runner: Guarded<ThreadsRunner>,
    histories: Mutex<BTreeMap<u64, String>>,
}

impl Recording {
    fn new() -> Recording {
        Recording { runner: Guarded(on_real_threads()), histories: Mutex::default() }
    }

    fn history(&self, seed: u64) -> String {
        let histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        histories.get(&seed).cloned().unwrap_or_default()
    }
}

impl Runner for Recording {
    fn run(&self, plan: &Plan, seed: u64, options: Options) -> Run {
        let run = self.runner.run(plan, seed, Options { record: true, ..options });
        if matches!(run.verdict, Verdict::Diverges(_)) {
            let mut histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
            histories.insert(seed, history::text(&run.history));
        }
        run
    }
}
