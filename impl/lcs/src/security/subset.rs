//! Parts of a descriptor, as callers read and replace them (PSD-005 §6.3, §11.2, PSD-004 §3.1).
//!
//! A caller's bytes are looked at only as far as the components go that it sets: another one may
//! hold anything (P-122).

use abi::{
    ACCESS_SYSTEM_SECURITY, DACL_SECURITY_INFORMATION, Errno, GROUP_SECURITY_INFORMATION,
    OWNER_SECURITY_INFORMATION, READ_CONTROL, SACL_SECURITY_INFORMATION, WRITE_DAC, WRITE_OWNER,
};

use super::acl::Acl;
use super::descriptor::{
    DACL_FIELD, GROUP_FIELD, IMPLIED_CONTROL, MalformedDescriptor, OWNER_FIELD, Parts, SACL_FIELD,
    SECURITY_DESCRIPTOR_LENGTH_MAX, SecurityDescriptor, acl_at, control, header, sid_at,
};
use super::sid::Sid;

/// Some of the four components of a descriptor, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Components(u32);

impl Components {
    const OWNER: u32 = OWNER_SECURITY_INFORMATION;
    const GROUP: u32 = GROUP_SECURITY_INFORMATION;
    const DACL: u32 = DACL_SECURITY_INFORMATION;
    const SACL: u32 = SACL_SECURITY_INFORMATION;

    /// The components of a `security_info` field.
    ///
    /// # Errors
    /// EINVAL for none and for unknown bits.
    pub const fn from_bits(security_info: u32) -> Result<Self, Errno> {
        let known = Self::OWNER | Self::GROUP | Self::DACL | Self::SACL;
        if security_info == 0 || security_info & !known != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Self(security_info))
    }

    /// What it takes to read them.
    #[must_use]
    pub const fn rights_to_read(self) -> u32 {
        let mut rights = 0;
        if self.has(Self::OWNER | Self::GROUP | Self::DACL) {
            rights |= READ_CONTROL;
        }
        if self.has(Self::SACL) {
            rights |= ACCESS_SYSTEM_SECURITY;
        }
        rights
    }

    /// What it takes to replace them.
    #[must_use]
    pub const fn rights_to_write(self) -> u32 {
        let mut rights = 0;
        if self.has(Self::OWNER | Self::GROUP) {
            rights |= WRITE_OWNER;
        }
        if self.has(Self::DACL) {
            rights |= WRITE_DAC;
        }
        if self.has(Self::SACL) {
            rights |= ACCESS_SYSTEM_SECURITY;
        }
        rights
    }

    const fn has(self, any: u32) -> bool {
        self.0 & any != 0
    }

    /// Control bits that belong to them and go where they go (P-123).
    const fn control(self) -> u16 {
        let mut bits = 0;
        if self.has(Self::OWNER) {
            bits |= control::OWNER_DEFAULTED;
        }
        if self.has(Self::GROUP) {
            bits |= control::GROUP_DEFAULTED;
        }
        if self.has(Self::DACL) {
            bits |= control::DACL_DEFAULTED
                | control::DACL_TRUSTED
                | control::DACL_AUTO_INHERIT_REQ
                | control::DACL_AUTO_INHERITED
                | control::DACL_PROTECTED;
        }
        if self.has(Self::SACL) {
            bits |= control::SACL_DEFAULTED
                | control::SACL_AUTO_INHERIT_REQ
                | control::SACL_AUTO_INHERITED
                | control::SACL_PROTECTED;
        }
        bits
    }
}

/// Control bits of a descriptor as a whole.
const COMMON_CONTROL: u16 = control::SERVER_SECURITY | control::RM_CONTROL_VALID;

/// New content for some components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorSubset {
    components: Components,
    control: u16,
    owner: Option<Sid>,
    group: Option<Sid>,
    sacl: Option<Acl>,
    dacl: Option<Acl>,
}

impl DescriptorSubset {
    /// The `components` of the self-relative descriptor in these bytes.
    ///
    /// # Errors
    /// What is wrong with the header or with one of the components; an owner has to be there if it
    /// is one of them, the others may be absent.
    pub fn parse(bytes: &[u8], components: Components) -> Result<Self, MalformedDescriptor> {
        let (_, all_control) = header(bytes)?;
        let mut subset = Self {
            components,
            control: all_control & components.control(),
            owner: None,
            group: None,
            sacl: None,
            dacl: None,
        };
        if components.has(Components::OWNER) {
            let owner = sid_at(bytes, OWNER_FIELD)?;
            subset.owner = Some(owner.ok_or(MalformedDescriptor::OwnerMissing)?);
        }
        if components.has(Components::GROUP) {
            subset.group = sid_at(bytes, GROUP_FIELD)?;
        }
        if components.has(Components::SACL) {
            subset.sacl = acl_at(bytes, SACL_FIELD, all_control & control::SACL_PRESENT != 0)?;
        }
        if components.has(Components::DACL) {
            subset.dacl = acl_at(bytes, DACL_FIELD, all_control & control::DACL_PRESENT != 0)?;
        }
        Ok(subset)
    }

    /// The owner, if that is to be replaced.
    #[must_use]
    pub const fn owner(&self) -> Option<&Sid> {
        self.owner.as_ref()
    }

    /// `present` with these components in place of its own.
    ///
    /// # Errors
    /// A result beyond 65,535 bytes, or without an owner (P-104).
    pub fn merge_into(
        self,
        present: SecurityDescriptor,
    ) -> Result<SecurityDescriptor, MalformedDescriptor> {
        let replaced = self.components;
        let merged = SecurityDescriptor {
            reserved: present.reserved,
            control: present.control & !replaced.control() | self.control & !IMPLIED_CONTROL,
            owner: self.owner.or(present.owner),
            group: if replaced.has(Components::GROUP) { self.group } else { present.group },
            sacl: if replaced.has(Components::SACL) { self.sacl } else { present.sacl },
            dacl: if replaced.has(Components::DACL) { self.dacl } else { present.dacl },
        };
        if merged.owner.is_none() {
            return Err(MalformedDescriptor::OwnerMissing);
        }
        if merged.to_bytes().len() > SECURITY_DESCRIPTOR_LENGTH_MAX {
            return Err(MalformedDescriptor::TooLong);
        }
        Ok(merged)
    }
}

impl SecurityDescriptor {
    /// The self-relative form of some components (P-125).
    #[must_use]
    pub fn to_bytes_of(&self, components: Components) -> Vec<u8> {
        let control = self.control & (components.control() | COMMON_CONTROL);
        Parts {
            owner: self.owner.as_ref().filter(|_| components.has(Components::OWNER)),
            group: self.group.as_ref().filter(|_| components.has(Components::GROUP)),
            sacl: self.sacl.as_ref().filter(|_| components.has(Components::SACL)),
            dacl: self.dacl.as_ref().filter(|_| components.has(Components::DACL)),
        }
        .to_bytes(self.reserved, control)
    }
}

#[cfg(test)]
mod tests {
    use super::super::acl::{Ace, ace_flag};
    use super::super::default_base_layer_sd;
    use super::*;

    const OWNER: u32 = Components::OWNER;
    const GROUP: u32 = Components::GROUP;
    const DACL: u32 = Components::DACL;
    const SACL: u32 = Components::SACL;

    fn components(bits: u32) -> Components {
        Components::from_bits(bits).expect("known bits")
    }

    /// Every component there, every control bit set, the reserved byte used.
    fn full() -> SecurityDescriptor {
        SecurityDescriptor {
            reserved: 9,
            control: !IMPLIED_CONTROL,
            owner: Some(Sid::LOCAL),
            group: Some(Sid::EVERYONE),
            sacl: Some(Acl::new(vec![])),
            dacl: Some(Acl::new(vec![Ace::allow(0, READ_CONTROL, Sid::EVERYONE)])),
        }
    }

    #[test]
    fn no_component_and_unknown_bits_are_invalid() {
        for bits in [0, 0x10, 0x1F, 0x8000_0000] {
            assert_eq!(Components::from_bits(bits), Err(Errno::EINVAL), "{bits:#x}");
        }
    }

    #[test]
    fn each_component_needs_its_right() {
        let rights = |bits| (components(bits).rights_to_read(), components(bits).rights_to_write());
        assert_eq!(rights(OWNER), (READ_CONTROL, WRITE_OWNER));
        assert_eq!(rights(GROUP), (READ_CONTROL, WRITE_OWNER));
        assert_eq!(rights(DACL), (READ_CONTROL, WRITE_DAC));
        assert_eq!(rights(SACL), (ACCESS_SYSTEM_SECURITY, ACCESS_SYSTEM_SECURITY));
        let all = READ_CONTROL | ACCESS_SYSTEM_SECURITY;
        let write = WRITE_OWNER | WRITE_DAC | ACCESS_SYSTEM_SECURITY;
        assert_eq!(rights(OWNER | GROUP | DACL | SACL), (all, write));
    }

    #[test]
    fn only_the_named_components_are_written_with_their_control_bits() {
        let part = full().to_bytes_of(components(DACL | OWNER));
        let read = SecurityDescriptor::parse(&part).expect("well-formed");
        let expected = SecurityDescriptor {
            control: components(DACL | OWNER).control() | COMMON_CONTROL,
            group: None,
            sacl: None,
            ..full()
        };
        assert_eq!(read, expected);
        assert_eq!(full().to_bytes_of(components(0xF)), full().to_bytes());
        let nothing = default_base_layer_sd().to_bytes_of(components(SACL));
        assert_eq!(nothing, [1, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_merge_replaces_what_is_named_and_keeps_the_rest() {
        let bytes = full().to_bytes();
        let present = default_base_layer_sd();
        let merge = |bits| {
            let given = DescriptorSubset::parse(&bytes, components(bits)).expect("well-formed");
            given.merge_into(present.clone()).expect("short")
        };
        let dacl = merge(DACL);
        assert_eq!(dacl.dacl, full().dacl);
        assert_eq!((dacl.owner, dacl.group, &dacl.sacl), (present.owner, present.group, &None));
        assert_eq!((dacl.reserved, dacl.control), (0, components(DACL).control()));
        let all = merge(0xF);
        let expected =
            SecurityDescriptor { reserved: 0, control: full().control & !COMMON_CONTROL, ..full() };
        assert_eq!(all, expected);
    }

    #[test]
    fn absent_lists_and_groups_are_taken_away_and_an_absent_owner_is_malformed() {
        let bare = default_base_layer_sd().to_bytes_of(components(SACL));
        let parse = |bits| DescriptorSubset::parse(&bare, components(bits));
        assert_eq!(parse(OWNER), Err(MalformedDescriptor::OwnerMissing));
        let rest = parse(GROUP | DACL | SACL).expect("well-formed").merge_into(full());
        let rest = rest.expect("short");
        assert_eq!(
            (rest.owner, rest.group, rest.sacl, rest.dacl),
            (Some(Sid::LOCAL), None, None, None)
        );
        assert_eq!(rest.control, COMMON_CONTROL | control::OWNER_DEFAULTED);
    }

    #[test]
    fn components_that_are_not_named_may_hold_anything() {
        let mut bytes = full().to_bytes();
        // The DACL is the last component; its revision, size and count follow.
        let dacl = bytes.len() - 28;
        bytes[dacl + 2] = 3;
        assert!(DescriptorSubset::parse(&bytes, components(OWNER | GROUP | SACL)).is_ok());
        let refused = DescriptorSubset::parse(&bytes, components(DACL));
        assert_eq!(refused, Err(MalformedDescriptor::AclSize));
    }

    #[test]
    fn a_merge_beyond_the_limit_is_refused() {
        let ace = Ace::allow(ace_flag::CONTAINER_INHERIT, READ_CONTROL, Sid::EVERYONE);
        let long = SecurityDescriptor { dacl: Some(Acl::new(vec![ace; 2000])), ..full() };
        let present = SecurityDescriptor { sacl: long.dacl.clone(), ..full() };
        let given = DescriptorSubset::parse(&long.to_bytes(), components(DACL)).expect("fits");
        assert_eq!(given.merge_into(present), Err(MalformedDescriptor::TooLong));
    }
}
