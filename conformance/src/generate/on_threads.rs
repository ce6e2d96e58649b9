//! Plans for real threads: those of the seeds, without what only the simulator can do.
//!
//! Time is real there, so that nothing may wait for seconds or come near to a time-out, and disks and power
//! are those of the machine. What is left out is counted, and the command line says so.

use std::collections::{BTreeMap, BTreeSet};

use registry_model::errno::Errno;
use registry_model::names::fold;

use super::Profile;
use crate::plan::{Action, Fault, Handle, Parallel, Plan, Step, Strand};
use crate::statistics::Sight;

/// What was left out of plans, in words, and how often.
pub type LeftOut = BTreeMap<&'static str, u64>;

/// Parameters that would make time-outs come near.
const TIMEOUTS: [&str; 2] = ["transactiontimeoutms", "requesttimeoutms"];

/// What a writer of PSD-006 does for 25 s while another has a hive.
const LOCK_WAITS: &str = "writes that would wait for an open transaction";

/// The plan as it can be carried out on real threads, and what that has cost it. A power loss becomes a reboot,
/// and a breach of the protocol the death that it ends in.
pub fn on_threads(plan: &Plan) -> (Plan, LeftOut) {
    let mut left_out = LeftOut::new();
    let mut leave_out = |what| *left_out.entry(what).or_default() += 1;
    let (mut steps, mut writers) = (Vec::new(), Writers::default());
    for step in &plan.steps {
        match step {
            Step::Fault(fault) => match fault_on_threads(fault) {
                Ok(possible) => {
                    if let (false, Some(what)) = (possible == *fault, what_is_lost(fault)) {
                        leave_out(what);
                    }
                    steps.push(Step::Fault(possible));
                }
                Err(what) => leave_out(what),
            },
            Step::Act { action, .. } => match action_left_out(action) {
                Some(what) => leave_out(what),
                None if writers.would_wait(action) => leave_out(LOCK_WAITS),
                None => {
                    writers.note(action);
                    steps.push(step.clone());
                }
            },
            Step::Parallel(parallel) => {
                steps.push(Step::Parallel(block_on_threads(parallel, &mut leave_out)));
            }
            Step::CompareViews => steps.push(Step::CompareViews),
        }
    }
    (Plan { steps, ..plan.clone() }, left_out)
}

/// The errnos of a profile that a campaign on real threads must have met.
pub fn reachable_errnos(profile: Profile) -> Vec<Errno> {
    let mut errnos = profile.reachable_errnos();
    errnos.retain(|errno| *errno != Errno::ETIMEDOUT);
    errnos
}

/// What such a campaign must have seen. How far calls overlap the machine decides.
pub fn sights(profile: Profile) -> Vec<Sight> {
    let mut sights = profile.sights().to_vec();
    sights.retain(|sight| !matches!(sight, Sight::Expiry | Sight::Overlap));
    sights
}

/// The fault as it can happen on real threads, or what it is that cannot.
fn fault_on_threads(fault: &Fault) -> Result<Fault, &'static str> {
    match fault {
        Fault::PowerLoss(_) => Ok(Fault::Reboot),
        Fault::BreakProtocol { source, .. } => Ok(Fault::KillSource { source: *source }),
        Fault::BreakProtocolAt { source, request, executed, .. } => {
            let (source, request, executed) = (*source, *request, *executed);
            Ok(Fault::KillSourceAt { source, request, executed })
        }
        _ => match what_is_lost(fault) {
            None => Ok(fault.clone()),
            Some(what) => Err(what),
        },
    }
}

/// What of a fault only the simulator can do.
fn what_is_lost(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::PowerLoss(_) => Some("power losses (reboots instead)"),
        Fault::PowerLossAt { .. } => Some("power losses in the middle of a change"),
        Fault::BreakProtocol { .. } | Fault::BreakProtocolAt { .. } => {
            Some("breaches of the protocol (deaths instead)")
        }
        Fault::StallSource { .. } | Fault::StallSourceAt { .. } => Some("stalls"),
        Fault::Disk { .. } => Some("failing disks"),
        Fault::SlowSource { .. } => Some("slow sources"),
        Fault::StoreEntry(_) => Some("records put into stores"),
        Fault::Wait { .. } => Some("waits"),
        Fault::KillSource { .. }
        | Fault::KillSourceAt { .. }
        | Fault::ReleaseSource { .. }
        | Fault::RestartSource { .. }
        | Fault::RestartSourceAs { .. }
        | Fault::Reboot
        | Fault::RefuseCommit { .. }
        | Fault::TransactionSupport { .. }
        | Fault::SnapshotSupport { .. }
        | Fault::FalseMaximum { .. } => None,
    }
}

fn action_left_out(action: &Action) -> Option<&'static str> {
    match action {
        Action::Within { action, .. } => action_left_out(action),
        Action::Set { name, .. } => {
            let name = fold(&String::from_utf8_lossy(&name.0));
            TIMEOUTS.contains(&name.as_str()).then_some("changes of time-outs")
        }
        _ => None,
    }
}

/// The transactions of a plan that have probably written and not ended: whoever else writes waits for them. Those of
/// blocks end in them.
#[derive(Default)]
struct Writers(BTreeSet<Handle>);

impl Writers {
    /// Whether an action waits for a transaction other than its own.
    fn would_wait(&self, action: &Action) -> bool {
        match action {
            Action::Within { transaction, action } => {
                is_write(action) && self.0.iter().any(|writer| writer != transaction)
            }
            Action::Commit { .. } => false,
            _ => is_write(action) && !self.0.is_empty(),
        }
    }

    fn note(&mut self, action: &Action) {
        match action {
            Action::Within { transaction, action } if is_write(action) => {
                self.0.insert(transaction.clone());
            }
            // Refused, a commit leaves it open; then it is closed before long.
            Action::Commit { transaction: handle }
            | Action::Begin { handle }
            | Action::Close { handle } => {
                self.0.remove(handle);
            }
            _ => {}
        }
    }
}

/// Whether an action writes to a store.
fn is_write(action: &Action) -> bool {
    matches!(
        action,
        Action::Create { .. }
            | Action::Set { .. }
            | Action::Update { .. }
            | Action::Unset { .. }
            | Action::Blanket { .. }
            | Action::Delete { .. }
            | Action::Hide { .. }
            | Action::SetSecurity { .. }
            | Action::Restore { .. }
            | Action::LayerCreate { .. }
            | Action::LayerSet { .. }
            | Action::LayerDelete { .. }
    )
}

fn block_on_threads(parallel: &Parallel, leave_out: &mut impl FnMut(&'static str)) -> Parallel {
    let strands = parallel.strands.iter().map(|strand| {
        let mut actions = strand.actions.clone();
        actions.retain(|action| match action_left_out(action) {
            Some(what) => {
                leave_out(what);
                false
            }
            None => true,
        });
        Strand { actor: strand.actor, actions }
    });
    Parallel { strands: strands.collect(), schedule: parallel.schedule.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::plan_of_seed;
    use super::*;

    #[test]
    fn what_only_the_simulator_can_do_is_left_out_and_counted() {
        for (_, profile) in Profile::ALL {
            for seed in 0..20 {
                let plan = plan_of_seed(seed, *profile, 200);
                let (possible, left_out) = on_threads(&plan);
                let is_possible = |step: &Step| match step {
                    Step::Fault(fault) => what_is_lost(fault).is_none(),
                    Step::Act { action, .. } => action_left_out(action).is_none(),
                    Step::Parallel(_) | Step::CompareViews => true,
                };
                assert!(possible.steps.iter().all(is_possible));
                let changed = plan.steps.iter().filter(|step| !is_possible(step)).count() as u64;
                let waits = left_out.get(LOCK_WAITS).copied().unwrap_or_default();
                assert_eq!(left_out.values().sum::<u64>(), changed + waits);
                assert_eq!((possible.actors, possible.sources), (plan.actors, plan.sources));
            }
        }
    }

    #[test]
    fn nobody_waits_for_a_transaction_that_has_written() {
        let text = "begin t\nset Machine\\A x dword 1\nset Machine\\A x dword 2 within t\n\
                    set Machine\\A x dword 3\nget Machine\\A x\ncommit t\nset Machine\\A x dword 4\n";
        let plan = crate::script::parse(text, "test").expect("a script").plan;
        let (possible, left_out) = on_threads(&plan);
        assert_eq!((possible.steps.len(), left_out), (6, LeftOut::from([(LOCK_WAITS, 1)])));
    }

    #[test]
    fn the_calm_profile_and_blocks_keep_nearly_everything() {
        let (plan, profile) = (plan_of_seed(3, Profile::Chaos, 200), Profile::Calm);
        let blocks = |plan: &Plan| {
            plan.steps.iter().filter(|step| matches!(step, Step::Parallel(_))).count()
        };
        assert_eq!(blocks(&on_threads(&plan).0), blocks(&plan));
        assert!(on_threads(&plan_of_seed(3, profile, 200)).1.is_empty());
    }
}
