//! Symlink keys.

use abi::layout::CreateKeyArgs;
use abi::value_type::{REG_LINK, REG_SZ};
use abi::{Errno, KEY_ALL_ACCESS, REG_CREATED_NEW, REG_OPEN_LINK, REG_OPTION_CREATE_LINK};
use lcs::security::{Group, Privileges, Sid, Token};

use crate::client::{Answer, Client, Machine};

fn link(client: &Client, path: &str, target: &str) -> i32 {
    let args = CreateKeyArgs { flags: REG_OPTION_CREATE_LINK, ..client.create_args(path, "") };
    let (fd, disposition) = client.go(|me| async move { me.create_with(args).await }).unwrap();
    assert_eq!(disposition, REG_CREATED_NEW);
    client.set_with(fd, client.set_args("", REG_LINK, target.as_bytes(), "")).unwrap();
    fd
}

fn open_link(client: &Client, path: &str) -> Answer<i32> {
    let path = path.to_owned();
    client.go(move |me| async move { me.open_at(-1, &path, KEY_ALL_ACCESS, REG_OPEN_LINK).await })
}

#[test]
fn a_link_leads_to_its_target_at_any_place_of_a_path() {
    let client = Machine::new().client();
    client.make("Machine\\Real\\Below");
    link(&client, "Machine\\Link", "machine/Real");
    let fd = client.open("Machine\\Link").unwrap();
    assert_eq!(client.info(fd).unwrap().0, "Real");
    let fd = open_link(&client, "Machine\\Link\\Below").unwrap();
    assert_eq!(client.info(fd).unwrap().0, "Below");
    let fd = open_link(&client, "Machine\\Link").unwrap();
    assert_eq!(client.info(fd).unwrap().1.symlink, 1);
    link(&client, "Machine\\ToRoot", "Other");
    let fd = client.open("Machine\\ToRoot").unwrap();
    assert_eq!(client.info(fd).unwrap().0, "Other");
}

#[test]
fn creation_goes_through_a_link_inside_the_path_and_not_through_a_dangling_last_one() {
    let client = Machine::new().client();
    client.make("Machine\\Real");
    link(&client, "Machine\\Link", "Machine\\Real");
    link(&client, "Machine\\Dangling", "Machine\\Nowhere");
    client.create("Machine\\Link\\New", "").unwrap();
    assert!(client.open("Machine\\Real\\New").is_ok());
    assert_eq!(client.create("Machine\\Dangling", ""), Err(Errno::ENOENT));
    assert_eq!(client.open("Machine\\Nowhere"), Err(Errno::ENOENT));
}

#[test]
fn a_link_without_a_good_target_is_invalid() {
    let client = Machine::new().client();
    let fd = link(&client, "Machine\\Link", "Machine");
    let target = |kind, data: &[u8]| {
        client.set_with(fd, client.set_args("", kind, data, "")).unwrap();
        client.open("Machine\\Link")
    };
    let long = "x".repeat(256);
    for bad in [&b""[..], b"Machine\0", b"Machine\\", b"\\Machine", b"\xFF", long.as_bytes()] {
        assert_eq!(target(REG_LINK, bad), Err(Errno::EINVAL), "{bad:?}");
    }
    assert_eq!(target(REG_SZ, b"Machine"), Err(Errno::EINVAL));
    assert_eq!(target(REG_LINK, b"CurrentUser\\x"), Err(Errno::ENOENT));
    client.unset(fd, "", "").unwrap();
    assert_eq!(client.open("Machine\\Link"), Err(Errno::EINVAL));
}

#[test]
fn sixteen_links_resolve_and_seventeen_do_not() {
    let client = Machine::new().client();
    client.make("Machine\\L0");
    for index in 1..=17 {
        link(&client, &format!("Machine\\L{index}"), &format!("Machine\\L{}", index - 1));
    }
    assert!(client.open("Machine\\L16").is_ok());
    assert_eq!(client.open("Machine\\L17"), Err(Errno::ELOOP));
}

#[test]
fn a_link_needs_membership_or_the_privilege() {
    let machine = Machine::new();
    let client = machine.client();
    let attempt = |token: Token, path: &str| {
        let client = client.with_token(token);
        let flags = REG_OPTION_CREATE_LINK;
        let args = CreateKeyArgs { flags, ..client.create_args(path, "") };
        client.go(|me| async move { me.create_with(args).await }).map(|_| ())
    };
    let bare = || {
        let mut token = Token::system();
        token.privileges = Privileges::NONE;
        token.groups = vec![Group::enabled(Sid::AUTHENTICATED_USERS)];
        token
    };
    assert_eq!(attempt(bare(), "Machine\\A"), Err(Errno::EPERM));
    let privileged = Token { privileges: Privileges::TCB, ..bare() };
    assert_eq!(attempt(privileged, "Machine\\A"), Ok(()));
    let mut member = bare();
    member.groups.push(Group::enabled(Sid::ADMINISTRATORS));
    assert_eq!(attempt(member, "Machine\\B"), Ok(()));
}

#[test]
fn a_link_that_is_opened_itself_is_a_parent_like_any_other() {
    let client = Machine::new().client();
    client.make("Machine\\Real\\There");
    link(&client, "Machine\\Link", "Machine\\Real");
    let fd = open_link(&client, "Machine\\Link").unwrap();
    let args = CreateKeyArgs { parent_fd: fd, ..client.create_args("Below", "") };
    client.go(|me| async move { me.create_with(args).await }).unwrap();
    assert_eq!(client.open("Machine\\Real\\Below"), Err(Errno::ENOENT));
    let below = |name: &'static str| {
        client.go(move |me| async move { me.open_at(fd, name, KEY_ALL_ACCESS, 0).await }).map(drop)
    };
    assert_eq!(below("below"), Ok(()));
    assert_eq!(below("There"), Err(Errno::ENOENT));
}

#[test]
fn the_limit_of_links_comes_before_what_the_link_says() {
    let client = Machine::new().client();
    let name = |index: u32| format!("Machine\\L{index}");
    let links: Vec<i32> = (0..=16).map(|i| link(&client, &name(i), &name(i + 1))).collect();
    client.unset(links[16], "", "").unwrap();
    assert_eq!(client.open("Machine\\L1"), Err(Errno::EINVAL));
    assert_eq!(client.open("Machine\\L0"), Err(Errno::ELOOP));
}

#[test]
fn behind_a_link_the_depth_comes_before_the_length_and_both_before_the_hive() {
    let client = Machine::new().client();
    let path = |start: &str, count: usize, length: usize| {
        let name = "x".repeat(length);
        (0..count).fold(start.to_owned(), |path, _| format!("{path}\\{name}"))
    };
    let open = |target: &str, behind: &str| {
        let fd = open_link(&client, "Machine\\Link")
            .unwrap_or_else(|_| link(&client, "Machine\\Link", target));
        client.set_with(fd, client.set_args("", REG_LINK, target.as_bytes(), "")).unwrap();
        client.open(behind)
    };
    let link = "Machine\\Link";
    let (many, long) = (path("Nowhere", 300, 1), path("Nowhere", 100, 100));
    assert_eq!(open("Nowhere", link), Err(Errno::ENOENT));
    assert_eq!(open(&long, &path(link, 100, 100)), Err(Errno::ENAMETOOLONG));
    assert_eq!(open(&many, &path(link, 300, 1)), Err(Errno::EINVAL));
    assert_eq!(open(&path("Nowhere", 300, 40), &path(link, 300, 40)), Err(Errno::EINVAL));
}
