//! How fast a subtree goes into a stream and back, over each store on real threads.
//!
//! `cargo run --release -p host --example backup_speed`

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use abi::layout::{BackupArgs, RestoreArgs};
use abi::{Errno, KEY_ALL_ACCESS, Structure, ioctl};
use futures::executor::block_on;
use futures::future::{BoxFuture, FutureExt, ready};
use host::{Source, ThreadEnv};
use lcs::env::{Fault, UserMemory};
use lcs::security::Token;
use lcs::{Caller, Lcs, Process, Stream};
use rsi::{Guid, Status};
use stores::{
    MemoryConfig, MemoryDisk, MemoryStore, RawKey, RawPathEntry, RawRecord, RawValue, Seed,
    SqliteConfig, SqliteStore, Store,
};

const LAYERS: [&str; 8] = ["base", "one", "two", "three", "four", "five", "six", "seven"];
/// Children of one key.
const FAN_OUT: u32 = 20;
/// REG_BINARY.
const BINARY: u32 = 3;

/// A program's memory: whatever is passed to the one call that is under way.
struct Memory(Vec<u8>);

impl UserMemory for Memory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let start = usize::try_from(address - 1).map_err(|_| Fault)?;
        let end = start + buffer.len();
        buffer.copy_from_slice(self.0.get(start..end).ok_or(Fault)?);
        Ok(())
    }

    fn write(&self, _address: u64, _bytes: &[u8]) -> Result<(), Fault> {
        Err(Fault)
    }

    fn is_writable(&self, _address: u64, _length: u64) -> bool {
        false
    }
}

/// A file in memory.
#[derive(Default)]
struct File(Mutex<(Vec<u8>, usize)>);

impl Stream for File {
    fn is_readable(&self) -> bool {
        true
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn read<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, Result<usize, Errno>> {
        let mut file = self.0.lock().expect("no writer panics");
        let (bytes, position) = &mut *file;
        let length = buffer.len().min(bytes.len() - *position);
        buffer[..length].copy_from_slice(&bytes[*position..*position + length]);
        *position += length;
        ready(Ok(length)).boxed()
    }

    fn write<'a>(&'a self, bytes: &'a [u8]) -> BoxFuture<'a, Result<usize, Errno>> {
        self.0.lock().expect("no reader panics").0.extend_from_slice(bytes);
        ready(Ok(bytes.len())).boxed()
    }
}

/// A machine with one source for `Machine`.
struct Machine {
    lcs: Lcs<ThreadEnv>,
    process: Process<ThreadEnv>,
    token: Arc<Token>,
    _source: Source,
    root: i32,
}

impl Machine {
    fn new(store: Box<dyn Store>) -> Result<Self, Box<dyn Error>> {
        let env = ThreadEnv::new(1)?;
        let lcs = Lcs::new(env.clone());
        let token = Arc::new(Token::system());
        let source = Source::start(&lcs, &env, &token, store)?;
        let process = lcs.new_process();
        let caller = Caller { process: &process, token: &token };
        let arguments = [u64::MAX, 1, KEY_ALL_ACCESS.into(), 0, 0, 0];
        let memory = Memory(b"Machine\0".to_vec());
        let root = block_on(lcs.syscall(caller, abi::REG_OPEN_KEY, arguments, &memory));
        Ok(Self { lcs, process, token, _source: source, root: i32::try_from(root)? })
    }

    fn call(&self, request: u32, args: &impl Structure) -> i64 {
        let caller = Caller { process: &self.process, token: &self.token };
        let memory = Memory(args.to_bytes());
        block_on(self.lcs.ioctl(caller, self.root, request, 1, &memory))
    }

    fn backup(&self, what: &str) -> Vec<u8> {
        let file = Arc::new(File::default());
        let Ok(output_fd) = self.lcs.install_stream(&self.process, file.clone()) else {
            return Vec::new();
        };
        let begin = Instant::now();
        let result = self.call(ioctl::REG_IOC_BACKUP, &BackupArgs { output_fd });
        let bytes = std::mem::take(&mut file.0.lock().expect("nobody panics").0);
        report(&format!("backup, {what}"), bytes.len(), begin, result);
        bytes
    }

    fn restore(&self, what: &str, bytes: &[u8]) {
        let file = Arc::new(File(Mutex::new((bytes.to_vec(), 0))));
        let Ok(input_fd) = self.lcs.install_stream(&self.process, file) else { return };
        let begin = Instant::now();
        let result = self.call(ioctl::REG_IOC_RESTORE, &RestoreArgs { input_fd });
        report(&format!("restore, {what}"), bytes.len(), begin, result);
    }
}

fn report(what: &str, bytes: usize, begin: Instant, result: i64) {
    let (seconds, megabytes) = (begin.elapsed().as_secs_f64(), bytes as f64 / 1e6);
    println!(
        "{what:>24}: {megabytes:6.1} MB in {seconds:6.2} s, {:6.1} MB/s ({result})",
        megabytes / seconds
    );
}

fn seed(store: &mut MemoryStore, keys: u32) -> Result<(), Status> {
    let root = store.hives()[0].root;
    let guid = |index: u32| {
        let mut guid = Guid([9; 16]);
        guid.0[..4].copy_from_slice(&index.wrapping_mul(0x9e37_79b9).to_le_bytes());
        guid
    };
    let root_sd = store_sd(store);
    for index in 0..keys {
        let parent = if index < FAN_OUT { root } else { guid(index / FAN_OUT - 1) };
        let (key, name) = (guid(index), format!("Key number {index}"));
        store.seed(
            root,
            RawRecord::Key(RawKey {
                guid: key,
                name: name.clone(),
                parent: Some(parent),
                sd: root_sd.clone(),
                volatile_key: false,
                symlink: false,
                last_write_time: 1,
            }),
        )?;
        store.seed(
            root,
            RawRecord::PathEntry(RawPathEntry {
                parent,
                child_name: name,
                layer: "base".to_owned(),
                target: Some(key),
                sequence: 0,
                stored_volatile: false,
            }),
        )?;
        for layer in LAYERS {
            store.seed(
                root,
                RawRecord::Value(RawValue {
                    key,
                    name: "Value".to_owned(),
                    layer: layer.to_owned(),
                    value_type: BINARY,
                    data: vec![5; 100],
                    sequence: 0,
                    stored_volatile: false,
                }),
            )?;
        }
    }
    Ok(())
}

/// The descriptor that the root has.
fn store_sd(store: &mut MemoryStore) -> Vec<u8> {
    let raw = stores::Inspect::raw(store).unwrap_or_default();
    raw.first().and_then(|hive| hive.keys.first()).map(|key| key.sd.clone()).unwrap_or_default()
}

fn memory() -> MemoryStore {
    MemoryStore::open(MemoryConfig {
        hives: vec!["Machine".to_owned()],
        disk: MemoryDisk::new(),
        random: Box::new(|bytes| bytes.fill(3)),
        now: 0,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let keys: u32 = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let mut seeded = memory();
    seed(&mut seeded, keys).map_err(|status| format!("{status:?}"))?;
    let stream = Machine::new(Box::new(seeded))?.backup("memory");
    Machine::new(Box::new(memory()))?.restore("memory", &stream);
    let directory = std::env::temp_dir().join(format!("backup-speed-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let store = SqliteStore::open(SqliteConfig {
        hives: vec![("Machine".to_owned(), directory.join("machine.db"))],
        vfs: None,
        incarnation: "speed".to_owned(),
        random: Box::new(|bytes| bytes.fill(3)),
        now: 0,
    });
    let sqlite = Machine::new(Box::new(store.map_err(|error| error.to_string())?))?;
    sqlite.restore("sqlite, real files", &stream);
    sqlite.backup("sqlite, real files");
    drop(sqlite);
    Ok(std::fs::remove_dir_all(&directory)?)
}
