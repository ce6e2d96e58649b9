//! The kernel half of the registry: it decides what a registry means, sources only store it.
//!
//! [`Lcs`] is the whole of it to callers: system calls and ioctls on the fds of a [`Process`], over
//! bytes in a caller's memory, and a [`Device`] for each source. All of time, tasks and randomness
//! comes from an [`Env`](env::Env), so that one build runs in a simulation and on real threads.
//! States PSD-005.

mod arrival;
mod audit;
mod backup;
mod change;
mod configuration;
mod device;
mod enumeration;
pub mod env;
mod gateway;
mod hive_content;
mod ioctls;
mod kernel;
mod key_file;
mod key_security;
mod late;
mod layers;
mod lcs;
mod limits;
mod metadata;
mod missed_deletions;
mod mutation;
mod name;
mod open;
mod process;
mod read_ioctls;
mod refresh;
mod registration;
mod removal;
mod resolve;
pub mod security;
mod sequence_gate;
pub mod source;
mod state;
mod stream;
mod syscalls;
mod transactions;
mod turns;
mod user;
mod values;
mod walk;
mod watches;

pub use configuration::AttachmentLimits;
pub use device::Device;
pub use lcs::Lcs;
pub use process::{Caller, Process};
pub use registration::{HiveRegistration, Registration};
pub use source::Readiness;
pub use stream::Stream;
