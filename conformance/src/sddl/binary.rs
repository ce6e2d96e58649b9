//! Descriptors as bytes: PSD-004 §2.1, §3.1, §3.2 and §3.4.
//!
//! Reads whatever has the outlines of a descriptor; the caller compares what comes of it with the
//! bytes, so that nothing has to be checked here.

use registry_model::security::Sid;

use super::vocabulary::{ACE_TYPES, ACL_FLAGS};
use super::{
    Ace, Acl, DACL, DACL_PRESENT, Descriptor, GROUP, OWNER, SACL, SACL_PRESENT, SELF_RELATIVE,
};

const REVISION: u8 = 1;
const HEADER_LENGTH: usize = 20;
/// Offsets of the fields of the header that hold offsets.
const OWNER_FIELD: usize = 4;
const GROUP_FIELD: usize = 8;
const SACL_FIELD: usize = 12;
const DACL_FIELD: usize = 16;

const ACL_HEADER_LENGTH: usize = 8;
const ACL_REVISION: u8 = 2;
/// The revision of an ACL with object or callback ACEs.
const ACL_REVISION_DS: u8 = 4;
/// The types of those.
const DS_TYPES: std::ops::RangeInclusive<u8> = 0x05..=0x10;
const ACE_HEADER_LENGTH: usize = 4;

/// The bytes of a descriptor.
pub(super) fn write(descriptor: &Descriptor) -> Vec<u8> {
    let mut control = SELF_RELATIVE | descriptor.other_control;
    let mut bytes = vec![0; HEADER_LENGTH];
    bytes[0] = REVISION;
    let mut append = |field: usize, part: Option<Vec<u8>>| {
        if let Some(part) = part {
            let offset = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            bytes[field..field + 4].copy_from_slice(&offset.to_le_bytes());
            bytes.extend(part);
        }
    };
    append(OWNER_FIELD, descriptor.owner.as_ref().map(|sid| sid.0.clone()));
    append(GROUP_FIELD, descriptor.group.as_ref().map(|sid| sid.0.clone()));
    append(SACL_FIELD, descriptor.sacl.as_ref().map(acl));
    append(DACL_FIELD, descriptor.dacl.as_ref().map(acl));
    if let Some(dacl) = &descriptor.dacl {
        control |= dacl.flags.iter().fold(DACL_PRESENT, |bits, flag| bits | ACL_FLAGS[*flag].1);
    }
    if let Some(sacl) = &descriptor.sacl {
        control |= sacl.flags.iter().fold(SACL_PRESENT, |bits, flag| bits | ACL_FLAGS[*flag].2);
    }
    bytes[2..4].copy_from_slice(&control.to_le_bytes());
    bytes
}

/// The bytes of an ACL.
pub(super) fn acl(acl: &Acl) -> Vec<u8> {
    let is_ds = |ace: &Ace| matches!(ace, Ace::Raw(bytes) if bytes.first().is_some_and(|of| DS_TYPES.contains(of)));
    let revision = if acl.aces.iter().any(is_ds) { ACL_REVISION_DS } else { ACL_REVISION };
    let aces: Vec<u8> = acl.aces.iter().flat_map(ace).collect();
    let mut bytes = vec![revision, 0];
    bytes.extend(length(ACL_HEADER_LENGTH + aces.len()));
    bytes.extend(length(acl.aces.len()));
    bytes.extend([0, 0]);
    bytes.extend(aces);
    bytes
}

fn ace(ace: &Ace) -> Vec<u8> {
    match ace {
        Ace::Raw(bytes) => bytes.clone(),
        Ace::Single { ace_type, flags, mask, sid } => {
            let mut bytes = vec![*ace_type, *flags];
            bytes.extend(length(ACE_HEADER_LENGTH + 4 + sid.0.len()));
            bytes.extend(mask.to_le_bytes());
            bytes.extend(&sid.0);
            bytes
        }
    }
}

/// A length or a count, which has two bytes; one that does not fit is the greatest.
fn length(of: usize) -> [u8; 2] {
    u16::try_from(of).unwrap_or(u16::MAX).to_le_bytes()
}

/// What bytes seem to be.
pub(super) fn read(bytes: &[u8]) -> Option<Descriptor> {
    let header: &[u8; HEADER_LENGTH] = bytes.first_chunk()?;
    let mut control = control(header);
    let part = |field: usize| match offset(header, field) {
        0 => Some(None),
        offset => bytes.get(offset..).map(Some),
    };
    let sid = |field: usize| match part(field)? {
        None => Some(None),
        Some(bytes) => Sid::at_start_of(bytes).map(Some),
    };
    let mut list = |field: usize, present: u16, bit: fn(&(&str, u16, u16)) -> u16| {
        let mut acl = match part(field)? {
            None => return Some(None),
            Some(bytes) => read_acl(bytes)?,
        };
        let is_set = |index: &usize| control & bit(&ACL_FLAGS[*index]) != 0;
        acl.flags = (0..ACL_FLAGS.len()).filter(is_set).collect();
        let said = acl.flags.iter().fold(present, |bits, index| bits | bit(&ACL_FLAGS[*index]));
        control &= !said;
        Some(Some(acl))
    };
    let sacl = list(SACL_FIELD, SACL_PRESENT, |flag| flag.2)?;
    let dacl = list(DACL_FIELD, DACL_PRESENT, |flag| flag.1)?;
    let (owner, group) = (sid(OWNER_FIELD)?, sid(GROUP_FIELD)?);
    Some(Descriptor { owner, group, dacl, sacl, other_control: control & !SELF_RELATIVE })
}

/// The ACL at the beginning of bytes.
pub(super) fn read_acl(bytes: &[u8]) -> Option<Acl> {
    let header: &[u8; ACL_HEADER_LENGTH] = bytes.first_chunk()?;
    let size = usize::from(u16::from_le_bytes([header[2], header[3]]));
    let count = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let mut rest = bytes.get(ACL_HEADER_LENGTH..size)?;
    let mut aces = Vec::new();
    for _ in 0..count {
        let header: &[u8; ACE_HEADER_LENGTH] = rest.first_chunk()?;
        let size = usize::from(u16::from_le_bytes([header[2], header[3]]));
        let (ace, others) = rest.split_at_checked(size.max(ACE_HEADER_LENGTH))?;
        aces.push(read_ace(ace));
        rest = others;
    }
    Some(Acl { flags: Vec::new(), aces })
}

fn read_ace(bytes: &[u8]) -> Ace {
    let raw = || Ace::Raw(bytes.to_vec());
    let &[ace_type, flags, _, _, a, b, c, d, ref sid @ ..] = bytes else { return raw() };
    let sid = Sid(sid.to_vec());
    let has_word = ACE_TYPES.iter().any(|(_, known)| *known == ace_type);
    if !has_word || Sid::at_start_of(&sid.0).as_ref() != Some(&sid) {
        return raw();
    }
    Ace::Single { ace_type, flags, mask: u32::from_le_bytes([a, b, c, d]), sid }
}

/// The components that are there.
pub(super) fn components(bytes: &[u8]) -> u32 {
    let Some(header) = bytes.first_chunk::<HEADER_LENGTH>() else { return 0 };
    let control = control(header);
    let parts = [
        (offset(header, OWNER_FIELD) != 0, OWNER),
        (offset(header, GROUP_FIELD) != 0, GROUP),
        (control & DACL_PRESENT != 0, DACL),
        (control & SACL_PRESENT != 0, SACL),
    ];
    parts.iter().filter(|(is, _)| *is).fold(0, |all, (_, bit)| all | bit)
}

fn control(header: &[u8; HEADER_LENGTH]) -> u16 {
    u16::from_le_bytes([header[2], header[3]])
}

fn offset(header: &[u8; HEADER_LENGTH], field: usize) -> usize {
    let bytes = [header[field], header[field + 1], header[field + 2], header[field + 3]];
    u32::from_le_bytes(bytes) as usize
}
