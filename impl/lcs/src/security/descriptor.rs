//! Security descriptors in self-relative form, as a key stores them (PSD-004 §3.1).
//!
//! Parsing is strict: what is accepted here may be used for an access evaluation, but for an owner
//! that is missing, which is that evaluation's to notice. The text leaves
//! open what a present-flag without an offset means, and the reverse; both are malformed here, so
//! that neither can be taken for a null DACL (P-124).

use std::error::Error;
use std::fmt;

use super::acl::Acl;
use super::sid::Sid;

/// Most bytes that a descriptor may have.
pub const SECURITY_DESCRIPTOR_LENGTH_MAX: usize = 65_535;

const HEADER_LENGTH: usize = 20;
const REVISION: u8 = 1;

/// Where the header holds the offsets.
pub(super) const OWNER_FIELD: usize = 4;
pub(super) const GROUP_FIELD: usize = 8;
pub(super) const SACL_FIELD: usize = 12;
pub(super) const DACL_FIELD: usize = 16;

/// Control bits of a descriptor (PSD-004 §3.1).
#[expect(missing_docs, reason = "each is named as in PSD-004 §3.1")]
pub mod control {
    pub const OWNER_DEFAULTED: u16 = 0x0001;
    pub const GROUP_DEFAULTED: u16 = 0x0002;
    pub const DACL_PRESENT: u16 = 0x0004;
    pub const DACL_DEFAULTED: u16 = 0x0008;
    pub const SACL_PRESENT: u16 = 0x0010;
    pub const SACL_DEFAULTED: u16 = 0x0020;
    pub const DACL_TRUSTED: u16 = 0x0040;
    pub const SERVER_SECURITY: u16 = 0x0080;
    pub const DACL_AUTO_INHERIT_REQ: u16 = 0x0100;
    pub const SACL_AUTO_INHERIT_REQ: u16 = 0x0200;
    pub const DACL_AUTO_INHERITED: u16 = 0x0400;
    pub const SACL_AUTO_INHERITED: u16 = 0x0800;
    pub const DACL_PROTECTED: u16 = 0x1000;
    pub const SACL_PROTECTED: u16 = 0x2000;
    pub const RM_CONTROL_VALID: u16 = 0x4000;
    pub const SELF_RELATIVE: u16 = 0x8000;
}

/// The security policy of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityDescriptor {
    /// Reserved byte of the header, kept.
    pub reserved: u8,
    /// Control bits other than the two PRESENT bits and SELF_RELATIVE, which the rest of the
    /// descriptor implies.
    pub control: u16,
    /// The owner; an access evaluation is refused where there is none (`SD-15`, P-91).
    pub owner: Option<Sid>,
    /// The group, which never decides anything.
    pub group: Option<Sid>,
    /// System list.
    pub sacl: Option<Acl>,
    /// Discretionary list; `None` is the null DACL, which allows everything.
    pub dacl: Option<Acl>,
}

/// Why bytes are no descriptor of a registry key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedDescriptor {
    /// More than 65,535 bytes.
    TooLong,
    /// Fewer bytes than the header has, or another revision, or not self-relative.
    Header,
    /// An offset into the header or behind the end.
    Offset,
    /// A list whose PRESENT bit contradicts its offset.
    PresentBit,
    /// An owner or group that is no SID.
    OwnerOrGroup,
    /// No owner where there has to be one.
    OwnerMissing,
    /// A list shorter than its header or longer than the descriptor.
    AclSize,
    /// Bytes in a list after its last ACE.
    AclLeftover,
    /// An ACE that is truncated, overruns its list or is no multiple of four bytes.
    AceSize,
    /// An ACE whose SID is none, or does not fill the ACE.
    AceSid,
    /// A mask with a bit that no ACE of a registry key may have (PSD-005 §3.1).
    AceMask {
        /// The mask.
        mask: u32,
    },
    /// A mandatory label that is no S-1-16-level, or a trust label that is no S-1-19-type-trust.
    LabelSid,
    /// A resource attribute for another SID than Everyone.
    AttributeSid,
}

impl SecurityDescriptor {
    /// The descriptor in these bytes.
    ///
    /// Gaps, overlaps and bytes behind the last component are accepted, as the offsets allow them;
    /// [`SecurityDescriptor::to_bytes`] does not bring them back.
    ///
    /// # Errors
    /// Whatever makes it unfit for a stored registry key (PSD-004 §3.1 to §3.4, PSD-005 §3.1).
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedDescriptor> {
        let (reserved, all_control) = header(bytes)?;
        Ok(Self {
            reserved,
            control: all_control & !IMPLIED_CONTROL,
            owner: sid_at(bytes, OWNER_FIELD)?,
            group: sid_at(bytes, GROUP_FIELD)?,
            sacl: acl_at(bytes, SACL_FIELD, all_control & control::SACL_PRESENT != 0)?,
            dacl: acl_at(bytes, DACL_FIELD, all_control & control::DACL_PRESENT != 0)?,
        })
    }

    /// The self-relative form: header, owner, group, SACL, DACL.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        Parts {
            owner: self.owner.as_ref(),
            group: self.group.as_ref(),
            sacl: self.sacl.as_ref(),
            dacl: self.dacl.as_ref(),
        }
        .to_bytes(self.reserved, self.control)
    }
}

/// Control bits that the rest of a descriptor implies.
pub(super) const IMPLIED_CONTROL: u16 =
    control::DACL_PRESENT | control::SACL_PRESENT | control::SELF_RELATIVE;

/// The components of a descriptor, or of a part of one, on their way to bytes.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub owner: Option<&'a Sid>,
    pub group: Option<&'a Sid>,
    pub sacl: Option<&'a Acl>,
    pub dacl: Option<&'a Acl>,
}

impl Parts<'_> {
    /// Header, owner, group, SACL, DACL, as far as they are there.
    pub(super) fn to_bytes(self, reserved: u8, control: u16) -> Vec<u8> {
        let mut all_control = control & !IMPLIED_CONTROL | control::SELF_RELATIVE;
        all_control |= if self.sacl.is_some() { control::SACL_PRESENT } else { 0 };
        all_control |= if self.dacl.is_some() { control::DACL_PRESENT } else { 0 };
        let mut bytes = vec![REVISION, reserved];
        bytes.extend_from_slice(&all_control.to_le_bytes());
        bytes.resize(HEADER_LENGTH, 0);
        append(&mut bytes, OWNER_FIELD, self.owner.map(Sid::as_bytes));
        append(&mut bytes, GROUP_FIELD, self.group.map(Sid::as_bytes));
        append(&mut bytes, SACL_FIELD, self.sacl.map(Acl::to_bytes).as_deref());
        append(&mut bytes, DACL_FIELD, self.dacl.map(Acl::to_bytes).as_deref());
        bytes
    }
}

/// The reserved byte and the control bits of a descriptor whose length and header are good.
pub(super) fn header(bytes: &[u8]) -> Result<(u8, u16), MalformedDescriptor> {
    if bytes.len() > SECURITY_DESCRIPTOR_LENGTH_MAX {
        return Err(MalformedDescriptor::TooLong);
    }
    let header = bytes.first_chunk::<HEADER_LENGTH>().ok_or(MalformedDescriptor::Header)?;
    let control = u16::from_le_bytes([header[2], header[3]]);
    if header[0] != REVISION || control & control::SELF_RELATIVE == 0 {
        return Err(MalformedDescriptor::Header);
    }
    Ok((header[1], control))
}

/// The part of `bytes` that the offset at `field` points to.
fn component(bytes: &[u8], field: usize) -> Result<Option<&[u8]>, MalformedDescriptor> {
    let offset = bytes
        .get(field..)
        .and_then(|rest| rest.first_chunk::<4>())
        .map(|offset| u32::from_le_bytes(*offset))
        .ok_or(MalformedDescriptor::Header)?;
    match usize::try_from(offset) {
        Ok(0) => Ok(None),
        Ok(offset) if (HEADER_LENGTH..bytes.len()).contains(&offset) => Ok(bytes.get(offset..)),
        _ => Err(MalformedDescriptor::Offset),
    }
}

pub(super) fn sid_at(bytes: &[u8], field: usize) -> Result<Option<Sid>, MalformedDescriptor> {
    component(bytes, field)?
        .map(|rest| Sid::parse_prefix(rest).map_err(|_| MalformedDescriptor::OwnerOrGroup))
        .transpose()
}

pub(super) fn acl_at(
    bytes: &[u8],
    field: usize,
    present: bool,
) -> Result<Option<Acl>, MalformedDescriptor> {
    let rest = component(bytes, field)?;
    if rest.is_some() != present {
        return Err(MalformedDescriptor::PresentBit);
    }
    rest.map(Acl::parse_prefix).transpose()
}

fn append(bytes: &mut Vec<u8>, field: usize, component: Option<&[u8]>) {
    let Some(component) = component else {
        return;
    };
    let offset = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    bytes[field..field + 4].copy_from_slice(&offset);
    bytes.extend_from_slice(component);
}

impl fmt::Display for MalformedDescriptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(formatter, "longer than 65,535 bytes"),
            Self::Header => write!(formatter, "no self-relative header of revision 1"),
            Self::Offset => write!(formatter, "an offset points outside"),
            Self::PresentBit => write!(formatter, "a present bit contradicts its offset"),
            Self::OwnerOrGroup => write!(formatter, "the owner or the group is no SID"),
            Self::OwnerMissing => write!(formatter, "there is no owner"),
            Self::AclSize => write!(formatter, "a list does not fit its size"),
            Self::AclLeftover => write!(formatter, "bytes follow the last ACE of a list"),
            Self::AceSize => write!(formatter, "an ACE does not fit its size"),
            Self::AceSid => write!(formatter, "the SID of an ACE does not fit the ACE"),
            Self::AceMask { mask } => write!(formatter, "mask {mask:#010x} is none of a key"),
            Self::LabelSid => write!(formatter, "a label is no integrity level or process trust"),
            Self::AttributeSid => write!(formatter, "a resource attribute is not for Everyone"),
        }
    }
}

impl Error for MalformedDescriptor {}
