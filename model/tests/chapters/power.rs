//! Power losses: what may be lost, and what may not (D-110, P-450, P-451).

use registry_model::{Call, Environment, Input, Observation};

use crate::stalls::{released, stall, timed_out, timed_out_in_its_course, unset};
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

/// The worlds in which a write of "two" to `x` within `t` and the commit of `t` were both answered late, and it has it.
fn committed_with_what_was_in_flight(world: &World) -> Vec<World> {
    let mut written = write(world.handle("k"), "x", 1, b"two", b"");
    if let Call::SetValue { transaction, .. } = &mut written {
        *transaction = world.handle("t");
    }
    let commit = Call::Commit { fd: world.handle("t") };
    let worlds = timed_out_in_its_course(world, &written);
    let worlds: Vec<World> = worlds.iter().flat_map(|world| timed_out(world, &commit)).collect();
    let mut released = released(&worlds);
    released.retain(|world| world.clone().transcript("get $k x").contains("two"));
    assert!(!released.is_empty());
    released
}

/// What a power loss may leave of `x`, written in a transaction and in flight as the commit is, once both are answered.
fn left_of_what_was_in_flight(lines: &str) -> Vec<String> {
    let mut world = flushed();
    world.transcript("dword Machine\\System\\Registry TransactionTimeoutMs 600000\nflush $k");
    world.transcript(lines);
    let released = committed_with_what_was_in_flight(&world);
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

/// What a power loss may leave of `x`, and of the last write time of its key: as it was at `since`, or later.
fn times_after_power_loss(worlds: &[World], since: u64) -> Vec<String> {
    let loss = Input::Environment(Environment::PowerLoss { recovered: Vec::new() });
    let mut left: Vec<String> = Vec::new();
    for world in worlds {
        for step in world.state.step(&loss) {
            let mut world = world.in_state(step.next(), 10);
            world.register(SOURCE, &["Machine", "Users"]);
            world.transcript("open k Machine\\k");
            let info = Call::QueryKeyInfo { fd: world.handle("k"), name_capacity: 100 };
            let Observation::KeyInfo(info) = world.call(info).0 else { panic!("no info") };
            let value = world.transcript("get $k x");
            let value = value.split('"').nth(1).unwrap_or("nothing");
            let time = if info.last_write_time > since { "later" } else { "as it was" };
            left.push(format!("{value}, {time}"));
        }
    }
    left.sort();
    left.dedup();
    left
}

#[test]
fn the_last_write_time_that_follows_a_late_write_may_be_lost_alone() {
    let mut world = flushed();
    world.transcript("set $k x one\nflush $k\nwait 60");
    let since = world.now;
    let unset = unset(&world, "x");
    let in_its_course = timed_out_in_its_course(&world, &unset);
    stall(&mut world);
    let at_its_beginning = timed_out(&world, &unset);
    for worlds in [at_its_beginning, in_its_course] {
        let left = times_after_power_loss(&released(&worlds), since);
        assert_eq!(left, ["nothing, as it was", "nothing, later", "one, as it was"]);
    }
}

#[test]
fn all_that_was_in_flight_is_answered_before_any_last_write_time_is_asked_for() {
    let mut world = flushed();
    world.transcript("set $k x one\nset $k y one\nflush $k\nwait 60");
    let since = world.now;
    stall(&mut world);
    let worlds = timed_out(&world, &unset(&world, "y"));
    let worlds: Vec<World> =
        worlds.iter().flat_map(|world| timed_out(world, &unset(world, "x"))).collect();
    let mut released = released(&worlds);
    let is_gone = |world: &World, name| {
        world.clone().transcript(&format!("get $k {name}")).contains("ENOENT")
    };
    released.retain(|world| is_gone(world, "x") && is_gone(world, "y"));
    let left = times_after_power_loss(&released, since);
    assert_eq!(left, ["nothing, as it was", "nothing, later", "one, as it was"]);
}

#[test]
fn the_last_write_time_that_follows_what_was_in_flight_beside_a_commit_may_be_lost_alone() {
    let mut world = flushed();
    let limit = "dword Machine\\System\\Registry TransactionTimeoutMs 600000";
    world.transcript(&format!("{limit}\nopen m Machine\nset $k x one\nflush $k\nwait 60"));
    let since = world.now;
    world.transcript("begin t\nset $m a one with t");
    let released = committed_with_what_was_in_flight(&world);
    assert_eq!(times_after_power_loss(&released, since), ["two, as it was", "two, later"]);
}

/// What a power loss may leave of `x` if a flush was not answered in time, and was answered late.
fn left_of_what_was_flushed_late(lines: &str) -> Vec<Vec<String>> {
    let mut world = flushed();
    world.transcript("dword Machine\\System\\Registry TransactionTimeoutMs 600000\nflush $k");
    world.transcript(lines);
    let flush = Call::Flush { fd: world.handle("k") };
    let in_its_course = timed_out_in_its_course(&world, &flush);
    stall(&mut world);
    let left = |worlds: Vec<World>| {
        assert!(!worlds.is_empty());
        let mut left: Vec<String> =
            released(&worlds).iter().flat_map(values_after_power_loss).collect();
        left.sort();
        left.dedup();
        left
    };
    vec![left(timed_out(&world, &flush)), left(in_its_course)]
}

#[test]
fn a_flush_that_is_answered_late_makes_its_hive_durable() {
    assert_eq!(left_of_what_was_flushed_late("set $k x one"), [["one"], ["one"]]);
}

#[test]
fn a_flush_that_waits_for_a_write_lock_as_it_is_answered_late_promises_nothing() {
    let left = left_of_what_was_flushed_late("set $k x one\nbegin t\nset $k y two with t");
    assert_eq!(left, [["nothing", "one"], ["nothing", "one"]]);
}

#[test]
fn a_flush_beside_which_a_change_is_in_flight_may_not_have_been_sent() {
    let mut world = flushed();
    world.transcript("set $k x one");
    stall(&mut world);
    let worlds = timed_out(&world, &unset(&world, "y"));
    let flush = |world: &World| timed_out(world, &Call::Flush { fd: world.handle("k") });
    let worlds: Vec<World> = worlds.iter().flat_map(flush).collect();
    let left: Vec<String> = released(&worlds).iter().flat_map(values_after_power_loss).collect();
    assert!(left.iter().any(|x| x == "nothing"), "{left:?}");
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
