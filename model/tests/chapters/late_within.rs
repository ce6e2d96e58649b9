//! What is in flight in a transaction: a creation beside the commit (P-243, P-261, P-263, P-583).

use expect_test::expect;
use registry_model::observation::Observation;
use registry_model::{Call, Environment, Input, Outcome};

use crate::stalls::{
    SECOND, check_each, released, restarted, stall, timed_out, timed_out_in_its_course, unset,
    with_key,
};
use crate::world::{SOURCE, World, create};

fn long_lived() -> World {
    let mut world = with_key();
    world.transcript("dword Machine\\System\\Registry TransactionTimeoutMs 600000");
    world
}

/// The worlds in which a creation is in flight in a transaction, and then its commit.
fn with_a_creation_and_its_commit(mut world: World) -> Vec<World> {
    world.transcript("begin t\nset $m w x with t");
    let mut creation = create("Machine\\new");
    if let Call::CreateKey { transaction, .. } = &mut creation {
        *transaction = world.handle("t");
    }
    let commit = Call::Commit { fd: world.handle("t") };
    let created = timed_out_in_its_course(&world, &creation);
    let worlds = created.iter().flat_map(|world| timed_out(world, &commit));
    let is_created = |world: &World| {
        let mut after = released(std::slice::from_ref(world));
        after.iter_mut().any(|world| world.transcript("open Machine\\new").contains("opened"))
    };
    let worlds: Vec<World> = worlds.filter(is_created).collect();
    assert!(!worlds.is_empty());
    worlds
}

#[test]
fn a_source_that_goes_may_have_committed_an_entry_without_its_record() {
    let worlds = with_a_creation_and_its_commit(long_lived());
    check_each(
        &restarted(&worlds),
        "get $m w\nopen Machine\\new",
        expect![[r#"
            ENOENT; ENOENT
            sz "x" from base, sequence 7; ENOENT
            sz "x" from base, sequence 7; opened"#]],
    );
}

#[test]
fn a_creation_beside_its_commit_is_told_of_last() {
    let mut world = long_lived();
    let fd = world.handle("m");
    world.call(Call::Notify { fd, filter: 7, subtree: 1 });
    let worlds = with_a_creation_and_its_commit(world);
    let unset = |world: &World| Call::DeleteValue {
        fd: world.handle("k"),
        name: b"v".to_vec(),
        layer: Vec::new(),
        transaction: -1,
    };
    let worlds: Vec<World> =
        worlds.iter().flat_map(|world| timed_out(world, &unset(world))).collect();
    let mut told: Vec<String> = Vec::new();
    for mut world in released(&worlds) {
        world.wait(SECOND);
        let is_removed = world.clone().transcript("get $k v").contains("ENOENT");
        let is_created = world.clone().transcript("open Machine\\new").contains("opened");
        if is_removed && is_created {
            told.push(world.call(Call::ReadEvents { fd, capacity: 1_000 }).0.to_string());
        }
    }
    told.sort();
    told.dedup();
    expect![[r#"
        events VALUE_SET "w" at ., OVERFLOW
        events VALUE_SET "w" at ., SUBKEY_CREATED "new" at ., OVERFLOW
        events VALUE_SET "w" at ., SUBKEY_CREATED "new" at ., VALUE_DELETED "v" at "k"
        events VALUE_SET "w" at ., VALUE_DELETED "v" at "k", OVERFLOW"#]]
    .assert_eq(&told.join("\n"));
}

fn unset_within(world: &World, name: &str) -> Call {
    let mut unset = unset(world, "v");
    if let Call::DeleteValue { transaction, .. } = &mut unset {
        *transaction = world.handle(name);
    }
    unset
}

/// The worlds in which a removal is in flight in a transaction, and then its commit, behind the lock of another.
fn behind_another() -> Vec<World> {
    let mut world = long_lived();
    world.transcript("begin other\nset $k a x with other\nbegin t");
    let mut busy = world.steps_within(&unset_within(&world, "t"), 26 * SECOND, false);
    busy.retain(|step| step.outcome.to_string() == "EBUSY");
    let mut world = world.in_state(busy[0].next(), 26 * SECOND);
    stall(&mut world);
    let commit = Call::Commit { fd: world.handle("t") };
    let worlds = timed_out(&world, &unset_within(&world, "t"));
    worlds.iter().flat_map(|world| timed_out(world, &commit)).collect()
}

#[test]
fn a_commit_does_not_carry_out_what_waits_for_the_lock_of_another_transaction() {
    let worlds = behind_another();
    let is_judged = |world: &World| {
        let (source, at) = (SOURCE, world.now);
        let release = Input::Environment(Environment::SourceReleased {
            source,
            at,
            dying: Default::default(),
        });
        !matches!(world.state.step(&release)[0].outcome, Outcome::Outside(_))
    };
    let judged: Vec<World> = worlds.into_iter().filter(is_judged).collect();
    check_each(&released(&judged), "get $k v", expect![[r#"sz "old" from base, sequence 5"#]]);
}

#[test]
fn what_waits_for_another_lock_beside_its_commit_is_not_carried_out_as_the_source_goes() {
    let worlds = restarted(&behind_another());
    check_each(&worlds, "get $k v", expect![[r#"sz "old" from base, sequence 5"#]]);
}

#[test]
fn what_waits_for_another_lock_beside_its_commit_comes_after_that_has_ended() {
    let mut worlds = behind_another();
    worlds.iter_mut().for_each(|world| {
        world.transcript("close $other");
    });
    check_each(
        &released(&worlds),
        "get $k v",
        expect![[r#"
            sz "old" from base, sequence 5
            ENOENT"#]],
    );
}

#[test]
fn a_commit_waits_for_nobody_who_waits_for_the_lock_of_its_own_transaction() {
    let mut world = long_lived();
    let fd = world.handle("k");
    world.transcript("set $k a old\nbegin t\nset $k b x with t\nbegin other");
    let mut busy = world.steps_within(&unset_within(&world, "other"), 26 * SECOND, false);
    busy.retain(|step| step.outcome.to_string() == "EBUSY");
    let mut world = world.in_state(busy[0].next(), 26 * SECOND);
    world.call(Call::Notify { fd, filter: 7, subtree: 0 });
    stall(&mut world);
    let mut unset_a = unset(&world, "a");
    if let Call::DeleteValue { transaction, .. } = &mut unset_a {
        *transaction = world.handle("t");
    }
    let calls = [
        unset_within(&world, "other"),
        unset_a,
        Call::Commit { fd: world.handle("t") },
        Call::Commit { fd: world.handle("other") },
    ];
    let mut worlds = vec![world];
    for call in calls {
        worlds = worlds.iter().flat_map(|world| timed_out(world, &call)).collect();
    }
    let mut told: Vec<String> = Vec::new();
    for mut world in released(&worlds) {
        let gone = world.transcript("get $k a\nget $k v").matches("ENOENT").count();
        let events = world.call(Call::ReadEvents { fd, capacity: 1_000 }).0;
        told.push(format!("{gone} gone, {events}"));
    }
    told.sort();
    told.dedup();
    expect![[r#"
        0 gone, events VALUE_SET "b"
        1 gone, events VALUE_SET "b", OVERFLOW
        2 gone, events VALUE_SET "b", OVERFLOW"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn a_last_write_time_waits_for_who_has_taken_the_lock_before_it() {
    let mut world = long_lived();
    world.transcript("begin other\nset $k a x with other\nbegin t");
    let mut busy = world.steps_within(&unset_within(&world, "t"), 26 * SECOND, false);
    busy.retain(|step| step.outcome.to_string() == "EBUSY");
    let mut world = world.in_state(busy[0].next(), 26 * SECOND);
    world.transcript("close $other");
    let fd = world.handle("k");
    let info = Call::QueryKeyInfo { fd, name_capacity: 100 };
    let Observation::KeyInfo(former) = world.call(info.clone()).0 else { panic!("key info") };
    let admits = |world: &World, time: u64| {
        world.steps(&info, false).into_iter().any(|step| match step.outcome {
            Outcome::KeyInfo(info) => info.last_write_time.admits(time),
            _ => false,
        })
    };
    stall(&mut world);
    let worlds = timed_out(&world, &unset(&world, "v"));
    let within = |world: &World| timed_out(world, &unset_within(world, "t"));
    let mut told: Vec<String> = Vec::new();
    for mut world in released(&worlds.iter().flat_map(within).collect::<Vec<_>>()) {
        let value = world.transcript("get $k v");
        let value = value.trim_start_matches("get $k v").trim();
        let is_former = admits(&world, former.last_write_time);
        assert!(
            !admits(&world, former.last_write_time + 1),
            "neither the former time nor the new one"
        );
        told.push(format!("{value}; former time: {is_former}"));
    }
    told.sort();
    told.dedup();
    expect![[r#"
        -> ENOENT; former time: false
        -> ENOENT; former time: true
        -> sz "old" from base, sequence 5; former time: true"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn what_was_answered_late_within_a_transaction_is_told_with_its_events_or_as_unknown() {
    let mut world = long_lived();
    let fd = world.handle("k");
    world.call(Call::Notify { fd, filter: 7, subtree: 0 });
    world.transcript("begin t\nset $k a x with t");
    stall(&mut world);
    let unset = unset_within(&world, "t");
    let commit = Call::Commit { fd: world.handle("t") };
    let mut told: Vec<String> = Vec::new();
    for world in released(&timed_out(&world, &unset)) {
        for step in world.steps(&commit, false) {
            let mut world = world.in_state(step.next(), 10);
            if world.transcript("get $k v").contains("ENOENT") {
                told.push(world.call(Call::ReadEvents { fd, capacity: 1_000 }).0.to_string());
            }
        }
    }
    told.sort();
    told.dedup();
    expect![[r#"
        events VALUE_SET "a", OVERFLOW
        events VALUE_SET "a", VALUE_DELETED "v""#]]
    .assert_eq(&told.join("\n"));
}
