//! Layers and parameters that change late, and layers whose deletion does.

use super::*;

const MAX_VALUE_SIZE: &str = "MaxValueSize";

/// A layer that was deleted while the other source lay on it, with a key in it that is open.
fn deleted(delay: Delay) -> (Machine, Client, i32) {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let (key, _) = client.create("Other\\A", "gpo").unwrap();
    delay.of(&machine.other, Operation::DeleteLayer);
    assert_eq!(client.delete(gpo, ""), Err(Errno::ETIMEDOUT));
    (machine, client, key)
}

#[test]
fn a_late_metadata_key_makes_its_layer() {
    for operation in [Operation::CreateEntry, Operation::CreateKey] {
        let machine = Machine::new();
        let client = machine.client();
        client.make("Machine\\System\\Registry\\Layers");
        let key = client.make("Other\\A");
        machine.source.store().stalled.insert(operation);
        let made = client.create("Machine\\System\\Registry\\Layers\\gpo", "");
        assert_eq!(made.map(|_| ()), Err(Errno::ETIMEDOUT));
        assert_eq!(client.set(key, "v", 1, "gpo"), Err(Errno::ENOENT));
        machine.source.answer_late();
        machine.settle();
        client.set(key, "v", 1, "gpo").unwrap();
    }
}

#[test]
fn a_late_deletion_of_a_metadata_key_deletes_its_layer() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let key = client.make("Other\\A");
    client.set(key, "v", 1, "gpo").unwrap();
    machine.source.store().stalled.insert(Operation::DeleteEntry);
    assert_eq!(client.delete(gpo, ""), Err(Errno::ETIMEDOUT));
    assert_eq!(client.get(key, "v"), Ok((1, "gpo".to_owned())));
    machine.source.answer_late();
    machine.settle();
    assert_eq!(client.get(key, "v"), Err(Errno::ENOENT));
    assert!(machine.other.store().values.is_empty());
}

#[test]
fn a_late_parameter_is_followed() {
    let machine = Machine::new();
    let client = machine.client();
    let (registry, key) = (client.make("Machine\\System\\Registry"), client.make("Other\\A"));
    machine.source.store().stalled.insert(Operation::SetValue);
    assert_eq!(client.set(registry, MAX_VALUE_SIZE, 4096, ""), Err(Errno::ETIMEDOUT));
    let set = || client.set_with(key, client.set_args("v", 3, &[0; 4097], ""));
    assert_eq!(set(), Ok(()));
    machine.source.answer_late();
    machine.settle();
    assert_eq!(set(), Err(Errno::ENOSPC));
}

#[test]
fn a_layer_deletion_that_is_not_answered_in_time_takes_the_layer_away() {
    for delay in DELAYS {
        let (_machine, client, key) = deleted(delay);
        assert_eq!(client.set(key, "v", 1, "gpo"), Err(Errno::ENOENT));
        assert_eq!(client.open("Other\\A"), Err(Errno::ENOENT));
    }
}

#[test]
fn a_late_layer_deletion_tells_of_the_orphans() {
    for delay in DELAYS {
        let (machine, client, key) = deleted(delay);
        machine.other.answer_late();
        machine.settle();
        assert_eq!(client.hide(key, ""), Err(Errno::ENOENT));
        client.close(key).unwrap();
        assert_eq!(machine.other.count(Operation::DropKey), 1);
    }
}

#[test]
fn a_layer_deletion_is_owed_until_it_succeeds_late() {
    for answered in [true, false] {
        let (mut machine, client, _) = deleted(Delay::Stalled);
        if answered {
            machine.other.answer_late();
            machine.settle();
        }
        machine.other.kill();
        machine.other.start(&machine.world, &machine.lcs).unwrap();
        machine.settle();
        assert_eq!(machine.other.count(Operation::DeleteLayer), 1 + usize::from(!answered));
        assert_eq!(client.open("Other\\A"), Err(Errno::ENOENT));
    }
}

#[test]
fn a_layer_deletion_that_is_refused_or_malformed_late_stays_owed() {
    for refused in [true, false] {
        let (mut machine, _, _) = deleted(Delay::Stalled);
        if refused {
            refuse(&machine.other, Operation::DeleteLayer);
            machine.other.answer_late();
        } else {
            machine.other.answer_malformed();
        }
        machine.settle();
        machine.other.store().refusals.clear();
        machine.other.kill();
        machine.other.start(&machine.world, &machine.lcs).unwrap();
        machine.settle();
        assert_eq!(machine.other.count(Operation::DeleteLayer), 2);
    }
}

#[test]
fn a_late_deletion_of_a_layer_that_is_there_again_is_told_as_overflow() {
    let (machine, client, _) = deleted(Delay::Stalled);
    client.layer("gpo", 5);
    let watch = client.make("Other\\B");
    client.set(watch, "v", 1, "gpo").unwrap();
    client.notify(watch, REG_NOTIFY_ALL, false).unwrap();
    let generation = client.generation("Other");
    machine.other.answer_late();
    machine.settle();
    assert_eq!(client.get(watch, "v"), Err(Errno::ENOENT));
    assert_eq!(client.events(watch), ["OVERFLOW"]);
    assert_eq!(client.generation("Other"), generation + 1);
}

#[test]
fn a_late_write_into_a_layer_that_is_gone_is_purged() {
    let machine = Machine::new();
    let client = machine.client();
    let (gpo, key) = (client.layer("gpo", 5), client.make("Other\\A"));
    machine.other.store().stalled.insert(Operation::SetValue);
    assert_eq!(client.set(key, "v", 1, "gpo"), Err(Errno::ETIMEDOUT));
    client.delete(gpo, "").unwrap();
    machine.other.answer_late();
    machine.settle();
    assert!(machine.other.store().values.is_empty());
    client.layer("gpo", 5);
    assert_eq!(client.get(key, "v"), Err(Errno::ENOENT));
}
