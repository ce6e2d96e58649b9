//! Time, tasks and memory for the tests: one thread, and a clock that moves only when nothing
//! else can.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use lcs::env::{AuditUnavailable, Env, Fault, Task, UserMemory};

#[derive(Clone)]
pub struct TestEnv(Arc<Mutex<Shared>>);

struct Shared {
    now: u64,
    next: u64,
    random: u64,
    timers: BTreeMap<(u64, u64), Waker>,
    tasks: Vec<Task>,
    audit: Vec<(String, Vec<u8>)>,
    audit_refused: bool,
}

impl TestEnv {
    /// The audit events since the last time of asking.
    pub fn take_audit(&self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.0.lock().unwrap().audit)
    }

    /// Lets time pass, and every timer that is due by then be late.
    pub fn pass(&self, duration_ns: u64) {
        self.0.lock().unwrap().now += duration_ns;
    }

    /// Lets audit events be kept or not.
    pub fn refuse_audit(&self, refused: bool) {
        self.0.lock().unwrap().audit_refused = refused;
    }
}

impl Env for TestEnv {
    fn now(&self) -> u64 {
        let mut shared = self.0.lock().unwrap();
        shared.now += 1;
        shared.now
    }

    fn sleep_until(&self, deadline: u64) -> impl Future<Output = ()> + Send + 'static {
        let mut shared = self.0.lock().unwrap();
        shared.next += 1;
        Sleep { env: self.clone(), key: (deadline, shared.next) }
    }

    fn spawn(&self, task: Task) {
        self.0.lock().unwrap().tasks.push(task);
    }

    fn random(&self, bytes: &mut [u8]) {
        let mut shared = self.0.lock().unwrap();
        for byte in bytes {
            shared.random = shared.random.wrapping_mul(6364136223846793005).wrapping_add(1);
            *byte = (shared.random >> 56) as u8;
        }
    }

    fn emit_audit(&self, event: &str, payload: &[u8]) -> Result<(), AuditUnavailable> {
        let mut shared = self.0.lock().unwrap();
        if shared.audit_refused {
            return Err(AuditUnavailable);
        }
        shared.audit.push((event.to_owned(), payload.to_vec()));
        Ok(())
    }

    async fn yield_point(&self, _label: &'static str) {
        let mut turns = [0];
        self.random(&mut turns);
        let mut left = turns[0] % 4;
        std::future::poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

struct Sleep {
    env: TestEnv,
    key: (u64, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.env.0.lock().unwrap();
        if shared.now >= self.key.0 {
            return Poll::Ready(());
        }
        shared.timers.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.env.0.lock().unwrap().timers.remove(&self.key);
    }
}

/// Runs everything.
pub struct World {
    pub env: TestEnv,
    pool: RefCell<LocalPool>,
}

impl World {
    pub fn new() -> Self {
        Self::with_seed(42)
    }

    pub fn with_seed(seed: u64) -> Self {
        let shared = Shared {
            now: 1_000_000,
            next: 0,
            random: seed,
            timers: BTreeMap::new(),
            tasks: Vec::new(),
            audit: Vec::new(),
            audit_refused: false,
        };
        Self { env: TestEnv(Arc::new(Mutex::new(shared))), pool: RefCell::new(LocalPool::new()) }
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.pool.borrow().spawner().spawn_local(task).unwrap();
    }

    /// Runs until `future` is done; time passes where nothing else can happen.
    pub fn run<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        self.spawn(async move {
            let value = future.await;
            *slot.borrow_mut() = Some(value);
        });
        for _ in 0..10_000_000 {
            self.run_until_stalled();
            if let Some(value) = result.borrow_mut().take() {
                return value;
            }
            assert!(self.advance(), "nothing can happen any more");
        }
        panic!("no end in sight");
    }

    /// Runs what can run without time passing.
    pub fn run_until_stalled(&self) {
        loop {
            let tasks = std::mem::take(&mut self.env.0.lock().unwrap().tasks);
            let none = tasks.is_empty();
            for task in tasks {
                self.spawn(task);
            }
            self.pool.borrow_mut().run_until_stalled();
            if none && self.env.0.lock().unwrap().tasks.is_empty() {
                return;
            }
        }
    }

    fn advance(&self) -> bool {
        let due = {
            let mut shared = self.env.0.lock().unwrap();
            let Some(((deadline, _), waker)) = shared.timers.pop_first() else { return false };
            shared.now = shared.now.max(deadline);
            waker
        };
        due.wake();
        true
    }
}

/// A caller's memory: one mapped range, the last page of it read-only.
pub struct Memory {
    bytes: Mutex<Vec<u8>>,
    next: Mutex<u64>,
}

/// Where the mapped range begins.
pub const BASE: u64 = 0x10_000;
const SIZE: u64 = 0x400_000;
/// The start of the read-only page, which is the last.
pub const READ_ONLY: u64 = BASE + SIZE - 4096;
/// An address behind the mapped range.
pub const UNMAPPED: u64 = BASE + SIZE;

impl Memory {
    pub fn new() -> Self {
        Self { bytes: Mutex::new(vec![0; SIZE as usize]), next: Mutex::new(BASE) }
    }

    /// Room for `length` bytes, forgetting older room when there is no more.
    pub fn room(&self, length: usize) -> u64 {
        let mut next = self.next.lock().unwrap();
        let length = (length as u64 + 15) & !7;
        if *next + length >= READ_ONLY {
            *next = BASE;
        }
        let address = *next;
        *next += length;
        address
    }

    /// Puts bytes somewhere.
    pub fn put(&self, bytes: &[u8]) -> u64 {
        let address = self.room(bytes.len());
        self.poke(address, bytes);
        address
    }

    pub fn poke(&self, address: u64, bytes: &[u8]) {
        let start = (address - BASE) as usize;
        self.bytes.lock().unwrap()[start..start + bytes.len()].copy_from_slice(bytes);
    }

    pub fn peek(&self, address: u64, length: usize) -> Vec<u8> {
        let start = (address - BASE) as usize;
        self.bytes.lock().unwrap()[start..start + length].to_vec()
    }
}

fn within(address: u64, length: u64, end: u64) -> bool {
    address >= BASE && address.checked_add(length).is_some_and(|last| last <= end)
}

impl UserMemory for Memory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        if !within(address, buffer.len() as u64, BASE + SIZE) {
            return Err(Fault);
        }
        buffer.copy_from_slice(&self.peek(address, buffer.len()));
        Ok(())
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        if !self.is_writable(address, bytes.len() as u64) {
            return Err(Fault);
        }
        self.poke(address, bytes);
        Ok(())
    }

    fn is_writable(&self, address: u64, length: u64) -> bool {
        within(address, length, READ_ONLY)
    }
}
