//! The hives of sources as words: `NAME`, and `NAME@GUID` for a private hive of that scope.
//!
//! A global hive whose name holds an `@` is written with another one behind it.

use super::device::{guid_word, parse_guid};
use super::error::Complaint;
use super::token::word;
use super::words::Words;
use crate::plan::SourceHive;

/// Takes a hive.
pub(super) fn parse_hive(words: &mut Words<'_>) -> Result<SourceHive, Complaint> {
    let span = words.peek().map_or((0, 0), |token| token.span);
    let text = words.string("a hive")?;
    match text.rsplit_once('@') {
        None => Ok(SourceHive::global(&text)),
        Some((name, "")) => Ok(SourceHive::global(name)),
        Some((name, scope)) => {
            let scope = parse_guid(scope, span).map_err(|complaint| {
                let advice = "write NAME@GUID for a private hive, and an @ behind any other name \
                    that has one";
                Complaint { advice: advice.to_owned(), ..complaint }
            })?;
            Ok(SourceHive { name: name.to_owned(), scope: Some(scope) })
        }
    }
}

/// A hive as a word.
pub(super) fn hive_word(hive: &SourceHive) -> String {
    let name = &hive.name;
    let text = match &hive.scope {
        Some(scope) => format!("{name}@{}", guid_word(scope)),
        None if name.contains('@') => format!("{name}@"),
        None => name.clone(),
    };
    word(text.as_bytes())
}
