//! Watches: arming, what is reported to whom, and how it is read.

use abi::layout::NotifyArgs;
use abi::{
    DACL_SECURITY_INFORMATION, Errno, KEY_ALL_ACCESS, KEY_QUERY_VALUE, REG_NOTIFY_ALL,
    REG_NOTIFY_SD, REG_NOTIFY_SUBKEY, REG_NOTIFY_VALUE,
};
use lcs::security::Token;
use rsi::{Operation, Status};

use crate::client::{Client, Machine};
use crate::world::{READ_ONLY, UNMAPPED};

/// A key with an armed watch.
fn watched(client: &Client, path: &str, filter: u32, subtree: bool) -> i32 {
    let fd = client.make(path);
    client.notify(fd, filter, subtree).unwrap();
    fd
}

#[test]
fn arming_checks_its_structure_then_the_mask_then_the_key() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    let blind = client
        .go(|me| async move { me.open_at(-1, "Machine\\A", KEY_QUERY_VALUE, 0).await.unwrap() });
    let plain = NotifyArgs { filter: REG_NOTIFY_VALUE, ..NotifyArgs::default() };
    for bad in [
        NotifyArgs { pad: [0, 0, 1], ..plain },
        NotifyArgs { subtree: 2, ..plain },
        NotifyArgs { filter: 8, ..plain },
    ] {
        assert_eq!(client.notify_with(blind, bad), Err(Errno::EINVAL));
    }
    assert_eq!(client.notify_with(blind, plain), Err(Errno::EACCES));
    assert_eq!(client.notify(blind, 0, false), Err(Errno::EACCES));
    client.delete(fd, "").unwrap();
    assert_eq!(client.notify_with(fd, plain), Err(Errno::ENOENT));
    assert_eq!(client.notify(fd, 0, false), Ok(()));
}

#[test]
fn a_watch_stays_armed_and_reads_in_order() {
    let client = Machine::new().client();
    let fd = watched(&client, "Machine\\A", REG_NOTIFY_ALL, false);
    client.set(fd, "v", 1, "").unwrap();
    assert_eq!(client.events(fd), ["VALUE_SET v"]);
    client.set(fd, "w", 1, "").unwrap();
    client.unset(fd, "V", "").unwrap();
    assert_eq!(client.events(fd), ["VALUE_SET w", "VALUE_DELETED v"]);
}

#[test]
fn reading_waits_for_nothing_and_needs_room_for_one_record() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    assert_eq!(client.read(fd, 64), Err(Errno::EAGAIN));
    client.notify(fd, REG_NOTIFY_VALUE, false).unwrap();
    assert_eq!(client.read(fd, 0), Err(Errno::EAGAIN));
    assert_eq!(client.read_at(fd, 0, 0), Err(Errno::EAGAIN));
    assert_eq!(client.read_at(fd, READ_ONLY, 1), Err(Errno::EFAULT));
    client.set(fd, "v", 1, "").unwrap();
    client.set(fd, "w", 1, "").unwrap();
    assert_eq!(client.read(fd, 8), Err(Errno::EINVAL));
    assert_eq!(client.read_at(fd, UNMAPPED, 64), Err(Errno::EFAULT));
    assert_eq!(client.read_at(fd, READ_ONLY - 32, 64), Err(Errno::EFAULT));
    assert_eq!(client.read(fd, 17).unwrap(), b"\x09\0\0\0\x01\0\x01\0v");
    assert_eq!(client.events(fd), ["VALUE_SET w"]);
}

#[test]
fn polling_says_whether_there_is_anything_to_read() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    assert_eq!(client.poll(fd), Ok(0));
    client.notify(fd, REG_NOTIFY_VALUE, false).unwrap();
    assert_eq!(client.poll(fd), Ok(0));
    client.set(fd, "v", 1, "").unwrap();
    assert_eq!(client.poll(fd), Ok(1));
    client.events(fd);
    assert_eq!(client.poll(fd), Ok(0));
    assert_eq!(client.poll(99), Err(Errno::EBADF));
}

#[test]
fn what_changes_nothing_effective_fires_nothing() {
    let client = Machine::new().client();
    client.layer("gpo", 5);
    let fd = watched(&client, "Machine\\A", REG_NOTIFY_ALL, false);
    client.set(fd, "v", 1, "gpo").unwrap();
    client.events(fd);
    client.set(fd, "v", 1, "gpo").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    client.unset(fd, "v", "").unwrap();
    client.unset(fd, "none", "").unwrap();
    client.blanket(fd, "", true).unwrap();
    let sd = client.security(fd, DACL_SECURITY_INFORMATION).unwrap();
    client.set_security(fd, DACL_SECURITY_INFORMATION, &sd).unwrap();
    assert_eq!(client.events(fd), [""; 0]);
}

#[test]
fn a_private_layer_does_not_count() {
    let client = Machine::new().client();
    let layer = client.layer("mine", 5);
    client.set(layer, "Enabled", 0, "").unwrap();
    let mut token = Token::system();
    token.private_layers.push("mine".to_owned());
    let private = client.with_token(token);
    let fd = watched(&private, "Machine\\A", REG_NOTIFY_ALL, false);
    private.set(fd, "v", 1, "mine").unwrap();
    assert_eq!(private.get(fd, "v"), Ok((1, "mine".to_owned())));
    assert_eq!(private.events(fd), [""; 0]);
}

#[test]
fn tombstones_delete_values_and_their_removal_sets_them() {
    let client = Machine::new().client();
    client.layer("gpo", 5);
    let fd = watched(&client, "Machine\\A", REG_NOTIFY_VALUE, false);
    client.set(fd, "Name", 1, "").unwrap();
    client.events(fd);
    client.bury(fd, "name", "gpo").unwrap();
    client.unset(fd, "NAME", "gpo").unwrap();
    assert_eq!(client.events(fd), ["VALUE_DELETED Name", "VALUE_SET Name"]);
}

#[test]
fn a_blanket_fires_once_for_each_value_that_it_masks_or_shows() {
    let client = Machine::new().client();
    client.layer("gpo", 5);
    client.layer("top", 9);
    let fd = client.make("Machine\\A");
    for name in ["b", "a", "c"] {
        client.set(fd, name, 1, "").unwrap();
    }
    client.set(fd, "c", 2, "top").unwrap();
    client.bury(fd, "gone", "top").unwrap();
    client.set(fd, "gone", 1, "").unwrap();
    client.notify(fd, REG_NOTIFY_VALUE, false).unwrap();
    client.blanket(fd, "gpo", true).unwrap();
    assert_eq!(client.events(fd), ["VALUE_DELETED a", "VALUE_DELETED b"]);
    client.blanket(fd, "gpo", false).unwrap();
    assert_eq!(client.events(fd), ["VALUE_SET a", "VALUE_SET b"]);
}

#[test]
fn a_key_that_comes_and_goes_is_told_of_at_its_parent_and_then_at_itself() {
    let client = Machine::new().client();
    let parent = watched(&client, "Machine\\P", REG_NOTIFY_SUBKEY, true);
    let child = watched(&client, "Machine\\P\\Child", REG_NOTIFY_VALUE, false);
    assert_eq!(client.events(parent), ["SUBKEY_CREATED Child @"]);
    client.delete(child, "").unwrap();
    assert_eq!(client.events(parent), ["SUBKEY_DELETED Child @", "KEY_DELETED @Child"]);
    assert_eq!(client.events(child), ["KEY_DELETED"]);
}

#[test]
fn another_key_that_surfaces_is_told_of_between() {
    let client = Machine::new().client();
    client.layer("gpo", 5);
    let lower = client.make("Machine\\P\\C");
    let parent = client.open("Machine\\P").unwrap();
    client.hide(lower, "gpo").unwrap();
    let (upper, _) = client.create("Machine\\P\\C", "gpo").unwrap();
    client.notify(parent, REG_NOTIFY_ALL, true).unwrap();
    client.notify(upper, REG_NOTIFY_ALL, false).unwrap();
    client.notify(lower, REG_NOTIFY_ALL, false).unwrap();
    client.delete(lower, "gpo").unwrap();
    let expected = ["SUBKEY_DELETED C @", "SUBKEY_CREATED C @", "KEY_DELETED @C"];
    assert_eq!(client.events(parent), expected);
    assert_eq!(client.events(upper), ["KEY_DELETED"]);
    assert_eq!(client.events(lower), [""; 0]);
}

#[test]
fn a_key_out_of_view_is_told_of_when_it_becomes_an_orphan() {
    let client = Machine::new().client();
    client.layer("gpo", 5);
    let fd = watched(&client, "Machine\\A", REG_NOTIFY_VALUE, false);
    let above = watched(&client, "Machine", REG_NOTIFY_VALUE, true);
    client.hide(fd, "gpo").unwrap();
    assert_eq!(client.events(fd), ["KEY_DELETED"]);
    assert_eq!(client.events(above), ["KEY_DELETED @A"]);
    client.delete(fd, "").unwrap();
    assert_eq!(client.events(fd), ["KEY_DELETED"]);
    assert_eq!(client.events(above), ["KEY_DELETED @A"]);
}

#[test]
fn a_key_that_comes_back_into_view_is_told_of_at_its_parent_alone() {
    let client = Machine::new().client();
    client.layer("gpo", 5);
    let child = watched(&client, "Machine\\P\\C", REG_NOTIFY_ALL, false);
    let parent = watched(&client, "Machine\\P", REG_NOTIFY_ALL, false);
    client.hide(child, "gpo").unwrap();
    client.set(child, "v", 1, "").unwrap();
    client.delete(child, "gpo").unwrap();
    client.set(child, "v", 2, "").unwrap();
    assert_eq!(client.events(parent), ["SUBKEY_DELETED C", "SUBKEY_CREATED C"]);
    assert_eq!(client.events(child), ["KEY_DELETED", "VALUE_SET v", "VALUE_SET v"]);
}

#[test]
fn a_changed_descriptor_is_told_of_at_the_key_and_above() {
    let client = Machine::new().client();
    let parent = watched(&client, "Machine\\P", REG_NOTIFY_SD, true);
    let child = watched(&client, "Machine\\P\\C", REG_NOTIFY_SD, false);
    let sd = client.security(child, DACL_SECURITY_INFORMATION).unwrap();
    let mut other = sd.clone();
    // SE_DACL_PROTECTED.
    other[3] ^= 0x10;
    client.set_security(child, DACL_SECURITY_INFORMATION, &other).unwrap();
    assert_eq!(client.events(child), ["SD_CHANGED"]);
    assert_eq!(client.events(parent), ["SD_CHANGED @C"]);
}

#[test]
fn a_filter_lets_only_its_categories_pass() {
    let client = Machine::new().client();
    let fds: Vec<i32> = [REG_NOTIFY_VALUE, REG_NOTIFY_SUBKEY, REG_NOTIFY_SD]
        .into_iter()
        .map(|filter| watched(&client, "Machine\\A", filter, false))
        .collect();
    client.set(fds[0], "v", 1, "").unwrap();
    client.make("Machine\\A\\B");
    assert_eq!(client.events(fds[0]), ["VALUE_SET v"]);
    assert_eq!(client.events(fds[1]), ["SUBKEY_CREATED B"]);
    assert_eq!(client.events(fds[2]), [""; 0]);
}

#[test]
fn a_subtree_watch_hears_of_descendants_and_a_direct_one_does_not() {
    let client = Machine::new().client();
    let deep = client.make("Machine\\A\\b\\C");
    let subtree = watched(&client, "machine\\a", REG_NOTIFY_VALUE, true);
    let direct = watched(&client, "Machine\\A", REG_NOTIFY_VALUE, false);
    client.set(deep, "v", 1, "").unwrap();
    client.set(direct, "w", 1, "").unwrap();
    assert_eq!(client.events(subtree), ["VALUE_SET v @b\\C", "VALUE_SET w @"]);
    assert_eq!(client.events(direct), ["VALUE_SET w"]);
}

#[test]
fn dispatch_follows_the_way_by_which_the_changing_fd_was_opened() {
    let client = Machine::new().client();
    client.layer("gpo", 5);
    let old = client.make("Machine\\A\\B");
    let above = watched(&client, "Machine\\A", REG_NOTIFY_VALUE, true);
    client.hide(above, "gpo").unwrap();
    let (new, _) = client.create("Machine\\A", "gpo").unwrap();
    client.notify(new, REG_NOTIFY_ALL, true).unwrap();
    client.events(above);
    client.set(old, "v", 1, "").unwrap();
    assert_eq!(client.events(above), ["VALUE_SET v @B"]);
    assert_eq!(client.events(new), [""; 0]);
}

#[test]
fn an_orphan_goes_on_reporting_and_may_be_armed_again() {
    let client = Machine::new().client();
    let fd = watched(&client, "Machine\\A", REG_NOTIFY_VALUE, false);
    client.delete(fd, "").unwrap();
    client.set(fd, "v", 1, "").unwrap();
    client.notify(fd, REG_NOTIFY_ALL, true).unwrap();
    client.set(fd, "v", 2, "").unwrap();
    assert_eq!(client.events(fd), ["KEY_DELETED", "VALUE_SET v", "VALUE_SET v @"]);
    client.notify(fd, 0, false).unwrap();
    assert_eq!(client.notify(fd, REG_NOTIFY_ALL, false), Err(Errno::ENOENT));
}

#[test]
fn arming_again_keeps_what_is_queued_and_disarming_drops_it() {
    let client = Machine::new().client();
    let fd = watched(&client, "Machine\\A", REG_NOTIFY_VALUE, false);
    client.set(fd, "v", 1, "").unwrap();
    client.notify(fd, REG_NOTIFY_SUBKEY, false).unwrap();
    client.set(fd, "v", 2, "").unwrap();
    assert_eq!(client.events(fd), ["VALUE_SET v"]);
    client.notify(fd, REG_NOTIFY_VALUE, false).unwrap();
    client.set(fd, "v", 3, "").unwrap();
    client.notify(fd, 0, false).unwrap();
    assert_eq!(client.poll(fd), Ok(0));
    client.set(fd, "v", 4, "").unwrap();
    client.notify(fd, REG_NOTIFY_VALUE, false).unwrap();
    assert_eq!(client.events(fd), [""; 0]);
}

#[test]
fn a_watch_ends_with_its_last_fd() {
    let machine = Machine::new();
    let (client, other) = (machine.client(), machine.client());
    let fd = watched(&client, "Machine\\A", REG_NOTIFY_VALUE, false);
    let passed = client.pass(fd, &other).unwrap();
    client.close(fd).unwrap();
    let writer = client.open("Machine\\A").unwrap();
    client.set(writer, "v", 1, "").unwrap();
    assert_eq!(other.events(passed), ["VALUE_SET v"]);
    other.close(passed).unwrap();
    let requests = machine.source.store().log.len();
    client.unset(writer, "v", "").unwrap();
    // Nobody watches, so nobody asks what was there.
    assert_eq!(machine.source.store().log.len(), requests + 2);
}

#[test]
fn a_full_queue_overflows() {
    let client = Machine::new().client();
    let fd = watched(&client, "Machine\\A", REG_NOTIFY_VALUE, false);
    for value in 0..260 {
        client.set(fd, &format!("v{value}"), value, "").unwrap();
    }
    let events = client.events(fd);
    assert_eq!(events.len(), 256);
    assert_eq!(events[0], "VALUE_SET v4");
    assert_eq!(events[252..], ["OVERFLOW", "VALUE_SET v257", "VALUE_SET v258", "VALUE_SET v259"]);
}

#[test]
fn a_source_that_comes_back_overflows_its_watches_and_no_others() {
    let mut machine = Machine::new();
    let client = machine.client();
    let fd = watched(&client, "Machine\\A", REG_NOTIFY_VALUE, true);
    let other = watched(&client, "Other\\A", REG_NOTIFY_VALUE, false);
    machine.source.kill();
    machine.settle();
    assert_eq!(client.set(fd, "v", 1, ""), Err(Errno::EIO));
    assert_eq!(client.events(fd), [""; 0]);
    client.notify(fd, REG_NOTIFY_ALL, true).unwrap();
    machine.restart();
    assert_eq!(client.events(fd), ["OVERFLOW"]);
    client.set(fd, "v", 1, "").unwrap();
    assert_eq!(client.events(fd), ["VALUE_SET v @"]);
    assert_eq!(client.events(other), [""; 0]);
}

#[test]
fn what_cannot_be_told_is_an_overflow_for_those_who_could_have_seen_it() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = watched(&client, "Machine\\A", REG_NOTIFY_VALUE, false);
    let above = watched(&client, "Machine", REG_NOTIFY_SUBKEY, true);
    client.set(fd, "v", 1, "").unwrap();
    client.events(fd);
    machine.source.store().refusals.insert(Operation::QueryValues, Status::StorageError);
    client.unset(fd, "v", "").unwrap();
    assert_eq!(client.events(fd), ["OVERFLOW"]);
    assert_eq!(client.events(above), [""; 0]);
}

#[test]
fn a_link_is_no_way_to_what_it_leads_to() {
    let client = Machine::new().client();
    let target = client.make("Machine\\Real\\K");
    let mut args = client.create_args("Machine\\Links\\L", "");
    let links = watched(&client, "Machine\\Links", REG_NOTIFY_VALUE, true);
    args.flags = abi::REG_OPTION_CREATE_LINK;
    let (link, _) = client.go(|me| async move { me.create_with(args).await }).unwrap();
    let path = client.set_args("", abi::value_type::REG_LINK, b"Machine\\Real", "");
    client.set_with(link, path).unwrap();
    client.events(links);
    let real = watched(&client, "Machine\\Real", REG_NOTIFY_VALUE, true);
    let through = client.go(|me| async move {
        me.open_at(-1, "Machine\\Links\\L\\K", KEY_ALL_ACCESS, 0).await.unwrap()
    });
    client.set(through, "v", 1, "").unwrap();
    client.set(target, "v", 2, "").unwrap();
    assert_eq!(client.events(real), ["VALUE_SET v @K", "VALUE_SET v @K"]);
    assert_eq!(client.events(links), [""; 0]);
}

#[test]
fn a_late_success_is_told_when_it_is_heard_of() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = watched(&client, "Machine\\A", REG_NOTIFY_VALUE, false);
    machine.source.store().stalled.insert(Operation::SetValue);
    assert_eq!(client.set(fd, "v", 1, ""), Err(Errno::ETIMEDOUT));
    assert_eq!(client.events(fd), [""; 0]);
    machine.source.answer_late();
    machine.settle();
    assert_eq!(client.events(fd), ["VALUE_SET v"]);
}

#[test]
fn a_late_success_that_was_overtaken_is_an_overflow() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = watched(&client, "Machine\\A", REG_NOTIFY_VALUE, false);
    machine.source.store().stalled.insert(Operation::SetValue);
    assert_eq!(client.set(fd, "v", 1, ""), Err(Errno::ETIMEDOUT));
    client.set(fd, "v", 1, "").unwrap();
    machine.source.answer_late();
    machine.settle();
    assert_eq!(client.events(fd), ["VALUE_SET v", "OVERFLOW"]);
}

#[test]
fn a_hidden_entry_that_is_lost_in_a_failed_creation_shows_what_it_hid() {
    let machine = Machine::new();
    let client = machine.client();
    client.layer("gpo", 5);
    let child = client.make("Machine\\P\\C");
    let parent = watched(&client, "Machine\\P", REG_NOTIFY_SUBKEY, false);
    client.hide(child, "gpo").unwrap();
    client.events(parent);
    machine.source.store().refusals.insert(Operation::CreateEntry, Status::StorageError);
    assert_eq!(client.create("Machine\\P\\C", "gpo"), Err(Errno::EIO));
    assert_eq!(client.events(parent), ["SUBKEY_CREATED C"]);
}

#[test]
fn a_creation_that_is_refused_tells_nothing() {
    let machine = Machine::new();
    let client = machine.client();
    let parent = client.make("Machine\\P");
    client.notify(parent, REG_NOTIFY_ALL, true).unwrap();
    machine.source.store().refusals.insert(Operation::CreateKey, Status::StorageError);
    assert_eq!(client.create("Machine\\P\\C", ""), Err(Errno::EIO));
    assert_eq!(client.events(parent), [""; 0]);
}

#[test]
fn a_read_of_no_length_looks_at_no_address() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    for address in [0, UNMAPPED, READ_ONLY] {
        assert_eq!(client.read_at(fd, address, 0), Err(Errno::EAGAIN));
    }
    client.notify(fd, REG_NOTIFY_ALL, false).unwrap();
    client.set(fd, "v", 1, "").unwrap();
    for address in [0, UNMAPPED, READ_ONLY] {
        assert_eq!(client.read_at(fd, address, 0), Err(Errno::EINVAL));
        assert_eq!(client.read_at(fd, address, 1), Err(Errno::EFAULT));
    }
    assert_eq!(client.events(fd), ["VALUE_SET v"]);
}
