//! What a source is asked and what it answers.
//!
//! States the requests, responses and status codes of PSD-005 §7.1 (registration), §7.2 and §11.3
//! field by field, so that nothing a client can say and nothing a source can say is out of reach.
//! Knows nothing of bytes on a wire, and nothing of what an answer should be.

use std::fmt;

/// The identity of a key, chosen by whoever creates it (KEY-18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// The GUID that names no key: the target of a HIDDEN entry, the parent of a hive root.
    pub const ZERO: Guid = Guid([0; 16]);
}

impl fmt::Display for Guid {
    /// As 32 hexadecimal digits, in the order of the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A request, without the id by which its response is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `txn_id` of the header; 0 for no transaction.
    pub transaction: u64,
    /// What is asked.
    pub operation: Operation,
    /// Bytes after the last field, which a source passes over (SRC-60). They count in `total_len`.
    pub trailing: Vec<u8>,
}

impl Request {
    /// A request outside any transaction.
    pub fn new(operation: Operation) -> Request {
        Request { transaction: 0, operation, trailing: Vec::new() }
    }

    /// A request in the transaction with this id.
    pub fn within(transaction: u64, operation: Operation) -> Request {
        Request { transaction, operation, trailing: Vec::new() }
    }

    /// The op code of the header.
    pub fn op_code(&self) -> u16 {
        self.operation.op_code()
    }
}

/// What is asked of a source. Names are bytes, since a client may send malformed ones; flags are
/// numbers for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// RSI_LOOKUP: all layers' path entries for one child name.
    Lookup {
        /// The parent key.
        parent: Guid,
        /// One path component.
        child_name: Vec<u8>,
    },
    /// RSI_CREATE_ENTRY: a path entry that names a key.
    CreateEntry {
        /// The parent key.
        parent: Guid,
        /// One path component.
        child_name: Vec<u8>,
        /// The layer.
        layer: Vec<u8>,
        /// The key that the entry names. Its record may come later.
        child: Guid,
        /// The sequence number.
        sequence: u64,
    },
    /// RSI_HIDE_ENTRY: a HIDDEN path entry.
    HideEntry {
        /// The parent key.
        parent: Guid,
        /// One path component.
        child_name: Vec<u8>,
        /// The layer.
        layer: Vec<u8>,
        /// The sequence number.
        sequence: u64,
    },
    /// RSI_DELETE_ENTRY: removes a path entry of either kind.
    DeleteEntry {
        /// The parent key.
        parent: Guid,
        /// One path component.
        child_name: Vec<u8>,
        /// The layer.
        layer: Vec<u8>,
    },
    /// RSI_ENUM_CHILDREN: all layers' path entries for all child names.
    EnumChildren {
        /// The parent key.
        parent: Guid,
    },
    /// RSI_CREATE_KEY: a key record.
    CreateKey {
        /// The new key.
        guid: Guid,
        /// Its name, one path component.
        name: Vec<u8>,
        /// Its parent key.
        parent: Guid,
        /// Its security descriptor, which a source does not look into.
        security_descriptor: Vec<u8>,
        /// 0 or 1.
        volatile_key: u8,
        /// 0 or 1.
        symlink: u8,
    },
    /// RSI_READ_KEY: a key record.
    ReadKey {
        /// The key.
        guid: Guid,
    },
    /// RSI_WRITE_KEY: changes the mutable fields. Bits 0 and 1 of the field mask follow from which
    /// field is there.
    WriteKey {
        /// The key.
        guid: Guid,
        /// The new security descriptor; bit 0.
        security_descriptor: Option<Vec<u8>>,
        /// The new last write time, nanoseconds since the epoch; bit 1.
        last_write_time: Option<u64>,
        /// The other bits of the mask, all of which are undefined. Bits 0 and 1 are clear.
        undefined_mask_bits: u32,
    },
    /// RSI_DROP_KEY: purges all data of a key.
    DropKey {
        /// The key.
        guid: Guid,
    },
    /// RSI_QUERY_VALUES: all layers' entries for one value name or for all.
    QueryValues {
        /// The key.
        guid: Guid,
        /// The value's name; empty is the default value, or goes with `query_all`.
        name: Vec<u8>,
        /// 0 or 1.
        query_all: u8,
    },
    /// RSI_SET_VALUE: a value entry, or a tombstone.
    SetValue {
        /// The key.
        guid: Guid,
        /// The value's name.
        name: Vec<u8>,
        /// The layer.
        layer: Vec<u8>,
        /// The type code, `REG_TOMBSTONE` (0xFFFF) included.
        value_type: u32,
        /// The data.
        data: Vec<u8>,
        /// The sequence number.
        sequence: u64,
        /// The sequence number that the layer's own entry must have; 0 for no condition.
        expected_sequence: u64,
    },
    /// RSI_DELETE_VALUE_ENTRY: removes a value entry or tombstone.
    DeleteValueEntry {
        /// The key.
        guid: Guid,
        /// The value's name.
        name: Vec<u8>,
        /// The layer.
        layer: Vec<u8>,
    },
    /// RSI_SET_BLANKET_TOMBSTONE: sets or removes a blanket tombstone.
    SetBlanketTombstone {
        /// The key.
        guid: Guid,
        /// The layer.
        layer: Vec<u8>,
        /// 1 sets, 0 removes.
        set: u8,
        /// The sequence number; of no meaning when removing.
        sequence: u64,
    },
    /// RSI_BEGIN_TRANSACTION.
    BeginTransaction {
        /// The id; also in the header (D-94).
        transaction: u64,
        /// [`TXN_READ_WRITE`] or [`TXN_READ_ONLY`].
        mode: u32,
    },
    /// RSI_COMMIT_TRANSACTION.
    CommitTransaction {
        /// The id; also in the header (D-94).
        transaction: u64,
    },
    /// RSI_ABORT_TRANSACTION.
    AbortTransaction {
        /// The id; also in the header (D-94).
        transaction: u64,
    },
    /// RSI_FLUSH: makes what a hive has pending durable.
    Flush {
        /// The hive.
        hive_name: Vec<u8>,
    },
    /// RSI_DELETE_LAYER: removes everything that is tagged with a layer.
    DeleteLayer {
        /// The layer.
        layer: Vec<u8>,
    },
    /// A payload to which §11.3 gives no meaning: an op code that is not in the table, or fields
    /// that end early.
    Malformed {
        /// The op code of the header.
        op_code: u16,
        /// What stands in place of the payload.
        payload: Vec<u8>,
    },
}

/// RSI_TXN_READ_WRITE.
pub const TXN_READ_WRITE: u32 = 0;
/// RSI_TXN_READ_ONLY.
pub const TXN_READ_ONLY: u32 = 1;
/// `target_type` of an entry that names a key.
pub const TARGET_GUID: u8 = 0;
/// `target_type` of a HIDDEN entry.
pub const TARGET_HIDDEN: u8 = 1;

impl Operation {
    /// The op code (§11.4). The response carries it with bit 15 set.
    pub fn op_code(&self) -> u16 {
        match self {
            Operation::Lookup { .. } => 0x01,
            Operation::CreateEntry { .. } => 0x02,
            Operation::HideEntry { .. } => 0x03,
            Operation::DeleteEntry { .. } => 0x04,
            Operation::EnumChildren { .. } => 0x05,
            Operation::CreateKey { .. } => 0x10,
            Operation::ReadKey { .. } => 0x11,
            Operation::WriteKey { .. } => 0x12,
            Operation::DropKey { .. } => 0x13,
            Operation::QueryValues { .. } => 0x20,
            Operation::SetValue { .. } => 0x21,
            Operation::DeleteValueEntry { .. } => 0x22,
            Operation::SetBlanketTombstone { .. } => 0x23,
            Operation::BeginTransaction { .. } => 0x30,
            Operation::CommitTransaction { .. } => 0x31,
            Operation::AbortTransaction { .. } => 0x32,
            Operation::Flush { .. } => 0x40,
            Operation::DeleteLayer { .. } => 0x50,
            Operation::Malformed { op_code, .. } => *op_code,
        }
    }
}

/// A response, as it was sent. Lists are in the order of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Status 0 (RSI_OK), and what follows it.
    Ok(Payload),
    /// Any other status. Nothing follows it.
    Failed(Status),
}

/// What follows the status of a successful response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing.
    StatusOnly,
    /// Of RSI_LOOKUP.
    Entries {
        /// The layers' entries.
        entries: Vec<PathEntry>,
        /// One record for each key that an entry names.
        metadata: Vec<KeyMetadata>,
    },
    /// Of RSI_ENUM_CHILDREN.
    Children {
        /// The children, each with its layers' entries.
        children: Vec<Child>,
        /// One record for each key that an entry of any child names.
        metadata: Vec<KeyMetadata>,
    },
    /// Of RSI_READ_KEY.
    Key {
        /// The name.
        name: Vec<u8>,
        /// The parent; [`Guid::ZERO`] for a hive root (P-60).
        parent: Guid,
        /// The rest of the record, under the GUID that was asked for.
        metadata: KeyMetadata,
    },
    /// Of RSI_QUERY_VALUES.
    Values {
        /// The layers' entries.
        entries: Vec<ValueEntry>,
        /// The key's blanket tombstones.
        blankets: Vec<Blanket>,
    },
    /// Of RSI_DELETE_LAYER: the keys that lost their last path entry.
    Orphans(Vec<Guid>),
}

/// One child of RSI_ENUM_CHILDREN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Child {
    /// Its name.
    pub name: Vec<u8>,
    /// The layers' entries.
    pub entries: Vec<PathEntry>,
}

/// One layer's path entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathEntry {
    /// The layer.
    pub layer: Vec<u8>,
    /// [`TARGET_GUID`] or [`TARGET_HIDDEN`].
    pub target_type: u8,
    /// The key, or [`Guid::ZERO`] for HIDDEN.
    pub target: Guid,
    /// The sequence number.
    pub sequence: u64,
}

/// What a response says of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyMetadata {
    /// The key.
    pub guid: Guid,
    /// Its security descriptor.
    pub security_descriptor: Vec<u8>,
    /// 0 or 1.
    pub volatile_key: u8,
    /// 0 or 1.
    pub symlink: u8,
    /// Nanoseconds since the epoch.
    pub last_write_time: u64,
}

/// One layer's value entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValueEntry {
    /// The value's name.
    pub name: Vec<u8>,
    /// The layer.
    pub layer: Vec<u8>,
    /// The type code.
    pub value_type: u32,
    /// The data; empty for a tombstone.
    pub data: Vec<u8>,
    /// The sequence number.
    pub sequence: u64,
}

/// One layer's blanket tombstone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blanket {
    /// The layer.
    pub layer: Vec<u8>,
    /// The sequence number.
    pub sequence: u64,
}

macro_rules! statuses {
    ($($(#[$documentation:meta])* $name:ident = $code:literal $text:literal;)*) => {
        /// Why a source refuses a request (§11.4). RSI_OK (0) is [`Response::Ok`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Status {
            $($(#[$documentation])* $name,)*
        }

        impl Status {
            /// All, in the order of their codes.
            pub const ALL: &'static [Status] = &[$(Status::$name,)*];

            /// The number on the wire.
            pub fn code(self) -> u32 {
                match self { $(Status::$name => $code,)* }
            }

            /// The name without `RSI_`.
            pub fn name(self) -> &'static str {
                match self { $(Status::$name => $text,)* }
            }
        }
    };
}

statuses! {
    /// No such key, value or path entry.
    NotFound = 1 "NOT_FOUND";
    /// The path entry or key is there already.
    AlreadyExists = 2 "ALREADY_EXISTS";
    /// The backing store failed.
    StorageError = 3 "STORAGE_ERROR";
    /// The key has children or values.
    NotEmpty = 4 "NOT_EMPTY";
    /// The value's data is too large.
    TooLarge = 5 "TOO_LARGE";
    /// The write lock could not be had.
    TxnBusy = 6 "TXN_BUSY";
    /// The request or one of its fields is malformed.
    Invalid = 7 "INVALID";
    /// The condition of a conditional write does not hold.
    CasFailed = 8 "CAS_FAILED";
    /// The source has no transactions of this kind.
    TxnNotSupported = 9 "TXN_NOT_SUPPORTED";
}

impl Status {
    /// The status with this number; `None` for 0 and for a number that is not in the table.
    pub fn from_code(code: u32) -> Option<Status> {
        Status::ALL.iter().copied().find(|status| status.code() == code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a source hands over when it registers (§7.1), hives in the order of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The hives.
    pub hives: Vec<RegisteredHive>,
    /// The highest sequence number that it has stored.
    pub max_sequence: u64,
}

/// One hive of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredHive {
    /// The name.
    pub name: Vec<u8>,
    /// The root key.
    pub root: Guid,
    /// The flags; bit 0 is RSI_HIVE_PRIVATE.
    pub flags: u32,
}
