//! Requests about hive roots, and what a source says of its roots again.

use super::*;

const OTHER_ROOT: [u8; 16] = [3; 16];

fn two_sources() -> Wire {
    let mut wire = Wire::new();
    wire.monitor.connection_opened(OTHER);
    wire.monitor.registered(OTHER, 0, &[served(OTHER_ROOT)]);
    wire
}

fn read_key(id: u64, root: [u8; 16]) -> Vec<u8> {
    message(id, 0x11, Some(0), &root)
}

fn hives(names: &[(&str, [u8; 16])]) -> Vec<(String, [u8; 16])> {
    names.iter().map(|(name, root)| ((*name).to_owned(), *root)).collect()
}

fn rule(checked: Result<(), Violation>) -> Result<(), Rule> {
    checked.map_err(|violation| violation.rule)
}

#[test]
fn a_root_is_asked_of_the_source_that_registered_it() {
    let mut wire = two_sources();
    wire.covers_none_of(&["HIVE-20"]);
    wire.frame(OTHER, true, read_key(1, OTHER_ROOT)).unwrap();
    wire.covers(&["HIVE-04", "HIVE-20", "REG-38"]);
    assert_eq!(wire.frame(OTHER, true, read_key(2, ROOT)), Err(Rule::RootAtHome));
    assert_eq!(wire.frame(SOURCE, true, read_key(1, OTHER_ROOT)), Err(Rule::RootAtHome));
}

#[test]
fn one_source_alone_shows_nothing_of_routing() {
    let mut wire = Wire::new();
    wire.frame(SOURCE, true, read_key(1, ROOT)).unwrap();
    wire.covers_none_of(&["HIVE-20", "REG-41"]);
}

#[test]
fn a_resumed_root_is_asked_on_the_new_connection() {
    let mut wire = two_sources();
    wire.monitor.connection_closed(SOURCE);
    let new = SourceId(7);
    wire.monitor.connection_opened(new);
    wire.monitor.registered(new, 0, &[served(ROOT)]);
    wire.frame(new, true, read_key(1, ROOT)).unwrap();
    wire.covers(&["REG-41"]);
}

#[test]
fn a_hive_of_another_slot_with_that_root_is_no_resumption() {
    let mut wire = two_sources();
    wire.monitor.connection_closed(SOURCE);
    let new = SourceId(7);
    wire.monitor.connection_opened(new);
    wire.monitor.registered(new, 0, &[ServedRoot::new("Elsewhere", None, ROOT)]);
    wire.frame(new, true, read_key(1, ROOT)).unwrap();
    wire.covers_none_of(&["REG-41", "REG-18"]);
}

#[test]
fn a_source_keeps_its_roots() {
    let mut wire = Wire::new();
    let first = wire.monitor.kept_roots(SOURCE, &hives(&[("Machine", ROOT)]));
    assert_eq!(rule(first), Ok(()));
    wire.covers_none_of(&["LORE-024"]);
    wire.monitor.rebooted();
    let again = wire.monitor.kept_roots(SOURCE, &hives(&[("MACHINE", ROOT)]));
    assert_eq!(rule(again), Ok(()));
    wire.covers(&["LORE-024", "SRC-26"]);
    let other = wire.monitor.kept_roots(SOURCE, &hives(&[("Machine", NEW)]));
    assert_eq!(rule(other), Err(Rule::RootReported));
}

#[test]
fn two_hives_have_two_roots() {
    let mut wire = Wire::new();
    let both = hives(&[("Machine", ROOT), ("Users", ROOT)]);
    assert_eq!(rule(wire.monitor.kept_roots(SOURCE, &both)), Err(Rule::RootOwn));
    let mut wire = Wire::new();
    wire.monitor.kept_roots(SOURCE, &hives(&[("Machine", ROOT)])).unwrap();
    wire.covers_none_of(&["SRC-24"]);
    wire.monitor.kept_roots(SOURCE, &hives(&[("Users", NEW)])).unwrap();
    wire.covers(&["SRC-24"]);
}

#[test]
fn an_entry_of_another_layer_than_base_shows_that_sources_keep_layers() {
    let lookup = |layer: &str| {
        let mut wire = Wire::new();
        wire.send(0x01, payload().guid(ROOT).bytes("a")).unwrap();
        let entry = payload().u32(0).u32(1).bytes(layer).u8(1).guid([0; 16]).u64(5).u32(0);
        wire.answer(0x01, entry).unwrap();
        wire
    };
    lookup("Base").covers_none_of(&["REG-35"]);
    lookup("gpo").covers(&["REG-35"]);
}
