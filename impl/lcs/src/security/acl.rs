//! Access control lists and their entries: binary form in and out (PSD-004 §3.2, §3.4).
//!
//! Every ACE family is parsed as far as its mask and SID; an unrecognised type is kept as bytes.

use abi::REG_VALID_ACE_ACCESS_MASK;

use super::descriptor::MalformedDescriptor;
use super::sid::Sid;

const ACL_HEADER_LENGTH: usize = 8;
const ACE_HEADER_LENGTH: usize = 4;
const REVISION_BASIC: u8 = 2;
const REVISION_DIRECTORY_SERVICES: u8 = 4;
const OBJECT_TYPE_PRESENT: u32 = 1;
const INHERITED_OBJECT_TYPE_PRESENT: u32 = 2;

/// Types of ACEs (PSD-004 §3.4).
#[expect(missing_docs, reason = "each is named as in PSD-004 §3.4")]
pub mod ace_type {
    pub const ALLOWED: u8 = 0x00;
    pub const DENIED: u8 = 0x01;
    pub const AUDIT: u8 = 0x02;
    pub const ALARM: u8 = 0x03;
    pub const ALLOWED_OBJECT: u8 = 0x05;
    pub const DENIED_OBJECT: u8 = 0x06;
    pub const AUDIT_OBJECT: u8 = 0x07;
    pub const ALARM_OBJECT: u8 = 0x08;
    pub const ALLOWED_CALLBACK: u8 = 0x09;
    pub const DENIED_CALLBACK: u8 = 0x0A;
    pub const ALLOWED_CALLBACK_OBJECT: u8 = 0x0B;
    pub const DENIED_CALLBACK_OBJECT: u8 = 0x0C;
    pub const AUDIT_CALLBACK: u8 = 0x0D;
    pub const ALARM_CALLBACK: u8 = 0x0E;
    pub const AUDIT_CALLBACK_OBJECT: u8 = 0x0F;
    pub const ALARM_CALLBACK_OBJECT: u8 = 0x10;
    pub const MANDATORY_LABEL: u8 = 0x11;
    pub const RESOURCE_ATTRIBUTE: u8 = 0x12;
    pub const SCOPED_POLICY_ID: u8 = 0x13;
    pub const PROCESS_TRUST_LABEL: u8 = 0x14;
}

/// Flags of ACEs (PSD-004 §3.4, §3.6).
#[expect(missing_docs, reason = "each is named as in PSD-004 §3.4 and §3.6")]
pub mod ace_flag {
    pub const OBJECT_INHERIT: u8 = 0x01;
    pub const CONTAINER_INHERIT: u8 = 0x02;
    pub const NO_PROPAGATE_INHERIT: u8 = 0x04;
    pub const INHERIT_ONLY: u8 = 0x08;
    pub const INHERITED: u8 = 0x10;
    pub const SUCCESSFUL_ACCESS: u8 = 0x40;
    pub const FAILED_ACCESS: u8 = 0x80;
}

/// An ordered list of ACEs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// Revision as it came; never a reason for refusal.
    pub revision: u8,
    /// Reserved byte and word of the header, kept.
    pub reserved: (u8, u16),
    /// The entries, in order.
    pub aces: Vec<Ace>,
}

/// One rule of an ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ace {
    /// See [`ace_type`].
    pub kind: u8,
    /// See [`ace_flag`].
    pub flags: u8,
    /// What follows the header.
    pub body: AceBody,
}

/// What follows an ACE's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AceBody {
    /// A recognised type.
    Entry(AceEntry),
    /// Any other type: all bytes after the header, never evaluated.
    Opaque(Vec<u8>),
}

/// The fields of a recognised ACE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AceEntry {
    /// Access mask, as stored.
    pub mask: u32,
    /// GUIDs of an object ACE.
    pub object: Option<ObjectTypes>,
    /// The principal.
    pub sid: Sid,
    /// Application data of a callback or resource attribute ACE, not interpreted.
    pub data: Vec<u8>,
}

/// Flags and GUIDs of an object ACE; without an object type list they scope nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectTypes {
    /// Flag bits other than the two that tell which GUIDs are there.
    pub undefined_flags: u32,
    /// ObjectType.
    pub object_type: Option<[u8; 16]>,
    /// InheritedObjectType.
    pub inherited_object_type: Option<[u8; 16]>,
}

impl Acl {
    /// A list of these ACEs, taken from `source`: with the lowest revision that they need, but not
    /// below that of the source if its revision may be there for an unrecognised one (§3.4).
    pub(super) fn derived(aces: Vec<Ace>, source: &Self) -> Self {
        let opaque = aces.iter().any(|ace| matches!(ace.body, AceBody::Opaque(_)));
        let mut acl = Self::new(aces);
        if opaque {
            acl.revision = acl.revision.max(source.revision);
        }
        acl
    }

    /// A list of these ACEs with the lowest revision that they need.
    #[must_use]
    pub fn new(aces: Vec<Ace>) -> Self {
        let mut acl = Self { revision: REVISION_BASIC, reserved: (0, 0), aces };
        acl.raise_revision();
        acl
    }

    /// The list at the head of `bytes`, which may go on behind it.
    ///
    /// # Errors
    /// As PSD-004 §3.2 and §3.4 say of the list and of each ACE, and for a mask that PSD-005 §3.1
    /// does not allow on a key.
    pub fn parse_prefix(bytes: &[u8]) -> Result<Self, MalformedDescriptor> {
        let header = bytes.first_chunk::<8>().ok_or(MalformedDescriptor::AclSize)?;
        let size = usize::from(u16::from_le_bytes([header[2], header[3]]));
        let count = u16::from_le_bytes([header[4], header[5]]);
        let mut rest = bytes.get(ACL_HEADER_LENGTH..size).ok_or(MalformedDescriptor::AclSize)?;
        let mut aces = Vec::new();
        for _ in 0..count {
            let (ace, length) = Ace::parse_prefix(rest)?;
            rest = &rest[length..];
            aces.push(ace);
        }
        if !rest.is_empty() {
            return Err(MalformedDescriptor::AclLeftover);
        }
        let reserved = (header[1], u16::from_le_bytes([header[6], header[7]]));
        Ok(Self { revision: header[0], reserved, aces })
    }

    /// The binary form. Beyond 65,535 bytes the size field is wrong; a descriptor of such a list
    /// is refused before it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.revision, self.reserved.0, 0, 0];
        let count = u16::try_from(self.aces.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&self.reserved.1.to_le_bytes());
        self.aces.iter().for_each(|ace| ace.write(&mut bytes));
        let size = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes();
        bytes[2..4].copy_from_slice(&size);
        bytes
    }

    /// Raises the revision to what the recognised ACEs need.
    pub(super) fn raise_revision(&mut self) {
        let needed = self.aces.iter().map(Ace::revision_min).max().unwrap_or(REVISION_BASIC);
        self.revision = self.revision.max(needed);
    }
}

impl Ace {
    /// An ACCESS_ALLOWED_ACE.
    #[must_use]
    pub const fn allow(flags: u8, mask: u32, sid: Sid) -> Self {
        Self::basic(ace_type::ALLOWED, flags, mask, sid)
    }

    /// An ACCESS_DENIED_ACE.
    #[must_use]
    pub const fn deny(flags: u8, mask: u32, sid: Sid) -> Self {
        Self::basic(ace_type::DENIED, flags, mask, sid)
    }

    /// An ACE of any type with a mask and a SID only.
    #[must_use]
    pub const fn basic(kind: u8, flags: u8, mask: u32, sid: Sid) -> Self {
        let entry = AceEntry { mask, object: None, sid, data: Vec::new() };
        Self { kind, flags, body: AceBody::Entry(entry) }
    }

    /// Whether the ACE acts only through what is inherited from it.
    #[must_use]
    pub const fn is_inherit_only(&self) -> bool {
        self.flags & ace_flag::INHERIT_ONLY != 0
    }

    /// The fields of a recognised type.
    pub(super) const fn entry(&self) -> Option<&AceEntry> {
        match &self.body {
            AceBody::Entry(entry) => Some(entry),
            AceBody::Opaque(_) => None,
        }
    }

    fn parse_prefix(bytes: &[u8]) -> Result<(Self, usize), MalformedDescriptor> {
        let &[kind, flags, low, high] =
            bytes.first_chunk::<4>().ok_or(MalformedDescriptor::AceSize)?;
        let length = usize::from(u16::from_le_bytes([low, high]));
        if length % 4 != 0 {
            return Err(MalformedDescriptor::AceSize);
        }
        let content = bytes.get(ACE_HEADER_LENGTH..length).ok_or(MalformedDescriptor::AceSize)?;
        let body = match Layout::of(kind) {
            None => AceBody::Opaque(content.to_vec()),
            Some(layout) => AceBody::Entry(AceEntry::parse(content, layout)?),
        };
        let ace = Self { kind, flags, body };
        ace.check()?;
        Ok((ace, length))
    }

    /// What a type says of its own content.
    fn check(&self) -> Result<(), MalformedDescriptor> {
        let AceBody::Entry(entry) = &self.body else {
            return Ok(());
        };
        if self.kind == ace_type::MANDATORY_LABEL && entry.sid.integrity_level().is_none() {
            return Err(MalformedDescriptor::LabelSid);
        }
        if self.kind == ace_type::PROCESS_TRUST_LABEL && entry.sid.process_trust().is_none() {
            return Err(MalformedDescriptor::LabelSid);
        }
        if self.kind == ace_type::RESOURCE_ATTRIBUTE && entry.sid != Sid::EVERYONE {
            return Err(MalformedDescriptor::AttributeSid);
        }
        if entry.mask & !REG_VALID_ACE_ACCESS_MASK != 0 {
            return Err(MalformedDescriptor::AceMask { mask: entry.mask });
        }
        Ok(())
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.extend_from_slice(&[self.kind, self.flags, 0, 0]);
        match &self.body {
            AceBody::Opaque(content) => bytes.extend_from_slice(content),
            AceBody::Entry(entry) => entry.write(bytes),
        }
        let length = u16::try_from(bytes.len() - start).unwrap_or(u16::MAX).to_le_bytes();
        bytes[start + 2..start + 4].copy_from_slice(&length);
    }

    fn revision_min(&self) -> u8 {
        match self.kind {
            ace_type::ALLOWED_OBJECT..=ace_type::ALARM_CALLBACK_OBJECT => {
                REVISION_DIRECTORY_SERVICES
            }
            _ => REVISION_BASIC,
        }
    }
}

/// Which optional parts the body of a recognised type has.
#[derive(Clone, Copy)]
struct Layout {
    has_object_types: bool,
    has_data: bool,
}

impl Layout {
    const fn of(kind: u8) -> Option<Self> {
        let (has_object_types, has_data) = match kind {
            ace_type::ALLOWED..=ace_type::ALARM
            | ace_type::MANDATORY_LABEL
            | ace_type::SCOPED_POLICY_ID
            | ace_type::PROCESS_TRUST_LABEL => (false, false),
            ace_type::ALLOWED_OBJECT..=ace_type::ALARM_OBJECT => (true, false),
            ace_type::ALLOWED_CALLBACK
            | ace_type::DENIED_CALLBACK
            | ace_type::AUDIT_CALLBACK
            | ace_type::ALARM_CALLBACK
            | ace_type::RESOURCE_ATTRIBUTE => (false, true),
            ace_type::ALLOWED_CALLBACK_OBJECT
            | ace_type::DENIED_CALLBACK_OBJECT
            | ace_type::AUDIT_CALLBACK_OBJECT
            | ace_type::ALARM_CALLBACK_OBJECT => (true, true),
            _ => return None,
        };
        Some(Self { has_object_types, has_data })
    }
}

impl AceEntry {
    fn parse(mut content: &[u8], layout: Layout) -> Result<Self, MalformedDescriptor> {
        let mask = u32::from_le_bytes(take(&mut content)?);
        let object =
            if layout.has_object_types { Some(ObjectTypes::parse(&mut content)?) } else { None };
        let sid = Sid::parse_prefix(content).map_err(|_| MalformedDescriptor::AceSid)?;
        let data = content.get(sid.as_bytes().len()..).unwrap_or_default();
        if !layout.has_data && !data.is_empty() {
            return Err(MalformedDescriptor::AceSid);
        }
        Ok(Self { mask, object, sid, data: data.to_vec() })
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.mask.to_le_bytes());
        if let Some(object) = &self.object {
            object.write(bytes);
        }
        bytes.extend_from_slice(self.sid.as_bytes());
        bytes.extend_from_slice(&self.data);
    }
}

impl ObjectTypes {
    fn parse(content: &mut &[u8]) -> Result<Self, MalformedDescriptor> {
        let flags = u32::from_le_bytes(take(content)?);
        let object_type =
            if flags & OBJECT_TYPE_PRESENT == 0 { None } else { Some(take(content)?) };
        let inherited_object_type =
            if flags & INHERITED_OBJECT_TYPE_PRESENT == 0 { None } else { Some(take(content)?) };
        let undefined_flags = flags & !(OBJECT_TYPE_PRESENT | INHERITED_OBJECT_TYPE_PRESENT);
        Ok(Self { undefined_flags, object_type, inherited_object_type })
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let mut flags = self.undefined_flags;
        flags |= if self.object_type.is_some() { OBJECT_TYPE_PRESENT } else { 0 };
        flags |=
            if self.inherited_object_type.is_some() { INHERITED_OBJECT_TYPE_PRESENT } else { 0 };
        bytes.extend_from_slice(&flags.to_le_bytes());
        for guid in [self.object_type, self.inherited_object_type].iter().flatten() {
            bytes.extend_from_slice(guid);
        }
    }
}

fn take<const LENGTH: usize>(content: &mut &[u8]) -> Result<[u8; LENGTH], MalformedDescriptor> {
    let (head, rest) = content.split_first_chunk::<LENGTH>().ok_or(MalformedDescriptor::AceSize)?;
    *content = rest;
    Ok(*head)
}
