//! Sources that do not answer in time, and answer late.

use expect_test::{Expect, expect};
use registry_model::errno::Errno;
use registry_model::input::{DeviceCall, StreamAccess};
use registry_model::store_entry::{
    StoreEntry, StoredKey, StoredRecord, StoredSequence, StoredTarget,
};
use registry_model::{Call, Environment, Input, Observation, Outcome, Step};

use crate::world::{OTHER_SOURCE, SOURCE, World, open, query, write};

pub const SECOND: u64 = 1_000_000_000;
const ETIMEDOUT: Observation = Observation::Failed(Errno::ETIMEDOUT);

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
    let release = |world: &World| {
        let (source, at) = (SOURCE, world.now);
        let steps =
            world.state.step(&Input::Environment(Environment::SourceReleased { source, at }));
        let after = |step: &Step| world.in_state(step.next(), 0);
        steps.iter().map(after).collect::<Vec<World>>()
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

fn outcomes(world: &World, call: &Call, duration: u64) -> Vec<String> {
    world.steps_within(call, duration, false).iter().map(|step| step.outcome.to_string()).collect()
}

pub fn unset(world: &World, name: &str) -> Call {
    let (fd, name) = (world.handle("k"), name.as_bytes().to_vec());
    Call::DeleteValue { fd, name, layer: Vec::new(), transaction: -1 }
}

fn watched(world: &mut World) {
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
fn a_layer_that_changes_late_is_published_late() {
    let mut world = World::with_layers();
    world.transcript("layer a 1\ncreate k Machine\\k\nset $k v b\nset $k v a in a");
    world.transcript("open l Machine\\System\\Registry\\Layers\\a");
    let fd = world.handle("l");
    let call = write(fd, "Enabled", 4, &0u32.to_le_bytes(), b"");
    let worlds = released(&timed_out_in_its_course(&world, &call));
    let mut layers: Vec<String> = worlds
        .iter()
        .map(|world| {
            let stored = world.clone().transcript("get $l Enabled").contains("ENOENT");
            let layers = world.clone().transcript("layers");
            format!("{}: {}", if stored { "not stored" } else { "stored" }, layers.trim())
        })
        .collect();
    layers.sort();
    layers.dedup();
    expect![[r#"
        not stored: layers
          -> a 1, base 0
        stored: layers
          -> a 1 disabled, base 0
        stored: layers
          -> a 1, base 0"#]]
    .assert_eq(&layers.join("\n"));
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
fn a_commit_that_times_out_ends_its_transaction_and_goes_on() {
    let mut world = with_key();
    watched(&mut world);
    world.transcript(
        "dword Machine\\System\\Registry TransactionTimeoutMs 600000\n\
         begin t\nset $k v new with t",
    );
    stall(&mut world);
    let worlds = timed_out(&world, &Call::Commit { fd: world.handle("t") });
    check_each(
        &worlds,
        "status $t\npoll $t\ncommit $t",
        expect!["transaction state 4, errno 110; terminal; ETIMEDOUT"],
    );
    let worlds = released(&worlds);
    check_each(
        &worlds,
        "get $k v\nstatus $t",
        expect![[r#"sz "new" from base, sequence 7; transaction state 4, errno 110"#]],
    );
    assert_eq!(lengths_of_events(&worlds), [11]);
}

#[test]
fn a_commit_that_is_refused_late_has_no_effect() {
    let mut world = with_key();
    watched(&mut world);
    world.transcript("begin t\nset $k v new with t");
    let refusal = registry_model::input::CommitRefusal::Failed;
    world.environment(Environment::RefusedCommit { source: SOURCE, refusal });
    stall(&mut world);
    let worlds = released(&timed_out(&world, &Call::Commit { fd: world.handle("t") }));
    assert_eq!(lengths_of_events(&worlds), [0]);
    check_each(&worlds, "get $k v", expect![[r#"sz "old" from base, sequence 5"#]]);
}

#[test]
fn a_transaction_whose_binding_times_out_is_unbound() {
    let mut world = with_key();
    world.transcript("dword Machine\\System\\Registry TransactionTimeoutMs 600000\nbegin t");
    stall(&mut world);
    let fd = world.handle("k");
    let Call::SetValue { name, value_type, data, layer, expected_sequence, .. } =
        write(fd, "v", 1, b"new", b"")
    else {
        panic!("a write")
    };
    let transaction = world.handle("t");
    let call = Call::SetValue { fd, name, value_type, data, layer, transaction, expected_sequence };
    let worlds = timed_out(&world, &call);
    check_each(&worlds, "status $t", expect!["transaction state 0, errno 0"]);
    check_each(
        &released(&worlds),
        "set $k v x with t\ncommit $t\nget $k v",
        expect![[r#"ok; ok; sz "x" from base, sequence 7"#]],
    );
}

#[test]
fn a_removal_in_a_transaction_that_comes_late_is_part_of_it() {
    let mut world = with_key();
    world.transcript(
        "dword Machine\\System\\Registry TransactionTimeoutMs 600000\n\
         begin t\nset $k w x with t",
    );
    stall(&mut world);
    let mut call = unset(&world, "v");
    if let Call::DeleteValue { transaction, .. } = &mut call {
        *transaction = world.handle("t");
    }
    check_each(
        &released(&timed_out(&world, &call)),
        "get $k v\nget $k v with t\ncommit $t\nget $k v",
        expect![[r#"
            sz "old" from base, sequence 5; sz "old" from base, sequence 5; ok; sz "old" from base, sequence 5
            sz "old" from base, sequence 5; ENOENT; ok; ENOENT"#]],
    );
}

#[test]
fn a_late_change_behind_the_lock_of_an_open_transaction_is_not_judged() {
    let mut world = with_key();
    world.transcript(
        "dword Machine\\System\\Registry TransactionTimeoutMs 600000\n\
         begin t\nset $k w x with t",
    );
    stall(&mut world);
    let worlds = timed_out(&world, &unset(&world, "v"));
    let (source, at) = (SOURCE, world.now + 30 * SECOND);
    let release = Input::Environment(Environment::SourceReleased { source, at });
    let is_outside =
        |world: &World| matches!(world.state.step(&release)[0].outcome, Outcome::Outside(_));
    assert_eq!(worlds.iter().filter(|world| is_outside(world)).count(), 1);
}

#[test]
fn a_death_forgets_what_was_kept_or_shows_that_it_was_carried_out() {
    let mut world = with_key();
    watched(&mut world);
    stall(&mut world);
    is_unset_or_not(&restarted(&timed_out(&world, &unset(&world, "v"))));
}

/// Whether the value is gone is open in these worlds, and its watch knows that it does not know.
fn is_unset_or_not(after: &[World]) {
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
fn a_commit_that_waits_ends_with_its_source() {
    let mut world = with_key();
    world.transcript("begin t\nset $k v new with t");
    stall(&mut world);
    let call = Call::Commit { fd: world.handle("t") };
    let down = Input::Environment(Environment::SourceDown { source: SOURCE });
    let mut after: Vec<World> = Vec::new();
    for step in world.steps_within(&call, 5 * SECOND, true) {
        let state = step.accept(&Observation::Failed(Errno::EIO)).unwrap();
        after.extend(state.step(&down).iter().map(|step| world.in_state(step.next(), 0)));
    }
    check_each(
        &after,
        "status $t\nresume\nget $k v",
        expect![[r#"
            transaction state 5, errno 5; ok; sz "old" from base, sequence 5
            transaction state 5, errno 5; ok; sz "new" from base, sequence 6"#]],
    );
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
fn a_layer_deletion_that_one_source_does_not_answer_is_carried_out_late() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other"]);
    world.transcript(
        "layer a 1\ncreate k Other\\k\nset $k v b\nset $k v a in a\n\
         open l Machine\\System\\Registry\\Layers\\a",
    );
    world.environment(Environment::SourceStalled { source: OTHER_SOURCE });
    let (fd, layer) = (world.handle("l"), Vec::new());
    let worlds = timed_out(&world, &Call::DeleteKey { fd, layer, transaction: -1 });
    check_each(&worlds, "layers", expect!["base 0"]);
    let at = world.now + 31 * SECOND;
    let release = Input::Environment(Environment::SourceReleased { source: OTHER_SOURCE, at });
    let mut after: Vec<World> = Vec::new();
    for world in &worlds {
        for step in world.state.step(&release) {
            after.push(world.in_state(step.next(), 0));
        }
    }
    // A layer of the same name does not find the entries again.
    check_each(
        &after,
        "get $k v\nlayer a 1\nget $k v",
        expect![[r#"sz "b" from base, sequence 7; created, ok; sz "b" from base, sequence 7"#]],
    );
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
fn the_limit_of_transactions_is_looked_at_before_a_source_is_asked() {
    let mut world = with_key();
    world.transcript(
        "dword Machine\\System\\Registry MaxBoundTransactionsPerSource 1
         backup $k s\nbegin t\nset $k v new with t\nbegin u",
    );
    let bytes = world.streams["s"].clone();
    let (fd, input) = (world.handle("k"), world.stream(StreamAccess::Read, &bytes));
    let transaction = world.handle("u");
    stall(&mut world);
    assert_eq!(outcomes(&world, &Call::Restore { fd, input }, 5), ["EBUSY"]);
    let delete = Call::DeleteKey { fd, layer: Vec::new(), transaction };
    assert_eq!(outcomes(&world, &delete, 5), ["EBUSY"]);
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
fn a_commit_in_whose_course_its_source_stalls_is_in_flight() {
    let mut world = with_key();
    world.transcript(
        "dword Machine\\System\\Registry TransactionTimeoutMs 600000\n\
         begin t\nset $k v new with t",
    );
    let worlds = timed_out_in_its_course(&world, &Call::Commit { fd: world.handle("t") });
    check_each(&worlds, "status $t", expect!["transaction state 4, errno 110"]);
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

#[test]
fn the_late_deletion_of_a_layer_waits_for_the_locks_of_all_hives_of_its_source() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other", "More"]);
    world.transcript(
        "layer a 1\ncreate k More\\k\nopen l Machine\\System\\Registry\\Layers\\a\n\
         dword Machine\\System\\Registry TransactionTimeoutMs 600000\n\
         begin t\nset $k v x with t",
    );
    world.environment(Environment::SourceStalled { source: OTHER_SOURCE });
    let (fd, layer) = (world.handle("l"), Vec::new());
    let worlds = timed_out(&world, &Call::DeleteKey { fd, layer, transaction: -1 });
    let (source, at) = (OTHER_SOURCE, world.now + 30 * SECOND);
    let release = Input::Environment(Environment::SourceReleased { source, at });
    let is_outside =
        |world: &World| matches!(world.state.step(&release)[0].outcome, Outcome::Outside(_));
    assert!(!worlds.is_empty() && worlds.iter().all(is_outside));
}

#[test]
fn a_commit_that_finds_a_slot_is_sent_where_nobody_watches() {
    let mut world = with_key();
    world.transcript(
        "dword Machine\\System\\Registry MaxConcurrentRSIRequests 8
         dword Machine\\System\\Registry TransactionTimeoutMs 120000
         begin t
         set $k v new with t",
    );
    stall(&mut world);
    let commit = Call::Commit { fd: world.handle("t") };
    let expected = expect![[r#"
        sz "new" from base, sequence 8"#]];
    check_each(&released(&timed_out(&world, &commit)), "get $k v", expected);
}

#[test]
fn a_commit_has_a_second_deadline_where_somebody_watches() {
    let mut world = with_key();
    world.transcript("dword Machine\\System\\Registry TransactionTimeoutMs 120000");
    let mut quiet = world.clone();
    watched(&mut world);
    for (world, is_watched) in [(&mut quiet, false), (&mut world, true)] {
        world.transcript("begin t\nset $k v new with t");
        stall(world);
        let commit = Call::Commit { fd: world.handle("t") };
        assert_eq!(outcomes(world, &commit, 60 * SECOND)[0] == "ETIMEDOUT", is_watched);
    }
}

#[test]
fn a_commit_in_whose_course_its_source_stalls_may_lack_a_slot_where_somebody_watches() {
    let mut world = with_key();
    world.transcript("dword Machine\\System\\Registry TransactionTimeoutMs 120000");
    let mut narrow = world.clone();
    narrow.transcript("dword Machine\\System\\Registry MaxConcurrentRSIRequests 8");
    let (open, ended) = ("transaction state 1, errno 0", "transaction state 4, errno 110");
    for (world, is_watched, expected) in
        [(&world, true, &[ended][..]), (&narrow, false, &[ended]), (&narrow, true, &[open, ended])]
    {
        let mut world = world.clone();
        if is_watched {
            watched(&mut world);
        }
        world.transcript("begin t\nset $k v new with t");
        let fd = world.handle("t");
        let worlds = timed_out_in_its_course(&world, &Call::Commit { fd });
        let state = |world: &World| outcomes(world, &Call::TransactionStatus { fd }, 5).join(", ");
        let mut states: Vec<String> = worlds.iter().map(state).collect();
        states.sort();
        assert_eq!(states, expected);
    }
}

#[test]
fn bad_metadata_that_a_refresh_is_made_up_for_need_not_fail_a_call_about_another_layer() {
    let mut world = with_key();
    world.transcript(
        "layer a 1\nlayer b 2\nopen a Machine\\System\\Registry\\Layers\\a
         open b Machine\\System\\Registry\\Layers\\b",
    );
    let (sz, dword) = (1, 4);
    let bad = write(world.handle("b"), "Precedence", sz, b"", b"");
    let good = write(world.handle("a"), "Precedence", dword, &[0; 4], b"");
    let bad_itself = write(world.handle("a"), "Precedence", sz, b"", b"");
    let worlds = released(&timed_out_in_its_course(&world, &bad));
    let mut shown: Vec<[Vec<String>; 2]> = worlds
        .iter()
        .map(|world| [outcomes(world, &good, 5), outcomes(world, &bad_itself, 5)])
        .collect();
    shown.sort();
    shown.dedup();
    expect![[r#"
        [
            [
                [
                    "EIO",
                    "ok",
                ],
                [
                    "EIO",
                ],
            ],
            [
                [
                    "ok",
                ],
                [
                    "EIO",
                ],
            ],
        ]
    "#]]
    .assert_debug_eq(&shown);
}

/// What may be answered to a call, and the layers that each answer leaves.
fn layers_after(world: &World, call: &Call) -> Vec<String> {
    let steps = world.steps(call, false);
    let after = |step: &Step| {
        let layers = world.in_state(step.next(), 0).transcript("layers");
        format!("{}: {}", step.outcome, layers.lines().last().unwrap_or_default().trim())
    };
    let mut after: Vec<String> = steps.iter().map(after).collect();
    after.sort();
    after.dedup();
    after
}

#[test]
fn a_refresh_that_is_made_up_for_and_has_no_round_keeps_that_of_the_call_from_its_layer_or_not() {
    let mut world = with_key();
    let layers = "Machine\\System\\Registry\\Layers";
    world.transcript(&format!("layer a 1\nlayer b 2\nopen a {layers}\\a\nopen b {layers}\\b"));
    let precedence = |world: &World, name: &str, number: u32| {
        write(world.handle(name), "Precedence", 4, &number.to_le_bytes(), b"")
    };
    let worlds = released(&timed_out_in_its_course(&world, &precedence(&world, "b", 1)));
    let record = StoredRecord::Child {
        name: "no/name".to_owned(),
        layer: "base".to_owned(),
        target: StoredTarget::Hidden,
        sequence: StoredSequence::Number(1),
    };
    let path = layers.split('\\').map(str::to_owned).collect();
    let entry = StoreEntry { key: StoredKey { path, through: None }, record };
    let (mut direct, mut committed) = (Vec::new(), Vec::new());
    for mut world in worlds {
        if !world.transcript("get $b Precedence").contains("dword 1") {
            continue;
        }
        if world.transcript("layers").contains("b 1") {
            continue;
        }
        world.environment(Environment::StoreEntry(entry.clone()));
        let call = precedence(&world, "a", 0);
        direct.push(layers_after(&world, &call));
        world.transcript("begin t");
        world.call_within("t", call);
        committed.push(layers_after(&world, &Call::Commit { fd: world.handle("t") }));
    }
    assert!(!direct.is_empty());
    for (direct, committed) in direct.iter().zip(&committed) {
        assert_eq!(direct[..], ["EIO: -> a 1, b 2, base 0", "ok: -> a 0, b 2, base 0"]);
        assert_eq!(committed[..], ["ok: -> a 0, b 2, base 0", "ok: -> a 1, b 2, base 0"]);
    }
}

#[test]
fn what_a_registration_changes_at_a_stalled_source_is_told_under_the_first_reading() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other"]);
    let registry = "Machine\\System\\Registry";
    world.transcript(&format!(
        "layer role 5\ncreate Other\\a\ncreate Other\\a\\b\nset Other\\a\\b v x in role\nopen k Other
         dword {registry} MaxSubtreeWatchDepth 1\ndword {registry} MaxSubtreeWatchDepth 0 in role"
    ));
    watched(&mut world);
    let record = StoredRecord::Value {
        name: "Enabled".to_owned(),
        layer: "base".to_owned(),
        value_type: 4,
        data: vec![0; 4],
        sequence: StoredSequence::Number(1),
    };
    let path = format!("{registry}\\Layers\\role").split('\\').map(str::to_owned).collect();
    let entry = StoreEntry { key: StoredKey { path, through: None }, record };
    world.environment(Environment::StoreEntry(entry));
    world.environment(Environment::SourceStalled { source: OTHER_SOURCE });
    world.transcript("down");
    world.device(SOURCE, DeviceCall::Open);
    let steps = world.registrations(SOURCE, &["Machine", "Users"]);
    let worlds: Vec<World> = steps.iter().map(|step| world.in_state(step.next(), 0)).collect();
    assert!(worlds.iter().all(|world| world.state.limits().max_subtree_watch_depth == 1));
    // OVERFLOW, VALUE_DELETED two levels down, and both.
    assert_eq!(lengths_of_events(&worlds), [8, 17, 25]);
}
