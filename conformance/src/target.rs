//! A target: whatever answers registry calls, seen from outside as raw numbers and bytes.
//!
//! Knows neither an implementation nor a simulator. The typed layer above is `typed`.

use std::future::Future;
use std::pin::Pin;

pub use registry_model::RawCall;
use registry_model::errno::Errno;
use registry_model::input::{CommitRefusal, ProcessId, SourceId};
use registry_model::security::Token;
use registry_model::store_entry::StoreEntry;

use crate::address_space::AddressSpace;
use crate::audit::AuditRecord;
use crate::plan::{Fault, SourceHive};
use crate::schedule::Scheduler;
use crate::source_device::{BrokenFrame, SourceCalled};

/// A future of a target; it lives in the world's own thread.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A call on the source device by a process that is no source of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawDeviceCall {
    /// `open("/dev/pkm_registry")`. The new fd is the process's device.
    Open,
    /// `ioctl(2)`.
    Ioctl {
        /// The request code.
        request: u32,
        /// The third argument.
        argument: u64,
        /// The global hives that the process serves if that registers it. Requests are then read
        /// and answered without further calls, until the device is closed.
        serves: Vec<ServedHive>,
    },
    /// `read(2)` without waiting; the value is the length.
    Read,
    /// `write(2)`.
    Write {
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// `poll(2)`; the value is the bits of the events.
    Poll,
    /// `close(2)`.
    Close,
}

/// A global hive that a process serves from an empty store in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedHive {
    /// Its name.
    pub name: String,
    /// Its root key.
    pub root: [u8; 16],
}

/// What a fault led to, for the model to be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WorldEvent {
    /// A source died.
    SourceDown(SourceId),
    /// A source has sent a frame that breaks the protocol. Its death follows.
    ProtocolBroken(BrokenFrame),
    /// A source has stalled: it answers nothing from here on, what it has read included.
    SourceStalled(SourceId),
    /// A source has answered all that it had kept, and answers again.
    SourceReleased(SourceId),
    /// A source of the plan started and registered, or tried to; refused, it ended.
    SourceStarted(Started),
    /// The machine went down.
    Rebooted,
    /// The machine went down by a power loss.
    PowerLost,
    /// The power has failed under a source, which is dead. That of the machine is lost.
    PowerFailed(SourceId),
    /// A disk has refused a change, and its source goes on.
    DiskFailed(SourceId),
    /// A source did not start with what it has found on its disk.
    SourceDidNotStart {
        /// Which source.
        source: SourceId,
        /// Why, in words.
        problem: String,
    },
    /// A record was put into the store of a source.
    EntryStored {
        /// Which source.
        source: SourceId,
        /// What and where.
        entry: StoreEntry,
    },
    /// A source will refuse its next commit.
    CommitRefused {
        /// Which source.
        source: SourceId,
        /// How.
        refusal: CommitRefusal,
    },
    /// A source has transactions from now on, or has none.
    TransactionsChanged {
        /// Which source.
        source: SourceId,
        /// Whether it has them.
        is_supported: bool,
    },
    /// A source has snapshots from now on, or has none.
    SnapshotsChanged {
        /// Which source.
        source: SourceId,
        /// Whether it has them.
        is_supported: bool,
    },
    /// A source will report a maximum that is not its own.
    MaximumFalsified {
        /// Which source.
        source: SourceId,
        /// The number that it will report.
        max_sequence: u64,
    },
}

/// What a source said of itself as it registered, and what it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Started {
    /// Which source.
    pub source: SourceId,
    /// The hives that it was started with.
    pub asked: Vec<SourceHive>,
    /// The hives that it registered, with their root GUIDs.
    pub hives: Vec<(SourceHive, [u8; 16])>,
    /// The highest sequence number that it has stored.
    pub max_sequence: u64,
    /// The error of the registration, if it was refused.
    pub refused: Option<Errno>,
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

/// Calls that overlap: strands, each of which makes its calls one after another, maybe on a thread of its own.
pub trait Overlapping: Send {
    /// Who makes the calls of each strand.
    fn callers(&self) -> Vec<(ProcessId, Token)>;

    /// The next call of a strand, which begins now; none at its end.
    fn begin(&mut self, strand: usize, now: u64) -> Option<(RawCall, AddressSpace)>;

    /// A source of the plan has died since a call last began or returned, and before the next does; and a call that
    /// begins from now on finds it Down. Who cannot tell when does not call this; the death is among the events then.
    fn died(&mut self, source: SourceId);

    /// The call of a strand has returned now: with a value or a negative errno, and with its output in
    /// `memory`.
    fn end(&mut self, strand: usize, now: u64, result: i64, memory: AddressSpace);
}

/// The raw surface of a registry, and what the harness may do to it.
pub trait Target {
    /// Virtual or real time, Unix nanoseconds.
    fn now(&self) -> u64;

    /// Brings the target up with these hives for each source. The events are their starts.
    ///
    /// # Errors
    /// Why the target does not come up, in words.
    fn start<'a>(
        &'a mut self,
        sources: &'a [Vec<SourceHive>],
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

    /// Makes the calls of all strands, none of which waits for another. Wherever more than one task of
    /// the target could go on, `scheduler` says which does. Ends when all have returned; or when those
    /// that have not never will, as far as the target can tell.
    ///
    /// # Errors
    /// What kept the target from it, in words.
    fn call_all<'a>(
        &'a mut self,
        calls: &'a mut dyn Overlapping,
        scheduler: &'a mut dyn Scheduler,
    ) -> Answer<'a, Result<(), String>>;

    /// One call on the source device by the process `source`, whose thread has `token`; it is no
    /// source of the plan. Waits until the immediate consequences are over. Returns the value or a
    /// negative errno.
    fn device<'a>(
        &'a mut self,
        source: SourceId,
        token: &'a Token,
        call: RawDeviceCall,
        memory: AddressSpace,
    ) -> Answer<'a, i64>;

    /// Makes a fault happen and waits until its immediate consequences are over.
    ///
    /// # Errors
    /// What the target cannot do, in words.
    fn fault<'a>(&'a mut self, fault: &'a Fault) -> Answer<'a, Result<Vec<WorldEvent>, String>>;

    /// What happened by itself since the last time of asking: armed deaths and stalls.
    fn take_events(&mut self) -> Vec<WorldEvent>;

    /// The frames that crossed the wire since the last time of asking, if the target shows them.
    fn take_frames(&mut self) -> Vec<Frame>;

    /// What sources got from their devices since the last time of asking, if the target shows it.
    fn take_source_calls(&mut self) -> Vec<SourceCalled>;

    /// The audit events that were emitted since the last time of asking, in order.
    fn take_audit_events(&mut self) -> Vec<AuditRecord>;

    /// The raw entries of every source's store as they are committed, if the target shows them and all
    /// are live. What open transactions have written is not among them.
    ///
    /// # Errors
    /// Why a live store cannot be read, in words.
    fn raw_entries(&mut self) -> Result<Option<Vec<crate::oracle::RawHive>>, String>;
}
