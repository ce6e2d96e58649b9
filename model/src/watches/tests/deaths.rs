//! Sources that die and come back, and calls that are cut short (§4.2, §10.1).

use super::*;

/// What the watch may tell after each step of a call that an answer fits.
fn told_after(world: &mut World, call: Call, answer: &Observation, watch: Fd) -> Vec<String> {
    let steps = world.steps(ALICE, call, true);
    let states = steps.iter().filter_map(|step| step.accept(answer).ok());
    let mut told: Vec<String> = states
        .map(|state| World { state, next_fd: world.next_fd, time: world.time }.events(watch))
        .collect();
    told.sort();
    told.dedup();
    told
}

#[test]
fn the_return_of_a_source_is_an_overflow_on_its_watches() {
    let mut world = World::new();
    let here = world.watched("Users\\k");
    let there = world.watched("Machine\\k");
    world.set(here, "a", 1);
    world.die(2);
    assert_eq!(world.call(set(here, "b", 1, "")), Observation::Failed(Errno::EIO));
    assert_eq!(world.events(here), r#"VALUE_SET "a""#);
    world.register(2);
    assert_eq!(world.events(here), "OVERFLOW");
    assert_eq!(world.events(there), "nothing");
    world.set(here, "b", 1);
    assert_eq!(world.events(here), r#"VALUE_SET "b""#);
}

#[test]
fn arming_asks_nothing_of_a_source() {
    let mut world = World::new();
    let key = world.create("Users\\k");
    world.die(2);
    world.watch(key);
    assert_eq!(world.events(key), "nothing");
    world.register(2);
    assert_eq!(world.events(key), "OVERFLOW");
}

#[test]
fn a_call_that_fails_under_a_dying_source_may_have_been_told() {
    let mut world = World::new();
    let key = world.watched("Users\\k");
    let write = set(key, "a", 1, "");
    let failed = Observation::Failed(Errno::EIO);
    let told = told_after(&mut world, write.clone(), &failed, key);
    assert_eq!(told, [r#"VALUE_SET "a""#, "nothing"]);
    let told = told_after(&mut world, write, &Observation::Done, key);
    assert_eq!(told, [r#"VALUE_SET "a""#]);
}

#[test]
fn the_death_of_one_source_leaves_the_watches_of_another_exact() {
    let mut world = World::new();
    let layer = world.layer("l", 5);
    let key = world.create("Machine\\k");
    world.set_in(key, "v", 1, "l");
    world.watch(key);
    let delete = Call::DeleteKey { fd: layer, layer: Vec::new(), transaction: -1 };
    let told = told_after(&mut world, delete.clone(), &Observation::Failed(Errno::EIO), key);
    assert_eq!(told, [r#"VALUE_DELETED "v""#, "nothing"]);
    // The source of `Users` may have died as well, or instead.
    let told = told_after(&mut world, delete, &Observation::Done, key);
    assert!(told.contains(&r#"VALUE_DELETED "v""#.to_owned()));
}

#[test]
fn a_commit_that_was_answered_has_told_what_was_in_it() {
    let mut world = World::new();
    let layer = world.layer("l", 5);
    let key = world.create("Users\\k");
    let other = world.create("Machine\\k");
    world.set_in(key, "v", 1, "l");
    world.watch(key);
    world.watch(other);
    let transaction = world.begin();
    world.done(set_within(other, "a", 1, "", transaction));
    world.done(Call::DeleteKey { fd: layer, layer: Vec::new(), transaction });
    let commit = Call::Commit { fd: transaction };
    let told = told_after(&mut world, commit.clone(), &Observation::Done, other);
    assert_eq!(told, [r#"VALUE_SET "a""#]);
    // The source of `Users` may be the one that died.
    let told = told_after(&mut world, commit, &Observation::Done, key);
    assert_eq!(told, [r#"VALUE_DELETED "v""#, "nothing"]);
}

#[test]
fn a_source_that_is_down_takes_no_part_in_a_layer_operation() {
    let mut world = World::new();
    let layer = world.layer("l", 5);
    let key = world.create("Users\\k");
    world.set_in(key, "v", 1, "l");
    world.watch(key);
    world.die(2);
    world.delete_key(layer, "");
    assert_eq!(world.events(key), "nothing");
    world.register(2);
    assert_eq!(world.events(key), "OVERFLOW");
}

#[test]
fn a_reboot_ends_every_watch() {
    let mut world = World::new();
    world.watched("Users\\k");
    let reboot = Input::Environment(Environment::Reboot);
    let state = world.state.step(&reboot).remove(0).next().clone();
    assert!(state.watches.is_empty());
}

#[test]
fn the_table_read_at_the_first_registration_is_told_in_other_hives() {
    let mut world = World::new();
    let layer = world.layer("l", 5);
    let key = world.create("Users\\k");
    world.set_in(key, "v", 1, "l");
    world.close(layer);
    let reboot = Input::Environment(Environment::Reboot);
    world.state = world.state.step(&reboot).remove(0).next().clone();
    world.register(2);
    let key = world.open("Users\\k");
    world.watch(key);
    world.register(1);
    assert_eq!(world.events(key), r#"VALUE_SET "v""#);
}
