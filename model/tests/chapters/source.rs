//! A source for the chapters on the reference store: short requests, readable responses.

use registry_model::Covered;
use registry_model::store::{
    Answer, Description, Guid, Operation, RegisteredHive, Registration, Request, Response, Start,
    Store,
};

/// One second in nanoseconds.
pub const SECOND: u64 = 1_000_000_000;

/// The root of the first hive.
pub const ROOT: Guid = Guid([0xA1; 16]);
/// The root of the second hive.
pub const OTHER_ROOT: Guid = Guid([0xA2; 16]);

/// The key with this number.
pub fn key(number: u8) -> Guid {
    Guid([number; 16])
}

/// A source, and the clock.
pub struct Source {
    pub store: Store,
    pub now: u64,
    pub covered: Covered,
}

impl Source {
    /// A source that has just been started for the first time.
    pub fn new(hives: &[&str]) -> Source {
        let description = Description::new(hives).unwrap();
        let start = Store::first_boot(&description, 0, 10);
        let store = register(&start, &[ROOT, OTHER_ROOT]).unwrap();
        Source { store, now: SECOND, covered: start.covered }
    }

    /// Asks outside any transaction.
    pub fn ask(&mut self, operation: Operation) -> String {
        self.request(&Request::new(operation))
    }

    /// Asks in a transaction.
    pub fn ask_in(&mut self, transaction: u64, operation: Operation) -> String {
        self.request(&Request::within(transaction, operation))
    }

    /// Asks, and takes the first way in which the request may be answered.
    pub fn request(&mut self, request: &Request) -> String {
        let answers = self.answers(request, 0);
        let Some(answer) = answers.first() else { return "waits".to_owned() };
        let response = answer.outcome.example();
        self.store = answer.accept(&response).unwrap();
        self.covered.add(&answer.covered);
        shown(&response)
    }

    /// Every way in which a request may be answered that was sent so many seconds ago.
    pub fn answers(&self, request: &Request, waited_seconds: u64) -> Vec<Answer> {
        self.store.answer(request, self.now, self.now + waited_seconds * SECOND)
    }

    /// The same as statuses.
    pub fn statuses(&self, operation: Operation, waited_seconds: u64) -> Vec<String> {
        let answers = self.answers(&Request::new(operation), waited_seconds);
        answers.iter().map(|answer| shown(&answer.outcome.example())).collect()
    }

    /// What the source would register if it were restarted now.
    pub fn start(&self) -> Start {
        self.store.restart(self.now, self.now)
    }

    /// Ends the process and starts it again.
    pub fn restart(&mut self) {
        let start = self.start();
        self.covered.add(&start.covered);
        self.store = register(&start, &[key(0xB1), key(0xB2)]).unwrap();
    }

    /// Creates a key with its entry in base.
    pub fn create(&mut self, guid: Guid, parent: Guid, name: &str, sequence: u64) {
        assert_eq!(self.ask(create_entry(parent, name, "base", guid, sequence)), "ok");
        assert_eq!(self.ask(create_key(guid, name, parent)), "ok");
    }
}

/// Registers what the start expects, with these roots where fresh ones are due.
pub fn register(start: &Start, fresh: &[Guid]) -> Result<Store, String> {
    let registration = registration(start, fresh);
    start.register(&registration).map_err(|mismatch| mismatch.expected)
}

/// What a source registers that conforms.
pub fn registration(start: &Start, fresh: &[Guid]) -> Registration {
    let hives = start.hives().zip(fresh).map(|((name, root), fresh)| RegisteredHive {
        name: name.as_bytes().to_vec(),
        root: root.unwrap_or(*fresh),
        flags: 0,
    });
    Registration { hives: hives.collect(), max_sequence: start.max_sequence() }
}

/// A response with short names for keys.
pub fn shown(response: &Response) -> String {
    let mut text = response.to_string();
    for number in 1..=9 {
        text = text.replace(&key(number).to_string(), &format!("k{number}"));
    }
    text.replace(&ROOT.to_string(), "root")
        .replace(&OTHER_ROOT.to_string(), "other-root")
        .replace(&Guid::ZERO.to_string(), "zero")
}

pub fn lookup(parent: Guid, name: &str) -> Operation {
    Operation::Lookup { parent, child_name: name.into() }
}

pub fn enum_children(parent: Guid) -> Operation {
    Operation::EnumChildren { parent }
}

pub fn create_entry(
    parent: Guid,
    name: &str,
    layer: &str,
    child: Guid,
    sequence: u64,
) -> Operation {
    Operation::CreateEntry { parent, child_name: name.into(), layer: layer.into(), child, sequence }
}

pub fn hide_entry(parent: Guid, name: &str, layer: &str, sequence: u64) -> Operation {
    Operation::HideEntry { parent, child_name: name.into(), layer: layer.into(), sequence }
}

pub fn delete_entry(parent: Guid, name: &str, layer: &str) -> Operation {
    Operation::DeleteEntry { parent, child_name: name.into(), layer: layer.into() }
}

pub fn create_key(guid: Guid, name: &str, parent: Guid) -> Operation {
    Operation::CreateKey {
        guid,
        name: name.into(),
        parent,
        security_descriptor: b"sd".to_vec(),
        volatile_key: 0,
        symlink: 0,
    }
}

pub fn create_volatile_key(guid: Guid, name: &str, parent: Guid) -> Operation {
    Operation::CreateKey {
        guid,
        name: name.into(),
        parent,
        security_descriptor: b"sd".to_vec(),
        volatile_key: 1,
        symlink: 0,
    }
}

pub fn read_key(guid: Guid) -> Operation {
    Operation::ReadKey { guid }
}

pub fn write_time(guid: Guid, time: u64) -> Operation {
    Operation::WriteKey {
        guid,
        security_descriptor: None,
        last_write_time: Some(time),
        undefined_mask_bits: 0,
    }
}

pub fn drop_key(guid: Guid) -> Operation {
    Operation::DropKey { guid }
}

pub fn query(guid: Guid, name: &str) -> Operation {
    Operation::QueryValues { guid, name: name.into(), query_all: 0 }
}

pub fn query_all(guid: Guid) -> Operation {
    Operation::QueryValues { guid, name: Vec::new(), query_all: 1 }
}

/// Sets a string.
pub fn set(guid: Guid, name: &str, layer: &str, data: &str, sequence: u64) -> Operation {
    set_if(guid, name, layer, data, sequence, 0)
}

/// Sets a string if the layer's entry has the expected sequence number.
pub fn set_if(
    guid: Guid,
    name: &str,
    layer: &str,
    data: &str,
    sequence: u64,
    expected_sequence: u64,
) -> Operation {
    Operation::SetValue {
        guid,
        name: name.into(),
        layer: layer.into(),
        value_type: 1,
        data: data.into(),
        sequence,
        expected_sequence,
    }
}

/// Sets a tombstone, with data that is not kept.
pub fn tombstone(guid: Guid, name: &str, layer: &str, sequence: u64) -> Operation {
    Operation::SetValue {
        guid,
        name: name.into(),
        layer: layer.into(),
        value_type: 0xFFFF,
        data: b"lost".to_vec(),
        sequence,
        expected_sequence: 0,
    }
}

pub fn delete_value(guid: Guid, name: &str, layer: &str) -> Operation {
    Operation::DeleteValueEntry { guid, name: name.into(), layer: layer.into() }
}

pub fn blanket(guid: Guid, layer: &str, set: bool, sequence: u64) -> Operation {
    Operation::SetBlanketTombstone { guid, layer: layer.into(), set: u8::from(set), sequence }
}

/// Read-write.
pub fn begin(transaction: u64) -> Operation {
    Operation::BeginTransaction { transaction, mode: 0 }
}

pub fn begin_read_only(transaction: u64) -> Operation {
    Operation::BeginTransaction { transaction, mode: 1 }
}

pub fn commit(transaction: u64) -> Operation {
    Operation::CommitTransaction { transaction }
}

pub fn abort(transaction: u64) -> Operation {
    Operation::AbortTransaction { transaction }
}

pub fn delete_layer(layer: &str) -> Operation {
    Operation::DeleteLayer { layer: layer.into() }
}

pub fn flush(hive: &str) -> Operation {
    Operation::Flush { hive_name: hive.into() }
}
