//! Value data as text, for each type (PSD-005 §2.5).
//!
//! Data stays bytes: a form is used only where reading it back gives the same bytes.

use super::error::Complaint;
use super::token::{Token, TokenKind, hex_byte, quoted};
use super::words::{Words, parse_number};

/// Longest data that `bytes:LENGTH*HH` may ask for: above the default MaxValueSize of 1 MiB, so
/// that a script can break the limit, and small enough to read any file.
const REPEATED_LENGTH_MAX: u32 = 2 * 1024 * 1024;
/// Data of one repeated byte is written as such above this length.
const REPEATED_LENGTH_MIN: usize = 64;

const NONE: u32 = 0;
const SZ: u32 = 1;
const EXPAND_SZ: u32 = 2;
const DWORD: u32 = 4;
const DWORD_BE: u32 = 5;
const LINK: u32 = 6;
const MULTI_SZ: u32 = 7;
const QWORD: u32 = 11;
const TOMBSTONE: u32 = 0xFFFF;

/// Data as the words after its type; empty for a `none` or `tombstone` without data.
pub(super) fn data_words(value_type: u32, data: &[u8]) -> String {
    if let (Some(first), true) = (data.first(), data.len() > REPEATED_LENGTH_MIN)
        && data.iter().all(|byte| byte == first)
        && data.len() <= REPEATED_LENGTH_MAX as usize
    {
        return format!("bytes:{}*{first:02x}", data.len());
    }
    let typed = match value_type {
        NONE | TOMBSTONE if data.is_empty() => Some(String::new()),
        SZ | EXPAND_SZ | LINK => Some(quoted(data)),
        DWORD => data.try_into().ok().map(|bytes| u32::from_le_bytes(bytes).to_string()),
        DWORD_BE => data.try_into().ok().map(|bytes| u32::from_be_bytes(bytes).to_string()),
        QWORD => data.try_into().ok().map(|bytes| u64::from_le_bytes(bytes).to_string()),
        MULTI_SZ => multi_sz_words(data),
        _ => None,
    };
    typed.unwrap_or_else(|| format!("hex:{}", hex(data)))
}

/// A type word and its data, with a space only where there is data to show.
pub(crate) fn typed_words(value_type: u32, data: &[u8]) -> String {
    let mut text = super::vocabulary::value_type_word(value_type);
    let data = data_words(value_type, data);
    if !data.is_empty() {
        text.push(' ');
        text.push_str(&data);
    }
    text
}

/// Takes the data words of a type.
pub(super) fn parse_data(value_type: u32, words: &mut Words<'_>) -> Result<Vec<u8>, Complaint> {
    let is_optional = value_type == NONE || value_type == TOMBSTONE;
    if is_optional && !words.peek().is_some_and(is_data_like) {
        return Ok(Vec::new());
    }
    let token = words.next("data")?;
    match &token.kind {
        TokenKind::Quoted(bytes) if value_type == MULTI_SZ => {
            let mut strings = vec![bytes.clone()];
            while let Some(Token { kind: TokenKind::Quoted(bytes), .. }) = words.peek() {
                strings.push(bytes.clone());
                words.next("a string")?;
            }
            Ok(multi_sz_data(&strings))
        }
        TokenKind::Quoted(bytes) => Ok(bytes.clone()),
        TokenKind::Bare(text) => bare_data(value_type, text, token.span),
        TokenKind::Handle(_) | TokenKind::Actor(_) => {
            Err(Complaint::new(token.span, "data must stand here", "put text in quotes"))
        }
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that pairs of hexadecimal digits mean.
pub(super) fn parse_hex(digits: &str, span: (usize, usize)) -> Result<Vec<u8>, Complaint> {
    digits.as_bytes().chunks(2).map(hex_byte).collect::<Option<_>>().ok_or_else(|| {
        let advice = "write pairs of hexadecimal digits, such as hex:0a0b";
        Complaint::new(span, "bytes that are not pairs of hexadecimal digits", advice)
    })
}

fn is_data_like(token: &Token) -> bool {
    match &token.kind {
        TokenKind::Quoted(_) => true,
        TokenKind::Bare(text) => text.starts_with("hex:") || text.starts_with("bytes:"),
        _ => false,
    }
}

fn bare_data(value_type: u32, text: &str, span: (usize, usize)) -> Result<Vec<u8>, Complaint> {
    if let Some(digits) = text.strip_prefix("hex:") {
        return parse_hex(digits, span);
    }
    if let Some(repetition) = text.strip_prefix("bytes:") {
        return repeated(repetition, span);
    }
    let number = "a number, or hex: and bytes,";
    match value_type {
        SZ | EXPAND_SZ | LINK => Ok(text.as_bytes().to_vec()),
        DWORD => Ok(parse_number::<u32>(text, span, number)?.to_le_bytes().to_vec()),
        DWORD_BE => Ok(parse_number::<u32>(text, span, number)?.to_be_bytes().to_vec()),
        QWORD => Ok(parse_number::<u64>(text, span, number)?.to_le_bytes().to_vec()),
        _ => {
            let advice = "write hex:0a0b, bytes:LENGTH*HH, or text in quotes";
            Err(Complaint::new(span, "data of this type must stand here", advice))
        }
    }
}

fn repeated(text: &str, span: (usize, usize)) -> Result<Vec<u8>, Complaint> {
    let complaint = |problem: &str| {
        let advice = format!("write bytes:LENGTH*HH with at most {REPEATED_LENGTH_MAX} bytes");
        Complaint::new(span, problem, advice)
    };
    let (length, byte) = text.split_once('*').ok_or_else(|| complaint("no repetition"))?;
    let length: u32 = parse_number(length, span, "a length")?;
    let byte = hex_byte(byte.as_bytes()).ok_or_else(|| complaint("no byte to repeat"))?;
    if length > REPEATED_LENGTH_MAX {
        return Err(complaint("too many bytes"));
    }
    Ok(vec![byte; length as usize])
}

/// The strings of a list, if the bytes are exactly what `multi_sz_data` makes of them.
fn multi_sz_words(data: &[u8]) -> Option<String> {
    let strings = data.strip_suffix(&[0])?.strip_suffix(&[0])?;
    let words: Vec<String> = strings.split(|byte| *byte == 0).map(quoted).collect();
    Some(words.join(" "))
}

fn multi_sz_data(strings: &[Vec<u8>]) -> Vec<u8> {
    let mut data = Vec::new();
    for string in strings {
        data.extend_from_slice(string);
        data.push(0);
    }
    data.push(0);
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_numbers_only_at_their_own_length() {
        assert_eq!(typed_words(DWORD, &[0, 4, 0, 0]), "dword 1024");
        assert_eq!(typed_words(DWORD_BE, &[0, 0, 4, 0]), "dword_be 1024");
        assert_eq!(typed_words(QWORD, &[1, 0, 0, 0, 0, 0, 0, 0]), "qword 1");
        assert_eq!(typed_words(DWORD, &[1, 2, 3]), "dword hex:010203");
    }

    #[test]
    fn a_list_of_strings_shows_its_strings() {
        assert_eq!(typed_words(MULTI_SZ, b"a\0b c\0\0"), r#"multi_sz "a" "b c""#);
        assert_eq!(typed_words(MULTI_SZ, b"a\0b"), "multi_sz hex:610062");
        assert_eq!(typed_words(MULTI_SZ, b"\0"), "multi_sz hex:00");
    }

    #[test]
    fn long_data_of_one_byte_is_short() {
        assert_eq!(typed_words(3, &[7; 65]), "binary bytes:65*07");
    }

    #[test]
    fn a_type_without_a_word_shows_its_code() {
        assert_eq!(typed_words(77, b"x"), "type=77 hex:78");
        assert_eq!(typed_words(NONE, b""), "none");
    }
}
