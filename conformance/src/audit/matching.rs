//! Whether events are those that the model says, field by field.
//!
//! The model numbers keys in its own way; the first event that names a key tells its GUID, and from
//! then on every event must name it so, and no other key. Where a stream or a registration has shown the
//! GUID before, events must name that, be it another key's too: restores bring one into the hives of
//! several sources, and back. It is the same with source slots and the kernel's numbers for them, within
//! one boot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use registry_model::Guid;
use registry_model::audit::{AuditPattern, FieldPattern, assign};

use super::AuditRecord;
use super::msgpack::{self, Value};

/// How events have named what the model numbers. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    keys: Arc<BTreeMap<Guid, [u8; 16]>>,
    slots: Arc<BTreeMap<u32, u64>>,
}

impl Names {
    /// The GUID of a key that was named.
    pub(crate) fn key(&self, key: Guid) -> Option<[u8; 16]> {
        self.keys.get(&key).copied()
    }

    /// The number of a slot that was named.
    pub(crate) fn slot(&self, slot: u32) -> Option<u64> {
        self.slots.get(&slot).copied()
    }

    /// What still holds after a reboot, which makes slots anew.
    pub(crate) fn after_reboot(&self) -> Names {
        Names { slots: Arc::default(), ..self.clone() }
    }

    /// These names, and those of the keys in the patterns whose GUIDs are known otherwise. `None` if an
    /// event has told another.
    pub(crate) fn with_known(
        &self,
        patterns: &[AuditPattern],
        known: impl Fn(Guid) -> Option<[u8; 16]>,
    ) -> Option<Names> {
        let mut keys = BTreeSet::new();
        for (_, field) in patterns.iter().flat_map(|pattern| &pattern.fields) {
            keys_in(field, &mut keys);
        }
        let mut names = self.clone();
        for (key, guid) in keys.into_iter().filter_map(|key| Some((key, known(key)?))) {
            match names.key(key) {
                Some(told) if told != guid => return None,
                Some(_) => {}
                None => {
                    Arc::make_mut(&mut names.keys).insert(key, guid);
                }
            }
        }
        Some(names)
    }

    fn with_key(&self, key: Guid, guid: [u8; 16]) -> Option<Names> {
        let keys = with(&self.keys, key, guid)?;
        Some(Names { keys, ..self.clone() })
    }

    fn with_slot(&self, slot: u32, number: u64) -> Option<Names> {
        let slots = with(&self.slots, slot, number)?;
        Some(Names { slots, ..self.clone() })
    }
}

/// The keys that a field may name.
fn keys_in(field: &FieldPattern, keys: &mut BTreeSet<Guid>) {
    match field {
        FieldPattern::Key(key) => {
            keys.insert(*key);
        }
        FieldPattern::Map(fields) => fields.iter().for_each(|(_, field)| keys_in(field, keys)),
        FieldPattern::OneOf(fields) => fields.iter().for_each(|field| keys_in(field, keys)),
        FieldPattern::EachOf(each) => keys.extend(each),
        _ => {}
    }
}

/// These names and this one, unless the thing is known by another name, or the name as another's.
fn with<T: Ord + Copy, N: Eq + Copy>(
    names: &Arc<BTreeMap<T, N>>,
    thing: T,
    name: N,
) -> Option<Arc<BTreeMap<T, N>>> {
    if let Some(known) = names.get(&thing) {
        return (*known == name).then(|| Arc::clone(names));
    }
    if names.values().any(|known| *known == name) {
        return None;
    }
    let mut names = Arc::clone(names);
    Arc::make_mut(&mut names).insert(thing, name);
    Some(names)
}

/// The names as they are known after these events, if the events are those of the patterns, in their
/// order: an optional one may be absent, and one that repeats may come again.
pub(crate) fn admits(
    patterns: &[AuditPattern],
    records: &[AuditRecord],
    names: &Names,
) -> Option<Names> {
    let events = decoded(records)?;
    let fits =
        |pattern: &AuditPattern, event: usize| admits_one(pattern, &events[event], names).is_some();
    let assigned = assign(patterns, events.len(), fits)?;
    let after =
        events.iter().zip(assigned).try_fold(names.clone(), |names, (event, pattern)| {
            admits_one(&patterns[pattern], event, &names)
        })?;
    patterns.iter().all(|pattern| has_each(pattern, &events, &after)).then_some(after)
}

/// The names as they are known after these events, if the events are those of the patterns in any order.
///
/// # Errors
/// There are too many ways to tell which event is which pattern's.
pub(crate) fn admits_in_any_order(
    patterns: &[AuditPattern],
    records: &[AuditRecord],
    names: &Names,
) -> Result<Option<Names>, TooManyWays> {
    let Some(events) = decoded(records) else { return Ok(None) };
    // What must come is looked for before the same that may come.
    let mut patterns: Vec<&AuditPattern> = patterns.iter().collect();
    patterns.sort_by_key(|pattern| pattern.optional);
    let counts = vec![0; patterns.len()];
    let mut ways = Ways { patterns, events, counts, tries_left: TRIES_MAX };
    ways.place(0, names)
}

/// Tries to tell which event is which pattern's, all taken together.
const TRIES_MAX: u32 = 100_000;

/// There are too many ways to tell which event is which pattern's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyWays;

/// A search for the pattern of each event.
struct Ways<'a> {
    patterns: Vec<&'a AuditPattern>,
    events: Vec<Event<'a>>,
    /// How many events each pattern has.
    counts: Vec<u32>,
    tries_left: u32,
}

impl Ways<'_> {
    /// Finds patterns for this event and those after it.
    fn place(&mut self, event: usize, names: &Names) -> Result<Option<Names>, TooManyWays> {
        if event == self.events.len() {
            return Ok(self.are_complete(names).then(|| names.clone()));
        }
        let mut tried: Vec<(&AuditPattern, bool)> = Vec::new();
        for place in 0..self.patterns.len() {
            let (pattern, has_come) = (self.patterns[place], self.counts[place] > 0);
            // One that repeats is another where it has yet to come.
            let is_same = |(other, other_has_come): &(&AuditPattern, bool)| {
                (other.event, &other.fields, other.repeats, *other_has_come)
                    == (pattern.event, &pattern.fields, pattern.repeats, has_come)
            };
            if has_come && !pattern.repeats || tried.iter().any(is_same) {
                continue;
            }
            let Some(after) = admits_one(pattern, &self.events[event], names) else { continue };
            tried.push((pattern, has_come));
            self.tries_left = self.tries_left.checked_sub(1).ok_or(TooManyWays)?;
            self.counts[place] += 1;
            let found = self.place(event + 1, &after)?;
            self.counts[place] -= 1;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether nothing is missing.
    fn are_complete(&self, names: &Names) -> bool {
        let mut all = self.patterns.iter().zip(&self.counts);
        all.all(|(pattern, count)| {
            (pattern.optional || *count > 0) && has_each(pattern, &self.events, names)
        })
    }
}

fn decoded(records: &[AuditRecord]) -> Option<Vec<Event<'_>>> {
    let decoded = records
        .iter()
        .map(|record| Some((record.event.as_str(), msgpack::decode(&record.payload).ok()?)));
    decoded.collect()
}

/// Whether the events to which a pattern applies have each of the keys that it asks for. One that names no key may
/// be any one's, and a GUID that nothing has named that of any key without one.
fn has_each(pattern: &AuditPattern, events: &[Event<'_>], names: &Names) -> bool {
    let each = pattern.fields.iter().find_map(|(name, field)| match field {
        FieldPattern::EachOf(keys) => Some((*name, keys)),
        _ => None,
    });
    let Some((field, keys)) = each else { return true };
    let applies = |event: &&Event<'_>| admits_one(pattern, event, names).is_some();
    let said = events.iter().filter(applies).flat_map(|(_, fields)| fields);
    let said: Vec<&Value> =
        said.filter(|(name, _)| name == field).map(|(_, value)| value).collect();
    let nameless = said.iter().filter(|value| matches!(value, Value::Nil)).count();
    let guids: BTreeSet<[u8; 16]> = said
        .iter()
        .filter_map(|value| match value {
            Value::Bytes(bytes) => bytes.as_slice().try_into().ok(),
            _ => None,
        })
        .collect();
    let known: BTreeSet<[u8; 16]> = keys.iter().filter_map(|key| names.key(*key)).collect();
    let unnamed = keys.iter().filter(|key| names.key(**key).is_none()).count();
    let others = guids.difference(&known).count();
    let missing = known.difference(&guids).count() + unnamed.saturating_sub(others);
    others <= unnamed && missing <= nameless
}

/// The name of an event, and its fields.
type Event<'a> = (&'a str, Vec<(String, Value)>);

fn admits_one(pattern: &AuditPattern, (name, fields): &Event<'_>, names: &Names) -> Option<Names> {
    if pattern.event != *name { None } else { map_admits(&pattern.fields, fields, names) }
}

fn map_admits(
    patterns: &[(&'static str, FieldPattern)],
    fields: &[(String, Value)],
    names: &Names,
) -> Option<Names> {
    if patterns.len() != fields.len() {
        return None;
    }
    patterns.iter().zip(fields).try_fold(names.clone(), |names, ((name, pattern), (got, value))| {
        if name != got { None } else { field_admits(pattern, value, &names) }
    })
}

fn field_admits(pattern: &FieldPattern, value: &Value, names: &Names) -> Option<Names> {
    let unchanged = |is: bool| is.then(|| names.clone());
    match (pattern, value) {
        (FieldPattern::Map(patterns), Value::Map(fields)) => map_admits(patterns, fields, names),
        (FieldPattern::Unsigned(expected), Value::Unsigned(got)) => unchanged(expected == got),
        (FieldPattern::Bytes(expected), Value::Bytes(got)) => unchanged(expected == got),
        (FieldPattern::Text(expected), Value::Text(got)) => unchanged(expected == got),
        (FieldPattern::Nil, Value::Nil) => unchanged(true),
        (FieldPattern::Key(key), Value::Bytes(got)) => {
            names.with_key(*key, got.as_slice().try_into().ok()?)
        }
        (FieldPattern::Slot(slot), Value::Unsigned(got)) => names.with_slot(*slot, *got),
        (FieldPattern::UnsignedOrNil, Value::Unsigned(_) | Value::Nil) => unchanged(true),
        (FieldPattern::GuidOrNil, Value::Bytes(got)) => unchanged(got.len() == 16),
        (FieldPattern::GuidOrNil, Value::Nil) => unchanged(true),
        (FieldPattern::OneOf(patterns), _) => one_admits(patterns, value, names),
        (FieldPattern::EachOf(keys), _) => {
            let keys = keys.iter().map(|key| FieldPattern::Key(*key));
            let patterns: Vec<FieldPattern> = keys.chain([FieldPattern::Nil]).collect();
            one_admits(&patterns, value, names)
        }
        _ => None,
    }
}

/// Any of these. Where a GUID may be that of several keys that nothing has named yet, it names none; so it is with
/// the number of a slot.
fn one_admits(patterns: &[FieldPattern], value: &Value, names: &Names) -> Option<Names> {
    let is_unnamed = |pattern: &&FieldPattern| match pattern {
        FieldPattern::Key(key) => names.key(*key).is_none(),
        FieldPattern::Slot(slot) => names.slot(*slot).is_none(),
        _ => false,
    };
    let is_open = patterns.iter().filter(is_unnamed).count() > 1;
    patterns.iter().find_map(|pattern| {
        let after = field_admits(pattern, value, names)?;
        Some(if is_open && is_unnamed(&pattern) { names.clone() } else { after })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(event: &str, number: u8) -> AuditRecord {
        AuditRecord { event: event.to_owned(), payload: vec![0x81, 0xA1, b'n', number] }
    }

    fn pattern(event: &'static str, number: u64, optional: bool) -> AuditPattern {
        AuditPattern {
            event,
            fields: vec![("n", FieldPattern::Unsigned(number))],
            optional,
            repeats: false,
        }
    }

    fn holds(patterns: &[AuditPattern], records: &[AuditRecord]) -> bool {
        admits(patterns, records, &Names::default()).is_some()
    }

    #[test]
    fn events_come_in_order_and_none_is_missing_or_left() {
        let patterns = [pattern("A", 1, false), pattern("B", 2, false)];
        let (a, b) = (record("A", 1), record("B", 2));
        assert!(holds(&patterns, &[a.clone(), b.clone()]));
        assert!(!holds(&patterns, &[b.clone(), a.clone()]));
        assert!(!holds(&patterns, std::slice::from_ref(&a)));
        assert!(!holds(&patterns, &[a.clone(), b.clone(), b]));
        assert!(!holds(&patterns, &[a, record("B", 3)]));
    }

    #[test]
    fn events_of_calls_that_overlap_come_in_any_order_and_none_is_missing_or_left() {
        let patterns = [pattern("A", 1, false), pattern("B", 2, true), pattern("B", 2, false)];
        let (a, b) = (record("A", 1), record("B", 2));
        let holds = |records: &[&AuditRecord]| {
            let records: Vec<AuditRecord> = records.iter().copied().cloned().collect();
            admits_in_any_order(&patterns, &records, &Names::default()).map(|names| names.is_some())
        };
        for records in [&[&a, &b][..], &[&b, &a], &[&b, &a, &b]] {
            assert_eq!(holds(records), Ok(true));
        }
        for records in [&[][..], &[&a], &[&b, &b], &[&a, &b, &b, &b], &[&a, &a, &b]] {
            assert_eq!(holds(records), Ok(false));
        }
    }

    #[test]
    fn many_events_that_are_alike_are_told_apart_in_few_tries() {
        let mut patterns = vec![pattern("A", 1, true); 20];
        patterns.extend(vec![pattern("A", 1, false); 20]);
        patterns.push(pattern("B", 2, false));
        let holds = |count: usize, others: usize| {
            let mut records = vec![record("A", 1); count];
            records.extend(vec![record("B", 2); others]);
            admits_in_any_order(&patterns, &records, &Names::default()).map(|names| names.is_some())
        };
        assert_eq!((holds(20, 1), holds(40, 1)), (Ok(true), Ok(true)));
        assert_eq!((holds(19, 1), holds(41, 1)), (Ok(false), Ok(false)));
        assert_eq!(holds(40, 0), Ok(false));
    }

    #[test]
    fn events_of_calls_that_overlap_come_once_at_least_for_each_call() {
        let again = AuditPattern { repeats: true, ..pattern("A", 1, false) };
        let holds = |count: usize| {
            let records = vec![record("A", 1); count];
            admits_in_any_order(&[again.clone(), again.clone()], &records, &Names::default())
                .map(|names| names.is_some())
        };
        assert_eq!([0, 1, 2, 3].map(holds), [Ok(false), Ok(false), Ok(true), Ok(true)]);
    }

    #[test]
    fn events_that_too_many_patterns_admit_are_not_decided() {
        let open = |optional| AuditPattern {
            event: "A",
            fields: vec![("n", FieldPattern::UnsignedOrNil)],
            optional,
            repeats: false,
        };
        let mut patterns = vec![pattern("B", 1, false)];
        for _ in 0..20 {
            patterns.extend([open(true), pattern("A", 1, true)]);
        }
        let records = vec![record("A", 1); 20];
        let found = admits_in_any_order(&patterns, &records, &Names::default());
        assert_eq!(found, Err(TooManyWays));
    }

    #[test]
    fn optional_events_may_be_absent_wherever_they_stand() {
        let patterns = [pattern("A", 1, true), pattern("A", 1, true), pattern("A", 1, false)];
        let a = record("A", 1);
        assert!(!holds(&patterns, &[]));
        for count in 1..=3 {
            assert!(holds(&patterns, &vec![a.clone(); count]), "{count}");
        }
        assert!(!holds(&patterns, &vec![a; 4]));
    }

    #[test]
    fn fields_are_compared_with_their_names_and_types() {
        let field = |pattern: FieldPattern, value: &Value| {
            let fields = [("n".to_owned(), value.clone())];
            map_admits(&[("n", pattern)], &fields, &Names::default()).is_some()
        };
        let (number, nil, guid) = (Value::Unsigned(1), Value::Nil, Value::Bytes(vec![7; 16]));
        assert!(field(FieldPattern::Unsigned(1), &number));
        assert!(!field(FieldPattern::Unsigned(2), &number));
        assert!(!field(FieldPattern::Text("1".to_owned()), &number));
        assert!(field(FieldPattern::UnsignedOrNil, &nil) && field(FieldPattern::GuidOrNil, &nil));
        assert!(field(FieldPattern::GuidOrNil, &guid));
        assert!(!field(FieldPattern::GuidOrNil, &Value::Bytes(vec![7; 15])));
        let either = FieldPattern::OneOf(vec![FieldPattern::Nil, FieldPattern::Unsigned(1)]);
        assert!(field(either.clone(), &nil) && field(either.clone(), &number));
        assert!(!field(either, &Value::Unsigned(2)));
        let other = [("m".to_owned(), Value::Nil)];
        assert_eq!(map_admits(&[("n", FieldPattern::Nil)], &other, &Names::default()), None);
    }

    #[test]
    fn a_guid_that_may_be_of_two_keys_names_neither() {
        let either = FieldPattern::OneOf(vec![
            FieldPattern::Key(Guid(1)),
            FieldPattern::Key(Guid(2)),
            FieldPattern::Nil,
        ]);
        let guid = |byte: u8| Value::Bytes(vec![byte; 16]);
        let none = Names::default();
        assert_eq!(field_admits(&either, &guid(7), &none), Some(none.clone()));
        let one = none.with_key(Guid(1), [7; 16]).unwrap();
        assert_eq!(field_admits(&either, &guid(7), &one), Some(one.clone()));
        let both = field_admits(&either, &guid(8), &one).unwrap();
        assert_eq!(both.key(Guid(2)), Some([8; 16]));
        assert_eq!(field_admits(&either, &guid(9), &both), None);
    }

    #[test]
    fn a_number_that_may_be_of_two_slots_names_neither() {
        let either = FieldPattern::OneOf(vec![FieldPattern::Slot(0), FieldPattern::Slot(1)]);
        let none = Names::default();
        assert_eq!(field_admits(&either, &Value::Unsigned(1), &none), Some(none.clone()));
        let one = none.with_slot(1, 1).expect("a new slot");
        assert_eq!(field_admits(&either, &Value::Unsigned(1), &one), Some(one.clone()));
        let both = field_admits(&either, &Value::Unsigned(0), &one).expect("the other slot's");
        assert_eq!(both.slot(0), Some(0));
        assert_eq!(field_admits(&either, &Value::Unsigned(2), &both), None);
    }

    #[test]
    fn each_key_has_an_event_or_one_that_names_none() {
        let due = AuditPattern {
            event: "E",
            fields: vec![("key_guid", FieldPattern::EachOf(vec![Guid(1), Guid(2)]))],
            optional: false,
            repeats: true,
        };
        let of = |guid: Option<u8>| {
            let value = guid.map_or(vec![0xC0], |byte| [&[0xC4, 16][..], &[byte; 16]].concat());
            let payload = [&[0x81, 0xA8][..], b"key_guid", &value].concat();
            AuditRecord { event: "E".to_owned(), payload }
        };
        let holds = |guids: &[Option<u8>], names: &Names| {
            let records: Vec<AuditRecord> = guids.iter().map(|guid| of(*guid)).collect();
            admits(std::slice::from_ref(&due), &records, names).is_some()
        };
        let none = Names::default();
        let one = none.with_key(Guid(1), [7; 16]).expect("a new key");
        for names in [&none, &one] {
            for guids in [&[Some(7), Some(8)][..], &[Some(8), Some(7), Some(8)], &[None, None]] {
                assert!(holds(guids, names), "{guids:?}");
            }
            assert!(holds(&[Some(7), None], names) && holds(&[None, Some(8)], names));
            for guids in [&[Some(7), Some(7)][..], &[Some(8)], &[None], &[], &[Some(8), Some(8)]] {
                assert!(!holds(guids, names), "{guids:?}");
            }
        }
        assert!(!holds(&[Some(8), Some(9)], &one));
        assert!(!holds(&[Some(7), Some(8), Some(9)], &none));
    }

    #[test]
    fn a_key_keeps_its_guid_and_shares_it_with_none() {
        let named = |names: &Names, key: u64, byte: u8| {
            field_admits(&FieldPattern::Key(Guid(key)), &Value::Bytes(vec![byte; 16]), names)
        };
        let keys = named(&Names::default(), 1, 7).expect("a new key");
        assert_eq!(keys.key(Guid(1)), Some([7; 16]));
        assert_eq!(named(&keys, 1, 7), Some(keys.clone()));
        assert_eq!(named(&keys, 1, 8), None);
        assert_eq!(named(&keys, 2, 7), None);
        assert!(named(&keys, 2, 8).is_some());
    }

    #[test]
    fn keys_whose_guids_are_known_may_share_one() {
        let due = [1, 2].map(|key| AuditPattern {
            event: "E",
            fields: vec![("key_guid", FieldPattern::Key(Guid(key)))],
            optional: false,
            repeats: false,
        });
        let names = Names::default().with_known(&due, |_| Some([7; 16])).expect("nothing was told");
        let named = |key: u64, byte: u8| {
            field_admits(&FieldPattern::Key(Guid(key)), &Value::Bytes(vec![byte; 16]), &names)
        };
        assert!(named(1, 7).is_some());
        assert!(named(2, 7).is_some());
        assert!(named(2, 8).is_none());
        assert!(named(3, 7).is_none());
        assert_eq!(names.with_known(&due, |_| Some([8; 16])), None);
    }

    #[test]
    fn a_slot_keeps_its_number_until_a_reboot() {
        let named = |names: &Names, slot: u32, number: u64| {
            field_admits(&FieldPattern::Slot(slot), &Value::Unsigned(number), names)
        };
        let names = named(&Names::default(), 1, 7).expect("a new slot");
        assert_eq!(names.slot(1), Some(7));
        assert!(named(&names, 1, 7).is_some());
        assert_eq!(named(&names, 1, 8), None);
        assert_eq!(named(&names, 2, 7), None);
        assert!(named(&names.after_reboot(), 2, 7).is_some());
    }

    #[test]
    fn an_event_that_repeats_may_come_again() {
        let again = AuditPattern { repeats: true, ..pattern("A", 1, false) };
        assert!(!holds(std::slice::from_ref(&again), &[]));
        for count in 1..=3 {
            assert!(holds(std::slice::from_ref(&again), &vec![record("A", 1); count]), "{count}");
        }
    }
}
