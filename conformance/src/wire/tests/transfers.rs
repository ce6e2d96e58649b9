//! Backups and restores: what each must send, and what breaks that.

use registry_model::errno::Errno;
use registry_model::input::{Call, ProcessId};
use registry_model::observation::Observation;

use super::*;

const PROCESS: ProcessId = ProcessId(1);
const BACKUP: Call = Call::Backup { fd: 3, output: 4 };
const RESTORE: Call = Call::Restore { fd: 3, input: 4 };
const DONE: Observation = Observation::Done;
/// The id of the transaction.
const ID: u64 = 9;

/// What a transfer sends, in order; the first rule that it breaks.
fn transfer(
    call: &Call,
    answer: &Observation,
    frames: Vec<(u16, u64, Payload)>,
) -> Result<(), Rule> {
    let mut wire = Wire::new();
    run(&mut wire, call, answer, frames)
}

fn run(
    wire: &mut Wire,
    call: &Call,
    answer: &Observation,
    frames: Vec<(u16, u64, Payload)>,
) -> Result<(), Rule> {
    wire.monitor.call_began_as(call);
    for (op_code, transaction, payload) in frames {
        wire.send_to(SOURCE, op_code, transaction, payload)?;
        let empty = match op_code {
            0x05 => tests::payload().u32(0).u32(0).u32(0),
            0x20 => tests::payload().u32(0).u32(0).u32(0),
            _ => tests::payload().u32(0),
        };
        wire.answer(op_code, empty)?;
    }
    let ended = wire.monitor.call_ended(PROCESS, call, answer, false);
    ended.map_err(|violation| violation.rule)
}

fn begin(mode: u32) -> (u16, u64, Payload) {
    (0x30, ID, payload().u64(ID).u32(mode))
}

fn commit() -> (u16, u64, Payload) {
    (0x31, ID, payload().u64(ID))
}

fn abort() -> (u16, u64, Payload) {
    (0x32, ID, payload().u64(ID))
}

fn read() -> (u16, u64, Payload) {
    (0x20, ID, payload().guid(ROOT).bytes("").u8(1))
}

/// The fields of the target.
fn fields() -> (u16, u64, Payload) {
    (0x12, ID, payload().guid(ROOT).u32(3).bytes(security_descriptor()).u64(7))
}

fn within(op_code: u16, payload: Payload) -> (u16, u64, Payload) {
    (op_code, ID, payload)
}

/// A restore that keeps every rule.
fn sound() -> Vec<(u16, u64, Payload)> {
    vec![
        begin(0),
        read(),
        within(0x04, payload().guid(ROOT).bytes("Name").bytes("base")),
        within(0x13, payload().guid(NEW)),
        fields(),
        within(0x21, set_value(205)),
        within(0x10, create_key(NEW)),
        within(0x12, write_time(NEW)),
        within(0x02, create_entry(NEW, 201)),
        commit(),
    ]
}

/// The sound restore with a change.
fn restore(change: impl FnOnce(&mut Vec<(u16, u64, Payload)>)) -> Result<(), Rule> {
    let mut frames = sound();
    change(&mut frames);
    transfer(&RESTORE, &DONE, frames)
}

#[test]
fn a_backup_reads_in_one_snapshot_and_releases_it() {
    let mut wire = Wire::new();
    assert_eq!(run(&mut wire, &BACKUP, &DONE, vec![begin(1), read(), abort()]), Ok(()));
    wire.covers(&["IOC-150", "IOC-153", "OP-67"]);
    wire.covers_none_of(&["OP-68"]);
}

#[test]
fn a_backup_that_fails_releases_its_snapshot_too() {
    let mut wire = Wire::new();
    let failed = Observation::Failed(Errno::EIO);
    assert_eq!(run(&mut wire, &BACKUP, &failed, vec![begin(1), read(), abort()]), Ok(()));
    wire.covers(&["OP-68"]);
    let mut wire = Wire::new();
    wire.monitor.call_began_as(&BACKUP);
    let (op_code, transaction, payload) = begin(1);
    wire.send_to(SOURCE, op_code, transaction, payload).unwrap();
    wire.answer(op_code, tests::payload().u32(0)).unwrap();
    wire.monitor.connection_closed(SOURCE);
    wire.monitor.call_ended(PROCESS, &BACKUP, &failed, false).unwrap();
    wire.covers_none_of(&["OP-68"]);
    let kept = transfer(&BACKUP, &failed, vec![begin(1), read()]);
    assert_eq!(kept, Err(Rule::BackupFailed));
}

#[test]
fn a_backup_that_keeps_its_snapshot_is_noticed() {
    assert_eq!(transfer(&BACKUP, &DONE, vec![begin(1), read()]), Err(Rule::BackupReleased));
}

#[test]
fn a_backup_asks_nothing_outside_its_snapshot() {
    let (op_code, _, payload) = read();
    let outside = vec![begin(1), (op_code, 0, payload), abort()];
    assert_eq!(transfer(&BACKUP, &DONE, outside), Err(Rule::BackupBegun));
    assert_eq!(transfer(&BACKUP, &DONE, vec![begin(0)]), Err(Rule::BackupBegun));
}

#[test]
fn a_backup_changes_nothing_and_commits_nothing() {
    let changed = vec![begin(1), within(0x21, set_value(200))];
    assert_eq!(transfer(&BACKUP, &DONE, changed), Err(Rule::ReadOnlyMutation));
    assert_eq!(transfer(&BACKUP, &DONE, vec![begin(1), commit()]), Err(Rule::ReadOnlyEnd));
}

#[test]
fn a_restore_tears_down_and_rebuilds_in_one_transaction() {
    let mut wire = Wire::new();
    assert_eq!(run(&mut wire, &RESTORE, &DONE, sound()), Ok(()));
    wire.covers(&["RST-05", "RST-19", "RST-30", "RST-31", "RST-42", "RST-52", "RST-66"]);
    // What comes next is above the highest number.
    wire.monitor.call_began_as(&Call::Flush { fd: 3 });
    assert_eq!(wire.send(0x21, set_value(205)), Err(Rule::SequenceOrder));
}

#[test]
fn a_restore_begins_before_anything_else() {
    let asked = restore(|frames| frames.swap(0, 1));
    assert_eq!(asked, Err(Rule::RestoreBegun));
    let read_only = restore(|frames| frames[0] = begin(1));
    assert_eq!(read_only, Err(Rule::RestoreBegun));
}

#[test]
fn a_restore_changes_nothing_outside_its_transaction() {
    assert_eq!(restore(|frames| frames[5].1 = 0), Err(Rule::RestoreWithin));
}

#[test]
fn a_restore_removes_before_it_writes() {
    assert_eq!(restore(|frames| frames.swap(3, 4)), Err(Rule::RestoreTeardown));
    assert_eq!(restore(|frames| drop(frames.remove(4))), Err(Rule::RestoreTeardown));
}

#[test]
fn a_restored_key_has_its_time_at_once() {
    assert_eq!(restore(|frames| frames.swap(7, 8)), Err(Rule::RestoreTime));
    assert_eq!(restore(|frames| drop(frames.drain(7..9))), Err(Rule::RestoreTime));
}

#[test]
fn a_restored_entry_is_of_a_key_that_was_created() {
    let early = restore(|frames| drop(frames.drain(6..8)));
    assert_eq!(early, Err(Rule::RestoreBelow));
    let elsewhere = restore(|frames| frames[6] = within(0x10, create_key_below([5; 16], NEW, 0)));
    assert_eq!(elsewhere, Err(Rule::RestoreBelow));
}

#[test]
fn a_restore_keeps_its_target() {
    let dropped = restore(|frames| frames[3] = within(0x13, payload().guid([7; 16])));
    assert_eq!(dropped, Ok(()));
    let created = restore(|frames| frames[6] = within(0x10, create_key(ROOT)));
    assert_eq!(created, Err(Rule::RestoreRoot));
}

#[test]
fn a_restored_entry_is_later_than_all_before() {
    let old = restore(|frames| frames[8] = within(0x02, create_entry(NEW, 100)));
    assert_eq!(old, Err(Rule::RestoreSequence));
}

#[test]
fn a_restore_ends_as_its_call_does() {
    let uncommitted = restore(|frames| *frames.last_mut().unwrap() = abort());
    assert_eq!(uncommitted, Err(Rule::RestoreEnded));
    let open = restore(|frames| drop(frames.pop()));
    assert_eq!(open, Err(Rule::RestoreEnded));
    let failed = Observation::Failed(Errno::EINVAL);
    assert_eq!(transfer(&RESTORE, &failed, vec![begin(0), read(), abort()]), Ok(()));
}
