//! Clients of a source: requests against a real store with the reference store beside it.
//!
//! A client speaks the source interface as the kernel half would (PSD-005 §7), so that a backing
//! store can be judged without a kernel. Everything that comes back is judged three times: by the
//! model's store ([`judge`]), by the wire monitor's rules for sources, and by reading every entry
//! back through requests. Knows no implementation: a source is a [`target::StoreTarget`].

pub mod certify;
mod dump;
mod execution;
pub mod generate;
mod judge;
pub mod lockstep;
pub mod names;
pub mod plan;
pub mod shrink;
pub mod target;
#[cfg(test)]
mod tests;
