//! Faults that strike at a known place: later in the plan with less to count, at once, or in a plainer way.

use crate::lockstep::Options;
use crate::plan::{Fault, Plan, Step};

use super::attempts::Attempts;

/// Simplifies every fault.
pub(super) fn simplify(attempts: &mut Attempts<'_>) {
    for position in 0..attempts.plan().steps.len() {
        let Some(Step::Fault(fault)) = attempts.plan().steps.get(position) else { continue };
        let fault = fault.clone();
        if let Some(request) = request_of(&fault) {
            strike_where_it_struck(attempts, position, &fault, request);
        }
        for simpler in simpler(&fault) {
            if attempts.try_change(|plan| plan.steps[position] = Step::Fault(simpler)) {
                break;
            }
        }
    }
}

/// Puts a fault that counts requests in front of the step during which it struck, so that it has less to
/// count: steps before that can then go without moving it.
fn strike_where_it_struck(
    attempts: &mut Attempts<'_>,
    position: usize,
    fault: &Fault,
    request: u32,
) {
    let options = Options { record_requests: true, ..Options::default() };
    let plan = attempts.plan().clone();
    let sent: Vec<usize> = attempts.run(&plan, options).requests.iter().map(Vec::len).collect();
    let mut left = request as usize;
    for step in position + 1..plan.steps.len() {
        // What the step of the divergence has sent is not known.
        let count = sent.get(step).copied().unwrap_or(usize::MAX);
        if left <= count {
            // Of several sources, not all requests go to this one.
            for fewer in (1..=left).rev() {
                let moved = moved(&plan, position, step, &with_request(fault, fewer as u32));
                if attempts.try_plan(moved) {
                    return;
                }
            }
            return;
        }
        left -= count;
    }
}

/// The plan with a fault in another place, in front of what is at `step` now.
fn moved(plan: &Plan, position: usize, step: usize, fault: &Fault) -> Plan {
    let mut plan = plan.clone();
    plan.steps.insert(step, Step::Fault(fault.clone()));
    plan.steps.remove(position);
    plan
}

fn request_of(fault: &Fault) -> Option<u32> {
    match fault {
        Fault::KillSourceAt { request, .. }
        | Fault::StallSourceAt { request, .. }
        | Fault::BreakProtocolAt { request, .. } => Some(*request),
        _ => None,
    }
}

fn with_request(fault: &Fault, count: u32) -> Fault {
    let mut fault = fault.clone();
    if let Fault::KillSourceAt { request, .. }
    | Fault::StallSourceAt { request, .. }
    | Fault::BreakProtocolAt { request, .. } = &mut fault
    {
        *request = count;
    }
    fault
}

/// Plainer faults to be tried in its place, the plainest first.
fn simpler(fault: &Fault) -> Vec<Fault> {
    match fault {
        Fault::KillSourceAt { source, executed: true, request } => {
            let (source, request) = (*source, *request);
            let unexecuted = Fault::KillSourceAt { source, request, executed: false };
            vec![Fault::KillSource { source }, unexecuted]
        }
        Fault::KillSourceAt { source, .. } => vec![Fault::KillSource { source: *source }],
        Fault::StallSourceAt { source, .. } => vec![Fault::StallSource { source: *source }],
        Fault::BreakProtocolAt { source, .. } | Fault::BreakProtocol { source, .. } => {
            vec![Fault::KillSource { source: *source }]
        }
        Fault::RestartSourceAs { source, .. } => vec![Fault::RestartSource { source: *source }],
        Fault::Reboot => Vec::new(),
        Fault::Wait { duration_ms } => [1_000, 10_000, 31_000, 61_000]
            .into_iter()
            .filter(|shorter| shorter < duration_ms)
            .map(|duration_ms| Fault::Wait { duration_ms })
            .collect(),
        _ => Vec::new(),
    }
}
