//! The kernel half on real threads: an [`Env`](lcs::env::Env) of the operating system's clock,
//! timers and randomness, a thread that serves a source's device, and a socket for sources that are
//! processes of their own, and a way to wait that looks before it sleeps.
//!
//! What runs here is what runs in the simulation, without the simulation: programs, fuzzers and
//! certification use it. It may not know what a request means.

mod clock;
mod env;
mod executor;
mod jitter;
mod listener;
mod source;
mod timers;
mod waiting;

pub use env::{AuditTrail, ThreadEnv};
pub use listener::Listener;
pub use source::{End, Source, StartError, operating_system_random, registration, serve};
pub use waiting::block_on;
