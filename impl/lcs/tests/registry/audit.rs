//! What is recorded, when, and what a record that cannot be kept changes (PSD-005 §3.1).

use abi::{
    ACCESS_SYSTEM_SECURITY, Errno, KEY_ALL_ACCESS, KEY_READ, KEY_SET_VALUE, MAXIMUM_ALLOWED,
    SACL_SECURITY_INFORMATION,
};
use lcs::security::{Ace, Acl, SecurityDescriptor, Sid, Token, ace_flag, ace_type};

use crate::client::{Answer, Client, Machine};
use crate::source::root_descriptor;

const OPEN: &str = "LCS_KEY_OPEN_AUDIT";
const VALIDATION: &str = "LCS_SOURCE_VALIDATION_FAILURE";

/// Sets a SACL that audits everybody in everything.
fn audit_all(client: &Client, path: &str) {
    let access = KEY_ALL_ACCESS | ACCESS_SYSTEM_SECURITY;
    let fd = open(client, path, access).unwrap();
    let flags = ace_flag::SUCCESSFUL_ACCESS | ace_flag::FAILED_ACCESS | ace_flag::CONTAINER_INHERIT;
    let ace = Ace::basic(ace_type::AUDIT, flags, access, Sid::EVERYONE);
    let sd = SecurityDescriptor::parse(&root_descriptor()).unwrap();
    let sd = SecurityDescriptor { sacl: Some(Acl::new(vec![ace])), ..sd };
    client.set_security(fd, SACL_SECURITY_INFORMATION, &sd.to_bytes()).unwrap();
    client.close(fd).unwrap();
}

fn open(client: &Client, path: &str, access: u32) -> Answer<i32> {
    let path = path.to_owned();
    client.go(move |me| async move { me.open_at(-1, &path, access, 0).await })
}

fn holds(payload: &[u8], text: &str) -> bool {
    payload.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Names of the events since the last time of asking, and the words in them that are looked for.
/// What is told of parameters is left to the tests of those.
fn events(machine: &Machine, words: &[&'static str]) -> Vec<(String, Vec<&'static str>)> {
    let found =
        |payload: &[u8]| words.iter().copied().filter(|word| holds(payload, word)).collect();
    let mut events = machine.world.env.take_audit();
    events.retain(|(name, _)| name != "LCS_SELF_CONFIG_INVALID");
    events.into_iter().map(|(name, payload)| (name, found(&payload))).collect()
}

#[test]
fn an_open_that_a_sacl_matches_is_recorded_whatever_comes_of_it() {
    let machine = Machine::new();
    let client = machine.client();
    client.make("Machine\\A");
    audit_all(&client, "Machine\\A");
    assert_eq!(events(&machine, &[]), []);
    open(&client, "Machine\\A", KEY_READ).unwrap();
    let mut poor = Token::system();
    poor.integrity_level = 0;
    let poor = client.with_token(poor);
    assert_eq!(open(&poor, "Machine\\A", KEY_SET_VALUE), Err(Errno::EACCES));
    client.create("Machine\\A", "").unwrap();
    open(&client, "Machine", KEY_READ).unwrap();
    open(&client, "Machine\\A", MAXIMUM_ALLOWED).unwrap();
    let recorded = |decision| (OPEN.to_owned(), vec![decision]);
    assert_eq!(
        events(&machine, &["allowed", "denied"]),
        [recorded("allowed"), recorded("denied"), recorded("allowed")]
    );
}

#[test]
fn what_is_only_looked_at_on_the_way_is_not_recorded() {
    let machine = Machine::new();
    let client = machine.client();
    client.make("Machine\\A\\B");
    audit_all(&client, "Machine\\A");
    events(&machine, &[]);
    let fd = client.open("Machine\\A\\B").unwrap();
    client.set(fd, "v", 1, "").unwrap();
    assert_eq!(events(&machine, &[]), []);
    // A creation looks at the parent, and opens a child that inherits the SACL.
    client.create("Machine\\A\\C", "").unwrap();
    assert_eq!(events(&machine, &["allowed"]), [(OPEN.to_owned(), vec!["allowed"])]);
}

#[test]
fn an_open_without_its_record_gives_no_fd() {
    let machine = Machine::new();
    let client = machine.client();
    client.make("Machine\\A");
    audit_all(&client, "Machine\\A");
    let fds = client.process.descriptors();
    machine.world.env.refuse_audit(true);
    assert_eq!(open(&client, "Machine\\A", KEY_READ), Err(Errno::EIO));
    assert_eq!(client.create("Machine\\A", ""), Err(Errno::EIO));
    assert_eq!(client.create("Machine\\A\\B", ""), Err(Errno::EIO));
    let user = client.with_token(Token::user(Sid::EVERYONE));
    assert_eq!(open(&user, "Machine\\A", KEY_READ), Err(Errno::EIO));
    assert_eq!(client.process.descriptors(), fds);
    assert!(open(&client, "Machine", KEY_READ).is_ok());
    machine.world.env.refuse_audit(false);
    assert!(open(&client, "Machine\\A\\B", KEY_READ).is_ok());
    // No fd was left behind that would keep a deleted key.
    let fd = client.open("Machine\\A\\B").unwrap();
    client.delete(fd, "").unwrap();
    client.close(fd).unwrap();
}

fn spoil(machine: &Machine, name: &str) {
    let mut store = machine.source.store();
    let entry = store.entries.iter().find(|((_, child, _), _)| child == name);
    let guid = entry.and_then(|(_, (_, entry))| entry.target).unwrap();
    store.keys.get_mut(&guid).unwrap().sd = b"none".to_vec();
}

fn failure(class: &'static str) -> (String, Vec<&'static str>) {
    (VALIDATION.to_owned(), vec!["Machine", class])
}

#[test]
fn a_malformed_descriptor_is_recorded_and_fails_the_same_without_a_record() {
    let machine = Machine::new();
    let client = machine.client();
    client.make("Machine\\Bad");
    spoil(&machine, "bad");
    let words = ["Machine", "malformed_security_descriptor"];
    assert_eq!(client.open("Machine\\Bad"), Err(Errno::EIO));
    assert_eq!(events(&machine, &words), [failure(words[1])]);
    machine.world.env.refuse_audit(true);
    assert_eq!(client.open("Machine\\Bad"), Err(Errno::EIO));
}

#[test]
fn a_future_sequence_number_is_recorded() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "").unwrap();
    machine.source.store().values.values_mut().for_each(|entry| entry.sequence = u64::MAX);
    let words = ["Machine", "future_sequence_number"];
    assert_eq!(client.get(fd, "v"), Err(Errno::EIO));
    assert_eq!(events(&machine, &words), [failure(words[1])]);
}

#[test]
fn a_tie_for_the_winner_is_recorded() {
    let machine = Machine::new();
    let client = machine.client();
    client.layer("role", 0);
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "").unwrap();
    client.set(fd, "v", 1, "role").unwrap();
    machine.source.store().values.values_mut().for_each(|entry| entry.sequence = 1);
    let words = ["Machine", "duplicate_winning_sequence_tie"];
    assert_eq!(client.get(fd, "v"), Err(Errno::EIO));
    assert_eq!(events(&machine, &words), [failure(words[1])]);
    machine.source.store().entries.iter_mut().for_each(|(_, (_, entry))| entry.sequence = 1);
    assert!(client.open("Machine\\A").is_ok());
    assert_eq!(events(&machine, &words), []);
}

#[test]
fn a_malformed_descriptor_of_a_layer_is_recorded_once_a_refresh() {
    let mut machine = Machine::new();
    let client = machine.client();
    let role = client.layer("role", 0);
    client.layer("other", 0);
    spoil(&machine, "role");
    let words = ["Machine", "malformed_layer_metadata_security_descriptor"];
    assert_eq!(client.set(role, "Precedence", 5, ""), Err(Errno::EIO));
    assert_eq!(events(&machine, &words), [failure(words[1])]);
    machine.source.kill();
    machine.other.kill();
    machine.lcs = lcs::Lcs::new(machine.world.env.clone());
    machine.source.start(&machine.world, &machine.lcs).unwrap();
    machine.settle();
    assert_eq!(events(&machine, &words), [failure(words[1])]);
}
