//! What is learnt of keys while others drop or make them, with answers in any order.

use super::*;

const OLD: (u8, u8) = (0, 0);
const VOLATILE: (u8, u8) = (1, 0);

/// A client that talks to a source by itself, with several requests in flight.
struct Client(Wire);

impl Client {
    /// A source that has a persistent key.
    fn with_key() -> Client {
        let mut client = Client(Wire::of(WireMonitor::for_concurrent_calls()));
        client.done(0x10, 0, create_key(NEW));
        client
    }

    fn send(&mut self, op_code: u16, transaction: u64, payload: Payload) -> u64 {
        self.0.last_id += 1;
        let bytes = message(self.0.last_id, op_code, Some(transaction), &payload.0);
        self.0.monitor.client_request(SOURCE, &bytes);
        self.0.last_id
    }

    fn answer(&mut self, id: u64, op_code: u16, payload: Payload) -> Result<(), Rule> {
        self.0.frame(SOURCE, false, message(id, op_code | 0x8000, None, &payload.0))
    }

    fn done(&mut self, op_code: u16, transaction: u64, request: Payload) {
        let id = self.send(op_code, transaction, request);
        self.answer(id, op_code, payload().u32(0)).unwrap();
    }

    fn ask(&mut self) -> u64 {
        self.send(0x11, 0, payload().guid(NEW))
    }

    fn say(&mut self, asked: u64, flags: (u8, u8)) -> Result<(), Rule> {
        let record = payload().u32(0).bytes("Name").guid(ROOT).bytes(security_descriptor());
        self.answer(asked, 0x11, record.u8(flags.0).u8(flags.1).u64(1))
    }

    fn read(&mut self, flags: (u8, u8)) -> Result<(), Rule> {
        let asked = self.ask();
        self.say(asked, flags)
    }

    fn drop(&mut self, transaction: u64) {
        self.done(0x13, transaction, payload().guid(NEW));
    }

    fn create_volatile(&mut self, transaction: u64) {
        self.done(0x10, transaction, create_key_below(ROOT, NEW, 1));
    }

    /// A transaction in which the key is dropped and made again, with other flags.
    fn replace_within(&mut self) {
        self.done(0x30, 9, payload().u64(9).u32(0));
        self.drop(9);
        self.create_volatile(9);
    }
}

#[test]
fn a_key_that_a_transaction_makes_again_has_its_old_flags_until_the_commit() {
    let mut client = Client::with_key();
    client.replace_within();
    assert_eq!(client.read(OLD), Ok(()));
    client.done(0x31, 9, payload().u64(9));
    assert_eq!(client.read(VOLATILE), Ok(()));
    assert_eq!(client.read(OLD), Err(Rule::ImmutableFields));
}

#[test]
fn a_key_that_an_aborted_transaction_would_have_made_again_keeps_its_flags() {
    let mut client = Client::with_key();
    client.replace_within();
    client.done(0x32, 9, payload().u64(9));
    assert_eq!(client.read(OLD), Ok(()));
    assert_eq!(client.read(VOLATILE), Err(Rule::ImmutableFields));
}

#[test]
fn a_commit_that_a_death_cuts_off_may_have_made_a_key_again() {
    let mut client = Client::with_key();
    client.replace_within();
    client.read(OLD).unwrap();
    client.send(0x31, 9, payload().u64(9));
    client.0.monitor.connection_opened(SOURCE);
    client.0.monitor.registered(SOURCE, 100, &[served(ROOT)]);
    client.0.last_id = 0;
    assert_eq!(client.read(VOLATILE), Ok(()));
}

#[test]
fn what_was_asked_before_a_key_was_dropped_may_be_answered_after() {
    let mut client = Client::with_key();
    let asked = client.ask();
    client.drop(0);
    client.create_volatile(0);
    assert_eq!(client.say(asked, OLD), Ok(()));
    assert_eq!(client.read(VOLATILE), Ok(()));
    assert_eq!(client.read(OLD), Err(Rule::ImmutableFields));
}

#[test]
fn a_key_that_is_read_while_it_is_dropped_may_be_gone_after() {
    let removal = || payload().guid(NEW).bytes("v").bytes("base");
    let mut client = Client::with_key();
    let removed = client.send(0x22, 0, removal());
    assert_eq!(client.answer(removed, 0x22, payload().u32(1)), Err(Rule::StatusOfOperation));
    let dropped = client.send(0x13, 0, payload().guid(NEW));
    client.read(OLD).unwrap();
    let early = client.send(0x22, 0, removal());
    client.answer(early, 0x22, payload().u32(1)).unwrap();
    client.answer(dropped, 0x13, payload().u32(0)).unwrap();
    let late = client.send(0x22, 0, removal());
    assert_eq!(client.answer(late, 0x22, payload().u32(1)), Ok(()));
}

#[test]
fn a_removal_may_miss_a_key_that_is_created_after_it() {
    let mut client = Client(Wire::of(WireMonitor::for_concurrent_calls()));
    let removed = client.send(0x22, 0, payload().guid(NEW).bytes("v").bytes("base"));
    client.done(0x10, 0, create_key(NEW));
    assert_eq!(client.answer(removed, 0x22, payload().u32(1)), Ok(()));
}

#[test]
fn a_client_may_give_the_guid_of_a_dropped_root_to_a_key_with_a_parent() {
    let mut client = Client(Wire::of(WireMonitor::for_concurrent_calls()));
    let read = |client: &mut Client| {
        let asked = client.send(0x11, 0, payload().guid(ROOT));
        let record = payload().u32(0).bytes("Name").guid(NEW).bytes(security_descriptor());
        client.answer(asked, 0x11, record.u8(0).u8(0).u64(1))
    };
    assert_eq!(read(&mut client), Err(Rule::RootParent));
    client.done(0x13, 0, payload().guid(ROOT));
    client.done(0x10, 0, create_key_below(NEW, ROOT, 0));
    assert_eq!(read(&mut client), Ok(()));
}
