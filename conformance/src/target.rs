//! A target: whatever answers registry calls, seen from outside as raw numbers and bytes.
//!
//! Knows neither an implementation nor a simulator. The typed layer above is `typed`.

use std::future::Future;
use std::pin::Pin;

pub use registry_model::RawCall;
use registry_model::input::{ProcessId, SourceId};
use registry_model::security::Token;
use registry_model::store_entry::StoreEntry;

use crate::address_space::AddressSpace;
use crate::plan::Fault;

/// A future of a target; it lives in the world's own thread.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a fault led to, for the model to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorldEvent {
    /// A source died.
    SourceDown(SourceId),
    /// A source registered for the first time since boot.
    SourceRegistered(Registered),
    /// A source resumed its slot.
    SourceResumed(Registered),
    /// The machine went down.
    Rebooted,
    /// A record was put into the store of a source.
    EntryStored {
        /// Which source.
        source: SourceId,
        /// What and where.
        entry: StoreEntry,
    },
    /// A source will report a maximum that is not its own.
    MaximumFalsified {
        /// Which source.
        source: SourceId,
        /// The number that it will report.
        max_sequence: u64,
    },
}

/// What a source said of itself as it registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Which source.
    pub source: SourceId,
    /// The highest sequence number that it has stored.
    pub max_sequence: u64,
    /// The root GUIDs of its hives.
    pub roots: Vec<[u8; 16]>,
}

/// A frame on the wire between the kernel and a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which source.
    pub source: SourceId,
    /// Whether it is a request (kernel to source) or a response.
    pub is_request: bool,
    /// The whole message.
    pub bytes: Vec<u8>,
}

/// The raw surface of a registry, and what the harness may do to it.
pub trait Target {
    /// Virtual or real time, Unix nanoseconds.
    fn now(&self) -> u64;

    /// Brings the target up with these hives for each source. The events are registrations.
    ///
    /// # Errors
    /// Why the target does not come up, in words.
    fn start<'a>(
        &'a mut self,
        sources: &'a [Vec<String>],
    ) -> Answer<'a, Result<Vec<WorldEvent>, String>>;

    /// A new process without fds.
    fn new_process(&mut self) -> ProcessId;

    /// One call of a thread of `process` that has `token`. Returns the value or a negative errno;
    /// output is in `memory`.
    fn call<'a>(
        &'a mut self,
        process: ProcessId,
        token: &'a Token,
        call: RawCall,
        memory: AddressSpace,
    ) -> Answer<'a, (i64, AddressSpace)>;

    /// Makes a fault happen and waits until its immediate consequences are over.
    ///
    /// # Errors
    /// What the target cannot do, in words.
    fn fault<'a>(&'a mut self, fault: &'a Fault) -> Answer<'a, Result<Vec<WorldEvent>, String>>;

    /// What happened by itself since the last time of asking: armed deaths.
    fn take_events(&mut self) -> Vec<WorldEvent>;

    /// The frames that crossed the wire since the last time of asking, if the target shows them.
    fn take_frames(&mut self) -> Vec<Frame>;

    /// The raw entries of every source's store, if the target shows them and all are live.
    ///
    /// # Errors
    /// Why a live store cannot be read, in words.
    fn raw_entries(&mut self) -> Result<Option<Vec<crate::oracle::RawHive>>, String>;
}
