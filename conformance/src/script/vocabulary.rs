//! The words for value types, access rights, privileges and flags (PSD-005 §11.1).

use registry_model::security::{Privilege, TokenLevel};

use super::error::Complaint;
use super::words::parse_number;

/// Words for value types and their codes.
pub(super) const VALUE_TYPES: &[(&str, u32)] = &[
    ("none", 0),
    ("sz", 1),
    ("expand_sz", 2),
    ("binary", 3),
    ("dword", 4),
    ("dword_be", 5),
    ("link", 6),
    ("multi_sz", 7),
    ("resource_list", 8),
    ("full_resource_descriptor", 9),
    ("resource_requirements_list", 10),
    ("qword", 11),
    ("tombstone", 0xFFFF),
];

/// Code of `REG_OPEN_LINK`.
pub(super) const OPEN_LINK: u32 = 0x1;
/// Code of `REG_OPTION_VOLATILE`.
pub(super) const CREATE_VOLATILE: u32 = 0x1;
/// Code of `REG_OPTION_CREATE_LINK`.
pub(super) const CREATE_LINK: u32 = 0x2;
/// `KEY_ALL_ACCESS`: what an open asks for that says nothing.
pub(super) const ALL_ACCESS: u32 = 0x000F_003F;

/// Words that stand for a whole mask.
const MASKS: &[(&str, u32)] = &[("read", 0x2_0019), ("write", 0x2_0006), ("all", ALL_ACCESS)];

/// Words for single rights.
const RIGHTS: &[(&str, u32)] = &[
    ("query", 0x1),
    ("set", 0x2),
    ("create", 0x4),
    ("enumerate", 0x8),
    ("notify", 0x10),
    ("create_link", 0x20),
    ("delete", 0x1_0000),
    ("read_control", 0x2_0000),
    ("write_dac", 0x4_0000),
    ("write_owner", 0x8_0000),
    ("system_security", 0x0100_0000),
    ("maximum", 0x0200_0000),
    ("generic_all", 0x1000_0000),
    ("generic_execute", 0x2000_0000),
    ("generic_write", 0x4000_0000),
    ("generic_read", 0x8000_0000),
];

/// The word for a type code, `type=N` where there is none.
pub(super) fn value_type_word(code: u32) -> String {
    match VALUE_TYPES.iter().find(|(_, known)| *known == code) {
        Some((word, _)) => (*word).to_owned(),
        None => format!("type={code}"),
    }
}

/// The code that a type word means.
pub(super) fn parse_value_type(text: &str, span: (usize, usize)) -> Result<u32, Complaint> {
    if let Some(number) = text.strip_prefix("type=") {
        return parse_number(number, span, "a type code");
    }
    let known = VALUE_TYPES.iter().find(|(word, _)| *word == text);
    known.map(|(_, code)| *code).ok_or_else(|| {
        let words: Vec<&str> = VALUE_TYPES.iter().map(|(word, _)| *word).collect();
        let advice = format!("write one of {} or type=N", words.join(", "));
        Complaint::new(span, format!("no value type is called `{text}`"), advice)
    })
}

/// An access mask as words, in hexadecimal where words do not do.
pub(crate) fn access_word(access: u32) -> String {
    if let Some((word, _)) = MASKS.iter().find(|(_, mask)| *mask == access) {
        return (*word).to_owned();
    }
    let held = || RIGHTS.iter().filter(|(_, right)| access & right != 0);
    let covered = held().fold(0, |mask, (_, right)| mask | right);
    if access == 0 || covered != access {
        return format!("{access:#x}");
    }
    held().map(|(word, _)| *word).collect::<Vec<_>>().join("+")
}

/// The mask that an access word means.
pub(super) fn parse_access(text: &str, span: (usize, usize)) -> Result<u32, Complaint> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return parse_number(text, span, "an access mask");
    }
    text.split('+').try_fold(0, |mask, part| {
        let known = MASKS.iter().chain(RIGHTS).find(|(word, _)| *word == part);
        known.map(|(_, right)| mask | right).ok_or_else(|| {
            let words: Vec<&str> = MASKS.iter().chain(RIGHTS).map(|(word, _)| *word).collect();
            let advice = format!("join with + some of {}, or write 0xN", words.join(", "));
            Complaint::new(span, format!("no access right is called `{part}`"), advice)
        })
    })
}

/// The word for a privilege.
pub(super) fn privilege_word(privilege: Privilege) -> &'static str {
    match privilege {
        Privilege::Tcb => "SeTcb",
        Privilege::Security => "SeSecurity",
        Privilege::TakeOwnership => "SeTakeOwnership",
        Privilege::Backup => "SeBackup",
        Privilege::Restore => "SeRestore",
        Privilege::Relabel => "SeRelabel",
    }
}

/// The privilege that a word means; its full name is understood too.
pub(super) fn parse_privilege(text: &str, span: (usize, usize)) -> Result<Privilege, Complaint> {
    let short = text.strip_suffix("Privilege").unwrap_or(text);
    let known = Privilege::ALL.iter().find(|privilege| privilege_word(**privilege) == short);
    known.copied().ok_or_else(|| {
        let words: Vec<&str> = Privilege::ALL.iter().map(|p| privilege_word(*p)).collect();
        let advice = format!("write some of {}, with commas", words.join(", "));
        Complaint::new(span, format!("no privilege is called `{text}`"), advice)
    })
}

/// Words for integrity levels (PSD-004 §2.2).
const INTEGRITY_LEVELS: &[(&str, u32)] =
    &[("untrusted", 0), ("low", 4096), ("medium", 8192), ("high", 12288), ("system", 16384)];

/// The word for an integrity level, its number where it has none.
pub(super) fn integrity_word(level: u32) -> String {
    let known = INTEGRITY_LEVELS.iter().find(|(_, known)| *known == level);
    known.map_or_else(|| level.to_string(), |(word, _)| (*word).to_owned())
}

/// The integrity level that a word or a number means.
pub(super) fn parse_integrity(text: &str, span: (usize, usize)) -> Result<u32, Complaint> {
    match INTEGRITY_LEVELS.iter().find(|(word, _)| *word == text) {
        Some((_, level)) => Ok(*level),
        None => parse_number(text, span, "an integrity level"),
    }
}

/// Words for token levels.
const LEVELS: &[(&str, TokenLevel)] = &[
    ("primary", TokenLevel::Primary),
    ("anonymous", TokenLevel::Anonymous),
    ("identification", TokenLevel::Identification),
    ("impersonation", TokenLevel::Impersonation),
    ("delegation", TokenLevel::Delegation),
];

/// The word for a token level.
pub(super) fn level_word(level: TokenLevel) -> &'static str {
    LEVELS.iter().find(|(_, known)| *known == level).map_or("?", |(word, _)| word)
}

/// The token level that a word means.
pub(super) fn parse_level(text: &str, span: (usize, usize)) -> Result<TokenLevel, Complaint> {
    LEVELS.iter().find(|(word, _)| *word == text).map(|(_, level)| *level).ok_or_else(|| {
        let words: Vec<&str> = LEVELS.iter().map(|(word, _)| *word).collect();
        let advice = format!("write one of {}", words.join(", "));
        Complaint::new(span, format!("no level is called `{text}`"), advice)
    })
}
