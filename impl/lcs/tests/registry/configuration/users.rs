//! Each number binds those that it is for, from the next operation on.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use abi::value_type::REG_BINARY;
use abi::{Errno, REG_TXN_ACTIVE_UNBOUND, REG_TXN_TIMED_OUT};
use lcs::Registration;
use lcs::security::Token;
use rsi::Operation;

use super::{prepared, reports, set_bytes, sleep};
use crate::client::Machine;
use crate::source::hive;

#[test]
fn sizes_of_values() {
    let (_machine, client, registry, other) = prepared();
    client.set(registry, "MaxValueSize", 2 << 20, "").unwrap();
    assert_eq!(set_bytes(&client, other, 2 << 20), Ok(()));
    assert_eq!(set_bytes(&client, other, (2 << 20) + 1), Err(Errno::ENOSPC));
}

#[test]
fn lengths_of_components_value_names_and_layer_names() {
    let (_machine, client, registry, other) = prepared();
    for length in [64, 1024] {
        client.set(registry, "MaxPathComponentLength", length as u32, "").unwrap();
        let (good, bad) = ("x".repeat(length), "x".repeat(length + 1));
        assert!(client.create(&format!("Other\\{good}"), "").is_ok());
        let created = client.create(&format!("Other\\{bad}"), "");
        assert_eq!(created.err(), Some(Errno::ENAMETOOLONG));
        assert_eq!(client.set(other, &good, 1, ""), Ok(()));
        assert_eq!(client.set(other, &bad, 1, ""), Err(Errno::ENAMETOOLONG));
        assert_eq!(client.set(other, "v", 1, &good), Err(Errno::ENOENT));
        assert_eq!(client.set(other, "v", 1, &bad), Err(Errno::ENAMETOOLONG));
        let created = client.create("Other\\New", &bad);
        assert_eq!(created.err(), Some(Errno::ENAMETOOLONG));
    }
}

#[test]
fn names_in_answers_are_as_long_as_names_in_calls_may_be() {
    let (_machine, client, registry, other) = prepared();
    client.set(other, &"v".repeat(65), 1, "").unwrap();
    assert!(client.batch(other).is_ok());
    client.set(registry, "MaxPathComponentLength", 64, "").unwrap();
    assert_eq!(client.batch(other), Err(Errno::EIO));
    client.set(registry, "MaxPathComponentLength", 65, "").unwrap();
    assert!(client.batch(other).is_ok());
}

#[test]
fn lengths_and_depths_of_paths() {
    let (_machine, client, registry, _) = prepared();
    client.set(registry, "MaxTotalPathLength", 1024, "").unwrap();
    let path = |length: usize| format!("Other{}", "\\a".repeat((length - 5) / 2));
    assert_eq!(client.open(&path(1023)), Err(Errno::ENOENT));
    assert_eq!(client.open(&path(1025)), Err(Errno::ENAMETOOLONG));
    client.set(registry, "MaxKeyDepth", 32, "").unwrap();
    assert_eq!(client.open(&path(5 + 2 * 31)), Err(Errno::ENOENT));
    assert_eq!(client.open(&path(5 + 2 * 32)), Err(Errno::EINVAL));
}

#[test]
fn layers_of_a_value_and_of_the_table() {
    let (_machine, client, registry, other) = prepared();
    client.layer("role", 0);
    client.set(registry, "MaxLayersPerValue", 1, "").unwrap();
    client.set(other, "v", 1, "").unwrap();
    assert_eq!(client.set(other, "v", 1, "role"), Err(Errno::ENOSPC));
    client.set(registry, "MaxLayersPerValue", 2, "").unwrap();
    assert_eq!(client.set(other, "v", 1, "role"), Ok(()));
    client.set(registry, "MaxTotalLayers", 16, "").unwrap();
    for index in 2..16 {
        client.layer(&format!("l{index}"), 0);
    }
    let more = client.create("Machine\\System\\Registry\\Layers\\more", "");
    assert_eq!(more.err(), Some(Errno::ENOSPC));
}

#[test]
fn bound_transactions_of_a_source() {
    let (_machine, client, registry, other) = prepared();
    client.set(registry, "MaxBoundTransactionsPerSource", 1, "").unwrap();
    let (first, second) = (client.begin().unwrap(), client.begin().unwrap());
    client.within(first).set(other, "v", 1, "").unwrap();
    assert_eq!(client.within(second).set(other, "w", 1, ""), Err(Errno::EBUSY));
    client.commit(first).unwrap();
    assert_eq!(client.within(second).set(other, "w", 1, ""), Ok(()));
}

#[test]
fn a_transaction_lives_as_long_as_was_said_when_it_began() {
    let (_machine, client, registry, _) = prepared();
    let old = client.begin().unwrap();
    client.set(registry, "TransactionTimeoutMs", 1000, "").unwrap();
    let new = client.begin().unwrap();
    sleep(&client, 1000);
    assert_eq!(client.status(old).unwrap().0, REG_TXN_ACTIVE_UNBOUND);
    assert_eq!(client.status(new).unwrap().0, REG_TXN_TIMED_OUT);
    sleep(&client, 29_000);
    assert_eq!(client.status(old).unwrap().0, REG_TXN_TIMED_OUT);
}

#[test]
fn sources_and_their_hives() {
    let (machine, client, registry, _) = prepared();
    client.set(registry, "MaxHivesPerSource", 1, "").unwrap();
    client.set(registry, "MaxRegisteredSources", 3, "").unwrap();
    let register = |names: &[&str]| {
        let device = machine.lcs.open_device(&Arc::new(Token::system()))?;
        let hives = names.iter().zip(50..).map(|(name, root)| hive(name, root)).collect();
        device.register(&Registration { hives, max_sequence: 0 })
    };
    assert_eq!(register(&["a", "b"]), Err(Errno::ENOSPC));
    assert_eq!(register(&["a"]), Ok(()));
    assert_eq!(register(&["c"]), Err(Errno::ENOSPC));
}

#[test]
fn links_followed_in_one_walk() {
    let (_machine, client, registry, _) = prepared();
    client.make("Other\\End");
    let link = |name: &str, target: &str| {
        let mut args = client.create_args(&format!("Other\\{name}"), "");
        args.flags = abi::REG_OPTION_CREATE_LINK;
        let fd = client.go(|me| async move { me.create_with(args).await }).unwrap().0;
        let kind = abi::value_type::REG_LINK;
        client.set_with(fd, client.set_args("", kind, target.as_bytes(), "")).unwrap();
    };
    link("One", "Other\\End");
    link("Two", "Other\\One");
    client.set(registry, "SymlinkDepthLimit", 1, "").unwrap();
    assert!(client.open("Other\\One").is_ok());
    assert_eq!(client.open("Other\\Two"), Err(Errno::ELOOP));
}

#[test]
fn queues_and_bursts_and_depths_of_watches() {
    let (_machine, client, registry, other) = prepared();
    let deep = client.make("Other\\A\\B\\C");
    client.set(registry, "NotificationQueueSize", 16, "").unwrap();
    client.set(registry, "MaxSubtreeWatchDepth", 1, "").unwrap();
    client.notify(other, abi::REG_NOTIFY_ALL, true).unwrap();
    client.set(deep, "v", 1, "").unwrap();
    assert_eq!(client.events(other), [""; 0]);
    for number in 0..17 {
        client.set(other, "v", number, "").unwrap();
    }
    assert_eq!(client.events(other).len(), 16);
    client.set(registry, "NotificationQueueSize", 1000, "").unwrap();
    client.set(registry, "MaxTransactionWatchEventBurst", 256, "").unwrap();
    let transaction = client.begin().unwrap();
    let within = client.within(transaction);
    for number in 0..257 {
        within.set(other, "v", number, "").unwrap();
    }
    client.commit(transaction).unwrap();
    assert_eq!(client.events(other), ["OVERFLOW"]);
}

#[test]
fn the_time_that_a_request_may_take_is_that_of_its_call() {
    let (machine, client, registry, other) = prepared();
    client.set(registry, "RequestTimeoutMs", 1000, "").unwrap();
    machine.other.store().stalled.insert(Operation::QueryValues);
    let now = || lcs::env::Env::now(&machine.world.env);
    let start = now();
    assert_eq!(client.get(other, "v"), Err(Errno::ETIMEDOUT));
    // The clock moves a little by itself.
    assert_eq!((now() - start) / 1_000, 1_000_000);
}

#[test]
fn a_call_under_way_keeps_what_it_began_with() {
    let (machine, client, registry, other) = prepared();
    machine.other.store().stalled.insert(Operation::QueryValues);
    let (me, args) = (client.clone(), client.set_args("v", REG_BINARY, &[7; 5000], ""));
    let done = Rc::new(Cell::new(None));
    let slot = Rc::clone(&done);
    client.world.spawn(async move {
        slot.set(Some(me.ioctl(other, abi::ioctl::REG_IOC_SET_VALUE, args).await.0));
    });
    client.world.run_until_stalled();
    client.set(registry, "RequestTimeoutMs", 1000, "").unwrap();
    client.set(registry, "MaxLayersPerValue", 1, "").unwrap();
    // Its second request is sent under the new numbers, and has the old time.
    machine.other.store().stalled.insert(Operation::SetValue);
    machine.other.answer_first();
    client.world.run_until_stalled();
    assert_eq!(machine.other.count(Operation::SetValue), 1);
    sleep(&client, 29_000);
    assert_eq!(done.take(), None);
    sleep(&client, 1_001);
    assert_eq!(done.take(), Some(Err(Errno::ETIMEDOUT)));
}

#[test]
fn requests_in_flight_of_every_source() {
    let (machine, client, registry, other) = prepared();
    client.set(registry, "MaxConcurrentRSIRequests", 8, "").unwrap();
    client.set(registry, "RequestTimeoutMs", 1000, "").unwrap();
    for _ in 0..8 {
        machine.other.store().stalled.insert(Operation::QueryValues);
        assert_eq!(client.get(other, "v"), Err(Errno::ETIMEDOUT));
    }
    let asked = machine.other.count(Operation::QueryValues);
    assert_eq!(client.get(other, "v"), Err(Errno::ETIMEDOUT));
    assert_eq!(machine.other.count(Operation::QueryValues), asked);
    client.set(registry, "MaxConcurrentRSIRequests", 9, "").unwrap();
    assert_eq!(client.get(other, "v"), Err(Errno::ENOENT));
    assert_eq!(reports(&machine), [""; 0]);
}

#[test]
fn what_may_be_attached_to_a_token() {
    let (machine, client, registry, _) = prepared();
    client.set(registry, "MaxScopeGUIDsPerToken", 1, "").unwrap();
    client.set(registry, "MaxPrivateLayersPerToken", 2, "").unwrap();
    let limits = machine.lcs.attachment_limits();
    assert_eq!((limits.scopes_max, limits.private_layers_max), (1, 2));
    assert_eq!(Machine::new().lcs.attachment_limits(), lcs::AttachmentLimits::default());
}
