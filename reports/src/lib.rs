//! Reports: what `conformance` found, for people at a terminal and for programs.
//!
//! Knows the events and summaries of `conformance` and nothing of how a run is made.

pub mod certification;
pub mod confidence;
pub mod json;
pub mod side_by_side;
pub mod terminal;
