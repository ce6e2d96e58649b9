//! Names: caseless identity, and the rules that keys, values, layers and hives obey.
//!
//! States PSD-005 §1.3, §2.3 and §2.5 (`CONV-10`..`CONV-53`, `KEY-38`..`KEY-42`, D-03, D-05). It
//! knows nothing of what a name stands for.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use abi::Errno;

use crate::configuration::Parameters;

/// A name's identity: each code point under Unicode 16.0 simple case folding, nothing else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldedName(Arc<str>);

impl FoldedName {
    /// Folds a name.
    pub fn new(name: &str) -> Self {
        if is_folded(name.as_bytes()) {
            return Self(name.into());
        }
        Self(name.chars().map(fold).collect::<String>().into())
    }
}

/// Ordered and compared as its text, so that a map can be asked with text that is folded.
impl Borrow<str> for FoldedName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FoldedName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// Whether folding plainly changes nothing; most names that travel are like that.
pub fn is_folded(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
}

/// Simple folding maps one code point to one code point; where the table has none the character
/// is its own.
fn fold(character: char) -> char {
    unicode_case_mapping::case_folded(character)
        .and_then(|folded| char::from_u32(folded.get()))
        .unwrap_or(character)
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b'\\' | b'/')
}

/// Text without a null byte.
fn text(bytes: &[u8]) -> Result<&str, Errno> {
    if bytes.contains(&0) {
        return Err(Errno::EINVAL);
    }
    std::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)
}

/// Checks a value name, which may be empty and may hold separators.
///
/// # Errors
/// EINVAL for ill-formed text, ENAMETOOLONG beyond `length_max` bytes.
pub fn value_name(bytes: &[u8], length_max: usize) -> Result<&str, Errno> {
    let name = text(bytes)?;
    if name.len() > length_max {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(name)
}

/// Checks a name that could be one component of a path: of a key, a hive or a layer (D-05).
///
/// # Errors
/// EINVAL for ill-formed, empty or separated text, ENAMETOOLONG beyond `length_max` bytes.
pub fn component(bytes: &[u8], length_max: usize) -> Result<&str, Errno> {
    let name = text(bytes)?;
    if name.is_empty() || name.bytes().any(is_separator) {
        return Err(Errno::EINVAL);
    }
    if name.len() > length_max {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(name)
}

/// Splits a path at either separator. `depth` is that of the key it starts from, 0 for an absolute
/// path (D-02, D-03).
///
/// # Errors
/// EINVAL for ill-formed text, an empty path or component, or too great a depth; ENAMETOOLONG for
/// too long a path or component. The first fault in reading order wins.
pub fn path(bytes: &[u8], depth: usize, limits: &Parameters) -> Result<Vec<String>, Errno> {
    let path = text(bytes)?;
    if path.is_empty() {
        return Err(Errno::EINVAL);
    }
    if path.len() > limits.path_length_max() {
        return Err(Errno::ENAMETOOLONG);
    }
    let mut components = Vec::new();
    for name in path.split(['\\', '/']) {
        if name.is_empty() {
            return Err(Errno::EINVAL);
        }
        if name.len() > limits.component_length_max() {
            return Err(Errno::ENAMETOOLONG);
        }
        if depth + components.len() >= limits.key_depth_max() {
            return Err(Errno::EINVAL);
        }
        components.push(name.to_owned());
    }
    Ok(components)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(bytes: &[u8], depth: usize) -> Result<Vec<String>, Errno> {
        super::path(bytes, depth, &Parameters::default())
    }

    #[test]
    fn names_fold_by_code_point_and_without_locale() {
        assert_eq!(FoldedName::new("MaChine"), FoldedName::new("machine"));
        assert_eq!(FoldedName::new("Straẞe"), FoldedName::new("straße"));
        assert_ne!(FoldedName::new("straße"), FoldedName::new("strasse"));
        assert_ne!(FoldedName::new("I"), FoldedName::new("ı"));
        assert_ne!(FoldedName::new("é"), FoldedName::new("e\u{301}"));
    }

    #[test]
    fn a_path_splits_at_both_separators() {
        assert_eq!(path(b"a\\b/c", 0), Ok(vec!["a".into(), "b".into(), "c".into()]));
    }

    #[test]
    fn a_path_with_an_empty_component_is_invalid() {
        for bad in [&b""[..], b"\\", b"\\a", b"a\\", b"a\\/b", b"a//b"] {
            assert_eq!(path(bad, 0), Err(Errno::EINVAL), "{bad:?}");
        }
    }

    #[test]
    fn the_first_fault_of_a_path_wins() {
        let long = "x".repeat(256);
        assert_eq!(path(format!("{long}\\\\a").as_bytes(), 0), Err(Errno::ENAMETOOLONG));
        assert_eq!(path(format!("a\\\\{long}").as_bytes(), 0), Err(Errno::EINVAL));
        assert_eq!(path(&[b'a', 0xFF], 0), Err(Errno::EINVAL));
        assert_eq!(path("a\\".repeat(9000).as_bytes(), 0), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn depth_counts_from_where_the_path_starts() {
        assert!(path(["a"; 512].join("\\").as_bytes(), 0).is_ok());
        assert_eq!(path(["a"; 513].join("\\").as_bytes(), 0), Err(Errno::EINVAL));
        assert!(path(b"a\\b", 510).is_ok());
        assert_eq!(path(b"a\\b", 511), Err(Errno::EINVAL));
    }

    #[test]
    fn a_value_name_may_be_empty_or_hold_separators() {
        assert_eq!(value_name(b"", 255), Ok(""));
        assert_eq!(value_name(b"a\\b/c", 255), Ok("a\\b/c"));
        assert_eq!(value_name(b"a\0", 255), Err(Errno::EINVAL));
        assert_eq!(value_name(&[b'v'; 256], 255), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn a_layer_name_is_a_component() {
        assert_eq!(component(b"", 255), Err(Errno::EINVAL));
        assert_eq!(component(b"a/b", 255), Err(Errno::EINVAL));
        assert_eq!(component(&[b'l'; 256], 255), Err(Errno::ENAMETOOLONG));
        assert_eq!(component("größe".as_bytes(), 255), Ok("größe"));
    }
}
