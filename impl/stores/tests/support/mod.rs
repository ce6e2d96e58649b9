//! Stores to be tested, each on something that outlives it, and short forms of requests.
#![expect(dead_code, reason = "each test file uses its own part of this module")]

use std::sync::atomic::{AtomicU64, Ordering};

use rsi::{Guid, Request, RequestFrame, RequestId, Response, Status, TransactionId};
use simulated_disk::Disk;
use stores::{
    Inspect, MemoryConfig, MemoryDisk, MemoryStore, RawHive, Seed, SqliteConfig, SqliteStore, Store,
};

/// The first moment of every test, in Unix nanoseconds.
pub const START: u64 = 1_700_000_000_000_000_000;

/// A store that can be looked into and put into.
pub trait TestStore: Store + Inspect + Seed {}

impl<S: Store + Inspect + Seed> TestStore for S {}

/// Makes stores over what the former ones left.
pub trait Shelf {
    /// The next incarnation. `killed`: the former one did not close its files.
    fn open(&mut self, killed: bool) -> Box<dyn TestStore>;
}

/// A counter in place of randomness.
fn counting() -> stores::RandomSource {
    let mut next = 0;
    Box::new(move |bytes| {
        next += 1;
        bytes.fill(0);
        bytes[0] = 0xee;
        bytes[1] = next;
    })
}

pub struct MemoryShelf {
    disk: MemoryDisk,
    hives: Vec<String>,
}

pub struct SqliteShelf {
    disk: Disk,
    hives: Vec<String>,
    incarnation: u64,
    /// A killed store is not dropped before the next one runs, as in a simulation.
    opened: bool,
}

pub fn memory(hives: &[&str]) -> MemoryShelf {
    let hives = hives.iter().map(|name| (*name).to_owned()).collect();
    MemoryShelf { disk: MemoryDisk::new(), hives }
}

/// A number that no other disk of this process has.
pub fn fresh_world() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub fn sqlite(hives: &[&str]) -> SqliteShelf {
    let hives = hives.iter().map(|name| (*name).to_owned()).collect();
    SqliteShelf { disk: Disk::new(fresh_world()), hives, incarnation: 0, opened: false }
}

impl Shelf for MemoryShelf {
    fn open(&mut self, _killed: bool) -> Box<dyn TestStore> {
        Box::new(MemoryStore::open(MemoryConfig {
            hives: self.hives.clone(),
            disk: self.disk.clone(),
            random: counting(),
            now: START,
        }))
    }
}

impl SqliteShelf {
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    pub fn config(&mut self) -> SqliteConfig {
        self.incarnation += 1;
        SqliteConfig {
            hives: self
                .hives
                .iter()
                .map(|name| (name.clone(), self.disk.path(&format!("{name}.regdb"))))
                .collect(),
            vfs: Some(self.disk.vfs_name().to_owned()),
            incarnation: format!("{:?}-{}", self.disk.path(""), self.incarnation),
            random: counting(),
            now: START,
        }
    }
}

impl Shelf for SqliteShelf {
    fn open(&mut self, killed: bool) -> Box<dyn TestStore> {
        if killed && self.opened {
            self.disk.kill();
        }
        self.opened = true;
        Box::new(SqliteStore::open(self.config()).unwrap())
    }
}

/// Drives one store as a device would, at a time of the test's choice.
pub struct Driver {
    shelf: Box<dyn Shelf>,
    store: Option<Box<dyn TestStore>>,
    pub now: u64,
    next_id: u64,
}

impl Driver {
    pub fn new(shelf: impl Shelf + 'static) -> Driver {
        let mut shelf: Box<dyn Shelf> = Box::new(shelf);
        let store = Some(shelf.open(false));
        Driver { shelf, store, now: START, next_id: 0 }
    }

    pub fn store(&mut self) -> &mut dyn TestStore {
        self.store.as_mut().unwrap().as_mut()
    }

    pub fn root(&mut self) -> Guid {
        self.store().hives()[0].root
    }

    /// Closes the store and opens the next.
    pub fn restart(&mut self) {
        self.store = None;
        self.store = Some(self.shelf.open(false));
    }

    /// Opens the next store, and drops the dead one when it is open.
    pub fn kill(&mut self) {
        let next = self.shelf.open(true);
        self.store = Some(next);
    }

    /// Submits a request and returns its id.
    pub fn submit(&mut self, transaction: u64, request: Request) -> u64 {
        self.next_id += 1;
        let transaction = (transaction != 0).then_some(TransactionId(transaction));
        let (id, now) = (self.next_id, self.now);
        self.store().submit(RequestFrame { id: RequestId(id), transaction, request }, now);
        id
    }

    /// Every response that is ready, with the id of its request.
    pub fn drain(&mut self) -> Vec<(u64, Response)> {
        let now = self.now;
        let store = self.store();
        std::iter::from_fn(|| store.poll(now)).map(|frame| (frame.id.0, frame.response)).collect()
    }

    /// Submits a request that is answered on the spot.
    pub fn within(&mut self, transaction: u64, request: Request) -> Response {
        let id = self.submit(transaction, request);
        let mut responses = self.drain();
        assert_eq!(responses.len(), 1, "one request, one response");
        let (answered, response) = responses.remove(0);
        assert_eq!(answered, id);
        response
    }

    pub fn call(&mut self, request: Request) -> Response {
        self.within(0, request)
    }

    /// Submits a request that must succeed.
    pub fn ok(&mut self, request: Request) {
        assert_eq!(self.call(request.clone()), Response::Done, "{request:?}");
    }

    pub fn ok_within(&mut self, transaction: u64, request: Request) {
        assert_eq!(self.within(transaction, request.clone()), Response::Done, "{request:?}");
    }

    /// Makes a key with an entry in `base`, as LCS does it: the entry first.
    pub fn key(&mut self, parent: Guid, name: &str, guid: Guid, sequence: u64, volatile: bool) {
        self.ok(create_entry(parent, name, "base", guid, sequence));
        self.ok(create_key(guid, name, parent, volatile));
    }

    pub fn raw(&mut self) -> Vec<RawHive> {
        let mut hives = self.store().raw().unwrap();
        for hive in &mut hives {
            hive.keys.sort();
            hive.path_entries.sort();
            hive.values.sort();
            hive.blankets.sort();
        }
        hives
    }
}

/// A GUID that is easy to tell from others.
pub fn guid(number: u8) -> Guid {
    Guid([number; 16])
}

pub fn failed(status: Status) -> Response {
    Response::Failed(status)
}

pub fn lookup(parent: Guid, name: &str) -> Request {
    Request::Lookup { parent, child_name: name.into() }
}

pub fn create_entry(parent: Guid, name: &str, layer: &str, child: Guid, sequence: u64) -> Request {
    Request::CreateEntry { parent, child_name: name.into(), layer: layer.into(), child, sequence }
}

pub fn hide_entry(parent: Guid, name: &str, layer: &str, sequence: u64) -> Request {
    Request::HideEntry { parent, child_name: name.into(), layer: layer.into(), sequence }
}

pub fn delete_entry(parent: Guid, name: &str, layer: &str) -> Request {
    Request::DeleteEntry { parent, child_name: name.into(), layer: layer.into() }
}

pub fn create_key(guid: Guid, name: &str, parent: Guid, volatile_key: bool) -> Request {
    let sd = format!("sd of {name}").into_bytes();
    Request::CreateKey { guid, name: name.into(), parent, sd, volatile_key, symlink: false }
}

pub fn set_value(guid: Guid, name: &str, layer: &str, data: &str, sequence: u64) -> Request {
    set_value_if(guid, name, layer, data, sequence, 0)
}

pub fn set_value_if(
    guid: Guid,
    name: &str,
    layer: &str,
    data: &str,
    sequence: u64,
    expected_sequence: u64,
) -> Request {
    Request::SetValue {
        guid,
        value_name: name.into(),
        layer: layer.into(),
        value_type: 1,
        data: data.into(),
        sequence,
        expected_sequence,
    }
}

pub fn query(guid: Guid, name: &str) -> Request {
    Request::QueryValues { guid, value_name: name.into(), query_all: false }
}

pub fn query_all(guid: Guid) -> Request {
    Request::QueryValues { guid, value_name: Vec::new(), query_all: true }
}

pub fn delete_value(guid: Guid, name: &str, layer: &str) -> Request {
    Request::DeleteValueEntry { guid, value_name: name.into(), layer: layer.into() }
}

pub fn blanket(guid: Guid, layer: &str, set: bool, sequence: u64) -> Request {
    Request::SetBlanketTombstone { guid, layer: layer.into(), set, sequence }
}

pub fn begin(transaction: u64) -> Request {
    Request::BeginTransaction { transaction, mode: 0 }
}

pub fn begin_snapshot(transaction: u64) -> Request {
    Request::BeginTransaction { transaction, mode: 1 }
}

pub fn commit(transaction: u64) -> Request {
    Request::CommitTransaction { transaction }
}

pub fn abort(transaction: u64) -> Request {
    Request::AbortTransaction { transaction }
}

pub fn flush(hive: &str) -> Request {
    Request::Flush { hive_name: hive.into() }
}

pub fn delete_layer(layer: &str) -> Request {
    Request::DeleteLayer { layer: layer.into() }
}

/// `name=data@sequence in layer` for each entry, then `blanket@sequence in layer`.
pub fn values_of(response: &Response) -> Vec<String> {
    let Response::QueryValues { entries, blankets } = response else {
        return vec![format!("{response:?}")];
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut lines: Vec<String> = entries
        .iter()
        .map(|entry| {
            let data =
                if entry.value_type == 0xFFFF { "tombstone".into() } else { text(&entry.data) };
            format!("{}={data}@{} in {}", text(&entry.name), entry.sequence, text(&entry.layer))
        })
        .collect();
    lines.extend(
        blankets
            .iter()
            .map(|entry| format!("blanket@{} in {}", entry.sequence, text(&entry.layer))),
    );
    lines.sort();
    lines
}

/// `layer@sequence -> target` for each entry, then `metadata target`.
pub fn entries_of(response: &Response) -> Vec<String> {
    let Response::Lookup { entries, metadata } = response else {
        return vec![format!("{response:?}")];
    };
    let mut lines: Vec<String> = entries
        .iter()
        .map(|entry| {
            let target =
                entry.target.map_or("HIDDEN".to_owned(), |guid| format!("{:02x}", guid.0[0]));
            format!("{}@{} -> {target}", String::from_utf8_lossy(&entry.layer), entry.sequence)
        })
        .collect();
    lines.extend(metadata.iter().map(|key| format!("metadata {:02x}", key.guid.0[0])));
    lines.sort();
    lines
}
