//! What is read when the Machine hive registers, and when it returns.

use rsi::Operation;

use super::{is_small, prepared, reports};
use crate::client::{Client, Machine};

/// The same stores under a new kernel.
fn reboot(machine: &mut Machine) -> Client {
    machine.source.kill();
    machine.other.kill();
    machine.lcs = lcs::Lcs::new(machine.world.env.clone());
    machine.source.start(&machine.world, &machine.lcs).unwrap();
    machine.other.start(&machine.world, &machine.lcs).unwrap();
    machine.settle();
    machine.client()
}

#[test]
fn without_the_key_the_defaults_are_in_force_and_nothing_is_reported() {
    let machine = Machine::new();
    let client = machine.client();
    assert!(!is_small(&client, client.make("Other\\A")));
    assert_eq!(reports(&machine), [""; 0]);
}

#[test]
fn a_boot_takes_what_is_good_and_reports_the_rest_once() {
    let (mut machine, client, registry, _) = prepared();
    client.set(registry, "MaxValueSize", 4096, "").unwrap();
    client.set(registry, "MaxKeyDepth", 32, "").unwrap();
    client.set(registry, "MaxKeyDepth", 31, "").unwrap();
    reports(&machine);
    let client = reboot(&mut machine);
    let reported = reports(&machine);
    assert_eq!(reported.len(), 18);
    // A boot goes back to what is compiled in.
    assert!(reported.contains(&"MaxKeyDepth dword_out_of_range 31, 512 stays".to_owned()));
    assert!(is_small(&client, client.open("Other\\A").unwrap()));
}

#[test]
fn at_a_boot_the_layers_that_are_read_decide() {
    let (mut machine, client, registry, _) = prepared();
    client.layer("gpo", 5);
    client.set(registry, "MaxValueSize", 1, "").unwrap();
    client.set(registry, "MaxValueSize", 4096, "gpo").unwrap();
    reports(&machine);
    let client = reboot(&mut machine);
    assert!(is_small(&client, client.open("Other\\A").unwrap()));
    assert_eq!(reports(&machine).len(), 18);
}

#[test]
fn the_table_is_read_under_the_limit_that_is_stored() {
    let (mut machine, client, registry, other) = prepared();
    for index in 0..20 {
        client.layer(&format!("l{index:02}"), 0);
    }
    client.set(registry, "MaxTotalLayers", 16, "").unwrap();
    client.set(other, "v", 1, "l19").unwrap();
    let client = reboot(&mut machine);
    let fd = client.open("Other\\A").unwrap();
    client.set(fd, "v", 1, "l14").unwrap();
    assert_eq!(client.set(fd, "v", 1, "l15"), Err(abi::Errno::ENOENT));
}

#[test]
fn a_return_reads_everything_again_and_keeps_what_it_finds_nothing_good_for() {
    let (mut machine, client, registry, other) = prepared();
    client.set(registry, "MaxValueSize", 4096, "").unwrap();
    machine.source.kill();
    assert!(is_small(&client, other));
    machine.source.store().values.clear();
    machine.restart();
    assert!(is_small(&client, other));
    let reported = reports(&machine);
    assert_eq!(reported.len(), 19);
    assert!(reported.contains(&"MaxValueSize missing , 4096 stays".to_owned()));
}

#[test]
fn a_change_before_the_first_reading_is_in_force_and_reported_once() {
    let (mut machine, client, registry, other) = prepared();
    machine.source.kill();
    machine.source.start(&machine.world, &machine.lcs).unwrap();
    client.set(registry, "MaxValueSize", 4096, "").unwrap();
    assert!(is_small(&client, other));
    machine.settle();
    assert_eq!(reports(&machine).len(), 18);
}

#[test]
fn a_return_that_ends_in_the_middle_is_followed_by_the_next() {
    let (mut machine, client, registry, other) = prepared();
    client.set(registry, "MaxValueSize", 4096, "").unwrap();
    machine.source.kill();
    machine.source.store().dies_at = Some(Operation::EnumChildren);
    machine.source.start(&machine.world, &machine.lcs).unwrap();
    machine.settle();
    machine.source.store().dies_at = None;
    machine.restart();
    assert!(is_small(&client, other));
    reports(&machine);
    client.set(registry, "MaxValueSize", 1, "").unwrap();
    assert_eq!(reports(&machine), ["MaxValueSize dword_out_of_range 1, 4096 stays"]);
}
