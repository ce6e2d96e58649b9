//! Reading and replacing components of a descriptor.
//!
//! States PSD-005 §6.3 (REG_IOC_GET_SECURITY, REG_IOC_SET_SECURITY) and PSD-004 §11.6 with the
//! subsets of §13.7, and P-92 for the control bits that go with a component. Which rights a caller
//! needs is not decided here.

use super::acl::{AceBody, Acl};
use super::descriptor::{SecurityDescriptor, control};
use super::malformed::MalformedDescriptor;
use crate::coverage::{Covered, covers};

/// The owner.
pub const OWNER_SECURITY_INFORMATION: u32 = 0x1;
/// The group.
pub const GROUP_SECURITY_INFORMATION: u32 = 0x2;
/// The DACL.
pub const DACL_SECURITY_INFORMATION: u32 = 0x4;
/// The SACL, as a whole.
pub const SACL_SECURITY_INFORMATION: u32 = 0x8;
/// Every component.
pub(super) const EVERY_COMPONENT: u32 = OWNER_SECURITY_INFORMATION
    | GROUP_SECURITY_INFORMATION
    | DACL_SECURITY_INFORMATION
    | SACL_SECURITY_INFORMATION;

/// The control bits that go with a component. The present bits are not among them: they follow from
/// the component itself.
const CONTROL_OF: [(u32, u16); 4] = [
    (OWNER_SECURITY_INFORMATION, control::OWNER_DEFAULTED),
    (GROUP_SECURITY_INFORMATION, control::GROUP_DEFAULTED),
    (
        DACL_SECURITY_INFORMATION,
        control::DACL_DEFAULTED
            | control::DACL_TRUSTED
            | control::DACL_AUTO_INHERIT_REQ
            | control::DACL_AUTO_INHERITED
            | control::DACL_PROTECTED,
    ),
    (
        SACL_SECURITY_INFORMATION,
        control::SACL_DEFAULTED
            | control::SACL_AUTO_INHERIT_REQ
            | control::SACL_AUTO_INHERITED
            | control::SACL_PROTECTED,
    ),
];

impl SecurityDescriptor {
    /// The descriptor of these components alone, in binary form. One that is absent is left out;
    /// the header is there in any case.
    ///
    /// # Errors
    ///
    /// If that is longer than 65,535 bytes (P-194).
    pub fn select(&self, security_info: u32) -> Result<Vec<u8>, MalformedDescriptor> {
        let wanted = |component: u32| security_info & component != 0;
        let subset = SecurityDescriptor {
            resource_manager_control: self.resource_manager_control,
            other_control: self.other_control & !control_of(!security_info),
            owner: self.owner.clone().filter(|_| wanted(OWNER_SECURITY_INFORMATION)),
            group: self.group.clone().filter(|_| wanted(GROUP_SECURITY_INFORMATION)),
            sacl: self.sacl.clone().filter(|_| wanted(SACL_SECURITY_INFORMATION)),
            dacl: self.dacl.clone().filter(|_| wanted(DACL_SECURITY_INFORMATION)),
        };
        subset.to_bytes().map_err(|_| MalformedDescriptor::TooLong)
    }

    /// Marks what shows that these components come back as they were given.
    pub fn mark_preserved(&self, security_info: u32, covered: &mut Covered) {
        let wanted = |component: u32| security_info & component != 0;
        let is_trusted = self.other_control & control::DACL_TRUSTED != 0;
        if self.resource_manager_control != 0 || wanted(DACL_SECURITY_INFORMATION) && is_trusted {
            covers!(covered, "SD-17");
        }
        if self.other_control & control_of(security_info) != 0 {
            covers!(covered, "SD-10");
        }
        let dacl = self.dacl.iter().filter(|_| wanted(DACL_SECURITY_INFORMATION));
        let sacl = self.sacl.iter().filter(|_| wanted(SACL_SECURITY_INFORMATION));
        if dacl.clone().any(|dacl| dacl.aces.len() > 1) {
            covers!(covered, "SD-47");
        }
        for ace in dacl.chain(sacl).flat_map(|acl| &acl.aces) {
            match &ace.body {
                AceBody::Unrecognised { .. } => covers!(covered, "SD-35"),
                AceBody::Recognised { sid, .. } if sid.0.get(1) == Some(&0) => {
                    covers!(covered, "SD-04");
                }
                AceBody::Recognised { kind, .. } if !kind.is_basic() => covers!(covered, "SD-32"),
                AceBody::Recognised { .. } => {}
            }
        }
        if self.dacl.iter().any(Acl::keeps_a_revision) {
            covers!(covered, "SD-39");
        }
    }

    /// Marks what shows that no ACL is refused for its revision.
    pub fn mark_revisions(&self, covered: &mut Covered) {
        if self.dacl.iter().chain(&self.sacl).any(Acl::has_odd_revision) {
            covers!(covered, "SD-36", "SD-37");
        }
    }

    /// This descriptor with these components of `new` in place of its own. A component that `new`
    /// does not have is removed: the DACL becomes the null DACL.
    ///
    /// # Errors
    ///
    /// If the result has no owner, or is longer than 65,535 bytes.
    pub fn merge(
        &self,
        new: &SecurityDescriptor,
        security_info: u32,
    ) -> Result<SecurityDescriptor, MalformedDescriptor> {
        let from = |component: u32| if security_info & component != 0 { new } else { self };
        let replaced = control_of(security_info);
        let merged = SecurityDescriptor {
            resource_manager_control: self.resource_manager_control,
            other_control: self.other_control & !replaced | new.other_control & replaced,
            owner: from(OWNER_SECURITY_INFORMATION).owner.clone(),
            group: from(GROUP_SECURITY_INFORMATION).group.clone(),
            sacl: from(SACL_SECURITY_INFORMATION).sacl.clone(),
            dacl: from(DACL_SECURITY_INFORMATION).dacl.clone(),
        };
        if merged.owner.is_none() {
            return Err(MalformedDescriptor::NoOwner);
        }
        merged.check()?;
        Ok(merged)
    }
}

/// The control bits of these components.
fn control_of(security_info: u32) -> u16 {
    let components = CONTROL_OF.iter().filter(|(component, _)| security_info & component != 0);
    components.fold(0, |bits, (_, control)| bits | control)
}

#[cfg(test)]
#[path = "components_tests.rs"]
mod tests;
