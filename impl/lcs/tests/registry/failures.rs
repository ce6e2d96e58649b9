//! Sources that die, hang, refuse or lie.

use abi::Errno;
use abi::layout::DeleteKeyArgs;
use rsi::{Operation, Status};

use crate::client::Machine;

#[test]
fn a_down_source_is_an_io_error_and_fds_work_again_once_it_is_back() {
    let mut machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "").unwrap();
    let sequence = client.value(fd, "v").unwrap().sequence;
    machine.source.kill();
    assert_eq!(client.open("Machine\\A"), Err(Errno::EIO));
    assert_eq!(client.get(fd, "v"), Err(Errno::EIO));
    assert_eq!(client.set(fd, "v", 1, "none"), Err(Errno::ENOENT));
    assert_eq!(client.set(fd, "v", 2, ""), Err(Errno::EIO));
    assert_eq!(client.info(fd).map(|_| ()), Err(Errno::EIO));
    assert_eq!(client.subkeys(fd), [""; 0]);
    assert_eq!(client.flush(fd), Err(Errno::EIO));
    machine.restart();
    client.set(fd, "v", 3, "").unwrap();
    // The failed write never came to its number.
    assert_eq!(client.value(fd, "v").unwrap().sequence, sequence + 1);
}

#[test]
fn no_number_is_taken_for_a_source_that_is_down() {
    let mut machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "").unwrap();
    let sequence = client.value(fd, "v").unwrap().sequence;
    machine.source.kill();
    assert_eq!(client.blanket(fd, "", true), Err(Errno::EIO));
    assert_eq!(client.hide(fd, ""), Err(Errno::EIO));
    machine.restart();
    client.set(fd, "v", 1, "").unwrap();
    assert_eq!(client.value(fd, "v").unwrap().sequence, sequence + 1);
}

#[test]
fn a_key_that_did_not_come_back_is_not_there_and_takes_no_number() {
    let mut machine = Machine::new();
    let client = machine.client();
    let kept = client.make("Machine\\Kept");
    client.set(kept, "v", 1, "").unwrap();
    let mut args = client.create_args("Machine\\Lost", "");
    args.flags = abi::REG_OPTION_VOLATILE;
    let fd = client.go(|me| async move { me.create_with(args).await }).unwrap().0;
    let sequence = machine.source.store().max_sequence();
    machine.restart();
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
    assert_eq!(client.set(fd, "v", 1, ""), Err(Errno::ENOENT));
    assert_eq!(client.unset(fd, "v", ""), Err(Errno::ENOENT));
    assert_eq!(client.blanket(fd, "", true), Err(Errno::ENOENT));
    assert_eq!(client.hide(fd, ""), Err(Errno::ENOENT));
    assert_eq!(client.delete(fd, ""), Err(Errno::ENOENT));
    assert_eq!(client.info(fd).map(|_| ()), Err(Errno::ENOENT));
    client.flush(fd).unwrap();
    let mut args = client.create_args("B", "");
    args.parent_fd = fd;
    assert_eq!(client.go(|me| async move { me.create_with(args).await }), Err(Errno::ENOENT));
    client.set(kept, "v", 2, "").unwrap();
    assert_eq!(client.value(kept, "v").unwrap().sequence, sequence + 1);
    assert_eq!(client.close(fd), Ok(0));
}

#[test]
fn a_silent_source_times_out_and_its_late_success_takes_effect() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    let before = client.info(fd).unwrap().1;
    machine.source.store().stalled.insert(Operation::SetValue);
    assert_eq!(client.set(fd, "v", 1, ""), Err(Errno::ETIMEDOUT));
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
    assert_eq!(client.generation("Machine"), before.hive_generation);
    machine.source.answer_late();
    machine.settle();
    assert_eq!(client.get(fd, "v"), Ok((1, "base".to_owned())));
    let after = client.info(fd).unwrap().1;
    assert_eq!(after.hive_generation, before.hive_generation + 1);
    assert!(after.last_write_time > before.last_write_time);
}

#[test]
fn a_late_creation_is_completed() {
    let machine = Machine::new();
    let client = machine.client();
    machine.source.store().stalled.insert(Operation::CreateEntry);
    assert_eq!(client.create("Machine\\A", ""), Err(Errno::ETIMEDOUT));
    machine.source.answer_late();
    machine.settle();
    assert!(client.open("Machine\\A").is_ok());
}

#[test]
fn a_late_deletion_orphans_its_key() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    machine.source.store().stalled.insert(Operation::DeleteEntry);
    assert_eq!(client.delete(fd, ""), Err(Errno::ETIMEDOUT));
    machine.source.answer_late();
    machine.settle();
    assert_eq!(client.hide(fd, ""), Err(Errno::ENOENT));
    client.close(fd).unwrap();
    assert_eq!(machine.source.count(Operation::DropKey), 1);
}

#[test]
fn a_late_layer_change_reaches_the_table() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 0);
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "gpo").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    machine.source.store().stalled.insert(Operation::SetValue);
    assert_eq!(client.set(gpo, "Precedence", 5, ""), Err(Errno::ETIMEDOUT));
    machine.source.answer_late();
    machine.settle();
    assert_eq!(client.get(fd, "v"), Ok((1, "gpo".to_owned())));
}

#[test]
fn a_withheld_answer_holds_up_nobody_else() {
    let machine = Machine::new();
    let client = machine.client();
    let (slow, quick) = (client.make("Machine\\A"), client.make("Machine\\B"));
    machine.source.store().stalled.insert(Operation::SetValue);
    let set = |fd, me: &crate::client::Client| {
        let (me, args) = (me.clone(), me.set_args("v", 1, b"x", ""));
        async move { me.ioctl(fd, abi::ioctl::REG_IOC_SET_VALUE, args).await.0 }
    };
    let stuck = set(slow, &client);
    client.world.spawn(async move { assert_eq!(stuck.await, Err(Errno::ETIMEDOUT)) });
    client.world.run_until_stalled();
    let started = lcs::env::Env::now(&client.world.env);
    client.set(quick, "v", 2, "").unwrap();
    assert!(client.open("Machine\\A").is_ok());
    assert!(lcs::env::Env::now(&client.world.env) - started < 1_000_000);
}

#[test]
fn a_layer_is_deleted_only_after_the_writes_into_it() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let fd = client.make("Other\\A");
    machine.other.store().stalled.insert(Operation::SetValue);
    let (me, args) = (client.clone(), client.set_args("v", 1, b"x", "gpo"));
    client.world.spawn(async move {
        assert_eq!(me.ioctl(fd, abi::ioctl::REG_IOC_SET_VALUE, args).await.0, Ok(0));
    });
    client.world.run_until_stalled();
    let (me, args) = (client.clone(), DeleteKeyArgs { txn_fd: -1, ..DeleteKeyArgs::default() });
    client.world.spawn(async move {
        assert_eq!(me.ioctl(gpo, abi::ioctl::REG_IOC_DELETE_KEY, args).await.0, Ok(0));
    });
    client.world.run_until_stalled();
    assert_eq!(machine.other.count(Operation::DeleteLayer), 0);
    machine.other.answer_late();
    client.world.run_until_stalled();
    assert_eq!(machine.other.count(Operation::DeleteLayer), 1);
    assert!(machine.other.store().values.is_empty());
}

#[test]
fn a_read_that_a_layer_change_overtakes_is_resolved_under_the_new_layers() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    client.set(gpo, "Enabled", 0, "").unwrap();
    let fd = client.make("Other\\A");
    client.set(fd, "v", 1, "").unwrap();
    client.set(fd, "v", 2, "gpo").unwrap();
    machine.other.store().stalled.insert(Operation::QueryValues);
    let (me, args) = (client.clone(), client.query_args("v"));
    let done = std::rc::Rc::new(std::cell::Cell::new(None));
    let slot = std::rc::Rc::clone(&done);
    client.world.spawn(async move {
        let (result, args) = me.ioctl(fd, abi::ioctl::REG_IOC_QUERY_VALUE, args).await;
        slot.set(Some((result, me.memory.peek(args.data_ptr, 1))));
    });
    client.world.run_until_stalled();
    client.set(gpo, "Enabled", 1, "").unwrap();
    assert_eq!(done.take(), None);
    machine.other.answer_late();
    client.world.run_until_stalled();
    assert_eq!(done.take(), Some((Ok(0), vec![2])));
}

#[test]
fn a_death_between_the_requests_of_a_call_is_an_io_error() {
    let mut machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    machine.source.store().dies_at = Some(Operation::WriteKey);
    assert_eq!(client.set(fd, "v", 1, ""), Err(Errno::EIO));
    machine.source.store().dies_at = None;
    machine.restart();
    assert_eq!(client.get(fd, "v"), Ok((1, "base".to_owned())));
}

#[test]
fn a_death_that_hides_a_layer_change_is_made_up_for_when_the_source_is_back() {
    let mut machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 0);
    let fd = client.make("Other\\A");
    client.set(fd, "v", 1, "gpo").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    machine.source.store().dies_at = Some(Operation::WriteKey);
    assert_eq!(client.set(gpo, "Precedence", 5, ""), Err(Errno::EIO));
    machine.source.store().dies_at = None;
    machine.restart();
    assert_eq!(client.get(fd, "v"), Ok((1, "gpo".to_owned())));
}

#[test]
fn statuses_become_error_numbers() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    let refuse = |operation, status| {
        machine.source.store().refusals.insert(operation, status);
    };
    refuse(Operation::DeleteValueEntry, Status::NotFound);
    assert_eq!(client.unset(fd, "v", ""), Err(Errno::ENOENT));
    refuse(Operation::SetValue, Status::TooLarge);
    assert_eq!(client.set(fd, "v", 1, ""), Err(Errno::ENOSPC));
    refuse(Operation::Lookup, Status::NotFound);
    assert_eq!(client.open("Machine\\A"), Err(Errno::ENOENT));
    refuse(Operation::Lookup, Status::StorageError);
    assert_eq!(client.open("Machine\\A"), Err(Errno::EIO));
}

#[test]
fn an_entry_with_a_number_from_the_future_is_malformed_in_any_layer() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "").unwrap();
    let next = machine.source.store().max_sequence() + 1;
    let mut latent = machine.source.store().values.values().next().unwrap().clone();
    latent.layer = b"latent".to_vec();
    latent.sequence = next;
    let key = machine.source.store().values.keys().next().unwrap().clone();
    let key = (key.0, key.1, "latent".to_owned());
    machine.source.store().values.insert(key.clone(), latent);
    assert_eq!(client.get(fd, "v"), Err(Errno::EIO));
    machine.source.store().values.get_mut(&key).unwrap().sequence = next - 1;
    assert_eq!(client.get(fd, "v"), Ok((1, "base".to_owned())));
}
