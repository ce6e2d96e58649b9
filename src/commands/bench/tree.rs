//! The tree that transfers are measured with, and a source that holds none of it: what is asked for is
//! worked out, so that all the memory of its process is the kernel half's.

use registry_model::security::default_root_sd;
use rsi::{Guid, KeyMetadata, PathEntry, Request, Response, Status, TransactionId, ValueEntry};
use stores::{
    HiveInfo, MemoryConfig, MemoryDisk, MemoryStore, RawKey, RawPathEntry, RawRecord, RawValue,
    Seed, Serial, SerialStore, Store,
};

/// Each key has a value of this length in each of these layers.
const LAYERS: [&str; 8] = ["base", "one", "two", "three", "four", "five", "six", "seven"];
const VALUE_BYTES: usize = 100;
/// REG_BINARY.
const BINARY: u32 = 3;
/// Children of one key.
const FAN_OUT: u32 = 20;

/// A store in memory with nothing but its root.
pub fn empty() -> MemoryStore {
    MemoryStore::open(MemoryConfig {
        hives: vec!["Machine".to_owned()],
        disk: MemoryDisk::new(),
        random: Box::new(|bytes| bytes.fill(3)),
        now: 0,
    })
}

/// A store in memory with so many keys below its root.
pub fn planted(keys: u32) -> Result<MemoryStore, String> {
    let mut store = empty();
    let root = store.hives()[0].root;
    let tree = Tree { keys, root, descriptor: default_root_sd() };
    for index in 0..keys {
        for record in tree.records(index) {
            store.seed(root, record).map_err(|status| format!("{status:?}"))?;
        }
    }
    Ok(store)
}

/// Keys by number; those below key `n` come in one row, and those below the root before all.
struct Tree {
    keys: u32,
    root: Guid,
    descriptor: Vec<u8>,
}

impl Tree {
    /// The number spread over its bytes, so that keys stand in no order by it.
    fn guid(index: u32) -> Guid {
        let mut guid = Guid([9; 16]);
        guid.0[..4].copy_from_slice(&index.wrapping_mul(0x9e37_79b9).to_le_bytes());
        guid.0[4..8].copy_from_slice(&index.to_le_bytes());
        guid
    }

    /// The number of a key; the root has none.
    fn index(guid: Guid) -> Option<u32> {
        let [.., a, b, c, d, _, _, _, _, _, _, _, _] = guid.0;
        let index = u32::from_le_bytes([a, b, c, d]);
        (Tree::guid(index) == guid).then_some(index)
    }

    fn name(index: u32) -> String {
        format!("Key number {index}")
    }

    fn children(&self, guid: Guid) -> impl Iterator<Item = u32> + use<> {
        let first = match Tree::index(guid) {
            None => 0,
            Some(index) => index.saturating_add(1).saturating_mul(FAN_OUT),
        };
        first.min(self.keys)..first.saturating_add(FAN_OUT).min(self.keys)
    }

    fn records(&self, index: u32) -> impl Iterator<Item = RawRecord> {
        let parent = if index < FAN_OUT { self.root } else { Tree::guid(index / FAN_OUT - 1) };
        let (guid, name) = (Tree::guid(index), Tree::name(index));
        let key = RawRecord::Key(RawKey {
            guid,
            name: name.clone(),
            parent: Some(parent),
            sd: self.descriptor.clone(),
            volatile_key: false,
            symlink: false,
            last_write_time: 1,
        });
        let entry = RawRecord::PathEntry(RawPathEntry {
            parent,
            child_name: name,
            layer: "base".to_owned(),
            target: Some(guid),
            sequence: 0,
            stored_volatile: false,
        });
        let values = LAYERS.iter().map(move |layer| {
            RawRecord::Value(RawValue {
                key: guid,
                name: "Value".to_owned(),
                layer: (*layer).to_owned(),
                value_type: BINARY,
                data: vec![5; VALUE_BYTES],
                sequence: 0,
                stored_volatile: false,
            })
        });
        [key, entry].into_iter().chain(values)
    }
}

/// The source that works its tree out.
pub struct Computed {
    tree: Tree,
    hives: Vec<HiveInfo>,
}

impl Computed {
    /// One with so many keys below its root.
    pub fn with_keys(keys: u32) -> Serial<Computed> {
        let root = Guid([1; 16]);
        let hives = vec![HiveInfo { name: "Machine".to_owned(), root }];
        let tree = Tree { keys, root, descriptor: default_root_sd() };
        Serial::new(Computed { tree, hives })
    }

    fn answer(&self, request: &Request) -> Response {
        match request {
            Request::BeginTransaction { .. } | Request::AbortTransaction { .. } => Response::Done,
            Request::EnumChildren { parent } => self.enumerate(*parent),
            Request::QueryValues { guid, query_all: true, .. } if *guid != self.tree.root => {
                Response::QueryValues { entries: values(), blankets: Vec::new() }
            }
            Request::QueryValues { .. } => {
                Response::QueryValues { entries: Vec::new(), blankets: Vec::new() }
            }
            Request::ReadKey { guid } if *guid == self.tree.root => Response::ReadKey {
                name: b"Machine".to_vec(),
                parent: Guid::NULL,
                sd: self.tree.descriptor.clone(),
                volatile_key: false,
                symlink: false,
                last_write_time: 1,
            },
            // Nothing is found by its name: the kernel half looks for its parameters.
            Request::Lookup { .. } => {
                Response::Lookup { entries: Vec::new(), metadata: Vec::new() }
            }
            _ => Response::Failed(Status::NotFound),
        }
    }

    fn enumerate(&self, parent: Guid) -> Response {
        let child = |index| {
            let (guid, name) = (Tree::guid(index), Tree::name(index).into_bytes());
            let entry = PathEntry { layer: b"base".to_vec(), target: Some(guid), sequence: 0 };
            let (sd, last_write_time) = (self.tree.descriptor.clone(), 1);
            let (volatile_key, symlink) = (false, false);
            let key = KeyMetadata { guid, sd, volatile_key, symlink, last_write_time };
            ((name, vec![entry]), key)
        };
        let (children, metadata) = self.tree.children(parent).map(child).unzip();
        Response::EnumChildren { children, metadata }
    }
}

fn values() -> Vec<ValueEntry> {
    let value = |layer: &&str| ValueEntry {
        name: b"Value".to_vec(),
        layer: layer.as_bytes().to_vec(),
        value_type: BINARY,
        data: vec![5; VALUE_BYTES],
        sequence: 0,
    };
    LAYERS.iter().map(value).collect()
}

impl SerialStore for Computed {
    fn execute(&mut self, _: Option<TransactionId>, request: &Request, _now: u64) -> Response {
        self.answer(request)
    }

    fn hives(&self) -> &[HiveInfo] {
        &self.hives
    }

    fn max_sequence(&self) -> u64 {
        0
    }
}
