//! Self-configuration: which values of `Machine\System\Registry` come into force, and when.

use std::collections::BTreeSet;

use registry_model::audit::{AuditPattern, FieldPattern};
use registry_model::input::{Contents, DeviceCall, Input, Registration, SourceId};
use registry_model::limits::Limits;
use registry_model::parameters::PARAMETERS;
use registry_model::security::rights;
use registry_model::store_entry::{
    StoreEntry, StoredKey, StoredRecord, StoredSequence, StoredTarget,
};
use registry_model::{Call, Environment, Observation, State, Step};

use crate::callers::{alice, register_private, speaking};
use crate::stalls::SECOND;
use crate::world::{OTHER_SOURCE, SOURCE, World, open, query, root_of, write};

const KEY: &str = "Machine\\System\\Registry";
const SIZE: &str = "MaxValueSize";

/// The events of parameters that must come, as words.
fn reported(step: &Step) -> Vec<String> {
    let is_required =
        |event: &&AuditPattern| !event.optional && event.event == "LCS_SELF_CONFIG_INVALID";
    step.audit.iter().filter(is_required).map(words).collect()
}

fn words(event: &AuditPattern) -> String {
    let word = |(_, value): &(&str, FieldPattern)| match value {
        FieldPattern::Unsigned(number) => number.to_string(),
        FieldPattern::Text(text) => text.clone(),
        FieldPattern::Nil => "-".to_owned(),
        other => panic!("{other:?}"),
    };
    event.fields[1..].iter().map(word).collect::<Vec<_>>().join(" ")
}

fn size(state: &State) -> u32 {
    state.limits().max_value_size
}

fn fd(world: &mut World, path: &str) -> i32 {
    match world.call(open(path)).0 {
        Observation::Opened { fd, .. } => fd,
        other => panic!("{other}"),
    }
}

/// Writes a value of the configuration key in a layer and says what must be reported.
fn put(world: &mut World, name: &str, value: (u32, &[u8]), layer: &str) -> Vec<String> {
    let key = fd(world, KEY);
    let (answer, step) = world.call(write(key, name, value.0, value.1, layer.as_bytes()));
    assert_eq!(answer, Observation::Done);
    world.call(Call::Close { fd: key });
    reported(&step)
}

fn number(world: &mut World, name: &str, number: u32, layer: &str) -> Vec<String> {
    put(world, name, (4, &number.to_le_bytes()), layer)
}

/// The last of the lines as a call.
fn step_of(world: &mut World, call: Call) -> Step {
    let (answer, step) = world.call(call);
    assert!(!matches!(answer, Observation::Failed(_)), "{answer}");
    step
}

fn create(path: &str, layer: &str) -> Call {
    Call::CreateKey {
        parent: -1,
        path: path.as_bytes().to_vec(),
        desired_access: rights::KEY_ALL_ACCESS,
        flags: 0,
        layer: Some(layer.as_bytes().to_vec()),
        transaction: -1,
    }
}

fn store(world: &mut World, path: &str, record: StoredRecord) {
    let path = path.split('\\').map(str::to_owned).collect();
    let entry = StoreEntry { key: StoredKey { path, through: None }, record };
    world.environment(Environment::StoreEntry(entry));
}

fn stored(name: &str, number: u32, sequence: u64) -> StoredRecord {
    StoredRecord::Value {
        name: name.to_owned(),
        layer: "base".to_owned(),
        value_type: 4,
        data: number.to_le_bytes().to_vec(),
        sequence: StoredSequence::Number(sequence),
    }
}

/// What a process that has the hive Machine is answered, in every way in which it may go.
fn registrations(world: &World, source: SourceId, contents: Contents) -> Vec<Step> {
    let token = world.caller.token.clone();
    let device = |state: &State, call| {
        state.step(&Input::Device { source, token: token.clone(), call, at: 9_000 })
    };
    let opened = device(&world.state, DeviceCall::Open).swap_remove(0);
    let hives = ["Machine", "Users"];
    let max_sequence = match contents {
        Contents::Kept => world.state.stored_maximum(source, hives),
        Contents::Empty => 0,
    };
    let hives = hives.map(|hive| (hive, root_of(hive)));
    let registration = Some(Registration::of_global_hives(hives, max_sequence));
    let steps = device(opened.next(), DeviceCall::Register { registration, contents });
    assert_eq!(steps[0].outcome.example(0), Some(Observation::Done));
    steps
}

fn resumption(world: &mut World) -> Step {
    world.environment(Environment::SourceDown { source: SOURCE });
    registrations(world, SOURCE, Contents::Kept).swap_remove(0)
}

#[test]
fn an_empty_registry_has_what_is_compiled_in_and_nothing_is_reported() {
    let mut world = World::booted();
    world.state = State::new();
    let step = registrations(&world, SOURCE, Contents::Empty).swap_remove(0);
    assert_eq!((step.next().limits(), step.audit.len()), (&Limits::default(), 0));
}

#[test]
fn every_parameter_that_is_missing_is_reported_when_the_key_appears() {
    let mut world = World::booted();
    world.transcript("create Machine\\System");
    let step = step_of(&mut world, create(KEY, "base"));
    let missing = |parameter: &registry_model::parameters::Parameter| {
        let (minimum, maximum) = (parameter.minimum, parameter.maximum);
        let (name, default) = (parameter.name, parameter.default());
        format!("{name} 4 {minimum} {maximum} missing - - {default}")
    };
    assert_eq!(reported(&step), PARAMETERS.each_ref().map(missing));
    let path = FieldPattern::Text(KEY.to_owned());
    assert!(step.audit.iter().all(|e| e.fields[0] == ("configuration_parent_path", path.clone())));
    assert_eq!(world.state.limits(), &Limits::default());
}

#[test]
fn both_ends_of_a_range_are_taken_and_what_is_beyond_is_refused() {
    for parameter in &PARAMETERS {
        let name = parameter.name.to_uppercase();
        let mut world = World::with_layers();
        let (minimum, maximum) = (parameter.minimum, parameter.maximum);
        for good in [minimum, maximum] {
            assert_eq!(number(&mut world, &name, good, ""), [] as [&str; 0]);
            assert_eq!(parameter.of(world.state.limits()), good, "{name}");
        }
        for bad in minimum.checked_sub(1).into_iter().chain([maximum + 1, u32::MAX]) {
            let expected = format!(
                "{} 4 {minimum} {maximum} dword_out_of_range - {bad} {maximum}",
                parameter.name
            );
            assert_eq!(number(&mut world, &name, bad, ""), [expected]);
            assert_eq!(parameter.of(world.state.limits()), maximum, "{name}");
        }
        assert_eq!(number(&mut world, &name, minimum, ""), [] as [&str; 0]);
        assert_eq!(parameter.of(world.state.limits()), minimum, "{name}");
    }
}

#[test]
fn another_type_or_length_is_refused_and_reads_back() {
    let mut world = World::with_layers();
    number(&mut world, SIZE, 5_000, "");
    let wrong = |value_type: u32| format!("{SIZE} 4 4096 67108864 wrong_type {value_type} - 5000");
    let small = 6_000u32.to_le_bytes();
    for (value_type, data) in [(1, &b"6000"[..]), (3, &small), (5, &small), (4, &small[..3])] {
        assert_eq!(put(&mut world, SIZE, (value_type, data), ""), [wrong(value_type)]);
        assert_eq!(size(&world.state), 5_000);
    }
    let key = fd(&mut world, KEY);
    let (answer, step) = world.call(query(key, SIZE));
    assert!(matches!(&answer, Observation::Value { data, .. } if data[..] == small[..3]));
    assert!(step.covered.contains("CONF-33"));
}

#[test]
fn what_goes_away_is_reported_and_the_number_stays() {
    for line in ["unset", "tombstone", "blanket"] {
        let mut world = World::with_layers();
        number(&mut world, SIZE, 5_000, "");
        let key = fd(&mut world, KEY);
        let call = match line {
            "unset" => Call::DeleteValue {
                fd: key,
                name: SIZE.as_bytes().to_vec(),
                layer: Vec::new(),
                transaction: -1,
            },
            "tombstone" => write(key, SIZE, 0xFFFF, b"", b""),
            _ => Call::BlanketTombstone { fd: key, layer: Vec::new(), set: 1, transaction: -1 },
        };
        let expected = format!("{SIZE} 4 4096 67108864 missing - - 5000");
        assert_eq!(reported(&step_of(&mut world, call)), [expected], "{line}");
        assert_eq!(size(&world.state), 5_000);
    }
}

#[test]
fn a_change_of_nothing_effective_reports_nothing_that_must_come() {
    let mut world = World::with_layers();
    number(&mut world, SIZE, 1, "");
    assert_eq!(number(&mut world, SIZE, 1, ""), [] as [&str; 0]);
    assert_eq!(number(&mut world, "MaxValueSizes", 1, ""), [] as [&str; 0]);
    assert_eq!(world.state.limits(), &Limits::default());
}

#[test]
fn the_other_refused_ones_may_be_reported_again_with_a_value_of_their_key_alone() {
    let mut world = World::with_layers();
    let key = fd(&mut world, KEY);
    let step = step_of(&mut world, write(key, "other", 4, &[0; 4], b""));
    assert_eq!(step.audit.len(), 19);
    assert!(step.audit.iter().all(|event| event.optional && !event.repeats));
    assert_eq!(step_of(&mut world, create(&format!("{KEY}\\k"), "base")).audit.len(), 0);
    let layer = create(&format!("{KEY}\\Layers\\role"), "base");
    assert_eq!(step_of(&mut world, layer).audit.len(), 0);
}

#[test]
fn a_layer_operation_changes_what_is_in_force() {
    let mut world = World::with_layers();
    world.transcript(&format!(
        "layer gpo 0\nlayer local 0\ndword {KEY} {SIZE} 5000\ndword {KEY} {SIZE} 6000 in gpo"
    ));
    assert_eq!(size(&world.state), 6_000);
    world.transcript(&format!("dword {KEY} {SIZE} 7000 in local"));
    assert_eq!(size(&world.state), 7_000);
    let gpo = format!("{KEY}\\Layers\\gpo");
    world.transcript(&format!("dword {gpo} Precedence 1"));
    assert_eq!(size(&world.state), 6_000);
    world.transcript(&format!("dword {gpo} Enabled 0"));
    assert_eq!(size(&world.state), 7_000);
    world.transcript(&format!("dword {gpo} Enabled 1\ndelete {gpo}"));
    assert_eq!(size(&world.state), 7_000);
    world.transcript(&format!("delete {KEY}\\Layers\\local"));
    assert_eq!(size(&world.state), 5_000);
}

#[test]
fn a_layer_operation_that_lets_a_bad_number_win_is_reported() {
    let mut world = World::with_layers();
    world.transcript(&format!("layer gpo 0\ndword {KEY} {SIZE} 1 in gpo\ndword {KEY} {SIZE} 5000"));
    assert_eq!(size(&world.state), 5_000);
    let gpo = fd(&mut world, &format!("{KEY}\\Layers\\gpo"));
    let step = step_of(&mut world, write(gpo, "Precedence", 4, &1u32.to_le_bytes(), b""));
    let expected = format!("{SIZE} 4 4096 67108864 dword_out_of_range - 1 5000");
    assert_eq!(reported(&step), [expected]);
    assert_eq!(size(&world.state), 5_000);
}

#[test]
fn a_key_that_cannot_be_reached_changes_nothing_until_it_is_back() {
    let mut world = World::with_layers();
    world.transcript(&format!("layer gpo 1\ndword {KEY} {SIZE} 5000\nopen key {KEY}"));
    let system = fd(&mut world, "Machine\\System");
    let hide = Call::HideKey { fd: system, layer: b"gpo".to_vec(), transaction: -1 };
    assert_eq!(reported(&step_of(&mut world, hide)), [] as [&str; 0]);
    world.transcript(&format!("dword $key {SIZE} 6000"));
    assert_eq!(size(&world.state), 5_000);
    world.transcript("create Machine\\System in gpo");
    assert_eq!(size(&world.state), 5_000);
    let masking = fd(&mut world, "Machine\\System");
    let show = Call::DeleteKey { fd: masking, layer: b"gpo".to_vec(), transaction: -1 };
    let step = step_of(&mut world, show);
    assert_eq!(size(&world.state), 6_000);
    assert_eq!(reported(&step).len(), 18);
}

#[test]
fn another_key_at_the_path_is_read_from_scratch() {
    let mut world = World::with_layers();
    world.transcript(&format!("layer gpo 1\ndword {KEY} {SIZE} 5000\nopen key {KEY}"));
    let hide = Call::HideKey { fd: world.handle("key"), layer: b"gpo".to_vec(), transaction: -1 };
    step_of(&mut world, hide);
    let step = step_of(&mut world, create(KEY, "gpo"));
    assert_eq!(reported(&step).len(), 19);
    assert_eq!(size(&world.state), 5_000);
    world.transcript(&format!("dword $key {SIZE} 6000"));
    assert_eq!(size(&world.state), 5_000);
    number(&mut world, SIZE, 7_000, "");
    assert_eq!(size(&world.state), 7_000);
    // And so is the first one, when the other is gone.
    let other = fd(&mut world, KEY);
    let step =
        step_of(&mut world, Call::DeleteKey { fd: other, layer: b"gpo".to_vec(), transaction: -1 });
    assert_eq!((size(&world.state), reported(&step).len()), (6_000, 18));
}

#[test]
fn a_key_of_that_name_elsewhere_is_no_configuration() {
    let mut world = World::with_layers();
    register_private(&mut world, OTHER_SOURCE, "MACHINE", crate::callers::SCOPE);
    let scoped = crate::callers::in_scopes(&world.caller.token, &[crate::callers::SCOPE]);
    speaking(&mut world, &scoped, |world| {
        world.transcript(&format!("create Machine\\System\ncreate {KEY}"));
        assert_eq!(number(world, SIZE, 5_000, ""), [] as [&str; 0]);
    });
    world.transcript("create Users\\System\ncreate Users\\System\\Registry");
    world.transcript(&format!("dword Users\\System\\Registry {SIZE} 5000"));
    assert_eq!(size(&world.state), Limits::default().max_value_size);
}

#[test]
fn a_private_layer_configures_nothing() {
    let mut world = World::with_layers();
    world.transcript(&format!(
        "layer mine 1\ndword {KEY}\\Layers\\mine Enabled 0\nprivate mine\n\
         dword {KEY} {SIZE} 5000 in mine"
    ));
    assert_eq!(size(&world.state), Limits::default().max_value_size);
}

#[test]
fn a_boot_starts_from_what_is_compiled_in_and_reads_what_is_stored() {
    let mut world = World::with_layers();
    world.transcript(&format!("dword {KEY} {SIZE} 5000\ndword {KEY} MaxKeyDepth 40"));
    world.transcript(&format!("dword {KEY} MaxKeyDepth 5"));
    world.environment(Environment::Reboot);
    assert_eq!(world.state.limits(), &Limits::default());
    let step = registrations(&world, SOURCE, Contents::Kept).swap_remove(0);
    assert_eq!(size(step.next()), 5_000);
    assert_eq!(step.next().limits().max_key_depth, 512);
    let reported = reported(&step);
    assert_eq!(reported.len(), 18);
    assert!(reported.contains(&"MaxKeyDepth 4 32 4096 dword_out_of_range - 5 512".to_owned()));
}

#[test]
fn a_boot_reads_before_the_layers_and_after_them() {
    let mut world = World::with_layers();
    world.transcript(&format!(
        "layer gpo 1\ndword {KEY} {SIZE} 5000\ndword {KEY} {SIZE} 1 in gpo\n\
         dword {KEY} MaxKeyDepth 1\ndword {KEY} MaxKeyDepth 40 in gpo"
    ));
    world.environment(Environment::Reboot);
    let step = registrations(&world, SOURCE, Contents::Kept).swap_remove(0);
    assert_eq!(step.next().limits().max_key_depth, 40);
    // The first reading had found it good.
    assert_eq!(size(step.next()), 5_000);
    let reported = reported(&step);
    assert!(reported.iter().all(|words| !words.starts_with("MaxKeyDepth")));
    assert!(reported.contains(&format!("{SIZE} 4 4096 67108864 dword_out_of_range - 1 5000")));
}

#[test]
fn the_limit_of_layers_at_boot_is_the_one_that_is_stored() {
    let mut world = World::with_layers();
    for layer in 0..30 {
        world.transcript(&format!("layer l{layer} 0"));
    }
    world.transcript(&format!("dword {KEY} MaxTotalLayers 20"));
    assert_eq!(world.state.layers().len(), 31);
    world.transcript("reboot");
    assert_eq!(world.state.layers().len(), 20);
    // A higher one publishes nothing by itself.
    world.transcript(&format!("dword {KEY} MaxTotalLayers 50"));
    assert_eq!(world.state.layers().len(), 20);
    world.transcript("reboot");
    assert_eq!(world.state.layers().len(), 31);
}

#[test]
fn a_resumption_keeps_what_is_in_force_where_the_source_says_nothing_better() {
    let mut world = World::with_layers();
    world.transcript(&format!("dword {KEY} {SIZE} 5000\ndword {KEY} {SIZE} 1"));
    let step = resumption(&mut world);
    assert_eq!(size(step.next()), 5_000);
    assert_eq!(reported(&step).len(), 19);
    // Another process, with nothing at all.
    let step = registrations(&world, OTHER_SOURCE, Contents::Empty).swap_remove(0);
    assert_eq!((size(step.next()), reported(&step).len()), (5_000, 0));
}

#[test]
fn a_source_that_dies_may_leave_any_part_of_a_reading_undone() {
    let mut world = World::with_layers();
    world.transcript(&format!(
        "layer gpo 1\ndword {KEY} {SIZE} 5000 in gpo\ndword {KEY} MaxKeyDepth 40 in gpo\n\
         dword {KEY} {SIZE} 6000\ndword {KEY} MaxKeyDepth 50"
    ));
    let gpo = fd(&mut world, &format!("{KEY}\\Layers\\gpo"));
    let call = write(gpo, "Enabled", 4, &[0; 4], b"");
    let mut endings: Vec<(String, u32, u32)> = Vec::new();
    for step in world.steps(&call, true) {
        let answer = step.outcome.example(9).unwrap();
        let next = step.accept(&answer).unwrap();
        endings.push((answer.to_string(), size(&next), next.limits().max_key_depth));
    }
    assert_eq!(endings[0], ("ok".to_owned(), 6_000, 50));
    for (bytes, levels) in [(5_000, 40), (6_000, 40), (6_000, 50)] {
        for answer in ["ok", "EIO"] {
            let ending = (answer.to_owned(), bytes, levels);
            assert!(endings.contains(&ending), "{ending:?} in {endings:?}");
        }
    }
    assert!(endings.iter().all(|(_, bytes, levels)| (*bytes, *levels) != (5_000, 50)));
}

#[test]
fn nothing_fails_a_call_that_changes_a_parameter() {
    let mut world = World::with_layers();
    let key = fd(&mut world, KEY);
    let steps = world.steps(&write(key, SIZE, 4, &5_000u32.to_le_bytes(), b""), true);
    let endings: Vec<(String, u32)> = steps
        .iter()
        .map(|step| (step.outcome.example(9).unwrap().to_string(), size(step.next())))
        .collect();
    let default = Limits::default().max_value_size;
    assert_eq!(endings.iter().filter(|(answer, _)| answer == "ok").count(), 2);
    assert!(endings.iter().all(|(answer, bytes)| answer == "ok" || *bytes == default));
}

#[test]
fn a_call_whose_layers_fail_is_followed_all_the_same() {
    let mut world = World::with_layers();
    let gpo = format!("{KEY}\\Layers\\gpo");
    world.transcript(&format!(
        "layer gpo 1\nlayer top 2\nset {gpo} Precedence high in top\n\
         dword {KEY} {SIZE} 5000\ndword {KEY} {SIZE} 6000 in top"
    ));
    assert_eq!(size(&world.state), 6_000);
    // The metadata of gpo is bad by then, so that its refresh fails whatever it is that changes.
    let answer = world.transcript(&format!("dword {gpo} Enabled 1"));
    assert!(answer.contains("EIO"), "{answer}");
    let top = format!("{KEY}\\Layers\\top");
    world.transcript(&format!("set {gpo} Precedence text\ndword {top} Enabled 0"));
    assert_eq!(size(&world.state), 5_000);
}

#[test]
fn who_may_not_write_the_key_changes_nothing() {
    let mut world = World::with_layers();
    let write = Call::OpenKey {
        parent: -1,
        path: KEY.as_bytes().to_vec(),
        desired_access: rights::KEY_SET_VALUE,
        flags: 0,
    };
    let (answer, step) = speaking(&mut world, &alice(), |world| world.call(write));
    assert_eq!(answer.to_string(), "EACCES");
    assert!(step.covered.contains("CONF-36"));
}

#[test]
fn a_number_put_into_the_store_is_noticed_with_another_or_not() {
    let mut world = World::with_layers();
    store(&mut world, KEY, stored(SIZE, 5_000, 1));
    let key = fd(&mut world, KEY);
    let steps = world.steps(&write(key, "MaxKeyDepth", 4, &40u32.to_le_bytes(), b""), false);
    let default = Limits::default().max_value_size;
    let mut sizes: Vec<u32> = steps.iter().map(|step| size(step.next())).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [5_000, default]);
    assert!(steps.iter().all(|step| step.next().limits().max_key_depth == 40));
    assert_eq!(size(resumption(&mut world).next()), 5_000);
}

#[test]
fn what_the_next_number_makes_readable_is_noticed_or_not() {
    let mut world = World::with_layers();
    let next = world.state.next_sequence();
    store(&mut world, KEY, stored(SIZE, 5_000, next));
    let key = fd(&mut world, KEY);
    let steps = world.steps(&write(key, "MaxKeyDepth", 4, &40u32.to_le_bytes(), b""), false);
    let sizes: BTreeSet<u32> = steps.iter().map(|step| size(step.next())).collect();
    assert_eq!(sizes, BTreeSet::from([5_000, Limits::default().max_value_size]));
}

#[test]
fn malformed_data_spoils_its_parameter_or_all_of_them() {
    let mut world = World::with_layers();
    let StoredRecord::Value { name, layer, data, sequence, .. } = stored(SIZE, 5_000, 1) else {
        unreachable!("a value is a value")
    };
    store(&mut world, KEY, StoredRecord::Value { name, layer, value_type: 77, data, sequence });
    let key = fd(&mut world, KEY);
    let call = write(key, "MaxKeyDepth", 4, &40u32.to_le_bytes(), b"");
    let mut depths: Vec<u32> = world
        .steps(&call, false)
        .iter()
        .map(|step| {
            assert_eq!(step.outcome.example(9).unwrap(), Observation::Done);
            assert_eq!(size(step.next()), Limits::default().max_value_size);
            step.next().limits().max_key_depth
        })
        .collect();
    depths.sort_unstable();
    assert_eq!(depths, [40, 512]);
    // A boot reads in the same two manners.
    let (_, step) = world.call(call);
    assert_eq!(reported(&step), [] as [&str; 0]);
    world.environment(Environment::Reboot);
    let steps = registrations(&world, SOURCE, Contents::Kept);
    let depths: Vec<u32> = steps.iter().map(|step| step.next().limits().max_key_depth).collect();
    assert_eq!(depths, [40, 512]);
    assert_eq!(reported(&steps[0]).len(), 17);
    assert_eq!(reported(&steps[1]).len(), 0);
}

#[test]
fn a_path_that_cannot_be_read_leaves_what_is_in_force() {
    let mut world = World::with_layers();
    world.transcript(&format!("dword {KEY} {SIZE} 5000"));
    let record = StoredRecord::Child {
        name: "Registry".to_owned(),
        layer: "bad\\name".to_owned(),
        target: StoredTarget::Hidden,
        sequence: StoredSequence::Number(0),
    };
    store(&mut world, "Machine\\System", record);
    let step = resumption(&mut world);
    assert_eq!((size(step.next()), reported(&step).len()), (5_000, 0));
}

#[test]
fn what_could_not_be_reached_is_read_at_the_next_change_of_the_hive() {
    let mut world = World::with_layers();
    world.transcript(&format!("dword {KEY} {SIZE} 5000\ncreate k Machine\\k"));
    let number = world.state.next_sequence() + 1;
    let record = StoredRecord::Child {
        name: "Registry".to_owned(),
        layer: "ghost".to_owned(),
        target: StoredTarget::Hidden,
        sequence: StoredSequence::Number(number),
    };
    store(&mut world, "Machine\\System", record);
    world.environment(Environment::Reboot);
    world.device(SOURCE, DeviceCall::Open);
    let hives = ["Machine", "Users"].map(|hive| (hive, root_of(hive)));
    let registration = Some(Registration::of_global_hives(hives, number - 2));
    let contents = Contents::Kept;
    world.device(SOURCE, DeviceCall::Register { registration, contents });
    let key = fd(&mut world, "Machine\\k");
    let set = write(key, "x", 4, &[0; 4], b"");
    let first = step_of(&mut world, set.clone());
    let second = step_of(&mut world, set);
    let default = Limits::default().max_value_size;
    assert_eq!((size(first.next()), reported(&first).len()), (default, 0));
    assert_eq!((size(second.next()), reported(&second).len()), (5_000, 18));
}

#[test]
fn a_commit_that_touches_the_path_and_the_key_may_report_again() {
    let mut world = World::with_layers();
    world.transcript(
        "layer role 1
         open l Machine\\System\\Registry\\Layers\\role
         dword $l Enabled 0
         open r Machine\\System\\Registry
         begin t
         hide $r in role with t
         dword $r other 1 with t",
    );
    let fd = world.handle("t");
    let step = step_of(&mut world, Call::Commit { fd });
    assert_eq!(reported(&step), [] as [&str; 0]);
    assert_eq!(step.audit.len(), 19);
}

#[test]
fn of_a_reading_that_is_not_answered_any_first_part_is_taken() {
    let mut world = World::with_layers();
    world.transcript(&format!(
        "layer role 0\ndword {KEY} MaxValueSize 5000\ndword {KEY} MaxKeyDepth 40\n\
         dword {KEY} MaxValueSize 6000 in role\ndword {KEY} MaxKeyDepth 50 in role"
    ));
    let role = fd(&mut world, &format!("{KEY}\\Layers\\role"));
    let set = write(role, "Enabled", 4, &0_u32.to_le_bytes(), b"");
    world.environment(Environment::SourceStalls { source: SOURCE });
    let in_force = |state: &State| {
        let limits = state.limits();
        (limits.max_value_size, limits.max_key_depth)
    };
    let accepting = |step: &Step| step.accept(&Observation::Done).ok();
    let left: BTreeSet<(u32, u32)> = world
        .steps_within(&set, 30 * SECOND, false)
        .iter()
        .filter_map(accepting)
        .map(|state| in_force(&state))
        .collect();
    assert_eq!(left, BTreeSet::from([(5_000, 40), (5_000, 50), (6_000, 50)]));
}
