//! The whole way on real threads: system calls, the kernel half, the wire, SQLite, real files.

use std::path::Path;
use std::sync::{Arc, Mutex};

use abi::layout::{CreateKeyArgs, QueryValueArgs, SetValueArgs};
use abi::{Errno, KEY_ALL_ACCESS, Structure, ioctl};
use futures::executor::block_on;
use host::{End, Source, ThreadEnv, operating_system_random};
use lcs::env::{Env, Fault, UserMemory};
use lcs::security::Token;
use lcs::{Caller, Lcs, Process};
use stores::{SqliteConfig, SqliteStore, Store};

const SZ: u32 = 1;
const BASE: u64 = 0x1000;

/// A process's memory: one range that only grows.
#[derive(Default)]
struct Memory(Mutex<Vec<u8>>);

impl Memory {
    fn put(&self, bytes: &[u8]) -> u64 {
        let mut memory = self.0.lock().unwrap();
        let address = BASE + memory.len() as u64;
        memory.extend_from_slice(bytes);
        address
    }
}

impl UserMemory for Memory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let memory = self.0.lock().unwrap();
        let start = usize::try_from(address.checked_sub(BASE).ok_or(Fault)?).map_err(|_| Fault)?;
        let end = start.checked_add(buffer.len()).ok_or(Fault)?;
        buffer.copy_from_slice(memory.get(start..end).ok_or(Fault)?);
        Ok(())
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        let mut memory = self.0.lock().unwrap();
        let start = usize::try_from(address.checked_sub(BASE).ok_or(Fault)?).map_err(|_| Fault)?;
        let end = start.checked_add(bytes.len()).ok_or(Fault)?;
        memory.get_mut(start..end).ok_or(Fault)?.copy_from_slice(bytes);
        Ok(())
    }

    fn is_writable(&self, address: u64, length: u64) -> bool {
        let end = BASE + self.0.lock().unwrap().len() as u64;
        address >= BASE && address.checked_add(length).is_some_and(|last| last <= end)
    }
}

/// A machine with a kernel half and the place of its files.
struct Machine<'a> {
    env: ThreadEnv,
    lcs: Lcs<ThreadEnv>,
    token: Arc<Token>,
    directory: &'a Path,
}

impl Machine<'_> {
    fn new(directory: &Path) -> Machine<'_> {
        let env = ThreadEnv::new(2).unwrap();
        let lcs = Lcs::new(env.clone());
        Machine { env, lcs, token: Arc::new(Token::system()), directory }
    }

    fn store(&self) -> SqliteStore {
        let mut incarnation = [0; 8];
        operating_system_random(&mut incarnation);
        SqliteStore::open(SqliteConfig {
            hives: vec![("Machine".to_owned(), self.directory.join("machine.regdb"))],
            vfs: None,
            incarnation: format!("{:x}", u64::from_le_bytes(incarnation)),
            random: Box::new(operating_system_random),
            now: self.env.now(),
        })
        .unwrap()
    }

    fn start(&self) -> Source {
        let source = Source::start(&self.lcs, &self.env, &self.token, Box::new(self.store()));
        let source = source.unwrap_or_else(|error| panic!("{error}"));
        block_on(self.lcs.settled());
        source
    }

    fn caller(&self) -> Program<'_> {
        let process = self.lcs.new_process();
        Program { machine: self, process, memory: Memory::default() }
    }
}

/// A process that calls.
struct Program<'a> {
    machine: &'a Machine<'a>,
    process: Process<ThreadEnv>,
    memory: Memory,
}

impl Program<'_> {
    fn ioctl<T: Structure>(&self, fd: i32, request: u32, args: &T) -> (i64, T) {
        let address = self.memory.put(&args.to_bytes());
        let caller = Caller { process: &self.process, token: &self.machine.token };
        let lcs = &self.machine.lcs;
        let result = block_on(lcs.ioctl(caller, fd, request, address, &self.memory));
        let mut bytes = vec![0; T::SIZE];
        self.memory.read(address, &mut bytes).unwrap();
        (result, T::from_bytes(&bytes).unwrap())
    }

    fn create(&self, path: &str) -> i64 {
        let path_ptr = self.memory.put(format!("{path}\0").as_bytes());
        let args = CreateKeyArgs {
            parent_fd: -1,
            path_ptr,
            desired_access: KEY_ALL_ACCESS,
            txn_fd: -1,
            ..CreateKeyArgs::default()
        };
        let address = self.memory.put(&args.to_bytes());
        let caller = Caller { process: &self.process, token: &self.machine.token };
        let arguments = [address, 0, 0, 0, 0, 0];
        let lcs = &self.machine.lcs;
        block_on(lcs.syscall(caller, abi::REG_CREATE_KEY, arguments, &self.memory))
    }

    fn set(&self, fd: i32, name: &str, data: &str) -> i64 {
        let args = SetValueArgs {
            name_len: name.len() as u32,
            name_ptr: self.memory.put(name.as_bytes()),
            value_type: SZ,
            data_len: data.len() as u32,
            data_ptr: self.memory.put(data.as_bytes()),
            txn_fd: -1,
            ..SetValueArgs::default()
        };
        self.ioctl(fd, ioctl::REG_IOC_SET_VALUE, &args).0
    }

    fn get(&self, fd: i32, name: &str) -> Result<String, i64> {
        let args = QueryValueArgs {
            name_len: name.len() as u32,
            name_ptr: self.memory.put(name.as_bytes()),
            data_len: 100,
            data_ptr: self.memory.put(&[0; 100]),
            layer_buf_len: 100,
            layer_ptr: self.memory.put(&[0; 100]),
            txn_fd: -1,
            ..QueryValueArgs::default()
        };
        let (result, found) = self.ioctl(fd, ioctl::REG_IOC_QUERY_VALUE, &args);
        if result < 0 {
            return Err(result);
        }
        let mut data = vec![0; found.data_len as usize];
        self.memory.read(args.data_ptr, &mut data).unwrap();
        Ok(String::from_utf8(data).unwrap())
    }
}

fn descriptor(result: i64) -> i32 {
    assert!(result >= 0, "{result}");
    result as i32
}

#[test]
fn a_value_survives_the_source_and_the_machine() {
    let directory = tempfile::tempdir().unwrap();
    let machine = Machine::new(directory.path());
    let source = machine.start();
    let program = machine.caller();
    let key = descriptor(program.create("Machine\\Software"));
    assert_eq!(program.set(key, "Greeting", "hello"), 0);
    assert_eq!(program.get(key, "greeting"), Ok("hello".to_owned()));

    assert_eq!(source.stop(), End::Closed);
    assert_eq!(program.get(key, "Greeting"), Err(Errno::EIO.returned()));

    let source = machine.start();
    assert_eq!(program.get(key, "Greeting"), Ok("hello".to_owned()));
    drop(source);

    let machine = Machine::new(directory.path());
    let _source = machine.start();
    let program = machine.caller();
    let key = descriptor(program.create("machine\\SOFTWARE"));
    assert_eq!(program.get(key, "GREETING"), Ok("hello".to_owned()));
}

#[test]
fn threads_write_and_read_side_by_side() {
    const THREADS: usize = 4;
    const WRITES: usize = 10;
    let directory = tempfile::tempdir().unwrap();
    let machine = Machine::new(directory.path());
    let _source = machine.start();
    let setup = machine.caller();
    descriptor(setup.create("Machine\\Software"));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let machine = &machine;
            scope.spawn(move || {
                let program = machine.caller();
                let key = descriptor(program.create("Machine\\Software\\Shared"));
                for write in 0..WRITES {
                    let data = format!("{thread}-{write}");
                    assert_eq!(program.set(key, &format!("value {thread}"), &data), 0);
                    assert_eq!(program.get(key, &format!("VALUE {thread}")), Ok(data));
                }
            });
        }
    });
    let key = descriptor(setup.create("Machine\\Software\\Shared"));
    for thread in 0..THREADS {
        let last = format!("{thread}-{}", WRITES - 1);
        assert_eq!(setup.get(key, &format!("value {thread}")), Ok(last));
    }
}

#[test]
fn a_source_without_the_privilege_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let machine = Machine::new(directory.path());
    let mut token = Token::system();
    token.privileges = Default::default();
    let store = Box::new(machine.store());
    let Err(error) = Source::start(&machine.lcs, &machine.env, &Arc::new(token), store) else {
        panic!("it started");
    };
    assert_eq!(error.to_string(), "the registry device cannot be opened: EPERM");
}

#[test]
fn a_sleep_ends_at_its_deadline_and_not_before() {
    let env = ThreadEnv::new(1).unwrap();
    let begin = env.now();
    let deadlines = [30, 10, 20].map(|ms| begin + ms * 1_000_000);
    let woken = block_on(futures::future::join_all(deadlines.map(|deadline| {
        let (sleep, env) = (env.sleep_until(deadline), env.clone());
        async move {
            sleep.await;
            env.now()
        }
    })));
    for (deadline, woken) in deadlines.into_iter().zip(woken) {
        assert!(woken >= deadline);
    }
    block_on(env.sleep_until(0));
}

#[test]
fn a_spawned_task_runs_to_its_end() {
    let env = ThreadEnv::new(2).unwrap();
    let (sender, receiver) = futures::channel::oneshot::channel();
    let task_env = env.clone();
    env.spawn(Box::pin(async move {
        task_env.sleep_until(task_env.now() + 5_000_000).await;
        task_env.yield_point("between").await;
        let _ = sender.send(7);
    }));
    assert_eq!(block_on(receiver), Ok(7));
}

#[test]
fn a_store_registers_global_hives() {
    let directory = tempfile::tempdir().unwrap();
    let machine = Machine::new(directory.path());
    let store = machine.store();
    let registration = host::registration(&store);
    assert_eq!(registration.hives.len(), 1);
    assert_eq!(registration.hives[0].name, b"Machine");
    assert_eq!(registration.hives[0].flags, 0);
    assert_eq!(registration.hives[0].root, store.hives()[0].root);
}

/// A store with a bug.
struct Panics(SqliteStore);

impl Store for Panics {
    fn submit(&mut self, _: rsi::RequestFrame, _: u64) {
        panic!("a bug of the store");
    }

    fn poll(&mut self, _: u64) -> Option<rsi::ResponseFrame> {
        None
    }

    fn next_wake(&self) -> Option<u64> {
        None
    }

    fn hives(&self) -> &[stores::HiveInfo] {
        self.0.hives()
    }

    fn max_sequence(&self) -> u64 {
        self.0.max_sequence()
    }
}

#[test]
fn a_source_that_panics_is_down() {
    let directory = tempfile::tempdir().unwrap();
    let machine = Machine::new(directory.path());
    let store = Box::new(Panics(machine.store()));
    let source = Source::start(&machine.lcs, &machine.env, &machine.token, store);
    let program = machine.caller();
    assert_eq!(program.create("Machine\\Software"), Errno::EIO.returned());
    assert_eq!(source.unwrap_or_else(|error| panic!("{error}")).stop(), End::Panicked);
}
