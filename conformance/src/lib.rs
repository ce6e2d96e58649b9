//! Plans, generators, scripts, the lockstep checker, the oracle and the wire monitor.
//!
//! Knows the model and no implementation: a target is a raw surface (`target`), and the ABI is
//! encoded here once more (`typed`), and malformed on purpose (`twist`).

mod alias;
pub mod audit;

mod audited;
mod belief;
pub mod campaign;
pub mod coverage;
pub mod describe;
pub mod device;
pub mod divergence;
pub mod execution;
pub mod exhaustive;
mod expand;
pub mod generate;
pub mod history;
pub mod laws;
pub mod linearizability;
pub mod lockstep;
pub mod oracle;
pub mod panics;
mod parallel;
pub mod plan;
mod power;
mod raw;
mod registrations;
pub mod reproduction;
pub mod requirements;
pub mod schedule;
pub mod script;
mod sddl;
pub mod seeds;
pub mod shrink;
pub mod situations;
pub mod source_device;
mod source_judged;
pub mod statistics;
pub mod store_client;
pub mod streams;
pub mod target;
mod tokens;
pub mod trace;
pub mod twist;
pub mod typed;
mod views;
pub mod wire;

pub use registry_model::memory as address_space;
