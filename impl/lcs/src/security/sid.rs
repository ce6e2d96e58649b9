//! Security identifiers: binary and text form, and the well-known ones (PSD-004 §2).

use std::fmt;
use std::str::FromStr;

const REVISION: u8 = 1;
const HEADER_LENGTH: usize = 8;
const SUB_AUTHORITY_COUNT_MAX: usize = 15;
const LENGTH_MAX: usize = HEADER_LENGTH + 4 * SUB_AUTHORITY_COUNT_MAX;

/// A principal. Two are equal when their binary forms are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid {
    // The binary form; bytes past its length are zero, so that derived equality is that of it.
    bytes: [u8; LENGTH_MAX],
}

/// Bytes or text that are no SID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedSid;

impl Sid {
    /// CREATOR OWNER, replaced at inheritance by the new object's owner.
    pub const CREATOR_OWNER: Self = Self::well_known(3, &[0]);
    /// CREATOR GROUP, replaced at inheritance by the creator's primary group.
    pub const CREATOR_GROUP: Self = Self::well_known(3, &[1]);
    /// OWNER RIGHTS, matched by whoever owns the object.
    pub const OWNER_RIGHTS: Self = Self::well_known(3, &[4]);
    /// Everyone.
    pub const EVERYONE: Self = Self::well_known(1, &[0]);
    /// Principals logged on locally.
    pub const LOCAL: Self = Self::well_known(2, &[0]);
    /// Authenticated Users.
    pub const AUTHENTICATED_USERS: Self = Self::well_known(5, &[11]);
    /// SYSTEM.
    pub const SYSTEM: Self = Self::well_known(5, &[18]);
    /// BUILTIN\Administrators.
    pub const ADMINISTRATORS: Self = Self::well_known(5, &[32, 544]);

    /// The logon SID of a logon session.
    #[must_use]
    pub const fn logon(high: u32, low: u32) -> Self {
        Self::well_known(5, &[5, high, low])
    }

    /// The SID of this identifier authority and these sub-authorities.
    ///
    /// # Errors
    /// More than 15 sub-authorities, or an authority beyond 48 bits.
    pub fn new(authority: u64, sub_authorities: &[u32]) -> Result<Self, MalformedSid> {
        let authority = authority.to_be_bytes();
        let count = u8::try_from(sub_authorities.len()).map_err(|_| MalformedSid)?;
        if usize::from(count) > SUB_AUTHORITY_COUNT_MAX || authority[..2] != [0, 0] {
            return Err(MalformedSid);
        }
        let mut bytes = [0; LENGTH_MAX];
        bytes[0] = REVISION;
        bytes[1] = count;
        bytes[2..HEADER_LENGTH].copy_from_slice(&authority[2..]);
        for (place, value) in bytes[HEADER_LENGTH..].chunks_exact_mut(4).zip(sub_authorities) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        Ok(Self { bytes })
    }

    /// The SID at the head of `bytes`; more bytes may follow it.
    ///
    /// # Errors
    /// Another revision, more than 15 sub-authorities, or an end inside the SID.
    pub fn parse_prefix(bytes: &[u8]) -> Result<Self, MalformedSid> {
        let (Some(&revision), Some(&count)) = (bytes.first(), bytes.get(1)) else {
            return Err(MalformedSid);
        };
        if revision != REVISION || usize::from(count) > SUB_AUTHORITY_COUNT_MAX {
            return Err(MalformedSid);
        }
        let length = HEADER_LENGTH + 4 * usize::from(count);
        let source = bytes.get(..length).ok_or(MalformedSid)?;
        let mut bytes = [0; LENGTH_MAX];
        bytes[..length].copy_from_slice(source);
        Ok(Self { bytes })
    }

    /// The SID that these bytes are, whole.
    ///
    /// # Errors
    /// As [`Sid::parse_prefix`], and when bytes follow.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedSid> {
        let sid = Self::parse_prefix(bytes)?;
        if sid.as_bytes().len() == bytes.len() { Ok(sid) } else { Err(MalformedSid) }
    }

    /// The binary form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..HEADER_LENGTH + 4 * usize::from(self.bytes[1])]
    }

    /// The 48-bit identifier authority.
    #[must_use]
    pub fn authority(&self) -> u64 {
        self.bytes[2..HEADER_LENGTH]
            .iter()
            .fold(0, |authority, byte| authority << 8 | u64::from(*byte))
    }

    /// The sub-authorities, in order.
    pub fn sub_authorities(&self) -> impl Iterator<Item = u32> {
        self.as_bytes()[HEADER_LENGTH..]
            .chunks_exact(4)
            .map(|chunk| chunk.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    /// The level that a mandatory label's SID stands for: S-1-16-level and nothing else.
    #[must_use]
    pub fn integrity_level(&self) -> Option<u32> {
        let mut sub_authorities = self.sub_authorities();
        match (self.authority(), sub_authorities.next(), sub_authorities.next()) {
            (16, Some(level), None) => Some(level),
            _ => None,
        }
    }

    /// Type and trust that a process trust label's SID stands for: S-1-19-type-trust and nothing
    /// else.
    #[must_use]
    pub fn process_trust(&self) -> Option<(u32, u32)> {
        let mut sub_authorities = self.sub_authorities();
        let (process_type, trust) = (sub_authorities.next()?, sub_authorities.next()?);
        (self.authority() == 19 && sub_authorities.next().is_none())
            .then_some((process_type, trust))
    }

    const fn well_known(authority: u8, sub_authorities: &[u32]) -> Self {
        let mut bytes = [0; LENGTH_MAX];
        bytes[0] = REVISION;
        bytes[1] = sub_authorities.len() as u8;
        bytes[7] = authority;
        let mut index = 0;
        while index < sub_authorities.len() {
            let value = sub_authorities[index].to_le_bytes();
            let mut byte = 0;
            while byte < 4 {
                bytes[HEADER_LENGTH + 4 * index + byte] = value[byte];
                byte += 1;
            }
            index += 1;
        }
        Self { bytes }
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.authority();
        if authority >> 32 == 0 {
            write!(formatter, "S-1-{authority}")?;
        } else {
            write!(formatter, "S-1-0x{authority:012x}")?;
        }
        self.sub_authorities().try_for_each(|value| write!(formatter, "-{value}"))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl FromStr for Sid {
    type Err = MalformedSid;

    fn from_str(text: &str) -> Result<Self, MalformedSid> {
        let mut parts = text.strip_prefix("S-1-").ok_or(MalformedSid)?.split('-');
        let authority = parts.next().ok_or(MalformedSid)?;
        let authority = match authority.strip_prefix("0x") {
            Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16),
            None => authority.parse(),
        }
        .map_err(|_| MalformedSid)?;
        let mut sub_authorities = Vec::new();
        for part in parts {
            sub_authorities.push(part.parse().map_err(|_| MalformedSid)?);
        }
        Self::new(authority, &sub_authorities)
    }
}

impl fmt::Display for MalformedSid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not a security identifier")
    }
}

impl std::error::Error for MalformedSid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_known_sid_has_its_text_and_bytes() {
        assert_eq!(Sid::ADMINISTRATORS.to_string(), "S-1-5-32-544");
        assert_eq!(
            Sid::ADMINISTRATORS.as_bytes(),
            [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 0x02, 0, 0]
        );
    }

    #[test]
    fn text_of_a_wide_authority_is_twelve_hex_digits() {
        let sid = Sid::new(0x0100_0000_0000, &[7]).expect("48 bits");
        assert_eq!(sid.to_string(), "S-1-0x010000000000-7");
        assert_eq!("S-1-0x010000000000-7".parse(), Ok(sid));
    }

    #[test]
    fn no_sub_authorities_are_valid_and_sixteen_are_not() {
        assert_eq!(
            Sid::parse(&[1, 0, 0, 0, 0, 0, 0, 5]).map(|sid| sid.to_string()).as_deref(),
            Ok("S-1-5")
        );
        let mut sixteen = vec![1, 16, 0, 0, 0, 0, 0, 5];
        sixteen.resize(8 + 64, 0);
        assert_eq!(Sid::parse(&sixteen), Err(MalformedSid));
    }

    #[test]
    fn another_revision_a_short_sid_and_a_long_one_are_malformed() {
        let bytes = Sid::SYSTEM.as_bytes();
        assert_eq!(Sid::parse(bytes), Ok(Sid::SYSTEM));
        assert_eq!(Sid::parse(&bytes[..11]), Err(MalformedSid));
        assert_eq!(Sid::parse(&[bytes, &[0]].concat()), Err(MalformedSid));
        assert_eq!(Sid::parse(&[&[2], &bytes[1..]].concat()), Err(MalformedSid));
        assert_eq!(Sid::parse(&[]), Err(MalformedSid));
    }

    #[test]
    fn only_a_single_level_under_authority_16_is_an_integrity_level() {
        assert_eq!(
            "S-1-16-4096".parse::<Sid>().ok().and_then(|sid| sid.integrity_level()),
            Some(4096)
        );
        assert_eq!("S-1-16-1-2".parse::<Sid>().ok().and_then(|sid| sid.integrity_level()), None);
        assert_eq!(Sid::SYSTEM.integrity_level(), None);
    }
}
