//! Security descriptors as words: to a source they are bytes (PSD-005 §2.3), so a script needs
//! few of them, and those well formed.

use registry_model::security::Sid;

use crate::script::data::{hex, parse_hex};
use crate::script::error::Complaint;
use crate::script::sid::parse_sid;

/// Revision 1, no reserved byte, SE_SELF_RELATIVE, the owner behind the header and nothing else
/// (PSD-004 §3.6).
const OWNER_ONLY: [u8; 20] = [1, 0, 0, 0x80, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The owner of a descriptor that a script leaves out.
const DEFAULT_OWNER: &str = "S-1-5-18";

/// The smallest descriptor with this owner.
fn of_owner(owner: &Sid) -> Vec<u8> {
    let mut bytes = OWNER_ONLY.to_vec();
    bytes.extend_from_slice(&owner.0);
    bytes
}

/// The smallest descriptor with this owner, a SID in words; empty for what is no SID.
pub(crate) fn of_owner_word(owner: &str) -> Vec<u8> {
    Sid::parse(owner).map(|owner| of_owner(&owner)).unwrap_or_default()
}

/// The descriptor of a script that leaves it out: the one of SYSTEM.
pub(super) fn default() -> Vec<u8> {
    of_owner_word(DEFAULT_OWNER)
}

/// A descriptor as a word.
pub(super) fn descriptor_word(bytes: &[u8]) -> String {
    let owner = bytes.strip_prefix(&OWNER_ONLY[..]).map(|owner| Sid(owner.to_vec()));
    match owner.map(|owner| (owner.to_string(), owner)) {
        Some((text, owner)) if Sid::parse(&text).is_ok_and(|read| read == owner) => text,
        _ => format!("hex:{}", hex(bytes)),
    }
}

/// The descriptor that a word means.
pub(super) fn parse_descriptor(word: &str, span: (usize, usize)) -> Result<Vec<u8>, Complaint> {
    match word.strip_prefix("hex:") {
        Some(digits) => parse_hex(digits, span),
        None => parse_sid(word, span).map(|owner| of_owner(&owner)),
    }
}
