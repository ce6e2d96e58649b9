//! Laws that hold whatever happens.

use proptest::prelude::*;
use registry_model::security::Token;
use registry_model::{Observation, View};

use crate::world::{World, errno};

/// A view as (path, folded name, type, data) outside the registry's own settings.
fn plain(view: &View) -> Vec<String> {
    view.iter()
        .filter(|(path, key)| {
            key.is_some()
                && !path.join("\\").to_lowercase().starts_with("machine\\system\\registry")
        })
        .flat_map(|(path, key)| {
            let path = path.join("\\").to_lowercase();
            let values = key.iter().flat_map(|key| key.values.iter()).map(|(name, value)| {
                format!("{path} {} {} {:?}", name.to_lowercase(), value.value_type, value.data)
            });
            std::iter::once(path.clone()).chain(values.collect::<Vec<_>>())
        })
        .collect()
}

fn key() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("Machine\\a"), Just("Machine\\a\\b"), Just("Users\\c"), Just("Machine\\A\\d")]
}

fn line() -> impl Strategy<Value = String> {
    let layer = prop_oneof![Just(""), Just(" in low"), Just(" in high"), Just(" in nobody")];
    let name = prop_oneof![Just("x"), Just("X"), Just("y")];
    let verb = prop_oneof![
        Just("create"),
        Just("volatile"),
        Just("delete"),
        Just("hide"),
        Just("set-v"),
        Just("tombstone-v"),
        Just("unset-v"),
        Just("blanket-on"),
        Just("blanket-off"),
    ];
    (verb, key(), name, layer).prop_map(|(verb, key, name, layer)| match verb.split_once('-') {
        None => format!("{verb} {key}{layer}"),
        Some(("blanket", on)) => format!("blanket {key} {on}{layer}"),
        Some(("set", _)) => format!("set {key} {name} data{layer}"),
        Some((verb, _)) => format!("{verb} {key} {name}{layer}"),
    })
}

fn prepared(lines: &[String]) -> World {
    let mut world = World::with_layers();
    world.transcript("layer low 0\nlayer high 4\ncreate Machine\\a\ncreate Users\\c");
    world.transcript(&lines.join("\n"));
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn adding_and_deleting_a_fresh_layer_restores_the_view(
        before in prop::collection::vec(line(), 0..20),
        within in prop::collection::vec(line(), 0..10),
        precedence in 0_u32..6,
    ) {
        let mut world = prepared(&before);
        let original = plain(&world.state.view(&Token::system()));
        world.transcript(&format!("layer fresh {precedence}"));
        for line in within {
            let line = line.split(" in ").next().unwrap().to_owned();
            world.transcript(&format!("{line} in fresh"));
        }
        world.transcript("delete Machine\\System\\Registry\\Layers\\fresh");
        let restored = plain(&world.state.view(&Token::system()));
        prop_assert_eq!(original, restored);
    }

    #[test]
    fn a_refused_call_changes_nothing(lines in prop::collection::vec(line(), 1..25)) {
        let mut world = prepared(&[]);
        for line in lines {
            let before = world.state.view(&Token::system());
            let answer = world.transcript(&line);
            if answer.contains("-> E") || answer.contains("open: E") {
                prop_assert_eq!(before, world.state.view(&Token::system()), "{}", answer);
            }
        }
    }

    #[test]
    fn a_restart_changes_nothing_that_is_not_volatile(
        lines in prop::collection::vec(line(), 0..25),
    ) {
        let lines: Vec<String> =
            lines.into_iter().filter(|line| !line.starts_with("volatile")).collect();
        let mut world = prepared(&lines);
        let before = world.state.view(&Token::system());
        world.transcript("down\nresume");
        prop_assert_eq!(&before, &world.state.view(&Token::system()));
        world.transcript("reboot");
        prop_assert_eq!(&before, &world.state.view(&Token::system()));
    }

    #[test]
    fn every_visible_path_is_known_and_opens(lines in prop::collection::vec(line(), 0..25)) {
        let mut world = prepared(&lines);
        let view = world.state.view(&Token::system());
        for (path, key) in view {
            let (answer, _) = world.call(crate::world::open(&path.join("\\")));
            prop_assert_eq!(errno(&answer).is_none(), key.is_some(), "{:?}", path);
            if let (Some(key), Observation::Opened { .. }) = (key, answer) {
                for child in key.subkeys {
                    let mut below = path.clone();
                    below.push(child);
                    prop_assert!(world.state.known_paths().contains(&below), "{:?}", below);
                }
            }
        }
    }
}
