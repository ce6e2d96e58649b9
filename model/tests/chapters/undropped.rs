//! Records of keys that nothing leads to, and that may be there all the same; and the locks of other hives that their
//! drops, and other requests, may meet.

use registry_model::{Call, Step};

use crate::stalls::{released, stall};
use crate::world::{OTHER_SOURCE, World, query};

const SECOND: u64 = 1_000_000_000;

fn outcomes(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| step.outcome.to_string()).collect()
}

/// Users has volatile data, and a transaction may have its write lock.
fn with_another_hive() -> World {
    let mut world = World::with_layers();
    world.transcript(
        "volatile Users\\w\ncreate u Users\\u\ncreate p Machine\\p\ncreate c Machine\\p\\c\nopen m Machine",
    );
    world
}

fn lock_users(world: &mut World) {
    world.transcript("begin t\nset $u v x with t");
}

/// Whether a call may be EBUSY after 26 seconds.
fn may_be_busy(world: &World, call: &Call) -> bool {
    assert!(!outcomes(&world.steps(call, false)).contains(&"EBUSY".to_owned()));
    outcomes(&world.steps_within(call, 26 * SECOND, false)).contains(&"EBUSY".to_owned())
}

fn delete(world: &World, handle: &str) -> Call {
    Call::DeleteKey { fd: world.handle(handle), layer: Vec::new(), transaction: -1 }
}

fn hide(world: &World, handle: &str) -> Call {
    Call::HideKey { fd: world.handle(handle), layer: Vec::new(), transaction: -1 }
}

/// What may come of the deletion of a key whose parent has lost its name.
fn deletions_below(world: &World) -> Vec<String> {
    outcomes(&world.steps(&delete(world, "c"), false))
}

#[test]
fn what_is_no_root_may_be_looked_for_behind_the_lock_of_another_hive() {
    let mut world = with_another_hive();
    world.register(OTHER_SOURCE, &["Other"]);
    world.transcript("create o Other\\o");
    assert!(!may_be_busy(&world, &query(world.handle("p"), "v")));
    lock_users(&mut world);
    assert!(may_be_busy(&world, &query(world.handle("p"), "v")));
    assert!(!may_be_busy(&world, &query(world.handle("m"), "v")), "a root is known");
    assert!(!may_be_busy(&world, &query(world.handle("o"), "v")), "another source");
    for call in [delete(&world, "c"), hide(&world, "c")] {
        assert!(may_be_busy(&world, &call));
    }
    let fd = world.handle("m");
    let subkeys = |index| Call::EnumSubkeys { fd, index, name_capacity: 100, transaction: -1 };
    assert!(may_be_busy(&world, &subkeys(0)));
    assert!(!may_be_busy(&world, &subkeys(90)));
    for path in ["Machine\\p", "Machine\\p\\c"] {
        let (path, is_deep) = (path.as_bytes().to_vec(), path.ends_with('c'));
        let open = Call::OpenKey { parent: -1, path, desired_access: 1, flags: 0 };
        assert_eq!(may_be_busy(&world, &open), is_deep);
    }
}

#[test]
fn without_volatile_data_nobody_waits_for_another_hive() {
    let mut world = World::with_layers();
    world.transcript("create u Users\\u\ncreate p Machine\\p");
    lock_users(&mut world);
    assert!(!may_be_busy(&world, &query(world.handle("p"), "v")));
}

#[test]
fn a_change_of_what_is_nowhere_may_wait_for_any_hive() {
    let mut world = World::with_layers();
    world.transcript(
        "create u Users\\u\ncreate p Machine\\p\ncreate c Machine\\p\\c\nopen d Machine\\p\\c",
    );
    world.transcript("begin s\ncreate n Machine\\n with s\nclose $s");
    lock_users(&mut world);
    let fd = world.handle("n");
    let unset = Call::DeleteValue { fd, name: b"v".to_vec(), layer: Vec::new(), transaction: -1 };
    assert!(may_be_busy(&world, &unset));
    assert!(!may_be_busy(&world, &query(fd, "v")));
}

#[test]
fn a_parent_that_may_have_been_dropped_is_there_or_not() {
    let mut world = with_another_hive();
    world.transcript("hide $p");
    let mut unlocked = world.clone();
    unlocked.transcript("close $p");
    assert_eq!(deletions_below(&unlocked), ["ENOENT"]);
    // The drop waits for the lock of the hive itself, or for that of another.
    for lock in ["begin t\nset $m v x with t", "begin t\nset $u v x with t"] {
        let mut locked = world.clone();
        locked.transcript(lock);
        locked.transcript("close $p\ncommit $t");
        assert_eq!(deletions_below(&locked), ["ok", "ENOENT"], "{lock}");
        assert_eq!(outcomes(&locked.steps(&hide(&locked, "c"), false)), ["ok", "ENOENT"]);
        let steps = locked.steps(&delete(&locked, "c"), false);
        let gone = steps[1].accept(&steps[1].outcome.example(0).unwrap()).unwrap();
        assert_eq!(deletions_below(&locked.in_state(&gone, 0)), ["ENOENT"]);
    }
}

#[test]
fn a_disk_may_have_refused_the_drop_that_follows() {
    let mut world = with_another_hive();
    world
        .transcript("layer a 1\ncreate Machine\\x in a\nopen x Machine\\x\ncreate y Machine\\x\\y");
    world.transcript("close $x\nopen l Machine\\System\\Registry\\Layers\\a");
    let below = |world: &World| outcomes(&world.steps(&delete(world, "y"), false));
    let call = delete(&world, "l");
    for (is_interrupted, expected) in [(false, &["ENOENT"][..]), (true, &["ok", "ENOENT"])] {
        let step = world.steps(&call, is_interrupted).swap_remove(0);
        assert_eq!(step.outcome.to_string(), "ok");
        let after = step.accept(&step.outcome.example(0).unwrap()).unwrap();
        assert_eq!(below(&world.in_state(&after, 0)), expected);
    }
}

#[test]
fn a_disk_may_have_refused_the_drop_that_follows_a_commit() {
    let mut world = with_another_hive();
    world.transcript("begin s\nhide $p with s\nclose $p");
    let call = Call::Commit { fd: world.handle("s") };
    for (is_interrupted, expected) in [(false, &["ENOENT"][..]), (true, &["ok", "ENOENT"])] {
        let step = world.steps(&call, is_interrupted).swap_remove(0);
        let after = step.accept(&step.outcome.example(0).unwrap()).unwrap();
        assert_eq!(deletions_below(&world.in_state(&after, 0)), expected);
    }
}

#[test]
fn a_path_from_a_key_that_is_gone_is_looked_for_behind_the_lock_of_another_hive() {
    let mut world = with_another_hive();
    world.transcript("begin s\ncreate n Machine\\n with s\nclose $s");
    let below = |world: &World| {
        let (parent, path) = (world.handle("n"), b"x".to_vec());
        Call::OpenKey { parent, path, desired_access: 1, flags: 0 }
    };
    assert!(!may_be_busy(&world, &below(&world)));
    lock_users(&mut world);
    assert!(may_be_busy(&world, &query(world.handle("n"), "v")));
    assert!(may_be_busy(&world, &below(&world)));
}

#[test]
fn a_drop_that_is_late_may_meet_the_lock_of_another_hive() {
    let mut world = with_another_hive();
    world.transcript("dword Machine\\System\\Registry TransactionTimeoutMs 600000\nhide $p");
    for (is_locked, expected) in [(false, &["ENOENT"][..]), (true, &["ok", "ENOENT"])] {
        let mut world = world.clone();
        if is_locked {
            lock_users(&mut world);
        }
        stall(&mut world);
        world.transcript("close $p");
        let worlds = released(&[world]);
        assert_eq!(worlds.len(), 1);
        assert_eq!(deletions_below(&worlds[0]), expected);
    }
}
