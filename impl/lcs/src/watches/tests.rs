//! Dispatch and differences, without a source.

use std::sync::Arc;

use abi::value_type::REG_SZ;
use abi::{REG_NOTIFY_ALL, REG_NOTIFY_SD, REG_NOTIFY_VALUE};
use rsi::{BlanketEntry, Guid, PathEntry, ValueEntry};

use super::known::{Heard, Known, Occurrence, Unclear};
use super::map::{Batch, WatchId, WatchMap};
use super::record::{Event, EventKind};
use crate::change::{AcceptedChange, Effect};
use crate::configuration::WatchLimits;
use crate::key_file::Position;
use crate::layers::{LayerTable, View};
use crate::name::FoldedName;
use crate::state::{HiveId, SlotId};

const LIMITS: WatchLimits =
    WatchLimits { queue_size: 256, subtree_depth_max: 0, transaction_burst_max: 4096 };

fn root() -> Position {
    Position::root(HiveId { slot: SlotId(0), index: 0 }, Guid([1; 16]), "Machine".to_owned())
}

fn child(above: &Position, byte: u8, name: &str) -> Position {
    above.clone().child(Guid([byte; 16]), name.to_owned())
}

fn view() -> View {
    View::global(Arc::new(LayerTable::new()))
}

fn value(name: &str, data: &str, sequence: u64) -> ValueEntry {
    ValueEntry {
        name: name.into(),
        layer: b"base".to_vec(),
        value_type: REG_SZ,
        data: data.into(),
        sequence,
    }
}

fn set(position: &Position, name: &str, data: &str, sequence: u64) -> AcceptedChange {
    let effect = Effect::ValueSet(value(name, data, sequence));
    AcceptedChange { position: position.clone(), effect }
}

fn removed(position: &Position, name: &str) -> AcceptedChange {
    let effect = Effect::ValueRemoved { name: name.into(), layer: FoldedName::new("base") };
    AcceptedChange { position: position.clone(), effect }
}

fn armed(map: &mut WatchMap, position: &Position, filter: u32, subtree: bool) -> WatchId {
    let id = map.new_id();
    map.arm(id, position, filter, subtree);
    id
}

/// How many records one event at a position gives a watch.
fn received(map: &mut WatchMap, id: WatchId, position: &Position, limits: WatchLimits) -> usize {
    let event = Event::named(EventKind::ValueSet, b"v");
    let mut batch = Batch::default();
    map.note(
        &Occurrence { position: position.clone(), event, was_unseen: false },
        limits,
        &mut batch,
    );
    map.deliver(batch, limits, None);
    let count = map.peek(id, usize::MAX).map_or(0, |(_, count)| count);
    map.remove(id, count);
    count
}

#[test]
fn a_depth_limit_ends_what_a_subtree_watch_hears_of() {
    let limits = WatchLimits { subtree_depth_max: 1, ..LIMITS };
    let mut map = WatchMap::default();
    let id = armed(&mut map, &root(), REG_NOTIFY_ALL, true);
    let near = child(&root(), 2, "A");
    let far = child(&near, 3, "B");
    assert_eq!(received(&mut map, id, &root(), limits), 1);
    assert_eq!(received(&mut map, id, &near, limits), 1);
    assert_eq!(received(&mut map, id, &far, limits), 0);
    assert_eq!(received(&mut map, id, &far, LIMITS), 1);
}

#[test]
fn one_of_two_subtree_watches_on_a_key_may_end() {
    let mut map = WatchMap::default();
    let first = armed(&mut map, &root(), REG_NOTIFY_ALL, true);
    let second = armed(&mut map, &root(), REG_NOTIFY_ALL, true);
    map.disarm(first);
    assert_eq!(received(&mut map, second, &child(&root(), 2, "A"), LIMITS), 1);
    map.arm(second, &root(), REG_NOTIFY_ALL, false);
    assert_eq!(received(&mut map, second, &child(&root(), 2, "A"), LIMITS), 0);
}

#[test]
fn a_burst_above_the_limit_is_one_overflow_for_that_watch() {
    let mut map = WatchMap::default();
    let all = armed(&mut map, &root(), REG_NOTIFY_ALL, false);
    let other = armed(&mut map, &child(&root(), 2, "A"), REG_NOTIFY_ALL, false);
    let mut batch = Batch::default();
    for position in [&root(), &root(), &root(), &child(&root(), 2, "A")] {
        let event = Event::named(EventKind::ValueSet, b"v");
        map.note(
            &Occurrence { position: position.clone(), event, was_unseen: false },
            LIMITS,
            &mut batch,
        );
    }
    map.deliver(batch, LIMITS, Some(2));
    assert_eq!(map.peek(all, 64), Ok((vec![8, 0, 0, 0, 7, 0, 0, 0], 1)));
    assert_eq!(map.peek(other, 64).map(|(bytes, _)| bytes[4]), Ok(1));
}

#[test]
fn what_no_record_can_hold_is_an_overflow() {
    let mut map = WatchMap::default();
    let id = armed(&mut map, &root(), REG_NOTIFY_ALL, true);
    let long = child(&root(), 2, &"k".repeat(0x1_0000));
    assert_eq!(received(&mut map, id, &long, LIMITS), 1);
    let mut batch = Batch::default();
    let event = Event::named(EventKind::ValueSet, b"v");
    map.note(&Occurrence { position: long, event, was_unseen: false }, LIMITS, &mut batch);
    map.deliver(batch, LIMITS, None);
    assert_eq!(map.peek(id, 64), Ok((vec![8, 0, 0, 0, 7, 0, 0, 0], 1)));
}

#[test]
fn only_who_could_have_seen_it_may_see_a_change() {
    let mut map = WatchMap::default();
    let key = child(&root(), 2, "A");
    let change = set(&key, "v", "x", 1);
    armed(&mut map, &key, REG_NOTIFY_SD, true);
    armed(&mut map, &root(), REG_NOTIFY_VALUE, false);
    assert!(!map.may_see(&change, LIMITS));
    armed(&mut map, &root(), REG_NOTIFY_VALUE, true);
    assert!(map.may_see(&change, LIMITS));
}

#[test]
fn a_watch_on_a_child_may_see_its_name_change() {
    let mut map = WatchMap::default();
    let removed = Effect::PathRemoved { name: "A".to_owned(), layer: FoldedName::new("base") };
    let change = AcceptedChange { position: root(), effect: removed };
    armed(&mut map, &root(), REG_NOTIFY_VALUE, false);
    assert!(!map.may_see(&change, LIMITS));
    armed(&mut map, &child(&root(), 2, "A"), REG_NOTIFY_VALUE, false);
    assert!(map.may_see(&change, LIMITS));
}

fn kinds(occurrences: Result<Vec<Occurrence>, Unclear>) -> Vec<EventKind> {
    let occurrences = occurrences.expect("known");
    occurrences.into_iter().map(|occurrence| occurrence.event.kind).collect()
}

#[test]
fn each_change_of_a_log_has_its_own_difference() {
    let key = root();
    let mut known = Known::nothing();
    known.learn_values(key.key(), &[], &[]);
    let mut kinds = |change| kinds(known.difference(&change, &view()));
    assert_eq!(kinds(set(&key, "v", "x", 1)), [EventKind::ValueSet]);
    assert_eq!(kinds(set(&key, "V", "x", 2)), []);
    assert_eq!(kinds(removed(&key, "v")), [EventKind::ValueDeleted]);
    assert_eq!(kinds(removed(&key, "v")), []);
}

#[test]
fn a_key_that_is_created_begins_empty() {
    let key = child(&root(), 2, "A");
    let entry = PathEntry { layer: b"base".to_vec(), target: Some(key.key().guid), sequence: 1 };
    let created = Effect::KeyCreated { name: "A".to_owned(), entry, sd: Vec::new() };
    let mut known = Known::nothing();
    known.learn_name(root().key(), "a", &[]);
    let mut kinds = |change| kinds(known.difference(&change, &view()));
    let created = AcceptedChange { position: root(), effect: created };
    assert_eq!(kinds(created), [EventKind::SubkeyCreated]);
    assert_eq!(kinds(set(&key, "v", "x", 2)), [EventKind::ValueSet]);
    let blanket = BlanketEntry { layer: b"base".to_vec(), sequence: 3 };
    let masked = AcceptedChange { position: key, effect: Effect::BlanketSet(blanket) };
    assert_eq!(kinds(masked), [EventKind::ValueDeleted]);
}

#[test]
fn what_is_not_known_makes_no_difference_up() {
    let mut known = Known::nothing();
    let change = set(&root(), "v", "x", 1);
    assert_eq!(known.difference(&change, &view()), Err(Unclear));
    known.learn_value(root().key(), &FoldedName::new("w"), &[], &[]);
    assert_eq!(known.difference(&change, &view()), Err(Unclear));
}

#[test]
fn a_tie_makes_no_difference_up() {
    let entries =
        vec![value("v", "x", 4), ValueEntry { layer: b"b".to_vec(), ..value("v", "y", 4) }];
    let mut table = LayerTable::new();
    let other = table.get(&FoldedName::new("base")).expect("base").as_ref().clone();
    table.publish(FoldedName::new("b"), other, 16).expect("room");
    let mut known = Known::nothing();
    known.learn_values(root().key(), &entries, &[]);
    let view = View::global(Arc::new(table));
    assert_eq!(known.difference(&removed(&root(), "v"), &view), Err(Unclear));
}

/// A transaction's numbers are older than its commit, by which it replaces what was written meanwhile.
#[test]
fn what_is_heard_in_order_replaces_what_has_a_higher_number() {
    let key = root();
    let mut known = Known::nothing();
    known.learn_values(key.key(), &[value("v", "x", 7)], &[]);
    let mut late = known.clone();
    let mut kinds = |change| kinds(known.difference(&change, &view()));
    assert_eq!(kinds(set(&key, "v", "y", 5)), [EventKind::ValueSet]);
    assert_eq!(kinds(set(&key, "v", "x", 6)), [EventKind::ValueSet]);
    late.overtake(&set(&key, "v", "y", 5), Heard::Late);
    let difference = late.difference(&set(&key, "v", "x", 8), &view());
    assert_eq!(difference, Ok(Vec::new()));
}
