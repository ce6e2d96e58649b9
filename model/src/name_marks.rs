//! Which requirements on names a path or a name has shown.
//!
//! Marks the rules of PSD-005 §1.3, §2.3, §2.5 and §6.2 on strings where a particular string was
//! accepted, refused, matched or missed because of them. Decides nothing.

use crate::coverage::{Covered, covers};
use crate::errno::Errno;
use crate::limits::Limits;

/// Siblings that a missed name is compared with.
const SIBLINGS_MAX: usize = 1000;

/// A path was refused for its form, by the first rule that it breaks in the order of D-03. The key that it
/// starts from has this depth.
pub(crate) fn path_refused(
    path: &[u8],
    errno: Errno,
    limits: &Limits,
    depth: Option<u32>,
    covered: &mut Covered,
) {
    let Ok(text) = std::str::from_utf8(path) else {
        covers!(covered, "SYS-42", "ERR-16", "CONV-10", "CONV-12", "CONV-17");
        return;
    };
    if errno == Errno::ENAMETOOLONG {
        covers!(covered, "ERR-19");
        if text.len() > limits.max_total_path_length as usize {
            covers!(covered, "SYS-28", "CONF-09");
            limits.mark_changed(|limits| limits.max_total_path_length, covered);
        } else {
            covers!(covered, "SYS-29", "CONF-08");
            limits.mark_changed(|limits| limits.max_path_component_length, covered);
            let limit = limits.max_path_component_length as usize;
            let too_long = text.split(is_separator).find(|component| component.len() > limit);
            length(too_long.unwrap_or_default(), limits, covered);
        }
        return;
    }
    covers!(covered, "SYS-42", "ERR-16");
    if text.contains('\0') {
        covers!(covered, "CONV-19", "KEY-40");
    } else if !text.is_empty() {
        let depth_max = limits.max_key_depth.saturating_sub(depth.unwrap_or(0));
        misplaced_separator_or_depth(text, depth_max as usize, limits, covered);
    }
}

/// A path has an empty component, too many of them, or a separator at its end.
fn misplaced_separator_or_depth(
    text: &str,
    depth_max: usize,
    limits: &Limits,
    covered: &mut Covered,
) {
    let components = text.strip_suffix(is_separator).unwrap_or(text).split(is_separator);
    match components.clone().take(depth_max.saturating_add(1)).position(str::is_empty) {
        Some(0) => covers!(covered, "CONV-46", "KEY-41"),
        Some(_) => covers!(covered, "CONV-44", "SYS-26", "KEY-41"),
        None if components.count() > depth_max => {
            covers!(covered, "SYS-44", "CONF-07");
            limits.mark_changed(|limits| limits.max_key_depth, covered);
            return;
        }
        None => covers!(covered, "CONV-45", "SYS-27"),
    }
    if text.contains('/') {
        covers!(covered, "CONV-47");
    }
}

/// A path was accepted as to its form.
pub(crate) fn path_accepted(path: &[u8], limits: &Limits, covered: &mut Covered) {
    if path.contains(&b'/') {
        covers!(covered, "CONV-26", "CONV-27", "SYS-19", "KEY-39");
    }
    if path.len() == limits.max_total_path_length as usize {
        covers!(covered, "CONV-21", "SYS-28");
    }
    if path.len() >= limits.max_path_component_length as usize
        && let Ok(text) = std::str::from_utf8(path)
    {
        component_lengths(text, limits, covered);
    }
}

/// A component at the limit or just past it, of which the bytes count.
fn component_lengths(text: &str, limits: &Limits, covered: &mut Covered) {
    for component in text.split(is_separator) {
        length(component, limits, covered);
    }
}

/// A name for whose length bytes and characters disagree (CONV-20).
fn length(name: &str, limits: &Limits, covered: &mut Covered) {
    let limit = limits.max_path_component_length as usize;
    if name.len() == limit {
        covers!(covered, "SYS-29");
    }
    if name.len() > limit && name.chars().count() <= limit {
        covers!(covered, "CONV-20");
    }
}

/// A value name was refused.
pub(crate) fn value_name_refused(
    name: &[u8],
    errno: Errno,
    limits: &Limits,
    covered: &mut Covered,
) {
    let text = std::str::from_utf8(name);
    if errno == Errno::ENAMETOOLONG {
        covers!(covered, "IOC-047", "ERR-19", "CONF-08");
        limits.mark_changed(|limits| limits.max_path_component_length, covered);
        if let Ok(text) = text {
            length(text, limits, covered);
        }
        return;
    }
    match text {
        Err(_) => covers!(covered, "CONV-10", "CONV-13", "CONV-18", "VAL-54"),
        Ok(text) => {
            covers!(covered, "CONV-19", "VAL-53");
            if text.ends_with('\0') {
                covers!(covered, "CONV-25");
            }
        }
    }
}

/// A layer name was refused.
pub(crate) fn layer_name_refused(name: &[u8], errno: Errno, covered: &mut Covered) {
    if errno == Errno::ENAMETOOLONG {
        covers!(covered, "LAYER-05");
        return;
    }
    match std::str::from_utf8(name) {
        Err(_) => covers!(covered, "CONV-10", "CONV-14"),
        Ok(text) if text.contains('\0') => covers!(covered, "CONV-19"),
        Ok(_) => {}
    }
}

/// A name was given to a new key.
pub(crate) fn key_named(name: &str, covered: &mut Covered) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.chars().all(plain) {
        covers!(covered, "KEY-42");
    }
    if name.eq_ignore_ascii_case("currentuser") {
        covers!(covered, "HIVE-11");
    }
}

/// A stored name was found by another spelling.
pub(crate) fn spellings_matched(stored: &str, given: &str, covered: &mut Covered) {
    if stored.is_ascii() && given.is_ascii() {
        return;
    }
    covers!(covered, "CONV-11", "CONV-48");
    let both = || stored.chars().chain(given.chars());
    if both().any(|c| "\u{1E9E}\u{1F88}\u{1FBC}".contains(c)) {
        covers!(covered, "CONV-51");
    }
    if both().any(is_new_in_unicode_16) {
        covers!(covered, "CONV-49");
    }
}

/// A name was not found among its siblings, though one of them is alike in a way that does not
/// count: under multi-character folding, the Turkic mappings, or normalisation.
pub(crate) fn missed<'a>(
    name: &str,
    siblings: impl Iterator<Item = &'a str>,
    covered: &mut Covered,
) {
    if name.is_ascii() {
        return;
    }
    for sibling in siblings.take(SIBLINGS_MAX) {
        if name.replace('ß', "ss") == *sibling {
            covers!(covered, "CONV-51");
        }
        if name.replace(['ı', 'İ'], "i") == *sibling {
            covers!(covered, "CONV-52");
        }
        if is_composed_alike(sibling, name) || is_composed_alike(name, sibling) {
            covers!(covered, "CONV-53");
        }
    }
}

/// Whether `composed` may be `decomposed` with letters and combining marks put together.
fn is_composed_alike(composed: &str, decomposed: &str) -> bool {
    let is_mark = |c: char| ('\u{300}'..='\u{36F}').contains(&c);
    if !decomposed.contains(is_mark) {
        return false;
    }
    let mut composed = composed.chars();
    let mut rest = decomposed.chars().peekable();
    while let Some(letter) = rest.next() {
        let marked = rest.next_if(|c| is_mark(*c)).is_some();
        match composed.next() {
            Some(c) if marked && !c.is_ascii() && !is_mark(c) => {}
            Some(c) if !marked && c == letter => {}
            _ => return false,
        }
    }
    composed.next().is_none()
}

/// Code points with a folding that Unicode 16.0 added.
fn is_new_in_unicode_16(c: char) -> bool {
    matches!(c,
        '\u{1C89}'..='\u{1C8A}'
        | '\u{A7CB}'..='\u{A7CD}'
        | '\u{A7DA}'..='\u{A7DC}'
        | '\u{10D50}'..='\u{10D85}')
}

fn is_separator(character: char) -> bool {
    matches!(character, '\\' | '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(mark: impl FnOnce(&mut Covered)) -> Vec<&'static str> {
        let mut covered = Covered::new();
        mark(&mut covered);
        covered.iter().collect()
    }

    fn refused(path: &[u8]) -> Vec<&'static str> {
        ids(|covered| path_refused(path, Errno::EINVAL, &Limits::default(), None, covered))
    }

    #[test]
    fn a_refused_path_shows_the_rule_that_it_breaks() {
        assert!(refused(b"a\\\\b").contains(&"CONV-44"));
        assert!(refused(b"a//").contains(&"CONV-47"));
        assert!(refused(b"a\\").contains(&"CONV-45"));
        assert!(refused(b"\\a").contains(&"CONV-46"));
        assert!(refused(b"a\xFF").contains(&"CONV-12"));
        assert!(refused(b"a\0").contains(&"CONV-19"));
    }

    #[test]
    fn of_several_rules_the_first_one_broken_is_shown() {
        let both = refused(b"a\\\\b\\");
        assert!(both.contains(&"CONV-44") && !both.contains(&"CONV-45"), "{both:?}");
        let limits = Limits { max_key_depth: 2, ..Limits::default() };
        let below = |depth, path: &[u8]| {
            ids(|covered| path_refused(path, Errno::EINVAL, &limits, Some(depth), covered))
        };
        assert!(below(1, b"a\\b").contains(&"SYS-44"));
        assert!(below(1, b"a\\\\b").contains(&"CONV-44"));
        assert!(below(0, b"a\\b\\").contains(&"CONV-45"));
    }

    #[test]
    fn a_miss_shows_the_likeness_that_does_not_count() {
        let miss = |name, sibling| ids(|covered| missed(name, [sibling].into_iter(), covered));
        assert_eq!(miss("straße", "strasse"), ["CONV-51"]);
        assert_eq!(miss("tıtle", "title"), ["CONV-52"]);
        assert_eq!(miss("cafe\u{301}", "café"), ["CONV-53"]);
        assert_eq!(miss("café", "cafe\u{301}"), ["CONV-53"]);
        assert_eq!(miss("café", "cafe"), [""; 0]);
    }
}
