//! Security descriptors and ACLs as words: SDDL, or `hex:` and bytes.

use super::data;
use super::error::Complaint;
use super::token::{Token, TokenKind, quoted};
use super::words::Words;
use crate::sddl::{self, SddlError};

const ADVICE: &str = "write SDDL such as \"O:SYG:SYD:(A;CI;KA;;;SY)\", or hex: and bytes";

/// A descriptor as a word: SDDL in quotes, or its bytes.
pub(super) fn descriptor_word(bytes: &[u8]) -> String {
    match sddl::print(bytes) {
        Some(text) => quoted(text.as_bytes()),
        None => format!("hex:{}", data::hex(bytes)),
    }
}

/// Takes a descriptor.
pub(super) fn parse_descriptor(words: &mut Words<'_>) -> Result<Vec<u8>, Complaint> {
    let Token { kind, span } = words.next("a security descriptor")?;
    match kind {
        TokenKind::Bare(text) | TokenKind::Actor(text) => match text.strip_prefix("hex:") {
            Some(digits) => data::parse_hex(digits, *span),
            None => sddl::parse(text).map_err(|error| at(error, *span, span.0)),
        },
        TokenKind::Quoted(bytes) => {
            let text = std::str::from_utf8(bytes).unwrap_or("?");
            sddl::parse(text).map_err(|error| at(error, *span, span.0 + 1))
        }
        TokenKind::Handle(_) => {
            Err(Complaint::new(*span, "a security descriptor must stand here", ADVICE))
        }
    }
}

/// An ACL as the end of a word.
pub(super) fn acl_word(bytes: &[u8]) -> String {
    sddl::print_acl(bytes).unwrap_or_else(|| format!("hex:{}", data::hex(bytes)))
}

/// The ACL that the end of a word means.
pub(super) fn parse_acl(text: &str, span: (usize, usize)) -> Result<Vec<u8>, Complaint> {
    match text.strip_prefix("hex:") {
        Some(digits) => data::parse_hex(digits, span),
        None => sddl::parse_acl(text)
            .map_err(|error| at(error, span, span.1.saturating_sub(text.len()))),
    }
}

/// The complaint about a text that begins at `start`.
fn at(error: SddlError, span: (usize, usize), start: usize) -> Complaint {
    let first = (start + error.at).min(span.1.saturating_sub(1)).max(span.0);
    Complaint::new((first, span.1), error.problem, ADVICE)
}
