//! What can be wrong with the binary form of a security descriptor.

use std::fmt;

/// Why bytes are no security descriptor of a registry key.
///
/// Malformed data from a source makes an operation fail with EIO (PSD-005 §3.1, SEC-36 to
/// SEC-40); which errno a caller's own descriptor gets is for the operation to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedDescriptor {
    /// Longer than 65,535 bytes (SD-14).
    TooLong,
    /// Shorter than its header.
    Truncated,
    /// A revision other than 1 (SD-12).
    Revision,
    /// `SE_SELF_RELATIVE` is clear (SD-13).
    NotSelfRelative,
    /// An offset points into the header or past the end.
    Offset,
    /// A present bit and its offset contradict each other.
    Presence,
    /// A SID is malformed or does not end where it must (SD-02, SD-03, SD-31).
    Sid,
    /// An ACL's size, or what its ACEs leave of it, is wrong (SD-23 to SD-26).
    AclSize,
    /// An ACE's size is wrong (SD-25, SD-29, SD-30).
    AceSize,
    /// A resource attribute ACE is not for Everyone (PSD-004 §3.4).
    ResourceAttribute,
    /// An ACE's mask has a bit that registry SDs must not have (SEC-38, SEC-39).
    AccessMask,
}

impl fmt::Display for MalformedDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MalformedDescriptor::TooLong => "the descriptor is longer than 65535 bytes",
            MalformedDescriptor::Truncated => "the descriptor is shorter than its header",
            MalformedDescriptor::Revision => "the revision is not 1",
            MalformedDescriptor::NotSelfRelative => "the descriptor is not self-relative",
            MalformedDescriptor::Offset => "an offset lies outside the body",
            MalformedDescriptor::Presence => "a present bit contradicts its offset",
            MalformedDescriptor::Sid => "a SID is malformed",
            MalformedDescriptor::AclSize => "the size of an ACL is wrong",
            MalformedDescriptor::AceSize => "the size of an ACE is wrong",
            MalformedDescriptor::ResourceAttribute => "a resource attribute is not for Everyone",
            MalformedDescriptor::AccessMask => "the mask of an ACE has a bit that is not allowed",
        })
    }
}

impl std::error::Error for MalformedDescriptor {}
