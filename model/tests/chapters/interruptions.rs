//! Calls whose source may have died under them.

use registry_model::{Call, Environment, Observation, State};

use crate::world::{SOURCE, World, open, write};

fn restarted(state: &State) -> World {
    let mut world = World::booted();
    world.state = state.clone();
    world.environment(Environment::SourceDown { source: SOURCE });
    world.resume(SOURCE, &["Machine", "Users"]);
    world
}

/// What a view shows after each way in which an interrupted call may have ended.
fn endings(world: &World, call: &Call, line: &str) -> Vec<(String, String)> {
    world
        .steps(call, true)
        .iter()
        .map(|step| {
            let answer = step.outcome.example(50).unwrap();
            let next = step.accept(&answer).unwrap();
            (answer.to_string(), restarted(&next).transcript(line))
        })
        .collect()
}

fn fd(world: &mut World, path: &str) -> i32 {
    match world.call(open(path)).0 {
        Observation::Opened { fd, .. } => fd,
        other => panic!("{other}"),
    }
}

#[test]
fn an_interrupted_write_may_have_happened() {
    let mut world = World::with_layers();
    world.transcript("create Machine\\k\nset Machine\\k v old");
    let fd = fd(&mut world, "Machine\\k");
    let endings = endings(&world, &write(fd, "v", 1, b"new", b""), "get Machine\\k v");
    assert_eq!(endings[0].0, "ok");
    assert!(endings[0].1.contains("new"));
    let failed: Vec<bool> = endings[1..]
        .iter()
        .map(|(answer, after)| answer == "EIO" && after.contains("new"))
        .collect();
    assert_eq!(failed, [false, false, true, true]);
}

#[test]
fn an_interrupted_creation_leaves_the_key_whole_or_not_at_all() {
    let world = World::with_layers();
    let call = Call::CreateKey {
        parent: -1,
        path: b"Machine\\k".to_vec(),
        desired_access: 0x0002_0000,
        flags: 0,
        layer: None,
        transaction: -1,
    };
    let endings = endings(&world, &call, "open Machine\\k");
    let present: Vec<bool> = endings.iter().map(|(_, answer)| answer.contains("opened")).collect();
    assert_eq!(present, [true, false, false, false, true]);
}

#[test]
fn a_call_that_sends_nothing_is_not_interrupted() {
    let mut world = World::with_layers();
    let fd = fd(&mut world, "Machine");
    assert_eq!(world.steps(&write(fd, "v", 99, b"", b""), true).len(), 1);
    assert_eq!(world.steps(&Call::Close { fd }, true).len(), 1);
    assert_eq!(world.steps(&Call::Flush { fd }, true).len(), 2);
}

#[test]
fn a_deletion_that_nothing_interrupts_ends_in_one_way() {
    let mut world = World::with_layers();
    world.transcript("create Machine\\k");
    let fd = fd(&mut world, "Machine\\k");
    let call = Call::DeleteKey { fd, layer: Vec::new(), transaction: -1 };
    assert_eq!(world.steps(&call, false).len(), 1);
    assert!(world.steps(&call, true).len() > 1);
}

#[test]
fn an_interrupted_layer_deletion_is_finished_at_the_resumption() {
    let mut world = World::with_layers();
    world.transcript("layer a 1\ncreate Machine\\k\nset Machine\\k v x in a");
    let fd = fd(&mut world, "Machine\\System\\Registry\\Layers\\a");
    let call = Call::DeleteKey { fd, layer: Vec::new(), transaction: -1 };
    let after = endings(&world, &call, "layers\nget Machine\\k v");
    let there: Vec<&str> = after
        .iter()
        .filter(|(_, text)| !text.contains("ENOENT"))
        .map(|(answer, _)| answer.as_str())
        .collect();
    // Only where the death came before everything is the layer still there.
    assert_eq!(there, ["EIO"]);
}
