//! How a source process that has no `/dev/pkm_registry` reaches the kernel half: over a stream.
//!
//! A device keeps messages apart and has an ioctl for the registration (PSD-005 §7.1); a stream
//! socket has neither. This is the whole of what replaces them, little-endian throughout:
//!
//! 1. The source sends its registration, which is the argument of `REG_SRC_REGISTER` (§11.2) with
//!    all that it points at behind it, and pointers that are offsets from the message's first byte:
//!
//!    | offset | what |
//!    | --- | --- |
//!    | 0 | `u32`: bytes of the whole message, at most [`REGISTRATION_LENGTH_MAX`] |
//!    | 4 | `u32`: zero |
//!    | 8 | [`SourceRegisterArgs`], whose `hives_ptr` is 32 |
//!    | 32 | `hive_count` times [`SourceHiveEntry`], whose `name_ptr` is somewhere behind them |
//!    | | the names |
//!
//! 2. The kernel half answers with four bytes, an `i32`: 0, or the error number of the ioctl, or
//!    that of opening the device. After an error it closes.
//! 3. Frames follow as §11.3 has them, requests one way and responses the other. Each begins with
//!    its own length, which keeps them apart. A frame longer than [`FRAME_LENGTH_MAX`] ends the
//!    connection. The end of the stream is the closing of the device.
//!
//! It may not know who listens where.

use crate::Structure;
use crate::layout::{SourceHiveEntry, SourceRegisterArgs};

/// Bytes of the longest registration message.
pub const REGISTRATION_LENGTH_MAX: usize = 1 << 20;

/// Where the argument of the ioctl lies in a registration message.
pub const ARGUMENT_OFFSET: usize = 8;

/// Bytes of the longest frame that either side takes.
pub const FRAME_LENGTH_MAX: usize = 1 << 28;

/// A hive of a registration message; not yet judged by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamHive<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its root key.
    pub root_guid: [u8; 16],
    /// `RSI_HIVE_PRIVATE`, or nothing.
    pub flags: u32,
    /// The scope of a private hive, else all zero.
    pub scope_guid: [u8; 16],
}

/// The message that registers these hives. `max_sequence` is the highest sequence number stored in
/// any of them (§7.1). A message that would be too long has a length that the receiver refuses.
#[must_use]
pub fn registration_message(hives: &[StreamHive<'_>], max_sequence: u64) -> Vec<u8> {
    let hives_offset = ARGUMENT_OFFSET + SourceRegisterArgs::SIZE;
    let mut name_offset = hives_offset + hives.len() * SourceHiveEntry::SIZE;
    let args = SourceRegisterArgs {
        hive_count: number(hives.len()),
        max_sequence,
        hives_ptr: hives_offset as u64,
        ..SourceRegisterArgs::default()
    };
    let mut content = args.to_bytes();
    for hive in hives {
        let entry = SourceHiveEntry {
            name_len: number(hive.name.len()),
            name_ptr: name_offset as u64,
            root_guid: hive.root_guid,
            flags: hive.flags,
            scope_guid: hive.scope_guid,
            ..SourceHiveEntry::default()
        };
        content.extend(entry.to_bytes());
        name_offset += hive.name.len();
    }
    hives.iter().for_each(|hive| content.extend_from_slice(hive.name));
    let length = number(ARGUMENT_OFFSET + content.len());
    [&length.to_le_bytes()[..], &[0; 4], &content].concat()
}

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hive(name: &[u8], byte: u8) -> StreamHive<'_> {
        StreamHive { name, root_guid: [byte; 16], flags: 0, scope_guid: [0; 16] }
    }

    #[test]
    fn a_registration_message_points_into_itself() {
        let message = registration_message(&[hive(b"Machine", 1), hive(b"Users", 2)], 77);
        assert_eq!(message[..8], [156, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(message.len(), 156);
        let args = SourceRegisterArgs::from_bytes(&message[8..32]).expect("24 bytes");
        assert_eq!((args.hive_count, args.max_sequence, args.hives_ptr), (2, 77, 32));
        let name_of = |entry: &[u8]| {
            let entry = SourceHiveEntry::from_bytes(entry).expect("56 bytes");
            let start = entry.name_ptr as usize;
            (entry.root_guid[0], message[start..start + entry.name_len as usize].to_vec())
        };
        assert_eq!(name_of(&message[32..88]), (1, b"Machine".to_vec()));
        assert_eq!(name_of(&message[88..144]), (2, b"Users".to_vec()));
    }
}
