//! Requests that find no slot, since others are not answered (PSD-005 §7.1, P-261, P-262).

use std::collections::BTreeSet;

use super::*;

const LIMIT: u32 = 8;
const NEW: &str = "Other\\A\\New";

/// A scene in which so many of the source's slots are left.
fn crowded(left: u32) -> Scene {
    let scene = Scene::new();
    let registry = scene.client.make("Machine\\System\\Registry");
    scene.client.set(registry, "MaxConcurrentRSIRequests", LIMIT, "").unwrap();
    scene.machine.other.store().ignored.insert(Operation::Flush);
    for _ in left..LIMIT {
        flush(&scene, scene.watch);
    }
    scene.machine.other.store().ignored.clear();
    scene
}

/// Has a slot taken, or a place in the line.
fn flush(scene: &Scene, fd: i32) {
    let me = scene.client.clone();
    scene.machine.world.spawn(async move {
        // Answered or not, it had its place.
        let _ = me.ioctl_at(fd, abi::ioctl::REG_IOC_FLUSH, 0).await;
    });
    scene.machine.world.run_until_stalled();
}

#[test]
fn a_mutation_without_a_slot_is_never_sent() {
    for mutation in MUTATIONS {
        let scene = crowded(0);
        let sent = scene.machine.other.store().log.len();
        assert_eq!(mutation.call(&scene.client, scene.key), Err(Errno::ETIMEDOUT), "{mutation:?}");
        assert_eq!(scene.machine.other.store().log.len(), sent);
        scene.machine.other.answer_late();
        assert_eq!(scene.effects(), NOTHING);
        assert!(scene.is_active());
    }
}

#[test]
fn a_timed_out_request_keeps_its_slot_until_it_is_answered() {
    let scene = crowded(1);
    scene.machine.other.store().stalled = BTreeSet::from([Operation::SetValue]);
    assert_eq!(scene.client.set(scene.key, "v", 2, ""), Err(Errno::ETIMEDOUT));
    assert_eq!(scene.client.get(scene.key, "v"), Err(Errno::ETIMEDOUT));
    scene.machine.other.answer_late();
    scene.machine.settle();
    assert_eq!(scene.client.get(scene.key, "v"), Ok((2, "base".to_owned())));
}

#[test]
fn a_request_that_gets_a_slot_has_what_is_left_of_its_time() {
    let scene = crowded(0);
    let (me, key) = (scene.client.clone(), scene.key);
    let args = scene.client.query_args("v");
    let asked = scene.machine.other.count(Operation::QueryValues);
    let started = scene.client.world.env.now();
    let ended = std::rc::Rc::new(std::cell::Cell::new(None));
    let slot = std::rc::Rc::clone(&ended);
    scene.machine.world.spawn(async move {
        let asked = me.ioctl(key, abi::ioctl::REG_IOC_QUERY_VALUE, args).await.0;
        slot.set(Some((asked, me.world.env.now() - started)));
    });
    scene.client.go(|me| async move {
        let half = me.world.env.now() + 15_000_000_000;
        me.world.env.sleep_until(half).await;
    });
    scene.machine.other.store().stalled = BTreeSet::from([Operation::QueryValues]);
    scene.machine.other.answer_first();
    scene.client.go(|me| async move {
        let later = me.world.env.now() + 20_000_000_000;
        me.world.env.sleep_until(later).await;
    });
    let (answer, took) = ended.take().unwrap();
    assert_eq!(answer, Err(Errno::ETIMEDOUT));
    assert!((29_000_000_000..31_000_000_000).contains(&took));
    assert_eq!(scene.machine.other.count(Operation::QueryValues), asked + 1);
}

#[test]
fn a_key_record_without_a_slot_is_sent_when_there_is_one() {
    for in_transaction in [false, true] {
        let scene = crowded(1);
        scene.make_transactions_last();
        let Scene { machine, client, watch, .. } = &scene;
        let transaction = if in_transaction { client.begin().unwrap() } else { -1 };
        machine.other.store().stalled = BTreeSet::from([Operation::CreateEntry]);
        let (me, args) = (client.clone(), client.within(transaction).create_args(NEW, ""));
        machine.world.spawn(async move {
            let created = me.create_with(args).await;
            assert_eq!(created.map(|_| ()), Err(Errno::ETIMEDOUT));
        });
        machine.world.run_until_stalled();
        // This takes the slot that the path entry leaves.
        machine.other.store().ignored.insert(Operation::Flush);
        flush(&scene, *watch);
        assert!(machine.other.answer_one(LIMIT as usize - 1));
        client.go(|me| async move {
            let later = me.world.env.now() + 40_000_000_000;
            me.world.env.sleep_until(later).await;
        });
        assert_eq!(machine.other.count(Operation::CreateKey), 1);
        machine.other.store().ignored.clear();
        machine.other.answer_late();
        machine.settle();
        if in_transaction {
            client.commit(transaction).unwrap();
        }
        assert!(client.open(NEW).is_ok(), "{in_transaction}");
    }
}

#[test]
fn a_binding_without_a_slot_can_be_tried_again_under_the_same_id() {
    let scene = crowded(1);
    scene.make_transactions_last();
    let transaction = scene.client.begin().unwrap();
    let within = scene.client.within(transaction);
    scene.machine.other.store().stalled = BTreeSet::from([Operation::Lookup]);
    assert_eq!(scene.client.open("Other\\A"), Err(Errno::ETIMEDOUT));
    let begun = || scene.machine.other.count(Operation::BeginTransaction);
    assert_eq!(within.delete(scene.key, ""), Err(Errno::ETIMEDOUT));
    assert_eq!(begun(), 0);
    scene.machine.other.answer_late();
    scene.machine.settle();
    within.set(scene.key, "v", 2, "").unwrap();
    let (begun, other) = (begun(), scene.client.begin().unwrap());
    assert_eq!(begun, 1);
    scene.client.within(other).set(scene.watch, "v", 2, "").unwrap_err();
    let store = scene.machine.other.store();
    let open: Vec<u64> = store.transactions.keys().copied().collect();
    assert_eq!(open, [1, 2]);
}
