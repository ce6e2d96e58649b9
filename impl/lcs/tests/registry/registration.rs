//! Sources registering, colliding and coming back.

use std::sync::Arc;

use abi::layout::{SourceHiveEntry, SourceRegisterArgs};
use abi::{Errno, Structure, ioctl};
use lcs::security::{Privileges, Token};
use lcs::{HiveRegistration, Registration};
use rsi::Guid;

use crate::client::Machine;
use crate::source::hive;
use crate::world::{Memory, UNMAPPED};

fn register(
    machine: &Machine,
    hives: Vec<HiveRegistration>,
    max_sequence: u64,
) -> Result<(), Errno> {
    let device = machine.lcs.open_device(&Arc::new(Token::system()))?;
    let result = device.register(&Registration { hives, max_sequence });
    // The device goes on dropping, which leaves a Down slot behind.
    result
}

#[test]
fn the_device_needs_the_privilege() {
    let machine = Machine::new();
    let mut token = Token::system();
    token.privileges = Privileges::NONE;
    assert_eq!(machine.lcs.open_device(&Arc::new(token)).err(), Some(Errno::EPERM));
}

#[test]
fn shape_comes_before_counts_and_counts_before_the_sequence() {
    let machine = Machine::new();
    let try_names = |names: &[&str]| {
        let hives = names.iter().enumerate().map(|(index, name)| hive(name, 10 + index as u8));
        register(&machine, hives.collect(), u64::MAX)
    };
    for bad in ["", "a\\b", "a/b", "a\0", "currentUSER", &"x".repeat(256)] {
        assert_eq!(try_names(&[bad]), Err(Errno::EINVAL), "{bad}");
    }
    assert_eq!(try_names(&[]), Err(Errno::EINVAL));
    assert_eq!(try_names(&["a", "A"]), Err(Errno::EINVAL));
    let names: Vec<String> = (0..65).map(|index| format!("h{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(try_names(&names), Err(Errno::ENOSPC));
    assert_eq!(try_names(&["a"]), Err(Errno::EOVERFLOW));
    let scoped = HiveRegistration { scope: Guid([9; 16]), ..hive("a", 10) };
    assert_eq!(register(&machine, vec![scoped.clone()], 0), Err(Errno::EINVAL));
    let unknown = HiveRegistration { flags: 2, ..hive("a", 10) };
    assert_eq!(register(&machine, vec![unknown], 0), Err(Errno::EINVAL));
    let private = HiveRegistration { flags: 1, ..scoped };
    assert_eq!(register(&machine, vec![private], 0), Ok(()));
}

#[test]
fn an_active_hive_is_taken_and_a_down_one_can_only_be_resumed_whole() {
    let mut machine = Machine::new();
    assert_eq!(register(&machine, vec![hive("MACHINE", 9)], 0), Err(Errno::EEXIST));
    machine.source.kill();
    let machine_hive = hive("machine", 1);
    assert_eq!(register(&machine, vec![machine_hive.clone()], 0), Err(Errno::EINVAL));
    let users = |root| vec![machine_hive.clone(), hive("USERS", root)];
    assert_eq!(register(&machine, users(9), 0), Err(Errno::ESTALE));
    let mut more = users(2);
    more.push(hive("more", 5));
    assert_eq!(register(&machine, more, 0), Err(Errno::EINVAL));
    assert_eq!(register(&machine, vec![hive("Other", 3), hive("Users", 2)], 0), Err(Errno::EEXIST));
    assert_eq!(register(&machine, users(2), 0), Ok(()));
}

#[test]
fn a_device_registers_once() {
    let machine = Machine::new();
    let device = machine.lcs.open_device(&Arc::new(Token::system())).unwrap();
    let once = |name| Registration { hives: vec![hive(name, 40)], max_sequence: 0 };
    assert_eq!(device.register(&once("Other")), Err(Errno::EEXIST));
    assert_eq!(device.register(&once("New")), Ok(()));
    assert_eq!(device.register(&once("Newer")), Err(Errno::EINVAL));
}

#[test]
fn slots_are_never_freed() {
    let machine = Machine::new();
    for slot in 2..32 {
        assert_eq!(register(&machine, vec![hive(&format!("h{slot}"), slot + 10)], 0), Ok(()));
    }
    assert_eq!(register(&machine, vec![hive("last", 99)], 0), Err(Errno::ENOSPC));
    assert_eq!(register(&machine, vec![hive("H7", 17)], 0), Ok(()));
}

#[test]
fn the_counter_rises_above_what_a_source_has_stored_and_can_run_out() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    register(&machine, vec![hive("far", 50)], 1000).unwrap();
    register(&machine, vec![hive("near", 51)], 10).unwrap();
    client.set(fd, "v", 1, "").unwrap();
    assert_eq!(client.value(fd, "v").unwrap().sequence, 1001);
    register(&machine, vec![hive("end", 52)], u64::MAX - 1).unwrap();
    assert_eq!(client.set(fd, "v", 1, ""), Err(Errno::EOVERFLOW));
    assert_eq!(client.blanket(fd, "", true), Err(Errno::EOVERFLOW));
    assert_eq!(client.create("Machine\\B", "").map(|_| ()), Err(Errno::EOVERFLOW));
    client.unset(fd, "v", "").unwrap();
}

#[test]
fn a_private_hive_shadows_a_global_one_for_its_scope() {
    let machine = Machine::new();
    let client = machine.client();
    client.make("Other\\Global");
    let mut private = crate::source::Source::new(vec![HiveRegistration {
        flags: 1,
        scope: Guid([9; 16]),
        ..hive("other", 60)
    }]);
    private.start(&machine.world, &machine.lcs).unwrap();
    let mut token = Token::system();
    token.scopes.push(Guid([9; 16]));
    let inside = client.with_token(token);
    assert_eq!(inside.open("Other\\Global"), Err(Errno::ENOENT));
    assert!(inside.open("Machine").is_ok());
    assert!(client.open("Other\\Global").is_ok());
}

#[test]
fn the_ioctl_reads_its_structures_from_memory() {
    let machine = Machine::new();
    let token = Token::system();
    let device = machine.lcs.open_device(&Arc::new(token.clone())).unwrap();
    let memory = Memory::new();
    let entry = SourceHiveEntry {
        name_len: 3,
        name_ptr: memory.put(b"Raw"),
        root_guid: [70; 16],
        ..SourceHiveEntry::default()
    };
    let call = |entry: SourceHiveEntry, args: SourceRegisterArgs| {
        let hives_ptr = memory.put(&entry.to_bytes());
        let hives_ptr = if args.hives_ptr == 0 { hives_ptr } else { args.hives_ptr };
        let argument = memory.put(&SourceRegisterArgs { hives_ptr, ..args }.to_bytes());
        device.ioctl(&token, ioctl::REG_SRC_REGISTER, argument, &memory)
    };
    let one = SourceRegisterArgs { hive_count: 1, ..SourceRegisterArgs::default() };
    let einval = Errno::EINVAL.returned();
    assert_eq!(call(entry, SourceRegisterArgs { hive_count: 0, ..one }), einval);
    assert_eq!(call(entry, SourceRegisterArgs { pad: 1, ..one }), einval);
    assert_eq!(call(SourceHiveEntry { pad0: 1, ..entry }, one), einval);
    assert_eq!(call(SourceHiveEntry { pad1: 1, ..entry }, one), einval);
    let far = SourceRegisterArgs { hives_ptr: UNMAPPED, ..one };
    assert_eq!(call(entry, far), Errno::EFAULT.returned());
    let many = SourceRegisterArgs { hive_count: u32::MAX, ..one };
    assert_eq!(call(entry, many), Errno::ENOSPC.returned());
    assert_eq!(device.ioctl(&token, 0x4018_5201, 0, &memory), Errno::ENOTTY.returned());
    let poor = Token { privileges: Privileges::NONE, ..token.clone() };
    let refused = device.ioctl(&poor, ioctl::REG_SRC_REGISTER, 0, &memory);
    assert_eq!(refused, Errno::EPERM.returned());
    assert_eq!(call(entry, one), 0);
}
