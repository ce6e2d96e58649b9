//! Which changes are noticed, and what comes of them before the call returns.

use abi::Errno;
use abi::value_type::{REG_DWORD, REG_SZ};
use rsi::Operation;

use super::{REGISTRY, is_small, prepared, reports};
use crate::client::Machine;

#[test]
fn a_good_number_is_in_force_when_the_write_returns_whatever_its_spelling() {
    let (machine, client, registry, other) = prepared();
    client.set(registry, "mAXvALUEsIZE", 4096, "").unwrap();
    assert!(is_small(&client, other));
    client.set(registry, "MaxValueSize", 5000, "").unwrap();
    assert!(!is_small(&client, other));
    assert_eq!(reports(&machine), [""; 0]);
}

#[test]
fn what_is_invalid_is_stored_and_reported_and_changes_nothing() {
    let (machine, client, registry, other) = prepared();
    client.set(registry, "MaxValueSize", 4096, "").unwrap();
    client.set(registry, "MaxValueSize", 4095, "").unwrap();
    assert_eq!(client.get(registry, "MaxValueSize").unwrap().0, 4095);
    assert_eq!(reports(&machine), ["MaxValueSize dword_out_of_range 4095, 4096 stays"]);
    client.set_with(registry, client.set_args("MaxValueSize", REG_SZ, b"x", "")).unwrap();
    assert_eq!(reports(&machine), ["MaxValueSize wrong_type 1, 4096 stays"]);
    client.set_with(registry, client.set_args("MaxValueSize", REG_DWORD, b"xyz", "")).unwrap();
    assert_eq!(reports(&machine), ["MaxValueSize wrong_type 4, 4096 stays"]);
    client.unset(registry, "MaxValueSize", "").unwrap();
    assert_eq!(reports(&machine), ["MaxValueSize missing , 4096 stays"]);
    assert!(is_small(&client, other));
}

#[test]
fn a_write_that_changes_no_parameter_reports_none() {
    let (machine, client, registry, _) = prepared();
    client.set(registry, "MaxValueSize", 1, "").unwrap();
    reports(&machine);
    client.set(registry, "MaxValueSize", 1, "").unwrap();
    client.set(registry, "Unknown", 1, "").unwrap();
    client.unset(registry, "MaxKeyDepth", "").unwrap();
    assert_eq!(reports(&machine), [""; 0]);
}

#[test]
fn a_report_that_cannot_be_kept_fails_nothing() {
    let (machine, client, registry, other) = prepared();
    machine.world.env.refuse_audit(true);
    client.set(registry, "MaxValueSize", 1, "").unwrap();
    client.set(registry, "MaxValueSize", 4096, "").unwrap();
    assert!(is_small(&client, other));
}

#[test]
fn the_layers_decide_and_so_does_each_change_of_them() {
    let (machine, client, registry, other) = prepared();
    let gpo = client.layer("gpo", 5);
    client.set(registry, "MaxValueSize", 4096, "").unwrap();
    client.set(registry, "MaxValueSize", 5000, "gpo").unwrap();
    assert!(!is_small(&client, other));
    client.set(gpo, "Enabled", 0, "").unwrap();
    assert!(is_small(&client, other));
    client.set(gpo, "Enabled", 1, "").unwrap();
    assert!(!is_small(&client, other));
    client.delete(gpo, "").unwrap();
    assert!(is_small(&client, other));
    assert_eq!(reports(&machine), [""; 0]);
}

#[test]
fn tombstones_and_blankets_make_a_parameter_missing() {
    let (machine, client, registry, other) = prepared();
    client.layer("gpo", 5);
    client.set(registry, "MaxValueSize", 4096, "").unwrap();
    client.bury(registry, "MaxValueSize", "gpo").unwrap();
    assert_eq!(reports(&machine), ["MaxValueSize missing , 4096 stays"]);
    client.unset(registry, "MaxValueSize", "gpo").unwrap();
    assert_eq!(reports(&machine), [""; 0]);
    client.blanket(registry, "gpo", true).unwrap();
    assert_eq!(reports(&machine), ["MaxValueSize missing , 4096 stays"]);
    client.blanket(registry, "gpo", false).unwrap();
    assert!(is_small(&client, other));
}

#[test]
fn a_commit_is_followed_as_a_whole_and_not_before() {
    let (machine, client, registry, other) = prepared();
    let transaction = client.begin().unwrap();
    let within = client.within(transaction);
    within.set(registry, "MaxValueSize", 4096, "").unwrap();
    within.set(registry, "MaxKeyDepth", 31, "").unwrap();
    assert!(!is_small(&client, other));
    client.commit(transaction).unwrap();
    assert!(is_small(&client, other));
    assert_eq!(reports(&machine), ["MaxKeyDepth dword_out_of_range 31, 512 stays"]);
}

#[test]
fn a_commit_that_makes_the_key_is_followed() {
    let machine = Machine::new();
    let client = machine.client();
    let (other, root) = (client.make("Other\\A"), client.open("Machine").unwrap());
    let transaction = client.begin().unwrap();
    let within = client.within(transaction);
    let mut parent = root;
    for name in ["System", "Registry"] {
        let mut args = within.create_args(name, "");
        args.parent_fd = parent;
        parent = within.go(|me| async move { me.create_with(args).await }).unwrap().0;
    }
    within.set(parent, "MaxValueSize", 4096, "").unwrap();
    assert_eq!(reports(&machine), [""; 0]);
    client.commit(transaction).unwrap();
    assert!(is_small(&client, other));
    assert_eq!(reports(&machine).len(), 18);
}

#[test]
fn out_of_sight_everything_stays_and_back_in_sight_everything_is_read() {
    let (machine, client, registry, other) = prepared();
    client.layer("gpo", 5);
    client.set(registry, "MaxValueSize", 4096, "").unwrap();
    // What has visible subkeys cannot come back.
    let layers = client.open("Machine\\System\\Registry\\Layers").unwrap();
    client.hide(layers, "gpo").unwrap();
    client.hide(registry, "gpo").unwrap();
    assert_eq!(reports(&machine), [""; 0]);
    client.set(registry, "MaxValueSize", 5000, "").unwrap();
    assert!(is_small(&client, other));
    client.delete(registry, "gpo").unwrap();
    assert!(!is_small(&client, other));
    assert_eq!(reports(&machine).len(), 18);
}

#[test]
fn another_key_in_its_place_is_read_as_at_boot() {
    let (machine, client, registry, other) = prepared();
    client.layer("gpo", 5);
    client.set(registry, "MaxValueSize", 4096, "").unwrap();
    client.hide(registry, "gpo").unwrap();
    let (new, _) = client.create(REGISTRY, "gpo").unwrap();
    assert_eq!(reports(&machine).len(), 19);
    assert!(is_small(&client, other));
    client.set(registry, "MaxValueSize", 5000, "").unwrap();
    assert!(is_small(&client, other));
    client.set(new, "MaxValueSize", 6000, "").unwrap();
    assert!(!is_small(&client, other));
}

#[test]
fn malformed_data_leaves_the_numbers_and_the_call_as_they_are() {
    let (machine, client, registry, other) = prepared();
    client.set(registry, "MaxValueSize", 4096, "").unwrap();
    client.set(registry, "Unknown", 1, "").unwrap();
    let spoil = |sequence| {
        let mut store = machine.source.store();
        let mut values = store.values.iter_mut();
        values.find(|((_, name, _), _)| name == "unknown").unwrap().1.sequence = sequence;
    };
    spoil(u64::MAX);
    client.set(registry, "MaxValueSize", 5000, "").unwrap();
    assert!(is_small(&client, other));
    assert_eq!(reports(&machine), [""; 0]);
    spoil(1);
    client.set(registry, "MaxValueSize", 5001, "").unwrap();
    assert!(!is_small(&client, other));
}

#[test]
fn what_was_not_answered_is_asked_again_at_the_next_change() {
    let (machine, client, registry, other) = prepared();
    let elsewhere = client.make("Machine\\B");
    machine.source.store().stalled.insert(Operation::QueryValues);
    // A removal asks for no values itself.
    client.unset(registry, "MaxValueSize", "").unwrap();
    client.set(registry, "MaxValueSize", 4096, "").unwrap();
    assert!(is_small(&client, other));
    machine.source.store().stalled.insert(Operation::QueryValues);
    client.unset(registry, "MaxValueSize", "").unwrap();
    assert_eq!(reports(&machine), [""; 0]);
    client.set(elsewhere, "v", 1, "").unwrap();
    assert_eq!(reports(&machine), ["MaxValueSize missing , 4096 stays"]);
}

#[test]
fn a_call_that_the_layers_fail_is_followed_all_the_same() {
    let (machine, client, registry, other) = prepared();
    let gpo = client.layer("gpo", 5);
    client.set(registry, "MaxValueSize", 4096, "gpo").unwrap();
    let transaction = client.begin().unwrap();
    let within = client.within(transaction);
    within.set(gpo, "Precedence", 7, "").unwrap();
    within.set(gpo, "Enabled", 5, "").unwrap();
    within.set(registry, "MaxValueSize", 5000, "gpo").unwrap();
    client.commit(transaction).unwrap();
    assert!(!is_small(&client, other));
    assert_eq!(client.set(gpo, "Enabled", 6, ""), Err(Errno::EIO));
    assert_eq!(reports(&machine), [""; 0]);
}

#[test]
fn only_the_global_machine_hive_counts() {
    let (_machine, client, _, other) = prepared();
    let elsewhere = client.make("Users\\System\\Registry");
    client.set(elsewhere, "MaxValueSize", 4096, "").unwrap();
    assert!(!is_small(&client, other));
}

#[test]
fn calls_that_touch_no_parameter_ask_for_none() {
    let (machine, client, registry, _) = prepared();
    let fd = client.make("Machine\\A");
    let asked = |work: &dyn Fn()| {
        let before = machine.source.store().log.len();
        work();
        machine.source.store().log[before..].to_vec()
    };
    let client = &client;
    let write = |fd| move || client.set(fd, "v", 1, "").unwrap();
    let written = [Operation::QueryValues, Operation::SetValue, Operation::WriteKey];
    assert_eq!(asked(&write(fd)), written);
    let followed = [written.as_slice(), &[Operation::QueryValues]].concat();
    assert_eq!(asked(&write(registry)), followed);
}

#[test]
fn writes_at_the_same_time_are_all_followed() {
    let (machine, client, registry, _) = prepared();
    let names = ["MaxScopeGUIDsPerToken", "MaxPrivateLayersPerToken", "MaxKeyDepth"];
    for (name, number) in names.into_iter().zip([1_u32, 2, 31]) {
        let (me, bytes) = (client.clone(), number.to_le_bytes());
        let args = client.set_args(name, REG_DWORD, &bytes, "");
        client.world.spawn(async move {
            let set = me.ioctl(registry, abi::ioctl::REG_IOC_SET_VALUE, args).await.0;
            assert_eq!(set, Ok(0));
        });
    }
    client.world.run_until_stalled();
    let limits = machine.lcs.attachment_limits();
    assert_eq!((limits.scopes_max, limits.private_layers_max), (1, 2));
    assert_eq!(reports(&machine), ["MaxKeyDepth dword_out_of_range 31, 512 stays"]);
}

#[test]
fn a_write_whose_answer_comes_late_is_followed_then() {
    let (machine, client, registry, other) = prepared();
    machine.source.store().stalled.insert(Operation::SetValue);
    assert_eq!(client.set(registry, "MaxValueSize", 4096, ""), Err(Errno::ETIMEDOUT));
    assert!(!is_small(&client, other));
    machine.source.answer_late();
    machine.settle();
    assert!(is_small(&client, other));
}
