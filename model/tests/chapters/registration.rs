//! Registration: who gets which hives, and in which order a fault is found.

use registry_model::input::{
    Contents, HiveEntry, HiveName, RSI_HIVE_PRIVATE, Registration, SourceId,
};
use registry_model::security::{Token, TokenFields};
use registry_model::{DeviceCall, Observation, Readiness};

use crate::world::{OTHER_SOURCE, SOURCE, World, root_of};

fn registration(hives: &[&str]) -> Registration {
    Registration::of_global_hives(hives.iter().map(|hive| (*hive, root_of(hive))), 0)
}

/// What a process that opens the device for it is answered; its device stays open.
fn register(world: &mut World, source: u32, registration: Registration) -> String {
    let source = SourceId(source);
    world.device(source, DeviceCall::Open);
    again(world, source, registration)
}

fn again(world: &mut World, source: SourceId, registration: Registration) -> String {
    let registration = Some(registration);
    let contents = Contents::Empty;
    world.device(source, DeviceCall::Register { registration, contents }).to_string()
}

fn named(world: &mut World, source: u32, hives: &[&str]) -> String {
    register(world, source, registration(hives))
}

fn down(world: &mut World, source: SourceId) {
    world.device(source, DeviceCall::Close);
}

fn changed(hives: &[&str], change: impl Fn(&mut HiveEntry)) -> Registration {
    let mut registration = registration(hives);
    registration.hives.iter_mut().for_each(change);
    registration
}

fn powerless() -> Token {
    let mut fields = TokenFields::clone(&Token::system().0);
    fields.privileges.clear();
    Token(fields.into())
}

#[test]
fn the_device_and_the_registration_need_the_privilege() {
    let mut world = World::booted();
    world.device(OTHER_SOURCE, DeviceCall::Open);
    world.caller.token = powerless();
    assert_eq!(world.device(SourceId(7), DeviceCall::Open).to_string(), "EPERM");
    // Even where the form is bad, the privilege is missed first.
    assert_eq!(again(&mut world, OTHER_SOURCE, registration(&[])), "EPERM");
}

#[test]
fn a_bad_form_is_found_before_anything_else() {
    let mut world = World::booted();
    let names: [&[u8]; 7] = [b"", b"a\\b", b"a/b", b"a\0", b"\xFF", b"currentUSER", &[b'x'; 256]];
    for name in names {
        let bad = changed(&["Other"], |hive| hive.name = HiveName::Bytes(name.to_vec()));
        assert_eq!(register(&mut world, 9, bad), "EINVAL", "{name:?}");
    }
    assert_eq!(named(&mut world, 9, &[]), "EINVAL");
    assert_eq!(named(&mut world, 9, &["a", "A"]), "EINVAL");
    let bad = [
        changed(&["Other"], |hive| hive.padding = [1, 0]),
        changed(&["Other"], |hive| hive.padding = [0, 1]),
        changed(&["Other"], |hive| hive.flags = 2),
        changed(&["Other"], |hive| hive.scope = [1; 16]),
        changed(&["Other"], |hive| hive.flags = RSI_HIVE_PRIVATE),
        changed(&["Other"], |hive| hive.root = [0; 16]),
        changed(&["Other", "More"], |hive| hive.root = [9; 16]),
        Registration { padding: 1, ..registration(&["Other"]) },
        // The name is bad and the number is, too.
        Registration { max_sequence: u64::MAX, ..registration(&["a\\b"]) },
    ];
    for bad in bad {
        assert_eq!(register(&mut world, 9, bad.clone()), "EINVAL", "{bad:?}");
    }
}

#[test]
fn what_cannot_be_read_is_a_fault() {
    let mut world = World::booted();
    world.device(OTHER_SOURCE, DeviceCall::Open);
    let call = DeviceCall::Register { registration: None, contents: Contents::Empty };
    assert_eq!(world.device(OTHER_SOURCE, call).to_string(), "EFAULT");
    let short = Registration { hive_count: 2, ..registration(&["Other"]) };
    assert_eq!(again(&mut world, OTHER_SOURCE, short), "EFAULT");
    let bad = changed(&["Other"], |hive| hive.name = HiveName::Unreadable(5));
    assert_eq!(again(&mut world, OTHER_SOURCE, bad), "EFAULT");
}

#[test]
fn counts_come_before_the_sequence_number_and_that_before_collisions() {
    let mut world = World::booted();
    let names: Vec<String> = (0..65).map(|number| format!("h{number}")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    let last = u64::MAX;
    let many = Registration { max_sequence: last, ..registration(&names) };
    assert_eq!(register(&mut world, 9, many), "ENOSPC");
    let far = Registration { hive_count: u32::MAX, ..registration(&["Other"]) };
    assert_eq!(register(&mut world, 9, far), "ENOSPC");
    let taken = Registration { max_sequence: last, ..registration(&["Machine"]) };
    assert_eq!(register(&mut world, 9, taken), "EOVERFLOW");
    names.pop();
    assert_eq!(named(&mut world, 9, &names), "ok");
    assert_eq!(world.state.next_sequence(), 1);
}

#[test]
fn an_active_hive_is_taken_whatever_its_root() {
    let mut world = World::booted();
    assert_eq!(named(&mut world, 9, &["MACHINE"]), "EEXIST");
    let other = changed(&["Free", "users"], |hive| hive.root[15] = 9);
    assert_eq!(register(&mut world, 9, other), "EEXIST");
    assert_eq!(world.transcript("open Free"), "open Free\n  -> ENOENT\n");
}

#[test]
fn a_down_slot_is_resumed_whole_or_not_at_all() {
    let mut world = World::booted();
    world.environment(registry_model::Environment::SourceDown { source: SOURCE });
    let stale = changed(&["machine", "Users"], |hive| hive.root[15] ^= 1);
    assert_eq!(register(&mut world, 9, stale), "ESTALE");
    assert_eq!(named(&mut world, 9, &["Machine"]), "EINVAL");
    assert_eq!(named(&mut world, 9, &["Machine", "Users", "More"]), "EINVAL");
    let stale_and_more = changed(&["Machine", "Users", "More"], |hive| hive.root[15] = 9);
    assert_eq!(register(&mut world, 9, stale_and_more), "EINVAL");
    // A private hive is another one than the global hive of its name.
    let mut private = registration(&["Machine", "Users"]);
    private.hives[1].flags = RSI_HIVE_PRIVATE;
    private.hives[1].scope = [7; 16];
    assert_eq!(register(&mut world, 9, private), "EINVAL");
    assert_eq!(world.transcript("open Machine"), "open Machine\n  -> EIO\n");
    assert_eq!(named(&mut world, 9, &["USERS", "machine"]), "ok");
    assert_eq!(world.transcript("open x Machine"), "open x Machine\n  -> opened\n");
    assert_eq!(named(&mut world, 10, &["Machine", "Users"]), "EEXIST");
}

#[test]
fn a_private_hive_reserves_its_name_in_its_scope() {
    let mut world = World::booted();
    let private = |scope: u8| {
        changed(&["Machine"], |hive| {
            hive.flags = RSI_HIVE_PRIVATE;
            hive.scope = [scope; 16];
        })
    };
    assert_eq!(register(&mut world, 9, private(1)), "ok");
    assert_eq!(register(&mut world, 10, private(2)), "ok");
    assert_eq!(register(&mut world, 11, private(1)), "EEXIST");
    down(&mut world, SourceId(9));
    assert_eq!(register(&mut world, 12, private(1)), "ok");
    assert!(world.state.hives_down().is_empty());
}

#[test]
fn a_device_registers_once_but_may_try_again() {
    let mut world = World::booted();
    assert_eq!(named(&mut world, 9, &["Users"]), "EEXIST");
    assert_eq!(again(&mut world, SourceId(9), registration(&["Extra"])), "ok");
    assert_eq!(again(&mut world, SourceId(9), registration(&["More"])), "EINVAL");
    let lost = DeviceCall::Write { response: vec![0; 3] };
    assert_eq!(world.device(SourceId(9), lost).to_string(), "EINVAL");
    assert_eq!(again(&mut world, SourceId(9), registration(&["Extra"])), "EINVAL");
    assert_eq!(named(&mut world, 10, &["Extra"]), "ok");
    // The end of the former connection concerns the slot no more.
    down(&mut world, SourceId(9));
    assert!(world.state.hives_down().is_empty());
}

#[test]
fn slots_are_never_freed() {
    let mut world = World::booted();
    for slot in 1..32 {
        assert_eq!(named(&mut world, slot + 9, &[&format!("h{slot}")]), "ok");
        down(&mut world, SourceId(slot + 9));
    }
    assert_eq!(named(&mut world, 90, &["last"]), "ENOSPC");
    assert_eq!(named(&mut world, 91, &["h7"]), "ok");
}

#[test]
fn the_counter_rises_above_what_is_reported_and_never_falls() {
    let mut world = World::booted();
    let reporting = |max_sequence, hive| Registration { max_sequence, ..registration(&[hive]) };
    register(&mut world, 9, reporting(1_000, "far"));
    assert_eq!(world.state.next_sequence(), 1_001);
    register(&mut world, 10, reporting(10, "near"));
    assert_eq!(world.state.next_sequence(), 1_001);
    down(&mut world, SourceId(10));
    register(&mut world, 11, reporting(2_000, "near"));
    assert_eq!(world.state.next_sequence(), 2_001);
}

#[test]
fn a_replacement_without_the_keys_leaves_fds_without_a_key() {
    let mut world = World::booted();
    world.transcript("create k Users\\k\nset $k v x");
    world.environment(registry_model::Environment::SourceDown { source: SOURCE });
    assert_eq!(named(&mut world, 9, &["Machine", "Users"]), "ok");
    assert_eq!(world.transcript("get $k v"), "get $k v\n  -> ENOENT\n");
    down(&mut world, SourceId(9));
    world.resume(SOURCE, &["Machine", "Users"]);
    let seen = world.transcript("get $k v");
    assert_eq!(seen, "get $k v\n  -> sz \"x\" from base, sequence 2\n");
}

#[test]
fn a_device_says_in_which_state_its_slot_is() {
    let mut world = World::booted();
    let source = SourceId(9);
    let ready =
        |writable, hung_up| Observation::Ready(Readiness { readable: false, writable, hung_up });
    world.device(source, DeviceCall::Open);
    assert_eq!(world.device(source, DeviceCall::Poll), ready(false, false));
    assert_eq!(world.device(source, DeviceCall::Read).to_string(), "EINVAL");
    assert_eq!(again(&mut world, source, registration(&["Extra"])), "ok");
    assert_eq!(world.device(source, DeviceCall::Poll), ready(true, false));
    assert_eq!(world.device(source, DeviceCall::Read).to_string(), "EAGAIN");
    world.device(source, DeviceCall::Write { response: vec![18; 18] });
    assert_eq!(world.device(source, DeviceCall::Poll), ready(false, true));
    assert_eq!(world.device(source, DeviceCall::Read).to_string(), "EIO");
    down(&mut world, source);
    assert_eq!(world.device(source, DeviceCall::Poll).to_string(), "EBADF");
}
