//! Names: how they are validated, folded and taken out of paths.
//!
//! States PSD-005 §1.3 (strings, registry paths), §2.3 (naming rules, case comparison), the name
//! rules of §2.5 and §2.6, and D-01 to D-05. Does not know what a name stands for, and resolves
//! nothing.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::errno::Errno;
use crate::fold_table::fold_character;
use crate::limits::Limits;

/// Folds a string code point by code point (§2.3, CONV-11, CONV-48).
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().map(fold_character).collect()
}

/// The identity of a name: its folded form. Two names are the same exactly when these are equal.
/// Use it as the key of a map. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldedName(Arc<str>);

impl FoldedName {
    /// The identity of the name spelled `text`. Validates nothing.
    pub fn of(text: &str) -> FoldedName {
        FoldedName(fold(text).into())
    }

    /// The folded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for FoldedName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FoldedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! name_type {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        ///
        /// Keeps the spelling and the identity. `==` and the order look at both, the identity
        /// first; compare `folded()` to ask whether two names are the same. Cheap to clone.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            folded: FoldedName,
            spelling: Arc<str>,
        }

        impl $name {
            /// The name as a store has it, which may break the rules of its kind.
            pub(crate) fn stored(text: &str) -> $name {
                $name::of_valid(text)
            }

            fn of_valid(text: &str) -> $name {
                let spelling: Arc<str> = text.into();
                let folded = fold(text);
                let folded = if *folded == *text { spelling.clone() } else { folded.into() };
                $name { folded: FoldedName(folded), spelling }
            }

            /// The name as it was given.
            pub fn spelling(&self) -> &str {
                &self.spelling
            }

            /// What the name is compared by.
            pub fn folded(&self) -> &FoldedName {
                &self.folded
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.spelling)
            }
        }
    };
}

name_type! {
    /// The name of a key or of a hive: one path component (§2.3).
    KeyName
}
name_type! {
    /// The name of a value; the empty one is the default value's (§2.5).
    ValueName
}
name_type! {
    /// The name of a layer, under the same rules as a key's (§2.6, D-05).
    LayerName
}

impl KeyName {
    /// The name in `bytes` as one component by itself, for instance a hive's name.
    ///
    /// # Errors
    ///
    /// EINVAL for ill-formed UTF-8, an empty name, a separator or a null byte; then ENAMETOOLONG
    /// above `MaxPathComponentLength`.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<KeyName, Errno> {
        let text = string(bytes)?;
        if text.is_empty() || text.contains(is_separator) {
            return Err(Errno::EINVAL);
        }
        check_length(text, limits)?;
        Ok(KeyName::of_valid(text))
    }
}

impl LayerName {
    /// The name in `bytes`.
    ///
    /// # Errors
    ///
    /// Those of [`KeyName::parse`] (D-05, LAYER-05).
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<LayerName, Errno> {
        KeyName::parse(bytes, limits).map(LayerName::from)
    }

    /// The layer `base`, which always exists (§2.6, IOC-024).
    pub fn base() -> LayerName {
        LayerName::of_valid("base")
    }
}

/// A layer is named by its metadata key (§2.6).
impl From<KeyName> for LayerName {
    fn from(name: KeyName) -> LayerName {
        LayerName { folded: name.folded, spelling: name.spelling }
    }
}

impl ValueName {
    /// The name in `bytes`. Separators mean nothing in it and are kept as they are (VAL-50 to
    /// VAL-52).
    ///
    /// # Errors
    ///
    /// EINVAL for ill-formed UTF-8 or a null byte; then ENAMETOOLONG above
    /// `MaxPathComponentLength`.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<ValueName, Errno> {
        let text = string(bytes)?;
        check_length(text, limits)?;
        Ok(ValueName::of_valid(text))
    }

    /// Whether this is the name of the default value (VAL-55).
    pub fn is_default(&self) -> bool {
        self.spelling.is_empty()
    }
}

/// The components of the path in `bytes`, which stand without a terminator.
///
/// `depth_of_parent` is `None` for an absolute path, whose first component is the hive; for a
/// relative one it is the depth of the key that the path starts from, the hive's root being at
/// depth 1 (D-02).
///
/// # Errors
///
/// In the order of D-03: EINVAL for ill-formed UTF-8, a null byte, or an empty path; ENAMETOOLONG
/// above `MaxTotalPathLength`; then component by component from the left, EINVAL if it is empty,
/// ENAMETOOLONG above `MaxPathComponentLength`, EINVAL below `MaxKeyDepth` levels; and last EINVAL
/// for a trailing separator.
pub fn parse_path(
    bytes: &[u8],
    limits: &Limits,
    depth_of_parent: Option<u32>,
) -> Result<Vec<KeyName>, Errno> {
    let text = string(bytes)?;
    if text.is_empty() {
        return Err(Errno::EINVAL);
    }
    if exceeds(text.len(), limits.max_total_path_length) {
        return Err(Errno::ENAMETOOLONG);
    }
    // A path that is nothing but one separator has an empty first component, not a trailing
    // separator; both are EINVAL.
    let (text, trailing_separator) = match text.strip_suffix(is_separator) {
        Some(before) => (before, true),
        None => (text, false),
    };
    let mut depth = depth_of_parent.unwrap_or(0);
    let mut components = Vec::new();
    for component in text.split(is_separator) {
        depth = depth.saturating_add(1);
        components.push(path_component(component, depth, limits)?);
    }
    if trailing_separator {
        return Err(Errno::EINVAL);
    }
    Ok(components)
}

fn path_component(text: &str, depth: u32, limits: &Limits) -> Result<KeyName, Errno> {
    if text.is_empty() {
        return Err(Errno::EINVAL);
    }
    check_length(text, limits)?;
    if depth > limits.max_key_depth {
        return Err(Errno::EINVAL);
    }
    Ok(KeyName::of_valid(text))
}

/// What §1.3 asks of every string: UTF-8 without null bytes.
fn string(bytes: &[u8]) -> Result<&str, Errno> {
    let text = std::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    if text.contains('\0') { Err(Errno::EINVAL) } else { Ok(text) }
}

/// A forward slash on input is a backslash (§1.3, CONV-27).
fn is_separator(character: char) -> bool {
    matches!(character, '\\' | '/')
}

fn check_length(text: &str, limits: &Limits) -> Result<(), Errno> {
    if exceeds(text.len(), limits.max_path_component_length) {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(())
}

/// Limits count bytes of UTF-8 (CONV-20).
fn exceeds(length: usize, limit: u32) -> bool {
    u32::try_from(length).map_or(true, |length| length > limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Result<Vec<String>, Errno> {
        path_with(text.as_bytes(), &Limits::default(), None)
    }

    fn path_with(
        bytes: &[u8],
        limits: &Limits,
        depth_of_parent: Option<u32>,
    ) -> Result<Vec<String>, Errno> {
        let components = parse_path(bytes, limits, depth_of_parent)?;
        Ok(components.iter().map(KeyName::to_string).collect())
    }

    fn small_limits() -> Limits {
        Limits {
            max_path_component_length: 4,
            max_total_path_length: 12,
            max_key_depth: 3,
            ..Limits::default()
        }
    }

    fn small(text: &str) -> Result<usize, Errno> {
        path_with(text.as_bytes(), &small_limits(), None).map(|components| components.len())
    }

    #[test]
    fn ascii_folds_to_lower_case() {
        assert_eq!(fold("Machine_09Z"), "machine_09z");
    }

    #[test]
    fn folding_is_simple_and_without_locale() {
        assert_eq!(fold("Straße"), "straße");
        assert_eq!(fold("\u{1E9E}"), "ß");
        assert_eq!(fold("I\u{130}\u{131}"), "i\u{130}\u{131}");
        assert_eq!(fold("ΣΊΣΥΦΟΣ"), fold("σίσυφος"));
    }

    #[test]
    fn composed_and_decomposed_spellings_differ() {
        assert_ne!(fold("\u{E9}"), fold("e\u{301}"));
    }

    #[test]
    fn both_separators_part_components() {
        assert_eq!(path("Machine/System\\Fonts"), path("Machine\\System\\Fonts"));
        assert_eq!(path("Machine\\System"), Ok(vec!["Machine".into(), "System".into()]));
    }

    #[test]
    fn dots_are_ordinary_names() {
        assert_eq!(path("a\\.\\.."), Ok(vec!["a".into(), ".".into(), "..".into()]));
    }

    #[test]
    fn malformed_paths_are_refused() {
        for text in ["", "\\", "/", "\\a", "a\\", "a/", "a\\\\b", "a\\/b", "a//b", "a\0b"] {
            assert_eq!(path(text), Err(Errno::EINVAL), "{text:?}");
        }
    }

    #[test]
    fn encoding_is_checked_before_length() {
        let limits = Limits::default();
        let mut bytes = vec![b'a'; 20_000];
        assert_eq!(path_with(&bytes, &limits, None), Err(Errno::ENAMETOOLONG));
        bytes[19_999] = 0xFF;
        assert_eq!(path_with(&bytes, &limits, None), Err(Errno::EINVAL));
    }

    #[test]
    fn total_length_is_checked_before_components() {
        assert_eq!(small("\\abcdefghijk"), Err(Errno::EINVAL));
        assert_eq!(small("\\abcdefghijkl"), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn the_first_bad_component_decides() {
        assert_eq!(small("abcde\\\\a"), Err(Errno::ENAMETOOLONG));
        assert_eq!(small("a\\\\abcde"), Err(Errno::EINVAL));
        assert_eq!(small("a\\b\\c\\abcde"), Err(Errno::ENAMETOOLONG));
        assert_eq!(small("a\\b\\c\\d"), Err(Errno::EINVAL));
    }

    #[test]
    fn a_trailing_separator_is_found_last() {
        assert_eq!(small("a\\abcde\\"), Err(Errno::ENAMETOOLONG));
        assert_eq!(small("a\\abcd\\"), Err(Errno::EINVAL));
    }

    #[test]
    fn limits_themselves_are_allowed() {
        assert_eq!(small("abcd\\efg\\hi"), Ok(3));
        assert_eq!(small("abcd\\efg\\hij"), Ok(3));
        let mut deep = vec!["k"; 512].join("\\");
        assert_eq!(path(&deep).map(|components| components.len()), Ok(512));
        deep.push_str("\\k");
        assert_eq!(path(&deep), Err(Errno::EINVAL));
    }

    #[test]
    fn a_relative_path_counts_its_parents_depth() {
        assert!(path_with(b"a", &small_limits(), Some(2)).is_ok());
        assert_eq!(path_with(b"a\\b", &small_limits(), Some(2)), Err(Errno::EINVAL));
        assert_eq!(path_with(b"a", &small_limits(), Some(u32::MAX)), Err(Errno::EINVAL));
    }

    #[test]
    fn lengths_count_bytes() {
        assert_eq!(small("ééé"), Err(Errno::ENAMETOOLONG));
        assert_eq!(small("éé"), Ok(1));
    }

    #[test]
    fn a_layer_name_follows_the_rules_of_a_component() {
        let parse = |bytes: &[u8]| LayerName::parse(bytes, &Limits::default());
        for bytes in [&b""[..], b"a\\b", b"a/b", b"a\0", b"\xFF"] {
            assert_eq!(parse(bytes), Err(Errno::EINVAL), "{bytes:?}");
        }
        assert_eq!(parse(&[b'a'; 256]), Err(Errno::ENAMETOOLONG));
        assert!(parse(&[b'a'; 255]).is_ok());
        assert_eq!(parse(b"Base").unwrap().folded(), LayerName::base().folded());
    }

    #[test]
    fn a_value_name_may_be_empty_or_hold_separators() {
        let parse = |bytes: &[u8]| ValueName::parse(bytes, &Limits::default());
        assert!(parse(b"").unwrap().is_default());
        assert_ne!(parse(b"a/b").unwrap().folded(), parse(b"a\\b").unwrap().folded());
        assert_eq!(parse(b"a\0"), Err(Errno::EINVAL));
        assert_eq!(parse(b"\xC3"), Err(Errno::EINVAL));
        assert_eq!(parse(&[b'a'; 256]), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn a_name_keeps_its_spelling_beside_its_identity() {
        let name = KeyName::parse("ÄRger".as_bytes(), &Limits::default()).unwrap();
        assert_eq!((name.spelling(), name.folded().as_str()), ("ÄRger", "ärger"));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            depth in prop::option::of(any::<u32>()),
        ) {
            let _ = parse_path(&bytes, &small_limits(), depth);
            let _ = ValueName::parse(&bytes, &small_limits());
            let _ = LayerName::parse(&bytes, &small_limits());
        }

        #[test]
        fn components_joined_again_give_the_path(
            components in prop::collection::vec("[^\\\\/\0]{1,8}", 1..6),
        ) {
            prop_assert_eq!(path(&components.join("\\")), Ok(components));
        }
    }
}
