//! Reading SDDL, from left to right.

use registry_model::security::Sid;

use super::vocabulary::{
    ACE_FLAGS, ACE_TYPES, ACL_FLAGS, LABEL, LABEL_POLICIES, RIGHTS, named_sid,
};
use super::{Ace, Acl, Descriptor};

/// A text that is no SDDL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SddlError {
    /// Where the fault begins, in bytes.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) problem: String,
}

impl SddlError {
    pub(super) fn at(at: usize, problem: &str) -> SddlError {
        SddlError { at, problem: problem.to_owned() }
    }
}

/// A text and how far it was read.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Reader<'a> {
        Reader { text, at: 0 }
    }

    /// Takes everything.
    pub(super) fn descriptor(&mut self) -> Result<Descriptor, SddlError> {
        let mut descriptor = Descriptor::default();
        let mut seen = Vec::new();
        while !self.rest().is_empty() {
            let section = self.rest().get(..2).unwrap_or_default();
            if seen.contains(&section) {
                return self.fail("this part is given twice");
            }
            seen.push(section);
            self.at += section.len();
            match section {
                "O:" => descriptor.owner = Some(self.sid()?),
                "G:" => descriptor.group = Some(self.sid()?),
                "D:" => descriptor.dacl = Some(self.acl()?),
                "S:" => descriptor.sacl = Some(self.acl()?),
                "C:" => descriptor.other_control = self.control()?,
                _ => {
                    self.at -= section.len();
                    return self.fail("one of O: G: D: S: C: must stand here");
                }
            }
        }
        Ok(descriptor)
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fail<T>(&self, problem: &str) -> Result<T, SddlError> {
        Err(SddlError::at(self.at, problem))
    }

    /// Takes what goes on while `is_part` says so.
    fn take_while(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// Takes one of some words, of which none that comes later begins with an earlier one.
    fn one_of<T: Copy>(&mut self, words: &[(&'static str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| self.rest().starts_with(word))?;
        self.at += found.0.len();
        Some(found.1)
    }

    fn expect(&mut self, text: &str) -> Result<(), SddlError> {
        if !self.rest().starts_with(text) {
            return self.fail(&format!("`{text}` must stand here"));
        }
        self.at += text.len();
        Ok(())
    }

    fn control(&mut self) -> Result<u16, SddlError> {
        let start = self.at;
        let number = self.number().and_then(|number| u16::try_from(number).ok());
        number.ok_or_else(|| SddlError::at(start, "control bits must stand here, such as 0x3"))
    }

    /// Takes a number in hexadecimal after `0x`.
    fn number(&mut self) -> Option<u32> {
        self.rest().strip_prefix("0x")?;
        self.at += 2;
        let digits = self.take_while(|character| character.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok()
    }

    fn sid(&mut self) -> Result<Sid, SddlError> {
        let start = self.at;
        let fail = || SddlError::at(start, "a SID must stand here: S-1-..., or a word such as SY");
        if self.rest().starts_with("S-1-") {
            self.at += 4;
            self.take_while(|c| matches!(c, '0'..='9' | 'a'..='f' | 'x' | '-'));
            return Sid::parse(&self.text[start..self.at]).map_err(|_| fail());
        }
        let word = self.rest().get(..2).ok_or_else(fail)?;
        self.at += 2;
        named_sid(word).ok_or_else(fail)
    }

    fn acl(&mut self) -> Result<Acl, SddlError> {
        let mut acl = Acl::default();
        for (index, (word, ..)) in ACL_FLAGS.iter().enumerate() {
            if self.rest().starts_with(word) {
                self.at += word.len();
                acl.flags.push(index);
            }
        }
        while self.rest().starts_with('(') {
            self.at += 1;
            acl.aces.push(self.ace()?);
        }
        Ok(acl)
    }

    /// Takes an ACE after its parenthesis.
    fn ace(&mut self) -> Result<Ace, SddlError> {
        if self.rest().starts_with("hex:") {
            self.at += 4;
            let start = self.at;
            let digits = self.take_while(|character| character.is_ascii_hexdigit());
            let bytes = bytes_of(digits);
            self.expect(")")?;
            let fail = || SddlError::at(start, "pairs of hexadecimal digits must stand here");
            return bytes.map(Ace::Raw).ok_or_else(fail);
        }
        // Longer words first: AU begins with A.
        let types: Vec<(&'static str, u8)> = ACE_TYPES.iter().rev().copied().collect();
        let Some(ace_type) = self.one_of(&types) else {
            return self.fail("an ACE type must stand here: A, D, AU, ML, or hex:");
        };
        self.expect(";")?;
        let flags = self.flags()?;
        self.expect(";")?;
        let mask = self.mask(ace_type)?;
        self.expect(";;;")?;
        let sid = self.sid()?;
        self.expect(")")?;
        Ok(Ace::Single { ace_type, flags, mask, sid })
    }

    fn flags(&mut self) -> Result<u8, SddlError> {
        let start = self.at;
        if self.rest().starts_with("0x") {
            let flags = self.number().and_then(|number| u8::try_from(number).ok());
            return flags.ok_or_else(|| SddlError::at(start, "flags of one byte must stand here"));
        }
        let mut flags = 0;
        while let Some(flag) = self.one_of(ACE_FLAGS) {
            flags |= flag;
        }
        Ok(flags)
    }

    fn mask(&mut self, ace_type: u8) -> Result<u32, SddlError> {
        let start = self.at;
        let fail = || SddlError::at(start, "rights must stand here, such as KA, or 0x and digits");
        if self.rest().starts_with("0x") {
            return self.number().ok_or_else(fail);
        }
        let words = if ace_type == LABEL { LABEL_POLICIES } else { RIGHTS };
        let mut mask = 0;
        while let Some(right) = self.one_of(words) {
            mask |= right;
        }
        if self.at == start { Err(fail()) } else { Ok(mask) }
    }
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok().filter(|_| pair.len() == 2)
        })
        .collect()
}
