//! The words of one line, and how bytes are written as words.

use super::error::Complaint;
use crate::plan::Handle;
use registry_model::errno::Errno;

/// A word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: TokenKind,
    /// First byte in the line, and one past the last.
    pub span: (usize, usize),
}

/// What a word is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Without quotes.
    Bare(String),
    /// In quotes, with the escapes resolved.
    Quoted(Vec<u8>),
    /// `@h`.
    Handle(Handle),
    /// `alice:`, only as the first word.
    Actor(String),
}

/// Splits a line into words, without comments.
pub(super) fn tokens(line: &str) -> Result<Vec<Token>, Complaint> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(start) = next_word(line, at) {
        let (token, end) = token(line, start, tokens.is_empty())?;
        if let Some(follower) = line[end..].chars().next()
            && !is_blank(follower)
        {
            let span = (end, end + follower.len_utf8());
            return Err(Complaint::new(span, "a word goes on after its quotes", SPACE_ADVICE));
        }
        tokens.push(token);
        at = end;
    }
    Ok(tokens)
}

/// Bytes as a word: bare where that is possible, in quotes otherwise.
pub(crate) fn word(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if may_be_bare(text) => text.to_owned(),
        _ => quoted(bytes),
    }
}

/// Bytes in quotes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_escaped(&mut text, character);
        }
        push_bytes(&mut text, chunk.invalid());
    }
    text.push('"');
    text
}

const SPACE_ADVICE: &str = "put a space after the closing quote";
const ESCAPE_ADVICE: &str = r#"write one of \\ \" \n \r \t \0 \xNN; paths in quotes double each \"#;

fn is_blank(character: char) -> bool {
    character == ' ' || character == '\t'
}

/// Where the next word begins, if there is one before the end or a comment.
fn next_word(line: &str, at: usize) -> Option<usize> {
    let rest = line[at..].trim_start_matches(is_blank);
    (!rest.is_empty() && !rest.starts_with('#')).then(|| line.len() - rest.len())
}

/// The word that begins at `start`, and where it ends.
fn token(line: &str, start: usize, is_first: bool) -> Result<(Token, usize), Complaint> {
    let rest = &line[start..];
    if rest.starts_with('"') {
        let (bytes, end) = quoted_word(line, start)?;
        if is_first && line[end..].starts_with(':') {
            let name = utf8(bytes, (start, end))?;
            return Ok((Token { kind: TokenKind::Actor(name), span: (start, end) }, end + 1));
        }
        return Ok((Token { kind: TokenKind::Quoted(bytes), span: (start, end) }, end));
    }
    if let Some(name) = rest.strip_prefix('@') {
        let (name, end) = if name.starts_with('"') {
            let (bytes, end) = quoted_word(line, start + 1)?;
            (utf8(bytes, (start, end))?, end)
        } else {
            let end = bare_word_end(line, start + 1)?;
            (line[start + 1..end].to_owned(), end)
        };
        return Ok((Token { kind: TokenKind::Handle(Handle(name)), span: (start, end) }, end));
    }
    let end = bare_word_end(line, start)?;
    let text = &line[start..end];
    if text.starts_with("->") {
        let advice = "put each expected line on a line of its own, below the step";
        return Err(Complaint::new((start, end), "an expectation inside a statement", advice));
    }
    let kind = match text.strip_suffix(':') {
        Some(name) if is_first => TokenKind::Actor(name.to_owned()),
        _ => TokenKind::Bare(text.to_owned()),
    };
    Ok((Token { kind, span: (start, end) }, end))
}

fn utf8(bytes: Vec<u8>, span: (usize, usize)) -> Result<String, Complaint> {
    String::from_utf8(bytes).map_err(|_| {
        Complaint::new(span, "this name is not UTF-8", "write a name without such \\xNN escapes")
    })
}

/// Where a bare word that begins at `start` ends.
fn bare_word_end(line: &str, start: usize) -> Result<usize, Complaint> {
    for (offset, character) in line[start..].char_indices() {
        let at = start + offset;
        let span = (at, at + character.len_utf8());
        if is_blank(character) {
            return Ok(at);
        } else if character == '"' {
            let advice = "put the whole word in quotes, and write \\\" for a quote inside";
            return Err(Complaint::new(span, "a quote inside a bare word", advice));
        } else if character.is_control() || character.is_whitespace() {
            let advice = "put the word in quotes and write the character as \\xNN";
            return Err(Complaint::new(span, "an invisible character in a bare word", advice));
        }
    }
    Ok(line.len())
}

/// The bytes of the quoted word that begins at `start`, and where it ends.
fn quoted_word(line: &str, start: usize) -> Result<(Vec<u8>, usize), Complaint> {
    let mut bytes = Vec::new();
    let mut characters = line[start + 1..].char_indices();
    while let Some((offset, character)) = characters.next() {
        let at = start + 1 + offset;
        match character {
            '"' => return Ok((bytes, at + 1)),
            '\\' => {
                let (byte, length) = escape(&line[at..]).ok_or_else(|| {
                    let end = line[at..].char_indices().nth(2).map_or(line.len(), |(o, _)| at + o);
                    Complaint::new((at, end), "an unknown escape in quotes", ESCAPE_ADVICE)
                })?;
                bytes.push(byte);
                for _ in 1..length {
                    characters.next();
                }
            }
            other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err(Complaint::new((start, line.len()), "a quote that is not closed", "close it with \""))
}

/// The byte of the escape at the start of `text`, and its length in characters.
fn escape(text: &str) -> Option<(u8, usize)> {
    let byte = match text.as_bytes().get(1)? {
        b'\\' => b'\\',
        b'"' => b'"',
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0' => 0,
        b'x' => return Some((hex_byte(text.as_bytes().get(2..4)?)?, 4)),
        _ => return None,
    };
    Some((byte, 2))
}

/// The byte that two hexadecimal digits mean.
pub(super) fn hex_byte(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some((digit(*high)? << 4) | digit(*low)?)
}

/// Whether a word means itself without quotes, wherever it stands.
fn may_be_bare(text: &str) -> bool {
    let plain = |c: char| (c.is_ascii_graphic() && c != '"') || is_plain_beyond_ascii(c);
    !text.is_empty()
        && text.chars().all(plain)
        && !text.starts_with(['#', '@', '(', '['])
        && !text.starts_with("->")
        && text != "="
        && !is_errno_name(text)
}

/// Letters and digits show as they are; what might be invisible or combine is escaped.
fn is_plain_beyond_ascii(character: char) -> bool {
    !character.is_ascii() && character.is_alphanumeric()
}

fn is_errno_name(text: &str) -> bool {
    text == "errno"
        || text.starts_with('E') && Errno::ALL.iter().any(|errno| errno.to_string() == text)
}

fn push_escaped(text: &mut String, character: char) {
    match character {
        '"' => text.push_str("\\\""),
        '\\' => text.push_str("\\\\"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        '\0' => text.push_str("\\0"),
        c if c == ' ' || c.is_ascii_graphic() || is_plain_beyond_ascii(c) => text.push(c),
        c => push_bytes(text, c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

fn push_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str(&format!("\\x{byte:02x}"));
    }
}
