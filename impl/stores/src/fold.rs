//! Names as they are compared: Unicode Simple Case Folding, statuses S and C, Unicode 16.0
//! (PSD-005 §2.3, PSD-006 §3.1, LORE-052). Layer names are compared so as well (D-06).

use std::borrow::Cow;

/// The folded form of a name, borrowed where folding changes nothing.
///
/// ```
/// assert_eq!(stores::fold("Straße Σς"), "straße σσ");
/// ```
#[must_use]
pub fn fold(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Cow::Owned(name.to_ascii_lowercase());
        }
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().map(fold_character).collect())
}

/// Whether two names are the same when folded.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a == b || fold(a) == fold(b)
}

fn fold_character(character: char) -> char {
    unicode_case_mapping::case_folded(character)
        .and_then(|folded| char::from_u32(folded.get()))
        .unwrap_or(character)
}

#[cfg(test)]
mod tests {
    use super::{fold, same};

    #[test]
    fn folding_is_simple_and_keeps_the_number_of_characters() {
        assert_eq!(fold("MACHINE"), "machine");
        assert_eq!(fold("ẞ"), "ß");
        assert_eq!(fold("ß"), "ß");
        assert_eq!(fold("İ"), "İ");
        assert_eq!(fold("K"), "k");
    }

    #[test]
    fn every_ascii_character_folds_as_the_table_says() {
        for character in '\0'..='\x7f' {
            assert_eq!(fold(&character.to_string()), super::fold_character(character).to_string());
        }
    }

    #[test]
    fn names_are_the_same_when_only_their_case_differs() {
        assert!(same("Größe", "GRÖßE"));
        assert!(!same("a", "b"));
    }
}
