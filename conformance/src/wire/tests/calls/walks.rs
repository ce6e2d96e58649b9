//! Walks that go astray, creations in the wrong order, and what callers are told of failures.

use super::transactions::{ID, TXN, bound, failed};
use super::*;

const KEY: [u8; 16] = [5; 16];

impl Wire {
    /// A lookup that finds a link in base.
    fn find_link(&mut self, parent: [u8; 16], name: &str, found: [u8; 16]) {
        self.send(0x01, payload().guid(parent).bytes(name)).unwrap();
        let entries = payload().u32(0).u32(1).bytes("base").u8(0).guid(found).u64(1).u32(1);
        let link = entries.guid(found).bytes(security_descriptor()).u8(0).u8(1).u64(7);
        self.answer(0x01, link).unwrap();
    }

    /// A lookup that is answered with a status.
    fn refuse(&mut self, name: &str, status: u32) {
        self.exchange(0x01, payload().guid(ROOT).bytes(name), status).unwrap();
    }
}

#[test]
fn a_failed_open_asks_for_each_component_once_and_in_order() {
    let call = open(-1, b"Machine\\a\\b");
    let absent = Errno::ENOENT;
    assert_eq!(refused(&call, absent, |wire| wire.miss("a")), Ok(()));
    assert_eq!(refused(&call, absent, |wire| wire.miss("b")), Err(Rule::Walk));
    let twice = refused(&call, absent, |wire| {
        wire.miss("a");
        wire.miss("a");
    });
    assert_eq!(twice, Err(Rule::Walk));
    let astray = refused(&call, absent, |wire| {
        wire.find(ROOT, "a", KEY);
        wire.miss("b");
    });
    assert_eq!(astray, Err(Rule::Walk));
}

#[test]
fn a_walk_follows_a_link_from_where_it_was_to_a_root() {
    let call = open(-1, b"Machine\\a\\b");
    let follow = |name: &'static str, of: [u8; 16], from: [u8; 16]| {
        judged(&call, &opened(9), |wire| {
            wire.find_link(ROOT, name, KEY);
            wire.ask(of, "", 0);
            wire.find(from, "c", [6; 16]);
            wire.find([6; 16], "b", [7; 16]);
        })
    };
    assert_eq!(follow("a", KEY, ROOT), Ok(()));
    assert_eq!(follow("x", KEY, ROOT), Err(Rule::Walk));
    assert_eq!(follow("a", NEW, ROOT), Err(Rule::Walk));
    assert_eq!(follow("a", KEY, NEW), Err(Rule::Walk));
    let plain = judged(&call, &opened(9), |wire| {
        wire.find(ROOT, "a", KEY);
        wire.ask(KEY, "", 0);
    });
    assert_eq!(plain, Err(Rule::Walk));
    for (name, query_all) in [("v", 0), ("", 1)] {
        let other = judged(&call, &opened(9), |wire| {
            wire.find_link(ROOT, "a", KEY);
            wire.ask(KEY, name, query_all);
            wire.find(ROOT, "c", [6; 16]);
            wire.find([6; 16], "b", [7; 16]);
        });
        assert_eq!(other, Err(Rule::LinkAsked), "{name:?} {query_all}");
    }
}

#[test]
fn a_place_is_looked_at_again_only_for_what_a_transaction_creates() {
    let look = |wire: &mut Wire| {
        wire.miss("Name");
        wire.send_to(SOURCE, 0x01, ID, payload().guid(ROOT).bytes("Name")).unwrap();
        wire.answer(0x01, payload().u32(0).u32(0).u32(0)).unwrap();
    };
    let create = create(0, None).within(TXN);
    let made =
        bound().judge(&create, &Observation::Opened { fd: 40, disposition: Some(1) }, |wire| {
            look(wire);
            wire.tell(ID, 0x02, create_entry(KEY, 102), 0);
            wire.tell(ID, 0x10, create_key(KEY), 0);
        });
    assert_eq!(made, Ok(()));
    let found = Observation::Opened { fd: 40, disposition: Some(2) };
    assert_eq!(bound().judge(&create, &found, look), Err(Rule::Walk));
}

#[test]
fn a_record_that_comes_before_its_entry_is_noticed() {
    let mut wire = Wire::new();
    assert_eq!(wire.send(0x10, create_key(KEY)), Err(Rule::EntryBeforeKey));
    let create = create(0, None).within(TXN);
    let made = Observation::Opened { fd: 40, disposition: Some(1) };
    let inside = bound().judge(&create, &made, |wire| {
        wire.miss("Name");
        wire.tell(ID, 0x10, create_key(KEY), 0);
        wire.tell(ID, 0x02, create_entry(KEY, 102), 0);
    });
    assert_eq!(inside, Err(Rule::EntryBeforeKey));
}

#[test]
fn a_status_on_a_walk_reaches_the_caller_as_its_errno() {
    let call = open(-1, b"Machine\\a");
    for (status, errno, rule) in [
        (1, Errno::ENOENT, Rule::StatusNotFound),
        (3, Errno::EIO, Rule::StatusStorageError),
        (6, Errno::EBUSY, Rule::StatusBusy),
        (7, Errno::EINVAL, Rule::StatusInvalid),
    ] {
        assert_eq!(refused(&call, errno, |wire| wire.refuse("a", status)), Ok(()));
        let other = refused(&call, Errno::EPERM, |wire| wire.refuse("a", status));
        assert_eq!(other, Err(rule));
    }
    let create = create(0, None);
    assert_eq!(refused(&create, Errno::EIO, |wire| wire.refuse("Name", 3)), Ok(()));
    let other = refused(&create, Errno::EBUSY, |wire| wire.refuse("Name", 3));
    assert_eq!(other, Err(Rule::StatusStorageError));
    // No creation is EEXIST, whatever its walk meets.
    assert_eq!(refused(&create, Errno::EIO, |wire| wire.refuse("Name", 2)), Ok(()));
}

#[test]
fn a_status_of_a_creation_reaches_the_caller_as_its_errno() {
    let creation = |entry: u32, record: Option<u32>, errno| {
        refused(&create(0, None), errno, |wire| {
            wire.miss("Name");
            wire.exchange(0x02, create_entry(KEY, 101), entry).unwrap();
            if let Some(record) = record {
                wire.exchange(0x10, create_key(KEY), record).unwrap();
            }
        })
    };
    assert_eq!(creation(6, None, Errno::EBUSY), Ok(()));
    assert_eq!(creation(6, None, Errno::EIO), Err(Rule::StatusBusy));
    assert_eq!(creation(0, Some(7), Errno::EINVAL), Ok(()));
    assert_eq!(creation(0, Some(7), Errno::EIO), Err(Rule::StatusInvalid));
    assert_eq!(creation(0, Some(2), Errno::EIO), Ok(()));
    assert_eq!(creation(0, Some(2), Errno::EEXIST), Err(Rule::StatusStorageError));
}

#[test]
fn a_status_ends_a_deletion_and_reaches_the_caller() {
    let call = delete(NAME, "");
    let look = |wire: &mut Wire| wire.refuse("Name", 6);
    assert_eq!(refused(&call, Errno::EBUSY, look), Ok(()));
    assert_eq!(refused(&call, Errno::EIO, look), Err(Rule::StatusBusy));
}

#[test]
fn the_status_of_a_last_write_time_reaches_the_caller() {
    let removed = |wire: &mut Wire| {
        wire.done(0x22, payload().guid(NEW).bytes("v").bytes("base"));
        wire.exchange(0x12, write_time(NEW), 1).unwrap();
    };
    assert_eq!(refused(&unset(""), Errno::ENOENT, removed), Ok(()));
    assert_eq!(judged(&unset(""), &DONE, removed), Err(Rule::StatusNotFound));
}

#[test]
fn an_fd_keeps_to_the_source_of_its_key() {
    let mut wire = with_fds();
    wire.monitor.connection_opened(OTHER);
    wire.monitor.registered(OTHER, 100, &[served([6; 16])]);
    let question = payload().guid(NEW).bytes("v").u8(0);
    assert_eq!(wire.send_to(OTHER, 0x20, 0, question), Err(Rule::KeyAtHome));
    let stray = wire.judge(&query(b"v"), &failed(Errno::EIO), |wire| {
        let _ = wire.send_to(OTHER, 0x20, 0, payload().guid(NEW).bytes("v").u8(0));
    });
    assert_eq!(stray, Err(Rule::KeyByGuid));
}
