//! The kernel half on real threads: an [`Env`](lcs::env::Env) of the operating system's clock,
//! timers and randomness, and a thread that serves a source's device.
//!
//! What runs here is what runs in the simulation, without the simulation: programs, fuzzers and
//! certification use it. It may not know what a request means.

mod clock;
mod env;
mod executor;
mod source;
mod timers;

pub use env::ThreadEnv;
pub use source::{End, Source, StartError, operating_system_random, registration, serve};
