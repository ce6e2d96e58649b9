//! Keys that lose their last name late.

use super::*;

#[test]
fn a_late_deletion_or_hiding_makes_an_orphan_of_an_open_key() {
    for (delay, delete) in DELAYS.iter().flat_map(|delay| [(delay, true), (delay, false)]) {
        let Scene { machine, client, key, .. } = &Scene::new();
        let operation = if delete { Operation::DeleteEntry } else { Operation::HideEntry };
        delay.of(&machine.other, operation);
        let remove = || if delete { client.delete(*key, "") } else { client.hide(*key, "") };
        assert_eq!(remove(), Err(Errno::ETIMEDOUT));
        machine.other.answer_late();
        machine.settle();
        assert_eq!(client.hide(*key, ""), Err(Errno::ENOENT));
        assert_eq!(client.get(*key, "v"), Ok((1, "base".to_owned())));
        client.close(*key).unwrap();
        assert_eq!(machine.other.count(Operation::DropKey), 1);
    }
}

#[test]
fn a_late_deletion_drops_a_key_that_was_closed_meanwhile() {
    let scene = Scene::timed_out(Mutation::Delete, Delay::Stalled);
    scene.client.close(scene.key).unwrap();
    scene.machine.other.answer_late();
    scene.machine.settle();
    assert_eq!(scene.machine.other.count(Operation::DropKey), 1);
}

#[test]
fn a_late_deletion_orphans_the_key_that_had_taken_the_name_meanwhile() {
    let Scene { machine, client, key, watch, .. } =
        &Scene::timed_out(Mutation::Delete, Delay::Stalled);
    client.delete(*key, "").unwrap();
    let (new, _) = client.create("Other\\A", "").unwrap();
    client.notify(new, REG_NOTIFY_ALL, false).unwrap();
    client.events(*watch);
    machine.other.answer_late();
    machine.settle();
    assert_eq!(client.open("Other\\A"), Err(Errno::ENOENT));
    assert_eq!(client.hide(new, ""), Err(Errno::ENOENT));
    assert_eq!(client.events(new), ["OVERFLOW", "KEY_DELETED"]);
    assert_eq!(client.events(*watch), ["OVERFLOW"]);
    client.close(new).unwrap();
    client.close(*key).unwrap();
    assert_eq!(machine.other.count(Operation::DropKey), 2);
}

#[test]
fn a_late_deletion_orphans_no_key_that_came_after_it() {
    let Scene { machine, client, key, .. } = &Scene::timed_out(Mutation::Delete, Delay::Withheld);
    let (new, _) = client.create("Other\\A", "").unwrap();
    machine.other.answer_late();
    machine.settle();
    client.hide(new, "gpo").unwrap();
    assert_eq!(client.hide(*key, "gpo"), Err(Errno::ENOENT));
}
