//! Resolution against a brute force over the raw entries.

use proptest::prelude::*;
use registry_model::security::Token;
use registry_model::{Contest, RawEntry};

use crate::world::{World, open, query};

/// The winner by sorting all candidates, straight from the pseudocode of PSD-005 §2.7.
fn brute_force(world: &World) -> (Option<u64>, Contest) {
    let layers = world.state.layers();
    let mut candidates: Vec<(u32, u64, bool)> = world
        .state
        .raw()
        .filter_map(|entry| {
            let (path, name, layer, value_type, sequence) = match entry {
                RawEntry::Value { key_path, name, layer, value_type, sequence, .. } => {
                    (key_path, name, layer, value_type, sequence)
                }
                RawEntry::Blanket { key_path, layer, sequence, .. } => {
                    (key_path, "v".to_owned(), layer, 0xFFFF, sequence)
                }
                _ => return None,
            };
            let layer = layers.iter().find(|known| known.name.eq_ignore_ascii_case(&layer))?;
            let here = path == ["Machine", "k"] && name.eq_ignore_ascii_case("v");
            (here && layer.enabled).then_some((layer.precedence, sequence, value_type != 0xFFFF))
        })
        .collect();
    candidates.sort_unstable();
    let top = candidates.last().map_or(0, |last| last.0);
    let contest = Contest {
        active: u32::try_from(candidates.len()).unwrap(),
        top: u32::try_from(candidates.iter().filter(|c| c.0 == top).count()).unwrap(),
    };
    (candidates.last().filter(|last| last.2).map(|last| last.1), contest)
}

fn write_line() -> impl Strategy<Value = String> {
    let layer = prop_oneof![Just("base"), Just("a"), Just("B"), Just("c")];
    let change = prop_oneof![
        Just("set Machine\\k v x in "),
        Just("set Machine\\k V y in "),
        Just("tombstone Machine\\k v in "),
        Just("unset Machine\\k v in "),
        Just("blanket Machine\\k on in "),
        Just("blanket Machine\\k off in "),
    ];
    let layer_change = prop_oneof![
        Just("dword Machine\\System\\Registry\\Layers\\a Enabled 0"),
        Just("dword Machine\\System\\Registry\\Layers\\a Enabled 1"),
        Just("dword Machine\\System\\Registry\\Layers\\b Precedence 2"),
        Just("dword Machine\\System\\Registry\\Layers\\b Precedence 0"),
        Just("delete Machine\\System\\Registry\\Layers\\c"),
        Just("layer c 1"),
    ];
    prop_oneof![
        4 => (change, layer).prop_map(|(change, layer)| format!("{change}{layer}")),
        1 => layer_change.prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn the_winner_is_the_greatest_candidate(
        lines in prop::collection::vec(write_line(), 1..25),
    ) {
        let mut world = World::with_layers();
        world.transcript("layer a 1\nlayer b 1\nlayer c 0\ncreate Machine\\k");
        for line in lines {
            world.transcript(&line);
            let (expected, contest) = brute_force(&world);
            let fd = match world.call(open("Machine\\k")).0 {
                registry_model::Observation::Opened { fd, .. } => fd,
                other => panic!("{other}"),
            };
            let (answer, step) = world.call(query(fd, "v"));
            let got = match answer {
                registry_model::Observation::Value { sequence, .. } => Some(sequence),
                _ => None,
            };
            prop_assert_eq!(got, expected);
            prop_assert_eq!(step.contest, Some(contest));
            let path = ["Machine".to_owned(), "k".to_owned()];
            let explanation = world.state.explain(&path, Some("v"), &Token::system());
            let won = explanation.candidates.iter().find(|candidate| candidate.won);
            prop_assert_eq!(won.map(|w| w.sequence).filter(|_| got.is_some()), got);
        }
    }
}
