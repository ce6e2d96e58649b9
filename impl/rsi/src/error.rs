//! Why a message is refused, in the two classes that have different consequences.
//!
//! PSD-005 §7.1, §7.3, D-90: a bad frame ends the connection; a bad payload inside a good frame
//! costs only the request it answers.

use std::error::Error;
use std::fmt;

/// A message whose structure cannot be followed to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Fewer bytes than the header has.
    ShorterThanHeader {
        /// Bytes there are.
        length: usize,
    },
    /// The header's length is not the number of bytes handed over.
    LengthMismatch {
        /// What the header says.
        declared: u32,
        /// Bytes there are.
        length: usize,
    },
    /// An operation code of no operation, or one without or with the response bit against its
    /// direction.
    UnknownOperation {
        /// The code as it stands in the header.
        code: u16,
    },
    /// The response's operation is not that of the request it answers.
    WrongOperation {
        /// The code as it stands in the header.
        code: u16,
    },
    /// The payload ends inside a field.
    PayloadEndsEarly,
    /// A boolean of a request that is neither 0 nor 1. (In a response it is a bad payload.)
    RequestNotBoolean {
        /// The byte found.
        byte: u8,
    },
}

/// Content that no honest source sends, in a frame that can be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// A status code outside §7.3.
    UnknownStatus {
        /// The code found.
        code: u32,
    },
    /// Bytes after the last field.
    TrailingBytes,
    /// A boolean that is neither 0 nor 1.
    NotBoolean {
        /// The byte found.
        byte: u8,
    },
    /// A path entry that is neither GUID nor HIDDEN.
    UnknownTargetType {
        /// The byte found.
        byte: u8,
    },
    /// A HIDDEN entry that names a key.
    HiddenWithGuid,
    /// A GUID entry that names no key.
    NullTarget,
    /// A key that an entry names has no metadata.
    MissingMetadata,
    /// Metadata of a key that no entry names, or twice that of one.
    SurplusMetadata,
}

/// Why a response is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// Malformed protocol: the connection is to be torn down.
    Frame(FrameError),
    /// Malformed data: the request fails and the source stays.
    Payload(PayloadError),
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShorterThanHeader { length } => {
                write!(formatter, "{length} bytes are shorter than the header")
            }
            Self::LengthMismatch { declared, length } => {
                write!(formatter, "the header says {declared} bytes, there are {length}")
            }
            Self::UnknownOperation { code } => write!(formatter, "no operation has code {code:#x}"),
            Self::WrongOperation { code } => {
                write!(formatter, "code {code:#x} is not the operation that was asked")
            }
            Self::PayloadEndsEarly => write!(formatter, "the payload ends inside a field"),
            Self::RequestNotBoolean { byte } => write!(formatter, "{byte} is no boolean"),
        }
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownStatus { code } => write!(formatter, "no status has code {code}"),
            Self::TrailingBytes => write!(formatter, "bytes follow the last field"),
            Self::NotBoolean { byte } => write!(formatter, "{byte} is no boolean"),
            Self::UnknownTargetType { byte } => write!(formatter, "{byte} is no target type"),
            Self::HiddenWithGuid => write!(formatter, "a HIDDEN entry names a key"),
            Self::NullTarget => write!(formatter, "a GUID entry names no key"),
            Self::MissingMetadata => write!(formatter, "a named key has no metadata"),
            Self::SurplusMetadata => write!(formatter, "metadata of a key that no entry names"),
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => write!(formatter, "malformed protocol: {error}"),
            Self::Payload(error) => write!(formatter, "malformed data: {error}"),
        }
    }
}

impl Error for FrameError {}
impl Error for PayloadError {}
impl Error for ResponseError {}

impl From<FrameError> for ResponseError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<PayloadError> for ResponseError {
    fn from(error: PayloadError) -> Self {
        Self::Payload(error)
    }
}
