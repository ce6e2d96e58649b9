//! The simulated world: a kernel with sources, under madsim, as a target for plans.
//!
//! Everything in a world follows from its seed and its plan. Time is virtual; a death of a source
//! is the end of its task and of every handle of its file system.

#[cfg(not(madsim))]
compile_error!(
    "the simulator needs `--cfg madsim`: build inside the workspace, whose .cargo/config.toml \
     sets it, and without RUSTFLAGS in the environment"
);

mod breach;
mod devices;
mod env;
mod overlap;
mod seed;
mod source;
mod stall;
mod store_target;
mod turnstile;
mod world;

pub use env::{AuditLog, AuditRecord, Clock, Randomness, SimEnv};
pub use seam::CallMemory;
pub use store_target::SimStoreMachine;
pub use world::World;

use conformance::campaign::Runner;
use conformance::lockstep::{self, Happening, Options, Run};
use conformance::plan::Plan;
use madsim::runtime::Runtime;

/// The store behind every source of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// SQLite on an in-memory file system.
    Sqlite,
    /// Ordered maps.
    Memory,
}

/// Runs plans in worlds of their own.
#[derive(Clone, Copy, Debug)]
pub struct SimRunner {
    /// The store behind every source.
    pub store: StoreKind,
}

impl SimRunner {
    /// As `run`; `watch` is told the position of every step before it is taken.
    pub fn run_watched(
        &self,
        plan: &Plan,
        seed: u64,
        options: Options,
        watch: &mut dyn FnMut(usize),
    ) -> Run {
        in_a_world(seed, self.store, async |world| {
            lockstep::run_watched(plan, world, options, watch).await
        })
    }

    /// Makes the calls of a recorded, faultless history in a world of its own and checks nothing.
    ///
    /// # Errors
    /// Why the world did not come up, in words.
    pub fn repeat_unchecked(
        &self,
        plan: &Plan,
        seed: u64,
        history: &[Happening],
    ) -> Result<(), String> {
        in_a_world(seed, self.store, async |world| {
            lockstep::repeat_unchecked(plan, history, world).await
        })
    }
}

impl Runner for SimRunner {
    fn run(&self, plan: &Plan, seed: u64, options: Options) -> Run {
        self.run_watched(plan, seed, options, &mut |_| ())
    }
}

/// Does something in a world of its own, to its end.
fn in_a_world<T>(seed: u64, store: StoreKind, work: impl AsyncFnOnce(&mut World) -> T) -> T {
    let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
    runtime.block_on(async {
        let mut world = World::new(seed, store);
        let result = work(&mut world).await;
        world.shut_down().await;
        result
    })
}
