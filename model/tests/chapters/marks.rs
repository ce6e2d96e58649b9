//! Marks of reads, writes and late answers: a requirement is shown where it decides, and not beside it.

use registry_model::coverage::Covered;
use registry_model::input::SourceId;
use registry_model::store_entry::{StoreEntry, StoredKey, StoredRecord, StoredSequence};
use registry_model::{Call, Environment, Input, Observation, Outcome, Step};

use crate::stalls::{SECOND, stall, timed_out, timed_out_in_its_course};
use crate::world::{OTHER_SOURCE, SOURCE, World, query, write};

/// Whether each of these is shown.
fn shown<const N: usize>(covered: &Covered, ids: [&str; N]) -> [bool; N] {
    ids.map(|id| covered.contains(id))
}

fn with_layer() -> World {
    let mut world = World::with_layers();
    world.transcript("layer gpo 5\ncreate k Machine\\k");
    world
}

/// A write on the condition that the value has this number.
fn conditional(world: &World, text: &str, expected_sequence: u64, transaction: i32) -> Call {
    match write(world.handle("k"), "v", 1, text.as_bytes(), b"") {
        Call::SetValue { fd, name, value_type, data, layer, .. } => {
            Call::SetValue { fd, name, value_type, data, layer, transaction, expected_sequence }
        }
        other => other,
    }
}

#[test]
fn isolation_shows_where_the_answer_is_another_outside() {
    let mut world = with_layer();
    world.transcript(
        "set $k masked x in gpo\nbegin t\nset $k masked own with t\nset $k v own with t",
    );
    let fd = world.handle("k");
    let ids = ["TXN-20", "IOC-007", "TXN-70"];
    let within = |world: &mut World, name: &str| {
        shown(&world.call_within("t", query(fd, name)).1.covered, ids)
    };
    assert_eq!(within(&mut world, "masked"), [false; 3]);
    assert_eq!(within(&mut world, "v"), [true, true, false]);
    let outside =
        |world: &mut World, name: &str| shown(&world.call(query(fd, name)).1.covered, ids);
    assert_eq!(outside(&mut world, "masked"), [false; 3]);
    assert_eq!(outside(&mut world, "v"), [false, false, true]);
}

#[test]
fn a_blanket_tombstone_shows_by_what_it_masks() {
    let mut world = with_layer();
    world.transcript("blanket $k on in gpo\nset $k v x\nset $k gone x\ntombstone $k gone");
    let fd = world.handle("k");
    let ids = ["IOC-028", "RES-19", "VAL-29"];
    let read = |world: &mut World, name: &str| shown(&world.call(query(fd, name)).1.covered, ids);
    assert_eq!(read(&mut world, "other"), [false; 3]);
    assert_eq!(read(&mut world, "gone"), [false; 3]);
    assert_eq!(read(&mut world, "v"), [true; 3]);
}

#[test]
fn a_condition_shows_its_layer_where_the_value_is_that_of_another() {
    let mut world = with_layer();
    world.transcript("layer low 0\nset $k v x in low\nset $k v own");
    let fd = world.handle("k");
    let number = |world: &mut World| match world.call(query(fd, "v")).0 {
        Observation::Value { sequence, .. } => sequence,
        other => panic!("{other}"),
    };
    let own = number(&mut world);
    let call = conditional(&world, "again", own, -1);
    assert!(!world.call(call).1.covered.contains("IOC-042"));
    let own = number(&mut world);
    world.transcript("set $k v x in gpo");
    let call = conditional(&world, "again", own, -1);
    assert!(world.call(call).1.covered.contains("IOC-042"));
}

#[test]
fn a_key_that_is_no_more_in_its_place_shows_its_use_where_that_succeeds() {
    let mut world = with_layer();
    world.transcript("set $k v x\ndelete $k");
    let fd = world.handle("k");
    let ids = ["DEL-21", "KEY-07", "DEL-25"];
    assert_eq!(shown(&world.call(query(fd, "v")).1.covered, ids), [true; 3]);
    assert_eq!(shown(&world.call(query(fd, "other")).1.covered, ids), [false; 3]);
    let refused = conditional(&world, "again", 1, -1);
    assert_eq!(shown(&world.call(refused).1.covered, ids), [false; 3]);
}

/// What is shown when a source that has stalled has answered, in each of the worlds.
fn released(worlds: &[World], source: SourceId) -> Vec<Covered> {
    let release = |world: &World| {
        let at = world.now + SECOND;
        let steps = world.state.step(&Input::Environment(Environment::SourceReleased {
            source,
            at,
            dying: Default::default(),
        }));
        steps.into_iter().map(|step| step.covered).collect::<Vec<Covered>>()
    };
    worlds.iter().flat_map(release).collect()
}

#[test]
fn a_late_commit_shows_by_what_is_in_it() {
    for is_empty in [true, false] {
        let mut world = with_layer();
        world.transcript("dword Machine\\System\\Registry TransactionTimeoutMs 600000\nbegin t");
        let t = world.handle("t");
        // Refused or not, it binds the transaction.
        let call = conditional(&world, "new", u64::from(is_empty), t);
        world.call(call);
        stall(&mut world);
        let after = released(&timed_out(&world, &Call::Commit { fd: t }), SOURCE);
        assert!(!after.is_empty());
        for id in ["FAIL-25", "TXN-66", "TXN-67"] {
            assert!(after.iter().all(|covered| covered.contains(id) != is_empty), "{id}");
        }
    }
}

#[test]
fn the_late_deletion_of_a_layer_shows_what_it_leaves_and_tells() {
    for (line, is_left) in [("create Other\\k in gpo", true), ("create Other\\k", false)] {
        let mut world = with_layer();
        world.register(OTHER_SOURCE, &["Other"]);
        world.transcript(line);
        world.transcript("open o Other\\k\nopen l Machine\\System\\Registry\\Layers\\gpo");
        let fd = world.handle("o");
        world.call(Call::Notify { fd, filter: 7, subtree: 0 });
        world.environment(Environment::SourceStalled { source: OTHER_SOURCE });
        let (fd, layer) = (world.handle("l"), Vec::new());
        let worlds = timed_out(&world, &Call::DeleteKey { fd, layer, transaction: -1 });
        let after = released(&worlds, OTHER_SOURCE);
        assert!(!after.is_empty());
        let any = |id: &str| after.iter().any(|covered| covered.contains(id));
        assert_eq!(any("FAIL-24"), is_left);
        assert_eq!(any("FAIL-22"), is_left);
    }
}

/// Which of these the successes of a call show that may end in failures as well, and which the failures.
fn shown_by_endings<const N: usize>(world: &World, call: &Call, ids: [&str; N]) -> [[bool; N]; 2] {
    let steps = world.steps(call, true);
    let shown_where = |has_failed: bool| {
        let of_kind = |step: &&Step| matches!(step.outcome, Outcome::Failed(_)) == has_failed;
        let mut all = Covered::new();
        let mut any = false;
        for step in steps.iter().filter(of_kind) {
            all.add(&step.covered);
            any = true;
        }
        assert!(any);
        shown(&all, ids)
    };
    [shown_where(false), shown_where(true)]
}

#[test]
fn a_commit_shows_what_it_brings_where_it_succeeds() {
    let mut world = with_layer();
    let fd = world.handle("k");
    world.call(Call::Notify { fd, filter: 7, subtree: 0 });
    world.transcript("begin t\nset $k v x with t\nset $k w x with t");
    let ids = ["TXN-29", "TXN-31", "SRC-12", "IOC-182", "TXN-28", "TXN-30", "WATCH-10"];
    let commit = Call::Commit { fd: world.handle("t") };
    assert_eq!(shown_by_endings(&world, &commit, ids), [[true; 7], [false; 7]]);
}

#[test]
fn a_commit_shows_that_it_is_whole_by_more_than_one_operation() {
    let ids = ["TXN-29", "SRC-12", "TXN-77"];
    for (lines, expected) in [
        ("set $k v x with t", [true, false, false]),
        ("set $k v x with t\nset $k w x with t", [true; 3]),
    ] {
        let mut world = with_layer();
        world.transcript(&format!("begin t\n{lines}"));
        let fd = world.handle("t");
        assert_eq!(shown(&world.call(Call::Commit { fd }).1.covered, ids), expected);
    }
}

#[test]
fn a_deletion_shows_what_it_removes_where_it_succeeds() {
    let world = with_layer();
    let ids = ["IOC-099", "DEL-01", "IOC-098", "DEL-10", "DEL-24", "DEL-02"];
    let (fd, layer) = (world.handle("k"), Vec::new());
    let delete = Call::DeleteKey { fd, layer, transaction: -1 };
    assert_eq!(shown_by_endings(&world, &delete, ids), [[true; 6], [false; 6]]);
    let (fd, layer) = (world.handle("k"), b"gpo".to_vec());
    let hide = Call::HideKey { fd, layer, transaction: -1 };
    let ids = ["IOC-105", "SEQ-04"];
    assert_eq!(shown_by_endings(&world, &hide, ids), [[true; 2], [false; 2]]);
    let (fd, layer) = (world.handle("k"), Vec::new());
    let hide = Call::HideKey { fd, layer, transaction: -1 };
    let ids = ["DEL-10", "DEL-02"];
    assert_eq!(shown_by_endings(&world, &hide, ids), [[true, false], [false; 2]]);
}

#[test]
fn a_drop_shows_that_values_go_where_there_are_some_and_it_is_carried_out() {
    for (line, is_interrupted, expected) in
        [("", false, false), ("set $k v x", false, true), ("set $k v x", true, false)]
    {
        let mut world = with_layer();
        world.transcript(&format!("{line}\nbegin t\ndelete $k with t\nclose $k"));
        let commit = Call::Commit { fd: world.handle("t") };
        let steps = world.steps(&commit, is_interrupted);
        assert!(steps.iter().any(|step| matches!(step.outcome, Outcome::Done)));
        assert_eq!(steps.iter().any(|step| step.covered.contains("DEL-46")), expected);
    }
}

#[test]
fn a_late_answer_to_a_read_shows_by_what_was_read() {
    for (name, expected) in [("sound", [true, false]), ("bad", [false, true])] {
        let mut world = with_layer();
        world.transcript("set $k sound x");
        stall(&mut world);
        let mut worlds = timed_out(&world, &query(world.handle("k"), name));
        let record = StoredRecord::Value {
            name: "bad".to_owned(),
            layer: "ghost".to_owned(),
            value_type: 1,
            data: b"stored".to_vec(),
            sequence: StoredSequence::Number(1_000_000),
        };
        let path = vec!["Machine".to_owned(), "k".to_owned()];
        let entry = StoreEntry { key: StoredKey { path, through: None }, record };
        for world in &mut worlds {
            world.environment(Environment::StoreEntry(entry.clone()));
        }
        let after = released(&worlds, SOURCE);
        assert!(!after.is_empty());
        for covered in after {
            assert_eq!(shown(&covered, ["FAIL-20", "FAIL-29"]), expected, "{name}");
        }
    }
}

#[test]
fn a_parameter_that_is_stored_late_shows_nothing_of_the_answer_to_its_write() {
    let mut world = with_layer();
    world.transcript("open r Machine\\System\\Registry");
    let call = write(world.handle("r"), "MaxValueSize", 4, &1_u32.to_le_bytes(), b"");
    let ids = ["CONF-32", "CONF-34"];
    assert_eq!(shown_by_endings(&world, &call, ids), [[true; 2], [false; 2]]);
    let after = released(&timed_out_in_its_course(&world, &call), SOURCE);
    let any = |id: &str| after.iter().any(|covered| covered.contains(id));
    assert_eq!(ids.map(any), [false, true]);
}

/// What is shown of these by a read of the events of the key with a buffer of this length.
fn shown_by_read<const N: usize>(
    world: &mut World,
    capacity: u32,
    ids: [&'static str; N],
) -> [bool; N] {
    let fd = world.handle("k");
    shown(&world.call(Call::ReadEvents { fd, capacity }).1.covered, ids)
}

#[test]
fn the_order_of_changes_shows_by_events_that_differ() {
    let shows = |lines: &str, capacity| {
        let mut world = with_layer();
        world.transcript("set $k p x\nset $k q x");
        let fd = world.handle("k");
        world.call(Call::Notify { fd, filter: 7, subtree: 0 });
        world.transcript(lines);
        shown_by_read(&mut world, capacity, ["WATCH-04"]) == [true]
    };
    assert!(shows("set $k v x\nset $k w x", 100));
    // The later one would fit as well, and has to wait.
    assert!(shows("set $k v x\nset $k w x", 10));
    assert!(shows("set $k v x\nset $k v y\nset $k w x", 20));
    assert!(!shows("set $k v x\nset $k v y", 100));
    // One change, whose events may come in any order.
    assert!(!shows("blanket $k on in gpo", 100));
    assert!(shows("blanket $k on in gpo\nset $k v x in gpo", 10));
}

#[test]
fn that_a_lifetime_has_told_nothing_shows_by_reads_that_come_so_far() {
    let ids = ["TXN-54", "DISP-46", "WATCH-11"];
    let expired = |lines: &str| {
        let mut world = with_layer();
        world.transcript("dword Machine\\System\\Registry NotificationQueueSize 16");
        let fd = world.handle("k");
        world.call(Call::Notify { fd, filter: 7, subtree: 0 });
        world.transcript(lines);
        world.transcript("begin t\nset $k v x with t\nwait 31");
        world
    };
    let mut world = expired("set $k a x\nset $k b x");
    // Too short for anything, and too short for all.
    assert_eq!(shown_by_read(&mut world, 4, ids), [false; 3]);
    assert_eq!(shown_by_read(&mut world, 10, ids), [false; 3]);
    assert_eq!(shown_by_read(&mut world, 100, ids), [true; 3]);
    assert_eq!(shown_by_read(&mut world, 100, ids), [false; 3]);
    let mut world = expired("");
    assert_eq!(shown_by_read(&mut world, 100, ids), [true; 3]);
    // What was queued is gone: with the watch, or lost to OVERFLOW.
    let mut world = expired("");
    for filter in [0, 7] {
        let fd = world.handle("k");
        world.call(Call::Notify { fd, filter, subtree: 0 });
    }
    assert_eq!(shown_by_read(&mut world, 100, ids), [false; 3]);
    let mut world = expired("");
    for _ in 0..20 {
        world.transcript("unset $k w\nset $k w x");
    }
    assert_eq!(shown_by_read(&mut world, 1_000, ids), [false; 3]);
}
