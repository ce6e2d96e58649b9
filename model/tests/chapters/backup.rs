//! Backup: what is refused, what is audited, and which streams conform.

use expect_test::expect;
use registry_model::audit::FieldPattern;
use registry_model::backup::stream::{HIDDEN, Record};
use registry_model::errno::Errno;
use registry_model::input::StreamAccess;
use registry_model::security::Privilege;
use registry_model::store_entry::{StoreEntry, StoredKey, StoredRecord, StoredSequence};
use registry_model::{Call, Environment, Observation, Step};

use crate::callers::{alice, speaking, with_privilege};
use crate::stream_records::{changed, records, stream, words};
use crate::world::{SOURCE, World, errno, open};

/// A world with a subtree at Machine\k of which several layers have a part.
fn layered() -> World {
    let mut world = World::with_layers();
    world.transcript(
        "layer Over 5
         layer Under 0
         create Machine\\k
         set Machine\\k v one
         set Machine\\k v two in Over
         create Machine\\k\\a
         create Machine\\k\\b in Under
         hide Machine\\k\\a in Over
         tombstone Machine\\k v in Under
         blanket Machine\\k on in Over
         volatile Machine\\k\\w
         set Machine\\k\\b x y in Under",
    );
    world
}

#[test]
fn a_backup_holds_all_layers_of_a_subtree() {
    let mut world = layered();
    assert_eq!(world.transcript("backup Machine\\k s"), "backup Machine\\k s\n  -> ok\n");
    expect![[r#"
        HEADER A of Machine
        LAYER base 0 enabled=1 1100000512000
        LAYER Over 5 enabled=1 1100000512000
        LAYER Under 0 enabled=1 1100000512000
        KEY A flags=0
          A\a -> - in Over @13
          A: v=1:one in base @9
          A: v=1:two in Over @10
          A: v=ffff: in Under @14
          A: blanket in Over @15
        KEY B flags=1
          A\w -> B in base @16
        KEY C flags=0
          A\b -> C in Under @12
          C: x=1:y in Under @17
        KEY D flags=0
          A\a -> D in base @11
        TRAILER
    "#]]
    .assert_eq(&words(&world.streams["s"]));
}

/// The steps of a backup to a stream, and the fd of that.
fn backing_up(world: &mut World, path: &str) -> (Step, i32, i32) {
    let output = world.stream(StreamAccess::Write, &[]);
    let Observation::Opened { fd, .. } = world.call(open(path)).0 else { panic!("not opened") };
    let step = world.call(Call::Backup { fd, output }).1;
    (step, fd, output)
}

fn take(world: &World, output: i32) -> Step {
    world.steps(&Call::TakeStream { fd: output }, false).swap_remove(0)
}

#[test]
fn it_is_told_when_a_backup_starts_and_ends() {
    let mut world = layered();
    let (step, _, output) = backing_up(&mut world, "Machine\\k");
    let events: Vec<&str> = step.audit.iter().map(|event| event.event).collect();
    assert_eq!(events, ["LCS_BACKUP_START", "LCS_BACKUP_COMPLETE"]);
    let fields: Vec<&str> = step.audit[0].fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(fields, ["caller", "key_guid", "fd"]);
    assert_eq!(step.audit[0].fields[2].1, FieldPattern::Unsigned(output as u64));
    assert_eq!(step.audit[1].fields[2], ("result_errno", FieldPattern::Unsigned(0)));
}

#[test]
fn refusals_come_in_their_order() {
    let mut world = layered();
    world.transcript("open k Machine\\k\ncreate o Machine\\o\ndelete $o");
    let (key, orphan) = (world.handle("k"), world.handle("o"));
    let (input, output) =
        (world.stream(StreamAccess::Read, &[]), world.stream(StreamAccess::ReadWrite, &[]));
    let answer = |world: &World, fd, output| {
        let step = world.steps(&Call::Backup { fd, output }, false).swap_remove(0);
        (errno(&step.outcome.example(0).unwrap()), step.audit.len())
    };
    assert_eq!(answer(&world, 999, output), (Some(Errno::EBADF), 0));
    assert_eq!(answer(&world, output, output), (Some(Errno::ENOTTY), 0));
    for wrong in [999, -1, key, input] {
        assert_eq!(answer(&world, key, wrong), (Some(Errno::EBADF), 0));
    }
    assert_eq!(answer(&world, orphan, input), (Some(Errno::EBADF), 0));
    assert_eq!(answer(&world, orphan, output), (Some(Errno::ENOENT), 0));
    assert_eq!(answer(&world, key, output), (None, 2));
    speaking(&mut world, &alice(), |world| {
        assert_eq!(answer(world, orphan, input), (Some(Errno::EPERM), 0));
    });
    world.transcript("down");
    assert_eq!(answer(&world, orphan, output), (Some(Errno::ENOENT), 0));
    assert_eq!(answer(&world, key, output), (Some(Errno::EIO), 0));
}

#[test]
fn a_key_that_is_gone_is_missed_after_the_start() {
    let mut world = layered();
    world.transcript("open w Machine\\k\\w\ndown\nresume");
    let (fd, output) = (world.handle("w"), world.stream(StreamAccess::Write, &[]));
    let (answer, step) = world.call(Call::Backup { fd, output });
    assert_eq!(errno(&answer), Some(Errno::ENOENT));
    assert_eq!(step.audit[1].fields[2].1, FieldPattern::Unsigned(2));
    assert_eq!(world.call(Call::TakeStream { fd: output }).0, Observation::Stream(Vec::new()));
}

#[test]
fn siblings_and_records_of_a_kind_come_in_any_order() {
    let mut world = layered();
    let (_, _, output) = backing_up(&mut world, "Machine\\k");
    let step = take(&world, output);
    let Some(Observation::Stream(bytes)) = step.outcome.example(0) else { panic!() };
    let all = records(&bytes);
    let starts: Vec<usize> =
        (0..all.len()).filter(|at| matches!(all[*at], Record::Key(_))).collect();
    let (first, second, end) = (starts[1], starts[2], starts[3]);
    let mut swapped = all[..first].to_vec();
    swapped.extend_from_slice(&all[second..end]);
    swapped.extend_from_slice(&all[first..second]);
    swapped.extend_from_slice(&all[end..]);
    assert!(step.accept(&Observation::Stream(stream(&swapped))).is_ok());
    let mut layers = all.clone();
    layers.swap(1, 2);
    assert!(step.accept(&Observation::Stream(stream(&layers))).is_ok());
    let mut late = all.clone();
    late.swap(starts[0] - 1, starts[0]);
    assert!(step.accept(&Observation::Stream(stream(&late))).is_err());
}

#[test]
fn a_stream_that_says_anything_else_does_not_conform() {
    let mut world = layered();
    let (_, _, output) = backing_up(&mut world, "Machine\\k");
    let step = take(&world, output);
    let Some(Observation::Stream(bytes)) = step.outcome.example(0) else { panic!() };
    let conforms = |bytes: Vec<u8>| step.accept(&Observation::Stream(bytes)).is_ok();
    assert!(conforms(bytes.clone()));
    assert!(!conforms(Vec::new()));
    assert!(!conforms(bytes[..bytes.len() - 1].to_vec()));
    assert!(!conforms([&bytes[..], &[0]].concat()));
    let all = records(&bytes);
    for missing in 0..all.len() {
        let mut fewer = all.clone();
        fewer.remove(missing);
        assert!(!conforms(stream(&fewer)), "without {:?}", all[missing]);
    }
    for twice in 0..all.len() - 1 {
        let mut more = all.clone();
        more.insert(twice, all[twice].clone());
        assert!(!conforms(stream(&more)), "twice {:?}", all[twice]);
    }
    for index in 0..all.len() - 1 {
        let mut other = all.clone();
        match &mut other[index] {
            Record::Header(header) => header.timestamp -= 1_000_000,
            Record::Layer(line) => line.precedence += 1,
            Record::Key(key) => key.flags ^= 1,
            Record::PathEntry(line) => line.sequence += 1,
            Record::Value(line) => line.data.push(0),
            Record::Blanket(line) => line.sequence += 1,
            Record::Trailer | Record::Unknown { .. } => {}
        }
        assert!(!conforms(stream(&other)), "other {:?}", all[index]);
    }
}

#[test]
fn a_key_has_one_guid_and_no_two_keys_have_the_same() {
    let mut world = layered();
    let (_, fd, output) = backing_up(&mut world, "Machine\\k");
    let step = take(&world, output);
    let Some(Observation::Stream(bytes)) = step.outcome.example(0) else { panic!() };
    let keys: Vec<[u8; 16]> = records(&bytes)
        .iter()
        .filter_map(|record| match record {
            Record::Key(key) => Some(key.guid),
            _ => None,
        })
        .collect();
    let renamed = |from: [u8; 16], to: [u8; 16]| {
        changed(&bytes, |record| {
            let fields: Vec<&mut [u8; 16]> = match record {
                Record::Header(header) => vec![&mut header.root],
                Record::Key(key) => vec![&mut key.guid],
                Record::PathEntry(line) => vec![&mut line.parent, &mut line.child],
                Record::Value(line) => vec![&mut line.key],
                Record::Blanket(line) => vec![&mut line.key],
                _ => Vec::new(),
            };
            fields.into_iter().filter(|guid| **guid == from).for_each(|guid| *guid = to);
        })
    };
    assert!(step.accept(&Observation::Stream(renamed(keys[2], keys[1]))).is_err());
    assert!(step.accept(&Observation::Stream(renamed(keys[2], HIDDEN))).is_err());
    let other = step.accept(&Observation::Stream(renamed(keys[2], [7; 16]))).unwrap();
    world.state = other;
    world.call(Call::Backup { fd, output });
    let again = take(&world, output);
    assert!(again.accept(&Observation::Stream(bytes.clone())).is_err());
    let conforming = again.outcome.example(0).unwrap();
    assert!(again.accept(&conforming).is_ok());
}

#[test]
fn an_unknown_layer_is_disabled_and_the_root_owner_owns_it() {
    let mut world = layered();
    let entry = StoreEntry {
        key: StoredKey { path: vec!["Machine".to_owned(), "k".to_owned()], through: None },
        record: StoredRecord::Value {
            name: "v".to_owned(),
            layer: "Later".to_owned(),
            value_type: 1,
            data: Vec::new(),
            sequence: StoredSequence::Number(3),
        },
    };
    world.environment(Environment::StoreEntry(entry));
    world.transcript("backup Machine\\k s");
    let text = words(&world.streams["s"]);
    assert!(text.contains("LAYER Later 0 enabled=0 1100000512000\n"), "{text}");
}

#[test]
fn anything_malformed_in_the_subtree_fails_it_and_leaves_a_beginning() {
    let mut world = layered();
    let path = ["Machine", "k", "b"].map(str::to_owned).to_vec();
    let key = StoredKey { path, through: Some("Under".to_owned()) };
    let record = StoredRecord::Descriptor { bytes: vec![1, 2, 3] };
    let (_, _, output) = backing_up(&mut world, "Machine\\k");
    let Some(Observation::Stream(bytes)) = take(&world, output).outcome.example(0) else {
        panic!()
    };
    world.state = take(&world, output).accept(&Observation::Stream(bytes.clone())).unwrap();
    world.environment(Environment::StoreEntry(StoreEntry { key, record }));
    let (step, _, output) = backing_up(&mut world, "Machine\\k");
    assert_eq!(step.outcome.to_string(), "EIO");
    let events: Vec<&str> = step.audit.iter().map(|event| event.event).collect();
    let rejection = "LCS_SOURCE_VALIDATION_FAILURE";
    assert_eq!(events, ["LCS_BACKUP_START", rejection, "LCS_BACKUP_COMPLETE"]);
    assert_eq!(step.audit[2].fields[2].1, FieldPattern::Unsigned(5));
    let taking = take(&world, output);
    assert!(taking.accept(&Observation::Stream(Vec::new())).is_ok());
    assert!(taking.accept(&Observation::Stream(bytes)).is_err());
}

#[test]
fn a_death_of_the_source_leaves_a_beginning() {
    let mut world = layered();
    world.transcript("open k Machine\\k");
    let (fd, output) = (world.handle("k"), world.stream(StreamAccess::Write, &[]));
    let steps = world.steps(&Call::Backup { fd, output }, true);
    let outcomes: Vec<String> = steps.iter().map(|step| step.outcome.to_string()).collect();
    assert_eq!(outcomes, ["ok", "EIO", "EIO"]);
    assert_eq!(steps[1].audit[1].fields[2].1, FieldPattern::Unsigned(5));
    world.state = steps[0].next().clone();
    let Some(Observation::Stream(all)) = take(&world, output).outcome.example(0) else { panic!() };
    world.state = steps[1].next().clone();
    let partial = take(&world, output);
    for end in (0..all.len()).step_by(7) {
        assert!(partial.accept(&Observation::Stream(all[..end].to_vec())).is_ok(), "{end}");
    }
    assert!(partial.accept(&Observation::Stream(all.clone())).is_err());
    assert!(partial.accept(&Observation::Stream(vec![9; 70])).is_err());
}

/// How the events of a backup or restore are due in each of its endings that is not its first.
fn endings(steps: &[Step]) -> Vec<(String, Vec<(&'static str, bool)>)> {
    let events = |step: &Step| step.audit.iter().map(|due| (due.event, due.optional)).collect();
    steps[1..].iter().map(|step| (step.outcome.to_string(), events(step))).collect()
}

const BOTH: [(&str, bool); 2] = [("LCS_BACKUP_START", false), ("LCS_BACKUP_COMPLETE", false)];

#[test]
fn a_backup_that_has_not_started_has_no_event_and_writes_nothing() {
    let mut world = layered();
    world.transcript("open k Machine\\k");
    let (fd, output) = (world.handle("k"), world.stream(StreamAccess::Write, &[]));
    let steps = world.steps(&Call::Backup { fd, output }, true);
    let eio = || "EIO".to_owned();
    assert_eq!(endings(&steps), [(eio(), BOTH.to_vec()), (eio(), Vec::new())]);
    world.state = steps[2].next().clone();
    let untouched = take(&world, output);
    assert!(untouched.accept(&Observation::Stream(Vec::new())).is_ok());
    assert!(untouched.accept(&Observation::Stream(vec![1])).is_err());
}

#[test]
fn a_backup_in_whose_course_its_source_stalls_has_both_events_or_none() {
    let mut world = layered();
    world.transcript("open k Machine\\k");
    let (fd, output) = (world.handle("k"), world.stream(StreamAccess::Write, &[]));
    world.environment(Environment::SourceStalls { source: SOURCE });
    let steps = world.steps_within(&Call::Backup { fd, output }, 30_000_000_000, false);
    let late = || "ETIMEDOUT".to_owned();
    assert_eq!(endings(&steps), [(late(), BOTH.to_vec()), (late(), Vec::new())]);
}

#[test]
fn two_backups_follow_each_other_in_one_stream() {
    let mut world = layered();
    let (_, fd, output) = backing_up(&mut world, "Machine\\k");
    world.call(Call::Backup { fd, output });
    let step = take(&world, output);
    let Some(Observation::Stream(bytes)) = step.outcome.example(0) else { panic!() };
    assert!(step.accept(&Observation::Stream(bytes.clone())).is_ok());
    assert!(step.accept(&Observation::Stream(bytes[bytes.len() / 2..].to_vec())).is_err());
}

#[test]
fn a_backup_asks_no_descriptor() {
    let mut world = layered();
    world.transcript("open k Machine\\k");
    let (fd, output) = (world.handle("k"), world.stream(StreamAccess::Write, &[]));
    let caller = with_privilege(&alice(), Privilege::Backup);
    let answer = speaking(&mut world, &caller, |world| world.call(Call::Backup { fd, output }).0);
    assert_eq!(answer, Observation::Done);
}

#[test]
fn the_manifest_spells_a_known_layer_as_the_table_does() {
    let mut world = layered();
    world.transcript("set Machine\\k u one in OVER");
    let (_, _, output) = backing_up(&mut world, "Machine\\k");
    let step = take(&world, output);
    let Some(Observation::Stream(bytes)) = step.outcome.example(0) else { panic!() };
    let text = words(&bytes);
    assert!(text.contains("LAYER Over 5") && text.contains("in OVER"), "{text}");
    let spelled = changed(&bytes, |record| {
        if let Record::Layer(line) = record {
            line.name = line.name.replace("Over", "OVER");
        }
    });
    assert!(step.accept(&Observation::Stream(spelled)).is_err());
}

#[test]
fn a_key_that_is_gone_may_be_missed_behind_a_beginning() {
    let mut world = layered();
    world.transcript("open w Machine\\k\\w\nbackup $w before\ndown\nresume");
    let (fd, output) = (world.handle("w"), world.stream(StreamAccess::Write, &[]));
    assert_eq!(errno(&world.call(Call::Backup { fd, output }).0), Some(Errno::ENOENT));
    let beginning = |start: usize| vec![1u8, 0][..start].to_vec();
    for start in 0..3 {
        assert!(take(&world, output).accept(&Observation::Stream(beginning(start))).is_ok());
    }
}
