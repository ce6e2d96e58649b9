//! The class of a divergence: what must stay the same while a plan is shrunk, so that what comes out shows
//! what went in.

use std::collections::BTreeSet;

use crate::divergence::{Divergence, Kind};

/// What a text comes to, beside its details.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    /// An errno.
    Errno(String),
    /// Nothing at all.
    Nothing,
    /// Anything else.
    Something,
}

/// The class of a divergence.
#[derive(Clone, Debug)]
pub(super) struct Class {
    kind: Kind,
    /// For a message on the wire: the rules that it breaks.
    rules: BTreeSet<&'static str>,
    expected: BTreeSet<Shape>,
    got: Option<Shape>,
}

impl Class {
    pub(super) fn of(divergence: &Divergence) -> Class {
        let kind = divergence.kind;
        let is_answer = matches!(kind, Kind::Answer | Kind::Audit);
        let is_wire = kind == Kind::Wire;
        Class {
            kind,
            rules: divergence.requirements.iter().copied().filter(|_| is_wire).collect(),
            expected: divergence.expected.lines().filter(|_| is_answer).map(shape).collect(),
            got: is_answer.then(|| shape(&divergence.got)),
        }
    }

    /// Whether a divergence is of this class: of one kind, by one rule, with the same errno in place of what
    /// conforms. Fewer things may conform than before, since faults that are gone have no alternatives.
    pub(super) fn has(&self, divergence: &Divergence) -> bool {
        let other = Class::of(divergence);
        self.kind == other.kind
            && self.rules == other.rules
            && self.got == other.got
            && other.expected.is_subset(&self.expected)
    }
}

fn shape(text: &str) -> Shape {
    let text = text.trim();
    let text = text.strip_prefix("or ").unwrap_or(text);
    let is_errno = |word: &str| {
        word.len() > 1
            && word.starts_with('E')
            && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    match text {
        "" | "nothing" => Shape::Nothing,
        errno if is_errno(errno) => Shape::Errno(errno.to_owned()),
        _ => Shape::Something,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divergence(kind: Kind, expected: &str, got: &str) -> Divergence {
        Divergence {
            kind,
            step: 0,
            call_number: 0,
            actor: String::new(),
            what: String::new(),
            requirements: vec!["RSI-01"],
            expected: expected.to_owned(),
            got: got.to_owned(),
            split_at_step: None,
        }
    }

    fn answer(expected: &str, got: &str) -> Divergence {
        divergence(Kind::Answer, expected, got)
    }

    #[test]
    fn another_errno_is_another_class() {
        let class = Class::of(&answer("dword 1 from base", "EACCES"));
        assert!(class.has(&answer("sz \"other\" from base", "EACCES")));
        assert!(!class.has(&answer("dword 1 from base", "ENOENT")));
        assert!(!class.has(&answer("dword 1 from base", "dword 2 from base")));
        assert!(!class.has(&answer("ENOENT", "EACCES")));
    }

    #[test]
    fn what_conforms_beside_may_go_and_nothing_comes() {
        let class = Class::of(&answer("ok\nor EIO", "EBADF"));
        assert!(class.has(&answer("ok", "EBADF")));
        assert!(!class.has(&answer("ok\nor EIO\nor EBUSY", "EBADF")));
    }

    #[test]
    fn a_missing_audit_event_is_not_one_too_many() {
        let class = Class::of(&divergence(Kind::Audit, "open by alice", "nothing"));
        assert!(!class.has(&divergence(Kind::Audit, "nothing", "open by alice")));
        assert!(class.has(&divergence(Kind::Audit, "open by bob", "nothing")));
    }

    #[test]
    fn views_differ_as_they_like_and_messages_break_one_rule() {
        let views = Class::of(&divergence(Kind::View, "a\nb", "a"));
        assert!(views.has(&divergence(Kind::View, "", "c")));
        let mut other = divergence(Kind::Wire, "a", "b");
        let wire = Class::of(&other);
        assert!(wire.has(&other) && !wire.has(&divergence(Kind::View, "a", "b")));
        other.requirements = vec!["RSI-02"];
        assert!(!wire.has(&other));
    }
}
