//! What late responses bring beside one another, and what is left of them when their source goes.

use expect_test::expect;
use registry_model::errno::Errno;
use registry_model::store_entry::{StoreEntry, StoredKey, StoredRecord, StoredSequence};
use registry_model::{Call, Environment, Observation};

use crate::stalls::{
    SECOND, check_each, released, restarted, stall, timed_out, timed_out_in_its_course, unset,
    with_key,
};
use crate::world::{World, create, query, write};

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
