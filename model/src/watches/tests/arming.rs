//! Arming, disarming, sharing, reading and polling (§4.2, REG_IOC_NOTIFY).

use super::*;
use crate::layers::Touched;
use crate::names::FoldedName;
use crate::observation::PollEvents;
use crate::watches::dispatch::Batch;

fn notify(fd: Fd, filter: u32, subtree: u8) -> Call {
    Call::Notify { fd, filter, subtree }
}

fn failed(errno: Errno) -> Observation {
    Observation::Failed(errno)
}

fn readable(world: &mut World, fd: Fd) -> bool {
    let answer = world.call(Call::Poll { fd });
    match answer {
        Observation::Polled(PollEvents { readable, terminal: false }) => readable,
        other => panic!("{other}"),
    }
}

#[test]
fn the_arguments_are_judged_before_the_mask_and_the_mask_before_the_key() {
    let mut world = World::new();
    let key = world.create("Users\\k");
    let (path, desired_access) = (b"Users\\k".to_vec(), rights::KEY_SET_VALUE);
    let weak = world.opened(Call::OpenKey { parent: -1, path, desired_access, flags: 0 });
    world.delete_key(key, "");
    assert_eq!(world.call(notify(99, 8, 0)), failed(Errno::EBADF));
    assert_eq!(world.call(notify(weak, 8, 0)), failed(Errno::EINVAL));
    assert_eq!(world.call(notify(weak, 1, 2)), failed(Errno::EINVAL));
    assert_eq!(world.call(notify(weak, 0, 0)), failed(Errno::EACCES));
    assert_eq!(world.call(notify(key, 1, 0)), failed(Errno::ENOENT));
    assert_eq!(world.call(notify(key, 0, 0)), Observation::Done);
}

#[test]
fn an_orphan_can_be_armed_again_and_disarmed() {
    let mut world = World::new();
    let key = world.watched("Users\\k");
    world.delete_key(key, "");
    world.notify(key, 2, 0);
    world.set(key, "a", 1);
    world.notify(key, 1, 0);
    world.set(key, "a", 2);
    assert_eq!(world.events(key), r#"KEY_DELETED, VALUE_SET "a""#);
    world.notify(key, 0, 0);
    assert_eq!(world.call(notify(key, 1, 0)), failed(Errno::ENOENT));
}

#[test]
fn a_new_filter_keeps_the_queue_and_filter_0_empties_it() {
    let mut world = World::new();
    let key = world.watched("Users\\k");
    world.set(key, "a", 1);
    world.notify(key, 2, 1);
    world.set(key, "a", 2);
    world.create("Users\\k\\c");
    assert_eq!(world.events(key), r#"VALUE_SET "a", SUBKEY_CREATED "c" at ."#);
    world.notify(key, 1, 0);
    world.set(key, "a", 3);
    world.notify(key, 0, 0);
    assert!(!readable(&mut world, key));
    world.set(key, "a", 4);
    world.notify(key, 1, 0);
    assert_eq!(world.events(key), "nothing");
}

#[test]
fn an_fd_is_readable_while_events_are_queued() {
    let mut world = World::new();
    let key = world.create("Users\\k");
    world.set(key, "a", 1);
    assert!(!readable(&mut world, key));
    assert_eq!(world.events(key), "nothing");
    world.watch(key);
    assert!(!readable(&mut world, key));
    world.set(key, "a", 2);
    assert!(readable(&mut world, key));
    world.events(key);
    assert!(!readable(&mut world, key));
}

#[test]
fn two_fds_of_one_key_are_watches_of_their_own() {
    let mut world = World::new();
    let values = world.create("Users\\k");
    let subkeys = world.open("Users\\k");
    world.notify(values, 1, 0);
    world.notify(subkeys, 2, 0);
    world.set(values, "a", 1);
    world.create("Users\\k\\c");
    assert_eq!(world.events(values), r#"VALUE_SET "a""#);
    assert_eq!(world.events(subkeys), r#"SUBKEY_CREATED "c""#);
}

#[test]
fn a_passed_fd_shares_the_watch_until_the_last_is_closed() {
    let mut world = World::new();
    let key = world.create("Users\\k");
    let passed = world.pass(key, BOB);
    world.watch(key);
    world.set(key, "a", 1);
    world.set(key, "b", 1);
    let one = world.call_as(BOB, Call::ReadEvents { fd: passed, capacity: 9 });
    assert_eq!(one.to_string(), r#"events VALUE_SET "a""#);
    world.close(key);
    let other = world.open("Users\\k");
    world.set(other, "c", 1);
    assert_eq!(world.events_as(BOB, passed), r#"VALUE_SET "b", VALUE_SET "c""#);
    assert_eq!(world.call_as(BOB, Call::Close { fd: passed }), Observation::Done);
    assert!(world.state.watches.is_empty());
}

#[test]
fn a_read_needs_room_for_one_event() {
    let mut world = World::new();
    let key = world.watched("Users\\k");
    let read = |capacity| Call::ReadEvents { fd: key, capacity };
    assert_eq!(world.call(read(0)), failed(Errno::EAGAIN));
    world.set(key, "abc", 1);
    world.set(key, "d", 1);
    assert_eq!(world.call(read(10)), failed(Errno::EINVAL));
    assert_eq!(world.call(read(19)).to_string(), r#"events VALUE_SET "abc""#);
    assert_eq!(world.call(read(20)).to_string(), r#"events VALUE_SET "d""#);
}

#[test]
fn the_queue_overflows_at_its_limit() {
    let mut world = World::with_limits(|limits| limits.notification_queue_size = 16);
    let key = world.watched("Users\\k");
    for number in 0..17 {
        world.set(key, &number.to_string(), 1);
    }
    let names = (1..16).map(|number| format!("VALUE_SET \"{number}\", ")).collect::<String>();
    assert_eq!(world.events(key), names + "OVERFLOW");
    world.set(key, "x", 1);
    assert_eq!(world.events(key), r#"VALUE_SET "x""#);
}

#[test]
fn a_commit_with_more_events_than_a_burst_is_one_overflow() {
    let mut world = World::with_limits(|limits| limits.max_transaction_watch_event_burst = 2);
    for (writes, expected) in [
        (2, r#"VALUE_SET "before", VALUE_SET "0", VALUE_SET "1""#),
        (3, r#"VALUE_SET "before", OVERFLOW"#),
    ] {
        let key = world.watched("Users\\k");
        world.set(key, "before", writes);
        let mut batch = Batch::new();
        let open = world.state.open_keys.get(&(ALICE, key)).unwrap().clone();
        let watches = world.state.watches.clone();
        for number in 0..writes {
            let before = world.state.clone();
            let name = number.to_string();
            world.set(key, &name, writes);
            let name = FoldedName::of(&name);
            let touched = Touched::Value(open.hive(), open.key(), &name);
            batch.changed(&before, &world.state, touched, &open.place, &mut Default::default());
        }
        world.state.watches = watches;
        let watches = world.state.watches.clone();
        batch.commit(&mut world.state, &watches, &mut Default::default());
        assert_eq!(world.events(key), expected);
        world.close(key);
    }
}
