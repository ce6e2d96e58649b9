//! ACLs and ACEs: their parts and their binary form.
//!
//! States PSD-004 §3.2 (ACL), §3.4 (ACE) and the flags of §3.6, and which SIDs labels may have
//! (§10.3, §10.7, P-91). Does not interpret a rule, and neither conditions nor claims.

use super::Sid;
use super::claim;
use super::malformed::MalformedDescriptor;
use super::mandatory::{integrity_level, process_trust};
use super::sid::well_known::EVERYONE;

/// The bits of [`Ace::flags`] (SD-33).
pub mod ace_flags {
    /// Inherited by objects that are no containers; no key is one.
    pub const OBJECT_INHERIT: u8 = 0x01;
    /// Inherited by containers, and all keys are.
    pub const CONTAINER_INHERIT: u8 = 0x02;
    /// The inherited copy is not inherited further.
    pub const NO_PROPAGATE_INHERIT: u8 = 0x04;
    /// Does not apply to the object that carries it.
    pub const INHERIT_ONLY: u8 = 0x08;
    /// Came from the parent.
    pub const INHERITED: u8 = 0x10;
    /// Audits access that was granted.
    pub const SUCCESSFUL_ACCESS: u8 = 0x40;
    /// Audits access that was refused.
    pub const FAILED_ACCESS: u8 = 0x80;
}

/// A list of ACEs. Its order is kept (SD-47).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// `AclRevision`; never a reason to refuse an ACL (SD-37).
    pub revision: u8,
    /// `Sbz1`, kept.
    pub sbz1: u8,
    /// `Sbz2`, kept.
    pub sbz2: u16,
    /// The entries.
    pub aces: Vec<Ace>,
}

/// One entry of an ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ace {
    /// Inheritance and audit flags, see [`ace_flags`].
    pub flags: u8,
    /// All the rest.
    pub body: AceBody,
}

/// An ACE without its flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AceBody {
    /// An ACE of a type that §3.4 defines.
    Recognised {
        /// Which type, and what only that type has.
        kind: AceKind,
        /// Access mask, unmapped.
        mask: u32,
        /// The principal.
        sid: Sid,
    },
    /// An ACE of any other type: skipped by every evaluation, kept byte for byte (SD-34, SD-35).
    Unrecognised {
        /// `AceType`.
        ace_type: u8,
        /// What follows the header; a multiple of four bytes.
        bytes: Vec<u8>,
    },
}

/// The types of §3.4 (SD-32).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AceKind {
    /// The sixteen types that have an effect, with or without object types, with or without a
    /// condition.
    Rule {
        /// What it does.
        effect: Effect,
        /// In an object ACE: what the rule is about.
        object: Option<ObjectTypes>,
        /// In a callback ACE: the condition, uninterpreted. Its length must complete the ACE to
        /// a multiple of four bytes.
        condition: Option<Vec<u8>>,
    },
    /// `SYSTEM_MANDATORY_LABEL_ACE`, whose SID is S-1-16-level.
    MandatoryLabel,
    /// `SYSTEM_RESOURCE_ATTRIBUTE_ACE`.
    ResourceAttribute {
        /// One claim entry, uninterpreted. Its length as that of a condition.
        claim: Vec<u8>,
    },
    /// `SYSTEM_SCOPED_POLICY_ID_ACE`.
    ScopedPolicy,
    /// `SYSTEM_PROCESS_TRUST_LABEL_ACE`, whose SID is S-1-19-type-trust.
    ProcessTrustLabel,
}

/// What a matching rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as its ACE type")]
pub enum Effect {
    Allow,
    Deny,
    Audit,
    Alarm,
}

/// The GUIDs of an object ACE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectTypes {
    /// Bits of its `Flags` that have no meaning; kept.
    pub other_flags: u32,
    /// `ObjectType`.
    pub object_type: Option<[u8; 16]>,
    /// `InheritedObjectType`.
    pub inherited_object_type: Option<[u8; 16]>,
}

const ACL_REVISION: u8 = 0x02;
const ACL_REVISION_DS: u8 = 0x04;
const ACL_HEADER_LENGTH: usize = 8;
const ACE_HEADER_LENGTH: usize = 4;
const SINGLE_SID_ACE_LENGTH_MIN: usize = 16;
const OBJECT_TYPE_PRESENT: u32 = 0x1;
const INHERITED_OBJECT_TYPE_PRESENT: u32 = 0x2;

impl AceKind {
    /// Whether it is an allow or deny ACE without object types and condition.
    pub(super) fn is_basic(&self) -> bool {
        let basic = |effect| AceKind::Rule { effect, object: None, condition: None };
        [Effect::Allow, Effect::Deny].into_iter().any(|effect| *self == basic(effect))
    }
}

impl Acl {
    /// A new ACL of these ACEs, at the revision that they need (SD-38).
    pub fn of_rules(aces: Vec<Ace>) -> Acl {
        let revision = aces.iter().map(Ace::revision_min).max().unwrap_or(ACL_REVISION);
        Acl { revision, sbz1: 0, sbz2: 0, aces }
    }

    /// An ACL of these ACEs, some of which come from `source` (SD-38, SD-39).
    pub(super) fn rewritten_from(source: &Acl, aces: Vec<Ace>) -> Acl {
        let unrecognised = aces.iter().any(|ace| matches!(ace.body, AceBody::Unrecognised { .. }));
        let mut acl = Acl::of_rules(aces);
        if unrecognised {
            acl.revision = acl.revision.max(source.revision);
        }
        acl
    }

    /// Whether the revision is another than that which the ACEs need (SD-36, SD-37).
    pub(super) fn has_odd_revision(&self) -> bool {
        self.revision != Acl::of_rules(self.aces.clone()).revision
    }

    /// Whether an ACE of unknown type makes the revision stay that of the source (SD-39).
    pub(super) fn keeps_a_revision(&self) -> bool {
        self.has_odd_revision()
            && self.aces.iter().any(|ace| matches!(ace.body, AceBody::Unrecognised { .. }))
    }

    /// The ACL at the beginning of `buffer`.
    ///
    /// # Errors
    ///
    /// By the parsing rules of §3.2 and §3.4 (SD-23 to SD-31).
    pub fn parse(buffer: &[u8]) -> Result<Acl, MalformedDescriptor> {
        let &[revision, sbz1, s0, s1, c0, c1, z0, z1] =
            buffer.first_chunk().ok_or(MalformedDescriptor::AclOverrun)?;
        let size = usize::from(u16::from_le_bytes([s0, s1]));
        if size < ACL_HEADER_LENGTH {
            return Err(MalformedDescriptor::AclTooShort);
        }
        let mut rest =
            buffer.get(ACL_HEADER_LENGTH..size).ok_or(MalformedDescriptor::AclOverrun)?;
        let mut aces = Vec::new();
        for _ in 0..u16::from_le_bytes([c0, c1]) {
            let (ace, after) = Ace::split_first(rest)?;
            aces.push(ace);
            rest = after;
        }
        if !rest.is_empty() {
            return Err(MalformedDescriptor::AclLeftover);
        }
        Ok(Acl { revision, sbz1, sbz2: u16::from_le_bytes([z0, z1]), aces })
    }

    /// The binary form. An ACL of more than 65,535 bytes has none; no descriptor may hold it, and
    /// its size field is then meaningless.
    pub fn to_bytes(&self) -> Vec<u8> {
        let [s0, s1] = saturated(self.length()).to_le_bytes();
        let [c0, c1] = saturated(self.aces.len()).to_le_bytes();
        let [z0, z1] = self.sbz2.to_le_bytes();
        let mut bytes = vec![self.revision, self.sbz1, s0, s1, c0, c1, z0, z1];
        bytes.extend(self.aces.iter().flat_map(Ace::to_bytes));
        bytes
    }

    /// Length of the binary form in bytes.
    pub(super) fn length(&self) -> usize {
        ACL_HEADER_LENGTH + self.aces.iter().map(|ace| ace.to_bytes().len()).sum::<usize>()
    }
}

impl Ace {
    /// `ACCESS_ALLOWED_ACE`.
    pub fn allow(mask: u32, sid: &Sid, flags: u8) -> Ace {
        Ace::plain(Effect::Allow, mask, sid, flags)
    }

    /// `ACCESS_DENIED_ACE`.
    pub fn deny(mask: u32, sid: &Sid, flags: u8) -> Ace {
        Ace::plain(Effect::Deny, mask, sid, flags)
    }

    /// A rule without object types and condition.
    pub fn plain(effect: Effect, mask: u32, sid: &Sid, flags: u8) -> Ace {
        let kind = AceKind::Rule { effect, object: None, condition: None };
        Ace { flags, body: AceBody::Recognised { kind, mask, sid: sid.clone() } }
    }

    /// Whether all bits of `flags` are set.
    pub fn has_flags(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    fn revision_min(&self) -> u8 {
        match &self.body {
            AceBody::Recognised { kind: AceKind::Rule { object, condition, .. }, .. }
                if object.is_some() || condition.is_some() =>
            {
                ACL_REVISION_DS
            }
            _ => ACL_REVISION,
        }
    }

    /// The first ACE of `bytes` and what follows it.
    fn split_first(bytes: &[u8]) -> Result<(Ace, &[u8]), MalformedDescriptor> {
        let &[ace_type, flags, s0, s1] =
            bytes.first_chunk().ok_or(MalformedDescriptor::AceTruncated)?;
        let size = usize::from(u16::from_le_bytes([s0, s1]));
        if !size.is_multiple_of(4) {
            return Err(MalformedDescriptor::AceUnaligned);
        }
        let body = bytes.get(ACE_HEADER_LENGTH..size).ok_or(MalformedDescriptor::AceTruncated)?;
        let body = AceBody::parse(ace_type, body)?;
        Ok((Ace { flags, body }, &bytes[size..]))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let body = self.body.to_bytes();
        let [s0, s1] = saturated(ACE_HEADER_LENGTH + body.len()).to_le_bytes();
        let mut bytes = vec![self.body.ace_type(), self.flags, s0, s1];
        bytes.extend(body);
        bytes
    }
}

impl AceBody {
    /// `body` is the ACE without its header.
    fn parse(ace_type: u8, body: &[u8]) -> Result<AceBody, MalformedDescriptor> {
        let Some(shape) = Shape::of_type(ace_type) else {
            return Ok(AceBody::Unrecognised { ace_type, bytes: body.to_vec() });
        };
        if ACE_HEADER_LENGTH + body.len() < SINGLE_SID_ACE_LENGTH_MIN {
            return Err(MalformedDescriptor::AceTooShort);
        }
        let (mask, rest) = split_u32(body)?;
        let (object, rest) = match shape {
            Shape::Rule { object: true, .. } => {
                let (object, rest) = ObjectTypes::split_first(rest)?;
                (Some(object), rest)
            }
            _ => (None, rest),
        };
        let sid = Sid::at_start_of(rest).ok_or_else(|| MalformedDescriptor::of_sid(rest))?;
        let after_sid = &rest[sid.0.len()..];
        let kind = shape.kind(object, after_sid, &sid)?;
        Ok(AceBody::Recognised { kind, mask, sid })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let (kind, mask, sid) = match self {
            AceBody::Recognised { kind, mask, sid } => (kind, mask, sid),
            AceBody::Unrecognised { bytes, .. } => return bytes.clone(),
        };
        let mut bytes = mask.to_le_bytes().to_vec();
        if let AceKind::Rule { object: Some(object), .. } = kind {
            bytes.extend(object.to_bytes());
        }
        bytes.extend(&sid.0);
        match kind {
            AceKind::Rule { condition: Some(data), .. }
            | AceKind::ResourceAttribute { claim: data } => bytes.extend(data),
            _ => {}
        }
        bytes
    }

    fn ace_type(&self) -> u8 {
        let kind = match self {
            AceBody::Recognised { kind, .. } => kind,
            AceBody::Unrecognised { ace_type, .. } => return *ace_type,
        };
        let shape = match kind {
            AceKind::Rule { effect, object, condition } => Shape::Rule {
                effect: *effect,
                object: object.is_some(),
                condition: condition.is_some(),
            },
            AceKind::MandatoryLabel => Shape::MandatoryLabel,
            AceKind::ResourceAttribute { .. } => Shape::ResourceAttribute,
            AceKind::ScopedPolicy => Shape::ScopedPolicy,
            AceKind::ProcessTrustLabel => Shape::ProcessTrustLabel,
        };
        shape.ace_type()
    }
}

/// What the type code of an ACE says about it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Rule { effect: Effect, object: bool, condition: bool },
    MandatoryLabel,
    ResourceAttribute,
    ScopedPolicy,
    ProcessTrustLabel,
}

impl Shape {
    /// `None` for types that §3.4 does not define, the reserved compound type among them.
    fn of_type(ace_type: u8) -> Option<Shape> {
        let rule = |effect, object, condition| Shape::Rule { effect, object, condition };
        Some(match ace_type {
            0x00 => rule(Effect::Allow, false, false),
            0x01 => rule(Effect::Deny, false, false),
            0x02 => rule(Effect::Audit, false, false),
            0x03 => rule(Effect::Alarm, false, false),
            0x05 => rule(Effect::Allow, true, false),
            0x06 => rule(Effect::Deny, true, false),
            0x07 => rule(Effect::Audit, true, false),
            0x08 => rule(Effect::Alarm, true, false),
            0x09 => rule(Effect::Allow, false, true),
            0x0A => rule(Effect::Deny, false, true),
            0x0B => rule(Effect::Allow, true, true),
            0x0C => rule(Effect::Deny, true, true),
            0x0D => rule(Effect::Audit, false, true),
            0x0E => rule(Effect::Alarm, false, true),
            0x0F => rule(Effect::Audit, true, true),
            0x10 => rule(Effect::Alarm, true, true),
            0x11 => Shape::MandatoryLabel,
            0x12 => Shape::ResourceAttribute,
            0x13 => Shape::ScopedPolicy,
            0x14 => Shape::ProcessTrustLabel,
            _ => return None,
        })
    }

    fn ace_type(self) -> u8 {
        match self {
            Shape::Rule { effect, object, condition } => match (effect, object, condition) {
                (Effect::Allow, false, false) => 0x00,
                (Effect::Deny, false, false) => 0x01,
                (Effect::Audit, false, false) => 0x02,
                (Effect::Alarm, false, false) => 0x03,
                (Effect::Allow, true, false) => 0x05,
                (Effect::Deny, true, false) => 0x06,
                (Effect::Audit, true, false) => 0x07,
                (Effect::Alarm, true, false) => 0x08,
                (Effect::Allow, false, true) => 0x09,
                (Effect::Deny, false, true) => 0x0A,
                (Effect::Allow, true, true) => 0x0B,
                (Effect::Deny, true, true) => 0x0C,
                (Effect::Audit, false, true) => 0x0D,
                (Effect::Alarm, false, true) => 0x0E,
                (Effect::Audit, true, true) => 0x0F,
                (Effect::Alarm, true, true) => 0x10,
            },
            Shape::MandatoryLabel => 0x11,
            Shape::ResourceAttribute => 0x12,
            Shape::ScopedPolicy => 0x13,
            Shape::ProcessTrustLabel => 0x14,
        }
    }

    /// `after_sid` is application data in the types that have it; in the others the SID must
    /// end the ACE.
    fn kind(
        self,
        object: Option<ObjectTypes>,
        after_sid: &[u8],
        sid: &Sid,
    ) -> Result<AceKind, MalformedDescriptor> {
        let may_have_data =
            matches!(self, Shape::Rule { condition: true, .. } | Shape::ResourceAttribute);
        if !may_have_data && !after_sid.is_empty() {
            return Err(MalformedDescriptor::SidEnd);
        }
        Ok(match self {
            Shape::Rule { effect, condition, .. } => {
                AceKind::Rule { effect, object, condition: condition.then(|| after_sid.to_vec()) }
            }
            Shape::MandatoryLabel if integrity_level(sid).is_none() => {
                return Err(MalformedDescriptor::Label);
            }
            Shape::MandatoryLabel => AceKind::MandatoryLabel,
            Shape::ResourceAttribute if *sid != *EVERYONE || !claim::is_well_formed(after_sid) => {
                return Err(MalformedDescriptor::ResourceAttribute);
            }
            Shape::ResourceAttribute => AceKind::ResourceAttribute { claim: after_sid.to_vec() },
            Shape::ScopedPolicy => AceKind::ScopedPolicy,
            Shape::ProcessTrustLabel if process_trust(sid).is_none() => {
                return Err(MalformedDescriptor::Label);
            }
            Shape::ProcessTrustLabel => AceKind::ProcessTrustLabel,
        })
    }
}

impl ObjectTypes {
    fn split_first(bytes: &[u8]) -> Result<(ObjectTypes, &[u8]), MalformedDescriptor> {
        let (flags, rest) = split_u32(bytes)?;
        let (object_type, rest) = split_guid(flags & OBJECT_TYPE_PRESENT != 0, rest)?;
        let (inherited_object_type, rest) =
            split_guid(flags & INHERITED_OBJECT_TYPE_PRESENT != 0, rest)?;
        let other_flags = flags & !(OBJECT_TYPE_PRESENT | INHERITED_OBJECT_TYPE_PRESENT);
        Ok((ObjectTypes { other_flags, object_type, inherited_object_type }, rest))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let present = |guid: &Option<_>, bit| if guid.is_some() { bit } else { 0 };
        let flags = self.other_flags
            | present(&self.object_type, OBJECT_TYPE_PRESENT)
            | present(&self.inherited_object_type, INHERITED_OBJECT_TYPE_PRESENT);
        let mut bytes = flags.to_le_bytes().to_vec();
        bytes.extend(self.object_type.iter().flatten());
        bytes.extend(self.inherited_object_type.iter().flatten());
        bytes
    }
}

fn split_u32(bytes: &[u8]) -> Result<(u32, &[u8]), MalformedDescriptor> {
    let (first, rest) = bytes.split_first_chunk().ok_or(MalformedDescriptor::AceTruncated)?;
    Ok((u32::from_le_bytes(*first), rest))
}

fn split_guid(
    present: bool,
    bytes: &[u8],
) -> Result<(Option<[u8; 16]>, &[u8]), MalformedDescriptor> {
    if !present {
        return Ok((None, bytes));
    }
    let (first, rest) = bytes.split_first_chunk().ok_or(MalformedDescriptor::AceTruncated)?;
    Ok((Some(*first), rest))
}

fn saturated(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

#[cfg(test)]
#[path = "acl_tests.rs"]
mod tests;
