//! Records put into a store, as text: `store entry ...` and `store maximum ...`.
//!
//! Names and layers are texts that a store can hold, so they are UTF-8; nothing else is asked of
//! them here.

use registry_model::store_entry::{
    StoreEntry, StoredKey, StoredRecord, StoredSequence, StoredTarget,
};

use super::data;
use super::descriptor::{descriptor_word, parse_descriptor};
use super::error::Complaint;
use super::print::Line;
use super::vocabulary::parse_value_type;
use super::words::{OptionKind, Options, Words};
use crate::plan::Fault;

pub(super) const USAGE: &str = "write `store entry PATH WHAT [in LAYER] [sequence=N | like LAYER] \
    [through LAYER]`, where WHAT is `value NAME TYPE DATA`, `blanket`, `child NAME \
    hidden|key|link|missing|of LAYER`, `descriptor SDDL|hex:...` or `lost`, or `store maximum [source \
    N] SEQUENCE`";

/// The type whose data is bytes.
const BINARY: u32 = 3;

/// Takes what follows `store entry`.
pub(super) fn parse_store_entry(words: &mut Words<'_>) -> Result<Fault, Complaint> {
    let path = words.string("a path")?;
    let path = path.split(['\\', '/']).map(str::to_owned).collect();
    let (what, span) = words.bare("`value`, `blanket`, `child`, `descriptor` or `lost`")?;
    let (record, mut options) = match what {
        "value" => value(words)?,
        "blanket" => {
            let mut options = entry_options(words)?;
            let (layer, sequence) = layer_and_sequence(&mut options)?;
            (StoredRecord::Blanket { layer, sequence }, options)
        }
        "child" => child(words)?,
        "descriptor" => {
            let bytes = match words.peek_bare() {
                // Long bytes of one kind have a form of their own.
                Some(text) if text.starts_with("bytes:") => data::parse_data(BINARY, words)?,
                _ => parse_descriptor(words)?,
            };
            (StoredRecord::Descriptor { bytes }, words.options(&[OptionKind::Through])?)
        }
        "lost" => (StoredRecord::Lost, words.options(&[OptionKind::Through])?),
        _ => return Err(Complaint::new(span, format!("`{what}` cannot stand here"), "")),
    };
    let through = options.through.take();
    Ok(Fault::StoreEntry(StoreEntry { key: StoredKey { path, through }, record }))
}

fn value(words: &mut Words<'_>) -> Result<(StoredRecord, Options), Complaint> {
    let name = words.string("a value name")?;
    let (type_word, span) = words.bare("a value type")?;
    let value_type = parse_value_type(type_word, span)?;
    let data = data::parse_data(value_type, words)?;
    let mut options = entry_options(words)?;
    let (layer, sequence) = layer_and_sequence(&mut options)?;
    Ok((StoredRecord::Value { name, layer, value_type, data, sequence }, options))
}

fn child(words: &mut Words<'_>) -> Result<(StoredRecord, Options), Complaint> {
    let name = words.string("a name")?;
    let (target, span) = words.bare("`hidden`, `key`, `link`, `missing` or `of`")?;
    let target = match target {
        "hidden" => StoredTarget::Hidden,
        "key" => StoredTarget::Key { symlink: false },
        "link" => StoredTarget::Key { symlink: true },
        "missing" => StoredTarget::Missing,
        "of" => StoredTarget::Of(words.string("a layer")?),
        _ => return Err(Complaint::new(span, format!("`{target}` cannot stand here"), "")),
    };
    let mut options = entry_options(words)?;
    let (layer, sequence) = layer_and_sequence(&mut options)?;
    Ok((StoredRecord::Child { name, layer, target, sequence }, options))
}

fn entry_options(words: &mut Words<'_>) -> Result<Options, Complaint> {
    let kinds = [OptionKind::Layer, OptionKind::Sequence, OptionKind::Like, OptionKind::Through];
    words.options(&kinds)
}

/// Base and 0 where nothing is said.
fn layer_and_sequence(options: &mut Options) -> Result<(String, StoredSequence), Complaint> {
    let layer = match options.layer.take() {
        None => "base".to_owned(),
        Some(layer) => String::from_utf8(layer.0).map_err(|_| {
            let advice = "write it without such bytes";
            Complaint::new((0, 0), "the layer of a stored entry must be UTF-8", advice)
        })?,
    };
    let sequence = match options.like.take() {
        Some(layer) => StoredSequence::Of(layer),
        None => StoredSequence::Number(options.sequence.unwrap_or(0)),
    };
    Ok((layer, sequence))
}

/// The line of a record.
pub(super) fn store_entry_words(entry: &StoreEntry) -> String {
    let line = Line::new("store entry").text(entry.key.path.join("\\").as_bytes());
    let line = match &entry.record {
        StoredRecord::Value { name, layer, value_type, data, sequence } => {
            let line = line.raw("value").text(name.as_bytes());
            let line = line.raw(&data::typed_words(*value_type, data));
            tagged(line, layer, sequence)
        }
        StoredRecord::Blanket { layer, sequence } => tagged(line.raw("blanket"), layer, sequence),
        StoredRecord::Child { name, layer, target, sequence } => {
            let line = line.raw("child").text(name.as_bytes());
            let line = match target {
                StoredTarget::Hidden => line.raw("hidden"),
                StoredTarget::Key { symlink: false } => line.raw("key"),
                StoredTarget::Key { symlink: true } => line.raw("link"),
                StoredTarget::Missing => line.raw("missing"),
                StoredTarget::Of(of) => line.raw("of").text(of.as_bytes()),
            };
            tagged(line, layer, sequence)
        }
        StoredRecord::Descriptor { bytes } => {
            let line = line.raw("descriptor");
            let words = data::data_words(BINARY, bytes);
            line.raw(&if words.starts_with("bytes:") { words } else { descriptor_word(bytes) })
        }
        StoredRecord::Lost => line.raw("lost"),
    };
    match &entry.key.through {
        Some(through) => line.raw("through").text(through.as_bytes()).end(),
        None => line.end(),
    }
}

fn tagged(line: Line, layer: &str, sequence: &StoredSequence) -> Line {
    let line = if layer == "base" { line } else { line.raw("in").text(layer.as_bytes()) };
    match sequence {
        StoredSequence::Number(number) => line.raw(&format!("sequence={number}")),
        StoredSequence::Of(layer) => line.raw("like").text(layer.as_bytes()),
    }
}
