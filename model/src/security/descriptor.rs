//! Security descriptors: their parts, their binary form, and what registry SDs may hold.
//!
//! States PSD-004 §3.1 and the rule of PSD-005 §3.1 for ACE masks (SEC-36 to SEC-40), with P-90 for
//! the order of components. Does not decide access.

use super::Sid;
use super::acl::{AceBody, Acl};
use super::components::{
    DACL_SECURITY_INFORMATION, EVERY_COMPONENT, GROUP_SECURITY_INFORMATION,
    OWNER_SECURITY_INFORMATION, SACL_SECURITY_INFORMATION,
};
use super::malformed::MalformedDescriptor;
use super::rights::{MAXIMUM_ALLOWED, REG_VALID_MAPPED_ACCESS_MASK, map_generic_bits};
use crate::coverage::Covered;
use crate::errno::Errno;

/// The bits of the control field (SD-10).
pub mod control {
    /// The owner comes from a default.
    pub const OWNER_DEFAULTED: u16 = 0x0001;
    /// The group comes from a default.
    pub const GROUP_DEFAULTED: u16 = 0x0002;
    /// There is a DACL.
    pub const DACL_PRESENT: u16 = 0x0004;
    /// The DACL comes from a default.
    pub const DACL_DEFAULTED: u16 = 0x0008;
    /// There is a SACL.
    pub const SACL_PRESENT: u16 = 0x0010;
    /// The SACL comes from a default.
    pub const SACL_DEFAULTED: u16 = 0x0020;
    /// Kept (SD-17).
    pub const DACL_TRUSTED: u16 = 0x0040;
    /// Asks for server ACEs at a creation that states an SD, which none of a key does.
    pub const SERVER_SECURITY: u16 = 0x0080;
    /// Asks for inheritance at a creation that states an SD.
    pub const DACL_AUTO_INHERIT_REQ: u16 = 0x0100;
    /// The same for the SACL.
    pub const SACL_AUTO_INHERIT_REQ: u16 = 0x0200;
    /// The DACL holds inherited ACEs.
    pub const DACL_AUTO_INHERITED: u16 = 0x0400;
    /// The SACL holds inherited ACEs.
    pub const SACL_AUTO_INHERITED: u16 = 0x0800;
    /// The DACL takes no inherited ACEs; for tools that inherit anew (INH-33).
    pub const DACL_PROTECTED: u16 = 0x1000;
    /// The same for the SACL.
    pub const SACL_PROTECTED: u16 = 0x2000;
    /// The reserved byte of the header has a meaning to whoever wrote it.
    pub const RM_CONTROL_VALID: u16 = 0x4000;
    /// The descriptor is one buffer with offsets; always set.
    pub const SELF_RELATIVE: u16 = 0x8000;
}

use control::{DACL_PRESENT, SACL_PRESENT, SELF_RELATIVE};

/// The security descriptor of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityDescriptor {
    /// The reserved byte of the header, kept (SD-17).
    pub resource_manager_control: u8,
    /// Control bits without the present bits and `SE_SELF_RELATIVE`, which follow from the rest.
    pub other_control: u16,
    /// The owner. A descriptor without one serves no access check (SD-15).
    pub owner: Option<Sid>,
    /// The group; it never decides (SD-16).
    pub group: Option<Sid>,
    /// The SACL.
    pub sacl: Option<Acl>,
    /// The DACL. `None` is the null DACL, which grants everything; one without ACEs grants
    /// nothing (SD-20).
    pub dacl: Option<Acl>,
}

const REVISION: u8 = 1;
const HEADER_LENGTH: usize = 20;
const LENGTH_MAX: usize = 65_535;

impl SecurityDescriptor {
    /// The components of a caller's descriptor that `security_info` names. The others are not looked
    /// at, and absent here (P-91).
    ///
    /// # Errors
    ///
    /// EINVAL if it is malformed (PSD-005 §6.3).
    pub fn from_caller(
        bytes: &[u8],
        security_info: u32,
        covered: &mut Covered,
    ) -> Result<SecurityDescriptor, Errno> {
        SecurityDescriptor::parse_named(bytes, security_info).map_err(|malformed| {
            malformed.mark(covered);
            Errno::EINVAL
        })
    }

    /// The descriptor in `bytes`.
    ///
    /// Bytes between and after the components are passed over, and components may overlap: the
    /// text demands no packing.
    ///
    /// # Errors
    ///
    /// If the structure breaks a rule of PSD-004 §2.1, §3.1, §3.2 or §3.4, or an ACE of
    /// recognised type has a mask that registry SDs must not have (PSD-005 §3.1).
    pub fn parse(bytes: &[u8]) -> Result<SecurityDescriptor, MalformedDescriptor> {
        SecurityDescriptor::parse_named(bytes, EVERY_COMPONENT)
    }

    fn parse_named(
        bytes: &[u8],
        security_info: u32,
    ) -> Result<SecurityDescriptor, MalformedDescriptor> {
        if bytes.len() > LENGTH_MAX {
            return Err(MalformedDescriptor::TooLong);
        }
        let header: &[u8; HEADER_LENGTH] =
            bytes.first_chunk().ok_or(MalformedDescriptor::Truncated)?;
        if header[0] != REVISION {
            return Err(MalformedDescriptor::Revision);
        }
        let control = u16::from_le_bytes([header[2], header[3]]);
        if control & SELF_RELATIVE == 0 {
            return Err(MalformedDescriptor::NotSelfRelative);
        }
        let names = |component| security_info & component != 0;
        let at = |component, field| {
            if names(component) { component_at(bytes, header, field) } else { Ok(None) }
        };
        let list = |component, field, present| {
            acl(at(component, field)?, names(component) && control & present != 0)
        };
        let descriptor = SecurityDescriptor {
            resource_manager_control: header[1],
            other_control: control & !(SELF_RELATIVE | DACL_PRESENT | SACL_PRESENT),
            owner: at(OWNER_SECURITY_INFORMATION, 4)?.map(sid).transpose()?,
            group: at(GROUP_SECURITY_INFORMATION, 8)?.map(sid).transpose()?,
            sacl: list(SACL_SECURITY_INFORMATION, 12, SACL_PRESENT)?,
            dacl: list(DACL_SECURITY_INFORMATION, 16, DACL_PRESENT)?,
        };
        // What the bytes state is no longer than they are; written again it may be, by overlaps (P-194).
        descriptor.check_masks()?;
        Ok(descriptor)
    }

    /// The binary form: header, owner, group, SACL and DACL without gaps.
    ///
    /// # Errors
    ///
    /// EINVAL above 65,535 bytes (SD-14, INH-34).
    pub fn to_bytes(&self) -> Result<Vec<u8>, Errno> {
        if self.length() > LENGTH_MAX {
            return Err(Errno::EINVAL);
        }
        Ok(self.serialized())
    }

    /// The binary form of a descriptor that is known to be short enough.
    pub(super) fn serialized(&self) -> Vec<u8> {
        let components = [
            self.owner.as_ref().map(|sid| sid.0.clone()),
            self.group.as_ref().map(|sid| sid.0.clone()),
            self.sacl.as_ref().map(Acl::to_bytes),
            self.dacl.as_ref().map(Acl::to_bytes),
        ];
        let mut header = vec![REVISION, self.resource_manager_control];
        header.extend(self.control().to_le_bytes());
        let mut body = Vec::new();
        for component in components {
            let offset = if component.is_some() { HEADER_LENGTH + body.len() } else { 0 };
            header.extend((offset as u32).to_le_bytes());
            body.extend(component.into_iter().flatten());
        }
        header.extend(body);
        header
    }

    /// The whole control field.
    pub fn control(&self) -> u16 {
        let present = |acl: &Option<Acl>, bit| if acl.is_some() { bit } else { 0 };
        self.other_control
            | SELF_RELATIVE
            | present(&self.sacl, SACL_PRESENT)
            | present(&self.dacl, DACL_PRESENT)
    }

    /// The limit and the rule for ACE masks, which hold for every SD that LCS makes.
    ///
    /// # Errors
    ///
    /// Which of them does not hold.
    pub(super) fn check(&self) -> Result<(), MalformedDescriptor> {
        if self.length() > LENGTH_MAX {
            return Err(MalformedDescriptor::TooLong);
        }
        self.check_masks()
    }

    fn check_masks(&self) -> Result<(), MalformedDescriptor> {
        let aces = self.dacl.iter().chain(&self.sacl).flat_map(|acl| &acl.aces);
        for ace in aces {
            if let AceBody::Recognised { mask, .. } = ace.body {
                check_ace_mask(mask)?;
            }
        }
        Ok(())
    }

    fn length(&self) -> usize {
        let sids = self.owner.iter().chain(&self.group).map(|sid| sid.0.len());
        let acls = self.sacl.iter().chain(&self.dacl).map(Acl::length);
        HEADER_LENGTH + sids.chain(acls).sum::<usize>()
    }
}

/// PSD-005 §3.1: no MAXIMUM_ALLOWED, and concrete registry rights after generic mapping, which leaves
/// every bit that is not generic as it is (SEC-38, SEC-39).
fn check_ace_mask(mask: u32) -> Result<(), MalformedDescriptor> {
    if mask & MAXIMUM_ALLOWED != 0 {
        return Err(MalformedDescriptor::MaximumAllowed);
    }
    if map_generic_bits(mask) & !REG_VALID_MAPPED_ACCESS_MASK != 0 {
        return Err(MalformedDescriptor::AccessMask);
    }
    Ok(())
}

/// What begins at the offset that `header` has at `field`; `None` for offset zero.
fn component_at<'a>(
    bytes: &'a [u8],
    header: &[u8; HEADER_LENGTH],
    field: usize,
) -> Result<Option<&'a [u8]>, MalformedDescriptor> {
    let offset = [header[field], header[field + 1], header[field + 2], header[field + 3]];
    let offset = u32::from_le_bytes(offset) as usize;
    match offset {
        0 => Ok(None),
        1..HEADER_LENGTH => Err(MalformedDescriptor::Offset),
        _ => bytes.get(offset..).map(Some).ok_or(MalformedDescriptor::Offset),
    }
}

fn sid(bytes: &[u8]) -> Result<Sid, MalformedDescriptor> {
    Sid::at_start_of(bytes).ok_or_else(|| MalformedDescriptor::of_sid(bytes))
}

fn acl(bytes: Option<&[u8]>, present: bool) -> Result<Option<Acl>, MalformedDescriptor> {
    match (bytes, present) {
        (Some(bytes), true) => Acl::parse(bytes).map(Some),
        (None, false) => Ok(None),
        _ => Err(MalformedDescriptor::Presence),
    }
}

#[cfg(test)]
#[path = "descriptor_tests.rs"]
mod tests;
