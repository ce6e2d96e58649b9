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
    /// All of them, by number.
    pub const ALL: [Self; 25] = [
        Self::EPERM,
        Self::ENOENT,
        Self::EIO,
        Self::EBADF,
        Self::EAGAIN,
        Self::ENOMEM,
        Self::EACCES,
        Self::EFAULT,
        Self::EBUSY,
        Self::EEXIST,
        Self::EXDEV,
        Self::EINVAL,
        Self::EMFILE,
        Self::ENOTTY,
        Self::ENOSPC,
        Self::ERANGE,
        Self::ENAMETOOLONG,
        Self::ENOSYS,
        Self::ENOTEMPTY,
        Self::ELOOP,
        Self::EOVERFLOW,
        Self::EMSGSIZE,
        Self::ENOTSUP,
        Self::ETIMEDOUT,
        Self::ESTALE,
    ];

    /// The error with Linux's number, if the registry returns it.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|errno| *errno as i32 == number)
    }

    /// The value that a system call returns for this error: minus Linux's number.
    pub const fn returned(self) -> i64 {
        -(self as i32 as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::Errno;

    #[test]
    fn an_error_is_found_by_its_number() {
        assert_eq!(Errno::from_number(116), Some(Errno::ESTALE));
        assert_eq!((Errno::from_number(0), Errno::from_number(3)), (None, None));
        assert!(Errno::ALL.is_sorted());
    }
}
