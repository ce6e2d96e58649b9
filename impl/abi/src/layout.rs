//! Structures that cross the boundary between callers and the kernel (PSD-005 §11.2;
//! `ABI-01`..`ABI-45`).
//!
//! Each is a C structure whose offsets and size are asserted when this crate compiles; it is read
//! from and written to bytes field by field, little-endian, so that no host layout can leak in.

use std::mem::{offset_of, size_of};

/// A structure with a fixed byte layout.
pub trait Structure: Sized {
    /// Size in bytes.
    const SIZE: usize;

    /// Reads the structure; `None` unless there are exactly [`Self::SIZE`] bytes.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;

    /// Writes the structure, [`Self::SIZE`] bytes.
    fn to_bytes(&self) -> Vec<u8>;
}

/// A field that a structure may have.
trait Field: Copy {
    fn read(bytes: &[u8]) -> Option<Self>;
    fn write(self, bytes: &mut Vec<u8>);
}

macro_rules! integer_field {
    ($($integer:ty),*) => {$(
        impl Field for $integer {
            fn read(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_le_bytes(bytes.try_into().ok()?))
            }
            fn write(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

integer_field!(u8, i32, u32, u64);

impl<const LENGTH: usize> Field for [u8; LENGTH] {
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
    fn write(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self);
    }
}

macro_rules! layout {
    ($(#[$meta:meta])* $name:ident: $size:literal { $($offset:literal $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(C)]
        #[expect(missing_docs, reason = "fields are named and described in PSD-005 §11.2")]
        pub struct $name {
            $(pub $field: $type,)*
        }

        impl $name {
            /// Size in bytes.
            pub const SIZE: usize = $size;
        }

        impl Structure for $name {
            const SIZE: usize = $size;

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                if bytes.len() != $size {
                    return None;
                }
                Some(Self {
                    $($field: Field::read(bytes.get($offset..$offset + size_of::<$type>())?)?,)*
                })
            }

            fn to_bytes(&self) -> Vec<u8> {
                let mut bytes = Vec::with_capacity($size);
                $(self.$field.write(&mut bytes);)*
                bytes
            }
        }

        // The sum of the field sizes equals the total, so there is no hidden padding and writing
        // the fields in order puts each at its offset.
        const _: () = {
            assert!(size_of::<$name>() == $size);
            assert!($(size_of::<$type>() +)* 0 == $size);
            $(assert!(offset_of!($name, $field) == $offset);)*
        };
    };
}

layout! {
    /// The one argument of `reg_create_key` (D-20).
    CreateKeyArgs: 48 {
        0 parent_fd: i32,
        4 pad0: u32,
        8 path_ptr: u64,
        16 desired_access: u32,
        20 flags: u32,
        24 layer_ptr: u64,
        32 txn_fd: i32,
        36 pad1: u32,
        40 disposition_ptr: u64,
    }
}

layout! {
    /// `REG_IOC_QUERY_VALUE` (`ABI-16`).
    QueryValueArgs: 64 {
        0 name_len: u32,
        4 pad0: u32,
        8 name_ptr: u64,
        16 value_type: u32,
        20 data_len: u32,
        24 txn_fd: i32,
        28 layer_buf_len: u32,
        32 data_ptr: u64,
        40 sequence: u64,
        48 layer_len: u32,
        52 pad1: u32,
        56 layer_ptr: u64,
    }
}

layout! {
    /// `REG_IOC_SET_VALUE` (`ABI-18`).
    SetValueArgs: 64 {
        0 name_len: u32,
        4 pad0: u32,
        8 name_ptr: u64,
        16 value_type: u32,
        20 data_len: u32,
        24 data_ptr: u64,
        32 layer_len: u32,
        36 pad1: u32,
        40 layer_ptr: u64,
        48 txn_fd: i32,
        52 pad2: u32,
        56 expected_seq: u64,
    }
}

layout! {
    /// `REG_IOC_DELETE_VALUE` (`ABI-20`).
    DeleteValueArgs: 40 {
        0 name_len: u32,
        4 pad0: u32,
        8 name_ptr: u64,
        16 layer_len: u32,
        20 pad1: u32,
        24 layer_ptr: u64,
        32 txn_fd: i32,
        36 pad2: u32,
    }
}

layout! {
    /// `REG_IOC_BLANKET_TOMBSTONE` (`ABI-21`).
    BlanketTombstoneArgs: 24 {
        0 layer_len: u32,
        4 pad0: u32,
        8 layer_ptr: u64,
        16 set: u8,
        17 pad1: [u8; 3],
        20 txn_fd: i32,
    }
}

layout! {
    /// `REG_IOC_QUERY_VALUES_BATCH` (`ABI-22`).
    QueryValuesBatchArgs: 24 {
        0 buf_len: u32,
        4 count: u32,
        8 buf_ptr: u64,
        16 txn_fd: i32,
        20 pad: u32,
    }
}

layout! {
    /// `REG_IOC_ENUM_VALUES` (`ABI-24`).
    EnumValueArgs: 40 {
        0 index: u32,
        4 name_len: u32,
        8 name_ptr: u64,
        16 value_type: u32,
        20 data_len: u32,
        24 data_ptr: u64,
        32 txn_fd: i32,
        36 pad: u32,
    }
}

layout! {
    /// `REG_IOC_ENUM_SUBKEYS` (`ABI-25`).
    EnumSubkeyArgs: 40 {
        0 index: u32,
        4 name_len: u32,
        8 name_ptr: u64,
        16 last_write_time: u64,
        24 subkey_count: u32,
        28 value_count: u32,
        32 txn_fd: i32,
        36 pad: u32,
    }
}

layout! {
    /// `REG_IOC_QUERY_KEY_INFO` (`ABI-26`).
    QueryKeyInfoArgs: 64 {
        0 name_len: u32,
        4 pad0: u32,
        8 name_ptr: u64,
        16 last_write_time: u64,
        24 subkey_count: u32,
        28 value_count: u32,
        32 max_subkey_name_len: u32,
        36 max_value_name_len: u32,
        40 max_value_data_size: u32,
        44 sd_size: u32,
        48 volatile_key: u8,
        49 symlink: u8,
        50 pad1: [u8; 6],
        56 hive_generation: u64,
    }
}

layout! {
    /// `REG_IOC_DELETE_KEY` (`ABI-27`).
    DeleteKeyArgs: 24 {
        0 layer_len: u32,
        4 pad0: u32,
        8 layer_ptr: u64,
        16 txn_fd: i32,
        20 pad1: u32,
    }
}

/// `REG_IOC_HIDE_KEY` (`ABI-28`), which has the layout of a deletion.
pub type HideKeyArgs = DeleteKeyArgs;

layout! {
    /// `REG_IOC_GET_SECURITY` (`ABI-29`).
    GetSecurityArgs: 16 {
        0 security_info: u32,
        4 sd_len: u32,
        8 sd_ptr: u64,
    }
}

layout! {
    /// `REG_IOC_SET_SECURITY` (`ABI-30`).
    SetSecurityArgs: 24 {
        0 security_info: u32,
        4 sd_len: u32,
        8 sd_ptr: u64,
        16 txn_fd: i32,
        20 pad: u32,
    }
}

layout! {
    /// `REG_IOC_NOTIFY` (`ABI-31`).
    NotifyArgs: 8 {
        0 filter: u32,
        4 subtree: u8,
        5 pad: [u8; 3],
    }
}

layout! {
    /// `REG_IOC_BACKUP` (`ABI-32`).
    BackupArgs: 4 {
        0 output_fd: i32,
    }
}

layout! {
    /// `REG_IOC_RESTORE` (`ABI-33`).
    RestoreArgs: 4 {
        0 input_fd: i32,
    }
}

layout! {
    /// `REG_IOC_TXN_STATUS` (`ABI-34`).
    TransactionStatusArgs: 8 {
        0 state: u32,
        4 terminal_errno: u32,
    }
}

layout! {
    /// `REG_SRC_REGISTER` (`ABI-42`).
    SourceRegisterArgs: 24 {
        0 hive_count: u32,
        4 pad: u32,
        8 max_sequence: u64,
        16 hives_ptr: u64,
    }
}

layout! {
    /// One hive of a registration (`ABI-43`).
    SourceHiveEntry: 56 {
        0 name_len: u32,
        4 pad0: u32,
        8 name_ptr: u64,
        16 root_guid: [u8; 16],
        32 flags: u32,
        36 pad1: u32,
        40 scope_guid: [u8; 16],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structure_survives_its_bytes() {
        let bytes: Vec<u8> = (0..64).collect();
        let args = SetValueArgs::from_bytes(&bytes).expect("64 bytes");
        assert_eq!(args.expected_seq, u64::from_le_bytes([56, 57, 58, 59, 60, 61, 62, 63]));
        assert_eq!(args.to_bytes(), bytes);
    }

    #[test]
    fn a_structure_of_the_wrong_length_is_refused() {
        assert_eq!(DeleteKeyArgs::from_bytes(&[0; 23]), None);
        assert_eq!(DeleteKeyArgs::from_bytes(&[0; 25]), None);
    }
}
