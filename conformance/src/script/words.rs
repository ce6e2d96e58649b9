//! Taking the words of a statement one after another.

use std::collections::BTreeMap;

use super::error::Complaint;
use super::token::{Token, TokenKind};
use super::vocabulary;
use super::watch::WITHIN;
use crate::plan::{Handle, KeyReference, Text};

/// The words of a statement that have not been taken yet.
pub(super) struct Words<'a> {
    tokens: &'a [Token],
    /// Where the line ends, for complaints about what is missing.
    line_end: usize,
}

/// What may follow the operands of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OptionKind {
    /// `in LAYER`.
    Layer,
    /// `if SEQUENCE`.
    Condition,
    /// `access=...`.
    Access,
    /// A word that stands for a flag bit.
    Flag(&'static str, u32),
    /// `sequence=N`.
    Sequence,
    /// `like LAYER`.
    Like,
    /// `through LAYER`.
    Through,
    /// `name=N`.
    Number(&'static str),
    /// `name=N` of one byte.
    Byte(&'static str),
}

/// The options that are lengths of buffers, which the harness lays out in memory.
const BUFFERS: [&str; 4] = ["name", "data", "layer", "buffer"];
/// Longest buffer that a script may ask for in bytes: above every limit of the registry's.
pub(super) const CAPACITY_MAX: u32 = 64 * 1024 * 1024;

/// The options that were given.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub layer: Option<Text>,
    pub condition: Option<u64>,
    pub access: Option<u32>,
    pub flags: u32,
    pub sequence: Option<u64>,
    pub like: Option<String>,
    pub through: Option<String>,
    numbers: BTreeMap<&'static str, u32>,
}

impl Options {
    /// The number given as `name=N`.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The layer, or the empty text that means base.
    pub fn layer_or_base(&mut self) -> Text {
        self.layer.take().unwrap_or_default()
    }
}

impl<'a> Words<'a> {
    /// All words of a line.
    pub fn new(tokens: &'a [Token], line: &str) -> Words<'a> {
        Words { tokens, line_end: line.trim_end().len() }
    }

    /// The next word, without taking it.
    pub fn peek(&self) -> Option<&'a Token> {
        self.tokens.first()
    }

    /// The next word if it is bare, without taking it.
    pub fn peek_bare(&self) -> Option<&'a str> {
        bare(self.tokens.first()?)
    }

    /// The bare word after the next one, without taking it.
    pub fn peek_second_bare(&self) -> Option<&'a str> {
        bare(self.tokens.get(1)?)
    }

    /// Takes the next word.
    pub fn next(&mut self, what: &str) -> Result<&'a Token, Complaint> {
        let (first, rest) = self.tokens.split_first().ok_or_else(|| self.missing(what))?;
        self.tokens = rest;
        Ok(first)
    }

    /// The complaint that something does not follow at the end of the line.
    pub fn missing(&self, what: &str) -> Complaint {
        Complaint::new((self.line_end, self.line_end + 1), format!("{what} is missing"), "")
    }

    /// Takes a bare word.
    pub fn bare(&mut self, what: &str) -> Result<(&'a str, (usize, usize)), Complaint> {
        let token = self.next(what)?;
        let text = bare(token).ok_or_else(|| {
            Complaint::new(token.span, format!("{what} must stand here, without quotes"), "")
        })?;
        Ok((text, token.span))
    }

    /// Takes one particular word.
    pub fn expect(&mut self, expected: &str) -> Result<(), Complaint> {
        match self.bare(&format!("`{expected}`"))? {
            (found, _) if found == expected => Ok(()),
            (found, span) => Err(Complaint::new(
                span,
                format!("`{expected}` must stand here instead of `{found}`"),
                "",
            )),
        }
    }

    /// Takes a text: a bare or quoted word.
    pub fn text(&mut self, what: &str) -> Result<Text, Complaint> {
        let token = self.next(what)?;
        match &token.kind {
            TokenKind::Bare(text) => Ok(Text::from(text.as_str())),
            TokenKind::Quoted(bytes) => Ok(Text(bytes.clone())),
            TokenKind::Handle(_) | TokenKind::Actor(_) => Err(Complaint::new(
                token.span,
                format!("{what} must stand here, not a handle"),
                "put the word in quotes if it is a name that begins with @",
            )),
        }
    }

    /// Takes a text that must be UTF-8.
    pub fn string(&mut self, what: &str) -> Result<String, Complaint> {
        let span = self.peek().map_or((self.line_end, self.line_end + 1), |token| token.span);
        String::from_utf8(self.text(what)?.0).map_err(|_| {
            Complaint::new(span, format!("{what} must be UTF-8"), "write it without such bytes")
        })
    }

    /// Takes a key: a path or `@handle`.
    pub fn key(&mut self) -> Result<KeyReference, Complaint> {
        if let Some(handle) = self.handle_reference() {
            return Ok(KeyReference::Handle(handle));
        }
        Ok(KeyReference::Path(self.text("a path or @handle")?))
    }

    /// Takes `@handle` if it comes next.
    pub fn handle_reference(&mut self) -> Option<Handle> {
        let (Token { kind: TokenKind::Handle(handle), .. }, rest) = self.tokens.split_first()?
        else {
            return None;
        };
        self.tokens = rest;
        Some(handle.clone())
    }

    /// Takes the name of a handle where nothing else can stand: `h` or `@h`.
    pub fn handle_name(&mut self) -> Result<Handle, Complaint> {
        match self.handle_reference() {
            Some(handle) => Ok(handle),
            None => Ok(Handle(self.string("a handle")?)),
        }
    }

    /// Takes a number.
    pub fn number<N: TryFrom<u64>>(&mut self, what: &str) -> Result<N, Complaint> {
        let (text, span) = self.bare(what)?;
        parse_number(text, span, what)
    }

    /// Takes options until the end of the line, or until `within`, which stands behind them all.
    pub fn options(&mut self, allowed: &[OptionKind]) -> Result<Options, Complaint> {
        let mut options = Options::default();
        let mut seen = Vec::new();
        while !self.tokens.is_empty() && self.peek_bare() != Some(WITHIN) {
            let (text, span) = self.bare("an option")?;
            let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)));
            let kind = *allowed
                .iter()
                .find(|kind| is_spelled(**kind, name, value))
                .ok_or_else(|| Complaint::new(span, format!("`{text}` cannot stand here"), ""))?;
            if seen.contains(&kind) {
                return Err(Complaint::new(span, format!("`{name}` is given twice"), "keep one"));
            }
            seen.push(kind);
            match (kind, value) {
                (OptionKind::Layer, _) => options.layer = Some(self.text("a layer")?),
                (OptionKind::Condition, _) => {
                    options.condition = Some(self.number("a sequence number")?);
                }
                (OptionKind::Like, _) => options.like = Some(self.string("a layer")?),
                (OptionKind::Through, _) => options.through = Some(self.string("a layer")?),
                (OptionKind::Sequence, value) => {
                    let number = parse_number(value.unwrap_or(""), span, "a sequence number")?;
                    options.sequence = Some(number);
                }
                (OptionKind::Access, value) => {
                    options.access = Some(vocabulary::parse_access(value.unwrap_or(""), span)?);
                }
                (OptionKind::Flag(_, bit), _) => options.flags |= bit,
                (OptionKind::Number(name), value) => {
                    let number = parse_number(value.unwrap_or(""), span, "a number")?;
                    if BUFFERS.contains(&name) && number > CAPACITY_MAX {
                        let problem = format!("a buffer of more than {CAPACITY_MAX} bytes");
                        let advice = "write a smaller one, or a length without its buffer by `raw`";
                        return Err(Complaint::new(span, problem, advice));
                    }
                    options.numbers.insert(name, number);
                }
                (OptionKind::Byte(name), value) => {
                    let number: u8 = parse_number(value.unwrap_or(""), span, "a number")?;
                    options.numbers.insert(name, u32::from(number));
                }
            }
        }
        Ok(options)
    }

    /// Complains if words are left.
    pub fn end(&mut self) -> Result<(), Complaint> {
        match self.peek() {
            Some(_) if self.peek_bare() == Some(WITHIN) => {
                let (_, span) = self.bare("an option")?;
                Err(Complaint::new(span, format!("`{WITHIN}` cannot stand here"), ""))
            }
            _ => self.options(&[]).map(|_| ()),
        }
    }
}

fn bare(token: &Token) -> Option<&str> {
    match &token.kind {
        TokenKind::Bare(text) => Some(text),
        _ => None,
    }
}

/// Whether an option of this kind may begin with `name`, or `name=value`.
fn is_spelled(kind: OptionKind, name: &str, value: Option<&str>) -> bool {
    match kind {
        OptionKind::Layer => name == "in" && value.is_none(),
        OptionKind::Condition => name == "if" && value.is_none(),
        OptionKind::Like => name == "like" && value.is_none(),
        OptionKind::Through => name == "through" && value.is_none(),
        OptionKind::Sequence => name == "sequence" && value.is_some(),
        OptionKind::Access => name == "access" && value.is_some(),
        OptionKind::Flag(word, _) => name == word && value.is_none(),
        OptionKind::Number(word) | OptionKind::Byte(word) => name == word && value.is_some(),
    }
}

/// A decimal number, or a hexadecimal one after `0x`.
pub(super) fn parse_number<N: TryFrom<u64>>(
    text: &str,
    span: (usize, usize),
    what: &str,
) -> Result<N, Complaint> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |hex| (hex, 16));
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    let advice = "write digits, or 0x and hexadecimal digits";
    if !is_number {
        return Err(Complaint::new(span, format!("{what} must stand here"), advice));
    }
    u64::from_str_radix(digits, radix)
        .ok()
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| Complaint::new(span, "a number that is too large", "write a smaller one"))
}
