//! How fast histories of overlapping operations are checked for linearizability, on registers: what the
//! checker itself costs, without a registry in it.

use std::time::Duration;

use conformance::linearizability::register::{Contents, Registers, linearizable_history};
use conformance::linearizability::{Budget, Decision, EndStates, Prefix, check};

/// Histories of one row.
const HISTORIES: u64 = 8;
/// Far more steps than any of them takes.
const BUDGET: Budget =
    Budget { steps_max: 50_000_000, end_states: EndStates::One, prefix: Prefix::Longest };

/// What is measured: how many operations a history has, and how many of them are under way at once.
pub const ROWS: [(super::Named, usize, u32); 4] = [
    (("linearizability: registers, 1,000 by 4", UNIT, 40e3, 200e3), 1_000, 4),
    (("linearizability: registers, 10,000 by 4", UNIT, 40e3, 200e3), 10_000, 4),
    (("linearizability: registers, 1,000 by 8", UNIT, 10e3, 50e3), 1_000, 8),
    (("linearizability: registers, 1,000 by 16", UNIT, 500.0, 5e3), 1_000, 16),
];
const UNIT: &str = "operations/s";

/// Operations checked a second, of histories that are linearizable.
///
/// # Errors
/// What was decided of one of them instead.
pub fn speed(operations: usize, overlap: u32, time: Duration) -> Result<f64, String> {
    let histories: Vec<_> =
        (0..HISTORIES).map(|seed| linearizable_history(seed, operations, overlap)).collect();
    let mut failed = None;
    let figure = super::rate(time, |round| {
        let history = &histories[round as usize % histories.len()];
        match check(&Registers, vec![Contents::new()], history, BUDGET) {
            Decision::Linearizable { .. } => {}
            other => failed = Some(format!("a linearizable history is judged {other:?}")),
        }
        history.len() as u64
    });
    failed.map_or(Ok(figure), Err)
}
