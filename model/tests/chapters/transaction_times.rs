//! The lifetime of a transaction, and who waits for its write lock.

use std::collections::BTreeSet;

use expect_test::expect;
use registry_model::input::CommitRefusal;
use registry_model::observation::KeyInfo;
use registry_model::{Call, Environment, Errno, Observation, Outcome, State, Step};

use crate::callers::{DACL, granting};
use crate::world::{OTHER_SOURCE, SOURCE, World, check, query, write};

const SECOND: u64 = 1_000_000_000;

fn with_lock() -> World {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\nset $k v old\nbegin t\nset $k v held with t");
    world
}

fn outcomes(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| step.outcome.to_string()).collect()
}

#[test]
fn a_transaction_ends_with_its_lifetime() {
    check(
        "create k Machine\\k
         begin t
         begin u
         set $k v x with t
         wait 31
         status $t
         poll $t
         status $u
         get $k v with t
         set $k v x with t
         get $k v with u
         commit $t
         set $k v y
         close $t",
        expect![[r#"
            create k Machine\k
              -> created
            begin t
              -> begun
            begin u
              -> begun
            set $k v x with t
              -> ok
            wait 31
              -> ok
            status $t
              -> transaction state 4, errno 110
            poll $t
              -> terminal
            status $u
              -> transaction state 4, errno 110
            get $k v with t
              -> ETIMEDOUT
            set $k v x with t
              -> ETIMEDOUT
            get $k v with u
              -> ETIMEDOUT
            commit $t
              -> ETIMEDOUT
            set $k v y
              -> ok
            close $t
              -> ok
        "#]],
    );
}

#[test]
fn at_its_deadline_a_transaction_may_have_ended_or_not() {
    let mut world = with_lock();
    let fd = world.handle("t");
    world.wait(30 * SECOND - 10);
    let steps = world.steps(&Call::TransactionStatus { fd }, false);
    let alive = outcomes(&steps);
    assert_eq!(alive, ["transaction state 1, errno 0", "transaction state 4, errno 110"]);
    let expired = steps[1].accept(&steps[1].outcome.example(0).unwrap()).unwrap();
    world.state = expired;
    assert_eq!(world.steps(&Call::TransactionStatus { fd }, false).len(), 1);
}

#[test]
fn a_commit_at_the_deadline_may_come_too_late_and_take_place_all_the_same() {
    let mut world = with_lock();
    let fd = world.handle("t");
    world.wait(30 * SECOND - 10);
    let steps = world.steps(&Call::Commit { fd }, false);
    let key = world.handle("k");
    let after: Vec<String> = steps
        .iter()
        .map(|step| {
            world.state = step.accept(&step.outcome.example(0).unwrap()).unwrap();
            let value = world.steps(&query(key, "v"), false);
            format!("{}: {}", step.outcome, value[0].outcome)
        })
        .collect();
    expect![[r#"
        ok: sz "held" from base, sequence 6
        ETIMEDOUT: sz "old" from base, sequence 5
        ETIMEDOUT: sz "held" from base, sequence 6
        ETIMEDOUT: sz "old" from base, sequence 5"#]]
    .assert_eq(&after.join("\n"));
}

#[test]
fn a_commit_that_is_refused_at_the_deadline_has_used_the_refusal_up() {
    let mut world = World::with_layers();
    let held = "create o Users\\o\ncreate k Machine\\k\nbegin t\nset $k v held with t";
    world.transcript(held);
    let fd = world.handle("t");
    let (source, refusal) = (SOURCE, CommitRefusal::Busy);
    world.environment(Environment::RefusedCommit { source, refusal });
    world.wait(30 * SECOND - 10);
    let after: Vec<String> = world
        .steps(&Call::Commit { fd }, false)
        .iter()
        .map(|step| {
            world.state = step.accept(&step.outcome.example(0).unwrap()).unwrap();
            // Whether the source has it ready still.
            let later = world.transcript("begin u\nset $o v x with u\ncommit $u");
            format!("{}: {}", step.outcome, later.lines().last().unwrap_or_default().trim_start())
        })
        .collect();
    assert_eq!(after, ["EBUSY: -> ok", "ETIMEDOUT: -> ok", "ETIMEDOUT: -> EBUSY"]);
}

#[test]
fn a_write_that_fails_at_the_deadline_may_be_late_with_its_number_consumed() {
    let mut world = with_lock();
    let call = match write(world.handle("k"), "v", 1, b"new", b"") {
        Call::SetValue { fd, name, value_type, data, layer, .. } => {
            let (transaction, expected_sequence) = (world.handle("t"), 1);
            Call::SetValue { fd, name, value_type, data, layer, transaction, expected_sequence }
        }
        other => other,
    };
    world.wait(30 * SECOND - 10);
    let before = world.state.next_sequence();
    let steps = world.steps(&call, false);
    let numbers = steps.iter().map(|step| step.next().next_sequence() - before);
    let after: Vec<_> = outcomes(&steps).into_iter().zip(numbers).collect();
    let expected = [("EAGAIN", 1), ("ETIMEDOUT", 1), ("ETIMEDOUT", 0)];
    assert_eq!(after, expected.map(|(outcome, number)| (outcome.to_owned(), number)));
}

#[test]
fn a_write_waits_for_the_lock_and_gives_up_after_25_seconds() {
    let mut world = with_lock();
    let call = write(world.handle("k"), "v", 1, b"new", b"");
    assert!(matches!(world.steps(&call, false)[0].outcome, Outcome::Waits));
    let steps = world.steps_within(&call, 25 * SECOND, false);
    assert_eq!(outcomes(&steps), ["EBUSY"]);
    let steps = world.steps_within(&call, 40 * SECOND, false);
    assert_eq!(outcomes(&steps), ["EBUSY", "ok"]);
    world.wait(10 * SECOND);
    let steps = world.steps_within(&call, 21 * SECOND, false);
    assert_eq!(outcomes(&steps), ["ok"]);
}

#[test]
fn the_first_mutation_of_another_transaction_may_be_refused_at_once() {
    let mut world = with_lock();
    expect![[r#"
        begin u
          -> begun
        set $k v x with u
          -> EBUSY
        status $u
          -> transaction state 1, errno 0
        get $k v with u
          -> sz "old" from base, sequence 5
        commit $t
          -> ok
        set $k v x with u
          -> ok
        commit $u
          -> ok
        get $k v
          -> sz "x" from base, sequence 8
    "#]]
    .assert_eq(&world.transcript(
        "begin u
         set $k v x with u
         status $u
         get $k v with u
         commit $t
         set $k v x with u
         commit $u
         get $k v",
    ));
}

#[test]
fn what_is_read_may_wait_where_entries_were_made_below_a_volatile_key_that_is_gone() {
    let mut world = with_lock();
    world.transcript("commit $t");
    let read = query(world.handle("k"), "v");
    let waits = |world: &mut World| {
        let mut world = world.clone();
        world.transcript("begin s\nset $k v x with s");
        outcomes(&world.steps_within(&read, 26 * SECOND, false)).contains(&"EBUSY".to_owned())
    };
    world.transcript("create w Machine\\w\nclose $w\nopen w Machine\\w\ndelete $w\nclose $w");
    assert!(!waits(&mut world));
    // The hiding stays below the dropped key (P-332).
    world.transcript(
        "volatile Machine\\w\nopen w Machine\\w\nvolatile Machine\\w\\x\nopen x Machine\\w\\x",
    );
    world.transcript("hide $x\nclose $x\ndelete $w\nclose $w");
    assert!(waits(&mut world));
}

#[test]
fn to_begin_a_transaction_waits_for_no_lock() {
    let mut world = with_lock();
    world.transcript("commit $t\nvolatile Machine\\w\nbegin t\nset $k v x with t\nbegin s");
    let (fd, transaction) = (world.handle("k"), world.handle("s"));
    let hide = Call::HideKey { fd, layer: Vec::new(), transaction };
    let steps = world.steps_within(&hide, 26 * SECOND, false);
    let busy = steps.iter().filter_map(|step| step.accept(&Observation::Failed(Errno::EBUSY)).ok());
    let phase = |state: State| {
        let world = world.in_state(&state, 0);
        outcomes(&world.steps(&Call::TransactionStatus { fd: transaction }, false))
    };
    let mut phases: Vec<_> = busy.map(phase).collect();
    phases.dedup();
    // The lock that it waits for is that of the mutation, when it is bound.
    assert_eq!(phases, [["transaction state 1, errno 0"]]);
}

#[test]
fn a_commit_with_nothing_in_it_waits_for_no_lock() {
    let mut world = with_lock();
    world.transcript("commit $t\nvolatile Machine\\w\nbegin t\nset $k v x with t\nbegin s");
    assert!(world.transcript("set $k v x with s").contains("EBUSY"));
    let commit = Call::Commit { fd: world.handle("s") };
    assert_eq!(outcomes(&world.steps_within(&commit, 26 * SECOND, false)), ["ok"]);
}

#[test]
fn what_is_read_waits_only_where_there_is_volatile_data() {
    let mut world = with_lock();
    let call = query(world.handle("k"), "v");
    assert_eq!(world.steps_within(&call, 26 * SECOND, false).len(), 1);
    world.transcript("commit $t\nvolatile Machine\\w\nbegin s\nset $k v x with s");
    let steps = world.steps_within(&call, 26 * SECOND, false);
    assert!(matches!(steps[1].outcome, Outcome::Failed(Errno::EBUSY)));
    assert_eq!(world.steps(&call, false).len(), 1);
}

/// What a removal comes to, and is told as, that takes this long.
fn removed_within(world: &World, duration: u64) -> Vec<String> {
    let fd = world.handle("k");
    let (name, layer) = (b"v".to_vec(), Vec::new());
    let unset = Call::DeleteValue { fd, name, layer, transaction: -1 };
    told_within(world, &unset, duration)
}

/// The same of any call.
fn told_within(world: &World, call: &Call, duration: u64) -> Vec<String> {
    let fd = world.handle("k");
    let steps = world.steps_within(call, duration, false).into_iter().map(|step| {
        let answer = step.outcome.example(0).unwrap();
        let mut later = world.in_state(&step.accept(&answer).unwrap(), duration);
        let events = later.call(Call::ReadEvents { fd, capacity: 1_000 }).0;
        format!("{answer}: {events}")
    });
    let mut told: Vec<String> = steps.collect();
    told.sort();
    told
}

#[test]
fn what_is_asked_only_to_tell_may_be_refused_before_the_lifetime_ends() {
    let mut world = with_lock();
    world.transcript("commit $t\nwait 31");
    let fd = world.handle("k");
    world.call(Call::Notify { fd, filter: 7, subtree: 0 });
    let persistent = {
        let mut world = world.clone();
        world.transcript("begin s\nset $k w x with s");
        world
    };
    world.transcript("volatile Machine\\w");
    world.call(Call::ReadEvents { fd, capacity: 1_000 });
    world.transcript("begin s\nset $k w x with s");
    let (busy, exact) = ("EBUSY: EAGAIN", "ok: events VALUE_DELETED \"v\"");
    let mut told = removed_within(&world, 40 * SECOND);
    told.dedup();
    assert_eq!(told, [busy, "ok: events OVERFLOW", exact]);
    assert_eq!(removed_within(&persistent, 40 * SECOND), [busy, exact]);
    // Six seconds later the lifetime ends before a question that has waited since is refused.
    world.wait(6 * SECOND);
    let mut told = removed_within(&world, 40 * SECOND);
    told.dedup();
    assert_eq!(told, [busy, exact]);
}

/// A world in which a watch of a key of a hive with volatile data is armed, and `s` has the write lock.
fn watched_with_lock() -> World {
    let mut world = with_lock();
    world.transcript("commit $t\nwait 31\nvolatile Machine\\w");
    let fd = world.handle("k");
    world.call(Call::Notify { fd, filter: 7, subtree: 0 });
    world.transcript("begin s\nset $k w x with s");
    world
}

/// The worlds after a call that takes this long, to those who overlap with it.
fn beside(world: &World, call: &Call, duration: u64) -> Vec<World> {
    let steps = world.steps_within(call, duration, false).into_iter();
    let accepted = |step: Step| {
        let answer = step.outcome.example(0).unwrap();
        matches!(answer, Observation::Done).then(|| step.accept(&answer).unwrap())
    };
    steps.filter_map(accepted).map(|state| world.in_state(&state, 0)).collect()
}

/// What these come to, and are told as, without repetition.
fn told_of(worlds: &[World], told: impl Fn(&World) -> Vec<String>) -> Vec<String> {
    let told: BTreeSet<String> = worlds.iter().flat_map(told).collect();
    told.into_iter().collect()
}

#[test]
fn what_is_asked_only_to_tell_may_be_refused_before_another_call_frees_the_lock() {
    let world = watched_with_lock();
    let (fd, long) = (world.handle("s"), |world: &World| removed_within(world, 28 * SECOND));
    let exact = "ok: events VALUE_DELETED \"v\"";
    let closed = beside(&world, &Call::Close { fd }, 26 * SECOND);
    assert_eq!(told_of(&closed, long), ["ok: events OVERFLOW", exact]);
    // Free before anything was refused, or since before the call began.
    let closed = beside(&world, &Call::Close { fd }, 24 * SECOND);
    assert_eq!(told_of(&closed, long), [exact]);
    let mut closed = world.clone();
    closed.wait(26 * SECOND);
    closed.call(Call::Close { fd });
    assert_eq!(told_of(&[closed], long), [exact]);
    // By a commit, whose own event comes first.
    let (overflow, exact) =
        ("ok: events VALUE_SET \"w\", OVERFLOW", "ok: events VALUE_SET \"w\", VALUE_DELETED \"v\"");
    let committed = beside(&world, &Call::Commit { fd }, 26 * SECOND);
    assert_eq!(told_of(&committed, long), [overflow, exact]);
}

/// The world, as `s` has taken the lock, after that was closed ten seconds later and another transaction had the lock for
/// so long.
fn locked_in_turn(duration: u64) -> World {
    let mut world = watched_with_lock();
    let (fd, began) = (world.handle("s"), world.now);
    world.wait(10 * SECOND);
    world.transcript("begin r");
    let mut world = beside(&world, &Call::Close { fd }, SECOND).swap_remove(0);
    world.transcript("set $k w x with r");
    let fd = world.handle("r");
    world.wait(duration);
    let mut world = beside(&world, &Call::Close { fd }, SECOND).swap_remove(0);
    world.now = began;
    world
}

/// The world, as `s` has taken the lock, after that was closed so much later.
fn closed_after(duration: u64) -> World {
    let mut world = watched_with_lock();
    let (fd, taken) = (world.handle("s"), world.now);
    world.wait(duration);
    world.call(Call::Close { fd });
    world.now = taken;
    world
}

/// The world after transactions have had the lock from one of these moments to the other, those in milliseconds since that
/// in which `s` has taken it.
fn locked_by_others(mut world: World, turns: &[(u64, u64)]) -> World {
    let (taken, milliseconds) = (world.now, SECOND / 1_000);
    for (from, to) in turns {
        world.now = taken + from * milliseconds;
        world.transcript("begin r\nset $k w x with r");
        world.now = taken + to * milliseconds;
        let fd = world.handle("r");
        world.call(Call::Close { fd });
    }
    world.now = taken;
    world
}

fn set_value(world: &World) -> Call {
    write(world.handle("k"), "v", 1, b"new", b"")
}

#[test]
fn whoever_has_the_lock_in_turn_may_have_what_is_asked_refused() {
    let mut world = locked_in_turn(17 * SECOND);
    let told = |world: &World| {
        told_of(std::slice::from_ref(world), |world| removed_within(world, 28 * SECOND))
    };
    let exact = "ok: events VALUE_DELETED \"v\"";
    world.wait(SECOND);
    assert_eq!(told(&world), ["ok: events OVERFLOW", exact]);
    world.wait(3 * SECOND);
    assert_eq!(told(&world), [exact]);
}

#[test]
fn what_a_call_has_asked_for_itself_was_answered_before_whoever_locked_the_hive_in_its_course() {
    let told = |world: &World, duration: u64| {
        let told = |world: &World| told_within(world, &set_value(world), duration);
        told_of(std::slice::from_ref(world), told)
    };
    let (overflow, exact) = ("ok: events OVERFLOW", "ok: events VALUE_SET \"v\"");
    // The first has locked it in the course of the call, and the wait lasts into the time of the second.
    let mut world = locked_in_turn(17 * SECOND);
    assert_eq!(told(&world, 28 * SECOND), [overflow, exact]);
    world.wait(SECOND);
    assert_eq!(told(&world, 28 * SECOND), [exact]);
    // The first had it before, and the second for long enough by itself.
    let mut world = locked_in_turn(26 * SECOND);
    world.wait(SECOND);
    assert_eq!(told(&world, 38 * SECOND), [overflow, exact]);
    assert_eq!(told(&world, 34 * SECOND - 1), [exact]);
}

#[test]
fn a_call_may_have_been_answered_between_two_who_had_the_lock_in_turn() {
    let world = closed_after(20_100 * SECOND / 1_000);
    let told = |turns: &[(u64, u64)]| {
        let mut world = locked_by_others(world.clone(), turns);
        world.wait(19 * SECOND);
        told_of(&[world], |world| told_within(world, &set_value(world), 32 * SECOND))
    };
    let (overflow, exact) = ("ok: events OVERFLOW", "ok: events VALUE_SET \"v\"");
    assert_eq!(told(&[(20_000, 40_100), (40_000, 50_100)]), [overflow, exact]);
    assert_eq!(told(&[(20_000, 40_100), (40_000, 44_900)]), [exact]);
}

#[test]
fn who_waits_for_one_lock_has_the_next_when_that_is_free() {
    let mut world = closed_after(29 * SECOND);
    let taken = world.now;
    world.now = taken + 10 * SECOND;
    world.transcript("begin r");
    let fd = world.handle("r");
    let waits = write(world.handle("k"), "w", 1, b"x", b"").within(fd);
    let mut world = beside(&world, &waits, 20 * SECOND).swap_remove(0);
    world.now = taken + 39 * SECOND;
    world.call(Call::Close { fd });
    world.now = taken + 11 * SECOND;
    let told = told_of(&[world], |world| told_within(world, &set_value(world), 30 * SECOND));
    assert_eq!(told, ["ok: events VALUE_SET \"v\""]);
}

#[test]
fn who_was_refused_for_one_lock_may_wait_for_another_later() {
    let world = closed_after(26 * SECOND);
    let mut world = locked_by_others(world, &[(26_500, 30_000)]);
    world.wait(SECOND / 2);
    let told = told_of(&[world], |world| removed_within(world, 31 * SECOND));
    assert_eq!(told, ["ok: events OVERFLOW", "ok: events VALUE_DELETED \"v\""]);
}

#[test]
fn of_a_descriptor_nothing_is_asked_to_tell() {
    let world = watched_with_lock();
    let began = world.now;
    let descriptor = granting(0).to_bytes().unwrap();
    let set = Call::SetSecurity {
        fd: world.handle("k"),
        security_info: DACL,
        descriptor,
        transaction: -1,
    };
    let closed = beside(&world, &Call::Close { fd: world.handle("s") }, 26 * SECOND);
    let told = |world: &World| told_within(world, &set, 28 * SECOND);
    assert_eq!(told_of(&closed, told), ["ok: events SD_CHANGED"]);
    let within = |world: &World| {
        let mut world = world.clone();
        world.transcript("begin r");
        // The call overlaps with the one that has taken the lock.
        world.now = began;
        let transaction = world.handle("r");
        let enlisted = beside(&world, &set.clone().within(transaction), 28 * SECOND);
        let commit = Call::Commit { fd: transaction };
        enlisted.iter().flat_map(|world| told_within(world, &commit, SECOND)).collect()
    };
    assert_eq!(told_of(&closed, within), ["ok: events SD_CHANGED"]);
}

#[test]
fn what_is_asked_when_a_mutation_is_made_is_told_at_the_commit_to_who_watches_by_then() {
    let mut world = with_lock();
    world
        .transcript("commit $t\nwait 31\nvolatile Machine\\w\nbegin s\nset $k w x with s\nbegin r");
    let closed = beside(&world, &Call::Close { fd: world.handle("s") }, 26 * SECOND);
    let (fd, name, transaction) = (world.handle("k"), b"v".to_vec(), world.handle("r"));
    let unset = Call::DeleteValue { fd, name, layer: Vec::new(), transaction };
    let told = |world: &World| {
        let enlisted = beside(world, &unset, 28 * SECOND).into_iter();
        let told = enlisted.flat_map(|mut world| {
            world.call(Call::Notify { fd, filter: 7, subtree: 0 });
            told_within(&world, &Call::Commit { fd: transaction }, SECOND)
        });
        told.collect()
    };
    let (overflow, exact) = ("ok: events OVERFLOW", "ok: events VALUE_DELETED \"v\"");
    assert_eq!(told_of(&closed, told), [overflow, exact]);
}

#[test]
fn what_a_call_has_asked_for_itself_was_answered_before_a_lock_that_was_taken_in_its_course() {
    let world = watched_with_lock();
    let set = set_value(&world);
    let told = |world: &World| told_within(world, &set, 28 * SECOND);
    let (overflow, exact) = ("ok: events OVERFLOW", "ok: events VALUE_SET \"v\"");
    let fd = world.handle("s");
    let mut locked_before = world.clone();
    locked_before.wait(SECOND);
    let closed = beside(&locked_before, &Call::Close { fd }, 26 * SECOND);
    assert_eq!(told_of(&closed, told), [exact]);
    let closed = beside(&world, &Call::Close { fd }, 26 * SECOND);
    assert_eq!(told_of(&closed, told), [overflow, exact]);
}

#[test]
fn what_is_asked_to_tell_of_a_mutation_within_a_transaction_may_be_refused_as_well() {
    let mut world = watched_with_lock();
    world.transcript("begin r");
    let closed = beside(&world, &Call::Close { fd: world.handle("s") }, 26 * SECOND);
    let (fd, name, transaction) = (world.handle("k"), b"v".to_vec(), world.handle("r"));
    let unset = Call::DeleteValue { fd, name, layer: Vec::new(), transaction };
    let told = |world: &World| {
        let enlisted = beside(world, &unset, 28 * SECOND);
        let commit = Call::Commit { fd: transaction };
        enlisted.iter().flat_map(|world| told_within(world, &commit, SECOND)).collect()
    };
    let (overflow, exact) = ("ok: events OVERFLOW", "ok: events VALUE_DELETED \"v\"");
    assert_eq!(told_of(&closed, told), [overflow, exact]);
    world.call(Call::Close { fd: world.handle("s") });
    assert_eq!(told_of(&[world], told), [exact]);
}

#[test]
fn what_a_layer_operation_asks_in_another_hive_may_be_refused() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other"]);
    world.transcript(
        "layer a 1\ncreate k Other\\k\nset $k v b\nset $k v a in a\nopen l Machine\\System\\Registry\\Layers\\a",
    );
    let fd = world.handle("k");
    world.call(Call::Notify { fd, filter: 7, subtree: 0 });
    let disable = write(world.handle("l"), "Enabled", 4, &0u32.to_le_bytes(), b"");
    let told = |world: &World, duration: u64| {
        let told = |world: &World| told_within(world, &disable, duration);
        told_of(std::slice::from_ref(world), told)
    };
    let (overflow, exact) = ("ok: events OVERFLOW", "ok: events VALUE_SET \"v\"");
    let both = "ok: events VALUE_SET \"v\", OVERFLOW";
    let mut persistent = world.clone();
    persistent.transcript("begin s\nset $k w x with s");
    assert_eq!(told(&persistent, 26 * SECOND), [exact]);
    world.transcript("volatile Other\\w");
    world.call(Call::ReadEvents { fd, capacity: 1_000 });
    assert_eq!(told(&world, 26 * SECOND), [exact]);
    world.transcript("begin s\nset $k w x with s");
    assert_eq!(told(&world, 24 * SECOND), [exact]);
    assert_eq!(told(&world, 26 * SECOND), [overflow, exact, both]);
    // Another call has set the lock free in the meantime.
    let closed = beside(&world, &Call::Close { fd: world.handle("s") }, 26 * SECOND);
    assert_eq!(told(&closed[0], 26 * SECOND), [overflow, exact, both]);
    // The hive of the change has been asked before.
    let mut own = World::with_layers();
    own.transcript(
        "layer a 1\ncreate k Machine\\k\nset $k v b\nset $k v a in a\nvolatile Machine\\w\n\
         open l Machine\\System\\Registry\\Layers\\a\nbegin s\nset $k w x with s",
    );
    own.wait(SECOND);
    let fd = own.handle("k");
    own.call(Call::Notify { fd, filter: 7, subtree: 0 });
    let closed = beside(&own, &Call::Close { fd: own.handle("s") }, 26 * SECOND);
    let disable = write(own.handle("l"), "Enabled", 4, &0u32.to_le_bytes(), b"");
    let told = |world: &World| told_within(world, &disable, 28 * SECOND);
    assert_eq!(told_of(&closed, told), [exact]);
}

#[test]
fn a_layer_operation_that_is_refused_an_answer_does_not_time_out_before_its_time() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other"]);
    world.transcript(
        "layer a 1\ncreate k Users\\k\nset $k v b\nset $k v a in a\nvolatile Users\\w\n\
         open l Machine\\System\\Registry\\Layers\\a\nbegin s\nset $k w x with s",
    );
    world.environment(Environment::SourceStalled { source: OTHER_SOURCE });
    let (fd, layer) = (world.handle("l"), Vec::new());
    let delete = Call::DeleteKey { fd, layer, transaction: -1 };
    let closed = beside(&world, &Call::Close { fd: world.handle("s") }, 26 * SECOND);
    let times_out = |duration: u64| {
        let steps = closed.iter().flat_map(|world| world.steps_within(&delete, duration, false));
        let steps: Vec<Step> = steps.collect();
        outcomes(&steps).contains(&"ETIMEDOUT".to_owned())
    };
    assert!(!times_out(28 * SECOND));
    assert!(times_out(30 * SECOND));
}

#[test]
fn what_is_asked_of_one_hive_may_be_refused_and_of_another_not() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other"]);
    world.transcript(
        "layer a 1\ncreate k Other\\k\nset $k v b\nset $k v a in a\nvolatile Other\\w\n\
         open l Machine\\System\\Registry\\Layers\\a\nvolatile Machine\\w",
    );
    let (key, layer) = (world.handle("k"), world.handle("l"));
    for fd in [key, layer] {
        world.call(Call::Notify { fd, filter: 7, subtree: 0 });
    }
    world.transcript("begin s\nset $k w x with s\nbegin r\nset $l w x with r");
    let disable = write(layer, "Enabled", 4, &0u32.to_le_bytes(), b"");
    for name in ["s", "r"] {
        let closed = beside(&world, &Call::Close { fd: world.handle(name) }, 26 * SECOND);
        world = closed.into_iter().next().unwrap();
    }
    let told = |world: &World| {
        let told = beside(world, &disable, 28 * SECOND).into_iter().map(|mut world| {
            [layer, key]
                .map(|fd| world.call(Call::ReadEvents { fd, capacity: 1_000 }).0.to_string())
        });
        told.map(|told| told.join(" and ")).collect()
    };
    let told = told_of(&[world], told);
    for refused in ["OVERFLOW", "VALUE_SET \"Enabled\""] {
        for other in ["OVERFLOW", "VALUE_SET \"v\""] {
            let both = format!("events {refused} and events {other}");
            assert!(told.contains(&both), "{both} of {told:?}");
        }
    }
}

#[test]
fn whether_a_layer_operation_counts_is_open_where_what_it_asks_may_be_refused() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Other"]);
    world.transcript(
        "layer a 1\ncreate k Other\\k\nset $k v b\nset $k v a in a\nvolatile Other\\w\n\
         open l Machine\\System\\Registry\\Layers\\a\nbegin s\nset $k w x with s",
    );
    let (fd, info) =
        (world.handle("s"), Call::QueryKeyInfo { fd: world.handle("k"), name_capacity: 9 });
    let (Observation::KeyInfo(least), _) = world.call(info.clone()) else { panic!("no key info") };
    let disable = write(world.handle("l"), "Enabled", 4, &0u32.to_le_bytes(), b"");
    let counted = |duration: u64| {
        let closed = beside(&world, &Call::Close { fd }, duration).into_iter();
        let disabled = closed.flat_map(|world| beside(&world, &disable, 28 * SECOND));
        let worlds: Vec<World> = disabled.collect();
        let admits = |more: &u64| {
            let generation = least.hive_generation + more;
            let seen = KeyInfo { hive_generation: generation, ..least.clone() };
            let steps = worlds.iter().flat_map(|world| world.steps(&info, false));
            let mut steps = steps.collect::<Vec<Step>>().into_iter();
            steps.any(|step| step.accept(&Observation::KeyInfo(seen.clone())).is_ok())
        };
        (0..4).filter(admits).collect::<Vec<u64>>()
    };
    assert_eq!(counted(24 * SECOND), [1]);
    assert_eq!(counted(26 * SECOND), [0, 1]);
}

#[test]
fn a_lifetime_that_ends_about_when_the_source_does_may_have_ended_first() {
    let mut world = with_lock();
    let fd = world.handle("t");
    world.wait(40 * SECOND);
    world.transcript("down");
    let steps = world.steps(&Call::TransactionStatus { fd }, false);
    assert_eq!(
        outcomes(&steps),
        ["transaction state 5, errno 5", "transaction state 4, errno 110"]
    );
    world.state = steps[0].accept(&steps[0].outcome.example(0).unwrap()).unwrap();
    assert_eq!(world.steps(&Call::Commit { fd }, false).len(), 1);
}

#[test]
fn an_interrupted_commit_may_have_taken_place() {
    let mut world = with_lock();
    let fd = world.handle("t");
    let steps = world.steps(&Call::Commit { fd }, true);
    let key = world.handle("k");
    let after: Vec<String> = steps
        .iter()
        .map(|step| {
            let answer = step.outcome.example(0).unwrap();
            world.state = step.accept(&answer).unwrap();
            let down = world.transcript("down");
            assert!(down.contains("ok"));
            let status = world.call(Call::TransactionStatus { fd }).0;
            world.transcript("resume");
            let value = world.call(query(key, "v")).0;
            format!("{answer}: {status}: {value}")
        })
        .collect();
    expect![[r#"
        ok: transaction state 2, errno 0: sz "held" from base, sequence 6
        EIO: transaction state 5, errno 5: sz "old" from base, sequence 5
        EIO: transaction state 5, errno 5: sz "held" from base, sequence 6"#]]
    .assert_eq(&after.join("\n"));
}

#[test]
fn an_interrupted_commit_is_done_and_told_of_or_neither() {
    let mut world = with_lock();
    let (fd, key) = (world.handle("t"), world.handle("k"));
    world.call(Call::Notify { fd: key, filter: 7, subtree: 0 });
    let after = world.steps(&Call::Commit { fd }, true).into_iter().map(|step| {
        let answer = step.outcome.example(0).unwrap();
        world.state = step.accept(&answer).unwrap();
        world.transcript("down");
        let events = world.call(Call::ReadEvents { fd: key, capacity: 1_000 }).0;
        format!("{answer}: {events}")
    });
    expect![[r#"
        ok: events VALUE_SET "v"
        EIO: EAGAIN
        EIO: EAGAIN"#]]
    .assert_eq(&after.collect::<Vec<String>>().join("\n"));
}

#[test]
fn a_first_mutation_that_is_interrupted_may_have_bound_the_transaction() {
    let mut world = World::with_layers();
    world.transcript("begin t");
    let (transaction, layer) = (world.handle("t"), Vec::new());
    let fd = match world.call(crate::world::open("Machine\\System")).0 {
        Observation::Opened { fd, .. } => fd,
        other => panic!("{other}"),
    };
    let call = Call::BlanketTombstone { fd, layer, set: 0, transaction };
    let steps = world.steps(&call, true);
    let after: Vec<String> = steps
        .iter()
        .map(|step| {
            let answer = step.outcome.example(0).unwrap();
            world.state = step.accept(&answer).unwrap();
            world.transcript("down");
            let status = world.call(Call::TransactionStatus { fd: transaction }).0;
            format!("{answer}: {status}")
        })
        .collect();
    expect![[r#"
        ok: transaction state 5, errno 5
        EIO: transaction state 0, errno 0
        EIO: transaction state 5, errno 5
        EIO: transaction state 5, errno 5"#]]
    .assert_eq(&after.join("\n"));
}

#[test]
fn an_interrupted_mutation_of_a_transaction_changes_nothing() {
    let mut world = with_lock();
    let (key, transaction) = (world.handle("k"), world.handle("t"));
    let call = Call::SetValue {
        fd: key,
        name: b"v".to_vec(),
        value_type: 1,
        data: b"more".to_vec(),
        layer: Vec::new(),
        transaction,
        expected_sequence: 0,
    };
    for step in world.steps(&call, true) {
        let answer = step.outcome.example(0).unwrap();
        assert!(matches!(answer, Observation::Done | Observation::Failed(Errno::EIO)));
        world.state = step.accept(&answer).unwrap();
        assert!(world.transcript("down\nresume\nget $k v").contains("sz \"old\""));
    }
}

#[test]
fn a_write_time_seen_inside_is_that_of_the_commit() {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\nbegin t\nset $k v x with t");
    let fd = match world.call(crate::world::open("Machine")).0 {
        Observation::Opened { fd, .. } => fd,
        other => panic!("{other}"),
    };
    let subkeys = |transaction| Call::EnumSubkeys { fd, index: 1, name_capacity: 100, transaction };
    let seen = world.call(subkeys(world.handle("t"))).0;
    world.wait(SECOND);
    world.transcript("commit $t");
    let after = world.steps(&subkeys(-1), false);
    assert!(after.iter().any(|step| step.accept(&seen).is_ok()));
    let Observation::EnumeratedSubkey { name, last_write_time, subkey_count, value_count } = seen
    else {
        panic!("no subkey");
    };
    if name == b"k" {
        let last_write_time = last_write_time - 1;
        let other =
            Observation::EnumeratedSubkey { name, last_write_time, subkey_count, value_count };
        assert!(after.iter().all(|step| step.accept(&other).is_err()));
    }
}
