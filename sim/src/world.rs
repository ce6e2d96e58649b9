//! The world as a target: calls go to the kernel half, faults to its sources.

mod faults;
mod power;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use conformance::address_space::AddressSpace;
use conformance::audit::AuditRecord;
use conformance::oracle::RawHive;
use conformance::plan::{Fault, SourceHive};
use conformance::schedule::Scheduler;
use conformance::source_device::SourceCalled;
use conformance::target::{
    Answer, Frame, Overlapping, RawCall, RawDeviceCall, Started, Target, WorldEvent,
};
use lcs::security::Token;
use lcs::{Caller, Device, HiveRegistration, Lcs, Registration};
use madsim::runtime::{Handle, NodeHandle};
use registry_model::errno::Errno;
use registry_model::input::{ProcessId, RSI_HIVE_PRIVATE, SourceId};
use registry_model::security::Token as ModelToken;
use registry_model::store_entry::StoreEntry;

use rsi::Guid;
use seam::{CallMemory, Devices, Processes, Refusals, Streams, Tokens, lock};

use crate::devices::{Machine, Serving};
use crate::env::{AuditLog, Clock, Randomness, SimEnv};
use crate::seed;
use crate::source::{self, ArmedEnd, OpenStore, SharedLog, Storage};
use crate::stall::Stall;
use crate::turnstile::Turnstile;
use crate::{StoreKind, overlap};

/// Numbers storage within this process; two worlds must not share a disk.
pub(crate) static NEXT_STORAGE_ID: AtomicU64 = AtomicU64::new(1);

/// How often the world looks whether a killed process is gone, a millisecond apart.
const KILL_LOOKS_MAX: u32 = 1_000;

/// A simulated machine.
pub struct World {
    kind: StoreKind,
    clock: Clock,
    randomness: Randomness,
    kernel: Lcs<SimEnv>,
    sources: Vec<Source>,
    /// The devices of processes that are no sources of the plan.
    devices: Devices<SimEnv, Serving>,
    processes: Processes<SimEnv>,
    streams: Streams,
    next_process: u32,
    tokens: Tokens,
    log: SharedLog,
    audit: AuditLog,
    /// What every task of the kernel and of the sources goes through.
    turnstile: Turnstile,
}

struct Source {
    id: SourceId,
    hives: Vec<SourceHive>,
    storage: Storage,
    storage_id: u64,
    incarnation: u32,
    armed: Arc<Mutex<Option<ArmedEnd>>>,
    /// Of the process that runs.
    stall: Stall,
    /// How long the process takes before it carries a request out.
    delay_ms: Arc<AtomicU32>,
    refusals: Arc<Mutex<Refusals>>,
    /// What the next registration reports in place of the highest sequence number.
    false_maximum: Option<u64>,
    running: Option<Running>,
}

struct Running {
    node: NodeHandle,
    store: OpenStore,
    /// The process's own, which goes with it.
    device: Weak<Device<SimEnv>>,
    /// The hives that it was started with.
    hives: Vec<SourceHive>,
}

impl World {
    /// A machine whose kernel has just booted, without sources.
    pub fn new(seed: u64, kind: StoreKind) -> World {
        let clock = Clock::start();
        let randomness = Randomness::of_seed(seed);
        let audit = AuditLog::default();
        let turnstile = Turnstile::default();
        World {
            kind,
            clock: clock.clone(),
            randomness: randomness.clone(),
            kernel: boot_kernel(clock, randomness, audit.clone(), turnstile.clone()),
            sources: Vec::new(),
            devices: Devices::default(),
            processes: BTreeMap::new(),
            streams: Streams::default(),
            next_process: 0,
            tokens: Tokens::default(),
            log: SharedLog::default(),
            audit,
            turnstile,
        }
    }

    /// Ends every process, so that the simulator can free what they hold.
    pub async fn shut_down(mut self) {
        self.processes.clear();
        let ends = async {
            self.devices.close_all(&self.kernel).await;
            for index in 0..self.sources.len() {
                self.kill(index).await;
            }
            let _ = self.kernel.settled().await;
        };
        // What hangs since calls overlapped has been told, and is left as it is.
        let _ = madsim::time::timeout(overlap::QUIET_MAX, ends).await;
    }

    /// Opens the store of a source that has no process.
    fn open_store(&mut self, index: usize, hives: &[SourceHive]) -> Result<OpenStore, String> {
        let names: Vec<String> = hives.iter().map(|hive| hive.name.clone()).collect();
        let source = &mut self.sources[index];
        source.incarnation += 1;
        // The clean close of a process that ended by itself must not write any more.
        source.storage.kill();
        if let Some(disk) = source.storage.disk() {
            disk.fill(false);
            disk.err_at(0);
        }
        // SQLite's names for shared memory databases are process-wide.
        let name = format!("storage{}-{}", source.storage_id, source.incarnation);
        let now = self.clock.now();
        let store = source::open_store(&source.storage, &names, name, &self.randomness, now)?;
        Ok(Arc::new(Mutex::new(store)))
    }

    /// Puts a record into the store of a source, which is opened for it if the source is dead.
    fn store_entry(&mut self, entry: &StoreEntry) -> Result<Vec<WorldEvent>, String> {
        let hive = entry.key.path.first().map_or("", String::as_str);
        let holds = |hives: &[SourceHive]| {
            hives.iter().any(|held| stores::fold(&held.name) == stores::fold(hive))
        };
        let Some(index) = self.sources.iter().position(|source| holds(&source.hives)) else {
            return Ok(Vec::new());
        };
        let store = match &self.sources[index].running {
            // A process that was started with other hives does not have this one open.
            Some(running) if !holds(&running.hives) => return Ok(Vec::new()),
            Some(running) => Arc::clone(&running.store),
            None => {
                let hives = self.sources[index].hives.clone();
                self.open_store(index, &hives)?
            }
        };
        let stored = seed::store(&store, entry, &self.randomness)?;
        if self.sources[index].running.is_none() {
            // As after any death, the files stay as they were written.
            self.sources[index].storage.kill();
        }
        let source = self.sources[index].id;
        let event = || WorldEvent::EntryStored { source, entry: entry.clone() };
        Ok(stored.then(event).into_iter().collect())
    }

    /// Starts the process of a source with these hives. It registers them, and ends if they are
    /// refused.
    async fn start_source(
        &mut self,
        index: usize,
        asked: &[SourceHive],
    ) -> Result<Started, String> {
        let store = self.open_store(index, asked)?;
        let source = &mut self.sources[index];
        let (hives, max_sequence) = source::hives_of(&store);
        let max_sequence = source.false_maximum.take().unwrap_or(max_sequence);
        let id = source.id;
        let mut started = Started {
            source: id,
            asked: asked.to_vec(),
            hives: hives.iter().map(|hive| (with_scope(&hive.name, asked), hive.root.0)).collect(),
            max_sequence,
            refused: None,
        };
        let device = self.kernel.open_device(&Arc::new(Token::system()));
        let device = Arc::new(device.map_err(|errno| format!("{errno:?}"))?);
        let hives = hives.into_iter().map(|hive| {
            let scope = with_scope(&hive.name, asked).scope;
            HiveRegistration {
                name: hive.name.into_bytes(),
                root: hive.root,
                flags: scope.map_or(0, |_| RSI_HIVE_PRIVATE),
                scope: scope.map_or(Guid::NULL, Guid),
            }
        });
        let registration = Registration { hives: hives.collect(), max_sequence };
        *lock(&source.armed) = None;
        source.stall = Stall::default();
        source.delay_ms = Arc::default();
        lock(&self.log).traffic.remove(&id);
        if let Err(errno) = device.register(&registration) {
            source.storage.kill();
            started.refused = Some(Errno::from_number(-(errno.returned() as i32)));
            return Ok(started);
        }
        let held = Arc::downgrade(&device);
        let process = source::Process {
            source: id,
            device,
            store: Arc::clone(&store),
            armed: Arc::clone(&source.armed),
            stall: source.stall.clone(),
            refusals: Arc::clone(&source.refusals),
            log: Arc::clone(&self.log),
            clock: self.clock.clone(),
            turnstile: self.turnstile.clone(),
            disk: source.storage.disk().cloned(),
            delay_ms: Arc::clone(&source.delay_ms),
        };
        let node = Handle::current().create_node().name(format!("source {index}")).build();
        drop(node.spawn(self.turnstile.task(process.serve())));
        source.running = Some(Running { node, store, device: held, hives: asked.to_vec() });
        self.kernel.settled().await;
        Ok(started)
    }

    /// Kills the process of a source and waits until the kernel has seen its device close.
    /// Returns whether there was one.
    async fn kill(&mut self, index: usize) -> bool {
        let source = &mut self.sources[index];
        *lock(&source.armed) = None;
        source.stall = Stall::default();
        lock(&source.refusals).commit = None;
        source.storage.kill();
        let Some(running) = source.running.take() else { return false };
        Handle::current().kill(running.node.id());
        for _ in 0..KILL_LOOKS_MAX {
            // The task holds the other reference to the store until it is dropped.
            if Arc::strong_count(&running.store) == 1 {
                break;
            }
            madsim::time::sleep(Duration::from_millis(1)).await;
        }
        self.kernel.settled().await;
        true
    }

    /// The kernel's form of a token.
    pub(crate) fn token(&mut self, token: &ModelToken) -> Arc<Token> {
        self.tokens.of(token)
    }

    /// What every task goes through.
    pub(crate) fn turnstile(&self) -> &Turnstile {
        &self.turnstile
    }

    /// The time, Unix nanoseconds.
    pub(crate) fn time(&self) -> u64 {
        self.clock.now()
    }

    /// The sources that have died by themselves and that nobody has been told of.
    pub(crate) fn deaths(&self) -> Vec<SourceId> {
        let log = lock(&self.log);
        let dead = log.events.iter().filter_map(|event| match event {
            WorldEvent::SourceDown(source) => Some(*source),
            _ => None,
        });
        dead.collect()
    }

    /// Waits until the kernel does nothing of its own.
    pub(crate) async fn settled(&self) {
        self.kernel.settled().await;
    }

    /// Makes a call of a process that has nothing to do with streams; those are bad fds here.
    pub(crate) async fn plain_call(
        &self,
        process: ProcessId,
        token: &Arc<Token>,
        call: RawCall,
        memory: &CallMemory,
    ) -> i64 {
        let caller = Caller { process: &self.processes[&process], token };
        seam::plain_call(&self.kernel, &self.processes, caller, call, memory).await
    }

    fn new_kernel(&self) -> Lcs<SimEnv> {
        let (clock, randomness) = (self.clock.clone(), self.randomness.clone());
        boot_kernel(clock, randomness, self.audit.clone(), self.turnstile.clone())
    }

    async fn reboot(&mut self) -> Result<Vec<WorldEvent>, String> {
        self.go_down().await;
        let mut events = vec![WorldEvent::Rebooted];
        events.extend(self.start_all().await?);
        Ok(events)
    }

    /// Ends everything that runs, and boots another kernel.
    pub(crate) async fn go_down(&mut self) {
        for index in 0..self.sources.len() {
            self.kill(index).await;
        }
        self.devices.close_all(&self.kernel).await;
        self.processes.clear();
        // What the last processes caused was answered by nobody and is not looked at.
        self.take_frames();
        lock(&self.log).events.clear();
        lock(&self.log).calls.clear();
        self.audit.take();
        self.kernel = self.new_kernel();
    }

    async fn start_all(&mut self) -> Result<Vec<WorldEvent>, String> {
        let mut events = Vec::new();
        for index in 0..self.sources.len() {
            let hives = self.sources[index].hives.clone();
            events.push(WorldEvent::SourceStarted(self.start_source(index, &hives).await?));
        }
        Ok(events)
    }

    fn source(&self, index: usize) -> Result<&Source, String> {
        let count = self.sources.len();
        self.sources
            .get(index)
            .ok_or_else(|| format!("the plan has {count} sources; there is no source {index}"))
    }
}

/// The hive that a source names so, in its own spelling.
fn with_scope(name: &str, asked: &[SourceHive]) -> SourceHive {
    let known = asked.iter().find(|hive| stores::fold(&hive.name) == stores::fold(name));
    SourceHive { name: name.to_owned(), scope: known.and_then(|hive| hive.scope) }
}

fn boot_kernel(
    clock: Clock,
    randomness: Randomness,
    audit: AuditLog,
    turnstile: Turnstile,
) -> Lcs<SimEnv> {
    let node = Handle::current().create_node().name("kernel").build();
    let env = SimEnv::new(clock, randomness, node).with_audit(audit).with_turnstile(turnstile);
    Lcs::new(env)
}

impl Target for World {
    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn start<'a>(
        &'a mut self,
        sources: &'a [Vec<SourceHive>],
    ) -> Answer<'a, Result<Vec<WorldEvent>, String>> {
        Box::pin(async move {
            self.sources = sources
                .iter()
                .enumerate()
                .map(|(index, hives)| {
                    let storage_id = NEXT_STORAGE_ID.fetch_add(1, Ordering::Relaxed);
                    Source {
                        id: SourceId(index as u32),
                        hives: hives.clone(),
                        storage: Storage::new(self.kind, storage_id),
                        storage_id,
                        incarnation: 0,
                        armed: Arc::default(),
                        stall: Stall::default(),
                        delay_ms: Arc::default(),
                        refusals: Arc::default(),
                        false_maximum: None,
                        running: None,
                    }
                })
                .collect();
            self.start_all().await
        })
    }

    fn new_process(&mut self) -> ProcessId {
        let id = ProcessId(self.next_process);
        self.next_process += 1;
        self.processes.insert(id, self.kernel.new_process());
        id
    }

    fn call<'a>(
        &'a mut self,
        process: ProcessId,
        token: &'a ModelToken,
        call: RawCall,
        memory: AddressSpace,
    ) -> Answer<'a, (i64, AddressSpace)> {
        Box::pin(async move {
            let token = self.token(token);
            let memory = CallMemory::new(memory);
            let caller = &self.processes[&process];
            let result = match self.streams.call(&self.kernel, caller, &call, &memory) {
                Some(result) => result,
                None => self.plain_call(process, &token, call, &memory).await,
            };
            self.kernel.settled().await;
            (result, memory.into_inner())
        })
    }

    fn call_all<'a>(
        &'a mut self,
        calls: &'a mut dyn Overlapping,
        scheduler: &'a mut dyn Scheduler,
    ) -> Answer<'a, Result<(), String>> {
        Box::pin(overlap::call_all(self, calls, scheduler))
    }

    fn device<'a>(
        &'a mut self,
        source: SourceId,
        token: &'a ModelToken,
        call: RawDeviceCall,
        memory: AddressSpace,
    ) -> Answer<'a, i64> {
        Box::pin(async move {
            let token = self.token(token);
            let machine = Machine {
                clock: self.clock.clone(),
                log: Arc::clone(&self.log),
                turnstile: self.turnstile.clone(),
            };
            let serve = |device: &_, hives: Vec<_>| machine.serve(source, device, &hives);
            let calling = (source, &token);
            let result = self.devices.call(&self.kernel, calling, call, memory, serve).await;
            self.kernel.settled().await;
            result
        })
    }

    fn fault<'a>(&'a mut self, fault: &'a Fault) -> Answer<'a, Result<Vec<WorldEvent>, String>> {
        Box::pin(self.make_fault(fault))
    }

    fn take_events(&mut self) -> Vec<WorldEvent> {
        let events = std::mem::take(&mut lock(&self.log).events);
        for event in &events {
            if let WorldEvent::SourceDown(id) = event {
                // The process ended by itself. Its files stay as they were written: whoever drops
                // its store must not close them cleanly.
                let source = &mut self.sources[id.0 as usize];
                source.storage.kill();
                source.stall = Stall::default();
                lock(&source.refusals).commit = None;
                source.running = None;
            }
        }
        events
    }

    fn take_frames(&mut self) -> Vec<Frame> {
        std::mem::take(&mut lock(&self.log).frames)
    }

    fn take_source_calls(&mut self) -> Vec<SourceCalled> {
        std::mem::take(&mut lock(&self.log).calls)
    }

    fn take_audit_events(&mut self) -> Vec<AuditRecord> {
        let records = self.audit.take().into_iter();
        records.map(|(event, payload)| AuditRecord { event, payload }).collect()
    }

    fn raw_entries(&mut self) -> Result<Option<Vec<RawHive>>, String> {
        let mut hives = Vec::new();
        for source in &self.sources {
            let Some(running) = &source.running else { return Ok(None) };
            if source.stall.is_stalled() {
                // The kernel does not know yet what is in its store.
                return Ok(None);
            }
            let raw = source::raw_hives(&running.store)?.into_iter().map(|hive| {
                let scope = with_scope(&hive.name, &running.hives).scope;
                RawHive { scope, ..hive }
            });
            hives.extend(raw);
        }
        for serving in self.devices.connected() {
            hives.extend(source::raw_hives(&serving.store)?);
        }
        Ok(Some(hives))
    }
}

#[cfg(test)]
mod tests {
    use conformance::typed;
    use madsim::runtime::Runtime;
    use registry_model::input::Call;

    use super::*;

    /// The names and lengths of the files that a death leaves.
    fn files_after(fault: Fault) -> Vec<(String, usize)> {
        let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
        runtime.block_on(async {
            let mut world = World::new(1, StoreKind::Sqlite);
            world.start(&[vec![SourceHive::global("Machine")]]).await.expect("the world starts");
            world.fault(&fault).await.expect("the fault happens");
            let process = world.new_process();
            let path = b"Machine\\Key".to_vec();
            let open = Call::OpenKey { parent: -1, path, desired_access: 1, flags: 0 };
            let open = typed::encode(&open);
            world.call(process, &ModelToken::system(), open.call, open.memory).await;
            world.take_events();
            assert!(world.sources[0].running.is_none(), "the source lives");
            let Storage::Sqlite(disk) = &world.sources[0].storage else {
                panic!("the store is not SQLite")
            };
            let files = disk.files();
            world.shut_down().await;
            files
        })
    }

    #[test]
    fn a_wait_lets_as_much_time_pass_and_no_more_than_the_clock_counts() {
        let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
        runtime.block_on(async {
            let mut world = World::new(1, StoreKind::Memory);
            world.start(&[vec![SourceHive::global("Machine")]]).await.expect("the world starts");
            let began = world.now();
            let events = world.fault(&Fault::Wait { duration_ms: 40_000 }).await;
            assert_eq!(events, Ok(Vec::new()));
            let passed_ms = (world.now() - began) / 1_000_000;
            assert!((40_000..40_010).contains(&passed_ms), "{passed_ms}");
            world.shut_down().await;
        });
    }

    #[test]
    fn no_death_is_a_clean_close() {
        let log_length = |files: Vec<(String, usize)>| {
            files.into_iter().find(|(name, _)| name.ends_with("-wal")).map(|(_, length)| length)
        };
        let killed = log_length(files_after(Fault::KillSource { source: 0 }));
        assert!(killed > Some(0), "{killed:?}");
        for executed in [false, true] {
            let fault = Fault::KillSourceAt { source: 0, request: 1, executed };
            assert_eq!(log_length(files_after(fault)), killed, "executed: {executed}");
        }
    }
}
