//! Transactions over the stores of PSD-006, in simulated time: who waits for whom at the write lock
//! of a hive, and for how long (PSD-005 §5.1, PSD-006 §4.1; D-80, D-81).
//!
//! The kernel half runs under the simulator as in a world; each test runs on both stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use conformance::target::RawCall;
use conformance::typed;
use futures::FutureExt;
use futures::future::{Either, select};
use lcs::security::Token;
use lcs::{Caller, Device, HiveRegistration, Lcs, Process, Registration};
use madsim::runtime::{Handle, Runtime};
use madsim::task::{self, JoinHandle};
use madsim::time::{self, Instant};
use registry_model::errno::Errno;
use registry_model::input::{Call, Fd};
use registry_model::observation::Observation;
use rsi::{Guid, decode_request, encode_response};
use sim::{CallMemory, Clock, Randomness, SimEnv, StoreKind};
use simulated_disk::Disk;
use stores::{
    MemoryConfig, MemoryDisk, MemoryStore, RandomSource, SqliteConfig, SqliteStore, Store,
};

const KEY_ALL_ACCESS: u32 = 0x000F_003F;
const REG_DWORD: u32 = 4;
const REG_OPTION_VOLATILE: u32 = 1;
const REG_TXN_ACTIVE_BOUND: u32 = 1;
const REG_TXN_TIMED_OUT: u32 = 4;
const SECOND: Duration = Duration::from_secs(1);
/// How long PSD-006 has a write wait for the write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(25);
/// TransactionTimeoutMs.
const LIFETIME: Duration = Duration::from_secs(30);

/// Numbers the disks, of which each is used once in a process.
static NEXT_DISK: AtomicU64 = AtomicU64::new(1);

/// Runs a test over each kind of store, with a client and a key of a hive of its own.
fn on_both_stores<F: Future<Output = ()>>(test: impl Fn(Client, Fd) -> F) {
    for kind in [StoreKind::Sqlite, StoreKind::Memory] {
        let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
        runtime.block_on(async {
            let client = Client::of_a_machine(kind);
            let key = client.create("Machine\\A", 0, -1).await;
            test(client, key).await;
        });
    }
}

/// A process with one thread, as SYSTEM.
#[derive(Clone)]
struct Client {
    lcs: Lcs<SimEnv>,
    process: Arc<Process<SimEnv>>,
    token: Arc<Token>,
}

impl Client {
    /// The only one of a kernel half with one source.
    fn of_a_machine(kind: StoreKind) -> Client {
        let clock = Clock::start();
        let randomness = Randomness::of_seed(1);
        let stream = randomness.clone();
        let random: RandomSource = Box::new(move |bytes| stream.fill(bytes));
        let now = clock.now();
        let store: Box<dyn Store> = match kind {
            StoreKind::Memory => {
                let hives = vec!["Machine".to_owned()];
                let disk = MemoryDisk::new();
                Box::new(MemoryStore::open(MemoryConfig { hives, disk, random, now }))
            }
            StoreKind::Sqlite => {
                let number = NEXT_DISK.fetch_add(1, Ordering::Relaxed);
                let disk = Disk::new(number);
                let hives = vec![("Machine".to_owned(), disk.path("machine.regdb"))];
                let vfs = Some(disk.vfs_name().to_owned());
                let incarnation = format!("transactions{number}");
                let config = SqliteConfig { hives, vfs, incarnation, random, now };
                let store = SqliteStore::open(config).expect("an empty disk");
                Box::new(OnDisk { store, _disk: disk })
            }
        };
        let kernel = Handle::current().create_node().name("kernel").build();
        let lcs = Lcs::new(SimEnv::new(clock.clone(), randomness, kernel));
        let device = lcs.open_device(&Arc::new(Token::system())).expect("SYSTEM may");
        let hives = store.hives().iter().map(|hive| HiveRegistration {
            name: hive.name.clone().into_bytes(),
            root: hive.root,
            flags: 0,
            scope: Guid::NULL,
        });
        let max_sequence = store.max_sequence();
        device.register(&Registration { hives: hives.collect(), max_sequence }).expect("good");
        let node = Handle::current().create_node().name("source").build();
        drop(node.spawn(serve(device, store, clock)));
        let process = Arc::new(lcs.new_process());
        Client { lcs, process, token: Arc::new(Token::system()) }
    }

    async fn call(&self, call: Call) -> Observation {
        let encoded = typed::encode(&call);
        let memory = CallMemory::new(encoded.memory.clone());
        let caller = Caller { process: &self.process, token: &self.token };
        let result = match encoded.call {
            RawCall::Syscall { number, arguments } => {
                self.lcs.syscall(caller, number, arguments, &memory).await
            }
            RawCall::Ioctl { fd, request, argument } => {
                self.lcs.ioctl(caller, fd, request, argument, &memory).await
            }
            RawCall::Close { fd } => self.lcs.close(caller, fd).await,
            RawCall::Read { fd, buffer, length } => {
                self.lcs.read(caller, fd, buffer, length, &memory).await
            }
            RawCall::Poll { .. }
            | RawCall::Pass { .. }
            | RawCall::OpenStream { .. }
            | RawCall::TakeStream { .. } => {
                unreachable!("no test here polls or passes an fd, or has streams")
            }
        };
        encoded.decode(result, &memory.into_inner()).expect("an answer in good form")
    }

    async fn create(&self, path: &str, flags: u32, transaction: Fd) -> Fd {
        let call = Call::CreateKey {
            parent: -1,
            path: path.into(),
            desired_access: KEY_ALL_ACCESS,
            flags,
            layer: None,
            transaction,
        };
        match self.call(call).await {
            Observation::Opened { fd, .. } => fd,
            other => panic!("the key is not created: {other:?}"),
        }
    }

    async fn begin(&self) -> Fd {
        match self.call(Call::BeginTransaction).await {
            Observation::Begun { fd } => fd,
            other => panic!("no transaction: {other:?}"),
        }
    }

    async fn commit(&self, fd: Fd) -> Observation {
        self.call(Call::Commit { fd }).await
    }

    async fn state(&self, fd: Fd) -> u32 {
        match self.call(Call::TransactionStatus { fd }).await {
            Observation::TransactionStatus { state, .. } => state,
            other => panic!("no status: {other:?}"),
        }
    }

    async fn set(&self, fd: Fd, number: u32, transaction: Fd) -> Observation {
        let call = Call::SetValue {
            fd,
            name: "v".into(),
            value_type: REG_DWORD,
            data: number.to_le_bytes().to_vec(),
            layer: Vec::new(),
            transaction,
            expected_sequence: 0,
        };
        self.call(call).await
    }

    /// Sets the value in a task of its own, and gives it the time to reach the source.
    async fn start_set(&self, fd: Fd, number: u32, transaction: Fd) -> JoinHandle<Observation> {
        let client = self.clone();
        let call = task::spawn(async move { client.set(fd, number, transaction).await });
        time::sleep(SECOND).await;
        call
    }

    /// The number in the value, if there is one.
    async fn get(&self, fd: Fd, transaction: Fd) -> Option<u32> {
        let (data_capacity, layer_capacity) = (64, 64);
        let name = "v".into();
        let call = Call::QueryValue { fd, name, transaction, data_capacity, layer_capacity };
        match self.call(call).await {
            Observation::Value { data, .. } => {
                Some(u32::from_le_bytes(data.try_into().expect("four bytes")))
            }
            Observation::Failed(Errno::ENOENT) => None,
            other => panic!("no value: {other:?}"),
        }
    }
}

/// A store with the disk that it lies on.
struct OnDisk {
    store: SqliteStore,
    _disk: Disk,
}

impl Store for OnDisk {
    fn submit(&mut self, frame: rsi::RequestFrame, now: u64) {
        self.store.submit(frame, now);
    }

    fn poll(&mut self, now: u64) -> Option<rsi::ResponseFrame> {
        self.store.poll(now)
    }

    fn next_wake(&self) -> Option<u64> {
        self.store.next_wake()
    }

    fn hives(&self) -> &[stores::HiveInfo] {
        self.store.hives()
    }

    fn max_sequence(&self) -> u64 {
        self.store.max_sequence()
    }

    fn fatal_error(&self) -> Option<stores::FatalError> {
        self.store.fatal_error()
    }
}

async fn serve(device: Device<SimEnv>, mut store: Box<dyn Store>, clock: Clock) {
    loop {
        let wake = store.next_wake().unwrap_or(u64::MAX / 2);
        let left = Duration::from_nanos(wake.saturating_sub(clock.now()));
        let read = match select(device.read().boxed(), time::sleep(left).boxed()).await {
            Either::Left((read, _)) => Some(read),
            Either::Right(_) => None,
        };
        match read {
            Some(Ok(bytes)) => {
                let frame = decode_request(&bytes).expect("the kernel sends good requests");
                store.submit(frame, clock.now());
            }
            Some(Err(_)) => return,
            None => {}
        }
        while let Some(response) = store.poll(clock.now()) {
            device.write(&encode_response(&response)).expect("the kernel takes the response");
        }
    }
}

#[test]
fn a_write_outside_waits_for_the_commit_and_holds_up_nobody_inside() {
    on_both_stores(async |client, key| {
        let transaction = client.begin().await;
        assert_eq!(client.set(key, 1, transaction).await, Observation::Done);
        let outside = client.start_set(key, 2, -1).await;
        let began = Instant::now();
        assert_eq!(client.set(key, 3, transaction).await, Observation::Done);
        assert_eq!(client.get(key, transaction).await, Some(3));
        assert_eq!(client.commit(transaction).await, Observation::Done);
        assert!(began.elapsed() < SECOND, "the transaction waited for the write");
        assert_eq!(outside.await.expect("the call ends"), Observation::Done);
        assert_eq!(client.get(key, -1).await, Some(2));
    });
}

#[test]
fn a_write_outside_that_waits_too_long_is_ebusy_and_the_transaction_goes_on() {
    on_both_stores(async |client, key| {
        let transaction = client.begin().await;
        assert_eq!(client.set(key, 1, transaction).await, Observation::Done);
        let began = Instant::now();
        assert_eq!(client.set(key, 2, -1).await, Observation::Failed(Errno::EBUSY));
        assert!(began.elapsed() >= BUSY_TIMEOUT && began.elapsed() < LIFETIME);
        assert_eq!(client.state(transaction).await, REG_TXN_ACTIVE_BOUND);
        assert_eq!(client.commit(transaction).await, Observation::Done);
        assert_eq!(client.get(key, -1).await, Some(1));
    });
}

#[test]
fn the_end_of_a_lifetime_lets_a_waiting_write_through() {
    on_both_stores(async |client, key| {
        let transaction = client.begin().await;
        time::sleep(10 * SECOND).await;
        assert_eq!(client.set(key, 1, transaction).await, Observation::Done);
        let began = Instant::now();
        assert_eq!(client.set(key, 2, -1).await, Observation::Done);
        assert!(began.elapsed() < 21 * SECOND, "after {:?}", began.elapsed());
        assert_eq!(client.state(transaction).await, REG_TXN_TIMED_OUT);
        assert_eq!(client.commit(transaction).await, Observation::Failed(Errno::ETIMEDOUT));
        assert_eq!(client.get(key, -1).await, Some(2));
    });
}

#[test]
fn of_two_transactions_the_one_that_commits_last_decides() {
    on_both_stores(async |client, key| {
        let (first, second) = (client.begin().await, client.begin().await);
        assert_eq!(client.set(key, 1, first).await, Observation::Done);
        let waiting = client.start_set(key, 2, second).await;
        assert_eq!(client.state(second).await, REG_TXN_ACTIVE_BOUND);
        assert!(!waiting.is_finished());
        assert_eq!(client.commit(first).await, Observation::Done);
        assert_eq!(waiting.await.expect("the call ends"), Observation::Done);
        assert_eq!(client.get(key, -1).await, Some(1));
        assert_eq!(client.commit(second).await, Observation::Done);
        assert_eq!(client.get(key, -1).await, Some(2));
    });
}

#[test]
fn a_transaction_whose_first_write_waits_too_long_is_bound_and_can_try_again() {
    on_both_stores(async |client, key| {
        let first = client.begin().await;
        assert_eq!(client.set(key, 1, first).await, Observation::Done);
        let second = client.begin().await;
        assert_eq!(client.set(key, 2, second).await, Observation::Failed(Errno::EBUSY));
        assert_eq!(client.state(second).await, REG_TXN_ACTIVE_BOUND);
        assert_eq!(client.commit(first).await, Observation::Done);
        assert_eq!(client.set(key, 2, second).await, Observation::Done);
        assert_eq!(client.commit(second).await, Observation::Done);
        assert_eq!(client.get(key, -1).await, Some(2));
    });
}

#[test]
fn what_is_open_in_a_transaction_is_nowhere_once_it_is_closed() {
    on_both_stores(async |client, key| {
        let transaction = client.begin().await;
        let new = client.create("Machine\\A\\B", 0, transaction).await;
        assert_eq!(client.set(new, 1, transaction).await, Observation::Done);
        assert_eq!(client.get(new, transaction).await, Some(1));
        assert_eq!(client.call(Call::Close { fd: transaction }).await, Observation::Done);
        assert_eq!(client.get(new, -1).await, None);
        assert_eq!(client.set(new, 1, -1).await, Observation::Failed(Errno::ENOENT));
        assert_eq!(client.set(key, 1, -1).await, Observation::Done);
    });
}

#[test]
fn a_watched_transaction_over_volatile_keys_commits_at_once() {
    on_both_stores(async |client, key| {
        let volatile = client.create("Machine\\Passing", REG_OPTION_VOLATILE, -1).await;
        let watch = Call::Notify { fd: volatile, filter: 7, subtree: 0 };
        assert_eq!(client.call(watch).await, Observation::Done);
        let transaction = client.begin().await;
        assert_eq!(client.set(key, 1, transaction).await, Observation::Done);
        let began = Instant::now();
        assert_eq!(client.set(volatile, 2, transaction).await, Observation::Done);
        assert_eq!(client.commit(transaction).await, Observation::Done);
        assert!(began.elapsed() < SECOND, "after {:?}", began.elapsed());
        assert_eq!(client.get(volatile, -1).await, Some(2));
        let read = client.call(Call::ReadEvents { fd: volatile, capacity: 64 }).await;
        assert_eq!(read, Observation::Events(b"\x09\0\0\0\x01\0\x01\0v".to_vec()));
    });
}
