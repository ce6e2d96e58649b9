//! Opening and creating.

use abi::{DELETE, Errno, KEY_QUERY_VALUE, KEY_READ, MAXIMUM_ALLOWED, REG_CREATED_NEW};
use abi::{REG_OPENED_EXISTING, REG_OPTION_VOLATILE};
use lcs::security::{Group, Sid, Token};
use rsi::{Operation, Status};

use crate::client::Machine;

#[test]
fn a_created_key_can_be_opened_and_holds_a_value() {
    let client = Machine::new().client();
    let (fd, disposition) = client.create("Machine\\Software", "").unwrap();
    assert_eq!((fd, disposition), (3, REG_CREATED_NEW));
    client.set(fd, "x", 5, "").unwrap();
    let again = client.open("machine/SOFTWARE").unwrap();
    assert_eq!(client.get(again, "X"), Ok((5, "base".to_owned())));
    assert_eq!(client.close(fd), Ok(0));
    assert_eq!(client.close(fd), Err(Errno::EBADF));
    assert_eq!(client.create("Machine\\software", "nowhere").unwrap(), (3, REG_OPENED_EXISTING));
}

#[test]
fn an_open_never_creates_and_a_creation_makes_only_the_last_component() {
    let client = Machine::new().client();
    assert_eq!(client.open("Machine\\A"), Err(Errno::ENOENT));
    assert_eq!(client.create("Machine\\A\\B", ""), Err(Errno::ENOENT));
    assert_eq!(client.open("Nowhere\\A"), Err(Errno::ENOENT));
}

#[test]
fn a_hive_root_opens_under_its_registered_name() {
    let client = Machine::new().client();
    let fd = client.open("MACHINE").unwrap();
    assert_eq!(client.info(fd).unwrap().0, "Machine");
}

#[test]
fn a_relative_path_starts_at_the_parent_key() {
    let client = Machine::new().client();
    let parent = client.make("Machine\\A");
    client.make("Machine\\A\\B\\C");
    let fd = client.go(|me| async move { me.open_at(parent, "b/c", KEY_READ, 0).await }).unwrap();
    assert_eq!(client.info(fd).unwrap().0, "c");
    let bad = client.go(|me| async move { me.open_at(99, "b", KEY_READ, 0).await });
    assert_eq!(bad, Err(Errno::EBADF));
}

#[test]
fn an_open_grants_what_was_asked_or_nothing() {
    let machine = Machine::new();
    let client = machine.client();
    client.make("Machine\\A");
    let mut token = Token::user(Sid::new(5, &[21, 1, 2, 3, 1000]).unwrap());
    token.groups.push(Group::enabled(Sid::AUTHENTICATED_USERS));
    let user = client.with_token(token);
    let open =
        |access| user.go(move |me| async move { me.open_at(-1, "Machine\\A", access, 0).await });
    let fd = open(KEY_READ).unwrap();
    assert_eq!(user.set(fd, "x", 1, ""), Err(Errno::EACCES));
    assert_eq!(open(KEY_READ | DELETE), Err(Errno::EACCES));
    assert_eq!(open(0), Err(Errno::EINVAL));
    assert_eq!(open(0x0010_0000), Err(Errno::EINVAL));
    let fd = open(MAXIMUM_ALLOWED).unwrap();
    assert!(user.info(fd).is_ok());
    assert_eq!(user.create("Machine\\A\\B", "").map(|_| ()), Err(Errno::EACCES));
}

#[test]
fn a_passed_fd_is_the_same_open_description() {
    let machine = Machine::new();
    let (first, second) = (machine.client(), machine.client());
    let fd = first.make("Machine\\A");
    assert_eq!(first.pass(fd, &second), Ok(3));
    second.set(3, "x", 9, "").unwrap();
    first.close(fd).unwrap();
    assert_eq!(second.get(3, "x"), Ok((9, "base".to_owned())));
}

#[test]
fn fds_are_the_lowest_free_numbers() {
    let client = Machine::new().client();
    assert_eq!(client.open("Machine"), Ok(3));
    assert_eq!(client.open("Machine"), Ok(4));
    client.close(3).unwrap();
    assert_eq!(client.open("Machine"), Ok(3));
    assert_eq!(client.open("Machine"), Ok(5));
}

#[test]
fn children_of_a_volatile_key_are_volatile() {
    let client = Machine::new().client();
    let mut args = client.create_args("Machine\\V", "");
    args.flags = REG_OPTION_VOLATILE;
    client.go(|me| async move { me.create_with(args).await }).unwrap();
    assert_eq!(client.create("Machine\\V\\A", ""), Err(Errno::EINVAL));
}

#[test]
fn a_creation_that_is_denied_its_access_leaves_the_key() {
    let machine = Machine::new();
    let client = machine.client();
    let before = client.generation("Machine");
    let mut args = client.create_args("Machine\\A", "");
    args.desired_access |= abi::ACCESS_SYSTEM_SECURITY;
    let mut token = Token::system();
    token.privileges = lcs::security::Privileges::NONE;
    let poor = client.with_token(token);
    assert_eq!(poor.go(|me| async move { me.create_with(args).await }), Err(Errno::EACCES));
    assert!(client.open("Machine\\A").is_ok());
    assert_eq!(client.generation("Machine"), before + 1);
}

#[test]
fn a_creation_in_a_layer_that_has_a_masked_entry_opens_and_finds_nothing() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    client.layer("gpo", 5);
    client.hide(fd, "gpo").unwrap();
    assert_eq!(client.create("Machine\\A", "").map(|_| ()), Err(Errno::ENOENT));
}

#[test]
fn a_creation_over_the_layers_own_hidden_entry_replaces_it() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    client.layer("gpo", 5);
    client.hide(fd, "gpo").unwrap();
    assert_eq!(client.open("Machine\\A"), Err(Errno::ENOENT));
    let (new, disposition) = client.create("Machine\\A", "gpo").unwrap();
    assert_eq!(disposition, REG_CREATED_NEW);
    client.set(new, "x", 1, "").unwrap();
    assert_eq!(client.get(fd, "x"), Err(Errno::ENOENT));
}

#[test]
fn a_refused_key_record_takes_its_path_entry_back() {
    let machine = Machine::new();
    let client = machine.client();
    machine.source.store().refusals.insert(Operation::CreateKey, Status::AlreadyExists);
    assert_eq!(client.create("Machine\\A", ""), Err(Errno::EIO));
    machine.source.store().refusals.clear();
    assert_eq!(client.open("Machine\\A"), Err(Errno::ENOENT));
    assert_eq!(client.create("Machine\\A", "").unwrap().1, REG_CREATED_NEW);
}

#[test]
fn of_two_creations_at_once_one_makes_the_key() {
    let machine = Machine::new();
    let client = machine.client();
    let (first, second) =
        (client.create_args("Machine\\A", ""), client.create_args("Machine\\a", ""));
    let (left, right) = client
        .go(|me| async move { futures::join!(me.create_with(first), me.create_with(second)) });
    let mut dispositions = [left.unwrap().1, right.unwrap().1];
    dispositions.sort_unstable();
    assert_eq!(dispositions, [REG_CREATED_NEW, REG_OPENED_EXISTING]);
    assert_eq!(machine.source.count(Operation::CreateKey), 1);
}

#[test]
fn an_open_that_meets_a_creation_waits_for_its_key() {
    let machine = Machine::new();
    let client = machine.client();
    let args = client.create_args("Machine\\A", "");
    let (created, opened) = client.go(|me| async move {
        futures::join!(me.create_with(args), me.open_at(-1, "Machine\\A", KEY_QUERY_VALUE, 0))
    });
    assert!(created.is_ok() && opened.is_ok(), "{created:?} {opened:?}");
}

#[test]
fn current_user_is_the_callers_part_of_users() {
    let client = Machine::new().client();
    client.make("Users\\S-1-5-18\\A");
    assert!(client.open("CURRENTUSER\\A").is_ok());
    assert!(client.open("CurrentUser").is_ok());
    assert_eq!(client.open("Machine\\CurrentUser"), Err(Errno::ENOENT));
}
