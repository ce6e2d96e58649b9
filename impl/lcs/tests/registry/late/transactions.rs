//! Transactions of which something is not answered in time.

use abi::{REG_TXN_ACTIVE_BOUND, REG_TXN_ACTIVE_UNBOUND, REG_TXN_TIMED_OUT};

use super::*;

fn state(client: &Client, transaction: i32) -> u32 {
    client.status(transaction).unwrap().0
}

/// The transactions that requests of an operation named, in order.
fn ids(source: &Source, operation: Operation) -> Vec<u64> {
    let store = source.store();
    let named = store.log.iter().zip(&store.within);
    named.filter(|(logged, _)| **logged == operation).map(|(_, id)| *id).collect()
}

/// A transaction in which a write to `v` has not been answered in time.
fn unanswered(scene: Scene, delay: Delay) -> (Scene, i32) {
    let transaction = scene.client.begin().unwrap();
    let within = scene.client.within(transaction);
    within.set(scene.key, "w", 1, "").unwrap();
    delay.of(&scene.machine.other, Operation::SetValue);
    assert_eq!(within.set(scene.key, "v", 2, ""), Err(Errno::ETIMEDOUT));
    (scene, transaction)
}

/// As [`unanswered`], in a transaction that lives on.
fn unanswered_and_alive(delay: Delay) -> (Scene, i32) {
    let scene = Scene::new();
    scene.make_transactions_last();
    unanswered(scene, delay)
}

/// A transaction whose beginning has not been answered in time.
fn unbegun(delay: Delay) -> (Scene, i32, Client) {
    let scene = Scene::new();
    scene.make_transactions_last();
    let transaction = scene.client.begin().unwrap();
    let within = scene.client.within(transaction);
    delay.of(&scene.machine.other, Operation::BeginTransaction);
    assert_eq!(within.set(scene.key, "v", 2, ""), Err(Errno::ETIMEDOUT));
    assert_eq!(state(&scene.client, transaction), REG_TXN_ACTIVE_UNBOUND);
    (scene, transaction, within)
}

#[test]
fn a_transaction_that_was_not_begun_in_time_is_bound_under_another_id() {
    for delay in DELAYS {
        let (scene, transaction, within) = unbegun(delay);
        within.set(scene.key, "v", 3, "").unwrap();
        scene.machine.other.answer_late();
        scene.machine.settle();
        scene.client.commit(transaction).unwrap();
        assert_eq!(scene.client.get(scene.key, "v"), Ok((3, "base".to_owned())));
        let begun = ids(&scene.machine.other, Operation::BeginTransaction);
        assert_eq!(ids(&scene.machine.other, Operation::AbortTransaction), [begun[0]]);
        assert_ne!(begun[0], begun[1]);
        assert_eq!(ids(&scene.machine.other, Operation::CommitTransaction), [begun[1]]);
        assert!(scene.machine.other.store().transactions.is_empty());
    }
}

#[test]
fn a_beginning_that_is_refused_late_is_not_aborted() {
    let (scene, _, _) = unbegun(Delay::Stalled);
    refuse(&scene.machine.other, Operation::BeginTransaction);
    scene.machine.other.answer_late();
    scene.machine.settle();
    assert_eq!(scene.machine.other.count(Operation::AbortTransaction), 0);
}

#[test]
fn a_beginning_that_is_answered_with_malformed_data_is_aborted() {
    let (scene, _, within) = unbegun(Delay::Withheld);
    scene.machine.other.answer_malformed();
    scene.machine.settle();
    scene.machine.world.run_until_stalled();
    assert!(scene.machine.other.store().transactions.is_empty());
    within.set(scene.key, "v", 3, "").unwrap();
}

#[test]
fn a_mutation_that_is_accepted_late_is_part_of_the_commit() {
    for delay in DELAYS {
        let (scene, transaction) = unanswered_and_alive(delay);
        assert_eq!(state(&scene.client, transaction), REG_TXN_ACTIVE_BOUND);
        scene.machine.other.answer_late();
        assert_eq!(scene.effects(), NOTHING);
        scene.client.commit(transaction).unwrap();
        let told = ["VALUE_SET w @A", "VALUE_SET v @A"].map(str::to_owned).to_vec();
        assert_eq!(scene.effects(), (told, 1), "{delay:?}");
    }
}

#[test]
fn a_mutation_that_is_refused_late_is_no_part_of_the_commit() {
    let (scene, transaction) = unanswered_and_alive(Delay::Stalled);
    refuse(&scene.machine.other, Operation::SetValue);
    scene.machine.other.answer_late();
    scene.machine.settle();
    scene.client.commit(transaction).unwrap();
    assert_eq!(scene.effects(), (vec!["VALUE_SET w @A".to_owned()], 1));
}

#[test]
fn a_mutation_that_is_heard_of_after_the_commit_has_its_effects_then() {
    let (scene, transaction) = unanswered_and_alive(Delay::Withheld);
    scene.client.commit(transaction).unwrap();
    assert_eq!(scene.effects(), (vec!["VALUE_SET w @A".to_owned()], 1));
    assert_eq!(scene.client.get(scene.key, "v"), Ok((2, "base".to_owned())));
    scene.machine.other.answer_late();
    assert_eq!(scene.effects(), (vec!["OVERFLOW".to_owned()], 2));
}

#[test]
fn a_mutation_that_is_heard_of_after_the_abort_has_no_effects() {
    for delay in DELAYS {
        let (scene, transaction) = unanswered_and_alive(delay);
        scene.client.close(transaction).unwrap();
        scene.machine.other.answer_late();
        assert_eq!(scene.effects(), NOTHING, "{delay:?}");
        assert_eq!(scene.client.get(scene.key, "v"), Ok((1, "base".to_owned())));
    }
}

#[test]
fn a_mutation_in_a_transaction_that_timed_out_with_it_has_no_effects() {
    let (scene, transaction) = unanswered(Scene::new(), Delay::Withheld);
    assert_eq!(state(&scene.client, transaction), REG_TXN_TIMED_OUT);
    scene.machine.other.answer_late();
    assert_eq!(scene.effects(), NOTHING);
}

#[test]
fn a_mutation_that_is_heard_of_before_its_commit_is_waits_for_that() {
    for succeeds in [true, false] {
        let (scene, transaction) = unanswered_and_alive(Delay::Withheld);
        scene.machine.other.store().stalled.insert(Operation::CommitTransaction);
        assert_eq!(scene.client.commit(transaction), Err(Errno::ETIMEDOUT));
        if !succeeds {
            refuse(&scene.machine.other, Operation::CommitTransaction);
        }
        assert!(scene.machine.other.answer_one(0));
        assert_eq!(scene.effects(), NOTHING);
        assert!(scene.machine.other.answer_one(0));
        let (events, steps) = scene.effects();
        match succeeds {
            true => {
                assert_eq!(events, ["VALUE_SET w @A", "OVERFLOW"]);
                assert_eq!(steps, 2);
            }
            false => assert_eq!((events, steps), NOTHING),
        }
    }
}

#[test]
fn a_creation_that_is_heard_of_after_the_commit_is_completed_then() {
    let scene = Scene::new();
    scene.make_transactions_last();
    let transaction = scene.client.begin().unwrap();
    let within = scene.client.within(transaction);
    scene.machine.other.store().withheld.insert(Operation::CreateEntry);
    assert_eq!(within.create("Other\\A\\New", "").map(|_| ()), Err(Errno::ETIMEDOUT));
    scene.client.commit(transaction).unwrap();
    assert_eq!(scene.client.open("Other\\A\\New"), Err(Errno::EIO));
    scene.machine.other.answer_late();
    scene.machine.settle();
    assert!(scene.client.open("Other\\A\\New").is_ok());
    assert_eq!(ids(&scene.machine.other, Operation::CreateKey), [0, 0]);
}

#[test]
fn a_key_that_is_refused_late_in_a_transaction_leaves_no_entry() {
    for committed in [true, false] {
        let scene = Scene::new();
        scene.make_transactions_last();
        let transaction = scene.client.begin().unwrap();
        let within = scene.client.within(transaction);
        refuse(&scene.machine.other, Operation::CreateKey);
        scene.machine.other.store().withheld.insert(Operation::CreateKey);
        assert_eq!(within.create("Other\\A\\New", "").map(|_| ()), Err(Errno::ETIMEDOUT));
        if committed {
            scene.client.commit(transaction).unwrap();
        }
        scene.machine.other.answer_late();
        scene.machine.settle();
        if !committed {
            scene.client.commit(transaction).unwrap();
        }
        assert_eq!(scene.client.open("Other\\A\\New"), Err(Errno::ENOENT));
        assert_eq!(scene.machine.other.count(Operation::DeleteEntry), 1);
    }
}

#[test]
fn a_layer_that_an_unanswered_mutation_names_ends_its_transaction_with_it() {
    let scene = Scene::new();
    scene.make_transactions_last();
    let transaction = scene.client.begin().unwrap();
    let within = scene.client.within(transaction);
    scene.machine.other.store().withheld.insert(Operation::SetValue);
    assert_eq!(within.set(scene.key, "v", 2, "gpo"), Err(Errno::ETIMEDOUT));
    let gpo = scene.client.open("Machine\\System\\Registry\\Layers\\gpo").unwrap();
    scene.client.delete(gpo, "").unwrap();
    assert_eq!(scene.client.commit(transaction), Err(Errno::EINVAL));
}

#[test]
fn a_late_abort_has_no_effects() {
    let scene = Scene::new();
    let transaction = scene.client.begin().unwrap();
    scene.client.within(transaction).set(scene.key, "v", 2, "").unwrap();
    scene.machine.other.store().stalled.insert(Operation::AbortTransaction);
    scene.client.close(transaction).unwrap();
    scene.machine.other.answer_late();
    assert_eq!(scene.effects(), NOTHING);
    assert!(scene.machine.other.store().transactions.is_empty());
}

#[test]
fn a_hidden_entry_that_goes_late_in_a_transaction_is_told_at_the_commit() {
    let scene = &Scene::new();
    let Scene { machine, client, key, watch, .. } = scene;
    scene.make_transactions_last();
    client.hide(*key, "gpo").unwrap();
    client.events(*watch);
    let transaction = client.begin().unwrap();
    let within = client.within(transaction);
    machine.other.store().withheld.insert(Operation::DeleteEntry);
    assert_eq!(within.create("Other\\A", "gpo").map(|_| ()), Err(Errno::ETIMEDOUT));
    machine.other.answer_late();
    machine.settle();
    client.commit(transaction).unwrap();
    assert_eq!(client.events(*watch), ["SUBKEY_CREATED A @"]);
}
