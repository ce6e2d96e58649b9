//! The requests and responses of the registry source interface, as values.
//!
//! States PSD-005 §7.2 and §11.3. The byte layouts are in `codec`; a string is kept as the bytes
//! that came, because only the receiver may judge it.

/// A key's identity: 16 bytes, given out by the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// All zero: the parent of a hive root, and the target of a HIDDEN entry on the wire.
    pub const NULL: Guid = Guid([0; 16]);
}

/// Matches a response to its request. Monotonic for each connection, never used again on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A transaction in a request header; zero on the wire means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u64);

/// A whole request message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFrame {
    /// Its identity.
    pub id: RequestId,
    /// The transaction it belongs to.
    pub transaction: Option<TransactionId>,
    /// What is asked.
    pub request: Request,
}

/// A whole response message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseFrame {
    /// The identity of the request it answers.
    pub id: RequestId,
    /// The operation it answers; on the wire with the high bit set.
    pub operation: Operation,
    /// The answer.
    pub response: Response,
}

/// Operation codes, §11.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
#[expect(missing_docs, reason = "each is named as in §7.2")]
pub enum Operation {
    Lookup = 0x01,
    CreateEntry = 0x02,
    HideEntry = 0x03,
    DeleteEntry = 0x04,
    EnumChildren = 0x05,
    CreateKey = 0x10,
    ReadKey = 0x11,
    WriteKey = 0x12,
    DropKey = 0x13,
    QueryValues = 0x20,
    SetValue = 0x21,
    DeleteValueEntry = 0x22,
    SetBlanketTombstone = 0x23,
    BeginTransaction = 0x30,
    CommitTransaction = 0x31,
    AbortTransaction = 0x32,
    Flush = 0x40,
    DeleteLayer = 0x50,
}

/// A request's payload, §11.3. Names are UTF-8 in what LCS sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named as in §11.3")]
pub enum Request {
    Lookup {
        parent: Guid,
        child_name: Vec<u8>,
    },
    CreateEntry {
        parent: Guid,
        child_name: Vec<u8>,
        layer: Vec<u8>,
        child: Guid,
        sequence: u64,
    },
    HideEntry {
        parent: Guid,
        child_name: Vec<u8>,
        layer: Vec<u8>,
        sequence: u64,
    },
    DeleteEntry {
        parent: Guid,
        child_name: Vec<u8>,
        layer: Vec<u8>,
    },
    EnumChildren {
        parent: Guid,
    },
    CreateKey {
        guid: Guid,
        name: Vec<u8>,
        parent: Guid,
        sd: Vec<u8>,
        volatile_key: bool,
        symlink: bool,
    },
    ReadKey {
        guid: Guid,
    },
    /// The field mask's two defined bits say which options are `Some`; `undefined_fields` holds
    /// any other bit, which a source must refuse.
    WriteKey {
        guid: Guid,
        sd: Option<Vec<u8>>,
        last_write_time: Option<u64>,
        undefined_fields: u32,
    },
    DropKey {
        guid: Guid,
    },
    QueryValues {
        guid: Guid,
        value_name: Vec<u8>,
        query_all: bool,
    },
    SetValue {
        guid: Guid,
        value_name: Vec<u8>,
        layer: Vec<u8>,
        value_type: u32,
        data: Vec<u8>,
        sequence: u64,
        expected_sequence: u64,
    },
    DeleteValueEntry {
        guid: Guid,
        value_name: Vec<u8>,
        layer: Vec<u8>,
    },
    SetBlanketTombstone {
        guid: Guid,
        layer: Vec<u8>,
        set: bool,
        sequence: u64,
    },
    BeginTransaction {
        transaction: u64,
        mode: u32,
    },
    CommitTransaction {
        transaction: u64,
    },
    AbortTransaction {
        transaction: u64,
    },
    DeleteLayer {
        layer: Vec<u8>,
    },
    Flush {
        hive_name: Vec<u8>,
    },
}

/// A response's payload after the status word.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the operation it answers")]
pub enum Response {
    /// Any status but RSI_OK, for any operation.
    Failed(Status),
    /// RSI_OK for an operation that answers with its status only.
    Done,
    Lookup {
        entries: Vec<PathEntry>,
        metadata: Vec<KeyMetadata>,
    },
    EnumChildren {
        children: Vec<(Vec<u8>, Vec<PathEntry>)>,
        metadata: Vec<KeyMetadata>,
    },
    ReadKey {
        name: Vec<u8>,
        parent: Guid,
        sd: Vec<u8>,
        volatile_key: bool,
        symlink: bool,
        last_write_time: u64,
    },
    QueryValues {
        entries: Vec<ValueEntry>,
        blankets: Vec<BlanketEntry>,
    },
    DeleteLayer {
        orphaned: Vec<Guid>,
    },
}

/// Status codes other than RSI_OK, §7.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "each is named as in §7.3")]
pub enum Status {
    NotFound = 1,
    AlreadyExists = 2,
    StorageError = 3,
    NotEmpty = 4,
    TooLarge = 5,
    TransactionBusy = 6,
    Invalid = 7,
    ConditionFailed = 8,
    TransactionNotSupported = 9,
}

/// One layer's opinion on a name under a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathEntry {
    /// The layer.
    pub layer: Vec<u8>,
    /// The key named, or `None` for HIDDEN.
    pub target: Option<Guid>,
    /// Sequence number.
    pub sequence: u64,
}

/// What a lookup says of each key it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMetadata {
    /// Identity.
    pub guid: Guid,
    /// Security descriptor.
    pub sd: Vec<u8>,
    /// Volatile flag.
    pub volatile_key: bool,
    /// Symlink flag.
    pub symlink: bool,
    /// Unix nanoseconds.
    pub last_write_time: u64,
}

/// One layer's entry for a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueEntry {
    /// The value's name.
    pub name: Vec<u8>,
    /// The layer.
    pub layer: Vec<u8>,
    /// Type code, REG_TOMBSTONE included.
    pub value_type: u32,
    /// Data; empty for a tombstone.
    pub data: Vec<u8>,
    /// Sequence number.
    pub sequence: u64,
}

/// One layer's blanket tombstone on a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlanketEntry {
    /// The layer.
    pub layer: Vec<u8>,
    /// Sequence number.
    pub sequence: u64,
}
