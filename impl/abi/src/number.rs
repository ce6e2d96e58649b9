//! System call numbers, flags and codes (PSD-005 §11.1, §11.2).

/// Opens an existing key.
pub const REG_OPEN_KEY: u64 = 1100;
/// Opens or creates a key; its one argument is the address of a `layout::CreateKeyArgs` (D-20).
pub const REG_CREATE_KEY: u64 = 1101;
/// Begins a transaction.
pub const REG_BEGIN_TRANSACTION: u64 = 1102;

/// State of a transaction: active, and bound to no source yet.
pub const REG_TXN_ACTIVE_UNBOUND: u32 = 0;
/// State of a transaction: active, and bound to a source.
pub const REG_TXN_ACTIVE_BOUND: u32 = 1;
/// State of a transaction: its commit has completed.
pub const REG_TXN_COMMITTED: u32 = 2;
/// State of a transaction: aborted, by its owner or by the kernel.
pub const REG_TXN_ABORTED: u32 = 3;
/// State of a transaction: its lifetime has run out.
pub const REG_TXN_TIMED_OUT: u32 = 4;
/// State of a transaction: its source went Down first.
pub const REG_TXN_SOURCE_DOWN: u32 = 5;

/// Open flag: the symlink key itself.
pub const REG_OPEN_LINK: u32 = 0x01;
/// Creation flag: a volatile key.
pub const REG_OPTION_VOLATILE: u32 = 0x01;
/// Creation flag: a symlink key.
pub const REG_OPTION_CREATE_LINK: u32 = 0x02;

/// Disposition: the key is new.
pub const REG_CREATED_NEW: u32 = 1;
/// Disposition: the key was there.
pub const REG_OPENED_EXISTING: u32 = 2;

/// Registration flag: a hive of one scope.
pub const RSI_HIVE_PRIVATE: u32 = 0x01;

/// Watch filter: values.
pub const REG_NOTIFY_VALUE: u32 = 0x01;
/// Watch filter: subkeys.
pub const REG_NOTIFY_SUBKEY: u32 = 0x02;
/// Watch filter: security descriptors.
pub const REG_NOTIFY_SD: u32 = 0x04;
/// Watch filter: all of them.
pub const REG_NOTIFY_ALL: u32 = 0x07;

/// Security information: the owner.
pub const OWNER_SECURITY_INFORMATION: u32 = 0x01;
/// Security information: the group.
pub const GROUP_SECURITY_INFORMATION: u32 = 0x02;
/// Security information: the discretionary list.
pub const DACL_SECURITY_INFORMATION: u32 = 0x04;
/// Security information: the system list.
pub const SACL_SECURITY_INFORMATION: u32 = 0x08;

/// `poll(2)`: an error condition.
pub const POLLERR: i64 = 0x08;
/// `poll(2)`: a hang-up.
pub const POLLHUP: i64 = 0x10;
