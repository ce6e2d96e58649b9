//! The error numbers of the registry (PSD-005 §6.4), with Linux's numeric values.

use std::fmt;

macro_rules! errnos {
    ($($name:ident = $number:literal),* $(,)?) => {
        /// An error that a registry call may return.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Errno {
            $(
                #[doc = concat!("Linux error ", stringify!($number), ".")]
                $name,
            )*
            /// A number that the registry never returns; always a divergence.
            Other(i32),
        }

        impl Errno {
            /// Every errno of the table in §6.4, in numeric order.
            pub const ALL: &[Errno] = &[$(Errno::$name),*];

            /// The error of a positive Linux number.
            pub fn from_number(number: i32) -> Errno {
                match number {
                    $($number => Errno::$name,)*
                    other => Errno::Other(other),
                }
            }

            /// The positive Linux number.
            pub fn number(self) -> i32 {
                match self {
                    $(Errno::$name => $number,)*
                    Errno::Other(other) => other,
                }
            }
        }

        impl fmt::Display for Errno {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Errno::$name => f.write_str(stringify!($name)),)*
                    Errno::Other(other) => write!(f, "errno {other}"),
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, ENOENT = 2, EIO = 5, EBADF = 9, EAGAIN = 11, ENOMEM = 12, EACCES = 13,
    EFAULT = 14, EBUSY = 16, EEXIST = 17, EXDEV = 18, EINVAL = 22, ENOTTY = 25, ENOSPC = 28,
    ERANGE = 34, ENAMETOOLONG = 36, ENOSYS = 38, ENOTEMPTY = 39, ELOOP = 40, EOVERFLOW = 75,
    EMSGSIZE = 90, ENOTSUP = 95, ETIMEDOUT = 110, ESTALE = 116,
}
