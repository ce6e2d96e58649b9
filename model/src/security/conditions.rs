//! What is known of a conditional expression without evaluating it.
//!
//! States the two cases of PSD-004 §3.8 ("Binary format") that are UNKNOWN whatever the token and
//! the object have. Interprets no bytecode.

/// What every expression begins with.
const MAGIC: &[u8] = b"artx";

/// Whether only an evaluation could tell what the expression gives.
///
/// It is UNKNOWN without the magic, and with the magic alone, since nothing is on the stack at its
/// end.
pub(super) fn is_open(condition: &[u8]) -> bool {
    condition.strip_prefix(MAGIC).is_some_and(|operators| !operators.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_without_operators_gives_nothing_to_evaluate() {
        for settled in [&b""[..], b"art", b"artx", b"xtra\xf8\0\0\0"] {
            assert!(!is_open(settled), "{settled:?}");
        }
        assert!(is_open(b"artx\x00\0\0\0"));
    }
}
