//! How fast histories of overlapping operations are checked for linearizability, on registers: what the
//! checker itself costs, without a registry in it.

use std::time::Duration;

use conformance::linearizability::register::{Contents, Registers, linearizable_history};
use conformance::linearizability::{Budget, Decision, EndStates, check};

/// Histories of one row.
const HISTORIES: u64 = 8;
/// Far more steps than any of them takes.
const BUDGET: Budget = Budget { steps_max: 50_000_000, end_states: EndStates::One };

/// One row: its name, how many operations a history has, how many of them are under way at once, and the
/// floor and the goal of operations a second.
type Measured = (&'static str, usize, u32, f64, f64);

/// What is measured.
pub const ROWS: [Measured; 4] = [
    ("linearizability: registers, 1,000 by 4", 1_000, 4, 40e3, 200e3),
    ("linearizability: registers, 10,000 by 4", 10_000, 4, 40e3, 200e3),
    ("linearizability: registers, 1,000 by 8", 1_000, 8, 10e3, 50e3),
    ("linearizability: registers, 1,000 by 16", 1_000, 16, 500.0, 5e3),
];

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
