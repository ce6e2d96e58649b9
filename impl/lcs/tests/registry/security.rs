//! Descriptors of open keys, tokens of all kinds, and fds that go to other processes (PSD-005
//! §2.2, §2.6, §3.1, §6.3).

use abi::layout::{CreateKeyArgs, GetSecurityArgs, SetSecurityArgs};
use abi::{
    ACCESS_SYSTEM_SECURITY, DACL_SECURITY_INFORMATION as DACL, DELETE, Errno,
    GROUP_SECURITY_INFORMATION as GROUP, KEY_ALL_ACCESS, KEY_READ, KEY_SET_VALUE, MAXIMUM_ALLOWED,
    OWNER_SECURITY_INFORMATION as OWNER, READ_CONTROL, REG_OPTION_CREATE_LINK,
    SACL_SECURITY_INFORMATION as SACL, WRITE_DAC, WRITE_OWNER, ioctl,
};
use lcs::security::{
    Ace, AceBody, Acl, Group, Privileges, SecurityDescriptor, Sid, Token, TokenLevel, ace_flag,
    control, group_attribute,
};
use rsi::Operation;

use crate::client::{Answer, Client, Machine};
use crate::source::root_descriptor;
use crate::world::{READ_ONLY, UNMAPPED};

const LAYERS: &str = "Machine\\System\\Registry\\Layers";
const ALL: u32 = OWNER | GROUP | DACL | SACL;

const DENIED: Answer<i32> = Err(Errno::EACCES);

fn alice() -> Sid {
    "S-1-5-21-1-2-3-1001".parse().unwrap()
}

/// A descriptor of SYSTEM's with this DACL.
fn descriptor(aces: Vec<Ace>) -> SecurityDescriptor {
    let sd = SecurityDescriptor::parse(&root_descriptor()).unwrap();
    SecurityDescriptor { dacl: Some(Acl::new(aces)), ..sd }
}

fn open(client: &Client, path: &str, access: u32) -> Answer<i32> {
    let path = path.to_owned();
    client.go(move |me| async move { me.open_at(-1, &path, access, 0).await })
}

/// Who may do everything through an fd.
fn open_all(client: &Client, path: &str) -> i32 {
    open(client, path, KEY_ALL_ACCESS | ACCESS_SYSTEM_SECURITY).unwrap()
}

#[test]
fn the_components_that_are_asked_for_are_read() {
    let client = Machine::new().client();
    let fd = open_all(&client, "Machine");
    assert_eq!(client.security(fd, ALL), Ok(root_descriptor()));
    let whole = SecurityDescriptor::parse(&root_descriptor()).unwrap();
    let owner = SecurityDescriptor::parse(&client.security(fd, OWNER | GROUP).unwrap()).unwrap();
    assert_eq!(owner, SecurityDescriptor { dacl: None, ..whole });
}

#[test]
fn reading_needs_the_rights_of_every_component_and_no_request_to_find_out() {
    let machine = Machine::new();
    let client = machine.client();
    let reader = open(&client, "Machine", READ_CONTROL).unwrap();
    let auditor = open(&client, "Machine", ACCESS_SYSTEM_SECURITY).unwrap();
    let requests = machine.source.store().log.len();
    assert_eq!(client.security(reader, DACL | SACL), Err(Errno::EACCES));
    assert_eq!(client.security(auditor, DACL | SACL), Err(Errno::EACCES));
    assert_eq!(client.security(auditor, 0), Err(Errno::EINVAL));
    assert_eq!(client.security(auditor, 0x10 | DACL), Err(Errno::EINVAL));
    assert_eq!(machine.source.store().log.len(), requests);
    assert!(client.security(reader, OWNER | GROUP | DACL).is_ok());
    assert!(client.security(auditor, SACL).is_ok());
}

#[test]
fn a_short_buffer_learns_the_size() {
    let client = Machine::new().client();
    let fd = client.open("Machine").unwrap();
    let size = client.security(fd, DACL).unwrap().len() as u32;
    let get = |args: GetSecurityArgs| {
        let (result, args) = client
            .go(move |me| async move { me.ioctl(fd, ioctl::REG_IOC_GET_SECURITY, args).await });
        (result, args.sd_len)
    };
    let probe = GetSecurityArgs { security_info: DACL, sd_len: 0, sd_ptr: UNMAPPED };
    assert_eq!(get(probe), (Err(Errno::ERANGE), size));
    let room = client.memory.room(size as usize);
    let short = GetSecurityArgs { sd_len: size - 1, sd_ptr: room, ..probe };
    assert_eq!(get(short), (Err(Errno::ERANGE), size));
    let exact = GetSecurityArgs { sd_len: size, sd_ptr: room, ..probe };
    assert_eq!(get(exact), (Ok(0), size));
    let unwritable = GetSecurityArgs { sd_ptr: READ_ONLY, ..exact };
    assert_eq!(get(unwritable).0, Err(Errno::EFAULT));
}

#[test]
fn a_change_is_one_request_with_the_time_and_one_step() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    let before = client.info(fd).unwrap().1;
    let sequence = machine.source.store().max_sequence();
    let new = descriptor(vec![Ace::allow(0, KEY_READ, alice())]);
    machine.source.store().log.clear();
    client.set_security(fd, DACL, &new.to_bytes()).unwrap();
    assert_eq!(machine.source.store().log, [Operation::ReadKey, Operation::WriteKey]);
    let after = client.info(fd).unwrap().1;
    assert!(after.last_write_time > before.last_write_time);
    assert_eq!(after.hive_generation, before.hive_generation + 1);
    assert_eq!(machine.source.store().max_sequence(), sequence);
    let read = SecurityDescriptor::parse(&client.security(fd, DACL | OWNER).unwrap()).unwrap();
    assert_eq!(read.dacl, new.dacl);
    // The same again changes nothing but the time, and is a step as well.
    client.set_security(fd, DACL, &new.to_bytes()).unwrap();
    assert_eq!(client.info(fd).unwrap().1.hive_generation, before.hive_generation + 2);
}

#[test]
fn components_that_are_not_set_stay() {
    let client = Machine::new().client();
    let fd = open_all(&client, {
        client.make("Machine\\A");
        "Machine\\A"
    });
    let before = SecurityDescriptor::parse(&client.security(fd, ALL).unwrap()).unwrap();
    let audit = Ace::basic(lcs::security::ace_type::AUDIT, 0xC0, KEY_READ, Sid::EVERYONE);
    let new = SecurityDescriptor {
        owner: Some(alice()),
        group: None,
        sacl: Some(Acl::new(vec![audit])),
        control: control::SACL_PROTECTED,
        ..descriptor(vec![])
    };
    client.set_security(fd, SACL, &new.to_bytes()).unwrap();
    let after = SecurityDescriptor::parse(&client.security(fd, ALL).unwrap()).unwrap();
    let control = before.control | control::SACL_PROTECTED;
    assert_eq!(after, SecurityDescriptor { sacl: new.sacl, control, ..before });
}

#[test]
fn each_component_needs_its_right_to_be_set() {
    let machine = Machine::new();
    let client = machine.client();
    client.make("Machine\\A");
    let sd = descriptor(vec![]).to_bytes();
    let requests = machine.source.store().log.len();
    let mut refused = 0;
    for (components, right) in [
        (OWNER, WRITE_OWNER),
        (GROUP, WRITE_OWNER),
        (DACL, WRITE_DAC),
        (SACL, ACCESS_SYSTEM_SECURITY),
    ] {
        let others = (KEY_ALL_ACCESS | ACCESS_SYSTEM_SECURITY) & !right;
        let fd = open(&client, "Machine\\A", others).unwrap();
        let before = machine.source.store().log.len();
        assert_eq!(client.set_security(fd, components, &sd), Err(Errno::EACCES));
        assert_eq!(client.set_security(fd, ALL, &sd), Err(Errno::EACCES));
        assert_eq!(machine.source.store().log.len(), before);
        refused += 1;
    }
    assert!(refused == 4 && machine.source.store().log.len() > requests);
    let fd = open_all(&client, "Machine\\A");
    assert_eq!(client.set_security(fd, ALL, &sd), Ok(()));
}

#[test]
fn bad_arguments_are_found_in_order_and_before_any_request() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    let weak = open(&client, "Machine\\A", KEY_READ).unwrap();
    let good = descriptor(vec![]).to_bytes();
    let args = client.set_security_args(DACL, &good);
    let requests = machine.source.store().log.len();
    let set = |fd, args| client.set_security_with(fd, args);
    for bad in [
        SetSecurityArgs { pad: 1, ..args },
        SetSecurityArgs { txn_fd: -2, ..args },
        SetSecurityArgs { security_info: 0, ..args },
        SetSecurityArgs { security_info: 0x20, ..args },
    ] {
        assert_eq!(set(weak, bad), Err(Errno::EINVAL));
    }
    let long = SetSecurityArgs { sd_len: 65_536, sd_ptr: UNMAPPED, ..args };
    assert_eq!(set(weak, long), Err(Errno::EACCES));
    assert_eq!(set(fd, long), Err(Errno::EINVAL));
    assert_eq!(set(fd, SetSecurityArgs { sd_len: u32::MAX, ..long }), Err(Errno::EINVAL));
    assert_eq!(set(fd, SetSecurityArgs { sd_ptr: UNMAPPED, ..args }), Err(Errno::EFAULT));
    assert_eq!(
        set(fd, SetSecurityArgs { sd_len: 0, sd_ptr: UNMAPPED, ..args }),
        Err(Errno::EINVAL)
    );
    assert_eq!(set(fd, SetSecurityArgs { sd_len: 19, txn_fd: 7, ..args }), Err(Errno::EINVAL));
    assert_eq!(set(fd, SetSecurityArgs { txn_fd: 7, ..args }), Err(Errno::EBADF));
    let ownerless = [1, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(client.set_security(fd, OWNER, &ownerless), Err(Errno::EINVAL));
    assert_eq!(machine.source.store().log.len(), requests);
}

#[test]
fn masks_that_no_key_may_have_are_malformed() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    for mask in [MAXIMUM_ALLOWED, 0x0010_0000, 0x40] {
        let sd = descriptor(vec![Ace::allow(0, mask, alice())]);
        assert_eq!(client.set_security(fd, DACL, &sd.to_bytes()), Err(Errno::EINVAL), "{mask:#x}");
    }
    let generic = descriptor(vec![Ace::allow(0, 0xF000_0000, Sid::SYSTEM)]);
    client.set_security(fd, DACL, &generic.to_bytes()).unwrap();
    let stored = SecurityDescriptor::parse(&client.security(fd, DACL | OWNER).unwrap()).unwrap();
    assert_eq!(stored.dacl, generic.dacl);
}

#[test]
fn a_key_is_given_only_to_the_caller_or_a_group_of_its_or_by_privilege() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    let give = |client: &Client, owner: Sid| {
        let sd = SecurityDescriptor { owner: Some(owner), ..descriptor(vec![]) };
        client.set_security(fd, OWNER, &sd.to_bytes())
    };
    let mut token = Token::user(alice());
    let owners = group_attribute::OWNER;
    token.groups = vec![Group { sid: Sid::ADMINISTRATORS, attributes: owners }];
    let requests = machine.source.store().log.len();
    let poor = client.with_token(token.clone());
    assert_eq!(give(&poor, Sid::SYSTEM), Err(Errno::EPERM));
    assert_eq!(machine.source.store().log.len(), requests);
    assert_eq!(give(&poor, alice()), Ok(()));
    assert_eq!(give(&poor, Sid::ADMINISTRATORS), Ok(()));
    token.privileges = Privileges::RESTORE;
    assert_eq!(give(&client.with_token(token), Sid::SYSTEM), Ok(()));
}

#[test]
fn a_change_counts_for_later_opens_and_not_for_open_fds() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    let other = client.with_token(Token::user(alice()));
    assert_eq!(open(&other, "Machine\\A", KEY_READ), Err(Errno::EACCES));
    let sd = descriptor(vec![Ace::allow(0, KEY_READ, alice())]);
    client.set_security(fd, DACL, &sd.to_bytes()).unwrap();
    assert!(open(&other, "Machine\\A", KEY_READ).is_ok());
    assert_eq!(client.open("Machine\\A"), Err(Errno::EACCES));
    client.set(fd, "v", 1, "").unwrap();
    client.security(fd, DACL).unwrap();
}

#[test]
fn a_null_dacl_can_be_set_and_an_owner_not_taken_away() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    let null = SecurityDescriptor { dacl: None, group: None, ..descriptor(vec![]) };
    client.set_security(fd, DACL | GROUP, &null.to_bytes()).unwrap();
    let stored = SecurityDescriptor::parse(&client.security(fd, OWNER | GROUP | DACL).unwrap());
    let stored = stored.unwrap();
    assert_eq!((stored.owner, stored.group, stored.dacl), (Some(Sid::SYSTEM), None, None));
    let other = client.with_token(Token::user(alice()));
    assert!(open(&other, "Machine\\A", KEY_ALL_ACCESS).is_ok());
}

#[test]
fn an_orphan_keeps_a_descriptor_that_can_be_changed() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    client.delete(fd, "").unwrap();
    let sd = descriptor(vec![Ace::allow(0, KEY_READ, alice())]);
    client.set_security(fd, DACL, &sd.to_bytes()).unwrap();
    let stored = SecurityDescriptor::parse(&client.security(fd, OWNER | DACL).unwrap()).unwrap();
    assert_eq!(stored.dacl, sd.dacl);
}

#[test]
fn a_source_that_is_down_or_has_lost_the_key_fails_both() {
    let mut machine = Machine::new();
    let client = machine.client();
    let mut args = client.create_args("Machine\\A", "");
    args.flags = abi::REG_OPTION_VOLATILE;
    let fd = client.go(|me| async move { me.create_with(args).await }).unwrap().0;
    let sd = descriptor(vec![]).to_bytes();
    machine.source.kill();
    assert_eq!(client.security(fd, DACL), Err(Errno::EIO));
    assert_eq!(client.set_security(fd, DACL, &sd), Err(Errno::EIO));
    machine.restart();
    assert_eq!(client.security(fd, DACL), Err(Errno::ENOENT));
    assert_eq!(client.set_security(fd, DACL, &sd), Err(Errno::ENOENT));
}

#[test]
fn a_late_change_takes_its_step_and_its_layer_effect() {
    let machine = Machine::new();
    let client = machine.client();
    let role = client.layer("role", 0);
    let fd = client.make("Machine\\A");
    let before = client.generation("Machine");
    let closed = descriptor(vec![]).to_bytes();
    machine.source.store().stalled.insert(Operation::WriteKey);
    assert_eq!(client.set_security(role, DACL, &closed), Err(Errno::ETIMEDOUT));
    client.set(fd, "v", 1, "role").unwrap();
    machine.source.answer_late();
    machine.settle();
    assert_eq!(client.set(fd, "v", 2, "role"), Err(Errno::EACCES));
    assert_eq!(client.generation("Machine"), before + 2);
}

#[test]
fn who_may_write_into_a_layer_follows_its_metadata_key() {
    let machine = Machine::new();
    let client = machine.client();
    let role = client.layer("role", 0);
    let fd = client.make("Machine\\A");
    let user = client.with_token(Token::user(alice()));
    assert_eq!(user.set(fd, "v", 1, "role"), Err(Errno::EACCES));
    let mut aces = vec![Ace::allow(0, KEY_ALL_ACCESS, Sid::SYSTEM)];
    aces.push(Ace::allow(0, KEY_SET_VALUE, alice()));
    client.set_security(role, DACL, &descriptor(aces.clone()).to_bytes()).unwrap();
    user.set(fd, "v", 1, "role").unwrap();
    assert_eq!(user.set(fd, "v", 1, ""), Err(Errno::EACCES));
    aces.pop();
    client.set_security(role, DACL, &descriptor(aces).to_bytes()).unwrap();
    assert_eq!(user.set(fd, "v", 1, "role"), Err(Errno::EACCES));
    assert_eq!(user.unset(fd, "v", "role"), Err(Errno::EACCES));
    assert_eq!(user.bury(fd, "v", "role"), Err(Errno::EACCES));
    assert_eq!(user.blanket(fd, "role", true), Err(Errno::EACCES));
    assert_eq!(user.hide(fd, "role"), Err(Errno::EACCES));
    assert_eq!(user.delete(fd, "role"), Err(Errno::EACCES));
}

#[test]
fn base_is_guarded_as_before_when_its_metadata_key_is_hidden_or_deleted() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    let administrator = {
        let mut token = Token::user(alice());
        token.groups = vec![Group::enabled(Sid::ADMINISTRATORS)];
        client.with_token(token)
    };
    administrator.set(fd, "v", 1, "").unwrap();
    client.layer("gpo", 5);
    let base = client.make(&format!("{LAYERS}\\base"));
    let closed = descriptor(vec![Ace::allow(0, KEY_ALL_ACCESS, Sid::SYSTEM)]);
    client.set_security(base, DACL, &closed.to_bytes()).unwrap();
    assert_eq!(administrator.set(fd, "v", 2, ""), Err(Errno::EACCES));
    client.hide(base, "gpo").unwrap();
    assert_eq!(administrator.set(fd, "v", 2, ""), Err(Errno::EACCES));
    client.delete(base, "").unwrap();
    assert_eq!(administrator.set(fd, "v", 2, ""), Err(Errno::EACCES));
    client.set(fd, "v", 3, "").unwrap();
}

#[test]
fn a_token_of_identification_level_opens_nothing_and_writes_into_no_layer() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    let token = Token { level: TokenLevel::Identification, ..Token::system() };
    let thread = client.with_token(token);
    assert_eq!(open(&thread, "Machine\\A", MAXIMUM_ALLOWED), Err(Errno::EACCES));
    assert_eq!(thread.create("Machine\\B", ""), Err(Errno::EACCES));
    assert_eq!(thread.set(fd, "v", 1, ""), Err(Errno::EACCES));
    assert!(thread.info(fd).is_ok());
}

#[test]
fn a_passed_fd_keeps_what_it_was_granted() {
    let machine = Machine::new();
    let (first, second) = (machine.client(), machine.client());
    let second = second.with_token(Token::user(alice()));
    first.make("Machine\\A");
    let fd = open(&first, "Machine\\A", KEY_READ | DELETE).unwrap();
    let passed = first.pass(fd, &second).unwrap();
    assert!(second.info(passed).is_ok());
    // The mask is the opener's, the layer's check the caller's.
    assert_eq!(second.delete(passed, ""), Err(Errno::EACCES));
    assert_eq!(first.set(fd, "v", 1, ""), Err(Errno::EACCES));
    assert_eq!(first.pass(99, &second), Err(Errno::EBADF));
    let duplicate = second.pass(passed, &second).unwrap();
    assert_ne!(duplicate, passed);
    second.close(passed).unwrap();
    assert!(second.info(duplicate).is_ok());
}

#[test]
fn an_open_through_a_link_is_judged_by_the_target_alone() {
    let client = Machine::new().client();
    let target = client.make("Machine\\Target");
    let args = client.create_args("Machine\\Link", "");
    let args = abi::layout::CreateKeyArgs { flags: REG_OPTION_CREATE_LINK, ..args };
    let link = client.go(|me| async move { me.create_with(args).await }).unwrap().0;
    let kind = abi::value_type::REG_LINK;
    client.set_with(link, client.set_args("", kind, b"Machine\\Target", "")).unwrap();
    let user = client.with_token(Token::user(alice()));
    let readable = descriptor(vec![Ace::allow(0, KEY_READ, alice())]).to_bytes();
    client.set_security(link, DACL, &readable).unwrap();
    assert_eq!(open(&user, "Machine\\Link", KEY_READ), Err(Errno::EACCES));
    client.set_security(link, DACL, &descriptor(vec![]).to_bytes()).unwrap();
    client.set_security(target, DACL, &readable).unwrap();
    assert!(open(&user, "Machine\\Link", KEY_READ).is_ok());
}

#[test]
fn the_alias_stands_for_the_user_of_the_thread_and_in_no_link() {
    let client = Machine::new().client();
    let user = client.with_token(Token { user: alice(), ..Token::system() });
    client.make(&format!("Users\\{}", alice()));
    client.make("Users\\S-1-5-18");
    let name = |client: &Client, path: &str| {
        let fd = client.open(path)?;
        client.info(fd).map(|(name, _)| name)
    };
    assert_eq!(name(&client, "currentuser").as_deref(), Ok("S-1-5-18"));
    assert_eq!(name(&user, "CurrentUser"), Ok(alice().to_string()));
    let args = client.create_args("Machine\\Link", "");
    let args = abi::layout::CreateKeyArgs { flags: REG_OPTION_CREATE_LINK, ..args };
    let link = client.go(|me| async move { me.create_with(args).await }).unwrap().0;
    let kind = abi::value_type::REG_LINK;
    client.set_with(link, client.set_args("", kind, b"CurrentUser", "")).unwrap();
    assert_eq!(name(&user, "Machine\\Link"), Err(Errno::ENOENT));
}

/// What a key has that this token makes below a key where nothing is inheritable.
fn made_without_inheritance(token: Token) -> SecurityDescriptor {
    made_below(vec![Ace::allow(0, KEY_ALL_ACCESS, Sid::SYSTEM)], token)
}

/// What a key has that this token makes below a key with this DACL.
fn made_below(aces: Vec<Ace>, token: Token) -> SecurityDescriptor {
    let client = Machine::new().client();
    let parent = client.make("Machine\\A");
    client.set_security(parent, DACL, &descriptor(aces).to_bytes()).unwrap();
    let maker = client.with_token(token);
    let args = maker.create_args("Machine\\A\\B", "");
    let args = CreateKeyArgs { desired_access: READ_CONTROL, ..args };
    let (fd, _) = maker.go(|me| async move { me.create_with(args).await }).unwrap();
    let bytes = maker.security(fd, DACL).unwrap();
    SecurityDescriptor::parse(&bytes).unwrap()
}

#[test]
fn aces_of_a_default_dacl_keep_all_their_flags() {
    let ace = Ace::allow(ace_flag::INHERITED, KEY_ALL_ACCESS, Sid::SYSTEM);
    let dacl = Acl::new(vec![ace]);
    let made =
        made_without_inheritance(Token { default_dacl: Some(dacl.clone()), ..Token::system() });
    assert_eq!(made.dacl, Some(dacl));
    // Nothing came from the parent.
    assert_eq!(made.control, control::DACL_DEFAULTED);
}

#[test]
fn a_null_dacl_without_a_default_is_not_defaulted() {
    let made = made_without_inheritance(Token { default_dacl: None, ..Token::system() });
    assert_eq!((made.dacl, made.control), (None, 0));
}

#[test]
fn an_ace_of_unknown_type_is_inherited_by_its_flags_and_keeps_its_bytes() {
    for kind in [0x04, 0x7F] {
        let ace = |flags| Ace { kind, flags, body: AceBody::Opaque(vec![1, 2, 3, 4, 5, 6, 7, 8]) };
        let own = Ace::allow(0, KEY_ALL_ACCESS, Sid::SYSTEM);
        let aces = vec![own, ace(ace_flag::CONTAINER_INHERIT | ace_flag::INHERIT_ONLY)];
        let access = Token { privileges: Privileges::NONE, ..Token::system() };
        let made = made_below(aces, access);
        let inherited = ace(ace_flag::CONTAINER_INHERIT | ace_flag::INHERITED);
        assert_eq!(made.dacl.unwrap().aces, [inherited]);
        assert_eq!(made.control, control::DACL_AUTO_INHERITED);
    }
}

#[test]
fn a_list_is_stored_with_the_revision_that_it_is_given_with() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    let mut given = descriptor(vec![Ace::allow(0, KEY_ALL_ACCESS, Sid::SYSTEM)]);
    if let Some(dacl) = &mut given.dacl {
        (dacl.revision, dacl.reserved) = (7, (1, 2));
    }
    client.set_security(fd, DACL, &given.to_bytes()).unwrap();
    let stored = SecurityDescriptor::parse(&client.security(fd, DACL).unwrap()).unwrap();
    assert_eq!(stored.dacl, given.dacl);
}

#[test]
fn whoever_carries_the_owners_sid_owns_the_key_whatever_its_attributes() {
    let client = Machine::new().client();
    let fd = client.make("Machine\\A");
    let owned = SecurityDescriptor { owner: Some(Sid::LOCAL), ..descriptor(vec![]) };
    client.set_security(fd, OWNER | DACL, &owned.to_bytes()).unwrap();
    for attributes in [0, group_attribute::USE_FOR_DENY_ONLY, group_attribute::ENABLED] {
        let mut token = Token::user(alice());
        assert_eq!(open(&client.with_token(token.clone()), "Machine\\A", WRITE_DAC), DENIED);
        token.groups = vec![Group { sid: Sid::LOCAL, attributes }];
        let member = client.with_token(token);
        assert!(open(&member, "Machine\\A", READ_CONTROL | WRITE_DAC).is_ok());
        assert_eq!(open(&member, "Machine\\A", KEY_READ), DENIED);
    }
}
