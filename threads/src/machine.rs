//! The machine as a target: calls go to the kernel half, faults to its source processes.

use std::path::PathBuf;
use std::sync::Arc;

use conformance::address_space::AddressSpace;
use conformance::audit::AuditRecord;
use conformance::oracle::RawHive;
use conformance::plan::{Fault, SourceHive};
use conformance::schedule::Scheduler;
use conformance::source_device::SourceCalled;
use conformance::target::{Answer, Frame, Overlapping, RawCall, RawDeviceCall, Target, WorldEvent};
use futures::executor::block_on;
use host::{Listener, ThreadEnv};
use lcs::env::Env;
use lcs::security::Token;
use lcs::{Caller, Lcs};
use registry_model::input::{ProcessId, SourceId};
use registry_model::security::Token as ModelToken;
use seam::{CallMemory, Devices, Processes, Streams, Tokens, lock};
use tempfile::TempDir;

use crate::connection::SharedLog;
use crate::devices::{self, Serving};
use crate::overlap;
use crate::program::SourceProgram;
use crate::source::Source;

/// Threads for the tasks of a kernel half: two, so that they overlap even without calls that do.
const WORKERS: usize = 2;

/// A machine: a kernel half on threads, and its sources.
pub struct Machine {
    program: SourceProgram,
    env: ThreadEnv,
    kernel: Lcs<ThreadEnv>,
    /// Where sources register; there is one as long as the kernel half runs.
    listener: Option<Listener>,
    boots: u32,
    pub(crate) sources: Vec<Source>,
    processes: Processes<ThreadEnv>,
    /// The devices of processes that are no sources of the plan.
    devices: Devices<ThreadEnv, Serving>,
    streams: Streams,
    next_process: u32,
    tokens: Tokens,
    pub(crate) log: SharedLog,
    /// Where sockets and databases are. It goes with the machine.
    directory: TempDir,
}

impl Machine {
    /// A machine whose kernel half has just booted, without sources.
    ///
    /// # Errors
    /// What the system does not give, in words.
    pub fn new(program: SourceProgram) -> Result<Machine, String> {
        let env = ThreadEnv::new(WORKERS).map_err(|error| format!("no threads: {error}"))?;
        let directory = tempfile::Builder::new().prefix("lockstep-").tempdir();
        let directory = directory
            .map_err(|error| format!("no folder for the files of the sources: {error}"))?;
        let mut machine = Machine {
            program,
            kernel: Lcs::new(env.clone()),
            env,
            listener: None,
            boots: 0,
            sources: Vec::new(),
            processes: Processes::new(),
            devices: Devices::default(),
            streams: Streams::default(),
            next_process: 0,
            tokens: Tokens::default(),
            log: SharedLog::default(),
            directory,
        };
        machine.boot()?;
        Ok(machine)
    }

    /// Ends every process. What should not have happened on the machine, in words.
    pub fn shut_down(mut self) -> Option<String> {
        self.processes.clear();
        for source in &mut self.sources {
            source.kill();
        }
        block_on(self.devices.close_all(&self.kernel));
        self.listener = None;
        let problem = lock(&self.log).problem.take()?;
        let words: Vec<String> = self.sources.iter().map(Source::last_words).collect();
        Some(format!("{problem}; the sources said last: {}", words.join(" | ")))
    }

    /// Another kernel half, at another socket.
    fn boot(&mut self) -> Result<(), String> {
        self.kernel = Lcs::new(self.env.clone());
        self.boots += 1;
        let (token, path) = (Arc::new(Token::system()), self.kernel_socket());
        let listener = Listener::bind(&self.kernel, &token, &path);
        self.listener = Some(listener.map_err(|error| format!("{}: {error}", path.display()))?);
        Ok(())
    }

    fn kernel_socket(&self) -> PathBuf {
        self.directory.path().join(format!("kernel-{}", self.boots))
    }

    /// Whether threads pause at random in the kernel half.
    pub(crate) fn set_jitter(&self, is_on: bool) {
        self.env.set_jitter(is_on);
    }

    /// Time and tasks of the kernel half.
    pub(crate) fn env(&self) -> &ThreadEnv {
        &self.env
    }

    /// The time, Unix nanoseconds.
    pub(crate) fn time(&self) -> u64 {
        self.env.now()
    }

    /// The kernel's form of a token.
    pub(crate) fn token(&mut self, token: &ModelToken) -> Arc<Token> {
        self.tokens.of(token)
    }

    /// Waits until the kernel half does nothing of its own.
    pub(crate) async fn settled(&self) {
        self.kernel.settled().await;
    }

    /// Waits until the kernel half knows of every source that has died, and does nothing of its own.
    pub(crate) async fn at_rest(&mut self) {
        for source in self.sources.iter_mut().filter(|source| source.has_ended()) {
            source.kill();
        }
        self.settled().await;
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

    /// Starts the process of a source with these hives, or with its own.
    pub(crate) async fn start_source(
        &mut self,
        index: usize,
        hives: Option<&[SourceHive]>,
    ) -> Result<WorldEvent, String> {
        let kernel = self.kernel_socket();
        let source = &mut self.sources[index];
        let hives = hives.unwrap_or(&source.hives).to_vec();
        let started = source.start(&hives, (&self.program, &kernel, &self.log))?;
        self.at_rest().await;
        Ok(WorldEvent::SourceStarted(started))
    }

    pub(crate) async fn start_all(&mut self) -> Result<Vec<WorldEvent>, String> {
        let mut events = Vec::new();
        for index in 0..self.sources.len() {
            events.push(self.start_source(index, None).await?);
        }
        Ok(events)
    }

    fn forget_log(&self) {
        let mut log = lock(&self.log);
        log.frames.clear();
        log.events.clear();
    }

    pub(crate) async fn reboot(&mut self) -> Result<Vec<WorldEvent>, String> {
        for source in &mut self.sources {
            source.kill();
        }
        self.devices.close_all(&self.kernel).await;
        self.processes.clear();
        self.settled().await;
        self.listener = None;
        // What the last processes caused was answered by nobody and is not looked at.
        self.forget_log();
        let _ = self.env.take_audit();
        self.boot()?;
        let mut events = vec![WorldEvent::Rebooted];
        events.extend(self.start_all().await?);
        Ok(events)
    }
}

impl Target for Machine {
    fn now(&self) -> u64 {
        self.time()
    }

    fn start<'a>(
        &'a mut self,
        sources: &'a [Vec<SourceHive>],
    ) -> Answer<'a, Result<Vec<WorldEvent>, String>> {
        Box::pin(async move {
            for (index, hives) in sources.iter().enumerate() {
                let folder = self.directory.path().join(format!("source-{index}"));
                let source = Source::new(SourceId(index as u32), hives, folder.clone());
                let source = source.map_err(|error| format!("{}: {error}", folder.display()))?;
                self.sources.push(source);
            }
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
            self.at_rest().await;
            (result, memory.into_inner())
        })
    }

    fn call_all<'a>(
        &'a mut self,
        calls: &'a mut dyn Overlapping,
        _scheduler: &'a mut dyn Scheduler,
    ) -> Answer<'a, Result<(), String>> {
        Box::pin(overlap::call_all(self, calls))
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
            let (env, log, calling) = (&self.env, &self.log, (source, &token));
            let serve =
                |device: &_, hives: Vec<_>| devices::serve((source, &hives), device, env, log);
            let result = self.devices.call(&self.kernel, calling, call, memory, serve).await;
            self.at_rest().await;
            result
        })
    }

    fn fault<'a>(&'a mut self, fault: &'a Fault) -> Answer<'a, Result<Vec<WorldEvent>, String>> {
        Box::pin(self.make_fault(fault))
    }

    fn take_events(&mut self) -> Vec<WorldEvent> {
        std::mem::take(&mut lock(&self.log).events)
    }

    fn take_frames(&mut self) -> Vec<Frame> {
        std::mem::take(&mut lock(&self.log).frames)
    }

    fn take_source_calls(&mut self) -> Vec<SourceCalled> {
        Vec::new()
    }

    fn take_audit_events(&mut self) -> Vec<AuditRecord> {
        let trail = self.env.take_audit();
        if trail.lost_count > 0 {
            let problem = format!("{} audit events were lost", trail.lost_count);
            lock(&self.log).problem.get_or_insert(problem);
        }
        let records = trail.records.into_iter();
        records.map(|(event, payload)| AuditRecord { event, payload }).collect()
    }

    /// Nothing: what a store keeps in memory only the process sees that has it.
    fn raw_entries(&mut self) -> Result<Option<Vec<RawHive>>, String> {
        Ok(None)
    }
}
