//! Reading and changing the SD of a key.

use std::sync::Arc;

use registry_model::errno::Errno;
use registry_model::input::ProcessId;
use registry_model::memory::{AddressSpace, Protection};
use registry_model::observation::Sizes;
use registry_model::security::{Ace, Acl, Privilege, SecurityDescriptor, rights, well_known};
use registry_model::store_entry::{StoreEntry, StoredKey, StoredRecord};
use registry_model::{Call, Environment, Input, Observation, RawCall};

use crate::callers::{DACL, GROUP, OWNER, SACL, alice, granting, sid, speaking, with_privilege};
use crate::world::{SOURCE, World, open, write};

fn get(fd: i32, security_info: u32, capacity: u32) -> Call {
    Call::GetSecurity { fd, security_info, capacity }
}

fn set(fd: i32, security_info: u32, descriptor: &SecurityDescriptor) -> Call {
    set_bytes(fd, security_info, &descriptor.to_bytes().unwrap())
}

fn set_bytes(fd: i32, security_info: u32, bytes: &[u8]) -> Call {
    Call::SetSecurity { fd, security_info, descriptor: bytes.to_vec(), transaction: -1 }
}

fn fd_with(world: &mut World, path: &str, desired_access: u32) -> i32 {
    let call =
        Call::OpenKey { parent: -1, path: path.as_bytes().to_vec(), desired_access, flags: 0 };
    match world.call(call).0 {
        Observation::Opened { fd, .. } => fd,
        other => panic!("{path}: {other}"),
    }
}

/// A world with the key Machine\k, and an fd of it that may do everything.
fn world() -> (World, i32) {
    let mut world = World::with_layers();
    world.transcript("create Machine\\k");
    let everything = rights::KEY_ALL_ACCESS | rights::ACCESS_SYSTEM_SECURITY;
    let fd = fd_with(&mut world, "Machine\\k", everything);
    (world, fd)
}

fn read(world: &mut World, fd: i32, security_info: u32) -> SecurityDescriptor {
    match world.call(get(fd, security_info, 65_535)).0 {
        Observation::Security(bytes) => SecurityDescriptor::parse(&bytes).unwrap(),
        other => panic!("{other}"),
    }
}

fn failed(errno: Errno) -> Observation {
    Observation::Failed(errno)
}

#[test]
fn the_named_components_are_returned_and_no_others() {
    let (mut world, fd) = world();
    let whole = read(&mut world, fd, OWNER | GROUP | DACL | SACL);
    assert_eq!(whole.owner, Some(well_known::SYSTEM.clone()));
    assert_eq!(whole.group, Some(well_known::ADMINISTRATORS.clone()));
    assert_eq!(whole.dacl.as_ref().unwrap().aces.len(), 3);
    for security_info in 1..16 {
        let some = read(&mut world, fd, security_info);
        let kept = |flag| security_info & flag != 0;
        assert_eq!(some.owner, whole.owner.clone().filter(|_| kept(OWNER)), "{security_info}");
        assert_eq!(some.group, whole.group.clone().filter(|_| kept(GROUP)), "{security_info}");
        assert_eq!(some.dacl, whole.dacl.clone().filter(|_| kept(DACL)), "{security_info}");
        assert_eq!(some.sacl, None);
    }
}

#[test]
fn a_buffer_that_is_too_small_is_told_the_size() {
    let (mut world, fd) = world();
    // A header of 20 bytes and S-1-5-18 of 12.
    let too_small = Observation::TooSmall(Sizes { security: Some(32), ..Sizes::default() });
    assert_eq!(world.call(get(fd, OWNER, 0)).0, too_small);
    assert_eq!(world.call(get(fd, OWNER, 31)).0, too_small);
    assert!(matches!(world.call(get(fd, OWNER, 32)).0, Observation::Security(_)));
}

#[test]
fn flags_come_before_the_mask() {
    let (mut world, _) = world();
    let fd = fd_with(&mut world, "Machine\\k", rights::KEY_SET_VALUE);
    for security_info in [0, 0x10, 0x11, 0x8000_0001] {
        assert_eq!(world.call(get(fd, security_info, 0)).0, failed(Errno::EINVAL));
        assert_eq!(world.call(set_bytes(fd, security_info, b"")).0, failed(Errno::EINVAL));
    }
    assert_eq!(world.call(get(fd, OWNER, 0)).0, failed(Errno::EACCES));
    assert_eq!(world.call(set_bytes(fd, OWNER, b"")).0, failed(Errno::EACCES));
}

#[test]
fn every_component_has_its_right() {
    let (mut world, _) = world();
    let [read, system] = [rights::READ_CONTROL, rights::ACCESS_SYSTEM_SECURITY];
    let [owner, dacl] = [rights::WRITE_OWNER, rights::WRITE_DAC];
    let to_read = [(OWNER, read), (GROUP, read), (DACL, read), (SACL, system)];
    let to_write = [(OWNER, owner), (GROUP, owner), (DACL, dacl), (SACL, system)];
    let needed = |table: [(u32, u32); 4], security_info| {
        let named = table.into_iter().filter(|(flag, _)| security_info & flag != 0);
        named.fold(0, |rights, (_, right)| rights | right)
    };
    let bytes = granting(0).to_bytes().unwrap();
    for granted in 0..16_u32 {
        let mut mask = rights::KEY_SET_VALUE;
        for (bit, right) in [read, system, owner, dacl].into_iter().enumerate() {
            if granted >> bit & 1 == 1 {
                mask |= right;
            }
        }
        let fd = fd_with(&mut world, "Machine\\k", mask);
        for security_info in 1..16 {
            let reads = world.call(get(fd, security_info, 65_535)).0;
            let may = rights::holds(mask, needed(to_read, security_info));
            assert_eq!(reads == failed(Errno::EACCES), !may, "{mask:#x} {security_info}: {reads}");
            let call = set_bytes(fd, security_info, &bytes);
            let writes = world.steps(&call, false).swap_remove(0).outcome.example(0).unwrap();
            let may = rights::holds(mask, needed(to_write, security_info));
            assert_eq!(
                writes == failed(Errno::EACCES),
                !may,
                "{mask:#x} {security_info}: {writes}"
            );
        }
    }
}

#[test]
fn only_the_named_components_are_set() {
    let (mut world, fd) = world();
    let before = read(&mut world, fd, OWNER | GROUP | DACL | SACL);
    let mut given = granting(rights::KEY_READ);
    given.owner = Some(sid("S-1-5-21-7"));
    assert_eq!(world.call(set(fd, DACL, &given)).0, Observation::Done);
    let after = read(&mut world, fd, OWNER | GROUP | DACL | SACL);
    assert_eq!((&after.owner, &after.group), (&before.owner, &before.group));
    assert_eq!(after.dacl, given.dacl);
    // A null group and a null DACL are what they are.
    given.dacl = None;
    assert_eq!(world.call(set(fd, OWNER | GROUP | DACL, &given)).0, Observation::Done);
    let after = read(&mut world, fd, OWNER | GROUP | DACL | SACL);
    assert_eq!((after.owner, after.group, after.dacl), (given.owner, None, None));
}

#[test]
fn a_change_concerns_later_opens_and_no_fd() {
    let (mut world, _) = world();
    let security = fd_with(&mut world, "Machine\\k", rights::WRITE_DAC);
    world.call(set(security, DACL, &granting(rights::KEY_SET_VALUE)));
    let writing =
        speaking(&mut world, &alice(), |world| fd_with(world, "Machine\\k", rights::KEY_SET_VALUE));
    assert_eq!(world.call(set(security, DACL, &granting(0))).0, Observation::Done);
    assert_eq!(world.call(write(writing, "v", 1, b"", b"")).0, Observation::Done);
    let refused = speaking(&mut world, &alice(), |world| world.call(open("Machine\\k")).0);
    assert_eq!(refused, failed(Errno::EACCES));
}

#[test]
fn a_change_takes_no_number_one_generation_step_and_sets_the_time() {
    let (mut world, fd) = world();
    let info = Call::QueryKeyInfo { fd, name_capacity: 100 };
    let look = |world: &mut World| match world.call(info.clone()).0 {
        Observation::KeyInfo(info) => (info.hive_generation, info.last_write_time, info.sd_size),
        other => panic!("{other}"),
    };
    let sequence = world.state.next_sequence();
    let (generation, _, _) = look(&mut world);
    let given = granting(0);
    for again in 1..3 {
        let (_, step) = world.call(set(fd, OWNER | GROUP | DACL | SACL, &given));
        assert!(step.covered.contains("IOC-132"));
        let (later, _, size) = look(&mut world);
        // Setting the same again is a change like the first (P-106).
        assert_eq!(later, generation + again);
        assert_eq!(size as usize, given.to_bytes().unwrap().len());
    }
    assert_eq!(world.state.next_sequence(), sequence);
    let (_, first, _) = look(&mut world);
    world.call(set(fd, DACL, &given));
    assert!(look(&mut world).1 > first);
}

#[test]
fn what_is_wrong_with_the_bytes_comes_before_the_transaction_and_the_source() {
    let (mut world, fd) = world();
    let good = granting(0).to_bytes().unwrap();
    let ownerless = SecurityDescriptor { owner: None, ..granting(0) }.to_bytes().unwrap();
    let mut reserved_mask = granting(0);
    reserved_mask.dacl.as_mut().unwrap().aces[0] = Ace::allow(0x0010_0000, &well_known::SYSTEM, 0);
    let reserved_mask = reserved_mask.to_bytes().unwrap();
    world.transcript("down");
    let long = vec![0; 65_536];
    for bytes in [&[][..], &good[..19], &good[..40], &long, &reserved_mask] {
        let call = Call::SetSecurity {
            fd,
            security_info: OWNER | DACL,
            descriptor: bytes.to_vec(),
            transaction: 5,
        };
        assert_eq!(world.call(call).0, failed(Errno::EINVAL));
    }
    assert_eq!(world.call(set_bytes(fd, OWNER | DACL, &ownerless)).0, failed(Errno::EINVAL));
    // Nothing is wrong with the owner in front of a DACL that nobody looks at.
    for descriptor in [good.clone(), good[..40].to_vec(), reserved_mask] {
        let in_transaction =
            Call::SetSecurity { fd, security_info: OWNER, descriptor, transaction: 5 };
        assert_eq!(world.call(in_transaction).0, failed(Errno::EBADF));
    }
    assert_eq!(world.call(set_bytes(fd, OWNER, &good)).0, failed(Errno::EIO));
    assert_eq!(world.call(set_bytes(fd, DACL, &ownerless)).0, failed(Errno::EIO));
    assert_eq!(world.call(get(fd, OWNER, 0)).0, failed(Errno::EIO));
}

#[test]
fn orphans_have_an_sd_and_layers_do_not_take_it_back() {
    let (mut world, _) = world();
    world.transcript(
        "layer a 1\ncreate Machine\\x in a\nopen x Machine\\x\n\
         delete Machine\\System\\Registry\\Layers\\a",
    );
    let orphan = world.handle("x");
    assert_eq!(world.call(set(orphan, DACL, &granting(0))).0, Observation::Done);
    assert_eq!(read(&mut world, orphan, DACL).dacl, granting(0).dacl);

    world.transcript("create Machine\\y\nopen y Machine\\y\nlayer b 1\nset Machine\\y v t in b");
    let kept = world.handle("y");
    world.call(set(kept, DACL, &granting(0)));
    world.transcript("delete Machine\\System\\Registry\\Layers\\b");
    assert_eq!(read(&mut world, kept, DACL).dacl, granting(0).dacl);
}

#[test]
fn a_malformed_sd_is_neither_read_nor_mended() {
    let (mut world, fd) = world();
    let path = ["Machine", "k"].map(str::to_owned).to_vec();
    let record = StoredRecord::Descriptor { bytes: b"nonsense".to_vec() };
    let entry = StoreEntry { key: StoredKey { path, through: None }, record };
    world.environment(Environment::StoreEntry(entry));
    let all = OWNER | GROUP | DACL | SACL;
    for call in [get(fd, OWNER, 100), set(fd, all, &granting(0)), open("Machine\\k")] {
        let (answer, step) = world.call(call);
        assert_eq!(answer, failed(Errno::EIO));
        let events: Vec<_> = step.audit.iter().map(|event| (event.event, event.optional)).collect();
        assert_eq!(events, [("LCS_SOURCE_VALIDATION_FAILURE", false)]);
        assert!(step.covered.contains("AUD-35"));
    }
}

#[test]
fn an_interrupted_change_may_have_happened() {
    let (mut world, fd) = world();
    let steps = world.steps(&set(fd, DACL, &granting(0)), true);
    let answers: Vec<String> = steps.iter().map(|step| step.outcome.to_string()).collect();
    assert_eq!(answers, ["ok", "EIO", "EIO", "EIO"]);
    let changed: Vec<bool> = steps
        .iter()
        .map(|step| {
            world.state = step.next().clone();
            world.environment(Environment::SourceDown { source: SOURCE });
            world.resume(SOURCE, &["Machine", "Users"]);
            read(&mut world, fd, DACL).dacl == granting(0).dacl
        })
        .collect();
    assert_eq!(changed, [true, false, true, true]);
}

#[test]
fn the_structures_have_the_layout_of_the_text() {
    let (world, fd) = world();
    let given = granting(0).to_bytes().unwrap();
    let mut memory = AddressSpace::new();
    let data = memory.map(given.clone(), Protection::ReadWrite);
    let mut bytes = vec![0; 24];
    bytes[0] = 4;
    bytes[4..8].copy_from_slice(&(given.len() as u32).to_le_bytes());
    bytes[8..16].copy_from_slice(&data.to_le_bytes());
    bytes[16..20].copy_from_slice(&[0xFF; 4]);
    let argument = memory.map(bytes, Protection::ReadWrite);
    let answer = |request, memory: &AddressSpace| {
        let step = world
            .state
            .step(&Input::RawCall {
                caller: world.caller.clone(),
                call: RawCall::Ioctl { fd, request, argument },
                memory: Arc::new(memory.clone()),
                began: 9_000,
                ended: 9_000,
                interrupted: false,
            })
            .swap_remove(0);
        step.outcome.example(0).unwrap()
    };
    const GET: u32 = 0xC010_520A;
    const SET: u32 = 0x4018_520B;
    assert_eq!(answer(SET, &memory), Observation::Done);
    assert!(matches!(answer(GET, &memory), Observation::TooSmall(_)));
    for offset in 20..24 {
        let mut spoilt = memory.clone();
        spoilt.patch(argument + offset, &[1]);
        assert_eq!(answer(SET, &spoilt), failed(Errno::EINVAL), "{offset}");
        assert!(matches!(answer(GET, &spoilt), Observation::TooSmall(_)), "{offset}");
    }
    let mut nowhere = memory.clone();
    nowhere.patch(argument + 8, &[1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(answer(SET, &nowhere), failed(Errno::EFAULT));
    assert_eq!(answer(GET, &nowhere), failed(Errno::EFAULT));
    nowhere.patch(argument + 4, &65_536_u32.to_le_bytes());
    assert_eq!(answer(SET, &nowhere), failed(Errno::EINVAL));
    nowhere.patch(argument + 4, &[0; 4]);
    assert_eq!(answer(SET, &nowhere), failed(Errno::EINVAL));
    assert!(matches!(answer(GET, &nowhere), Observation::TooSmall(_)));
}

#[test]
fn a_passed_fd_has_the_mask_of_its_opener() {
    let (mut world, fd) = world();
    let other = ProcessId(2);
    let call = Call::Pass { fd, to: other };
    let Observation::Passed { fd: passed } = world.call(call).0 else { panic!("not passed") };
    let home = std::mem::replace(&mut world.caller.process, other);
    speaking(&mut world, &alice(), |world| {
        assert_eq!(world.call(set(passed, DACL, &granting(0))).0, Observation::Done);
    });
    // Whoever closes their own leaves the other's.
    world.call(Call::Close { fd: passed });
    assert_eq!(world.call(get(passed, OWNER, 0)).0, failed(Errno::EBADF));
    world.caller.process = home;
    assert_eq!(read(&mut world, fd, DACL).dacl, granting(0).dacl);
    assert_eq!(world.call(Call::Pass { fd: 77, to: other }).0, failed(Errno::EBADF));
}

#[test]
fn an_orphan_lives_as_long_as_a_passed_fd() {
    let mut world = World::with_layers();
    world.transcript("create Machine\\x\nopen x Machine\\x\nset $x v text");
    let fd = world.handle("x");
    let Observation::Passed { fd: passed } =
        world.call(Call::Pass { fd, to: world.caller.process }).0
    else {
        panic!("not passed")
    };
    world.transcript("delete $x\nclose $x");
    let answer = world.call(crate::world::query(passed, "v")).0.to_string();
    assert!(answer.contains("text"), "{answer}");
    assert_eq!(world.call(Call::Close { fd: passed }).0, Observation::Done);
}

#[test]
fn the_sacl_needs_the_privilege() {
    let (mut world, _) = world();
    let call = |desired_access| Call::OpenKey {
        parent: -1,
        path: b"Machine\\k".to_vec(),
        desired_access,
        flags: 0,
    };
    let asked = rights::ACCESS_SYSTEM_SECURITY;
    let refused = speaking(&mut world, &alice(), |world| world.call(call(asked)).0);
    assert_eq!(refused, failed(Errno::EACCES));
    let privileged = with_privilege(&alice(), Privilege::Security);
    let opened = speaking(&mut world, &privileged, |world| world.call(call(asked)).0);
    assert!(matches!(opened, Observation::Opened { .. }));
}

#[test]
fn a_subset_that_overlaps_made_too_long_may_be_reported() {
    let (mut world, _) = world();
    let fd =
        fd_with(&mut world, "Machine\\k", rights::KEY_ALL_ACCESS | rights::ACCESS_SYSTEM_SECURITY);
    // Header, S-1-5-18, and one list that is the SACL and the DACL.
    let mut bytes = vec![1, 0, 0x14, 0x80, 20, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 32, 0, 0, 0];
    bytes.extend(&well_known::SYSTEM.0);
    let ace = Ace::allow(rights::KEY_READ, &well_known::SYSTEM, 0);
    bytes.extend(Acl::of_rules(vec![ace; 2_000]).to_bytes());
    let key = StoredKey { path: vec!["Machine".to_owned(), "k".to_owned()], through: None };
    let record = StoredRecord::Descriptor { bytes };
    world.environment(Environment::StoreEntry(StoreEntry { key, record }));
    assert!(matches!(world.call(get(fd, OWNER | DACL, 65_535)).0, Observation::Security(_)));
    let (answer, step) = world.call(get(fd, OWNER | DACL | SACL, 65_535));
    assert_eq!(answer, failed(Errno::EIO));
    assert!(matches!(&step.audit[..], [event] if event.optional));
}
