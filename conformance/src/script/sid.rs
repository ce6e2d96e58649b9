//! SIDs as words: `S-1-5-18`, or `hex:` and bytes for what is no SID.

use registry_model::security::Sid;

use super::data;
use super::error::Complaint;

/// A SID as a word.
pub(super) fn sid_word(sid: &Sid) -> String {
    let text = sid.to_string();
    if Sid::parse(&text).is_ok_and(|read| read == *sid) {
        text
    } else {
        format!("hex:{}", data::hex(&sid.0))
    }
}

/// The SID that a word means.
pub(super) fn parse_sid(word: &str, span: (usize, usize)) -> Result<Sid, Complaint> {
    if let Some(digits) = word.strip_prefix("hex:") {
        return Ok(Sid(data::parse_hex(digits, span)?));
    }
    Sid::parse(word).map_err(|_| {
        let advice = "write a SID such as S-1-5-18, or hex: and the bytes";
        Complaint::new(span, format!("`{word}` is no SID"), advice)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_sid_are_written_in_hexadecimal() {
        assert_eq!(sid_word(&Sid(vec![1, 2, 0])), "hex:010200");
        assert_eq!(parse_sid("hex:010200", (0, 0)), Ok(Sid(vec![1, 2, 0])));
    }

    #[test]
    fn a_word_that_is_no_sid_is_refused() {
        assert!(parse_sid("S-1-five", (0, 0)).is_err());
    }
}
