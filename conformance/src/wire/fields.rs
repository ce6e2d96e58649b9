//! What single fields may hold: names, types, security descriptors (PSD-005 §1.3, §2.3, §2.5).

use super::rules::{Failure, Held, Rule};

/// `REG_TOMBSTONE`.
pub(super) const TOMBSTONE: u32 = 0xFFFF;
/// `REG_LINK`.
pub(super) const LINK: u32 = 6;
/// The highest ordinary type code, `REG_QWORD`.
const MAX_TYPE: u32 = 11;
/// The highest MaxPathComponentLength that can be in force (§11.4), bytes.
const NAME_MAX: usize = 1_024;
/// The greatest size of a security descriptor (PSD-004 §3.1), bytes.
const SECURITY_DESCRIPTOR_MAX: usize = 65_535;

/// A key name component or a hive name.
pub(super) fn key_name(held: &mut Held, name: &[u8]) -> Result<(), Failure> {
    component(held, Rule::KeyName, name)
}

/// A layer name.
pub(super) fn layer_name(held: &mut Held, name: &[u8]) -> Result<(), Failure> {
    component(held, Rule::LayerName, name)
}

fn component(held: &mut Held, rule: Rule, name: &[u8]) -> Result<(), Failure> {
    let problem = match std::str::from_utf8(name) {
        _ if name.len() > NAME_MAX => Some("is too long"),
        Err(_) => Some("is not UTF-8"),
        Ok("") => Some("is empty"),
        Ok(name) if name.contains(['\\', '/']) => Some("has a separator"),
        Ok(name) if name.contains('\0') => Some("has a NUL"),
        Ok(_) => None,
    };
    held.require(rule, problem.is_none(), || shown(name, problem.unwrap_or_default()))
}

/// A value name; separators are ordinary characters in it, and it may be empty.
pub(super) fn value_name(held: &mut Held, name: &[u8]) -> Result<(), Failure> {
    let problem = match std::str::from_utf8(name) {
        _ if name.len() > NAME_MAX => Some("is too long"),
        Err(_) => Some("is not UTF-8"),
        Ok(name) if name.contains('\0') => Some("has a NUL"),
        Ok(_) => None,
    };
    held.require(Rule::ValueName, problem.is_none(), || shown(name, problem.unwrap_or_default()))
}

fn shown(name: &[u8], problem: &str) -> String {
    format!("the name {:?} {problem}", name.escape_ascii().to_string())
}

/// A type with its data.
pub(super) fn typed_data(held: &mut Held, value_type: u32, data: &[u8]) -> Result<(), Failure> {
    if value_type == TOMBSTONE {
        return held.require(Rule::Tombstone, data.is_empty(), || {
            format!("a tombstone has {} bytes of data", data.len())
        });
    }
    held.require(Rule::ValueType, value_type <= MAX_TYPE, || format!("the type is {value_type:#x}"))
}

/// The first bytes of a security descriptor: revision 1, SE_SELF_RELATIVE in the control word.
pub(super) fn security_descriptor(held: &mut Held, bytes: &[u8]) -> Result<(), Failure> {
    let has_size = (20..=SECURITY_DESCRIPTOR_MAX).contains(&bytes.len());
    let sound = has_size && bytes[0] == 1 && bytes[3] & 0x80 != 0;
    held.require(Rule::SecurityDescriptor, sound, || {
        format!("{} bytes beginning {:02x?}", bytes.len(), &bytes[..bytes.len().min(4)])
    })
}

/// Whether a name is this one of ASCII letters. Beside ASCII letters only U+017F and U+212A fold to
/// any.
pub(super) fn is_named(name: &[u8], known: &str) -> bool {
    if name.is_ascii() {
        return name.eq_ignore_ascii_case(known.as_bytes());
    }
    std::str::from_utf8(name).is_ok_and(|name| {
        name.replace('\u{17f}', "s").replace('\u{212a}', "k").eq_ignore_ascii_case(known)
    })
}

/// What stands for a name where names are compared within one answer. Names that are not ASCII are
/// the same only if they are spelled the same, since the monitor cannot fold.
pub(super) fn spelled(name: &[u8]) -> Vec<u8> {
    if name.is_ascii() { name.to_ascii_lowercase() } else { name.to_vec() }
}

/// Whether two names may be the same name. The monitor cannot fold, so that any two names may
/// unless both are ASCII and differ by more than case.
pub(super) fn may_be_same(one: &[u8], other: &[u8]) -> bool {
    !(one.is_ascii() && other.is_ascii()) || one.eq_ignore_ascii_case(other)
}
