//! What a process asks of the source device, with the fields of its arguments.
//!
//! States the argument structures of PSD-005 §11.2 ("RSI registration struct") field by field, and
//! the file operations of §7.1. Decides nothing.

/// The 16 bytes of a GUID as a source and the kernel exchange them (ABI-03).
pub type WireGuid = [u8; 16];

/// The ioctl that registers hives (§11.1): number 0, direction _IOW, 24 bytes.
pub const REG_SRC_REGISTER: u32 = 0x4018_5200;

/// The hive is private to threads that carry its scope GUID (§11.1).
pub const RSI_HIVE_PRIVATE: u32 = 0x01;

/// A call on the source device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceCall {
    /// `open("/dev/pkm_registry")`. The new fd is the process's device.
    Open,
    /// `REG_SRC_REGISTER`.
    Register {
        /// The argument structure, `None` if it cannot be read.
        registration: Option<Registration>,
        /// What the process holds in these hives, if it is accepted.
        contents: Contents,
    },
    /// An ioctl with any other request code.
    OtherIoctl {
        /// The request code.
        request: u32,
    },
    /// `read(2)` without waiting, while the process itself has read every request so far.
    Read,
    /// `write(2)` of bytes that answer no request in flight.
    Write {
        /// The bytes.
        response: Vec<u8>,
    },
    /// `poll(2)`, while no request is queued.
    Poll,
    /// `close(2)`, or the end of the process.
    Close,
}

/// `reg_src_register_args` with the array that it points to (ABI-42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// `hive_count`.
    pub hive_count: u32,
    /// `_pad`.
    pub padding: u32,
    /// `max_sequence`: the highest sequence number that the source has stored.
    pub max_sequence: u64,
    /// The entries that can be read at `hives_ptr`, one after another. There may be fewer of them
    /// than `hive_count` says, or more.
    pub hives: Vec<HiveEntry>,
}

/// `reg_src_hive_entry` (ABI-43).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiveEntry {
    /// What `name_len` and `name_ptr` say.
    pub name: HiveName,
    /// `_pad0` and `_pad1`.
    pub padding: [u32; 2],
    /// `root_guid`.
    pub root: WireGuid,
    /// `flags`.
    pub flags: u32,
    /// `scope_guid`.
    pub scope: WireGuid,
}

/// The name of a hive entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HiveName {
    /// The bytes, which may be malformed.
    Bytes(Vec<u8>),
    /// So many bytes, at least one, that cannot be read.
    Unreadable(u32),
}

/// What a process that registers holds in its hives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// What it stored itself, under this `SourceId`, in a hive of the same name and scope; at first boot a
    /// root key with the default SD of §3.1 ("Hive root SDs").
    Kept,
    /// A root key with the default SD and nothing else, whatever there was before.
    Empty,
}

impl Registration {
    /// The registration of a source that makes no mistakes: these global hives by name and root
    /// GUID, and the highest sequence number that it has stored.
    pub fn of_global_hives<'a>(
        hives: impl IntoIterator<Item = (&'a str, WireGuid)>,
        max_sequence: u64,
    ) -> Registration {
        let entry = |(name, root): (&str, WireGuid)| HiveEntry {
            name: HiveName::Bytes(name.as_bytes().to_vec()),
            padding: [0; 2],
            root,
            flags: 0,
            scope: [0; 16],
        };
        let hives: Vec<HiveEntry> = hives.into_iter().map(entry).collect();
        let hive_count = u32::try_from(hives.len()).unwrap_or(u32::MAX);
        Registration { hive_count, padding: 0, max_sequence, hives }
    }
}
