//! Power losses: what may be lost, and what may not (D-110, P-450, P-451).

use registry_model::{Call, Environment, Input};

use crate::stalls::{released, timed_out, timed_out_in_its_course};
use crate::world::{SOURCE, World, write};

/// A world whose power may fail, and in which all that is there is durable.
fn flushed() -> World {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k");
    world.environment(Environment::PowerMayFail);
    world
}

/// What `x` is in each state that a power loss may leave, each said once.
fn values_after_power_loss(world: &World) -> Vec<String> {
    let loss = Environment::PowerLoss { recovered: Vec::new() };
    let mut answers: Vec<String> = Vec::new();
    for step in world.state.step(&Input::Environment(loss)) {
        let mut world = world.in_state(step.next(), 10);
        world.register(SOURCE, &["Machine", "Users"]);
        let transcript = world.transcript("get Machine\\k x");
        let answer = transcript.split('"').nth(1).unwrap_or("nothing").to_owned();
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    answers
}

fn check(lines: &str, expected: &[&str]) {
    let mut world = flushed();
    world.transcript(lines);
    assert_eq!(values_after_power_loss(&world), expected);
}

#[test]
fn what_nobody_has_flushed_may_be_lost_from_the_last_change_on() {
    check("set $k x one\nset $k x two", &["two", "one", "nothing"]);
}

#[test]
fn what_was_flushed_stays() {
    check("set $k x one\nflush $k\nset $k x two", &["two", "one"]);
}

#[test]
fn what_was_committed_stays_with_all_that_was_there_before() {
    check(
        "set $k x one\nbegin t\nset $k y two with t\ncommit $t\nset $k x three",
        &["three", "one"],
    );
}

#[test]
fn a_commit_of_nothing_makes_nothing_durable() {
    check(
        "create Machine\\k\\sub\nflush $k\nset $k x one\nbegin t\ndelete $k with t\ncommit $t",
        &["one", "nothing"],
    );
}

/// What a power loss may leave of `x`, written in a transaction and in flight as the commit is, once both are answered.
fn left_of_what_was_in_flight(lines: &str) -> Vec<String> {
    let mut world = flushed();
    world.transcript("dword Machine\\System\\Registry TransactionTimeoutMs 600000\nflush $k");
    world.transcript(lines);
    let mut written = write(world.handle("k"), "x", 1, b"two", b"");
    if let Call::SetValue { transaction, .. } = &mut written {
        *transaction = world.handle("t");
    }
    let commit = Call::Commit { fd: world.handle("t") };
    let worlds = timed_out_in_its_course(&world, &written);
    let worlds: Vec<World> = worlds.iter().flat_map(|world| timed_out(world, &commit)).collect();
    let mut released = released(&worlds);
    released.retain(|world| world.clone().transcript("get $k x").contains("two"));
    assert!(!released.is_empty());
    let mut left: Vec<String> = released.iter().flat_map(values_after_power_loss).collect();
    left.sort();
    left.dedup();
    left
}

#[test]
fn what_was_in_flight_beside_a_commit_is_as_durable_as_its_log() {
    assert_eq!(left_of_what_was_in_flight("begin t\nset $k y one with t"), ["two"]);
}

#[test]
fn a_commit_of_what_was_in_flight_alone_makes_its_hive_durable() {
    let lines = "create Machine\\k\\sub\nflush $k\nset $k x one\nbegin t\ndelete $k with t";
    assert_eq!(left_of_what_was_in_flight(lines), ["two"]);
}

#[test]
fn another_hive_is_none_of_its_business() {
    check("set $k x one\nopen u Users\nset $u x one\nflush $u", &["one", "nothing"]);
}

#[test]
fn a_power_loss_that_could_not_come_has_lost_nothing() {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\nset $k x one");
    assert_eq!(values_after_power_loss(&world), ["one"]);
}
