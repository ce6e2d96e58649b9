//! Linux error numbers that the registry returns (PSD-005 §6.4).

/// An error of a system call or ioctl; the discriminant is Linux's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
#[expect(missing_docs, reason = "the names are Linux's")]
pub enum Errno {
    EPERM = 1,
    ENOENT = 2,
    EIO = 5,
    EBADF = 9,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EFAULT = 14,
    EBUSY = 16,
    EEXIST = 17,
    EXDEV = 18,
    EINVAL = 22,
    EMFILE = 24,
    ENOTTY = 25,
    ENOSPC = 28,
    ERANGE = 34,
    ENAMETOOLONG = 36,
    ENOSYS = 38,
    ENOTEMPTY = 39,
    ELOOP = 40,
    EOVERFLOW = 75,
    EMSGSIZE = 90,
    ENOTSUP = 95,
    ETIMEDOUT = 110,
    ESTALE = 116,
}

impl Errno {
    /// The value that a system call returns for this error: minus Linux's number.
    pub const fn returned(self) -> i64 {
        -(self as i32 as i64)
    }
}
