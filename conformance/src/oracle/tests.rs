//! The oracle against a statement of the rules in words, exhaustively over small worlds.

use std::collections::BTreeMap;

use registry_model::view::ValueView;

use super::*;

const ROOT: Guid = [1; 16];
const NAMES: [&str; 3] = ["base", "role", "policy"];

fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// What one layer holds for the value `v` of the root key, or for its child `c`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Claim {
    Nothing,
    /// A value, or a key of the layer's own.
    Present,
    /// A tombstone, or HIDDEN.
    Absent,
    /// A blanket tombstone.
    Blanket,
}

/// One layer's part of a world. The sequence is the layer's place in the order of writing.
#[derive(Clone, Copy, Debug)]
struct Holding {
    layer: usize,
    claim: Claim,
    precedence: u32,
    enabled: bool,
    sequence: u64,
}

impl Holding {
    fn takes_part(&self) -> bool {
        self.claim != Claim::Nothing && self.enabled
    }

    fn beats(&self, other: &Holding) -> bool {
        self.precedence > other.precedence
            || (self.precedence == other.precedence && self.sequence > other.sequence)
    }
}

/// What is present is effective if its layer takes part and no other participant beats it.
fn effective(world: &[Holding]) -> Option<&Holding> {
    let mut unbeaten = world.iter().filter(|holding| {
        holding.claim == Claim::Present
            && holding.takes_part()
            && !world.iter().any(|other| other.takes_part() && other.beats(holding))
    });
    let only = unbeaten.next();
    assert!(unbeaten.next().is_none(), "two are unbeaten in {world:?}");
    only
}

fn guid_of(layer: usize) -> Guid {
    [10 + layer as u8; 16]
}

fn key(guid: Guid) -> RawKey {
    RawKey { guid, volatile_key: false, symlink: false, sd: vec![0; 20], last_write_time: 0 }
}

fn empty_hive() -> RawHive {
    RawHive { name: "Machine".into(), root: ROOT, keys: vec![key(ROOT)], ..RawHive::default() }
}

fn value(holding: &Holding, value_type: u32) -> RawValue {
    let data = if value_type == TOMBSTONE { vec![] } else { vec![holding.layer as u8] };
    let layer = NAMES[holding.layer].to_uppercase();
    RawValue { key: ROOT, name: "v".into(), layer, value_type, data, sequence: holding.sequence }
}

fn hive_with_values(world: &[Holding]) -> RawHive {
    let mut hive = empty_hive();
    for holding in world {
        match holding.claim {
            Claim::Nothing => {}
            Claim::Present => hive.values.push(value(holding, 3)),
            Claim::Absent => hive.values.push(value(holding, TOMBSTONE)),
            Claim::Blanket => hive.blankets.push(RawBlanket {
                key: ROOT,
                layer: NAMES[holding.layer].into(),
                sequence: holding.sequence,
            }),
        }
    }
    hive
}

fn hive_with_children(world: &[Holding]) -> RawHive {
    let mut hive = empty_hive();
    for holding in world {
        let target = match holding.claim {
            Claim::Nothing | Claim::Blanket => continue,
            Claim::Present => Some(guid_of(holding.layer)),
            Claim::Absent => None,
        };
        hive.keys.extend(target.map(key));
        hive.path_entries.push(RawPathEntry {
            parent: ROOT,
            child_name: ["c", "C"][holding.layer % 2].into(),
            layer: NAMES[holding.layer].into(),
            target,
            sequence: holding.sequence,
        });
    }
    hive
}

fn table(world: &[Holding]) -> LayerTable {
    let mut table = LayerTable::new(fold);
    for holding in &world[1..] {
        let (precedence, enabled) = (holding.precedence, holding.enabled);
        table.publish(Layer { name: NAMES[holding.layer].into(), precedence, enabled });
    }
    table
}

/// Every world of base and two more layers, each with a claim, at one of two precedences,
/// enabled or not, written in every order. Base is enabled at precedence 0.
fn worlds(claims: &[Claim]) -> Vec<[Holding; 3]> {
    let orders = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
    let mut worlds = Vec::new();
    for claim in (0..claims.len().pow(3)).map(|n| [n, n / claims.len(), n / claims.len().pow(2)]) {
        for setting in 0..16_u32 {
            for order in orders {
                worlds.push([0, 1, 2].map(|layer| Holding {
                    layer,
                    claim: claims[claim[layer] % claims.len()],
                    precedence: if layer == 0 { 0 } else { setting >> (layer - 1) & 1 },
                    enabled: layer == 0 || setting >> (layer + 1) & 1 == 1,
                    sequence: order[layer],
                }));
            }
        }
    }
    worlds
}

fn root_view(hive: &RawHive, table: &LayerTable, private_layers: &[String]) -> KeyView {
    let sound = Validation::of_sound_entries();
    let hives = std::slice::from_ref(hive);
    let mut view =
        effective_view(hives, table, sound, Viewer { private_layers, scopes: &[] }).unwrap().view;
    view.remove(&vec!["Machine".to_owned()]).unwrap().unwrap()
}

#[test]
fn a_value_is_effective_when_nothing_active_beats_it() {
    let worlds = worlds(&[Claim::Nothing, Claim::Present, Claim::Absent, Claim::Blanket]);
    assert_eq!(worlds.len(), 4 * 4 * 4 * 16 * 6);
    for world in worlds {
        let seen = root_view(&hive_with_values(&world), &table(&world), &[]).values;
        let expected: BTreeMap<_, _> = effective(&world)
            .map(|holding| {
                let layer = NAMES[holding.layer].to_owned();
                let data = vec![holding.layer as u8];
                let sequence = holding.sequence;
                ("v".to_owned(), ValueView { value_type: 3, data, layer, sequence })
            })
            .into_iter()
            .collect();
        assert_eq!(seen, expected, "{world:?}");
    }
}

#[test]
fn a_child_is_visible_when_nothing_active_beats_it() {
    for world in worlds(&[Claim::Nothing, Claim::Present, Claim::Absent]) {
        let hive = hive_with_children(&world);
        let view = effective_view(
            &[hive],
            &table(&world),
            Validation::of_sound_entries(),
            Viewer::default(),
        )
        .unwrap();
        let expected = effective(&world).map(|holding| ["c", "C"][holding.layer % 2].to_owned());
        let children: Vec<_> = view.view.keys().filter(|path| path.len() == 2).collect();
        let expected: Vec<_> =
            expected.map(|name| vec!["Machine".to_owned(), name]).into_iter().collect();
        assert_eq!(children, expected.iter().collect::<Vec<_>>(), "{world:?}");
    }
}

#[test]
fn a_private_layer_counts_as_enabled_for_its_thread() {
    for world in worlds(&[Claim::Nothing, Claim::Present, Claim::Absent, Claim::Blanket]) {
        let hive = hive_with_values(&world);
        let private = ["POLICY".to_owned()];
        let mut enabled = world;
        enabled[2].enabled = true;
        let with_private = root_view(&hive, &table(&world), &private);
        assert_eq!(with_private, root_view(&hive, &table(&enabled), &[]), "{world:?}");
    }
}

#[test]
fn an_entry_of_an_unknown_layer_is_latent() {
    let mut hive = empty_hive();
    let holding =
        Holding { layer: 2, claim: Claim::Present, precedence: 0, enabled: true, sequence: 9 };
    hive.values.push(value(&holding, 3));
    assert!(root_view(&hive, &LayerTable::new(fold), &["policy".into()]).values.is_empty());
}

#[test]
fn a_blanket_masks_what_its_own_layer_wrote_before_and_not_what_it_writes_after() {
    let holding =
        Holding { layer: 0, claim: Claim::Present, precedence: 0, enabled: true, sequence: 1 };
    let mut hive = empty_hive();
    hive.values.push(value(&holding, 3));
    hive.blankets.push(RawBlanket { key: ROOT, layer: "base".into(), sequence: 2 });
    hive.values.push(RawValue { name: "w".into(), sequence: 3, ..value(&holding, 3) });
    let names: Vec<_> = root_view(&hive, &LayerTable::new(fold), &[]).values.into_keys().collect();
    assert_eq!(names, ["w"]);
}

#[test]
fn a_tie_for_the_win_is_malformed_and_a_tie_below_is_not() {
    let holding =
        Holding { layer: 0, claim: Claim::Present, precedence: 0, enabled: true, sequence: 5 };
    let mut hive = empty_hive();
    hive.values.push(value(&holding, 3));
    hive.values.push(value(&holding, TOMBSTONE));
    let table = LayerTable::new(fold);
    assert!(root_view(&hive, &table, &[]).unreadable.contains(&Part::Values));
    hive.values.push(value(&Holding { sequence: 6, ..holding }, 3));
    let seen = root_view(&hive, &table, &[]);
    assert_eq!((seen.values.len(), seen.unreadable.len()), (1, 0));
}

#[test]
fn a_circle_of_path_entries_is_malformed() {
    let mut hive = empty_hive();
    let layer = "base".to_owned();
    let entry = RawPathEntry {
        parent: ROOT,
        child_name: "c".into(),
        layer,
        target: Some(ROOT),
        sequence: 1,
    };
    hive.path_entries.push(entry);
    let (table, sound) = (LayerTable::new(fold), Validation::of_sound_entries());
    assert!(effective_view(&[hive], &table, sound, Viewer::default()).is_err());
}

#[test]
fn an_entry_whose_key_has_no_record_is_malformed() {
    let mut hive = hive_with_children(&worlds(&[Claim::Present])[0]);
    hive.keys.truncate(1);
    let whole = [Part::Subkeys, Part::Information];
    assert_eq!(unreadable_parts(hive), (whole.to_vec(), Some(vec![Part::Key])));
}

/// A kernel that has given out the numbers below 10, takes names of up to 8 bytes, and takes for
/// an SD what begins with 0.
const STRICT: Validation = Validation {
    next_sequence: 10,
    is_descriptor: |bytes| bytes[0] == 0,
    has_owner: |_| true,
    name_length_max: 8,
};

/// What is unreadable of the root, and of its child if that is there.
fn unreadable_parts(hive: RawHive) -> (Vec<Part>, Option<Vec<Part>>) {
    let mut view =
        effective_view(&[hive], &LayerTable::new(fold), STRICT, Viewer::default()).unwrap().view;
    let mut parts = |path: &[&str]| {
        let path: Vec<_> = path.iter().map(|name| (*name).to_owned()).collect();
        view.remove(&path).flatten().map(|key| key.unreadable.into_iter().collect())
    };
    (parts(&["Machine"]).unwrap(), parts(&["Machine", "c"]))
}

/// The root of a hive with a value and a child, after one of the two was changed.
fn unreadable_after(change: impl FnOnce(&mut RawHive)) -> (Vec<Part>, Option<Vec<Part>>) {
    let mut hive = hive_with_children(&worlds(&[Claim::Present])[0]);
    hive.path_entries.truncate(1);
    let entry = RawValue {
        key: ROOT,
        name: "v".into(),
        layer: "base".into(),
        value_type: 3,
        data: Vec::new(),
        sequence: 1,
    };
    hive.values.push(entry);
    change(&mut hive);
    unreadable_parts(hive)
}

#[test]
fn sound_entries_are_all_readable() {
    assert_eq!(unreadable_after(|_| ()), (vec![], Some(vec![])));
}

#[test]
fn one_malformed_value_spoils_all_values_and_key_info() {
    let spoiled = (vec![Part::Values, Part::Information], Some(vec![]));
    let changes: [fn(&mut RawValue); 6] = [
        |value| value.sequence = 10,
        |value| value.value_type = 12,
        |value| (value.value_type, value.data) = (TOMBSTONE, vec![0]),
        |value| value.layer = "un\\known".into(),
        |value| value.name = "v\0".into(),
        |value| value.name = "longer than 8".into(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert_eq!(unreadable_after(|hive| change(&mut hive.values[0])), spoiled, "{number}");
    }
    let blanket = RawBlanket { key: ROOT, layer: String::new(), sequence: 1 };
    assert_eq!(unreadable_after(|hive| hive.blankets.push(blanket)), spoiled);
}

#[test]
fn one_malformed_path_entry_spoils_its_name_and_all_subkeys() {
    let whole = vec![Part::Subkeys, Part::Information];
    let spoiled = (whole.clone(), Some(vec![Part::Key]));
    let latent = |hive: &mut RawHive, sequence, layer: &str| {
        let entry = RawPathEntry { sequence, layer: layer.into(), ..hive.path_entries[0].clone() };
        hive.path_entries.push(entry);
    };
    assert_eq!(unreadable_after(|hive| latent(hive, 10, "unknown")), spoiled);
    assert_eq!(unreadable_after(|hive| latent(hive, 9, "a/b")), spoiled);
    assert_eq!(unreadable_after(|hive| latent(hive, 9, "unknown")), (vec![], Some(vec![])));
    assert_eq!(unreadable_after(|hive| hive.keys[1].sd = vec![7]), spoiled);
    let named = |hive: &mut RawHive| hive.path_entries[0].child_name = String::new();
    assert_eq!(unreadable_after(named), (whole, None));
}

#[test]
fn a_child_of_malformed_contents_is_not_enumerated() {
    let below = |hive: &mut RawHive| {
        let key = hive.path_entries[0].target.unwrap();
        hive.values.push(RawValue { key, sequence: 99, ..hive.values[0].clone() });
    };
    let parts = Some(vec![Part::Values, Part::Information]);
    assert_eq!(unreadable_after(below), (vec![Part::SomeSubkeys], parts));
}

#[test]
fn a_root_without_a_sound_descriptor_cannot_be_opened_and_its_children_can() {
    let parts = unreadable_after(|hive| hive.keys[0].sd = vec![7]);
    assert_eq!(parts, (vec![Part::Key], Some(vec![])));
}

/// A metadata key: its name, the layer that holds it, and its values with types and data.
type Metadata<'a> = (&'a str, &'a str, &'a [(&'a str, u32, &'a [u8])]);

/// A hive with the key of the layers and, below it, metadata keys with their values.
fn hive_of_layers(layers: &[Metadata<'_>]) -> RawHive {
    let mut hive = empty_hive();
    let mut sequence = 0;
    let mut parent = ROOT;
    let mut add_key = |hive: &mut RawHive, parent: Guid, name: &str, layer: &str| {
        sequence += 1;
        let guid = [100 + sequence as u8; 16];
        hive.keys.push(key(guid));
        let (child_name, layer) = (name.to_owned(), layer.to_owned());
        hive.path_entries.push(RawPathEntry {
            parent,
            child_name,
            layer,
            target: Some(guid),
            sequence,
        });
        guid
    };
    for name in ["SYSTEM", "Registry", "Layers"] {
        parent = add_key(&mut hive, parent, name, "base");
    }
    for (name, in_layer, values) in layers {
        let guid = add_key(&mut hive, parent, name, in_layer);
        for (name, value_type, data) in *values {
            hive.values.push(RawValue {
                key: guid,
                name: (*name).into(),
                layer: (*in_layer).into(),
                value_type: *value_type,
                data: data.to_vec(),
                sequence: 1,
            });
        }
    }
    hive
}

fn published(hive: RawHive) -> Vec<(String, u32, bool)> {
    let table = layer_table_from(&[hive], fold).unwrap();
    table.iter().map(|layer| (layer.name.clone(), layer.precedence, layer.enabled)).collect()
}

#[test]
fn a_boot_reads_metadata_with_defaults_and_leaves_base_alone() {
    let hive = hive_of_layers(&[
        ("Base", "base", &[("Precedence", 4, &[9, 0, 0, 0])]),
        ("GPO", "base", &[("PRECEDENCE", 4, &[7, 0, 0, 0]), ("enabled", 4, &[0, 0, 0, 0])]),
        ("role", "base", &[]),
    ]);
    let expected = [("base".into(), 0, true), ("GPO".into(), 7, false), ("role".into(), 0, true)];
    assert_eq!(published(hive), expected);
}

#[test]
fn a_boot_does_not_publish_layers_of_bad_metadata() {
    let hive = hive_of_layers(&[
        ("a", "base", &[("Precedence", 4, &[1, 0, 0])]),
        ("b", "base", &[("Precedence", 3, &[1, 0, 0, 0])]),
        ("c", "base", &[("Enabled", 4, &[2, 0, 0, 0])]),
        ("d", "base", &[("Owner", 3, &[1, 1, 0, 0, 0, 0, 0, 5])]),
        ("e", "base", &[("Owner", 3, &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0])]),
    ]);
    assert_eq!(published(hive), [("base".into(), 0, true), ("e".into(), 0, true)]);
}

#[test]
fn a_boot_goes_on_to_layers_that_other_layers_bring_to_light() {
    let hive = hive_of_layers(&[
        ("inner", "outer", &[("Precedence", 4, &[3, 0, 0, 0])]),
        ("latent", "unknown", &[]),
        ("outer", "base", &[]),
    ]);
    let expected = [("base".into(), 0, true), ("inner".into(), 3, true), ("outer".into(), 0, true)];
    assert_eq!(published(hive), expected);
}

#[test]
fn the_maximum_sequence_is_taken_over_every_kind_of_entry() {
    let mut hive = empty_hive();
    assert_eq!(hive.max_sequence(), 0);
    hive.blankets.push(RawBlanket { key: ROOT, layer: "base".into(), sequence: 8 });
    assert_eq!(hive.max_sequence(), 8);
}
