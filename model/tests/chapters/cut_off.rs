//! Commits that are on their way as the lifetimes of their transactions end (P-158, P-540).

use registry_model::errno::Errno;
use registry_model::{Call, Environment, Input, Observation, Step};

use crate::stalls::{SECOND, released, restarted, with_key};
use crate::world::{SOURCE, World, query, write};

/// A watched key, and a commit of another value for it of which nobody knows more than that its time is over.
fn cut_off() -> World {
    let mut world = with_key();
    let fd = world.handle("k");
    world.call(Call::Notify { fd, filter: 7, subtree: 0 });
    world.transcript("begin t\nset $k v new with t");
    world.wait(30 * SECOND - 10);
    with_commit(&world, "t").swap_remove(0)
}

/// The worlds in which the commit of a transaction was too late, and something is on its way.
fn with_commit(world: &World, name: &str) -> Vec<World> {
    let steps = world.steps(&Call::Commit { fd: world.handle(name) }, false);
    let late = Observation::Failed(Errno::ETIMEDOUT);
    let states = steps.iter().filter_map(|step| step.accept(&late).ok());
    let states = states.filter(|state| state.awaits_answers());
    states.map(|state| world.in_state(&state, 5)).collect()
}

fn events(world: &World) -> Call {
    Call::ReadEvents { fd: world.handle("k"), capacity: 1_000 }
}

fn outcomes(steps: &[Step]) -> Vec<String> {
    let mut outcomes: Vec<String> = steps.iter().map(|step| step.outcome.to_string()).collect();
    outcomes.sort();
    outcomes
}

/// The world in which a call was answered like this.
fn answered(world: &World, call: &Call, answer: &str) -> World {
    let steps = world.steps(call, false);
    let step = steps.iter().find(|step| step.outcome.to_string().starts_with(answer)).unwrap();
    world.in_state(&step.accept(&step.outcome.example(0).unwrap()).unwrap(), 5)
}

const SET: &str = "events VALUE_SET \"v\"";

#[test]
fn what_it_tells_comes_at_any_moment_and_once() {
    let world = cut_off();
    assert_eq!(outcomes(&world.steps(&events(&world), false)), ["EAGAIN", SET]);
    let mut untold = answered(&world, &events(&world), "EAGAIN");
    untold.wait(SECOND);
    assert_eq!(outcomes(&untold.steps(&events(&world), false)), ["EAGAIN", SET]);
    let told = answered(&untold, &events(&world), "events");
    assert!(!told.state.awaits_answers());
    for later in [0, 40 * SECOND] {
        let told = told.in_state(&told.state, later);
        assert_eq!(outcomes(&told.steps(&events(&world), false)), ["EAGAIN"]);
        assert_eq!(told.clone().transcript("get $k v").lines().count(), 2);
    }
}

#[test]
fn it_is_told_of_within_the_time_that_a_request_has() {
    let mut world = cut_off();
    world.wait(30 * SECOND - 1);
    assert_eq!(outcomes(&world.steps(&events(&world), false)), ["EAGAIN", SET]);
    world.wait(2);
    assert_eq!(outcomes(&world.steps(&events(&world), false)), [SET]);
    let at = world.now;
    let steps = world.state.step(&Input::Environment(Environment::TimePasses { at }));
    assert!(steps.iter().all(|step| !step.next().awaits_answers()));
}

#[test]
fn who_sees_it_is_told_of_it() {
    let world = cut_off();
    let get = query(world.handle("k"), "v");
    let seen = answered(&world, &get, "sz \"new\"");
    assert_eq!(outcomes(&seen.steps(&events(&world), false)), [SET]);
    let unseen = answered(&world, &get, "sz \"old\"");
    assert!(unseen.state.awaits_answers());
}

#[test]
fn it_has_the_write_lock_until_it_is_answered() {
    let world = cut_off();
    let set = write(world.handle("k"), "v", 1, b"newest", b"");
    let after = answered(&world, &set, "ok");
    assert!(!after.state.awaits_answers());
    assert_eq!(world.steps(&set, false).len(), 1);
    let told = outcomes(&after.steps(&events(&world), false));
    assert_eq!(told, ["events VALUE_SET \"v\", VALUE_SET \"v\""]);
}

#[test]
fn volatile_data_that_it_has_keeps_readers_waiting() {
    let get = |world: &World| {
        let read = query(world.handle("k"), "w");
        outcomes(&world.steps_within(&read, 26 * SECOND, false)).contains(&"EBUSY".to_owned())
    };
    for (made, is_volatile) in [("create", false), ("volatile", true)] {
        let mut world = with_key();
        world.transcript("begin t");
        let begun = world.now;
        world.transcript(&format!("{made} Machine\\w with t"));
        world.wait(begun + 30 * SECOND - world.now);
        assert_eq!(get(&with_commit(&world, "t")[0]), is_volatile);
    }
}

#[test]
fn its_source_may_have_carried_it_out_or_not_when_it_goes() {
    let worlds = restarted(&[cut_off()]);
    let mut values: Vec<String> = Vec::new();
    for mut world in worlds {
        let value = world.transcript("get $k v");
        let value = value.contains("new").to_string();
        let told = outcomes(&world.steps(&events(&world), false));
        values.extend(told.iter().map(|told| format!("{value}: {told}")));
    }
    values.sort();
    let told = format!("true: {SET}, OVERFLOW");
    assert_eq!(values, ["false: events OVERFLOW", "true: events OVERFLOW", &told]);
}

#[test]
fn a_source_that_stops_answering_may_keep_it() {
    let world = cut_off();
    let stalls = Input::Environment(Environment::SourceStalled { source: SOURCE });
    let steps = world.state.step(&stalls);
    let worlds: Vec<World> = steps.iter().map(|step| world.in_state(step.next(), 0)).collect();
    let told: Vec<Vec<String>> =
        worlds.iter().map(|after| outcomes(&after.steps(&events(&world), false))).collect();
    assert_eq!(told, [["EAGAIN"], [SET]]);
    for after in released(&worlds) {
        assert_eq!(outcomes(&after.steps(&events(&world), false)), [SET]);
    }
}
