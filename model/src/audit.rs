//! Audit events, as what must be emitted in the course of a step.
//!
//! States the payloads of PSD-005 §3.1 ("LCS audit events"). A payload is one msgpack map with string
//! keys; what the text leaves open of a field is a pattern. Knows nothing of how events are stored.

use crate::database::Guid;

/// An event that a step emits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPattern {
    /// The event's name, `LCS_KEY_OPEN_AUDIT` for one.
    pub event: &'static str,
    /// The fields in the order of the text's table, which is the order of emission (AUD-20).
    pub fields: Vec<(&'static str, FieldPattern)>,
    /// Whether the event may be absent (D-95).
    pub optional: bool,
    /// Whether it may come more than once: how often the kernel asks a source is its own business.
    pub repeats: bool,
}

/// What a field of an event holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldPattern {
    /// A map, in this order.
    Map(Vec<(&'static str, FieldPattern)>),
    /// An unsigned number.
    Unsigned(u64),
    /// `bin` with these bytes.
    Bytes(Vec<u8>),
    /// `str`.
    Text(String),
    /// `nil`.
    Nil,
    /// `bin(16)`: the GUID of a key of the model, the same one whenever the key is named.
    Key(Guid),
    /// An unsigned number: the kernel's own for this source slot, the same one whenever the slot is
    /// named in one boot, and another for every other slot.
    Slot(u32),
    /// An unsigned number or `nil`: the kernel may know it or not.
    UnsignedOrNil,
    /// `bin(16)` or `nil`.
    GuidOrNil,
    /// Any of these.
    OneOf(Vec<FieldPattern>),
    /// `bin(16)`, the GUID of one of these keys, or `nil`. Among all events of a step to which such a pattern
    /// applies there is one for each of the keys, in any order.
    EachOf(Vec<Guid>),
}

/// The event of a parameter whose value is refused. Those of one reading come in any order (P-163).
pub const SELF_CONFIG_INVALID: &str = "LCS_SELF_CONFIG_INVALID";

/// Which pattern each of `events` events is an instance of, if they are, in order, what the patterns
/// ask for; `None` if they are not. `fits` says whether an event, by its place, is an instance of a
/// pattern.
pub fn assign(
    patterns: &[AuditPattern],
    events: usize,
    mut fits: impl FnMut(&AuditPattern, usize) -> bool,
) -> Option<Vec<usize>> {
    let order = order_of_arrival(patterns, events, &mut fits);
    // What has led to "the first patterns cover the first events": for each pair, whether the
    // last event was taken by the last pattern.
    let mut taken = vec![vec![None; events + 1]; patterns.len() + 1];
    taken[0][0] = Some(false);
    for (place, pattern) in order.iter().map(|pattern| &patterns[*pattern]).enumerate() {
        for event in 0..=events {
            let passed = pattern.optional && taken[place][event].is_some();
            let took = event > 0
                && (taken[place][event - 1].is_some()
                    || pattern.repeats && taken[place + 1][event - 1] == Some(true))
                && fits(pattern, event - 1);
            taken[place + 1][event] = match (took, passed) {
                (true, _) => Some(true),
                (false, true) => Some(false),
                (false, false) => None,
            };
        }
    }
    taken[patterns.len()][events]?;
    let mut assigned = vec![0; events];
    let (mut place, mut event) = (patterns.len(), events);
    while place > 0 {
        if taken[place][event] == Some(true) {
            event -= 1;
            assigned[event] = order[place - 1];
            let again = patterns[order[place - 1]].repeats && taken[place][event] == Some(true);
            place -= usize::from(!again);
        } else {
            place -= 1;
        }
    }
    Some(assigned)
}

/// The patterns with those of parameters in the order in which their events come, each still at the
/// place of one of these.
fn order_of_arrival(
    patterns: &[AuditPattern],
    events: usize,
    fits: &mut impl FnMut(&AuditPattern, usize) -> bool,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..patterns.len()).collect();
    let mut free: Vec<usize> = order.clone();
    free.retain(|pattern| patterns[*pattern].event == SELF_CONFIG_INVALID);
    let places = free.clone();
    free.sort_by_cached_key(|pattern| {
        (0..events).find(|event| fits(&patterns[*pattern], *event)).unwrap_or(events)
    });
    for (place, pattern) in places.into_iter().zip(free) {
        order[place] = pattern;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern for an event of this name: `?` behind it means optional, `+` repeated, `*` both.
    fn pattern(text: &'static str) -> AuditPattern {
        let (optional, repeats) = (text.ends_with(['?', '*']), text.ends_with(['+', '*']));
        let event = text.trim_end_matches(['?', '*', '+']);
        AuditPattern { event, fields: Vec::new(), optional, repeats }
    }

    fn assigned(patterns: &[&'static str], events: &[&str]) -> Option<Vec<usize>> {
        let patterns: Vec<AuditPattern> = patterns.iter().map(|text| pattern(text)).collect();
        assign(&patterns, events.len(), |pattern, event| pattern.event == events[event])
    }

    #[test]
    fn every_event_is_asked_for_and_every_pattern_met() {
        assert_eq!(assigned(&[], &[]), Some(vec![]));
        assert_eq!(assigned(&["a", "b"], &["a", "b"]), Some(vec![0, 1]));
        for events in [&["b", "a"][..], &["a"], &["a", "b", "b"], &[]] {
            assert_eq!(assigned(&["a", "b"], events), None, "{events:?}");
        }
    }

    #[test]
    fn an_optional_event_comes_once_or_not_at_all() {
        assert_eq!(assigned(&["a?", "b"], &["b"]), Some(vec![1]));
        assert_eq!(assigned(&["a?", "b"], &["a", "b"]), Some(vec![0, 1]));
        assert_eq!(assigned(&["a?", "b"], &["a", "a", "b"]), None);
        assert_eq!(assigned(&["a?", "a"], &["a"]), Some(vec![1]));
    }

    #[test]
    fn events_of_parameters_come_in_any_order() {
        let parameter = |number: usize, optional| AuditPattern {
            event: SELF_CONFIG_INVALID,
            fields: vec![("n", FieldPattern::Unsigned(number as u64))],
            optional,
            repeats: false,
        };
        let patterns = [pattern("a"), parameter(1, false), parameter(2, true), parameter(3, false)];
        let assigned = |events: &[usize]| {
            assign(&patterns, events.len(), |pattern, event| match &pattern.fields[..] {
                [(_, FieldPattern::Unsigned(number))] => *number == events[event] as u64,
                _ => events[event] == 0,
            })
        };
        assert_eq!(assigned(&[0, 3, 2, 1]), Some(vec![0, 3, 2, 1]));
        assert_eq!(assigned(&[0, 3, 1]), Some(vec![0, 3, 1]));
        for events in [&[3, 0, 1][..], &[0, 3, 2], &[0, 3, 1, 1], &[0, 3, 2, 1, 2]] {
            assert_eq!(assigned(events), None, "{events:?}");
        }
    }

    #[test]
    fn a_repeated_event_comes_at_least_once_unless_it_is_optional() {
        assert_eq!(assigned(&["a+"], &[]), None);
        assert_eq!(assigned(&["a+", "b"], &["a", "a", "b"]), Some(vec![0, 0, 1]));
        assert_eq!(assigned(&["a*", "b"], &["b"]), Some(vec![1]));
        let found = assigned(&["a*", "a", "a*"], &["a", "a", "a"]).unwrap();
        assert!(found.windows(2).all(|pair| pair[0] <= pair[1]) && found.contains(&1), "{found:?}");
    }
}
