//! What a target answered, decoded: the other half of every comparison.
//!
//! States the output fields of PSD-005 §6.2, §6.3 and §11.2. An `Observation` is concrete; the
//! model's `Outcome` says which observations conform.

use crate::errno::Errno;
use crate::input::{Fd, UnixTime};

/// The answer to one call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Observation {
    /// The call failed, and the errno is not ERANGE.
    Failed(Errno),
    /// The call failed with ERANGE; these required sizes were written, those of them that the
    /// call has.
    TooSmall(Sizes),
    /// A key fd, and the disposition if the call was `reg_create_key`.
    Opened {
        /// The new fd.
        fd: Fd,
        /// `REG_CREATED_NEW` (1) or `REG_OPENED_EXISTING` (2); `None` for `reg_open_key`.
        disposition: Option<u32>,
    },
    /// Success without output: every mutation, flush and close.
    Done,
    /// The answer of `REG_IOC_QUERY_VALUE`.
    Value {
        /// The type code.
        value_type: u32,
        /// The data.
        data: Vec<u8>,
        /// Sequence number of the effective entry.
        sequence: u64,
        /// Name of its layer.
        layer: Vec<u8>,
    },
    /// The answer of `REG_IOC_QUERY_VALUES_BATCH`, in the order it came.
    Values(Vec<NamedValue>),
    /// The answer of `REG_IOC_ENUM_VALUES`.
    EnumeratedValue(NamedValue),
    /// The answer of `REG_IOC_ENUM_SUBKEYS`.
    EnumeratedSubkey {
        /// The child's name.
        name: Vec<u8>,
        /// Its last write time.
        last_write_time: UnixTime,
        /// How many subkeys it has.
        subkey_count: u32,
        /// How many values it has.
        value_count: u32,
    },
    /// The answer of `REG_IOC_QUERY_KEY_INFO`.
    KeyInfo(KeyInfo),
    /// The answer of `REG_IOC_GET_SECURITY`: a self-relative SD.
    Security(Vec<u8>),
    /// The number of a passed fd in the process that got it.
    Passed {
        /// The new fd.
        fd: Fd,
    },
    /// The answer of `read(2)` on an armed key fd: watch events as they came (§11.2).
    Events(Vec<u8>),
    /// The answer of `poll(2)` on a key fd or a transaction fd.
    Polled(PollEvents),
    /// The answer of `reg_begin_transaction`.
    Begun {
        /// The new fd.
        fd: Fd,
    },
    /// The answer of `REG_IOC_TXN_STATUS`.
    TransactionStatus {
        /// A `REG_TXN_*` code.
        state: u32,
        /// The errno of later uses, or 0.
        terminal_errno: u32,
    },
    /// The number of the fd of a new stream.
    StreamOpened {
        /// The new fd.
        fd: Fd,
    },
    /// The bytes that were taken from a stream.
    Stream(Vec<u8>),
    /// The answer of `poll(2)` on a source device.
    Ready(Readiness),
}

/// What `poll(2)` says of a source device (PSD-005 §7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Readiness {
    /// POLLIN: a complete request is queued.
    pub readable: bool,
    /// POLLOUT: responses may be submitted.
    pub writable: bool,
    /// POLLHUP and POLLERR: the slot is Down.
    pub hung_up: bool,
}

/// What `poll(2)` says of a key fd (§4.2) or a transaction fd (§5.1). Bits that the text says
/// nothing of are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PollEvents {
    /// POLLIN: there are watch events to be read.
    pub readable: bool,
    /// POLLERR and POLLHUP: the transaction has reached a terminal state.
    pub terminal: bool,
}

/// A value as enumeration and batch reads return it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedValue {
    /// The value's name.
    pub name: Vec<u8>,
    /// The type code.
    pub value_type: u32,
    /// The data.
    pub data: Vec<u8>,
}

/// The required sizes that an ERANGE carries, in bytes. A field that the call does not have is
/// `None`; a field that it has is always `Some`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sizes {
    /// `name_len`.
    pub name: Option<u32>,
    /// `data_len`.
    pub data: Option<u32>,
    /// `layer_len`.
    pub layer: Option<u32>,
    /// `buf_len`.
    pub buffer: Option<u32>,
    /// `sd_len`.
    pub security: Option<u32>,
}

/// The output of `REG_IOC_QUERY_KEY_INFO`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyInfo {
    /// The key's name.
    pub name: Vec<u8>,
    /// Last write time.
    pub last_write_time: UnixTime,
    /// Visible subkeys.
    pub subkey_count: u32,
    /// Effective values.
    pub value_count: u32,
    /// Longest subkey name in bytes.
    pub max_subkey_name_len: u32,
    /// Longest value name in bytes.
    pub max_value_name_len: u32,
    /// Largest value data in bytes.
    pub max_value_data_size: u32,
    /// Size of the SD in bytes.
    pub sd_size: u32,
    /// The volatile flag byte.
    pub volatile_key: u8,
    /// The symlink flag byte.
    pub symlink: u8,
    /// The change epoch of the hive.
    pub hive_generation: u64,
}
