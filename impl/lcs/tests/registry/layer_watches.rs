//! What watches are told of layers that come, go or change rank.

use abi::{Errno, REG_NOTIFY_ALL, REG_NOTIFY_SD, REG_NOTIFY_SUBKEY, REG_NOTIFY_VALUE};
use rsi::{Operation, Status};

use crate::client::{Client, Machine};

/// Watches a key, hearing of nothing that was before.
fn watched(client: &Client, path: &str, filter: u32, subtree: bool) -> i32 {
    let fd = client.open(path).unwrap();
    client.notify(fd, filter, subtree).unwrap();
    fd
}

#[test]
fn a_deleted_layer_tells_what_surfaces_and_what_goes() {
    let client = Machine::new().client();
    let gpo = client.layer("gpo", 5);
    let fd = client.make("Machine\\A");
    client.set(fd, "both", 1, "").unwrap();
    client.set(fd, "both", 2, "gpo").unwrap();
    client.set(fd, "same", 1, "").unwrap();
    client.set(fd, "same", 1, "gpo").unwrap();
    client.set(fd, "only", 1, "gpo").unwrap();
    client.set(fd, "buried", 1, "").unwrap();
    client.bury(fd, "buried", "gpo").unwrap();
    let direct = watched(&client, "Machine\\A", REG_NOTIFY_ALL, false);
    let subtree = watched(&client, "Machine", REG_NOTIFY_VALUE, true);
    client.delete(gpo, "").unwrap();
    assert_eq!(
        client.events(direct),
        ["VALUE_SET both", "VALUE_SET buried", "VALUE_DELETED only"].map(str::to_owned)
    );
    assert_eq!(
        client.events(subtree),
        [
            "KEY_DELETED @System\\Registry\\Layers\\gpo",
            "VALUE_SET both @A",
            "VALUE_SET buried @A",
            "VALUE_DELETED only @A",
        ]
    );
}

#[test]
fn precedence_and_enabled_tell_the_difference_in_every_hive() {
    let client = Machine::new().client();
    let role = client.layer("role", 0);
    let fd = client.make("Other\\A");
    client.set(fd, "v", 1, "role").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    let watch = watched(&client, "Other", REG_NOTIFY_VALUE, true);
    client.set(role, "Precedence", 3, "").unwrap();
    assert_eq!(client.events(watch), ["VALUE_SET v @A"]);
    client.set(role, "Precedence", 4, "").unwrap();
    assert_eq!(client.events(watch), [""; 0]);
    client.set(role, "Enabled", 0, "").unwrap();
    assert_eq!(client.events(watch), ["VALUE_SET v @A"]);
    client.unset(role, "Enabled", "").unwrap();
    assert_eq!(client.events(watch), ["VALUE_SET v @A"]);
}

#[test]
fn keys_that_come_and_go_with_a_layer_are_told_of_in_order() {
    let client = Machine::new().client();
    let gpo = client.layer("gpo", 5);
    let lower = client.make("Machine\\P\\Both");
    client.hide(lower, "gpo").unwrap();
    let (upper, _) = client.create("Machine\\P\\BOTH", "gpo").unwrap();
    let (only, _) = client.create("Machine\\P\\Only", "gpo").unwrap();
    let hidden = client.make("Machine\\P\\Hidden");
    client.hide(hidden, "gpo").unwrap();
    let parent = watched(&client, "Machine\\P", REG_NOTIFY_SUBKEY, true);
    for fd in [upper, only, hidden, lower] {
        client.notify(fd, REG_NOTIFY_SD, false).unwrap();
    }
    client.delete(gpo, "").unwrap();
    assert_eq!(
        client.events(parent),
        [
            "SUBKEY_DELETED Both @",
            "SUBKEY_CREATED Both @",
            "KEY_DELETED @Both",
            "SUBKEY_CREATED Hidden @",
            "SUBKEY_DELETED Only @",
            "KEY_DELETED @Only",
        ]
    );
    assert_eq!(client.events(upper), ["KEY_DELETED"]);
    assert_eq!(client.events(only), ["KEY_DELETED"]);
    assert_eq!(client.events(hidden), [""; 0]);
    assert_eq!(client.events(lower), [""; 0]);
}

#[test]
fn a_key_that_a_deleted_layer_orphans_is_told_once_in_view_or_not() {
    let client = Machine::new().client();
    let low = client.layer("low", 1);
    let masked = client.create("Machine\\Masked", "low").unwrap().0;
    let seen = client.create("Machine\\Seen", "low").unwrap().0;
    client.layer("top", 5);
    client.hide(masked, "top").unwrap();
    for fd in [masked, seen] {
        client.notify(fd, REG_NOTIFY_SD, false).unwrap();
    }
    let above = watched(&client, "Machine", REG_NOTIFY_SD, true);
    client.delete(low, "").unwrap();
    assert_eq!(client.events(masked), ["KEY_DELETED"]);
    assert_eq!(client.events(seen), ["KEY_DELETED"]);
    let expected = ["KEY_DELETED @System\\Registry\\Layers\\low", "KEY_DELETED @Seen"];
    assert_eq!(client.events(above), expected);
}

#[test]
fn layers_that_are_gone_when_a_source_comes_back_are_exact_elsewhere() {
    let mut machine = Machine::new();
    let client = machine.client();
    client.make("Machine\\System\\Registry\\Layers");
    let mut args = client.create_args("Machine\\System\\Registry\\Layers\\brief", "");
    args.flags = abi::REG_OPTION_VOLATILE;
    client.go(|me| async move { me.create_with(args).await }).unwrap();
    let (here, there) = (client.make("Machine\\A"), client.make("Other\\A"));
    for fd in [here, there] {
        client.set(fd, "v", 1, "brief").unwrap();
        client.notify(fd, REG_NOTIFY_VALUE, false).unwrap();
    }
    machine.restart();
    assert_eq!(client.events(there), ["VALUE_DELETED v"]);
    assert_eq!(client.events(here), ["OVERFLOW"]);
}

#[test]
fn a_layer_that_is_made_shows_what_was_latent() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let fd = client.make("Other\\A");
    client.set(fd, "v", 1, "gpo").unwrap();
    machine.other.store().refusals.insert(Operation::DeleteLayer, Status::StorageError);
    assert_eq!(client.delete(gpo, ""), Err(Errno::EIO));
    let watch = watched(&client, "Other\\A", REG_NOTIFY_VALUE, false);
    client.layer("gpo", 0);
    assert_eq!(client.events(watch), ["VALUE_SET v"]);
}

#[test]
fn the_value_that_changes_a_layer_is_told_of_before_what_it_changes() {
    let client = Machine::new().client();
    let role = client.layer("role", 0);
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "role").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    let watch = watched(&client, "Machine", REG_NOTIFY_VALUE, true);
    client.set(role, "Precedence", 3, "").unwrap();
    assert_eq!(
        client.events(watch),
        ["VALUE_SET Precedence @System\\Registry\\Layers\\role", "VALUE_SET v @A"]
    );
}

#[test]
fn what_is_not_watched_is_not_read() {
    let machine = Machine::new();
    let client = machine.client();
    let role = client.layer("role", 0);
    client.make("Machine\\A");
    client.make("Machine\\B\\C");
    let watch = watched(&client, "Machine\\A", REG_NOTIFY_VALUE, false);
    let children = machine.source.count(Operation::EnumChildren);
    client.set(role, "Precedence", 3, "").unwrap();
    // The Layers key, and the root of Users for its generation.
    assert_eq!(machine.source.count(Operation::EnumChildren), children + 2);
    assert_eq!(client.events(watch), [""; 0]);
}

#[test]
fn a_watch_whose_keys_cannot_be_read_overflows() {
    let machine = Machine::new();
    let client = machine.client();
    let role = client.layer("role", 0);
    let fd = client.make("Other\\A");
    client.set(fd, "v", 1, "role").unwrap();
    let values = watched(&client, "Other\\A", REG_NOTIFY_VALUE, false);
    let subkeys = watched(&client, "Other\\A", REG_NOTIFY_SUBKEY, false);
    machine.other.store().refusals.insert(Operation::QueryValues, Status::StorageError);
    client.set(role, "Precedence", 3, "").unwrap();
    assert_eq!(client.events(values), ["OVERFLOW"]);
    assert_eq!(client.events(subkeys), [""; 0]);
}

#[test]
fn a_source_that_missed_a_deletion_overflows_after_it_has_heard_of_it() {
    let mut machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let fd = client.make("Other\\A");
    client.set(fd, "v", 1, "gpo").unwrap();
    let watch = watched(&client, "Other\\A", REG_NOTIFY_VALUE, false);
    machine.other.kill();
    machine.settle();
    client.delete(gpo, "").unwrap();
    assert_eq!(client.events(watch), [""; 0]);
    machine.other.start(&machine.world, &machine.lcs).unwrap();
    assert_eq!(client.events(watch), [""; 0]);
    machine.settle();
    assert_eq!(client.events(watch), ["OVERFLOW"]);
    assert_eq!(machine.other.count(Operation::DeleteLayer), 1);
}
