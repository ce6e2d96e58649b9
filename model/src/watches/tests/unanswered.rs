//! Layer operations whose source stops answering when it is asked what there is to tell (P-183, P-520).

use std::collections::BTreeSet;

use super::*;
use crate::coverage::Covered;
use crate::database::Map;
use crate::layers::Layer;
use crate::names::KeyName;
use crate::state::DescriptionId;
use crate::watches::records::{Kind, Record};
use crate::watches::{
    QueuedEvents, REG_NOTIFY_SD, REG_NOTIFY_VALUE, Watch, layers_changed, possible_unanswered,
};

type Queues = Map<DescriptionId, Watch>;

/// Whether the only watch may be told just these events, in this order, if the layer `l` is switched on or off and the
/// source stops answering over that.
fn may_be_told(world: &World, expected: &[Record]) -> bool {
    is_among(&switched(world), expected)
}

fn is_among(possible: &[Queues], expected: &[Record]) -> bool {
    let events: Vec<u8> = expected.iter().flat_map(|record| record.bytes().to_vec()).collect();
    let is_so = |watches: &Queues| {
        let (id, watch) = watches.iter().next().unwrap();
        let queue = QueuedEvents::new(*id, watch.queue.clone(), 100_000).read(&events);
        queue.is_some_and(|rest| rest.is_empty())
    };
    possible.iter().any(is_so)
}

fn switched(world: &World) -> Vec<Queues> {
    let before = &world.state;
    let mut exact = before.clone();
    let name = KeyName::stored("l").folded().clone();
    let layer = exact.layers.get(&name).unwrap().clone();
    exact.layers.insert_mut(name, Layer { enabled: !layer.enabled, ..layer });
    let untold = exact.clone();
    layers_changed(before, &mut exact, |_| true, &mut Covered::new());
    let hives: Vec<_> = exact.hives.keys().copied().collect();
    possible_unanswered(before, &untold, &exact, &hives)
}

fn set_at(name: &str, path: &[&str]) -> Record {
    record(Kind::ValueSet, name, path)
}

fn record(kind: Kind, name: &str, path: &[&str]) -> Record {
    let path: Vec<KeyName> = path.iter().map(|name| KeyName::stored(name)).collect();
    Record::of(kind, name, Some(&path)).unwrap()
}

/// A subtree watch on a key, below which a disabled layer has two values in `a` and one in `b`.
fn two_keys(world: &mut World) -> Fd {
    let layer = world.layer("l", 5);
    world.set(layer, "Enabled", 0);
    let top = world.create("Users\\k");
    let (a, b) = (world.create("Users\\k\\a"), world.create("Users\\k\\b"));
    world.set_in(a, "v", 1, "l");
    world.set_in(a, "w", 1, "l");
    world.set_in(b, "x", 1, "l");
    world.watch_subtree(top);
    top
}

#[test]
fn a_key_is_told_of_as_a_whole_or_not_at_all() {
    let mut world = World::new();
    two_keys(&mut world);
    let [v, w, x] = [set_at("v", &["a"]), set_at("w", &["a"]), set_at("x", &["b"])];
    let lost = Record::overflow();
    let may_be_told = |events: &[&Record]| {
        may_be_told(&world, &events.iter().map(|record| (*record).clone()).collect::<Vec<_>>())
    };
    assert!(may_be_told(&[&x, &v, &w]) && may_be_told(&[&w, &x, &v, &lost]));
    assert!(may_be_told(&[&lost]) && may_be_told(&[&x, &lost]));
    assert!(may_be_told(&[&v, &w, &lost]) && may_be_told(&[&w, &v, &lost]));
    for half in [&v, &w] {
        assert!(!may_be_told(&[half, &lost]) && !may_be_told(&[half, &x, &lost]));
    }
    assert!(!may_be_told(&[&v, &w]) && !may_be_told(&[&x]));
}

#[test]
fn who_has_overflow_is_told_of_some_keys_all_the_same() {
    let mut world = World::new();
    two_keys(&mut world);
    for (id, mut watch) in world.state.watches.clone().iter().map(|(id, w)| (*id, w.clone())) {
        watch.queue.overflow(16, &mut Covered::new());
        world.state.watches.insert_mut(id, watch);
    }
    let [v, w, x] = [set_at("v", &["a"]), set_at("w", &["a"]), set_at("x", &["b"])];
    let lost = Record::overflow();
    assert!(may_be_told(&world, &[lost.clone(), x.clone()]));
    assert!(may_be_told(&world, &[lost.clone(), w.clone(), v.clone()]));
    assert!(may_be_told(&world, &[lost.clone(), w, v.clone(), x.clone()]));
    assert!(!may_be_told(&world, &[lost, x, v]));
}

#[test]
fn what_lies_below_children_that_were_not_read_is_not_told() {
    let mut world = World::new();
    let layer = world.layer("l", 5);
    world.set(layer, "Enabled", 0);
    let top = world.create("Users\\k");
    let child = world.create_in("Users\\k\\c", "l");
    world.set_in(child, "v", 1, "l");
    world.watch_subtree(top);
    let (come, set) = (record(Kind::SubkeyCreated, "c", &[]), set_at("v", &["c"]));
    let lost = Record::overflow();
    assert!(may_be_told(&world, &[set.clone(), come.clone()]));
    assert!(may_be_told(&world, &[come, lost.clone()]));
    assert!(!may_be_told(&world, &[set, lost]));
}

#[test]
fn an_orphan_is_told_of_itself_whatever_was_read() {
    let mut world = World::new();
    world.layer("l", 5);
    let child = world.create_in("Users\\c", "l");
    world.set(child, "v", 1);
    world.set_in(child, "v", 2, "l");
    world.watch(child);
    let (before, mut exact) = (&world.state, world.state.clone());
    let hive = world.state.open_keys.get(&(ALICE, child)).unwrap().hive();
    let name = KeyName::stored("l").folded().clone();
    exact.layers.remove_mut(&name);
    for key in exact.database_mut(hive).delete_layer(&name).orphans {
        exact.orphans.insert_mut((hive, key));
    }
    let untold = exact.clone();
    layers_changed(before, &mut exact, |_| true, &mut Covered::new());
    let possible = possible_unanswered(before, &untold, &exact, &[hive]);
    let [set, gone, lost] = [
        Record::of(Kind::ValueSet, "v", None).unwrap(),
        Record::of(Kind::KeyDeleted, "", None).unwrap(),
        Record::overflow(),
    ];
    let may_be_told = |events: &[&Record]| {
        is_among(&possible, &events.iter().map(|record| (*record).clone()).collect::<Vec<_>>())
    };
    assert!(may_be_told(&[&gone, &set]) && may_be_told(&[&gone, &lost]));
    assert!(may_be_told(&[&lost, &gone]) && may_be_told(&[&set, &lost, &gone]));
    assert!(!may_be_told(&[&lost]) && !may_be_told(&[&set, &lost]));
    assert!(!may_be_told(&[&lost, &gone, &set]) && !may_be_told(&[&gone, &lost, &gone]));
}

#[test]
fn a_watch_that_no_layer_can_tell_anything_is_told_nothing() {
    let mut world = World::new();
    two_keys(&mut world);
    let (root, key) = (world.open("Users"), world.open("Users\\k"));
    let mut among = |fd: Fd, filter: u32, subtree: bool| {
        world.done(Call::Notify { fd, filter, subtree: u8::from(subtree) });
        let id = world.state.open_keys.get(&(ALICE, fd)).unwrap().description;
        let mut possible: Vec<bool> =
            switched(&world).iter().map(|all| all.get(&id).unwrap().queue.has_overflow()).collect();
        possible.sort_unstable();
        possible.dedup();
        possible
    };
    assert_eq!(among(root, REG_NOTIFY_SD, false), [false]);
    // The key itself may go, or one below it.
    assert_eq!(among(key, REG_NOTIFY_SD, false), [false, true]);
    assert_eq!(among(root, REG_NOTIFY_SD, true), [false, true]);
    assert_eq!(among(root, REG_NOTIFY_VALUE, false), [false, true]);
}

#[test]
fn many_watches_are_told_each_by_itself_up_to_a_bound() {
    let mut world = World::new();
    two_keys(&mut world);
    let mut more = |count: usize| {
        for _ in 0..count {
            let fd = world.open("Users\\k");
            world.watch_subtree(fd);
        }
        let possible = switched(&world);
        let lost = |all: &Queues| all.iter().filter(|(_, one)| one.queue.has_overflow()).count();
        let lost: BTreeSet<usize> = possible.iter().map(lost).collect();
        (lost.into_iter().collect::<Vec<usize>>(), possible.len())
    };
    // Each of three has five ways; of five it is three ways; and of 25 all but four go the same three ways.
    assert_eq!(more(2), ((0..=3).collect(), 125));
    assert_eq!(more(2), ((0..=5).collect(), 243));
    assert_eq!(more(20), ((0..=4).chain(21..=25).collect(), 243));
}
