//! Reading one statement of a script of requests.

use super::descriptor;
use crate::plan::Text;
use crate::script::data::{parse_data, parse_hex};
use crate::script::error::Complaint;
use crate::script::token::{Token, TokenKind};
use crate::script::vocabulary::parse_value_type;
use crate::script::words::{Words, parse_number};
use crate::store_client::plan::{
    KeyName, PlannedOperation, PlannedRequest, StoreStep, TransactionName,
};

/// Every verb and how it is written.
const USAGES: &[(&str, &str)] = &[
    ("lookup", "lookup KEY NAME"),
    ("create-entry", "create-entry KEY NAME CHILD [in LAYER] at SEQUENCE"),
    ("hide-entry", "hide-entry KEY NAME [in LAYER] at SEQUENCE"),
    ("delete-entry", "delete-entry KEY NAME [in LAYER]"),
    ("enum-children", "enum-children KEY"),
    ("create-key", "create-key KEY PARENT NAME [sd SD] [volatile] [symlink]"),
    ("read-key", "read-key KEY"),
    ("write-key", "write-key KEY [sd SD] [time NANOSECONDS] [mask BITS]"),
    ("drop-key", "drop-key KEY"),
    ("query-values", "query-values KEY NAME|*"),
    ("set-value", "set-value KEY NAME TYPE DATA [in LAYER] at SEQUENCE [if SEQUENCE]"),
    ("delete-value", "delete-value KEY NAME [in LAYER]"),
    ("set-blanket", "set-blanket KEY [in LAYER] at SEQUENCE"),
    ("clear-blanket", "clear-blanket KEY [in LAYER] [at SEQUENCE]"),
    ("begin", "begin TRANSACTION read-write|read-only|N"),
    ("commit", "commit TRANSACTION"),
    ("abort", "abort TRANSACTION"),
    ("flush", "flush HIVE"),
    ("delete-layer", "delete-layer LAYER"),
    ("raw", "raw OPCODE [hex:PAYLOAD]"),
    ("await", "await LABEL"),
    ("pass", "pass TIME, such as 25s or 10ms"),
    ("kill", "kill"),
    ("stop", "stop"),
    ("start", "start"),
    ("compare", "compare"),
];

/// Units of time and their nanoseconds; a unit that ends in another one comes before it.
const UNITS: &[(&str, u64)] = &[("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];

/// What a statement is.
pub(super) enum Reading {
    /// A request.
    Request(PlannedRequest),
    /// Something else.
    Step(StoreStep),
}

/// Takes the words after a verb.
pub(super) fn parse(
    verb: &str,
    span: (usize, usize),
    words: &mut Words<'_>,
    hives: &[String],
) -> Result<Reading, Complaint> {
    let Some((_, usage)) = USAGES.iter().find(|(known, _)| *known == verb) else {
        let verbs: Vec<&str> = USAGES.iter().map(|(known, _)| *known).collect();
        let advice = format!("write one of {}", verbs.join(", "));
        return Err(Complaint::new(span, format!("no statement is called `{verb}`"), advice));
    };
    let reading = match verb {
        "await" | "pass" | "kill" | "stop" | "start" | "compare" => {
            world_step(verb, words).map(Reading::Step)
        }
        _ => Statement { words, hives }.request(verb).map(Reading::Request),
    };
    let reading = reading.and_then(|reading| words.end().map(|()| reading));
    reading.map_err(|complaint| complaint.or_advise(&format!("write `{usage}`")))
}

fn world_step(verb: &str, words: &mut Words<'_>) -> Result<StoreStep, Complaint> {
    Ok(match verb {
        "await" => StoreStep::Await { label: words.string("a label")? },
        "pass" => {
            let (text, span) = words.bare("a time")?;
            StoreStep::Pass { nanoseconds: parse_time(text, span)? }
        }
        "kill" => StoreStep::Kill,
        "stop" => StoreStep::Stop,
        "start" => StoreStep::Start,
        _ => StoreStep::Compare,
    })
}

fn parse_time(text: &str, span: (usize, usize)) -> Result<u64, Complaint> {
    let unit = UNITS.iter().find_map(|(unit, nanoseconds)| {
        text.strip_suffix(unit).map(|digits| (digits, *nanoseconds))
    });
    let (digits, unit) = unit.ok_or_else(|| Complaint::new(span, "a time without a unit", ""))?;
    let count: u64 = parse_number(digits, span, "a time")?;
    count.checked_mul(unit).ok_or_else(|| Complaint::new(span, "a time that is too long", ""))
}

/// A time as a word.
pub(super) fn time_word(nanoseconds: u64) -> String {
    let mut units = UNITS.iter().rev();
    let fitting = units.find(|(_, unit)| nanoseconds.is_multiple_of(*unit));
    fitting.map_or_else(String::new, |(name, unit)| format!("{}{name}", nanoseconds / unit))
}

/// What may follow the operands of a request.
#[derive(Default)]
struct Options {
    layer: Option<Text>,
    sequence: Option<u64>,
    expected_sequence: Option<u64>,
    security_descriptor: Option<Vec<u8>>,
    last_write_time: Option<u64>,
    undefined_mask_bits: u32,
    volatile_key: bool,
    symlink: bool,
    transaction: Option<TransactionName>,
    trailing: Vec<u8>,
}

impl Options {
    fn layer(&mut self) -> Text {
        self.layer.take().unwrap_or_else(|| Text::from("base"))
    }
}

/// The words of a request that have not been taken yet.
struct Statement<'a, 'b> {
    words: &'a mut Words<'b>,
    hives: &'a [String],
}

impl Statement<'_, '_> {
    fn request(&mut self, verb: &str) -> Result<PlannedRequest, Complaint> {
        let (operation, options) = match verb {
            "lookup" | "create-entry" | "hide-entry" | "delete-entry" | "enum-children" => {
                self.path_operation(verb)?
            }
            "create-key" | "read-key" | "write-key" | "drop-key" => self.key_operation(verb)?,
            "query-values" | "set-value" | "delete-value" | "set-blanket" | "clear-blanket" => {
                self.value_operation(verb)?
            }
            _ => self.other_operation(verb)?,
        };
        let Options { transaction, trailing, .. } = options;
        Ok(PlannedRequest { operation, transaction, trailing })
    }

    fn path_operation(&mut self, verb: &str) -> Result<(PlannedOperation, Options), Complaint> {
        let parent = self.key()?;
        if verb == "enum-children" {
            let options = self.options(&[])?;
            return Ok((PlannedOperation::EnumChildren { parent }, options));
        }
        let name = self.words.text("a name")?;
        Ok(match verb {
            "lookup" => {
                let options = self.options(&[])?;
                (PlannedOperation::Lookup { parent, name }, options)
            }
            "delete-entry" => {
                let mut options = self.options(&["in"])?;
                (PlannedOperation::DeleteEntry { parent, name, layer: options.layer() }, options)
            }
            "hide-entry" => {
                let mut options = self.options(&["in", "at"])?;
                let sequence = self.sequence(&options)?;
                let layer = options.layer();
                (PlannedOperation::HideEntry { parent, name, layer, sequence }, options)
            }
            _ => {
                let child = self.key()?;
                let mut options = self.options(&["in", "at"])?;
                let sequence = self.sequence(&options)?;
                let layer = options.layer();
                (PlannedOperation::CreateEntry { parent, name, layer, child, sequence }, options)
            }
        })
    }

    fn key_operation(&mut self, verb: &str) -> Result<(PlannedOperation, Options), Complaint> {
        let key = self.key()?;
        Ok(match verb {
            "create-key" => {
                let parent = self.key()?;
                let name = self.words.text("a name")?;
                let options = self.options(&["sd", "volatile", "symlink"])?;
                let given = options.security_descriptor.clone();
                let security_descriptor = given.unwrap_or_else(descriptor::default);
                let (volatile_key, symlink) = (options.volatile_key, options.symlink);
                let operation = PlannedOperation::CreateKey {
                    key,
                    parent,
                    name,
                    security_descriptor,
                    volatile_key,
                    symlink,
                };
                (operation, options)
            }
            "write-key" => {
                let options = self.options(&["sd", "time", "mask"])?;
                let operation = PlannedOperation::WriteKey {
                    key,
                    security_descriptor: options.security_descriptor.clone(),
                    last_write_time: options.last_write_time,
                    undefined_mask_bits: options.undefined_mask_bits,
                };
                (operation, options)
            }
            "read-key" => (PlannedOperation::ReadKey { key }, self.options(&[])?),
            _ => (PlannedOperation::DropKey { key }, self.options(&[])?),
        })
    }

    fn value_operation(&mut self, verb: &str) -> Result<(PlannedOperation, Options), Complaint> {
        let key = self.key()?;
        if matches!(verb, "set-blanket" | "clear-blanket") {
            let set = verb == "set-blanket";
            let mut options = self.options(&["in", "at"])?;
            let sequence =
                if set { self.sequence(&options)? } else { options.sequence.unwrap_or(0) };
            let layer = options.layer();
            let operation = PlannedOperation::SetBlanketTombstone { key, layer, set, sequence };
            return Ok((operation, options));
        }
        if verb == "query-values" && self.words.peek_bare() == Some("*") {
            self.words.expect("*")?;
            let options = self.options(&[])?;
            return Ok((PlannedOperation::QueryValues { key, name: None }, options));
        }
        let name = self.words.text("a value name")?;
        Ok(match verb {
            "query-values" => {
                let options = self.options(&[])?;
                (PlannedOperation::QueryValues { key, name: Some(name) }, options)
            }
            "delete-value" => {
                let mut options = self.options(&["in"])?;
                let layer = options.layer();
                (PlannedOperation::DeleteValueEntry { key, name, layer }, options)
            }
            _ => {
                let (word, span) = self.words.bare("a type")?;
                let value_type = parse_value_type(word, span)?;
                let data = parse_data(value_type, self.words)?;
                let mut options = self.options(&["in", "at", "if"])?;
                let sequence = self.sequence(&options)?;
                let layer = options.layer();
                let expected_sequence = options.expected_sequence.unwrap_or(0);
                let operation = PlannedOperation::SetValue {
                    key,
                    name,
                    layer,
                    value_type,
                    data,
                    sequence,
                    expected_sequence,
                };
                (operation, options)
            }
        })
    }

    fn other_operation(&mut self, verb: &str) -> Result<(PlannedOperation, Options), Complaint> {
        let operation = match verb {
            "begin" => {
                let transaction = self.transaction()?;
                let (word, span) = self.words.bare("a mode")?;
                let mode = match word {
                    "read-write" => 0,
                    "read-only" => 1,
                    number => parse_number(number, span, "a mode")?,
                };
                PlannedOperation::Begin { transaction, mode }
            }
            "commit" => PlannedOperation::Commit { transaction: self.transaction()? },
            "abort" => PlannedOperation::Abort { transaction: self.transaction()? },
            "flush" => PlannedOperation::Flush { hive: self.words.text("a hive")? },
            "delete-layer" => PlannedOperation::DeleteLayer { layer: self.words.text("a layer")? },
            _ => {
                let op_code = self.words.number("an op code")?;
                let is_payload =
                    self.words.peek_bare().is_some_and(|word| word.starts_with("hex:"));
                let payload = if is_payload { self.hex()? } else { Vec::new() };
                PlannedOperation::Raw { op_code, payload }
            }
        };
        Ok((operation, self.options(&[])?))
    }

    fn options(&mut self, allowed: &[&str]) -> Result<Options, Complaint> {
        let mut options = Options::default();
        let mut seen: Vec<&str> = Vec::new();
        while self.words.peek().is_some() {
            let (word, span) = self.words.bare("an option")?;
            if !allowed.contains(&word) && !["by", "extra"].contains(&word) {
                return Err(Complaint::new(span, format!("`{word}` cannot stand here"), ""));
            }
            if seen.contains(&word) {
                return Err(Complaint::new(span, format!("`{word}` is given twice"), "keep one"));
            }
            seen.push(word);
            self.option(word, &mut options)?;
        }
        Ok(options)
    }

    fn option(&mut self, word: &str, options: &mut Options) -> Result<(), Complaint> {
        match word {
            "in" => options.layer = Some(self.words.text("a layer")?),
            "at" => options.sequence = Some(self.words.number("a sequence number")?),
            "if" => options.expected_sequence = Some(self.words.number("a sequence number")?),
            "time" => options.last_write_time = Some(self.words.number("nanoseconds")?),
            "mask" => options.undefined_mask_bits = self.undefined_mask_bits()?,
            "volatile" => options.volatile_key = true,
            "symlink" => options.symlink = true,
            "by" => options.transaction = Some(self.transaction()?),
            "extra" => options.trailing = self.hex()?,
            _ => {
                let (word, span) = self.words.bare("a security descriptor")?;
                options.security_descriptor = Some(descriptor::parse_descriptor(word, span)?);
            }
        }
        Ok(())
    }

    /// Bits of a field mask beside those that follow from the fields.
    fn undefined_mask_bits(&mut self) -> Result<u32, Complaint> {
        let (word, span) = self.words.bare("bits of the mask")?;
        match parse_number(word, span, "bits of the mask")? {
            bits if bits & 3 == 0 => Ok(bits),
            _ => Err(Complaint::new(span, "bits 0 and 1 follow from `sd` and `time`", "")),
        }
    }

    /// The sequence number, which must have been given.
    fn sequence(&self, options: &Options) -> Result<u64, Complaint> {
        options.sequence.ok_or_else(|| self.words.missing("`at SEQUENCE`"))
    }

    fn key(&mut self) -> Result<KeyName, Complaint> {
        let Token { kind, span } = self.words.next("a key")?;
        let name = match kind {
            TokenKind::Bare(text) => text.clone(),
            TokenKind::Quoted(bytes) => String::from_utf8(bytes.clone()).unwrap_or_default(),
            TokenKind::Handle(_) | TokenKind::Actor(_) => String::new(),
        };
        if let Some(hive) = self.hives.iter().position(|hive| *hive == name) {
            return Ok(KeyName::Root(hive));
        }
        if let Some(digits) = name.strip_prefix("guid:") {
            let bytes = parse_hex(digits, *span)?;
            let bytes = bytes.try_into().map_err(|_| {
                Complaint::new(*span, "a GUID has 16 bytes", "write 32 digits after guid:")
            })?;
            return Ok(KeyName::Literal(bytes));
        }
        if name == "nil" {
            return Ok(KeyName::Nil);
        }
        if is_plain(&name) {
            return Ok(KeyName::Named(name));
        }
        let advice = "write a hive, a name of letters, digits, - and _, nil, or guid: and digits";
        Err(Complaint::new(*span, "this is no key", advice))
    }

    fn transaction(&mut self) -> Result<TransactionName, Complaint> {
        let (word, span) = self.words.bare("a transaction")?;
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(TransactionName::Number(parse_number(word, span, "a transaction")?));
        }
        if is_plain(word) {
            return Ok(TransactionName::Named(word.to_owned()));
        }
        Err(Complaint::new(span, "this is no transaction", "write a name such as t1, or a number"))
    }

    fn hex(&mut self) -> Result<Vec<u8>, Complaint> {
        let (word, span) = self.words.bare("hex: and bytes")?;
        let digits = word.strip_prefix("hex:");
        parse_hex(digits.ok_or_else(|| Complaint::new(span, "no bytes", "write hex:0a0b"))?, span)
    }
}

/// Letters, digits, hyphens and low lines, and at least one of them.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}
