//! The executable specification of the registry.
//!
//! [`State::step`] takes what happens and says what may be answered; [`Step::accept`] takes an
//! answer and says whether it conforms and what follows. The crate is pure: it performs no I/O
//! and has no clock, no randomness and no concurrency, and it knows of no target. One module
//! states one chapter of PSD-005, in its order and terms, and recomputes from the rules.
//!
//! [`store`] states the other side of the source protocol: how a source answers. It shares names and
//! times with the rest, and no state.
//!
//! Not stated yet: time-outs of requests. Where a decision
//! depends on what `security` parses and does not judge, the outcome is [`Outcome::Outside`].

pub mod abi;
mod access;
pub mod audit;
mod audit_events;
pub mod backup;
mod configuration;
mod configuration_reading;
pub mod coverage;
mod database;
mod deletion;
mod device;
mod device_call;
mod down_marks;
mod enumeration;
pub mod errno;
mod explanation;
mod fingerprint;
mod fold_table;
pub mod front_door;
mod hives;
mod in_flight;
pub mod input;
mod key_fds;
mod key_security;
mod keys;
mod late;
mod late_creations;
mod late_follow;
mod late_kept;
mod layer_commit;
mod layer_deaths;
mod layer_effects;
mod layer_metadata;
mod layer_refresh;
mod layer_stalls;
mod layers;
pub mod limits;
mod links;
pub mod memory;
mod name_marks;
pub mod names;
mod numbering;
pub mod observation;
mod on_the_way;
mod open_marks;
mod outcome;
pub mod parameters;
pub mod power;
mod raw;
mod registration;
mod removal_marks;
mod resolution;
mod responses;
pub mod security;
mod slots;
mod sources;
mod stalls;
mod state;
mod step;
pub mod store;
pub mod store_entry;
mod text;
pub mod transactions;
mod undropped;
mod value_marks;
pub mod values;
pub mod view;
mod views;
pub mod watches;

pub use backup::streams::WrittenBytes;
pub use coverage::Covered;
pub use database::{Guid, HiveId, Time};
pub use errno::Errno;
pub use explanation::{ExplainedCandidate, Explanation};
pub use front_door::RawCall;
pub use input::{Call, Caller, DeviceCall, Environment, Input};
pub use observation::{Observation, PollEvents, Readiness};
pub use outcome::{
    Begun, Choice, KeyInfoPattern, Mismatch, OneOf, Opened, Outcome, Selected, StreamFd,
};
pub use raw::{KeyNumber, RawEntry, RawLayer};
pub use resolution::Contest;
pub use state::{Enumeration, Generation, State};
pub use step::Step;
pub use view::View;
pub use views::{KNOWN_PATHS_MAX, Opening};
pub use watches::QueuedEvents;
