//! Enumeration by index, batch reads and key info.

use expect_test::expect;
use registry_model::{Call, Observation};

use crate::world::{World, check, open};

fn subkeys(fd: i32, index: u32, name_capacity: u32) -> Call {
    Call::EnumSubkeys { fd, index, name_capacity, transaction: -1 }
}

fn opened(world: &mut World, path: &str) -> i32 {
    match world.call(open(path)).0 {
        Observation::Opened { fd, .. } => fd,
        other => panic!("{other}"),
    }
}

#[test]
fn key_info_describes_what_the_caller_sees() {
    check(
        "layer a 1
         create Machine\\key
         create Machine\\key\\one in a
         create Machine\\key\\three
         hide Machine\\key\\three in a
         set Machine\\key name data
         tombstone Machine\\key other
         info Machine\\key
         info Machine",
        expect![[r#"
            layer a 1
              -> created, ok
            create Machine\key
              -> created
            create Machine\key\one in a
              -> created
            create Machine\key\three
              -> created
            hide Machine\key\three in a
              -> ok
            set Machine\key name data
              -> ok
            tombstone Machine\key other
              -> ok
            info Machine\key
              -> key "key": 1 subkeys, 1 values, longest subkey name 3, longest value name 4, largest value 4, SD 120 bytes, volatile 0, symlink 0, written 1255, generation 11
            info Machine
              -> key "Machine": 2 subkeys, 0 values, longest subkey name 6, longest value name 0, largest value 0, SD 116 bytes, volatile 0, symlink 0, written 1000, generation 11
        "#]],
    );
}

#[test]
fn an_index_stands_for_one_entry_until_something_changes() {
    let mut world = World::booted();
    world.transcript("create Machine\\a\ncreate Machine\\b");
    let fd = opened(&mut world, "Machine");
    let first = world.steps(&subkeys(fd, 0, 100), false).swap_remove(0);
    let second = world.steps(&subkeys(fd, 1, 100), false).swap_remove(0);
    expect![[r#"one of: subkey "a" (0 subkeys, 0 values, written within 1010..=1015); subkey "b" (0 subkeys, 0 values, written within 1030..=1035)"#]].assert_eq(&first.outcome.to_string());
    // The target lists b first.
    let b = Observation::EnumeratedSubkey {
        name: b"b".to_vec(),
        last_write_time: 1_032,
        subkey_count: 0,
        value_count: 0,
    };
    assert!(second.accept(&b).is_ok());
    world.state = first.accept(&b).unwrap();
    let again = world.steps(&subkeys(fd, 0, 100), false).swap_remove(0);
    let second = world.steps(&subkeys(fd, 1, 100), false).swap_remove(0);
    expect![[r#"
        subkey "b" (0 subkeys, 0 values, written 1032)
        subkey "a" (0 subkeys, 0 values, written within 1010..=1015)
    "#]]
    .assert_eq(&format!("{}\n{}\n", again.outcome, second.outcome));
    assert!(second.accept(&b).is_err());
    world.transcript("create Machine\\c");
    let free = world.steps(&subkeys(fd, 1, 100), false).swap_remove(0);
    expect![[r#"one of: subkey "a" (0 subkeys, 0 values, written within 1010..=1015); subkey "b" (0 subkeys, 0 values, written 1032); subkey "c" (0 subkeys, 0 values, written within 1060..=1065)"#]].assert_eq(&free.outcome.to_string());
    let past = world.steps(&subkeys(fd, 3, 100), false).swap_remove(0);
    assert_eq!(past.outcome.to_string(), "ENOENT");
}

#[test]
fn a_probe_may_hit_any_entry() {
    let mut world = World::booted();
    world.transcript("create Machine\\a\ncreate Machine\\long");
    let fd = opened(&mut world, "Machine");
    let probe = world.steps(&subkeys(fd, 0, 1), false).swap_remove(0);
    expect![[
        r#"one of: subkey "a" (0 subkeys, 0 values, written within 1010..=1015); ERANGE name=4"#
    ]]
    .assert_eq(&probe.outcome.to_string());
}

#[test]
fn a_time_is_exact_once_it_has_been_seen() {
    let mut world = World::booted();
    world.transcript("create Machine\\a");
    let fd = opened(&mut world, "Machine\\a");
    let info = Call::QueryKeyInfo { fd, name_capacity: 9 };
    let step = world.steps(&info, false).swap_remove(0);
    let Some(Observation::KeyInfo(mut seen)) = step.outcome.example(0) else { panic!("no info") };
    let latest = seen.last_write_time;
    for (time, conforms) in [(latest - 6, false), (latest + 1, false), (latest - 5, true)] {
        seen.last_write_time = time;
        assert_eq!(step.accept(&Observation::KeyInfo(seen.clone())).is_ok(), conforms, "{time}");
    }
    world.state = step.accept(&Observation::KeyInfo(seen.clone())).unwrap();
    let step = world.steps(&info, false).swap_remove(0);
    seen.last_write_time = latest;
    assert!(step.accept(&Observation::KeyInfo(seen)).is_err());
}

#[test]
fn a_generation_counts_from_where_it_was_first_seen() {
    let mut world = World::booted();
    let fd = opened(&mut world, "Machine");
    let info = Call::QueryKeyInfo { fd, name_capacity: 9 };
    let step = world.steps(&info, false).swap_remove(0);
    let Some(Observation::KeyInfo(mut seen)) = step.outcome.example(0) else { panic!("no info") };
    seen.hive_generation = 700;
    world.state = step.accept(&Observation::KeyInfo(seen.clone())).unwrap();
    world.transcript("create Machine\\a\nset Machine\\a v x\nunset Machine\\a none");
    let step = world.steps(&info, false).swap_remove(0);
    let text = step.outcome.to_string();
    assert!(text.ends_with("generation 703"), "{text}");
}

#[test]
fn a_batch_may_come_in_any_order() {
    let mut world = World::booted();
    world.transcript("create Machine\\a\nset Machine\\a one 1\nset Machine\\a two 2");
    let fd = opened(&mut world, "Machine\\a");
    let call = |capacity| Call::QueryValuesBatch { fd, capacity, transaction: -1 };
    let step = world.steps(&call(32), false).swap_remove(0);
    let Some(Observation::Values(mut values)) = step.outcome.example(0) else { panic!("no batch") };
    values.reverse();
    assert!(step.accept(&Observation::Values(values)).is_ok());
    let step = world.steps(&call(31), false).swap_remove(0);
    assert_eq!(step.outcome.to_string(), "ERANGE buffer=32");
}
