//! Streams that are restored: in which way each may be wrong, and that nothing comes of it.

use expect_test::expect;
use registry_model::backup::stream::{
    BlanketLine, HIDDEN, KeyObject, LayerLine, PathLine, Record, ValueLine,
};
use registry_model::errno::Errno;
use registry_model::input::{Fd, StreamAccess, WireGuid};
use registry_model::security::Privilege;
use registry_model::{Call, Step};

use crate::callers::changed as with_token;
use crate::stream_records::{records, stream};
use crate::world::{World, errno};

/// A world with an open key and a stream for it with two descendants, one below the other, in two layers.
struct Fixture {
    world: World,
    fd: Fd,
    records: Vec<Record>,
}

const A: WireGuid = [0xA1; 16];
const B: WireGuid = [0xB2; 16];
const ROOT: WireGuid = [0x99; 16];

fn path(parent: WireGuid, name: &str, child: WireGuid, layer: &str, sequence: u64) -> Record {
    let (name, layer) = (name.to_owned(), layer.to_owned());
    Record::PathEntry(PathLine { parent, name, child, layer, sequence })
}

fn value(key: WireGuid, name: &str, text: &str, sequence: u64) -> Record {
    let (name, layer) = (name.to_owned(), "base".to_owned());
    let data = text.as_bytes().to_vec();
    Record::Value(ValueLine { key, name, value_type: 1, data, layer, sequence })
}

fn blanket(key: WireGuid, layer: &str, sequence: u64) -> Record {
    Record::Blanket(BlanketLine { key, layer: layer.to_owned(), sequence })
}

impl Fixture {
    fn new() -> Fixture {
        let mut world = World::with_layers();
        world.transcript("create k Machine\\k\nset $k old 1\ncreate Machine\\k\\gone");
        world.transcript("layer Over 5\ncreate Machine\\elsewhere\nbackup $k s");
        let taken = records(&world.streams["s"]);
        let Some(Record::Header(header)) = taken.first() else { panic!() };
        let header = registry_model::backup::stream::Header { root: ROOT, ..header.clone() };
        let layer = taken.iter().find(|record| matches!(record, Record::Layer(_))).unwrap();
        let Some(Record::Key(object)) =
            taken.iter().find(|record| matches!(record, Record::Key(_)))
        else {
            panic!()
        };
        let key = |guid| Record::Key(KeyObject { guid, ..object.clone() });
        let Record::Layer(base) = layer else { panic!() };
        let records = vec![
            Record::Header(header),
            layer.clone(),
            Record::Layer(LayerLine { name: "Later".to_owned(), ..base.clone() }),
            key(ROOT),
            path(ROOT, "masked", HIDDEN, "base", 1),
            value(ROOT, "v", "root", 2),
            key(A),
            path(ROOT, "a", A, "base", 3),
            path(ROOT, "A", A, "Later", 9),
            key(B),
            path(A, "b", B, "base", 4),
            path(B, "c", HIDDEN, "Later", 5),
            value(B, "x", "deep", 6),
            blanket(B, "base", 7),
            Record::Trailer,
        ];
        let fd = world.handle("k");
        Fixture { world, fd, records }
    }

    fn step(&mut self, bytes: &[u8]) -> Step {
        let input = self.world.stream(StreamAccess::Read, bytes);
        self.world.steps(&Call::Restore { fd: self.fd, input }, false).swap_remove(0)
    }

    /// How the restore of these bytes fails, which leaves everything as it was.
    fn fails(&mut self, bytes: &[u8]) -> (Errno, u64) {
        let step = self.step(bytes);
        let answer = step.outcome.example(0).unwrap();
        let errno = errno(&answer).unwrap_or_else(|| panic!("{answer}"));
        let before: Vec<_> = self.world.state.raw().collect();
        assert_eq!(step.next().raw().collect::<Vec<_>>(), before);
        assert_eq!(step.next().layers(), self.world.state.layers());
        (errno, step.next().next_sequence() - self.world.state.next_sequence())
    }

    /// The same of the records, changed.
    fn fails_with(&mut self, change: impl FnOnce(&mut Vec<Record>)) -> (Errno, u64) {
        let mut records = self.records.clone();
        change(&mut records);
        self.fails(&stream(&records))
    }
}

#[test]
fn a_good_stream_is_restored() {
    let mut fixture = Fixture::new();
    let bytes = stream(&fixture.records);
    let next = fixture.world.state.next_sequence();
    let step = fixture.step(&bytes);
    assert_eq!(step.outcome.to_string(), "ok");
    fixture.world.state = step.next().clone();
    assert_eq!(fixture.world.state.next_sequence(), next + 10);
    fixture.world.streams.insert("s".to_owned(), bytes);
    let text = fixture.world.transcript("view Machine\\k\nbackup $k t\nget $k v");
    expect![[r#"
        view Machine\k
          -> 
             Machine\k v=root@base
             Machine\k\a
             Machine\k\a\b
             Machine\k\a\b\c absent
             Machine\k\masked absent
        backup $k t
          -> ok
        get $k v
          -> sz "root" from base, sequence 12
    "#]]
    .assert_eq(&text);
}

#[test]
fn what_was_restored_is_backed_up_with_its_guids() {
    let mut fixture = Fixture::new();
    let bytes = stream(&fixture.records);
    fixture.world.state = fixture.step(&bytes).next().clone();
    fixture.world.transcript("backup $k t");
    let keys: Vec<WireGuid> = records(&fixture.world.streams["t"])
        .into_iter()
        .filter_map(|record| match record {
            Record::Key(key) => Some(key.guid),
            _ => None,
        })
        .collect();
    assert_eq!(keys[1..], [A, B]);
    assert_ne!(keys[0], ROOT);
}

#[test]
fn a_stream_that_ends_early_changes_nothing() {
    let mut fixture = Fixture::new();
    let bytes = stream(&fixture.records);
    for end in 0..bytes.len() {
        assert_eq!(fixture.fails(&bytes[..end]).0, Errno::EINVAL, "{end}");
    }
    assert_eq!(fixture.fails(&[&bytes[..], &[0]].concat()).0, Errno::EINVAL);
}

#[test]
fn a_changed_byte_changes_nothing() {
    let mut fixture = Fixture::new();
    let bytes = stream(&fixture.records);
    for index in 0..bytes.len() {
        let mut other = bytes.clone();
        other[index] ^= 0x40;
        let errno = fixture.fails(&other).0;
        assert!(matches!(errno, Errno::EINVAL | Errno::EOVERFLOW), "{index}: {errno}");
    }
}

#[test]
fn no_record_may_be_missing_but_those_that_nothing_needs() {
    let mut fixture = Fixture::new();
    let needed = [0, 1, 2, 3, 6, 9, 10, 14];
    for missing in 0..fixture.records.len() {
        let mut records = fixture.records.clone();
        records.remove(missing);
        let step = fixture.step(&stream(&records));
        let is_ok = step.outcome.to_string() == "ok";
        assert_eq!(is_ok, !needed.contains(&missing), "without {missing}");
    }
}

#[test]
fn no_record_may_come_twice() {
    let mut fixture = Fixture::new();
    for twice in 0..fixture.records.len() {
        let (errno, _) = fixture.fails_with(|all| all.insert(twice, all[twice].clone()));
        assert_eq!(errno, Errno::EINVAL, "{twice}");
    }
}

#[test]
fn records_stand_in_the_order_of_the_text() {
    let mut fixture = Fixture::new();
    for (from, to) in [(0, 1), (3, 2), (4, 5), (12, 13), (10, 12), (6, 9), (13, 9), (5, 3)] {
        let moved = |all: &mut Vec<Record>| {
            let record = all.remove(from);
            all.insert(to, record);
        };
        assert_eq!(fixture.fails_with(moved).0, Errno::EINVAL, "{from} to {to}");
    }
}

#[test]
fn unknown_records_are_passed_over() {
    let mut fixture = Fixture::new();
    for at in 1..fixture.records.len() {
        let mut records = fixture.records.clone();
        records.insert(at, Record::Unknown { record_type: 0x1234, payload: vec![1; 9] });
        let step = fixture.step(&stream(&records));
        assert_eq!(step.outcome.to_string(), "ok", "at {at}");
    }
    let unknown = Record::Unknown { record_type: 0x1234, payload: Vec::new() };
    assert_eq!(fixture.fails_with(|all| all.insert(0, unknown)).0, Errno::EINVAL);
}

#[test]
fn fields_that_break_a_rule_are_invalid() {
    type Change = fn(&mut Vec<Record>);
    let changes: &[Change] = &[
        |all| {
            if let Record::Header(header) = &mut all[0] {
                header.magic[0] ^= 1
            }
        },
        |all| {
            if let Record::Header(header) = &mut all[0] {
                header.min_reader_version = 22
            }
        },
        |all| {
            if let Record::Header(header) = &mut all[0] {
                header.root = A
            }
        },
        |all| {
            if let Record::Layer(line) = &mut all[1] {
                line.name = "ba\\se".to_owned()
            }
        },
        |all| {
            if let Record::Layer(line) = &mut all[1] {
                line.name = "LATER".to_owned()
            }
        },
        |all| {
            if let Record::Layer(line) = &mut all[1] {
                line.enabled = 2
            }
        },
        |all| {
            if let Record::Layer(line) = &mut all[1] {
                line.owner.push(0)
            }
        },
        |all| {
            if let Record::Key(key) = &mut all[3] {
                key.flags = 1
            }
        },
        |all| {
            if let Record::Key(key) = &mut all[3] {
                key.flags = 2
            }
        },
        |all| {
            if let Record::Key(key) = &mut all[6] {
                key.flags = 4
            }
        },
        |all| {
            if let Record::Key(key) = &mut all[6] {
                key.flags = 1
            }
        },
        |all| {
            if let Record::Key(key) = &mut all[6] {
                key.guid = HIDDEN
            }
        },
        |all| {
            if let Record::Key(key) = &mut all[6] {
                key.descriptor.truncate(3)
            }
        },
        |all| {
            if let Record::Key(key) = &mut all[6] {
                key.last_write_time = -1
            }
        },
        |all| all[4] = path(A, "masked", HIDDEN, "base", 1),
        |all| all[11] = path(A, "c", HIDDEN, "Later", 5),
        |all| all[7] = path(ROOT, "a", B, "base", 3),
        |all| all[8] = path(ROOT, "other", A, "Later", 9),
        |all| all[8] = path([5; 16], "a", A, "Later", 9),
        |all| all[7] = path(A, "a", A, "base", 3),
        |all| all[7] = path(ROOT, "a\\b", A, "base", 3),
        |all| all[7] = path(ROOT, "a", A, "Nowhere", 3),
        |all| all[10] = path(ROOT, "a", B, "base", 4),
        |all| all[12] = value(A, "x", "deep", 6),
        |all| {
            if let Record::Value(line) = &mut all[12] {
                line.layer = "Nowhere".to_owned()
            }
        },
        |all| {
            if let Record::Value(line) = &mut all[12] {
                line.value_type = 99
            }
        },
        |all| {
            if let Record::Value(line) = &mut all[12] {
                line.value_type = 0xFFFF
            }
        },
        |all| {
            if let Record::Value(line) = &mut all[12] {
                line.data = vec![0; (64 << 20) + 1]
            }
        },
        |all| {
            if let Record::Value(line) = &mut all[12] {
                line.name = "x\0".to_owned()
            }
        },
        |all| all[13] = blanket(B, "Nowhere", 7),
        |all| all[13] = blanket(A, "base", 7),
    ];
    let mut fixture = Fixture::new();
    for (index, change) in changes.iter().enumerate() {
        assert_eq!(fixture.fails_with(change).0, Errno::EINVAL, "change {index}");
    }
}

#[test]
fn a_lower_reader_version_and_a_tombstone_are_good() {
    let mut fixture = Fixture::new();
    let mut records = fixture.records.clone();
    if let Record::Header(header) = &mut records[0] {
        (header.min_reader_version, header.format_version, header.timestamp) = (1, 77, -5);
    }
    if let Record::Value(line) = &mut records[12] {
        (line.value_type, line.data) = (0xFFFF, Vec::new());
    }
    assert_eq!(fixture.step(&stream(&records)).outcome.to_string(), "ok");
}

#[test]
fn entries_of_the_root_itself_are_passed_over() {
    let mut fixture = Fixture::new();
    let mut records = fixture.records.clone();
    records.insert(4, path([7; 16], "nowhere", ROOT, "base", u64::MAX));
    assert_eq!(fixture.step(&stream(&records)).outcome.to_string(), "ok");
}

#[test]
fn numbers_that_were_sent_are_used_up() {
    let mut fixture = Fixture::new();
    let cut = |fixture: &mut Fixture, count: usize| {
        let bytes = stream(&fixture.records[..count]);
        fixture.fails(&bytes)
    };
    assert_eq!(cut(&mut fixture, 5), (Errno::EINVAL, 2));
    assert_eq!(cut(&mut fixture, 6), (Errno::EINVAL, 3));
    assert_eq!(cut(&mut fixture, 9), (Errno::EINVAL, 3));
    assert_eq!(cut(&mut fixture, 10), (Errno::EINVAL, 10));
    assert_eq!(cut(&mut fixture, 14), (Errno::EINVAL, 10));
}

#[test]
fn a_number_that_is_too_high_is_not_sent() {
    let mut fixture = Fixture::new();
    let next = fixture.world.state.next_sequence();
    for (sequence, sent) in [(u64::MAX, 10), (u64::MAX - next, 10)] {
        let failed = fixture.fails_with(|all| all[13] = blanket(B, "base", sequence));
        assert_eq!(failed, (Errno::EOVERFLOW, sent));
    }
    let mut records = fixture.records.clone();
    records[13] = blanket(B, "base", u64::MAX - next - 1);
    let step = fixture.step(&stream(&records));
    assert_eq!(step.outcome.to_string(), "ok");
    assert_eq!(step.next().next_sequence(), u64::MAX);
}

#[test]
fn a_guid_that_is_in_use_is_refused_behind_what_is_invalid() {
    let mut fixture = Fixture::new();
    fixture.world.transcript("open e Machine\\elsewhere\nbackup $e e");
    let taken = records(&fixture.world.streams["e"]);
    let Some(Record::Header(header)) = taken.first() else { panic!() };
    let used = header.root;
    let take = |all: &mut Vec<Record>| {
        if let Record::Key(key) = &mut all[9] {
            key.guid = used;
        }
        all[10] = path(A, "b", used, "base", u64::MAX);
        all.truncate(11);
        all.push(Record::Trailer);
    };
    assert_eq!(fixture.fails_with(take), (Errno::EEXIST, 10));
    let invalid = |all: &mut Vec<Record>| {
        take(all);
        all[10] = path(A, "b\\", used, "base", 4);
    };
    assert_eq!(fixture.fails_with(invalid), (Errno::EINVAL, 10));
}

#[test]
fn a_precedence_in_the_manifest_or_in_the_table_needs_the_privilege() {
    let mut fixture = Fixture::new();
    let token = fixture.world.caller.token.clone();
    fixture.world.caller.token = with_token(&token, |fields| {
        fields.privileges.remove(&Privilege::Tcb);
    });
    let declared = |all: &mut Vec<Record>| {
        if let Record::Layer(line) = &mut all[2] {
            line.precedence = 1;
        }
    };
    assert_eq!(fixture.fails_with(declared), (Errno::EPERM, 0));
    let known = |all: &mut Vec<Record>| {
        if let Record::Layer(line) = &mut all[2] {
            line.name = "OVER".to_owned();
        }
    };
    assert_eq!(fixture.fails_with(known), (Errno::EPERM, 0));
    let good = stream(&fixture.records);
    assert_eq!(fixture.step(&good).outcome.to_string(), "ok");
    let other_root = |all: &mut Vec<Record>| {
        declared(all);
        if let Record::Key(key) = &mut all[3] {
            key.flags = 2;
        }
    };
    assert_eq!(fixture.fails_with(other_root), (Errno::EPERM, 0));
}

#[test]
fn what_ends_the_manifest_is_judged_behind_the_privilege() {
    let mut fixture = Fixture::new();
    let declared = |all: &mut Vec<Record>| {
        if let Record::Layer(line) = &mut all[2] {
            line.precedence = 1;
        }
    };
    let faults: [fn(&mut KeyObject); 4] = [
        |key| key.flags = 4,
        |key| key.guid = HIDDEN,
        |key| key.descriptor.truncate(3),
        |key| key.last_write_time = -1,
    ];
    let with = |fault: fn(&mut KeyObject), all: &mut Vec<Record>| {
        declared(all);
        if let Record::Key(key) = &mut all[3] {
            fault(key);
        }
    };
    for fault in faults {
        assert_eq!(fixture.fails_with(|all| with(fault, all)), (Errno::EINVAL, 0));
    }
    let token = fixture.world.caller.token.clone();
    fixture.world.caller.token = with_token(&token, |fields| {
        fields.privileges.remove(&Privilege::Tcb);
    });
    for fault in faults {
        assert_eq!(fixture.fails_with(|all| with(fault, all)), (Errno::EPERM, 0));
    }
}

/// Whether the restore of these records shows a requirement.
fn shows(fixture: &mut Fixture, all: &[Record], id: &str) -> bool {
    fixture.step(&stream(all)).covered.iter().any(|shown| shown == id)
}

#[test]
fn requirements_are_shown_where_they_decide() {
    let mut fixture = Fixture::new();
    let all = fixture.records.clone();
    // The root has no KEY, or one that comes later than it should.
    let mut late = all.clone();
    late.insert(4, late[6].clone());
    late.remove(3);
    assert!(shows(&mut fixture, &late, "RST-09"));
    late.insert(4, all[3].clone());
    assert!(!shows(&mut fixture, &late, "RST-09"));
    // A layer that the table does not have, or has otherwise; and one as it is.
    assert!(shows(&mut fixture, &all, "RST-62"));
    let plain = [&all[..2], &all[3..6], &[Record::Trailer]].concat();
    assert!(!shows(&mut fixture, &plain, "RST-62"));
    let mut high = plain.clone();
    if let Record::Layer(line) = &mut high[1] {
        line.precedence = 1;
    }
    assert!(shows(&mut fixture, &high, "RST-62"));
    // Numbers that fall from record to record, and two that compete.
    assert!(shows(&mut fixture, &all, "RST-80"));
    assert!(!shows(&mut fixture, &plain, "RST-80"));
    assert!(shows(&mut fixture, &all, "RST-67"));
    assert!(!shows(&mut fixture, &plain, "RST-67"));
    // An unknown record declares no layer, and is not the root's KEY.
    let unknown = Record::Unknown { record_type: 0x77, payload: Vec::new() };
    let mut undeclared = all.clone();
    undeclared[1] = unknown.clone();
    assert!(shows(&mut fixture, &undeclared, "BAK-48"));
    assert!(shows(&mut fixture, &[all[0].clone(), unknown, Record::Trailer], "BAK-48"));
}
