//! A register for each of a few keys: an object to measure the checker on, and to test it.

use std::collections::BTreeMap;

use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::{Operation, SequentialSpecification};

/// The keys of a history that is made.
const KEYS: u32 = 4;

/// Registers by key. One that was never written has no value.
#[derive(Clone, Copy, Debug)]
pub struct Registers;

/// An operation on the register of a key, with its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Writes a value.
    Write {
        /// The register.
        key: u32,
        /// The new value.
        value: u64,
    },
    /// Reads.
    Read {
        /// The register.
        key: u32,
        /// What was read.
        value: Option<u64>,
    },
    /// Writes a value if another is there.
    Exchange {
        /// The register.
        key: u32,
        /// What has to be there.
        expected: Option<u64>,
        /// The new value.
        value: u64,
        /// Whether it was.
        done: bool,
    },
}

/// What the registers hold.
pub type Contents = BTreeMap<u32, u64>;

impl SequentialSpecification for Registers {
    type State = Contents;
    type Operation = Access;

    fn step(&self, state: &Contents, access: &Access) -> Vec<Contents> {
        let (next, answered) = carried_out(state, access);
        if answered == *access { vec![next] } else { Vec::new() }
    }

    fn step_unanswered(&self, state: &Contents, access: &Access) -> Vec<Contents> {
        vec![carried_out(state, access).0]
    }

    fn is_read(&self, access: &Access) -> bool {
        matches!(access, Access::Read { .. } | Access::Exchange { done: false, .. })
    }

    fn fingerprint(&self, state: &Contents) -> u64 {
        let mix = |sum: u64, (key, value): (&u32, &u64)| {
            (sum ^ u64::from(*key) ^ value.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        };
        state.iter().fold(0, mix)
    }
}

/// What follows, and the access as it is answered.
fn carried_out(state: &Contents, access: &Access) -> (Contents, Access) {
    let mut next = state.clone();
    let answered = match *access {
        Access::Write { key, value } => {
            next.insert(key, value);
            *access
        }
        Access::Read { key, .. } => Access::Read { key, value: state.get(&key).copied() },
        Access::Exchange { key, expected, value, .. } => {
            let done = state.get(&key).copied() == expected;
            if done {
                next.insert(key, value);
            }
            Access::Exchange { key, expected, value, done }
        }
    };
    (next, answered)
}

/// A history of that many operations which is linearizable, as it was made by one: up to `overlap`
/// processes carry out an operation each, and what happens next is drawn.
pub fn linearizable_history(seed: u64, operations: usize, overlap: u32) -> Vec<Operation<Access>> {
    let mut rng = rng(seed);
    let mut processes = vec![Process::Idle; overlap.max(1) as usize];
    let mut contents = Contents::new();
    let mut history: Vec<Operation<Access>> = Vec::with_capacity(operations);
    let mut returned = 0;
    let mut position = 0;
    while returned < operations {
        position += 1;
        let number = rng.random_range(0..processes.len());
        processes[number] = match processes[number] {
            Process::Idle if history.len() == operations => Process::Idle,
            Process::Idle => {
                let operation = any_access(&mut rng, position, &contents);
                let process = number as u32;
                history.push(Operation { process, invoked: position, returned: None, operation });
                Process::Invoked(history.len() - 1)
            }
            Process::Invoked(index) => {
                let (next, answered) = carried_out(&contents, &history[index].operation);
                contents = next;
                history[index].operation = answered;
                Process::CarriedOut(index)
            }
            Process::CarriedOut(index) => {
                history[index].returned = Some(position);
                returned += 1;
                Process::Idle
            }
        };
    }
    history
}

#[derive(Clone, Copy)]
enum Process {
    Idle,
    Invoked(usize),
    CarriedOut(usize),
}

/// The position makes the value that is written one that no other access writes.
fn any_access(rng: &mut TestRng, position: u64, contents: &Contents) -> Access {
    let key = rng.random_range(0..KEYS);
    match rng.random_range(0..5) {
        0 | 1 => Access::Write { key, value: position },
        2 => {
            let expected = contents.get(&key).copied();
            Access::Exchange { key, expected, value: position, done: false }
        }
        _ => Access::Read { key, value: None },
    }
}

fn rng(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}
