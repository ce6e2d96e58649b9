//! What late responses bring beside one another, and what is left of them when their source goes.

use expect_test::expect;
use registry_model::errno::Errno;
use registry_model::store_entry::{StoreEntry, StoredKey, StoredRecord, StoredSequence};
use registry_model::{Call, Environment, Input, Observation, Step};

use crate::stalls::{
    SECOND, check_each, lengths_of_events, released, restarted, stall, timed_out,
    timed_out_in_its_course, unset, with_key,
};
use crate::world::{OTHER_SOURCE, World, create, query, write};

fn long_lived() -> World {
    let mut world = with_key();
    world.transcript("dword Machine\\System\\Registry TransactionTimeoutMs 600000");
    world
}

#[test]
fn a_creation_whose_record_nobody_has_asked_for_is_gone_after_a_restart() {
    let mut world = long_lived();
    world.transcript("begin t\nset $k v held with t");
    let mut worlds = timed_out_in_its_course(&world, &create("Machine\\new"));
    for world in &mut worlds {
        world.transcript("close $t");
    }
    check_each(&restarted(&worlds), "open Machine\\new", expect!["ENOENT"]);
}

#[test]
fn what_waits_for_a_write_lock_as_its_source_goes_is_not_carried_out() {
    let mut world = long_lived();
    world.transcript("begin t\nset $k w held with t");
    stall(&mut world);
    let worlds = timed_out(&world, &unset(&world, "v"));
    check_each(&restarted(&worlds), "get $k v", expect![[r#"sz "old" from base, sequence 5"#]]);
}

#[test]
fn a_commit_is_not_kept_waiting_by_its_own_lock() {
    let mut world = long_lived();
    world.transcript("volatile Machine\\fleeting\nbegin t\nset $k v new with t");
    let commit = Call::Commit { fd: world.handle("t") };
    let steps = world.steps_within(&commit, 26 * SECOND, false);
    assert!(steps.iter().all(|step| step.outcome.to_string() == "ok"));
    let other = world.steps_within(&query(world.handle("k"), "v"), 26 * SECOND, false);
    assert!(other.iter().any(|step| step.accept(&Observation::Failed(Errno::EBUSY)).is_ok()));
}

#[test]
fn a_death_at_the_allocation_of_a_number_is_no_generation_step() {
    let mut world = with_key();
    world.transcript("info $k");
    let set = write(world.handle("k"), "v", 1, b"new", b"");
    let mut ended: Vec<World> = Vec::new();
    for step in world.steps(&set, true) {
        if let Ok(state) = step.accept(&Observation::Failed(Errno::EIO)) {
            ended.push(world.in_state(&state, 0));
        }
    }
    let generation = |world: &World| {
        let info = Call::QueryKeyInfo { fd: world.handle("k"), name_capacity: 100 };
        let told = world.steps(&info, false)[0].outcome.to_string();
        told.rsplit("generation ").next().unwrap_or("").to_owned()
    };
    let mut untouched: Vec<String> = Vec::new();
    for mut after in restarted(&ended) {
        if after.transcript("get $k v").contains("old") {
            untouched.push(generation(&after));
        }
    }
    untouched.dedup();
    assert_eq!(untouched, [generation(&world)]);
}

#[test]
fn a_change_that_is_none_of_the_parameters_has_none_of_them_read_again() {
    let world = with_key();
    let set = write(world.handle("k"), "v", 1, b"new", b"");
    let mut worlds = released(&timed_out_in_its_course(&world, &set));
    let record = StoredRecord::Value {
        name: "MaxKeyDepth".to_owned(),
        layer: "base".to_owned(),
        value_type: 4,
        data: 40_u32.to_le_bytes().to_vec(),
        sequence: StoredSequence::Number(1),
    };
    let path = vec!["Machine".to_owned(), "System".to_owned(), "Registry".to_owned()];
    let entry = StoreEntry { key: StoredKey { path, through: None }, record };
    for world in &mut worlds {
        world.environment(Environment::StoreEntry(entry.clone()));
        world.transcript("set $k w x");
        assert_eq!(world.state.limits().max_key_depth, 512);
    }
}

/// The call that takes a blanket tombstone away, there or not.
fn unblanket(world: &World) -> Call {
    Call::BlanketTombstone { fd: world.handle("k"), layer: Vec::new(), set: 0, transaction: -1 }
}

fn delete(world: &World) -> Call {
    Call::DeleteKey { fd: world.handle("k"), layer: Vec::new(), transaction: -1 }
}

/// The worlds after one more call that times out.
fn also_timed_out(worlds: &[World], call: impl Fn(&World) -> Call) -> Vec<World> {
    worlds.iter().flat_map(|world| timed_out(world, &call(world))).collect()
}

/// By how many steps the generation of Machine is higher in these worlds than in the first.
fn steps_since(world: &World, worlds: &[World]) -> Vec<u64> {
    let generation = |world: &World| -> u64 {
        let told = world.clone().transcript("info $m");
        let number = told.trim().rsplit("generation ").next().unwrap_or_default();
        number.parse().unwrap_or_else(|_| panic!("{told}"))
    };
    let mut steps: Vec<u64> =
        worlds.iter().map(|after| generation(after) - generation(world)).collect();
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// Those of the worlds that show this.
fn that_show(worlds: Vec<World>, line: &str, answer: &str) -> Vec<World> {
    let shows = |world: &World| world.clone().transcript(line).contains(answer);
    worlds.into_iter().filter(shows).collect()
}

#[test]
fn a_key_without_a_name_stays_until_all_that_was_kept_is_answered() {
    let mut world = with_key();
    world.transcript("open m Machine\ninfo $m");
    let fd = world.handle("m");
    world.call(Call::Notify { fd, filter: 7, subtree: 1 });
    let worlds = timed_out_in_its_course(&world, &delete(&world));
    // Those in which the deletion has not been answered.
    let worlds = that_show(worlds, "poll $m", "nothing");
    let mut worlds = also_timed_out(&worlds, unblanket);
    for world in &mut worlds {
        world.transcript("close $k");
    }
    let worlds = that_show(released(&worlds), "open Machine\\k", "ENOENT");
    // The deletion, and what was kept behind it.
    assert_eq!(steps_since(&world, &worlds), [1, 2]);
}

#[test]
fn an_orphan_is_dropped_behind_what_was_asked_before_its_last_close() {
    let mut world = with_key();
    world.transcript("open m Machine\ninfo $m\ndelete $k");
    let mut stalled = world.clone();
    stall(&mut stalled);
    let mut worlds = timed_out(&stalled, &unblanket(&stalled));
    for world in &mut worlds {
        world.transcript("close $k");
    }
    assert_eq!(steps_since(&world, &released(&worlds)), [0, 1]);
}

#[test]
fn a_hiding_behind_a_commit_is_not_refused_for_the_key_that_it_hides() {
    let mut world = long_lived();
    world.transcript("layer gpo 1\nopen m Machine\ninfo $m\nbegin t\ndelete $k with t");
    let (fd, layer) = (world.handle("k"), b"gpo".to_vec());
    let hide = Call::HideKey { fd, layer, transaction: -1 };
    let worlds = timed_out_in_its_course(&world, &hide);
    let mut worlds = also_timed_out(&worlds, |world| Call::Commit { fd: world.handle("t") });
    for world in &mut worlds {
        world.transcript("close $k");
    }
    let worlds = that_show(released(&worlds), "open Machine\\k", "ENOENT");
    // The commit, and the hiding if it was in flight.
    assert_eq!(steps_since(&world, &worlds), [1, 2]);
}

/// The worlds in which the first mutation of the transaction `t` is in flight.
fn with_a_first_mutation_in_flight() -> Vec<World> {
    let mut world = long_lived();
    world.transcript("begin t");
    let mut set = write(world.handle("k"), "w", 1, b"x", b"");
    if let Call::SetValue { transaction, .. } = &mut set {
        *transaction = world.handle("t");
    }
    let is_in_flight = |world: &World| {
        let after = released(std::slice::from_ref(world));
        !that_show(after, "get $k w with t", "\"x\"").is_empty()
    };
    let worlds = timed_out_in_its_course(&world, &set);
    let worlds: Vec<World> = worlds.into_iter().filter(is_in_flight).collect();
    assert!(!worlds.is_empty());
    worlds
}

#[test]
fn a_lock_that_is_taken_in_flight_holds_up_what_was_kept_behind_it() {
    let worlds = with_a_first_mutation_in_flight();
    let worlds = also_timed_out(&worlds, |world| unset(world, "v"));
    check_each(&restarted(&worlds), "get $k v", expect![[r#"sz "old" from base, sequence 5"#]]);
}

#[test]
fn a_commit_frees_a_lock_that_was_taken_in_flight() {
    let mut worlds = with_a_first_mutation_in_flight();
    for world in &mut worlds {
        let fd = world.handle("k");
        world.call(Call::Notify { fd, filter: 7, subtree: 0 });
    }
    let worlds = also_timed_out(&worlds, |world| unset(world, "v"));
    let worlds = also_timed_out(&worlds, |world| Call::Commit { fd: world.handle("t") });
    let worlds = that_show(released(&worlds), "get $k v", "ENOENT");
    let worlds = that_show(worlds, "get $k w", "\"x\"");
    let mut events: Vec<String> = worlds.iter().map(events).collect();
    events.sort();
    events.dedup();
    // What is told of `w` comes before what is told of `v`, which waited for it.
    expect![[r#"
        events OVERFLOW
        events OVERFLOW, VALUE_DELETED "v"
        events VALUE_SET "w", OVERFLOW
        events VALUE_SET "w", VALUE_DELETED "v""#]]
    .assert_eq(&events.join("\n"));
}

/// What the watch of the key has.
fn events(world: &World) -> String {
    let fd = world.handle("k");
    world.clone().call(Call::ReadEvents { fd, capacity: 1_000 }).0.to_string()
}

/// Two sources and a layer that both have entries of.
fn with_two_sources() -> World {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other"]);
    world.transcript(
        "layer a 1\ncreate k Other\\k\nset $k v b\nset $k v a in a\nopen m Other\n\
         open l Machine\\System\\Registry\\Layers\\a\ninfo $m",
    );
    world
}

fn delete_layer(world: &World) -> Call {
    Call::DeleteKey { fd: world.handle("l"), layer: Vec::new(), transaction: -1 }
}

/// The worlds in which each of these may be when the other source has answered everything.
fn released_other(worlds: &[World]) -> Vec<World> {
    let release = |world: &World| {
        let (source, at) = (OTHER_SOURCE, world.now);
        let release = Input::Environment(Environment::SourceReleased {
            source,
            at,
            dying: Default::default(),
        });
        let after = |step: &Step| world.in_state(step.next(), 0);
        world.state.step(&release).iter().map(after).collect::<Vec<World>>()
    };
    worlds.iter().flat_map(release).collect()
}

#[test]
fn the_late_deletion_of_a_layer_that_is_there_again_is_a_step_and_told_of() {
    let world = with_two_sources();
    let mut stalled = world.clone();
    stalled.environment(Environment::SourceStalled { source: OTHER_SOURCE });
    let mut worlds = timed_out(&stalled, &delete_layer(&stalled));
    for world in &mut worlds {
        world.transcript("layer a 1");
        let fd = world.handle("k");
        world.call(Call::Notify { fd, filter: 7, subtree: 0 });
    }
    let worlds = released_other(&worlds);
    assert!(!worlds.is_empty());
    assert!(steps_since(&world, &worlds).iter().all(|steps| *steps > 0));
    assert_eq!(lengths_of_events(&worlds), [8], "OVERFLOW alone");
}

#[test]
fn the_late_deletion_of_a_layer_that_is_gone_changes_no_view() {
    let mut world = with_two_sources();
    world.environment(Environment::SourceStalled { source: OTHER_SOURCE });
    let mut worlds = timed_out(&world, &delete_layer(&world));
    for world in &mut worlds {
        let fd = world.handle("k");
        world.call(Call::Notify { fd, filter: 7, subtree: 0 });
    }
    let worlds = released_other(&worlds);
    assert!(!worlds.is_empty());
    assert_eq!(lengths_of_events(&worlds), [0], "nothing is told");
}

#[test]
fn what_the_kernel_asks_about_a_layer_that_is_deleted_takes_slots() {
    let mut world = with_two_sources();
    world.transcript("dword Machine\\System\\Registry MaxConcurrentRSIRequests 8\nopen w Other");
    let fd = world.handle("w");
    world.call(Call::Notify { fd, filter: 7, subtree: 1 });
    world.environment(Environment::SourceStalled { source: OTHER_SOURCE });
    let worlds = released_other(&timed_out(&world, &delete_layer(&world)));
    // Without a slot nothing was sent, and the entries are there for the next layer of the name.
    check_each(
        &worlds,
        "layer a 1\nget $k v",
        expect![[r#"
            created, ok; sz "a" from a, sequence 8
            created, ok; sz "b" from base, sequence 7"#]],
    );
}
