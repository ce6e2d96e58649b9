//! SIDs: their two forms, and those with fixed values.
//!
//! States PSD-004 §2.1 (format, text form) and the part of §2.2 that the registry uses.

use std::fmt;
use std::str::FromStr;

use super::Sid;

/// SIDs with fixed values (PSD-004 §2.2).
pub mod well_known {
    use std::sync::LazyLock;

    use super::Sid;

    macro_rules! well_known {
        ($($(#[$documentation:meta])* $name:ident = $authority:literal, $sub_authorities:expr;)*) => {
            $(
                $(#[$documentation])*
                pub static $name: LazyLock<Sid> =
                    LazyLock::new(|| Sid::from_parts($authority, &$sub_authorities));
            )*
        };
    }

    well_known! {
        /// S-1-1-0: every principal.
        EVERYONE = 1, [0];
        /// S-1-2-0: principals that logged on locally.
        LOCAL = 2, [0];
        /// S-1-3-0: stands for the owner in inheritable ACEs.
        CREATOR_OWNER = 3, [0];
        /// S-1-3-1: stands for the primary group in inheritable ACEs.
        CREATOR_GROUP = 3, [1];
        /// S-1-3-4: matches the owner, and replaces its implicit rights.
        OWNER_RIGHTS = 3, [4];
        /// S-1-5-5-0-0: the logon SID of the logon session that SYSTEM has from boot.
        SYSTEM_LOGON = 5, [5, 0, 0];
        /// S-1-5-10: stands for the principal of an object; keys have none.
        PRINCIPAL_SELF = 5, [10];
        /// S-1-5-11: principals that were authenticated.
        AUTHENTICATED_USERS = 5, [11];
        /// S-1-5-18: the operating system.
        SYSTEM = 5, [18];
        /// S-1-5-32-544: `BUILTIN\Administrators`.
        ADMINISTRATORS = 5, [32, 544];
    }
}

/// A text that is no SID in string form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSidText;

impl fmt::Display for InvalidSidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a SID of the form S-1-authority-subauthority-...")
    }
}

impl std::error::Error for InvalidSidText {}

const REVISION: u8 = 1;
const HEADER_LENGTH: usize = 8;
const SUB_AUTHORITIES_MAX: usize = 15;

impl Sid {
    /// The SID in string form, like `S-1-5-18`.
    ///
    /// # Errors
    ///
    /// If the text has another form than that of PSD-004 §2.1 (SD-06).
    pub fn parse(text: &str) -> Result<Sid, InvalidSidText> {
        let mut parts = text.strip_prefix("S-1-").ok_or(InvalidSidText)?.split('-');
        let authority = authority(parts.next().ok_or(InvalidSidText)?)?;
        let sub_authorities: Vec<u32> = parts.map(number).collect::<Result<_, _>>()?;
        if sub_authorities.len() > SUB_AUTHORITIES_MAX {
            return Err(InvalidSidText);
        }
        Ok(Sid::from_parts(authority, &sub_authorities))
    }

    /// The well-formed SID at the beginning of `bytes`, or `None` (SD-01 to SD-04). Its length
    /// in bytes is that of the result.
    pub fn at_start_of(bytes: &[u8]) -> Option<Sid> {
        let &[revision, count] = bytes.first_chunk()?;
        if revision != REVISION || usize::from(count) > SUB_AUTHORITIES_MAX {
            return None;
        }
        let length = HEADER_LENGTH + 4 * usize::from(count);
        Some(Sid(bytes.get(..length)?.to_vec()))
    }

    /// The sub-authorities, if the SID is one of this authority.
    pub(super) fn sub_authorities_of(&self, authority: u64) -> Option<Vec<u32>> {
        let Sid(bytes) = Sid::at_start_of(&self.0)?;
        let parts = bytes.strip_prefix(&bytes[..2])?.strip_prefix(&authority.to_be_bytes()[2..])?;
        let part = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        parts.chunks_exact(4).map(part).collect()
    }

    /// Takes at most 48 bits of the authority and at most 15 sub-authorities.
    pub(super) fn from_parts(authority: u64, sub_authorities: &[u32]) -> Sid {
        let count = sub_authorities.len().min(SUB_AUTHORITIES_MAX);
        let mut bytes = vec![REVISION, count as u8];
        bytes.extend(&authority.to_be_bytes()[2..]);
        bytes.extend(sub_authorities[..count].iter().flat_map(|part| part.to_le_bytes()));
        Sid(bytes)
    }
}

/// An authority is decimal, or 0x and twelve lower-case digits where decimal does not apply.
fn authority(text: &str) -> Result<u64, InvalidSidText> {
    let Some(digits) = text.strip_prefix("0x") else { return number(text).map(u64::from) };
    let lower_case = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() != 12 || !lower_case {
        return Err(InvalidSidText);
    }
    let value = u64::from_str_radix(digits, 16).map_err(|_| InvalidSidText)?;
    if value <= u64::from(u32::MAX) { Err(InvalidSidText) } else { Ok(value) }
}

/// Decimal digits without sign or leading zero, so that each SID has one string form.
fn number(text: &str) -> Result<u32, InvalidSidText> {
    let canonical = text == "0" || !text.starts_with(['0', '+']);
    if !canonical {
        return Err(InvalidSidText);
    }
    text.parse().map_err(|_| InvalidSidText)
}

impl FromStr for Sid {
    type Err = InvalidSidText;

    fn from_str(text: &str) -> Result<Sid, InvalidSidText> {
        Sid::parse(text)
    }
}

/// The string form; bytes that are no SID are shown in hexadecimal.
impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let well_formed = Sid::at_start_of(&self.0).is_some_and(|sid| sid == *self);
        if !well_formed {
            return write!(f, "malformed SID {:02x?}", self.0);
        }
        let (header, sub_authorities) = self.0.split_at(HEADER_LENGTH);
        let authority = header[2..].iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        if authority <= u64::from(u32::MAX) {
            write!(f, "S-1-{authority}")?;
        } else {
            write!(f, "S-1-0x{authority:012x}")?;
        }
        for part in sub_authorities.as_chunks::<4>().0 {
            write!(f, "-{}", u32::from_le_bytes(*part))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn system_has_these_bytes() {
        let bytes = vec![1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
        assert_eq!(Sid::parse("S-1-5-18"), Ok(Sid(bytes)));
    }

    #[test]
    fn well_known_sids_have_these_texts() {
        let sids = [
            &*well_known::EVERYONE,
            &*well_known::LOCAL,
            &*well_known::CREATOR_OWNER,
            &*well_known::CREATOR_GROUP,
            &*well_known::OWNER_RIGHTS,
            &*well_known::SYSTEM_LOGON,
            &*well_known::AUTHENTICATED_USERS,
            &*well_known::SYSTEM,
            &*well_known::ADMINISTRATORS,
        ];
        let texts = sids.map(Sid::to_string).join(" ");
        expect_test::expect![
            "S-1-1-0 S-1-2-0 S-1-3-0 S-1-3-1 S-1-3-4 S-1-5-5-0-0 S-1-5-11 S-1-5-18 S-1-5-32-544"
        ]
        .assert_eq(&texts);
    }

    #[test]
    fn a_wide_authority_is_hexadecimal() {
        let text = "S-1-0x0123456789ab-7";
        let sid = Sid::parse(text).unwrap();
        assert_eq!(sid.0[..8], [1, 1, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB]);
        assert_eq!(sid.to_string(), text);
    }

    #[test]
    fn a_sid_may_have_no_sub_authority_and_at_most_fifteen() {
        assert_eq!(Sid::parse("S-1-5").unwrap().0, [1, 0, 0, 0, 0, 0, 0, 5]);
        let fifteen = format!("S-1-5{}", "-1".repeat(15));
        assert_eq!(Sid::parse(&fifteen).unwrap().0.len(), 68);
        assert_eq!(Sid::parse(&(fifteen + "-1")), Err(InvalidSidText));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "S-1-",
            "S-2-5-18",
            "s-1-5-18",
            "S-1-5-",
            "S-1-5-+1",
            "S-1-5-01",
            "S-1-5-4294967296",
            "S-1-0x5-18",
            "S-1-0x000000000005-18",
            "S-1-0x0123456789AB",
            "S-1-0x123456789ab",
        ] {
            assert_eq!(Sid::parse(text), Err(InvalidSidText), "{text}");
        }
    }

    #[test]
    fn malformed_bytes_hold_no_sid() {
        assert_eq!(Sid::at_start_of(&[2, 0, 0, 0, 0, 0, 0, 5]), None);
        assert_eq!(Sid::at_start_of(&[1, 1, 0, 0, 0, 0, 0, 5]), None);
        let mut sixteen = vec![0; 8 + 64];
        sixteen[..2].copy_from_slice(&[1, 16]);
        assert_eq!(Sid::at_start_of(&sixteen), None);
    }

    proptest! {
        #[test]
        fn the_text_names_the_bytes(
            authority in 0_u64..1 << 48,
            parts in prop::collection::vec(any::<u32>(), 0..=15),
        ) {
            let sid = Sid::from_parts(authority, &parts);
            prop_assert_eq!(Sid::at_start_of(&sid.0), Some(sid.clone()));
            prop_assert_eq!(Sid::parse(&sid.to_string()), Ok(sid));
        }

        #[test]
        fn any_bytes_can_be_shown(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Sid(bytes).to_string();
        }
    }
}
