//! What the harness may rely on beside the rules.

use registry_model::security::Token;
use registry_model::{RawEntry, State, Step};

use crate::world::World;

#[test]
fn states_and_steps_may_go_to_other_threads() {
    fn check<T: Send + Sync>() {}
    check::<State>();
    check::<Step>();
}

#[test]
fn known_paths_reach_below_masked_keys() {
    let mut world = World::with_layers();
    world.transcript(
        "layer a 1\ncreate Machine\\p\ncreate Machine\\p\\c\nopen p Machine\\p\nhide $p in a",
    );
    let path = ["Machine", "p", "c"].map(str::to_owned).to_vec();
    assert!(world.state.known_paths().contains(&path));
    assert_eq!(world.state.view(&Token::system())[&path], None);
}

#[test]
fn raw_entries_name_their_place() {
    let mut world = World::with_layers();
    world.transcript("create Machine\\K\nset Machine\\k V x\nblanket Machine\\k on");
    let entries: Vec<RawEntry> = world.state.raw().collect();
    let path = ["Machine", "K"].map(str::to_owned).to_vec();
    let number = entries.iter().find_map(|entry| match entry {
        RawEntry::Path { name, target, .. } if name == "K" => *target,
        _ => None,
    });
    for expected in [
        RawEntry::Value {
            key: number.unwrap(),
            key_path: path.clone(),
            name: "V".to_owned(),
            layer: "base".to_owned(),
            value_type: 1,
            data: b"x".to_vec(),
            sequence: 5,
        },
        RawEntry::Blanket {
            key: number.unwrap(),
            key_path: path,
            layer: "base".to_owned(),
            sequence: 6,
        },
    ] {
        assert!(entries.contains(&expected), "{expected:?}");
    }
}

#[test]
fn an_explanation_lists_every_entry() {
    let mut world = World::with_layers();
    world.transcript(
        "layer a 5\nlayer off 9\ncreate Machine\\k\nset Machine\\k v low\n\
         set Machine\\k v high in a\nset Machine\\k v x in off\n\
         dword Machine\\System\\Registry\\Layers\\off Enabled 0\nblanket Machine\\k on",
    );
    let path = ["Machine", "k"].map(str::to_owned);
    let token = Token::system();
    let text = format!(
        "{}\n{}\n{}",
        world.state.explain(&path, Some("V"), &token),
        world.state.explain(&path, None, &token),
        world.state.explain(&["Machine".to_owned(), "no".to_owned()], Some("v"), &token),
    );
    expect_test::expect![[r#"
        Machine\k value "V"
        * a: precedence 5, sequence 10: sz "high"
          base: precedence 0, sequence 13: blanket tombstone
          base: precedence 0, sequence 9: sz "low"
          off: precedence 9, disabled, sequence 11: sz "x"
        Machine\k
        * base: precedence 0, sequence 8: key #8
        Machine\no
          not reached: no "no" is visible"#]]
    .assert_eq(&text);
}

#[test]
fn a_deciding_branch_marks_its_requirement() {
    let mut world = World::with_layers();
    world.transcript("layer a 5\ncreate k Machine\\k\nset $k v low\ntombstone $k v in a");
    let fd = world.handle("k");
    let (_, step) = world.call(crate::world::query(fd, "v"));
    for id in ["RES-10", "RES-20", "VAL-21"] {
        assert!(step.covered.contains(id), "{id}: {:?}", step.covered);
    }
    assert!(!step.covered.contains("RES-21"));
}
