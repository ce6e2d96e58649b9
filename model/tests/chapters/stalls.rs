//! Sources that do not answer in time, and answer late.

use expect_test::{Expect, expect};
use registry_model::errno::Errno;
use registry_model::input::{DeviceCall, SourceId, StreamAccess};
use registry_model::store_entry::{StoreEntry, StoredKey, StoredRecord, StoredSequence};
use registry_model::{Call, Environment, Input, Observation, Step};

use crate::world::{OTHER_SOURCE, SOURCE, World, open, query, write};

pub const SECOND: u64 = 1_000_000_000;

pub const ETIMEDOUT: Observation = Observation::Failed(Errno::ETIMEDOUT);

pub fn with_key() -> World {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\nset $k v old\nopen m Machine");
    world
}

pub fn stall(world: &mut World) {
    world.environment(Environment::SourceStalled { source: SOURCE });
}

/// The worlds in which a call may have timed out after thirty seconds.
pub fn timed_out(world: &World, call: &Call) -> Vec<World> {
    let steps = world.steps_within(call, 30 * SECOND, false);
    let next = steps.iter().filter_map(|step| step.accept(&ETIMEDOUT).ok());
    next.map(|state| world.in_state(&state, 30 * SECOND)).collect()
}

/// The same of a call in whose course the source stalls.
pub fn timed_out_in_its_course(world: &World, call: &Call) -> Vec<World> {
    let mut world = world.clone();
    world.environment(Environment::SourceStalls { source: SOURCE });
    let mut worlds = timed_out(&world, call);
    worlds.iter_mut().for_each(stall);
    worlds
}

/// The worlds in which each of these may be when the source has answered everything.
pub fn released(worlds: &[World]) -> Vec<World> {
    released_with_deaths(worlds, SOURCE, &[])
}

/// The same of any source, where some have died over what was asked then, which nobody has noticed yet.
pub fn released_with_deaths(worlds: &[World], source: SourceId, dying: &[SourceId]) -> Vec<World> {
    let release = |world: &World| {
        let (at, dying) = (world.now, dying.iter().copied().collect());
        let release = Input::Environment(Environment::SourceReleased { source, at, dying });
        let after = |step: &Step| world.in_state(step.next(), 0);
        world.state.step(&release).iter().map(after).collect::<Vec<World>>()
    };
    worlds.iter().flat_map(release).collect()
}

/// What some lines show in each world, without repetition.
pub fn check_each(worlds: &[World], lines: &str, expected: Expect) {
    let mut shown: Vec<String> = Vec::new();
    for world in worlds {
        let text = world.clone().transcript(lines);
        let answers: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("  -> ")).collect();
        let line = answers.join("; ");
        if !shown.contains(&line) {
            shown.push(line);
        }
    }
    expected.assert_eq(&shown.join("\n"));
}

pub fn outcomes(world: &World, call: &Call, duration: u64) -> Vec<String> {
    world.steps_within(call, duration, false).iter().map(|step| step.outcome.to_string()).collect()
}

pub fn unset(world: &World, name: &str) -> Call {
    let (fd, name) = (world.handle("k"), name.as_bytes().to_vec());
    Call::DeleteValue { fd, name, layer: Vec::new(), transaction: -1 }
}

pub fn watched(world: &mut World) {
    let fd = world.handle("k");
    let answer = world.call(Call::Notify { fd, filter: 7, subtree: 1 }).0;
    assert_eq!(answer, Observation::Done);
}

/// How long the events are that each world has for the watch.
pub fn lengths_of_events(worlds: &[World]) -> Vec<usize> {
    let mut lengths: Vec<usize> = worlds
        .iter()
        .map(|world| {
            let fd = world.handle("k");
            match world.clone().call(Call::ReadEvents { fd, capacity: 1_000 }).0 {
                Observation::Events(bytes) => bytes.len(),
                _ => 0,
            }
        })
        .collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// The worlds in which each of these may be when their source has gone and come back.
pub fn restarted(worlds: &[World]) -> Vec<World> {
    let down = Input::Environment(Environment::SourceDown { source: SOURCE });
    let after = |world: &World| {
        let steps = world.state.step(&down);
        let after = steps.iter().map(|step| {
            let mut next = world.in_state(step.next(), 0);
            next.resume(SOURCE, &["Machine", "Users"]);
            next
        });
        after.collect::<Vec<World>>()
    };
    worlds.iter().flat_map(after).collect()
}

#[test]
fn a_call_times_out_at_its_deadline_neither_before_nor_long_after() {
    let mut world = with_key();
    stall(&mut world);
    let get = query(world.handle("k"), "v");
    let waits = outcomes(&world, &get, 30 * SECOND - 1);
    assert_eq!(outcomes(&world, &get, 30 * SECOND), ["ETIMEDOUT"]);
    assert_eq!(outcomes(&world, &get, 32 * SECOND), waits);
    assert_ne!(waits, ["ETIMEDOUT"]);
}

#[test]
fn only_what_changes_something_asks_first_what_there_is_to_tell() {
    let mut world = with_key();
    watched(&mut world);
    stall(&mut world);
    let has_timed_out = |call: &Call| outcomes(&world, call, 60 * SECOND)[0] == "ETIMEDOUT";
    assert!(has_timed_out(&unset(&world, "v")));
    assert!(!has_timed_out(&query(world.handle("k"), "v")));
}

#[test]
fn what_asks_nothing_of_a_source_is_answered() {
    let mut world = with_key();
    stall(&mut world);
    let fd = world.handle("k");
    assert_eq!(outcomes(&world, &Call::Notify { fd, filter: 7, subtree: 0 }, 5), ["ok"]);
    assert_eq!(outcomes(&world, &write(fd, "v", 99, b"", b""), 5), ["EINVAL"]);
    assert_eq!(outcomes(&world, &Call::Close { fd }, 5), ["ok"]);
}

#[test]
fn another_source_answers() {
    let mut world = with_key();
    world.register(OTHER_SOURCE, &["Other"]);
    stall(&mut world);
    assert_eq!(world.transcript("create Other\\x"), "create Other\\x\n  -> created\n");
    assert_eq!(timed_out(&world, &open("Machine")).len(), 1);
}

#[test]
fn a_read_leaves_nothing_behind() {
    let mut world = with_key();
    stall(&mut world);
    let worlds = timed_out(&world, &query(world.handle("k"), "v"));
    check_each(
        &released(&worlds),
        "get $k v\nset $k v new\nget $k v",
        expect![[r#"sz "old" from base, sequence 5; ok; sz "new" from base, sequence 6"#]],
    );
}

#[test]
fn a_write_that_finds_its_source_stalled_is_never_sent() {
    let mut world = with_key();
    stall(&mut world);
    let worlds = timed_out(&world, &write(world.handle("k"), "v", 1, b"new", b""));
    check_each(
        &released(&worlds),
        "get $k v\nset $k v newer\nget $k v",
        expect![[r#"sz "old" from base, sequence 5; ok; sz "newer" from base, sequence 6"#]],
    );
}

#[test]
fn a_removal_that_finds_its_source_stalled_may_come_late() {
    let mut world = with_key();
    watched(&mut world);
    stall(&mut world);
    let worlds = timed_out(&world, &unset(&world, "v"));
    assert_eq!(lengths_of_events(&worlds), [0], "nobody is told before it has happened");
    let worlds = released(&worlds);
    check_each(
        &worlds,
        "get $k v",
        expect![[r#"
            sz "old" from base, sequence 5
            ENOENT"#]],
    );
    // Nothing, OVERFLOW, or VALUE_DELETED of `v` with an empty path.
    assert_eq!(lengths_of_events(&worlds), [0, 8, 11]);
}

#[test]
fn a_late_change_takes_its_generation_step() {
    let mut world = with_key();
    world.transcript("info $m");
    stall(&mut world);
    let worlds = timed_out(&world, &unset(&world, "v"));
    let worlds = released(&worlds);
    check_each(
        &worlds,
        "get $k v\ninfo $m",
        expect![[r#"
        sz "old" from base, sequence 5; key "Machine": 2 subkeys, 0 values, longest subkey name 6, longest value name 0, largest value 0, SD 116 bytes, volatile 0, symlink 0, written 1000, generation 5
        ENOENT; key "Machine": 2 subkeys, 0 values, longest subkey name 6, longest value name 0, largest value 0, SD 116 bytes, volatile 0, symlink 0, written 1000, generation 6"#]],
    );
}

#[test]
fn a_write_in_whose_course_its_source_stalls_is_there_afterwards_or_not() {
    let world = with_key();
    let call = write(world.handle("k"), "v", 1, b"new", b"");
    let worlds = released(&timed_out_in_its_course(&world, &call));
    check_each(
        &worlds,
        "get $k v\nset $k w x\nget $k w",
        expect![[r#"
        sz "old" from base, sequence 5; ok; sz "x" from base, sequence 6
        sz "old" from base, sequence 5; ok; sz "x" from base, sequence 7
        sz "new" from base, sequence 6; ok; sz "x" from base, sequence 7"#]],
    );
}

#[test]
fn a_write_in_whose_course_its_source_stalls_is_told_of_once() {
    let mut world = with_key();
    watched(&mut world);
    let call = write(world.handle("k"), "v", 1, b"new", b"");
    for world in released(&timed_out_in_its_course(&world, &call)) {
        let has_come = world.clone().transcript("get $k v").contains("new");
        let lengths = lengths_of_events(&[world]);
        assert!(if has_come { [[8], [11]].contains(&[lengths[0]]) } else { lengths == [0] });
    }
}

#[test]
fn a_creation_in_whose_course_its_source_stalls_is_there_with_its_record_or_not_at_all() {
    let world = with_key();
    let call = Call::CreateKey {
        parent: -1,
        path: b"Machine\\new".to_vec(),
        desired_access: 0x0002_0000,
        flags: 0,
        layer: None,
        transaction: -1,
    };
    let worlds = released(&timed_out_in_its_course(&world, &call));
    check_each(
        &worlds,
        "open Machine\\new",
        expect![[r#"
        ENOENT
        opened"#]],
    );
}

#[test]
fn a_deletion_in_whose_course_its_source_stalls_orphans_late() {
    let mut world = with_key();
    watched(&mut world);
    let (fd, layer) = (world.handle("k"), Vec::new());
    let call = Call::DeleteKey { fd, layer, transaction: -1 };
    let worlds = released(&timed_out_in_its_course(&world, &call));
    check_each(
        &worlds,
        "open Machine\\k\nhide $k\nget $k v",
        expect![[r#"
        opened; ok; sz "old" from base, sequence 5
        ENOENT; ENOENT; sz "old" from base, sequence 5"#]],
    );
}

#[test]
fn the_slots_of_a_source_run_out() {
    let mut world = with_key();
    world.transcript("dword Machine\\System\\Registry MaxConcurrentRSIRequests 8");
    stall(&mut world);
    let mut one = world.clone();
    for sent in 1..=8 {
        let mut worlds = timed_out(&one, &unset(&one, "v"));
        assert_eq!(worlds.len(), 2, "call {sent} may have been sent");
        one = worlds.swap_remove(0);
    }
    assert_eq!(timed_out(&one, &unset(&one, "v")).len(), 1, "nothing more is sent");
    check_each(&released(&[one]), "get $k v", expect![[r#"sz "old" from base, sequence 5"#]]);
}

#[test]
fn a_death_forgets_what_was_kept_or_shows_that_it_was_carried_out() {
    let mut world = with_key();
    watched(&mut world);
    stall(&mut world);
    is_unset_or_not(&restarted(&timed_out(&world, &unset(&world, "v"))));
}

/// Whether the value is gone is open in these worlds, and its watch knows that it does not know.
pub fn is_unset_or_not(after: &[World]) {
    assert_eq!(lengths_of_events(after), [8], "OVERFLOW alone");
    check_each(
        after,
        "get $k v",
        expect![[r#"
            sz "old" from base, sequence 5
            ENOENT"#]],
    );
}

#[test]
fn a_call_that_waits_is_eio_when_its_source_dies() {
    let mut world = with_key();
    watched(&mut world);
    stall(&mut world);
    let steps = world.steps_within(&unset(&world, "v"), 5 * SECOND, true);
    let failed = steps.iter().filter_map(|step| step.accept(&Observation::Failed(Errno::EIO)).ok());
    let failed: Vec<World> = failed.map(|state| world.in_state(&state, 0)).collect();
    is_unset_or_not(&restarted(&failed));
}

#[test]
fn a_source_that_came_back_is_not_stalled() {
    let mut world = with_key();
    stall(&mut world);
    world.transcript("down\nresume");
    assert_eq!(outcomes(&world, &query(world.handle("k"), "v"), 5).len(), 1);
    assert!(world.transcript("get $k v").contains("old"));
}

#[test]
fn backups_that_time_out_keep_their_slots() {
    let mut world = with_key();
    world.transcript("create Machine\\System\\Registry");
    world.transcript("dword Machine\\System\\Registry MaxConcurrentRSIRequests 8");
    let (fd, output) = (world.handle("k"), world.stream(StreamAccess::Write, &[]));
    stall(&mut world);
    for _ in 0..8 {
        world = timed_out(&world, &Call::Backup { fd, output }).swap_remove(0);
    }
    let worlds = timed_out(&world, &unset(&world, "v"));
    check_each(&released(&worlds), "get $k v", expect![[r#"sz "old" from base, sequence 5"#]]);
}

#[test]
fn a_restore_whose_commit_is_answered_late_has_all_of_its_effects() {
    let mut world = with_key();
    watched(&mut world);
    world.transcript("backup $k s\nset $k v other\ncreate a Machine\\k\\a");
    let bytes = world.streams["s"].clone();
    let (fd, input) = (world.handle("k"), world.stream(StreamAccess::Read, &bytes));
    let worlds = timed_out_in_its_course(&world, &Call::Restore { fd, input });
    check_each(
        &released(&worlds),
        "get $k v\nget $a v\nset $k v new\nget $k v",
        expect![[r#"
        sz "old" from base, sequence 13; ENOENT; ok; sz "new" from base, sequence 14
        sz "other" from base, sequence 6; ENOENT; ok; sz "new" from base, sequence 8
        sz "other" from base, sequence 6; ENOENT; ok; sz "new" from base, sequence 14"#]],
    );
}

#[test]
fn a_restore_of_which_nothing_is_answered_does_nothing() {
    let mut world = with_key();
    world.transcript("backup $k s\nset $k v other");
    let bytes = world.streams["s"].clone();
    let (fd, input) = (world.handle("k"), world.stream(StreamAccess::Read, &bytes));
    stall(&mut world);
    let worlds = timed_out(&world, &Call::Restore { fd, input });
    check_each(
        &released(&worlds),
        "get $k v\nrestore $k s\nget $k v",
        expect![[r#"sz "other" from base, sequence 6; ok; sz "old" from base, sequence 12"#]],
    );
}

#[test]
fn a_source_that_goes_down_over_a_restore_has_committed_it_or_not() {
    let mut world = with_key();
    world.transcript("backup $k s\nset $k v other");
    let bytes = world.streams["s"].clone();
    let (fd, input) = (world.handle("k"), world.stream(StreamAccess::Read, &bytes));
    let mut worlds = timed_out_in_its_course(&world, &Call::Restore { fd, input });
    let mut all = Vec::new();
    for world in &mut worlds {
        let steps =
            world.state.step(&Input::Environment(Environment::SourceDown { source: SOURCE }));
        all.extend(steps.iter().map(|step| world.in_state(step.next(), 0)));
    }
    check_each(
        &all,
        "resume\nget $k v",
        expect![[r#"
        ok; sz "other" from base, sequence 6
        ok; sz "old" from base, sequence 12"#]],
    );
}

#[test]
fn a_creation_in_whose_course_its_source_stalls_is_told_of_once() {
    let mut world = with_key();
    watched(&mut world);
    let call = Call::CreateKey {
        parent: world.handle("k"),
        path: b"new".to_vec(),
        desired_access: 0x0002_0000,
        flags: 0,
        layer: None,
        transaction: -1,
    };
    for world in timed_out_in_its_course(&world, &call) {
        let former = lengths_of_events(std::slice::from_ref(&world));
        let worlds = released(&[world]);
        // OVERFLOW or SUBKEY_CREATED of `new` with an empty path; nothing more where there was something.
        let expected = if former == [0] { vec![0, 8, 13] } else { former };
        assert!(lengths_of_events(&worlds).iter().all(|length| expected.contains(length)));
    }
}

#[test]
fn what_comes_into_a_store_meanwhile_stays() {
    let world = with_key();
    let call = write(world.handle("k"), "v", 1, b"new", b"");
    let mut worlds = timed_out_in_its_course(&world, &call);
    let record = StoredRecord::Value {
        name: "w".to_owned(),
        layer: "base".to_owned(),
        value_type: 1,
        data: b"stored".to_vec(),
        sequence: StoredSequence::Number(1),
    };
    let path = vec!["Machine".to_owned(), "k".to_owned()];
    let entry = StoreEntry { key: StoredKey { path, through: None }, record };
    for world in &mut worlds {
        world.environment(Environment::StoreEntry(entry.clone()));
    }
    check_each(&released(&worlds), "get $k w", expect![[r#"sz "stored" from base, sequence 1"#]]);
}

#[test]
fn a_device_that_ends_leaves_what_was_in_flight_carried_out_or_not() {
    let mut world = with_key();
    stall(&mut world);
    let mut after: Vec<World> = Vec::new();
    for world in timed_out(&world, &unset(&world, "v")) {
        let (token, at) = (world.caller.token.clone(), world.now);
        let close = Input::Device { source: SOURCE, token, call: DeviceCall::Close, at };
        for step in world.state.step(&close) {
            let mut next = world.in_state(step.next(), 0);
            next.resume(SOURCE, &["Machine", "Users"]);
            after.push(next);
        }
    }
    check_each(
        &after,
        "get $k v",
        expect![[r#"
            sz "old" from base, sequence 5
            ENOENT"#]],
    );
}
