//! What names, values and descriptors of a stream may be: what a source may answer, and nothing else
//! (PSD-005 §1.3, §2.3, §2.5, §9.1; D-05, D-35, D-104, P-202).

use abi::Errno;
use abi::value_type::{REG_TOMBSTONE, is_user_visible};
use rsi::{Guid, KeyMetadata, ValueEntry};

use crate::backup::format::{KeyRecord, key_flag};
use crate::limits::VALUE_BYTES_CEILING;
use crate::name::{self, FoldedName};
use crate::security::SecurityDescriptor;

/// The identity of a key's, hive's or layer's name.
pub fn component(bytes: &[u8], length_max: usize) -> Result<FoldedName, Errno> {
    name::component(bytes, length_max).map(FoldedName::new).map_err(|_| Errno::EINVAL)
}

/// The identity of a value's name.
pub fn value(entry: &ValueEntry, length_max: usize) -> Result<FoldedName, Errno> {
    let is_tombstone = entry.value_type == REG_TOMBSTONE && entry.data.is_empty();
    let is_value = is_user_visible(entry.value_type) && entry.data.len() <= VALUE_BYTES_CEILING;
    if !is_tombstone && !is_value {
        return Err(Errno::EINVAL);
    }
    name::value_name(&entry.name, length_max).map(FoldedName::new).map_err(|_| Errno::EINVAL)
}

/// A key's own record.
pub fn key(record: KeyRecord) -> Result<KeyMetadata, Errno> {
    let KeyRecord { guid, flags, sd, last_write_time } = record;
    let has_unknown_flag = flags & !(key_flag::VOLATILE | key_flag::SYMLINK) != 0;
    // No source has a time before the epoch (P-202).
    let is_before_epoch = i64::try_from(last_write_time).is_err();
    if guid == Guid::NULL || has_unknown_flag || is_before_epoch {
        return Err(Errno::EINVAL);
    }
    SecurityDescriptor::parse(&sd).map_err(|_| Errno::EINVAL)?;
    let volatile_key = flags & key_flag::VOLATILE != 0;
    let symlink = flags & key_flag::SYMLINK != 0;
    Ok(KeyMetadata { guid, sd, volatile_key, symlink, last_write_time })
}
