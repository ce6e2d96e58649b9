//! Keys of which a half came late.

use super::*;

fn entries(scene: &Scene) -> usize {
    scene.machine.other.store().entries.keys().filter(|(_, name, _)| name == "new").count()
}

#[test]
fn a_late_path_entry_gets_its_key() {
    for delay in DELAYS {
        let scene = Scene::timed_out(Mutation::CreateEntry, delay);
        assert_eq!(scene.machine.other.count(Operation::CreateKey), 1);
        scene.machine.other.answer_late();
        scene.machine.settle();
        assert_eq!(scene.machine.other.count(Operation::CreateKey), 2);
        assert!(scene.client.open("Other\\A\\New").is_ok());
    }
}

#[test]
fn half_a_key_is_malformed_data() {
    let scene = Scene::timed_out(Mutation::CreateEntry, Delay::Withheld);
    assert_eq!(scene.client.open("Other\\A\\New"), Err(Errno::EIO));
    assert_eq!(scene.client.create("Other\\A\\New", ""), Err(Errno::EIO));
    assert!(scene.client.open("Other\\A").is_ok());
}

#[test]
fn a_key_whose_record_is_late_is_told_of_with_the_record() {
    let scene = Scene::timed_out(Mutation::CreateEntry, Delay::Stalled);
    scene.machine.other.store().stalled = [Operation::CreateKey].into();
    scene.machine.other.answer_first();
    assert_eq!(scene.effects(), NOTHING);
    scene.machine.other.answer_late();
    assert_eq!(scene.effects(), (vec!["SUBKEY_CREATED New @A".to_owned()], 1));
}

#[test]
fn a_path_entry_whose_key_is_refused_late_is_taken_back() {
    let scene = Scene::timed_out(Mutation::CreateKey, Delay::Stalled);
    assert_eq!(entries(&scene), 1);
    refuse(&scene.machine.other, Operation::CreateKey);
    scene.machine.other.answer_late();
    scene.machine.settle();
    assert_eq!(entries(&scene), 0);
    scene.machine.other.store().refusals.clear();
    assert!(scene.client.create("Other\\A\\New", "").is_ok());
}

#[test]
fn a_late_path_entry_whose_key_is_refused_is_taken_back() {
    let scene = Scene::timed_out(Mutation::CreateEntry, Delay::Stalled);
    refuse(&scene.machine.other, Operation::CreateKey);
    scene.machine.other.answer_late();
    assert_eq!(scene.effects(), NOTHING);
    assert_eq!(entries(&scene), 0);
}

#[test]
fn a_creation_that_timed_out_leaves_no_fd_that_keeps_its_key() {
    let scene = Scene::timed_out(Mutation::CreateKey, Delay::Withheld);
    scene.machine.other.answer_late();
    scene.machine.settle();
    let key = scene.client.open("Other\\A\\New").unwrap();
    scene.client.delete(key, "").unwrap();
    scene.client.close(key).unwrap();
    assert_eq!(scene.machine.other.count(Operation::DropKey), 1);
}

#[test]
fn a_late_path_entry_gets_no_key_from_a_source_that_has_been_away() {
    let mut scene = Scene::timed_out(Mutation::CreateEntry, Delay::Withheld);
    scene.machine.other.answer_late();
    scene.machine.other.kill();
    scene.machine.other.start(&scene.machine.world, &scene.machine.lcs).unwrap();
    assert_eq!(scene.effects(), (vec!["OVERFLOW".to_owned()], 0));
    assert_eq!(scene.machine.other.count(Operation::CreateKey), 1);
}

#[test]
fn a_late_key_whose_layer_was_deleted_meanwhile_is_dropped() {
    for operation in [Operation::CreateEntry, Operation::CreateKey] {
        let Scene { machine, client, key, watch, .. } = &Scene::new();
        machine.other.store().withheld.insert(operation);
        let created = client.create("Other\\A\\New", "gpo");
        assert_eq!(created.map(|_| ()), Err(Errno::ETIMEDOUT));
        let gpo = client.open("Machine\\System\\Registry\\Layers\\gpo").unwrap();
        client.delete(gpo, "").unwrap();
        client.events(*watch);
        let generation = client.generation("Other");
        machine.other.answer_late();
        machine.settle();
        assert_eq!(client.events(*watch), [""; 0], "{operation:?}");
        assert_eq!(client.generation("Other"), generation);
        client.delete(*key, "").unwrap();
        client.close(*key).unwrap();
        // The root is left.
        assert_eq!(machine.other.store().keys.len(), 1);
    }
}

#[test]
fn a_hidden_entry_that_goes_late_shows_what_it_hid() {
    for delay in DELAYS {
        let Scene { machine, client, key, watch, .. } = &Scene::new();
        client.hide(*key, "gpo").unwrap();
        client.events(*watch);
        let generation = client.generation("Other");
        delay.of(&machine.other, Operation::DeleteEntry);
        assert_eq!(client.create("Other\\A", "gpo").map(|_| ()), Err(Errno::ETIMEDOUT));
        assert_eq!(machine.other.count(Operation::CreateEntry), 1);
        machine.other.answer_late();
        machine.settle();
        assert!(client.open("Other\\A").is_ok());
        assert_eq!(client.events(*watch), ["SUBKEY_CREATED A @"]);
        assert_eq!(client.generation("Other"), generation + 1);
    }
}
