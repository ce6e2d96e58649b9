//! What a parameter limits, once it has been changed, and what was stored before.

use registry_model::input::{Contents, DeviceCall, Registration, SourceId};
use registry_model::{Observation, Step};

use crate::world::{OTHER_SOURCE, SOURCE, World, open, root_of, write};

const KEY: &str = "Machine\\System\\Registry";

fn with(name: &str, number: u32) -> World {
    let mut world = World::with_layers();
    world.transcript("create Machine\\k");
    set(&mut world, name, number);
    world
}

fn set(world: &mut World, name: &str, number: u32) {
    let answer = world.transcript(&format!("dword {KEY} {name} {number}"));
    assert!(answer.ends_with("ok\n"), "{answer}");
}

fn answer(world: &mut World, line: &str) -> String {
    let text = world.transcript(line);
    text.rsplit("-> ").next().unwrap().trim().to_owned()
}

/// What a write of so many bytes is answered.
fn written(world: &mut World, bytes: usize) -> (String, Step) {
    let Observation::Opened { fd, .. } = world.call(open("Machine\\k")).0 else { panic!() };
    let (answer, step) = world.call(write(fd, "v", 3, &vec![0; bytes], b""));
    (answer.to_string(), step)
}

#[test]
fn the_size_of_a_value() {
    let mut world = with("MaxValueSize", 4_096);
    assert_eq!(written(&mut world, 4_096).0, "ok");
    let (answer, step) = written(&mut world, 4_097);
    assert_eq!(answer, "ENOSPC");
    for id in ["CONF-06", "CONF-25", "BOOT-10", "VAL-56"] {
        assert!(step.covered.contains(id), "{id}");
    }
    set(&mut world, "MaxValueSize", 4_097);
    assert_eq!(written(&mut world, 4_097).0, "ok");
    // What is there stays there.
    set(&mut world, "MaxValueSize", 4_096);
    assert!(!self::answer(&mut world, "batch Machine\\k").contains("EIO"));
}

#[test]
fn the_depth_of_keys() {
    let mut world = with("MaxKeyDepth", 32);
    let path = |levels: usize| format!("Machine{}", "\\k".repeat(levels - 1));
    for levels in 2..=32 {
        answer(&mut world, &format!("create {}", path(levels)));
    }
    assert_eq!(answer(&mut world, &format!("open deep {}", path(32))), "opened");
    assert_eq!(answer(&mut world, &format!("create {}", path(33))), "EINVAL");
    assert_eq!(answer(&mut world, "create $deep\\k"), "EINVAL");
    set(&mut world, "MaxKeyDepth", 33);
    assert_eq!(answer(&mut world, "create $deep\\k"), "created");
    set(&mut world, "MaxKeyDepth", 32);
    assert_eq!(answer(&mut world, "open $deep\\k"), "EINVAL");
    assert!(world.state.known_paths().iter().all(|path| path.len() <= 32));
}

#[test]
fn the_length_of_a_path() {
    let mut world = with("MaxTotalPathLength", 1_024);
    let path = |length: usize| format!("Machine\\{}", "k\\".repeat(600))[..length].to_owned();
    assert_eq!(answer(&mut world, &format!("open {}", path(1_023))), "ENOENT");
    assert_eq!(answer(&mut world, &format!("open {}", path(1_025))), "ENAMETOOLONG");
    set(&mut world, "MaxTotalPathLength", 2_000);
    assert_eq!(answer(&mut world, &format!("open {}", path(1_025))), "ENOENT");
}

#[test]
fn the_hops_over_links() {
    let mut world = with("SymlinkDepthLimit", 1);
    world.transcript(
        "link Machine\\a\nopen link Machine\\a\ntarget $link Machine\\k\nclose $link\n\
         link Machine\\b\nopen link Machine\\b\ntarget $link Machine\\a\nclose $link",
    );
    assert_eq!(answer(&mut world, "open Machine\\a"), "opened");
    assert_eq!(answer(&mut world, "open Machine\\b"), "ELOOP");
    set(&mut world, "SymlinkDepthLimit", 2);
    assert_eq!(answer(&mut world, "open Machine\\b"), "opened");
}

#[test]
fn the_layers_of_a_value() {
    let mut world = World::with_layers();
    world.transcript("layer a 0\nlayer b 0\ncreate Machine\\k");
    world.transcript("set Machine\\k v text in a\nset Machine\\k v text in b");
    set(&mut world, "MaxLayersPerValue", 1);
    assert_eq!(answer(&mut world, "set Machine\\k v text"), "ENOSPC");
    assert_eq!(answer(&mut world, "set Machine\\k v more in a"), "ok");
    assert_eq!(answer(&mut world, "set Machine\\k w text"), "ok");
    set(&mut world, "MaxLayersPerValue", 3);
    assert_eq!(answer(&mut world, "set Machine\\k v text"), "ok");
}

#[test]
fn the_layers_of_the_table() {
    let mut world = World::with_layers();
    for layer in 0..20 {
        world.transcript(&format!("layer l{layer} 0"));
    }
    set(&mut world, "MaxTotalLayers", 16);
    assert_eq!(world.state.layers().len(), 21);
    assert_eq!(answer(&mut world, &format!("create {KEY}\\Layers\\new")), "ENOSPC");
    // What is in the table goes on being refreshed.
    assert_eq!(answer(&mut world, &format!("dword {KEY}\\Layers\\l1 Precedence 7")), "ok");
    assert!(answer(&mut world, "layers").contains("l1 7"));
    set(&mut world, "MaxTotalLayers", 22);
    assert_eq!(answer(&mut world, &format!("create {KEY}\\Layers\\new")), "created");
}

/// What a process is answered that registers these hives.
fn registered(world: &mut World, source: SourceId, hives: &[&str]) -> String {
    let max_sequence = world.state.stored_maximum(source, hives.iter().copied());
    let hives = hives.iter().map(|&hive| (hive, root_of(hive)));
    let registration = Some(Registration::of_global_hives(hives, max_sequence));
    world.device(source, DeviceCall::Open);
    let contents = Contents::Kept;
    world.device(source, DeviceCall::Register { registration, contents }).to_string()
}

#[test]
fn the_sources() {
    let mut world = with("MaxRegisteredSources", 1);
    assert_eq!(registered(&mut world, OTHER_SOURCE, &["Other"]), "ENOSPC");
    // A slot that is taken up again is none more.
    world.device(SOURCE, DeviceCall::Close);
    assert_eq!(registered(&mut world, SOURCE, &["Machine", "Users"]), "ok");
    set(&mut world, "MaxRegisteredSources", 2);
    assert_eq!(registered(&mut world, SourceId(7), &["Other"]), "ok");
}

#[test]
fn the_hives_of_a_source() {
    let mut world = with("MaxHivesPerSource", 1);
    assert_eq!(registered(&mut world, OTHER_SOURCE, &["A", "B"]), "ENOSPC");
    assert_eq!(registered(&mut world, SourceId(7), &["A"]), "ok");
    // It holds for a slot that would be taken up again, too.
    world.device(SOURCE, DeviceCall::Close);
    assert_eq!(registered(&mut world, SOURCE, &["Machine", "Users"]), "ENOSPC");
}

#[test]
fn the_length_of_a_name() {
    let mut world = with("MaxPathComponentLength", 64);
    let name = |length: usize| "n".repeat(length);
    assert_eq!(answer(&mut world, &format!("create Machine\\{}", name(64))), "created");
    assert_eq!(answer(&mut world, &format!("create Machine\\{}", name(65))), "ENAMETOOLONG");
    assert_eq!(answer(&mut world, &format!("set Machine\\k {} x", name(65))), "ENAMETOOLONG");
    let layer = format!("set Machine\\k v x in {}", name(65));
    assert_eq!(answer(&mut world, &layer), "ENAMETOOLONG");
    set(&mut world, "MaxPathComponentLength", 1_024);
    assert_eq!(answer(&mut world, &format!("create Machine\\{}", name(1_024))), "created");
}

#[test]
fn a_name_that_has_become_too_long_spoils_what_it_comes_with_until_it_is_allowed_again() {
    let mut world = World::with_layers();
    let name = "n".repeat(100);
    world.transcript(&format!(
        "create Machine\\k\nset Machine\\k {name} x\ncreate Machine\\j\nset Machine\\j v x"
    ));
    set(&mut world, "MaxPathComponentLength", 99);
    assert_eq!(answer(&mut world, "batch Machine\\k"), "EIO");
    assert_eq!(answer(&mut world, &format!("get Machine\\k {name}")), "ENAMETOOLONG");
    assert_eq!(answer(&mut world, "set Machine\\k v x"), "ok");
    assert!(answer(&mut world, "batch Machine\\j").contains("v"));
    world.transcript("down\nresume");
    assert_eq!(answer(&mut world, "batch Machine\\k"), "EIO");
    set(&mut world, "MaxPathComponentLength", 100);
    assert!(answer(&mut world, "batch Machine\\k").contains(&name));
}

#[test]
fn a_key_that_nobody_can_name_any_more_is_in_no_view() {
    let mut world = World::with_layers();
    world.transcript(&format!("create Machine\\{}", "n".repeat(100)));
    let longest = |world: &World| {
        let paths = world.state.known_paths();
        paths.iter().flatten().map(String::len).max().unwrap()
    };
    assert_eq!(longest(&world), 100);
    set(&mut world, "MaxPathComponentLength", 64);
    assert!(longest(&world) < 100);
    assert_eq!(answer(&mut world, "info Machine"), "EIO");
}

#[test]
fn a_layer_whose_name_has_become_too_long_stays_and_cannot_be_read_of() {
    let mut world = World::with_layers();
    let name = "l".repeat(100);
    world.transcript(&format!("layer {name} 5\ncreate Machine\\k\nset Machine\\k v x in {name}"));
    set(&mut world, "MaxPathComponentLength", 64);
    assert!(answer(&mut world, "layers").contains(&name));
    assert_eq!(answer(&mut world, "get Machine\\k v"), "EIO");
    set(&mut world, "MaxPathComponentLength", 255);
    assert!(answer(&mut world, "get Machine\\k v").contains('x'));
}

#[test]
fn a_boot_does_not_make_long_names_shorter() {
    let mut world = World::with_layers();
    set(&mut world, "MaxPathComponentLength", 1_000);
    let name = "n".repeat(500);
    world.transcript(&format!("create Machine\\k\nset Machine\\k {name} x"));
    world.transcript(&format!("unset {KEY} MaxPathComponentLength\nreboot"));
    assert_eq!(world.state.limits().max_path_component_length, 255);
    assert_eq!(answer(&mut world, "batch Machine\\k"), "EIO");
}
