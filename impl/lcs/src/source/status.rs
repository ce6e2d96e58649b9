//! Statuses of a source as error numbers (PSD-005 §7.3).

use abi::Errno;
use rsi::Status;

/// The error number that a status reaches a caller with, where the operation has no rule of its
/// own (D-92).
#[must_use]
pub const fn status_errno(status: Status) -> Errno {
    match status {
        Status::NotFound => Errno::ENOENT,
        Status::AlreadyExists => Errno::EEXIST,
        Status::StorageError => Errno::EIO,
        Status::NotEmpty => Errno::ENOTEMPTY,
        Status::TooLarge => Errno::ENOSPC,
        Status::TransactionBusy => Errno::EBUSY,
        Status::Invalid => Errno::EINVAL,
        Status::ConditionFailed => Errno::EAGAIN,
        Status::TransactionNotSupported => Errno::ENOTSUP,
    }
}
