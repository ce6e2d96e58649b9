//! Twisted calls and calls spelled out in numbers and bytes, as text.

use super::data::{hex, parse_hex};
use super::error::Complaint;
use super::parse_action::parse_action;
use super::print::{action_words, handle_word};
use super::token::{TokenKind, quoted};
use super::words::{Words, parse_number};
use crate::plan::{Action, RawArgument, Text};
use crate::twist::{FdReference, Layout, Pointer, PointerFault, Twist};
use registry_model::input::Fd;

/// Arguments of a syscall at most.
const ARGUMENTS_MAX: usize = 6;
/// Words for the direction bits of a request code, in the order of their numbers.
const DIRECTIONS: [&str; 4] = ["none", "write", "read", "both"];

/// Takes what follows `raw`: twists, a colon, and the action whose call they change.
pub(super) fn parse_raw(words: &mut Words<'_>) -> Result<Action, Complaint> {
    let mut twists = Vec::new();
    while words.peek_bare() != Some(":") {
        let (word, span) = words.bare("a twist or `:`")?;
        twists.push((parse_twist(word, span, words)?, span));
    }
    words.expect(":")?;
    let (verb, verb_span) = words.bare("an action")?;
    let action = parse_action(verb, verb_span, words)?;
    let layout = Layout::of(&action).ok_or_else(|| {
        let advice = "twist an action that makes one call, such as `get`";
        Complaint::new(verb_span, format!("`{verb}` is not about one call"), advice)
    })?;
    for (twist, span) in &twists {
        if !layout.has(twist) {
            let problem = format!("the call of `{verb}` has nothing to change here");
            return Err(Complaint::new(*span, problem, "leave the twist out"));
        }
    }
    let twists = twists.into_iter().map(|(twist, _)| twist).collect();
    Ok(Action::Raw { twists, action: Box::new(action) })
}

/// Takes what follows `ioctl`.
pub(super) fn parse_ioctl(words: &mut Words<'_>) -> Result<Action, Complaint> {
    let fd = match words.handle_reference() {
        Some(handle) => FdReference::Handle(handle),
        None => {
            let (number, span) = words.bare("an fd or @handle")?;
            FdReference::Number(parse_fd(number, span)?)
        }
    };
    let request = words.number("a request code")?;
    let structure = match words.peek() {
        None => None,
        Some(_) => {
            let (word, span) = words.bare("the bytes of the argument")?;
            Some(parse_bytes(word, span)?)
        }
    };
    Ok(Action::Ioctl { fd, request, structure })
}

/// Takes what follows `syscall`.
pub(super) fn parse_syscall(words: &mut Words<'_>) -> Result<Action, Complaint> {
    let number = words.number("the number of a syscall")?;
    let mut arguments = Vec::new();
    while let Some(token) = words.peek() {
        if arguments.len() == ARGUMENTS_MAX {
            let problem = format!("more than {ARGUMENTS_MAX} arguments");
            return Err(Complaint::new(token.span, problem, "leave the others out"));
        }
        words.next("an argument")?;
        arguments.push(match &token.kind {
            TokenKind::Handle(handle) => RawArgument::Handle(handle.clone()),
            TokenKind::Quoted(bytes) => RawArgument::String(Text(bytes.clone())),
            TokenKind::Bare(word) if word.starts_with("hex:") => {
                RawArgument::Bytes(parse_bytes(word, token.span)?)
            }
            TokenKind::Bare(word) | TokenKind::Actor(word) => {
                RawArgument::Number(parse_number(word, token.span, "an argument")?)
            }
        });
    }
    Ok(Action::Syscall { number, arguments })
}

fn parse_twist(
    word: &str,
    span: (usize, usize),
    words: &mut Words<'_>,
) -> Result<Twist, Complaint> {
    let Some((name, value)) = word.split_once('=') else {
        let handle = |words: &mut Words<'_>| {
            words.handle_reference().map(FdReference::Handle).ok_or_else(|| {
                let advice = format!("write {word}=N, or {word} @h");
                Complaint::new(span, format!("a handle must follow `{word}`"), advice)
            })
        };
        return match word {
            "fd" => Ok(Twist::Fd(handle(words)?)),
            "transaction" => Ok(Twist::Transaction(handle(words)?)),
            _ => Err(Complaint::new(span, format!("no twist is written `{word}`"), "")),
        };
    };
    if let Some((_, pointer)) = Pointer::ALL.iter().find(|(known, _)| *known == name) {
        return Ok(Twist::Pointer { pointer: *pointer, fault: parse_fault(value, span)? });
    }
    match name {
        "bytes" => {
            let (offset, digits) = parts(value, span, "bytes=OFFSET:HEX")?;
            let bytes = parse_hex(digits, span)?;
            Ok(Twist::Bytes { offset: parse_number(offset, span, "an offset")?, bytes })
        }
        "register" => {
            let (index, number) = parts(value, span, "register=INDEX:N")?;
            let index = parse_number(index, span, "the index of a register")?;
            Ok(Twist::Register { index, value: parse_number(number, span, "a register")? })
        }
        "number" => Ok(Twist::Number(parse_number(value, span, "the number of a syscall")?)),
        "request" => Ok(Twist::Request(parse_number(value, span, "a request code")?)),
        "size" => Ok(Twist::Size(parse_number(value, span, "a size")?)),
        "direction" => {
            let known = DIRECTIONS.iter().position(|direction| *direction == value);
            let direction = known.and_then(|index| u8::try_from(index).ok());
            direction.map(Twist::Direction).ok_or_else(|| {
                let advice = format!("write one of {}", DIRECTIONS.join(", "));
                Complaint::new(span, format!("no direction is called `{value}`"), advice)
            })
        }
        "fd" => Ok(Twist::Fd(FdReference::Number(parse_fd(value, span)?))),
        "transaction" => Ok(Twist::Transaction(FdReference::Number(parse_fd(value, span)?))),
        _ => Err(Complaint::new(span, format!("no twist is called `{name}`"), "")),
    }
}

fn parts<'a>(
    value: &'a str,
    span: (usize, usize),
    form: &str,
) -> Result<(&'a str, &'a str), Complaint> {
    value
        .split_once(':')
        .ok_or_else(|| Complaint::new(span, "a colon is missing", format!("write {form}")))
}

fn parse_fault(text: &str, span: (usize, usize)) -> Result<PointerFault, Complaint> {
    match text {
        "null" => Ok(PointerFault::Null),
        "unmapped" => Ok(PointerFault::Unmapped),
        "read-only" => Ok(PointerFault::ReadOnly),
        _ => match text.strip_prefix("cut:") {
            Some(length) => Ok(PointerFault::Cut(parse_number(length, span, "a length")?)),
            None => {
                let advice = "write one of null, unmapped, read-only, cut:BYTES";
                Err(Complaint::new(span, format!("no pointer is `{text}`"), advice))
            }
        },
    }
}

/// A number that may be negative.
fn parse_fd(text: &str, span: (usize, usize)) -> Result<Fd, Complaint> {
    match text.strip_prefix('-') {
        Some(digits) => {
            let number: u32 = parse_number(digits, span, "an fd")?;
            0i32.checked_sub_unsigned(number).ok_or_else(|| {
                Complaint::new(span, "a number that is too small", "write a larger one")
            })
        }
        None => parse_number(text, span, "an fd"),
    }
}

fn parse_bytes(word: &str, span: (usize, usize)) -> Result<Vec<u8>, Complaint> {
    match word.strip_prefix("hex:") {
        Some(digits) => parse_hex(digits, span),
        None => Err(Complaint::new(span, "bytes must stand here", "write hex: and digits")),
    }
}

/// The line of a twisted call or of one spelled out; of any other action, nothing.
pub(super) fn raw_words(action: &Action) -> String {
    match action {
        Action::Raw { twists, action } => {
            let twists: String =
                twists.iter().map(|twist| format!("{} ", twist_words(twist))).collect();
            format!("raw {twists}: {}", action_words(action))
        }
        Action::Ioctl { fd, request, structure } => {
            let fd = match fd {
                FdReference::Number(fd) => fd.to_string(),
                FdReference::Handle(handle) => handle_word(handle),
            };
            let structure = structure.as_ref().map(|bytes| format!(" hex:{}", hex(bytes)));
            format!("ioctl {fd} {request:#x}{}", structure.unwrap_or_default())
        }
        Action::Syscall { number, arguments } => {
            let arguments: String =
                arguments.iter().map(|argument| format!(" {}", argument_word(argument))).collect();
            format!("syscall {number}{arguments}")
        }
        _ => String::new(),
    }
}

fn argument_word(argument: &RawArgument) -> String {
    match argument {
        RawArgument::Number(number) => format!("{number:#x}"),
        RawArgument::Handle(handle) => handle_word(handle),
        RawArgument::Bytes(bytes) => format!("hex:{}", hex(bytes)),
        RawArgument::String(text) => quoted(&text.0),
    }
}

fn twist_words(twist: &Twist) -> String {
    match twist {
        Twist::Bytes { offset, bytes } => format!("bytes={offset}:{}", hex(bytes)),
        Twist::Register { index, value } => format!("register={index}:{value:#x}"),
        Twist::Number(number) => format!("number={number}"),
        Twist::Request(request) => format!("request={request:#x}"),
        Twist::Direction(direction) => {
            format!("direction={}", DIRECTIONS[usize::from(*direction & 3)])
        }
        Twist::Size(size) => format!("size={size}"),
        Twist::Fd(FdReference::Number(fd)) => format!("fd={fd}"),
        Twist::Fd(FdReference::Handle(handle)) => format!("fd {}", handle_word(handle)),
        Twist::Transaction(FdReference::Number(fd)) => format!("transaction={fd}"),
        Twist::Transaction(FdReference::Handle(handle)) => {
            format!("transaction {}", handle_word(handle))
        }
        Twist::Pointer { pointer, fault } => {
            let known = Pointer::ALL.iter().find(|(_, known)| known == pointer);
            let name = known.map_or("", |(name, _)| *name);
            match fault {
                PointerFault::Null => format!("{name}=null"),
                PointerFault::Unmapped => format!("{name}=unmapped"),
                PointerFault::ReadOnly => format!("{name}=read-only"),
                PointerFault::Cut(length) => format!("{name}=cut:{length}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use crate::script::{parse, print};

    fn check_print(text: &str, canonical: Expect) {
        let script = parse(text, "test.lcs").unwrap_or_else(|error| panic!("{error}"));
        canonical.assert_eq(&print(&script.plan));
    }

    fn check_error(text: &str, message: Expect) {
        message.assert_eq(&parse(text, "test.lcs").expect_err("an error").to_string());
    }

    #[test]
    fn twists_and_calls_in_numbers_have_a_canonical_form() {
        check_print(
            r#"
            actor alice system
            raw : get @h x
            alice: raw bytes=52:0100 transaction=-2 data=cut:3 : get Machine\A x data=8
            raw fd @g argument=read-only direction=read size=40 : batch @h
            raw register=0:0x1ffffffff number=1103 path=unmapped : open h = Machine
            raw transaction @h : delete @g in gpo
            raw request=7 fd=12 layer=null : hide @g
            ioctl @h 0x520D
            ioctl -1 0xC0185204 hex:0001
            syscall 1100 @h "A\\B" 0x20019 hex:00 7
            "#,
            expect![[r#"
                actor alice system
                raw : get @h x
                raw bytes=52:0100 transaction=-2 data=cut:3 : get Machine\A x data=8
                raw fd @g argument=read-only direction=read size=40 : batch @h
                raw register=0:0x1ffffffff number=1103 path=unmapped : open h = Machine access=all
                raw transaction @h : delete @g in gpo
                raw request=0x7 fd=12 layer=null : hide @g
                ioctl @h 0x520d
                ioctl -1 0xc0185204 hex:0001
                syscall 1100 @h "A\\B" 0x20019 hex:00 0x7
            "#]],
        );
    }

    #[test]
    fn a_twist_that_the_call_has_no_room_for_is_refused() {
        check_error(
            "raw path=null : get @h x",
            expect![[r#"
            test.lcs:1:5: the call of `get` has nothing to change here
             1 | raw path=null : get @h x
               |     ^^^^^^^^^
               = leave the twist out"#]],
        );
    }

    #[test]
    fn an_action_of_several_calls_cannot_be_twisted() {
        check_error(
            "raw bytes=0:01 : list @h",
            expect![[r#"
            test.lcs:1:18: `list` is not about one call
             1 | raw bytes=0:01 : list @h
               |                  ^^^^
               = twist an action that makes one call, such as `get`"#]],
        );
    }

    #[test]
    fn a_fault_that_no_pointer_has_is_refused() {
        check_error(
            "raw name=gone : get @h x",
            expect![[r#"
            test.lcs:1:5: no pointer is `gone`
             1 | raw name=gone : get @h x
               |     ^^^^^^^^^
               = write one of null, unmapped, read-only, cut:BYTES"#]],
        );
    }
}
