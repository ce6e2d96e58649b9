//! Security descriptors as text (SDDL), and back, byte for byte.
//!
//! The part of the language that registry keys need, over the binary forms of PSD-004 §2.1 and
//! §3.1 to §3.5: `O:` and `G:` with a SID, `D:` and `S:` with flags and ACEs. Two things are added to
//! it, so that any descriptor has a text: `(hex:...)` is an ACE byte by byte, and `C:0x3` are control
//! bits that nothing else says. What no text gives back exactly has none.
//!
//! It writes owner, group, SACL and DACL in this order behind the header. Validates nothing that
//! a kernel would: any mask, any flags, any order.

mod binary;
mod reading;
mod vocabulary;

use registry_model::security::Sid;

use reading::Reader;
pub(crate) use reading::SddlError;

/// `SE_SELF_RELATIVE`.
const SELF_RELATIVE: u16 = 0x8000;
/// `SE_DACL_PRESENT`.
const DACL_PRESENT: u16 = 0x0004;
/// `SE_SACL_PRESENT`.
const SACL_PRESENT: u16 = 0x0010;

/// `OWNER_SECURITY_INFORMATION`.
pub(crate) const OWNER: u32 = 0x1;
/// `GROUP_SECURITY_INFORMATION`.
pub(crate) const GROUP: u32 = 0x2;
/// `DACL_SECURITY_INFORMATION`.
pub(crate) const DACL: u32 = 0x4;
/// `SACL_SECURITY_INFORMATION`.
pub(crate) const SACL: u32 = 0x8;

/// What a text says of a descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Descriptor {
    owner: Option<Sid>,
    group: Option<Sid>,
    dacl: Option<Acl>,
    sacl: Option<Acl>,
    /// Control bits that do not follow from the rest.
    other_control: u16,
}

/// An ACL with the control bits that stand beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Acl {
    /// Indices into [`vocabulary::ACL_FLAGS`], in the order of that table.
    flags: Vec<usize>,
    aces: Vec<Ace>,
}

/// An ACE.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ace {
    /// Of one of [`vocabulary::ACE_TYPES`].
    Single { ace_type: u8, flags: u8, mask: u32, sid: Sid },
    /// Byte by byte.
    Raw(Vec<u8>),
}

/// The bytes that a text means.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, SddlError> {
    Reader::new(text).descriptor().map(|descriptor| binary::write(&descriptor))
}

/// The ACL that a text of the form `D:...` means.
pub(crate) fn parse_acl(text: &str) -> Result<Vec<u8>, SddlError> {
    let descriptor = Reader::new(text).descriptor()?;
    let dacl = match descriptor {
        Descriptor { owner: None, group: None, dacl: Some(ref dacl), sacl: None, .. } => dacl,
        _ => return Err(SddlError::at(0, "an ACL must stand here, written D:(...)")),
    };
    if !dacl.flags.is_empty() || descriptor.other_control != 0 {
        return Err(SddlError::at(0, "an ACL alone has no flags; write D:(...)"));
    }
    Ok(binary::acl(dacl))
}

/// The text that means exactly these bytes, if there is one.
pub(crate) fn print(bytes: &[u8]) -> Option<String> {
    let text = binary::read(bytes)?.text();
    (parse(&text).as_deref() == Ok(bytes)).then_some(text)
}

/// The text that means exactly this ACL, if there is one.
pub(crate) fn print_acl(bytes: &[u8]) -> Option<String> {
    let dacl = Some(binary::read_acl(bytes)?);
    let text = Descriptor { dacl, ..Descriptor::default() }.text();
    (parse_acl(&text).as_deref() == Ok(bytes)).then_some(text)
}

/// The components that are there, as `security_info` names them; none if there is no header.
pub(crate) fn components(bytes: &[u8]) -> u32 {
    binary::components(bytes)
}

impl Descriptor {
    fn text(&self) -> String {
        let mut text = String::new();
        for (letter, sid) in [("O", &self.owner), ("G", &self.group)] {
            if let Some(sid) = sid {
                text.push_str(&format!("{letter}:{}", vocabulary::sid_word(sid)));
            }
        }
        for (letter, acl) in [("D", &self.dacl), ("S", &self.sacl)] {
            if let Some(acl) = acl {
                text.push_str(&format!("{letter}:{}", acl.text()));
            }
        }
        if self.other_control != 0 {
            text.push_str(&format!("C:{:#x}", self.other_control));
        }
        text
    }
}

impl Acl {
    fn text(&self) -> String {
        let flags = self.flags.iter().map(|index| vocabulary::ACL_FLAGS[*index].0);
        flags.map(str::to_owned).chain(self.aces.iter().map(Ace::text)).collect()
    }
}

impl Ace {
    fn text(&self) -> String {
        match self {
            Ace::Single { ace_type, flags, mask, sid } => format!(
                "({};{};{};;;{})",
                vocabulary::ace_type_word(*ace_type),
                vocabulary::ace_flags_word(*flags),
                vocabulary::rights_word(*ace_type, *mask),
                vocabulary::sid_word(sid),
            ),
            Ace::Raw(bytes) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("(hex:{digits})")
            }
        }
    }
}

#[cfg(test)]
mod tests;
