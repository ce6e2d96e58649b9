//! Calls beside what they send: requests that break one rule each, and what right ones cover.

use registry_model::errno::Errno;
use registry_model::input::{Call, Fd, ProcessId};
use registry_model::observation::Observation;

use super::*;

mod changes;
mod expiry;
mod looks;
mod orphans;
mod security;
mod transactions;
mod walks;

const PROCESS: ProcessId = ProcessId(1);
const DONE: Observation = Observation::Done;
/// An fd of `Machine\Name`, whose key is `NEW`.
const NAME: Fd = 3;
/// An fd of `Machine`.
const MACHINE: Fd = 4;
const KEY_SET_VALUE: u32 = 2;

fn open(parent: Fd, path: &[u8]) -> Call {
    Call::OpenKey { parent, path: path.to_vec(), desired_access: KEY_SET_VALUE, flags: 0 }
}

fn opened(fd: Fd) -> Observation {
    Observation::Opened { fd, disposition: None }
}

fn create(flags: u32, layer: Option<&str>) -> Call {
    Call::CreateKey {
        parent: -1,
        path: b"Machine\\Name".to_vec(),
        desired_access: 1,
        flags,
        layer: layer.map(|layer| layer.as_bytes().to_vec()),
        transaction: -1,
    }
}

fn set(name: &[u8], value_type: u32, data: &[u8], layer: &[u8], expected_sequence: u64) -> Call {
    Call::SetValue {
        fd: NAME,
        name: name.to_vec(),
        value_type,
        data: data.to_vec(),
        layer: layer.to_vec(),
        transaction: -1,
        expected_sequence,
    }
}

fn query(name: &[u8]) -> Call {
    let (data_capacity, layer_capacity) = (0, 0);
    let name = name.to_vec();
    Call::QueryValue { fd: NAME, name, transaction: -1, data_capacity, layer_capacity }
}

fn unset(layer: &str) -> Call {
    let layer = layer.as_bytes().to_vec();
    Call::DeleteValue { fd: NAME, name: b"v".to_vec(), layer, transaction: -1 }
}

fn blanket(layer: &str, set: u8) -> Call {
    let layer = layer.as_bytes().to_vec();
    Call::BlanketTombstone { fd: NAME, layer, set, transaction: -1 }
}

fn delete(fd: Fd, layer: &str) -> Call {
    Call::DeleteKey { fd, layer: layer.as_bytes().to_vec(), transaction: -1 }
}

fn hide(fd: Fd, layer: &str) -> Call {
    Call::HideKey { fd, layer: layer.as_bytes().to_vec(), transaction: -1 }
}

impl Wire {
    /// A call that sends these frames and answers this.
    fn judge(
        &mut self,
        call: &Call,
        observation: &Observation,
        frames: impl FnOnce(&mut Wire),
    ) -> Result<(), Rule> {
        self.monitor.call_began();
        frames(self);
        let judged = self.monitor.call_ended(PROCESS, call, observation, false);
        judged.map_err(|violation| violation.rule)
    }

    /// A lookup that finds a key in base.
    fn find(&mut self, parent: [u8; 16], name: &str, found: [u8; 16]) {
        self.send(0x01, payload().guid(parent).bytes(name)).unwrap();
        let entries = payload().u32(0).u32(1).bytes("base").u8(0).guid(found).u64(1).u32(1);
        self.answer(0x01, metadata(entries, found)).unwrap();
    }

    /// A lookup that finds nothing.
    fn miss(&mut self, name: &str) {
        self.send(0x01, payload().guid(ROOT).bytes(name)).unwrap();
        self.answer(0x01, payload().u32(0).u32(0).u32(0)).unwrap();
    }

    /// A request that is answered with success and nothing else.
    fn done(&mut self, op_code: u16, payload: Payload) {
        self.exchange(op_code, payload, 0).unwrap();
    }

    fn ask(&mut self, key: [u8; 16], name: &str, query_all: u8) {
        self.send(0x20, payload().guid(key).bytes(name).u8(query_all)).unwrap();
        self.answer(0x20, payload().u32(0).u32(0).u32(0)).unwrap();
    }

    /// A question for the layer cap, a write and its time.
    fn write(&mut self, layer: &str, value_type: u32, data: &str, sequence: u64, expected: u64) {
        self.ask(NEW, "v", 0);
        let write = payload().guid(NEW).bytes("v").bytes(layer).u32(value_type).bytes(data);
        self.done(0x21, write.u64(sequence).u64(expected));
        self.done(0x12, write_time(NEW));
    }
}

/// A wire with the fds `NAME` and `MACHINE` open.
fn with_fds() -> Wire {
    let mut wire = Wire::new();
    wire.judge(&open(-1, b"Machine\\Name"), &opened(NAME), |wire| wire.find(ROOT, "Name", NEW))
        .unwrap();
    wire.judge(&open(-1, b"Machine"), &opened(MACHINE), |_| ()).unwrap();
    wire
}

#[track_caller]
fn judged(call: &Call, answer: &Observation, frames: impl FnOnce(&mut Wire)) -> Result<(), Rule> {
    with_fds().judge(call, answer, frames)
}

#[track_caller]
fn refused(call: &Call, errno: Errno, frames: impl FnOnce(&mut Wire)) -> Result<(), Rule> {
    judged(call, &Observation::Failed(errno), frames)
}

#[test]
fn malformed_strings_are_refused_before_anything_is_sent() {
    let send = |wire: &mut Wire| wire.miss("a");
    for (call, rule) in [
        (open(-1, b"Machine\\\xff"), Rule::EncodingBeforeSource),
        (open(-1, b"Machine\\\\a"), Rule::PathBeforeSource),
        (open(-1, b"Machine\\a\\"), Rule::PathBeforeSource),
        (open(-1, b""), Rule::PathBeforeSource),
        (query(b"\xff"), Rule::EncodingBeforeSource),
        (set(b"\xff", 1, b"", b"", 0), Rule::EncodingBeforeSource),
        (set(b"v", 1, b"", b"\xff", 0), Rule::EncodingBeforeSource),
        (set(b"v", 12, b"", b"", 0), Rule::TypeBeforeSource),
        (set(b"v", 0xFFFF, b"x", b"", 0), Rule::TombstoneBeforeSource),
    ] {
        assert_eq!(refused(&call, Errno::EINVAL, send), Err(rule), "{call:?}");
        assert_eq!(refused(&call, Errno::EINVAL, |_| ()), Ok(()), "{call:?}");
    }
}

#[test]
fn a_walk_has_one_lookup_for_each_component() {
    let call = open(-1, b"Machine\\a\\b");
    let walk = |wire: &mut Wire, names: [&str; 2]| {
        wire.find(ROOT, names[0], NEW);
        wire.find(NEW, names[1], [3; 16]);
    };
    assert_eq!(judged(&call, &opened(9), |wire| walk(wire, ["a", "B"])), Ok(()));
    assert_eq!(judged(&call, &opened(9), |wire| walk(wire, ["a", "c"])), Err(Rule::Walk));
    assert_eq!(judged(&call, &opened(9), |wire| wire.find(ROOT, "a", NEW)), Err(Rule::Walk));
    assert_eq!(judged(&call, &opened(9), |_| ()), Err(Rule::Walk));
}

#[test]
fn an_absolute_walk_begins_at_a_root_of_its_source() {
    let from = |root| judged(&open(-1, b"Machine\\a"), &opened(9), |w| w.find(root, "a", NEW));
    assert_eq!(from(ROOT), Ok(()));
    assert_eq!(from([9; 16]), Err(Rule::Routed));
}

#[test]
fn a_relative_walk_begins_at_the_key_of_its_parent() {
    let from = |key| judged(&open(NAME, b"a"), &opened(9), |w| w.find(key, "a", [3; 16]));
    assert_eq!(from(NEW), Ok(()));
    assert_eq!(from(ROOT), Err(Rule::RelativeWalk));
}

fn creation(wire: &mut Wire, layer: &str, volatile_key: u8, symlink: u8) {
    wire.miss("Name");
    let entry = payload().guid(ROOT).bytes("Name").bytes(layer).guid([5; 16]).u64(101);
    wire.done(0x02, entry);
    let record = payload().guid([5; 16]).bytes("Name").guid(ROOT).bytes(security_descriptor());
    wire.done(0x10, record.u8(volatile_key).u8(symlink));
}

#[test]
fn a_creation_sends_its_layer_and_its_flags() {
    let created = Observation::Opened { fd: 9, disposition: Some(1) };
    let judge = |flags, layer, sent: (&str, u8, u8)| {
        judged(&create(flags, layer), &created, |w| creation(w, sent.0, sent.1, sent.2))
    };
    assert_eq!(judge(0, None, ("base", 0, 0)), Ok(()));
    assert_eq!(judge(3, Some("gpo"), ("GPO", 1, 1)), Ok(()));
    assert_eq!(judge(0, None, ("Base", 0, 0)), Err(Rule::CreationInBase));
    assert_eq!(judge(0, Some("gpo"), ("base", 0, 0)), Err(Rule::LayerAsAsked));
    assert_eq!(judge(1, None, ("base", 0, 0)), Err(Rule::FlagsAsAsked));
    assert_eq!(judge(0, None, ("base", 0, 1)), Err(Rule::FlagsAsAsked));
    let nothing = judged(&create(0, None), &created, |wire| wire.miss("Name"));
    assert_eq!(nothing, Err(Rule::CreationSent));
}

#[test]
fn a_creation_for_an_absent_layer_changes_nothing() {
    let mut wire = with_fds();
    let absent = Observation::Failed(Errno::ENOENT);
    let call = create(0, Some("gpo"));
    wire.covers_none_of(&["SYS-73", "RES-31"]);
    assert_eq!(wire.judge(&call, &absent, |wire| wire.miss("Name")), Ok(()));
    wire.covers(&["SYS-73", "RES-31"]);
    let other = payload().guid(ROOT).bytes("Name").bytes("gpo");
    let judged = wire.judge(&call, &absent, |wire| {
        wire.miss("Name");
        wire.done(0x04, other);
    });
    assert_eq!(judged, Err(Rule::AuthorizedFirst));
}

#[test]
fn an_entry_that_exists_makes_a_creation_look_again() {
    let creation = |wire: &mut Wire| {
        wire.miss("Name");
        wire.exchange(0x02, create_entry([5; 16], 101), 2).unwrap();
    };
    let call = create(0, None);
    assert_eq!(refused(&call, Errno::ENOENT, creation), Err(Rule::CreationRetried));
    let again = |wire: &mut Wire| {
        creation(wire);
        wire.miss("Name");
    };
    assert_eq!(refused(&call, Errno::ENOENT, again), Ok(()));
}

#[test]
fn a_query_asks_once_for_its_value_by_the_key_of_the_fd() {
    let absent = Errno::ENOENT;
    assert_eq!(refused(&query(b"v"), absent, |wire| wire.ask(NEW, "V", 0)), Ok(()));
    let other_key = refused(&query(b"v"), absent, |wire| wire.ask(ROOT, "v", 0));
    assert_eq!(other_key, Err(Rule::KeyByGuid));
    for (name, query_all) in [("w", 0), ("", 1)] {
        let judged = refused(&query(b"v"), absent, |wire| wire.ask(NEW, name, query_all));
        assert_eq!(judged, Err(Rule::QueryAsksOnce));
    }
    let twice = refused(&query(b"v"), absent, |wire| {
        wire.ask(NEW, "v", 0);
        wire.ask(NEW, "v", 0);
    });
    assert_eq!(twice, Err(Rule::QueryAsksOnce));
}

#[test]
fn a_batch_asks_once_for_all_values() {
    let call = Call::QueryValuesBatch { fd: NAME, capacity: 0, transaction: -1 };
    let none = Observation::Values(Vec::new());
    assert_eq!(judged(&call, &none, |wire| wire.ask(NEW, "", 1)), Ok(()));
    assert_eq!(judged(&call, &none, |wire| wire.ask(NEW, "v", 0)), Err(Rule::ReadAsksForAll));
}

#[test]
fn a_write_sends_what_the_caller_wrote() {
    let call = set(b"v", 1, b"data", b"", 0);
    let judge = |layer: &str, value_type, data: &str| {
        judged(&call, &DONE, |wire| wire.write(layer, value_type, data, 101, 0))
    };
    assert_eq!(judge("base", 1, "data"), Ok(()));
    assert_eq!(judge("base", 2, "data"), Err(Rule::WriteSent));
    assert_eq!(judge("base", 1, "date"), Err(Rule::WriteSent));
    assert_eq!(judge("gpo", 1, "data"), Err(Rule::WriteInBase));
    assert_eq!(judged(&call, &DONE, |_| ()), Err(Rule::WriteSent));
    let elsewhere = set(b"v", 1, b"data", b"gpo", 0);
    let sent = judged(&elsewhere, &DONE, |wire| wire.write("base", 1, "data", 101, 0));
    assert_eq!(sent, Err(Rule::LayerAsAsked));
}

#[test]
fn a_write_asks_who_has_the_name_first() {
    let write = payload().guid(NEW).bytes("v").bytes("base").u32(1).bytes("").u64(101).u64(0);
    let sent = judged(&set(b"v", 1, b"", b"", 0), &DONE, |wire| wire.done(0x21, write));
    assert_eq!(sent, Err(Rule::CapAsked));
}

#[test]
fn a_write_over_the_layer_cap_is_not_sent() {
    let mut wire = with_fds();
    let (call, full) = (set(b"v", 1, b"", b"", 0), Observation::Failed(Errno::ENOSPC));
    assert_eq!(wire.judge(&call, &full, |wire| wire.ask(NEW, "v", 0)), Ok(()));
    wire.covers(&["LAYER-63"]);
    let sent = wire.judge(&call, &full, |wire| wire.write("base", 1, "", 101, 0));
    assert_eq!(sent, Err(Rule::CapBeforeWrite));
}

#[test]
fn a_condition_goes_to_the_source_and_fails_there() {
    let call = set(b"v", 1, b"", b"", 7);
    assert_eq!(judged(&call, &DONE, |wire| wire.write("base", 1, "", 101, 7)), Ok(()));
    let without = judged(&call, &DONE, |wire| wire.write("base", 1, "", 101, 0));
    assert_eq!(without, Err(Rule::ConditionPassed));
    let invented = set(b"v", 1, b"", b"", 0);
    let sent = judged(&invented, &DONE, |wire| wire.write("base", 1, "", 101, 7));
    assert_eq!(sent, Err(Rule::ConditionPassed));
    let decided_here = refused(&call, Errno::EAGAIN, |wire| wire.write("base", 1, "", 101, 7));
    assert_eq!(decided_here, Err(Rule::ConditionAtSource));
}

#[test]
fn what_names_an_absent_layer_sends_nothing() {
    let mut wire = with_fds();
    let absent = Observation::Failed(Errno::ENOENT);
    assert_eq!(wire.judge(&unset("gpo"), &absent, |_| ()), Ok(()));
    wire.covers(&["RES-31"]);
}

#[test]
fn what_is_refused_for_access_changes_nothing() {
    let call = unset("gpo");
    let removal = |wire: &mut Wire| wire.done(0x22, payload().guid(NEW).bytes("v").bytes("gpo"));
    assert_eq!(refused(&call, Errno::EACCES, removal), Err(Rule::AccessBeforeMutation));
    let mut wire = with_fds();
    wire.judge(&call, &Observation::Failed(Errno::EACCES), |_| ()).unwrap();
    wire.covers(&["IOC-016"]);
}

#[test]
fn deleting_a_value_removes_the_entry_of_its_layer() {
    let removal = |layer: &'static str, name: &'static str| {
        move |wire: &mut Wire| {
            wire.done(0x22, payload().guid(NEW).bytes(name).bytes(layer));
            wire.done(0x12, write_time(NEW));
        }
    };
    assert_eq!(judged(&unset(""), &DONE, removal("base", "v")), Ok(()));
    assert_eq!(judged(&unset(""), &DONE, removal("gpo", "v")), Err(Rule::RemovalInBase));
    assert_eq!(judged(&unset(""), &DONE, removal("base", "w")), Err(Rule::ValueRemovalSent));
    assert_eq!(judged(&unset(""), &DONE, |_| ()), Err(Rule::ValueRemovalSent));
}

#[test]
fn a_blanket_tombstone_is_sent_as_asked_and_touches_its_key() {
    let sent = |layer: &'static str, set: u8, touches: bool| {
        move |wire: &mut Wire| {
            let sequence = if set == 1 { 101 } else { 0 };
            wire.done(0x23, payload().guid(NEW).bytes(layer).u8(set).u64(sequence));
            if touches {
                wire.done(0x12, write_time(NEW));
            }
        }
    };
    assert_eq!(judged(&blanket("", 1), &DONE, sent("base", 1, true)), Ok(()));
    assert_eq!(judged(&blanket("", 0), &DONE, sent("base", 1, true)), Err(Rule::BlanketSent));
    assert_eq!(judged(&blanket("", 1), &DONE, sent("gpo", 1, true)), Err(Rule::BlanketInBase));
    let untouched = judged(&blanket("", 0), &DONE, sent("base", 0, false));
    assert_eq!(untouched, Err(Rule::BlanketTouchesKey));
}

fn removal(name: &str, layer: &str) -> Payload {
    payload().guid(ROOT).bytes(name).bytes(layer)
}

#[test]
fn deleting_a_key_removes_one_entry_and_touches_the_parent() {
    let sent = |name: &'static str, layer: &'static str| {
        move |wire: &mut Wire| {
            wire.done(0x04, removal(name, layer));
            wire.done(0x12, write_time(ROOT));
        }
    };
    let call = delete(NAME, "");
    assert_eq!(judged(&call, &DONE, sent("Name", "base")), Ok(()));
    assert_eq!(judged(&call, &DONE, sent("Other", "base")), Err(Rule::DeletionSent));
    assert_eq!(judged(&call, &DONE, sent("Name", "gpo")), Err(Rule::DeletionInBase));
    let untouched = judged(&call, &DONE, |wire| wire.done(0x04, removal("Name", "base")));
    assert_eq!(untouched, Err(Rule::DeletionTouchesParent));
    let both = judged(&call, &DONE, |wire| {
        sent("Name", "base")(wire);
        wire.done(0x04, removal("Other", "base"));
    });
    assert_eq!(both, Err(Rule::OneEntryRemoved));
    let values = judged(&call, &DONE, |wire| {
        sent("Name", "base")(wire);
        wire.done(0x22, payload().guid(NEW).bytes("v").bytes("base"));
    });
    assert_eq!(values, Err(Rule::ValuesKept));
}

#[test]
fn hiding_a_key_hides_the_name_of_the_fd() {
    let sent = |name, layer| move |wire: &mut Wire| wire.done(0x03, removal(name, layer).u64(101));
    let call = hide(NAME, "");
    assert_eq!(judged(&call, &DONE, sent("Name", "base")), Ok(()));
    assert_eq!(judged(&call, &DONE, sent("Other", "base")), Err(Rule::HidingSent));
    assert_eq!(judged(&call, &DONE, sent("Name", "gpo")), Err(Rule::HidingInBase));
}

#[test]
fn a_hive_root_is_neither_deleted_nor_hidden_nor_dropped() {
    for (call, answer, rule) in [
        (delete(MACHINE, ""), Observation::Failed(Errno::EINVAL), Rule::RootKept),
        (hide(MACHINE, ""), Observation::Failed(Errno::EINVAL), Rule::RootKept),
        (Call::Close { fd: MACHINE }, DONE, Rule::RootClosed),
    ] {
        assert_eq!(judged(&call, &answer, |_| ()), Ok(()));
        assert_eq!(judged(&call, &answer, |wire| wire.ask(ROOT, "", 1)), Err(rule));
    }
}

#[test]
fn a_close_sends_nothing_but_the_drop_of_its_key() {
    let close = Call::Close { fd: NAME };
    let drop = |guid| move |wire: &mut Wire| wire.done(0x13, payload().guid(guid));
    assert_eq!(judged(&close, &DONE, drop(NEW)), Ok(()));
    assert_eq!(judged(&close, &DONE, drop([9; 16])), Err(Rule::KeyByGuid));
    assert_eq!(judged(&close, &DONE, |wire| wire.ask(NEW, "", 1)), Err(Rule::DropAtClose));
}

#[test]
fn a_closed_fd_is_forgotten() {
    let mut wire = with_fds();
    wire.judge(&Call::Close { fd: NAME }, &DONE, |_| ()).unwrap();
    let other = wire.judge(&query(b"v"), &DONE, |wire| wire.ask(ROOT, "v", 0));
    assert_eq!(other, Ok(()));
}

#[test]
fn a_flush_names_the_hive_of_its_fd_and_waits() {
    let call = Call::Flush { fd: NAME };
    let flush = |hive: &'static str| move |wire: &mut Wire| wire.done(0x40, payload().bytes(hive));
    assert_eq!(judged(&call, &DONE, flush("MACHINE")), Ok(()));
    assert_eq!(judged(&call, &DONE, flush("Users")), Err(Rule::FlushSent));
    let early = judged(&call, &DONE, |wire| wire.send(0x40, payload().bytes("Machine")).unwrap());
    assert_eq!(early, Err(Rule::FlushConfirmed));
}

#[test]
fn a_status_of_the_source_reaches_the_caller_as_its_errno() {
    for (status, errno, rule) in [
        (1, Errno::ENOENT, Rule::StatusNotFound),
        (2, Errno::EEXIST, Rule::StatusAlreadyExists),
        (3, Errno::EIO, Rule::StatusStorageError),
        (5, Errno::ENOSPC, Rule::StatusTooLarge),
        (6, Errno::EBUSY, Rule::StatusBusy),
        (7, Errno::EINVAL, Rule::StatusInvalid),
        (8, Errno::EAGAIN, Rule::StatusConditionFailed),
    ] {
        let refuse = |wire: &mut Wire| {
            wire.ask(NEW, "v", 0);
            let write = payload().guid(NEW).bytes("v").bytes("base").u32(1).bytes("data");
            wire.exchange(0x21, write.u64(101).u64(7), status).unwrap();
        };
        let call = set(b"v", 1, b"data", b"", 7);
        assert_eq!(refused(&call, errno, refuse), Ok(()), "{status}");
        let other = if status == 3 { Errno::ENOENT } else { Errno::EIO };
        assert_eq!(refused(&call, other, refuse), Err(rule), "{status}");
    }
}

#[test]
fn key_info_and_children_come_from_the_source() {
    let info = registry_model::observation::KeyInfo {
        name: b"Name".to_vec(),
        last_write_time: 0,
        subkey_count: 0,
        value_count: 0,
        max_subkey_name_len: 0,
        max_value_name_len: 0,
        max_value_data_size: 0,
        sd_size: 0,
        volatile_key: 0,
        symlink: 0,
        hive_generation: 0,
    };
    let call = Call::QueryKeyInfo { fd: NAME, name_capacity: 9 };
    let info = Observation::KeyInfo(info);
    assert_eq!(judged(&call, &info, |_| ()), Err(Rule::InfoFromSource));
    assert_eq!(judged(&call, &info, |wire| wire.miss("Name")), Err(Rule::KeyByGuid));
    assert_eq!(judged(&call, &info, |wire| wire.ask(NEW, "", 1)), Ok(()));
    let call = Call::EnumSubkeys { fd: NAME, index: 0, name_capacity: 9, transaction: -1 };
    let name = b"Sub".to_vec();
    let child =
        Observation::EnumeratedSubkey { name, last_write_time: 0, subkey_count: 0, value_count: 0 };
    assert_eq!(judged(&call, &child, |_| ()), Err(Rule::ChildrenFromSource));
}

#[test]
fn deleting_metadata_deletes_the_layer_and_writing_it_reads_it() {
    let path = b"Machine\\System\\Registry\\Layers\\gpo";
    let mut wire = with_fds();
    let keys: [[u8; 16]; 5] = [ROOT, [5; 16], [6; 16], [7; 16], [8; 16]];
    wire.judge(&open(-1, path), &opened(NAME), |wire| {
        for (pair, name) in keys.windows(2).zip(["System", "Registry", "Layers"]) {
            wire.find(pair[0], name, pair[1]);
        }
        wire.find(keys[3], "gpo", NEW);
    })
    .unwrap();
    let write = |wire: &mut Wire| wire.write("base", 1, "", 101, 0);
    wire.judge(&set(b"v", 1, b"", b"", 0), &DONE, write).unwrap();
    wire.covers_none_of(&["LAYER-40", "OP-69"]);
    let write = |wire: &mut Wire| {
        wire.write("base", 1, "", 102, 0);
        wire.ask(NEW, "", 1);
    };
    wire.judge(&set(b"v", 1, b"", b"", 0), &DONE, write).unwrap();
    wire.covers(&["LAYER-40"]);
    let deletion = |wire: &mut Wire| {
        wire.done(0x04, payload().guid(keys[3]).bytes("gpo").bytes("base"));
        wire.done(0x12, write_time(keys[3]));
        wire.send(0x50, payload().bytes("gpo")).unwrap();
        wire.answer(0x50, payload().u32(0).u32(0)).unwrap();
    };
    wire.judge(&delete(NAME, ""), &DONE, deletion).unwrap();
    wire.covers(&["OP-69", "LAYER-55"]);
}

#[test]
fn an_interrupted_call_is_not_judged() {
    let mut wire = with_fds();
    wire.monitor.call_began();
    let judged = wire.monitor.call_ended(PROCESS, &set(b"v", 1, b"", b"", 0), &DONE, true);
    assert_eq!(judged, Ok(()));
}

#[test]
fn frames_between_calls_belong_to_none() {
    let mut wire = with_fds();
    wire.ask(NEW, "", 1);
    assert_eq!(wire.judge(&Call::Close { fd: NAME }, &DONE, |_| ()), Ok(()));
}
