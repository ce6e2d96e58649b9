//! What can be wrong with the binary form of a security descriptor.

use std::fmt;

use crate::coverage::{Covered, covers};

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
    /// A SID has a revision other than 1 (SD-02).
    SidRevision,
    /// A SID has more than 15 sub-authorities (SD-03).
    SidSubAuthorities,
    /// A SID runs past what holds it.
    Sid,
    /// A SID does not end where its ACE does (SD-31).
    SidEnd,
    /// An ACL is shorter than its header (SD-23).
    AclTooShort,
    /// An ACL runs past what holds it (SD-24).
    AclOverrun,
    /// An ACL has bytes behind its last ACE (SD-26).
    AclLeftover,
    /// An ACE's size is no multiple of four (SD-29).
    AceUnaligned,
    /// An ACE ends early, or runs past its ACL (SD-25).
    AceTruncated,
    /// An ACE is shorter than its type can be (SD-30).
    AceTooShort,
    /// A resource attribute ACE is not for Everyone, or holds no claim (PSD-004 §3.4, §3.9).
    ResourceAttribute,
    /// The SID of a mandatory or process trust label says no level or trust (ACC-69).
    Label,
    /// An ACE's mask has `MAXIMUM_ALLOWED` (SEC-38, SD-45).
    MaximumAllowed,
    /// An ACE's mask has a bit that registry SDs must not have (SEC-39).
    AccessMask,
    /// No owner where there must be one (PSD-004 §11.6).
    NoOwner,
}

impl MalformedDescriptor {
    /// What is wrong with a SID that begins with these bytes and is none.
    pub(super) fn of_sid(bytes: &[u8]) -> MalformedDescriptor {
        match bytes {
            [revision, ..] if *revision != 1 => MalformedDescriptor::SidRevision,
            [_, count, ..] if *count > 15 => MalformedDescriptor::SidSubAuthorities,
            _ => MalformedDescriptor::Sid,
        }
    }

    /// Marks what is not met.
    pub(crate) fn mark(self, covered: &mut Covered) {
        match self {
            MalformedDescriptor::TooLong => covers!(covered, "SD-14"),
            MalformedDescriptor::Revision => covers!(covered, "SD-12"),
            MalformedDescriptor::NotSelfRelative => covers!(covered, "SD-13"),
            MalformedDescriptor::Truncated
            | MalformedDescriptor::Offset
            | MalformedDescriptor::Presence => covers!(covered, "SD-09"),
            MalformedDescriptor::SidRevision => covers!(covered, "SD-02"),
            MalformedDescriptor::SidSubAuthorities => covers!(covered, "SD-03"),
            MalformedDescriptor::Sid => covers!(covered, "SD-01"),
            MalformedDescriptor::SidEnd => covers!(covered, "SD-31", "SD-28"),
            MalformedDescriptor::AclTooShort => covers!(covered, "SD-23", "SD-22"),
            MalformedDescriptor::AclOverrun => covers!(covered, "SD-24", "SD-22"),
            MalformedDescriptor::AclLeftover => covers!(covered, "SD-26", "SD-22"),
            MalformedDescriptor::AceUnaligned => covers!(covered, "SD-29", "SD-27"),
            MalformedDescriptor::AceTruncated => covers!(covered, "SD-25", "SD-27"),
            MalformedDescriptor::AceTooShort => covers!(covered, "SD-30", "SD-28"),
            MalformedDescriptor::ResourceAttribute => covers!(covered, "SD-41"),
            MalformedDescriptor::Label => covers!(covered, "ACC-69"),
            MalformedDescriptor::MaximumAllowed => {
                covers!(covered, "SEC-38", "SD-45", "CONST-36");
            }
            MalformedDescriptor::AccessMask => {
                covers!(covered, "SEC-39", "SD-44", "CONST-36");
            }
            MalformedDescriptor::NoOwner => covers!(covered, "SD-15"),
        }
    }
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
            MalformedDescriptor::SidRevision => "the revision of a SID is not 1",
            MalformedDescriptor::SidSubAuthorities => "a SID has more than 15 sub-authorities",
            MalformedDescriptor::Sid => "a SID is malformed",
            MalformedDescriptor::SidEnd => "a SID does not end with its ACE",
            MalformedDescriptor::AclTooShort => "an ACL is shorter than its header",
            MalformedDescriptor::AclOverrun => "an ACL runs past what holds it",
            MalformedDescriptor::AclLeftover => "an ACL has bytes behind its last ACE",
            MalformedDescriptor::AceUnaligned => "the size of an ACE is no multiple of four",
            MalformedDescriptor::AceTruncated => "an ACE ends early or runs past its ACL",
            MalformedDescriptor::AceTooShort => "an ACE is too short for its type",
            MalformedDescriptor::ResourceAttribute => "a resource attribute is malformed",
            MalformedDescriptor::Label => "the SID of a label is none of its kind",
            MalformedDescriptor::MaximumAllowed => "the mask of an ACE has MAXIMUM_ALLOWED",
            MalformedDescriptor::AccessMask => "the mask of an ACE has a bit that is not allowed",
            MalformedDescriptor::NoOwner => "there is no owner",
        })
    }
}

impl std::error::Error for MalformedDescriptor {}
