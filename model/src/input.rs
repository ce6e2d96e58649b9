//! What happens to the registry, as the model sees it: calls, source processes and environment.
//!
//! States the argument structures of PSD-005 §6.2, §6.3 and §11.2 field by field, so that
//! nothing a caller can say is out of reach. Knows nothing of how a target is driven.

use std::collections::BTreeSet;
use std::sync::Arc;

pub use crate::device_call::{
    Contents, DeviceCall, HiveEntry, HiveName, REG_SRC_REGISTER, RSI_HIVE_PRIVATE, Registration,
    WireGuid,
};
use crate::front_door::RawCall;
use crate::memory::AddressSpace;
use crate::power::RecoveredHive;
use crate::security::Token;
use crate::store_entry::StoreEntry;

/// A file descriptor number as the target gave it out. Negative numbers are what a caller passes
/// for "none" (-1) or by mistake.
pub type Fd = i32;

/// Virtual or real time in nanoseconds since the Unix epoch.
pub type UnixTime = u64;

/// One process of the target: an fd table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u32);

/// One process that opens the source device, as the harness numbers them. A process has the device
/// open at most once at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// Who makes a call: a process (whose fds the call may name) and the effective token of the
/// calling thread (PSD-005 §3.1, token capture).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The process whose fd table the call uses.
    pub process: ProcessId,
    /// The effective token of the calling thread.
    pub token: Token,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A call, over the time it took.
    Call {
        /// Who calls.
        caller: Caller,
        /// What is called.
        call: Call,
        /// When the call began.
        began: UnixTime,
        /// When the call returned. Not before `began`.
        ended: UnixTime,
        /// Whether the source that serves the call may have died while the call was in flight.
        /// If it did, the call may have taken effect in part, wholly or not at all.
        interrupted: bool,
    },
    /// A call as numbers and bytes, which may be malformed in any way.
    RawCall {
        /// Who calls.
        caller: Caller,
        /// What is called.
        call: RawCall,
        /// The caller's memory before the call.
        memory: Arc<AddressSpace>,
        /// When the call began.
        began: UnixTime,
        /// When the call returned. Not before `began`.
        ended: UnixTime,
        /// As for `Call`.
        interrupted: bool,
    },
    /// A call on the source device `/dev/pkm_registry` (§7.1).
    Device {
        /// The process that has the device open, or opens it.
        source: SourceId,
        /// The effective token of the calling thread.
        token: Token,
        /// What is called.
        call: DeviceCall,
        /// When the call returned.
        at: UnixTime,
    },
    /// Something that no caller did.
    Environment(Environment),
}

/// A call, with the fields of its argument structure. Strings are raw bytes: they may be
/// malformed. Output buffers are given by their length. All addresses are good: a call that has bad
/// ones is an [`Input::RawCall`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `reg_open_key`, §6.2.
    OpenKey {
        /// -1, or the key fd that a relative path starts from.
        parent: Fd,
        /// The path, up to its end or its first null byte (CONV-22).
        path: Vec<u8>,
        /// The access asked for.
        desired_access: u32,
        /// `REG_OPEN_LINK`.
        flags: u32,
    },
    /// `reg_create_key`, §6.2, with the structure of D-20.
    CreateKey {
        /// -1, or the key fd that a relative path starts from.
        parent: Fd,
        /// The path, up to its end or its first null byte (CONV-22).
        path: Vec<u8>,
        /// The access asked for.
        desired_access: u32,
        /// `REG_OPTION_VOLATILE`, `REG_OPTION_CREATE_LINK`.
        flags: u32,
        /// The layer, `None` for a null pointer, up to its end or its first null byte.
        layer: Option<Vec<u8>>,
        /// -1, or a transaction.
        transaction: Fd,
    },
    /// `REG_IOC_QUERY_VALUE`.
    QueryValue {
        /// The key.
        fd: Fd,
        /// The value's name.
        name: Vec<u8>,
        /// -1, or a transaction.
        transaction: Fd,
        /// Length of the data buffer in bytes; 0 is a size probe.
        data_capacity: u32,
        /// Length of the layer name buffer in bytes; 0 is a size probe.
        layer_capacity: u32,
    },
    /// `REG_IOC_SET_VALUE`.
    SetValue {
        /// The key.
        fd: Fd,
        /// The value's name.
        name: Vec<u8>,
        /// The type code, `REG_TOMBSTONE` included.
        value_type: u32,
        /// The data.
        data: Vec<u8>,
        /// The layer; empty means base.
        layer: Vec<u8>,
        /// -1, or a transaction.
        transaction: Fd,
        /// The sequence number that the layer's own entry must have; 0 for no condition.
        expected_sequence: u64,
    },
    /// `REG_IOC_DELETE_VALUE`.
    DeleteValue {
        /// The key.
        fd: Fd,
        /// The value's name.
        name: Vec<u8>,
        /// The layer; empty means base.
        layer: Vec<u8>,
        /// -1, or a transaction.
        transaction: Fd,
    },
    /// `REG_IOC_BLANKET_TOMBSTONE`.
    BlanketTombstone {
        /// The key.
        fd: Fd,
        /// The layer; empty means base.
        layer: Vec<u8>,
        /// 1 sets, 0 removes; anything else is invalid.
        set: u8,
        /// -1, or a transaction.
        transaction: Fd,
    },
    /// `REG_IOC_QUERY_VALUES_BATCH`.
    QueryValuesBatch {
        /// The key.
        fd: Fd,
        /// Length of the buffer in bytes.
        capacity: u32,
        /// -1, or a transaction.
        transaction: Fd,
    },
    /// `REG_IOC_ENUM_VALUES`.
    EnumValues {
        /// The key.
        fd: Fd,
        /// Zero-based position.
        index: u32,
        /// Length of the name buffer in bytes.
        name_capacity: u32,
        /// Length of the data buffer in bytes.
        data_capacity: u32,
        /// -1, or a transaction.
        transaction: Fd,
    },
    /// `REG_IOC_ENUM_SUBKEYS`.
    EnumSubkeys {
        /// The key.
        fd: Fd,
        /// Zero-based position.
        index: u32,
        /// Length of the name buffer in bytes.
        name_capacity: u32,
        /// -1, or a transaction.
        transaction: Fd,
    },
    /// `REG_IOC_QUERY_KEY_INFO`.
    QueryKeyInfo {
        /// The key.
        fd: Fd,
        /// Length of the name buffer in bytes.
        name_capacity: u32,
    },
    /// `REG_IOC_DELETE_KEY`.
    DeleteKey {
        /// The key.
        fd: Fd,
        /// The layer; empty means base.
        layer: Vec<u8>,
        /// -1, or a transaction.
        transaction: Fd,
    },
    /// `REG_IOC_HIDE_KEY`.
    HideKey {
        /// The key.
        fd: Fd,
        /// The layer; empty means base.
        layer: Vec<u8>,
        /// -1, or a transaction.
        transaction: Fd,
    },
    /// `REG_IOC_GET_SECURITY`.
    GetSecurity {
        /// The key.
        fd: Fd,
        /// Which components.
        security_info: u32,
        /// Length of the buffer in bytes; 0 is a size probe.
        capacity: u32,
    },
    /// `REG_IOC_SET_SECURITY`.
    SetSecurity {
        /// The key.
        fd: Fd,
        /// Which components.
        security_info: u32,
        /// The self-relative SD.
        descriptor: Vec<u8>,
        /// -1, or a transaction.
        transaction: Fd,
    },
    /// `REG_IOC_FLUSH`.
    Flush {
        /// The key.
        fd: Fd,
    },
    /// `REG_IOC_NOTIFY`: arms the fd, or disarms it with a filter of 0.
    Notify {
        /// The key.
        fd: Fd,
        /// `REG_NOTIFY_VALUE`, `REG_NOTIFY_SUBKEY`, `REG_NOTIFY_SD`.
        filter: u32,
        /// 1 for a subtree watch, 0 for a direct one; anything else is invalid.
        subtree: u8,
    },
    /// `read(2)` of watch events, which does not wait (§4.1, D-77).
    ReadEvents {
        /// The fd.
        fd: Fd,
        /// Length of the buffer in bytes.
        capacity: u32,
    },
    /// `poll(2)` on a key fd or a transaction fd, which does not wait (§4.2, §5.1).
    Poll {
        /// The fd.
        fd: Fd,
    },
    /// `reg_begin_transaction`, §6.2.
    BeginTransaction,
    /// `REG_IOC_COMMIT`.
    Commit {
        /// The transaction.
        fd: Fd,
    },
    /// `REG_IOC_TXN_STATUS`.
    TransactionStatus {
        /// The transaction.
        fd: Fd,
    },
    /// An fd sent to a process, as SCM_RIGHTS does it, or `dup(2)` where that is the caller's own:
    /// another fd of the same open key (§6.1) or transaction (§5.1).
    Pass {
        /// The fd.
        fd: Fd,
        /// The process that gets one.
        to: ProcessId,
    },
    /// `close(2)`.
    Close {
        /// The fd.
        fd: Fd,
    },
    /// The harness puts an fd of a stream into the process: a file, pipe or socket that is no business
    /// of the registry's. It never fails.
    OpenStream {
        /// In which mode it is open.
        access: StreamAccess,
        /// What can be read from it, up to its end.
        contents: Arc<[u8]>,
    },
    /// The harness takes all bytes that were written to a stream since it last took some.
    TakeStream {
        /// The stream.
        fd: Fd,
    },
    /// `REG_IOC_BACKUP`.
    Backup {
        /// The key.
        fd: Fd,
        /// The stream that is written.
        output: Fd,
    },
    /// `REG_IOC_RESTORE`.
    Restore {
        /// The key.
        fd: Fd,
        /// The stream that is read.
        input: Fd,
    },
}

impl Call {
    /// The transaction in which the call asks to be carried out, as it names it; -1 for none, and for a call that
    /// can ask for none.
    pub fn transaction(&self) -> Fd {
        match self {
            Call::CreateKey { transaction, .. }
            | Call::QueryValue { transaction, .. }
            | Call::SetValue { transaction, .. }
            | Call::DeleteValue { transaction, .. }
            | Call::BlanketTombstone { transaction, .. }
            | Call::QueryValuesBatch { transaction, .. }
            | Call::EnumValues { transaction, .. }
            | Call::EnumSubkeys { transaction, .. }
            | Call::DeleteKey { transaction, .. }
            | Call::HideKey { transaction, .. }
            | Call::SetSecurity { transaction, .. } => *transaction,
            _ => -1,
        }
    }

    /// The same call, asking for this transaction; a call that can ask for none stays as it is.
    pub fn within(mut self, fd: Fd) -> Call {
        if let Call::CreateKey { transaction, .. }
        | Call::QueryValue { transaction, .. }
        | Call::SetValue { transaction, .. }
        | Call::DeleteValue { transaction, .. }
        | Call::BlanketTombstone { transaction, .. }
        | Call::QueryValuesBatch { transaction, .. }
        | Call::EnumValues { transaction, .. }
        | Call::EnumSubkeys { transaction, .. }
        | Call::DeleteKey { transaction, .. }
        | Call::HideKey { transaction, .. }
        | Call::SetSecurity { transaction, .. } = &mut self
        {
            *transaction = fd;
        }
        self
    }
}

/// The mode in which a stream is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamAccess {
    /// O_RDONLY.
    Read,
    /// O_WRONLY.
    Write,
    /// O_RDWR. What is written is not read back.
    ReadWrite,
}

impl StreamAccess {
    /// Whether it can be read from.
    pub fn is_readable(self) -> bool {
        self != StreamAccess::Write
    }

    /// Whether it can be written to.
    pub fn is_writable(self) -> bool {
        self != StreamAccess::Read
    }
}

/// What happens to the registry without a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Environment {
    /// The source's process died: its hives are unavailable and its volatile keys are lost.
    SourceDown {
        /// Which source.
        source: SourceId,
    },
    /// The source stalls in the course of the call that comes next, or before it: from then on it reads
    /// and keeps what comes, and answers nothing.
    SourceStalls {
        /// Which source.
        source: SourceId,
    },
    /// The source is stalled: no call that comes is answered by it.
    SourceStalled {
        /// Which source.
        source: SourceId,
    },
    /// The source has carried out what it kept while it was stalled, in order, and has answered all of
    /// it. It answers again.
    SourceReleased {
        /// Which source.
        source: SourceId,
        /// When all was answered.
        at: UnixTime,
        /// The sources that die in the course of what the kernel asks then; that they are Down comes next.
        dying: BTreeSet<SourceId>,
    },
    /// Nothing was called until now.
    TimePasses {
        /// When this is.
        at: UnixTime,
    },
    /// The machine went down and came up: every process and fd is gone, the kernel starts from
    /// its compiled-in defaults, and no source has registered yet. What sources had stored in
    /// persistent keys is still there.
    Reboot,
    /// From now on the power may fail. What is not durable is kept in mind from here on.
    PowerMayFail,
    /// The machine went down by a power loss and came up, as by `Reboot`, and sources have found this on their
    /// disks. There is no step where the hives that were seen cannot be left.
    PowerLoss {
        /// What was seen; a hive that is missing here was not looked into.
        recovered: Vec<RecoveredHive>,
    },
    /// A record was put into a store behind the kernel's back. There is no step where the place
    /// that it names does not exist.
    StoreEntry(StoreEntry),
    /// The next registration of the source reports this maximum instead of what it has stored.
    FalseMaximum {
        /// Which source.
        source: SourceId,
        /// The number it will report.
        max_sequence: u64,
    },
    /// From now on the source has transactions for reading and writing, or it answers
    /// RSI_TXN_NOT_SUPPORTED to the begin of one (§7.3).
    TransactionSupport {
        /// Which source.
        source: SourceId,
        /// Whether it has them.
        is_supported: bool,
    },
    /// From now on the source has snapshots, transactions that only read, or it answers
    /// RSI_TXN_NOT_SUPPORTED to the begin of one (§7.3).
    SnapshotSupport {
        /// Which source.
        source: SourceId,
        /// Whether it has them.
        is_supported: bool,
    },
    /// The source refuses the next commit and keeps its transaction open (§5.1).
    RefusedCommit {
        /// Which source.
        source: SourceId,
        /// How.
        refusal: CommitRefusal,
    },
}

/// How a source refuses a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommitRefusal {
    /// RSI_TXN_BUSY: the retryable condition of the write lock.
    Busy,
    /// Any other failure.
    Failed,
}
