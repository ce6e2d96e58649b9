//! Marks of layer operations: a requirement is shown where it decides, and not beside it.

use registry_model::Call;

use crate::world::{World, write};

const LAYERS: &str = "Machine\\System\\Registry\\Layers\\";

/// Two layers of which one has a fd, and a watched key in the other.
fn with_layers(lines: &str) -> World {
    let mut world = World::with_layers();
    world.transcript(&format!("layer role 1\nlayer mask 5\nopen l {LAYERS}role\n{lines}"));
    if lines.contains("k Machine") {
        let fd = world.handle("k");
        world.call(Call::Notify { fd, filter: 7, subtree: 0 });
    }
    world
}

fn number(world: &World, name: &str, number: u32) -> Call {
    write(world.handle("l"), name, 4, &number.to_le_bytes(), b"")
}

fn delete(world: &World) -> Call {
    Call::DeleteKey { fd: world.handle("l"), layer: Vec::new(), transaction: -1 }
}

/// Whether a call shows each of these.
fn shows<const N: usize>(world: &World, call: Call, ids: [&str; N]) -> [bool; N] {
    let covered = world.clone().call(call).1.covered;
    ids.map(|id| covered.contains(id))
}

#[test]
fn a_refresh_shows_by_a_table_that_has_changed() {
    let world = with_layers("");
    let ids = ["LAYER-23", "LAYER-30", "LAYER-38"];
    assert_eq!(shows(&world, number(&world, "Precedence", 7), ids), [true; 3]);
    assert_eq!(shows(&world, number(&world, "Precedence", 1), ids), [false; 3]);
    assert_eq!(shows(&world, number(&world, "Enabled", 7), ids), [false; 3]);
}

#[test]
fn a_commit_shows_its_refresh_where_it_concerns_the_layers() {
    let committed = |lines: &str| {
        let world = with_layers(&format!("create k Machine\\k\nbegin t\n{lines}"));
        shows(&world, Call::Commit { fd: world.handle("t") }, ["LAYER-39", "LAYER-40"])
    };
    assert_eq!(committed("dword $l Precedence 7 with t"), [true; 2]);
    assert_eq!(committed("dword $l Enabled 7 with t"), [false; 2]);
    assert_eq!(committed("set $k v x with t"), [false; 2]);
}

#[test]
fn a_layer_that_is_disabled_shows_by_what_it_has_held() {
    let ids = ["LAYER-08", "RES-02"];
    let empty = with_layers("");
    assert_eq!(shows(&empty, number(&empty, "Enabled", 0), ids), [false; 2]);
    let full = with_layers("create k Machine\\k\nset $k v x in role");
    assert_eq!(shows(&full, number(&full, "Enabled", 0), ids), [true; 2]);
}

#[test]
fn a_layer_operation_is_no_write_that_loses() {
    let world = with_layers("create k Machine\\k\nset $k v x in mask\nset $k v y in role");
    assert_eq!(shows(&world, delete(&world), ["WATCH-12"]), [false]);
    let loses = write(world.handle("k"), "v", 1, b"z", b"role");
    assert_eq!(shows(&world, loses, ["WATCH-12"]), [true]);
}

#[test]
fn an_end_shows_what_has_become_of_the_layers_where_the_key_was_in_view() {
    let ids = ["WATCH-66", "DEL-41"];
    let seen = with_layers("create k Machine\\k in role");
    assert_eq!(shows(&seen, delete(&seen), ids), [true; 2]);
    let masked = with_layers("create k Machine\\k in role\nhide $k in mask");
    assert_eq!(shows(&masked, delete(&masked), ids), [false, true]);
}
