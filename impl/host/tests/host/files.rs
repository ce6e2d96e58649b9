//! The whole way on real threads: system calls, the kernel half, the wire, SQLite, real files.

use std::path::Path;
use std::sync::Arc;

use abi::Errno;
use futures::executor::block_on;
use host::{End, Source, ThreadEnv, operating_system_random};
use lcs::env::Env;
use lcs::security::Token;
use stores::{FatalError, SqliteConfig, SqliteStore, Store};

use crate::support::{Machine, descriptor};

fn open_store(env: &ThreadEnv, directory: &Path) -> SqliteStore {
    let mut incarnation = [0; 8];
    operating_system_random(&mut incarnation);
    SqliteStore::open(SqliteConfig {
        hives: vec![("Machine".to_owned(), directory.join("machine.regdb"))],
        vfs: None,
        incarnation: format!("{:x}", u64::from_le_bytes(incarnation)),
        random: Box::new(operating_system_random),
        now: env.now(),
    })
    .unwrap()
}

fn start(env: &ThreadEnv, machine: &Machine, directory: &Path) -> Source {
    let store = Box::new(open_store(env, directory));
    let source = Source::start(&machine.lcs, env, &machine.token, store);
    let source = source.unwrap_or_else(|error| panic!("{error}"));
    block_on(machine.lcs.settled());
    source
}

#[test]
fn a_value_survives_the_source_and_the_machine() {
    let directory = tempfile::tempdir().unwrap();
    let env = ThreadEnv::new(2).unwrap();
    let machine = Machine::new(&env);
    let source = start(&env, &machine, directory.path());
    let program = machine.caller();
    let key = descriptor(program.create("Machine\\Software"));
    assert_eq!(program.set(key, "Greeting", "hello"), 0);
    assert_eq!(program.get(key, "greeting"), Ok("hello".to_owned()));

    assert_eq!(source.stop(), End::Closed);
    assert_eq!(program.get(key, "Greeting"), Err(Errno::EIO.returned()));

    let source = start(&env, &machine, directory.path());
    assert_eq!(program.get(key, "Greeting"), Ok("hello".to_owned()));
    drop(source);

    let machine = Machine::new(&env);
    let _source = start(&env, &machine, directory.path());
    let program = machine.caller();
    let key = descriptor(program.create("machine\\SOFTWARE"));
    assert_eq!(program.get(key, "GREETING"), Ok("hello".to_owned()));
}

#[test]
fn threads_write_and_read_side_by_side() {
    const THREADS: usize = 4;
    const WRITES: usize = 10;
    let directory = tempfile::tempdir().unwrap();
    let env = ThreadEnv::new(2).unwrap();
    let machine = Machine::new(&env);
    let _source = start(&env, &machine, directory.path());
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
    let env = ThreadEnv::new(2).unwrap();
    let machine = Machine::new(&env);
    let mut token = Token::system();
    token.privileges = Default::default();
    let store = Box::new(open_store(&env, directory.path()));
    let Err(error) = Source::start(&machine.lcs, &env, &Arc::new(token), store) else {
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
    let env = ThreadEnv::new(2).unwrap();
    let store = open_store(&env, directory.path());
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

/// A store whose database fails at the first request.
struct Fails(SqliteStore, bool);

impl Store for Fails {
    fn submit(&mut self, frame: rsi::RequestFrame, now: u64) {
        self.1 = true;
        self.0.submit(frame, now);
    }

    fn poll(&mut self, now: u64) -> Option<rsi::ResponseFrame> {
        self.0.poll(now)
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

    fn fatal_error(&self) -> Option<FatalError> {
        self.1.then_some(FatalError::DiskFull)
    }
}

#[test]
fn a_source_whose_database_fails_ends() {
    let directory = tempfile::tempdir().unwrap();
    let env = ThreadEnv::new(2).unwrap();
    let machine = Machine::new(&env);
    let store = Box::new(Fails(open_store(&env, directory.path()), false));
    let source = Source::start(&machine.lcs, &env, &machine.token, store);
    let program = machine.caller();
    assert_eq!(program.create("Machine\\Software"), Errno::EIO.returned());
    let end = source.unwrap_or_else(|error| panic!("{error}")).stop();
    assert_eq!(end, End::StoreFailed(FatalError::DiskFull));
}

#[test]
fn a_source_that_panics_is_down() {
    let directory = tempfile::tempdir().unwrap();
    let env = ThreadEnv::new(2).unwrap();
    let machine = Machine::new(&env);
    let store = Box::new(Panics(open_store(&env, directory.path())));
    let source = Source::start(&machine.lcs, &env, &machine.token, store);
    let program = machine.caller();
    assert_eq!(program.create("Machine\\Software"), Errno::EIO.returned());
    assert_eq!(source.unwrap_or_else(|error| panic!("{error}")).stop(), End::Panicked);
}
