//! One source of a world: its disk, and the process that serves it while it lives.
//!
//! A process is a task on a madsim node of its own. Its death is the end of the task; the disk
//! stays. Every frame that crosses the device is seen here.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abi::errno::Errno;
use conformance::oracle;
use conformance::source_device::{Addressee, Breach, BrokenFrame, SourceCall, SourceCalled};
use conformance::target::{Frame, WorldEvent};
use futures::FutureExt;
use futures::future::select_all;
use lcs::Device;
use registry_model::input::SourceId;
use rsi::{Response, ResponseFrame, decode_request, encode_refusal, encode_response};
use seam::{Refusals, lock};
use simulated_disk::Disk;
use stores::{
    HiveInfo, Inspect, MemoryConfig, MemoryDisk, MemoryStore, Seed, SqliteConfig, SqliteStore,
    Store,
};

use crate::StoreKind;
use crate::breach::{self, Asked, TrafficOfAll};
use crate::env::{Clock, Randomness, SimEnv};
use crate::stall::{Kept, Stall};
use crate::turnstile::Turnstile;

/// What happened in a world and has not been told yet.
#[derive(Default)]
pub struct Log {
    /// Frames in the order they crossed.
    pub frames: Vec<Frame>,
    /// Deaths and stalls that came by themselves.
    pub events: Vec<WorldEvent>,
    /// What sources got from their devices.
    pub calls: Vec<SourceCalled>,
    /// What has crossed the connections that are open.
    pub traffic: TrafficOfAll,
}

/// The log of a world, shared by its tasks.
pub type SharedLog = Arc<Mutex<Log>>;

/// A store that can be looked into and put into.
pub trait SimStore: Store + Inspect + Seed {}
impl<T: Store + Inspect + Seed> SimStore for T {}

/// An armed death or stall.
#[derive(Clone, Copy, Debug)]
pub struct Armed {
    /// Requests left, the last one included.
    pub requests_left: u32,
    /// Whether the last request is carried out.
    pub executed: bool,
}

/// An armed end of a process.
#[derive(Clone, Copy, Debug)]
pub struct ArmedEnd {
    /// When it comes.
    pub at: Armed,
    /// How the process breaks the protocol in the end; none if it just dies.
    pub breach: Option<Breach>,
}

/// What outlives a process of the source.
pub enum Storage {
    /// A file system in memory under the real SQLite.
    Sqlite(Arc<Disk>),
    /// The persistent part of a memory store.
    Memory(MemoryDisk),
}

/// A store on its storage, as one process of the source has it.
pub type OpenStore = Arc<Mutex<Box<dyn SimStore>>>;

impl Storage {
    /// Fresh storage. `world_id` must be unused in this process.
    pub fn new(kind: StoreKind, world_id: u64) -> Storage {
        match kind {
            StoreKind::Sqlite => Storage::Sqlite(Arc::new(Disk::new(world_id))),
            StoreKind::Memory => Storage::Memory(MemoryDisk::new()),
        }
    }

    /// Ends every handle of the process that used it.
    pub fn kill(&self) {
        if let Storage::Sqlite(disk) = self {
            disk.fail_at(0);
            disk.kill();
        }
    }

    /// The file system, if it is one. The persistent part of a memory store is durable at once.
    pub fn disk(&self) -> Option<&Arc<Disk>> {
        match self {
            Storage::Sqlite(disk) => Some(disk),
            Storage::Memory(_) => None,
        }
    }
}

/// The process of a source, as its task has it.
pub struct Process {
    pub source: SourceId,
    pub device: Arc<Device<SimEnv>>,
    pub store: OpenStore,
    pub armed: Arc<Mutex<Option<ArmedEnd>>>,
    pub stall: Stall,
    pub refusals: Arc<Mutex<Refusals>>,
    pub log: SharedLog,
    pub clock: Clock,
    /// Where a request and a response wait on their way, while calls overlap.
    pub turnstile: Turnstile,
    /// What it writes to, if that is one that can fail.
    pub disk: Option<Arc<Disk>>,
    /// How long it takes before it carries a request out.
    pub delay_ms: Arc<AtomicU32>,
}

/// What a process waits for.
enum Next {
    Request(Result<Vec<u8>, Errno>),
    /// The store wants to be asked, or the process has been released.
    Woken,
}

impl Process {
    /// Serves requests until the device closes or an armed death comes.
    pub async fn serve(self) {
        loop {
            match self.next().await {
                Next::Woken => {
                    if !self.answer_kept().await {
                        return;
                    }
                }
                Next::Request(Err(_)) => return,
                Next::Request(Ok(bytes)) => {
                    self.tap(true, &bytes);
                    self.turnstile.yield_point().await;
                    self.dawdle().await;
                    if !self.take(bytes) {
                        return;
                    }
                }
            }
            self.answer().await;
            if self.has_ended_by_its_disk() {
                return;
            }
        }
    }

    /// Lets time pass, if the source is slow.
    async fn dawdle(&self) {
        let delay_ms = self.delay_ms.load(Ordering::Relaxed);
        if delay_ms > 0 {
            madsim::time::sleep(Duration::from_millis(u64::from(delay_ms))).await;
        }
    }

    /// Whether the process ends since the power has failed, or since its disk is full (LORE-038). Tells of that,
    /// and of a change that the disk has refused.
    fn has_ended_by_its_disk(&self) -> bool {
        let Some(disk) = &self.disk else { return false };
        let mut log = lock(&self.log);
        if disk.take_error() {
            log.events.push(WorldEvent::DiskFailed(self.source));
        }
        if disk.has_failed() {
            log.events.push(WorldEvent::PowerFailed(self.source));
        }
        let ends = disk.has_failed() || lock(&self.store).fatal_error().is_some();
        if ends {
            log.events.push(WorldEvent::SourceDown(self.source));
        }
        ends
    }

    fn has_lost_power(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.has_failed())
    }

    /// A request has been read. Whether the process lives on.
    fn take(&self, bytes: Vec<u8>) -> bool {
        if let Some(ArmedEnd { at, breach }) = self.fatal() {
            // A stalled source carries nothing out.
            let is_executed = at.executed && !self.stall.is_stalled();
            let response = is_executed.then(|| self.carry_out_unheard(&bytes)).flatten();
            if let Some(breach) = breach {
                self.break_protocol(breach, &bytes, response);
            }
            lock(&self.log).events.push(WorldEvent::SourceDown(self.source));
            return false;
        }
        if self.stall.is_stalled() {
            self.stall.keep(Kept::Request(bytes));
            return true;
        }
        match self.stall.count() {
            None => self.carry_out(&bytes),
            Some(executed) => {
                lock(&self.log).events.push(WorldEvent::SourceStalled(self.source));
                if executed {
                    return self.carry_out(&bytes);
                }
                self.stall.keep(Kept::Request(bytes));
                true
            }
        }
    }

    /// Carries a request out, or refuses it. Whether the process lives on.
    fn carry_out(&self, bytes: &[u8]) -> bool {
        let Ok(frame) = decode_request(bytes) else {
            return encode_refusal(bytes).is_ok_and(|refusal| self.send(&refusal));
        };
        let Some(status) = lock(&self.refusals).of(&frame.request) else {
            lock(&self.store).submit(frame, self.clock.now());
            return true;
        };
        let (id, operation) = (frame.id, frame.request.operation());
        let response = Response::Failed(status);
        self.send(&encode_response(&ResponseFrame { id, operation, response }))
    }

    /// Carries a request out, unless it is refused, and tells nobody. Returns its answer, if there is one at
    /// once.
    fn carry_out_unheard(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let frame = decode_request(bytes).ok()?;
        let (id, operation) = (frame.id, frame.request.operation());
        if let Some(status) = lock(&self.refusals).of(&frame.request) {
            let response = Response::Failed(status);
            return Some(encode_response(&ResponseFrame { id, operation, response }));
        }
        let now = self.clock.now();
        lock(&self.store).submit(frame, now);
        let mut own = None;
        while let Some(response) = lock(&self.store).poll(now) {
            if response.id == id {
                own = Some(encode_response(&response));
            }
        }
        own
    }

    /// Answers a request by a frame that breaks the protocol. `response` is the right answer, if the request was
    /// carried out; a second one comes after it.
    fn break_protocol(&self, breach: Breach, request: &[u8], response: Option<Vec<u8>>) {
        if breach == Breach::SecondResponse
            && let Some(response) = &response
        {
            self.send(response);
        }
        let asked = (Asked::of(request), response);
        let (breach, frame) = breach::frame(breach, self.source, asked, &lock(&self.log).traffic);
        let addressee = Addressee::Caller;
        let broken = hand_in(&self.device, self.source, (breach, addressee), &frame);
        lock(&self.log).events.push(WorldEvent::ProtocolBroken(broken));
    }

    /// Carries out and answers what was kept, if the process has been released. Whether it lives on.
    async fn answer_kept(&self) -> bool {
        while let Some(kept) = self.stall.take() {
            let lives = match kept {
                Kept::Request(bytes) => self.carry_out(&bytes),
                Kept::Response(bytes) => self.send(&bytes),
            };
            if !lives {
                return false;
            }
            self.answer().await;
        }
        true
    }

    /// The next request, or the moment at which the store wants to be asked or the process is released.
    async fn next(&self) -> Next {
        let wake = if self.stall.is_stalled() { None } else { lock(&self.store).next_wake() };
        let read = self.read().map(Next::Request).boxed();
        let released = self.stall.released().map(|()| Next::Woken).boxed();
        let mut awaited = vec![read, released];
        if let Some(at) = wake {
            let left = std::time::Duration::from_nanos(at.saturating_sub(self.clock.now()));
            awaited.push(madsim::time::sleep(left).map(|()| Next::Woken).boxed());
        }
        select_all(awaited).await.0
    }

    /// The next request. A buffer that is too short for it is tried first.
    async fn read(&self) -> Result<Vec<u8>, Errno> {
        let at_once = self.device.try_read_with_capacity(SHORT_LENGTH);
        let waited = at_once == Err(Errno::EAGAIN);
        let read = if waited {
            self.returned(SourceCall::ReadNothing, &at_once);
            self.device.read_with_capacity(SHORT_LENGTH).await
        } else {
            at_once
        };
        if read == Err(Errno::EIO) {
            self.returned(SourceCall::ReadAtTheEnd, &read);
            return read;
        }
        self.returned(SourceCall::ReadTooShort { waited }, &read);
        let whole = self.device.try_read_with_capacity(REQUEST_LENGTH_MAX);
        let stated = whole.as_deref().ok().and_then(<[u8]>::first_chunk);
        let stated = stated.copied().map_or(u32::MAX, u32::from_le_bytes);
        self.returned(SourceCall::ReadWhole { stated }, &whole);
        whole
    }

    /// Notes what a read returned.
    fn returned(&self, call: SourceCall, result: &Result<Vec<u8>, Errno>) {
        let result = returned(result.as_ref().map(Vec::len).map_err(|errno| *errno));
        lock(&self.log).calls.push(SourceCalled { source: self.source, call, result });
    }

    /// Hands in what the store has ready, or keeps it.
    async fn answer(&self) {
        let now = self.clock.now();
        loop {
            let polled = lock(&self.store).poll(now);
            // What it would say then nobody hears.
            let Some(response) = polled.filter(|_| !self.has_lost_power()) else { return };
            self.turnstile.yield_point().await;
            if !self.send(&encode_response(&response)) {
                return;
            }
        }
    }

    /// Whether the device took the response, or will be given it later.
    fn send(&self, response: &[u8]) -> bool {
        if self.stall.is_stalled() {
            self.stall.keep(Kept::Response(response.to_vec()));
            return true;
        }
        self.tap(false, response);
        let written = self.device.write(response);
        let (call, result) = (SourceCall::Write { length: response.len() }, returned(written));
        lock(&self.log).calls.push(SourceCalled { source: self.source, call, result });
        written.is_ok()
    }

    /// Counts a request towards an armed end; returns that with the last of them.
    fn fatal(&self) -> Option<ArmedEnd> {
        let mut armed = lock(&self.armed);
        let death = &mut armed.as_mut()?.at;
        death.requests_left = death.requests_left.saturating_sub(1);
        if death.requests_left > 0 {
            return None;
        }
        armed.take()
    }

    fn tap(&self, is_request: bool, bytes: &[u8]) {
        let frame = Frame { source: self.source, is_request, bytes: bytes.to_vec() };
        let mut log = lock(&self.log);
        let traffic = log.traffic.entry(self.source).or_default();
        if is_request {
            traffic.asked = Asked::of(bytes);
        } else {
            traffic.answered = Asked::of(bytes);
        }
        log.frames.push(frame);
    }
}

/// Less than the header of a request.
const SHORT_LENGTH: usize = 21;
/// A buffer for any request.
const REQUEST_LENGTH_MAX: usize = 1 << 30;

/// What a call returns: a length, or a negative errno.
fn returned(result: Result<usize, Errno>) -> i64 {
    result.map_or_else(Errno::returned, |length| i64::try_from(length).unwrap_or(i64::MAX))
}

/// Sends a frame that breaks the protocol. What the source got for it.
pub fn hand_in(
    device: &Device<SimEnv>,
    source: SourceId,
    (breach, addressee): (Breach, Addressee),
    frame: &[u8],
) -> BrokenFrame {
    let result = returned(device.write(frame));
    let hung_up = device.readiness().hung_up;
    BrokenFrame { source, breach, addressee, result, hung_up }
}

/// Opens the store of a process that starts.
///
/// # Errors
/// Why the store does not open, in words.
pub fn open_store(
    storage: &Storage,
    hives: &[String],
    incarnation: String,
    randomness: &Randomness,
    now: u64,
) -> Result<Box<dyn SimStore>, String> {
    let stream = randomness.clone();
    let random: stores::RandomSource = Box::new(move |bytes| stream.fill(bytes));
    match storage {
        Storage::Sqlite(disk) => {
            let paths = hives
                .iter()
                .map(|name| (name.clone(), disk.path(&format!("{}.regdb", name.to_lowercase()))))
                .collect();
            let vfs = Some(disk.vfs_name().to_owned());
            let config = SqliteConfig { hives: paths, vfs, incarnation, random, now };
            SqliteStore::open(config)
                .map(|store| Box::new(store) as Box<dyn SimStore>)
                .map_err(|error| error.to_string())
        }
        Storage::Memory(disk) => {
            let config = MemoryConfig { hives: hives.to_vec(), disk: disk.clone(), random, now };
            Ok(Box::new(MemoryStore::open(config)))
        }
    }
}

/// The content of a store in the oracle's terms.
///
/// # Errors
/// The store's own, in words.
pub fn raw_hives(store: &OpenStore) -> Result<Vec<oracle::RawHive>, String> {
    let hives = lock(store).raw().map_err(|status| format!("{status:?}"))?;
    Ok(hives
        .into_iter()
        .map(|hive| oracle::RawHive {
            name: hive.name,
            scope: None,
            root: hive.root.0,
            path_entries: hive
                .path_entries
                .into_iter()
                .map(|entry| oracle::RawPathEntry {
                    parent: entry.parent.0,
                    child_name: entry.child_name,
                    layer: entry.layer,
                    target: entry.target.map(|guid| guid.0),
                    sequence: entry.sequence,
                })
                .collect(),
            keys: hive
                .keys
                .into_iter()
                .map(|key| oracle::RawKey {
                    guid: key.guid.0,
                    volatile_key: key.volatile_key,
                    symlink: key.symlink,
                    sd: key.sd,
                    last_write_time: key.last_write_time,
                })
                .collect(),
            values: hive
                .values
                .into_iter()
                .map(|value| oracle::RawValue {
                    key: value.key.0,
                    name: value.name,
                    layer: value.layer,
                    value_type: value.value_type,
                    data: value.data,
                    sequence: value.sequence,
                })
                .collect(),
            blankets: hive
                .blankets
                .into_iter()
                .map(|blanket| oracle::RawBlanket {
                    key: blanket.key.0,
                    layer: blanket.layer,
                    sequence: blanket.sequence,
                })
                .collect(),
        })
        .collect())
}

/// The hives that a store registers.
pub fn hives_of(store: &OpenStore) -> (Vec<HiveInfo>, u64) {
    let store = lock(store);
    (store.hives().to_vec(), store.max_sequence())
}
