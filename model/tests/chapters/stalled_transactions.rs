//! Transactions whose sources do not answer in time: bindings, changes and commits.

use expect_test::expect;
use registry_model::errno::Errno;
use registry_model::input::StreamAccess;
use registry_model::{Call, Environment, Input, Observation, Outcome};

use crate::stalls::*;
use crate::world::{SOURCE, World, write};

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
    let release =
        Input::Environment(Environment::SourceReleased { source, at, dying: Default::default() });
    let is_outside =
        |world: &World| matches!(world.state.step(&release)[0].outcome, Outcome::Outside(_));
    assert_eq!(worlds.iter().filter(|world| is_outside(world)).count(), 1);
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
