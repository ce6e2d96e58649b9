//! Content that no honest source sends, and how far its harm goes (PSD-005 §2.6, §3.1, §7.3; D-34,
//! D-35, P-75).

use abi::{DACL_SECURITY_INFORMATION, Errno, OWNER_SECURITY_INFORMATION, REG_OPENED_EXISTING};
use lcs::Lcs;
use lcs::security::{SecurityDescriptor, Token, TokenLevel};
use rsi::Guid;

use crate::client::Machine;
use crate::source::root_descriptor;

/// The key that some entry of this folded name leads to.
fn key_named(machine: &Machine, name: &str) -> Guid {
    let store = machine.source.store();
    let entry = store.entries.iter().find(|((_, child, _), _)| child == name);
    entry.and_then(|(_, (_, entry))| entry.target).expect("a key of this name")
}

fn spoil_descriptor(machine: &Machine, name: &str) {
    let guid = key_named(machine, name);
    machine.source.store().keys.get_mut(&guid).expect("a key").sd = b"none".to_vec();
}

fn reboot(machine: &mut Machine) {
    machine.source.kill();
    machine.other.kill();
    machine.lcs = Lcs::new(machine.world.env.clone());
    machine.source.start(&machine.world, &machine.lcs).unwrap();
    machine.other.start(&machine.world, &machine.lcs).unwrap();
    machine.settle();
}

#[test]
fn a_bad_metadata_descriptor_keeps_its_own_layer_as_it_was_and_no_other() {
    let mut machine = Machine::new();
    let client = machine.client();
    let (_, gpo) = (client.layer("role", 0), client.layer("gpo", 0));
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "gpo").unwrap();
    client.set(fd, "v", 2, "role").unwrap();
    spoil_descriptor(&machine, "role");
    machine.restart();
    assert_eq!(client.get(fd, "v"), Ok((2, "role".to_owned())));
    client.set(fd, "w", 3, "role").unwrap();
    client.set(gpo, "Precedence", 5, "").unwrap();
    assert_eq!(client.get(fd, "v"), Ok((1, "gpo".to_owned())));
}

#[test]
fn a_layer_whose_descriptor_was_never_good_is_not_published() {
    let mut machine = Machine::new();
    let client = machine.client();
    client.layer("role", 0);
    client.layer("gpo", 5);
    spoil_descriptor(&machine, "role");
    reboot(&mut machine);
    let client = machine.client();
    let fd = client.make("Machine\\A");
    assert_eq!(client.set(fd, "v", 1, "role"), Err(Errno::ENOENT));
    client.set(fd, "v", 1, "gpo").unwrap();
}

#[test]
fn a_call_that_changes_a_layer_with_a_bad_descriptor_fails_and_stands() {
    let machine = Machine::new();
    let client = machine.client();
    let role = client.layer("role", 0);
    spoil_descriptor(&machine, "role");
    assert_eq!(client.set(role, "Precedence", 5, ""), Err(Errno::EIO));
    assert_eq!(client.get(role, "Precedence"), Ok((5, "base".to_owned())));
}

#[test]
fn a_bad_descriptor_on_the_way_to_the_layers_holds_up_no_refresh() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 0);
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "gpo").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    spoil_descriptor(&machine, "registry");
    client.set(gpo, "Precedence", 5, "").unwrap();
    assert_eq!(client.get(fd, "v"), Ok((1, "gpo".to_owned())));
}

#[test]
fn a_bad_descriptor_fails_every_call_that_gets_it() {
    let machine = Machine::new();
    let client = machine.client();
    client.make("Machine\\A");
    let bad = client.make("Machine\\Bad");
    client.make("Machine\\Bad\\Below");
    spoil_descriptor(&machine, "bad");
    let root = client.open("Machine").unwrap();
    assert_eq!(client.open("Machine\\Bad"), Err(Errno::EIO));
    assert_eq!(client.open("Machine\\Bad\\Below"), Err(Errno::EIO));
    assert_eq!(client.create("Machine\\Bad", ""), Err(Errno::EIO));
    assert_eq!(client.subkey(root, 0).map(|_| ()), Err(Errno::EIO));
    assert_eq!(client.info(bad).map(|_| ()), Err(Errno::EIO));
    assert_eq!(client.create("Machine\\A", "").map(|made| made.1), Ok(REG_OPENED_EXISTING));
    client.set(bad, "v", 1, "").unwrap();
}

#[test]
fn a_resumed_source_need_only_have_a_record_of_an_open_key() {
    let mut machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    spoil_descriptor(&machine, "a");
    machine.restart();
    client.set(fd, "v", 1, "").unwrap();
    assert_eq!(client.get(fd, "v"), Ok((1, "base".to_owned())));
}

#[test]
fn a_bad_descriptor_in_another_hive_steps_no_generation() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 0);
    client.make("Other\\A");
    let before = client.generation("Other");
    let mut store = machine.other.store();
    let root = Guid([3; 16]);
    let bad = store.keys.iter_mut().find(|(guid, _)| **guid != root).expect("the key");
    bad.1.sd = b"none".to_vec();
    // Key info of the root would get the descriptor as well; it is taken away before.
    drop(store);
    client.set(gpo, "Precedence", 5, "").unwrap();
    machine.other.store().entries.clear();
    assert_eq!(client.generation("Other"), before);
}

#[test]
fn equal_sequences_fail_only_where_they_tie_for_the_winner() {
    let machine = Machine::new();
    let client = machine.client();
    client.layer("role", 0);
    client.layer("gpo", 5);
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "").unwrap();
    client.set(fd, "v", 2, "role").unwrap();
    let of_base = {
        let mut store = machine.source.store();
        let base = store.values.iter().find(|((_, name, layer), _)| name == "v" && layer == "base");
        let sequence = base.expect("a value").1.sequence;
        let role =
            store.values.iter_mut().find(|((_, name, layer), _)| name == "v" && layer == "role");
        role.expect("a value").1.sequence = sequence;
        sequence
    };
    assert_eq!(client.get(fd, "v"), Err(Errno::EIO));
    client.set(fd, "v", 3, "gpo").unwrap();
    assert_eq!(client.get(fd, "v"), Ok((3, "gpo".to_owned())));
    // Equal numbers of different precedence are no tie.
    let mut store = machine.source.store();
    let gpo = store.values.iter_mut().find(|((_, name, layer), _)| name == "v" && layer == "gpo");
    gpo.expect("a value").1.sequence = of_base;
    drop(store);
    assert_eq!(client.get(fd, "v"), Ok((3, "gpo".to_owned())));
}

#[test]
fn an_unknown_type_and_a_tombstone_with_data_fail_the_reading_of_the_key() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "").unwrap();
    client.set(fd, "w", 1, "").unwrap();
    for (value_type, data) in [(12, vec![]), (0xFFFF, vec![1])] {
        {
            let mut store = machine.source.store();
            let entry = store.values.iter_mut().find(|((_, name, _), _)| name == "v");
            let entry = entry.expect("a value").1;
            (entry.value_type, entry.data) = (value_type, data);
        }
        assert_eq!(client.get(fd, "v"), Err(Errno::EIO));
        assert_eq!(client.batch(fd).map(|_| ()), Err(Errno::EIO));
        assert_eq!(client.get(fd, "w"), Ok((1, "base".to_owned())));
    }
}

fn take_owner_away(machine: &Machine, name: &str) {
    let guid = key_named(machine, name);
    let mut store = machine.source.store();
    let key = store.keys.get_mut(&guid).expect("a key");
    let sd = SecurityDescriptor::parse(&key.sd).expect("well-formed");
    key.sd = SecurityDescriptor { owner: None, ..sd }.to_bytes();
}

/// The validation classes recorded since the last time of asking.
fn recorded(machine: &Machine) -> Vec<String> {
    let mut events = machine.world.env.take_audit();
    events.retain(|(name, _)| name == "LCS_SOURCE_VALIDATION_FAILURE");
    let payloads = events.into_iter().map(|(_, payload)| payload);
    let class = |payload: Vec<u8>| {
        let text = String::from_utf8_lossy(&payload).into_owned();
        let start = text.find("malformed_").expect("a class of malformed data");
        text[start..].to_owned()
    };
    payloads.map(class).collect()
}

#[test]
fn a_descriptor_without_an_owner_is_shown_and_lets_nobody_in() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    take_owner_away(&machine, "a");
    assert_eq!(client.open("Machine\\A"), Err(Errno::EIO));
    assert_eq!(recorded(&machine), ["malformed_security_descriptor"]);
    assert_eq!(client.create("Machine\\A\\B", ""), Err(Errno::EIO));
    assert_eq!(recorded(&machine), ["malformed_security_descriptor"]);
    let root = client.open("Machine").unwrap();
    assert_eq!(client.subkeys(root), ["A"]);
    let shown = client.security(fd, OWNER_SECURITY_INFORMATION).unwrap();
    assert_eq!(SecurityDescriptor::parse(&shown).unwrap().owner, None);
    assert!(recorded(&machine).is_empty());
}

#[test]
fn a_descriptor_without_an_owner_can_only_be_given_one() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    take_owner_away(&machine, "a");
    let root = root_descriptor();
    assert_eq!(client.set_security(fd, DACL_SECURITY_INFORMATION, &root), Err(Errno::EINVAL));
    client.set_security(fd, OWNER_SECURITY_INFORMATION, &root).unwrap();
    client.open("Machine\\A").unwrap();
}

#[test]
fn a_layer_whose_descriptor_has_no_owner_takes_no_writes() {
    let machine = Machine::new();
    let client = machine.client();
    let role = client.layer("role", 0);
    let fd = client.make("Machine\\A");
    take_owner_away(&machine, "role");
    client.set(role, "Precedence", 5, "").unwrap();
    assert_eq!(client.set(fd, "v", 1, "role"), Err(Errno::EIO));
    assert_eq!(recorded(&machine), ["malformed_layer_metadata_security_descriptor"]);
    // An impersonation that allows nothing is refused before anybody looks at the descriptor.
    let level = TokenLevel::Identification;
    let nobody = client.with_token(Token { level, ..Token::system() });
    assert_eq!(nobody.set(fd, "v", 1, "role"), Err(Errno::EACCES));
    assert!(recorded(&machine).is_empty());
}
